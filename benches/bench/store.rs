//! The store: what an append, a whole delivery cycle, a start and a search cost.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use medway::message::id::{DestinationId, Seq};
use medway::message::outcome::Answer;
use medway::message::time::Timestamp;
use medway::store::sqlite::{SqliteOptions, SqliteStore};
use medway::store::{Change, MessageQuery, Settled, Store};
use rusqlite::{Connection, params};
use tokio::runtime::Runtime;

use crate::probe::RawLog;
use crate::report::{Report, bytes_written, cpu_us, figure, median, pairs, timed};
use crate::sample::{START, message, oru};

/// Messages a commit, and commits a round.
const BATCHES: [(usize, usize); 4] = [(1, 300), (10, 150), (100, 60), (1000, 12)];

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A store with destinations, and the number of its next message.
struct Bench {
    runtime: Runtime,
    store: Arc<SqliteStore>,
    destinations: Vec<DestinationId>,
    next: u64,
}

impl Bench {
    fn open(folder: &Path, destinations: usize) -> Self {
        let runtime = runtime();
        let options = SqliteOptions::new(folder.join("medway.db"));
        let store = Arc::new(runtime.block_on(SqliteStore::open(options)).unwrap());
        let destinations = (0..destinations)
            .map(|n| runtime.block_on(store.destination("lab", &format!("d{n}"))).unwrap())
            .collect();
        Self { runtime, store, destinations, next: 0 }
    }

    fn batch(&mut self, count: usize) -> Vec<medway::store::NewMessage> {
        let first = self.next;
        self.next += u64::try_from(count).unwrap();
        (first..self.next).map(|n| message(n, &self.destinations)).collect()
    }

    fn append(&mut self, per_commit: usize, commits: usize) -> f64 {
        let started = Instant::now();
        for _ in 0..commits {
            let batch = self.batch(per_commit);
            self.runtime.block_on(self.store.append(batch)).unwrap();
        }
        figure(per_commit * commits) / started.elapsed().as_secs_f64()
    }

    /// Records what became of the batch before at every destination, appends, and takes over what was
    /// committed for each destination. Outcomes and messages are handed in together, as they are where
    /// deliveries go on beside the intake: whoever waits for the commit of the one before he hands in the
    /// other waits twice.
    fn cycle(&mut self, per_commit: usize, commits: usize) -> f64 {
        let mut outlets: Vec<_> =
            self.destinations.iter().map(|_| self.store.committed()).collect();
        let started = Instant::now();
        for _ in 0..commits {
            let done = self.store.status().head;
            let changes = self.outcomes(done, per_commit);
            let batch = self.batch(per_commit);
            let store = Arc::clone(&self.store);
            self.runtime.block_on(async {
                let (recorded, appended) = tokio::join!(store.record(changes), store.append(batch));
                appended.unwrap();
                recorded.unwrap();
                for outlet in &mut outlets {
                    let mut taken = 0;
                    while taken < per_commit {
                        let messages = outlet.recv().await.unwrap();
                        taken += messages.len();
                        std::hint::black_box(
                            messages.iter().map(|one| one.payload.len()).sum::<usize>(),
                        );
                    }
                }
            });
        }
        figure(per_commit * commits) / started.elapsed().as_secs_f64()
    }

    fn outcomes(&self, head: Seq, count: usize) -> Vec<Change> {
        let count = i64::try_from(count).unwrap();
        let mut changes = Vec::new();
        for destination in &self.destinations {
            for seq in (head.0 - count + 1).max(1)..=head.0 {
                changes.push(Change::Settle(Settled {
                    destination: *destination,
                    seq: Seq(seq),
                    at: Timestamp(START + seq * 100),
                    attempts: 1,
                    duration: Duration::from_micros(900),
                    answer: Answer::new("AA", ""),
                    sent_hash: seq.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15),
                }));
            }
            let destination = *destination;
            changes.push(Change::Cursor { destination, settled_to: head, frontier: head });
        }
        changes
    }
}

/// Appends against a raw log with the same batches.
pub(crate) fn append(report: &mut Report) {
    for (per_commit, commits) in BATCHES {
        let folder = folder();
        let mut raw = RawLog::growing(folder.path());
        let mut preallocated = RawLog::preallocated(folder.path());
        let mut bench = Bench::open(folder.path(), 3);
        bench.append(per_commit, commits);
        let (mut bytes, mut cpu, mut barest) = (Vec::new(), Vec::new(), Vec::new());
        let count = figure(per_commit * commits);
        let (probe, rate, ratio) = pairs(
            || raw.rate(per_commit, commits),
            || {
                barest.push(preallocated.rate(per_commit, commits));
                let before = (bytes_written(), cpu_us());
                let rate = bench.append(per_commit, commits);
                bytes.push((bytes_written() - before.0) / count);
                cpu.push((cpu_us() - before.1) / count);
                rate
            },
        );
        report.row(
            &format!("store_append_{per_commit}"),
            Some(ratio),
            &[
                ("messages_per_s", rate),
                ("raw_log_per_s", probe),
                ("preallocated_per_s", median(barest)),
                ("bytes_per_message", median(bytes)),
                ("cpu_us_per_message", median(cpu)),
            ],
        );
        bench.runtime.block_on(bench.store.close());
    }
    concurrent(report);
    sqlx_against_rusqlite(report);
}

/// A hundred senders, one message outstanding each: how many share a commit.
fn concurrent(report: &mut Report) {
    let folder = folder();
    let mut bench = Bench::open(folder.path(), 3);
    let senders = 100_usize;
    let each = 40_usize;
    let commits = bench.store.status().commits;
    let batches: Vec<_> = (0..senders).map(|_| bench.batch(each)).collect();
    let before = bytes_written();
    let took = timed(|| {
        bench.runtime.block_on(async {
            let tracker = tokio_util::task::TaskTracker::new();
            for batch in batches {
                let store = Arc::clone(&bench.store);
                tracker.spawn(async move {
                    for message in batch {
                        store.append(vec![message]).await.unwrap();
                    }
                });
            }
            tracker.close();
            tracker.wait().await;
        });
    });
    let count = figure(senders * each);
    let commits = bench.store.status().commits - commits;
    let commits = f64::from(u32::try_from(commits).unwrap());
    report.row(
        "store_append_100_senders",
        None,
        &[
            ("messages_per_s", count / took.as_secs_f64()),
            ("messages_per_commit", count / commits),
            ("bytes_per_message", (bytes_written() - before) / count),
        ],
    );
}

fn bare(path: &Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(
        "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
        CREATE TABLE log (seq INTEGER PRIMARY KEY, body BLOB);
        CREATE TABLE cursor (destination INTEGER PRIMARY KEY, seq INTEGER);",
    )
    .unwrap();
    conn
}

/// The cycle in the barest form that a log and cursors have: rows in, each destination's read of what lies
/// behind its cursor, and the cursors of the batch before, so many a commit. `reader` is a connection to the same
/// file.
fn bare_cycle(
    (conn, reader): (&Connection, &Connection),
    per_commit: usize,
    commits: usize,
) -> f64 {
    let started = Instant::now();
    let mut read_to = conn
        .query_row("SELECT coalesce(max(seq), 0) FROM log", [], |row| row.get::<_, i64>(0))
        .unwrap();
    let mut rows =
        reader.prepare_cached("SELECT seq, body FROM log WHERE seq > ?1 ORDER BY seq").unwrap();
    for commit in 0..commits {
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut insert = conn.prepare_cached("INSERT INTO log (body) VALUES (?1)").unwrap();
        for n in 0..per_commit {
            let n = u64::try_from(commit * per_commit + n).unwrap();
            insert.execute([oru(n).as_bytes()]).unwrap();
        }
        let head = conn.last_insert_rowid();
        let mut cursor =
            conn.prepare_cached("INSERT OR REPLACE INTO cursor VALUES (?1, ?2)").unwrap();
        for destination in 0..3 {
            cursor.execute(params![destination, read_to]).unwrap();
        }
        conn.execute_batch("COMMIT").unwrap();
        for _ in 0..3 {
            let bodies = rows.query_map([read_to], |row| row.get::<_, Vec<u8>>(1)).unwrap();
            assert_eq!(
                bodies.map(Result::unwrap).filter(|body| !body.is_empty()).count(),
                per_commit
            );
        }
        read_to = head;
    }
    figure(per_commit * commits) / started.elapsed().as_secs_f64()
}

/// The whole cycle for three destinations (store, hand out, record) against a bare log with three cursors.
pub(crate) fn cycle(report: &mut Report) {
    for (per_commit, commits) in BATCHES {
        let folder = folder();
        let path = folder.path().join("bare.db");
        let (writer, reader) = (bare(&path), Connection::open(&path).unwrap());
        let conn = (&writer, &reader);
        let mut bench = Bench::open(folder.path(), 3);
        bench.cycle(per_commit, commits);
        bare_cycle(conn, per_commit, commits);
        let (mut own, mut theirs) = (Vec::new(), Vec::new());
        let count = figure(per_commit * commits);
        let commits_before = bench.store.status().commits;
        let (probe, rate, ratio) = pairs(
            || {
                let before = bytes_written();
                let rate = bare_cycle(conn, per_commit, commits);
                theirs.push((bytes_written() - before) / count);
                rate
            },
            || {
                let before = bytes_written();
                let rate = bench.cycle(per_commit, commits);
                own.push((bytes_written() - before) / count);
                rate
            },
        );
        let commits_done = bench.store.status().commits - commits_before;
        let commits_done = f64::from(u32::try_from(commits_done).unwrap());
        let (own, theirs) = (median(own), median(theirs));
        report.row(
            &format!("store_cycle_{per_commit}"),
            Some(ratio),
            &[
                ("messages_per_s", rate),
                ("bare_per_s", probe),
                ("bytes_per_message", own),
                ("bare_bytes_per_message", theirs),
                ("bytes_ratio", own / theirs),
                ("commits_per_1000_messages", commits_done * 1000.0 / (count * 5.0)),
            ],
        );
        bench.runtime.block_on(bench.store.close());
    }
}

/// Why the committer does not write through sqlx: the same rows as the log's narrow table and its
/// bodies, one by one through rusqlite, in one statement a commit through sqlx.
fn sqlx_against_rusqlite(report: &mut Report) {
    use sqlx::Connection as _;
    const COLUMNS: usize = 12;
    let folder = folder();
    let (rows, commits) = (100_usize, 60_usize);
    let path = |name: &str| folder.path().join(name);
    for name in ["rusqlite.db", "sqlx.db"] {
        let columns: Vec<String> = (0..COLUMNS).map(|n| format!("c{n}")).collect();
        let table = format!("CREATE TABLE wide (seq INTEGER PRIMARY KEY, {})", columns.join(","));
        bare(&path(name)).execute_batch(&table).unwrap();
    }
    let one = format!("(NULL{})", ",?".repeat(COLUMNS));
    let single = format!("INSERT INTO wide VALUES {one}");
    let many: &'static str =
        format!("INSERT INTO wide VALUES {}", vec![one; rows].join(",")).leak();
    let conn = Connection::open(path("rusqlite.db")).unwrap();
    conn.execute_batch("PRAGMA synchronous = FULL").unwrap();
    let runtime = runtime();
    let url = path("sqlx.db").display().to_string();
    let mut other = runtime.block_on(sqlx::SqliteConnection::connect(&url)).unwrap();
    let (bare, through, ratio) = pairs(
        || {
            let started = Instant::now();
            for commit in 0..commits {
                conn.execute_batch("BEGIN IMMEDIATE").unwrap();
                let mut insert = conn.prepare_cached(&single).unwrap();
                for n in 0..rows {
                    for column in 1..COLUMNS {
                        insert.raw_bind_parameter(column, i64::try_from(n).unwrap()).unwrap();
                    }
                    let text = oru(u64::try_from(commit * rows + n).unwrap());
                    insert.raw_bind_parameter(COLUMNS, text).unwrap();
                    insert.raw_execute().unwrap();
                }
                conn.execute_batch("COMMIT").unwrap();
            }
            figure(rows * commits) / started.elapsed().as_secs_f64()
        },
        || {
            let started = Instant::now();
            for commit in 0..commits {
                runtime.block_on(async {
                    let mut open = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
                    let mut insert = sqlx::query(many);
                    for n in 0..rows {
                        for _ in 1..COLUMNS {
                            insert = insert.bind(i64::try_from(n).unwrap());
                        }
                        insert = insert.bind(oru(u64::try_from(commit * rows + n).unwrap()));
                    }
                    insert.execute(&mut *open).await.unwrap();
                    open.commit().await.unwrap();
                });
            }
            figure(rows * commits) / started.elapsed().as_secs_f64()
        },
    );
    report.row(
        "store_sqlx_to_rusqlite_100",
        Some(ratio),
        &[("rusqlite_per_s", bare), ("sqlx_per_s", through)],
    );
}

/// A start with much waiting against one with little: its time follows what is in flight.
pub(crate) fn open(report: &mut Report) {
    let mut times = Vec::new();
    for waiting in [1_000_usize, 100_000] {
        let folder = folder();
        let mut bench = Bench::open(folder.path(), 3);
        for _ in 0..(waiting / 1000) {
            let batch = bench.batch(1000);
            bench.runtime.block_on(bench.store.append(batch)).unwrap();
        }
        let destinations = bench.destinations.clone();
        bench.runtime.block_on(bench.store.close());
        drop(bench);
        let runtime = runtime();
        let took = median(
            (0..5)
                .map(|_| {
                    let options = SqliteOptions::new(folder.path().join("medway.db"));
                    let mut store = None;
                    let took = timed(|| {
                        runtime.block_on(async {
                            let opened = SqliteStore::open(options).await.unwrap();
                            for destination in &destinations {
                                opened.destination_state(*destination).await.unwrap();
                            }
                            store = Some(opened);
                        });
                    });
                    runtime.block_on(store.unwrap().close());
                    took.as_secs_f64() * 1e3
                })
                .collect(),
        );
        report.row(&format!("store_open_{waiting}"), None, &[("open_and_states_ms", took)]);
        times.push(took);
    }
    report.row("store_open", Some(times[1] / times[0]), &[]);
}

/// Searches in a log of 200,000 messages.
pub(crate) fn search(report: &mut Report) {
    let folder = folder();
    let mut bench = Bench::open(folder.path(), 1);
    for _ in 0..200 {
        let batch = bench.batch(1000);
        bench.runtime.block_on(bench.store.append(batch)).unwrap();
    }
    let mut cases: Vec<(&str, MessageQuery)> = Vec::new();
    let key = |name: &str, value: &str| MessageQuery {
        key: Some((Some(name.into()), value.into())),
        limit: 50,
        ..MessageQuery::default()
    };
    cases.push(("search_control_old", key("control", "C0000000007")));
    cases.push(("search_control_new", key("control", "C0000199990")));
    cases.push(("search_nobody", key("mrn", "nobody")));
    cases.push(("search_last_50", MessageQuery { limit: 50, ..MessageQuery::default() }));
    let log = std::fs::metadata(folder.path().join("medway.db-wal")).unwrap().len();
    let log = f64::from(u32::try_from(log >> 20).unwrap());
    report.row("store_write_ahead_log", None, &[("mib_after_200000_messages", log)]);
    for (name, query) in cases {
        let times = (0..30).map(|_| {
            let query = query.clone();
            let took = timed(|| {
                bench.runtime.block_on(bench.store.search(query)).unwrap();
            });
            took.as_secs_f64() * 1e3
        });
        let p50 = median(times.collect());
        report.row(name, None, &[("p50_ms", p50)]);
    }
}
