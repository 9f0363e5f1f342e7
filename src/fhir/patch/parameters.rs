//! FHIRPath Patch (FHIR R4 fhirpatch.html): a `Parameters` resource whose operations name their places as
//! FHIRPath. Each operation becomes a change at one JSON pointer; all are done or none.

use serde_json::{Map, Value};

use super::{Limits, PatchError, PatchFault, Purse, add, all, remove, spend};
use crate::fhir::definitions::{self, Kind, TypeId, choice_member};
use crate::fhir::json::resource_type;
use crate::fhir::path::{EvalError, Path};

/// The resource with all operations done, in their order.
///
/// # Errors
/// The first operation that cannot be done.
pub fn apply(resource: &Value, patch: &Value, limits: Limits) -> Result<Value, PatchError> {
    let operations = patch.get("parameter").and_then(Value::as_array);
    let fault = PatchError { operation: None, fault: PatchFault::NotParameters };
    all(resource, operations.ok_or(fault)?, limits, one)
}

/// The parts of one operation.
struct Parts<'p>(&'p [Value]);

impl<'p> Parts<'p> {
    fn of(operation: &'p Value) -> Result<Self, PatchFault> {
        let is_operation = operation.get("name").is_some_and(|name| name == "operation");
        let parts = operation.get("part").and_then(Value::as_array).filter(|_| is_operation);
        Ok(Self(parts.ok_or(PatchFault::UnknownOperation)?))
    }

    fn part(&self, name: &str) -> Option<&'p Value> {
        self.0.iter().find(|part| part.get("name").is_some_and(|found| found == name))
    }

    fn text(&self, name: &'static str) -> Result<&'p str, PatchFault> {
        let part = self.part(name).and_then(|part| value_of(part));
        part.and_then(|(_, value)| value.as_str()).ok_or(PatchFault::Missing(name))
    }

    fn index(&self, name: &'static str) -> Result<usize, PatchFault> {
        let part = self.part(name).and_then(|part| value_of(part));
        let number = part.and_then(|(_, value)| value.as_u64());
        number.and_then(|number| usize::try_from(number).ok()).ok_or(PatchFault::Missing(name))
    }

    fn value(&self) -> Result<(Option<&'p str>, Value), PatchFault> {
        let part = self.part("value").ok_or(PatchFault::Missing("value"))?;
        built(part).ok_or(PatchFault::Missing("value"))
    }
}

/// The `value[x]` of a part: the type's name as it stands in the member, and the value.
fn value_of(part: &Value) -> Option<(&str, &Value)> {
    part.as_object()?.iter().find_map(|(key, value)| Some((key.strip_prefix("value")?, value)))
}

/// A value, or an element without a type of its own, made of parts.
fn built(part: &Value) -> Option<(Option<&str>, Value)> {
    if let Some((kind, value)) = value_of(part) {
        return Some((Some(kind), value.clone()));
    }
    let mut members = Map::new();
    for inner in part.get("part")?.as_array()? {
        let name = inner.get("name")?.as_str()?;
        let (_, value) = built(inner)?;
        members.insert(name.to_owned(), value);
    }
    Some((None, Value::Object(members)))
}

fn one(resource: &mut Value, operation: &Value, purse: &mut Purse) -> Result<(), PatchFault> {
    let parts = Parts::of(operation)?;
    let kind = parts.text("type")?;
    let path = parts.text("path")?;
    match kind {
        "add" => {
            let (value_kind, value) = parts.value()?;
            spend(&value, &mut purse.added)?;
            let target = single(resource, path, purse)?.ok_or(PatchFault::Path)?;
            put(resource, &target, (parts.text("name")?, value_kind), value, purse)
        }
        "replace" => {
            let (value_kind, value) = parts.value()?;
            spend(&value, &mut purse.added)?;
            let target = single(resource, path, purse)?.ok_or(PatchFault::Path)?;
            replace(resource, &target, value_kind, value, purse)
        }
        // What is not there is deleted already.
        "delete" => {
            single(resource, path, purse)?.map_or(Ok(()), |target| delete(resource, &target, purse))
        }
        "insert" => {
            let (_, value) = parts.value()?;
            spend(&value, &mut purse.added)?;
            let list = list(resource, path, purse)?;
            add(resource, &format!("{list}/{}", parts.index("index")?), value, purse)
        }
        "move" => {
            let list = list(resource, path, purse)?;
            let from = format!("{list}/{}", parts.index("source")?);
            let found = remove(resource, &from, purse)?.ok_or(PatchFault::From)?;
            add(resource, &format!("{list}/{}", parts.index("destination")?), found, purse)
        }
        _ => Err(PatchFault::UnknownOperation),
    }
}

/// The JSON pointer of the one element that the path finds; `None` where it finds nothing.
fn single(resource: &Value, path: &str, purse: &Purse) -> Result<Option<String>, PatchFault> {
    let path = Path::parse(path).map_err(|_| PatchFault::NoPath)?;
    let found = path.find_within(resource, &purse.work).map_err(|error| match error {
        EvalError::TooMuchWork => PatchFault::TooMuchWork,
        _ => PatchFault::Path,
    })?;
    match found.as_slice() {
        [] => Ok(None),
        [node] => {
            let wanted = node.borrowed().ok_or(PatchFault::Path)?;
            pointer_to(resource, wanted, purse)?.map(Some).ok_or(PatchFault::Path)
        }
        _ => Err(PatchFault::Several),
    }
}

/// The JSON pointer of the list that a path names: `Patient.name` with any number of names.
fn list(resource: &Value, path: &str, purse: &Purse) -> Result<String, PatchFault> {
    let (parent, name) = path.rsplit_once('.').ok_or(PatchFault::NoPath)?;
    let parent = single(resource, parent, purse)?.ok_or(PatchFault::Path)?;
    let list = format!("{parent}/{name}");
    match resource.pointer(&list) {
        Some(Value::Array(_)) => Ok(list),
        _ => Err(PatchFault::Path),
    }
}

/// Where in the resource this very value stands.
fn pointer_to(value: &Value, wanted: &Value, purse: &Purse) -> Result<Option<String>, PatchFault> {
    purse.work(1)?;
    if std::ptr::eq(value, wanted) {
        return Ok(Some(String::new()));
    }
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                if let Some(below) = pointer_to(item, wanted, purse)? {
                    return Ok(Some(format!("/{at}{below}")));
                }
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                if let Some(below) = pointer_to(value, wanted, purse)? {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    return Ok(Some(format!("/{name}{below}")));
                }
            }
        }
        _ => {}
    }
    Ok(None)
}

/// The type of what stands at a pointer.
fn type_at(resource: &Value, pointer: &str) -> Option<TypeId> {
    let r4 = definitions::r4();
    let mut kind = r4.resource(resource_type(resource)?)?;
    let mut at = resource;
    for step in pointer.split('/').skip(1) {
        if at.is_array() {
            at = at.get(step.parse::<usize>().ok()?)?;
        } else {
            at = at.get(step)?;
            kind = r4.get(kind).member(step)?.chosen.type_id;
        }
        if r4.get(kind).kind == Kind::Resource && at.is_object() {
            kind = r4.resource(resource_type(at)?)?;
        }
    }
    Some(kind)
}

/// Adds an element to the object at a pointer: at the end of its list, or as its only value.
fn put(
    resource: &mut Value,
    target: &str,
    (name, value_kind): (&str, Option<&str>),
    value: Value,
    purse: &Purse,
) -> Result<(), PatchFault> {
    let kind = type_at(resource, target).map(|kind| definitions::r4().get(kind));
    let element = kind.and_then(|kind| kind.element(name)).ok_or(PatchFault::Path)?;
    if element.is_choice {
        let member = choice_member(name, value_kind.ok_or(PatchFault::Missing("value"))?);
        return add(resource, &format!("{target}/{member}"), value, purse);
    }
    let place = format!("{target}/{name}");
    match resource.pointer_mut(&place) {
        Some(Value::Array(items)) => {
            items.push(value);
            Ok(())
        }
        _ if element.is_list => add(resource, &place, Value::Array(vec![value]), purse),
        _ => add(resource, &place, value, purse),
    }
}

/// Replaces a value; of a choice of types the member's name follows the new type.
fn replace(
    resource: &mut Value,
    target: &str,
    value_kind: Option<&str>,
    value: Value,
    purse: &Purse,
) -> Result<(), PatchFault> {
    if let Some((parent, member)) = target.rsplit_once('/')
        && let Some(value_kind) = value_kind
        && let Some(owner) = type_at(resource, parent)
        && let Some(found) = definitions::r4().get(owner).member(member)
        && found.element.is_choice
    {
        delete(resource, target, purse)?;
        let member = choice_member(found.element.name, value_kind);
        return add(resource, &format!("{parent}/{member}"), value, purse);
    }
    *resource.pointer_mut(target).ok_or(PatchFault::Path)? = value;
    Ok(())
}

/// Removes a value, its `_` sibling, and the list it was the last of: FHIR has no empty lists.
fn delete(resource: &mut Value, target: &str, purse: &Purse) -> Result<(), PatchFault> {
    remove(resource, target, purse)?.ok_or(PatchFault::Path)?;
    let Some((parent, member)) = target.rsplit_once('/') else { return Ok(()) };
    match resource.pointer(parent) {
        Some(Value::Array(items)) => {
            let is_empty = items.is_empty();
            if let Some((owner, list)) = parent.rsplit_once('/') {
                let sibling = format!("{owner}/_{list}");
                // Shorter or missing lists of siblings have nothing at this place.
                let _gone = remove(resource, &format!("{sibling}/{member}"), purse)?;
                if is_empty {
                    let _gone = remove(resource, &sibling, purse)?;
                    remove(resource, parent, purse)?.ok_or(PatchFault::Path)?;
                }
            }
        }
        _ => {
            let _gone = remove(resource, &format!("{parent}/_{member}"), purse)?;
        }
    }
    Ok(())
}
