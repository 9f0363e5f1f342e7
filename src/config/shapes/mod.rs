//! The shapes of `engine.yaml` and of channel files: the one description behind the check, the JSON
//! Schema and `docs/config.md`.

mod access;
pub mod channel;
pub mod destination;
pub mod destination_mllp;
pub mod engine;
pub mod fhir;
mod http;
pub mod language;
pub mod source;
mod subscriptions;
mod to_fhir;

use crate::yaml::shape::Shape;

pub(super) const PORT: Shape = Shape::Integer { min: 1, max: 65_535 };
pub(super) const COUNT: Shape = Shape::Integer { min: 1, max: 1_000_000 };

/// How bytes are to be read.
pub(super) const CONTENT: Shape = Shape::Choice(&[
    ("hl7", "HL7 v2 in its delimiter encoding."),
    ("json", "JSON."),
    ("fhir", "FHIR JSON."),
    ("text", "Text."),
    ("bytes", "Anything else."),
]);
