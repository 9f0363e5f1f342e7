//! One parameter of a search as a criterion: modifiers, prefixes, escapes, chains.

use crate::message::fold::fold;
use crate::message::resource::{Criterion, Prefix, Test};
use crate::message::time::Timestamp;

use super::Reading;
use super::index::{is_type, of_type, of_type_value, target, told_by};
use super::parameters::{self, Parameter, ParameterType};
use super::span::span;

/// Values of one parameter, at most.
const VALUES_MAX: usize = 200;

/// What came of a parameter.
pub(super) enum Asked {
    /// A criterion.
    Criterion(Criterion),
    /// There is no such parameter.
    Unknown(&'static str),
}

/// What is wrong with a parameter.
pub(super) struct Wrong {
    /// A code of `issue-type`: what it says is wrong, or is right and not offered here.
    pub(super) issue: &'static str,
    /// In words.
    pub(super) reason: String,
}

impl Wrong {
    /// What it says cannot be meant.
    pub(super) fn value(reason: impl Into<String>) -> Self {
        Self { issue: "value", reason: reason.into() }
    }

    /// FHIR has it; it is not offered here.
    pub(super) fn unsupported(reason: &str) -> Self {
        Self { issue: "not-supported", reason: reason.into() }
    }
}

impl From<String> for Wrong {
    fn from(reason: String) -> Self {
        Self::value(reason)
    }
}

/// The criterion of `name=value` for resources of `kind`. `Err` says what is wrong with it.
pub(super) fn ask(kind: &str, name: &str, value: &str, reading: &Reading) -> Result<Asked, Wrong> {
    if let Some(rest) = name.strip_prefix("_has:") {
        return has(kind, rest, value, reading);
    }
    if let Some((link, rest)) = name.split_once('.') {
        return chain(kind, link, rest, value, reading);
    }
    let (code, modifier) = match name.split_once(':') {
        Some((code, modifier)) => (code, Some(modifier)),
        None => (name, None),
    };
    let Some(parameter) = parameters::find(kind, code) else {
        return Ok(Asked::Unknown("there is no such search parameter here"));
    };
    if modifier == Some("missing") {
        let missing = match value {
            "true" => true,
            "false" => false,
            _ => return Err(Wrong::value("`:missing` is either true or false")),
        };
        return Ok(criterion(code, vec![Test::Missing(missing)], false));
    }
    let values = split(value, ',');
    if values.len() > VALUES_MAX {
        return Err(Wrong::value(format!("at most {VALUES_MAX} values may stand here")));
    }
    let values = values.iter().filter(|value| !value.is_empty());
    let tests: Result<Vec<Test>, Wrong> =
        values.map(|value| test(parameter, modifier, value, reading)).collect();
    let tests = tests?;
    if tests.is_empty() {
        return Err(Wrong::value("a value is missing"));
    }
    Ok(match modifier {
        Some("of-type") => criterion(&of_type(code), tests, false),
        Some("text") => criterion(&told_by(code), tests, false),
        modifier => criterion(code, tests, modifier == Some("not")),
    })
}

fn criterion(param: &str, any: Vec<Test>, negate: bool) -> Asked {
    Asked::Criterion(Criterion { param: param.into(), any, negate })
}

/// `subject:Patient.name=…`, `patient.name=…`: one level.
fn chain(
    kind: &str,
    link: &str,
    rest: &str,
    value: &str,
    reading: &Reading,
) -> Result<Asked, Wrong> {
    if rest.contains('.') {
        return Err(Wrong::unsupported("a chain has one level here"));
    }
    let (code, of) = match link.split_once(':') {
        Some((code, of)) => (code, Some(of)),
        None => (link, None),
    };
    let Some(parameter) = parameters::find(kind, code) else {
        return Ok(Asked::Unknown("there is no such search parameter here"));
    };
    if parameter.kind != ParameterType::Reference {
        return Err(Wrong::value("a chain begins with a reference"));
    }
    let targets: Vec<&str> = match of {
        Some(of) if parameter.targets.contains(&of) => vec![of],
        Some(_) => return Err(Wrong::value("it does not refer to this type")),
        None => parameter.targets.clone(),
    };
    let mut tests = Vec::new();
    for target in targets {
        if let Asked::Criterion(criterion) = ask(target, rest, value, reading)? {
            let (kind, criterion) = (target.into(), Box::new(criterion));
            tests.push(Test::Chain { kind, criterion });
        }
    }
    if tests.is_empty() {
        return Ok(Asked::Unknown("what it refers to has no such search parameter"));
    }
    Ok(criterion(code, tests, false))
}

/// `_has:Observation:patient:code=…`: resources that others refer to (FHIR R4 search.html#has); one level.
fn has(kind: &str, rest: &str, value: &str, reading: &Reading) -> Result<Asked, Wrong> {
    let mut parts = rest.splitn(3, ':');
    let (Some(source), Some(link), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Wrong::value("it has the form _has:Type:reference:parameter"));
    };
    if name.starts_with("_has:") || name.contains('.') {
        return Err(Wrong::unsupported("`_has` has one level here"));
    }
    let Some(parameter) = parameters::find(source, link) else {
        return Ok(Asked::Unknown("that type has no such search parameter"));
    };
    if !parameter.targets.contains(&kind) {
        return Err(Wrong::value("`_has` names a reference to the type that is searched for"));
    }
    Ok(match ask(source, name, value, reading)? {
        Asked::Criterion(further) => {
            let (kind, param, further) = (source.into(), link.into(), Box::new(further));
            criterion("_id", vec![Test::Has { kind, param, criterion: further }], false)
        }
        unknown => unknown,
    })
}

fn test(
    parameter: &Parameter,
    modifier: Option<&str>,
    value: &str,
    reading: &Reading,
) -> Result<Test, Wrong> {
    let unsupported = || Wrong::unsupported("this modifier is not supported here");
    Ok(match (parameter.kind, modifier) {
        (ParameterType::Token, None | Some("not")) => token(value)?,
        (ParameterType::Token, Some("of-type")) => typed_identifier(value)?,
        (ParameterType::String, None) => Test::Starts(fold(&unescaped(value)).into()),
        (ParameterType::Token, Some("text")) | (ParameterType::String, Some("contains")) => {
            Test::Contains(fold(&unescaped(value)).into())
        }
        (ParameterType::String, Some("exact")) => Test::Exact(unescaped(value).into()),
        (ParameterType::Date, None) => date(value, reading)?,
        (ParameterType::Quantity | ParameterType::Number, None) => quantity(value)?,
        (ParameterType::Uri, None) => Test::Uri(unescaped(value).into()),
        (ParameterType::Reference, Some("identifier")) => identifier(value)?,
        (ParameterType::Reference, modifier) => {
            reference(parameter, modifier, value, reading).ok_or_else(unsupported)?
        }
        (ParameterType::Composite, None) => composite(parameter, value, reading)?,
        _ => return Err(unsupported()),
    })
}

/// `code$value`: a value for each part, of one element (FHIR R4 search.html#composite).
fn composite(parameter: &Parameter, value: &str, reading: &Reading) -> Result<Test, Wrong> {
    let values = split(value, '$');
    let parts = &parameter.components;
    if values.len() != parts.len() {
        return Err(Wrong::value(format!("it has {} values, divided by $", parts.len())));
    }
    let tests = parts.iter().zip(values);
    let tests = tests.map(|(part, value)| test(&part.parameter, None, value, reading));
    Ok(Test::Tuple(tests.collect::<Result<_, _>>()?))
}

fn token(value: &str) -> Result<Test, String> {
    let parts = split(value, '|');
    let parts: Vec<Box<str>> = parts.iter().map(|part| unescaped(part).into()).collect();
    match parts.as_slice() {
        [code] => Ok(Test::Token { system: None, code: Some(code.clone()) }),
        [system, code] if system.is_empty() && code.is_empty() => {
            Err("a code or a system is missing".to_owned())
        }
        [system, code] => {
            let code = Some(code.clone()).filter(|code| !code.is_empty());
            Ok(Test::Token { system: Some(system.clone()), code })
        }
        _ => Err("it has the form [system]|[code]".to_owned()),
    }
}

fn typed_identifier(value: &str) -> Result<Test, String> {
    let parts = split(value, '|');
    let parts: Vec<String> = parts.iter().map(|part| unescaped(part)).collect();
    match parts.as_slice() {
        [system, code, value] if !code.is_empty() && !value.is_empty() => {
            let system = (!system.is_empty()).then(|| system.as_str().into());
            Ok(Test::Token { system, code: Some(of_type_value(code, value).into()) })
        }
        _ => Err("it has the form [system]|[code]|[value]".to_owned()),
    }
}

fn identifier(value: &str) -> Result<Test, String> {
    let parts = split(value, '|');
    let parts: Vec<Box<str>> = parts.iter().map(|part| unescaped(part).into()).collect();
    match parts.as_slice() {
        [value] => Ok(Test::ReferenceIdentifier { system: None, value: value.clone() }),
        [system, value] if !value.is_empty() => {
            let system = Some(system.clone());
            Ok(Test::ReferenceIdentifier { system, value: value.clone() })
        }
        _ => Err("it has the form [system]|[value]".to_owned()),
    }
}

/// `None` when the modifier is no type it may refer to.
fn reference(
    parameter: &Parameter,
    modifier: Option<&str>,
    value: &str,
    reading: &Reading,
) -> Option<Test> {
    if let Some(kind) = modifier
        && !(is_type(kind) && parameter.targets.contains(&kind))
    {
        return None;
    }
    let value = unescaped(value);
    let (kind, id) = target(&value, &reading.base);
    if !kind.is_empty() || id.contains([':', '/']) {
        return Some(Test::Reference { kind, id });
    }
    let kind = match (modifier, parameter.targets.as_slice()) {
        (Some(kind), _) | (None, &[kind]) => kind.into(),
        _ => "".into(),
    };
    Some(Test::Reference { kind, id })
}

fn date(value: &str, reading: &Reading) -> Result<Test, String> {
    let (prefix, text) = prefix(value);
    let Some((from, to)) = span(&unescaped(text), &reading.zone) else {
        return Err("it is no date or time such as 2026-03 or 2026-03-04T05:06:07Z".to_owned());
    };
    if prefix != Prefix::Ap {
        return Ok(Test::Date { prefix, from, to });
    }
    // A tenth of the time between now and then (FHIR R4 search.html#prefix).
    let away = reading.now.0.abs_diff(from.0) / 10;
    let away = i64::try_from(away).unwrap_or(i64::MAX);
    let (from, to) = (from.0.saturating_sub(away), to.0.saturating_add(away));
    Ok(Test::Date { prefix, from: Timestamp(from), to: Timestamp(to) })
}

fn quantity(value: &str) -> Result<Test, String> {
    let parts = split(value, '|');
    let (number, system, code) = match parts.as_slice() {
        [number] => (number, None, None),
        [number, system, code] => (number, Some(unescaped(system)), Some(unescaped(code))),
        _ => return Err("it has the form [number]|[system]|[code]".to_owned()),
    };
    let (prefix, text) = prefix(number);
    let Some((amount, half)) = number_of(text) else {
        return Err("it is no number such as 5.4 or 1e-3".to_owned());
    };
    let half = match prefix {
        // What was written says how precise it is (FHIR R4 search.html#number).
        Prefix::Eq | Prefix::Ne => half,
        Prefix::Ap => amount.abs() / 10.0,
        _ => 0.0,
    };
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty()).map(Into::into);
    let (low, high) = (amount - half, amount + half);
    Ok(Test::Quantity { prefix, low, high, system: filled(system), code: filled(code) })
}

/// A number and half of its last digit.
fn number_of(text: &str) -> Option<(f64, f64)> {
    let plain =
        |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E');
    let starts = text.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    if !starts || text.len() > 64 || !text.bytes().all(plain) {
        return None;
    }
    let amount: f64 = text.parse().ok()?;
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let after = digits.split_once('.').map_or(0, |(_, after)| after.len());
    let last = exponent.checked_sub(i32::try_from(after).ok()?)?;
    let half = 0.5 * 10_f64.powi(last);
    (amount.is_finite() && half.is_finite()).then_some((amount, half))
}

fn prefix(value: &str) -> (Prefix, &str) {
    let known = [
        ("eq", Prefix::Eq),
        ("ne", Prefix::Ne),
        ("gt", Prefix::Gt),
        ("lt", Prefix::Lt),
        ("ge", Prefix::Ge),
        ("le", Prefix::Le),
        ("sa", Prefix::Sa),
        ("eb", Prefix::Eb),
        ("ap", Prefix::Ap),
    ];
    let found = known.iter().find_map(|(word, prefix)| Some((*prefix, value.strip_prefix(word)?)));
    found.unwrap_or((Prefix::Eq, value))
}

/// Splits at a character that no backslash stands before; the parts keep their escapes.
pub(super) fn split(text: &str, at: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (place, letter) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if letter == '\\' {
            escaped = true;
        } else if letter == at {
            parts.extend(text.get(start..place));
            start = place + letter.len_utf8();
        }
    }
    parts.extend(text.get(start..));
    parts
}

/// Takes the escapes out: `\,` `\|` `\$` `\\` (FHIR R4 search.html#escaping).
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => out.extend(letters.next()),
            letter => out.push(letter),
        }
    }
    out
}
