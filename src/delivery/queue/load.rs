//! The bytes of those that have a row: read back when it is their turn.

use std::sync::Arc;

use crate::delivery::queue::Queue;
use crate::delivery::queue::item::{Now, Stage};
use crate::message::StoredMessage;
use crate::message::id::Seq;

impl Queue {
    /// Those whose bytes are to be read from the store now.
    pub fn wants_bodies(&mut self) -> Vec<Seq> {
        let parallel = usize::try_from(self.options.parallel).unwrap_or(usize::MAX);
        let room = parallel.saturating_mul(2).clamp(2, 256).saturating_sub(self.loaded);
        if self.stopping || self.paused.is_some() {
            return Vec::new();
        }
        let count = room.min(self.to_load.len());
        self.loaded += count;
        self.to_load.drain(..count).collect()
    }

    /// The bytes asked for by [`Self::wants_bodies`]; what is not among them is gone.
    pub fn bodies(&mut self, asked: &[Seq], found: &[Arc<StoredMessage>], now: Now) {
        for message in found {
            if let Some(item) = self.items.get_mut(&message.seq)
                && item.stage == Stage::Loading
            {
                item.body = Some(Arc::clone(message));
                item.stage = Stage::Idle;
            }
        }
        for seq in asked {
            match self.items.get(seq) {
                Some(item) if item.body.is_some() => self.consider(*seq),
                Some(item) => {
                    let gone = item.stage == Stage::Loading;
                    self.loaded = self.loaded.saturating_sub(1);
                    if gone {
                        self.lost(*seq, now);
                    }
                }
                None => self.loaded = self.loaded.saturating_sub(1),
            }
        }
    }
}
