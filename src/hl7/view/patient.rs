//! PID, PV1, EVN and MRG as a patient, a visit and an event.

use crate::hl7::raw::{RawMessage, SegmentRef};
use crate::hl7::view::cell::Cell;
use crate::message::view::{
    Identifier, Location, Patient, PatientEvent, PatientMessage, PersonName, Private, Visit,
};

/// What a patient message (ADT) says.
#[must_use]
pub fn patient_message(message: &RawMessage) -> PatientMessage {
    let field = |segment: &'static [u8], number| field(message, segment, number);
    let event = field(b"MSH", 9).component(2).text().or_else(|| field(b"EVN", 1).text());
    PatientMessage {
        event: event_of(&event.unwrap_or_default()),
        occurred_at: field(b"EVN", 6).iso().or_else(|| field(b"EVN", 2).iso()),
        patient: patient(message),
        visit: visit(message),
        merged_from: merged_from(message),
    }
}

/// Whom the message is about. `None` without a PID, and when its sender says that it does not know: no
/// identifier at all or `Unknown^^^^U`, and no name (IHE PCD-01).
#[must_use]
pub fn patient(message: &RawMessage) -> Option<Patient> {
    let pid = segments(message, b"PID").next()?;
    let cell = |number| Cell::of_field(&pid, number, message.charset());
    let mut identifiers: Vec<Identifier> = cell(3).repetitions().filter_map(identifier).collect();
    if identifiers.is_empty() {
        identifiers.extend(cell(2).repetitions().filter_map(identifier));
    }
    identifiers.retain(|known| !is_unknown(known));
    let names: Vec<PersonName> = cell(5).repetitions().filter_map(name).collect();
    if identifiers.is_empty() && names.is_empty() {
        return None;
    }
    Some(Patient {
        identifiers,
        names,
        birth_date: cell(7).iso().map(Private::new),
        sex: sex(&cell(8).text_or_empty()).to_owned(),
    })
}

/// The visit; empty without a PV1.
#[must_use]
pub fn visit(message: &RawMessage) -> Visit {
    let Some(pv1) = segments(message, b"PV1").next() else { return Visit::default() };
    let cell = |number| Cell::of_field(&pv1, number, message.charset());
    Visit {
        number: identifier(cell(19)),
        class: cell(2).text_or_empty(),
        location: location(cell(3)),
        prior_location: location(cell(6)),
    }
}

/// Identifiers that end with this message: MRG-1 (MRG-4 of old versions), the account MRG-3 as `AN` and the
/// visit MRG-5 as `VN` where their own type is not said.
fn merged_from(message: &RawMessage) -> Vec<Identifier> {
    let typed = |cell: Cell<'_>, kind: &str| {
        identifier(cell).map(|mut known| {
            if known.kind.is_empty() {
                kind.clone_into(&mut known.kind);
            }
            known
        })
    };
    let prior = |mrg: SegmentRef<'_>| -> Vec<Identifier> {
        let cell = |number| Cell::of_field(&mrg, number, message.charset());
        let mut prior: Vec<Identifier> = cell(1).repetitions().filter_map(identifier).collect();
        if prior.is_empty() {
            prior.extend(identifier(cell(4)));
        }
        prior.extend(typed(cell(3), "AN"));
        prior.extend(typed(cell(5), "VN"));
        prior
    };
    segments(message, b"MRG").flat_map(prior).collect()
}

/// A CX, or an EI read as an identifier without a type.
pub(super) fn identifier(cell: Cell<'_>) -> Option<Identifier> {
    Some(Identifier {
        value: Private::new(cell.component(1).text()?),
        kind: cell.component(5).text_or_empty(),
        authority: authority(cell.component(4)),
    })
}

/// An EI: its second to fourth component are the authority.
pub(super) fn entity(cell: Cell<'_>) -> Option<Identifier> {
    let authority = [2, 3].into_iter().find_map(|number| cell.component(number).text());
    Some(Identifier {
        value: Private::new(cell.component(1).text()?),
        kind: String::new(),
        authority: authority.unwrap_or_default(),
    })
}

fn authority(cell: Cell<'_>) -> String {
    [1, 2].into_iter().find_map(|number| cell.subcomponent(number).text()).unwrap_or_default()
}

fn is_unknown(identifier: &Identifier) -> bool {
    identifier.value.expose().eq_ignore_ascii_case("unknown")
        && matches!(identifier.kind.as_str(), "U" | "")
}

/// An XPN. `None` when it holds no name, as in `^^^^^^U`.
fn name(cell: Cell<'_>) -> Option<PersonName> {
    let text = |number| Private::new(cell.component(number).text_or_empty());
    let name = PersonName {
        family: text(1),
        given: text(2),
        middle: text(3),
        kind: cell.component(7).text_or_empty(),
        representation: cell.component(8).text_or_empty(),
    };
    let parts = [&name.family, &name.given, &name.middle];
    let says_something = parts.into_iter().any(|part| !part.expose().is_empty());
    says_something.then_some(name)
}

fn location(cell: Cell<'_>) -> Option<Location> {
    (!cell.is_empty()).then(|| Location {
        point_of_care: cell.component(1).text_or_empty(),
        room: cell.component(2).text_or_empty(),
        bed: cell.component(3).text_or_empty(),
        facility: authority(cell.component(4)),
    })
}

/// HL7 table 0001 in the words of FHIR.
fn sex(code: &str) -> &'static str {
    match code {
        "M" => "male",
        "F" => "female",
        "A" | "O" => "other",
        "U" | "N" => "unknown",
        _ => "",
    }
}

const fn event_of(code: &str) -> PatientEvent {
    use PatientEvent as Event;
    match code.as_bytes() {
        b"A01" => Event::Admit,
        b"A02" | b"A15" | b"A17" => Event::Transfer,
        b"A03" | b"A16" => Event::Discharge,
        b"A04" => Event::Register,
        b"A05" | b"A14" => Event::PreAdmit,
        b"A06" | b"A07" => Event::ChangeClass,
        b"A08" | b"A28" | b"A31" | b"A54" | b"A60" | b"A61" => Event::Update,
        b"A09" | b"A10" | b"A20" => Event::Track,
        b"A11" | b"A27" | b"A38" => Event::CancelAdmit,
        b"A12" | b"A26" => Event::CancelTransfer,
        b"A13" | b"A25" => Event::CancelDischarge,
        b"A18" | b"A30" | b"A34" | b"A35" | b"A36" | b"A39" | b"A40" | b"A41" | b"A42" => {
            Event::Merge
        }
        b"A21" => Event::Leave,
        b"A22" => Event::Return,
        b"A23" | b"A29" => Event::Delete,
        b"A24" => Event::Link,
        b"A37" => Event::Unlink,
        b"A32" | b"A33" | b"A52" | b"A53" | b"A55" | b"A62" => Event::CancelOther,
        b"A43" | b"A44" | b"A45" => Event::Move,
        b"A46" | b"A47" | b"A48" | b"A49" | b"A50" | b"A51" => Event::ChangeIdentifier,
        _ => Event::Other,
    }
}

pub(super) fn segments<'m>(
    message: &'m RawMessage,
    id: &'static [u8],
) -> impl Iterator<Item = SegmentRef<'m>> {
    message.segments().filter(move |segment| segment.id == id)
}

/// A field of the first segment with this id.
pub(super) fn field<'m>(message: &'m RawMessage, id: &'static [u8], number: usize) -> Cell<'m> {
    match segments(message, id).next() {
        Some(segment) => Cell::of_field(&segment, number, message.charset()),
        None => Cell::nothing(message),
    }
}
