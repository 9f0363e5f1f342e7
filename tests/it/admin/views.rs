//! Saved views: one's own, shared ones, and after a start.

use axum::http::StatusCode;
use medway::access::role::Role;
use serde_json::{Value, json};

use crate::access::{Caller, House};

async fn names(house: &House, caller: &Caller) -> Vec<String> {
    let all = house.get(caller, "/views").await;
    let views = all["views"].as_array().unwrap().iter();
    views.map(|view| view["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn views_are_kept_for_oneself_or_for_all_who_see_as_much() {
    let house = House::with(&[]).await;
    let li = house.person("li", &[Role::Operator]).await;
    let ward = house.person_of("ward", &[Role::Viewer], &["wards"]).await;
    let boss = house.person("boss", &[Role::SecurityAdmin]).await;
    let new = |name: &str, shared: bool| json!({"name": name, "page": "/messages", "query": "channel=adt&state=dead", "shared": shared});
    let made = house.call(&li, "POST", "/views", &new("my dead letters", false)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!((&made.body["owner"], &made.body["mine"]), (&json!("user:li"), &json!(true)));
    let again = house.call(&li, "POST", "/views", &new("my dead letters", true)).await;
    assert_eq!((again.status, &again.body["code"]), (StatusCode::CONFLICT, &json!("name_taken")));
    house.call(&li, "POST", "/views", &new("for all", true)).await;
    house.call(&ward, "POST", "/views", &new("of the wards", true)).await;
    assert_eq!(names(&house, &li).await, ["for all", "my dead letters", "of the wards"]);
    assert_eq!(names(&house, &boss).await, ["for all", "of the wards"]);
    assert_eq!(names(&house, &ward).await, ["of the wards"], "others' channels have names");
    for (page, query) in [("//evil.example", ""), ("javascript:x", ""), ("/messages", "a\nb")] {
        let bad = json!({"name": "x", "page": page, "query": query});
        let refused = house.call(&li, "POST", "/views", &bad).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{page}");
    }

    let path = format!("/views/{}", made.body["id"]);
    assert_eq!(house.call(&ward, "DELETE", &path, &json!({})).await.status, StatusCode::NOT_FOUND);
    let shared = house.call(&li, "PUT", &path, &new("dead letters", true)).await;
    assert_eq!(shared.status, StatusCode::OK, "{}", shared.body);
    let house = house.again(|_| {}).await;
    assert_eq!(names(&house, &boss).await, ["dead letters", "for all", "of the wards"]);
    let op = house.operator().await;
    let foreign = house.call(&op, "PUT", &path, &new("mine now", true)).await;
    assert_eq!(
        (foreign.status, &foreign.body["code"]),
        (StatusCode::FORBIDDEN, &json!("not_yours"))
    );
    assert_eq!(house.call(&boss, "DELETE", &path, &json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(names(&house, &li).await, ["for all", "of the wards"]);
    let trail = house.trail().await;
    assert!(
        trail.iter().any(|line| line.starts_with("user:boss view.remove granted")),
        "{trail:?}"
    );
    let stranger = house.call(&Caller::default(), "GET", "/views", &Value::Null).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
    house.end().await;
}
