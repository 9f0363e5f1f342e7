//! Copies a database while it is written to. The copy is one moment of it: what is committed meanwhile is not in it.

use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, InterruptHandle, OpenFlags};

use crate::store::StoreError;

/// Ends a copy that takes long, from another thread.
#[derive(Default)]
pub struct Abort(Mutex<(bool, Option<InterruptHandle>)>);

impl Abort {
    /// The copy fails now, and so does one that begins later.
    pub fn now(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.0 = true;
        if let Some(handle) = &known.1 {
            handle.interrupt();
        }
    }

    /// A connection that it interrupts.
    fn open(&self, path: &Path) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 {
            return Err(StoreError::Closed);
        }
        known.1 = Some(connection.get_interrupt_handle());
        Ok(connection)
    }
}

fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::Database(error.to_string())
}

/// Writes a database as it is now into a new file, looks whether that is whole, and waits until it is on disk. The
/// write-ahead log of the original grows meanwhile. Reads every page: minutes on large files.
///
/// # Errors
/// When it cannot be read or written, the copy is not whole, or it was aborted.
pub fn copy(from: &Path, to: &Path, abort: &Abort) -> Result<(), StoreError> {
    let connection = abort.open(from)?;
    let no_text = || StoreError::Database(format!("{}: the path is no text", to.display()));
    // The path is bound, not written into the statement: it may hold any sign.
    let name = to.to_str().ok_or_else(no_text)?;
    connection.execute("VACUUM INTO ?1", [name]).map_err(failed)?;
    drop(connection);
    let copied = abort.open(to)?;
    let said: String =
        copied.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if said != "ok" {
        return Err(StoreError::Database(format!("the copy is not whole: {said}")));
    }
    // SQLite does not wait for the disk here.
    let synced = File::open(to).and_then(|file| file.sync_all());
    synced.map_err(|error| StoreError::Disk(format!("{}: {error}", to.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_holds_what_was_committed_and_an_aborted_one_fails() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a'b.db"), folder.path().join("c'd.db"));
        let writer = Connection::open(&from).unwrap();
        writer
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (n); INSERT INTO t VALUES (7); BEGIN; INSERT INTO t VALUES (8);")
            .unwrap();
        copy(&from, &to, &Abort::default()).unwrap();
        let read = Connection::open(&to).unwrap();
        let sum: i64 = read.query_row("SELECT sum(n) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(sum, 7, "what is not committed is not in it");
        assert!(copy(&from, &to, &Abort::default()).is_err(), "nothing is written over");
        let abort = Abort::default();
        abort.now();
        let none = folder.path().join("none.db");
        assert!(copy(&from, &none, &abort).is_err());
        assert!(!none.exists());
    }
}
