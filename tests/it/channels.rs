//! The example channels are the manual: they compile without a finding, and their own tests pass.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use medway::channel::Channel;
use medway::channel::build::Files;
use medway::channel::cases::{self, After, Case};
use medway::channel::input::Input;
use medway::message::id::MessageId;
use medway::message::payload::Payload;
use medway::message::time::Timestamp;
use medway::message::verdict::{Context, Rendered, Verdict};
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

/// The first example with a change of its text, its findings as `check` shows them.
fn findings_of(name: &str, from: &str, to: &str) -> String {
    let path = folder().join(name);
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{name} has {from}");
    let (_, _, findings) = check(&format!("channels/{name}"), &text.replacen(from, to, 1));
    report::text(&findings, Colour::Plain)
}

#[test]
fn findings_point_at_the_mistake() {
    let adt = "adt-patient-sync.yaml";
    let shown = [
        findings_of(adt, "mrn: PID-3(MR).1", "mrn: PID-33(MR).1"),
        findings_of(adt, "MSH-9.2 is A01 or A04", "MSH-9.2 = A01"),
        findings_of(adt, "gender: lookup(trim", "gender: lokup(trim"),
        findings_of(adt, "tables/sex.csv)", "tables/sexes.csv)"),
        findings_of(adt, "PID-4 is empty", "PID-4 is emty or"),
        findings_of(adt, "adt/<MSH-9.2>", "adt/<MSH-9.22>"),
        findings_of(adt, "- trim:", "- trimm:"),
        findings_of(adt, "gender: female", "gendr: female"),
        findings_of(adt, "billing: nothing", "biling: nothing"),
        findings_of(adt, "samples/a40-zhang.hl7", "samples/a40-zang.hl7"),
        findings_of(adt, "otherwise: GB18030", "otherwise: GB18031"),
        findings_of(adt, "if_changed: hold", "if_changed: held"),
        findings_of("lab-results.yaml", "any OBX has", "any OXB has"),
        findings_of("lab-results.yaml", "patient.name", "patient.nme"),
    ];
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_failed_test_says_why() {
    let path = folder().join("adt-patient-sync.yaml");
    let text = fs::read_to_string(path).unwrap();
    let text = text
        .replace("lookup(trim(PID-8), tables/sex.csv)", "lookup(PID-8, tables/sex.csv)")
        .replace("unmapped_code: hold ", "unmapped_code: pass ")
        .replace("- name: an admission reaches all three\n    send: samples/a01-zhang.hl7", "- name: an admission reaches all three\n    send: {file: samples/a01-zhang.hl7, with: {PID-8: 'F ', MSH-9.2: A08}}")
        .replace("expect: {ack: AE, error_at: PID-3, lis: nothing", "expect: {ack: AA, error_at: PID-5, lis: sent");
    let (channel, cases, findings) = check("channels/adt-patient-sync.yaml", &text);
    assert!(findings.is_empty(), "{}", report::text(&findings, Colour::Plain));
    let channel = channel.unwrap();
    let shown: Vec<String> =
        cases.iter().map(|case| cases::run(&channel, case, &standard).to_text()).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

/// Every path of every example, with its segment misspelt: `PID-3` as `IPD-3`, and with a field that no
/// segment has.
#[test]
fn every_misspelt_path_is_found_where_it_stands() {
    let mut planted = 0;
    for (name, text) in examples() {
        for at in paths(&text) {
            let (before, path) = text.split_at(at);
            let (segment, rest) = path.split_at(3);
            let digits: String = rest.chars().skip(1).take_while(char::is_ascii_digit).collect();
            let mut letters: Vec<char> = segment.chars().collect();
            letters.swap(0, 1);
            let swapped: String = letters.into_iter().collect();
            let far = format!("{segment}-{digits}99");
            let (_, after_segment) = path.split_at(3);
            let (_, after_field) = path.split_at(4 + digits.len());
            for (wrong, after) in [(swapped, after_segment), (far, after_field)] {
                if wrong.starts_with('Z') || wrong == segment {
                    continue;
                }
                planted += 1;
                let (_, _, findings) = check(&name, &format!("{before}{wrong}{after}"));
                let line = before.matches('\n').count() + 1;
                let shown = report::text(&findings, Colour::Plain);
                let told = format!("{name}:{line}: {segment}-{digits} as {wrong}\n{shown}");
                let at_line = |found: &&Finding| {
                    found.source.line_column(found.span.start).0 == line && found.hint.is_some()
                };
                assert!(findings.iter().any(|found| at_line(&found)), "{told}");
            }
        }
    }
    assert!(planted > 250, "{planted} mistakes were planted");
}

/// Where HL7 paths stand in a file, comments and inline messages left out.
fn paths(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let code = line.split(" #").next().unwrap();
        let code = if code.trim_start().starts_with('#') || code.starts_with("title:") {
            ""
        } else {
            code
        };
        let bytes = code.as_bytes();
        for at in 0..bytes.len().saturating_sub(4) {
            let before =
                at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'-');
            let path =
                bytes[at..at + 3].iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
                    && bytes[at].is_ascii_uppercase()
                    && bytes[at + 3] == b'-'
                    && bytes[at + 4].is_ascii_digit();
            // A file's name and an order's number only look alike; where a charset is read from is a
            // choice of the source.
            let word = code.get(at..).unwrap_or_default();
            let other =
                ["ACC9-", "ORD-", "MSH-18, otherwise"].iter().any(|no| word.starts_with(no));
            if before && path && !other {
                found.push(start + at);
            }
        }
        start += line.len();
    }
    found
}

#[test]
fn a_thousand_tests_run_in_a_few_seconds() {
    let channels: Vec<(Channel, Vec<Case>)> = examples()
        .iter()
        .map(|(name, text)| {
            let (channel, cases, _) = check(name, text);
            (channel.unwrap(), cases)
        })
        .collect();
    // Time on a processor, so that a busy machine does not count.
    let worked = || {
        let spent = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        Duration::from_nanos(spent.split(' ').next().unwrap().parse().unwrap())
    };
    let before = worked();
    let mut count = 0;
    while count < 1000 {
        for (channel, cases) in &channels {
            for case in cases {
                assert!(cases::run(channel, case, &standard).passed());
                count += 1;
            }
        }
    }
    let spent = worked() - before;
    assert!(spent < Duration::from_secs(10), "{spent:?}");
}

#[test]
fn what_comes_in_goes_out_unchanged_through_a_plain_destination() {
    let Some(corpus) = corpus() else { return };
    let (channel, ..) = check("plain.yaml", "channel: plain\nto: {copy: {}}\n");
    let channel = channel.unwrap();
    let mut count = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "hl7") {
            continue;
        }
        let bytes = Bytes::from(fs::read(&path).unwrap());
        let input = Input::guess(Payload::new(bytes.clone()), channel.read_options);
        let context = Context {
            id: MessageId::from_bytes([1; 16]),
            received_at: Timestamp(0),
            channel: "plain".into(),
        };
        match channel.judge(&input) {
            Verdict::Take(taken) => assert_eq!(taken.routes.len(), 1),
            other => panic!("{}: {other:?}", path.display()),
        }
        let Rendered::Send(outbound) = channel.render("copy", &input, &context) else {
            panic!("{} is sent", path.display());
        };
        assert!(outbound.body == bytes, "{} is unchanged", path.display());
        count += 1;
    }
    assert!(count > 50, "{count} files");
}

fn corpus() -> Option<PathBuf> {
    let given = std::env::var_os("MEDWAY_CORPUS").map(PathBuf::from);
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let folder = given.unwrap_or_else(usual).join("hl7v2");
    folder.is_dir().then_some(folder)
}
