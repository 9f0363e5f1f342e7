//! A YAML document as a tree of nodes, each with its place in the text.

use std::sync::Arc;

/// A stretch of a file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// A file's name and text, shared by everything that points into it.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The path as shown to people, relative to where the command ran.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl Source {
    /// Line and column of a byte, both from 1; the column counts characters.
    #[must_use]
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = self.line_start(offset);
        let lines = before.bytes().filter(|byte| *byte == b'\n').count();
        (lines + 1, before.get(line..).unwrap_or_default().chars().count() + 1)
    }

    /// The text of the line a byte stands in, without its end.
    #[must_use]
    pub fn line(&self, offset: usize) -> &str {
        let rest = self.text.get(self.line_start(offset)..).unwrap_or_default();
        rest.lines().next().unwrap_or_default()
    }

    /// The first byte of the line a byte stands in.
    #[must_use]
    pub fn line_start(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        before.rfind('\n').map_or(0, |end| end + 1)
    }
}

/// One node of a document.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it stands.
    pub span: Span,
    /// In which file.
    pub source: Arc<Source>,
}

impl Node {
    /// Whether both say the same, wherever they stand: the same scalars and keys in the same order.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::Null, Value::Null) => true,
            (Value::Scalar { text, quoted }, Value::Scalar { text: text_2, quoted: quoted_2 }) => {
                text == text_2 && quoted == quoted_2
            }
            (Value::Sequence(all), Value::Sequence(all_2)) => {
                all.len() == all_2.len() && all.iter().zip(all_2).all(|(a, b)| a.says_the_same(b))
            }
            (Value::Mapping(all), Value::Mapping(all_2)) => {
                let same = |((key, value), (key_2, value_2)): (&(Key, Self), &(Key, Self))| {
                    key.text == key_2.text && value.says_the_same(value_2)
                };
                all.len() == all_2.len() && all.iter().zip(all_2).all(same)
            }
            _ => false,
        }
    }
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Value {
    /// `~`, `null` or nothing at all.
    Null,
    /// A scalar, its text as written, quotes and escapes resolved.
    Scalar {
        /// The text.
        text: String,
        /// Whether it stood in quotes (then it is never a number or a bool).
        quoted: bool,
    },
    /// A sequence.
    Sequence(Vec<Node>),
    /// A mapping, in the order written; keys are scalars and unique.
    Mapping(Vec<(Key, Node)>),
}

/// A mapping's key with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The text.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

impl Node {
    /// The value of a key of this mapping; `None` when it has none or is no mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name.text == key).map(|(_, node)| node)
    }

    /// The entries of this mapping; empty when it is none.
    #[must_use]
    pub fn entries(&self) -> &[(Key, Self)] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The items of this sequence; empty when it is none.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The text of this scalar; `None` when it is none.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }
}
