//! What a FHIR resource is to channels: its kind, its event, and the version that the engine made of it.

use serde_json::Value;

use crate::fhir::json::{self, resource_type};
use crate::message::kind::Kind;
use crate::message::time::Timestamp;

/// What is about whom or what, by resource type (FHIR R4 resourcelist.html). Clinical statements that no
/// kind of the HL7 v2 world carries on their own (Condition, CarePlan, …) are `Other`.
const KINDS: &[(Kind, &[&str])] = &[
    (Kind::Patient, &["Patient", "Encounter", "Person", "RelatedPerson", "EpisodeOfCare"]),
    (
        Kind::Report,
        &[
            "DiagnosticReport",
            "Observation",
            "Specimen",
            "ImagingStudy",
            "Media",
            "MolecularSequence",
        ],
    ),
    (Kind::Device, &["Device", "DeviceMetric", "DeviceUseStatement"]),
    (
        Kind::Order,
        &[
            "ServiceRequest",
            "Task",
            "DeviceRequest",
            "NutritionOrder",
            "RequestGroup",
            "SupplyRequest",
            "CommunicationRequest",
            "VisionPrescription",
        ],
    ),
    (Kind::Schedule, &["Appointment", "AppointmentResponse", "Schedule", "Slot"]),
    (Kind::Document, &["DocumentReference", "DocumentManifest", "Composition", "Binary"]),
    (Kind::Immunization, &["Immunization", "ImmunizationEvaluation", "ImmunizationRecommendation"]),
    (
        Kind::Pharmacy,
        &[
            "MedicationRequest",
            "MedicationDispense",
            "MedicationAdministration",
            "MedicationStatement",
            "Medication",
        ],
    ),
    (
        Kind::Finance,
        &[
            "ChargeItem",
            "Account",
            "Claim",
            "ClaimResponse",
            "Coverage",
            "CoverageEligibilityRequest",
            "CoverageEligibilityResponse",
            "EnrollmentRequest",
            "EnrollmentResponse",
            "ExplanationOfBenefit",
            "Invoice",
            "PaymentNotice",
            "PaymentReconciliation",
        ],
    ),
    (
        Kind::Master,
        &[
            "Practitioner",
            "PractitionerRole",
            "Organization",
            "OrganizationAffiliation",
            "Location",
            "HealthcareService",
            "Endpoint",
            "InsurancePlan",
            "CodeSystem",
            "ValueSet",
            "ConceptMap",
            "NamingSystem",
            "ActivityDefinition",
            "PlanDefinition",
            "ChargeItemDefinition",
            "DeviceDefinition",
            "ObservationDefinition",
            "SpecimenDefinition",
            "CatalogEntry",
            "MedicationKnowledge",
        ],
    ),
];

/// The device nomenclature: an observation coded in it is device data, as in HL7 v2.
const MDC: &str = "urn:iso:std:iso:11073:10101";

/// What a document is about. A message Bundle is about what its header focuses on; any other Bundle is no
/// kind of its own, so that topics hear of its resources once.
pub(super) fn kind(document: &Value) -> Kind {
    match resource_type(document) {
        Some("Bundle") => focus(document).map_or(Kind::Other, kind_of_resource),
        Some(_) => kind_of_resource(document),
        None => Kind::Other,
    }
}

fn kind_of_resource(resource: &Value) -> Kind {
    let name = resource_type(resource).unwrap_or_default();
    let found = KINDS.iter().find(|(_, names)| names.contains(&name));
    match found.map_or(Kind::Other, |(kind, _)| *kind) {
        Kind::Report if is_of_a_device(resource) => Kind::Device,
        kind => kind,
    }
}

fn is_of_a_device(resource: &Value) -> bool {
    let codings = resource.pointer("/code/coding").and_then(Value::as_array);
    codings.into_iter().flatten().any(|coding| text(coding, "system") == Some(MDC))
}

/// The resource that a message Bundle is about (FHIR R4 messageheader.html): the entry that the header's
/// focus refers to.
fn focus(bundle: &Value) -> Option<&Value> {
    let entries = bundle.get("entry").and_then(Value::as_array)?;
    let header = entries.first()?.get("resource")?;
    if resource_type(header) != Some("MessageHeader") {
        return None;
    }
    let wanted = header.pointer("/focus/0/reference").and_then(Value::as_str)?;
    let entry = entries.iter().find(|entry| {
        let resource = entry.get("resource");
        let relative = resource.and_then(|resource| {
            Some(format!("{}/{}", resource_type(resource)?, text(resource, "id")?))
        });
        text(entry, "fullUrl") == Some(wanted) || relative.as_deref() == Some(wanted)
    });
    entry?.get("resource")
}

/// The event that a document names by itself: `Bundle^transaction`, `message^admit`, `Patient`.
pub(super) fn event(document: &Value) -> String {
    let Some(name) = resource_type(document) else { return String::new() };
    if name != "Bundle" {
        return name.to_owned();
    }
    let code = document
        .pointer("/entry/0/resource/eventCoding/code")
        .or_else(|| document.pointer("/entry/0/resource/eventUri"));
    match (text(document, "type"), code.and_then(Value::as_str)) {
        (Some("message"), Some(code)) => format!("message^{code}"),
        (Some(kind), _) => format!("Bundle^{kind}"),
        (None, _) => name.to_owned(),
    }
}

/// Gives a resource the `id` and the `meta` of the version it became, when `control_id` names one of its
/// type: `Patient/123/_history/4`. Says whether it did.
pub(super) fn stamp(document: &mut Value, control_id: &str, at: Timestamp) -> bool {
    let mut parts = control_id.split('/');
    let (Some(kind), Some(id), Some("_history"), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    if resource_type(document) != Some(kind) {
        return false;
    }
    let Ok(version) = version.parse() else { return false };
    json::stamp::stamp(document, id, version, at);
    true
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_resource_has_its_kind() {
        for (document, expected) in [
            (json!({"resourceType": "Patient"}), Kind::Patient),
            (json!({"resourceType": "Encounter"}), Kind::Patient),
            (json!({"resourceType": "DiagnosticReport"}), Kind::Report),
            (
                json!({"resourceType": "Observation", "code": {"coding": [{"system": MDC, "code": "147842"}]}}),
                Kind::Device,
            ),
            (json!({"resourceType": "MedicationRequest"}), Kind::Pharmacy),
            (json!({"resourceType": "Practitioner"}), Kind::Master),
            (json!({"resourceType": "Condition"}), Kind::Other),
            (json!({"resourceType": "Bundle", "type": "transaction"}), Kind::Other),
            (json!(["no resource"]), Kind::Other),
        ] {
            assert_eq!(kind(&document), expected, "{document}");
        }
    }

    #[test]
    fn a_message_bundle_is_about_its_focus() {
        let bundle = json!({"resourceType": "Bundle", "type": "message", "entry": [
            {"resource": {"resourceType": "MessageHeader", "eventCoding": {"code": "admit"},
                "focus": [{"reference": "Appointment/7"}]}},
            {"resource": {"resourceType": "Patient", "id": "1"}},
            {"resource": {"resourceType": "Appointment", "id": "7"}},
        ]});
        assert_eq!(kind(&bundle), Kind::Schedule);
        assert_eq!(event(&bundle), "message^admit");
        assert_eq!(event(&json!({"resourceType": "Bundle", "type": "batch"})), "Bundle^batch");
        assert_eq!(event(&json!({"resourceType": "Patient"})), "Patient");
        assert_eq!(event(&json!({"a": 1})), "");
    }

    #[test]
    fn a_stored_resource_is_read_as_its_version() {
        let at = Timestamp(1_767_225_600_000_000);
        let mut patient = json!({"resourceType": "Patient", "active": true});
        assert!(stamp(&mut patient, "Patient/p1/_history/3", at));
        assert_eq!(
            patient.to_string(),
            r#"{"resourceType":"Patient","id":"p1","meta":{"versionId":"3","lastUpdated":"2026-01-01T00:00:00.000000Z"},"active":true}"#
        );
        let mut tagged = json!({"resourceType": "Patient", "meta": {"tag": [{"code": "x"}], "versionId": "1"}, "id": "old"});
        assert!(stamp(&mut tagged, "Patient/p1/_history/3", at));
        assert_eq!(tagged["id"], "p1");
        assert_eq!(tagged["meta"]["versionId"], "3");
        assert_eq!(tagged["meta"]["tag"][0]["code"], "x");
    }

    #[test]
    fn what_names_no_version_stays() {
        let before = json!({"resourceType": "Patient", "id": "a"});
        for id in ["", "T1", "Patient/1", "Observation/1/_history/1", "Patient/1/_history/1/x"] {
            let mut document = before.clone();
            assert!(!stamp(&mut document, id, Timestamp::default()), "{id}");
            assert_eq!(document, before);
        }
    }
}
