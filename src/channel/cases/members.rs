//! Places in FHIR resources that a test names: `Patient.gender`, `Observation.0.code`, `entry.0.request`. Each
//! name is one of R4's, at its place.

use crate::channel::build::Fault;
use crate::fhir::definitions::{Type, TypeId, choice_member, r4};
use crate::yaml::nearest::nearest;

/// What a place may begin with besides a resource type: what `produce: {fhir: …}` makes is a Bundle, or one
/// resource alone.
fn any_resource() -> Vec<TypeId> {
    r4().resource_names().filter_map(|name| r4().resource(name)).collect()
}

/// Checks the names of a place.
pub(super) fn check(place: &str) -> Result<(), Fault> {
    let mut types = any_resource();
    let mut at = 0;
    for (number, name) in place.split('.').enumerate() {
        let range = at..at + name.len();
        at = range.end + 1;
        let fault = |said: String| Fault::new("E0353", range, said);
        if name == "resourceType" || name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        if number == 0 && name.starts_with(|c: char| c.is_ascii_uppercase()) {
            let Some(resource) = r4().resource(name) else {
                let near = nearest(name, r4().resource_names());
                return Err(hinted(fault(format!("FHIR R4 has no resource {name}")), near));
            };
            types = vec![resource];
            continue;
        }
        // What a resource holds as a whole (`entry.resource`, `contained`) may be of any type.
        if types.iter().any(|id| r4().get(*id).is_abstract) {
            types = any_resource();
        }
        let found: Vec<TypeId> = types
            .iter()
            .filter_map(|id| Some(r4().get(*id).member(name)?.chosen.type_id))
            .collect();
        if found.is_empty() {
            let known: Vec<String> = types.iter().flat_map(|id| members(r4().get(*id))).collect();
            let near = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
            let said = format!("FHIR R4 has no {name} here");
            return Err(hinted(fault(said), near.as_deref()));
        }
        types = found;
        types.sort_unstable();
        types.dedup();
    }
    Ok(())
}

fn hinted(fault: Fault, near: Option<&str>) -> Fault {
    match near {
        Some(near) => fault.hint(format!("did you mean {near}?")).fix(near),
        None => fault.hint("e.g. Patient.gender, Observation.0.code, entry.0.request"),
    }
}

/// The names of a type's members in JSON.
fn members(of: &Type) -> Vec<String> {
    let named = |element: &crate::fhir::definitions::Element| -> Vec<String> {
        if !element.is_choice {
            return vec![element.name.to_owned()];
        }
        let types = element.types.iter().map(|one| r4().get(one.type_id).name);
        types.map(|name| choice_member(element.name, name)).collect()
    };
    of.elements.iter().flat_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn names_of_places_are_those_of_r4() {
        for place in [
            "Patient.gender",
            "Patient.0.link.0.type",
            "Patient.meta.extension.0.valueString",
            "DiagnosticReport.basedOn.0.identifier",
            "Observation.0.valueQuantity",
            "Observation.0.valueQuantity.value",
            "entry.0.request",
            "entry.0.resource.birthDate",
            "type",
            "resourceType",
            "subject.identifier.value",
        ] {
            assert!(check(place).is_ok(), "{place}");
        }
        for place in [
            "Patinet.gender",
            "Patient.gendre",
            "Patient.0.link.0.tpye",
            "Observation.0.valueQuantty",
            "Observation.0.valueQuantity.valeu",
            "entry.0.requset",
            "tpye",
            "subject.identifer.value",
        ] {
            assert!(check(place).is_err(), "{place}");
        }
    }
}
