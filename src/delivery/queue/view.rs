//! What a destination's deliveries look like to people: counts, words, never content.

use std::time::Duration;

use crate::delivery::queue::Queue;
use crate::delivery::queue::item::{Item, Now, Stage};
use crate::message::id::Seq;
use crate::message::plan::Lane;
use crate::message::time::Timestamp;
use crate::store::{ExceptionState, Pause};

/// Where one destination's deliveries stand.
#[derive(Debug, Clone, Default)]
pub struct RunnerStatus {
    /// On the straight path and not being sent: in memory or still in the log.
    pub pending: u64,
    /// Being sent.
    pub in_flight: u64,
    /// Wait for their next attempt.
    pub retry: u64,
    /// Wait for a person.
    pub held: u64,
    /// Wait in their lane behind one of the two above.
    pub behind: u64,
    /// Dead letters.
    pub dead: u64,
    /// Delivered since the start.
    pub delivered: u64,
    /// How long the oldest that is pending, being sent or in retry has waited.
    pub oldest: Option<Duration>,
    /// The circuit breaker in words.
    pub breaker: String,
    /// The last failure: outcome and answer code.
    pub last_error: Option<String>,
    /// Why nothing is sent although there is something, in words.
    pub stalled: Option<String>,
    /// No channel has it any more: nothing is sent until one has it again.
    pub removed: bool,
    /// Set by an operator, or by the acknowledgement policy.
    pub paused: Option<Pause>,
    /// It reads the log because it is behind the fresh messages, as always after a start; `pending`
    /// is an estimate as long as this is set.
    pub lagging: bool,
    /// When something is tried again, if nothing else happens.
    pub next_attempt: Option<Timestamp>,
}

/// A lane that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedLane {
    /// Which.
    pub lane: Lane,
    /// The delivery that blocks it.
    pub head: Seq,
    /// `Retry` or `Held`.
    pub state: ExceptionState,
    /// Why.
    pub cause: Box<str>,
    /// Since when.
    pub since: Timestamp,
    /// How many known deliveries wait behind it; in a strict destination more may stand in the log.
    pub behind: u64,
}

impl RunnerStatus {
    /// Deliveries that are neither delivered nor final.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.pending
            .saturating_add(self.in_flight)
            .saturating_add(self.retry)
            .saturating_add(self.held)
            .saturating_add(self.behind)
    }
}

impl Queue {
    /// Where everything stands. `unread` is the estimate of what is still in the log.
    #[must_use]
    pub fn view(&self, unread: u64, now: Now) -> RunnerStatus {
        let flying = |item: &&Item| item.stage == Stage::Flying;
        let flying_rows = |state| {
            let rows = self.items.values().filter(flying);
            count(rows.filter(|item| item.state() == Some(state)).count())
        };
        let off_path = self.items.values().filter(flying).filter(|item| item.row.is_some()).count();
        let on_path = u64::from(self.flying).saturating_sub(count(off_path));
        let wait = [self.timers.first().map(|(at, _)| *at), self.gate_until(now)];
        RunnerStatus {
            pending: count(self.window).saturating_sub(on_path) + unread,
            in_flight: u64::from(self.flying),
            retry: count(self.rows.retry).saturating_sub(flying_rows(ExceptionState::Retry)),
            held: count(self.rows.held),
            behind: count(self.rows.behind).saturating_sub(flying_rows(ExceptionState::Behind)),
            dead: self.dead,
            delivered: self.delivered,
            oldest: self.oldest(now),
            breaker: self.breaker.words(),
            last_error: self.last_error.as_deref().map(str::to_owned),
            stalled: self.stalled_words(now),
            removed: self.removed,
            paused: self.paused.clone(),
            lagging: unread > 0,
            next_attempt: wait
                .into_iter()
                .flatten()
                .min()
                .map(|at| now.wall.after(at.since(now.steady))),
        }
    }

    fn gate_until(&self, now: Now) -> Option<Timestamp> {
        match self.breaker.gate(now.steady) {
            crate::delivery::breaker::Gate::Until(at) => Some(at),
            _ => None,
        }
    }

    fn oldest(&self, now: Now) -> Option<Duration> {
        let first = self.cursor.first_open().and_then(|seq| self.items.get(&seq));
        let pending = first.and_then(|item| item.body.as_ref());
        let pending = pending.map(|body| body.envelope.received_at);
        let retry = self
            .items
            .values()
            .filter(|item| item.state() == Some(ExceptionState::Retry))
            .filter_map(|item| item.since.map(|since| since.wall))
            .min();
        pending.into_iter().chain(retry).min().map(|since| now.wall.since(since))
    }

    fn stalled_words(&self, now: Now) -> Option<String> {
        if let Some(error) = &self.store_error {
            return Some(format!("outcomes are not recorded: {error}"));
        }
        if let Some(error) = &self.read_error {
            return Some(format!("its messages cannot be read from the store: {error}"));
        }
        if self.unrecorded() >= self.options.unrecorded_max {
            return Some(format!("{} outcomes wait for the disk", self.unrecorded()));
        }
        if self.removed {
            return Some(
                "no channel has this destination any more; skip or cancel what waits, or configure it again".to_owned(),
            );
        }
        if let Some(pause) = &self.paused {
            return Some(format!("paused by {}: {}", pause.by, pause.reason));
        }
        if !self.has_room() {
            return Some(format!(
                "{} deliveries are in retry or held (limit {}) and {} behind them (limit {}); nothing more is taken from the log until some are cleared",
                self.rows.heads(),
                self.options.exceptions_max,
                self.rows.behind,
                self.options.behind_max
            ));
        }
        if let Some(left) = self.before_fence() {
            return Some(format!(
                "its order was changed: {left} deliveries from before go first, what came after waits in the log"
            ));
        }
        if self.breaker.gate(now.steady) != crate::delivery::breaker::Gate::Free {
            return Some(format!("circuit breaker {}", self.breaker.words()));
        }
        None
    }

    /// The lanes that wait, longest first.
    #[must_use]
    pub fn blocked_lanes(&self, limit: usize) -> Vec<BlockedLane> {
        let mut lanes: Vec<_> = self
            .lanes
            .with_rows()
            .filter_map(|(lane, head, known)| {
                let item = self.items.get(&head)?;
                let row = item.row.as_ref()?;
                let waits = matches!(row.state, ExceptionState::Retry | ExceptionState::Held)
                    && item.stage != Stage::Flying;
                waits.then(|| BlockedLane {
                    lane,
                    head,
                    state: row.state,
                    cause: row.cause.clone(),
                    since: item.since.map(|since| since.wall).unwrap_or_default(),
                    behind: count(known.saturating_sub(1)),
                })
            })
            .collect();
        lanes.sort_by_key(|lane| (lane.since, lane.head));
        lanes.truncate(limit);
        lanes
    }

    /// An operator's stop, or its end; the store knows it.
    pub fn set_paused(&mut self, pause: Option<Pause>) {
        self.paused = pause;
        self.pause_unsaved = false;
    }

    /// Why messages cannot be read from the store, or that they can again.
    pub fn set_read_error(&mut self, error: Option<&str>) {
        self.read_error = error.map(Into::into);
    }

    /// Why the store does not take outcomes, or that it does again.
    pub fn set_store_error(&mut self, error: Option<&str>) {
        self.store_error = error.map(Into::into);
    }

    /// How long a stop waits for what is being sent.
    #[must_use]
    pub const fn drain(&self) -> Duration {
        self.options.drain
    }

    /// How many bytes may wait between the log and the window.
    #[must_use]
    pub const fn feed_bytes_max(&self) -> usize {
        self.options.window_bytes
    }
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}
