//! `medway serve`: runs the engine until it is told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::access::door::{Door, DoorOptions};
use crate::admin::auth::Token;
use crate::admin::oidc::Provider;
use crate::admin::sessions::Cookies;
use crate::cli::config::{self, Place};
use crate::cli::exit::Failure;
use crate::cli::terminal::Terminal;
use crate::clock::Clock;
use crate::config::engine::{EngineConfig, LogLines};
use crate::config::load::Loaded;
use crate::engine::{Engine, Loader};
use crate::store::sqlite::access::SqliteAccess;
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{Store, StoreError};
use crate::telemetry::setup::{self, LogFormat};

/// How often certificates on disk are compared with those in use.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(30);

/// How soon a failed disk ends the process.
const DISK_EVERY: Duration = Duration::from_millis(500);

/// Options of `serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArguments {
    /// Where `engine.yaml` stands; without it, defaults hold.
    #[arg(long, env = "MEDWAY_CONFIG")]
    pub config: Option<PathBuf>,
    /// The folder of channel files, instead of the one in `engine.yaml`.
    #[arg(long)]
    pub channels: Option<PathBuf>,
    /// The data directory, instead of the one in `engine.yaml`.
    #[arg(long, env = "MEDWAY_DATA")]
    pub data: Option<PathBuf>,
    /// The admin address, instead of the one in `engine.yaml`.
    #[arg(long, env = "MEDWAY_ADMIN")]
    pub admin: Option<SocketAddr>,
    /// Which log lines are written, e.g. `info` or `medway=debug`, instead of `log` in `engine.yaml`.
    #[arg(long, env = "MEDWAY_LOG")]
    pub log: Option<String>,
    /// Logs as JSON, whatever stderr is.
    #[arg(long)]
    pub log_json: bool,
}

pub(crate) async fn run(arguments: ServeArguments, terminal: &Terminal) -> Result<(), Failure> {
    let settings = config::engine(arguments.config.as_deref(), arguments.data.as_deref())?;
    let format = match settings.log_format {
        _ if arguments.log_json => LogFormat::Json,
        LogLines::Auto => LogFormat::Auto,
        LogLines::Text => LogFormat::Text,
        LogLines::Json => LogFormat::Json,
    };
    let filter = arguments.log.as_deref().unwrap_or(&settings.log_level);
    setup::logs(filter, format).map_err(|error| Failure::usage(&error.to_string()))?;
    setup::quiet_panics();
    let running = start(&arguments, terminal).await?;
    let notified = sd_notify::notify(&[NotifyState::Ready]);
    if let Err(error) = notified {
        warn!(%error, "the supervisor could not be told that the engine is ready");
    }
    running.until_stopped().await
}

/// An engine with its admin surface.
pub(crate) struct Running {
    pub(crate) engine: Arc<Engine>,
    pub(crate) admin: SocketAddr,
    stop_admin: CancellationToken,
    drain: Duration,
}

/// Loads, checks and starts everything; nothing runs when something is wrong.
pub(crate) async fn start(
    arguments: &ServeArguments,
    terminal: &Terminal,
) -> Result<Running, Failure> {
    setup::metrics().map_err(|error| Failure::fault(&error.to_string()))?;
    let loaded = load(arguments, terminal)?;
    std::fs::create_dir_all(&loaded.engine.data)
        .map_err(|error| Failure::config(&format!("{}: {error}", loaded.engine.data.display())))?;
    let token = admin_token(&loaded)?;
    let store = open_store(store_options(&loaded.engine)).await?;
    let door = open_door(&loaded.engine).await?;
    let listener = TcpListener::bind(loaded.engine.admin.listen).await.map_err(|error| {
        Failure::config(&format!("admin: cannot listen on {}: {error}", loaded.engine.admin.listen))
    })?;
    let admin = listener.local_addr()?;
    let drain = loaded.engine.shutdown_within;
    let trail = Arc::clone(door.store());
    let engine = Engine::start(&loaded, loader(arguments), store, trail, Clock::System)
        .await
        .map_err(|error| Failure::config(&error.to_string()))?;
    let stop_admin = CancellationToken::new();
    let tls = match &loaded.engine.admin.tls {
        None => None,
        Some(profile) => Some(
            engine
                .server_tls(profile)
                .map_err(|error| Failure::config(&format!("admin: {error}")))?,
        ),
    };
    let cookies = if tls.is_some() { Cookies::Secure } else { Cookies::Plain };
    let provider = provider(&loaded, &engine)?;
    let (admitting, knowing) = (Arc::clone(&door), Arc::clone(&engine));
    let router = crate::admin::router_with(knowing, token, admitting, cookies, provider);
    let tracker = engine.tracker().clone();
    tracker.spawn(crate::admin::serve::serve(
        listener,
        router,
        tls,
        tracker.clone(),
        stop_admin.clone(),
    ));
    invite(&door, admin, cookies, terminal).await?;
    info!(admin = %admin, version = env!("CARGO_PKG_VERSION"), "started");
    Ok(Running { engine, admin, stop_admin, drain })
}

/// Opens users, sessions and the audit trail.
pub(crate) async fn open_door(engine: &EngineConfig) -> Result<Arc<Door>, Failure> {
    let path = engine.data.join("access.db");
    let failed = |error: String| Failure::config(&format!("{}: {error}", path.display()));
    let store = SqliteAccess::open(&path).await.map_err(|error| failed(error.to_string()))?;
    let door = Door::new(Arc::new(store), Clock::System, DoorOptions::default());
    door.map(Arc::new).map_err(|error| failed(error.to_string()))
}

/// Prints the one-time link while nobody can sign in. Its token stands behind `#`, which no server sees and no
/// log of a proxy holds.
async fn invite(
    door: &Door,
    admin: SocketAddr,
    cookies: Cookies,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let token = door.invite().await.map_err(|error| Failure::config(&error.to_string()))?;
    if let Some(token) = token {
        let scheme = if cookies == Cookies::Secure { "https" } else { "http" };
        terminal.notice(&format!(
            "nobody can sign in yet: open {scheme}://{admin}/setup#{} to make the first administrator (works once, until the next start)",
            token.expose()
        ));
    }
    Ok(())
}

/// The provider that people may sign in by. It is not asked anything yet.
fn provider(loaded: &Loaded, engine: &Engine) -> Result<Option<Arc<Provider>>, Failure> {
    let Some(options) = loaded.engine.oidc.clone() else { return Ok(None) };
    let failed = |error: String| Failure::config(&format!("access.oidc: {error}"));
    let tls = options.tls.as_deref().map(|profile| engine.client_tls(profile));
    let tls = tls.transpose().map_err(failed)?;
    let made = Provider::new(options, tls).map_err(|error| failed(error.to_string()))?;
    Ok(Some(Arc::new(made)))
}

fn place(arguments: &ServeArguments) -> Place {
    Place {
        config: arguments.config.clone(),
        channels: arguments.channels.clone(),
        data: arguments.data.clone(),
        ..Place::default()
    }
}

/// How a reload reads the files again.
fn loader(arguments: &ServeArguments) -> Loader {
    let place = place(arguments);
    Box::new(move || config::load(&place).map_err(|failure| failure.to_string()))
}

fn load(arguments: &ServeArguments, terminal: &Terminal) -> Result<Loaded, Failure> {
    let mut loaded = config::load(&place(arguments))?;
    if let Some(admin) = arguments.admin {
        loaded.engine.admin.listen = admin;
    }
    config::show(&loaded.findings, terminal);
    if config::has_errors(&loaded.findings) {
        return Err(Failure::config("nothing was started; `medway check` shows the same findings"));
    }
    Ok(loaded)
}

fn admin_token(loaded: &Loaded) -> Result<Token, Failure> {
    if let Some(secret) = &loaded.engine.admin.token {
        return Ok(Token::new(secret.expose()));
    }
    let file = loaded.engine.data.join("admin.token");
    Token::from_file(&file)
        .map_err(|error| Failure::config(&format!("{}: {error}", file.display())))
}

/// How the store of these settings is opened.
pub(crate) fn store_options(engine: &EngineConfig) -> SqliteOptions {
    SqliteOptions {
        size_bytes_max: engine.store.size_bytes_max,
        waiting_bytes_max: engine.intake.bytes_max,
        batch_messages_max: engine.store.batch_messages_max,
        batch_bytes_max: engine.store.batch_bytes_max,
        duplicates_max: engine.store.duplicates_max,
        ..SqliteOptions::new(engine.data.join("medway.db"))
    }
}

/// Opens the store.
pub(crate) async fn open_store(options: SqliteOptions) -> Result<Arc<dyn Store>, Failure> {
    let path = options.path.display().to_string();
    match SqliteStore::open(options).await {
        Ok(store) => Ok(Arc::new(store)),
        Err(StoreError::Unsafe(reason)) => Err(Failure::config(&reason)),
        Err(other) => Err(Failure::unavailable(&format!("{path}: {other}"))),
    }
}

impl Running {
    /// Runs until SIGTERM or SIGINT, reloading at SIGHUP; ends by itself when the disk fails, so that a
    /// supervisor starts it again and it recovers from its log.
    async fn until_stopped(self) -> Result<(), Failure> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // A task of its own: a reload may take a while, and must not keep the watchdog or SIGTERM waiting.
        let hang_up = signal(SignalKind::hangup())?;
        let reloads = reload_at(hang_up, Arc::clone(&self.engine));
        self.engine.tracker().spawn(reloads);
        let mut certificates = tokio::time::interval(CERTIFICATES_EVERY);
        let mut disk = tokio::time::interval(DISK_EVERY);
        let mut watchdog = tokio::time::interval(watchdog_pace());
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = certificates.tick() => drop(self.engine.renew_certificates()),
                () = self.engine.end_asked().cancelled() => break,
                _ = watchdog.tick() => {
                    if let Err(error) = sd_notify::notify(&[NotifyState::Watchdog]) {
                        warn!(%error, "the supervisor's watchdog could not be told");
                    }
                }
                _ = disk.tick() => {
                    if let Some(reason) = self.engine.store_broken() {
                        error!(reason, "ending, to recover at the next start");
                        return Err(Failure::fault(&reason));
                    }
                }
            }
        }
        info!("stopping: listeners close, what is being sent ends, the rest waits on disk");
        drop(sd_notify::notify(&[NotifyState::Stopping]));
        self.stop().await
    }

    /// Stops within the drain time.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        self.stop_admin.cancel();
        // The runners end their own sends within `drain`; the rest of the time is for the store.
        let limit = self.drain + Duration::from_secs(20);
        match tokio::time::timeout(limit, self.engine.stop()).await {
            Ok(()) => {
                info!("stopped");
                Ok(())
            }
            Err(_) => Err(Failure::fault(
                "did not drain in time; what was in flight is sent again at the next start",
            )),
        }
    }
}

/// Reloads at each SIGHUP until the engine stops; those that come while one is done are one more.
async fn reload_at(mut hang_up: Signal, engine: Arc<Engine>) {
    let stop = engine.stopping_token();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            signalled = hang_up.recv() => {
                if signalled.is_none() {
                    return;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            report = engine.reload() => match report {
                Ok(report) => info!(%report, "reloaded"),
                Err(reason) => error!(reason, "not reloaded: everything goes on as before"),
            }
        }
    }
}

/// Half the time the supervisor's watchdog allows; an hour when it does not watch.
fn watchdog_pace() -> Duration {
    sd_notify::watchdog_enabled().map_or(Duration::from_secs(3600), |limit| limit / 2)
}
