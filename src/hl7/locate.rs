//! Finds the n-th piece of a segment, a field, a repetition or a component.

use std::ops::Range;

use crate::hl7::charset::Width;

/// The first `separator` of `bytes` at or after `from` that is a delimiter and no part of a character.
pub(crate) fn next(bytes: &[u8], from: usize, separator: u8, width: Width) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let found = match width {
        Width::Single => near(rest, separator),
        Width::Pairs => pairs(rest, separator, |byte| (0x81..=0xFE).contains(&byte)),
        Width::ShiftJis => pairs(rest, separator, |byte| matches!(byte, 0x81..=0x9F | 0xE0..=0xFC)),
        Width::Shifted => shifted(rest, separator),
    };
    found.and_then(|at| from.checked_add(at))
}

/// Most fields are short: their end is found before a search would have begun.
fn near(bytes: &[u8], separator: u8) -> Option<usize> {
    const NEAR: usize = 12;
    match bytes.iter().take(NEAR).position(|byte| *byte == separator) {
        None => {
            let far = memchr::memchr(separator, bytes.get(NEAR..)?)?;
            far.checked_add(NEAR)
        }
        found => found,
    }
}

/// Where the `nth` piece of `bytes` begins and ends, from 0; `None` when there are fewer.
pub(crate) fn nth(bytes: &[u8], separator: u8, width: Width, nth: usize) -> Option<Range<usize>> {
    if width != Width::Single {
        return pieces(bytes, 0..bytes.len(), Some(separator), width).nth(nth);
    }
    let start = if nth == 0 { 0 } else { behind(bytes, separator, nth)? };
    Some(start..next(bytes, start, separator, width).unwrap_or(bytes.len()))
}

/// The place behind the `count`-th `separator`. Eight bytes at a time: fields are short, and a search for each
/// of their ends costs more than to count them.
fn behind(bytes: &[u8], separator: u8, count: usize) -> Option<usize> {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    const ONES: u64 = 0x0101_0101_0101_0101;
    let pattern = u64::from(separator).wrapping_mul(ONES);
    let (words, rest) = bytes.as_chunks::<8>();
    let mut left = u64::try_from(count).ok()?;
    let mut at = 0_usize;
    for word in words {
        let differs = u64::from_le_bytes(*word) ^ pattern;
        // The highest bit of each byte that is the separator; no byte carries into the next.
        let mut hits = !((differs & LOW).wrapping_add(LOW) | differs | LOW);
        let found = (hits >> 7).wrapping_mul(ONES) >> 56;
        if found >= left {
            for _ in 1..left {
                hits &= hits.wrapping_sub(1);
            }
            let byte = usize::try_from(hits.trailing_zeros() >> 3).ok()?;
            return at.checked_add(byte)?.checked_add(1);
        }
        left = left.wrapping_sub(found);
        at = at.checked_add(8)?;
    }
    let last = usize::try_from(left).ok()?.checked_sub(1)?;
    let mut hits = rest.iter().enumerate().filter(|(_, byte)| **byte == separator);
    hits.nth(last).and_then(|(byte, _)| at.checked_add(byte)?.checked_add(1))
}

fn pairs(bytes: &[u8], separator: u8, leads: impl Fn(u8) -> bool) -> Option<usize> {
    let mut at = 0_usize;
    while let Some(byte) = bytes.get(at) {
        if *byte == separator {
            return Some(at);
        }
        at = at.saturating_add(if leads(*byte) { 2 } else { 1 });
    }
    None
}

fn shifted(bytes: &[u8], separator: u8) -> Option<usize> {
    let mut wide = false;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == 0x1B {
            wide = bytes.get(at.saturating_add(1)) == Some(&b'$');
        } else if !wide && *byte == separator {
            return Some(at);
        }
    }
    None
}

/// The pieces of a range, divided by a separator; one piece when there is no separator.
#[derive(Debug, Clone)]
pub(crate) struct Pieces<'a> {
    bytes: &'a [u8],
    at: Option<usize>,
    end: usize,
    separator: Option<u8>,
    width: Width,
}

impl Iterator for Pieces<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let start = self.at?;
        let within = self.bytes.get(..self.end).unwrap_or(self.bytes);
        let found = self.separator.and_then(|byte| next(within, start, byte, self.width));
        self.at = found.and_then(|at| at.checked_add(1));
        Some(start..found.unwrap_or(self.end))
    }
}

/// Divides `range` of `bytes`.
pub(crate) const fn pieces(
    bytes: &[u8],
    range: Range<usize>,
    separator: Option<u8>,
    width: Width,
) -> Pieces<'_> {
    Pieces { bytes, at: Some(range.start), end: range.end, separator, width }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], separator: u8, width: Width, expected: &[&[u8]]) {
        let found: Vec<_> =
            pieces(bytes, 0..bytes.len(), Some(separator), width).map(|r| &bytes[r]).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_piece_is_found_by_its_number() {
        let long = "a".repeat(30);
        for text in [
            "",
            "|",
            "a",
            "||||||||||||",
            "PID|1||2^3|x|",
            "MSH|^~\\&|LAB|GENERAL||\u{fc}\u{fb}|}{|",
            &long,
        ] {
            for text in [text.to_owned(), format!("{text}|{text}|{long}|{text}")] {
                let bytes = text.as_bytes();
                let all = pieces(bytes, 0..bytes.len(), Some(b'|'), Width::Single);
                let all: Vec<_> = all.collect();
                for place in 0..all.len() + 3 {
                    let found = nth(bytes, b'|', Width::Single, place);
                    assert_eq!(found, all.get(place).cloned(), "{text} {place}");
                }
            }
        }
        assert_eq!(nth(b"\x8F|a|b", b'|', Width::Pairs, 1), Some(4..5));
    }

    #[test]
    fn divides_at_delimiters_only() {
        check(b"a|b||", b'|', Width::Single, &[b"a", b"b", b"", b""]);
        check(b"", b'|', Width::Single, &[b""]);
        check(b"\x8F|a|b", b'|', Width::Pairs, &[b"\x8F|a", b"b"]);
        check(b"\x81\x30\x81\x30|b", b'|', Width::Pairs, &[b"\x81\x30\x81\x30", b"b"]);
        check(b"\xB1|\x83|x", b'|', Width::ShiftJis, &[b"\xB1", b"\x83|x"]);
        check(b"\x1b$B;|ED\x1b(B|x", b'|', Width::Shifted, &[b"\x1b$B;|ED\x1b(B", b"x"]);
        check(b"a\xFE", b'|', Width::Pairs, &[b"a\xFE"]);
    }
}
