//! What the standard says about segments, fields and data types, by version, in English and Chinese.
//!
//! The dictionary names things and finds typing errors in paths; it judges no message: a message that
//! breaks it is passed on as it is. Its data are generated (`scripts/dictionary/`) and read once, when
//! first asked for. Where the standard's versions differ, the rows say so: PID-3 is `CK` in 2.1 and
//! `CX` from 2.3.

pub mod check;
pub mod tables;

mod definitions;

use std::fmt;

use crate::hl7::dictionary::definitions::Definitions;

/// A name in two languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// The standard's own name.
    pub en: &'static str,
    /// The name in Chinese; the English one where there is no translation.
    pub zh: &'static str,
}

/// A version of HL7 v2 that the dictionary knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(u8);

impl Version {
    /// What a message without a readable version is taken for: the one most senders use.
    pub const DEFAULT: Self = Self(6);

    const NAMES: [&'static str; 12] = [
        "2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.8.1", "2.8.2",
    ];

    /// Reads MSH-12.1. A version that is not known falls back to the newest one before it (2.9 to
    /// 2.8.2, 2.7.1 to 2.7, `2.3.z` to 2.3); one that is no version at all to [`Version::DEFAULT`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let wanted = numbers(text);
        if wanted.len() < 2 || wanted.first() != Some(&2) {
            return Self::DEFAULT;
        }
        Self::all().rev().find(|version| numbers(version.name()) <= wanted).unwrap_or(Self(0))
    }

    /// Every version, the oldest first.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        (0..12).map(Self)
    }

    /// As written in MSH-12, e.g. `2.5.1`.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.get(usize::from(self.0)).copied().unwrap_or("2.8.2")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn numbers(version: &str) -> Vec<u32> {
    version.trim().split('.').map_while(|part| part.parse().ok()).collect()
}

/// What the standard says of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Three characters, e.g. `PID`.
    pub id: &'static str,
    /// Its name.
    pub name: Label,
}

/// How often a field may stand in its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// Once.
    Once,
    /// At most so many times.
    AtMost(u16),
    /// Any number of times.
    Freely,
}

impl Repeats {
    /// Whether a second repetition is allowed.
    #[must_use]
    pub const fn more_than_once(self) -> bool {
        !matches!(self, Self::Once)
    }
}

/// What the standard says of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its number in the segment, from 1.
    pub number: u16,
    /// Its name.
    pub label: Label,
    /// Its data type, e.g. `CX`; `varies` where another field names it, `WD` where it was withdrawn.
    pub data_type: &'static str,
    /// How often it may stand there.
    pub repeats: Repeats,
    /// Whether it must have a value.
    pub required: bool,
    /// The table its codes come from.
    pub table: Option<u16>,
}

/// What the standard says of a component of a data type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    /// Its number in the data type, from 1.
    pub number: u16,
    /// Its name.
    pub label: Label,
    /// Its own data type; its components are the subcomponents.
    pub data_type: &'static str,
    /// Whether it must have a value.
    pub required: bool,
    /// The table its codes come from.
    pub table: Option<u16>,
}

/// The segment with this id, if it exists in this version.
#[must_use]
pub fn segment(version: Version, id: &str) -> Option<Segment> {
    let known = Definitions::get().segment(id)?;
    known
        .fields
        .iter()
        .any(|row| row.holds_in(version.0))
        .then(|| Segment { id: known.id, name: Definitions::get().label(known.name) })
}

/// Every segment of this version, by id.
pub fn segments(version: Version) -> impl Iterator<Item = Segment> {
    Definitions::get().segment_ids().filter_map(move |id| segment(version, id))
}

/// A field of a segment, by its number.
#[must_use]
pub fn field(version: Version, segment: &str, number: u16) -> Option<Field> {
    fields(version, segment).find(|field| field.number == number)
}

/// The fields of a segment in order. Empty when the version has no such segment.
pub fn fields(version: Version, segment: &str) -> impl Iterator<Item = Field> {
    let definitions = Definitions::get();
    let rows = definitions.segment(segment).map_or(&[][..], |known| &known.fields);
    rows.iter().filter(move |row| row.holds_in(version.0)).map(|row| Field {
        number: row.number,
        label: definitions.label(row.name),
        data_type: row.data_type,
        repeats: match row.most {
            0 => Repeats::Freely,
            1 => Repeats::Once,
            most => Repeats::AtMost(most),
        },
        required: row.required,
        table: row.table,
    })
}

/// Number of the segment's last field; `None` when the version has no such segment.
#[must_use]
pub fn field_count(version: Version, segment: &str) -> Option<u16> {
    fields(version, segment).map(|field| field.number).max()
}

/// The name of a data type.
#[must_use]
pub fn data_type(id: &str) -> Option<Label> {
    let definitions = Definitions::get();
    definitions.data_type(id).map(|known| definitions.label(known.name))
}

/// A component of a data type, by its number.
#[must_use]
pub fn component(version: Version, data_type: &str, number: u16) -> Option<Component> {
    components(version, data_type).find(|component| component.number == number)
}

/// The components of a data type in order. Empty for a primitive type.
pub fn components(version: Version, data_type: &str) -> impl Iterator<Item = Component> {
    let definitions = Definitions::get();
    let rows = definitions.data_type(data_type).map_or(&[][..], |known| &known.fields);
    rows.iter().filter(move |row| row.holds_in(version.0)).map(|row| Component {
        number: row.number,
        label: definitions.label(row.name),
        data_type: row.data_type,
        required: row.required,
        table: row.table,
    })
}

/// The segment of this version whose id looks most like `id`: for "did you mean". Swapped characters
/// count as the slip they are.
#[must_use]
pub fn nearest_segment(version: Version, id: &str) -> Option<Segment> {
    let wanted = id.to_ascii_uppercase();
    let letters = |id: &str| {
        let mut letters: Vec<char> = id.chars().collect();
        letters.sort_unstable();
        letters
    };
    let likeness = |known: &str| {
        let swapped = if letters(known) == letters(&wanted) { 1.0 } else { 0.0 };
        swapped + strsim::jaro_winkler(&wanted, known)
    };
    segments(version)
        .map(|segment| (likeness(segment.id), segment))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, segment)| segment)
}

#[cfg(test)]
mod tests;
