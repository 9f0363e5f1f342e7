//! The one writer: a thread that commits whatever waits, then answers, then publishes.
//!
//! Self-clocking: while one commit waits for the disk the next batch gathers. Nothing is answered
//! before the commit that holds it returned. After an I/O error the store stops: what a failed sync
//! left on disk is not known, so nothing may be written after it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};
use tracing::{error, warn};

use crate::message::StoredMessage;
use crate::message::id::{DestinationId, VersionId};
use crate::message::time::Timestamp;
use crate::store::resources::Written;
use crate::store::sqlite::append::Row;
use crate::store::sqlite::duplicates::{AsIs, Duplicates};
use crate::store::sqlite::error;
use crate::store::sqlite::index::{Indexed, Piece, RunWriter};
use crate::store::sqlite::open::BUSY_TIMEOUT;
use crate::store::sqlite::outcomes::Positions;
use crate::store::sqlite::prune::{Ground, Pruner};
use crate::store::sqlite::queries;
use crate::store::sqlite::queue::{Known, Queue, Reply, Waiting, Work};
use crate::store::sqlite::resources::tail::{Merged, Recents};
use crate::store::sqlite::resources::write::{Numbers, Resources};
use crate::store::sqlite::shared::Shared;
use crate::store::{Appended, Change, Pause, Reject, Settled, StoreError, VersionRecord};
use crate::telemetry::crash;
use crate::telemetry::metrics::{STORE_COMMIT_MESSAGES, STORE_COMMIT_SECONDS, STORE_COMMITS};

/// How long changes wait before they are tried again on a full disk.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Bytes written since the last checkpoint that ask for the next.
const CHECKPOINT_BYTES: usize = 32 << 20;
/// How long a commit may wait for readers of a write-ahead log that grew beyond its bound.
const READERS_WAIT: Duration = Duration::from_millis(250);
/// What a commit writes besides its rows: the pages at the edges of the tables.
const COMMIT_BYTES: usize = 4 * 8192;
/// Refused inputs kept.
const REJECTS_MAX: i64 = 10_000;
/// Bytes of a refused input that are kept.
const REJECT_BYTES_MAX: usize = 64 << 10;

/// The committer's possessions.
pub(super) struct Committer {
    /// The only connection that writes.
    pub(super) conn: Connection,
    /// What the readers see too.
    pub(super) shared: Arc<Shared>,
    /// Where work comes from.
    pub(super) queue: Arc<Queue>,
    /// The memory of repeats.
    pub(super) duplicates: Duplicates,
    /// Cursors and the like.
    pub(super) positions: Positions,
    /// Writes the search index.
    pub(super) runs: RunWriter,
    /// Numbers and index of FHIR resources.
    pub(super) resources: Resources,
    /// Up to which place each plan is said to be in use in the database.
    pub(super) plan_uses: HashMap<u32, i64>,
    /// Where retention stands.
    pub(super) pruner: Pruner,
    /// Asks for a checkpoint.
    pub(super) checkpoints: SyncSender<()>,
    /// Bytes written since the last checkpoint, about.
    pub(super) written: usize,
    /// Size of the write-ahead log, in bytes, beyond which it is emptied.
    pub(super) wal_bytes_max: u64,
    /// Whether changes wait whose commit failed.
    pub(super) careful: bool,
}

/// What one transaction gathers for the time after its commit.
#[derive(Default)]
pub(super) struct Batch {
    /// New messages, ascending.
    pub(super) messages: Vec<Arc<StoredMessage>>,
    /// The rows of the last of them, which are not written yet.
    pub(super) rows: Vec<Row>,
    /// Those of them with a duplicate rule.
    pub(super) known: Vec<Known>,
    /// Their identities: most messages repeat none of the batch.
    pub(super) identities: HashSet<u64, BuildHasherDefault<AsIs>>,
    /// Their keys.
    pub(super) indexed: Vec<Indexed>,
    /// Number of keys.
    pub(super) keys: usize,
    /// Numbers of words that are new in this transaction: channels, key names, plans.
    pub(super) words: [Vec<u32>; 3],
    /// New versions of FHIR resources.
    pub(super) resources: Recents,
    /// Numbers of their search parameters that are new in this transaction.
    pub(super) slots: Vec<u32>,
    /// Bytes of bodies and changes.
    pub(super) bytes: usize,
    piece: Option<Piece>,
    merged: Option<Merged>,
    done: Vec<Done>,
}

/// Work that was written, with its answer.
enum Done {
    Append(Reply<Vec<Appended>>, Result<Vec<Appended>, StoreError>),
    Write(Reply<Written>, Result<Written, StoreError>),
    Record(Waiting),
    Unit(Reply<()>),
    Destination(Reply<DestinationId>, DestinationId),
    Version(Reply<VersionId>, VersionId),
    Prune(Reply<u64>, u64),
}

impl Done {
    /// The deliveries that succeeded.
    fn settled(&self) -> impl Iterator<Item = &Settled> {
        let changes: &[Change] = match self {
            Self::Record(Waiting { work: Work::Record(changes, _), .. }) => changes,
            _ => &[],
        };
        changes.iter().filter_map(|change| match change {
            Change::Settle(settled) => Some(settled),
            _ => None,
        })
    }

    /// Answers. A change whose commit may succeed later is handed back instead.
    fn answer(self, failed: Option<&StoreError>, keep: bool) -> Option<Waiting> {
        match self {
            Self::Append(reply, answer) => give(reply, failed, answer),
            Self::Write(reply, answer) => give(reply, failed, answer),
            Self::Unit(reply) => give(reply, failed, Ok(())),
            Self::Destination(reply, id) => give(reply, failed, Ok(id)),
            Self::Version(reply, id) => give(reply, failed, Ok(id)),
            Self::Prune(reply, touched) => give(reply, failed, Ok(touched)),
            Self::Record(waiting) if keep => return Some(waiting),
            Self::Record(Waiting { work: Work::Record(_, Some(reply)), .. }) => {
                give(reply, failed, Ok(()));
            }
            Self::Record(_) => {}
        }
        None
    }
}

/// Whoever asked may have gone; that is his right.
fn give<T>(reply: Reply<T>, failed: Option<&StoreError>, answer: Result<T, StoreError>) {
    drop(reply.send(failed.map_or(answer, |error| Err(error.clone()))));
}

impl Committer {
    /// Commits until the queue is closed and empty, or the disk failed.
    pub(super) fn run(mut self) {
        while let Some(waiting) = self.queue.take() {
            let mut batch = VecDeque::with_capacity(waiting.len());
            let mut finish_checkpoint = false;
            for waiting in waiting {
                match waiting.work {
                    Work::Known(known, last) => self.remember(&known, last),
                    Work::FinishCheckpoint => finish_checkpoint = true,
                    _ => batch.push_back(waiting),
                }
            }
            let committed = self.commit_all(batch).and_then(|()| self.keep_up(finish_checkpoint));
            if let Err(error) = committed {
                error!(%error, "the store stops");
                self.shared.set_broken(&error);
                return;
            }
        }
    }

    /// Commits together; after a failure, until all succeeds again, one by one, so that what needs no
    /// room (pruning) is not refused with what does. An error means that the store may not go on.
    fn commit_all(&mut self, batch: VecDeque<Waiting>) -> Result<(), StoreError> {
        let mut kept = Vec::new();
        if self.careful {
            for waiting in batch {
                // Changes stay in their order: one that failed holds back those after it.
                if matches!(waiting.work, Work::Record(..)) && !kept.is_empty() {
                    kept.push(waiting);
                } else {
                    kept.extend(self.commit(VecDeque::from([waiting]))?);
                }
            }
        } else if !batch.is_empty() {
            kept = self.commit(batch)?;
        }
        self.careful = !kept.is_empty();
        if self.careful {
            self.queue.push_front(kept);
            self.queue.rest(RETRY_PAUSE);
        }
        Ok(())
    }

    /// How far back repeats are known, for those who watch.
    fn look_at_horizon(&mut self, now: Timestamp) {
        let Some(oldest) = self.duplicates.oldest_to_look_at() else { return };
        let found = self.conn.prepare_cached(queries::FIRST_RECEIPT).and_then(|mut query| {
            query.query_row([oldest.0], |row| row.get::<_, i64>(1)).optional()
        });
        match found {
            Ok(Some(received_at)) => self.duplicates.set_horizon(Timestamp(received_at), now),
            // Retention took it: the memory reaches back as far as the log.
            Ok(None) => {}
            Err(error) => warn!(%error, "it cannot be seen how far back repeats are known"),
        }
    }

    fn remember(&mut self, known: &[Known], last: bool) {
        let room = known.iter().all(|known| self.duplicates.put_older(*known));
        if last || !room {
            self.duplicates.set_complete();
        }
    }

    /// Writes a batch and answers it. Hands back the changes that are to be tried again.
    fn commit(&mut self, mut waiting: VecDeque<Waiting>) -> Result<Vec<Waiting>, StoreError> {
        let started = Instant::now();
        let mut batch = Batch::default();
        match self.write(&mut waiting, &mut batch) {
            Ok(()) => {
                self.committed(batch, started);
                Ok(Vec::new())
            }
            Err(error) => self.failed(&error, batch, waiting),
        }
    }

    fn write(
        &mut self,
        waiting: &mut VecDeque<Waiting>,
        batch: &mut Batch,
    ) -> rusqlite::Result<()> {
        self.conn.prepare_cached(queries::BEGIN)?.execute([])?;
        while let Some(next) = waiting.pop_front() {
            batch.bytes = batch.bytes.saturating_add(next.bytes);
            self.apply(next, batch)?;
        }
        self.flush(batch)?;
        let settled: Vec<&Settled> = batch.done.iter().flat_map(Done::settled).collect();
        self.positions.write(&self.conn, &settled)?;
        let close = || self.shared.tail_mut().close();
        batch.piece = self.runs.write(&self.conn, close, batch.keys)?;
        self.resources.numbers.write(&self.conn)?;
        let close = || self.shared.resources_mut().close();
        let versions = batch.resources.len();
        batch.merged = self.resources.merge.write(&self.conn, close, versions)?;
        crash::point("store_before_commit");
        self.conn.prepare_cached(queries::COMMIT)?.execute([])?;
        crash::point("store_after_commit");
        Ok(())
    }

    /// Writes one piece of work. Whatever happens, its answer stands in `batch.done` afterwards.
    fn apply(&mut self, waiting: Waiting, batch: &mut Batch) -> rusqlite::Result<()> {
        let bytes = waiting.bytes;
        match waiting.work {
            Work::Write(..) | Work::Prune(..) => {
                // They read messages, or set a savepoint.
                if let Err(error) = self.flush(batch) {
                    refuse(waiting.work, &error::of_writer(&error));
                    return Err(error);
                }
            }
            _ => {}
        }
        match waiting.work {
            Work::Append(messages, reply) => {
                let appended = self.append(messages, Vec::new(), batch);
                let (answer, result) = parted(appended, Ok(Vec::new()));
                batch.done.push(Done::Append(reply, answer));
                result
            }
            Work::Write(prepared, reply) => {
                let written = self.write_resources(*prepared, batch);
                let (answer, result) = parted(written, Ok(Written::Done(Vec::new())));
                batch.done.push(Done::Write(reply, answer));
                result
            }
            Work::Record(changes, reply) => {
                let result = self.positions.apply(&self.conn, &changes);
                let work = Work::Record(changes, reply);
                batch.done.push(Done::Record(Waiting { work, bytes }));
                result
            }
            Work::Reject(reject, reply) => {
                let result = insert_reject(&self.conn, &reject);
                batch.done.push(Done::Unit(reply));
                result
            }
            Work::Destination(channel, name, reply) => {
                let found = destination(&self.conn, &channel, &name);
                let (id, result) = parted(found, DestinationId(0));
                batch.done.push(Done::Destination(reply, id));
                result
            }
            Work::Version(record, reply) => {
                let (id, result) = parted(version(&self.conn, &record), VersionId(0));
                batch.done.push(Done::Version(reply, id));
                result
            }
            Work::Pause(id, pause, reply) => {
                let result = set_paused(&self.conn, id, pause.as_ref());
                batch.done.push(Done::Unit(reply));
                result
            }
            Work::Prune(retention, now, reply) => {
                let step = {
                    let dictionary = self.shared.dictionary();
                    let cursors = &self.positions.cursors;
                    let versions_to = self.shared.resources().indexed_to();
                    let known = Ground { dictionary: &dictionary, cursors, versions_to };
                    self.pruner.step(&self.conn, &known, &retention, now)
                };
                let (touched, result) = parted(step, 0);
                batch.done.push(Done::Prune(reply, touched));
                result
            }
            Work::Known(..) | Work::FinishCheckpoint => Ok(()),
        }
    }

    /// The batch is durable: memory follows, callers are answered, messages go out.
    fn committed(&mut self, batch: Batch, started: Instant) {
        self.measure(&batch, started);
        if let Some(last) = batch.messages.last() {
            self.shared.head.store(last.seq.0, Ordering::Release);
            self.positions.next_seq = last.seq.0 + 1;
            for known in &batch.known {
                self.duplicates.put(*known);
            }
            self.look_at_horizon(last.envelope.received_at);
            self.shared.tail_mut().put(batch.indexed);
        }
        self.shared.resources_mut().put(batch.resources);
        if let Some(finished) = batch.merged.and_then(|merged| self.resources.merge.keep(merged)) {
            self.shared.resources_mut().finish(finished);
        }
        if let Some(finished) = batch.piece.and_then(|piece| self.runs.keep(piece)) {
            self.shared.tail_mut().finish(finished);
        }
        self.shared.commits.fetch_add(1, Ordering::AcqRel);
        self.shared.set_failing(None);
        let pruned = batch.done.iter().any(|done| matches!(done, Done::Prune(_, 1..)));
        for done in batch.done {
            done.answer(None, false);
        }
        if !batch.messages.is_empty() {
            // Without a receiver there is nobody to tell.
            drop(self.shared.committed.send(batch.messages.into()));
        }
        for number in std::mem::take(&mut self.pruner.gone_plans) {
            self.shared.dictionary_mut().take_plan(number);
            self.plan_uses.remove(&number);
        }
        if pruned || self.shared.first.load(Ordering::Acquire) == 0 {
            self.find_first();
        }
    }

    fn find_first(&self) {
        let first = self.conn.prepare_cached(queries::FIRST);
        if let Ok(first) = first.and_then(|mut query| query.query_row([], |row| row.get(0))) {
            self.shared.first.store(first, Ordering::Release);
        }
    }

    fn measure(&mut self, batch: &Batch, started: Instant) {
        let messages = u32::try_from(batch.messages.len()).unwrap_or(u32::MAX);
        metrics::histogram!(STORE_COMMIT_SECONDS).record(started.elapsed().as_secs_f64());
        metrics::histogram!(STORE_COMMIT_MESSAGES).record(f64::from(messages));
        metrics::counter!(STORE_COMMITS).increment(1);
        self.written = self.written.saturating_add(batch.bytes).saturating_add(COMMIT_BYTES);
    }

    /// Rolls back, and answers with the error or keeps for later what may be kept.
    fn failed(
        &mut self,
        error: &rusqlite::Error,
        batch: Batch,
        waiting: VecDeque<Waiting>,
    ) -> Result<Vec<Waiting>, StoreError> {
        let meaning = error::of_writer(error);
        let rolled_back = self.roll_back(&batch);
        let may_pass = error::may_pass(error) && rolled_back.is_ok();
        let keep = may_pass && !self.queue.is_closed();
        self.shared.set_failing(Some(meaning.to_string()));
        let mut kept = Vec::new();
        for done in batch.done {
            kept.extend(done.answer(Some(&meaning), keep));
        }
        for waiting in waiting {
            match waiting.work {
                Work::Record(..) if keep => kept.push(waiting),
                work => refuse(work, &meaning),
            }
        }
        if !may_pass {
            return Err(meaning);
        }
        warn!(error = %meaning, kept = kept.len(), "commit failed, rolled back");
        Ok(kept)
    }

    fn roll_back(&mut self, batch: &Batch) -> rusqlite::Result<()> {
        if !self.conn.is_autocommit() {
            self.conn.prepare_cached(queries::ROLLBACK)?.execute([])?;
        }
        let [channels, key_names, plans] = &batch.words;
        let mut dictionary = self.shared.dictionary_mut();
        channels.iter().for_each(|number| dictionary.channels.take(*number));
        key_names.iter().for_each(|number| dictionary.key_names.take(*number));
        plans.iter().for_each(|number| dictionary.take_plan(*number));
        batch.slots.iter().for_each(|number| dictionary.slots.take(*number));
        drop(dictionary);
        // What was said of plans was taken back too.
        self.plan_uses.clear();
        self.pruner.gone_plans.clear();
        self.positions = Positions::load(&self.conn)?;
        self.resources.numbers = Numbers::load(&self.conn)?;
        Ok(())
    }

    /// Between commits: asks for a checkpoint when much was written, and does the rest of one when
    /// asked, so that the write-ahead log starts over instead of growing.
    fn keep_up(&mut self, finish_checkpoint: bool) -> Result<(), StoreError> {
        let enough = usize::try_from(self.wal_bytes_max / 2).unwrap_or(usize::MAX);
        if self.written >= CHECKPOINT_BYTES.min(enough) && self.checkpoints.try_send(()).is_ok() {
            self.written = 0;
        }
        if let Some(broken) = self.shared.broken() {
            return Err(broken);
        }
        if !finish_checkpoint {
            return Ok(());
        }
        let done = self.conn.query_row(queries::CHECKPOINT, [], |_| Ok(()));
        match done.map_err(|error| error::of_writer(&error)) {
            Err(fatal @ StoreError::Disk(_)) => Err(fatal),
            Err(error) => {
                warn!(%error, "checkpoint put off");
                Ok(())
            }
            Ok(()) => self.bound_log(),
        }
    }

    /// Empties a write-ahead log that grew beyond its bound, because somebody always read it when it could
    /// have started over. Those who read it now are waited for, but not for long: they are asked again after
    /// the next checkpoint. Whoever begins to read meanwhile reads the database alone.
    fn bound_log(&self) -> Result<(), StoreError> {
        let size = self.shared.log_bytes();
        if size <= self.wal_bytes_max {
            return Ok(());
        }
        let emptied = self
            .conn
            .busy_timeout(READERS_WAIT)
            .and_then(|()| self.conn.query_row(queries::CHECKPOINT_ALL, [], |row| row.get(0)));
        let settings = self.conn.busy_timeout(BUSY_TIMEOUT);
        let emptied: rusqlite::Result<i64> = settings.and(emptied);
        match emptied.map_err(|error| error::of_writer(&error)) {
            Err(fatal @ StoreError::Disk(_)) => Err(fatal),
            Ok(0) => Ok(()),
            Ok(_) | Err(_) => {
                warn!(
                    bytes = size,
                    "the write-ahead log is large and still read; it is emptied later"
                );
                Ok(())
            }
        }
    }
}

/// The value, or one to put in its place, and the error.
fn parted<T>(result: rusqlite::Result<T>, otherwise: T) -> (T, rusqlite::Result<()>) {
    match result {
        Ok(value) => (value, Ok(())),
        Err(error) => (otherwise, Err(error)),
    }
}

/// Answers work that was not begun.
fn refuse(work: Work, error: &StoreError) {
    match work {
        Work::Append(_, reply) => give(reply, Some(error), Ok(Vec::new())),
        Work::Write(_, reply) => give(reply, Some(error), Ok(Written::Done(Vec::new()))),
        Work::Record(_, Some(reply)) | Work::Reject(_, reply) | Work::Pause(_, _, reply) => {
            give(reply, Some(error), Ok(()));
        }
        Work::Destination(_, _, reply) => give(reply, Some(error), Ok(DestinationId(0))),
        Work::Version(_, reply) => give(reply, Some(error), Ok(VersionId(0))),
        Work::Prune(_, _, reply) => give(reply, Some(error), Ok(0)),
        Work::Record(_, None) | Work::Known(..) | Work::FinishCheckpoint => {}
    }
}

fn insert_reject(conn: &Connection, reject: &Reject) -> rusqlite::Result<()> {
    let bytes = reject.payload.expose();
    let kept = bytes.get(..REJECT_BYTES_MAX).unwrap_or(bytes);
    let number: i64 = conn.prepare_cached(queries::INSERT_REJECT)?.query_row(
        params![reject.at.0, reject.channel, reject.peer, reject.reason, kept],
        |row| row.get(0),
    )?;
    conn.prepare_cached(queries::TRIM_REJECTS)?.execute([number - REJECTS_MAX])?;
    Ok(())
}

fn destination(conn: &Connection, channel: &str, name: &str) -> rusqlite::Result<DestinationId> {
    let found = conn
        .prepare_cached(queries::FIND_DESTINATION)?
        .query_row([channel, name], |row| row.get(0))
        .optional()?;
    let number = match found {
        Some(number) => number,
        None => conn
            .prepare_cached(queries::INSERT_DESTINATION)?
            .query_row([channel, name], |row| row.get(0))?,
    };
    Ok(DestinationId(number))
}

fn version(conn: &Connection, record: &VersionRecord) -> rusqlite::Result<VersionId> {
    let found = conn
        .prepare_cached(queries::FIND_VERSION)?
        .query_row([&*record.channel, &*record.hash], |row| row.get(0))
        .optional()?;
    let number = match found {
        Some(number) => number,
        None => conn.prepare_cached(queries::INSERT_VERSION)?.query_row(
            params![record.channel, record.hash, record.bundle, record.applied_at.0],
            |row| row.get(0),
        )?,
    };
    Ok(VersionId(number))
}

fn set_paused(conn: &Connection, id: DestinationId, pause: Option<&Pause>) -> rusqlite::Result<()> {
    match pause {
        Some(pause) => conn.prepare_cached(queries::UPSERT_PAUSE)?.execute(params![
            id.0,
            pause.by,
            pause.reason,
            pause.at.0
        ])?,
        None => conn.prepare_cached(queries::DELETE_PAUSE)?.execute([id.0])?,
    };
    Ok(())
}
