//! The JSON Schema of channel files and of `engine.yaml`, made from the shapes: editors complete and
//! check with it (`# yaml-language-server: $schema=…`).

use serde_json::{Map, Value, json};

use crate::config::shapes::channel::CHANNEL;
use crate::config::shapes::engine::ENGINE;
use crate::yaml::shape::{Field, MapShape, Other, Shape};

/// The schema of channel files.
#[must_use]
pub fn channel() -> Value {
    document(&CHANNEL, "A Medway channel")
}

/// The schema of `engine.yaml`.
#[must_use]
pub fn engine() -> Value {
    document(&ENGINE, "Medway's engine.yaml")
}

fn document(root: &'static MapShape, title: &str) -> Value {
    let mut definitions = Map::new();
    let reference = map(root, &mut definitions);
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": title,
        "allOf": [reference],
        "definitions": definitions,
    })
}

/// A reference to a mapping's definition, which is made once.
fn map(shape: &'static MapShape, definitions: &mut Map<String, Value>) -> Value {
    if !definitions.contains_key(shape.name) {
        // A place is kept first: shapes may hold themselves.
        definitions.insert(shape.name.to_owned(), Value::Null);
        let made = object(shape, definitions);
        definitions.insert(shape.name.to_owned(), made);
    }
    json!({ "$ref": format!("#/definitions/{}", shape.name) })
}

fn object(shape: &'static MapShape, definitions: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    for field in shape.fields {
        properties.insert(field.key.to_owned(), property(field, definitions));
    }
    let required: Vec<_> =
        shape.fields.iter().filter(|field| field.required).map(|field| field.key).collect();
    let others = match shape.other {
        Other::Refused => json!(false),
        Other::Names(value) | Other::Paths(value) => of(value, definitions),
    };
    let mut made = json!({
        "type": "object",
        "description": shape.doc,
        "properties": properties,
        "additionalProperties": others,
    });
    if let Some(made) = made.as_object_mut() {
        if !required.is_empty() {
            made.insert("required".to_owned(), json!(required));
        }
        if let Other::Names(_) = shape.other {
            let names = json!({ "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$" });
            made.insert("propertyNames".to_owned(), names);
        }
        let groups: Vec<_> = shape.one_of.iter().map(|group| exactly_one(group)).collect();
        if !groups.is_empty() {
            made.insert("allOf".to_owned(), json!(groups));
        }
    }
    made
}

fn exactly_one(group: &[&str]) -> Value {
    let choices: Vec<_> = group.iter().map(|key| json!({ "required": [key] })).collect();
    json!({ "oneOf": choices })
}

fn property(field: &'static Field, definitions: &mut Map<String, Value>) -> Value {
    let mut made = of(&field.shape, definitions);
    let doc = format!("{}\n\nExample: {}: {}", field.doc, field.key, field.example);
    if made.get("$ref").is_some() {
        // Beside `$ref` nothing else is read.
        return json!({ "description": doc, "allOf": [made] });
    }
    if let Some(made) = made.as_object_mut() {
        made.insert("description".to_owned(), json!(doc));
    }
    made
}

/// Values are read as written, so that a text may look like a number to YAML.
fn scalar() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}

fn pattern(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

fn of(shape: &'static Shape, definitions: &mut Map<String, Value>) -> Value {
    match shape {
        Shape::Any => json!({}),
        Shape::Text | Shape::Template | Shape::Expression => scalar(),
        Shape::Path | Shape::File | Shape::Network => json!({ "type": "string" }),
        Shape::Name => pattern("^[a-z0-9][a-z0-9_-]{0,63}$"),
        Shape::Secret => pattern("^secret/[a-z0-9][a-z0-9_-]{0,63}$"),
        Shape::Duration => pattern("^[0-9]+(ms|s|m|h|d)$"),
        Shape::Size => pattern("^[0-9]+(B|KiB|MiB|GiB)$"),
        Shape::Percent => pattern("^[0-9]{1,3} ?%$"),
        Shape::Factor => json!({ "type": "number", "minimum": 1, "maximum": 100 }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Integer { min, max } => {
            json!({ "type": "integer", "minimum": min, "maximum": max })
        }
        Shape::Address => pattern("^.+:[0-9]{1,5}$"),
        Shape::Endpoint => pattern("^.+:[0-9]{1,5}$"),
        Shape::Host => json!({ "type": "string" }),
        Shape::Url => pattern("^https?://"),
        Shape::Choice(words) => choice(words),
        Shape::List(item) => json!({ "type": "array", "items": of(item, definitions) }),
        Shape::OneOrMany(item) => {
            let one = of(item, definitions);
            json!({ "anyOf": [one, { "type": "array", "items": one }] })
        }
        Shape::Map(shape) => map(shape, definitions),
        Shape::Language(shape) => of(shape, definitions),
        Shape::ByKind { scalar, items, map: shape } => {
            let mut kinds = Vec::new();
            kinds.extend(scalar.map(|shape| of(shape, definitions)));
            if let Some(item) = items {
                kinds.push(json!({ "type": "array", "items": of(item, definitions) }));
            }
            kinds.extend(shape.map(|shape| map(shape, definitions)));
            json!({ "anyOf": kinds })
        }
    }
}

fn choice(words: &[(&str, &str)]) -> Value {
    let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    let docs: Vec<_> = words.iter().map(|(_, doc)| *doc).collect();
    // `1.2` is a number to YAML and a word to us.
    let typed = names.iter().all(|name| name.parse::<f64>().is_err() && *name != "true");
    if typed {
        json!({ "type": "string", "enum": names, "enumDescriptions": docs })
    } else {
        scalar()
    }
}
