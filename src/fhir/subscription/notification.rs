//! Notification Bundles and `$status` (Subscriptions R5 Backport 1.1.0, R4 shapes).
//!
//! The same arguments give the same bytes: a repeat of a call carries the body of the first.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::fhir::subscription::event::Event;
use crate::fhir::subscription::{BACKPORT, Content, Status};
use crate::message::resource::Interaction;
use crate::message::time::Timestamp;

/// Why a notification is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// To find out whether the receiver is there.
    Handshake,
    /// To show that the engine is.
    Heartbeat,
    /// Something happened.
    Event,
    /// The answer of `$status`.
    QueryStatus,
    /// The answer of `$events`.
    QueryEvent,
}

impl Kind {
    /// The code of the backport's notification types.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Heartbeat => "heartbeat",
            Self::Event => "event-notification",
            Self::QueryStatus => "query-status",
            Self::QueryEvent => "query-event",
        }
    }
}

/// What a notification says of its subscription.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The server's base URL, without a slash at the end.
    pub base: &'a str,
    /// The Subscription's id.
    pub subscription: &'a str,
    /// The topic; none for a search subscription.
    pub topic: Option<&'a str>,
    /// The status.
    pub status: Status,
    /// Why it is sent.
    pub kind: Kind,
    /// Events since the subscription began: the number of the last.
    pub events: u64,
    /// What went wrong, when the status is `error`.
    pub error: Option<&'a str>,
}

/// The status as Parameters; their order is the profile's.
// backport StructureDefinition-backport-subscription-status-r4
#[must_use]
pub fn parameters(about: &About<'_>, content: Content, events: &[Event], id: Uuid) -> Value {
    let reference = format!("{}/Subscription/{}", about.base, about.subscription);
    let mut parameters =
        vec![json!({"name": "subscription", "valueReference": {"reference": reference}})];
    if let Some(topic) = about.topic {
        parameters.push(json!({"name": "topic", "valueCanonical": topic}));
    }
    parameters.push(json!({"name": "status", "valueCode": about.status.name()}));
    parameters.push(json!({"name": "type", "valueCode": about.kind.name()}));
    let count = about.events.to_string();
    parameters.push(json!({"name": "events-since-subscription-start", "valueString": count}));
    for event in events {
        parameters.push(notification_event(about.base, content, event));
    }
    if let Some(error) = about.error {
        parameters.push(json!({"name": "error", "valueCodeableConcept": {"text": error}}));
    }
    json!({
        "resourceType": "Parameters",
        "id": id.to_string(),
        "meta": {"profile": [format!("{BACKPORT}backport-subscription-status-r4")]},
        "parameter": parameters,
    })
}

fn notification_event(base: &str, content: Content, event: &Event) -> Value {
    let mut parts = vec![
        json!({"name": "event-number", "valueString": event.number.to_string()}),
        json!({"name": "timestamp", "valueInstant": event.at.to_string()}),
    ];
    if content != Content::Empty {
        let focus = format!("{base}/{}", event.focus);
        parts.push(json!({"name": "focus", "valueReference": {"reference": focus}}));
    }
    json!({"name": "notification-event", "part": parts})
}

/// A notification: a Bundle of type `history` whose first entry is the status.
// backport StructureDefinition-backport-subscription-notification-r4; FHIR R4 bundle.html bdl-3, bdl-4:
// each entry of a history has request and response.
#[must_use]
pub fn bundle(
    about: &About<'_>,
    content: Content,
    events: &[Event],
    id: Uuid,
    at: Timestamp,
) -> Value {
    let status_id = Uuid::new_v5(&id, b"status");
    let url = format!("{}/Subscription/{}/$status", about.base, about.subscription);
    let mut entries = vec![json!({
        "fullUrl": format!("urn:uuid:{status_id}"),
        "resource": parameters(about, content, events, status_id),
        "request": {"method": "GET", "url": url},
        "response": {"status": "200"},
    })];
    if content != Content::Empty {
        entries.extend(events.iter().map(|event| entry(about.base, content, event)));
    }
    json!({
        "resourceType": "Bundle",
        "id": id.to_string(),
        "meta": {"profile": [format!("{BACKPORT}backport-subscription-notification-r4")]},
        "type": "history",
        "timestamp": at.to_string(),
        "entry": entries,
    })
}

fn entry(base: &str, content: Content, event: &Event) -> Value {
    let mut entry = Map::new();
    entry.insert("fullUrl".to_owned(), Value::from(format!("{base}/{}", event.focus)));
    if content == Content::FullResource
        && let Some(resource) = &event.resource
    {
        entry.insert("resource".to_owned(), resource.clone());
    }
    let (method, url, status) = match event.interaction {
        Interaction::Create => ("POST", event.focus.kind.to_string(), "201"),
        Interaction::Update if event.version == 1 => ("PUT", event.focus.to_string(), "201"),
        Interaction::Update | Interaction::Patch => ("PUT", event.focus.to_string(), "200"),
        Interaction::Delete => ("DELETE", event.focus.to_string(), "204"),
    };
    entry.insert("request".to_owned(), json!({"method": method, "url": url}));
    let response = json!({
        "status": status,
        "etag": format!("W/\"{}\"", event.version),
        "lastModified": event.at.to_string(),
    });
    entry.insert("response".to_owned(), response);
    Value::Object(entry)
}

/// The answer of `$status`: a `searchset` of Parameters, one for each subscription.
// backport OperationDefinition-backport-subscription-status
#[must_use]
pub fn status_set(self_url: &str, abouts: &[About<'_>], id: Uuid, at: Timestamp) -> Value {
    let entries: Vec<Value> = abouts
        .iter()
        .map(|about| {
            let own = Uuid::new_v5(&id, about.subscription.as_bytes());
            json!({
                "fullUrl": format!("urn:uuid:{own}"),
                "resource": parameters(about, Content::Empty, &[], own),
                "search": {"mode": "match"},
            })
        })
        .collect();
    json!({
        "resourceType": "Bundle",
        "id": id.to_string(),
        "type": "searchset",
        "timestamp": at.to_string(),
        "total": entries.len(),
        "link": [{"relation": "self", "url": self_url}],
        "entry": entries,
    })
}
