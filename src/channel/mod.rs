//! What happens to one message. Pure: no I/O, no clock, no randomness, no async.
//!
//! The same raw bytes, channel version and tables always give the same output bytes: `now` is the time
//! of acceptance, and a new control id is derived from message and destination.
