//! What is asked: the same for a request of its own and for an entry of a batch.

use std::sync::Arc;

use bytes::Bytes;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::fhir::search::Reading;
use crate::message::payload::Payload;
use crate::message::secret::Secret;
use crate::message::time::Timestamp;
use crate::resources::fault::Fault;
use crate::resources::plan::Body;
use crate::source::fhir::access::Principal;
use crate::source::fhir::hear::verify::Signed;
use crate::source::fhir::negotiate::Prefer;
use crate::source::fhir::route::Route;

/// The methods of FHIR R4 http.html.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    /// The verb of a method's name.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => return None,
        })
    }

    /// Whether it only reads.
    pub(super) const fn reads(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }
}

/// Who asks, and from where.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) principal: Arc<Principal>,
    /// The remote address.
    pub(super) peer: Arc<str>,
    /// `X-Request-Id`.
    pub(super) request: Arc<str>,
    /// What clients call the endpoint, without a slash at the end.
    pub(super) base: Arc<str>,
}

/// Conditions of a request (FHIR R4 http.html#concurrency, #cread, #ccreate).
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions {
    pub(super) if_match: Option<String>,
    pub(super) if_none_match: Option<String>,
    /// In seconds since 1970.
    pub(super) if_modified_since: Option<i64>,
    pub(super) if_none_exist: Option<Box<str>>,
    /// `X-Hub-Secret`: what calls of the subscription that is made are signed with.
    pub(super) hub_secret: Option<Secret>,
    /// `webhook-…`: who sent a notification.
    pub(super) signed: Signed,
}

/// The body of a request.
#[derive(Debug, Clone, Default)]
pub(super) enum Sent {
    #[default]
    Nothing,
    /// The bytes of a request, and how they call themselves.
    Bytes(Bytes, Option<String>),
    /// The resource of an entry.
    Value(Value),
}

/// Parameters of a URL or a form, decoded, in order.
pub(super) type Query = Vec<(String, String)>;

/// A request, understood as far as it needs no resource.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) caller: Caller,
    pub(super) at: Timestamp,
    pub(super) verb: Verb,
    pub(super) route: Route,
    pub(super) query: Query,
    pub(super) conditions: Conditions,
    pub(super) prefer: Prefer,
    pub(super) sent: Sent,
}

impl Ask {
    /// The first value of a parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// How values and searches of this request are read.
    pub(super) fn reading(&self, now: Timestamp) -> Reading {
        Reading { base: (&*self.caller.base).into(), zone: TimeZone::UTC, now }
    }

    /// The version that `If-Match` names.
    pub(super) fn if_match(&self) -> Result<Option<u64>, Fault> {
        let tag = self.conditions.if_match.as_deref();
        tag.map(crate::resources::transaction::version_of).transpose()
    }

    /// The body as a resource that was read by `read`.
    pub(super) fn body(
        &self,
        read: impl FnOnce(&Bytes, Option<&str>) -> Result<Value, Fault>,
    ) -> Result<Body, Fault> {
        match &self.sent {
            Sent::Nothing => read(&Bytes::new(), None).map(|value| Body { value, bytes: None }),
            Sent::Bytes(bytes, name) => {
                let value = read(bytes, name.as_deref())?;
                Ok(Body { value, bytes: Some(Payload::new(bytes.clone())) })
            }
            Sent::Value(value) => Ok(Body { value: value.clone(), bytes: None }),
        }
    }
}

/// Parameters that say how an answer is written, not which.
pub(super) fn is_about_form(name: &str) -> bool {
    matches!(name, "_format" | "_pretty")
}

/// Reads `a=b&c=d`.
pub(super) fn query_of(text: &str) -> Query {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// Writes parameters back.
pub(super) fn query_text<'q>(query: impl IntoIterator<Item = &'q (String, String)>) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(query.into_iter().map(|(name, value)| (name, value)));
    text.finish()
}
