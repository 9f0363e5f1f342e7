//! JSON Patch on resources (RFC 6902, FHIR R4 http.html#patch): all operations or none.
//!
//! The order of the members that stay is kept, and so is the text of numbers. What a patch may cost is
//! bounded: `copy` could double a resource with each operation.

pub mod parameters;
#[cfg(test)]
mod tests;

use std::cell::Cell;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::fhir::outcome::Issue;
use crate::fhir::path::is_same;

/// Memory of a value without its text, in bytes, about.
const VALUE_BYTES: usize = 32;

/// What a patch may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Operations.
    pub operations_max: usize,
    /// Memory that all operations together may add, in bytes: text, and what each value takes beside it.
    pub added_max: usize,
    /// Values that all operations together may look at or move.
    pub work_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { operations_max: 1000, added_max: 32 << 20, work_max: 5_000_000 }
    }
}

/// What the operations of a patch may still cost.
struct Purse {
    added: usize,
    work: Cell<usize>,
}

impl Purse {
    /// Takes what looking at or moving so many values costs.
    fn work(&self, values: usize) -> Result<(), PatchFault> {
        let left = self.work.get().checked_sub(values).ok_or(PatchFault::TooMuchWork)?;
        self.work.set(left);
        Ok(())
    }

    /// Takes what looking at a value and all below it costs.
    fn look(&self, value: &Value) -> Result<(), PatchFault> {
        self.work(1)?;
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.look(item)),
            Value::Object(members) => members.values().try_for_each(|member| self.look(member)),
            _ => Ok(()),
        }
    }
}

/// Why a patch is not done. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{}{fault}", .operation.map_or_else(String::new, |at| format!("operation {at}: ")))]
pub struct PatchError {
    /// Which operation, from 0; none when it is about the patch as a whole.
    pub operation: Option<usize>,
    /// What is wrong.
    pub fault: PatchFault,
}

/// What is wrong with a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PatchFault {
    /// The document is no list.
    #[error("a JSON Patch is an array of operations")]
    NotAList,
    /// The document has no list of parameters.
    #[error("a FHIRPath Patch is a `Parameters` resource with operations")]
    NotParameters,
    /// A path that cannot be read.
    #[error("`path` is no FHIRPath that can be read")]
    NoPath,
    /// A path that finds more than one element.
    #[error("`path` finds several elements")]
    Several,
    /// Too many operations.
    #[error("there are more operations than the limit")]
    TooMany,
    /// An operation is no object, or `op` says nothing known.
    #[error("there is no such operation")]
    UnknownOperation,
    /// A member is missing or no string.
    #[error("`{0}` is missing or has the wrong type")]
    Missing(&'static str),
    /// `path` leads nowhere.
    #[error("`path` leads to nothing in the resource")]
    Path,
    /// `from` leads nowhere.
    #[error("`from` leads to nothing in the resource")]
    From,
    /// A test did not hold.
    #[error("the test does not hold")]
    TestFailed,
    /// A value would be moved into itself.
    #[error("a value cannot be moved into itself")]
    IntoItself,
    /// The result would be too large.
    #[error("the patch adds more than the limit")]
    TooLarge,
    /// The operations cost too much on this resource.
    #[error("the patch needs more work than the limit")]
    TooMuchWork,
    /// The result is another resource.
    #[error("a patch may not change `resourceType` or `id`")]
    Identity,
}

impl PatchError {
    /// As a client is told.
    #[must_use]
    pub fn issue(&self) -> Issue {
        let (code, detail) = match self.fault {
            PatchFault::TestFailed => ("conflict", "patch-test-failed"),
            PatchFault::TooMany | PatchFault::TooLarge | PatchFault::TooMuchWork => {
                ("too-costly", "patch-too-large")
            }
            PatchFault::Path | PatchFault::From => ("processing", "patch-no-target"),
            PatchFault::Identity => ("business-rule", "patch-identity"),
            _ => ("structure", "patch-invalid"),
        };
        Issue::error(code, detail, self.to_string())
    }
}

/// The resource with all operations done, in their order.
///
/// # Errors
/// The first operation that cannot be done.
pub fn apply(resource: &Value, patch: &Value, limits: Limits) -> Result<Value, PatchError> {
    let fault = PatchError { operation: None, fault: PatchFault::NotAList };
    all(resource, patch.as_array().ok_or(fault)?, limits, one)
}

/// Does one operation.
type One = fn(&mut Value, &Value, &mut Purse) -> Result<(), PatchFault>;

/// Does all operations of a patch of either kind.
fn all(
    resource: &Value,
    operations: &[Value],
    limits: Limits,
    one: One,
) -> Result<Value, PatchError> {
    let whole = |fault| PatchError { operation: None, fault };
    if operations.len() > limits.operations_max {
        return Err(whole(PatchFault::TooMany));
    }
    let mut patched = resource.clone();
    let mut purse = Purse { added: limits.added_max, work: Cell::new(limits.work_max) };
    for (at, operation) in operations.iter().enumerate() {
        one(&mut patched, operation, &mut purse)
            .map_err(|fault| PatchError { operation: Some(at), fault })?;
    }
    identity(resource, &patched).map_err(whole)?;
    Ok(patched)
}

/// A patch changes a resource and never makes another of it.
fn identity(before: &Value, after: &Value) -> Result<(), PatchFault> {
    let is_same = ["resourceType", "id"].iter().all(|name| before.get(name) == after.get(name));
    if is_same { Ok(()) } else { Err(PatchFault::Identity) }
}

fn one(resource: &mut Value, operation: &Value, purse: &mut Purse) -> Result<(), PatchFault> {
    let operation = operation.as_object().ok_or(PatchFault::UnknownOperation)?;
    let name = operation.get("op").and_then(Value::as_str).ok_or(PatchFault::UnknownOperation)?;
    let path = pointer(operation, "path")?;
    let value = || operation.get("value").ok_or(PatchFault::Missing("value"));
    match name {
        "add" => {
            let value = value()?;
            spend(value, &mut purse.added)?;
            add(resource, path, value.clone(), purse)
        }
        "replace" => {
            let value = value()?;
            spend(value, &mut purse.added)?;
            *resource.pointer_mut(path).ok_or(PatchFault::Path)? = value.clone();
            Ok(())
        }
        "remove" => remove(resource, path, purse)?.map(|_| ()).ok_or(PatchFault::Path),
        "test" => {
            let found = resource.pointer(path).ok_or(PatchFault::Path)?;
            let value = value()?;
            purse.look(value)?;
            if is_same(found, value) { Ok(()) } else { Err(PatchFault::TestFailed) }
        }
        "copy" => {
            let found = resource.pointer(pointer(operation, "from")?).ok_or(PatchFault::From)?;
            spend(found, &mut purse.added)?;
            let found = found.clone();
            add(resource, path, found, purse)
        }
        "move" => {
            let from = pointer(operation, "from")?;
            if path.strip_prefix(from).is_some_and(|below| below.starts_with('/')) {
                return Err(PatchFault::IntoItself);
            }
            if path == from {
                return resource.pointer(from).map(|_| ()).ok_or(PatchFault::From);
            }
            let found = remove(resource, from, purse)?.ok_or(PatchFault::From)?;
            add(resource, path, found, purse)
        }
        _ => Err(PatchFault::UnknownOperation),
    }
}

/// A JSON pointer (RFC 6901): empty, or with a slash at its start.
fn pointer<'p>(
    operation: &'p Map<String, Value>,
    name: &'static str,
) -> Result<&'p str, PatchFault> {
    let text = operation.get(name).and_then(Value::as_str).ok_or(PatchFault::Missing(name))?;
    if text.is_empty() || text.starts_with('/') { Ok(text) } else { Err(PatchFault::Missing(name)) }
}

/// The parent's pointer and the last step, unescaped.
fn last(path: &str) -> Option<(&str, String)> {
    let (parent, name) = path.rsplit_once('/')?;
    Some((parent, name.replace("~1", "/").replace("~0", "~")))
}

fn index(name: &str) -> Option<usize> {
    let is_plain = name == "0" || !name.starts_with(['0', '+']);
    name.parse().ok().filter(|_| is_plain)
}

fn add(resource: &mut Value, path: &str, value: Value, purse: &Purse) -> Result<(), PatchFault> {
    let Some((parent, name)) = last(path) else {
        *resource = value;
        return Ok(());
    };
    match resource.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.insert(name, value);
            Ok(())
        }
        Some(Value::Array(items)) => {
            let at = if name == "-" { Some(items.len()) } else { index(&name) };
            let at = at.filter(|at| *at <= items.len()).ok_or(PatchFault::Path)?;
            purse.work(items.len() - at)?;
            items.insert(at, value);
            Ok(())
        }
        _ => Err(PatchFault::Path),
    }
}

/// What stood there; what stands behind it moves up.
fn remove(resource: &mut Value, path: &str, purse: &Purse) -> Result<Option<Value>, PatchFault> {
    let Some((parent, name)) = last(path) else {
        return Ok(Some(resource.take()));
    };
    Ok(match resource.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            purse.work(members.len())?;
            members.shift_remove(&name)
        }
        Some(Value::Array(items)) => match index(&name).filter(|at| *at < items.len()) {
            Some(at) => {
                purse.work(items.len() - at)?;
                Some(items.remove(at))
            }
            None => None,
        },
        _ => None,
    })
}

fn spend(value: &Value, left: &mut usize) -> Result<(), PatchFault> {
    let cost = match value {
        Value::String(text) => text.len(),
        Value::Number(number) => number.as_str().len(),
        Value::Array(items) => return each(items.iter(), 0, left),
        Value::Object(members) => {
            return each(members.values(), members.keys().map(String::len).sum(), left);
        }
        _ => 0,
    };
    *left = left.checked_sub(cost + VALUE_BYTES).ok_or(PatchFault::TooLarge)?;
    Ok(())
}

fn each<'v>(
    mut values: impl Iterator<Item = &'v Value>,
    names: usize,
    left: &mut usize,
) -> Result<(), PatchFault> {
    *left = left.checked_sub(names + VALUE_BYTES).ok_or(PatchFault::TooLarge)?;
    values.try_for_each(|value| spend(value, left))
}
