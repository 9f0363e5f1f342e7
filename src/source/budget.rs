//! How many bytes all connections of all listeners may hold together: frames and bodies that are still coming
//! in, and those that wait for their answer.
//!
//! The first [`FREE_BYTES`] of a connection are its own, whatever others hold: small messages wait for nobody.
//! What it holds beyond them is of the common budget. When that is used up, the connection reads no more until
//! there is room again: the sender waits at a full socket, and nothing is lost. One connection at a time may
//! exceed the budget, so that a message can come to its end even when all have begun one.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// What each connection may hold outside of the budget.
pub const FREE_BYTES: usize = 64 << 10;

/// The budget of all connections.
#[derive(Debug)]
pub(super) struct Budget {
    bytes_max: usize,
    held: AtomicUsize,
    /// Whether somebody has leave to exceed it.
    exceeded: AtomicBool,
    freed: Notify,
}

/// What one connection holds; gives it back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    held: usize,
    /// Whether it is the one that may exceed the budget.
    exceeds: bool,
}

impl Budget {
    pub(super) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            held: AtomicUsize::new(0),
            exceeded: AtomicBool::new(false),
            freed: Notify::new(),
        })
    }

    /// Bytes held now, beyond what each connection has free.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Nothing yet.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), held: 0, exceeds: false }
    }
}

impl Share {
    /// Says how much the connection holds or is about to hold. `false`: there is no room for more now, and
    /// what it held before still counts.
    pub(super) fn hold(&mut self, bytes: usize) -> bool {
        let wanted = bytes.saturating_sub(FREE_BYTES);
        if wanted <= self.held {
            self.give_back(self.held - wanted);
            return true;
        }
        let more = wanted - self.held;
        let fits = |held: usize| {
            let sum = held.saturating_add(more);
            (self.exceeds || sum <= self.budget.bytes_max).then_some(sum)
        };
        let Budget { held, exceeded, .. } = &*self.budget;
        if held.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_err() {
            if exceeded.swap(true, Ordering::AcqRel) {
                return false;
            }
            self.exceeds = true;
            held.fetch_add(more, Ordering::AcqRel);
        }
        self.held = wanted;
        true
    }

    /// Waits until it may hold so much, and holds it.
    pub(super) async fn room(&mut self, bytes: usize) {
        let budget = Arc::clone(&self.budget);
        loop {
            // Listens before it looks, so that nothing given back in between is missed.
            let mut freed = pin!(budget.freed.notified());
            freed.as_mut().enable();
            if self.hold(bytes) {
                return;
            }
            freed.await;
        }
    }

    fn give_back(&mut self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.held -= bytes;
        let left = self.budget.held.fetch_sub(bytes, Ordering::AcqRel).saturating_sub(bytes);
        if self.exceeds && (self.held == 0 || left <= self.budget.bytes_max) {
            self.exceeds = false;
            self.budget.exceeded.store(false, Ordering::Release);
        }
        self.budget.freed.notify_waiters();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(self.held);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn one_alone_may_exceed_the_budget_and_the_others_wait_for_it() {
        let budget = Budget::new(1000);
        let [mut one, mut two, mut three] = [0; 3].map(|_| budget.share());
        assert!(one.hold(FREE_BYTES) && two.hold(FREE_BYTES), "the first bytes are free");
        assert_eq!(budget.held(), 0);
        assert!(one.hold(FREE_BYTES + 600));
        assert!(two.hold(FREE_BYTES + 300));
        assert!(two.hold(FREE_BYTES + 900), "the first that has no room exceeds");
        assert!(!three.hold(FREE_BYTES + 1), "the second waits");
        assert!(three.hold(FREE_BYTES), "but for small messages");
        assert!(!one.hold(FREE_BYTES + 601));
        assert!(two.hold(FREE_BYTES + 5000), "who exceeds may come to the end of its message");
        assert_eq!(budget.held(), 5600);
        assert!(three.room(FREE_BYTES + 1).now_or_never().is_none());
        drop(two);
        assert_eq!(budget.held(), 600);
        assert!(three.hold(FREE_BYTES + 401), "there is one again that may exceed");
        assert!(!one.hold(FREE_BYTES + 700));
        drop((one, three));
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_room_is_given_back() {
        let budget = Budget::new(100);
        let [mut one, mut two, mut three] = [0; 3].map(|_| budget.share());
        assert!(one.hold(FREE_BYTES + 100) && two.hold(FREE_BYTES + 50));
        let waits = three.room(FREE_BYTES + 10);
        let ends = async {
            tokio::task::yield_now().await;
            drop(one);
        };
        tokio::join!(waits, ends);
        assert_eq!(budget.held(), 60);
    }
}
