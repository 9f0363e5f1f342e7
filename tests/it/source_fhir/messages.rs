//! `$process-message` and `$validate`.

use serde_json::{Value, json};

use super::{NOBODY, Server};

fn message(bundle: &str, header: &str, family: &str) -> Value {
    json!({
        "resourceType": "Bundle", "id": bundle, "type": "message",
        "timestamp": "2026-01-02T03:04:05Z",
        "entry": [
            {"fullUrl": format!("urn:uuid:{header}"), "resource": {
                "resourceType": "MessageHeader", "id": header,
                "eventCoding": {"system": "urn:events", "code": "admit"},
                "source": {"name": "HIS", "endpoint": "http://his.example/fhir"},
                "focus": [{"reference": "urn:uuid:5a9e5a2e-3f0c-4c4e-8f65-2b6a8f0d9a01"}],
            }},
            {"fullUrl": "urn:uuid:5a9e5a2e-3f0c-4c4e-8f65-2b6a8f0d9a01",
             "resource": {"resourceType": "Patient", "name": [{"family": family}]}},
        ],
    })
}

const A: &str = "5a9e5a2e-3f0c-4c4e-8f65-2b6a8f0d9b01";
const B: &str = "5a9e5a2e-3f0c-4c4e-8f65-2b6a8f0d9b02";

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_stored_then_answered_and_a_retransmission_gets_the_same_answer() {
    let server = Server::start().await;
    let got = server.post("$process-message", &message("b1", A, "Li")).await;
    assert_eq!(got.status, 200, "{got:?}");
    let header = &got.body["entry"][0]["resource"];
    assert_eq!(got.body["type"], "message");
    assert_eq!(header["response"]["code"], "ok");
    assert_eq!(header["response"]["identifier"], A);
    assert_eq!(header["destination"][0]["endpoint"], "http://his.example/fhir");
    assert_eq!(header["eventCoding"]["code"], "admit");
    let again = server.post("$process-message", &message("b1", A, "Li")).await;
    let other_bundle = server.post("$process-message", &message("b2", A, "Li")).await;
    assert_eq!(again.body, got.body);
    assert_eq!(other_bundle.body, got.body);
    assert_eq!(server.log().await, [format!("message^admit {A}")]);

    let changed = server.post("$process-message", &message("b3", A, "Wang")).await;
    assert_eq!(changed.status, 422, "{changed:?}");
    assert_eq!(changed.body["entry"][0]["resource"]["response"]["code"], "fatal-error");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_fatal_and_overload_is_transient() {
    let server = Server::start().await;
    let code = |got: &super::Got| {
        got.body["entry"][0]["resource"]["response"]["code"].as_str().unwrap_or("none").to_owned()
    };
    let refused = server.post("$process-message", &message("b1", A, "REFUSE")).await;
    assert_eq!((refused.status, &*code(&refused)), (422, "fatal-error"));
    server.intake.drain();
    let later = server.post("$process-message", &message("b1", A, "Li")).await;
    assert_eq!((later.status, &*code(&later)), (503, "transient-error"));
    assert_eq!(later.header("retry-after"), "5");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_message_is_answered_by_a_message_of_its_own() {
    let server = Server::start().await;
    let path = "$process-message?async=true&response-url=http://his.example/in";
    let got = server.post(path, &message("b1", B, "Li")).await;
    assert_eq!((got.status, &got.body), (202, &Value::Null));
    assert_eq!(server.post(path, &message("b1", B, "Li")).await.status, 202);
    let log = server.log().await;
    assert_eq!(log.len(), 2, "{log:?}");
    assert_eq!(log[0], format!("message^admit {B}"));
    assert!(log[1].starts_with("message^response "));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_answered_later_is_not_stored() {
    let server = Server::start().await;
    let mut nowhere = message("b1", B, "Li");
    let source = nowhere.pointer_mut("/entry/0/resource/source").unwrap();
    *source = json!({"name": "HIS"});
    let got = server.post("$process-message?async=true", &nowhere).await;
    assert_eq!(got.status, 400, "{got:?}");
    let path = format!("$process-message?async=true&response-url={NOBODY}");
    let got = server.post(&path, &message("b1", B, "Li")).await;
    assert_eq!((got.status, got.codes()), (422, vec!["not-supported"]));
    assert!(server.log().await.is_empty());
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_refused() {
    let server = Server::start().await;
    let mut no_header = message("b1", A, "Li");
    no_header["entry"].as_array_mut().unwrap().remove(0);
    let mut no_event = message("b1", A, "Li");
    no_event["entry"][0]["resource"].as_object_mut().unwrap().remove("eventCoding");
    let parameters = json!({"resourceType": "Parameters", "parameter": []});
    for body in
        [no_header, no_event, parameters, json!({"resourceType": "Bundle", "type": "batch"})]
    {
        let got = server.post("$process-message", &body).await;
        assert_eq!(got.status, 400, "{got:?}");
        assert_eq!(got.body["resourceType"], "OperationOutcome");
    }
    assert_eq!(server.get("$process-message").await.status, 405);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn validation_answers_200_whatever_it_finds() {
    let server = Server::start().await;
    let good = json!({"resourceType": "Patient", "gender": "female"});
    let bad = json!({"resourceType": "Patient", "gender": "zzz"});
    let worst = |got: &super::Got| {
        let issues = got.body["issue"].as_array().unwrap();
        issues.iter().any(|issue| issue["severity"] == "error")
    };
    let wrapped = |resource: &Value, mode: &str| {
        json!({"resourceType": "Parameters", "parameter": [
            {"name": "resource", "resource": resource}, {"name": "mode", "valueCode": mode}]})
    };
    for (path, body, wrong) in [
        ("Patient/$validate", good.clone(), false),
        ("Patient/$validate", bad.clone(), true),
        ("$validate", bad.clone(), true),
        ("Patient/$validate", wrapped(&good, "create"), false),
        ("Patient/$validate", wrapped(&good, "update"), true),
        ("Observation/$validate", good.clone(), true),
    ] {
        let got = server.post(path, &body).await;
        assert_eq!((got.status, worst(&got)), (200, wrong), "{path} {body}: {got:?}");
    }
    server.store(&json!({"resourceType": "Patient", "id": "p"})).await;
    assert_eq!(server.get("Patient/p/$validate").await.status, 200);
    assert_eq!(server.get("Patient/none/$validate").await.status, 404);
    let delete = server
        .post(
            "Patient/p/$validate",
            &json!({"resourceType": "Parameters",
        "parameter": [{"name": "mode", "valueCode": "delete"}]}),
        )
        .await;
    assert_eq!(delete.status, 200);
    server.end().await;
}
