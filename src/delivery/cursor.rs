//! How far a destination got in the log, and what is still open below that.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::message::id::{DestinationId, Seq};
use crate::message::time::Timestamp;
use crate::store::Change;

/// An idle destination writes its cursor when it fell this far behind the log …
const SWEEP_SEQS: i64 = 10_000;
/// … or this long ago, so that a restart reads little.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What was read of the log, and what of that waits in memory. Everything read and not open is
/// settled or stands in an exception row.
#[derive(Debug, Clone)]
pub struct Cursor {
    read_to: Seq,
    open: BTreeSet<Seq>,
    touched: Seq,
    written: (Seq, Seq),
    written_at: Timestamp,
}

impl Cursor {
    /// A cursor as the store has it.
    #[must_use]
    pub const fn new(settled_to: Seq, frontier: Seq, now: Timestamp) -> Self {
        Self {
            read_to: settled_to,
            open: BTreeSet::new(),
            touched: frontier,
            written: (settled_to, frontier),
            written_at: now,
        }
    }

    /// The log was read up to here.
    #[must_use]
    pub const fn read_to(&self) -> Seq {
        self.read_to
    }

    /// The log was read up to `to`.
    pub fn read(&mut self, to: Seq) {
        self.read_to = self.read_to.max(to);
    }

    /// A delivery waits in memory.
    pub fn open(&mut self, seq: Seq) {
        self.open.insert(seq);
    }

    /// A delivery is settled or became an exception row.
    pub fn close(&mut self, seq: Seq) {
        self.open.remove(&seq);
        self.touch(seq);
    }

    /// A delivery beyond what was read got an exception row.
    pub fn touch(&mut self, seq: Seq) {
        self.touched = self.touched.max(seq);
    }

    /// The first delivery that waits in memory.
    #[must_use]
    pub fn first_open(&self) -> Option<Seq> {
        self.open.first().copied()
    }

    /// Everything up to here is settled or in an exception row.
    #[must_use]
    pub fn settled_to(&self) -> Seq {
        self.first_open().map_or(self.read_to, |first| Seq(first.0 - 1))
    }

    /// When it wants to be written for its own sake; `None` when the store has it.
    #[must_use]
    pub fn sweep_at(&self) -> Option<Timestamp> {
        let behind = self.settled_to().0 - self.written.0.0;
        match behind {
            ..=0 => None,
            SWEEP_SEQS.. => Some(self.written_at),
            _ => Some(self.written_at.after(SWEEP_EVERY)),
        }
    }

    /// The change to write, when it moved since the last one.
    pub fn change(&mut self, destination: DestinationId, now: Timestamp) -> Option<Change> {
        let settled_to = self.settled_to();
        let frontier = self.touched.max(settled_to);
        if (settled_to, frontier) == self.written {
            return None;
        }
        self.written = (settled_to, frontier);
        self.written_at = now;
        Some(Change::Cursor { destination, settled_to, frontier })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(change: Option<Change>) -> Option<(i64, i64)> {
        match change {
            Some(Change::Cursor { settled_to, frontier, .. }) => Some((settled_to.0, frontier.0)),
            _ => None,
        }
    }

    #[test]
    fn stops_before_the_first_open_delivery() {
        let mut cursor = Cursor::new(Seq(0), Seq(0), Timestamp(0));
        let id = DestinationId(1);
        for seq in [3, 5, 9] {
            cursor.open(Seq(seq));
        }
        cursor.read(Seq(10));
        assert_eq!(cursor.settled_to(), Seq(2));
        cursor.close(Seq(5));
        assert_eq!(parts(cursor.change(id, Timestamp(0))), Some((2, 5)));
        assert_eq!(parts(cursor.change(id, Timestamp(0))), None);
        cursor.close(Seq(3));
        assert_eq!(parts(cursor.change(id, Timestamp(0))), Some((8, 8)));
        cursor.close(Seq(9));
        assert_eq!(parts(cursor.change(id, Timestamp(0))), Some((10, 10)));
    }

    #[test]
    fn an_idle_cursor_is_written_seldom() {
        let mut cursor = Cursor::new(Seq(0), Seq(0), Timestamp(0));
        assert_eq!(cursor.sweep_at(), None);
        cursor.read(Seq(5));
        assert_eq!(cursor.sweep_at(), Some(Timestamp(1_000_000)));
        cursor.read(Seq(10_000));
        assert_eq!(cursor.sweep_at(), Some(Timestamp(0)));
    }
}
