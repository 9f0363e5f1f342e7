//! Finds the segments of a message in one scan.

use crate::hl7::path::is_segment_id;
use crate::hl7::raw::{ParseError, SegmentEnds};
use crate::hl7::segment::HEADERS;

/// One line of the message: from its first byte to its last, the line end not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

pub(crate) fn slice(bytes: &[u8], span: Span) -> &[u8] {
    bytes.get(span.start..span.end).unwrap_or_default()
}

/// Where the header starts: a byte order mark and white space before it are passed over.
pub(crate) fn start_of_header(bytes: &[u8]) -> Result<usize, ParseError> {
    let rest = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let rest = rest.trim_ascii_start();
    let at = bytes.len().saturating_sub(rest.len());
    if rest.is_empty() {
        return Err(ParseError::Nothing { size: bytes.len() });
    }
    if HEADERS.iter().any(|id| rest.starts_with(*id)) {
        Ok(at)
    } else {
        Err(ParseError::NoHeader { at })
    }
}

/// The segments from `start` on, in one scan.
pub(crate) fn index(
    bytes: &[u8],
    start: usize,
    ends: SegmentEnds,
) -> Result<Vec<Span>, ParseError> {
    let rest = bytes.get(start..).unwrap_or_default();
    let field = rest.get(3).copied().unwrap_or(b'|');
    let mut segments = Vec::with_capacity(rest.len().checked_div(48).unwrap_or(0).min(1024));
    let mut from = start;
    let mut close = |from: usize, end: usize| {
        let line = Span { start: from, end };
        match slice(bytes, line) {
            [] => Ok(()),
            [first, ..] if *first >= b' ' => {
                segments.push(line);
                Ok(())
            }
            blank if blank.iter().all(|byte| *byte == 0 || byte.is_ascii_whitespace()) => Ok(()),
            [b'\n', ..] => Err(ParseError::LineEnd { at: from }),
            _ => Err(ParseError::ControlCharacter { at: from }),
        }
    };
    let mut line_ends: &mut dyn Iterator<Item = usize> = &mut memchr::memchr_iter(b'\r', rest);
    let mut both = memchr::memchr2_iter(b'\r', b'\n', rest)
        .filter(|at| rest.get(*at) == Some(&b'\r') || ends_line(rest, *at, field));
    if ends == SegmentEnds::Lenient {
        line_ends = &mut both;
    }
    for at in line_ends {
        let end = start.saturating_add(at);
        if end >= from {
            close(from, end)?;
            from = end.saturating_add(1);
        }
    }
    if from < bytes.len() {
        close(from, bytes.len())?;
    }
    Ok(segments)
}

/// Whether the LF at `at` ends a segment: only another segment, a line end or nothing follows an end.
fn ends_line(bytes: &[u8], at: usize, field: u8) -> bool {
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    let behind = bytes.get(at.saturating_add(1)..).unwrap_or_default();
    let follows_end = matches!(before, Some(b'\r' | b'\n'));
    follows_end || matches!(behind, [] | [b'\r' | b'\n', ..]) || starts_segment(behind, field)
}

/// Whether `bytes` start with a segment id and what may follow it.
fn starts_segment(bytes: &[u8], field: u8) -> bool {
    let has_id = bytes.get(..3).is_some_and(is_segment_id);
    has_id && bytes.get(3).is_none_or(|byte| *byte == field || matches!(byte, b'\r' | b'\n'))
}

/// Where something that is no CR, but ends lines elsewhere, stands before what looks like a segment: LF,
/// U+2028, U+2029, U+0085.
pub(crate) fn foreign_line_end(line: &[u8], field: u8) -> Option<usize> {
    // Most headers hold none of these bytes: no need to look for each end.
    memchr::memchr3(b'\n', 0xE2, 0xC2, line)?;
    let ends = [&b"\n"[..], b"\xE2\x80\xA8", b"\xE2\x80\xA9", b"\xC2\x85"];
    let found = ends.iter().filter_map(|end| {
        memchr::memmem::find_iter(line, end).find(|at| {
            let behind = line.get(at.saturating_add(end.len())..).unwrap_or_default();
            starts_segment(behind, field)
        })
    });
    found.min()
}
