//! What somebody tries who should not get in: foreign and planted credentials, forged headers, bodies that
//! are too large, too deep or no JSON, and paths that lead elsewhere. `docs/security.md` lists them.

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, ORIGIN};

use super::*;

/// A POST to a route below `/api/v1` with these headers and this body.
fn post(path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post(format!("/api/v1{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_session_is_worth_nothing() {
    let house = House::new().await;
    house.person("li", &[Role::Viewer]).await;
    let planted = "medway=chosen-by-somebody-else";
    let body = json!({"user": "li", "password": PASSWORD}).to_string();
    let headers = [("cookie", planted), ("content-type", "application/json")];
    let signed_in = house.send(post("/session", &headers, body.clone())).await;
    let li = caller_of(&signed_in);
    assert_ne!(li.cookie.as_deref(), Some("chosen-by-somebody-else"));
    let with = |cookie: &str| Request::get("/api/v1/session").header(COOKIE, cookie.to_owned());
    let seen = house.send(with(planted).body(Body::empty()).unwrap()).await;
    assert_eq!(seen.status, StatusCode::UNAUTHORIZED);

    // A page without TLS on the same host cannot plant what only TLS may carry, and the other way round.
    let other = format!("__Host-medway={}", li.cookie.clone().unwrap());
    let seen = house.send(with(&other).body(Body::empty()).unwrap()).await;
    assert_eq!(seen.status, StatusCode::UNAUTHORIZED);

    // Signing in again leaves no second session behind in the same browser.
    let old = format!("medway={}", li.cookie.clone().unwrap());
    let headers = [("cookie", old.as_str()), ("content-type", "application/json")];
    let again = caller_of(&house.send(post("/session", &headers, body)).await);
    assert_ne!(again.cookie, li.cookie);
    assert_eq!(
        house.call(&li, "GET", "/session", &Value::Null).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(house.call(&again, "GET", "/session", &Value::Null).await.status, StatusCode::OK);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_others_open_nothing() {
    let house = House::new().await;
    let boss = house.person("boss", &[Role::SecurityAdmin]).await;
    let li = house.person("li", &[Role::Operator]).await;
    let stranger = House::new().await;
    let theirs = stranger.person("li", &[Role::Operator]).await;
    let answer = house.call(&theirs, "POST", "/messages/search", &json!({})).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "another engine's session");
    stranger.end().await;

    let mixed = Caller { csrf: boss.csrf.clone(), ..li.clone() };
    let answer = house.call(&mixed, "POST", "/messages/search", &json!({})).await;
    assert_eq!(answer.body["code"], "forged", "another session's token against forgery");

    let token = "the-engine's-own";
    let tried = [
        Request::get(format!("/api/v1/status?token={token}&access_token={token}")),
        Request::get("/api/v1/status").header(AUTHORIZATION, format!("Basic {token}")),
        Request::get("/api/v1/status").header(AUTHORIZATION, token),
        Request::get("/api/v1/status").header(AUTHORIZATION, "Bearer "),
        Request::get("/api/v1/status").header(AUTHORIZATION, format!("Bearer {token}x")),
        Request::get("/api/v1/status").header("x-api-key", token),
        Request::get("/api/v1/status").header("x-forwarded-user", "boss"),
        Request::get("/api/v1/status").header(COOKIE, format!("medway={token}")),
    ];
    for (at, request) in tried.into_iter().enumerate() {
        let answer = house.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "attempt {at}");
        assert!(!answer.body.to_string().contains(token), "attempt {at} is told nothing");
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_cannot_be_injected_and_are_not_believed() {
    let house = House::new().await;
    let boss = house.person("boss", &[Role::SecurityAdmin]).await;
    let split = "li\r\nSet-Cookie: medway=planted";
    let body = json!({"user": split, "password": "wrong"});
    let answer = house.call(&Caller::default(), "POST", "/session", &body).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(!answer.headers.contains_key("set-cookie"));
    let tried = house.trail().await;
    let last = tried.last().unwrap();
    assert!(!last.contains(['\r', '\n']), "one line a record: {last:?}");

    let new = json!({"name": split, "password": PASSWORD, "roles": ["viewer"]});
    let refused = house.call(&boss, "POST", "/users", &new).await;
    assert!(refused.status.is_client_error(), "{}", refused.body);

    let path = "/api/v1/destinations/none/none%0d%0aset-cookie:%20medway=planted";
    let request = Request::get(path)
        .header(COOKIE, format!("medway={}", boss.cookie.clone().unwrap()))
        .header("x-forwarded-for", "203.0.113.9")
        .header("forwarded", "for=203.0.113.9")
        .body(Body::empty());
    let answer = house.send(request.unwrap()).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(!answer.headers.contains_key("set-cookie"));
    let seen = house.call(&boss, "GET", "/users", &Value::Null).await;
    assert_eq!(seen.status, StatusCode::OK);
    let records = house.door.store().audit_from(1, 1000).await.unwrap();
    assert!(records.iter().all(|record| !record.entry.address.contains("203.0.113.9")));

    let crossed = Request::get("/api/v1/session").header(ORIGIN, "https://evil.example");
    let answer = house.send(crossed.body(Body::empty()).unwrap()).await;
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_request_are_refused_in_words() {
    let house = House::new().await;
    let li = house.person("li", &[Role::Viewer]).await;
    let cookie = format!("medway={}", li.cookie.unwrap());
    let csrf = li.csrf.unwrap();
    let large = format!("{{\"value\": \"{}\"}}", "x".repeat(100_000));
    let cases: [(&str, Vec<u8>, u16); 7] = [
        ("application/json", large.into_bytes(), 413),
        ("application/json", "[".repeat(60_000).into_bytes(), 422),
        ("application/json", b"{\"value\": \"\xff\xfe\"}".to_vec(), 400),
        ("application/json", b"{\"value\": ".to_vec(), 400),
        ("application/json", b"{\"no_such_member\": 1}".to_vec(), 422),
        ("text/plain", b"{}".to_vec(), 415),
        ("application/x-www-form-urlencoded", b"value=1".to_vec(), 415),
    ];
    for (media_type, body, status) in cases {
        let start = String::from_utf8_lossy(body.get(..body.len().min(20)).unwrap()).into_owned();
        let headers =
            [("cookie", cookie.as_str()), ("x-csrf-token", &csrf), ("content-type", media_type)];
        let answer = house.send(post("/messages/search", &headers, body)).await;
        assert_eq!(answer.status.as_u16(), status, "{start}: {}", answer.body);
        assert_eq!(answer.headers[CONTENT_TYPE], "application/problem+json", "{start}");
        assert!(answer.body["detail"].as_str().is_some_and(|text| !text.is_empty()), "{start}");
    }
    // The same without having signed in: nothing is parsed for strangers.
    let strange = house.send(post("/messages/search", &[], "[".repeat(60_000))).await;
    assert_eq!(strange.status, StatusCode::UNAUTHORIZED);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_lead_to_pages_and_routes_and_nowhere_else() {
    let house = House::new().await;
    let tried = [
        "/../Cargo.toml",
        "/assets/../../Cargo.toml",
        "/assets/%2e%2e/%2e%2e/Cargo.toml",
        "/..%2f..%2fetc%2fpasswd",
        "/etc/passwd.",
        "//etc/hosts.conf",
        "/data/access.db",
        "/admin.token",
        "/%00.html",
    ];
    for path in tried {
        let answer = house.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    for method in ["TRACE", "CONNECT", "OPTIONS", "PROPFIND", "PATCH"] {
        for path in ["/", "/api/v1/status"] {
            let request = Request::builder().method(method).uri(path).body(Body::empty());
            let answer = house.send(request.unwrap()).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
    house.end().await;
}
