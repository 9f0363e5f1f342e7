//! The values a resource is found by (FHIR R4 search.html#ptypes).

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value};

use super::Reading;
use super::expression::Found;
use super::parameters::{Component, Parameter, ParameterType, common, own};
use super::span::span;
use crate::message::fold::fold;
use crate::message::resource::{IndexValue, Indexed};
use crate::message::time::Timestamp;

/// Bytes of a text that can be searched for.
const TEXT_BYTES_MAX: usize = 512;
/// Values of one resource that it is found by; further ones are left out.
const VALUES_MAX: usize = 2000;
/// Values of one part of a composite in one element that are put together with those of its others.
const PART_VALUES_MAX: usize = 20;
/// What `ContactPoint.system` may say: such a value is no identifier with a system.
const CONTACTS: [&str; 7] = ["phone", "fax", "email", "pager", "url", "sms", "other"];

/// All values of a resource, by the parameters of its type and those of all types.
#[must_use]
pub fn index(resource: &Value, reading: &Reading) -> Vec<IndexValue> {
    let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default();
    let mut out = Out { values: Vec::new(), seen: HashMap::new(), reading };
    for parameter in common().iter().chain(own(kind)) {
        match parameter.expression.find(resource) {
            Found::Values(elements) if parameter.kind == ParameterType::Composite => {
                elements.into_iter().for_each(|element| out.compose(parameter, element, resource));
            }
            Found::Values(values) => {
                values.into_iter().for_each(|value| out.add(parameter, value));
            }
            Found::Holds(holds) => {
                out.token(parameter.code, "", if holds { "true" } else { "false" })
            }
        }
    }
    out.values
}

struct Out<'a> {
    values: Vec<IndexValue>,
    /// Where the first value of each hash stands.
    seen: HashMap<u64, usize>,
    reading: &'a Reading,
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

impl Out<'_> {
    fn push(&mut self, param: &str, value: Indexed) {
        if self.values.len() < VALUES_MAX {
            let value = IndexValue { param: param.into(), value };
            // Its hash stands for it: a comparison with each of thousands would cost their square.
            let mut hasher = DefaultHasher::new();
            value.hash(&mut hasher);
            let first = *self.seen.entry(hasher.finish()).or_insert(self.values.len());
            if self.values.get(first) != Some(&value) {
                self.values.push(value);
            }
        }
    }

    fn add(&mut self, parameter: &Parameter, value: &Value) {
        match parameter.kind {
            ParameterType::Token => self.add_token(parameter.code, value),
            ParameterType::Reference => self.add_reference(parameter.code, value),
            ParameterType::Date => {
                if let Some((from, to)) = self.time(value) {
                    self.push(parameter.code, Indexed::Date { from, to });
                }
            }
            ParameterType::String => self.add_text(parameter.code, value),
            ParameterType::Quantity | ParameterType::Number => {
                self.add_quantity(parameter.code, value);
            }
            ParameterType::Uri => {
                if let Some(uri) = value.as_str() {
                    self.push(parameter.code, Indexed::Uri(uri.into()));
                }
            }
            // Composites are put together of elements, not of values.
            ParameterType::Composite => {}
        }
    }

    /// Every choice of one value for each part, from one element (FHIR R4 search.html#composite).
    fn compose(&mut self, parameter: &Parameter, element: &Value, resource: &Value) {
        let mut tuples: Vec<Vec<Indexed>> = vec![Vec::new()];
        for component in &parameter.components {
            let values = self.part(component, element, resource);
            let longer = |tuple: &Vec<Indexed>| {
                let tuple = tuple.clone();
                values.clone().into_iter().map(move |value| [&*tuple, &[value]].concat())
            };
            tuples = tuples.iter().flat_map(longer).take(VALUES_MAX).collect();
        }
        for tuple in tuples {
            self.push(parameter.code, Indexed::Tuple(tuple.into()));
        }
    }

    fn part(&self, component: &Component, element: &Value, resource: &Value) -> Vec<Indexed> {
        let from = if component.of_resource { resource } else { element };
        let Found::Values(found) = component.parameter.expression.find(from) else {
            return Vec::new();
        };
        let mut out = Out { values: Vec::new(), seen: HashMap::new(), reading: self.reading };
        found.into_iter().for_each(|value| out.add(&component.parameter, value));
        let own = |one: IndexValue| (*one.param == *component.parameter.code).then_some(one.value);
        out.values.into_iter().filter_map(own).take(PART_VALUES_MAX).collect()
    }

    fn token(&mut self, param: &str, system: &str, code: &str) {
        self.push(param, Indexed::Token { system: system.into(), code: code.into() });
    }

    fn add_token(&mut self, param: &str, value: &Value) {
        match value {
            Value::Bool(value) => self.token(param, "", if *value { "true" } else { "false" }),
            Value::String(code) => self.token(param, "", code),
            Value::Number(number) => self.token(param, "", &number.to_string()),
            Value::Object(members) => {
                // What a CodeableConcept, a Coding or an Identifier is called.
                let told = ["text", "display"].into_iter().find_map(|name| text(members, name));
                let of_type = || text(members.get("type")?.as_object()?, "text");
                if let Some(told) = told.or_else(of_type) {
                    let told = told.get(..told.floor_char_boundary(TEXT_BYTES_MAX));
                    self.push(
                        &told_by(param),
                        Indexed::Display(fold(told.unwrap_or_default()).into()),
                    );
                }
                if let Some(codings) = members.get("coding").and_then(Value::as_array) {
                    codings.iter().for_each(|coding| self.add_token(param, coding));
                } else if let Some(code) = text(members, "code") {
                    self.token(param, text(members, "system").unwrap_or_default(), code);
                } else if let Some(value) = text(members, "value") {
                    let system = text(members, "system").unwrap_or_default();
                    if CONTACTS.contains(&system) {
                        self.token(param, "", value);
                    } else {
                        self.token(param, system, value);
                        self.add_of_type(param, members, value);
                    }
                }
            }
            Value::Array(_) | Value::Null => {}
        }
    }

    /// `identifier:of-type=system|code|value`, kept as a parameter of its own.
    fn add_of_type(&mut self, param: &str, identifier: &Map<String, Value>, value: &str) {
        let codings = identifier.get("type").and_then(|kind| kind.get("coding"));
        for coding in codings.and_then(Value::as_array).into_iter().flatten() {
            let Some(coding) = coding.as_object() else { continue };
            let Some(code) = text(coding, "code") else { continue };
            let system = text(coding, "system").unwrap_or_default();
            self.token(&of_type(param), system, &of_type_value(code, value));
        }
    }

    fn add_reference(&mut self, param: &str, value: &Value) {
        if let Some(uri) = value.as_str() {
            let (kind, id) = target(uri, &self.reading.base);
            self.push(param, Indexed::Reference { kind, id });
            return;
        }
        let Some(members) = value.as_object() else { return };
        if let (Some(kind), Some(id)) = (text(members, "resourceType"), text(members, "id")) {
            self.push(param, Indexed::Reference { kind: kind.into(), id: id.into() });
        }
        if let Some(reference) = text(members, "reference").filter(|text| !text.starts_with('#')) {
            let (kind, id) = target(reference, &self.reading.base);
            self.push(param, Indexed::Reference { kind, id });
        }
        let Some(identifier) = members.get("identifier").and_then(Value::as_object) else { return };
        if let Some(value) = text(identifier, "value") {
            let system = text(identifier, "system").unwrap_or_default().into();
            self.push(param, Indexed::ReferenceIdentifier { system, value: value.into() });
        }
    }

    /// The span of a date, a time, a period or a timing.
    fn time(&self, value: &Value) -> Option<(Timestamp, Timestamp)> {
        let read = |text: &str| span(text, &self.reading.zone);
        match value {
            Value::String(text) => read(text),
            Value::Object(members)
                if members.contains_key("event") || members.contains_key("repeat") =>
            {
                let events = members.get("event").and_then(Value::as_array).into_iter().flatten();
                let spans: Vec<_> = events.filter_map(Value::as_str).filter_map(read).collect();
                let first = spans.iter().map(|(from, _)| *from).min();
                let last = spans.iter().map(|(_, to)| *to).max();
                let bounds = || self.time(members.get("repeat")?.get("boundsPeriod")?);
                first.zip(last).or_else(bounds)
            }
            Value::Object(members) => {
                let (start, end) = (text(members, "start"), text(members, "end"));
                if start.is_none() && end.is_none() {
                    return None;
                }
                // A period without an end goes on (FHIR R4 search.html#date).
                let from =
                    start.map_or(Some(Timestamp(i64::MIN)), |at| read(at).map(|(from, _)| from));
                let to = end.map_or(Some(Timestamp(i64::MAX)), |at| read(at).map(|(_, to)| to));
                from.zip(to)
            }
            _ => None,
        }
    }

    fn add_text(&mut self, param: &str, value: &Value) {
        match value {
            Value::String(text) => {
                let exact =
                    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default();
                let folded = fold(exact).into();
                self.push(param, Indexed::Text { folded, exact: exact.into() });
            }
            Value::Array(values) => values.iter().for_each(|value| self.add_text(param, value)),
            Value::Object(members) => {
                // The parts of HumanName and Address, in which a string search looks.
                let parts = [
                    "text",
                    "family",
                    "given",
                    "prefix",
                    "suffix",
                    "line",
                    "city",
                    "district",
                    "state",
                    "postalCode",
                    "country",
                ];
                for part in parts {
                    if let Some(value) = members.get(part) {
                        self.add_text(param, value);
                    }
                }
            }
            _ => {}
        }
    }

    fn add_quantity(&mut self, param: &str, value: &Value) {
        match value {
            Value::Number(number) => self.amount(param, number.as_f64(), "", ""),
            Value::Object(members) => {
                for bound in ["low", "high"] {
                    if let Some(bound) = members.get(bound) {
                        self.add_quantity(param, bound);
                    }
                }
                let amount = members.get("value").and_then(Value::as_f64);
                if let Some(currency) = text(members, "currency") {
                    self.amount(param, amount, "urn:iso:std:iso:4217", currency);
                    return;
                }
                let (unit, code) = (text(members, "unit"), text(members, "code"));
                let system = text(members, "system").unwrap_or_default();
                self.amount(param, amount, system, code.or(unit).unwrap_or_default());
                if let Some(unit) = unit.filter(|unit| code.is_some_and(|code| code != *unit)) {
                    self.amount(param, amount, "", unit);
                }
            }
            _ => {}
        }
    }

    fn amount(&mut self, param: &str, value: Option<f64>, system: &str, code: &str) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            let (system, code) = (system.into(), code.into());
            self.push(param, Indexed::Quantity { value, system, code });
        }
    }
}

/// The parameter that `:text` asks.
pub(super) fn told_by(param: &str) -> String {
    format!("{param}:text")
}

/// The parameter that `:of-type` asks.
pub(super) fn of_type(param: &str) -> String {
    format!("{param}:of-type")
}

/// The code and the value that `:of-type` asks for, as one.
pub(super) fn of_type_value(code: &str, value: &str) -> String {
    format!("{code}|{value}")
}

/// Type and id of a reference; a foreign or unknown one is a URL without a type.
pub(super) fn target(reference: &str, base: &str) -> (Box<str>, Box<str>) {
    let plain = reference.split("/_history/").next().unwrap_or(reference);
    let own = plain.strip_prefix(base).and_then(|rest| rest.strip_prefix('/'));
    let own = own.filter(|_| !base.is_empty()).unwrap_or(plain);
    match own.split_once('/') {
        Some((kind, id)) if is_type(kind) && !id.contains('/') && !id.contains('?') => {
            (kind.into(), id.into())
        }
        _ => ("".into(), plain.into()),
    }
}

/// Whether a word looks like a resource type.
pub(super) fn is_type(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_uppercase())
        && word.bytes().all(|byte| byte.is_ascii_alphabetic())
}
