//! What an attempt's end means for the delivery, its lane and the destination.

use std::time::Duration;

use crate::delivery::policy::Reaction;
use crate::delivery::queue::item::{Conclusion, Now, Stage};
use crate::delivery::queue::{Queue, Verdict};
use crate::delivery::retry::{Exhausted, Failure, Next, seed};
use crate::message::id::Seq;
use crate::message::outcome::{Answer, Outcome, Scope};
use crate::message::time::Timestamp;
use crate::message::verdict::RenderProblem;
use crate::store::{Attempt, Change, ExceptionState, Pause, Settled};

/// An item that panicked this often is held.
const PANICS_MAX: u8 = 2;

/// What is recorded of an attempt besides its outcome.
#[derive(Debug, Clone, Copy)]
struct Evidence {
    began: Timestamp,
    duration: Duration,
    sent_hash: u64,
}

impl Queue {
    /// A claim ended.
    pub fn conclude(&mut self, seq: Seq, conclusion: Conclusion, now: Now) {
        let Some(item) = self.items.get_mut(&seq) else { return };
        if item.stage != Stage::Flying {
            return;
        }
        item.stage = Stage::Idle;
        let standing = item.standing.clone();
        let started = item.started;
        let aboard = self.disembark(seq);
        if started {
            self.suspects.ended();
        }
        self.flying = self.flying.saturating_sub(1);
        self.lanes.land(seq, &standing);
        let probe = self.probe == Some(seq);
        if probe {
            self.probe = None;
        }
        match conclusion {
            Conclusion::Sent { outcome, began, duration, sent_hash } => {
                let evidence = Evidence { began, duration, sent_hash };
                self.sent(seq, probe, outcome, (evidence, &aboard), now);
            }
            other => {
                if probe {
                    self.breaker.unprobe(now.steady);
                }
                self.not_sent(seq, other, now);
            }
        }
        self.consider(seq);
        self.advance(&standing);
    }

    fn not_sent(&mut self, seq: Seq, conclusion: Conclusion, now: Now) {
        let nothing = Evidence { began: now.wall, duration: Duration::ZERO, sent_hash: 0 };
        match conclusion {
            Conclusion::RenderHeld(problem) => {
                let answer = words(&problem);
                self.count_attempt(seq);
                self.attempt(seq, "render", &answer, nothing);
                self.hold(seq, "render", answer, now);
            }
            Conclusion::RenderFailed(problem) => {
                let answer = words(&problem);
                self.count_attempt(seq);
                self.attempt(seq, "render", &answer, nothing);
                self.bury(seq, "render", answer, now);
            }
            Conclusion::Panicked => self.panicked(seq, nothing, now),
            Conclusion::Stopped | Conclusion::Sent { .. } => {
                if self.items.get(&seq).is_some_and(|item| item.started) {
                    self.count_attempt(seq);
                    let answer = Answer::new("stopped", "the engine stopped before it was sent");
                    self.attempt(seq, "stopped", &answer, nothing);
                }
            }
        }
    }

    fn panicked(&mut self, seq: Seq, evidence: Evidence, now: Now) {
        self.count_attempt(seq);
        let answer = Answer::new("panic", "rendering or sending it crashed");
        self.attempt(seq, "poison", &answer, evidence);
        let Some(item) = self.items.get_mut(&seq) else { return };
        item.panics = item.panics.saturating_add(1);
        if item.panics >= PANICS_MAX {
            self.hold(seq, "poison", answer, now);
        } else {
            let wait = self.options.retry.wait(1, None, seed(seq, 1));
            self.retry(seq, "poison", answer, wait, now);
        }
    }

    fn sent(
        &mut self,
        seq: Seq,
        probe: bool,
        outcome: Outcome,
        (evidence, aboard): (Evidence, &[Seq]),
        now: Now,
    ) {
        self.count_attempt(seq);
        let reaction = self.options.policy.reaction(&outcome);
        let answered_before = self.breaker.answers();
        self.tell_breaker(seq, probe, &outcome, now);
        if reaction == Reaction::Accept {
            for follower in aboard {
                self.count_attempt(*follower);
                self.delivered += 1;
                self.settle(*follower, outcome.clone(), evidence, now);
            }
            self.delivered += 1;
            self.settle(seq, outcome, evidence, now);
            return;
        }
        self.last_error = Some(format!("{} ({})", outcome.name(), outcome.answer().code).into());
        self.attempt(seq, outcome.name(), outcome.answer(), evidence);
        match reaction {
            Reaction::Accept => {}
            Reaction::Retry if self.is_stall(seq, &outcome, answered_before) => {
                self.stall(seq, &outcome, now);
            }
            Reaction::Retry => self.retry_or_end(seq, outcome, now),
            Reaction::HoldLane => {
                let (name, answer) = parts(outcome);
                self.hold(seq, name, answer, now);
            }
            Reaction::DeadLetter => {
                let (name, answer) = parts(outcome);
                self.bury(seq, name, answer, now);
            }
            Reaction::Pause => {
                let code = &outcome.answer().code;
                self.paused = Some(Pause {
                    by: "policy".to_owned(),
                    reason: format!("the receiver answered {code}"),
                    at: now.wall,
                });
                self.pause_unsaved = true;
            }
        }
    }

    /// An answer closes the breaker, silence counts.
    fn tell_breaker(&mut self, seq: Seq, probe: bool, outcome: &Outcome, now: Now) {
        let wish = match outcome {
            Outcome::Accepted(_)
            | Outcome::Rejected(_)
            | Outcome::Failed { scope: Scope::Message, .. } => {
                if self.breaker.answered() {
                    self.probe = None;
                    self.wake_stalled();
                }
                return;
            }
            Outcome::Failed { retry_after, .. } => *retry_after,
            Outcome::Uncertain(_) => None,
        };
        let seed = seed(seq, 0);
        if self.breaker.failed(probe, now.steady, &self.options.retry, wish, seed) {
            self.wake_stalled();
        }
    }

    /// Whether this failure speaks of the endpoint alone. When others got through since this one
    /// failed the same way last, it is this message's affair after all.
    fn is_stall(&self, seq: Seq, outcome: &Outcome, answers: u64) -> bool {
        let endpoint = matches!(outcome, Outcome::Failed { scope: Scope::Endpoint, .. });
        endpoint
            && self
                .items
                .get(&seq)
                .is_some_and(|item| item.stalled_at.is_none_or(|before| before == answers))
    }

    /// It stays where it is and goes on when the endpoint does. Does not use up its attempts.
    fn stall(&mut self, seq: Seq, outcome: &Outcome, now: Now) {
        let answers = self.breaker.answers();
        let Some(item) = self.items.get_mut(&seq) else { return };
        item.stalled_at = Some(answers);
        item.forgiven += 1;
        let attempts = item.attempts;
        if self.breaker.is_closed() {
            let Outcome::Failed { retry_after, .. } = outcome else { return };
            let wait = self.options.retry.wait(attempts, *retry_after, seed(seq, attempts));
            self.wait(seq, now.steady.after(wait));
            self.stalled.insert(seq);
        }
    }

    fn retry_or_end(&mut self, seq: Seq, outcome: Outcome, now: Now) {
        let retry_after = match &outcome {
            Outcome::Failed { retry_after, .. } => *retry_after,
            _ => None,
        };
        let (name, answer) = parts(outcome);
        let Some(item) = self.items.get_mut(&seq) else { return };
        let attempts = item.attempts.saturating_sub(item.forgiven);
        if attempts <= 1 {
            item.since = Some(now);
        }
        let since = item.since.unwrap_or(now).steady;
        let failure = Failure {
            attempts,
            age: now.steady.since(since),
            retry_after,
            seed: seed(seq, item.attempts),
        };
        match (self.options.retry.after(failure, now.steady), self.options.retry.then) {
            (Next::At(at), _) => self.retry(seq, name, answer, at.since(now.steady), now),
            (Next::GiveUp, Exhausted::DeadLetter) => self.bury(seq, "exhausted", answer, now),
            (Next::GiveUp, Exhausted::Hold) => self.hold(seq, "exhausted", answer, now),
        }
    }

    fn settle(&mut self, seq: Seq, outcome: Outcome, evidence: Evidence, now: Now) {
        let attempts = self.items.get(&seq).map_or(1, |item| item.attempts);
        let (_, answer) = parts(outcome);
        self.outbox.push(Change::Settle(Settled {
            destination: self.id,
            seq,
            at: now.wall,
            attempts,
            duration: evidence.duration,
            answer,
            sent_hash: evidence.sent_hash,
        }));
        self.remove(seq, now);
    }

    fn retry(&mut self, seq: Seq, cause: &str, answer: Answer, wait: Duration, now: Now) {
        let verdict = Verdict {
            state: ExceptionState::Retry,
            cause: cause.into(),
            answer,
            due: now.wall.after(wait),
        };
        self.set_row(seq, &verdict, now);
        self.wait(seq, now.steady.after(wait));
    }

    pub(super) fn hold(&mut self, seq: Seq, cause: &str, answer: Answer, now: Now) {
        let state = ExceptionState::Held;
        let verdict = Verdict { state, cause: cause.into(), answer, due: now.wall };
        self.set_row(seq, &verdict, now);
    }

    /// Makes it a dead letter; its lane goes on.
    pub(super) fn bury(&mut self, seq: Seq, cause: &str, answer: Answer, now: Now) {
        let state = ExceptionState::Dead;
        let verdict = Verdict { state, cause: cause.into(), answer, due: now.wall };
        self.push_row(seq, &verdict, now);
        self.dead += 1;
        self.remove(seq, now);
    }

    /// Its bytes are not in the store any more.
    pub(super) fn lost(&mut self, seq: Seq, now: Now) {
        let answer = Answer::new("gone", "its bytes are not in the store any more");
        self.bury(seq, "missing", answer, now);
    }

    fn count_attempt(&mut self, seq: Seq) {
        if let Some(item) = self.items.get_mut(&seq) {
            item.attempts = item.attempts.saturating_add(1);
            item.started = false;
        }
    }

    fn attempt(&mut self, seq: Seq, outcome: &str, answer: &Answer, evidence: Evidence) {
        let number = self.items.get(&seq).map_or(1, |item| item.attempts);
        self.outbox.push(Change::Attempt(Attempt {
            destination: self.id,
            seq,
            number,
            at: evidence.began,
            duration: evidence.duration,
            outcome: outcome.into(),
            answer: answer.clone(),
            sent_hash: evidence.sent_hash,
        }));
    }
}

fn parts(outcome: Outcome) -> (&'static str, Answer) {
    let name = outcome.name();
    match outcome {
        Outcome::Accepted(answer)
        | Outcome::Rejected(answer)
        | Outcome::Uncertain(answer)
        | Outcome::Failed { answer, .. } => (name, answer),
    }
}

fn words(problem: &RenderProblem) -> Answer {
    if problem.detail.is_empty() {
        return Answer::new(problem.cause, &problem.text);
    }
    Answer::new(problem.cause, &format!("{}: {}", problem.text, problem.detail))
}
