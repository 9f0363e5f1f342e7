//! Puts values at their places in a resource.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use crate::mapping::to_fhir::language::{Item, Step};

/// Which item of a list a label stands for, by the place of the list.
pub(super) type Labels = HashMap<String, usize>;

/// Puts a value at its place. What stands there already stays: the first row that says something counts.
pub(super) fn insert(
    base: &mut Map<String, Json>,
    target: &[Step],
    value: Json,
    labels: &mut Labels,
) -> bool {
    insert_at(base, target, value, labels, "")
}

fn insert_at(
    base: &mut Map<String, Json>,
    target: &[Step],
    value: Json,
    labels: &mut Labels,
    path: &str,
) -> bool {
    let Some((step, rest)) = target.split_first() else { return false };
    let path = format!("{path}.{}", step.name);
    if step.item == Item::Only {
        if rest.is_empty() {
            if base.contains_key(&*step.name) {
                return false;
            }
            base.insert(step.name.to_string(), value);
            return true;
        }
        let inner = base.entry(step.name.to_string()).or_insert_with(|| Json::Object(Map::new()));
        return inner
            .as_object_mut()
            .is_some_and(|inner| insert_at(inner, rest, value, labels, &path));
    }
    let list = base.entry(step.name.to_string()).or_insert_with(|| Json::Array(Vec::new()));
    let Some(list) = list.as_array_mut() else { return false };
    let (index, path) = match &step.item {
        Item::Labelled(label) => {
            let path = format!("{path}[{label}]");
            (*labels.entry(path.clone()).or_insert(list.len()), path)
        }
        _ => (list.len(), format!("{path}[{}]", list.len())),
    };
    if rest.is_empty() {
        if index < list.len() || list.contains(&value) {
            return false;
        }
        list.push(value);
        return true;
    }
    if index >= list.len() {
        list.push(Json::Object(Map::new()));
    }
    let item = list.get_mut(index).and_then(Json::as_object_mut);
    item.is_some_and(|item| insert_at(item, rest, value, labels, &path))
}

/// Whether what was put at `…end` lies before the `start` beside it; it is taken out then (per-1).
pub(super) fn ends_too_early(base: &mut Map<String, Json>, target: &[Step]) -> bool {
    let Some((last, path)) = target.split_last() else { return false };
    if &*last.name != "end" || path.iter().any(|step| step.item != Item::Only) {
        return false;
    }
    let mut period = Some(base);
    for step in path {
        period =
            period.and_then(|period| period.get_mut(&*step.name)).and_then(Json::as_object_mut);
    }
    let Some(period) = period else { return false };
    let text = |name: &str| period.get(name).and_then(Json::as_str);
    let early = match (text("start"), text("end")) {
        (Some(start), Some(end)) => is_before(end, start),
        _ => false,
    };
    if early {
        period.shift_remove("end");
    }
    early
}

/// As moments when both are, else by the part that both have.
fn is_before(one: &str, other: &str) -> bool {
    match (one.parse::<jiff::Timestamp>(), other.parse::<jiff::Timestamp>()) {
        (Ok(one), Ok(other)) => one < other,
        _ => {
            let both = one.len().min(other.len()).min("2026-01-14".len());
            one.get(..both) < other.get(..both)
        }
    }
}
