//! Composes the options each module owns; loads files; makes the schema and the reference.

pub mod engine;
pub mod from;
mod read;
pub mod reference;
pub mod schema;
pub mod secrets;
pub mod shapes;
pub mod to;
