//! HL7 v2 as bytes: pure functions over what was received. No I/O.
//!
//! Invariants: bytes that nobody edited leave as they came; a segment is never dropped silently; no
//! input panics, hangs or costs more than time linear in its size; no error text quotes the message.
//!
//! Reading order: `raw` (a message and its segments), `path` and `value` (reading), `edit` (writing),
//! `header` and `ack` (answering), `mllp` and `batch` (what messages travel in).

pub mod ack;
pub mod batch;
pub mod charset;
pub mod dictionary;
pub mod edit;
pub mod escape;
pub mod header;
pub mod kind;
mod locate;
pub mod mllp;
pub mod path;
pub mod raw;
mod scan;
mod segment;
pub mod separators;
pub mod strict;
pub mod time;
pub mod tree;
pub mod value;
pub mod view;
