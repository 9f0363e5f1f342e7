//! Deliveries that left the straight path, and what a person may do with them and with destinations.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::access::door::Actor;
use crate::access::role::View;
use crate::admin::problem::Problem;
use crate::admin::record::Quotes;
use crate::admin::scope;
use crate::delivery::CommandError;
use crate::delivery::queue::{Act, state_name};
use crate::engine::Engine;
use crate::message::id::{DestinationId, MessageId, Seq};
use crate::message::outcome::Answer;
use crate::message::plan::{Disposition, Lane};
use crate::store::{Exception, ExceptionQuery, ExceptionState};

/// Most rows a page.
const PAGE_MAX: u32 = 500;
/// Times the rows are read for one page of somebody who sees only some.
const READS_MAX: u32 = 20;

/// An exception row's fields, as the delivery of a message and the lists show them.
pub(crate) fn exception(exception: &Exception, view: View) -> Value {
    json!({
        "state": state_name(exception.state),
        "cause": &*exception.cause,
        "attempts_made": exception.attempts,
        "since": exception.since.to_string(),
        "due": exception.due.to_string(),
        "code": &*exception.answer.code,
        "text": answer_text(&exception.answer, view),
    })
}

/// A receiver's text may quote the message: shown to those alone who may see messages whole.
pub(crate) fn answer_text(answer: &Answer, view: View) -> &str {
    if view == View::Full { &answer.text } else { "" }
}

pub(crate) fn state_of(name: &str) -> Result<ExceptionState, Problem> {
    [
        ExceptionState::Retry,
        ExceptionState::Held,
        ExceptionState::Behind,
        ExceptionState::Dead,
        ExceptionState::Cancelled,
    ]
    .into_iter()
    .find(|state| state_name(*state) == name)
    .ok_or_else(|| {
        Problem::bad("bad_state", "a state is one of retry, held, behind, dead, cancelled")
    })
}

/// Which rows.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ExceptionSearch)]
pub(crate) struct Search {
    state: Option<String>,
    /// `channel/destination`.
    destination: Option<String>,
    /// A message's id: only deliveries of `destination` that stand in one lane with it, in any of its lanes. Those
    /// wait for each other.
    lane_of: Option<String>,
    /// `next` of the page before.
    after: Option<(u32, i64)>,
    limit: Option<u32>,
}

/// Lists deliveries that left the straight path.
pub(crate) async fn exceptions(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Json(search): Json<Search>,
) -> Result<(Option<Extension<Quotes>>, Json<Value>), Problem> {
    let limit = search.limit.unwrap_or(100).clamp(1, PAGE_MAX);
    let destination = match &search.destination {
        None => None,
        Some(name) => Some(scope::destination(&engine, &actor, name)?),
    };
    let query = ExceptionQuery {
        destination,
        state: search.state.as_deref().map(state_of).transpose()?,
        after: search.after.map(|(destination, seq)| (DestinationId(destination), Seq(seq))),
        limit,
        ..ExceptionQuery::default()
    };
    let lanes = match &search.lane_of {
        None => None,
        Some(id) => Some(lanes_of(&engine, &actor, destination, id).await?),
    };
    let (rows, next) = seen_rows(&engine, &actor, query, lanes.as_deref()).await?;
    let quotes = rows.iter().map(|row| {
        let said = answer_text(&row.answer, actor.view).to_owned();
        (format!("{}/{}", row.destination.0, row.seq.0), said)
    });
    let quotes = Quotes::of(quotes);
    let seqs: Vec<Seq> = rows.iter().map(|row| row.seq).collect();
    let messages = engine.store().messages(&seqs).await?;
    let mut list = Vec::with_capacity(rows.len());
    for row in &rows {
        let message = messages.iter().find(|message| message.seq == row.seq);
        let mut value = exception(row, actor.view);
        if let Some(object) = value.as_object_mut() {
            object
                .insert("destination".to_owned(), json!(engine.destination_name(row.destination)));
            object.insert("seq".to_owned(), json!(row.seq.0));
            let id = message.map(|message| message.envelope.id.to_string());
            object.insert("message".to_owned(), json!(id));
        }
        list.push(value);
    }
    Ok((quotes.map(Extension), Json(json!({"exceptions": list, "next": next}))))
}

/// The lanes of a message at a destination: of nobody who has no order there. That two messages stand in one says
/// that they are of one patient.
async fn lanes_of(
    engine: &Engine,
    actor: &Actor,
    destination: Option<DestinationId>,
    id: &str,
) -> Result<Vec<Lane>, Problem> {
    if actor.view < View::Metadata {
        return Err(Problem::hidden(actor.view, View::Metadata));
    }
    let destination = destination.ok_or_else(|| {
        Problem::bad("bad_request", "`lane_of` needs `destination`: lanes are of one destination")
    })?;
    let id =
        MessageId::parse(id).ok_or_else(|| Problem::bad("bad_id", "a message id is a UUID"))?;
    let seq = engine.store().find(id).await?;
    let messages = engine.store().messages(&[seq]).await?;
    let message = messages.first().filter(|message| scope::sees_message(engine, actor, message));
    let message = message.ok_or_else(|| Problem::missing("message"))?;
    Ok(match message.plan.entry(destination).map(|entry| &entry.disposition) {
        Some(Disposition::Deliver { lane, joins } | Disposition::Hold { lane, joins }) => {
            let all = std::iter::once(*lane).chain(joins.lanes().iter().copied());
            all.filter(|lane| *lane != Lane::NONE).collect()
        }
        Some(Disposition::Filtered) | None => Vec::new(),
    })
}

/// A page of rows, of these lanes alone where some are given.
async fn page(
    engine: &Engine,
    query: &ExceptionQuery,
    lanes: Option<&[Lane]>,
) -> Result<Vec<Exception>, Problem> {
    let Some(lanes) = lanes else { return Ok(engine.store().exceptions(query.clone()).await?) };
    let mut rows = Vec::new();
    for lane in lanes {
        let query = ExceptionQuery { lane: Some(*lane), ..query.clone() };
        rows.extend(engine.store().exceptions(query).await?);
    }
    // A merge stands in several.
    rows.sort_by_key(|row| (row.destination, row.seq));
    rows.dedup_by_key(|row| (row.destination, row.seq));
    rows.truncate(usize::try_from(query.limit).unwrap_or(usize::MAX));
    Ok(rows)
}

/// Where the next page begins.
type Next = Option<(u32, i64)>;

/// A page of rows that the actor sees, and where the next one begins. Who sees only some is given full pages of
/// these, within limits.
async fn seen_rows(
    engine: &Engine,
    actor: &Actor,
    mut query: ExceptionQuery,
    lanes: Option<&[Lane]>,
) -> Result<(Vec<Exception>, Next), Problem> {
    let wanted = usize::try_from(query.limit).unwrap_or(usize::MAX);
    if !scope::sees_all(actor) {
        query.limit = PAGE_MAX;
    }
    let (mut seen, mut next) = (Vec::new(), None);
    for _ in 0..READS_MAX {
        let rows = page(engine, &query, lanes).await?;
        let full = u32::try_from(rows.len()).is_ok_and(|count| count >= query.limit);
        query.after = rows.last().map(|row| (row.destination, row.seq));
        next = query.after.filter(|_| full);
        let mut rows = rows.into_iter().peekable();
        while let Some(row) = rows.next() {
            let place = (row.destination, row.seq);
            if scope::sees_destination(engine, actor, row.destination) {
                seen.push(row);
            }
            if seen.len() >= wanted {
                next = Some(place).filter(|_| full || rows.peek().is_some());
                return Ok((seen, next.map(|(destination, seq)| (destination.0, seq.0))));
            }
        }
        if !full {
            break;
        }
    }
    Ok((seen, next.map(|(destination, seq)| (destination.0, seq.0))))
}

/// Why somebody does something. It goes on record.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    reason: String,
}

impl Reason {
    pub(crate) fn text(self) -> Result<String, Problem> {
        is_said(&self.reason)?;
        Ok(self.reason)
    }
}

/// A reason that says nothing is none.
pub(crate) fn is_said(reason: &str) -> Result<(), Problem> {
    if reason.trim().is_empty() {
        return Err(Problem::bad("no_reason", "a reason is required: it goes on record"));
    }
    Ok(())
}

fn refused(error: CommandError) -> Problem {
    Problem::conflict("not_possible", error.to_string())
}

/// Pauses or resumes a destination.
pub(crate) async fn destination_act(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path((channel, destination, act)): Path<(String, String, String)>,
    Json(reason): Json<Reason>,
) -> Result<Json<Value>, Problem> {
    let id = scope::destination(&engine, &actor, &format!("{channel}/{destination}"))?;
    let (deliveries, reason) = (engine.deliveries(), reason.text()?);
    match act.as_str() {
        "pause" => deliveries.pause(id, &actor.name, &reason).await.map_err(refused)?,
        "resume" => deliveries.resume(id, &actor.name, &reason).await.map_err(refused)?,
        _ => return Err(Problem::missing("act: pause or resume")),
    }
    Ok(Json(json!({"done": act})))
}

/// Retries, releases, skips, sets aside or cancels one delivery.
pub(crate) async fn delivery_act(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path((channel, destination, message, act)): Path<(String, String, String, String)>,
    Json(reason): Json<Reason>,
) -> Result<Json<Value>, Problem> {
    let id = scope::destination(&engine, &actor, &format!("{channel}/{destination}"))?;
    let message = MessageId::parse(&message)
        .ok_or_else(|| Problem::bad("bad_id", "a message id is a UUID"))?;
    let seq = engine.store().find(message).await?;
    let (deliveries, reason) = (engine.deliveries(), reason.text()?);
    let done = match act.as_str() {
        "retry" if is_dead(&engine, id, seq).await? => {
            deliveries.retry_dead(id, seq, &actor.name, &reason).await
        }
        "retry" => deliveries.act(id, Act::RetryNow, seq, &actor.name, &reason).await,
        "release" => deliveries.act(id, Act::Release, seq, &actor.name, &reason).await,
        "skip" => deliveries.act(id, Act::Skip, seq, &actor.name, &reason).await,
        "dead-letter" => deliveries.act(id, Act::DeadLetter, seq, &actor.name, &reason).await,
        "cancel" => deliveries.act(id, Act::Cancel, seq, &actor.name, &reason).await,
        _ => return Err(Problem::missing("act: retry, release, skip, dead-letter or cancel")),
    };
    done.map_err(refused)?;
    Ok(Json(json!({"done": act})))
}

/// Dead letters go back into their lane; what only waits for its time is tried now.
async fn is_dead(engine: &Engine, destination: DestinationId, seq: Seq) -> Result<bool, Problem> {
    let views = engine.store().deliveries(seq).await?;
    let view = views.iter().find(|view| view.destination == destination);
    let state = view.and_then(|view| view.exception.as_ref()).map(|exception| exception.state);
    Ok(state == Some(ExceptionState::Dead))
}
