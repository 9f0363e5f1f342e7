//! FHIR resources on SQLite: versions appended in order, an index in memory that goes into its table in
//! sorted stretches, and searches that look there and compare in full.
//!
//! ```text
//! write ─→ check (expects, guards, repeats) ─→ messages + versions + events ─→ commit ─→ tail (memory)
//!                                                                          resource_entry ←─┘ in pieces
//! search ─→ candidates (tail, resource_entry) ─→ current version ─→ message::criteria ─→ page
//! ```

mod drive;
mod entries;
mod prune;
pub(super) mod queries;
mod read;
mod search;
pub(super) mod tail;
pub(super) mod write;

use async_trait::async_trait;

use crate::message::id::{DestinationId, Seq};
use crate::message::resource::{
    HistoryQuery, ResourceKey, ResourcePage, ResourceQuery, ResourceVersion,
};
use crate::store::StoreError;
use crate::store::resources::{EventCount, ResourceBatch, ResourceStore, Written};
use crate::store::sqlite::codec::compress;
use crate::store::sqlite::queue::Work;
use crate::store::sqlite::resources::write::{PreparedBatch, PreparedWrite};
use crate::store::sqlite::{MESSAGE_BYTES, SqliteStore, prepare, size};

pub(super) use prune::ResourcePruner;

/// The parameter every resource is found by; its slot stands for the type.
const ID: &str = "_id";
/// The parameter every resource that is not gone is found by.
const LAST_UPDATED: &str = "_lastUpdated";

/// A type's search parameter as one word.
fn slot_name(kind: &str, param: &str) -> String {
    format!("{kind}.{param}")
}

#[async_trait]
impl ResourceStore for SqliteStore {
    async fn write(&self, batch: ResourceBatch) -> Result<Written, StoreError> {
        let mut bytes: usize = batch.messages.iter().map(size).sum();
        let mut writes = Vec::with_capacity(batch.writes.len());
        for write in batch.writes {
            bytes = bytes.saturating_add(write.body.len()).saturating_add(MESSAGE_BYTES);
            let body = compress(write.body.expose());
            writes.push(PreparedWrite { write, body });
        }
        let messages = batch.messages.into_iter().map(prepare).collect();
        let (guards, events) = (batch.guards, batch.events);
        let prepared = Box::new(PreparedBatch { messages, writes, guards, events });
        self.ask(bytes, |reply| Work::Write(prepared, reply)).await
    }

    async fn resource_clock(&self, kind: &str) -> Result<i64, StoreError> {
        read::clock(&self.pool, &self.shared, kind).await
    }

    async fn resource(&self, key: &ResourceKey) -> Result<Option<ResourceVersion>, StoreError> {
        read::current(&self.pool, &self.shared, key).await
    }

    async fn resource_version(
        &self,
        key: &ResourceKey,
        version: u64,
    ) -> Result<Option<ResourceVersion>, StoreError> {
        read::version(&self.pool, &self.shared, key, version).await
    }

    async fn resource_history(&self, query: &HistoryQuery) -> Result<ResourcePage, StoreError> {
        read::history(&self.pool, &self.shared, query).await
    }

    async fn resource_search(&self, query: &ResourceQuery) -> Result<ResourcePage, StoreError> {
        search::search(&self.pool, &self.shared, query).await
    }

    async fn resource_referrers(
        &self,
        kind: &str,
        param: &str,
        keys: &[ResourceKey],
        limit: u32,
    ) -> Result<Vec<ResourceVersion>, StoreError> {
        search::referrers(&self.pool, &self.shared, (kind, param), keys, limit).await
    }

    async fn event_count(&self, subscription: DestinationId) -> Result<EventCount, StoreError> {
        read::event_count(&self.pool, subscription).await
    }

    async fn events(
        &self,
        subscription: DestinationId,
        from: u64,
        to: u64,
        limit: u32,
    ) -> Result<Vec<(u64, Seq)>, StoreError> {
        read::events(&self.pool, &self.shared, subscription, (from, to), limit).await
    }
}
