//! The paths of search parameters, compiled: what R4's 1,378 expressions use and no more. Resolved by
//! member name, since a search needs each value's shape but not its type.

use serde_json::Value;

/// Where the values of a parameter stand in a resource of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression {
    /// All that these paths find.
    Paths(Vec<Vec<Step>>),
    /// Whether the first is there and is not `false` (`Patient.deceased`).
    Holds(Vec<Step>),
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// An element; of a choice (`value[x]`), whatever type it has.
    Element(Box<str>),
    /// An element of a choice, of this type only.
    Typed(Box<str>, Box<str>),
    /// Only those whose member has this text.
    Where(Box<str>, Box<str>),
    /// Only references to this type.
    RefersTo(Box<str>),
    /// Only the first.
    First,
}

/// The types a choice of R4 can have, as they end its name.
const CHOICES: [&str; 34] = [
    "Address",
    "Age",
    "Annotation",
    "Attachment",
    "Base64Binary",
    "Boolean",
    "Canonical",
    "Code",
    "CodeableConcept",
    "Coding",
    "ContactPoint",
    "Date",
    "DateTime",
    "Decimal",
    "Duration",
    "HumanName",
    "Id",
    "Identifier",
    "Instant",
    "Integer",
    "Markdown",
    "Money",
    "Oid",
    "Period",
    "PositiveInt",
    "Quantity",
    "Range",
    "Ratio",
    "Reference",
    "SampledData",
    "String",
    "Time",
    "Timing",
    "Uri",
];

impl Expression {
    /// The part of a parameter's expression that starts at `kind` (or at `Resource`); `None` when there is
    /// none, or when it uses what is not known here.
    pub(super) fn compile(text: &str, kind: &str) -> Option<Self> {
        if let Some((path, rest)) = text.split_once(".exists() and ") {
            let same = rest.strip_suffix(" != false")? == path;
            return same.then(|| steps(path, kind)).flatten().map(Self::Holds);
        }
        let mut paths = Vec::new();
        for part in text.split(" | ") {
            // One expression of R4 leaves its type out.
            let whole = format!("{kind}.{part}");
            let bare = part.starts_with(|first: char| first.is_ascii_lowercase());
            let part = if bare { &whole } else { part };
            let starts = part.trim_start_matches('(').split('.').next()?;
            if ![kind, "Resource", "DomainResource"].contains(&starts) {
                continue;
            }
            paths.push(steps(part, starts)?);
        }
        (!paths.is_empty()).then_some(Self::Paths(paths))
    }

    /// The values in a resource.
    pub(super) fn find<'a>(&self, resource: &'a Value) -> Found<'a> {
        match self {
            Self::Paths(paths) => {
                Found::Values(paths.iter().flat_map(|path| find(path, resource)).collect())
            }
            Self::Holds(path) => {
                let found = find(path, resource);
                Found::Holds(found.first().is_some_and(|value| **value != Value::Bool(false)))
            }
        }
    }
}

/// What an expression finds.
pub(super) enum Found<'a> {
    /// Values of the resource.
    Values(Vec<&'a Value>),
    /// Yes or no.
    Holds(bool),
}

/// Splits at the dots that stand outside parentheses.
fn parts(text: &str) -> Option<Vec<String>> {
    let (mut parts, mut part, mut depth) = (Vec::new(), String::new(), 0_u32);
    for letter in text.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            '.' if depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(letter);
    }
    parts.push(part);
    (depth == 0).then_some(parts)
}

fn steps(text: &str, starts: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for (place, part) in parts(text)?.into_iter().enumerate() {
        if let Some(inner) = part.strip_prefix('(').and_then(|part| part.strip_suffix(')')) {
            // Parentheses stand around a whole path, at its start.
            steps = (place == 0).then(|| self::steps(inner, starts)).flatten()?;
        } else if place == 0 {
            (part == starts).then_some(())?;
        } else if let Some(call) = part.strip_suffix(')') {
            let (name, argument) = call.split_once('(')?;
            match name {
                "ofType" => match steps.pop()? {
                    Step::Element(element) => steps.push(Step::Typed(element, capital(argument))),
                    _ => return None,
                },
                "where" => steps.push(condition(argument)?),
                _ => return None,
            }
        } else if let Some(element) = part.strip_suffix("[0]") {
            steps.extend([Step::Element(element.into()), Step::First]);
        } else {
            steps.push(Step::Element(part.into()));
        }
    }
    Some(steps)
}

fn capital(name: &str) -> Box<str> {
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect::<String>().into()
}

fn condition(text: &str) -> Option<Step> {
    if let Some(kind) = text.strip_prefix("resolve() is ") {
        return Some(Step::RefersTo(kind.into()));
    }
    let (member, value) = text.split_once('=')?;
    let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    Some(Step::Where(member.trim().into(), value.into()))
}

fn find<'a>(path: &[Step], resource: &'a Value) -> Vec<&'a Value> {
    let mut found = vec![resource];
    for step in path {
        if found.is_empty() {
            break;
        }
        let mut next = Vec::new();
        match step {
            Step::Element(name) => found.iter().for_each(|value| element(value, name, &mut next)),
            Step::Typed(name, kind) => {
                let member = format!("{name}{kind}");
                found.iter().filter_map(|value| value.get(&member)).for_each(|value| {
                    push(value, &mut next);
                });
            }
            Step::Where(member, text) => next.extend(
                found
                    .iter()
                    .copied()
                    .filter(|value| value.get(&**member).and_then(Value::as_str) == Some(text)),
            ),
            Step::RefersTo(kind) => {
                next.extend(found.iter().copied().filter(|value| refers_to(value, kind)));
            }
            Step::First => next.extend(found.first()),
        }
        found = next;
    }
    found
}

fn element<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    let Some(members) = value.as_object() else { return };
    if let Some(value) = members.get(name) {
        push(value, found);
        return;
    }
    let choice = members.iter().find(|(member, _)| {
        member.strip_prefix(name).is_some_and(|kind| CHOICES.binary_search(&kind).is_ok())
    });
    if let Some((_, value)) = choice {
        push(value, found);
    }
}

fn push<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Array(values) => found.extend(values.iter().filter(|value| !value.is_null())),
        Value::Null => {}
        value => found.push(value),
    }
}

/// By the reference's `type`, or by what its text says.
fn refers_to(value: &Value, kind: &str) -> bool {
    if value.get("type").and_then(Value::as_str) == Some(kind) {
        return true;
    }
    let Some(text) = value.get("reference").and_then(Value::as_str) else {
        // A reference that says neither may be to this type: it is found by its identifier alone.
        return value.get("type").is_none() && value.get("identifier").is_some();
    };
    let plain = text.split("/_history/").next().unwrap_or_default();
    let mut parts = plain.rsplit('/');
    parts.next().is_some() && parts.next() == Some(kind)
}
