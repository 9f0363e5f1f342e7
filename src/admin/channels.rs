//! One channel: what it is, its versions, and starting and stopping it.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::access::door::Actor;
use crate::admin::deliveries::Reason;
use crate::admin::problem::Problem;
use crate::admin::scope;
use crate::engine::Engine;
use crate::engine::detail::ChannelDetail;
use crate::engine::document::Language;
use crate::engine::switch::SwitchError;
use crate::message::id::VersionId;

/// A version's file.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionText {
    /// Its text.
    yaml: String,
}

/// The query that chooses a document's language.
pub(crate) const LANGUAGE: &[(&str, &str)] =
    &[("lang", "the language of the document: `en` (when not said) or `zh`")];

/// In which language its document is asked for.
#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    #[serde(default)]
    lang: Language,
}

/// One channel in force.
pub(crate) async fn one(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path(channel): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<ChannelDetail>, Problem> {
    let seen = scope::sees_channel(&engine, &actor, &channel);
    let detail = match seen {
        true => engine.channel_detail(&channel, wanted.lang).await?,
        false => None,
    };
    let mut detail = detail.ok_or_else(|| Problem::missing("channel in force"))?;
    for version in &mut detail.versions {
        // Who put it in force stands in the audit trail.
        let applied = engine.version_author(&channel, VersionId(version.version)).await?;
        let applied = applied.map(|record| record.entry);
        version.by = applied.as_ref().map(|entry| entry.actor.clone());
        version.reason = applied.map(|entry| entry.reason);
    }
    Ok(Json(detail))
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
