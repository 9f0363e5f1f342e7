//! Sending and receiving systems with their own few lines of MLLP, independent of the engine's code.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::journal::{Got, Journal, Sent};

const WAIT: Duration = Duration::from_secs(10);

/// Reads one frame; `None` at the end of the stream or after a timeout.
pub(crate) fn read_frame(stream: &mut TcpStream, rest: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = rest.windows(2).position(|pair| pair == b"\x1c\r") {
            let frame: Vec<u8> = rest.drain(..end + 2).collect();
            let start = frame.iter().position(|byte| *byte == 0x0b)? + 1;
            return Some(frame[start..frame.len() - 2].to_vec());
        }
        let mut buffer = [0_u8; 8192];
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => rest.extend_from_slice(&buffer[..count]),
        }
    }
}

pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    [b"\x0b", message, b"\x1c\r"].concat()
}

pub(crate) fn field(text: &str, segment: &str, number: usize) -> String {
    text.split('\r')
        .find(|line| line.starts_with(segment))
        .and_then(|line| line.split('|').nth(number))
        .unwrap_or_default()
        .to_owned()
}

/// A sender: one connection, its own patients, one message in flight. It repeats a message with the same
/// id until it is answered AA.
pub(crate) fn sender(
    name: usize,
    port: u16,
    journal: Arc<Journal>,
    stop: Arc<AtomicBool>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut numbers = [0_u64; 5];
        let mut count = 0_u64;
        let mut link: Option<(TcpStream, Vec<u8>)> = None;
        while !stop.load(Ordering::Relaxed) {
            count += 1;
            let which = usize::try_from(count % 5).unwrap();
            numbers[which] += 1;
            let (id, patient) = (format!("S{name}-{count}"), format!("P{name}{which}"));
            journal.sent.lock().unwrap().push(Sent {
                id: id.clone(),
                patient: patient.clone(),
                number: numbers[which],
            });
            let text = format!(
                "MSH|^~\\&|HIS{name}|HOSP|MEDWAY|HOSP|20260101000000||ADT^A08^ADT_A01|{id}|P|2.5.1\r\
                 EVN|A08|20260101000000\rPID|1||{patient}^^^HOSP^MR||Example^Eve||19800101|F\rPV1|1|I\r"
            );
            // The last message is repeated until it is answered too, so that nothing stays in doubt.
            while !exchange(&mut link, port, &text, &id) {
                link = None;
                std::thread::park_timeout(Duration::from_millis(20));
            }
            journal.answered.lock().unwrap().push(id);
        }
    })
}

fn exchange(link: &mut Option<(TcpStream, Vec<u8>)>, port: u16, text: &str, id: &str) -> bool {
    if link.is_none() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let Ok(stream) = TcpStream::connect_timeout(&address, WAIT) else { return false };
        stream.set_read_timeout(Some(WAIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        *link = Some((stream, Vec::new()));
    }
    let (stream, rest) = link.as_mut().unwrap();
    if stream.write_all(&framed(text.as_bytes())).is_err() {
        return false;
    }
    let Some(answer) = read_frame(stream, rest) else { return false };
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(field(&answer, "MSA", 2), id, "an answer names the message it answers");
    field(&answer, "MSA", 1) == "AA"
}

/// A receiver that journals before it answers. Every `break_every`-th message it takes and breaks off
/// without an answer (0: never).
pub(crate) fn receiver(name: &'static str, journal: Arc<Journal>, break_every: u64) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let open = journal.listens(port);
    std::thread::spawn(move || {
        let count = Arc::new(AtomicU64::new(0));
        for stream in listener.incoming().flatten() {
            open.begins();
            let (journal, count, open) =
                (Arc::clone(&journal), Arc::clone(&count), Arc::clone(&open));
            std::thread::spawn(move || {
                note_all(stream, name, &journal, &count, break_every);
                open.ends();
            });
        }
    });
    port
}

fn note_all(
    mut stream: TcpStream,
    name: &'static str,
    journal: &Journal,
    count: &AtomicU64,
    break_every: u64,
) {
    stream.set_nodelay(true).unwrap();
    let mut rest = Vec::new();
    while let Some(frame) = read_frame(&mut stream, &mut rest) {
        let text = String::from_utf8(frame).unwrap();
        let id = field(&text, "MSH", 9);
        let patient = field(&text, "PID", 3).split('^').next().unwrap_or_default().to_owned();
        journal.received(name, Got { id: id.clone(), patient, at: Instant::now() });
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        if break_every > 0 && number.is_multiple_of(break_every) {
            journal.breaks_off(name, &id);
            return;
        }
        let answer =
            format!("MSH|^~\\&|R|R|M|M|20260101000000||ACK|{name}{number}|P|2.5.1\rMSA|AA|{id}\r");
        if stream.write_all(&framed(answer.as_bytes())).is_err() {
            return;
        }
    }
}

/// What a plain receiver does with each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Answers AA.
    Good,
    /// Takes the message and never answers.
    Silent,
    /// Accepts the connection and reads nothing.
    Hung,
    /// Closes each connection at once.
    Closing,
    /// Answers with a control id that was never sent.
    Lying,
}

/// A receiver that keeps the bytes of each message.
pub(crate) fn plain_receiver(manner: Manner) -> (u16, Kept) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, keep_from(listener, manner))
}

/// The same on a port of its own.
pub(crate) fn plain_receiver_at(port: u16, manner: Manner) -> Kept {
    keep_from(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap(), manner)
}

/// The messages a receiver got.
pub(crate) type Kept = Arc<std::sync::Mutex<Vec<Vec<u8>>>>;

fn keep_from(listener: TcpListener, manner: Manner) -> Kept {
    let kept = Kept::default();
    let keep = Arc::clone(&kept);
    std::thread::spawn(move || {
        let mut hung = Vec::new();
        for stream in listener.incoming().flatten() {
            match manner {
                Manner::Closing => continue,
                Manner::Hung => {
                    hung.push(stream);
                    continue;
                }
                _ => {}
            }
            let keep = Arc::clone(&keep);
            std::thread::spawn(move || answer_all(stream, manner, &keep));
        }
    });
    kept
}

fn answer_all(mut stream: TcpStream, manner: Manner, keep: &std::sync::Mutex<Vec<Vec<u8>>>) {
    let mut rest = Vec::new();
    while let Some(frame) = read_frame(&mut stream, &mut rest) {
        // MSH-10 as bytes: the separator is whatever stands after `MSH`.
        let separator = frame[3];
        let header = frame.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let id = header.split(|byte| *byte == separator).nth(9).unwrap_or_default().to_vec();
        keep.lock().unwrap().push(frame.clone());
        let id = match manner {
            Manner::Silent => continue,
            Manner::Lying => b"never-sent".to_vec(),
            _ => id,
        };
        // The answer uses the delimiters of the message, as the standard wants.
        let mut answer = frame[..header.len().clamp(4, 9)].to_vec();
        answer.truncate(4);
        answer
            .extend_from_slice(header.split(|byte| *byte == separator).nth(1).unwrap_or_default());
        for part in ["", "", "", "", "20260101", "", "ACK", "R1", "P", "2.5.1"] {
            answer.push(separator);
            answer.extend_from_slice(part.as_bytes());
        }
        answer.extend_from_slice(b"\rMSA");
        answer.push(separator);
        answer.extend_from_slice(b"AA");
        answer.push(separator);
        answer.extend_from_slice(&id);
        answer.push(b'\r');
        if stream.write_all(&framed(&answer)).is_err() {
            return;
        }
    }
}

/// A plain connection to the engine.
pub(crate) struct Link {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Link {
    pub(crate) fn open(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, rest: Vec::new() }
    }

    /// Sends what nobody answers.
    pub(crate) fn post(&mut self, message: &[u8]) {
        self.stream.write_all(&framed(message)).unwrap();
    }

    /// Sends a message; the answer, or `None` when the engine closed or stayed silent.
    pub(crate) fn exchange(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        self.stream.write_all(&framed(message)).ok()?;
        read_frame(&mut self.stream, &mut self.rest)
    }

    /// Sends text and answers (MSA-1, MSA-2).
    pub(crate) fn send(&mut self, text: &str) -> (String, String) {
        let answer = self.exchange(text.as_bytes()).expect("an answer comes");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        (field(&answer, "MSA", 1), field(&answer, "MSA", 2))
    }
}

/// A made-up update of a patient.
pub(crate) fn update(id: &str, patient: &str) -> String {
    format!(
        "MSH|^~\\&|HIS|HOSP|MEDWAY|HOSP|20260101000000||ADT^A08^ADT_A01|{id}|P|2.5.1\r\
         EVN|A08|20260101000000\rPID|1||{patient}^^^HOSP^MR||Example^Eve||19800101|F\rPV1|1|I\r"
    )
}

/// Waits for a condition, at most a minute.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "a minute passed and still not: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
