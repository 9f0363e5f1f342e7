//! The MLLP source through its socket: framing, answers in order, limits, refusals, recovery.

mod batches;
mod corpus;
mod limits;
mod modes;
pub(crate) mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use medway::clock::Clock;
use medway::source::intake::{Intake, IntakeLimits};
use medway::source::mllp::options::MllpSourceOptions;
use medway::source::mllp::{MllpSource, MllpTls};
use medway::source::status::SourceStatus;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::door::{MemoryStore, Mood, door, door_within};

/// A source on a port of its own, with its store.
struct Running {
    address: SocketAddr,
    store: Arc<MemoryStore>,
    intake: Intake,
    status: Arc<SourceStatus>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

/// A sender's connection.
struct Peer {
    stream: TcpStream,
    unread: Vec<u8>,
}

fn adt(id: &str) -> String {
    with(id, "")
}

/// A message whose MSH-13 and later are `rest`.
fn with(id: &str, rest: &str) -> String {
    format!("MSH|^~\\&|HIS|H|MED|M|20260101||ADT^A01|{id}|P|2.5{rest}\rPID|1||77\r")
}

fn framed(message: &str) -> Vec<u8> {
    [b"\x0b", message.as_bytes(), b"\x1c\r"].concat()
}

async fn start(options: MllpSourceOptions) -> Running {
    start_with(options, None).await
}

async fn start_with(options: MllpSourceOptions, tls: Option<MllpTls>) -> Running {
    start_within(options, tls, IntakeLimits::default()).await
}

async fn start_within(
    options: MllpSourceOptions,
    tls: Option<MllpTls>,
    limits: IntakeLimits,
) -> Running {
    let store = MemoryStore::new();
    let intake = door_within(&store, limits);
    let source = MllpSource::new("adt".into(), options, tls, Clock::System).bind().await.unwrap();
    let (address, status) = (source.local_addr().unwrap(), source.status());
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    tracker.spawn(source.run(intake.clone(), stop.clone(), tracker.clone()));
    Running { address, store, intake, status, stop, tracker }
}

/// Fails the test when something does not come.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.unwrap()
}

impl Running {
    async fn connect(&self) -> Peer {
        Peer { stream: TcpStream::connect(self.address).await.unwrap(), unread: Vec::new() }
    }

    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        soon(async {
            while !holds(self) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    fn last_refusal(&self) -> String {
        self.status.view().last_refusal.map(|(_, words)| words).unwrap_or_default()
    }

    async fn end(self) {
        self.stop.cancel();
        self.tracker.close();
        soon(self.tracker.wait()).await;
    }
}

impl Peer {
    async fn send(&mut self, bytes: &[u8]) {
        // A source that closes while we write is not this side's failure.
        drop(self.stream.write_all(bytes).await);
    }

    /// The next answer, unframed; `None` when the connection ended.
    async fn answer(&mut self) -> Option<String> {
        soon(async {
            loop {
                let end = self.unread.windows(2).position(|pair| pair == b"\x1c\r");
                if let Some(end) = end {
                    let rest = self.unread.split_off(end + 2);
                    let frame = std::mem::replace(&mut self.unread, rest);
                    assert_eq!(frame[0], 0x0b);
                    return Some(String::from_utf8(frame[1..end].to_vec()).unwrap());
                }
                match self.stream.read_buf(&mut self.unread).await {
                    Ok(1..) => {}
                    _ => return None,
                }
            }
        })
        .await
    }

    /// MSA-1 and MSA-2 of the next answer, `closed` when the connection ended.
    async fn told(&mut self) -> String {
        self.answer().await.map_or_else(|| "closed".to_owned(), |answer| told(&answer))
    }

    async fn ask(&mut self, message: &str) -> String {
        self.send(&framed(message)).await;
        self.answer().await.unwrap()
    }
}

/// MSA-1 and MSA-2 of an answer.
fn told(answer: &str) -> String {
    let msa = answer.split('\r').find(|segment| segment.starts_with("MSA")).unwrap();
    let fields: Vec<_> = msa.split('|').collect();
    format!("{} {}", fields[1], fields.get(2).unwrap_or(&"")).trim_end().to_owned()
}

#[tokio::test]
async fn a_message_is_stored_as_it_came_and_then_acknowledged() {
    let running = start(MllpSourceOptions::default()).await;
    let mut peer = running.connect().await;
    let answer = peer.ask(&adt("A1")).await;
    assert_eq!(running.store.bodies(), [adt("A1").as_bytes()]);
    assert!(answer.starts_with("MSH|^~\\&|MED|M|HIS|H|"), "{answer}");
    assert_eq!(told(&answer), "AA A1");
    let view = running.status.view();
    assert_eq!((view.received, view.connections, view.refused), (1, 1, 0));
    assert!(view.last_message.is_some());
    drop(peer);
    running.until(|it| it.status.view().connections == 0).await;
    running.end().await;
}

#[tokio::test]
async fn however_the_bytes_are_split_the_answers_are_the_same() {
    let running = start(MllpSourceOptions::default()).await;
    let bytes: Vec<u8> = (0..3).flat_map(|n| framed(&adt(&format!("S{n}")))).collect();
    for cut in 1..bytes.len() {
        let mut peer = running.connect().await;
        peer.send(&bytes[..cut]).await;
        tokio::task::yield_now().await;
        peer.send(&bytes[cut..]).await;
        for n in 0..3 {
            assert_eq!(peer.told().await, format!("AA S{n}"), "cut at {cut}");
        }
    }
    assert_eq!(running.store.control_ids(), ["S0", "S1", "S2"]);
    running.end().await;
}

#[tokio::test]
async fn many_frames_in_one_write_are_answered_in_their_order() {
    let running = start(MllpSourceOptions { frames_in_flight_max: 50, ..Default::default() }).await;
    let mut peer = running.connect().await;
    let ids: Vec<_> = (0..1000).map(|n| format!("M{n}")).collect();
    // Every tenth is refused: its answer keeps its place.
    let message = |id: &String| {
        let text = adt(id);
        if id.ends_with('7') { text.replace("||77", "||REFUSE") } else { text }
    };
    let bytes: Vec<u8> = ids.iter().flat_map(|id| framed(&message(id))).collect();
    let (mut read, mut write) = (Vec::new(), bytes.as_slice());
    let (mut from, mut to) = peer.stream.split();
    let writing = async { to.write_all_buf(&mut write).await.unwrap() };
    let reading = async {
        let mut buffer = vec![0; 4096];
        while read.iter().filter(|byte| **byte == 0x1c).count() < ids.len() {
            let size = from.read(&mut buffer).await.unwrap();
            read.extend_from_slice(&buffer[..size]);
        }
    };
    soon(async { tokio::join!(writing, reading) }).await;
    let text = String::from_utf8(read).unwrap();
    let answers: Vec<_> = text.split_terminator("\u{1c}\r").map(told).collect();
    let expected: Vec<_> = ids
        .iter()
        .map(|id| format!("{} {id}", if id.ends_with('7') { "AE" } else { "AA" }))
        .collect();
    let differs = answers.iter().zip(&expected).find(|(told, expected)| told != expected);
    assert_eq!((answers.len(), differs), (expected.len(), None));
    let stored: Vec<_> = ids.iter().filter(|id| !id.ends_with('7')).cloned().collect();
    assert_eq!(running.store.control_ids(), stored);
    assert!(running.store.appends() < 1000, "frames of one read share a transaction");
    running.end().await;
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_byte_for_byte_and_no_second_row() {
    let running = start(MllpSourceOptions::default()).await;
    let first = running.connect().await.ask(&adt("R1")).await;
    let again = running.connect().await.ask(&adt("R1")).await;
    assert_eq!(first, again);
    assert_eq!(running.store.bodies().len(), 1);
    let changed = running.connect().await.ask(&adt("R1").replace("77", "78")).await;
    assert_eq!(told(&changed), "AE R1");
    assert!(changed.contains("205^Duplicate key identifier^HL70357"), "{changed}");
    assert_eq!(running.store.bodies().len(), 1);
    assert_eq!(running.store.reject_reasons().len(), 1);
    running.end().await;
}

#[tokio::test]
async fn refusals_say_where_and_a_poison_message_harms_nobody_else() {
    let running = start(MllpSourceOptions::default()).await;
    let mut peer = running.connect().await;
    let answer = peer.ask(&adt("E1").replace("77", "REFUSE")).await;
    assert_eq!(told(&answer), "AE E1");
    assert!(answer.contains("ERR||PID^1^3|101^Required field missing^HL70357|E"), "{answer}");
    assert_eq!(told(&peer.ask(&adt("E2").replace("77", "PANIC")).await), "AE E2");
    assert_eq!(told(&peer.ask(&adt("E3")).await), "AA E3");
    let reasons = running.store.reject_reasons();
    assert_eq!(reasons[0], "101 Required field missing");
    assert!(reasons[1].starts_with("207 "), "{reasons:?}");
    running.end().await;
}

#[tokio::test]
async fn no_answer_leaves_before_the_commit() {
    let running = start(MllpSourceOptions::default()).await;
    running.store.set(Mood::Slow);
    let mut peer = running.connect().await;
    peer.send(&framed(&adt("W1"))).await;
    running.until(|it| it.store.appends() == 1).await;
    let early = tokio::time::timeout(Duration::from_millis(50), peer.stream.readable()).await;
    assert!(early.is_err(), "something was answered before the commit");
    running.store.set(Mood::Well);
    assert_eq!(peer.told().await, "AA W1");
    running.end().await;
}

#[tokio::test]
async fn draining_refuses_what_is_new_and_answers_what_is_in_work() {
    let running = start(MllpSourceOptions::default()).await;
    running.store.set(Mood::Slow);
    let mut early = running.connect().await;
    early.send(&framed(&adt("D1"))).await;
    running.until(|it| it.store.appends() == 1).await;
    running.intake.drain();
    let mut late = running.connect().await;
    let answer = late.ask(&adt("D2")).await;
    assert_eq!(told(&answer), "AE D2");
    assert!(answer.contains("the engine is stopping"), "{answer}");
    running.stop.cancel();
    running.store.set(Mood::Well);
    assert_eq!(early.told().await, "AA D1");
    assert_eq!(early.told().await, "closed");
    assert_eq!(late.told().await, "closed");
    assert_eq!(running.store.control_ids(), ["D1"]);
    running.end().await;
}

#[tokio::test]
async fn two_hundred_senders_at_once_all_get_their_own_answers() {
    let options = MllpSourceOptions { connections_per_peer_max: 200, ..Default::default() };
    let running = start(options).await;
    let senders = (0..200).map(|sender| {
        let running = &running;
        async move {
            let mut peer = running.connect().await;
            for n in 0..10 {
                let id = format!("P{sender}-{n}");
                assert_eq!(told(&peer.ask(&adt(&id)).await), format!("AA {id}"));
            }
        }
    });
    soon(futures_util::future::join_all(senders)).await;
    let ids = running.store.control_ids();
    assert_eq!(ids.len(), 2000);
    for sender in 0..200 {
        let own = format!("P{sender}-");
        let order: Vec<_> = ids.iter().filter_map(|id| id.strip_prefix(own.as_str())).collect();
        assert_eq!(order, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    }
    running.end().await;
}

#[tokio::test]
async fn a_source_that_connects_receives_the_same_way_and_comes_back() {
    use medway::source::mllp::options::Side;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let side = Side::Connect { host: "127.0.0.1".to_owned(), port };
    let options = MllpSourceOptions { side, ..Default::default() };
    let store = MemoryStore::new();
    let source = MllpSource::new("adt".into(), options, None, Clock::System).bind().await.unwrap();
    assert_eq!(source.local_addr(), None);
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    tracker.spawn(source.run(door(&store), stop.clone(), tracker.clone()));
    for id in ["B1", "B2"] {
        let (stream, _) = soon(listener.accept()).await.unwrap();
        let mut peer = Peer { stream, unread: Vec::new() };
        assert_eq!(told(&peer.ask(&adt(id)).await), format!("AA {id}"));
    }
    assert_eq!(store.control_ids(), ["B1", "B2"]);
    stop.cancel();
    tracker.close();
    soon(tracker.wait()).await;
}
