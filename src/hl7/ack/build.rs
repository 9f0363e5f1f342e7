//! Builds an acknowledgement field by field.

use std::borrow::Cow;

use bytes::Bytes;

use crate::hl7::ack::{AckCode, is_enhanced};
use crate::hl7::charset::{Charset, CharsetRule};
use crate::hl7::escape;
use crate::hl7::header::Header;
use crate::hl7::separators::Separators;
use crate::message::verdict::{Location, Problem};

/// What the sender is told.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// MSA-1.
    pub code: AckCode,
    /// MSH-10 of the answer: unique, at most 20 characters for receivers that cut.
    pub control_id: &'a str,
    /// MSH-7 of the answer, with its zone, e.g. `20260114083000+0800`.
    pub at: &'a str,
    /// What is wrong; the first one is also told in MSA. Empty for an accept.
    pub problems: &'a [Problem],
    /// The listener's rule for texts in the answer when MSH-18 says nothing.
    pub charset: CharsetRule,
}

/// How errors are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Era {
    /// 2.1 and 2.2: MSH-9 is `ACK`.
    Bare,
    /// 2.3 and 2.3.1: `ACK^A01`.
    Event,
    /// 2.4: `ACK^A01^ACK`; still one ERR with ELD.
    Structure,
    /// 2.5 to 2.6, and any version that is not known: an ERR for each error.
    Modern,
    /// 2.7 on: MSA-3 is withdrawn.
    WithoutText,
}

/// The answer to the message with this header; without one, the answer to what is no message.
#[must_use]
pub fn build(header: Option<&Header<'_>>, answer: &Answer<'_>) -> Bytes {
    let separators = header.map_or(Separators::STANDARD, Header::separators);
    let charset = header.map_or(Charset::Utf8, |header| header.charset_by(answer.charset));
    let own = if header.is_some_and(is_enhanced) { NEVER } else { [b"".as_slice(); 2] };
    written(Writer { out: Vec::with_capacity(512), separators, charset }, header, answer, own)
}

/// The application acknowledgement as a message of its own, on another connection: whoever gets it is
/// asked to say that it has it (HL7 v2.5.1 §2.9.3.4).
#[must_use]
pub fn build_message(header: &Header<'_>, answer: &Answer<'_>) -> Bytes {
    let (separators, charset) = (header.separators(), header.charset_by(answer.charset));
    let writer = Writer { out: Vec::with_capacity(512), separators, charset };
    written(writer, Some(header), answer, [b"AL", b"NE"])
}

/// MSH-15 and MSH-16 of an answer that wants none.
const NEVER: [&[u8]; 2] = [b"NE", b"NE"];

fn written(
    mut writer: Writer,
    header: Option<&Header<'_>>,
    answer: &Answer<'_>,
    conditions: [&[u8]; 2],
) -> Bytes {
    let era = header.map_or(Era::Modern, |header| era(header.version()));
    match header {
        Some(header) => writer.header(header, answer, era, conditions),
        None => writer.header_of_nothing(answer),
    }
    writer.acknowledgement(header.map_or(b"", Header::control_id), answer, era);
    writer.errors(answer, era);
    writer.out.into()
}

fn era(version: &[u8]) -> Era {
    match version {
        b"2.1" | b"2.2" => Era::Bare,
        b"2.3" | b"2.3.1" => Era::Event,
        b"2.4" => Era::Structure,
        b"2.7" | b"2.7.1" | b"2.8" | b"2.8.1" | b"2.8.2" | b"2.9" | b"2.9.1" => Era::WithoutText,
        _ => Era::Modern,
    }
}

struct Writer {
    out: Vec<u8>,
    separators: Separators,
    charset: Charset,
}

impl Writer {
    fn header(
        &mut self,
        header: &Header<'_>,
        answer: &Answer<'_>,
        era: Era,
        [accept, application]: [&[u8]; 2],
    ) {
        let version = header.version();
        let kind = self.kind(header.event(), era);
        let control_id = self.text(answer.control_id, "");
        let at = self.text(answer.at, "");
        // The receiver of the message sends the answer: 3 to 6 change places, whole and raw, so that
        // OIDs and EUI-64 ids survive.
        self.segment(
            b"MSH",
            &[
                encoding_characters(header),
                header.receiving_application(),
                header.receiving_facility(),
                header.sending_application(),
                header.sending_facility(),
                &at,
                b"",
                &kind,
                &control_id,
                header.processing_id(),
                version,
                b"",
                b"",
                accept,
                application,
                b"",
                header.field(18),
            ],
        );
    }

    fn header_of_nothing(&mut self, answer: &Answer<'_>) {
        let (at, id) = (self.text(answer.at, ""), self.text(answer.control_id, ""));
        let fields: [&[u8]; 11] =
            [b"^~\\&", b"", b"", b"", b"", &at, b"", b"ACK", &id, b"P", b"2.5"];
        self.segment(b"MSH", &fields);
    }

    /// MSH-9 of the answer.
    fn kind(&self, event: &[u8], era: Era) -> Vec<u8> {
        if era == Era::Bare || event.is_empty() {
            return b"ACK".to_vec();
        }
        if era == Era::Event {
            return self.components(&[b"ACK", event]);
        }
        self.components(&[b"ACK", event, b"ACK"])
    }

    fn acknowledgement(&mut self, control_id: &[u8], answer: &Answer<'_>, era: Era) {
        let code = answer.code.as_str().as_bytes();
        let Some(problem) = answer.problems.first() else {
            return self.segment(b"MSA", &[code, control_id]);
        };
        let name = name_of(problem.code);
        let text = match era {
            Era::WithoutText => Vec::new(),
            _ => self.text(&problem.text, name),
        };
        let condition = if era <= Era::Structure {
            self.components(&[problem.code.to_string().as_bytes(), name.as_bytes(), TABLE])
        } else {
            Vec::new()
        };
        self.segment(b"MSA", &[code, control_id, &text, b"", b"", &condition]);
    }

    fn errors(&mut self, answer: &Answer<'_>, era: Era) {
        if answer.problems.is_empty() {
            return;
        }
        if era <= Era::Structure {
            let each: Vec<_> = answer.problems.iter().map(|problem| self.eld(problem)).collect();
            // Without a repetition separator there is room for one.
            let all = match self.separators.repetition {
                Some(separator) => each.join(&separator),
                None => each.into_iter().next().unwrap_or_default(),
            };
            return self.segment(b"ERR", &[&all]);
        }
        for problem in answer.problems {
            let name = name_of(problem.code);
            let location = problem.location.as_ref().map(|at| self.erl(at)).unwrap_or_default();
            let code = problem.code.to_string();
            let code = self.components(&[code.as_bytes(), name.as_bytes(), TABLE]);
            let text = self.text(&problem.text, name);
            self.segment(b"ERR", &[b"", &location, &code, b"E", b"", b"", b"", &text]);
        }
    }

    /// ERR-1 up to 2.4: segment, sequence, field, code with its text (ELD, HL7 v2.4 §2.16.4).
    fn eld(&self, problem: &Problem) -> Vec<u8> {
        let code = problem.code.to_string();
        let name = name_of(problem.code);
        let identified = match self.separators.subcomponent {
            Some(separator) => [code.as_bytes(), name.as_bytes(), TABLE].join(&separator),
            None => code.into_bytes(),
        };
        let number = |number: u32| number.to_string().into_bytes();
        let at = problem.location.as_ref();
        let segment = at.map(|at| self.text(&at.segment, "")).unwrap_or_default();
        let sequence = at.map(|at| number(at.sequence)).unwrap_or_default();
        let field = at.and_then(|at| at.field).map(number).unwrap_or_default();
        self.components(&[&segment, &sequence, &field, &identified])
    }

    /// ERR-2 from 2.5 on (ERL, HL7 v2.5.1 §2.A.28).
    fn erl(&self, at: &Location) -> Vec<u8> {
        let mut parts = vec![self.text(&at.segment, ""), at.sequence.to_string().into_bytes()];
        for number in [at.field, at.repetition, at.component] {
            parts.push(number.map(|number| number.to_string().into_bytes()).unwrap_or_default());
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        self.components(&parts)
    }

    /// Components without empty ones at the end.
    fn components(&self, parts: &[&[u8]]) -> Vec<u8> {
        let separator = self.separators.component.unwrap_or(b'^');
        without_trailing(parts).join(&separator)
    }

    /// A text in the sender's charset and with its escapes. What cannot be written becomes `fallback`,
    /// and nothing when that cannot be written either: never `?`.
    fn text(&self, text: &str, fallback: &str) -> Vec<u8> {
        let write = |text| escape::encode(text, &self.separators, self.charset).ok();
        write(text).or_else(|| write(fallback)).map(Cow::into_owned).unwrap_or_default()
    }

    fn segment(&mut self, id: &[u8], fields: &[&[u8]]) {
        self.out.extend_from_slice(id);
        for field in without_trailing(fields) {
            self.out.push(self.separators.field);
            self.out.extend_from_slice(field);
        }
        self.out.push(b'\r');
    }
}

const TABLE: &[u8] = b"HL70357";

/// MSH-2 as it came, unless it could not be used to read the message.
fn encoding_characters<'m>(header: &Header<'m>) -> &'m [u8] {
    let segment = header.segment();
    if Separators::read(segment.bytes, 0).is_ok() { header.field(2) } else { b"^~\\&" }
}

fn without_trailing<'p, 'b>(parts: &'p [&'b [u8]]) -> &'p [&'b [u8]] {
    let kept =
        parts.iter().rposition(|part| !part.is_empty()).map_or(0, |last| last.saturating_add(1));
    parts.get(..kept).unwrap_or_default()
}

/// The texts of HL7 table 0357.
const fn name_of(code: u16) -> &'static str {
    match code {
        0 => "Message accepted",
        100 => "Segment sequence error",
        101 => "Required field missing",
        102 => "Data type error",
        103 => "Table value not found",
        104 => "Value too long",
        198 => "Non-conformant cardinality",
        200 => "Unsupported message type",
        201 => "Unsupported event code",
        202 => "Unsupported processing id",
        203 => "Unsupported version id",
        204 => "Unknown key identifier",
        205 => "Duplicate key identifier",
        206 => "Application record locked",
        207 => "Application internal error",
        _ => "Other HL7 error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> Problem {
        Problem {
            code: 101,
            location: Some(Location {
                segment: "PID".into(),
                sequence: 1,
                field: Some(3),
                repetition: None,
                component: None,
            }),
            text: "a patient | id".into(),
            reject: false,
        }
    }

    fn answer<'a>(code: AckCode, problems: &'a [Problem]) -> Answer<'a> {
        let at = "20260114083000+0000";
        Answer { code, control_id: "M1", at, problems, charset: CharsetRule::default() }
    }

    fn check(message: &str, answer: &Answer<'_>, expected: &[&str]) {
        let header = Header::read(message.as_bytes()).unwrap();
        let built = build(Some(&header), answer);
        let text = String::from_utf8_lossy(&built);
        let lines: Vec<_> = text.split_terminator('\r').collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn accepts_in_original_mode() {
        check(
            "MSH|^~\\&|MON^0012^EUI-64|ICU|HUB^1^ISO|H|2026||ORU^R01^ORU_R01|A\\F\\1|P^T|2.5.1^USA||||||UNICODE UTF-8\r",
            &answer(AckCode::AA, &[]),
            &[
                "MSH|^~\\&|HUB^1^ISO|H|MON^0012^EUI-64|ICU|20260114083000+0000||ACK^R01^ACK|M1|P^T|2.5.1||||||UNICODE UTF-8",
                "MSA|AA|A\\F\\1",
            ],
        );
    }

    #[test]
    fn honours_delimiters_and_versions() {
        let accept = answer(AckCode::CA, &[]);
        check(
            "MSH#*!%$@#A#B#C#D#2026##ADT*A01#7#P#2.3###AL#NE\r",
            &accept,
            &["MSH#*!%$@#C#D#A#B#20260114083000+0000##ACK*A01#M1#P#2.3###NE#NE", "MSA#CA#7"],
        );
        check(
            "MSH|^~\\&|A|||||||7|P|2.2",
            &accept,
            &["MSH|^~\\&|||A||20260114083000+0000||ACK|M1|P|2.2", "MSA|CA|7"],
        );
        check(
            "MSH|^~\\&|A||||||ADT|7|P|2.5",
            &accept,
            &["MSH|^~\\&|||A||20260114083000+0000||ACK|M1|P|2.5", "MSA|CA|7"],
        );
        check(
            "MSH|^~\\&|A||||||ADT^A01||P",
            &accept,
            &["MSH|^~\\&|||A||20260114083000+0000||ACK^A01^ACK|M1|P", "MSA|CA"],
        );
    }

    #[test]
    fn tells_errors_as_the_version_wants() {
        let problems = [problem(), Problem { code: 207, location: None, ..problem() }];
        let error = answer(AckCode::AE, &problems);
        check(
            "MSH|^~\\&|A||||||ADT^A01|7|P|2.4",
            &error,
            &[
                "MSH|^~\\&|||A||20260114083000+0000||ACK^A01^ACK|M1|P|2.4",
                "MSA|AE|7|a patient \\F\\ id|||101^Required field missing^HL70357",
                "ERR|PID^1^3^101&Required field missing&HL70357~^^^207&Application internal error&HL70357",
            ],
        );
        check(
            "MSH|^~\\&|A||||||ADT^A01|7|P|2.5",
            &error,
            &[
                "MSH|^~\\&|||A||20260114083000+0000||ACK^A01^ACK|M1|P|2.5",
                "MSA|AE|7|a patient \\F\\ id",
                "ERR||PID^1^3|101^Required field missing^HL70357|E||||a patient \\F\\ id",
                "ERR|||207^Application internal error^HL70357|E||||a patient \\F\\ id",
            ],
        );
        check(
            "MSH|^~\\&|A||||||ADT^A01|7|P|2.8.1",
            &answer(AckCode::AE, &problems[..1]),
            &[
                "MSH|^~\\&|||A||20260114083000+0000||ACK^A01^ACK|M1|P|2.8.1",
                "MSA|AE|7",
                "ERR||PID^1^3|101^Required field missing^HL70357|E||||a patient \\F\\ id",
            ],
        );
        check(
            "MSH|^~|A||||||ADT^A01|7|P|2.1",
            &error,
            &[
                "MSH|^~|||A||20260114083000+0000||ACK|M1|P|2.1",
                "MSA|AE|7|Required field missing|||101^Required field missing^HL70357",
                "ERR|PID^1^3^101~^^^207",
            ],
        );
    }

    #[test]
    fn a_text_that_the_charset_cannot_write_gives_way_to_the_code_s_own() {
        let problems = [Problem { text: "缺少患者标识".into(), ..problem() }];
        check(
            "MSH|^~\\&|A||||||ADT^A01|7|P|2.5||||||8859/1",
            &answer(AckCode::AE, &problems),
            &[
                "MSH|^~\\&|||A||20260114083000+0000||ACK^A01^ACK|M1|P|2.5||||||8859/1",
                "MSA|AE|7|Required field missing",
                "ERR||PID^1^3|101^Required field missing^HL70357|E||||Required field missing",
            ],
        );
    }

    #[test]
    fn answers_what_is_no_message() {
        let problems = [Problem { code: 100, location: None, text: "no MSH".into(), reject: true }];
        let built = build(None, &answer(AckCode::AR, &problems));
        let expected = "MSH|^~\\&|||||20260114083000+0000||ACK|M1|P|2.5\rMSA|AR||no MSH\rERR|||100^Segment sequence error^HL70357|E||||no MSH\r";
        assert_eq!(String::from_utf8_lossy(&built), expected);
    }

    #[test]
    fn answers_with_usable_delimiters_when_the_message_s_are_not() {
        let header = Header::read_best_effort(b"MSH|^^\\&|A|||||||7").unwrap();
        let built = build(Some(&header), &answer(AckCode::AR, &[]));
        assert!(built.starts_with(b"MSH|^~\\&|||A||2026"));
        assert!(built.ends_with(b"MSA|AR|7\r"));
    }
}
