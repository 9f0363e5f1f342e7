//! FHIR's JSON: strict reading, writing as it was read, and the few changes the engine itself makes.
//!
//! What was read is written back with every number's text and the order of the members kept
//! (FHIR R4 json.html, datatypes.html#decimal).

pub mod read;
pub mod stamp;
pub mod subset;
#[cfg(test)]
mod tests;

use serde_json::Value;

/// The resource as bytes, without white space.
#[must_use]
pub fn compact(value: &Value) -> Vec<u8> {
    // A `Value` has string keys only and no number that JSON lacks: writing cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}

/// The resource as bytes for people: indented by two spaces (`_pretty`).
#[must_use]
pub fn pretty(value: &Value) -> Vec<u8> {
    serde_json::to_vec_pretty(value).unwrap_or_default()
}

/// The `resourceType`, if it is a string.
#[must_use]
pub fn resource_type(value: &Value) -> Option<&str> {
    value.get("resourceType").and_then(Value::as_str)
}
