//! What an element's neighbours say about it: contained resources, and the entries of a bundle.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::fhir::json::resource_type;
use crate::fhir::path::Surroundings;

/// The resource that is being walked.
#[derive(Clone)]
pub(super) struct Scope<'a> {
    pub(super) around: Surroundings<'a>,
    /// Ids of contained resources, with their types.
    contained: HashMap<&'a str, Option<&'a str>>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        let contained = root.get("contained").and_then(Value::as_array).into_iter().flatten();
        Self {
            around: Surroundings { resource: root, root },
            contained: contained
                .filter_map(|one| Some((one.get("id")?.as_str()?, resource_type(one))))
                .collect(),
        }
    }

    /// The type of the contained resource with this id; the inner `None` where it has none.
    pub(super) fn contained(&self, id: &str) -> Option<Option<&'a str>> {
        if id.is_empty() {
            return Some(resource_type(self.around.root));
        }
        self.contained.get(id).copied()
    }
}

/// The types of a bundle's resources by their `fullUrl`.
pub(super) fn entries(bundle: &Value) -> HashMap<&str, &str> {
    let entries = bundle.get("entry").and_then(Value::as_array).into_iter().flatten();
    entries
        .filter_map(|entry| {
            Some((entry.get("fullUrl")?.as_str()?, resource_type(entry.get("resource")?)?))
        })
        .collect()
}

/// Places in `contained` of resources that nothing refers to and that refer to nothing (dom-3).
pub(super) fn unused(resource: &Value) -> Vec<usize> {
    let Some(contained) = resource.get("contained").and_then(Value::as_array) else {
        return Vec::new();
    };
    let mut used = HashSet::new();
    local_references(resource, &mut used);
    let mut unused = Vec::new();
    for (at, one) in contained.iter().enumerate() {
        let Some(id) = one.get("id").and_then(Value::as_str) else { continue };
        if used.contains(id) {
            continue;
        }
        let mut own = HashSet::new();
        local_references(one, &mut own);
        if !own.contains("") {
            unused.push(at);
        }
    }
    unused
}

fn local_references<'a>(value: &'a Value, found: &mut HashSet<&'a str>) {
    match value {
        Value::String(text) => found.extend(text.strip_prefix('#')),
        Value::Array(items) => items.iter().for_each(|item| local_references(item, found)),
        Value::Object(members) => {
            members.values().for_each(|value| local_references(value, found));
        }
        _ => {}
    }
}
