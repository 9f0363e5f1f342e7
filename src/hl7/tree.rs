//! One field as a tree, for people who look into a message.
//!
//! This is the one place that calls the parser crate, and only its field function, which was measured to
//! be sound: see `docs/decisions/hl7-parser.md`. Whole messages, queries, escapes and writing stay ours.

use hl7_parser::parser::parse_field_with_separators;

use crate::hl7::charset::Charset;
use crate::hl7::escape;
use crate::hl7::raw::SegmentRef;
use crate::hl7::separators::Separators;

/// A field longer than this is shown undivided: a tree costs many times its text.
const DIVIDED_BYTES_MAX: usize = 64 * 1024;

/// Stands for a delimiter that MSH-2 does not name: no text holds it.
const NO_DELIMITER: char = '\u{10FFFF}';

/// A field with its parts. Patient data: for a person allowed to see it.
#[derive(Clone, PartialEq, Eq)]
pub struct FieldTree {
    /// Its number, from 1.
    pub number: usize,
    /// Repetitions, components, subcomponents: decoded texts. A field that is not divided is one leaf.
    pub repetitions: Vec<Vec<Vec<String>>>,
    /// Whether it was too long to be divided.
    pub is_cut: bool,
}

impl std::fmt::Debug for FieldTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FieldTree({}, {} repetitions)", self.number, self.repetitions.len())
    }
}

/// The fields of a segment that hold something.
#[must_use]
pub fn fields(segment: &SegmentRef<'_>, charset: Charset) -> Vec<FieldTree> {
    let numbered = (1_usize..).zip(segment.fields());
    numbered
        .filter(|(_, value)| !value.is_empty())
        .map(|(number, value)| {
            let raw = value.raw();
            let separators = segment.inner_separators(number);
            let is_cut = raw.len() > DIVIDED_BYTES_MAX;
            let text = charset.decode_lossy(raw);
            let divided = if is_cut { None } else { divide(&text, &separators, charset) };
            let repetitions =
                divided.unwrap_or_else(|| vec![vec![vec![leaf(&text, &separators, charset)]]]);
            FieldTree { number, repetitions, is_cut }
        })
        .collect()
}

/// `None` unless the crate read the field to its end.
fn divide(text: &str, separators: &Separators, charset: Charset) -> Option<Vec<Vec<Vec<String>>>> {
    let delimiter = |byte: Option<u8>| byte.map_or(NO_DELIMITER, char::from);
    let theirs = hl7_parser::message::Separators {
        field: char::from(separators.field),
        component: delimiter(separators.component),
        subcomponent: delimiter(separators.subcomponent),
        repetition: delimiter(separators.repetition),
        escape: delimiter(separators.escape),
        lenient_newlines: false,
    };
    let field = parse_field_with_separators(text, theirs).ok()?;
    if field.raw_value().len() != text.len() {
        return None;
    }
    let mut repetitions = Vec::new();
    for repeat in field.repeats() {
        let mut components = Vec::new();
        for component in repeat.components() {
            let leaves = component.subcomponents();
            let texts = leaves.map(|sub| leaf(sub.raw_value(), separators, charset));
            components.push(texts.collect());
        }
        repetitions.push(components);
    }
    Some(repetitions)
}

fn leaf(text: &str, separators: &Separators, charset: Charset) -> String {
    escape::unescape(text.into(), separators, charset).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(segment: &str, separators: Separators, expected: &str) {
        let segment = SegmentRef::new(0, 0, segment.as_bytes(), separators);
        let shown: Vec<String> = fields(&segment, Charset::Utf8)
            .into_iter()
            .map(|field| format!("{}={:?}", field.number, field.repetitions))
            .collect();
        assert_eq!(shown.join(" "), expected);
    }

    #[test]
    fn shows_fields_with_their_parts() {
        check(
            "PID|1||P1^^^N&1~P2||D\\T\\e^张\r".trim_end(),
            Separators::STANDARD,
            r#"1=[[["1"]]] 3=[[["P1"], [""], [""], ["N", "1"]], [["P2"]]] 5=[[["D&e"], ["张"]]]"#,
        );
        check(
            "MSH|^~\\&|A^B",
            Separators::STANDARD,
            r#"1=[[["|"]]] 2=[[["^~\\&"]]] 3=[[["A"], ["B"]]]"#,
        );
        check("PV1", Separators::STANDARD, "");
        let bare = Separators { escape: None, subcomponent: None, ..Separators::STANDARD };
        check("OBX|a&b\\F\\", bare, r#"1=[[["a&b\\F\\"]]]"#);
        check("OBX|a\nb^c", Separators::STANDARD, r#"1=[[["a\nb"], ["c"]]]"#);
    }

    #[test]
    fn a_very_long_field_is_one_leaf() {
        let text = format!("OBX|{}", "a^".repeat(DIVIDED_BYTES_MAX));
        let segment = SegmentRef::new(0, 0, text.as_bytes(), Separators::STANDARD);
        let trees = fields(&segment, Charset::Utf8);
        assert!(trees[0].is_cut && trees[0].repetitions.len() == 1);
        assert_eq!(trees[0].repetitions[0].len(), 1);
    }
}
