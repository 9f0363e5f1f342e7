//! Where a message goes: every destination of every channel that took it, decided once, at intake.

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

/// What is to happen to a message at one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// Send it, in this lane. `joins` names a second lane that it also orders (a merge, A40).
    Deliver {
        /// Its lane.
        lane: Lane,
        /// The other lane it must wait for and that must wait for it.
        joins: Option<Lane>,
    },
    /// The destination's `when` said no: nothing is sent, and that is on record.
    Filtered,
    /// Send nothing until a person releases it: a repeated id with other content, by policy.
    Hold {
        /// Its lane.
        lane: Lane,
    },
}

/// One destination of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
