//! One delivery in memory.

use std::sync::Arc;

use crate::delivery::lanes::Standing;
use crate::message::StoredMessage;
use crate::message::id::{Seq, VersionId};
use crate::message::outcome::Outcome;
use crate::message::time::Timestamp;
use crate::message::verdict::RenderProblem;
use crate::store::ExceptionState;
use std::time::Duration;

/// The moment, twice: as people read it, and as waits are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock: what is recorded.
    pub wall: Timestamp,
    /// Never steps: what waits are measured by.
    pub steady: Timestamp,
}

/// What a delivery in memory is doing.
///
/// ```text
/// idle ─first in its lanes─▶ loading (its bytes) ─▶ ready ─claim─▶ flying ─▶ gone, or idle again
///   ▲                                                                  │
///   └──────────────────────── waiting (for a moment) ◀─────────────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Idle,
    Waiting(Timestamp),
    Loading,
    Ready,
    Flying,
}

/// Its exception row, as the store has it or is about to.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) state: ExceptionState,
    pub(super) cause: Box<str>,
}

/// A delivery that is neither delivered nor dead nor cancelled.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) standing: Standing,
    pub(super) stage: Stage,
    /// Set when it left the straight path.
    pub(super) row: Option<Box<Row>>,
    pub(super) body: Option<Arc<StoredMessage>>,
    pub(super) attempts: u32,
    /// Attempts that no longer count since a person released it.
    pub(super) forgiven: u32,
    /// When it first failed: on the wall, and steady.
    pub(super) since: Option<Now>,
    pub(super) panics: u8,
    /// How many answers the receiver had given when this one last failed to get through.
    pub(super) stalled_at: Option<u64>,
    /// An attempt row `started` stands in the store.
    pub(super) started: bool,
}

impl Item {
    pub(super) const fn new(standing: Standing) -> Self {
        Self {
            standing,
            stage: Stage::Idle,
            row: None,
            body: None,
            attempts: 0,
            forgiven: 0,
            since: None,
            panics: 0,
            stalled_at: None,
            started: false,
        }
    }

    pub(super) fn state(&self) -> Option<ExceptionState> {
        self.row.as_ref().map(|row| row.state)
    }
}

/// A delivery that is to be sent now.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Which message.
    pub seq: Seq,
    /// The version that decides what is sent.
    pub version: VersionId,
    /// The message.
    pub message: Arc<StoredMessage>,
    /// Those behind it that go out in the same call.
    pub more: Vec<Arc<StoredMessage>>,
    /// It goes out when everything up to this mark is recorded.
    pub after: Option<u64>,
    /// It may have been in work when the process last ended: see `Queue::suspect`.
    pub suspect: bool,
    /// The number of the attempt, where the process may die over it: it is marked.
    pub marked: Option<u32>,
}

/// How a claim ended.
#[derive(Debug)]
pub enum Conclusion {
    /// It was sent.
    Sent {
        /// What came of it.
        outcome: Outcome,
        /// When it began.
        began: Timestamp,
        /// How long it took.
        duration: Duration,
        /// Hash of the bytes sent.
        sent_hash: u64,
    },
    /// It could not be rendered: a person must decide.
    RenderHeld(RenderProblem),
    /// It can never be rendered.
    RenderFailed(RenderProblem),
    /// Rendering or sending it panicked.
    Panicked,
    /// Nothing happened: the engine stops, or no connection was free.
    Stopped,
}
