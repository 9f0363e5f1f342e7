//! Parts of a resource: `_summary` and `_elements` (FHIR R4 search.html#summary, #elements).

use serde_json::{Map, Value, json};

use crate::fhir::definitions::{self, Element, Kind, Type};

/// Which part of a resource a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subset {
    /// `_summary=true`: the elements marked as summary.
    Summary,
    /// `_summary=text`: `text`, `id`, `meta` and what is mandatory.
    Text,
    /// `_summary=data`: everything but `text`.
    Data,
    /// `_elements=a,b`: these, and what is mandatory or may change the meaning.
    Elements(Vec<String>),
}

/// That part of the resource, tagged `SUBSETTED` so that nobody takes it for the whole and writes it back.
/// A resource of a type that R4 does not have is returned whole.
#[must_use]
pub fn subset(resource: &Value, wanted: &Subset) -> Value {
    let r4 = definitions::r4();
    let kind = super::resource_type(resource).and_then(|name| r4.resource(name));
    let (Some(kind), Value::Object(members)) = (kind, resource) else {
        return resource.clone();
    };
    let kind = r4.get(kind);
    let mut kept = Map::new();
    for (name, value) in members {
        let plain = name.strip_prefix('_').unwrap_or(name);
        let element = kind.member(plain).map(|found| found.element);
        if plain == "resourceType" || element.is_some_and(|element| keeps(element, wanted)) {
            let value = match wanted {
                Subset::Summary => summary(kind, plain, value),
                _ => value.clone(),
            };
            kept.insert(name.clone(), value);
        } else if element.is_none() && *wanted == Subset::Data {
            kept.insert(name.clone(), value.clone());
        }
    }
    tag(&mut kept);
    Value::Object(kept)
}

fn keeps(element: &Element, wanted: &Subset) -> bool {
    let always = matches!(element.name, "id" | "meta");
    always
        || match wanted {
            Subset::Summary => element.in_summary || element.is_modifier || element.min > 0,
            Subset::Text => element.name == "text" || element.min > 0,
            Subset::Data => element.name != "text",
            Subset::Elements(names) => {
                element.min > 0
                    || element.is_modifier
                    || names.iter().any(|name| name == element.name)
            }
        }
}

/// A value with those of its parts that belong to a summary; data types are kept whole.
fn summary(kind: &Type, name: &str, value: &Value) -> Value {
    let r4 = definitions::r4();
    let Some(found) = kind.member(name) else { return value.clone() };
    let part = r4.get(found.chosen.type_id);
    if part.kind != Kind::Part {
        return value.clone();
    }
    match value {
        Value::Array(items) => Value::Array(items.iter().map(|item| reduced(part, item)).collect()),
        one => reduced(part, one),
    }
}

fn reduced(part: &Type, value: &Value) -> Value {
    let Value::Object(members) = value else { return value.clone() };
    let mut kept = Map::new();
    for (name, value) in members {
        let plain = name.strip_prefix('_').unwrap_or(name);
        let keep = part.member(plain).is_some_and(|found| {
            let element = found.element;
            element.in_summary || element.is_modifier || element.min > 0 || element.name == "id"
        });
        if keep {
            kept.insert(name.clone(), summary(part, plain, value));
        }
    }
    Value::Object(kept)
}

/// Adds the tag `SUBSETTED` to `meta.tag`, once.
fn tag(members: &mut Map<String, Value>) {
    const SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
    let place = members
        .keys()
        .rposition(|key| matches!(key.as_str(), "resourceType" | "id" | "_id"))
        .map_or(0, |at| at + 1);
    if !members.get("meta").is_some_and(Value::is_object) {
        members.shift_remove("meta");
        members.shift_insert(place, "meta".to_owned(), json!({}));
    }
    let Some(Value::Object(meta)) = members.get_mut("meta") else { return };
    let tags = meta.entry("tag").or_insert_with(|| json!([]));
    let Value::Array(tags) = tags else { return };
    let known = tags.iter().any(|tag| {
        tag.get("code").is_some_and(|code| code == "SUBSETTED")
            && tag.get("system").is_some_and(|system| system == SYSTEM)
    });
    if !known {
        tags.push(json!({"system": SYSTEM, "code": "SUBSETTED"}));
    }
}
