//! What compiling needs besides the text: the files beside the channel, and a place for findings.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::channel::table::Table;
use crate::fhir::definitions::TypeId;
use crate::yaml::finding::Finding;
use crate::yaml::nearest::nearest;
use crate::yaml::node::{Node, Span};

/// The files beside a channel's YAML: a directory, or a stored bundle.
pub trait Files {
    /// The bytes of a file; `None` when there is none. The path is relative to the channel's file.
    fn read(&self, relative: &str) -> Option<Bytes>;

    /// The files of a folder, as relative paths, for hints.
    fn list(&self, folder: &str) -> Vec<String>;
}

/// No files at all: for expressions and channels that need none.
#[derive(Debug, Clone, Copy)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _relative: &str) -> Option<Bytes> {
        None
    }

    fn list(&self, _folder: &str) -> Vec<String> {
        Vec::new()
    }
}

/// Gathers findings and tables while a channel is compiled.
pub struct Build<'f> {
    files: &'f dyn Files,
    /// What is wrong so far.
    pub findings: Vec<Finding>,
    /// The FHIR resource types that the channel accepts: paths without a type are relative to them.
    pub resources: Vec<TypeId>,
    tables: BTreeMap<String, Option<Arc<Table>>>,
    used: BTreeMap<String, Bytes>,
}

/// Something wrong inside a scalar: which bytes of its text, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Stable code.
    pub code: &'static str,
    /// Which bytes of the scalar's text.
    pub at: Range<usize>,
    /// What is wrong.
    pub message: Box<str>,
    /// A note under the place.
    pub label: Option<Box<str>>,
    /// What to do.
    pub hint: Option<Box<str>>,
    /// A replacement of the marked text.
    pub fix: Option<Box<str>>,
}

impl Fault {
    /// A fault at a place of the scalar's text.
    pub fn new(code: &'static str, at: Range<usize>, message: impl Into<Box<str>>) -> Self {
        Self { code, at, message: message.into(), label: None, hint: None, fix: None }
    }

    /// With what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Box<str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With a note under the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<Box<str>>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// With a replacement of the marked text.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<Box<str>>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// The same fault of a text that starts `offset` bytes further on.
    #[must_use]
    pub fn shifted(mut self, offset: usize) -> Self {
        self.at = self.at.start + offset..self.at.end + offset;
        self
    }
}

impl<'f> Build<'f> {
    /// Nothing found yet.
    #[must_use]
    pub fn new(files: &'f dyn Files) -> Self {
        Self {
            files,
            findings: Vec::new(),
            resources: Vec::new(),
            tables: BTreeMap::new(),
            used: BTreeMap::new(),
        }
    }

    /// Notes an error at a node.
    pub fn error(&mut self, code: &'static str, node: &Node, message: impl Into<String>) {
        self.findings.push(Finding::error(code, node, message));
    }

    /// Notes an error at a node, with what to do.
    pub fn error_hint(
        &mut self,
        code: &'static str,
        node: &Node,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.findings.push(Finding::error(code, node, message).hint(hint));
    }

    /// Notes a fault inside a scalar, at its place in the file.
    pub fn fault(&mut self, node: &Node, fault: Fault) {
        let span = inside(node, &fault.at);
        let mut finding = Finding::at(fault.code, &node.source, span, fault.message);
        finding.label = fault.label.map(Into::into);
        finding.hint = fault.hint.map(Into::into);
        finding.fix = fault.fix.map(Into::into);
        self.findings.push(finding);
    }

    /// The result, or the fault noted.
    pub fn noted<T>(&mut self, node: &Node, result: Result<T, Fault>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(fault) => {
                self.fault(node, fault);
                None
            }
        }
    }

    /// A file beside the channel, remembered as used.
    pub fn file(&mut self, path: &str) -> Option<Bytes> {
        let bytes = self.files.read(path)?;
        self.used.insert(path.to_owned(), bytes.clone());
        Some(bytes)
    }

    /// The files of a folder, for hints.
    #[must_use]
    pub fn list(&self, folder: &str) -> Vec<String> {
        self.files.list(folder)
    }

    /// The table at a path, read once. What is wrong inside it is noted once, at its row.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn table(&mut self, path: &str, at: Range<usize>) -> Result<Arc<Table>, Fault> {
        if !self.tables.contains_key(path) {
            let Some(bytes) = self.file(path) else {
                return Err(self.no_table(path, at));
            };
            let table = Table::read(path, &bytes, &mut self.findings).map(Arc::new);
            self.tables.insert(path.to_owned(), table);
        }
        match self.tables.get(path).cloned().flatten() {
            Some(table) => Ok(table),
            None => Err(Fault::new("E0340", at, format!("the table {path} cannot be used"))
                .hint("see the finding inside the table")),
        }
    }

    fn no_table(&self, path: &str, at: Range<usize>) -> Fault {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let beside = self.files.list(folder);
        let fault = Fault::new("E0340", at, format!("there is no table {path}"));
        if path.starts_with(['[', '(']) {
            return fault
                .hint("`in` names a table; values stand one by one: MSH-9.2 is A01 or A04");
        }
        match nearest(path, beside.iter().map(String::as_str)) {
            Some(near) => fault.hint(format!("did you mean {near}?")).fix(near),
            None if beside.is_empty() => {
                fault.hint("tables are CSV files beside the channel's file, e.g. tables/sex.csv")
            }
            None => fault.hint(format!("there are: {}", beside.join(", "))),
        }
    }

    /// The files that were used, with their bytes: what a version of the channel consists of.
    #[must_use]
    pub fn into_used(self) -> (BTreeMap<String, Bytes>, Vec<Finding>) {
        (self.used, self.findings)
    }
}

/// The place in the file of some bytes of a scalar's text. Plain scalars stand as they are; a quoted
/// one starts after its quote; one whose text was unescaped or folded is marked whole.
fn inside(node: &Node, at: &Range<usize>) -> Span {
    let whole = node.span;
    let Some(text) = node.text() else { return whole };
    let written = node.source.text.get(whole.start..whole.end).unwrap_or_default();
    match written.find(text) {
        Some(offset) if !text.is_empty() => {
            let start = whole.start + offset + at.start.min(text.len());
            let end = whole.start + offset + at.end.min(text.len());
            Span { start, end: end.max(start) }
        }
        _ => whole,
    }
}
