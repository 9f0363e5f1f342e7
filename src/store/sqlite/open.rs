//! Opens a store, or says why it must not be opened and how to fix that.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection as _};
use tracing::{info, warn};

use crate::message::id::{DestinationId, VersionId};
use crate::store::StoreError;
use crate::store::sqlite::dictionary::{Dictionary, Shape, What};
use crate::store::sqlite::error::{damaged, of_writer};
use crate::store::sqlite::queries;
use crate::store::sqlite::shared::beside;

/// Before it, a write-ahead log could lose committed pages.
const SQLITE_MIN: (u32, u32, u32) = (3, 51, 3);
/// How long a connection waits for another one's lock.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a read waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Statements kept prepared by the committer: more than there are.
const STATEMENTS: usize = 192;
/// What the committer's connection must be told. The write-ahead log is never cut, since writing over
/// a file costs half of growing it, and never copied back inside a commit.
const WRITER_PRAGMAS: &str = "PRAGMA page_size = 8192;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA journal_size_limit = -1;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -16384;
    PRAGMA foreign_keys = OFF;";

/// File systems whose locks or shared memory SQLite's write-ahead log must not trust.
const NETWORK_FILE_SYSTEMS: [&str; 14] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "ceph",
    "afs",
    "ncpfs",
    "glusterfs",
    "lustre",
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.s3fs",
];

fn refuse(text: String) -> StoreError {
    StoreError::Unsafe(text)
}

/// Takes the lock that keeps a second process away. It is released when the file is dropped.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = beside(path, "-lock");
    let file = File::create(&lock_path).map_err(|error| {
        refuse(format!(
            "cannot create the lock file {}: {error}; make the data directory writable",
            lock_path.display()
        ))
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(refuse(format!(
            "another process has the store {} open; stop it first, or give this one its own data \
             directory",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(refuse(format!(
            "cannot lock {}: {error}; put the data directory on a local file system",
            lock_path.display()
        ))),
    }
}

/// Refuses network file systems, by the list of mounts of this machine.
pub(super) fn check_file_system(path: &Path) -> Result<(), StoreError> {
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mounts") else { return Ok(()) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    judge_file_system(&mounts, &folder)
}

fn judge_file_system(mounts: &str, folder: &Path) -> Result<(), StoreError> {
    let Some(kind) = file_system_of(mounts, folder) else { return Ok(()) };
    if NETWORK_FILE_SYSTEMS.contains(&kind) {
        return Err(refuse(format!(
            "{} lies on a network file system ({kind}), where SQLite can lose committed data; put \
             the data directory on a local disk",
            folder.display()
        )));
    }
    if kind.starts_with("fuse") {
        warn!(
            file_system = kind,
            "the data directory lies on FUSE; make sure that it honours fsync"
        );
    }
    Ok(())
}

/// The type of the file system that holds `folder`: the last of the longest matching mounts.
fn file_system_of<'a>(mounts: &'a str, folder: &Path) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut words = line.split(' ');
        let (Some(_), Some(place), Some(kind)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let place = place.replace("\\040", " ");
        let fits = folder.starts_with(&place);
        if fits && best.is_none_or(|(length, _)| place.len() >= length) {
            best = Some((place.len(), kind));
        }
    }
    best.map(|(_, kind)| kind)
}

/// Opens the committer's connection with its settings, and checks that they took.
pub(super) fn writer(path: &Path) -> Result<Connection, StoreError> {
    let conn = Connection::open(path).map_err(|error| {
        refuse(format!("cannot open the store {}: {error}; check its rights", path.display()))
    })?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(|error| of_writer(&error))?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.execute_batch(WRITER_PRAGMAS).map_err(|error| match of_writer(&error) {
        StoreError::Disk(text) => refuse(format!(
            "{} is no readable store ({text}); restore it from a backup",
            path.display()
        )),
        other => other,
    })?;
    let settings = settings(&conn).map_err(|error| of_writer(&error))?;
    check_settings(&settings)?;
    check_schema(&conn, path)?;
    Ok(conn)
}

/// A further connection beside the committer's, with the same settings.
pub(super) fn helper(path: &Path) -> Result<Connection, StoreError> {
    let conn = Connection::open(path).map_err(|error| of_writer(&error))?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(|error| of_writer(&error))?;
    conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;")
        .map_err(|error| of_writer(&error))?;
    Ok(conn)
}

/// A connection that cannot write.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    Ok(conn)
}

struct Settings {
    version: String,
    journal_mode: String,
    synchronous: i64,
}

fn settings(conn: &Connection) -> rusqlite::Result<Settings> {
    let one = |sql: &str| conn.query_row(sql, [], |row| row.get(0));
    Ok(Settings {
        version: one(queries::SQLITE_VERSION)?,
        journal_mode: one("PRAGMA journal_mode")?,
        synchronous: conn.query_row("PRAGMA synchronous", [], |row| row.get(0))?,
    })
}

fn check_settings(settings: &Settings) -> Result<(), StoreError> {
    let Settings { version, journal_mode, synchronous } = settings;
    if version_of(version).is_none_or(|version| version < SQLITE_MIN) {
        let (major, minor, patch) = SQLITE_MIN;
        return Err(refuse(format!(
            "SQLite {version} can lose committed data; build with {major}.{minor}.{patch} or newer"
        )));
    }
    if journal_mode != "wal" {
        return Err(refuse(format!(
            "the store's journal mode is `{journal_mode}`, not `wal`; move the data directory to a \
             local file system with shared memory"
        )));
    }
    if *synchronous < 2 {
        return Err(refuse(format!(
            "the store's `synchronous` is {synchronous}, below FULL: a power cut would lose \
             acknowledged messages; do not build SQLite with a lower default that cannot be raised"
        )));
    }
    Ok(())
}

fn version_of(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

fn check_schema(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
    let found = match count(queries::HAS_SCHEMA).map_err(|error| of_writer(&error))? {
        0 => 0,
        _ => count(queries::SCHEMA_VERSION).map_err(|error| of_writer(&error))?,
    };
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    if found > known {
        return Err(refuse(format!(
            "the store {} has schema {found}, this binary knows up to {known}; start the newer \
             version, or restore the backup made before the upgrade",
            path.display()
        )));
    }
    Ok(())
}

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// Brings the schema up to this binary's.
pub(super) async fn migrate(path: &Path) -> Result<(), StoreError> {
    let options = options(path).pragma("synchronous", "FULL");
    let mut conn = options.connect().await?;
    let done = MIGRATIONS.run(&mut conn).await;
    conn.close().await?;
    done.map_err(|error| {
        refuse(format!(
            "the store {} cannot be brought to this version's schema: {error}; restore the backup \
             made before the upgrade",
            path.display()
        ))
    })
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(false)
        .disable_statement_logging()
}

/// The readers: a few connections that cannot write.
pub(super) fn readers(path: &Path, count: u32) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(count)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options(path).read_only(true))
}

/// Reads the words of the store.
pub(super) fn dictionary(conn: &Connection) -> Result<Dictionary, StoreError> {
    let mut dictionary = Dictionary::default();
    let read = |sql: &str| -> rusqlite::Result<Vec<(u32, String)>> {
        conn.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    for (number, name) in read(queries::CHANNELS).map_err(|error| of_writer(&error))? {
        dictionary.channels.put(number, name.into());
    }
    for (number, name) in read(queries::KEY_NAMES).map_err(|error| of_writer(&error))? {
        dictionary.key_names.put(number, name.into());
    }
    for (number, name) in read(queries::SLOTS).map_err(|error| of_writer(&error))? {
        dictionary.slots.put(number, name.into());
    }
    for (number, shapes) in plans(conn)? {
        dictionary.put_plan(number, shapes.into());
    }
    info!(channels = dictionary.channels.numbers().count(), "store opened");
    Ok(dictionary)
}

fn plans(conn: &Connection) -> Result<Vec<(u32, Vec<Shape>)>, StoreError> {
    let mut plans: Vec<(u32, Vec<Shape>)> = Vec::new();
    let mut statement = conn.prepare(queries::PLANS).map_err(|error| of_writer(&error))?;
    let mut rows = statement.query([]).map_err(|error| of_writer(&error))?;
    while let Some(row) = rows.next().map_err(|error| of_writer(&error))? {
        let (number, shape) = plan_row(row).map_err(|error| of_writer(&error))?;
        if plans.last().is_none_or(|(last, _)| *last != number) {
            plans.push((number, Vec::new()));
        }
        let Some((destination, version, what)) = shape else { continue };
        let what = What::from_number(what).ok_or_else(|| damaged("plan", number.into()))?;
        if let Some((_, shapes)) = plans.last_mut() {
            shapes.push(Shape { destination, version, what });
        }
    }
    Ok(plans)
}

type PlanRow = (u32, Option<(DestinationId, VersionId, i64)>);

fn plan_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<PlanRow> {
    let destination: Option<u32> = row.get(1)?;
    let shape = match destination {
        Some(number) => Some((DestinationId(number), VersionId(row.get(2)?), row.get(3)?)),
        None => None,
    };
    Ok((row.get(0)?, shape))
}

/// Makes the folder of the store, if it is not there.
pub(super) fn make_folder(path: &Path) -> Result<(), StoreError> {
    let Some(folder) = path.parent().map(PathBuf::from) else { return Ok(()) };
    std::fs::create_dir_all(&folder).map_err(|error| {
        refuse(format!("cannot make the data directory {}: {error}", folder.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(version: &str, journal_mode: &str, synchronous: i64) -> Settings {
        Settings { version: version.to_owned(), journal_mode: journal_mode.to_owned(), synchronous }
    }

    #[test]
    fn the_linked_sqlite_keeps_committed_pages() {
        let conn = Connection::open_in_memory().unwrap();
        let version: String =
            conn.query_row(queries::SQLITE_VERSION, [], |row| row.get(0)).unwrap();
        assert!(version_of(&version).unwrap() >= SQLITE_MIN, "{version}");
    }

    #[test]
    fn refuses_settings_that_break_the_contract() {
        let check = |found: Settings, word: Option<&str>| match (check_settings(&found), word) {
            (Ok(()), None) => {}
            (Err(StoreError::Unsafe(text)), Some(word)) => assert!(text.contains(word), "{text}"),
            (other, _) => panic!("{other:?}"),
        };
        check(settings("3.51.3", "wal", 2), None);
        check(settings("3.60.0", "wal", 3), None);
        check(settings("3.51.2", "wal", 2), Some("3.51.3 or newer"));
        check(settings("3.51.3", "delete", 2), Some("journal mode"));
        check(settings("3.51.3", "wal", 1), Some("below FULL"));
    }

    #[test]
    fn refuses_network_file_systems() {
        let mounts = "/dev/vda / ext4 rw 0 0\nsrv:/x /mnt/share nfs4 rw 0 0\n\
                      srv:/y /mnt/my\\040share cifs rw 0 0\n/dev/vdb /mnt/share/disk xfs rw 0 0\n";
        let check = |folder: &str, refused: bool| {
            let judged = judge_file_system(mounts, Path::new(folder));
            assert_eq!(judged.is_err(), refused, "{folder}");
        };
        check("/var/lib/medway", false);
        check("/mnt/share/medway", true);
        check("/mnt/my share", true);
        check("/mnt/share/disk/medway", false);
        check("/mnt/shared", false);
    }
}
