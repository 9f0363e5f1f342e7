//! What an error of the database means for the store. Texts come from SQLite and name no values.

use rusqlite::ErrorCode;

use crate::store::StoreError;

/// The meaning of an error of the committer's connection, or of another that is not of the pool.
pub(super) fn of_writer(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied,
        ) => StoreError::Disk(error.to_string()),
        _ => StoreError::Database(error.to_string()),
    }
}

/// Whether the same work may succeed later: the database is busy, or memory is short.
pub(super) fn may_pass(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OutOfMemory
        )
    )
}

/// The meaning of an error of a reader.
pub(super) fn of_reader(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::PoolClosed => StoreError::Closed,
        sqlx::Error::Database(inner) => {
            let code = inner.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or(0);
            match code & 0xff {
                10 | 11 | 26 => StoreError::Disk(inner.message().to_owned()),
                _ => StoreError::Database(inner.message().to_owned()),
            }
        }
        other => StoreError::Database(other.to_string()),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        of_writer(&error)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        of_reader(&error)
    }
}

/// A row that cannot be what this binary wrote.
pub(super) fn damaged(what: &str, number: i64) -> StoreError {
    StoreError::Database(format!("{what} {number} is damaged; restore the store from a backup"))
}
