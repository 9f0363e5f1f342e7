//! How the store writes lanes, keys and bodies into columns: varints, and LZ4 where it pays.

use std::borrow::Cow;
use std::cell::RefCell;

use bytes::Bytes;
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use crate::message::KeyValue;
use crate::message::id::DestinationId;
use crate::message::plan::Lane;

/// The body as received.
pub(super) const RAW: i64 = 0;
/// LZ4, its size before it.
pub(super) const LZ4: i64 = 1;

/// Bodies below this size are kept as they are: the gain would not fill a page.
const COMPRESS_BYTES_MIN: usize = 1024;
/// Up to this size a thread's scratch serves; the small table reaches no further.
const SCRATCH_BYTES_MAX: usize = 60 << 10;
/// No body is larger; a size beyond it in a compressed body is damage.
const BODY_BYTES_MAX: usize = 1 << 30;

/// Appends a number, seven bits a byte, low bits first.
pub(super) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends a signed number: small ones of either sign are short.
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_number(out, (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
}

/// Appends bytes with their length before them.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, size(bytes.len()));
    out.extend_from_slice(bytes);
}

/// A length as the number it is stored as.
pub(super) fn size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A length as SQLite counts.
pub(super) fn size_signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// Reads what the functions above wrote. Every method answers `None` at damage.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    /// A number.
    pub(super) fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A number of 32 bits.
    pub(super) fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    /// A signed number.
    pub(super) fn signed(&mut self) -> Option<i64> {
        let coded = self.number()?;
        Some((coded >> 1).cast_signed() ^ -(coded & 1).cast_signed())
    }

    /// Bytes with their length before them.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Text with its length before it.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// Eight bytes.
    pub(super) fn hash(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*bytes))
    }

    /// Whether all was read.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Writes lanes in the order of the plan. Destinations of one channel mostly share theirs, so a lane
/// that came before is written as its number among those, from 1; 0 says a new one follows.
pub(super) fn put_lanes(lanes: impl Iterator<Item = Lane>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut seen: Vec<Lane> = Vec::new();
    for lane in lanes {
        if let Some(place) = seen.iter().position(|known| *known == lane) {
            put_number(&mut out, size(place + 1));
        } else {
            out.push(0);
            put_number(&mut out, lane.0);
            seen.push(lane);
        }
    }
    out
}

/// Writes the lanes that a row joins beyond its second one; `None` when there are none.
pub(super) fn put_further(lanes: &[Lane]) -> Option<Vec<u8>> {
    (!lanes.is_empty()).then(|| put_lanes(lanes.iter().copied()))
}

/// Reads those; `None` at damage.
pub(super) fn further(bytes: &[u8]) -> Option<Vec<Lane>> {
    let mut lanes = Lanes::new(bytes);
    let mut found = Vec::new();
    while !lanes.cursor.is_empty() {
        found.push(lanes.next()?);
    }
    Some(found)
}

/// Reads lanes one after the other.
pub(super) struct Lanes<'a> {
    cursor: Cursor<'a>,
    seen: Vec<Lane>,
}

impl<'a> Lanes<'a> {
    /// A reader of what `put_lanes` wrote.
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { cursor: Cursor(bytes), seen: Vec::new() }
    }

    /// The next lane.
    pub(super) fn next(&mut self) -> Option<Lane> {
        match usize::try_from(self.cursor.number()?).ok()?.checked_sub(1) {
            Some(place) => self.seen.get(place).copied(),
            None => {
                let lane = Lane(self.cursor.number()?);
                self.seen.push(lane);
                Some(lane)
            }
        }
    }
}

/// Writes search keys: number of the name, value.
pub(super) fn put_keys<'a>(keys: impl Iterator<Item = (u32, &'a KeyValue)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in keys {
        put_number(&mut out, u64::from(name));
        put_bytes(&mut out, value.expose().as_bytes());
    }
    out
}

/// Reads search keys; `None` at damage.
pub(super) fn keys(bytes: &[u8]) -> Option<Vec<(u32, &str)>> {
    let mut cursor = Cursor(bytes);
    let mut keys = Vec::new();
    while !cursor.is_empty() {
        keys.push((cursor.small()?, cursor.text()?));
    }
    Some(keys)
}

/// Writes a message's events: number of the subscription, number of the event.
pub(super) fn put_events(events: &[(DestinationId, u64)]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (subscription, number) in events {
        put_number(&mut out, u64::from(subscription.0));
        put_number(&mut out, *number);
    }
    (!out.is_empty()).then_some(out)
}

/// Reads a message's events; `None` at damage.
pub(super) fn events(bytes: &[u8]) -> Option<Vec<(DestinationId, u64)>> {
    let mut cursor = Cursor(bytes);
    let mut events = Vec::new();
    while !cursor.is_empty() {
        events.push((DestinationId(cursor.small()?), cursor.number()?));
    }
    Some(events)
}

/// What compression needs beside its input, kept by each thread: making it anew costs more than the
/// compression of a small body.
struct Scratch {
    table: CompressTable,
    out: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch { table: CompressTable::small(), out: Vec::new() });
}

/// The body to write and its codec: compressed when that saves a fifth.
pub(super) fn compress(body: &Bytes) -> (i64, Bytes) {
    if body.len() >= COMPRESS_BYTES_MIN {
        let most = body.len() / 5 * 4;
        let compressed = match body.len() {
            ..=SCRATCH_BYTES_MAX => SCRATCH.with_borrow_mut(|scratch| scratch.compress(body, most)),
            _ => Some(lz4_flex::compress_prepend_size(body).into()),
        };
        if let Some(compressed) = compressed.filter(|compressed| compressed.len() <= most) {
            return (LZ4, compressed);
        }
    }
    (RAW, body.clone())
}

impl Scratch {
    /// As `lz4_flex::compress_prepend_size`; `None` when it would be larger than `most`.
    fn compress(&mut self, body: &[u8], most: usize) -> Option<Bytes> {
        let room = get_maximum_output_size(body.len());
        if self.out.len() < room {
            self.out.resize(room, 0);
        }
        let size = compress_into_with_table(body, &mut self.out, &mut self.table).ok()?;
        let length = u32::try_from(body.len()).ok()?.to_le_bytes();
        let compressed = self.out.get(..size).filter(|_| size + length.len() <= most)?;
        Some([&length[..], compressed].concat().into())
    }
}

/// The body as received; `None` at damage.
pub(super) fn decompress(codec: i64, bytes: Cow<'_, [u8]>) -> Option<Bytes> {
    match codec {
        RAW => Some(bytes.into_owned().into()),
        LZ4 => {
            let (length, _) = bytes.split_first_chunk::<4>()?;
            if usize::try_from(u32::from_le_bytes(*length)).ok()? > BODY_BYTES_MAX {
                return None;
            }
            lz4_flex::decompress_size_prepended(&bytes).ok().map(Bytes::from)
        }
        _ => None,
    }
}

/// The longest piece of `text` of at most `bytes_max` bytes that ends between characters.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, value);
            put_signed(&mut out, value.cast_signed());
            let mut cursor = Cursor(&out);
            assert_eq!(cursor.number(), Some(value));
            assert_eq!(cursor.signed(), Some(value.cast_signed()));
            assert!(cursor.is_empty());
        }
    }

    #[test]
    fn a_number_cut_short_is_damage() {
        assert_eq!(Cursor(&[0x80]).number(), None);
        assert_eq!(Cursor(&[5, b'a']).bytes(), None);
    }

    #[test]
    fn lanes_come_back_and_repeats_are_short() {
        let lanes = [Lane(u64::MAX), Lane(u64::MAX), Lane::STRICT, Lane::NONE, Lane(u64::MAX)];
        let out = put_lanes(lanes.into_iter());
        let mut reader = Lanes::new(&out);
        for lane in lanes {
            assert_eq!(reader.next(), Some(lane));
        }
        assert_eq!(reader.next(), None);
        assert!(out.len() < 18, "{} bytes", out.len());
    }

    #[test]
    fn a_body_is_compressed_only_where_it_pays() {
        let text = Bytes::from("OBX|1|NM|8867-4^Heart rate^LN||72|/min\r".repeat(60));
        let (codec, bytes) = compress(&text);
        assert_eq!(codec, LZ4);
        assert_eq!(decompress(codec, bytes.to_vec().into()), Some(text));
        let noise: Vec<u8> = (0..4096_u32).flat_map(|n| xxh(n).to_le_bytes()).collect();
        let (codec, bytes) = compress(&noise.clone().into());
        assert_eq!((codec, bytes), (RAW, Bytes::from(noise)));
        assert_eq!(compress(&Bytes::from_static(b"short")).0, RAW);
    }

    fn xxh(n: u32) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes())
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("患者", 4), "患");
        assert_eq!(cut("AA", 64), "AA");
    }
}
