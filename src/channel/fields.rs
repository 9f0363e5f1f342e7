//! Reads mappings of the channel's own sections: which keys they may have, each checked with a hint.

use std::time::Duration;

use crate::channel::build::Build;
use crate::yaml::decode;
use crate::yaml::finding::Finding;
use crate::yaml::nearest::nearest;
use crate::yaml::node::{Node, Value};

/// A mapping whose keys have been checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'n> {
    /// The mapping.
    pub(crate) node: &'n Node,
}

impl<'n> Fields<'n> {
    /// Reads a mapping that may have these keys. Every other key is noted with the nearest one.
    pub(crate) fn read(
        node: &'n Node,
        what: &str,
        keys: &[&str],
        build: &mut Build<'_>,
    ) -> Option<Self> {
        if !matches!(node.value, Value::Mapping(_)) {
            build.error_hint(
                "E0103",
                node,
                format!("{what} is a mapping"),
                format!("its keys: {}", keys.join(", ")),
            );
            return None;
        }
        for (key, _) in node.entries() {
            if keys.contains(&key.text.as_str()) {
                continue;
            }
            let said = format!("{what} has no key {}", key.text);
            let finding = Finding::at("E0101", &node.source, key.span, said);
            build.findings.push(match nearest(&key.text, keys.iter().copied()) {
                Some(near) => finding.hint(format!("did you mean {near}?")).fix(near),
                None => finding.hint(format!("its keys: {}", keys.join(", "))),
            });
        }
        Some(Self { node })
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&'n Node> {
        self.node.get(key)
    }

    /// The value of a key that must be there.
    pub(crate) fn required(
        &self,
        key: &str,
        what: &str,
        build: &mut Build<'_>,
    ) -> Option<&'n Node> {
        let found = self.node.get(key);
        if found.is_none() {
            build.error_hint(
                "E0102",
                self.node,
                format!("{what} needs the key {key}"),
                format!("add {key}: …"),
            );
        }
        found
    }
}

/// A scalar or a list of scalars, as a list.
pub(crate) fn one_or_many(node: &Node) -> Vec<&Node> {
    match &node.value {
        Value::Sequence(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        _ => vec![node],
    }
}

/// One word of a closed list.
pub(crate) fn choice<T: Copy>(
    node: &Node,
    what: &str,
    choices: &[(&str, T)],
    build: &mut Build<'_>,
) -> Option<T> {
    let word = node.text().unwrap_or_default();
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == word) {
        return Some(*value);
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let finding = Finding::error("E0106", node, format!("{what} cannot be {word}"));
    build.findings.push(match nearest(word, names.iter().copied()) {
        Some(near) => finding.hint(format!("did you mean {near}?")).fix(near),
        None => finding.hint(format!("one of: {}", names.join(", "))),
    });
    None
}

/// A length of time: `500ms`, `20s`, `5m`, `72h`, `7d`.
pub(crate) fn duration(node: &Node, build: &mut Build<'_>) -> Option<Duration> {
    match decode::duration(node.text().unwrap_or_default()) {
        Ok(duration) => Some(duration),
        Err(wrong) => {
            let mut finding = Finding::error(wrong.code, node, wrong.message).hint(wrong.hint);
            finding.fix = wrong.fix;
            build.findings.push(finding);
            None
        }
    }
}
