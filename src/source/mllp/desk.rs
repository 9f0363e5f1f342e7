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
use tracing::warn;

use crate::clock::Clock;
use crate::hl7::ack::{self, AckCode, Outcome};
use crate::hl7::batch::Batch;
use crate::hl7::header::Header;
use crate::hl7::mllp::{self, Options as Decoding};
use crate::message::id::MessageId;
use crate::message::kind::ContentType;
use crate::message::payload::Payload;
use crate::message::verdict::Problem;
use crate::source::batch::{self as batches, Headers, Read};
use crate::source::budget::Share;
use crate::source::gate::Gate;
use crate::source::intake::{Intake, Received, Reply, Unit, problem};
use crate::source::mllp::answer::{Due, build, byte, due, mode};
use crate::source::mllp::batch::{self, Told};
use crate::source::mllp::options::{
    AckMode, BatchUnit, CertifiedSender, FrameEnd, MllpSourceOptions, NestedStart, NoHeader,
};
use crate::source::status::SourceStatus;
use crate::telemetry::metrics::{ACK_SECONDS, MESSAGES_REFUSED};

/// Segments that an acknowledgement may hold. A message of these alone answers another message.
const ACK_SEGMENTS: [&[u8]; 6] = [b"MSH", b"SFT", b"UAC", b"MSA", b"ERR", b"NTE"];

/// What a frame adds to what it holds: its start and its end.
const FRAME_BYTES: usize = 3;

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
    /// Set when the items came as one batch: the frame and its parts.
    batch: Option<Box<(Received, Batch)>>,
    /// Whether the connection ends after the answers.
    close: bool,
}

impl Work {
    /// One frame that came just now.
    fn new() -> Self {
        let began = Instant::now();
        Self { frames: 1, bytes: 0, began, items: Vec::new(), batch: None, close: false }
    }
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

    /// Divides the frames of one read into what goes to the store together: a batch is a transaction
    /// of its own, the frames between two batches are one.
    pub(super) fn sort(&self, frames: Vec<Bytes>, sender: &Sender) -> Vec<Work> {
        let mut works: Vec<Work> = Vec::new();
        for frame in frames {
            let bytes = frame.len();
            let divided = batches::read(&frame, Headers::Needed);
            let whole = self.received(frame, sender);
            let item = match divided {
                Read::Batch(batch) => {
                    let parts =
                        batches::received(&batch, &whole, self.options.ack.batch_messages_max);
                    let items = parts.into_iter().map(|part| self.judge(part, sender)).collect();
                    works.push(Work {
                        bytes,
                        items,
                        batch: Some(Box::new((whole, batch))),
                        ..Work::new()
                    });
                    continue;
                }
                Read::Broken(problem) => {
                    Item { received: whole, what: What::Refused { problem, reason: "batch" } }
                }
                Read::One => self.judge(whole, sender),
            };
            match works.last_mut().filter(|work| work.batch.is_none()) {
                Some(work) => {
                    work.frames += 1;
                    work.bytes += bytes;
                    work.items.push(item);
                }
                None => works.push(Work { bytes, items: vec![item], ..Work::new() }),
            }
        }
        works
    }

    /// The answer to a frame that was given up while it was read.
    pub(super) fn refusal(&self, prefix: Bytes, text: &str, sender: &Sender) -> Work {
        let received = self.received(prefix, sender);
        let what = if Header::read_best_effort(received.payload.expose()).is_some() {
            What::Refused { problem: problem(207, text, true), reason: "" }
        } else {
            What::Silent
        };
        Work { items: vec![Item { received, what }], close: true, ..Work::new() }
    }

    /// A connection's share of what all connections may hold.
    pub(super) fn share(&self) -> Share {
        self.intake.share()
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

    fn judge(&self, received: Received, sender: &Sender) -> Item {
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
        let Work { frames, bytes, began, items, batch, close } = work;
        let mut answers = Answers { out: Vec::new(), close, frames, bytes, began };
        let dues = match batch {
            Some(batch) => vec![Box::pin(self.answer_batch(*batch, items)).await],
            None => {
                let told = self.answer_items(items, Unit::Messages).await;
                told.into_iter().map(|(.., due)| due).collect()
            }
        };
        let acks = dues.iter().flat_map(|due| &due.acks);
        answers.out.reserve(acks.map(|ack| ack.len() + FRAME_BYTES).sum());
        for due in dues {
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

    async fn answer_batch(&self, (whole, batch): (Received, Batch), items: Vec<Item>) -> Due {
        let batch = &batch;
        let ack = &self.options.ack;
        if let Some(text) = batches::fault(batch, ack.batch_messages_max) {
            if items.is_empty() || ack.batch_unit == BatchUnit::Whole {
                self.keep(&whole, "batch", &format!("207 {text}")).await;
                return batch::refusal(batch, &whole, problem(207, &text, false), ack);
            }
            warn!(channel = %self.channel, "a batch does not hold what its trailer says");
            self.status.refused(whole.at, &text);
        }
        let unit = match ack.batch_unit {
            BatchUnit::Messages => Unit::Messages,
            BatchUnit::Whole => Unit::Whole,
        };
        let told = self.answer_items(items, unit).await;
        batch::reply(batch, &told, ack)
    }

    /// What each item is told, after the commit of those that are messages.
    async fn answer_items(&self, mut items: Vec<Item>, unit: Unit) -> Vec<Told> {
        let is_message = |item: &Item| matches!(item.what, What::Message);
        if unit == Unit::Whole && !items.iter().all(is_message) {
            for item in items.iter_mut().filter(|item| is_message(item)) {
                let problem = problem(207, "another part of the batch was refused", false);
                item.what = What::Refused { problem, reason: "batch" };
            }
        }
        let messages: Vec<&Received> =
            items.iter().filter(|item| is_message(item)).map(|item| &item.received).collect();
        let replies = self.take(&messages, unit).await;
        if items.iter().all(is_message) {
            let told = |(item, reply): (Item, Reply)| {
                let due = self.due(&item.received, &reply);
                (item.received, reply, due)
            };
            let replies = replies.into_iter().chain(std::iter::repeat_with(lost));
            return items.into_iter().zip(replies).map(told).collect();
        }
        // Rare: the future of each message is not to have room for it.
        Box::pin(self.tell_each(items, replies)).await
    }

    /// What items are told of which some are no messages.
    async fn tell_each(&self, items: Vec<Item>, replies: Vec<Reply>) -> Vec<Told> {
        let mut replies = replies.into_iter();
        let mut told = Vec::with_capacity(items.len());
        for Item { received, what } in items {
            let (reply, due) = match what {
                What::Message => {
                    let reply = replies.next().unwrap_or_else(lost);
                    let due = self.due(&received, &reply);
                    (reply, due)
                }
                What::Refused { problem, reason } => {
                    let text = format!("{} {}", problem.code, problem.text);
                    self.keep(&received, reason, &text).await;
                    let reply = Reply::Refused(problem);
                    // It was counted when it was kept, or told of while it was read.
                    let header = Header::read_best_effort(received.payload.expose());
                    let header = header.map(Header::indexed);
                    let due = due(header.as_ref(), &reply, &self.options.ack, received.at);
                    (reply, due)
                }
                What::Acknowledgement => {
                    let due = self.acknowledge_ack(&received).await;
                    (Reply::Refused(problem(200, "an acknowledgement is no message", false)), due)
                }
                What::Silent => {
                    self.keep(&received, "no_header", "100 no MSH segment").await;
                    (Reply::Refused(problem(100, "no MSH segment", true)), Due::default())
                }
            };
            told.push((received, reply, due));
        }
        told
    }

    async fn take(&self, messages: &[&Received], unit: Unit) -> Vec<Reply> {
        if messages.is_empty() {
            return Vec::new();
        }
        let taking = self.intake.receive_all(messages, unit);
        timeout(self.options.timeouts.ack, taking).await.unwrap_or_else(|_| {
            let reason = "the store did not answer in time; send it again".to_owned();
            vec![Reply::Unavailable { reason }; messages.len()]
        })
    }

    fn due(&self, received: &Received, reply: &Reply) -> Due {
        match reply {
            Reply::Accepted { .. } => self.status.received(received.at),
            Reply::Refused(problem) => self.status.refused(received.at, &problem.text),
            Reply::Unavailable { reason } => self.status.refused(received.at, reason),
        }
        let header = Header::read_best_effort(received.payload.expose()).map(Header::indexed);
        due(header.as_ref(), reply, &self.options.ack, received.at)
    }

    /// An acknowledgement is no message: it is kept as evidence, and only a commit ACK that its MSH-15
    /// asks for answers it. Two engines would acknowledge each other for ever otherwise.
    async fn acknowledge_ack(&self, received: &Received) -> Due {
        let kept = self.keep(received, "ack", "ack: an acknowledgement came to a listener").await;
        let header = Header::read_best_effort(received.payload.expose());
        if mode(header.as_ref(), &self.options.ack) == AckMode::Byte {
            let outcome = if kept { Outcome::Accept } else { Outcome::Error };
            return Due { acks: vec![byte(outcome)], close: false };
        }
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
    let mut has_answer = false;
    let only_answer = segments.all(|segment| {
        let id = segment.get(..3).unwrap_or_default();
        has_answer |= id == b"MSA";
        ACK_SEGMENTS.contains(&id)
    });
    has_answer && only_answer
}

/// Whether nothing is said: white space, or the single byte that acknowledges in MLLP release 2.
fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace) || matches!(bytes, [mllp::ACK | mllp::NAK])
}

/// The reply to a message that the intake said nothing of: it is sent again.
fn lost() -> Reply {
    Reply::Unavailable { reason: "no answer".to_owned() }
}

/// Frames an answer. An answer that holds the end of a frame (its sender's MSH-10 held it) cannot be
/// sent: it would be cut, and its rest taken for another.
fn put_frame(out: &mut Vec<u8>, ack: &[u8]) {
    let _unsendable = mllp::put(ack, out);
}
