//! The same call twice, and changes to what somebody else changed meanwhile.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use medway::access::role::Role;
use serde_json::{Value, json};

use crate::access::{Answer, Caller, House};
use crate::admin::{adt, message};

/// A call with one more header.
async fn with(
    house: &House,
    caller: &Caller,
    (method, path): (&str, &str),
    (name, value): (&str, &str),
    body: &Value,
) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/v1{path}"))
        .header("cookie", format!("medway={}", caller.cookie.as_ref().unwrap()))
        .header("x-csrf-token", caller.csrf.as_ref().unwrap())
        .header("content-type", "application/json")
        .header(name, value);
    house.send(request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_with_the_same_key_is_made_once() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let op = house.operator().await;
    let id = house.receive("adt", &message("1", "M1", "O")).await;
    let path = format!("/messages/{id}/replay");
    let body = json!({"destinations": ["adt/his"], "reason": "asked for"});
    let ask = |key: &'static str, body: Value| {
        let (house, op, path) = (&house, &op, &path);
        async move { with(house, op, ("POST", path), ("idempotency-key", key), &body).await }
    };
    let first = ask("k1", body.clone()).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    let again = ask("k1", body.clone()).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let other = ask("k1", json!({"destinations": ["adt/his"], "reason": "another"})).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(other.body["code"], "idempotency_key_reused");
    assert_ne!(ask("k2", body).await.body["message"], first.body["message"]);
    let found = house.call(&op, "POST", "/messages/search", &json!({"value": "M1"})).await;
    assert_eq!(found.body["messages"].as_array().unwrap().len(), 3);
    let resends = house.trail().await;
    let resends = resends.iter().filter(|line| line.contains("message.resend granted"));
    assert_eq!(resends.count(), 2, "what is not done again is not on record again");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_answered_once_and_kept_nowhere() {
    let house = House::with(&[]).await;
    let boss = house.person("boss", &[Role::SecurityAdmin]).await;
    let body = json!({"name": "export", "roles": ["security_admin"], "days": 1});
    let ask = || with(&house, &boss, ("POST", "/tokens"), ("idempotency-key", "t1"), &body);
    let first = ask().await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    assert!(first.body["token"].is_string(), "{}", first.body);
    let again = ask().await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.body);
    assert_eq!(again.body["code"], "idempotency_unknown");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_was_changed_meanwhile_is_not_changed_blindly() {
    let house = House::with(&[]).await;
    let boss = house.person("boss", &[Role::SecurityAdmin]).await;
    house.person("li", &[Role::Viewer]).await;
    let seen = house.call(&boss, "GET", "/users/li", &Value::Null).await;
    let tag = seen.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(seen.body["etag"], json!(tag));
    let change = |name: &str| json!({"display": name, "groups": ["wards"]});
    let (at, held) = (("PUT", "/users/li"), ("if-match", &*tag));
    let first = with(&house, &boss, at, held, &change("Li Na")).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    assert_eq!(first.body["groups"], json!(["wards"]));
    let second = with(&house, &boss, at, held, &change("Li Bai")).await;
    assert_eq!(second.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(second.body["code"], "changed_meanwhile");
    let now = first.headers["etag"].to_str().unwrap();
    let third = with(&house, &boss, at, ("if-match", now), &change("Li Bai")).await;
    assert_eq!((third.status, &third.body["display"]), (StatusCode::OK, &json!("Li Bai")));

    let token = json!({"name": "monitor", "roles": ["viewer"], "days": 3, "groups": ["wards"]});
    house.call(&house.engine_itself(), "POST", "/tokens", &token).await;
    let wrong = ("if-match", "\"00\"");
    let refused = with(&house, &boss, ("DELETE", "/tokens/monitor"), wrong, &json!({})).await;
    assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED);
    let listed = house.get(&boss, "/tokens").await;
    assert_eq!(listed["tokens"][0]["groups"], json!(["wards"]));
    let tag = listed["tokens"][0]["etag"].as_str().unwrap();
    let gone =
        with(&house, &boss, ("DELETE", "/tokens/monitor"), ("if-match", tag), &json!({})).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_put_in_force_over_the_configuration_that_was_seen() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let releaser = house.person("rel", &[Role::Releaser]).await;
    let hash = house.get(&releaser, "/system").await["config"]["hash"].as_str().unwrap().to_owned();
    let tag = format!("\"{hash}\"");
    std::fs::write(house.folder.path().join("channels/lab.yaml"), adt("lab", "lab")).unwrap();
    let reason = json!({"reason": "the lab"});
    let (at, held) = (("POST", "/reload"), ("if-match", &*tag));
    let first = with(&house, &releaser, at, held, &reason).await;
    assert_eq!(first.body["added"], json!(["lab"]), "{}", first.body);
    let second = with(&house, &releaser, at, held, &reason).await;
    assert_eq!(second.status, StatusCode::PRECONDITION_FAILED);
    house.end().await;
}

/// The keyed call of these tests.
async fn keyed(house: &House, op: &Caller, key: &str, path: &str) -> Answer {
    let body = json!({"destinations": ["adt/his"], "reason": "asked for"});
    with(house, op, ("POST", path), ("idempotency-key", key), &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_known_after_a_start_for_a_day() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let op = house.operator().await;
    let id = house.receive("adt", &message("1", "M1", "O")).await;
    let path = format!("/messages/{id}/replay");
    let first = keyed(&house, &op, "k1", &path).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    let missing = format!("/messages/{}/replay", "018f0000-0000-7000-8000-000000000000");
    assert_eq!(keyed(&house, &op, "k3", &missing).await.status, StatusCode::NOT_FOUND);
    // As when the engine stops between the act and its answer.
    let house = house
        .again(|data| {
            let database = rusqlite::Connection::open(data.join("access.db")).unwrap();
            let cut = "UPDATE answer SET status = NULL WHERE status = 404";
            assert_eq!(database.execute(cut, []).unwrap(), 1);
        })
        .await;
    let again = keyed(&house, &op, "k1", &path).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let unknown = keyed(&house, &op, "k3", &missing).await;
    assert_eq!(unknown.status, StatusCode::CONFLICT);
    assert_eq!(unknown.body["code"], "idempotency_unknown");
    let count = || async {
        let found = house.call(&op, "POST", "/messages/search", &json!({"value": "M1"})).await;
        found.body["messages"].as_array().unwrap().len()
    };
    assert_eq!(count().await, 2, "one replay");
    house.pass(std::time::Duration::from_hours(25));
    let op = house.person("later", &[Role::Operator]).await;
    assert_eq!(keyed(&house, &op, "k1", &path).await.status, StatusCode::OK);
    let database = rusqlite::Connection::open(house.folder.path().join("data/access.db")).unwrap();
    let kept: i64 =
        database.query_row("SELECT count(*) FROM answer", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 1, "a day later the others are forgotten");
    drop(database);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_at_once_acts_once() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let op = house.operator().await;
    let id = house.receive("adt", &message("1", "M1", "O")).await;
    let path = format!("/messages/{id}/replay");
    let calls = (0..8).map(|_| keyed(&house, &op, "k1", &path));
    let answers = futures_util::future::join_all(calls).await;
    let done = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    assert!(done >= 1);
    for answer in answers.iter().filter(|answer| answer.status != StatusCode::OK) {
        assert_eq!(answer.body["code"], "idempotency_in_progress");
    }
    let found = house.call(&op, "POST", "/messages/search", &json!({"value": "M1"})).await;
    assert_eq!(found.body["messages"].as_array().unwrap().len(), 2, "one replay");
    house.end().await;
}
