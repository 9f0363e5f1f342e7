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
    // The document is in the language asked for, with the standard's names of the fields.
    let zh = house.get(&op, "/channels/tested?lang=zh").await;
    for (detail, lines) in [
        (
            &seen,
            [
                "# tested · Tested",
                "| message types (`types`) | `[ADT^A01]` |",
                "| `PV1-2` | Patient Class | IS |",
            ],
        ),
        (
            &zh,
            [
                "# tested · 有测试",
                "| 消息类型 (`types`) | `[ADT^A01]` |",
                "| `PV1-2` | 患者类别 | IS |",
            ],
        ),
    ] {
        let text = detail["document"].as_str().unwrap();
        for line in lines {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
    }
    assert_eq!(house.asks(&op, "/channels/tested?lang=xx").await, StatusCode::BAD_REQUEST);
    let versions = seen["versions"].as_array().unwrap();
    let of = |version: &Value| format!("{} {}", version["by"], version["reason"]).replace('"', "");
    assert_eq!((versions.len(), &*of(&versions[0])), (1, "engine start"));

    let changed = TESTED.replace("PV1-2 is I\n", "PV1-2 is O\n");
    std::fs::write(house.folder.path().join("channels/tested.yaml"), &changed).unwrap();
    let releaser = house.person("rel", &[Role::Releaser]).await;
    let reload = json!({"reason": "ward change"});
    let applied = house.call(&releaser, "POST", "/reload", &reload).await;
    assert_eq!(applied.body["changed"], json!(["tested"]), "{}", applied.body);
    let seen = house.get(&op, "/channels/tested").await;
    let newest = &seen["versions"][0];
    assert_eq!(of(newest), "user:rel ward change");
    assert_eq!(of(&seen["versions"][1]), "engine start", "of each version, not of the last call");
    assert_eq!(newest["version"], seen["version"]);
    let old = format!("/channels/tested/versions/{}", seen["versions"][1]["version"]);
    assert_eq!(house.get(&op, &old).await["yaml"], TESTED);
    // A signal of the machine is on record too, and credits nobody who called a moment ago.
    let third = changed.replace("PV1-2 is O", "PV1-2 is E");
    std::fs::write(house.folder.path().join("channels/tested.yaml"), &third).unwrap();
    assert_eq!(house.engine.reload().await.unwrap()["changed"], json!(["tested"]));
    let house = house.again(|_| ()).await;
    let op = house.person("later", &[Role::Operator]).await;
    let seen = house.get(&op, "/channels/tested").await;
    let authors: Vec<String> = seen["versions"].as_array().unwrap().iter().map(of).collect();
    assert_eq!(authors, ["engine SIGHUP", "user:rel ward change", "engine start"]);
    let trail = house.trail().await;
    let count = |line: &str| trail.iter().filter(|one| *one == line).count();
    assert_eq!(count("engine engine.start done"), 2, "{trail:?}");
    assert_eq!(count("engine config.apply done"), 1, "{trail:?}");
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

#[tokio::test(flavor = "multi_thread")]
async fn who_releases_for_a_group_puts_its_files_in_force_alone() {
    let house =
        House::with(&[("north", &adt("north", "north")), ("south", &adt("south", "south"))]).await;
    let releaser = house.person_of("rel", &[Role::Releaser], &["north"]).await;
    let write = |name: &str, text: String| {
        std::fs::write(house.folder.path().join(format!("channels/{name}.yaml")), text).unwrap();
    };
    for name in ["north", "south"] {
        write(name, adt(name, name).replace("MSH-5: HIS", "MSH-5: NEW"));
    }
    write("third", adt("third", "south"));
    write("fourth", adt("fourth", "north"));
    let report = house.call(&releaser, "POST", "/reload", &json!({"reason": "north"})).await;
    assert_eq!(report.status, StatusCode::OK, "{}", report.body);
    assert_eq!(report.body["changed"], json!(["north"]));
    assert_eq!(report.body["added"], json!(["fourth"]));
    assert!(!report.body.to_string().contains("south"), "{}", report.body);
    // Neither does who releases for a group take a channel of others, nor give one away.
    write("south", adt("south", "north"));
    write("north", adt("north", "south"));
    std::fs::remove_file(house.folder.path().join("channels/third.yaml")).unwrap();
    let report = house.call(&releaser, "POST", "/reload", &json!({"reason": "more"})).await;
    for field in ["changed", "removed", "added"] {
        assert_eq!(report.body[field], json!([]), "{field}: {}", report.body);
    }
    let all = house.person("all", &[Role::Releaser]).await;
    let report = house.call(&all, "POST", "/reload", &json!({"reason": "all"})).await;
    assert_eq!(report.body["changed"], json!(["north", "south"]), "{}", report.body);
    house.end().await;
}
