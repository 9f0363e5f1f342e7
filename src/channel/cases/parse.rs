//! Compiles `tests:`. Names of destinations, paths and samples are checked like everything else.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::channel::Channel;
use crate::channel::build::{Build, Files};
use crate::channel::cases::members;
use crate::channel::cases::{AckClass, Case, Expect, Expected, Place, PlaceKind, Send, Want};
use crate::channel::compile::compile_with;
use crate::channel::expr::lex::reads_like_path;
use crate::channel::fhir_path::{FhirPath, looks_like};
use crate::channel::fields::{Fields, choice, duration, one_or_many};
use crate::channel::input::content_type_of;
use crate::channel::produce::{Produce, plain_json};
use crate::channel::reference;
use crate::channel::step::json::Target;
use crate::hl7::edit::Draft;
use crate::hl7::path::Path;
use crate::hl7::raw::RawMessage;
use crate::message::kind::ContentType;
use crate::message::resource::Interaction;
use crate::yaml::finding::{Finding, Severity};
use crate::yaml::nearest::nearest;
use crate::yaml::node::{Key, Node, Value as Yaml};

/// Most messages one test sends.
const SENDS_MAX: usize = 1000;

/// How a resource of a test was written.
const INTERACTIONS: [(&str, Interaction); 4] = [
    ("create", Interaction::Create),
    ("update", Interaction::Update),
    ("patch", Interaction::Patch),
    ("delete", Interaction::Delete),
];

/// What is asked of a delivery besides its content.
const WORDS: [(&str, PlaceKind); 10] = [
    ("url", PlaceKind::Attribute),
    ("name", PlaceKind::Attribute),
    ("folder", PlaceKind::Attribute),
    ("topic", PlaceKind::Attribute),
    ("routing_key", PlaceKind::Attribute),
    ("body", PlaceKind::Body),
    ("same", PlaceKind::Same),
    ("count", PlaceKind::Count),
    ("attempts", PlaceKind::Attempts),
    ("outcome", PlaceKind::Outcome),
];

/// Compiles a channel with its tests: what `check` and `test` do. Without errors among the findings there
/// is a channel.
#[must_use]
pub fn check(node: &Node, files: &dyn Files) -> (Option<Channel>, Vec<Case>, Vec<Finding>) {
    let mut build = Build::new(files);
    let channel = compile_with(node, &mut build);
    let cases = match &channel {
        Some(channel) => compile(node, channel, &mut build),
        None => Vec::new(),
    };
    let (_, findings) = build.into_used();
    let failed = findings.iter().any(|finding| finding.severity == Severity::Error);
    (channel.filter(|_| !failed), cases, findings)
}

/// Compiles the tests of a channel; what is wrong is noted.
pub fn compile(node: &Node, channel: &Channel, build: &mut Build<'_>) -> Vec<Case> {
    let Some(tests) = node.get("tests") else { return Vec::new() };
    if !matches!(tests.value, Yaml::Sequence(_)) {
        build.error_hint("E0103", tests, "tests are a list", "write each test behind a dash");
        return Vec::new();
    }
    tests.items().iter().filter_map(|node| case(node, channel, build)).collect()
}

fn case(node: &Node, channel: &Channel, build: &mut Build<'_>) -> Option<Case> {
    let keys = ["name", "clock", "send", "answers", "expect"];
    let fields = Fields::read(node, "a test", &keys, build)?;
    let name = fields.required("name", "a test", build)?;
    if let Some(clock) = fields.get("clock") {
        choice(clock, "clock", &[("virtual", ())], build);
    }
    let sends = fields.required("send", "a test", build).map(|node| sends(node, channel, build));
    let answers = fields.get("answers").map(|node| answers(node, channel, build));
    let expect = fields.required("expect", "a test", build).and_then(|n| expect(n, channel, build));
    Some(Case {
        name: name.text().unwrap_or_default().to_owned(),
        span: name.span,
        source: Arc::clone(&node.source),
        sends: sends?,
        expect: expect?,
        answers: answers.unwrap_or_default(),
    })
}

fn sends(node: &Node, channel: &Channel, build: &mut Build<'_>) -> Vec<Send> {
    let nodes = one_or_many(node);
    if nodes.is_empty() || nodes.len() > SENDS_MAX {
        build.error_hint(
            "E0350",
            node,
            format!("a test sends 1 to {SENDS_MAX} messages"),
            "e.g. send: samples/a01.hl7",
        );
        return Vec::new();
    }
    nodes.into_iter().filter_map(|node| send(node, channel, build)).collect()
}

fn send(node: &Node, channel: &Channel, build: &mut Build<'_>) -> Option<Send> {
    if node.text().is_some() {
        let bytes = sample(node, build)?;
        return Some(Send { bytes, at: Duration::ZERO, interaction: None });
    }
    let keys = ["file", "with", "without", "interaction", "at"];
    let fields = Fields::read(node, "a message to send", &keys, build)?;
    let file = fields.required("file", "a message to send", build)?;
    let bytes = sample(file, build)?;
    let at = match fields.get("at") {
        Some(node) => duration(node, build)?,
        None => Duration::ZERO,
    };
    let bytes = match content_type_of(&bytes) {
        ContentType::Hl7v2 => edited(&fields, bytes, channel, build)?,
        ContentType::Json => edited_json(&fields, &bytes, build)?,
        _ => bytes,
    };
    let interaction = match fields.get("interaction") {
        Some(node) => Some(choice(node, "interaction", &INTERACTIONS, build)?),
        None => None,
    };
    Some(Send { bytes, at, interaction })
}

/// A sample: the name of a file, or the message itself. Samples are kept with line feeds, as editors like them; HL7 wants carriage returns.
fn sample(node: &Node, build: &mut Build<'_>) -> Option<Bytes> {
    let path = node.text().unwrap_or_default();
    if path.contains('\n') || path.starts_with("MSH|") || path.starts_with('{') {
        return Some(with_line_ends(Bytes::copy_from_slice(path.as_bytes())));
    }
    let Some(bytes) = build.file(path) else {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let beside = build.list(folder);
        let finding = Finding::error("E0351", node, format!("there is no sample {path}"));
        build.findings.push(match nearest(path, beside.iter().map(String::as_str)) {
            Some(near) => finding.hint(format!("did you mean {near}?")).fix(near),
            None => finding.hint("samples stand beside the channel's file, e.g. samples/a01.hl7"),
        });
        return None;
    };
    Some(with_line_ends(bytes))
}

fn with_line_ends(bytes: Bytes) -> Bytes {
    let hl7 = content_type_of(&bytes) == ContentType::Hl7v2;
    if !hl7 || bytes.contains(&b'\r') {
        return bytes;
    }
    bytes.iter().map(|byte| if *byte == b'\n' { b'\r' } else { *byte }).collect()
}

fn edited(
    fields: &Fields<'_>,
    bytes: Bytes,
    channel: &Channel,
    build: &mut Build<'_>,
) -> Option<Bytes> {
    let with = fields.get("with").map(Node::entries).unwrap_or_default();
    let without = fields.get("without").map(one_or_many).unwrap_or_default();
    if with.is_empty() && without.is_empty() {
        return Some(bytes);
    }
    let message = match RawMessage::parse_with(bytes, channel.read_options) {
        Ok(message) => message,
        Err(error) => {
            build.error("E0351", fields.node, format!("the sample cannot be changed: {error}"));
            return None;
        }
    };
    let mut draft = Draft::new(&message);
    for (key, value) in with {
        let place = key_node(key, value);
        let path = path(&place, build)?;
        let done = match value.text().unwrap_or_default() {
            "\"\"" => draft.set_null(&path),
            text => draft.set(&path, text),
        };
        if let Err(error) = done {
            build.error("E0351", &place, error.to_string());
        }
    }
    for node in without {
        let path = path(node, build)?;
        if let Err(error) = draft.remove(&path) {
            build.error("E0351", node, error.to_string());
        }
    }
    Some(draft.finish())
}

fn edited_json(fields: &Fields<'_>, bytes: &Bytes, build: &mut Build<'_>) -> Option<Bytes> {
    let with = fields.get("with").map(Node::entries).unwrap_or_default();
    let without = fields.get("without").map(one_or_many).unwrap_or_default();
    if with.is_empty() && without.is_empty() {
        return Some(bytes.clone());
    }
    let mut document: serde_json::Value = match serde_json::from_slice(bytes) {
        Ok(document) => document,
        Err(_) => {
            build.error("E0351", fields.node, "the sample is no JSON and cannot be changed");
            return None;
        }
    };
    for (key, value) in with {
        let place = key_node(key, value);
        let path = Target::compile(&place, build)?;
        path.write(&mut document, json(value));
    }
    for node in without {
        Target::compile(node, build)?.write(&mut document, None);
    }
    Some(document.to_string().into())
}

/// What stands in the file as JSON.
fn json(node: &Node) -> Option<serde_json::Value> {
    Some(match &node.value {
        Yaml::Null => return None,
        Yaml::Scalar { text, quoted } => {
            plain_json(text, *quoted).unwrap_or_else(|| text.as_str().into())
        }
        Yaml::Sequence(items) => items.iter().filter_map(json).collect(),
        Yaml::Mapping(entries) => serde_json::Value::Object(
            entries
                .iter()
                .filter_map(|(key, value)| Some((key.text.clone(), json(value)?)))
                .collect(),
        ),
    })
}

fn key_node(key: &Key, value: &Node) -> Node {
    Node {
        value: Yaml::Scalar { text: key.text.clone(), quoted: false },
        span: key.span,
        source: Arc::clone(&value.source),
    }
}

fn path(node: &Node, build: &mut Build<'_>) -> Option<Path> {
    let text = node.text().unwrap_or_default();
    let path = reference::path(text, 0..text.len());
    build.noted(node, path)
}

fn answers(node: &Node, channel: &Channel, build: &mut Build<'_>) -> Vec<(String, Vec<String>)> {
    let mut all = Vec::new();
    for (key, value) in node.entries() {
        if is_destination(key, node, channel, &[], build) {
            let words = one_or_many(value).into_iter().filter_map(Node::text);
            all.push((key.text.clone(), words.map(str::to_owned).collect()));
        }
    }
    all
}

fn is_destination(
    key: &Key,
    node: &Node,
    channel: &Channel,
    others: &[&str],
    build: &mut Build<'_>,
) -> bool {
    let names: Vec<&str> = channel.destinations().map(|name| &**name).collect();
    if names.contains(&key.text.as_str()) {
        return true;
    }
    let said = format!("the channel has no destination {}", key.text);
    let finding = Finding::at("E0352", &node.source, key.span, said);
    let known = names.iter().copied().chain(others.iter().copied());
    build.findings.push(match nearest(&key.text, known) {
        Some(near) => finding.hint(format!("did you mean {near}?")).fix(near),
        None => finding.hint(format!("its destinations: {}", names.join(", "))),
    });
    false
}

fn expect(node: &Node, channel: &Channel, build: &mut Build<'_>) -> Option<Expect> {
    let Yaml::Mapping(entries) = &node.value else {
        build.error_hint("E0103", node, "expect is a mapping", "e.g. {ack: AA, lis: nothing}");
        return None;
    };
    let mut expect = Expect::default();
    for (key, value) in entries {
        match key.text.as_str() {
            "ack" => {
                for node in one_or_many(value) {
                    expect.acks.extend(ack(node, build).map(|class| (class, node.span)));
                }
            }
            "error_at" => expect.error_at = path(value, build).map(|path| (path, value.span)),
            name => {
                if is_destination(key, node, channel, &["ack", "error_at"], build)
                    && let Some(expected) = expected(value, name, channel, build)
                {
                    expect.destinations.push((name.to_owned(), expected, value.span));
                }
            }
        }
    }
    Some(expect)
}

fn ack(node: &Node, build: &mut Build<'_>) -> Option<AckClass> {
    let choices = [
        ("AA", AckClass::Accept),
        ("AE", AckClass::Error),
        ("AR", AckClass::Reject),
        ("CA", AckClass::Accept),
        ("CE", AckClass::Error),
        ("CR", AckClass::Reject),
    ];
    choice(node, "ack", &choices, build)
}

fn expected(node: &Node, name: &str, channel: &Channel, build: &mut Build<'_>) -> Option<Expected> {
    match &node.value {
        Yaml::Scalar { .. } => {
            let choices = [("nothing", 0), ("sent", 1), ("held", 2), ("rejected", 3)];
            choice(node, "what a destination gets", &choices, build).map(|chosen| match chosen {
                0 => Expected::Nothing,
                1 => Expected::Sent,
                2 => Expected::Held,
                _ => Expected::Rejected,
            })
        }
        Yaml::Sequence(items) => {
            let each =
                items.iter().map(|item| Some((expected(item, name, channel, build)?, item.span)));
            let each: Vec<Option<_>> = each.collect();
            each.into_iter().collect::<Option<Vec<_>>>().map(Expected::Each)
        }
        Yaml::Mapping(entries) => {
            let found = channel.destinations.iter().find(|known| *known.name == *name)?;
            let places: Vec<Option<Place>> = entries
                .iter()
                .map(|(key, value)| place(key, value, &found.produce, build))
                .collect();
            places.into_iter().collect::<Option<Vec<_>>>().map(Expected::Has)
        }
        Yaml::Null => {
            build.error_hint(
                "E0103",
                node,
                "what is expected is missing",
                "write `nothing` if nothing is sent",
            );
            None
        }
    }
}

fn place(key: &Key, value: &Node, produce: &Produce, build: &mut Build<'_>) -> Option<Place> {
    let name = key.text.clone();
    let kind = place_kind(key, value, produce, build)?;
    let want = want(value);
    if matches!(kind, PlaceKind::Same) && want != Want::Text("true".to_owned()) {
        build.error_hint("E0106", value, "same can only be true", "same: true");
        return None;
    }
    Some(Place { name, kind, want, span: key.span })
}

fn place_kind(
    key: &Key,
    value: &Node,
    produce: &Produce,
    build: &mut Build<'_>,
) -> Option<PlaceKind> {
    let word = WORDS.iter().find(|(word, _)| *word == key.text).map(|(_, kind)| kind.clone());
    let node = key_node(key, value);
    let said = match produce {
        Produce::Json(shape, _) => {
            return match (shape.find(&key.text), word) {
                (Ok(()), _) => Some(PlaceKind::Json),
                (Err(_), Some(word)) => Some(word),
                (Err((known, near)), None) => {
                    let said = format!("the template has no {}", key.text);
                    let finding = Finding::error("E0353", &node, said);
                    build.findings.push(match near {
                        Some(near) => finding.hint(format!("did you mean {near}?")).fix(near),
                        None => finding.hint(format!("there are: {known}")),
                    });
                    None
                }
            };
        }
        _ if word.is_some() => return word,
        Produce::WholeJson => return Some(PlaceKind::Json),
        Produce::Fhir(_) => {
            let names =
                key.text.strip_prefix("$.").map_or_else(|| members::check(&key.text), |_| Ok(()));
            return build.noted(&node, names).map(|()| PlaceKind::Json);
        }
        Produce::Same | Produce::Hl7(_) | Produce::FromFhir(_) | Produce::Acknowledgement
            if reads_like_path(&key.text) =>
        {
            return path(&node, build).map(PlaceKind::Hl7);
        }
        Produce::Same if key.text.starts_with("$.") => return Some(PlaceKind::Json),
        Produce::Same if looks_like(&key.text) => {
            let path = FhirPath::parse(&key.text, 0..key.text.len(), &build.resources);
            return build.noted(&node, path).map(PlaceKind::Fhir);
        }
        Produce::Same | Produce::Hl7(_) | Produce::FromFhir(_) | Produce::Acknowledgement => {
            "an HL7 message is asked by paths"
        }
        Produce::Text(_) => "a text is asked by its body",
    };
    let words = WORDS.map(|(word, _)| word);
    let finding = Finding::error("E0353", &node, format!("{} is no place: {said}", key.text));
    build.findings.push(match nearest(&key.text, words) {
        Some(near) => finding.hint(format!("did you mean {near}?")).fix(near),
        None => finding.hint(format!("e.g. PID-5.1; or one of: {}", words.join(", "))),
    });
    None
}

fn want(node: &Node) -> Want {
    match &node.value {
        Yaml::Null => Want::Empty,
        Yaml::Scalar { text, quoted } if text == "nothing" && !quoted => Want::Empty,
        Yaml::Scalar { text, .. } => Want::Text(text.clone()),
        Yaml::Sequence(items) => Want::List(items.iter().map(want).collect()),
        Yaml::Mapping(entries) => Want::Members(
            entries.iter().map(|(key, value)| (key.text.clone(), want(value))).collect(),
        ),
    }
}
