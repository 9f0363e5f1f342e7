//! Evaluates values and conditions. Total: whatever the message holds, there is an answer.

use std::borrow::Cow;
use std::sync::Arc;

use crate::channel::expr::fhir;
use crate::channel::expr::function::Function;
use crate::channel::expr::lex::Comparison;
use crate::channel::expr::{Condition, Lookup, Quantifier, Test, Value};
use crate::channel::iso;
use crate::channel::reference::Reference;
use crate::channel::scope::{Miss, Scope, Val};

/// What to do with a lookup that finds no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmapped {
    /// Nothing is sent until a person adds the row.
    Hold,
    /// The value goes on as it is.
    Pass,
    /// The delivery is set aside for good.
    Reject,
    /// This text stands instead.
    Default(Box<str>),
}

/// Longest text a `pad` makes.
const PAD_MAX: usize = 1024;

impl Value {
    /// Its value. A lookup that finds no row is noted and gives the value looked up.
    #[must_use]
    pub fn eval<'m>(&'m self, scope: &Scope<'m>) -> Val<'m> {
        match self {
            Self::Text(text) => Val::of(&**text),
            Self::At(reference) => scope.read(reference),
            Self::Kind => Val::of(scope.facts.kind.name()),
            Self::Event => Val::of(&*scope.facts.event),
            Self::Channel => Val::of(&*scope.facts.channel),
            Self::Now => Val::of(iso::hl7_of(scope.facts.received_at)),
            Self::Call(function, arguments) => call(*function, arguments, scope),
            Self::Lookup(lookup) => look_up(lookup, scope),
            Self::Template(_) => Val::of(self.fill(scope, &|text| Cow::Borrowed(text))),
        }
    }

    /// Its text, each inserted value passed through `escape`; what is written around them is not.
    #[must_use]
    pub fn fill<'m>(
        &'m self,
        scope: &Scope<'m>,
        escape: &dyn for<'t> Fn(&'t str) -> Cow<'t, str>,
    ) -> String {
        match self {
            Self::Template(parts) => {
                let mut filled = String::new();
                for part in parts {
                    match part {
                        Self::Text(text) => filled.push_str(text),
                        part => filled.push_str(&escape(&part.eval(scope).text())),
                    }
                }
                filled
            }
            Self::Text(text) => text.to_string(),
            other => escape(&other.eval(scope).text()).into_owned(),
        }
    }

    /// Whether it is the same for every message.
    #[must_use]
    pub const fn is_fixed(&self) -> bool {
        matches!(self, Self::Text(_))
    }
}

/// The translation of a value; what has no row is noted.
pub(in crate::channel) fn look_up<'m>(lookup: &'m Lookup, scope: &Scope<'m>) -> Val<'m> {
    let key = lookup.key.eval(scope);
    if key.is_empty() || key == Val::Null {
        return key;
    }
    each_text(key, &|text| match lookup.table.get(&text, lookup.column) {
        Some(found) => Val::of(found),
        None => {
            let policy = &scope.notes.unmapped;
            scope.notes.unmapped(policy, || Miss {
                written: Arc::clone(&lookup.written),
                table: Arc::clone(&lookup.table.path),
                nearest: lookup.table.nearest(&text).map(str::to_owned),
                key: text.clone().into_owned(),
            });
            match policy {
                Unmapped::Default(instead) => Val::of(&**instead),
                _ => Val::of(text),
            }
        }
    })
}

/// The same for a text or for each of several; null stays null.
fn each_text<'v>(value: Val<'v>, change: &dyn Fn(Cow<'v, str>) -> Val<'v>) -> Val<'v> {
    match value {
        Val::Empty => Val::Empty,
        Val::Null => Val::Null,
        Val::Text(text) => change(text),
        Val::List(members) => {
            Val::List(members.into_iter().map(|member| each_text(member, change)).collect())
        }
        structured => change(Cow::Owned(structured.text().into_owned())),
    }
}

fn call<'m>(function: Function, arguments: &'m [Value], scope: &Scope<'m>) -> Val<'m> {
    let value = |n: usize| arguments.get(n).map_or(Val::Empty, |argument| argument.eval(scope));
    let text = |n: usize| value(n).text().into_owned();
    match function {
        Function::Trim => each_text(value(0), &|text| Val::of(text.trim().to_owned())),
        Function::Upper => each_text(value(0), &|text| Val::of(text.to_uppercase())),
        Function::Lower => each_text(value(0), &|text| Val::of(text.to_lowercase())),
        Function::Date => {
            each_text(value(0), &|text| Val::of(iso::date(&text).unwrap_or_default()))
        }
        Function::DateTime => {
            let zone = iso::message_zone(scope);
            each_text(value(0), &|text| {
                Val::of(iso::date_time(&text, zone.as_deref()).unwrap_or_default())
            })
        }
        Function::Concat => {
            Val::of(arguments.iter().map(|a| a.eval(scope).text().into_owned()).collect::<String>())
        }
        Function::First => {
            arguments.iter().map(|a| a.eval(scope)).find(|v| !v.is_empty()).unwrap_or(Val::Empty)
        }
        Function::Substring => {
            let from = whole(&text(1)).unwrap_or(1).max(1);
            let length =
                if arguments.len() > 2 { whole(&text(2)).unwrap_or(0) } else { usize::MAX };
            each_text(value(0), &|text| {
                Val::of(text.chars().skip(from - 1).take(length).collect::<String>())
            })
        }
        Function::Replace => {
            let (old, new) = (text(1), text(2));
            each_text(value(0), &|text| {
                Val::of(if old.is_empty() { text.into_owned() } else { text.replace(&old, &new) })
            })
        }
        Function::Pad => {
            let width = whole(&text(1)).unwrap_or(0).min(PAD_MAX);
            let filler = text(2).chars().next().unwrap_or(' ');
            each_text(value(0), &|text| {
                let missing = width.saturating_sub(text.chars().count());
                Val::of(
                    std::iter::repeat_n(filler, missing).chain(text.chars()).collect::<String>(),
                )
            })
        }
        Function::Split => {
            split(&value(0).text(), &text(1), (arguments.len() > 2).then(|| text(2)))
        }
        Function::Join => {
            let list = value(0);
            let members: Vec<String> =
                list.members().iter().map(|m| m.text().into_owned()).collect();
            Val::of(members.join(&text(1)))
        }
        Function::Number => number(&value(0)),
        Function::Raw => raw(arguments, scope),
        Function::Text => value(0),
        Function::Identifiers
        | Function::HumanName
        | Function::Address
        | Function::Telecom
        | Function::Codeable => match arguments.first() {
            Some(Value::At(Reference::Hl7(path))) => fhir::build(function, path, scope),
            _ => Val::Empty,
        },
    }
}

fn whole(text: &str) -> Option<usize> {
    text.trim().parse().ok()
}

fn split(text: &str, separator: &str, nth: Option<String>) -> Val<'static> {
    let parts: Vec<&str> =
        if separator.is_empty() { vec![text] } else { text.split(separator).collect() };
    match nth {
        Some(nth) => {
            let part = whole(&nth).and_then(|n| n.checked_sub(1)).and_then(|n| parts.get(n));
            Val::of(part.copied().unwrap_or_default().to_owned())
        }
        None => Val::List(parts.into_iter().map(|part| Val::of(part.to_owned())).collect()),
    }
}

/// A JSON number with the digits sent; empty when the text is no number.
fn number(value: &Val<'_>) -> Val<'static> {
    if *value == Val::Null {
        return Val::Null;
    }
    let text = value.text();
    let plain = text.trim().trim_start_matches('+');
    if let Ok(whole) = plain.parse::<i64>() {
        return Val::Json(whole.into());
    }
    let float = plain.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
    float.map_or(Val::Empty, |number| Val::Json(serde_json::Value::Number(number)))
}

fn raw<'m>(arguments: &'m [Value], scope: &Scope<'m>) -> Val<'m> {
    match (arguments.first(), scope.message) {
        (Some(Value::At(Reference::Hl7(path))), crate::channel::scope::Message::Hl7(message)) => {
            Val::of(message.charset().decode_lossy(scope.value(path).raw()))
        }
        (Some(other), _) => other.eval(scope),
        (None, _) => Val::Empty,
    }
}

impl Condition {
    /// Whether it holds.
    #[must_use]
    pub fn holds(&self, scope: &Scope<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(scope)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(scope)),
            Self::Not(inner) => !inner.holds(scope),
            Self::Segments { quantifier, segment, body } => {
                let body = |scope: &Scope<'_>| body.as_ref().is_none_or(|body| body.holds(scope));
                let mut segments = scope.each(*segment).into_iter();
                match quantifier {
                    Quantifier::Any => segments.any(|scope| body(&scope)),
                    Quantifier::Every => segments.all(|scope| body(&scope)),
                    Quantifier::No => !segments.any(|scope| body(&scope)),
                }
            }
            Self::Test(value, test) => tested(value, test, scope),
        }
    }
}

fn tested<'m>(value: &'m Value, test: &'m Test, scope: &Scope<'m>) -> bool {
    let found = value.eval(scope);
    let any = |values: &'m [Value], matches: &dyn Fn(&str, &str) -> bool| {
        values.iter().any(|wanted| {
            let wanted = wanted.eval(scope);
            let wanted = wanted.text();
            found.members().iter().any(|member| matches(&member.text(), &wanted))
        })
    };
    match test {
        Test::Empty => found.is_empty(),
        Test::Null => found == Val::Null,
        Test::Is(values) => {
            any(values, &|text, wanted| text == wanted)
                || (found.is_empty() && values.iter().any(|wanted| wanted.eval(scope).is_empty()))
        }
        Test::Contains(values) => any(values, &|text, wanted| text.contains(wanted)),
        Test::StartsWith(values) => any(values, &|text, wanted| text.starts_with(wanted)),
        Test::EndsWith(values) => any(values, &|text, wanted| text.ends_with(wanted)),
        Test::Matches(regex) => found.members().iter().any(|member| regex.is_match(&member.text())),
        Test::In(table) => found.members().iter().any(|member| table.has(&member.text())),
        Test::Compare(comparison, right) => {
            let right = right.eval(scope);
            let right = right.text();
            found.members().iter().any(|member| compared(&member.text(), *comparison, &right))
        }
    }
}

/// Compared as dates when both are dates, else as numbers; false when they are neither.
fn compared(left: &str, comparison: Comparison, right: &str) -> bool {
    let order = iso::compare(left, right).or_else(|| {
        let (left, right) = (left.trim().parse::<f64>().ok()?, right.trim().parse::<f64>().ok()?);
        left.partial_cmp(&right)
    });
    order.is_some_and(|order| match comparison {
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    })
}
