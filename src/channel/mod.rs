//! What happens to one message. Pure: no I/O, no clock, no randomness, no async.
//!
//! The same raw bytes, channel version and tables always give the same output bytes: `now` is the time
//! of acceptance, and a new control id is derived from message and destination.
//!
//! Reading order: `compile` (a file's sections into a [`Channel`]), `input` and `scope` (a message as it can be
//! read), `expr` (values and conditions), `accept` and `route` (what is taken, in which lanes), `step` and
//! `produce` (what is sent), `render`, `cases` (the tests inside the file).

pub mod accept;
pub mod build;
pub mod bundle;
pub mod cases;
pub mod compile;
pub mod explain;
pub mod expr;
pub mod fhir_path;
mod fields;
pub mod from_fhir;
pub mod input;
pub mod iso;
pub mod json;
pub mod json_path;
pub mod new_message;
pub mod produce;
pub mod reference;
pub mod render;
mod resource;
pub mod route;
pub mod scope;
pub mod step;
pub mod table;
pub mod to_fhir;

use std::sync::Arc;

use crate::channel::accept::{Accept, Acceptance};
use crate::channel::expr::eval::Unmapped;
use crate::channel::expr::{Condition, Value};
use crate::channel::input::Input;
use crate::channel::produce::Produce;
use crate::channel::render::Attribute;
use crate::channel::route::Order;
use crate::channel::scope::{Facts, Notes, Scope};
use crate::channel::step::Step;
use crate::hl7::raw::ReadOptions;
use crate::message::kind::Kind;
use crate::message::plan::{Joins, Lane};
use crate::message::time::Timestamp;
use crate::message::verdict::{Problem, Route, Taken, Verdict};
use crate::message::{Key, KeyValue};

/// Most values of one search key of one message; further ones are not indexed.
pub const KEY_VALUES_MAX: usize = 32;

/// Longest value of a search key, in characters; a longer one is cut.
pub const KEY_CHARS_MAX: usize = 200;

/// A channel, ready to judge and to render.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its name.
    pub name: Arc<str>,
    /// Where its messages come from.
    pub listen: Listen,
    /// How bytes become text.
    pub read_options: ReadOptions,
    accept: Accept,
    search_keys: Vec<SearchKey>,
    destinations: Vec<Destination>,
}

/// Where a channel's messages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// From a source of its own.
    Source,
    /// From inside the engine.
    Topics(Vec<Box<str>>),
}

/// A value to search messages by.
#[derive(Debug, Clone)]
struct SearchKey {
    name: Arc<str>,
    value: Value,
    mask: bool,
}

/// What the language says of one destination.
#[derive(Debug, Clone)]
struct Destination {
    name: Arc<str>,
    when: Option<Condition>,
    order: Order,
    /// The same list wherever destinations of the channel change a message alike.
    steps: Arc<[Step]>,
    /// Whether another destination has these steps too.
    shares_steps: bool,
    produce: Produce,
    unmapped: Unmapped,
    attributes: Vec<Attribute>,
    fixed_attributes: Vec<(Box<str>, Box<str>)>,
}

impl Channel {
    /// The names of its destinations, in order.
    pub fn destinations(&self) -> impl Iterator<Item = &Arc<str>> {
        self.destinations.iter().map(|destination| &destination.name)
    }

    /// How a destination's deliveries are ordered, as it is written; empty for a name it does not have.
    #[must_use]
    pub fn order_of(&self, destination: &str) -> &str {
        let found = self.destinations.iter().find(|known| *known.name == *destination);
        found.map_or("", |destination| destination.order.written())
    }

    /// Whether a destination, by its place, keeps an order by key.
    #[must_use]
    pub fn orders_by_key(&self, place: usize) -> bool {
        let found = self.destinations.get(place);
        found.is_some_and(|destination| matches!(destination.order, Order::By { .. }))
    }

    /// The search keys whose values people without the right to see them are shown masked.
    pub fn masked_keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.search_keys.iter().filter(|key| key.mask).map(|key| &key.name)
    }

    /// Whether it listens to a message that another channel accepted: by kind (`patient`), by type and
    /// event (`ADT^A01`, `ADT^*`, `ADT`), or by the topic it was published under.
    #[must_use]
    pub fn hears(&self, kind: Kind, event: &str, published: Option<&str>) -> bool {
        let Listen::Topics(topics) = &self.listen else { return false };
        topics.iter().any(|topic| match published {
            Some(published) => **topic == *published,
            None => {
                **topic == *kind.name()
                    || **topic == *event
                    || event.split_once('^').is_some_and(|(code, _)| {
                        **topic == *code || topic.strip_suffix("^*") == Some(code)
                    })
            }
        })
    }

    /// Whether `accept: types` asks for this type and event by name.
    #[must_use]
    pub fn asks_for(&self, event: &str) -> bool {
        self.accept.names(event)
    }

    /// What `accept: types` lets in.
    #[must_use]
    pub const fn accepts(&self) -> &Accept {
        &self.accept
    }

    /// What it says of a message.
    #[must_use]
    pub fn judge(&self, input: &Input) -> Verdict {
        let message = match input.message() {
            Ok(message) => message,
            Err(input::Unreadable::Hl7(error)) => return Verdict::Refuse(error.problem()),
            Err(error) => {
                let text = error.to_string();
                return Verdict::Refuse(Problem { code: 207, location: None, text, reject: true });
            }
        };
        let facts = self.facts(input, Timestamp::default());
        let notes = Notes::passing();
        let scope = Scope::new(message, &facts, &notes);
        match self.accept.judge(input, &scope) {
            Acceptance::Yes => Verdict::Take(self.taken(input, &scope, true)),
            Acceptance::Ignored => Verdict::Take(self.taken(input, &scope, false)),
            Acceptance::OtherType(_) if self.listen != Listen::Source => Verdict::Pass,
            Acceptance::OtherType(problem) | Acceptance::No(problem) => Verdict::Refuse(problem),
        }
    }

    /// A text of the transport that is the same for every message, for tests.
    fn fixed_attribute(&self, destination: &str, name: &str) -> Option<&str> {
        let found = self.destinations.iter().find(|known| *known.name == *destination)?;
        found.fixed_attributes.iter().find(|(key, _)| **key == *name).map(|(_, text)| &**text)
    }

    fn facts(&self, input: &Input, received_at: Timestamp) -> Facts {
        Facts {
            kind: input.kind(),
            event: Arc::clone(input.event()),
            channel: Arc::clone(&self.name),
            received_at,
        }
    }

    fn taken(&self, input: &Input, scope: &Scope<'_>, wanted: bool) -> Taken {
        // Most destinations keep the same order, whose key is then looked up once.
        let mut last: Option<(&Order, Lane, Joins)> = None;
        let routes = self.destinations.iter().map(|destination| {
            let holds = || destination.when.as_ref().is_none_or(|when| when.holds(scope));
            if !wanted || !holds() {
                return Route::Filtered;
            }
            let order = &destination.order;
            if let Some((_, lane, joins)) = last.as_ref().filter(|(last, ..)| last.is_same(order)) {
                return Route::Deliver { lane: *lane, joins: joins.clone() };
            }
            let (lane, joins) = order.lanes(scope);
            last = Some((order, lane, joins.clone()));
            Route::Deliver { lane, joins }
        });
        Taken {
            kind: input.kind(),
            content_type: input.content_type(),
            event: input.event().to_string(),
            control_id: input.control_id().to_owned(),
            keys: self.keys(scope),
            routes: routes.collect(),
            duplicate: self.accept.duplicate(input, scope, &self.name),
        }
    }

    fn keys(&self, scope: &Scope<'_>) -> Vec<Key> {
        let mut keys: Vec<Key> = Vec::new();
        for key in &self.search_keys {
            let value = key.value.eval(scope);
            for member in value.members().into_iter().take(KEY_VALUES_MAX) {
                let text = member.text();
                let cut: String = text.trim().chars().take(KEY_CHARS_MAX).collect();
                if cut.is_empty() {
                    continue;
                }
                let found = Key { name: Arc::clone(&key.name), value: KeyValue::new(&cut) };
                if !keys.contains(&found) {
                    keys.push(found);
                }
            }
        }
        keys
    }
}

#[cfg(test)]
mod tests;
