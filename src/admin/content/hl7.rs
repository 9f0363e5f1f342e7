//! An HL7 v2 message as a tree with the standard's names beside its values.

use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::content::mask;
use crate::hl7::charset::Charset;
use crate::hl7::dictionary::{self, Label, Version, tables};
use crate::hl7::raw::{RawMessage, SegmentRef};
use crate::hl7::tree;

/// Longest value shown in a tree, in characters; the rest stands in the message's bytes.
const VALUE_CHARS_MAX: usize = 4096;
/// Most segments shown in a tree.
const SEGMENTS_MAX: usize = 5000;

/// A name or a meaning in both languages.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Words {
    /// English.
    en: &'static str,
    /// Chinese; the English where there is none.
    zh: &'static str,
}

impl From<Label> for Words {
    fn from(label: Label) -> Self {
        Self { en: label.en, zh: label.zh }
    }
}

/// What HL7 says by a value (v2.5.1 §2.5.3).
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Something.
    Value,
    /// `""`: the stored value is to be deleted.
    Null,
    /// There, and holds nothing.
    Empty,
}

/// A message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Hl7Tree)]
pub(crate) struct Tree {
    /// Always `hl7`.
    format: &'static str,
    /// Whether values are hidden.
    masked: bool,
    /// The version whose names are given.
    version: &'static str,
    /// MSH-9, e.g. `ADT^A01^ADT_A01`.
    structure: String,
    /// Its segments, in order.
    segments: Vec<Segment>,
    /// Whether there are more segments than a tree shows.
    cut: bool,
}

/// A segment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Segment {
    /// Its id, e.g. `PID`; empty when malformed.
    name: String,
    /// Which of its name, from 1.
    index: usize,
    /// Its name; nothing when the version does not know it.
    title: Option<Words>,
    /// Which segment of the message, from 1.
    line: usize,
    /// The fields that hold something.
    fields: Vec<Field>,
}

/// A field.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Field {
    /// As written in a channel file: `PID-3`, `OBX[2]-5`.
    path: String,
    /// From 1.
    number: usize,
    /// Its name; nothing when the version does not know it.
    title: Option<Words>,
    /// Its data type; of OBX-5 the one that OBX-2 names.
    r#type: String,
    /// Its repetitions.
    repetitions: Vec<Repetition>,
    /// Whether it is too long to be shown divided.
    cut: bool,
}

/// A repetition of a field.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Repetition {
    /// `PID-3`; `PID-3[2]` of the second.
    path: String,
    /// Its text, with `^` and `&` between its parts.
    value: String,
    /// What it says.
    state: State,
    /// What its code means; nothing while values are hidden.
    meaning: Option<Words>,
    /// The table of its codes, in four digits.
    table: Option<String>,
    /// The components that hold something; none of a value without parts.
    components: Vec<Component>,
}

/// A component.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Component {
    /// `PID-3.4`.
    path: String,
    /// Its name.
    title: Option<Words>,
    /// Its data type.
    r#type: String,
    /// Its text, with `&` between its parts.
    value: String,
    /// What it says.
    state: State,
    /// What its code means; nothing while values are hidden.
    meaning: Option<Words>,
    /// The subcomponents that hold something; none of a value without parts.
    subcomponents: Vec<Subcomponent>,
}

/// A subcomponent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Subcomponent {
    /// `PID-3.4.2`.
    path: String,
    /// Its name.
    title: Option<Words>,
    /// Its data type.
    r#type: String,
    /// Its text.
    value: String,
    /// What it says.
    state: State,
    /// What its code means; nothing while values are hidden.
    meaning: Option<Words>,
}

/// How values are read and shown.
struct Reader {
    version: Version,
    charset: Charset,
    masked: bool,
}

/// The tree of a message.
pub(super) fn tree(message: &RawMessage, masked: bool) -> Tree {
    let charset = message.charset();
    let header = message.segments().find(|segment| segment.id == b"MSH");
    let text = |number: usize| {
        let bytes = header.and_then(|header| header.field_bytes(number)).unwrap_or_default();
        charset.decode_lossy(bytes).into_owned()
    };
    let version = Version::parse(text(12).split('^').next().unwrap_or_default());
    let reader = Reader { version, charset, masked };
    let mut seen = std::collections::HashMap::<&[u8], usize>::new();
    let mut segments = Vec::new();
    for segment in message.segments().take(SEGMENTS_MAX) {
        let index = seen.entry(segment.id).or_default();
        *index = index.saturating_add(1);
        segments.push(reader.segment(&segment, *index));
    }
    Tree {
        format: "hl7",
        masked,
        version: version.name(),
        structure: text(9),
        cut: message.segments().len() > segments.len(),
        segments,
    }
}

impl Reader {
    fn segment(&self, segment: &SegmentRef<'_>, index: usize) -> Segment {
        let name = segment.name();
        let place = if index > 1 { format!("{name}[{index}]") } else { name.to_owned() };
        let title = dictionary::segment(self.version, name).map(|known| known.name.into());
        let fields = tree::fields(segment, self.charset);
        let fields = fields.iter().map(|field| self.field(segment, &place, field)).collect();
        Segment {
            name: name.to_owned(),
            index,
            title,
            line: segment.index.saturating_add(1),
            fields,
        }
    }

    fn field(&self, segment: &SegmentRef<'_>, place: &str, field: &tree::FieldTree) -> Field {
        let name = segment.name();
        let number = u16::try_from(field.number).unwrap_or(u16::MAX);
        let known = dictionary::field(self.version, name, number);
        let mut data_type = known.map(|known| known.data_type).unwrap_or_default().to_owned();
        if (name, number) == ("OBX", 5) {
            // HL7 v2.5.1 §7.4.2.2: OBX-2 names the type of OBX-5.
            data_type = segment.field(2).text(self.charset).into_owned();
        }
        let shown = Shown {
            reader: self,
            hidden: self.masked && !mask::is_open(name, field.number),
            table: known.and_then(|known| known.table),
            data_type: &data_type,
        };
        let path = format!("{place}-{}", field.number);
        let repetitions = (1_usize..).zip(&field.repetitions);
        let repetitions = repetitions
            .map(|(nth, parts)| {
                let path = if nth > 1 { format!("{path}[{nth}]") } else { path.clone() };
                shown.repetition(path, parts)
            })
            .collect();
        let title = known.map(|known| known.label.into());
        Field {
            path,
            number: field.number,
            title,
            repetitions,
            cut: field.is_cut,
            r#type: data_type,
        }
    }
}

/// How one field is shown.
struct Shown<'r> {
    reader: &'r Reader,
    hidden: bool,
    table: Option<u16>,
    data_type: &'r str,
}

impl Shown<'_> {
    fn repetition(&self, path: String, parts: &[Vec<String>]) -> Repetition {
        let first = parts.first().and_then(|part| part.first()).map_or("", String::as_str);
        let joined: Vec<String> = parts.iter().map(|subs| subs.join("&")).collect();
        let whole = joined.join("^");
        let divided = parts.len() > 1
            || parts.first().is_some_and(|subs| subs.len() > 1)
            || dictionary::components(self.reader.version, self.data_type).next().is_some();
        let components = (1_u16..).zip(parts).filter(|(_, subs)| divided && holds(subs));
        let components =
            components.map(|(number, subs)| self.component(&path, number, subs)).collect();
        Repetition {
            value: self.value(&whole),
            state: state(&whole),
            meaning: self.meaning(self.table, first),
            table: self.table.map(|table| format!("{table:04}")),
            components,
            path,
        }
    }

    fn component(&self, place: &str, number: u16, subs: &[String]) -> Component {
        let known = dictionary::component(self.reader.version, self.data_type, number);
        let data_type = known.map(|known| known.data_type).unwrap_or_default();
        let path = format!("{place}.{number}");
        let whole = subs.join("&");
        let first = subs.first().map_or("", String::as_str);
        let divided = subs.len() > 1;
        let below = (1_u16..).zip(subs).filter(|(_, text)| divided && !text.is_empty());
        let subcomponents = below
            .map(|(number, text)| {
                let known = dictionary::component(self.reader.version, data_type, number);
                Subcomponent {
                    path: format!("{path}.{number}"),
                    title: known.map(|known| known.label.into()),
                    r#type: known.map(|known| known.data_type).unwrap_or_default().to_owned(),
                    value: self.value(text),
                    state: state(text),
                    meaning: self.meaning(known.and_then(|known| known.table), text),
                }
            })
            .collect();
        Component {
            title: known.map(|known| known.label.into()),
            r#type: data_type.to_owned(),
            value: self.value(&whole),
            state: state(&whole),
            meaning: self.meaning(known.and_then(|known| known.table), first),
            subcomponents,
            path,
        }
    }

    fn value(&self, text: &str) -> String {
        let cut: String = text.chars().take(VALUE_CHARS_MAX).collect();
        if self.hidden { mask::text(&cut) } else { cut }
    }

    fn meaning(&self, table: Option<u16>, code: &str) -> Option<Words> {
        let meaning = tables::value(table?, code)?;
        // A meaning gives its code away.
        (!self.hidden).then(|| meaning.into())
    }
}

fn holds(subs: &[String]) -> bool {
    subs.iter().any(|text| !text.is_empty())
}

fn state(text: &str) -> State {
    match text {
        "\"\"" => State::Null,
        text if text.chars().all(|sign| matches!(sign, '^' | '&')) => State::Empty,
        _ => State::Value,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::Value;

    use super::*;
    use crate::hl7::raw::SegmentEnds;

    const ADT: &str = "MSH|^~\\&|A|B|C|D|2026||ADT^A01^ADT_A01|7|P|2.5.1\rPID|1||P1^^^N&1^MR~P2||Doe^Jane|\"\"||F\rOBX|1|CE|8867-4^Heart rate^LN||1^a\rOBX|2|NM|x||80\r";

    fn shown(masked: bool) -> Value {
        let message = RawMessage::parse(Bytes::from(ADT), SegmentEnds::CrOnly).unwrap();
        serde_json::to_value(tree(&message, masked)).unwrap()
    }

    fn check(tree: &Value, pointer: &str, expected: &str) {
        let found = tree.pointer(pointer).unwrap_or(&Value::Null);
        assert_eq!(found.to_string(), expected, "{pointer}");
    }

    #[test]
    fn names_stand_beside_values_in_both_languages() {
        let tree = shown(false);
        check(&tree, "/version", "\"2.5.1\"");
        check(&tree, "/structure", "\"ADT^A01^ADT_A01\"");
        check(&tree, "/segments/1/title/en", "\"Patient Identification\"");
        check(&tree, "/segments/1/fields/1/path", "\"PID-3\"");
        check(&tree, "/segments/1/fields/1/repetitions/1/path", "\"PID-3[2]\"");
        check(&tree, "/segments/1/fields/1/repetitions/0/value", "\"P1^^^N&1^MR\"");
        let sub = "/segments/1/fields/1/repetitions/0/components/1/subcomponents/1/path";
        check(&tree, sub, "\"PID-3.4.2\"");
        check(&tree, "/segments/1/fields/3/repetitions/0/state", "\"null\"");
        check(&tree, "/segments/1/fields/4/repetitions/0/table", "\"0001\"");
        check(&tree, "/segments/1/fields/4/repetitions/0/meaning/en", "\"Female\"");
        check(&tree, "/segments/1/fields/4/repetitions/0/meaning/zh", "\"女\"");
        check(&tree, "/segments/3/fields/3/path", "\"OBX[2]-5\"");
        check(&tree, "/segments/3/fields/3/type", "\"NM\"");
    }

    #[test]
    fn a_masked_tree_shows_no_value_and_no_meaning() {
        let tree = shown(true);
        check(&tree, "/structure", "\"ADT^A01^ADT_A01\"");
        check(&tree, "/segments/1/fields/4/repetitions/0/meaning", "null");
        check(&tree, "/segments/1/fields/4/repetitions/0/value", "\"•\"");
        let text = tree.to_string();
        for hidden in ["Doe", "Jane", "P1", "P2", "8867"] {
            assert!(!text.contains(hidden), "{hidden}");
        }
    }
}
