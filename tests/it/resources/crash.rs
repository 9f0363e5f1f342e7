//! A process that dies at the worst moments leaves whole requests: messages, versions, events and what they
//! are found by.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use medway::message::id::Seq;
use medway::message::resource::{Criterion, ResourceQuery, Test};
use medway::store::Store;
use medway::store::resources::ResourceBatch;
use medway::store::sqlite::{SqliteOptions, SqliteStore};

use super::build::{create, done, key, token, update};
use crate::store::build::message;

/// Set for the child process: the folder of its store.
const FOLDER: &str = "MEDWAY_TEST_RESOURCES";

async fn open(folder: &Path) -> Arc<dyn Store> {
    let options =
        SqliteOptions { versions_gathered: 3, ..SqliteOptions::new(folder.join("medway.db")) };
    Arc::new(SqliteStore::open(options).await.unwrap())
}

async fn version_of(store: &Arc<dyn Store>, id: &str) -> u64 {
    store.resource(&key("Basic", id)).await.unwrap().map_or(0, |one| one.version)
}

/// Not a test by itself: the process that the test below lets die. Each request writes a message with an
/// event and a version of each of two resources.
#[tokio::test]
async fn child_that_dies() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let mut journal =
        OpenOptions::new().create(true).append(true).open(folder.join("journal")).unwrap();
    let store = open(folder).await;
    let subscription = store.destination("fhir", "Subscription/1").await.unwrap();
    let mut last = version_of(&store, "a").await;
    for _ in 0..1_000_000 {
        last += 1;
        let write = |id: &str| {
            let index = vec![token("code", "urn:version", &last.to_string())];
            match last {
                1 => create("Basic", id, 1, index),
                last => update("Basic", id, last, index),
            }
        };
        let batch = ResourceBatch {
            messages: vec![message(1).build()],
            writes: vec![write("a"), write("b")],
            guards: Vec::new(),
            events: vec![(0, subscription)],
        };
        done(store.write(batch).await);
        writeln!(journal, "{last}").unwrap();
    }
}

/// What is there is whole, and holds all that was answered. Answers the last version.
async fn check(folder: &Path) -> u64 {
    let store = open(folder).await;
    let last = version_of(&store, "a").await;
    assert_eq!(version_of(&store, "b").await, last);
    let journal = std::fs::read_to_string(folder.join("journal")).unwrap_or_default();
    let answered = journal.lines().last().map_or(0, |line| line.parse().unwrap());
    assert!(last == answered || last == answered + 1, "{last} there, {answered} answered");
    let seq = |number: u64| Seq(i64::try_from(number).unwrap());
    assert_eq!(store.status().head, seq(last));
    let subscription = store.destination("fhir", "Subscription/1").await.unwrap();
    assert_eq!(store.event_count(subscription).await.unwrap().last, last);
    let events = store.events(subscription, 1, u64::MAX, 1000).await.unwrap();
    assert_eq!(events, (1..=last).map(|number| (number, seq(number))).collect::<Vec<_>>());
    for version in last.saturating_sub(3)..=last {
        let code = Some(version.to_string().into());
        let any = vec![Test::Token { system: None, code }];
        let query = ResourceQuery {
            kind: "Basic".into(),
            criteria: vec![Criterion { param: "code".into(), any, negate: false }],
            limit: 10,
            ..ResourceQuery::default()
        };
        let found = store.resource_search(&query).await.unwrap().matches.len();
        assert_eq!(found, if version == last && last > 0 { 2 } else { 0 }, "version {version}");
    }
    store.close().await;
    last
}

#[tokio::test]
async fn a_process_that_dies_leaves_whole_requests() {
    for point in ["store_before_commit", "store_after_commit"] {
        let folder = tempfile::tempdir().unwrap();
        for count in [3, 4, 5, 9, 20] {
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "resources::crash::child_that_dies", "--nocapture"])
                .env(FOLDER, folder.path())
                .env("MEDWAY_CRASH_AT", format!("{point}:{count}"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert!(!status.success(), "the child was to die at {point}:{count}");
            check(folder.path()).await;
        }
        assert!(check(folder.path()).await > 20, "{point}: nothing was ever written");
    }
}
