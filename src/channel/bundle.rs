//! A version of a channel: its file and the tables it uses, in one archive with one hash. The same files
//! always give the same bytes, wherever and whenever they are packed.
//!
//! ```text
//! "MWB1" { name length u32 LE, name, size u64 LE, bytes } … in the order of names; the channel's file is ""
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use crate::channel::build::Files;

const MAGIC: &[u8; 4] = b"MWB1";

/// A channel's file with the files beside it that it uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The text of the channel's file.
    pub channel: Bytes,
    /// The files it uses, by path.
    pub files: BTreeMap<String, Bytes>,
}

impl Bundle {
    /// A channel's file with what it uses.
    #[must_use]
    pub const fn new(channel: Bytes, files: BTreeMap<String, Bytes>) -> Self {
        Self { channel, files }
    }

    /// One archive.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let mut packed = MAGIC.to_vec();
        let mut add = |name: &str, bytes: &[u8]| {
            packed.extend_from_slice(&u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes());
            packed.extend_from_slice(name.as_bytes());
            packed.extend_from_slice(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
            packed.extend_from_slice(bytes);
        };
        add("", &self.channel);
        for (name, bytes) in &self.files {
            add(name, bytes);
        }
        packed
    }

    /// Reads an archive; `None` when it is none or is cut off.
    #[must_use]
    pub fn unpack(packed: &Bytes) -> Option<Self> {
        let mut at = MAGIC.len();
        if packed.get(..at)? != MAGIC {
            return None;
        }
        let mut bundle = Self::default();
        while at < packed.len() {
            let length = u32::from_le_bytes(packed.get(at..at + 4)?.try_into().ok()?);
            at += 4;
            let end = at.checked_add(usize::try_from(length).ok()?)?;
            let name = std::str::from_utf8(packed.get(at..end)?).ok()?.to_owned();
            at = end;
            let size = u64::from_le_bytes(packed.get(at..at + 8)?.try_into().ok()?);
            at += 8;
            let end = at.checked_add(usize::try_from(size).ok()?)?;
            if end > packed.len() {
                return None;
            }
            let bytes = packed.slice(at..end);
            at = end;
            if name.is_empty() {
                bundle.channel = bytes;
            } else {
                bundle.files.insert(name, bytes);
            }
        }
        Some(bundle)
    }

    /// The hash that names the version.
    #[must_use]
    pub fn hash(&self) -> u128 {
        xxh3_128(&self.pack())
    }
}

impl Files for Bundle {
    fn read(&self, relative: &str) -> Option<Bytes> {
        self.files.get(relative).cloned()
    }

    fn list(&self, folder: &str) -> Vec<String> {
        let inside = |path: &&String| folder.is_empty() || path.starts_with(&format!("{folder}/"));
        self.files.keys().filter(inside).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Bundle {
        let files = [("tables/b.csv", "x"), ("tables/a.csv", "y,z\n")];
        let files = files.map(|(name, text)| (name.to_owned(), Bytes::from(text)));
        Bundle::new(Bytes::from("channel: a\n"), files.into())
    }

    #[test]
    fn packs_and_unpacks() {
        let packed = Bytes::from(bundle().pack());
        assert_eq!(Bundle::unpack(&packed), Some(bundle()));
        assert_eq!(bundle().list("tables"), ["tables/a.csv", "tables/b.csv"]);
    }

    #[test]
    fn refuses_what_is_cut_off() {
        let packed = Bytes::from(bundle().pack());
        for size in 0..packed.len() {
            let cut = Bundle::unpack(&packed.slice(..size));
            assert!(cut.is_none_or(|cut| cut != bundle()), "{size}");
        }
        assert_eq!(Bundle::unpack(&Bytes::from_static(b"PK\x03\x04")), None);
    }

    #[test]
    fn the_hash_follows_the_content() {
        let mut other = bundle();
        other.files.insert("tables/a.csv".to_owned(), Bytes::from("y,w\n"));
        assert_eq!(bundle().hash(), bundle().hash());
        assert_ne!(bundle().hash(), other.hash());
    }
}
