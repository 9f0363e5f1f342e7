//! When an appointment begins and ends.

use serde_json::{Value as Json, json};

use crate::hl7::time::Hl7Time;
use crate::mapping::to_fhir::fill::{Filler, Frame, Thing};
use crate::mapping::to_fhir::language;
use crate::mapping::to_fhir::piece::Piece;
use crate::mapping::to_fhir::{NoticeKind, time};

/// Longest appointment that is reckoned, in seconds: a year.
const SECONDS_MAX: u64 = 366 * 86_400;

impl<'m> Filler<'m> {
    /// Both ends of an appointment, or none (app-2, app-3): the end is sent, or reckoned from a duration.
    /// With a beginning alone the appointment is a proposal for a period; one that was missed or deleted
    /// is a moment.
    pub(super) fn ends(&mut self, piece: Piece<'m>, frame: &Frame<'m>) -> Option<Json> {
        let text = piece.text()?;
        let Ok(parsed) = Hl7Time::parse(&text) else {
            let what = "is no HL7 date or time";
            self.cannot(NoticeKind::Unreadable, &Thing::Piece(piece), what, &text);
            return Some(json!({ "status": "proposed" }));
        };
        let start = parsed?;
        let site = self.options.zone.as_ref();
        let Some(begins) = time::instant(start, self.zone, site) else {
            let begins = time::date_time(start, self.zone, site);
            return Some(json!({ "status": "proposed", "requestedPeriod": [{ "start": begins }] }));
        };
        let sent = self.near("SCH-11.5 or TQ1-8", frame);
        let sent = sent.and_then(|text| Hl7Time::parse(&text).ok().flatten());
        let sent = sent.and_then(|end| time::instant(end, self.zone, site));
        let reckoned = || {
            let seconds = self.duration("SCH-9", "SCH-10", frame);
            let seconds = seconds.or_else(|| self.duration("AIS-7", "AIS-8", frame));
            let seconds = seconds.or_else(|| self.duration("AIP-9", "AIP-10", frame))?;
            time::later(start, self.zone, site, seconds)
        };
        match sent.or_else(reckoned) {
            Some(ends) => Some(json!({ "start": begins, "end": ends })),
            None if matches!(self.event, "SIU^S17" | "SIU^S26") => {
                Some(json!({ "start": begins, "end": begins }))
            }
            None => Some(json!({ "status": "proposed", "requestedPeriod": [{ "start": begins }] })),
        }
    }

    fn near(&self, sources: &str, frame: &Frame<'m>) -> Option<String> {
        let sources = language::sources(sources).unwrap_or_default();
        match self.find(&sources, frame).first() {
            Some(Thing::Piece(piece)) => piece.text(),
            _ => None,
        }
    }

    /// A number and its unit, in seconds; without a unit they are seconds (HL7 v2.5.1 §10.6.1.10).
    fn duration(&self, number: &str, unit: &str, frame: &Frame<'m>) -> Option<u64> {
        let number: u64 = self.near(number, frame)?.parse().ok()?;
        let unit = self.near(unit, frame).unwrap_or_default().to_uppercase();
        let seconds = match unit.as_str() {
            "" | "S" | "SEC" | "SECONDS" => 1,
            "M" | "MIN" | "MINUTE" | "MINUTES" => 60,
            "H" | "HR" | "HOUR" | "HOURS" => 3_600,
            "D" | "DAY" | "DAYS" => 86_400,
            _ => return None,
        };
        number.checked_mul(seconds).filter(|seconds| *seconds > 0 && *seconds <= SECONDS_MAX)
    }
}
