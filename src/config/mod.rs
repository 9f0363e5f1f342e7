//! Composes the options each module owns; loads files; makes the schema and the reference.
//!
//! Reading order: `load` (a directory into [`load::Loaded`]), `engine` and `channel_file` (one file each),
//! `from` and `to` (sections into options), `cross` (what must fit between files), `shapes` (which keys
//! there are), from which `schema` and `reference` are made.

pub mod access;
pub mod channel_file;
mod cross;
pub mod engine;
mod fhir;
pub mod from;
pub mod load;
mod outbound;
mod read;
pub mod reference;
pub mod schema;
pub mod secrets;
pub mod shapes;
pub mod subscriptions;
pub mod to;
mod to_fhir;
mod topics;

#[cfg(test)]
mod tests;
