//! Maps by place in the log or by lane: keys that are numbers, many of them, looked up for each delivery.
//!
//! The usual hasher withstands keys chosen to collide. These are numbered by the engine, or are hashes
//! already, so that one multiplication scatters them well enough.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map with such keys.
pub(super) type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// Scatters one number.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // The golden ratio; the upper half is mixed down, where the map takes its buckets from.
        let scattered = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = scattered ^ (scattered >> 32);
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number.cast_unsigned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn neighbours_scatter_over_buckets_and_tags() {
        let hash = |number: i64| {
            let mut hasher = NumberHasher::default();
            hasher.write_i64(number);
            hasher.finish()
        };
        let buckets: HashSet<u64> = (0..1024).map(|number| hash(number) & 2047).collect();
        let tags: HashSet<u64> = (0..1024).map(|number| hash(number) >> 57).collect();
        assert!(buckets.len() > 700, "{} buckets", buckets.len());
        assert_eq!(tags.len(), 128);
    }
}
