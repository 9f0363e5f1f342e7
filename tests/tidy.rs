//! The guide as a test: who may import whom, how long a file may be, which words are banned.
#![expect(clippy::expect_used, reason = "a test stops at the first thing it cannot read")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and the modules it may import. A module stands above all it imports.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "admin",
            "access",
            "engine",
            "config",
            "delivery",
            "source",
            "destination",
            "resources",
            "store",
            "channel",
            "yaml",
            "mapping",
            "fhir",
            "hl7",
            "telemetry",
            "tls",
            "clock",
            "message",
        ],
    ),
    (
        "admin",
        &[
            "access",
            "engine",
            "config",
            "delivery",
            "source",
            "destination",
            "resources",
            "store",
            "channel",
            "yaml",
            "mapping",
            "fhir",
            "hl7",
            "telemetry",
            "tls",
            "clock",
            "message",
        ],
    ),
    (
        "engine",
        &[
            "config",
            "delivery",
            "source",
            "destination",
            "resources",
            "store",
            "channel",
            "yaml",
            "mapping",
            "fhir",
            "hl7",
            "telemetry",
            "tls",
            "clock",
            "message",
        ],
    ),
    (
        "config",
        &[
            "delivery",
            "source",
            "destination",
            "resources",
            "store",
            "channel",
            "yaml",
            "mapping",
            "fhir",
            "hl7",
            "tls",
            "network",
            "message",
        ],
    ),
    ("delivery", &["destination", "store", "telemetry", "clock", "message"]),
    (
        "source",
        &["resources", "store", "fhir", "hl7", "telemetry", "tls", "clock", "network", "message"],
    ),
    ("destination", &["fhir", "hl7", "telemetry", "tls", "clock", "network", "message"]),
    ("access", &["store", "telemetry", "clock", "message"]),
    ("resources", &["store", "fhir", "clock", "message"]),
    ("store", &["telemetry", "message"]),
    ("channel", &["mapping", "yaml", "fhir", "hl7", "message"]),
    ("mapping", &["yaml", "fhir", "hl7", "message"]),
    ("fhir", &["hl7", "message"]),
    ("yaml", &[]),
    ("hl7", &["message"]),
    ("telemetry", &[]),
    ("tls", &[]),
    ("clock", &["message"]),
    ("network", &[]),
    ("message", &[]),
];

/// A word, the folders and files (by prefix below `src/`) that may use it, and what to do instead.
const BANNED: &[(&str, &[&str], &str)] = &[
    ("sqlx::", &["store/"], "SQL stands in store/"),
    ("rusqlite::", &["store/"], "SQL stands in store/"),
    ("hl7_parser::", &["hl7/"], "the crate is unsafe on whole messages; see hl7/"),
    (
        ".expose()",
        &[
            "access/",
            "admin/content/",
            "admin/messages.rs",
            "admin/oidc/mod.rs",
            "admin/oidc/provider.rs",
            "admin/people.rs",
            "admin/resend.rs",
            "admin/sessions.rs",
            "channel/accept.rs",
            "channel/cases/expect.rs",
            "channel/input.rs",
            "channel/render.rs",
            "channel/tests.rs",
            "channel/tests/fhir.rs",
            "cli/serve.rs",
            "config/from.rs",
            "config/tests/mod.rs",
            "destination/fhir/mod.rs",
            "destination/fhir/token.rs",
            "destination/webhook/mod.rs",
            "destination/webhook/sign.rs",
            "admin/subscriptions.rs",
            "destination/subscriber.rs",
            "engine/subscriptions/",
            "fhir/subscription/header.rs",
            "engine/versions.rs",
            "fhir/view/device.rs",
            "fhir/view/patient.rs",
            "fhir/view/report.rs",
            "hl7/view/device.rs",
            "hl7/view/patient.rs",
            "hl7/view/tests.rs",
            "message/view.rs",
            "message/view/names.rs",
            "resources/plan.rs",
            "source/fhir/access/keys.rs",
            "source/fhir/hear/verify.rs",
            "source/fhir/read.rs",
            "source/fhir/write.rs",
            "config/fhir.rs",
            "source/file/read.rs",
            "source/http/request.rs",
            "source/intake.rs",
            "source/mllp/batch.rs",
            "source/mllp/desk.rs",
            "store/sqlite/access/mod.rs",
            "store/sqlite/append.rs",
            "store/sqlite/codec.rs",
            "store/sqlite/committer.rs",
            "store/sqlite/index.rs",
            "store/sqlite/mod.rs",
            "store/sqlite/resources/mod.rs",
        ],
        "bytes of a message, keys and secrets go nowhere else: add the place on purpose",
    ),
    ("?error", &[], "log %error: Debug shows content"),
    ("SystemTime::now", &["clock.rs"], "time is an argument"),
    ("mod utils", &[], "a thing stands with what it serves"),
    ("mod common", &[], "a thing stands with what it serves"),
    ("mod helpers", &[], "a thing stands with what it serves"),
];

const LINES_MAX: usize = 600;

fn files_below(folder: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .expect("a source folder can be read")
        .map(|entry| entry.expect("a folder's entry can be read").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files_below(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    files_below(&root, &mut files);
    files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).expect("it stands below src").display().to_string();
            (name, fs::read_to_string(&path).expect("a source file is text"))
        })
        .collect()
}

fn module_of(path: &str) -> &str {
    path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
}

fn fail(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn imports_point_down() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let module = module_of(&path);
        let Some(may) = allowed.get(module) else { continue };
        for (number, line) in text.lines().enumerate() {
            for rest in line.split("crate::").skip(1) {
                let used: String =
                    rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if !used.is_empty() && used != module && !may.contains(&used.as_str()) {
                    faults.push(format!(
                        "src/{path}:{}: `{module}` may not import `{used}`",
                        number + 1
                    ));
                }
            }
        }
    }
    fail(&faults);
}

#[test]
fn every_module_has_its_row() {
    let faults: Vec<_> = sources()
        .iter()
        .map(|(path, _)| module_of(path).to_owned())
        .filter(|module| module != "lib" && module != "main")
        .filter(|module| !MAY_IMPORT.iter().any(|(name, _)| name == module))
        .map(|module| format!("`{module}` has no row in tests/tidy.rs"))
        .collect();
    fail(&faults);
}

#[test]
fn rows_are_sorted_into_floors() {
    let mut faults = Vec::new();
    for (row, (module, may)) in MAY_IMPORT.iter().enumerate() {
        for used in *may {
            if !MAY_IMPORT.iter().skip(row + 1).any(|(name, _)| name == used) {
                faults
                    .push(format!("`{module}` may import `{used}`, which does not stand below it"));
            }
        }
    }
    fail(&faults);
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        if !text.starts_with("//!") {
            faults.push(format!("src/{path}: opens without a `//!` line"));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("src/{path}: {lines} lines; over {LINES_MAX} is two files"));
        }
    }
    fail(&faults);
}

#[test]
fn banned_words_stand_only_where_they_may() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        for (word, places, instead) in BANNED {
            if places.iter().any(|place| path.starts_with(place)) {
                continue;
            }
            for (number, line) in text.lines().enumerate() {
                if line.contains(word) {
                    faults.push(format!("src/{path}:{}: `{word}`: {instead}", number + 1));
                }
            }
        }
    }
    fail(&faults);
}
