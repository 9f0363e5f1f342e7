//! The durable log and what became of each message. A message is durable before it is acknowledged.
//!
//! - *message log*: append-only; the committer assigns the sequence, so commit order is sequence order;
//! - *cursor*, per destination: everything up to here is settled or stands in an exception row;
//! - *settled blocks*: what was delivered, many deliveries a row;
//! - *exception rows*: only what left the straight path: retry, held, behind, dead, cancelled.
//!
//! So for every accepted message and every destination of its plan exactly one is true: filtered (by
//! the plan), settled, in an exception row, or beyond the cursor (pending).

pub mod access;
pub mod desk;
pub mod resources;
pub mod sqlite;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::message::id::{DestinationId, MessageId, Seq, VersionId};
use crate::message::outcome::Answer;
use crate::message::payload::Payload;
use crate::message::plan::{Joins, Lane, Plan};
use crate::message::time::Timestamp;
use crate::message::verdict::DuplicateRule;
use crate::message::{Envelope, StoredMessage};
use crate::store::resources::ResourceStore;

/// A message to append.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// What is known of it.
    pub envelope: Envelope,
    /// Where it goes.
    pub plan: Plan,
    /// Its bytes; `None` shares the body of `envelope.origin`'s parent (a replay).
    pub payload: Option<Payload>,
    /// How to recognise a repeat; `None` accepts every message as new.
    pub duplicate: Option<DuplicateRule>,
}

/// What came of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// Stored.
    New(Seq),
    /// Stored, with its deliveries held: the id was known and the content differs.
    Held(Seq),
    /// Not stored again: the same message is there. Answer as the first time.
    Repeat {
        /// Its place.
        seq: Seq,
        /// Its id.
        id: MessageId,
        /// When it was first received.
        received_at: Timestamp,
    },
    /// Not stored: the id is known, the content differs, and the rule refuses that.
    Conflict(Seq),
}

/// Input that was refused, kept as evidence.
#[derive(Debug, Clone)]
pub struct Reject {
    /// When.
    pub at: Timestamp,
    /// The channel whose source received it.
    pub channel: Arc<str>,
    /// Peer address, for people.
    pub peer: String,
    /// Why, without content: a code and a sentence.
    pub reason: String,
    /// The bytes, cut to a limit.
    pub payload: Payload,
}

/// The state of a delivery that left the straight path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExceptionState {
    /// Waits for its next attempt.
    Retry = 1,
    /// Waits for a person.
    Held = 2,
    /// Waits in its lane behind one of the two above.
    Behind = 3,
    /// Set aside with its evidence. Final until a person retries it.
    Dead = 4,
    /// A person decided that it is not sent. Final.
    Cancelled = 5,
}

/// A delivery that left the straight path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Where to.
    pub destination: DestinationId,
    /// Which message.
    pub seq: Seq,
    /// Its lane.
    pub lane: Lane,
    /// The other lanes it orders (a merge).
    pub joins: Joins,
    /// Its state.
    pub state: ExceptionState,
    /// Attempts made.
    pub attempts: u32,
    /// When it left the straight path first.
    pub since: Timestamp,
    /// When it is due again (`Retry`); otherwise when it entered this state.
    pub due: Timestamp,
    /// Why, as a stable word: `rejected`, `exhausted`, `uncertain`, `render`, `poison`, `changed_repeat`, `behind`, `skipped`, ….
    pub cause: Box<str>,
    /// The last answer, or the error in words.
    pub answer: Answer,
}

/// A delivery that reached its receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Where to.
    pub destination: DestinationId,
    /// Which message.
    pub seq: Seq,
    /// When the answer came.
    pub at: Timestamp,
    /// Attempts it took, this one included.
    pub attempts: u32,
    /// From the first byte sent to the answer.
    pub duration: Duration,
    /// The receiver's answer; texts beyond a few dozen bytes are cut further here.
    pub answer: Answer,
    /// Hash of the bytes sent.
    pub sent_hash: u64,
}

/// An attempt that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Where to.
    pub destination: DestinationId,
    /// Which message.
    pub seq: Seq,
    /// 1 for the first.
    pub number: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// `failed`, `rejected`, `uncertain`, `render`, `poison`, or a person's act: `released`, `skipped`, `retried`.
    pub outcome: Box<str>,
    /// The answer, or the error in words; for a person's act the name and the reason.
    pub answer: Answer,
    /// Hash of the bytes sent; 0 when nothing was.
    pub sent_hash: u64,
}

/// One change of delivery state. All changes of one [`Store::record`] call are one transaction.
#[derive(Debug, Clone)]
pub enum Change {
    /// Delivered. Removes the exception row of the same delivery, if any.
    Settle(Settled),
    /// Inserts or replaces an exception row.
    Except(Exception),
    /// Removes an exception row: the delivery goes back to its runner's memory (beyond the cursor).
    Clear(DestinationId, Seq),
    /// Evidence of an attempt.
    Attempt(Attempt),
    /// Everything of this destination up to `settled_to` is settled or in an exception row; nothing
    /// beyond `frontier` is. `settled_to <= frontier`.
    Cursor {
        /// Whose.
        destination: DestinationId,
        /// See above.
        settled_to: Seq,
        /// See above.
        frontier: Seq,
    },
    /// These go out in one call: from the first to the last of this destination. Replaces what was said of
    /// it before.
    Bundle {
        /// Whose.
        destination: DestinationId,
        /// The one that leads.
        first: Seq,
        /// The last of them.
        last: Seq,
    },
    /// What the engine keeps about a destination; replaces what was kept.
    Note(DestinationId, Box<[u8]>),
}

/// A channel version: everything needed to compile it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRecord {
    /// The channel's name.
    pub channel: Arc<str>,
    /// Content hash, hexadecimal.
    pub hash: Box<str>,
    /// The files it is made of, as one archive (see `channel::bundle`).
    pub bundle: Vec<u8>,
    /// When it was first applied.
    pub applied_at: Timestamp,
}

/// A channel version without its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionSummary {
    /// Its number.
    pub version: VersionId,
    /// Content hash, hexadecimal.
    pub hash: Box<str>,
    /// When it was first applied.
    pub applied_at: Timestamp,
}

/// Where a destination's delivery stood when the store was last written.
#[derive(Debug, Clone, Default)]
pub struct DestinationState {
    /// Everything up to here is settled or in an exception row.
    pub settled_to: Seq,
    /// Settled deliveries above `settled_to`, ascending.
    pub settled_above: Vec<Seq>,
    /// Exception rows above `settled_to` (any state), ascending: they are not pending either.
    pub excepted_above: Vec<Seq>,
    /// Lanes with a `Retry`, `Held` or `Behind` row, each with the number of such rows.
    pub blocked: Vec<(Lane, u64)>,
    /// Set by an operator.
    pub paused: Option<Pause>,
    /// The last bundle that was begun: see [`Change::Bundle`].
    pub bundle: Option<(Seq, Seq)>,
}

/// An operator's stop of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// A stretch of the log as one destination sees it.
#[derive(Debug, Clone, Default)]
pub struct LogPage {
    /// Messages whose plan delivers to the destination (`Deliver` or `Hold`), ascending, with bodies.
    pub messages: Vec<Arc<StoredMessage>>,
    /// The log was read up to here; read on from here.
    pub read_to: Seq,
}

/// What is asked of the message search. All set fields must match; newest first.
#[derive(Debug, Clone, Default)]
pub struct MessageQuery {
    /// Key name and exact value. Without a name, any key with this value.
    pub key: Option<(Option<Box<str>>, Box<str>)>,
    /// Channel that received it.
    pub channel: Option<Box<str>>,
    /// Only messages before this place (paging).
    pub before: Option<Seq>,
    /// Received at or after.
    pub since: Option<Timestamp>,
    /// Received before.
    pub until: Option<Timestamp>,
    /// At most this many.
    pub limit: u32,
}

/// What became of one message at one destination, for people.
#[derive(Debug, Clone)]
pub struct DeliveryView {
    /// Where to.
    pub destination: DestinationId,
    /// The version that decides what is sent.
    pub version: VersionId,
    /// `filtered`, `pending`, `delivered`, `retry`, `held`, `behind`, `dead`, `cancelled`; `unaccounted`
    /// when the store lost track of it, which `conservation` would show too.
    pub state: &'static str,
    /// Set when delivered.
    pub settled: Option<Settled>,
    /// Set when it left the straight path.
    pub exception: Option<Exception>,
    /// Attempts that did not succeed, oldest first.
    pub attempts: Vec<Attempt>,
}

/// The sums of P4 for one destination, all read in one snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conservation {
    /// Whose; the store's number.
    pub destination: u32,
    /// Messages whose plan names the destination.
    pub planned: u64,
    /// Filtered by the plan.
    pub filtered: u64,
    /// Settled.
    pub delivered: u64,
    /// Exception rows by state.
    pub retry: u64,
    /// See `retry`.
    pub held: u64,
    /// See `retry`.
    pub behind: u64,
    /// See `retry`.
    pub dead: u64,
    /// See `retry`.
    pub cancelled: u64,
    /// Beyond the cursor and not settled or excepted.
    pub pending: u64,
    /// In none of the above, or in two: must be empty.
    pub unaccounted: Vec<Seq>,
}

/// What a list of exception rows is narrowed by. Ordered by (destination, seq).
#[derive(Debug, Clone, Default)]
pub struct ExceptionQuery {
    /// One destination.
    pub destination: Option<DestinationId>,
    /// One state.
    pub state: Option<ExceptionState>,
    /// One lane.
    pub lane: Option<Lane>,
    /// Only `Retry` rows due at or before this moment.
    pub due: Option<Timestamp>,
    /// Only rows after this one (paging).
    pub after: Option<(DestinationId, Seq)>,
    /// At most this many.
    pub limit: u32,
}

/// How long things are kept (P13). Nothing pending, retrying, held, behind or dead is pruned.
#[derive(Debug, Clone)]
pub struct Retention {
    /// Bodies older than this lose their bytes.
    pub bodies: Duration,
    /// Envelopes, outcomes and keys older than this go whole.
    pub messages: Duration,
    /// Refused input.
    pub rejects: Duration,
    /// Superseded versions of FHIR resources older than this go. Current versions never do.
    pub versions: Duration,
    /// Versions of one FHIR resource, at most: the newest are kept.
    pub versions_max: u32,
    /// At most this many messages a transaction.
    pub step: u32,
    /// Channels whose own messages are kept for another time.
    pub channels: BTreeMap<Arc<str>, Ages>,
}

/// How long the messages that a channel received are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ages {
    /// See [`Retention::bodies`].
    pub bodies: Duration,
    /// See [`Retention::messages`].
    pub messages: Duration,
}

/// Sizes and counts for metrics and readiness; kept beside, never counted on demand.
#[derive(Debug, Clone, Default)]
pub struct StoreStatus {
    /// Last place in the log.
    pub head: Seq,
    /// First place still there.
    pub first: Seq,
    /// Size of the database and its write-ahead log, in bytes.
    pub size_bytes: u64,
    /// Set while commits fail, with the reason in words (disk full, read-only …).
    pub failing: Option<String>,
    /// The disk failed, or the writer crashed: nothing more is stored until the process starts again and
    /// recovers.
    pub fatal: bool,
    /// Commits so far.
    pub commits: u64,
}

/// Why the store did not do it. Never holds message content.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// No room: intake is refused until there is.
    #[error("the disk or the store's size limit is full; free space under the data directory")]
    Full,
    /// More waits for the disk than the limit allows.
    #[error("the store is behind: {waiting} bytes wait for the disk (limit {limit})")]
    Overloaded {
        /// Bytes waiting.
        waiting: usize,
        /// The limit.
        limit: usize,
    },
    /// The disk reported an error: the engine must stop and recover from its log.
    #[error("the disk failed under the store ({0}); check the disk, then start again")]
    Disk(String),
    /// The thread that writes ended by a fault of its own: the engine must stop and recover from its log.
    #[error(
        "the store's writer crashed; start the engine again, and report the lines logged before this one"
    )]
    Crashed,
    /// The store may not be opened.
    #[error("{0}")]
    Unsafe(String),
    /// The engine is stopping.
    #[error("the store is closed")]
    Closed,
    /// A chained search leads over too many resources.
    #[error("the chain leads over more than {limit} resources; name more of what is searched for")]
    TooBroad {
        /// The limit.
        limit: usize,
    },
    /// The database answered with an error that is none of the above.
    #[error("the database failed: {0}")]
    Database(String),
    /// What is asked for is not there.
    #[error("not in the store (any more)")]
    Missing,
}

/// A durable log with its delivery state. One method is one transaction.
///
/// Backends: `SQLite` (`sqlite::SqliteStore`). All pass the suite in `tests/it/store.rs`.
#[async_trait]
pub trait Store: ResourceStore {
    /// Appends all of them or none, durably; shares its commit with whatever else waits.
    async fn append(&self, messages: Vec<NewMessage>) -> Result<Vec<Appended>, StoreError>;

    /// Records changes of delivery state, durably; rides in the next commit. The future resolves
    /// after the commit; a caller may drop it without losing the changes.
    async fn record(&self, changes: Vec<Change>) -> Result<(), StoreError>;

    /// Keeps refused input as evidence; best effort, bounded.
    async fn reject(&self, reject: Reject) -> Result<(), StoreError>;

    /// Refused input, newest first, each with its number; only those before `before` (paging).
    async fn rejects(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<(i64, Reject)>, StoreError>;

    /// Freshly committed messages, in order of the log, each batch once. A slow reader loses whole
    /// batches (`Lagged`) and reads them from the log instead.
    fn committed(&self) -> tokio::sync::broadcast::Receiver<Arc<[Arc<StoredMessage>]>>;

    /// The number of a channel's destination; the same for ever.
    async fn destination(&self, channel: &str, name: &str) -> Result<DestinationId, StoreError>;

    /// Every destination ever numbered: (number, channel, name).
    async fn destinations(&self) -> Result<Vec<(DestinationId, Box<str>, Box<str>)>, StoreError>;

    /// Stores a channel version, or finds it by its hash.
    async fn version(&self, version: VersionRecord) -> Result<VersionId, StoreError>;

    /// A stored version.
    async fn version_record(&self, id: VersionId) -> Result<VersionRecord, StoreError>;

    /// The versions of a channel, the newest first.
    async fn versions(&self, channel: &str) -> Result<Vec<VersionSummary>, StoreError>;

    /// Where a destination stands. Costs by what is in flight and stuck, not by what waits.
    async fn destination_state(&self, id: DestinationId) -> Result<DestinationState, StoreError>;

    /// The log after `after` as `destination` sees it: at most `limit` of its messages, and at most
    /// `bytes_max` bytes of bodies (but at least one message).
    async fn read_log(
        &self,
        destination: DestinationId,
        after: Seq,
        limit: u32,
        bytes_max: usize,
    ) -> Result<LogPage, StoreError>;

    /// Exception rows.
    async fn exceptions(&self, query: ExceptionQuery) -> Result<Vec<Exception>, StoreError>;

    /// Messages by place, with bodies, in the order asked; those that are gone are left out. The
    /// payload is empty when retention took the body.
    async fn messages(&self, seqs: &[Seq]) -> Result<Vec<Arc<StoredMessage>>, StoreError>;

    /// The place of a message.
    async fn find(&self, id: MessageId) -> Result<Seq, StoreError>;

    /// Messages by key, channel and time; newest first. Envelopes only: the payload is empty.
    async fn search(&self, query: MessageQuery) -> Result<Vec<Arc<StoredMessage>>, StoreError>;

    /// What became of a message at each destination of its plan.
    async fn deliveries(&self, seq: Seq) -> Result<Vec<DeliveryView>, StoreError>;

    /// Deliveries after `after` that the destination's plan entries ask for: for the backlog figure at
    /// start, which the runner then keeps itself. Reads the narrow part of the log.
    async fn count_log(&self, destination: DestinationId, after: Seq) -> Result<u64, StoreError>;

    /// What the engine keeps about destinations: see [`Change::Note`].
    async fn notes(&self) -> Result<Vec<(DestinationId, Box<[u8]>)>, StoreError>;

    /// Stops a destination, or lets it go on (`None`); survives a restart.
    async fn set_paused(&self, id: DestinationId, pause: Option<Pause>) -> Result<(), StoreError>;

    /// The sums of P4, from one snapshot. Reads the whole log: for tests and `doctor`.
    async fn conservation(&self) -> Result<Vec<Conservation>, StoreError>;

    /// Takes one step of pruning; answers how many messages it touched, 0 when there is nothing to do.
    async fn prune(&self, retention: &Retention, now: Timestamp) -> Result<u64, StoreError>;

    /// Sizes and counts.
    fn status(&self) -> StoreStatus;

    /// Waits until everything handed in is durable, then closes.
    async fn close(&self);
}
