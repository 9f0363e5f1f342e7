//! What an HTTP source may be told, with its defaults.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::message::kind::ContentType;
use crate::network::Network;

/// Receives messages by HTTP POST, one message (or one HL7 batch) a request.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpSourceOptions {
    /// Address and port to listen on; port 0 takes any free port.
    pub listen: SocketAddr,
    /// Path that is posted to, e.g. `/adt`. Everything else is 404.
    pub path: Box<str>,
    /// Name of the TLS profile in `engine.yaml`; `None`: plain HTTP.
    pub tls: Option<Box<str>>,
    /// Networks that may connect. Empty: all.
    pub allow: Vec<Network>,
    /// Bearer tokens that may post, any of them (so that one can be changed without a gap). Empty:
    /// nobody is asked.
    pub tokens: Vec<BearerToken>,
    /// How a body without `Content-Type` is read. `None`: 415.
    pub content_type: Option<ContentType>,
    /// Largest body, in bytes; a larger one gets 413.
    pub body_bytes_max: usize,
    /// Messages in one HL7 batch; a larger one gets 422.
    pub batch_messages_max: usize,
    /// Connections open at once.
    pub connections_max: u32,
    /// Connections open at once from one remote address.
    pub connections_per_peer_max: u32,
    /// What 503 asks the sender to wait (`Retry-After`).
    pub retry_after: Duration,
    /// How far back an `Idempotency-Key` is remembered when the channel has no rule of its own.
    pub idempotency_within: Duration,
    /// How long each step may take.
    pub timeouts: HttpTimeouts,
}

/// Waits of one connection or request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpTimeouts {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For a request's header, its first byte included; on a kept connection this is the idle time.
    pub header: Duration,
    /// For the whole body.
    pub body: Duration,
    /// From the body's last byte to the answer; then 503.
    pub answer: Duration,
}

/// A secret that a sender shows in `Authorization: Bearer …`. Prints nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(Box<str>);

impl BearerToken {
    /// Wraps the secret's text.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(secret.into())
    }

    /// Whether `given` is this token; takes the same time wherever they differ.
    #[must_use]
    pub fn matches(&self, given: &str) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), given.as_bytes());
        let differing = ours.iter().zip(theirs).fold(0, |all, (a, b)| all | (a ^ b));
        ours.len() == theirs.len() && differing == 0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

impl HttpSourceOptions {
    /// A plain listener with the defaults.
    #[must_use]
    pub fn listen(address: SocketAddr, path: &str) -> Self {
        Self { listen: address, path: path.into(), ..Self::default() }
    }
}

impl Default for HttpSourceOptions {
    /// Loopback, any free port, path `/`; all limits at their defaults.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            path: "/".into(),
            tls: None,
            allow: Vec::new(),
            tokens: Vec::new(),
            content_type: None,
            body_bytes_max: 10 << 20,
            batch_messages_max: 10_000,
            connections_max: 512,
            connections_per_peer_max: 64,
            retry_after: Duration::from_secs(5),
            idempotency_within: Duration::from_hours(24),
            timeouts: HttpTimeouts::default(),
        }
    }
}

impl Default for HttpTimeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(30),
            body: Duration::from_mins(1),
            answer: Duration::from_secs(30),
        }
    }
}
