//! What a channel accepts: types, required fields, a condition; and how it recognises a repeat.
//!
//! Without `duplicate:`, a message with the same sender (MSH-3, MSH-4) and control id (MSH-10) within a
//! day is a repeat: answered again, not stored again; the same id with other content is held. Messages
//! without a control id, and those that are no HL7, have no such rule unless one is written.

use std::time::Duration;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::channel::build::Build;
use crate::channel::expr::parse::condition;
use crate::channel::expr::{Condition, Value, template};
use crate::channel::fields::{Fields, choice, duration, one_or_many};
use crate::channel::input::Input;
use crate::channel::reference::Reference;
use crate::channel::scope::Scope;
use crate::fhir::definitions::{TypeId, r4};
use crate::hl7::dictionary::tables;
use crate::hl7::path::{Path, Which};
use crate::hl7::strict;
use crate::message::verdict::{DuplicateRule, IfChanged, Location, Problem};
use crate::yaml::finding::Finding;
use crate::yaml::nearest::nearest;
use crate::yaml::node::{Node, Span};

/// How far back a repeat is recognised when nothing is written.
pub const WITHIN_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// What a channel accepts.
#[derive(Debug, Clone, Default)]
pub struct Accept {
    types: Vec<TypePattern>,
    require: Vec<Reference>,
    when: Option<Condition>,
    profile: Option<Box<str>>,
    otherwise: Otherwise,
    duplicate: Duplicate,
    /// Whether the bytes must be strictly as the standard says.
    pub strict: bool,
}

/// What becomes of messages that are not accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Otherwise {
    /// The sender is told.
    #[default]
    Refuse,
    /// They are stored and acknowledged, and go nowhere.
    Ignore,
}

#[derive(Debug, Clone)]
struct TypePattern {
    code: Box<str>,
    event: Option<Box<str>>,
}

#[derive(Debug, Clone, Default)]
enum Duplicate {
    #[default]
    Usual,
    Never,
    Rule {
        same: Vec<Value>,
        within: Duration,
        if_changed: IfChanged,
    },
}

/// What is said of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptance {
    /// Taken.
    Yes,
    /// Taken, and goes nowhere.
    Ignored,
    /// Not of a type that is listened for.
    OtherType(Problem),
    /// Refused for its content.
    No(Problem),
}

/// What can be done to a resource.
const INTERACTIONS: [&str; 4] = ["create", "update", "patch", "delete"];

/// What a Bundle can be, and what can be done to one that is kept as a resource.
const BUNDLE_EVENTS: [&str; 12] = [
    "transaction",
    "batch",
    "message",
    "collection",
    "document",
    "searchset",
    "history",
    "transaction-response",
    "create",
    "update",
    "patch",
    "delete",
];

/// The table of message types.
const MESSAGE_TYPES: u16 = 76;

const KEYS: [&str; 7] = ["types", "require", "when", "duplicate", "strict", "profile", "otherwise"];

impl Accept {
    /// Compiles `accept:`.
    pub fn compile(node: &Node, build: &mut Build<'_>) -> Self {
        let mut accept = Self::default();
        let Some(fields) = Fields::read(node, "accept", &KEYS, build) else { return accept };
        if let Some(types) = fields.get("types") {
            accept.types =
                one_or_many(types).into_iter().filter_map(|n| type_pattern(n, build)).collect();
        }
        if let Some(require) = fields.get("require") {
            for node in one_or_many(require) {
                let text = node.text().unwrap_or_default();
                let place = Reference::parse(text, 0..text.len(), &build.resources);
                accept.require.extend(build.noted(node, place));
            }
        }
        accept.when = fields.get("when").and_then(|node| condition(node, build));
        if let Some(node) = fields.get("duplicate") {
            accept.duplicate = duplicate(node, build).unwrap_or_default();
        }
        if let Some(node) = fields.get("strict") {
            let choices = [("true", true), ("false", false)];
            accept.strict = choice(node, "strict", &choices, build).unwrap_or_default();
        }
        if let Some(node) = fields.get("otherwise") {
            let choices = [("refuse", Otherwise::Refuse), ("ignore", Otherwise::Ignore)];
            accept.otherwise = choice(node, "otherwise", &choices, build).unwrap_or_default();
        }
        accept.profile = fields.get("profile").and_then(Node::text).map(Into::into);
        accept
    }

    /// The resource types among what is accepted, before anything else is compiled: paths without a type
    /// are relative to them.
    #[must_use]
    pub fn resources(node: &Node) -> Vec<TypeId> {
        let types = node.get("types").map(one_or_many).unwrap_or_default();
        let names = types.into_iter().filter_map(Node::text);
        names.filter_map(|name| r4().resource(name.split('^').next()?)).collect()
    }

    /// Whether a message is accepted.
    #[must_use]
    pub fn judge(&self, input: &Input, scope: &Scope<'_>) -> Acceptance {
        if let Some(problem) = self.type_problem(input) {
            return match self.otherwise {
                Otherwise::Refuse => Acceptance::OtherType(problem),
                Otherwise::Ignore => Acceptance::Ignored,
            };
        }
        if let Some(problem) = self.content_problem(input, scope) {
            return Acceptance::No(problem);
        }
        match &self.when {
            Some(condition) if !condition.holds(scope) => match self.otherwise {
                Otherwise::Ignore => Acceptance::Ignored,
                Otherwise::Refuse => {
                    Acceptance::No(problem(199, "the channel does not take this message"))
                }
            },
            _ => Acceptance::Yes,
        }
    }

    /// Whether this type is asked for by name.
    #[must_use]
    pub fn names(&self, event: &str) -> bool {
        let (code, event) = event.split_once('^').unwrap_or((event, ""));
        let fits = |wanted: &str| wanted == event;
        self.types
            .iter()
            .any(|pattern| &*pattern.code == code && pattern.event.as_deref().is_none_or(fits))
    }

    /// Whether a message of this type and event gets past `types`.
    #[must_use]
    pub fn lets_in(&self, event: &str) -> bool {
        self.types.is_empty() || self.otherwise == Otherwise::Ignore || self.names(event)
    }

    /// The events of a type that `types` names.
    pub fn events_of(&self, code: &str) -> impl Iterator<Item = &str> {
        let own = self.types.iter().filter(move |pattern| *pattern.code == *code);
        own.filter_map(|pattern| pattern.event.as_deref())
    }

    fn type_problem(&self, input: &Input) -> Option<Problem> {
        if self.types.is_empty() {
            return None;
        }
        let mut parts = input.event().split('^');
        let code = parts.next().unwrap_or_default();
        let event = parts.next().unwrap_or_default();
        let same_code = |pattern: &TypePattern| &*pattern.code == code;
        let known = self.types.iter().any(|pattern| {
            same_code(pattern) && pattern.event.as_deref().is_none_or(|wanted| wanted == event)
        });
        if known {
            return None;
        }
        let mut problem = if self.types.iter().any(same_code) {
            problem(201, "Unsupported event code")
        } else {
            problem(200, "Unsupported message type")
        };
        problem.reject = true;
        if input.hl7().is_none() {
            return Some(problem);
        }
        let component = if problem.code == 201 { 2 } else { 1 };
        problem.location = Some(Location {
            segment: "MSH".into(),
            sequence: 1,
            field: Some(9),
            repetition: Some(1),
            component: Some(component),
        });
        Some(problem)
    }

    fn content_problem(&self, input: &Input, scope: &Scope<'_>) -> Option<Problem> {
        if self.strict
            && let Some(message) = input.hl7()
            && let Some(problem) = strict::problems(message).into_iter().next()
        {
            return Some(problem);
        }
        if let (Some(profile), Some(message)) = (&self.profile, input.hl7())
            && !has_profile(message, profile)
        {
            let mut problem = problem(103, "the message does not state the expected profile");
            problem.location = Some(at(&"MSH-21".parse().ok()?));
            return Some(problem);
        }
        let missing = self.require.iter().find(|place| scope.read(place).is_empty())?;
        Some(missing_problem(missing))
    }

    /// How a repeat of this message is recognised.
    #[must_use]
    pub fn duplicate(
        &self,
        input: &Input,
        scope: &Scope<'_>,
        channel: &str,
    ) -> Option<DuplicateRule> {
        let mut identity = Xxh3::new();
        let mut add = |text: &[u8]| {
            identity.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            identity.update(text);
        };
        add(channel.as_bytes());
        let (within, if_changed) = match &self.duplicate {
            Duplicate::Never => return None,
            Duplicate::Usual => {
                let header = input.hl7()?.segments().find(|segment| segment.id == b"MSH")?;
                let control_id = header.field_bytes(10).filter(|id| !id.is_empty())?;
                add(header.field_bytes(3).unwrap_or_default());
                add(header.field_bytes(4).unwrap_or_default());
                add(control_id);
                (WITHIN_DEFAULT, IfChanged::Hold)
            }
            Duplicate::Rule { same, within, if_changed } => {
                let mut any = false;
                for value in same {
                    let found = value.eval(scope);
                    any |= !found.is_empty();
                    add(found.text().as_bytes());
                }
                if !any {
                    return None;
                }
                (*within, *if_changed)
            }
        };
        let content = xxh3_64(input.payload().expose());
        Some(DuplicateRule { identity: identity.digest(), content, within, if_changed })
    }
}

fn problem(code: u16, text: &str) -> Problem {
    Problem { code, location: None, text: text.to_owned(), reject: false }
}

fn missing_problem(missing: &Reference) -> Problem {
    match missing {
        Reference::Hl7(path) => {
            let (code, text) = match path.field() {
                Some(_) => (101, "Required field missing"),
                None => (100, "Required segment missing"),
            };
            Problem { location: Some(at(path)), ..problem(code, text) }
        }
        Reference::Json(_) | Reference::Fhir(_) | Reference::View(_) => {
            problem(101, &format!("Required value missing: {missing}"))
        }
    }
}

/// A path as a place in ERR-2.
#[must_use]
pub fn at(path: &Path) -> Location {
    let nth = |which: &Which| match which {
        Which::Nth(number) => number.get(),
        _ => 1,
    };
    let field = path.field();
    Location {
        segment: path.segment().to_owned(),
        sequence: nth(path.occurrence()),
        field: field.map(|field| field.number.get()),
        repetition: field.and_then(|field| match &field.repetition {
            Which::Unsaid if field.component.is_none() => None,
            which => Some(nth(which)),
        }),
        component: field.and_then(|field| field.component).map(std::num::NonZeroU32::get),
    }
}

/// Senders write profiles as `IHE_PCD_001`, or as the OID in any of MSH-21's components.
fn has_profile(message: &crate::hl7::raw::RawMessage, profile: &str) -> bool {
    let Some(header) = message.segments().find(|segment| segment.id == b"MSH") else {
        return false;
    };
    let sent = header.field_bytes(21).unwrap_or_default();
    let sent = String::from_utf8_lossy(sent);
    let oid = match profile {
        "IHE_PCD_001" => "1.3.6.1.4.1.19376.1.6.1.1.1",
        "IHE_PCD_003" => "1.3.6.1.4.1.19376.1.6.1.3.1",
        "IHE_PCD_004" => "1.3.6.1.4.1.19376.1.6.1.4.1",
        other => other,
    };
    sent.split(['^', '~', '&']).any(|part| part == profile || part == oid)
        || sent.replace(['-', '^'], "_").contains(&profile.replace('-', "_"))
}

fn type_pattern(node: &Node, build: &mut Build<'_>) -> Option<TypePattern> {
    let text = node.text().unwrap_or_default();
    let (code, event) = text.split_once('^').unwrap_or((text, "*"));
    let plain = |word: &str| {
        word.len() == 3 && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    if !plain(code) || (event != "*" && !plain(event)) {
        if code.chars().any(|c| c.is_ascii_lowercase()) {
            return resource_pattern(code, event, node, build);
        }
        let finding = Finding::error("E0330", node, format!("{text} is no message type"));
        let upper = text.to_uppercase().replace(['_', '-', ' '], "^");
        build.findings.push(if upper != text && upper.split('^').all(plain) {
            finding.hint(format!("did you mean {upper}?")).fix(upper)
        } else {
            finding.hint("a type and an event, e.g. ADT^A01, ADT^* or ORU")
        });
        return None;
    }
    let event = (event != "*").then(|| event.into());
    if !is_type(code) {
        let finding = Finding::error("E0330", node, format!("HL7 has no message type {code}"));
        build.findings.push(match nearest_type(code) {
            Some(near) => finding.hint(format!("did you mean {near}?")),
            None => finding.hint("e.g. ADT^A01, ADT^* or ORU").warning(),
        });
    }
    Some(TypePattern { code: code.into(), event })
}

/// `Patient`, `Patient^update`, `Bundle^transaction`, `message^admit` ($process-message).
fn resource_pattern(
    code: &str,
    event: &str,
    node: &Node,
    build: &mut Build<'_>,
) -> Option<TypePattern> {
    let names = || r4().resource_names();
    if code != "message" && !names().any(|name| name == code) {
        let finding = Finding::error("E0330", node, format!("FHIR R4 has no resource type {code}"));
        build.findings.push(match nearest(code, names()) {
            Some(near) if event == "*" => finding.hint(format!("did you mean {near}?")).fix(near),
            Some(near) => finding.hint(format!("did you mean {near}^{event}?")),
            None => finding.hint("e.g. Patient, Patient^update, Bundle or ADT^A01"),
        });
        return None;
    }
    let known: &[&str] = match code {
        "message" => &[],
        "Bundle" => &BUNDLE_EVENTS,
        _ => &INTERACTIONS,
    };
    if event != "*" && !known.is_empty() && !known.contains(&event) {
        let finding = Finding::error("E0330", node, format!("{code} has no event {event}"));
        build.findings.push(match nearest(event, known.iter().copied()) {
            Some(near) => {
                finding.hint(format!("did you mean {near}?")).fix(format!("{code}^{near}"))
            }
            None => finding.hint(format!("events: {}", known.join(", "))),
        });
        return None;
    }
    Some(TypePattern { code: code.into(), event: (event != "*").then(|| event.into()) })
}

/// Whether table 0076 knows the message type.
fn is_type(code: &str) -> bool {
    code.starts_with('Z') || tables::value(MESSAGE_TYPES, code).is_some()
}

fn nearest_type(code: &str) -> Option<&'static str> {
    nearest(code, tables::values(MESSAGE_TYPES).map(|(code, _)| code))
}

fn duplicate(node: &Node, build: &mut Build<'_>) -> Option<Duplicate> {
    if node.text() == Some("none") {
        return Some(Duplicate::Never);
    }
    let keys = ["same", "within", "reply", "if_changed"];
    let fields = Fields::read(node, "duplicate", &keys, build)?;
    let same = match fields.get("same") {
        Some(node) => sum(node, build)?,
        None => ["MSH-3", "MSH-4", "MSH-10"]
            .iter()
            .filter_map(|path| path.parse().ok())
            .map(|path| Value::At(Reference::Hl7(path)))
            .collect(),
    };
    let within = match fields.get("within") {
        Some(node) => duration(node, build)?,
        None => WITHIN_DEFAULT,
    };
    if let Some(node) = fields.get("reply") {
        choice(node, "reply", &[("ack_again", ())], build)?;
    }
    let choices =
        [("hold", IfChanged::Hold), ("refuse", IfChanged::Refuse), ("accept", IfChanged::Accept)];
    let if_changed = match fields.get("if_changed") {
        Some(node) => choice(node, "if_changed", &choices, build)?,
        None => IfChanged::Hold,
    };
    Some(Duplicate::Rule { same, within, if_changed })
}

/// `MSH-4 + MSH-10`: each value with its place.
fn sum(node: &Node, build: &mut Build<'_>) -> Option<Vec<Value>> {
    let text = node.text().unwrap_or_default();
    let mut values = Some(Vec::new());
    let mut from = 0;
    for part in text.split('+') {
        let blanks = part.len() - part.trim_start().len();
        let start = node.span.start + from + blanks;
        from += part.len() + 1;
        let part = Node {
            value: crate::yaml::node::Value::Scalar { text: part.trim().to_owned(), quoted: false },
            span: Span { start, end: start + part.trim().len() },
            source: std::sync::Arc::clone(&node.source),
        };
        match (template::source(&part, build), &mut values) {
            (Some(value), Some(values)) => values.push(value),
            _ => values = None,
        }
    }
    values
}
