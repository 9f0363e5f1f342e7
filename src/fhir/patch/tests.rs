//! Patches do what RFC 6902 says, or nothing.

use proptest::prelude::prop;
use serde_json::{Value, json};

use super::{Limits, PatchFault, apply};
use crate::fhir::json::{compact, read};

fn base() -> Value {
    let text = br#"{"resourceType":"Patient","id":"p","a":{"x":1.50,"y":[1,2,3]},"b":"t","c/d":{"~":1},"e":null}"#;
    read::read(text, &read::Limits::default()).unwrap()
}

#[test]
fn does_each_operation() {
    let check = |patch: Value, expected: &str| {
        let patched = apply(&base(), &patch, Limits::default()).unwrap();
        let expected = format!(r#"{{"resourceType":"Patient","id":"p",{expected}}}"#);
        assert_eq!(String::from_utf8(compact(&patched)).unwrap(), expected, "{patch}");
    };
    let rest = r#""c/d":{"~":1},"e":null"#;
    check(json!([]), &format!(r#""a":{{"x":1.50,"y":[1,2,3]}},"b":"t",{rest}"#));
    check(json!([{"op": "remove", "path": "/a"}]), &format!(r#""b":"t",{rest}"#));
    check(
        json!([{"op": "remove", "path": "/a/y/1"}]),
        &format!(r#""a":{{"x":1.50,"y":[1,3]}},"b":"t",{rest}"#),
    );
    check(
        json!([{"op": "add", "path": "/a/y/1", "value": 9}]),
        &format!(r#""a":{{"x":1.50,"y":[1,9,2,3]}},"b":"t",{rest}"#),
    );
    check(
        json!([{"op": "add", "path": "/a/y/-", "value": {"k": []}}]),
        &format!(r#""a":{{"x":1.50,"y":[1,2,3,{{"k":[]}}]}},"b":"t",{rest}"#),
    );
    check(
        json!([{"op": "add", "path": "/b", "value": 1}]),
        &format!(r#""a":{{"x":1.50,"y":[1,2,3]}},"b":1,{rest}"#),
    );
    check(
        json!([{"op": "replace", "path": "/c~1d/~0", "value": 2}]),
        r#""a":{"x":1.50,"y":[1,2,3]},"b":"t","c/d":{"~":2},"e":null"#,
    );
    check(
        json!([{"op": "move", "from": "/a/x", "path": "/b"}]),
        &format!(r#""a":{{"y":[1,2,3]}},"b":1.50,{rest}"#),
    );
    check(
        json!([{"op": "copy", "from": "/a/y/0", "path": "/a/y/3"}]),
        &format!(r#""a":{{"x":1.50,"y":[1,2,3,1]}},"b":"t",{rest}"#),
    );
    check(
        json!([{"op": "test", "path": "/a/x", "value": 1.5}, {"op": "test", "path": "/e", "value": null}, {"op": "replace", "path": "/e", "value": true}]),
        r#""a":{"x":1.50,"y":[1,2,3]},"b":"t","c/d":{"~":1},"e":true"#,
    );
}

#[test]
fn names_the_operation_that_cannot_be_done() {
    let check = |patch: Value, operation: Option<usize>, fault: PatchFault| {
        let error = apply(&base(), &patch, Limits::default()).unwrap_err();
        assert_eq!((error.operation, error.fault), (operation, fault), "{patch}");
    };
    check(json!({}), None, PatchFault::NotAList);
    check(json!([1]), Some(0), PatchFault::UnknownOperation);
    check(json!([{"op": "put", "path": "/a"}]), Some(0), PatchFault::UnknownOperation);
    check(json!([{"op": "remove"}]), Some(0), PatchFault::Missing("path"));
    check(json!([{"op": "add", "path": "/x"}]), Some(0), PatchFault::Missing("value"));
    check(json!([{"op": "copy", "path": "/x"}]), Some(0), PatchFault::Missing("from"));
    check(json!([{"op": "add", "path": "x", "value": 1}]), Some(0), PatchFault::Missing("path"));
    check(
        json!([{"op": "remove", "path": "/b"}, {"op": "remove", "path": "/b"}]),
        Some(1),
        PatchFault::Path,
    );
    check(json!([{"op": "replace", "path": "/x", "value": 1}]), Some(0), PatchFault::Path);
    check(json!([{"op": "add", "path": "/x/y", "value": 1}]), Some(0), PatchFault::Path);
    check(json!([{"op": "add", "path": "/a/y/4", "value": 1}]), Some(0), PatchFault::Path);
    check(json!([{"op": "add", "path": "/a/y/01", "value": 1}]), Some(0), PatchFault::Path);
    check(json!([{"op": "remove", "path": "/a/y/-"}]), Some(0), PatchFault::Path);
    check(json!([{"op": "move", "from": "/x", "path": "/y"}]), Some(0), PatchFault::From);
    check(json!([{"op": "move", "from": "/a", "path": "/a/z"}]), Some(0), PatchFault::IntoItself);
    check(json!([{"op": "test", "path": "/b", "value": "u"}]), Some(0), PatchFault::TestFailed);
    check(json!([{"op": "replace", "path": "/id", "value": "q"}]), None, PatchFault::Identity);
    check(
        json!([{"op": "add", "path": "", "value": {"resourceType": "Basic"}}]),
        None,
        PatchFault::Identity,
    );
    let doubling: Vec<Value> = (0..100)
        .map(|at| json!({"op": "copy", "from": "/a", "path": format!("/a/{at}")}))
        .collect();
    let error = apply(&base(), &Value::Array(doubling), Limits::default()).unwrap_err();
    assert_eq!(error.fault, PatchFault::TooLarge);
    let many: Vec<Value> =
        (0..1001).map(|_| json!({"op": "test", "path": "/b", "value": "t"})).collect();
    check(Value::Array(many), None, PatchFault::TooMany);
    let error =
        apply(&base(), &json!([{"op": "remove", "path": "/x"}]), Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "operation 0: `path` leads to nothing in the resource");
}

/// One operation of a FHIRPath Patch, of pairs of a part's name and its `value[x]`.
fn operation(parts: &[(&str, Value)]) -> Value {
    let parts: Vec<Value> = parts
        .iter()
        .map(|(name, value)| {
            let mut part = value.clone();
            part["name"] = json!(name);
            part
        })
        .collect();
    json!({"name": "operation", "part": parts})
}

fn patched(before: &Value, parts: &[(&str, Value)]) -> Result<Value, PatchFault> {
    let patch = json!({"resourceType": "Parameters", "parameter": [operation(parts)]});
    super::parameters::apply(before, &patch, Limits::default()).map_err(|error| error.fault)
}

fn code(text: &str) -> Value {
    json!({"valueCode": text})
}

fn string(text: &str) -> Value {
    json!({"valueString": text})
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, a case after the other")]
fn does_each_operation_of_a_fhirpath_patch() {
    let before = json!({"resourceType": "Patient", "id": "p", "birthDate": "1980", "_birthDate": {"id": "b"}, "name": [{"given": ["A", "B"], "_given": [{"id": "x"}, null]}, {"text": "C"}], "deceasedBoolean": true});
    let check = |parts: &[(&str, Value)], pointer: &str, expected: Option<Value>| {
        let after = patched(&before, parts).unwrap();
        assert_eq!(after.pointer(pointer), expected.as_ref(), "{parts:?}: {after}");
    };
    check(
        &[
            ("type", code("add")),
            ("path", string("Patient")),
            ("name", string("active")),
            ("value", json!({"valueBoolean": true})),
        ],
        "/active",
        Some(json!(true)),
    );
    check(
        &[
            ("type", code("add")),
            ("path", string("Patient")),
            ("name", string("telecom")),
            ("value", json!({"valueContactPoint": {"value": "1"}})),
        ],
        "/telecom",
        Some(json!([{"value": "1"}])),
    );
    check(
        &[
            ("type", code("add")),
            ("path", string("Patient.name[1]")),
            ("name", string("given")),
            ("value", string("D")),
        ],
        "/name/1/given",
        Some(json!(["D"])),
    );
    check(
        &[
            ("type", code("add")),
            ("path", string("Patient")),
            ("name", string("multipleBirth")),
            ("value", json!({"valueInteger": 2})),
        ],
        "/multipleBirthInteger",
        Some(json!(2)),
    );
    check(
        &[
            ("type", code("add")),
            ("path", string("Patient")),
            ("name", string("contact")),
            ("value", json!({"part": [{"name": "name", "valueHumanName": {"text": "E"}}]})),
        ],
        "/contact",
        Some(json!([{"name": {"text": "E"}}])),
    );
    check(
        &[
            ("type", code("replace")),
            ("path", string("Patient.birthDate")),
            ("value", json!({"valueDate": "1990"})),
        ],
        "/birthDate",
        Some(json!("1990")),
    );
    check(
        &[
            ("type", code("replace")),
            ("path", string("Patient.deceased")),
            ("value", json!({"valueDateTime": "2020"})),
        ],
        "/deceasedDateTime",
        Some(json!("2020")),
    );
    check(
        &[
            ("type", code("replace")),
            ("path", string("Patient.deceased")),
            ("value", json!({"valueDateTime": "2020"})),
        ],
        "/deceasedBoolean",
        None,
    );
    check(&[("type", code("delete")), ("path", string("Patient.birthDate"))], "/_birthDate", None);
    check(
        &[("type", code("delete")), ("path", string("Patient.gender"))],
        "/birthDate",
        Some(json!("1980")),
    );
    check(
        &[("type", code("delete")), ("path", string("Patient.name[0].given[0]"))],
        "/name/0/_given",
        Some(json!([null])),
    );
    check(
        &[("type", code("delete")), ("path", string("Patient.name.where(text = 'C')"))],
        "/name/1",
        None,
    );
    check(
        &[
            ("type", code("insert")),
            ("path", string("Patient.name")),
            ("index", json!({"valueInteger": 1})),
            ("value", json!({"valueHumanName": {"text": "N"}})),
        ],
        "/name/1/text",
        Some(json!("N")),
    );
    check(
        &[
            ("type", code("move")),
            ("path", string("Patient.name")),
            ("source", json!({"valueInteger": 1})),
            ("destination", json!({"valueInteger": 0})),
        ],
        "/name/0/text",
        Some(json!("C")),
    );
}

#[test]
fn says_why_a_fhirpath_patch_is_not_done() {
    let before =
        json!({"resourceType": "Patient", "id": "p", "name": [{"text": "A"}, {"text": "B"}]});
    let check = |parts: &[(&str, Value)], expected: PatchFault| {
        assert_eq!(patched(&before, parts).unwrap_err(), expected, "{parts:?}");
    };
    check(&[("path", string("Patient.name"))], PatchFault::Missing("type"));
    check(&[("type", code("delete")), ("path", string("Patient.name"))], PatchFault::Several);
    check(&[("type", code("delete")), ("path", string("Patient..name"))], PatchFault::NoPath);
    check(
        &[("type", code("replace")), ("path", string("Patient.gender")), ("value", code("male"))],
        PatchFault::Path,
    );
    check(
        &[("type", code("replace")), ("path", string("Patient.id"))],
        PatchFault::Missing("value"),
    );
    check(
        &[("type", code("replace")), ("path", string("Patient.id")), ("value", string("q"))],
        PatchFault::Identity,
    );
    check(
        &[
            ("type", code("add")),
            ("path", string("Patient")),
            ("name", string("unheard")),
            ("value", string("q")),
        ],
        PatchFault::Path,
    );
    check(
        &[
            ("type", code("insert")),
            ("path", string("Patient.name")),
            ("index", json!({"valueInteger": 9})),
            ("value", string("q")),
        ],
        PatchFault::Path,
    );
    check(
        &[("type", code("rename")), ("path", string("Patient.name"))],
        PatchFault::UnknownOperation,
    );
    let error = super::parameters::apply(&before, &json!({}), Limits::default()).unwrap_err();
    assert_eq!(error.fault, PatchFault::NotParameters);
}

proptest::proptest! {
    /// The library has its own reading of the same standard; it moves members around, so order is left out.
    #[test]
    fn agrees_with_another_implementation(operations in prop::collection::vec((
        prop::sample::select(&["add", "remove", "replace", "move", "copy", "test"][..]),
        prop::sample::select(&["/a", "/a/x", "/a/y", "/a/y/0", "/a/y/3", "/a/y/-", "/b", "/c~1d/~0", "/z", "/z/z", "/e"][..]),
        prop::sample::select(&["/a", "/a/x", "/a/y/1", "/b", "/c~1d", "/z", "/a/y"][..]),
    ), 0..6)) {
        let patch: Vec<Value> = operations
            .iter()
            .map(|(op, path, from)| json!({"op": op, "path": path, "from": from, "value": "t"}))
            .collect();
        let patch = Value::Array(patch);
        let ours = apply(&base(), &patch, Limits::default()).ok();
        let mut theirs = base();
        let parsed: json_patch::Patch = serde_json::from_value(patch).unwrap();
        // Not its `patch`: that one panics when it cannot undo what it did.
        let theirs = json_patch::patch_unsafe(&mut theirs, &parsed).ok().map(|()| theirs);
        proptest::prop_assert_eq!(ours, theirs);
    }
}

/// Values and bytes of text, as what a patch adds is counted.
fn weight(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Object(members) => {
            1 + members.iter().map(|(name, value)| name.len() + weight(value)).sum::<usize>()
        }
        Value::String(text) => 1 + text.len(),
        Value::Number(number) => 1 + number.as_str().len(),
        _ => 1,
    }
}

#[test]
fn doubling_ends_at_the_limit_and_so_do_costly_operations() {
    let small = Limits { operations_max: 1000, added_max: 60_000, work_max: 50_000 };
    let before = json!({"resourceType": "Basic", "id": "b", "extension": [{"url": "u"}]});
    let double = json!({"op": "copy", "from": "/extension", "path": "/extension/-"});
    let patch = Value::Array(vec![double; 100]);
    assert_eq!(apply(&before, &patch, small).unwrap_err().fault, PatchFault::TooLarge);
    assert_eq!(
        apply(&before, &Value::Array(vec![json!({}); 1001]), small).unwrap_err().fault,
        PatchFault::TooMany
    );

    let list: Vec<Value> = (0..1000).map(|n| json!({"url": n.to_string()})).collect();
    let wide = json!({"resourceType": "Basic", "id": "b", "extension": list});
    let costly = |operation: Value| {
        let patch = Value::Array(vec![operation; 500]);
        assert_eq!(apply(&wide, &patch, small).unwrap_err().fault, PatchFault::TooMuchWork);
    };
    costly(json!({"op": "move", "from": "/extension/0", "path": "/extension/-"}));
    costly(json!({"op": "test", "path": "/extension", "value": list}));
    costly(json!({"op": "add", "path": "/extension/0", "value": 1}));
    for path in ["Basic.descendants().where(url = '999').url", "Basic.extension[998].url"] {
        let parts = json!([{"name": "type", "valueCode": "replace"},
            {"name": "path", "valueString": path}, {"name": "value", "valueUri": "999"}]);
        let operation = json!({"name": "operation", "part": parts});
        let patch = json!({"resourceType": "Parameters", "parameter": vec![operation; 500]});
        let fault = super::parameters::apply(&wide, &patch, small).unwrap_err().fault;
        assert_eq!(fault, PatchFault::TooMuchWork, "{path}");
    }
}

proptest::proptest! {
    /// Whatever the operations: no panic, and no more than was there and may be added.
    #[test]
    fn no_patch_grows_beyond_its_limit(operations in prop::collection::vec((
        prop::sample::select(&["add", "remove", "replace", "move", "copy", "test", "delete", "insert", "x"][..]),
        prop::sample::select(&["", "/", "/name", "/name/0", "/name/-", "/name/99999999999999999999", "/~", "/a~2b", "/id"][..]),
        prop::sample::select(&["", "/name", "/name/0/given", "/", "/name/-1", "/resourceType"][..]),
        prop::sample::select(&[
            "Patient.name", "Patient", "Patient.name[0]", "Patient.name.given.first()", "name.where($this.given = 'A')",
            "descendants()", "Patient.name.select(given | given)", "1 + 1", "((", "Patient.repeat(children())", "%resource",
        ][..]),
        -1_i64..4,
    ), 0..12)) {
        let before = json!({"resourceType": "Patient", "id": "p", "name": [{"given": ["A", "B"]}, {"text": "C"}]});
        let limits = Limits { operations_max: 10, added_max: 1_000, work_max: 5_000 };
        let most = weight(&before) + limits.added_max + 64;
        let list: Vec<Value> = operations
            .iter()
            .map(|(op, path, from, _, number)| json!({"op": op, "path": path, "from": from, "value": {"n": [number]}}))
            .collect();
        if let Ok(after) = apply(&before, &Value::Array(list), limits) {
            proptest::prop_assert!(weight(&after) <= most);
        }
        let list: Vec<Value> = operations
            .iter()
            .map(|(kind, _, _, path, number)| json!({"name": "operation", "part": [
                {"name": "type", "valueCode": kind}, {"name": "path", "valueString": path},
                {"name": "name", "valueString": "name"}, {"name": "value", "valueHumanName": {"text": "D"}},
                {"name": "index", "valueInteger": number}, {"name": "source", "valueInteger": number},
                {"name": "destination", "valueInteger": 0}]}))
            .collect();
        let patch = json!({"resourceType": "Parameters", "parameter": list});
        if let Ok(after) = super::parameters::apply(&before, &patch, limits) {
            proptest::prop_assert!(weight(&after) <= most);
        }
    }
}
