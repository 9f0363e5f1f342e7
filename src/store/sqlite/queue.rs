//! What waits for the committer: bounded by bytes, taken in the order it came.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::Gauge;
use tokio::sync::oneshot;

use crate::message::id::{DestinationId, Seq, VersionId};
use crate::message::time::Timestamp;
use crate::store::resources::Written;
use crate::store::sqlite::resources::write::{PreparedBatch, weight};
use crate::store::{
    Appended, Change, NewMessage, Pause, Reject, Retention, StoreError, VersionRecord,
};
use crate::telemetry::metrics::STORE_WAITING_BYTES;

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A message ready to be written.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The message.
    pub(super) message: NewMessage,
    /// Its body as it is written; `None` shares its parent's.
    pub(super) body: Option<(i64, Bytes)>,
}

/// What the memory of repeats keeps of one message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Hash of channel, sender and control id.
    pub(super) identity: u64,
    /// Hash of the content.
    pub(super) content: u64,
    /// Its place.
    pub(super) seq: Seq,
}

/// One piece of work.
#[derive(Debug)]
pub(super) enum Work {
    /// Append all or none.
    Append(Vec<Prepared>, Reply<Vec<Appended>>),
    /// Write a FHIR request, all or nothing.
    Write(Box<PreparedBatch>, Reply<Written>),
    /// Change delivery states. Without a reply when an earlier commit failed and the caller knows.
    Record(Vec<Change>, Option<Reply<()>>),
    /// Keep refused input.
    Reject(Reject, Reply<()>),
    /// Number a destination.
    Destination(String, String, Reply<DestinationId>),
    /// Number a channel version.
    Version(VersionRecord, Reply<VersionId>),
    /// Stop a destination or let it go on.
    Pause(DestinationId, Option<Pause>, Reply<()>),
    /// One step of retention.
    Prune(Retention, Timestamp, Reply<u64>),
    /// Older messages for the memory of repeats, newest first; `true` with the last of them.
    Known(Vec<Known>, bool),
    /// Copy what is left of the write-ahead log, so that it starts over.
    FinishCheckpoint,
}

/// Work and its size.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The work.
    pub(super) work: Work,
    /// Bytes it counts for.
    pub(super) bytes: usize,
}

/// Limits of one commit and of what waits for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes that may wait.
    pub(super) waiting_bytes_max: usize,
    /// Messages in one commit.
    pub(super) batch_messages_max: usize,
    /// Bytes in one commit.
    pub(super) batch_bytes_max: usize,
    /// How long changes alone wait for messages to ride with.
    pub(super) linger: Duration,
}

/// From so many calls in a commit on, the next one waits for more: there are many senders, and each
/// commit costs all of them. Fewer are served sooner by two commits that take turns.
const MANY_CALLS: usize = 16;
/// With so many calls it waits for no more.
const ENOUGH_CALLS: usize = 64;
/// After so many commits that had what was waited for, more is waited for. Each try may cost a wait, so
/// that after one that failed twice as many have to succeed, up to a limit.
const REACHED_BEFORE_MORE: u32 = 4;
const REACHED_BEFORE_MORE_MAX: u32 = 64;
/// When nothing came for so long, no more is waited for: all senders wait for their answers.
const QUIET: Duration = Duration::from_micros(500);
/// No message waits longer than this for others.
const GATHER_MAX: Duration = Duration::from_millis(2);

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Work that is not a change of delivery state: it does not linger.
    urgent: usize,
    /// Calls that append messages among it: senders that wait.
    calls: usize,
    /// Such calls in the last batch that had any.
    last_calls: usize,
    /// Calls that are waited for where there are many senders.
    aim: usize,
    /// How often in a row so many came.
    reached: u32,
    /// How often they have to before more are waited for.
    before_more: u32,
    /// Whether more are waited for than ever came.
    is_trying: bool,
    closed: bool,
}

/// The line before the committer.
#[derive(Debug)]
pub(super) struct Queue {
    line: Mutex<Line>,
    arrived: Condvar,
    limits: Limits,
    waiting_bytes: Gauge,
}

impl Queue {
    /// An empty line.
    pub(super) fn new(limits: Limits) -> Self {
        let waiting_bytes = metrics::gauge!(STORE_WAITING_BYTES);
        Self { line: Mutex::new(Line::default()), arrived: Condvar::new(), limits, waiting_bytes }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts work at the end of the line. What is larger than the whole limit still passes through an empty
    /// line: refused, it could never be stored, however often it is sent again.
    ///
    /// # Errors
    /// When too much waits or the store is closed.
    pub(super) fn push(&self, work: Work, bytes: usize) -> Result<(), StoreError> {
        let mut line = self.line();
        if line.closed {
            return Err(StoreError::Closed);
        }
        let (waiting, limit) = (line.bytes.saturating_add(bytes), self.limits.waiting_bytes_max);
        if line.bytes > 0 && waiting > limit {
            return Err(StoreError::Overloaded { waiting: line.bytes, limit });
        }
        let first = line.waiting.is_empty();
        let urgent = !matches!(work, Work::Record(..));
        let before = line.calls;
        line.put_back(Waiting { work, bytes }, urgent);
        let enough = before < line.aim && line.calls >= line.aim;
        let wake = first || (urgent && line.urgent == 1) || enough;
        self.show(line.bytes);
        drop(line);
        if wake {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Shows people how much waits.
    fn show(&self, bytes: usize) {
        self.waiting_bytes.set(f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)));
    }

    /// Puts work back at the head of the line, in its order: its commit failed and will be tried again.
    pub(super) fn push_front(&self, work: Vec<Waiting>) {
        let mut line = self.line();
        for waiting in work.into_iter().rev() {
            line.bytes = line.bytes.saturating_add(waiting.bytes);
            line.waiting.push_front(waiting);
        }
    }

    /// No more work is taken in; what waits is still done.
    pub(super) fn close(&self) {
        self.line().closed = true;
        self.arrived.notify_all();
    }

    /// Whether no more work is taken in.
    pub(super) fn is_closed(&self) -> bool {
        self.line().closed
    }

    /// Throws away what waits: whoever waits for it is told that the store is closed.
    pub(super) fn abandon(&self) {
        let mut line = self.line();
        line.closed = true;
        let waiting = std::mem::take(&mut line.waiting);
        line.bytes = 0;
        line.calls = 0;
        drop(line);
        drop(waiting);
    }

    /// Waits a while, or until the line is closed.
    pub(super) fn rest(&self, wait: Duration) {
        let line = self.line();
        let quiet = |line: &mut Line| !line.closed && line.urgent == 0;
        drop(self.arrived.wait_timeout_while(line, wait, quiet));
    }

    /// Waits for work and takes what fits into one commit; `None` when closed and all is done.
    pub(super) fn take(&self) -> Option<Vec<Waiting>> {
        let mut line = self.line();
        while line.waiting.is_empty() {
            if line.closed {
                return None;
            }
            line = self.arrived.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + self.limits.linger;
        while line.urgent == 0 && !line.closed && line.bytes < self.limits.batch_bytes_max {
            let Some(left) = until.checked_duration_since(Instant::now()) else { break };
            line = self.arrived.wait_timeout(line, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut line = self.gather(line);
        let batch = line.take(&self.limits);
        self.show(line.bytes);
        Some(batch)
    }

    /// Where many senders are at work, their messages share a commit: waits until as many are there as
    /// are usually under way, none came for a moment, or the time is over. A single sender never waits
    /// here.
    fn gather<'l>(&self, mut line: MutexGuard<'l, Line>) -> MutexGuard<'l, Line> {
        if line.last_calls.max(line.calls) < MANY_CALLS {
            return line;
        }
        let until = Instant::now() + GATHER_MAX;
        let mut before = 0;
        while line.calls > before && line.calls < line.aim && !line.closed {
            before = line.calls;
            let left = until.saturating_duration_since(Instant::now()).min(QUIET);
            if left.is_zero() || line.bytes >= self.limits.batch_bytes_max {
                // They still come: so many are worth waiting for, only not now.
                return line;
            }
            line = self.arrived.wait_timeout(line, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        line.learn();
        line
    }
}

impl Line {
    /// Learns how many calls are worth waiting for: fewer when they did not come, more when they did
    /// several times in a row.
    fn learn(&mut self) {
        if self.calls < self.aim {
            self.aim = self.calls.max(self.aim / 8 * 7).max(MANY_CALLS);
            if self.is_trying {
                let twice = self.before_more.max(REACHED_BEFORE_MORE) * 2;
                self.before_more = twice.min(REACHED_BEFORE_MORE_MAX);
            }
            self.reached = 0;
            self.is_trying = false;
            return;
        }
        if self.is_trying {
            self.before_more = REACHED_BEFORE_MORE;
            self.is_trying = false;
        }
        self.reached += 1;
        if self.reached >= self.before_more.max(REACHED_BEFORE_MORE) && self.aim < ENOUGH_CALLS {
            self.aim = (self.aim + self.aim / 4 + 1).min(ENOUGH_CALLS);
            self.reached = 0;
            self.is_trying = true;
        }
    }

    fn put_back(&mut self, waiting: Waiting, urgent: bool) {
        self.bytes = self.bytes.saturating_add(waiting.bytes);
        self.urgent += usize::from(urgent);
        self.calls += usize::from(is_append(&waiting.work));
        self.waiting.push_back(waiting);
    }

    fn take(&mut self, limits: &Limits) -> Vec<Waiting> {
        let mut batch = Vec::new();
        let (mut taken, mut bytes) = (0_usize, 0_usize);
        while let Some(next) = self.waiting.front() {
            let more = messages(&next.work);
            bytes = bytes.saturating_add(next.bytes);
            let full = taken + more > limits.batch_messages_max || bytes > limits.batch_bytes_max;
            if full && !batch.is_empty() {
                break;
            }
            taken += more;
            let Some(next) = self.waiting.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(next.bytes);
            if !matches!(next.work, Work::Record(..)) {
                self.urgent = self.urgent.saturating_sub(1);
            }
            batch.push(next);
        }
        let calls = batch.iter().filter(|one: &&Waiting| is_append(&one.work)).count();
        self.calls = self.calls.saturating_sub(calls);
        if calls > 0 {
            self.last_calls = calls;
        }
        batch
    }
}

const fn is_append(work: &Work) -> bool {
    matches!(work, Work::Append(..) | Work::Write(..))
}

fn messages(work: &Work) -> usize {
    match work {
        Work::Append(messages, _) => messages.len(),
        Work::Write(prepared, _) => weight(prepared),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::id::MessageId;
    use crate::message::kind::{ContentType, Kind};
    use crate::message::plan::Plan;
    use crate::message::{Envelope, KeyValue};

    fn limits() -> Limits {
        Limits {
            waiting_bytes_max: 100,
            batch_messages_max: 512,
            batch_bytes_max: 50,
            linger: Duration::from_millis(2),
        }
    }

    fn message() -> NewMessage {
        NewMessage {
            envelope: Envelope {
                id: MessageId::new(),
                received_at: Timestamp(0),
                channel: "lab".into(),
                content_type: ContentType::Hl7v2,
                kind: Kind::Report,
                event: "".into(),
                control_id: KeyValue::new(""),
                keys: Vec::new(),
                origin: None,
            },
            plan: Plan { entries: Vec::new() },
            payload: None,
            duplicate: None,
        }
    }

    fn record() -> Work {
        Work::Record(Vec::new(), None)
    }

    #[test]
    fn refuses_beyond_its_limit_and_takes_batches_below_theirs() {
        let queue = Queue::new(limits());
        for _ in 0..4 {
            queue.push(record(), 25).unwrap();
        }
        assert!(matches!(
            queue.push(record(), 1),
            Err(StoreError::Overloaded { waiting: 100, limit: 100 })
        ));
        assert_eq!(queue.take().unwrap().len(), 2);
        queue.push(record(), 50).unwrap();
    }

    #[test]
    fn what_is_larger_than_the_limit_passes_when_nothing_waits_and_only_then() {
        let queue = Queue::new(limits());
        queue.push(record(), 500).unwrap();
        let refused = queue.push(record(), 500);
        assert!(matches!(refused, Err(StoreError::Overloaded { waiting: 500, limit: 100 })));
        assert_eq!(queue.take().unwrap().len(), 1);
        queue.push(record(), 500).unwrap();
    }

    #[test]
    fn messages_of_many_senders_wait_for_each_other_those_of_one_do_not() {
        let limits = Limits { linger: Duration::from_secs(60), ..limits() };
        let queue = Queue::new(limits);
        let append = |count: usize| {
            let prepared = (0..count).map(|_| Prepared { message: message(), body: None });
            Work::Append(prepared.collect(), oneshot::channel().0)
        };
        let began = Instant::now();
        queue.push(append(1), 1).unwrap();
        assert_eq!(queue.take().unwrap().len(), 1);
        // A quiet moment ends the wait, and changes linger much longer.
        for _ in 0..9 {
            queue.push(append(2), 1).unwrap();
        }
        assert_eq!(queue.take().unwrap().len(), 9);
        assert!(began.elapsed() < Duration::from_secs(30));
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| {
                queue.push(append(1), 1).unwrap();
                let mut taken = 0;
                while taken < 70 {
                    taken += queue.take().unwrap().len();
                }
                taken
            });
            for _ in 0..69 {
                queue.push(append(1), 1).unwrap();
            }
            assert_eq!(taken.join().unwrap(), 70);
        });
    }

    #[test]
    fn one_large_piece_is_taken_alone() {
        let queue = Queue::new(limits());
        queue.push(record(), 90).unwrap();
        queue.push(record(), 1).unwrap();
        assert_eq!(queue.take().unwrap().len(), 1);
        assert_eq!(queue.take().unwrap().len(), 1);
    }

    #[test]
    fn what_waits_when_it_closes_is_still_done() {
        let queue = Queue::new(limits());
        queue.push(record(), 1).unwrap();
        queue.close();
        assert!(matches!(queue.push(record(), 1), Err(StoreError::Closed)));
        assert!(queue.take().is_some());
        assert!(queue.take().is_none());
    }
}
