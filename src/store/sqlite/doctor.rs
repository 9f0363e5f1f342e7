//! Looks at a database file from outside: is it whole?

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::store::StoreError;

/// Faults of the file in SQLite's words; empty when it is whole. Reads every page: minutes on large files.
///
/// # Errors
/// When the file cannot be opened or read at all.
pub fn integrity(path: &Path) -> Result<Vec<String>, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error: rusqlite::Error| StoreError::Database(error.to_string());
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    let mut statement = connection.prepare("PRAGMA integrity_check").map_err(failed)?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0)).map_err(failed)?;
    let lines: Vec<String> = lines.collect::<Result<_, _>>().map_err(failed)?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}
