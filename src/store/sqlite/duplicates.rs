//! The memory of repeats (P7): which messages with a duplicate rule came last.
//!
//! Filled by the committer as it commits, and after a start in the background from the log, newest
//! first. Bounded: the oldest are forgotten.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::message::id::Seq;
use crate::store::sqlite::queue::Known;

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
    pub(super) const fn set_complete(&mut self) {
        self.complete = true;
    }

    fn forget_oldest(&mut self) {
        let Some(Known { identity, content, seq }) = self.order.pop_front() else { return };
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
    fn what_is_read_back_never_replaces_what_is_newer() {
        let mut memory = Duplicates::new(10);
        memory.put(known(1, 100, 9));
        assert!(memory.put_older(known(1, 99, 8)));
        assert!(memory.put_older(known(1, 100, 7)));
        assert_eq!(memory.find(1, 100), Some(Match::Same(Seq(9))));
        assert_eq!(memory.find(1, 99), Some(Match::Same(Seq(8))));
    }
}
