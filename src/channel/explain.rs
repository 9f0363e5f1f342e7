//! Why a destination was chosen or not: the parts of its `when`, each with what the message has there.

use std::fmt::Write as _;

use crate::channel::Channel;
use crate::channel::accept::Acceptance;
use crate::channel::expr::lex::Comparison;
use crate::channel::expr::{Condition, Quantifier, Test, Value};
use crate::channel::input::Input;
use crate::channel::scope::{Notes, Scope};
use crate::message::time::Timestamp;

/// Most parts told of one condition.
const TERMS_MAX: usize = 64;
/// Longest value told, in characters.
const VALUE_CHARS_MAX: usize = 200;

/// Why a destination was chosen or not. Its values are message content.
#[derive(Clone)]
pub struct Judged {
    /// Whether the channel takes the message at all.
    pub accepted: bool,
    /// The parts of the destination's `when`.
    pub terms: Vec<Term>,
}

/// One part of a condition.
#[derive(Clone)]
pub struct Term {
    /// As a channel file says it.
    pub text: String,
    /// What the message has there.
    pub value: String,
    /// Whether it holds.
    pub holds: bool,
}

impl std::fmt::Debug for Judged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Judged({}, {} terms)", self.accepted, self.terms.len())
    }
}

impl std::fmt::Debug for Term {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Term({}: {})", self.text, self.holds)
    }
}

impl Channel {
    /// Why a destination is chosen or not; `None` when there is no such destination, or the message cannot
    /// be read.
    #[must_use]
    pub fn explain(&self, destination: &str, input: &Input) -> Option<Judged> {
        let found = self.destinations.iter().find(|known| *known.name == *destination)?;
        let message = input.message().ok()?;
        let facts = self.facts(input, Timestamp::default());
        let notes = Notes::passing();
        let scope = Scope::new(message, &facts, &notes);
        let accepted = matches!(self.accept.judge(input, &scope), Acceptance::Yes);
        let mut terms = Vec::new();
        if let Some(when) = &found.when {
            gather(when, &scope, &mut terms);
        }
        Some(Judged { accepted, terms })
    }
}

fn gather(condition: &Condition, scope: &Scope<'_>, terms: &mut Vec<Term>) {
    if terms.len() >= TERMS_MAX {
        return;
    }
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().for_each(|part| gather(part, scope, terms));
        }
        leaf => terms.push(Term {
            text: text(leaf),
            value: value(leaf, scope).chars().take(VALUE_CHARS_MAX).collect(),
            holds: leaf.holds(scope),
        }),
    }
}

/// What the message has where a condition looks.
fn value(condition: &Condition, scope: &Scope<'_>) -> String {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().map(|part| value(part, scope)).collect::<Vec<_>>().join(", ")
        }
        Condition::Not(inner) => value(inner, scope),
        // How many segments satisfy it.
        Condition::Segments { segment, body, .. } => {
            let each = scope.each(*segment);
            let all = each.len();
            let fit = each.iter().filter(|at| body.as_ref().is_none_or(|body| body.holds(at)));
            format!("{} / {all}", fit.count())
        }
        Condition::Test(value, _) => {
            let found = value.eval(scope);
            let members: Vec<String> =
                found.members().iter().map(|member| member.text().into_owned()).collect();
            members.join(", ")
        }
    }
}

/// A condition as a channel file says it.
fn text(condition: &Condition) -> String {
    let joined = |parts: &[Condition], word: &str| {
        let parts: Vec<String> = parts.iter().map(text).collect();
        format!("({})", parts.join(word))
    };
    match condition {
        Condition::All(parts) => joined(parts, " and "),
        Condition::Any(parts) => joined(parts, " or "),
        Condition::Not(inner) => match &**inner {
            Condition::Test(value, Test::Is(list)) => {
                format!("{} is not {}", name(value), words(list))
            }
            Condition::Test(value, Test::Empty) => format!("{} is not empty", name(value)),
            Condition::Test(value, Test::Null) => format!("{} is not null", name(value)),
            Condition::Test(value, Test::In(table)) => {
                format!("{} not in {}", name(value), table.path)
            }
            other => format!("not {}", text(other)),
        },
        Condition::Segments { quantifier, segment, body } => {
            let quantifier = match quantifier {
                Quantifier::Any => "any",
                Quantifier::Every => "every",
                Quantifier::No => "no",
            };
            let mut said = format!("{quantifier} {}", String::from_utf8_lossy(segment));
            if let Some(body) = body {
                let _written = write!(said, " has {}", text(body));
            }
            said
        }
        Condition::Test(value, test) => format!("{} {}", name(value), tested(test)),
    }
}

fn tested(test: &Test) -> String {
    match test {
        Test::Is(list) => format!("is {}", words(list)),
        Test::Empty => "is empty".to_owned(),
        Test::Null => "is null".to_owned(),
        Test::Contains(list) => format!("contains {}", words(list)),
        Test::StartsWith(list) => format!("starts with {}", words(list)),
        Test::EndsWith(list) => format!("ends with {}", words(list)),
        Test::Matches(regex) => format!("matches /{regex}/"),
        Test::In(table) => format!("in {}", table.path),
        Test::Compare(comparison, right) => {
            let sign = match comparison {
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterOrEqual => ">=",
            };
            format!("{sign} {}", name(right))
        }
    }
}

fn words(values: &[Value]) -> String {
    values.iter().map(name).collect::<Vec<_>>().join(" or ")
}

fn name(value: &Value) -> String {
    match value {
        Value::Text(text) if text.is_empty() || text.contains(char::is_whitespace) => {
            format!("\"{text}\"")
        }
        Value::Text(text) => text.to_string(),
        Value::At(reference) => reference.to_string(),
        Value::Kind => "kind".to_owned(),
        Value::Event => "event".to_owned(),
        Value::Now => "now".to_owned(),
        Value::Channel => "channel".to_owned(),
        Value::Call(function, arguments) => {
            let arguments: Vec<String> = arguments.iter().map(name).collect();
            format!("{}({})", format!("{function:?}").to_lowercase(), arguments.join(", "))
        }
        Value::Lookup(lookup) => lookup.written.to_string(),
        Value::Template(parts) => parts
            .iter()
            .map(|part| match part {
                Value::Text(text) => text.to_string(),
                other => format!("<{}>", name(other)),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use bytes::Bytes;

    use crate::channel::bundle::Bundle;
    use crate::channel::compile::compile;
    use crate::channel::input::Input;
    use crate::hl7::raw::ReadOptions;
    use crate::message::kind::ContentType;
    use crate::message::payload::Payload;
    use crate::yaml::node::Source;
    use crate::yaml::parse::parse;

    const ADT: &str = "MSH|^~\\&|A|B|C|D|2026||ADT^A01|7|P|2.5\rPID|1||P1||Doe^Jane\rPV1|1|O\rOBX|1||K||7\rOBX|2||N||8\r";

    fn check(when: &str, expected: &[(&str, &str, bool)]) {
        let text = format!("channel: a\nto:\n  lis:\n    when: {when}\n");
        let (root, _) = parse(Arc::new(Source { name: "a".to_owned(), text }));
        let bundle = Bundle::new(Bytes::new(), BTreeMap::new());
        let (channel, findings) = compile(&root.unwrap(), &bundle);
        assert!(findings.is_empty(), "{findings:?}");
        let payload = Payload::new(Bytes::from(ADT));
        let input = Input::new(payload, ContentType::Hl7v2, ReadOptions::default());
        let judged = channel.unwrap().explain("lis", &input).unwrap();
        assert!(judged.accepted);
        let found: Vec<_> = judged
            .terms
            .iter()
            .map(|term| (term.text.as_str(), term.value.as_str(), term.holds))
            .collect();
        assert_eq!(found, expected, "{when}");
    }

    #[test]
    fn each_part_of_a_filter_is_told_with_what_the_message_has() {
        check("PV1-2 is I or E", &[("PV1-2 is I or E", "O", false)]);
        check(
            "MSH-9.2 is A01 and PV1-2 is not O",
            &[("MSH-9.2 is A01", "A01", true), ("PV1-2 is not O", "O", false)],
        );
        check(
            "any OBX has OBX-3 is K or PID-5.1 is empty",
            &[("any OBX has (OBX-3 is K or PID-5.1 is empty)", "1 / 2", true)],
        );
        check("upper(PID-5.2) starts with JA", &[("upper(PID-5.2) starts with JA", "JANE", true)]);
    }
}
