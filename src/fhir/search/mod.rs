//! Searching as FHIR R4 says (search.html): which parameters a type has, by which values a resource is
//! found, and what a search asks for. Pure; `message::criteria` says whether values meet a criterion.
//!
//! Not supported, and said so: `_text`, `_content`, `_query`, `_filter`, phonetic names, positions, the
//! modifiers `:in`, `:below`, `:above` and their kin, and chains, `_has` or includes of more than one level.

mod ask;
mod expression;
pub mod index;
pub mod parameters;
pub mod request;
mod span;
#[cfg(test)]
mod tests;

use jiff::tz::TimeZone;

use crate::message::time::Timestamp;

/// What values are read under.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The server's own base URL, without a slash at its end: references to it are its own.
    pub base: Box<str>,
    /// The zone of dates that name none.
    pub zone: TimeZone,
    /// The moment, for `ap` (approximately).
    pub now: Timestamp,
}
