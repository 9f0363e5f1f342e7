//! Reads a receiver's acknowledgement.

use bytes::Bytes;
use thiserror::Error;

use crate::hl7::ack::AckCode;
use crate::hl7::raw::{ParseError, RawMessage, SegmentEnds};
use crate::hl7::segment::SegmentRef;
use crate::hl7::value::Value;

/// An acknowledgement as received.
#[derive(Clone, PartialEq, Eq)]
pub struct Ack {
    /// MSA-1.
    pub code: AckCode,
    /// MSA-2 raw: credited only when it equals the MSH-10 sent, byte for byte.
    pub control_id: Bytes,
    /// What the receiver says: MSA-3, else the user or diagnostic text of the first ERR. May hold patient
    /// data: kept as evidence, never logged.
    pub text: String,
    /// Codes of its errors, in their order: ERR-3.1, up to 2.4 ERR-1.4.1, else MSA-6.1.
    pub error_codes: Vec<String>,
}

impl std::fmt::Debug for Ack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ack({}, {} error codes)", self.code, self.error_codes.len())
    }
}

/// Why an answer is no acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AckError {
    /// The answer is no HL7 v2 message.
    #[error("the answer is no HL7 v2 message: {0}")]
    Unreadable(#[from] ParseError),
    /// It has no MSA.
    #[error("the answer has no MSA segment")]
    NoMsa,
    /// MSA-1 is not in HL7 table 0008.
    #[error("MSA-1 of the answer is none of AA, AE, AR, CA, CE, CR")]
    UnknownCode,
}

/// No sender of acknowledgements has more to say than fits in this.
const TEXT_CHARS_MAX: usize = 1000;

/// More codes than this nobody reads.
const CODES_MAX: usize = 32;

impl Ack {
    /// Reads the first acknowledgement of an answer. Line ends are taken leniently.
    ///
    /// # Errors
    /// When the answer acknowledges nothing: see [`AckError`].
    pub fn read(bytes: &Bytes) -> Result<Self, AckError> {
        let message = RawMessage::parse(bytes.clone(), SegmentEnds::Lenient)?;
        let mut segments = message.segments();
        let msa = segments.find(|segment| segment.id == b"MSA").ok_or(AckError::NoMsa)?;
        let code = msa.field_bytes(1).and_then(AckCode::from_bytes).ok_or(AckError::UnknownCode)?;
        let control_id = msa.field_bytes(2).map_or_else(Bytes::new, |field| bytes.slice_ref(field));
        let errors: Vec<_> = segments.filter(|segment| segment.id == b"ERR").collect();
        let first_error = errors.first();
        let text = |segment: Option<&SegmentRef<'_>>, field| -> String {
            let value = segment.map_or(Value::Absent, |segment| segment.field(field));
            value.text(message.charset()).chars().take(TEXT_CHARS_MAX).collect()
        };
        let said = [text(Some(&msa), 3), text(first_error, 8), text(first_error, 7)];
        let text = said.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
        let error_codes = codes(&message, &msa, &errors);
        Ok(Self { code, control_id, text, error_codes })
    }
}

fn codes(message: &RawMessage, msa: &SegmentRef<'_>, errors: &[SegmentRef<'_>]) -> Vec<String> {
    let decoded = |value: &Value<'_>| value.text(message.charset()).into_owned();
    let mut codes = Vec::new();
    for error in errors {
        let modern = error.field(3);
        if modern.is_empty() {
            codes.extend(error.part_of_each(1, 4).iter().map(decoded));
        } else {
            codes.push(decoded(&modern));
        }
    }
    codes.retain(|code| !code.is_empty());
    if codes.is_empty() {
        codes.extend(Some(decoded(&msa.field(6))).filter(|code| !code.is_empty()));
    }
    codes.truncate(CODES_MAX);
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, expected: &str) {
        let bytes = Bytes::copy_from_slice(answer.as_bytes());
        let found = match Ack::read(&bytes) {
            Ok(ack) => {
                let id = String::from_utf8_lossy(&ack.control_id).into_owned();
                format!("{} {id} {:?} {}", ack.code, ack.error_codes, ack.text)
            }
            Err(error) => error.to_string(),
        };
        assert!(found.starts_with(expected), "{found}");
    }

    #[test]
    fn reads_every_generation_of_errors() {
        check("MSH|^~\\&|A\rMSA|AA|M1\r", "AA M1 []");
        check("MSH|^~\\&|A\nMSA|CA|M\\F\\1\n", "CA M\\F\\1 []");
        check("MSH#*!%$#A\rMSA#AA#M*1\r", "AA M*1 []");
        check(
            "MSH|^~\\&|A\rMSA|AE|M1|no such patient|||204^Unknown key\r",
            "AE M1 [\"204\"] no such patient",
        );
        check(
            "MSH|^~\\&|A\rMSA|AE|M1\rERR|PID^1^3^101&missing&HL70357~PID^1^5^102&type&HL70357\r",
            "AE M1 [\"101\", \"102\"]",
        );
        check(
            "MSH|^~\\&|A\rMSA|AR|M1\rERR||PID^1^3|101^missing^HL70357|E||||PID-3 is empty\rERR|||207|E\r",
            "AR M1 [\"101\", \"207\"] PID-3 is empty",
        );
        check("BHS|^~\\&|A\rMSH|^~\\&|A\rMSA|AA|M1\rBTS|1\r", "AA M1 []");
    }

    #[test]
    fn says_what_is_no_acknowledgement() {
        check("MSH|^~\\&|A\rPID|1\r", "the answer has no MSA");
        check("MSH|^~\\&|A\rMSA|OK|M1\r", "MSA-1");
        check("MSH|^~\\&|A\rMSA\r", "MSA-1");
        check("HTTP/1.1 400 Bad Request", "the answer is no HL7");
        check("", "the answer is no HL7");
    }
}
