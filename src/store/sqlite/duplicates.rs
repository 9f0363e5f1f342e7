//! The memory of repeats (P7): which messages with a duplicate rule came last.
//!
//! Filled by the committer as it commits, and after a start in the background from the log, newest
//! first. Bounded: the oldest are forgotten.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use metrics::{counter, gauge};
use tracing::warn;

use crate::message::id::Seq;
use crate::message::time::Timestamp;
use crate::store::sqlite::queue::Known;
use crate::telemetry::metrics::{REPEATS_MEMORY_SECONDS, REPEATS_UNSURE};

/// How often the log says that the memory is shorter than a channel's rule.
const TOLD_EVERY: Duration = Duration::from_hours(1);

/// Identities are hashes already.
#[derive(Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64(bytes);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// What is known of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    /// The same message.
    Same(Seq),
    /// A message with the same identity and other content.
    Changed(Seq),
}

/// The last messages with a duplicate rule.
#[derive(Default)]
pub(super) struct Duplicates {
    latest: HashMap<u64, (Seq, u64), BuildHasherDefault<AsIs>>,
    /// Earlier contents of an identity that came again with another.
    earlier: HashMap<(u64, u64), Seq>,
    /// Oldest first.
    order: VecDeque<Known>,
    max: usize,
    /// Whether the log was read back as far as the memory reaches.
    complete: bool,
    /// Messages forgotten since the horizon was looked at; `None` while nothing has been.
    forgotten: Option<usize>,
    /// When the oldest that is remembered was received, about; earlier ones are forgotten.
    horizon: Option<Timestamp>,
    told: Cell<Option<Timestamp>>,
}

impl Duplicates {
    /// An empty memory of at most `max` messages.
    pub(super) fn new(max: usize) -> Self {
        Self { max, ..Self::default() }
    }

    /// What is known of this identity and content.
    pub(super) fn find(&self, identity: u64, content: u64) -> Option<Match> {
        let (seq, latest) = *self.latest.get(&identity)?;
        if latest == content {
            return Some(Match::Same(seq));
        }
        let earlier = self.earlier.get(&(identity, content));
        Some(earlier.map_or(Match::Changed(seq), |seq| Match::Same(*seq)))
    }

    /// Whether an identity that is not found may still stand in the log.
    pub(super) const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Remembers a message newer than all others.
    pub(super) fn put(&mut self, known: Known) {
        let Known { identity, content, seq } = known;
        if let Some((earlier, other)) = self.latest.insert(identity, (seq, content))
            && other != content
        {
            self.earlier.insert((identity, other), earlier);
        }
        self.order.push_back(known);
        if self.order.len() > self.max {
            self.forget_oldest();
        }
    }

    /// Remembers a message older than all others. Answers whether there is room for more.
    pub(super) fn put_older(&mut self, known: Known) -> bool {
        if self.order.len() >= self.max {
            self.forgotten.get_or_insert(usize::MAX);
            return false;
        }
        let Known { identity, content, seq } = known;
        match self.latest.get(&identity) {
            None => {
                self.latest.insert(identity, (seq, content));
            }
            Some((_, latest)) if *latest != content => {
                self.earlier.entry((identity, content)).or_insert(seq);
            }
            Some(_) => {}
        }
        self.order.push_front(known);
        true
    }

    /// The log was read back far enough.
    pub(super) fn set_complete(&mut self) {
        self.complete = true;
        if self.order.len() >= self.max {
            self.forgotten.get_or_insert(usize::MAX);
        }
    }

    /// The oldest that is remembered, when it is time to look at when it was received.
    pub(super) fn oldest_to_look_at(&self) -> Option<Seq> {
        let due = self.forgotten? > self.max / 1024;
        self.order.front().filter(|_| due).map(|known| known.seq)
    }

    /// When the oldest that is remembered was received.
    pub(super) fn set_horizon(&mut self, horizon: Timestamp, now: Timestamp) {
        self.horizon = Some(horizon);
        self.forgotten = Some(0);
        gauge!(REPEATS_MEMORY_SECONDS).set(now.since(horizon).as_secs_f64());
    }

    /// Notes a message taken as new. It may be a repeat of one that is forgotten already although the
    /// channel's rule reaches back to it: that is counted, and told from time to time.
    pub(super) fn note_new(&self, channel: &str, now: Timestamp, within: Duration) {
        let Some(horizon) = self.horizon.filter(|horizon| now.since(*horizon) < within) else {
            return;
        };
        counter!(REPEATS_UNSURE, "channel" => channel.to_owned()).increment(1);
        if self.told.get().is_none_or(|told| now.since(told) >= TOLD_EVERY) {
            self.told.set(Some(now));
            warn!(
                channel,
                remembered_seconds = now.since(horizon).as_secs(),
                within_seconds = within.as_secs(),
                messages = self.max,
                "repeats are known for a shorter time than the channel's `within`; raise limits.duplicates"
            );
        }
    }

    fn forget_oldest(&mut self) {
        let Some(Known { identity, content, seq }) = self.order.pop_front() else { return };
        self.forgotten = Some(self.forgotten.map_or(usize::MAX, |count| count.saturating_add(1)));
        if self.latest.get(&identity).is_some_and(|(latest, _)| *latest == seq) {
            self.latest.remove(&identity);
        } else if self.earlier.get(&(identity, content)) == Some(&seq) {
            self.earlier.remove(&(identity, content));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(identity: u64, content: u64, seq: i64) -> Known {
        Known { identity, content, seq: Seq(seq) }
    }

    #[test]
    fn tells_the_same_from_the_changed() {
        let mut memory = Duplicates::new(10);
        memory.put(known(1, 100, 1));
        assert_eq!(memory.find(1, 100), Some(Match::Same(Seq(1))));
        assert_eq!(memory.find(1, 101), Some(Match::Changed(Seq(1))));
        assert_eq!(memory.find(2, 100), None);
        memory.put(known(1, 101, 2));
        assert_eq!(memory.find(1, 100), Some(Match::Same(Seq(1))));
        assert_eq!(memory.find(1, 101), Some(Match::Same(Seq(2))));
        assert_eq!(memory.find(1, 102), Some(Match::Changed(Seq(2))));
    }

    #[test]
    fn forgets_the_oldest_first() {
        let mut memory = Duplicates::new(2);
        for n in 1..=3 {
            memory.put(known(n, 0, i64::try_from(n).unwrap()));
        }
        assert_eq!(memory.find(1, 0), None);
        assert_eq!(memory.find(3, 0), Some(Match::Same(Seq(3))));
        assert!(!memory.put_older(known(9, 0, 0)));
        memory.put(known(3, 1, 4));
        memory.put(known(5, 0, 5));
        assert_eq!(memory.find(3, 0), Some(Match::Changed(Seq(4))));
    }

    #[test]
    fn the_horizon_is_looked_at_once_something_is_forgotten() {
        let mut memory = Duplicates::new(2);
        memory.put(known(1, 0, 1));
        memory.put(known(2, 0, 2));
        assert_eq!(memory.oldest_to_look_at(), None);
        memory.put(known(3, 0, 3));
        assert_eq!(memory.oldest_to_look_at(), Some(Seq(2)));
        memory.set_horizon(Timestamp(0), Timestamp(10));
        assert_eq!(memory.oldest_to_look_at(), None);
        memory.put(known(4, 0, 4));
        assert_eq!(memory.oldest_to_look_at(), Some(Seq(3)));
        // After a start the log may hold more than fits.
        let mut memory = Duplicates::new(1);
        assert!(memory.put_older(known(9, 0, 9)));
        memory.set_complete();
        assert_eq!(memory.oldest_to_look_at(), Some(Seq(9)));
    }

    #[test]
    fn what_is_read_back_never_replaces_what_is_newer() {
        let mut memory = Duplicates::new(10);
        memory.put(known(1, 100, 9));
        assert!(memory.put_older(known(1, 99, 8)));
        assert!(memory.put_older(known(1, 100, 7)));
        assert_eq!(memory.find(1, 100), Some(Match::Same(Seq(9))));
        assert_eq!(memory.find(1, 99), Some(Match::Same(Seq(8))));
    }
}
