//! One row of a map: what is read of a resource, and the field it becomes.
//!
//! ```text
//! row = source { " or " source } " -> " SEG-n[.c]["[]"] " as " TYPE ["(" text { "," text } ")"]
//!       [" required"] [" otherwise " text]
//! ```
//!
//! A source is FHIRPath relative to the resource of the segment, or `=text`. The first one that finds
//! something counts. `[]` takes all that is found, as repetitions; without it the first. Rows that name
//! one field add repetitions to it; a row with `.c` fills a component of the first.

use crate::fhir::path::Path;

/// What a row reads.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A text of the map itself.
    Literal(Box<str>),
    /// What a path finds.
    Path(Path),
}

/// One row.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) sources: Vec<Source>,
    pub(super) segment: [u8; 3],
    pub(super) field: usize,
    /// The component it fills; nothing: the whole field.
    pub(super) component: Option<usize>,
    pub(super) all: bool,
    pub(super) kind: Box<str>,
    pub(super) arguments: Vec<Box<str>>,
    pub(super) required: bool,
    pub(super) otherwise: Option<Box<str>>,
}

impl Row {
    /// The field in words: `PID-3`.
    pub(super) fn place(&self) -> String {
        format!("{}-{}", String::from_utf8_lossy(&self.segment), self.field)
    }

    /// The first source as written, for findings.
    pub(super) fn element(&self) -> &str {
        self.sources
            .iter()
            .find_map(|source| match source {
                Source::Path(path) => Some(path.text()),
                Source::Literal(_) => None,
            })
            .unwrap_or_default()
    }
}

/// Reads a row.
///
/// # Errors
/// What cannot be read of it.
pub(super) fn row(text: &str) -> Result<Row, String> {
    let (from, to) = text.split_once(" -> ").ok_or("` -> ` is missing")?;
    let sources: Result<Vec<Source>, String> = alternatives(from).into_iter().map(source).collect();
    let (to, otherwise) = match to.split_once(" otherwise ") {
        Some((to, text)) => (to, Some(text.trim().into())),
        None => (to, None),
    };
    let (to, required) = match to.strip_suffix(" required") {
        Some(to) => (to, true),
        None => (to, false),
    };
    let (place, kind) = to.split_once(" as ").ok_or("` as ` is missing")?;
    let (place, all) = match place.strip_suffix("[]") {
        Some(place) => (place, true),
        None => (place, false),
    };
    let (segment, field) = place.split_once('-').ok_or("a field is like PID-3")?;
    let (field, component) = match field.split_once('.') {
        Some((field, component)) => (field, Some(number(component)?)),
        None => (field, None),
    };
    let (kind, arguments) = match kind.strip_suffix(')').and_then(|kind| kind.split_once('(')) {
        Some((kind, inside)) => (kind, inside.split(',').map(|one| one.trim().into()).collect()),
        None => (kind, Vec::new()),
    };
    Ok(Row {
        sources: sources?,
        segment: segment.as_bytes().try_into().map_err(|_| format!("{segment} is no segment"))?,
        field: number(field)?,
        component,
        all,
        kind: kind.trim().into(),
        arguments,
        required,
        otherwise,
    })
}

/// The sources, divided by ` or ` outside brackets: inside, FHIRPath has its own.
fn alternatives(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0usize, 0, Vec::new());
    for (at, sign) in text.char_indices() {
        match sign {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 && at >= from => {
                let rest = text.get(at..).unwrap_or_default();
                if rest.starts_with(" or ") {
                    parts.push(text.get(from..at).unwrap_or_default());
                    from = at + " or ".len();
                }
            }
            _ => {}
        }
    }
    parts.push(text.get(from..).unwrap_or_default());
    parts
}

fn source(text: &str) -> Result<Source, String> {
    match text.trim().strip_prefix('=') {
        Some(text) => Ok(Source::Literal(text.into())),
        None => Path::parse(text.trim()).map(Source::Path).map_err(|error| error.to_string()),
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("{text} is no number"))
}
