//! What is made from the sources is in the repository as it would be made now.
//!
//! `make generate` (`MEDWAY_ACCEPT=1`) writes it anew.

use std::path::Path;

use medway::config::{reference, schema};

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
