//! The CapabilityStatement against the endpoint it describes: each interaction, operation, condition and search
//! parameter that it claims is tried, and what is refused is not claimed.

use medway::source::fhir::options::FhirSourceOptions;
use serde_json::{Value, json};

use super::{EVENTS, JSON, REFUSED_TYPE, Server};

/// Statuses that say that something is not offered.
fn is_offered(status: u16) -> bool {
    !matches!(status, 404 | 405 | 406 | 415 | 501)
}

fn names<'v>(list: &'v Value, name: &str) -> Vec<&'v str> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|one| one[name].as_str()).collect()
}

fn example(kind: &str, id: &str) -> Value {
    let mut made = match kind {
        "Observation" => json!({"status": "final", "code": {"text": "x"}}),
        _ => json!({"active": true}),
    };
    made["resourceType"] = kind.into();
    made["id"] = id.into();
    made
}

async fn interaction(server: &Server, kind: &str, name: &str) -> u16 {
    let (one, two) = (example(kind, "one"), example(kind, "two").to_string());
    let path = format!("{kind}/one");
    let got = match name {
        "create" => server.post(kind, &example(kind, "x")).await,
        "update" => server.put(&path, &one).await,
        "patch" => {
            let body = r#"[{"op": "add", "path": "/language", "value": "en"}]"#;
            let kind = [("Content-Type", "application/json-patch+json")];
            server.call("PATCH", &path, &kind, body).await
        }
        "delete" => {
            server.call("PUT", &format!("{kind}/two"), &[JSON], &two).await;
            server.call("DELETE", &format!("{kind}/two"), &[], "").await
        }
        "read" => server.get(&path).await,
        "vread" => server.get(&format!("{path}/_history/1")).await,
        "history-instance" => server.get(&format!("{path}/_history")).await,
        "history-type" => server.get(&format!("{kind}/_history")).await,
        "search-type" => server.get(kind).await,
        _ => panic!("{name} is claimed and not tried"),
    };
    got.status
}

/// A value that a search parameter of this type can have.
fn value_of(parameter: &Value) -> String {
    let value = match (parameter["name"].as_str().unwrap(), parameter["type"].as_str().unwrap()) {
        ("_has", _) => return "_has:Observation:patient:code=x".to_owned(),
        ("_type", _) => "Patient",
        (_, "date") => "2026",
        (_, "number") => "1",
        (_, "quantity") => "1|http://unitsofmeasure.org|mg",
        (_, "reference") => "Patient/one",
        (name, "composite") if name.ends_with("-quantity") => "x$1",
        (name, "composite") if name.ends_with("-date") => "x$2026",
        (_, "composite") => "x$y",
        (_, "uri") => "urn:x",
        _ => "x",
    };
    format!("{}={value}", parameter["name"].as_str().unwrap())
}

/// The claims about conditions and chosen ids.
async fn conditions(server: &Server, entry: &Value, kind: &str) {
    assert_eq!(entry["updateCreate"], true);
    let chosen = server.put(&format!("{kind}/chosen"), &example(kind, "chosen")).await;
    assert_eq!(chosen.status, 201);
    assert_eq!(entry["conditionalCreate"], true);
    let unless = [JSON, ("If-None-Exist", "identifier=urn:x|1")];
    let mut identified = example(kind, "x");
    identified["identifier"] = json!([{"system": "urn:x", "value": "1"}]);
    let text = identified.to_string();
    let made = server.call("POST", kind, &unless, &text).await;
    let found = server.call("POST", kind, &unless, &text).await;
    assert_eq!((made.status, found.status), (201, 200), "{kind}");
    let mut at_rest = identified.clone();
    at_rest.as_object_mut().unwrap().remove("id");
    let by_search = format!("{kind}?identifier=urn:x|1");
    assert_eq!(entry["conditionalUpdate"], true);
    assert_eq!(server.put(&by_search, &at_rest).await.status, 200);
    assert_eq!(entry["conditionalDelete"], "single");
    assert!(server.call("DELETE", &by_search, &[], "").await.status < 300);
    assert_eq!(entry["conditionalRead"], "full-support");
    let known = [("If-None-Match", "W/\"1\"")];
    let version = format!("{kind}/chosen");
    assert_eq!(server.call("GET", &version, &known, "").await.status, 304);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_claim_of_the_statement_holds() {
    let types = vec!["Patient".into(), "Observation".into()];
    let server = Server::with(FhirSourceOptions { types, ..FhirSourceOptions::default() }).await;
    let told = server.get("metadata").await.body;
    let rest = &told["rest"][0];
    let strict = [("Prefer", "handling=strict")];
    for entry in rest["resource"].as_array().unwrap() {
        let kind = entry["type"].as_str().unwrap();
        server.put(&format!("{kind}/one"), &example(kind, "one")).await;
        let claimed = names(&entry["interaction"], "code");
        assert_eq!(claimed.len(), 9, "{kind}: {claimed:?}");
        for name in claimed {
            let status = interaction(&server, kind, name).await;
            assert!(is_offered(status) && status < 400, "{kind} {name}: {status}");
        }
        for parameter in entry["searchParam"].as_array().unwrap() {
            let path = format!("{kind}?{}", value_of(parameter));
            let got = server.call("GET", &path, &strict, "").await;
            assert_eq!(got.status, 200, "{path}: {}", got.text);
        }
        for include in entry["searchInclude"].as_array().unwrap() {
            let path = format!("{kind}?_include={}", include.as_str().unwrap());
            let got = server.call("GET", &path, &strict, "").await;
            assert_eq!(got.status, 200, "{path}: {}", got.text);
        }
        for name in names(&entry["operation"], "name") {
            let got = server.post(&format!("{kind}/${name}"), &example(kind, "one")).await;
            assert_eq!(got.status, 200, "{kind} ${name}");
        }
        conditions(&server, entry, kind).await;
    }
    let bundle = |kind: &str| json!({"resourceType": "Bundle", "type": kind, "entry": []});
    for name in names(&rest["interaction"], "code") {
        let got = match name {
            "batch" | "transaction" => server.post("", &bundle(name)).await,
            "search-system" => server.get("?_type=Patient&_id=one").await,
            "history-system" => server.get("_history").await,
            _ => panic!("{name} is claimed and not tried"),
        };
        assert_eq!(got.status, 200, "{name}: {}", got.text);
    }
    for parameter in rest["searchParam"].as_array().unwrap() {
        // `_has` is asked of the types whose parameter it names.
        let path = format!("Patient?{}", value_of(parameter));
        let path = if path.contains("_type") { path.replace("Patient?", "?") } else { path };
        let got = server.call("GET", &path, &strict, "").await;
        assert_eq!(got.status, 200, "{path}: {}", got.text);
    }
    for name in names(&rest["operation"], "name") {
        let status = server.post(&format!("${name}"), &example("Patient", "one")).await.status;
        assert!(is_offered(status), "${name}: {status}");
    }
    for kind in told["patchFormat"].as_array().unwrap() {
        let kind = [("Content-Type", kind.as_str().unwrap())];
        let got = server.call("PATCH", "Patient/one", &kind, "{}").await;
        assert!(is_offered(got.status), "{kind:?}: {}", got.text);
    }
    for format in told["format"].as_array().unwrap() {
        let got = server.get(&format!("Patient/one?_format={}", format.as_str().unwrap())).await;
        assert_eq!(got.status, 200, "{format}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_not_claimed() {
    let server = Server::with(FhirSourceOptions {
        types: vec!["Patient".into(), REFUSED_TYPE.into()],
        update_creates: false,
        ..FhirSourceOptions::default()
    })
    .await;
    let told = server.get("metadata").await.body;
    let resources = told["rest"][0]["resource"].as_array().unwrap();
    assert_eq!(names(&told["rest"][0]["resource"], "type"), ["Patient", REFUSED_TYPE]);
    assert_eq!(server.post("Observation", &example("Observation", "x")).await.status, 404);
    assert_eq!(resources[0]["updateCreate"], false);
    assert!(server.put("Patient/new", &example("Patient", "new")).await.status >= 400);
    // Its channel lets nobody write this type: it can be read.
    let claimed = names(&resources[1]["interaction"], "code");
    assert_eq!(claimed, ["read", "vread", "history-instance", "history-type", "search-type"]);
    assert_eq!(resources[1]["conditionalCreate"], false);
    assert_eq!(resources[1]["conditionalDelete"], "not-supported");
    let refused = server.post(REFUSED_TYPE, &example(REFUSED_TYPE, "x")).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    // Operations of others.
    let operations: Vec<_> = resources
        .iter()
        .flat_map(|one| names(&one["operation"], "name"))
        .chain(names(&told["rest"][0]["operation"], "name"))
        .collect();
    for name in ["everything", "lastn", "graphql", "export", "match", "meta"] {
        assert!(!operations.contains(&name), "{name}");
        let got = server.post(&format!("Patient/${name}"), &example("Patient", "x")).await;
        assert_eq!(got.status, 404, "{name}");
    }
    for name in ["_text", "_content", "_filter", "_query"] {
        let all = &resources[0]["searchParam"];
        assert!(!names(all, "name").contains(&name), "{name}");
        let path = format!("Patient?{name}=x");
        let got = server.call("GET", &path, &[("Prefer", "handling=strict")], "").await;
        assert_eq!(got.status, 400, "{name}");
    }
    assert!(!told["format"].to_string().contains("xml"));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_messages_are_named_and_defined() {
    let server = Server::start().await;
    let told = server.get("metadata").await.body;
    let supported = told["messaging"][0]["supportedMessage"].as_array().unwrap();
    let defined: Vec<_> = supported
        .iter()
        .map(|one| {
            assert_eq!(one["mode"], "receiver");
            let id = one["definition"].as_str().unwrap().strip_prefix('#').unwrap();
            let all = told["contained"].as_array().unwrap();
            let own = all.iter().find(|own| own["id"] == id).unwrap();
            let event = own["eventCoding"]["code"].as_str().or(own["eventUri"].as_str());
            event.unwrap().to_owned()
        })
        .collect();
    assert_eq!(defined, EVENTS);
    let got = server.post("CapabilityStatement/$validate", &told).await;
    let issues = got.body["issue"].as_array().unwrap();
    let errors: Vec<_> = issues.iter().filter(|issue| issue["severity"] == "error").collect();
    assert!(errors.is_empty(), "{errors:?}");
    server.end().await;
}
