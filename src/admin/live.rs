//! What happens now, as server-sent events: counts when they change, messages as they are committed.
//!
//! It is a true tail: what cannot be shown in time is skipped and counted. Being watched keeps no session
//! alive: the stream ends with it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::stream::{Stream, unfold};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::access::door::{Actor, Door};
use crate::access::role::{Permission, View};
use crate::admin::messages::summary;
use crate::admin::scope;
use crate::admin::status::destination_value;
use crate::engine::Engine;
use crate::message::StoredMessage;
use crate::message::id::Seq;

/// Messages shown a second; further ones are counted.
const MESSAGES_MAX: usize = 50;
/// Events that wait for a slow reader; then messages are skipped.
const WAITING_MAX: usize = 128;
/// Time between two looks at the counts.
const EVERY: Duration = Duration::from_secs(1);
/// Messages looked up to count those that somebody limited to groups missed.
const LOST_MAX: i64 = 1000;
/// Looks between two questions whether the session still holds.
const ASK_EVERY: u32 = 5;

/// What is watched.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Watched {
    /// Only this channel, as the receiver or on the way.
    channel: Option<String>,
    /// Only messages of this kind, e.g. `patient`.
    kind: Option<String>,
    /// Only messages of this type and event, e.g. `ADT^A01`.
    event: Option<String>,
}

/// Opens a live stream: events `state`, `message`, `skipped`.
pub(crate) async fn live(
    State(engine): State<Arc<Engine>>,
    Extension(door): Extension<Arc<Door>>,
    Extension(actor): Extension<Actor>,
    Query(watched): Query<Watched>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let sees_messages = actor.may(Permission::SeeMessages) && actor.view > View::Counts;
    open(engine, door, actor, watched, sees_messages)
}

/// Opens a live stream of counts alone: events `state`. It says nothing of a patient, so it is on no record.
pub(crate) async fn counts(
    State(engine): State<Arc<Engine>>,
    Extension(door): Extension<Arc<Door>>,
    Extension(actor): Extension<Actor>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    open(engine, door, actor, Watched::default(), false)
}

fn open(
    engine: Arc<Engine>,
    door: Arc<Door>,
    actor: Actor,
    watched: Watched,
    sees_messages: bool,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let tracker = engine.tracker().clone();
    let (events, stream) = channel(WAITING_MAX);
    let shown = HashMap::new();
    let watch = Watch { engine, door, actor, watched, events, sees_messages, shown, skipped: 0 };
    tracker.spawn(watch.run());
    let stream = unfold(stream, |mut stream: Receiver<Event>| async move {
        stream.recv().await.map(|event| (Ok(event), stream))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

/// Somebody watches.
struct Watch {
    engine: Arc<Engine>,
    door: Arc<Door>,
    actor: Actor,
    watched: Watched,
    events: Sender<Event>,
    /// Whether messages are shown, not counts alone.
    sees_messages: bool,
    /// What was shown last, by destination or channel.
    shown: HashMap<String, Value>,
    skipped: u64,
}

/// Why a stream ends.
struct Ended;

impl Watch {
    async fn run(mut self) {
        let mut committed = self.engine.store().committed();
        let mut head = self.engine.store().status().head.0;
        let mut every = tokio::time::interval(EVERY);
        let stopping = self.engine.stopping_token();
        let (mut budget, mut looks) = (MESSAGES_MAX, 0_u32);
        loop {
            tokio::select! {
                () = self.events.closed() => return,
                () = stopping.cancelled() => return,
                batch = committed.recv(), if self.sees_messages => match batch {
                    Ok(batch) => {
                        for message in batch.iter() {
                            // Batches that were lost leave a gap in the places.
                            self.lost(head, message.seq.0).await;
                            head = message.seq.0;
                            if self.message(message, &mut budget).is_err() {
                                return;
                            }
                        }
                    }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                _ = every.tick() => {
                    budget = MESSAGES_MAX;
                    if looks.is_multiple_of(ASK_EVERY) && !self.still_admitted().await {
                        return;
                    }
                    looks = looks.wrapping_add(1);
                    if self.states().is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn skip(&mut self, count: u64) {
        self.skipped = self.skipped.saturating_add(count);
    }

    /// Counts what was committed between two places and never came. Who is limited to groups is told of
    /// their own messages alone, as far back as they are looked up.
    async fn lost(&mut self, head: i64, next: i64) {
        let gap = next.saturating_sub(head).saturating_sub(1);
        if scope::sees_all(&self.actor) || gap <= 0 {
            self.skip(u64::try_from(gap).unwrap_or_default());
            return;
        }
        let from = next.saturating_sub(LOST_MAX).max(head.saturating_add(1));
        let places: Vec<Seq> = (from..next).map(Seq).collect();
        // What cannot be read now cannot be shown either.
        let messages = self.engine.store().messages(&places).await.unwrap_or_default();
        let own = messages.iter().filter(|message| self.fits(message)).count();
        self.skip(u64::try_from(own).unwrap_or_default());
    }

    fn fits(&self, message: &StoredMessage) -> bool {
        let Watched { channel, kind, event } = &self.watched;
        let envelope = &message.envelope;
        let through = |channel: &str| {
            *envelope.channel == *channel
                || message.plan.entries.iter().any(|entry| {
                    let name = self.engine.destination_name(entry.destination);
                    name.split_once('/').is_some_and(|(own, _)| own == channel)
                })
        };
        channel.as_deref().is_none_or(through)
            && kind.as_deref().is_none_or(|kind| kind == envelope.kind.name())
            && event.as_deref().is_none_or(|event| event == &*envelope.event)
            && scope::sees_message(&self.engine, &self.actor, message)
    }

    fn message(&mut self, message: &StoredMessage, budget: &mut usize) -> Result<(), Ended> {
        if !self.fits(message) {
            return Ok(());
        }
        let Some(left) = budget.checked_sub(1) else {
            self.skip(1);
            return Ok(());
        };
        *budget = left;
        let shown = summary(&self.engine, message, self.actor.view);
        match self.events.try_send(event("message", &shown)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                self.skip(1);
                Ok(())
            }
            Err(TrySendError::Closed(_)) => Err(Ended),
        }
    }

    /// Counts that changed since they were shown, and how many messages were not.
    fn states(&mut self) -> Result<(), Ended> {
        let mut changed = Vec::new();
        for id in self.engine.destination_ids() {
            let name = self.engine.destination_name(id);
            let channel = name.split_once('/').map_or("", |(channel, _)| channel);
            let wanted = self.watched.channel.as_deref().is_none_or(|wanted| wanted == channel);
            if wanted && scope::sees_channel(&self.engine, &self.actor, channel) {
                changed.extend(self.changed(&name, destination_value(&self.engine, id)));
            }
        }
        let mut sources = Vec::new();
        for live in self.engine.registry().channels().iter() {
            let name = &*live.channel.name;
            let wanted = self.watched.channel.as_deref().is_none_or(|wanted| wanted == name);
            if wanted && scope::sees_channel(&self.engine, &self.actor, name) {
                let value = json!({"channel": name, "sources": self.engine.sources(name)});
                sources.extend(self.changed(name, value));
            }
        }
        if !changed.is_empty() || !sources.is_empty() {
            self.send("state", &json!({"destinations": changed, "channels": sources}))?;
        }
        if self.skipped > 0 {
            let count = self.skipped;
            if self.events.try_send(event("skipped", &json!({"count": count}))).is_ok() {
                self.skipped = 0;
            }
        }
        Ok(())
    }

    fn changed(&mut self, name: &str, value: Value) -> Option<Value> {
        let mut compared = value.clone();
        // How long something has waited changes by itself.
        if let Some(members) = compared.as_object_mut() {
            members.remove("oldest_seconds");
        }
        if self.shown.get(name) == Some(&compared) {
            return None;
        }
        self.shown.insert(name.to_owned(), compared);
        Some(value)
    }

    /// A slow reader misses a state and gets a later one whole.
    fn send(&mut self, kind: &'static str, value: &Value) -> Result<(), Ended> {
        match self.events.try_send(event(kind, value)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                self.shown.clear();
                Ok(())
            }
            Err(TrySendError::Closed(_)) => Err(Ended),
        }
    }

    async fn still_admitted(&self) -> bool {
        // When the store cannot be asked, nobody is shown anything more.
        self.door.still_admits(&self.actor).await.unwrap_or(false)
    }
}

fn event(kind: &'static str, value: &Value) -> Event {
    Event::default().event(kind).data(value.to_string())
}
