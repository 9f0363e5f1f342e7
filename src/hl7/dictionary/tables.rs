//! The values of HL7's tables, e.g. table 0001 `F` is "Female", in Chinese 女.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::hl7::dictionary::Label;
use crate::hl7::dictionary::definitions::rows;

struct Table {
    name: &'static str,
    values: Vec<(&'static str, &'static str)>,
}

static TABLES: LazyLock<HashMap<u16, Table>> = LazyLock::new(|| {
    let mut tables = HashMap::new();
    let mut number = 0;
    for row in rows(include_str!("tables.tsv")) {
        let cells: Vec<&'static str> = row.split('\t').collect();
        match *cells.as_slice() {
            ["T", id, name] => {
                number = id.parse().unwrap_or(0);
                tables.insert(number, Table { name, values: Vec::new() });
            }
            [code, meaning] => {
                if let Some(table) = tables.get_mut(&number) {
                    table.values.push((code, meaning));
                }
            }
            _ => {}
        }
    }
    tables
});

/// Chinese by table and code; the table's own name stands under the empty code.
static CHINESE: LazyLock<HashMap<(u16, &'static str), &'static str>> = LazyLock::new(|| {
    rows(include_str!("tables_zh.tsv"))
        .filter_map(|row| {
            let mut cells = row.split('\t');
            let table = cells.next()?.parse().ok()?;
            Some(((table, cells.next()?), cells.next()?))
        })
        .collect()
});

fn label(table: u16, code: &'static str, en: &'static str) -> Label {
    Label { en, zh: CHINESE.get(&(table, code)).copied().unwrap_or(en) }
}

/// The name of a table.
#[must_use]
pub fn table(number: u16) -> Option<Label> {
    TABLES.get(&number).map(|table| label(number, "", table.name))
}

/// Every code of a table with its meaning, in the standard's order.
pub fn values(number: u16) -> impl Iterator<Item = (&'static str, Label)> {
    let values = TABLES.get(&number).map_or(&[][..], |table| &table.values);
    values.iter().map(move |(code, meaning)| (*code, label(number, code, meaning)))
}

/// The meaning of a code of a table.
#[must_use]
pub fn value(number: u16, code: &str) -> Option<Label> {
    values(number).find(|(known, _)| *known == code).map(|(_, meaning)| meaning)
}
