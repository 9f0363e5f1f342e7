//! Senders and receivers for the end-to-end cases, as cheap as tokio allows, on threads of their own
//! (named `load`), so that what is measured is the engine.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::report::number;
use crate::sample::oru;

/// How long a case waits for its last delivery.
const PATIENCE: Duration = Duration::from_secs(120);

/// The threads of senders and receivers.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| threads("load"))
}

/// Two threads with a name, by which their CPU time is told apart.
pub(crate) fn threads(name: &str) -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().thread_name(name).build().unwrap()
}

/// A message with this number, framed for MLLP.
pub(crate) fn framed(n: usize) -> Bytes {
    let text = oru(number(n));
    let mut frame = Vec::with_capacity(text.len() + 3);
    frame.push(0x0b);
    frame.extend_from_slice(text.as_bytes());
    frame.extend_from_slice(b"\x1c\r");
    frame.into()
}

/// Takes one whole frame's content out of `buffer`.
pub(crate) fn take_frame(buffer: &mut BytesMut) -> Option<BytesMut> {
    let end = memchr(0x1c, buffer)?;
    if buffer.len() < end + 2 {
        return None;
    }
    let mut frame = buffer.split_to(end + 2);
    frame.truncate(end);
    frame.advance(1);
    Some(frame)
}

/// MSH-10 of a message: the tenth field, MSH-1 being the separator itself.
fn control_id(message: &[u8]) -> &[u8] {
    message.split(|byte| *byte == b'|').nth(9).unwrap_or_default()
}

/// The acknowledgement of a message, framed.
pub(crate) fn ack(message: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(
        b"\x0bMSH|^~\\&|SINK|HOSP|MEDWAY|HOSP|20260101120000||ACK^R01^ACK|A|P|2.5.1\rMSA|AA|",
    );
    into.extend_from_slice(control_id(message));
    into.extend_from_slice(b"\r\x1c\r");
}

/// How a sink behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Answers at once.
    Prompt,
    /// The same, and notes when each message came.
    Noting,
    /// Takes everything and never answers.
    Silent,
}

/// A receiver.
pub(crate) struct Sink {
    /// Where it listens.
    pub(crate) port: u16,
    seen: Arc<Seen>,
    tasks: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    count: AtomicUsize,
    arrivals: Mutex<Vec<(usize, Instant)>>,
}

impl Sink {
    /// Starts one on a free port.
    pub(crate) fn start(manner: Manner) -> Self {
        Self::start_on(0, manner)
    }

    /// Starts one on a port that may have been another's.
    pub(crate) fn start_on(port: u16, manner: Manner) -> Self {
        let _inside = runtime().enter();
        let listener = runtime().block_on(TcpListener::bind(("127.0.0.1", port))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        let noted = Arc::clone(&seen);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                connections.spawn(sink_connection(stream, Arc::clone(&noted), manner));
            }
        });
        Self { port, seen, tasks }
    }

    /// Several.
    pub(crate) fn many(count: usize) -> Vec<Self> {
        (0..count).map(|_| Self::start(Manner::Prompt)).collect()
    }

    /// Messages received.
    pub(crate) fn count(&self) -> usize {
        self.seen.count.load(Ordering::Relaxed)
    }

    /// What came when, by the numbers of the messages; from now on anew.
    pub(crate) fn arrivals(&self) -> Vec<(usize, Instant)> {
        std::mem::take(&mut self.seen.arrivals.lock().unwrap())
    }

    /// Ends it.
    pub(crate) fn stop(mut self) {
        runtime().block_on(self.tasks.shutdown());
    }
}

async fn sink_connection(mut stream: TcpStream, seen: Arc<Seen>, manner: Manner) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    let mut answers = Vec::new();
    while stream.read_buf(&mut buffer).await.is_ok_and(|size| size > 0) {
        answers.clear();
        while let Some(frame) = take_frame(&mut buffer) {
            seen.count.fetch_add(1, Ordering::Relaxed);
            if manner == Manner::Noting {
                let id =
                    String::from_utf8_lossy(control_id(&frame)).trim_start_matches('C').parse();
                seen.arrivals.lock().unwrap().push((id.unwrap(), Instant::now()));
            }
            ack(&frame, &mut answers);
        }
        if manner != Manner::Silent && stream.write_all(&answers).await.is_err() {
            return;
        }
    }
}

/// What the senders saw.
#[derive(Debug)]
pub(crate) struct Load {
    /// When the first byte was sent.
    pub(crate) began: Instant,
    /// From the first byte to the last answer.
    pub(crate) elapsed: Duration,
    /// Time to each answer, sorted.
    pub(crate) waits: Vec<Duration>,
}

/// The wait, in microseconds, that so many thousandths of all did not exceed.
pub(crate) fn quantile(sorted: &[Duration], thousandths: usize) -> f64 {
    let place = sorted.len() * thousandths / 1000;
    sorted[place.min(sorted.len() - 1)].as_secs_f64() * 1e6
}

/// How much is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Connections.
    pub(crate) connections: usize,
    /// Messages in flight on each.
    pub(crate) outstanding: usize,
    /// Messages, all connections together: a multiple of their number.
    pub(crate) messages: usize,
    /// First message number: control ids never repeat within a run.
    pub(crate) first: usize,
}

/// Sends as fast as answers come (closed loop). Every answer must be positive.
pub(crate) fn closed_loop(port: u16, shape: Shape) -> Load {
    send_all(port, shape, None)
}

/// The same, but a message is sent only when fewer than `limit` of those before it have not reached every
/// sink: senders do not outrun slow receivers, so that nothing piles up.
pub(crate) fn paced_loop(port: u16, shape: Shape, sinks: &[Sink], limit: usize) -> Load {
    let room = Arc::new(Semaphore::new(limit));
    let (give, seen) = (Arc::clone(&room), sinks.iter().map(|sink| Arc::clone(&sink.seen)));
    let seen: Vec<_> = seen.collect();
    let mut given = shape.first;
    let pace = move || {
        while given < shape.first + shape.messages {
            let counts = seen.iter().map(|seen| seen.count.load(Ordering::Relaxed));
            let delivered = counts.min().unwrap_or_default().max(given);
            give.add_permits(delivered - given);
            given = delivered;
            std::thread::sleep(Duration::from_micros(100));
        }
    };
    let pacer = std::thread::Builder::new().name("load".to_owned()).spawn(pace).unwrap();
    let load = send_all(port, shape, Some(room));
    pacer.join().unwrap();
    load
}

fn send_all(port: u16, shape: Shape, room: Option<Arc<Semaphore>>) -> Load {
    let each = shape.messages / shape.connections;
    let work: Vec<Vec<Bytes>> = (0..shape.connections)
        .map(|connection| (0..each).map(|n| framed(shape.first + connection * each + n)).collect())
        .collect();
    runtime().block_on(async move {
        let mut ready = Vec::new();
        for frames in work {
            let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream.set_nodelay(true).unwrap();
            ready.push((stream, frames));
        }
        let mut senders = JoinSet::new();
        let began = Instant::now();
        for (stream, frames) in ready {
            senders.spawn(send_closed(stream, frames, shape.outstanding, room.clone()));
        }
        let mut waits: Vec<Duration> = senders.join_all().await.into_iter().flatten().collect();
        waits.sort_unstable();
        Load { began, elapsed: began.elapsed(), waits }
    })
}

async fn send_closed(
    mut stream: TcpStream,
    frames: Vec<Bytes>,
    outstanding: usize,
    room: Option<Arc<Semaphore>>,
) -> Vec<Duration> {
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    let mut starts = VecDeque::new();
    let mut waits = Vec::with_capacity(frames.len());
    let mut rest = frames.iter();
    while waits.len() < frames.len() {
        let mut out = Vec::new();
        while starts.len() < outstanding {
            let Some(frame) = rest.next() else { break };
            if let Some(room) = &room {
                room.acquire().await.unwrap().forget();
            }
            out.extend_from_slice(frame);
            starts.push_back(Instant::now());
        }
        if !out.is_empty() {
            stream.write_all(&out).await.unwrap();
        }
        assert!(stream.read_buf(&mut buffer).await.unwrap() > 0, "the connection was closed");
        while let Some(answer) = take_frame(&mut buffer) {
            assert!(is_positive(&answer), "a message was refused");
            waits.push(starts.pop_front().unwrap().elapsed());
        }
    }
    waits
}

fn is_positive(answer: &[u8]) -> bool {
    memchr::memmem::find(answer, b"MSA|AA|").is_some()
}

/// When the message with this place is due, at a rate.
pub(crate) fn due(began: Instant, place: usize, rate: f64) -> Instant {
    began + Duration::from_secs_f64(f64::from(u32::try_from(place).unwrap()) / rate)
}

/// Sends `rate` messages a second, each at its due time on the next connection in turn, one outstanding
/// on each; waits count from the moment a message was due (no coordinated omission). Threads instead of
/// tasks, because timers of tasks wake by the millisecond.
pub(crate) fn open_loop(port: u16, shape: Shape, rate: f64) -> Load {
    let each = shape.messages / shape.connections;
    let began = Instant::now() + Duration::from_millis(300);
    let senders: Vec<_> = (0..shape.connections)
        .map(|connection| {
            let places = (0..each).map(move |turn| turn * shape.connections + connection);
            let frames: Vec<_> = places
                .map(|place| (due(began, place, rate), framed(shape.first + place)))
                .collect();
            let stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            let sender = std::thread::Builder::new().name("load".to_owned());
            sender.spawn(move || send_open(stream, &frames)).unwrap()
        })
        .collect();
    let mut waits: Vec<_> = senders.into_iter().flat_map(|one| one.join().unwrap()).collect();
    waits.sort_unstable();
    Load { began, elapsed: began.elapsed(), waits }
}

fn send_open(mut stream: std::net::TcpStream, frames: &[(Instant, Bytes)]) -> Vec<Duration> {
    stream.set_nodelay(true).unwrap();
    let mut waits = Vec::with_capacity(frames.len());
    let mut answer = [0; 4096];
    for (due, frame) in frames {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        stream.write_all(frame).unwrap();
        let mut size = 0;
        while !answer[..size].ends_with(b"\x1c\r") {
            let read = stream.read(&mut answer[size..]).unwrap();
            assert!(read > 0, "the connection was closed");
            size += read;
        }
        assert!(is_positive(&answer[..size]), "a message was refused");
        waits.push(due.elapsed());
    }
    waits
}

/// Waits until each sink has `count` messages; answers how long after `began` that was.
pub(crate) fn delivered(sinks: &[Sink], count: usize, began: Instant) -> Duration {
    let limit = Instant::now() + PATIENCE;
    while !sinks.iter().all(|sink| sink.count() >= count) {
        assert!(Instant::now() < limit, "not everything was delivered in time");
        std::thread::sleep(Duration::from_micros(500));
    }
    began.elapsed()
}
