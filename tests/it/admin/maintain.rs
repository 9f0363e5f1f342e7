//! What a system administrator does with the machine.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use medway::access::role::Role;
use medway::access::verify::{Verified, verify};
use medway::message::id::MessageId;
use medway::message::payload::Payload;
use medway::store::access::AccessStore;
use medway::store::sqlite::access::SqliteAccess;
use medway::store::sqlite::{SqliteOptions, SqliteStore};
use medway::store::{MessageQuery, Reject, Store};
use serde_json::{Value, json};

use crate::access::{Caller, House};
use crate::admin::{adt, message};

impl House {
    async fn maintain(&self, caller: &Caller, act: &str) -> (StatusCode, Value) {
        let reason = json!({"reason": "the yearly drill"});
        let answer = self.call(caller, "POST", &format!("/system/{act}"), &reason).await;
        (answer.status, answer.body)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_beside_the_running_engine_is_whole_and_on_record() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let root = house.person("root", &[Role::SystemAdmin]).await;
    let id = house.receive("adt", &message("1", "M1", "I")).await;
    let (status, begun) = house.maintain(&root, "backup").await;
    assert_eq!((status, &begun["by"]), (StatusCode::ACCEPTED, &json!("user:root")), "{begun}");
    let end = Instant::now() + Duration::from_secs(30);
    let done = loop {
        let backup = house.get(&root, "/system").await["backup"].clone();
        if backup["state"] != "running" {
            break backup;
        }
        assert!(Instant::now() < end, "{backup}");
        tokio::task::yield_now().await;
    };
    assert_eq!((&done["state"], &done["error"]), (&json!("done"), &Value::Null), "{done}");
    let folder = std::path::PathBuf::from(done["path"].as_str().unwrap());
    assert!(done["size_bytes"].as_u64().unwrap() > 10_000);
    let trail = house.trail().await;
    assert!(trail.iter().any(|line| line == "user:root system.backup granted"), "{trail:?}");
    let ended = format!("user:root system.backup done {}", folder.display());
    assert!(trail.contains(&ended), "{trail:?}");
    // Another one goes into another folder.
    house.pass(Duration::from_secs(1));
    assert_eq!(house.maintain(&root, "backup").await.0, StatusCode::ACCEPTED);

    // What came after it is not in it; what was there is, and its trail is whole.
    house.receive("adt", &message("2", "M2", "I")).await;
    assert!(folder.join("manifest.json").exists());
    let store = SqliteStore::open(SqliteOptions::new(folder.join("medway.db"))).await.unwrap();
    let query = MessageQuery { limit: 10, ..MessageQuery::default() };
    let found = store.search(query).await.unwrap();
    let ids: Vec<String> = found.iter().map(|one| one.envelope.id.to_string()).collect();
    assert_eq!(ids, [id]);
    store.close().await;
    let access = SqliteAccess::open(&folder.join("access.db")).await.unwrap();
    assert!(access.user("root").await.unwrap().is_some());
    assert!(matches!(verify(&access).await.unwrap(), Verified::Whole { .. }));
    access.close_access().await;
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_can_be_asked_for_now() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let id = house.receive("adt", &message("1", "M1", "O")).await;
    let refused = Reject {
        at: house.clock.now(),
        channel: "adt".into(),
        peer: String::new(),
        reason: "no message".to_owned(),
        payload: Payload::new("x"),
    };
    house.engine.store().reject(refused).await.unwrap();
    for (days, touched) in [(0, 0), (4000, 1)] {
        house.pass(Duration::from_hours(24 * days));
        let root = house.person(&format!("root{days}"), &[Role::SystemAdmin]).await;
        let (status, pruned) = house.maintain(&root, "retention").await;
        assert_eq!((status, &pruned["all"]), (StatusCode::OK, &json!(true)), "{pruned}");
        assert_eq!(pruned["touched"], touched, "after {days} days");
    }
    let kept = house.engine.store().find(MessageId::parse(&id).unwrap()).await;
    assert!(kept.is_ok(), "what still waits is never taken");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_asked_for_and_certificates_are_read_again() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let root = house.person("root", &[Role::SystemAdmin]).await;
    let (status, read) = house.maintain(&root, "certificates").await;
    assert_eq!((status, &read["profiles"]), (StatusCode::OK, &json!([])), "{read}");
    let why = house.call(&root, "POST", "/system/stop", &json!({"reason": " "})).await;
    assert_eq!((why.status, &why.body["code"]), (StatusCode::BAD_REQUEST, &json!("no_reason")));
    assert!(!house.engine.end_asked().is_cancelled());
    let (status, said) = house.maintain(&root, "stop").await;
    assert_eq!((status, &said["state"]), (StatusCode::ACCEPTED, &json!("stopping")));
    let asked = house.engine.end_asked().cancelled();
    tokio::time::timeout(Duration::from_secs(30), asked).await.expect("the engine is to end");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_is_for_system_administrators_of_all_channels() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let all = Role::ALL.into_iter().filter(|role| *role != Role::SystemAdmin).collect::<Vec<_>>();
    let others = house.person("others", &all).await;
    let wards = house.person_of("wards", &[Role::SystemAdmin], &["wards"]).await;
    for act in ["backup", "retention", "certificates", "log-level", "stop"] {
        for caller in [&others, &wards] {
            let (status, body) = house.maintain(caller, act).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{act}: {body}");
        }
    }
    assert!(!house.engine.end_asked().is_cancelled());
    assert!(!house.folder.path().join("data/backups").exists());
    house.end().await;
}
