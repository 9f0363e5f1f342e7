//! Reads of the log and of delivery state, each in one snapshot, by connections that cannot write.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row, SqliteConnection};

use crate::message::id::{DestinationId, Seq, VersionId};
use crate::message::outcome::Answer;
use crate::message::payload::Payload;
use crate::message::plan::{Joins, Lane};
use crate::message::time::Timestamp;
use crate::store::sqlite::blocks::{Position, decode, page_of};
use crate::store::sqlite::codec::further;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::log::envelopes;
use crate::store::sqlite::outcomes::{state_from_number, state_number};
use crate::store::sqlite::queries;
use crate::store::sqlite::shared::Shared;
use crate::store::{
    Attempt, DeliveryView, DestinationState, Exception, ExceptionQuery, ExceptionState, Pause,
    Reject, Settled, StoreError, VersionRecord, VersionSummary,
};

type Result<T> = std::result::Result<T, StoreError>;

/// Every destination ever numbered.
pub(super) async fn destinations(
    pool: &SqlitePool,
) -> Result<Vec<(DestinationId, Box<str>, Box<str>)>> {
    let rows: Vec<(u32, Box<str>, Box<str>)> =
        sqlx::query_as(queries::DESTINATIONS).fetch_all(pool).await?;
    Ok(rows.into_iter().map(|(no, channel, name)| (DestinationId(no), channel, name)).collect())
}

/// What the engine keeps about destinations.
pub(super) async fn notes(pool: &SqlitePool) -> Result<Vec<(DestinationId, Box<[u8]>)>> {
    let rows: Vec<(u32, Vec<u8>)> = sqlx::query_as(queries::NOTES).fetch_all(pool).await?;
    Ok(rows.into_iter().map(|(no, body)| (DestinationId(no), body.into())).collect())
}

/// A channel version.
pub(super) async fn version(pool: &SqlitePool, id: VersionId) -> Result<VersionRecord> {
    let row: Option<(String, Box<str>, Vec<u8>, i64)> =
        sqlx::query_as(queries::VERSION).bind(id.0).fetch_optional(pool).await?;
    let (channel, hash, bundle, applied_at) = row.ok_or(StoreError::Missing)?;
    Ok(VersionRecord { channel: channel.into(), hash, bundle, applied_at: Timestamp(applied_at) })
}

/// The versions of a channel, the newest first.
pub(super) async fn versions(pool: &SqlitePool, channel: &str) -> Result<Vec<VersionSummary>> {
    let rows: Vec<(u32, Box<str>, i64)> =
        sqlx::query_as(queries::CHANNEL_VERSIONS).bind(channel).fetch_all(pool).await?;
    let rows = rows.into_iter().map(|(version, hash, applied_at)| VersionSummary {
        version: VersionId(version),
        hash,
        applied_at: Timestamp(applied_at),
    });
    Ok(rows.collect())
}

/// Refused input, newest first.
pub(super) async fn rejects(
    pool: &SqlitePool,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<(i64, Reject)>> {
    let rows: Vec<(i64, i64, String, String, String, Vec<u8>)> = sqlx::query_as(queries::REJECTS)
        .bind(before.unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(pool)
        .await?;
    let reject =
        |(number, at, channel, peer, reason, payload): (i64, i64, String, _, _, Vec<u8>)| {
            let (at, channel, payload) = (Timestamp(at), channel.into(), Payload::new(payload));
            (number, Reject { at, channel, peer, reason, payload })
        };
    Ok(rows.into_iter().map(reject).collect())
}

/// How far a destination came; `None` before its first outcome.
async fn cursor(conn: &mut SqliteConnection, id: DestinationId) -> Result<Option<Position>> {
    let row: Option<(Vec<u8>,)> =
        sqlx::query_as(queries::CURSOR).bind(id.0).fetch_optional(conn).await?;
    row.map(|(bytes,)| Position::decode(id.0.into(), &bytes)).transpose()
}

/// Where a destination stands.
pub(super) async fn destination_state(
    pool: &SqlitePool,
    id: DestinationId,
) -> Result<DestinationState> {
    let mut snapshot = pool.begin().await?;
    let cursor = cursor(&mut snapshot, id).await?.unwrap_or_default();
    let (settled_to, frontier) = (cursor.settled_to.0, cursor.frontier.0);
    let mut settled_above = Vec::new();
    if frontier > settled_to {
        let (from, to) = (page_of(Seq(settled_to)), page_of(Seq(frontier)));
        for settled in settled_between(&mut snapshot, from, to).await? {
            if settled.destination == id && settled.seq.0 > settled_to {
                settled_above.push(settled.seq);
            }
        }
        settled_above.sort_unstable();
        settled_above.dedup();
    }
    let excepted: Vec<(i64,)> = sqlx::query_as(queries::EXCEPTED_AFTER)
        .bind(id.0)
        .bind(settled_to)
        .fetch_all(&mut *snapshot)
        .await?;
    let blocked: Vec<(i64, i64)> =
        sqlx::query_as(queries::BLOCKED).bind(id.0).fetch_all(&mut *snapshot).await?;
    let many: Vec<(i64, Vec<u8>)> =
        sqlx::query_as(queries::BLOCKED_FURTHER).bind(id.0).fetch_all(&mut *snapshot).await?;
    let paused: Option<(String, String, i64)> =
        sqlx::query_as(queries::PAUSE).bind(id.0).fetch_optional(&mut *snapshot).await?;
    let bundle: Option<(i64, i64)> =
        sqlx::query_as(queries::BUNDLE).bind(id.0).fetch_optional(&mut *snapshot).await?;
    Ok(DestinationState {
        bundle: bundle.map(|(first, last)| (Seq(first), Seq(last))),
        settled_to: Seq(settled_to),
        settled_above,
        excepted_above: excepted.into_iter().map(|(seq,)| Seq(seq)).collect(),
        blocked: sum_lanes(blocked, &many)?,
        paused: paused.map(|(by, reason, at)| Pause { by, reason, at: Timestamp(at) }),
    })
}

/// A merge blocks each of its lanes. Deliveries without a lane block nobody.
fn sum_lanes(rows: Vec<(i64, i64)>, many: &[(i64, Vec<u8>)]) -> Result<Vec<(Lane, u64)>> {
    let mut lanes: HashMap<Lane, u64> = HashMap::new();
    for (lane, count) in rows {
        *lanes.entry(Lane(lane.cast_unsigned())).or_default() += count.cast_unsigned();
    }
    for (seq, lanes_of_row) in many {
        let further = further(lanes_of_row);
        for lane in further.ok_or_else(|| damaged("the exception row of message", *seq))? {
            *lanes.entry(lane).or_default() += 1;
        }
    }
    lanes.remove(&Lane::NONE);
    let mut lanes: Vec<_> = lanes.into_iter().collect();
    lanes.sort_unstable();
    Ok(lanes)
}

/// All settled deliveries of some pages.
pub(super) async fn settled_between(
    conn: &mut SqliteConnection,
    from: i64,
    to: i64,
) -> Result<Vec<Settled>> {
    let blocks: Vec<(i64, Vec<u8>)> =
        sqlx::query_as(queries::BLOCKS).bind(from).bind(to).fetch_all(conn).await?;
    let mut settled = Vec::new();
    for (page, block) in blocks {
        settled.extend(decode(&block).ok_or_else(|| damaged("a settled block of page", page))?);
    }
    Ok(settled)
}

/// Deliveries that the log asks of a destination after a place.
pub(super) async fn count_log(
    pool: &SqlitePool,
    destination: DestinationId,
    after: Seq,
) -> Result<u64> {
    let (count,): (i64,) = sqlx::query_as(queries::COUNT_LOG)
        .bind(after.0)
        .bind(destination.0)
        .fetch_one(pool)
        .await?;
    Ok(count.cast_unsigned())
}

/// Exception rows.
pub(super) async fn exceptions(
    pool: &SqlitePool,
    query: &ExceptionQuery,
) -> Result<Vec<Exception>> {
    let Some(lane) = query.lane else { return page_of_exceptions(pool, query).await };
    let (mut query, mut found) = (query.clone(), Vec::new());
    let wanted = usize::try_from(query.limit).unwrap_or(usize::MAX);
    loop {
        let rows = page_of_exceptions(pool, &query).await?;
        let full = rows.len() >= wanted;
        query.after = rows.last().map(|row| (row.destination, row.seq));
        // A row of more than two lanes comes for each lane that is asked for.
        found.extend(
            rows.into_iter().filter(|row| row.lane == lane || row.joins.lanes().contains(&lane)),
        );
        if found.len() >= wanted || !full {
            found.truncate(wanted);
            return Ok(found);
        }
    }
}

/// Exception rows; those of more than two lanes whatever the lane.
async fn page_of_exceptions(pool: &SqlitePool, query: &ExceptionQuery) -> Result<Vec<Exception>> {
    let (after_destination, after) = query.after.unwrap_or((DestinationId(0), Seq(i64::MIN)));
    let lane = query.lane.map(|lane| lane.0.cast_signed());
    let state = query.state.map(state_number);
    let due = query.due.map(|due| due.0);
    let statement = match (query.destination, lane, due, state) {
        (None, _, _, Some(state)) => sqlx::query(queries::EXCEPTIONS_IN)
            .bind(state)
            .bind(after_destination.0)
            .bind(after.0)
            .bind(lane)
            .bind(due),
        (None, _, _, None) => sqlx::query(queries::EXCEPTIONS)
            .bind(after_destination.0)
            .bind(after.0)
            .bind(lane)
            .bind(due),
        // The page before ended behind this destination.
        (Some(destination), ..) if destination < after_destination => return Ok(Vec::new()),
        (Some(destination), lane, due, state) => {
            let same = destination == after_destination;
            let of = Of { destination, after: if same { after.0 } else { i64::MIN } };
            of.statement(lane, due, state)
        }
    };
    let rows = statement.bind(query.limit).fetch_all(pool).await?;
    rows.iter().map(exception).collect()
}

type Statement = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// Exception rows of one destination, after a place.
struct Of {
    destination: DestinationId,
    after: i64,
}

impl Of {
    /// The statement whose index serves the conditions best; its last argument is the limit.
    fn statement(&self, lane: Option<i64>, due: Option<i64>, state: Option<i64>) -> Statement {
        let Self { destination, after } = self;
        match (lane, due, state) {
            (Some(lane), ..) => sqlx::query(queries::EXCEPTIONS_OF_LANE)
                .bind(destination.0)
                .bind(*after)
                .bind(lane)
                .bind(state)
                .bind(due),
            (None, Some(due), _) => sqlx::query(queries::EXCEPTIONS_OF_DUE)
                .bind(destination.0)
                .bind(due)
                .bind(*after)
                .bind(state),
            (None, None, Some(state)) => {
                sqlx::query(queries::EXCEPTIONS_OF_IN).bind(state).bind(destination.0).bind(*after)
            }
            (None, None, None) => {
                sqlx::query(queries::EXCEPTIONS_OF).bind(destination.0).bind(*after)
            }
        }
    }
}

/// The lanes a row's delivery joins; `None` at damage.
fn joins(row: &SqliteRow) -> Result<Option<Joins>> {
    let Some(first) = row.try_get::<Option<i64>, _>(3)? else { return Ok(Some(Joins::NONE)) };
    let Some(rest) = row.try_get::<Option<&[u8]>, _>(11)? else {
        return Ok(Some(Joins::one(Lane(first.cast_unsigned()))));
    };
    let rest = further(rest);
    Ok(rest.map(|rest| std::iter::once(Lane(first.cast_unsigned())).chain(rest).collect()))
}

fn exception(row: &SqliteRow) -> Result<Exception> {
    let seq: i64 = row.try_get(1)?;
    let state = state_from_number(row.try_get(4)?);
    Ok(Exception {
        destination: DestinationId(row.try_get(0)?),
        seq: Seq(seq),
        lane: Lane(row.try_get::<i64, _>(2)?.cast_unsigned()),
        joins: joins(row)?.ok_or_else(|| damaged("the exception row of message", seq))?,
        state: state.ok_or_else(|| damaged("the exception row of message", seq))?,
        attempts: row.try_get(5)?,
        since: Timestamp(row.try_get(6)?),
        due: Timestamp(row.try_get(7)?),
        cause: row.try_get::<&str, _>(8)?.into(),
        answer: Answer {
            code: row.try_get::<String, _>(9)?.into(),
            text: row.try_get::<&str, _>(10)?.into(),
        },
    })
}

/// What became of a message at each destination of its plan.
pub(super) async fn deliveries(
    pool: &SqlitePool,
    shared: &Arc<Shared>,
    seq: Seq,
) -> Result<Vec<DeliveryView>> {
    let message = envelopes(shared, &[seq]).await?;
    let plan = message.first().map(|message| &message.plan).ok_or(StoreError::Missing)?;
    let mut snapshot = pool.begin().await?;
    let page = page_of(seq);
    let mut settled: HashMap<DestinationId, Settled> = settled_between(&mut snapshot, page, page)
        .await?
        .into_iter()
        .filter(|settled| settled.seq == seq)
        .map(|settled| (settled.destination, settled))
        .collect();
    let mut attempts = attempts(&mut snapshot, seq).await?;
    let mut views = Vec::with_capacity(plan.entries.len());
    for entry in &plan.entries {
        let destination = entry.destination;
        let row = sqlx::query(queries::EXCEPTION)
            .bind(destination.0)
            .bind(seq.0)
            .fetch_optional(&mut *snapshot)
            .await?;
        let exception = row.as_ref().map(exception).transpose()?;
        let cursor = cursor(&mut snapshot, destination).await?;
        let passed = cursor.is_some_and(|cursor| cursor.settled_to >= seq);
        let settled = settled.remove(&destination);
        let filtered = entry.disposition == crate::message::plan::Disposition::Filtered;
        let state = match (filtered, &exception, &settled) {
            (true, ..) => "filtered",
            (false, Some(exception), _) => state_name(exception.state),
            (false, None, Some(_)) => "delivered",
            (false, None, None) if passed => "unaccounted",
            (false, None, None) => "pending",
        };
        let attempts = attempts.remove(&destination).unwrap_or_default();
        let version = entry.version;
        views.push(DeliveryView { destination, version, state, settled, exception, attempts });
    }
    Ok(views)
}

const fn state_name(state: ExceptionState) -> &'static str {
    match state {
        ExceptionState::Retry => "retry",
        ExceptionState::Held => "held",
        ExceptionState::Behind => "behind",
        ExceptionState::Dead => "dead",
        ExceptionState::Cancelled => "cancelled",
    }
}

async fn attempts(
    conn: &mut SqliteConnection,
    seq: Seq,
) -> Result<HashMap<DestinationId, Vec<Attempt>>> {
    let mut attempts: HashMap<DestinationId, Vec<Attempt>> = HashMap::new();
    for row in sqlx::query(queries::ATTEMPTS).bind(seq.0).fetch_all(conn).await? {
        let destination = DestinationId(row.try_get(0)?);
        attempts.entry(destination).or_default().push(Attempt {
            destination,
            seq,
            number: row.try_get(1)?,
            at: Timestamp(row.try_get(2)?),
            duration: Duration::from_micros(row.try_get::<i64, _>(3)?.cast_unsigned()),
            outcome: row.try_get::<&str, _>(4)?.into(),
            answer: Answer {
                code: row.try_get::<String, _>(5)?.into(),
                text: row.try_get::<&str, _>(6)?.into(),
            },
            sent_hash: row.try_get::<i64, _>(7)?.cast_unsigned(),
        });
    }
    Ok(attempts)
}
