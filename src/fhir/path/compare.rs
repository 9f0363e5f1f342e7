//! Equality and order of what paths find (FHIRPath §6.1, §6.2). Numbers by value and exactly, whatever
//! their size; dates by what both of them say.

use std::cmp::Ordering;

use serde_json::Value;

use super::node::Node;

/// Whether two nodes are equal; `None` where it cannot be said (dates of different precision).
pub(super) fn equal(left: &Node<'_>, right: &Node<'_>) -> Option<bool> {
    if is_moment(left) || is_moment(right) {
        let (Some(a), Some(b)) = (left.text(), right.text()) else { return Some(false) };
        return match moments(a, b) {
            Some(order) => order.map(|order| order == Ordering::Equal),
            None => Some(a == b),
        };
    }
    Some(same(left.value(), right.value()))
}

/// The order of two nodes; `None` where they have none.
pub(super) fn order(left: &Node<'_>, right: &Node<'_>) -> Option<Ordering> {
    match (left.value(), right.value()) {
        (Value::Number(a), Value::Number(b)) => Some(numbers(a.as_str(), b.as_str())),
        (Value::String(a), Value::String(b)) if is_moment(left) || is_moment(right) => {
            moments(a, b)?
        }
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Object(a), Value::Object(b)) => {
            let unit = |one: &serde_json::Map<String, Value>| {
                one.get("code").or_else(|| one.get("unit")).cloned()
            };
            if unit(a) != unit(b) || a.get("system") != b.get("system") {
                return None;
            }
            match (a.get("value")?, b.get("value")?) {
                (Value::Number(a), Value::Number(b)) => Some(numbers(a.as_str(), b.as_str())),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Deep equality, numbers by value.
pub(super) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => numbers(a.as_str(), b.as_str()) == Ordering::Equal,
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}

/// Strings alike (`~`): without regard to case and to runs of white space.
pub(super) fn alike(left: &Node<'_>, right: &Node<'_>) -> bool {
    match (left.text(), right.text()) {
        (Some(a), Some(b)) => {
            let plain =
                |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
            plain(a) == plain(b)
        }
        _ => same(left.value(), right.value()),
    }
}

pub(super) fn is_moment(node: &Node<'_>) -> bool {
    matches!(node.type_name(), Some("date" | "dateTime" | "instant" | "time"))
}

/// The order of two JSON numbers by value, in one pass over their texts.
pub(crate) fn numbers(left: &str, right: &str) -> Ordering {
    let (left, right) = (Decimal::read(left), Decimal::read(right));
    match (left.sign(), right.sign()) {
        (a, b) if a != b => a.cmp(&b),
        (0, _) => Ordering::Equal,
        (1, _) => left.size(&right),
        _ => right.size(&left),
    }
}

/// `digits` × 10^(`point` − number of digits), without leading zeros.
struct Decimal {
    is_negative: bool,
    digits: Vec<u8>,
    point: i128,
}

impl Decimal {
    fn read(text: &str) -> Self {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        // An exponent that does not fit is beyond any other number of bounded length.
        let exponent = exponent
            .trim_start_matches('+')
            .parse::<i64>()
            .unwrap_or(if exponent.starts_with('-') { i64::MIN } else { i64::MAX });
        let all = whole.bytes().chain(fraction.bytes());
        let zeros = all.clone().take_while(|digit| *digit == b'0').count();
        let mut digits: Vec<u8> = all.skip(zeros).collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let whole = i128::try_from(whole.len()).unwrap_or(0) - i128::try_from(zeros).unwrap_or(0);
        Self { is_negative, digits, point: whole + i128::from(exponent) }
    }

    const fn sign(&self) -> i8 {
        if self.digits.is_empty() {
            0
        } else if self.is_negative {
            -1
        } else {
            1
        }
    }

    fn size(&self, other: &Self) -> Ordering {
        self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits))
    }
}

/// The order of two moments. Outer `None`: one of them is none; inner `None`: they say different amounts.
#[expect(clippy::option_option, reason = "two different ways of having no answer")]
fn moments(left: &str, right: &str) -> Option<Option<Ordering>> {
    let (a, b) = (Moment::read(left)?, Moment::read(right)?);
    if a.zone.is_some() != b.zone.is_some() && a.fields.len() > 3 && b.fields.len() > 3 {
        return Some(None);
    }
    if let (Some(_), Some(_)) = (a.zone, b.zone)
        && let (Some(a), Some(b)) = (instant(left), instant(right))
    {
        return Some(Some(a.cmp(&b)));
    }
    for (one, other) in a.fields.iter().zip(&b.fields) {
        match one.cmp(other) {
            Ordering::Equal => {}
            unequal => return Some(Some(unequal)),
        }
    }
    if a.fields.len() != b.fields.len() {
        return Some(None);
    }
    Some(Some(numbers(&a.fraction, &b.fraction)))
}

fn instant(text: &str) -> Option<jiff::Timestamp> {
    text.parse().ok()
}

/// A date or time by its fields.
struct Moment<'t> {
    fields: Vec<u32>,
    fraction: String,
    zone: Option<&'t str>,
}

impl<'t> Moment<'t> {
    fn read(text: &'t str) -> Option<Self> {
        let (date, time) = match text.split_once('T') {
            Some((date, time)) => (date, time),
            None if text.contains(':') => ("", text),
            None => (text, ""),
        };
        let cut = time.find(['Z', '+', '-']).unwrap_or(time.len());
        let (clock, zone) = time.split_at_checked(cut)?;
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
        let mut fields = Vec::with_capacity(6);
        for part in date.split('-').chain(clock.split(':')).filter(|part| !part.is_empty()) {
            fields.push(part.parse().ok()?);
        }
        if fraction.is_empty() || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let zone = (!zone.is_empty()).then_some(zone);
        (!fields.is_empty()).then(|| Self { fields, fraction: format!("0.{fraction}"), zone })
    }
}
