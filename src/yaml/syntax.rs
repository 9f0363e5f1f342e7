//! What the YAML scanner complains about, in words for people who write channels.

use std::sync::Arc;

use crate::yaml::finding::Finding;
use crate::yaml::node::{Source, Span};

/// A complaint of the scanner, and what it means.
struct Complaint {
    /// A part of the scanner's text.
    says: &'static str,
    code: &'static str,
    message: &'static str,
    hint: &'static str,
}

const INDENTED: &str =
    "lines that belong together begin in the same column; indent with two blanks for each level";

/// The first that matches holds.
const COMPLAINTS: &[Complaint] = &[
    Complaint {
        says: "tab",
        code: "E0003",
        message: "a tab stands where only blanks may",
        hint: "indent with blanks, two for each level",
    },
    Complaint {
        says: "mapping values are not allowed",
        code: "E0001",
        message: "a second `: ` stands in this line, or the line is indented too far",
        hint: "a value that holds `: ` stands in quotes; otherwise put the line under its neighbours",
    },
    Complaint {
        says: "expected ',' or '}'",
        code: "E0001",
        message: "inside `{ }` a comma or the closing brace is missing",
        hint: "close the brace; a value that holds , [ ] { or } stands in quotes, or on its own line",
    },
    Complaint {
        says: "expected ',' or ']'",
        code: "E0001",
        message: "inside `[ ]` a comma or the closing bracket is missing",
        hint: "close the bracket; a value that holds , [ ] { or } stands in quotes, or on its own line",
    },
    Complaint {
        says: "misplaced bracket",
        code: "E0001",
        message: "this bracket closes nothing",
        hint: "remove it; a value that holds [ ] { or } stands in quotes",
    },
    Complaint {
        says: "unexpected character",
        code: "E0001",
        message: "a value cannot begin with this character",
        hint: "put the value in quotes",
    },
    Complaint {
        says: "unknown anchor",
        code: "E0008",
        message: "this alias (`*name`) repeats nothing: no `&name` stands before it",
        hint: "a value that begins with `*` stands in quotes",
    },
    Complaint {
        says: "scanning an anchor or alias",
        code: "E0008",
        message: "after `&` or `*` the name of an anchor is missing",
        hint: "a value that begins with `&` or `*` stands in quotes",
    },
    Complaint {
        says: "unexpected end of stream",
        code: "E0001",
        message: "a quote is opened here and never closed",
        hint: "close it with the same kind of quote",
    },
    Complaint {
        says: "quoted scalar, found unexpected document indicator",
        code: "E0001",
        message: "a quote is opened here and never closed",
        hint: "close it with the same kind of quote",
    },
    Complaint {
        says: "unknown escape",
        code: "E0001",
        message: "in double quotes a backslash begins an escape, and this one is unknown",
        hint: "use single quotes for a text with backslashes, e.g. 'A\\T\\B'",
    },
    Complaint {
        says: "quoted scalar",
        code: "E0001",
        message: "this quoted text cannot be read",
        hint: "use single quotes, in which only ' itself is written twice",
    },
    Complaint {
        says: "after double-quoted scalar",
        code: "E0001",
        message: "more text follows the closing quote",
        hint: "put the whole value in quotes",
    },
    Complaint {
        says: "block scalar",
        code: "E0001",
        message: "`|` and `>` begin a block of text on the lines below",
        hint: "a value that begins with `|` or `>` stands in quotes",
    },
    Complaint {
        says: "tag",
        code: "E0005",
        message: "tags (`!name`) are not used here",
        hint: "a value that begins with `!` stands in quotes",
    },
    Complaint {
        says: "TAG",
        code: "E0005",
        message: "tags and directives are not used here",
        hint: "remove the line",
    },
    Complaint {
        says: "directive",
        code: "E0005",
        message: "directives (`%NAME`) are not used here",
        hint: "remove the line; a value that begins with `%` stands in quotes",
    },
    Complaint {
        says: "simple key",
        code: "E0001",
        message: "a colon after the key is missing, or the line is indented wrongly",
        hint: "write `key: value`, with a blank after the colon",
    },
    Complaint {
        says: "comment intercepting",
        code: "E0001",
        message: "a comment stands in the middle of a text of several lines",
        hint: "put the text in quotes, or the comment on a line above it",
    },
    Complaint {
        says: "indent",
        code: "E0001",
        message: "the indentation is wrong",
        hint: INDENTED,
    },
    Complaint {
        says: "did not find expected key",
        code: "E0001",
        message: "this line does not fit the lines above it",
        hint: INDENTED,
    },
    Complaint {
        says: "did not find expected '-'",
        code: "E0001",
        message: "this line does not fit the list above it",
        hint: INDENTED,
    },
    Complaint {
        says: "block sequence entries are not allowed",
        code: "E0001",
        message: "a list item (`- `) cannot stand here",
        hint: "put the list on the lines below its key",
    },
    Complaint {
        says: "expected <document start>",
        code: "E0001",
        message: "this line belongs to nothing above it",
        hint: INDENTED,
    },
];

/// The finding for a complaint of the scanner at a byte of the text.
pub(super) fn finding(source: &Arc<Source>, at: usize, info: &str) -> Finding {
    let mut span = visible(source, at);
    let before = source.text.get(..span.start).unwrap_or_default();
    if info.contains("tab") && before.ends_with('\t') {
        span = Span { start: before.trim_end_matches('\t').len(), end: span.start };
    }
    match COMPLAINTS.iter().find(|complaint| info.contains(complaint.says)) {
        Some(known) => Finding::at(known.code, source, span, known.message).hint(known.hint),
        None => Finding::at("E0001", source, span, format!("this is not YAML: {info}"))
            .hint("check quotes, brackets and indentation around this place"),
    }
}

/// The word at a byte; where nothing is to be seen, the last word before it.
fn visible(source: &Source, at: usize) -> Span {
    let text = &source.text;
    let rest = text.get(at..).unwrap_or_default();
    let word = rest.split(char::is_whitespace).next().unwrap_or_default();
    if !word.is_empty() {
        return Span { start: at, end: at + word.len() };
    }
    if rest.starts_with('\t') {
        return Span { start: at, end: at + 1 };
    }
    let before = text.get(..at).unwrap_or(text).trim_end();
    let start = before.rfind(char::is_whitespace).map_or(0, |blank| {
        blank + before.get(blank..).and_then(|tail| tail.chars().next()).map_or(0, char::len_utf8)
    });
    Span { start, end: before.len() }
}
