//! What a subscriber is sent for an event, or for several in one Bundle: method, path below the endpoint, body. Pinned: the settings an
//! event was accepted under decide, so that a repeat carries the same bytes whatever changed since.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::fhir::subscription::event::Event;
use crate::fhir::subscription::notification::{self, About, Kind};
use crate::fhir::subscription::{Content, Status, Style, Subscription};
use crate::message::resource::Interaction;
use crate::message::time::Timestamp;

/// What decides over the bytes of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The server's base URL.
    pub base: Box<str>,
    /// The topic; none for a search subscription.
    pub topic: Option<Box<str>>,
    /// How a search subscription's receiver is called.
    pub style: Style,
    /// The media type of calls; without, calls have no body.
    pub payload: Option<Box<str>>,
    /// How much a notification holds.
    pub content: Content,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// What is added to the path of the endpoint: empty, or `Type/id`.
    pub path: Box<str>,
    /// Media type of the body; `None` without a body.
    pub content_type: Option<Box<str>>,
    /// The body.
    pub body: Vec<u8>,
}

impl Settings {
    /// The settings of a subscription. `style` is used where it has none of its own.
    #[must_use]
    pub fn of(subscription: &Subscription, base: &str, style: Style) -> Self {
        Self {
            base: base.trim_end_matches('/').into(),
            topic: subscription.topic().map(Into::into),
            style: match subscription.is_topic() {
                true => Style::Bundle,
                false => subscription.style.unwrap_or(style),
            },
            payload: subscription.payload.clone(),
            content: subscription.content,
        }
    }

    /// As stored.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "subscription": {
                "base": self.base,
                "topic": self.topic,
                "style": self.style.name(),
                "payload": self.payload,
                "content": self.content.name(),
            },
        })
    }

    /// From what was stored; `None` when it is none.
    #[must_use]
    pub fn from_json(stored: &Value) -> Option<Self> {
        let members = stored.get("subscription")?;
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        Some(Self {
            base: text("base")?.into(),
            topic: text("topic").map(Into::into),
            style: Style::from_name(text("style")?)?,
            payload: text("payload").map(Into::into),
            content: Content::from_name(text("content")?)?,
        })
    }

    /// Whether one call may hold several events: a notification Bundle alone has room for them.
    #[must_use]
    pub const fn takes_several(&self) -> bool {
        matches!(self.style, Style::Bundle)
    }

    /// What is sent for several events, in their order: one notification.
    #[must_use]
    pub fn together(&self, subscription: &str, events: &[Event], id: Uuid) -> Call {
        let last = events.last();
        let about = About {
            base: &self.base,
            subscription,
            topic: self.topic.as_deref(),
            // An event is only ever sent by an active subscription; the same in each repeat.
            status: Status::Active,
            kind: Kind::Event,
            events: last.map_or(0, |event| event.number),
            error: None,
        };
        let at = last.map_or(Timestamp(0), |event| event.at);
        self.post("", &notification::bundle(&about, self.content, events, id, at))
    }

    /// What is sent for an event. `id` belongs to event and subscription for ever.
    #[must_use]
    pub fn call(&self, subscription: &str, event: &Event, id: Uuid) -> Call {
        let bundled = || self.together(subscription, std::slice::from_ref(event), id);
        match self.style {
            Style::Bundle => bundled(),
            Style::PutResource => self.put(event),
            Style::Post if self.payload.is_none() => self.signal(),
            Style::Post => match &event.resource {
                Some(resource) => self.post("", resource),
                // A delete, or a body that retention took: the receiver learns what it was about.
                None => bundled(),
            },
        }
    }

    /// A handshake, a heartbeat, or another notification without events.
    #[must_use]
    pub fn sign(&self, about: &About<'_>, id: Uuid, at: Timestamp) -> Call {
        let bundle = notification::bundle(about, Content::Empty, &[], id, at);
        self.post("", &bundle)
    }

    /// FHIR R4 subscription.html#2.46.7.1: without a payload the receiver is only told to look.
    fn signal(&self) -> Call {
        Call { method: "POST", path: "".into(), content_type: None, body: Vec::new() }
    }

    fn put(&self, event: &Event) -> Call {
        let path: Box<str> = event.focus.to_string().into();
        match &event.resource {
            Some(resource) => Call { method: "PUT", path, ..self.post("", resource) },
            None if event.interaction == Interaction::Delete => {
                Call { method: "DELETE", path, ..self.signal() }
            }
            None => self.signal(),
        }
    }

    fn post(&self, path: &str, body: &Value) -> Call {
        let media = self.payload.clone().unwrap_or_else(|| "application/fhir+json".into());
        Call {
            method: "POST",
            path: path.into(),
            content_type: Some(media),
            body: body.to_string().into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests;
