//! A piece of a field and its division into repetitions, components and subcomponents.

use crate::hl7::charset::Charset;
use crate::hl7::locate;
use crate::hl7::raw::{RawMessage, SegmentRef};
use crate::hl7::separators::Separators;
use crate::hl7::time::Hl7Time;
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

    /// A date or moment in ISO 8601 with the precision and zone that were sent; `None` when it is none, and
    /// for the all-zero dates that some senders write for "unknown".
    pub(in crate::hl7) fn iso(self) -> Option<String> {
        Some(Hl7Time::parse(&self.text()?).ok()??.iso8601())
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
