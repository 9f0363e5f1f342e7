//! Builds channels from config; starts, supervises, reloads and stops them.
//!
//! ```text
//! start: store → versions, destinations (numbers) → runners → registry → sources → admin
//! stop:  not ready → sources close → runners drain → store closes
//! ```

pub mod author;
pub mod backup;
pub mod build;
pub mod detail;
mod disk;
pub mod document;
pub mod history;
pub mod jobs;
mod listen;
pub mod live;
pub mod publish;
pub mod readings;
pub mod registry;
pub mod rehearse;
pub mod reload;
mod removed;
mod reorder;
pub mod replay;
pub mod resume;
pub mod retention;
pub mod show;
pub mod subscriptions;
pub mod switch;
pub mod system;
pub mod upsert;
pub mod versions;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Value, json};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::channel_file::ChannelConfig;
use crate::config::from::SourceOptions;
use crate::config::load::Loaded;
use crate::delivery::Deliveries;
use crate::delivery::marker::Marker;
use crate::delivery::render::Render;
use crate::destination::Destination;
use crate::engine::backup::Backups;
use crate::engine::build::Parts;
use crate::engine::detail::Reports;
use crate::engine::disk::DiskWatch;
use crate::engine::history::History;
use crate::engine::jobs::Jobs;
use crate::engine::listen::LiveSources;
use crate::engine::readings::Readings;
use crate::engine::registry::Registry;
use crate::engine::replay::{Previewed, ReplayError, ReplayRequest, Replayed};
use crate::engine::retention::Kept;
use crate::engine::subscriptions::answer::Door;
use crate::engine::subscriptions::{Ground, Subscriptions, SubscriptionsError};
use crate::engine::switch::Switches;
use crate::engine::system::Facts;
use crate::engine::versions::Versions;
use crate::message::StoredMessage;
use crate::message::id::DestinationId;
use crate::message::time::Timestamp;
use crate::source::intake::{Admit, Intake};
use crate::store::access::AccessStore;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::{CONNECTION_BYTES, STORE_HEAD, STORE_SIZE_BYTES};
use crate::tls::{ClientTls, ServerTls};

/// Why the engine does not start.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The store cannot be opened or used.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// Subscriptions cannot be set up.
    #[error(transparent)]
    Subscriptions(#[from] SubscriptionsError),
    /// The folder of marks in the data directory cannot be used.
    #[error(
        "the data directory cannot hold marks of what is in work: {0}; check who may write there"
    )]
    Marks(std::io::Error),
    /// What people asked for cannot be read from the data directory: bulk jobs, stopped channels.
    #[error("the data directory's jobs or stops cannot be read: {0}; check who may write there")]
    Asked(std::io::Error),
    /// A part of a channel cannot be built: a port, a directory, a TLS profile.
    #[error("channel {channel}: {reason}")]
    Channel {
        /// Which.
        channel: String,
        /// What is wrong, and how to mend it.
        reason: String,
    },
}

/// Reads the configuration anew, for a reload.
pub type Loader = Box<dyn Fn() -> Result<Loaded, String> + Send + Sync>;

/// A running engine.
pub struct Engine {
    store: Arc<dyn Store>,
    clock: Clock,
    registry: Arc<Registry>,
    versions: Arc<Versions>,
    deliveries: Arc<Deliveries>,
    intake: Intake,
    parts: Arc<Parts>,
    kept: Arc<Kept>,
    names: Arc<RwLock<BTreeMap<DestinationId, String>>>,
    subscriptions: Arc<Subscriptions>,
    jobs: Jobs,
    switches: Switches,
    reports: Reports,
    history: History,
    facts: Facts,
    loaded_at: RwLock<Timestamp>,
    sources: LiveSources,
    transports: RwLock<BTreeMap<DestinationId, Arc<dyn Destination>>>,
    applied: RwLock<BTreeMap<String, ChannelConfig>>,
    refused: RwLock<Vec<Value>>,
    loader: Loader,
    stopping: AtomicBool,
    tracker: TaskTracker,
    stop_sources: CancellationToken,
    stop_deliveries: CancellationToken,
    reload_lock: tokio::sync::Mutex<()>,
    end_asked: CancellationToken,
    backups: Backups,
    trail: Arc<dyn AccessStore>,
}

impl Engine {
    /// Starts everything that `loaded` asks for, on `store`; what is asked of FHIR endpoints goes on the
    /// audit trail of `access`.
    ///
    /// # Errors
    /// When a part cannot be built or a listener cannot be bound: nothing runs then.
    pub async fn start(
        loaded: &Loaded,
        loader: Loader,
        store: Arc<dyn Store>,
        access: Arc<dyn AccessStore>,
        clock: Clock,
    ) -> Result<Arc<Self>, EngineError> {
        let tracker = TaskTracker::new();
        let (stop_sources, stop_deliveries) = (CancellationToken::new(), CancellationToken::new());
        let readings = Arc::new(Readings::default());
        let registry = Arc::new(Registry::new(Arc::clone(&readings)));
        let versions = Arc::new(Versions::new(Arc::clone(&store), readings));
        let render: Arc<dyn Render> = versions.clone();
        let admit: Arc<dyn Admit> = registry.clone();
        let marker =
            Marker::open(&loaded.engine.data.join("in-work")).map_err(EngineError::Marks)?;
        let deliveries = Arc::new(Deliveries::new(
            Arc::clone(&store),
            render,
            Arc::new(marker),
            clock.clone(),
            tracker.clone(),
            stop_deliveries.clone(),
        ));
        let intake = Intake::with_limits(Arc::clone(&store), admit, loaded.engine.intake);
        let trail = Arc::clone(&access);
        let parts = Parts::new(&loaded.engine, &store, access, &registry, &intake, &clock);
        let parts = Arc::new(parts);
        let kept = Kept::new(loaded.engine.retention.clone());
        let names: Arc<RwLock<BTreeMap<DestinationId, String>>> = Arc::default();
        let ground = Ground {
            store: Arc::clone(&store),
            access: Arc::clone(&trail),
            versions: Arc::clone(&versions),
            clock: clock.clone(),
            tracker: tracker.clone(),
            names: Arc::clone(&names),
        };
        let subscriptions = subscribed(ground, loaded, &parts)?;
        subscriptions.set_deliveries(Arc::clone(&deliveries));
        registry.set_subscriptions(Arc::clone(&subscriptions));
        parts.set_extension(Arc::new(Door(Arc::clone(&subscriptions))));
        tracker.spawn(retention::keep_pruning(
            Arc::clone(&store),
            Arc::clone(&kept),
            loaded.engine.retention_every,
            clock.clone(),
            stop_sources.clone(),
        ));
        let facts = Facts::of(loaded, clock.now());
        let loaded_at = RwLock::new(clock.now());
        let history = History::open(&loaded.engine.data, clock.now());
        let engine = Arc::new(Self {
            store,
            clock,
            registry,
            versions,
            deliveries,
            intake,
            parts,
            kept,
            names,
            subscriptions,
            jobs: Jobs::open(&loaded.engine.data).map_err(EngineError::Asked)?,
            switches: Switches::open(&loaded.engine.data).map_err(EngineError::Asked)?,
            reports: Reports::default(),
            history,
            facts,
            loaded_at,
            sources: LiveSources::default(),
            transports: RwLock::default(),
            applied: RwLock::default(),
            refused: RwLock::default(),
            loader,
            stopping: AtomicBool::new(false),
            tracker,
            stop_sources,
            stop_deliveries,
            reload_lock: tokio::sync::Mutex::default(),
            end_asked: CancellationToken::new(),
            backups: Backups::default(),
            trail,
        });
        engine.open(loaded).await?;
        Ok(engine)
    }

    /// Puts everything in force, and what runs beside it.
    async fn open(self: &Arc<Self>, loaded: &Loaded) -> Result<(), EngineError> {
        self.know_destinations().await?;
        let disk = DiskWatch {
            data: loaded.engine.data.clone(),
            free_min: loaded.engine.disk_free_min,
            intake: self.intake.clone(),
        };
        disk.look().await;
        self.watch_subscriptions(loaded).await?;
        self.apply_all(loaded).await?;
        self.tracker.spawn(disk.run(self.stop_sources.clone()));
        self.resume_jobs();
        self.tracker.spawn(history::keep_noting(Arc::downgrade(self), self.stopping_token()));
        self.tracker.spawn(removed::keep_sweeping(Arc::downgrade(self), self.stopping_token()));
        Ok(())
    }

    /// Subscriptions are in force before the first message is let in.
    async fn watch_subscriptions(&self, loaded: &Loaded) -> Result<(), EngineError> {
        for channel in &loaded.channels {
            self.base_of(channel);
        }
        let committed = self.store.committed();
        self.subscriptions.load().await?;
        let watch = Arc::clone(&self.subscriptions).watch(committed, self.stop_deliveries.clone());
        self.tracker.spawn(watch);
        Ok(())
    }

    /// What clients call a channel's FHIR endpoint.
    fn base_of(&self, channel: &ChannelConfig) {
        if let SourceOptions::Fhir(options) = &channel.source {
            let scheme = if options.tls.is_some() { "https" } else { "http" };
            let usual = || format!("{scheme}://{}{}", options.listen, options.base);
            let base = options.public_url.as_deref().map_or_else(usual, str::to_owned);
            self.subscriptions.set_base(&channel.name, &base);
            self.subscriptions.set_access(&channel.name, options.access.clone());
        }
    }

    /// FHIR subscriptions.
    #[must_use]
    pub const fn subscriptions(&self) -> &Arc<Subscriptions> {
        &self.subscriptions
    }

    /// Remembers the names of all destinations the store ever numbered, configured today or not.
    async fn know_destinations(&self) -> Result<(), StoreError> {
        let known = self.store.destinations().await?;
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        for (id, channel, name) in known {
            self.versions.name(id, &name);
            names.insert(id, format!("{channel}/{name}"));
        }
        Ok(())
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The runners.
    #[must_use]
    pub fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }

    /// The channels in force.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Compiled versions.
    #[must_use]
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Bulk work.
    #[must_use]
    pub const fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// The engine's tasks, for what runs beside it.
    #[must_use]
    pub const fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// `channel/destination` of a number; the number itself when it is unknown.
    #[must_use]
    pub fn destination_name(&self, id: DestinationId) -> String {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    /// The number of `channel/destination`.
    #[must_use]
    pub fn destination_id(&self, name: &str) -> Option<DestinationId> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.iter().find(|(_, known)| known.as_str() == name).map(|(id, _)| *id)
    }

    /// Every destination ever numbered, in the order of its number.
    #[must_use]
    pub fn destination_ids(&self) -> Vec<DestinationId> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Why no message is taken now; empty when ready.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.stopping.load(Ordering::Relaxed) {
            reasons.push("the engine is stopping".to_owned());
        }
        if self.intake.disk_low() {
            reasons.push("the disk is nearly full".to_owned());
        }
        if let Some(reason) = self.store.status().failing {
            reasons.push(format!("the store fails: {reason}"));
        }
        if !self.stopping.load(Ordering::Relaxed) {
            // While it stops, listeners close as they should.
            reasons.extend(self.deaf_sources());
        }
        reasons
    }

    /// Brings gauges up to date before they are read.
    pub fn measure(&self) {
        let status = self.store.status();
        // Gauges are floating point numbers; both stay far below 2^52.
        metrics::gauge!(STORE_HEAD).set(as_gauge(status.head.0.unsigned_abs()));
        metrics::gauge!(STORE_SIZE_BYTES).set(as_gauge(status.size_bytes));
        let held = u64::try_from(self.intake.connection_bytes()).unwrap_or(u64::MAX);
        metrics::gauge!(CONNECTION_BYTES).set(as_gauge(held));
    }

    /// Makes new deliveries from a stored message.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub async fn replay(&self, request: ReplayRequest) -> Result<Replayed, ReplayError> {
        replay::replay(&self.store, &self.registry, &self.clock, request).await
    }

    /// What a destination would be sent of a message now; `None` when no channel in force has it.
    #[must_use]
    pub fn preview(&self, id: DestinationId, message: &StoredMessage) -> Option<Previewed> {
        replay::preview(&self.registry, &self.versions, id, message)
    }

    /// Cancelled when the engine begins to stop.
    #[must_use]
    pub fn stopping_token(&self) -> CancellationToken {
        self.stop_sources.child_token()
    }

    /// Cancelled when somebody asks the engine to end; whoever runs it stops it then.
    #[must_use]
    pub const fn end_asked(&self) -> &CancellationToken {
        &self.end_asked
    }

    /// Stops taking messages, lets what is in flight end, writes outcomes, closes the store.
    pub async fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.intake.drain();
        self.stop_sources.cancel();
        self.stop_deliveries.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        self.store.close().await;
    }

    /// The TLS settings of a profile, for the admin surface; renewed with all others.
    ///
    /// # Errors
    /// When there is no such profile, or its files cannot be used.
    pub fn server_tls(&self, profile: &str) -> Result<Arc<ServerTls>, String> {
        self.parts.server(profile)
    }

    /// The TLS settings of a profile, for what the admin surface asks elsewhere; renewed with all others.
    ///
    /// # Errors
    /// When there is no such profile, or its files cannot be used.
    pub fn client_tls(&self, profile: &str) -> Result<Arc<ClientTls>, String> {
        self.parts.client(profile)
    }

    /// Why the store may not go on, when the disk failed under it or its writer crashed: nothing more can be
    /// promised then but a restart.
    #[must_use]
    pub fn store_broken(&self) -> Option<String> {
        let status = self.store.status();
        status.fatal.then(|| status.failing.unwrap_or_default())
    }

    /// Takes certificates from disk that are newer than those in use; answers for each profile in use whether there
    /// was one, or why it cannot be used.
    pub fn renew_certificates(&self) -> Vec<(String, Result<bool, String>)> {
        self.parts.renew_certificates()
    }

    /// Files that were refused at the last reload, with their findings.
    #[must_use]
    pub fn refused_files(&self) -> Value {
        json!(*self.refused.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Subscriptions as `engine.yaml` wants them.
fn subscribed(
    ground: Ground,
    loaded: &Loaded,
    parts: &Parts,
) -> Result<Arc<Subscriptions>, EngineError> {
    let config = loaded.engine.subscriptions.clone();
    let tls = config.tls.as_deref().map(|name| parts.client(name)).transpose();
    let tls = tls.map_err(SubscriptionsError::Config)?;
    let allow = loaded.engine.outbound_allow.as_deref();
    Ok(Arc::new(Subscriptions::new(ground, config, allow, tls, &loaded.engine.data)?))
}

/// A whole number as a gauge's value.
pub(crate) fn as_gauge(number: u64) -> f64 {
    let high = u32::try_from(number >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    f64::from(high).mul_add(4_294_967_296.0, f64::from(low))
}
