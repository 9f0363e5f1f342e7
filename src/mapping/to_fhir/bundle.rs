//! What is sent: the resources of a message as a transaction, as conditional updates, or as they are, and
//! where they came from (FHIR R4 http.html#transaction, provenance.html).

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value as Json, json};

use crate::mapping::to_fhir::fill::{Filler, Made};
use crate::mapping::to_fhir::{Facts, Form, identity, time};

/// Marks the elements that the message removes (`""` in HL7 v2), each by its path. It stands in `meta`
/// of the resource: what merges the resource into a stored one takes these elements out of it, and
/// leaves those alone that are merely absent.
pub const REMOVED: &str = "urn:medway:removed";

/// What is sent; nothing when there is no resource that the channel wants.
pub(super) fn make(filler: &mut Filler<'_>, facts: Facts) -> Option<Json> {
    let options = filler.options;
    let wanted =
        |kind: &str| options.only.is_empty() || options.only.iter().any(|own| **own == *kind);
    let mut made = std::mem::take(&mut filler.made);
    let targets: Vec<String> = made
        .iter()
        .filter(|made| wanted(&made.kind))
        .map(|made| format!("urn:uuid:{}", made.id))
        .collect();
    if targets.is_empty() {
        return None;
    }
    if options.provenance && wanted("Provenance") {
        made.push(provenance(filler, &targets, facts));
    }
    let named: HashMap<String, Named> =
        made.iter().map(|made| named(made, options.form, &wanted)).collect();
    let source = format!("urn:uuid:{}", facts.id);
    let mut used = HashSet::new();
    let mut entries = Vec::new();
    for made in made.into_iter().filter(|made| wanted(&made.kind)) {
        let own = named.get(&format!("urn:uuid:{}", made.id));
        let criterion =
            own.and_then(|own| own.criterion.clone()).filter(|_| options.form == Form::Upsert);
        // Two resources of one type with one identifier cannot both be found by it.
        let criterion =
            criterion.filter(|criterion| used.insert(format!("{}?{criterion}", made.kind)));
        let (kind, id, context) = (made.kind.clone(), made.id, made.context);
        let resource = finish(made, criterion.is_none(), &source, &named);
        let request = match criterion {
            // Only when there is none yet: what is known of it elsewhere is known better.
            Some(criterion) if context => {
                json!({ "method": "POST", "url": kind, "ifNoneExist": criterion })
            }
            Some(criterion) => json!({ "method": "PUT", "url": format!("{kind}?{criterion}") }),
            None => json!({ "method": "PUT", "url": format!("{kind}/{id}") }),
        };
        entries.push((format!("urn:uuid:{id}"), resource, request));
    }
    Some(match options.form {
        Form::Resources => alone(entries),
        Form::Transaction | Form::Upsert => {
            let entries = entries.into_iter().map(|(full, resource, request)| {
                object([("fullUrl", full.into()), ("resource", resource), ("request", request)])
            });
            object([
                ("resourceType", "Bundle".into()),
                ("type", "transaction".into()),
                ("timestamp", time::of_timestamp(facts.received_at).into()),
                ("entry", entries.collect()),
            ])
        }
    })
}

/// One resource as it is; several in a collection.
fn alone(entries: Vec<(String, Json, Json)>) -> Json {
    match <[_; 1]>::try_from(entries) {
        Ok([(_, resource, _)]) => resource,
        Err(entries) => {
            let entries = entries.into_iter().map(|(full, resource, _)| {
                object([("fullUrl", full.into()), ("resource", resource)])
            });
            object([
                ("resourceType", "Bundle".into()),
                ("type", "collection".into()),
                ("entry", entries.collect()),
            ])
        }
    }
}

/// An object of values that are moved into it; `json!` would copy them.
fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// How others may refer to a resource.
struct Named {
    /// The reference; nothing: it is not sent.
    reference: Option<String>,
    /// What it is known by outside.
    identifier: Option<Json>,
    kind: Box<str>,
    /// How a search finds it.
    criterion: Option<String>,
}

fn named(made: &Made, form: Form, wanted: &dyn Fn(&str) -> bool) -> (String, Named) {
    let urn = format!("urn:uuid:{}", made.id);
    let identifier = best_identifier(&made.body).cloned();
    let reference = wanted(&made.kind).then(|| match form {
        Form::Resources => format!("{}/{}", made.kind, made.id),
        Form::Transaction | Form::Upsert => urn.clone(),
    });
    let criterion = identifier.as_ref().and_then(criterion);
    (urn, Named { reference, identifier, kind: made.kind.clone(), criterion })
}

/// The identifier that a resource is found by: the medical record number, else the first with a system.
fn best_identifier(body: &Map<String, Json>) -> Option<&Json> {
    let all = match body.get("identifier") {
        Some(Json::Array(all)) => all.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => std::slice::from_ref(body.get("masterIdentifier")?),
    };
    let with_value = || all.iter().filter(|identifier| identifier.get("value").is_some());
    let is_mr = |identifier: &&Json| {
        identifier.pointer("/type/coding/0/code").and_then(Json::as_str) == Some("MR")
    };
    let with_system = |identifier: &&Json| identifier.get("system").is_some();
    with_value()
        .filter(with_system)
        .find(is_mr)
        .or_else(|| with_value().find(with_system))
        .or_else(|| with_value().next())
}

/// `identifier=system|value`; without a system `|value` is asked for (search.html#token).
fn criterion(identifier: &Json) -> Option<String> {
    let text = |key: &str| identifier.get(key).and_then(Json::as_str).unwrap_or_default();
    let encoded = |text: &str| {
        // search.html#escaping: these divide values of a parameter.
        let escaped: String = text
            .chars()
            .flat_map(|c| {
                let mark = matches!(c, '\\' | '|' | ',' | '$').then_some('\\');
                mark.into_iter().chain(std::iter::once(c))
            })
            .collect();
        percent_encoding::utf8_percent_encode(&escaped, percent_encoding::NON_ALPHANUMERIC)
            .to_string()
    };
    let value = text("value");
    (!value.is_empty())
        .then(|| format!("identifier={}%7C{}", encoded(text("system")), encoded(value)))
}

/// The resource as it is sent: its id, where it came from, and references that can be followed.
fn finish(made: Made, with_id: bool, source: &str, named: &HashMap<String, Named>) -> Json {
    let mut body = Map::new();
    body.insert("resourceType".to_owned(), (*made.kind).into());
    if with_id {
        body.insert("id".to_owned(), made.id.to_string().into());
    }
    let mut meta = match made.body.get("meta") {
        Some(Json::Object(meta)) => meta.clone(),
        _ => Map::new(),
    };
    if !made.removed.is_empty() {
        let paths = made.removed.iter().filter(|path| {
            let first = path.split('.').next().unwrap_or_default();
            !made.body.contains_key(first) || path.contains('.')
        });
        let marks: Vec<Json> =
            paths.map(|path| json!({ "url": REMOVED, "valueString": path })).collect();
        if !marks.is_empty() {
            meta.insert("extension".to_owned(), Json::Array(marks));
        }
    }
    meta.insert("source".to_owned(), source.into());
    body.insert("meta".to_owned(), Json::Object(meta));
    for (name, mut value) in made.body {
        if name != "resourceType" && name != "meta" && refer(&mut value, named) {
            body.insert(name, value);
        }
    }
    Json::Object(body)
}

/// Makes references ones that can be followed. Answers whether anything is left.
fn refer(value: &mut Json, named: &HashMap<String, Named>) -> bool {
    match value {
        Json::Array(items) => {
            items.retain_mut(|item| refer(item, named));
            !items.is_empty()
        }
        Json::Object(members) => {
            let target = members.get("reference").and_then(Json::as_str);
            if let Some(target) = target.and_then(|urn| named.get(urn)) {
                match (&target.reference, &target.identifier) {
                    (Some(reference), _) => {
                        members.insert("reference".to_owned(), reference.as_str().into());
                    }
                    (None, Some(identifier)) => {
                        members.shift_remove("reference");
                        members.insert("type".to_owned(), (*target.kind).into());
                        members.insert("identifier".to_owned(), identifier.clone());
                    }
                    (None, None) => {
                        members.shift_remove("reference");
                    }
                }
                return !members.is_empty();
            }
            members.retain(|_, member| refer(member, named));
            !members.is_empty()
        }
        _ => true,
    }
}

/// Where the resources came from: the sender as their author, the engine as what assembled them, the
/// message as their source.
fn provenance(filler: &Filler<'_>, targets: &[String], facts: Facts) -> Made {
    let part = |field, component| filler.header(field, component);
    let sender: Vec<String> = [part(4, 1), part(3, 1)].into_iter().flatten().collect();
    let sender = if sender.is_empty() { "unnamed sender".to_owned() } else { sender.join(" / ") };
    let control_id = part(10, 1).unwrap_or_default();
    let trigger = filler.event.split_once('^').map_or(filler.event, |(_, trigger)| trigger);
    let participant = |code: &str, who: &str| {
        let system = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";
        json!({
            "type": { "coding": [{ "system": system, "code": code }] },
            "who": { "display": who },
        })
    };
    let system = "http://terminology.hl7.org/CodeSystem/v2-0003";
    let body = json!({
        "resourceType": "Provenance",
        "target": targets.iter().map(|urn| json!({ "reference": urn })).collect::<Vec<_>>(),
        "recorded": time::of_timestamp(facts.received_at),
        "activity": { "coding": [{ "system": system, "code": trigger }] },
        "agent": [participant("author", &sender), participant("assembler", "Medway")],
        "entity": [{
            "role": "source",
            "what": {
                "identifier": {
                    "system": "urn:ietf:rfc:3986",
                    "value": format!("urn:uuid:{}", facts.id),
                },
                "display": format!("{} {control_id}", filler.event).trim(),
            },
        }],
    });
    let identity = [3, 4, 7, 10].map(|field| part(field, 1).unwrap_or_default()).join("\u{1f}");
    Made {
        kind: "Provenance".into(),
        id: identity::id("Provenance", &identity),
        body: body.as_object().cloned().unwrap_or_default(),
        context: false,
        removed: Vec::new(),
    }
}
