//! Dates and times (DT, TM excepted; TS, DTM: HL7 v2.5.1 §2.A.22, §2.A.77): the precision that was sent is
//! kept, and so is what was said, or not said, of the zone.

use std::fmt;

use jiff::civil::Date;
use thiserror::Error;

use crate::message::time::Timestamp;

/// How much of a time was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    /// `YYYY`.
    Year,
    /// `YYYYMM`.
    Month,
    /// `YYYYMMDD`.
    Day,
    /// `YYYYMMDDHH`.
    Hour,
    /// `YYYYMMDDHHMM`.
    Minute,
    /// `YYYYMMDDHHMMSS`.
    Second,
    /// `YYYYMMDDHHMMSS.S…`: so many digits of a second, one to nine.
    Fraction(u8),
}

/// What is said of the zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// Nothing.
    Unsaid,
    /// `-0000`: devices that do not know their zone say so.
    Unknown,
    /// Minutes east of UTC.
    Offset(i16),
}

/// A date, or a date and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hl7Time {
    date: Date,
    hour: u8,
    minute: u8,
    second: u8,
    nanosecond: u32,
    precision: Precision,
    zone: Zone,
}

/// A text is no HL7 date or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no HL7 date or time: expected YYYY[MM[DD[HH[MM[SS[.S…]]]]]][±ZZZZ] with possible values")]
pub struct TimeError;

impl Hl7Time {
    /// Reads a TS, DTM or DT. Nothing, or nothing but zeros, is no time. Up to nine digits of a second, `Z`
    /// and a colon in the zone are taken; `24` hours and impossible dates are not.
    ///
    /// # Errors
    /// When it is neither a time nor nothing.
    pub fn parse(text: &str) -> Result<Option<Self>, TimeError> {
        let text = text.trim();
        let (digits, zone) = match text.find(['+', '-', 'Z']) {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        if digits.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
            return if zone.is_empty() { Ok(None) } else { Err(TimeError) };
        }
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (digits, None),
        };
        let precision = precision(whole.len(), fraction.map(str::len))?;
        let part = |at: usize, len: usize, default: u8| match whole.get(at..at.saturating_add(len))
        {
            Some(part) => number(part).and_then(|n| u8::try_from(n).map_err(|_| TimeError)),
            None => Ok(default),
        };
        let year = number(whole.get(..4).unwrap_or_default())?;
        let year = i16::try_from(year).map_err(|_| TimeError)?;
        let (month, day) = (part(4, 2, 1)?, part(6, 2, 1)?);
        let signed = |n: u8| i8::try_from(n).map_err(|_| TimeError);
        let date = Date::new(year, signed(month)?, signed(day)?).map_err(|_| TimeError)?;
        let (hour, minute, second) = (part(8, 2, 0)?, part(10, 2, 0)?, part(12, 2, 0)?);
        if hour > 23 || minute > 59 || second > 59 {
            return Err(TimeError);
        }
        let nanosecond = fraction.map_or(Ok(0), |digits| number(&format!("{digits:0<9}")))?;
        let zone = read_zone(zone)?;
        Ok(Some(Self { date, hour, minute, second, nanosecond, precision, zone }))
    }

    /// A moment as shown in a zone, so many minutes east of UTC, cut to `precision`. `None` beyond the
    /// years that HL7 can write.
    #[must_use]
    pub fn of(moment: Timestamp, offset_minutes: i16, precision: Precision) -> Option<Self> {
        let offset =
            jiff::tz::Offset::from_seconds(i32::from(offset_minutes).checked_mul(60)?).ok()?;
        let local = offset.to_datetime(jiff::Timestamp::from_microsecond(moment.0).ok()?);
        let byte = |n: i8| u8::try_from(n).unwrap_or(0);
        (0..=9999).contains(&local.year()).then(|| Self {
            date: local.date(),
            hour: byte(local.hour()),
            minute: byte(local.minute()),
            second: byte(local.second()),
            nanosecond: u32::try_from(local.subsec_nanosecond()).unwrap_or(0),
            precision,
            zone: Zone::Offset(offset_minutes),
        })
    }

    /// How much was sent.
    #[must_use]
    pub const fn precision(&self) -> Precision {
        self.precision
    }

    /// What was said of the zone.
    #[must_use]
    pub const fn zone(&self) -> Zone {
        self.zone
    }

    /// The same time, with this zone when none was said and there is a time of day.
    #[must_use]
    pub const fn or_zone(self, zone: Zone) -> Self {
        match (self.zone, self.has_time()) {
            (Zone::Unsaid, true) => Self { zone, ..self },
            _ => self,
        }
    }

    /// The same time without what was said of the zone.
    #[must_use]
    pub const fn without_zone(self) -> Self {
        Self { zone: Zone::Unsaid, ..self }
    }

    /// The same time with seconds, zero when none were sent; a date stays one.
    #[must_use]
    pub const fn at_least_seconds(self) -> Self {
        match self.precision {
            Precision::Hour | Precision::Minute => Self { precision: Precision::Second, ..self },
            _ => self,
        }
    }

    /// The same time of day, read as that of a place, with the offset in force there.
    #[must_use]
    pub fn in_zone(self, zone: &jiff::tz::TimeZone) -> Self {
        let byte = |n: u8| i8::try_from(n).unwrap_or(0);
        let local = self.date.at(byte(self.hour), byte(self.minute), byte(self.second), 0);
        let Ok(zoned) = zone.to_ambiguous_zoned(local).compatible() else { return self };
        let minutes = i16::try_from(zoned.offset().seconds() / 60).unwrap_or(0);
        Self { zone: Zone::Offset(minutes), ..self }
    }

    /// The moment, its missing parts taken as the first possible; `None` when the zone is not known.
    #[must_use]
    pub fn moment(&self) -> Option<Timestamp> {
        let Zone::Offset(minutes) = self.zone else { return None };
        let byte = |n: u8| i8::try_from(n).unwrap_or(0);
        let nanosecond = i32::try_from(self.nanosecond).unwrap_or(0);
        let local = self.date.at(byte(self.hour), byte(self.minute), byte(self.second), nanosecond);
        let offset = jiff::tz::Offset::from_seconds(i32::from(minutes).checked_mul(60)?).ok()?;
        offset.to_timestamp(local).ok().map(|moment| Timestamp(moment.as_microsecond()))
    }

    /// ISO 8601 at the precision that was sent: `2026`, `2026-01-14`, `2026-01-14T08:30:00.25+08:00`.
    #[must_use]
    pub fn iso8601(&self) -> String {
        let date = self.date;
        let mut text = match self.precision {
            Precision::Year => format!("{:04}", date.year()),
            Precision::Month => format!("{:04}-{:02}", date.year(), date.month()),
            _ => format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day()),
        };
        if self.has_time() {
            text.push_str(&format!("T{:02}", self.hour));
        }
        if self.precision >= Precision::Minute {
            text.push_str(&format!(":{:02}", self.minute));
        }
        if self.precision >= Precision::Second {
            text.push_str(&format!(":{:02}", self.second));
        }
        text.push_str(&self.fraction());
        if self.has_time() {
            text.push_str(&self.zone.text(":"));
        }
        text
    }

    const fn has_time(&self) -> bool {
        !matches!(self.precision, Precision::Year | Precision::Month | Precision::Day)
    }

    fn fraction(&self) -> String {
        let Precision::Fraction(digits) = self.precision else { return String::new() };
        let all = format!("{:09}", self.nanosecond);
        format!(".{}", all.get(..usize::from(digits)).unwrap_or(&all))
    }
}

/// As HL7 writes it, at the precision that was sent.
impl fmt::Display for Hl7Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.date;
        write!(f, "{:04}", date.year())?;
        let parts = [
            (Precision::Month, u8::try_from(date.month()).unwrap_or(0)),
            (Precision::Day, u8::try_from(date.day()).unwrap_or(0)),
            (Precision::Hour, self.hour),
            (Precision::Minute, self.minute),
            (Precision::Second, self.second),
        ];
        for (_, part) in parts.iter().filter(|(from, _)| self.precision >= *from) {
            write!(f, "{part:02}")?;
        }
        write!(f, "{}{}", self.fraction(), self.zone.text(""))
    }
}

impl Zone {
    fn text(self, between: &str) -> String {
        match self {
            Self::Unsaid => String::new(),
            Self::Unknown => format!("-00{between}00"),
            Self::Offset(minutes) => {
                let sign = if minutes < 0 { '-' } else { '+' };
                let minutes = minutes.unsigned_abs();
                format!("{sign}{:02}{between}{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

fn precision(digits: usize, fraction: Option<usize>) -> Result<Precision, TimeError> {
    match (digits, fraction) {
        (4, None) => Ok(Precision::Year),
        (6, None) => Ok(Precision::Month),
        (8, None) => Ok(Precision::Day),
        (10, None) => Ok(Precision::Hour),
        (12, None) => Ok(Precision::Minute),
        (14, None | Some(0)) => Ok(Precision::Second),
        (14, Some(digits @ 1..=9)) => {
            u8::try_from(digits).map(Precision::Fraction).map_err(|_| TimeError)
        }
        _ => Err(TimeError),
    }
}

fn number(digits: &str) -> Result<u32, TimeError> {
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().map_err(|_| TimeError)
    } else {
        Err(TimeError)
    }
}

fn read_zone(text: &str) -> Result<Zone, TimeError> {
    let Some((sign, rest)) = text.split_at_checked(1) else { return Ok(Zone::Unsaid) };
    if sign == "Z" {
        return if rest.is_empty() { Ok(Zone::Offset(0)) } else { Err(TimeError) };
    }
    let digits = rest.replacen(':', "", 1);
    let (hours, minutes) = match digits.len() {
        2 => (number(&digits)?, 0),
        4 => {
            let (hours, minutes) = digits.split_at_checked(2).ok_or(TimeError)?;
            (number(hours)?, number(minutes)?)
        }
        _ => return Err(TimeError),
    };
    if hours > 23 || minutes > 59 {
        return Err(TimeError);
    }
    let all = hours.saturating_mul(60).saturating_add(minutes);
    let all = i16::try_from(all).map_err(|_| TimeError)?;
    match sign {
        "-" if all == 0 => Ok(Zone::Unknown),
        "-" => Ok(Zone::Offset(all.saturating_neg())),
        _ => Ok(Zone::Offset(all)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, hl7: &str, iso: &str) {
        let time = Hl7Time::parse(text).unwrap().unwrap();
        assert_eq!((time.to_string().as_str(), time.iso8601().as_str()), (hl7, iso), "{text}");
    }

    #[test]
    fn keeps_precision_and_zone() {
        check("2026", "2026", "2026");
        check("202601", "202601", "2026-01");
        check("20260114", "20260114", "2026-01-14");
        check("2026011408", "2026011408", "2026-01-14T08");
        check("202601140830", "202601140830", "2026-01-14T08:30");
        check("20260114083015+0800", "20260114083015+0800", "2026-01-14T08:30:15+08:00");
        check("20260114083015.25-0330", "20260114083015.25-0330", "2026-01-14T08:30:15.25-03:30");
        check("20260114083015.123456", "20260114083015.123456", "2026-01-14T08:30:15.123456");
        check("20260114083015Z", "20260114083015+0000", "2026-01-14T08:30:15+00:00");
        check("20260114083015-0000", "20260114083015-0000", "2026-01-14T08:30:15-00:00");
        check("20260114083015-0030", "20260114083015-0030", "2026-01-14T08:30:15-00:30");
        check("202601140830+08:00", "202601140830+0800", "2026-01-14T08:30+08:00");
        check("20260114+0800", "20260114+0800", "2026-01-14");
        check("20240229", "20240229", "2024-02-29");
    }

    #[test]
    fn nothing_is_no_time_and_the_impossible_an_error() {
        for text in ["", " ", "0000", "00000000", "00000000000000"] {
            assert_eq!(Hl7Time::parse(text), Ok(None), "{text}");
        }
        for text in [
            "20261399",
            "20260230",
            "20260100",
            "2026011424",
            "202601142360",
            "20260114083060",
            "abcd",
            "202",
            "20260",
            "2026-01-14",
            "20260114083015+08000",
            "20260114083015.1234567890",
            "2026.5",
            "20260114083015Zx",
            "+0800",
            "２０２６",
        ] {
            assert_eq!(Hl7Time::parse(text), Err(TimeError), "{text}");
        }
    }

    #[test]
    fn a_moment_needs_a_zone() {
        let time = |text| Hl7Time::parse(text).unwrap().unwrap();
        assert_eq!(time("20260114083000").moment(), None);
        assert_eq!(time("20260114083000-0000").moment(), None);
        let utc = time("20260114003000Z").moment();
        assert_eq!(time("20260114083000+0800").moment(), utc);
        assert_eq!(time("20260114083000").or_zone(Zone::Offset(480)).moment(), utc);
        assert_eq!(
            time("20260114083000+0000").or_zone(Zone::Offset(480)).moment(),
            utc.map(|moment| { moment.after(std::time::Duration::from_secs(8 * 3600)) })
        );
        let shown = Hl7Time::of(utc.unwrap(), 480, Precision::Second).unwrap();
        assert_eq!(shown.to_string(), "20260114083000+0800");
        let shown = Hl7Time::of(utc.unwrap(), 0, Precision::Fraction(3)).unwrap();
        assert_eq!(shown.to_string(), "20260114003000.000+0000");
    }
}
