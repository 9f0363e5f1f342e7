//! Finds messages by key, channel and time; newest first.

use std::sync::Arc;

use sqlx::sqlite::SqlitePool;

use crate::message::StoredMessage;
use crate::message::id::{MessageId, Seq};
use crate::store::sqlite::dictionary::KEY_ID;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::index::{indexed_part, run_channels};
use crate::store::sqlite::log::envelopes;
use crate::store::sqlite::queries;
use crate::store::sqlite::shared::Shared;
use crate::store::{MessageQuery, StoreError};

/// Messages answered at once, at most.
const LIMIT_MAX: u32 = 1000;
/// Places of the tail looked at when a key is very common and the other conditions are narrow.
const TAIL_PLACES_MAX: usize = 10_000;

type Result<T> = std::result::Result<T, StoreError>;

/// The place of a message.
pub(super) async fn find(pool: &SqlitePool, shared: &Shared, id: MessageId) -> Result<Seq> {
    let value = id.to_bytes();
    let recent = shared.tail().find(KEY_ID, &value).first().copied();
    if let Some(seq) = recent {
        return Ok(seq);
    }
    let conditions =
        Conditions { before: i64::MAX, since: i64::MIN, until: i64::MAX, channel: None };
    let found = in_runs(pool, KEY_ID, &value, &conditions, 1).await?;
    found.first().copied().ok_or(StoreError::Missing)
}

/// What narrows a search besides the key.
struct Conditions {
    before: i64,
    since: i64,
    until: i64,
    channel: Option<u32>,
}

impl Conditions {
    fn fit(&self, message: &StoredMessage, channel: Option<&str>) -> bool {
        let at = message.envelope.received_at.0;
        let same = channel.is_none_or(|channel| channel == &*message.envelope.channel);
        message.seq.0 < self.before && (self.since..self.until).contains(&at) && same
    }
}

/// Messages that match, newest first, without bodies.
pub(super) async fn search(
    pool: &SqlitePool,
    shared: &Arc<Shared>,
    query: &MessageQuery,
) -> Result<Vec<Arc<StoredMessage>>> {
    let limit = query.limit.clamp(1, LIMIT_MAX);
    let channel = match &query.channel {
        Some(name) => match shared.dictionary().channels.number(name) {
            Some(number) => Some(number),
            None => return Ok(Vec::new()),
        },
        None => None,
    };
    let conditions = Conditions {
        before: query.before.map_or(i64::MAX, |before| before.0),
        since: query.since.map_or(i64::MIN, |since| since.0),
        until: query.until.map_or(i64::MAX, |until| until.0),
        channel,
    };
    let Some((name, value)) = &query.key else {
        let places = without_key(pool, shared, &conditions, limit).await?;
        return envelopes(shared, &places).await;
    };
    let names: Vec<u32> = {
        let dictionary = shared.dictionary();
        match name {
            Some(name) => dictionary.key_names.number(name).into_iter().collect(),
            None => dictionary.key_names.numbers().collect(),
        }
    };
    let value = indexed_part(value);
    let mut found = Vec::new();
    for name in names.into_iter().filter(|name| *name != KEY_ID) {
        // The tail first: what moves into a run meanwhile is found there, at worst twice.
        let mut recent = shared.tail().find(name, value);
        recent.retain(|seq| seq.0 < conditions.before);
        recent.truncate(TAIL_PLACES_MAX);
        let recent = envelopes(shared, &recent).await?;
        let fitting = recent
            .into_iter()
            .filter(|message| conditions.fit(message, query.channel.as_deref()))
            .map(|message| message.seq);
        found.extend(fitting.take(usize::try_from(limit).unwrap_or(usize::MAX)));
        found.extend(in_runs(pool, name, value, &conditions, limit).await?);
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.dedup();
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    envelopes(shared, &found).await
}

async fn in_runs(
    pool: &SqlitePool,
    name: u32,
    value: &[u8],
    conditions: &Conditions,
    limit: u32,
) -> Result<Vec<Seq>> {
    let rows: Vec<(i64,)> = sqlx::query_as(queries::SEARCH_KEY)
        .bind(name)
        .bind(value)
        .bind(conditions.before)
        .bind(conditions.channel)
        .bind(conditions.since)
        .bind(conditions.until)
        .bind(limit)
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().map(|(seq,)| Seq(seq)).collect())
}

/// Goes back through the log: first what is not in a run, then the runs that can hold a match.
async fn without_key(
    pool: &SqlitePool,
    shared: &Shared,
    conditions: &Conditions,
    limit: u32,
) -> Result<Vec<Seq>> {
    let indexed_to = shared.tail().indexed_to().0;
    let mut found = Vec::new();
    range(pool, indexed_to.saturating_add(1), conditions.before, conditions, limit, &mut found)
        .await?;
    if found.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
        return Ok(found);
    }
    let runs: Vec<(i64, i64, i64, i64, Vec<u8>)> =
        sqlx::query_as(queries::RUNS).bind(conditions.before).fetch_all(pool).await?;
    for (from, to, received_from, received_to, channels) in runs {
        let channels = run_channels(&channels).ok_or_else(|| damaged("the run from", from))?;
        let in_time = received_to >= conditions.since && received_from < conditions.until;
        // Runs beyond what was read above were written meanwhile; their messages are found already.
        if to > indexed_to
            || !in_time
            || conditions.channel.is_some_and(|channel| !channels.contains(&channel))
        {
            continue;
        }
        range(
            pool,
            from,
            conditions.before.min(to.saturating_add(1)),
            conditions,
            limit,
            &mut found,
        )
        .await?;
        if found.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
            break;
        }
    }
    Ok(found)
}

async fn range(
    pool: &SqlitePool,
    from: i64,
    before: i64,
    conditions: &Conditions,
    limit: u32,
    found: &mut Vec<Seq>,
) -> Result<()> {
    let have = u32::try_from(found.len()).unwrap_or(u32::MAX);
    let rows: Vec<(i64,)> = sqlx::query_as(queries::SEARCH_RANGE)
        .bind(from)
        .bind(before.saturating_sub(1))
        .bind(conditions.channel)
        .bind(conditions.since)
        .bind(conditions.until)
        .bind(limit.saturating_sub(have))
        .fetch_all(pool)
        .await?;
    found.extend(rows.into_iter().map(|(seq,)| Seq(seq)));
    Ok(())
}
