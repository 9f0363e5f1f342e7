//! What is made from the sources is in the repository as it would be made now.
//!
//! `make generate` (`MEDWAY_ACCEPT=1`) writes it anew.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use medway::admin::problems;
use medway::config::{reference, schema};
use medway::mapping::to_fhir::{guide, maps};
use medway::yaml::codes;
use medway::yaml::node::{Node, Source, Value};
use medway::yaml::parse::parse;
use serde_json::Value as Json;

fn check(name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("MEDWAY_ACCEPT").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "docs/{name} is out of date: run `make generate`");
}

#[test]
fn the_schema_of_channel_files() {
    check("channel.schema.json", &format!("{:#}\n", schema::channel()));
}

#[test]
fn the_schema_of_engine_yaml() {
    check("engine.schema.json", &format!("{:#}\n", schema::engine()));
}

#[test]
fn the_reference_of_all_keys() {
    check("config.md", &reference::page());
}

#[test]
fn the_description_of_the_api() {
    check("../web/openapi.json", &format!("{:#}\n", medway::admin::openapi::made()));
}

#[test]
fn the_list_of_all_codes() {
    check("errors.md", &format!("{}{}", codes::page(), problems::page()));
}

/// Codes as they stand in the sources of the API: the first text of a call that makes a problem.
fn codes_of(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            codes_of(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let makers = ["::bad(", "::with(", "::conflict(", "::unprocessable(", "::not_admitted("];
        for maker in makers.map(|maker| format!("Problem{maker}")) {
            for call in text.split(&maker).skip(1) {
                let code = call.split('"').nth(1).unwrap_or_default();
                let near = call.find('"').is_some_and(|at| at < 80);
                if near && code.chars().all(|sign| sign.is_ascii_lowercase() || sign == '_') {
                    found.insert(code.to_owned());
                }
            }
        }
        if path.ends_with("admin/problem.rs") {
            let own = text.split("code: \"").skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(own.map(str::to_owned));
        }
    }
}

#[test]
fn every_code_of_the_api_is_explained_in_both_languages() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut used = BTreeSet::new();
    codes_of(&root.join("src/admin"), &mut used);
    let known: BTreeSet<String> =
        problems::PROBLEMS.iter().map(|(code, _, _)| (*code).to_owned()).collect();
    assert_eq!(used, known, "the codes in src/admin and those of src/admin/problems.rs");
    let words = std::fs::read_to_string(root.join("web/src/i18n/engine.json")).unwrap();
    let words: Json = serde_json::from_str(&words).unwrap();
    for code in known {
        assert!(words["problems"][&code].is_string(), "{code} has no Chinese in engine.json");
    }
}

#[test]
fn the_reference_of_the_maps_to_fhir() {
    check("mapping.md", &guide::page(maps::own()));
}

#[test]
fn every_reference_in_the_schemas_leads_somewhere() {
    for schema in [schema::channel(), schema::engine()] {
        let text = schema.to_string();
        let parts: Vec<_> = text.split("\"#/definitions/").skip(1).collect();
        assert!(parts.len() > 5);
        for part in parts {
            let name = part.split('"').next().unwrap();
            assert!(schema["definitions"][name].is_object(), "{name}");
        }
    }
}

/// A document as an editor sees it: plain numbers and switches are what YAML says they are.
fn as_json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Scalar { text, quoted: false } if matches!(text.as_str(), "true" | "false") => {
            Json::Bool(text == "true")
        }
        Value::Scalar { text, quoted: false } if text.parse::<f64>().is_ok() => {
            serde_json::from_str(text).unwrap_or_else(|_| Json::from(text.parse::<f64>().unwrap()))
        }
        Value::Scalar { text, .. } => Json::from(text.as_str()),
        Value::Sequence(items) => items.iter().map(as_json).collect(),
        Value::Mapping(entries) => Json::Object(
            entries.iter().map(|(key, node)| (key.text.clone(), as_json(node))).collect(),
        ),
    }
}

/// Whether a document fits: as much of JSON Schema as our schemas use.
fn fits(document: &Json, schema: &Json, root: &Json) -> bool {
    let Some(rules) = schema.as_object() else { return schema.as_bool() != Some(false) };
    rules.iter().all(|(rule, wanted)| {
        let all = || wanted.as_array().unwrap().iter();
        let choices = || all().filter(|schema| fits(document, schema, root)).count();
        match rule.as_str() {
            "$ref" => {
                let name = wanted.as_str().unwrap().rsplit('/').next().unwrap();
                fits(document, &root["definitions"][name], root)
            }
            "allOf" => choices() == all().count(),
            "anyOf" => choices() > 0,
            "oneOf" => choices() == 1,
            "type" if wanted.is_array() => all().any(|name| is_type(document, name)),
            "type" => is_type(document, wanted),
            "enum" => all().any(|word| word == document),
            "pattern" => {
                let pattern = regex::Regex::new(wanted.as_str().unwrap()).unwrap();
                document.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "minimum" => document.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
            "maximum" => document.as_f64().is_none_or(|number| number <= wanted.as_f64().unwrap()),
            "required" => all().all(|key| document.get(key.as_str().unwrap()).is_some()),
            "items" => document.as_array().is_none_or(|a| a.iter().all(|d| fits(d, wanted, root))),
            "propertyNames" => keys(document).all(|(key, _)| fits(&Json::from(key), wanted, root)),
            "properties" => keys(document)
                .all(|(key, value)| wanted.get(key).is_none_or(|schema| fits(value, schema, root))),
            "additionalProperties" => keys(document)
                .filter(|(key, _)| schema["properties"].get(key).is_none())
                .all(|(_, value)| fits(value, wanted, root)),
            "$schema" | "title" | "description" | "definitions" | "enumDescriptions" => true,
            other => panic!("the schema uses `{other}`"),
        }
    })
}

fn keys(document: &Json) -> impl Iterator<Item = (&str, &Json)> {
    document.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn is_type(document: &Json, name: &Json) -> bool {
    match name.as_str().unwrap() {
        "object" => document.is_object(),
        "array" => document.is_array(),
        "string" => document.is_string(),
        "number" => document.is_number(),
        "integer" => document.is_u64(),
        "boolean" => document.is_boolean(),
        other => panic!("no type {other}"),
    }
}

#[test]
fn the_schema_takes_the_examples_and_no_unknown_key() {
    let schema = schema::channel();
    let mut examples = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("channels")).unwrap()
    {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let read = |text: String| {
            let source = Source { name: "x".to_owned(), text };
            as_json(&parse(Arc::new(source)).0.unwrap())
        };
        let name = path.display();
        assert!(fits(&read(text.clone()), &schema, &schema), "{name}");
        for (right, wrong) in [("\nfrom:", "\nform:"), ("\norder_by:", "\norder_bye:")] {
            assert!(!fits(&read(text.replace(right, wrong)), &schema, &schema), "{name}: {wrong}");
        }
        examples += 1;
    }
    assert!(examples >= 7);
}
