//! The views' values by name, for the channel language: the same for every format.

use crate::message::view::{
    Coded, DeviceMessage, Location, Patient, PatientMessage, PersonName, Report, Visit,
};

/// A message that can be looked at through the views, whatever its format. Each view is built when asked for.
pub trait Viewed {
    /// What a patient message says.
    fn patient_message(&self) -> PatientMessage;
    /// Whom it is about.
    fn patient(&self) -> Option<Patient>;
    /// The visit.
    fn visit(&self) -> Visit;
    /// Its first report, without what was observed.
    fn first_report(&self) -> Option<Report>;
    /// What a device message says.
    fn device_message(&self) -> DeviceMessage;
    /// How lanes and FHIR refer to the patient, e.g. `Patient/123`; `None` where resources have no ids.
    fn patient_reference(&self) -> Option<String>;
}

/// Every name that [`get`] knows, with what it means.
pub const FIELDS: &[(&str, &str)] = &[
    (
        "patient.mrn",
        "Medical record number: the identifier of type MR, else PI, else one without type",
    ),
    ("patient.id", "The first identifier, whatever its type"),
    ("patient.reference", "The patient's resource, e.g. Patient/123; empty for HL7 v2"),
    ("patient.name", "Family and given name, as usually written"),
    ("patient.name.family", "Family name"),
    ("patient.name.given", "Given name"),
    ("patient.birth_date", "Date of birth, ISO 8601"),
    ("patient.sex", "male, female, other or unknown"),
    (
        "patient.event",
        "What happened: admit, register, update, discharge, transfer, merge, cancel_admit, …",
    ),
    ("patient.merged_from", "Medical record number that a merge ends"),
    ("visit.number", "Visit number"),
    ("visit.class", "Patient class by table 0004: I inpatient, O outpatient, E emergency, …"),
    ("visit.ward", "Ward, clinic or other point of care"),
    ("visit.room", "Room"),
    ("visit.bed", "Bed"),
    ("visit.prior_ward", "Ward before a transfer"),
    ("report.order", "The placer's order number"),
    ("report.filler_order", "The filler's order number"),
    ("report.accession", "Accession: that of the specimen, else the filler's order number"),
    ("report.code", "Code of the ordered service"),
    ("report.title", "Name of the ordered service"),
    ("report.status", "registered, partial, preliminary, final, corrected, cancelled or unknown"),
    ("report.observed_at", "When it was observed, ISO 8601"),
    ("report.issued_at", "When it was issued or changed, ISO 8601"),
    ("device.id", "EUI-64 of the device, else its own name"),
    ("device.metric", "What was measured first, e.g. MDC_ECG_HEART_RATE"),
    ("device.value", "The first measured value"),
    ("device.unit", "Its unit: UCUM where sent, else the MDC name"),
    ("device.time", "When it was measured, ISO 8601"),
    ("alarm.id", "The alarm's id over its whole life"),
    ("alarm.event", "What is wrong, e.g. MDC_EVT_HI_GT_LIM"),
    ("alarm.source", "What was measured, e.g. MDC_ECG_HEART_RATE"),
    ("alarm.phase", "start, continue, update, end, escalate, …"),
    ("alarm.state", "active, inactive or latched"),
    ("alarm.inactivation", "enabled, audio-paused, alarm-off, …"),
    ("alarm.priority", "PH, PM, PL or PI: high, medium, low, information"),
    ("alarm.kind", "SP physiological, ST technical, SA advisory"),
    ("alarm.time", "When it happened, ISO 8601"),
];

/// The value with this name; `None` when the message has none, and for names that are not in [`FIELDS`].
/// Of several reports, metrics or alarms, the first.
#[must_use]
pub fn get(message: &impl Viewed, name: &str) -> Option<String> {
    let (subject, rest) = name.split_once('.')?;
    let value = match subject {
        "patient" => patient_value(message, rest),
        "visit" => visit_value(message.visit(), rest),
        "report" => report_value(message.first_report()?, rest),
        "device" => device_value(&message.device_message(), rest),
        "alarm" => alarm_value(message, rest),
        _ => None,
    };
    value.filter(|text| !text.is_empty())
}

fn patient_value(message: &impl Viewed, name: &str) -> Option<String> {
    match name {
        "reference" => return message.patient_reference(),
        "event" => return Some(message.patient_message().event.name().to_owned()),
        "merged_from" => {
            let identifiers = message.patient_message().merged_from;
            let merged = Patient { identifiers, ..Patient::default() };
            return merged.mrn().map(|id| id.value.expose().to_owned());
        }
        _ => {}
    }
    let patient = message.patient()?;
    match name {
        "mrn" => patient.mrn().map(|id| id.value.expose().to_owned()),
        "id" => patient.identifiers.first().map(|id| id.value.expose().to_owned()),
        "name" => patient.names.first().map(written),
        "name.family" => patient.names.first().map(|name| name.family.expose().to_owned()),
        "name.given" => patient.names.first().map(|name| name.given.expose().to_owned()),
        "birth_date" => patient.birth_date.map(|date| date.expose().to_owned()),
        "sex" => Some(patient.sex),
        _ => None,
    }
}

/// Family name first without a blank for Chinese, Japanese and Korean names, last for all others.
fn written(name: &PersonName) -> String {
    let (family, given) = (name.family.expose(), name.given.expose());
    let is_east_asian = |c: char| matches!(u32::from(c), 0x1100..=0x11FF | 0x3040..=0x30FF | 0x3400..=0x9FFF | 0xAC00..=0xD7AF | 0x2_0000..=0x3_FFFF);
    if family.chars().chain(given.chars()).any(is_east_asian) {
        return format!("{family}{given}");
    }
    format!("{given} {family}").trim().to_owned()
}

fn visit_value(visit: Visit, name: &str) -> Option<String> {
    let ward = |location: Location| location.point_of_care;
    match name {
        "number" => visit.number.map(|number| number.value.expose().to_owned()),
        "class" => Some(visit.class),
        "ward" => visit.location.map(ward),
        "room" => visit.location.map(|location| location.room),
        "bed" => visit.location.map(|location| location.bed),
        "prior_ward" => visit.prior_location.map(ward),
        _ => None,
    }
}

fn report_value(report: Report, name: &str) -> Option<String> {
    let service = report.service.first();
    match name {
        "order" => report.placer_order.map(|order| order.value.expose().to_owned()),
        "filler_order" => report.filler_order.map(|order| order.value.expose().to_owned()),
        "accession" => report.accession.map(|accession| accession.expose().to_owned()),
        "code" => service.map(|coding| coding.code.clone()),
        "title" => service.map(|coding| coding.text.clone()),
        "status" => Some(report.status.name().to_owned()),
        "observed_at" => report.observed_at,
        "issued_at" => report.issued_at,
        _ => None,
    }
}

fn device_value(device: &DeviceMessage, name: &str) -> Option<String> {
    if name == "id" {
        return device.device().map(|device| device.name().to_owned());
    }
    let first = &device.metrics.first()?.observation;
    match name {
        "metric" => {
            let code = first.code.mdc().or_else(|| first.code.first().map(|c| c.code.as_str()));
            code.map(str::to_owned)
        }
        "value" => first.values.first().map(|value| value.expose().to_owned()),
        "unit" => {
            let unit = first.unit.as_ref()?;
            let ucum = unit.in_system("UCUM").map(|coding| coding.code.as_str());
            let code =
                ucum.or_else(|| unit.mdc()).or_else(|| unit.first().map(|c| c.code.as_str()));
            code.map(str::to_owned)
        }
        "time" => first.observed_at.clone(),
        _ => None,
    }
}

fn alarm_value(message: &impl Viewed, name: &str) -> Option<String> {
    let alarm = message.device_message().alarms.into_iter().next()?;
    let mdc = |code: &Coded| {
        code.mdc().or_else(|| code.first().map(|coding| coding.code.as_str())).map(str::to_owned)
    };
    match name {
        "id" => Some(alarm.id),
        "event" => mdc(&alarm.event),
        "source" => alarm.source.as_ref().and_then(mdc),
        "phase" => Some(alarm.phase),
        "state" => Some(alarm.state),
        "inactivation" => Some(alarm.inactivation),
        "priority" => Some(alarm.priority),
        "kind" => Some(alarm.kind),
        "time" => alarm.occurred_at,
        _ => None,
    }
}
