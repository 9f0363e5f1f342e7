//! The file source: complete files in order, moved after the commit, repeats recognised.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use medway::clock::Clock;
use medway::source::file::options::{Done, FileOrder, FileSourceOptions};
use medway::source::file::{BoundFileSource, FileSource};
use medway::source::status::SourceStatus;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::door::{MemoryStore, Mood, door};

struct Running {
    directory: TempDir,
    store: Arc<MemoryStore>,
    status: Arc<SourceStatus>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

fn adt(id: &str) -> String {
    format!("MSH|^~\\&|HIS|H|MED|M|20260101||ADT^A01|{id}|P|2.5\rPID|1||77\r")
}

fn quick(directory: &Path) -> FileSourceOptions {
    FileSourceOptions {
        poll: Duration::from_millis(5),
        min_age: Duration::ZERO,
        ..FileSourceOptions::watch(directory)
    }
}

async fn bind(options: FileSourceOptions) -> BoundFileSource {
    FileSource::new("files".into(), options, Clock::System).bind().await.unwrap()
}

async fn start(
    directory: TempDir,
    store: Arc<MemoryStore>,
    change: impl FnOnce(FileSourceOptions) -> FileSourceOptions,
) -> Running {
    let source = bind(change(quick(directory.path()))).await;
    let status = source.status();
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    tracker.spawn(source.run(door(&store), stop.clone(), tracker.clone()));
    Running { directory, store, status, stop, tracker }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

impl Running {
    async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let reached = async {
            while !holds(self) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), reached)
            .await
            .unwrap_or_else(|_| panic!("{what}"));
    }

    fn in_folder(&self, folder: &str) -> Vec<String> {
        names(&self.directory.path().join(folder))
    }

    async fn end(self) -> (TempDir, Arc<MemoryStore>) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        (self.directory, self.store)
    }
}

#[tokio::test]
async fn files_are_taken_in_order_of_name_and_moved_to_done() {
    let directory = TempDir::new().unwrap();
    for id in ["b2", "a1", "c3"] {
        fs::write(directory.path().join(format!("{id}.hl7")), adt(id)).unwrap();
    }
    fs::write(directory.path().join("other.txt"), "x").unwrap();
    fs::write(directory.path().join(".hidden.hl7"), "x").unwrap();
    let running = start(directory, MemoryStore::new(), |options| options).await;
    running.until("all moved", |it| it.in_folder("done").len() == 3).await;
    assert_eq!(running.store.control_ids(), ["a1", "b2", "c3"]);
    assert_eq!(running.store.bodies()[0], adt("a1").as_bytes());
    assert_eq!(running.in_folder(""), [".hidden.hl7", "other.txt"]);
    assert_eq!(running.status.view().received, 3);
    running.end().await;
}

#[tokio::test]
async fn order_by_time_of_change_and_deletion() {
    let directory = TempDir::new().unwrap();
    for (age, id) in [(10, "z"), (20, "m"), (5, "a")] {
        let path = directory.path().join(format!("{id}.hl7"));
        fs::write(&path, adt(id)).unwrap();
        let changed = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000 - age);
        fs::File::options().write(true).open(&path).unwrap().set_modified(changed).unwrap();
    }
    let by_time = |options| FileSourceOptions {
        order: FileOrder::Changed,
        done: Done::Delete,
        files_max: 2,
        ..options
    };
    let running = start(directory, MemoryStore::new(), by_time).await;
    running.until("all gone", |it| it.in_folder("").is_empty()).await;
    assert_eq!(running.store.control_ids(), ["m", "z", "a"]);
    running.end().await;
}

#[tokio::test]
async fn a_refused_file_goes_to_failed_with_its_reason_and_no_content() {
    let directory = TempDir::new().unwrap();
    let secret = adt("1").replace("77", "REFUSE-SECRET");
    fs::write(directory.path().join("bad.hl7"), &secret).unwrap();
    fs::write(directory.path().join("big.hl7"), vec![b'x'; 2000]).unwrap();
    fs::write(directory.path().join("empty.hl7"), "").unwrap();
    fs::write(directory.path().join("good.hl7"), adt("2")).unwrap();
    let small = |options| FileSourceOptions { file_bytes_max: 1000, ..options };
    let running = start(directory, MemoryStore::new(), small).await;
    running.until("decided", |it| it.in_folder("").is_empty()).await;
    running.until("reasons", |it| it.in_folder("failed").len() == 6).await;
    assert_eq!(running.in_folder("done"), ["good.hl7"]);
    let reason = |name: &str| {
        let path = running.directory.path().join("failed").join(format!("{name}.hl7.reason.txt"));
        fs::read_to_string(path).unwrap()
    };
    assert_eq!(reason("bad"), "message 1: 101 Required field missing at PID[1]-3\n");
    assert!(reason("big").contains("2000 bytes; at most 1000"), "{}", reason("big"));
    assert!(reason("empty").contains("empty"));
    assert!(running.status.view().last_refusal.is_some());
    running.end().await;
}

#[tokio::test]
async fn a_full_store_leaves_the_files_where_they_are() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("a.hl7"), adt("1")).unwrap();
    let store = MemoryStore::new();
    store.set(Mood::Full);
    let running = start(directory, store, |options| options).await;
    running.until("tried twice", |it| it.store.appends() >= 2).await;
    assert_eq!(running.in_folder(""), ["a.hl7"]);
    assert!(running.status.view().last_refusal.unwrap().1.contains("the disk is full"));
    running.store.set(Mood::Well);
    running.until("moved", |it| it.in_folder("done") == ["a.hl7"]).await;
    running.end().await;
}

#[tokio::test]
async fn a_file_that_was_stored_but_not_moved_is_recognised() {
    let directory = TempDir::new().unwrap();
    // Not HL7 v2, so that only the file itself can be recognised.
    fs::write(directory.path().join("a.hl7"), "{\"no\": \"control id\"}").unwrap();
    let path = directory.path().join("a.hl7");
    let changed = fs::metadata(&path).unwrap().modified().unwrap();
    let running = start(directory, MemoryStore::new(), |options| options).await;
    running.until("moved", |it| it.in_folder("done").len() == 1).await;
    let (directory, store) = running.end().await;
    // As a crash between commit and move would leave it.
    fs::rename(directory.path().join("done/a.hl7"), &path).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(changed).unwrap();
    let running = start(directory, store, |options| options).await;
    running.until("moved again", |it| it.in_folder("done").len() == 1).await;
    assert_eq!(running.store.bodies().len(), 1);
    // The same name and content written anew is another file.
    fs::write(running.directory.path().join("a.hl7"), "{\"no\": \"control id\"}").unwrap();
    running.until("moved beside", |it| it.in_folder("done") == ["a.hl7", "a.hl7.1"]).await;
    assert_eq!(running.store.bodies().len(), 2);
    running.end().await;
}

#[tokio::test]
async fn what_cannot_be_watched_is_said_at_start() {
    let directory = TempDir::new().unwrap();
    let fails = |options: FileSourceOptions| async {
        let source = FileSource::new("files".into(), options, Clock::System);
        source.bind().await.err().unwrap().to_string()
    };
    let missing = FileSourceOptions::watch(directory.path().join("missing"));
    assert!(fails(missing).await.contains("missing"));
    let pattern = FileSourceOptions { pattern: "../*".into(), ..quick(directory.path()) };
    assert!(fails(pattern).await.contains("no file pattern"));
    fs::write(directory.path().join("done"), "a file").unwrap();
    assert!(fails(quick(directory.path())).await.contains("done"));
}

#[tokio::test]
async fn a_batch_file_is_taken_whole_or_not_at_all() {
    let directory = TempDir::new().unwrap();
    let batch = |messages: &[String], count: usize| {
        format!("BHS|^~\\&|HIS\r{}BTS|{count}\r", messages.concat())
    };
    let write = |name: &str, text: String| fs::write(directory.path().join(name), text).unwrap();
    write("a.hl7", batch(&[adt("1"), adt("2")], 2));
    write("b.hl7", batch(&[adt("3"), adt("4").replace("77", "REFUSE")], 2));
    write("c.hl7", batch(&[adt("5")], 2));
    write("d.hl7", [adt("6"), adt("7")].concat());
    let running = start(directory, MemoryStore::new(), |options| options).await;
    running.until("decided", |it| it.in_folder("").is_empty()).await;
    running.until("reasons", |it| it.in_folder("failed").len() == 4).await;
    assert_eq!(running.in_folder("done"), ["a.hl7", "d.hl7"]);
    assert_eq!(running.store.control_ids(), ["1", "2", "6", "7"]);
    let reason = running.directory.path().join("failed/c.hl7.reason.txt");
    assert!(fs::read_to_string(reason).unwrap().contains("declares 2 where 1 came"));
    running.end().await;
}
