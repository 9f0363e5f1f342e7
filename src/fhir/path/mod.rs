//! FHIRPath over JSON: the part of it that search parameters, invariants and filters use
//! (<http://hl7.org/fhirpath/N1>, FHIR R4 fhirpath.html).
//!
//! A path is compiled once and evaluated over a borrowed resource; what is found borrows from it. Work is
//! bounded: whatever the path and the resource, an evaluation ends after a million nodes. There is no
//! clock (`now()`, `today()`), no terminology and no arithmetic but `+`, `-` and `&`.
//!
//! Types come from the definitions of R4, so `Observation.value.ofType(Quantity)` finds `valueQuantity`.
//! Beyond the standard, a member's JSON name works too (`Observation.valueQuantity`), and so do elements
//! that R4 does not know.

mod call;
mod compare;
mod eval;
mod function;
mod html;
mod lex;
mod node;
mod parse;
#[cfg(test)]
mod tests;

use std::cell::Cell;

use serde_json::Value;
use thiserror::Error;

pub use eval::EvalError;
pub use node::Node;

/// A compiled FHIRPath expression.
#[derive(Debug, Clone)]
pub struct Path {
    text: Box<str>,
    root: parse::Expr,
}

/// Why a text is no path of the supported kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("at character {at}: {fault}")]
pub struct PathError {
    /// Where, counted from 1.
    pub at: usize,
    /// What is wrong.
    pub fault: PathFault,
}

/// What is wrong with a path. The texts quote the path, which is configuration and no message content.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathFault {
    /// A character that starts nothing.
    #[error("`{0}` starts nothing a path can have")]
    Character(char),
    /// A string, name or comment without its end.
    #[error("the end of this is missing")]
    Open,
    /// Something else was expected.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What could stand here.
        expected: &'static str,
        /// What stands here.
        found: Box<str>,
    },
    /// A function that FHIRPath or this engine does not have.
    #[error("there is no function `{0}` here")]
    Function(Box<str>),
    /// A function with too few or too many arguments.
    #[error("`{0}` does not take this many arguments")]
    Arguments(Box<str>),
    /// A `%name` that is not known.
    #[error("there is no `%{0}` here")]
    Variable(Box<str>),
    /// An operator that is not supported.
    #[error("`{0}` is not supported")]
    Operator(Box<str>),
    /// A type that R4 does not have.
    #[error("`{0}` is no type of FHIR R4")]
    Type(Box<str>),
    /// A regular expression that cannot be compiled.
    #[error("this is no regular expression")]
    Regex,
    /// Nested too deep, or too long.
    #[error("the path is nested too deep or too long")]
    TooDeep,
}

/// What `%resource` and `%rootResource` mean, for paths that start inside a resource.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The resource around the start; of a contained one, that one.
    pub resource: &'a Value,
    /// The resource that contains it, or the same.
    pub root: &'a Value,
}

/// Whether two values are the same, numbers by value (`1.50` is `1.5`) and members in any order.
#[must_use]
pub fn is_same(left: &Value, right: &Value) -> bool {
    compare::same(left, right)
}

impl Path {
    /// Compiles a path.
    ///
    /// # Errors
    /// Where and why the text is no path of the supported kind.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        Ok(Self { text: text.into(), root: parse::parse(text)? })
    }

    /// The path as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the path finds in a resource; nothing where the path does not fit the resource (several values
    /// where one is needed) or needs too much work. See `try_eval`.
    #[must_use]
    pub fn eval<'a>(&self, resource: &'a Value) -> Vec<Node<'a>> {
        self.try_eval(resource).unwrap_or_default()
    }

    /// What the path finds in a resource.
    ///
    /// # Errors
    /// When the path does not fit the resource.
    pub fn try_eval<'a>(&self, resource: &'a Value) -> Result<Vec<Node<'a>>, EvalError> {
        let around = Surroundings { resource, root: resource };
        eval::eval(&self.root, Node::root(resource), around)
    }

    /// What the path finds in a resource. Takes what it costs from `work`, so that many paths together have one
    /// limit.
    ///
    /// # Errors
    /// When the path does not fit the resource, or when `work` is not enough.
    pub fn find_within<'a>(
        &self,
        resource: &'a Value,
        work: &Cell<usize>,
    ) -> Result<Vec<Node<'a>>, EvalError> {
        let around = Surroundings { resource, root: resource };
        eval::eval_within(&self.root, Node::root(resource), around, work)
    }

    /// What the path finds from an element inside a resource.
    ///
    /// # Errors
    /// When the path does not fit.
    pub fn try_eval_at<'a>(
        &self,
        start: Node<'a>,
        around: Surroundings<'a>,
    ) -> Result<Vec<Node<'a>>, EvalError> {
        eval::eval(&self.root, start, around)
    }

    /// Whether the path, as a condition, holds for an element; `None` where it has no answer. Takes what it
    /// costs from `work`, so that many conditions together have one limit.
    ///
    /// # Errors
    /// When the path does not fit, or when `work` is not enough.
    pub fn holds_within<'a>(
        &self,
        start: Node<'a>,
        around: Surroundings<'a>,
        work: &Cell<usize>,
    ) -> Result<Option<bool>, EvalError> {
        eval::truth(&eval::eval_within(&self.root, start, around, work)?)
    }

    /// Whether the path, as a condition, holds for a resource: it finds one `true`, or one value that is no
    /// boolean (FHIRPath's singleton evaluation); nothing is no.
    #[must_use]
    pub fn holds(&self, resource: &Value) -> bool {
        self.try_eval(resource).and_then(|found| eval::truth(&found)).ok().flatten() == Some(true)
    }
}
