//! The same names from FHIR as from HL7 v2.

use serde_json::{Value, json};

use super::Resources;
use super::patient::patient_event;
use crate::message::view::PatientEvent;
use crate::message::view::names::{FIELDS, get};

/// Each name has the value; `-` stands for none.
fn check(document: &Value, event: &str, expected: &[(&str, &str)]) {
    let message = Resources::of(document, event);
    for (name, value) in expected {
        assert!(FIELDS.iter().any(|(known, _)| known == name), "{name} is listed");
        assert_eq!(get(&message, name).as_deref().unwrap_or("-"), *value, "{name}");
    }
}

fn v2_0203(code: &str) -> Value {
    json!({"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": code}]})
}

fn patient() -> Value {
    json!({
        "resourceType": "Patient", "id": "p1",
        "identifier": [
            {"system": "urn:oid:1.2.3", "value": "8801", "type": v2_0203("AN")},
            {"system": "urn:oid:1.2.3", "value": "100234", "type": v2_0203("MR")},
        ],
        "name": [{"use": "official", "family": "张", "given": ["三"]}],
        "gender": "female", "birthDate": "1984-02-03",
    })
}

fn encounter() -> Value {
    json!({
        "resourceType": "Encounter", "id": "e1", "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "identifier": [{"value": "V-88123", "type": v2_0203("VN")}],
        "subject": {"reference": "Patient/p1"},
        "location": [
            {"status": "completed", "location": {"display": "ER"}},
            {"status": "active", "location": {"reference": "#bed"}},
        ],
        "contained": [
            {"resourceType": "Location", "id": "ward", "name": "ICU",
                "physicalType": {"coding": [{"code": "wa"}]}},
            {"resourceType": "Location", "id": "bed", "name": "B3",
                "physicalType": {"coding": [{"code": "bd"}]}, "partOf": {"reference": "#ward"}},
        ],
    })
}

#[test]
fn a_patient_is_read_by_name() {
    check(
        &patient(),
        "Patient^create",
        &[
            ("patient.mrn", "100234"),
            ("patient.id", "8801"),
            ("patient.reference", "Patient/p1"),
            ("patient.name", "张三"),
            ("patient.name.given", "三"),
            ("patient.birth_date", "1984-02-03"),
            ("patient.sex", "female"),
            ("patient.event", "update"),
            ("patient.merged_from", "-"),
            ("visit.number", "-"),
            ("report.status", "-"),
            ("device.metric", "-"),
        ],
    );
}

#[test]
fn an_encounter_of_a_bundle_is_read_with_its_patient() {
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": encounter()},
        {"resource": patient()},
    ]});
    check(
        &bundle,
        "Bundle^transaction",
        &[
            ("patient.mrn", "100234"),
            ("patient.event", "admit"),
            ("visit.number", "V-88123"),
            ("visit.class", "I"),
            ("visit.ward", "ICU"),
            ("visit.bed", "B3"),
            ("visit.prior_ward", "ER"),
        ],
    );
}

#[test]
fn an_encounter_alone_knows_its_patient_by_reference() {
    check(
        &encounter(),
        "Encounter^update",
        &[
            ("patient.reference", "Patient/p1"),
            ("patient.mrn", "-"),
            ("patient.event", "update"),
            ("visit.ward", "ICU"),
        ],
    );
}

#[test]
fn a_state_is_news_once() {
    let event = |status: &str, action: &str, before: &[&str]| {
        let mut resource = encounter();
        resource["status"] = status.into();
        if !before.is_empty() {
            resource["statusHistory"] = before.iter().map(|past| json!({"status": past})).collect();
        }
        patient_event(&resource, action)
    };
    assert_eq!(event("planned", "create", &[]), PatientEvent::PreAdmit);
    assert_eq!(event("in-progress", "create", &[]), PatientEvent::Admit);
    assert_eq!(event("in-progress", "update", &[]), PatientEvent::Update);
    assert_eq!(event("in-progress", "update", &["planned"]), PatientEvent::Admit);
    assert_eq!(event("in-progress", "patch", &["planned", "arrived"]), PatientEvent::Update);
    assert_eq!(event("finished", "update", &[]), PatientEvent::Discharge);
    assert_eq!(event("cancelled", "patch", &[]), PatientEvent::CancelAdmit);
    assert_eq!(event("in-progress", "delete", &[]), PatientEvent::Delete);
}

#[test]
fn a_merge_names_what_ends() {
    let mut survivor = patient();
    survivor["link"] = json!([{"type": "replaces", "other": {"identifier": {"value": "200111"}}}]);
    check(
        &survivor,
        "Patient^update",
        &[("patient.event", "merge"), ("patient.merged_from", "200111")],
    );
    let mut ended = patient();
    ended["link"] = json!([{"type": "replaced-by", "other": {"reference": "Patient/p2"}}]);
    check(&ended, "Patient^update", &[("patient.merged_from", "100234")]);
}

#[test]
fn a_report_is_read_by_name() {
    let report = json!({
        "resourceType": "DiagnosticReport", "status": "amended",
        "identifier": [{"value": "F-1", "type": v2_0203("FILL")}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "24323-8"}], "text": "Metabolic panel"},
        "subject": {"identifier": {"value": "100234", "type": v2_0203("MR")}, "display": "Jane Doe"},
        "effectiveDateTime": "2026-01-14T07:00:00+01:00", "issued": "2026-01-14T08:30:00+01:00",
        "basedOn": [{"reference": "#order"}],
        "contained": [{"resourceType": "ServiceRequest", "id": "order",
            "identifier": [{"value": "P-1", "type": v2_0203("PLAC")}]}],
    });
    check(
        &report,
        "DiagnosticReport^update",
        &[
            ("report.order", "P-1"),
            ("report.filler_order", "F-1"),
            ("report.accession", "F-1"),
            ("report.code", "24323-8"),
            ("report.title", "Metabolic panel"),
            ("report.status", "corrected"),
            ("report.observed_at", "2026-01-14T07:00:00+01:00"),
            ("report.issued_at", "2026-01-14T08:30:00+01:00"),
            ("patient.mrn", "100234"),
            ("patient.name", "Jane Doe"),
        ],
    );
}

#[test]
fn a_measurement_is_read_with_its_device() {
    let observation = json!({
        "resourceType": "Observation", "status": "final",
        "code": {"coding": [{"system": "urn:iso:std:iso:11073:10101", "code": "150456",
            "display": "MDC_PULS_OXIM_SAT_O2"}]},
        "valueQuantity": {"value": 86, "unit": "%", "system": "http://unitsofmeasure.org", "code": "%"},
        "effectiveDateTime": "2026-01-14T08:15:30+01:00",
        "device": {"reference": "#d"},
        "contained": [{"resourceType": "Device", "id": "d", "identifier": [
            {"system": "urn:oid:1.2.840.10004.1.1.1.0.0.1680", "value": "00-13-A2-00-41-F2-C0-DE"}]}],
    });
    check(
        &observation,
        "Observation^create",
        &[
            ("device.id", "0013A20041F2C0DE"),
            ("device.metric", "MDC_PULS_OXIM_SAT_O2"),
            ("device.value", "86"),
            ("device.unit", "%"),
            ("device.time", "2026-01-14T08:15:30+01:00"),
        ],
    );
}

#[test]
fn a_reference_is_followed_within_the_bundle_alone() {
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": [
        {"fullUrl": "urn:uuid:6f5b3c1e-0000-4000-8000-000000000001", "resource": patient()},
    ]});
    let message = Resources::of(&bundle, "");
    let found = |reference: &str| {
        message.resolve(&bundle, &json!({"reference": reference})).map(|found| found["id"].clone())
    };
    for known in [
        "Patient/p1",
        "urn:uuid:6f5b3c1e-0000-4000-8000-000000000001",
        "https://fhir.example/r4/Patient/p1",
        "Patient/p1/_history/2",
    ] {
        assert_eq!(found(known), Some("p1".into()), "{known}");
    }
    for unknown in ["Patient/p2", "#p1", "", "https://fhir.example/Person/p1"] {
        assert_eq!(found(unknown), None, "{unknown}");
    }
}

#[test]
fn what_is_no_resource_says_nothing() {
    for document in [json!(null), json!([1]), json!({"resourceType": 7}), json!({"entry": {}})] {
        let message = Resources::of(&document, "");
        for (name, _) in FIELDS {
            assert!(
                get(&message, name).is_none_or(|value| value == "other" || value == "unknown"),
                "{name} of {document}"
            );
        }
    }
}
