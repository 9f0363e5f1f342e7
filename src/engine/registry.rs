//! The channels in force, and admission: what becomes of a received message.
//!
//! The source's own channel judges first and may refuse; then every channel that listens to a matching
//! topic adds its routes. All of them together are the message's plan.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;

use crate::channel::Channel;
use crate::channel::input::Input;
use crate::engine::readings::Readings;
use crate::engine::subscriptions::Subscriptions;
use crate::hl7::raw::ReadOptions;
use crate::message::id::{DestinationId, MessageId, VersionId};
use crate::message::plan::{Disposition, Lane, Plan, PlanEntry};
use crate::message::verdict::{Problem, Route, Taken, Verdict};
use crate::message::{Envelope, KeyValue};
use crate::source::intake::{Admit, CONTROL_ID, EVENT, Received};
use crate::source::resource::ResourceChange;
use crate::store::NewMessage;

/// A channel in force: its rules, and the store's numbers for them.
#[derive(Debug, Clone)]
pub struct LiveChannel {
    /// The rules.
    pub channel: Arc<Channel>,
    /// The store's number of this version.
    pub version: VersionId,
    /// The store's numbers of the destinations, in the channel's order.
    pub destinations: Vec<DestinationId>,
}

/// All channels in force at one moment.
#[derive(Debug, Default)]
pub struct Channels {
    by_name: BTreeMap<Arc<str>, LiveChannel>,
}

impl Channels {
    /// A channel by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&LiveChannel> {
        self.by_name.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &LiveChannel> {
        self.by_name.values()
    }

    fn orders_by_key(&self, destination: DestinationId) -> bool {
        self.iter().any(|live| {
            let place = live.destinations.iter().position(|own| *own == destination);
            place.is_some_and(|place| live.channel.orders_by_key(place))
        })
    }
}

/// The channels in force; each message is judged by one picture of them.
#[derive(Debug, Default)]
pub struct Registry {
    channels: ArcSwap<Channels>,
    readings: Arc<Readings>,
    subscriptions: OnceLock<Arc<Subscriptions>>,
}

impl Registry {
    /// No channel yet. `readings`: where what was read is kept for the deliveries.
    #[must_use]
    pub fn new(readings: Arc<Readings>) -> Self {
        Self { channels: ArcSwap::default(), readings, subscriptions: OnceLock::new() }
    }

    /// Whom changes of resources are shown to; set once, when the engine is built.
    pub(super) fn set_subscriptions(&self, subscriptions: Arc<Subscriptions>) {
        let _first = self.subscriptions.set(subscriptions);
    }

    /// The channels in force now.
    #[must_use]
    pub fn channels(&self) -> Arc<Channels> {
        self.channels.load_full()
    }

    /// Puts a channel in force, in place of its old version, for every message received from now on.
    pub fn put(&self, live: &LiveChannel) {
        self.channels.rcu(|channels| {
            let mut by_name = channels.by_name.clone();
            by_name.insert(Arc::clone(&live.channel.name), live.clone());
            Channels { by_name }
        });
    }

    /// Takes a channel out of force.
    pub fn remove(&self, name: &str) {
        self.channels.rcu(|channels| {
            let mut by_name = channels.by_name.clone();
            by_name.remove(name);
            Channels { by_name }
        });
    }

    /// Admits what a channel published under `topic`. Without a listener its plan is empty: it is kept, so
    /// that it can be found and replayed.
    #[must_use]
    pub fn admit_topic(&self, topic: &str, received: &Received) -> NewMessage {
        let channels = self.channels.load();
        let input = input_of(received, ReadOptions::default());
        let mut judged = Judged::default();
        judged.subscribers(&channels, &input, Some(topic));
        let taken = judged.taken.take().unwrap_or_else(|| taken_by_nobody(&input));
        message(received, taken, judged.plan)
    }

    fn judge(&self, received: &Received, wanted: Wanted) -> Result<NewMessage, Problem> {
        let channels = self.channels.load();
        let own = channels.get(&received.channel).ok_or_else(|| withdrawn(&received.channel))?;
        let input = input_of(received, own.channel.read_options);
        let mut judged = Judged::default();
        if wanted == Wanted::Yes || own.channel.asks_for(input.event()) {
            match own.channel.judge(&input) {
                Verdict::Take(taken) => judged.take(own, taken),
                Verdict::Refuse(problem) => return Err(problem),
                Verdict::Pass => return Err(unwanted()),
            }
        }
        judged.subscribers(&channels, &input, None);
        let taken = judged.taken.take().unwrap_or_else(|| taken_by_nobody(&input));
        let message = message(received, taken, judged.plan);
        self.readings.keep(message.envelope.id, &Arc::new(input));
        Ok(message)
    }
}

/// Whether a source's own channel is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Always; what it does not take is refused.
    Yes,
    /// Only when it asks for the type by name.
    ByName,
}

/// What has been said of a message so far.
#[derive(Default)]
struct Judged {
    plan: Plan,
    taken: Option<Taken>,
}

impl Judged {
    /// Lets every listening channel judge. `published` is the topic of another channel's output; what a
    /// sender sent is heard by kind and event instead.
    fn subscribers(&mut self, channels: &Channels, input: &Input, published: Option<&str>) {
        for listener in channels.iter() {
            if !listener.channel.hears(input.kind(), input.event(), published) {
                continue;
            }
            match listener.channel.judge(input) {
                Verdict::Take(taken) => self.take(listener, taken),
                // A subscriber that refuses is on record as filtered; the sender has nothing to mend.
                Verdict::Refuse(_) => {
                    let filtered = vec![Route::Filtered; listener.destinations.len()];
                    add_routes(&mut self.plan, listener, &filtered);
                }
                Verdict::Pass => {}
            }
        }
    }

    /// The first to take it says what it is; others add search keys.
    fn take(&mut self, live: &LiveChannel, taken: Taken) {
        add_routes(&mut self.plan, live, &taken.routes);
        let Some(whole) = &mut self.taken else {
            self.taken = Some(taken);
            return;
        };
        for key in taken.keys {
            if !whole.keys.contains(&key) {
                whole.keys.push(key);
            }
        }
    }
}

/// The first lane of a key that a message has anywhere.
fn lane_of(plan: &Plan) -> Option<Lane> {
    plan.entries.iter().find_map(|entry| match entry.disposition {
        Disposition::Deliver { lane, .. } => {
            Some(lane).filter(|lane| ![Lane::NONE, Lane::STRICT].contains(lane))
        }
        Disposition::Filtered | Disposition::Hold { .. } => None,
    })
}

/// What is known of a message that no channel wants.
fn taken_by_nobody(input: &Input) -> Taken {
    Taken {
        kind: input.kind(),
        content_type: input.content_type(),
        event: input.event().to_string(),
        control_id: input.control_id().to_owned(),
        keys: Vec::new(),
        routes: Vec::new(),
        duplicate: None,
    }
}

fn message(received: &Received, taken: Taken, plan: Plan) -> NewMessage {
    NewMessage {
        envelope: Envelope {
            id: MessageId::new(),
            received_at: received.at,
            channel: Arc::clone(&received.channel),
            content_type: taken.content_type,
            kind: taken.kind,
            event: taken.event.into(),
            control_id: KeyValue::new(&taken.control_id),
            keys: taken.keys,
            origin: None,
        },
        plan,
        payload: Some(received.payload.clone()),
        duplicate: taken.duplicate,
    }
}

fn add_routes(plan: &mut Plan, live: &LiveChannel, routes: &[Route]) {
    for (destination, route) in live.destinations.iter().zip(routes) {
        let disposition = match route {
            Route::Deliver { lane, joins } => {
                Disposition::Deliver { lane: *lane, joins: joins.clone() }
            }
            Route::Filtered => Disposition::Filtered,
        };
        plan.entries.push(PlanEntry {
            destination: *destination,
            version: live.version,
            disposition,
        });
    }
}

/// The message as channels see it.
pub(crate) fn input_of(received: &Received, options: ReadOptions) -> Input {
    let input = match received.content_type {
        Some(content_type) => Input::new(received.payload.clone(), content_type, options),
        None => Input::guess(received.payload.clone(), options),
    };
    let said = |name| received.attribute(name).unwrap_or_default();
    input.known(said(EVENT), said(CONTROL_ID), received.at)
}

fn withdrawn(name: &str) -> Problem {
    Problem {
        code: 207,
        location: None,
        text: format!("channel {name} was withdrawn"),
        reject: true,
    }
}

fn unwanted() -> Problem {
    Problem {
        code: 200,
        location: None,
        text: "no channel takes this message".to_owned(),
        reject: true,
    }
}

impl Admit for Registry {
    fn lets_in(&self, channel: &str, event: &str) -> bool {
        let channels = self.channels.load();
        channels.get(channel).is_none_or(|live| live.channel.accepts().lets_in(event))
    }

    fn events_of(&self, channel: &str, code: &str) -> Vec<String> {
        let channels = self.channels.load();
        let named = |live: &LiveChannel| {
            live.channel.accepts().events_of(code).map(str::to_owned).collect()
        };
        channels.get(channel).map(named).unwrap_or_default()
    }

    fn subscribed(&self, channel: &str, change: &ResourceChange<'_>) -> Vec<PlanEntry> {
        self.subscriptions.get().map(|all| all.matching(channel, change)).unwrap_or_default()
    }

    fn admit(&self, received: &Received) -> Result<NewMessage, Problem> {
        self.judge(received, Wanted::Yes)
    }

    fn keep(&self, received: &Received) -> Result<NewMessage, Problem> {
        self.judge(received, Wanted::ByName)
    }

    fn respond(&self, response: &Received, message: &NewMessage) -> Result<NewMessage, Problem> {
        let mut new = self.judge(response, Wanted::ByName)?;
        let channels = self.channels.load();
        // A response names no patient: where an order by key finds none in it, it has the order of what it
        // answers.
        if let Some(lane) = lane_of(&message.plan) {
            for entry in &mut new.plan.entries {
                if let Disposition::Deliver { lane: own @ Lane::NONE, .. } = &mut entry.disposition
                    && channels.orders_by_key(entry.destination)
                {
                    *own = lane;
                }
            }
        }
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::build::NoFiles;
    use crate::channel::compile::compile;
    use crate::message::kind::ContentType;
    use crate::message::payload::Payload;
    use crate::message::time::Timestamp;
    use crate::yaml::node::Source;
    use crate::yaml::parse::parse;

    /// A channel in force, whose only destination has this number.
    fn live(text: &str, destination: u32) -> LiveChannel {
        let source = Source { name: "c.yaml".into(), text: text.to_owned() };
        let (node, _) = parse(Arc::new(source));
        let (channel, findings) = compile(&node.unwrap(), &NoFiles);
        let channel = channel.unwrap_or_else(|| panic!("{findings:?}"));
        LiveChannel {
            channel: Arc::new(channel),
            version: VersionId(1),
            destinations: vec![DestinationId(destination)],
        }
    }

    fn received(payload: &str, event: &str) -> Received {
        let payload = Payload::new(payload.to_owned());
        let mut received =
            Received::new("gateway".into(), payload, Timestamp(1), "10.0.0.1".to_owned());
        received.content_type = Some(ContentType::FhirJson);
        received.attributes.push((EVENT.into(), event.into()));
        received
    }

    #[test]
    fn a_response_goes_in_the_order_of_what_it_answers_where_it_has_none_of_its_own() {
        let registry = Registry::new(Arc::new(Readings::default()));
        let source = "channel: gateway\norder_by: $.id\nfrom: {fhir: {listen: \"127.0.0.1:0\", access: none}}\n\
                      to: {out: {file: {directory: out}}}\n";
        registry.put(&live(source, 1));
        let message =
            received(r#"{"resourceType":"Bundle","type":"message","id":"7"}"#, "message^a");
        let message = registry.admit(&message).unwrap();
        let response = r#"{"resourceType":"Bundle","type":"message"}"#;
        let lane_of_response = |order: &str| {
            let answers = format!(
                "channel: answers\n{order}from: {{topic: \"message^response\"}}\nto: {{out: {{file: {{directory: out}}}}}}\n"
            );
            registry.put(&live(&answers, 2));
            let response = received(response, "message^response");
            let new = registry.respond(&response, &message).unwrap();
            match new.plan.entry(DestinationId(2)).map(|entry| entry.disposition.clone()) {
                Some(Disposition::Deliver { lane, .. }) => lane,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(lane_of_response("order_by: $.id\n"), Lane::of("7"));
        assert_eq!(lane_of_response("order_by: $.type\n"), Lane::of("message"));
        assert_eq!(lane_of_response("order_by: none\n"), Lane::NONE);
        assert_eq!(lane_of_response(""), Lane::STRICT);
    }
}
