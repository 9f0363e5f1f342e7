//! Media types, forms of answers, headers, the CapabilityStatement.

use medway::source::fhir::options::FhirSourceOptions;
use serde_json::json;

use super::{JSON, Server};

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_fhir_json_or_406_and_bodies_too_or_415() {
    let server = Server::start().await;
    server.store(&json!({"resourceType": "Patient", "id": "p"})).await;
    for (accept, status) in [
        ("application/fhir+json", 200),
        ("application/fhir+xml", 406),
        ("application/fhir+json; fhirVersion=3.0", 406),
        ("text/html, */*;q=0.1", 200),
    ] {
        let got = server.call("GET", "Patient/p", &[("Accept", accept)], "").await;
        assert_eq!(got.status, status, "{accept}");
        assert_eq!(got.header("content-type"), "application/fhir+json; charset=utf-8");
    }
    let xml = [("Accept", "application/fhir+xml")];
    assert_eq!(server.call("GET", "Patient/p?_format=json", &xml, "").await.status, 200);
    assert_eq!(server.get("Patient/p?_format=xml").await.status, 406);
    for kind in ["application/fhir+xml", "text/plain", "application/fhir+json; fhirVersion=5.0"] {
        let got = server.call("POST", "Patient", &[("Content-Type", kind)], "{}").await;
        assert_eq!((got.status, got.codes()), (415, vec!["not-supported"]), "{kind}");
    }
    let gzip = [JSON, ("Content-Encoding", "gzip")];
    assert_eq!(server.call("POST", "Patient", &gzip, "{}").await.status, 415);
    let text = [("Content-Type", "text/plain")];
    assert_eq!(server.call("PATCH", "Patient/p", &text, "[]").await.status, 415);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_have_an_id_and_parts_can_be_asked_for() {
    let server = Server::start().await;
    let patient = json!({"resourceType": "Patient", "id": "p", "active": true,
        "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"},
        "gender": "female", "photo": [{"url": "http://x/y"}]});
    server.store(&patient).await;
    let got = server.call("GET", "Patient/p", &[("X-Request-Id", "abc-1")], "").await;
    assert_eq!(got.header("x-request-id"), "abc-1");
    assert!(!server.get("Patient/p").await.header("x-request-id").is_empty());
    let data = server.get("Patient/p?_summary=data").await.body;
    assert!(data.get("text").is_none() && data.get("photo").is_some());
    let text = server.get("Patient/p?_summary=text").await.body;
    assert!(text.get("text").is_some() && text.get("gender").is_none());
    let summary = server.get("Patient/p?_summary=true").await.body;
    assert!(summary.get("gender").is_some() && summary.get("photo").is_none());
    assert_eq!(summary["meta"]["tag"][0]["code"], "SUBSETTED");
    let elements = server.get("Patient/p?_elements=gender").await.body;
    assert!(elements.get("gender").is_some() && elements.get("photo").is_none());
    assert_eq!(server.get("Patient/p?_summary=most").await.status, 400);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statement_says_what_is_configured() {
    let server = Server::with(FhirSourceOptions {
        types: vec!["Patient".into(), "Observation".into()],
        update_creates: false,
        ..FhirSourceOptions::default()
    })
    .await;
    let got = server.get("metadata").await;
    let told = &got.body;
    assert_eq!(
        (got.status, &told["kind"], &told["fhirVersion"]),
        (200, &json!("instance"), &json!("4.0.1"))
    );
    let resources = told["rest"][0]["resource"].as_array().unwrap();
    assert_eq!(resources.len(), 2);
    assert_eq!(resources[0]["type"], "Patient");
    assert_eq!(resources[0]["updateCreate"], false);
    assert_eq!(resources[0]["conditionalDelete"], "single");
    let parameters = resources[0]["searchParam"].as_array().unwrap();
    assert!(parameters.iter().any(|one| one["name"] == "identifier" && one["type"] == "token"));
    assert!(
        told["messaging"][0]["endpoint"][0]["address"]
            .as_str()
            .unwrap()
            .ends_with("/fhir/$process-message")
    );
    let tag = got.header("etag").to_owned();
    let again = server.call("GET", "metadata", &[("If-None-Match", &tag)], "").await;
    assert_eq!(again.status, 304);
    assert_eq!(server.get("metadata?mode=terminology").await.status, 400);
    let valid = server.post("CapabilityStatement/$validate", told).await;
    assert_eq!(valid.status, 404, "only configured types are served");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statement_is_valid_itself() {
    let server = Server::start().await;
    let told = server.get("metadata").await.body;
    let got = server.post("CapabilityStatement/$validate", &told).await;
    let errors: Vec<_> = got.body["issue"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|issue| issue["severity"] == "error")
        .take(5)
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    server.end().await;
}
