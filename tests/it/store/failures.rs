//! A full store, a second process, and a process that dies at the worst moments.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use medway::message::id::{DestinationId, Seq};
use medway::message::time::Timestamp;
use medway::store::sqlite::{SqliteOptions, SqliteStore};
use medway::store::{Appended, Change, ExceptionState, Retention, Store, StoreError};

use super::build::{Fixture, START, exception, message, settled};

/// Set for the child process: the folder of its store.
const FOLDER: &str = "MEDWAY_TEST_STORE";

#[tokio::test]
async fn a_second_opening_is_refused_until_the_first_is_closed() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    match SqliteStore::open(fixture.options()).await {
        Err(StoreError::Unsafe(text)) => assert!(text.contains("another process"), "{text}"),
        other => panic!("{other:?}"),
    }
    store.close().await;
    fixture.open().await;
}

/// A reader that always looks at the write-ahead log keeps it from starting over; when it has gone, the log
/// is emptied instead of being kept at the size it grew to.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_ahead_log_that_grew_beyond_its_bound_is_emptied() {
    const BOUND: u64 = 2 << 20;
    let fixture = Fixture::new();
    let options = SqliteOptions { wal_bytes_max: BOUND, ..fixture.options() };
    let wal = options.path.with_extension("db-wal");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await.unwrap());
    let lab = fixture.destination(&store, "lab").await;
    let append = async |n: i64| {
        let body = "x".repeat(600);
        let messages = (0..400).map(|_| message(n).to(lab.0, lab.1).body(body.clone()).build());
        store.append(messages.collect()).await.unwrap();
    };
    append(1).await;
    let reader = rusqlite::Connection::open(fixture.options().path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM message;").unwrap();
    let size = || std::fs::metadata(&wal).unwrap().len();
    let mut grown = 0;
    for n in 2..40 {
        append(n).await;
        grown = size();
    }
    assert!(grown > 2 * BOUND, "the reader keeps it: {grown} bytes");
    reader.execute_batch("COMMIT").unwrap();
    let mut least = u64::MAX;
    for n in 40..80 {
        append(n).await;
        least = least.min(size());
    }
    assert!(least < BOUND, "it was {grown} bytes and is not emptied: {least} bytes");
    // Nothing was lost by it.
    assert_eq!(store.status().head, Seq(79 * 400));
    assert_eq!(store.conservation().await.unwrap()[0].pending, 79 * 400);
    store.close().await;
}

#[tokio::test]
async fn what_is_no_store_and_what_is_newer_is_refused() {
    let fixture = Fixture::new();
    let path = fixture.options().path;
    std::fs::write(
        &path,
        b"this is no database, though it is long enough to be read as one".repeat(99),
    )
    .unwrap();
    match SqliteStore::open(fixture.options()).await {
        Err(StoreError::Unsafe(text)) => assert!(text.contains("no readable store"), "{text}"),
        other => panic!("{other:?}"),
    }
    std::fs::remove_file(&path).unwrap();
    fixture.open().await.close().await;
    let conn = rusqlite::Connection::open(&path).unwrap();
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'from the future', 1, x'00', 0)";
    conn.execute(newer, []).unwrap();
    drop(conn);
    match SqliteStore::open(fixture.options()).await {
        Err(StoreError::Unsafe(text)) => assert!(text.contains("schema 9999"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_larger_than_what_may_wait_is_stored_when_nothing_waits() {
    let fixture = Fixture::new();
    let options = SqliteOptions { waiting_bytes_max: 10_000, ..fixture.options() };
    let store = SqliteStore::open(options).await.unwrap();
    let large = message(1).body("x".repeat(20_000)).build();
    assert_eq!(store.append(vec![large]).await.unwrap(), [Appended::New(Seq(1))]);
    assert_eq!(store.append(vec![message(2).build()]).await.unwrap(), [Appended::New(Seq(2))]);
}

fn noise(bytes: usize) -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(bytes).collect()
}

#[tokio::test]
async fn a_full_store_refuses_messages_keeps_outcomes_and_recovers() {
    let fixture = Fixture::new();
    let options = SqliteOptions { size_bytes_max: Some(2 << 20), ..fixture.options() };
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await.unwrap());
    let lab = fixture.destination(&store, "lab").await;
    let mut stored = 0;
    // Large ones until they do not fit, then small ones until these do not.
    for size in [100_000, 8_000, 600, 1] {
        loop {
            match store.append(vec![message(1).body(noise(size)).to(lab.0, lab.1).build()]).await {
                Ok(answers) => assert_eq!(answers, [Appended::New(Seq(stored + 1))]),
                Err(StoreError::Full) => break,
                Err(other) => panic!("{other:?}"),
            }
            stored += 1;
        }
    }
    assert!(store.status().failing.is_some());
    assert_eq!(store.status().head, Seq(stored));
    // Outcomes that need room wait for it; what frees it is not held back by them.
    let settle = (1..=stored).map(|seq| Change::Settle(settled(lab.0, Seq(seq)))).collect();
    let dead = (1..=3000).map(|seq| {
        let mut row = exception(DestinationId(77), Seq(seq), ExceptionState::Dead);
        row.cause = noise(200).into();
        Change::Except(row)
    });
    let (destination, end) = (lab.0, Seq(stored));
    let cursor = Change::Cursor { destination, settled_to: end, frontier: end };
    let outcomes = async {
        store.record(dead.collect()).await.unwrap();
        store.record(settle).await.unwrap();
    };
    let pruning = async {
        store.record(vec![cursor]).await.unwrap();
        let retention = Retention {
            bodies: Duration::ZERO,
            messages: Duration::from_secs(86_400),
            rejects: Duration::from_secs(86_400),
            versions: Duration::from_secs(86_400),
            versions_max: 100,
            step: 10,
            channels: BTreeMap::new(),
        };
        while store.prune(&retention, Timestamp(START + 60_000_000)).await.unwrap_or(1) > 0 {}
    };
    tokio::join!(pruning, outcomes);
    assert_eq!(store.status().failing, None);
    let answer = store.append(vec![message(1).build()]).await.unwrap();
    assert_eq!(answer, [Appended::New(Seq(stored + 1))]);
}

/// Not a test by itself: the process that the tests below let die. It writes each message's place and
/// identity to a journal once it was acknowledged.
#[tokio::test]
async fn child_that_dies() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let mut journal =
        OpenOptions::new().create(true).append(true).open(folder.join("journal")).unwrap();
    let options = SqliteOptions::new(folder.join("medway.db"));
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await.unwrap());
    let lab = store.destination("adt", "lab").await.unwrap();
    let version = medway::message::id::VersionId(1);
    let retention = Retention {
        bodies: Duration::ZERO,
        messages: Duration::from_secs(86_400),
        rejects: Duration::from_secs(86_400),
        versions: Duration::from_secs(86_400),
        versions_max: 100,
        step: 10,
        channels: BTreeMap::new(),
    };
    // As a runner does after a start: what was accepted before the process died is delivered now.
    let state = store.destination_state(lab).await.unwrap();
    let waiting = store.read_log(lab, state.settled_to, 1000, 1 << 20).await.unwrap();
    let mut changes: Vec<Change> = waiting
        .messages
        .iter()
        .filter(|message| !state.settled_above.contains(&message.seq))
        .map(|message| Change::Settle(settled(lab, message.seq)))
        .collect();
    let end = waiting.read_to;
    changes.push(Change::Cursor { destination: lab, settled_to: end, frontier: end });
    store.record(changes).await.unwrap();
    for _ in 0..1_000_000 {
        let new = message(1).key("mrn", "4711").to(lab, version).build();
        let id = new.envelope.id;
        let answer = store.append(vec![new]).await.unwrap().remove(0);
        let Appended::New(seq) = answer else { panic!("{answer:?}") };
        writeln!(journal, "{} {id}", seq.0).unwrap();
        let cursor = Change::Cursor { destination: lab, settled_to: seq, frontier: seq };
        store.record(vec![Change::Settle(settled(lab, seq)), cursor]).await.unwrap();
        store.prune(&retention, Timestamp(START + 60_000_000)).await.unwrap();
    }
}

fn child(folder: &Path, crash_at: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "store::failures::child_that_dies", "--nocapture"])
        .env(FOLDER, folder)
        .env("MEDWAY_CRASH_AT", crash_at)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Everything acknowledged is there, once, and every delivery is accounted for.
async fn check_journal(folder: &Path) -> usize {
    let text = std::fs::read_to_string(folder.join("journal")).unwrap_or_default();
    let mut acknowledged: BTreeMap<i64, &str> = BTreeMap::new();
    for line in text.lines() {
        let (seq, id) = line.split_once(' ').unwrap();
        assert_eq!(acknowledged.insert(seq.parse().unwrap(), id), None, "place {seq} given twice");
    }
    let store = SqliteStore::open(SqliteOptions::new(folder.join("medway.db"))).await.unwrap();
    let seqs: Vec<Seq> = acknowledged.keys().copied().map(Seq).collect();
    let stored = store.messages(&seqs).await.unwrap();
    assert_eq!(stored.len(), seqs.len(), "acknowledged messages are gone");
    for message in stored {
        assert_eq!(message.envelope.id.to_string(), acknowledged[&message.seq.0]);
        assert_eq!(store.find(message.envelope.id).await.unwrap(), message.seq);
    }
    for sum in store.conservation().await.unwrap() {
        assert!(sum.unaccounted.is_empty(), "{sum:?}");
        assert!(sum.pending <= 1, "{sum:?}");
    }
    store.close().await;
    acknowledged.len()
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_wherever_the_process_dies() {
    for point in ["store_before_commit", "store_after_commit", "store_mid_prune"] {
        let folder = tempfile::tempdir().unwrap();
        for count in [3, 4, 5, 6, 7, 20] {
            let status = child(folder.path(), &format!("{point}:{count}")).status().unwrap();
            assert!(!status.success(), "the child was to die at {point}:{count}");
            check_journal(folder.path()).await;
        }
        assert!(check_journal(folder.path()).await > 0, "{point}: nothing was ever acknowledged");
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = 0;
    for round in 1..=5 {
        let mut child = child(folder.path(), "nowhere").spawn().unwrap();
        let journal = folder.path().join("journal");
        let lines = || std::fs::read(&journal).map_or(0, |bytes| bytecount(&bytes));
        while lines() < before + round * 7 {
            assert!(child.try_wait().unwrap().is_none(), "the child died by itself");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        before = check_journal(folder.path()).await;
    }
    assert!(before > 50);
}

fn bytecount(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}
