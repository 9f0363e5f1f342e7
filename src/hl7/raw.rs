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

    fn segment_ref(&self, index: usize, span: Span) -> SegmentRef<'_> {
        let bytes = slice(&self.bytes, span);
        SegmentRef::new(index, span.start, bytes, self.separators_at(index, bytes))
    }

    /// BTS and FTS belong to their BHS and FHS; every other segment to the last header before it.
    fn separators_at(&self, index: usize, bytes: &[u8]) -> Separators {
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
