//! Writes into one segment: finds the place of a path, makes what is missing of it, replaces its bytes.

use std::ops::Range;

use crate::hl7::charset::Charset;
use crate::hl7::edit::EditError;
use crate::hl7::escape;
use crate::hl7::locate;
use crate::hl7::path::{FieldPath, Path, Which};
use crate::hl7::segment::{SegmentRef, number};
use crate::hl7::separators::Separators;
use crate::hl7::value::Value;

/// Positions that are made by padding. Whoever writes further wrote a wrong number.
const MADE_MAX: usize = 4096;

/// The component that names the type of an identifier (CX.5).
const TYPE_COMPONENT: usize = 5;

/// What is to stand somewhere.
pub(super) struct New<'n> {
    /// The bytes.
    pub(super) raw: &'n [u8],
    /// Whether what stands there now says the same and stays.
    pub(super) stays: &'n dyn Fn(&[u8]) -> bool,
}

impl New<'_> {
    fn over<'a>(&'a self, now: &'a [u8]) -> &'a [u8] {
        if (self.stays)(now) { now } else { self.raw }
    }
}

/// The segment with something new at `path`; `None` when nothing changes: a value that is empty is not
/// given a place to stand.
pub(super) fn write(
    segment: &SegmentRef<'_>,
    path: &Path,
    field: &FieldPath,
    charset: Charset,
    new: &New<'_>,
) -> Result<Option<Vec<u8>>, EditError> {
    // The usual case: one place, and it is there.
    let one = field.repetition != Which::All;
    if one && let Some(range) = segment.first_range(field) {
        return Ok(Some(spliced(segment.bytes, range, new)));
    }
    let is_whole = field.repetition == Which::Unsaid && field.component.is_none();
    if segment.ranges(field).is_empty() {
        let is_nothing = new.over(b"").is_empty();
        if is_nothing || field.repetition == Which::All && is_without(segment, field) {
            return Ok(None);
        }
    }
    let mut place =
        Place { bytes: segment.bytes.to_vec(), separators: segment.separators, path, charset };
    let whole = place.field(segment, number(field.number))?;
    if is_whole {
        place.replace(whole, new);
        return Ok(Some(place.bytes));
    }
    // From the last to the first, so that the ranges before a change stay right.
    for repetition in place.repetitions(segment, field, whole)?.into_iter().rev() {
        let target = place.below(field, repetition)?;
        place.replace(target, new);
    }
    Ok(Some(place.bytes))
}

fn spliced(bytes: &[u8], range: Range<usize>, new: &New<'_>) -> Vec<u8> {
    let part = |range: Range<usize>| bytes.get(range).unwrap_or_default();
    let (before, behind) = (part(0..range.start), part(range.end..bytes.len()));
    let now = part(range);
    [before, new.over(now), behind].concat()
}

/// The segment without what `field` names.
pub(super) fn remove(segment: &SegmentRef<'_>, field: &FieldPath) -> Vec<u8> {
    let mut bytes = segment.bytes.to_vec();
    let mut ranges = segment.ranges(field);
    if field.component.is_none() {
        match field.repetition {
            Which::Unsaid => {}
            Which::All => ranges = segment.field_range(number(field.number)).into_iter().collect(),
            Which::Nth(_) | Which::Typed(_) => {
                let whole = segment.field_range(number(field.number)).unwrap_or(0..0);
                let with_separator = |range| with_separator(range, &whole);
                ranges = ranges.into_iter().map(with_separator).collect();
            }
        }
    }
    for range in ranges.into_iter().rev() {
        bytes.drain(range);
    }
    bytes
}

/// A repetition and the separator that goes with it: the one behind it, or before it when it is the last.
fn with_separator(range: Range<usize>, field: &Range<usize>) -> Range<usize> {
    if range.end < field.end {
        range.start..range.end.saturating_add(1)
    } else if range.start > field.start {
        range.start.saturating_sub(1)..range.end
    } else {
        range
    }
}

/// Whether `raw` fits at `field` without changing anything around it.
pub(super) fn is_one_value(raw: &[u8], field: &FieldPath, separators: &Separators) -> bool {
    let mut forbidden = vec![Some(b'\r'), Some(separators.field)];
    if field.component.is_some() || field.repetition != Which::Unsaid {
        forbidden.push(separators.repetition);
    }
    if field.component.is_some() {
        forbidden.push(separators.component);
    }
    if field.subcomponent.is_some() {
        forbidden.push(separators.subcomponent);
    }
    let holds = |byte| locate::next(raw, 0, byte, separators.width).is_some();
    !forbidden.into_iter().flatten().any(holds)
}

fn is_without(segment: &SegmentRef<'_>, field: &FieldPath) -> bool {
    segment.field(number(field.number)).is_empty()
}

struct Place<'p> {
    bytes: Vec<u8>,
    separators: Separators,
    path: &'p Path,
    charset: Charset,
}

impl Place<'_> {
    fn replace(&mut self, range: Range<usize>, new: &New<'_>) {
        if !(new.stays)(self.bytes.get(range.clone()).unwrap_or_default()) {
            self.bytes.splice(range, new.raw.iter().copied());
        }
    }

    fn field(&mut self, segment: &SegmentRef<'_>, field: usize) -> Result<Range<usize>, EditError> {
        // MSH-1 is the separator itself, so that the fields of a header stand one piece earlier.
        let piece = if segment.is_header() { field } else { field.saturating_add(1) };
        let all = 0..self.bytes.len();
        self.make(all, Some(self.separators.field), piece)
    }

    fn repetitions(
        &mut self,
        segment: &SegmentRef<'_>,
        path: &FieldPath,
        field: Range<usize>,
    ) -> Result<Vec<Range<usize>>, EditError> {
        let separator = self.separators.repetition;
        match &path.repetition {
            Which::Unsaid => Ok(vec![self.make(field, separator, 1)?]),
            Which::Nth(n) => Ok(vec![self.make(field, separator, number(*n))?]),
            Which::All => {
                let width = self.separators.width;
                Ok(locate::pieces(&self.bytes, field, separator, width).collect())
            }
            Which::Typed(kind) => Ok(vec![self.typed(segment, field, kind)?]),
        }
    }

    /// The repetition of this type; a new one with the type in its fifth component when there is none.
    fn typed(
        &mut self,
        segment: &SegmentRef<'_>,
        field: Range<usize>,
        kind: &str,
    ) -> Result<Range<usize>, EditError> {
        let separators = self.separators;
        let width = separators.width;
        let divide = |bytes: &[u8], range: Range<usize>, separator| -> Vec<Range<usize>> {
            locate::pieces(bytes, range, separator, width).collect()
        };
        let repetitions = divide(&self.bytes, field.clone(), separators.repetition);
        let now = SegmentRef::new(segment.index, 0, &self.bytes, separators);
        let found = repetitions.iter().find(|r| now.is_of_type((*r).clone(), separators, kind));
        if let Some(found) = found {
            return Ok(found.clone());
        }
        let is_empty =
            Value::of(self.bytes.get(field.clone()).unwrap_or_default(), separators).is_empty();
        let nth = if is_empty { 1 } else { repetitions.len().saturating_add(1) };
        let fresh = self.make(field, separators.repetition, nth)?;
        let start = fresh.start;
        let kind_at = self.make(fresh, separators.component, TYPE_COMPONENT)?;
        let written = escape::encode(kind, &separators, self.charset)
            .map_err(|error| EditError::Write { path: self.path.to_string(), error })?
            .into_owned();
        let end = kind_at.start.saturating_add(written.len());
        self.bytes.splice(kind_at, written);
        Ok(start..end)
    }

    fn below(
        &mut self,
        path: &FieldPath,
        repetition: Range<usize>,
    ) -> Result<Range<usize>, EditError> {
        let Some(component) = path.component else { return Ok(repetition) };
        let component = self.make(repetition, self.separators.component, number(component))?;
        let Some(subcomponent) = path.subcomponent else { return Ok(component) };
        self.make(component, self.separators.subcomponent, number(subcomponent))
    }

    /// The `nth` piece (from 1) of a range, made by padding with separators when it is missing. A value
    /// that was whole so far thereby becomes the first piece.
    fn make(
        &mut self,
        within: Range<usize>,
        separator: Option<u8>,
        nth: usize,
    ) -> Result<Range<usize>, EditError> {
        let end = within.end;
        let mut count = 0_usize;
        for piece in locate::pieces(&self.bytes, within, separator, self.separators.width) {
            count = count.saturating_add(1);
            if count == nth {
                return Ok(piece);
            }
        }
        let path = || self.path.to_string();
        let separator = separator.ok_or_else(|| EditError::NoDelimiter { path: path() })?;
        if nth > MADE_MAX {
            return Err(EditError::TooFar { path: path(), limit: MADE_MAX });
        }
        let missing = nth.saturating_sub(count);
        self.bytes.splice(end..end, std::iter::repeat_n(separator, missing));
        let at = end.saturating_add(missing);
        Ok(at..at)
    }
}
