//! The header of a message, read cheaply: what is needed to admit it, to route it and to answer it.

use bytes::Bytes;

use crate::hl7::charset::{Charset, CharsetRule, Width};
use crate::hl7::raw::ParseError;
use crate::hl7::scan::{foreign_line_end, start_of_header};
use crate::hl7::segment::SegmentRef;
use crate::hl7::separators::Separators;

/// MSH as it came. Fields are raw bytes, whole, without their separators; empty when absent.
#[derive(Clone, Copy)]
pub struct Header<'m> {
    segment: SegmentRef<'m>,
    /// Where the fields from MSH-2 on begin, once somebody asks for many; 0 where that is not known.
    starts: [u16; KNOWN],
    /// The number of the last field, when all of them are known.
    last: Option<usize>,
}

/// MSH-2 to MSH-21, and where the last of them ends.
const KNOWN: usize = 21;

impl std::fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Header({} bytes)", self.segment.bytes.len())
    }
}

/// When a sender wants an acknowledgement (HL7 table 0155).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The field is empty.
    Unsaid,
    /// `AL`: always.
    Always,
    /// `NE`: never.
    Never,
    /// `ER`: on error or reject only.
    Error,
    /// `SU`: on success only.
    Success,
}

impl<'m> Header<'m> {
    /// Reads the first MSH of `bytes`, which may stand behind batch headers.
    ///
    /// # Errors
    /// When there is none, or its delimiters cannot be used.
    pub fn read(bytes: &'m [u8]) -> Result<Self, ParseError> {
        let start = start_of_header(bytes)?;
        let at = message_header(bytes, start).ok_or(ParseError::NoHeader { at: start })?;
        let line = line(bytes, at);
        let separators = Separators::read(line, at)?;
        Ok(Self::of(SegmentRef::new(0, at, line, separators)))
    }

    /// The header that this segment is.
    pub(crate) const fn of(segment: SegmentRef<'m>) -> Self {
        Self { segment, starts: [0; KNOWN], last: None }
    }

    /// The same, with the places of its fields: pays when several are asked for.
    #[must_use]
    pub fn indexed(mut self) -> Self {
        if self.segment.separators.width == Width::Single {
            let mut separators =
                memchr::memchr_iter(self.segment.separators.field, self.segment.bytes);
            let mut count = 0_usize;
            for (start, at) in self.starts.iter_mut().zip(separators.by_ref()) {
                *start = u16::try_from(at.saturating_add(1)).unwrap_or_default();
                count = count.saturating_add(1);
            }
            // Each separator begins a field, the first one MSH-2.
            self.last = (count < KNOWN).then(|| count.saturating_add(1));
        }
        self
    }

    /// Reads whatever can be read of a header, for the answer to what is no message: delimiters fall back
    /// to the usual ones, fields to nothing. `None` when no `MSH` starts a line of the first kilobyte.
    #[must_use]
    pub fn read_best_effort(bytes: &'m [u8]) -> Option<Self> {
        const LOOKED_AT: usize = 1024;
        let window = bytes.get(..LOOKED_AT).unwrap_or(bytes);
        let at = memchr::memmem::find_iter(window, b"MSH").find(|at| {
            let before = at.checked_sub(1).and_then(|before| bytes.get(before));
            before.is_none_or(|byte| !byte.is_ascii_alphanumeric())
        })?;
        let line = line(bytes, at);
        let usual = Separators::STANDARD;
        let separators = Separators::read(line, at).unwrap_or(usual);
        // Fields divided by something that is no delimiter here would be quoted back as garbage.
        let line = if line.get(3) == Some(&separators.field) { line } else { b"MSH" };
        Some(Self::of(SegmentRef::new(0, at, line, separators)))
    }

    /// The delimiters.
    #[must_use]
    pub const fn separators(&self) -> Separators {
        self.segment.separators
    }

    /// The segment itself.
    #[must_use]
    pub const fn segment(&self) -> SegmentRef<'m> {
        self.segment
    }

    /// A whole field.
    #[must_use]
    pub fn field(&self, number: usize) -> &'m [u8] {
        if self.last.is_some_and(|last| number > last) {
            return b"";
        }
        let start = |number: usize| {
            let known = number.checked_sub(2).and_then(|place| self.starts.get(place));
            known.map(|start| usize::from(*start)).filter(|start| *start > 0)
        };
        match (start(number), number.checked_add(1).and_then(start)) {
            (Some(from), Some(next)) => {
                self.segment.bytes.get(from..next.saturating_sub(1)).unwrap_or_default()
            }
            _ => self.segment.field_bytes(number).unwrap_or_default(),
        }
    }

    /// One component of the first repetition of a field.
    #[must_use]
    pub fn component(&self, field: usize, component: usize) -> &'m [u8] {
        let separators = self.segment.inner_separators(field);
        let first = |bytes: &'m [u8], separator: Option<u8>, nth: usize| {
            let range = 0..bytes.len();
            let mut pieces = crate::hl7::locate::pieces(bytes, range, separator, separators.width);
            pieces.nth(nth).and_then(|range| bytes.get(range)).unwrap_or_default()
        };
        let repetition = first(self.field(field), separators.repetition, 0);
        first(repetition, separators.component, component.saturating_sub(1))
    }

    /// MSH-3 with all its components.
    #[must_use]
    pub fn sending_application(&self) -> &'m [u8] {
        self.field(3)
    }

    /// MSH-4 with all its components.
    #[must_use]
    pub fn sending_facility(&self) -> &'m [u8] {
        self.field(4)
    }

    /// MSH-5 with all its components.
    #[must_use]
    pub fn receiving_application(&self) -> &'m [u8] {
        self.field(5)
    }

    /// MSH-6 with all its components.
    #[must_use]
    pub fn receiving_facility(&self) -> &'m [u8] {
        self.field(6)
    }

    /// MSH-7.
    #[must_use]
    pub fn created_at(&self) -> &'m [u8] {
        self.field(7)
    }

    /// MSH-9.1, e.g. `ADT`.
    #[must_use]
    pub fn message_type(&self) -> &'m [u8] {
        self.component(9, 1)
    }

    /// MSH-9.2, e.g. `A01`.
    #[must_use]
    pub fn event(&self) -> &'m [u8] {
        self.component(9, 2)
    }

    /// MSH-9.3, e.g. `ADT_A01`. Senders get it wrong: never route by it.
    #[must_use]
    pub fn structure(&self) -> &'m [u8] {
        self.component(9, 3)
    }

    /// Type and event as people write them, e.g. `ADT^A01`, or `ACK`; never longer than 64 characters.
    #[must_use]
    pub fn event_name(&self) -> String {
        let mut name = String::with_capacity(16);
        let put = |name: &mut String, bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            name.extend(text.chars().filter(|c| !c.is_control()).take(31));
        };
        put(&mut name, self.message_type());
        let kind = name.len();
        name.push('^');
        put(&mut name, self.event());
        if name.len() == kind.saturating_add(1) {
            name.truncate(kind);
        }
        name
    }

    /// MSH-10 raw: what MSA-2 of the answer repeats byte for byte.
    #[must_use]
    pub fn control_id(&self) -> &'m [u8] {
        self.field(10)
    }

    /// MSH-11 whole.
    #[must_use]
    pub fn processing_id(&self) -> &'m [u8] {
        self.field(11)
    }

    /// MSH-12.1, e.g. `2.5.1`; empty when not said.
    #[must_use]
    pub fn version(&self) -> &'m [u8] {
        self.component(12, 1)
    }

    /// MSH-15: when the sender wants a commit acknowledgement.
    #[must_use]
    pub fn accept_ack(&self) -> Condition {
        Condition::of(self.field(15))
    }

    /// MSH-16: when the sender wants an application acknowledgement.
    #[must_use]
    pub fn application_ack(&self) -> Condition {
        Condition::of(self.field(16))
    }

    /// The charset that MSH-18 declares; `None` when it is empty or unknown.
    #[must_use]
    pub fn charset(&self) -> Option<Charset> {
        Charset::from_msh18(self.field(18), self.separators().repetition)
    }

    /// The charset under a listener's rule.
    #[must_use]
    pub fn charset_by(&self, rule: CharsetRule) -> Charset {
        rule.resolve(self.field(18), self.separators().repetition)
    }

    /// MSH-21 whole: the profiles it claims.
    #[must_use]
    pub fn profile(&self) -> &'m [u8] {
        self.field(21)
    }
}

/// The header of a message that is held as `Bytes`, when only its control id matters.
///
/// # Errors
/// As [`Header::read`].
pub fn control_id(message: &Bytes) -> Result<Bytes, ParseError> {
    Header::read(message).map(|header| message.slice_ref(header.control_id()))
}

impl Condition {
    /// The condition that a field states; anything unknown counts as always, which answers too much rather
    /// than too little.
    #[must_use]
    pub const fn of(field: &[u8]) -> Self {
        match field {
            b"" | b"\"\"" => Self::Unsaid,
            b"NE" => Self::Never,
            b"ER" => Self::Error,
            b"SU" => Self::Success,
            _ => Self::Always,
        }
    }

    /// Whether an acknowledgement is due, of success or of an error.
    #[must_use]
    pub const fn is_due(self, success: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never | Self::Unsaid => false,
            Self::Error => !success,
            Self::Success => success,
        }
    }
}

/// The line at `at`, up to a CR, a LF, or whatever else ends lines elsewhere.
fn line(bytes: &[u8], at: usize) -> &[u8] {
    let rest = bytes.get(at..).unwrap_or_default();
    let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
    let line = rest.get(..end).unwrap_or(rest);
    let field = line.get(3).copied().unwrap_or(b'|');
    foreign_line_end(line, field).and_then(|end| line.get(..end)).unwrap_or(line)
}

/// Where the first MSH stands: at `start`, or at the start of a later line when batch headers come first.
fn message_header(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = bytes.get(start..)?;
    if rest.starts_with(b"MSH") {
        return Some(start);
    }
    let is_line_start = |at: &usize| {
        let before = at.checked_sub(1).and_then(|before| rest.get(before));
        matches!(before, Some(b'\r' | b'\n'))
    };
    let found = memchr::memmem::find_iter(rest, b"MSH").find(is_line_start)?;
    start.checked_add(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &[u8] = b"MSH|^~\\&|MON^0012^EUI-64|ICU|HUB|H^1.2^ISO|20260114083000+0800||ORU^R01^ORU_R01|M\\T\\1|P^T|2.6^USA|||AL|NE||UNICODE UTF-8|||P1^IHE~P2\rPID|1\r";

    fn check(bytes: &[u8], read: impl Fn(&Header<'_>) -> String, expected: &str) {
        assert_eq!(read(&Header::read(bytes).unwrap()), expected);
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn reads_raw_fields_and_components() {
        check(FULL, |h| text(h.sending_application()), "MON^0012^EUI-64");
        check(FULL, |h| text(h.receiving_facility()), "H^1.2^ISO");
        check(FULL, |h| h.event_name(), "ORU^R01");
        check(FULL, |h| text(h.structure()), "ORU_R01");
        check(FULL, |h| text(h.control_id()), "M\\T\\1");
        check(FULL, |h| text(h.version()), "2.6");
        check(FULL, |h| text(h.processing_id()), "P^T");
        check(FULL, |h| text(h.profile()), "P1^IHE~P2");
        check(FULL, |h| format!("{:?}", (h.accept_ack(), h.application_ack())), "(Always, Never)");
        check(FULL, |h| format!("{:?}", h.charset()), "Some(Utf8)");
        check(b"MSH|^~\\&#|A|||||", |h| text(h.sending_application()), "A");
        check(b"MSH|^~\\&|A||||||ACK", |h| h.event_name(), "ACK");
        check(b"BHS|^~\\&|B\rMSH#*~\\&#A", |h| text(h.sending_application()), "A");
        check(b"MSH|^~\\&|A\nPID|1", |h| text(h.sending_application()), "A");
        check(b"\xEF\xBB\xBF\r\nMSH|^~\\&|A", |h| text(h.control_id()), "");
    }

    #[test]
    fn a_field_is_found_wherever_it_stands() {
        let far =
            format!("MSH|^~\\&|{}|B|||||ADT^A01|{}|P|2.5\r", "a".repeat(70_000), "c".repeat(9));
        for bytes in [FULL, far.as_bytes(), b"MSH|^~\\&|A", b"MSH|^~\\&|", b"MSH#*!#"] {
            let header = Header::read(bytes).unwrap().indexed();
            for number in 0..30 {
                let slow = header.segment().field_bytes(number).unwrap_or_default();
                assert_eq!(text(header.field(number)), text(slow), "{number}");
            }
        }
    }

    #[test]
    fn makes_the_best_of_garbage() {
        let field = |bytes: &[u8], n| Header::read_best_effort(bytes).map(|h| text(h.field(n)));
        assert_eq!(field(b"garbage\x00MSH|^~\\&|A|B||||||9", 10).as_deref(), Some("9"));
        assert_eq!(field(b"MSH|^^\\&|A|B||||||9", 10).as_deref(), Some("9"));
        assert_eq!(field(b"MSHA^~\\&AAPPA", 3).as_deref(), Some(""));
        assert_eq!(field(b"MSH|^~", 3).as_deref(), Some(""));
        assert_eq!(field(b"MSH", 10).as_deref(), Some(""));
        assert_eq!(field(b"GET / HTTP/1.1", 10), None);
        assert_eq!(field(b"", 10), None);
    }

    #[test]
    fn a_condition_says_when_an_answer_is_due() {
        let due =
            |field: &[u8]| (Condition::of(field).is_due(true), Condition::of(field).is_due(false));
        assert_eq!(due(b"AL"), (true, true));
        assert_eq!(due(b"NE"), (false, false));
        assert_eq!(due(b"ER"), (false, true));
        assert_eq!(due(b"SU"), (true, false));
        assert_eq!(due(b""), (false, false));
    }
}
