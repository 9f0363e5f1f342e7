//! A message as it came: its bytes, its delimiters and where its segments stand. Fields are found when asked.
//!
//! Reading is lenient: what can be kept is kept, and `strict` lists what a strict listener minds. It
//! refuses only what would be misread: no header, unusable delimiters, two messages in one.

use bytes::Bytes;
use thiserror::Error;

use crate::hl7::charset::{Charset, CharsetRule, Width};
use crate::hl7::locate;
use crate::hl7::path::{FieldPath, Path, Which, is_segment_id};
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
    /// MSH-2 is empty, has two equal delimiters, or one that is no punctuation.
    #[error(
        "MSH-2 of the header at byte {at} is empty, repeats a delimiter or holds one that is no ASCII punctuation"
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
            Self::HeaderTruncated { .. } => (101, Some(2)),
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

/// One line of the message: from its first byte to its last, the line end not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
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
        get(self.segments(), path)
    }

    /// All values that `path` names: one for each segment and repetition that it chooses.
    #[must_use]
    pub fn all(&self, path: &Path) -> Vec<Value<'_>> {
        all(self.segments(), path)
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
            None => chosen(self.segments(), path).next().map_or(b"", |segment| segment.bytes),
            Some(field) => chosen(self.segments(), path)
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
        for end in [&b"\n"[..], b"\xE2\x80\xA8", b"\xE2\x80\xA9", b"\xC2\x85"] {
            for at in memchr::memmem::find_iter(header, end) {
                let behind = header.get(at.saturating_add(end.len())..).unwrap_or_default();
                if starts_segment(behind, self.separators.field) {
                    return Err(ParseError::LineEnd { at: first.start.saturating_add(at) });
                }
            }
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

/// A segment of a message.
#[derive(Debug, Clone, Copy)]
pub struct SegmentRef<'m> {
    /// What stands before the first field separator: usually three characters, anything when malformed.
    pub id: &'m [u8],
    /// Which segment of the message, from 0.
    pub index: usize,
    /// Offset of its first byte.
    pub at: usize,
    /// Its bytes without its end.
    pub bytes: &'m [u8],
    /// The delimiters in force for it.
    pub separators: Separators,
}

impl<'m> SegmentRef<'m> {
    pub(crate) fn new(index: usize, at: usize, bytes: &'m [u8], separators: Separators) -> Self {
        let end = if header_id(bytes).is_some() {
            3
        } else {
            memchr::memchr(separators.field, bytes).unwrap_or(bytes.len())
        };
        Self { id: bytes.get(..end).unwrap_or(bytes), index, at, bytes, separators }
    }

    /// The id as text; "" when it is no segment id of the standard (`[A-Z][A-Z0-9]{2}`).
    #[must_use]
    pub fn name(&self) -> &'m str {
        if self.is_well_formed() { std::str::from_utf8(self.id).unwrap_or_default() } else { "" }
    }

    /// Whether its id is one of the standard's form.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        is_segment_id(self.id)
    }

    /// Whether it declares delimiters: MSH, FHS, BHS.
    #[must_use]
    pub fn is_header(&self) -> bool {
        header_id(self.bytes).is_some()
    }

    /// The whole field `number`, from 1. Of a header, 1 is the separator and 2 the encoding characters.
    #[must_use]
    pub fn field(&self, number: usize) -> Value<'m> {
        match self.field_bytes(number) {
            Some(raw) => Value::of(raw, self.inner_separators(number)),
            None => Value::Absent,
        }
    }

    /// The bytes of a whole field; `None` when the segment ends before it.
    #[must_use]
    pub fn field_bytes(&self, number: usize) -> Option<&'m [u8]> {
        self.field_range(number).and_then(|range| self.bytes.get(range))
    }

    /// The values of all its fields, from 1.
    pub fn fields(&self) -> impl Iterator<Item = Value<'m>> + use<'m> {
        let segment = *self;
        let own = segment.is_header().then(|| segment.field(1));
        let skipped = if segment.is_header() { 2_usize } else { 1 };
        let rest = locate::pieces(
            segment.bytes,
            0..segment.bytes.len(),
            Some(segment.separators.field),
            segment.separators.width,
        );
        let rest = rest.skip(1).enumerate().map(move |(n, range)| {
            let raw = segment.bytes.get(range).unwrap_or_default();
            Value::of(raw, segment.inner_separators(n.saturating_add(skipped)))
        });
        own.into_iter().chain(rest)
    }

    /// Component `component` of each repetition of a field.
    #[must_use]
    pub fn part_of_each(&self, field: usize, component: usize) -> Vec<Value<'m>> {
        let Some(range) = self.field_range(field) else { return Vec::new() };
        let separators = self.inner_separators(field);
        let divide =
            |range, separator| locate::pieces(self.bytes, range, separator, separators.width);
        divide(range, separators.repetition)
            .filter_map(|repetition| {
                divide(repetition, separators.component).nth(component.saturating_sub(1))
            })
            .filter_map(|range| self.bytes.get(range))
            .map(|raw| Value::of(raw, separators))
            .collect()
    }

    /// What stands at the path's field part; of several repetitions the first.
    #[must_use]
    pub fn get(&self, path: &Path) -> Value<'m> {
        match path.field() {
            None => Value::of(self.bytes, self.separators),
            Some(field) => {
                self.first_range(field).map_or(Value::Absent, |range| self.value(field, range))
            }
        }
    }

    pub(crate) fn value(&self, field: &FieldPath, range: std::ops::Range<usize>) -> Value<'m> {
        let separators = self.inner_separators(number(field.number));
        self.bytes.get(range).map_or(Value::Absent, |raw| Value::of(raw, separators))
    }

    /// MSH-1 and MSH-2 hold delimiters as data.
    pub(crate) fn inner_separators(&self, field: usize) -> Separators {
        if self.is_header() && field <= 2 {
            return Separators {
                component: None,
                repetition: None,
                escape: None,
                subcomponent: None,
                truncation: None,
                ..self.separators
            };
        }
        self.separators
    }

    pub(crate) fn field_range(&self, number: usize) -> Option<std::ops::Range<usize>> {
        let piece = match (self.is_header(), number) {
            (_, 0) => return None,
            (true, 1) => return Some(3..4),
            (true, number) => number.saturating_sub(1),
            (false, number) => number,
        };
        let all = 0..self.bytes.len();
        locate::pieces(self.bytes, all, Some(self.separators.field), self.separators.width)
            .nth(piece)
    }

    /// Ranges of all that the field path names in this segment.
    pub(crate) fn ranges(&self, path: &FieldPath) -> Vec<std::ops::Range<usize>> {
        let Some(field) = self.field_range(number(path.number)) else { return Vec::new() };
        let separators = self.inner_separators(number(path.number));
        if path.repetition == Which::Unsaid && path.component.is_none() {
            return vec![field];
        }
        let divide =
            |range, separator| locate::pieces(self.bytes, range, separator, separators.width);
        let below = |repetition: std::ops::Range<usize>| {
            let Some(component) = path.component else { return Some(repetition) };
            let nth = number(component).saturating_sub(1);
            let component = divide(repetition, separators.component).nth(nth)?;
            let Some(subcomponent) = path.subcomponent else { return Some(component) };
            divide(component, separators.subcomponent).nth(number(subcomponent).saturating_sub(1))
        };
        let mut repetitions = divide(field, separators.repetition);
        match &path.repetition {
            Which::Unsaid => repetitions.next().and_then(below).into_iter().collect(),
            Which::Nth(n) => {
                let nth = number(*n).saturating_sub(1);
                repetitions.nth(nth).and_then(below).into_iter().collect()
            }
            Which::All => repetitions.filter_map(below).collect(),
            Which::Typed(kind) => repetitions
                .find(|range| self.is_of_type(range.clone(), separators, kind))
                .and_then(below)
                .into_iter()
                .collect(),
        }
    }

    /// Whether the fifth component of a repetition (CX.5) is `kind`.
    pub(crate) fn is_of_type(
        &self,
        repetition: std::ops::Range<usize>,
        separators: Separators,
        kind: &str,
    ) -> bool {
        let mut components =
            locate::pieces(self.bytes, repetition, separators.component, separators.width);
        let fifth = components.nth(4).and_then(|range| self.bytes.get(range));
        fifth.is_some_and(|raw| Value::of(raw, separators).leaf() == kind.as_bytes())
    }

    fn first_range(&self, path: &FieldPath) -> Option<std::ops::Range<usize>> {
        self.ranges(path).into_iter().next()
    }
}

/// A path's number as an index.
pub(crate) fn number(number: std::num::NonZeroU32) -> usize {
    usize::try_from(number.get()).unwrap_or(usize::MAX)
}

/// The segments that a path chooses.
pub(crate) fn chosen<'m, I: Iterator<Item = SegmentRef<'m>>>(
    segments: I,
    path: &Path,
) -> impl Iterator<Item = SegmentRef<'m>> {
    let (skip, take) = match path.occurrence() {
        Which::All => (0, usize::MAX),
        Which::Nth(n) => (number(*n).saturating_sub(1), 1),
        Which::Unsaid | Which::Typed(_) => (0, 1),
    };
    segments.filter(move |segment| segment.id == path.segment_bytes()).skip(skip).take(take)
}

pub(crate) fn get<'m>(segments: impl Iterator<Item = SegmentRef<'m>>, path: &Path) -> Value<'m> {
    chosen(segments, path).next().map_or(Value::Absent, |segment| segment.get(path))
}

pub(crate) fn all<'m>(
    segments: impl Iterator<Item = SegmentRef<'m>>,
    path: &Path,
) -> Vec<Value<'m>> {
    let mut values = Vec::new();
    for segment in chosen(segments, path) {
        match path.field() {
            None => values.push(segment.get(path)),
            Some(field) => {
                values.extend(segment.ranges(field).into_iter().map(|r| segment.value(field, r)));
            }
        }
    }
    values
}

/// MSH, FHS or BHS, when `segment` is one.
pub(crate) fn header_id(segment: &[u8]) -> Option<[u8; 3]> {
    let id = segment.first_chunk::<3>().filter(|id| HEADERS.contains(id))?;
    let is_longer_word = segment.get(3).is_some_and(u8::is_ascii_alphanumeric);
    (!is_longer_word).then_some(*id)
}

const HEADERS: [&[u8; 3]; 3] = [b"MSH", b"FHS", b"BHS"];

fn slice(bytes: &[u8], span: Span) -> &[u8] {
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
fn index(bytes: &[u8], start: usize, ends: SegmentEnds) -> Result<Vec<Span>, ParseError> {
    let rest = bytes.get(start..).unwrap_or_default();
    let field = rest.get(3).copied().unwrap_or(b'|');
    let mut segments = Vec::with_capacity(rest.len().checked_div(64).unwrap_or(0).min(1024));
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
