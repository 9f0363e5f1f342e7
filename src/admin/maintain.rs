//! What keeps the machine going: backup, retention, certificates, what is logged, the end. Nothing of a message is
//! shown by it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::door::Actor;
use crate::admin::deliveries::{Reason, is_said};
use crate::admin::problem::Problem;
use crate::admin::scope;
use crate::engine::Engine;
use crate::engine::backup::{BackupError, BackupView};
use crate::engine::system::CertificateView;
use crate::telemetry::setup::{self, Level, TelemetryError};

/// How long one call prunes; what is left is pruned by the next one, or by itself.
const PRUNED_WITHIN: Duration = Duration::from_secs(15);
/// Minutes that another log level holds when nobody says how long.
const MINUTES_USUAL: u32 = 60;
/// Minutes that it holds at most: what is logged at length fills disks.
const MINUTES_MAX: u32 = 24 * 60;

/// Whoever ends the engine hears of it before it ends.
const ANSWERED_WITHIN: Duration = Duration::from_millis(250);

/// Whoever is limited to groups of channels keeps no machine going: it is everybody's.
fn of_all(actor: &Actor) -> Result<(), Problem> {
    if scope::sees_all(actor) {
        return Ok(());
    }
    Err(Problem::with(
        StatusCode::FORBIDDEN,
        "forbidden",
        "the machine belongs to all channels; yours are limited to groups",
    ))
}

/// Begins a backup.
pub(crate) async fn backup(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Json(reason): Json<Reason>,
) -> Result<(StatusCode, Json<BackupView>), Problem> {
    of_all(&actor)?;
    reason.text()?;
    let begun = engine.back_up(&actor.name).await.map_err(|error| match error {
        BackupError::Running => Problem::conflict("not_possible", error.to_string()),
        BackupError::NoRoom { .. } | BackupError::Folder(..) => {
            Problem::unavailable(error.to_string())
        }
    })?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// What a call of retention did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pruned {
    /// Messages that lost their bytes or went whole, refused input and old versions that went.
    touched: u64,
    /// Whether nothing older than it should be is left; `false`: the rest goes on by itself.
    all: bool,
}

/// Takes away now what is older than it may be.
pub(crate) async fn retention(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Json(reason): Json<Reason>,
) -> Result<Json<Pruned>, Problem> {
    of_all(&actor)?;
    reason.text()?;
    let (touched, all) = engine.prune_now(PRUNED_WITHIN).await?;
    Ok(Json(Pruned { touched, all }))
}

/// What came of reading the files of a TLS profile again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Renewed {
    /// The TLS profile's name.
    profile: String,
    /// Whether another certificate, key or list is in use now; `false`: the files are as they were.
    renewed: bool,
    /// Why the files cannot be used; the old ones stay in use.
    error: Option<String>,
}

/// The certificates after their files were read again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Certificates {
    /// Those of profiles in use.
    profiles: Vec<Renewed>,
    /// As their files are now.
    certificates: Vec<CertificateView>,
}

/// Reads the files of all TLS profiles again.
pub(crate) async fn certificates(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Json(reason): Json<Reason>,
) -> Result<Json<Certificates>, Problem> {
    of_all(&actor)?;
    reason.text()?;
    let renewed = engine.renew_certificates().into_iter();
    let profiles = renewed.map(|(profile, came)| Renewed {
        profile,
        renewed: came.as_ref().is_ok_and(|renewed| *renewed),
        error: came.err(),
    });
    let profiles = profiles.collect();
    Ok(Json(Certificates { profiles, certificates: engine.system().await.certificates }))
}

/// Another log level.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLevel {
    /// `error`, `warn`, `info`, `debug` or `trace` for the engine's own lines; those of libraries stay as configured.
    /// Without it, it is as configured again.
    level: Option<Level>,
    /// For how long; then it is as configured again. 60 when not said, a day at most.
    minutes: Option<u32>,
    reason: String,
}

/// The log level in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LevelSet {
    /// Which lines are written.
    log: String,
    /// For how many minutes; nothing where it is as configured.
    minutes: Option<u32>,
}

/// Sets the log level for a while.
pub(crate) async fn log_level(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Json(new): Json<NewLevel>,
) -> Result<Json<LevelSet>, Problem> {
    of_all(&actor)?;
    is_said(&new.reason)?;
    let failed = |error: TelemetryError| Problem::unavailable(error.to_string());
    let minutes = new.minutes.unwrap_or(MINUTES_USUAL).clamp(1, MINUTES_MAX);
    let turn = setup::set_level(new.level).map_err(failed)?;
    tracing::warn!(actor = %actor.name, log = setup::filter(), "the log level was changed");
    if new.level.is_some() {
        let stop = engine.stopping_token();
        engine.tracker().spawn(async move {
            let held = Duration::from_secs(u64::from(minutes) * 60);
            if stop.run_until_cancelled(tokio::time::sleep(held)).await.is_some() {
                setup::restore_level(turn);
            }
        });
    }
    Ok(Json(LevelSet { log: setup::filter(), minutes: new.level.map(|_| minutes) }))
}

/// The engine ends.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stopping {
    /// `stopping`.
    state: &'static str,
}

/// Ends the engine as SIGTERM does.
pub(crate) async fn stop(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Json(reason): Json<Reason>,
) -> Result<(StatusCode, Json<Stopping>), Problem> {
    of_all(&actor)?;
    reason.text()?;
    tracing::warn!(actor = %actor.name, "somebody ends the engine");
    let ending = Arc::clone(&engine);
    engine.tracker().spawn(async move {
        tokio::time::sleep(ANSWERED_WITHIN).await;
        ending.end_asked().cancel();
    });
    Ok((StatusCode::ACCEPTED, Json(Stopping { state: "stopping" })))
}
