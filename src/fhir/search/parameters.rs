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
}

/// Parameters that hold for resources of all types.
const ALL: &str = "Resource";

static TABLE: LazyLock<HashMap<&'static str, Vec<Parameter>>> = LazyLock::new(read);

fn read() -> HashMap<&'static str, Vec<Parameter>> {
    let mut table: HashMap<&'static str, Vec<Parameter>> = HashMap::new();
    let lines = include_str!("parameters.tsv").lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let mut columns = line.split('\t');
        let mut next = || columns.next().unwrap_or_default();
        let (definition, code, kind) = (next(), next(), next());
        let (bases, targets, expression) = (next(), next(), next());
        // Sounding alike is another comparison than starting alike.
        let Some(kind) = ParameterType::of(kind).filter(|_| code != "phonetic") else { continue };
        for base in bases.split(' ') {
            let Some(expression) = Expression::compile(expression, base) else { continue };
            let targets = targets.split(' ').filter(|target| !target.is_empty()).collect();
            let parameter = Parameter { code, definition, kind, targets, expression };
            table.entry(base).or_default().push(parameter);
        }
    }
    table
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
