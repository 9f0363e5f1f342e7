//! HL7 v2 as FHIR: every message of the corpus becomes a sound bundle or a finding that names the field,
//! the same each time; and what becomes of chosen messages, as a person has read it.

mod sound;

use std::fs;
use std::path::Path;

use bytes::Bytes;
use medway::fhir::validate::{Limits, validate_within};
use medway::hl7::batch::Batch;
use medway::hl7::header::Header;
use medway::hl7::raw::{RawMessage, SegmentEnds};
use medway::mapping::to_fhir::time::SiteZone;
use medway::mapping::to_fhir::{Facts, Form, Mapped, NoMap, Options, convert, maps};
use medway::message::id::MessageId;
use medway::message::time::Timestamp;
use serde_json::Value as Json;

use crate::hl7_corpus::corpus;

fn facts() -> Facts {
    Facts { id: MessageId::from_bytes([7; 16]), received_at: Timestamp(1_770_000_000_000_000) }
}

fn options(form: Form) -> Options {
    let systems = [
        ("HOSP", "https://hospital.example/mrn"),
        ("1.2.3.4", "https://hospital.example/mrn"),
        ("LIS", "https://hospital.example/lab"),
        ("HIS", "https://hospital.example/orders"),
    ];
    Options {
        form,
        provenance: true,
        zone: SiteZone::parse("+08:00"),
        systems: systems.into_iter().map(|(name, uri)| (name.into(), uri.into())).collect(),
        ..Options::default()
    }
}

pub(crate) fn event_of(bytes: &Bytes) -> String {
    Header::read(bytes).map(|header| header.event_name()).unwrap_or_default()
}

fn mapped(bytes: &Bytes, options: &Options) -> Result<Mapped, NoMap> {
    let message = RawMessage::parse(bytes.clone(), SegmentEnds::Lenient).expect("a message");
    convert(maps::own(), &message, &event_of(bytes), options, facts())
}

/// Every message of a folder, those of batches one by one.
pub(crate) fn messages(folder: &Path) -> Vec<(String, Bytes)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("its entries too").path();
        if path.extension().is_none_or(|ending| ending != "hl7") {
            continue;
        }
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let bytes = Bytes::from(fs::read(&path).expect("a file"));
        let batch = Batch::split(&bytes, SegmentEnds::Lenient).expect("messages");
        for (number, member) in batch.messages.into_iter().enumerate() {
            found.push((format!("{name}#{number}"), member.bytes));
        }
    }
    found.sort();
    found
}

fn own() -> Vec<(String, Bytes)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages");
    ["to_fhir", "views", "hl7", "round_trip"]
        .into_iter()
        .flat_map(|name| messages(&folder.join(name)))
        .collect()
}

/// Narrative is recommended for every resource, and maps make none: that many warnings are no errors.
const LIMITS: Limits = Limits { issues_max: 100_000, work_max: 100_000_000 };

/// The events that are promised.
const PROMISED: [&str; 38] = [
    "ADT^A01", "ADT^A02", "ADT^A03", "ADT^A04", "ADT^A05", "ADT^A08", "ADT^A11", "ADT^A13",
    "ADT^A28", "ADT^A31", "ADT^A34", "ADT^A40", "ORU^R01", "ORM^O01", "OML^O21", "OMG^O19",
    "SIU^S12", "SIU^S13", "SIU^S14", "SIU^S15", "SIU^S26", "MDM^T02", "VXU^V04", "RDE^O11",
    "ADT^A15", "ADT^A16", "ADT^A17", "ADT^A25", "ADT^A26", "ORU^R40", "DFT^P03", "ORU^R32",
    "OML^O33", "RDE^O25", "DFT^P11", "MDM^T01", "ADT^A45", "ADT^A47",
];

#[test]
fn there_is_a_map_for_every_event_that_is_promised() {
    let events = maps::own().events();
    for event in PROMISED {
        assert!(events.contains(&event), "{event}");
    }
}

#[test]
fn every_message_becomes_a_sound_bundle_or_a_finding_that_names_the_field() {
    let forms = [Form::Transaction, Form::Upsert];
    let own = own().into_iter().flat_map(|one| forms.map(|form| (form, true, one.clone())));
    let corpus = corpus("hl7v2").map(|folder| messages(&folder)).unwrap_or_default();
    let all = own.chain(corpus.into_iter().map(|one| (Form::Transaction, false, one)));
    let place =
        regex::Regex::new(r"^[A-Z][A-Z0-9]{2}(\[\d+\])?-\d+(\[\d+\])?(\.\d+){0,2}$").unwrap();
    let mut bundles = 0_usize;
    let mut problems = Vec::new();
    for (form, is_own, (name, bytes)) in all {
        let mapped = match mapped(&bytes, &options(form)) {
            Ok(mapped) => mapped,
            Err(NoMap::Event { event }) => {
                assert!(!PROMISED.contains(&event.as_str()), "{name}: {event}");
                continue;
            }
            // A message of a header alone, or of segments that speak of nobody.
            Err(NoMap::Nothing { .. }) => continue,
        };
        for notice in &mapped.notices {
            assert!(place.is_match(&notice.place), "{name}: {}", notice.place);
        }
        let mut found = sound::problems(&mapped.body);
        // The whole validator takes its time with thousands of resources: it reads our own messages.
        if is_own {
            let errors = validate_within(&mapped.body, LIMITS).into_iter();
            let errors = errors.filter(|issue| matches!(issue.severity, "error" | "fatal"));
            found.extend(errors.map(|issue| format!("{:?}: {}", issue.expression, issue.text)));
        }
        problems.extend(found.into_iter().map(|problem| format!("{name}: {problem}")));
        bundles += 1;
    }
    assert_eq!(problems, Vec::<String>::new());
    assert!(bundles > 30, "{bundles} bundles were checked");
}

#[test]
fn the_same_message_gives_the_same_bytes_and_ids() {
    for (name, bytes) in own() {
        let made = |facts: Facts| {
            let message = RawMessage::parse(bytes.clone(), SegmentEnds::Lenient).unwrap();
            let options = options(Form::Transaction);
            convert(maps::own(), &message, &event_of(&bytes), &options, facts).ok()
        };
        let Some(first) = made(facts()) else { continue };
        assert_eq!(first.body.to_string(), made(facts()).unwrap().body.to_string(), "{name}");
        let later = Facts { id: MessageId::from_bytes([8; 16]), received_at: Timestamp(1) };
        let ids = |mapped: &Mapped| -> Vec<String> {
            let entries = mapped.body["entry"].as_array().unwrap();
            entries.iter().map(|entry| entry["fullUrl"].to_string()).collect()
        };
        assert_eq!(ids(&first), ids(&made(later).unwrap()), "{name}: sent twice");
    }
}

fn entries(bytes: &Bytes, options: &Options) -> Vec<Json> {
    let body = mapped(bytes, options).unwrap().body;
    body["entry"].as_array().unwrap().clone()
}

fn own_message(folder: &str, name: &str) -> Bytes {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages");
    Bytes::from(fs::read(root.join(folder).join(name)).unwrap())
}

#[test]
fn a_result_does_not_replace_the_patient_it_is_about() {
    let of = |name: &str| -> Vec<String> {
        let entries = entries(&own_message("to_fhir", name), &options(Form::Upsert));
        let shown = entries.iter().map(|entry| {
            let text = |key: &str| entry["request"][key].as_str().unwrap_or_default().to_owned();
            format!("{} {} {}", text("method"), text("url"), text("ifNoneExist"))
        });
        shown.filter(|shown| shown.contains("Patient")).collect()
    };
    let criterion = "identifier=https%3A%2F%2Fhospital%2Eexample%2Fmrn%7C100234";
    assert_eq!(of("oru-lab.hl7"), [format!("POST Patient {criterion}")]);
    assert_eq!(of("adt-a01.hl7"), [format!("PUT Patient?{criterion} ")]);
}

#[test]
fn a_monitor_that_knows_no_patient_makes_no_patient() {
    let bytes = own_message("views", "pcd01-nobody.hl7");
    let entries = entries(&bytes, &options(Form::Transaction));
    let kinds: Vec<&str> =
        entries.iter().map(|entry| entry["resource"]["resourceType"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"Observation") && !kinds.contains(&"Patient"), "{kinds:?}");
    assert!(entries.iter().all(|entry| entry["resource"].get("subject").is_none()));
}

#[test]
fn one_patient_has_one_id_whoever_speaks_of_them() {
    let id = |name: &str| {
        let entries = entries(&own_message("to_fhir", name), &options(Form::Transaction));
        entries[0]["fullUrl"].as_str().unwrap().to_owned()
    };
    let expected = id("adt-a01.hl7");
    for name in ["adt-a40.hl7", "oru-lab.hl7", "orm-o01.hl7", "siu-s12.hl7", "pcd-01.hl7"] {
        assert_eq!(id(name), expected, "{name}");
    }
    let mut known = options(Form::Transaction);
    known.systems.clear();
    let elsewhere = entries(&own_message("to_fhir", "adt-a01.hl7"), &known);
    assert_ne!(elsewhere[0]["fullUrl"], expected.as_str(), "the system is part of the identity");
}

/// A bundle as lines that a person can read: each value with its place; ids by their order.
fn readable(body: &Json) -> String {
    let mut text = String::new();
    let entries = body["entry"].as_array().unwrap();
    for entry in entries {
        text.push_str(&format!("{}\n", entry["request"]["url"].as_str().unwrap()));
        for (name, value) in entry["resource"].as_object().unwrap() {
            if !matches!(name.as_str(), "resourceType" | "id") {
                lines(value, name, &mut text);
            }
        }
    }
    for (number, entry) in entries.iter().enumerate() {
        let id = entry["fullUrl"].as_str().unwrap().trim_start_matches("urn:uuid:");
        text = text.replace(&format!("urn:uuid:{id}"), &format!("#{number}"));
        text = text.replace(&format!("/{id}"), &format!(" #{number}"));
    }
    text
}

fn lines(value: &Json, path: &str, text: &mut String) {
    match value {
        Json::Object(members) => {
            members.iter().for_each(|(name, value)| lines(value, &format!("{path}.{name}"), text));
        }
        Json::Array(items) => {
            let numbered = items.iter().enumerate();
            numbered.for_each(|(n, value)| lines(value, &format!("{path}[{n}]"), text));
        }
        Json::String(value) => text.push_str(&format!("  {path} = {value}\n")),
        other => text.push_str(&format!("  {path} = {other}\n")),
    }
}

#[test]
fn chosen_messages_become_what_was_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages/to_fhir");
    for (name, bytes) in messages(&folder) {
        let mapped = mapped(&bytes, &options(Form::Transaction)).unwrap();
        let mut text = readable(&mapped.body);
        for notice in &mapped.notices {
            text.push_str(&format!("notice: {} {}\n", notice.place, notice.what));
        }
        let name = name.trim_end_matches("#0").trim_end_matches(".hl7").to_owned();
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn an_alarm_is_one_observation_from_its_beginning_to_its_end() {
    let of = |phase: &str, at: &str| {
        let text = format!(
            "MSH|^~\\&|MON^0013A20041F2C0DE^EUI-64|NORTH|||{at}+0100||ORU^R40^ORU_R40|A1|P|2.6\r\
             PID|||4711^^^NORTH^MR||Testperson^Ada\r\
             OBR|1|AL-55^MON|AL-55^MON|196616^MDC_EVT_ALARM^MDC|||{at}+0100\r\
             OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X|||||||M7^^0013A20041F2C0DE^EUI-64\r\
             OBX|2|CWE|196616^MDC_EVT_ALARM^MDC|1.3.1.1.1|196652^MDC_EVT_HI_GT_LIM^MDC|||H|||R\r\
             OBX|3|ST|68481^MDC_ATTR_EVENT_PHASE^MDC|1.3.1.1.3|{phase}||||||R\r"
        );
        entries(&Bytes::from(text), &options(Form::Transaction))
    };
    let (start, end) = (of("start", "20260114092045"), of("end", "20260114092145"));
    let alarm = |entries: &[Json]| -> Json {
        let all = entries.iter().map(|entry| &entry["resource"]);
        let mut alarms = all.filter(|one| one["resourceType"] == "Observation");
        let found = alarms.next().expect("an alarm").clone();
        assert!(alarms.next().is_none(), "only one");
        found
    };
    let (start, end) = (alarm(&start), alarm(&end));
    assert_eq!(start["id"], end["id"]);
    assert_eq!(start["component"][0]["valueCodeableConcept"]["coding"][0]["code"], "196652");
    assert_eq!(start["component"][1]["valueString"], "start");
    assert_eq!(end["component"][1]["valueString"], "end");
    assert!(start["device"]["reference"].is_string() && start["subject"]["reference"].is_string());
}

#[test]
fn two_patients_who_change_beds_have_a_visit_each() {
    let text = "MSH|^~\\&|HIS|NORTH|||20260301||ADT^A17^ADT_A17|1|P|2.5.1\r\
                PID|1||1^^^NORTH^MR||One^Ada\rPV1|1|I|W1^1^1||||||||||||||||V1^^^NORTH\r\
                PID|2||2^^^NORTH^MR||Two^Bo\rPV1|1|I|W1^1^2||||||||||||||||V2^^^NORTH\r";
    let entries = entries(&Bytes::from(text), &options(Form::Transaction));
    let of = |kind: &str| -> Vec<&Json> {
        let all = entries.iter().filter(|entry| entry["resource"]["resourceType"] == kind);
        all.collect()
    };
    let (patients, visits) = (of("Patient"), of("Encounter"));
    assert_eq!((patients.len(), visits.len()), (2, 2));
    for (patient, visit) in patients.iter().zip(&visits) {
        assert_eq!(visit["resource"]["subject"]["reference"], patient["fullUrl"]);
    }
}

#[test]
fn a_visit_moves_to_another_patient_and_a_wrong_number_ends() {
    let of = |event: &str, structure: &str, rest: &str| {
        let text = format!(
            "MSH|^~\\&|HIS|NORTH|||20260301||{event}^{structure}|1|P|2.5.1\rEVN||20260301\r\
             PID|1||1^^^NORTH^MR||One^Ada\r{rest}"
        );
        entries(&Bytes::from(text), &options(Form::Transaction))
    };
    let moved = of("ADT^A45", "ADT_A45", "MRG|2^^^NORTH^MR||||V7^^^NORTH^VN\rPV1|1|I|W1^1^1\r");
    let resource = |entries: &[Json], kind: &str| -> Vec<Json> {
        let all = entries.iter().map(|entry| entry["resource"].clone());
        all.filter(|one| one["resourceType"] == kind).collect()
    };
    let [patient] = &*resource(&moved, "Patient") else { panic!("one patient: {moved:?}") };
    let [visit] = &*resource(&moved, "Encounter") else { panic!("one visit: {moved:?}") };
    assert_eq!(visit["identifier"][0]["value"], "V7");
    let subject = visit["subject"]["reference"].as_str().unwrap();
    assert!(subject.ends_with(patient["id"].as_str().unwrap()), "{subject}");
    // The same visit as in the messages about it before.
    let before =
        of("ADT^A01", "ADT_A01", &format!("PV1|1|I|W1^1^1{}V7^^^NORTH^VN\r", "|".repeat(16)));
    assert_eq!(resource(&before, "Encounter")[0]["id"], visit["id"]);

    let renamed = resource(&of("ADT^A47", "ADT_A30", "MRG|9^^^NORTH^MR\r"), "Patient");
    let values: Vec<_> = renamed
        .iter()
        .map(|one| (one["identifier"][0]["value"].clone(), one["link"][0]["type"].clone()))
        .collect();
    assert_eq!(values, [("1".into(), "replaces".into()), ("9".into(), "replaced-by".into())]);
    assert_eq!(renamed[1]["active"], false);
}
