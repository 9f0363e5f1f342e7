//! HL7 v2 over MLLP: writes a message, waits for its acknowledgement, tells the outcome.

pub mod options;

pub use options::MllpDestinationOptions;
