//! `docs/config.md`: every key of channel files and of `engine.yaml`, made from the shapes.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::config::shapes::channel::CHANNEL;
use crate::config::shapes::engine::ENGINE;
use crate::yaml::codes;
use crate::yaml::shape::{Field, MapShape, Other, Shape};

const HEAD: &str = "# Configuration

Made from the sources by `MEDWAY_ACCEPT=1 make test`; do not edit. `medway schema channel` and `medway schema
engine` print the same as JSON Schema for editors, `medway check` checks files against it, and `medway
explain E0101` explains a code.

Values are read as written: `00123` stays `00123`. Durations are `500ms`, `5s`, `2m`, `72h`, `7d`; sizes
`64KiB`, `2MiB`, `1GiB`; shares `10%`; switches `true` and `false`; secrets are only named: `secret/NAME`.
";

/// The whole page.
#[must_use]
pub fn page() -> String {
    let mut page = Page { text: HEAD.to_owned(), done: BTreeSet::new() };
    page.line("\n## A channel file: `channels/NAME.yaml`\n");
    page.map(&CHANNEL, "");
    page.line("\n## `engine.yaml`\n");
    page.map(&ENGINE, "");
    page.line("\n## Codes of findings\n");
    page.line("| code | title |");
    page.line("| --- | --- |");
    for known in codes::all() {
        page.line(&format!("| {} | {} |", known.code, known.title));
    }
    page.text
}

struct Page {
    text: String,
    done: BTreeSet<&'static str>,
}

impl Page {
    fn line(&mut self, line: &str) {
        // Writing to a String cannot fail.
        let _written = writeln!(self.text, "{line}");
    }

    /// A table of a mapping's keys, then the mappings below it, each once.
    fn map(&mut self, shape: &'static MapShape, path: &str) {
        if !self.done.insert(shape.name) {
            return;
        }
        if !path.is_empty() {
            self.line(&format!("\n### `{path}`\n"));
        }
        self.line(shape.doc);
        for group in shape.one_of {
            self.line(&format!("\nExactly one of: {}.", group.join(", ")));
        }
        if !shape.fields.is_empty() {
            self.line("\n| key | value | what it does | example |");
            self.line("| --- | --- | --- | --- |");
            for field in shape.fields {
                self.field(field);
            }
        }
        for field in shape.fields {
            for below in maps(&field.shape) {
                self.map(below, &join(path, field.key));
            }
        }
        if let Other::Names(value) | Other::Paths(value) = shape.other {
            for below in maps(value) {
                self.map(below, &join(path, "NAME"));
            }
        }
    }

    fn field(&mut self, field: &Field) {
        let required = if field.required { " **required**" } else { "" };
        let cell = |text: &str| text.replace('|', "\\|");
        let line = format!(
            "| `{}`{required} | {} | {} | `{}` |",
            field.key,
            cell(&kind(&field.shape)),
            cell(field.doc),
            cell(field.example)
        );
        self.line(&line);
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The mappings a shape leads to.
fn maps(shape: &'static Shape) -> Vec<&'static MapShape> {
    match shape {
        Shape::Map(map) => vec![map],
        Shape::List(inner) | Shape::OneOrMany(inner) | Shape::Language(inner) => maps(inner),
        Shape::ByKind { scalar, items, map } => {
            let inner = scalar.iter().chain(items.iter()).flat_map(|inner| maps(inner));
            inner.chain(*map).collect()
        }
        _ => Vec::new(),
    }
}

/// In words, what a value looks like.
fn kind(shape: &Shape) -> String {
    let word = match shape {
        Shape::Text => "text",
        Shape::Name => "name",
        Shape::Path => "path",
        Shape::Expression => "expression",
        Shape::Template => "text with `<PATH>`",
        Shape::File => "file",
        Shape::Secret => "`secret/NAME`",
        Shape::Duration => "duration",
        Shape::Size => "size",
        Shape::Percent => "share",
        Shape::Factor => "number",
        Shape::Bool => "`true` or `false`",
        Shape::Address => "address:port",
        Shape::Endpoint => "host:port",
        Shape::Host => "host",
        Shape::Url => "URL",
        Shape::Network => "network",
        Shape::Map(_) => "mapping",
        Shape::Any => "anything",
        Shape::Integer { min, max } => return format!("number {min}–{max}"),
        Shape::Choice(words) => {
            let words =
                words.iter().map(|(word, doc)| format!("`{word}` ({})", doc.trim_end_matches('.')));
            return words.collect::<Vec<_>>().join(", ");
        }
        Shape::List(inner) => return format!("list of {}", kind(inner)),
        Shape::OneOrMany(inner) => return format!("{}, or a list of them", kind(inner)),
        Shape::Language(inner) => return kind(inner),
        Shape::ByKind { scalar, items, map } => {
            let list = items.map(|inner| format!("list of {}", kind(inner)));
            let kinds = [scalar.map(kind), list, map.map(|_| "mapping".to_owned())];
            return kinds.into_iter().flatten().collect::<Vec<_>>().join("; or ");
        }
    };
    word.to_owned()
}
