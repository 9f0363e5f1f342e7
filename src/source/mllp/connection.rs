//! One connection: reads frames, keeps several in flight, writes the answers in their order.
//!
//! ```text
//! reading ──(EOF, stop, a limit, an answer that closes)──▶ finishing ──(nothing in flight)──▶ closed
//! ```
//! Frames of one read go to the store together; the calls of one connection are made in the order of
//! its frames, and `Pending` hands their answers back in that order.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::FutureExt;
use metrics::counter;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::warn;

use crate::hl7::mllp::{Decoder, Event, START};
use crate::source::budget::{FREE_BYTES, Share};
use crate::source::gate::Ticket;
use crate::source::mllp::desk::{Answers, Desk, Sender};
use crate::source::mllp::pending::Pending;
use crate::telemetry::metrics::{GARBAGE_BYTES, MESSAGES_REFUSED, READING_PAUSED};

/// How much is read at once.
const READ_BYTES: usize = 32 << 10;
/// A frame below this is copied out of the read buffer, so that one stored message does not keep a
/// whole buffer in memory.
const COPIED_BYTES_MAX: usize = 32 << 10;
/// How long a frame that ended without its CR is waited for.
const FRAME_PAUSE: Duration = Duration::from_millis(250);
/// After a refusal that closes, this much is still read and dropped, so that the answer is not lost
/// to a reset: bytes and time.
const LINGER_BYTES: usize = 16 << 20;
const LINGER: Duration = Duration::from_secs(2);
/// What may begin a connection that is no MLLP: HTTP methods and the TLS handshake record.
const OTHER_PROTOCOLS: [&[u8]; 10] = [
    b"GET ",
    b"POST ",
    b"PUT ",
    b"HEAD ",
    b"OPTIONS ",
    b"DELETE ",
    b"PATCH ",
    b"CONNECT ",
    b"PRI * ",
    b"\x16\x03",
];

/// One connection of a sender.
pub(super) struct Connection<S> {
    desk: Arc<Desk>,
    stream: S,
    sender: Arc<Sender>,
    ticket: Ticket,
    decoder: Decoder,
    in_flight: Pending<Answers>,
    frames: usize,
    bytes: usize,
    /// What it holds of the budget of all connections.
    share: Share,
    /// The first bytes, until it is clear that they are MLLP.
    opening: Option<Vec<u8>>,
    garbage_reported: bool,
    finishing: bool,
    clock: Marks,
}

/// Moments that deadlines count from.
struct Marks {
    last: Instant,
    frame: Option<Instant>,
    first_byte_seen: bool,
    /// Since when it is not read for want of room.
    paused: Option<Instant>,
}

/// What a deadline means when it passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    FirstByte,
    InFrame,
    Idle,
    Pause,
    Room,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) fn new(desk: Arc<Desk>, stream: S, sender: Sender, ticket: Ticket) -> Self {
        let decoder = Decoder::new(desk.decoding());
        let clock =
            Marks { last: Instant::now(), frame: None, first_byte_seen: false, paused: None };
        let share = desk.share();
        Self {
            desk,
            stream,
            sender: Arc::new(sender),
            ticket,
            decoder,
            in_flight: Pending::new(),
            frames: 0,
            bytes: 0,
            share,
            opening: Some(Vec::new()),
            garbage_reported: false,
            finishing: false,
            clock,
        }
    }

    /// Serves it to its end.
    pub(super) async fn talk(mut self) {
        let stop = self.ticket.stop.clone();
        let mut stopped = pin!(stop.cancelled());
        // Deadlines mostly move away: the timer is set anew only when one comes nearer, or when it ran
        // out too early.
        let mut timer = pin!(sleep_until(self.deadline().0));
        while !(self.finishing && self.in_flight.is_empty()) {
            let wants_to_read = !self.finishing && self.has_room();
            let wanted = self.wanted(wants_to_read);
            let fits = self.share.hold(wanted);
            self.pause(wants_to_read && !fits);
            let (may_read, paused) = (wants_to_read && fits, wants_to_read && !fits);
            let (deadline, wait) = self.deadline();
            if deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
            }
            self.decoder.buffer().reserve(if may_read { READ_BYTES } else { 0 });
            tokio::select! {
                biased;
                Some(answers) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                    if !self.answer(answers).await {
                        return;
                    }
                }
                () = &mut stopped, if !self.finishing => self.finishing = true,
                read = self.stream.read_buf(self.decoder.buffer()), if may_read => {
                    self.took(read);
                }
                () = self.share.room(wanted), if paused => {}
                () = &mut timer, if wants_to_read => {
                    timer.as_mut().reset(deadline);
                    if deadline <= Instant::now() {
                        self.ran_out(wait);
                    }
                }
            }
        }
        // A clean end for TLS; whether the peer still listens is its affair.
        drop(timeout(self.desk.options.timeouts.write, self.stream.shutdown()).await);
    }

    fn has_room(&self) -> bool {
        let options = &self.desk.options;
        self.frames < options.frames_in_flight_max && self.bytes <= options.message_bytes_max
    }

    /// What it holds at most after the next read: the buffer doubles when it grows, and large frames keep the
    /// whole of the one they came in.
    fn wanted(&mut self, reads: bool) -> usize {
        let in_flight = self.bytes.saturating_mul(2);
        let buffer = self.decoder.buffer();
        if buffer.is_empty() && buffer.capacity() > FREE_BYTES {
            *buffer = BytesMut::new();
        }
        let (size, capacity) = (buffer.len(), buffer.capacity());
        let grows = reads && capacity - size < READ_BYTES;
        let most = capacity.saturating_mul(2).max(size.saturating_add(READ_BYTES));
        in_flight.saturating_add(if grows { most } else { capacity })
    }

    /// Notes whether there is no room to read; the sender is not made to pay for the time.
    fn pause(&mut self, paused: bool) {
        match (self.clock.paused, paused) {
            (None, true) => {
                self.clock.paused = Some(Instant::now());
                let channel = self.desk.channel.to_string();
                counter!(READING_PAUSED, "channel" => channel).increment(1);
            }
            (Some(since), false) => {
                self.clock.paused = None;
                self.clock.last = Instant::now();
                self.clock.frame = self.clock.frame.map(|began| began + since.elapsed());
            }
            _ => {}
        }
    }

    /// Until when the next byte must come.
    fn deadline(&self) -> (Instant, Wait) {
        let timeouts = &self.desk.options.timeouts;
        let Marks { last, frame, first_byte_seen, paused } = self.clock;
        if let Some(since) = paused {
            return (since + timeouts.frame, Wait::Room);
        }
        if self.decoder.may_end_at_pause() {
            return (last + FRAME_PAUSE, Wait::Pause);
        }
        match frame {
            Some(began) => ((last + timeouts.in_frame).min(began + timeouts.frame), Wait::InFrame),
            None if first_byte_seen => (last + timeouts.idle, Wait::Idle),
            None => (last + timeouts.first_byte, Wait::FirstByte),
        }
    }

    fn ran_out(&mut self, wait: Wait) {
        match wait {
            Wait::Pause => {
                let event = self.decoder.end_at_pause();
                self.took_events(event.into_iter().collect());
            }
            // Work in flight keeps a quiet connection open.
            Wait::Idle | Wait::FirstByte if !self.in_flight.is_empty() => {
                self.clock.last = Instant::now();
            }
            Wait::Idle => self.finishing = true,
            Wait::FirstByte | Wait::InFrame => self.give_up("timeout"),
            Wait::Room => self.give_up("memory"),
        }
    }

    fn give_up(&mut self, reason: &'static str) {
        self.desk.gate.refused(self.sender.peer, reason);
        self.finishing = true;
    }

    /// What a read brought.
    fn took(&mut self, read: io::Result<usize>) {
        self.clock.last = Instant::now();
        let Ok(size @ 1..) = read else {
            // The end of the stream also ends a frame whose CR is missing.
            let last = self.decoder.end_at_pause();
            self.took_events(last.into_iter().collect());
            if self.decoder.is_inside() {
                self.count_refused("incomplete");
            }
            self.finishing = true;
            return;
        };
        self.clock.first_byte_seen = true;
        if self.is_other_protocol(size) {
            return self.give_up("protocol");
        }
        let events = std::iter::from_fn(|| self.decoder.next_event()).collect();
        self.took_events(events);
        self.check_garbage();
    }

    /// Whether the connection began as HTTP or TLS. Looks at no more than the longest of these words.
    fn is_other_protocol(&mut self, size: usize) -> bool {
        let Some(opening) = &mut self.opening else { return false };
        let buffer: &BytesMut = self.decoder.buffer();
        let fresh = buffer.get(buffer.len().saturating_sub(size)..).unwrap_or_default();
        opening.extend_from_slice(fresh.get(..16).unwrap_or(fresh));
        if OTHER_PROTOCOLS.iter().any(|word| opening.starts_with(word)) {
            return true;
        }
        if opening.first() == Some(&START) || opening.len() >= 16 {
            self.opening = None;
        }
        false
    }

    fn took_events(&mut self, events: Vec<Event>) {
        let mut whole = false;
        let mut frames = Vec::new();
        for event in events {
            match event {
                Event::Frame(frame) => {
                    whole = true;
                    frames.push(compact(frame));
                }
                Event::Garbage { .. } => {}
                Event::Restarted { .. } => {
                    whole = true;
                    self.count_refused("nested_start");
                    self.desk.tell("a frame began inside another, which was dropped");
                }
                Event::Nested { prefix } => {
                    self.submit(std::mem::take(&mut frames));
                    self.refuse(prefix, "nested_start", "a frame began inside another");
                }
                Event::Oversize { prefix } => {
                    self.submit(std::mem::take(&mut frames));
                    let most = self.desk.options.message_bytes_max;
                    let text = format!("the message is larger than {most} bytes");
                    self.refuse(prefix, "too_large", &text);
                }
            }
        }
        self.submit(frames);
        if whole || !self.decoder.is_inside() {
            self.clock.frame = None;
        }
        if self.decoder.is_inside() && self.clock.frame.is_none() {
            self.clock.frame = Some(self.clock.last);
        }
    }

    /// Hands frames to the desk; their answers come in this order.
    fn submit(&mut self, frames: Vec<Bytes>) {
        for work in self.desk.sort(frames, &self.sender) {
            self.frames += work.frames;
            self.bytes += work.bytes;
            self.in_flight.push(Arc::clone(&self.desk).answer(work).boxed());
        }
    }

    /// Answers what was given up while it was read, then ends the connection.
    fn refuse(&mut self, prefix: Bytes, reason: &'static str, text: &str) {
        self.count_refused(reason);
        self.desk.tell(text);
        let work = self.desk.refusal(prefix, text, &self.sender);
        self.frames += 1;
        self.in_flight.push(Arc::clone(&self.desk).answer(work).boxed());
        self.finishing = true;
    }

    fn count_refused(&self, reason: &'static str) {
        let channel = self.desk.channel.to_string();
        counter!(MESSAGES_REFUSED, "channel" => channel, "reason" => reason).increment(1);
    }

    /// Bytes outside of frames: reported once, too many end the connection.
    fn check_garbage(&mut self) {
        let skipped = self.decoder.skipped();
        if skipped == 0 || self.finishing {
            return;
        }
        if !self.garbage_reported {
            self.garbage_reported = true;
            warn!(channel = %self.desk.channel, peer = %self.sender.peer, "bytes outside of frames");
            self.desk.tell("bytes outside of frames");
        }
        if skipped > self.desk.options.garbage_bytes_max {
            self.give_up("garbage");
        }
    }

    /// Writes an answer and all that are ready behind it in one go. `false`: the connection is over.
    async fn answer(&mut self, first: Answers) -> bool {
        let mut out = Vec::new();
        let mut next = Some(first);
        let mut goes_on = true;
        while let Some(answers) = next.take() {
            self.frames = self.frames.saturating_sub(answers.frames);
            self.bytes = self.bytes.saturating_sub(answers.bytes);
            self.desk.note(&answers);
            out.extend_from_slice(&answers.out);
            if answers.close {
                goes_on = false;
                break;
            }
            next = self.in_flight.next().now_or_never().flatten();
        }
        let limit = self.desk.options.timeouts.write;
        let written = timeout(limit, async {
            self.stream.write_all(&out).await?;
            self.stream.flush().await
        });
        match written.await {
            Ok(Ok(())) if goes_on => true,
            Ok(Ok(())) => {
                self.linger().await;
                false
            }
            Ok(Err(_)) => false,
            Err(_) => {
                self.desk.gate.refused(self.sender.peer, "timeout");
                false
            }
        }
    }

    /// Closes our side and drops what still comes.
    async fn linger(&mut self) {
        let rest = async {
            self.stream.shutdown().await?;
            let mut drop_to = vec![0; READ_BYTES];
            let mut left = LINGER_BYTES;
            while left > 0 {
                match self.stream.read(&mut drop_to).await? {
                    0 => break,
                    size => left = left.saturating_sub(size),
                }
            }
            io::Result::Ok(())
        };
        // Whether the peer read our answer is its affair now.
        drop(timeout(LINGER, rest).await);
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        let skipped = self.decoder.skipped();
        if skipped > 0 {
            counter!(GARBAGE_BYTES, "channel" => self.desk.channel.to_string()).increment(skipped);
        }
    }
}

fn compact(frame: Bytes) -> Bytes {
    if frame.len() < COPIED_BYTES_MAX { Bytes::copy_from_slice(&frame) } else { frame }
}
