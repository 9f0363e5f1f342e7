//! A message as segments, fields, repetitions and parts, and its bytes: escaped, in its charset, without
//! empty ends (HL7 v2.5.1 §2.5).

use bytes::Bytes;

use crate::hl7::charset::Charset;
use crate::hl7::escape;
use crate::hl7::separators::Separators;

/// One repetition of a field: components with their subcomponents.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Piece(Vec<Vec<String>>);

/// A segment; its fields count from 1.
#[derive(Clone, Default)]
pub(super) struct Segment {
    pub(super) id: [u8; 3],
    fields: Vec<Vec<Piece>>,
}

/// A field that the charset cannot write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unwritable {
    pub(super) place: String,
    pub(super) why: String,
}

impl Piece {
    /// A piece of one text; nothing of an empty one.
    pub(super) fn of(text: &str) -> Option<Self> {
        let mut piece = Self::default();
        piece.set(1, text);
        piece.filled()
    }

    /// Puts a text into a component, from 1.
    pub(super) fn set(&mut self, component: usize, text: &str) {
        self.set_part(component, 1, text);
    }

    /// Puts a text into a subcomponent, both from 1. An empty text changes nothing.
    pub(super) fn set_part(&mut self, component: usize, part: usize, text: &str) {
        let (Some(component), Some(part)) = (component.checked_sub(1), part.checked_sub(1)) else {
            return;
        };
        if text.is_empty() {
            return;
        }
        if self.0.len() <= component {
            self.0.resize(component + 1, Vec::new());
        }
        let Some(parts) = self.0.get_mut(component) else { return };
        if parts.len() <= part {
            parts.resize(part + 1, String::new());
        }
        if let Some(place) = parts.get_mut(part) {
            text.clone_into(place);
        }
    }

    /// The text of a component's first part.
    pub(super) fn text(&self, component: usize) -> &str {
        let parts = component.checked_sub(1).and_then(|at| self.0.get(at));
        parts.and_then(|parts| parts.first()).map_or("", String::as_str)
    }

    /// The components as parts of one component: what a type is inside another.
    pub(super) fn into_parts(self, component: usize) -> Self {
        let mut outer = Self::default();
        for (at, parts) in self.0.iter().enumerate() {
            outer.set_part(component, at + 1, parts.first().map_or("", String::as_str));
        }
        outer
    }

    /// Itself, unless nothing is in it.
    pub(super) fn filled(self) -> Option<Self> {
        let says = self.0.iter().flatten().any(|text| !text.is_empty());
        says.then_some(self)
    }
}

impl Segment {
    /// A segment without fields.
    pub(super) const fn new(id: [u8; 3]) -> Self {
        Self { id, fields: Vec::new() }
    }

    fn field_mut(&mut self, field: usize) -> Option<&mut Vec<Piece>> {
        let at = field.checked_sub(1)?;
        if self.fields.len() <= at {
            self.fields.resize(at + 1, Vec::new());
        }
        self.fields.get_mut(at)
    }

    /// Adds a repetition to a field.
    pub(super) fn add(&mut self, field: usize, piece: Piece) {
        if let Some(pieces) = self.field_mut(field) {
            pieces.push(piece);
        }
    }

    /// Sets a field to one text; an empty one changes nothing.
    pub(super) fn set(&mut self, field: usize, text: &str) {
        if let (Some(piece), Some(pieces)) = (Piece::of(text), self.field_mut(field)) {
            *pieces = vec![piece];
        }
    }

    /// Puts one repetition instead of all.
    pub(super) fn replace(&mut self, field: usize, piece: Piece) {
        if let Some(pieces) = self.field_mut(field) {
            *pieces = vec![piece];
        }
    }

    /// Puts a text into a component of the first repetition.
    pub(super) fn set_component(&mut self, field: usize, component: usize, text: &str) {
        let Some(pieces) = self.field_mut(field) else { return };
        if pieces.is_empty() {
            pieces.push(Piece::default());
        }
        if let Some(piece) = pieces.first_mut() {
            piece.set(component, text);
        }
    }

    /// Whether a field says something.
    pub(super) fn has(&self, field: usize) -> bool {
        let pieces = field.checked_sub(1).and_then(|at| self.fields.get(at));
        pieces.is_some_and(|pieces| pieces.iter().any(|piece| piece.clone().filled().is_some()))
    }

    /// Whether any field but the set id says something.
    pub(super) fn says_something(&self) -> bool {
        (2..=self.fields.len()).any(|field| self.has(field))
    }
}

/// The bytes of the message.
///
/// # Errors
/// When the charset has no character for something.
pub(super) fn write(segments: &[Segment], charset: Charset) -> Result<Bytes, Unwritable> {
    let separators = Separators::STANDARD;
    let mut bytes = Vec::with_capacity(segments.len() * 128);
    for segment in segments {
        bytes.extend_from_slice(&segment.id);
        let header = &segment.id == b"MSH";
        if header {
            bytes.extend_from_slice(br"|^~\&");
        }
        // MSH-1 and MSH-2 are the separators themselves.
        let skipped = if header { 2 } else { 0 };
        let last =
            segment.fields.iter().rposition(|pieces| !pieces.is_empty()).map_or(0, |at| at + 1);
        for (at, pieces) in segment.fields.iter().enumerate().take(last).skip(skipped) {
            bytes.push(separators.field);
            for (nth, piece) in pieces.iter().enumerate() {
                if nth > 0 {
                    bytes.push(b'~');
                }
                write_piece(piece, &separators, charset, &mut bytes).map_err(|why| Unwritable {
                    place: format!("{}-{}", String::from_utf8_lossy(&segment.id), at + 1),
                    why,
                })?;
            }
        }
        bytes.push(b'\r');
    }
    Ok(bytes.into())
}

fn write_piece(
    piece: &Piece,
    separators: &Separators,
    charset: Charset,
    into: &mut Vec<u8>,
) -> Result<(), String> {
    let filled = |parts: &Vec<String>| parts.iter().any(|text| !text.is_empty());
    let last = piece.0.iter().rposition(filled).map_or(0, |at| at + 1);
    for (at, parts) in piece.0.iter().take(last).enumerate() {
        if at > 0 {
            into.push(b'^');
        }
        let last = parts.iter().rposition(|text| !text.is_empty()).map_or(0, |at| at + 1);
        for (at, text) in parts.iter().take(last).enumerate() {
            if at > 0 {
                into.push(b'&');
            }
            let written =
                escape::encode(text, separators, charset).map_err(|error| error.to_string())?;
            into.extend_from_slice(&written);
        }
    }
    Ok(())
}
