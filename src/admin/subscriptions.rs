//! FHIR subscriptions: how they stand, their secrets, and what a person may do with them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::access::door::Actor;
use crate::admin::deliveries::is_said;
use crate::admin::problem::Problem;
use crate::admin::scope;
use crate::engine::Engine;
use crate::engine::subscriptions::view::{ActFault, OVERLAP};
use crate::message::secret::Secret;

/// Longest time two secrets sign together.
const OVERLAP_MAX: Duration = Duration::from_hours(30 * 24);

/// Why, and for some acts which.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    reason: String,
    /// For `resend`: the number of the event.
    event: Option<u64>,
}

/// Another secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSecret {
    /// `whsec_…` or `whsk_…`; drawn when there is none.
    secret: Option<String>,
    /// How long the one before signs too.
    overlap_seconds: Option<u64>,
    /// Why; goes on record with the call.
    reason: String,
}

fn refused(fault: ActFault) -> Problem {
    match fault {
        ActFault::Unknown => Problem::missing("subscription; one that is off is not listed"),
        ActFault::NoEvent => Problem::missing("event of this number; its message may be gone"),
        ActFault::Secret(text) => Problem::bad("bad_secret", text),
        ActFault::Store(error) => error.into(),
        ActFault::Command(error) => Problem::conflict("not_possible", error.to_string()),
    }
}

/// Whether a subscription's channel is within the actor's groups.
fn seen(engine: &Engine, actor: &Actor, subscription: &Value) -> bool {
    let channel = subscription.get("channel").and_then(Value::as_str).unwrap_or_default();
    scope::sees_channel(engine, actor, channel)
}

/// The subscription, if the actor sees it.
async fn known(engine: &Engine, actor: &Actor, id: &str) -> Result<Value, Problem> {
    let found = engine.subscriptions().one(id).await.map_err(refused)?;
    if seen(engine, actor, &found) { Ok(found) } else { Err(refused(ActFault::Unknown)) }
}

/// All subscriptions that are not off, and those that the engine turned off in the last 30 days.
pub(crate) async fn list(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
) -> Result<Json<Value>, Problem> {
    let mut all = engine.subscriptions().list().await?;
    all.retain(|one| seen(&engine, &actor, one));
    Ok(Json(json!({"subscriptions": all})))
}

/// One subscription.
pub(crate) async fn one(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    known(&engine, &actor, &id).await.map(Json)
}

/// Another secret signs from now on.
pub(crate) async fn secret(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    Json(new): Json<NewSecret>,
) -> Result<Json<Value>, Problem> {
    known(&engine, &actor, &id).await?;
    is_said(&new.reason)?;
    let overlap = new.overlap_seconds.map_or(OVERLAP, Duration::from_secs).min(OVERLAP_MAX);
    let secret = new.secret.as_deref().map(Secret::new);
    engine.subscriptions().rotate(&id, secret, overlap).await.map(Json).map_err(refused)
}

/// Pauses, resumes, skips, recovers, tests, sends one event again.
pub(crate) async fn act(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path((id, act)): Path<(String, String)>,
    Json(asked): Json<Asked>,
) -> Result<Json<Value>, Problem> {
    is_said(&asked.reason)?;
    let reason = asked.reason.trim();
    known(&engine, &actor, &id).await?;
    let all = engine.subscriptions();
    let done = match act.as_str() {
        "pause" => all.pause(&id, &actor.name, reason).await,
        "resume" => all.resume(&id, &actor.name, reason).await,
        "skip" => all.skip(&id, reason).await,
        "recover" => all.recover(&id, reason).await,
        "test" => all.test(&id).await,
        "resend" => {
            let number = asked.event.ok_or_else(|| {
                Problem::bad("no_event", "name the event's number: {\"event\": 7}")
            })?;
            all.resend(&id, number).await
        }
        _ => return Err(Problem::missing("act: pause, resume, skip, recover, test or resend")),
    };
    done.map(Json).map_err(refused)
}
