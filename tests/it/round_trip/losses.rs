//! What does not come back, and why. Each reason is counted: one that explains more or fewer is a failure.

use super::Lost;

/// A loss that has a reason.
struct Explained {
    /// `ADT`, `ORU`; empty: either.
    code: &'static str,
    /// The place, or its beginning with `*` behind it.
    place: &'static str,
    /// As many as there are in the whole corpus: one more is another loss.
    most: usize,
    why: &'static str,
}

const fn explained(
    code: &'static str,
    place: &'static str,
    most: usize,
    why: &'static str,
) -> Explained {
    Explained { code, place, most, why }
}

/// HL7 v2 requires what FHIR says nothing of: the channel hears which element it is.
const REQUIRED: &str = "HL7 v2 requires the field and the message left it empty";
const BY_NAME_ALONE: &str =
    "a person without a number is a name to show, not one in parts (Reference.display)";
const PLACE: &str =
    "a location has one name: which of its words are room and bed is told by single words";
const TWO_IN_ONE: &str = "a number and an address in one repetition are two contact points";
const KIND_OF_CONTACT: &str = "FHIR has fewer kinds of contact than table 0202, and none for some";
const USE_DECIDES: &str =
    "a number comes back where its own use belongs, whatever field it stood in";
const LINES: &str = "the lines of an address are lines: which of them is which part is not told";

const EXPLAINED: &[Explained] = &[
    explained("", "message: Observation.status says nothing*", 13, REQUIRED),
    explained("ORU", "message: DiagnosticReport.code says nothing*", 5, REQUIRED),
    explained("ORU", "message: DiagnosticReport.subject says nothing*", 3, REQUIRED),
    explained("ADT", "message: Encounter.subject says nothing*", 4, REQUIRED),
    explained("ORU", "message: Observation.subject says nothing*", 1, REQUIRED),
    explained("", "message: Patient.identifier says nothing*", 3, REQUIRED),
    explained("ORU", "message: Specimen.type says nothing*", 3, REQUIRED),
    explained("ORU", "message: Bundle: the message is made of*", 4, "it holds no result"),
    explained(
        "ADT",
        "OBX-*",
        58,
        "an observation whose status nobody said cannot be an OBX (OBX-11)",
    ),
    explained("ORU", "OBX-15*", 20, "the laboratory comes back in OBX-23 too, which is read first"),
    explained("ADT", "DG1-4*", 4, "words without a code come back as those of DG1-3"),
    explained("", "PV1-3*", 46, PLACE),
    explained("", "PV1-7*", 7, BY_NAME_ALONE),
    explained("", "PV1-8*", 5, BY_NAME_ALONE),
    explained("", "PV1-17*", 11, BY_NAME_ALONE),
    explained("", "PID-13*", 39, TWO_IN_ONE),
    explained("", "PID-14*", 38, KIND_OF_CONTACT),
    explained("ADT", "NK1-5*", 32, USE_DECIDES),
    explained("ADT", "NK1-6*", 30, USE_DECIDES),
    explained("ADT", "NK1-4*", 20, LINES),
    explained(
        "ADT",
        "OBR-7",
        2,
        "the time of an order comes back as that of its observations (OBX-14)",
    ),
    explained(
        "ORU",
        "ORC-3*",
        3,
        "the filler's number comes back in OBR-3 too, which is read first",
    ),
    explained("ORU", "SPM-*", 18, "two segments of one number are one specimen"),
    explained("ORU", "PV1-*", 5, "a visit known by a time that is none cannot be told again"),
    explained("ORU", "OBX-5", 1, "the line ends of a text are repetitions, whatever they were"),
];

fn fits(pattern: &str, place: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => place.starts_with(start),
        None => place == pattern,
    }
}

/// Losses that nothing here explains, and reasons that explain more or fewer than are counted. `whole` says whether the corpus was
/// there: without it not every reason has its case.
pub(super) fn unexplained(lost: &[Lost], whole: bool) -> Vec<String> {
    let mut found = vec![0; EXPLAINED.len()];
    let mut left = Vec::new();
    for one in lost {
        let reason = EXPLAINED.iter().position(|own| {
            (own.code.is_empty() || own.code == one.code) && fits(own.place, &one.place)
        });
        match reason {
            Some(at) => found[at] += 1,
            None => left.push(format!(
                "{}^{} {} {} {}",
                one.code, one.event, one.place, one.message, one.value
            )),
        }
    }
    for (own, found) in EXPLAINED.iter().zip(found) {
        if found > own.most {
            left.push(format!("{}: {found} lost, not {}: {}", own.place, own.most, own.why));
        } else if whole && found < own.most {
            left.push(format!("{}: only {found} lost any more: {}", own.place, own.why));
        }
    }
    left
}
