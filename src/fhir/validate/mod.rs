//! Whether a resource is what FHIR R4 says it is (validation.html): structure, cardinality, formats of
//! primitives, required bindings, reference targets, invariants. No profiles, no terminology server.
//!
//! Everything comes from the tables of `definitions`. One walk over the resource, of bounded work and with
//! a bounded number of issues; an issue names the place and the rule and never quotes the resource.

mod primitive;
mod rules;
mod scope;
#[cfg(test)]
mod tests;
mod walk;

use serde_json::Value;

use crate::fhir::outcome::Issue;

/// How much one validation may cost and say.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Issues that are listed; one more says that there are others.
    pub issues_max: usize,
    /// What all invariants together may cost, in nodes visited.
    pub work_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { issues_max: 100, work_max: 5_000_000 }
    }
}

/// The issues of a resource, in the order of its members; none where all is well. A resource is valid when
/// none of them is an error.
#[must_use]
pub fn validate(resource: &Value) -> Vec<Issue> {
    validate_within(resource, Limits::default())
}

/// The same with limits of one's own.
#[must_use]
pub fn validate_within(resource: &Value, limits: Limits) -> Vec<Issue> {
    walk::walk(resource, limits)
}
