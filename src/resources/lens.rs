//! What `fhir` knows of resources, in the words of writes: values to search by, criteria, patches, issues.

use serde_json::Value;

use crate::fhir::definitions;
use crate::fhir::json::resource_type;
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
    Fault::new(400, error.issue, "parameter", error.to_string())
}

/// A resource after a patch: a list is a JSON Patch (RFC 6902), a Parameters resource a FHIRPath Patch (FHIR
/// R4 fhirpatch.html), any other object a merge patch (RFC 7396).
///
/// # Errors
/// 400 when the patch is none, 422 when it does not fit the resource.
pub fn patched(resource: &Value, patch: &Value) -> Result<Value, Fault> {
    let limits = patch::Limits::default();
    let by_path = resource_type(patch) == Some("Parameters");
    if patch.is_object() && !by_path {
        let mut after = resource.clone();
        json_patch::merge(&mut after, patch);
        return Ok(after);
    }
    let done = match by_path {
        true => patch::parameters::apply(resource, patch, limits),
        false => apply(resource, patch, limits),
    };
    done.map_err(|error| {
        let status = match error.fault {
            PatchFault::NotAList
            | PatchFault::NotParameters
            | PatchFault::UnknownOperation
            | PatchFault::Missing(_) => 400,
            PatchFault::TooMany | PatchFault::TooLarge => 413,
            _ => 422,
        };
        Fault { status, issues: vec![error.issue()] }
    })
}
