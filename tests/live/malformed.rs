//! Malformed messages and streams, each sent to a strict and to a lenient listener of the real binary: the
//! answer is what the manifest says or what was decided instead, what is accepted arrives byte for byte, and
//! what is refused arrives nowhere.

use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::corpus::split_batch;
use crate::engine::Engine;
use crate::manifest::{Decided, Mode, Row, Seen, Told, decided, rows};
use crate::peers::{Link, Manner, framed, plain_receiver, read_frame, until, update};

fn folders() -> [PathBuf; 2] {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = std::env::var_os("MEDWAY_CORPUS")
        .map_or_else(|| root.join("../shared/corpus"), PathBuf::from);
    [root.join("tests/messages/hl7-bad"), corpus.join("hl7v2-bad")]
}

/// Everything a connection answers to these bytes, until the engine has no more to say.
fn send(port: u16, bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // A listener that has heard enough may close before it has read everything.
    if stream.write_all(bytes).is_ok() {
        stream.shutdown(Shutdown::Write).ok();
    }
    let (mut rest, mut frames) = (Vec::new(), Vec::new());
    while let Some(frame) = read_frame(&mut stream, &mut rest) {
        frames.push(frame);
    }
    frames
}

/// The acknowledgements of an answer: one, or those of a batch.
fn told(answer: &[u8]) -> Vec<Told> {
    let (mut all, mut field, mut component): (Vec<Told>, u8, u8) = (Vec::new(), b'|', b'^');
    for line in answer.split(|byte| *byte == b'\r') {
        if let [b'M', b'S', b'H', first, second, ..] = line {
            (field, component) = (*first, *second);
        }
        let fields: Vec<&[u8]> = line.split(|byte| *byte == field).collect();
        let cell = |number: usize| fields.get(number).copied().unwrap_or_default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match cell(0) {
            b"MSA" => {
                let (code, control_id) = (text(cell(1)), cell(2).to_vec());
                all.push(Told { code, control_id, ..Told::default() });
            }
            // The code is the first component of ERR-3 from 2.5 on, and the fourth of ERR-1 before; the
            // place is ERR-2, or the components before that one.
            b"ERR" => {
                let Some(last) = all.last_mut() else { continue };
                let parts = |bytes: &[u8]| -> Vec<String> {
                    bytes.split(|byte| *byte == component).map(text).collect()
                };
                let (old, new) = (parts(cell(1)), parts(cell(3)));
                let code = if cell(3).is_empty() { old.get(3) } else { new.first() };
                let digits =
                    |code: &String| code.chars().take_while(char::is_ascii_digit).collect();
                last.errors.extend(code.map(digits));
                let place = if cell(3).is_empty() { old } else { parts(cell(2)) };
                last.places.push(place.join("^"));
            }
            _ => {}
        }
    }
    all
}

/// MSH-10 of a message that begins with its header, raw.
fn control_id(message: &[u8]) -> Option<&[u8]> {
    let separator = message.strip_prefix(b"MSH")?.first()?;
    message.split(|byte| *byte == b'\r').next()?.split(|byte| byte == separator).nth(9)
}

struct Bench {
    engine: Engine,
    kept: crate::peers::Kept,
    mode: Mode,
    /// What must arrive of each file that was accepted: the messages of one of its forms.
    accepted: Vec<(String, Vec<Vec<Vec<u8>>>)>,
    faults: Vec<String>,
}

impl Bench {
    /// A listener with a pass-through destination that never refuses.
    fn start(folder: &Path, mode: Mode) -> Self {
        let (port, kept) = plain_receiver(Manner::Good);
        let out = format!("  out:\n    mllp: {{host: 127.0.0.1, port: {port}, answer: nothing}}\n");
        let (accept, ack) = match mode {
            Mode::Strict => ("\n  strict: true", "{mode: original, batch: whole}"),
            Mode::Lenient => ("", "{mode: original}"),
        };
        let accept = format!("accept:\n  duplicate: none{accept}\n");
        let mut engine = Engine::with(folder, "order_by: none\n", ack, &accept, &out);
        if mode == Mode::Strict {
            engine.edit("channels/trial.yaml", "\"}\n", "\", frame_end: strict}\n");
        }
        engine.start("");
        engine.ready().expect("the engine starts");
        Self { engine, kept, mode, accepted: Vec::new(), faults: Vec::new() }
    }

    /// Sends a file; answers what it got.
    fn see(&mut self, row: &Row) -> Seen {
        let next = update("NEXT", "P1");
        let mut answers: Vec<Told> = if row.stream {
            send(self.engine.port, &row.bytes).iter().flat_map(|frame| told(frame)).collect()
        } else {
            // A good message follows in the same write: the connection outlives the bad one.
            let both = [framed(&row.bytes), framed(next.as_bytes())].concat();
            send(self.engine.port, &both).iter().flat_map(|frame| told(frame)).collect()
        };
        if !row.stream {
            let last = answers.pop().unwrap_or_default();
            if (last.code.as_str(), last.control_id.as_slice()) == ("AA", b"NEXT") {
                self.accepted.push(("NEXT".to_owned(), vec![vec![next.into_bytes()]]));
            } else {
                self.fault(row, "the message after it on the connection is not accepted");
            }
        }
        let seen = Seen { answers };
        self.expect_arrival(row, &seen);
        seen
    }

    fn expect_arrival(&mut self, row: &Row, seen: &Seen) {
        let own = control_id(&row.bytes);
        if row.stream {
            for told in seen.answers.iter().filter(|told| told.code == "AA") {
                let frames = frames_of(&row.bytes);
                let same = |frame: &Vec<u8>| control_id(frame) == Some(told.control_id.as_slice());
                let forms: Vec<_> = frames.into_iter().filter(same).map(|one| vec![one]).collect();
                if forms.is_empty() {
                    self.fault(row, "an id is acknowledged that was not sent");
                } else {
                    self.accepted.push((row.file.clone(), forms));
                }
            }
            return;
        }
        // A header with other delimiters may be unreadable; what is accepted is not.
        let usual = row.bytes.starts_with(b"MSH|^~\\&|");
        for told in seen.answers.iter().filter(|told| usual || told.code == "AA") {
            if own.is_some_and(|own| own != told.control_id) {
                self.fault(row, "MSA-2 is not MSH-10");
            }
        }
        if seen.accepted() > 0 {
            // As it came, or, of a batch, the messages in it.
            let forms = vec![vec![row.bytes.clone()], split_batch(&row.bytes)];
            self.accepted.push((row.file.clone(), forms));
        }
    }

    fn fault(&mut self, row: &Row, what: &str) {
        self.faults.push(format!("{} ({}): {what}", row.file, self.mode.name()));
    }

    /// Everything accepted has arrived byte for byte, and nothing else.
    fn check_arrivals(&mut self) {
        let wanted = self.accepted.len();
        until("everything accepted is delivered", || {
            let status = self.engine.destination("out");
            let arrived = self.kept.lock().unwrap().len();
            arrived >= wanted && status["pending"] == 0 && status["in_flight"] == 0
        });
        let mut left = self.kept.lock().unwrap().clone();
        for (file, forms) in &self.accepted {
            let arrived = |form: &&Vec<Vec<u8>>| form.iter().all(|one| left.contains(one));
            match forms.iter().find(arrived) {
                Some(form) => form.iter().for_each(|one| {
                    let at = left.iter().position(|got| got == one).unwrap();
                    left.swap_remove(at);
                }),
                None => self.faults.push(format!("{file} did not arrive as it was sent")),
            }
        }
        if !left.is_empty() {
            self.faults.push(format!("{} messages arrived that were not accepted", left.len()));
        }
    }
}

/// Everything in a stream that may be a frame: from any start byte to any end byte.
fn frames_of(stream: &[u8]) -> Vec<Vec<u8>> {
    let places = |wanted: u8| {
        let is = move |(at, byte): (usize, &u8)| (*byte == wanted).then_some(at);
        stream.iter().enumerate().filter_map(is).collect::<Vec<_>>()
    };
    let (starts, ends) = (places(0x0b), places(0x1c));
    let frame = |start: &usize, end: &usize| stream.get(start + 1..*end).map(<[u8]>::to_vec);
    starts.iter().flat_map(|start| ends.iter().filter_map(move |end| frame(start, end))).collect()
}

fn is_decided(row: &Row, mode: Mode, decided: &Decided) -> bool {
    row.file.starts_with(&decided.file) && decided.mode == mode.name()
}

fn check(mode: Mode) {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(folder.path(), mode);
    let decisions = decided();
    let (mut count, mut used) = (0, 0);
    let [own, corpus] = folders().map(|folder| rows(&folder));
    assert!(own.len() > 10, "the project's own malformed messages are there");
    for row in own.iter().chain(&corpus) {
        count += 1;
        let seen = bench.see(row);
        let fault = row.fault(mode, &seen);
        let decision = decisions.iter().find(|decision| is_decided(row, mode, decision));
        match (fault, decision) {
            (None, None) => {}
            (Some(_), Some(decision)) if decision.answer == seen.short() => used += 1,
            (Some(_), Some(decision)) => {
                let what = format!("answers {}, decided was {}", seen.short(), decision.answer);
                bench.fault(row, &what);
            }
            (None, Some(_)) => bench.fault(row, "the decision is not needed any more: strike it"),
            (Some(fault), None) => {
                let what = format!("{fault}; it answers {}; no decision says so", seen.short());
                bench.fault(row, &what);
            }
        }
    }
    println!("{count} files, {} of them of the corpus, {used} decided otherwise", corpus.len());
    bench.check_arrivals();
    let faults = &bench.faults;
    assert!(
        faults.is_empty(),
        "{} faults:\n{}\n{}",
        faults.len(),
        faults.join("\n"),
        bench.engine.log()
    );
    assert!(!bench.engine.ended(), "it lives on");
}

#[test]
fn a_lenient_listener_answers_each_as_the_manifest_says() {
    check(Mode::Lenient);
}

#[test]
fn a_strict_listener_answers_each_as_the_manifest_says() {
    check(Mode::Strict);
}

/// Answers that are about no message or another one than was sent: the delivery is not done.
#[test]
fn answers_that_acknowledge_nothing_deliver_nothing() {
    let [_, corpus] = folders();
    let mut answers: Vec<Vec<u8>> = rows(&corpus)
        .into_iter()
        .filter(Row::is_for_senders)
        .inspect(|row| assert!(row.note.starts_with("delivery not marked done"), "{}", row.file))
        .map(|row| row.bytes)
        .collect();
    let own = "MSH|^~\\&|R|R|M|M|20260301||ACK|R1|P|2.5.1\rMSA|YES|M1\r";
    answers.extend([own.into(), own.replace("YES|M1", "AA|M2").into()]);
    for answer in answers {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut rest = Vec::new();
                while read_frame(&mut stream, &mut rest).is_some() {
                    if stream.write_all(&framed(&answer)).is_err() {
                        break;
                    }
                }
            }
        });
        let out = format!("  out:\n    mllp: {{host: 127.0.0.1, port: {port}}}\n");
        let mut engine = Engine::new(folder.path(), &out);
        engine.start("");
        engine.ready().expect("the engine starts");
        assert_eq!(Link::open(engine.port).send(&update("M1", "P1")).0, "AA");
        until("the answer is not believed", || !engine.destination("out")["last_error"].is_null());
        assert_eq!(engine.destination("out")["delivered"], 0);
    }
}
