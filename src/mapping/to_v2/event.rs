//! Which message the resources are: its type, its event, and what it is made of.
//!
//! The event follows from the resource, what was done to it and the state it is in. A Bundle that was made
//! of an HL7 v2 message keeps that message's event in its Provenance.

use serde_json::Value as Json;

use crate::fhir::view::{Resources, items, kind, links_of_merge, patient_event, text};
use crate::mapping::to_v2::{NoMessage, Options, Wanted};
use crate::message::view::PatientEvent;

/// Events that a channel may choose instead of the usual ones (HL7 table 0003).
pub const EVENTS: [&str; 22] = [
    "A01", "A02", "A03", "A04", "A05", "A06", "A07", "A08", "A11", "A13", "A21", "A23", "A28",
    "A29", "A31", "A40", "S12", "S13", "S14", "S15", "S17", "S26",
];

/// A message type with what it is about.
#[derive(Debug, Clone)]
pub(super) struct Chosen<'m> {
    /// `ADT`, `ORU`, `ORM`, `OML`, `SIU`.
    pub(super) code: &'static str,
    /// `A01`.
    pub(super) event: String,
    /// The resources it is about: one, but for results.
    pub(super) about: Vec<&'m Json>,
    /// What was done to it: `create`, `update`, `patch`, `delete`; empty when not known.
    pub(super) action: String,
}

/// Chooses the message.
///
/// # Errors
/// When there is nothing to make one of, or several where only one can be.
pub(super) fn choose<'m>(
    message: &Resources<'m>,
    options: &Options,
) -> Result<Chosen<'m>, NoMessage> {
    let all = |name: &str| message.all(name).collect::<Vec<_>>();
    let reports = || {
        let reports = all("DiagnosticReport");
        if reports.is_empty() { all("Observation") } else { reports }
    };
    let visits = || {
        let visits = all("Encounter");
        if visits.is_empty() { all("Patient") } else { visits }
    };
    let (wanted, about) = match options.wanted {
        Wanted::Adt => (Wanted::Adt, visits()),
        Wanted::Oru => (Wanted::Oru, reports()),
        Wanted::Orm => (Wanted::Orm, all("ServiceRequest")),
        Wanted::Oml => (Wanted::Oml, all("ServiceRequest")),
        Wanted::Siu => (Wanted::Siu, all("Appointment")),
        Wanted::Auto => automatic(message, &all, &reports, &visits),
    };
    let Some(first) = about.first().copied() else {
        return Err(nothing(message, options.wanted));
    };
    let action = action(message, first);
    if action == "delete" && kind(first) != "Patient" {
        return Err(NoMessage::Nothing {
            element: kind(first).to_owned(),
            why: "a deleted resource has no content left to make a message of".to_owned(),
        });
    }
    let (code, event) = match wanted {
        Wanted::Oru => ("ORU", "R01".to_owned()),
        Wanted::Orm => ("ORM", "O01".to_owned()),
        Wanted::Oml => ("OML", "O21".to_owned()),
        Wanted::Siu => ("SIU", appointment_event(first, &action)?.to_owned()),
        Wanted::Adt | Wanted::Auto => ("ADT", adt_event(message, first, &action)),
    };
    let chosen_here = options
        .events
        .iter()
        .find(|(when, _)| **when == *format!("{}^{action}", kind(first)) || **when == *kind(first));
    let event = match (chosen_here, original_event(message, code)) {
        (Some((_, event)), _) => event.to_string(),
        (None, Some(original)) => original,
        (None, None) => event,
    };
    let about = single(code, &event, about)?;
    Ok(Chosen { code, event, about, action })
}

/// By what there is: results before appointments before orders before visits.
fn automatic<'m>(
    message: &Resources<'m>,
    all: &dyn Fn(&str) -> Vec<&'m Json>,
    reports: &dyn Fn() -> Vec<&'m Json>,
    visits: &dyn Fn() -> Vec<&'m Json>,
) -> (Wanted, Vec<&'m Json>) {
    // What an HL7 v2 message was made it is again: an admission with observations is no result.
    if original_event(message, "ADT").is_some() {
        return (Wanted::Adt, visits());
    }
    let (appointments, orders) = (all("Appointment"), all("ServiceRequest"));
    if !all("DiagnosticReport").is_empty() {
        (Wanted::Oru, reports())
    } else if !appointments.is_empty() {
        (Wanted::Siu, appointments)
    } else if let Some(first) = orders.first() {
        (if is_laboratory(first) { Wanted::Oml } else { Wanted::Orm }, orders)
    } else if !all("Observation").is_empty() {
        (Wanted::Oru, reports())
    } else {
        (Wanted::Adt, visits())
    }
}

/// Laboratory orders are OML (SNOMED CT 108252007, HL7 table 0074 LAB).
fn is_laboratory(order: &Json) -> bool {
    items(order, "category").flat_map(|one| items(one, "coding")).any(|coding| {
        matches!(
            (text(coding, "system"), text(coding, "code")),
            ("http://snomed.info/sct", "108252007")
                | ("http://terminology.hl7.org/CodeSystem/v2-0074", "LAB")
        )
    })
}

fn nothing(message: &Resources<'_>, wanted: Wanted) -> NoMessage {
    let needs = match wanted {
        Wanted::Adt => "an Encounter or a Patient",
        Wanted::Oru => "a DiagnosticReport or an Observation",
        Wanted::Orm | Wanted::Oml => "a ServiceRequest",
        Wanted::Siu => "an Appointment",
        Wanted::Auto => {
            "a Patient, Encounter, DiagnosticReport, Observation, ServiceRequest or Appointment"
        }
    };
    let element = kind(message.document());
    NoMessage::Nothing {
        element: if element.is_empty() { "resourceType" } else { element }.to_owned(),
        why: format!("the message is made of {needs}, and there is none"),
    }
}

/// Events that name a record that ends (HL7 v2.5.1 §3.3.18, .34, .39, .40, .47).
pub(super) fn is_merge(event: &str) -> bool {
    matches!(event, "A18" | "A34" | "A39" | "A40" | "A47")
}

/// Only results and orders may be several in one message.
fn single<'m>(code: &str, event: &str, about: Vec<&'m Json>) -> Result<Vec<&'m Json>, NoMessage> {
    let (merge, first) = (is_merge(event), about.first().map_or("", |one| kind(one)));
    if about.len() > 1 && !merge && matches!(code, "ADT" | "SIU") {
        return Err(NoMessage::Nothing {
            element: format!("Bundle.entry.resource of type {first}"),
            why: format!("one {code} message is about one {first}, and here are {}", about.len()),
        });
    }
    Ok(about)
}

/// What was done: by the event, or by the method of the entry.
fn action(message: &Resources<'_>, about: &Json) -> String {
    let of_event = message.event().split_once('^').map(|(name, action)| (name, action.to_owned()));
    match of_event {
        Some((name, action)) if name == kind(about) => action,
        _ => {
            let entry = message.entries().iter().find(|entry| std::ptr::eq(entry.resource, about));
            match entry.map_or("", |entry| entry.method) {
                "POST" => "create",
                "PUT" => "update",
                "PATCH" => "patch",
                _ => "",
            }
            .to_owned()
        }
    }
}

/// The event of the HL7 v2 message that the resources were made of: `Provenance.activity`, a code of table
/// 0003.
fn original_event(message: &Resources<'_>, code: &str) -> Option<String> {
    let first = code.get(..1)?;
    let provenance = message.first("Provenance")?;
    let codings = provenance.pointer("/activity/coding")?.as_array()?;
    let event = codings.iter().find(|coding| text(coding, "system").ends_with("/v2-0003"))?;
    let event = text(event, "code");
    let is_event = event.len() == 3 && event.bytes().skip(1).all(|byte| byte.is_ascii_digit());
    (is_event && (event.starts_with(first) || (code == "SIU" && event.starts_with('S'))))
        .then(|| event.to_owned())
}

fn adt_event(message: &Resources<'_>, about: &Json, action: &str) -> String {
    let merge = message.all("Patient").any(|patient| links_of_merge(patient).next().is_some());
    if merge && kind(about) == "Patient" {
        return "A40".to_owned();
    }
    match (kind(about), patient_event(about, action)) {
        ("Patient", PatientEvent::Delete) => "A29",
        ("Patient", _) if action == "create" => "A28",
        ("Patient", _) => "A31",
        (_, PatientEvent::PreAdmit) => "A05",
        (_, PatientEvent::Admit) => "A01",
        (_, PatientEvent::Register) => "A04",
        (_, PatientEvent::Discharge) => "A03",
        (_, PatientEvent::CancelAdmit) => "A11",
        (_, PatientEvent::Leave) => "A21",
        _ => "A08",
    }
    .to_owned()
}

/// `Appointment.status`: booked, changed, cancelled, not kept (HL7 v2.5.1 §10.4).
fn appointment_event(appointment: &Json, action: &str) -> Result<&'static str, NoMessage> {
    let changed = matches!(action, "update" | "patch");
    Ok(match text(appointment, "status") {
        "cancelled" => "S15",
        "entered-in-error" => "S17",
        "noshow" => "S26",
        "proposed" | "pending" | "waitlist" | "booked" if !changed => "S12",
        "proposed" | "pending" | "waitlist" | "booked" | "arrived" | "fulfilled" | "checked-in" => {
            "S14"
        }
        _ => {
            return Err(NoMessage::Nothing {
                element: "Appointment.status".to_owned(),
                why: "its value is no state that a message could tell".to_owned(),
            });
        }
    })
}

/// ORC-1 of an order (HL7 table 0119), by its status and what was done.
pub(super) fn order_control(order: &Json, action: &str) -> Result<&'static str, NoMessage> {
    Ok(match (text(order, "status"), action) {
        ("active", "update" | "patch") => "XO",
        ("active", _) => "NW",
        ("revoked" | "entered-in-error", _) => "CA",
        ("on-hold", _) => "HD",
        ("completed", _) => "SC",
        ("draft", _) => {
            return Err(NoMessage::Nothing {
                element: "ServiceRequest.status".to_owned(),
                why: "a draft is no order yet".to_owned(),
            });
        }
        _ => {
            return Err(NoMessage::Nothing {
                element: "ServiceRequest.status".to_owned(),
                why: "its value is no state that an order could have".to_owned(),
            });
        }
    })
}

/// MSH-9.3 (HL7 table 0354).
pub(super) fn structure(code: &str, event: &str) -> String {
    match (code, event) {
        ("ADT", "A01" | "A04" | "A08" | "A13") => "ADT_A01",
        ("ADT", "A05" | "A14" | "A28" | "A31") => "ADT_A05",
        ("ADT", "A06" | "A07") => "ADT_A06",
        ("ADT", "A21" | "A22" | "A23" | "A25" | "A26" | "A27" | "A29") => "ADT_A21",
        ("ADT", "A39" | "A40") => "ADT_A39",
        ("ADT", "A34" | "A47") => "ADT_A30",
        ("ADT", "A09" | "A10" | "A11") => "ADT_A09",
        ("SIU", _) => "SIU_S12",
        _ => return format!("{code}_{event}"),
    }
    .to_owned()
}
