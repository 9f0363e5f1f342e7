//! What a path finds: a value, its type, and the `_` sibling of a primitive.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::fhir::definitions::{self, Kind, Type, TypeId};

static NULL: Value = Value::Null;

/// One thing that a path found.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    value: Cow<'a, Value>,
    /// `id` and `extension` of a primitive.
    extra: Option<&'a Value>,
    kind: Option<TypeId>,
    /// Known by a reference to it only: it has a type and nothing else.
    is_remote: bool,
}

impl<'a> Node<'a> {
    /// A whole resource.
    #[must_use]
    pub fn root(resource: &'a Value) -> Self {
        Self {
            value: Cow::Borrowed(resource),
            extra: None,
            kind: concrete(resource, None),
            is_remote: false,
        }
    }

    /// An element of this type inside a resource.
    #[must_use]
    pub fn element(value: &'a Value, kind: Option<TypeId>) -> Self {
        Self::new(value, None, kind)
    }

    pub(super) fn new(value: &'a Value, extra: Option<&'a Value>, kind: Option<TypeId>) -> Self {
        Self { value: Cow::Borrowed(value), extra, kind: concrete(value, kind), is_remote: false }
    }

    pub(super) fn made(value: Value) -> Self {
        Self { value: Cow::Owned(value), extra: None, kind: None, is_remote: false }
    }

    pub(super) fn typed(value: Value, kind: &str) -> Self {
        let kind = definitions::r4().find(kind);
        Self { value: Cow::Owned(value), extra: None, kind, is_remote: false }
    }

    pub(super) fn remote(kind: TypeId) -> Self {
        Self { value: Cow::Borrowed(&NULL), extra: None, kind: Some(kind), is_remote: true }
    }

    /// The value; null where a primitive has extensions only, or where the node is a resource elsewhere.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The value as part of the resource; `None` where the path computed it.
    #[must_use]
    pub fn borrowed(&self) -> Option<&'a Value> {
        match self.value {
            Cow::Borrowed(value) => Some(value),
            Cow::Owned(_) => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.value.as_str()
    }

    /// Its type in R4: `HumanName`, `dateTime`, `Patient.contact`; `None` for what R4 does not know.
    #[must_use]
    pub fn type_name(&self) -> Option<&'static str> {
        self.kind.map(|kind| definitions::r4().get(kind).name)
    }

    /// Its type in R4.
    #[must_use]
    pub const fn type_id(&self) -> Option<TypeId> {
        self.kind
    }

    /// Whether it is known only by a reference to it (`resolve()`): its type is all there is.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// A primitive's `id` and `extension`, if it has any.
    #[must_use]
    pub const fn extra(&self) -> Option<&'a Value> {
        self.extra
    }

    /// Whether it is a primitive with a value.
    pub(super) fn has_value(&self) -> bool {
        !matches!(*self.value, Value::Null | Value::Object(_) | Value::Array(_))
    }

    /// Its members, or those of the `_` sibling.
    pub(super) fn members(&self) -> Option<&'a Map<String, Value>> {
        match self.value {
            Cow::Borrowed(Value::Object(members)) => Some(members),
            Cow::Borrowed(_) => self.extra.and_then(Value::as_object),
            Cow::Owned(_) => None,
        }
    }

    fn definition(&self) -> Option<&'static Type> {
        self.kind.map(|kind| definitions::r4().get(kind))
    }

    /// Adds the values of one member. `extra_name` is the name with `_` before it.
    pub(super) fn push_member(&self, name: &str, extra_name: &str, found: &mut Vec<Self>) {
        let Some(members) = self.members() else {
            if let Cow::Owned(Value::Object(made)) = &self.value
                && let Some(value) = made.get(name)
            {
                found.push(Self::made(value.clone()));
            }
            return;
        };
        let definition = self.definition();
        let known = definition.and_then(|one| one.member(name));
        let value = members.get(name);
        let extra = members.get(extra_name);
        if value.is_some() || extra.is_some() {
            push_values(value, extra, known.map(|known| known.chosen.type_id), found);
            return;
        }
        let choice = definition.filter(|_| known.is_none()).and_then(|one| {
            one.element(name).filter(|element| element.is_choice).map(|element| (one, element))
        });
        let Some((definition, element)) = choice else { return };
        for (key, value) in members {
            let plain = key.strip_prefix('_').unwrap_or(key);
            if !plain.starts_with(name) {
                continue;
            }
            let Some(member) = definition.member(plain).filter(|m| m.element.name == element.name)
            else {
                continue;
            };
            let kind = Some(member.chosen.type_id);
            if plain.len() == key.len() {
                push_values(Some(value), sibling(members, plain), kind, found);
            } else if !members.contains_key(plain) {
                push_values(None, Some(value), kind, found);
            }
        }
    }

    /// Adds all its parts (`children()`).
    pub(super) fn push_children(&self, found: &mut Vec<Self>) {
        let Some(members) = self.members() else { return };
        let definition = self.definition();
        for (key, value) in members {
            let plain = key.strip_prefix('_').unwrap_or(key);
            if plain == "resourceType" && self.value.is_object() {
                continue;
            }
            let kind =
                definition.and_then(|one| one.member(plain)).map(|member| member.chosen.type_id);
            if plain.len() == key.len() {
                push_values(Some(value), sibling(members, plain), kind, found);
            } else if !members.contains_key(plain) {
                push_values(None, Some(value), kind, found);
            }
        }
    }

    /// Whether it is of this type, or of one that specialises it; `Boolean` and `boolean` are one.
    pub(super) fn is_a(&self, wanted: TypeId) -> bool {
        let r4 = definitions::r4();
        match self.kind {
            Some(kind) => r4.is_a(kind, wanted),
            None => {
                let name = r4.get(wanted).name;
                match &*self.value {
                    Value::Bool(_) => name == "boolean",
                    Value::String(_) => name == "string",
                    Value::Number(number) => {
                        name == "decimal" || name == "integer" && number.is_i64()
                    }
                    _ => false,
                }
            }
        }
    }
}

fn sibling<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.iter().find(|(key, _)| key.strip_prefix('_') == Some(name)).map(|(_, value)| value)
}

/// The type of a value: a resource says its own.
fn concrete(value: &Value, declared: Option<TypeId>) -> Option<TypeId> {
    let r4 = definitions::r4();
    if declared.is_some_and(|kind| r4.get(kind).kind != Kind::Resource) {
        return declared;
    }
    crate::fhir::json::resource_type(value).and_then(|name| r4.resource(name)).or(declared)
}

fn push_values<'a>(
    value: Option<&'a Value>,
    extra: Option<&'a Value>,
    kind: Option<TypeId>,
    found: &mut Vec<Node<'a>>,
) {
    let items = match (value, extra) {
        (Some(Value::Array(items)), _) => items.len(),
        (_, Some(Value::Array(extras))) => extras.len(),
        _ => {
            let value = value.unwrap_or(&NULL);
            let extra = extra.filter(|extra| extra.is_object());
            if !value.is_null() || extra.is_some() {
                found.push(Node::new(value, extra, kind));
            }
            return;
        }
    };
    for at in 0..items {
        let value = value.and_then(|value| value.get(at)).unwrap_or(&NULL);
        let extra = extra.and_then(|extra| extra.get(at)).filter(|extra| extra.is_object());
        if !value.is_null() || extra.is_some() {
            found.push(Node::new(value, extra, kind));
        }
    }
}
