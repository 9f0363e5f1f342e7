//! A change of order. What was taken before it stands in other lanes than what comes after, so that nothing
//! would keep the two in order: what comes after waits until all before it is through.
//!
//! - The fence is a place in the log; the log is not read beyond it while anything up to it waits.
//! - Rows beyond it are early ones: they wait for the log to be read anyway.

use crate::delivery::queue::Queue;
use crate::message::id::Seq;

/// The last place before a change of order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fence {
    pub(super) at: Seq,
    /// Deliveries up to it that wait in memory.
    left: usize,
}

impl Queue {
    /// Nothing taken after `at` is sent before everything up to it is through.
    pub fn set_fence(&mut self, at: Seq) {
        // One that was read past is through: what waits before it now was tried again by a person.
        let read_past = self.cursor.settled_to() > at;
        if read_past || self.fence.is_some_and(|fence| fence.at >= at) {
            return;
        }
        let left = self.items.keys().filter(|seq| **seq <= at).count();
        self.fence = Some(Fence { at, left });
        self.lift_fence();
    }

    /// Where the fence is, as long as there is one.
    #[must_use]
    pub fn fence(&self) -> Option<Seq> {
        self.fence.map(|fence| fence.at)
    }

    /// How many deliveries have to be through before more of the log is read; nothing when it may be read.
    pub(super) fn before_fence(&self) -> Option<usize> {
        let fence = self.fence.filter(|fence| self.cursor.read_to() >= fence.at)?;
        Some(fence.left)
    }

    /// How far a stretch of the log that ends at `to` may be taken over now.
    pub(super) fn cut_at_fence(&self, to: Seq) -> Seq {
        self.fence.map_or(to, |fence| to.min(fence.at.max(self.cursor.read_to())))
    }

    /// One came into memory.
    pub(super) fn fence_in(&mut self, seq: Seq) {
        if let Some(fence) = self.fence.as_mut().filter(|fence| seq <= fence.at) {
            fence.left += 1;
        }
    }

    /// One left memory.
    pub(super) fn fence_out(&mut self, seq: Seq) {
        if let Some(fence) = self.fence.as_mut().filter(|fence| seq <= fence.at) {
            fence.left = fence.left.saturating_sub(1);
            self.lift_fence();
        }
    }

    /// Takes the fence away when all before it is through.
    pub(super) fn lift_fence(&mut self) {
        if self.before_fence() == Some(0) {
            self.fence = None;
        }
    }
}
