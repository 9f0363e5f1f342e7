//! One connection to a receiver, as a task: writes messages, pairs answers, closes when in doubt.
//!
//! ```text
//!           request                last byte             its answer
//!  idle ───────────────▶ writing ────────────▶ waiting ─────────────▶ idle
//!   │ closed by peer        │ broken: Cut         │ timeout, wrong id, garbage, closed
//!   ▼ idle too long         ▼                     ▼
//!  gone (NotWritten)       gone                  gone: every message that waits is Unanswered
//! ```
//! With `in_flight` above 1, writing and waiting overlap. A connection that is gone is never used
//! again: a late answer dies with it and cannot be credited to a later message.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::destination::mllp::answer::{Ack, Ending, Fault};
use crate::destination::mllp::connect::{Link, words};
use crate::destination::mllp::frames::{AnswerReader, Edges};
use crate::destination::mllp::options::{
    AnswerForm, ControlIdCheck, KeepOpen, MllpDestinationOptions,
};
use crate::destination::mllp::pairing::{Paired, Pairing};
use crate::destination::mllp::writing::{PIECES_MAX, Part, TOGETHER_BYTES_MAX, Writing};
use crate::hl7::mllp::Event;
use crate::telemetry::crash;

/// How long a frame's last `0D` may take after its `1C`.
const PAUSE: Duration = Duration::from_millis(100);
/// How long to read what waits on a secured socket before a message is written.
const GLANCE: Duration = Duration::from_millis(10);
/// How long the farewell of a connection may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// A message to send, and whom to tell.
pub(super) struct Request {
    /// The message, without its frame.
    pub(super) body: Bytes,
    /// MSH-10, raw.
    pub(super) control_id: Bytes,
    /// Told exactly once.
    pub(super) reply: oneshot::Sender<Ending>,
}

/// What the task tells the destination beside its replies.
pub(super) trait Watch: Send + Sync {
    /// An answer came that belongs to no message that waits.
    fn stray_answer(&self, text: &str);
    /// A connection that a receiver opened was refused.
    fn refused(&self, peer: SocketAddr, reason: &'static str);
    /// A connection was opened (1) or is gone (-1).
    fn connections(&self, change: f64);
}

/// Why the loop ends: what to tell those that wait.
struct End(Fault);

pub(super) struct Connection {
    link: Box<dyn Link>,
    options: Arc<MllpDestinationOptions>,
    watch: Arc<dyn Watch>,
    edges: Edges,
    reader: AnswerReader,
    chunk: Box<[u8]>,
    garbage: usize,
    writing: Option<Writing>,
    pairing: Pairing<oneshot::Sender<Ending>>,
    last_used: Instant,
    last_read: Instant,
    is_last: bool,
}

enum Step {
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    Flushed(io::Result<()>),
}

impl Connection {
    pub(super) fn new(
        link: Box<dyn Link>,
        options: Arc<MllpDestinationOptions>,
        watch: Arc<dyn Watch>,
    ) -> Self {
        watch.connections(1.0);
        let now = Instant::now();
        Self {
            link,
            edges: Edges::of(&options),
            reader: AnswerReader::new(&options),
            pairing: Pairing::new(options.commit_ack, id_check(&options)),
            options,
            watch,
            chunk: vec![0; 4096].into_boxed_slice(),
            garbage: 0,
            writing: None,
            last_used: now,
            last_read: now,
            is_last: false,
        }
    }

    /// Serves requests until the connection is given up; then tells all that are left.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        stop: CancellationToken,
    ) {
        let End(fault) = self.serve(&mut requests, &stop).await;
        requests.close();
        self.give_up(&fault);
        while let Some(request) = requests.recv().await {
            tell(request.reply, Ending::NotWritten(fault.clone()));
        }
        self.watch.connections(-1.0);
        // Dropped at once after this; an error here changes nothing for any message.
        drop(timeout(FAREWELL, self.link.shutdown()).await);
    }

    async fn serve(
        &mut self,
        requests: &mut mpsc::Receiver<Request>,
        stop: &CancellationToken,
    ) -> End {
        let in_flight = usize::try_from(self.options.in_flight).unwrap_or(usize::MAX).max(1);
        // Deadlines mostly move away: the timer is set anew only when one comes nearer, or when it ran
        // out too early.
        let mut timer = pin!(sleep_until(Instant::now() + self.options.idle_max));
        let mut stopped = pin!(stop.cancelled());
        loop {
            let is_idle = self.writing.is_none() && self.pairing.is_empty();
            if is_idle && self.is_last {
                return End(Fault::new("closed", "one message for each connection"));
            }
            let room = in_flight.saturating_sub(self.pairing.len());
            let takes = self.writing.is_none() && room > 0 && !self.is_last;
            let deadline = self.deadline(is_idle);
            if deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
            }
            let ended = tokio::select! {
                biased;
                step = next_step(&mut self.link, &mut self.chunk, self.writing.as_ref()) => self.stepped(step),
                () = &mut timer => {
                    timer.as_mut().reset(deadline);
                    if deadline <= Instant::now() { self.timed_out(is_idle) } else { Ok(()) }
                }
                request = requests.recv(), if takes => match request {
                    Some(request) => self.begin(request, requests, room).await,
                    None if is_idle => Err(End(Fault::new("closed", "the destination was stopped"))),
                    None => {
                        self.is_last = true;
                        Ok(())
                    }
                },
                () = &mut stopped, if is_idle => {
                    Err(End(Fault::new("stopped", "the engine is stopping")))
                }
            };
            if let Err(end) = ended {
                return end;
            }
        }
    }

    /// The moment at which something must have happened.
    fn deadline(&self, is_idle: bool) -> Instant {
        let mut deadline = if is_idle {
            self.last_used + self.options.idle_max
        } else {
            let writing = self.writing.as_ref().map(|writing| writing.deadline);
            let waiting = self.pairing.deadline();
            writing.into_iter().chain(waiting).min().unwrap_or(self.last_used)
        };
        if self.reader.may_end_at_pause() {
            deadline = deadline.min(self.last_read + PAUSE);
        }
        deadline
    }

    fn timed_out(&mut self, is_idle: bool) -> Result<(), End> {
        let now = Instant::now();
        if self.reader.may_end_at_pause() && now >= self.last_read + PAUSE {
            let event = self.reader.end_at_pause();
            return event.map_or(Ok(()), |event| self.happened(event));
        }
        if is_idle {
            return Err(End(Fault::new("closed", "the connection was idle for too long")));
        }
        if self.writing.as_ref().is_some_and(|writing| writing.deadline <= now) {
            let limit = words(self.options.write_within);
            return Err(End(Fault::new("timeout", format!("not written within {limit}"))));
        }
        let limit = words(self.options.reply_within);
        Err(End(Fault::new("timeout", format!("no answer within {limit}; connection closed"))))
    }

    /// Takes a request and those that wait behind it, as far as there is room, unless the connection
    /// turns out to be stale.
    async fn begin(
        &mut self,
        request: Request,
        requests: &mut mpsc::Receiver<Request>,
        room: usize,
    ) -> Result<(), End> {
        let fresh = match self.pairing.is_empty() {
            true => self.look().await,
            false => Ok(()),
        };
        if let Err(End(fault)) = fresh {
            tell(request.reply, Ending::NotWritten(fault.clone()));
            return Err(End(fault));
        }
        self.is_last = self.options.connection == KeepOpen::CloseAfterEach;
        let deadline = Instant::now() + self.options.write_within;
        let mut size = request.body.len();
        let mut together = vec![request];
        while together.len() < room && size < TOGETHER_BYTES_MAX && !self.is_last {
            let Ok(next) = requests.try_recv() else { break };
            size = size.saturating_add(next.body.len());
            together.push(next);
        }
        self.writing = Some(Writing::new(self.edges.clone(), together, deadline));
        Ok(())
    }

    /// Looks at an idle socket once more, past what the reactor already told: has the peer closed it,
    /// or said something nobody asked for?
    async fn look(&mut self) -> Result<(), End> {
        let mut byte = [MaybeUninit::uninit(); 1];
        match SockRef::from(self.link.socket()).peek(&mut byte) {
            Ok(0) => return Err(closed_while_idle()),
            Ok(_) => self.read_what_waits().await?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(broken(&error)),
        }
        if self.reader.is_inside() {
            return Err(self.stray("a part of an answer that nobody waits for"));
        }
        Ok(())
    }

    async fn read_what_waits(&mut self) -> Result<(), End> {
        // On a secured socket these may be records of TLS itself, which yield no bytes to read.
        let limit = if self.link.is_secured() { GLANCE } else { FAREWELL };
        match timeout(limit, next_step(&mut self.link, &mut self.chunk, None)).await {
            Ok(step) => self.stepped(step),
            Err(_) => Ok(()),
        }
    }

    fn stepped(&mut self, step: Step) -> Result<(), End> {
        match step {
            Step::Read(Ok(0)) => self.peer_closed(),
            Step::Read(Ok(count)) => {
                self.last_read = Instant::now();
                let bytes = self.chunk.get(..count).unwrap_or_default();
                self.reader.push(bytes);
                while let Some(event) = self.reader.next_event() {
                    self.happened(event)?;
                }
                Ok(())
            }
            Step::Wrote(Ok(0)) => Err(End(Fault::new("reset", "the socket takes no more bytes"))),
            Step::Wrote(Ok(count)) => {
                crash::point("delivery_after_send");
                if let Some(writing) = &mut self.writing {
                    writing.wrote(count);
                }
                // A plain socket keeps nothing back; a secured one is flushed first.
                if !self.link.is_secured() {
                    self.handed_over();
                }
                Ok(())
            }
            Step::Flushed(Ok(())) => {
                self.handed_over();
                Ok(())
            }
            Step::Read(Err(error)) | Step::Wrote(Err(error)) | Step::Flushed(Err(error)) => {
                Err(broken(&error))
            }
        }
    }

    /// What the socket has whole waits for its answer from now on.
    fn handed_over(&mut self) {
        self.last_used = Instant::now();
        while let Some(request) = self.writing.as_mut().and_then(Writing::take_whole) {
            self.waits(request);
        }
        self.writing.take_if(|writing| writing.is_whole());
    }

    fn waits(&mut self, request: Request) {
        if self.options.answer == AnswerForm::Nothing {
            return tell(request.reply, Ending::Written);
        }
        let deadline = self.last_used + self.options.reply_within;
        self.pairing.sent(request.control_id, request.reply, deadline);
    }

    fn peer_closed(&mut self) -> Result<(), End> {
        if let Some(event) = self.reader.end_at_pause() {
            self.happened(event)?;
        }
        if self.writing.is_none() && self.pairing.is_empty() {
            return Err(closed_while_idle());
        }
        Err(End(Fault::new("closed", "the receiver closed the connection without an answer")))
    }

    fn happened(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Frame(_) | Event::Garbage { .. } | Event::Restarted { .. }
                if self.options.answer == AnswerForm::Nothing =>
            {
                Ok(())
            }
            Event::Frame(frame) => self.answered(&frame),
            Event::Garbage { bytes } | Event::Restarted { bytes } => {
                self.garbage = self.garbage.saturating_add(bytes);
                if self.garbage > self.options.answer_bytes_max {
                    return Err(End(Fault::new("garbage", "too many bytes outside of frames")));
                }
                Ok(())
            }
            Event::Nested { .. } | Event::Oversize { .. } => {
                let limit = self.options.answer_bytes_max;
                Err(End(Fault::new("garbage", format!("an answer over {limit} bytes"))))
            }
        }
    }

    fn answered(&mut self, frame: &Bytes) -> Result<(), End> {
        let ack = match self.options.answer {
            AnswerForm::Byte => Ack::of_byte(frame),
            AnswerForm::Hl7 | AnswerForm::Nothing => Ack::read(frame),
        };
        let Some(ack) = ack else {
            if self.pairing.is_empty() && self.writing.is_none() {
                return Err(self.stray("a frame that nobody waits for"));
            }
            return Err(End(Fault::new("garbage", "a frame that is no acknowledgement (no MSA)")));
        };
        if self.pairing.is_empty() {
            // The receiver may answer before a secured link says that it is flushed.
            match self.writing.as_mut().and_then(Writing::take_whole) {
                Some(request) => self.waits(request),
                None if self.writing.is_some() => return Err(self.answered_early(ack)),
                None => {}
            }
        }
        let now = Instant::now();
        self.last_used = now;
        match self.pairing.answered(&ack, now + self.options.application_within) {
            Paired::Done(reply) => {
                tell(reply, Ending::Answered(ack));
                Ok(())
            }
            Paired::Committed => Ok(()),
            Paired::Foreign => {
                self.watch.stray_answer("an answer carried the id of another message");
                Err(End(Fault::new("wrong_id", "MSA-2 is not the MSH-10 that was sent")))
            }
            Paired::Late => Err(self.stray("a second or late answer, not credited")),
        }
    }

    /// An answer while the message was still being written: a refusal counts (too large, say), consent
    /// to half a message does not.
    fn answered_early(&mut self, ack: Ack) -> End {
        let Some(request) = self.writing.as_mut().and_then(Writing::take_first) else {
            return self.stray("an answer that nobody waits for");
        };
        let is_its_own = request.control_id == ack.control_id;
        let is_refusal = !matches!(ack.code.name(), "AA" | "CA" | "other");
        if is_its_own && is_refusal {
            tell(request.reply, Ending::Answered(ack));
            return End(Fault::new("closed", "refused before it was written whole"));
        }
        self.watch.stray_answer("an answer came before its message was written");
        let fault = Fault::new("wrong_id", "an answer came before the message was written whole");
        tell(request.reply, Ending::Unanswered(fault.clone()));
        End(fault)
    }

    fn stray(&self, text: &str) -> End {
        self.watch.stray_answer(text);
        End(Fault::new("closed", format!("connection closed: {text}")))
    }

    /// Tells every message of this connection how it ended.
    fn give_up(&mut self, fault: &Fault) {
        let now = Instant::now();
        for (request, part) in self.writing.take().into_iter().flat_map(Writing::into_parts) {
            let ending = match part {
                Part::Nothing => Ending::NotWritten(fault.clone()),
                Part::Whole => Ending::Unanswered(fault.clone()),
                Part::Beginning => Ending::Cut(fault.clone()),
            };
            tell(request.reply, ending);
        }
        for (index, (reply, deadline)) in self.pairing.give_up().enumerate() {
            // A timeout or a wrong id is the oldest one's; the others lost their connection by it.
            let is_own = index == 0 || deadline <= now;
            let fault = if is_own || !matches!(fault.code, "timeout" | "wrong_id" | "garbage") {
                fault.clone()
            } else {
                Fault::new("closed", format!("connection closed: {}", fault.text))
            };
            tell(reply, Ending::Unanswered(fault));
        }
    }
}

/// A single byte names no message.
fn id_check(options: &MllpDestinationOptions) -> ControlIdCheck {
    match options.answer {
        AnswerForm::Byte => ControlIdCheck::Ignored,
        AnswerForm::Hl7 | AnswerForm::Nothing => options.control_id,
    }
}

fn closed_while_idle() -> End {
    End(Fault::new("closed", "the receiver closed the idle connection"))
}

fn broken(error: &io::Error) -> End {
    let code = match error.kind() {
        ErrorKind::UnexpectedEof => "closed",
        _ => "reset",
    };
    End(Fault::new(code, format!("the connection broke: {error}")))
}

/// The sender of the message may have gone; then nobody is left to tell.
fn tell(reply: oneshot::Sender<Ending>, ending: Ending) {
    drop(reply.send(ending));
}

/// Reads what has come, else goes on writing. Reading first: a refusal may come while the rest of a
/// large message cannot be written.
async fn next_step(link: &mut Box<dyn Link>, chunk: &mut [u8], writing: Option<&Writing>) -> Step {
    poll_fn(|context| {
        let mut buffer = ReadBuf::new(chunk);
        if let Poll::Ready(result) = Pin::new(&mut *link).poll_read(context, &mut buffer) {
            return Poll::Ready(Step::Read(result.map(|()| buffer.filled().len())));
        }
        writing.map_or(Poll::Pending, |writing| poll_write(link, context, writing))
    })
    .await
}

fn poll_write(
    link: &mut Box<dyn Link>,
    context: &mut Context<'_>,
    writing: &Writing,
) -> Poll<Step> {
    if writing.is_whole() {
        return Pin::new(link).poll_flush(context).map(Step::Flushed);
    }
    let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
    let filled = writing.left(&mut pieces);
    let left = pieces.get(..filled).unwrap_or_default();
    Pin::new(link).poll_write_vectored(context, left).map(Step::Wrote)
}
