//! What senders may make the engine hold is bounded: many that begin a large message and do not end it.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, TcpStream};

use crate::engine::Engine;
use crate::peers::{Link, Manner, framed, plain_receiver, read_frame, until, update};

const MIB: usize = 1 << 20;
const BUDGET: usize = 16 * MIB;
const MESSAGE: usize = 4 * MIB;
const SENDERS: usize = 200;
/// The budget without one message.
const NEARLY_FULL: f64 = 12.0 * 1_048_576.0;

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

/// A connection that has sent some of its message.
struct Begun {
    stream: TcpStream,
    frame: Vec<u8>,
    sent: usize,
}

impl Begun {
    /// Writes up to `end` without waiting.
    fn write(&mut self, end: usize) {
        while self.sent < end {
            match self.stream.write(&self.frame[self.sent..end]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("the engine closed a connection that only waits: {error}"),
            }
        }
    }
}

#[test]
fn two_hundred_senders_of_half_messages_stay_within_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let (port, _kept) = plain_receiver(Manner::Good);
    let mut engine = Engine::new(
        folder.path(),
        &format!("  out:\n    mllp: {{host: 127.0.0.1, port: {port}}}\n"),
    );
    engine.append("engine.yaml", "limits: {connection_bytes: 16MiB}\n");
    // Nobody is closed for being slow, however slow this machine is.
    let limits = "\", max_message: 4MiB, max_connections_per_peer: 300, timeouts: {in_frame: 1h, frame: 1h}}\n";
    engine.edit("channels/trial.yaml", "\"}\n", limits);
    engine.start("");
    engine.ready().expect("the engine starts");
    assert_eq!(Link::open(engine.port).send(&update("FIRST", "P1")).0, "AA");
    let before = resident(engine.pid());
    let begin = |number: usize| {
        let head = update(&format!("BIG{number}"), "P1");
        let text = "x".repeat(MESSAGE - head.len() - 20);
        let frame = framed(format!("{head}OBX|1|TX|||{text}\r").as_bytes());
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, engine.port)).unwrap();
        stream.set_nonblocking(true).unwrap();
        Begun { stream, frame, sent: 0 }
    };
    let mut senders: Vec<Begun> = (0..SENDERS).map(begin).collect();
    let mut most = 0;
    until("there is no room for more", || {
        senders.iter_mut().for_each(|sender| sender.write(MESSAGE / 2));
        most = most.max(resident(engine.pid()));
        let full = engine.metric("medway_connection_bytes") > NEARLY_FULL;
        full && engine.metric("medway_reading_paused_total") >= 100.0
    });
    // Small messages need no room.
    for number in 0..20 {
        assert_eq!(Link::open(engine.port).send(&update(&format!("S{number}"), "P2")).0, "AA");
        most = most.max(resident(engine.pid()));
    }
    println!("resident: {} MiB before, {} MiB at most", before / MIB, most / MIB);
    // The budget, one message beyond it, what is free for each connection, and what a process needs besides.
    let bound = BUDGET + 6 * MESSAGE + SENDERS * 2 * (64 << 10) + 48 * MIB;
    assert!(bound < SENDERS * MESSAGE / 2 / 2, "the bound tells something");
    assert!(most - before < bound, "{} MiB more than before", (most - before) / MIB);
    // Whoever is still there when the others have left comes to his end.
    senders.truncate(3);
    let ends: Vec<_> = senders
        .into_iter()
        .map(|mut sender| {
            std::thread::spawn(move || {
                sender.stream.set_nonblocking(false).unwrap();
                sender.stream.write_all(&sender.frame[sender.sent..]).unwrap();
                read_frame(&mut sender.stream, &mut Vec::new()).expect("an answer comes")
            })
        })
        .collect();
    for end in ends {
        let answer = end.join().unwrap();
        assert!(String::from_utf8_lossy(&answer).contains("MSA|AA|BIG"));
    }
    until("all is given back", || engine.metric("medway_connection_bytes") == 0.0);
}

#[test]
fn a_memory_of_repeats_that_is_shorter_than_the_rule_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (port, _kept) = plain_receiver(Manner::Good);
    let mut engine = Engine::with(
        folder.path(),
        "order_by: PID-3.1\n",
        "after_stored",
        "accept:\n  duplicate: {same: MSH-10, within: 7d}\n",
        &format!("  out:\n    mllp: {{host: 127.0.0.1, port: {port}}}\n"),
    );
    engine.append("engine.yaml", "limits: {duplicates: 1000}\n");
    engine.start("");
    engine.ready().expect("the engine starts");
    let mut link = Link::open(engine.port);
    let mut send = |number: u32| link.send(&update(&format!("R{number}"), "P1")).0;
    for number in 0..1000 {
        assert_eq!(send(number), "AA");
    }
    assert_eq!(send(999), "AA");
    assert_eq!(engine.metric("medway_messages_repeated_total"), 1.0, "what is remembered");
    assert_eq!(engine.metric("medway_repeats_unsure_total"), 0.0, "nothing is forgotten yet");
    for number in 1000..1010 {
        assert_eq!(send(number), "AA");
    }
    until("it is counted", || engine.metric("medway_repeats_unsure_total") > 0.0);
    assert!(engine.metric("medway_repeats_memory_seconds") > 0.0);
    assert!(engine.log().contains("raise limits.duplicates"), "{}", engine.log());
}
