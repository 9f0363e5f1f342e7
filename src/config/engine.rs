//! `engine.yaml` as options. Without the file everything has its default.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::access::{self, OidcOptions};
use crate::config::read::Fields;
use crate::config::secrets::{MissingSecrets, Secrets};
use crate::config::shapes;
use crate::config::subscriptions::{self, SubscriptionsConfig};
use crate::message::secret::Secret;
use crate::source::intake::IntakeLimits;
use crate::store::Retention;
use crate::tls::{ClientAuth, TlsProfile, TlsVersion};
use crate::yaml::decode;
use crate::yaml::finding::Finding;
use crate::yaml::node::Node;

/// The engine's own settings.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Directory of the store.
    pub data: PathBuf,
    /// Directory of the channel files.
    pub channels: PathBuf,
    /// The admin API.
    pub admin: AdminOptions,
    /// Who people may sign in by, besides a password.
    pub oidc: Option<OidcOptions>,
    /// Where secrets are.
    pub secrets: Secrets,
    /// TLS profiles by name.
    pub tls: BTreeMap<String, TlsProfile>,
    /// Hosts and networks the engine may send to; `None`: wherever channels say.
    pub outbound_allow: Option<Vec<String>>,
    /// What holds for all FHIR subscriptions.
    pub subscriptions: SubscriptionsConfig,
    /// What may wait in the intake.
    pub intake: IntakeLimits,
    /// What the store may hold.
    pub store: StoreLimits,
    /// Free bytes under the data directory below which nothing new is taken.
    pub disk_free_min: u64,
    /// How long things are kept.
    pub retention: Retention,
    /// Time between two looks for what may be removed.
    pub retention_every: Duration,
    /// What is logged: a level or a filter.
    pub log_level: String,
    /// How lines are written.
    pub log_format: LogLines,
    /// Time for answers and deliveries in flight when the engine stops.
    pub shutdown_within: Duration,
}

/// The admin API.
#[derive(Debug, Clone)]
pub struct AdminOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its token. Without one it is drawn at the first start, and only a loopback address is taken.
    pub token: Option<Secret>,
    /// Name of a TLS profile.
    pub tls: Option<String>,
}

/// Limits of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLimits {
    /// Largest size, in bytes; `None`: the disk.
    pub size_bytes_max: Option<u64>,
    /// Messages in one commit.
    pub batch_messages_max: usize,
    /// Bytes in one commit.
    pub batch_bytes_max: usize,
    /// Messages remembered to recognise repeats.
    pub duplicates_max: usize,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLines {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

const DAY: Duration = Duration::from_hours(24);

/// Reads `engine.yaml`, or the defaults when `root` is none. Paths are relative to `folder`.
pub(super) fn read(
    root: Option<&Node>,
    folder: &Path,
    missing: MissingSecrets,
    environment: impl IntoIterator<Item = (String, String)>,
    findings: &mut Vec<Finding>,
) -> EngineConfig {
    if let Some(root) = root {
        shapes::engine::ENGINE.check_file(root, findings);
    }
    let fields = Fields::of(root);
    let path =
        |fields: Fields<'_>, key: &str, usual: &str| folder.join(fields.text(key).unwrap_or(usual));
    let places = fields.below("secrets");
    let prefix = places.text("env_prefix").unwrap_or("MEDWAY_SECRET_");
    let directory = path(places, "directory", "secrets");
    let secrets = Secrets::new(directory, prefix, missing, environment);
    let (log, retention) = (fields.below("log"), fields.below("retention"));
    let outbound = fields.below("outbound");
    let outbound_allow = outbound.node("allow").map(|_| outbound.texts("allow"));
    EngineConfig {
        data: path(fields, "data", "data"),
        channels: path(fields, "channels", "channels"),
        admin: admin(fields.below("admin"), &secrets, findings),
        oidc: access::oidc(fields.below("access"), outbound_allow.as_ref(), &secrets, findings),
        tls: tls_profiles(fields.node("tls"), folder),
        outbound_allow,
        subscriptions: subscriptions::read(fields.below("subscriptions"), findings),
        intake: intake(fields.below("limits")),
        store: store(fields.below("limits")),
        disk_free_min: u64::try_from(fields.below("limits").size("disk_free", 64 << 20))
            .unwrap_or(u64::MAX),
        retention: Retention {
            bodies: retention.duration("bodies", DAY * 30),
            messages: retention.duration("messages", DAY * 90),
            rejects: retention.duration("rejects", DAY * 30),
            versions: retention.duration("versions", DAY * 90),
            versions_max: retention.integer("versions_max", 100),
            step: retention.integer("step", 500),
            channels: BTreeMap::new(),
        },
        retention_every: retention.duration("every", Duration::from_mins(1)),
        log_level: log.text("level").unwrap_or("info").to_owned(),
        log_format: log.choice(
            "format",
            &[("auto", LogLines::Auto), ("text", LogLines::Text), ("json", LogLines::Json)],
            LogLines::Auto,
        ),
        shutdown_within: fields.below("shutdown").duration("within", Duration::from_secs(30)),
        secrets,
    }
}

fn admin(fields: Fields<'_>, secrets: &Secrets, findings: &mut Vec<Finding>) -> AdminOptions {
    let usual = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
    let listen = fields.text("listen").and_then(|text| decode::address(text).ok());
    let listen = listen.unwrap_or(usual);
    let token = fields.node("token").and_then(|node| secrets.read(node, findings));
    if let Some(node) = fields.node("listen")
        && fields.node("token").is_none()
        && !listen.ip().is_loopback()
    {
        findings.push(
            Finding::error(
                "E0416",
                node,
                "the admin API on a network address needs a token of your own",
            )
            .hint("add `token: secret/NAME` under admin, or listen on 127.0.0.1"),
        );
    }
    AdminOptions { listen, token, tls: fields.string("tls") }
}

fn intake(fields: Fields<'_>) -> IntakeLimits {
    let usual = IntakeLimits::default();
    IntakeLimits {
        messages_max: fields.integer("waiting_messages", usual.messages_max),
        bytes_max: fields.size("waiting_bytes", usual.bytes_max),
        evidence_bytes_max: fields.size("evidence_bytes", usual.evidence_bytes_max),
        connection_bytes_max: fields.size("connection_bytes", usual.connection_bytes_max),
        ..usual
    }
}

fn store(fields: Fields<'_>) -> StoreLimits {
    let limit = fields.node("store_bytes").map(|_| fields.size("store_bytes", usize::MAX));
    StoreLimits {
        size_bytes_max: limit.map(|bytes| u64::try_from(bytes).unwrap_or(u64::MAX)),
        batch_messages_max: fields.integer("commit_messages", 512),
        batch_bytes_max: fields.size("commit_bytes", 1 << 20),
        duplicates_max: fields.integer("duplicates", 1_000_000),
    }
}

fn tls_profiles(node: Option<&Node>, folder: &Path) -> BTreeMap<String, TlsProfile> {
    let entries = node.map(Node::entries).unwrap_or_default();
    entries.iter().map(|(name, node)| (name.text.clone(), tls_profile(node, folder))).collect()
}

fn tls_profile(node: &Node, folder: &Path) -> TlsProfile {
    let fields = Fields::of(Some(node));
    let path = |key: &str| fields.text(key).map(|text| folder.join(text));
    let auth = ClientAuth::ALL.map(|auth| (auth.name(), auth));
    let versions = [TlsVersion::V1_2, TlsVersion::V1_3].map(|version| (version.name(), version));
    TlsProfile {
        certificate: path("certificate"),
        private_key: path("private_key"),
        ca: path("ca"),
        client_auth: fields.choice("client_auth", &auth, ClientAuth::default()),
        client_ca: path("client_ca"),
        revoked: path("revoked"),
        server_name: fields.string("server_name"),
        version_min: fields.choice("min_version", &versions, TlsVersion::default()),
    }
}
