//! Steps that change a message: what `change:` lists. Each sees what the ones before it did.
//!
//! Untouched bytes stay as they were; a value that the message's charset cannot hold fails the delivery.

pub mod date;
pub mod json;
pub mod parse;
pub mod run;

use std::collections::HashMap;

use crate::channel::expr::eval::Unmapped;
use crate::channel::expr::{Condition, Lookup, Value};
use crate::channel::step::date::Pattern;
use crate::channel::step::json::JsonAction;
use crate::hl7::path::Path;

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// It is done only when this holds.
    pub when: Option<Condition>,
    /// What it does.
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Writes values, all read before the first is written. An empty value empties the place.
    Set(Vec<(Path, Value)>),
    /// Writes a value with everything below it. What is empty is not copied.
    Copy {
        /// From where.
        from: Value,
        /// To where.
        to: Path,
    },
    /// Takes segments away, or empties fields.
    Remove(Vec<Path>),
    /// Translates codes by a list in the channel.
    Map {
        /// Where the code stands.
        at: Path,
        /// The translations.
        codes: HashMap<Box<str>, Box<str>>,
        /// What stands for a code that is not listed.
        otherwise: Option<Unmapped>,
    },
    /// Translates a code by a table.
    Lookup {
        /// What is looked up where.
        lookup: Box<Lookup>,
        /// Where the answer goes.
        to: Path,
    },
    /// Cuts a text and writes the parts.
    Split {
        /// The text.
        from: Value,
        /// The separator.
        at: Box<str>,
        /// Where the parts go; what is left over goes to the last.
        to: Vec<Path>,
    },
    /// Joins texts that are not empty.
    Join {
        /// The texts.
        from: Vec<Value>,
        /// What stands between them.
        with: Box<str>,
        /// Where the result goes.
        to: Path,
    },
    /// Rewrites dates. What is no date of the form stays as it is.
    Date {
        /// Where they stand.
        at: Vec<Path>,
        /// How they are written; nothing: HL7 or ISO.
        from: Option<Pattern>,
        /// How they are to be written.
        to: Pattern,
    },
    /// Takes blanks away at both ends.
    Trim(Vec<Path>),
    /// Writes in capitals or in small letters.
    Case(Case, Vec<Path>),
    /// Writes values where nothing stands.
    Default(Vec<(Path, Value)>),
    /// Does steps for each segment of a name; its paths mean this segment.
    Each {
        /// The segment's name.
        segment: [u8; 3],
        /// The steps.
        steps: Vec<Step>,
    },
    /// Changes a JSON document or a FHIR resource.
    Json(JsonAction),
    /// Does one list of steps or another.
    If {
        /// Which.
        condition: Condition,
        /// When it holds.
        then: Vec<Step>,
        /// When it does not.
        otherwise: Vec<Step>,
    },
}

/// Capitals or small letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// Capitals.
    Upper,
    /// Small letters.
    Lower,
}
