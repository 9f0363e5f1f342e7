//! Frames of one connection: MLLP's own, or the start and end bytes a destination was given.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;

use crate::destination::mllp::answer::Fault;
use crate::destination::mllp::options::{AnswerForm, MllpDestinationOptions};
use crate::hl7::mllp::{self, Decoder, Event};

/// Whether the options ask for frames as the standard has them.
fn is_standard(options: &MllpDestinationOptions) -> bool {
    options.frame_start == [mllp::START] && options.frame_end == [mllp::END, mllp::CARRIAGE_RETURN]
}

/// Whether a message can be sent in a frame.
pub(super) fn check(options: &MllpDestinationOptions, body: &[u8]) -> Result<(), Fault> {
    let unframable = |text: String| Fault::new("unframable", text);
    if is_standard(options) {
        return mllp::check(body).map_err(|error| unframable(error.to_string()));
    }
    let end = &options.frame_end;
    if !end.is_empty() && memmem::find(body, end).is_some() {
        return Err(unframable("the message holds the end bytes of a frame".to_owned()));
    }
    Ok(())
}

/// What stands around a message in its frame. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Edges {
    start: Bytes,
    end: Bytes,
}

impl Edges {
    pub(super) fn of(options: &MllpDestinationOptions) -> Self {
        Self::new(&options.frame_start, &options.frame_end)
    }

    pub(super) fn new(start: &[u8], end: &[u8]) -> Self {
        Self { start: Bytes::copy_from_slice(start), end: Bytes::copy_from_slice(end) }
    }

    /// The three parts of a frame.
    pub(super) fn around<'e>(&'e self, body: &'e [u8]) -> [&'e [u8]; 3] {
        [&self.start, body, &self.end]
    }

    pub(super) fn frame_size(&self, body: &[u8]) -> usize {
        self.start.len().saturating_add(body.len()).saturating_add(self.end.len())
    }

    pub(super) fn end_size(&self) -> usize {
        self.end.len()
    }
}

/// Reads answers from a stream, whatever its cuts.
pub(super) enum AnswerReader {
    /// `0B … 1C 0D`, lenient about a missing `0D`.
    Standard(Decoder),
    /// Between other bytes.
    Custom(CustomReader),
    /// Single bytes.
    Bytes(BytesMut),
}

impl AnswerReader {
    pub(super) fn new(options: &MllpDestinationOptions) -> Self {
        if options.answer == AnswerForm::Byte {
            return Self::Bytes(BytesMut::new());
        }
        if is_standard(options) {
            return Self::Standard(Decoder::new(mllp::Options {
                size_bytes_max: options.answer_bytes_max,
                ..mllp::Options::default()
            }));
        }
        Self::Custom(CustomReader {
            start: options.frame_start.clone(),
            end: options.frame_end.clone(),
            size_bytes_max: options.answer_bytes_max,
            buffer: BytesMut::new(),
            scanned: 0,
        })
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Standard(decoder) => decoder.push(bytes),
            Self::Custom(reader) => reader.buffer.extend_from_slice(bytes),
            Self::Bytes(buffer) => buffer.extend_from_slice(bytes),
        }
    }

    pub(super) fn next_event(&mut self) -> Option<Event> {
        match self {
            Self::Standard(decoder) => decoder.next_event(),
            Self::Custom(reader) => reader.next_event(),
            Self::Bytes(buffer) => next_byte(buffer),
        }
    }

    /// Whether a part of a frame was read.
    pub(super) fn is_inside(&self) -> bool {
        match self {
            Self::Standard(decoder) => decoder.is_inside(),
            Self::Custom(reader) => !reader.buffer.is_empty(),
            Self::Bytes(_) => false,
        }
    }

    /// Whether only a `0D` is missing.
    pub(super) fn may_end_at_pause(&self) -> bool {
        matches!(self, Self::Standard(decoder) if decoder.may_end_at_pause())
    }

    /// The frame whose last `0D` does not come.
    pub(super) fn end_at_pause(&mut self) -> Option<Event> {
        match self {
            Self::Standard(decoder) => decoder.end_at_pause(),
            Self::Custom(_) | Self::Bytes(_) => None,
        }
    }
}

/// The next byte that says something. The bytes of a frame around it say nothing.
fn next_byte(buffer: &mut BytesMut) -> Option<Event> {
    while !buffer.is_empty() {
        match buffer.get_u8() {
            mllp::START | mllp::END | mllp::CARRIAGE_RETURN => {}
            byte @ (mllp::ACK | mllp::NAK) => {
                return Some(Event::Frame(Bytes::copy_from_slice(&[byte])));
            }
            _ => return Some(Event::Garbage { bytes: 1 }),
        }
    }
    None
}

/// Reads frames between any two byte sequences.
pub(super) struct CustomReader {
    start: Vec<u8>,
    end: Vec<u8>,
    size_bytes_max: usize,
    buffer: BytesMut,
    scanned: usize,
}

impl CustomReader {
    fn next_event(&mut self) -> Option<Event> {
        let begins = memmem::find(&self.buffer, &self.start);
        match begins {
            Some(0) => {}
            Some(bytes) => {
                self.buffer.advance(bytes);
                self.scanned = 0;
                return Some(Event::Garbage { bytes });
            }
            None if self.buffer.len() < self.start.len() => return None,
            None => {
                // The last bytes may be the beginning of the start.
                let bytes = self.buffer.len().saturating_sub(self.start.len().saturating_sub(1));
                self.buffer.advance(bytes);
                return (bytes > 0).then_some(Event::Garbage { bytes });
            }
        }
        let from = self.scanned.max(self.start.len());
        let rest = self.buffer.get(from..).unwrap_or_default();
        let Some(at) = memmem::find(rest, &self.end).map(|at| from.saturating_add(at)) else {
            if self.buffer.len() > self.size_bytes_max.saturating_add(self.start.len()) {
                self.buffer.clear();
                return Some(Event::Oversize { prefix: Bytes::new() });
            }
            let kept = self.end.len().saturating_sub(1);
            self.scanned = self.buffer.len().saturating_sub(kept);
            return None;
        };
        let mut frame = self.buffer.split_to(at);
        frame.advance(self.start.len());
        self.buffer.advance(self.end.len());
        self.scanned = 0;
        Some(Event::Frame(frame.freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(start: &[u8], end: &[u8]) -> MllpDestinationOptions {
        MllpDestinationOptions {
            frame_start: start.to_vec(),
            frame_end: end.to_vec(),
            answer_bytes_max: 16,
            ..MllpDestinationOptions::default()
        }
    }

    fn events(options: &MllpDestinationOptions, pieces: &[&[u8]]) -> Vec<Event> {
        let mut reader = AnswerReader::new(options);
        let mut events = Vec::new();
        for piece in pieces {
            reader.push(piece);
            events.extend(std::iter::from_fn(|| reader.next_event()));
        }
        events
    }

    #[test]
    fn frames_of_other_bytes_survive_any_cut() {
        let options = options(b"<<", b">>\n");
        let stream = b"<<one>>\n<<t>wo>>\n";
        let expected = vec![
            Event::Frame(Bytes::from_static(b"one")),
            Event::Frame(Bytes::from_static(b"t>wo")),
        ];
        assert_eq!(events(&options, &[stream]), expected);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(events(&options, &bytes), expected);
        assert_eq!(Edges::of(&options).around(b"one").concat(), b"<<one>>\n");
        assert_eq!(check(&options, b"one"), Ok(()));
        assert_eq!(check(&options, b"o>>\nne").unwrap_err().code, "unframable");
    }

    #[test]
    fn what_is_no_frame_is_garbage_and_what_never_ends_is_too_large() {
        let options = options(b"<<", b">>");
        assert_eq!(
            events(&options, &[b"xx<<a>>"]),
            [Event::Garbage { bytes: 2 }, Event::Frame(Bytes::from_static(b"a"))]
        );
        assert_eq!(events(&options, &[b"xxx"]), [Event::Garbage { bytes: 2 }]);
        let large = [&b"<<"[..], &[b'x'; 17]].concat();
        assert_eq!(events(&options, &[&large]), [Event::Oversize { prefix: Bytes::new() }]);
    }

    #[test]
    fn single_bytes_are_answers_in_a_frame_or_bare() {
        let options = MllpDestinationOptions {
            answer: AnswerForm::Byte,
            ..MllpDestinationOptions::default()
        };
        let yes = Event::Frame(Bytes::from_static(b"\x06"));
        let no = Event::Frame(Bytes::from_static(b"\x15"));
        assert_eq!(events(&options, &[b"\x0B\x06", b"\x1C\x0D\x15"]), [yes.clone(), no]);
        assert_eq!(events(&options, &[b"x\x06"]), [Event::Garbage { bytes: 1 }, yes]);
    }

    #[test]
    fn the_standard_frame_is_mllp() {
        let options = MllpDestinationOptions::default();
        assert_eq!(Edges::of(&options).around(b"MSH").concat(), b"\x0BMSH\x1C\x0D");
        assert_eq!(check(&options, b"M\x1C\x0DSH").unwrap_err().code, "unframable");
        assert_eq!(
            events(&options, &[b"\x0BMS", b"A\x1C", b"\x0D"]),
            [Event::Frame(Bytes::from_static(b"MSA"))]
        );
    }
}
