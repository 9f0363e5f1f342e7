//! The words of the store in memory: channels, key names and plans, by number and by content.
//!
//! The committer numbers a new word in the transaction that first uses it and puts it here before that
//! commits, so a reader never meets a number it cannot look up. After a rollback it takes it out again.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use crate::message::id::{DestinationId, VersionId};
use crate::message::plan::{Disposition, Joins, Lane, Plan, PlanEntry};
use crate::store::sqlite::codec::{Lanes, put_lanes};

/// The key that finds a message by its public id.
pub(super) const KEY_ID: u32 = 0;
/// The key that finds a message by its control id.
pub(super) const KEY_CONTROL: u32 = 1;

/// The key that finds the message of a subscription's event. No name of a channel's key has this number.
pub(super) const KEY_EVENT: u32 = u32::MAX;

/// The value of that key: events of one subscription stand in their order.
pub(super) fn event_key(subscription: DestinationId, number: u64) -> [u8; 12] {
    let mut key = [0; 12];
    let (first, last) = key.split_at_mut(4);
    first.copy_from_slice(&subscription.0.to_be_bytes());
    last.copy_from_slice(&number.to_be_bytes());
    key
}

/// The event's number in such a value; `None` when it is none.
pub(super) fn event_number(value: &[u8]) -> Option<u64> {
    let (_, number) = value.split_first_chunk::<4>()?;
    Some(u64::from_be_bytes(number.try_into().ok()?))
}

/// A plan entry without its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    /// Where to.
    pub(super) destination: DestinationId,
    /// Under which version.
    pub(super) version: VersionId,
    /// What is to happen.
    pub(super) what: What,
}

/// A disposition without its lanes, but with their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// Nothing is sent.
    Filtered,
    /// Sent, in its lane and so many others.
    Deliver(u32),
    /// Held, in its lane and so many others.
    Hold(u32),
}

/// From here on a stored number says how many lanes are joined: below it stand those of the usual cases.
const JOINED: i64 = 16;

impl What {
    /// The stored number: 0 filtered, 1 sent, 2 held, 3 sent in two lanes; of more lanes, twice their number
    /// and one more for what is held, from 16.
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Filtered => 0,
            Self::Deliver(0) => 1,
            Self::Hold(0) => 2,
            Self::Deliver(1) => 3,
            Self::Deliver(others) => JOINED + 2 * i64::from(others),
            Self::Hold(others) => JOINED + 2 * i64::from(others) + 1,
        }
    }

    /// The meaning of a stored number.
    pub(super) fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            0 => Self::Filtered,
            1 => Self::Deliver(0),
            2 => Self::Hold(0),
            3 => Self::Deliver(1),
            JOINED.. => {
                let others = u32::try_from((number - JOINED) / 2).ok()?;
                if number % 2 == 0 { Self::Deliver(others) } else { Self::Hold(others) }
            }
            _ => return None,
        })
    }
}

/// The shape of a plan and its lanes, as they are stored.
pub(super) fn split(plan: &Plan) -> (Vec<Shape>, Vec<u8>) {
    let mut lanes = Vec::new();
    let mut shapes = Vec::with_capacity(plan.entries.len());
    for entry in &plan.entries {
        let mut put = |lane: &Lane, joins: &Joins| {
            lanes.push(*lane);
            lanes.extend(joins.lanes());
            u32::try_from(joins.lanes().len()).unwrap_or(u32::MAX)
        };
        let what = match &entry.disposition {
            Disposition::Filtered => What::Filtered,
            Disposition::Deliver { lane, joins } => What::Deliver(put(lane, joins)),
            Disposition::Hold { lane, joins } => What::Hold(put(lane, joins)),
        };
        shapes.push(Shape { destination: entry.destination, version: entry.version, what });
    }
    (shapes, put_lanes(lanes.into_iter()))
}

/// A plan from its shape and its lanes; `None` at damage.
pub(super) fn join(shapes: &[Shape], lanes: &[u8]) -> Option<Plan> {
    let mut lanes = Lanes::new(lanes);
    let mut entries = Vec::with_capacity(shapes.len());
    for shape in shapes {
        let disposition = disposition(shape.what, &mut lanes)?;
        let (destination, version) = (shape.destination, shape.version);
        entries.push(PlanEntry { destination, version, disposition });
    }
    Some(Plan { entries })
}

fn disposition(what: What, lanes: &mut Lanes<'_>) -> Option<Disposition> {
    let mut several = |others| -> Option<(Lane, Joins)> {
        let lane = lanes.next()?;
        let joins: Option<Joins> = (0..others).map(|_| lanes.next()).collect();
        Some((lane, joins?))
    };
    Some(match what {
        What::Filtered => Disposition::Filtered,
        What::Deliver(others) => {
            let (lane, joins) = several(others)?;
            Disposition::Deliver { lane, joins }
        }
        What::Hold(others) => {
            let (lane, joins) = several(others)?;
            Disposition::Hold { lane, joins }
        }
    })
}

/// Things that are known by number and by content.
#[derive(Debug)]
pub(super) struct Words<T: ?Sized> {
    by_number: HashMap<u32, Arc<T>>,
    by_word: HashMap<Arc<T>, u32>,
    last: u32,
}

impl<T: ?Sized> Default for Words<T> {
    fn default() -> Self {
        Self { by_number: HashMap::new(), by_word: HashMap::new(), last: 0 }
    }
}

impl<T: ?Sized + Hash + Eq> Words<T> {
    /// The word of a number.
    pub(super) fn get(&self, number: u32) -> Option<&Arc<T>> {
        self.by_number.get(&number)
    }

    /// The number of a word.
    pub(super) fn number(&self, word: &T) -> Option<u32> {
        self.by_word.get(word).copied()
    }

    /// All numbers, in no order.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.by_number.keys().copied()
    }

    /// A number no word has.
    pub(super) const fn next(&self) -> u32 {
        self.last.saturating_add(1)
    }

    /// Adds a word.
    pub(super) fn put(&mut self, number: u32, word: Arc<T>) {
        self.last = self.last.max(number);
        self.by_number.insert(number, Arc::clone(&word));
        self.by_word.insert(word, number);
    }

    /// Takes a word out again.
    pub(super) fn take(&mut self, number: u32) {
        if let Some(word) = self.by_number.remove(&number) {
            self.by_word.remove(&*word);
        }
    }
}

/// All words of the store.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    /// Channels that ever received.
    pub(super) channels: Words<str>,
    /// Names of search keys.
    pub(super) key_names: Words<str>,
    /// Plans without lanes.
    pub(super) plans: Words<[Shape]>,
    /// Search parameters of resource types, as `Patient.identifier`.
    pub(super) slots: Words<str>,
    /// The numbers of the plans that deliver to a destination, with commas between them.
    plans_to: HashMap<DestinationId, String>,
}

impl Dictionary {
    /// Adds a plan.
    pub(super) fn put_plan(&mut self, number: u32, shapes: Arc<[Shape]>) {
        for destination in delivered_to(&shapes) {
            let list = self.plans_to.entry(destination).or_default();
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(&number.to_string());
        }
        self.plans.put(number, shapes);
    }

    /// Takes a plan out again.
    pub(super) fn take_plan(&mut self, number: u32) {
        let Some(shapes) = self.plans.get(number).map(Arc::clone) else { return };
        self.plans.take(number);
        let taken = number.to_string();
        for destination in delivered_to(&shapes) {
            let Some(list) = self.plans_to.get_mut(&destination) else { continue };
            let rest: Vec<&str> = list.split(',').filter(|one| *one != taken).collect();
            *list = rest.join(",");
            if list.is_empty() {
                self.plans_to.remove(&destination);
            }
        }
    }

    /// The plans that deliver to a destination, as a JSON list.
    pub(super) fn plans_to(&self, destination: DestinationId) -> String {
        format!("[{}]", self.plans_to.get(&destination).map_or("", String::as_str))
    }
}

/// The destinations a plan delivers to, each once.
fn delivered_to(shapes: &[Shape]) -> BTreeSet<DestinationId> {
    let sent = shapes.iter().filter(|shape| shape.what != What::Filtered);
    sent.map(|shape| shape.destination).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_comes_back_from_its_shape_and_lanes() {
        let entry = |destination, disposition| PlanEntry {
            destination: DestinationId(destination),
            version: VersionId(7),
            disposition,
        };
        let lane = Lane::of("4711");
        let three: Joins = [Lane::of("4712"), Lane::of("4713"), lane].into_iter().collect();
        let plan = Plan {
            entries: vec![
                entry(1, Disposition::Deliver { lane, joins: Joins::NONE }),
                entry(2, Disposition::Filtered),
                entry(3, Disposition::Deliver { lane, joins: Joins::one(Lane::of("4712")) }),
                entry(4, Disposition::Hold { lane: Lane::STRICT, joins: Joins::NONE }),
                entry(5, Disposition::Deliver { lane, joins: three.clone() }),
                entry(6, Disposition::Hold { lane, joins: three }),
                entry(7, Disposition::Hold { lane, joins: Joins::one(Lane::of("4712")) }),
            ],
        };
        let (shapes, lanes) = split(&plan);
        assert_eq!(join(&shapes, &lanes), Some(plan));
        assert_eq!(join(&shapes, &lanes[..1]), None);
        for shape in shapes {
            assert_eq!(What::from_number(shape.what.number()), Some(shape.what));
        }
    }

    #[test]
    fn plans_are_listed_by_where_they_deliver() {
        let shape = |destination, what| Shape {
            destination: DestinationId(destination),
            version: VersionId(7),
            what,
        };
        let mut words = Dictionary::default();
        words.put_plan(1, [shape(1, What::Deliver(0)), shape(2, What::Filtered)].into());
        words.put_plan(12, [shape(1, What::Hold(2)), shape(2, What::Deliver(0))].into());
        words.put_plan(2, [shape(1, What::Filtered)].into());
        let to = |words: &Dictionary, id| words.plans_to(DestinationId(id));
        assert_eq!([to(&words, 1), to(&words, 2), to(&words, 3)], ["[1,12]", "[12]", "[]"]);
        words.take_plan(1);
        words.take_plan(2);
        assert_eq!([to(&words, 1), to(&words, 2)], ["[12]", "[12]"]);
        words.take_plan(12);
        assert_eq!([to(&words, 1), to(&words, 2)], ["[]", "[]"]);
    }

    #[test]
    fn a_word_taken_out_is_unknown() {
        let mut words: Words<str> = Words::default();
        words.put(4, "lab".into());
        assert_eq!((words.number("lab"), words.next()), (Some(4), 5));
        words.take(4);
        assert_eq!((words.number("lab"), words.get(4)), (None, None));
    }
}
