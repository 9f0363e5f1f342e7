//! What a runner, the dispatcher and the facade hold together about one destination.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use crate::delivery::meters::{DestinationName, Meters};
use crate::delivery::pace::Pace;
use crate::delivery::queue::{Queue, Restored, RunnerStatus};
use crate::destination::Destination;
use crate::message::StoredMessage;
use crate::message::id::{DestinationId, Seq};

/// A stretch of the log, fresh from a commit, as one destination sees it.
#[derive(Debug)]
pub(super) struct Feed {
    /// Everything up to here was in earlier feeds.
    pub(super) after: Seq,
    /// This one ends here.
    pub(super) to: Seq,
    pub(super) messages: Vec<Arc<StoredMessage>>,
    pub(super) bytes: usize,
}

/// Somebody who waits until everything up to a mark is recorded.
struct Waiter {
    mark: u64,
    done: oneshot::Sender<()>,
}

/// One destination's shared state. Locks are held for moments, never over an await.
pub(super) struct Shared {
    pub(super) id: DestinationId,
    pub(super) name: DestinationName,
    pub(super) pace: Pace,
    pub(super) meters: Meters,
    queue: Mutex<Queue>,
    destination: Mutex<Arc<dyn Destination>>,
    waiters: Mutex<Vec<Waiter>>,
    /// Something changed: look again.
    pub(super) wake: Notify,
    /// Ends the runner.
    pub(super) stop: CancellationToken,
    /// The runner ended.
    pub(super) ended: CancellationToken,
    /// The runner ended by a fault of its own and does not run again yet.
    crashed: AtomicBool,
    lost_to: AtomicI64,
    unread: AtomicI64,
    pub(super) fed_bytes: AtomicUsize,
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(
        id: DestinationId,
        name: DestinationName,
        queue: Queue,
        destination: Arc<dyn Destination>,
        pace: Pace,
        stop: CancellationToken,
    ) -> Self {
        Self {
            id,
            meters: Meters::new(&name),
            name,
            pace,
            queue: Mutex::new(queue),
            destination: Mutex::new(destination),
            waiters: Mutex::new(Vec::new()),
            wake: Notify::new(),
            stop,
            ended: CancellationToken::new(),
            crashed: AtomicBool::new(false),
            lost_to: AtomicI64::new(0),
            unread: AtomicI64::new(0),
            fed_bytes: AtomicUsize::new(0),
        }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    pub(super) fn destination(&self) -> Arc<dyn Destination> {
        Arc::clone(&lock(&self.destination))
    }

    pub(super) fn set_destination(&self, destination: Arc<dyn Destination>) {
        *lock(&self.destination) = destination;
    }

    /// The feeds up to here did not all arrive: the log is to be read.
    pub(super) fn lose_to(&self, to: Seq) {
        self.lost_to.fetch_max(to.0, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// A stretch of the log that ends at `to` was taken over up to `read_to` only.
    pub(super) fn lose_after(&self, read_to: Seq, to: Seq) {
        if read_to < to {
            self.lose_to(to);
        }
    }

    pub(super) fn lost_to(&self) -> Seq {
        Seq(self.lost_to.load(Ordering::Acquire))
    }

    /// The log has nothing between `read_to` and `lost_to`.
    pub(super) fn nothing_lost(&self, lost_to: Seq, read_to: Seq) {
        // When it was raised meanwhile, it stays raised.
        let _unchanged = self.lost_to.compare_exchange(
            lost_to.0,
            read_to.0,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
    }

    pub(super) fn add_unread(&self, count: i64) {
        self.unread.fetch_add(count, Ordering::AcqRel);
    }

    /// It has caught up with the log: the estimate is exact again.
    pub(super) fn caught_up(&self) {
        self.unread.store(0, Ordering::Release);
    }

    pub(super) fn unread(&self) -> u64 {
        u64::try_from(self.unread.load(Ordering::Acquire)).unwrap_or(0)
    }

    pub(super) fn view(&self) -> RunnerStatus {
        let now = self.pace.now();
        let queue = self.queue();
        let lagging = queue.read_to() < self.lost_to();
        let status = queue.view(self.unread(), now);
        let stalled = if self.crashed.load(Ordering::Acquire) {
            Some("its delivery crashed and starts again in a moment; see the log".to_owned())
        } else {
            status.stalled
        };
        RunnerStatus { lagging: lagging || status.lagging, stalled, ..status }
    }

    /// Waits for a mark of the queue.
    pub(super) fn when_recorded(&self, mark: u64) -> oneshot::Receiver<()> {
        let (done, receiver) = oneshot::channel();
        lock(&self.waiters).push(Waiter { mark, done });
        self.wake.notify_one();
        receiver
    }

    /// Done when the store has what the queue decided so far; `None` when it has.
    pub(super) fn when_all_recorded(&self) -> Option<oneshot::Receiver<()>> {
        let mark = {
            let queue = self.queue();
            (queue.unrecorded() > 0).then(|| queue.mark())
        };
        mark.map(|mark| self.when_recorded(mark))
    }

    /// Everything up to the mark is recorded.
    pub(super) fn reached(&self, mark: u64) {
        let mut waiters = lock(&self.waiters);
        if waiters.is_empty() {
            return;
        }
        let (reached, waiting) = waiters.drain(..).partition(|waiter| waiter.mark <= mark);
        *waiters = waiting;
        drop(waiters);
        let reached: Vec<Waiter> = reached;
        for waiter in reached {
            // Whoever asked may have gone.
            let _gone = waiter.done.send(());
        }
    }

    /// The runner crashed: people see it until it runs again.
    pub(super) fn crashed(&self) {
        self.crashed.store(true, Ordering::Release);
        self.abandon_waiters();
    }

    /// Begins anew from what the store says. Options, a pause and the count of what was delivered since
    /// the start stay; acts that were not recorded are forgotten, and whoever waits for them is told.
    pub(super) fn restart(&self, restored: Restored) {
        let mut queue = self.queue();
        queue.restart(restored, self.pace.now());
        self.unread.store(0, Ordering::Release);
        self.fed_bytes.store(0, Ordering::Release);
        self.crashed.store(false, Ordering::Release);
        self.abandon_waiters();
    }

    /// Nobody will reach any mark any more.
    pub(super) fn abandon_waiters(&self) {
        lock(&self.waiters).clear();
    }
}
