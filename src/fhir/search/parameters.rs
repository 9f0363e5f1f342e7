//! The search parameters of R4, from HL7's definitions (`parameters.tsv`), by type.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::expression::Expression;

/// The types of search parameters that are supported (FHIR R4 search.html#ptypes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParameterType {
    /// Codes, identifiers, booleans.
    Token,
    /// References.
    Reference,
    /// Dates, times and periods.
    Date,
    /// Names and other text.
    String,
    /// Quantities.
    Quantity,
    /// Numbers.
    Number,
    /// URIs.
    Uri,
    /// Several of these of one element.
    Composite,
}

impl ParameterType {
    /// The word of the specification.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Reference => "reference",
            Self::Date => "date",
            Self::String => "string",
            Self::Quantity => "quantity",
            Self::Number => "number",
            Self::Uri => "uri",
            Self::Composite => "composite",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [
            Self::Token,
            Self::Reference,
            Self::Date,
            Self::String,
            Self::Quantity,
            Self::Number,
            Self::Uri,
            Self::Composite,
        ]
        .into_iter()
        .find(|one| one.name() == name)
    }
}

/// A search parameter of one type.
#[derive(Debug)]
pub struct Parameter {
    /// Its code, as it is written in a search.
    pub code: &'static str,
    /// The id of its definition: `http://hl7.org/fhir/SearchParameter/` and this.
    pub definition: &'static str,
    /// Its type.
    pub kind: ParameterType,
    /// The resource types it may refer to; empty when it is no reference.
    pub targets: Vec<&'static str>,
    pub(super) expression: Expression,
    /// The parts of a composite.
    pub(super) components: Vec<Component>,
}

/// A part of a composite: a parameter whose values are looked for in one element.
#[derive(Debug)]
pub(super) struct Component {
    /// What it is; its expression begins at the element.
    pub(super) parameter: Parameter,
    /// Its expression begins at the resource instead (`%resource`).
    pub(super) of_resource: bool,
}

/// Parameters that hold for resources of all types.
const ALL: &str = "Resource";

static TABLE: LazyLock<HashMap<&'static str, Vec<Parameter>>> = LazyLock::new(read);

fn read() -> HashMap<&'static str, Vec<Parameter>> {
    let mut table: HashMap<&'static str, Vec<Parameter>> = HashMap::new();
    let lines = include_str!("parameters.tsv").lines().filter(|line| !line.starts_with('#'));
    let lines: Vec<Vec<&str>> = lines.map(|line| line.split('\t').collect()).collect();
    let known: HashMap<&str, &[&'static str]> =
        lines.iter().filter_map(|columns| Some((*columns.first()?, columns.as_slice()))).collect();
    for columns in &lines {
        let mut columns = columns.iter().copied();
        let mut next = || columns.next().unwrap_or_default();
        let (definition, code, kind) = (next(), next(), next());
        let (bases, targets, expression, parts) = (next(), next(), next(), next());
        // Sounding alike is another comparison than starting alike.
        let Some(kind) = ParameterType::of(kind).filter(|_| code != "phonetic") else { continue };
        for base in bases.split(' ') {
            let Some(expression) = Expression::compile(expression, base) else { continue };
            let targets = targets.split(' ').filter(|target| !target.is_empty()).collect();
            let components = match kind {
                ParameterType::Composite => components(parts, &known),
                _ => Some(Vec::new()),
            };
            let Some(components) = components else { continue };
            let parameter = Parameter { code, definition, kind, targets, expression, components };
            table.entry(base).or_default().push(parameter);
        }
    }
    table
}

/// The parts of a composite, `definition=expression;…`; `None` when one of them is not known here.
fn components(
    text: &'static str,
    known: &HashMap<&str, &[&'static str]>,
) -> Option<Vec<Component>> {
    let component = |part: &'static str| {
        let (definition, expression) = part.split_once('=')?;
        let [_, code, kind, _, targets, ..] = known.get(definition)? else { return None };
        let (expression, of_resource) = match expression.strip_prefix("%resource.") {
            Some(expression) => (expression, true),
            None => (expression, false),
        };
        let parameter = Parameter {
            code,
            definition,
            kind: ParameterType::of(kind)?,
            targets: targets.split(' ').filter(|target| !target.is_empty()).collect(),
            expression: Expression::compile(expression, "Element")?,
            components: Vec::new(),
        };
        Some(Component { parameter, of_resource })
    };
    text.split(';').map(component).collect()
}

/// The parameters of a type's own; empty for a type that is not known.
#[must_use]
pub fn own(kind: &str) -> &'static [Parameter] {
    TABLE.get(kind).map(Vec::as_slice).unwrap_or_default()
}

/// The parameters that every type has: `_id`, `_lastUpdated`, `_profile`, `_security`, `_source`, `_tag`.
#[must_use]
pub fn common() -> &'static [Parameter] {
    own(ALL)
}

/// A parameter of a type; of those that every type has when `kind` is empty.
#[must_use]
pub fn find(kind: &str, code: &str) -> Option<&'static Parameter> {
    own(kind).iter().chain(common()).find(|parameter| parameter.code == code)
}
