//! Changes of a status that somebody must hear of: `error`, and `off` by the engine. They go on the audit trail,
//! and are listed with the subscriptions until somebody acts.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tracing::error;

use crate::engine::subscriptions::{Live, PREFIX, Subscriptions, read_of};
use crate::fhir::subscription::Status;
use crate::message::resource::ResourceVersion;
use crate::message::time::Timestamp;
use crate::store::access::AuditEntry;

/// How long a subscription that the engine turned off is listed.
const LISTED_FOR: Duration = Duration::from_hours(30 * 24);

/// A subscription that the engine turned off.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    id: Box<str>,
    channel: Arc<str>,
    endpoint: Box<str>,
    topic: Option<Box<str>>,
    content: &'static str,
    error: Box<str>,
    at: Timestamp,
    events: u64,
}

impl Ended {
    fn shown(&self) -> Value {
        json!({
            "id": self.id,
            "channel": &*self.channel,
            "destination": format!("{}/{PREFIX}{}", self.channel, self.id),
            "status": Status::Off.name(),
            "since": self.at.to_string(),
            "topic": self.topic,
            "endpoint": self.endpoint,
            "content": self.content,
            "error": self.error,
            "events": self.events,
            "failures": 0,
            "failing_since": null,
            "last_success": null,
            "last_failure": null,
            "signed": false,
            "delivery": null,
        })
    }
}

impl Subscriptions {
    /// A Subscription as it is stored now: what was known of an earlier end is forgotten, and an end by the
    /// engine is known. Clients turn theirs off without an `error`.
    pub(super) async fn note_end(&self, stored: &ResourceVersion, body: Option<&Value>) {
        let text = |pointer: &str| body.and_then(|body| body.pointer(pointer)?.as_str());
        let over = text("/status") == Some(Status::Off.name());
        let ended = match text("/error").filter(|_| over) {
            Some(error) if self.ground.clock.now().since(stored.at) < LISTED_FOR => {
                self.ended(stored, body, error).await
            }
            _ => None,
        };
        let mut all = self.ended.write().unwrap_or_else(PoisonError::into_inner);
        let changed = match ended {
            Some(ended) => all.insert(stored.key.id.clone(), ended).is_none(),
            None => all.remove(&stored.key.id).is_some(),
        };
        drop(all);
        if changed {
            self.known.send_modify(|count| *count += 1);
        }
    }

    async fn ended(
        &self,
        stored: &ResourceVersion,
        body: Option<&Value>,
        error: &str,
    ) -> Option<Ended> {
        let id = stored.key.id.clone();
        let channel = match self.live(&id) {
            Some(live) => Arc::clone(&live.channel),
            None => self.channel_of(stored).await.ok()?,
        };
        let understood = self.understood(&channel, body?).ok()?;
        let events = match self.destination_of(&id) {
            Some(destination) => self.ground.store.event_count(destination).await.ok()?.last,
            None => 0,
        };
        Some(Ended {
            id,
            channel,
            endpoint: understood.endpoint.split(['?', '#']).next().unwrap_or_default().into(),
            topic: understood.topic().map(Into::into),
            content: understood.content.name(),
            error: error.into(),
            at: stored.at,
            events,
        })
    }

    /// Those the engine turned off in the last weeks.
    pub(super) fn all_ended(&self) -> Vec<Value> {
        let now = self.ground.clock.now();
        let all = read_of(&self.ended);
        let recent = all.values().filter(|ended| now.since(ended.at) < LISTED_FOR);
        recent.map(Ended::shown).collect()
    }

    /// One that the engine turned off.
    pub(super) fn one_ended(&self, id: &str) -> Option<Value> {
        read_of(&self.ended).get(id).map(Ended::shown)
    }

    /// A status that the engine set goes on the audit trail.
    pub(super) async fn put_on_record(&self, live: &Live, status: Status, reason: Option<&str>) {
        let entry = AuditEntry {
            at: self.ground.clock.now(),
            actor: "engine".to_owned(),
            address: String::new(),
            action: format!("subscription.{}", status.name()),
            outcome: "done".to_owned(),
            object: format!("{}/{PREFIX}{}", live.channel, live.id),
            reason: reason.unwrap_or_default().to_owned(),
        };
        if let Err(error) = self.ground.access.audit(&entry).await {
            error!(subscription = %live.id, %error, "a change of its status is not on the audit trail");
        }
    }
}
