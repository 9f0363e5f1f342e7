//! Topics between channels: somebody publishes what is listened to, and no topic leads in a circle.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::load::File;
use crate::fhir::definitions::r4;
use crate::message::kind::Kind;
use crate::yaml::finding::Finding;
use crate::yaml::nearest::nearest;
use crate::yaml::node::{Node, Value};

/// The topics a channel's destinations publish; `None` among them: one that comes from the message.
fn published(root: &Node) -> Vec<Option<&str>> {
    let destinations = root.get("to").map(Node::entries).unwrap_or_default();
    let topics = destinations.iter().filter_map(|(_, node)| topic_of(node)?.text());
    topics.map(|topic| (!topic.contains('<')).then_some(topic)).collect()
}

/// Where a destination says which topic it publishes.
fn topic_of(destination: &Node) -> Option<&Node> {
    let node = destination.get("channel")?;
    if node.text().is_some() { Some(node) } else { node.get("topic") }
}

/// The topics a channel listens to.
fn heard(root: &Node) -> Vec<&Node> {
    let Some(topic) = root.get("from").and_then(|from| from.get("topic")) else {
        return Vec::new();
    };
    match &topic.value {
        Value::Sequence(items) => items.iter().collect(),
        _ => vec![topic],
    }
}

/// Topics nobody publishes: a warning, since a channel of another time may.
pub(super) fn topics(files: &mut [File]) {
    let mut known = BTreeSet::new();
    let mut open = false;
    for root in files.iter().filter_map(|file| file.parsed.root.as_ref()) {
        for topic in published(root) {
            open |= topic.is_none();
            known.extend(topic.map(str::to_owned));
        }
    }
    for file in files {
        let nodes = file.parsed.root.as_ref().map(heard).unwrap_or_default();
        let mut found = Vec::new();
        for node in nodes {
            let Some(name) = node.text() else { continue };
            if open || known.contains(name) || Kind::from_name(name).is_some() || is_event(name) {
                continue;
            }
            let finding =
                Finding::error("E0407", node, format!("nobody publishes the topic `{name}`"));
            let kinds = Kind::ALL.map(Kind::name);
            let candidates = known.iter().map(String::as_str).chain(kinds);
            found.push(match nearest(name, candidates) {
                Some(near) => finding.hint(format!("did you mean `{near}`?")).fix(near),
                None => finding
                    .hint(format!(
                        "a destination publishes it with `channel: {{topic: {name}}}`; kinds are: {}",
                        kinds.join(", ")
                    ))
                    .warning(),
            });
        }
        file.parsed.findings.extend(found);
    }
}

/// Topics that lead back to the channel that publishes them: one message would be published for ever, and
/// fill the disk. Circles through topics that messages decide are broken when they run.
pub(super) fn circles(files: &mut [File]) {
    // Which topics follow from one: those that its listeners publish.
    let mut next: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for root in files.iter().filter_map(|file| file.parsed.root.as_ref()) {
        let topics: Vec<&str> = published(root).into_iter().flatten().collect();
        for heard in heard(root).into_iter().filter_map(Node::text) {
            let follow = next.entry(heard.to_owned()).or_default();
            follow.extend(topics.iter().map(|topic| (*topic).to_owned()));
        }
    }
    for file in files {
        let Some(root) = &file.parsed.root else { continue };
        let own: BTreeSet<&str> = heard(root).into_iter().filter_map(Node::text).collect();
        let destinations = root.get("to").map(Node::entries).unwrap_or_default();
        let mut found = Vec::new();
        for node in destinations.iter().filter_map(|(_, node)| topic_of(node)) {
            let Some(topic) = node.text() else { continue };
            if !leads_to(&next, topic, &own) {
                continue;
            }
            let said = format!("the topic `{topic}` comes back to the channel that publishes it");
            found.push(
                Finding::error("E0408", node, said)
                    .hint("publish another topic, or let one of these channels listen to less"),
            );
        }
        file.parsed.findings.extend(found);
    }
}

/// Whether a message published under `topic` is heard, at once or later, by who listens to one of `goals`.
fn leads_to(
    next: &BTreeMap<String, BTreeSet<String>>,
    topic: &str,
    goals: &BTreeSet<&str>,
) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![topic]);
    while let Some(topic) = open.pop() {
        if goals.contains(topic) {
            return true;
        }
        if seen.insert(topic) {
            open.extend(next.get(topic).into_iter().flatten().map(String::as_str));
        }
    }
    false
}

/// `ADT`, `ADT^*`, `ADT^A01`; `Patient`, `Patient^update`.
fn is_event(topic: &str) -> bool {
    let named = topic.split('^').next().unwrap_or_default();
    if r4().resource(named).is_some() || named == "message" {
        return true;
    }
    let code = |text: &str| {
        text.len() == 3 && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    match topic.split_once('^') {
        Some((kind, event)) => code(kind) && (event == "*" || code(event)),
        None => code(topic),
    }
}
