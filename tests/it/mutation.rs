//! A typo in any key or path of the example channels is found, at its place, and mostly with its cure.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use medway::config::load::{LoadOptions, load};
use medway::config::secrets::MissingSecrets;
use medway::yaml::finding::{Finding, Severity};
use medway::yaml::node::{Key, Node, Source, Span, Value};
use medway::yaml::parse::parse;
use regex::Regex;

/// A typo: where, what stands there instead, and what was meant.
#[derive(Debug)]
struct Typo {
    span: Span,
    instead: String,
    /// What a hint should name; `None` where nobody can guess it.
    meant: Option<String>,
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// Whether the writer of a channel chooses the keys of the mapping at this path freely.
fn is_free(path: &[&str]) -> bool {
    match path {
        ["to" | "search_keys"] => true,
        // What is made of a message is described in the receiver's own words.
        [.., "json"] | [.., "codes"] | [.., "headers"] => true,
        ["to", _, "produce", "json", ..] => true,
        ["tests", "expect", _, ..] => true,
        _ => false,
    }
}

/// A word with one letter dropped, and with two letters swapped.
fn misspelt(word: &str) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    let mut dropped = letters.clone();
    dropped.remove(letters.len() / 2);
    let mut swapped = letters.clone();
    if let Some(at) = (1..letters.len()).rev().find(|at| letters[*at] != letters[at - 1]) {
        swapped.swap(at - 1, at);
    }
    let written = [dropped, swapped].map(|letters| letters.into_iter().collect::<String>());
    written.into_iter().filter(|other| !other.is_empty() && other != word).collect()
}

/// Both typos of a word that stands there.
fn word_typos(span: Span, word: &str, typos: &mut Vec<Typo>) {
    let typo = |instead| Typo { span, instead, meant: Some(word.to_owned()) };
    typos.extend(misspelt(word).into_iter().map(typo));
}

fn key_typos(key: &Key, siblings: &[&str], written: &str, typos: &mut Vec<Typo>) {
    if written != key.text {
        return;
    }
    let mut all = Vec::new();
    word_typos(key.span, &key.text, &mut all);
    // Other digits are another status, which some server may answer.
    let status = |text: &str| text.len() == 3 && text.bytes().all(|digit| digit.is_ascii_digit());
    let is_typo = |text: &str| !siblings.contains(&text) && !status(text);
    typos.extend(all.into_iter().filter(|typo| is_typo(&typo.instead)));
}

/// What the language reads inside a text.
struct Patterns {
    /// Segment, its number, field, its number, component, sub-component.
    hl7: Regex,
    /// A resource or a typed view, and the names after it.
    names: Regex,
    function: Regex,
    file: Regex,
    condition: Regex,
}

impl Patterns {
    fn new() -> Self {
        let regex = |pattern: &str| Regex::new(pattern).unwrap();
        Self {
            hl7: regex(
                r"\b([A-Y][A-Z][A-Z0-9])(?:\[([0-9]+)\])?-(\d+)(?:\[(\d+)\])?(?:\([A-Z]+\))?(?:\.(\d+))?(?:\.(\d+))?\b",
            ),
            names: regex(
                r"\b(patient|device|Patient|Encounter|Observation|DiagnosticReport|Location)((?:\.[A-Za-z_0-9]+)+)",
            ),
            function: regex(r"\b([a-z_]{3,})\("),
            file: regex(r"\b(?:tables|samples)/([a-z0-9-]+)\."),
            condition: regex(r"\b(kind|event|is|not|empty|any|has|and|or)\b"),
        }
    }
}

/// Typos of everything in a text that the language reads.
fn text_typos(span: Span, written: &str, patterns: &Patterns, typos: &mut Vec<Typo>) {
    let at = |start: usize, end: usize| Span { start: span.start + start, end: span.start + end };
    for found in patterns.hl7.captures_iter(written) {
        let segment = found.get(1).unwrap();
        let wrong: String =
            segment.as_str().char_indices().map(|(at, c)| if at == 1 { 'Q' } else { c }).collect();
        let meant = Some(segment.as_str().to_owned());
        typos.push(Typo { span: at(segment.start(), segment.end()), instead: wrong, meant });
        // Numbers that no segment, field or component has; repetitions count from 1.
        for (part, wrong) in [(2, "0"), (3, "999"), (4, "0"), (5, "99"), (6, "99")] {
            let Some(part) = found.get(part) else { continue };
            let span = at(part.start(), part.end());
            typos.push(Typo { span, instead: wrong.to_owned(), meant: None });
        }
        // OBX-5 is of the type that OBX-2 names: nobody knows its components beforehand.
        let varies = segment.as_str() == "OBX" && &found[3] == "5";
        if found.get(5).is_none() && !varies {
            let end = found.get(0).unwrap().end();
            typos.push(Typo { span: at(end, end), instead: ".99".to_owned(), meant: None });
        }
    }
    for found in patterns.names.captures_iter(written) {
        // `$.patient.mrn` is a name of the sender's own document.
        if written.get(..found.get(0).unwrap().start()).unwrap().ends_with('.') {
            continue;
        }
        let names = found.get(2).unwrap();
        let mut start = names.start();
        for name in names.as_str().split('.').skip(1) {
            start += 1;
            if !name.starts_with(|c: char| c.is_ascii_digit()) {
                word_typos(at(start, start + name.len()), name, typos);
            }
            start += name.len();
        }
    }
    for pattern in [&patterns.function, &patterns.file] {
        for found in pattern.captures_iter(written) {
            let word = found.get(1).unwrap();
            word_typos(at(word.start(), word.end()), word.as_str(), typos);
        }
    }
}

/// Typos of the words of a condition.
fn condition_typos(span: Span, written: &str, patterns: &Patterns, typos: &mut Vec<Typo>) {
    for word in patterns.condition.find_iter(written) {
        if written.get(..word.start()).unwrap().ends_with('.') {
            continue;
        }
        let start = span.start + word.start();
        word_typos(Span { start, end: start + word.len() }, word.as_str(), typos);
    }
}

/// Every typo of a node and of what stands below it.
fn typos(node: &Node, path: &mut Vec<String>, patterns: &Patterns, into: &mut Vec<Typo>) {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    let text = |span: Span| node.source.text.get(span.start..span.end).unwrap();
    match &node.value {
        Value::Mapping(entries) => {
            let siblings: Vec<&str> = entries.iter().map(|(key, _)| key.text.as_str()).collect();
            let free = is_free(&names);
            for (key, value) in entries {
                if patterns.hl7.is_match(&key.text) || patterns.names.is_match(&key.text) {
                    text_typos(key.span, text(key.span), patterns, into);
                } else if !free && !key.text.starts_with('$') {
                    // `$.order.kind` is a name of the sender's own document.
                    key_typos(key, &siblings, text(key.span), into);
                }
                path.push(key.text.clone());
                typos(value, path, patterns, into);
                path.pop();
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| typos(item, path, patterns, into)),
        Value::Scalar { .. } => scalar_typos(node.span, text(node.span), &names, patterns, into),
        _ => {}
    }
}

/// Keys whose value is one of a few words.
const CHOICES: [&str; 13] = [
    "ack",
    "then",
    "unmapped_code",
    "order",
    "reply",
    "if_changed",
    "balance",
    "bundle",
    "action",
    "answer",
    "validation",
    "access",
    "content",
];

fn scalar_typos(
    span: Span,
    written: &str,
    path: &[&str],
    patterns: &Patterns,
    into: &mut Vec<Typo>,
) {
    match path {
        // Names for people, and the receiver's own words.
        ["title", ..] | ["owner" | "group" | "channel"] | ["tests", "name"] => {}
        ["tests", "expect", "error_at"] => text_typos(span, written, patterns, into),
        ["tests", .., "with", _] | ["tests", "expect", ..] | [.., "codes", _] => {}
        [.., "when" | "where" | "if"] => {
            text_typos(span, written, patterns, into);
            condition_typos(span, written, patterns, into);
        }
        ["search_keys", ..] | ["to", _, "produce", "json", ..] => {
            text_typos(span, written, patterns, into);
        }
        // Types of messages and resources; names of other channels and of topics.
        [.., "types"] if !written.contains('^') => word_typos(span, written, into),
        [.., "type" | "types"] => {}
        ["from", "topic"] | [.., "resources", "channel"] if written.contains('-') => {
            word_typos(span, written, into);
        }
        // What a topic is called is up to whoever publishes.
        [.., "channel", "topic"] => {}
        [.., key] if CHOICES.contains(key) => word_typos(span, written, into),
        [.., "on_ack", _] => word_typos(span, written, into),
        _ => text_typos(span, written, patterns, into),
    }
}

fn line(source: &Source, offset: usize) -> usize {
    source.line_column(offset).0
}

/// Whether a finding stands on the line of the typo and touches it.
fn touches(finding: &Finding, typo: &Typo) -> bool {
    let end = typo.span.start + typo.instead.len();
    finding.severity == Severity::Error
        && line(&finding.source, finding.span.start) == line(&finding.source, typo.span.start)
        && finding.span.start <= end
        && finding.span.end >= typo.span.start
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(examples: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(examples, &folder.path().join("channels"));
        Self { folder }
    }

    /// What is found in one file; with `all`, beside the other channels.
    fn findings(&self, name: &str, text: &str, all: bool) -> Vec<Finding> {
        let path = self.folder.path().join("channels").join(name);
        std::fs::write(&path, text).unwrap();
        let options = LoadOptions {
            files: if all { Vec::new() } else { vec![path] },
            missing_secrets: MissingSecrets::Warn,
            ..LoadOptions::default()
        };
        load(self.folder.path(), &options).findings
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("channels")
}

/// What became of the typos of one example.
#[derive(Default)]
struct Planted {
    /// How many there were.
    typos: usize,
    /// How many can be cured by naming what was meant.
    curable: usize,
    /// Those of them whose cure no hint names.
    uncured: Vec<String>,
    /// Those that were not found at their place.
    missed: Vec<String>,
    /// Those found without a hint and without a text to put in their place.
    bare: Vec<String>,
}

/// Plants every typo of one example.
fn plant(bench: &Bench, name: &str, patterns: &Patterns) -> Planted {
    let text = std::fs::read_to_string(examples().join(name)).unwrap();
    let source = Arc::new(Source { name: name.to_owned(), text: text.clone() });
    let (mut all, mut planted) = (Vec::new(), Planted::default());
    typos(&parse(source).0.unwrap(), &mut Vec::new(), patterns, &mut all);
    assert!(all.len() > 20, "{name}: {} typos", all.len());
    for typo in all {
        planted.typos += 1;
        let mut broken = text.clone();
        broken.replace_range(typo.span.start..typo.span.end, &typo.instead);
        // Names of other channels and topics are known among all of them.
        let names_other = typo.meant.as_deref().is_some_and(|meant| meant.contains('-'));
        let findings = bench.findings(name, &broken, names_other);
        let found: Vec<_> = findings.iter().filter(|finding| touches(finding, &typo)).collect();
        let line = broken.lines().nth(line_of(&text, &typo) - 1).unwrap_or_default().trim();
        let shown = format!("{name}:{} {} in `{line}`", line_of(&text, &typo), typo.instead);
        if found.is_empty() {
            planted.missed.push(shown);
            continue;
        }
        if found.iter().all(|finding| finding.hint.is_none() && finding.fix.is_none()) {
            planted.bare.push(shown.clone());
        }
        let Some(meant) = &typo.meant else { continue };
        planted.curable += 1;
        let cures = |finding: &&&Finding| {
            let cure = finding.hint.iter().chain(&finding.fix);
            cure.into_iter().any(|text| text.contains(meant.as_str()))
        };
        if !found.iter().any(|finding| cures(&finding)) {
            let hint = found.iter().find_map(|finding| finding.hint.clone()).unwrap_or_default();
            planted.uncured.push(format!("{shown}: {hint}"));
        }
    }
    planted
}

fn line_of(text: &str, typo: &Typo) -> usize {
    text.get(..typo.span.start).unwrap().matches('\n').count() + 1
}

#[test]
fn every_typo_is_found_at_its_place() {
    let patterns = Patterns::new();
    let mut names: Vec<_> = std::fs::read_dir(examples())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    let planted: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            names.iter().map(|name| scope.spawn(|| plant_in_copy(name, &patterns))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let typos: usize = planted.iter().map(|planted| planted.typos).sum();
    let curable: usize = planted.iter().map(|planted| planted.curable).sum();
    let all = |which: fn(&Planted) -> &Vec<String>| -> Vec<String> {
        planted.iter().flat_map(which).cloned().collect()
    };
    let missed = all(|planted| &planted.missed);
    let bare = all(|planted| &planted.bare);
    let uncured = all(|planted| &planted.uncured);
    assert!(missed.is_empty(), "{} typos not found:\n{}", missed.len(), missed.join("\n"));
    assert!(bare.is_empty(), "{} without a hint:\n{}", bare.len(), bare.join("\n"));
    assert!(typos > 1500 && curable > 1000, "{typos} typos, {curable} curable");
    assert!(uncured.len() * 18 <= curable, "{} not cured:\n{}", uncured.len(), uncured.join("\n"));
}

fn plant_in_copy(name: &str, patterns: &Patterns) -> Planted {
    let bench = Bench::new(&examples());
    let text = std::fs::read_to_string(examples().join(name)).unwrap();
    let right = bench.findings(name, &text, false);
    assert!(right.iter().all(|finding| finding.severity == Severity::Warning), "{name} is right");
    plant(&bench, name, patterns)
}
