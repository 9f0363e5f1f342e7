//! Writes to a FHIR server: create, update, conditional update, transaction, `$process-message`.
//!
//! The same rules of where it may go as for webhooks hold: an allow-list, addresses looked up and checked
//! before each attempt, no redirects, no proxies.

pub mod options;
mod outcome;
mod request;
pub mod token;

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use reqwest::{Method, Url};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::destination::fhir::options::{Access, FhirOptions};
use crate::destination::fhir::outcome::Answered;
use crate::destination::fhir::request::{Request, Unfit};
use crate::destination::fhir::token::Tokens;
use crate::destination::pool::{Pool, PoolOptions};
use crate::destination::webhook::answer::{Ending, retry_after};
use crate::destination::webhook::client::{
    ClientLimits, Clients, Lookup, SystemLookup, beginning, ending_of,
};
use crate::destination::webhook::egress::{EgressError, EgressRules, Origin};
use crate::destination::webhook::options::Authorization;
use crate::destination::webhook::trace::{TRACEPARENT, traceparent};
use crate::destination::webhook::{answer, hidden};
use crate::destination::{Destination, EndpointView};
use crate::message::outcome::{Outbound, Outcome};
use crate::message::secret::Secret;
use crate::tls::{ClientTls, TlsError, TlsProfile};

/// FHIR R4 http.html#mime-type.
const FHIR_JSON: &str = "application/fhir+json";

/// Why a FHIR destination cannot be made of its options.
#[derive(Debug, Error)]
pub enum FhirError {
    /// `base` is no URL.
    #[error("`base` is no http or https URL; write e.g. https://fhir.hospital.example/r4")]
    Base,
    /// A place that cannot be allowed.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// A token or password that cannot stand in a header.
    #[error("the token or password holds characters that cannot be sent")]
    Header,
    /// OAuth cannot be set up.
    #[error("{0}")]
    Access(String),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// TLS cannot be set up at all.
    #[error("TLS: {0}")]
    Provider(#[from] rustls::Error),
}

/// A FHIR server.
pub struct FhirDestination {
    options: FhirOptions,
    base: Url,
    origin: Origin,
    clients: Clients,
    tokens: Option<Tokens>,
    fixed: Option<Secret>,
    clock: Clock,
    places: Semaphore,
    pool: Pool,
}

impl FhirDestination {
    /// A destination of these options.
    ///
    /// # Errors
    /// When an option cannot be used.
    pub fn new(
        options: FhirOptions,
        tls: Option<Arc<ClientTls>>,
        clock: Clock,
    ) -> Result<Self, FhirError> {
        Self::with_lookup(options, tls, clock, Arc::new(SystemLookup))
    }

    /// The same, with another name service.
    ///
    /// # Errors
    /// When an option cannot be used.
    pub fn with_lookup(
        options: FhirOptions,
        tls: Option<Arc<ClientTls>>,
        clock: Clock,
        lookup: Arc<dyn Lookup>,
    ) -> Result<Self, FhirError> {
        let base = Url::parse(&options.base).map_err(|_| FhirError::Base)?;
        let origin = Origin::of(&base)?;
        let token_url = token_url(&options.access);
        let rules = rules(&options, &origin, token_url)?;
        let secure = options.base.starts_with("https:")
            || token_url.is_some_and(|url| url.starts_with("https:"));
        let tls = match tls {
            None if secure => Some(Arc::new(ClientTls::load(&TlsProfile::default())?)),
            given => given,
        };
        let in_flight = usize::try_from(options.in_flight).unwrap_or(1).max(1);
        let limits = ClientLimits {
            connect_within: options.connect_within.min(options.reply_within / 2),
            idle_max: options.idle_max,
            in_flight,
        };
        Ok(Self {
            fixed: fixed(&options.access)?,
            clients: Clients::new(limits, rules, tls, lookup)?,
            tokens: Tokens::new(&options.access, clock.clone()).map_err(FhirError::Access)?,
            places: Semaphore::new(in_flight.min(Semaphore::MAX_PERMITS)),
            pool: Pool::new([options.base.clone()], PoolOptions::default()),
            clock,
            base,
            origin,
            options,
        })
    }

    /// One request; with a token that the server does not take, a second one with a new token.
    async fn end(&self, outbound: &Outbound, stop: &CancellationToken) -> Result<Outcome, Ending> {
        let body: Option<Value> = serde_json::from_slice(&outbound.body).ok();
        let unfit = |Unfit(text)| Ending::Unsendable { code: "unfit", text: text.to_owned() };
        let body = body.ok_or(Unfit("it is no JSON")).map_err(unfit)?;
        let system = self.options.identifier_system.as_deref();
        let request = request::request(&body, self.options.action, system, self.options.deletes)
            .map_err(unfit)?;
        drop(body);
        if stop.is_cancelled() {
            return Ok(super::stopped());
        }
        let busy = || Ending::NotSent {
            code: "busy",
            text: "all requests at the same time (`in_flight`) are waiting".to_owned(),
        };
        let place = timeout(self.options.reply_within, self.places.acquire()).await;
        let _place = place.map_err(|_| busy())?.map_err(|_| busy())?;
        let deadline = Instant::now() + self.options.reply_within;
        let (answered, token) = self.ask(&request, outbound, deadline).await?;
        let Some((tokens, token)) = self.tokens.as_ref().zip(token) else {
            return Ok(outcome::outcome_of(request.answer, &answered));
        };
        if answered.status != 401 {
            return Ok(outcome::outcome_of(request.answer, &answered));
        }
        // A 401 means that nothing was done (RFC 9110 §15.5.2), so that asking again is safe.
        tokens.forget(&token).await;
        let (answered, _) = self.ask(&request, outbound, deadline).await?;
        Ok(outcome::outcome_of(request.answer, &answered))
    }

    async fn ask(
        &self,
        request: &Request,
        outbound: &Outbound,
        deadline: Instant,
    ) -> Result<(Answered, Option<Secret>), Ending> {
        let token = match &self.tokens {
            Some(tokens) => Some(tokens.bearer(&self.clients, deadline).await?),
            None => None,
        };
        let client = self.clients.checked(&self.origin).await?;
        let method = Method::from_bytes(request.method.as_bytes()).unwrap_or(Method::POST);
        let mut building = client
            .request(method, self.url(request))
            .header(ACCEPT, FHIR_JSON)
            // Not of FHIR; servers and proxies that know it recognise a repeat.
            .header("Idempotency-Key", outbound.message.derive(&outbound.id).to_string())
            .header("Prefer", "return=OperationOutcome")
            .header(TRACEPARENT, traceparent(outbound.message, &outbound.id, self.clock.now()));
        if request.has_body {
            building = building.header(CONTENT_TYPE, FHIR_JSON).body(outbound.body.clone());
        }
        if let Some(value) = request.if_none_exist.as_deref().and_then(hidden) {
            building = building.header(HeaderName::from_static("if-none-exist"), value);
        }
        let bearer = token.as_ref().map(|token| format!("Bearer {}", token.expose()));
        let fixed = self.fixed.as_ref().map(Secret::expose);
        if let Some(value) = bearer.as_deref().or(fixed).and_then(hidden) {
            building = building.header(AUTHORIZATION, value);
        }
        let mut response = match timeout_at(deadline, building.send()).await {
            Err(_) => {
                return Err(Ending::Unanswered {
                    code: "timeout",
                    text: format!("no answer within {:?}", self.options.reply_within),
                });
            }
            Ok(Err(error)) => return Err(ending_of(&error)),
            Ok(Ok(response)) => response,
        };
        let status = response.status().as_u16();
        let wish = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after =
            wish.and_then(|value| retry_after(value, &self.clock, self.options.retry_after_max));
        let limit = self.options.answer_bytes_max;
        let (bytes, read) = beginning(&mut response, deadline, limit).await;
        let body = serde_json::from_slice(&bytes).ok();
        Ok((Answered { status, body, read, retry_after }, token))
    }

    fn url(&self, request: &Request) -> Url {
        let mut url = self.base.clone();
        url.set_fragment(None);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(&request.path);
        }
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        url
    }
}

#[async_trait]
impl Destination for FhirDestination {
    async fn send(&self, outbound: &Outbound, stop: &CancellationToken) -> Outcome {
        let in_flight = self.pool.begin(0, Instant::now());
        let ended = Box::pin(self.end(outbound, stop)).await;
        match &ended {
            Ok(Outcome::Failed { answer, .. }) => {
                in_flight.failed(&format!("answered {}", answer.code), Instant::now());
            }
            Ok(_) => in_flight.succeeded(),
            Err(Ending::NotSent { code: "busy", .. } | Ending::Unsendable { .. }) => {}
            Err(Ending::NotSent { text, .. } | Ending::Unanswered { text, .. }) => {
                in_flight.failed(text, Instant::now());
            }
            Err(Ending::Answered { .. }) => {}
        }
        ended.unwrap_or_else(|ending| answer::outcome_of(&ending))
    }

    fn endpoints(&self) -> Vec<EndpointView> {
        self.pool.endpoints()
    }
}

/// Where tokens are asked for.
fn token_url(access: &Access) -> Option<&str> {
    match access {
        Access::Header(_) => None,
        Access::ClientCredentials { grant, .. } | Access::Smart { grant, .. } => {
            Some(&grant.token_url)
        }
    }
}

/// A list of one's own, or the two places the options name.
fn rules(
    options: &FhirOptions,
    base: &Origin,
    token_url: Option<&str>,
) -> Result<EgressRules, FhirError> {
    if !options.allow.is_empty() {
        return Ok(EgressRules::parse(&options.allow)?);
    }
    let rules = EgressRules::only(base);
    let Some(url) = token_url else { return Ok(rules) };
    let url = Url::parse(url).map_err(|_| FhirError::Access("the token URL is none".to_owned()))?;
    Ok(rules.and(EgressRules::only(&Origin::of(&url)?)))
}

/// The `Authorization` header that is always the same.
fn fixed(access: &Access) -> Result<Option<Secret>, FhirError> {
    let Access::Header(authorization) = access else { return Ok(None) };
    let value = match authorization {
        Authorization::None => return Ok(None),
        Authorization::Bearer(token) => format!("Bearer {}", token.expose()),
        Authorization::Basic { user, password } => {
            format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose())))
        }
    };
    hidden(&value).ok_or(FhirError::Header)?;
    Ok(Some(Secret::new(&value)))
}
