//! Search: what is found, how it is told, what is not understood.

use serde_json::{Value, json};

use super::{JSON, Server};

async fn filled() -> Server {
    let server = Server::start().await;
    for (id, family, born, mrn) in [
        ("a", "Müller", "1980-01-02", "1"),
        ("b", "Muller", "1990-05", "2"),
        ("c", "Li", "2001", "3"),
    ] {
        server
            .store(&json!({
                "resourceType": "Patient", "id": id, "birthDate": born,
                "name": [{"family": family}],
                "identifier": [{"system": "urn:mrn", "value": mrn}],
            }))
            .await;
    }
    let observations =
        [("o1", "a", "8480-6", 120), ("o2", "a", "8462-4", 80), ("o3", "b", "8480-6", 110)];
    for (id, subject, code, value) in observations {
        server
            .store(&json!({
                "resourceType": "Observation", "id": id, "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": "Blood pressure"}]},
                "valueQuantity": {"value": value},
                "subject": {"reference": format!("Patient/{subject}")},
            }))
            .await;
    }
    server
        .store(&json!({
            "resourceType": "Observation", "id": "o4", "status": "final", "code": {"text": "x"},
            "subject": {"identifier": {"system": "urn:nhs", "value": "9"}},
        }))
        .await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_find_what_they_ask_for() {
    let server = filled().await;
    let cases: &[(&str, &[&str])] = &[
        ("Patient?identifier=urn:mrn|1", &["a"]),
        ("Patient?identifier=2", &["b"]),
        ("Patient?identifier:not=urn:mrn|1", &["b", "c"]),
        ("Patient?family=mul", &["a", "b"]),
        ("Patient?family:exact=Muller", &["b"]),
        ("Patient?family:contains=LLE", &["a", "b"]),
        ("Patient?birthdate=ge1990", &["b", "c"]),
        ("Patient?birthdate=1980", &["a"]),
        ("Patient?_id=a,c", &["a", "c"]),
        ("Patient?gender:missing=true", &["a", "b", "c"]),
        ("Observation?subject=Patient/a", &["o1", "o2"]),
        ("Observation?patient=a", &["o1", "o2"]),
        ("Observation?code=http://loinc.org|8480-6", &["o1", "o3"]),
        ("Observation?subject:Patient.family=Muller&code=8480-6", &["o1", "o3"]),
        ("Observation?code-value-quantity=8480-6$gt110", &["o1"]),
        ("Observation?code:text=PRESS", &["o1", "o2", "o3"]),
        ("Patient?_has:Observation:patient:code=8462-4", &["a"]),
        ("Patient?_has:Observation:subject:status=final&family=muller", &["a", "b"]),
        ("Patient?_has:Observation:subject:status=draft", &[]),
        ("Observation?patient._has:Observation:patient:code=8462-4", &["o1", "o2"]),
        ("Observation?patient.identifier=urn:mrn|2", &["o3"]),
        ("Observation?patient:identifier=urn:nhs|9", &["o4"]),
        ("Observation?subject:identifier=urn:nhs|9", &["o4"]),
        ("Patient?_lastUpdated=gt2999", &[]),
    ];
    for (path, expected) in cases {
        let got = server.get(path).await;
        assert_eq!((got.status, &got.body["type"]), (200, &json!("searchset")), "{path} {got:?}");
        let mut ids: Vec<String> =
            got.entries().iter().map(|name| name.split('/').nth(1).unwrap().to_owned()).collect();
        ids.sort();
        assert_eq!(ids, *expected, "{path}");
        assert_eq!(got.body["total"], expected.len(), "{path}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_sorted_counted_and_paged() {
    let server = filled().await;
    assert_eq!(
        server.get("Patient?_sort=-birthdate").await.entries(),
        ["Patient/c", "Patient/b", "Patient/a"]
    );
    let first = server.get("Patient?_sort=birthdate&_count=2&_total=accurate").await;
    assert_eq!(first.entries(), ["Patient/a", "Patient/b"]);
    assert_eq!(first.body["total"], 3);
    let next = first.link("next").unwrap();
    let second = server.get(&next).await;
    assert_eq!(second.entries(), ["Patient/c"]);
    assert_eq!((second.link("next"), second.link("self")), (None, Some(next)));
    assert_eq!(server.get("Patient?_count=two").await.status, 400);
    for path in ["Patient?_summary=count", "Patient?_count=0"] {
        let counted = server.get(path).await.body;
        assert_eq!((&counted["total"], counted.get("entry")), (&json!(3), None), "{path}");
    }
    let part = server.get("Patient?_elements=birthDate&_id=a").await.body;
    let resource = &part["entry"][0]["resource"];
    assert!(resource.get("birthDate").is_some() && resource.get("name").is_none());
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_posted_search_puts_nothing_into_links() {
    let server = filled().await;
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let got = server.call("POST", "Patient/_search?_count=1", &form, "family=mul").await;
    assert_eq!(got.status, 200, "{got:?}");
    let next = got.link("next").unwrap();
    assert!(!next.contains("mul"), "{next}");
    assert_eq!(server.get(&next).await.entries().len(), 1);
    assert_eq!(server.call("POST", "Patient/_search", &[JSON], "{}").await.status, 415);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn related_resources_come_along() {
    let server = filled().await;
    let modes = |got: &super::Got| -> Vec<String> {
        let entries = got.body["entry"].as_array().unwrap();
        let told = entries.iter().zip(got.entries());
        told.map(|(entry, name)| format!("{} {name}", entry["search"]["mode"].as_str().unwrap()))
            .collect()
    };
    let got = server.get("Observation?_id=o1&_include=Observation:subject").await;
    assert_eq!(modes(&got), ["match Observation/o1", "include Patient/a"]);
    let got = server.get("Observation?_id=o1,o2&_include=Observation:subject:Patient").await;
    assert_eq!(modes(&got).iter().filter(|one| one.starts_with("include")).count(), 1);
    let got = server.get("Patient?_id=b&_revinclude=Observation:subject").await;
    assert_eq!(modes(&got), ["match Patient/b", "include Observation/o3"]);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_told_or_refused() {
    let server = filled().await;
    let lenient = server.get("Patient?shoe-size=44&identifier=urn:mrn|1").await;
    assert_eq!(lenient.status, 200);
    let own = lenient.link("self").unwrap();
    assert!(own.contains("identifier=") && !own.contains("shoe"), "{own}");
    let last = lenient.body["entry"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["search"]["mode"], "outcome");
    assert_eq!(last["resource"]["issue"][0]["code"], "not-supported");
    let strict = [("Prefer", "handling=strict")];
    let refused = server.call("GET", "Patient?shoe-size=44", &strict, "").await;
    assert_eq!((refused.status, refused.codes()), (400, vec!["not-supported"]));
    for path in ["Patient?birthdate=yesterday", "Patient?_total=some", "Patient?birthdate=xx2000"] {
        assert_eq!(server.get(path).await.status, 400, "{path}");
    }
    let bundle: Value = server.get("Patient?_sort=shoe").await.body;
    assert_eq!(bundle["entry"].as_array().unwrap().last().unwrap()["search"]["mode"], "outcome");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_types_are_searched_at_once() {
    let server = filled().await;
    let all = server.get("?_count=100").await;
    assert_eq!((all.status, all.entries().len()), (200, 7), "{all:?}");
    let two = server.get("?_type=Patient,Observation&_id=a,o1").await;
    assert_eq!(two.entries(), ["Patient/a", "Observation/o1"]);
    // One type has its own parameters; several have those of all types only.
    let one = server.get("?_type=Patient&family=li").await;
    assert_eq!(one.entries(), ["Patient/c"]);
    let lenient = server.get("?_type=Patient,Observation&family=li&_id=a").await;
    assert_eq!(lenient.body["entry"][1]["search"]["mode"], "outcome");
    let unknown = server.get("?_type=Shoe").await;
    assert_eq!(unknown.status, 404, "{unknown:?}");

    let mut seen = Vec::new();
    let mut page = server.get("?_type=Observation,Device&_count=3&_total=accurate").await;
    assert_eq!(page.body["total"], 4);
    loop {
        seen.extend(page.entries());
        let links = page.body["link"].as_array().unwrap();
        let Some(next) = links.iter().find(|link| link["relation"] == "next") else { break };
        let next = next["url"].as_str().unwrap();
        let (_, query) = next.split_once('?').unwrap();
        page = server.get(&format!("?{query}")).await;
    }
    assert_eq!(seen, ["Observation/o1", "Observation/o2", "Observation/o3", "Observation/o4"]);

    let statement = server.get("metadata").await.body;
    let names = |list: &Value| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|one| one["name"].as_str().or(one["code"].as_str()).unwrap().to_owned()).collect()
    };
    let rest = &statement["rest"][0];
    assert!(names(&rest["interaction"]).contains(&"search-system".to_owned()));
    let everywhere = names(&rest["searchParam"]);
    assert!(
        ["_type", "_has", "_lastUpdated"].iter().all(|name| everywhere.contains(&(*name).into()))
    );
    let observation = rest["resource"].as_array().unwrap();
    let observation = observation.iter().find(|one| one["type"] == "Observation").unwrap();
    let composite = observation["searchParam"].as_array().unwrap();
    let composite = composite.iter().find(|one| one["name"] == "code-value-quantity").unwrap();
    assert_eq!(composite["type"], "composite");
    server.end().await;
}
