//! What a strict listener minds in a message that can be read: the standard's rules that senders break and
//! that a lenient listener lets pass. Each finding is ready for an ERR segment.

use crate::hl7::charset::Charset;
use crate::hl7::raw::{RawMessage, SegmentRef};
use crate::hl7::time::Hl7Time;
use crate::message::verdict::{Location, Problem};

/// How a listener treats what the standard forbids and a reader can bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// It lets it pass: nothing is changed, nothing is lost.
    #[default]
    Lenient,
    /// It refuses.
    Strict,
}

/// More findings than this nobody reads.
const PROBLEMS_MAX: usize = 32;

/// Versions of HL7 table 0104.
const VERSIONS: &[&str] = &[
    "2.1", "2.2", "2.3", "2.3.1", "2.3.2", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8",
    "2.8.1", "2.8.2", "2.9", "2.9.1",
];

/// Data types that OBX-2 may name (HL7 table 0125 of all versions).
const OBSERVATION_TYPES: &[&str] = &[
    "AD", "CD", "CE", "CF", "CK", "CN", "CNE", "CP", "CQ", "CWE", "CX", "DR", "DT", "DTM", "ED",
    "EI", "FT", "HD", "ID", "IS", "MA", "MO", "NA", "NM", "NR", "PL", "PN", "PPN", "RI", "RP",
    "SI", "SN", "SRT", "ST", "TM", "TN", "TQ", "TS", "TX", "XAD", "XCN", "XON", "XPN", "XTN",
];

/// What a strict listener minds, in the order of the message; empty when it minds nothing.
#[must_use]
pub fn problems(message: &RawMessage) -> Vec<Problem> {
    let mut found = Findings::default();
    lines(message, &mut found);
    if let Some(header) = message.segments().find(|segment| segment.id == b"MSH") {
        header_fields(message, &header, &mut found);
    }
    for segment in message.segments() {
        segment_form(message, &segment, &mut found);
        if segment.id == b"OBX" {
            observation(message, &segment, &mut found);
        }
        if found.0.len() >= PROBLEMS_MAX {
            break;
        }
    }
    found.0
}

#[derive(Default)]
struct Findings(Vec<Problem>);

impl Findings {
    fn add(&mut self, code: u16, location: Option<Location>, text: &str) {
        // Type, version, processing id and the header's own form are of the header: AR.
        let is_header = location.as_ref().is_some_and(|at| at.segment == "MSH");
        let reject = is_header && (code == 100 || code == 101 || code == 103 || code >= 200);
        self.0.push(Problem { code, location, text: text.into(), reject });
    }
}

/// Byte order marks, white space, blank lines, line ends other than CR.
fn lines(message: &RawMessage, found: &mut Findings) {
    let mut expected = 0_usize;
    for segment in message.segments() {
        if segment.at != expected {
            let text = "the message has bytes between its segments: blank lines, line ends other than CR, a byte order mark";
            return found.add(100, None, text);
        }
        let end = segment.at.saturating_add(segment.bytes.len());
        if message.bytes().get(end).is_some_and(|byte| *byte != b'\r') {
            return found.add(100, None, "a segment ends with something other than CR");
        }
        expected = end.saturating_add(1);
    }
    if expected < message.bytes().len() {
        found.add(100, None, "bytes follow the last segment");
    }
}

fn header_fields(message: &RawMessage, header: &SegmentRef<'_>, found: &mut Findings) {
    let at = |field| Some(location(message, header, Some(field)));
    let component = |field| {
        let first = header.part_of_each(field, 1).into_iter().next();
        first.map(|value| value.text(message.charset())).unwrap_or_default()
    };
    let encoding = header.field_bytes(2).unwrap_or_default();
    if encoding.len() > 5 || encoding.get(2).is_some() && encoding.get(2) == encoding.get(3) {
        found.add(100, at(2), "MSH-2 has more characters than delimiters");
    }
    for field in [9, 10] {
        if header.field(field).is_empty() {
            found.add(101, at(number(field)), "a required field of the header is empty");
        }
    }
    if Hl7Time::parse(&component(7)).is_err() {
        found.add(102, at(7), "MSH-7 is no time");
    }
    if !matches!(component(11).as_ref(), "P" | "T" | "D") {
        found.add(202, at(11), "the processing id is not one of P, T, D");
    }
    if !VERSIONS.contains(&component(12).as_ref()) {
        found.add(203, at(12), "the version is none of HL7 v2");
    }
    let declared = header.field_bytes(18).unwrap_or_default();
    let known = Charset::from_msh18(declared, header.separators.repetition);
    if known.is_none() && !header.field(18).is_empty() {
        found.add(103, at(18), "the character set is not in HL7 table 0211");
    }
}

fn segment_form(message: &RawMessage, segment: &SegmentRef<'_>, found: &mut Findings) {
    let at = || Some(location(message, segment, None));
    if !segment.is_well_formed() {
        return found.add(100, None, "a line does not start with a segment id");
    }
    let is_batch = message.segment(0).is_some_and(|first| first.id != b"MSH");
    if !is_batch && matches!(segment.id, b"BTS" | b"FTS") {
        found.add(100, at(), "a batch ends that did not begin");
    }
    if segment.bytes.contains(&0) {
        found.add(102, at(), "the segment holds a NUL");
    }
    if message.charset().decode(segment.bytes).is_err() {
        found.add(102, at(), "the segment is no text in the character set of the message");
    }
}

/// OBX-5 is of the type that OBX-2 names (HL7 v2.5.1 §7.4.2.2).
fn observation(message: &RawMessage, obx: &SegmentRef<'_>, found: &mut Findings) {
    let value = obx.field(5);
    let kind = obx.field(2).text(message.charset());
    let at = |field| Some(location(message, obx, Some(field)));
    if kind.is_empty() {
        if !value.is_empty() {
            found.add(102, at(2), "OBX-5 has a value and OBX-2 names no type for it");
        }
        return;
    }
    if !OBSERVATION_TYPES.contains(&kind.as_ref()) {
        return found.add(102, at(2), "OBX-2 names no data type");
    }
    if kind == "NM" && !value.is_empty() && !value.is_null() {
        let text = value.text(message.charset());
        let number = text.trim().trim_start_matches(['+', '-']);
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
            && number.bytes().any(|byte| byte.is_ascii_digit())
            && number.matches('.').count() <= 1;
        if !is_number {
            found.add(102, at(5), "OBX-5 is no number although OBX-2 says NM");
        }
    }
}

fn location(message: &RawMessage, segment: &SegmentRef<'_>, field: Option<u32>) -> Location {
    let same = message.segments().take(segment.index.saturating_add(1));
    let sequence = same.filter(|other| other.id == segment.id).count();
    Location {
        segment: segment.name().to_owned(),
        sequence: number(sequence),
        field,
        repetition: None,
        component: None,
    }
}

fn number(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hl7::raw::SegmentEnds;

    fn check(text: &str, expected: &[&str]) {
        let bytes = bytes::Bytes::copy_from_slice(text.as_bytes());
        let message = RawMessage::parse(bytes, SegmentEnds::Lenient).unwrap();
        let shown: Vec<_> = problems(&message)
            .iter()
            .map(|problem| {
                let level = if problem.reject { "AR" } else { "AE" };
                let at = problem.location.as_ref().map_or_else(String::new, |at| {
                    let field = at.field.map_or_else(String::new, |field| format!("-{field}"));
                    format!(" {}[{}]{field}", at.segment, at.sequence)
                });
                format!("{level} {}{at}", problem.code)
            })
            .collect();
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn minds_what_the_standard_forbids_and_says_where() {
        let header = "MSH|^~\\&|A|B|C|D|2026||ADT^A01|7|P|2.5";
        check(&format!("{header}\rPID|1\r"), &[]);
        check(&format!("{header}\rPID|1"), &[]);
        check("MSH|^~\\&#|A||||2026||ADT^A01|7|P^T|2.7^USA\r", &[]);
        check(
            "MSH|^~\\&|A||||20261301||||X|9\r",
            &[
                "AR 101 MSH[1]-9",
                "AR 101 MSH[1]-10",
                "AE 102 MSH[1]-7",
                "AR 202 MSH[1]-11",
                "AR 203 MSH[1]-12",
            ],
        );
        check(&format!("{header}||||||KLINGON\r"), &["AR 103 MSH[1]-18"]);
        check(&format!("{header}\nPID|1\n"), &["AE 100"]);
        check(&format!("{header}\r\rPID|1\r"), &["AE 100"]);
        check(&format!("{header}\rPID|1\r\0\0"), &["AE 100"]);
        check(&format!("{header}\rpid|1\rBTS|1\r"), &["AE 100", "AE 100 BTS[1]"]);
        check(&format!("{header}\rNTE|1\rNTE|\0\r"), &["AE 102 NTE[2]"]);
        check("MSH|^~\\\\&|A||||2026||ADT^A01|7|P|2.5\r", &["AR 100 MSH[1]-2"]);
    }

    #[test]
    fn minds_observations_that_are_not_of_their_type() {
        let check = |obx: &str, expected: &[&str]| {
            check(&format!("MSH|^~\\&|A||||2026||ORU^R01|7|P|2.5\rOBX|1|{obx}\r"), expected);
        };
        for obx in
            ["NM|C||-1.5", "NM|C||+.5", "NM|C||", "NM|C||\"\"", "ST|C||x", "|C||", "CWE|C||1^x^L"]
        {
            check(obx, &[]);
        }
        check("NM|C||positive", &["AE 102 OBX[1]-5"]);
        check("NM|C||1.2.3", &["AE 102 OBX[1]-5"]);
        check("|C||x", &["AE 102 OBX[1]-2"]);
        check("XX|C||x", &["AE 102 OBX[1]-2"]);
    }
}
