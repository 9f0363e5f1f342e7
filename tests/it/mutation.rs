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

/// Keys with one letter dropped, and with two letters swapped.
fn key_typos(key: &Key, siblings: &[&str], written: &str, typos: &mut Vec<Typo>) {
    let letters: Vec<char> = key.text.chars().collect();
    let middle = letters.len() / 2;
    let mut dropped = letters.clone();
    dropped.remove(middle);
    let mut swapped = letters.clone();
    if let Some(at) = (1..letters.len()).rev().find(|at| letters[*at] != letters[at - 1]) {
        swapped.swap(at - 1, at);
    }
    for letters in [dropped, swapped] {
        let instead: String = letters.into_iter().collect();
        let same =
            instead.is_empty() || instead == key.text || siblings.contains(&instead.as_str());
        if !same && written == key.text {
            typos.push(Typo { span: key.span, instead, meant: Some(key.text.clone()) });
        }
    }
}

/// Paths in a text, with a wrong letter in the segment's name and with field 999.
fn path_typos(span: Span, written: &str, pattern: &Regex, typos: &mut Vec<Typo>) {
    for found in pattern.captures_iter(written) {
        let (segment, field) = (found.get(1).unwrap(), found.get(2).unwrap());
        let at = |part: regex::Match<'_>| Span {
            start: span.start + part.start(),
            end: span.start + part.end(),
        };
        let wrong: String =
            segment.as_str().char_indices().map(|(at, c)| if at == 1 { 'Q' } else { c }).collect();
        let meant = Some(segment.as_str().to_owned());
        typos.push(Typo { span: at(segment), instead: wrong, meant });
        typos.push(Typo { span: at(field), instead: "999".to_owned(), meant: None });
    }
}

/// Every typo of a node and of what stands below it.
fn typos(node: &Node, path: &mut Vec<String>, pattern: &Regex, into: &mut Vec<Typo>) {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    let text = |span: Span| node.source.text.get(span.start..span.end).unwrap();
    match &node.value {
        Value::Mapping(entries) => {
            let siblings: Vec<&str> = entries.iter().map(|(key, _)| key.text.as_str()).collect();
            let free = is_free(&names);
            for (key, value) in entries {
                if pattern.is_match(&key.text) {
                    path_typos(key.span, text(key.span), pattern, into);
                } else if !free && !key.text.starts_with('$') {
                    // `$.order.kind` is a name of the sender's own document.
                    key_typos(key, &siblings, text(key.span), into);
                }
                path.push(key.text.clone());
                typos(value, path, pattern, into);
                path.pop();
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| typos(item, path, pattern, into)),
        Value::Scalar { .. } if holds_paths(&names) => {
            path_typos(node.span, text(node.span), pattern, into);
        }
        _ => {}
    }
}

/// Whether texts at this path are read by the language, not by people or receivers.
fn holds_paths(path: &[&str]) -> bool {
    let words = ["title", "owner", "description", "name", "types", "type"];
    !path.iter().any(|key| words.contains(key))
        && !matches!(path, ["tests", "expect", destination, ..] if *destination != "error_at")
        && !matches!(path, ["tests", .., "with", _])
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

    fn findings(&self, name: &str, text: &str) -> Vec<Finding> {
        let path = self.folder.path().join("channels").join(name);
        std::fs::write(&path, text).unwrap();
        let options = LoadOptions {
            files: vec![path],
            missing_secrets: MissingSecrets::Warn,
            ..LoadOptions::default()
        };
        load(self.folder.path(), &options).findings
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("channels")
}

/// Plants every typo of one example; gives how many a hint should have cured, and how many it did, and
/// what was not found.
fn plant(bench: &Bench, name: &str, pattern: &Regex) -> (usize, usize, Vec<String>) {
    let text = std::fs::read_to_string(examples().join(name)).unwrap();
    let source = Arc::new(Source { name: name.to_owned(), text: text.clone() });
    let (mut all, mut missed, mut curable, mut cured) = (Vec::new(), Vec::new(), 0, 0);
    typos(&parse(source).0.unwrap(), &mut Vec::new(), pattern, &mut all);
    assert!(all.len() > 20, "{name}: {} typos", all.len());
    for typo in all {
        let mut broken = text.clone();
        broken.replace_range(typo.span.start..typo.span.end, &typo.instead);
        let findings = bench.findings(name, &broken);
        let found: Vec<_> = findings.iter().filter(|finding| touches(finding, &typo)).collect();
        if found.is_empty() {
            missed.push(format!("{name}:{} {:?}", line_of(&text, &typo), typo));
        }
        if let Some(meant) = &typo.meant {
            curable += 1;
            let says = |finding: &&&Finding| {
                let cure = finding.hint.iter().chain(&finding.fix);
                cure.into_iter().any(|text| text.contains(meant.as_str()))
            };
            let named = found.iter().any(|finding| says(&finding));
            cured += usize::from(named);
        }
    }
    (curable, cured, missed)
}

fn line_of(text: &str, typo: &Typo) -> usize {
    text.get(..typo.span.start).unwrap().lines().count()
}

#[test]
fn every_typo_is_found_at_its_place() {
    let pattern = Regex::new(r"\b([A-Y][A-Z][A-Z0-9])(?:\[[^\]]*\])?-(\d+)\b").unwrap();
    let mut names: Vec<_> = std::fs::read_dir(examples())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    let planted: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            names.iter().map(|name| scope.spawn(|| plant_in_copy(name, &pattern))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let curable: usize = planted.iter().map(|(curable, ..)| curable).sum();
    let cured: usize = planted.iter().map(|(_, cured, _)| cured).sum();
    let missed: Vec<_> = planted.into_iter().flat_map(|(.., missed)| missed).collect();
    assert!(missed.is_empty(), "{} typos not found:\n{}", missed.len(), missed.join("\n"));
    assert!(curable > 300, "{curable}");
    assert!(cured * 10 >= curable * 9, "{cured} of {curable} typos are named in a hint");
}

fn plant_in_copy(name: &str, pattern: &Regex) -> (usize, usize, Vec<String>) {
    let bench = Bench::new(&examples());
    let text = std::fs::read_to_string(examples().join(name)).unwrap();
    let right = bench.findings(name, &text);
    assert!(right.iter().all(|finding| finding.severity == Severity::Warning), "{name} is right");
    plant(&bench, name, pattern)
}
