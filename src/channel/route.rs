//! Lanes: whose messages must stay in order at a destination.
//!
//! Without `order_by` a destination is one lane: everything in the order of acceptance. A message whose key
//! is empty has no order. A merge (A40 and its kin) belongs to several lanes: the surviving patient's and,
//! by MRG or by `Patient.link`, the one that ends; a message of several merges to those of all of them.

use crate::channel::build::Build;
use crate::channel::expr::{Value, template};
use crate::channel::reference::Reference;
use crate::channel::scope::{Message, Scope};
use crate::fhir::view::{Resources, links_of_merge, text};
use crate::hl7::path::Path;
use crate::hl7::raw::RawMessage;
use crate::message::plan::{Joins, Lane};
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
        /// Where each group of such a message names the key that stays, by preference.
        own: Vec<Path>,
        /// What a merge of FHIR Patients joins.
        linked: Linked,
        /// The key as it was written.
        written: Box<str>,
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

/// Events that end an identifier, move things away from it, or are about two patients (HL7 v2.5.1 §3.3).
const MERGES: [&str; 22] = [
    "A06", "A07", "A17", "A18", "A24", "A30", "A34", "A35", "A36", "A37", "A39", "A40", "A41",
    "A42", "A43", "A44", "A45", "A46", "A47", "A49", "A50", "A51",
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
        let own = match &key {
            Value::At(Reference::Hl7(path)) if path.field().is_some() => vec![path.clone()],
            Value::At(Reference::View("patient.mrn")) => {
                paths(&["PID-3(MR).1", "PID-3(PI).1", "PID-3.1"])
            }
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
        let written = node.text().unwrap_or_default().into();
        Self::By { key, merged, own, linked, written }
    }

    /// The order as it is written.
    #[must_use]
    pub fn written(&self) -> &str {
        match self {
            Self::Strict => "strict",
            Self::None => "none",
            Self::By { written, .. } => written,
        }
    }

    /// Whether another destination of the channel keeps the same order: it is written the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let is_written = !self.written().is_empty();
        is_written && self.written() == other.written()
    }

    /// The lane of a message, and the others of a merge.
    #[must_use]
    pub fn lanes(&self, scope: &Scope<'_>) -> (Lane, Joins) {
        match self {
            Self::Strict => (Lane::STRICT, Joins::NONE),
            Self::None => (Lane::NONE, Joins::NONE),
            Self::By { key, merged, own, linked, .. } => {
                let lane = Lane::of(&key.eval(scope).text());
                let others = match scope.message {
                    Message::Json(document) => linked.lanes(document, scope),
                    Message::Hl7(raw) => joined(merged, own, raw, scope),
                    _ => Vec::new(),
                };
                (lane, Joins::beside(lane, others))
            }
        }
    }
}

impl Linked {
    /// The lanes of the records that a Patient replaces or is replaced by (FHIR R4 patient.html#links). Of a
    /// Bundle, also those of its further Patients.
    fn lanes(self, document: &serde_json::Value, scope: &Scope<'_>) -> Vec<Lane> {
        if self == Self::No {
            return Vec::new();
        }
        let message = Resources::of(document, &scope.facts.event);
        let mut lanes = Vec::new();
        for (place, patient) in message.all("Patient").enumerate() {
            let links = links_of_merge(patient).filter_map(|(_, link)| link.get("other"));
            let others = links.filter_map(|other| self.key_of(other, patient, &message));
            let linked: Vec<String> = others.collect();
            if place > 0 && !linked.is_empty() {
                lanes.extend(self.own_key(patient).map(|key| Lane::of(&key)));
            }
            lanes.extend(linked.iter().map(|key| Lane::of(key)));
        }
        lanes
    }

    /// The key of the record that a link leads to.
    fn key_of(
        self,
        other: &serde_json::Value,
        patient: &serde_json::Value,
        message: &Resources<'_>,
    ) -> Option<String> {
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
        key.filter(|key| !key.is_empty())
    }

    /// The key of a Patient itself.
    fn own_key(self, patient: &serde_json::Value) -> Option<String> {
        let name = match self {
            Self::No => return None,
            Self::Id => return Some(text(patient, "id").to_owned()),
            Self::Reference => "patient.reference",
            Self::Identifier => "patient.mrn",
        };
        names::get(&Resources::of(patient, ""), name)
    }
}

/// The keys that the groups of a merge name: each PID (and PV1) is of its own group, as is each MRG. The key
/// itself may be that of any of them.
fn joined(merged: &[Path], own: &[Path], raw: &RawMessage, scope: &Scope<'_>) -> Vec<Lane> {
    let event = scope.facts.event.split('^').nth(1).unwrap_or_default();
    if !MERGES.contains(&event) {
        return Vec::new();
    }
    let mut lanes = Vec::new();
    for segment in raw.segments() {
        for places in [merged, own] {
            let here = places.iter().filter(|path| path.segment_bytes() == segment.id);
            let mut keys = here.map(|path| scope.read_in(Some(segment.index), path));
            if let Some(key) = keys.find(|key| !key.text().is_empty()) {
                lanes.push(Lane::of(&key.text()));
            }
        }
    }
    lanes
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
