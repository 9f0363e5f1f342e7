//! Values in channel files: text with `<…>` in it, an expression, or text as written.

use crate::channel::build::{Build, Fault};
use crate::channel::expr::Value;
use crate::channel::expr::function;
use crate::channel::expr::lex::reads_like_path;
use crate::channel::expr::operand::{Bare, Parser};
use crate::channel::fhir_path::looks_like;
use crate::channel::reference::Reference;
use crate::yaml::node::Node;

/// Compiles a scalar that may be an expression (`lookup(…)`, `PID-5.1`), text with values in it
/// (`<PID-5.1> of <PV1-3.1>`) or plain text.
pub fn value(node: &Node, build: &mut Build<'_>) -> Option<Value> {
    let Some(text) = node.text() else {
        build.error_hint(
            "E0301",
            node,
            "a value is one line of text",
            "e.g. PID-5.1, or trim(PID-5.1)",
        );
        return None;
    };
    let parsed = parse_value(text, build);
    build.noted(node, parsed)
}

/// Compiles a scalar that must name something of the message: a path, a view, a function.
pub fn source(node: &Node, build: &mut Build<'_>) -> Option<Value> {
    let Some(text) = node.text() else {
        build.error_hint("E0301", node, "a path is one line of text", "e.g. PID-3(MR).1");
        return None;
    };
    let parsed = Parser::new(text, build).and_then(|mut parser| parser.whole_value(Bare::Mistake));
    build.noted(node, parsed)
}

/// Compiles a scalar that is text with values in it, and nothing else: URLs, file names, alarm texts.
pub fn text(node: &Node, build: &mut Build<'_>) -> Option<Value> {
    let Some(written) = node.text() else {
        build.error_hint("E0301", node, "this is one line of text", "<PID-5.1> inserts a value");
        return None;
    };
    let parsed = parse_text(written, build);
    build.noted(node, parsed)
}

/// An expression, a template or text, by its looks.
///
/// # Errors
/// The first thing in it that cannot be read, with its place.
pub fn parse_value(text: &str, build: &mut Build<'_>) -> Result<Value, Fault> {
    if is_expression(text) {
        return Parser::new(text, build)?.whole_value(Bare::Text);
    }
    parse_text(text, build)
}

fn is_expression(text: &str) -> bool {
    let text = text.trim();
    let quoted = |quote: char| {
        text.len() > 1
            && text
                .strip_prefix(quote)
                .and_then(|inside| inside.strip_suffix(quote))
                .is_some_and(|inside| !inside.contains(quote))
    };
    if quoted('\'') || quoted('"') {
        return true;
    }
    if looks_like(text) && opens_no_text(text) {
        return true;
    }
    if let Some((name, _)) = text.split_once('(')
        && text.ends_with(')')
        && !name.is_empty()
        && (function::names().any(|known| known == name)
            || name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    {
        return true;
    }
    if text.contains(char::is_whitespace) {
        return false;
    }
    reads_like_path(text)
        || text.starts_with("$.")
        || Reference::is_view(text)
        || matches!(text, "kind" | "event" | "now" | "channel")
}

/// Whether what reads like a FHIR path is one from end to end: a sentence may begin like one.
fn opens_no_text(text: &str) -> bool {
    let mut depth = 0usize;
    text.chars().all(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > 0 || !c.is_whitespace()
    })
}

/// Text with values in it. `<<` is a `<`; a `<` not followed by a letter or `$` is a `<` too.
///
/// # Errors
/// The first insert that cannot be read, with its place.
pub fn parse_text(text: &str, build: &mut Build<'_>) -> Result<Value, Fault> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(before) = rest.find('<') else {
            plain.push_str(rest);
            break;
        };
        plain.push_str(rest.get(..before).unwrap_or_default());
        at += before;
        let inside = text.get(at + 1..).unwrap_or_default();
        if inside.starts_with('<') {
            plain.push('<');
            at += 2;
        } else if inside.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$') {
            let Some(end) = inside.find('>') else {
                return Err(Fault::new("E0301", at..at + 1, "this < is never closed")
                    .hint("close it with >, or write << for the sign itself"));
            };
            if !plain.is_empty() {
                parts.push(Value::Text(std::mem::take(&mut plain).into()));
            }
            let expression = inside.get(..end).unwrap_or_default();
            let inner = Parser::new(expression, build)
                .and_then(|mut parser| parser.whole_value(Bare::Mistake))
                .map_err(|fault| fault.shifted(at + 1))?;
            parts.push(inner);
            at += end + 2;
        } else {
            plain.push('<');
            at += 1;
        }
    }
    if parts.is_empty() {
        return Ok(Value::Text(plain.into()));
    }
    if !plain.is_empty() {
        parts.push(Value::Text(plain.into()));
    }
    Ok(Value::Template(parts))
}
