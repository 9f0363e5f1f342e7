//! The engine as a machine, and its counts.

use std::time::Duration;

use serde_json::{Value, json};

use crate::access::House;
use crate::admin::{adt, message};

#[tokio::test(flavor = "multi_thread")]
async fn the_system_page_knows_its_store_and_its_configuration() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let op = house.operator().await;
    house.pass(Duration::from_secs(90));
    let seen = house.get(&op, "/system").await;
    assert_eq!(seen["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(seen["uptime_seconds"], 90);
    let path = seen["store"]["path"].as_str().unwrap();
    let size = std::fs::metadata(path).unwrap().len();
    assert_eq!(seen["store"]["size_bytes"], json!(size));
    assert!(seen["store"]["free_bytes"].as_u64().unwrap() > 0);
    assert_eq!((&seen["config"]["by"], &seen["certificates"]), (&Value::Null, &json!([])));
    let before = seen["config"]["hash"].clone();
    std::fs::write(house.folder.path().join("channels/lab.yaml"), adt("lab", "laboratory"))
        .unwrap();
    let releaser = house.person("rel", &[medway::access::role::Role::Releaser]).await;
    let applied = house.call(&releaser, "POST", "/reload", &json!({"reason": "the lab"})).await;
    assert_eq!(applied.body["added"], json!(["lab"]), "{}", applied.body);
    let seen = house.get(&op, "/system").await;
    assert_ne!(seen["config"]["hash"], before);
    assert_eq!(seen["config"]["by"], "user:rel");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_counts_what_came_since_the_minute_before() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let op = house.operator().await;
    house.engine.note_history().await;
    for n in 0..3 {
        house.receive("adt", &message(&n.to_string(), "M1", "O")).await;
    }
    house.engine.note_history().await;
    let points = house.get(&op, "/metrics/history?minutes=1").await["points"].clone();
    assert_eq!(points.as_array().unwrap().len(), 1);
    assert_eq!((&points[0]["received"], &points[0]["delivered"]), (&json!(3), &json!(0)));
    assert_eq!(points[0]["at"], json!(house.clock.now().to_string()));
    house.end().await;
}
