//! FHIR R4 → HL7 v2. Pure: the same resources and options always give the same bytes.
//!
//! What becomes what is data: `maps/*.yaml`, the maps of `to_fhir` read backwards where they go both ways.
//! Reading order: `event` (which message it is), `message` and `report` (its segments), `language` and `maps` (the rows
//! that fill them), `types` and `value` (what rows call), `wire` (bytes).
//!
//! Nothing is dropped in silence where HL7 v2 requires it: what is missing or has no code is named by its
//! element, and the channel's policy decides what becomes of the delivery.

mod event;
mod language;
mod maps;
mod message;
mod person;
mod report;
mod time;
mod types;
mod value;
mod wire;

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use serde_json::Value as Json;

use crate::fhir::view::Resources;
use crate::hl7::charset::Charset;
use crate::mapping::to_v2::message::Builder;

pub use crate::mapping::to_v2::event::EVENTS;

/// Which messages are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wanted {
    /// What the resources are: results, appointments, orders, visits, persons.
    #[default]
    Auto,
    /// ADT of Patient and Encounter.
    Adt,
    /// ORU^R01 of `DiagnosticReport` and Observation.
    Oru,
    /// ORM^O01 of `ServiceRequest`.
    Orm,
    /// OML^O21 of `ServiceRequest`.
    Oml,
    /// SIU of Appointment.
    Siu,
}

/// What a channel wants of its HL7.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which messages.
    pub wanted: Wanted,
    /// MSH-12.
    pub version: Box<str>,
    /// MSH-18, and how the bytes are written.
    pub charset: Charset,
    /// The site's table: URIs of identifier and code systems, and how HL7 v2 names them.
    pub authorities: HashMap<Box<str>, Authority>,
    /// Other events than the usual ones: `Patient^create` as `A04`.
    pub events: Vec<(Box<str>, Box<str>)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wanted: Wanted::Auto,
            version: VERSION.into(),
            charset: Charset::Utf8,
            authorities: HashMap::new(),
            events: Vec::new(),
        }
    }
}

/// The version that messages have unless another is asked for.
pub const VERSION: &str = "2.5.1";

/// An assigning authority or code system as the site names it in HL7 v2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Namespace, or name of the code system.
    pub name: Box<str>,
    /// Type of its identifiers by table 0203; empty when they say it themselves.
    pub kind: Box<str>,
}

impl Options {
    fn authority(&self, uri: &str) -> Option<&Authority> {
        if uri.is_empty() { None } else { self.authorities.get(uri) }
    }

    /// The version as two numbers; 2.5 when it cannot be read.
    fn version(&self) -> (u32, u32) {
        let mut parts = self.version.split('.').map(|part| part.parse().unwrap_or(5));
        (parts.next().unwrap_or(2), parts.next().unwrap_or(5))
    }
}

/// What the header needs besides the resources.
#[derive(Debug, Clone, Copy)]
pub struct Header<'h> {
    /// MSH-10.
    pub control_id: &'h str,
    /// MSH-7: the time of acceptance.
    pub now: &'h str,
}

/// A message made.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its bytes.
    pub bytes: Bytes,
    /// What could not be mapped and is not in it.
    pub notices: Vec<Notice>,
}

/// An element that has no code, or no value, in HL7 v2.
#[derive(Clone, PartialEq, Eq)]
pub struct Notice {
    /// `Observation.status`. A name, never content.
    pub element: String,
    /// Why, without content.
    pub what: String,
    /// The table of HL7 v2 that has no such code; empty for other reasons.
    pub table: String,
    /// The value. Message content.
    pub value: String,
}

impl std::fmt::Debug for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Notice({} {})", self.element, self.what)
    }
}

/// Why resources cannot become a message. Names elements, never content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoMessage {
    /// Nothing in it that a message is made of.
    #[error("{element}: {why}")]
    Nothing {
        /// The element that would have to say it.
        element: String,
        /// Why no message comes of it.
        why: String,
    },
    /// HL7 v2 requires the field, and the element that fills it says nothing.
    #[error("{element} says nothing, and {field} is required")]
    Missing {
        /// The element.
        element: String,
        /// The field.
        field: String,
    },
    /// The charset of the message has no character for something.
    #[error("{field} cannot be written: {why}")]
    Unwritable {
        /// The field.
        field: String,
        /// Why.
        why: String,
    },
}

/// The fields that the maps fill, each as segment and number: what of a message can come back from FHIR.
/// OBX-5 and its type and unit are filled without rows, by the type of the value.
#[must_use]
pub fn fields() -> BTreeSet<([u8; 3], usize)> {
    let of_rows = maps::maps().all().map(|(_, row)| (row.segment, row.field));
    of_rows.chain([2, 5, 6].map(|field| (*b"OBX", field))).collect()
}

/// Makes a message of a resource or of a Bundle of resources that belong together.
///
/// # Errors
/// When no message comes of it: which element says too little.
pub fn convert(
    document: &Json,
    event: &str,
    options: &Options,
    header: Header<'_>,
) -> Result<Made, NoMessage> {
    let message = Resources::of(document, event);
    let chosen = event::choose(&message, options)?;
    let mut builder = Builder::new(&message, options);
    let segments = builder.build(&chosen, header)?;
    let notices = builder.notices();
    let bytes = wire::write(&segments, options.charset)
        .map_err(|wrong| NoMessage::Unwritable { field: wrong.place, why: wrong.why })?;
    Ok(Made { bytes, notices })
}

#[cfg(test)]
mod tests;
