//! Reads the generated tables. Their form is this project's own, so a row that does not fit is left out;
//! the tests count what must be there.

use std::collections::HashMap;

use super::{
    Constraint, Definitions, Element, ElementType, Kind, Member, Type, TypeId, ValueSet,
    ValueSetId, choice_member,
};

/// A type as its rows say it, before names are resolved.
struct Draft {
    name: &'static str,
    kind: Kind,
    base: &'static str,
    is_abstract: bool,
    rows: Vec<[&'static str; 5]>,
}

pub(super) fn read(
    types: &'static str,
    codes: &'static str,
    constraints: &'static str,
) -> Definitions {
    let value_sets: Vec<ValueSet> = rows(codes).map(value_set).collect();
    let sets = value_sets
        .iter()
        .enumerate()
        .filter_map(|(at, set)| Some((set.url, ValueSetId(u16::try_from(at).ok()?))))
        .collect();
    let drafts = drafts(types);
    let by_name: HashMap<&'static str, TypeId> = drafts
        .iter()
        .enumerate()
        .filter_map(|(at, draft)| Some((draft.name, TypeId(u16::try_from(at).ok()?))))
        .collect();
    let own: Vec<Vec<Element>> =
        drafts.iter().map(|draft| elements(draft, &by_name, &sets)).collect();
    let types = drafts.iter().map(|draft| finish(draft, &drafts, &own, &by_name)).collect();
    Definitions {
        types,
        by_name,
        value_sets,
        constraints: rows(constraints).filter_map(constraint).collect(),
    }
}

fn rows(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn cells<const N: usize>(row: &'static str) -> Option<[&'static str; N]> {
    let mut cells = row.split('\t');
    let mut found = [""; N];
    for cell in &mut found {
        *cell = cells.next()?;
    }
    Some(found)
}

fn drafts(text: &'static str) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::with_capacity(800);
    for row in rows(text) {
        let Some(found) = cells::<5>(row) else { continue };
        let [first, name, kind, base, mark] = found;
        if first != "*" {
            if let Some(open) = drafts.last_mut() {
                open.rows.push(found);
            }
            continue;
        }
        let kind = match kind {
            "primitive-type" => Kind::Primitive,
            "complex-type" => Kind::Complex,
            "resource" => Kind::Resource,
            _ => Kind::Part,
        };
        drafts.push(Draft { name, kind, base, is_abstract: mark == "abstract", rows: Vec::new() });
    }
    drafts
}

fn elements(
    draft: &Draft,
    types: &HashMap<&'static str, TypeId>,
    sets: &HashMap<&'static str, ValueSetId>,
) -> Vec<Element> {
    draft
        .rows
        .iter()
        .filter_map(|[name, cardinality, kinds, flags, set]| {
            let (min, max) = cardinality.split_once("..")?;
            let max = if max == "*" { None } else { Some(max.parse().ok()?) };
            Some(Element {
                name: name.trim_end_matches("[x]"),
                is_choice: name.ends_with("[x]"),
                min: min.parse().ok()?,
                max,
                is_list: max != Some(1),
                types: kinds.split('|').filter_map(|kind| element_type(kind, types)).collect(),
                in_summary: flags.contains('s'),
                is_modifier: flags.contains('m'),
                binding: sets.get(set).copied(),
            })
        })
        .collect()
}

/// `string`, `Reference(Patient,Group)`, `Quantity(SimpleQuantity)`, `@Patient.contact`.
fn element_type(text: &'static str, types: &HashMap<&'static str, TypeId>) -> Option<ElementType> {
    let (name, arguments) =
        text.trim_start_matches('@').split_once('(').unwrap_or((text.trim_start_matches('@'), ""));
    let arguments: Vec<&'static str> =
        arguments.trim_end_matches(')').split(',').filter(|one| !one.is_empty()).collect();
    let is_simple = arguments.first() == Some(&"SimpleQuantity");
    Some(ElementType {
        type_id: types.get(name).copied()?,
        targets: if is_simple { Vec::new() } else { arguments },
        is_simple,
    })
}

/// A type with the elements of its ancestors before its own.
fn finish(
    draft: &Draft,
    drafts: &[Draft],
    own: &[Vec<Element>],
    by_name: &HashMap<&'static str, TypeId>,
) -> Type {
    let mut line = Vec::new();
    let mut at = by_name.get(draft.name).copied();
    while let Some(id) = at {
        line.push(usize::from(id.0));
        at = drafts.get(usize::from(id.0)).and_then(|one| by_name.get(one.base).copied());
    }
    let elements: Vec<Element> =
        line.iter().rev().filter_map(|at| own.get(*at)).flatten().cloned().collect();
    let mut members: Vec<(Box<str>, Member)> = Vec::with_capacity(elements.len());
    for (at, element) in elements.iter().enumerate() {
        for (choice, one) in element.types.iter().enumerate() {
            let (Ok(number), Ok(choice)) = (u16::try_from(at), u8::try_from(choice)) else {
                continue;
            };
            let name = if element.is_choice {
                let name = drafts.get(usize::from(one.type_id.0)).map_or("", |draft| draft.name);
                choice_member(element.name, name)
            } else {
                element.name.to_owned()
            };
            members.push((name.into(), Member { element: number, choice }));
        }
    }
    members.sort_by(|a, b| a.0.cmp(&b.0));
    members.dedup_by(|b, a| a.0 == b.0);
    Type {
        name: draft.name,
        kind: draft.kind,
        base: by_name.get(draft.base).copied(),
        is_abstract: draft.is_abstract,
        elements,
        members,
    }
}

fn value_set(row: &'static str) -> ValueSet {
    let mut cells = row.split('\t');
    let url = cells.next().unwrap_or_default();
    let systems: Vec<(&'static str, Vec<&'static str>)> = cells
        .filter_map(|cell| {
            let (system, codes) = cell.split_once(' ')?;
            let mut codes: Vec<&'static str> = codes.split(' ').collect();
            codes.sort_unstable();
            Some((system, codes))
        })
        .collect();
    ValueSet { url, systems: (!systems.is_empty()).then_some(systems) }
}

fn constraint(row: &'static str) -> Option<Constraint> {
    let [path, key, severity, expression, human] = cells::<5>(row)?;
    Some(Constraint { path, key, is_error: severity == "error", expression, human })
}
