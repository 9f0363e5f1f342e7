//! A store that stores nothing, for what a listener costs without one.

use std::sync::Arc;

use async_trait::async_trait;
use medway::message::id::{DestinationId, MessageId, Seq, VersionId};
use medway::message::kind::{ContentType, Kind};
use medway::message::plan::Plan;
use medway::message::resource::{
    HistoryQuery, ResourceKey, ResourcePage, ResourceQuery, ResourceVersion,
};
use medway::message::time::Timestamp;
use medway::message::verdict::Problem;
use medway::message::{Envelope, KeyValue, StoredMessage};
use medway::source::intake::{Admit, Received};
use medway::store::resources::{EventCount, ResourceBatch, ResourceStore, Written};
use medway::store::{
    Appended, Change, Conservation, DeliveryView, DestinationState, Exception, ExceptionQuery,
    LogPage, MessageQuery, NewMessage, Pause, Reject, Retention, Store, StoreError, StoreStatus,
    VersionRecord, VersionSummary,
};
use tokio::sync::broadcast;

/// Says yes to every message and forgets it; knows nothing else.
pub(crate) struct Nowhere;

type Answer<T> = Result<T, StoreError>;

#[async_trait]
impl ResourceStore for Nowhere {
    async fn write(&self, _: ResourceBatch) -> Result<Written, StoreError> {
        Err(StoreError::Closed)
    }

    async fn resource_clock(&self, _: &str) -> Result<i64, StoreError> {
        Err(StoreError::Closed)
    }

    async fn resource(&self, _: &ResourceKey) -> Result<Option<ResourceVersion>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn resource_version(
        &self,
        _: &ResourceKey,
        _: u64,
    ) -> Result<Option<ResourceVersion>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn resource_history(&self, _: &HistoryQuery) -> Result<ResourcePage, StoreError> {
        Err(StoreError::Closed)
    }

    async fn resource_search(&self, _: &ResourceQuery) -> Result<ResourcePage, StoreError> {
        Err(StoreError::Closed)
    }

    async fn resource_referrers(
        &self,
        _: &str,
        _: &str,
        _: &[ResourceKey],
        _: u32,
    ) -> Result<Vec<ResourceVersion>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn event_count(&self, _: DestinationId) -> Result<EventCount, StoreError> {
        Err(StoreError::Closed)
    }

    async fn events(
        &self,
        _: DestinationId,
        _: u64,
        _: u64,
        _: u32,
    ) -> Result<Vec<(u64, Seq)>, StoreError> {
        Err(StoreError::Closed)
    }
}

#[async_trait]
impl Store for Nowhere {
    async fn append(&self, messages: Vec<NewMessage>) -> Answer<Vec<Appended>> {
        Ok(messages.iter().map(|_| Appended::New(Seq(1))).collect())
    }
    async fn record(&self, _: Vec<Change>) -> Answer<()> {
        Err(StoreError::Closed)
    }
    async fn reject(&self, _: Reject) -> Answer<()> {
        Err(StoreError::Closed)
    }
    async fn rejects(&self, _: Option<i64>, _: u32) -> Answer<Vec<(i64, Reject)>> {
        Err(StoreError::Closed)
    }
    fn committed(&self) -> broadcast::Receiver<Arc<[Arc<StoredMessage>]>> {
        broadcast::channel(1).1
    }
    async fn destination(&self, _: &str, _: &str) -> Answer<DestinationId> {
        Err(StoreError::Closed)
    }
    async fn destinations(&self) -> Answer<Vec<(DestinationId, Box<str>, Box<str>)>> {
        Err(StoreError::Closed)
    }
    async fn version(&self, _: VersionRecord) -> Answer<VersionId> {
        Err(StoreError::Closed)
    }
    async fn version_record(&self, _: VersionId) -> Answer<VersionRecord> {
        Err(StoreError::Closed)
    }
    async fn versions(&self, _: &str) -> Answer<Vec<VersionSummary>> {
        Err(StoreError::Closed)
    }
    async fn destination_state(&self, _: DestinationId) -> Answer<DestinationState> {
        Err(StoreError::Closed)
    }
    async fn read_log(&self, _: DestinationId, _: Seq, _: u32, _: usize) -> Answer<LogPage> {
        Err(StoreError::Closed)
    }
    async fn exceptions(&self, _: ExceptionQuery) -> Answer<Vec<Exception>> {
        Err(StoreError::Closed)
    }
    async fn messages(&self, _: &[Seq]) -> Answer<Vec<Arc<StoredMessage>>> {
        Err(StoreError::Closed)
    }
    async fn find(&self, _: MessageId) -> Answer<Seq> {
        Err(StoreError::Closed)
    }
    async fn search(&self, _: MessageQuery) -> Answer<Vec<Arc<StoredMessage>>> {
        Err(StoreError::Closed)
    }
    async fn deliveries(&self, _: Seq) -> Answer<Vec<DeliveryView>> {
        Err(StoreError::Closed)
    }
    async fn count_log(&self, _: DestinationId, _: Seq) -> Answer<u64> {
        Err(StoreError::Closed)
    }
    async fn notes(&self) -> Answer<Vec<(DestinationId, Box<[u8]>)>> {
        Ok(Vec::new())
    }
    async fn set_paused(&self, _: DestinationId, _: Option<Pause>) -> Answer<()> {
        Err(StoreError::Closed)
    }
    async fn conservation(&self) -> Answer<Vec<Conservation>> {
        Err(StoreError::Closed)
    }
    async fn prune(&self, _: &Retention, _: Timestamp) -> Answer<u64> {
        Err(StoreError::Closed)
    }
    fn status(&self) -> StoreStatus {
        StoreStatus::default()
    }
    async fn close(&self) {}
}

/// Takes every message as it is.
pub(crate) struct Anything;

impl Admit for Anything {
    fn admit(&self, received: &Received) -> Result<NewMessage, Problem> {
        Ok(NewMessage {
            envelope: Envelope {
                id: MessageId::new(),
                received_at: received.at,
                channel: Arc::clone(&received.channel),
                content_type: ContentType::Hl7v2,
                kind: Kind::Report,
                event: "ORU^R01".into(),
                control_id: KeyValue::new(""),
                keys: Vec::new(),
                origin: None,
            },
            plan: Plan { entries: Vec::new() },
            payload: Some(received.payload.clone()),
            duplicate: None,
        })
    }
}
