//! The floor that the end-to-end cases are held against: MLLP in, a group commit on a preallocated raw
//! log file, the answer, then MLLP out. No parsing, no lanes, no retry, no SQL, no limits.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::{Bytes, BytesMut};
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

/// A running prototype.
pub(crate) struct Prototype {
    /// Where it listens.
    pub(crate) port: u16,
    runtime: Runtime,
}

impl Prototype {
    /// Starts one that keeps its log in `folder` and sends to `ports`, with at most `window` messages in
    /// flight to each. Without ports it is a bare durable acknowledgement.
    pub(crate) fn start(folder: &Path, ports: &[u16], window: usize) -> Self {
        let runtime = threads("probe");
        let log = RawLog::new(folder);
        let (into_log, waiting) = channel();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        let _inside = runtime.enter();
        let mut outs = Vec::new();
        for port in ports {
            let (out, queue) = mpsc::unbounded_channel();
            outs.push(out);
            tasks.spawn(send_on(*port, queue, window));
        }
        std::thread::Builder::new()
            .name("probe".to_owned())
            .spawn(move || commit(log, &waiting, &outs))
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

fn commit(mut log: RawLog, waiting: &Receiver<Waiting>, outs: &[Outgoing]) {
    while let Ok(first) = waiting.recv() {
        let mut batch = vec![first];
        batch.extend(waiting.try_iter().take(BATCH_MAX - 1));
        let mut block = Vec::with_capacity(batch.len() * 1600);
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

/// Sends batches in order with at most `window` messages in flight.
async fn send_on(port: u16, mut queue: mpsc::UnboundedReceiver<Arc<[Bytes]>>, window: usize) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    let (mut batch, mut at, mut in_flight): (Arc<[Bytes]>, _, _) = (Arc::new([]), 0, 0);
    let mut out = Vec::new();
    loop {
        out.clear();
        while in_flight < window {
            if at == batch.len() {
                let Ok(next) = queue.try_recv() else { break };
                (batch, at) = (next, 0);
            }
            put_transformed(&batch[at], &mut out);
            at += 1;
            in_flight += 1;
        }
        if !out.is_empty() && stream.write_all(&out).await.is_err() {
            return;
        }
        tokio::select! {
            read = stream.read_buf(&mut buffer), if in_flight > 0 => {
                if !read.is_ok_and(|size| size > 0) {
                    return;
                }
                while take_frame(&mut buffer).is_some() {
                    in_flight -= 1;
                }
            }
            next = queue.recv(), if in_flight < window => match next {
                Some(next) => (batch, at) = (next, 0),
                None => return,
            },
        }
    }
}

/// A light change, framed: another receiving application and facility (MSH-5, MSH-6).
fn put_transformed(message: &[u8], out: &mut Vec<u8>) {
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
}
