//! What `fhir` knows of resources, in the words of writes: values to search by, criteria, patches, issues.

use serde_json::Value;

use crate::fhir::definitions;
use crate::message::resource::{Criterion, IndexValue};
use crate::resources::fault::{Fault, Issue};

/// A search parameter.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its code.
    pub code: &'static str,
    /// Its type: `token`, `reference`, ….
    pub sort: &'static str,
    /// Its canonical URL.
    pub url: &'static str,
}

/// Whether R4 has a resource of this type.
#[must_use]
pub fn is_resource(kind: &str) -> bool {
    definitions::r4().resource(kind).is_some()
}

/// Search parameters of a type.
pub fn parameters(_kind: &str) -> Vec<Parameter> {
    Vec::new()
}

/// TODO
pub fn values(_resource: &Value) -> Vec<IndexValue> {
    Vec::new()
}

/// TODO
pub fn conditional(_kind: &str, _query: &str) -> Result<Vec<Criterion>, Fault> {
    Ok(Vec::new())
}

/// TODO
pub fn patched(_resource: &Value, _patch: &Value) -> Result<Value, Fault> {
    Ok(Value::Null)
}

/// TODO
pub fn validated(_resource: &Value) -> Vec<Issue> {
    Vec::new()
}

/// TODO
pub fn can_sort(_kind: &str, _code: &str) -> bool {
    false
}

/// TODO
pub fn criterion(_kind: &str, _name: &str, _value: &str, _base: &str) -> Result<Option<Criterion>, Fault> {
    Ok(None)
}

/// TODO
pub fn chained(_criterion: &Criterion) -> Option<&str> {
    None
}
