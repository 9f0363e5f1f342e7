//! Stores a received message with its plan, then says how to answer. Never a positive answer before
//! the commit (P1, P2).

use std::sync::Arc;

use crate::message::id::MessageId;
use crate::message::kind::ContentType;
use crate::message::payload::Payload;
use crate::message::time::Timestamp;
use crate::message::verdict::{DuplicateRule, Problem};
use crate::store::{NewMessage, Store};

/// One message as it came in.
#[derive(Debug, Clone)]
pub struct Received {
    /// The channel whose source received it.
    pub channel: Arc<str>,
    /// The bytes, unframed, otherwise untouched.
    pub payload: Payload,
    /// When its last byte was read.
    pub at: Timestamp,
    /// The sender's address, or the file's name.
    pub peer: String,
    /// How the transport says the bytes are to be read; `None`: to be found from the bytes.
    pub content_type: Option<ContentType>,
    /// What the transport knows besides: `file.name`, `batch.id`, `batch.index`, `certificate`.
    pub attributes: Vec<(Box<str>, Box<str>)>,
    /// How the transport recognises a repeat (`Idempotency-Key`, file name and content). `Intake`
    /// applies it when the channel has no rule of its own.
    pub duplicate: Option<DuplicateRule>,
}

impl Received {
    /// Bytes as they came, with nothing known besides.
    #[must_use]
    pub fn new(channel: Arc<str>, payload: Payload, at: Timestamp, peer: String) -> Self {
        Self {
            channel,
            payload,
            at,
            peer,
            content_type: None,
            attributes: Vec::new(),
            duplicate: None,
        }
    }

    /// What the transport knows under `name`.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| &**key == name).map(|(_, value)| &**value)
    }
}

/// How to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Durable (now or already earlier): AA or CA, 2xx. A repeat carries the first one's id and time, so
    /// that the answer is the first answer again.
    Accepted {
        /// Public id.
        id: MessageId,
        /// When it was first received.
        received_at: Timestamp,
        /// Whether it had been stored before.
        repeat: bool,
    },
    /// Will never be taken as it is: AE/CE or AR/CR, 4xx.
    Refused(Problem),
    /// Cannot be taken now: by the channel's choice AE, AR or a closed connection; 503.
    Unavailable {
        /// Why, in words, without content.
        reason: String,
    },
}

/// Decides, without I/O, what becomes of a received message: implemented by the engine over its channels.
pub trait Admit: Send + Sync {
    /// The message to append, or the refusal.
    ///
    /// # Errors
    /// When no channel takes it, or its own channel refuses it.
    fn admit(&self, received: &Received) -> Result<NewMessage, Problem>;
}

/// The door every source uses. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    store: Arc<dyn Store>,
    admit: Arc<dyn Admit>,
}

impl Intake {
    /// A door to `store`, guarded by `admit`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, admit: Arc<dyn Admit>) -> Self {
        Self { store, admit }
    }
}
