//! Views of the messages under `tests/messages/views`.

use bytes::Bytes;

use super::{FIELDS, device_message, get, patient, patient_message, report_message};
use crate::hl7::raw::{RawMessage, SegmentEnds};
use crate::message::view::{Level, ObservationStatus, PatientEvent, ReportStatus};

fn read(name: &str) -> RawMessage {
    let path = format!("{}/tests/messages/views/{name}.hl7", env!("CARGO_MANIFEST_DIR"));
    RawMessage::parse(Bytes::from(std::fs::read(path).unwrap()), SegmentEnds::CrOnly).unwrap()
}

/// Each name has the value; `-` stands for none.
fn check(message: &str, expected: &[(&str, &str)]) {
    let message_read = read(message);
    for (name, value) in expected {
        assert!(FIELDS.iter().any(|(known, _)| known == name), "{name} is listed");
        let found = get(&message_read, name);
        assert_eq!(found.as_deref().unwrap_or("-"), *value, "{name} of {message}");
    }
}

#[test]
fn an_admission_is_read_by_name() {
    check(
        "adt-a01",
        &[
            ("patient.mrn", "100234"),
            ("patient.id", "8801"),
            ("patient.name", "张三"),
            ("patient.name.family", "张"),
            ("patient.name.given", "三"),
            ("patient.birth_date", "1984-02-03"),
            ("patient.sex", "female"),
            ("patient.event", "admit"),
            ("patient.merged_from", "-"),
            ("visit.number", "V-88123"),
            ("visit.class", "I"),
            ("visit.ward", "ICU"),
            ("visit.room", "R12"),
            ("visit.bed", "B3"),
            ("visit.prior_ward", "ER"),
            ("report.status", "-"),
            ("device.metric", "-"),
            ("alarm.id", "-"),
        ],
    );
    let view = patient_message(&read("adt-a01"));
    assert_eq!(view.occurred_at.as_deref(), Some("2026-01-14T08:00:00+08:00"));
    let patient = view.patient.unwrap();
    assert_eq!((patient.identifiers.len(), patient.names.len()), (2, 2));
    assert_eq!(patient.mrn().unwrap().authority, "NORTH");
    assert_eq!(view.visit.location.unwrap().facility, "NORTH");
}

#[test]
fn a_merge_names_what_ends() {
    let view = patient_message(&read("adt-a40"));
    assert_eq!(view.event, PatientEvent::Merge);
    assert_eq!(view.merged_from.len(), 2);
    check("adt-a40", &[("patient.merged_from", "200111"), ("patient.name", "Jane Doe")]);
}

#[test]
fn an_old_message_has_its_event_in_evn() {
    check(
        "adt-v21",
        &[("patient.event", "update"), ("patient.mrn", "P1"), ("patient.sex", "male")],
    );
}

#[test]
fn a_result_is_read_with_its_observations() {
    let view = report_message(&read("oru-two-orders"));
    let [first, second] = view.reports.as_slice() else { panic!("two orders") };
    assert_eq!((first.status, second.status), (ReportStatus::Corrected, ReportStatus::Cancelled));
    assert_eq!(first.placer_order.as_ref().unwrap().value.expose(), "P-1");
    assert_eq!(first.service.codings.len(), 2);
    assert_eq!(first.accession.as_ref().unwrap().expose(), "F-1");
    assert_eq!(second.accession.as_ref().unwrap().expose(), "A-77");
    assert_eq!((first.observations.len(), second.observations.len()), (5, 0));

    let potassium = &first.observations[0];
    assert_eq!(potassium.code.in_system("LN").unwrap().code, "2823-3");
    assert_eq!(potassium.values[0].expose(), "7.2");
    assert_eq!(potassium.unit.as_ref().unwrap().first().unwrap().code, "mmol/L");
    assert_eq!(potassium.reference_range, "3.5-5.1");
    assert_eq!(potassium.flags, ["HH", "A"]);
    assert_eq!(potassium.status, ObservationStatus::Corrected);
    assert_eq!(potassium.observed_at.as_deref(), Some("2026-01-14T07:00:00"));

    let glucose = &first.observations[1];
    assert_eq!(glucose.values[0].expose(), ">500");
    assert_eq!(glucose.observed_at.as_deref(), Some("2026-01-14T07:10:00"));
    let group = &first.observations[2];
    let values: Vec<_> = group.values.iter().map(|value| value.expose()).collect();
    assert_eq!(values, ["A", "unclear"]);
    assert_eq!(group.coded_value.as_ref().unwrap().first().unwrap().text, "Group A");
    assert!(first.observations[3].values.is_empty(), "an embedded document is not copied");
    assert!(first.observations[4].values.is_empty(), "the order to delete is no value");
    assert_eq!(first.observations[4].status, ObservationStatus::EnteredInError);
}

#[test]
fn a_report_is_read_by_name() {
    check(
        "oru-two-orders",
        &[
            ("report.order", "P-1"),
            ("report.filler_order", "F-1"),
            ("report.accession", "F-1"),
            ("report.code", "24323-8"),
            ("report.title", "Comprehensive metabolic panel"),
            ("report.status", "corrected"),
            ("report.observed_at", "2026-01-14T07:00:00"),
            ("report.issued_at", "2026-01-14T08:30:00"),
            ("patient.mrn", "100234"),
        ],
    );
}

#[test]
fn a_specimen_before_its_orders_gives_them_its_accession() {
    let view = report_message(&read("oul-specimen-first"));
    let accessions: Vec<_> =
        view.reports.iter().map(|report| report.accession.as_ref().unwrap().expose()).collect();
    assert_eq!(accessions, ["A-1", "F-2"]);
    assert_eq!(view.reports[0].observations.len(), 1, "the specimen's volume is no result");
}

#[test]
fn a_device_message_has_its_containment_tree() {
    let view = device_message(&read("pcd01"));
    let levels: Vec<_> =
        view.containers.iter().map(|c| (c.level, c.place, c.parent, c.code.mdc())).collect();
    assert_eq!(
        levels,
        [
            (Level::System, [1, 0, 0], None, Some("MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS")),
            (Level::Virtual, [1, 2, 0], Some(0), Some("MDC_DEV_ANALY_SAT_O2_VMD")),
            (Level::Channel, [1, 2, 1], Some(1), Some("MDC_DEV_ANALY_SAT_O2_CHAN")),
            (Level::Virtual, [1, 3, 0], Some(0), None),
            (Level::Channel, [1, 3, 1], Some(3), None),
        ]
    );
    assert_eq!(view.sender.as_ref().unwrap().eui64.as_deref(), Some("0012210000000000"));
    let [saturation, wave, heart, temperature] = view.metrics.as_slice() else {
        panic!("four metrics")
    };
    assert_eq!(saturation.container, Some(2));
    assert_eq!(view.device_of(saturation.container).unwrap().name(), "OXI-1");
    assert_eq!(view.device_of(heart.container).unwrap().name(), "0013A20041F2C0DE");
    assert_eq!(saturation.observation.flags, ["L", "PM"]);
    assert_eq!((saturation.validity.as_deref(), heart.validity.as_deref()), (None, Some("INV")));
    assert_eq!(wave.observation.values[0].expose(), "1 2 3");
    assert_eq!(wave.facets[0].values[0].expose(), "125");
    assert!(heart.observation.values.is_empty());
    assert_eq!(temperature.container, None);
    assert!(view.alarms.is_empty());
}

#[test]
fn a_device_is_read_by_name() {
    check(
        "pcd01",
        &[
            ("device.id", "0013A20041F2C0DE"),
            ("device.metric", "MDC_PULS_OXIM_SAT_O2"),
            ("device.value", "86"),
            ("device.unit", "%"),
            ("device.time", "2026-01-14T08:15:30+01:00"),
            ("visit.bed", "B3"),
            ("patient.mrn", "100234"),
        ],
    );
}

#[test]
fn nobody_is_called_unknown() {
    assert_eq!(patient(&read("pcd01-nobody")), None);
    check(
        "pcd01-nobody",
        &[
            ("patient.mrn", "-"),
            ("patient.name", "-"),
            ("device.id", "0012210000000000"),
            ("device.unit", "MDC_DIM_BEAT_PER_MIN"),
        ],
    );
}

#[test]
fn an_alarm_is_put_together_from_its_facets() {
    check(
        "pcd04",
        &[
            ("alarm.id", "AL-55"),
            ("alarm.event", "MDC_EVT_HI_GT_LIM"),
            ("alarm.source", "MDC_ECG_HEART_RATE"),
            ("alarm.phase", "start"),
            ("alarm.state", "active"),
            ("alarm.inactivation", "enabled"),
            ("alarm.priority", "PM"),
            ("alarm.kind", "SP"),
            ("alarm.time", "2026-01-14T09:19:59+01:00"),
            ("device.id", "0013A20041F2C0DE"),
            ("device.metric", "-"),
        ],
    );
    let view = device_message(&read("pcd04"));
    assert_eq!(view.alarms[0].source_value.as_ref().unwrap().expose(), "143");
    assert_eq!(view.device_of(view.alarms[0].container).unwrap().name(), "0013A20041F2C0DE");
}

#[test]
fn debug_shows_nobody() {
    for name in ["adt-a01", "adt-a40", "oru-two-orders", "pcd01"] {
        let message = read(name);
        let shown = format!(
            "{:?} {:?} {:?}",
            patient_message(&message),
            report_message(&message),
            device_message(&message)
        );
        for private in
            ["100234", "Doe", "Jane", "张", "1984", "7.2", "V-88123", "A-77", "female", "Potassium"]
        {
            assert!(!shown.contains(private), "{name} shows {private}");
        }
    }
}

#[test]
fn a_name_that_is_not_listed_has_no_value() {
    let message = read("adt-a01");
    for name in ["patient", "patient.", "patient.shoe_size", "doctor.name", "", ".", "report.x"] {
        assert_eq!(get(&message, name), None, "{name}");
    }
}
