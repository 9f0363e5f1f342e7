//! Messages made of resources: what a receiver of HL7 v2 reads.

use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::{Authority, Header, NoMessage, Options, Wanted, convert};
use crate::hl7::path::Path;
use crate::hl7::raw::{RawMessage, SegmentEnds};

const HEADER: Header<'static> = Header { control_id: "C1", now: "20260114080000.000+0000" };

fn options() -> Options {
    let authority = |name: &str, kind: &str| Authority { name: name.into(), kind: kind.into() };
    Options {
        authorities: [
            ("https://hospital.example/mrn".into(), authority("NORTH", "MR")),
            ("Patient".into(), authority("MEDWAY", "PI")),
        ]
        .into(),
        ..Options::default()
    }
}

fn made(document: &Json, event: &str, options: &Options) -> RawMessage {
    let made = convert(document, event, options, HEADER).unwrap();
    assert_eq!(made.notices, [], "{document}");
    read(made.bytes)
}

fn read(bytes: Bytes) -> RawMessage {
    RawMessage::parse(bytes, SegmentEnds::CrOnly).unwrap()
}

/// Each path has the text; `-` stands for none.
fn check(message: &RawMessage, expected: &[(&str, &str)]) {
    for (path, value) in expected {
        let path: Path = path.parse().unwrap();
        let found = message.get(&path).text(message.charset()).into_owned();
        assert_eq!(if found.is_empty() { "-" } else { &found }, *value, "{path}");
    }
}

fn segments(message: &RawMessage) -> String {
    let ids: Vec<_> =
        message.segments().map(|one| String::from_utf8_lossy(one.id).into_owned()).collect();
    ids.join(" ")
}

fn v2(table: &str, code: &str) -> Json {
    json!({"coding": [{"system": format!("http://terminology.hl7.org/CodeSystem/v2-{table}"), "code": code}]})
}

fn patient() -> Json {
    json!({
        "resourceType": "Patient", "id": "p1",
        "identifier": [
            {"system": "https://hospital.example/mrn", "value": "100234"},
            {"system": "urn:oid:1.2.3.4", "value": "S-7", "type": v2("0203", "SS"), "assigner": {"display": "STATE"}},
            {"system": "https://elsewhere.example/ids", "value": "E|9"},
        ],
        "name": [{"use": "official", "family": "Doe & Sons", "given": ["Jane", "Ann"], "prefix": ["Dr"]}],
        "gender": "female", "birthDate": "1984-02-03",
        "address": [{"use": "home", "line": ["Main St 1", "Flat 2"], "city": "Springfield", "state": "IL", "postalCode": "62701", "country": "US"}],
        "telecom": [
            {"system": "phone", "use": "home", "value": "+1 555 0100"},
            {"system": "email", "value": "jane@mail.example"},
            {"system": "phone", "use": "work", "value": "+1 555 0199"},
        ],
        "maritalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "T"}]},
        "deceasedBoolean": false,
        "contact": [{"name": {"family": "Doe", "given": ["John"]}, "relationship": [v2("0063", "SPO")]}],
    })
}

fn encounter(status: &str, class: &str) -> Json {
    json!({
        "resourceType": "Encounter", "id": "e1", "status": status,
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": class},
        "identifier": [{"system": "urn:oid:1.2.9", "value": "V1", "type": v2("0203", "VN")}, {"value": "A9"}],
        "subject": {"reference": "Patient/p1"},
        "period": {"start": "2026-01-14T08:00:00+08:00", "end": "2026-01-16T10:30:00+08:00"},
        "location": [{"status": "active", "location": {"reference": "Location/bed"}}],
        "participant": [{"type": [{"coding": [{"code": "ATND"}]}], "individual": {"reference": "#dr"}}],
        "contained": [{"resourceType": "Practitioner", "id": "dr",
            "identifier": [{"value": "D5", "system": "urn:oid:1.2.5"}], "name": [{"family": "House", "given": ["G"]}]}],
    })
}

fn bundle(resources: &[Json]) -> Json {
    let entries: Vec<Json> = resources.iter().map(|one| json!({"resource": one})).collect();
    json!({"resourceType": "Bundle", "type": "collection", "entry": entries})
}

fn locations() -> [Json; 3] {
    let place = |id: &str, name: &str, kind: &str, part_of: &str| {
        let mut made = json!({"resourceType": "Location", "id": id, "name": name,
            "physicalType": {"coding": [{"code": kind}]}});
        if !part_of.is_empty() {
            made["partOf"] = json!({"reference": format!("Location/{part_of}")});
        }
        made
    };
    [
        place("bed", "B3", "bd", "room"),
        place("room", "R 12", "ro", "ward"),
        place("ward", "ICU", "wa", ""),
    ]
}

#[test]
fn the_maps_can_be_read_and_name_known_types_and_tables() {
    let maps = super::maps::maps();
    assert!(maps.wrong.is_empty(), "{:?}", maps.wrong);
    let mut count = 0;
    for (name, row) in maps.all() {
        count += 1;
        assert!(name.as_bytes().starts_with(&row.segment), "{name}: {}", row.place());
        let path: Path = row.place().parse().unwrap();
        let known = |version| crate::hl7::dictionary::check::check(version, &path).is_ok();
        assert!(crate::hl7::dictionary::Version::all().any(known), "{path}");
        if matches!(&*row.kind, "code" | "coding" | "concept") {
            assert!(
                row.arguments.first().is_some_and(|table| maps.has_table(table)),
                "{}",
                row.place()
            );
        }
    }
    assert!(count > 100);
}

#[test]
fn a_new_person_is_a28_and_a_changed_one_a31() {
    let message = made(&patient(), "Patient^create", &options());
    assert_eq!(segments(&message), "MSH EVN PID NK1 PV1");
    check(
        &message,
        &[
            ("MSH-9.1", "ADT"),
            ("MSH-9.2", "A28"),
            ("MSH-9.3", "ADT_A05"),
            ("MSH-10", "C1"),
            ("MSH-12", "2.5.1"),
            ("MSH-18", "UNICODE UTF-8"),
            ("EVN-2", "20260114080000.000+0000"),
            ("PID-3[1].1", "100234"),
            ("PID-3[1].4.1", "NORTH"),
            ("PID-3[1].5", "MR"),
            ("PID-3[2].4.1", "STATE"),
            ("PID-3[2].4.2", "1.2.3.4"),
            ("PID-3[2].4.3", "ISO"),
            ("PID-3[2].5", "SS"),
            ("PID-3[3].1", "E|9"),
            ("PID-3[3].4.2", "https://elsewhere.example/ids"),
            ("PID-3[3].4.3", "URI"),
            ("PID-5.1", "Doe & Sons"),
            ("PID-5.2", "Jane"),
            ("PID-5.3", "Ann"),
            ("PID-5.5", "Dr"),
            ("PID-5.7", "L"),
            ("PID-7", "19840203"),
            ("PID-8", "F"),
            ("PID-11.1", "Main St 1"),
            ("PID-11.5", "62701"),
            ("PID-11.7", "H"),
            ("PID-13[1].1", "+1 555 0100"),
            ("PID-13[2].4", "jane@mail.example"),
            ("PID-14.1", "+1 555 0199"),
            ("PID-16.1", "P"),
            ("PID-30", "N"),
            ("NK1-2.2", "John"),
            ("NK1-3.1", "SPO"),
            ("PV1-2", "N"),
        ],
    );
    check(&made(&patient(), "Patient^update", &options()), &[("MSH-9.2", "A31")]);
    let own = Options { events: vec![("Patient^create".into(), "A04".into())], ..options() };
    check(&made(&patient(), "Patient^create", &own), &[("MSH-9.2", "A04"), ("MSH-9.3", "ADT_A01")]);
}

#[test]
fn a_visit_has_the_event_of_its_state() {
    for (status, class, action, event) in [
        ("planned", "IMP", "create", "A05"),
        ("in-progress", "IMP", "create", "A01"),
        ("arrived", "AMB", "create", "A04"),
        ("in-progress", "IMP", "update", "A08"),
        ("onleave", "IMP", "update", "A21"),
        ("finished", "IMP", "update", "A03"),
        ("cancelled", "IMP", "patch", "A11"),
    ] {
        let message = made(&encounter(status, class), &format!("Encounter^{action}"), &options());
        check(
            &message,
            &[
                ("MSH-9.2", event),
                ("PID-3.1", "p1"),
                ("PID-3.4", "MEDWAY"),
                ("PID-3.5", "PI"),
                ("PID-5.7", "U"),
            ],
        );
    }
}

#[test]
fn a_visit_with_its_patient_and_its_bed_is_whole() {
    let [bed, room, ward] = locations();
    let document = bundle(&[encounter("finished", "IMP"), patient(), bed, room, ward]);
    let message = made(&document, "Bundle^collection", &options());
    assert_eq!(segments(&message), "MSH EVN PID NK1 PV1");
    check(
        &message,
        &[
            ("MSH-9.2", "A03"),
            ("EVN-6", "20260116103000+0800"),
            ("PID-3.1", "100234"),
            ("PV1-2", "I"),
            ("PV1-3.1", "ICU"),
            ("PV1-3.2", "R 12"),
            ("PV1-3.3", "B3"),
            ("PV1-7.1", "D5"),
            ("PV1-7.2", "House"),
            ("PV1-7.9.2", "1.2.5"),
            ("PV1-19.1", "V1"),
            ("PV1-19.4.2", "1.2.9"),
            ("PV1-44", "20260114080000+0800"),
            ("PV1-45", "20260116103000+0800"),
        ],
    );
}

#[test]
fn a_merge_names_who_stays_and_who_ends() {
    let mut ended = patient();
    ended["id"] = "p0".into();
    ended["identifier"] = json!([{"system": "https://hospital.example/mrn", "value": "200111"}]);
    ended["active"] = false.into();
    ended["link"] = json!([{"type": "replaced-by", "other": {"reference": "Patient/p1"}}]);
    let both = made(&bundle(&[ended.clone(), patient()]), "Bundle^transaction", &options());
    assert_eq!(segments(&both), "MSH EVN PID MRG PV1");
    let expected =
        [("MSH-9.2", "A40"), ("MSH-9.3", "ADT_A39"), ("MRG-1.1", "200111"), ("MRG-1.4", "NORTH")];
    check(&both, &expected);
    check(&both, &[("PID-3.1", "100234")]);
    let alone = made(&ended, "Patient^update", &options());
    check(&alone, &expected);
    check(&alone, &[("PID-3.1", "p1"), ("PID-3.4", "MEDWAY")]);
}

fn report() -> Vec<Json> {
    let observation = |id: &str, code: &str, rest: Json| {
        let mut made = json!({"resourceType": "Observation", "id": id, "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": "Test"}]},
            "subject": {"reference": "Patient/p1"}, "effectiveDateTime": "2026-01-14T07:00:00+08:00"});
        for (name, value) in rest.as_object().unwrap() {
            made[name] = value.clone();
        }
        made
    };
    let number: Json = serde_json::from_str("7.20").unwrap();
    let results =
        ["k", "g", "c", "t", "n", "b"].map(|id| json!({"reference": format!("Observation/{id}")}));
    vec![
        json!({"resourceType": "DiagnosticReport", "id": "r1", "status": "corrected",
            "identifier": [{"value": "P-1", "type": v2("0203", "PLAC")}, {"value": "F-1", "type": v2("0203", "FILL"), "system": "urn:oid:1.2.7"}],
            "category": [v2("0074", "LAB")],
            "code": {"coding": [{"system": "http://loinc.org", "code": "24323-8"}], "text": "Metabolic panel"},
            "subject": {"reference": "Patient/p1"}, "effectiveDateTime": "2026-01-14T07:00:00+08:00",
            "issued": "2026-01-14T09:00:00+08:00", "conclusion": "high potassium\nrepeat",
            "result": results}),
        patient(),
        observation(
            "k",
            "2823-3",
            json!({"valueQuantity": {"value": number, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"},
            "status": "corrected", "referenceRange": [{"low": {"value": 3.5}, "high": {"value": 5.1}}],
            "interpretation": [v2("0078", "HH")], "note": [{"text": "not haemolysed"}]}),
        ),
        observation(
            "g",
            "2345-7",
            json!({"valueQuantity": {"value": 500, "comparator": ">", "unit": "mg/dL"}}),
        ),
        observation(
            "c",
            "883-9",
            json!({"valueCodeableConcept": {"coding": [{"system": "http://snomed.info/sct", "code": "112144000", "display": "Group A"}]}}),
        ),
        observation("t", "8251-1", json!({"valueString": "first line\nsecond | line"})),
        observation(
            "n",
            "718-7",
            json!({"dataAbsentReason": {"coding": [{"code": "not-performed"}]}, "status": "cancelled"}),
        ),
        observation(
            "b",
            "85354-9",
            json!({"component": [
            {"code": {"coding": [{"code": "8480-6"}]}, "valueQuantity": {"value": 120, "code": "mm[Hg]", "unit": "mmHg", "system": "http://unitsofmeasure.org"}},
            {"code": {"coding": [{"code": "8462-4"}]}, "valueQuantity": {"value": 80}}]}),
        ),
    ]
}

#[test]
fn a_report_is_an_oru_with_its_observations() {
    let message = made(&bundle(&report()), "Bundle^collection", &options());
    assert_eq!(segments(&message), "MSH PID NK1 ORC OBR NTE NTE OBX NTE OBX OBX OBX OBX OBX OBX");
    check(
        &message,
        &[
            ("MSH-9.3", "ORU_R01"),
            ("ORC-1", "RE"),
            ("OBR-2.1", "P-1"),
            ("OBR-3.1", "F-1"),
            ("OBR-3.3", "1.2.7"),
            ("OBR-4.1", "24323-8"),
            ("OBR-4.3", "LN"),
            ("OBR-4.9", "Metabolic panel"),
            ("OBR-7", "20260114070000+0800"),
            ("OBR-22", "20260114090000+0800"),
            ("OBR-24", "LAB"),
            ("OBR-25", "C"),
            ("NTE[2]-3", "repeat"),
            ("OBX[1]-2", "NM"),
            ("OBX[1]-5", "7.20"),
            ("OBX[1]-6.1", "mmol/L"),
            ("OBX[1]-6.3", "UCUM"),
            ("OBX[1]-7", "3.5-5.1"),
            ("OBX[1]-8", "HH"),
            ("OBX[1]-11", "C"),
            ("OBX[2]-2", "SN"),
            ("OBX[2]-5.1", ">"),
            ("OBX[2]-5.2", "500"),
            ("OBX[3]-2", "CWE"),
            ("OBX[3]-5.3", "SCT"),
            ("OBX[4]-2", "TX"),
            ("OBX[4]-5[2]", "second | line"),
            ("OBX[5]-11", "X"),
            ("OBX[6]-1", "6"),
            ("OBX[6]-3.1", "8480-6"),
            ("OBX[6]-4", "1"),
            ("OBX[6]-5", "120"),
            ("OBX[7]-5", "80"),
            ("OBX[7]-11", "F"),
        ],
    );
}

#[test]
fn an_observation_alone_is_its_own_report() {
    let report = report();
    let message = made(&report[2], "Observation^create", &options());
    assert_eq!(segments(&message), "MSH PID OBR OBX NTE");
    check(&message, &[("OBR-4.1", "2823-3"), ("OBR-25", "C"), ("OBX-5", "7.20")]);
}

#[test]
fn an_order_says_what_is_to_be_done() {
    let order = |status: &str, category: &str| {
        json!({"resourceType": "ServiceRequest", "status": status, "intent": "order",
            "identifier": [{"value": "O-1", "type": v2("0203", "PLAC"), "assigner": {"display": "HIS"}}],
            "category": [v2("0074", category)], "priority": "stat",
            "code": {"coding": [{"system": "http://loinc.org", "code": "24323-8"}]},
            "subject": {"reference": "Patient/p1"}, "authoredOn": "2026-01-14T06:00:00+08:00",
            "occurrenceDateTime": "2026-01-15", "requester": {"display": "Dr House"}})
    };
    for (status, action, control) in [
        ("active", "create", "NW"),
        ("active", "update", "XO"),
        ("revoked", "update", "CA"),
        ("on-hold", "patch", "HD"),
    ] {
        let message = made(&order(status, "RAD"), &format!("ServiceRequest^{action}"), &options());
        assert_eq!(segments(&message), "MSH PID ORC OBR");
        check(
            &message,
            &[
                ("MSH-9.1", "ORM"),
                ("ORC-1", control),
                ("ORC-2.1", "O-1"),
                ("ORC-2.2", "HIS"),
                ("OBR-2.1", "O-1"),
                ("OBR-4.1", "24323-8"),
                ("OBR-27.4", "20260115"),
                ("OBR-27.6", "S"),
                ("ORC-12.2", "Dr House"),
            ],
        );
    }
    let laboratory = made(&order("active", "LAB"), "ServiceRequest^create", &options());
    check(&laboratory, &[("MSH-9.1", "OML"), ("MSH-9.2", "O21"), ("MSH-9.3", "OML_O21")]);
    let forced = Options { wanted: Wanted::Orm, ..options() };
    check(&made(&order("active", "LAB"), "ServiceRequest^create", &forced), &[("MSH-9.1", "ORM")]);
}

#[test]
fn an_appointment_is_booked_changed_and_cancelled() {
    let appointment = |status: &str| {
        json!({"resourceType": "Appointment", "status": status, "identifier": [{"value": "S-1"}],
            "start": "2026-02-01T09:00:00+08:00", "end": "2026-02-01T09:30:00+08:00", "minutesDuration": 30,
            "serviceType": [{"text": "Cardiology"}], "reasonCode": [{"text": "check-up"}],
            "participant": [
                {"actor": {"reference": "Patient/p1", "display": "Jane Doe"}, "status": "accepted"},
                {"actor": {"reference": "Practitioner/d", "display": "Dr House"}, "status": "accepted"},
                {"actor": {"reference": "Location/l", "display": "Room 5"}, "status": "accepted"}]})
    };
    for (status, action, event, filler) in [
        ("booked", "create", "S12", "Booked"),
        ("booked", "update", "S14", "Booked"),
        ("cancelled", "update", "S15", "Cancelled"),
        ("noshow", "patch", "S26", "Noshow"),
    ] {
        let message = made(&appointment(status), &format!("Appointment^{action}"), &options());
        assert_eq!(segments(&message), "MSH SCH PID RGS AIS AIL AIP");
        check(
            &message,
            &[
                ("MSH-9.2", event),
                ("MSH-9.3", "SIU_S12"),
                ("SCH-25", filler),
                ("SCH-1", "S-1"),
                ("SCH-11.4", "20260201090000+0800"),
                ("SCH-9", "30"),
                ("PID-3.1", "p1"),
                ("PID-5.1", "Jane Doe"),
                ("AIS-3.2", "Cardiology"),
                ("AIL-3.1", "Room 5"),
                ("AIP-3.2", "Dr House"),
            ],
        );
    }
}

#[test]
fn what_is_required_and_missing_is_named() {
    let fails = |document: Json, event: &str| {
        convert(&document, event, &Options::default(), HEADER).unwrap_err().to_string()
    };
    let without = |mut document: Json, name: &str| {
        document.as_object_mut().unwrap().remove(name);
        document
    };
    for (document, event, expected) in [
        (
            without(patient(), "identifier"),
            "Patient^create",
            "Patient.identifier says nothing, and PID-3 is required",
        ),
        (
            encounter("in-progress", "IMP"),
            "Encounter^create",
            "Encounter.subject.identifier (the patient is not in the message) says nothing",
        ),
        (
            without(encounter("in-progress", "IMP"), "subject"),
            "Encounter^create",
            "Encounter.subject says nothing",
        ),
        (
            json!({"resourceType": "Encounter", "id": "e"}),
            "Encounter^delete",
            "Encounter: a deleted resource",
        ),
        (
            json!({"resourceType": "Medication"}),
            "Medication^create",
            "Medication: the message is made of",
        ),
        (json!({"a": 1}), "", "resourceType: the message is made of"),
        (
            json!({"resourceType": "ServiceRequest", "status": "draft"}),
            "ServiceRequest^create",
            "ServiceRequest.status: a draft",
        ),
        (
            bundle(&[patient(), patient()]),
            "Bundle^collection",
            "Bundle.entry.resource of type Patient: one ADT",
        ),
    ] {
        let said = fails(document, event);
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn what_has_no_code_is_noted_by_its_element() {
    let mut odd = report()[2].clone();
    odd["status"] = "unknown".into();
    let failed = convert(&odd, "Observation^create", &options(), HEADER).unwrap_err();
    assert_eq!(
        failed,
        NoMessage::Missing { element: "Observation.status".into(), field: "OBR-25".into() }
    );
    let mut odd = patient();
    odd["gender"] = "somewhat".into();
    let made = convert(&odd, "Patient^create", &options(), HEADER).unwrap();
    assert_eq!(made.notices.len(), 1);
    assert_eq!(
        (made.notices[0].element.as_str(), made.notices[0].table.as_str()),
        ("Patient.gender", "0001")
    );
    assert!(!format!("{:?}", made.notices).contains("somewhat"), "no content in Debug");
    let mut lost = report();
    lost.truncate(2);
    let made = convert(&bundle(&lost), "", &options(), HEADER).unwrap();
    assert_eq!(made.notices.len(), 6);
    assert_eq!(made.notices[0].element, "DiagnosticReport.result");
}

#[test]
fn the_charset_and_the_version_are_the_sites() {
    let mut chinese = patient();
    chinese["name"] = json!([{"family": "张", "given": ["三"]}]);
    let charset = crate::hl7::charset::Charset::from_name("GB18030").unwrap();
    let own = Options { charset, version: "2.3".into(), ..options() };
    let made = convert(&chinese, "Patient^create", &own, HEADER).unwrap();
    let message = read(made.bytes);
    check(
        &message,
        &[("PID-5.1", "张"), ("MSH-18", "GB 18030-2000"), ("MSH-12", "2.3"), ("MSH-9.3", "-")],
    );
    let ascii = Options { charset: crate::hl7::charset::Charset::Ascii, ..options() };
    let failed = convert(&chinese, "Patient^create", &ascii, HEADER).unwrap_err();
    assert!(matches!(failed, NoMessage::Unwritable { field, .. } if field == "PID-5"));
}

#[test]
fn the_event_of_an_hl7_origin_is_kept() {
    let provenance = json!({"resourceType": "Provenance", "activity": {"coding": [
        {"system": "http://terminology.hl7.org/CodeSystem/v2-0003", "code": "A13"}]}});
    let document =
        bundle(&[encounter("in-progress", "IMP"), patient(), report()[2].clone(), provenance]);
    check(
        &made(&document, "Bundle^transaction", &options()),
        &[("MSH-9.1", "ADT"), ("MSH-9.2", "A13")],
    );
}

#[test]
fn the_same_resources_give_the_same_bytes() {
    let make = || convert(&bundle(&report()), "", &options(), HEADER).unwrap().bytes;
    assert_eq!(make(), make());
}
