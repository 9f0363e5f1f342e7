//! The usual change, made in one pass: texts written over values that stand in the message, or into a segment of
//! the site's own that is added behind it. What a [`Draft`](super::Draft) makes of the same is the same bytes.

use std::borrow::Cow;
use std::ops::Range;

use crate::hl7::edit::{line_end, stays};
use crate::hl7::escape;
use crate::hl7::path::{FieldPath, Path, Which, is_segment_id};
use crate::hl7::raw::RawMessage;
use crate::hl7::scan::{Span, slice};
use crate::hl7::segment::{self, SegmentRef, number};

/// Fields that a segment of the site's own is begun with, at most.
const OWN_FIELDS_MAX: usize = 16;

/// A text for one place.
#[derive(Debug, Clone, Copy)]
pub struct TextEdit<'e> {
    /// The segment, from 0; `None`: the one that the path names.
    pub index: Option<usize>,
    /// The place.
    pub path: &'e Path,
    /// What is to stand there.
    pub text: &'e str,
}

/// Bytes that take the place of others.
struct Splice<'e> {
    over: Range<usize>,
    raw: Cow<'e, [u8]>,
}

/// The message with the texts. `None` when a draft has to make it or to say what is wrong: a place is missing,
/// has several values, overlaps another one, or decides how the rest is read.
pub fn with_texts<'e>(
    message: &RawMessage,
    edits: impl Iterator<Item = Option<TextEdit<'e>>>,
) -> Option<RawMessage> {
    if !message.is_uniform() {
        return None;
    }
    let mut splices: Vec<Splice<'_>> = Vec::with_capacity(8);
    let mut own: Option<Vec<u8>> = None;
    for edit in edits {
        let TextEdit { index, path, text } = edit?;
        let field = path.field()?;
        let is_one = matches!(field.repetition, Which::Unsaid | Which::Nth(_));
        if !is_one || *path.occurrence() == Which::All {
            return None;
        }
        let raw = encoded(message, text)?;
        let found = match index {
            Some(index) => message.segment(index),
            None => named(message, path),
        };
        let Some(segment) = found else {
            if own.is_some() || index.is_some() || raw.is_empty() {
                return None;
            }
            own = Some(own_segment(message, path, field, &raw)?);
            continue;
        };
        if segment.is_header() && is_read_by_readers(&segment, field) {
            return None;
        }
        // A draft has what was written read again when a line end stands in it as text.
        if memchr::memchr2(b'\r', b'\n', segment.bytes).is_some() {
            return None;
        }
        let place = segment.first_range(field)?;
        let now = segment.bytes.get(place.clone())?;
        let over = segment.at + place.start..segment.at + place.end;
        let raw = if stays(now, text, &raw, &segment.separators, message.charset()) {
            Cow::Owned(now.to_vec())
        } else {
            raw
        };
        splices.push(Splice { over, raw });
    }
    splices.sort_unstable_by_key(|splice| splice.over.start);
    let is_apart = |two: &[Splice<'_>]| match two {
        [one, next] => one.over.end <= next.over.start && one.over.start < next.over.start,
        _ => true,
    };
    splices.windows(2).all(is_apart).then(|| together(message, &splices, own.as_deref()))
}

/// The segment that a path names.
fn named<'m>(message: &'m RawMessage, path: &Path) -> Option<SegmentRef<'m>> {
    if *path.occurrence() != Which::Unsaid {
        return segment::chosen(message.segments(), path).next();
    }
    // Most of them are looked at here only for their first bytes.
    let (bytes, id) = (message.bytes(), path.segment_bytes());
    let begins = |span: &Span| slice(bytes, *span).starts_with(id);
    let named = |place| message.segment(place).filter(|segment| segment.id == id);
    let spans = message.spans().iter().enumerate();
    spans.filter(|(_, span)| begins(span)).find_map(|(place, _)| named(place))
}

/// A text as it is written, if it is written as ASCII.
fn encoded<'e>(message: &RawMessage, text: &'e str) -> Option<Cow<'e, [u8]>> {
    let raw = escape::encode(text, &message.separators(), message.charset()).ok()?;
    let is_plain = raw.iter().all(|byte| matches!(byte, b' '..=b'~'));
    is_plain.then_some(raw)
}

/// Whether what stands there, or anywhere in this header, says how the message is read.
fn is_read_by_readers(header: &SegmentRef<'_>, field: &FieldPath) -> bool {
    matches!(field.number.get(), 1 | 2 | 18) || !header.bytes.is_ascii()
}

/// A segment of the site's own with one field, and its line end; `None` when it is none, or does not stand in a
/// line of its own behind the others.
fn own_segment(
    message: &RawMessage,
    path: &Path,
    field: &FieldPath,
    raw: &[u8],
) -> Option<Vec<u8>> {
    let id = path.segment_bytes();
    let fields = number(field.number);
    let is_own = path.adds_own_segment() && is_segment_id(id);
    let is_whole = field.repetition == Which::Unsaid && field.component.is_none();
    if !is_own || !is_whole || fields > OWN_FIELDS_MAX {
        return None;
    }
    let (bytes, spans) = (message.bytes(), message.spans());
    let (first, last) = (spans.first()?, spans.last()?);
    let end = line_end(bytes.get(first.end..)?);
    if bytes.get(last.end..)? != end {
        return None;
    }
    let mut own = Vec::with_capacity(id.len() + fields + raw.len() + end.len());
    own.extend_from_slice(id);
    own.resize(id.len() + fields, message.separators().field);
    own.extend_from_slice(raw);
    own.extend_from_slice(end);
    Some(own)
}

/// Puts the message together; the splices are in order and apart.
fn together(message: &RawMessage, splices: &[Splice<'_>], own: Option<&[u8]>) -> RawMessage {
    let old: &[u8] = message.bytes();
    let more = splices.iter().map(|splice| splice.raw.len()).sum::<usize>();
    let mut out = Vec::with_capacity(old.len() + more + own.map_or(0, <[u8]>::len));
    let mut spans = Vec::with_capacity(message.spans().len() + 1);
    let mut left = splices.iter().peekable();
    let mut copied = 0;
    for span in message.spans() {
        // Nothing is written between segments.
        let start = out.len() + (span.start - copied);
        while let Some(Splice { over, raw }) = left.next_if(|splice| splice.over.end <= span.end) {
            out.extend_from_slice(slice(old, Span { start: copied, end: over.start }));
            out.extend_from_slice(raw);
            copied = over.end;
        }
        spans.push(Span { start, end: out.len() + (span.end - copied) });
    }
    out.extend_from_slice(old.get(copied..).unwrap_or_default());
    if let Some(own) = own {
        let ends = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let size = own.iter().position(ends).unwrap_or(own.len());
        spans.push(Span { start: out.len(), end: out.len() + size });
        out.extend_from_slice(own);
    }
    message.moved(out.into(), spans)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hl7::edit::Draft;
    use crate::hl7::raw::SegmentEnds;

    const MESSAGES: &[&str] = &[
        "MSH|^~\\&|A|B|C|D|2026||ADT^A01|7|P|2.5\rPID|1||P1^^^N&1^MR~P2^^^S^PI||Doe^Jane|\"\"|^^|x\rOBX|1||a\rOBX|2||||b\r",
        "MSH|^~\\&|A|B|C|D|2026||ADT^A01|7|P|2.5\nPID|1||P1\nZMW|1|old\n",
        "\r\nMSH|^~\\&|A|B|||2026||ADT^A01|7|P|2.5\r\n\r\nPID|1||\\F\\x^^^N||\r\n",
        "MSH|^~\\&|A|B|C|D|2026||ADT^A01|7|P|2.5\rPID|1||P1^^^N",
        "MSH|^~\\&|Ä|B|C|D|2026||ADT^A01|7|P|2.5\rPID|1||Ü^^^N\r",
        "MSH|^~\\&|A|B|C|D|2026||ADT^A01|7|P|2.5||||||8859/1\rPID|1||P1^^^N\r\r\n",
    ];
    const PATHS: &[&str] = &[
        "MSH-2",
        "MSH-3",
        "MSH-5",
        "MSH-6",
        "MSH-18",
        "PID-3",
        "PID-3.1",
        "PID-3.4",
        "PID-3.4.2",
        "PID-3[2].1",
        "PID-3[*].1",
        "PID-3(MR).1",
        "PID-5",
        "PID-5.2",
        "PID-6",
        "PID-30",
        "OBX-5",
        "OBX[2]-5",
        "OBX[*]-1",
        "PV1-2",
        "ZMW-1",
        "ZMW-2",
        "ZMW-2.1",
        "ZMX-1",
        "ZMX-40",
        "PID",
    ];
    const TEXTS: &[&str] = &["", "x", "P1", "a|b^c", "ÄÖ", "|x", "C", "line\rend", "N"];

    /// What a draft makes of it.
    fn drafted(message: &RawMessage, edits: &[TextEdit<'_>]) -> Option<Vec<u8>> {
        let mut draft = Draft::new(message);
        for TextEdit { path, text, .. } in edits {
            let own = path.segment().starts_with('Z') && *path.occurrence() == Which::Unsaid;
            if own && !text.is_empty() && draft.segments().all(|s| s.id != path.segment_bytes()) {
                draft.append_segment(path.segment_bytes()).ok()?;
            }
            draft.set(path, text).ok()?;
        }
        Some(draft.finish().to_vec())
    }

    #[test]
    fn it_makes_what_a_draft_makes() {
        let paths: Vec<Path> = PATHS.iter().map(|path| Path::parse(path).unwrap()).collect();
        let mut made = 0;
        let mut check = |message: &RawMessage, edits: &[TextEdit<'_>]| {
            let Some(changed) = with_texts(message, edits.iter().copied().map(Some)) else {
                return;
            };
            made += 1;
            let expected = drafted(message, edits);
            assert_eq!(Some(changed.bytes().to_vec()), expected, "{edits:?}");
            let again = RawMessage::parse(changed.bytes().clone(), SegmentEnds::Lenient).unwrap();
            let ids = |message: &RawMessage| {
                let segments = message.segments();
                segments.map(|s| (s.at, s.bytes.to_vec())).collect::<Vec<_>>()
            };
            assert_eq!(ids(&changed), ids(&again), "{edits:?}");
            assert_eq!(changed.charset(), again.charset());
        };
        for text in MESSAGES {
            let bytes = bytes::Bytes::copy_from_slice(text.as_bytes());
            let message = RawMessage::parse(bytes, SegmentEnds::Lenient).unwrap();
            for (nth, one) in paths.iter().enumerate() {
                for text in TEXTS {
                    let first = TextEdit { index: None, path: one, text };
                    check(&message, &[first]);
                    for (place, other) in paths.iter().enumerate() {
                        let text = TEXTS.get((nth + place) % TEXTS.len()).unwrap();
                        check(&message, &[first, TextEdit { index: None, path: other, text }]);
                    }
                }
            }
        }
        // Enough is made without a draft, or the test would say nothing.
        assert!(made > 3_000, "{made}");
    }

    #[test]
    fn a_segment_can_be_named_by_its_place() {
        let bytes = bytes::Bytes::copy_from_slice(MESSAGES[0].as_bytes());
        let message = RawMessage::parse(bytes, SegmentEnds::Lenient).unwrap();
        let path = Path::parse("OBX-3").unwrap();
        let edits = [TextEdit { index: Some(3), path: &path, text: "here" }];
        let changed = with_texts(&message, edits.into_iter().map(Some)).unwrap();
        assert_eq!(changed.segment(3).unwrap().bytes, b"OBX|2||here||b");
    }
}
