//! FHIR resources in channels: what is taken, in which lanes, and what is sent.

use std::sync::Arc;

use super::{ADT, channel, context, input, read};
use crate::channel::Channel;
use crate::channel::build::NoFiles;
use crate::channel::cases::check;
use crate::channel::input::Input;
use crate::hl7::raw::ReadOptions;
use crate::message::kind::{ContentType, Kind};
use crate::message::payload::Payload;
use crate::message::plan::{Joins, Lane};
use crate::message::verdict::{Rendered, Route, Taken, Verdict};
use crate::yaml::node::Source;
use crate::yaml::parse::parse;

const PATIENT: &str = r#"{"resourceType": "Patient", "id": "mine",
    "identifier": [{"system": "urn:mrn", "value": "100234"}, {"system": "urn:ssn", "value": "7"}],
    "name": [{"family": "Doe", "given": ["Jane"]}], "active": true}"#;

/// A resource as the engine stores it: written by `interaction`, version 3 of `Patient/p1`.
fn resource(text: &str, interaction: &str) -> Input {
    Input::new(Payload::new(text.to_owned()), ContentType::FhirJson, ReadOptions::default()).known(
        &format!("Patient^{interaction}"),
        "Patient/p1/_history/3",
        context().received_at,
    )
}

fn routes(channel: &Channel, input: &Input) -> Option<Taken> {
    match channel.judge(input) {
        Verdict::Take(taken) => Some(taken),
        Verdict::Refuse(_) | Verdict::Pass => None,
    }
}

#[test]
fn a_resource_is_accepted_by_type_and_interaction() {
    let update = resource(PATIENT, "update");
    for (types, taken) in [
        ("Patient", true),
        ("Patient^update", true),
        ("Patient^create", false),
        ("Encounter", false),
        ("Encounter, Patient^*", true),
        ("Bundle", false),
    ] {
        let channel =
            channel(&format!("channel: c\naccept: {{types: [{types}]}}\nto: {{d: {{}}}}\n"));
        assert_eq!(routes(&channel, &update).is_some(), taken, "{types}");
    }
    let bundle = input(r#"{"resourceType": "Bundle", "type": "transaction"}"#);
    let channel = channel("channel: c\naccept: {types: [Bundle^transaction]}\nto: {d: {}}\n");
    assert!(routes(&channel, &bundle).is_some());
}

#[test]
fn a_stored_resource_is_its_version_to_channels() {
    let channel = channel(
        "channel: c\naccept: {types: Patient}\norder_by: patient.reference\n\
         search_keys: {mrn: identifier.where(system = 'urn:mrn').value, name: Patient.name.family, version: meta.versionId}\n\
         to:\n  same: {}\n  only: {when: event is 'Patient^update' and active is true}\n  no: {when: Patient.gender is not empty}\n",
    );
    let update = resource(PATIENT, "update");
    let taken = routes(&channel, &update).unwrap();
    let keys: Vec<_> =
        taken.keys.iter().map(|key| (&*key.name, key.value.expose().to_owned())).collect();
    let expected = [("mrn", "100234"), ("name", "Doe"), ("version", "3")];
    assert_eq!(keys, expected.map(|(name, value)| (name, value.to_owned())));
    assert_eq!((taken.event.as_str(), taken.kind), ("Patient^update", Kind::Patient));
    assert_eq!(taken.control_id, "Patient/p1/_history/3");
    let lane = Lane::of("Patient/p1");
    assert_eq!(taken.routes[0], Route::Deliver { lane, joins: Joins::NONE });
    assert_eq!(taken.routes[1], Route::Deliver { lane, joins: Joins::NONE });
    assert_eq!(taken.routes[2], Route::Filtered);
    let Rendered::Send(sent) = channel.render("same", &update, &context()) else { panic!() };
    let sent: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(sent["id"], "p1");
    assert_eq!(sent["meta"]["versionId"], "3");
    assert_eq!(sent["active"], true);
}

#[test]
fn topics_hear_of_resources_by_kind_and_type() {
    for (topic, heard) in [
        ("patient", true),
        ("Patient", true),
        ("Patient^update", true),
        ("Patient^*", true),
        ("Patient^create", false),
        ("Observation", false),
    ] {
        let channel = channel(&format!("channel: c\nfrom: {{topic: {topic}}}\n"));
        assert_eq!(channel.hears(Kind::Patient, "Patient^update", None), heard, "{topic}");
    }
}

#[test]
fn records_that_become_one_share_their_lanes() {
    let ended = PATIENT.replace(
        "\"active\": true",
        "\"active\": false, \"link\": [{\"type\": \"replaced-by\", \"other\": {\"reference\": \"Patient/p2\"}}]",
    );
    for order in ["patient.reference", "Patient.id"] {
        let text =
            format!("channel: c\naccept: {{types: Patient}}\norder_by: {order}\nto: {{d: {{}}}}\n");
        let taken = routes(&channel(&text), &resource(&ended, "update")).unwrap();
        let name = |id: &str| {
            Lane::of(&if order == "Patient.id" { id.to_owned() } else { format!("Patient/{id}") })
        };
        assert_eq!(
            taken.routes[0],
            Route::Deliver { lane: name("p1"), joins: Joins::one(name("p2")) },
            "{order}"
        );
    }
}

#[test]
fn a_resource_is_changed_by_steps() {
    let text = "channel: c\naccept: {types: Patient}\nto:\n  d:\n    change:\n\
        \x20     - set: {Patient.active: false, Patient.name.family: upper(Patient.name.family), Patient.language: ''}\n\
        \x20     - set: {Patient.maritalStatus: {text: unknown}}\n\
        \x20       when: Patient.maritalStatus is empty\n\
        \x20     - default: {Patient.gender: unknown, Patient.name.family: Nobody}\n\
        \x20     - copy: {from: identifier.where(system = 'urn:mrn').value, to: Patient.identifier.where(system = 'urn:copy').value}\n\
        \x20     - remove: [identifier.where(system = 'urn:ssn'), $.meta]\n";
    let Rendered::Send(sent) = channel(text).render("d", &resource(PATIENT, "update"), &context())
    else {
        panic!("sent")
    };
    let sent: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(
        sent,
        serde_json::json!({"resourceType": "Patient", "id": "p1",
            "identifier": [{"system": "urn:mrn", "value": "100234"}, {"system": "urn:copy", "value": "100234"}],
            "name": [{"family": "DOE", "given": ["Jane"]}], "active": false,
            "maritalStatus": {"text": "unknown"}, "gender": "unknown"})
    );
}

#[test]
fn a_step_of_the_other_format_fails_by_name() {
    let hl7 = channel("channel: c\nto: {d: {change: [{set: {PID-8: X}}]}}\n");
    let json = channel("channel: c\nto: {d: {change: [{set: {Patient.gender: male}}]}}\n");
    let failed = |channel: &Channel, input: &Input| match channel.render("d", input, &context()) {
        Rendered::Fail(problem) => problem.text,
        other => panic!("{other:?}"),
    };
    assert!(failed(&hl7, &resource(PATIENT, "update")).contains("HL7 message; this is none"));
    assert!(failed(&json, &input(ADT)).contains("this is an HL7 message"));
}

#[test]
fn mistakes_in_fhir_paths_are_found() {
    for (text, expected) in [
        ("accept: {types: [Patiant]}", "E0330: FHIR R4 has no resource type Patiant"),
        ("accept: {types: [Patient^updaet]}", "E0330: Patient has no event updaet"),
        ("search_keys: {n: Patient.nmae.family}", "E0326: Patient has no element nmae"),
        (
            "accept: {types: Patient, require: [name.familly]}",
            "E0326: HumanName has no element familly",
        ),
        ("order_by: Encounter.subject.referense", "E0326: Reference has no element referense"),
        ("to: {d: {when: Observation.valueQuantty.value > 7}}", "E0326"),
        ("to: {d: {webhook: {url: 'http://h/<Patient.idd>'}}}", "E0326"),
        ("to: {d: {produce: {json: {a: Patient.idd}}}}", "E0326"),
        ("to: {d: {change: [{set: {Patient.deceased: true}}]}}", "E0327"),
        ("to: {d: {change: [{remove: Patient.gendre}]}}", "E0326"),
    ] {
        let (found, said) = read(&format!("channel: c\n{text}\n"));
        assert!(found.is_none(), "{text}");
        assert!(said.iter().any(|line| line.contains(expected)), "{text}: {said:?}");
    }
}

#[test]
fn a_test_sends_resources_as_the_engine_stores_them() {
    let patient = PATIENT.replace("\n    ", "");
    let text = format!(
        "channel: c
accept: {{types: [Patient^update]}}
to: {{d: {{when: Patient.name.family is Roe}}}}
tests:
  - name: an update goes on
    send:
      file: '{patient}'
      interaction: update
      with: {{Patient.name.family: Roe}}
      without: Patient.identifier[1]
    expect:
      ack: AA
      d:
        Patient.name.family: Roe
        Patient.identifier.value: '100234'
        Patient.meta.versionId: '2'
        Patient.active: true
  - name: a creation is not asked for
    send: {{file: '{patient}', interaction: create}}
    expect: {{ack: AR, d: nothing}}
"
    );
    let source = Source { name: "c.yaml".into(), text };
    let (node, _) = parse(Arc::new(source));
    let (channel, cases, findings) = check(&node.unwrap(), &NoFiles);
    let channel = channel.unwrap_or_else(|| panic!("{findings:?}"));
    let delivered =
        |_: &str, _: &str, _: u32, _: std::time::Duration| crate::channel::cases::After::Delivered;
    for case in &cases {
        let report = crate::channel::cases::run(&channel, case, &delivered);
        assert!(report.failures.is_empty(), "{}: {:?}", report.name, report.failures);
    }
    assert_eq!(cases.len(), 2);
}
