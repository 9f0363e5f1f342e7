//! Dates and times as the spans they cover: `2026-03` is the whole of March (FHIR R4 search.html#date).

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, ToSpan};

use crate::message::time::Timestamp;

/// First and last microsecond of a FHIR date, dateTime or instant; `None` when it is none.
pub(super) fn span(text: &str, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let (first, date_unit) = day(date)?;
    let Some(time) = time else {
        let zone = zone.clone();
        return between(first.to_datetime(jiff::civil::Time::midnight()), date_unit, &zone);
    };
    if date.len() != 10 {
        return None;
    }
    let at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (clock, offset) = time.split_at_checked(at)?;
    let zone = match offset {
        "" => zone.clone(),
        "Z" | "z" => TimeZone::UTC,
        offset => TimeZone::fixed(self::offset(offset)?),
    };
    let (time, unit) = moment(clock)?;
    between(first.to_datetime(time), unit, &zone)
}

fn between(first: DateTime, unit: Span, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
    let after = first.checked_add(unit).ok()?;
    let moment =
        |at: DateTime| at.to_zoned(zone.clone()).ok().map(|at| at.timestamp().as_microsecond());
    Some((Timestamp(moment(first)?), Timestamp(moment(after)?.saturating_sub(1))))
}

/// The first day, and how long what was written lasts.
fn day(text: &str) -> Option<(Date, Span)> {
    let mut parts = text.split('-');
    let year: i16 = digits(parts.next()?, 4)?;
    let (month, day) = (parts.next(), parts.next());
    if parts.next().is_some() {
        return None;
    }
    Some(match (month, day) {
        (None, _) => (Date::new(year, 1, 1).ok()?, 1.year()),
        (Some(month), None) => (Date::new(year, digits(month, 2)?, 1).ok()?, 1.month()),
        (Some(month), Some(day)) => {
            (Date::new(year, digits(month, 2)?, digits(day, 2)?).ok()?, 1.day())
        }
    })
}

fn moment(text: &str) -> Option<(jiff::civil::Time, Span)> {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (text, None),
    };
    let mut parts = clock.split(':');
    let (hour, minute): (i8, i8) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let second = parts.next();
    if parts.next().is_some() || (second.is_none() && fraction.is_some()) {
        return None;
    }
    let Some(second) = second else {
        return Some((jiff::civil::Time::new(hour, minute, 0, 0).ok()?, 1.minute()));
    };
    // A leap second is the last of its minute.
    let second: i8 = digits::<i8>(second, 2)?.min(59);
    let (micros, unit) = match fraction {
        None => (0, 1.second()),
        Some(fraction) => micros(fraction)?,
    };
    let time = jiff::civil::Time::new(hour, minute, second, micros.checked_mul(1000)?).ok()?;
    Some((time, unit))
}

/// A fraction in microseconds, and how long its last digit lasts.
fn micros(fraction: &str) -> Option<(i32, Span)> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kept = fraction.get(..fraction.len().min(6))?;
    let value: i32 = kept.parse().ok()?;
    let unit = 10_i32.checked_pow(6_u32.checked_sub(u32::try_from(kept.len()).ok()?)?)?;
    Some((value.checked_mul(unit)?, i64::from(unit).microseconds()))
}

fn offset(text: &str) -> Option<Offset> {
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let seconds = digits::<i32>(hours, 2)? * 3600 + digits::<i32>(minutes, 2)? * 60;
    Offset::from_seconds(if text.starts_with('-') { -seconds } else { seconds }).ok()
}

fn digits<T: std::str::FromStr>(text: &str, count: usize) -> Option<T> {
    let plain = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_covers_its_span() {
        let check = |text: &str, from: &str, to: &str| {
            let zone = TimeZone::fixed(jiff::tz::offset(1));
            let (first, last) = span(text, &zone).unwrap();
            assert_eq!((first.to_string(), last.to_string()), (from.into(), to.into()), "{text}");
        };
        check("2026", "2025-12-31T23:00:00.000000Z", "2026-12-31T22:59:59.999999Z");
        check("2026-02", "2026-01-31T23:00:00.000000Z", "2026-02-28T22:59:59.999999Z");
        check("2026-02-03", "2026-02-02T23:00:00.000000Z", "2026-02-03T22:59:59.999999Z");
        check("2026-02-03T10:11Z", "2026-02-03T10:11:00.000000Z", "2026-02-03T10:11:59.999999Z");
        check("2026-02-03T10:11:12", "2026-02-03T09:11:12.000000Z", "2026-02-03T09:11:12.999999Z");
        check(
            "2026-02-03T10:11:12.25-02:00",
            "2026-02-03T12:11:12.250000Z",
            "2026-02-03T12:11:12.259999Z",
        );
        check(
            "2026-02-03T10:11:12.1234567Z",
            "2026-02-03T10:11:12.123456Z",
            "2026-02-03T10:11:12.123456Z",
        );
        check("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000000Z", "2016-12-31T23:59:59.999999Z");
    }

    #[test]
    fn what_is_no_date_has_no_span() {
        let check = |text: &str| assert_eq!(span(text, &TimeZone::UTC), None, "{text}");
        check("");
        check("26");
        check("2026-13");
        check("2026-02-30");
        check("2026-2-3");
        check("2026-02T10:00Z");
        check("2026-02-03T");
        check("2026-02-03T10");
        check("2026-02-03T10:61Z");
        check("2026-02-03T10:11.5Z");
        check("2026-02-03T10:11:12.Z");
        check("2026-02-03T10:11:12+1");
        check("today");
    }
}
