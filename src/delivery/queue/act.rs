//! What a person may do to a delivery. Each act is recorded with name and reason.
//!
//! | act | from | to |
//! | --- | --- | --- |
//! | release | held | retry, due at once; its retry rule starts anew |
//! | retry now | retry, or waiting for its endpoint | due at once |
//! | skip | held, retry, behind | cancelled; its lane goes on |
//! | dead letter | anything not being sent | dead; its lane goes on |
//! | cancel | anything not being sent, and dead | cancelled |
//! | retry dead | dead | retry, due at once |
//!
//! A dead letter that is tried again takes its old place in its lane: before everything that is not
//! sent yet. What was sent meanwhile overtook it; the act's record says so.

use std::time::Duration;

use thiserror::Error;

use crate::delivery::lanes::Standing;
use crate::delivery::queue::item::{Now, Stage};
use crate::delivery::queue::{Queue, Verdict};
use crate::message::id::Seq;
use crate::message::outcome::Answer;
use crate::store::{Attempt, Change, Exception, ExceptionState};

/// See the module's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// Lets a held delivery go.
    Release,
    /// Tries it now.
    RetryNow,
    /// Does not send it; its lane goes on.
    Skip,
    /// Sets it aside; its lane goes on.
    DeadLetter,
    /// Does not send it.
    Cancel,
}

impl Act {
    const fn outcome(self) -> &'static str {
        match self {
            Self::Release => "released",
            Self::RetryNow => "retried",
            Self::Skip => "skipped",
            Self::DeadLetter => "dead_lettered",
            Self::Cancel => "cancelled",
        }
    }

    /// Whether it may be done to a delivery in this state; `None` is pending.
    const fn suits(self, state: Option<ExceptionState>) -> bool {
        use ExceptionState::{Behind, Held, Retry};
        matches!(
            (self, state),
            (Self::Release, Some(Held))
                | (Self::RetryNow, None | Some(Retry))
                | (Self::Skip, Some(Held | Retry | Behind))
                | (Self::DeadLetter | Self::Cancel, None | Some(Held | Retry | Behind))
        )
    }
}

/// Why an act was not done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ActError {
    /// It is settled, final, or never was for this destination.
    #[error(
        "delivery {0} is not waiting at this destination: it is delivered, set aside, cancelled, or was never for it"
    )]
    NotWaiting(Seq),
    /// It is being sent this moment.
    #[error("delivery {0} is being sent this moment; ask again when the attempt ended")]
    InFlight(Seq),
    /// It is in another state.
    #[error("delivery {seq} is {state}; that cannot be {act}")]
    WrongState {
        /// Which.
        seq: Seq,
        /// Its state.
        state: &'static str,
        /// What was asked for.
        act: &'static str,
    },
}

/// The name of a state, as the API shows it.
#[must_use]
pub const fn state_name(state: ExceptionState) -> &'static str {
    match state {
        ExceptionState::Retry => "retry",
        ExceptionState::Held => "held",
        ExceptionState::Behind => "behind",
        ExceptionState::Dead => "dead",
        ExceptionState::Cancelled => "cancelled",
    }
}

impl Queue {
    /// Does it. `by` and `reason` are recorded with it.
    ///
    /// # Errors
    /// When it does not suit the delivery's state.
    pub fn act(
        &mut self,
        act: Act,
        seq: Seq,
        by: &str,
        reason: &str,
        now: Now,
    ) -> Result<(), ActError> {
        let item = self.items.get(&seq).ok_or(ActError::NotWaiting(seq))?;
        if item.stage == Stage::Flying {
            return Err(ActError::InFlight(seq));
        }
        let state = item.state();
        if !act.suits(state) {
            let state = state.map_or("pending", state_name);
            return Err(ActError::WrongState { seq, state, act: act.outcome() });
        }
        self.record_act(seq, act.outcome(), by, reason, now);
        match act {
            Act::Release => {
                self.forgive(seq, now);
                self.make_due(seq, "released", by, reason, now);
            }
            Act::RetryNow => {
                if state.is_some() {
                    self.make_due(seq, "retried", by, reason, now);
                } else {
                    self.stop_waiting(seq);
                    self.stalled.remove(&seq);
                }
                self.breaker.hurry(now.steady);
                self.consider(seq);
            }
            Act::Skip => self.cancel(seq, "skipped", by, reason, now),
            Act::Cancel => self.cancel(seq, "cancelled", by, reason, now),
            Act::DeadLetter => self.bury(seq, "dead_lettered", words(by, reason), now),
        }
        Ok(())
    }

    /// Tries a dead letter again. `row` is its row as the store has it.
    ///
    /// # Errors
    /// When it waits already, or the row is not dead.
    pub fn retry_dead(
        &mut self,
        row: Exception,
        by: &str,
        reason: &str,
        now: Now,
    ) -> Result<(), ActError> {
        let seq = row.seq;
        if row.state != ExceptionState::Dead || self.items.contains_key(&seq) {
            let state = self
                .items
                .get(&seq)
                .map_or(state_name(row.state), |item| item.state().map_or("pending", state_name));
            return Err(ActError::WrongState { seq, state, act: "retried" });
        }
        self.dead = self.dead.saturating_sub(1);
        let row = Exception { state: ExceptionState::Retry, due: now.wall, ..row };
        let standing = Standing { lane: row.lane, joins: row.joins.clone() };
        self.restore(row, now);
        self.forgive(seq, now);
        self.record_act(seq, "retried", by, reason, now);
        self.make_due(seq, "retried", by, reason, now);
        self.shelve(seq, &standing, now);
        self.consider(seq);
        Ok(())
    }

    /// Cancels what is not in memory: `dead` is a dead letter's row, otherwise the delivery stands in
    /// the log beyond what was read and `planned` is where it will stand.
    ///
    /// # Errors
    /// When it waits in memory after all, or is neither dead nor planned.
    pub fn cancel_outside(
        &mut self,
        seq: Seq,
        dead: Option<Exception>,
        planned: Option<Standing>,
        (by, reason): (&str, &str),
        now: Now,
    ) -> Result<(), ActError> {
        if self.items.contains_key(&seq) {
            return Err(ActError::InFlight(seq));
        }
        let is_planned = planned.is_some();
        let row = match (dead, planned) {
            (Some(row), _) if row.state == ExceptionState::Dead => {
                self.dead = self.dead.saturating_sub(1);
                row
            }
            (None, Some(standing)) if seq > self.cursor.read_to() => {
                self.unseen(seq, standing, now)
            }
            _ => return Err(ActError::NotWaiting(seq)),
        };
        let known = seq > self.cursor.read_to() && !self.skip.insert(seq);
        if known && row.attempts == 0 && is_planned {
            return Err(ActError::NotWaiting(seq));
        }
        let number = row.attempts + 1;
        self.push_act(seq, number, "cancelled", by, reason, now);
        self.outbox.push(Change::Except(Exception {
            state: ExceptionState::Cancelled,
            due: now.wall,
            cause: "cancelled".into(),
            answer: words(by, reason),
            ..row
        }));
        self.cursor.touch(seq);
        Ok(())
    }

    fn unseen(&self, seq: Seq, standing: Standing, now: Now) -> Exception {
        let Standing { lane, joins } = standing;
        Exception {
            destination: self.id,
            seq,
            lane,
            joins,
            state: ExceptionState::Cancelled,
            attempts: 0,
            since: now.wall,
            due: now.wall,
            cause: "cancelled".into(),
            answer: Answer::default(),
        }
    }

    fn forgive(&mut self, seq: Seq, now: Now) {
        if let Some(item) = self.items.get_mut(&seq) {
            item.forgiven = item.attempts;
            item.since = Some(now);
            item.panics = 0;
            item.stalled_at = None;
        }
    }

    fn make_due(&mut self, seq: Seq, cause: &str, by: &str, reason: &str, now: Now) {
        self.stop_waiting(seq);
        self.stalled.remove(&seq);
        let loading = self.items.get(&seq).is_some_and(|item| item.stage == Stage::Loading);
        if let Some(item) = self.items.get_mut(&seq)
            && item.stage == Stage::Ready
        {
            // Its bytes are given up below; it is read back at once.
            item.stage = Stage::Idle;
        }
        let verdict = Verdict {
            state: ExceptionState::Retry,
            cause: cause.into(),
            answer: words(by, reason),
            due: now.wall,
        };
        self.set_row(seq, &verdict, now);
        if !loading {
            self.consider(seq);
        }
    }

    fn cancel(&mut self, seq: Seq, cause: &str, by: &str, reason: &str, now: Now) {
        let verdict = Verdict {
            state: ExceptionState::Cancelled,
            cause: cause.into(),
            answer: words(by, reason),
            due: now.wall,
        };
        self.push_row(seq, &verdict, now);
        self.remove(seq, now);
    }

    fn record_act(&mut self, seq: Seq, outcome: &str, by: &str, reason: &str, now: Now) {
        let Some(item) = self.items.get_mut(&seq) else { return };
        // An act has a number of its own among the attempts, and uses none of the retry rule's.
        item.attempts = item.attempts.saturating_add(1);
        item.forgiven = item.forgiven.saturating_add(1);
        let number = item.attempts;
        self.push_act(seq, number, outcome, by, reason, now);
    }

    fn push_act(&mut self, seq: Seq, number: u32, outcome: &str, by: &str, reason: &str, now: Now) {
        self.outbox.push(Change::Attempt(Attempt {
            destination: self.id,
            seq,
            number,
            at: now.wall,
            duration: Duration::ZERO,
            outcome: outcome.into(),
            answer: words(by, reason),
            sent_hash: 0,
        }));
    }
}

fn words(by: &str, reason: &str) -> Answer {
    Answer::new("operator", &format!("{by}: {reason}"))
}
