//! HL7 v2 and FHIR in each other: maps as data, compiled once, applied to one message at a time. Pure.

pub mod to_fhir;
pub mod to_v2;
