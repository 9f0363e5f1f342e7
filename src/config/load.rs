//! Loads a directory: `engine.yaml`, the channel files, and what must fit between them. What passes here
//! starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::channel_file::{self, ChannelConfig, Folder, Parsed};
use crate::config::cross;
use crate::config::engine::{self, EngineConfig};
use crate::config::secrets::MissingSecrets;
use crate::config::to::TransportOptions;
use crate::config::topics;
use crate::yaml::finding::{Finding, Severity};
use crate::yaml::node::Source;
use crate::yaml::parse::{TEXT_BYTES_MAX, parse};

/// Most channel files of a directory.
const CHANNELS_MAX: usize = 10_000;

/// How to load.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Only these channel files, wherever they are; empty: all of the channels directory.
    pub files: Vec<PathBuf>,
    /// `engine.yaml` itself, when it does not stand in the directory.
    pub engine_file: Option<PathBuf>,
    /// The directory of channel files, instead of the one in `engine.yaml`.
    pub channels: Option<PathBuf>,
    /// The data directory, instead of the one in `engine.yaml`.
    pub data: Option<PathBuf>,
    /// What becomes of a secret that cannot be found.
    pub missing_secrets: MissingSecrets,
    /// The environment, for secrets; usually `std::env::vars()`.
    pub environment: BTreeMap<String, String>,
}

/// What was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The engine's settings.
    pub engine: EngineConfig,
    /// The channels without errors, in the order of their files.
    pub channels: Vec<ChannelConfig>,
    /// Files of channels with errors, with the channel's name where it could be read. They do not
    /// run; on a reload what ran before goes on.
    pub refused: Vec<(PathBuf, Option<String>)>,
    /// Everything found, in the order of files and lines.
    pub findings: Vec<Finding>,
}

impl Loaded {
    /// Whether nothing stands against starting.
    #[must_use]
    pub fn starts(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }
}

/// One channel file on its way.
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) source: Arc<Source>,
    pub(super) parsed: Parsed,
}

/// Loads the configuration of a directory. Never fails: what is wrong is among the findings.
#[must_use]
pub fn load(directory: &Path, options: &LoadOptions) -> Loaded {
    let mut findings = Vec::new();
    let engine_path = options.engine_file.clone().unwrap_or_else(|| directory.join("engine.yaml"));
    let wanted = options.engine_file.is_some();
    let root = match read_text(&engine_path) {
        Read::Text(source) => {
            let (root, found) = parse(source);
            // A file of comments alone sets nothing.
            findings.extend(found.into_iter().filter(|finding| finding.code != "E0010"));
            root
        }
        Read::Missing(_) if !wanted => None,
        Read::Missing(finding) | Read::Bad(finding) => {
            findings.push(finding);
            None
        }
    };
    let folder = engine_path.parent().unwrap_or(directory);
    let environment = options.environment.clone();
    let mut engine =
        engine::read(root.as_ref(), folder, options.missing_secrets, environment, &mut findings);
    if let Some(channels) = &options.channels {
        engine.channels.clone_from(channels);
    }
    if let Some(data) = &options.data {
        engine.data.clone_from(data);
    }
    let paths = if options.files.is_empty() {
        channel_paths(&engine.channels, &mut findings)
    } else {
        options.files.clone()
    };
    let mut files = Vec::new();
    for path in paths {
        match read_text(&path) {
            Read::Text(source) => {
                let beside = Folder(path.parent().unwrap_or(Path::new("")).to_path_buf());
                let parsed = channel_file::read(&source, &path, &beside, &engine.secrets);
                files.push(File { path, source, parsed });
            }
            Read::Missing(finding) | Read::Bad(finding) => {
                let source = Arc::clone(&finding.source);
                let parsed = Parsed { root: None, config: None, findings: vec![finding] };
                files.push(File { path, source, parsed });
            }
        }
    }
    cross::check(&engine, root.as_ref(), &mut files, &mut findings);
    if options.files.is_empty() {
        // Among some of the files, a topic's publisher may be missing.
        topics::topics(&mut files);
        topics::circles(&mut files);
        cross::resources(&mut files);
    }
    collect(engine, files, findings)
}

fn collect(engine: EngineConfig, files: Vec<File>, mut findings: Vec<Finding>) -> Loaded {
    let (mut channels, mut refused) = (Vec::new(), Vec::new());
    for file in files {
        let Parsed { root, config, findings: mut found } = file.parsed;
        let failed = found.iter().any(|finding| finding.severity == Severity::Error);
        found.sort_by_key(|finding| (finding.source.name != file.source.name, finding.span.start));
        findings.extend(found);
        match config.filter(|_| !failed) {
            Some(mut config) => {
                inherit_allow(&engine, &mut config);
                channels.push(config);
            }
            None => {
                let name = root.and_then(|root| Some(root.get("channel")?.text()?.to_owned()));
                refused.push((file.path, name));
            }
        }
    }
    Loaded { engine, channels, refused, findings }
}

/// A webhook or FHIR server without a list of its own may reach what the engine may.
fn inherit_allow(engine: &EngineConfig, config: &mut ChannelConfig) {
    let Some(allow) = &engine.outbound_allow else { return };
    for destination in &mut config.destinations {
        let own = match &mut destination.transport {
            TransportOptions::Webhook(webhook) => &mut webhook.allow,
            TransportOptions::Fhir(fhir) => &mut fhir.allow,
            _ => continue,
        };
        if own.is_empty() {
            own.clone_from(allow);
        }
    }
}

enum Read {
    Text(Arc<Source>),
    Missing(Finding),
    Bad(Finding),
}

/// The text of a file, or why there is none.
fn read_text(path: &Path) -> Read {
    let name = path.strip_prefix("./").unwrap_or(path).display().to_string();
    let empty = Arc::new(Source { name: name.clone(), text: String::new() });
    let finding = |code, said: String| channel_file::whole(&empty, code, said);
    match std::fs::metadata(path) {
        Err(error) => {
            let said = format!("{name} cannot be read: {error}");
            return Read::Missing(
                finding("E0401", said).hint("check the path and who may read it"),
            );
        }
        Ok(found) if found.len() > u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX) => {
            let said = format!("{name} has {} bytes, the most is {TEXT_BYTES_MAX}", found.len());
            return Read::Bad(
                finding("E0007", said).hint("keep samples and tables in files of their own"),
            );
        }
        Ok(_) => {}
    }
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let said = format!("{name} cannot be read: {error}");
            return Read::Bad(finding("E0401", said).hint("check the path and who may read it"));
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Read::Text(Arc::new(Source { name, text })),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let said = format!("{name} is not UTF-8: byte {at} is part of no character");
            Read::Bad(finding("E0002", said).hint("save the file as UTF-8"))
        }
    }
}

/// The channel files of a directory, sorted: `*.yaml` and `*.yml`, not those below it.
fn channel_paths(directory: &Path, findings: &mut Vec<Finding>) -> Vec<PathBuf> {
    let name = directory.display().to_string();
    let place = Arc::new(Source { name: name.clone(), text: String::new() });
    let Ok(entries) = std::fs::read_dir(directory) else {
        let said = format!("the directory {name} of the channel files cannot be read");
        findings.push(
            channel_file::whole(&place, "E0401", said)
                .hint("make it and put a channel file into it, or set `channels` in engine.yaml"),
        );
        return Vec::new();
    };
    let yaml = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        matches!(ending, Some("yaml" | "yml")) && path.is_file()
    };
    let hidden = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_none_or(|name| name.starts_with('.'))
    };
    let mut paths: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| yaml(path) && !hidden(path))
        .collect();
    paths.sort();
    if paths.is_empty() {
        let said = format!("there is no channel file (*.yaml) in {name}");
        findings.push(
            channel_file::whole(&place, "E0402", said)
                .hint("the engine starts and receives nothing")
                .warning(),
        );
    }
    if paths.len() > CHANNELS_MAX {
        let said = format!("{name} holds more than {CHANNELS_MAX} channel files");
        findings.push(
            channel_file::whole(&place, "E0403", said).hint("divide them over several engines"),
        );
        paths.truncate(CHANNELS_MAX);
    }
    paths
}
