//! One request: who asks, what it carries, and what the intake says of it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use hyper::{Method, Request, StatusCode};
use metrics::{counter, histogram};
use tokio::time::{Instant, timeout};
use tracing::debug;
use xxhash_rust::xxh3::xxh3_64;

use crate::clock::Clock;
use crate::message::kind::ContentType;
use crate::message::payload::Payload;
use crate::message::verdict::{DuplicateRule, IfChanged};
use crate::source::batch::{self, Headers, Read};
use crate::source::body::{self, BodyFault};
use crate::source::budget::Share;
use crate::source::http::answer::{self, Answer};
use crate::source::http::options::HttpSourceOptions;
use crate::source::intake::{Intake, Received, Reply};
use crate::source::status::SourceStatus;
use crate::telemetry::metrics::{ACK_SECONDS, MESSAGES_REFUSED};

/// Headers that name a request, the first that is there counts. The second is what webhooks of the
/// Standard Webhooks kind (our own among them) send.
const IDENTITY_HEADERS: [&str; 2] = ["idempotency-key", "webhook-id"];
/// Longest identity taken.
const IDENTITY_BYTES_MAX: usize = 255;

/// Answers the requests of one source.
pub(super) struct Desk {
    pub(super) channel: Arc<str>,
    pub(super) options: HttpSourceOptions,
    pub(super) clock: Clock,
    pub(super) intake: Intake,
    pub(super) status: Arc<SourceStatus>,
}

/// Why a request is turned away before it is a message.
struct Turned {
    status: StatusCode,
    reason: &'static str,
    detail: String,
}

fn turned(status: StatusCode, reason: &'static str, detail: &str) -> Turned {
    Turned { status, reason, detail: detail.to_owned() }
}

impl Desk {
    pub(super) async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Answer {
        // What the request holds until it is answered.
        let mut share = self.intake.share();
        let received = match self.read(request, peer, &mut share).await {
            Ok(received) => received,
            Err(turned) => return self.turn_away(&turned),
        };
        let began = Instant::now();
        let answer = self.receive(received).await;
        histogram!(ACK_SECONDS, "channel" => self.channel.to_string()).record(began.elapsed());
        answer
    }

    async fn receive(&self, received: Received) -> Answer {
        let (at, retry_after) = (received.at, self.options.retry_after);
        let divided = match received.content_type {
            Some(ContentType::Hl7v2) => batch::read(received.payload.expose(), Headers::Optional),
            _ => Read::One,
        };
        let batch = match divided {
            Read::Batch(batch) => batch,
            Read::One => {
                let lost = || Reply::Unavailable { reason: "no answer".to_owned() };
                let reply = self.take(vec![received]).await.pop().unwrap_or_else(lost);
                self.note(&reply, at);
                return answer::of_reply(&reply, retry_after);
            }
            Read::Broken(problem) => {
                let reply = Reply::Refused(problem);
                self.note(&reply, at);
                self.intake.keep(&received, "batch: it cannot be divided".to_owned()).await;
                return answer::of_reply(&reply, retry_after);
            }
        };
        if let Some(fault) = batch::fault(&batch, self.options.batch_messages_max) {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return self.turn_away(&Turned { status, reason: "batch", detail: fault });
        }
        let most = self.options.batch_messages_max;
        let mut messages = batch::received(&batch, &received, most);
        for (index, message) in messages.iter_mut().enumerate() {
            if let Some(rule) = &mut message.duplicate {
                rule.identity = rule.identity.wrapping_add(u64::try_from(index).unwrap_or(0));
                rule.content = xxh3_64(message.payload.expose());
            }
        }
        let replies = self.take(messages).await;
        replies.iter().for_each(|reply| self.note(reply, at));
        answer::of_batch(&replies, retry_after)
    }

    async fn take(&self, messages: Vec<Received>) -> Vec<Reply> {
        let count = messages.len();
        let taken = timeout(self.options.timeouts.answer, self.intake.receive_batch(messages));
        taken.await.unwrap_or_else(|_| {
            let reason = "the store did not answer in time; send it again".to_owned();
            vec![Reply::Unavailable { reason }; count]
        })
    }

    fn note(&self, reply: &Reply, at: crate::message::time::Timestamp) {
        match reply {
            Reply::Accepted { .. } => self.status.received(at),
            Reply::Refused(problem) => self.status.refused(at, &problem.text),
            Reply::Unavailable { reason } => self.status.refused(at, reason),
        }
    }

    fn turn_away(&self, turned: &Turned) -> Answer {
        let Turned { status, reason, detail } = turned;
        let channel = self.channel.to_string();
        counter!(MESSAGES_REFUSED, "channel" => channel, "reason" => *reason).increment(1);
        self.status.refused(self.clock.now(), detail);
        debug!(channel = %self.channel, status = status.as_u16(), reason, "request refused");
        answer::problem(*status, detail)
    }

    async fn read(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        share: &mut Share,
    ) -> Result<Received, Turned> {
        if request.uri().path() != &*self.options.path {
            return Err(turned(StatusCode::NOT_FOUND, "path", "nothing is posted to this path"));
        }
        if request.method() != Method::POST {
            let detail = "messages are posted";
            return Err(turned(StatusCode::METHOD_NOT_ALLOWED, "method", detail));
        }
        self.check_token(request.headers())?;
        let content_type = self.content_type(request.headers())?;
        let identity = identity(request.headers())?;
        let body = self.body(request.into_body(), share).await?;
        if body.is_empty() {
            return Err(turned(StatusCode::BAD_REQUEST, "incomplete", "the body is empty"));
        }
        let duplicate = identity.map(|identity| self.duplicate_rule(&identity, &body));
        let peer = peer.ip().to_canonical().to_string();
        let channel = Arc::clone(&self.channel);
        let received = Received::new(channel, Payload::new(body), self.clock.now(), peer);
        Ok(Received { content_type: Some(content_type), duplicate, ..received })
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Turned> {
        let tokens = &self.options.tokens;
        if tokens.is_empty() {
            return Ok(());
        }
        let given = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        // Every token is compared, so that the time says nothing of which one it was.
        let known = given
            .is_some_and(|given| tokens.iter().filter(|token| token.matches(given)).count() > 0);
        if known {
            return Ok(());
        }
        let detail = "a bearer token of this source is needed";
        Err(turned(StatusCode::UNAUTHORIZED, "unauthorized", detail))
    }

    fn content_type(&self, headers: &HeaderMap) -> Result<ContentType, Turned> {
        let unsupported =
            |detail: &str| turned(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", detail);
        let encoded = headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity");
        if encoded {
            return Err(unsupported("the body must not be compressed"));
        }
        match headers.get(CONTENT_TYPE) {
            None => self.options.content_type.ok_or_else(|| unsupported("Content-Type is missing")),
            Some(value) => value
                .to_str()
                .ok()
                .and_then(content_type_of)
                .ok_or_else(|| unsupported("this content type is not read here")),
        }
    }

    async fn body(&self, body: Incoming, share: &mut Share) -> Result<Bytes, Turned> {
        let (limit, within) = (self.options.body_bytes_max, self.options.timeouts.body);
        body::read(body, limit, within, share).await.map_err(|fault| match fault {
            BodyFault::TooLarge => {
                let detail = format!("the body is larger than {limit} bytes");
                turned(StatusCode::PAYLOAD_TOO_LARGE, "too_large", &detail)
            }
            BodyFault::Incomplete => {
                turned(StatusCode::BAD_REQUEST, "incomplete", "the body ended early")
            }
            BodyFault::TooSlow => {
                turned(StatusCode::REQUEST_TIMEOUT, "incomplete", "the body came too slowly")
            }
            BodyFault::NoRoom => {
                let detail = "too many large bodies at once; send it again";
                turned(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            }
        })
    }

    fn duplicate_rule(&self, identity: &str, body: &[u8]) -> DuplicateRule {
        DuplicateRule {
            identity: xxh3_64(format!("{}\0http\0{identity}", self.channel).as_bytes()),
            content: xxh3_64(body),
            within: self.options.idempotency_within,
            if_changed: IfChanged::Refuse,
        }
    }
}

fn identity(headers: &HeaderMap) -> Result<Option<String>, Turned> {
    let Some(value) = IDENTITY_HEADERS.iter().find_map(|name| headers.get(*name)) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(text) if !text.is_empty() && text.len() <= IDENTITY_BYTES_MAX => {
            Ok(Some(text.to_owned()))
        }
        _ => {
            let detail = "the idempotency key must be 1 to 255 visible characters";
            Err(turned(StatusCode::BAD_REQUEST, "incomplete", detail))
        }
    }
}

/// How a body of this media type is read; parameters are ignored, MSH-18 says the charset of HL7 v2.
fn content_type_of(media_type: &str) -> Option<ContentType> {
    let name = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match name.as_str() {
        "x-application/hl7-v2+er7"
        | "application/hl7-v2+er7"
        | "application/hl7-v2"
        | "application/edi-hl7"
        | "text/hl7v2"
        | "application/x-hl7" => Some(ContentType::Hl7v2),
        "application/fhir+json" => Some(ContentType::FhirJson),
        "application/octet-stream" => Some(ContentType::Bytes),
        "text/plain" => Some(ContentType::Text),
        "application/json" => Some(ContentType::Json),
        other if other.ends_with("+json") => Some(ContentType::Json),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_say_how_a_body_is_read() {
        let check = |text: &str, expected| assert_eq!(content_type_of(text), expected, "{text}");
        check("x-application/hl7-v2+er7; charset=utf-8", Some(ContentType::Hl7v2));
        check("Application/HL7-V2", Some(ContentType::Hl7v2));
        check("application/json", Some(ContentType::Json));
        check("application/cloudevents+json", Some(ContentType::Json));
        check("application/fhir+json;fhirVersion=4.0", Some(ContentType::FhirJson));
        check("text/plain", Some(ContentType::Text));
        check("image/png", None);
        check("", None);
    }
}
