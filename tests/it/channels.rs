//! The example channels are the manual: they compile without a finding, and their own tests pass.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use medway::channel::Channel;
use medway::channel::build::Files;
use medway::channel::cases::{self, After, Case};
use medway::yaml::finding::Finding;
use medway::yaml::node::{Node, Source};
use medway::yaml::parse::parse;
use medway::yaml::report::{self, Colour};

struct Directory(PathBuf);

impl Files for Directory {
    fn read(&self, relative: &str) -> Option<Bytes> {
        fs::read(self.0.join(relative)).ok().map(Bytes::from)
    }

    fn list(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.0.join(folder)) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.map(|name| format!("{folder}/{name}")).collect();
        names.sort();
        names
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("channels")
}

fn examples() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (format!("channels/{name}"), fs::read_to_string(path).unwrap())
        })
        .collect();
    found.sort();
    assert!(found.len() >= 7, "the examples are there");
    found
}

fn read(name: &str, text: &str) -> (Option<Node>, Vec<Finding>) {
    parse(Arc::new(Source { name: name.to_owned(), text: text.to_owned() }))
}

fn check(name: &str, text: &str) -> (Option<Channel>, Vec<Case>, Vec<Finding>) {
    let (node, mut findings) = read(name, text);
    let Some(node) = node else { return (None, Vec::new(), findings) };
    let (channel, cases, more) = cases::check(&node, &Directory(folder()));
    findings.extend(more);
    (channel, cases, findings)
}

/// The standard policy in short: refusals set aside, everything else again.
fn standard(_destination: &str, answer: &str, _attempt: u32, _waited: Duration) -> After {
    match answer {
        "AA" | "CA" => After::Delivered,
        "AE" | "CR" => After::DeadLetter,
        _ => After::Retry(Duration::from_secs(2)),
    }
}

#[test]
fn the_examples_have_no_findings_and_their_tests_pass() {
    for (name, text) in examples() {
        let (channel, cases, findings) = check(&name, &text);
        let shown = report::text(&findings, Colour::Plain);
        let channel = channel.unwrap_or_else(|| panic!("{shown}"));
        assert!(findings.is_empty(), "{shown}");
        assert!(!cases.is_empty(), "{name} has tests");
        for case in &cases {
            let report = cases::run(&channel, case, &standard);
            assert!(report.passed(), "{}", report.to_text());
        }
    }
}
