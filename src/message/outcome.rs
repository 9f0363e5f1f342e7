//! How an attempt to send ended, and what became of a delivery.
//!
//! ```text
//! pending ──claim──▶ in flight ──▶ delivered
//!    ▲                  │  │  └──▶ dead          (rejected, or retries exhausted)
//!    │                  │  └────▶ held ──release──▶ pending   (or ──skip──▶ cancelled)
//!    └──── retry ◀──────┘
//! behind: waits in its lane for a delivery that is in retry or held
//! filtered, cancelled: nothing is sent, on record
//! ```

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

/// What the receiver said, cut to a limit. May quote the message: stored, shown to those allowed, never logged.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The protocol's code: `AA`, `AE`, `201`, `refused`, `timeout`; never message content.
    pub code: Cow<'static, str>,
    /// The receiver's text, at most [`Answer::TEXT_BYTES_MAX`] bytes.
    pub text: Box<str>,
}

impl Answer {
    /// Longest text kept.
    pub const TEXT_BYTES_MAX: usize = 1024;

    /// An answer with its text cut to the limit, at a character boundary.
    #[must_use]
    pub fn new(code: impl Into<Cow<'static, str>>, text: &str) -> Self {
        let mut end = text.len().min(Self::TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self { code: code.into(), text: text.get(..end).unwrap_or_default().into() }
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({}, {} bytes of text)", self.code, self.text.len())
    }
}

/// Whether a failure speaks of the endpoint (nobody gets through) or of this one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Refused, unreachable, 503, closed: the circuit breaker counts it, other lanes wait too.
    Endpoint,
    /// The receiver answered and did not want this message now: only its lane waits.
    Message,
}

/// How one attempt ended. Decided by one pure function per protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Accepted(Answer),
    /// Surely not taken; may be taken later.
    Failed {
        /// What was answered or what broke.
        answer: Answer,
        /// Whom it concerns.
        scope: Scope,
        /// The receiver's own wish when to try again.
        retry_after: Option<Duration>,
    },
    /// Will never be taken as it is.
    Rejected(Answer),
    /// Sent, and nobody knows: no answer, a broken connection after the last byte, a wrong id.
    Uncertain(Answer),
}

impl Outcome {
    /// The name in metrics and in the API.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Failed { .. } => "failed",
            Self::Rejected(_) => "rejected",
            Self::Uncertain(_) => "uncertain",
        }
    }

    /// What the receiver said.
    #[must_use]
    pub const fn answer(&self) -> &Answer {
        match self {
            Self::Accepted(answer) | Self::Rejected(answer) | Self::Uncertain(answer) => answer,
            Self::Failed { answer, .. } => answer,
        }
    }
}

/// What is sent: bytes rendered for one destination, with what its transport needs to know.
#[derive(Clone)]
pub struct Outbound {
    /// The stored message it was rendered from.
    pub message: crate::message::id::MessageId,
    /// The rendered bytes.
    pub body: Bytes,
    /// How they are to be read.
    pub content_type: crate::message::kind::ContentType,
    /// The identity a repeat carries again: MSH-10 of the rendered message for HL7 v2, a stable id
    /// made of message and destination otherwise (`webhook-id`, file name).
    pub id: Box<str>,
    /// Values of the transport's templates, resolved: `url`, `name`, `routing_key`, `topic`.
    pub attributes: Vec<(Box<str>, Box<str>)>,
}

impl Outbound {
    /// A resolved attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| &**key == name).map(|(_, value)| &**value)
    }
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outbound({} bytes)", self.body.len())
    }
}
