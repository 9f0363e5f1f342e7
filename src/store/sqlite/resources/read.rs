//! Reads versions, histories and events.

use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use crate::message::id::{DestinationId, Seq};
use crate::message::payload::Payload;
use crate::message::resource::{
    HistoryQuery, Interaction, ResourceKey, ResourcePage, ResourceVersion,
};
use crate::message::time::Timestamp;
use crate::store::StoreError;
use crate::store::resources::EventCount;
use crate::store::sqlite::codec::decompress;
use crate::store::sqlite::dictionary::{KEY_EVENT, event_key, event_number};
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::resources::entries::{Place, of_code};
use crate::store::sqlite::resources::{ID, queries, slot_name};
use crate::store::sqlite::shared::Shared;

/// Versions answered at once, at most.
const LIMIT_MAX: u32 = 1000;
/// Bytes of the bodies answered at once: a page of large resources ends early, and goes on behind its last.
const BYTES_MAX: usize = 16 << 20;
/// Versions are written in the order of their times but for requests that overtook each other: a history
/// read backwards has passed a moment when it is this much before it.
const OVERTAKING_US: i64 = 600_000_000;

type Result<T> = std::result::Result<T, StoreError>;

/// The slot of a type; `None` when no resource of it was ever written.
pub(super) fn kind_slot(shared: &Shared, kind: &str) -> Option<u32> {
    shared.dictionary().slots.number(&slot_name(kind, ID))
}

/// A number that grows with every write of a type.
pub(super) async fn clock(pool: &SqlitePool, shared: &Shared, kind: &str) -> Result<i64> {
    let (clock,): (i64,) = if kind.is_empty() {
        sqlx::query_as(queries::CLOCK).fetch_one(pool).await?
    } else {
        let Some(slot) = kind_slot(shared, kind) else { return Ok(0) };
        sqlx::query_as(queries::CLOCK_OF_KIND).bind(slot).fetch_one(pool).await?
    };
    Ok(clock)
}

/// Numbers as `json_each` reads them.
pub(super) fn list(numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("[{}]", numbers.join(","))
}

/// The place and the current version of a resource: rid and vid.
async fn find(pool: &SqlitePool, shared: &Shared, key: &ResourceKey) -> Result<Option<(i64, i64)>> {
    let Some(kind) = kind_slot(shared, &key.kind) else { return Ok(None) };
    let place = of_code(&key.id);
    let rid = shared.resources().rid(kind, &key.id, &place);
    let found: Option<(i64, i64)> = match (rid, place) {
        (Some(rid), _) => {
            sqlx::query_as(queries::RESOURCE_BY_RID).bind(rid).fetch_optional(pool).await?
        }
        (None, Place::Number(place)) => {
            sqlx::query_as(queries::RESOURCE_BY_ID)
                .bind(kind)
                .bind(place)
                .bind(&*key.id)
                .fetch_optional(pool)
                .await?
        }
        (None, Place::Text(_)) => None,
    };
    Ok(found)
}

/// The current version, deleted or not.
pub(super) async fn current(
    pool: &SqlitePool,
    shared: &Shared,
    key: &ResourceKey,
) -> Result<Option<ResourceVersion>> {
    let Some((_, vid)) = find(pool, shared, key).await? else { return Ok(None) };
    Ok(versions(pool, shared, &[vid]).await?.pop())
}

/// One version.
pub(super) async fn version(
    pool: &SqlitePool,
    shared: &Shared,
    key: &ResourceKey,
    version: u64,
) -> Result<Option<ResourceVersion>> {
    let Some((_, vid)) = find(pool, shared, key).await? else { return Ok(None) };
    let version = i64::try_from(version).unwrap_or(i64::MAX);
    let found = chain(pool, vid, Chain { version, ..Chain::all(1) }).await?;
    let found = versions(pool, shared, &found).await?.pop();
    Ok(found.filter(|found| found.version == version.cast_unsigned()))
}

/// What is wanted of the versions of one resource.
struct Chain {
    before: i64,
    version: i64,
    since: i64,
    limit: u32,
}

impl Chain {
    const fn all(limit: u32) -> Self {
        Self { before: i64::MAX, version: i64::MAX, since: i64::MIN, limit }
    }
}

async fn chain(pool: &SqlitePool, vid: i64, wanted: Chain) -> Result<Vec<i64>> {
    let rows: Vec<(i64,)> = sqlx::query_as(queries::CHAIN)
        .bind(vid)
        .bind(wanted.before)
        .bind(wanted.version)
        .bind(wanted.since)
        .bind(wanted.limit)
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().map(|(vid,)| vid).collect())
}

/// Versions, newest first.
pub(super) async fn history(
    pool: &SqlitePool,
    shared: &Shared,
    query: &HistoryQuery,
) -> Result<ResourcePage> {
    let limit = query.limit.clamp(1, LIMIT_MAX);
    let more = limit.saturating_add(1);
    let before = match &query.page {
        Some(page) => page.parse().map_err(|_| StoreError::Missing)?,
        None => i64::MAX,
    };
    let since = query.since.map_or(i64::MIN, |since| since.0);
    let mut found = if query.id.is_empty() {
        match (query.kind.is_empty(), kind_slot(shared, &query.kind)) {
            (true, _) => backwards(pool, None, before, since, more).await?,
            (false, Some(slot)) => backwards(pool, Some(slot), before, since, more).await?,
            (false, None) => Vec::new(),
        }
    } else {
        let key = ResourceKey { kind: query.kind.clone(), id: query.id.clone() };
        match find(pool, shared, &key).await? {
            Some((_, vid)) => chain(pool, vid, Chain { before, since, ..Chain::all(more) }).await?,
            None => Vec::new(),
        }
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_more = found.len() > limit;
    found.truncate(limit);
    let Page { versions, cut } = page(pool, shared, &found).await?;
    let next = cut.or_else(|| found.last().copied().filter(|_| is_more));
    let next = next.map(|vid| vid.to_string().into());
    Ok(ResourcePage { matches: versions, next, total: None })
}

/// Back through the versions of a type, or of all.
async fn backwards(
    pool: &SqlitePool,
    kind: Option<u32>,
    before: i64,
    since: i64,
    limit: u32,
) -> Result<Vec<i64>> {
    let (mut found, mut before) = (Vec::new(), before);
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    loop {
        let rows: Vec<(i64, i64)> = match kind {
            Some(kind) => sqlx::query_as(queries::HISTORY_OF_KIND).bind(kind),
            None => sqlx::query_as(queries::HISTORY),
        }
        .bind(before)
        .bind(limit)
        .fetch_all(pool)
        .await?;
        let Some((last, at)) = rows.last().copied() else { return Ok(found) };
        found.extend(rows.iter().filter(|(_, at)| *at >= since).map(|(vid, _)| *vid));
        if found.len() >= wanted || at < since.saturating_sub(OVERTAKING_US) {
            found.truncate(wanted);
            return Ok(found);
        }
        before = last;
    }
}

/// Versions of one page.
pub(super) struct Page {
    pub(super) versions: Vec<ResourceVersion>,
    /// The last of them, when there was no room for more.
    pub(super) cut: Option<i64>,
}

/// Versions by number, in the order asked, as many as there is room for, and at least one.
pub(super) async fn page(pool: &SqlitePool, shared: &Shared, vids: &[i64]) -> Result<Page> {
    let (mut page, mut bytes) = (Page { versions: Vec::new(), cut: None }, 0_usize);
    let numbers = list(vids);
    let mut rows = sqlx::query(queries::VERSIONS).bind(numbers).fetch(pool);
    let mut last = None;
    while let Some(row) = rows.try_next().await? {
        if bytes >= BYTES_MAX {
            page.cut = last;
            break;
        }
        let version = read(&row, shared)?;
        bytes = bytes.saturating_add(version.body.len());
        last = Some(row.try_get(0)?);
        page.versions.push(version);
    }
    Ok(page)
}

/// Versions by number, in the order asked; those that are gone are left out.
pub(super) async fn versions(
    pool: &SqlitePool,
    shared: &Shared,
    vids: &[i64],
) -> Result<Vec<ResourceVersion>> {
    if vids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(queries::VERSIONS).bind(list(vids)).fetch_all(pool).await?;
    rows.iter().map(|row| read(row, shared)).collect()
}

fn read(row: &SqliteRow, shared: &Shared) -> Result<ResourceVersion> {
    let vid: i64 = row.try_get(0)?;
    let damaged = || damaged("version", vid);
    let dictionary = shared.dictionary();
    let kind = dictionary.slots.get(row.try_get(2)?).and_then(|name| name.split_once('.'));
    let (kind, _) = kind.ok_or_else(damaged)?;
    let body: &[u8] = row.try_get(8)?;
    let body = decompress(row.try_get(7)?, body.into()).ok_or_else(damaged)?;
    Ok(ResourceVersion {
        key: ResourceKey::new(kind, row.try_get(1)?),
        version: row.try_get::<i64, _>(3)?.cast_unsigned(),
        interaction: Interaction::from_number(row.try_get(4)?),
        at: Timestamp(row.try_get(5)?),
        seq: row.try_get::<Option<i64>, _>(6)?.map(Seq),
        body: Payload::new(body),
    })
}

/// Where a subscription's events stand.
pub(super) async fn event_count(
    pool: &SqlitePool,
    subscription: DestinationId,
) -> Result<EventCount> {
    let row: Option<(i64,)> =
        sqlx::query_as(queries::EVENT_COUNT).bind(subscription.0).fetch_optional(pool).await?;
    Ok(EventCount { last: row.map_or(0, |(last,)| last.cast_unsigned()) })
}

/// Events by number, ascending.
pub(super) async fn events(
    pool: &SqlitePool,
    shared: &Shared,
    subscription: DestinationId,
    (from, to): (u64, u64),
    limit: u32,
) -> Result<Vec<(u64, Seq)>> {
    let limit = limit.clamp(1, LIMIT_MAX);
    let (from, to) = (event_key(subscription, from), event_key(subscription, to));
    // The tail first: what moves into a run meanwhile is found there, at worst twice.
    let mut found: Vec<(u64, Seq)> = shared
        .tail()
        .find_between(KEY_EVENT, &from, &to)
        .into_iter()
        .filter_map(|(value, seq)| Some((event_number(&value)?, seq)))
        .collect();
    let rows: Vec<(Vec<u8>, i64)> = sqlx::query_as(queries::EVENTS)
        .bind(KEY_EVENT)
        .bind(from.as_slice())
        .bind(to.as_slice())
        .bind(limit)
        .fetch_all(pool)
        .await?;
    found.extend(
        rows.into_iter().filter_map(|(value, seq)| Some((event_number(&value)?, Seq(seq)))),
    );
    found.sort_unstable();
    found.dedup();
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found)
}
