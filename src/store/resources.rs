//! FHIR resources in the store: versions, search, and writes that are one transaction with their messages.

use async_trait::async_trait;

use crate::message::id::DestinationId;
use crate::message::resource::{
    Guard, HistoryQuery, ResourceKey, ResourcePage, ResourceQuery, ResourceVersion, ResourceWrite,
};
use crate::store::{Appended, NewMessage, StoreError};

/// What one FHIR request writes: all of it or nothing.
#[derive(Debug, Clone, Default)]
pub struct ResourceBatch {
    /// The messages of the log, as for `Store::append`.
    pub messages: Vec<NewMessage>,
    /// The versions.
    pub writes: Vec<ResourceWrite>,
    /// What must hold.
    pub guards: Vec<Guard>,
    /// Subscriptions that a message is an event of: the message's place in the batch, and the
    /// subscription's destination. Each gets the next event number of its subscription, without gaps.
    pub events: Vec<(usize, DestinationId)>,
}

/// What came of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// Everything is durable; what became of each message.
    Done(Vec<Appended>),
    /// Nothing was written: the write at this place did not find what it expects.
    Conflict(usize),
    /// Nothing was written: the guard at this place does not hold any more.
    Stale(usize),
    /// Nothing was written: the message at this place is known (`Repeat` or `Conflict`), so the request is
    /// one that came before. Answer as the first time.
    Known(usize, Appended),
}

/// Where a subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventCount {
    /// Number of its last event; 0 before the first.
    pub last: u64,
}

/// Resources of FHIR. Part of every [`crate::store::Store`].
#[async_trait]
pub trait ResourceStore: Send + Sync {
    /// Writes a batch in one transaction, which shares its commit with whatever else waits.
    async fn write(&self, batch: ResourceBatch) -> Result<Written, StoreError>;

    /// A number that grows with every write of a resource of this type (all types when empty).
    async fn resource_clock(&self, kind: &str) -> Result<i64, StoreError>;

    /// The current version, deleted or not.
    async fn resource(&self, key: &ResourceKey) -> Result<Option<ResourceVersion>, StoreError>;

    /// One version.
    async fn resource_version(
        &self,
        key: &ResourceKey,
        version: u64,
    ) -> Result<Option<ResourceVersion>, StoreError>;

    /// Versions, newest first; with all of `total` asked for, their number.
    async fn resource_history(&self, query: &HistoryQuery) -> Result<ResourcePage, StoreError>;

    /// Current resources that match.
    async fn resource_search(&self, query: &ResourceQuery) -> Result<ResourcePage, StoreError>;

    /// Current resources that refer to any of `keys` by `param` (`_revinclude`), at most `limit`.
    async fn resource_referrers(
        &self,
        kind: &str,
        param: &str,
        keys: &[ResourceKey],
        limit: u32,
    ) -> Result<Vec<ResourceVersion>, StoreError>;

    /// Where a subscription's events stand.
    async fn event_count(&self, subscription: DestinationId) -> Result<EventCount, StoreError>;

    /// Events of a subscription by number, both ends inclusive, ascending, at most `limit`: each with
    /// the place of its message.
    async fn events(
        &self,
        subscription: DestinationId,
        from: u64,
        to: u64,
        limit: u32,
    ) -> Result<Vec<(u64, crate::message::id::Seq)>, StoreError>;
}
