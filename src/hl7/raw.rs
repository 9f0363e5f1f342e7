//! A message as it came: its bytes, its delimiters and where its segments stand. Fields are found when asked.
//!
//! Reading is lenient: what can be kept is kept, and `strict` lists what a strict listener minds. It
//! refuses only what would be misread: no header, unusable delimiters, two messages in one.

use bytes::Bytes;
use thiserror::Error;

use crate::hl7::charset::{Charset, CharsetRule, Width};
use crate::hl7::path::Path;
use crate::hl7::scan::{Span, foreign_line_end, index, slice, start_of_header};
pub use crate::hl7::segment::SegmentRef;
use crate::hl7::segment::{self, header_id};
use crate::hl7::separators::Separators;
use crate::hl7::value::Value;
use crate::message::verdict::{Location, Problem};

/// What ends a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SegmentEnds {
    /// CR alone, as the standard says. A LF inside a field is text.
    #[default]
    CrOnly,
    /// CR, CRLF, or a LF before another segment, a blank line or the end. Any other LF is text.
    Lenient,
}

/// How a message is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadOptions {
    /// What ends a segment.
    pub ends: SegmentEnds,
    /// Which charset it has.
    pub charset: CharsetRule,
}

/// Why bytes are no HL7 v2 message. Positions, never content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Nothing, or nothing but white space.
    #[error("there is no message: {size} bytes of nothing")]
    Nothing {
        /// Size of the input.
        size: usize,
    },
    /// It does not start with MSH, FHS or BHS.
    #[error(
        "the first segment is not MSH, FHS or BHS (byte {at}); check that the sender sends HL7 v2 in ER7 form"
    )]
    NoHeader {
        /// Offset of the first byte that is no white space.
        at: usize,
    },
    /// The header ends before the end of MSH-2.
    #[error("the header segment at byte {at} ends inside its delimiters")]
    HeaderTruncated {
        /// Offset of the header.
        at: usize,
    },
    /// MSH-1 is no punctuation.
    #[error(
        "MSH-1 of the header at byte {at} is no punctuation character and cannot separate fields"
    )]
    FieldSeparator {
        /// Offset of the header.
        at: usize,
    },
    /// MSH-2 is empty.
    #[error("MSH-2 of the header at byte {at} is empty")]
    NoEncodingCharacters {
        /// Offset of the header.
        at: usize,
    },
    /// MSH-2 has two equal delimiters, or one that is no punctuation.
    #[error(
        "MSH-2 of the header at byte {at} repeats a delimiter or holds one that is no ASCII punctuation"
    )]
    EncodingCharacters {
        /// Offset of the header.
        at: usize,
    },
    /// A second MSH, without batch headers.
    #[error("a second MSH at byte {at}: two messages in one; send them apart or in a batch")]
    SecondMessage {
        /// Offset of the second MSH.
        at: usize,
    },
    /// A segment starts with a control character.
    #[error("the segment at byte {at} starts with a control character")]
    ControlCharacter {
        /// Offset of the segment.
        at: usize,
    },
    /// Segments end with something that the listener does not take for an end.
    #[error(
        "a line ends at byte {at} with something other than CR; set the source's segment ends to lenient if it is LF"
    )]
    LineEnd {
        /// Offset of the line end.
        at: usize,
    },
}

impl ParseError {
    /// What the sender is told: AR, with the place where there is one.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let (code, field) = match self {
            Self::Nothing { .. } | Self::NoHeader { .. } => (100, None),
            Self::HeaderTruncated { .. } | Self::NoEncodingCharacters { .. } => (101, Some(2)),
            Self::FieldSeparator { .. } => (100, Some(1)),
            Self::EncodingCharacters { .. } => (100, Some(2)),
            Self::SecondMessage { .. } | Self::ControlCharacter { .. } | Self::LineEnd { .. } => {
                (100, None)
            }
        };
        let location = field.map(|field| Location {
            segment: "MSH".into(),
            sequence: 1,
            field: Some(field),
            repetition: None,
            component: None,
        });
        Problem { code, location, text: self.to_string(), reject: true }
    }
}

/// A message as it came, indexed by segment.
#[derive(Clone)]
pub struct RawMessage {
    bytes: Bytes,
    segments: Vec<Span>,
    separators: Separators,
    /// Further headers of a batch and where their segments start.
    further: Vec<Header>,
    charset: Charset,
}

/// A header of a batch: from `segment` on, its delimiters are in force.
#[derive(Debug, Clone, Copy)]
struct Header {
    segment: usize,
    id: [u8; 3],
    separators: Separators,
}

impl std::fmt::Debug for RawMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RawMessage({} bytes, {} segments)", self.bytes.len(), self.segments.len())
    }
}

impl RawMessage {
    /// Indexes a message, or a whole batch. The charset is that of MSH-18, else UTF-8.
    ///
    /// # Errors
    /// When the bytes would be misread: see [`ParseError`].
    pub fn parse(bytes: Bytes, ends: SegmentEnds) -> Result<Self, ParseError> {
        Self::parse_with(bytes, ReadOptions { ends, charset: CharsetRule::default() })
    }

    /// Indexes a message, or a whole batch.
    ///
    /// # Errors
    /// When the bytes would be misread: see [`ParseError`].
    pub fn parse_with(bytes: Bytes, options: ReadOptions) -> Result<Self, ParseError> {
        let start = start_of_header(&bytes)?;
        let segments = index(&bytes, start, options.ends)?;
        let first = segments.first().copied().unwrap_or(Span { start, end: bytes.len() });
        let separators = Separators::read(slice(&bytes, first), start)?;
        let mut message = Self {
            bytes,
            segments,
            separators,
            further: Vec::new(),
            charset: options.charset.otherwise,
        };
        message.read_further_headers()?;
        message.refuse_foreign_line_ends(first)?;
        message.set_charset(options.charset);
        Ok(message)
    }

    /// All bytes, as received.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The delimiters of the first header.
    #[must_use]
    pub const fn separators(&self) -> Separators {
        self.separators
    }

    /// The charset its text is read and written in.
    #[must_use]
    pub const fn charset(&self) -> Charset {
        self.charset
    }

    /// Its segments, blank lines left out.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = SegmentRef<'_>> {
        self.segments.iter().enumerate().map(|(index, span)| self.segment_ref(index, *span))
    }

    /// The segment with this index, from 0.
    #[must_use]
    pub fn segment(&self, index: usize) -> Option<SegmentRef<'_>> {
        self.segments.get(index).map(|span| self.segment_ref(index, *span))
    }

    /// What stands at `path`; of several, the first.
    #[must_use]
    pub fn get(&self, path: &Path) -> Value<'_> {
        segment::get(self.segments(), path)
    }

    /// All values that `path` names: one for each segment and repetition that it chooses.
    #[must_use]
    pub fn all(&self, path: &Path) -> Vec<Value<'_>> {
        segment::all(self.segments(), path)
    }

    /// What stands at `path` inside one segment, whatever segment the path names.
    #[must_use]
    pub fn get_in(&self, segment_index: usize, path: &Path) -> Value<'_> {
        self.segment(segment_index).map_or(Value::Absent, |segment| segment.get(path))
    }

    /// The bytes at `path` with everything below it, not decoded; empty when there are none.
    #[must_use]
    pub fn raw(&self, path: &Path) -> &[u8] {
        match path.field() {
            None => {
                segment::chosen(self.segments(), path).next().map_or(b"", |segment| segment.bytes)
            }
            Some(field) => segment::chosen(self.segments(), path)
                .next()
                .and_then(|segment| segment.first_range(field).and_then(|r| segment.bytes.get(r)))
                .unwrap_or_default(),
        }
    }

    /// Where its segments stand.
    pub(crate) fn spans(&self) -> &[Span] {
        &self.segments
    }

    /// Whether every segment has the delimiters of the first header, and each byte that looks like one
    /// of them is one.
    pub(crate) fn is_uniform(&self) -> bool {
        self.further.is_empty() && self.charset.width() == Width::Single
    }

    /// The same message in other bytes, where its segments stand at other places.
    pub(crate) fn moved(&self, bytes: Bytes, segments: Vec<Span>) -> Self {
        Self { bytes, segments, further: self.further.clone(), ..*self }
    }

    fn segment_ref(&self, index: usize, span: Span) -> SegmentRef<'_> {
        let bytes = slice(&self.bytes, span);
        SegmentRef::new(index, span.start, bytes, self.separators_at(index, bytes))
    }

    /// BTS and FTS belong to their BHS and FHS; every other segment to the last header before it.
    pub(crate) fn separators_at(&self, index: usize, bytes: &[u8]) -> Separators {
        if self.further.is_empty() {
            return self.separators;
        }
        let opened_by: Option<&[u8]> = match bytes.get(..3) {
            Some(b"BTS") => Some(b"BHS"),
            Some(b"FTS") => Some(b"FHS"),
            _ => None,
        };
        let before = self.further.iter().rev().skip_while(|header| header.segment > index);
        let mut own = before.filter(|header| opened_by.is_none_or(|id| header.id == id));
        own.next().map_or(self.separators, |header| header.separators)
    }

    fn read_further_headers(&mut self) -> Result<(), ParseError> {
        let is_batch = self
            .bytes
            .get(self.segments.first().map_or(0, |s| s.start)..)
            .is_some_and(|rest| !rest.starts_with(b"MSH"));
        for (segment, span) in self.segments.iter().enumerate().skip(1) {
            let bytes = slice(&self.bytes, *span);
            let Some(id) = header_id(bytes) else { continue };
            if !is_batch {
                return Err(ParseError::SecondMessage { at: span.start });
            }
            let separators = Separators::read(bytes, span.start)?;
            self.further.push(Header { segment, id, separators });
        }
        Ok(())
    }

    /// Line ends that the listener does not take for ends would make the whole message one header.
    fn refuse_foreign_line_ends(&self, first: Span) -> Result<(), ParseError> {
        let header = slice(&self.bytes, first);
        if let Some(at) = foreign_line_end(header, self.separators.field) {
            return Err(ParseError::LineEnd { at: first.start.saturating_add(at) });
        }
        Ok(())
    }

    fn set_charset(&mut self, rule: CharsetRule) {
        let header = self.segments().find(|segment| segment.id == b"MSH");
        let (msh18, repetition) = header.map_or((&b""[..], None), |header| {
            (header.field_bytes(18).unwrap_or_default(), header.separators.repetition)
        });
        self.charset = rule.resolve(msh18, repetition);
        let width = self.charset.width();
        // Text that is UTF-8 whatever was declared has no delimiter bytes inside its characters.
        if width == Width::Single
            || (width != Width::Shifted && std::str::from_utf8(&self.bytes).is_ok())
        {
            return;
        }
        self.separators.width = width;
        for header in &mut self.further {
            header.separators.width = width;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADT: &str = "MSH|^~\\&|A|B|C|D|2026||ADT^A01|7|P|2.5\rPID|1||P1^^^N&1^MR~P2^^^S^PI||Doe^Jane|\"\"|^^|x\rOBX|1\rOBX|2||||b\rZPV\r";

    fn read(text: &[u8], ends: SegmentEnds) -> Result<RawMessage, ParseError> {
        RawMessage::parse(Bytes::copy_from_slice(text), ends)
    }

    fn check(path: &str, state: &str, text: &str) {
        let message = read(ADT.as_bytes(), SegmentEnds::CrOnly).unwrap();
        let value = message.get(&Path::parse(path).unwrap());
        let found = match value {
            Value::Absent => "absent",
            Value::Empty => "empty",
            Value::Null => "null",
            Value::Text(_) => "text",
        };
        assert_eq!((found, value.text(Charset::Utf8).as_ref()), (state, text), "{path}");
    }

    #[test]
    fn finds_what_a_path_names() {
        check("PID-5.2", "text", "Jane");
        check("PID-5", "text", "Doe");
        check("PID-3[2].1", "text", "P2");
        check("PID-3(PI).1", "text", "P2");
        check("PID-3(XX).1", "absent", "");
        check("PID-3.4.2", "text", "1");
        check("PID-3.1.1", "text", "P1");
        check("PID-3.1.2", "absent", "");
        check("PID-6", "null", "");
        check("PID-6.1.1", "null", "");
        check("PID-7", "empty", "");
        check("PID-7.2", "empty", "");
        check("PID-99", "absent", "");
        check("PV1-2", "absent", "");
        check("ZPV", "text", "ZPV");
        check("ZPV-1", "absent", "");
        check("OBX[2]-5", "text", "b");
        check("OBX[3]-5", "absent", "");
        check("MSH-1", "text", "|");
        check("MSH-2", "text", "^~\\&");
        check("MSH-9.2", "text", "A01");
        check("MSH-12", "text", "2.5");
    }

    #[test]
    fn a_field_path_is_the_whole_field_and_a_star_is_each() {
        let message = read(ADT.as_bytes(), SegmentEnds::CrOnly).unwrap();
        let path = |text: &str| Path::parse(text).unwrap();
        assert_eq!(message.raw(&path("PID-3")), b"P1^^^N&1^MR~P2^^^S^PI");
        assert_eq!(message.raw(&path("PID-3[1]")), b"P1^^^N&1^MR");
        assert_eq!(message.raw(&path("PID-7")), b"^^");
        assert_eq!(message.raw(&path("PID-99")), b"");
        assert_eq!(message.raw(&path("OBX[2]")), b"OBX|2||||b");
        let texts = |at: &str| {
            let values = message.all(&path(at));
            values.iter().map(|value| value.text(Charset::Utf8).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(texts("PID-3[*].1"), ["P1", "P2"]);
        assert_eq!(texts("OBX[*]-1"), ["1", "2"]);
        assert_eq!(texts("OBX-1"), ["1"]);
        assert!(texts("PV1[*]-1").is_empty());
        assert_eq!(message.get_in(3, &path("OBX-5")).raw(), b"b");
        assert_eq!(message.get_in(99, &path("OBX-5")), Value::Absent);
    }

    fn segments(text: &[u8], ends: SegmentEnds, expected: Result<&[&str], &str>) {
        match (read(text, ends), expected) {
            (Ok(message), Ok(expected)) => {
                let ids: Vec<_> =
                    message.segments().map(|s| String::from_utf8_lossy(s.id)).collect();
                assert_eq!(ids, expected);
            }
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{error}");
            }
            (found, _) => panic!("{found:?}"),
        }
    }

    #[test]
    fn no_segment_is_lost_whatever_stands_before_it() {
        use SegmentEnds::{CrOnly, Lenient};
        segments(
            b"MSH|^~\\&|A\rPV1\rZZ|1\rpid\r|||\rtext\rPID|1",
            CrOnly,
            Ok(&["MSH", "PV1", "ZZ", "pid", "", "text", "PID"]),
        );
        segments(b"MSH|^~\\&|A\r\r\n\rPID|1\r\0\0", CrOnly, Ok(&["MSH", "PID"]));
        segments(b"\xEF\xBB\xBF \r\nMSH|^~\\&|A\rPID|1", CrOnly, Ok(&["MSH", "PID"]));
        segments(
            b"MSH|^~\\&|A\nPID|1\n\nPV1\r\nOBX|a\nb\n",
            Lenient,
            Ok(&["MSH", "PID", "PV1", "OBX"]),
        );
        segments(b"MSH|^~\\&|A\rOBX|a\nb\r", Lenient, Ok(&["MSH", "OBX"]));
        segments(b"MSH|^~\\&|A\nPID|1\n", CrOnly, Err("set the source's segment ends"));
        segments(b"MSH|^~\\&|A\r\nPID|1\r\n", CrOnly, Err("set the source's segment ends"));
        segments(b"MSH|^~\\&|A\r\0PID|1\r", CrOnly, Err("control character"));
        segments(b"MSH|^~\\&|A\rMSH|^~\\&|B\r", CrOnly, Err("a second MSH at byte 11"));
        segments(
            b"BHS|^~\\&|A\rMSH|^~\\&|B\rMSH|^~\\&|C\rBTS|2",
            CrOnly,
            Ok(&["BHS", "MSH", "MSH", "BTS"]),
        );
        segments(b"PID|1\r", CrOnly, Err("not MSH, FHS or BHS"));
        segments(b" \r\n", CrOnly, Err("no message"));
    }

    #[test]
    fn each_header_of_a_batch_declares_its_own_delimiters() {
        let text = b"FHS#*~\\&#A*B\rBHS|^~\\&|A\rMSH*^~\\&*A\rPID*1**x^y\rBTS|1\rFTS#1";
        let message = read(text, SegmentEnds::CrOnly).unwrap();
        let get = |path: &str| message.get(&Path::parse(path).unwrap()).text(Charset::Utf8);
        assert_eq!((get("FHS-3.2"), get("PID-3.2")), ("B".into(), "y".into()));
        assert_eq!((get("BTS-1"), get("FTS-1")), ("1".into(), "1".into()));
    }

    #[test]
    fn a_wrong_charset_does_not_swallow_delimiters() {
        let text = "MSH|^~\\&|A|||||||7|P|2.5||||||GB 18030-2000\rPID|1||王|x\r";
        let message = read(text.as_bytes(), SegmentEnds::CrOnly).unwrap();
        assert_eq!(message.get(&Path::parse("PID-4").unwrap()).raw(), b"x");
        let forced = ReadOptions {
            ends: SegmentEnds::CrOnly,
            charset: CharsetRule { forced: Some(Charset::Utf8), ..CharsetRule::default() },
        };
        let message = RawMessage::parse_with(Bytes::from(text), forced).unwrap();
        let name = message.get(&Path::parse("PID-3").unwrap());
        assert_eq!(name.try_text(message.charset()).unwrap(), "王");
    }
}
