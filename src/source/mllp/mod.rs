//! HL7 v2 over MLLP: frames in, acknowledgements out, never a positive one before the commit.

pub mod options;
