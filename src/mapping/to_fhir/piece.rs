//! A piece of a field, down to a subcomponent, that knows where it stands, so that a finding can name
//! the place without the content.

use crate::hl7::charset::Charset;
use crate::hl7::escape;
use crate::hl7::raw::{RawMessage, SegmentRef};
use crate::hl7::separators::Separators;
use crate::hl7::value::Value;

/// Most repetitions of one field that are mapped; further ones are a finding.
pub(super) const REPETITIONS_MAX: usize = 1_000;

/// How deep a piece stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Repetition,
    Component,
    Subcomponent,
}

/// A repetition of a field, a component or a subcomponent.
#[derive(Clone, Copy)]
pub(super) struct Piece<'m> {
    raw: &'m [u8],
    separators: Separators,
    charset: Charset,
    level: Level,
    at: Place,
}

/// Where a piece stands: numbers from 1, the segment by its index in the message from 0; 0 for "all".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Index of the segment in the message.
    pub segment: usize,
    /// Number of the field.
    pub field: usize,
    /// Which repetition.
    pub repetition: usize,
    /// Which component.
    pub component: usize,
    /// Which subcomponent.
    pub subcomponent: usize,
}

impl Place {
    /// As people write it: `OBX[3]-5[2].1`. Positions, never content.
    pub(super) fn name(self, message: &RawMessage) -> String {
        let Some(segment) = message.segment(self.segment) else { return "the message".to_owned() };
        let same = || message.segments().filter(|other| other.id == segment.id);
        let mut name = segment.name().to_owned();
        if same().count() > 1 {
            let before = same().take_while(|other| other.index < segment.index).count();
            name.push_str(&format!("[{}]", before.saturating_add(1)));
        }
        if self.field > 0 {
            name.push_str(&format!("-{}", self.field));
        }
        if self.repetition > 1 {
            name.push_str(&format!("[{}]", self.repetition));
        }
        for number in [self.component, self.subcomponent] {
            if number > 0 {
                name.push_str(&format!(".{number}"));
            }
        }
        name
    }
}

/// A message divided into segments and fields once, since maps ask for many more fields than there are.
pub(super) struct Fields<'m> {
    segments: Vec<(SegmentRef<'m>, Vec<&'m [u8]>)>,
    charset: Charset,
}

impl<'m> Fields<'m> {
    pub(super) fn read(message: &'m RawMessage) -> Self {
        let divided = message.segments().map(|segment| {
            let separators = segment.separators;
            let fields = separators.split(segment.bytes, Some(separators.field)).collect();
            (segment, fields)
        });
        Self { segments: divided.collect(), charset: message.charset() }
    }

    /// Whether the segment with this index has this name.
    pub(super) fn is_segment(&self, index: usize, id: [u8; 3]) -> bool {
        self.segments.get(index).is_some_and(|(segment, _)| segment.id == id)
    }

    /// The repetitions of a field, empty ones left out.
    pub(super) fn repetitions(&self, index: usize, field: usize) -> Vec<Piece<'m>> {
        let Some((segment, fields)) = self.segments.get(index) else { return Vec::new() };
        // MSH-1 is the delimiter itself, which stands before the first field.
        let number = if segment.is_header() { field.saturating_sub(1) } else { field };
        let Some(raw) = fields.get(number).copied().filter(|raw| !raw.is_empty() && number > 0)
        else {
            return Vec::new();
        };
        let separators = segment.separators;
        // MSH-2 is the other delimiters.
        let divider = if segment.is_header() && field <= 2 { None } else { separators.repetition };
        let piece = |(n, raw)| Piece {
            raw,
            separators,
            charset: self.charset,
            level: Level::Repetition,
            at: Place {
                segment: index,
                field,
                repetition: usize::saturating_add(n, 1),
                component: 0,
                subcomponent: 0,
            },
        };
        let all = separators.split(raw, divider).enumerate().map(piece);
        all.filter(|piece| !piece.is_blank()).take(REPETITIONS_MAX).collect()
    }
}

impl<'m> Piece<'m> {
    /// A component of a repetition, a subcomponent of a component. What is not divided is its own first
    /// part (HL7 v2.5.1 §2.11: a newer component stands where an older field ended).
    pub(super) fn part(self, number: usize) -> Self {
        let (divider, level) = match self.level {
            Level::Repetition => (self.separators.component, Level::Component),
            Level::Component => (self.separators.subcomponent, Level::Subcomponent),
            Level::Subcomponent => (None, Level::Subcomponent),
        };
        let parts = &mut self.separators.split(self.raw, divider);
        let raw = parts.nth(number.saturating_sub(1)).unwrap_or_default();
        let mut at = self.at;
        match level {
            Level::Component => at.component = number,
            _ => at.subcomponent = number,
        }
        Self { raw, level, at, ..self }
    }

    /// A part of a part.
    pub(super) fn at(self, path: &[usize]) -> Self {
        path.iter().fold(self, |piece, number| piece.part(*number))
    }

    /// Where it stands.
    pub(super) const fn place(self) -> Place {
        self.at
    }

    /// Whether it says nothing: absent or empty. `""` says something.
    pub(super) fn is_blank(self) -> bool {
        Value::of(self.raw, self.separators).is_empty()
    }

    /// Whether it is `""`: the value is to be removed (HL7 v2.5.1 §2.5.3).
    pub(super) fn is_null(self) -> bool {
        self.raw == b"\"\""
    }

    /// The decoded text of its first leaf, without blanks around it; nothing when there is none.
    pub(super) fn text(self) -> Option<String> {
        let text = Value::of(self.raw, self.separators).text(self.charset);
        clean(text.trim())
    }

    /// The decoded text of all of it, for free text whose sender did not escape delimiters. The
    /// formatting commands of FT (HL7 v2.5.1 §2.7.6) become line breaks or are left out.
    pub(super) fn whole_text(self) -> Option<String> {
        if self.is_blank() || self.is_null() {
            return None;
        }
        let decoded = self.charset.decode_lossy(self.raw);
        let text = escape::unescape(decoded, &self.separators, self.charset);
        let text = match self.separators.escape.map(char::from) {
            Some(mark) if text.contains(mark) => formatted(&text, mark),
            _ => text.into_owned(),
        };
        clean(text.trim_end())
    }

    /// The texts of its parts, empty ones too, for values that are lists (NA).
    pub(super) fn parts(self) -> Vec<Option<String>> {
        let divided = self.separators.split(self.raw, self.separators.component);
        let parts = divided.take(REPETITIONS_MAX.saturating_mul(100));
        parts.map(|raw| Self { raw, level: Level::Component, ..self }).map(Self::text).collect()
    }
}

/// What FHIR lets a string hold: no control characters but tab, CR and LF (datatypes.html#string).
fn clean(text: &str) -> Option<String> {
    let allowed = |c: &char| !c.is_control() || matches!(c, '\t' | '\r' | '\n');
    let text: String = text.chars().filter(allowed).collect();
    (!text.trim().is_empty()).then_some(text)
}

fn formatted(text: &str, mark: char) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(mark) {
        out.push_str(before);
        let command = behind.split_once(mark);
        match command {
            Some((".br" | ".ce" | ".sp", after)) => {
                out.push('\n');
                rest = after;
            }
            Some(("H" | "N" | ".fi" | ".nf", after)) => rest = after,
            Some((spaces, after)) if spaces.starts_with(".sp") || spaces.starts_with(".in") => {
                out.push('\n');
                rest = after;
            }
            _ => {
                out.push(mark);
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out
}
