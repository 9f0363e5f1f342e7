//! The vocabulary: what a message is, where it goes, what became of it. No I/O.
//!
//! A *message* is what a sender sent, once, with its bytes as received. Its *plan* names every
//! destination it goes to. One message for one destination is a *delivery*; each try to send it is
//! an *attempt*, which ends with an *outcome*.

pub mod criteria;
pub mod fold;
pub mod id;
pub mod kind;
pub mod outcome;
pub mod payload;
pub mod plan;
pub mod resource;
pub mod secret;
pub mod time;
pub mod verdict;
pub mod view;

use std::sync::Arc;

use crate::message::id::{DestinationId, MessageId, Seq};
use crate::message::kind::{ContentType, Kind};
use crate::message::payload::Payload;
use crate::message::plan::Plan;
use crate::message::time::Timestamp;

/// A searchable value of a message: `mrn`, `visit`, `accession`, `order`, `control`, `device`, or a
/// name the channel chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key's name, as written under `search_keys`.
    pub name: Arc<str>,
    /// The value. Patient data: never logged (`KeyValue` prints nothing).
    pub value: KeyValue,
}

/// A key's value, kept out of logs: `Debug` prints its length alone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyValue(Box<str>);

impl KeyValue {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: &str) -> Self {
        Self(value.into())
    }

    /// The value itself, for the index, for searches and for people allowed to see it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyValue({} bytes)", self.0.len())
    }
}

/// Why a stored message exists although no sender sent it: a person, or a channel, made it from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The message it was made from. Its body is the parent's when `body` is shared.
    pub parent: Seq,
    /// Who asked: a user or token name, or `channel/destination` for a forwarded message.
    pub by: String,
    /// The reason given. Required of people.
    pub reason: String,
}

/// What is known of a message besides its bytes.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Public id, unique for ever (`UUIDv7`).
    pub id: MessageId,
    /// When the last byte was read; set once, at the edge.
    pub received_at: Timestamp,
    /// The channel whose source received it.
    pub channel: Arc<str>,
    /// How the bytes are to be read.
    pub content_type: ContentType,
    /// What it is about.
    pub kind: Kind,
    /// Message type and event as sent, e.g. `ADT^A01`; empty when unknown.
    pub event: Box<str>,
    /// MSH-10 raw, or the id the transport gave; empty when there is none.
    pub control_id: KeyValue,
    /// Values to search by.
    pub keys: Vec<Key>,
    /// Set when it was made from another message.
    pub origin: Option<Origin>,
}

/// A message that the store holds.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// Place in the log: the order of acceptance.
    pub seq: Seq,
    /// What is known of it.
    pub envelope: Envelope,
    /// Where it goes.
    pub plan: Plan,
    /// Its bytes, as received.
    pub payload: Payload,
    /// Subscriptions it is an event of, by their destination, each with the event's number.
    pub events: Vec<(DestinationId, u64)>,
}
