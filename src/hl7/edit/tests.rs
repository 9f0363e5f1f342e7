//! Edits, and what they leave alone.

use super::*;
use crate::hl7::raw::SegmentEnds;

const ADT: &str =
    "MSH|^~\\&|A|B|C|D|2026||ADT^A01|7|P|2.5\rPID|1||P1^^^N^MR~P2^^^N^PI||Doe^Jane\rPV1|1|I\r";

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn read(text: &str) -> RawMessage {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    RawMessage::parse(bytes, SegmentEnds::Lenient).unwrap()
}

fn shown(draft: &Draft<'_>, segment: &str) -> String {
    let found = draft.segments().find(|found| found.id == segment.as_bytes());
    found.map_or_else(String::new, |found| String::from_utf8_lossy(found.bytes).into_owned())
}

/// Applies `edit` to the ADT and compares the first segment named like `expected`.
fn check(edit: impl FnOnce(&mut Draft<'_>) -> Result<(), EditError>, expected: &str) {
    let message = read(ADT);
    let mut draft = Draft::new(&message);
    edit(&mut draft).unwrap();
    let (id, _) = expected.split_at(3);
    assert_eq!(shown(&draft, id), expected);
}

fn set(at: &str, text: &str, expected: &str) {
    check(|draft| draft.set(&path(at), text), expected);
}

#[test]
fn writes_where_the_path_says() {
    set("PV1-2", "O", "PV1|1|O");
    set("MSH-5", "LIS", "MSH|^~\\&|A|B|LIS|D|2026||ADT^A01|7|P|2.5");
    set("MSH-9.2", "A08", "MSH|^~\\&|A|B|C|D|2026||ADT^A08|7|P|2.5");
    set("PID-5.1", "Roe", "PID|1||P1^^^N^MR~P2^^^N^PI||Roe^Jane");
    set("PID-5", "Roe", "PID|1||P1^^^N^MR~P2^^^N^PI||Roe");
    set("PID-3.1", "X", "PID|1||X^^^N^MR~P2^^^N^PI||Doe^Jane");
    set("PID-3[2].1", "X", "PID|1||P1^^^N^MR~X^^^N^PI||Doe^Jane");
    set("PID-3(PI).1", "X", "PID|1||P1^^^N^MR~X^^^N^PI||Doe^Jane");
    set("PID-3[*].4", "M", "PID|1||P1^^^M^MR~P2^^^M^PI||Doe^Jane");
    set("PID-3", "X", "PID|1||X||Doe^Jane");
}

#[test]
fn makes_what_is_missing() {
    set("PV1-5.1", "V", "PV1|1|I|||V");
    set("PV1-2.3", "x", "PV1|1|I^^x");
    set("PV1-2.1.2", "x", "PV1|1|I&x");
    set("PV1-3[2].1", "x", "PV1|1|I|~x");
    set("PID-3(NI).1", "9", "PID|1||P1^^^N^MR~P2^^^N^PI~9^^^^NI||Doe^Jane");
    set("PV1-3(NI).1", "9", "PV1|1|I|9^^^^NI");
    set("PV1-3(NI)", "9", "PV1|1|I|9");
}

#[test]
fn nothing_is_made_for_nothing() {
    set("PV1-5.1", "", "PV1|1|I");
    set("PV1-3(NI).1", "", "PV1|1|I");
    set("PV1-7[*].1", "x", "PV1|1|I");
    set("PID-5.1", "", "PID|1||P1^^^N^MR~P2^^^N^PI||^Jane");
}

#[test]
fn escapes_what_would_be_structure() {
    set("PV1-2", "a|b^c&d~e\\f\r\n\u{b}\u{1c}", r"PV1|1|a\F\b\S\c\T\d\R\e\E\f\X0D\\X0A\\X0B\\X1C\");
}

#[test]
fn a_value_written_unchanged_keeps_its_bytes() {
    let message = read("MSH|^~\\&|A\rOBX|1||||a\\.br\\b \\X41\\ C:\\x\r");
    let mut draft = Draft::new(&message);
    let text = draft.get(&path("OBX-5")).text(Charset::Utf8).into_owned();
    draft.set(&path("OBX-5"), &text).unwrap();
    assert_eq!(shown(&draft, "OBX"), "OBX|1||||a\\.br\\b \\X41\\ C:\\x");
}

#[test]
fn later_reads_see_earlier_writes() {
    let message = read(ADT);
    let mut draft = Draft::new(&message);
    draft.set(&path("PV1-44"), "20260114").unwrap();
    draft.copy(&path("PV1-44"), &path("PV1-45")).unwrap();
    assert_eq!(draft.get(&path("PV1-45")).text(Charset::Utf8), "20260114");
    let index = draft.append_segment(b"ZPV").unwrap();
    draft.set(&path("ZPV-2"), "x").unwrap();
    assert_eq!(draft.get_in(index, &path("ZPV-2")).text(Charset::Utf8), "x");
    assert!(draft.finish().ends_with(b"\rZPV||x\r"));
}

#[test]
fn copies_structure_undecoded() {
    check(
        |d| d.copy(&path("PID-5"), &path("PID-9")),
        "PID|1||P1^^^N^MR~P2^^^N^PI||Doe^Jane||||Doe^Jane",
    );
    check(
        |d| d.copy(&path("PID-3"), &path("PID-2")),
        "PID|1|P1^^^N^MR~P2^^^N^PI|P1^^^N^MR~P2^^^N^PI||Doe^Jane",
    );
    check(|d| d.copy(&path("PID-3.1"), &path("PID-5.2")), "PID|1||P1^^^N^MR~P2^^^N^PI||Doe^P1");
    check(|d| d.copy(&path("PID-30"), &path("PID-5.2")), "PID|1||P1^^^N^MR~P2^^^N^PI||Doe^");
}

#[test]
fn removes_what_the_path_says() {
    let remove = |at: &str, expected: &str| check(|draft| draft.remove(&path(at)), expected);
    remove("PID-5", "PID|1||P1^^^N^MR~P2^^^N^PI||");
    remove("PID-5.1", "PID|1||P1^^^N^MR~P2^^^N^PI||^Jane");
    remove("PID-3[1]", "PID|1||P2^^^N^PI||Doe^Jane");
    remove("PID-3(PI)", "PID|1||P1^^^N^MR||Doe^Jane");
    remove("PID-3[*]", "PID|1||||Doe^Jane");
    remove("PID-3[*].4", "PID|1||P1^^^^MR~P2^^^^PI||Doe^Jane");
    remove("PID-99", "PID|1||P1^^^N^MR~P2^^^N^PI||Doe^Jane");
    let message = read(ADT);
    let mut draft = Draft::new(&message);
    draft.remove(&path("PV1")).unwrap();
    assert!(draft.finish().ends_with(b"Doe^Jane\r"));
}

#[test]
fn writes_null_and_raw() {
    check(|d| d.set_null(&path("PID-5")), "PID|1||P1^^^N^MR~P2^^^N^PI||\"\"");
    check(|d| d.set_raw(&path("PID-5"), b"A&B^C"), "PID|1||P1^^^N^MR~P2^^^N^PI||A&B^C");
}

fn refuse(edit: impl FnOnce(&mut Draft<'_>) -> Result<(), EditError>, start: &str) {
    let message = read(ADT);
    let mut draft = Draft::new(&message);
    let error = edit(&mut draft).unwrap_err().to_string();
    assert!(error.contains(start), "{error}");
    assert_eq!(draft.finish(), ADT, "a refused edit changes nothing");
}

#[test]
fn refuses_what_would_break_the_message() {
    refuse(|d| d.set(&path("MSH-1"), "#"), "delimiters");
    refuse(|d| d.set(&path("MSH-2"), "^~"), "delimiters");
    refuse(|d| d.remove(&path("MSH-2")), "delimiters");
    refuse(|d| d.remove(&path("MSH")), "header");
    refuse(|d| d.set(&path("PID"), "x"), "whole segment");
    refuse(|d| d.set(&path("ZPV-1"), "x"), "no segment");
    refuse(|d| d.set(&path("OBX[2]-1"), "x"), "no segment");
    refuse(|d| d.set_raw(&path("PID-5"), b"a|b"), "delimiter");
    refuse(|d| d.set_raw(&path("PID-5"), b"a\rb"), "line end");
    refuse(|d| d.set_raw(&path("PID-5.1"), b"a^b"), "delimiter");
    refuse(|d| d.set_raw(&path("PID-3[1]"), b"a~b"), "delimiter");
    refuse(|d| d.copy(&path("PID-5"), &path("PV1-2.1")), "delimiter");
    refuse(|d| d.set(&path("PID-999999"), "x"), "lies beyond");
    refuse(|d| d.append_segment(b"MSH|^~\\&|").map(drop), "header");
    refuse(|d| d.append_segment(b"pid|1").map(drop), "segment id");
    refuse(|d| d.append_segment(b"NTE|1\rNTE|2").map(drop), "one line");
}

#[test]
fn the_charset_of_the_message_is_kept_or_the_edit_fails() {
    let message = read("MSH|^~\\&|A|||||||7|P|2.5||||||8859/1\rPID|1\r");
    let mut draft = Draft::new(&message);
    draft.set(&path("PID-5"), "Müller").unwrap();
    assert!(draft.finish().ends_with(b"PID|1||||M\xFCller\r"));
    let error = draft.set(&path("PID-5"), "张伟").unwrap_err().to_string();
    assert!(error.contains("PID-5") && error.contains("8859/1"), "{error}");
    assert!(draft.transcode(Charset::Ascii).is_err());
    draft.transcode(Charset::Utf8).unwrap();
    draft.set(&path("PID-9"), "张伟").unwrap();
    let expected = "MSH|^~\\&|A|||||||7|P|2.5||||||UNICODE UTF-8\rPID|1||||Müller||||张伟\r";
    assert_eq!(draft.finish(), expected);
}

#[test]
fn without_delimiters_in_msh2_deep_places_cannot_be_made() {
    let message = read("MSH|^~|A\rPID|1\r");
    let mut draft = Draft::new(&message);
    assert!(matches!(draft.set(&path("PID-3.1.2"), "x"), Err(EditError::NoDelimiter { .. })));
    assert!(matches!(draft.set(&path("PID-3"), "a|b"), Err(EditError::Write { .. })));
    draft.set(&path("PID-3.2"), "x").unwrap();
    assert_eq!(shown(&draft, "PID"), "PID|1||^x");
}

#[test]
fn line_ends_and_blank_lines_stay_as_they_came() {
    for text in ["\r\nMSH|^~\\&|A\n\nPID|1\nPV1|1", "MSH|^~\\&|A\r\rPID|1\rPV1|1\r\0\0"] {
        let message = read(text);
        let mut draft = Draft::new(&message);
        assert_eq!(draft.finish(), text);
        draft.set(&path("PID-1"), "2").unwrap();
        assert_eq!(draft.finish(), text.replace("PID|1", "PID|2"));
    }
    let message = read("MSH|^~\\&|A\nPID|1");
    let mut draft = Draft::new(&message);
    draft.append_segment(b"NTE|1").unwrap();
    assert_eq!(draft.finish(), "MSH|^~\\&|A\nPID|1\nNTE|1\n");
    draft.insert_segment(0, b"EVN").unwrap();
    assert_eq!(draft.finish(), "MSH|^~\\&|A\nEVN\nPID|1\nNTE|1\n");
}

/// What was edited reads as its bytes do.
fn check_read(draft: &Draft<'_>) -> bool {
    let Some(found) = draft.finish_read() else { return false };
    let anew = RawMessage::parse(draft.finish(), SegmentEnds::Lenient).unwrap();
    let shown = |message: &RawMessage| {
        let lines = message.segments().map(|one| (one.at, one.bytes.to_vec(), one.separators));
        (message.bytes().clone(), message.charset(), lines.collect::<Vec<_>>())
    };
    assert_eq!(shown(&found), shown(&anew));
    true
}

#[test]
fn only_what_was_written_is_read_again() {
    let with = |text: &str, edit: &dyn Fn(&mut Draft<'_>) -> Result<(), EditError>| {
        let message = read(text);
        let mut draft = Draft::new(&message);
        edit(&mut draft).unwrap();
        check_read(&draft)
    };
    assert!(with(ADT, &|_| Ok(())));
    assert!(with(ADT, &|draft| draft.set(&path("MSH-5"), "LIS")));
    assert!(with(ADT, &|draft| draft.set(&path("PV1-40"), "x")));
    assert!(with(ADT, &|draft| draft.remove(&path("PID-3"))));
    assert!(with("\r\nMSH|^~\\&|A\n\n\rPID|1|x\nPV1|2", &|draft| draft.set(&path("PID-2"), "yy")));
    // These may be read otherwise than before.
    assert!(!with(ADT, &|draft| draft.set(&path("MSH-18"), "8859/1")));
    assert!(!with(ADT, &|draft| draft.set(&path("MSH-5"), "\u{2028}PID|")));
    assert!(!with(ADT, &|draft| draft.set_raw(&path("PID-2"), b"1\nPV1")));
    assert!(!with(ADT, &|draft| draft.remove(&path("PV1"))));
    assert!(!with(ADT, &|draft| draft.insert_segment(1, b"ZZZ|1").map(drop)));
    // One at the end is read alone, where it follows a whole line and is one.
    let added = |text: &str, value: &str| {
        with(text, &|draft| {
            draft.append_segment(b"ZZZ")?;
            draft.append_segment(b"ZZY|1")?;
            draft.set_raw(&path("ZZZ-2"), value.as_bytes())
        })
    };
    assert!(added(ADT, "x^y"));
    assert!(added("MSH|^~\\&|A\nPID|1\n", "x"));
    assert!(!added("MSH|^~\\&|A\rPID|1", "x"));
    assert!(!added("MSH|^~\\&|A\rPID|1\r\r", "x"));
    assert!(!added(ADT, "1\nPV1"));
    assert!(!with("BHS|^~\\&|A\rMSH|^~\\&|A\rPID|1\r", &|draft| draft.set(&path("PID-1"), "2")));
}

proptest::proptest! {
    #[test]
    fn what_is_set_is_read(
        field in 1_u32..12,
        repetition in 1_u32..4,
        component in 1_u32..6,
        text in "[ -~]{1,12}|\\PC{1,6}|[|^~&\\\\\\r\\n]{1,5}",
    ) {
        proptest::prop_assume!(text != "\"\"");
        let message = read(ADT);
        let mut draft = Draft::new(&message);
        for at in [
            format!("PV1-{field}"),
            format!("PV1-{field}.{component}"),
            format!("PV1-{field}[{repetition}].{component}.2"),
            format!("PID-{field}(MR).{component}"),
        ] {
            if at.starts_with("PID") && component == 5 { continue }
            draft.set(&path(&at), &text).unwrap();
            let found = draft.get(&path(&at)).text(Charset::Utf8).into_owned();
            proptest::prop_assert_eq!(&found, &text, "{}", at);
            proptest::prop_assert_eq!(draft.segments().count(), 3);
            check_read(&draft);
        }
        draft.append_segment(b"ZZZ").unwrap();
        draft.set(&path(&format!("ZZZ-{field}[{repetition}].{component}")), &text).unwrap();
        check_read(&draft);
    }
}
