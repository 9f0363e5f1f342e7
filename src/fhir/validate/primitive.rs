//! The forms of primitive types (FHIR R4 datatypes.html#primitive), checked in one pass over the text.

use jiff::civil::Date;
use serde_json::Value;

/// Most characters of a string (datatypes.html#string).
const STRING_MAX: usize = 1024 * 1024;

/// What is wrong with a primitive's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// JSON has another type for it.
    JsonType(&'static str),
    /// An empty string.
    Empty,
    /// The text has not the form of the type.
    Form,
}

/// Whether the value fits the primitive type.
pub(super) fn check(kind: &str, value: &Value) -> Result<(), Wrong> {
    match kind {
        "boolean" => value.as_bool().map(|_| ()).ok_or(Wrong::JsonType("true or false")),
        "decimal" => match value {
            Value::Number(_) => Ok(()),
            _ => Err(Wrong::JsonType("a number")),
        },
        "integer" | "positiveInt" | "unsignedInt" => {
            let Value::Number(number) = value else { return Err(Wrong::JsonType("a number")) };
            let least = match kind {
                "integer" => i64::from(i32::MIN),
                "positiveInt" => 1,
                _ => 0,
            };
            let fits = number
                .as_str()
                .parse::<i64>()
                .is_ok_and(|number| (least..=i64::from(i32::MAX)).contains(&number));
            fits.then_some(()).ok_or(Wrong::Form)
        }
        _ => {
            let text = value.as_str().ok_or(Wrong::JsonType("a string"))?;
            if text.is_empty() {
                return Err(Wrong::Empty);
            }
            fits(kind, text).then_some(()).ok_or(Wrong::Form)
        }
    }
}

fn fits(kind: &str, text: &str) -> bool {
    match kind {
        "code" => {
            let mut parts = text.split(|c: char| c.is_whitespace());
            parts.all(|part| !part.is_empty()) && plain(text)
        }
        "id" => is_id(text),
        "uri" | "url" | "canonical" => !text.contains(|c: char| c.is_whitespace()) && plain(text),
        "oid" => text.strip_prefix("urn:oid:").is_some_and(is_oid),
        "uuid" => text.strip_prefix("urn:uuid:").is_some_and(is_uuid),
        "base64Binary" => is_base64(text),
        "date" => is_date(text),
        "dateTime" => match text.split_once('T') {
            Some((date, time)) => date.len() == 10 && is_date(date) && is_zoned(time),
            None => is_date(text),
        },
        "instant" => text
            .split_once('T')
            .is_some_and(|(date, time)| date.len() == 10 && is_date(date) && is_zoned(time)),
        "time" => is_time(text),
        _ => text.len() <= STRING_MAX && plain(text),
    }
}

/// No control characters but tab and line ends.
fn plain(text: &str) -> bool {
    !text.bytes().any(|byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r'))
}

/// `[A-Za-z0-9\-\.]{1,64}`.
pub(super) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

fn is_oid(text: &str) -> bool {
    let mut parts = text.split('.');
    parts.next().is_some_and(|first| matches!(first, "0" | "1" | "2"))
        && text.contains('.')
        && parts.all(|part| is_digits(part) && (part == "0" || !part.starts_with('0')))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

fn is_base64(text: &str) -> bool {
    let mut length = 0_usize;
    let mut padding = 0_usize;
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        length += 1;
        match byte {
            b'=' => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => {}
            _ => return false,
        }
    }
    length > 0 && length.is_multiple_of(4) && padding <= 2
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// So many digits, as a number.
fn number(text: &str, digits: usize) -> Option<i16> {
    (text.len() == digits && is_digits(text)).then(|| text.parse().ok()).flatten()
}

/// `YYYY`, `YYYY-MM`, `YYYY-MM-DD`: a day that there was or will be.
fn is_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let year = parts.next().and_then(|year| number(year, 4)).filter(|year| *year > 0);
    let month = parts.next().map(|month| number(month, 2));
    let day = parts.next().map(|day| number(day, 2));
    let Some(year) = year.filter(|_| parts.next().is_none()) else { return false };
    let part = |part: Option<Option<i16>>| match part {
        None => Some(1),
        Some(part) => part.and_then(|part| i8::try_from(part).ok()),
    };
    match (part(month), part(day)) {
        (Some(month), Some(day)) => Date::new(year, month, day).is_ok(),
        _ => false,
    }
}

/// `hh:mm:ss`, with fractions.
fn is_time(text: &str) -> bool {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = clock.split(':');
    let mut below =
        |most: i16| parts.next().and_then(|part| number(part, 2)).is_some_and(|part| part < most);
    // A leap second has the number 60.
    let fits = below(24) && below(60) && below(61);
    fits && parts.next().is_none() && is_digits(fraction)
}

/// A time with its zone: `Z`, `+hh:mm`, `-hh:mm`, up to 14 hours.
fn is_zoned(text: &str) -> bool {
    if let Some(time) = text.strip_suffix('Z') {
        return is_time(time);
    }
    let Some((time, zone)) = text.rsplit_once(['+', '-']) else { return false };
    let Some((hours, minutes)) = zone.split_once(':') else { return false };
    let (Some(hours), Some(minutes)) = (number(hours, 2), number(minutes, 2)) else { return false };
    is_time(time) && (hours < 14 && minutes < 60 || hours == 14 && minutes == 0)
}
