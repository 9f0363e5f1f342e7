//! Starting again costs by what was in flight, not by what waits; and changed channel files take hold
//! without losing what was accepted under the old ones.

use std::path::Path;
use std::time::Duration;

use medway::message::id::{MessageId, VersionId};
use medway::message::kind::{ContentType, Kind};
use medway::message::payload::Payload;
use medway::message::plan::{Disposition, Joins, Lane, Plan, PlanEntry};
use medway::message::time::Timestamp;
use medway::message::{Envelope, KeyValue};
use medway::store::sqlite::{SqliteOptions, SqliteStore};
use medway::store::{NewMessage, Store};

use crate::engine::{Engine, free_port};
use crate::peers::{Link, Manner, plain_receiver, plain_receiver_at, until, update};

const WAITING: usize = 100_000;

/// Puts messages into the store of a stopped engine, as if they had come in while the receiver was away, and
/// leaves in `crashed` the files as a kill -9 leaves them: the store is open, and its write-ahead log holds
/// everything, because somebody reads and no checkpoint may pass him.
fn fill(folder: &Path, crashed: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let path = folder.join("data/medway.db");
        let store = SqliteStore::open(SqliteOptions::new(&path)).await.unwrap();
        let reader = rusqlite::Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;").unwrap();
        let destination = store.destination("trial", "out").await.unwrap();
        for block in 0..WAITING / 1000 {
            let messages = (0..1000).map(|number| {
                let number = block * 1000 + number;
                let patient = format!("P{}", number % 5000);
                let disposition =
                    Disposition::Deliver { lane: Lane::of(&patient), joins: Joins::NONE };
                let entry = PlanEntry { destination, version: VersionId(1), disposition };
                NewMessage {
                    envelope: Envelope {
                        id: MessageId::new(),
                        received_at: Timestamp(1_767_225_600_000_000),
                        channel: "trial".into(),
                        content_type: ContentType::Hl7v2,
                        kind: Kind::Patient,
                        event: "ADT^A08".into(),
                        control_id: KeyValue::new(&format!("W{number}")),
                        keys: Vec::new(),
                        origin: None,
                    },
                    plan: Plan { entries: vec![entry] },
                    payload: Some(Payload::new(update(&format!("W{number}"), &patient))),
                    duplicate: None,
                }
            });
            store.append(messages.collect()).await.unwrap();
        }
        copy(&folder.join("data"), crashed);
        drop(reader);
        store.close().await;
    });
}

/// Copies a data directory.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}

/// How often a start is measured; the quickest counts, so that another program's burst does not.
const TRIES: usize = 3;

#[test]
fn a_hundred_thousand_waiting_deliveries_do_not_delay_the_start_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut engine = Engine::new(
        folder.path(),
        &format!("  out:\n    mllp: {{host: 127.0.0.1, port: {port}}}\n"),
    );
    let mut start = || {
        engine.start("");
        let took = engine.ready().expect("the engine starts");
        engine.kill();
        took
    };
    start();
    let empty = (0..TRIES).map(|_| start()).min().unwrap();
    let (data, crashed) = (folder.path().join("data"), folder.path().join("crashed"));
    fill(folder.path(), &crashed);
    let log = std::fs::metadata(crashed.join("medway.db-wal")).unwrap().len();
    assert!(log > 16 << 20, "the log that must be read at the start has {log} bytes");
    let mut full = Vec::new();
    for _ in 0..TRIES {
        std::fs::remove_dir_all(&data).unwrap();
        copy(&crashed, &data);
        full.push(start());
    }
    // Killed again while all of it waits, with what the last start has left of the log.
    full.push(start());
    let (full, again) = (*full[..TRIES].iter().min().unwrap(), full[TRIES]);
    println!(
        "ready after {empty:?} with nothing waiting; with {WAITING}: {full:?} behind a log of {} MiB, {again:?} after another kill",
        log >> 20
    );
    // A debug build needs some of the second for itself, whatever waits.
    let own = if cfg!(debug_assertions) { empty } else { Duration::ZERO };
    assert!(full < own + Duration::from_secs(1), "{full:?} against {empty:?}");
    engine.start("");
    engine.ready().expect("the engine starts");
    let kept = plain_receiver_at(port, Manner::Good);
    until("what waited flows", || kept.lock().unwrap().len() >= 1000);
    let status = engine.destination("out");
    assert_eq!(status["held"], 0, "{status}");
    let counted = |field: &str| status[field].as_u64().unwrap_or(0);
    let all = ["pending", "in_flight", "retry", "behind", "delivered"].map(counted);
    assert!(all.iter().sum::<u64>() >= 100_000, "all of them are known: {status}");
}

#[test]
fn a_reload_changes_what_comes_and_not_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let (port, kept) = plain_receiver(Manner::Good);
    let channel = |application: &str| {
        format!(
            "  out:\n    mllp: {{host: 127.0.0.1, port: {port}}}\n    change:\n      - set: {{MSH-5: {application}}}\n"
        )
    };
    let mut engine = Engine::new(folder.path(), &channel("OLD"));
    engine.start("");
    engine.ready().expect("the engine starts");
    let reason = serde_json::json!({"reason": "to let messages wait over a reload"});
    engine.api("/destinations/trial/out/pause", Some(&reason));
    let mut link = Link::open(engine.port);
    assert_eq!(link.send(&update("BEFORE", "P1")).0, "AA");

    engine.rewrite(&channel("NEW"));
    let report = engine.api("/reload", Some(&serde_json::json!({})));
    assert_eq!(report["changed"], serde_json::json!(["trial"]), "{report}");
    assert_eq!(link.send(&update("AFTER", "P1")).0, "AA", "the connection goes on");

    // A file that does not pass the check changes nothing and is reported with its place.
    engine.rewrite(&channel("NEW").replace("change", "chnage"));
    let report = engine.api("/reload", Some(&serde_json::json!({})));
    assert_eq!(report["refused"][0]["channel"], "trial", "{report}");
    let findings = report["refused"][0]["findings"].as_str().unwrap();
    assert!(findings.contains("change") && findings.contains("trial.yaml:"), "{findings}");
    assert_eq!(link.send(&update("STILL", "P1")).0, "AA");

    // A directory that is gone is no wish to withdraw every channel.
    engine.hide_channels(true);
    let report = engine.api("/reload", Some(&serde_json::json!({})));
    assert_eq!(report["code"], "not_reloaded", "{report}");
    engine.hide_channels(false);
    assert_eq!(link.send(&update("THERE", "P2")).0, "AA");

    engine.api("/destinations/trial/out/resume", Some(&reason));
    until("all four are delivered", || kept.lock().unwrap().len() == 4);
    let sent: Vec<String> = kept
        .lock()
        .unwrap()
        .iter()
        .map(|frame| String::from_utf8_lossy(frame).into_owned())
        .collect();
    for (id, application) in [("BEFORE", "OLD"), ("AFTER", "NEW"), ("STILL", "NEW")] {
        let message = sent.iter().find(|text| text.contains(&format!("|{id}|"))).unwrap();
        assert_eq!(message.split('|').nth(4), Some(application), "{id}");
    }
    // Over a restart, too, a stored message is rendered under the version it was accepted under.
    engine.api("/destinations/trial/out/pause", Some(&reason));
    assert_eq!(link.send(&update("PINNED", "P1")).0, "AA");
    engine.kill();
    engine.rewrite(&channel("NEWEST"));
    engine.start("");
    engine.ready().expect("the engine starts");
    engine.api("/destinations/trial/out/resume", Some(&reason));
    until("the fifth is delivered", || kept.lock().unwrap().len() >= 5);
    let last = String::from_utf8_lossy(kept.lock().unwrap().last().unwrap()).into_owned();
    assert_eq!((last.split('|').nth(9), last.split('|').nth(4)), (Some("PINNED"), Some("NEW")));
}
