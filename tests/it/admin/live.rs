//! The live stream: what is committed, masked as the view says, and only as long as the session holds.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use futures_util::StreamExt as _;
use medway::access::role::Role;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::access::{Caller, House};
use crate::admin::{adt, message};

/// An open stream, read event by event.
struct Stream {
    body: BodyDataStream,
    text: String,
}

impl Stream {
    async fn open(house: &House, caller: &Caller, query: &str) -> Self {
        let cookie = format!("medway={}", caller.cookie.as_ref().unwrap());
        let request = Request::get(format!("/api/v1/live{query}")).header("cookie", cookie);
        let request = request.body(Body::empty()).unwrap();
        let response = house.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event of a kind; `None` when the stream has ended.
    async fn next(&mut self, kind: &str) -> Option<Value> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                if event.lines().any(|line| line == format!("event: {kind}")) {
                    return Some(serde_json::from_str(data.unwrap()).unwrap());
                }
            }
            let wait = tokio::time::timeout(Duration::from_secs(30), self.body.next());
            let chunk = wait.await.expect("an event comes, or the stream ends")?;
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_come_as_they_are_committed_as_far_as_the_view_goes() {
    let channels = [("adt", &*adt("adt", "wards")), ("lab", &*adt("lab", "laboratory"))];
    let house = House::with(&channels).await;
    let op = house.operator().await;
    let ward = house.person_of("ward", &[Role::Viewer], &["wards"]).await;
    let mut all = Stream::open(&house, &op, "").await;
    let mut own = Stream::open(&house, &ward, "").await;
    let state = all.next("state").await.unwrap();
    assert_eq!(state["destinations"].as_array().unwrap().len(), 4);
    assert_eq!(own.next("state").await.unwrap()["destinations"].as_array().unwrap().len(), 2);
    let lab = house.receive("lab", &message("1", "M1", "O")).await;
    let adt = house.receive("adt", &message("2", "M2", "O")).await;
    let seen = all.next("message").await.unwrap();
    assert_eq!((seen["id"].as_str(), seen["keys"][0]["value"].as_str()), (Some(&*lab), Some("M1")));
    let seen = own.next("message").await.unwrap();
    assert_eq!((seen["id"].as_str(), seen["keys"][0]["value"].as_str()), (Some(&*adt), Some("••")));
    assert!(house.trail().await.contains(&"user:op live.see granted".to_owned()));
    drop((all, own));
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_counted_where_it_is_not_shown() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let op = house.operator().await;
    let mut stream = Stream::open(&house, &op, "?channel=adt&event=ADT%5EA01").await;
    stream.next("state").await.unwrap();
    let total = 200;
    let burst: Vec<String> = (0..total).map(|n| message(&n.to_string(), "M1", "O")).collect();
    house.receive_all("adt", &burst).await;
    let skipped = stream.next("skipped").await.unwrap()["count"].as_u64().unwrap();
    assert!(skipped > 0 && skipped < total, "{skipped}");
    drop(stream);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_ends_with_its_session() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let op = house.operator().await;
    let mut stream = Stream::open(&house, &op, "").await;
    stream.next("state").await.unwrap();
    let out = house.call(&op, "DELETE", "/session", &Value::Null).await;
    assert!(out.status.is_success(), "{}", out.body);
    assert_eq!(stream.next("message").await, None);
    house.end().await;
}
