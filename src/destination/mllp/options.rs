//! What can be set of an MLLP destination.

use std::net::SocketAddr;
use std::time::Duration;

use crate::destination::pool::{Address, PoolOptions};
use crate::network::Network;

/// Sends HL7 v2 messages over MLLP and waits for the acknowledgement of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MllpDestinationOptions {
    /// The receivers, all equal: the pool chooses among them. At least one, unless they come to us.
    pub endpoints: Vec<Address>,
    /// Set when the receiver connects to us and we send on its connection (reverse MLLP); `endpoints`
    /// is empty then.
    pub listen: Option<Listening>,
    /// How an endpoint is chosen and how a failing one is spared.
    pub pool: PoolOptions,
    /// Name of the TLS profile; plain TCP without.
    pub tls: Option<String>,
    /// Connections to each endpoint. Default 1.
    pub connections: u32,
    /// Messages in flight on each connection. Default 1; more is pipelining, and then the receiver
    /// must answer in the order it was sent.
    pub in_flight: u32,
    /// Longest wait for name lookup, TCP connection and TLS handshake together. Default 10 s.
    pub connect_within: Duration,
    /// Longest time to hand one message to the network. Default 30 s.
    pub write_within: Duration,
    /// Longest wait for the acknowledgement, counted from the last byte written. Default 30 s.
    pub reply_within: Duration,
    /// Whether the connection stays open for the next message. Default yes.
    pub connection: KeepOpen,
    /// An open connection that carried nothing for so long is closed. Default 5 min.
    pub idle_max: Duration,
    /// TCP keep-alive: probe a silent connection after so long. Default 60 s.
    pub keepalive: Duration,
    /// Time after which bytes that the peer's machine never confirmed break the connection
    /// (`TCP_USER_TIMEOUT`). Default 30 s.
    pub unconfirmed_max: Duration,
    /// First bytes of a frame. Default `0B`.
    pub frame_start: Vec<u8>,
    /// Last bytes of a frame. Default `1C 0D`.
    pub frame_end: Vec<u8>,
    /// Largest answer read, in bytes. Default 64 KiB.
    pub answer_bytes_max: usize,
    /// What the receiver answers. Default: an HL7 acknowledgement.
    pub answer: AnswerForm,
    /// What a commit acknowledgement (CA) means. Default: the receiver has it, done.
    pub commit_ack: CommitAck,
    /// Longest wait for the application acknowledgement after CA, with `commit_ack: wait`. Default 60 s.
    pub application_within: Duration,
    /// Whether MSA-2 must equal the MSH-10 that was sent. Default yes; `ignore` only for receivers that
    /// cannot do it, and never with `in_flight` above 1.
    pub control_id: ControlIdCheck,
}

impl MllpDestinationOptions {
    /// How many messages can be on the way at the same time, over all connections.
    #[must_use]
    pub fn places(&self) -> u32 {
        let endpoints = u32::try_from(self.endpoints.len()).unwrap_or(u32::MAX).max(1);
        endpoints.saturating_mul(self.connections.max(1)).saturating_mul(self.in_flight.max(1))
    }
}

impl Default for MllpDestinationOptions {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            listen: None,
            pool: PoolOptions::default(),
            tls: None,
            connections: 1,
            in_flight: 1,
            connect_within: Duration::from_secs(10),
            write_within: Duration::from_secs(30),
            reply_within: Duration::from_secs(30),
            connection: KeepOpen::default(),
            idle_max: Duration::from_mins(5),
            keepalive: Duration::from_mins(1),
            unconfirmed_max: Duration::from_secs(30),
            frame_start: vec![0x0B],
            frame_end: vec![0x1C, 0x0D],
            answer_bytes_max: 64 * 1024,
            answer: AnswerForm::default(),
            commit_ack: CommitAck::default(),
            application_within: Duration::from_mins(1),
            control_id: ControlIdCheck::default(),
        }
    }
}

/// Where a receiver connects to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Address and port; port 0 takes any free port.
    pub address: SocketAddr,
    /// Networks that may connect. Empty: all. Whoever connects is sent messages.
    pub allow: Vec<Network>,
}

/// What a receiver answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnswerForm {
    /// A message with an MSA.
    #[default]
    Hl7,
    /// One byte, in a frame or bare: 06 counts as CA, 15 as CE (MLLP release 2). It names no message, so
    /// only one may be in flight.
    Byte,
    /// Nothing: what was written counts as delivered. What comes all the same is dropped.
    Nothing,
}

/// Whether a connection outlives its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeepOpen {
    /// It stays open for the next message (`keep_open: true`).
    #[default]
    Keep,
    /// One connection for each message (`keep_open: false`).
    CloseAfterEach,
}

/// What a commit acknowledgement (CA) means (HL7 v2.5.1 §2.9.3, enhanced mode).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CommitAck {
    /// The receiver has it: accepted.
    #[default]
    Final,
    /// It answers a second time, on the same connection, with AA, AE or AR: that one counts.
    Wait,
}

impl CommitAck {
    /// The name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Final => "final",
            Self::Wait => "wait",
        }
    }
}

/// Whether MSA-2 is compared with MSH-10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ControlIdCheck {
    /// They must be equal, byte for byte.
    #[default]
    Required,
    /// Any answer on the connection counts.
    Ignored,
}
