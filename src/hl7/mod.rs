//! HL7 v2 as bytes: pure functions over what was received. No I/O.

pub mod dictionary;
