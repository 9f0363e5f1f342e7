//! Create, read, update, patch, delete.

use medway::source::fhir::options::FhirSourceOptions;
use serde_json::{Value, json};

use super::{JSON, Server};

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_lives_through_its_versions() {
    let server = Server::start().await;
    let patient = json!({"resourceType": "Patient", "id": "theirs", "active": true});
    let made = server.post("Patient", &patient).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("etag"), "W/\"1\"");
    assert!(made.header("last-modified").ends_with("GMT"));
    let id = made.body["id"].as_str().unwrap().to_owned();
    assert_ne!(id, "theirs");
    let path = format!("Patient/{id}");
    assert_eq!(
        made.header("location"),
        format!("http://{}/fhir/{path}/_history/1", server.address)
    );
    assert_eq!(server.get(&path).await.body, made.body);

    let better = json!({"resourceType": "Patient", "id": id, "active": false});
    let updated = server.put(&path, &better).await;
    assert_eq!((updated.status, updated.header("etag")), (200, "W/\"2\""));
    let same = server.put(&path, &better).await;
    assert_eq!((same.status, same.header("etag")), (200, "W/\"2\""), "nothing changed: no version");

    let patch = json!([{"op": "add", "path": "/birthDate", "value": "1980-01-02"}]).to_string();
    let kind = ("Content-Type", "application/json-patch+json");
    let patched = server.call("PATCH", &path, &[kind], &patch).await;
    assert_eq!(patched.status, 200, "{patched:?}");
    assert_eq!(patched.body["birthDate"], "1980-01-02");
    assert_eq!(patched.body["meta"]["versionId"], "3");

    let deleted = server.call("DELETE", &path, &[], "").await;
    assert_eq!(deleted.status, 204);
    let gone = server.get(&path).await;
    assert_eq!((gone.status, gone.codes()), (410, vec!["deleted"]));
    assert_eq!(server.call("DELETE", &path, &[], "").await.status, 204, "deleting is idempotent");
    assert_eq!(server.get(&format!("{path}/_history/2")).await.body["active"], false);
    assert_eq!(server.get(&format!("{path}/_history/4")).await.status, 410);
    assert_eq!(server.get(&format!("{path}/_history/9")).await.status, 404);

    let again = server.put(&path, &better).await;
    assert_eq!((again.status, again.header("etag")), (201, "W/\"5\""), "a PUT brings it back");
    let log = server.log().await;
    let expected: Vec<String> =
        [("create", 1), ("update", 2), ("patch", 3), ("delete", 4), ("update", 5)]
            .iter()
            .map(|(act, version)| format!("Patient^{act} {path}/_history/{version}"))
            .collect();
    assert_eq!(log, expected);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_extensions_and_what_r4_does_not_know_come_back_as_sent() {
    let options = FhirSourceOptions {
        validation: medway::resources::plan::Validation::Off,
        ..FhirSourceOptions::default()
    };
    let server = Server::with(options).await;
    let sent = r#"{"resourceType":"Observation","id":"o1","valueQuantity":{"value":1.50,"extension":[{"url":"urn:x","valueDecimal":1.0E-22}]},"ward":{"bed":007.0}}"#
        .replace("007.0", "7.0");
    let put = server.call("PUT", "Observation/o1", &[JSON], &sent).await;
    assert_eq!(put.status, 201, "{put:?}");
    let text = server.get("Observation/o1").await.text;
    for part in [r#""value":1.50"#, r#""valueDecimal":1.0E-22"#, r#""ward":{"bed":7.0}"#] {
        assert!(text.contains(part), "{part} in {text}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_is_refused_by_its_name() {
    let server = Server::with(FhirSourceOptions {
        types: vec!["Patient".into(), "Observation".into()],
        update_creates: false,
        body_bytes_max: 2000,
        ..FhirSourceOptions::default()
    })
    .await;
    let patient = r#"{"resourceType":"Patient"}"#;
    let big = format!(r#"{{"resourceType":"Patient","language":"{}"}}"#, "x".repeat(3000));
    let wrong = r#"{"resourceType":"Patient","gender":"zzz","birthDate":"1980-13-45"}"#;
    let cases: &[(&str, &str, &str, u16, &str)] = &[
        ("POST", "Patient", "{", 400, "structure"),
        (
            "POST",
            "Patient",
            r#"{"resourceType":"Patient","active":true,"active":false}"#,
            400,
            "structure",
        ),
        ("POST", "Patient", r#"{"resourceType":"Observation"}"#, 400, "invalid"),
        ("POST", "Patient", wrong, 422, ""),
        (
            "POST",
            "Patient",
            r#"{"resourceType":"Patient","language":"REFUSE"}"#,
            422,
            "business-rule",
        ),
        ("POST", "Patient", &big, 413, "too-long"),
        ("POST", "Encounter", patient, 404, "not-supported"),
        ("POST", "Nonsense", patient, 404, "not-found"),
        ("POST", "nonsense", patient, 404, "not-found"),
        ("PUT", "Patient/new", r#"{"resourceType":"Patient","id":"new"}"#, 405, "not-supported"),
        ("PUT", "Patient/a", r#"{"resourceType":"Patient","id":"b"}"#, 400, "invalid"),
        ("PUT", "Patient/a_b", r#"{"resourceType":"Patient","id":"a_b"}"#, 400, "invalid"),
        ("PUT", "Patient", patient, 400, "invalid"),
        ("POST", "Patient/1", patient, 405, "not-supported"),
        ("BREW", "Patient/1", patient, 405, "not-supported"),
        ("GET", "Patient/none", "", 404, "not-found"),
        ("POST", "Patient/$nothing", patient, 404, "not-supported"),
    ];
    for (method, path, body, status, code) in cases {
        let got = server.call(method, path, &[JSON], body).await;
        assert_eq!(got.status, *status, "{method} {path} {got:?}");
        assert_eq!(got.body["resourceType"], "OperationOutcome", "{method} {path}");
        if !code.is_empty() {
            assert!(got.codes().contains(code), "{method} {path}: {got:?}");
        }
    }
    let told = server.call("POST", "Patient", &[JSON], wrong).await;
    let places = told.body["issue"].to_string();
    assert!(places.contains("Patient.gender"), "{places}");
    assert!(!places.contains("zzz"), "an outcome repeats no values: {places}");
    let no_type = server.call("POST", "Patient", &[], patient).await;
    assert_eq!(no_type.status, 415);
    assert!(server.log().await.is_empty());
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_is_what_was_preferred() {
    let server = Server::start().await;
    let body = r#"{"resourceType":"Patient","active":true}"#;
    for (prefer, expected) in [
        ("return=minimal", serde_json::Value::Null),
        ("return=representation", "Patient".into()),
        ("return=OperationOutcome", "OperationOutcome".into()),
        ("respond-async", "Patient".into()),
    ] {
        let got = server.call("POST", "Patient", &[JSON, ("Prefer", prefer)], body).await;
        assert_eq!(got.status, 201);
        assert_eq!(got.body["resourceType"], expected, "{prefer}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_warnings_a_faulty_resource_is_taken_and_told_about() {
    let server = Server::with(FhirSourceOptions {
        validation: medway::resources::plan::Validation::Warn,
        ..FhirSourceOptions::default()
    })
    .await;
    let wrong = r#"{"resourceType":"Patient","gender":"zzz"}"#;
    let prefer = ("Prefer", "return=OperationOutcome");
    let got = server.call("POST", "Patient", &[JSON, prefer], wrong).await;
    assert_eq!(got.status, 201);
    assert!(got.body["issue"].to_string().contains("Patient.gender"), "{got:?}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_and_a_stop_are_refused_honestly() {
    let server = Server::start().await;
    server.intake.drain();
    let got = server.post("Patient", &json!({"resourceType": "Patient"})).await;
    assert_eq!((got.status, got.codes()), (503, vec!["transient"]));
    assert_eq!(got.header("retry-after"), "5");
    assert_eq!(server.get("Patient").await.body["total"], 0);
    server.end().await;
}

#[tokio::test]
async fn a_patch_may_name_its_places_as_paths() {
    let server = Server::start().await;
    server
        .store(&json!({"resourceType": "Patient", "id": "p", "gender": "male", "active": true}))
        .await;
    let operation = |kind: &str, path: &str, value: Value| {
        let mut parts = vec![
            json!({"name": "type", "valueCode": kind}),
            json!({"name": "path", "valueString": path}),
        ];
        if !value.is_null() {
            parts.push(value);
        }
        json!({"name": "operation", "part": parts})
    };
    let patch =
        |operations: &[Value]| json!({"resourceType": "Parameters", "parameter": operations});
    let female = json!({"name": "value", "valueCode": "female"});
    let good = patch(&[
        operation("replace", "Patient.gender", female),
        operation("delete", "Patient.active", Value::Null),
    ]);
    let got = server.call("PATCH", "Patient/p", &[JSON], &good.to_string()).await;
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(got.body["gender"], "female");
    assert!(got.body.get("active").is_none());
    let elsewhere = patch(&[operation(
        "replace",
        "Patient.contact[3].gender",
        json!({"name": "value", "valueCode": "male"}),
    )]);
    assert_eq!(
        server.call("PATCH", "Patient/p", &[JSON], &elsewhere.to_string()).await.status,
        422
    );
    let none = json!({"resourceType": "Patient", "gender": "male"}).to_string();
    assert_eq!(server.call("PATCH", "Patient/p", &[JSON], &none).await.status, 400);
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [{
        "resource": patch(&[operation("replace", "Patient.gender", json!({"name": "value", "valueCode": "other"}))]),
        "request": {"method": "PATCH", "url": "Patient/p"},
    }]});
    assert_eq!(server.post("", &bundle).await.status, 200);
    assert_eq!(server.get("Patient/p").await.body["gender"], "other");
    server.end().await;
}
