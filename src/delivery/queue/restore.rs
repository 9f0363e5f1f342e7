//! A queue as the store left it, and care with what was in work when the process last ended.
//!
//! A message that kills the process (a stack overflow, all memory) would do so for ever. Nothing is
//! written about that on the normal path. After a start, what was already in the log is suspect: the
//! deliveries up to the record of the first `parallel` outcomes each get a durable attempt row `started`, and
//! are marked on disk while they are rendered (`marker`). A row without an end whose mark was left says that
//! the process died while it rendered; without the mark it was merely interrupted. With one death on record,
//! suspects go one by one, so that the next names one alone; with two, the delivery is held as poison. Waiting
//! for a receiver is no crime: a process that is killed again and again from outside must not hold whatever was
//! on the wire.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::delivery::breaker::Breaker;
use crate::delivery::cursor::Cursor;
use crate::delivery::lanes::{Lanes, Standing};
use crate::delivery::limit::Bucket;
use crate::delivery::numbers::NumberMap;
use crate::delivery::options::DeliveryOptions;
use crate::delivery::queue::item::{Item, Now, Row, Stage};
use crate::delivery::queue::{Queue, Rows};
use crate::message::id::{DestinationId, Seq};
use crate::message::outcome::Answer;
use crate::message::time::Timestamp;
use crate::store::{Attempt, Change, DestinationState, Exception, ExceptionState};

/// Process deaths over one delivery after which it is held.
const DEATHS_MAX: usize = 2;

/// What the store knows of a destination.
#[derive(Debug, Default)]
pub struct Restored {
    /// Cursor and what is settled above it.
    pub state: DestinationState,
    /// Every row that is not final.
    pub rows: Vec<Exception>,
    /// How many dead letters there are.
    pub dead: u64,
    /// The last place in the log when the process (or, after a crash of its task, the runner) began.
    pub head: Seq,
}

/// Deliveries that may have been in work when the process last ended.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// Outcomes of suspects that have to be recorded before the next is none. Until then a claim is one:
    /// whatever was sent before it and is not on record will be sent again after a crash, so that the
    /// claim after the first `parallel` may be the one that kills the process each time.
    left: u32,
    /// Ended, and not handed to the store yet.
    ended: u32,
    /// Handed to the store.
    handed: u32,
    to: Seq,
    one_by_one: bool,
    /// Looked up, and being sent.
    sending: u32,
}

impl Suspects {
    /// One of those being sent ended.
    pub(super) const fn ended(&mut self) {
        self.sending = self.sending.saturating_sub(1);
        self.ended = self.ended.saturating_add(1);
    }

    /// What ended is in the batch that the store gets now.
    pub(super) const fn handed_out(&mut self) {
        self.handed = self.handed.saturating_add(self.ended);
        self.ended = 0;
    }

    /// The batch is durable.
    pub(super) const fn recorded(&mut self) {
        self.left = self.left.saturating_sub(self.handed);
        self.handed = 0;
    }

    /// Whether this one, which is about to be sent, is one of them.
    pub(super) const fn claimed(&mut self, seq: Seq) -> bool {
        if self.left == 0 {
            self.one_by_one = false;
            return false;
        }
        if seq.0 > self.to.0 {
            // The backlog of before is through.
            self.left = 0;
            self.one_by_one = false;
            return false;
        }
        true
    }

    pub(super) const fn one_by_one(&self) -> bool {
        self.one_by_one
    }
}

/// What to do with a suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// Send it as soon as everything up to this mark is recorded.
    SendAfter {
        /// The mark.
        mark: u64,
        /// The number of the attempt.
        attempt: u32,
    },
    /// Another suspect is being sent, and they go one by one: it will be claimed again.
    Later,
    /// The process died over it too often: it is held.
    Held,
}

impl Queue {
    /// Begins anew after a crash of the task that served it.
    pub fn restart(&mut self, mut restored: Restored, now: Now) {
        restored.state.paused = self.paused.take();
        let pause_unsaved = restored.state.paused.is_some();
        let queue = Self::new(self.id, self.options.clone(), restored, now);
        let (stopping, delivered, removed) = (self.stopping, self.delivered, self.removed);
        let fence = self.fence();
        *self = Self { stopping, delivered, removed, pause_unsaved, ..queue };
        fence.into_iter().for_each(|at| self.set_fence(at));
    }

    /// The queue of a destination, as the store left it.
    #[must_use]
    pub fn new(id: DestinationId, options: DeliveryOptions, restored: Restored, now: Now) -> Self {
        let Restored { state, rows, dead, head } = restored;
        let skip: BTreeSet<Seq> =
            state.settled_above.iter().chain(&state.excepted_above).copied().collect();
        let frontier = skip.last().copied().unwrap_or_default().max(state.settled_to);
        let mut queue = Self {
            id,
            items: NumberMap::default(),
            lanes: Lanes::default(),
            ready: VecDeque::new(),
            to_load: VecDeque::new(),
            timers: BTreeSet::new(),
            stalled: BTreeSet::new(),
            cursor: Cursor::new(state.settled_to, frontier, now.steady),
            skip,
            early: BTreeSet::new(),
            breaker: Breaker::new(options.breaker),
            bucket: Bucket::new(options.per_second, now.steady),
            limited_until: None,
            probe: None,
            outbox: Vec::new(),
            handed_out: 0,
            recorded: 0,
            paused: state.paused,
            pause_unsaved: false,
            stopping: false,
            window: 0,
            window_bytes: 0,
            loaded: 0,
            rows: Rows::default(),
            clogged: false,
            flying: 0,
            dead,
            delivered: 0,
            last_error: None,
            store_error: None,
            read_error: None,
            bundle: state.bundle,
            fence: None,
            removed: false,
            aboard: Vec::new(),
            suspects: Suspects { left: options.parallel.max(1), to: head, ..Suspects::default() },
            options,
        };
        let seqs: Vec<Seq> = rows.iter().map(|row| row.seq).collect();
        for row in rows {
            queue.restore(row, now);
        }
        for seq in seqs {
            queue.consider(seq);
        }
        queue
    }

    /// Puts a row of the store into its lanes; the caller considers it afterwards.
    pub(super) fn restore(&mut self, row: Exception, now: Now) {
        let standing = Standing { lane: row.lane, joins: row.joins };
        let mut item = Item::new(standing.clone());
        item.attempts = row.attempts;
        let age = now.wall.since(row.since);
        let back = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        item.since =
            Some(Now { wall: row.since, steady: Timestamp(now.steady.0.saturating_sub(back)) });
        item.panics = u8::from(&*row.cause == "poison" && row.state == ExceptionState::Retry);
        item.row = Some(Box::new(Row { state: row.state, cause: row.cause }));
        if self.items.insert(row.seq, item).is_some() {
            return;
        }
        self.fence_in(row.seq);
        if row.seq > self.cursor.read_to() {
            self.early.insert(row.seq);
        }
        self.lanes.insert(row.seq, &standing);
        self.lanes.row_added(&standing);
        self.count(None, Some(row.state));
        if row.state == ExceptionState::Retry {
            // Whatever the wall clock did meanwhile: no wait is longer than the rule's longest.
            let longest = self.options.retry.max.max(self.options.retry.retry_after_max);
            let wait = row.due.since(now.wall).min(longest);
            if wait > Duration::ZERO {
                self.wait(row.seq, now.steady.after(wait));
            }
        }
    }

    /// What the store knows of a claimed suspect's attempts, and during which of them a process died while
    /// it rendered. A death that was no rendering (it waited for its turn or for the receiver, the process
    /// was killed) is put on record as an interruption and counts no more.
    pub fn suspect(
        &mut self,
        seq: Seq,
        attempts: &[Attempt],
        died_over: Option<u32>,
        now: Now,
    ) -> Suspicion {
        let mut open = unfinished(attempts);
        let last = attempts.iter().map(|attempt| attempt.number).max().unwrap_or(0);
        // Those before the last were judged when the last began.
        if let Some(number) = open.pop_if(|number| *number == last && died_over != Some(last)) {
            self.interrupted(seq, number, now);
        }
        let deaths = open.len();
        let Some(item) = self.items.get_mut(&seq) else { return Suspicion::Held };
        item.forgiven += last.saturating_sub(item.attempts);
        item.attempts = item.attempts.max(last);
        if deaths >= DEATHS_MAX {
            self.take_back(seq, now);
            let answer =
                Answer::new("crash", "the engine crashed twice while it was being rendered");
            self.hold(seq, "poison", answer, now);
            return Suspicion::Held;
        }
        self.suspects.one_by_one |= deaths > 0;
        if self.suspects.one_by_one && self.suspects.sending > 0 {
            self.take_back(seq, now);
            self.consider(seq);
            return Suspicion::Later;
        }
        self.suspects.sending += 1;
        item.started = true;
        let number = item.attempts + 1;
        self.outbox.push(Change::Attempt(Attempt {
            destination: self.id,
            seq,
            number,
            at: now.wall,
            duration: Duration::ZERO,
            outcome: "started".into(),
            answer: Answer::default(),
            sent_hash: 0,
        }));
        Suspicion::SendAfter { mark: self.mark(), attempt: number }
    }

    fn interrupted(&mut self, seq: Seq, number: u32, now: Now) {
        self.outbox.push(Change::Attempt(Attempt {
            destination: self.id,
            seq,
            number,
            at: now.wall,
            duration: Duration::ZERO,
            outcome: "interrupted".into(),
            answer: Answer::new("process", "the engine ended before an answer came"),
            sent_hash: 0,
        }));
    }

    /// A claim that is not sent after all.
    fn take_back(&mut self, seq: Seq, now: Now) {
        self.disembark(seq);
        let Some(item) = self.items.get_mut(&seq) else { return };
        item.stage = Stage::Idle;
        self.lanes.land(seq, &item.standing);
        self.flying = self.flying.saturating_sub(1);
        if self.probe == Some(seq) {
            self.probe = None;
            self.breaker.unprobe(now.steady);
        }
    }
}

/// Which attempts began and have no end, ascending, counted since a person last let it go on.
fn unfinished(attempts: &[Attempt]) -> Vec<u32> {
    let mut open = BTreeMap::new();
    for attempt in attempts {
        match &*attempt.outcome {
            "started" => {
                open.entry(attempt.number).or_insert(true);
            }
            "released" | "retried" => open.clear(),
            _ => {
                open.insert(attempt.number, false);
            }
        }
    }
    open.into_iter().filter(|(_, unfinished)| *unfinished).map(|(number, _)| number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(outcomes: &[(u32, &str)]) -> Vec<Attempt> {
        let attempt = |(number, outcome): &(u32, &str)| Attempt {
            destination: DestinationId(1),
            seq: Seq(1),
            number: *number,
            at: Timestamp(0),
            duration: Duration::ZERO,
            outcome: (*outcome).into(),
            answer: Answer::default(),
            sent_hash: 0,
        };
        outcomes.iter().map(attempt).collect()
    }

    #[test]
    fn only_deaths_that_were_no_interruptions_count() {
        let check = |outcomes: &[(u32, &str)], deaths| {
            assert_eq!(unfinished(&attempts(outcomes)).len(), deaths, "{outcomes:?}");
        };
        check(&[], 0);
        check(&[(1, "started")], 1);
        check(&[(1, "started"), (2, "started"), (3, "started")], 3);
        check(&[(1, "started"), (1, "interrupted"), (2, "started"), (2, "interrupted")], 0);
        check(&[(1, "started"), (1, "failed"), (2, "started")], 1);
        check(&[(1, "started"), (2, "started"), (2, "released"), (3, "started")], 1);
    }
}
