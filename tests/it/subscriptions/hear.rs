//! One engine subscribes to another: what the one tells is messages of the other.

use medway::message::id::Seq;
use medway::store::MessageQuery;
use reqwest::Method;
use serde_json::{Value, json};

use super::{PATIENCE, Site, TOPICS, topic};

/// What the hearer has in its log, oldest first: event and value.
async fn heard(site: &Site) -> Vec<(String, u64)> {
    let query = MessageQuery { limit: 1000, ..MessageQuery::default() };
    let store = site.engine.store();
    let mut places: Vec<Seq> =
        store.search(query).await.unwrap().iter().map(|message| message.seq).collect();
    places.reverse();
    let messages = store.messages(&places).await.unwrap();
    let told = messages.iter().map(|message| {
        let body: Value = serde_json::from_slice(message.payload.expose()).unwrap();
        (message.envelope.event.to_string(), body["valueInteger"].as_u64().unwrap_or_default())
    });
    told.collect()
}

async fn has_heard(site: &Site, count: usize) -> Vec<(String, u64)> {
    let mut committed = site.engine.store().committed();
    let waiting = async {
        loop {
            let all = heard(site).await;
            if all.len() >= count {
                return all;
            }
            let _batch = committed.recv().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it hears of everything")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_engine_hears_what_another_tells_once_and_without_gaps() {
    // The address stands in what is told, so that it is known before.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let teller = Site::listening(port, &format!("{TOPICS}, schedule: [100ms, 1h]"), "none").await;
    let from = format!("http://127.0.0.1:{port}/fhir");
    let hearing = format!("none, notifications: {{from: \"{from}\", secret: secret/hook}}");
    let hearer = Site::guarded(TOPICS, &hearing).await;
    let body = topic("t", &hearer.base, "full-resource").to_string();
    let made = teller
        .client
        .put(format!("{}/Subscription/t", teller.base))
        .header("content-type", "application/fhir+json")
        .header("x-hub-secret", "made-up-secret-of-the-hearer-0001")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(made.status().as_u16(), 201);
    // It greets, and is answered.
    teller.status("t", "active").await;
    for value in 1..=3 {
        teller.observe("1", "a", value).await;
    }
    let told = |event: &str, value: u64| (format!("Observation^{event}"), value);
    // All three were a PUT, also the one that made it.
    let expected = [told("update", 1), told("update", 2), told("update", 3)];
    assert_eq!(has_heard(&hearer, 3).await, expected);
    // What comes again counts once.
    let all = teller.engine.subscriptions();
    assert_eq!(all.resend("t", 2).await.unwrap()["accepted"], true);
    assert_eq!(all.test("t").await.unwrap()["accepted"], true);
    assert_eq!(heard(&hearer).await, expected);
    // Two events are passed over; the third makes it ask for them.
    all.pause("t", "somebody", "a trial").await.unwrap();
    teller.observe("1", "a", 4).await;
    teller.observe("1", "a", 5).await;
    all.skip("t", "a trial").await.unwrap();
    all.resume("t", "somebody", "a trial").await.unwrap();
    teller.observe("1", "a", 6).await;
    let values: Vec<u64> = has_heard(&hearer, 6).await.iter().map(|(_, value)| *value).collect();
    assert_eq!(values, [1, 2, 3, 4, 5, 6]);
    for sums in teller.engine.store().conservation().await.unwrap() {
        assert_eq!(sums.unaccounted, [], "{sums:?}");
    }
    // Nobody else tells it anything.
    let forged = json!({"resourceType": "Bundle", "type": "history", "entry": []});
    let (status, answer) = hearer.ask(Method::POST, "", &forged).await;
    assert_eq!((status, &answer["resourceType"]), (401, &json!("OperationOutcome")), "{answer}");
    teller.engine.stop().await;
    hearer.engine.stop().await;
}
