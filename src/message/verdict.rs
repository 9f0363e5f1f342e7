//! What a channel says of a message: taken, refused or not meant for it; and what is sent where.

use std::sync::Arc;
use std::time::Duration;

use crate::message::Key;
use crate::message::kind::{ContentType, Kind};
use crate::message::outcome::Outbound;
use crate::message::plan::{Joins, Lane};

/// Where and why content is refused: everything an ERR segment or an `OperationOutcome` needs.
/// Texts never quote the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// HL7 table 0357 code: 100 segment sequence, 101 required field missing, 102 data type, 103 table
    /// value, 200 message type, 201 event, 202 processing id, 203 version, 207 internal.
    pub code: u16,
    /// `SEG`, sequence, field, repetition, component: as ERR-2 wants it; empty when it has no place.
    pub location: Option<Location>,
    /// One sentence for the sender.
    pub text: String,
    /// Whether the header itself is not acceptable (AR/CR) rather than the content (AE/CE).
    pub reject: bool,
}

/// A place in a message (ERL, HL7 v2.5.1 §2.A.28).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Segment id.
    pub segment: String,
    /// Which of the segments with this id, from 1.
    pub sequence: u32,
    /// Field, from 1.
    pub field: Option<u32>,
    /// Repetition, from 1.
    pub repetition: Option<u32>,
    /// Component, from 1.
    pub component: Option<u32>,
}

/// What a channel says of a message that reached its source or its topic.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It is taken.
    Take(Taken),
    /// It is taken by nobody: the sender is told why.
    Refuse(Problem),
    /// Not of a type this channel listens for (topics only; a source's own channel refuses instead).
    Pass,
}

/// A message that is taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// What it is about.
    pub kind: Kind,
    /// How it is to be read.
    pub content_type: ContentType,
    /// Type and event, e.g. `ADT^A01`.
    pub event: String,
    /// MSH-10 raw.
    pub control_id: String,
    /// Values to search by.
    pub keys: Vec<Key>,
    /// One entry per destination of the channel, in its order.
    pub routes: Vec<Route>,
    /// How to recognise a repeat.
    pub duplicate: Option<DuplicateRule>,
}

/// What one destination of the channel does with the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Send it, in this lane.
    Deliver {
        /// Its lane.
        lane: Lane,
        /// The other lanes of a merge.
        joins: Joins,
    },
    /// `when` said no.
    Filtered,
}

/// How a repeated message is recognised and treated (P7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateRule {
    /// Hash of channel, sender and control id.
    pub identity: u64,
    /// Hash of the whole content.
    pub content: u64,
    /// How far back a message with the same identity counts as the same.
    pub within: Duration,
    /// What to do when the identity is known and the content differs.
    pub if_changed: IfChanged,
}

/// What to do with a known id that carries other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfChanged {
    /// Store it; turn every `Deliver` of its plan into `Hold`.
    Hold,
    /// Do not store it; the sender is told.
    Refuse,
    /// Store it like any other.
    Accept,
}

/// What became of a rendering.
#[derive(Debug, Clone)]
pub enum Rendered {
    /// Send this.
    Send(Outbound),
    /// Hold the delivery: something a person must decide (an unmapped code).
    Hold(RenderProblem),
    /// It cannot be rendered as it is and never will (same bytes, same version).
    Fail(RenderProblem),
}

/// Why a message could not be rendered. `text` names paths, tables and rules; `detail` may quote the
/// value in question: stored as evidence, never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct RenderProblem {
    /// Stable word: `unmapped_code`, `encode`, `type`, `missing`, ….
    pub cause: &'static str,
    /// One sentence without content.
    pub text: String,
    /// With content.
    pub detail: String,
}

impl std::fmt::Debug for RenderProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RenderProblem({}: {})", self.cause, self.text)
    }
}

/// What the pure middle may know of the outside.
#[derive(Debug, Clone)]
pub struct Context {
    /// Public id of the message.
    pub id: crate::message::id::MessageId,
    /// When it was received: the only `now` there is.
    pub received_at: crate::message::time::Timestamp,
    /// Name of the channel whose source received it.
    pub channel: Arc<str>,
}
