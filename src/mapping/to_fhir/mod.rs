//! HL7 v2 → FHIR R4. Pure: the same message, maps and options always give the same bytes.
//!
//! What becomes what is data: `maps/*.yaml`, after HL7's v2-to-FHIR guide where it has a map, ours where
//! it has none. Reading order: `language` (one row of a map), `maps` (all of them), `piece` and `groups`
//! (a message as maps read it), `fill`, `find` and `insert` (apply maps), `convert` and `value` (what rows call), `identity`
//! (ids that stay), `bundle` (what is sent), `guide` (the reference, made of the maps).
//!
//! Nothing is guessed: a code without a row, a time that is none and an identifier's unknown authority
//! are left out and noted with their place; what becomes of the message then is the channel's policy.

mod attachment;
pub mod bundle;
mod convert;
mod device;
mod fill;
mod find;
mod groups;
pub mod guide;
mod identity;
mod insert;
mod language;
pub mod maps;
mod piece;
mod schedule;
pub mod time;
mod value;

use std::collections::HashMap;

use serde_json::Value as Json;

use crate::hl7::raw::RawMessage;
use crate::mapping::to_fhir::fill::Filler;
use crate::mapping::to_fhir::maps::Maps;
use crate::mapping::to_fhir::time::SiteZone;
use crate::message::id::MessageId;
use crate::message::time::Timestamp;

pub use crate::mapping::to_fhir::piece::Place;

/// What a channel wants of its FHIR.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The form of what is sent.
    pub form: Form,
    /// The types of resources that are sent; empty: all.
    pub only: Vec<Box<str>>,
    /// Whether a Provenance tells where it all came from.
    pub provenance: bool,
    /// The zone of times that carry none, where MSH-7 carries none either.
    pub zone: Option<SiteZone>,
    /// The beginning of the systems of identifiers and codes whose authority the site's table does not
    /// know; nothing: these are left without a system.
    pub namespace: Option<Box<str>>,
    /// The site's table: authorities and coding systems as messages name them, and their URIs.
    pub systems: HashMap<Box<str>, Box<str>>,
}

/// The form of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// A transaction bundle of `PUT Type/id` with ids that stay.
    #[default]
    Transaction,
    /// A transaction bundle of conditional updates, `PUT Type?identifier=…`.
    Upsert,
    /// The resource itself; of several, a collection.
    Resources,
}

/// What is known of a message besides its content.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Its id in the engine.
    pub id: MessageId,
    /// When it was accepted: the only `now` there is.
    pub received_at: Timestamp,
}

/// What became of a message.
#[derive(Debug, Clone)]
pub struct Mapped {
    /// What is sent.
    pub body: Json,
    /// What could not be mapped.
    pub notices: Vec<Notice>,
}

/// A part of a message that came into a resource.
#[derive(Clone, PartialEq, Eq)]
pub struct Used {
    /// Where it stands.
    pub place: Place,
    /// What it became. Message content.
    pub value: Json,
}

impl std::fmt::Debug for Used {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Used({:?})", self.place)
    }
}

/// Something that could not be mapped.
#[derive(Clone, PartialEq, Eq)]
pub struct Notice {
    /// Of which kind.
    pub kind: NoticeKind,
    /// Where it stands: `OBX[3]-11`. A position, never content.
    pub place: String,
    /// Why, without content.
    pub what: String,
    /// The value. Message content.
    pub value: String,
}

/// Why something could not be mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// A code without a row.
    Unmapped,
    /// A value that is none of its type.
    Unreadable,
}

impl std::fmt::Debug for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Notice({} {})", self.place, self.what)
    }
}

/// Why a message cannot become FHIR at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoMap {
    /// There is no map for the event.
    #[error("there is no map to FHIR for {event}")]
    Event {
        /// The event.
        event: String,
    },
    /// There is a map, and nothing in the message that it could make something of.
    #[error("the map for {event} makes nothing of this message: {why}")]
    Nothing {
        /// The event.
        event: String,
        /// What was missing.
        why: &'static str,
    },
}

/// Makes FHIR of a message.
///
/// # Errors
/// When there is no map for the event, or nothing comes out.
pub fn convert(
    maps: &Maps,
    message: &RawMessage,
    event: &str,
    options: &Options,
    facts: Facts,
) -> Result<Mapped, NoMap> {
    apply(maps, message, event, options, facts, None).map(|(mapped, _)| mapped)
}

/// The same, and which parts of the message came into resources, in the order in which they did.
///
/// # Errors
/// Those of [`convert`].
pub fn traced(
    maps: &Maps,
    message: &RawMessage,
    event: &str,
    options: &Options,
    facts: Facts,
) -> Result<(Mapped, Vec<Used>), NoMap> {
    apply(maps, message, event, options, facts, Some(Vec::new()))
}

fn apply(
    maps: &Maps,
    message: &RawMessage,
    event: &str,
    options: &Options,
    facts: Facts,
    used: Option<Vec<Used>>,
) -> Result<(Mapped, Vec<Used>), NoMap> {
    let no_map = || NoMap::Event { event: event.to_owned() };
    let mut candidates = maps.messages(event).peekable();
    candidates.peek().ok_or_else(no_map)?;
    for map in candidates {
        let mut filler = Filler::new(maps, map, message, event, options);
        if filler.holds(&map.when, &Filler::root()) {
            filler.used = used;
            filler.run(map);
            let body = bundle::make(&mut filler, facts).ok_or_else(|| NoMap::Nothing {
                event: event.to_owned(),
                why: "no segment of it identifies or describes a resource that the channel wants",
            })?;
            let used = filler.used.unwrap_or_default();
            return Ok((Mapped { body, notices: filler.notices }, used));
        }
    }
    Err(no_map())
}

#[cfg(test)]
mod tests;
