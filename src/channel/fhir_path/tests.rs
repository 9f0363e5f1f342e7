//! FHIR paths: what is found wrong, what is read, what is written.

use serde_json::{Value, json};

use super::*;

fn patient() -> Value {
    json!({
        "resourceType": "Patient",
        "identifier": [{"system": "urn:x", "value": "1"}, {"system": "urn:y", "value": "2"}],
        "name": [{"family": "Doe", "given": ["Jane", "Ann"]}],
        "multipleBirthInteger": 2,
    })
}

fn read(path: &str, document: &Value) -> Vec<Value> {
    let path = FhirPath::parse(path, 0..path.len(), &[]).unwrap();
    path.read(document).into_iter().map(std::borrow::Cow::into_owned).collect()
}

#[test]
fn reads_names_conditions_and_choices() {
    let patient = patient();
    for (path, expected) in [
        ("Patient.name.family", json!(["Doe"])),
        ("Patient.name.given", json!(["Jane", "Ann"])),
        ("Patient.name[0].given[1]", json!(["Ann"])),
        ("identifier.where(system = 'urn:y').value", json!(["2"])),
        ("Patient.identifier.where(system = 'urn:y' and value = '2').value", json!(["2"])),
        ("Patient.multipleBirth", json!([2])),
        ("Patient.multipleBirthInteger", json!([2])),
        ("Patient.name.exists()", json!([true])),
        ("Encounter.status", json!([])),
    ] {
        assert_eq!(Value::from(read(path, &patient)), expected, "{path}");
    }
}

#[test]
fn a_bundle_is_read_through_its_entries() {
    let bundle = json!({"resourceType": "Bundle", "type": "collection",
        "entry": [{"resource": {"resourceType": "Encounter"}}, {"resource": patient()}]});
    assert_eq!(read("Patient.name.family", &bundle), ["Doe"]);
    assert_eq!(read("Bundle.type", &bundle), ["collection"]);
    assert_eq!(read("Bundle.entry.resource.name.family", &bundle), ["Doe"]);
}

/// The fault's code, the marked text, and the fix.
fn fault(path: &str, resources: &[&str]) -> (String, String, String) {
    let resources: Vec<_> = resources.iter().filter_map(|name| r4().resource(name)).collect();
    let fault = FhirPath::parse(path, 0..path.len(), &resources).unwrap_err();
    let marked = path.get(fault.at.clone()).unwrap_or_default().to_owned();
    (fault.code.to_owned(), marked, fault.fix.map(String::from).unwrap_or_default())
}

#[test]
fn a_wrong_name_is_found_at_its_place() {
    for (path, marked, near) in [
        ("Patient.nmae.family", "nmae", "name"),
        ("Patient.name.familly", "familly", "family"),
        ("Patient.identifier.where(sytem = 'x').value", "sytem", "system"),
        ("Patient.identifier.where(system = 'x' and valu = '1').use", "valu", "value"),
        ("Patient.birthDate.year", "year", ""),
        ("Observation.valueQuantty.value", "valueQuantty", "valueQuantity"),
        ("Encounter.location.location.identifer", "identifer", "identifier"),
        ("Patient.name.ofType(Adress)", "Adress", ""),
    ] {
        let (code, found, fix) = fault(path, &[]);
        assert_eq!(
            (code.as_str(), found.as_str(), fix.as_str()),
            ("E0326", marked, near),
            "{path}"
        );
    }
    assert_eq!(fault("name.familly", &["Patient"]).1, "familly");
    assert_eq!(fault("birthDate", &["Encounter"]).1, "birthDate");
    assert_eq!(fault("Patient.name.where(use = 'official'.family", &[]).0, "E0325");
    assert_eq!(fault("Patient.managingOrganization.resolve().name", &[]).0, "E0325");
}

#[test]
fn what_a_path_reads_like_is_known_by_its_looks() {
    for path in ["Patient.name", "Observation.value", "identifier.where(system = 'x').value"] {
        assert!(looks_like(path), "{path}");
    }
    for text in
        ["patient.mrn", "Patient", "Mr.Smith", "ADT^A01", "PID.3", "Patient.", "trim(PID-3)"]
    {
        assert!(!looks_like(text), "{text}");
    }
}

fn written(path: &str, value: Option<Value>) -> Value {
    let path = FhirPath::parse(path, 0..path.len(), &[]).unwrap();
    assert!(path.is_writable());
    let mut document = patient();
    path.write(&mut document, value.as_ref());
    document
}

#[test]
fn writes_where_it_leads_and_makes_what_is_missing() {
    let changed = written("Patient.name.family", Some("Roe".into()));
    assert_eq!(changed["name"], json!([{"family": "Roe", "given": ["Jane", "Ann"]}]));
    let changed = written("Patient.identifier.where(system = 'urn:z').value", Some("9".into()));
    assert_eq!(changed["identifier"][2], json!({"system": "urn:z", "value": "9"}));
    let changed = written("Patient.contact.name.family", Some("Poe".into()));
    assert_eq!(changed["contact"], json!([{"name": {"family": "Poe"}}]));
    let changed = written("Patient.active", Some(true.into()));
    assert_eq!(changed["active"], true);
    let changed = written("Patient.name", Some(json!([{"text": "a"}, {"text": "b"}])));
    assert_eq!(changed["name"], json!([{"text": "a"}, {"text": "b"}]));
    assert_eq!(
        written("Patient.name.given", Some("Joan".into()))["name"][0]["given"],
        json!(["Joan", "Ann"])
    );
    assert_eq!(written("Encounter.status", Some("planned".into())), patient());
}

#[test]
fn takes_away_and_leaves_nothing_empty() {
    let changed = written("Patient.identifier.where(system = 'urn:x')", None);
    assert_eq!(changed["identifier"], json!([{"system": "urn:y", "value": "2"}]));
    assert_eq!(written("Patient.identifier", None).get("identifier"), None);
    assert_eq!(
        written("Patient.identifier[0]", None)["identifier"],
        json!([{"system": "urn:y", "value": "2"}])
    );
    assert_eq!(written("Patient.multipleBirthInteger", None).get("multipleBirthInteger"), None);
    let mut document = json!({"resourceType": "Patient", "contact": [{"name": {"family": "P"}}]});
    let path = FhirPath::parse("Patient.contact.name.family", 0..0, &[]).unwrap();
    path.write(&mut document, None);
    assert_eq!(document, json!({"resourceType": "Patient"}));
}

#[test]
fn a_choice_without_its_type_cannot_be_written() {
    for path in ["Patient.deceased", "Patient.name.first().family", "Patient.name.exists()"] {
        assert!(!FhirPath::parse(path, 0..path.len(), &[]).unwrap().is_writable(), "{path}");
    }
}
