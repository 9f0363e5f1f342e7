//! The walk over a resource, member by member.

use std::cell::Cell;
use std::collections::HashMap;

use serde_json::{Map, Value};

use super::primitive::{self, Wrong};
use super::scope::{self, Scope};
use super::{Limits, rules};
use crate::fhir::definitions::{
    self, Definitions, Element, ElementType, Found, Kind, Type, TypeId,
};
use crate::fhir::json::read::is_name;
use crate::fhir::json::resource_type;
use crate::fhir::outcome::Issue;
use crate::fhir::path::{EvalError, Node};
use crate::fhir::reference;

pub(super) fn walk(resource: &Value, limits: Limits) -> Vec<Issue> {
    let mut walk = Walk {
        r4: definitions::r4(),
        limits,
        work: Cell::new(limits.work_max),
        issues: Vec::new(),
        steps: Vec::new(),
        scope: Scope::new(resource),
        entries: scope::entries(resource),
    };
    walk.resource(resource);
    if walk.issues.len() > limits.issues_max {
        walk.issues.truncate(limits.issues_max);
        walk.issues.push(Issue::warning(
            "too-costly",
            "more-issues",
            "there are more issues than are listed here",
        ));
    }
    if walk.work.get() == 0 {
        walk.issues.push(Issue::warning(
            "too-costly",
            "not-all-checked",
            "the resource is too large for all invariants to be checked",
        ));
    }
    walk.issues
}

/// One step of the way to what is looked at.
#[derive(Clone, Copy)]
enum Step<'a> {
    Member(&'a str),
    Index(usize),
    Choice(&'static str),
}

struct Walk<'a> {
    r4: &'static Definitions,
    limits: Limits,
    /// What is left for the invariants.
    work: Cell<usize>,
    issues: Vec<Issue>,
    steps: Vec<Step<'a>>,
    scope: Scope<'a>,
    /// Types by `fullUrl`, of a bundle.
    entries: HashMap<&'a str, &'a str>,
}

impl<'a> Walk<'a> {
    /// Whether it is worth going on.
    const fn is_full(&self) -> bool {
        self.issues.len() > self.limits.issues_max
    }

    fn say(&mut self, issue: Issue) {
        if !self.is_full() {
            let place = self.place();
            self.issues.push(issue.at(place));
        }
    }

    fn say_at(&mut self, step: Step<'a>, issue: Issue) {
        self.steps.push(step);
        self.say(issue);
        self.steps.pop();
    }

    fn place(&self) -> String {
        let mut place = String::new();
        for step in &self.steps {
            match step {
                Step::Index(at) => place.push_str(&format!("[{at}]")),
                Step::Choice(kind) => place.push_str(&format!(".ofType({kind})")),
                Step::Member(name) => {
                    if !place.is_empty() {
                        place.push('.');
                    }
                    // A name of any other form could be content that came to the wrong place.
                    place.push_str(if is_name(name) { name } else { "?" });
                }
            }
        }
        place
    }

    /// A whole resource: the outermost, a contained one, or one of a bundle.
    fn resource(&mut self, value: &'a Value) {
        let Some(members) = value.as_object() else {
            return self.say(Issue::error(
                "structure",
                "wrong-json-type",
                "a resource is an object",
            ));
        };
        let Some(name) = resource_type(value) else {
            return self.say(Issue::error("structure", "no-type", "`resourceType` is missing"));
        };
        let Some(kind) = self.r4.resource(name) else {
            return self.say(Issue::error(
                "structure",
                "unknown-type",
                "`resourceType` is no resource type of FHIR R4",
            ));
        };
        let is_outermost = self.steps.is_empty();
        if is_outermost {
            self.steps.push(Step::Member(self.r4.get(kind).name));
        }
        for at in scope::unused(value) {
            self.steps.push(Step::Member("contained"));
            let text = "a contained resource must be referred to, or refer to what contains it";
            self.say_at(Step::Index(at), Issue::error("invariant", "dom-3", text));
            self.steps.pop();
        }
        self.object(kind, members, value);
        if is_outermost {
            self.steps.pop();
        }
    }

    /// An object of a type: its members, what is missing, its invariants.
    fn object(&mut self, id: TypeId, members: &'a Map<String, Value>, value: &'a Value) {
        let kind = self.r4.get(id);
        let is_resource = kind.kind == Kind::Resource;
        if members.is_empty() {
            return self.say(Issue::error("structure", "empty", "an object has no members"));
        }
        let mut seen: HashMap<&'static str, (&'a str, usize)> =
            HashMap::with_capacity(members.len());
        for (key, value) in members {
            if self.is_full() {
                return;
            }
            if is_resource && key == "resourceType" {
                continue;
            }
            self.member(kind, members, key, value, &mut seen);
        }
        for element in kind.elements.iter().filter(|element| element.min > 0) {
            let found = seen.get(element.name).map_or(0, |(_, count)| *count);
            self.enough(element, found);
        }
        let start = Node::element(value, Some(id));
        let mut at = Some(id);
        while let Some(one) = at {
            let one = self.r4.get(one);
            self.invariants(one.name, &start);
            at = one.base;
        }
        match kind.name {
            "Reference" => self.local_reference(value),
            _ if members.keys().all(|key| key == "id" || key == "_id") && !is_resource => {
                self.say(Issue::error("invariant", "ele-1", "an element has a value or members"));
            }
            _ => {}
        }
    }

    fn enough(&mut self, element: &Element, found: usize) {
        if u32::try_from(found).is_ok_and(|found| found < element.min) {
            let text = format!("at least {} of this is required, {found} found", element.min);
            self.say_at(Step::Member(element.name), Issue::error("required", "missing", text));
        }
    }

    fn member(
        &mut self,
        kind: &'static Type,
        members: &'a Map<String, Value>,
        key: &'a str,
        value: &'a Value,
        seen: &mut HashMap<&'static str, (&'a str, usize)>,
    ) {
        let plain = key.strip_prefix('_').unwrap_or(key);
        let found = kind.member(plain).filter(|found| {
            plain.len() == key.len() || self.r4.get(found.chosen.type_id).kind == Kind::Primitive
        });
        let Some(found) = found else {
            let issue =
                Issue::error("structure", "unknown-element", "FHIR R4 has no such element here");
            return self.say_at(Step::Member(key), issue);
        };
        let element = found.element;
        if let Some((other, _)) = seen.get(element.name) {
            if *other != plain {
                let text = "an element with a choice of types has one value only";
                self.say_at(Step::Member(element.name), Issue::error("structure", "choice", text));
            }
            // The `_` sibling of what was looked at together with it.
            return;
        }
        self.steps.push(Step::Member(element.name));
        if element.is_choice {
            self.steps.push(Step::Choice(self.r4.get(found.chosen.type_id).name));
        }
        let (value, extra) = if plain.len() == key.len() {
            (Some(value), self.sibling(members, plain, found.chosen))
        } else {
            (members.get(plain), Some(value))
        };
        let count = self.values(kind, found, value, extra);
        seen.insert(element.name, (plain, count));
        if element.max.is_some_and(|max| usize::try_from(max).is_ok_and(|max| count > max)) {
            self.say(Issue::error("structure", "too-many", "there are more of this than allowed"));
        }
        if element.is_choice {
            self.steps.pop();
        }
        self.steps.pop();
    }

    fn sibling(
        &self,
        members: &'a Map<String, Value>,
        name: &str,
        chosen: &ElementType,
    ) -> Option<&'a Value> {
        if self.r4.get(chosen.type_id).kind != Kind::Primitive {
            return None;
        }
        members.iter().find(|(key, _)| key.strip_prefix('_') == Some(name)).map(|(_, value)| value)
    }

    /// The values of one element; how many there are.
    fn values(
        &mut self,
        owner: &'static Type,
        found: Found<'static>,
        value: Option<&'a Value>,
        extra: Option<&'a Value>,
    ) -> usize {
        if !found.element.is_list {
            if value.is_some_and(Value::is_array) || extra.is_some_and(Value::is_array) {
                let text = "this does not repeat, so it is no array";
                self.say(Issue::error("structure", "wrong-json-type", text));
                return 1;
            }
            if value.is_some_and(Value::is_null) {
                self.say(Issue::error("structure", "null", "null stands for nothing here"));
            } else {
                self.value(owner, found, value, extra);
            }
            return 1;
        }
        let (Some(values), Some(extras)) = (list(value), list(extra)) else {
            let text = "this repeats, so it is an array even of one";
            self.say(Issue::error("structure", "wrong-json-type", text));
            return 1;
        };
        let count = values.len().max(extras.len());
        if count == 0 || value.is_some() && values.is_empty() {
            self.say(Issue::error("structure", "empty", "an array has no items"));
        }
        if value.is_some() && extras.len() > values.len() {
            let text = "the array with extensions is longer than the one with values";
            self.say(Issue::error("structure", "wrong-length", text));
        }
        for at in 0..count {
            if self.is_full() {
                break;
            }
            self.steps.push(Step::Index(at));
            // In lists of primitives null says that the other list has the item (json.html#primitive).
            let value = values.get(at).filter(|value| !value.is_null());
            let extra = extras.get(at).filter(|extra| !extra.is_null());
            self.value(owner, found, value, extra);
            self.steps.pop();
        }
        count
    }

    fn value(
        &mut self,
        owner: &'static Type,
        found: Found<'static>,
        value: Option<&'a Value>,
        extra: Option<&'a Value>,
    ) {
        let id = found.chosen.type_id;
        let kind = self.r4.get(id);
        if kind.kind == Kind::Primitive {
            self.primitive(kind, found, value, extra);
        } else if kind.kind == Kind::Resource {
            if let Some(value) = value {
                self.inner(found.element.name == "contained", value);
            } else {
                self.say(Issue::error("structure", "null", "null stands for nothing here"));
            }
        } else {
            let Some(members) = value.and_then(Value::as_object) else {
                return self.say(Issue::error("structure", "wrong-json-type", "this is an object"));
            };
            let Some(value) = value else { return };
            self.object(id, members, value);
            self.coded(kind.name, found.element, value);
            self.targets(kind.name, found.chosen, value);
        }
        let value = value.or(extra);
        // Invariants of an element that is no type of its own: `Organization.telecom`.
        if let Some(value) = value
            && kind.kind != Kind::Part
        {
            let path = format!("{}.{}", owner.name, found.element.name);
            if !rules::of(&path).is_empty() {
                self.invariants(&path, &Node::element(value, Some(id)));
            }
        }
    }

    /// A resource inside another: contained, or with a life of its own (in a bundle).
    fn inner(&mut self, is_contained: bool, value: &'a Value) {
        let mut scope = Scope::new(value);
        if is_contained {
            scope = self.scope.clone();
            scope.around.resource = value;
        }
        let outer = std::mem::replace(&mut self.scope, scope);
        self.resource(value);
        self.scope = outer;
    }

    fn primitive(
        &mut self,
        kind: &'static Type,
        found: Found<'static>,
        value: Option<&'a Value>,
        extra: Option<&'a Value>,
    ) {
        let name = kind.name;
        if let Some(extra) = extra {
            match (extra, self.r4.find("Element")) {
                (Value::Object(members), Some(element)) => self.object(element, members, extra),
                _ => self.say(Issue::error(
                    "structure",
                    "wrong-json-type",
                    "the sibling with `_` is an object with `id` and `extension`",
                )),
            }
        }
        let Some(value) = value else {
            if extra.and_then(|extra| extra.get("extension")).is_none() {
                self.say(Issue::error("structure", "null", "null stands for nothing here"));
            }
            return;
        };
        if let Err(wrong) = primitive::check(name, value) {
            return self.say(match wrong {
                Wrong::JsonType(wanted) => Issue::error(
                    "structure",
                    "wrong-json-type",
                    format!("a {name} is {wanted} in JSON"),
                ),
                Wrong::Empty => Issue::error("value", "empty", "a string is empty"),
                Wrong::Form => Issue::error(
                    "value",
                    "format",
                    format!("the value has not the form of a {name}"),
                ),
            });
        }
        if let (Some(set), Some(code)) = (found.element.binding, value.as_str()) {
            let set = self.r4.value_set(set);
            if !set.has_code(code) {
                self.say(code_issue(set.url));
            }
        }
    }

    /// Required bindings of `Coding`, `CodeableConcept` and `Quantity`.
    fn coded(&mut self, kind: &str, element: &Element, value: &Value) {
        let Some(set) = element.binding.map(|set| self.r4.value_set(set)) else { return };
        let fits = |coding: &Value| {
            let part = |name| coding.get(name).and_then(Value::as_str);
            match (part("system"), part("code")) {
                (Some(system), Some(code)) => set.has_coding(system, code),
                _ => !set.is_listed(),
            }
        };
        let fits = match kind {
            "CodeableConcept" => value
                .get("coding")
                .and_then(Value::as_array)
                .is_some_and(|codings| codings.iter().any(fits)),
            "Coding" => fits(value),
            _ => return,
        };
        if !fits && set.is_listed() {
            self.say(code_issue(set.url));
        }
    }

    /// What a reference may lead to, as far as its text says so.
    fn targets(&mut self, kind: &str, chosen: &ElementType, value: &'a Value) {
        if chosen.is_simple && value.get("comparator").is_some() {
            let issue = Issue::error("invariant", "sqty-1", "a comparator is not allowed here");
            return self.say_at(Step::Member("comparator"), issue);
        }
        if kind != "Reference" {
            return;
        }
        let text = |name| value.get(name).and_then(Value::as_str);
        let declared = text("type");
        let led = text("reference").and_then(|target| match target.strip_prefix('#') {
            Some(id) => self.scope.contained(id).flatten(),
            None => self.entries.get(target).copied().or_else(|| reference::target_type(target)),
        });
        let Some(target) = led.or(declared) else { return };
        if !chosen.targets.is_empty() && !chosen.targets.contains(&target) {
            let text = format!("this may refer to {} only", chosen.targets.join(", "));
            self.say(Issue::error("value", "reference-target", text));
        } else if declared.is_some_and(|declared| declared != target) {
            let text = "`type` is not the type of what is referred to";
            self.say(Issue::error("value", "reference-type", text));
        }
    }

    /// `#id` must be a contained resource (ref-1).
    fn local_reference(&mut self, value: &Value) {
        let id =
            value.get("reference").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
        if id.is_some_and(|id| self.scope.contained(id).is_none()) {
            let text = "there is no contained resource with this id";
            self.say_at(Step::Member("reference"), Issue::error("invariant", "ref-1", text));
        }
    }

    fn invariants(&mut self, path: &str, start: &Node<'a>) {
        for rule in rules::of(path) {
            if self.is_full() || self.work.get() == 0 {
                return;
            }
            match rule.path.holds_within(start.clone(), self.scope.around, &self.work) {
                Ok(Some(false)) => self.say(Issue {
                    severity: if rule.is_error { "error" } else { "warning" },
                    ..Issue::error("invariant", rule.key, rule.human)
                }),
                Err(EvalError::TooMuchWork) => self.work.set(0),
                // What does not fit the rule has the wrong type or number, which was said already.
                Ok(_) | Err(_) => {}
            }
        }
    }
}

fn code_issue(set: &str) -> Issue {
    Issue::error("code-invalid", "code", format!("the code is not in {set}, which is required"))
}

fn list(value: Option<&Value>) -> Option<&[Value]> {
    match value {
        None => Some(&[]),
        Some(Value::Array(items)) => Some(items),
        Some(_) => None,
    }
}
