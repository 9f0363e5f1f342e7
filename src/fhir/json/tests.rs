//! What is read is written back byte for byte, or refused with its place.

use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::read::{Fault, Limits, read};
use super::stamp::{stamp, unstamp};
use super::subset::{Subset, subset};
use super::{compact, pretty};
use crate::message::time::Timestamp;

#[test]
fn writes_numbers_and_order_as_they_were_read() {
    for text in [
        r#"{"b":1.50,"a":1.0E-22}"#,
        "[1e5,1E5,1e+5,-0,-0.0,0.10,1.0e-0,12345678901234567890123456789012345678901234567890.123]",
        r#"{"z":null,"y":[true,false,{}],"x":[]}"#,
        r#"["é","\u0000\u001f","\"\\/","𝄞"]"#,
        r#""alone""#,
        "7",
    ] {
        let value = read(text.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(String::from_utf8(compact(&value)).unwrap(), text);
    }
    let escaped = read(br#"["\u00e9\ud834\udd1e\/\b\f\n\r\t"]"#, &Limits::default()).unwrap();
    assert_eq!(escaped, json!(["é𝄞/\u{8}\u{c}\n\r\t"]));
    assert_eq!(pretty(&json!({"a": [1]})), b"{\n  \"a\": [\n    1\n  ]\n}");
    assert_eq!(read(b"\xEF\xBB\xBF 1 ", &Limits::default()).unwrap(), json!(1));
}

#[test]
fn refuses_with_the_place() {
    let limits = Limits { size_bytes_max: 100, depth_max: 4, values_max: 9 };
    let check = |text: &[u8], fault: Fault, place: (usize, usize), path: &str| {
        let error = read(text, &limits).unwrap_err();
        let shown = String::from_utf8_lossy(text);
        assert_eq!((error.fault, error.line, error.column), (fault, place.0, place.1), "{shown}");
        assert_eq!(error.path, path, "{shown}");
    };
    check(b"", Fault::Empty, (1, 1), "");
    check(b" \n ", Fault::Empty, (2, 2), "");
    check(&[b' '; 101], Fault::TooLarge, (1, 1), "");
    check(b"[[[[[1]]]]]", Fault::TooDeep, (1, 5), "[0][0][0][0]");
    check(b"[1,2,3,4,5,6,7,8,9]", Fault::TooMany, (1, 18), "[8]");
    check(b"[\"a\xFF\"]", Fault::NotUtf8, (1, 4), "");
    check(br#"{"a":1,"a":2}"#, Fault::Duplicate, (1, 8), "a");
    check(
        b"{\"resourceType\":\"Patient\",\n\"name\":[{},{\"given\":[1],\"given\":[]}]}",
        Fault::Duplicate,
        (2, 25),
        "Patient.name[1].given",
    );
    check(br#"{"a":1,"\u0061":2}"#, Fault::Duplicate, (1, 8), "a");
    check(br#"{"$serde_json::private::Number":"1"}"#, Fault::Reserved, (1, 32), "");
    check(br#"{"Miller, Jane":nul}"#, Fault::NoValue, (1, 17), "?");
    check(br#"{"a":"#, Fault::Ends, (1, 6), "a");
    check(br#"{"a" 1}"#, Fault::NoColon, (1, 6), "a");
    check(br#"{a:1}"#, Fault::NoName, (1, 2), "");
    check(br#"{"a":1,}"#, Fault::NoName, (1, 8), "");
    check(b"[1,]", Fault::NoValue, (1, 4), "[1]");
    check(b"[1 2]", Fault::NoComma, (1, 4), "");
    check(b"[1", Fault::Ends, (1, 3), "");
    check(b"1 2", Fault::Trailing, (1, 3), "");
    check(b"NaN", Fault::NoValue, (1, 1), "");
    for number in ["01", "-", "1.", ".5", "1e", "+1", "--1", "1.2.3", "1-2", "-Infinity"] {
        assert!(read(number.as_bytes(), &limits).is_err(), "{number}");
    }
    check(b"\"a\nb\"", Fault::Control, (1, 3), "");
    check(br#""\x""#, Fault::Escape, (1, 2), "");
    check(br#""\ud834""#, Fault::Escape, (1, 2), "");
    check(br#""\ud834\u0041""#, Fault::Escape, (1, 2), "");
    check(br#""\udd1e""#, Fault::Escape, (1, 2), "");
    check("\"\\u00é\"".as_bytes(), Fault::Escape, (1, 2), "");
    check(b"// no\n1", Fault::NoValue, (1, 1), "");
}

#[test]
fn stamps_in_place_and_first() {
    let at = Timestamp(1_700_000_000_000_000);
    let check = |text: &str, expected: &str| {
        let mut value: Value = serde_json::from_str(text).unwrap();
        stamp(&mut value, "x1", 3, at);
        assert_eq!(String::from_utf8(compact(&value)).unwrap(), expected);
    };
    let when = "2023-11-14T22:13:20.000000Z";
    check(
        r#"{"active":true,"resourceType":"Patient"}"#,
        &format!(
            r#"{{"active":true,"resourceType":"Patient","id":"x1","meta":{{"versionId":"3","lastUpdated":"{when}"}}}}"#
        ),
    );
    check(
        r#"{"resourceType":"Patient","meta":{"source":"a","lastUpdated":"2001","tag":[]},"id":"old","active":true}"#,
        &format!(
            r#"{{"resourceType":"Patient","meta":{{"versionId":"3","source":"a","lastUpdated":"{when}","tag":[]}},"id":"x1","active":true}}"#
        ),
    );
    check("[1]", "[1]");
    let mut value = json!({"resourceType": "Patient", "active": true});
    let before = value.clone();
    stamp(&mut value, "x1", 3, at);
    unstamp(&mut value);
    assert_eq!(value, before);
}

#[test]
fn keeps_the_part_that_was_asked_for() {
    let observation = json!({
        "resourceType": "Observation", "id": "o", "text": {"status": "generated", "div": "<div/>"},
        "status": "final", "_status": {"id": "s"}, "code": {"text": "c"}, "note": [{"text": "n"}],
        "valueQuantity": {"value": 1}, "unknown": 1,
        "component": [{"code": {"text": "d"}, "interpretation": [{"text": "i"}], "valueString": "v"}]
    });
    let check = |wanted: &Subset, expected: Value| {
        let tag = json!([{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}]);
        let mut found = subset(&observation, wanted);
        assert_eq!(found["meta"]["tag"], tag, "{wanted:?}");
        assert_eq!(found.as_object().unwrap().keys().nth(2).unwrap(), "meta", "{wanted:?}");
        assert_eq!(subset(&found, wanted), found, "a second time, {wanted:?}");
        found.as_object_mut().unwrap().shift_remove("meta");
        assert_eq!(found, expected, "{wanted:?}");
    };
    let base = json!({"resourceType": "Observation", "id": "o", "status": "final", "_status": {"id": "s"}, "code": {"text": "c"}});
    let with = |name: &str, value: Value| {
        let mut more = base.clone();
        more[name] = value;
        more
    };
    let mut summary = with("valueQuantity", json!({"value": 1}));
    summary["component"] = json!([{"code": {"text": "d"}, "valueString": "v"}]);
    check(&Subset::Summary, summary);
    check(&Subset::Text, with("text", observation["text"].clone()));
    check(&Subset::Elements(vec!["value".to_owned()]), with("valueQuantity", json!({"value": 1})));
    let mut data = observation.clone();
    data.as_object_mut().unwrap().shift_remove("text");
    check(&Subset::Data, data);
}

proptest! {
    #[test]
    fn never_panics_and_agrees_with_serde(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let ours = read(&bytes, &Limits::default());
        if let Ok(value) = &ours {
            let bare = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
            let theirs = serde_json::from_slice::<Value>(bare).ok();
            prop_assert!(theirs.is_some_and(|theirs| same(value, &theirs)));
        }
    }

    #[test]
    fn agrees_with_serde_on_what_looks_like_json(text in r#"[\[\]{},:"0-9eE.\-+ntrufalse\\ ]{0,40}"#) {
        let ours = read(text.as_bytes(), &Limits::default());
        let theirs = serde_json::from_str::<Value>(&text);
        match (&ours, &theirs) {
            (Ok(a), Ok(b)) => prop_assert!(same(a, b)),
            (Err(error), Ok(_)) => prop_assert_eq!(error.fault, Fault::Duplicate),
            (Ok(_), Err(_)) => prop_assert!(false, "read what serde refuses"),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn reads_again_what_it_wrote(value in values()) {
        for bytes in [compact(&value), pretty(&value)] {
            prop_assert!(same(&read(&bytes, &Limits::default()).unwrap(), &value));
        }
    }
}

/// The same but for the text of numbers, which the library does not keep as it is.
fn same(ours: &Value, theirs: &Value) -> bool {
    crate::fhir::path::is_same(ours, theirs)
}

/// Any JSON value, not too deep.
fn values() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::strategy::{Just, Strategy};
    let leaf = proptest::prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?"
            .prop_map(|text| Value::Number(text.parse().unwrap())),
        ".{0,20}".prop_map(Value::String),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        proptest::prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((".{0,8}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}
