//! Reads YAML 1.2 text into a [`Node`] with places, from the events of `saphyr-parser`.
//!
//! Stricter than YAML: keys are scalars and unique, no tags, no merge keys, one document, and limits on
//! size, depth and what aliases may expand to.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span as Marks};

use crate::yaml::finding::Finding;
use crate::yaml::node::{Key, Node, Source, Span, Value};
use crate::yaml::syntax;

/// Largest text read, in bytes.
pub const TEXT_BYTES_MAX: usize = 4 << 20;
/// Deepest nesting.
pub const DEPTH_MAX: usize = 64;
/// Most nodes of a document, aliases counted as what they expand to.
pub const NODES_MAX: usize = 200_000;

/// Reads a document. Without a node there is at least one finding; with one there may be some, too.
#[must_use]
pub fn parse(source: Arc<Source>) -> (Option<Node>, Vec<Finding>) {
    if let Some(finding) = refuse_text(&source) {
        return (None, vec![finding]);
    }
    let bom = if source.text.starts_with('\u{FEFF}') { '\u{FEFF}'.len_utf8() } else { 0 };
    let text = source.text.get(bom..).unwrap_or_default();
    let mut builder = Builder::new(Arc::clone(&source), bom);
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let stop = match event {
            Ok((event, marks)) => builder.take(event, &marks),
            Err(error) => {
                let at = builder.offset(error.marker());
                builder.findings.push(syntax::finding(&source, at, error.info()));
                Err(Stop)
            }
        };
        if stop.is_err() {
            return (None, builder.findings);
        }
    }
    if builder.root.is_none() && builder.findings.is_empty() {
        let finding = Finding::at("E0010", &source, Span::default(), "the file is empty");
        builder.findings.push(finding);
    }
    (builder.root, builder.findings)
}

/// What makes a text unreadable before its first token.
fn refuse_text(source: &Arc<Source>) -> Option<Finding> {
    if source.text.len() > TEXT_BYTES_MAX {
        let said =
            format!("the file has {} bytes, the most is {TEXT_BYTES_MAX}", source.text.len());
        let finding = Finding::at("E0007", source, Span::default(), said);
        return Some(finding.hint("keep samples and tables in files of their own"));
    }
    let (at, found) = source
        .text
        .char_indices()
        .find(|(_, c)| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}'))?;
    let span = Span { start: at, end: at + found.len_utf8() };
    let said = format!("a control character (U+{:04X}) stands in the text", u32::from(found));
    let finding = Finding::at("E0002", source, span, said);
    Some(
        finding
            .hint("remove it; inside double quotes it can be written as an escape, e.g. \"\\x0B\""),
    )
}

/// Reading ends here; the reason is among the findings.
struct Stop;

/// A collection whose end has not come yet.
struct Open {
    anchor: usize,
    start: usize,
    kind: OpenKind,
}

enum OpenKind {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<(Key, Node)>, seen: HashMap<String, Span>, next: Next },
}

/// What a mapping waits for.
enum Next {
    Key,
    ValueOf(Key),
    /// The value of a key that was refused: dropped.
    Dropped,
}

struct Anchored {
    node: Node,
    nodes: usize,
    depth: usize,
}

struct Builder {
    source: Arc<Source>,
    /// Byte offset of each line's first character.
    lines: Vec<usize>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    documents: usize,
    root: Option<Node>,
    findings: Vec<Finding>,
}

impl Builder {
    fn new(source: Arc<Source>, bom: usize) -> Self {
        let lines = line_starts(&source.text, bom);
        Self {
            source,
            lines,
            stack: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            documents: 0,
            root: None,
            findings: Vec::new(),
        }
    }

    /// The byte a marker means. Only line and column are right: the scanner counts some characters of
    /// comments as bytes in its index.
    fn offset(&self, marker: &Marker) -> usize {
        let Some(start) = self.lines.get(marker.line().saturating_sub(1)).copied() else {
            return self.source.text.len();
        };
        let rest = self.source.text.get(start..).unwrap_or_default();
        rest.char_indices().nth(marker.col()).map_or(self.source.text.len(), |(at, _)| start + at)
    }

    fn span(&self, marks: &Marks) -> Span {
        let start = self.offset(&marks.start);
        let end = self.offset(&marks.end).max(start);
        let text = self.source.text.get(start..end).unwrap_or_default();
        Span { start, end: start + text.trim_end().len() }
    }

    /// A scalar's own place: the scanner counts its anchor in.
    fn behind_anchor(&self, span: Span) -> Span {
        let text = self.source.text.get(span.start..span.end).unwrap_or_default();
        let Some((_, own)) = text.strip_prefix('&').and_then(|t| t.split_once(char::is_whitespace))
        else {
            return span;
        };
        Span { start: span.end - own.trim_start().len(), end: span.end }
    }

    fn error(&mut self, code: &'static str, span: Span, said: impl Into<String>, hint: &str) {
        self.findings.push(Finding::at(code, &self.source, span, said).hint(hint));
    }

    fn take(&mut self, event: Event<'_>, marks: &Marks) -> Result<(), Stop> {
        let span = self.span(marks);
        match event {
            Event::DocumentStart(_) => self.document(span),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let span = if anchor == 0 { span } else { self.behind_anchor(span) };
                let quoted = style != ScalarStyle::Plain;
                let null = !quoted && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if null {
                    Value::Null
                } else {
                    Value::Scalar { text: text.into_owned(), quoted }
                };
                self.complete(value, span, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.open(anchor, span, OpenKind::Sequence(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let entries = Vec::new();
                let kind = OpenKind::Mapping { entries, seen: HashMap::new(), next: Next::Key };
                self.open(anchor, span, kind)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn document(&mut self, span: Span) -> Result<(), Stop> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        self.error(
            "E0006",
            span,
            "a second document begins here",
            "one file holds one document; remove the line `---` or make a second file",
        );
        Err(Stop)
    }

    fn refuse_tag(&mut self, tagged: bool, span: Span) {
        if tagged {
            self.error(
                "E0005",
                span,
                "tags (`!name`) are not used here",
                "remove the tag; a value that begins with `!` stands in quotes",
            );
        }
    }

    fn open(&mut self, anchor: usize, span: Span, kind: OpenKind) -> Result<(), Stop> {
        if self.stack.len() >= DEPTH_MAX {
            self.too_much(span, format!("nested deeper than {DEPTH_MAX} levels"));
            return Err(Stop);
        }
        self.stack.push(Open { anchor, start: span.start, kind });
        Ok(())
    }

    fn too_much(&mut self, span: Span, said: String) {
        self.error("E0007", span, said, "make it smaller, or write out what aliases repeat");
    }

    fn close(&mut self, span: Span) -> Result<(), Stop> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let (value, last) = match open.kind {
            OpenKind::Sequence(items) => {
                let last = items.last().map(|item| item.span.end);
                (Value::Sequence(items), last)
            }
            OpenKind::Mapping { entries, .. } => {
                let last = entries.last().map(|(key, node)| node.span.end.max(key.span.end));
                (Value::Mapping(entries), last)
            }
        };
        // A block has no closing bracket: it ends with its last child. The scanner's closing bracket
        // has the comment behind it in its span.
        let closing = self.source.text.get(span.start..span.end).unwrap_or_default();
        let flow = closing.starts_with([']', '}']);
        let end = if flow { span.start + 1 } else { last.unwrap_or(open.start) };
        self.complete(value, Span { start: open.start, end: end.max(open.start) }, open.anchor)
    }

    fn complete(&mut self, value: Value, span: Span, anchor: usize) -> Result<(), Stop> {
        let node = Node { value, span, source: Arc::clone(&self.source) };
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            self.too_much(span, format!("the document has more than {NODES_MAX} values"));
            return Err(Stop);
        }
        if anchor != 0 {
            let (nodes, depth) = measure(&node);
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, depth });
        }
        self.attach(node, span);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            self.error("E0008", span, "this alias stands inside what it repeats", "write it out");
            return Err(Stop);
        };
        let (nodes, depth) = (self.nodes + anchored.nodes, self.stack.len() + anchored.depth);
        if nodes > NODES_MAX || depth > DEPTH_MAX {
            let said =
                format!("aliases expand to more than {NODES_MAX} values or {DEPTH_MAX} levels");
            self.too_much(span, said);
            return Err(Stop);
        }
        self.nodes = nodes;
        let node = anchored.node.clone();
        self.attach(node, span);
        Ok(())
    }

    /// Hands a finished node to what it stands in. `place` is where it is used (for an alias, the alias).
    fn attach(&mut self, mut node: Node, place: Span) {
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut open.kind {
            OpenKind::Sequence(items) => items.push(node),
            OpenKind::Mapping { entries, next, .. } => match std::mem::replace(next, Next::Key) {
                Next::Key => self.key(&node, place),
                Next::Dropped => {}
                Next::ValueOf(key) => {
                    if node.span.end == node.span.start {
                        // Nothing is written there: what concerns the value is shown at its key.
                        node.span = key.span;
                    }
                    entries.push((key, node));
                }
            },
        }
    }

    fn key(&mut self, node: &Node, place: Span) {
        let text = match &node.value {
            Value::Scalar { text, quoted } if *quoted || text != "<<" => Ok(text.clone()),
            Value::Scalar { .. } => Err((
                "merge keys (`<<`) are not part of YAML 1.2",
                "repeat the keys, or give the whole mapping by an alias",
            )),
            Value::Null => Err(("a key is missing", "write a name before the colon")),
            Value::Sequence(_) | Value::Mapping(_) => Err((
                "a key must be a name",
                "a name with `[` or `{` inside braces stands in quotes, or on a line of its own",
            )),
        };
        let next = match text {
            Ok(text) => self.unique(text, place),
            Err((said, hint)) => {
                self.error("E0009", place, said, hint);
                Next::Dropped
            }
        };
        if let Some(Open { kind: OpenKind::Mapping { next: waits, .. }, .. }) =
            self.stack.last_mut()
        {
            *waits = next;
        }
    }

    fn unique(&mut self, text: String, span: Span) -> Next {
        let Some(Open { kind: OpenKind::Mapping { seen, .. }, .. }) = self.stack.last_mut() else {
            return Next::Dropped;
        };
        if let Some(first) = seen.get(&text).copied() {
            let (line, _) = self.source.line_column(first.start);
            let said = format!("`{text}` is given twice");
            let finding = Finding::at("E0004", &self.source, span, said)
                .label(format!("first given on line {line}"))
                .hint("keep one of the two");
            self.findings.push(finding);
            return Next::Dropped;
        }
        seen.insert(text.clone(), span);
        Next::ValueOf(Key { text, span })
    }
}

/// How many nodes a node is, and how deep. The recursion is bounded by [`DEPTH_MAX`].
fn measure(node: &Node) -> (usize, usize) {
    let children: Vec<_> = match &node.value {
        Value::Sequence(items) => items.iter().map(measure).collect(),
        Value::Mapping(entries) => entries.iter().map(|(_, node)| measure(node)).collect(),
        Value::Null | Value::Scalar { .. } => return (1, 0),
    };
    let nodes: usize = children.iter().map(|(nodes, _)| nodes).sum();
    (nodes + 1, children.iter().map(|(_, depth)| *depth).max().unwrap_or(0) + 1)
}

/// Where each line begins; CR, LF and CRLF end a line, as in the scanner.
fn line_starts(text: &str, first: usize) -> Vec<usize> {
    let bytes = text.as_bytes();
    let ends = bytes.iter().enumerate().filter(|(at, byte)| match byte {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    });
    std::iter::once(first).chain(ends.map(|(at, _)| at + 1)).collect()
}

#[cfg(test)]
mod tests;
