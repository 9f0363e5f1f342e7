//! Messages: search by the hospital's keys, one message with its deliveries, its bytes, replay.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::access::door::Actor;
use crate::access::role::View;
use crate::admin::content::{self, mask};
use crate::admin::deliveries::answer_text;
use crate::admin::problem::Problem;
use crate::admin::scope;
use crate::engine::Engine;
use crate::message::StoredMessage;
use crate::message::id::{MessageId, Seq};
use crate::message::outcome::Outbound;
use crate::message::time::Timestamp;
use crate::message::verdict::Rendered;
use crate::store::{DeliveryView, MessageQuery};

/// Most messages a page.
const PAGE_MAX: u32 = 500;
/// Times the log is read for one page of somebody who sees only some messages: then the page ends with what was
/// found, and `next`.
const READS_MAX: u32 = 20;

/// What is searched for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MessageSearch)]
pub(crate) struct Search {
    /// Key name; without it any key.
    name: Option<String>,
    /// Key value.
    value: Option<String>,
    /// Receiving channel.
    channel: Option<String>,
    /// RFC 3339.
    since: Option<String>,
    /// RFC 3339.
    until: Option<String>,
    /// `next` of the page before.
    before: Option<i64>,
    /// Messages a page.
    limit: Option<u32>,
}

pub(crate) fn moment(text: Option<&str>, field: &str) -> Result<Option<Timestamp>, Problem> {
    text.map(|text| {
        let moment =
            text.parse::<jiff::Timestamp>().map(|moment| Timestamp(moment.as_microsecond()));
        // What reads times quotes what it was given.
        let told = format!("`{field}` is no RFC 3339 time, e.g. 2026-01-31T08:00:00Z");
        moment.map_err(|_| Problem::bad("bad_time", told))
    })
    .transpose()
}

/// Finds messages, newest first.
pub(crate) async fn search(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Json(search): Json<Search>,
) -> Result<Json<Value>, Problem> {
    if search.value.is_some() {
        // An answer, even an empty one, confirms a patient.
        content::shows_values(&actor)?;
    }
    let limit = search.limit.unwrap_or(50).clamp(1, PAGE_MAX);
    // Who sees only some messages is given full pages of these: more are read at once, and more than once.
    let sees_all = scope::sees_all(&actor) && (actor.view == View::Full || search.value.is_none());
    let mut query = MessageQuery {
        key: search
            .value
            .as_deref()
            .map(|value| (search.name.as_deref().map(Into::into), value.into())),
        channel: search.channel.as_deref().map(Into::into),
        before: search.before.map(Seq),
        since: moment(search.since.as_deref(), "since")?,
        until: moment(search.until.as_deref(), "until")?,
        limit: if sees_all { limit } else { PAGE_MAX },
    };
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut messages, mut next) = (Vec::new(), None);
    'read: for _ in 0..READS_MAX {
        let found = engine.store().search(query.clone()).await?;
        let full = u32::try_from(found.len()).is_ok_and(|count| count >= query.limit);
        query.before = found.last().map(|message| message.seq);
        next = query.before.filter(|_| full);
        for message in &found {
            if scope::sees_message(&engine, &actor, message)
                && finds(&engine, &actor, &search, message)
            {
                messages.push(summary(&engine, message, actor.view));
            }
            if messages.len() >= wanted {
                let last = found.last().is_some_and(|last| last.seq == message.seq);
                next = Some(message.seq).filter(|_| full || !last);
                break 'read;
            }
        }
        if !full {
            break;
        }
    }
    Ok(Json(json!({"messages": messages, "next": next.map(|seq| seq.0)})))
}

/// Whether a value that somebody looks for stands in a key of the message that they see.
fn finds(engine: &Engine, actor: &Actor, search: &Search, message: &StoredMessage) -> bool {
    let Some(value) = &search.value else { return true };
    message.envelope.keys.iter().any(|key| {
        let named = search.name.as_deref().is_none_or(|name| name == &*key.name);
        let seen = !scope::hides_key(engine, actor.view, message, &key.name);
        named && key.value.expose() == value && seen
    })
}

/// A message without its deliveries, as much of it as `view` shows.
pub(crate) fn summary(engine: &Engine, message: &StoredMessage, view: View) -> Value {
    let envelope = &message.envelope;
    let keys: Vec<Value> = envelope
        .keys
        .iter()
        .filter(|key| !scope::hides_key(engine, view, message, &key.name))
        .map(|key| {
            let value = key.value.expose();
            let value = if view == View::Full { value.to_owned() } else { mask::text(value) };
            json!({"name": &*key.name, "value": value})
        })
        .collect();
    json!({
        "id": envelope.id.to_string(),
        "seq": message.seq.0,
        "received_at": envelope.received_at.to_string(),
        "channel": &*envelope.channel,
        "kind": envelope.kind.name(),
        "event": &*envelope.event,
        "control_id": envelope.control_id.expose(),
        "content_type": envelope.content_type.media_type(),
        "keys": keys,
    })
}

/// A message that the actor sees.
pub(crate) async fn stored(
    engine: &Engine,
    actor: &Actor,
    id: &str,
) -> Result<Arc<StoredMessage>, Problem> {
    let id =
        MessageId::parse(id).ok_or_else(|| Problem::bad("bad_id", "a message id is a UUID"))?;
    let seq = engine.store().find(id).await?;
    let found = engine.store().messages(&[seq]).await?.pop();
    let found = found.filter(|message| scope::sees_message(engine, actor, message));
    found.ok_or_else(|| crate::store::StoreError::Missing.into())
}

/// One message: its envelope, where it came from, what became of it at each destination.
pub(crate) async fn one(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let message = stored(&engine, &actor, &id).await?;
    let mut value = summary(&engine, &message, actor.view);
    let deliveries: Vec<Value> = engine
        .store()
        .deliveries(message.seq)
        .await?
        .iter()
        .filter(|view| scope::sees_destination(&engine, &actor, view.destination))
        .map(|view| delivery(&engine, view, actor.view))
        .collect();
    let origin = match &message.envelope.origin {
        None => Value::Null,
        Some(origin) => {
            let parent = engine.store().messages(&[origin.parent]).await?.pop();
            let parent = parent
                .map_or_else(|| origin.parent.to_string(), |parent| parent.envelope.id.to_string());
            json!({"parent": parent, "by": origin.by, "reason": origin.reason})
        }
    };
    if let Some(object) = value.as_object_mut() {
        object.insert("size_bytes".to_owned(), json!(message.payload.len()));
        object.insert("origin".to_owned(), origin);
        object.insert("deliveries".to_owned(), json!(deliveries));
    }
    Ok(Json(value))
}

/// What became of a message at one destination.
fn delivery(engine: &Engine, view: &DeliveryView, shown: View) -> Value {
    let attempts: Vec<Value> = view
        .attempts
        .iter()
        .map(|attempt| {
            json!({
                "number": attempt.number,
                "at": attempt.at.to_string(),
                "milliseconds": milliseconds(attempt.duration),
                "outcome": &*attempt.outcome,
                "code": &*attempt.answer.code,
                "text": answer_text(&attempt.answer, shown),
            })
        })
        .collect();
    let mut value = json!({
        "destination": engine.destination_name(view.destination),
        "version": view.version.0,
        "state": view.state,
        "attempts": attempts,
    });
    let more = match (&view.settled, &view.exception) {
        (Some(settled), _) => json!({
            "at": settled.at.to_string(),
            "attempts_made": settled.attempts,
            "milliseconds": milliseconds(settled.duration),
            "code": &*settled.answer.code,
            "text": answer_text(&settled.answer, shown),
            "sent_hash": format!("{:016x}", settled.sent_hash),
        }),
        (None, Some(exception)) => crate::admin::deliveries::exception(exception, shown),
        (None, None) => json!({}),
    };
    if let (Some(object), Value::Object(more)) = (value.as_object_mut(), more) {
        object.extend(more);
    }
    value
}

/// Milliseconds with their fraction.
pub(crate) fn milliseconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// What is sent is shown whole or not at all.
pub(crate) fn whole(actor: &Actor) -> Result<(), Problem> {
    if actor.view == View::Full { Ok(()) } else { Err(Problem::hidden(actor.view, View::Full)) }
}

/// The bytes as received; to a masked view as UTF-8 text with letters and digits hidden.
pub(crate) async fn body(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let masked = content::shows_values(&actor)?;
    let message = stored(&engine, &actor, &id).await?;
    let content_type = message.envelope.content_type;
    if masked {
        let text = content::masked_bytes(content_type, message.payload.expose());
        return Ok(download("text/plain; charset=utf-8", text.into()));
    }
    Ok(download(content_type.media_type(), message.payload.expose().clone()))
}

/// The bytes one destination is sent, rendered again under the version of the message's plan.
pub(crate) async fn sent(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path((id, channel, destination)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    whole(&actor)?;
    let message = stored(&engine, &actor, &id).await?;
    let name = format!("{channel}/{destination}");
    let _seen = scope::destination(&engine, &actor, &name)?;
    let outbound = rendered(&engine, &message, &name)?;
    Ok(download(outbound.content_type.media_type(), outbound.body))
}

/// What one destination is sent, under the version of the message's plan.
pub(crate) fn rendered(
    engine: &Engine,
    message: &StoredMessage,
    destination: &str,
) -> Result<Outbound, Problem> {
    let number =
        engine.destination_id(destination).ok_or_else(|| Problem::missing("destination"))?;
    let entry = message
        .plan
        .entry(number)
        .ok_or_else(|| Problem::missing("delivery: the message's plan does not name it"))?;
    match engine.versions().rendered(number, entry.version, message) {
        Rendered::Send(outbound) => Ok(outbound),
        Rendered::Hold(problem) | Rendered::Fail(problem) => {
            Err(Problem::conflict("not_rendered", format!("{}: {}", problem.cause, problem.text)))
        }
    }
}

fn download(media_type: &'static str, bytes: bytes::Bytes) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, bytes).into_response()
}
