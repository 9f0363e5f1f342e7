//! FHIR clients nobody here wrote, against the real binary: npm `fhir-kit-client` and `fhirclient`, PyPI
//! `fhirpy` and `fhirclient`. `scripts/setup.sh` installs them.

use crate::engine::{Engine, free_port};
use crate::strangers::stranger;

/// Runs a client's script and compares what it says it could do.
fn client(script: &str, expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut engine = Engine::new(folder.path(), "  out:\n    file: {directory: out}\n");
    let channel = format!(
        "channel: fhir\nfrom:\n  fhir: {{listen: \"127.0.0.1:{port}\", access: none}}\nto:\n  out:\n    file: {{directory: out}}\n"
    );
    std::fs::write(folder.path().join("channels/fhir.yaml"), channel).unwrap();
    // Without it, answers could not be sent later and an asynchronous message would be refused.
    let answers = "channel: answers\nfrom: {topic: \"message^response\"}\nto:\n  out:\n    file: {directory: answers}\n";
    std::fs::write(folder.path().join("channels/answers.yaml"), answers).unwrap();
    engine.start("");
    engine.ready().expect("the engine starts");
    let output = stranger(script).arg(format!("http://127.0.0.1:{port}/fhir")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said, expected, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn node_fhir_kit_client() {
    client(
        "fhir_kit.mjs",
        &[
            "capabilities",
            "create",
            "conditional create",
            "read",
            "update",
            "conditional update",
            "patch",
            "vread",
            "history",
            "search and pages",
            "posted search",
            "transaction and batch",
            "validate",
            "delete and refusals",
            "headers of a create",
            "conditional read",
            "prefer",
            "FHIRPath patch, merge patch, patch by search",
            "conditions and chosen ids",
            "conditional delete",
            "history pages and deleted versions",
            "modifiers and prefixes",
            "chains",
            "include and revinclude",
            "sort",
            "summary and elements",
            "paging",
            "parameters nobody knows",
            "batch",
            "transaction",
            "process-message",
            "validate with parameters",
            "formats and refusals",
        ],
    );
}

#[test]
fn node_fhirclient() {
    client(
        "fhirclient.mjs",
        &[
            "version",
            "create",
            "update",
            "patch",
            "read",
            "all pages",
            "references",
            "delete",
            "conditions and prefer",
            "versions and history",
            "patches",
            "search",
            "batch and transaction",
            "process-message",
            "validate",
            "formats and refusals",
        ],
    );
}

#[test]
fn python_fhirpy() {
    client(
        "fhirpy_client.py",
        &[
            "create",
            "update",
            "patch",
            "conditional create",
            "conditional update",
            "search and pages",
            "include and sort",
            "get",
            "validate",
            "delete and refusals",
            "conditional read, vread, prefer, If-Match",
            "history",
            "JSON Patch, FHIRPath Patch, merge patch",
            "chaining, revinclude, elements, summary, sort",
            "batch and transaction",
            "process-message",
            "validation, formats, refusals",
            "conditional delete",
        ],
    );
}

#[test]
fn python_fhirclient() {
    client(
        "smart_client.py",
        &[
            "capabilities",
            "create",
            "update",
            "read",
            "search",
            "transaction",
            "delete",
            "conditions and prefer",
            "vread and history",
            "patches",
            "search, include, revinclude, summary, elements, pages",
            "batch",
            "process-message",
            "validate",
            "formats and refusals",
        ],
    );
}
