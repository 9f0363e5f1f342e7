//! What flows and what is stuck: the engine, its channels, its destinations.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::access::door::Actor;
use crate::admin::guard::Address;
use crate::admin::page::Page;
use crate::admin::precondition;
use crate::admin::problem::Problem;
use crate::admin::scope;
use crate::engine::Engine;
use crate::engine::author::Author;
use crate::message::id::DestinationId;

/// Blocked lanes shown of one destination.
const LANES_MAX: usize = 100;

/// The engine as a whole. Who is limited to groups is told how it is and no count over all channels.
pub(crate) async fn status(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
) -> Json<Value> {
    let store = engine.store().status();
    let reasons = engine.not_ready();
    let mut counts = json!({"failing": store.failing});
    if let (Some(counts), true) = (counts.as_object_mut(), scope::sees_all(&actor)) {
        counts.insert("head".to_owned(), json!(store.head.0));
        counts.insert("first".to_owned(), json!(store.first.0));
        counts.insert("size_bytes".to_owned(), json!(store.size_bytes));
        counts.insert("commits".to_owned(), json!(store.commits));
    }
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": reasons.is_empty(),
        "not_ready": reasons,
        "store": counts,
    }))
}

/// Every channel in force, with its sources and destinations, and files that were refused.
pub(crate) async fn channels(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Query(page): Query<Page>,
) -> Json<Value> {
    let registry = engine.registry().channels();
    let seen =
        registry.iter().filter(|live| scope::sees_channel(&engine, &actor, &live.channel.name));
    let (page, next) = page.of(seen, |live| &live.channel.name);
    let mut list = Vec::new();
    for live in page {
        let name = &*live.channel.name;
        let destinations: Vec<Value> =
            live.destinations.iter().map(|id| destination_value(&engine, *id)).collect();
        list.push(json!({
            "channel": name,
            "version": live.version.0,
            "sources": engine.sources(name),
            "destinations": destinations,
            "stopped": engine.stopped(name),
        }));
    }
    let removed = engine.removed_destinations().into_iter();
    let removed = removed.filter(|id| scope::sees_destination(&engine, &actor, *id));
    let removed: Vec<Value> = removed.map(|id| destination_value(&engine, id)).collect();
    let refused = scope::refused(&engine, &actor);
    Json(json!({"channels": list, "next": next, "removed": removed, "refused": refused}))
}

/// One destination as it stands.
pub(crate) fn destination_value(engine: &Engine, id: DestinationId) -> Value {
    engine
        .destination_status(id)
        .unwrap_or_else(|| json!({"destination": engine.destination_name(id), "state": "stopped"}))
}

/// Every destination, what waits there and why.
pub(crate) async fn destinations(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Query(page): Query<Page>,
) -> Json<Value> {
    let ids = engine.destination_ids().into_iter();
    let seen = ids.filter(|id| scope::sees_destination(&engine, &actor, *id));
    let mut named: Vec<_> = seen.map(|id| (engine.destination_name(id), id)).collect();
    named.sort_unstable();
    let (page, next) = page.of(named, |(name, _)| name);
    let list: Vec<Value> = page.into_iter().map(|(_, id)| destination_value(&engine, id)).collect();
    Json(json!({"destinations": list, "next": next}))
}

/// One destination with its endpoints and blocked lanes.
pub(crate) async fn destination(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path((channel, destination)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let id = scope::destination(&engine, &actor, &format!("{channel}/{destination}"))?;
    let mut value = destination_value(&engine, id);
    let lanes = engine.blocked_lanes(id, LANES_MAX).await?;
    if let Some(object) = value.as_object_mut() {
        object.insert("endpoints".to_owned(), engine.endpoints(id));
        object.insert("lanes".to_owned(), json!(lanes));
    }
    Ok(Json(value))
}

/// The sums of P4, read from the log.
pub(crate) async fn conservation(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
) -> Result<Json<Value>, Problem> {
    let sums = engine.store().conservation().await?;
    let list: Vec<Value> = sums
        .iter()
        .filter(|sum| scope::sees_destination(&engine, &actor, DestinationId(sum.destination)))
        .map(|sum| {
            json!({
                "destination": engine.destination_name(DestinationId(sum.destination)),
                "planned": sum.planned,
                "filtered": sum.filtered,
                "delivered": sum.delivered,
                "retry": sum.retry,
                "held": sum.held,
                "behind": sum.behind,
                "dead": sum.dead,
                "cancelled": sum.cancelled,
                "pending": sum.pending,
                "unaccounted": sum.unaccounted.len(),
            })
        })
        .collect();
    Ok(Json(json!({"destinations": list})))
}

/// Why files are put in force.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReloadReason)]
pub(crate) struct Why {
    /// Goes on record, and with each version.
    #[serde(default)]
    reason: String,
}

/// Reads the channel files again; each that passes, and is of the caller's groups, replaces its old version.
/// With `If-Match` only over the configuration with that hash (`/system`).
pub(crate) async fn reload(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Extension(address): Extension<Address>,
    headers: HeaderMap,
    Json(why): Json<Why>,
) -> Result<Json<Value>, Problem> {
    precondition::check(&headers, &format!("\"{}\"", engine.config_hash()))?;
    let author = Author {
        by: actor.name.clone(),
        address: address.0,
        reason: why.reason,
        groups: actor.groups.clone(),
    };
    let report = engine.reload_by(&author).await;
    let mut report = report.map_err(|error| {
        // What is wrong may stand in a file of others.
        let all = scope::sees_all(&actor);
        let told = "the files as a whole cannot be read: ask whoever sees all groups";
        Problem::conflict("not_reloaded", if all { error } else { told.to_owned() })
    })?;
    if let Some(report) = report.as_object_mut() {
        report.insert("refused".to_owned(), scope::refused(&engine, &actor));
        if let Some(stranded) = report.get_mut("stranded").and_then(Value::as_array_mut) {
            stranded.retain(|one| {
                let name = one.get("destination").and_then(Value::as_str);
                let id = name.and_then(|name| engine.destination_id(name));
                id.is_some_and(|id| scope::sees_destination(&engine, &actor, id))
            });
        }
    }
    Ok(Json(report))
}
