//! Conditional requests, and what happens when many come at once.

use serde_json::{Value, json};

use super::{JSON, Server};

fn patient(mrn: &str) -> Value {
    json!({"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": mrn}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conditional_create_makes_one() {
    let server = Server::start().await;
    let unless = [JSON, ("If-None-Exist", "identifier=urn:mrn|7")];
    let body = patient("7").to_string();
    let first = server.call("POST", "Patient", &unless, &body).await;
    let second = server.call("POST", "Patient", &unless, &body).await;
    assert_eq!((first.status, second.status), (201, 200));
    assert_eq!(first.body["id"], second.body["id"]);
    assert_eq!(first.header("location"), second.header("location"));
    server.post("Patient", &patient("7")).await;
    let many = server.call("POST", "Patient", &unless, &body).await;
    assert_eq!((many.status, many.codes()), (412, vec!["multiple-matches"]));
    let unknown = [JSON, ("If-None-Exist", "shoe=7")];
    assert_eq!(server.call("POST", "Patient", &unknown, &body).await.status, 400);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn identical_conditional_creates_at_once_give_one_resource() {
    let server = Server::start().await;
    for query in ["identifier=urn:mrn|8", "identifier=urn:mrn|9&active:missing=true"] {
        let body = patient(if query.contains('8') { "8" } else { "9" }).to_string();
        let unless = [JSON, ("If-None-Exist", query)];
        let calls = (0..16).map(|_| server.call("POST", "Patient", &unless, &body));
        let answers = futures_util::future::join_all(calls).await;
        let made = answers.iter().filter(|got| got.status == 201).count();
        let ids: std::collections::BTreeSet<_> =
            answers.iter().map(|got| got.body["id"].to_string()).collect();
        assert_eq!((made, ids.len()), (1, 1), "{answers:?}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditional_updates_patches_and_deletes_act_on_the_one_that_matches() {
    let server = Server::start().await;
    let made = server.put("Patient?identifier=urn:mrn|1", &patient("1")).await;
    assert_eq!(made.status, 201, "{made:?}");
    let mut changed = patient("1");
    changed["active"] = json!(true);
    let updated = server.put("Patient?identifier=urn:mrn|1", &changed).await;
    assert_eq!(updated.status, 200);
    assert_eq!(updated.body["id"], made.body["id"]);
    changed["id"] = json!("another");
    assert_eq!(server.put("Patient?identifier=urn:mrn|1", &changed).await.status, 400);
    let patch = json!([{"op": "replace", "path": "/active", "value": false}]).to_string();
    let kind = ("Content-Type", "application/json-patch+json");
    let path = "Patient?identifier=urn:mrn|1";
    let patched = server.call("PATCH", path, &[kind], &patch).await;
    assert_eq!((patched.status, &patched.body["active"]), (200, &json!(false)));
    let other = server.call("PATCH", "Patient?identifier=urn:mrn|2", &[kind], &patch).await;
    assert_eq!(other.status, 404);
    assert_eq!(server.call("DELETE", path, &[], "").await.status, 204);
    assert_eq!(server.call("DELETE", path, &[], "").await.status, 204);
    server.post("Patient", &patient("3")).await;
    server.post("Patient", &patient("3")).await;
    let two = server.call("DELETE", "Patient?identifier=urn:mrn|3", &[], "").await;
    assert_eq!((two.status, two.codes()), (412, vec!["multiple-matches"]));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_guard_updates_and_spare_reads() {
    let server = Server::start().await;
    let mut body = json!({"resourceType": "Patient", "id": "p", "active": true});
    server.store(&body).await;
    body["active"] = json!(false);
    let text = body.to_string();
    let with = |tag: &'static str| [JSON, ("If-Match", tag)];
    assert_eq!(server.call("PUT", "Patient/p", &with("W/\"2\""), &text).await.status, 412);
    assert_eq!(server.call("PUT", "Patient/p", &with("nonsense"), &text).await.status, 400);
    assert_eq!(server.call("PUT", "Patient/p", &with("W/\"1\""), &text).await.status, 200);
    assert_eq!(
        server.call("DELETE", "Patient/p", &[("If-Match", "W/\"1\"")], "").await.status,
        412
    );
    let read = server.get("Patient/p").await;
    let same = server.call("GET", "Patient/p", &[("If-None-Match", "W/\"2\"")], "").await;
    assert_eq!((same.status, &same.body), (304, &Value::Null));
    assert_eq!(
        server.call("GET", "Patient/p", &[("If-None-Match", "W/\"1\"")], "").await.status,
        200
    );
    let since = [("If-Modified-Since", read.header("last-modified"))];
    assert_eq!(server.call("GET", "Patient/p", &since, "").await.status, 304);
    let long_ago = [("If-Modified-Since", "Thu, 01 Jan 2015 00:00:00 GMT")];
    assert_eq!(server.call("GET", "Patient/p", &long_ago, "").await.status, 200);
    let head = server.call("HEAD", "Patient/p", &[], "").await;
    assert_eq!((head.status, head.header("etag"), &head.body), (200, "W/\"2\"", &Value::Null));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_at_once_are_all_versions() {
    let server = Server::start().await;
    server.store(&json!({"resourceType": "Patient", "id": "p"})).await;
    let bodies: Vec<Value> = (0..12)
        .map(|year| json!({"resourceType": "Patient", "id": "p", "birthDate": format!("{}", 1980 + year)}))
        .collect();
    let calls = bodies.iter().map(|body| server.put("Patient/p", body));
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().all(|got| got.status == 200), "{answers:?}");
    let last = server.get("Patient/p").await;
    assert_eq!(last.body["meta"]["versionId"], "13");
    server.end().await;
}
