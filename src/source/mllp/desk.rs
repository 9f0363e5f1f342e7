//! What each frame is, who answers it, and with what.
//!
//! ```text
//! frame ─ no MSH ───────────────▶ evidence; AR or silence
//!       ├ an acknowledgement ───▶ evidence; a commit ACK at most (feedback-loop guard)
//!       ├ not this certificate's ▶ evidence; AR
//!       └ a message ────────────▶ intake
//! ```

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use metrics::{Histogram, counter, histogram};
use tokio::time::{Instant, timeout};

use crate::clock::Clock;
use crate::hl7::ack::{self, AckCode};
use crate::hl7::header::Header;
use crate::hl7::mllp::{self, Options as Decoding};
use crate::message::id::MessageId;
use crate::message::kind::ContentType;
use crate::message::payload::Payload;
use crate::message::verdict::Problem;
use crate::source::gate::Gate;
use crate::source::intake::{Intake, Received, Reply, problem};
use crate::source::mllp::answer::{Due, build, due};
use crate::source::mllp::options::{
    AckMode, CertifiedSender, FrameEnd, MllpSourceOptions, NestedStart, NoHeader,
};
use crate::source::status::SourceStatus;
use crate::telemetry::metrics::{ACK_SECONDS, MESSAGES_REFUSED};

/// Segments that an acknowledgement may hold. A message of these alone answers another message.
const ACK_SEGMENTS: [&[u8]; 6] = [b"MSH", b"SFT", b"UAC", b"MSA", b"ERR", b"NTE"];

/// What all connections of one source share.
pub(super) struct Desk {
    pub(super) channel: Arc<str>,
    pub(super) options: MllpSourceOptions,
    pub(super) gate: Arc<Gate>,
    clock: Clock,
    intake: Intake,
    status: Arc<SourceStatus>,
    seconds: Histogram,
}

/// Who is at the other end of a connection.
pub(super) struct Sender {
    pub(super) peer: SocketAddr,
    /// As text, for stored messages.
    name: String,
    /// The certificate's first name.
    certificate: Option<Box<str>>,
    /// As whom it may send; empty: as anybody.
    may: Vec<CertifiedSender>,
}

/// Frames that go to the store together.
pub(super) struct Work {
    pub(super) frames: usize,
    pub(super) bytes: usize,
    began: Instant,
    items: Vec<Item>,
    /// Whether the connection ends after the answers.
    close: bool,
}

/// The answers to some work, framed and in order.
pub(super) struct Answers {
    pub(super) out: Vec<u8>,
    pub(super) close: bool,
    pub(super) frames: usize,
    pub(super) bytes: usize,
    began: Instant,
}

struct Item {
    received: Received,
    what: What,
}

enum What {
    Message,
    /// Refused before the intake, as `reason` in metrics.
    Refused {
        problem: Problem,
        reason: &'static str,
    },
    /// Answers one of our messages, or somebody's.
    Acknowledgement,
    /// No header, and the channel answers nothing then.
    Silent,
}

impl Sender {
    /// Somebody without a certificate that says who it is.
    pub(super) fn plain(peer: SocketAddr) -> Self {
        let name = peer.ip().to_canonical().to_string();
        Self { peer, name, certificate: None, may: Vec::new() }
    }

    /// Somebody with a verified certificate; `None` when `senders` names others only.
    pub(super) fn certified(
        peer: SocketAddr,
        names: &[String],
        senders: &[CertifiedSender],
    ) -> Option<Self> {
        let is_named = |sender: &&CertifiedSender| {
            names.iter().any(|name| name.eq_ignore_ascii_case(&sender.certificate))
        };
        let may: Vec<_> = senders.iter().filter(is_named).cloned().collect();
        if may.is_empty() && !senders.is_empty() {
            return None;
        }
        let certificate = names.first().map(|name| name.as_str().into());
        Some(Self { certificate, may, ..Self::plain(peer) })
    }

    fn may_send(&self, header: &Header<'_>) -> bool {
        let is = |allowed: &[Box<str>], field| {
            let value = header.component(field, 1);
            allowed.is_empty() || allowed.iter().any(|name| name.as_bytes() == value)
        };
        let fits = |one: &CertifiedSender| is(&one.applications, 3) && is(&one.facilities, 4);
        self.may.is_empty() || self.may.iter().any(fits)
    }
}

impl Desk {
    pub(super) fn new(
        channel: Arc<str>,
        options: MllpSourceOptions,
        clock: Clock,
        intake: Intake,
        status: Arc<SourceStatus>,
        gate: Arc<Gate>,
    ) -> Self {
        let seconds = histogram!(ACK_SECONDS, "channel" => channel.to_string());
        Self { channel, options, gate, clock, intake, status, seconds }
    }

    /// How this source reads frames.
    pub(super) fn decoding(&self) -> Decoding {
        Decoding {
            size_bytes_max: self.options.message_bytes_max,
            nested: match self.options.nested_start {
                NestedStart::Resync => mllp::NestedStart::Restart,
                NestedStart::Reject => mllp::NestedStart::Reject,
            },
            end: match self.options.frame_end {
                FrameEnd::Strict => mllp::FrameEnd::Strict,
                FrameEnd::Lenient => mllp::FrameEnd::Lenient,
            },
        }
    }

    /// Divides the frames of one read into what goes to the store together.
    pub(super) fn sort(&self, frames: Vec<Bytes>, sender: &Sender) -> Vec<Work> {
        if frames.is_empty() {
            return Vec::new();
        }
        let items: Vec<_> = frames.into_iter().map(|frame| self.judge(frame, sender)).collect();
        let bytes = items.iter().map(|item| item.received.payload.len()).sum();
        vec![Work { frames: items.len(), bytes, began: Instant::now(), items, close: false }]
    }

    /// The answer to a frame that was given up while it was read.
    pub(super) fn refusal(&self, prefix: Bytes, text: &str, sender: &Sender) -> Work {
        let received = self.received(prefix, sender);
        let what = if Header::read_best_effort(received.payload.expose()).is_some() {
            What::Refused { problem: problem(207, text, true), reason: "" }
        } else {
            What::Silent
        };
        let items = vec![Item { received, what }];
        Work { frames: 1, bytes: 0, began: Instant::now(), items, close: true }
    }

    /// Says what went wrong, for people.
    pub(super) fn tell(&self, text: &str) {
        self.status.refused(self.clock.now(), text);
    }

    /// Counts what leaves.
    pub(super) fn note(&self, answers: &Answers) {
        self.seconds.record(answers.began.elapsed());
    }

    fn received(&self, frame: Bytes, sender: &Sender) -> Received {
        let channel = Arc::clone(&self.channel);
        let (at, peer) = (self.clock.now(), sender.name.clone());
        let mut received = Received::new(channel, Payload::new(frame), at, peer);
        received.content_type = Some(ContentType::Hl7v2);
        if let Some(name) = &sender.certificate {
            received.attributes.push(("certificate".into(), name.clone()));
        }
        received
    }

    fn judge(&self, frame: Bytes, sender: &Sender) -> Item {
        let received = self.received(frame, sender);
        let bytes = received.payload.expose();
        let what = match Header::read_best_effort(bytes) {
            None if self.options.ack.no_header == NoHeader::Silence || is_blank(bytes) => {
                What::Silent
            }
            None => {
                let problem = problem(100, "the message has no MSH segment", true);
                What::Refused { problem, reason: "no_header" }
            }
            Some(header) if is_acknowledgement(&header, bytes) => What::Acknowledgement,
            Some(header) if !sender.may_send(&header) => {
                let text = "the certificate may not send as this application and facility";
                What::Refused { problem: problem(207, text, true), reason: "sender" }
            }
            Some(_) => What::Message,
        };
        Item { received, what }
    }

    /// Answers frames in their order, after their commit.
    pub(super) async fn answer(self: Arc<Self>, work: Work) -> Answers {
        let Work { frames, bytes, began, items, close } = work;
        let messages: Vec<_> = items
            .iter()
            .filter(|item| matches!(item.what, What::Message))
            .map(|item| item.received.clone())
            .collect();
        let mut replies = self.take(messages).await.into_iter();
        let mut answers = Answers { out: Vec::new(), close, frames, bytes, began };
        for Item { received, what } in items {
            let due = match what {
                What::Message => match replies.next() {
                    Some(reply) => self.due(&received, &reply),
                    None => Due::default(),
                },
                What::Refused { problem, reason } => {
                    self.keep(&received, reason, &format!("{} {}", problem.code, problem.text))
                        .await;
                    self.due(&received, &Reply::Refused(problem))
                }
                What::Acknowledgement => self.acknowledge_ack(&received).await,
                What::Silent => {
                    self.keep(&received, "no_header", "100 no MSH segment").await;
                    Due::default()
                }
            };
            for ack in &due.acks {
                put_frame(&mut answers.out, ack);
            }
            if due.close {
                answers.close = true;
                break;
            }
        }
        answers
    }

    async fn take(&self, messages: Vec<Received>) -> Vec<Reply> {
        if messages.is_empty() {
            return Vec::new();
        }
        let count = messages.len();
        let wait = self.options.timeouts.ack;
        timeout(wait, self.intake.receive_batch(messages)).await.unwrap_or_else(|_| {
            let reason = "the store did not answer in time; send it again".to_owned();
            vec![Reply::Unavailable { reason }; count]
        })
    }

    fn due(&self, received: &Received, reply: &Reply) -> Due {
        match reply {
            Reply::Accepted { .. } => self.status.received(received.at),
            Reply::Refused(problem) => self.status.refused(received.at, &problem.text),
            Reply::Unavailable { reason } => self.status.refused(received.at, reason),
        }
        let header = Header::read_best_effort(received.payload.expose());
        due(header.as_ref(), reply, &self.options.ack, received.at)
    }

    /// An acknowledgement is no message: it is kept as evidence, and only a commit ACK that its MSH-15
    /// asks for answers it. Two engines would acknowledge each other for ever otherwise.
    async fn acknowledge_ack(&self, received: &Received) -> Due {
        let kept = self.keep(received, "ack", "ack: an acknowledgement came to a listener").await;
        let header = Header::read_best_effort(received.payload.expose());
        let asks = |header: &Header<'_>| {
            self.options.ack.mode != AckMode::None && header.accept_ack().is_due(kept)
        };
        let Some(header) = header.filter(asks) else { return Due::default() };
        let (code, problems) = if kept {
            (AckCode::CA, Vec::new())
        } else {
            (AckCode::CE, vec![problem(207, "the acknowledgement could not be kept", false)])
        };
        let (id, at) = (MessageId::new(), received.at);
        let ack = build(Some(&header), code, id, at, &problems, &self.options.ack);
        Due { acks: vec![ack], close: false }
    }

    async fn keep(&self, received: &Received, reason: &'static str, text: &str) -> bool {
        if !reason.is_empty() {
            let channel = self.channel.to_string();
            counter!(MESSAGES_REFUSED, "channel" => channel, "reason" => reason).increment(1);
            self.status.refused(received.at, text);
        }
        self.intake.keep(received, text.to_owned()).await
    }
}

/// Whether a message is an acknowledgement by its type, or by holding nothing but MSA and the
/// segments that go with it.
fn is_acknowledgement(header: &Header<'_>, bytes: &[u8]) -> bool {
    if ack::is_acknowledgement(header) {
        return true;
    }
    let mut segments = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).filter(|s| !s.is_empty());
    let id = |segment: &[u8]| segment.get(..3).map(<[u8]>::to_vec).unwrap_or_default();
    let mut has_answer = false;
    let only_answer = segments.all(|segment| {
        let id = id(segment);
        has_answer |= id == b"MSA";
        ACK_SEGMENTS.contains(&id.as_slice())
    });
    has_answer && only_answer
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}

/// Frames an answer. An answer that holds the end of a frame (its sender's MSH-10 held it) cannot be
/// sent: it would be cut, and its rest taken for another.
fn put_frame(out: &mut Vec<u8>, ack: &[u8]) {
    if let Ok(frame) = mllp::encode(ack) {
        out.extend_from_slice(&frame);
    }
}
