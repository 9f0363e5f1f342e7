//! Data types of FHIR as parts of the views: identifiers, codes, moments.

use serde_json::Value;

use crate::fhir::view::resources::{items, text};
use crate::message::view::{Coded, Coding, Identifier, Private};

/// The system of a code table of HL7 v2, as HL7's terminology names it; the table's number follows.
const V2_TABLE: &str = "http://terminology.hl7.org/CodeSystem/v2-";

/// Code systems as HL7 v2 abbreviates them (table 0396).
const SYSTEMS: &[(&str, &str)] = &[
    ("LN", "http://loinc.org"),
    ("SCT", "http://snomed.info/sct"),
    ("UCUM", "http://unitsofmeasure.org"),
    ("MDC", "urn:iso:std:iso:11073:10101"),
    ("I10", "http://hl7.org/fhir/sid/icd-10"),
    ("I10C", "http://hl7.org/fhir/sid/icd-10-cm"),
    ("CVX", "http://hl7.org/fhir/sid/cvx"),
    ("NDC", "http://hl7.org/fhir/sid/ndc"),
    ("RXNORM", "http://www.nlm.nih.gov/research/umls/rxnorm"),
];

/// How HL7 v2 names a code system: `LN`, `HL70078`, else the URI itself.
#[must_use]
pub fn system_name(uri: &str) -> String {
    if let Some((name, _)) = SYSTEMS.iter().find(|(_, known)| *known == uri) {
        return (*name).to_owned();
    }
    match uri.strip_prefix(V2_TABLE) {
        Some(table) if !table.is_empty() => format!("HL7{table}"),
        _ => uri.to_owned(),
    }
}

/// The code that a `CodeableConcept` has in a code table of HL7 v2.
#[must_use]
pub fn v2_code<'v>(concept: &'v Value, table: &str) -> Option<&'v str> {
    let coding = items(concept, "coding")
        .find(|coding| text(coding, "system").strip_prefix(V2_TABLE) == Some(table))?;
    Some(text(coding, "code")).filter(|code| !code.is_empty())
}

/// An Identifier; nothing without a value.
pub(super) fn identifier(value: &Value) -> Option<Identifier> {
    let own = Some(text(value, "value")).filter(|own| !own.is_empty())?;
    let kind = value.get("type").and_then(|kind| v2_code(kind, "0203")).unwrap_or_default();
    let assigner = value.pointer("/assigner/display").and_then(Value::as_str);
    let system = text(value, "system");
    let authority = assigner.unwrap_or_else(|| system.strip_prefix("urn:oid:").unwrap_or(system));
    Some(Identifier {
        value: Private::new(own),
        kind: kind.to_owned(),
        authority: authority.to_owned(),
    })
}

/// The identifiers of a resource.
pub(super) fn identifiers(resource: &Value) -> Vec<Identifier> {
    match resource.get("identifier") {
        Some(Value::Array(all)) => all.iter().filter_map(identifier).collect(),
        Some(one) => identifier(one).into_iter().collect(),
        None => Vec::new(),
    }
}

/// A `CodeableConcept`; its text stands where no coding has one.
pub(super) fn coded(concept: Option<&Value>) -> Coded {
    let Some(concept) = concept else { return Coded::default() };
    let own = text(concept, "text");
    let mut codings: Vec<Coding> = items(concept, "coding")
        .map(|coding| {
            let shown = text(coding, "display");
            Coding {
                code: text(coding, "code").to_owned(),
                text: if shown.is_empty() { own } else { shown }.to_owned(),
                system: system_name(text(coding, "system")),
            }
        })
        .collect();
    if codings.is_empty() && !own.is_empty() {
        codings.push(Coding { text: own.to_owned(), ..Coding::default() });
    }
    Coded { codings }
}

/// When something was, of a choice of `…DateTime`, `…Instant` and `…Period`: a period by its start.
pub(super) fn moment(resource: &Value, name: &str) -> Option<String> {
    let at = |ending: &str| resource.get(format!("{name}{ending}"));
    let start = || at("Period").and_then(|period| period.get("start"));
    let found = at("DateTime").or_else(|| at("Instant")).or_else(start)?;
    found.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}
