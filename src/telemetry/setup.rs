//! Sets up logs and metrics, once, for the whole process.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, OnceLock, PoisonError};

use clap::ValueEnum;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use utoipa::ToSchema;

use crate::telemetry::metrics::BUILD_INFO;

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logs or metrics could not be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("log filter cannot be read ({0}); write e.g. `info` or `medway=debug`")]
    Filter(String),
    /// Logs go elsewhere, or the filter is lost.
    #[error("the log level cannot be changed: {0}")]
    Unchangeable(String),
    /// The recorder is there already, or its buckets are wrong.
    #[error("metrics cannot be set up: {0}")]
    Metrics(String),
}

/// How much the engine says of itself. It holds no patient data at any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A person must act.
    Error,
    /// It went wrong and went on.
    Warn,
    /// Started, stopped, reloaded.
    Info,
    /// One message's steps, by id.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Puts another filter in the place of the one in force.
type Change = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// Which lines are written.
struct Lines {
    /// As configured.
    configured: String,
    /// Now.
    now: String,
    /// Counts changes: who set a level for a while takes back none that came after it.
    turn: u64,
    change: Change,
}

static LINES: Mutex<Option<Lines>> = Mutex::new(None);

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Bounds of latency histograms, in seconds.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Starts logging to stderr. A second call in one process is ignored.
///
/// # Errors
/// When `filter` is no filter.
pub fn logs(filter: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let configured = filter.to_owned();
    let filter =
        EnvFilter::try_new(filter).map_err(|error| TelemetryError::Filter(error.to_string()))?;
    let json = match format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let told = |error: tracing_subscriber::reload::Error| error.to_string();
    let (started, change): (_, Change) = if json {
        let builder = builder.json().flatten_event(true).with_filter_reloading();
        let handle = builder.reload_handle();
        (builder.try_init(), Box::new(move |filter| handle.reload(filter).map_err(told)))
    } else {
        let builder = builder.with_ansi(io::stderr().is_terminal()).with_target(false);
        let builder = builder.with_filter_reloading();
        let handle = builder.reload_handle();
        (builder.try_init(), Box::new(move |filter| handle.reload(filter).map_err(told)))
    };
    if started.is_err() {
        tracing::debug!("logs are set up already");
        return Ok(());
    }
    let lines = Lines { now: configured.clone(), configured, turn: 0, change };
    *LINES.lock().unwrap_or_else(PoisonError::into_inner) = Some(lines);
    Ok(())
}

/// Which log lines are written; empty where logs go elsewhere.
#[must_use]
pub fn filter() -> String {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.as_ref().map(|lines| lines.now.clone()).unwrap_or_default()
}

/// Writes the engine's own lines from this level on; `None`: as configured. Lines of libraries stay as configured,
/// since what those say at length may quote a message. Answers the turn that [`restore_level`] takes back.
///
/// # Errors
/// When logs go elsewhere.
pub fn set_level(level: Option<Level>) -> Result<u64, TelemetryError> {
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let elsewhere = || TelemetryError::Unchangeable("no log of this process is ours".to_owned());
    lines.as_mut().ok_or_else(elsewhere)?.put(level)
}

/// As configured again, unless somebody changed it after this turn.
pub fn restore_level(turn: u64) {
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(lines) = lines.as_mut().filter(|lines| lines.turn == turn)
        && let Err(error) = lines.put(None)
    {
        tracing::warn!(%error, "the log level stays");
    }
}

impl Lines {
    fn put(&mut self, level: Option<Level>) -> Result<u64, TelemetryError> {
        let wanted = match level {
            None => self.configured.clone(),
            Some(level) => format!("{},medway={}", self.configured, level.name()),
        };
        let filter = EnvFilter::try_new(&wanted)
            .map_err(|error| TelemetryError::Filter(error.to_string()))?;
        (self.change)(filter).map_err(TelemetryError::Unchangeable)?;
        self.now = wanted;
        self.turn += 1;
        Ok(self.turn)
    }
}

/// Installs the metrics recorder of this process, once; answers its handle.
///
/// # Errors
/// When another recorder is installed.
pub fn metrics() -> Result<&'static PrometheusHandle, TelemetryError> {
    if let Some(handle) = METRICS.get() {
        return Ok(handle);
    }
    let failed =
        |error: metrics_exporter_prometheus::BuildError| TelemetryError::Metrics(error.to_string());
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
        .map_err(failed)?
        .install_recorder()
        .map_err(failed)?;
    ::metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(METRICS.get_or_init(|| handle))
}

/// A panic's place, never its text: what a panic says may quote a message.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        tracing::error!(
            place,
            "panic: a fault in the program; the message in work is held or retried"
        );
    }));
}
