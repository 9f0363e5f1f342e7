//! Puts channels in force: at the start all or none, at a reload channel by channel, each all or nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::config::channel_file::ChannelConfig;
use crate::config::load::Loaded;
use crate::delivery::meters::DestinationName as RunnerName;
use crate::destination::Destination;
use crate::engine::author::Author;
use crate::engine::build::BoundSource;
use crate::engine::live::LiveSource;
use crate::engine::registry::LiveChannel;
use crate::engine::{Engine, EngineError};
use crate::message::id::VersionId;
use crate::store::{StoreError, VersionRecord};
use crate::yaml::finding::Finding;
use crate::yaml::report::{Colour, text};

impl Engine {
    /// Puts every channel of `loaded` in force; the first that cannot be ends the start.
    pub(super) async fn apply_all(&self, loaded: &Loaded) -> Result<(), EngineError> {
        let (mut bound, mut versions) = (Vec::new(), Vec::new());
        for channel in &loaded.channels {
            let failed =
                |reason: String| EngineError::Channel { channel: channel.name.to_string(), reason };
            let source = self.bind(channel).await.map_err(failed)?;
            let version = self.put_in_force(channel, None).await.map_err(failed)?;
            versions.push((channel, version));
            bound.push((channel, source));
        }
        self.note_start(&versions).await;
        // Sources last: a message may be meant for any channel.
        for (channel, source) in bound {
            self.run_source(channel, source);
        }
        Ok(())
    }

    /// Reads the files again because the machine says so (SIGHUP). What cannot go on record is not done.
    ///
    /// # Errors
    /// As [`Self::reload_by`], and when the trail cannot be written.
    pub async fn reload(self: &Arc<Self>) -> Result<Value, String> {
        let engine = Arc::clone(self);
        self.to_its_end(async move {
            let author = Author::engine("SIGHUP");
            let noted = engine.note_application(&author).await;
            noted.map_err(|error| format!("the audit trail cannot be written: {error}"))?;
            engine.reload_now(&author).await
        })
        .await
    }

    /// Reads the files again, and puts those of the author's groups in force. A file with errors, or one whose
    /// parts cannot be built, leaves its old version running and is reported. A task of its own: whoever asked
    /// may go, and it ends what it began.
    ///
    /// # Errors
    /// When the files as a whole cannot be read; nothing changes then.
    pub async fn reload_by(self: &Arc<Self>, author: &Author) -> Result<Value, String> {
        let (engine, author) = (Arc::clone(self), author.clone());
        self.to_its_end(async move { engine.reload_now(&author).await }).await
    }

    async fn to_its_end(
        &self,
        reload: impl Future<Output = Result<Value, String>> + Send + 'static,
    ) -> Result<Value, String> {
        let reloading = self.tracker.spawn(reload);
        reloading.await.unwrap_or_else(|_| Err("the reload crashed; see the log".to_owned()))
    }

    async fn reload_now(self: &Arc<Self>, author: &Author) -> Result<Value, String> {
        let _one_at_a_time = self.reload_lock.lock().await;
        drop(self.parts.renew_certificates());
        // Reading and compiling many files takes a while.
        let reader = Arc::clone(self);
        let loaded = tokio::task::spawn_blocking(move || (reader.loader)());
        let loaded =
            loaded.await.map_err(|_| "reading the files crashed; see the log".to_owned())??;
        if loaded.refused.is_empty() && !loaded.starts() {
            // It is no channel's fault: engine.yaml, or the directory itself. Nothing is withdrawn then.
            return Err(text(&loaded.findings, Colour::Plain));
        }
        let (mut added, mut changed, mut unchanged) = (Vec::new(), Vec::new(), Vec::new());
        let mut refused = refusals(&loaded);
        let before = self.registry.channels();
        // A file that cannot even be read by name might be any of those that run: none is withdrawn then.
        let nameless = loaded.refused.iter().any(|(_, name)| name.is_none());
        let kept: BTreeSet<&str> =
            loaded.refused.iter().filter_map(|(_, name)| name.as_deref()).collect();
        let theirs = |name: &str, group: Option<&str>| {
            let known = before.get(name).is_none() || author.owns(self.group_of(name).as_deref());
            known && author.owns(group)
        };
        let own = |channel: &&ChannelConfig| theirs(&channel.name, channel.group.as_deref());
        for channel in loaded.channels.iter().filter(own) {
            let name: Arc<str> = Arc::clone(&channel.name);
            if self.is_in_force(channel) {
                unchanged.push(name);
                continue;
            }
            match self.exchange(channel, author).await {
                Ok(()) if before.get(&name).is_some() => changed.push(name),
                Ok(()) => added.push(name),
                Err(reason) => refused.push(refusal(&channel.file, Some(&channel.name), &reason)),
            }
        }
        let wanted: BTreeSet<&str> = loaded.channels.iter().map(|channel| &*channel.name).collect();
        let removed: Vec<Arc<str>> = before
            .iter()
            .map(|live| Arc::clone(&live.channel.name))
            .filter(|name| !nameless && !wanted.contains(&**name) && !kept.contains(&**name))
            .filter(|name| author.owns(self.group_of(name).as_deref()))
            .collect();
        join_all(removed.iter().map(|name| self.withdraw(name))).await;
        for refusal in &refused {
            error!(%refusal, "a channel file is refused; its old version goes on");
        }
        *self.refused.write().unwrap_or_else(PoisonError::into_inner) = refused.clone();
        Ok(json!({
            "added": added.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "changed": changed.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "removed": removed.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "unchanged": unchanged.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "refused": refused,
            "stranded": self.stranded(),
        }))
    }

    /// Whether exactly this runs already.
    fn is_in_force(&self, channel: &ChannelConfig) -> bool {
        let applied = self.applied.read().unwrap_or_else(PoisonError::into_inner);
        applied.get(&*channel.name).is_some_and(|applied| {
            applied.hash == channel.hash
                && applied.source == channel.source
                && applied.destinations == channel.destinations
        })
    }

    /// Exchanges one channel: its parts first, so that what cannot be built changes nothing.
    async fn exchange(&self, channel: &ChannelConfig, author: &Author) -> Result<(), String> {
        let name = &*channel.name;
        let same_source = {
            let sources = self.sources.read().unwrap_or_else(PoisonError::into_inner);
            sources.get(name).is_some_and(|source| source.options == channel.source)
        };
        if same_source {
            return self.put_in_force(channel, Some(author)).await.map(drop);
        }
        for config in &channel.destinations {
            // Built once for nothing, so that a fault shows before the old source is closed.
            drop(self.parts.destination(name, config, &self.tracker, &CancellationToken::new())?);
        }
        let old = self.close_source(name).await;
        let exchanged = self.open_anew(channel, author).await;
        if let (Err(_), Some(old)) = (&exchanged, old) {
            self.reopen(name, old).await;
        }
        exchanged
    }

    /// Binds a channel's source, puts the channel in force, and only then lets messages in.
    async fn open_anew(&self, channel: &ChannelConfig, author: &Author) -> Result<(), String> {
        let source = self.bind(channel).await?;
        self.put_in_force(channel, Some(author)).await?;
        self.run_source(channel, source);
        Ok(())
    }

    /// Opens a channel's source; nothing while somebody has stopped it.
    pub(super) async fn bind(
        &self,
        channel: &ChannelConfig,
    ) -> Result<Option<BoundSource>, String> {
        let name: Arc<str> = Arc::clone(&channel.name);
        if self.switches.get(&name).is_some() {
            return Ok(None);
        }
        self.parts.source(&name, &channel.source).await.map_err(|error| error.to_string())
    }

    /// Numbers a channel's version and destinations, and starts or changes their runners. All that can go
    /// wrong is done first: then nothing has changed. A version that somebody puts in force is on record before
    /// it is.
    async fn put_in_force(
        &self,
        channel: &ChannelConfig,
        author: Option<&Author>,
    ) -> Result<VersionId, String> {
        let name = &*channel.name;
        let mut transports: Vec<Arc<dyn Destination>> = Vec::new();
        for config in &channel.destinations {
            let stop = self.stop_deliveries.child_token();
            transports.push(self.parts.destination(name, config, &self.tracker, &stop)?);
        }
        let told = |error: StoreError| error.to_string();
        let version = self
            .store
            .version(VersionRecord {
                channel: name.into(),
                hash: channel.hash.as_str().into(),
                bundle: channel.bundle.pack(),
                applied_at: self.clock.now(),
            })
            .await
            .map_err(told)?;
        // The same files have the same version, and that stands since they were first in force.
        let since = self.store.version_record(version).await.map_err(told)?.applied_at;
        let (mut destinations, mut prepared) = (Vec::new(), Vec::new());
        for (config, transport) in channel.destinations.iter().zip(&transports) {
            let id = self.store.destination(name, &config.name).await.map_err(told)?;
            destinations.push(id);
            if self.deliveries.status(id).is_err() {
                let full =
                    RunnerName { channel: name.to_owned(), destination: config.name.clone() };
                let (transport, options) = (Arc::clone(transport), config.effective_delivery());
                let ready = self.deliveries.prepare(id, full, transport, options).await;
                prepared.push(ready.map_err(|error| error.to_string())?);
            }
        }
        let fences = self.new_fences(channel, &destinations).await.map_err(told)?;
        if let Some(author) = author {
            self.note_version(author, name, version).await.map_err(told)?;
        }
        // From here on nothing can fail.
        self.base_of(channel);
        self.subscriptions.set_since(name, since);
        self.versions.put_in_force(version, Arc::clone(&channel.channel));
        for ((config, transport), id) in
            channel.destinations.iter().zip(transports).zip(destinations.iter().copied())
        {
            self.versions.name(id, &config.name);
            let full = format!("{name}/{}", config.name);
            self.names.write().unwrap_or_else(PoisonError::into_inner).insert(id, full);
            let kept = Arc::clone(&transport);
            self.transports.write().unwrap_or_else(PoisonError::into_inner).insert(id, kept);
            // One that does not run yet is launched below, with the same.
            drop(self.deliveries.replace(id, transport, config.effective_delivery()));
        }
        self.put_fences(&fences, &prepared);
        for prepared in prepared {
            self.deliveries.launch(prepared);
        }
        let live = LiveChannel { channel: Arc::clone(&channel.channel), version, destinations };
        self.kept.put(&channel.name, channel.retention);
        self.registry.put(&live);
        self.retire_missing(name, &live.destinations);
        self.applied
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned(), channel.clone());
        *self.loaded_at.write().unwrap_or_else(PoisonError::into_inner) = self.clock.now();
        let destinations = live.destinations.len();
        info!(channel = name, version = version.0, destinations, "in force");
        Ok(version)
    }

    pub(super) fn run_source(&self, channel: &ChannelConfig, source: Option<BoundSource>) {
        let Some(source) = source else { return };
        self.keep_listening(&channel.name, source, channel.source.clone());
    }

    pub(super) async fn close_source(&self, channel: &str) -> Option<LiveSource> {
        let source =
            self.sources.write().unwrap_or_else(PoisonError::into_inner).remove(channel)?;
        source.stop.cancel();
        source.ended.cancelled().await;
        Some(source)
    }

    /// Opens a source again as it was, after its successor could not be bound.
    async fn reopen(&self, channel: &str, old: LiveSource) {
        let name: Arc<str> = channel.into();
        match self.parts.source(&name, &old.options).await {
            Ok(Some(source)) => self.keep_listening(&name, source, old.options),
            Ok(None) => {}
            Err(error) => {
                error!(channel, %error, "the source could not be opened again; it is tried until it is");
                self.keep_opening(&name, old.options, old.kind, error.to_string());
            }
        }
    }

    async fn withdraw(&self, channel: &str) {
        drop(self.close_source(channel).await);
        self.registry.remove(channel);
        self.kept.remove(channel);
        self.retire_missing(channel, &[]);
        self.applied.write().unwrap_or_else(PoisonError::into_inner).remove(channel);
        *self.loaded_at.write().unwrap_or_else(PoisonError::into_inner) = self.clock.now();
        info!(channel, "withdrawn; what waits for its destinations stays, and is shown with them");
    }
}

/// The files that do not pass the check, each with its findings as text.
fn refusals(loaded: &Loaded) -> Vec<Value> {
    loaded
        .refused
        .iter()
        .map(|(file, name)| {
            let shown = file.display().to_string();
            let shown = shown.strip_prefix("./").unwrap_or(&shown);
            let findings: Vec<Finding> = loaded
                .findings
                .iter()
                .filter(|finding| finding.source.name == shown)
                .cloned()
                .collect();
            refusal(file, name.as_deref(), &text(&findings, Colour::Plain))
        })
        .collect()
}

fn refusal(file: &Path, channel: Option<&str>, findings: &str) -> Value {
    json!({"file": file.display().to_string(), "channel": channel, "findings": findings})
}
