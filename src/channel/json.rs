//! A whole HL7 message as JSON: `produce: {json: hl7}`. The shape is stable:
//!
//! ```json
//! {"type": "ADT^A01", "version": "2.5", "control_id": "1",
//!  "segments": [{"segment": "PID", "fields": {"3": [{"1": "100234", "4": {"1": "HIS", "2": "1.2.3"}, "5": "MR"}]}}]}
//! ```
//! Segments stand in their order. A field is a list of its repetitions; a repetition maps component
//! numbers to texts, or to subcomponent numbers where there are several. What is empty is left out; `""` is
//! `null`; a repetition that is nothing else is `null` too. An empty repetition between others is `{}`.

use serde_json::{Map, Value as Json};

use crate::hl7::charset::Charset;
use crate::hl7::raw::{RawMessage, SegmentRef};
use crate::hl7::separators::Separators;
use crate::hl7::value::Value;

/// The message as JSON.
#[must_use]
pub fn whole(message: &RawMessage, event: &str) -> Json {
    let charset = message.charset();
    let header = message.segments().find(|segment| segment.id == b"MSH");
    let text = |number: usize| {
        let value = header.map_or(Value::Absent, |header| header.field(number));
        Json::String(value.text(charset).into_owned())
    };
    let mut made = Map::new();
    made.insert("type".to_owned(), Json::from(event));
    made.insert("version".to_owned(), text(12));
    made.insert("control_id".to_owned(), text(10));
    let segments = message.segments().map(|segment| whole_segment(&segment, charset)).collect();
    made.insert("segments".to_owned(), Json::Array(segments));
    Json::Object(made)
}

fn whole_segment(segment: &SegmentRef<'_>, charset: Charset) -> Json {
    let mut fields = Map::new();
    for (index, field) in segment.fields().enumerate() {
        let number = index + 1;
        let verbatim = segment.is_header() && number <= 2;
        let made = if verbatim {
            Json::String(charset.decode_lossy(field.raw()).into_owned())
        } else if let Some(separators) = field.separators() {
            repetitions(field.raw(), separators, charset)
        } else if field.is_null() {
            Json::Array(vec![Json::Null])
        } else {
            continue;
        };
        fields.insert(number.to_string(), made);
    }
    let mut made = Map::new();
    let id = charset.decode_lossy(segment.id).into_owned();
    made.insert("segment".to_owned(), Json::String(id));
    made.insert("fields".to_owned(), Json::Object(fields));
    Json::Object(made)
}

fn repetitions(raw: &[u8], separators: Separators, charset: Charset) -> Json {
    let repetition = |raw: &[u8]| match Value::of(raw, separators) {
        Value::Null => Json::Null,
        _ => numbered(raw, separators, separators.component, &|component| {
            let parts = separators.split(component, separators.subcomponent).count();
            match (Value::of(component, separators), parts) {
                (Value::Absent | Value::Empty, _) => None,
                (Value::Null, _) => Some(Json::Null),
                (Value::Text(_), 1) => Some(leaf(component, separators, charset)),
                (Value::Text(_), _) => {
                    Some(numbered(component, separators, separators.subcomponent, &|part| {
                        match Value::of(part, separators) {
                            Value::Absent | Value::Empty => None,
                            Value::Null => Some(Json::Null),
                            Value::Text(_) => Some(leaf(part, separators, charset)),
                        }
                    }))
                }
            }
        }),
    };
    Json::Array(separators.split(raw, separators.repetition).map(repetition).collect())
}

fn numbered(
    raw: &[u8],
    separators: Separators,
    separator: Option<u8>,
    make: &dyn Fn(&[u8]) -> Option<Json>,
) -> Json {
    let mut made = Map::new();
    for (index, part) in separators.split(raw, separator).enumerate() {
        if let Some(value) = make(part) {
            made.insert((index + 1).to_string(), value);
        }
    }
    Json::Object(made)
}

fn leaf(raw: &[u8], separators: Separators, charset: Charset) -> Json {
    Json::String(Value::of(raw, separators).text(charset).into_owned())
}
