//! A thread beside the committer: reads back the memory of repeats after a start, and copies the
//! write-ahead log into the database so that no commit has to.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use rusqlite::Connection;
use tracing::warn;

use crate::message::id::Seq;
use crate::store::StoreError;
use crate::store::sqlite::error::of_writer;
use crate::store::sqlite::queries;
use crate::store::sqlite::queue::{Known, Queue, Work};
use crate::store::sqlite::shared::Shared;

/// Messages read back at a time.
const CHUNK: i64 = 20_000;

/// The helper's possessions.
pub(super) struct Helper {
    /// A connection of its own.
    pub(super) conn: Connection,
    /// To tell of a failed disk.
    pub(super) shared: Arc<Shared>,
    /// Where what it read goes.
    pub(super) queue: Arc<Queue>,
    /// Asks for a checkpoint; closed when the store ends.
    pub(super) checkpoints: Receiver<()>,
    /// Messages the memory of repeats holds.
    pub(super) duplicates_max: usize,
}

impl Helper {
    /// Works until the committer has ended.
    pub(super) fn run(self) {
        if let Err(error) = self.read_back() {
            warn!(%error, "the memory of repeats could not be read back; repeats are looked up");
        }
        while let Ok(()) = self.checkpoints.recv() {
            match self.conn.query_row(queries::CHECKPOINT, [], |_| Ok(())) {
                Ok(()) => {
                    // Only a closed queue refuses it.
                    drop(self.queue.push(Work::FinishCheckpoint, 0));
                }
                Err(error) => match of_writer(&error) {
                    fatal @ StoreError::Disk(_) => {
                        self.shared.set_broken(&fatal);
                        drop(self.queue.push(Work::FinishCheckpoint, 0));
                    }
                    error => warn!(%error, "checkpoint put off"),
                },
            }
        }
    }

    /// Reads identities from the end of the log backwards, until the memory is full.
    fn read_back(&self) -> rusqlite::Result<()> {
        let mut before = self.shared.head().0.saturating_add(1);
        let mut read = 0_usize;
        let mut query = self.conn.prepare(queries::IDENTITIES_BEFORE)?;
        loop {
            let rows: Vec<(i64, Option<i64>, Option<i64>)> = query
                .query_map([before, CHUNK], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let known: Vec<Known> = rows.iter().copied().filter_map(known).collect();
            read = read.saturating_add(known.len());
            before = rows.last().map_or(before, |(seq, ..)| *seq);
            let last = rows.is_empty() || read >= self.duplicates_max;
            let pushed = self.queue.push(Work::Known(known, last), 0);
            if last || matches!(pushed, Err(StoreError::Closed)) {
                return Ok(());
            }
        }
    }
}

fn known((seq, identity, content): (i64, Option<i64>, Option<i64>)) -> Option<Known> {
    let (identity, content) = (identity?.cast_unsigned(), content?.cast_unsigned());
    Some(Known { identity, content, seq: Seq(seq) })
}
