//! All that one destination has to do, without doing any of it: no I/O, no clock, no task. Driven by
//! the runner, and by seeded tests.
//!
//! - A delivery is in memory *on the straight path* (in the window, beyond the cursor) or as an
//!   *exception row*; the row's own changes go through the outbox to the store, in order.
//! - Of each lane at most one delivery is being sent, and it was the first when it was claimed.
//! - A row blocks its lane. What comes after it becomes a `Behind` row, so that the window and the
//!   cursor move on; in the strict lane it stays in the window instead.
//! - Every row that is not final is known here (its number is bounded by `exceptions_max`), so a lane
//!   is never asked for in the store; only bytes are read back.

mod act;
mod bundle;
mod conclude;
mod fence;
mod item;
mod load;
mod restore;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

pub use act::{Act, ActError, state_name};
pub use item::{Claim, Conclusion, Now};
pub use restore::{Restored, Suspicion};
pub use view::{BlockedLane, RunnerStatus};

use crate::delivery::breaker::{Breaker, Gate};
use crate::delivery::cursor::Cursor;
use crate::delivery::lanes::{Lanes, Standing};
use crate::delivery::limit::Bucket;
use crate::delivery::numbers::NumberMap;
use crate::delivery::options::DeliveryOptions;
use crate::delivery::queue::bundle::Company;
use crate::delivery::queue::fence::Fence;
use crate::delivery::queue::item::{Item, Row, Stage};
use crate::message::StoredMessage;
use crate::message::id::{DestinationId, Seq};
use crate::message::outcome::Answer;
use crate::message::plan::{Disposition, Joins};
use crate::message::time::Timestamp;
use crate::store::{Change, Exception, ExceptionState, Pause};

/// The deliveries of one destination.
#[derive(Debug)]
pub struct Queue {
    id: DestinationId,
    options: DeliveryOptions,
    items: NumberMap<Seq, Item>,
    lanes: Lanes,
    ready: VecDeque<Seq>,
    to_load: VecDeque<Seq>,
    timers: BTreeSet<(Timestamp, Seq)>,
    /// Those that did not get through; they go on when the breaker opens (as probes) or closes.
    stalled: BTreeSet<Seq>,
    cursor: Cursor,
    /// Beyond what was read, and settled or a row already.
    skip: BTreeSet<Seq>,
    /// Rows beyond what was read: before them others of their lanes may stand in the log.
    early: BTreeSet<Seq>,
    breaker: Breaker,
    bucket: Bucket,
    limited_until: Option<Timestamp>,
    probe: Option<Seq>,
    outbox: Vec<Change>,
    handed_out: u64,
    recorded: u64,
    paused: Option<Pause>,
    pause_unsaved: bool,
    stopping: bool,
    window: usize,
    window_bytes: usize,
    loaded: usize,
    rows: Rows,
    /// Followers stayed in the window because there was no room for their rows.
    clogged: bool,
    flying: u32,
    dead: u64,
    delivered: u64,
    last_error: Option<Box<str>>,
    store_error: Option<Box<str>>,
    /// Why messages cannot be read from the store.
    read_error: Option<Box<str>>,
    suspects: restore::Suspects,
    /// The last bundle that was begun: its first and its last.
    bundle: Option<(Seq, Seq)>,
    fence: Option<Fence>,
    /// No channel has it any more: nothing is begun.
    removed: bool,
    /// Those that are being sent with its first.
    aboard: Vec<Seq>,
}

/// Exception rows that are not final, by state.
#[derive(Debug, Clone, Copy, Default)]
struct Rows {
    retry: usize,
    held: usize,
    behind: usize,
}

impl Rows {
    /// Those that stand for themselves.
    const fn heads(self) -> usize {
        self.retry + self.held
    }

    const fn of(&mut self, state: ExceptionState) -> Option<&mut usize> {
        match state {
            ExceptionState::Retry => Some(&mut self.retry),
            ExceptionState::Held => Some(&mut self.held),
            ExceptionState::Behind => Some(&mut self.behind),
            ExceptionState::Dead | ExceptionState::Cancelled => None,
        }
    }
}

/// What a row says besides its place.
#[derive(Debug, Clone)]
struct Verdict {
    state: ExceptionState,
    cause: Box<str>,
    answer: Answer,
    due: Timestamp,
}

impl Queue {
    /// Takes over a stretch of the log that was read up to `to`. Returns how many deliveries of this
    /// destination were new in it. Ends at the fence, where there is one: see [`Self::read_to`].
    pub fn ingest(&mut self, messages: &[Arc<StoredMessage>], to: Seq, now: Now) -> i64 {
        let mut new = 0;
        let to = self.cut_at_fence(to);
        for message in messages.iter().filter(|message| message.seq <= to) {
            if message.seq > self.cursor.read_to()
                && let Some(entry) = message.plan.entry(self.id)
            {
                let Some(standing) = Standing::of(&entry.disposition) else { continue };
                new += 1;
                self.cursor.read(message.seq);
                if !self.skip.remove(&message.seq) {
                    self.take(message, standing, now);
                }
            }
        }
        self.cursor.read(to);
        while let Some(seq) = self.early.first().copied()
            && seq <= self.cursor.read_to()
        {
            self.early.remove(&seq);
            self.consider(seq);
        }
        self.lift_fence();
        new
    }

    fn take(&mut self, message: &Arc<StoredMessage>, standing: Standing, now: Now) {
        let seq = message.seq;
        let blocked = self.lanes.has_rows(&standing) && !standing.is_strict();
        let behind = blocked && self.has_room_behind();
        self.lanes.insert(seq, &standing);
        let mut item = Item::new(standing);
        item.body = Some(Arc::clone(message));
        self.items.insert(seq, item);
        self.fence_in(seq);
        self.cursor.open(seq);
        self.window += 1;
        self.window_bytes += message.payload.len();
        if behind {
            self.put_behind(seq, now);
        } else {
            self.clogged |= blocked;
        }
        // After a crash it may be the first of its lane although others of it have rows already.
        self.consider(seq);
    }

    /// Whether more of the log is wanted.
    #[must_use]
    pub fn wants_log(&self) -> bool {
        !self.stopping
            && self.before_fence().is_none()
            && self.window < self.options.window.max(1)
            && (self.window_bytes < self.options.window_bytes || self.window == 0)
            && (self.has_room() || !self.early.is_empty())
    }

    /// How much of the log is wanted: deliveries and bytes.
    #[must_use]
    pub fn log_room(&self) -> (u32, usize) {
        let count = self.options.window.max(1).saturating_sub(self.window);
        (
            u32::try_from(count).unwrap_or(u32::MAX).max(1),
            self.options.window_bytes.saturating_sub(self.window_bytes),
        )
    }

    /// Whether there is room enough to make reading the log worthwhile.
    #[must_use]
    pub fn window_is_low(&self) -> bool {
        self.window <= self.options.window / 4 * 3
            && self.window_bytes <= self.options.window_bytes / 4 * 3
    }

    fn has_room(&self) -> bool {
        self.rows.heads() < self.options.exceptions_max && self.has_room_behind()
    }

    /// Whether one more may stand behind a row.
    const fn has_room_behind(&self) -> bool {
        self.rows.behind < self.options.behind_max
    }

    /// The next delivery to send, if one may go now. Fair: a lane that was served goes to the end.
    pub fn claim(&mut self, now: Now) -> Option<Claim> {
        loop {
            let probe = self.may_claim(now)?;
            let seq = self.ready.pop_front()?;
            let Some(item) = self.items.get_mut(&seq) else { continue };
            if item.stage != Stage::Ready {
                continue;
            }
            if !self.lanes.may_go(seq, &item.standing) {
                item.stage = Stage::Idle;
                self.drop_row_body(seq);
                continue;
            }
            let planned = item.body.as_ref().and_then(|body| {
                let entry = body.plan.entry(self.id)?;
                let hold = matches!(entry.disposition, Disposition::Hold { .. });
                Some((Arc::clone(body), entry.version, hold))
            });
            let Some((message, version, hold)) = planned else {
                self.lost(seq, now);
                continue;
            };
            if hold && matches!(item.state(), None | Some(ExceptionState::Behind)) {
                item.stage = Stage::Idle;
                self.hold(seq, "changed_repeat", Answer::default(), now);
                continue;
            }
            if self.awaits_company(seq) {
                self.ready.push_front(seq);
                return None;
            }
            if let Err(at) = self.bucket.take(now.steady) {
                self.ready.push_front(seq);
                self.limited_until = Some(at);
                return None;
            }
            let Some(item) = self.items.get_mut(&seq) else { continue };
            item.stage = Stage::Flying;
            self.lanes.fly(seq, &item.standing);
            self.flying += 1;
            if probe {
                self.breaker.probe();
                self.probe = Some(seq);
            }
            let suspect = self.suspects.claimed(seq);
            let Company { more, after } = self.gather(seq, version);
            return Some(Claim { seq, version, message, more, after, suspect, marked: None });
        }
    }

    /// Whether something may go, and whether as a probe; `None` when not.
    fn may_claim(&mut self, now: Now) -> Option<bool> {
        let stopped = self.stopping
            || self.paused.is_some()
            || self.removed
            || self.flying >= self.options.parallel.max(1)
            || self.unrecorded() >= self.options.unrecorded_max.max(1);
        if stopped || self.ready.is_empty() {
            return None;
        }
        if self.suspects.one_by_one() && (self.flying > 0 || self.unrecorded() > 0) {
            return None;
        }
        match self.breaker.gate(now.steady) {
            Gate::Free => Some(false),
            Gate::Probe => Some(true),
            Gate::Until(_) | Gate::Probing => None,
        }
    }

    /// Changes that the store does not have yet.
    #[must_use]
    pub fn unrecorded(&self) -> usize {
        let out = usize::try_from(self.handed_out.saturating_sub(self.recorded));
        self.outbox.len().saturating_add(out.unwrap_or(usize::MAX))
    }

    /// Gives up the bytes of one that has a row: they are read back when it is its turn. So what
    /// cannot go now takes no room from what can.
    fn drop_row_body(&mut self, seq: Seq) {
        if let Some(item) = self.items.get_mut(&seq)
            && item.row.is_some()
            && item.body.take().is_some()
        {
            self.loaded = self.loaded.saturating_sub(1);
        }
    }

    /// Makes it ready when nothing stands before it.
    fn consider(&mut self, seq: Seq) {
        let Some(item) = self.items.get_mut(&seq) else { return };
        let may_go = item.stage == Stage::Idle
            && item.state() != Some(ExceptionState::Held)
            && seq <= self.cursor.read_to()
            && self.lanes.may_go(seq, &item.standing);
        if !may_go {
            if item.stage == Stage::Idle {
                self.drop_row_body(seq);
            }
            return;
        }
        if item.body.is_some() {
            item.stage = Stage::Ready;
            self.ready.push_back(seq);
        } else {
            item.stage = Stage::Loading;
            self.to_load.push_back(seq);
        }
    }

    /// The first of each of these lanes may be ready now.
    fn advance(&mut self, standing: &Standing) {
        for lane in standing.lanes() {
            if let Some(head) = self.lanes.head(lane) {
                self.consider(head);
            }
        }
    }

    fn wait(&mut self, seq: Seq, until: Timestamp) {
        if let Some(item) = self.items.get_mut(&seq) {
            item.stage = Stage::Waiting(until);
            self.timers.insert((until, seq));
        }
        self.drop_row_body(seq);
    }

    fn stop_waiting(&mut self, seq: Seq) {
        let Some(item) = self.items.get_mut(&seq) else { return };
        if let Stage::Waiting(until) = item.stage {
            self.timers.remove(&(until, seq));
            item.stage = Stage::Idle;
        }
    }

    /// Lets go on what waited for this moment.
    pub fn tick(&mut self, now: Now) {
        while let Some((until, seq)) = self.timers.first().copied() {
            if until > now.steady {
                break;
            }
            self.timers.pop_first();
            self.stop_waiting(seq);
            self.consider(seq);
        }
        if self.limited_until.is_some_and(|until| until <= now.steady) {
            self.limited_until = None;
        }
    }

    /// When something is to be done next without anything happening before; a steady moment.
    #[must_use]
    pub fn next_wake(&self, now: Now) -> Option<Timestamp> {
        let timer = self.timers.first().map(|(until, _)| *until);
        let gate = match self.breaker.gate(now.steady) {
            Gate::Until(until) if !self.ready.is_empty() => Some(until),
            _ => None,
        };
        let limited = self.limited_until.filter(|_| !self.ready.is_empty());
        [timer, gate, limited, self.cursor.sweep_at()].into_iter().flatten().min()
    }

    /// The changes to record now, with the mark they are recorded by. One batch at a time.
    pub fn batch(&mut self, now: Now) -> Option<Vec<Change>> {
        let sweep = self.stopping || self.cursor.sweep_at().is_some_and(|at| at <= now.steady);
        if self.outbox.is_empty() && !sweep {
            return None;
        }
        if let Some(change) = self.cursor.change(self.id, now.steady) {
            self.outbox.push(change);
        }
        if self.outbox.is_empty() {
            return None;
        }
        // The next batch will be about as large.
        let next = Vec::with_capacity(self.outbox.len());
        let batch = std::mem::replace(&mut self.outbox, next);
        self.suspects.handed_out();
        self.handed_out += u64::try_from(batch.len()).unwrap_or(0);
        Some(batch)
    }

    /// The mark that is reached when everything so far is recorded.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.handed_out + u64::try_from(self.outbox.len()).unwrap_or(0)
    }

    /// The last batch is durable. Returns the mark reached.
    pub fn recorded(&mut self) -> u64 {
        self.recorded = self.handed_out;
        self.suspects.recorded();
        self.recorded
    }

    /// Nothing is begun any more.
    pub const fn stop(&mut self) {
        self.stopping = true;
    }

    /// How many are being sent.
    #[must_use]
    pub const fn flying(&self) -> u32 {
        self.flying
    }

    /// The log was read up to here.
    #[must_use]
    pub const fn read_to(&self) -> Seq {
        self.cursor.read_to()
    }

    /// A pause that the policy asked for and the store does not know.
    pub fn unsaved_pause(&mut self) -> Option<Pause> {
        std::mem::take(&mut self.pause_unsaved).then(|| self.paused.clone()).flatten()
    }

    /// Takes new options; forgets the breaker's failures, since the endpoint may be another.
    pub fn replace(&mut self, options: DeliveryOptions, now: Now) {
        if options.per_second != self.options.per_second {
            self.bucket = Bucket::new(options.per_second, now.steady);
        }
        self.options = options;
        self.removed = false;
        self.breaker.replace(self.options.breaker);
        self.probe = None;
        self.wake_stalled();
    }

    /// No channel has the destination any more: nothing is begun, what waits stays and can be acted on.
    pub const fn retire(&mut self) {
        self.removed = true;
    }

    fn wake_stalled(&mut self) {
        for seq in std::mem::take(&mut self.stalled) {
            self.stop_waiting(seq);
            self.consider(seq);
        }
    }

    fn push_row(&mut self, seq: Seq, verdict: &Verdict, now: Now) {
        let Some(item) = self.items.get(&seq) else { return };
        self.outbox.push(Change::Except(Exception {
            destination: self.id,
            seq,
            lane: item.standing.lane,
            joins: item.standing.joins.clone(),
            state: verdict.state,
            attempts: item.attempts,
            since: item.since.map_or(now.wall, |since| since.wall),
            due: verdict.due,
            cause: verdict.cause.clone(),
            answer: verdict.answer.clone(),
        }));
    }

    /// Gives it a row, or another one; what stands behind it in its lanes gets rows too.
    fn set_row(&mut self, seq: Seq, verdict: &Verdict, now: Now) {
        self.push_row(seq, verdict, now);
        let Some(item) = self.items.get_mut(&seq) else { return };
        let (standing, before) = (item.standing.clone(), item.state());
        let row = Row { state: verdict.state, cause: verdict.cause.clone() };
        if before.is_some() {
            self.drop_row_body(seq);
        } else {
            self.leave_window(seq);
            self.lanes.row_added(&standing);
        }
        if let Some(item) = self.items.get_mut(&seq) {
            item.row = Some(Box::new(row));
            item.since.get_or_insert(now);
        }
        self.count(before, Some(verdict.state));
        if before.is_none() && verdict.state != ExceptionState::Behind {
            self.shelve(seq, &standing, now);
        }
    }

    fn put_behind(&mut self, seq: Seq, now: Now) {
        if let Some(item) = self.items.get_mut(&seq)
            && matches!(item.stage, Stage::Ready | Stage::Waiting(_))
        {
            self.stop_waiting(seq);
            if let Some(item) = self.items.get_mut(&seq) {
                item.stage = Stage::Idle;
            }
        }
        self.stalled.remove(&seq);
        let verdict = Verdict {
            state: ExceptionState::Behind,
            cause: "behind".into(),
            answer: Answer::default(),
            due: now.wall,
        };
        self.set_row(seq, &verdict, now);
    }

    /// Puts everything after `seq` in these lanes behind it, and what those order in turn.
    fn shelve(&mut self, seq: Seq, standing: &Standing, now: Now) {
        let mut work: Vec<_> = standing.lanes().map(|lane| (lane, seq)).collect();
        while let Some((lane, from)) = work.pop() {
            let followers: Vec<Seq> = self.lanes.after(lane, from).collect();
            for follower in followers {
                let Some(item) = self.items.get(&follower) else { continue };
                let standing = item.standing.clone();
                let stays =
                    item.row.is_some() || item.stage == Stage::Flying || standing.is_strict();
                if stays {
                    continue;
                }
                if !self.has_room_behind() {
                    self.clogged = true;
                    return;
                }
                self.put_behind(follower, now);
                work.extend(
                    standing.lanes().filter(|other| *other != lane).map(|other| (other, follower)),
                );
            }
        }
    }

    /// There is room for rows again: followers that clog the window get theirs.
    fn unclog(&mut self, now: Now) {
        if !self.clogged || !self.has_room_behind() {
            return;
        }
        self.clogged = false;
        let blocked: Vec<_> = self.lanes.with_rows().map(|(lane, _, _)| lane).collect();
        for lane in blocked {
            let first = self
                .lanes
                .after(lane, Seq(i64::MIN))
                .find(|seq| self.items.get(seq).is_some_and(|item| item.row.is_some()));
            if let Some(first) = first {
                self.shelve(first, &Standing { lane, joins: Joins::NONE }, now);
            }
        }
    }

    fn leave_window(&mut self, seq: Seq) {
        if let Some(item) = self.items.get_mut(&seq) {
            self.window = self.window.saturating_sub(1);
            let bytes = item.body.take().map_or(0, |body| body.payload.len());
            self.window_bytes = self.window_bytes.saturating_sub(bytes);
        }
        self.cursor.close(seq);
    }

    fn count(&mut self, before: Option<ExceptionState>, after: Option<ExceptionState>) {
        if let Some(count) = before.and_then(|state| self.rows.of(state)) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = after.and_then(|state| self.rows.of(state)) {
            *count += 1;
        }
    }

    /// Takes it out of memory: it is settled or final. Its lanes go on.
    fn remove(&mut self, seq: Seq, now: Now) {
        self.stop_waiting(seq);
        self.stalled.remove(&seq);
        let Some(item) = self.items.get(&seq) else { return };
        let (standing, state) = (item.standing.clone(), item.state());
        if state.is_some() {
            self.drop_row_body(seq);
            self.lanes.row_removed(&standing);
            self.count(state, None);
        } else {
            self.leave_window(seq);
        }
        self.items.remove(&seq);
        self.fence_out(seq);
        self.early.remove(&seq);
        self.lanes.remove(seq, &standing);
        self.advance(&standing);
        self.unclog(now);
    }
}
