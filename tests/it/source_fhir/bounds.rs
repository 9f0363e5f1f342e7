//! What an endpoint does not give out, and what it does not let grow.

use medway::source::fhir::options::FhirSourceOptions;
use serde_json::{Value, json};

use super::{JSON, Server};

fn observation(id: &str, more: &Value) -> Value {
    let mut observation = json!({
        "resourceType": "Observation", "id": id, "status": "final", "code": {"text": "x"},
        "subject": {"reference": "Patient/p"},
    });
    let members = more.as_object().unwrap().clone();
    observation.as_object_mut().unwrap().extend(members);
    observation
}

#[tokio::test(flavor = "multi_thread")]
async fn types_that_are_not_served_come_by_no_other_way() {
    let server = Server::start().await;
    server
        .store(&json!({"resourceType": "Patient", "id": "p", "name": [{"family": "Li"}],
            "identifier": [{"system": "urn:mrn", "value": "1"}]}))
        .await;
    server.store(&observation("o", &json!({}))).await;
    let types = vec!["Observation".into()];
    let at = server.beside(FhirSourceOptions { types, ..FhirSourceOptions::default() }).await;
    let get = |path: &'static str| server.call_at(at, "GET", path, &[], "");
    assert_eq!(get("Patient/p").await.status, 404);
    for path in ["_history", "Observation?_include=Observation:subject"] {
        let got = get(path).await;
        assert_eq!((got.status, got.entries()), (200, vec!["Observation/o".to_owned()]), "{path}");
    }
    for path in ["Observation?patient.identifier=urn:mrn|1", "Observation?subject:Patient.name=Li"]
    {
        assert_eq!(get(path).await.status, 404, "{path}");
    }
    let reference = json!({"subject": {"reference": "Patient?identifier=urn:mrn|1"}});
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [{
        "resource": observation("n", &reference), "request": {"method": "PUT", "url": "Observation/n"},
    }]});
    let got = server.call_at(at, "POST", "", &[JSON], &bundle.to_string()).await;
    assert_eq!(got.status, 404, "{got:?}");
    let types = vec!["Patient".into()];
    let at = server.beside(FhirSourceOptions { types, ..FhirSourceOptions::default() }).await;
    let path = "Patient?_revinclude=Observation:subject";
    assert_eq!(server.call_at(at, "GET", path, &[], "").await.entries(), ["Patient/p"]);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_lets_nothing_grow_beyond_what_would_be_taken_whole() {
    let options = FhirSourceOptions { body_bytes_max: 4000, depth_max: 12, ..Default::default() };
    let server = Server::with(options).await;
    let note = json!({"note": [{"text": "x".repeat(1500)}]});
    server.store(&observation("o", &note)).await;
    let patch = |operations: Value| operations.to_string();
    let copy = json!({"op": "copy", "from": "/note/0", "path": "/note/-"});
    let header = [("Content-Type", "application/json-patch+json")];
    let large = patch(json!([copy, copy, copy]));
    let got = server.call("PATCH", "Observation/o", &header, &large).await;
    assert_eq!((got.status, got.codes()), (422, vec!["too-long"]));
    let small = patch(json!([copy]));
    assert_eq!(server.call("PATCH", "Observation/o", &header, &small).await.status, 200);
    let found = server.get("Observation").await;
    assert_eq!((&found.body["total"], found.entries().len()), (&json!(1), 1));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_stays_readable_however_large() {
    let options = FhirSourceOptions { depth_max: 118, ..Default::default() };
    let server = Server::with(options).await;
    let mut deep = json!({"url": "urn:x", "valueString": "y"});
    for _ in 0..50 {
        deep = json!({"url": "urn:x", "extension": [deep]});
    }
    let deep = json!({"extension": [deep]});
    let body = observation("d", &deep).to_string();
    let got = server.call("PUT", "Observation/d", &[JSON], &body).await;
    assert_eq!(got.status, 201, "{got:?}");
    assert_eq!(server.get("Observation").await.entries(), ["Observation/d"]);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_large_resources_ends_early_and_goes_on() {
    let server = Server::start().await;
    let text = "x".repeat((1 << 20) - 1);
    let note = json!({"note": vec![json!({"text": text}); 6]});
    for id in ["a", "b", "c", "d", "e"] {
        server.store(&observation(id, &note)).await;
    }
    for path in
        ["Observation?_count=5", "Observation?_count=5&_sort=-_lastUpdated", "_history?_count=5"]
    {
        let (mut found, mut pages) = (Vec::new(), 0);
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let got = server.get(&path).await;
            pages += 1;
            found.extend(got.entries());
            next = got.link("next");
        }
        found.sort();
        let all = ["a", "b", "c", "d", "e"].map(|id| format!("Observation/{id}"));
        assert_eq!((pages, found), (2, all.to_vec()), "{path}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_keep_their_text_on_every_way_out() {
    let server = Server::start().await;
    let body = r#"{"resourceType":"Observation","id":"n","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.0E-22}}"#;
    server.call("PUT", "Observation/n", &[JSON], body).await;
    let bundle = json!({"resourceType": "Bundle", "type": "batch",
        "entry": [{"request": {"method": "GET", "url": "Observation/n"}}]});
    let in_bundle = server.post("", &bundle).await;
    let pretty = server.get("Observation/n?_pretty=true").await;
    let found = server.get("Observation").await;
    for got in [in_bundle, pretty, found, server.get("_history").await] {
        assert!(got.text.contains("1.0E-22"), "{}", got.text);
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_of_another_kind_is_refused_not_retried() {
    let server = Server::start().await;
    for id in ["a", "b"] {
        server.store(&observation(id, &json!({}))).await;
    }
    let next = server.get("Observation?_count=1").await.link("next").unwrap();
    let (_, token) = next.split_once("_page=").unwrap();
    assert_eq!(server.get(&format!("_history?_page={token}")).await.status, 400);
    let sorts = ["_lastUpdated"; 9].join(",");
    assert_eq!(server.get(&format!("Observation?_sort={sorts}")).await.status, 400);
    server.end().await;
}
