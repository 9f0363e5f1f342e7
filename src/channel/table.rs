//! Tables: CSV files that translate codes. The first row names the columns, the first column is the key.
//!
//! A lookup answers *found* or *not found*; what happens then is the destination's `unmapped_code`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::yaml::finding::Finding;
use crate::yaml::nearest::nearest;
use crate::yaml::node::{Source, Span};

/// Most rows a table may have.
pub const ROWS_MAX: usize = 500_000;

/// A table, read once and shared by all who look something up in it.
#[derive(Debug)]
pub struct Table {
    /// The path as written in the channel, e.g. `tables/sex.csv`.
    pub path: Arc<str>,
    columns: Vec<Box<str>>,
    rows: HashMap<Box<str>, Box<[Box<str>]>>,
}

impl Table {
    /// Reads a table; what is wrong with it goes to `findings`. `None` when it has no usable header.
    pub fn read(path: &str, bytes: &[u8], findings: &mut Vec<Finding>) -> Option<Self> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let source = Arc::new(Source {
            name: path.to_owned(),
            text: String::from_utf8_lossy(bytes).into_owned(),
        });
        if let Err(error) = std::str::from_utf8(bytes) {
            let at = Span { start: error.valid_up_to(), end: error.valid_up_to() + 1 };
            findings.push(
                Finding::at("E0341", &source, at, "the table is not UTF-8")
                    .hint("save it as UTF-8 (in Excel: \"CSV UTF-8\")"),
            );
            return None;
        }
        let mut reader =
            csv::ReaderBuilder::new().flexible(true).from_reader(source.text.as_bytes());
        let columns: Vec<Box<str>> = match reader.headers() {
            Ok(header) => header.iter().map(|name| name.trim().into()).collect(),
            Err(_) => Vec::new(),
        };
        if columns.iter().all(|name| name.is_empty()) {
            findings.push(
                Finding::at("E0342", &source, Span::default(), "the table is empty")
                    .hint("the first row names the columns, e.g. `code,display`"),
            );
            return None;
        }
        let mut table = Self { path: path.into(), columns, rows: HashMap::new() };
        let mut record = csv::StringRecord::new();
        loop {
            let start = offset(reader.position());
            match reader.read_record(&mut record) {
                Ok(false) => break,
                Ok(true) => {
                    let place = record_span(&source.text, start, offset(reader.position()));
                    table.add(&record, &source, place, findings);
                }
                Err(error) => {
                    let place = record_span(&source.text, start, source.text.len());
                    let said = format!("this row cannot be read: {}", words(&error));
                    findings.push(Finding::at("E0343", &source, place, said));
                    break;
                }
            }
        }
        Some(table)
    }

    fn add(
        &mut self,
        record: &csv::StringRecord,
        source: &Arc<Source>,
        place: Span,
        findings: &mut Vec<Finding>,
    ) {
        if record.iter().all(str::is_empty) {
            return;
        }
        if record.len() != self.columns.len() {
            let said = format!(
                "this row has {} values, the header names {} columns",
                record.len(),
                self.columns.len()
            );
            findings.push(
                Finding::at("E0343", source, place, said)
                    .hint("a value that holds a comma stands in double quotes"),
            );
            return;
        }
        if self.rows.len() >= ROWS_MAX {
            if self.rows.len() == ROWS_MAX {
                let said = format!("the table has more than {ROWS_MAX} rows");
                findings.push(Finding::at("E0345", source, place, said));
            }
            return;
        }
        let key: Box<str> = record.get(0).unwrap_or_default().into();
        if self.rows.contains_key(&key) {
            let said = format!("the key \"{key}\" stands here a second time");
            findings
                .push(Finding::at("E0344", source, place, said).hint("keep one of the two rows"));
            return;
        }
        self.rows.insert(key, record.iter().map(Into::into).collect());
    }

    /// How many rows it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The names of its columns.
    #[must_use]
    pub fn columns(&self) -> &[Box<str>] {
        &self.columns
    }

    /// The place of the column with this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| &**column == name)
    }

    /// Whether there is a row with this key.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.rows.contains_key(key)
    }

    /// The value in the row with this key; `None` when there is no such row.
    #[must_use]
    pub fn get(&self, key: &str, column: usize) -> Option<&str> {
        self.rows.get(key)?.get(column).map(|value| &**value)
    }

    /// Its keys with the values of the second column, sorted.
    #[must_use]
    pub fn rows(&self) -> Vec<(&str, &str)> {
        let mut rows: Vec<(&str, &str)> = self
            .rows
            .iter()
            .map(|(key, row)| (&**key, row.get(1).map(|value| &**value).unwrap_or_default()))
            .collect();
        rows.sort_unstable();
        rows
    }

    /// The key that was probably meant: the same but for blanks and case, else the most similar.
    #[must_use]
    pub fn nearest(&self, key: &str) -> Option<&str> {
        let plain = key.trim().to_lowercase();
        let mut keys: Vec<&str> = self.rows.keys().map(|key| &**key).collect();
        keys.sort_unstable();
        let same = keys.iter().find(|row| row.trim().to_lowercase() == plain);
        same.copied().or_else(|| nearest(key, keys))
    }
}

fn offset(position: &csv::Position) -> usize {
    usize::try_from(position.byte()).unwrap_or(usize::MAX)
}

/// The row's own characters, without the line end before and after.
fn record_span(text: &str, start: usize, end: usize) -> Span {
    let row = text.get(start..end).unwrap_or_default();
    let start = start + (row.len() - row.trim_start().len());
    Span { start, end: (start + row.trim().len()).max(start) }
}

fn words(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { .. } => "it has another number of values".to_owned(),
        _ => "check its quotes".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Table>, Vec<Finding>) {
        let mut findings = Vec::new();
        let table = Table::read("tables/t.csv", text.as_bytes(), &mut findings);
        (table, findings)
    }

    #[test]
    fn finds_by_the_first_column() {
        let (table, findings) = read("\u{feff}code,fhir,zh\nF,female,女\nM,male,\"男, 男性\"\n");
        let table = table.unwrap();
        assert!(findings.is_empty());
        assert_eq!(table.len(), 2);
        assert_eq!(table.get("F", 1), Some("female"));
        assert_eq!(table.get("M", table.column("zh").unwrap()), Some("男, 男性"));
        assert_eq!(table.get("X", 1), None);
    }

    #[test]
    fn reports_a_key_that_stands_twice_at_its_row() {
        let (_, findings) = read("code,fhir\nF,female\nM,male\nF,woman\n");
        assert_eq!(findings.len(), 1);
        let finding = &findings[0];
        assert_eq!(finding.code, "E0344");
        let marked = finding.source.text.get(finding.span.start..finding.span.end);
        assert_eq!(marked, Some("F,woman"));
    }

    #[test]
    fn reports_a_row_of_another_length() {
        let (table, findings) = read("code,fhir\nF\n\nM,male\n");
        assert_eq!((table.unwrap().len(), findings[0].code), (1, "E0343"));
    }

    #[test]
    fn refuses_what_is_empty_or_not_utf8() {
        assert_eq!(read("").1[0].code, "E0342");
        let mut findings = Vec::new();
        assert!(Table::read("t.csv", b"code,zh\nF,\xC5\xFF\n", &mut findings).is_none());
        assert_eq!(findings[0].code, "E0341");
    }

    #[test]
    fn names_the_nearest_key() {
        let (table, _) = read("code,x\nF,1\nfinal,2\npreliminary,3\n");
        let table = table.unwrap();
        assert_eq!(table.nearest("F "), Some("F"));
        assert_eq!(table.nearest("FINAL"), Some("final"));
        assert_eq!(table.nearest("prelimnary"), Some("preliminary"));
        assert_eq!(table.nearest("zzzzzzz"), None);
    }
}
