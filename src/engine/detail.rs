//! One channel as a page shows it: its file, what was found in it, its graph, its versions and its tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use utoipa::ToSchema;

use crate::channel::Listen;
use crate::channel::bundle::Bundle;
use crate::channel::compile::compile;
use crate::config::channel_file::ChannelConfig;
use crate::config::from::SourceOptions;
use crate::config::to::TransportOptions;
use crate::engine::Engine;
use crate::engine::document::{Language, document};
use crate::engine::rehearse::rehearse;
use crate::engine::switch::Stopped;
use crate::message::id::VersionId;
use crate::store::StoreError;
use crate::yaml::finding::Severity;
use crate::yaml::node::{Node, Source};
use crate::yaml::parse::parse;

/// Reports of tests kept, by version.
const REPORTS_MAX: usize = 256;
/// Most failed tests told.
const FAILURES_MAX: usize = 20;

/// A text in both languages, where there are both.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BothTitles {
    /// English.
    pub en: Option<String>,
    /// Chinese.
    pub zh: Option<String>,
}

/// Something found in a channel's file.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Found {
    /// `error` or `warning`.
    pub severity: &'static str,
    /// A stable code.
    pub code: &'static str,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub hint: Option<String>,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
}

/// A place in the graph.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct GraphNode {
    /// What edges name it by.
    pub id: String,
    /// `source`, `topic`, `channel` or `destination`.
    pub kind: &'static str,
    /// For people.
    pub label: String,
    /// `mllp`, `http`, `fhir`, `file`, `webhook`, `topic`, `resources`; nothing of a channel.
    pub transport: Option<&'static str>,
}

/// A way in the graph.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct GraphEdge {
    /// From this node.
    pub from: String,
    /// To this one.
    pub to: String,
    /// Under this condition.
    pub when: Option<String>,
}

/// Where messages come from and go.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Graph {
    /// Places.
    pub nodes: Vec<GraphNode>,
    /// Ways.
    pub edges: Vec<GraphEdge>,
}

/// What a channel's own tests say.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Tests {
    /// How many passed.
    pub passed: usize,
    /// How many did not.
    pub failed: usize,
    /// When they ran.
    pub ran_at: String,
    /// Those that did not pass, as text. Values are those of the file's own made-up messages.
    pub failures: Vec<String>,
}

/// A version of a channel.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct VersionLine {
    /// The store's number.
    pub version: u32,
    /// When it was first in force.
    pub at: String,
    /// The hash of its files.
    pub hash: String,
    /// Who put it in force last; `engine` when it was there at a start or at a signal.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// A channel in force.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChannelDetail {
    /// Its name.
    pub channel: String,
    /// Its title.
    pub title: BothTitles,
    /// Its group.
    pub group: Option<String>,
    /// Whom to ask.
    pub owner: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// `running` or `stopped`.
    pub state: &'static str,
    /// Who stopped it, when and why.
    pub stopped: Option<Stopped>,
    /// The store's number of the version in force.
    pub version: u32,
    /// The hash of its files.
    pub hash: String,
    /// Its file.
    pub file: String,
    /// The file's text, as it is in force.
    pub yaml: String,
    /// Files it uses besides.
    pub files: Vec<String>,
    /// What was found in it.
    pub findings: Vec<Found>,
    /// When its file was refused at the last reload: why. The version in force is older then.
    pub refused: Option<String>,
    /// Where messages come from and go.
    pub graph: Graph,
    /// Its versions, the newest first.
    pub versions: Vec<VersionLine>,
    /// Its own tests.
    pub tests: Tests,
    /// The interface as a document, in Markdown, in the language asked for.
    pub document: String,
}

/// Reports of tests, by the version's hash: the same files always give the same report.
#[derive(Debug, Default)]
pub struct Reports(Mutex<BTreeMap<String, Tests>>);

impl Engine {
    /// A channel as configured and in force.
    pub(super) fn applied_config(&self, name: &str) -> Option<ChannelConfig> {
        self.applied.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// A channel in force with all that is known of it, its document in this language; `None` when there is
    /// none of this name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn channel_detail(
        &self,
        name: &str,
        language: Language,
    ) -> Result<Option<ChannelDetail>, StoreError> {
        let Some(config) = self.applied_config(name) else { return Ok(None) };
        let Some(version) = self.registry.channels().get(name).map(|live| live.version) else {
            return Ok(None);
        };
        let versions = self.store.versions(name).await?;
        let versions = versions.into_iter().map(|one| VersionLine {
            version: one.version.0,
            at: one.applied_at.to_string(),
            hash: one.hash.into(),
            by: None,
            reason: None,
        });
        let yaml = String::from_utf8_lossy(&config.bundle.channel).into_owned();
        let source =
            Arc::new(Source { name: config.file.display().to_string(), text: yaml.clone() });
        let root = parse(source).0;
        let stopped = self.switches.get(name);
        Ok(Some(ChannelDetail {
            channel: name.to_owned(),
            title: BothTitles { en: config.title.en.clone(), zh: config.title.zh.clone() },
            group: config.group.clone(),
            owner: config.owner.clone(),
            description: config.description.clone(),
            state: if stopped.is_some() { "stopped" } else { "running" },
            stopped,
            version: version.0,
            hash: config.hash.clone(),
            file: config.file.display().to_string(),
            files: config.bundle.files.keys().cloned().collect(),
            findings: root.as_ref().map(|root| findings(root, &config.bundle)).unwrap_or_default(),
            refused: self.refusal_of(name),
            graph: graph(&config, root.as_ref()),
            versions: versions.collect(),
            tests: self.report(&config),
            document: root
                .as_ref()
                .map(|root| document(&config, root, language))
                .unwrap_or_default(),
            yaml,
        }))
    }

    /// The text of a version of a channel; `None` when that channel has no such version.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn version_text(
        &self,
        channel: &str,
        version: VersionId,
    ) -> Result<Option<String>, StoreError> {
        let record = match self.store.version_record(version).await {
            Ok(record) => record,
            Err(StoreError::Missing) => return Ok(None),
            Err(error) => return Err(error),
        };
        if &*record.channel != channel {
            return Ok(None);
        }
        let bundle = Bundle::unpack(&record.bundle.into());
        Ok(bundle.map(|bundle| String::from_utf8_lossy(&bundle.channel).into_owned()))
    }

    fn refusal_of(&self, channel: &str) -> Option<String> {
        let refused = self.refused.read().unwrap_or_else(PoisonError::into_inner);
        let own = refused.iter().find(|one| one.get("channel").is_some_and(|name| name == channel));
        own.and_then(|one| one.get("findings")?.as_str()).map(str::to_owned)
    }

    /// What the tests say; they run when nobody has asked for this version yet. The runtime lends this
    /// thread.
    fn report(&self, config: &ChannelConfig) -> Tests {
        let kept = self.reports.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tests) = kept.get(&config.hash) {
            return tests.clone();
        }
        drop(kept);
        let reports: Vec<_> = tokio::task::block_in_place(|| rehearse(config, None).collect());
        let failed = reports.iter().filter(|report| !report.passed());
        let tests = Tests {
            passed: reports.iter().filter(|report| report.passed()).count(),
            failed: failed.clone().count(),
            ran_at: self.clock.now().to_string(),
            failures: failed.take(FAILURES_MAX).map(|report| report.to_text()).collect(),
        };
        let mut kept = self.reports.0.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.len() >= REPORTS_MAX {
            kept.pop_first();
        }
        kept.insert(config.hash.clone(), tests.clone());
        tests
    }
}

/// What the language finds in a file that is in force: warnings.
fn findings(root: &Node, bundle: &Bundle) -> Vec<Found> {
    let (_, findings) = compile(root, bundle);
    let all = findings.into_iter().map(|finding| {
        let (line, column) = finding.source.line_column(finding.span.start);
        Found {
            severity: if finding.severity == Severity::Error { "error" } else { "warning" },
            code: finding.code,
            text: finding.message,
            hint: finding.hint,
            line,
            column,
        }
    });
    all.collect()
}

const fn source_kind(source: &SourceOptions) -> &'static str {
    match source {
        SourceOptions::Mllp(_) => "mllp",
        SourceOptions::Http(_) => "http",
        SourceOptions::Fhir(_) => "fhir",
        SourceOptions::File(_) => "file",
        SourceOptions::Topics(_) => "topic",
    }
}

const fn transport_kind(transport: &TransportOptions) -> &'static str {
    match transport {
        TransportOptions::Mllp(_) => "mllp",
        TransportOptions::Webhook(_) => "webhook",
        TransportOptions::File(_) => "file",
        TransportOptions::Topic(_) => "topic",
        TransportOptions::Fhir(_) => "fhir",
        TransportOptions::Resources(_) => "resources",
    }
}

fn graph(config: &ChannelConfig, root: Option<&Node>) -> Graph {
    let channel = format!("channel:{}", config.name);
    let mut nodes = Vec::new();
    let mut edges = Vec::new();
    let sources: Vec<(String, &'static str, String)> = match &config.channel.listen {
        Listen::Source => {
            let kind = source_kind(&config.source);
            vec![(format!("source:{}", config.name), "source", kind.to_owned())]
        }
        Listen::Topics(topics) => topics
            .iter()
            .map(|topic| (format!("topic:{topic}"), "topic", topic.to_string()))
            .collect(),
    };
    for (id, kind, label) in sources {
        edges.push(GraphEdge { from: id.clone(), to: channel.clone(), when: None });
        nodes.push(GraphNode { id, kind, label, transport: Some(source_kind(&config.source)) });
    }
    nodes.push(GraphNode {
        id: channel.clone(),
        kind: "channel",
        label: config.name.to_string(),
        transport: None,
    });
    for destination in &config.destinations {
        let id = format!("{}/{}", config.name, destination.name);
        let when =
            root.and_then(|root| root.get("to")?.get(&destination.name)?.get("when")?.text());
        edges.push(GraphEdge {
            from: channel.clone(),
            to: id.clone(),
            when: when.map(str::to_owned),
        });
        nodes.push(GraphNode {
            id,
            kind: "destination",
            label: destination.name.clone(),
            transport: Some(transport_kind(&destination.transport)),
        });
    }
    Graph { nodes, edges }
}
