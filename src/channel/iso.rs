//! HL7 times as ISO 8601, and their order. Precision is what was sent; a zone is never invented.

use std::cmp::Ordering;

use crate::channel::scope::{Message, Scope};
use crate::message::time::Timestamp;

/// A time as its digits and its zone.
struct Digits<'t> {
    /// `YYYY[MM[DD[HH[MM[SS]]]]]`.
    whole: &'t str,
    /// Fraction of a second, digits alone.
    fraction: &'t str,
    /// `+0800`, `-0500`, `+0000` for Z.
    zone: Option<&'t str>,
}

fn digits(text: &str) -> Option<Digits<'_>> {
    let text = text.trim();
    let (local, zone) = match text.find(['+', '-', 'Z']) {
        Some(at) => text.split_at_checked(at)?,
        None => (text, ""),
    };
    let zone = match zone {
        "" => None,
        "Z" => Some("+0000"),
        zone if zone.len() == 5 && zone.bytes().skip(1).all(|b| b.is_ascii_digit()) => Some(zone),
        _ => return None,
    };
    let (whole, fraction) = local.split_once('.').unwrap_or((local, ""));
    let plain = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    let parts = Digits { whole, fraction, zone };
    (plain && matches!(whole.len(), 4 | 6 | 8 | 10 | 12 | 14) && parts.is_real()).then_some(parts)
}

impl Digits<'_> {
    fn number(&self, from: usize, to: usize) -> Option<u32> {
        self.whole.get(from..to)?.parse().ok()
    }

    fn is_real(&self) -> bool {
        let year = self.number(0, 4).unwrap_or(0);
        let month = self.number(4, 6);
        let day_is_real = self.number(6, 8).is_none_or(|day| {
            let date = (|| {
                let year = i16::try_from(year).ok()?;
                let month = i8::try_from(month.unwrap_or(1)).ok()?;
                jiff::civil::Date::new(year, month, i8::try_from(day).ok()?).ok()
            })();
            date.is_some()
        });
        year > 0
            && month.is_none_or(|month| (1..=12).contains(&month))
            && day_is_real
            && self.number(8, 10).is_none_or(|hour| hour < 24)
            && self.number(10, 12).is_none_or(|minute| minute < 60)
            && self.number(12, 14).is_none_or(|second| second < 61)
    }

    fn moment(&self) -> Option<jiff::Timestamp> {
        let mut text = format!("{:0<14}", self.whole);
        if self.whole.len() < 8 {
            return None;
        }
        text.push_str(self.zone?);
        jiff::fmt::strtime::parse("%Y%m%d%H%M%S%z", &text).ok()?.to_timestamp().ok()
    }
}

/// `19800102` as `1980-01-02`, `198001` as `1980-01`; a time's date. `None` when it is no time of HL7.
#[must_use]
pub fn date(text: &str) -> Option<String> {
    let parts = digits(text)?;
    let mut made = parts.whole.get(..4)?.to_owned();
    for range in [4..6, 6..8] {
        if let Some(part) = parts.whole.get(range) {
            made.push('-');
            made.push_str(part);
        }
    }
    Some(made)
}

/// `202401021030+0800` as `2024-01-02T10:30:00+08:00`. Where the text has no zone, `zone` counts; where
/// there is none either, or the time of day is not known to the minute, the date alone is given.
#[must_use]
pub fn date_time(text: &str, zone: Option<&str>) -> Option<String> {
    let parts = digits(text)?;
    let mut made = date(text)?;
    let Some(zone) = parts.zone.or(zone) else { return Some(made) };
    let (Some(hour), Some(minute)) = (parts.whole.get(8..10), parts.whole.get(10..12)) else {
        return Some(made);
    };
    let second = parts.whole.get(12..14).unwrap_or("00");
    made.push_str(&format!("T{hour}:{minute}:{second}"));
    if !parts.fraction.is_empty() && parts.whole.len() == 14 {
        made.push('.');
        made.push_str(parts.fraction);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let (hours, minutes) = rest.split_at_checked(2)?;
    made.push_str(&format!("{sign}{hours}:{minutes}"));
    Some(made)
}

/// The zone that MSH-7 carries: the default of every time in the message (HL7 v2.5.1 §2.A.22).
#[must_use]
pub fn message_zone(scope: &Scope<'_>) -> Option<String> {
    let Message::Hl7(message) = scope.message else { return None };
    let header = message.segments().next()?;
    let sent = header.field(7).text(message.charset()).into_owned();
    digits(&sent)?.zone.map(str::to_owned)
}

/// The order of two times: as moments when both have a zone, else digit by digit at the coarser
/// precision. `None` when one of them is no date.
#[must_use]
pub fn compare(left: &str, right: &str) -> Option<Ordering> {
    let (plain_left, plain_right) = (without_dashes(left), without_dashes(right));
    let (left, right) = (digits(&plain_left)?, digits(&plain_right)?);
    if left.whole.len() < 8 || right.whole.len() < 8 {
        return None;
    }
    if let (Some(left), Some(right)) = (left.moment(), right.moment()) {
        return Some(left.cmp(&right));
    }
    let size = left.whole.len().min(right.whole.len());
    Some(left.whole.get(..size)?.cmp(right.whole.get(..size)?))
}

/// `2008-01-02` as `20080102`.
fn without_dashes(text: &str) -> String {
    let bytes = text.as_bytes();
    let dashed = text.len() == 10 && bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-');
    if dashed { text.replace('-', "") } else { text.to_owned() }
}

/// A moment as HL7 writes it: `20240102103000.123+0000`.
#[must_use]
pub fn hl7_of(moment: Timestamp) -> String {
    match jiff::Timestamp::from_microsecond(moment.0) {
        Ok(moment) => moment.strftime("%Y%m%d%H%M%S%.3f+0000").to_string(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_precision_sent() {
        for (hl7, iso) in [
            ("1980", "1980"),
            ("198001", "1980-01"),
            ("19800102", "1980-01-02"),
            ("198001021030", "1980-01-02"),
        ] {
            assert_eq!(date(hl7).as_deref(), Some(iso), "{hl7}");
        }
        for wrong in ["", "00000000", "19801302", "19800230", "1980-01-02", "x", "198"] {
            assert_eq!(date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn never_invents_a_zone() {
        assert_eq!(date_time("202401021030", None).as_deref(), Some("2024-01-02"));
        assert_eq!(
            date_time("20240102103005.25+0800", None).as_deref(),
            Some("2024-01-02T10:30:05.25+08:00")
        );
        assert_eq!(
            date_time("202401021030", Some("-0500")).as_deref(),
            Some("2024-01-02T10:30:00-05:00")
        );
        assert_eq!(date_time("20240102", Some("-0500")).as_deref(), Some("2024-01-02"));
    }

    #[test]
    fn orders_dates_of_different_precision() {
        assert_eq!(compare("20071231120000", "20080101"), Some(Ordering::Less));
        assert_eq!(compare("20080101", "2008-01-01"), Some(Ordering::Equal));
        assert_eq!(compare("202401021030+0800", "202401020330+0000"), Some(Ordering::Less));
        assert_eq!(compare("5", "20080101"), None);
    }

    #[test]
    fn writes_a_moment_as_hl7() {
        assert_eq!(hl7_of(Timestamp(1_700_000_000_123_456)), "20231114221320.123+0000");
    }
}
