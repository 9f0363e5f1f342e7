//! Findings as text for people, and as JSON, SARIF and GitHub annotations for machines.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value, json};
use unicode_width::UnicodeWidthChar;

use crate::yaml::codes;
use crate::yaml::finding::{Finding, Severity};

/// Whether the text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// No escape sequences.
    Plain,
    /// ANSI escape sequences.
    Ansi,
}

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const BLUE: &str = "\x1b[1;34m";
const BOLD: &str = "\x1b[1m";

impl Colour {
    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Ansi => format!("{code}{text}\x1b[0m"),
        }
    }
}

/// All findings as text, errors and warnings in the order of files and lines, with a last line that
/// counts them. Empty when there are none.
#[must_use]
pub fn text(findings: &[Finding], colour: Colour) -> String {
    let mut out = String::new();
    for finding in findings {
        out.push_str(&one(finding, colour));
        out.push('\n');
    }
    if let Some(sum) = summary(findings) {
        out.push_str(&sum);
        out.push('\n');
    }
    out
}

/// `2 errors, 1 warning`; `None` when there are no findings.
#[must_use]
pub fn summary(findings: &[Finding]) -> Option<String> {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let part = |number: usize, word: &str| match number {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{number} {word}s")),
    };
    let parts: Vec<_> =
        [part(count(Severity::Error), "error"), part(count(Severity::Warning), "warning")]
            .into_iter()
            .flatten()
            .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// One finding as text, with the line it is about.
#[must_use]
pub fn one(finding: &Finding, colour: Colour) -> String {
    let (line, column) = finding.source.line_column(finding.span.start);
    let (word, paint) = match finding.severity {
        Severity::Error => ("error", RED),
        Severity::Warning => ("warning", YELLOW),
    };
    let number = line.to_string();
    let pad = " ".repeat(number.len());
    let bar = colour.paint(BLUE, "|");
    let mut out = String::new();
    let head = colour.paint(paint, &format!("{word}[{}]", finding.code));
    let said = colour.paint(BOLD, &finding.message);
    line_to(&mut out, &format!("{head}: {said}"));
    let arrow = colour.paint(BLUE, "-->");
    line_to(&mut out, &format!("{pad}{arrow} {}:{line}:{column}", finding.source.name));
    let (shown, before, marked) = marked_line(finding);
    line_to(&mut out, &format!("{pad} {bar}"));
    line_to(&mut out, &format!("{} {bar} {shown}", colour.paint(BLUE, &number)));
    let mut carets = "^".repeat(marked);
    if let Some(label) = &finding.label {
        carets.push(' ');
        carets.push_str(label);
    }
    let carets = colour.paint(paint, &carets);
    line_to(&mut out, &format!("{pad} {bar} {}{carets}", " ".repeat(before)));
    let equals = colour.paint(BLUE, "=");
    let fix = if finding.fix.is_some() { "   fix: medway check --fix" } else { "" };
    match &finding.hint {
        Some(hint) => line_to(&mut out, &format!("{pad} {equals} hint: {hint}{fix}")),
        None if !fix.is_empty() => line_to(&mut out, &format!("{pad} {equals} {}", fix.trim())),
        None => {}
    }
    line_to(&mut out, &format!("{pad} {equals} more: medway explain {}", finding.code));
    out
}

fn line_to(out: &mut String, line: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
}

/// The line as shown, the columns before the marked place, and how many columns are marked: at least
/// one, and only on the first line of a longer place.
fn marked_line(finding: &Finding) -> (String, usize, usize) {
    let source = &finding.source;
    let start = source.line_start(finding.span.start);
    let line = source.line(finding.span.start);
    let columns = |text: &str| text.chars().map(width).sum::<usize>();
    let from = finding.span.start.saturating_sub(start).min(line.len());
    let to = finding.span.end.saturating_sub(start).clamp(from, line.len());
    let before = columns(line.get(..from).unwrap_or_default());
    let marked = columns(line.get(from..to).unwrap_or_default());
    let shown = |text: &str| text.replace('\t', "    ");
    let place = match finding.code {
        // A secret is not repeated in a log.
        "E0109" => "*".repeat(marked),
        _ => shown(line.get(from..to).unwrap_or_default()),
    };
    let shown = [
        shown(line.get(..from).unwrap_or_default()),
        place,
        shown(line.get(to..).unwrap_or_default()),
    ];
    let shown = shown.concat();
    (shown, before, marked.max(1))
}

fn width(c: char) -> usize {
    if c == '\t' { 4 } else { c.width().unwrap_or(0) }
}

/// The findings as a JSON array.
#[must_use]
pub fn json(findings: &[Finding]) -> Value {
    findings
        .iter()
        .map(|finding| {
            let (line, column) = finding.source.line_column(finding.span.start);
            let (end_line, end_column) = finding.source.line_column(finding.span.end);
            json!({
                "code": finding.code,
                "severity": severity(finding),
                "file": finding.source.name,
                "line": line,
                "column": column,
                "end_line": end_line,
                "end_column": end_column,
                "message": finding.message,
                "label": finding.label,
                "hint": finding.hint,
                "fix": finding.fix,
            })
        })
        .collect()
}

fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// The findings as a SARIF 2.1.0 log.
#[must_use]
pub fn sarif(findings: &[Finding]) -> Value {
    let used: BTreeSet<&str> = findings.iter().map(|finding| finding.code).collect();
    let rules: Vec<_> = used
        .into_iter()
        .map(|code| {
            let known = codes::explain(code);
            json!({
                "id": code,
                "shortDescription": {"text": known.map_or(code, |known| known.title)},
                "fullDescription": {"text": known.map_or(code, |known| known.text)},
            })
        })
        .collect();
    let results: Vec<_> = findings.iter().map(sarif_result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "medway", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn sarif_result(finding: &Finding) -> Value {
    let (line, column) = finding.source.line_column(finding.span.start);
    let (end_line, end_column) = finding.source.line_column(finding.span.end);
    let region = json!({
        "startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column,
    });
    let location = json!({"uri": finding.source.name});
    let mut result = json!({
        "ruleId": finding.code,
        "level": severity(finding),
        "message": {"text": with_hint(finding)},
        "locations": [{"physicalLocation": {"artifactLocation": location, "region": region}}],
    });
    if let (Some(fix), Some(result)) = (&finding.fix, result.as_object_mut()) {
        let replacement = json!({"deletedRegion": region, "insertedContent": {"text": fix}});
        let change = json!({"artifactLocation": location, "replacements": [replacement]});
        result.insert("fixes".to_owned(), json!([{"artifactChanges": [change]}]));
    }
    result
}

fn with_hint(finding: &Finding) -> String {
    match &finding.hint {
        Some(hint) => format!("{}. Hint: {hint}", finding.message),
        None => finding.message.clone(),
    }
}

/// The findings as annotations for a GitHub workflow's log, one a line.
#[must_use]
pub fn github(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let (line, column) = finding.source.line_column(finding.span.start);
        let (end_line, end_column) = finding.source.line_column(finding.span.end);
        let file = escape(&finding.source.name).replace(':', "%3A").replace(',', "%2C");
        // Writing to a String cannot fail.
        let _written = writeln!(
            out,
            "::{} file={file},line={line},col={column},endLine={end_line},endColumn={end_column},title={}::{}",
            severity(finding),
            finding.code,
            escape(&with_hint(finding)),
        );
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The text with the fixes of its findings applied, and how many were. Overlapping ones are left for
/// the next run. `findings` may hold those of other files: they are not touched.
#[must_use]
pub fn apply_fixes(name: &str, text: &str, findings: &[Finding]) -> (String, usize) {
    let mut fixes: Vec<_> = findings
        .iter()
        .filter(|finding| finding.source.name == name && finding.source.text == text)
        .filter_map(|finding| finding.fix.as_deref().map(|fix| (finding.span, fix)))
        .collect();
    fixes.sort();
    fixes.dedup();
    let (mut out, mut at, mut applied) = (String::with_capacity(text.len()), 0, 0);
    for (span, fix) in fixes {
        let Some(between) = text.get(at..span.start).filter(|_| span.end >= span.start) else {
            continue;
        };
        out.push_str(between);
        out.push_str(fix);
        at = span.end;
        applied += 1;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    (out, applied)
}

#[cfg(test)]
mod tests;
