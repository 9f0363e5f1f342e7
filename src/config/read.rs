//! Reads decoded values out of a mapping that its shape has checked. What the shape refused is already a
//! finding, so here the default takes its place.

use std::time::Duration;

use crate::network::Network;
use crate::yaml::decode::{self, Wrong};
use crate::yaml::finding::Finding;
use crate::yaml::node::{Node, Value};

/// A mapping to read from; empty when there is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'n>(Option<&'n Node>);

impl<'n> Fields<'n> {
    /// The fields of a node.
    pub(super) const fn of(node: Option<&'n Node>) -> Self {
        Self(node)
    }

    /// The node of a key.
    pub(super) fn node(self, key: &str) -> Option<&'n Node> {
        self.0.and_then(|node| node.get(key))
    }

    /// The fields of the mapping under a key.
    pub(super) fn below(self, key: &str) -> Self {
        Self(self.node(key))
    }

    /// The text of a key.
    pub(super) fn text(self, key: &str) -> Option<&'n str> {
        self.node(key).and_then(Node::text)
    }

    /// The text of a key, owned.
    pub(super) fn string(self, key: &str) -> Option<String> {
        self.text(key).map(str::to_owned)
    }

    fn decoded<T>(self, key: &str, decode: impl Fn(&str) -> Result<T, Wrong>, usual: T) -> T {
        self.text(key).and_then(|text| decode(text).ok()).unwrap_or(usual)
    }

    /// A duration.
    pub(super) fn duration(self, key: &str, usual: Duration) -> Duration {
        self.decoded(key, decode::duration, usual)
    }

    /// A size in bytes.
    pub(super) fn size(self, key: &str, usual: usize) -> usize {
        self.decoded(key, decode::size, usual)
    }

    /// A whole number.
    pub(super) fn integer<T: TryFrom<u64>>(self, key: &str, usual: T) -> T {
        let number = self.text(key).and_then(|text| text.parse::<u64>().ok());
        number.and_then(|number| T::try_from(number).ok()).unwrap_or(usual)
    }

    /// A share, 0 to 1.
    pub(super) fn share(self, key: &str, usual: f64) -> f64 {
        self.decoded(key, |text| decode::percent(text).map(|p| f64::from(p) / 100.0), usual)
    }

    /// A factor.
    pub(super) fn factor(self, key: &str, usual: f64) -> f64 {
        self.decoded(key, decode::factor, usual)
    }

    /// A switch.
    pub(super) fn boolean(self, key: &str, usual: bool) -> bool {
        self.decoded(key, decode::boolean, usual)
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(self, key: &str, words: &[(&str, T)], usual: T) -> T {
        let text = self.text(key);
        words.iter().find(|(word, _)| Some(*word) == text).map_or(usual, |(_, value)| *value)
    }

    /// The nodes under a key: of a list, or the one that stands there.
    pub(super) fn many(self, key: &str) -> Vec<&'n Node> {
        match self.node(key) {
            Some(Node { value: Value::Sequence(items), .. }) => items.iter().collect(),
            Some(node) => vec![node],
            None => Vec::new(),
        }
    }

    /// The texts under a key.
    pub(super) fn texts(self, key: &str) -> Vec<String> {
        self.many(key).into_iter().filter_map(Node::text).map(str::to_owned).collect()
    }

    /// The networks under a key; what is none becomes a finding.
    pub(super) fn networks(self, key: &str, findings: &mut Vec<Finding>) -> Vec<Network> {
        let mut networks = Vec::new();
        for node in self.many(key) {
            match node.text().unwrap_or_default().parse() {
                Ok(network) => networks.push(network),
                Err(error) => findings.push(network_finding(node, key, &error)),
            }
        }
        networks
    }
}

fn network_finding(node: &Node, key: &str, error: &crate::network::NetworkError) -> Finding {
    use crate::network::NetworkError;
    let finding = Finding::error("E0104", node, format!("{key}: {error}"));
    match error {
        NetworkError::HostBits { network, prefix, .. } => {
            finding.hint("write the network itself").fix(format!("{network}/{prefix}"))
        }
        _ => finding.hint("networks are written 10.20.0.0/16, single addresses 10.20.0.7"),
    }
}
