//! What was read of the messages under way: one reading serves the admission and every destination.
//!
//! A memory, no truth: a reading that is gone is made again from the bytes. It keeps the last few, within
//! a limit of bytes; a large message is not kept. In parts by the random end of the id, so that threads seldom
//! meet at one.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::channel::input::Input;
use crate::hl7::raw::ReadOptions;
use crate::message::id::MessageId;
use crate::message::kind::ContentType;

/// Parts.
const PARTS: usize = 8;
/// Readings kept in a part, at most. In all it is what is under way when receivers keep up; more would leave the
/// processor's caches.
const KEPT_MAX: usize = 256 / PARTS;
/// Bytes of the messages whose readings a part keeps, all together.
const BYTES_MAX: usize = (8 << 20) / PARTS;
/// The reading of a larger message is not kept: it would drive out many.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// The last readings. The oldest of a part goes first.
#[derive(Debug, Default)]
pub struct Readings {
    parts: [Mutex<Kept>; PARTS],
}

#[derive(Debug, Default)]
struct Kept {
    by_id: HashMap<MessageId, Arc<Input>, BuildHasherDefault<LastBytes>>,
    /// By age, with their sizes.
    order: VecDeque<(MessageId, usize)>,
    bytes: usize,
}

/// The last eight bytes of an id, most of which the engine drew at random: one multiplication scatters them.
#[derive(Debug, Default, Clone, Copy)]
struct LastBytes(u64);

impl Hasher for LastBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let last = bytes.last_chunk().map_or(0, |last| u64::from_be_bytes(*last));
        self.0 = last.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

impl Readings {
    fn part(&self, id: MessageId) -> MutexGuard<'_, Kept> {
        // Random, and none of the bits that decide where in its part a reading stands.
        let random = id.to_bytes().get(9).copied().map_or(0, usize::from);
        let [first, ..] = &self.parts;
        let part = self.parts.get(random % PARTS).unwrap_or(first);
        part.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was read of the message with this id. HL7 v2 only: its index is small beside its bytes.
    pub fn keep(&self, id: MessageId, input: &Arc<Input>) {
        let size = input.payload().len();
        if input.content_type() != ContentType::Hl7v2 || size > MESSAGE_BYTES_MAX {
            return;
        }
        let mut kept = self.part(id);
        if kept.by_id.insert(id, Arc::clone(input)).is_none() {
            kept.order.push_back((id, size));
            kept.bytes += size;
        }
        while kept.order.len() > KEPT_MAX || kept.bytes > BYTES_MAX {
            let Some((oldest, size)) = kept.order.pop_front() else { return };
            kept.by_id.remove(&oldest);
            kept.bytes = kept.bytes.saturating_sub(size);
        }
    }

    /// The reading of a message, if it is kept and was made with these options.
    #[must_use]
    pub fn get(&self, id: MessageId, options: ReadOptions) -> Option<Arc<Input>> {
        let found = self.part(id).by_id.get(&id).cloned();
        found.filter(|input| input.read_options() == options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hl7::raw::SegmentEnds;
    use crate::message::payload::Payload;

    fn input(size: usize) -> Arc<Input> {
        let payload = Payload::new(vec![b'x'; size]);
        Arc::new(Input::new(payload, ContentType::Hl7v2, ReadOptions::default()))
    }

    #[test]
    fn a_reading_is_found_by_its_message_and_options() {
        let (readings, id) = (Readings::default(), MessageId::new());
        let kept = input(10);
        readings.keep(id, &kept);
        let found = readings.get(id, ReadOptions::default());
        assert!(found.is_some_and(|found| Arc::ptr_eq(&found, &kept)));
        let lenient = ReadOptions { ends: SegmentEnds::Lenient, ..ReadOptions::default() };
        assert!(readings.get(id, lenient).is_none());
        assert!(readings.get(MessageId::new(), ReadOptions::default()).is_none());
    }

    #[test]
    fn the_oldest_go_first_and_large_ones_are_not_kept() {
        let readings = Readings::default();
        // Of one part.
        let ids: Vec<MessageId> = (0..=BYTES_MAX / MESSAGE_BYTES_MAX)
            .map(|n| {
                let mut id = MessageId::new().to_bytes();
                id[9] = 0;
                id[15] = u8::try_from(n).unwrap();
                MessageId::from_bytes(id)
            })
            .collect();
        for id in &ids {
            readings.keep(*id, &input(MESSAGE_BYTES_MAX));
        }
        let is_kept = |id: &MessageId| readings.get(*id, ReadOptions::default()).is_some();
        assert!(!is_kept(&ids[0]));
        assert!(ids[1..].iter().all(is_kept));
        let large = MessageId::new();
        readings.keep(large, &input(MESSAGE_BYTES_MAX + 1));
        assert!(!is_kept(&large));
    }
}
