//! Every message of the corpus goes in over MLLP, is kept byte for byte, is answered, and leaves a
//! pass-through channel unchanged.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::peers::{Link, Manner, plain_receiver};

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "hl7"));
    files.sort();
    files
}

/// The project's own messages, and the corpus where it is there.
fn messages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = std::env::var_os("MEDWAY_CORPUS")
        .map_or_else(|| root.join("../shared/corpus"), PathBuf::from);
    let mut files = files_in(&root.join("tests/messages/hl7"));
    assert!(!files.is_empty(), "the project's own messages are there");
    let more = files_in(&corpus.join("hl7v2"));
    println!("{} own messages, {} of the corpus", files.len(), more.len());
    files.extend(more);
    files
}

/// MSH-10 as bytes; `None` for a batch, whose answer is a batch.
fn control_id(message: &[u8]) -> Option<&[u8]> {
    if !message.starts_with(b"MSH") {
        return None;
    }
    let separator = *message.get(3)?;
    let header = message.split(|byte| *byte == b'\r').next()?;
    header.split(|byte| *byte == separator).nth(9)
}

fn ack_of(answer: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let separator = answer[3];
    let msa = answer
        .split(|byte| *byte == b'\r')
        .find(|line| line.starts_with(b"MSA"))
        .unwrap_or_default();
    let mut fields = msa.split(|byte| *byte == separator);
    let code = fields.nth(1).unwrap_or_default().to_vec();
    (code, fields.next().unwrap_or_default().to_vec())
}

#[test]
fn every_message_passes_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let (port, kept) = plain_receiver(Manner::Good);
    let destination =
        format!("  out:\n    mllp: {{host: 127.0.0.1, port: {port}}}\n    order: strict\n");
    let mut engine = Engine::with(
        folder.path(),
        "order_by: PID-3.1\n",
        "{mode: original}",
        "accept:\n  duplicate: none\n",
        &destination,
    );
    engine.start("");
    engine.ready().expect("the engine starts");
    let mut link = Link::open(engine.port);
    let mut expected: Vec<Vec<u8>> = Vec::new();
    let mut faults = Vec::new();
    for file in messages() {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(&file).unwrap();
        if is_acknowledgement(&bytes) {
            // Feedback-loop guard: kept as evidence, routed nowhere, never answered.
            link.post(&bytes);
            continue;
        }
        let Some(answer) = link.exchange(&bytes) else {
            faults.push(format!("{name}: no answer"));
            link = Link::open(engine.port);
            continue;
        };
        let Some(id) = control_id(&bytes) else {
            // A batch: its messages leave one by one, its answer is a batch of acknowledgements.
            if !answer.starts_with(b"BHS")
                && !answer.starts_with(b"FHS")
                && !answer.starts_with(b"MSH")
            {
                faults.push(format!("{name}: a batch is answered with a batch"));
            }
            expected.extend(split_batch(&bytes));
            continue;
        };
        let (code, echoed) = ack_of(&answer);
        if code == b"AA" || code == b"CA" {
            if echoed != id {
                faults.push(format!("{name}: MSA-2 is not MSH-10"));
            }
            expected.push(bytes);
        } else {
            faults.push(format!("{name}: answered {}", String::from_utf8_lossy(&code)));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    let deadline = Instant::now() + Duration::from_secs(60);
    while kept.lock().unwrap().len() < expected.len() {
        let stuck = || format!("{}\n{}", engine.destination("out"), engine.log());
        assert!(Instant::now() < deadline, "not everything is delivered: {}", stuck());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let kept = kept.lock().unwrap();
    for (sent, got) in expected.iter().zip(kept.iter()) {
        assert!(sent == got, "a message left changed: {} bytes in, {} out", sent.len(), got.len());
    }
    assert_eq!(kept.len(), expected.len(), "nothing but these was sent");
}

/// Whether it is an acknowledgement: MSH-9.1 says so, or there is nothing but MSA and its companions.
fn is_acknowledgement(message: &[u8]) -> bool {
    let mut lines = message.split(|byte| *byte == b'\r').filter(|line| !line.is_empty());
    let header = lines.clone().find(|line| line.starts_with(b"MSH")).unwrap_or_default();
    let field = header.get(3).and_then(|separator| header.split(|byte| byte == separator).nth(8));
    let companion = |line: &[u8]| {
        [&b"MSH"[..], b"MSA", b"ERR", b"SFT", b"NTE"].iter().any(|id| line.starts_with(id))
    };
    field.is_some_and(|field| field.starts_with(b"ACK"))
        || (message.windows(4).any(|window| window == b"\rMSA") && lines.all(companion))
}

/// The messages of a batch, each from its MSH to the next header or trailer.
pub(crate) fn split_batch(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    let mut open = false;
    for line in bytes.split_inclusive(|byte| *byte == b'\r') {
        let id = line.get(..3).unwrap_or_default();
        if id == b"MSH" {
            messages.push(Vec::new());
            open = true;
        } else if [&b"FHS"[..], b"BHS", b"BTS", b"FTS"].contains(&id) {
            open = false;
        }
        if open {
            messages.last_mut().unwrap().extend_from_slice(line);
        }
    }
    messages
}
