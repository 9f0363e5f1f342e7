//! One channel: what it is, its versions, and starting and stopping it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::access::door::{Actor, Door};
use crate::admin::deliveries::Reason;
use crate::admin::problem::Problem;
use crate::admin::scope;
use crate::engine::Engine;
use crate::engine::detail::{ChannelDetail, VersionLine};
use crate::engine::switch::SwitchError;
use crate::message::id::VersionId;
use crate::store::access::AuditQuery;

/// A version applied by a call is in force this much later than the call's record, at most, in
/// microseconds.
const APPLIED_WITHIN: i64 = 60_000_000;
/// Records of the trail that versions are looked up in.
const APPLICATIONS_MAX: u32 = 500;

/// A version's file.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionText {
    /// Its text.
    yaml: String,
}

/// One channel in force.
pub(crate) async fn one(
    State(engine): State<Arc<Engine>>,
    Extension(door): Extension<Arc<Door>>,
    Extension(actor): Extension<Actor>,
    Path(channel): Path<String>,
) -> Result<Json<ChannelDetail>, Problem> {
    let seen = scope::sees_channel(&engine, &actor, &channel);
    let detail = if seen { engine.channel_detail(&channel).await? } else { None };
    let mut detail = detail.ok_or_else(|| Problem::missing("channel in force"))?;
    applied_by(&door, &mut detail.versions).await?;
    Ok(Json(detail))
}

/// Who put a version in force stands in the audit trail: the last `config.apply` before it.
async fn applied_by(door: &Door, versions: &mut [VersionLine]) -> Result<(), Problem> {
    let action = Some("config.apply".to_owned());
    let query = AuditQuery { action, limit: APPLICATIONS_MAX, ..AuditQuery::default() };
    let records = door.store().audit_records(&query).await?;
    for version in versions {
        let Ok(at) = version.at.parse::<jiff::Timestamp>() else { continue };
        let at = at.as_microsecond();
        let mut before = records.iter().filter(|record| record.entry.outcome == "granted");
        let own = before.find(|record| {
            record.entry.at.0 <= at && at.saturating_sub(record.entry.at.0) < APPLIED_WITHIN
        });
        version.by = own.map(|record| record.entry.actor.clone());
        version.reason = own.map(|record| record.entry.reason.clone());
    }
    Ok(())
}

/// The file of one version.
pub(crate) async fn version(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path((channel, version)): Path<(String, String)>,
) -> Result<Json<VersionText>, Problem> {
    let number = version.parse().map(VersionId).ok();
    let number = number.filter(|_| scope::sees_channel(&engine, &actor, &channel));
    let yaml = match number {
        Some(number) => engine.version_text(&channel, number).await?,
        None => None,
    };
    yaml.map(|yaml| Json(VersionText { yaml })).ok_or_else(|| Problem::missing("version"))
}

/// Stops a channel's source, or starts it again.
pub(crate) async fn act(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path((channel, act)): Path<(String, String)>,
    Json(reason): Json<Reason>,
) -> Result<Json<Value>, Problem> {
    if !scope::sees_channel(&engine, &actor, &channel) {
        return Err(Problem::missing("channel in force"));
    }
    let reason = reason.text()?;
    let done = match act.as_str() {
        "stop" => engine.stop_channel(&channel, &actor.name, &reason).await,
        "start" => engine.start_channel(&channel, &actor.name).await,
        _ => return Err(Problem::missing("act: start or stop")),
    };
    done.map_err(|error| match error {
        SwitchError::Unknown => Problem::missing("channel in force"),
        SwitchError::Disk(_) => Problem::unavailable(error.to_string()),
        SwitchError::NoSource | SwitchError::Already(_) | SwitchError::Source(_) => {
            Problem::conflict("not_possible", error.to_string())
        }
    })?;
    Ok(Json(json!({"done": act})))
}
