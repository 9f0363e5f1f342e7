//! One HTTP POST for each message, signed after the Standard Webhooks specification.
//!
//! Redirects are not followed, proxies not used, bodies not decompressed. Before each attempt the
//! receiver's addresses are looked up and checked against the list of places this destination may
//! reach, and only the checked addresses are connected to.

pub mod answer;
pub mod ask;
pub mod client;
pub mod egress;
pub mod host;
pub mod options;
pub mod sign;
pub mod trace;

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Client, Response, Url};
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::destination::pool::{Pool, PoolOptions};
use crate::destination::webhook::answer::{Ending, outcome_of, retry_after};
use crate::destination::webhook::client::{
    ClientLimits, Clients, Lookup, SystemLookup, beginning, ending_of,
};
use crate::destination::webhook::egress::{EgressError, EgressRules, Origin};
use crate::destination::webhook::options::Authorization;
use crate::destination::webhook::sign::Signer;
use crate::destination::webhook::trace::{TRACEPARENT, traceparent};
use crate::destination::{Destination, EndpointView};
use crate::message::outcome::{Answer, Outbound, Outcome};
use crate::tls::{ClientTls, TlsError, TlsProfile};

pub use options::WebhookOptions;

/// Why a webhook destination cannot be made of its options.
#[derive(Debug, Error)]
pub enum WebhookError {
    /// `url` is no URL, and is no template with its places in the host.
    #[error("`url` is no http or https URL; write e.g. https://emr.hospital.example/hooks")]
    Url,
    /// The host of `url` depends on the message, and nothing says where it may lead.
    #[error(
        "the host of `url` depends on the message: name the hosts it may lead to under `allow`"
    )]
    Anywhere,
    /// A place that cannot be allowed.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// A header that HTTP does not allow, or that the engine sets itself.
    #[error(
        "header `{0}` cannot be set: its name or value is not allowed, or the engine sets it itself"
    )]
    Header(String),
    /// A secret that cannot sign.
    #[error("{0}")]
    Secret(String),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// TLS cannot be set up at all.
    #[error("TLS: {0}")]
    Provider(#[from] rustls::Error),
}

/// Headers that the engine or HTTP itself sets.
const OWN_HEADERS: [&str; 9] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "authorization",
];

/// Sends over HTTP.
pub struct WebhookDestination {
    options: WebhookOptions,
    headers: HeaderMap,
    signer: Signer,
    clients: Clients,
    clock: Clock,
    places: Semaphore,
    pool: Pool,
}

impl WebhookDestination {
    /// A destination that sends to `options.url`, or to where each message's attribute `url` says.
    ///
    /// # Errors
    /// When an option cannot be used.
    pub fn new(
        options: WebhookOptions,
        tls: Option<Arc<ClientTls>>,
        clock: Clock,
    ) -> Result<Self, WebhookError> {
        Self::with_lookup(options, tls, clock, Arc::new(SystemLookup))
    }

    /// The same, with another name service.
    ///
    /// # Errors
    /// When an option cannot be used.
    pub fn with_lookup(
        options: WebhookOptions,
        tls: Option<Arc<ClientTls>>,
        clock: Clock,
        lookup: Arc<dyn Lookup>,
    ) -> Result<Self, WebhookError> {
        let rules = rules(&options)?;
        let tls = match tls {
            None if options.url.to_ascii_lowercase().starts_with("https:") => {
                Some(Arc::new(ClientTls::load(&TlsProfile::default())?))
            }
            given => given,
        };
        let in_flight = usize::try_from(options.in_flight).unwrap_or(1).max(1);
        Ok(Self {
            headers: headers(&options)?,
            signer: Signer::new(&options.sign).map_err(WebhookError::Secret)?,
            clients: Clients::new(limits(&options), rules, tls, lookup)?,
            clock,
            places: Semaphore::new(in_flight.min(Semaphore::MAX_PERMITS)),
            pool: Pool::new([shown(&options.url)], PoolOptions::default()),
            options,
        })
    }

    /// One request, from the check of its URL to the end of its answer.
    async fn end(&self, outbound: &Outbound, stop: &CancellationToken) -> Ending {
        let prepared = tokio::select! {
            biased;
            () = stop.cancelled() => Err(Ending::NotSent {
                code: "stopped",
                text: "the engine is stopping".to_owned(),
            }),
            prepared = self.prepare(outbound) => prepared,
        };
        let (_place, client, url) = match prepared {
            Ok(prepared) => prepared,
            Err(ending) => return ending,
        };
        let deadline = Instant::now() + self.options.reply_within;
        match timeout_at(deadline, self.post(&client, url, outbound)).await {
            Err(_) => Ending::Unanswered {
                code: "timeout",
                text: format!("no answer within {:?}", self.options.reply_within),
            },
            Ok(Err(error)) => ending_of(&error),
            Ok(Ok(response)) => self.answered(response, deadline).await,
        }
    }

    /// A free place, and a client for the message's URL, once that is known to be allowed.
    async fn prepare(
        &self,
        outbound: &Outbound,
    ) -> Result<(SemaphorePermit<'_>, Client, Url), Ending> {
        let refused = |text: String| Ending::Unsendable { code: "egress", text };
        let place = match timeout(self.options.reply_within, self.places.acquire()).await {
            Ok(Ok(place)) => place,
            _ => {
                let text = "all requests at the same time (`in_flight`) are waiting".to_owned();
                return Err(Ending::NotSent { code: "busy", text });
            }
        };
        let url = outbound.attribute("url").unwrap_or(&self.options.url);
        let mut url =
            Url::parse(url).map_err(|_| refused("the resolved URL is none".to_owned()))?;
        url.set_fragment(None);
        let origin = Origin::of(&url).map_err(|error| refused(error.to_string()))?;
        let client = self.clients.checked(&origin).await?;
        Ok((place, client, url))
    }

    async fn post(
        &self,
        client: &Client,
        url: Url,
        outbound: &Outbound,
    ) -> reqwest::Result<Response> {
        let id = webhook_id(outbound);
        let timestamp_s = self.clock.now().0.div_euclid(1_000_000);
        let content_type = self.options.content_type.as_deref();
        let mut request = client
            .post(url)
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, content_type.unwrap_or(outbound.content_type.media_type()))
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp_s)
            .body(outbound.body.clone());
        if !self.headers.contains_key(TRACEPARENT) {
            let trace = traceparent(outbound.message, &id, self.clock.now());
            request = request.header(TRACEPARENT, trace);
        }
        if !self.signer.is_empty() {
            let signature = self.signer.sign(&id, timestamp_s, &outbound.body);
            request = request.header("webhook-signature", signature);
        }
        request.send().await
    }

    async fn answered(&self, mut response: Response, deadline: Instant) -> Ending {
        let status = response.status().as_u16();
        let wish = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wish =
            wish.and_then(|value| retry_after(value, &self.clock, self.options.retry_after_max));
        let limit = self.options.answer_bytes_max;
        let (mut kept, body) = beginning(&mut response, deadline, limit).await;
        kept.truncate(Answer::TEXT_BYTES_MAX);
        let text = String::from_utf8_lossy(&kept).into_owned();
        Ending::Answered { status, text, body, retry_after: wish }
    }
}

#[async_trait]
impl Destination for WebhookDestination {
    async fn send(&self, outbound: &Outbound, stop: &CancellationToken) -> Outcome {
        let in_flight = self.pool.begin(0, Instant::now());
        let ending = self.end(outbound, stop).await;
        match &ending {
            Ending::Answered { status, .. } if *status < 300 || (400..500).contains(status) => {
                in_flight.succeeded();
            }
            Ending::Answered { status, .. } => {
                in_flight.failed(&format!("answered {status}"), Instant::now());
            }
            Ending::NotSent { code: "stopped" | "busy", .. } => {}
            Ending::NotSent { text, .. } | Ending::Unanswered { text, .. } => {
                in_flight.failed(text, Instant::now());
            }
            Ending::Unsendable { .. } => {}
        }
        outcome_of(&ending)
    }

    fn endpoints(&self) -> Vec<EndpointView> {
        self.pool.endpoints()
    }
}

fn limits(options: &WebhookOptions) -> ClientLimits {
    ClientLimits {
        // So that a time limit that strikes while connecting is known to have done so.
        connect_within: options.connect_within.min(options.reply_within / 2),
        idle_max: options.idle_max,
        in_flight: usize::try_from(options.in_flight).unwrap_or(usize::MAX),
    }
}

/// The places the options allow.
fn rules(options: &WebhookOptions) -> Result<EgressRules, WebhookError> {
    let own = Url::parse(&options.url).map_err(|_| match options.url.contains('<') {
        true => WebhookError::Anywhere,
        false => WebhookError::Url,
    });
    if options.allow.is_empty() {
        return Ok(EgressRules::only(&Origin::of(&own?)?));
    }
    match own {
        Ok(url) => drop(Origin::of(&url)?),
        Err(WebhookError::Anywhere) => {}
        Err(error) => return Err(error),
    }
    Ok(EgressRules::parse(&options.allow)?)
}

/// The headers that are the same for each request.
fn headers(options: &WebhookOptions) -> Result<HeaderMap, WebhookError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &options.headers {
        let wrong = || WebhookError::Header(name.clone());
        let lower = name.to_ascii_lowercase();
        if OWN_HEADERS.contains(&lower.as_str()) || lower.starts_with("webhook-") {
            return Err(wrong());
        }
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        headers.append(key, hidden(value.expose()).ok_or_else(wrong)?);
    }
    let authorization = match &options.authorization {
        Authorization::None => None,
        Authorization::Bearer(token) => Some(format!("Bearer {}", token.expose())),
        Authorization::Basic { user, password } => {
            Some(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose()))))
        }
    };
    if let Some(value) = authorization {
        let wrong = || WebhookError::Header("Authorization".to_owned());
        headers.insert(AUTHORIZATION, hidden(&value).ok_or_else(wrong)?);
    }
    if options.content_type.as_deref().is_some_and(|value| HeaderValue::from_str(value).is_err()) {
        return Err(WebhookError::Header("Content-Type".to_owned()));
    }
    Ok(headers)
}

/// A value that is not shown in traces and not kept in HTTP/2 tables.
pub(in crate::destination) fn hidden(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// `webhook-id`: the id of the message to send, or, when that cannot stand in a header or holds the
/// signature's separator, one derived from it that a repeat carries again.
fn webhook_id(outbound: &Outbound) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let id = &*outbound.id;
    if !id.is_empty() && id.len() <= 255 && id.bytes().all(plain) {
        return id.to_owned();
    }
    outbound.message.derive(id).to_string()
}

/// The URL without query, which may hold tokens.
fn shown(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or(url).to_owned()
}
