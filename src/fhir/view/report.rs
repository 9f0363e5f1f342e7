//! `DiagnosticReport` and Observation as reports and observations.

use serde_json::Value;

use crate::fhir::view::parts::{coded, identifiers, moment, v2_code};
use crate::fhir::view::resources::{Resources, items, kind, text};
use crate::message::view::{
    Coded, Coding, Identifier, Observation, ObservationStatus, Private, Report, ReportStatus,
};

/// The first report; an Observation that comes alone is its own report.
pub(super) fn first_report(message: &Resources<'_>) -> Option<Report> {
    let report = message.first("DiagnosticReport").or_else(|| message.first("Observation"))?;
    let order = items(report, "basedOn").find_map(|order| message.resolve(report, order));
    let orders = order.map(identifiers).unwrap_or_default();
    let own = identifiers(report);
    let of_kind = |all: &[Identifier], kind: &str| all.iter().find(|id| id.kind == kind).cloned();
    let either = |kind: &str| of_kind(&own, kind).or_else(|| of_kind(&orders, kind));
    let filler_order = either("FILL").or_else(|| own.iter().find(|id| id.kind.is_empty()).cloned());
    let specimen = report
        .get("specimen")
        .and_then(|one| if one.is_array() { one.get(0) } else { Some(one) })
        .and_then(|reference| message.resolve(report, reference));
    let accession = specimen
        .and_then(|specimen| specimen.pointer("/accessionIdentifier/value"))
        .and_then(Value::as_str)
        .map(Private::new)
        .or_else(|| either("ACSN").or_else(|| filler_order.clone()).map(|id| id.value));
    Some(Report {
        placer_order: either("PLAC"),
        filler_order,
        accession,
        service: coded(report.get("code")),
        status: status(report),
        observed_at: moment(report, "effective"),
        issued_at: Some(text(report, "issued")).filter(|at| !at.is_empty()).map(str::to_owned),
        observations: Vec::new(),
    })
}

/// `DiagnosticReport.status` and `Observation.status`: what was amended is corrected.
fn status(report: &Value) -> ReportStatus {
    match text(report, "status") {
        "registered" => ReportStatus::Registered,
        "partial" => ReportStatus::Partial,
        "preliminary" => ReportStatus::Preliminary,
        "final" => ReportStatus::Final,
        "amended" | "corrected" | "appended" => ReportStatus::Corrected,
        "cancelled" => ReportStatus::Cancelled,
        _ => ReportStatus::Unknown,
    }
}

/// One Observation.
pub(super) fn observation(resource: &Value) -> Observation {
    let (value_type, values, coded_value) = value(resource);
    let unit = resource.get("valueQuantity").map(unit).filter(|unit| !unit.codings.is_empty());
    let flags = items(resource, "interpretation").filter_map(|concept| {
        let code = v2_code(concept, "0078")
            .or_else(|| concept.pointer("/coding/0/code").and_then(Value::as_str));
        code.map(str::to_owned)
    });
    Observation {
        code: coded(resource.get("code")),
        sub_id: String::new(),
        value_type: value_type.to_owned(),
        values: values.into_iter().map(Private::new).collect(),
        coded_value,
        unit,
        reference_range: resource
            .pointer("/referenceRange/0/text")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        flags: flags.collect(),
        status: observation_status(text(resource, "status")),
        observed_at: moment(resource, "effective"),
    }
}

fn unit(quantity: &Value) -> Coded {
    let (code, shown) = (text(quantity, "code"), text(quantity, "unit"));
    let system = if code.is_empty() { "" } else { text(quantity, "system") };
    let coding = Coding {
        code: if code.is_empty() { shown } else { code }.to_owned(),
        text: shown.to_owned(),
        system: super::parts::system_name(system),
    };
    Coded { codings: (!coding.code.is_empty()).then_some(coding).into_iter().collect() }
}

/// The type of the value as in OBX-2, its texts, its codes.
fn value(resource: &Value) -> (&'static str, Vec<String>, Option<Coded>) {
    let own = |name: &str| resource.get(format!("value{name}"));
    let texts = |value: &Value| match value {
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    };
    if let Some(quantity) = own("Quantity") {
        let number = quantity.get("value").map(texts).unwrap_or_default();
        return match text(quantity, "comparator") {
            "" => ("NM", number, None),
            sign => ("SN", number.into_iter().map(|n| format!("{sign}{n}")).collect(), None),
        };
    }
    if let Some(concept) = own("CodeableConcept") {
        let codes = coded(Some(concept));
        let first = codes.first().map(|coding| {
            if coding.code.is_empty() { coding.text.clone() } else { coding.code.clone() }
        });
        return ("CWE", first.into_iter().collect(), Some(codes));
    }
    for (name, kind) in
        [("String", "ST"), ("Integer", "NM"), ("Boolean", "ST"), ("DateTime", "TS"), ("Time", "TM")]
    {
        if let Some(value) = own(name) {
            return (kind, texts(value), None);
        }
    }
    ("", Vec::new(), None)
}

fn observation_status(code: &str) -> ObservationStatus {
    match code {
        "registered" => ObservationStatus::Registered,
        "preliminary" => ObservationStatus::Preliminary,
        "final" => ObservationStatus::Final,
        "amended" | "corrected" => ObservationStatus::Corrected,
        "cancelled" => ObservationStatus::Cancelled,
        "entered-in-error" => ObservationStatus::EnteredInError,
        _ => ObservationStatus::Unknown,
    }
}

/// The observations that were measured by a device: all of a message without a report.
pub(super) fn observations<'j>(message: &Resources<'j>) -> Vec<&'j Value> {
    message.all("Observation").filter(|resource| kind(resource) == "Observation").collect()
}
