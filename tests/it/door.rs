//! What source tests stand their sources on: an `Admit` that judges by a few bytes, and a store in
//! memory that can be told to fail, to wait, and what it holds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use medway::message::id::{DestinationId, MessageId, Seq, VersionId};
use medway::message::kind::{ContentType, Kind};
use medway::message::plan::Plan;
use medway::message::resource::{
    HistoryQuery, ResourceKey, ResourcePage, ResourceQuery, ResourceVersion,
};
use medway::message::time::Timestamp;
use medway::message::verdict::{DuplicateRule, IfChanged, Location, Problem};
use medway::message::{Envelope, KeyValue, StoredMessage};
use medway::source::intake::{Admit, Intake, IntakeLimits, Received};
use medway::store::resources::{EventCount, ResourceBatch, ResourceStore, Written};
use medway::store::{
    Appended, Change, Conservation, DeliveryView, DestinationState, Exception, ExceptionQuery,
    LogPage, MessageQuery, NewMessage, Pause, Reject, Retention, Store, StoreError, StoreStatus,
    VersionRecord, VersionSummary,
};
use tokio::sync::{broadcast, watch};
use xxhash_rust::xxh3::xxh3_64;

/// Refuses what holds `REFUSE`, panics on `PANIC`, takes everything else; a repeat is the same
/// MSH-10 of the same channel.
pub(crate) struct Judge;

impl Admit for Judge {
    fn admit(&self, received: &Received) -> Result<NewMessage, Problem> {
        let bytes = received.payload.expose();
        let holds = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
        assert!(!holds(b"PANIC"), "a poison message");
        if holds(b"REFUSE") {
            let location = Some(Location {
                segment: "PID".to_owned(),
                sequence: 1,
                field: Some(3),
                repetition: None,
                component: None,
            });
            let text = "Required field missing".to_owned();
            return Err(Problem { code: 101, location, text, reject: false });
        }
        let control_id = bytes.split(|byte| *byte == b'|').nth(9).unwrap_or_default();
        let duplicate = bytes.starts_with(b"MSH").then(|| DuplicateRule {
            identity: xxh3_64(control_id),
            content: xxh3_64(bytes),
            within: std::time::Duration::from_secs(3600),
            if_changed: IfChanged::Refuse,
        });
        Ok(NewMessage {
            envelope: Envelope {
                id: MessageId::new(),
                received_at: received.at,
                channel: Arc::clone(&received.channel),
                content_type: received.content_type.unwrap_or(ContentType::Hl7v2),
                kind: Kind::Other,
                event: "".into(),
                control_id: KeyValue::new(&String::from_utf8_lossy(control_id)),
                keys: Vec::new(),
                origin: None,
            },
            plan: Plan::default(),
            payload: Some(received.payload.clone()),
            duplicate,
        })
    }
}

/// What the store does with an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    Full,
    /// Appends wait until the mood changes.
    Slow,
}

/// A store in memory.
pub(crate) struct MemoryStore {
    held: Mutex<Held>,
    mood: watch::Sender<Mood>,
    appends: AtomicU64,
    committed: broadcast::Sender<Arc<[Arc<StoredMessage>]>>,
}

#[derive(Default)]
struct Held {
    log: Vec<NewMessage>,
    rejects: Vec<Reject>,
}

impl MemoryStore {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            held: Mutex::default(),
            mood: watch::Sender::new(Mood::Well),
            appends: AtomicU64::new(0),
            committed: broadcast::Sender::new(1),
        })
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// How often `append` was called.
    pub(crate) fn appends(&self) -> u64 {
        self.appends.load(Ordering::SeqCst)
    }

    /// The bodies, in the order of the log.
    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        let held = self.held.lock().unwrap();
        held.log.iter().map(|one| one.payload.as_ref().unwrap().expose().to_vec()).collect()
    }

    /// The control ids, in the order of the log.
    pub(crate) fn control_ids(&self) -> Vec<String> {
        let held = self.held.lock().unwrap();
        held.log.iter().map(|one| one.envelope.control_id.expose().to_owned()).collect()
    }

    /// The reasons of refused input, oldest first.
    pub(crate) fn reject_reasons(&self) -> Vec<String> {
        self.held.lock().unwrap().rejects.iter().map(|one| one.reason.clone()).collect()
    }

    fn append_one(held: &mut Held, message: NewMessage) -> Appended {
        if let Some(rule) = &message.duplicate {
            let same = |one: &NewMessage| {
                one.duplicate.as_ref().is_some_and(|other| other.identity == rule.identity)
            };
            if let Some(at) = held.log.iter().position(same) {
                let seq = Seq(i64::try_from(at).unwrap() + 1);
                let known = &held.log[at];
                if known.duplicate.as_ref().unwrap().content == rule.content {
                    let Envelope { id, received_at, .. } = known.envelope;
                    return Appended::Repeat { seq, id, received_at };
                }
                if rule.if_changed == IfChanged::Refuse {
                    return Appended::Conflict(seq);
                }
            }
        }
        held.log.push(message);
        Appended::New(Seq(i64::try_from(held.log.len()).unwrap()))
    }
}

/// A door to `store`.
pub(crate) fn door(store: &Arc<MemoryStore>) -> Intake {
    door_within(store, IntakeLimits::default())
}

/// The same with limits.
pub(crate) fn door_within(store: &Arc<MemoryStore>, limits: IntakeLimits) -> Intake {
    let store: Arc<dyn Store> = store.clone();
    Intake::with_limits(store, Arc::new(Judge), limits)
}

#[async_trait]
impl ResourceStore for MemoryStore {
    async fn write(&self, _: ResourceBatch) -> Result<Written, StoreError> {
        Err(StoreError::Missing)
    }

    async fn resource_clock(&self, _: &str) -> Result<i64, StoreError> {
        Err(StoreError::Missing)
    }

    async fn resource(&self, _: &ResourceKey) -> Result<Option<ResourceVersion>, StoreError> {
        Err(StoreError::Missing)
    }

    async fn resource_version(
        &self,
        _: &ResourceKey,
        _: u64,
    ) -> Result<Option<ResourceVersion>, StoreError> {
        Err(StoreError::Missing)
    }

    async fn resource_history(&self, _: &HistoryQuery) -> Result<ResourcePage, StoreError> {
        Err(StoreError::Missing)
    }

    async fn resource_search(&self, _: &ResourceQuery) -> Result<ResourcePage, StoreError> {
        Err(StoreError::Missing)
    }

    async fn resource_referrers(
        &self,
        _: &str,
        _: &str,
        _: &[ResourceKey],
        _: u32,
    ) -> Result<Vec<ResourceVersion>, StoreError> {
        Err(StoreError::Missing)
    }

    async fn event_count(&self, _: DestinationId) -> Result<EventCount, StoreError> {
        Err(StoreError::Missing)
    }

    async fn events(
        &self,
        _: DestinationId,
        _: u64,
        _: u64,
        _: u32,
    ) -> Result<Vec<(u64, Seq)>, StoreError> {
        Err(StoreError::Missing)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn append(&self, messages: Vec<NewMessage>) -> Result<Vec<Appended>, StoreError> {
        self.appends.fetch_add(1, Ordering::SeqCst);
        let mut mood = self.mood.subscribe();
        let mood =
            *mood.wait_for(|mood| *mood != Mood::Slow).await.map_err(|_| StoreError::Closed)?;
        if mood == Mood::Full {
            return Err(StoreError::Full);
        }
        let mut held = self.held.lock().unwrap();
        Ok(messages.into_iter().map(|message| Self::append_one(&mut held, message)).collect())
    }

    async fn reject(&self, reject: Reject) -> Result<(), StoreError> {
        self.held.lock().unwrap().rejects.push(reject);
        Ok(())
    }

    async fn rejects(&self, _: Option<i64>, _: u32) -> Result<Vec<(i64, Reject)>, StoreError> {
        Err(StoreError::Missing)
    }

    fn committed(&self) -> broadcast::Receiver<Arc<[Arc<StoredMessage>]>> {
        self.committed.subscribe()
    }

    async fn record(&self, _: Vec<Change>) -> Result<(), StoreError> {
        Err(StoreError::Missing)
    }

    async fn destination(&self, _: &str, _: &str) -> Result<DestinationId, StoreError> {
        Err(StoreError::Missing)
    }

    async fn destinations(&self) -> Result<Vec<(DestinationId, Box<str>, Box<str>)>, StoreError> {
        Err(StoreError::Missing)
    }

    async fn version(&self, _: VersionRecord) -> Result<VersionId, StoreError> {
        Err(StoreError::Missing)
    }

    async fn version_record(&self, _: VersionId) -> Result<VersionRecord, StoreError> {
        Err(StoreError::Missing)
    }

    async fn versions(&self, _: &str) -> Result<Vec<VersionSummary>, StoreError> {
        Err(StoreError::Missing)
    }

    async fn destination_state(&self, _: DestinationId) -> Result<DestinationState, StoreError> {
        Err(StoreError::Missing)
    }

    async fn read_log(
        &self,
        _: DestinationId,
        _: Seq,
        _: u32,
        _: usize,
    ) -> Result<LogPage, StoreError> {
        Err(StoreError::Missing)
    }

    async fn exceptions(&self, _: ExceptionQuery) -> Result<Vec<Exception>, StoreError> {
        Err(StoreError::Missing)
    }

    async fn messages(&self, _: &[Seq]) -> Result<Vec<Arc<StoredMessage>>, StoreError> {
        Err(StoreError::Missing)
    }

    async fn find(&self, _: MessageId) -> Result<Seq, StoreError> {
        Err(StoreError::Missing)
    }

    async fn search(&self, _: MessageQuery) -> Result<Vec<Arc<StoredMessage>>, StoreError> {
        Err(StoreError::Missing)
    }

    async fn deliveries(&self, _: Seq) -> Result<Vec<DeliveryView>, StoreError> {
        Err(StoreError::Missing)
    }

    async fn count_log(&self, _: DestinationId, _: Seq) -> Result<u64, StoreError> {
        Err(StoreError::Missing)
    }

    async fn notes(&self) -> Result<Vec<(DestinationId, Box<[u8]>)>, StoreError> {
        Ok(Vec::new())
    }

    async fn set_paused(&self, _: DestinationId, _: Option<Pause>) -> Result<(), StoreError> {
        Err(StoreError::Missing)
    }

    async fn conservation(&self) -> Result<Vec<Conservation>, StoreError> {
        Err(StoreError::Missing)
    }

    async fn prune(&self, _: &Retention, _: Timestamp) -> Result<u64, StoreError> {
        Err(StoreError::Missing)
    }

    fn status(&self) -> StoreStatus {
        StoreStatus::default()
    }

    async fn close(&self) {}
}
