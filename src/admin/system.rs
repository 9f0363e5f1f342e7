//! The engine as a machine, and its counts of the last day.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::door::{Actor, Door};
use crate::admin::problem::Problem;
use crate::admin::scope;
use crate::engine::Engine;
use crate::engine::history::Point;
use crate::engine::system::SystemView;
use crate::store::access::AuditQuery;

/// Minutes answered when nobody says how many.
const MINUTES_USUAL: usize = 60;
/// Most minutes answered.
const MINUTES_MAX: usize = 24 * 60;

/// The engine as a machine.
pub(crate) async fn system(
    State(engine): State<Arc<Engine>>,
    Extension(door): Extension<Arc<Door>>,
    Extension(actor): Extension<Actor>,
) -> Result<Json<SystemView>, Problem> {
    let mut view = engine.system().await;
    if !scope::sees_all(&actor) {
        return Ok(Json(view.limited()));
    }
    let action = Some("config.apply".to_owned());
    let query = AuditQuery { action, limit: 1, ..AuditQuery::default() };
    let last = door.store().audit_records(&query).await?.pop();
    let loaded = view.config.loaded_at.parse::<jiff::Timestamp>().ok();
    // A call that came after what is in force changed nothing.
    view.config.by = last
        .filter(|record| loaded.is_some_and(|at| record.entry.at.0 <= at.as_microsecond()))
        .filter(|record| record.entry.outcome == "granted")
        .map(|record| record.entry.actor);
    Ok(Json(view))
}

/// How far back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Back {
    /// 60 when not said; a day at most.
    minutes: Option<usize>,
}

/// Counts for each minute, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Points {
    points: Vec<Point>,
}

/// Counts of the last minutes.
pub(crate) async fn history(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Query(back): Query<Back>,
) -> Json<Points> {
    let minutes = back.minutes.unwrap_or(MINUTES_USUAL).clamp(1, MINUTES_MAX);
    Json(Points { points: engine.history().last(minutes, &actor.groups) })
}
