//! Paths into JSON: `$.patient.id`, `$.items[0].code`, `$['odd name']`. Indexes count from 0, as JSON does.

use std::fmt;
use std::ops::Range;

use serde_json::{Map, Value};

use crate::channel::build::Fault;

/// Most steps of a path.
const STEPS_MAX: usize = 64;

/// A path into a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
    Every,
}

impl JsonPath {
    /// Reads `$.a.b[0]`.
    ///
    /// # Errors
    /// The first part that is no step of a path.
    pub fn parse(text: &str, at: Range<usize>) -> Result<Self, Fault> {
        let wrong = |said: &str| {
            Fault::new("E0308", at.clone(), format!("{text} is no JSON path: {said}"))
                .hint("e.g. $.patient.id or $.items[0].code")
        };
        let mut steps = Vec::new();
        let mut rest = text.strip_prefix('$').ok_or_else(|| wrong("it starts with $"))?;
        while !rest.is_empty() {
            if steps.len() >= STEPS_MAX {
                return Err(wrong("it is too long"));
            }
            if let Some(name) = rest.strip_prefix('.') {
                let end = name.find(['.', '[']).unwrap_or(name.len());
                let (key, after) = name.split_at_checked(end).unwrap_or((name, ""));
                if key.is_empty() {
                    return Err(wrong("a name is missing after the dot"));
                }
                steps.push(Step::Key(key.to_owned()));
                rest = after;
            } else if let Some(inside) = rest.strip_prefix('[') {
                let (index, after) =
                    inside.split_once(']').ok_or_else(|| wrong("a ] is missing"))?;
                steps.push(bracket(index).ok_or_else(|| wrong("in [ ] stands a number or *"))?);
                rest = after;
            } else {
                return Err(wrong("names are joined with dots"));
            }
        }
        Ok(Self { steps })
    }

    /// The values at this path: none, one, or several for `[*]`.
    #[must_use]
    pub fn read<'j>(&self, document: &'j Value) -> Vec<&'j Value> {
        let mut found = vec![document];
        for step in &self.steps {
            found = found
                .into_iter()
                .flat_map(|value| match step {
                    Step::Key(key) => value.get(key).into_iter().collect::<Vec<_>>(),
                    Step::Index(index) => value.get(index).into_iter().collect(),
                    Step::Every => value.as_array().into_iter().flatten().collect(),
                })
                .collect();
        }
        found
    }
}

impl JsonPath {
    /// Writes a value where the path leads, making members that are missing; takes it away when there is
    /// none. Paths with `[*]`, and those through something that is no object or list, change nothing.
    pub fn write(&self, document: &mut Value, value: Option<Value>) {
        let Some((last, steps)) = self.steps.split_last() else { return };
        let mut at = document;
        for step in steps {
            let next = match (step, at) {
                (Step::Key(key), Value::Object(fields)) => {
                    Some(fields.entry(key.clone()).or_insert_with(|| Value::Object(Map::new())))
                }
                (Step::Index(index), Value::Array(items)) => items.get_mut(*index),
                _ => None,
            };
            let Some(next) = next else { return };
            at = next;
        }
        match (last, at, value) {
            (Step::Key(key), Value::Object(fields), Some(value)) => {
                fields.insert(key.clone(), value);
            }
            (Step::Key(key), Value::Object(fields), None) => {
                fields.remove(key);
            }
            (Step::Index(index), Value::Array(items), Some(value)) => {
                if let Some(item) = items.get_mut(*index) {
                    *item = value;
                }
            }
            (Step::Index(index), Value::Array(items), None) if *index < items.len() => {
                items.remove(*index);
            }
            _ => {}
        }
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in &self.steps {
            match step {
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Every => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

fn bracket(text: &str) -> Option<Step> {
    if text == "*" {
        return Some(Step::Every);
    }
    for quote in ['\'', '"'] {
        if let Some(key) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return Some(Step::Key(key.to_owned()));
        }
    }
    text.parse().ok().map(Step::Index)
}

/// What stands at `a.b.0.c`, the way tests name a place: a number is an index where there is a list.
#[must_use]
pub fn dotted<'j>(document: &'j Value, path: &str) -> Option<&'j Value> {
    let (document, path) = match in_bundle(document, path) {
        Some((resource, Some(rest))) => (resource, rest),
        Some((resource, None)) => return Some(resource),
        None => (document, path),
    };
    path.split('.').try_fold(document, |value, step| match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        Value::Object(fields) => fields.get(step),
        _ => None,
    })
}

/// `Observation.1.status` of a FHIR bundle is that of its second Observation, `Patient.gender` that of its
/// first Patient. Answers the resource and what of the path is left.
fn in_bundle<'j, 'p>(document: &'j Value, path: &'p str) -> Option<(&'j Value, Option<&'p str>)> {
    let (kind, rest) = match path.split_once('.') {
        Some((kind, rest)) => (kind, Some(rest)),
        None => (path, None),
    };
    if document.get("resourceType")?.as_str() != Some("Bundle") || document.get(kind).is_some() {
        return None;
    }
    let entries = document.get("entry")?.as_array()?.iter();
    let resources = entries.filter_map(|entry| entry.get("resource"));
    let mut of_kind = resources
        .filter(|resource| resource.get("resourceType").and_then(Value::as_str) == Some(kind));
    let (first, behind) = match rest.and_then(|rest| rest.split_once('.').or(Some((rest, "")))) {
        Some((first, behind)) => (Some(first), Some(behind).filter(|behind| !behind.is_empty())),
        None => (None, None),
    };
    match first.and_then(|first| first.parse::<usize>().ok()) {
        Some(number) => of_kind.nth(number).map(|resource| (resource, behind)),
        None => of_kind.next().map(|resource| (resource, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        serde_json::json!({"a": {"b": [{"c": 1}, {"c": "x"}], "odd name": true}})
    }

    fn check(path: &str, expected: &[Value]) {
        let document = document();
        let path = JsonPath::parse(path, 0..0).unwrap();
        assert_eq!(path.read(&document).into_iter().cloned().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn names_the_resources_of_a_bundle() {
        let bundle = serde_json::json!({"resourceType": "Bundle", "type": "transaction", "entry": [
            {"resource": {"resourceType": "Patient", "gender": "female"}},
            {"resource": {"resourceType": "Observation", "status": "final"}},
            {"resource": {"resourceType": "Observation", "status": "corrected"}},
        ]});
        for (path, expected) in [
            ("Patient.gender", "female"),
            ("Patient.0.gender", "female"),
            ("Observation.status", "final"),
            ("Observation.1.status", "corrected"),
            ("type", "transaction"),
            ("entry.1.resource.status", "final"),
        ] {
            assert_eq!(dotted(&bundle, path), Some(&expected.into()), "{path}");
        }
        assert_eq!(dotted(&bundle, "Observation.2.status"), None);
        assert_eq!(dotted(&bundle, "Device.status"), None);
    }

    #[test]
    fn reads_names_indexes_and_all() {
        check("$.a.b[0].c", &[1.into()]);
        check("$.a.b[*].c", &[1.into(), "x".into()]);
        check("$.a['odd name']", &[true.into()]);
        check("$.a.b[7].c", &[]);
        check("$.a.b.c", &[]);
    }

    #[test]
    fn refuses_what_is_no_path() {
        for wrong in ["a.b", "$a", "$.", "$.a[", "$.a[x]", "$.a..b"] {
            assert!(JsonPath::parse(wrong, 0..0).is_err(), "{wrong}");
        }
    }

    #[test]
    fn writes_and_takes_away() {
        let mut document = document();
        let path = |text: &str| JsonPath::parse(text, 0..0).unwrap();
        path("$.a.new.x").write(&mut document, Some("y".into()));
        path("$.a.b[0]").write(&mut document, None);
        path("$.a.b[9].c").write(&mut document, Some("y".into()));
        path("$.a['odd name']").write(&mut document, None);
        assert_eq!(document, serde_json::json!({"a": {"b": [{"c": "x"}], "new": {"x": "y"}}}));
    }

    #[test]
    fn tests_name_places_with_dots() {
        let document = document();
        assert_eq!(dotted(&document, "a.b.1.c"), Some(&"x".into()));
        assert_eq!(dotted(&document, "a.b.x"), None);
    }
}
