//! Hands freshly committed messages to the runners they concern, in memory and bounded. What does not
//! fit is dropped here: the runner reads it from the log.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::delivery::shared::{Feed, Shared};
use crate::message::StoredMessage;
use crate::message::id::{DestinationId, Seq};
use crate::message::plan::Disposition;

/// Batches that may wait for one runner.
pub(super) const FEEDS_MAX: usize = 64;
/// How often an idle runner is told how far the log went, and the gauges are set.
const TICK: Duration = Duration::from_secs(1);
/// … or after this many messages that did not concern it.
const SWEEP_SEQS: i64 = 10_000;

type Batch = Arc<[Arc<StoredMessage>]>;

struct Route {
    shared: Arc<Shared>,
    feed: mpsc::Sender<Feed>,
    /// The last feed that was taken ended here.
    sent_to: Seq,
    /// Something after `sent_to` was dropped.
    lost: bool,
}

impl Route {
    fn offer(&mut self, messages: Vec<Arc<StoredMessage>>, before: Seq, to: Seq) {
        let bytes: usize = messages.iter().map(|message| message.payload.len()).sum();
        let count = i64::try_from(messages.len()).unwrap_or(i64::MAX);
        let after = if self.lost { before } else { self.sent_to };
        let limit = self.shared.queue().feed_bytes_max();
        let waiting = self.shared.fed_bytes.load(Ordering::Acquire);
        let fits = waiting == 0 || waiting.saturating_add(bytes) <= limit;
        self.shared.add_unread(count);
        self.shared.fed_bytes.fetch_add(bytes, Ordering::AcqRel);
        if fits && self.feed.try_send(Feed { after, to, messages, bytes }).is_ok() {
            self.sent_to = to;
            self.lost = false;
        } else {
            self.shared.fed_bytes.fetch_sub(bytes, Ordering::AcqRel);
            self.lost = true;
            self.shared.lose_to(to);
        }
    }
}

#[derive(Default)]
struct Routes {
    by_id: HashMap<DestinationId, Route>,
    /// The last batch ended here.
    seen: Seq,
}

/// Knows every running destination.
#[derive(Default)]
pub(super) struct Dispatch {
    routes: Mutex<Routes>,
}

impl Dispatch {
    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this destination is told. `head` is read while nothing is dispatched.
    pub(super) fn add(
        &self,
        shared: Arc<Shared>,
        feed: mpsc::Sender<Feed>,
        head: impl FnOnce() -> Seq,
    ) {
        let mut routes = self.routes();
        let head = head().max(routes.seen);
        shared.lose_to(head);
        let route = Route { sent_to: routes.seen, lost: true, feed, shared: Arc::clone(&shared) };
        routes.by_id.insert(shared.id, route);
    }

    pub(super) fn remove(&self, id: DestinationId) {
        self.routes().by_id.remove(&id);
    }

    /// Runs until stopped.
    pub(super) async fn run(
        self: Arc<Self>,
        mut batches: Receiver<Batch>,
        stop: CancellationToken,
    ) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut lagged = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                batch = batches.recv() => match batch {
                    Ok(batch) => {
                        self.take(&batch, lagged);
                        lagged = false;
                    }
                    Err(RecvError::Lagged(_)) => lagged = true,
                    Err(RecvError::Closed) => return,
                },
                _ = tick.tick() => self.tick(),
            }
        }
    }

    fn take(&self, batch: &Batch, lagged: bool) {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return };
        let mut parts: HashMap<DestinationId, Vec<Arc<StoredMessage>>> = HashMap::new();
        for message in batch.iter() {
            for entry in &message.plan.entries {
                if entry.disposition != Disposition::Filtered {
                    parts.entry(entry.destination).or_default().push(Arc::clone(message));
                }
            }
        }
        let mut routes = self.routes();
        if lagged {
            let before = Seq(first.seq.0 - 1);
            routes.seen = routes.seen.max(before);
            for route in routes.by_id.values_mut() {
                route.lost = true;
                route.shared.lose_to(before);
            }
        }
        let before = routes.seen;
        routes.seen = routes.seen.max(last.seq);
        for (id, messages) in parts {
            if let Some(route) = routes.by_id.get_mut(&id) {
                route.offer(messages, before, last.seq);
            }
        }
        let seen = routes.seen;
        for route in routes.by_id.values_mut() {
            if seen.0 - route.sent_to.0 >= SWEEP_SEQS && !route.lost {
                route.offer(Vec::new(), before, seen);
            }
        }
    }

    /// Tells idle runners how far the log went; sets the gauges.
    fn tick(&self) {
        let mut shown = Vec::new();
        {
            let mut routes = self.routes();
            let seen = routes.seen;
            for route in routes.by_id.values_mut() {
                if !route.lost && route.sent_to < seen {
                    route.offer(Vec::new(), seen, seen);
                }
                shown.push(Arc::clone(&route.shared));
            }
        }
        for shared in shown {
            shared.meters.show(&shared.view());
        }
    }
}
