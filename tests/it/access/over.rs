//! Credentials that were good once, and pages of others: every route refuses them, in the same words, and tells
//! nothing.

use std::collections::BTreeSet;

use axum::http::Method;
use axum::http::header::{COOKIE, ORIGIN};

use super::*;

/// A route's path with the names of what is there.
fn path_of(route: &medway::admin::route::Route, id: &str) -> String {
    let act = match route.path {
        "/destinations/{channel}/{destination}/{act}" => "pause",
        "/channels/{channel}/{act}" => "stop",
        _ => "retry",
    };
    route
        .path
        .replace("{channel}", "adt")
        .replace("{destination}", "lis")
        .replace("{id}", id)
        .replace("{act}", act)
        .replace("{version}", "1")
        .replace("{name}", "boss")
}

async fn token(house: &House, name: &str, days: u32) -> Caller {
    let new = json!({"name": name, "roles": Role::ALL.map(Role::name), "days": days});
    let made = house.call(&house.engine_itself(), "POST", "/tokens", &new).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    Caller { bearer: made.body["token"].as_str().map(str::to_owned), ..Caller::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_answers_to_what_was_good_once() {
    let house = House::with(&[("adt", KEYED)]).await;
    let id = house.receive("adt", &crate::admin::message("c-1", "MRN77", "I")).await;
    let idle = house.person("idle", &Role::ALL).await;
    let expired = token(&house, "expired", 1).await;
    let revoked = token(&house, "revoked", 30).await;
    let why = json!({"reason": "it leaked"});
    let engine = house.engine_itself();
    let gone = house.call(&engine, "DELETE", "/tokens/revoked", &why).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    house.pass(Duration::from_hours(25));
    let left = house.person("left", &Role::ALL).await;
    house.call(&left, "DELETE", "/session", &Value::Null).await;
    let disabled = house.person("disabled", &Role::ALL).await;
    let off = house.call(&engine, "PUT", "/users/disabled", &json!({"disabled": true})).await;
    assert_eq!(off.status, StatusCode::OK, "{}", off.body);
    let strangers = [
        ("nobody", Caller::default()),
        ("an idle session", idle),
        ("a session that was left", left),
        ("a disabled user's session", disabled),
        ("an expired token", expired),
        ("a revoked token", revoked),
        ("a token that never was", Caller { bearer: Some("none".into()), ..Caller::default() }),
    ];
    let before = house.trail().await.len();
    let mut said = BTreeSet::new();
    for route in ROUTES.iter().filter(|route| route.needs != Needs::Nothing) {
        let path = path_of(route, &id);
        let body = if route.method == "GET" { Value::Null } else { json!({"reason": "x"}) };
        for (who, stranger) in &strangers {
            let answer = house.call(stranger, route.method, &path, &body).await;
            let what = (route.method, &path, who);
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what:?}");
            assert!(!answer.headers.contains_key("set-cookie"), "{what:?}");
            said.insert(answer.body.to_string());
        }
    }
    assert_eq!(said.len(), 1, "one answer for all, whatever is there: {said:?}");
    let after = house.trail().await.split_off(before);
    assert!(after.iter().all(|line| line.contains(" denied")), "nothing was done: {after:?}");
    assert_eq!(after.len(), 5, "bad tokens are on record, a flood of them is counted");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_changes_anything_for_a_page_of_others() {
    let house = House::with(&[("adt", KEYED)]).await;
    let id = house.receive("adt", &crate::admin::message("c-1", "MRN77", "I")).await;
    let li = house.person("li", &Role::ALL).await;
    let other = house.person("other", &Role::ALL).await;
    let cookie = format!("medway={}", li.cookie.clone().unwrap());
    let before = house.trail().await.len();
    let mut said = BTreeSet::new();
    let changing = ROUTES.iter().filter(|route| route.method != "GET");
    for route in changing.filter(|route| route.needs != Needs::Nothing) {
        let path = format!("/api/v1{}", path_of(route, &id));
        let tries = [
            (None, None),
            (Some("guess"), None),
            (other.csrf.as_deref(), None),
            (li.csrf.as_deref(), Some("https://evil.example")),
        ];
        for (csrf, origin) in tries {
            let method = Method::from_bytes(route.method.as_bytes()).unwrap();
            let mut request = Request::builder().method(method).uri(&path);
            request = request.header(COOKIE, &cookie).header("content-type", "application/json");
            if let Some(csrf) = csrf {
                request = request.header("x-csrf-token", csrf);
            }
            if let Some(origin) = origin {
                request = request.header(ORIGIN, origin);
            }
            let body = Body::from(json!({"reason": "x"}).to_string());
            let answer = house.send(request.body(body).unwrap()).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
            assert_eq!(answer.body["code"], "forged", "{path}");
            said.insert(answer.body.to_string());
        }
    }
    assert_eq!(said.len(), 1, "{said:?}");
    let after = house.trail().await.split_off(before);
    assert!(after.iter().all(|line| line.starts_with("user:li ") && line.contains(" denied")));
    assert_eq!(after.len(), 5, "{after:?}");
    house.end().await;
}
