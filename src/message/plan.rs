//! Where a message goes: every destination of every channel that took it, decided once, at intake.

use std::sync::Arc;

use crate::message::id::{DestinationId, VersionId};

/// The order key of a delivery, as a hash. Deliveries of one destination with the same lane are
/// offered in the order of acceptance; different lanes never wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(pub u64);

impl Lane {
    /// No order: the delivery waits for nobody and nobody waits for it.
    pub const NONE: Self = Self(0);
    /// The one lane of a destination with `order: strict`.
    pub const STRICT: Self = Self(1);

    /// The lane of an order key's value. An empty key has no order.
    #[must_use]
    pub fn of(key: &str) -> Self {
        if key.is_empty() {
            return Self::NONE;
        }
        // A collision merges two lanes, which costs parallelism and never order.
        Self(xxhash_rust::xxh3::xxh3_64(key.as_bytes()).max(2))
    }
}

/// The lanes that a delivery orders beside its own: it waits for them, and they wait for it. A merge names
/// one, or one and two more for each further patient of the message (A39 and A40 repeat PID and MRG).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Joins(Option<Arc<[Lane]>>);

impl Joins {
    /// No other lane.
    pub const NONE: Self = Self(None);

    /// One other lane.
    #[must_use]
    pub fn one(lane: Lane) -> Self {
        Self(Some(Arc::new([lane])))
    }

    /// The lanes, in the order of the message.
    #[must_use]
    pub fn lanes(&self) -> &[Lane] {
        self.0.as_deref().unwrap_or_default()
    }

    /// The lanes beside `own`, each once; those without order are left out.
    #[must_use]
    pub fn beside(own: Lane, lanes: impl IntoIterator<Item = Lane>) -> Self {
        let mut others: Vec<Lane> = Vec::new();
        for lane in lanes {
            if lane != own && lane != Lane::NONE && !others.contains(&lane) {
                others.push(lane);
            }
        }
        others.into_iter().collect()
    }
}

impl FromIterator<Lane> for Joins {
    fn from_iter<I: IntoIterator<Item = Lane>>(lanes: I) -> Self {
        let lanes: Arc<[Lane]> = lanes.into_iter().collect();
        Self((!lanes.is_empty()).then_some(lanes))
    }
}

/// What is to happen to a message at one destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// Send it, in this lane.
    Deliver {
        /// Its lane.
        lane: Lane,
        /// The other lanes it orders.
        joins: Joins,
    },
    /// The destination's `when` said no: nothing is sent, and that is on record.
    Filtered,
    /// Send nothing until a person releases it: a repeated id with other content, by policy.
    Hold {
        /// Its lane.
        lane: Lane,
        /// The other lanes it orders.
        joins: Joins,
    },
}

/// One destination of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlanEntry {
    /// Where to.
    pub destination: DestinationId,
    /// The channel version that decides what is sent (P12).
    pub version: VersionId,
    /// What is to happen there.
    pub disposition: Disposition,
}

/// All destinations of a message. Empty when no channel wanted it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The entries, in the order of channels and their destinations.
    pub entries: Vec<PlanEntry>,
}

impl Plan {
    /// The entry of one destination.
    #[must_use]
    pub fn entry(&self, destination: DestinationId) -> Option<&PlanEntry> {
        self.entries.iter().find(|entry| entry.destination == destination)
    }
}
