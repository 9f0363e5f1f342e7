//! Who wrote a subscription, and what he may be told; and what is remembered of failures.

use serde_json::json;

use super::{Hook, Says, Site, TOPICS, search, topic};

const EMR: &str = "{name: emr, secret: secret/emr, scopes: \"system/Subscription.cruds system/Observation.cruds\"}";
const LAB: &str =
    "{name: lab, secret: secret/lab, scopes: \"system/Observation.cruds system/Subscription.rs\"}";

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_any_more_gets_nothing_and_misses_nothing() {
    let both = format!("{{tokens: [{EMR}, {LAB}]}}");
    let site = Site::guarded(TOPICS, &both).await.with_token("token-of-emr");
    let hook = Hook::new(&[]).await;
    let (status, stored) = site.put("Subscription/t", &topic("t", &hook.url(), "id-only")).await;
    assert_eq!(status, 201, "{stored}");
    assert!(!stored.to_string().contains("emr"), "{stored}");
    site.status("t", "active").await;
    site.observe("1", "a", 1).await;
    hook.called(2).await;
    // Its client is withdrawn: nothing more is sent.
    let site = site.again_with(&format!("{{tokens: [{LAB}]}}")).await.with_token("token-of-lab");
    site.observe("1", "a", 2).await;
    let stored = site.status("t", "error").await;
    assert!(stored["error"].as_str().unwrap().contains("not let in"), "{stored}");
    site.observe("1", "a", 3).await;
    // It comes back, and gets what waited.
    let site = site.again_with(&both).await.with_token("token-of-emr");
    site.put("Subscription/t", &topic("t", &hook.url(), "id-only")).await;
    let calls = hook.called(5).await;
    assert_eq!(calls[2].kind(), "handshake");
    let numbers: Vec<String> =
        calls[3..].iter().map(|call| call.parameter("events-since-subscription-start")).collect();
    assert_eq!(numbers, ["2", "3"]);
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_read_may_not_be_told() {
    let site = Site::guarded(TOPICS, &format!("{{tokens: [{EMR}, {LAB}]}}")).await;
    let site = site.with_token("token-of-emr");
    let body = search("s", "http://127.0.0.1:9/hook", "Patient?active=true");
    let (status, answer) = site.put("Subscription/s", &body).await;
    assert_eq!(status, 403, "{answer}");
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_header_serves_no_other_subscription_and_no_other_endpoint() {
    let site = Site::new(TOPICS).await;
    let (hook, stranger) = (Hook::new(&[]).await, Hook::new(&[]).await);
    let mut own = topic("own", &hook.url(), "id-only");
    own["channel"]["header"] = json!(["Authorization: Bearer abc"]);
    let (status, stored) = site.put("Subscription/own", &own).await;
    assert_eq!(status, 201, "{stored}");
    let sealed = stored["channel"]["header"][0].as_str().unwrap().to_owned();
    let (_, value) = sealed.split_once(':').unwrap();
    assert!(value.trim().starts_with("sealed:"), "{sealed}");
    for header in [sealed.clone(), format!("X-Any: {}", value.trim())] {
        let mut other = topic("other", &stranger.url(), "id-only");
        other["channel"]["header"] = json!([header]);
        let (status, answer) = site.put("Subscription/other", &other).await;
        assert!(matches!(status, 400 | 403 | 422), "{status} {answer}");
        // Nor by who may change the subscription itself.
        other["id"] = json!("own");
        let (status, answer) = site.put("Subscription/own", &other).await;
        assert!(matches!(status, 400 | 403 | 422), "{status} {answer}");
    }
    own["channel"]["header"] = json!([sealed]);
    let (status, answer) = site.put("Subscription/own", &own).await;
    assert_eq!(status, 200, "as it was it is taken back: {answer}");
    site.status("own", "active").await;
    let calls = hook.called(1).await;
    assert_eq!(calls[0].header("authorization"), Some("Bearer abc"));
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_counted_on_after_a_restart() {
    let site = Site::new(&format!("{TOPICS}, schedule: [20ms, 1h, 1h]")).await;
    let fails = Says::Status(500, "");
    let hook = Hook::new(&[Says::Status(200, ""), fails.clone(), fails.clone()]).await;
    site.put("Subscription/t", &topic("t", &hook.url(), "id-only")).await;
    site.status("t", "active").await;
    site.observe("1", "a", 1).await;
    hook.called(3).await;
    let mut seen = site.engine.subscriptions().changes();
    let before = loop {
        let shown = site.engine.subscriptions().one("t").await.unwrap();
        if shown["failures"] == 2 {
            break shown;
        }
        seen.changed().await.unwrap();
    };
    hook.say(&[fails.clone(), fails]);
    let site = site.again().await;
    let after = site.engine.subscriptions().one("t").await.unwrap();
    assert!(after["failures"].as_u64() >= Some(2), "{after}");
    assert_eq!(after["failing_since"], before["failing_since"]);
    assert_ne!(after["failing_since"], json!(null));
    site.engine.stop().await;
}
