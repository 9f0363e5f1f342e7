//! What one message costs in CPU alone: to index, to judge, to change.

use std::hint::black_box;
use std::time::Instant;

use base64::Engine as _;
use bytes::Bytes;
use medway::hl7::raw::{RawMessage, ReadOptions};
use medway::message::id::MessageId;
use medway::message::payload::Payload;
use medway::message::plan::Plan;
use medway::message::time::Timestamp;
use medway::message::{Envelope, KeyValue, StoredMessage};
use medway::source::intake::{Admit, Received};

use crate::report::{Report, figure, pairs};
use crate::sample::{START, oru};
use crate::trial::{Trial, Way, destinations};

/// The floor under any reading: where every segment and field begins.
fn offsets(bytes: &[u8], found: &mut Vec<usize>) {
    found.clear();
    let mut start = 0;
    for end in memchr::memchr_iter(b'\r', bytes) {
        found.push(start);
        found.extend(memchr::memchr_iter(b'|', &bytes[start..end]).map(|at| start + at + 1));
        start = end + 1;
    }
}

/// Times in nanoseconds a call.
fn nanoseconds(rounds: usize, mut work: impl FnMut()) -> f64 {
    let started = Instant::now();
    for _ in 0..rounds {
        work();
    }
    started.elapsed().as_secs_f64() * 1e9 / figure(rounds)
}

fn adt() -> String {
    let text = oru(7);
    let mut lines: Vec<&str> = text.split('\r').take(3).collect();
    lines.push("NK1|1|Moreno^Luis|SPO|Calle Sol 7^^Sevilla^^41001|95412345\rIN1|1|GEN|7|General Insurance|||||||||||Moreno^Ana|SEL|1980\r");
    lines.join("\r").replace("ORU^R01^ORU_R01", "ADT^A01^ADT_A01")
}

fn with_document() -> String {
    let document = base64::engine::general_purpose::STANDARD.encode(vec![7_u8; 786_432]);
    format!("{}OBX|17|ED|PDF^Report^L||^application^pdf^Base64^{document}|||||||F\r", oru(7))
}

/// Indexing, with what every message is asked for first, against an index of all fields.
pub(crate) fn parse(report: &mut Report) {
    for (name, text, rounds) in [
        ("parse_oru_1500", oru(7), 20_000),
        ("parse_adt_600", adt(), 40_000),
        ("parse_oru_1_mib", with_document(), 200),
    ] {
        let bytes = Bytes::from(text);
        let mut found = Vec::new();
        let (probe, case, ratio) = pairs(
            || nanoseconds(rounds, || offsets(black_box(&bytes), black_box(&mut found))),
            || {
                nanoseconds(rounds, || {
                    let read = RawMessage::parse_with(bytes.clone(), ReadOptions::default());
                    black_box(read.unwrap());
                })
            },
        );
        report.row(name, Some(ratio), &[("ns_per_message", case), ("memchr_index_ns", probe)]);
    }
}

/// Admission and rendering by the engine's own channel, against an index of all fields.
pub(crate) fn transform(report: &mut Report) {
    let trial = Trial::start(&destinations(&[9, 9, 9], Way::Strict));
    let live = trial.channel();
    let bytes = Bytes::from(oru(7));
    let payload = Payload::new(bytes.clone());
    let peer = "127.0.0.1".to_owned();
    let received = Received::new("bench".into(), payload.clone(), Timestamp(START), peer);
    let new = trial.engine.registry().admit(&received).unwrap();
    let stored = StoredMessage {
        seq: medway::message::id::Seq(1),
        envelope: Envelope { control_id: KeyValue::new("C"), ..new.envelope },
        plan: new.plan,
        payload,
        events: Vec::new(),
    };
    let mut found = Vec::new();
    let mut index = || nanoseconds(20_000, || offsets(black_box(&bytes), black_box(&mut found)));
    let (probe, case, ratio) = pairs(&mut index, || {
        nanoseconds(10_000, || {
            black_box(trial.engine.registry().admit(black_box(&received)).unwrap());
        })
    });
    report.row("admit", Some(ratio), &[("ns_per_message", case), ("memchr_index_ns", probe)]);
    // Nobody has read the first one before; the other was read at its admission.
    let unread = StoredMessage {
        envelope: Envelope { id: MessageId::new(), ..stored.envelope.clone() },
        plan: Plan { entries: stored.plan.entries.iter().take(1).cloned().collect() },
        ..stored.clone()
    };
    let versions = trial.engine.versions();
    for (name, message) in [("transform", &unread), ("transform_read_before", &stored)] {
        let (probe, case, ratio) = pairs(&mut index, || {
            nanoseconds(10_000, || {
                let to = live.destinations[0];
                black_box(versions.rendered(to, live.version, black_box(message)));
            })
        });
        let figures = [("ns_per_message", case), ("memchr_index_ns", probe)];
        report.row(name, Some(ratio), &figures);
    }
    trial.stop();
}
