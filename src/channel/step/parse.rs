//! Compiles `change:`.

use crate::channel::build::Build;
use crate::channel::expr::eval::Unmapped;
use crate::channel::expr::parse::condition;
use crate::channel::expr::template;
use crate::channel::expr::{Lookup, Value};
use crate::channel::fields::{Fields, one_or_many};
use crate::channel::reference;
use crate::channel::step::date::Pattern;
use crate::channel::step::json::{self, JsonAction, Target};
use crate::channel::step::{Action, Case, Step};
use crate::hl7::path::Path;
use crate::yaml::finding::Finding;
use crate::yaml::nearest::nearest;
use crate::yaml::node::{Key, Node, Value as Yaml};

/// The names of all steps.
pub const STEPS: [&str; 13] = [
    "set", "copy", "remove", "map", "lookup", "split", "join", "date", "trim", "case", "default",
    "each", "if",
];

/// Most steps of a list.
const STEPS_MAX: usize = 1000;

/// Deepest nesting of `each` and `if`.
const DEPTH_MAX: usize = 8;

/// Compiles a list of steps; what is wrong is noted.
pub fn steps(node: &Node, build: &mut Build<'_>) -> Vec<Step> {
    list(node, build, 0)
}

fn list(node: &Node, build: &mut Build<'_>, depth: usize) -> Vec<Step> {
    let Yaml::Sequence(items) = &node.value else {
        build.error_hint("E0103", node, "steps are a list", "write each step behind a dash");
        return Vec::new();
    };
    if items.len() > STEPS_MAX || depth > DEPTH_MAX {
        let said = format!("at most {STEPS_MAX} steps, nested {DEPTH_MAX} deep");
        build.error("E0315", node, said);
        return Vec::new();
    }
    items.iter().filter_map(|item| step(item, build, depth)).collect()
}

fn step(node: &Node, build: &mut Build<'_>, depth: usize) -> Option<Step> {
    let Yaml::Mapping(entries) = &node.value else {
        build.error_hint("E0103", node, "a step is a mapping", "e.g. - set: {MSH-5: LIS}");
        return None;
    };
    let Some((verb, body)) = entries.iter().find(|(key, _)| STEPS.contains(&key.text.as_str()))
    else {
        unknown_step(node, entries, build);
        return None;
    };
    let mut keys = vec![verb.text.as_str(), "when"];
    match verb.text.as_str() {
        "each" => keys.push("change"),
        "if" => keys.extend(["then", "else"]),
        _ => {}
    }
    Fields::read(node, &format!("the step {}", verb.text), &keys, build)?;
    let inner = (verb.text == "copy").then(|| body.get("when")).flatten();
    let when = match node.get("when").or(inner) {
        Some(node) => Some(condition(node, build)?),
        None => None,
    };
    let action = action(&verb.text, node, body, build, depth)?;
    Some(Step { when, action })
}

fn unknown_step(node: &Node, entries: &[(Key, Node)], build: &mut Build<'_>) {
    let Some((key, _)) = entries.iter().find(|(key, _)| key.text != "when") else {
        build.error_hint(
            "E0316",
            node,
            "this step does nothing",
            format!("steps: {}", STEPS.join(", ")),
        );
        return;
    };
    let said = format!("there is no step {}", key.text);
    let finding = Finding::at("E0316", &node.source, key.span, said);
    build.findings.push(match nearest(&key.text, STEPS) {
        Some(near) => finding.hint(format!("did you mean {near}?")).fix(near),
        None => finding.hint(format!("steps: {}", STEPS.join(", "))),
    });
}

fn action(
    verb: &str,
    node: &Node,
    body: &Node,
    build: &mut Build<'_>,
    depth: usize,
) -> Option<Action> {
    if let Some(action) = json_action(verb, body, build) {
        return action.map(Action::Json);
    }
    match verb {
        "set" => Some(Action::Set(assignments(body, "set", build)?)),
        "default" => Some(Action::Default(assignments(body, "default", build)?)),
        "copy" => {
            let fields = Fields::read(body, "copy", &["from", "to", "when"], build)?;
            let from = fields.required("from", "copy", build);
            let to = fields.required("to", "copy", build);
            Some(Action::Copy { from: template::source(from?, build)?, to: target(to?, build)? })
        }
        "remove" => Some(Action::Remove(targets(body, "remove", build)?)),
        "trim" => Some(Action::Trim(targets(body, "trim", build)?)),
        "case" => case(body, build),
        "map" => map(body, build),
        "lookup" => lookup(body, build),
        "split" => split(body, build),
        "join" => join(body, build),
        "date" => date(body, build),
        "each" => {
            let text = body.text().unwrap_or_default();
            let segment = reference::segment(text, 0..text.len());
            let segment = build.noted(body, segment)?;
            let fields = Fields { node };
            let change = fields.required("change", "each", build)?;
            Some(Action::Each { segment, steps: list(change, build, depth + 1) })
        }
        _ => {
            let condition = condition(body, build);
            let fields = Fields { node };
            let then = fields.required("then", "if", build)?;
            let then = list(then, build, depth + 1);
            let otherwise = node.get("else").map(|node| list(node, build, depth + 1));
            Some(Action::If {
                condition: condition?,
                then,
                otherwise: otherwise.unwrap_or_default(),
            })
        }
    }
}

/// What the step does to a document; nothing when it names places of an HL7 message.
fn json_action(verb: &str, body: &Node, build: &mut Build<'_>) -> Option<Option<JsonAction>> {
    let first = match verb {
        "set" | "default" => body.entries().first().map(|(key, _)| key.text.as_str()),
        "remove" => one_or_many(body).first().and_then(|node| node.text()),
        "copy" => body.get("to").and_then(Node::text),
        _ => None,
    }?;
    if !Target::is_meant(first, build) {
        return None;
    }
    Some(match verb {
        "set" => json::assignments(body, build).map(JsonAction::Set),
        "default" => json::assignments(body, build).map(JsonAction::Default),
        "copy" => copied(body, build),
        _ => {
            let places: Vec<Option<Target>> =
                one_or_many(body).into_iter().map(|node| Target::compile(node, build)).collect();
            places.into_iter().collect::<Option<_>>().map(JsonAction::Remove)
        }
    })
}

fn copied(body: &Node, build: &mut Build<'_>) -> Option<JsonAction> {
    let fields = Fields::read(body, "copy", &["from", "to", "when"], build)?;
    let from = fields.required("from", "copy", build)?;
    let to = fields.required("to", "copy", build)?;
    let from = template::source(from, build);
    Some(JsonAction::Copy { to: Target::compile(to, build)?, from: from? })
}

/// A place that may be written.
fn target(node: &Node, build: &mut Build<'_>) -> Option<Path> {
    let Some(text) = node.text() else {
        build.error_hint("E0320", node, "a path is one word", "e.g. PID-5.1");
        return None;
    };
    let path = reference::path(text, 0..text.len());
    build.noted(node, path)
}

/// A place that holds one text: not a whole segment.
fn field(node: &Node, build: &mut Build<'_>) -> Option<Path> {
    let path = target(node, build)?;
    if path.field().is_none() {
        let said = format!("{path} is a whole segment");
        build.error_hint("E0322", node, said, format!("name a field, e.g. {path}-1"));
        return None;
    }
    Some(path)
}

fn targets(node: &Node, what: &str, build: &mut Build<'_>) -> Option<Vec<Path>> {
    let nodes = one_or_many(node);
    if nodes.is_empty() {
        build.error_hint("E0102", node, format!("{what} needs a path"), "e.g. PID-19");
        return None;
    }
    let whole = what == "remove";
    nodes.into_iter().map(|n| if whole { target(n, build) } else { field(n, build) }).collect()
}

fn assignments(node: &Node, what: &str, build: &mut Build<'_>) -> Option<Vec<(Path, Value)>> {
    if node.entries().is_empty() {
        build.error_hint(
            "E0103",
            node,
            format!("{what} names paths and values"),
            "e.g. {MSH-5: LIS}",
        );
        return None;
    }
    let mut all = Vec::new();
    let mut whole = true;
    for (key, value) in node.entries() {
        let place = Node {
            value: Yaml::Scalar { text: key.text.clone(), quoted: false },
            span: key.span,
            source: std::sync::Arc::clone(&node.source),
        };
        let path = field(&place, build);
        let value = match value.value {
            Yaml::Null => Some(Value::Text("".into())),
            _ => template::value(value, build),
        };
        match (path, value) {
            (Some(path), Some(value)) => all.push((path, value)),
            _ => whole = false,
        }
    }
    whole.then_some(all)
}

fn case(node: &Node, build: &mut Build<'_>) -> Option<Action> {
    let fields = Fields::read(node, "case", &["upper", "lower"], build)?;
    match (fields.get("upper"), fields.get("lower")) {
        (Some(at), None) => Some(Action::Case(Case::Upper, targets(at, "upper", build)?)),
        (None, Some(at)) => Some(Action::Case(Case::Lower, targets(at, "lower", build)?)),
        _ => {
            build.error_hint(
                "E0102",
                node,
                "case is upper or lower",
                "e.g. case: {upper: PID-5.1}",
            );
            None
        }
    }
}

fn map(node: &Node, build: &mut Build<'_>) -> Option<Action> {
    let fields = Fields::read(node, "map", &["at", "codes", "otherwise"], build)?;
    let at = fields.required("at", "map", build);
    let codes = fields.required("codes", "map", build)?;
    if codes.entries().is_empty() {
        build.error_hint(
            "E0103",
            codes,
            "codes names each code and what it becomes",
            "e.g. {M: 1, F: 2}",
        );
        return None;
    }
    let mut listed = std::collections::HashMap::new();
    for (key, value) in codes.entries() {
        let Some(text) = value.text() else {
            build.error("E0103", value, "a code becomes one text");
            continue;
        };
        listed.insert(key.text.as_str().into(), text.into());
    }
    let otherwise = fields.get("otherwise").and_then(Node::text);
    let otherwise = otherwise.map(|text| Unmapped::Default(text.into()));
    Some(Action::Map { at: field(at?, build)?, codes: listed, otherwise })
}

fn lookup(node: &Node, build: &mut Build<'_>) -> Option<Action> {
    let fields = Fields::read(node, "lookup", &["at", "table", "column", "to"], build)?;
    let at = fields.required("at", "lookup", build)?;
    let table = fields.required("table", "lookup", build)?;
    let key = template::source(at, build);
    let path = table.text().unwrap_or_default();
    let found = build.table(path, 0..path.len());
    let found = build.noted(table, found)?;
    let column = match fields.get("column") {
        None if found.columns().len() < 2 => {
            let said = format!("{path} has one column, so there is nothing to translate to");
            build.error_hint("E0346", table, said, "add a second column");
            return None;
        }
        None => 1,
        Some(node) => {
            let name = node.text().unwrap_or_default();
            let Some(column) = found.column(name) else {
                let columns = found.columns().join(", ");
                let said = format!("{path} has no column {name}");
                build.error_hint("E0346", node, said, format!("its columns: {columns}"));
                return None;
            };
            column
        }
    };
    let to = field(fields.get("to").unwrap_or(at), build)?;
    let written = format!("lookup({}, {path})", at.text().unwrap_or_default()).into();
    Some(Action::Lookup {
        lookup: Box::new(Lookup { key: key?, table: found, column, written }),
        to,
    })
}

fn split(node: &Node, build: &mut Build<'_>) -> Option<Action> {
    let fields = Fields::read(node, "split", &["from", "at", "to"], build)?;
    let from = fields.required("from", "split", build)?;
    let at = fields.required("at", "split", build)?;
    let to = fields.required("to", "split", build)?;
    let separator = at.text().unwrap_or_default();
    if separator.is_empty() {
        build.error_hint("E0102", at, "split needs a separator", "e.g. at: '/'");
        return None;
    }
    let from = template::source(from, build);
    let to = targets(to, "split", build)?;
    Some(Action::Split { from: from?, at: separator.into(), to })
}

fn join(node: &Node, build: &mut Build<'_>) -> Option<Action> {
    let fields = Fields::read(node, "join", &["from", "with", "to"], build)?;
    let from = fields.required("from", "join", build)?;
    let to = fields.required("to", "join", build)?;
    let values: Option<Vec<Value>> =
        one_or_many(from).into_iter().map(|node| template::value(node, build)).collect();
    let with = fields.get("with").and_then(Node::text).unwrap_or_default();
    Some(Action::Join { from: values?, with: with.into(), to: field(to, build)? })
}

fn date(node: &Node, build: &mut Build<'_>) -> Option<Action> {
    let short = node.text().is_some() || !node.items().is_empty();
    if short {
        return Some(Action::Date {
            at: targets(node, "date", build)?,
            from: None,
            to: hl7_date()?,
        });
    }
    let fields = Fields::read(node, "date", &["at", "from", "to"], build)?;
    let at = targets(fields.required("at", "date", build)?, "date", build);
    let from = match fields.get("from") {
        Some(node) => Some(pattern(node, build)?),
        None => None,
    };
    let to = match fields.get("to") {
        Some(node) => pattern(node, build)?,
        None => hl7_date()?,
    };
    Some(Action::Date { at: at?, from, to })
}

fn hl7_date() -> Option<Pattern> {
    Pattern::parse("YYYYMMDD")
}

fn pattern(node: &Node, build: &mut Build<'_>) -> Option<Pattern> {
    let found = node.text().and_then(Pattern::parse);
    if found.is_none() {
        build.error_hint(
            "E0323",
            node,
            "this is no form of a date",
            "written with YYYY MM DD HH mm ss, e.g. DD/MM/YYYY",
        );
    }
    found
}
