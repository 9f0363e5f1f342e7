//! Every message of the corpora is read right, by an independent reader's measure, and leaves as it came.

use std::fs;
use std::path::{Path as File, PathBuf};

use bytes::Bytes;
use medway::hl7::ack::{self, Ack, AckCode, Answer};
use medway::hl7::batch::Batch;
use medway::hl7::charset::{Charset, CharsetRule, Width};
use medway::hl7::edit::Draft;
use medway::hl7::header::Header;
use medway::hl7::path::Path;
use medway::hl7::raw::{RawMessage, SegmentEnds, SegmentRef};
use medway::hl7::tree;

/// The folder of a corpus, when this machine has it. The project's own messages are always there.
pub(crate) fn corpus(name: &str) -> Option<PathBuf> {
    let root = File::new(env!("CARGO_MANIFEST_DIR"));
    let given = std::env::var_os("MEDWAY_CORPUS").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| root.join("../shared/corpus")).join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    #[expect(clippy::print_stderr, reason = "a run without the corpus says so")]
    {
        eprintln!("no corpus {name} here: only the project's own messages are checked");
    }
    None
}

fn messages() -> Vec<(String, Bytes)> {
    let own = File::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages/hl7");
    let mut found = Vec::new();
    for folder in [Some(own), corpus("hl7v2")].into_iter().flatten() {
        for entry in fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("its entries too").path();
            if path.extension().is_some_and(|ending| ending == "hl7") {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                found.push((name, Bytes::from(fs::read(&path).expect("a file"))));
            }
        }
    }
    assert!(found.len() >= 15, "the project's own messages are there");
    found.sort();
    found
}

fn parse(name: &str, bytes: &Bytes) -> RawMessage {
    RawMessage::parse(bytes.clone(), SegmentEnds::CrOnly)
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Any byte as one character, and LF as one that ends nothing: er7 takes LF for a segment end.
fn as_characters(bytes: &[u8]) -> String {
    let character = |byte: &u8| if *byte == b'\n' { '\u{2424}' } else { char::from(*byte) };
    bytes.iter().map(character).collect()
}

/// A message as er7 reads it. It takes `&` and `\\` where MSH-2 names no subcomponent and no escape; here
/// they are text, as that sender says.
fn read_by_er7(message: &RawMessage) -> er7::Message {
    let text = as_characters(message.bytes());
    let mut separators = er7::parse(&text).expect("er7 reads the header").separators;
    if message.separators().subcomponent.is_none() {
        separators.subcomponent = '\u{2401}';
    }
    if message.separators().escape.is_none() {
        separators.escape = '\u{2402}';
    }
    er7::parse_with(&text, separators)
}

/// The raw leaves of a segment at their addresses, as er7 reads them.
fn leaves_of_er7(segment: &er7::Segment) -> Vec<(String, String)> {
    let mut leaves = Vec::new();
    for (f, field) in (1..).zip(&segment.fields) {
        for (r, repetition) in (1..).zip(&field.repetitions) {
            for (c, component) in (1..).zip(&repetition.components) {
                for (s, leaf) in (1..).zip(&component.subcomponents) {
                    if !leaf.raw.is_empty() {
                        leaves.push((format!("{f}[{r}].{c}.{s}"), leaf.raw.clone()));
                    }
                }
            }
        }
    }
    leaves
}

/// How many leaves the segment's own tree shows; `None` when a field is too long to be divided.
fn count_of_leaves(segment: &SegmentRef<'_>) -> Option<usize> {
    let trees = tree::fields(segment, Charset::Latin(medway::hl7::charset::Latin::Iso1));
    let leaves = trees.iter().flat_map(|field| field.repetitions.iter().flatten().flatten());
    let count = leaves.filter(|leaf| !leaf.is_empty()).count();
    (!trees.iter().any(|field| field.is_cut)).then_some(count)
}

#[test]
fn every_leaf_stands_where_an_independent_reader_finds_it() {
    let mut compared = 0_usize;
    for (name, bytes) in messages() {
        let message = parse(&name, &bytes);
        if message.charset().width() != Width::Single {
            // er7 knows no characters that hold delimiter bytes; `characters_that_hold_…` checks these.
            continue;
        }
        for member in Batch::split(&bytes, SegmentEnds::CrOnly).unwrap().messages {
            let message = parse(&name, &member.bytes);
            let theirs = read_by_er7(&message);
            assert_eq!(message.segments().len(), theirs.segments.len(), "{name}");
            for (segment, their) in message.segments().zip(&theirs.segments) {
                assert_eq!(as_characters(segment.id), their.name, "{name}");
                let leaves = leaves_of_er7(their);
                let few = leaves.len() <= 500;
                for (at, raw) in leaves.iter().enumerate().filter(|(n, _)| few || n % 97 == 0) {
                    let (address, expected) = (&raw.0, &raw.1);
                    let path = Path::parse(&format!("PID-{address}")).expect("an address");
                    let found = message.get_in(segment.index, &path);
                    assert_eq!(&as_characters(found.raw()), expected, "{name}: {address} ({at})");
                    compared += 1;
                }
                if few && let Some(count) = count_of_leaves(&segment) {
                    assert_eq!(count, leaves.len(), "{name}: no leaf more");
                }
            }
        }
    }
    assert!(compared > 300, "{compared} leaves were compared");
}

#[test]
fn characters_that_hold_delimiter_bytes_are_not_divided() {
    let read = |name: &str, at: &str| {
        let (_, bytes) = messages().into_iter().find(|(found, _)| found == name).expect(name);
        let message = parse(name, &bytes);
        let value = message.get(&Path::parse(at).unwrap());
        value.try_text(message.charset()).expect("text of the charset").into_owned()
    };
    assert_eq!(read("adt-a08-gb18030.hl7", "PID-5.2"), "弢镕");
    assert_eq!(read("adt-a08-gb18030.hl7", "PID-5[2].2"), "喆");
    assert_eq!(read("adt-a08-gb18030.hl7", "NTE-3"), "囍圙砡瑋𠀀");
    assert_eq!(read("adt-a08-gb18030.hl7", "MSH-9.2"), "A08");
    assert_eq!(read("adt-a04-big5.hl7", "PID-5.2"), "功蓋");
    assert_eq!(read("adt-a04-big5.hl7", "PID-5.3"), "測試");
    assert_eq!(read("adt-a01-iso2022jp.hl7", "PID-5[2].1"), "山田");
    assert_eq!(read("adt-a01-iso2022jp.hl7", "PID-5[3].2"), "たろう");
    assert_eq!(read("adt-a01-latin1.hl7", "PID-5.1"), "Müßig");
}

#[test]
fn a_draft_that_nobody_wrote_to_is_the_message() {
    for (name, bytes) in messages() {
        let message = parse(&name, &bytes);
        assert_eq!(Draft::new(&message).finish(), bytes, "{name}");
        assert_eq!(message.bytes(), &bytes, "{name}");
    }
}

#[test]
fn an_edit_touches_its_own_segment_only() {
    let path = Path::parse("MSH-6.2").unwrap();
    for (name, bytes) in messages() {
        for member in Batch::split(&bytes, SegmentEnds::CrOnly).unwrap().messages {
            let message = parse(&name, &member.bytes);
            let mut draft = Draft::new(&message);
            draft.set(&path, "X-1").unwrap_or_else(|error| panic!("{name}: {error}"));
            let edited = parse(&name, &draft.finish());
            assert_eq!(edited.get(&path).text(message.charset()), "X-1", "{name}");
            assert_eq!(edited.segments().len(), message.segments().len(), "{name}");
            for (now, before) in edited.segments().zip(message.segments()).skip(1) {
                assert_eq!(now.bytes, before.bytes, "{name}");
            }
        }
    }
}

#[test]
fn batches_lose_no_message() {
    for (name, bytes) in messages() {
        let batch = Batch::split(&bytes, SegmentEnds::CrOnly).unwrap();
        let headers = bytes.split(|byte| *byte == b'\r').filter(|line| line.starts_with(b"MSH"));
        assert_eq!(batch.messages.len(), headers.count(), "{name}");
        for member in &batch.messages {
            parse(&name, &member.bytes);
        }
    }
}

#[test]
fn every_message_gets_an_answer_that_names_it() {
    let control_id = Path::parse("MSA-2").unwrap();
    for (name, bytes) in messages() {
        for member in Batch::split(&bytes, SegmentEnds::CrOnly).unwrap().messages {
            let header = Header::read(&member.bytes).unwrap();
            let answer = Answer {
                code: AckCode::AA,
                control_id: "M1",
                at: "20260114083000+0000",
                problems: &[],
                charset: CharsetRule::default(),
            };
            let built = ack::build(Some(&header), &answer);
            let read = Ack::read(&built).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(read.control_id, header.control_id(), "{name}");
            let parsed = parse(&name, &built);
            assert_eq!(parsed.raw(&control_id), header.control_id(), "{name}");
            let answered = Header::read(&built).unwrap();
            assert_eq!(answered.receiving_application(), header.sending_application(), "{name}");
            assert_eq!(answered.sending_facility(), header.receiving_facility(), "{name}");
            assert_eq!(answered.field(2), header.field(2), "{name}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn what_was_built_is_read_again(
        lines in proptest::collection::vec("[A-Z][A-Z0-9]{2}(\\|[ -{}é张]{0,20}){0,6}", 0..8),
        delimiters in proptest::sample::select(vec!["|^~\\&", "|^~\\&#", "|~^\\&", "|^~"]),
        lenient in proptest::bool::ANY,
    ) {
        let (end, ends) = if lenient { ("\n", SegmentEnds::Lenient) } else { ("\r", SegmentEnds::CrOnly) };
        let headers = ["MSH", "FHS", "BHS"];
        let lines: Vec<_> = lines.into_iter().filter(|l| !headers.iter().any(|h| l.starts_with(h))).collect();
        let text = format!("MSH{delimiters}|A{end}{}", lines.iter().map(|l| format!("{l}{end}")).collect::<String>());
        let message = RawMessage::parse(Bytes::from(text.clone()), ends).unwrap();
        proptest::prop_assert_eq!(message.segments().len(), lines.len() + 1);
        for (segment, line) in message.segments().skip(1).zip(&lines) {
            proptest::prop_assert_eq!(segment.bytes, line.as_bytes());
        }
        proptest::prop_assert_eq!(Draft::new(&message).finish(), text);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), prefix in proptest::bool::ANY) {
        let mut input = if prefix { b"MSH|^~\\&|".to_vec() } else { Vec::new() };
        input.extend(bytes);
        let input = Bytes::from(input);
        for ends in [SegmentEnds::CrOnly, SegmentEnds::Lenient] {
            if let Ok(message) = RawMessage::parse(input.clone(), ends) {
                proptest::prop_assert_eq!(Draft::new(&message).finish(), &input);
                proptest::prop_assert!(medway::hl7::strict::problems(&message).len() < 100);
                for segment in message.segments() {
                    let fields = tree::fields(&segment, message.charset());
                    proptest::prop_assert!(fields.len() <= input.len());
                }
            }
            if let Ok(batch) = Batch::split(&input, ends) {
                proptest::prop_assert!(batch.messages.len() <= input.len());
            }
        }
        if let Ok(ack) = Ack::read(&input) {
            proptest::prop_assert!(ack.error_codes.len() <= 32);
        }
        if let Some(header) = Header::read_best_effort(&input) {
            proptest::prop_assert!(header.control_id().len() <= input.len());
        }
    }
}
