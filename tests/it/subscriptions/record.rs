//! What is kept of subscriptions and shown of them: secrets nowhere, events to whom they belong, ends on record.

use medway::store::access::{AccessStore, AuditQuery};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Hook, Says, Site, TOPICS, search, topic};

const EMR: &str = "{name: emr, secret: secret/emr, scopes: \"system/Subscription.cruds system/Observation.cruds\"}";
const LAB: &str = "{name: lab, secret: secret/lab, scopes: \"system/Observation.cruds system/Subscription.cruds\"}";
const BOSS: &str = "{name: boss, secret: secret/boss, scopes: \"system/*.cruds\"}";

fn numbers(bundle: &Value) -> Vec<String> {
    let list = bundle["entry"][0]["resource"]["parameter"].as_array().cloned().unwrap_or_default();
    let told = list.iter().filter(|one| one["name"] == "notification-event");
    told.map(|one| one["part"][0]["valueString"].as_str().unwrap().to_owned()).collect()
}

fn parameter(status: &Value, name: &str) -> Value {
    let list = status["entry"][0]["resource"]["parameter"].as_array().cloned().unwrap_or_default();
    list.into_iter().find(|one| one["name"] == name).unwrap_or(Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_secret_stands_nowhere_in_the_log_and_goes_to_nobody() {
    let topics = "topics: [{url: https://hospital.example/topics/results, types: [Observation]}, \
                  {url: https://hospital.example/topics/subscriptions, types: [Subscription]}]";
    let site = Site::new(topics).await;
    let curious = Hook::new(&[]).await;
    site.put("Subscription/s", &search("s", &curious.url(), "Subscription?status=requested")).await;
    site.status("s", "active").await;
    let mut watch = topic("w", &format!("{}/w", curious.url()), "full-resource");
    watch["criteria"] = json!("https://hospital.example/topics/subscriptions");
    site.put("Subscription/w", &watch).await;
    site.status("w", "active").await;
    let hook = Hook::new(&[]).await;
    let mut own = topic("t", &hook.url(), "id-only");
    own["channel"]["header"] = json!(["Authorization: Bearer made-up-7"]);
    site.put("Subscription/t", &own).await;
    own["id"] = json!("u");
    let entry = json!({"resource": own, "request": {"method": "PUT", "url": "Subscription/u"}});
    for kind in ["transaction", "batch"] {
        let bundle = json!({"resourceType": "Bundle", "type": kind, "entry": [entry]});
        let (status, answer) = site.ask(Method::POST, "", &bundle).await;
        assert_eq!(status, 200, "{answer}");
    }
    for id in ["t", "u"] {
        site.status(id, "active").await;
    }
    // A handshake of each, and of each subscriber of subscriptions what happened.
    let told = curious.called(1 + 4).await;
    assert!(told.iter().any(|call| call.body.contains("sealed:")));
    for call in &told {
        assert!(!call.body.contains("made-up-7"), "{}", call.body);
    }
    let events = site.get("Subscription/w/$events").await;
    assert!(!numbers(&events).is_empty() && !events.to_string().contains("made-up-7"));
    assert_eq!(hook.called(1).await[0].header("authorization"), Some("Bearer made-up-7"));
    let data = site.folder.as_ref().unwrap().path().join("data");
    site.engine.stop().await;
    for file in std::fs::read_dir(data).unwrap().flatten() {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        let found = bytes.windows(9).any(|part| part == b"made-up-7");
        assert!(!found, "{}", file.path().display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_given_to_their_owner_and_to_who_may_do_everything() {
    let site = Site::guarded(TOPICS, &format!("{{tokens: [{EMR}, {LAB}, {BOSS}]}}")).await;
    let hook = Hook::new(&[]).await;
    let site = site.with_token("token-of-emr");
    site.put("Subscription/t", &topic("t", &hook.url(), "full-resource")).await;
    site.status("t", "active").await;
    site.observe("1", "a", 1).await;
    assert_eq!(numbers(&site.get("Subscription/t/$events").await), ["1"]);
    let site = site.with_token("token-of-lab");
    let (status, answer) = site.ask(Method::GET, "Subscription/t/$events", &Value::Null).await;
    assert_eq!((status, &answer["resourceType"]), (403, &json!("OperationOutcome")), "{answer}");
    let site = site.with_token("token-of-boss");
    assert_eq!(numbers(&site.get("Subscription/t/$events").await), ["1"]);
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_on_record_and_told_also_after_a_restart() {
    let site = Site::new(&format!("{TOPICS}, schedule: [20ms]")).await;
    let hook = Hook::new(&[Says::Status(200, ""), Says::Status(410, "")]).await;
    site.put("Subscription/t", &topic("t", &hook.url(), "id-only")).await;
    site.status("t", "active").await;
    site.observe("1", "a", 1).await;
    site.status("t", "off").await;
    let refused = Hook::new(&[Says::Status(503, "")]).await;
    site.put("Subscription/e", &topic("e", &refused.url(), "id-only")).await;
    site.status("e", "error").await;
    let site = site.again().await;
    let status = site.get("Subscription/t/$status").await;
    assert_eq!(parameter(&status, "events-since-subscription-start")["valueString"], "1");
    let error = &parameter(&status, "error")["valueCodeableConcept"]["text"];
    assert!(error.as_str().unwrap().contains("410"), "{status}");
    let failed = site.get("Subscription/e/$status").await;
    let error = &parameter(&failed, "error")["valueCodeableConcept"]["text"];
    assert!(error.as_str().unwrap().contains("503"), "{failed}");
    let off = site.get("Subscription/$status?status=off").await;
    assert_eq!(off["total"], 1, "{off}");
    assert_eq!(parameter(&off, "status")["valueCode"], "off");
    let all = site.get("Subscription/$status").await;
    assert_eq!(all["total"], 2, "{all}");
    // People see both, and both are on the audit trail.
    let listed = site.engine.subscriptions().list().await.unwrap();
    let shown: Vec<(&Value, bool)> =
        listed.iter().map(|one| (&one["status"], one["error"].is_string())).collect();
    assert!(shown.contains(&(&json!("off"), true)) && shown.contains(&(&json!("error"), true)));
    assert_eq!(site.engine.subscriptions().one("t").await.unwrap()["status"], "off");
    let query =
        AuditQuery { action: Some("subscription.".into()), limit: 10, ..AuditQuery::default() };
    let records = site.access.audit_records(&query).await.unwrap();
    let told: Vec<(&str, &str)> =
        records.iter().map(|one| (&*one.entry.action, &*one.entry.object)).collect();
    assert_eq!(
        told,
        [
            ("subscription.error", "gateway/Subscription/e"),
            ("subscription.off", "gateway/Subscription/t")
        ]
    );
    // Its client asks again: it is an end no more.
    site.put("Subscription/t", &topic("t", &hook.url(), "id-only")).await;
    site.status("t", "active").await;
    assert_eq!(site.engine.subscriptions().one("t").await.unwrap()["status"], "active");
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_may_be_final_and_calls_name_their_message() {
    let site =
        Site::new(&format!("{TOPICS}, schedule: [1h], fail_fast_4xx: true, per_second: 50")).await;
    let hook =
        Hook::new(&[Says::Status(200, ""), Says::Status(200, ""), Says::Status(422, "")]).await;
    site.put("Subscription/t", &topic("t", &hook.url(), "id-only")).await;
    site.status("t", "active").await;
    site.observe("1", "a", 1).await;
    let calls = hook.called(2).await;
    let trace: Vec<&str> = calls[1].header("traceparent").unwrap().split('-').collect();
    assert_eq!((trace[0], trace[1].len(), trace[2].len(), trace[3]), ("00", 32, 16, "01"));
    assert_ne!(calls[0].header("traceparent"), calls[1].header("traceparent"));
    site.observe("1", "a", 2).await;
    let stored = site.status("t", "error").await;
    assert!(stored["error"].as_str().unwrap().contains("422"), "{stored}");
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_endpoint_can_is_dated_by_its_configuration() {
    let site = Site::new(TOPICS).await;
    let before = site.get("metadata").await;
    let backport = "http://hl7.org/fhir/uv/subscriptions-backport/CapabilityStatement/backport-subscription-server-r4";
    assert_eq!(before["instantiates"], json!([backport]));
    let site = site.again().await;
    let after = site.get("metadata").await;
    assert_eq!(before["date"], after["date"]);
    site.engine.stop().await;
}
