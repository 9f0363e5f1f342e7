//! What FHIR R4 says about its types: elements, cardinality, choice types, bindings, invariants.
//!
//! Generated tables (`scripts/fhir/build.py`), read once, at the first use. A part of a type that has
//! elements of its own (`Patient.contact`) is a type like any other, so one rule walks everything.

mod read;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::OnceLock;

/// A type of the tables; only they hand it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(u16);

/// A value set of the tables; only they hand it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ValueSetId(u16);

/// What sort of type it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `string`, `date`: a JSON value, perhaps with an `_` sibling.
    Primitive,
    /// `HumanName`: a data type with elements.
    Complex,
    /// `Patient.contact`: elements defined in place.
    Part,
    /// `Patient`.
    Resource,
}

/// A type with all its elements, the inherited ones first.
#[derive(Debug)]
pub struct Type {
    /// `Patient`, `HumanName`, `string`, `Patient.contact`.
    pub name: &'static str,
    /// Its sort.
    pub kind: Kind,
    /// What it specialises.
    pub base: Option<TypeId>,
    /// Whether nothing is of this very type (`Resource`, `Element`).
    pub is_abstract: bool,
    /// Its elements.
    pub elements: Vec<Element>,
    members: Vec<(Box<str>, Member)>,
}

/// One element of a type.
#[derive(Debug, Clone)]
pub struct Element {
    /// Its name without `[x]`.
    pub name: &'static str,
    /// Whether the JSON member's name carries the type (`valueQuantity`).
    pub is_choice: bool,
    /// Fewest values.
    pub min: u32,
    /// Most values; `None` is any number, and then JSON has an array.
    pub max: Option<u32>,
    /// Whether JSON has an array: repeating elements always do (json.html#repeat).
    pub is_list: bool,
    /// What a value may be.
    pub types: Vec<ElementType>,
    /// Part of a summary (search.html#summary).
    pub in_summary: bool,
    /// May change the meaning of what contains it (conformance-rules.html#isModifier).
    pub is_modifier: bool,
    /// The value set of a required binding.
    pub binding: Option<ValueSetId>,
}

/// One of the types an element may have.
#[derive(Debug, Clone)]
pub struct ElementType {
    /// The type.
    pub type_id: TypeId,
    /// For `Reference` and `canonical`: the resource types it may lead to; none: any.
    pub targets: Vec<&'static str>,
    /// A `Quantity` that may have no comparator (datatypes.html#SimpleQuantity).
    pub is_simple: bool,
}

/// What a JSON member's name stands for in a type.
#[derive(Debug, Clone, Copy)]
struct Member {
    element: u16,
    choice: u8,
}

/// A member found: its element, and which of the element's types it has.
#[derive(Debug, Clone, Copy)]
pub struct Found<'d> {
    /// The element.
    pub element: &'d Element,
    /// The type.
    pub chosen: &'d ElementType,
}

/// The codes of one value set.
#[derive(Debug)]
pub struct ValueSet {
    /// Its canonical URL.
    pub url: &'static str,
    /// Code systems with their codes, sorted; `None` where HL7 lists no codes.
    systems: Option<Vec<(&'static str, Vec<&'static str>)>>,
}

/// An invariant of a type or of an element.
#[derive(Debug)]
pub struct Constraint {
    /// `Patient.contact`, or a type's name.
    pub path: &'static str,
    /// `pat-1`.
    pub key: &'static str,
    /// Whether breaking it is an error; else it is a warning.
    pub is_error: bool,
    /// FHIRPath.
    pub expression: &'static str,
    /// The rule in words.
    pub human: &'static str,
}

/// All the tables.
#[derive(Debug)]
pub struct Definitions {
    types: Vec<Type>,
    by_name: HashMap<&'static str, TypeId>,
    value_sets: Vec<ValueSet>,
    constraints: Vec<Constraint>,
}

/// The tables of FHIR R4 (4.0.1).
#[must_use]
pub fn r4() -> &'static Definitions {
    static R4: OnceLock<Definitions> = OnceLock::new();
    R4.get_or_init(|| {
        read::read(
            include_str!("types.tsv"),
            include_str!("codes.tsv"),
            include_str!("constraints.tsv"),
        )
    })
}

impl Definitions {
    /// The type with this name, abstract ones and parts included.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }

    /// The resource type with this name, if resources of it can exist.
    #[must_use]
    pub fn resource(&self, name: &str) -> Option<TypeId> {
        self.find(name).filter(|id| {
            let one = self.get(*id);
            one.kind == Kind::Resource && !one.is_abstract
        })
    }

    /// The names of all resource types that can exist, sorted.
    pub fn resource_names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.types
            .iter()
            .filter(|one| one.kind == Kind::Resource && !one.is_abstract)
            .map(|one| one.name)
    }

    /// A type.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "only the table hands out ids, and it never shrinks"
    )]
    pub fn get(&self, id: TypeId) -> &Type {
        &self.types[usize::from(id.0)]
    }

    /// The codes of a value set.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "only the table hands out ids, and it never shrinks"
    )]
    pub fn value_set(&self, id: ValueSetId) -> &ValueSet {
        &self.value_sets[usize::from(id.0)]
    }

    /// All invariants.
    #[must_use]
    pub fn constraints(&self) -> &[Constraint] {
        &self.constraints
    }

    /// Whether `id` is `ancestor` or specialises it.
    #[must_use]
    pub fn is_a(&self, id: TypeId, ancestor: TypeId) -> bool {
        let mut at = Some(id);
        while let Some(one) = at {
            if one == ancestor {
                return true;
            }
            at = self.get(one).base;
        }
        false
    }
}

impl Type {
    /// What a JSON member of this name stands for: `birthDate`, `valueQuantity`.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Found<'_>> {
        let at = self.members.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        let (_, member) = self.members.get(at)?;
        let element = self.elements.get(usize::from(member.element))?;
        Some(Found { element, chosen: element.types.get(usize::from(member.choice))? })
    }

    /// The element of this name; a choice by its name without `[x]`.
    #[must_use]
    pub fn element(&self, name: &str) -> Option<&Element> {
        match self.member(name) {
            Some(found) if !found.element.is_choice => Some(found.element),
            _ => self.elements.iter().find(|one| one.is_choice && one.name == name),
        }
    }
}

impl ValueSet {
    /// Whether HL7 lists its codes; else nothing can be said about a code.
    #[must_use]
    pub const fn is_listed(&self) -> bool {
        self.systems.is_some()
    }

    /// Whether this code is in the set, of whatever system; true where the codes are not listed.
    #[must_use]
    pub fn has_code(&self, code: &str) -> bool {
        self.systems.as_ref().is_none_or(|systems| {
            systems.iter().any(|(_, codes)| codes.binary_search(&code).is_ok())
        })
    }

    /// Whether this code of this system is in the set; true where the codes are not listed.
    #[must_use]
    pub fn has_coding(&self, system: &str, code: &str) -> bool {
        self.systems.as_ref().is_none_or(|systems| {
            systems
                .iter()
                .any(|(known, codes)| *known == system && codes.binary_search(&code).is_ok())
        })
    }
}

/// The JSON member of a choice: `value` with `Quantity` is `valueQuantity`.
#[must_use]
pub fn choice_member(name: &str, type_name: &str) -> String {
    let mut chars = type_name.chars();
    let mut member = name.to_owned();
    if let Some(first) = chars.next() {
        member.push(first.to_ascii_uppercase());
        member.push_str(chars.as_str());
    }
    member
}
