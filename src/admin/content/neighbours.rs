//! The messages before and after one that share a search key with it: the same patient's, visit's, order's.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::door::Actor;
use crate::access::role::View;
use crate::admin::messages::stored;
use crate::admin::problem::Problem;
use crate::admin::scope;
use crate::engine::Engine;
use crate::message::id::Seq;
use crate::message::time::Timestamp;
use crate::message::{Key, StoredMessage};
use crate::store::MessageQuery;

/// Messages read at once while the next one is looked for.
const PAGE: u32 = 500;
/// Keys looked at of one message.
const KEYS_MAX: usize = 16;
/// Messages committed in another order than they were received in are not further apart than this.
const SLACK: Duration = Duration::from_secs(60);
/// How far ahead the next message is looked for, step by step; the last step has no end.
const WINDOWS: [Duration; 4] = [
    Duration::from_secs(3600),
    Duration::from_secs(86_400),
    Duration::from_secs(30 * 86_400),
    Duration::from_secs(400 * 86_400),
];

/// The neighbours by each search key of the message.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Neighbours {
    /// One for each key, in the message's order.
    keys: Vec<Neighbour>,
}

/// The neighbours by one search key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Neighbour {
    /// The key's name.
    name: String,
    /// Id of the message before it.
    previous: Option<String>,
    /// Id of the message after it.
    next: Option<String>,
}

/// The messages before and after this one, by each of its search keys.
pub(crate) async fn neighbours(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
) -> Result<Json<Neighbours>, Problem> {
    let message = stored(&engine, &actor, &id).await?;
    let mut keys: Vec<Neighbour> = Vec::new();
    for key in message.envelope.keys.iter().take(KEYS_MAX) {
        let masked = scope::hides_key(&engine, actor.view.max(View::Masked), &message, &key.name);
        if masked || keys.iter().any(|known| known.name == *key.name) {
            continue;
        }
        let previous = before(&engine, &actor, &message, key).await?;
        let next = after(&engine, &actor, &message, key).await?;
        keys.push(Neighbour { name: key.name.to_string(), previous, next });
    }
    Ok(Json(Neighbours { keys }))
}

fn query(key: &Key) -> MessageQuery {
    let value = key.value.expose().into();
    MessageQuery {
        key: Some((Some((&*key.name).into()), value)),
        limit: PAGE,
        ..MessageQuery::default()
    }
}

async fn before(
    engine: &Engine,
    actor: &Actor,
    message: &StoredMessage,
    key: &Key,
) -> Result<Option<String>, Problem> {
    let limit = if actor.groups.is_empty() { 1 } else { PAGE };
    let query = MessageQuery { before: Some(message.seq), limit, ..query(key) };
    let found = engine.store().search(query).await?;
    let mut seen = found.iter().filter(|found| scope::sees_message(engine, actor, found));
    Ok(seen.next().map(|found| found.envelope.id.to_string()))
}

/// The search answers the newest first; the next one is looked for in windows of time that grow.
async fn after(
    engine: &Engine,
    actor: &Actor,
    message: &StoredMessage,
    key: &Key,
) -> Result<Option<String>, Problem> {
    let received = message.envelope.received_at;
    let moved = |by: Duration, sign: i64| {
        Timestamp(received.0.saturating_add(sign.saturating_mul(micros(by))))
    };
    let ends = WINDOWS.iter().map(|window| Some(moved(*window, 1))).chain([None]);
    for until in ends {
        let mut next: Option<Arc<StoredMessage>> = None;
        let mut cursor: Option<Seq> = None;
        loop {
            let since = Some(moved(SLACK, -1));
            let query = MessageQuery { since, until, before: cursor, ..query(key) };
            let found = engine.store().search(query).await?;
            let later = found.iter().filter(|found| found.seq > message.seq);
            let mut seen = later.filter(|found| scope::sees_message(engine, actor, found));
            next = seen.next_back().cloned().or(next);
            cursor = found.last().map(|last| last.seq).filter(|last| *last > message.seq);
            let full = u32::try_from(found.len()).is_ok_and(|count| count >= PAGE);
            if !full || cursor.is_none() {
                break;
            }
        }
        if let Some(next) = next {
            return Ok(Some(next.envelope.id.to_string()));
        }
    }
    Ok(None)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
