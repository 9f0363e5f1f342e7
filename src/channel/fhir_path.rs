//! Paths into FHIR resources: `Patient.name.family`, `identifier.where(system = 'urn:x').value`.
//!
//! They are FHIRPath, evaluated by `fhir::path`. What is added here is what an analyst needs while he
//! writes: every name is checked against the definitions of R4, with its place and the nearest name; and
//! a simple path can be written to.

use std::fmt;
use std::ops::Range;

use serde_json::{Map, Value};

use crate::channel::build::Fault;
use crate::fhir::definitions::{Element, Kind, TypeId, choice_member, r4};
use crate::fhir::path::Path;
use crate::yaml::nearest::nearest;

/// A path into a FHIR resource.
#[derive(Debug, Clone)]
pub struct FhirPath {
    path: Path,
    /// The resource type it begins with.
    head: Option<Box<str>>,
    /// How it is written to; nothing: it can only be read.
    steps: Option<Vec<Step>>,
}

/// One step of a path that can be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A member.
    Member(String),
    /// The first item of a list whose name stands alone; at the end of a path the whole list.
    First,
    /// The item of a list, from 0.
    Item(usize),
    /// The item of a list that has this text in a member.
    Having(String, String),
}

/// Functions after which the elements are still of the same types.
const SAME: [&str; 7] = ["where", "first", "last", "tail", "single", "skip", "take"];

/// Functions whose value is no element.
const PLAIN: [&str; 12] = [
    "exists",
    "empty",
    "not",
    "hasValue",
    "count",
    "all",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "lower",
    "upper",
];

/// Whether a word reads like a FHIR path: it begins with a resource type, or calls a function of FHIRPath.
#[must_use]
pub fn looks_like(word: &str) -> bool {
    let Some((head, rest)) = word.split_once('.') else { return false };
    let named = head.starts_with(|c: char| c.is_ascii_uppercase())
        && rest.starts_with(|c: char| c.is_ascii_lowercase())
        && r4().resource(head).is_some();
    named || calls_function(word)
}

fn calls_function(word: &str) -> bool {
    let begins = word.starts_with(|c: char| c.is_ascii_lowercase());
    begins && word.match_indices('(').any(|(at, _)| opens_call(word.get(..at).unwrap_or_default()))
}

/// Whether a text ends with `.where` or the like, so that its bracket belongs to the path.
#[must_use]
pub fn opens_call(text: &str) -> bool {
    text.rsplit_once('.').is_some_and(|(_, name)| {
        SAME.contains(&name)
            || PLAIN.contains(&name)
            || matches!(name, "ofType" | "extension" | "as")
    })
}

/// Whether a word is a path relative to one of these resource types: `name.family`, `status`.
#[must_use]
pub fn is_relative(word: &str, resources: &[TypeId]) -> bool {
    let head = word.split(['.', '[', '(']).next().unwrap_or_default();
    let known =
        |id: &TypeId| r4().get(*id).member(head).is_some() || r4().get(*id).element(head).is_some();
    head.starts_with(|c: char| c.is_ascii_lowercase()) && resources.iter().any(known)
}

impl FhirPath {
    /// Compiles a path and checks its names. One that begins with no resource type is relative to one of
    /// `resources`; to any when there are none.
    ///
    /// # Errors
    /// When it is no path, or names what R4 does not have: where and why.
    pub fn parse(text: &str, at: Range<usize>, resources: &[TypeId]) -> Result<Self, Fault> {
        let mut check = Check { text, at: 0, start: at.start, steps: Some(Vec::new()) };
        let head = check.head();
        let types = match &head {
            Some(name) => Types::of(r4().resource(name).into_iter().collect()),
            None if resources.is_empty() => Types::default(),
            None => Types::of(resources.to_vec()),
        };
        check.path(types, head.is_some())?;
        let steps = check.steps;
        let path = Path::parse(text).map_err(|error| {
            let byte = text
                .char_indices()
                .nth(error.at.saturating_sub(1))
                .map_or(text.len(), |(at, _)| at);
            let from = (at.start + byte).min(at.end);
            Fault::new("E0325", from..at.end, error.fault.to_string())
                .hint("e.g. Patient.name.family, identifier.where(system = 'urn:x').value")
        })?;
        Ok(Self { path, head, steps })
    }

    /// What stands at the path. In a Bundle, a path that begins with another type reads its entries.
    pub fn read<'j>(&self, document: &'j Value) -> Vec<std::borrow::Cow<'j, Value>> {
        let found = self.roots(document).into_iter().flat_map(|root| self.path.eval(root));
        found
            .map(|node| match node.borrowed() {
                Some(value) => std::borrow::Cow::Borrowed(value),
                None => std::borrow::Cow::Owned(node.value().clone()),
            })
            .filter(|value| !value.is_null())
            .collect()
    }

    fn roots<'j>(&self, document: &'j Value) -> Vec<&'j Value> {
        let kind = |resource: &Value| {
            resource.get("resourceType").and_then(Value::as_str).map(str::to_owned)
        };
        match (&self.head, kind(document).as_deref()) {
            (Some(head), Some("Bundle")) if &**head != "Bundle" => {
                let entries = document.get("entry").and_then(Value::as_array);
                let resources = entries.into_iter().flatten().filter_map(|one| one.get("resource"));
                resources.filter(|one| kind(one).as_deref() == Some(head)).collect()
            }
            (Some(head), Some(kind)) if **head != *kind => Vec::new(),
            _ => vec![document],
        }
    }

    /// Whether it can be written to: names, numbers and one `where(x = 'y')` at a time.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        self.steps.is_some()
    }

    /// The path as written.
    #[must_use]
    pub fn text(&self) -> &str {
        self.path.text()
    }

    /// Writes a value where the path leads, making what is missing; takes away what is there when there is
    /// no value. A resource of another type is left alone.
    pub fn write(&self, document: &mut Value, value: Option<&Value>) {
        let Some(steps) = &self.steps else { return };
        let kind = document.get("resourceType").and_then(Value::as_str).unwrap_or_default();
        if self.head.as_deref().is_some_and(|head| head != kind) {
            return;
        }
        match value {
            Some(value) => {
                // A list goes where a list is; a single value is its first item.
                let steps = if value.is_array() { whole(steps) } else { steps };
                if let Some(place) = place(document, steps) {
                    *place = value.clone();
                }
            }
            None => {
                remove(document, whole(steps));
            }
        }
    }
}

impl PartialEq for FhirPath {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for FhirPath {}

impl fmt::Display for FhirPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Without the first item at the end: the whole list.
fn whole(steps: &[Step]) -> &[Step] {
    match steps.split_last() {
        Some((Step::First, before)) => before,
        _ => steps,
    }
}

/// The place a path leads to, made where it is missing.
fn place<'v>(document: &'v mut Value, steps: &[Step]) -> Option<&'v mut Value> {
    let mut at = document;
    for step in steps {
        at = match step {
            Step::Member(name) => {
                if at.is_null() {
                    *at = Value::Object(Map::new());
                }
                at.as_object_mut()?.entry(name.clone()).or_insert(Value::Null)
            }
            Step::First | Step::Item(_) => {
                let index = if let Step::Item(index) = step { *index } else { 0 };
                let list = list(at)?;
                // Only the next item can be made: JSON lists have no gaps.
                if index == list.len() {
                    list.push(Value::Null);
                }
                list.get_mut(index)?
            }
            Step::Having(name, text) => {
                let list = list(at)?;
                let found = list.iter().position(|item| has(item, name, text));
                if found.is_none() {
                    let mut made = Map::new();
                    made.insert(name.clone(), Value::from(text.as_str()));
                    list.push(Value::Object(made));
                }
                let last = list.len().checked_sub(1)?;
                list.get_mut(found.unwrap_or(last))?
            }
        };
    }
    Some(at)
}

fn list(at: &mut Value) -> Option<&mut Vec<Value>> {
    if at.is_null() {
        *at = Value::Array(Vec::new());
    }
    at.as_array_mut()
}

fn has(item: &Value, name: &str, text: &str) -> bool {
    item.get(name).and_then(Value::as_str) == Some(text)
}

/// Takes away what the path leads to, and what is left empty around it: FHIR has no empty objects and
/// lists (R4 json.html). Says whether nothing is left of `at`.
fn remove(at: &mut Value, steps: &[Step]) -> bool {
    let Some((first, rest)) = steps.split_first() else { return true };
    match first {
        Step::Member(name) => {
            let Value::Object(members) = at else { return false };
            if members.get_mut(name).is_some_and(|inner| remove(inner, rest)) {
                members.shift_remove(name);
                if rest.is_empty() {
                    members.shift_remove(&format!("_{name}"));
                }
            }
            members.is_empty()
        }
        Step::First | Step::Item(_) | Step::Having(..) => {
            let Value::Array(items) = at else { return false };
            let chosen = |(index, item): (usize, &Value)| match first {
                Step::Having(name, text) => has(item, name, text),
                Step::Item(wanted) => index == *wanted,
                Step::First => index == 0,
                Step::Member(_) => false,
            };
            let marked: Vec<bool> = items.iter().enumerate().map(chosen).collect();
            let mut marks = marked.into_iter();
            items.retain_mut(|item| !(marks.next().unwrap_or(false) && remove(item, rest)));
            items.is_empty()
        }
    }
}

/// The types that what was read so far may have; without any, nothing is checked.
#[derive(Debug, Clone, Default)]
struct Types(Option<Vec<TypeId>>);

impl Types {
    const fn of(types: Vec<TypeId>) -> Self {
        Self(Some(types))
    }
}

/// Walks a path over the definitions.
struct Check<'t> {
    text: &'t str,
    at: usize,
    /// Where the text begins in the scalar.
    start: usize,
    steps: Option<Vec<Step>>,
}

impl<'t> Check<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn eat(&mut self, sign: char) -> bool {
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len_utf8();
        }
        found
    }

    fn name(&mut self) -> &'t str {
        let rest = self.rest();
        let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$');
        let size = rest.find(|c| !letter(c)).unwrap_or(rest.len());
        self.at += size;
        rest.get(..size).unwrap_or_default()
    }

    /// The resource type at the beginning.
    fn head(&mut self) -> Option<Box<str>> {
        let before = self.at;
        let name = self.name();
        let known =
            name.starts_with(|c: char| c.is_ascii_uppercase()) && r4().resource(name).is_some();
        if known {
            return Some(name.into());
        }
        self.at = before;
        None
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Steps joined by dots; ends at the first sign that belongs to no step.
    fn path(&mut self, mut types: Types, mut begun: bool) -> Result<Types, Fault> {
        loop {
            if begun && !self.eat('.') {
                return Ok(types);
            }
            begun = true;
            let from = self.at;
            let name = self.name();
            if self.rest().starts_with('(') {
                types = self.call(name, from, types)?;
            } else if name != "$this" {
                types = self.member(name, from, types)?;
            }
            while self.rest().starts_with('[') {
                let inside = self.rest().get(1..).unwrap_or_default();
                let size = inside.find(']').unwrap_or(inside.len());
                let number = inside.get(..size).and_then(|text| text.parse().ok());
                self.at += (size + 2).min(self.rest().len());
                self.item(number);
            }
        }
    }

    /// `[n]` stands instead of the first item, which a bare name of a list means for writing.
    fn item(&mut self, number: Option<usize>) {
        let Some(steps) = &mut self.steps else { return };
        match (steps.last_mut(), number) {
            (Some(last @ Step::First), Some(number)) => *last = Step::Item(number),
            _ => self.steps = None,
        }
    }

    fn member(&mut self, name: &str, from: usize, types: Types) -> Result<Types, Fault> {
        let Some(known) = types.0 else {
            self.steps = None;
            return Ok(Types::default());
        };
        let mut next = Vec::new();
        let mut written = None;
        let mut any = false;
        let mut anything_goes = false;
        for id in &known {
            let one = r4().get(*id);
            anything_goes |= one.is_abstract && one.kind == Kind::Resource;
            if let Some(found) = one.member(name) {
                any = true;
                next.push(found.chosen.type_id);
                written = Some(found.element.is_list);
            } else if let Some(element) = one.element(name) {
                any = true;
                next.extend(element.types.iter().map(|one| one.type_id));
            }
        }
        if !any && !anything_goes {
            return Err(self.unknown(name, from, &known));
        }
        match (written, &mut self.steps) {
            (Some(is_list), Some(steps)) => {
                steps.push(Step::Member(name.to_owned()));
                if is_list {
                    steps.push(Step::First);
                }
            }
            _ => self.steps = None,
        }
        next.dedup();
        Ok(if any && !anything_goes { Types::of(next) } else { Types::default() })
    }

    fn unknown(&self, name: &str, from: usize, known: &[TypeId]) -> Fault {
        let at = self.start + from..self.start + from + name.len().max(1);
        let owners: Vec<&str> = known.iter().map(|id| r4().get(*id).name).collect();
        let said = match owners.as_slice() {
            [] => format!("nothing can follow here, so there is no {name}"),
            [one] if known.iter().all(|id| r4().get(*id).kind == Kind::Primitive) => {
                format!("a {one} has no elements, so there is no {name}")
            }
            some => format!("{} has no element {name}", some.join(" or ")),
        };
        let elements = || known.iter().flat_map(|id| r4().get(*id).elements.iter());
        let names: Vec<String> = elements().flat_map(names_of).collect();
        let fault = Fault::new("E0326", at, said);
        match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => fault.hint(format!("did you mean {near}?")).fix(near),
            None if names.is_empty() => fault.hint("end the path before it"),
            None => {
                let own: Vec<&str> = elements()
                    .map(|one| one.name)
                    .filter(|name| !INHERITED.contains(name))
                    .collect();
                fault.hint(format!("there are: {}", own.join(", ")))
            }
        }
    }

    fn call(&mut self, name: &str, from: usize, types: Types) -> Result<Types, Fault> {
        let open = self.at;
        let close = closing(self.text, open).ok_or_else(|| {
            let at = self.start + open..self.start + self.text.len();
            Fault::new("E0325", at, "this bracket is never closed").hint("add )")
        })?;
        let inside = self.text.get(open + 1..close).unwrap_or_default();
        self.at = close + 1;
        match name {
            "where" => {
                let mut inner = Check {
                    text: self.text.get(..close).unwrap_or_default(),
                    at: open + 1,
                    start: self.start,
                    steps: None,
                };
                inner.criteria(&types)?;
                self.having(inside);
                return Ok(types);
            }
            "resolve" => {
                let at = self.start + from..self.start + close + 1;
                return Err(Fault::new("E0325", at, "a channel does not follow references")
                    .hint("read the typed view (patient.mrn), or send what belongs together as one Bundle"));
            }
            _ => self.steps = None,
        }
        match name {
            "ofType" | "as" => {
                let wanted = r4().find(inside.trim());
                let at = self.start + open + 1..self.start + close;
                let Some(wanted) = wanted else {
                    return Err(Fault::new(
                        "E0326",
                        at,
                        format!("there is no type {inside} in FHIR R4"),
                    ));
                };
                let possible = types.0.as_ref().is_none_or(|known| known.contains(&wanted));
                if !possible {
                    let said = format!("what stands here is never of the type {inside}");
                    return Err(Fault::new("E0326", at, said));
                }
                Ok(Types::of(vec![wanted]))
            }
            "extension" => Ok(Types(r4().find("Extension").map(|id| vec![id]))),
            name if SAME.contains(&name) => Ok(types),
            name if PLAIN.contains(&name) => Ok(Types::of(Vec::new())),
            // `fhir::path` says whether there is such a function.
            _ => Ok(Types::default()),
        }
    }

    /// `where(x = 'y')` can be written to: it stands instead of the first item.
    fn having(&mut self, inside: &str) {
        let Some(steps) = &mut self.steps else { return };
        let said = inside.split_once('=').map(|(name, text)| (name.trim(), text.trim()));
        let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric());
        let quoted = |text: &str| {
            let inside = text.strip_prefix('\'')?.strip_suffix('\'')?;
            (!inside.contains(['\'', '\\'])).then(|| inside.to_owned())
        };
        match (steps.last_mut(), said.and_then(|(name, text)| Some((name, quoted(text)?)))) {
            (Some(last @ Step::First), Some((name, text))) if plain(name) => {
                *last = Step::Having(name.to_owned(), text);
            }
            _ => self.steps = None,
        }
    }

    /// The names on the left sides of `where(…)`: `system = 'x' and use = 'y'`.
    fn criteria(&mut self, types: &Types) -> Result<(), Fault> {
        loop {
            self.blanks();
            if !self.rest().starts_with(|c: char| c.is_ascii_lowercase() || c == '$') {
                return Ok(());
            }
            self.path(types.clone(), false)?;
            // The other side: a literal, up to the next `and` or `or` outside quotes.
            let Some(next) = next_test(self.rest()) else { return Ok(()) };
            self.at += next;
        }
    }
}

/// Elements that every resource or element has.
const INHERITED: [&str; 8] = [
    "id",
    "meta",
    "implicitRules",
    "language",
    "text",
    "contained",
    "extension",
    "modifierExtension",
];

/// An element's names: a choice also has those with its types.
fn names_of(element: &Element) -> Vec<String> {
    let mut names = vec![element.name.to_owned()];
    if element.is_choice {
        let typed = element.types.iter().map(|one| r4().get(one.type_id).name);
        names.extend(typed.map(|kind| choice_member(element.name, kind)));
    }
    names
}

/// Where the bracket that opens at `open` closes; quotes are stepped over.
#[must_use]
pub fn closing(text: &str, open: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut quoted = false;
    for (at, sign) in text.char_indices().skip_while(|(at, _)| *at < open) {
        match sign {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn next_test(text: &str) -> Option<usize> {
    let mut quoted = false;
    for (at, sign) in text.char_indices() {
        if sign == '\'' {
            quoted = !quoted;
        }
        if quoted {
            continue;
        }
        for word in [" and ", " or "] {
            if text.get(at..).is_some_and(|rest| rest.starts_with(word)) {
                return Some(at + word.len());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
