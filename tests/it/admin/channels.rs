//! One channel: its detail, its versions, starting and stopping it.

use axum::http::StatusCode;
use medway::access::role::Role;
use serde_json::{Value, json};

use crate::access::House;
use crate::admin::adt;

const TESTED: &str = "channel: tested
title: {en: Tested, zh: 有测试}
from:
  http: {listen: 127.0.0.1:0}
accept:
  types: [ADT^A01]
to:
  his:
    mllp: {host: 127.0.0.1, port: 1}
    when: PV1-2 is I
tests:
  - name: goes to the HIS
    send: |
      MSH|^~\\&|A|B|C|D|2026||ADT^A01|1|P|2.5
      PV1|1|I
    expect: {his: sent}
  - name: does not pass
    send: |
      MSH|^~\\&|A|B|C|D|2026||ADT^A01|1|P|2.5
      PV1|1|O
    expect: {his: sent}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_shown_with_its_file_its_graph_its_tests_and_who_applied_it() {
    let house = House::with(&[("tested", TESTED)]).await;
    let op = house.operator().await;
    let seen = house.get(&op, "/channels/tested").await;
    assert_eq!(seen["title"], json!({"en": "Tested", "zh": "有测试"}));
    assert_eq!((&seen["state"], &seen["yaml"]), (&json!("running"), &json!(TESTED)));
    assert_eq!((&seen["tests"]["passed"], &seen["tests"]["failed"]), (&json!(1), &json!(1)));
    assert!(seen["tests"]["failures"][0].as_str().unwrap().contains("does not pass"));
    assert_eq!(seen["graph"]["edges"][1]["when"], "PV1-2 is I");
    assert_eq!(seen["graph"]["nodes"].as_array().unwrap().len(), 3);
    assert!(seen["document"].as_str().unwrap().contains("| types | `[ADT^A01]` |"));
    let versions = seen["versions"].as_array().unwrap();
    assert_eq!((versions.len(), &versions[0]["by"]), (1, &Value::Null), "there at the start");

    let changed = TESTED.replace("PV1-2 is I\n", "PV1-2 is O\n");
    std::fs::write(house.folder.path().join("channels/tested.yaml"), &changed).unwrap();
    let releaser = house.person("rel", &[Role::Releaser]).await;
    let reload = json!({"reason": "ward change"});
    let applied = house.call(&releaser, "POST", "/reload", &reload).await;
    assert_eq!(applied.body["changed"], json!(["tested"]), "{}", applied.body);
    let seen = house.get(&op, "/channels/tested").await;
    let newest = &seen["versions"][0];
    assert_eq!((&newest["by"], &newest["reason"]), (&json!("user:rel"), &json!("ward change")));
    assert_eq!(newest["version"], seen["version"]);
    let old = format!("/channels/tested/versions/{}", seen["versions"][1]["version"]);
    assert_eq!(house.get(&op, &old).await["yaml"], TESTED);
    assert_eq!(house.asks(&op, "/channels/none").await, StatusCode::NOT_FOUND);
    assert_eq!(house.asks(&op, "/channels/tested/versions/99").await, StatusCode::NOT_FOUND);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_channel_takes_nothing_until_it_is_started_again() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let op = house.operator().await;
    let listens = |body: &Value| body["channels"][0]["sources"].as_array().unwrap().len();
    assert_eq!(listens(&house.get(&op, "/channels").await), 1);
    let reason = json!({"reason": "the HIS sends rubbish"});
    let stopped = house.call(&op, "POST", "/channels/adt/stop", &reason).await;
    assert_eq!(stopped.status, StatusCode::OK, "{}", stopped.body);
    assert_eq!(listens(&house.get(&op, "/channels").await), 0);
    let seen = house.get(&op, "/channels/adt").await;
    assert_eq!(seen["state"], "stopped");
    assert_eq!(seen["stopped"]["reason"], "the HIS sends rubbish");
    let again = house.call(&op, "POST", "/channels/adt/stop", &reason).await;
    assert_eq!(again.body["code"], "not_possible");
    let noted = std::fs::read_to_string(house.folder.path().join("data/stopped.json")).unwrap();
    assert!(noted.contains("rubbish"), "it survives a restart");
    let mute = house.call(&op, "POST", "/channels/adt/start", &json!({"reason": ""})).await;
    assert_eq!(mute.body["code"], "no_reason");
    let started = house.call(&op, "POST", "/channels/adt/start", &reason).await;
    assert_eq!(started.status, StatusCode::OK, "{}", started.body);
    assert_eq!(listens(&house.get(&op, "/channels").await), 1);
    assert!(house.trail().await.contains(&"user:op channel.switch granted adt/stop".to_owned()));
    house.end().await;
}
