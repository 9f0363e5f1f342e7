//! From HTTP to what is asked, and back: paths, headers, who asks, bodies within their limits.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH,
};
use hyper::{Request, Response};
use metrics::{counter, histogram};
use tokio::time::{Instant, timeout};
use tracing::debug;
use uuid::Uuid;

use crate::message::secret::Secret;
use crate::resources::fault::{Fault, bad, not_found, unavailable};
use crate::source::body::{self, BodyFault};
use crate::source::budget::Share;
use crate::source::fhir::access::scope::Scopes;
use crate::source::fhir::access::{Access, Principal};
use crate::source::fhir::answer::{Answer, Content, Manner, from_http_date, respond};
use crate::source::fhir::ask::{Ask, Caller, Conditions, Query, Sent, Verb, query_of};
use crate::source::fhir::desk::Desk;
use crate::source::fhir::hear::verify::Signed;
use crate::source::fhir::negotiate::{acceptable, is_form, prefer, unsupported};
use crate::source::fhir::route::{Route, route};
use crate::telemetry::metrics::{ACK_SECONDS, MESSAGES_REFUSED};

/// Requests of one client that are worked on at once; more get 429.
const IN_FLIGHT_MAX: u32 = 64;
/// Longest request id taken from a client.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// Takes requests in and hands answers out.
pub(super) struct Clerk {
    pub(super) desk: Desk,
    pub(super) access: Arc<Access>,
    pub(super) scheme: &'static str,
    pub(super) address: SocketAddr,
    pub(super) in_flight: Mutex<HashMap<Box<str>, u32>>,
}

/// A place among the requests of one client; gives it back when dropped.
struct Turn<'a> {
    clerk: &'a Clerk,
    client: Box<str>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut held = self.clerk.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&self.client);
            }
        }
    }
}

impl Clerk {
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        certificate: &[String],
    ) -> Response<Full<Bytes>> {
        let began = Instant::now();
        let request_id = request_id(request.headers());
        let query = query_of(request.uri().query().unwrap_or_default());
        let pretty = query.iter().any(|(name, value)| name == "_pretty" && value == "true");
        let head = request.method() == hyper::Method::HEAD;
        let peer: Arc<str> = peer.ip().to_canonical().to_string().into();
        let worked = Box::pin(self.work(request, query, &request_id, &peer, certificate)).await;
        let answer = match worked {
            Ok(answer) => answer,
            Err((fault, seen)) => {
                self.turn_away(&fault, &request_id, &peer, seen);
                self.desk.on_record(Answer::fault(&fault), false).await
            }
        };
        histogram!(ACK_SECONDS, "channel" => self.desk.channel.to_string()).record(began.elapsed());
        let manner = Manner {
            pretty,
            head,
            request_id: &request_id,
            retry_after: self.desk.options.retry_after,
            challenge: self.access.challenge(),
        };
        respond(answer, &manner)
    }

    /// The answer, or why there is none but a refusal; with it, who was seen by then.
    async fn work(
        &self,
        request: Request<Incoming>,
        query: Query,
        request_id: &str,
        peer: &Arc<str>,
        certificate: &[String],
    ) -> Result<Answer, (Fault, Option<Arc<Principal>>)> {
        let nobody = |fault: Fault| (fault, None);
        let (head, body) = request.into_parts();
        let route = self.route(head.uri.path()).map_err(nobody)?;
        let verb = Verb::of(head.method.as_str()).ok_or_else(|| nobody(method_unknown()))?;
        let format = query.iter().find(|(name, _)| name == "_format").map(|(_, value)| &**value);
        acceptable(format, text(&head.headers, &ACCEPT)).map_err(nobody)?;
        let open = matches!(route, Route::Metadata | Route::Smart);
        let principal = if open {
            Principal { name: "anybody".into(), means: "none", scopes: Scopes::All }
        } else {
            let shown = text(&head.headers, &AUTHORIZATION);
            self.access.who(shown, certificate).await.map_err(nobody)?
        };
        let principal = Arc::new(principal);
        let somebody = |fault: Fault| (fault, Some(Arc::clone(&principal)));
        let _turn = self.turn(&principal, peer).map_err(somebody)?;
        let caller = Caller {
            principal: Arc::clone(&principal),
            peer: Arc::clone(peer),
            request: request_id.into(),
            base: self.base(&head.headers).into(),
        };
        if route == Route::Smart {
            let told = self.access.smart_configuration();
            let none = || not_found("tokens of no authorization server are taken here");
            let answer = |told| Answer { body: Content::Plain(told), ..Answer::empty(200) };
            return told.map(answer).ok_or_else(|| somebody(none()));
        }
        let mut ask = Ask {
            caller,
            at: self.desk.parts.clock.now(),
            verb,
            route,
            query,
            conditions: conditions(&head.headers),
            prefer: text_of_all(&head.headers, "prefer")
                .map(|text| prefer(&text))
                .unwrap_or_default(),
            sent: Sent::Nothing,
        };
        // What the request holds until it is performed.
        let mut share = self.desk.intake.share();
        if matches!(verb, Verb::Post | Verb::Put | Verb::Patch) {
            let encoded = head.headers.get(CONTENT_ENCODING).is_some_and(|name| name != "identity");
            if encoded {
                return Err(somebody(unsupported("the body must not be compressed")));
            }
            let bytes = self.body(body, &mut share).await.map_err(somebody)?;
            let name = text(&head.headers, &CONTENT_TYPE);
            if matches!(ask.route, Route::Search(_) | Route::SystemSearch) {
                // FHIR R4 http.html#search: parameters of the URL and of the form count alike.
                add_form(&mut ask, &bytes, name).map_err(somebody)?;
            } else {
                ask.sent = Sent::Bytes(bytes, name.map(ToOwned::to_owned));
            }
        }
        let security = self.access.security();
        let within = self.desk.options.timeouts.answer;
        let performed = timeout(within, Box::pin(self.desk.perform(ask, &security))).await;
        performed.map_err(|_| somebody(unavailable("no answer in time; ask again")))
    }

    /// What the path means; it must lie below the base.
    fn route(&self, path: &str) -> Result<Route, Fault> {
        let base = self.desk.options.base.trim_end_matches('/');
        let below = path.strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        match below.map(route) {
            Some(Route::Unknown) | None => Err(not_found("nothing is at this path")),
            Some(route) => Ok(route),
        }
    }

    /// What clients call the endpoint: as configured, or as they just did.
    fn base(&self, headers: &HeaderMap) -> String {
        let options = &self.desk.options;
        if let Some(url) = &options.public_url {
            return url.trim_end_matches('/').to_owned();
        }
        let plain =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_');
        let host =
            text(headers, &HOST).filter(|host| host.chars().all(plain)).map(ToOwned::to_owned);
        let host = host.unwrap_or_else(|| self.address.to_string());
        format!("{}://{host}{}", self.scheme, options.base.trim_end_matches('/'))
    }

    fn turn(&self, principal: &Principal, peer: &str) -> Result<Turn<'_>, Fault> {
        let client: Box<str> = match principal.means {
            "none" => peer.into(),
            _ => principal.name.clone(),
        };
        let mut held = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(client.clone()).or_default();
        if *count >= IN_FLIGHT_MAX {
            let text = "too many requests of this client are in work; wait for answers";
            return Err(Fault::new(429, "throttled", "in-flight", text));
        }
        *count += 1;
        drop(held);
        Ok(Turn { clerk: self, client })
    }

    async fn body(&self, body: Incoming, share: &mut Share) -> Result<Bytes, Fault> {
        let (limit, within) = (self.desk.options.body_bytes_max, self.desk.options.timeouts.body);
        body::read(body, limit, within, share).await.map_err(|fault| match fault {
            BodyFault::TooLarge => {
                let text = format!("the body is larger than {limit} bytes");
                Fault::new(413, "too-long", "body", text)
            }
            BodyFault::Incomplete => bad("body", "the body ended early"),
            BodyFault::TooSlow => Fault::new(408, "timeout", "body", "the body came too slowly"),
            BodyFault::NoRoom => unavailable("too many large bodies at once; ask again"),
        })
    }

    fn turn_away(&self, fault: &Fault, request: &str, peer: &str, seen: Option<Arc<Principal>>) {
        let desk = &self.desk;
        let detail = fault.issues.first().map_or("", |issue| &*issue.detail).to_owned();
        debug!(channel = %desk.channel, status = fault.status, reason = %detail, "request refused");
        counter!(
            MESSAGES_REFUSED,
            "channel" => desk.channel.to_string(),
            "reason" => if fault.status >= 500 { "unavailable" } else { "request" }
        )
        .increment(1);
        desk.status.refused(desk.parts.clock.now(), &format!("{} {detail}", fault.status));
        desk.note(request, peer, seen.as_deref(), "request", "", "", fault.status);
    }
}

fn method_unknown() -> Fault {
    Fault::new(405, "not-supported", "method", "FHIR has no use for this method")
}

/// FHIR R4 http.html#custom: echoed, or made here.
fn request_id(headers: &HeaderMap) -> String {
    let given = text(headers, &HeaderName::from_static("x-request-id"));
    let fits = |id: &&str| {
        !id.is_empty()
            && id.len() <= REQUEST_ID_CHARS_MAX
            && id.chars().all(|c| c.is_ascii_graphic())
    };
    given.filter(fits).map_or_else(|| Uuid::now_v7().to_string(), ToOwned::to_owned)
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// All values of a header that may be given more than once.
fn text_of_all(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<_> =
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn conditions(headers: &HeaderMap) -> Conditions {
    Conditions {
        if_match: text(headers, &IF_MATCH).map(ToOwned::to_owned),
        if_none_match: text_of_all(headers, IF_NONE_MATCH.as_str()),
        if_modified_since: text(headers, &IF_MODIFIED_SINCE).and_then(from_http_date),
        if_none_exist: text(headers, &HeaderName::from_static("if-none-exist"))
            .map(|query| query.trim_start_matches('?').into()),
        hub_secret: text(headers, &HeaderName::from_static("x-hub-secret")).map(Secret::new),
        signed: signed(headers),
    }
}

/// Standard Webhooks 1.0.0, headers.
fn signed(headers: &HeaderMap) -> Signed {
    let of = |name| text(headers, &HeaderName::from_static(name)).unwrap_or_default().to_owned();
    Signed {
        id: of("webhook-id"),
        timestamp: of("webhook-timestamp"),
        signatures: of("webhook-signature"),
    }
}

fn add_form(ask: &mut Ask, bytes: &Bytes, name: Option<&str>) -> Result<(), Fault> {
    if bytes.is_empty() {
        return Ok(());
    }
    if !is_form(name) {
        return Err(unsupported("a search is posted as application/x-www-form-urlencoded"));
    }
    let form = std::str::from_utf8(bytes).map_err(|_| bad("form", "the form is not UTF-8"))?;
    ask.query.extend(query_of(form));
    Ok(())
}
