//! The floors that the end-to-end cases are held against: MLLP in, a group commit on a raw log file, the
//! answer, then MLLP out. No lanes, no retry, no duplicate check, no SQL, no keys, no limits; everything stays
//! in memory.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memchr_iter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::load::{ack, take_frame, threads};
use crate::probe::RawLog;

/// Messages in one commit, at most.
const BATCH_MAX: usize = 512;

type Waiting = (Bytes, oneshot::Sender<()>);
type Outgoing = mpsc::UnboundedSender<Arc<[Bytes]>>;

/// How much of the work it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The same change for each destination as the engine's channel makes; answers are told apart; how far
    /// each destination came is in the log, which grows.
    Whole,
    /// A preallocated log that holds nothing but messages, two fields copied in, answers counted.
    Barest,
}

/// One destination's way through the messages.
#[derive(Clone)]
struct Outlet {
    name: Arc<str>,
    scope: Scope,
    window: usize,
    acknowledged: Arc<AtomicU64>,
}

/// A running prototype.
pub(crate) struct Prototype {
    /// Where it listens.
    pub(crate) port: u16,
    runtime: Runtime,
}

impl Prototype {
    /// Starts one that keeps its log in `folder` and sends to `ports`, with at most `window` messages in
    /// flight to each. Without ports it is a bare durable acknowledgement.
    pub(crate) fn start(folder: &Path, ports: &[u16], window: usize, scope: Scope) -> Self {
        let runtime = threads("probe");
        let log = match scope {
            Scope::Whole => RawLog::growing(folder),
            Scope::Barest => RawLog::preallocated(folder),
        };
        let (into_log, waiting) = channel();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        let _inside = runtime.enter();
        let (mut outs, mut cursors) = (Vec::new(), Vec::new());
        for (place, port) in ports.iter().enumerate() {
            let (out, queue) = mpsc::unbounded_channel();
            outs.push(out);
            let name = format!("d{place}").into();
            let acknowledged = Arc::new(AtomicU64::new(0));
            if scope == Scope::Whole {
                cursors.push(Arc::clone(&acknowledged));
            }
            let outlet = Outlet { name, scope, window, acknowledged };
            tasks.spawn(send_on(*port, queue, outlet));
        }
        std::thread::Builder::new()
            .name("probe".to_owned())
            .spawn(move || commit(log, &waiting, &outs, &cursors))
            .unwrap();
        tasks.spawn(accept(listener, into_log));
        tasks.detach_all();
        drop(_inside);
        Self { port, runtime }
    }

    /// Ends it.
    pub(crate) fn stop(self) {
        self.runtime.shutdown_background();
    }
}

async fn accept(listener: TcpListener, log: Sender<Waiting>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(receive(stream, log.clone()));
    }
}

async fn receive(mut stream: TcpStream, log: Sender<Waiting>) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    let mut answers = Vec::new();
    while stream.read_buf(&mut buffer).await.is_ok_and(|size| size > 0) {
        answers.clear();
        let mut waiting = Vec::new();
        while let Some(frame) = take_frame(&mut buffer) {
            let (done, wait) = oneshot::channel();
            let frame = frame.freeze();
            if log.send((frame.clone(), done)).is_err() {
                return;
            }
            waiting.push((frame, wait));
        }
        for (frame, wait) in waiting {
            if wait.await.is_err() {
                return;
            }
            ack(&frame, &mut answers);
        }
        if stream.write_all(&answers).await.is_err() {
            return;
        }
    }
}

fn commit(
    mut log: RawLog,
    waiting: &Receiver<Waiting>,
    outs: &[Outgoing],
    cursors: &[Arc<AtomicU64>],
) {
    while let Ok(first) = waiting.recv() {
        let mut batch = vec![first];
        batch.extend(waiting.try_iter().take(BATCH_MAX - 1));
        let mut block = Vec::with_capacity(batch.len() * 1600);
        for cursor in cursors {
            block.extend_from_slice(&cursor.load(Ordering::Relaxed).to_le_bytes());
        }
        for (message, _) in &batch {
            block.extend_from_slice(&u32::try_from(message.len()).unwrap().to_le_bytes());
            block.extend_from_slice(message);
        }
        log.commit(&block);
        let (messages, answers): (Vec<Bytes>, Vec<oneshot::Sender<()>>) = batch.into_iter().unzip();
        for answer in answers {
            // A sender that hung up needs no answer.
            let _gone = answer.send(());
        }
        let messages: Arc<[Bytes]> = messages.into();
        for out in outs {
            out.send(Arc::clone(&messages)).unwrap_or_default();
        }
    }
}

/// Sends batches in order with at most so many messages in flight.
async fn send_on(port: u16, mut queue: mpsc::UnboundedReceiver<Arc<[Bytes]>>, outlet: Outlet) {
    let Outlet { name, scope, window, acknowledged } = outlet;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    let (mut batch, mut at): (Arc<[Bytes]>, _) = (Arc::new([]), 0);
    let mut in_flight: VecDeque<Bytes> = VecDeque::new();
    let mut out = Vec::new();
    let mut index = Index::default();
    loop {
        out.clear();
        while in_flight.len() < window {
            if at == batch.len() {
                let Ok(next) = queue.try_recv() else { break };
                (batch, at) = (next, 0);
            }
            let message = &batch[at];
            let control_id = match scope {
                Scope::Whole => put_changed(message, &name, &mut index, &mut out),
                Scope::Barest => put_retargeted(message, &mut out),
            };
            in_flight.push_back(message.slice(control_id));
            at += 1;
        }
        if !out.is_empty() && stream.write_all(&out).await.is_err() {
            return;
        }
        tokio::select! {
            read = stream.read_buf(&mut buffer), if !in_flight.is_empty() => {
                if !read.is_ok_and(|size| size > 0) {
                    return;
                }
                while let Some(answer) = take_frame(&mut buffer) {
                    let sent = in_flight.pop_front().unwrap();
                    if scope == Scope::Whole {
                        assert!(accepts(&answer, &sent), "another message was answered");
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            next = queue.recv(), if in_flight.len() < window => match next {
                Some(next) => (batch, at) = (next, 0),
                None => return,
            },
        }
    }
}

/// Whether it is a positive answer (MSA-1) to the message with this control id (MSA-2).
fn accepts(answer: &[u8], control_id: &[u8]) -> bool {
    let mut segments = answer.split(|byte| *byte == b'\r');
    let Some(msa) = segments.find(|segment| segment.starts_with(b"MSA|")) else { return false };
    let mut fields = msa.split(|byte| *byte == b'|').skip(1);
    fields.next() == Some(b"AA") && fields.next() == Some(control_id)
}

/// Another receiving application and facility (MSH-5, MSH-6) copied in, framed. Answers where MSH-10 stands.
fn put_retargeted(message: &[u8], out: &mut Vec<u8>) -> Range<usize> {
    out.push(0x0b);
    for (place, field) in message.splitn(7, |byte| *byte == b'|').enumerate() {
        if place > 0 {
            out.push(b'|');
        }
        out.extend_from_slice(match place {
            4 => b"TARGET",
            5 => b"BENCH",
            _ => field,
        });
    }
    out.extend_from_slice(b"\x1c\r");
    0..0
}

/// Where every segment and each of its fields begins and ends.
#[derive(Default)]
struct Index {
    /// Start, and place of the first field.
    segments: Vec<(usize, usize)>,
    fields: Vec<Range<usize>>,
}

impl Index {
    fn read(&mut self, message: &[u8]) {
        self.segments.clear();
        self.fields.clear();
        let mut start = 0;
        while start < message.len() {
            let end = memchr(b'\r', &message[start..]).map_or(message.len(), |at| start + at);
            self.segments.push((start, self.fields.len()));
            let mut from = start;
            for at in memchr_iter(b'|', &message[start..end]) {
                self.fields.push(from..start + at);
                from = start + at + 1;
            }
            self.fields.push(from..end);
            start = end + 1;
        }
    }

    /// A field by its place in the text of the first segment with this name: one less than HL7 counts in MSH.
    fn field(&self, message: &[u8], name: &[u8], place: usize) -> Range<usize> {
        let mut segments = self.segments.iter();
        let (_, first) = segments.find(|(start, _)| message[*start..].starts_with(name)).unwrap();
        self.fields[first + place].clone()
    }
}

/// What the engine's channel does (`trial::destination`): the message is indexed, MSH-5, MSH-6 and PID-3.4 are
/// set, a segment of our own is added; framed. Answers where MSH-10 stands.
fn put_changed(message: &[u8], name: &str, index: &mut Index, out: &mut Vec<u8>) -> Range<usize> {
    index.read(message);
    let identifier = index.field(message, b"PID|", 3);
    let mut components = memchr_iter(b'^', &message[identifier.clone()]);
    let third = identifier.start + components.nth(2).unwrap() + 1;
    let end = components.next().map_or(identifier.end, |at| identifier.start + at);
    let changes: [(Range<usize>, &[u8]); 3] = [
        (index.field(message, b"MSH|", 4), name.as_bytes()),
        (index.field(message, b"MSH|", 5), b"BENCH"),
        (third..end, b"MEDWAY"),
    ];
    out.push(0x0b);
    let mut from = 0;
    for (range, value) in changes {
        out.extend_from_slice(&message[from..range.start]);
        out.extend_from_slice(value);
        from = range.end;
    }
    out.extend_from_slice(&message[from..]);
    out.extend_from_slice(b"ZMW|");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\r\x1c\r");
    index.field(message, b"MSH|", 9)
}
