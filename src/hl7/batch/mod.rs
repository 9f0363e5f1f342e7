//! Batches: `[FHS] { [BHS] { MSH … } [BTS] } [FTS]` (HL7 v2.5.1 §2.10.3), each header with its own delimiters.
//!
//! A batch is divided into its messages, which keep their bytes; headers and trailers stay as context for
//! what is said of the messages and for the answer. Nothing is dropped silently: what belongs to no message
//! is a [`Fault`].

mod reply;

pub use reply::reply;

use bytes::Bytes;
use thiserror::Error;

use crate::hl7::raw::{ParseError, SegmentEnds, SegmentRef};
use crate::hl7::scan::{self, Span};
use crate::hl7::segment::header_id;
use crate::hl7::separators::Separators;
use crate::message::verdict::Problem;

/// Faults of one batch that are told: a hostile one could hold millions.
pub const FAULTS_MAX: usize = 100;

/// What holds the messages together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One message and nothing else: its bytes are the input, whole.
    Single,
    /// Batch or file headers.
    Enveloped,
    /// Several messages one after another. Usual in files, a framing fault over MLLP.
    Loose,
}

/// An input divided into its messages.
#[derive(Debug, Clone)]
pub struct Batch {
    /// What holds them together.
    pub form: Form,
    /// FHS, when there is one.
    pub file: Option<Envelope>,
    /// Each BHS in its order; one without a header when messages stand outside of any.
    pub groups: Vec<Group>,
    /// The messages in their order.
    pub messages: Vec<Member>,
    /// What is wrong with the envelopes, the first [`FAULTS_MAX`]. The messages can be read all the same.
    pub faults: Vec<Fault>,
}

/// A group of messages.
#[derive(Debug, Clone)]
pub struct Group {
    /// BHS; `None` for messages that stand outside of any batch.
    pub header: Option<Envelope>,
    /// How many messages it has.
    pub count: usize,
}

/// A message of a batch.
#[derive(Clone)]
pub struct Member {
    /// Its bytes, as they stand in the batch.
    pub bytes: Bytes,
    /// Its group, from 0.
    pub group: usize,
    /// Its place in the group, from 1.
    pub index: usize,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Member({} bytes, {} of group {})", self.bytes.len(), self.index, self.group)
    }
}

/// A batch or file header. Fields are raw bytes.
#[derive(Clone)]
pub struct Envelope {
    bytes: Bytes,
    separators: Separators,
}

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Envelope({} bytes)", self.bytes.len())
    }
}

impl Envelope {
    /// The header segment.
    #[must_use]
    pub fn segment(&self) -> SegmentRef<'_> {
        SegmentRef::new(0, 0, &self.bytes, self.separators)
    }

    /// BHS-11 or FHS-11: its id, which an answer repeats.
    #[must_use]
    pub fn control_id(&self) -> &[u8] {
        self.segment().field_bytes(11).unwrap_or_default()
    }

    /// BHS-12 or FHS-12: the id it answers.
    #[must_use]
    pub fn answers(&self) -> &[u8] {
        self.segment().field_bytes(12).unwrap_or_default()
    }
}

/// What is wrong with the envelopes. Positions and counts, never content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// A trailer's count is not the number of what came.
    #[error("the trailer at byte {at} declares {declared} where {found} came")]
    Count {
        /// Offset of the trailer.
        at: usize,
        /// BTS-1 or FTS-1.
        declared: usize,
        /// What came.
        found: usize,
    },
    /// BHS without BTS, or FHS without FTS.
    #[error("the batch or file has no trailer; it may have been cut off")]
    NoTrailer,
    /// BTS without BHS, or FTS without FHS.
    #[error("the trailer at byte {at} ends what did not begin")]
    NoHeader {
        /// Offset of the trailer.
        at: usize,
    },
    /// A segment between envelopes that belongs to no message.
    #[error("the segment at byte {at} belongs to no message")]
    Stray {
        /// Offset of the segment.
        at: usize,
    },
}

impl Fault {
    /// What a sender is told where faults refuse the batch.
    #[must_use]
    pub fn problem(&self) -> Problem {
        Problem { code: 100, location: None, text: self.to_string(), reject: false }
    }
}

impl Batch {
    /// Divides an input into its messages. One message without envelopes costs one scan and no copy.
    ///
    /// # Errors
    /// When it has no header at the start, or a header whose delimiters cannot be used.
    pub fn split(bytes: &Bytes, ends: SegmentEnds) -> Result<Self, ParseError> {
        let start = scan::start_of_header(bytes)?;
        let spans = scan::index(bytes, start, ends)?;
        let mut reader = Reader::new(bytes);
        for span in spans {
            reader.take(span)?;
        }
        Ok(reader.finish())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Message { start: usize },
}

struct Reader<'b> {
    bytes: &'b Bytes,
    batch: Batch,
    open: Open,
    in_group: bool,
    in_file: bool,
    has_envelopes: bool,
}

impl<'b> Reader<'b> {
    const fn new(bytes: &'b Bytes) -> Self {
        let batch = Batch {
            form: Form::Single,
            file: None,
            groups: Vec::new(),
            messages: Vec::new(),
            faults: Vec::new(),
        };
        let open = Open::Nothing;
        Self { bytes, batch, open, in_group: false, in_file: false, has_envelopes: false }
    }

    fn take(&mut self, span: Span) -> Result<(), ParseError> {
        let segment = scan::slice(self.bytes, span);
        match header_id(segment).as_ref() {
            Some(b"MSH") => {
                Separators::read(segment, span.start)?;
                self.close_message(span.start);
                self.open = Open::Message { start: span.start };
            }
            Some(b"BHS") => {
                let header = self.envelope(segment, span)?;
                self.close_group(span.start);
                self.batch.groups.push(Group { header: Some(header), count: 0 });
                self.in_group = true;
            }
            Some(_) => {
                let header = self.envelope(segment, span)?;
                self.close_file(span.start);
                self.batch.file = Some(header);
                self.in_file = true;
            }
            None if is_trailer(segment, *b"BTS") => self.end_group(segment, span),
            None if is_trailer(segment, *b"FTS") => self.end_file(segment, span),
            None if self.open == Open::Nothing => {
                self.fault(Fault::Stray { at: span.start });
            }
            None => {}
        }
        Ok(())
    }

    fn finish(mut self) -> Batch {
        self.close_file(self.bytes.len());
        let count = self.batch.messages.len();
        self.batch.form = match (self.has_envelopes, count) {
            (true, _) => Form::Enveloped,
            (false, 0 | 1) => Form::Single,
            (false, _) => Form::Loose,
        };
        if self.batch.form == Form::Single
            && let Some(only) = self.batch.messages.first_mut()
        {
            only.bytes = self.bytes.clone();
        }
        self.batch
    }

    fn envelope(&mut self, segment: &[u8], span: Span) -> Result<Envelope, ParseError> {
        let separators = Separators::read(segment, span.start)?;
        self.has_envelopes = true;
        Ok(Envelope { bytes: self.bytes.slice_ref(segment), separators })
    }

    fn close_message(&mut self, end: usize) {
        let Open::Message { start } = self.open else { return };
        self.open = Open::Nothing;
        if self.batch.groups.is_empty() || (!self.in_group && self.last_group_has_header()) {
            self.batch.groups.push(Group { header: None, count: 0 });
        }
        let group = self.batch.groups.len().saturating_sub(1);
        let Some(last) = self.batch.groups.last_mut() else { return };
        last.count = last.count.saturating_add(1);
        let bytes = self.bytes.slice(start..end);
        self.batch.messages.push(Member { bytes, group, index: last.count });
    }

    fn fault(&mut self, fault: Fault) {
        if self.batch.faults.len() < FAULTS_MAX {
            self.batch.faults.push(fault);
        }
    }

    fn last_group_has_header(&self) -> bool {
        self.batch.groups.last().is_some_and(|group| group.header.is_some())
    }

    fn close_group(&mut self, end: usize) {
        self.close_message(end);
        if std::mem::take(&mut self.in_group) {
            self.fault(Fault::NoTrailer);
        }
    }

    fn close_file(&mut self, end: usize) {
        self.close_group(end);
        if std::mem::take(&mut self.in_file) {
            self.fault(Fault::NoTrailer);
        }
    }

    fn end_group(&mut self, trailer: &[u8], span: Span) {
        self.close_message(span.start);
        if !std::mem::take(&mut self.in_group) {
            return self.fault(Fault::NoHeader { at: span.start });
        }
        let group = self.batch.groups.last();
        let separators = group.and_then(|group| group.header.as_ref()).map(|h| h.separators);
        let found = group.map_or(0, |group| group.count);
        self.check_count(trailer, separators, found, span);
    }

    fn end_file(&mut self, trailer: &[u8], span: Span) {
        self.close_group(span.start);
        if !std::mem::take(&mut self.in_file) {
            return self.fault(Fault::NoHeader { at: span.start });
        }
        let separators = self.batch.file.as_ref().map(|header| header.separators);
        let found = self.batch.groups.iter().filter(|group| group.header.is_some()).count();
        self.check_count(trailer, separators, found, span);
    }

    /// A count that is left out, or is no number, declares nothing.
    fn check_count(
        &mut self,
        trailer: &[u8],
        separators: Option<Separators>,
        found: usize,
        span: Span,
    ) {
        let separators = separators.unwrap_or(Separators::STANDARD);
        let segment = SegmentRef::new(0, span.start, trailer, separators);
        let count = segment.field_bytes(1).and_then(|field| std::str::from_utf8(field).ok());
        let declared = count.and_then(|count| count.trim().parse::<usize>().ok());
        if let Some(declared) = declared.filter(|declared| *declared != found) {
            self.fault(Fault::Count { at: span.start, declared, found });
        }
    }
}

fn is_trailer(segment: &[u8], id: [u8; 3]) -> bool {
    segment.first_chunk::<3>() == Some(&id)
        && segment.get(3).is_none_or(|byte| !byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests;
