//! YAML text with places: nodes that know where they stand, findings that point there, and shapes
//! that say which keys a mapping may have.
//!
//! Scalars keep their text as written (`00123` stays `00123`). One front end serves `check`, `serve`,
//! the JSON Schema and the reference docs: *what passes `check` starts*.

pub mod codes;
pub mod decode;
pub mod finding;
pub mod nearest;
pub mod node;
pub mod parse;
pub mod report;
pub mod shape;
mod syntax;
