//! Shapes: which keys a mapping may have and what their values look like. One description serves the
//! check, the JSON Schema and the reference.

use crate::yaml::decode::{self, Wrong};
use crate::yaml::finding::Finding;
use crate::yaml::nearest::nearest;
use crate::yaml::node::{Key, Node, Span, Value};

/// What a value looks like.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Any text.
    Text,
    /// A name: small letters, digits, `-`, `_`.
    Name,
    /// A path of a message, e.g. `PID-3(MR).1`. Checked by the channel language.
    Path,
    /// A condition or an expression. Checked by the channel language.
    Expression,
    /// A text with `<PATH>` in it. Checked by the channel language.
    Template,
    /// A file, relative to the file that names it.
    File,
    /// `secret/name`.
    Secret,
    /// `500ms`, `5s`, `2m`, `72h`, `7d`.
    Duration,
    /// `64KiB`, `2MiB`.
    Size,
    /// `10%`.
    Percent,
    /// A number from 1 to 100 with decimals.
    Factor,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// Address and port to listen on.
    Address,
    /// Host and port to connect to.
    Endpoint,
    /// A host name or address.
    Host,
    /// `http://…` or `https://…`.
    Url,
    /// A network such as `10.20.0.0/16`. Checked where it is used.
    Network,
    /// One of some words, each with what it means.
    Choice(&'static [(&'static str, &'static str)]),
    /// A list.
    List(&'static Shape),
    /// One value, or a list of them.
    OneOrMany(&'static Shape),
    /// A mapping.
    Map(&'static MapShape),
    /// Different shapes for a single value, a list and a mapping.
    ByKind {
        /// As a single value.
        scalar: Option<&'static Shape>,
        /// The shape of a list's items.
        items: Option<&'static Shape>,
        /// As a mapping.
        map: Option<&'static MapShape>,
    },
    /// Described here for schema and reference, checked by the channel language alone.
    Language(&'static Shape),
    /// Anything.
    Any,
}

/// What a mapping holds.
#[derive(Debug)]
pub struct MapShape {
    /// Its name in the schema and the reference.
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// The keys it may have.
    pub fields: &'static [Field],
    /// What other keys mean.
    pub other: Other,
    /// Groups of keys of which exactly one must be there.
    pub one_of: &'static [&'static [&'static str]],
    /// Keys of a later version, refused by name.
    pub planned: &'static [&'static str],
}

/// A key a mapping may have.
#[derive(Debug)]
pub struct Field {
    /// The key.
    pub key: &'static str,
    /// What it does, with its default.
    pub doc: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What its value looks like.
    pub shape: Shape,
    /// A value, as one would write it.
    pub example: &'static str,
}

/// What the keys mean that a shape does not name.
#[derive(Debug, Clone, Copy)]
pub enum Other {
    /// Nothing: they are refused.
    Refused,
    /// They are names chosen by the writer; their values look so.
    Names(&'static Shape),
    /// They are paths, or anything the channel language reads; their values look so.
    Paths(&'static Shape),
}

impl Field {
    /// A key that may be there.
    #[must_use]
    pub const fn optional(
        key: &'static str,
        shape: Shape,
        example: &'static str,
        doc: &'static str,
    ) -> Self {
        Self { key, doc, required: false, shape, example }
    }

    /// A key that must be there.
    #[must_use]
    pub const fn required(
        key: &'static str,
        shape: Shape,
        example: &'static str,
        doc: &'static str,
    ) -> Self {
        Self { key, doc, required: true, shape, example }
    }
}

impl MapShape {
    /// A mapping with these keys and no others.
    #[must_use]
    pub const fn new(name: &'static str, doc: &'static str, fields: &'static [Field]) -> Self {
        Self { name, doc, fields, other: Other::Refused, one_of: &[], planned: &[] }
    }

    /// The field with this key.
    #[must_use]
    pub fn field(&self, key: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.key == key)
    }

    /// Checks a whole document.
    pub fn check_file(&self, root: &Node, findings: &mut Vec<Finding>) {
        let key = Key { text: "the file".to_owned(), span: Span::default() };
        Shape::check_map(self, root, &key, findings);
    }
}

impl Shape {
    /// Checks the value of `key`; what is wrong goes to `findings`.
    pub fn check(&self, node: &Node, key: &Key, findings: &mut Vec<Finding>) {
        match (self, &node.value) {
            (Self::Any | Self::Language(_), _) => {}
            (_, Value::Null) => findings.push(
                Finding::error("E0103", node, format!("`{}` has no value", key.text))
                    .hint("give it one, or remove the line"),
            ),
            (Self::Map(shape), _) => Self::check_map(shape, node, key, findings),
            (Self::List(item), Value::Sequence(items)) => {
                items.iter().for_each(|node| item.check(node, key, findings));
            }
            (Self::OneOrMany(item), Value::Sequence(items)) => {
                items.iter().for_each(|node| item.check(node, key, findings));
            }
            (Self::OneOrMany(item), _) => item.check(node, key, findings),
            (Self::ByKind { scalar, items, map }, value) => match (value, scalar, items, map) {
                (Value::Scalar { .. }, Some(shape), ..) => shape.check(node, key, findings),
                (Value::Sequence(nodes), _, Some(item), _) => {
                    nodes.iter().for_each(|node| item.check(node, key, findings));
                }
                (Value::Mapping(_), _, _, Some(shape)) => {
                    Self::check_map(shape, node, key, findings);
                }
                _ => findings.push(self.wrong_kind(node, key)),
            },
            (_, Value::Scalar { text, .. }) if !matches!(self, Self::List(_)) => {
                if let Err(wrong) = self.check_text(text) {
                    findings.push(wrong.at(node, &key.text));
                }
            }
            _ => findings.push(self.wrong_kind(node, key)),
        }
    }

    fn check_text(&self, text: &str) -> Result<(), Wrong> {
        match self {
            Self::Name => decode::name(text).map(drop),
            Self::Secret => decode::secret(text).map(drop),
            Self::Duration => decode::duration(text).map(drop),
            Self::Size => decode::size(text).map(drop),
            Self::Percent => decode::percent(text).map(drop),
            Self::Factor => decode::factor(text).map(drop),
            Self::Bool => decode::boolean(text).map(drop),
            Self::Integer { min, max } => decode::integer(text, *min, *max).map(drop),
            Self::Address => decode::address(text).map(drop),
            Self::Endpoint => decode::endpoint(text).map(drop),
            Self::Host => decode::host(text).map(drop),
            Self::Url => decode::url(text).map(drop),
            Self::Choice(words) => choice(text, words),
            _ => Ok(()),
        }
    }

    fn check_map(shape: &MapShape, node: &Node, key: &Key, findings: &mut Vec<Finding>) {
        let Value::Mapping(entries) = &node.value else {
            return findings.push(Self::Map(&EMPTY).wrong_kind(node, key));
        };
        let mut meant = Vec::new();
        for (name, value) in entries {
            match (shape.field(&name.text), shape.other) {
                (Some(field), _) => field.shape.check(value, name, findings),
                (None, Other::Names(other)) => {
                    if let Err(wrong) = decode::name(&name.text) {
                        let place = Node { span: name.span, ..node.clone_place() };
                        findings.push(wrong.at(&place, &key.text));
                    }
                    other.check(value, name, findings);
                }
                (None, Other::Paths(other)) => other.check(value, name, findings),
                (None, Other::Refused) => {
                    let finding = unknown(shape, node, name, &key.text);
                    meant.extend(finding.fix.clone());
                    findings.push(finding);
                }
            }
        }
        missing(shape, node, key, &meant, findings);
    }

    fn wrong_kind(&self, node: &Node, key: &Key) -> Finding {
        let found = match &node.value {
            Value::Null => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        };
        let said = format!("`{}` takes {}, here is {found}", key.text, self.kinds());
        let finding = Finding::error("E0103", node, said);
        finding.hint(match self {
            Self::Map(_) => "write `key: value` lines below it, indented, or {key: value}",
            Self::List(_) => "write [one, two], or one item a line, each after `- `",
            _ => "compare with an example in docs/config.md",
        })
    }

    /// In words, what kinds of nodes it takes.
    fn kinds(&self) -> String {
        match self {
            Self::List(_) => "a list".to_owned(),
            Self::OneOrMany(_) => "a single value or a list".to_owned(),
            Self::Map(_) => "a mapping".to_owned(),
            Self::ByKind { scalar, items, map } => [
                scalar.map(|_| "a single value"),
                items.map(|_| "a list"),
                map.map(|_| "a mapping"),
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" or "),
            _ => "a single value".to_owned(),
        }
    }
}

const EMPTY: MapShape = MapShape::new("", "", &[]);

impl Node {
    /// An empty node of the same file, to be given a place.
    fn clone_place(&self) -> Self {
        Self { value: Value::Null, span: self.span, source: std::sync::Arc::clone(&self.source) }
    }
}

impl Wrong {
    /// The finding for the value of `key`.
    #[must_use]
    pub fn at(self, node: &Node, key: &str) -> Finding {
        let said = format!("{key}: {}", self.message);
        let finding = Finding::error(self.code, node, said).hint(self.hint);
        match self.fix {
            Some(fix) => finding.fix(fix),
            None => finding,
        }
    }
}

fn choice(text: &str, words: &[(&str, &str)]) -> Result<(), Wrong> {
    if words.iter().any(|(word, _)| *word == text) {
        return Ok(());
    }
    let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    let near = nearest(text, all.iter().copied());
    let hint = match near {
        Some(near) => format!("did you mean `{near}`? Allowed: {}", all.join(", ")),
        None => format!("allowed: {}", all.join(", ")),
    };
    let message = format!("`{text}` is not known here");
    Err(Wrong { code: "E0106", message, hint, fix: near.map(str::to_owned) })
}

/// The finding for a key that the shape does not have.
fn unknown(shape: &MapShape, node: &Node, name: &Key, within: &str) -> Finding {
    let at = |code, said: String| Finding::at(code, &node.source, name.span, said);
    if shape.planned.contains(&name.text.as_str()) {
        let here: Vec<_> = shape.one_of.iter().flat_map(|group| group.iter().copied()).collect();
        return at("E0108", format!("`{}` is not in this version", name.text))
            .hint(format!("in this version there are: {}", here.join(", ")));
    }
    let keys = || shape.fields.iter().map(|field| field.key);
    let finding = at("E0101", format!("`{}` is not a key of {within}", name.text));
    match nearest(&name.text, keys()) {
        Some(near) => finding.hint(format!("did you mean `{near}`?")).fix(near),
        None => finding.hint(format!("its keys are: {}", keys().collect::<Vec<_>>().join(", "))),
    }
}

/// Findings for keys that should be there. A key that was only mistyped (`meant`) is not missed again.
fn missing(
    shape: &MapShape,
    node: &Node,
    key: &Key,
    meant: &[String],
    findings: &mut Vec<Finding>,
) {
    let has = |name: &str| node.get(name).is_some() || meant.iter().any(|word| word == name);
    let at = |code, said: String| Finding::at(code, &node.source, key.span, said);
    for field in shape.fields.iter().filter(|field| field.required && !has(field.key)) {
        findings.push(
            at("E0102", format!("`{}` is missing in {}", field.key, key.text))
                .hint(format!("add e.g. `{}: {}`", field.key, field.example)),
        );
    }
    for group in shape.one_of {
        let mut there = node.entries().iter().filter(|(key, _)| group.contains(&&*key.text));
        let planned = node.entries().iter().any(|(key, _)| shape.planned.contains(&&*key.text));
        let (first, second) = (there.next(), there.next());
        if first.is_none() && !planned && !group.iter().any(|name| has(name)) {
            findings.push(
                at("E0107", format!("{} needs one of: {}", key.text, group.join(", ")))
                    .hint(format!("add one, e.g. `{}: …`", group.first().unwrap_or(&""))),
            );
        }
        if let (Some((first, _)), Some((second, _))) = (first, second) {
            let said = format!("`{}` and `{}` exclude each other", first.text, second.text);
            findings.push(
                Finding::at("E0107", &node.source, second.span, said)
                    .hint("keep one; for the other make a second destination or channel"),
            );
        }
    }
}

#[cfg(test)]
mod tests;
