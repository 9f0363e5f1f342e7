//! What an acknowledgement says, and which outcome follows from the way an attempt ended.

use bytes::Bytes;

use crate::hl7::charset::Charset;
use crate::hl7::header::Header;
use crate::hl7::mllp;
use crate::message::outcome::{Answer, Outcome, Scope};

/// The acknowledgement codes (HL7 table 0008).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckCode {
    /// Application accept.
    Aa,
    /// Application error: content or format.
    Ae,
    /// Application reject: header, or a reason that has nothing to do with the content.
    Ar,
    /// Commit accept: taken into safe storage.
    Ca,
    /// Commit error: cannot be taken for another reason.
    Ce,
    /// Commit reject: header not acceptable.
    Cr,
    /// None of these.
    Other,
}

impl AckCode {
    fn read(field: &[u8]) -> Self {
        match field {
            b"AA" => Self::Aa,
            b"AE" => Self::Ae,
            b"AR" => Self::Ar,
            b"CA" => Self::Ca,
            b"CE" => Self::Ce,
            b"CR" => Self::Cr,
            _ => Self::Other,
        }
    }

    /// The code as the policy and people know it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aa => "AA",
            Self::Ae => "AE",
            Self::Ar => "AR",
            Self::Ca => "CA",
            Self::Ce => "CE",
            Self::Cr => "CR",
            Self::Other => "other",
        }
    }

    /// Whether it speaks of storage alone (enhanced mode); the application has not spoken yet.
    #[must_use]
    pub const fn is_commit(self) -> bool {
        matches!(self, Self::Ca | Self::Ce | Self::Cr)
    }
}

/// An acknowledgement.
#[derive(Clone, PartialEq, Eq)]
pub struct Ack {
    /// MSA-1.
    pub code: AckCode,
    /// MSA-2, raw.
    pub control_id: Bytes,
    /// MSA-3 and what ERR says, for people; may quote the message.
    pub text: String,
}

impl std::fmt::Debug for Ack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ack({}, {} bytes of text)", self.code.name(), self.text.len())
    }
}

impl Ack {
    /// Whether it says "stored" and nothing of the application.
    #[must_use]
    pub fn is_commit_accept(&self) -> bool {
        self.code == AckCode::Ca
    }

    /// The acknowledgement that is one byte; `None` when it is another byte, or more.
    #[must_use]
    pub fn of_byte(frame: &Bytes) -> Option<Self> {
        let code = match **frame {
            [mllp::ACK] => AckCode::Ca,
            [mllp::NAK] => AckCode::Ce,
            _ => return None,
        };
        Some(Self { code, control_id: Bytes::new(), text: String::new() })
    }

    /// Reads the first acknowledgement of a frame; `None` when there is no header or no MSA.
    #[must_use]
    pub fn read(frame: &Bytes) -> Option<Self> {
        let header = Header::read(frame).ok()?;
        let separator = header.separators().field;
        let segments = || frame.split(|byte| matches!(byte, b'\r' | b'\n'));
        let msa = segments().find(|segment| segment.starts_with(b"MSA"))?;
        let mut msa = fields(msa, separator);
        let (name, code) = (msa.next()?, msa.next()?);
        if name != b"MSA" {
            return None;
        }
        let control_id = msa.next().map(|id| frame.slice_ref(id)).unwrap_or_default();
        let mut texts: Vec<String> = Vec::new();
        let mut add = |field: Option<&[u8]>| {
            let Some(field) = field.filter(|field| !field.is_empty()) else { return };
            let kept = field.get(..Answer::TEXT_BYTES_MAX).unwrap_or(field);
            let charset = header.charset().unwrap_or(Charset::Utf8);
            let text = charset.decode_lossy(kept).into_owned();
            if !texts.contains(&text) {
                texts.push(text);
            }
        };
        add(msa.next());
        for err in segments().filter(|segment| segment.starts_with(b"ERR")).take(8) {
            // ERR-1 until 2.4; ERR-2 to ERR-8 since 2.5: location, code, severity, text for users.
            for number in [1, 2, 3, 7, 8] {
                add(fields(err, separator).nth(number));
            }
        }
        Some(Self { code: AckCode::read(code), control_id, text: texts.join(" | ") })
    }
}

fn fields(segment: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    segment.split(move |byte| *byte == separator)
}

/// What broke, in words without content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The code the policy knows: `refused`, `unreachable`, `tls`, `closed`, `reset`, `timeout`,
    /// `wrong_id`, `garbage`, `busy`, `stopped`.
    pub code: &'static str,
    /// What happened.
    pub text: String,
}

impl Fault {
    /// A fault.
    #[must_use]
    pub fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    fn answer(&self) -> Answer {
        Answer::new(self.code, &self.text)
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The receiver answered this message.
    Answered(Ack),
    /// Nothing of the message was handed to the network.
    NotWritten(Fault),
    /// A part of the message was, but not its end: no receiver that reads frames can have taken it.
    Cut(Fault),
    /// The whole message was, and the receiver answers nothing.
    Written,
    /// The whole message was, and no answer can be credited to it.
    Unanswered(Fault),
    /// It cannot be sent in a frame at all.
    Unframable(Fault),
}

/// The outcome that follows. AE and CR speak of the content or the header, which a repeat does not
/// change; AR and CE of the receiver's state (HL7 v2.5.1 §2.9.2): it may take the message later.
#[must_use]
pub fn outcome_of(ending: &Ending) -> Outcome {
    let failed = |answer, scope| Outcome::Failed { answer, scope, retry_after: None };
    match ending {
        Ending::Answered(ack) => {
            let answer = Answer::new(ack.code.name(), &ack.text);
            match ack.code {
                AckCode::Aa | AckCode::Ca => Outcome::Accepted(answer),
                AckCode::Ae | AckCode::Cr => Outcome::Rejected(answer),
                AckCode::Ar | AckCode::Ce => failed(answer, Scope::Message),
                AckCode::Other => Outcome::Uncertain(answer),
            }
        }
        Ending::Written => Outcome::Accepted(Answer::new("written", "")),
        Ending::NotWritten(fault) | Ending::Cut(fault) => failed(fault.answer(), Scope::Endpoint),
        Ending::Unanswered(fault) => Outcome::Uncertain(fault.answer()),
        Ending::Unframable(fault) => Outcome::Rejected(fault.answer()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(frame: &[u8]) -> Option<(AckCode, String, String)> {
        Ack::read(&Bytes::copy_from_slice(frame))
            .map(|ack| (ack.code, String::from_utf8_lossy(&ack.control_id).into_owned(), ack.text))
    }

    #[test]
    fn reads_what_receivers_answer() {
        let check = |frame: &[u8], code, id: &str, text: &str| {
            assert_eq!(read(frame), Some((code, id.to_owned(), text.to_owned())));
        };
        check(b"MSH|^~\\&|B|B|A|A|2026||ACK|9|P|2.5\rMSA|AA|M1\r", AckCode::Aa, "M1", "");
        check(b"MSH|^~\\&|\rMSA|AE|M1|no such patient\r", AckCode::Ae, "M1", "no such patient");
        check(b"MSH|^~\\&|\nMSA|CE|M1\n", AckCode::Ce, "M1", "");
        check(b"MSH#*~\\&#\rMSA#AR#M1", AckCode::Ar, "M1", "");
        check(b"MSH|^~\\&|\rMSA|OK|M1\r", AckCode::Other, "M1", "");
        check(b"MSH|^~\\&|\rMSA|CA\r", AckCode::Ca, "", "");
        check(
            b"MSH|^~\\&|\rMSA|AE|M1|bad\rERR||PID^1^3|101^Required|E||||PID-3 missing\r",
            AckCode::Ae,
            "M1",
            "bad | PID^1^3 | 101^Required | PID-3 missing",
        );
    }

    #[test]
    fn what_is_no_acknowledgement_is_none() {
        for frame in
            [&b""[..], b"OK", b"MSH|^~\\&|A\rPID|1\r", b"MSA|AA|M1\r", b"MSH|^~\\&|\rMSAX|AA|1"]
        {
            assert_eq!(read(frame), None, "{frame:?}");
        }
    }

    #[test]
    fn text_is_decoded_by_the_answers_own_charset() {
        let mut frame = b"MSH|^~\\&|B|B|A|A|2026||ACK|9|P|2.5||||||GB18030\rMSA|AE|M1|".to_vec();
        frame.extend_from_slice(&[0xD6, 0xD0, 0xCE, 0xC4]);
        assert_eq!(read(&frame).unwrap().2, "中文");
    }

    #[test]
    fn each_ending_has_its_outcome() {
        let ack =
            |code| Ending::Answered(Ack { code, control_id: Bytes::new(), text: String::new() });
        let fault = || Fault::new("closed", "");
        let check = |ending: Ending, name: &str| assert_eq!(outcome_of(&ending).name(), name);
        check(ack(AckCode::Aa), "accepted");
        check(ack(AckCode::Ca), "accepted");
        check(ack(AckCode::Ae), "rejected");
        check(ack(AckCode::Cr), "rejected");
        check(ack(AckCode::Ar), "failed");
        check(ack(AckCode::Ce), "failed");
        check(ack(AckCode::Other), "uncertain");
        check(Ending::Written, "accepted");
        check(Ending::NotWritten(fault()), "failed");
        check(Ending::Cut(fault()), "failed");
        check(Ending::Unanswered(fault()), "uncertain");
        check(Ending::Unframable(fault()), "rejected");
    }
}
