//! Patient and Encounter as a patient, a visit and an event.

use serde_json::Value;

use crate::fhir::view::parts::{identifier, identifiers, v2_code};
use crate::fhir::view::resources::{Resources, items, kind, text};
use crate::message::view::{
    Identifier, Location, Patient, PatientEvent, PatientMessage, PersonName, Private, Visit,
};

/// Where resources name their patient.
const SUBJECTS: [&str; 5] = ["subject", "patient", "for", "beneficiary", "individual"];

/// Deepest chain of `Location.partOf` that is followed.
const PLACES_MAX: usize = 8;

/// What a patient message says.
pub(super) fn patient_message(message: &Resources<'_>) -> PatientMessage {
    let encounter = message.first("Encounter");
    let main = encounter.or_else(|| message.first("Patient"));
    let action = message.event().split('^').nth(1).unwrap_or_default();
    PatientMessage {
        event: main.map_or(PatientEvent::Other, |main| patient_event(main, action)),
        occurred_at: encounter.and_then(|encounter| occurred_at(encounter, action)),
        patient: patient(message),
        visit: visit(message),
        merged_from: merged_from(message),
    }
}

/// What was done to a Patient or an Encounter, by its own state and the interaction (`create`, `update`,
/// …) that brought it. A state that lasts is news only when it begins: an update of an encounter in
/// progress is an update, unless its history says that it was only planned before.
#[must_use]
pub fn patient_event(resource: &Value, action: &str) -> PatientEvent {
    match (kind(resource), action) {
        ("Patient" | "Encounter", "delete") => PatientEvent::Delete,
        ("Patient", _) if links_of_merge(resource).next().is_some() => PatientEvent::Merge,
        ("Patient", _) => PatientEvent::Update,
        ("Encounter", _) => encounter_event(resource, action),
        _ => PatientEvent::Other,
    }
}

/// `Encounter.status` (FHIR R4 valueset-encounter-status.html).
fn encounter_event(encounter: &Value, action: &str) -> PatientEvent {
    let begun = |status: &str| matches!(status, "arrived" | "triaged" | "in-progress");
    match text(encounter, "status") {
        "planned" if action == "update" || action == "patch" => PatientEvent::Update,
        "planned" => PatientEvent::PreAdmit,
        status if begun(status) => {
            let mut before = items(encounter, "statusHistory").map(|past| text(past, "status"));
            let said = encounter.get("statusHistory").is_some();
            let news = match action {
                "update" | "patch" => said && !before.any(begun),
                _ => true,
            };
            match visit_class(encounter).as_str() {
                _ if !news => PatientEvent::Update,
                "I" => PatientEvent::Admit,
                _ => PatientEvent::Register,
            }
        }
        "onleave" => PatientEvent::Leave,
        "finished" => PatientEvent::Discharge,
        "cancelled" | "entered-in-error" => PatientEvent::CancelAdmit,
        _ => PatientEvent::Update,
    }
}

fn occurred_at(encounter: &Value, action: &str) -> Option<String> {
    let end = match encounter_event(encounter, action) {
        PatientEvent::Discharge => encounter.pointer("/period/end"),
        PatientEvent::Admit | PatientEvent::Register => encounter.pointer("/period/start"),
        _ => None,
    };
    Some(end?.as_str()?.to_owned())
}

/// The links of a patient that say that two records are one: `(type, link)`, where the type is
/// `replaced-by` (this record ends) or `replaces`.
pub fn links_of_merge(patient: &Value) -> impl Iterator<Item = (&str, &Value)> {
    items(patient, "link").filter_map(|link| match text(link, "type") {
        kind @ ("replaced-by" | "replaces") => Some((kind, link)),
        _ => None,
    })
}

/// Whom the message is about: a Patient, or what a reference to one says.
pub(super) fn patient(message: &Resources<'_>) -> Option<Patient> {
    if let Some(found) = patient_resource(message) {
        let names: Vec<PersonName> = items(found, "name").filter_map(name).collect();
        let identifiers = identifiers(found);
        if identifiers.is_empty() && names.is_empty() {
            return None;
        }
        return Some(Patient {
            identifiers,
            names,
            birth_date: Some(text(found, "birthDate"))
                .filter(|date| !date.is_empty())
                .map(Private::new),
            sex: text(found, "gender").to_owned(),
        });
    }
    let reference = subject(message)?;
    let shown = text(reference, "display");
    let known = Patient {
        identifiers: reference.get("identifier").and_then(identifier).into_iter().collect(),
        names: (!shown.is_empty())
            .then(|| PersonName { family: Private::new(shown), ..PersonName::default() })
            .into_iter()
            .collect(),
        ..Patient::default()
    };
    (!known.identifiers.is_empty() || !known.names.is_empty()).then_some(known)
}

fn patient_resource<'j>(message: &Resources<'j>) -> Option<&'j Value> {
    let main = message.document();
    match subject(message) {
        Some(reference) => message.resolve(main, reference),
        None => message.first("Patient"),
    }
}

/// The reference to the patient of a resource that is not one itself.
fn subject<'j>(message: &Resources<'j>) -> Option<&'j Value> {
    let main = message.document();
    if kind(main) == "Patient" || kind(main) == "Bundle" {
        return None;
    }
    if kind(main) == "Appointment" {
        let actors = items(main, "participant").filter_map(|one| one.get("actor"));
        return actors.into_iter().find(|actor| {
            text(actor, "reference").starts_with("Patient/")
                || text(actor, "type") == "Patient"
                || message.resolve(main, actor).is_some_and(|found| kind(found) == "Patient")
        });
    }
    SUBJECTS.iter().find_map(|name| main.get(*name)).filter(|found| found.is_object())
}

/// `Patient/123`: of a Patient its own, else the one referred to.
pub(super) fn patient_reference(message: &Resources<'_>) -> Option<String> {
    let own = |patient: &Value| {
        let id = text(patient, "id");
        (!id.is_empty()).then(|| format!("Patient/{id}"))
    };
    match subject(message) {
        Some(reference) => {
            let written = text(reference, "reference");
            match written.rsplit_once("Patient/") {
                Some((_, id)) => {
                    Some(format!("Patient/{}", id.split('/').next().unwrap_or_default()))
                }
                None => message.resolve(message.document(), reference).and_then(own),
            }
        }
        None => message.first("Patient").and_then(own),
    }
}

/// Identifiers that end with a merge: those of the records that this one replaces, or its own when it is
/// the one replaced.
fn merged_from(message: &Resources<'_>) -> Vec<Identifier> {
    let Some(patient) = message.first("Patient") else { return Vec::new() };
    let mut ended = Vec::new();
    for (kind, link) in links_of_merge(patient) {
        if kind == "replaced-by" {
            return identifiers(patient);
        }
        let Some(other) = link.get("other") else { continue };
        match message.resolve(patient, other) {
            Some(other) => ended.extend(identifiers(other)),
            None => ended.extend(other.get("identifier").and_then(identifier)),
        }
    }
    ended
}

/// A `HumanName`. `None` when it holds no name.
fn name(value: &Value) -> Option<PersonName> {
    let mut given = items(value, "given").filter_map(Value::as_str);
    let first = given.next().unwrap_or_default();
    let middle: Vec<&str> = given.collect();
    let family = match (text(value, "family"), first) {
        ("", "") => text(value, "text"),
        (family, _) => family,
    };
    if family.is_empty() && first.is_empty() {
        return None;
    }
    let kind = match text(value, "use") {
        "official" => "L",
        "usual" => "D",
        "nickname" => "N",
        "maiden" => "M",
        "anonymous" => "S",
        "temp" => "T",
        _ => "",
    };
    // http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation, as table 0465.
    let representation = items(value, "extension")
        .find(|extension| text(extension, "url").ends_with("/iso21090-EN-representation"))
        .map(|extension| text(extension, "valueCode"));
    Some(PersonName {
        family: Private::new(family),
        given: Private::new(first),
        middle: Private::new(middle.join(" ")),
        kind: kind.to_owned(),
        representation: match representation {
            Some("IDE") => "I",
            Some("SYL") => "P",
            Some("ABC") => "A",
            _ => "",
        }
        .to_owned(),
    })
}

/// The visit: the Encounter, or what a reference to one says.
pub(super) fn visit(message: &Resources<'_>) -> Visit {
    let main = message.document();
    let Some(encounter) = message.first("Encounter").or_else(|| message.follow(main, "encounter"))
    else {
        let number = main.pointer("/encounter/identifier").and_then(identifier);
        return Visit { number, ..Visit::default() };
    };
    let numbers = identifiers(encounter);
    let number = numbers.iter().find(|known| known.kind == "VN").or(numbers.first()).cloned();
    let stays: Vec<&Value> = items(encounter, "location").collect();
    let now = stays.iter().find(|stay| text(stay, "status") == "active").or_else(|| {
        stays.iter().find(|stay| !matches!(text(stay, "status"), "completed" | "planned"))
    });
    let before = stays.iter().rfind(|stay| text(stay, "status") == "completed");
    let place = |stay: &&Value| location(message, encounter, stay.get("location")?);
    Visit {
        number,
        class: visit_class(encounter),
        location: now.and_then(place),
        prior_location: before.and_then(place),
    }
}

/// Patient class by HL7 table 0004, from the v3 act codes of `Encounter.class`.
fn visit_class(encounter: &Value) -> String {
    let Some(class) = encounter.get("class") else { return String::new() };
    let own = serde_json::json!({"coding": [class]});
    if let Some(code) = v2_code(&own, "0004") {
        return code.to_owned();
    }
    match text(class, "code") {
        "IMP" | "ACUTE" | "NONAC" => "I",
        "EMER" => "E",
        "PRENC" => "P",
        "AMB" | "OBSENC" | "SS" | "VR" | "HH" | "FLD" => "O",
        other => other,
    }
    .to_owned()
}

/// A Location with those it is part of, by their physical types; else the text of the reference.
fn location<'j>(
    message: &Resources<'j>,
    from: &'j Value,
    reference: &'j Value,
) -> Option<Location> {
    let mut found = Location::default();
    let mut at = message.resolve(from, reference);
    if at.is_none() {
        found.point_of_care = text(reference, "display").to_owned();
        return (!found.point_of_care.is_empty()).then_some(found);
    }
    for _ in 0..PLACES_MAX {
        let Some(place) = at else { break };
        let named = || {
            let own = identifiers(place).into_iter().next();
            own.map_or_else(|| text(place, "name").to_owned(), |own| own.value.expose().to_owned())
        };
        // http://terminology.hl7.org/CodeSystem/location-physical-type
        let codings = place.pointer("/physicalType/coding").and_then(Value::as_array);
        let mut kinds = codings.into_iter().flatten().map(|coding| text(coding, "code"));
        match kinds.find(|kind| !kind.is_empty()).unwrap_or_default() {
            "bd" => found.bed = named(),
            "ro" => found.room = named(),
            "si" | "bu" => found.facility = named(),
            _ if found.point_of_care.is_empty() => found.point_of_care = named(),
            _ => {}
        }
        // What a contained resource refers to with `#` stands beside it, in the resource around both.
        at = place.get("partOf").and_then(|reference| {
            message.resolve(place, reference).or_else(|| message.resolve(from, reference))
        });
    }
    Some(found)
}
