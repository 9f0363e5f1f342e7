//! Batch and transaction.

use serde_json::{Value, json};

use super::{JSON, Server};

fn bundle(kind: &str, entries: Value) -> Value {
    json!({"resourceType": "Bundle", "type": kind, "entry": entries})
}

fn patient(mrn: &str) -> Value {
    json!({"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": mrn}]})
}

fn observation(subject: &str) -> Value {
    json!({
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "weight"},
        "subject": {"reference": subject},
    })
}

fn statuses(answer: &Value) -> Vec<&str> {
    let entries = answer["entry"].as_array().unwrap();
    entries.iter().map(|entry| entry["response"]["status"].as_str().unwrap_or("?")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_one_commit_and_its_links_are_resolved() {
    let server = Server::start().await;
    server.store(&json!({"resourceType": "Patient", "id": "old", "active": true})).await;
    let known = server.post("Patient", &patient("known")).await;
    let known = known.body["id"].as_str().unwrap();
    let new = "urn:uuid:5a9e5a2e-3f0c-4c4e-8f65-2b6a8f0d9a01";
    let sent = bundle(
        "transaction",
        json!([
            {"request": {"method": "GET", "url": "Observation?status=final"}},
            {"fullUrl": "urn:uuid:5a9e5a2e-3f0c-4c4e-8f65-2b6a8f0d9a02",
             "resource": observation(new), "request": {"method": "POST", "url": "Observation"}},
            {"resource": observation("Patient?identifier=urn:mrn|known"),
             "request": {"method": "POST", "url": "Observation"}},
            {"fullUrl": new, "resource": patient("new"),
             "request": {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=urn:mrn|new"}},
            {"resource": {"resourceType": "Patient", "id": "mine"},
             "request": {"method": "PUT", "url": "Patient/mine"}},
            {"request": {"method": "DELETE", "url": "Patient/old"}},
        ]),
    );
    let got = server.post("", &sent).await;
    assert_eq!((got.status, &got.body["type"]), (200, &json!("transaction-response")), "{got:?}");
    assert_eq!(
        statuses(&got.body),
        ["200 OK", "201 Created", "201 Created", "201 Created", "201 Created", "204 No Content"]
    );
    let entry = |at: usize| &got.body["entry"][at];
    assert_eq!(entry(0)["resource"]["total"], 2, "reads see what was written");
    let made = entry(3)["response"]["location"].as_str().unwrap();
    let made = made.split("/fhir/").nth(1).unwrap().split("/_history").next().unwrap();
    let seen = server.get(entry(1)["response"]["location"].as_str().unwrap()).await;
    assert_eq!(seen.body["subject"]["reference"], made);
    let seen = server.get(entry(2)["response"]["location"].as_str().unwrap()).await;
    assert_eq!(seen.body["subject"]["reference"], format!("Patient/{known}"));
    let log = server.log().await;
    let events: Vec<_> = log.iter().skip(2).map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(
        events,
        [
            "Bundle^transaction",
            "Patient^delete",
            "Observation^create",
            "Observation^create",
            "Patient^create",
            "Patient^update",
        ]
    );

    let again = server.post("", &sent).await;
    assert_eq!(statuses(&again.body)[3], "200 OK", "the patient is there by now");
    assert_eq!(server.get("Patient?identifier=urn:mrn|new&_summary=count").await.body["total"], 1);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_entry_leaves_nothing_of_a_transaction() {
    let server = Server::start().await;
    let good = json!({"resource": patient("1"), "request": {"method": "POST", "url": "Patient"}});
    let put = |id: &str| {
        json!({"resource": {"resourceType": "Patient", "id": id},
            "request": {"method": "PUT", "url": format!("Patient/{id}")}})
    };
    let cases: Vec<(Value, u16, &str)> = vec![
        (
            json!({"resource": {"resourceType": "Patient", "gender": "zzz"},
            "request": {"method": "POST", "url": "Patient"}}),
            422,
            "Bundle.entry[1].resource.gender",
        ),
        (json!({"resource": patient("1")}), 400, "Bundle.entry[1].request"),
        (
            json!({"resource": patient("1"), "request": {"method": "POST", "url": "http://x/Patient"}}),
            400,
            "Bundle.entry[1]",
        ),
        (
            json!({"resource": {"resourceType": "Patient", "id": "nobody"},
            "request": {"method": "PUT", "url": "Patient/nobody", "ifMatch": "W/\"3\""}}),
            412,
            "Bundle.entry[1]",
        ),
        (
            json!({"resource": observation("Patient?identifier=urn:mrn|nobody"),
            "request": {"method": "POST", "url": "Observation"}}),
            412,
            "Bundle.entry[1]",
        ),
        (
            json!({"resource": {"resourceType": "Patient", "language": "REFUSE"},
            "request": {"method": "POST", "url": "Patient"}}),
            422,
            "",
        ),
    ];
    for (bad, status, place) in cases {
        let got = server.post("", &bundle("transaction", json!([good, bad]))).await;
        assert_eq!(got.status, status, "{got:?}");
        assert_eq!(got.body["resourceType"], "OperationOutcome");
        assert!(got.body["issue"].to_string().contains(place), "{place}: {got:?}");
    }
    let twice = server.post("", &bundle("transaction", json!([put("a"), put("a")]))).await;
    assert_eq!((twice.status, twice.codes()), (400, vec!["duplicate"]));
    assert_eq!(server.get("Patient?_summary=count").await.body["total"], 0);
    assert!(server.log().await.is_empty());
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_a_batch_stand_each_for_itself() {
    let server = Server::start().await;
    let sent = bundle(
        "batch",
        json!([
            {"resource": patient("1"), "request": {"method": "POST", "url": "Patient"}},
            {"resource": {"resourceType": "Patient", "gender": "zzz"},
             "request": {"method": "POST", "url": "Patient"}},
            {"request": {"method": "GET", "url": "Patient/none"}},
            {"request": {"method": "GET", "url": "Patient?identifier=urn:mrn|1"}},
            {"request": {"method": "DELETE", "url": "Patient/none"}},
            {"request": {"method": "BREW", "url": "Patient/none"}},
        ]),
    );
    let headers = [JSON, ("Prefer", "return=representation")];
    let got = server.call("POST", "", &headers, &sent.to_string()).await;
    assert_eq!((got.status, &got.body["type"]), (200, &json!("batch-response")));
    let statuses = statuses(&got.body);
    let codes: Vec<_> = statuses.iter().map(|text| text.split(' ').next().unwrap()).collect();
    assert_eq!(codes, ["201", "422", "404", "200", "204", "400"]);
    assert_eq!(got.body["entry"][0]["resource"]["resourceType"], "Patient");
    assert_eq!(got.body["entry"][1]["response"]["outcome"]["resourceType"], "OperationOutcome");
    assert_eq!(got.body["entry"][3]["resource"]["total"], 1);
    let plain = server.post("", &sent).await;
    assert!(plain.body["entry"][0].get("resource").is_none(), "asked for nothing, got nothing");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_have_their_limits_and_types() {
    let server = Server::with(medway::source::fhir::options::FhirSourceOptions {
        entries_max: 3,
        ..Default::default()
    })
    .await;
    let entry = json!({"request": {"method": "GET", "url": "Patient"}});
    let four = bundle("batch", json!([entry, entry, entry, entry]));
    assert_eq!(server.post("", &four).await.status, 413);
    assert_eq!(server.post("", &bundle("collection", json!([entry]))).await.status, 400);
    assert_eq!(server.post("", &patient("1")).await.status, 400);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_transaction_from_many_at_once_makes_its_patient_once() {
    let server = Server::start().await;
    let sent = bundle(
        "transaction",
        json!([{"resource": patient("7"), "request":
            {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=urn:mrn|7"}}]),
    );
    let calls = (0..12).map(|_| server.post("", &sent));
    let answers = futures_util::future::join_all(calls).await;
    let made = answers.iter().filter(|got| statuses(&got.body) == ["201 Created"]).count();
    assert_eq!(made, 1, "{answers:?}");
    assert_eq!(server.get("Patient?_summary=count").await.body["total"], 1);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_replaces_what_it_deletes() {
    let server = Server::start().await;
    let mut old = patient("1");
    old["id"] = json!("old");
    server.store(&old).await;
    let sent = bundle(
        "transaction",
        json!([
            {"request": {"method": "DELETE", "url": "Patient/old"}},
            {"fullUrl": "http://x/fhir/Patient/1", "resource": patient("1"), "request":
                {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=urn:mrn|1"}},
            {"fullUrl": "http://x/fhir/Observation/1", "resource": {
                "resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"},
                "subject": {"reference": "Patient/1"}},
             "request": {"method": "PUT", "url": "Observation/o"}},
        ]),
    );
    let got = server.post("", &sent).await;
    assert_eq!(got.status, 200, "{}", got.text);
    assert_eq!(statuses(&got.body), ["204 No Content", "201 Created", "201 Created"], "{got:?}");
    let made = server.get("Patient").await.entries();
    assert!(made.len() == 1 && made[0] != "Patient/old", "{made:?}");
    let observation = server.get("Observation/o").await.body;
    assert_eq!(observation["subject"]["reference"], *made[0]);
    server.end().await;
}
