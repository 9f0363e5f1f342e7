//! Batches and their answers.

use super::*;

const FULL: &str = "FHS|^~\\&|A|N|H|I|2026||||F1\rBHS|^~\\&|A|N|H|I|2026||||B1\rMSH|^~\\&|1\rPID|1\rMSH|^~\\&|2\rBTS|2\rBHS#*~\\&#A#N#H#I#2026####B2\rMSH|^~\\&|3\rBTS#1\rFTS|2\r";

fn split(text: &str) -> Batch {
    Batch::split(&Bytes::copy_from_slice(text.as_bytes()), SegmentEnds::CrOnly).unwrap()
}

fn check(text: &str, form: Form, messages: &[(&str, usize, usize)], faults: &[&str]) {
    let batch = split(text);
    let found: Vec<_> = batch
        .messages
        .iter()
        .map(|m| (std::str::from_utf8(&m.bytes).unwrap(), m.group, m.index))
        .collect();
    assert_eq!((batch.form, found.as_slice()), (form, messages), "{text}");
    let shown: Vec<_> = batch.faults.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), faults.len(), "{shown:?}");
    for (shown, expected) in shown.iter().zip(faults) {
        assert!(shown.contains(expected), "{shown}");
    }
}

#[test]
fn divides_a_batch_and_keeps_the_bytes() {
    let messages =
        [("MSH|^~\\&|1\rPID|1\r", 0, 1), ("MSH|^~\\&|2\r", 0, 2), ("MSH|^~\\&|3\r", 1, 1)];
    check(FULL, Form::Enveloped, &messages, &[]);
    check("MSH|^~\\&|1\rPID|1", Form::Single, &[("MSH|^~\\&|1\rPID|1", 0, 1)], &[]);
    let two = "MSH|^~\\&|1\rMSH|^~\\&|2\r";
    check(two, Form::Loose, &[("MSH|^~\\&|1\r", 0, 1), ("MSH|^~\\&|2\r", 0, 2)], &[]);
    let empty = "FHS|^~\\&|A\rBHS|^~\\&|A\rBTS|0\rFTS|1\r";
    check(empty, Form::Enveloped, &[], &[]);
    let batch = split(FULL);
    assert_eq!(batch.file.unwrap().control_id(), b"F1");
    let ids: Vec<_> = batch.groups.iter().flat_map(|g| g.header.as_ref()).collect();
    assert_eq!((ids[0].control_id(), ids[1].control_id()), (&b"B1"[..], &b"B2"[..]));
}

#[test]
fn says_what_is_wrong_with_the_envelopes() {
    let one = [("MSH|^~\\&|1\r", 0, 1)];
    check("BHS|^~\\&|A\rMSH|^~\\&|1\r", Form::Enveloped, &one, &["no trailer"]);
    check("BHS|^~\\&|A\rMSH|^~\\&|1\rBTS|7\r", Form::Enveloped, &one, &["declares 7 where 1"]);
    check("BHS|^~\\&|A\rNTE|x\rMSH|^~\\&|1\rBTS\r", Form::Enveloped, &one, &["no message"]);
    let whole = "MSH|^~\\&|1\rBTS|1\r";
    check(whole, Form::Single, &[(whole, 0, 1)], &["did not begin"]);
    let stray = "BHS|^~\\&|A\rMSH|^~\\&|1\rBTS|1\rMSH|^~\\&|2\r";
    check(stray, Form::Enveloped, &[one[0], ("MSH|^~\\&|2\r", 1, 1)], &[]);
    let unusable = Bytes::from_static(b"BHS|^~\\&|A\rMSH|^^\\&|1\r");
    assert!(Batch::split(&unusable, SegmentEnds::CrOnly).is_err());
}

fn answer(text: &str, owed: &[bool], expected: Option<&str>) {
    let batch = split(text);
    let ack = |n: usize| Bytes::from(format!("MSA|{n}\r"));
    let answers: Vec<_> = owed.iter().enumerate().map(|(n, owed)| owed.then(|| ack(n))).collect();
    let built = reply(&batch, &answers, "R1", "2026");
    let built = built.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert_eq!(built.as_deref(), expected);
}

#[test]
fn answers_a_batch_with_a_batch() {
    answer(
        FULL,
        &[true, false, true],
        Some(
            "FHS|^~\\&|H|I|A|N|2026||||R1|F1\rBHS|^~\\&|H|I|A|N|2026||||R1|B1\rMSA|0\rBTS|1\rBHS#*~\\&#H#I#A#N#2026####R1#B2\rMSA|2\rBTS#1\rFTS|2\r",
        ),
    );
    answer(
        FULL,
        &[false, false, true],
        Some(
            "FHS|^~\\&|H|I|A|N|2026||||R1|F1\rBHS#*~\\&#H#I#A#N#2026####R1#B2\rMSA|2\rBTS#1\rFTS|1\r",
        ),
    );
    answer(FULL, &[false, false, false], None);
    answer("MSH|^~\\&|1\r", &[true], Some("MSA|0\r"));
    answer("MSH|^~\\&|1\rMSH|^~\\&|2\r", &[true, true], Some("MSA|0\rMSA|1\r"));
    answer("BHS|^~\\&|A\rBTS|0\r", &[], Some("BHS|^~\\&|||A||2026||||R1\rBTS|0\r"));
}

#[test]
fn faults_beyond_a_limit_are_not_collected() {
    let text = format!("BHS|^~\\&|A\rBTS|0\r{}", "ZZZ|1\r".repeat(FAULTS_MAX + 50));
    assert_eq!(split(&text).faults.len(), FAULTS_MAX);
}
