//! A message's tree, neighbours and filters, as each view level sees them.

use axum::http::StatusCode;
use medway::access::role::Role;
use serde_json::{Value, json};

use crate::access::House;
use crate::admin::{adt, message};

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_names_fields_and_hides_values_from_a_masked_view() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let id = house.receive("adt", &message("1", "M1", "I")).await;
    let op = house.operator().await;
    let viewer = house.person("ward", &[Role::Viewer]).await;
    let tree = house.get(&op, &format!("/messages/{id}/tree")).await;
    assert_eq!((&tree["format"], &tree["masked"]), (&json!("hl7"), &json!(false)));
    let sex = tree.pointer("/segments/1/fields/4").unwrap();
    assert_eq!(sex["path"], "PID-8");
    assert_eq!(sex["repetitions"][0]["meaning"], json!({"en": "Female", "zh": "女"}));
    let hidden = house.get(&viewer, &format!("/messages/{id}/tree")).await;
    assert_eq!(hidden["masked"], true);
    assert!(!hidden.to_string().contains("Heron") && !hidden.to_string().contains("M1"));
    let path = format!("/messages/{id}/tree?destination=adt%2Fhis");
    let sent = house.get(&op, &path).await;
    assert_eq!(sent.pointer("/segments/0/fields/4/repetitions/0/value"), Some(&json!("HIS")));
    let releaser = house.person("rel", &[Role::Releaser]).await;
    let refused = house.asks(&releaser, &format!("/messages/{id}/tree")).await;
    assert_eq!(refused, StatusCode::FORBIDDEN);
    assert!(house.trail().await.contains(&format!("user:op message.tree granted {id}")));
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_are_the_messages_just_before_and_just_after_by_the_same_key() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let mut ids = Vec::new();
    for (control, mrn) in [("1", "M1"), ("2", "M2"), ("3", "M1"), ("4", "M1"), ("5", "M1")] {
        ids.push(house.receive("adt", &message(control, mrn, "I")).await);
        house.pass(std::time::Duration::from_secs(7200));
    }
    let op = house.operator().await;
    let near = |id: String| {
        let (house, op) = (&house, op.clone());
        async move { house.get(&op, &format!("/messages/{id}/neighbours")).await["keys"].clone() }
    };
    assert_eq!(
        near(ids[2].clone()).await,
        json!([{"name": "mrn", "previous": ids[0], "next": ids[3]}])
    );
    assert_eq!(
        near(ids[1].clone()).await,
        json!([{"name": "mrn", "previous": null, "next": null}])
    );
    assert_eq!(near(ids[4].clone()).await[0]["next"], Value::Null);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_why_a_filter_said_no() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let id = house.receive("adt", &message("1", "M1", "O")).await;
    let op = house.operator().await;
    let told = house.get(&op, &format!("/messages/{id}/explain")).await;
    let lis = &told["routes"][0];
    assert_eq!(lis["destination"], "adt/lis");
    assert_eq!((&lis["chosen"], &lis["accepted"]), (&json!(false), &json!(true)));
    assert_eq!(lis["filter"], "PV1-2 is I or E and PID-8 is not empty");
    assert_eq!((&lis["line"], &lis["column"]), (&json!(10), &json!(11)));
    let no = json!({"text": "PV1-2 is I or E", "value": "O", "result": false});
    let yes = json!({"text": "PID-8 is not empty", "value": "F", "result": true});
    assert_eq!(lis["terms"], json!([no, yes]));
    assert_eq!(told["routes"][1]["chosen"], true);
    assert_eq!(told["routes"][1]["filter"], Value::Null);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_limited_to_a_group_sees_its_channels_and_their_messages_alone() {
    let channels = [("adt", &*adt("adt", "wards")), ("lab", &*adt("lab", "laboratory"))];
    let house = House::with(&channels).await;
    let (ward, lab) = (
        house.receive("adt", &message("1", "M1", "I")).await,
        house.receive("lab", &message("2", "M1", "I")).await,
    );
    let op = house.person_of("lab-op", &[Role::Operator], &["laboratory"]).await;
    let listed = house.get(&op, "/channels").await;
    assert_eq!(listed["channels"].as_array().unwrap().len(), 1);
    assert_eq!(listed["channels"][0]["channel"], "lab");
    let destinations = house.get(&op, "/destinations").await;
    assert_eq!(destinations["destinations"].as_array().unwrap().len(), 2);
    assert_eq!(house.asks(&op, "/destinations/adt/his").await, StatusCode::NOT_FOUND);
    assert_eq!(house.asks(&op, "/destinations/lab/his").await, StatusCode::OK);
    for (id, expected) in [(&ward, StatusCode::NOT_FOUND), (&lab, StatusCode::OK)] {
        for what in ["", "/body", "/tree", "/neighbours", "/explain"] {
            assert_eq!(house.asks(&op, &format!("/messages/{id}{what}")).await, expected, "{what}");
        }
    }
    let found = house.call(&op, "POST", "/messages/search", &json!({"value": "M1"})).await;
    assert_eq!(found.body["messages"].as_array().unwrap().len(), 1);
    assert_eq!(found.body["messages"][0]["id"], json!(lab));
    let near = house.get(&op, &format!("/messages/{lab}/neighbours")).await;
    assert_eq!(near["keys"][0]["previous"], Value::Null, "the ward's is not seen");
    let reason = json!({"reason": "try"});
    let pause = house.call(&op, "POST", "/destinations/adt/his/pause", &reason).await;
    assert_eq!(pause.status, StatusCode::NOT_FOUND);
    house.end().await;
}
