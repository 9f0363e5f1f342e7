//! FHIR R4 (4.0.1) as pure functions over JSON: no I/O, no clock, no randomness.
//!
//! A resource is a `serde_json::Value` whose numbers keep their text and whose members keep their order.

pub mod definitions;
pub mod json;
pub mod outcome;
pub mod patch;
pub mod path;
pub mod reference;
pub mod search;
pub mod subscription;
pub mod validate;
pub mod view;
