//! Every key of the shapes is read: a value that differs from the default changes the options; and every
//! example of the reference passes the check.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::config::secrets::{MissingSecrets, Secrets};
use crate::config::shapes::{channel, destination, engine, source};
use crate::config::{engine as engine_file, from, to};
use crate::yaml::finding::Finding;
use crate::yaml::node::{Key, Node, Source, Span};
use crate::yaml::parse::parse;
use crate::yaml::shape::{Field, MapShape, Other, Shape};

fn node(text: &str) -> Node {
    let (node, findings) = parse(Arc::new(Source { name: "x".into(), text: text.to_owned() }));
    assert!(findings.is_empty(), "{text}: {findings:?}");
    node.unwrap()
}

/// Values of a scalar shape that differ from each other; at most one of them is the default.
fn values(shape: &Shape, example: &str) -> Vec<String> {
    let texts: Vec<&str> = match shape {
        Shape::Duration => vec!["7s", "8s"],
        Shape::Size => vec!["7KiB", "8KiB"],
        Shape::Percent => vec!["7%", "8%"],
        Shape::Factor => vec!["7", "8"],
        Shape::Bool => vec!["true", "false"],
        Shape::Integer { min, .. } => return vec![(min + 7).to_string(), (min + 8).to_string()],
        Shape::Choice(words) => words.iter().map(|(word, _)| *word).collect(),
        // Two bytes to some keys, a charset to one, a text to all others.
        Shape::Text | Shape::Template => vec!["0E0F", "GB18030"],
        Shape::Address => vec!["127.0.0.7:7"],
        _ => vec![example],
    };
    texts.into_iter().map(str::to_owned).collect()
}

/// What a mapping must have besides `key`, as `a: b, c: d`.
fn rest(shape: &MapShape, key: &str) -> Vec<String> {
    let instead =
        |other: &str| shape.one_of.iter().any(|group| group[0] == other && !group.contains(&key));
    let fields = shape.fields.iter().filter(|field| field.key != key);
    let must = fields.filter(|field| field.required || instead(field.key));
    must.map(|field| format!("{}: {}", field.key, field.example)).collect()
}

/// Calls `visit` with each key whose value is a scalar, here and below: the field, the values it may be
/// given, and the whole text made of one of them (or of none).
fn leaves(
    shape: &MapShape,
    wrap: &dyn Fn(String) -> String,
    visit: &mut dyn FnMut(&Field, &Shape, &dyn Fn(Option<&str>) -> String),
) {
    for field in shape.fields {
        let text = |value: Option<&str>| {
            let own = value.map(|value| format!("{}: {value}", field.key));
            wrap(own.into_iter().chain(rest(shape, field.key)).collect::<Vec<_>>().join(", "))
        };
        let into_map = |inner: String| text(Some(&format!("{{{inner}}}")));
        let into_list = |inner: String| text(Some(&format!("[{{{inner}}}]")));
        match field.shape {
            Shape::Language(_) | Shape::Any => {}
            Shape::Map(map) if map.fields.is_empty() => {}
            Shape::Map(map) => leaves(map, &into_map, visit),
            Shape::List(Shape::Map(map)) => leaves(map, &into_list, visit),
            Shape::ByKind { scalar, map, .. } => {
                if let Some(scalar) = scalar {
                    visit(field, scalar, &text);
                }
                map.into_iter().for_each(|map| leaves(map, &into_map, visit));
            }
            ref scalar => visit(field, scalar, &text),
        }
    }
}

/// Each key gives other options for each of its values, and what its text calls the default is it.
fn every_key_counts(shape: &MapShape, read: &dyn Fn(&str) -> String) {
    let mut seen = 0;
    leaves(shape, &|body| format!("{{{body}}}"), &mut |field, scalar, text| {
        seen += 1;
        let usual = read(&text(None));
        let values = values(scalar, field.example);
        let made: BTreeSet<String> = values.iter().map(|value| read(&text(Some(value)))).collect();
        let all_differ = made.len() == values.len() || matches!(scalar, Shape::Text);
        assert!(all_differ, "{} in {}: {values:?}", field.key, text(None));
        let one_way = matches!(scalar, Shape::Choice(words) if words.len() == 1);
        let changed = made.iter().any(|read| *read != usual);
        assert!(changed || one_way, "`{}` changes nothing in {}", field.key, text(None));
        let stated = field.doc.rsplit_once("Default ").and_then(|(_, rest)| rest.strip_suffix('.'));
        if let Some(stated) = stated.filter(|stated| !stated.contains(' ')) {
            let written = match scalar {
                Shape::Text | Shape::Choice(_) => format!("'{stated}'"),
                _ => stated.to_owned(),
            };
            assert_eq!(read(&text(Some(&written))), usual, "`{}` is not {stated}", field.key);
        }
    });
    assert!(seen > 20, "{seen}");
}

fn secrets() -> Secrets {
    Secrets::new("nowhere".into(), "X_", MissingSecrets::Warn, [])
}

fn read_from(text: &str) -> String {
    format!("{:?}", from::read(&node(text), Path::new("/"), &secrets(), &mut Vec::new()))
}

fn read_to(text: &str) -> String {
    let key = Key { text: "a".into(), span: Span::default() };
    format!("{:?}", to::read(&key, &node(text), Path::new("/"), &secrets(), &mut Vec::new()))
}

fn read_engine(text: &str) -> String {
    let root = (!text.is_empty()).then(|| node(text));
    let read = engine_file::read(
        root.as_ref(),
        Path::new("/"),
        MissingSecrets::Warn,
        [],
        &mut Vec::<Finding>::new(),
    );
    format!("{read:?}")
}

#[test]
fn every_key_of_from_is_read() {
    every_key_counts(&source::FROM, &read_from);
}

#[test]
fn every_key_of_a_destination_is_read() {
    every_key_counts(&destination::DESTINATION, &read_to);
}

#[test]
fn every_key_of_engine_yaml_is_read() {
    every_key_counts(&engine::ENGINE, &read_engine);
}

/// Checks the examples of a mapping and of all below it.
fn examples_pass(shape: &'static MapShape, done: &mut BTreeSet<&'static str>) {
    if !done.insert(shape.name) {
        return;
    }
    assert!(!shape.doc.is_empty(), "{}", shape.name);
    for field in shape.fields {
        assert!(!field.doc.is_empty() && !field.example.is_empty(), "{}", field.key);
        let text = format!("{}: {}", field.key, field.example);
        let root = node(&text);
        let mut findings = Vec::new();
        let (key, value) = &root.entries()[0];
        unwrapped(&field.shape).check(value, key, &mut findings);
        assert!(findings.is_empty(), "{text}: {findings:?}");
        below(&field.shape, done);
    }
    if let Other::Names(value) | Other::Paths(value) = shape.other {
        below(value, done);
    }
}

fn unwrapped(shape: &Shape) -> &Shape {
    match shape {
        Shape::Language(inner) => inner,
        other => other,
    }
}

fn below(shape: &Shape, done: &mut BTreeSet<&'static str>) {
    match shape {
        Shape::Map(map) => examples_pass(map, done),
        Shape::List(inner) | Shape::OneOrMany(inner) | Shape::Language(inner) => below(inner, done),
        Shape::ByKind { scalar, items, map } => {
            scalar.iter().chain(items.iter()).for_each(|inner| below(inner, done));
            map.iter().for_each(|map| examples_pass(map, done));
        }
        _ => {}
    }
}

#[test]
fn every_example_passes_the_check() {
    let mut done = BTreeSet::new();
    examples_pass(&channel::CHANNEL, &mut done);
    examples_pass(&engine::ENGINE, &mut done);
    assert!(done.len() > 40, "{done:?}");
}
