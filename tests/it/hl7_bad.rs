//! The malformed corpus: each file is refused or borne as written down here, and never loses a segment.
//! Where this table and the corpus' manifest leave a choice, `docs/decisions/hl7-malformed.md` says why.

use std::fs;

use bytes::Bytes;
use medway::hl7::ack::{self, Ack, AckCode, AckError, Answer};
use medway::hl7::batch::{Batch, Form};
use medway::hl7::charset::CharsetRule;
use medway::hl7::edit::Draft;
use medway::hl7::header::Header;
use medway::hl7::mllp::{Decoder, Event, NestedStart, Options};
use medway::hl7::path::Path;
use medway::hl7::raw::{RawMessage, SegmentEnds};
use medway::hl7::strict;

use crate::hl7_corpus::corpus;

/// What becomes of a file.
enum Expect {
    /// Refused, whatever the listener bears, with this code of table 0357.
    Refused(u16),
    /// Read, with so many segments; a strict listener refuses with these codes.
    Read(usize, &'static [u16]),
    /// A stream that yields these events.
    Events(&'static [&'static str]),
}

use Expect::{Events, Read, Refused};

/// One row for each file of the corpus.
const FILES: &[(&str, Expect)] = &[
    ("001", Refused(100)),
    ("002", Refused(100)),
    ("003", Refused(100)),
    ("004", Refused(100)),
    ("005", Refused(101)),
    ("006", Refused(101)),
    ("007", Refused(101)),
    ("008", Read(1, &[])),
    ("009", Read(4, &[101])),
    ("010", Read(4, &[101])),
    ("011", Read(4, &[203])),
    ("012", Read(4, &[202])),
    ("013", Read(4, &[203])),
    ("014", Read(4, &[202])),
    ("015", Refused(100)),
    ("016", Refused(100)),
    ("017", Refused(100)),
    ("018", Read(4, &[100, 100, 100])),
    ("019", Refused(101)),
    ("020", Read(4, &[100])),
    ("021", Read(4, &[100])),
    ("022", Read(4, &[100])),
    ("023", Read(3, &[100])),
    ("024", Read(4, &[])),
    ("025", Read(4, &[100])),
    ("026", Read(4, &[100])),
    ("027", Read(3, &[102])),
    ("028", Refused(100)),
    ("029", Read(4, &[100])),
    ("030", Read(2, &[102])),
    ("031", Read(2, &[102])),
    ("032", Read(2, &[102])),
    ("033", Read(2, &[])),
    ("034", Read(2, &[102])),
    ("035", Read(2, &[])),
    ("036", Read(4, &[100])),
    ("037", Refused(100)),
    ("038", Refused(100)),
    ("039", Read(4, &[103])),
    ("040", Read(2, &[])),
    ("041", Events(&["frame 82"])),
    ("042", Events(&["frame 82"])),
    ("043", Events(&["frame 74"])),
    ("044", Events(&["restarted 60", "frame 121"])),
    ("045", Events(&["frame 122"])),
    ("046", Events(&[])),
    ("047", Events(&[])),
    ("048", Events(&["frame 122 at pause"])),
    ("049", Events(&["garbage 10", "frame 122"])),
    ("050", Events(&["frame 122", "frame 122"])),
    ("051", Events(&["frame 122", "frame 122"])),
    ("052", Events(&["frame 0", "frame 122"])),
    ("053", Events(&[])),
    ("054", Events(&["garbage 22"])),
    ("055", Refused(100)),
    ("056", Read(5, &[])),
    ("057", Read(5, &[100])),
    ("058", Read(8, &[])),
    ("059", Read(5, &[100])),
    ("060", Read(5, &[100])),
    ("061", Read(5, &[100])),
    ("062", Read(5, &[100])),
    ("063", Read(5, &[100])),
    ("064", Read(5, &[])),
    ("065", Read(5, &[100])),
    ("066", Read(3, &[])),
    ("067", Read(3, &[])),
    ("068", Read(3, &[])),
    ("069", Read(4, &[])),
    ("070", Read(4, &[])),
    ("071", Read(2, &[])),
    ("072", Read(2, &[])),
    ("073", Read(2, &[])),
    ("074", Read(2, &[])),
    ("075", Read(2, &[])),
    ("076", Read(2, &[])),
    ("077", Read(50_001, &[])),
    ("078", Read(2, &[])),
    ("079", Read(1, &[203])),
    ("080", Read(4, &[102])),
    ("081", Read(6, &[102, 102, 102])),
    ("082", Read(4, &[])),
    ("083", Read(4, &[])),
    ("084", Read(2, &[])),
    ("085", Read(2, &[])),
    ("086", Read(2, &[])),
    ("087", Refused(100)),
    ("088", Refused(100)),
    ("089", Refused(100)),
    ("090", Refused(100)),
    ("091", Read(4, &[100])),
    ("092", Refused(100)),
    ("093", Read(4, &[100])),
];

/// The files with their rows; every file has one.
fn files() -> Vec<(String, Bytes, &'static Expect)> {
    let Some(folder) = corpus("hl7v2-bad") else { return Vec::new() };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("its entries too").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !name.ends_with(".hl7") && !name.ends_with(".mllp") {
            continue;
        }
        let row = FILES.iter().find(|(number, _)| name.starts_with(*number));
        let (_, expect) = row.unwrap_or_else(|| panic!("{name} has no row in this table"));
        files.push((name, Bytes::from(fs::read(&path).expect("a file")), expect));
    }
    assert_eq!(files.len(), FILES.len(), "every row has its file");
    files.sort_by(|one, other| one.0.cmp(&other.0));
    files
}

/// The file whose name starts with `number`; `None` without the corpus.
fn file(number: &str) -> Option<Bytes> {
    files().into_iter().find(|(name, ..)| name.starts_with(number)).map(|(_, bytes, _)| bytes)
}

#[test]
fn messages_are_read_or_refused_as_decided() {
    let mut faults = Vec::new();
    for (name, bytes, expect) in files() {
        let read = RawMessage::parse(bytes.clone(), SegmentEnds::Lenient);
        match (expect, read) {
            (Refused(code), Err(error)) => {
                let problem = error.problem();
                if (problem.code, problem.reject) != (*code, true) {
                    faults.push(format!("{name}: {} instead of {code}: {error}", problem.code));
                }
            }
            (Read(segments, codes), Ok(message)) => {
                let found: Vec<_> =
                    strict::problems(&message).iter().map(|problem| problem.code).collect();
                let segments_found = message.segments().len();
                if (segments_found, found.as_slice()) != (*segments, *codes) {
                    faults.push(format!("{name}: {segments_found} segments, {found:?}"));
                }
                assert_eq!(Draft::new(&message).finish(), bytes, "{name}: bytes stay");
            }
            (Events(_), _) => {}
            (Refused(_), Ok(_)) => faults.push(format!("{name}: was read")),
            (Read(..), Err(error)) => faults.push(format!("{name}: was refused: {error}")),
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_standard_line_end_alone_never_hides_a_segment() {
    for (name, bytes, _) in files() {
        if let Ok(message) = RawMessage::parse(bytes.clone(), SegmentEnds::CrOnly) {
            let ids = bytes.windows(4).filter(|four| four == b"\nPID" || four == b"\nPV1").count();
            assert_eq!(ids, 0, "{name}: {} segments", message.segments().len());
        }
    }
}

#[test]
fn streams_yield_the_same_events_however_they_are_cut() {
    let mut faults = Vec::new();
    for (name, bytes, expect) in files() {
        let Events(expected) = expect else { continue };
        for size in [bytes.len(), 1, 7] {
            let mut decoder = Decoder::new(Options::default());
            let mut events = Vec::new();
            for part in bytes.chunks(size) {
                decoder.push(part);
                while let Some(event) = decoder.next_event() {
                    events.push(show(&event));
                }
            }
            let ending = decoder.end_at_pause();
            events.extend(ending.map(|event| format!("{} at pause", show(&event))));
            if events != *expected {
                faults.push(format!("{name} in reads of {size}: {events:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

fn show(event: &Event) -> String {
    match event {
        Event::Frame(frame) => format!("frame {}", frame.len()),
        Event::Garbage { bytes } => format!("garbage {bytes}"),
        Event::Restarted { bytes } => format!("restarted {bytes}"),
        Event::Nested { .. } => "nested".into(),
        Event::Oversize { .. } => "oversize".into(),
    }
}

#[test]
fn a_listener_may_give_up_a_stream_with_a_frame_in_a_frame() {
    let Some(bytes) = file("044") else { return };
    let mut decoder = Decoder::new(Options { nested: NestedStart::Reject, ..Options::default() });
    decoder.push(&bytes);
    assert!(matches!(decoder.next_event(), Some(Event::Nested { .. })));
    assert!(decoder.next_event().is_none() && decoder.is_stopped());
}

#[test]
fn everything_that_has_a_header_can_be_answered() {
    for (name, bytes, expect) in files() {
        if matches!(expect, Events(_)) {
            continue;
        }
        let header = Header::read(&bytes).ok().or_else(|| Header::read_best_effort(&bytes));
        let answer = Answer {
            code: AckCode::AR,
            control_id: "M1",
            at: "20260114083000+0000",
            problems: &[],
            charset: CharsetRule::default(),
        };
        let built = ack::build(header.as_ref(), &answer);
        let read = Ack::read(&built).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = header.as_ref().map_or(&b""[..], Header::control_id);
        assert_eq!(read.control_id, expected, "{name}");
    }
}

fn check(number: &str, path: &str, expected: &[u8]) {
    let Some(bytes) = file(number) else { return };
    let message = RawMessage::parse(bytes, SegmentEnds::Lenient).unwrap();
    assert_eq!(message.raw(&Path::parse(path).unwrap()), expected, "{number} {path}");
}

#[test]
fn what_is_borne_is_read_right() {
    check("018", "PID-5", b"");
    check("023", "PID-5.2", b"Jane");
    check("033", "PID-5.1", b"M\xFCller");
    check("059", "PV1-2", b"I");
    check("064", "PV1-2", b"I");
    check("069", "MSH-10", b"A\\F\\B\\X0D\\C");
    check("091", "MSH-3", b"APP");
    check("093", "MSH-3", b"APP");
    check("093", "PID-3.4", b"N");
}

#[test]
fn two_messages_in_one_are_refused_or_divided_and_never_merged() {
    let Some(bytes) = file("055") else { return };
    let batch = Batch::split(&bytes, SegmentEnds::CrOnly).unwrap();
    assert_eq!((batch.form, batch.messages.len()), (Form::Loose, 2));
    assert_eq!(batch.messages.iter().map(|m| m.bytes.len()).sum::<usize>(), bytes.len());
    for (number, messages, faults) in [("056", 1, 1), ("057", 1, 1), ("058", 1, 0)] {
        let batch = Batch::split(&file(number).unwrap(), SegmentEnds::CrOnly).unwrap();
        assert_eq!((batch.messages.len(), batch.faults.len()), (messages, faults), "{number}");
    }
}

#[test]
fn an_answer_that_acknowledges_nothing_is_an_error() {
    let Some(bytes) = file("085") else { return };
    assert_eq!(Ack::read(&bytes), Err(AckError::UnknownCode));
    let other = Ack::read(&file("086").unwrap()).unwrap();
    assert_eq!(other.control_id, &b"OTHER"[..]);
    let header_only = Ack::read(&file("008").unwrap());
    assert_eq!(header_only, Err(AckError::NoMsa));
}

#[test]
fn text_that_decodes_to_a_line_end_goes_out_escaped() {
    let Some(bytes) = file("068") else { return };
    let message = RawMessage::parse(bytes, SegmentEnds::CrOnly).unwrap();
    let mut draft = Draft::new(&message);
    let (from, to) = (Path::parse("NTE-3").unwrap(), Path::parse("PID-2").unwrap());
    let obx = Path::parse("OBX-5").unwrap();
    for source in [from, obx] {
        let text = message.get(&source).text(message.charset()).into_owned();
        draft.set(&to, &text).unwrap();
        let edited = RawMessage::parse(draft.finish(), SegmentEnds::Lenient).unwrap();
        assert_eq!(edited.segments().len(), message.segments().len());
        assert_eq!(edited.get(&to).text(message.charset()), text);
    }
}
