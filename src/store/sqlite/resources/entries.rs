//! How the values a resource is found by are kept: all of them with each version (`found_by`), and of each
//! the place in the index where to look. A place narrows down; what is found there is compared in full.

use std::collections::BTreeSet;

use rusqlite::ToSql;
use rusqlite::types::ToSqlOutput;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::message::criteria::ordered;
use crate::message::resource::{IndexValue, Indexed};
use crate::message::time::Timestamp;
use crate::store::sqlite::codec::{Cursor, cut, put_bytes, put_number, put_signed, size};
use crate::store::sqlite::dictionary::Words;

/// Bytes of a text that stand in its place.
const TEXT_BYTES_MAX: usize = 64;

// What a value is, as it is stored, and the seeds of their hashes.
const TOKEN: u8 = 1;
const REFERENCE: u8 = 2;
const REFERENCE_IDENTIFIER: u8 = 3;
const DATE: u8 = 4;
const TEXT: u8 = 5;
const QUANTITY: u8 = 6;
const URI: u8 = 7;
const TUPLE: u8 = 8;
const DISPLAY: u8 = 9;

/// Where in a slot a value stands: a hash, the end of a span, a number, or the start of a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store::sqlite) enum Place {
    /// Everything but text.
    Number(i64),
    /// The start of a folded text.
    Text(Box<str>),
}

impl ToSql for Place {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Number(number) => number.to_sql(),
            Self::Text(text) => text.to_sql(),
        }
    }
}

impl Place {
    /// For `json_each`.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Number(number) => (*number).into(),
            Self::Text(text) => (&**text).into(),
        }
    }
}

/// An entry of the index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store::sqlite) struct Entry {
    /// Type and parameter.
    pub(super) slot: u32,
    /// Where in it.
    pub(super) place: Place,
    /// The resource.
    pub(super) rid: i64,
}

fn hash(of: u8, text: &str) -> Place {
    Place::Number(xxh3_64_with_seed(text.as_bytes(), u64::from(of)).cast_signed())
}

/// The place of a token's code.
pub(super) fn of_code(code: &str) -> Place {
    hash(TOKEN, code)
}

/// The place of a reference.
pub(super) fn of_reference(id: &str) -> Place {
    hash(REFERENCE, id)
}

/// The place of a logical reference.
pub(super) fn of_reference_identifier(value: &str) -> Place {
    hash(REFERENCE_IDENTIFIER, value)
}

/// The place of a URI.
pub(super) fn of_uri(uri: &str) -> Place {
    hash(URI, uri)
}

/// The place of a text.
pub(super) fn of_text(folded: &str) -> Place {
    Place::Text(cut(folded, TEXT_BYTES_MAX).into())
}

/// The places of the texts that start with `folded`: the first and one behind the last.
pub(super) fn of_start(folded: &str) -> (Place, Place) {
    let start = cut(folded, TEXT_BYTES_MAX);
    (Place::Text(start.into()), Place::Text(format!("{start}\u{10ffff}").into()))
}

/// The place of a value.
pub(super) fn place(value: &Indexed) -> Place {
    match value {
        Indexed::Token { code, .. } => of_code(code),
        Indexed::Reference { id, .. } => of_reference(id),
        Indexed::ReferenceIdentifier { value, .. } => of_reference_identifier(value),
        Indexed::Date { to, .. } => Place::Number(to.0),
        Indexed::Text { folded, .. } => of_text(folded),
        Indexed::Quantity { value, .. } => Place::Number(ordered(*value)),
        Indexed::Uri(uri) => of_uri(uri),
        // A tuple stands where its first value does.
        Indexed::Tuple(values) => values.first().map_or(Place::Number(0), place),
        Indexed::Display(folded) => of_text(folded),
    }
}

/// Appends a value of a slot.
pub(super) fn put(out: &mut Vec<u8>, slot: u32, value: &Indexed) {
    put_number(out, u64::from(slot));
    let mut own = Vec::with_capacity(48);
    match value {
        Indexed::Token { system, code } => put_pair(&mut own, TOKEN, system, code),
        Indexed::Reference { kind, id } => put_pair(&mut own, REFERENCE, kind, id),
        Indexed::ReferenceIdentifier { system, value } => {
            put_pair(&mut own, REFERENCE_IDENTIFIER, system, value);
        }
        Indexed::Date { from, to } => {
            own.push(DATE);
            put_signed(&mut own, from.0);
            put_signed(&mut own, to.0.wrapping_sub(from.0));
        }
        Indexed::Text { folded, exact } => put_pair(&mut own, TEXT, folded, exact),
        Indexed::Quantity { value, system, code } => {
            put_pair(&mut own, QUANTITY, system, code);
            own.extend(value.to_bits().to_le_bytes());
        }
        Indexed::Uri(uri) => put_pair(&mut own, URI, "", uri),
        Indexed::Tuple(values) => {
            own.push(TUPLE);
            values.iter().for_each(|value| put(&mut own, 0, value));
        }
        Indexed::Display(folded) => put_pair(&mut own, DISPLAY, "", folded),
    }
    put_number(out, size(own.len()));
    out.extend(own);
}

fn put_pair(out: &mut Vec<u8>, tag: u8, first: &str, second: &str) {
    out.push(tag);
    put_bytes(out, first.as_bytes());
    put_bytes(out, second.as_bytes());
}

fn read(bytes: &[u8]) -> Option<Indexed> {
    let (tag, rest) = bytes.split_first()?;
    let mut cursor = Cursor(rest);
    if *tag == DATE {
        let from = cursor.signed()?;
        let to = from.wrapping_add(cursor.signed()?);
        return Some(Indexed::Date { from: Timestamp(from), to: Timestamp(to) });
    }
    if *tag == TUPLE {
        let mut values = Vec::new();
        while !cursor.is_empty() {
            cursor.small()?;
            values.push(read(cursor.bytes()?)?);
        }
        return Some(Indexed::Tuple(values.into()));
    }
    let (first, second): (Box<str>, Box<str>) = (cursor.text()?.into(), cursor.text()?.into());
    Some(match *tag {
        TOKEN => Indexed::Token { system: first, code: second },
        REFERENCE => Indexed::Reference { kind: first, id: second },
        REFERENCE_IDENTIFIER => Indexed::ReferenceIdentifier { system: first, value: second },
        TEXT => Indexed::Text { folded: first, exact: second },
        QUANTITY => {
            let value = f64::from_bits(cursor.hash()?);
            Indexed::Quantity { value, system: first, code: second }
        }
        URI => Indexed::Uri(second),
        DISPLAY => Indexed::Display(second),
        _ => return None,
    })
}

/// Slot and bytes of each value; `None` at damage.
fn split(found_by: &[u8]) -> Option<Vec<(u32, &[u8])>> {
    let mut cursor = Cursor(found_by);
    let mut values = Vec::new();
    while !cursor.is_empty() {
        values.push((cursor.small()?, cursor.bytes()?));
    }
    Some(values)
}

/// The values a version is found by, of the parameters asked for; `None` at damage.
pub(super) fn values(
    found_by: &[u8],
    slots: &Words<str>,
    wanted: impl Fn(&str) -> bool,
) -> Option<Vec<IndexValue>> {
    let mut values = Vec::new();
    for (slot, bytes) in split(found_by)? {
        let (_, param) = slots.get(slot)?.split_once('.')?;
        if wanted(param) {
            values.push(IndexValue { param: param.into(), value: read(bytes)? });
        }
    }
    Some(values)
}

/// The type of a resource, as the values it is found by name it.
pub(super) fn kind_of<'a>(found_by: &[u8], slots: &'a Words<str>) -> Option<&'a str> {
    let (kind, _) = slots.get(Cursor(found_by).small()?)?.split_once('.')?;
    Some(kind)
}

/// The entries of a version; none at damage. What codes are called has no entry: `:text` asks for any part of
/// it, which no place in an order can tell.
pub(super) fn entries(found_by: &[u8], rid: i64) -> BTreeSet<Entry> {
    let values = split(found_by).unwrap_or_default();
    let entry = |(slot, bytes): (u32, &[u8])| {
        let value = read(bytes).filter(|value| !matches!(value, Indexed::Display(_)))?;
        Some(Entry { slot, place: place(&value), rid })
    };
    values.into_iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were_kept() {
        let (system, code) = ("urn:s".into(), "Ä1".into());
        let kept = [
            Indexed::Token { system, code },
            Indexed::Reference { kind: "Patient".into(), id: "1".into() },
            Indexed::ReferenceIdentifier { system: "".into(), value: "v".into() },
            Indexed::Date { from: Timestamp(i64::MIN), to: Timestamp(i64::MAX) },
            Indexed::Text { folded: "muller".into(), exact: "Müller".into() },
            Indexed::Quantity { value: -1.5, system: "u".into(), code: "mg".into() },
            Indexed::Uri("http://a".into()),
            Indexed::Tuple([Indexed::Uri("u".into()), Indexed::Display("".into())].into()),
            Indexed::Display("headache".into()),
        ];
        let mut slots: Words<str> = Words::default();
        slots.put(3, "Patient.p".into());
        let mut out = Vec::new();
        for value in &kept {
            put(&mut out, 3, value);
        }
        let read = values(&out, &slots, |_| true).unwrap();
        assert!(read.iter().all(|value| &*value.param == "p"));
        assert_eq!(read.into_iter().map(|value| value.value).collect::<Vec<_>>(), kept);
        assert_eq!(values(&out, &slots, |_| false), Some(Vec::new()));
        assert_eq!(values(&out[..out.len() - 1], &slots, |_| true), None);
        assert_eq!(entries(&out, 9).len(), 8, "all but the display");
        assert_eq!(kind_of(&out, &slots), Some("Patient"));
    }
}
