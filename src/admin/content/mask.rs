//! What somebody sees who may not read values: their shape, with letters and digits hidden.

use serde_json::Value;

use crate::hl7::charset::Charset;
use crate::hl7::raw::RawMessage;

/// Fields of MSH that speak of the message and of no patient (HL7 v2.5.1 §2.15.9).
const OPEN_HEADER_FIELDS: [usize; 15] = [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 15, 16, 17, 18];

/// Whether a field of HL7 v2 is shown to everybody who may see the message at all.
pub(super) fn is_open(segment: &str, field: usize) -> bool {
    segment == "MSH" && OPEN_HEADER_FIELDS.contains(&field)
}

/// A value with its letters and digits hidden: its shape stays.
pub(crate) fn text(value: &str) -> String {
    value.chars().map(|sign| if sign.is_alphanumeric() { '•' } else { sign }).collect()
}

/// Whether it can name a segment (HL7 v2.5.1 §2.5.2): a capital and two capitals or digits.
fn is_name(cell: &str) -> bool {
    cell.len() == 3
        && cell.starts_with(|sign: char| sign.is_ascii_uppercase())
        && cell.chars().all(|sign| sign.is_ascii_uppercase() || sign.is_ascii_digit())
}

/// An HL7 v2 message as text with its values hidden.
pub(super) fn hl7(message: &RawMessage, charset: Charset) -> String {
    let mut shown = String::new();
    for segment in message.segments() {
        let separator = char::from(segment.separators.field);
        let whole = charset.decode_lossy(segment.bytes);
        let first = if segment.is_header() { 2 } else { 1 };
        let mut cells = whole.split(separator);
        let name = cells.next().unwrap_or_default();
        // A line that a sender broke has no name: what stands there is a value.
        if is_name(name) && whole.contains(separator) {
            shown.push_str(name);
        } else {
            shown.push_str(&text(name));
        }
        for (number, cell) in (first..).zip(cells) {
            shown.push(separator);
            let open = is_open(segment.name(), number) || (segment.is_header() && number == 2);
            if open {
                shown.push_str(cell);
            } else {
                shown.push_str(&text(cell));
            }
        }
        shown.push('\r');
    }
    shown
}

/// JSON with its values hidden. Names stay, and of FHIR what kind of resource it is.
pub(super) fn json(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if name != "resourceType" {
                    json(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(json),
        Value::Null => {}
        Value::String(hidden) => *hidden = text(hidden),
        Value::Bool(_) | Value::Number(_) => *value = Value::String("•".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::hl7::raw::SegmentEnds;

    #[test]
    fn nothing_of_a_patient_is_left_in_masked_hl7() {
        let bytes = "MSH|^~\\&|ADT|H|||2026||ADT^A01|7|P|2.5\rPID|1||12345^^^H&1.2^MR||王^小明\\T\\x|\rNK1|\"\"\r";
        let message = RawMessage::parse(Bytes::from(bytes), SegmentEnds::CrOnly).unwrap();
        let expected = "MSH|^~\\&|ADT|H|||2026||ADT^A01|7|P|2.5\rPID|•||•••••^^^•&•.•^••||•^••\\•\\•|\rNK1|\"\"\r";
        assert_eq!(hl7(&message, Charset::Utf8), expected);
    }

    #[test]
    fn a_line_that_a_sender_broke_shows_nothing() {
        let bytes = "MSH|^~\\&|ADT|H|||2026||ORU^R01|7|P|2.5\rNTE|1||seen by\rDr Wang Xiaoming 555\rLI|born 1970\rWEI\r";
        let message = RawMessage::parse(Bytes::from(bytes), SegmentEnds::Lenient).unwrap();
        let shown = hl7(&message, Charset::Utf8);
        for value in ["Wang", "555", "LI", "1970", "WEI"] {
            assert!(!shown.contains(value), "{value} in {shown}");
        }
        assert!(shown.contains("NTE|•"), "{shown}");
    }

    #[test]
    fn masked_json_keeps_names_and_the_resource_type() {
        let mut value = serde_json::json!({"resourceType": "Patient", "active": true, "name": [{"family": "Li"}]});
        json(&mut value);
        let expected = serde_json::json!({"resourceType": "Patient", "active": "•", "name": [{"family": "••"}]});
        assert_eq!(value, expected);
    }
}
