//! Medway, an HL7/FHIR integration engine.
//!
//! The way of a message, which is also the reading order:
//!
//! ```text
//! sender ─bytes→ source ─→ intake ─→ channel (accept, route) ─→ store ─commit─→ ack
//! receiver ←bytes─ destination ←─ delivery (lanes) ←─ channel (render) ←─ store
//! ```
//!
//! A module imports only modules further down this list (`tests/tidy.rs` holds that): `cli`, `admin`,
//! `access`, `engine`, `config`, `delivery`, `source`, `destination`, `resources`, `store`, `channel`, `mapping`,
//! `yaml`, `fhir`, `hl7`, `telemetry`, `tls`, `clock`, `network`, `message`.

pub mod access;
pub mod admin;
pub mod channel;
pub mod cli;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod destination;
pub mod engine;
pub mod fhir;
pub mod hl7;
pub mod mapping;
pub mod message;
pub mod network;
pub mod resources;
pub mod source;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod yaml;
