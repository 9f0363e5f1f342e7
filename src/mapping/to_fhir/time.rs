//! Times of HL7 as FHIR writes them: precision is kept, and a time of day needs a zone (datatypes.html
//! #dateTime). The zone is the value's own, else that of MSH-7, else the site's; without any, the date
//! alone is said.

use jiff::tz::TimeZone;

use crate::hl7::raw::RawMessage;
use crate::hl7::time::{Hl7Time, Precision, Zone};
use crate::message::time::Timestamp;

/// The zone of a site.
#[derive(Debug, Clone)]
pub struct SiteZone(TimeZone);

impl SiteZone {
    /// Reads `+08:00`, `UTC` or a name such as `Asia/Shanghai`; nothing when it is no zone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let offset = || {
            let (sign, rest) = text.split_at_checked(1)?;
            let (hours, minutes) = rest.split_once(':')?;
            let digits = |text: &str| text.parse::<i32>().ok().filter(|_| text.len() == 2);
            let (hours, minutes) = (digits(hours)?, digits(minutes).filter(|m| *m < 60)?);
            let seconds = hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?;
            let seconds = match sign {
                "+" => seconds,
                "-" => seconds.checked_neg()?,
                _ => return None,
            };
            let offset = jiff::tz::Offset::from_seconds(seconds).ok()?;
            (hours <= 14).then(|| TimeZone::fixed(offset))
        };
        match text {
            "UTC" | "Z" => Some(Self(TimeZone::UTC)),
            _ => offset().or_else(|| TimeZone::get(text).ok()).map(Self),
        }
    }
}

/// The zone that MSH-7 carries.
pub(super) fn zone_of_header(message: &RawMessage) -> Zone {
    let header = message.segments().find(|segment| segment.id == b"MSH");
    let sent = header.map(|header| header.field(7).text(message.charset()));
    match sent.and_then(|text| Hl7Time::parse(&text).ok().flatten()) {
        Some(time) => match time.zone() {
            Zone::Offset(minutes) => Zone::Offset(minutes),
            Zone::Unknown | Zone::Unsaid => Zone::Unsaid,
        },
        None => Zone::Unsaid,
    }
}

/// Only the date: `2026`, `2026-01`, `2026-01-14`.
pub(super) fn date(time: &Hl7Time) -> String {
    let text = time.iso8601();
    text.split_once('T').map(|(date, _)| date.to_owned()).unwrap_or(text)
}

/// With the time of day when it was sent and its zone is known.
pub(super) fn date_time(time: Hl7Time, of_header: Zone, site: Option<&SiteZone>) -> String {
    match with_zone(time, of_header, site) {
        Some(time) => time.at_least_seconds().iso8601(),
        None => date(&time),
    }
}

/// A moment to the second at least; nothing when that is not known.
pub(super) fn instant(time: Hl7Time, of_header: Zone, site: Option<&SiteZone>) -> Option<String> {
    let time = with_zone(time, of_header, site)?;
    (time.precision() >= Precision::Minute).then(|| time.at_least_seconds().iso8601())
}

fn with_zone(time: Hl7Time, of_header: Zone, site: Option<&SiteZone>) -> Option<Hl7Time> {
    if time.precision() < Precision::Hour {
        return None;
    }
    let time = match time.zone() {
        Zone::Offset(_) => return Some(time),
        Zone::Unknown => time.without_zone(),
        Zone::Unsaid => time.or_zone(of_header),
    };
    if let Zone::Offset(_) = time.zone() {
        return Some(time);
    }
    site.map(|site| time.in_zone(&site.0))
}

/// The instant so many seconds later, shown in the same zone.
pub(super) fn later(
    time: Hl7Time,
    of_header: Zone,
    site: Option<&SiteZone>,
    seconds: u64,
) -> Option<String> {
    let time = with_zone(time, of_header, site)?;
    let Zone::Offset(offset) = time.zone() else { return None };
    let end = time.moment()?.after(std::time::Duration::from_secs(seconds));
    Hl7Time::of(end, offset, Precision::Second).map(|end| end.iso8601())
}

/// `HHMM[SS[.S…]]` as FHIR writes a time; nothing when it is none.
pub(super) fn time_of_day(text: &str) -> Option<String> {
    let digits = text.split(['+', '-']).next().unwrap_or_default();
    let on_a_day = Hl7Time::parse(&format!("20000101{digits}")).ok()??;
    let text = on_a_day.at_least_seconds().iso8601();
    text.split_once('T').map(|(_, time)| time.to_owned())
}

/// When a message was accepted, as an instant.
pub(super) fn of_timestamp(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.0).map(|at| at.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sent: &str, header: Zone, site: Option<&str>, expected: &str) {
        let time = Hl7Time::parse(sent).unwrap().unwrap();
        let site = site.map(|text| SiteZone::parse(text).unwrap());
        assert_eq!(date_time(time, header, site.as_ref()), expected, "{sent}");
    }

    #[test]
    fn a_time_of_day_needs_a_zone() {
        check("202601140830", Zone::Unsaid, None, "2026-01-14");
        check("2026011408", Zone::Unsaid, Some("+08:00"), "2026-01-14T08:00:00+08:00");
        check("202601140830", Zone::Offset(-330), Some("+08:00"), "2026-01-14T08:30:00-05:30");
        check("202601140830+0100", Zone::Offset(0), Some("+08:00"), "2026-01-14T08:30:00+01:00");
        check(
            "20260114083015.250-0000",
            Zone::Unsaid,
            Some("UTC"),
            "2026-01-14T08:30:15.250+00:00",
        );
        check("202607140830", Zone::Unsaid, Some("Europe/Berlin"), "2026-07-14T08:30:00+02:00");
        check("202601140830", Zone::Unsaid, Some("Europe/Berlin"), "2026-01-14T08:30:00+01:00");
        check("20260114", Zone::Offset(0), Some("UTC"), "2026-01-14");
        check("2026", Zone::Offset(0), Some("UTC"), "2026");
        assert_eq!(time_of_day("0830").as_deref(), Some("08:30:00"));
        assert_eq!(time_of_day("2560"), None);
    }

    #[test]
    fn knows_a_zone() {
        for wrong in ["", "+8", "08:00", "+15:00", "+08:60", "Europe/Atlantis"] {
            assert!(SiteZone::parse(wrong).is_none(), "{wrong}");
        }
    }
}
