//! Channel versions by the store's number, compiled when first needed, and rendering under them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::channel::Channel;
use crate::channel::bundle::Bundle;
use crate::channel::compile::compile;
use crate::channel::explain::Judged;
use crate::channel::input::Input;
use crate::delivery::render::Render;
use crate::destination::subscriber::ABOUT;
use crate::engine::readings::Readings;
use crate::engine::subscriptions::{PREFIX, outbound};
use crate::fhir::subscription::event::{self, Event};
use crate::fhir::subscription::render::Settings;
use crate::hl7::raw::ReadOptions;
use crate::message::StoredMessage;
use crate::message::id::{DestinationId, VersionId};
use crate::message::verdict::{Context, RenderProblem, Rendered};
use crate::store::{Store, StoreError, VersionRecord};
use crate::yaml::node::Source;
use crate::yaml::parse::parse;

/// Compiled versions kept beside those in force; the oldest number goes first. They are asked for only
/// while messages accepted under them wait.
const VERSIONS_MAX: usize = 256;
/// Settings of subscriptions kept, about a kilobyte each: more than there are subscriptions.
const SETTINGS_MAX: usize = 65_536;
/// How often a version is read before its message is held for a person: a store that is busy, or a disk that
/// stalls, is nothing a person could decide.
const READS_MAX: u32 = 5;
/// The pause before the second read; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A filter as its file says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The condition.
    pub text: String,
    /// Its line, from 1.
    pub line: usize,
    /// Its column, from 1.
    pub column: usize,
}

/// Renders stored messages under the version they were accepted under (P12).
pub struct Versions {
    store: Arc<dyn Store>,
    /// The versions in force, by channel. They are never dropped: each message needs them.
    in_force: RwLock<BTreeMap<Arc<str>, VersionId>>,
    compiled: RwLock<BTreeMap<VersionId, Arc<Channel>>>,
    names: RwLock<BTreeMap<DestinationId, Arc<str>>>,
    readings: Arc<Readings>,
    /// Settings that notifications of subscriptions are pinned to.
    settings: RwLock<BTreeMap<VersionId, Arc<Settings>>>,
}

impl Versions {
    /// No version yet. `readings`: what the admission read.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, readings: Arc<Readings>) -> Self {
        Self {
            store,
            in_force: RwLock::default(),
            compiled: RwLock::default(),
            names: RwLock::default(),
            readings,
            settings: RwLock::default(),
        }
    }

    /// Makes a version known that is compiled already and comes into force, in place of the channel's last.
    pub fn put_in_force(&self, id: VersionId, channel: Arc<Channel>) {
        let name = Arc::clone(&channel.name);
        self.in_force.write().unwrap_or_else(PoisonError::into_inner).insert(name, id);
        self.keep(id, channel);
    }

    fn keep(&self, id: VersionId, channel: Arc<Channel>) {
        let in_force: BTreeSet<VersionId> = {
            let in_force = self.in_force.read().unwrap_or_else(PoisonError::into_inner);
            in_force.values().copied().collect()
        };
        let mut compiled = self.compiled.write().unwrap_or_else(PoisonError::into_inner);
        compiled.insert(id, channel);
        make_room(&mut compiled, VERSIONS_MAX.saturating_add(in_force.len()), |known| {
            *known == id || in_force.contains(known)
        });
    }

    /// Makes a destination's name within its channel known.
    pub fn name(&self, id: DestinationId, name: &str) {
        self.names.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::from(name));
    }

    /// The compiled version: from memory, or from the store's bundle.
    ///
    /// # Errors
    /// A sentence that says why there is none.
    pub fn get(&self, id: VersionId) -> Result<Arc<Channel>, String> {
        if let Some(channel) = self.compiled.read().unwrap_or_else(PoisonError::into_inner).get(&id)
        {
            return Ok(Arc::clone(channel));
        }
        let bundle = self.bundle(id)?;
        let channel = compiled(&bundle)
            .ok_or_else(|| format!("channel version {id} does not compile in this release"))?;
        let channel = Arc::new(channel);
        self.keep(id, Arc::clone(&channel));
        Ok(channel)
    }

    /// A stored version. Rare: the first message of an old version after a restart. The runtime lends this
    /// thread.
    fn record(&self, id: VersionId) -> Result<VersionRecord, String> {
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(read_record(&*self.store, id))
        })
        .map_err(|error| format!("version {id} cannot be read: {error}"))
    }

    /// The settings that a subscription's event is pinned to.
    fn settings(&self, id: VersionId) -> Result<Arc<Settings>, String> {
        let known = self.settings.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(settings) = known {
            return Ok(settings);
        }
        let record = self.record(id)?;
        let stored = serde_json::from_slice(&record.bundle).ok();
        let settings = stored.as_ref().and_then(Settings::from_json);
        let settings =
            Arc::new(settings.ok_or_else(|| format!("version {id} is no subscription's"))?);
        let mut all = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(id, Arc::clone(&settings));
        make_room(&mut all, SETTINGS_MAX, |known| *known == id);
        Ok(settings)
    }

    /// What a subscriber is sent: the settings its events were accepted under decide, and their numbers.
    fn notification(
        &self,
        subscription: &str,
        destination: DestinationId,
        version: VersionId,
        messages: &[&StoredMessage],
    ) -> Rendered {
        let held = |cause, text: String| {
            Rendered::Hold(RenderProblem { cause, text, detail: String::new() })
        };
        let settings = match self.settings(version) {
            Ok(settings) => settings,
            Err(text) => return held("version", text),
        };
        let events = messages.iter().map(|message| event_of(message, destination));
        let events: Option<Vec<Event>> = events.collect();
        let (Some(first), Some(events)) = (messages.first(), events) else {
            return held("event", "the message is no event of this subscription".to_owned());
        };
        let id = first.envelope.id;
        let named = format!("{PREFIX}{subscription}");
        let (id, call) = match events.as_slice() {
            [event] => {
                let id = id.derive(&named);
                (id, settings.call(subscription, event, uuid::Uuid::from_bytes(id.to_bytes())))
            }
            // Another bundle has another id: a receiver that knows the one takes the other all the same.
            several => {
                let last = several.last().map_or(0, |event| event.number);
                let id = id.derive(&format!("{named}/{last}/{}", several.len()));
                (
                    id,
                    settings.together(subscription, several, uuid::Uuid::from_bytes(id.to_bytes())),
                )
            }
        };
        let kinds: BTreeSet<&str> = events.iter().map(|event| &*event.focus.kind).collect();
        let mut sent = outbound(first.envelope.id, id.to_string().into(), call);
        sent.attributes.extend(kinds.into_iter().map(|kind| (ABOUT.into(), kind.into())));
        Rendered::Send(sent)
    }

    /// What a destination is sent, under this version.
    #[must_use]
    pub fn rendered(
        &self,
        destination: DestinationId,
        version: VersionId,
        message: &StoredMessage,
    ) -> Rendered {
        let name =
            self.names.read().unwrap_or_else(PoisonError::into_inner).get(&destination).cloned();
        if let Some(id) = name.as_deref().and_then(|name| name.strip_prefix(PREFIX)) {
            return self.notification(id, destination, version, &[message]);
        }
        let (Some(name), Ok(channel)) = (name, self.get(version)) else {
            return Rendered::Hold(no_rules(version));
        };
        let input = self.read(message, channel.read_options);
        under(&channel, &name, &input, message)
    }

    /// The same for a message that is not in the log as it is here: somebody edited it, or only looks.
    #[must_use]
    pub fn rendered_anew(
        &self,
        destination: DestinationId,
        version: VersionId,
        message: &StoredMessage,
    ) -> Rendered {
        let name =
            self.names.read().unwrap_or_else(PoisonError::into_inner).get(&destination).cloned();
        let (Some(name), Ok(channel)) = (name, self.get(version)) else {
            return Rendered::Hold(no_rules(version));
        };
        let input = stored_input(message, channel.read_options);
        under(&channel, &name, &input, message)
    }

    /// Why a destination is chosen or not, under this version; `None` when the version is not to be had.
    #[must_use]
    pub fn explained(
        &self,
        version: VersionId,
        destination: &str,
        message: &StoredMessage,
    ) -> Option<Judged> {
        let channel = self.get(version).ok()?;
        let input = self.read(message, channel.read_options);
        channel.explain(destination, &input)
    }

    /// The `when` of a destination in this version's file; `None` when it has none.
    #[must_use]
    pub fn filter(&self, version: VersionId, destination: &str) -> Option<Filter> {
        let bundle = self.bundle(version).ok()?;
        let text = std::str::from_utf8(&bundle.channel).ok()?.to_owned();
        let source = Arc::new(Source { name: "stored version".to_owned(), text });
        let root = parse(Arc::clone(&source)).0?;
        let when = root.get("to")?.get(destination)?.get("when")?;
        let (line, column) = source.line_column(when.span.start);
        Some(Filter { text: when.text()?.to_owned(), line, column })
    }

    /// The files of a version.
    ///
    /// # Errors
    /// A sentence that says why there are none.
    pub fn bundle(&self, id: VersionId) -> Result<Bundle, String> {
        let record = self.record(id)?;
        Bundle::unpack(&record.bundle.into())
            .ok_or_else(|| format!("channel version {id} cannot be unpacked"))
    }

    /// The message as the channel reads it: read already at its admission or for another destination,
    /// or now.
    fn read(&self, message: &StoredMessage, options: ReadOptions) -> Arc<Input> {
        let id = message.envelope.id;
        self.readings.get(id, options).unwrap_or_else(|| {
            let input = Arc::new(stored_input(message, options));
            if message.plan.entries.len() > 1 {
                self.readings.keep(id, &input);
            }
            input
        })
    }
}

impl Render for Versions {
    fn render(
        &self,
        destination: DestinationId,
        version: VersionId,
        message: &StoredMessage,
    ) -> Rendered {
        self.rendered(destination, version, message)
    }

    fn render_together(
        &self,
        destination: DestinationId,
        version: VersionId,
        messages: &[&StoredMessage],
    ) -> Rendered {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let name = names.get(&destination).cloned();
        drop(names);
        match name.as_deref().and_then(|name| name.strip_prefix(PREFIX)) {
            Some(id) => self.notification(id, destination, version, messages),
            None => Rendered::Hold(no_rules(version)),
        }
    }
}

/// A stored message as an event of this subscription.
fn event_of(message: &StoredMessage, destination: DestinationId) -> Option<Event> {
    let (_, number) = message.events.iter().find(|(own, _)| *own == destination)?;
    let envelope = &message.envelope;
    let control_id = envelope.control_id.expose();
    let payload = message.payload.expose();
    event::read(&envelope.event, control_id, envelope.received_at, payload, *number)
}

/// Drops the lowest numbers that may be dropped.
fn make_room<T>(
    known: &mut BTreeMap<VersionId, T>,
    most: usize,
    stays: impl Fn(&VersionId) -> bool,
) {
    while known.len() > most {
        let Some(oldest) = known.keys().find(|id| !stays(id)).copied() else { return };
        known.remove(&oldest);
    }
}

/// Reads a version; a fault that may pass is waited out for a while.
async fn read_record(store: &dyn Store, id: VersionId) -> Result<VersionRecord, StoreError> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..READS_MAX {
        match store.version_record(id).await {
            Err(StoreError::Database(_) | StoreError::Overloaded { .. }) => {}
            last => return last,
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2);
    }
    store.version_record(id).await
}

fn under(channel: &Channel, name: &str, input: &Input, message: &StoredMessage) -> Rendered {
    let context = Context {
        id: message.envelope.id,
        received_at: message.envelope.received_at,
        channel: Arc::clone(&message.envelope.channel),
    };
    channel.render(name, input, &context)
}

fn no_rules(version: VersionId) -> RenderProblem {
    RenderProblem {
        cause: "version",
        text: format!("the rules of version {version} are not to be had"),
        detail: String::new(),
    }
}

/// A stored message as channels see it: what the log has kept of it counts where its bytes say nothing.
pub(super) fn stored_input(message: &StoredMessage, options: ReadOptions) -> Input {
    let envelope = &message.envelope;
    Input::new(message.payload.clone(), envelope.content_type, options).known(
        &envelope.event,
        envelope.control_id.expose(),
        envelope.received_at,
    )
}

/// Compiles a stored version. Only the language's part matters: where to send is always today's.
fn compiled(bundle: &Bundle) -> Option<Channel> {
    let text = std::str::from_utf8(&bundle.channel).ok()?.to_owned();
    let source = Arc::new(Source { name: "stored version".to_owned(), text });
    let (root, _) = parse(source);
    compile(&root?, bundle).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_stays_however_many_newer_versions_come() {
        let in_force = VersionId(1);
        let mut known = BTreeMap::from([(in_force, ())]);
        for number in 2..100 {
            let id = VersionId(number);
            known.insert(id, ());
            make_room(&mut known, 3, |known| *known == id || *known == in_force);
            assert!(known.contains_key(&in_force) && known.contains_key(&id));
            assert!(known.len() <= 3);
        }
        // An older one that is asked for again is there for the next message too.
        let old = VersionId(7);
        known.insert(old, ());
        make_room(&mut known, 3, |known| *known == old || *known == in_force);
        assert!(known.contains_key(&old));
    }
}
