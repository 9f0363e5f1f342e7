//! A piece of a field and its division into repetitions, components and subcomponents.

use crate::hl7::charset::Charset;
use crate::hl7::locate;
use crate::hl7::raw::{RawMessage, SegmentRef};
use crate::hl7::separators::Separators;
use crate::hl7::value::Value;

/// Most repetitions of one field that a view holds. No real message comes near; a hostile one would cost a
/// hundred times its size in memory.
const REPETITIONS_MAX: usize = 1_000;

/// A piece of a field.
#[derive(Clone, Copy)]
pub(in crate::hl7) struct Cell<'m> {
    raw: &'m [u8],
    separators: Separators,
    charset: Charset,
}

impl<'m> Cell<'m> {
    /// The whole field `number` of a segment, from 1; nothing when it is absent.
    pub(in crate::hl7) fn of_field(
        segment: &SegmentRef<'m>,
        number: usize,
        charset: Charset,
    ) -> Self {
        let raw = segment.field_bytes(number).unwrap_or_default();
        Self { raw, separators: segment.separators, charset }
    }

    /// A cell without content.
    pub(in crate::hl7) fn nothing(message: &'m RawMessage) -> Self {
        Self { raw: b"", separators: message.separators(), charset: message.charset() }
    }

    /// The repetitions of a field that say something, at most [`REPETITIONS_MAX`].
    pub(in crate::hl7) fn repetitions(self) -> impl Iterator<Item = Self> {
        let all = self.pieces(self.separators.repetition);
        all.filter(|cell| !cell.is_empty()).take(REPETITIONS_MAX)
    }

    /// A component of the first repetition, from 1.
    pub(in crate::hl7) fn component(self, number: usize) -> Self {
        let repetition = self.pieces(self.separators.repetition).next().unwrap_or(self);
        repetition.nth(self.separators.component, number)
    }

    /// A subcomponent of a component, from 1.
    pub(in crate::hl7) fn subcomponent(self, number: usize) -> Self {
        self.nth(self.separators.subcomponent, number)
    }

    /// Whether there is nothing: absent, empty, or the order to delete (`""`).
    pub(in crate::hl7) fn is_empty(self) -> bool {
        !matches!(self.value(), Value::Text(_))
    }

    /// The text of the first leaf, without the blanks around it; `None` when there is none.
    pub(in crate::hl7) fn text(self) -> Option<String> {
        let text = self.value().text(self.charset);
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// As `text`, empty when there is none.
    pub(in crate::hl7) fn text_or_empty(self) -> String {
        self.text().unwrap_or_default()
    }

    /// Whether the text of the first leaf is `word`.
    pub(in crate::hl7) fn is(self, word: &str) -> bool {
        self.text().as_deref() == Some(word)
    }

    /// The texts of all components, joined; `None` when all are empty.
    pub(in crate::hl7) fn joined(self, with: &str) -> Option<String> {
        let texts: Vec<String> =
            self.pieces(self.separators.component).filter_map(Self::text).collect();
        (!texts.is_empty()).then(|| texts.join(with))
    }

    fn value(self) -> Value<'m> {
        Value::of(self.raw, self.separators)
    }

    fn nth(self, separator: Option<u8>, number: usize) -> Self {
        let nothing = Self { raw: b"", ..self };
        number.checked_sub(1).and_then(|n| self.pieces(separator).nth(n)).unwrap_or(nothing)
    }

    fn pieces(self, separator: Option<u8>) -> impl Iterator<Item = Self> {
        locate::pieces(self.raw, 0..self.raw.len(), separator, self.separators.width)
            .map(move |range| Self { raw: self.raw.get(range).unwrap_or_default(), ..self })
    }
}

/// A date or moment (DT, DTM, TS) in ISO 8601 with the precision and zone that were sent; `None` when it is
/// none, and for the all-zero dates that some senders write for "unknown".
pub(super) fn iso(text: &str) -> Option<String> {
    let text = text.trim();
    let zone_at = text.find(['+', '-', 'Z']).unwrap_or(text.len());
    let (moment, zone) = text.split_at_checked(zone_at)?;
    let (digits, fraction) = moment.split_once('.').unwrap_or((moment, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(digits) || !is_number(fraction) || digits.len() < 4 || digits.len() % 2 == 1 {
        return None;
    }
    let part = |from: usize, limit: std::ops::RangeInclusive<u32>| -> Option<Option<&str>> {
        let Some(part) = digits.get(from..from.saturating_add(2)) else { return Some(None) };
        limit.contains(&part.parse().ok()?).then_some(Some(part))
    };
    let year = digits.get(..4).filter(|year| *year != "0000")?;
    let mut iso = year.to_owned();
    let parts = [
        (4, "-", 1..=12),
        (6, "-", 1..=31),
        (8, "T", 0..=23),
        (10, ":", 0..=59),
        (12, ":", 0..=60),
    ];
    if digits.len() > 14 {
        return None;
    }
    for (from, mark, limit) in parts {
        let Some(found) = part(from, limit)? else { break };
        iso.push_str(mark);
        iso.push_str(found);
    }
    if digits.len() == 10 {
        iso.push_str(":00");
    }
    if digits.len() == 14 && !fraction.is_empty() {
        iso.push('.');
        iso.push_str(fraction);
    }
    if digits.len() > 8 {
        iso.push_str(&iso_zone(zone)?);
    }
    Some(iso)
}

/// `+0100` as `+01:00`; `-0000`, an unknown offset, as none.
fn iso_zone(zone: &str) -> Option<String> {
    if zone.is_empty() || zone == "-0000" {
        return Some(String::new());
    }
    if zone == "Z" {
        return Some("Z".into());
    }
    let hours = zone.get(..3)?;
    let minutes = zone.get(3..)?.trim_start_matches(':');
    let valid = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    (valid(hours.get(1..)?) && valid(minutes)).then(|| format!("{hours}:{minutes}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(iso(text).as_deref().unwrap_or("none"), expected, "{text}");
    }

    #[test]
    fn moments_keep_their_precision_and_zone() {
        check("2026", "2026");
        check("202601", "2026-01");
        check("20260114", "2026-01-14");
        check("2026011408", "2026-01-14T08:00");
        check("202601140815", "2026-01-14T08:15");
        check("20260114081530", "2026-01-14T08:15:30");
        check("20260114081530.120+0100", "2026-01-14T08:15:30.120+01:00");
        check("20260114081530-0030", "2026-01-14T08:15:30-00:30");
        check("20260114081530Z", "2026-01-14T08:15:30Z");
        check("20260114081530-0000", "2026-01-14T08:15:30");
        check(" 19700203 ", "1970-02-03");
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in
            ["", "0000", "00000000", "20261399", "20260132", "2026011425", "yesterday", "２０２６"]
        {
            check(text, "none");
        }
        check("20260114081530+01", "none");
        check("202601140815300", "none");
    }
}
