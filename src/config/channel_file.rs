//! One channel file into a [`ChannelConfig`]: checked by its shape, its transports read here, its language
//! compiled by `channel::`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::channel::Channel;
use crate::channel::build::{Build, Files};
use crate::channel::bundle::Bundle;
use crate::channel::cases::{self, Case};
use crate::channel::compile::compile_with;
use crate::config::from::{self, SourceOptions};
use crate::config::secrets::Secrets;
use crate::config::shapes::channel::CHANNEL;
use crate::config::to::{self, DestinationConfig};
use crate::yaml::decode;
use crate::yaml::finding::{Finding, Severity};
use crate::yaml::node::{Node, Source, Span};
use crate::yaml::parse::parse;

/// Largest file beside a channel (tables, samples), in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A text in one or both languages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Title {
    /// English.
    pub en: Option<String>,
    /// Chinese.
    pub zh: Option<String>,
}

/// How long a channel's messages are kept; `None`: as long as those of other channels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChannelRetention {
    /// The bytes.
    pub bodies: Option<Duration>,
    /// Messages with their outcomes and search keys.
    pub messages: Option<Duration>,
}

/// A channel, ready to be built.
#[derive(Debug, Clone)]
pub struct ChannelConfig {
    /// Its name.
    pub name: Arc<str>,
    /// Its file.
    pub file: PathBuf,
    /// A title for people.
    pub title: Title,
    /// The group of channels it belongs to: users and tokens may be limited to groups.
    pub group: Option<String>,
    /// Whom to ask.
    pub owner: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Where its messages come from.
    pub source: SourceOptions,
    /// Where they go, in the order of the file, which is that of the compiled channel.
    pub destinations: Vec<DestinationConfig>,
    /// How long what it receives is kept, where that is not as `engine.yaml` says.
    pub retention: ChannelRetention,
    /// The language's part, compiled.
    pub channel: Arc<Channel>,
    /// The tests of its file.
    pub tests: Vec<Case>,
    /// Its file and the tables it uses: what a message is pinned to.
    pub bundle: Bundle,
    /// The bundle's hash, hexadecimal: the name of this version.
    pub hash: String,
}

/// What a channel file says, for checks across files.
#[derive(Debug)]
pub(super) struct Parsed {
    /// Its root, when it could be read at all.
    pub(super) root: Option<Node>,
    /// The channel, when nothing is wrong with the file.
    pub(super) config: Option<ChannelConfig>,
    /// What is wrong with it.
    pub(super) findings: Vec<Finding>,
}

/// Reads a channel's text. `folder` is where it stands.
pub(super) fn read(
    source: &Arc<Source>,
    file: &Path,
    files: &dyn Files,
    secrets: &Secrets,
) -> Parsed {
    let (root, mut findings) = parse(Arc::clone(source));
    let Some(root) = root else { return Parsed { root: None, config: None, findings } };
    CHANNEL.check_file(&root, &mut findings);
    order_of_keys(&root, &mut findings);
    let folder = file.parent().unwrap_or(Path::new(""));
    let from = root.get("from");
    let source_options = from.and_then(|node| from::read(node, folder, secrets, &mut findings));
    let entries = root.get("to").map(Node::entries).unwrap_or_default();
    if let Some(to) = root
        .get("to")
        .filter(|to| matches!(&to.value, crate::yaml::node::Value::Mapping(all) if all.is_empty()))
    {
        findings.push(
            Finding::error("E0102", to, "`to` names no destination")
                .hint("add e.g. `lis: {mllp: {host: lis.hospital.example, port: 2575}}`"),
        );
    }
    let destinations: Vec<_> = entries
        .iter()
        .filter_map(|(name, node)| to::read(name, node, folder, secrets, &mut findings))
        .collect();
    let mut build = Build::new(files);
    let channel = compile_with(&root, &mut build);
    let (used, compiled) = build.into_used();
    merge(&mut findings, compiled);
    // Samples are no part of a version: they are read apart from what the channel uses.
    let mut build = Build::new(files);
    let tests = channel.as_ref().map(|channel| cases::compile(&root, channel, &mut build));
    merge(&mut findings, build.into_used().1);
    let failed = findings.iter().any(|finding| finding.severity == Severity::Error);
    let config = match (source_options, channel) {
        (Some(source_options), Some(channel)) if !failed => {
            let bundle = Bundle::new(Bytes::from(source.text.clone()), used);
            Some(ChannelConfig {
                name: Arc::clone(&channel.name),
                file: file.to_path_buf(),
                title: title(root.get("title")),
                group: text(&root, "group"),
                owner: text(&root, "owner"),
                description: text(&root, "description"),
                source: source_options,
                destinations,
                retention: retention(&root),
                channel: Arc::new(channel),
                tests: tests.unwrap_or_default(),
                hash: format!("{:032x}", bundle.hash()),
                bundle,
            })
        }
        _ => None,
    };
    Parsed { root: Some(root), config, findings }
}

/// Adds the findings of the language, but not a second one for the same place.
fn merge(findings: &mut Vec<Finding>, compiled: Vec<Finding>) {
    for finding in compiled {
        let known = |other: &Finding| {
            other.span == finding.span
                && other.source == finding.source
                && other.severity == finding.severity
        };
        if !findings.iter().any(known) {
            findings.push(finding);
        }
    }
}

fn text(root: &Node, key: &str) -> Option<String> {
    root.get(key).and_then(Node::text).map(str::to_owned)
}

fn retention(root: &Node) -> ChannelRetention {
    let age = |key| decode::duration(root.get("retention")?.get(key)?.text()?).ok();
    ChannelRetention { bodies: age("bodies"), messages: age("messages") }
}

fn title(node: Option<&Node>) -> Title {
    let Some(node) = node else { return Title::default() };
    match node.text() {
        Some(text) => Title { en: Some(text.to_owned()), zh: None },
        None => Title { en: text(node, "en"), zh: text(node, "zh") },
    }
}

/// Files read alike when their sections stand in one order: from, accept, search_keys, to, tests.
fn order_of_keys(root: &Node, findings: &mut Vec<Finding>) {
    let place = |key: &str| CHANNEL.fields.iter().position(|field| field.key == key);
    let mut highest: Option<(usize, &str)> = None;
    for (key, _) in root.entries() {
        let Some(at) = place(&key.text) else { continue };
        match highest {
            Some((before, name)) if at < before => {
                let said = format!("`{}` stands before `{name}` in a channel file", key.text);
                let order: Vec<_> = CHANNEL.fields.iter().map(|field| field.key).collect();
                findings.push(
                    Finding::at("E0422", &root.source, key.span, said)
                        .hint(format!("the order is: {}", order.join(", ")))
                        .warning(),
                );
            }
            _ => highest = Some((at, &key.text)),
        }
    }
}

/// The files beside a channel, read from disk. Paths may not leave the folder.
#[derive(Debug, Clone)]
pub struct Folder(pub PathBuf);

impl Files for Folder {
    fn read(&self, relative: &str) -> Option<Bytes> {
        let path = self.0.join(inside(relative)?);
        let size = std::fs::metadata(&path).ok()?.len();
        if size > FILE_BYTES_MAX {
            return None;
        }
        std::fs::read(path).ok().map(Bytes::from)
    }

    fn list(&self, folder: &str) -> Vec<String> {
        let Some(below) = inside(folder) else { return Vec::new() };
        let entries = std::fs::read_dir(self.0.join(below)).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries
            .filter(|entry| entry.path().is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") })
            .collect();
        names.sort();
        names
    }
}

/// A path that stays below its folder.
fn inside(relative: &str) -> Option<&Path> {
    use std::path::Component;
    let path = Path::new(relative);
    path.components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        .then_some(path)
}

/// The place of a file as a whole.
pub(super) fn whole(source: &Arc<Source>, code: &'static str, said: String) -> Finding {
    Finding::at(code, source, Span::default(), said)
}
