//! References between the entries of a transaction: `urn:uuid:` and conditional ones become
//! `Type/id` (FHIR R4 http.html#trules, bundle.html#references).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::resources::plan::Act;

/// Most links rewritten in one narrative, so that a hostile one costs no more than its size.
const NARRATIVE_LINKS_MAX: usize = 1_000;

/// Members that hold canonical URLs, or plain text: they are no links to entries.
const NO_LINKS: [&str; 8] = [
    "value",
    "profile",
    "instantiatesCanonical",
    "questionnaire",
    "valueCanonical",
    "display",
    "system",
    "code",
];

/// What links are replaced by: from a `fullUrl` or a conditional reference to `Type/id`.
pub type Links = BTreeMap<String, String>;

/// The base of a `fullUrl` that names a resource of a server, `http://server/fhir` of
/// `http://server/fhir/Patient/1`: relative references beside it begin there (FHIR R4
/// bundle.html#references). A URN has none.
#[must_use]
pub fn base(full_url: &str) -> Option<&str> {
    if !full_url.starts_with("http://") && !full_url.starts_with("https://") {
        return None;
    }
    let (rest, _) = full_url.rsplit_once('/')?;
    let (base, kind) = rest.rsplit_once('/')?;
    kind.starts_with(|c: char| c.is_ascii_uppercase()).then_some(base)
}

/// The conditional references of what an entry carries, each once.
pub fn conditional_of(act: &Act, found: &mut BTreeSet<String>) {
    match act {
        Act::Create { body, .. } | Act::Update { body, .. } => conditional(&body.value, found),
        Act::Patch { patch, .. } => {
            conditional(patch, found);
            let operations = patch.as_array().map(Vec::as_slice).unwrap_or_default();
            let values = operations.iter().filter(|operation| target(operation) == "reference");
            let texts = values.filter_map(|operation| operation.get("value")?.as_str());
            found.extend(texts.filter(|text| is_conditional(text)).map(str::to_owned));
        }
        Act::Delete { .. } => {}
    }
}

/// The member that an operation of a JSON Patch writes.
fn target(operation: &Value) -> &str {
    let path = operation.get("path").and_then(Value::as_str).unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

/// The conditional references of a resource, `Patient?identifier=…`, each once.
pub fn conditional(resource: &Value, found: &mut BTreeSet<String>) {
    match resource {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if name == "reference" && is_conditional(text) => {
                        found.insert(text.clone());
                    }
                    other => conditional(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| conditional(item, found)),
        _ => {}
    }
}

fn is_conditional(text: &str) -> bool {
    text.split_once('?').is_some_and(|(kind, query)| {
        !query.is_empty()
            && kind.starts_with(|c: char| c.is_ascii_uppercase())
            && kind.chars().all(|c| c.is_ascii_alphabetic())
    })
}

/// The same for a patch: a JSON Patch has the values of members apart from their names.
pub fn rewrite_patch(patch: &mut Value, links: &Links, base: Option<&str>) {
    let Value::Array(operations) = patch else { return rewrite(patch, links, base) };
    for operation in operations {
        let name = target(operation).to_owned();
        match operation.get_mut("value") {
            Some(Value::String(text)) if name == "div" => *text = narrative(text, links),
            Some(Value::String(text)) if !NO_LINKS.contains(&&*name) => {
                replace(text, name == "reference", links, base);
            }
            Some(value) => rewrite(value, links, base),
            None => {}
        }
    }
}

/// Replaces every link that `links` knows: references, `uri` and `url` values, and those in narratives.
/// Relative references are read from `base`.
pub fn rewrite(resource: &mut Value, links: &Links, base: Option<&str>) {
    if links.is_empty() {
        return;
    }
    match resource {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                match value {
                    Value::String(text) if name == "div" => *text = narrative(text, links),
                    Value::String(text) if !NO_LINKS.contains(&name.as_str()) => {
                        replace(text, name == "reference", links, base);
                    }
                    Value::String(_) => {}
                    other => rewrite(other, links, base),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::String(text) => replace(text, false, links, base),
                    other => rewrite(other, links, base),
                }
            }
        }
        _ => {}
    }
}

/// Outside of references only URNs are links: an absolute URL may stand for itself.
fn replace(text: &mut String, reference: bool, links: &Links, base: Option<&str>) {
    if !reference && !text.starts_with("urn:") {
        return;
    }
    let relative = base.filter(|_| reference && !text.contains([':', '#', '?']));
    let found = links.get(text.as_str()).or_else(|| links.get(&format!("{}/{text}", relative?)));
    if let Some(target) = found {
        text.clone_from(target);
    }
}

/// `<a href="urn:uuid:…">` and `<img src="urn:uuid:…">`.
fn narrative(div: &str, links: &Links) -> String {
    let mut rest = div;
    let mut whole = String::with_capacity(div.len());
    for _ in 0..NARRATIVE_LINKS_MAX {
        let Some(at) = rest.find("\"urn:") else { break };
        let (before, from) = rest.split_at(at + 1);
        whole.push_str(before);
        let Some((link, _)) = from.split_once('"') else { break };
        let attribute = before.trim_end_matches(['"', ' ']).ends_with('=');
        whole.push_str(links.get(link).filter(|_| attribute).map_or(link, String::as_str));
        rest = from.get(link.len()..).unwrap_or_default();
    }
    whole.push_str(rest);
    whole
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn links_are_replaced_where_they_are_links() {
        let links = Links::from([
            ("urn:uuid:1".to_owned(), "Patient/9".to_owned()),
            ("Patient?identifier=a|b".to_owned(), "Patient/8".to_owned()),
        ]);
        let mut resource = json!({
            "subject": {"reference": "urn:uuid:1"},
            "performer": [{"reference": "Patient?identifier=a|b"}],
            "identifier": [{"system": "urn:ietf:rfc:3986", "value": "urn:uuid:1"}],
            "url": "urn:uuid:1",
            "basedOn": {"reference": "urn:uuid:2"},
            "text": {"div": "<div><a href=\"urn:uuid:1\">x</a> \"urn:uuid:1\" <img src = \"urn:uuid:3\"/></div>"},
        });
        rewrite(&mut resource, &links, None);
        assert_eq!(
            resource,
            json!({
                "subject": {"reference": "Patient/9"},
                "performer": [{"reference": "Patient/8"}],
                "identifier": [{"system": "urn:ietf:rfc:3986", "value": "urn:uuid:1"}],
                "url": "Patient/9",
                "basedOn": {"reference": "urn:uuid:2"},
                "text": {"div": "<div><a href=\"Patient/9\">x</a> \"urn:uuid:1\" <img src = \"urn:uuid:3\"/></div>"},
            })
        );
    }

    #[test]
    fn relative_references_begin_at_the_base_of_their_entry() {
        let links = Links::from([("http://x/fhir/Patient/1".to_owned(), "Patient/9".to_owned())]);
        let check = |full_url: &str, reference: &str, expected: &str| {
            let mut resource = json!({"subject": {"reference": reference}});
            rewrite(&mut resource, &links, base(full_url));
            assert_eq!(resource["subject"]["reference"], expected, "{full_url} {reference}");
        };
        check("http://x/fhir/Observation/2", "Patient/1", "Patient/9");
        check("http://x/fhir/Observation/2", "http://x/fhir/Patient/1", "Patient/9");
        check("http://y/fhir/Observation/2", "Patient/1", "Patient/1");
        check("urn:uuid:2", "Patient/1", "Patient/1");
        let mut patch = json!([
            {"op": "add", "path": "/subject", "value": {"reference": "urn:uuid:1"}},
            {"op": "replace", "path": "/subject/reference", "value": "urn:uuid:1"},
            {"op": "replace", "path": "/identifier/0/value", "value": "urn:uuid:1"},
        ]);
        let links = Links::from([("urn:uuid:1".to_owned(), "Patient/9".to_owned())]);
        rewrite_patch(&mut patch, &links, None);
        let values: Vec<&Value> = patch.as_array().unwrap().iter().map(|op| &op["value"]).collect();
        assert_eq!(
            values,
            [&json!({"reference": "Patient/9"}), &json!("Patient/9"), &json!("urn:uuid:1")]
        );
    }

    #[test]
    fn conditional_references_are_found_once() {
        let resource = json!({"a": [{"reference": "Patient?x=1"}, {"reference": "Patient?x=1"},
            {"reference": "Patient/1"}, {"reference": "http://x/Patient?x=1"}, {"display": "Patient?x=1"}]});
        let mut found = BTreeSet::new();
        conditional(&resource, &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["Patient?x=1"]);
    }
}
