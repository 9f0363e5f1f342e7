//! The words of the store in memory: channels, key names and plans, by number and by content.
//!
//! The committer numbers a new word in the transaction that first uses it and puts it here before that
//! commits, so a reader never meets a number it cannot look up. After a rollback it takes it out again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::message::id::{DestinationId, VersionId};
use crate::message::plan::{Disposition, Lane, Plan, PlanEntry};
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

/// A disposition without its lanes. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// Nothing is sent: 0.
    Filtered,
    /// Sent: 1.
    Deliver,
    /// Held: 2.
    Hold,
    /// Sent, in two lanes: 3.
    Join,
}

impl What {
    /// The stored number.
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Filtered => 0,
            Self::Deliver => 1,
            Self::Hold => 2,
            Self::Join => 3,
        }
    }

    /// The meaning of a stored number.
    pub(super) const fn from_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::Filtered),
            1 => Some(Self::Deliver),
            2 => Some(Self::Hold),
            3 => Some(Self::Join),
            _ => None,
        }
    }
}

/// The shape of a plan and its lanes, as they are stored.
pub(super) fn split(plan: &Plan) -> (Vec<Shape>, Vec<u8>) {
    let mut lanes = Vec::new();
    let mut shapes = Vec::with_capacity(plan.entries.len());
    for entry in &plan.entries {
        let what = match entry.disposition {
            Disposition::Filtered => What::Filtered,
            Disposition::Deliver { lane, joins: None } => {
                lanes.push(lane);
                What::Deliver
            }
            Disposition::Deliver { lane, joins: Some(joins) } => {
                lanes.extend([lane, joins]);
                What::Join
            }
            Disposition::Hold { lane } => {
                lanes.push(lane);
                What::Hold
            }
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
    Some(match what {
        What::Filtered => Disposition::Filtered,
        What::Deliver => Disposition::Deliver { lane: lanes.next()?, joins: None },
        What::Hold => Disposition::Hold { lane: lanes.next()? },
        What::Join => {
            let lane: Lane = lanes.next()?;
            Disposition::Deliver { lane, joins: Some(lanes.next()?) }
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
        let plan = Plan {
            entries: vec![
                entry(1, Disposition::Deliver { lane, joins: None }),
                entry(2, Disposition::Filtered),
                entry(3, Disposition::Deliver { lane, joins: Some(Lane::of("4712")) }),
                entry(4, Disposition::Hold { lane: Lane::STRICT }),
            ],
        };
        let (shapes, lanes) = split(&plan);
        assert_eq!(join(&shapes, &lanes), Some(plan));
        assert_eq!(join(&shapes, &lanes[..1]), None);
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
