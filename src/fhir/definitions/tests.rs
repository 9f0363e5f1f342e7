//! The tables say what HL7 published.

use super::{Kind, r4};

#[test]
fn has_every_type_that_hl7_publishes() {
    let r4 = r4();
    let count = |kind| r4.types.iter().filter(|one| one.kind == kind).count();
    // The bundles profiles-types and profiles-resources of 4.0.1: 148 resources (2 of them abstract),
    // 20 primitives, 41 data types without the two that are profiles, and the elements defined in place.
    assert_eq!(
        [count(Kind::Resource), count(Kind::Primitive), count(Kind::Complex), count(Kind::Part)],
        [148, 20, 41, 483]
    );
    assert_eq!(r4.resource_names().count(), 146);
    let own: usize =
        include_str!("types.tsv").lines().filter(|l| !l.starts_with(['#', '*'])).count();
    let read: usize = r4
        .types
        .iter()
        .map(|one| one.elements.len() - one.base.map_or(0, |base| r4.get(base).elements.len()))
        .sum();
    assert_eq!(read, own, "an element's row was not read");
    for one in &r4.types {
        for element in &one.elements {
            assert!(!element.types.is_empty(), "{}.{} has no type", one.name, element.name);
        }
    }
    assert_eq!(r4.constraints.len(), 241);
    assert_eq!(r4.value_sets.iter().filter(|set| !set.is_listed()).count(), 5);
}

#[test]
fn finds_members_of_types() {
    let check = |kind: &str, member: &str, expected: Option<&str>| {
        let r4 = r4();
        let one = r4.get(r4.find(kind).unwrap());
        let found = one.member(member).map(|found| r4.get(found.chosen.type_id).name);
        assert_eq!(found, expected, "{kind}.{member}");
    };
    check("Patient", "birthDate", Some("date"));
    check("Patient", "id", Some("id"));
    check("Patient", "contact", Some("Patient.contact"));
    check("Patient", "deceasedBoolean", Some("boolean"));
    check("Patient", "deceased", None);
    check("Patient", "resourceType", None);
    check("Patient.contact", "modifierExtension", Some("Extension"));
    check("Patient.contact", "name", Some("HumanName"));
    check("Bundle.entry", "link", Some("Bundle.link"));
    check("Observation.component", "referenceRange", Some("Observation.referenceRange"));
    check("Observation", "valueQuantity", Some("Quantity"));
    check("Age", "value", Some("decimal"));
    check("Extension", "valueUuid", Some("uuid"));
}

#[test]
fn knows_codes_of_required_bindings() {
    let check = |path: (&str, &str), code: &str, expected: bool| {
        let r4 = r4();
        let element = r4.get(r4.find(path.0).unwrap()).element(path.1).unwrap();
        assert_eq!(
            r4.value_set(element.binding.unwrap()).has_code(code),
            expected,
            "{path:?} {code}"
        );
    };
    check(("Patient", "gender"), "female", true);
    check(("Patient", "gender"), "zzz", false);
    check(("Observation", "status"), "final", true);
    check(("Observation", "status"), "Final", false);
    check(("Attachment", "contentType"), "text/anything", true);
    check(("OperationOutcome.issue", "code"), "not-found", true);
    check(("Bundle", "type"), "transaction", true);
}
