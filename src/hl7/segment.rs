//! One segment: its id, its fields, and what a path names in it.

use std::num::NonZeroU32;
use std::ops::Range;

use crate::hl7::locate;
use crate::hl7::path::{FieldPath, Path, Which, is_segment_id};
use crate::hl7::separators::Separators;
use crate::hl7::value::Value;

/// A segment of a message.
#[derive(Debug, Clone, Copy)]
pub struct SegmentRef<'m> {
    /// What stands before the first field separator: usually three characters, anything when malformed.
    pub id: &'m [u8],
    /// Which segment of the message, from 0.
    pub index: usize,
    /// Offset of its first byte.
    pub at: usize,
    /// Its bytes without its end.
    pub bytes: &'m [u8],
    /// The delimiters in force for it.
    pub separators: Separators,
}

impl<'m> SegmentRef<'m> {
    pub(crate) fn new(index: usize, at: usize, bytes: &'m [u8], separators: Separators) -> Self {
        let end = match bytes {
            // The usual form, found without a search.
            [a, b, c, d, ..] if *d == separators.field && ![a, b, c].contains(&d) => 3,
            _ if header_id(bytes).is_some() => 3,
            _ => memchr::memchr(separators.field, bytes).unwrap_or(bytes.len()),
        };
        Self { id: bytes.get(..end).unwrap_or(bytes), index, at, bytes, separators }
    }

    /// The id as text; "" when it is no segment id of the standard (`[A-Z][A-Z0-9]{2}`).
    #[must_use]
    pub fn name(&self) -> &'m str {
        if self.is_well_formed() { std::str::from_utf8(self.id).unwrap_or_default() } else { "" }
    }

    /// Whether its id is one of the standard's form.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        is_segment_id(self.id)
    }

    /// Whether it declares delimiters: MSH, FHS, BHS.
    #[must_use]
    pub fn is_header(&self) -> bool {
        header_id(self.bytes).is_some()
    }

    /// The whole field `number`, from 1. Of a header, 1 is the separator and 2 the encoding characters.
    #[must_use]
    pub fn field(&self, number: usize) -> Value<'m> {
        match self.field_bytes(number) {
            Some(raw) => Value::of(raw, self.inner_separators(number)),
            None => Value::Absent,
        }
    }

    /// The bytes of a whole field; `None` when the segment ends before it.
    #[must_use]
    pub fn field_bytes(&self, number: usize) -> Option<&'m [u8]> {
        self.field_range(number).and_then(|range| self.bytes.get(range))
    }

    /// The values of all its fields, from 1.
    pub fn fields(&self) -> impl Iterator<Item = Value<'m>> + use<'m> {
        let segment = *self;
        let own = segment.is_header().then(|| segment.field(1));
        let skipped = if segment.is_header() { 2_usize } else { 1 };
        let rest = locate::pieces(
            segment.bytes,
            0..segment.bytes.len(),
            Some(segment.separators.field),
            segment.separators.width,
        );
        let rest = rest.skip(1).enumerate().map(move |(n, range)| {
            let raw = segment.bytes.get(range).unwrap_or_default();
            Value::of(raw, segment.inner_separators(n.saturating_add(skipped)))
        });
        own.into_iter().chain(rest)
    }

    /// Component `component` of each repetition of a field.
    #[must_use]
    pub fn part_of_each(&self, field: usize, component: usize) -> Vec<Value<'m>> {
        let Some(range) = self.field_range(field) else { return Vec::new() };
        let separators = self.inner_separators(field);
        let divide =
            |range, separator| locate::pieces(self.bytes, range, separator, separators.width);
        divide(range, separators.repetition)
            .filter_map(|repetition| {
                divide(repetition, separators.component).nth(component.saturating_sub(1))
            })
            .filter_map(|range| self.bytes.get(range))
            .map(|raw| Value::of(raw, separators))
            .collect()
    }

    /// What stands at the path's field part; of several repetitions the first.
    #[must_use]
    pub fn get(&self, path: &Path) -> Value<'m> {
        match path.field() {
            None => Value::of(self.bytes, self.separators),
            Some(field) => {
                self.first_range(field).map_or(Value::Absent, |range| self.value(field, range))
            }
        }
    }

    pub(crate) fn value(&self, field: &FieldPath, range: Range<usize>) -> Value<'m> {
        let separators = self.inner_separators(number(field.number));
        self.bytes.get(range).map_or(Value::Absent, |raw| Value::of(raw, separators))
    }

    /// MSH-1 and MSH-2 hold delimiters as data.
    pub(crate) fn inner_separators(&self, field: usize) -> Separators {
        if self.is_header() && field <= 2 {
            return Separators {
                component: None,
                repetition: None,
                escape: None,
                subcomponent: None,
                truncation: None,
                ..self.separators
            };
        }
        self.separators
    }

    pub(crate) fn field_range(&self, number: usize) -> Option<Range<usize>> {
        let piece = match (self.is_header(), number) {
            (_, 0) => return None,
            (true, 1) => return Some(3..4),
            (true, number) => number.saturating_sub(1),
            (false, number) => number,
        };
        locate::nth(self.bytes, self.separators.field, self.separators.width, piece)
    }

    /// Ranges of all that the field path names in this segment.
    pub(crate) fn ranges(&self, path: &FieldPath) -> Vec<Range<usize>> {
        let Some(field) = self.field_range(number(path.number)) else { return Vec::new() };
        let separators = self.inner_separators(number(path.number));
        if path.repetition == Which::Unsaid && path.component.is_none() {
            return vec![field];
        }
        let divide =
            |range, separator| locate::pieces(self.bytes, range, separator, separators.width);
        let below = |repetition| self.below(path, separators, repetition);
        let mut repetitions = divide(field, separators.repetition);
        match &path.repetition {
            Which::Unsaid => repetitions.next().and_then(below).into_iter().collect(),
            Which::Nth(n) => {
                let nth = number(*n).saturating_sub(1);
                repetitions.nth(nth).and_then(below).into_iter().collect()
            }
            Which::All => repetitions.filter_map(below).collect(),
            Which::Typed(kind) => repetitions
                .find(|range| self.is_of_type(range.clone(), separators, kind))
                .and_then(below)
                .into_iter()
                .collect(),
        }
    }

    /// Whether the fifth component of a repetition (CX.5) is `kind`.
    pub(crate) fn is_of_type(
        &self,
        repetition: Range<usize>,
        separators: Separators,
        kind: &str,
    ) -> bool {
        let mut components =
            locate::pieces(self.bytes, repetition, separators.component, separators.width);
        let fifth = components.nth(4).and_then(|range| self.bytes.get(range));
        fifth.is_some_and(|raw| Value::of(raw, separators).leaf() == kind.as_bytes())
    }

    /// The first of the ranges that the field path names.
    pub(crate) fn first_range(&self, path: &FieldPath) -> Option<Range<usize>> {
        if path.repetition != Which::Unsaid {
            return self.ranges(path).into_iter().next();
        }
        let field = self.field_range(number(path.number))?;
        if path.component.is_none() {
            return Some(field);
        }
        let separators = self.inner_separators(number(path.number));
        let (repetition, width) = (separators.repetition, separators.width);
        let first = locate::pieces(self.bytes, field, repetition, width).next()?;
        self.below(path, separators, first)
    }

    /// The component and subcomponent of the path in one repetition.
    fn below(
        &self,
        path: &FieldPath,
        separators: Separators,
        repetition: Range<usize>,
    ) -> Option<Range<usize>> {
        let nth = |range, separator, nth: NonZeroU32| {
            let mut pieces = locate::pieces(self.bytes, range, separator, separators.width);
            pieces.nth(number(nth).saturating_sub(1))
        };
        let Some(component) = path.component else { return Some(repetition) };
        let component = nth(repetition, separators.component, component)?;
        let Some(subcomponent) = path.subcomponent else { return Some(component) };
        nth(component, separators.subcomponent, subcomponent)
    }
}

/// A path's number as an index.
pub(crate) fn number(number: NonZeroU32) -> usize {
    usize::try_from(number.get()).unwrap_or(usize::MAX)
}

/// The segments that a path chooses.
pub(crate) fn chosen<'m, I: Iterator<Item = SegmentRef<'m>>>(
    segments: I,
    path: &Path,
) -> impl Iterator<Item = SegmentRef<'m>> {
    let (skip, take) = match path.occurrence() {
        Which::All => (0, usize::MAX),
        Which::Nth(n) => (number(*n).saturating_sub(1), 1),
        Which::Unsaid | Which::Typed(_) => (0, 1),
    };
    segments.filter(move |segment| segment.id == path.segment_bytes()).skip(skip).take(take)
}

pub(crate) fn get<'m>(segments: impl Iterator<Item = SegmentRef<'m>>, path: &Path) -> Value<'m> {
    chosen(segments, path).next().map_or(Value::Absent, |segment| segment.get(path))
}

pub(crate) fn all<'m>(
    segments: impl Iterator<Item = SegmentRef<'m>>,
    path: &Path,
) -> Vec<Value<'m>> {
    let mut values = Vec::new();
    for segment in chosen(segments, path) {
        match path.field() {
            None => values.push(segment.get(path)),
            Some(field) => {
                values.extend(segment.ranges(field).into_iter().map(|r| segment.value(field, r)));
            }
        }
    }
    values
}

/// MSH, FHS or BHS, when `segment` is one.
pub(crate) fn header_id(segment: &[u8]) -> Option<[u8; 3]> {
    let id = segment.first_chunk::<3>().filter(|id| HEADERS.contains(id))?;
    let is_longer_word = segment.get(3).is_some_and(u8::is_ascii_alphanumeric);
    (!is_longer_word).then_some(*id)
}

pub(crate) const HEADERS: [&[u8; 3]; 3] = [b"MSH", b"FHS", b"BHS"];
