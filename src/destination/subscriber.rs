//! A FHIR subscriber: one call for each event, with the Subscription's own endpoint, headers and time limit,
//! signed after the Standard Webhooks specification.
//!
//! All subscribers of the engine share their HTTP clients and one list of places they may reach, so that an
//! idle subscription costs a few hundred bytes. How calls end is counted here; what follows for the
//! Subscription is decided by the engine.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use reqwest::{Method, Url};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::destination::webhook::WebhookError;
use crate::destination::webhook::answer::{Body, Ending, outcome_of, retry_after};
use crate::destination::webhook::client::{
    ClientLimits, Clients, SystemLookup, beginning, ending_of,
};
use crate::destination::webhook::egress::{EgressRules, Origin};
use crate::destination::webhook::hidden;
use crate::destination::webhook::host::Host;
use crate::destination::webhook::sign::Signer;
use crate::destination::webhook::trace::{TRACEPARENT, traceparent};
use crate::destination::{Destination, EndpointView};
use crate::message::outcome::{Answer, Outbound, Outcome, Scope};
use crate::message::secret::Secret;
use crate::message::time::Timestamp;
use crate::tls::{ClientTls, TlsProfile};

/// Longest wait for name lookup, and again for connection and TLS handshake.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Most bytes read of an answer: nothing in it matters.
const ANSWER_BYTES_MAX: usize = 4096;
/// Calls to one host and port at the same time, of all its subscriptions: they share as many connections.
const CALLS_MAX: usize = 64;
/// Hosts and ports whose calls are counted.
const ORIGINS_MAX: usize = 1024;
/// Attributes of what is sent: the resource types it tells of.
pub const ABOUT: &str = "about";
/// Attribute of what is sent although the host was not reached a moment ago: somebody waits for the answer.
pub const URGENT: &str = "urgent";
/// Refusals that are a matter of time (RFC 9110 §15.5, RFC 4918 §11.3, RFC 8470, RFC 6585).
pub const PASSING: [&str; 5] = ["408", "409", "423", "425", "429"];
/// A longer wish of the receiver is cut to this.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// What holds for all subscribers.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// How long a host that one subscriber did not reach is not tried for another.
    pub moment: Duration,
    /// What a refusal (4xx) is.
    pub refusals: Refusals,
}

/// What a 4xx is that is no matter of time (408, 409, 423, 425, 429).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusals {
    /// Tried again by the schedule: receivers are mended.
    Passing,
    /// The end.
    Final,
}

/// What all subscribers share.
pub struct Switchboard {
    clients: Clients,
    rules: EgressRules,
    clock: Clock,
    manners: Manners,
    /// What is known of each host and port.
    hosts: Mutex<Vec<(Origin, Arc<Host>)>>,
    /// Something happened that the engine should look at.
    changed: Notify,
}

/// Whether a subscriber may still be told: asked before each call.
pub trait Grant: Send + Sync {
    /// Whether he may be told of resources of this type; `None`: whether anything may be sent to him.
    ///
    /// # Errors
    /// Why not, in words for people.
    fn may_hear_of(&self, kind: Option<&str>) -> Result<(), Box<str>>;
}

impl Switchboard {
    /// A switchboard to the places on `allow`.
    ///
    /// # Errors
    /// When the list cannot be read or TLS cannot be set up.
    pub fn new(
        allow: &[String],
        tls: Option<Arc<ClientTls>>,
        clock: Clock,
        manners: Manners,
    ) -> Result<Self, WebhookError> {
        let rules = EgressRules::parse(allow)?;
        let tls = match tls {
            Some(tls) => Some(tls),
            // A machine without roots can still call by http; https is refused there.
            None => ClientTls::load(&TlsProfile::default()).ok().map(Arc::new),
        };
        let limits = ClientLimits {
            connect_within: CONNECT_WITHIN,
            idle_max: Duration::from_secs(30),
            in_flight: CALLS_MAX,
        };
        let clients = Clients::new(limits, rules.clone(), tls, Arc::new(SystemLookup))?;
        let hosts = Mutex::default();
        Ok(Self { clients, rules, clock, manners, hosts, changed: Notify::new() })
    }

    /// What is known of an origin.
    fn host(&self, origin: &Origin) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = hosts.iter().find(|(known, _)| known == origin) {
            return Arc::clone(known);
        }
        if hosts.len() >= ORIGINS_MAX {
            hosts.retain(|(_, known)| Arc::strong_count(known) > 1);
        }
        let made = Arc::new(Host::new(CALLS_MAX, self.clock.clone()));
        hosts.push((origin.clone(), Arc::clone(&made)));
        made
    }

    /// Whether an endpoint may be reached, before its name is looked up.
    ///
    /// # Errors
    /// Why not, in words, without path or query.
    pub fn check(&self, endpoint: &str) -> Result<(), String> {
        let url = Url::parse(endpoint).map_err(|_| "it is no URL".to_owned())?;
        let origin = Origin::of(&url).map_err(|error| error.to_string())?;
        self.rules.check_host(&origin).map_err(|error| error.to_string())
    }

    /// Waits until a call ended in a way that the engine should look at.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Whom to call, and how: as the Subscription says today.
#[derive(Clone)]
pub struct Target {
    /// The endpoint.
    pub endpoint: Box<str>,
    /// Headers of each call.
    pub headers: Vec<(Box<str>, Secret)>,
    /// How long the receiver may take.
    pub within: Duration,
    /// Secrets that sign.
    pub secrets: Vec<Secret>,
    /// Whether older signature headers are sent too.
    pub aliases: Aliases,
    /// Whether he may be told.
    pub grant: Arc<dyn Grant>,
}

/// Older signature headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aliases {
    /// None.
    Without,
    /// `X-Hub-Signature: sha256=…` and `X-Signature`.
    With,
}

/// How calls went; read by the engine.
#[derive(Debug, Default)]
pub struct Health {
    /// Calls that failed since the last that did not.
    pub failures: AtomicU32,
    /// When the first of them began; 0 when there is none.
    pub failing_since: AtomicI64,
    /// When a call was last answered with success.
    pub last_success: AtomicI64,
    /// When a call was last made.
    pub last_call: AtomicI64,
    /// The receiver said that it is gone for good (410).
    pub gone: AtomicBool,
    last_code: Mutex<Cow<'static, str>>,
    withdrawn: Mutex<Option<Box<str>>>,
}

impl Health {
    /// The code of the last failure.
    #[must_use]
    pub fn last_code(&self) -> Cow<'static, str> {
        self.last_code.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why nothing was sent to him: he may not be told any more.
    #[must_use]
    pub fn withdrawn(&self) -> Option<Box<str>> {
        self.withdrawn.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn withdraw(&self, reason: Option<Box<str>>) {
        *self.withdrawn.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// Everything is forgotten: the subscription begins anew.
    pub fn clear(&self) {
        self.withdraw(None);
        self.failures.store(0, Ordering::Release);
        self.failing_since.store(0, Ordering::Release);
        self.gone.store(false, Ordering::Release);
    }

    /// Takes in how a call ended; whether the engine should look.
    fn ended(&self, outcome: &Outcome, began: Timestamp) -> bool {
        self.last_call.store(began.0, Ordering::Release);
        if let Outcome::Accepted(_) = outcome {
            self.last_success.store(began.0, Ordering::Release);
            self.failing_since.store(0, Ordering::Release);
            return self.failures.swap(0, Ordering::AcqRel) > 0;
        }
        let code = &outcome.answer().code;
        if &**code == "stopped" {
            return false;
        }
        (*self.last_code.lock().unwrap_or_else(PoisonError::into_inner)).clone_from(code);
        self.failures.fetch_add(1, Ordering::AcqRel);
        let none = 0;
        // Whoever was first stays.
        let _kept =
            self.failing_since.compare_exchange(none, began.0, Ordering::AcqRel, Ordering::Acquire);
        if &**code == "410" {
            self.gone.store(true, Ordering::Release);
        }
        true
    }
}

/// What is called besides the endpoint itself: the attributes of what is sent.
struct Wanted<'a> {
    method: Method,
    path: &'a str,
    media: &'a str,
}

struct Ready {
    target: Target,
    signer: Signer,
}

/// One subscriber.
pub struct Subscriber {
    board: Arc<Switchboard>,
    ready: ArcSwap<Ready>,
    health: Arc<Health>,
}

impl Subscriber {
    /// A subscriber of this target.
    ///
    /// # Errors
    /// When a secret cannot sign.
    pub fn new(board: Arc<Switchboard>, target: Target) -> Result<Self, String> {
        let signer = Signer::new(&target.secrets)?;
        let ready = ArcSwap::from_pointee(Ready { target, signer });
        Ok(Self { board, ready, health: Arc::default() })
    }

    /// Another target, from the next call on.
    ///
    /// # Errors
    /// When a secret cannot sign; the old target stays.
    pub fn replace(&self, target: Target) -> Result<(), String> {
        let signer = Signer::new(&target.secrets)?;
        self.ready.store(Arc::new(Ready { target, signer }));
        Ok(())
    }

    /// How calls went.
    #[must_use]
    pub const fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Whether he may (still) be told what this call says.
    fn granted(&self, outbound: &Outbound) -> Result<(), Box<str>> {
        let grant = Arc::clone(&self.ready.load().target.grant);
        grant.may_hear_of(None)?;
        let kinds = outbound.attributes.iter().filter(|(name, _)| &**name == ABOUT);
        kinds.into_iter().try_for_each(|(_, kind)| grant.may_hear_of(Some(kind)))
    }

    async fn end(&self, outbound: &Outbound) -> Ending {
        let ready = self.ready.load_full();
        let refused = |text: &str| Ending::Unsendable { code: "egress", text: text.to_owned() };
        let text = |name: &str| outbound.attribute(name).unwrap_or_default();
        let wanted = Wanted {
            method: Method::from_bytes(text("method").as_bytes()).unwrap_or(Method::POST),
            path: text("path"),
            media: text("media"),
        };
        let Ok(mut url) = Url::parse(&ready.target.endpoint) else {
            return refused("the endpoint is no URL");
        };
        if !wanted.path.is_empty()
            && let Ok(mut segments) = url.path_segments_mut()
        {
            segments.pop_if_empty().extend(wanted.path.split('/'));
        }
        let origin = match Origin::of(&url) {
            Ok(origin) => origin,
            Err(error) => return refused(&error.to_string()),
        };
        let host = self.board.host(&origin);
        let moment = match outbound.attribute(URGENT) {
            Some(_) => Duration::ZERO,
            None => self.board.manners.moment,
        };
        let _leave = match host.leave(moment).await {
            Ok(leave) => leave,
            Err(code) => {
                let text = "another subscriber of this host did not reach it a moment ago";
                return Ending::NotSent { code, text: text.to_owned() };
            }
        };
        let ending = self.called(&origin, url, &wanted, outbound, &ready).await;
        host.ended(&ending);
        ending
    }

    async fn called(
        &self,
        origin: &Origin,
        url: Url,
        wanted: &Wanted<'_>,
        outbound: &Outbound,
        ready: &Ready,
    ) -> Ending {
        let client = match self.board.clients.checked(origin).await {
            Ok(client) => client,
            Err(ending) => return ending,
        };
        let deadline = Instant::now() + ready.target.within;
        let request = self.request(&client, url, wanted, outbound, ready);
        let mut response = match timeout_at(deadline, request.send()).await {
            Err(_) => {
                return Ending::Unanswered {
                    code: "timeout",
                    text: format!("no answer within {:?}", ready.target.within),
                };
            }
            Ok(Err(error)) => return ending_of(&error),
            Ok(Ok(response)) => response,
        };
        let status = response.status().as_u16();
        let wish = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after =
            wish.and_then(|value| retry_after(value, &self.board.clock, RETRY_AFTER_MAX));
        let (bytes, _) = beginning(&mut response, deadline, ANSWER_BYTES_MAX).await;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // The status alone decides (FHIR R4 subscription.html): what follows it is not waited for.
        Ending::Answered { status, text, body: Body::Read, retry_after }
    }

    fn request(
        &self,
        client: &reqwest::Client,
        url: Url,
        wanted: &Wanted<'_>,
        outbound: &Outbound,
        ready: &Ready,
    ) -> reqwest::RequestBuilder {
        let now = self.board.clock.now();
        let timestamp_s = now.0.div_euclid(1_000_000);
        let mut request = client
            .request(wanted.method.clone(), url)
            .header("webhook-id", &*outbound.id)
            .header("webhook-timestamp", timestamp_s)
            .header(TRACEPARENT, traceparent(outbound.message, &outbound.id, now))
            .body(outbound.body.clone());
        if !wanted.media.is_empty() {
            request = request.header(CONTENT_TYPE, wanted.media);
        }
        for (name, value) in &ready.target.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Some(value)) = (name, hidden(value.expose())) {
                request = request.header(name, value);
            }
        }
        if !ready.signer.is_empty() {
            let signature = ready.signer.sign(&outbound.id, timestamp_s, &outbound.body);
            request = request.header("webhook-signature", signature);
        }
        if ready.target.aliases == Aliases::With
            && let Some(hex) = ready.signer.of_body(&outbound.body)
        {
            request = request
                .header("X-Hub-Signature", format!("sha256={hex}"))
                .header("X-Signature", hex);
        }
        request
    }
}

/// A receiver's refusal is not final before the schedule is through, unless all are; 410 is. A list of places
/// is mended by people.
fn softened(outcome: Outcome, refusals: Refusals) -> Outcome {
    match outcome {
        Outcome::Rejected(answer) if &*answer.code == "410" => Outcome::Rejected(answer),
        Outcome::Rejected(answer)
            if refusals == Refusals::Final
                && answer.code.starts_with('4')
                && !PASSING.contains(&&*answer.code) =>
        {
            Outcome::Rejected(answer)
        }
        Outcome::Rejected(answer) => {
            let scope = match &*answer.code {
                // Credentials and addresses concern every call.
                "401" | "403" | "404" | "egress" => Scope::Endpoint,
                _ => Scope::Message,
            };
            Outcome::Failed { answer, scope, retry_after: None }
        }
        other => other,
    }
}

#[async_trait]
impl Destination for Subscriber {
    async fn send(&self, outbound: &Outbound, stop: &CancellationToken) -> Outcome {
        if let Err(reason) = self.granted(outbound) {
            self.health.withdraw(Some(reason.clone()));
            self.board.changed.notify_one();
            let answer = Answer::new("withdrawn", &reason);
            return Outcome::Failed { answer, scope: Scope::Endpoint, retry_after: None };
        }
        let began = self.board.clock.now();
        // Once begun it is waited for: a call whose answer nobody heard is made again.
        let outcome = match stop.is_cancelled() {
            true => super::stopped(),
            false => softened(
                outcome_of(&Box::pin(self.end(outbound)).await),
                self.board.manners.refusals,
            ),
        };
        if self.health.ended(&outcome, began) {
            self.board.changed.notify_one();
        }
        outcome
    }

    fn endpoints(&self) -> Vec<EndpointView> {
        let ready = self.ready.load();
        let failures = self.health.failures.load(Ordering::Acquire);
        let shown = ready.target.endpoint.split(['?', '#']).next().unwrap_or_default();
        vec![EndpointView {
            endpoint: shown.to_owned(),
            healthy: failures == 0,
            in_flight: 0,
            last_error: (failures > 0).then(|| format!("answered {}", self.health.last_code())),
        }]
    }
}
