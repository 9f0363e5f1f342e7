//! The sums of P4: every delivery that was ever planned is in exactly one state.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use sqlx::SqliteConnection;
use sqlx::sqlite::SqlitePool;

use crate::message::id::{DestinationId, Seq};
use crate::store::sqlite::blocks::{Position, page_of, places_of};
use crate::store::sqlite::dictionary::{Shape, What};
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::outcomes::state_from_number;
use crate::store::sqlite::queries;
use crate::store::sqlite::read::settled_between;
use crate::store::sqlite::shared::Shared;
use crate::store::{Conservation, ExceptionState, StoreError};

type Result<T> = std::result::Result<T, StoreError>;

/// How long one snapshot lasts. As long as it does, the write-ahead log cannot start over.
const SNAPSHOT_MAX: Duration = Duration::from_millis(200);

/// Reads the whole log, a page at a time. Each delivery is judged within one snapshot, and counted once; the
/// snapshot is another every while, and all of them end with the same page of the log.
pub(super) async fn conservation(pool: &SqlitePool, shared: &Shared) -> Result<Vec<Conservation>> {
    let mut sums = BTreeMap::new();
    let mut next = i64::MIN;
    let last = page_of(shared.head());
    while next <= last {
        let mut snapshot = pool.begin().await?;
        let began = Instant::now();
        let rows: Vec<(u32, Vec<u8>)> =
            sqlx::query_as(queries::CURSORS).fetch_all(&mut *snapshot).await?;
        let mut cursors: HashMap<DestinationId, i64> = HashMap::with_capacity(rows.len());
        for (number, bytes) in rows {
            let position = Position::decode(number.into(), &bytes)?;
            cursors.insert(DestinationId(number), position.settled_to.0);
        }
        let (first,): (i64,) = sqlx::query_as(queries::FIRST).fetch_one(&mut *snapshot).await?;
        next = next.max(page_of(Seq(first)));
        while next <= last && began.elapsed() < SNAPSHOT_MAX {
            add_page(&mut snapshot, shared, next, &cursors, &mut sums).await?;
            next += 1;
        }
    }
    Ok(sums.into_values().collect())
}

async fn add_page(
    conn: &mut SqliteConnection,
    shared: &Shared,
    page: i64,
    cursors: &HashMap<DestinationId, i64>,
    sums: &mut BTreeMap<DestinationId, Conservation>,
) -> Result<()> {
    let (from, to) = places_of(page);
    let messages: Vec<(i64, u32)> =
        sqlx::query_as(queries::PLANS_BETWEEN).bind(from).bind(to).fetch_all(&mut *conn).await?;
    let settled: HashSet<(DestinationId, i64)> = settled_between(&mut *conn, page, page)
        .await?
        .into_iter()
        .map(|settled| (settled.destination, settled.seq.0))
        .collect();
    let rows: Vec<(u32, i64, i64)> =
        sqlx::query_as(queries::EXCEPTIONS_BETWEEN).bind(from).bind(to).fetch_all(conn).await?;
    let excepted: HashMap<(DestinationId, i64), Option<ExceptionState>> = rows
        .into_iter()
        .map(|(number, seq, state)| ((DestinationId(number), seq), state_from_number(state)))
        .collect();
    let dictionary = shared.dictionary();
    for (seq, plan) in messages {
        let shapes = dictionary.plans.get(plan).ok_or_else(|| damaged("plan", plan.into()))?;
        for shape in shapes.iter() {
            let delivery = (shape.destination, seq);
            let is_settled = settled.contains(&delivery);
            let exception = excepted.get(&delivery).copied();
            let passed = cursors.get(&shape.destination).is_some_and(|to| *to >= seq);
            let sum = sums.entry(shape.destination).or_default();
            sum.destination = shape.destination.0;
            add(sum, shape, seq, (is_settled, exception, passed));
        }
    }
    Ok(())
}

fn add(
    sum: &mut Conservation,
    shape: &Shape,
    seq: i64,
    (settled, exception, passed): (bool, Option<Option<ExceptionState>>, bool),
) {
    sum.planned += 1;
    let count = match (shape.what, settled, exception) {
        (What::Filtered, false, None) => &mut sum.filtered,
        (What::Filtered, ..) | (_, true, Some(_)) | (_, _, Some(None)) => {
            sum.unaccounted.push(Seq(seq));
            return;
        }
        (_, true, None) => &mut sum.delivered,
        (_, false, Some(Some(ExceptionState::Retry))) => &mut sum.retry,
        (_, false, Some(Some(ExceptionState::Held))) => &mut sum.held,
        (_, false, Some(Some(ExceptionState::Behind))) => &mut sum.behind,
        (_, false, Some(Some(ExceptionState::Dead))) => &mut sum.dead,
        (_, false, Some(Some(ExceptionState::Cancelled))) => &mut sum.cancelled,
        (_, false, None) if !passed => &mut sum.pending,
        (_, false, None) => {
            sum.unaccounted.push(Seq(seq));
            return;
        }
    };
    *count += 1;
}
