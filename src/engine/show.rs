//! The engine as the API shows it: sources, destinations, blocked lanes.

use std::sync::PoisonError;

use serde_json::{Value, json};

use crate::config::to::TransportOptions;
use crate::delivery::queue::{RunnerStatus, state_name};
use crate::destination::fhir::token::public_key;
use crate::engine::Engine;
use crate::message::id::DestinationId;
use crate::store::StoreError;

impl Engine {
    /// The group that a channel's file names.
    #[must_use]
    pub fn group_of(&self, channel: &str) -> Option<String> {
        let applied = self.applied.read().unwrap_or_else(PoisonError::into_inner);
        applied.get(channel).and_then(|config| config.group.clone())
    }

    /// The sources of a channel.
    #[must_use]
    pub fn sources(&self, channel: &str) -> Vec<Value> {
        let sources = self.sources.read().unwrap_or_else(PoisonError::into_inner);
        sources.get(channel).map(|source| source.view()).into_iter().collect()
    }

    /// Where a destination stands; `None` when it does not run.
    #[must_use]
    pub fn destination_status(&self, id: DestinationId) -> Option<Value> {
        let status = self.deliveries.status(id).ok()?;
        Some(json!({
            "destination": self.destination_name(id),
            "state": word(&status),
            "delivered": status.delivered,
            "pending": status.pending,
            "in_flight": status.in_flight,
            "retry": status.retry,
            "held": status.held,
            "behind": status.behind,
            "dead": status.dead,
            "oldest_seconds": status.oldest.map(|oldest| oldest.as_secs_f64()),
            "breaker": status.breaker,
            "last_error": status.last_error,
            "stalled": status.stalled,
            "paused": status.paused.map(|pause| json!({
                "by": pause.by,
                "reason": pause.reason,
                "at": pause.at.to_string(),
            })),
            "lagging": status.lagging,
            "next_attempt": status.next_attempt.map(|at| at.to_string()),
        }))
    }

    /// The endpoints of a destination.
    #[must_use]
    pub fn endpoints(&self, id: DestinationId) -> Value {
        let transports = self.transports.read().unwrap_or_else(PoisonError::into_inner);
        let Some(transport) = transports.get(&id) else { return json!([]) };
        let views = transport.endpoints();
        let list = views.iter().map(|view| {
            json!({
                "endpoint": view.endpoint,
                "healthy": view.healthy,
                "in_flight": view.in_flight,
                "last_error": view.last_error,
            })
        });
        Value::Array(list.collect())
    }

    /// The public keys that FHIR destinations sign their assertions with, as JSON Web Keys.
    #[must_use]
    pub fn public_keys(&self) -> Vec<Value> {
        let applied = self.applied.read().unwrap_or_else(PoisonError::into_inner);
        let destinations = applied.values().flat_map(|channel| &channel.destinations);
        let mut keys = Vec::new();
        for destination in destinations {
            let TransportOptions::Fhir(options) = &destination.transport else { continue };
            // A key that cannot be used kept its channel from starting.
            if let Ok(Some(key)) = public_key(&options.access)
                && !keys.contains(&key)
            {
                keys.push(key);
            }
        }
        keys
    }

    /// The lanes of a destination that wait, with the message at each head.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn blocked_lanes(
        &self,
        id: DestinationId,
        limit: usize,
    ) -> Result<Vec<Value>, StoreError> {
        let Ok(lanes) = self.deliveries.blocked_lanes(id, limit) else { return Ok(Vec::new()) };
        let heads: Vec<_> = lanes.iter().map(|lane| lane.head).collect();
        let messages = self.store.messages(&heads).await?;
        let list = lanes.iter().map(|lane| {
            let head = messages.iter().find(|message| message.seq == lane.head);
            json!({
                "message": head.map(|head| head.envelope.id.to_string()),
                "seq": lane.head.0,
                "state": state_name(lane.state),
                "cause": &*lane.cause,
                "since": lane.since.to_string(),
                "behind": lane.behind,
            })
        });
        Ok(list.collect())
    }
}

/// The state in one word: what a person looks for first.
fn word(status: &RunnerStatus) -> &'static str {
    if status.removed {
        "removed"
    } else if status.paused.is_some() {
        "paused"
    } else if status.stalled.is_some() {
        "stalled"
    } else if status.held > 0 || status.behind > 0 {
        "blocked"
    } else if status.retry > 0 || (status.pending > 0 && status.next_attempt.is_some()) {
        "retrying"
    } else {
        "flowing"
    }
}
