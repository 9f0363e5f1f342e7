//! Answers, before they are HTTP: the same for a request of its own and for an entry of a batch.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue,
    LAST_MODIFIED, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::fhir::json::read::stored;
use crate::fhir::json::{compact, pretty};
use crate::message::resource::ResourceVersion;
use crate::message::time::Timestamp;
use crate::resources::fault::Fault;
use crate::source::fhir::negotiate::FHIR_JSON;

/// What is answered.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Content,
    /// The version, as `ETag`.
    pub version: Option<u64>,
    /// `Last-Modified`.
    pub modified: Option<Timestamp>,
    /// `Location`, absolute.
    pub location: Option<String>,
    /// `Allow`, with 405.
    pub allow: Option<&'static str>,
}

/// A body.
#[derive(Debug, Clone, Default)]
pub enum Content {
    /// None.
    #[default]
    Nothing,
    /// Bytes of the store, ready to be sent.
    Stored(Bytes),
    /// To be written.
    Json(Value),
    /// JSON that is no resource: `application/json`.
    Plain(Value),
}

impl Answer {
    /// An answer with a resource.
    #[must_use]
    pub fn of(status: u16, body: Value) -> Self {
        Self { status, body: Content::Json(body), ..Self::default() }
    }

    /// An answer without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// A refusal.
    #[must_use]
    pub fn fault(fault: &Fault) -> Self {
        Self::of(fault.status, fault.outcome())
    }

    /// The same, with the headers of a version.
    #[must_use]
    pub(super) fn versioned(mut self, version: &ResourceVersion) -> Self {
        self.version = Some(version.version);
        self.modified = Some(version.at);
        self
    }

    /// As the `response` of a bundle's entry, and its resource (FHIR R4 bundle.html).
    #[must_use]
    pub(super) fn into_entry(self) -> Value {
        let reason =
            StatusCode::from_u16(self.status).ok().and_then(|code| code.canonical_reason());
        let status = format!("{} {}", self.status, reason.unwrap_or_default());
        let mut response = json!({"status": status.trim_end()});
        let resource = match self.body {
            Content::Nothing => None,
            Content::Stored(bytes) => stored(&bytes),
            Content::Json(value) | Content::Plain(value) => Some(value),
        };
        let mut entry = serde_json::Map::new();
        let set = |response: &mut Value, name: &str, value: Value| {
            if let Some(members) = response.as_object_mut() {
                members.insert(name.to_owned(), value);
            }
        };
        if let Some(location) = self.location {
            set(&mut response, "location", location.into());
        }
        if let Some(version) = self.version {
            set(&mut response, "etag", format!("W/\"{version}\"").into());
        }
        if let Some(modified) = self.modified {
            set(&mut response, "lastModified", modified.to_string().into());
        }
        match resource {
            Some(resource)
                if resource.get("resourceType").is_some_and(|t| t == "OperationOutcome") =>
            {
                set(&mut response, "outcome", resource);
            }
            Some(resource) => {
                entry.insert("resource".to_owned(), resource);
            }
            None => {}
        }
        entry.insert("response".to_owned(), response);
        Value::Object(entry)
    }
}

/// How an answer is written.
pub(super) struct Manner<'a> {
    /// `_pretty`.
    pub(super) pretty: bool,
    /// HEAD: the headers alone.
    pub(super) head: bool,
    /// `X-Request-Id`.
    pub(super) request_id: &'a str,
    /// `Retry-After`, with 429 and 503.
    pub(super) retry_after: Duration,
    /// `WWW-Authenticate`, with 401.
    pub(super) challenge: &'a str,
}

/// An answer as HTTP.
pub(super) fn respond(answer: Answer, manner: &Manner<'_>) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let media_type = match &answer.body {
        // SMART App Launch 2, conformance.html: this one document is no resource.
        Content::Plain(_) => "application/json",
        _ => FHIR_JSON,
    };
    let body = match (answer.body, manner.pretty) {
        (Content::Nothing, _) => None,
        (Content::Stored(bytes), false) => Some(bytes),
        (Content::Stored(bytes), true) => {
            Some(stored(&bytes).map_or(bytes, |value| pretty(&value).into()))
        }
        (Content::Json(value) | Content::Plain(value), false) => Some(compact(&value).into()),
        (Content::Json(value) | Content::Plain(value), true) => Some(pretty(&value).into()),
    };
    let mut headers = HeaderMap::new();
    if body.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    // Answers hold patients' data, and change with who asks.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    if let Some(version) = answer.version {
        set(ETAG, &format!("W/\"{version}\""));
    }
    if let Some(modified) = answer.modified {
        set(LAST_MODIFIED, &http_date(modified));
    }
    if let Some(location) = &answer.location {
        set(LOCATION, location);
    }
    if let Some(allow) = answer.allow {
        set(ALLOW, allow);
    }
    set(HeaderName::from_static("x-request-id"), manner.request_id);
    match answer.status {
        429 | 503 => set(RETRY_AFTER, &manner.retry_after.as_secs().max(1).to_string()),
        401 => set(WWW_AUTHENTICATE, manner.challenge),
        _ => {}
    }
    // RFC 9110 §9.3.2: HEAD says how long the answer to GET would be.
    if let (Some(body), true) = (&body, manner.head) {
        set(CONTENT_LENGTH, &body.len().to_string());
    }
    let sent = body.filter(|_| !manner.head).unwrap_or_default();
    let mut response = Response::new(Full::new(sent));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// RFC 9110 §5.6.7.
pub(super) fn http_date(at: Timestamp) -> String {
    let moment = jiff::Timestamp::from_microsecond(at.0).unwrap_or_default();
    jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&moment)
        .unwrap_or_default()
}

/// The moment of an HTTP date, in whole seconds.
pub(super) fn from_http_date(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text.trim())
        .ok()
        .map(|at| at.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_http() {
        let at = Timestamp(1_767_225_600_123_456);
        assert_eq!(http_date(at), "Thu, 01 Jan 2026 00:00:00 GMT");
        assert_eq!(from_http_date("Thu, 01 Jan 2026 00:00:00 GMT"), Some(1_767_225_600));
        assert_eq!(from_http_date("yesterday"), None);
    }

    #[test]
    fn a_refusal_in_a_bundle_is_its_outcome() {
        let fault = Fault::new(404, "not-found", "not-found", "there is no such resource");
        let entry = Answer::fault(&fault).into_entry();
        assert_eq!(entry["response"]["status"], "404 Not Found");
        assert_eq!(entry["response"]["outcome"]["issue"][0]["code"], "not-found");
        assert!(entry.get("resource").is_none());
    }
}
