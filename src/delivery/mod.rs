//! One runner per destination: lanes, retry, breaker, limits, holds.
//!
//! - A failing delivery stops its lane and no other; a destination that nobody gets through to stops
//!   alone. Memory is bounded; the backlog stays in the log.
//! - A delivery is repeated with the same id until it is accepted or a declared rule, or a person,
//!   sets it aside. Nothing is dropped.
//! - What was sent and not yet recorded when the process dies is sent again.
//!
//! [`queue::Queue`] decides and does nothing; `runner` does what it says; [`Deliveries`] is the door.

pub mod breaker;
pub mod cursor;
mod dispatch;
pub mod lanes;
pub mod limit;
pub mod marker;
pub mod meters;
mod numbers;
pub mod options;
pub mod pace;
pub mod policy;
pub mod queue;
mod removed;
pub mod render;
pub mod retry;
mod runner;
mod shared;
mod supervise;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::clock::Clock;
use crate::delivery::dispatch::Dispatch;
use crate::delivery::lanes::Standing;
use crate::delivery::marker::Marker;
use crate::delivery::meters::DestinationName;
use crate::delivery::options::DeliveryOptions;
use crate::delivery::pace::Pace;
use crate::delivery::queue::{Act, ActError, BlockedLane, Queue, Restored, RunnerStatus};
use crate::delivery::removed::Removed;
use crate::delivery::render::Render;
use crate::delivery::shared::Shared;
use crate::delivery::supervise::Supervisor;
use crate::destination::Destination;
use crate::message::id::{DestinationId, Seq};
use crate::store::{Exception, ExceptionQuery, ExceptionState, Pause, Store, StoreError};

/// How long a command waits until its record is durable.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// Rows read at once.
const PAGE: u32 = 1000;

/// Why a command was not done, or not confirmed.
#[derive(Debug, Error)]
pub enum CommandError {
    /// No such destination runs.
    #[error("destination {0} is not running; see the list of destinations")]
    NotRunning(DestinationId),
    /// It runs already.
    #[error("destination {0} is running already; replace it or stop it first")]
    Running(DestinationId),
    /// Every act needs a name and a reason.
    #[error("say who asks and why: both are recorded with the act")]
    NoReason,
    /// It does not suit the delivery.
    #[error(transparent)]
    Act(#[from] ActError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was done in memory; the store has not confirmed it in time.
    #[error(
        "done, but not recorded yet: the store does not take writes; it will be recorded when it does"
    )]
    Unrecorded,
    /// The destination stopped meanwhile.
    #[error("destination {0} stopped before the act was recorded; ask again when it runs")]
    Stopped(DestinationId),
}

struct Inner {
    store: Arc<dyn Store>,
    render: Arc<dyn Render>,
    marker: Arc<Marker>,
    clock: Clock,
    tracker: TaskTracker,
    stop: CancellationToken,
    dispatch: Arc<Dispatch>,
    running: Mutex<BTreeMap<DestinationId, Arc<Shared>>>,
    /// The end of the log when the process began: nothing after it was in work when the one before ended.
    born: Seq,
    /// Acts on what is not in memory go one at a time.
    outside: tokio::sync::Mutex<()>,
}

/// A destination as the store says it stood, not started yet.
pub struct Prepared(Arc<Shared>);

impl Prepared {
    /// See [`Deliveries::fence`].
    pub fn fence(&self, at: Seq) {
        self.0.queue().set_fence(at);
    }

    /// Which destination.
    #[must_use]
    pub fn id(&self) -> DestinationId {
        self.0.id
    }
}

/// All destinations' deliveries. Cheap to clone.
#[derive(Clone)]
pub struct Deliveries {
    inner: Arc<Inner>,
}

impl Deliveries {
    /// Starts handing out committed messages; destinations are added by [`Self::start`]. Everything
    /// ends on `stop`; `tracker` then waits for it.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        render: Arc<dyn Render>,
        marker: Arc<Marker>,
        clock: Clock,
        tracker: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let dispatch = Arc::new(Dispatch::default());
        tracker.spawn(Arc::clone(&dispatch).run(store.committed(), stop.clone()));
        let running = Mutex::new(BTreeMap::new());
        let outside = tokio::sync::Mutex::new(());
        let born = store.status().head;
        Self {
            inner: Arc::new(Inner {
                store,
                render,
                marker,
                clock,
                tracker,
                stop,
                dispatch,
                running,
                born,
                outside,
            }),
        }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<DestinationId, Arc<Shared>>> {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared(&self, id: DestinationId) -> Result<Arc<Shared>, CommandError> {
        self.running().get(&id).cloned().ok_or(CommandError::NotRunning(id))
    }

    /// Starts delivering to a destination where the store says it stood.
    ///
    /// # Errors
    /// When it runs already, or the store cannot be read.
    pub async fn start(
        &self,
        id: DestinationId,
        name: DestinationName,
        destination: Arc<dyn Destination>,
        options: DeliveryOptions,
    ) -> Result<(), CommandError> {
        if self.running().contains_key(&id) {
            return Err(CommandError::Running(id));
        }
        let prepared = self.prepare(id, name, destination, options).await?;
        if self.launch(prepared) { Ok(()) } else { Err(CommandError::Running(id)) }
    }

    /// Watches over what waits at a destination that no channel has any more. Nothing is sent.
    ///
    /// # Errors
    /// When it runs already, or the store cannot be read.
    pub async fn start_removed(
        &self,
        id: DestinationId,
        name: DestinationName,
    ) -> Result<(), CommandError> {
        if self.running().contains_key(&id) {
            return Err(CommandError::Running(id));
        }
        let options = DeliveryOptions::default();
        let prepared = self.prepare(id, name, Arc::new(Removed), options).await?;
        prepared.0.queue().retire();
        if self.launch(prepared) { Ok(()) } else { Err(CommandError::Running(id)) }
    }

    /// Sends nothing more to a destination that no channel has any more. What is being sent ends by itself;
    /// what waits stays, is counted, and can be acted on. [`Self::replace`] lets it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn retire(&self, id: DestinationId) -> Result<(), CommandError> {
        let shared = self.shared(id)?;
        shared.queue().retire();
        shared.set_destination(Arc::new(Removed));
        shared.wake.notify_one();
        Ok(())
    }

    /// Nothing that a destination is to be sent after this place in the log goes before all up to it is
    /// through.
    ///
    /// # Errors
    /// When it does not run.
    pub fn fence(&self, id: DestinationId, at: Seq) -> Result<(), CommandError> {
        let shared = self.shared(id)?;
        shared.queue().set_fence(at);
        shared.wake.notify_one();
        Ok(())
    }

    /// Reads where a destination stands, so that nothing can go wrong when it is launched.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn prepare(
        &self,
        id: DestinationId,
        name: DestinationName,
        destination: Arc<dyn Destination>,
        options: DeliveryOptions,
    ) -> Result<Prepared, CommandError> {
        let store = &self.inner.store;
        let restored = Restored { head: self.inner.born, ..restore(store.as_ref(), id).await? };
        let pace = Pace::new(self.inner.clock.clone());
        let queue = Queue::new(id, options, restored, pace.now());
        let stop = self.inner.stop.child_token();
        Ok(Prepared(Arc::new(Shared::new(id, name, queue, destination, pace, stop))))
    }

    /// Starts delivering to a destination that is prepared. `false` when it runs already: nothing is started
    /// then.
    pub fn launch(&self, prepared: Prepared) -> bool {
        let Prepared(shared) = prepared;
        {
            let mut running = self.running();
            if running.contains_key(&shared.id) {
                return false;
            }
            running.insert(shared.id, Arc::clone(&shared));
        }
        let supervisor = Supervisor {
            shared,
            store: Arc::clone(&self.inner.store),
            render: Arc::clone(&self.inner.render),
            marker: Arc::clone(&self.inner.marker),
            dispatch: Arc::clone(&self.inner.dispatch),
        };
        let first = supervisor.runner();
        self.inner.tracker.spawn(supervisor.run(first));
        true
    }

    /// Another transport or other options, from the next send on. Lanes, waits and holds stay.
    ///
    /// # Errors
    /// When it does not run.
    pub fn replace(
        &self,
        id: DestinationId,
        destination: Arc<dyn Destination>,
        options: DeliveryOptions,
    ) -> Result<(), CommandError> {
        let shared = self.shared(id)?;
        shared.set_destination(destination);
        shared.queue().replace(options, shared.pace.now());
        shared.wake.notify_one();
        Ok(())
    }

    /// Stops one destination: lets end what is being sent, records it, forgets the rest.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn stop(&self, id: DestinationId) -> Result<(), CommandError> {
        let shared = self.shared(id)?;
        self.inner.dispatch.remove(id);
        shared.stop.cancel();
        shared.ended.cancelled().await;
        self.running().remove(&id);
        Ok(())
    }

    /// Looks at the clock again: after a manual clock was set.
    pub fn clock_moved(&self) {
        for shared in self.running().values() {
            shared.wake.notify_one();
        }
    }

    /// Where one destination stands.
    ///
    /// # Errors
    /// When it does not run.
    pub fn status(&self, id: DestinationId) -> Result<RunnerStatus, CommandError> {
        Ok(self.shared(id)?.view())
    }

    /// Where every destination stands.
    #[must_use]
    pub fn statuses(&self) -> Vec<(DestinationId, DestinationName, RunnerStatus)> {
        let running: Vec<_> = self.running().values().cloned().collect();
        running.iter().map(|shared| (shared.id, shared.name.clone(), shared.view())).collect()
    }

    /// The lanes of a destination that wait, longest first, at most `limit`.
    ///
    /// # Errors
    /// When it does not run.
    pub fn blocked_lanes(
        &self,
        id: DestinationId,
        limit: usize,
    ) -> Result<Vec<BlockedLane>, CommandError> {
        Ok(self.shared(id)?.queue().blocked_lanes(limit))
    }

    /// Stops sending to a destination until it is resumed, also over restarts.
    ///
    /// # Errors
    /// When it does not run, or the store fails.
    pub async fn pause(
        &self,
        id: DestinationId,
        by: &str,
        reason: &str,
    ) -> Result<(), CommandError> {
        let shared = self.shared(id)?;
        if by.is_empty() || reason.is_empty() {
            return Err(CommandError::NoReason);
        }
        let at = shared.pace.now().wall;
        let pause = Pause { by: by.to_owned(), reason: reason.to_owned(), at };
        self.inner.store.set_paused(id, Some(pause.clone())).await?;
        shared.queue().set_paused(Some(pause));
        info!(destination = %shared.name, by, "delivery paused");
        Ok(())
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// When it does not run, or the store fails.
    pub async fn resume(
        &self,
        id: DestinationId,
        by: &str,
        reason: &str,
    ) -> Result<(), CommandError> {
        let shared = self.shared(id)?;
        if by.is_empty() || reason.is_empty() {
            return Err(CommandError::NoReason);
        }
        self.inner.store.set_paused(id, None).await?;
        shared.queue().set_paused(None);
        shared.wake.notify_one();
        info!(destination = %shared.name, by, "delivery resumed");
        Ok(())
    }

    /// Does an act on a delivery that waits; returns when it is recorded.
    ///
    /// # Errors
    /// When it does not suit the delivery's state, or is not recorded in time.
    pub async fn act(
        &self,
        id: DestinationId,
        act: Act,
        seq: Seq,
        by: &str,
        reason: &str,
    ) -> Result<(), CommandError> {
        let shared = self.shared(id)?;
        if by.is_empty() || reason.is_empty() {
            return Err(CommandError::NoReason);
        }
        let now = shared.pace.now();
        let done = {
            let mut queue = shared.queue();
            queue.act(act, seq, by, reason, now).map(|()| shared.when_recorded(queue.mark()))
        };
        match done {
            Ok(done) => confirmed(id, done).await,
            Err(ActError::NotWaiting(_)) if act == Act::Cancel => {
                self.cancel_outside(&shared, seq, by, reason).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Tries a dead letter again, at its old place in its lane: before everything not sent yet.
    ///
    /// # Errors
    /// When it is no dead letter, or as [`Self::act`].
    pub async fn retry_dead(
        &self,
        id: DestinationId,
        seq: Seq,
        by: &str,
        reason: &str,
    ) -> Result<(), CommandError> {
        let shared = self.shared(id)?;
        if by.is_empty() || reason.is_empty() {
            return Err(CommandError::NoReason);
        }
        let _alone = self.inner.outside.lock().await;
        flushed(&shared).await?;
        let row = self.row(id, seq).await?.ok_or(ActError::NotWaiting(seq))?;
        let now = shared.pace.now();
        let done = {
            let mut queue = shared.queue();
            queue.retry_dead(row, by, reason, now)?;
            shared.when_recorded(queue.mark())
        };
        confirmed(id, done).await
    }

    async fn cancel_outside(
        &self,
        shared: &Shared,
        seq: Seq,
        by: &str,
        reason: &str,
    ) -> Result<(), CommandError> {
        let id = shared.id;
        let _alone = self.inner.outside.lock().await;
        flushed(shared).await?;
        let row = self.row(id, seq).await?;
        let stored = self.inner.store.messages(&[seq]).await?;
        let planned = stored.first().and_then(|message| message.plan.entry(id));
        let planned = planned.and_then(|entry| Standing::of(&entry.disposition));
        let now = shared.pace.now();
        let done = {
            let mut queue = shared.queue();
            queue.cancel_outside(seq, row, planned, (by, reason), now)?;
            shared.when_recorded(queue.mark())
        };
        confirmed(id, done).await
    }

    async fn row(&self, id: DestinationId, seq: Seq) -> Result<Option<Exception>, StoreError> {
        let query = ExceptionQuery {
            destination: Some(id),
            after: Some((id, Seq(seq.0 - 1))),
            limit: 1,
            ..ExceptionQuery::default()
        };
        let rows = self.inner.store.exceptions(query).await?;
        Ok(rows.into_iter().find(|row| row.seq == seq))
    }
}

/// Waits until the store has what the queue decided so far, so that its rows can be asked for.
async fn flushed(shared: &Shared) -> Result<(), CommandError> {
    match shared.when_all_recorded() {
        Some(done) => confirmed(shared.id, done).await,
        None => Ok(()),
    }
}

async fn confirmed(id: DestinationId, done: oneshot::Receiver<()>) -> Result<(), CommandError> {
    match tokio::time::timeout(COMMAND_TIMEOUT, done).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(CommandError::Stopped(id)),
        Err(_) => Err(CommandError::Unrecorded),
    }
}

/// What the store knows of a destination: every row that is not final, and how many are dead.
async fn restore(store: &dyn Store, id: DestinationId) -> Result<Restored, StoreError> {
    let head = store.status().head;
    let state = store.destination_state(id).await?;
    let mut restored = Restored { state, head, ..Restored::default() };
    let states =
        [ExceptionState::Retry, ExceptionState::Held, ExceptionState::Behind, ExceptionState::Dead];
    for state in states {
        let mut after = None;
        loop {
            let query = ExceptionQuery {
                destination: Some(id),
                state: Some(state),
                after,
                limit: PAGE,
                ..ExceptionQuery::default()
            };
            let rows = store.exceptions(query).await?;
            after = rows.last().map(|row| (id, row.seq));
            let full = rows.len() == usize::try_from(PAGE).unwrap_or(usize::MAX);
            if state == ExceptionState::Dead {
                restored.dead += u64::try_from(rows.len()).unwrap_or(0);
            } else {
                restored.rows.extend(rows);
            }
            if !full {
                break;
            }
        }
    }
    Ok(restored)
}
