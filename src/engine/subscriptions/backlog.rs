//! What waits for a subscription: its runner is started when something does, and stopped when nothing does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use tracing::warn;

use crate::delivery::CommandError;
use crate::delivery::lanes::Standing;
use crate::delivery::meters::DestinationName;
use crate::delivery::queue::RunnerStatus;
use crate::destination::Destination;
use crate::engine::subscriptions::hand::Hand;
use crate::engine::subscriptions::{Live, PREFIX, Subscriptions, options};
use crate::fhir::subscription::Status;
use crate::message::id::{DestinationId, Seq};
use crate::message::outcome::Answer;
use crate::message::plan::{Joins, Lane};
use crate::store::{
    Change, DestinationState, Exception, ExceptionQuery, ExceptionState, StoreError,
};

/// Rows changed in one transaction.
const PAGE: u32 = 500;
/// Runners started at the same time: what each writes of its start shares one commit with the others.
pub(super) const STARTS_MAX: usize = 64;
/// A runner that had nothing to do for so long is stopped.
const IDLE_MAX: Duration = Duration::from_mins(5);

impl Subscriptions {
    /// Whether something waits: an event beyond the cursor, or a row that is not final.
    async fn waits(&self, destination: DestinationId) -> Result<bool, StoreError> {
        let store = &self.ground.store;
        let state = store.destination_state(destination).await?;
        if !state.blocked.is_empty() {
            return Ok(true);
        }
        let last = store.event_count(destination).await?.last;
        let at = store.events(destination, last, last, 1).await?;
        let done = |seq: &Seq| {
            *seq <= state.settled_to
                || state.settled_above.contains(seq)
                || state.excepted_above.contains(seq)
        };
        Ok(at.first().is_some_and(|(_, seq)| !done(seq)))
    }

    /// Starts the runner of an active subscription, when something waits.
    pub(super) async fn start_if_waiting(&self, live: &Arc<Live>) -> Result<(), StoreError> {
        if live.status() == Status::Active
            && !live.hand.runs()
            && self.waits(live.destination).await?
        {
            self.start(live).await?;
        }
        Ok(())
    }

    /// Starts the runners of all of these that do not run.
    pub(super) async fn start_all(self: &Arc<Self>, all: Vec<Arc<Live>>) -> Result<(), StoreError> {
        let idle = all.into_iter().filter(|live| !live.hand.runs());
        let starts =
            stream::iter(idle).map(|live| async move { self.start_for_event(&live).await });
        starts.buffer_unordered(STARTS_MAX).try_collect().await
    }

    /// Starts the runner where the first event stands that is not settled: what the log holds before was
    /// never for it, and is not read again.
    pub(super) async fn start(&self, live: &Arc<Live>) -> Result<(), StoreError> {
        let Some(deliveries) = self.deliveries.get() else { return Ok(()) };
        if live.hand.running.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.skip_foreign(live.destination).await?;
        let name = DestinationName {
            channel: live.channel.to_string(),
            destination: format!("{PREFIX}{}", live.id),
        };
        let delivery =
            options::delivery(&self.config, live.ordering(self.config.order), live.together());
        let transport: Arc<dyn Destination> = live.subscriber.clone();
        match deliveries.start(live.destination, name, transport, delivery).await {
            Ok(()) | Err(CommandError::Running(_)) => {}
            Err(error) => {
                live.hand.running.store(false, Ordering::Release);
                warn!(subscription = %live.id, %error, "deliveries could not be started, tried again");
                self.wake(&live.id);
                return Ok(());
            }
        }
        let dead = deliveries.status(live.destination).map_or(0, |status| status.dead);
        live.hand.dead.store(dead, Ordering::Release);
        Ok(())
    }

    /// Moves the cursor of a destination that does not run to just before its next event.
    async fn skip_foreign(&self, destination: DestinationId) -> Result<(), StoreError> {
        let store = &self.ground.store;
        let head = store.status().head;
        let state = store.destination_state(destination).await?;
        let last = store.event_count(destination).await?.last;
        let next = self.first_after(destination, state.settled_to, last).await?;
        let target = next.map_or(head, |seq| Seq(seq.0 - 1));
        let touched = touched(&state);
        if target <= state.settled_to || touched.is_some() {
            return Ok(());
        }
        let change = Change::Cursor { destination, settled_to: target, frontier: target };
        store.record(vec![change]).await
    }

    /// The place of the first event after `after`.
    async fn first_after(
        &self,
        destination: DestinationId,
        after: Seq,
        last: u64,
    ) -> Result<Option<Seq>, StoreError> {
        let (mut low, mut high, mut found) = (1_u64, last, None);
        while low <= high && high > 0 {
            let middle = low + (high - low) / 2;
            let event = self.ground.store.events(destination, middle, last, 1).await?;
            match event.first() {
                Some((_, seq)) if *seq > after => {
                    found = Some(*seq);
                    high = middle - 1;
                }
                Some((number, _)) => low = number + 1,
                None => high = middle - 1,
            }
        }
        Ok(found)
    }

    /// Stops the runner; what waits stays in the log.
    pub(super) async fn stop(&self, hand: &Hand) {
        let Some(deliveries) = self.deliveries.get() else { return };
        if hand.running.swap(false, Ordering::AcqRel) {
            match deliveries.stop(hand.destination).await {
                Ok(()) | Err(CommandError::NotRunning(_)) => {}
                Err(error) => warn!(destination = %hand.destination, %error, "deliveries go on"),
            }
        }
    }

    /// Stops a runner that has had nothing to do for a while.
    pub(super) fn stop_if_idle(self: &Arc<Self>, live: &Arc<Live>, status: &RunnerStatus) {
        let last = live.subscriber.health().last_call.load(Ordering::Acquire);
        let quiet = self.ground.clock.now().since(crate::message::time::Timestamp(last));
        let busy = status.pending + status.retry + status.held + status.behind > 0
            || status.in_flight > 0
            || status.paused.is_some();
        if busy || quiet < IDLE_MAX {
            return;
        }
        let (all, hand) = (Arc::clone(self), Arc::clone(&live.hand));
        self.ground.tracker.spawn(async move {
            let turn = hand.turn().await;
            all.stop(&hand).await;
            drop(turn);
            // An event may have been committed while it stopped.
            all.settle(&hand);
        });
    }

    /// Nothing of what waits up to `end` is sent, and that is on record. The runner does not run.
    pub(super) async fn cancel_all(
        &self,
        destination: DestinationId,
        cause: &str,
        end: Seq,
    ) -> Result<u64, StoreError> {
        let store = &self.ground.store;
        let now = self.ground.clock.now();
        let answer = Answer::new(cause.to_owned(), "the subscription ended or was told to skip");
        let row = |seq, lane, joins, attempts| {
            Change::Except(Exception {
                destination,
                seq,
                lane,
                joins,
                state: ExceptionState::Cancelled,
                attempts,
                since: now,
                due: now,
                cause: cause.into(),
                answer: answer.clone(),
            })
        };
        let mut cancelled = 0;
        for state in [ExceptionState::Retry, ExceptionState::Held, ExceptionState::Behind] {
            let mut after = None;
            loop {
                let rows = self.rows(destination, state, after).await?;
                let Some(last) = rows.last() else { break };
                after = Some((destination, last.seq));
                let ended = rows.into_iter().filter(|old| old.seq <= end);
                let changes: Vec<Change> =
                    ended.map(|old| row(old.seq, old.lane, old.joins, old.attempts)).collect();
                cancelled += u64::try_from(changes.len()).unwrap_or(0);
                store.record(changes).await?;
            }
        }
        let head = store.status().head.min(end);
        loop {
            let state = store.destination_state(destination).await?;
            let page = store.read_log(destination, state.settled_to, PAGE, usize::MAX).await?;
            let to = page.read_to.min(head).max(state.settled_to);
            let mut changes = Vec::new();
            for message in page.messages.iter().filter(|message| message.seq <= to) {
                let seq = message.seq;
                if state.settled_above.contains(&seq) || state.excepted_above.contains(&seq) {
                    continue;
                }
                let planned = message.plan.entry(destination);
                let standing = planned.and_then(|entry| Standing::of(&entry.disposition));
                let none = Standing { lane: Lane::NONE, joins: Joins::NONE };
                let Standing { lane, joins } = standing.unwrap_or(none);
                cancelled += 1;
                changes.push(row(seq, lane, joins, 0));
            }
            if to <= state.settled_to {
                return Ok(cancelled);
            }
            let frontier = touched(&state).unwrap_or(to).max(to);
            changes.push(Change::Cursor { destination, settled_to: to, frontier });
            store.record(changes).await?;
        }
    }

    /// After a receiver came back: what waits or is held is tried now, and what was set aside too, at its old
    /// place. The runner is stopped for it, so that nothing later of a lane overtakes what is brought back.
    pub(super) async fn hurry(&self, live: &Arc<Live>) -> Result<(), StoreError> {
        self.stop(&live.hand).await;
        let destination = live.destination;
        // What could not be rendered, or is gone, stays where it is.
        let given_up = |row: &Exception| matches!(&*row.cause, "exhausted" | "rejected");
        self.bring_back(destination, ExceptionState::Dead, &given_up).await?;
        self.bring_back(destination, ExceptionState::Held, &|_| true).await?;
        self.bring_back(destination, ExceptionState::Retry, &|_| true).await?;
        self.start(live).await
    }

    /// What was given up is tried again, but for what killed the process.
    pub(super) async fn unhold(&self, destination: DestinationId) -> Result<(), StoreError> {
        let harmless = |row: &Exception| &*row.cause != "poison";
        self.bring_back(destination, ExceptionState::Held, &harmless).await
    }

    /// A page of the rows of a state, by their places.
    async fn rows(
        &self,
        destination: DestinationId,
        state: ExceptionState,
        after: Option<(DestinationId, Seq)>,
    ) -> Result<Vec<Exception>, StoreError> {
        let query = ExceptionQuery {
            destination: Some(destination),
            state: Some(state),
            after,
            limit: PAGE,
            ..ExceptionQuery::default()
        };
        self.ground.store.exceptions(query).await
    }

    /// Rows of a state are tried now, at their old places. The runner does not run.
    async fn bring_back(
        &self,
        destination: DestinationId,
        state: ExceptionState,
        which: &(dyn Fn(&Exception) -> bool + Sync),
    ) -> Result<(), StoreError> {
        let now = self.ground.clock.now();
        let mut after = None;
        loop {
            let rows = self.rows(destination, state, after).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some((destination, last.seq));
            let back = rows.into_iter().filter(|row| which(row)).map(|row| {
                let state = ExceptionState::Retry;
                Change::Except(Exception { state, attempts: 0, due: now, ..row })
            });
            self.ground.store.record(back.collect()).await?;
        }
    }
}

/// The last place above the cursor that is settled or a row.
fn touched(state: &DestinationState) -> Option<Seq> {
    state.settled_above.last().max(state.excepted_above.last()).copied()
}
