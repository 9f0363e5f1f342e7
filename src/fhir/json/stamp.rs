//! `id` and the parts of `meta` that the server decides (FHIR R4 http.html#create, resource.html#Meta).

use serde_json::{Map, Value};

use crate::message::time::Timestamp;

/// Sets `id`, `meta.versionId` and `meta.lastUpdated`; the rest of `meta` and the order of all members
/// stay. New ones stand first: `resourceType`, `id`, `meta`. What is no object is left alone.
pub fn stamp(resource: &mut Value, id: &str, version: u64, at: Timestamp) {
    let Value::Object(members) = resource else { return };
    set(members, "id", Value::from(id), &["resourceType"]);
    let mut meta = match members.get_mut("meta").map(Value::take) {
        Some(Value::Object(meta)) => meta,
        _ => Map::new(),
    };
    set(&mut meta, "versionId", Value::from(version.to_string()), &["id", "extension"]);
    set(
        &mut meta,
        "lastUpdated",
        Value::from(at.to_string()),
        &["id", "extension", "versionId", "_versionId"],
    );
    set(members, "meta", Value::Object(meta), &["resourceType", "id", "_id"]);
}

/// Takes away what only the server may say: `id`, `meta.versionId`, `meta.lastUpdated`. Two resources that
/// are equal without them are the same content.
pub fn unstamp(resource: &mut Value) {
    let Value::Object(members) = resource else { return };
    members.shift_remove("id");
    let Some(Value::Object(meta)) = members.get_mut("meta") else { return };
    meta.shift_remove("versionId");
    meta.shift_remove("lastUpdated");
    if meta.is_empty() {
        members.shift_remove("meta");
    }
}

/// Replaces a member in place; a new one comes right after those of `after` that are there.
fn set(members: &mut Map<String, Value>, name: &str, value: Value, after: &[&str]) {
    if let Some(old) = members.get_mut(name) {
        *old = value;
        return;
    }
    let place =
        members.keys().rposition(|key| after.contains(&key.as_str())).map_or(0, |at| at + 1);
    members.shift_insert(place, name.to_owned(), value);
}
