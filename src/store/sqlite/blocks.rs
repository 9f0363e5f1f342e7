//! Settled blocks: many deliveries that succeeded, in one row. A block holds what one commit settled
//! of one page of the log, for all destinations.

use std::time::Duration;

use crate::message::id::{DestinationId, Seq};
use crate::message::outcome::Answer;
use crate::message::time::Timestamp;
use crate::store::sqlite::codec::{Cursor, cut, put_bytes, put_number, put_signed, size};
use crate::store::sqlite::error::damaged;
use crate::store::{Settled, StoreError};

/// A page is this many places of the log.
const PAGE_BITS: u32 = 12;
/// Bytes of the receiver's text that a settled delivery keeps.
const TEXT_BYTES_MAX: usize = 64;
/// Bytes of the receiver's code that a settled delivery keeps.
const CODE_BYTES_MAX: usize = 32;
/// The first byte of a block: how the rest is to be read.
const FORMAT: u8 = 1;

/// The page a place stands in.
pub(super) const fn page_of(seq: Seq) -> i64 {
    seq.0 >> PAGE_BITS
}

/// The first and the last place of a page.
pub(super) const fn places_of(page: i64) -> (i64, i64) {
    (page << PAGE_BITS, ((page + 1) << PAGE_BITS) - 1)
}

/// A destination's cursor: see `Change::Cursor`. It stands behind all blocks, in a page of the largest number
/// there is, so that a commit that writes both writes one page of the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Everything up to here is settled or in an exception row.
    pub(super) settled_to: Seq,
    /// Nothing beyond is.
    pub(super) frontier: Seq,
}

impl Position {
    /// As it is stored.
    pub(super) fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let (first, last) = bytes.split_at_mut(8);
        first.copy_from_slice(&self.settled_to.0.to_be_bytes());
        last.copy_from_slice(&self.frontier.0.to_be_bytes());
        bytes
    }

    /// Reads one; damage of the destination's row is an error.
    pub(super) fn decode(destination: i64, bytes: &[u8]) -> Result<Self, StoreError> {
        let numbers = bytes.split_first_chunk::<8>().and_then(|(first, rest)| {
            let last: [u8; 8] = rest.try_into().ok()?;
            Some((i64::from_be_bytes(*first), i64::from_be_bytes(last)))
        });
        let (settled_to, frontier) =
            numbers.ok_or_else(|| damaged("the cursor of destination", destination))?;
        Ok(Self { settled_to: Seq(settled_to), frontier: Seq(frontier) })
    }
}

/// Writes a block. Codes and texts stand once, at its head; the rest are differences.
pub(super) fn encode(entries: &[&Settled]) -> Vec<u8> {
    let mut words: Vec<&str> = Vec::new();
    let mut rows = Vec::with_capacity(entries.len() * 24);
    let mut before = (0, 0);
    for entry in entries {
        let code = number_of(&mut words, cut(&entry.answer.code, CODE_BYTES_MAX));
        let text = number_of(&mut words, cut(&entry.answer.text, TEXT_BYTES_MAX));
        put_number(&mut rows, u64::from(entry.destination.0));
        put_signed(&mut rows, entry.seq.0.wrapping_sub(before.0));
        put_signed(&mut rows, entry.at.0.wrapping_sub(before.1));
        put_number(&mut rows, u64::from(entry.attempts));
        put_number(&mut rows, u64::try_from(entry.duration.as_micros()).unwrap_or(u64::MAX));
        put_number(&mut rows, code);
        put_number(&mut rows, text);
        rows.extend_from_slice(&entry.sent_hash.to_le_bytes());
        before = (entry.seq.0, entry.at.0);
    }
    let mut block = vec![FORMAT];
    put_number(&mut block, size(words.len()));
    for word in words {
        put_bytes(&mut block, word.as_bytes());
    }
    block.extend_from_slice(&rows);
    block
}

fn number_of<'a>(words: &mut Vec<&'a str>, word: &'a str) -> u64 {
    let place = words.iter().position(|known| *known == word).unwrap_or_else(|| {
        words.push(word);
        words.len() - 1
    });
    size(place)
}

/// Reads a block; `None` at damage.
pub(super) fn decode(block: &[u8]) -> Option<Vec<Settled>> {
    let (format, rest) = block.split_first()?;
    if *format != FORMAT {
        return None;
    }
    let mut cursor = Cursor(rest);
    let mut words = Vec::new();
    for _ in 0..cursor.small()? {
        words.push(cursor.text()?);
    }
    let mut entries = Vec::new();
    let mut before = (0_i64, 0_i64);
    while !cursor.is_empty() {
        let destination = DestinationId(cursor.small()?);
        before.0 = before.0.wrapping_add(cursor.signed()?);
        before.1 = before.1.wrapping_add(cursor.signed()?);
        let attempts = cursor.small()?;
        let duration = Duration::from_micros(cursor.number()?);
        let code = *words.get(usize::try_from(cursor.number()?).ok()?)?;
        let text = *words.get(usize::try_from(cursor.number()?).ok()?)?;
        entries.push(Settled {
            destination,
            seq: Seq(before.0),
            at: Timestamp(before.1),
            attempts,
            duration,
            answer: Answer { code: code.to_owned().into(), text: text.into() },
            sent_hash: cursor.hash()?,
        });
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(destination: u32, seq: i64, code: &str, text: &str) -> Settled {
        Settled {
            destination: DestinationId(destination),
            seq: Seq(seq),
            at: Timestamp(1_700_000_000_000_000 + seq),
            attempts: 1,
            duration: Duration::from_micros(1234),
            answer: Answer::new(code.to_owned(), text),
            sent_hash: 0xfeed_beef,
        }
    }

    #[test]
    fn a_block_comes_back() {
        let entries = [
            settled(1, 5000, "AA", ""),
            settled(2, 5000, "AA", "taken"),
            settled(1, 4999, "201", ""),
        ];
        assert_eq!(decode(&encode(&entries.each_ref())), Some(entries.to_vec()));
        assert_eq!(decode(&encode(&[])), Some(Vec::new()));
    }

    #[test]
    fn a_delivery_costs_some_twenty_bytes() {
        let entries: Vec<_> =
            (0..300).map(|n| settled(n % 3, 5000 + i64::from(n / 3), "AA", "")).collect();
        let size = encode(&entries.iter().collect::<Vec<_>>()).len();
        assert!(size < 300 * 21, "{size} bytes for 300 deliveries");
    }

    #[test]
    fn a_cursor_comes_back_and_a_cut_one_is_damage() {
        let position = Position { settled_to: Seq(-1), frontier: Seq(i64::MAX) };
        let bytes = position.encode();
        assert_eq!(Position::decode(1, &bytes).unwrap(), position);
        assert!(Position::decode(1, &bytes[1..]).is_err());
        assert!(Position::decode(1, b"").is_err());
    }

    #[test]
    fn long_texts_are_cut_and_damage_is_seen() {
        let block = encode(&[&settled(1, 1, "AA", &"患".repeat(100))]);
        let entries = decode(&block).unwrap();
        assert_eq!(&*entries[0].answer.text, "患".repeat(21));
        assert_eq!(decode(&block[..block.len() - 1]), None);
        assert_eq!(decode(&[9]), None);
        assert_eq!(decode(&[]), None);
    }

    #[test]
    fn pages_meet() {
        assert_eq!(page_of(Seq(4095)), 0);
        assert_eq!(page_of(Seq(4096)), 1);
        assert_eq!(places_of(1), (4096, 8191));
    }
}
