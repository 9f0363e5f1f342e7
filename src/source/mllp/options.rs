//! What an MLLP source may be told, with its defaults.

use std::net::SocketAddr;
use std::time::Duration;

use crate::hl7::charset::CharsetRule;
use crate::network::Network;

/// Receives HL7 v2 messages over MLLP.
#[derive(Debug, Clone, PartialEq)]
pub struct MllpSourceOptions {
    /// Where the bytes come from: usually the address and port to listen on.
    pub side: Side,
    /// Name of the TLS profile in `engine.yaml`; `None`: plain TCP. The profile says whether the
    /// sender must show a certificate.
    pub tls: Option<Box<str>>,
    /// Which certificate may send as whom. Empty: a valid certificate may send as anybody. Otherwise
    /// a certificate that is not named here is refused at once.
    pub senders: Vec<CertifiedSender>,
    /// Networks that may connect. Empty: all.
    pub allow: Vec<Network>,
    /// Connections open at once. Further ones are closed, counted and reported.
    pub connections_max: u32,
    /// Connections open at once from one remote address.
    pub connections_per_peer_max: u32,
    /// What happens to a connection beyond `connections_per_peer_max`.
    pub peer_full: PeerFull,
    /// Largest message, in bytes. A larger one is refused (AR/CR) while it is read, then the
    /// connection is closed.
    pub message_bytes_max: usize,
    /// Bytes outside of frames that one connection may send before it is closed.
    pub garbage_bytes_max: u64,
    /// What a start byte inside a frame means.
    pub nested_start: NestedStart,
    /// How a frame must end.
    pub frame_end: FrameEnd,
    /// Frames of one connection that may wait for the store at once; further ones are not read.
    pub frames_in_flight_max: usize,
    /// How long each step may take.
    pub timeouts: MllpTimeouts,
    /// What is answered.
    pub ack: AckOptions,
}

/// Who opens the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// The sender connects to us; port 0 takes any free port.
    Listen(SocketAddr),
    /// We connect to the sender and receive on that connection (reverse MLLP).
    Connect {
        /// The sender's host name or address.
        host: String,
        /// Its port.
        port: u16,
    },
}

/// A certificate's name and the senders it may speak for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedSender {
    /// The certificate's common name, or one of its alternative names (DNS, address, e-mail, URI).
    pub certificate: Box<str>,
    /// MSH-3 (first component) it may send as. Empty: any.
    pub applications: Vec<Box<str>>,
    /// MSH-4 (first component) it may send as. Empty: any.
    pub facilities: Vec<Box<str>>,
}

/// What happens to one connection too many of the same remote address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerFull {
    /// The new one is closed.
    RefuseNew,
    /// The oldest one is closed: it is probably half-open (*newest connection wins*).
    CloseOldest,
}

/// What a start byte (0B) inside an open frame means. Two messages are never merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NestedStart {
    /// The sender began anew: what was read so far is dropped and counted.
    Resync,
    /// The frame is refused and the connection closed.
    Reject,
}

/// How a frame must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameEnd {
    /// With 1C 0D.
    Strict,
    /// With 1C, where LF, another frame or a pause follows it.
    Lenient,
}

/// Waits of one connection. Each ends the connection when it runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MllpTimeouts {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From the connection's start to its first byte.
    pub first_byte: Duration,
    /// Between two reads inside a frame.
    pub in_frame: Duration,
    /// From a frame's first byte to its last, however steadily it drips.
    pub frame: Duration,
    /// Between two frames. Dead peers are found earlier by keep-alive.
    pub idle: Duration,
    /// From a frame's last byte to its answer; then the sender is told `on_unavailable`.
    pub ack: Duration,
    /// For writing an answer.
    pub write: Duration,
    /// TCP keep-alive: quiet time before the first probe.
    pub keepalive: Duration,
    /// TCP user timeout: how long sent bytes may stay unacknowledged by the peer's machine.
    pub user: Duration,
    /// [`Side::Connect`]: for one try to connect.
    pub connect: Duration,
    /// [`Side::Connect`]: the longest wait between two tries; the first is a tenth of a second.
    pub reconnect_max: Duration,
}

/// What is answered, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AckOptions {
    /// Original or enhanced mode.
    pub mode: AckMode,
    /// Senders that differ from `mode`; the first that matches holds.
    pub modes: Vec<SenderAckMode>,
    /// What a sender hears whose message cannot be taken now (store full, overloaded, draining).
    pub on_unavailable: OnUnavailable,
    /// Whether an enhanced-mode sender who asks for it (MSH-16) gets an application ACK.
    pub application_ack: ApplicationAck,
    /// How texts in an answer are written when MSH-18 says nothing.
    pub charset: CharsetRule,
    /// What answers a batch (FHS/BHS).
    pub batch_reply: BatchReply,
    /// Whether a batch is taken as a whole or message by message.
    pub batch_unit: BatchUnit,
    /// What a frame without an MSH gets.
    pub no_header: NoHeader,
    /// Messages in one batch; a larger one is refused.
    pub batch_messages_max: usize,
}

/// Which acknowledgement mode is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckMode {
    /// Enhanced when the message values MSH-15 or MSH-16, original otherwise.
    Auto,
    /// Always AA, AE, AR.
    Original,
    /// Always CA, CE, CR, and an application ACK where MSH-16 asks for one.
    Enhanced,
    /// One byte in a frame of its own, 06 (stored) or 15 (not taken), and nothing else (MLLP release 2).
    Byte,
    /// Nothing is ever answered; a message that cannot be taken now closes the connection.
    None,
}

/// An acknowledgement mode for some senders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderAckMode {
    /// MSH-3, first component. `None`: any.
    pub application: Option<Box<str>>,
    /// MSH-4, first component. `None`: any.
    pub facility: Option<Box<str>>,
    /// Their mode.
    pub mode: AckMode,
}

/// What a sender hears whose message cannot be taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnavailable {
    /// AE (CE).
    Error,
    /// AR (CR).
    Reject,
    /// No answer; the connection is closed.
    Close,
}

/// Whether an application ACK is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplicationAck {
    /// Never beside a commit ACK: the receiving systems answer, not the engine. A sender that asks
    /// for no commit ACK and only for an application ACK gets none.
    None,
    /// After the commit ACK (or alone, when none is asked for), on the same connection: the engine
    /// has taken responsibility for the message.
    SameConnection,
}

/// What answers a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchReply {
    /// One batch (BHS … BTS) with an ACK for each message.
    Individual,
    /// One batch with the ACKs that are not positive; a single positive one when all are.
    ErrorsOnly,
    /// One ACK for the whole batch, its MSA-2 the batch's control id.
    Single,
}

/// What a batch is to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchUnit {
    /// Each message is taken or refused on its own; all that are taken in one transaction. A trailer
    /// whose count is wrong is reported.
    Messages,
    /// One refused message, or a trailer whose count is wrong, refuses the whole batch.
    Whole,
}

/// What a frame without an MSH gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoHeader {
    /// AR with a header of our own and ERR 100.
    Reject,
    /// Nothing. It is counted and kept as evidence all the same.
    Silence,
}

impl MllpSourceOptions {
    /// A plain listener with the defaults.
    #[must_use]
    pub fn listen(address: SocketAddr) -> Self {
        Self { side: Side::Listen(address), ..Self::default() }
    }
}

impl Default for MllpSourceOptions {
    /// Loopback, any free port; all limits at their defaults.
    fn default() -> Self {
        Self {
            side: Side::Listen(SocketAddr::from(([127, 0, 0, 1], 0))),
            tls: None,
            senders: Vec::new(),
            allow: Vec::new(),
            connections_max: 512,
            connections_per_peer_max: 64,
            peer_full: PeerFull::RefuseNew,
            message_bytes_max: 10 << 20,
            garbage_bytes_max: 64 << 10,
            nested_start: NestedStart::Resync,
            frame_end: FrameEnd::Lenient,
            frames_in_flight_max: 256,
            timeouts: MllpTimeouts::default(),
            ack: AckOptions::default(),
        }
    }
}

impl Default for MllpTimeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            first_byte: Duration::from_mins(5),
            in_frame: Duration::from_secs(30),
            frame: Duration::from_mins(5),
            idle: Duration::from_hours(12),
            ack: Duration::from_secs(30),
            write: Duration::from_secs(30),
            keepalive: Duration::from_mins(1),
            user: Duration::from_secs(90),
            connect: Duration::from_secs(10),
            reconnect_max: Duration::from_secs(30),
        }
    }
}

impl Default for AckOptions {
    fn default() -> Self {
        Self {
            mode: AckMode::Auto,
            modes: Vec::new(),
            on_unavailable: OnUnavailable::Error,
            application_ack: ApplicationAck::SameConnection,
            charset: CharsetRule::default(),
            batch_reply: BatchReply::Individual,
            batch_unit: BatchUnit::Messages,
            no_header: NoHeader::Reject,
            batch_messages_max: 10_000,
        }
    }
}
