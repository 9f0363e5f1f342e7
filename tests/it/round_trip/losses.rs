//! What does not come back, and why. Of what the maps take out of a message that is as HL7 v2 says, every value
//! does: what is lost is content that breaks HL7 v2. Each fault is counted: one more or fewer is a failure.

use super::Lost;

/// A fault of messages of the corpus.
struct Fault {
    /// `ADT`, `ORU`; empty: either.
    code: &'static str,
    /// The place, or its beginning with `*` behind it.
    place: &'static str,
    /// As many as there are in the whole corpus: one more is another loss.
    most: usize,
    why: &'static str,
}

const fn fault(code: &'static str, place: &'static str, most: usize, why: &'static str) -> Fault {
    Fault { code, place, most, why }
}

/// The whole message is not made: the channel hears which element it is.
const REQUIRED: &str = "HL7 v2 requires the field and the message left it empty";

const FAULTS: &[Fault] = &[
    fault("", "message: Observation.status says nothing*", 13, REQUIRED),
    fault("ORU", "message: DiagnosticReport.code says nothing*", 5, REQUIRED),
    fault("ORU", "message: DiagnosticReport.subject says nothing*", 3, REQUIRED),
    fault("ADT", "message: Encounter.subject says nothing*", 4, REQUIRED),
    fault("ORU", "message: Observation.subject says nothing*", 1, REQUIRED),
    fault("", "message: Patient.identifier says nothing*", 3, REQUIRED),
    fault("ORU", "message: Specimen.type says nothing*", 3, REQUIRED),
    fault("ORU", "message: Bundle: the message is made of*", 4, "an ORU without OBR or OBX"),
    fault("ADT", "OBX-*", 16, "OBX-11 is required, and empty: what has no status is not written"),
    fault("ORU", "SPM-*", 19, "a specimen of no order, or two with one number"),
    fault("ORU", "PV1-*", 16, "a visit without a number, and PV1-44 is no time"),
];

/// Events that become FHIR and are not made of it: a visit does not say whose it was before (A45).
pub(super) const EVENTS_ONE_WAY: [&str; 1] = ["A45"];

/// Fields that become FHIR and have no row back, each with where their content is then.
pub(super) const ONE_WAY: &[(&str, &str)] = &[
    ("PID-2", "an identifier: PID-3, which replaced it"),
    ("PID-4", "an identifier: PID-3, which replaced it"),
    ("PID-9", "a name: PID-5, which replaced it"),
    ("PID-19", "an identifier: PID-3, which replaced it"),
    ("PID-20", "an identifier: PID-3, which replaced it"),
    ("PID-40", "a contact point: PID-13 or PID-14, by its use"),
    ("MRG-4", "an identifier: MRG-1, which replaced it"),
    ("PV2-12", "a reason of the visit: PV2-3"),
    ("DG1-15", "the rank of a diagnosis of the visit, not written by a row"),
    ("PR1-8", "a performer: PR1-12"),
    ("PR1-11", "a performer: PR1-12"),
    ("NTE-3", "notes are written line by line, not by a row"),
    ("NTE-6", "the time of a note: NTE has none before 2.6"),
    ("OBR-14", "a specimen: SPM-18, which replaced it"),
    ("OBR-15", "a specimen: SPM-4 and SPM-8, which replaced it"),
    ("SPM-31", "an identifier of a specimen: SPM-2"),
];

fn fits(pattern: &str, place: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => place.starts_with(start),
        None => place == pattern,
    }
}

/// Losses that are no fault of the message, and faults that explain more or fewer than are counted. `whole` says
/// whether the corpus was there: without it not every fault has its case.
pub(super) fn unexplained(lost: &[Lost], whole: bool) -> Vec<String> {
    let mut found = vec![0; FAULTS.len()];
    let mut left = Vec::new();
    for one in lost {
        let fault = FAULTS.iter().position(|own| {
            (own.code.is_empty() || own.code == one.code) && fits(own.place, &one.place)
        });
        match fault {
            Some(at) => found[at] += 1,
            None => left.push(format!(
                "{}^{} {} {} {}",
                one.code, one.event, one.place, one.message, one.value
            )),
        }
    }
    for (own, found) in FAULTS.iter().zip(found) {
        if found > own.most {
            left.push(format!("{}: {found} lost, not {}: {}", own.place, own.most, own.why));
        } else if whole && found < own.most {
            left.push(format!("{}: only {found} lost any more: {}", own.place, own.why));
        }
    }
    left
}
