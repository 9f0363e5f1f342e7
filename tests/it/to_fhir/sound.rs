//! Whether a bundle is sound FHIR R4: its elements, types, cardinality, required codes and primitive forms by
//! the tables of the definitions; references that lead somewhere; and the invariants that maps could break.

use std::collections::HashMap;

use medway::fhir::definitions::{Definitions, Kind, Type, r4};
use serde_json::{Map, Value as Json};

/// What is wrong with a bundle, each with its place.
pub(crate) fn problems(bundle: &Json) -> Vec<String> {
    let mut sound = Sound { definitions: r4(), problems: Vec::new(), forms: HashMap::new() };
    sound.resource(bundle, "Bundle");
    sound.references(bundle);
    sound.problems
}

struct Sound {
    definitions: &'static Definitions,
    problems: Vec<String>,
    forms: HashMap<&'static str, regex::Regex>,
}

impl Sound {
    fn wrong(&mut self, path: &str, what: &str) {
        self.problems.push(format!("{path}: {what}"));
    }

    fn resource(&mut self, value: &Json, path: &str) {
        let name = value["resourceType"].as_str().unwrap_or_default();
        let Some(id) = self.definitions.resource(name) else {
            return self.wrong(path, &format!("{name} is no resource"));
        };
        self.object(value, self.definitions.get(id), path);
        self.invariants(name, value, path);
    }

    fn object(&mut self, value: &Json, of: &'static Type, path: &str) {
        let Some(members) = value.as_object().filter(|members| !members.is_empty()) else {
            return self.wrong(path, "is no object, or an empty one");
        };
        for (name, value) in members {
            if name == "resourceType" && of.kind == Kind::Resource {
                continue;
            }
            let path = format!("{path}.{name}");
            match of.member(name.strip_prefix('_').unwrap_or(name)) {
                None => self.wrong(&path, "is not known"),
                Some(found) => {
                    let chosen = self.definitions.get(found.chosen.type_id);
                    let items: Vec<&Json> = match value {
                        Json::Array(items) if found.element.is_list => items.iter().collect(),
                        Json::Array(_) => return self.wrong(&path, "is a list"),
                        _ if found.element.is_list => return self.wrong(&path, "is no list"),
                        one => vec![one],
                    };
                    if items.is_empty() {
                        self.wrong(&path, "is an empty list");
                    }
                    if found
                        .element
                        .max
                        .is_some_and(|max| items.len() > usize::try_from(max).unwrap())
                    {
                        self.wrong(&path, "has too many");
                    }
                    for item in items {
                        // FHIR R4 json.html#primitive: null keeps the place of a value beside it.
                        if name.starts_with('_') && item.is_null() && found.element.is_list {
                            continue;
                        }
                        if name.starts_with('_') {
                            self.object(item, self.element(), &path);
                            continue;
                        }
                        self.value(item, chosen, &path);
                        if let Some(set) = found.element.binding {
                            self.bound(item, self.definitions.value_set(set), &path);
                        }
                    }
                }
            }
        }
        for element in of.elements.iter().filter(|element| element.min > 0) {
            let there = members.keys().any(|name| {
                let bare = name.strip_prefix('_').unwrap_or(name);
                of.member(bare).is_some_and(|found| found.element.name == element.name)
            });
            if !there {
                self.wrong(&format!("{path}.{}", element.name), "is missing");
            }
        }
    }

    fn element(&self) -> &'static Type {
        self.definitions.get(self.definitions.find("Element").unwrap())
    }

    fn value(&mut self, value: &Json, of: &'static Type, path: &str) {
        match of.kind {
            Kind::Primitive => self.primitive(value, of.name, path),
            Kind::Resource => self.resource(value, path),
            Kind::Complex | Kind::Part => {
                self.object(value, of, path);
                self.invariants(of.name, value, path);
            }
        }
    }

    fn primitive(&mut self, value: &Json, of: &'static str, path: &str) {
        let fits = match of {
            "boolean" => value.is_boolean(),
            "decimal" => value.is_number(),
            "integer" => value.as_i64().is_some(),
            "unsignedInt" => value.as_u64().is_some(),
            "positiveInt" => value.as_u64().is_some_and(|number| number > 0),
            _ => {
                let text = value.as_str().unwrap_or_default();
                !text.trim().is_empty() && self.has_form(text, of)
            }
        };
        if !fits {
            self.wrong(path, &format!("is no {of}"));
        }
    }

    /// datatypes.html: the forms of primitives.
    fn has_form(&mut self, text: &str, of: &'static str) -> bool {
        let in_letters =
            |more: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
        match of {
            "code" => text.split(' ').all(|word| !word.is_empty()) && !text.contains(['\n', '\t']),
            "uri" | "url" | "canonical" => !text.contains(char::is_whitespace),
            "id" => text.len() <= 64 && in_letters("-."),
            "base64Binary" => text.len().is_multiple_of(4) && in_letters("+/="),
            "date" | "dateTime" | "instant" | "time" => {
                self.forms.entry(of).or_insert_with(|| form(of)).is_match(text)
            }
            _ => true,
        }
    }

    fn bound(&mut self, value: &Json, set: &medway::fhir::definitions::ValueSet, path: &str) {
        let codings: Vec<&Json> = match value {
            Json::Object(concept) => match concept.get("coding") {
                Some(Json::Array(codings)) => codings.iter().collect(),
                _ => vec![value],
            },
            code => {
                if !code.as_str().is_some_and(|code| set.has_code(code)) {
                    self.wrong(path, &format!("{code} is not in {}", set.url));
                }
                return;
            }
        };
        let is_in = |coding: &&Json| {
            let text = |key: &str| coding[key].as_str().unwrap_or_default();
            set.has_coding(text("system"), text("code"))
        };
        if !codings.iter().any(is_in) {
            self.wrong(path, &format!("is not in {}", set.url));
        }
    }

    /// The invariants of R4 that a map could break, by their keys.
    fn invariants(&mut self, of: &str, value: &Json, path: &str) {
        let has = |name: &str| !value[name].is_null();
        let broken = match of {
            "Observation" if has("dataAbsentReason") => {
                let values = value.as_object().unwrap().keys();
                values.clone().any(|name| name.starts_with("value")).then_some("obs-6")
            }
            "ContactPoint" => (has("value") && !has("system")).then_some("cpt-2"),
            "Quantity" => (has("code") && !has("system")).then_some("qty-3"),
            "Extension" => {
                let values = value.as_object().unwrap().keys();
                let values = values.clone().filter(|name| name.starts_with("value")).count();
                (values + usize::from(has("extension")) != 1).then_some("ext-1")
            }
            "Patient.contact" => {
                let any = ["name", "telecom", "address", "organization"];
                (!any.into_iter().any(has)).then_some("pat-1")
            }
            "Appointment" => {
                let status = value["status"].as_str().unwrap_or_default();
                if has("start") != has("end") {
                    Some("app-2")
                } else if !has("start") && !matches!(status, "proposed" | "cancelled" | "waitlist")
                {
                    Some("app-3")
                } else {
                    (has("cancelationReason") && !matches!(status, "cancelled" | "noshow"))
                        .then_some("app-4")
                }
            }
            "Appointment.participant" => (!has("type") && !has("actor")).then_some("app-1"),
            "Attachment" => (has("data") && !has("contentType")).then_some("att-1"),
            "Condition" => (has("clinicalStatus") && {
                let code = &value["verificationStatus"]["coding"][0]["code"];
                code.as_str() == Some("entered-in-error")
            })
            .then_some("con-5"),
            "AllergyIntolerance" => (!has("clinicalStatus")).then_some("ait-1"),
            "Organization" => (!has("name") && !has("identifier")).then_some("org-1"),
            "Period" => {
                let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
                let (start, end) = (text("start"), text("end"));
                let shortest = start.len().min(end.len()).min(10);
                let (start, end) = (start.get(..shortest), end.get(..shortest));
                (start > end).then_some("per-1")
            }
            _ => None,
        };
        if let Some(key) = broken {
            self.wrong(path, &format!("breaks {key}"));
        }
    }

    /// Every entry has its own address, and every reference to an entry leads to one of the right type.
    fn references(&mut self, bundle: &Json) {
        let entries = bundle["entry"].as_array().unwrap();
        let mut addresses: Vec<&str> =
            entries.iter().map(|entry| entry["fullUrl"].as_str().unwrap()).collect();
        let count = addresses.len();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.len() != count {
            self.wrong("Bundle.entry", "has an address twice (bdl-7)");
        }
        let mut found = Vec::new();
        walk(bundle, &mut found);
        for reference in found {
            let leads = addresses.contains(&reference.as_str());
            if !leads {
                self.wrong("Bundle", &format!("{reference} leads nowhere"));
            }
        }
    }
}

fn walk(value: &Json, found: &mut Vec<String>) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| walk(item, found)),
        Json::Object(members) => walk_object(members, found),
        _ => {}
    }
}

fn walk_object(members: &Map<String, Json>, found: &mut Vec<String>) {
    if let Some(Json::String(reference)) = members.get("reference") {
        found.push(reference.clone());
    }
    members.values().for_each(|value| walk(value, found));
}

/// The forms of dates and times.
fn form(of: &str) -> regex::Regex {
    const ZONE: &str = r"(Z|[+-]((0\d|1[0-3]):[0-5]\d|14:00))";
    const DATE: &str = r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?";
    const TIME: &str = r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?";
    let text = match of {
        "date" => format!("^{DATE}$"),
        "dateTime" => format!(r"^{DATE}$|^\d{{4}}-\d\d-\d\dT{TIME}{ZONE}$"),
        "time" => format!("^{TIME}$"),
        _ => format!(r"^\d{{4}}-\d\d-\d\dT{TIME}{ZONE}$"),
    };
    regex::Regex::new(&text).unwrap()
}
