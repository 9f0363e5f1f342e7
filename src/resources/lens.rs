//! What `fhir` knows of resources, in the words of writes: values to search by, criteria, patches, issues.

use serde_json::Value;

use crate::fhir::definitions;
use crate::fhir::patch::{self, PatchFault, apply};
use crate::fhir::search::Reading;
use crate::fhir::search::index::index;
use crate::fhir::search::parameters::{Parameter, common, own};
use crate::fhir::search::request::{Limits, SearchError, criteria};
use crate::message::resource::{Criterion, IndexValue};
use crate::resources::fault::Fault;

/// Whether R4 has a resource of this type.
#[must_use]
pub fn is_resource(kind: &str) -> bool {
    definitions::r4().resource(kind).is_some()
}

/// The search parameters of a type.
pub fn parameters(kind: &str) -> impl Iterator<Item = &'static Parameter> {
    common().iter().chain(own(kind))
}

/// The values a resource is found by.
#[must_use]
pub fn values(resource: &Value, reading: &Reading) -> Vec<IndexValue> {
    index(resource, reading)
}

/// The criteria of a condition.
///
/// # Errors
/// 400 when something of it is not understood.
pub fn conditional(kind: &str, query: &str, reading: &Reading) -> Result<Vec<Criterion>, Fault> {
    criteria(kind, query, reading, &Limits::default()).map_err(|error| wrong(&error))
}

/// A search that is refused.
#[must_use]
pub fn wrong(error: &SearchError) -> Fault {
    Fault::new(400, "not-supported", "parameter", error.to_string())
}

/// A resource after a patch: a list is a JSON Patch (RFC 6902), an object a merge patch (RFC 7396).
///
/// # Errors
/// 400 when the patch is none, 422 when it does not fit the resource.
pub fn patched(resource: &Value, patch: &Value) -> Result<Value, Fault> {
    if patch.is_object() {
        let mut after = resource.clone();
        json_patch::merge(&mut after, patch);
        return Ok(after);
    }
    apply(resource, patch, patch::Limits::default()).map_err(|error| {
        let status = match error.fault {
            PatchFault::NotAList | PatchFault::UnknownOperation | PatchFault::Missing(_) => 400,
            PatchFault::TooMany | PatchFault::TooLarge => 413,
            _ => 422,
        };
        Fault { status, issues: vec![error.issue()] }
    })
}
