//! What subscribers are called with, in which order, and what happens when they do not answer.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};

use super::{Hook, Says, Site, TOPICS, search, topic};

/// A schedule that a test can wait for.
const QUICK: &str = "schedule: [50ms, 50ms, 50ms, 50ms, 50ms, 50ms, 50ms, 50ms, 50ms]";

#[tokio::test(flavor = "multi_thread")]
async fn a_search_subscriber_gets_each_resource_that_matches() {
    let site = Site::new(QUICK).await;
    let hook = Hook::new(&[]).await;
    let criteria = "Observation?code=http://loinc.org|8867-4&subject=Patient/1";
    let (status, stored) = site.put("Subscription/s", &search("s", &hook.url(), criteria)).await;
    assert_eq!((status, &stored["status"]), (201, &json!("requested")), "{stored}");
    site.status("s", "active").await;
    site.observe("2", "other", 0).await;
    site.observe("1", "a", 60).await;
    site.observe("1", "a", 61).await;
    let calls = hook.called(2).await;
    for (call, (value, version)) in calls.iter().zip([(60, "1"), (61, "2")]) {
        let body = call.json();
        assert_eq!(call.line, "POST /hook HTTP/1.1");
        assert_eq!(call.header("content-type"), Some("application/fhir+json"));
        assert_eq!(
            (&body["valueInteger"], &body["meta"]["versionId"]),
            (&json!(value), &json!(version))
        );
        // As a client reads it.
        let read = site.get(&format!("Observation/a/_history/{version}")).await;
        assert_eq!(read, body);
    }
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_subscriber_is_greeted_and_gets_numbered_events() {
    let site = Site::new(&format!("{TOPICS}, {QUICK}")).await;
    let hook = Hook::new(&[]).await;
    site.put("Subscription/t", &topic("t", &hook.url(), "full-resource")).await;
    site.status("t", "active").await;
    for value in 1..=3 {
        site.observe("1", "a", value).await;
    }
    let calls = hook.called(4).await;
    assert_eq!(
        (calls[0].kind(), calls[0].parameter("events-since-subscription-start")),
        ("handshake".into(), "0".into())
    );
    for (number, call) in calls.iter().skip(1).enumerate() {
        let number = number + 1;
        assert_eq!(call.kind(), "event-notification");
        assert_eq!(call.parameter("events-since-subscription-start"), number.to_string());
        assert_eq!(call.json()["entry"][1]["resource"]["valueInteger"], number);
    }
    let status = site.get("Subscription/t/$status").await;
    assert_eq!(status["type"], "searchset");
    let parameters = &status["entry"][0]["resource"]["parameter"];
    assert_eq!(parameters[3]["valueCode"], "query-status");
    assert_eq!(parameters[4]["valueString"], "3");
    let events = site.get("Subscription/t/$events?eventsSinceNumber=2&content=id-only").await;
    let parameters = events["entry"][0]["resource"]["parameter"].as_array().unwrap();
    let numbers: Vec<&Value> = parameters
        .iter()
        .filter(|one| one["name"] == "notification-event")
        .map(|one| &one["part"][0]["valueString"])
        .collect();
    assert_eq!(numbers, ["2", "3"]);
    assert_eq!(events["entry"][1].get("resource"), None);
    let statement = site.get("metadata").await;
    assert!(statement.to_string().contains("https://hospital.example/topics/results"));
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_misbehaves_and_comes_back_misses_nothing() {
    let site = Site::new(&format!("{TOPICS}, {QUICK}, reply_within: 300ms")).await;
    let bad = [
        Says::Status(200, ""),
        Says::Dies,
        Says::Status(500, ""),
        Says::Status(302, "location: http://127.0.0.1:1/\r\n"),
        Says::Hangs,
        Says::Status(503, "retry-after: 0\r\n"),
        Says::Endless,
    ];
    let hook = Hook::new(&bad).await;
    site.put("Subscription/t", &topic("t", &hook.url(), "id-only")).await;
    site.status("t", "active").await;
    for value in 1..=5 {
        site.observe("1", "a", value).await;
    }
    // One greeting, five failures of the first event, its success without an end, and four more.
    let calls = hook.called(11).await;
    let first: Vec<_> = calls[1..7]
        .iter()
        .map(|call| (call.body.clone(), call.header("webhook-id").unwrap().to_owned()))
        .collect();
    assert!(first.iter().all(|one| *one == first[0]), "a repeat is the same, byte for byte");
    let numbers: Vec<String> =
        calls[6..].iter().map(|call| call.parameter("events-since-subscription-start")).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5"]);
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_one_patient_keep_their_order_and_others_do_not_wait() {
    let site = Site::new(&format!("{TOPICS}, {QUICK}")).await;
    let hook =
        Hook::new(&[Says::Status(200, ""), Says::Status(422, ""), Says::Status(422, "")]).await;
    site.put("Subscription/t", &topic("t", &hook.url(), "full-resource")).await;
    site.status("t", "active").await;
    for value in 0..6 {
        for patient in ["1", "2", "3"] {
            site.observe(patient, &format!("{patient}-{}", value % 2), value).await;
        }
    }
    let calls = hook.called(1 + 2 + 18).await;
    let mut seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut numbers: Vec<u64> = Vec::new();
    for call in calls.iter().skip(1) {
        let number: u64 = call.parameter("events-since-subscription-start").parse().unwrap();
        let body = call.json();
        let patient = body["entry"][1]["resource"]["subject"]["reference"].as_str().unwrap();
        let list = seen.entry(patient.to_owned()).or_default();
        if list.last() != Some(&number) {
            list.push(number);
        }
        numbers.push(number);
    }
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (1..=18).collect::<Vec<_>>());
    for (patient, list) in seen {
        assert!(list.is_sorted(), "{patient}: {list:?}");
    }
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_signed_with_the_new_and_the_old_secret() {
    let site = Site::new(&format!("{TOPICS}, {QUICK}, old_signatures: true")).await;
    let hook = Hook::new(&[]).await;
    let mut subscription = topic("t", &hook.url(), "id-only");
    subscription["channel"]["header"] = json!(["Authorization: Bearer a:b", "X-Ward: 3"]);
    site.put("Subscription/t", &subscription).await;
    let shown = site.status("t", "active").await.to_string();
    assert!(!shown.contains("a:b") && shown.contains("X-Ward: 3"), "{shown}");
    let all = site.engine.subscriptions();
    let hour = std::time::Duration::from_hours(1);
    let old = all.rotate("t", None, hour).await.unwrap()["secret"].as_str().unwrap().to_owned();
    let new = all.rotate("t", None, hour).await.unwrap()["secret"].as_str().unwrap().to_owned();
    site.observe("1", "a", 1).await;
    let calls = hook.called(2).await;
    let call = &calls[1];
    assert_eq!(call.header("authorization"), Some("Bearer a:b"));
    assert_eq!(call.header("x-ward"), Some("3"));
    let expected = |secret: &str| {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let (id, at) =
            (call.header("webhook-id").unwrap(), call.header("webhook-timestamp").unwrap());
        let signed = format!("{id}.{at}.{}", call.body);
        let body = hmac::sign(&key, call.body.as_bytes());
        let hex: String = body.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        (format!("v1,{}", STANDARD.encode(hmac::sign(&key, signed.as_bytes()))), hex)
    };
    let (first, hex) = expected(&new);
    let both = format!("{first} {}", expected(&old).0);
    assert_eq!(call.header("webhook-signature"), Some(both.as_str()));
    assert_eq!(call.header("x-signature"), Some(hex.as_str()));
    assert_eq!(call.header("x-hub-signature"), Some(format!("sha256={hex}").as_str()));
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_given_at_the_creation_signs_from_the_first_call_on() {
    let site = Site::new(&format!("{TOPICS}, {QUICK}, old_signatures: true")).await;
    let hook = Hook::new(&[]).await;
    let secret = "made-up-secret-of-the-receiver-0001";
    let put = |id: &str, secret: &str| {
        let request = site.client.put(format!("{}/Subscription/{id}", site.base));
        let body = topic(id, &hook.url(), "id-only").to_string();
        let request = request.header("content-type", "application/fhir+json");
        request.header("x-hub-secret", secret.to_owned()).body(body).send()
    };
    let refused = put("short", "too-short").await.unwrap();
    assert_eq!(refused.status().as_u16(), 422);
    assert!(!refused.text().await.unwrap().contains("too-short"));
    let made = put("t", secret).await.unwrap();
    assert_eq!(made.status().as_u16(), 201);
    assert!(!made.text().await.unwrap().contains(secret));
    let shown = site.status("t", "active").await.to_string();
    assert!(!shown.contains(secret));
    // Whoever may change a subscription is not thereby the one who knows its secret.
    assert_eq!(put("t", "another-secret-that-nobody-asked").await.unwrap().status().as_u16(), 200);
    site.observe("1", "a", 1).await;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    for call in hook.called(2).await {
        let hex: String = hmac::sign(&key, call.body.as_bytes())
            .as_ref()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(call.header("x-hub-signature"), Some(format!("sha256={hex}").as_str()));
    }
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_no_event_and_repeats_no_number() {
    let site = Site::new(&format!("{TOPICS}, schedule: [1h]")).await;
    let hook = Hook::new(&[]).await;
    site.put("Subscription/t", &topic("t", &hook.url(), "id-only")).await;
    site.status("t", "active").await;
    site.observe("1", "a", 1).await;
    hook.called(2).await;
    hook.say(&[Says::Status(500, "")]);
    site.observe("1", "a", 2).await;
    site.observe("1", "a", 3).await;
    hook.called(3).await;
    let site = site.again().await;
    // What waits for an hour is tried when its subscriber asks for it.
    site.put("Subscription/t", &topic("t", &hook.url(), "id-only")).await;
    let calls = hook.called(6).await;
    assert_eq!(calls[3].kind(), "handshake");
    let numbers: Vec<String> =
        calls[4..].iter().map(|call| call.parameter("events-since-subscription-start")).collect();
    assert_eq!(numbers, ["2", "3"]);
    site.observe("1", "a", 4).await;
    let calls = hook.called(7).await;
    assert_eq!(calls[6].parameter("events-since-subscription-start"), "4");
    site.engine.stop().await;
}
