//! A channel's file into a [`Channel`]: the parts that the language owns. What the transports need is read
//! elsewhere; keys that are not the language's are not judged here.

use std::sync::Arc;

use crate::channel::accept::Accept;
use crate::channel::build::{Build, Files};
use crate::channel::expr::eval::Unmapped;
use crate::channel::expr::parse::condition;
use crate::channel::expr::template;
use crate::channel::fields::{Fields, choice, one_or_many};
use crate::channel::produce::Produce;
use crate::channel::render::{Attribute, Escape};
use crate::channel::route::Order;
use crate::channel::step::parse::steps;
use crate::channel::{Channel, Destination, Listen, SearchKey};
use crate::hl7::charset::{Charset, CharsetRule};
use crate::hl7::raw::{ReadOptions, SegmentEnds};
use crate::yaml::finding::{Finding, Severity};
use crate::yaml::nearest::nearest;
use crate::yaml::node::{Node, Value as Yaml};

/// Where transports have texts with values in them.
const TEMPLATES: [(&str, &str, Escape); 6] = [
    ("webhook", "url", Escape::Url),
    ("file", "name", Escape::FileName),
    ("file", "folder", Escape::FileName),
    ("channel", "topic", Escape::Plain),
    ("rabbitmq", "routing_key", Escape::Plain),
    ("kafka", "topic", Escape::Plain),
];

/// Compiles a channel. Without errors among the findings there is a channel.
#[must_use]
pub fn compile(node: &Node, files: &dyn Files) -> (Option<Channel>, Vec<Finding>) {
    let mut build = Build::new(files);
    let channel = compile_with(node, &mut build);
    let (_, findings) = build.into_used();
    let failed = findings.iter().any(|finding| finding.severity == Severity::Error);
    (channel.filter(|_| !failed), findings)
}

/// Compiles a channel, noting what is found and which files it uses in `build`.
pub fn compile_with(node: &Node, build: &mut Build<'_>) -> Option<Channel> {
    let name: Arc<str> = node.get("channel").and_then(Node::text).unwrap_or_default().into();
    let from = node.get("from");
    build.resources = node.get("accept").map(Accept::resources).unwrap_or_default();
    let accept = node.get("accept").map(|node| Accept::compile(node, build)).unwrap_or_default();
    let order = node.get("order_by").map(|node| Order::compile(node, build)).unwrap_or_default();
    let unmapped = node.get("unmapped_code").and_then(|node| unmapped(node, build));
    let search_keys = node.get("search_keys").map(|node| search_keys(node, build));
    let mut destinations = Vec::new();
    let mut nodes = Vec::new();
    for (key, node) in node.get("to").map(Node::entries).unwrap_or_default() {
        let destination = destination(&key.text, node, &order, unmapped.as_ref(), build);
        destinations.push(destination);
        nodes.push(node);
    }
    share_steps(&mut destinations, &nodes);
    Some(Channel {
        name,
        listen: from.map_or(Listen::Source, listen),
        read_options: read_options(from, accept.strict, build),
        accept,
        search_keys: search_keys.unwrap_or_default(),
        destinations,
    })
}

fn listen(from: &Node) -> Listen {
    match from.get("topic") {
        Some(topic) => {
            let names = one_or_many(topic).into_iter().filter_map(Node::text);
            Listen::Topics(names.map(Into::into).collect())
        }
        None => Listen::Source,
    }
}

fn read_options(from: Option<&Node>, strict: bool, build: &mut Build<'_>) -> ReadOptions {
    let ends = if strict { SegmentEnds::CrOnly } else { SegmentEnds::Lenient };
    let mut charset = CharsetRule::default();
    if let Some(node) = from.and_then(|from| from.get("charset")) {
        if node.text().is_some() {
            charset.forced = charset_named(node, build);
        } else {
            let otherwise = node.get("otherwise").and_then(|node| charset_named(node, build));
            charset.otherwise = otherwise.unwrap_or(charset.otherwise);
        }
    }
    ReadOptions { ends, charset }
}

fn charset_named(node: &Node, build: &mut Build<'_>) -> Option<Charset> {
    let name = node.text().unwrap_or_default();
    let found = Charset::from_name(name);
    if found.is_none() {
        let names: Vec<&str> = Charset::all().map(Charset::msh18).collect();
        let finding = Finding::error("E0332", node, format!("there is no charset {name}"));
        let usual = ["UTF-8", "GB18030", "GBK", "BIG5", "ISO-8859-1"];
        build.findings.push(match nearest(name, names.iter().copied().chain(usual)) {
            Some(near) => finding.hint(format!("did you mean {near}?")).fix(near),
            None => finding.hint(format!("one of: {}", names.join(", "))),
        });
    }
    found
}

fn search_keys(node: &Node, build: &mut Build<'_>) -> Vec<SearchKey> {
    let mut keys = Vec::new();
    for (name, node) in node.entries() {
        let (path, mask) = match &node.value {
            Yaml::Mapping(_) => {
                let Some(fields) = Fields::read(node, "a search key", &["path", "mask"], build)
                else {
                    continue;
                };
                let mask = fields.get("mask").and_then(|node| {
                    choice(node, "mask", &[("true", true), ("false", false)], build)
                });
                let Some(path) = fields.required("path", "a search key", build) else { continue };
                (path, mask.unwrap_or_default())
            }
            _ => (node, false),
        };
        if let Some(value) = template::source(path, build) {
            keys.push(SearchKey { name: name.text.as_str().into(), value, mask });
        }
    }
    keys
}

fn destination(
    name: &str,
    node: &Node,
    order: &Order,
    usual: Option<&Unmapped>,
    build: &mut Build<'_>,
) -> Destination {
    let own_order = node.get("order").map(|node| Order::compile(node, build));
    let own = node.get("unmapped_code").and_then(|node| unmapped(node, build));
    let produce = node.get("produce").map(|node| Produce::compile(node, build));
    Destination {
        name: name.into(),
        when: node.get("when").and_then(|node| condition(node, build)),
        order: own_order.unwrap_or_else(|| order.clone()),
        steps: node.get("change").map(|node| steps(node, build)).unwrap_or_default().into(),
        shares_steps: false,
        produce: produce.unwrap_or_default(),
        unmapped: own.or_else(|| usual.cloned()).unwrap_or(Unmapped::Hold),
        attributes: attributes(node, build),
        fixed_attributes: fixed_attributes(node),
    }
}

/// Gives destinations that say the same under `change` the same steps, so that what one of them makes of a
/// message serves the others.
fn share_steps(destinations: &mut [Destination], nodes: &[&Node]) {
    for later in 1..destinations.len() {
        let (before, rest) = destinations.split_at_mut(later);
        let Some(own) = rest.first_mut().filter(|own| !own.steps.is_empty()) else { continue };
        let change = nodes.get(later).and_then(|node| node.get("change"));
        let twin = before.iter_mut().zip(nodes).find(|(other, node)| {
            let same = node.get("change").zip(change).is_some_and(|(a, b)| a.says_the_same(b));
            same && other.unmapped == own.unmapped
        });
        if let Some((twin, _)) = twin {
            own.steps = Arc::clone(&twin.steps);
            own.shares_steps = true;
            twin.shares_steps = true;
        }
    }
}

/// The text of a transport's key, and where it stands.
fn text_of<'n>(node: &'n Node, transport: &str, name: &str) -> Option<&'n Node> {
    let transport = node.get(transport)?;
    let short = name == "topic" && transport.text().is_some();
    let found = if short { transport } else { transport.get(name)? };
    found.text().is_some().then_some(found)
}

fn fixed_attributes(node: &Node) -> Vec<(Box<str>, Box<str>)> {
    let all = TEMPLATES.iter().filter_map(|(transport, name, _)| {
        let text = text_of(node, transport, name)?.text()?;
        (!text.contains('<')).then(|| ((*name).into(), text.into()))
    });
    all.collect()
}

/// Only texts with values in them: where to send is always today's, unless the message says it.
fn attributes(node: &Node, build: &mut Build<'_>) -> Vec<Attribute> {
    let mut found = Vec::new();
    for (transport, name, escape) in TEMPLATES {
        let Some(node) = text_of(node, transport, name) else { continue };
        if !node.text().is_some_and(|text| text.contains('<')) {
            continue;
        }
        match template::text(node, build) {
            Some(text) if !text.is_fixed() => {
                found.push(Attribute { name: name.into(), escape, text });
            }
            _ => {}
        }
    }
    found
}

fn unmapped(node: &Node, build: &mut Build<'_>) -> Option<Unmapped> {
    if node.text().is_some() {
        let choices = [("hold", 0), ("pass", 1), ("reject", 2)];
        return choice(node, "unmapped_code", &choices, build).map(|chosen| match chosen {
            0 => Unmapped::Hold,
            1 => Unmapped::Pass,
            _ => Unmapped::Reject,
        });
    }
    let fields = Fields::read(node, "unmapped_code", &["default"], build)?;
    let text = fields.required("default", "unmapped_code", build)?.text()?;
    Some(Unmapped::Default(text.into()))
}
