//! Writes changes of delivery state inside the committer's transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rusqlite::types::Type;
use rusqlite::{Connection, params};

use crate::message::id::{DestinationId, Seq};
use crate::message::plan::Lane;
use crate::store::sqlite::blocks::{Position, encode, page_of};
use crate::store::sqlite::codec::put_further;
use crate::store::sqlite::queries;
use crate::store::{Attempt, Change, Exception, ExceptionState, Settled};

/// Attempts kept of one delivery: the first few and the last many.
const ATTEMPTS_MAX: u32 = 100;
/// Of these, the first.
const ATTEMPTS_FIRST: u32 = 10;
/// Pages whose last block number is remembered.
const PAGES_MAX: usize = 1024;

/// What the committer keeps in memory of the delivery state. Read again after a rollback.
#[derive(Debug, Default)]
pub(super) struct Positions {
    /// The next place in the log.
    pub(super) next_seq: i64,
    /// By destination.
    pub(super) cursors: HashMap<DestinationId, Position>,
    touched: BTreeSet<DestinationId>,
    /// Destinations that may have exception rows: the others need no look at the table.
    excepted: HashSet<DestinationId>,
    /// The last block number of the pages written last.
    blocks: HashMap<i64, i64>,
}

impl Positions {
    /// Reads them from the database. Costs by the number of destinations.
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let head: i64 = conn.query_row(queries::HEAD, [], |row| row.get(0))?;
        let pruned: i64 = conn.query_row(queries::MARK, ["pruned_to"], |row| row.get(0))?;
        let mut positions = Self { next_seq: head.max(pruned) + 1, ..Self::default() };
        let mut cursors = conn.prepare_cached(queries::CURSORS)?;
        let mut rows = cursors.query([])?;
        while let Some(row) = rows.next()? {
            let number: u32 = row.get(0)?;
            let position = Position::decode(number.into(), row.get_ref(1)?.as_blob()?);
            let position = position.map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(1, Type::Blob, Box::new(error))
            })?;
            positions.cursors.insert(DestinationId(number), position);
        }
        let mut excepted = conn.prepare_cached(queries::HAS_EXCEPTIONS)?;
        let mut rows = excepted.query([])?;
        while let Some(row) = rows.next()? {
            positions.excepted.insert(DestinationId(row.get(0)?));
        }
        Ok(positions)
    }

    /// Applies the changes of one call. Settled deliveries are left to `write`.
    pub(super) fn apply(&mut self, conn: &Connection, changes: &[Change]) -> rusqlite::Result<()> {
        for change in changes {
            match change {
                Change::Settle(delivery) => {
                    self.remove(conn, delivery.destination, delivery.seq)?;
                    self.raise_frontier(delivery.destination, delivery.seq);
                }
                Change::Except(exception) => {
                    upsert(conn, exception)?;
                    self.excepted.insert(exception.destination);
                    self.raise_frontier(exception.destination, exception.seq);
                }
                Change::Clear(destination, seq) => self.remove(conn, *destination, *seq)?,
                Change::Attempt(attempt) => insert_attempt(conn, attempt)?,
                Change::Bundle { destination, first, last } => {
                    let mut upsert = conn.prepare_cached(queries::UPSERT_BUNDLE)?;
                    upsert.execute(params![destination.0, first.0, last.0])?;
                }
                Change::Note(destination, body) => {
                    let mut upsert = conn.prepare_cached(queries::UPSERT_NOTE)?;
                    upsert.execute(params![destination.0, body])?;
                }
                Change::Cursor { destination, settled_to, frontier } => {
                    let position = self.position(*destination);
                    position.settled_to = *settled_to;
                    position.frontier = position.frontier.max(*frontier).max(*settled_to);
                }
            }
        }
        self.put_back(changes);
        Ok(())
    }

    /// A delivery that was cleared at or below its cursor would be in no state after a restart: its
    /// cursor steps back before it.
    fn put_back(&mut self, changes: &[Change]) {
        for (place, change) in changes.iter().enumerate() {
            let Change::Clear(destination, seq) = change else { continue };
            let later = changes.iter().skip(place + 1).any(|change| match change {
                Change::Settle(settled) => {
                    (settled.destination, settled.seq) == (*destination, *seq)
                }
                Change::Except(row) => (row.destination, row.seq) == (*destination, *seq),
                _ => false,
            });
            let position = self.position(*destination);
            if !later && position.settled_to >= *seq {
                position.settled_to = Seq(seq.0 - 1);
            }
        }
    }

    fn position(&mut self, destination: DestinationId) -> &mut Position {
        self.touched.insert(destination);
        self.cursors.entry(destination).or_default()
    }

    fn raise_frontier(&mut self, destination: DestinationId, seq: Seq) {
        if self.cursors.get(&destination).is_none_or(|position| position.frontier < seq) {
            self.position(destination).frontier = seq;
        }
    }

    fn remove(
        &self,
        conn: &Connection,
        destination: DestinationId,
        seq: Seq,
    ) -> rusqlite::Result<()> {
        if self.excepted.contains(&destination) {
            conn.prepare_cached(queries::DELETE_EXCEPTION)?
                .execute(params![destination.0, seq.0])?;
        }
        Ok(())
    }

    /// Writes what the transaction gathered: blocks of settled deliveries, and cursors that moved.
    pub(super) fn write(
        &mut self,
        conn: &Connection,
        settled: &[&Settled],
    ) -> rusqlite::Result<()> {
        let mut pages: BTreeMap<i64, Vec<&Settled>> = BTreeMap::new();
        for delivery in settled {
            pages.entry(page_of(delivery.seq)).or_default().push(delivery);
        }
        for (page, entries) in pages {
            let number = self.next_block(conn, page)?;
            let mut insert = conn.prepare_cached(queries::INSERT_BLOCK)?;
            insert.execute(params![page, number, encode(&entries)])?;
        }
        let mut upsert = conn.prepare_cached(queries::UPSERT_CURSOR)?;
        for destination in std::mem::take(&mut self.touched) {
            let position = self.cursors.get(&destination).copied().unwrap_or_default();
            upsert.execute(params![destination.0, position.encode()])?;
        }
        Ok(())
    }

    fn next_block(&mut self, conn: &Connection, page: i64) -> rusqlite::Result<i64> {
        if self.blocks.len() > PAGES_MAX {
            self.blocks.clear();
        }
        let last = match self.blocks.get(&page) {
            Some(last) => *last,
            None => {
                conn.prepare_cached(queries::LAST_BLOCK)?.query_row([page], |row| row.get(0))?
            }
        };
        self.blocks.insert(page, last + 1);
        Ok(last + 1)
    }
}

/// The stored number of a state.
pub(super) const fn state_number(state: ExceptionState) -> i64 {
    match state {
        ExceptionState::Retry => 1,
        ExceptionState::Held => 2,
        ExceptionState::Behind => 3,
        ExceptionState::Dead => 4,
        ExceptionState::Cancelled => 5,
    }
}

/// The state of a stored number.
pub(super) const fn state_from_number(number: i64) -> Option<ExceptionState> {
    match number {
        1 => Some(ExceptionState::Retry),
        2 => Some(ExceptionState::Held),
        3 => Some(ExceptionState::Behind),
        4 => Some(ExceptionState::Dead),
        5 => Some(ExceptionState::Cancelled),
        _ => None,
    }
}

fn upsert(conn: &Connection, row: &Exception) -> rusqlite::Result<()> {
    conn.prepare_cached(queries::UPSERT_EXCEPTION)?.execute(params![
        row.destination.0,
        row.seq.0,
        row.lane.0.cast_signed(),
        row.joins.lanes().first().map(|Lane(lane)| lane.cast_signed()),
        state_number(row.state),
        row.attempts,
        row.since.0,
        row.due.0,
        row.cause,
        &*row.answer.code,
        row.answer.text,
        row.joins.lanes().get(1..).and_then(put_further),
    ])?;
    Ok(())
}

fn insert_attempt(conn: &Connection, attempt: &Attempt) -> rusqlite::Result<()> {
    let duration_us = i64::try_from(attempt.duration.as_micros()).unwrap_or(i64::MAX);
    conn.prepare_cached(queries::INSERT_ATTEMPT)?.execute(params![
        attempt.seq.0,
        attempt.destination.0,
        attempt.number,
        attempt.at.0,
        duration_us,
        attempt.outcome,
        &*attempt.answer.code,
        attempt.answer.text,
        attempt.sent_hash.cast_signed(),
    ])?;
    if attempt.number > ATTEMPTS_MAX {
        let to = attempt.number - (ATTEMPTS_MAX - ATTEMPTS_FIRST);
        conn.prepare_cached(queries::TRIM_ATTEMPTS)?.execute(params![
            attempt.seq.0,
            attempt.destination.0,
            ATTEMPTS_FIRST + 1,
            to
        ])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_store_keeps_its_cursors() {
        let conn = Connection::open_in_memory().unwrap();
        for schema in [
            include_str!("../../../migrations/sqlite/0001_log.sql"),
            include_str!("../../../migrations/sqlite/0002_resources.sql"),
            include_str!("../../../migrations/sqlite/0003_subscribers.sql"),
            include_str!("../../../migrations/sqlite/0004_joins.sql"),
            include_str!("../../../migrations/sqlite/0005_further.sql"),
        ] {
            conn.execute_batch(schema).unwrap();
        }
        let last = i64::MAX;
        let insert = "INSERT INTO cursor VALUES (1, 0, 0), (2, 70000, 70003), (3, ?1, ?1)";
        conn.execute(insert, [last]).unwrap();
        conn.execute_batch("INSERT INTO settled VALUES (17, 1, x'01')").unwrap();
        conn.execute_batch(include_str!("../../../migrations/sqlite/0006_cursors.sql")).unwrap();
        let cursors = Positions::load(&conn).unwrap().cursors;
        let expected = [(1, 0, 0), (2, 70_000, 70_003), (3, last, last)];
        for (destination, settled_to, frontier) in expected {
            let position = Position { settled_to: Seq(settled_to), frontier: Seq(frontier) };
            assert_eq!(cursors.get(&DestinationId(destination)), Some(&position));
        }
        assert_eq!(cursors.len(), expected.len());
        // Retention, which looks for pages, does not meet them.
        let page = |after: i64| -> Option<i64> {
            conn.query_row(queries::PAGE_AFTER, [after], |row| row.get(0)).unwrap()
        };
        assert_eq!((page(0), page(17)), (Some(17), None));
    }
}
