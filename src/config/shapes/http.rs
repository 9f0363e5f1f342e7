//! Fields that several parts over HTTP have, and connections of sources: each is written once.

use crate::config::shapes::COUNT;
use crate::config::shapes::source::HTTP_TIMEOUTS;
use crate::yaml::shape::{Field, Shape};

/// How long a connection may take to be made.
pub(super) const CONNECT_WITHIN: Field = Field::optional(
    "connect_within",
    Shape::Duration,
    "10s",
    "Name lookup, connection and TLS handshake together. Default 10s.",
);

/// How long an answer may take.
pub(super) const REPLY_WITHIN: Field =
    Field::optional("reply_within", Shape::Duration, "30s", "The whole answer. Default 30s.");

/// How many requests at once.
pub(super) const IN_FLIGHT: Field =
    Field::optional("in_flight", COUNT, "16", "Requests at the same time. Default 16.");

/// How long an idle connection is kept.
pub(super) const IDLE_MAX: Field = Field::optional(
    "idle_max",
    Shape::Duration,
    "30s",
    "An idle connection is closed after so long. Default 30s.",
);

/// How far a receiver's wish to wait is followed.
pub(super) const RETRY_AFTER_MAX: Field = Field::optional(
    "retry_after_max",
    Shape::Duration,
    "24h",
    "A longer Retry-After is cut to this. Default 24h.",
);

/// How many connections a source takes.
pub(super) const MAX_CONNECTIONS: Field =
    Field::optional("max_connections", COUNT, "512", "Connections open at once. Default 512.");

/// How many of one address.
pub(super) const MAX_CONNECTIONS_PER_PEER: Field = Field::optional(
    "max_connections_per_peer",
    COUNT,
    "64",
    "Connections open at once from one address. Default 64.",
);

/// How long each step of a request may take.
pub(super) const TIMEOUTS: Field = Field::optional(
    "timeouts",
    Shape::Map(&HTTP_TIMEOUTS),
    "{body: 1m}",
    "How long each step may take.",
);
