//! The status of subscriptions: who may set it, and when the engine does.

use serde_json::json;

use super::{Hook, Says, Site, TOPICS, search, topic};

const SHORT: &str = "schedule: [20ms, 20ms]";

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_answer_the_handshake_is_not_active() {
    let site = Site::new(TOPICS).await;
    let hook = Hook::new(&[Says::Status(401, "")]).await;
    site.put("Subscription/t", &topic("t", &hook.url(), "id-only")).await;
    let stored = site.status("t", "error").await;
    assert_eq!(stored["error"], "the handshake was not answered: 401");
    let history = site.get("Subscription/t/_history").await;
    assert_eq!(history["entry"].as_array().unwrap().len(), 2);
    // The subscriber mends it and asks again.
    site.put("Subscription/t", &topic("t", &hook.url(), "id-only")).await;
    let stored = site.status("t", "active").await;
    assert_eq!(stored.get("error"), None);
    let found = site.get("Subscription?status=active").await;
    assert_eq!(found["entry"][0]["resource"]["id"], "t");
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_counted_in_error_and_come_after_it() {
    let site = Site::new(&format!("{TOPICS}, {SHORT}")).await;
    let fails = Says::Status(500, "");
    let hook = Hook::new(&[Says::Status(200, ""), fails.clone(), fails.clone(), fails]).await;
    site.put("Subscription/t", &topic("t", &hook.url(), "id-only")).await;
    site.status("t", "active").await;
    site.observe("1", "a", 1).await;
    let stored = site.status("t", "error").await;
    assert!(stored["error"].as_str().unwrap().contains("500"), "{stored}");
    site.observe("1", "a", 2).await;
    site.observe("1", "a", 3).await;
    let status = site.get("Subscription/t/$status").await;
    let parameters = &status["entry"][0]["resource"]["parameter"];
    assert_eq!(
        (&parameters[2]["valueCode"], &parameters[4]["valueString"]),
        (&json!("error"), &json!("3"))
    );
    let before = hook.called(4).await.len();
    site.put("Subscription/t", &topic("t", &hook.url(), "id-only")).await;
    let calls = hook.called(before + 4).await;
    let numbers: Vec<String> = calls[before + 1..]
        .iter()
        .map(|call| call.parameter("events-since-subscription-start"))
        .collect();
    assert_eq!(numbers, ["1", "2", "3"]);
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_turns_it_off() {
    let site = Site::new(&format!("{TOPICS}, {SHORT}")).await;
    let hook = Hook::new(&[Says::Status(200, ""), Says::Status(410, "")]).await;
    site.put("Subscription/t", &topic("t", &hook.url(), "id-only")).await;
    site.status("t", "active").await;
    site.observe("1", "a", 1).await;
    let stored = site.status("t", "off").await;
    assert!(stored["error"].as_str().unwrap().contains("410"), "{stored}");
    site.observe("1", "a", 2).await;
    let status = site.get("Subscription/t/$status").await;
    let parameters = &status["entry"][0]["resource"]["parameter"];
    let mut count = parameters.as_array().unwrap().iter();
    let count = count.find(|one| one["name"] == "events-since-subscription-start");
    assert_eq!(count.unwrap()["valueString"], "1");
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_comes_when_nothing_else_does() {
    let site = Site::new(TOPICS).await;
    let hook = Hook::new(&[]).await;
    let mut subscription = topic("t", &hook.url(), "empty");
    subscription["channel"]["extension"] = json!([
        {"url": format!("{}backport-heartbeat-period", super::BACKPORT), "valueUnsignedInt": 1},
    ]);
    site.put("Subscription/t", &subscription).await;
    let calls = hook.called(3).await;
    let kinds: Vec<String> = calls.iter().take(3).map(super::Called::kind).collect();
    assert_eq!(kinds, ["handshake", "heartbeat", "heartbeat"]);
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_promised_is_refused() {
    let site = Site::new(TOPICS).await;
    let good = topic("t", "http://127.0.0.1:9/hook", "id-only");
    let check = async |pointer: &str, value: serde_json::Value, word: &str| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        let (status, answer) = site.put("Subscription/t", &body).await;
        assert_eq!(status, 422, "{pointer}: {answer}");
        assert!(answer.to_string().contains(word), "{pointer}: {answer}");
    };
    check("/criteria", json!("https://hospital.example/topics/none"), "no such topic").await;
    check("/channel/endpoint", json!("http://203.0.113.9/"), "allow").await;
    check("/channel/type", json!("email"), "rest-hook").await;
    check("/status", json!("error"), "requested").await;
    let body = search("s", "http://127.0.0.1:9/hook", "Observation?colour=red");
    let (status, answer) = site.put("Subscription/s", &body).await;
    assert_eq!(status, 422, "{answer}");
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_skips_what_waits_and_sends_one_again() {
    let site = Site::new(&format!("{TOPICS}, schedule: [1h, 1h, 1h]")).await;
    let hook = Hook::new(&[Says::Status(200, ""), Says::Status(500, "")]).await;
    site.put("Subscription/t", &topic("t", &hook.url(), "id-only")).await;
    site.status("t", "active").await;
    site.observe("1", "a", 1).await;
    hook.called(2).await;
    site.observe("1", "a", 2).await;
    let all = site.engine.subscriptions();
    let skipped = all.skip("t", "the receiver got it by hand").await.unwrap();
    assert_eq!(skipped["skipped"], 2);
    site.observe("1", "a", 3).await;
    let calls = hook.called(3).await;
    assert_eq!(calls[2].parameter("events-since-subscription-start"), "3");
    let again = all.resend("t", 1).await.unwrap();
    assert_eq!(again["accepted"], true);
    let calls = hook.called(4).await;
    assert_eq!(
        (&calls[3].body, calls[3].header("webhook-id")),
        (&calls[1].body, calls[1].header("webhook-id"))
    );
    for sums in site.engine.store().conservation().await.unwrap() {
        assert_eq!(sums.unaccounted, [], "{sums:?}");
    }
    site.engine.stop().await;
}
