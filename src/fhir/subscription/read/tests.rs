//! Subscriptions as clients send them: which are taken, which are refused and why.

use serde_json::{Value, json};

use super::*;
use crate::fhir::subscription::topic::{Allowed, Conditions, Trigger};
use crate::message::resource::Test;

fn topics() -> Vec<Topic> {
    vec![Topic {
        canonical: "https://h.example/topics/admission".into(),
        title: "admission".into(),
        kinds: vec![("Encounter".into(), Conditions::default())],
        triggers: vec![Trigger::Create],
        filters: Allowed::Only(vec!["patient".into(), "status".into()]),
    }]
}

/// Understands every parameter but `colour`.
fn compile(_: &str, name: &str, value: &str) -> Result<Criterion, String> {
    if name == "colour" {
        return Err("no search parameter `colour`".to_owned());
    }
    let any = vec![Test::Exact(value.into())];
    Ok(Criterion { param: name.into(), any, negate: false })
}

fn reads(resource: &Value) -> Result<Subscription, Vec<Issue>> {
    read(resource, &Rules { topics: &topics(), compile: &compile, plain_http: false })
}

fn search() -> Value {
    json!({
        "resourceType": "Subscription", "status": "requested", "reason": "results",
        "criteria": "Observation?code=http://loinc.org|1975-2&status=final,amended",
        "channel": {
            "type": "rest-hook", "endpoint": "https://emr.example/hook",
            "payload": "application/fhir+json", "header": ["Authorization: Bearer a:b"],
        },
    })
}

fn topic() -> Value {
    let ext = |name: &str| format!("{BACKPORT}{name}");
    json!({
        "resourceType": "Subscription", "status": "requested", "reason": "admissions",
        "meta": {"profile": [ext("backport-subscription")]},
        "criteria": "https://h.example/topics/admission",
        "_criteria": {"extension": [
            {"url": ext("backport-filter-criteria"), "valueString": "Encounter?patient=Patient/1"},
        ]},
        "channel": {
            "extension": [
                {"url": ext("backport-heartbeat-period"), "valueUnsignedInt": 60},
                {"url": ext("backport-timeout"), "valueUnsignedInt": 5},
                {"url": ext("backport-max-count"), "valuePositiveInt": 20},
            ],
            "type": "rest-hook", "endpoint": "https://emr.example/hook",
            "payload": "application/fhir+json;fhirVersion=4.0",
            "_payload": {"extension": [
                {"url": ext("backport-payload-content"), "valueCode": "id-only"},
            ]},
        },
    })
}

#[test]
fn both_dialects_are_told_apart() {
    let found = reads(&search()).unwrap();
    let Dialect::Search { kind, criteria } = &found.dialect else { panic!("a search") };
    assert_eq!((&**kind, criteria.len()), ("Observation", 2));
    assert_eq!(found.content, Content::FullResource);
    assert_eq!(found.headers.len(), 1);
    let found = reads(&topic()).unwrap();
    let Dialect::Topic { canonical, filters } = &found.dialect else { panic!("a topic") };
    assert_eq!(&**canonical, "https://h.example/topics/admission");
    assert_eq!((&*filters[0].0, &*filters[0].1.param), ("Encounter", "patient"));
    assert_eq!(found.content, Content::IdOnly);
    assert_eq!(found.heartbeat, Some(Duration::from_secs(60)));
    assert_eq!(found.timeout, Some(Duration::from_secs(5)));
    assert_eq!(found.payload.as_deref(), Some("application/fhir+json;fhirVersion=4.0"));
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let check = |base: fn() -> Value, pointer: &str, value: Value, expected: &str| {
        let mut resource = base();
        *resource.pointer_mut(pointer).unwrap() = value;
        let issues = reads(&resource).unwrap_err();
        let found: Vec<&str> = issues.iter().map(|issue| &*issue.expression).collect();
        assert!(found.contains(&expected), "{pointer}: {issues:?}");
    };
    check(search, "/status", json!("waiting"), "Subscription.status");
    check(search, "/criteria", json!("observation"), "Subscription.criteria");
    check(search, "/criteria", json!("Observation?colour=red"), "Subscription.criteria");
    check(search, "/criteria", json!("https://h.example/topics/none"), "Subscription.criteria");
    check(search, "/channel/type", json!("email"), "Subscription.channel.type");
    check(
        search,
        "/channel/payload",
        json!("application/fhir+xml"),
        "Subscription.channel.payload",
    );
    check(
        search,
        "/channel/payload",
        json!("application/fhir+json; fhirVersion=5.0"),
        "Subscription.channel.payload",
    );
    check(search, "/channel/endpoint", json!("ftp://h.example/"), "Subscription.channel.endpoint");
    check(search, "/channel/endpoint", json!("http://h.example/"), "Subscription.channel.endpoint");
    check(
        search,
        "/channel/endpoint",
        json!("https://u:p@h.example/"),
        "Subscription.channel.endpoint",
    );
    check(search, "/channel/header/0", json!("Host: other"), "Subscription.channel.header");
    check(topic, "/criteria", json!("https://h.example/topics/none"), "Subscription.criteria");
    let filter = "/_criteria/extension/0/valueString";
    check(topic, filter, json!("class=IMP"), "Subscription.criteria.extension");
    check(topic, filter, json!("Patient?patient=1"), "Subscription.criteria.extension");
    let content = "/channel/_payload/extension/0/valueCode";
    check(topic, content, json!("everything"), "Subscription.channel.payload.extension");
    check(
        topic,
        "/channel/extension/1/valueUnsignedInt",
        json!(31),
        "Subscription.channel.extension",
    );
}

#[test]
fn a_topic_asks_for_its_content_level() {
    let mut resource = topic();
    resource["channel"].as_object_mut().unwrap().remove("_payload");
    let issues = reads(&resource).unwrap_err();
    assert_eq!(issues[0].code, "required");
}

#[test]
fn ids_may_go_without_tls_and_whole_resources_may_not() {
    let mut resource = topic();
    resource["channel"]["endpoint"] = json!("http://emr.example/hook");
    assert!(reads(&resource).is_ok());
    resource["channel"]["_payload"]["extension"][0]["valueCode"] = json!("full-resource");
    assert!(reads(&resource).is_err());
    let rules = Rules { topics: &topics(), compile: &compile, plain_http: true };
    assert!(read(&resource, &rules).is_ok());
}

#[test]
fn a_client_sets_requested_and_off_alone() {
    let with =
        |status: &str| json!({"resourceType": "Subscription", "status": status, "error": "x"});
    let stored = |status: &str, previous: Option<&str>| {
        let previous = previous.map(with);
        coerced(&with(status), previous.as_ref()).ok().and_then(|value| super::status(&value))
    };
    assert_eq!(stored("requested", None), Some(Status::Requested));
    assert_eq!(stored("active", None), Some(Status::Requested));
    assert_eq!(stored("off", Some("active")), Some(Status::Off));
    assert_eq!(stored("error", None), None);
    assert_eq!(stored("error", Some("active")), None);
    assert_eq!(stored("error", Some("error")), Some(Status::Error));
    assert_eq!(coerced(&with("active"), None).unwrap().get("error"), None);
}
