//! The generated definitions, read once into lists that are searched by id.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use crate::hl7::dictionary::Label;

static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(|| {
    Definitions::read(include_str!("definitions.tsv"), include_str!("labels_zh.tsv"))
});

/// One field or component, for a run of versions.
pub(super) struct Row {
    pub(super) number: u16,
    since: u8,
    until: u8,
    pub(super) data_type: &'static str,
    /// Most repetitions; 0 is any number.
    pub(super) most: u16,
    pub(super) required: bool,
    pub(super) table: Option<u16>,
    pub(super) name: &'static str,
}

impl Row {
    pub(super) const fn holds_in(&self, version: u8) -> bool {
        self.since <= version && version <= self.until
    }
}

/// A segment with its fields, or a data type with its components.
pub(super) struct Structure {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) fields: Vec<Row>,
}

/// All segments and data types.
pub(super) struct Definitions {
    segments: BTreeMap<&'static str, Structure>,
    data_types: BTreeMap<&'static str, Structure>,
    chinese: HashMap<&'static str, &'static str>,
}

impl Definitions {
    pub(super) fn get() -> &'static Self {
        &DEFINITIONS
    }

    pub(super) fn segment(&self, id: &str) -> Option<&Structure> {
        self.segments.get(id)
    }

    pub(super) fn segment_ids(&self) -> impl Iterator<Item = &'static str> {
        self.segments.keys().copied()
    }

    pub(super) fn data_type(&self, id: &str) -> Option<&Structure> {
        self.data_types.get(id)
    }

    pub(super) fn label(&self, en: &'static str) -> Label {
        Label { en, zh: self.chinese.get(en).copied().unwrap_or(en) }
    }

    fn read(definitions: &'static str, chinese: &'static str) -> Self {
        let mut read = Self {
            segments: BTreeMap::new(),
            data_types: BTreeMap::new(),
            chinese: rows(chinese).filter_map(|row| row.split_once('\t')).collect(),
        };
        let mut open: Option<(&str, Structure)> = None;
        for row in rows(definitions) {
            let cells: Vec<&'static str> = row.split('\t').collect();
            match *cells.as_slice() {
                [kind @ ("S" | "T"), id, name] => {
                    read.close(open.replace((kind, Structure { id, name, fields: Vec::new() })));
                }
                ["F", number, span, data_type, most, required, table, name] => {
                    if let Some((_, structure)) = &mut open {
                        let most = most.parse().unwrap_or(0);
                        structure.fields.extend(Row::read(
                            number, span, data_type, most, required, table, name,
                        ));
                    }
                }
                ["C", number, span, data_type, required, table, name] => {
                    if let Some((_, structure)) = &mut open {
                        structure
                            .fields
                            .extend(Row::read(number, span, data_type, 1, required, table, name));
                    }
                }
                _ => {}
            }
        }
        read.close(open);
        read
    }

    fn close(&mut self, done: Option<(&str, Structure)>) {
        match done {
            Some(("S", segment)) => self.segments.insert(segment.id, segment),
            Some((_, data_type)) => self.data_types.insert(data_type.id, data_type),
            None => None,
        };
    }
}

impl Row {
    /// `span` is two hexadecimal digits: the first and the last version it holds in.
    fn read(
        number: &str,
        span: &str,
        data_type: &'static str,
        most: u16,
        required: &str,
        table: &str,
        name: &'static str,
    ) -> Option<Self> {
        let mut versions = span.chars().filter_map(|digit| digit.to_digit(16));
        Some(Self {
            number: number.parse().ok()?,
            since: u8::try_from(versions.next()?).ok()?,
            until: u8::try_from(versions.next()?).ok()?,
            data_type,
            most,
            required: required == "R",
            table: table.parse().ok(),
            name,
        })
    }
}

/// The rows of a generated file, without its comments.
pub(super) fn rows(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}
