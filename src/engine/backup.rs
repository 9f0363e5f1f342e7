//! A backup beside the running engine: both databases, and what else stands in the data directory and is no cache.
//! It is whole when its `manifest.json` is there: that is written last.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::json;
use thiserror::Error;
use tracing::{error, info};
use utoipa::ToSchema;

use crate::engine::Engine;
use crate::message::time::Timestamp;
use crate::store::StoreError;
use crate::store::access::AuditEntry;
use crate::store::sqlite::backup::{Abort, copy};

/// Each is copied as one moment of it, the messages last: what the trail holds was done, and is among them.
const DATABASES: [&str; 2] = ["access.db", "medway.db"];
/// Files and folders that are copied as they are, where they are there.
const FILES: [&str; 6] = [
    "jobs",
    "stopped.json",
    "subscriptions.key",
    "subscription-secrets",
    "history.jsonl",
    "admin.token",
];

/// A backup that was begun.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BackupView {
    /// `running`, `done` or `failed`.
    pub state: &'static str,
    /// When it was begun.
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Its folder.
    pub path: String,
    /// What it takes on the disk, in bytes, once it is done.
    pub size_bytes: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
    /// Who began it.
    pub by: String,
}

/// The last backup since the start.
#[derive(Debug, Default)]
pub(super) struct Backups(Mutex<Option<BackupView>>);

/// Why a backup is not begun.
#[derive(Debug, Error)]
pub enum BackupError {
    /// One at a time.
    #[error("a backup runs already; `medway system` shows it")]
    Running,
    /// It would fill the disk, and stop the senders.
    #[error(
        "the disk has {free} bytes free and the store has {needed}: a backup beside it would fill the disk; free space"
    )]
    NoRoom {
        /// What is free, in bytes.
        free: u64,
        /// What it needs at most, in bytes.
        needed: u64,
    },
    /// The folder cannot be made.
    #[error("the folder {0} cannot be made: {1}")]
    Folder(String, io::Error),
}

/// Why a backup failed.
#[derive(Debug, Error)]
enum Failed {
    #[error("{0}: {1}")]
    Database(&'static str, StoreError),
    #[error("{0}: {1}")]
    File(String, io::Error),
}

impl Backups {
    pub(super) fn last(&self) -> Option<BackupView> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the place of the one that runs; `false` when one runs.
    fn begin(&self, view: BackupView) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_some_and(|last| last.state == "running") {
            return false;
        }
        *last = Some(view);
        true
    }

    fn end(&self, now: Timestamp, ended: &Result<u64, Failed>) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(view) = last.as_mut() else { return };
        view.ended_at = Some(now.to_string());
        match ended {
            Ok(bytes) => (view.state, view.size_bytes) = ("done", Some(*bytes)),
            Err(failed) => (view.state, view.error) = ("failed", Some(failed.to_string())),
        }
    }
}

impl Engine {
    /// Begins a backup into a new folder under `backups` in the data directory, and answers what is known of it
    /// now; it goes on when the caller leaves. How it ended goes on record.
    ///
    /// # Errors
    /// When one runs, or there is no room, or its folder cannot be made.
    pub async fn back_up(self: &Arc<Self>, by: &str) -> Result<BackupView, BackupError> {
        let data = self.facts.data.clone();
        let system = self.system().await;
        let needed = system.store.size_bytes.unwrap_or(0) + system.store.wal_bytes.unwrap_or(0);
        if let Some(free) = system.store.free_bytes.filter(|free| *free < needed) {
            return Err(BackupError::NoRoom { free, needed });
        }
        let now = self.clock.now();
        let name = now.to_string().replace(':', "");
        let folder = data.join("backups").join(name);
        let view = BackupView {
            state: "running",
            started_at: now.to_string(),
            ended_at: None,
            path: folder.display().to_string(),
            size_bytes: None,
            error: None,
            by: by.to_owned(),
        };
        if !self.backups.begin(view.clone()) {
            return Err(BackupError::Running);
        }
        if let Err(error) = new_folder(&folder) {
            let told = BackupError::Folder(view.path.clone(), io::Error::from(error.kind()));
            self.backups.end(now, &Err(Failed::File(view.path, error)));
            return Err(told);
        }
        let engine = Arc::clone(self);
        let by = by.to_owned();
        self.tracker.spawn(async move { engine.copy_all(&data, folder, by).await });
        Ok(view)
    }

    async fn copy_all(&self, data: &Path, folder: PathBuf, by: String) {
        let (from, to, hash) = (data.to_path_buf(), folder.clone(), self.config_hash());
        let now = self.clock.now();
        let abort = Arc::new(Abort::default());
        let aborted = Arc::clone(&abort);
        let write = move || write_all(&from, &to, (&hash, now), &aborted);
        let mut copied = tokio::task::spawn_blocking(write);
        let stop = self.stopping_token();
        let copied = tokio::select! {
            copied = &mut copied => copied,
            () = stop.cancelled() => {
                // The engine ends now and waits for nothing that can be begun again.
                abort.now();
                copied.await
            }
        };
        let crashed = |_| Failed::File("the copying".to_owned(), io::Error::other("it crashed"));
        let copied = copied.map_err(crashed).flatten();
        let path = folder.display().to_string();
        let outcome = match &copied {
            Ok(bytes) => {
                info!(path, bytes, "backup done");
                "done"
            }
            Err(failed) => {
                error!(path, error = %failed, "the backup failed; what is there of it is no backup");
                "failed"
            }
        };
        let ended = self.clock.now();
        let entry = AuditEntry {
            at: ended,
            actor: by,
            address: String::new(),
            action: "system.backup".to_owned(),
            outcome: outcome.to_owned(),
            object: path,
            reason: copied.as_ref().err().map(ToString::to_string).unwrap_or_default(),
        };
        if let Err(error) = self.trail.audit(&entry).await {
            error!(%error, "how a backup ended cannot go on record");
        }
        self.backups.end(ended, &copied);
    }

    /// The last backup since the start.
    #[must_use]
    pub fn last_backup(&self) -> Option<BackupView> {
        self.backups.last()
    }
}

/// A folder that nobody else reads: what is in it is as secret as the data directory.
fn new_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700);
    if let Some(above) = folder.parent() {
        builder.recursive(true).create(above)?;
    }
    builder.recursive(false).create(folder)
}

/// Copies everything; answers the bytes written.
fn write_all(
    data: &Path,
    folder: &Path,
    (config, now): (&str, Timestamp),
    abort: &Abort,
) -> Result<u64, Failed> {
    for name in DATABASES {
        let copied = copy(&data.join(name), &folder.join(name), abort);
        copied.map_err(|error| Failed::Database(name, error))?;
    }
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error| Failed::File(path, error)
    };
    for name in FILES {
        let from = data.join(name);
        if from.exists() {
            copy_tree(&from, &folder.join(name)).map_err(failed(&from))?;
        }
    }
    let bytes = size_of(folder).map_err(failed(folder))?;
    let manifest = json!({
        "made_by": env!("CARGO_PKG_VERSION"),
        "at": now.to_string(),
        "config_hash": config,
        "databases": DATABASES,
        "bytes": bytes,
    });
    let file = folder.join("manifest.json");
    let written = File::create_new(&file).and_then(|mut file| {
        file.write_all(format!("{manifest:#}\n").as_bytes())?;
        file.sync_all()
    });
    written.map_err(failed(&file))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))?;
    Ok(bytes)
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_tree(&entry.path(), &to.join(entry.file_name()))?;
        }
        return File::open(to)?.sync_all();
    }
    match fs::copy(from, to) {
        Ok(_) => File::open(to)?.sync_all(),
        // A job that ended meanwhile has taken its file away.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn size_of(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0_u64;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.metadata()?;
        bytes += if kind.is_dir() { size_of(&entry.path())? } else { kind.len() };
    }
    Ok(bytes)
}
