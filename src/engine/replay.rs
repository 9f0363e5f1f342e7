//! Replay: new deliveries made from a stored message, linked to it, with a reason.

use std::sync::Arc;

use thiserror::Error;

use crate::clock::Clock;
use crate::engine::registry::{LiveChannel, Registry};
use crate::engine::versions::stored_input;
use crate::message::id::{DestinationId, MessageId, Seq};
use crate::message::plan::{Disposition, Plan, PlanEntry};
use crate::message::verdict::{Route, Verdict};
use crate::message::{Envelope, Origin, StoredMessage};
use crate::store::{Appended, NewMessage, Store, StoreError};

/// What is asked.
#[derive(Debug, Clone)]
pub struct ReplayRequest {
    /// Which message.
    pub message: MessageId,
    /// To which of its destinations; empty: to all that its plan delivers to.
    pub destinations: Vec<DestinationId>,
    /// Who asks.
    pub by: String,
    /// Why; required.
    pub reason: String,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// The new message.
    pub message: MessageId,
    /// Its place in the log.
    pub seq: Seq,
    /// Where it goes.
    pub destinations: Vec<DestinationId>,
}

/// Why there is no replay.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// Nobody said why.
    #[error("a replay needs a reason")]
    NoReason,
    /// The message's plan has no such destination, or none that is still configured.
    #[error("none of these destinations belongs to the message and is still configured")]
    NoDestination,
    /// The bytes were pruned.
    #[error("the message's bytes are gone (retention)")]
    NoBody,
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a new message from a stored one, under today's versions.
///
/// # Errors
/// See [`ReplayError`].
pub async fn replay(
    store: &Arc<dyn Store>,
    registry: &Registry,
    clock: &Clock,
    request: ReplayRequest,
) -> Result<Replayed, ReplayError> {
    if request.reason.trim().is_empty() {
        return Err(ReplayError::NoReason);
    }
    let seq = store.find(request.message).await?;
    let parent = store.messages(&[seq]).await?.pop().ok_or(StoreError::Missing)?;
    if parent.payload.is_empty() {
        return Err(ReplayError::NoBody);
    }
    let plan = plan_for(&parent, registry, &request.destinations);
    if plan.entries.is_empty() {
        return Err(ReplayError::NoDestination);
    }
    let destinations = plan.entries.iter().map(|entry| entry.destination).collect();
    let envelope = Envelope {
        id: MessageId::new(),
        received_at: clock.now(),
        origin: Some(Origin { parent: seq, by: request.by, reason: request.reason }),
        ..parent.envelope.clone()
    };
    let id = envelope.id;
    let message = NewMessage { envelope, plan, payload: None, duplicate: None };
    match store.append(vec![message]).await?.pop() {
        Some(Appended::New(seq) | Appended::Held(seq)) => {
            Ok(Replayed { message: id, seq, destinations })
        }
        _ => Err(StoreError::Missing.into()),
    }
}

/// The chosen destinations among those of the parent's plan that still exist. A destination whose
/// `when` says no today is left in only when it was asked for by name.
fn plan_for(parent: &StoredMessage, registry: &Registry, chosen: &[DestinationId]) -> Plan {
    let channels = registry.channels();
    let mut entries = Vec::new();
    for live in channels.iter() {
        let concerned = live.destinations.iter().any(|id| parent.plan.entry(*id).is_some());
        if concerned {
            entries.extend(entries_of(live, parent, chosen));
        }
    }
    Plan { entries }
}

fn entries_of(
    live: &LiveChannel,
    parent: &StoredMessage,
    chosen: &[DestinationId],
) -> Vec<PlanEntry> {
    let input = stored_input(parent, live.channel.read_options);
    let routes = match live.channel.judge(&input) {
        Verdict::Take(taken) => taken.routes,
        Verdict::Refuse(_) | Verdict::Pass => Vec::new(),
    };
    let mut entries = Vec::new();
    for (place, destination) in live.destinations.iter().enumerate() {
        let then = parent.plan.entry(*destination);
        let wanted = if chosen.is_empty() {
            then.is_some_and(|entry| entry.disposition != Disposition::Filtered)
        } else {
            chosen.contains(destination) && then.is_some()
        };
        if !wanted {
            continue;
        }
        let today = match routes.get(place) {
            Some(Route::Deliver { lane, joins }) => {
                Some(Disposition::Deliver { lane: *lane, joins: *joins })
            }
            _ => None,
        };
        let before =
            then.map(|entry| entry.disposition).filter(|was| *was != Disposition::Filtered);
        let none = Disposition::Deliver { lane: crate::message::plan::Lane::NONE, joins: None };
        let disposition = match today.or(before).unwrap_or(none) {
            Disposition::Hold { lane } => Disposition::Deliver { lane, joins: None },
            other => other,
        };
        entries.push(PlanEntry { destination: *destination, version: live.version, disposition });
    }
    entries
}
