//! The engine as a machine: its store, its certificates, its configuration.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::config::load::Loaded;
use crate::engine::Engine;
use crate::engine::backup::BackupView;
use crate::message::time::Timestamp;
use crate::telemetry::setup;
use crate::tls::expiry::validity;
use xxhash_rust::xxh3::xxh3_128;

/// What was known at the start.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) data: PathBuf,
    channels: PathBuf,
    started_at: Timestamp,
    /// Place of each certificate: the profile's name, and the file.
    certificates: Vec<(String, PathBuf)>,
    retention: RetentionView,
}

/// How long things are kept.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RetentionView {
    /// Message bodies, in seconds.
    pub bodies_seconds: u64,
    /// Messages with their outcomes and keys, in seconds.
    pub messages_seconds: u64,
    /// Refused input, in seconds.
    pub rejects_seconds: u64,
    /// Superseded versions of FHIR resources, in seconds.
    pub versions_seconds: u64,
}

/// The store on disk.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StoreView {
    /// `sqlite`.
    pub kind: &'static str,
    /// Its file.
    pub path: String,
    /// Its size, in bytes, without its write-ahead log; nothing to who is limited to groups.
    pub size_bytes: Option<u64>,
    /// The write-ahead log's size, in bytes; nothing to who is limited to groups.
    pub wal_bytes: Option<u64>,
    /// What is free on its disk, in bytes; nothing when the disk does not say.
    pub free_bytes: Option<u64>,
}

/// A certificate in use.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CertificateView {
    /// The TLS profile's name.
    pub place: String,
    /// Its subject's common name.
    pub subject: Option<String>,
    /// When it ends; nothing when its file cannot be read.
    pub not_after: Option<String>,
    /// Days until then; negative when it has ended.
    pub days: Option<i64>,
}

/// The configuration in force.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConfigView {
    /// Folder of the channel files.
    pub path: String,
    /// One hash over all channels in force.
    pub hash: String,
    /// When something last changed in it.
    pub loaded_at: String,
    /// Who changed it; nothing at a start.
    pub by: Option<String>,
}

/// The engine as a machine.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SystemView {
    /// Its version.
    pub version: &'static str,
    /// `debug` or `release`.
    pub build: &'static str,
    /// The store.
    pub store: StoreView,
    /// How long things are kept.
    pub retention: RetentionView,
    /// Certificates of TLS profiles.
    pub certificates: Vec<CertificateView>,
    /// The configuration.
    pub config: ConfigView,
    /// Since the start.
    pub uptime_seconds: u64,
    /// Which log lines are written, e.g. `info,medway=debug`; empty where logs go elsewhere.
    pub log: String,
    /// The last backup that was begun since the start.
    pub backup: Option<BackupView>,
}

impl SystemView {
    /// What somebody sees of it who is limited to groups of channels: no place on the disk, no size over all
    /// channels, no certificate of theirs.
    #[must_use]
    pub fn limited(mut self) -> Self {
        self.store.path.clear();
        (self.store.size_bytes, self.store.wal_bytes, self.store.free_bytes) = (None, None, None);
        self.certificates.clear();
        self.config.path.clear();
        self.backup = None;
        self
    }
}

impl Facts {
    pub(super) fn of(loaded: &Loaded, started_at: Timestamp) -> Self {
        let engine = &loaded.engine;
        let certificates = engine
            .tls
            .iter()
            .filter_map(|(name, profile)| Some((name.clone(), profile.certificate.clone()?)));
        let kept = &engine.retention;
        Self {
            data: engine.data.clone(),
            channels: engine.channels.clone(),
            started_at,
            certificates: certificates.collect(),
            retention: RetentionView {
                bodies_seconds: kept.bodies.as_secs(),
                messages_seconds: kept.messages.as_secs(),
                rejects_seconds: kept.rejects.as_secs(),
                versions_seconds: kept.versions.as_secs(),
            },
        }
    }
}

impl Engine {
    /// One hash over all channels in force: the same files in force give the same.
    #[must_use]
    pub fn config_hash(&self) -> String {
        let applied = self.applied.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let lines: Vec<String> =
            applied.iter().map(|(name, config)| format!("{name} {}\n", config.hash)).collect();
        format!("{:032x}", xxh3_128(lines.concat().as_bytes()))
    }

    /// The engine as a machine.
    pub async fn system(&self) -> SystemView {
        let now = self.clock.now();
        let facts = &self.facts;
        let path = facts.data.join("medway.db");
        let wal = facts.data.join("medway.db-wal");
        let mut certificates = Vec::new();
        for (place, file) in &facts.certificates {
            certificates.push(certificate(place, file, now).await);
        }
        SystemView {
            version: env!("CARGO_PKG_VERSION"),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            store: StoreView {
                kind: "sqlite",
                size_bytes: Some(size(&path).await),
                wal_bytes: Some(size(&wal).await),
                free_bytes: free_bytes(&facts.data),
                path: path.display().to_string(),
            },
            retention: facts.retention.clone(),
            certificates,
            config: ConfigView {
                path: facts.channels.display().to_string(),
                hash: self.config_hash(),
                loaded_at: self.loaded_at().to_string(),
                by: None,
            },
            uptime_seconds: now.since(facts.started_at).as_secs(),
            log: setup::filter(),
            backup: self.last_backup(),
        }
    }

    /// When a channel was last put in force, or the engine started.
    fn loaded_at(&self) -> Timestamp {
        *self.loaded_at.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

async fn size(path: &Path) -> u64 {
    tokio::fs::metadata(path).await.map(|file| file.len()).unwrap_or_default()
}

fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

async fn certificate(place: &str, file: &Path, now: Timestamp) -> CertificateView {
    let pem = tokio::fs::read(file).await.unwrap_or_default();
    let found = validity(&pem);
    let not_after = found.as_ref().map(|found| found.not_after.clone());
    let end = not_after.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let day = i64::try_from(Duration::from_hours(24).as_micros()).unwrap_or(i64::MAX);
    let left = end.map(|end| end.as_microsecond().saturating_sub(now.0));
    CertificateView {
        place: place.to_owned(),
        subject: found.map(|found| found.subject),
        days: left.map(|left| left.div_euclid(day)),
        not_after,
    }
}
