//! What `fhir` knows of resources, in the words of writes: values to search by, criteria, patches, issues.

use serde_json::Value;

use crate::fhir::definitions::{self, Kind, Type};
use crate::fhir::json::resource_type;
use crate::fhir::search::Reading;
use crate::fhir::search::index::index;
use crate::fhir::search::parameters::{Parameter, common, own};
use crate::fhir::search::request::{Limits, SearchError, criteria};
use crate::message::resource::{Criterion, IndexValue};
use crate::resources::fault::{Fault, Issue, bad};

/// Operations of one patch, at most.
const OPERATIONS_MAX: usize = 1_000;
/// Issues told of one resource, at most.
const ISSUES_MAX: usize = 50;

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
    let patch: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|_| bad("patch", "the body is no JSON Patch: a list of operations"))?;
    if patch.0.len() > OPERATIONS_MAX {
        let text = format!("a patch has at most {OPERATIONS_MAX} operations");
        return Err(Fault::new(413, "too-long", "patch", text));
    }
    let mut after = resource.clone();
    json_patch::patch(&mut after, &patch).map_err(|error| {
        let text = format!("operation {} does not fit the resource", error.operation);
        Fault::new(422, "processing", "patch", text)
    })?;
    Ok(after)
}

/// What is wrong with a resource by the rules of R4.
#[must_use]
pub fn validated(resource: &Value) -> Vec<Issue> {
    let mut issues = Vec::new();
    let name = resource_type(resource).unwrap_or_default();
    match definitions::r4().resource(name) {
        Some(id) => walk(definitions::r4().get(id), resource, name, &mut issues),
        None => issues.push(issue("structure", "R4 has no resource of this type", "resourceType")),
    }
    issues.truncate(ISSUES_MAX);
    issues
}

fn issue(code: &'static str, text: &str, path: &str) -> Issue {
    Issue { expression: Some(path.to_owned()), ..Issue::error(code, "validation", text) }
}

fn walk(kind: &Type, value: &Value, path: &str, issues: &mut Vec<Issue>) {
    let Value::Object(members) = value else {
        issues.push(issue("structure", "an object is expected", path));
        return;
    };
    if issues.len() >= ISSUES_MAX {
        return;
    }
    for (name, value) in members {
        let plain = name.strip_prefix('_').unwrap_or(name);
        let at = format!("{path}.{plain}");
        let Some(found) = kind.member(plain) else {
            if name != "resourceType" && name != "fhir_comments" {
                issues.push(issue("structure", "R4 has no such element here", &at));
            }
            continue;
        };
        match value {
            Value::Array(items) if found.element.is_list => {
                for (place, item) in items.iter().enumerate().filter(|(_, item)| !item.is_null()) {
                    single(found, name, item, &format!("{at}[{place}]"), issues);
                }
            }
            Value::Array(_) => {
                issues.push(issue("structure", "one value is expected, not a list", &at))
            }
            _ if found.element.is_list => {
                issues.push(issue("structure", "a list is expected", &at));
            }
            one => single(found, name, one, &at, issues),
        }
    }
    for element in kind.elements.iter().filter(|element| element.min > 0) {
        let there = members.keys().any(|name| {
            let plain = name.strip_prefix('_').unwrap_or(name);
            kind.member(plain).is_some_and(|found| found.element.name == element.name)
        });
        if !there {
            let at = format!("{path}.{}", element.name);
            issues.push(issue("required", "a required element is missing", &at));
        }
    }
}

fn single(
    found: definitions::Found<'_>,
    name: &str,
    value: &Value,
    path: &str,
    issues: &mut Vec<Issue>,
) {
    let r4 = definitions::r4();
    let kind = r4.get(found.chosen.type_id);
    if name.starts_with('_') {
        return;
    }
    match kind.kind {
        Kind::Primitive => {
            let fits = match kind.name {
                "boolean" => value.is_boolean(),
                "integer" | "decimal" | "unsignedInt" | "positiveInt" => value.is_number(),
                _ => value.is_string(),
            };
            if !fits {
                issues.push(issue("value", "a value of another JSON type is expected", path));
            }
            let code = value.as_str().filter(|_| kind.name == "code");
            if let (Some(code), Some(binding)) = (code, found.element.binding)
                && !r4.value_set(binding).has_code(code)
            {
                issues.push(issue(
                    "code-invalid",
                    "the code is not in the required value set",
                    path,
                ));
            }
        }
        Kind::Resource => match resource_type(value).and_then(|name| r4.resource(name)) {
            Some(id) => walk(r4.get(id), value, path, issues),
            None => issues.push(issue("structure", "R4 has no resource of this type", path)),
        },
        Kind::Complex | Kind::Part => walk(kind, value, path, issues),
    }
}
