//! A host that nobody reaches, seen from its subscribers and from those of others; and how often one is called.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Hook, Site, search};

const ALL: &str = "Observation?status=final";
const SUBSCRIBERS: usize = 12;

/// The URL of a port at which nobody listens, and the port.
async fn nobody() -> (String, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (format!("http://127.0.0.1:{port}/hook"), port)
}

async fn subscribe(site: &Site, ids: &[String], url: &str) {
    for id in ids {
        site.put(&format!("Subscription/{id}"), &search(id, url, ALL)).await;
        site.status(id, "active").await;
    }
}

fn ids() -> Vec<String> {
    (0..SUBSCRIBERS).map(|nth| format!("dead-{nth}")).collect()
}

/// Waits until a call to each of these failed.
async fn failed(site: &Site, ids: &[String]) {
    let deadline = Instant::now() + super::PATIENCE;
    for id in ids {
        loop {
            let shown = site.engine.subscriptions().one(id).await.unwrap();
            if shown["last_failure"] == "refused" {
                break;
            }
            assert!(Instant::now() < deadline, "{shown}");
            tokio::task::yield_now().await;
        }
    }
}

fn parameter(parameters: &Value, name: &str) -> Value {
    let list = parameters["parameter"].as_array().unwrap().iter();
    list.into_iter().find(|one| one["name"] == name).cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_host_holds_up_no_other_and_hears_of_all_when_it_is_back() {
    let site = Site::new("schedule: [8s, 1h]").await;
    let (url, port) = nobody().await;
    let ids = ids();
    subscribe(&site, &ids, &url).await;
    let good = Hook::new(&[]).await;
    subscribe(&site, &["good".to_owned()], &good.url()).await;
    site.observe("1", "a", 1).await;
    good.called(1).await;
    failed(&site, &ids).await;
    // Nobody gets through, whoever comes now too; the others go on.
    let late = ["late".to_owned()];
    subscribe(&site, &late, &url).await;
    site.observe("2", "b", 1).await;
    good.called(2).await;
    failed(&site, &late).await;
    // Who asks hears that it is active, and which events there were.
    let query = ids.iter().map(|id| format!("id={id}")).collect::<Vec<_>>().join("&");
    let (status, told) =
        site.ask(Method::GET, &format!("Subscription/$status?{query}"), &Value::Null).await;
    assert_eq!((status, &told["total"]), (200, &json!(SUBSCRIBERS)), "{told}");
    for entry in told["entry"].as_array().unwrap() {
        let parameters = &entry["resource"];
        assert_eq!(parameter(parameters, "status")["valueCode"], "active");
        let events = parameter(parameters, "events-since-subscription-start");
        assert_eq!(events["valueString"], "2");
    }
    for id in &ids {
        let shown = site.engine.subscriptions().one(id).await.unwrap();
        assert_eq!((&shown["status"], &shown["events"]), (&json!("active"), &json!(2)));
    }
    // It is there again: each hears of what there was, the late one of what came after him.
    let back = Hook::at(port, &[]).await;
    assert_eq!(back.called(2 * SUBSCRIBERS + 1).await.len(), 2 * SUBSCRIBERS + 1);
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_host_ends_is_told_by_status_and_goes_on_when_asked() {
    let site = Site::new("schedule: [200ms, 200ms]").await;
    let (url, port) = nobody().await;
    let ids = ids();
    subscribe(&site, &ids, &url).await;
    site.observe("1", "a", 1).await;
    for id in &ids {
        let stored = site.status(id, "error").await;
        assert!(stored["error"].as_str().unwrap().contains("refused"), "{stored}");
    }
    let told = site.get("Subscription/$status?status=error").await;
    assert_eq!(told["total"], SUBSCRIBERS, "{told}");
    for entry in told["entry"].as_array().unwrap() {
        let error = parameter(&entry["resource"], "error");
        let text = error["valueCodeableConcept"]["text"].as_str().unwrap();
        assert!(text.contains("refused"), "{error}");
    }
    let back = Hook::at(port, &[]).await;
    subscribe(&site, &ids, &url).await;
    assert_eq!(back.called(SUBSCRIBERS).await.len(), SUBSCRIBERS);
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_is_called_no_more_often_than_he_may_be() {
    const EVENTS: u32 = 15;
    let site = Site::new("schedule: [1h], per_second: 5").await;
    let (slow, quick) = (Hook::new(&[]).await, Hook::new(&[]).await);
    subscribe(&site, &["slow".to_owned()], &slow.url()).await;
    let began = Instant::now();
    for nth in 0..EVENTS {
        site.observe(&nth.to_string(), &format!("o{nth}"), nth).await;
    }
    slow.called(usize::try_from(EVENTS).unwrap()).await;
    let took = began.elapsed();
    // A second's worth may go at once; what is beyond it waits its turn.
    assert!(took >= Duration::from_millis(1_900), "{EVENTS} calls within {took:?}");
    // The rate is each subscriber's own: one that is new has his at once.
    subscribe(&site, &["quick".to_owned()], &quick.url()).await;
    site.observe("x", "ox", 1).await;
    quick.called(1).await;
    site.engine.stop().await;
}
