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
