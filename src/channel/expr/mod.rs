//! Expressions: small, typed, total. No loops, no I/O, nothing that can fail while a message is handled.
//!
//! A *value* reads something (`PID-5.1`, `patient.mrn`, `lookup(PID-8, tables/sex.csv)`); a *condition*
//! says yes or no (`MSH-9.2 is A01 or A04`). What is absent is *empty*, never an error. Both are checked
//! when the channel is compiled: what is wrong is a finding at its place in the file.
//!
//! ```text
//! condition = and { "or" and }            and  = not { "and" not }
//! not       = "not" not | "(" condition ")" | quantified | test
//! quantified= ("any" | "every" | "no") SEGMENT [ "has" condition ]
//! test      = value operator
//! operator  = "is" ["not"] ( "empty" | "null" | word { "or" word } ) | ["not"] "in" TABLE
//!           | ("contains" | "starts with" | "ends with") word { "or" word }
//!           | "matches" /regex/ | ("<" | "<=" | ">" | ">=") value
//! value     = PATH | VIEW | "kind" | "event" | "now" | FUNCTION "(" value { "," value } ")" | word
//! ```

pub mod eval;
pub mod fhir;
pub mod function;
pub mod lex;
pub mod operand;
pub mod parse;
pub mod template;

use std::sync::Arc;

use regex::Regex;

use crate::channel::expr::function::Function;
use crate::channel::expr::lex::Comparison;
use crate::channel::reference::Reference;
use crate::channel::table::Table;

/// Something that has a value for each message.
#[derive(Debug, Clone)]
pub enum Value {
    /// Text as written.
    Text(Arc<str>),
    /// What stands at a place of the message.
    At(Reference),
    /// `kind`: `patient`, `report`, ….
    Kind,
    /// `event`: `ADT^A01`.
    Event,
    /// `now`: when the message was received.
    Now,
    /// `channel`: the name of the channel whose source received it.
    Channel,
    /// A function of other values.
    Call(Function, Vec<Self>),
    /// The translation of a value by a table.
    Lookup(Box<Lookup>),
    /// Text with values in it.
    Template(Vec<Self>),
}

/// The translation of a value by a table.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// What is looked up.
    pub key: Value,
    /// Where.
    pub table: Arc<Table>,
    /// Which column is the answer.
    pub column: usize,
    /// As written, for explanations.
    pub written: Arc<str>,
}

/// Yes or no for each message.
#[derive(Debug, Clone)]
pub enum Condition {
    /// All of them hold.
    All(Vec<Self>),
    /// One of them holds.
    Any(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// It holds for any, every or no segment of a name.
    Segments {
        /// Any, every or no.
        quantifier: Quantifier,
        /// The segment's name.
        segment: [u8; 3],
        /// What must hold; nothing: that there is one.
        body: Option<Box<Self>>,
    },
    /// A test of one value.
    Test(Value, Test),
}

/// How many segments must satisfy a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantifier {
    /// At least one.
    Any,
    /// All there are; true when there is none.
    Every,
    /// None.
    No,
}

/// A test of one value. Where several values are listed, one of them suffices; where the tested value
/// is a list (`PID-3[*]`), one of its members suffices.
#[derive(Debug, Clone)]
pub enum Test {
    /// The same text as one of these.
    Is(Vec<Value>),
    /// Absent or empty.
    Empty,
    /// The HL7 null, `""`.
    Null,
    /// Compared by size: as numbers, as dates, else as text.
    Compare(Comparison, Value),
    /// Holds one of these.
    Contains(Vec<Value>),
    /// Starts with one of these.
    StartsWith(Vec<Value>),
    /// Ends with one of these.
    EndsWith(Vec<Value>),
    /// Matched by a regular expression, anywhere unless anchored.
    Matches(Regex),
    /// A key of this table.
    In(Arc<Table>),
}

impl Value {
    /// Every value this one is made of, itself included.
    pub fn walk<'v>(&'v self, visit: &mut dyn FnMut(&'v Self)) {
        visit(self);
        match self {
            Self::Call(_, parts) | Self::Template(parts) => {
                for part in parts {
                    part.walk(visit);
                }
            }
            Self::Lookup(lookup) => lookup.key.walk(visit),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
