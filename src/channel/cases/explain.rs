//! Why a test failed: what the values came from, and what a condition saw.

use std::collections::BTreeSet;

use crate::channel::cases::Place;
use crate::channel::cases::run::{Got, Happened, Sent};
use crate::channel::expr::{Condition, Test, Value};
use crate::channel::produce::Produce;
use crate::channel::scope::{Notes, Scope};
use crate::channel::{Channel, Destination};

/// Most reasons given.
const REASONS_MAX: usize = 4;

/// Why, and what would mend it.
#[derive(Debug, Clone, Default)]
pub(super) struct Reason {
    pub(super) because: Vec<String>,
    pub(super) fix: Option<String>,
}

impl Reason {
    /// Blanks are hard to see; say so.
    pub(super) fn mention_blanks(&mut self, expected: &str, found: &str) {
        if expected != found && expected == found.trim() {
            self.because.push("a blank stands at its end or beginning".to_owned());
            self.fix.get_or_insert_with(|| "trim(…)".to_owned());
        }
    }
}

/// A text as a report shows it: visible, and cut to a length.
pub(super) fn readable(text: &str, chars_max: usize) -> String {
    let cut: String = text.chars().take(chars_max).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    let shown: String = cut.chars().map(|c| if c == '\r' { '\n' } else { c }).collect();
    let edges = text != text.trim() || text.is_empty();
    if edges { format!("\"{shown}\"{more}") } else { format!("{shown}{more}") }
}

fn destination<'c>(channel: &'c Channel, name: &str) -> Option<&'c Destination> {
    channel.destinations.iter().find(|known| *known.name == *name)
}

/// Why a place holds what it holds.
pub(super) fn because(
    channel: &Channel,
    name: &str,
    place: &Place,
    got: &Got,
    happened: &Happened,
) -> Reason {
    let mut reason = Reason::default();
    let (Some(destination), Some(sent)) =
        (destination(channel, name), happened.sent.get(got.message))
    else {
        return reason;
    };
    if let Produce::Json(shape, _) = &destination.produce
        && let Some(value) = shape.value_at(&place.name)
    {
        with_scope(channel, sent, |scope| describe(value, scope, &mut reason));
    }
    reason.because.truncate(REASONS_MAX);
    reason
}

/// Why nothing was sent: refused, not accepted, or filtered by a condition.
pub(super) fn not_sent(channel: &Channel, name: &str, happened: &Happened) -> Reason {
    let mut reason = Reason::default();
    let Some(destination) = destination(channel, name) else { return reason };
    for (index, sent) in happened.sent.iter().enumerate() {
        if let Some(problem) = &sent.problem {
            reason.because.push(format!("message {} was refused: {}", index + 1, problem.text));
            continue;
        }
        let Some(when) = &destination.when else { continue };
        with_scope(channel, sent, |scope| {
            if !when.holds(scope) {
                let seen = seen(when, scope);
                reason.because.push(format!("its `when` does not hold: {seen}"));
            }
        });
    }
    reason.because.truncate(REASONS_MAX);
    reason
}

fn with_scope(channel: &Channel, sent: &Sent, ask: impl FnOnce(&Scope<'_>)) {
    let Ok(message) = sent.input.message() else { return };
    let facts = channel.facts(&sent.input, sent.context.received_at);
    let notes = Notes::passing();
    ask(&Scope::new(message, &facts, &notes));
}

/// Each thing a value is made of, with what it is for this message.
fn describe(value: &Value, scope: &Scope<'_>, reason: &mut Reason) {
    let mut parts = Vec::new();
    value.walk(&mut |part| parts.push(part));
    for part in parts {
        match part {
            Value::Lookup(lookup) => {
                let key = lookup.key.eval(scope).text().into_owned();
                let of = name_of(&lookup.key);
                let asked = format!("lookup({of}=\"{key}\", {})", lookup.table.path);
                if lookup.table.has(&key) {
                    let found = lookup.table.get(&key, lookup.column).unwrap_or_default();
                    reason.because.push(format!("{asked} found \"{found}\""));
                    continue;
                }
                reason.because.push(format!("{asked} found no row"));
                let Some(near) = lookup.table.nearest(&key) else { continue };
                let meant = lookup.table.get(near, lookup.column).unwrap_or_default();
                reason.because.push(format!("the nearest row is {near} -> {meant}"));
                if near == key.trim() {
                    reason.fix = Some(format!("trim({of})"));
                }
            }
            Value::At(reference) => {
                let found = scope.read(reference).text().into_owned();
                reason
                    .because
                    .push(format!("{reference} is \"{}\"", readable(&found, 80).trim_matches('"')));
            }
            _ => {}
        }
    }
}

fn name_of(value: &Value) -> String {
    match value {
        Value::At(reference) => reference.to_string(),
        Value::Call(..) => "…".to_owned(),
        _ => "value".to_owned(),
    }
}

/// What the values of a condition are: `MSH-9.2 is "A08"`.
fn seen(condition: &Condition, scope: &Scope<'_>) -> String {
    let mut values = Vec::new();
    gather(condition, &mut values);
    let mut shown = BTreeSet::new();
    for value in values {
        if let Value::At(reference) = value {
            let found = scope.read(reference);
            let text = found.text();
            shown.insert(format!("{reference} is \"{text}\""));
        }
    }
    shown.into_iter().collect::<Vec<_>>().join(", ")
}

fn gather<'c>(condition: &'c Condition, into: &mut Vec<&'c Value>) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().for_each(|part| gather(part, into));
        }
        Condition::Not(inner) => gather(inner, into),
        Condition::Segments { body, .. } => {
            if let Some(body) = body {
                gather(body, into);
            }
        }
        Condition::Test(value, test) => {
            value.walk(&mut |part| into.push(part));
            if let Test::Compare(_, right) = test {
                right.walk(&mut |part| into.push(part));
            }
        }
    }
}
