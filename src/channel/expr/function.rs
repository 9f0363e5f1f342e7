//! The functions of the language: their names, their arguments, how they are written.

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// Without blanks at both ends.
    Trim,
    /// In capitals.
    Upper,
    /// In small letters.
    Lower,
    /// An HL7 date as an ISO date, at the precision sent.
    Date,
    /// An HL7 time as an ISO date and time, at the precision sent.
    DateTime,
    /// All arguments joined.
    Concat,
    /// The first argument that is not empty.
    First,
    /// A part of a text, from a position (1 is the first character), perhaps of a length.
    Substring,
    /// Every occurrence of a text replaced by another.
    Replace,
    /// Filled up on the left to a width.
    Pad,
    /// The n-th part of a text cut at a separator; all parts without n.
    Split,
    /// The members of a list joined with a separator.
    Join,
    /// A number, where the target knows numbers.
    Number,
    /// The undecoded text, as it stands in the message.
    Raw,
    /// The argument as plain text: where a bare word would be read as a path.
    Text,
    /// CX fields as FHIR Identifier.
    Identifiers,
    /// XPN fields as FHIR `HumanName`.
    HumanName,
    /// XAD fields as FHIR Address.
    Address,
    /// XTN fields as FHIR `ContactPoint`.
    Telecom,
    /// A CE, CNE or CWE field as FHIR `CodeableConcept`.
    Codeable,
}

impl Function {
    /// Whether what it gives has a structure of its own, for JSON.
    #[must_use]
    pub const fn makes_structure(self) -> bool {
        matches!(
            self,
            Self::Identifiers | Self::HumanName | Self::Address | Self::Telecom | Self::Codeable
        )
    }
}

/// How a function is called.
#[derive(Debug)]
pub struct Signature {
    /// Its name.
    pub name: &'static str,
    /// Which function.
    pub function: Function,
    /// Fewest arguments.
    pub least: usize,
    /// Most arguments.
    pub most: usize,
    /// How it is written.
    pub example: &'static str,
    /// What it gives, in one line, for the reference.
    pub meaning: &'static str,
    /// Whether its argument is a whole field of HL7.
    pub wants_field: bool,
}

const fn plain(
    name: &'static str,
    function: Function,
    (least, most): (usize, usize),
    example: &'static str,
    meaning: &'static str,
) -> Signature {
    Signature { name, function, least, most, example, meaning, wants_field: false }
}

const fn field(
    name: &'static str,
    function: Function,
    example: &'static str,
    meaning: &'static str,
) -> Signature {
    Signature { name, function, least: 1, most: 1, example, meaning, wants_field: true }
}

/// Most arguments of a function that takes any number.
const MANY: usize = 32;

/// Every function but `lookup`, which reads a table.
pub const FUNCTIONS: &[Signature] = &[
    plain("trim", Function::Trim, (1, 1), "trim(PID-8)", "without blanks at both ends"),
    plain("upper", Function::Upper, (1, 1), "upper(PID-5.1)", "in capitals"),
    plain("lower", Function::Lower, (1, 1), "lower(PID-5.1)", "in small letters"),
    plain("date", Function::Date, (1, 1), "date(PID-7)", "ISO date, at the precision sent"),
    plain(
        "datetime",
        Function::DateTime,
        (1, 1),
        "datetime(OBX-14)",
        "ISO date and time, at the precision sent, with the message's zone",
    ),
    plain("concat", Function::Concat, (1, MANY), "concat(PV1-3.1, -, PV1-3.3)", "joined"),
    plain(
        "first",
        Function::First,
        (1, MANY),
        "first(PID-3(MR).1, PID-3.1)",
        "the first not empty",
    ),
    plain("substring", Function::Substring, (2, 3), "substring(PID-7, 1, 4)", "from, length"),
    plain("replace", Function::Replace, (3, 3), "replace(OBR-3.1, '-', '')", "text for text"),
    plain("pad", Function::Pad, (2, 3), "pad(PID-3.1, 10, 0)", "filled on the left to a width"),
    plain("split", Function::Split, (2, 3), "split(PV1-3.1, '/', 2)", "the n-th part"),
    plain(
        "join",
        Function::Join,
        (2, 2),
        "join(PID-13[*].1, ', ')",
        "the members of a list, joined",
    ),
    plain(
        "number",
        Function::Number,
        (1, 1),
        "number(OBX-5)",
        "a JSON number; empty when it is none",
    ),
    plain("raw", Function::Raw, (1, 1), "raw(PID-5)", "as it stands in the message, undecoded"),
    plain("text", Function::Text, (1, 1), "text('ICU-1')", "plain text"),
    field("identifiers", Function::Identifiers, "identifiers(PID-3)", "FHIR Identifier, a list"),
    field("human_name", Function::HumanName, "human_name(PID-5)", "FHIR HumanName, a list"),
    field("address", Function::Address, "address(PID-11)", "FHIR Address, a list"),
    field("telecom", Function::Telecom, "telecom(PID-13)", "FHIR ContactPoint, a list"),
    field("codeable", Function::Codeable, "codeable(OBX-3)", "FHIR CodeableConcept"),
];

/// How `lookup` is written.
pub const LOOKUP_EXAMPLE: &str = "lookup(PID-8, tables/sex.csv)";

/// The function with this name.
#[must_use]
pub fn signature(name: &str) -> Option<&'static Signature> {
    FUNCTIONS.iter().find(|signature| signature.name == name)
}

/// The names of all functions, `lookup` included.
pub fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|signature| signature.name).chain(["lookup"])
}
