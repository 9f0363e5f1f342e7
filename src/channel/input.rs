//! A message as channels see it: read once, lazily, however many channels look at it.

use std::sync::{Arc, OnceLock};

use crate::channel::scope::Message;
use crate::hl7::header::Header;
use crate::hl7::kind;
use crate::hl7::raw::{ParseError, RawMessage, ReadOptions};
use crate::message::kind::{ContentType, Kind};
use crate::message::payload::Payload;

/// A message with what has been read of it so far.
#[derive(Debug)]
pub struct Input {
    payload: Payload,
    content_type: ContentType,
    options: ReadOptions,
    read: OnceLock<Read>,
}

/// What was read.
#[derive(Debug)]
struct Read {
    content: Result<Content, Unreadable>,
    kind: Kind,
    event: Arc<str>,
    control_id: String,
}

#[derive(Debug)]
enum Content {
    Hl7(RawMessage),
    Json(serde_json::Value),
    Opaque,
}

/// Why a message cannot be read. Positions, never content.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unreadable {
    /// No HL7 v2.
    #[error("{0}")]
    Hl7(#[from] ParseError),
    /// No JSON.
    #[error("the JSON cannot be read at line {line}, column {column}")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
}

impl Input {
    /// A message of a known content type.
    #[must_use]
    pub const fn new(payload: Payload, content_type: ContentType, options: ReadOptions) -> Self {
        Self { payload, content_type, options, read: OnceLock::new() }
    }

    /// A message whose content type is told by its first bytes.
    #[must_use]
    pub fn guess(payload: Payload, options: ReadOptions) -> Self {
        let content_type = content_type_of(payload.expose());
        Self::new(payload, content_type, options)
    }

    /// The bytes as received.
    #[must_use]
    pub const fn payload(&self) -> &Payload {
        &self.payload
    }

    /// How they are read.
    #[must_use]
    pub const fn content_type(&self) -> ContentType {
        self.content_type
    }

    /// How bytes become text and segments.
    #[must_use]
    pub const fn read_options(&self) -> ReadOptions {
        self.options
    }

    /// What the message is about; `Other` when it cannot be read.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.read().kind
    }

    /// Message type and event, `ADT^A01`; the resource type of FHIR; empty when unknown.
    #[must_use]
    pub fn event(&self) -> &Arc<str> {
        &self.read().event
    }

    /// MSH-10 as sent; empty when there is none.
    #[must_use]
    pub fn control_id(&self) -> &str {
        &self.read().control_id
    }

    /// The content, to read from.
    ///
    /// # Errors
    /// When the bytes are not what their content type says.
    pub fn message(&self) -> Result<Message<'_>, &Unreadable> {
        match &self.read().content {
            Ok(Content::Hl7(message)) => Ok(Message::Hl7(message)),
            Ok(Content::Json(document)) => Ok(Message::Json(document)),
            Ok(Content::Opaque) => Ok(Message::Opaque),
            Err(error) => Err(error),
        }
    }

    /// The content as HL7 v2, when it is.
    #[must_use]
    pub fn hl7(&self) -> Option<&RawMessage> {
        match &self.read().content {
            Ok(Content::Hl7(message)) => Some(message),
            _ => None,
        }
    }

    fn read(&self) -> &Read {
        self.read.get_or_init(|| match self.content_type {
            ContentType::Hl7v2 => self.read_hl7(),
            ContentType::Json | ContentType::FhirJson => self.read_json(),
            ContentType::Text | ContentType::Bytes => Read::unknown(Ok(Content::Opaque)),
        })
    }

    fn read_hl7(&self) -> Read {
        match RawMessage::parse_with(self.payload.expose().clone(), self.options) {
            Ok(message) => {
                let header = message.segments().find(|segment| segment.id == b"MSH");
                let text = |bytes: &[u8]| message.charset().decode_lossy(bytes).into_owned();
                let control = header.and_then(|msh| msh.field_bytes(10)).map(text);
                Read {
                    kind: kind::of(&message),
                    event: event_of(&message).into(),
                    control_id: control.unwrap_or_default(),
                    content: Ok(Content::Hl7(message)),
                }
            }
            Err(error) => Read::unknown(Err(error.into())),
        }
    }

    fn read_json(&self) -> Read {
        match serde_json::from_slice::<serde_json::Value>(self.payload.expose()) {
            Ok(document) => {
                let resource = document.get("resourceType").and_then(serde_json::Value::as_str);
                Read {
                    kind: resource.map_or(Kind::Other, kind_of_resource),
                    event: resource.unwrap_or_default().into(),
                    control_id: String::new(),
                    content: Ok(Content::Json(document)),
                }
            }
            Err(error) => {
                let place = Unreadable::Json { line: error.line(), column: error.column() };
                Read::unknown(Err(place))
            }
        }
    }
}

/// `ADT^A01`; before 2.2 the event stands in EVN-1 alone.
fn event_of(message: &RawMessage) -> String {
    let header = message.segments().find(|segment| segment.id == b"MSH");
    header.map(|segment| Header::of(segment).event_name()).unwrap_or_default()
}

impl Read {
    fn unknown(content: Result<Content, Unreadable>) -> Self {
        Self { content, kind: Kind::Other, event: "".into(), control_id: String::new() }
    }
}

/// How bytes are probably to be read, by how they begin.
#[must_use]
pub fn content_type_of(bytes: &[u8]) -> ContentType {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let start = bytes.trim_ascii_start();
    let start = start.strip_prefix(b"\x0B").unwrap_or(start);
    if let Some(b"MSH" | b"FHS" | b"BHS") = start.get(..3) {
        return ContentType::Hl7v2;
    }
    if matches!(start.first(), Some(b'{' | b'[')) {
        return ContentType::Json;
    }
    if std::str::from_utf8(bytes).is_ok() { ContentType::Text } else { ContentType::Bytes }
}

/// The kind of a FHIR resource.
fn kind_of_resource(resource: &str) -> Kind {
    match resource {
        "Patient" | "Encounter" | "RelatedPerson" | "Person" => Kind::Patient,
        "DiagnosticReport" | "Observation" => Kind::Report,
        "Device" | "DeviceMetric" => Kind::Device,
        "ServiceRequest" | "Task" => Kind::Order,
        "Appointment" | "Slot" | "Schedule" => Kind::Schedule,
        "DocumentReference" | "Composition" => Kind::Document,
        "Immunization" => Kind::Immunization,
        "MedicationRequest" | "MedicationDispense" | "MedicationAdministration" => Kind::Pharmacy,
        "ChargeItem" | "Account" | "Claim" | "Coverage" => Kind::Finance,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_content_by_its_first_bytes() {
        for (bytes, expected) in [
            (&b"MSH|^~\\&|"[..], ContentType::Hl7v2),
            (b"\r\n\x0BMSH|^~\\&|", ContentType::Hl7v2),
            (b" {\"a\": 1}", ContentType::Json),
            (b"name;value", ContentType::Text),
            (b"\xFF\xD8\xFF", ContentType::Bytes),
            (b"", ContentType::Text),
        ] {
            assert_eq!(content_type_of(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn says_where_json_breaks() {
        let input = Input::guess(Payload::new("{\n \"a\": }"), ReadOptions::default());
        let error = input.message().unwrap_err();
        assert_eq!(error.to_string(), "the JSON cannot be read at line 2, column 7");
        assert_eq!(input.kind(), Kind::Other);
    }
}
