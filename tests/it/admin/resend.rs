//! Sending again: looked at first, by the rules of now or of then, edited.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use medway::access::role::Role;
use serde_json::{Value, json};

use crate::access::{House, PASSWORD};
use crate::admin::{adt, message};

fn text(payload: &Value) -> String {
    String::from_utf8(STANDARD.decode(payload.as_str().unwrap()).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_what_the_version_in_force_would_send_and_what_is_wrong_with_it() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    // Sees what the analyst sees, and has only the operator's rights.
    let op = house.person("desk", &[Role::Operator]).await;
    let hour = json!({"password": PASSWORD, "reason": "what the LIS would get"});
    assert_eq!(house.call(&op, "POST", "/session/emergency", &hour).await.status, StatusCode::OK);
    let analyst = house.analyst().await;
    let id = house.receive("adt", &message("1", "M1", "O")).await;
    let path = format!("/messages/{id}/preview");
    let seen = house.call(&op, "POST", &path, &json!({"destination": "adt/his"})).await;
    assert_eq!(seen.status, StatusCode::OK, "{}", seen.body);
    assert!(text(&seen.body["payload"]).starts_with("MSH|^~\\&|A|B|HIS|D|"));
    assert_eq!(seen.body["findings"], json!([]));
    let filtered = house.call(&op, "POST", &path, &json!({"destination": "adt/lis"})).await;
    assert_eq!(filtered.body["findings"][0]["code"], "filtered");
    let ask = |bytes: &str| json!({"destination": "adt/his", "payload": STANDARD.encode(bytes)});
    let edit = message("1", "M9", "I").replace("Heron", "Egret");
    let refused = house.call(&op, "POST", &path, &ask(&edit)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "who may not send it edited");
    let edited = house.call(&analyst, "POST", &path, &ask(&edit)).await;
    assert!(text(&edited.body["payload"]).contains("Egret"), "not what was read before");
    let broken = house.call(&analyst, "POST", &path, &ask("PID|1\r")).await;
    assert_eq!(broken.body["findings"][0]["code"], "unreadable");
    assert_eq!(broken.body["findings"][0]["severity"], "error");
    let odd = message("1", "M9", "I").replace("|2.5.1\r", "|7.7\r");
    let odd = house.call(&analyst, "POST", &path, &ask(&odd)).await;
    let finding = &odd.body["findings"][0];
    assert_eq!((&finding["path"], &finding["severity"]), (&json!("MSH-12"), &json!("warning")));
    let none = house.call(&op, "POST", &path, &json!({"destination": "adt/none"})).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_rendered_by_the_rules_of_now_or_of_then() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let op = house.operator().await;
    let id = house.receive("adt", &message("1", "M1", "O")).await;
    let changed = adt("adt", "wards").replace("MSH-5: HIS", "MSH-5: NEW");
    std::fs::write(house.folder.path().join("channels/adt.yaml"), changed).unwrap();
    assert_eq!(house.engine.reload().await.unwrap()["changed"], json!(["adt"]));
    for (render, expected) in [("as_sent", "|HIS|"), ("anew", "|NEW|")] {
        let body = json!({"render": render, "destinations": ["adt/his"], "reason": "asked for"});
        let made = house.call(&op, "POST", &format!("/messages/{id}/replay"), &body).await;
        assert_eq!(made.status, StatusCode::OK, "{}", made.body);
        let new = made.body["message"].as_str().unwrap().to_owned();
        let sent = house.get(&op, &format!("/messages/{new}/sent/adt/his")).await;
        assert!(sent.as_str().unwrap().contains(expected), "{render}");
        let seen = house.get(&op, &format!("/messages/{new}")).await;
        assert_eq!(seen["origin"], json!({"parent": id, "by": "user:op", "reason": "asked for"}));
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_message_stays_linked_and_is_found_by_what_it_says_now() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let op = house.analyst().await;
    let id = house.receive("adt", &message("1", "M1", "O")).await;
    let path = format!("/messages/{id}/replay");
    let ask = |bytes: &str, more: Value| {
        let mut body = json!({"destinations": ["adt/his"], "reason": "wrong number",
                              "payload": STANDARD.encode(bytes)});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let edit = message("1", "M9", "O");
    let made = house.call(&op, "POST", &path, &ask(&edit, json!({}))).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    let found = house.call(&op, "POST", "/messages/search", &json!({"value": "M9"})).await;
    assert_eq!(found.body["messages"][0]["id"], made.body["message"]);
    let new = made.body["message"].as_str().unwrap();
    assert_eq!(house.get(&op, &format!("/messages/{new}")).await["origin"]["parent"], json!(id));
    assert_eq!(house.get(&op, &format!("/messages/{new}/body")).await, json!(edit));
    assert_eq!(
        house.get(&op, &format!("/messages/{id}/body")).await,
        json!(message("1", "M1", "O"))
    );
    let broken = house.call(&op, "POST", &path, &ask("PID|1\r", json!({}))).await;
    assert_eq!(broken.body["code"], "bad_payload");
    let as_sent = house.call(&op, "POST", &path, &ask(&edit, json!({"render": "as_sent"}))).await;
    assert_eq!(as_sent.body["code"], "bad_render");
    for (name, role) in [("ward", Role::Viewer), ("desk", Role::Operator)] {
        let caller = house.person(name, &[role]).await;
        let refused = house.call(&caller, "POST", &path, &ask(&edit, json!({}))).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{name}");
    }
    let desk = house.call(&op, "POST", &path, &json!({"reason": "as it was"})).await;
    assert_eq!(desk.status, StatusCode::OK, "{}", desk.body);
    house.end().await;
}
