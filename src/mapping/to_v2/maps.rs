//! The maps: segments with their rows, code tables. YAML in the binary, compiled at the first use.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::mapping::to_v2::language::{Row, row};
use crate::yaml::node::{Node, Source};
use crate::yaml::parse::parse;

/// The files of the maps.
const FILES: [(&str, &str); 5] = [
    ("people.yaml", include_str!("maps/people.yaml")),
    ("visits.yaml", include_str!("maps/visits.yaml")),
    ("results.yaml", include_str!("maps/results.yaml")),
    ("orders.yaml", include_str!("maps/orders.yaml")),
    ("tables.yaml", include_str!("maps/tables.yaml")),
];

/// All maps.
#[derive(Debug, Default)]
pub(super) struct Maps {
    segments: HashMap<Box<str>, Vec<Row>>,
    tables: HashMap<Box<str>, HashMap<Box<str>, Box<str>>>,
    /// What of the files cannot be read; a test holds that there is nothing.
    pub(super) wrong: Vec<String>,
}

/// The maps.
pub(super) fn maps() -> &'static Maps {
    static MAPS: OnceLock<Maps> = OnceLock::new();
    MAPS.get_or_init(Maps::read)
}

impl Maps {
    fn read() -> Self {
        let mut maps = Self::default();
        for (name, text) in FILES {
            let source = Source { name: name.to_owned(), text: text.to_owned() };
            let (node, findings) = parse(Arc::new(source));
            maps.wrong.extend(findings.iter().map(|found| format!("{name}: {}", found.message)));
            if let Some(node) = node {
                maps.add(name, &node);
            }
        }
        maps
    }

    fn add(&mut self, file: &str, node: &Node) {
        for (name, rows) in node.get("segments").map(Node::entries).unwrap_or_default() {
            let mut compiled = Vec::new();
            for item in rows.items() {
                let text = item.text().unwrap_or_default();
                match row(text) {
                    Ok(row) => compiled.push(row),
                    Err(why) => self.wrong.push(format!("{file}: {text}: {why}")),
                }
            }
            self.segments.insert(name.text.as_str().into(), compiled);
        }
        for (name, table) in node.get("tables").map(Node::entries).unwrap_or_default() {
            let codes = table.get("codes").map(Node::entries).unwrap_or_default();
            let pairs = codes.iter().filter_map(|(code, value)| {
                Some((code.text.as_str().into(), value.text()?.into()))
            });
            self.tables.insert(name.text.as_str().into(), pairs.collect());
        }
    }

    /// The rows of a segment made of a resource type: `PID of Patient`.
    pub(super) fn rows(&self, name: &str) -> &[Row] {
        self.segments.get(name).map_or(&[], Vec::as_slice)
    }

    /// What a code of FHIR is in HL7 v2, by the table of this name.
    pub(super) fn code(&self, table: &str, code: &str) -> Option<&str> {
        self.tables.get(table)?.get(code).map(|found| &**found)
    }

    /// Every row.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Row)> {
        self.segments.iter().flat_map(|(name, rows)| rows.iter().map(move |row| (&**name, row)))
    }

    /// Whether there is a table of this name.
    #[cfg(test)]
    pub(super) fn has_table(&self, name: &str) -> bool {
        self.tables.contains_key(name)
    }
}
