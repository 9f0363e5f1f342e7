//! The store on SQLite: one file, one writer, several readers.
//!
//! Invariants: every write goes through the committer's one connection, in the order it was handed
//! in; nothing is answered before its commit returned from the disk; readers see whole commits only.
//!
//! ```text
//! append, record, … ─→ queue ─→ committer ─one transaction─→ database ─→ answers ─→ committed()
//!                                   ↑ checkpoints, memory of repeats
//!                                 helper                    readers ─→ read_log, search, deliveries, …
//! ```

pub mod access;
mod append;
pub mod backup;
mod blocks;
mod codec;
mod committer;
mod conservation;
mod dictionary;
pub mod doctor;
mod duplicates;
mod error;
mod helper;
mod index;
mod log;
mod open;
mod outcomes;
mod prune;
mod queries;
mod queue;
mod read;
mod resources;
mod search;
mod shared;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::SqlitePool;
use tokio::sync::{broadcast, oneshot};

use crate::message::StoredMessage;
use crate::message::id::{DestinationId, MessageId, Seq, VersionId};
use crate::message::time::Timestamp;
use crate::store::sqlite::codec::compress;
use crate::store::sqlite::committer::Committer;
use crate::store::sqlite::duplicates::Duplicates;
use crate::store::sqlite::error::of_writer;
use crate::store::sqlite::helper::Helper;
use crate::store::sqlite::index::Tail;
use crate::store::sqlite::outcomes::Positions;
use crate::store::sqlite::prune::Pruner;
use crate::store::sqlite::queue::{Limits, Prepared, Queue, Reply, Work};
use crate::store::sqlite::resources::tail::ResourceTail;
use crate::store::sqlite::resources::write::{Numbers, Resources};
use crate::store::sqlite::shared::Shared;
use crate::store::{
    Appended, Change, Conservation, DeliveryView, DestinationState, Exception, ExceptionQuery,
    LogPage, MessageQuery, NewMessage, Pause, Reject, Retention, Store, StoreError, StoreStatus,
    VersionRecord, VersionSummary,
};

/// What a message costs beside its body, about, in the count of bytes that wait.
const MESSAGE_BYTES: usize = 512;
/// What a change costs in that count.
const CHANGE_BYTES: usize = 192;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The database file. Its folder is made if it is not there.
    pub path: PathBuf,
    /// Bytes that may wait for the disk; beyond it intake is refused. 64 MiB.
    pub waiting_bytes_max: usize,
    /// Messages in one commit, at most. 512.
    pub batch_messages_max: usize,
    /// Bytes in one commit, at most (but at least one message). 1 MiB.
    pub batch_bytes_max: usize,
    /// How long outcomes alone wait for messages to ride with. 2 ms.
    pub linger: Duration,
    /// Messages with a duplicate rule that are remembered (about 64 bytes each). 1,000,000.
    pub duplicates_max: usize,
    /// Commits a reader of `committed()` may lag behind before it loses some. 64.
    pub fresh_batches_max: usize,
    /// Connections that read. 4.
    pub readers: u32,
    /// Versions of FHIR resources that gather in memory before their index entries are written, about a
    /// kilobyte each; twice as many while they are. 8192.
    pub versions_gathered: usize,
    /// Size of the write-ahead log beyond which it is emptied, waiting a moment for those who read it.
    /// 256 MiB.
    pub wal_bytes_max: u64,
    /// Largest size of the database file, in bytes; then the store is full. No limit but the disk.
    pub size_bytes_max: Option<u64>,
}

impl SqliteOptions {
    /// The defaults, for a store at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            waiting_bytes_max: 64 << 20,
            batch_messages_max: 512,
            batch_bytes_max: 1 << 20,
            linger: Duration::from_millis(2),
            duplicates_max: 1_000_000,
            fresh_batches_max: 64,
            readers: 4,
            versions_gathered: 8192,
            wal_bytes_max: 256 << 20,
            size_bytes_max: None,
        }
    }
}

/// The store on SQLite. Dropped without [`Store::close`], it still commits what was handed in.
pub struct SqliteStore {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    pool: SqlitePool,
    /// Reads versions. Whoever renders waits for one with its thread, and may have reads of its own under way
    /// that nobody drives meanwhile: if these had the connections, it would wait for itself.
    rules: SqlitePool,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("head", &self.shared.head()).finish_non_exhaustive()
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl SqliteStore {
    /// Opens the store, or makes it. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Unsafe`] when the contract could not be kept here: another process has it open, a
    /// network file system, a schema newer than this binary, a SQLite that loses data.
    pub async fn open(options: SqliteOptions) -> Result<Self, StoreError> {
        let path = options.path.clone();
        open::make_folder(&path)?;
        open::check_file_system(&path)?;
        let lock = open::lock(&path)?;
        // The settings of the file (page size, journal) are made before the first table.
        drop(open::writer(&path)?);
        open::migrate(&path).await?;
        let conn = open::writer(&path)?;
        if let Some(size) = options.size_bytes_max {
            let pages = i64::try_from(size / 8192).unwrap_or(i64::MAX);
            conn.pragma_update(None, "max_page_count", pages).map_err(|error| of_writer(&error))?;
        }
        let dictionary = open::dictionary(&conn)?;
        let (tail, runs) = Tail::load(&conn).map_err(|error| of_writer(&error))?;
        let positions = Positions::load(&conn).map_err(|error| of_writer(&error))?;
        let recent = ResourceTail::load(&conn, options.versions_gathered)
            .map_err(|error| of_writer(&error))?;
        let numbers = Numbers::load(&conn).map_err(|error| of_writer(&error))?;
        let (tails, batches) = ((tail, recent), options.fresh_batches_max);
        let shared = Shared::new(path.clone(), dictionary, tails, batches, options.readers);
        shared.head.store(positions.next_seq - 1, Ordering::Release);
        let first = conn.query_row(queries::FIRST, [], |row| row.get(0));
        shared.first.store(first.map_err(|error| of_writer(&error))?, Ordering::Release);
        let shared = Arc::new(shared);
        let queue = Arc::new(Queue::new(Limits {
            waiting_bytes_max: options.waiting_bytes_max,
            batch_messages_max: options.batch_messages_max.max(1),
            batch_bytes_max: options.batch_bytes_max,
            linger: options.linger,
        }));
        let (ask, asked) = sync_channel(1);
        let helper = Helper {
            conn: open::helper(&path)?,
            shared: Arc::clone(&shared),
            queue: Arc::clone(&queue),
            checkpoints: asked,
            duplicates_max: options.duplicates_max,
        };
        let committer = Committer {
            conn,
            shared: Arc::clone(&shared),
            queue: Arc::clone(&queue),
            duplicates: Duplicates::new(options.duplicates_max),
            positions,
            runs,
            resources: Resources { numbers, ..Resources::default() },
            plan_uses: HashMap::new(),
            pruner: Pruner::default(),
            checkpoints: ask,
            written: 0,
            wal_bytes_max: options.wal_bytes_max,
            careful: false,
        };
        let pool = open::readers(&path, options.readers);
        let rules = open::readers(&path, 1);
        let end = End { queue: Arc::clone(&queue), shared: Arc::clone(&shared) };
        start("store-commit", move || {
            // Dropped from the last to the first: the lock outlives the last write, the end is told
            // when the store can be opened again.
            let _end = end;
            let _lock = lock;
            committer.run();
        })?;
        start("store-helper", move || helper.run())?;
        Ok(Self { shared, queue, pool, rules })
    }

    fn push<T>(
        &self,
        bytes: usize,
        work: impl FnOnce(Reply<T>) -> Work,
    ) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError> {
        let (reply, answer) = oneshot::channel();
        match self.queue.push(work(reply), bytes) {
            Err(StoreError::Closed) => Err(self.closed()),
            other => other.map(|()| answer),
        }
    }

    async fn ask<T>(
        &self,
        bytes: usize,
        work: impl FnOnce(Reply<T>) -> Work,
    ) -> Result<T, StoreError> {
        let answer = self.push(bytes, work)?;
        answer.await.unwrap_or_else(|_| Err(self.closed()))
    }

    /// Why nothing is taken any more.
    fn closed(&self) -> StoreError {
        self.shared.broken().unwrap_or(StoreError::Closed)
    }
}

/// Tells the callers when the committer ends, however it ends.
struct End {
    queue: Arc<Queue>,
    shared: Arc<Shared>,
}

impl Drop for End {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What its transaction held is rolled back; nobody was answered.
            self.shared.set_broken(&StoreError::Crashed);
        }
        self.queue.abandon();
        self.shared.ended.send_replace(true);
    }
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(drop).map_err(|error| StoreError::Unsafe(format!("cannot start a thread: {error}")))
}

fn prepare(message: NewMessage) -> Prepared {
    let body = message.payload.as_ref().map(|payload| compress(payload.expose()));
    Prepared { message, body }
}

fn size(message: &NewMessage) -> usize {
    message.payload.as_ref().map_or(0, crate::message::payload::Payload::len) + MESSAGE_BYTES
}

#[async_trait]
impl Store for SqliteStore {
    async fn append(&self, messages: Vec<NewMessage>) -> Result<Vec<Appended>, StoreError> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = messages.iter().map(size).sum();
        let prepared = messages.into_iter().map(prepare).collect();
        self.ask(bytes, |reply| Work::Append(prepared, reply)).await
    }

    async fn record(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let bytes = changes.len().saturating_mul(CHANGE_BYTES);
        self.ask(bytes, |reply| Work::Record(changes, Some(reply))).await
    }

    async fn reject(&self, reject: Reject) -> Result<(), StoreError> {
        let bytes = reject.payload.len() + MESSAGE_BYTES;
        self.ask(bytes, |reply| Work::Reject(reject, reply)).await
    }

    async fn rejects(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<(i64, Reject)>, StoreError> {
        read::rejects(&self.pool, before, limit).await
    }

    fn committed(&self) -> broadcast::Receiver<Arc<[Arc<StoredMessage>]>> {
        self.shared.committed.subscribe()
    }

    async fn destination(&self, channel: &str, name: &str) -> Result<DestinationId, StoreError> {
        let (channel, name) = (channel.to_owned(), name.to_owned());
        self.ask(MESSAGE_BYTES, |reply| Work::Destination(channel, name, reply)).await
    }

    async fn destinations(&self) -> Result<Vec<(DestinationId, Box<str>, Box<str>)>, StoreError> {
        read::destinations(&self.pool).await
    }

    async fn version(&self, version: VersionRecord) -> Result<VersionId, StoreError> {
        let bytes = version.bundle.len() + MESSAGE_BYTES;
        self.ask(bytes, |reply| Work::Version(version, reply)).await
    }

    async fn version_record(&self, id: VersionId) -> Result<VersionRecord, StoreError> {
        read::version(&self.rules, id).await
    }

    async fn versions(&self, channel: &str) -> Result<Vec<VersionSummary>, StoreError> {
        read::versions(&self.pool, channel).await
    }

    async fn destination_state(&self, id: DestinationId) -> Result<DestinationState, StoreError> {
        read::destination_state(&self.pool, id).await
    }

    async fn read_log(
        &self,
        destination: DestinationId,
        after: Seq,
        limit: u32,
        bytes_max: usize,
    ) -> Result<LogPage, StoreError> {
        log::page(&self.shared, destination, after, limit, bytes_max).await
    }

    async fn exceptions(&self, query: ExceptionQuery) -> Result<Vec<Exception>, StoreError> {
        read::exceptions(&self.pool, &query).await
    }

    async fn messages(&self, seqs: &[Seq]) -> Result<Vec<Arc<StoredMessage>>, StoreError> {
        log::messages(&self.shared, seqs).await
    }

    async fn find(&self, id: MessageId) -> Result<Seq, StoreError> {
        search::find(&self.pool, &self.shared, id).await
    }

    async fn search(&self, query: MessageQuery) -> Result<Vec<Arc<StoredMessage>>, StoreError> {
        search::search(&self.pool, &self.shared, &query).await
    }

    async fn deliveries(&self, seq: Seq) -> Result<Vec<DeliveryView>, StoreError> {
        read::deliveries(&self.pool, &self.shared, seq).await
    }

    async fn count_log(&self, destination: DestinationId, after: Seq) -> Result<u64, StoreError> {
        read::count_log(&self.pool, destination, after).await
    }

    async fn notes(&self) -> Result<Vec<(DestinationId, Box<[u8]>)>, StoreError> {
        read::notes(&self.pool).await
    }

    async fn set_paused(&self, id: DestinationId, pause: Option<Pause>) -> Result<(), StoreError> {
        self.ask(MESSAGE_BYTES, |reply| Work::Pause(id, pause, reply)).await
    }

    async fn conservation(&self) -> Result<Vec<Conservation>, StoreError> {
        conservation::conservation(&self.pool, &self.shared).await
    }

    async fn prune(&self, retention: &Retention, now: Timestamp) -> Result<u64, StoreError> {
        let retention = retention.clone();
        self.ask(MESSAGE_BYTES, |reply| Work::Prune(retention, now, reply)).await
    }

    fn status(&self) -> StoreStatus {
        self.shared.status()
    }

    async fn close(&self) {
        self.queue.close();
        let mut ended = self.shared.ended.subscribe();
        // It fails only when the sender is gone, and `shared` holds it.
        drop(ended.wait_for(|ended| *ended).await);
        self.shared.readers.close();
        self.pool.close().await;
        self.rules.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::dictionary::Dictionary;

    fn end() -> (End, Arc<Shared>) {
        let (tails, limits) = (
            (Tail::default(), ResourceTail::default()),
            Limits {
                waiting_bytes_max: 1,
                batch_messages_max: 1,
                batch_bytes_max: 1,
                linger: Duration::ZERO,
            },
        );
        let shared = Arc::new(Shared::new("none.db".into(), Dictionary::default(), tails, 1, 1));
        (End { queue: Arc::new(Queue::new(limits)), shared: Arc::clone(&shared) }, shared)
    }

    #[test]
    fn a_committer_that_crashes_breaks_the_store_and_one_that_ends_does_not() {
        let (ends, shared) = end();
        std::thread::spawn(move || drop(ends)).join().unwrap();
        assert!(*shared.ended.borrow() && !shared.status().fatal);
        let (ends, shared) = end();
        let crashed = std::thread::spawn(move || {
            let _end = ends;
            panic!("a fault of the committer");
        });
        assert!(crashed.join().is_err());
        let status = shared.status();
        assert!(*shared.ended.borrow() && status.fatal);
        assert!(status.failing.unwrap().contains("writer crashed"));
    }
}
