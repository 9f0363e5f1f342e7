//! MLLP framing without I/O: `0B` message `1C 0D` (HL7 v2 transport specification, minimal lower layer).
//!
//! The events do not depend on how the stream was cut into reads, and each byte is looked at once:
//!
//! ```text
//!          0B                        1C 0D → Frame
//! between ───→ in a frame ──────────────────────→ between
//!                 │  0B MSH: Restarted, or Nested
//!                 └─ over the limit: Oversize ──→ stopped: everything is ignored
//! ```

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// First byte of a frame.
pub const START: u8 = 0x0B;
/// Last byte but one.
pub const END: u8 = 0x1C;
/// Last byte.
pub const CARRIAGE_RETURN: u8 = 0x0D;
/// The content of a frame that says "stored" (MLLP release 2 §4.1, commit acknowledgement block).
pub const ACK: u8 = 0x06;
/// The content of a frame that says "not stored".
pub const NAK: u8 = 0x15;

/// How much of an oversize frame is kept, so that its header can be answered.
const PREFIX_BYTES: usize = 4096;

/// What a frame that starts inside a frame does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NestedStart {
    /// The open frame is dropped and reported, the inner one is read. Never are both merged.
    #[default]
    Restart,
    /// The stream is given up.
    Reject,
}

/// What ends a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FrameEnd {
    /// `1C 0D`; also `1C` before LF or the next start, and before a pause (see [`Decoder::end_at_pause`]).
    #[default]
    Lenient,
    /// `1C 0D` only.
    Strict,
}

/// How a stream is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Largest message accepted, in bytes.
    pub size_bytes_max: usize,
    /// What a start byte inside a frame does.
    pub nested: NestedStart,
    /// What ends a frame.
    pub end: FrameEnd,
}

impl Default for Options {
    fn default() -> Self {
        const MEBIBYTE: usize = 1024 * 1024;
        Self {
            size_bytes_max: 10 * MEBIBYTE,
            nested: NestedStart::default(),
            end: FrameEnd::default(),
        }
    }
}

/// What was found in the stream.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// A message, without its framing.
    Frame(Bytes),
    /// Bytes before a start byte that belong to no frame.
    Garbage {
        /// How many.
        bytes: usize,
    },
    /// A frame started inside another, which was dropped.
    Restarted {
        /// Size of what was dropped.
        bytes: usize,
    },
    /// A frame started inside another, and that is not allowed: the stream is given up.
    Nested {
        /// The first bytes of the outer frame, for the header of the answer.
        prefix: Bytes,
    },
    /// A frame is longer than allowed: the stream is given up.
    Oversize {
        /// Its first bytes, for the header of the answer.
        prefix: Bytes,
    },
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Frame(frame) => write!(f, "Frame({} bytes)", frame.len()),
            Self::Garbage { bytes } => write!(f, "Garbage({bytes} bytes)"),
            Self::Restarted { bytes } => write!(f, "Restarted({bytes} bytes)"),
            Self::Nested { prefix } => write!(f, "Nested({} bytes)", prefix.len()),
            Self::Oversize { prefix } => write!(f, "Oversize({} bytes)", prefix.len()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between frames; so many bytes of garbage were seen since the last one.
    Between { garbage: usize, is_first: bool },
    /// In a frame; the first so many bytes of the buffer are known to be content.
    Inside { scanned: usize },
    /// Given up.
    Stopped,
}

/// Reads frames from a stream, whatever its cuts.
#[derive(Debug)]
pub struct Decoder {
    options: Options,
    buffer: BytesMut,
    state: State,
    skipped: u64,
}

impl Decoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let state = State::Between { garbage: 0, is_first: false };
        Self { options, buffer: BytesMut::new(), state, skipped: 0 }
    }

    /// Takes what was read. Ask [`Self::next_event`] until it says `None` before the next push.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Where a reader may append directly instead of pushing.
    pub const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next event; `None` when more bytes are needed.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            match self.state {
                State::Stopped => {
                    self.skip(self.buffer.len());
                    return None;
                }
                State::Between { garbage, is_first } => {
                    let start = self.seek(garbage, is_first)?;
                    if start > 0 {
                        return Some(Event::Garbage { bytes: start });
                    }
                }
                State::Inside { scanned } => match self.scan(scanned) {
                    Step::Wait => return None,
                    Step::Again => {}
                    Step::Found(event) => return Some(event),
                },
            }
        }
    }

    /// Whether the frame's last byte may have come: its `1C` was the last byte read.
    #[must_use]
    pub fn may_end_at_pause(&self) -> bool {
        let State::Inside { scanned } = self.state else { return false };
        let rest = self.buffer.get(scanned..).unwrap_or_default();
        self.options.end == FrameEnd::Lenient && rest == [END]
    }

    /// Ends the frame whose `1C` was the last byte read: for senders that leave the `0D` out. To be
    /// called when nothing came for a while, or the stream ended.
    pub fn end_at_pause(&mut self) -> Option<Event> {
        let State::Inside { scanned } = self.state else { return None };
        self.may_end_at_pause().then(|| self.finish(scanned, 1))
    }

    /// Bytes outside of frames since the start, those dropped with broken frames included.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Whether a frame is open: its sender may be slow or dead.
    #[must_use]
    pub const fn is_inside(&self) -> bool {
        matches!(self.state, State::Inside { .. })
    }

    /// Whether the stream was given up, so that the connection is to be closed.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        matches!(self.state, State::Stopped)
    }

    /// Skips to the next start byte; the number of garbage bytes before it, once it was found.
    fn seek(&mut self, garbage: usize, is_first: bool) -> Option<usize> {
        if self.buffer.is_empty() {
            return None;
        }
        // A lone LF behind a frame is common and no garbage.
        if is_first && self.buffer.first() == Some(&b'\n') {
            self.buffer.advance(1);
            self.state = State::Between { garbage, is_first: false };
            return self.seek(garbage, false);
        }
        let found = memchr::memchr(START, &self.buffer);
        let before = found.unwrap_or(self.buffer.len());
        self.skip(before);
        let garbage = garbage.saturating_add(before);
        if found.is_none() {
            self.state = State::Between { garbage, is_first: false };
            return None;
        }
        self.buffer.advance(1);
        self.state = State::Inside { scanned: 0 };
        Some(garbage)
    }

    /// Looks at one byte that may end the frame or start another.
    fn scan(&mut self, scanned: usize) -> Step {
        let rest = self.buffer.get(scanned..).unwrap_or_default();
        let found = memchr::memchr2(START, END, rest).and_then(|at| at.checked_add(scanned));
        let at = found.unwrap_or(self.buffer.len());
        if at > self.options.size_bytes_max {
            let prefix = self.prefix(self.options.size_bytes_max);
            self.state = State::Stopped;
            return Step::Found(Event::Oversize { prefix });
        }
        self.state = State::Inside { scanned: at };
        let Some((byte, behind)) = self.buffer.get(at..).and_then(<[u8]>::split_first) else {
            return Step::Wait;
        };
        let mark = if *byte == END { end(behind, self.options.end) } else { start(behind, at) };
        match mark {
            Mark::Unknown => Step::Wait,
            Mark::Content => {
                self.state = State::Inside { scanned: at.saturating_add(1) };
                Step::Again
            }
            Mark::End { bytes } => Step::Found(self.finish(at, bytes)),
            Mark::Start => self.restart(at),
        }
    }

    fn restart(&mut self, at: usize) -> Step {
        if at > 0 && self.options.nested == NestedStart::Reject {
            let prefix = self.prefix(at);
            self.state = State::Stopped;
            return Step::Found(Event::Nested { prefix });
        }
        self.skip(at);
        self.buffer.advance(1);
        self.state = State::Inside { scanned: 0 };
        if at == 0 { Step::Again } else { Step::Found(Event::Restarted { bytes: at }) }
    }

    fn finish(&mut self, at: usize, end_bytes: usize) -> Event {
        let frame = self.buffer.split_to(at).freeze();
        self.buffer.advance(end_bytes);
        self.state = State::Between { garbage: 0, is_first: true };
        Event::Frame(frame)
    }

    fn prefix(&self, size: usize) -> Bytes {
        let length = PREFIX_BYTES.min(size);
        let kept = self.buffer.get(..length).unwrap_or(&self.buffer);
        Bytes::copy_from_slice(kept)
    }

    fn skip(&mut self, bytes: usize) {
        self.buffer.advance(bytes);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.skipped = self.skipped.saturating_add(bytes);
    }
}

enum Step {
    Wait,
    Again,
    Found(Event),
}

/// What a `1C` or a `0B` inside a frame is.
enum Mark {
    /// More bytes are needed to tell.
    Unknown,
    /// A byte of the message.
    Content,
    /// The end, of so many bytes.
    End { bytes: usize },
    /// The start of another frame.
    Start,
}

/// `1C` alone is content: only what follows makes it an end.
const fn end(behind: &[u8], rule: FrameEnd) -> Mark {
    match (behind.first(), rule) {
        (None, _) => Mark::Unknown,
        (Some(&CARRIAGE_RETURN), _) => Mark::End { bytes: 2 },
        (Some(&(START | b'\n')), FrameEnd::Lenient) => Mark::End { bytes: 1 },
        (Some(_), _) => Mark::Content,
    }
}

/// `0B` starts a frame when nothing was read yet or a header follows; otherwise it is content.
fn start(behind: &[u8], at: usize) -> Mark {
    if at == 0 {
        return Mark::Start;
    }
    let headers = [b"MSH", b"FHS", b"BHS"];
    if headers.iter().any(|id| behind.starts_with(*id)) {
        Mark::Start
    } else if headers.iter().any(|id| id.starts_with(behind)) {
        Mark::Unknown
    } else {
        Mark::Content
    }
}

/// A message cannot be framed: it holds `1C 0D`, and its receiver would take that for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the message holds the end of an MLLP frame (1C 0D) at byte {at} and cannot be sent in one"
)]
pub struct FrameError {
    /// Offset of the `1C`.
    pub at: usize,
}

/// Whether a message can stand in a frame.
///
/// # Errors
/// When the message holds the end of a frame.
pub fn check(message: &[u8]) -> Result<(), FrameError> {
    let ends =
        |at: &usize| at.checked_add(1).and_then(|next| message.get(next)) == Some(&CARRIAGE_RETURN);
    match memchr::memchr_iter(END, message).find(ends) {
        Some(at) => Err(FrameError { at }),
        None => Ok(()),
    }
}

/// A message as a frame.
///
/// # Errors
/// When the message holds the end of a frame.
pub fn encode(message: &[u8]) -> Result<Bytes, FrameError> {
    let mut frame = Vec::with_capacity(message.len().saturating_add(3));
    put(message, &mut frame)?;
    Ok(frame.into())
}

/// A message as a frame, behind what stands in `out`.
///
/// # Errors
/// When the message holds the end of a frame; nothing is written then.
pub fn put(message: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
    check(message)?;
    out.push(START);
    out.extend_from_slice(message);
    out.extend_from_slice(&[END, CARRIAGE_RETURN]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Options =
        Options { size_bytes_max: 16, nested: NestedStart::Restart, end: FrameEnd::Lenient };

    fn read(options: Options, pushes: &[&[u8]]) -> Vec<String> {
        let mut decoder = Decoder::new(options);
        let mut events = Vec::new();
        for bytes in pushes {
            decoder.push(bytes);
            while let Some(event) = decoder.next_event() {
                events.push(show(&event));
            }
        }
        events
    }

    fn show(event: &Event) -> String {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        match event {
            Event::Frame(frame) => text(frame),
            Event::Oversize { prefix } => format!("oversize {}", text(prefix)),
            Event::Nested { prefix } => format!("nested {}", text(prefix)),
            other => format!("{other:?}"),
        }
    }

    fn check(stream: &[u8], expected: &[&str]) {
        check_with(SMALL, stream, expected);
    }

    fn check_with(options: Options, stream: &[u8], expected: &[&str]) {
        assert_eq!(read(options, &[stream]), expected, "in one read");
        let bytes: Vec<_> = stream.chunks(1).collect();
        assert_eq!(read(options, &bytes), expected, "byte by byte");
    }

    #[test]
    fn reads_frames() {
        check(b"\x0bA\x1c\r", &["A"]);
        check(b"\x0bA\x1c\r\x0bB\x1c\r", &["A", "B"]);
        check(b"\x0bA\x1c\r\n\x0bB\x1c\r", &["A", "B"]);
        check(b"\x0b\x1c\r\x0bB\x1c\r", &["", "B"]);
        check(b"\x0b\x0bA\x1c\r", &["A"]);
        check(b"xx\x0bA\x1c\ryy\n\x0bB\x1c\r", &["Garbage(2 bytes)", "A", "Garbage(3 bytes)", "B"]);
        check(b"\x0bA", &[]);
        check(b"GET / HTTP/1.1\r\n\r\n", &[]);
    }

    #[test]
    fn only_a_whole_end_ends_a_frame() {
        check(b"\x0bA\x1cB\x1c\r", &["A\u{1c}B"]);
        check(b"\x0bA\x1c\x1c\r", &["A\u{1c}"]);
        check(b"\x0bA\x1c\x0bB\x1c\r", &["A", "B"]);
        check(b"\x0bA\x1c\n\x0bB\x1c\r", &["A", "B"]);
        let strict = Options { end: FrameEnd::Strict, ..SMALL };
        check_with(strict, b"\x0bA\x1c\nB\x1c\r", &["A\u{1c}\nB"]);
    }

    #[test]
    fn a_start_before_a_header_never_merges_two_messages() {
        check(b"\x0bMSH|1\x0bMSH|2\x1c\r", &["Restarted(5 bytes)", "MSH|2"]);
        check(b"\x0bA\x0bB\x1c\r", &["A\u{b}B"]);
        check(b"\x0bA\x0bM\x1c\r", &["A\u{b}M"]);
        let reject = Options { nested: NestedStart::Reject, ..SMALL };
        check_with(reject, b"\x0bMSH|1\x0bMSH|2\x1c\r\x0bC\x1c\r", &["nested MSH|1"]);
    }

    #[test]
    fn an_oversize_frame_stops_the_stream() {
        check(b"\x0b0123456789abcdef\x1c\r", &["0123456789abcdef"]);
        check(b"\x0b0123456789abcdefg\x1c\r\x0bA\x1c\r", &["oversize 0123456789abcdef"]);
        check(b"\x0b0123456789abcdefg", &["oversize 0123456789abcdef"]);
    }

    #[test]
    fn a_pause_may_stand_for_the_missing_carriage_return() {
        let mut decoder = Decoder::new(SMALL);
        decoder.push(b"\x0bA\x1c");
        assert_eq!(decoder.next_event(), None);
        assert!(decoder.may_end_at_pause());
        assert_eq!(decoder.end_at_pause(), Some(Event::Frame(Bytes::from_static(b"A"))));
        assert_eq!(decoder.end_at_pause(), None);
        decoder.push(b"\x0bB\x1c\r");
        assert_eq!(decoder.next_event(), Some(Event::Frame(Bytes::from_static(b"B"))));
        let mut strict = Decoder::new(Options { end: FrameEnd::Strict, ..SMALL });
        strict.push(b"\x0bA\x1c");
        assert_eq!((strict.next_event(), strict.end_at_pause()), (None, None));
    }

    #[test]
    fn counts_what_belongs_to_no_frame() {
        let mut decoder = Decoder::new(SMALL);
        decoder.push(b"garbage");
        assert_eq!((decoder.next_event(), decoder.skipped()), (None, 7));
        assert!(!decoder.is_inside() && !decoder.is_stopped());
    }

    #[test]
    fn writes_a_frame_or_refuses() {
        assert_eq!(encode(b"A").unwrap().as_ref(), b"\x0bA\x1c\r");
        assert_eq!(encode(b"A\x1cB").unwrap().as_ref(), b"\x0bA\x1cB\x1c\r");
        assert_eq!(encode(b"A\x1c\rB"), Err(FrameError { at: 1 }));
    }

    proptest::proptest! {
        #[test]
        fn cuts_do_not_matter(
            stream in proptest::collection::vec(
                proptest::sample::select(b"\x0b\x0b\x1c\x1c\r\r\nMSHFB|x".to_vec()), 0..80),
            cuts in proptest::collection::vec(0_usize..80, 0..8),
            strict in proptest::bool::ANY,
        ) {
            let end = if strict { FrameEnd::Strict } else { FrameEnd::Lenient };
            let nested = if strict { NestedStart::Reject } else { NestedStart::Restart };
            let options = Options { end, nested, ..SMALL };
            let whole = read(options, &[&stream]);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let parts: Vec<_> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
            proptest::prop_assert_eq!(read(options, &parts), whole);
        }
    }
}
