//! Lanes: whose messages must stay in order at a destination.
//!
//! Without `order_by` a destination is one lane: everything in the order of acceptance. A message whose key
//! is empty has no order. A merge (A40 and its kin) belongs to two lanes: the surviving patient's and,
//! by MRG or by `Patient.link`, the one that ends.

use crate::channel::build::Build;
use crate::channel::expr::{Value, template};
use crate::channel::reference::Reference;
use crate::channel::scope::{Message, Scope};
use crate::fhir::view::{Resources, links_of_merge};
use crate::hl7::path::Path;
use crate::message::plan::Lane;
use crate::message::view::names;
use crate::yaml::node::Node;

/// How a destination's deliveries are ordered.
#[derive(Debug, Clone, Default)]
pub enum Order {
    /// All in one lane.
    #[default]
    Strict,
    /// No order.
    None,
    /// One lane for each value of this.
    By {
        /// The key.
        key: Value,
        /// Where a merge of HL7 v2 names the key that ends, by preference.
        merged: Vec<Path>,
        /// What a merge of FHIR Patients joins.
        linked: Linked,
    },
}

/// What names the other record where a FHIR Patient is linked to it as the same person (`Patient.link`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// The key is no key of a patient.
    No,
    /// The reference: `Patient/123`.
    Reference,
    /// The id alone.
    Id,
    /// The identifier in the link.
    Identifier,
}

/// Events that end an identifier or move things away from it (HL7 v2.5.1 §3.3).
const MERGES: [&str; 19] = [
    "A06", "A07", "A18", "A30", "A34", "A35", "A36", "A39", "A40", "A41", "A42", "A43", "A44",
    "A45", "A46", "A47", "A49", "A50", "A51",
];

impl Order {
    /// Compiles `order:` or `order_by:`.
    pub fn compile(node: &Node, build: &mut Build<'_>) -> Self {
        match node.text() {
            Some("strict") => return Self::Strict,
            Some("none") => return Self::None,
            _ => {}
        }
        let Some(key) = template::source(node, build) else { return Self::Strict };
        let merged = match &key {
            Value::At(Reference::Hl7(path)) => merged_places(path),
            Value::At(Reference::View("patient.mrn")) => paths(&["MRG-1(MR).1", "MRG-1.1"]),
            _ => Vec::new(),
        };
        let linked = match &key {
            Value::At(Reference::View("patient.reference")) => Linked::Reference,
            Value::At(Reference::View("patient.mrn" | "patient.id")) => Linked::Identifier,
            Value::At(Reference::Fhir(path)) if matches!(path.text(), "Patient.id" | "id") => {
                Linked::Id
            }
            _ => Linked::No,
        };
        Self::By { key, merged, linked }
    }

    /// The lane of a message, and the second one of a merge.
    #[must_use]
    pub fn lanes(&self, scope: &Scope<'_>) -> (Lane, Option<Lane>) {
        match self {
            Self::Strict => (Lane::STRICT, None),
            Self::None => (Lane::NONE, None),
            Self::By { key, merged, linked } => {
                let lane = Lane::of(&key.eval(scope).text());
                let other = match scope.message {
                    Message::Json(document) => linked.lane(document, scope),
                    _ => joined(merged, scope),
                };
                (lane, other.filter(|other| *other != lane))
            }
        }
    }
}

impl Linked {
    /// The lane of the record that a Patient replaces or is replaced by (FHIR R4 patient.html#links).
    fn lane(self, document: &serde_json::Value, scope: &Scope<'_>) -> Option<Lane> {
        if self == Self::No {
            return None;
        }
        let message = Resources::of(document, &scope.facts.event);
        let patient = message.first("Patient")?;
        let (_, link) = links_of_merge(patient).next()?;
        let other = link.get("other")?;
        let reference = other.get("reference").and_then(serde_json::Value::as_str);
        let key = match self {
            Self::No => None,
            Self::Reference => reference.map(str::to_owned),
            Self::Id => reference.and_then(|text| text.rsplit('/').next()).map(str::to_owned),
            Self::Identifier => {
                let own = other.pointer("/identifier/value").and_then(serde_json::Value::as_str);
                own.map(str::to_owned).or_else(|| {
                    let other = message.resolve(patient, other)?;
                    names::get(&Resources::of(other, ""), "patient.mrn")
                })
            }
        };
        key.filter(|key| !key.is_empty()).map(|key| Lane::of(&key))
    }
}

fn joined(merged: &[Path], scope: &Scope<'_>) -> Option<Lane> {
    let event = scope.facts.event.split('^').nth(1)?;
    if merged.is_empty() || !MERGES.contains(&event) {
        return None;
    }
    let other = merged.iter().map(|path| scope.read(&Reference::Hl7(path.clone())));
    let other = other.into_iter().find(|value| !value.text().is_empty())?;
    Some(Lane::of(&other.text()))
}

/// The field of MRG that names the old value of a field.
fn merged_places(path: &Path) -> Vec<Path> {
    let Some(field) = path.field() else { return Vec::new() };
    let merge_field = match (path.segment(), field.number.get()) {
        ("PID", 2 | 4) => 4,
        ("PID", 3) => 1,
        ("PID", 18) => 3,
        ("PID", 5) => 7,
        ("PV1", 19) => 5,
        ("PV1", 50) => 6,
        _ => return Vec::new(),
    };
    let component = field.component.map_or_else(String::new, |number| format!(".{number}"));
    let below = field.subcomponent.map_or_else(String::new, |number| format!(".{number}"));
    let same = format!("MRG-{merge_field}{}{component}{below}", field.repetition);
    // Senders often leave the identifier's type out of MRG.
    let first = format!("MRG-{merge_field}{component}{below}");
    paths(&[&same, &first])
}

fn paths(texts: &[&str]) -> Vec<Path> {
    texts.iter().filter_map(|text| Path::parse(text).ok()).collect()
}
