//! Stops a channel's source and starts it again. A stopped channel takes no message in; what it has taken goes
//! on to its destinations, which are paused one by one. A stop survives a restart, as a file in the data
//! directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use tracing::info;
use utoipa::ToSchema;

use crate::config::from::SourceOptions;
use crate::engine::Engine;

/// Who stopped a channel, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stopped {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: String,
}

/// The channels that are stopped.
#[derive(Debug)]
pub struct Switches {
    file: PathBuf,
    stopped: RwLock<BTreeMap<String, Stopped>>,
}

/// Why a channel is not stopped or started.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// No such channel runs.
    #[error("there is no such channel in force")]
    Unknown,
    /// It has no source of its own.
    #[error(
        "the channel listens to topics and has no source of its own; pause its destinations instead"
    )]
    NoSource,
    /// It is so already.
    #[error("the channel is {0} already")]
    Already(&'static str),
    /// The data directory cannot be written.
    #[error("the stop cannot be noted in the data directory: {0}; check the disk")]
    Disk(#[from] std::io::Error),
    /// The source cannot be opened.
    #[error("the source cannot be opened: {0}")]
    Source(String),
}

impl Switches {
    /// The stops noted below `data`.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn open(data: &Path) -> std::io::Result<Self> {
        let file = data.join("stopped.json");
        let stopped = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { file, stopped: RwLock::new(stopped) })
    }

    /// Who stopped a channel; `None` when it is not stopped.
    #[must_use]
    pub fn get(&self, channel: &str) -> Option<Stopped> {
        self.stopped.read().unwrap_or_else(PoisonError::into_inner).get(channel).cloned()
    }

    /// Notes it on disk, whole or not at all, and then in memory.
    async fn put(&self, channel: &str, stop: Option<Stopped>) -> std::io::Result<()> {
        let mut next = self.stopped.read().unwrap_or_else(PoisonError::into_inner).clone();
        match stop {
            Some(stop) => next.insert(channel.to_owned(), stop),
            None => next.remove(channel),
        };
        let draft = self.file.with_extension("new");
        tokio::fs::write(&draft, serde_json::to_vec_pretty(&next)?).await?;
        tokio::fs::rename(&draft, &self.file).await?;
        *self.stopped.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }
}

impl Engine {
    /// Who stopped a channel; `None` when it is not stopped.
    #[must_use]
    pub fn stopped(&self, channel: &str) -> Option<Stopped> {
        self.switches.get(channel)
    }

    /// Closes a channel's source until somebody starts it again.
    ///
    /// # Errors
    /// See [`SwitchError`].
    pub async fn stop_channel(
        &self,
        name: &str,
        by: &str,
        reason: &str,
    ) -> Result<(), SwitchError> {
        let _one_at_a_time = self.reload_lock.lock().await;
        let config = self.applied_config(name).ok_or(SwitchError::Unknown)?;
        if matches!(config.source, SourceOptions::Topics(_)) {
            return Err(SwitchError::NoSource);
        }
        if self.switches.get(name).is_some() {
            return Err(SwitchError::Already("stopped"));
        }
        let at = self.clock.now().to_string();
        let stop = Stopped { by: by.to_owned(), reason: reason.to_owned(), at };
        self.switches.put(name, Some(stop)).await?;
        drop(self.close_source(name).await);
        info!(channel = name, by, "stopped; what it took goes on to its destinations");
        Ok(())
    }

    /// Opens a stopped channel's source.
    ///
    /// # Errors
    /// See [`SwitchError`]; when the source cannot be opened, the channel stays stopped.
    pub async fn start_channel(&self, name: &str, by: &str) -> Result<(), SwitchError> {
        let _one_at_a_time = self.reload_lock.lock().await;
        let config = self.applied_config(name).ok_or(SwitchError::Unknown)?;
        let Some(stop) = self.switches.get(name) else {
            return Err(SwitchError::Already("running"));
        };
        self.switches.put(name, None).await?;
        match self.bind(&config).await {
            Ok(source) => {
                self.run_source(&config, source);
                info!(channel = name, by, "started");
                Ok(())
            }
            Err(error) => {
                self.switches.put(name, Some(stop)).await?;
                Err(SwitchError::Source(error))
            }
        }
    }
}
