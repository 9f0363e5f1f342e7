//! A message as channels see it: read once, lazily, however many channels look at it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use crate::channel::resource;
use crate::channel::scope::Message;
use crate::channel::step::Step;
use crate::fhir::json::read as strict;
use crate::hl7::header::Header;
use crate::hl7::kind;
use crate::hl7::raw::{ParseError, RawMessage, ReadOptions};
use crate::message::kind::{ContentType, Kind};
use crate::message::payload::Payload;
use crate::message::time::Timestamp;

/// Changed messages kept with the one they were made of.
const CHANGED_MAX: usize = 2;

/// A message with what has been read of it so far.
#[derive(Debug)]
pub struct Input {
    payload: Payload,
    content_type: ContentType,
    options: ReadOptions,
    known: Option<Known>,
    read: OnceLock<Read>,
    changed: Mutex<Vec<(Arc<[Step]>, RawMessage)>>,
}

/// What the transport knows of a message that does not say it itself.
#[derive(Debug)]
struct Known {
    /// `Patient^create`.
    event: Arc<str>,
    /// `Patient/123/_history/4`.
    control_id: String,
    received_at: Timestamp,
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
    Json {
        document: serde_json::Value,
        /// Whether it says more than the bytes do.
        stamped: bool,
    },
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
    pub fn new(payload: Payload, content_type: ContentType, options: ReadOptions) -> Self {
        Self {
            payload,
            content_type,
            options,
            known: None,
            read: OnceLock::new(),
            changed: Mutex::new(Vec::new()),
        }
    }

    /// With what the transport knew or the log has kept of it. Content that says it itself (HL7 v2) is
    /// believed instead. A FHIR resource whose control id names the version it became is read as a
    /// client would read it back: with its `id`, and `meta` with version and time.
    #[must_use]
    pub fn known(mut self, event: &str, control_id: &str, received_at: Timestamp) -> Self {
        if matches!(self.content_type, ContentType::Json | ContentType::FhirJson) {
            let control_id = control_id.to_owned();
            self.known = Some(Known { event: event.into(), control_id, received_at });
        }
        self
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

    /// The bytes to pass on when nothing changes them: as received; of a FHIR resource that the engine has
    /// stored, the version it became.
    #[must_use]
    pub fn passed_on(&self) -> Bytes {
        match &self.read().content {
            Ok(Content::Json { document, stamped: true }) => document.to_string().into(),
            _ => self.payload.expose().clone(),
        }
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

    /// Message type and event, `ADT^A01`; of FHIR the resource type and what was done, `Patient^update`;
    /// empty when unknown.
    #[must_use]
    pub fn event(&self) -> &Arc<str> {
        &self.read().event
    }

    /// MSH-10 as sent; of FHIR the version, `Patient/123/_history/4`; empty when there is none.
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
            Ok(Content::Json { document, .. }) => Ok(Message::Json(document)),
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

    /// What these steps made of it for another destination; the very same list, not one like it.
    pub(super) fn changed(&self, steps: &Arc<[Step]>) -> Option<RawMessage> {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.iter().find(|(other, _)| Arc::ptr_eq(other, steps)).map(|(_, done)| done.clone())
    }

    /// Keeps what these steps made of it for the destinations that have them too.
    pub(super) fn keep_changed(&self, steps: &Arc<[Step]>, done: &RawMessage) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        if changed.len() < CHANGED_MAX
            && !changed.iter().any(|(other, _)| Arc::ptr_eq(other, steps))
        {
            changed.push((Arc::clone(steps), done.clone()));
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
        let bytes = self.payload.expose();
        // As the endpoint read it: the text of numbers is kept.
        let read = match self.content_type {
            ContentType::FhirJson => strict::read(bytes, &strict::Limits::NONE)
                .map_err(|error| (error.line, error.column)),
            _ => serde_json::from_slice::<serde_json::Value>(bytes)
                .map_err(|error| (error.line(), error.column())),
        };
        match read {
            Ok(mut document) => {
                let kind = resource::kind(&document);
                let known = self.known.as_ref();
                let event = known.map(|known| &known.event).filter(|event| !event.is_empty());
                let event = event.map_or_else(|| resource::event(&document).into(), Arc::clone);
                let stamped = known.is_some_and(|known| {
                    self.content_type == ContentType::FhirJson
                        && resource::stamp(&mut document, &known.control_id, known.received_at)
                });
                let control_id = known.map(|known| known.control_id.clone()).unwrap_or_default();
                Read { kind, event, control_id, content: Ok(Content::Json { document, stamped }) }
            }
            Err((line, column)) => Read::unknown(Err(Unreadable::Json { line, column })),
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
