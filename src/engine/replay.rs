//! Replay: new deliveries made from a stored message, linked to it, with a reason.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use crate::clock::Clock;
use crate::engine::registry::{LiveChannel, Registry};
use crate::engine::versions::{Versions, stored_input};
use crate::message::id::{DestinationId, MessageId, Seq};
use crate::message::payload::Payload;
use crate::message::plan::{Disposition, Joins, Lane, Plan, PlanEntry};
use crate::message::verdict::{Problem, Rendered, Route, Verdict};
use crate::message::{Envelope, KeyValue, Origin, StoredMessage};
use crate::store::{Appended, NewMessage, Store, StoreError};

/// By which rules a message is rendered when it is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RenderAs {
    /// By those of the version in force.
    #[default]
    Anew,
    /// By those of the version that it was accepted under.
    AsSent,
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct ReplayRequest {
    /// Which message.
    pub message: MessageId,
    /// To which of its destinations; empty: to all that its plan delivers to.
    pub destinations: Vec<DestinationId>,
    /// By which rules.
    pub render: RenderAs,
    /// The message as edited; `None`: as received.
    pub payload: Option<Payload>,
    /// Who asks.
    pub by: String,
    /// Why; required.
    pub reason: String,
    /// The new message's id; `None`: a new one.
    pub id: Option<MessageId>,
}

/// What would be sent, and what the channel says of the message.
#[derive(Debug)]
pub struct Previewed {
    /// The bytes, or why there are none.
    pub rendered: Rendered,
    /// Why the channel in force would not take it.
    pub refused: Option<Problem>,
    /// Whether the destination's filter would not choose it.
    pub filtered: bool,
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

/// A stored message with other bytes, as somebody edited it.
#[must_use]
pub fn edited(message: &StoredMessage, payload: Payload) -> StoredMessage {
    StoredMessage { payload, ..message.clone() }
}

/// What a destination would be sent of a message under the version in force; `None` when no channel in
/// force has this destination.
#[must_use]
pub fn preview(
    registry: &Registry,
    versions: &Versions,
    destination: DestinationId,
    message: &StoredMessage,
) -> Option<Previewed> {
    let channels = registry.channels();
    let mut all = channels.iter();
    let (live, place) = all.find_map(|live| {
        let place = live.destinations.iter().position(|id| *id == destination)?;
        Some((live, place))
    })?;
    let (refused, filtered) = match live
        .channel
        .judge(&stored_input(message, live.channel.read_options))
    {
        Verdict::Take(taken) => (None, matches!(taken.routes.get(place), Some(Route::Filtered))),
        Verdict::Refuse(problem) => (Some(problem), false),
        Verdict::Pass => (None, true),
    };
    let rendered = versions.rendered_anew(destination, live.version, message);
    Some(Previewed { rendered, refused, filtered })
}

/// Makes a new message from a stored one.
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
    if parent.payload.is_empty() && request.payload.is_none() {
        return Err(ReplayError::NoBody);
    }
    let given = match &request.payload {
        Some(payload) => edited(&parent, payload.clone()),
        None => StoredMessage::clone(&parent),
    };
    let mut plan = plan_for(&given, registry, &request.destinations);
    if request.render == RenderAs::AsSent {
        for entry in &mut plan.entries {
            let then = parent.plan.entry(entry.destination);
            entry.version = then.map_or(entry.version, |then| then.version);
        }
    }
    if plan.entries.is_empty() {
        return Err(ReplayError::NoDestination);
    }
    let destinations = plan.entries.iter().map(|entry| entry.destination).collect();
    let envelope = Envelope {
        id: request.id.unwrap_or_default(),
        received_at: clock.now(),
        origin: Some(Origin { parent: seq, by: request.by, reason: request.reason }),
        ..envelope_of(&given, registry, request.payload.is_some())
    };
    let id = envelope.id;
    let message = NewMessage { envelope, plan, payload: request.payload, duplicate: None };
    match store.append(vec![message]).await?.pop() {
        Some(Appended::New(seq) | Appended::Held(seq)) => {
            Ok(Replayed { message: id, seq, destinations })
        }
        _ => Err(StoreError::Missing.into()),
    }
}

/// The parent's envelope; of an edited message with what it now says of itself: a search finds it by that.
fn envelope_of(given: &StoredMessage, registry: &Registry, is_edited: bool) -> Envelope {
    let envelope = given.envelope.clone();
    let channels = registry.channels();
    let Some(own) = channels.get(&envelope.channel).filter(|_| is_edited) else { return envelope };
    match own.channel.judge(&stored_input(given, own.channel.read_options)) {
        Verdict::Take(taken) => Envelope {
            kind: taken.kind,
            event: taken.event.into(),
            control_id: KeyValue::new(&taken.control_id),
            keys: taken.keys,
            ..envelope
        },
        Verdict::Refuse(_) | Verdict::Pass => envelope,
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
                Some(Disposition::Deliver { lane: *lane, joins: joins.clone() })
            }
            _ => None,
        };
        let before = then.map(|entry| entry.disposition.clone());
        let before = before.filter(|was| *was != Disposition::Filtered);
        let none = Disposition::Deliver { lane: Lane::NONE, joins: Joins::NONE };
        let disposition = match today.or(before).unwrap_or(none) {
            Disposition::Hold { lane, joins } => Disposition::Deliver { lane, joins },
            other => other,
        };
        entries.push(PlanEntry { destination: *destination, version: live.version, disposition });
    }
    entries
}
