//! Searches: the index gives candidates by the criterion that promises fewest, and of each the current
//! version is compared in full (`message::criteria`). Results are ordered by the parameters asked for, then
//! by when the resource was first written; a page ends at a resource, so that writes in between move nothing.

use std::collections::{BTreeSet, HashSet};

use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use crate::message::criteria::{SortKey, all_hold, sort_key};
use crate::message::resource::{
    Criterion, IndexValue, Indexed, ResourceKey, ResourcePage, ResourceQuery, ResourceVersion,
    TYPE, Test,
};
use crate::store::StoreError;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::resources::drive::{Driver, Driving};
use crate::store::sqlite::resources::entries::{kind_of, values};
use crate::store::sqlite::resources::queries;
use crate::store::sqlite::resources::read::{Page, kind_slot, list, page};
use crate::store::sqlite::shared::Shared;

/// Resources answered at once, at most.
const LIMIT_MAX: u32 = 1000;
/// Candidates read at a time.
pub(super) const CHUNK: u32 = 512;
/// Resources a chain may lead over.
const CHAIN_MAX: usize = 10_000;

type Result<T> = std::result::Result<T, StoreError>;

/// A candidate that was compared: the resource, its version and what it is sorted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Hit {
    keys: Vec<Order>,
    rid: i64,
    vid: i64,
}

/// A sort key in its direction; resources without one come last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Up(SortKey),
    Down(std::cmp::Reverse<SortKey>),
    Last,
}

/// A search with its chains resolved.
struct Search<'a> {
    query: &'a ResourceQuery,
    kind: Option<u32>,
    criteria: Vec<Resolved>,
}

/// A criterion; with the resources that what it asks elsewhere leads to.
pub(super) struct Resolved {
    pub(super) criterion: Criterion,
    pub(super) targets: Option<Targets>,
}

/// Where a criterion leads that asks other resources.
pub(super) enum Targets {
    /// A chain: a match refers to one of these.
    Referred(HashSet<ResourceKey>),
    /// `_has`: a match has one of these ids.
    Own(HashSet<Box<str>>),
}

impl Resolved {
    fn holds(&self, values: &[IndexValue]) -> bool {
        let Some(targets) = &self.targets else {
            let criteria = std::slice::from_ref(&self.criterion);
            return all_hold(criteria, values, &crate::message::criteria::no_chains);
        };
        let own = values.iter().filter(|one| one.param == self.criterion.param);
        let leads = own.map(|one| &one.value).any(|value| match (targets, value) {
            (Targets::Referred(keys), Indexed::Reference { kind, id }) => {
                keys.contains(&ResourceKey { kind: kind.clone(), id: id.clone() })
            }
            (Targets::Own(ids), Indexed::Token { code, .. }) => ids.contains(code),
            _ => false,
        });
        leads != self.criterion.negate
    }
}

/// Current resources that match.
pub(super) async fn search(
    pool: &SqlitePool,
    shared: &Shared,
    query: &ResourceQuery,
) -> Result<ResourcePage> {
    let limit = usize::try_from(query.limit.clamp(1, LIMIT_MAX)).unwrap_or(usize::MAX);
    let found = found(pool, shared, query, limit).await?;
    let vids: Vec<i64> = found.hits.iter().map(|hit| hit.vid).collect();
    let Page { versions, cut } = page(pool, shared, &vids).await?;
    let next = cut.map(|vid| vid.to_string().into()).or(found.next);
    Ok(ResourcePage { matches: versions, next, total: query.total.then_some(found.total) })
}

/// Places of a page of matches.
#[derive(Default)]
struct Places {
    hits: Vec<Hit>,
    next: Option<Box<str>>,
    total: u64,
}

async fn found(
    pool: &SqlitePool,
    shared: &Shared,
    query: &ResourceQuery,
    limit: usize,
) -> Result<Places> {
    let Some(search) = Search::resolve(pool, shared, query).await? else {
        return Ok(Places::default());
    };
    let after = match &query.page {
        Some(page) => Some(search.place_of(pool, shared, page).await?),
        None => None,
    };
    let (mut hits, total) = search.run(pool, shared, after, limit + 1).await?;
    let is_more = hits.len() > limit;
    hits.truncate(limit);
    let next = hits.last().filter(|_| is_more).map(|hit| hit.vid.to_string().into());
    Ok(Places { hits, next, total })
}

/// Current resources that refer to any of `keys`.
pub(super) async fn referrers(
    pool: &SqlitePool,
    shared: &Shared,
    (kind, param): (&str, &str),
    keys: &[ResourceKey],
    limit: u32,
) -> Result<Vec<ResourceVersion>> {
    let refer = |key: &ResourceKey| Test::Reference { kind: key.kind.clone(), id: key.id.clone() };
    let any = keys.iter().map(refer).collect();
    let query = ResourceQuery {
        kind: kind.into(),
        criteria: vec![Criterion { param: param.into(), any, negate: false }],
        limit,
        ..ResourceQuery::default()
    };
    Ok(search(pool, shared, &query).await?.matches)
}

impl<'a> Search<'a> {
    /// `None` when nothing can match.
    async fn resolve(
        pool: &SqlitePool,
        shared: &Shared,
        query: &'a ResourceQuery,
    ) -> Result<Option<Self>> {
        let kind = match &*query.kind {
            "" => None,
            kind => match kind_slot(shared, kind) {
                Some(slot) => Some(slot),
                None => return Ok(None),
            },
        };
        let mut criteria = Vec::with_capacity(query.criteria.len());
        for criterion in &query.criteria {
            let targets = targets(pool, shared, &query.kind, criterion).await?;
            criteria.push(Resolved { criterion: criterion.clone(), targets });
        }
        Ok(Some(Self { query, kind, criteria }))
    }

    /// Where a page begins: behind the version it names, as that was sorted then.
    async fn place_of(&self, pool: &SqlitePool, shared: &Shared, page: &str) -> Result<Hit> {
        let vid: i64 = page.parse().map_err(|_| StoreError::Missing)?;
        let row: Option<(i64, Vec<u8>)> =
            sqlx::query_as(queries::FOUND_BY_OF).bind(vid).fetch_optional(pool).await?;
        let (rid, found_by) = row.ok_or(StoreError::Missing)?;
        let values = self.values(shared, &found_by, vid)?;
        Ok(self.hit(rid, vid, &values))
    }

    fn values(&self, shared: &Shared, found_by: &[u8], vid: i64) -> Result<Vec<IndexValue>> {
        let wanted = |param: &str| {
            self.criteria.iter().any(|one| &*one.criterion.param == param)
                || self.query.sort.iter().any(|(sort, _)| &**sort == param)
        };
        let dictionary = shared.dictionary();
        let damaged = || damaged("version", vid);
        let mut values = values(found_by, &dictionary.slots, wanted).ok_or_else(damaged)?;
        if wanted(TYPE) {
            let kind = kind_of(found_by, &dictionary.slots).ok_or_else(damaged)?;
            let value = Indexed::Token { system: "".into(), code: kind.into() };
            values.push(IndexValue { param: TYPE.into(), value });
        }
        Ok(values)
    }

    fn hit(&self, rid: i64, vid: i64, values: &[IndexValue]) -> Hit {
        let key = |(param, descending): &(Box<str>, bool)| match (
            sort_key(values, param, *descending),
            descending,
        ) {
            (None, _) => Order::Last,
            (Some(key), false) => Order::Up(key),
            (Some(key), true) => Order::Down(std::cmp::Reverse(key)),
        };
        Hit { keys: self.query.sort.iter().map(key).collect(), rid, vid }
    }

    /// Compares a candidate.
    fn judge(&self, row: &SqliteRow, shared: &Shared) -> Result<Option<Hit>> {
        let (rid, gone, vid): (i64, bool, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if gone {
            return Ok(None);
        }
        let values = self.values(shared, row.try_get(3)?, vid)?;
        let matches = self.criteria.iter().all(|one| one.holds(&values));
        Ok(matches.then(|| self.hit(rid, vid, &values)))
    }

    /// The first `limit` hits after a place, and the number of all when it is asked for.
    async fn run(
        &self,
        pool: &SqlitePool,
        shared: &Shared,
        after: Option<Hit>,
        limit: usize,
    ) -> Result<(Vec<Hit>, u64)> {
        let driving = Driving { pool, shared, kind: self.kind, criteria: &self.criteria };
        let driver = driving.choose().await?;
        // The tail first: what moves into the table meanwhile is found there too.
        let mut recent = self.recent(shared, &driver)?;
        let all = self.query.total || !self.query.sort.is_empty();
        // In the order of the resources themselves, what is behind the page needs no look.
        let mut from = after.as_ref().filter(|_| !all).map_or(0, |after| after.rid);
        let mut best: BTreeSet<Hit> = BTreeSet::new();
        let mut total = 0;
        loop {
            let rows = driver.chunk(pool, from).await?;
            let end: i64 = match rows.last() {
                Some(last) if rows.len() >= usize::try_from(CHUNK).unwrap_or(usize::MAX) => {
                    last.try_get(0)?
                }
                _ => i64::MAX,
            };
            let mut seen = HashSet::with_capacity(rows.len());
            let mut hits = Vec::new();
            for row in &rows {
                if seen.insert(row.try_get::<i64, _>(0)?) {
                    hits.extend(self.judge(row, shared)?);
                }
            }
            let upto: Vec<i64> = recent
                .extract_if(..=end, |_| true)
                .filter(|rid| *rid > from && !seen.contains(rid))
                .collect();
            for row in named(pool, &upto).await? {
                hits.extend(self.judge(&row, shared)?);
            }
            total += u64::try_from(hits.len()).unwrap_or(u64::MAX);
            best.extend(hits.into_iter().filter(|hit| {
                after.as_ref().is_none_or(|after| (&hit.keys, hit.rid) > (&after.keys, after.rid))
            }));
            while best.len() > limit {
                best.pop_last();
            }
            from = end;
            if end == i64::MAX || (!all && best.len() >= limit) {
                return Ok((best.into_iter().collect(), total));
            }
        }
    }

    /// Resources whose newest version in the tail matches.
    fn recent(&self, shared: &Shared, driver: &Driver) -> Result<BTreeSet<i64>> {
        if let Some(places) = driver.places() {
            let tail = shared.resources();
            return Ok(places.iter().flat_map(|(slot, place)| tail.at(*slot, place)).collect());
        }
        let recents = shared.resources().of_kind(self.kind);
        let mut found = BTreeSet::new();
        for recent in recents.into_iter().filter(|recent| !recent.gone) {
            let values = self.values(shared, &recent.found_by, recent.vid)?;
            if self.criteria.iter().all(|one| one.holds(&values)) {
                found.insert(recent.rid);
            }
        }
        Ok(found)
    }
}

async fn named(pool: &SqlitePool, rids: &[i64]) -> Result<Vec<SqliteRow>> {
    if rids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(sqlx::query(queries::CANDIDATES_NAMED).bind(list(rids)).fetch_all(pool).await?)
}

/// The resources that a criterion leads to; `None` when it asks none but the match itself.
async fn targets(
    pool: &SqlitePool,
    shared: &Shared,
    kind: &str,
    criterion: &Criterion,
) -> Result<Option<Targets>> {
    let (mut referred, mut own) = (HashSet::new(), HashSet::new());
    let mut has = false;
    for test in &criterion.any {
        let Some((of, criterion)) = test.elsewhere() else { continue };
        let mut query = ResourceQuery {
            kind: of.into(),
            criteria: vec![criterion.clone()],
            limit: LIMIT_MAX,
            ..ResourceQuery::default()
        };
        loop {
            let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
            let found = Box::pin(found(pool, shared, &query, limit)).await?;
            let rids: Vec<i64> = found.hits.iter().map(|hit| hit.rid).collect();
            if let Test::Has { param, .. } = test {
                has = true;
                own.extend(referred_by(pool, shared, &rids, param, kind).await?);
            } else {
                referred.extend(keys(pool, of, &rids).await?);
            }
            if referred.len().max(own.len()) > CHAIN_MAX {
                return Err(StoreError::TooBroad { limit: CHAIN_MAX });
            }
            let Some(next) = found.next else { break };
            query.page = Some(next);
        }
    }
    let chained = criterion.any.iter().any(|test| test.elsewhere().is_some());
    Ok(chained.then(|| if has { Targets::Own(own) } else { Targets::Referred(referred) }))
}

/// Matches by name only.
async fn keys(pool: &SqlitePool, kind: &str, rids: &[i64]) -> Result<Vec<ResourceKey>> {
    let ids: Vec<(String,)> = sqlx::query_as(queries::IDS).bind(list(rids)).fetch_all(pool).await?;
    Ok(ids.iter().map(|(id,)| ResourceKey::new(kind, id)).collect())
}

/// The ids of the resources of a type that these refer to by a parameter.
async fn referred_by(
    pool: &SqlitePool,
    shared: &Shared,
    rids: &[i64],
    param: &str,
    kind: &str,
) -> Result<Vec<Box<str>>> {
    let mut ids = Vec::new();
    for row in named(pool, rids).await? {
        let vid: i64 = row.try_get(2)?;
        let dictionary = shared.dictionary();
        let found = values(row.try_get(3)?, &dictionary.slots, |of| of == param);
        let found = found.ok_or_else(|| damaged("version", vid))?;
        ids.extend(found.into_iter().filter_map(|one| match one.value {
            Indexed::Reference { kind: of, id } if *of == *kind => Some(id),
            _ => None,
        }));
    }
    Ok(ids)
}
