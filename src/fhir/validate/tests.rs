//! What is valid has no issue; what is not has the issue at its place.

use proptest::prelude::{any, prop};
use proptest::strategy::{Just, Strategy};
use serde_json::{Value, json};

use super::{Limits, validate, validate_within};
use crate::fhir::json::read;

/// The errors as `place detail`.
fn errors(resource: &Value) -> Vec<String> {
    let errors = validate(resource).into_iter().filter(crate::fhir::outcome::Issue::is_error);
    errors
        .map(|issue| format!("{} {}", issue.expression.unwrap_or_default(), issue.detail))
        .collect()
}

/// A resource of the tests with one member put into it, at a JSON pointer.
fn with(base: &Value, pointer: &str, value: Value) -> Value {
    let mut resource = base.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = resource.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(items) => items.push(value),
        parent => parent[name] = value,
    }
    resource
}

fn patient() -> Value {
    json!({
        "resourceType": "Patient", "id": "p-1.a", "meta": {"versionId": "1", "lastUpdated": "2020-02-29T10:00:00.123+01:00"},
        "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>Ann</p></div>"},
        "contained": [{"resourceType": "Organization", "id": "o1", "name": "Ward"}],
        "extension": [{"url": "urn:x", "valueDecimal": 1.50}, {"url": "urn:y", "extension": [{"url": "z", "valueBoolean": true}]}],
        "identifier": [{"use": "usual", "system": "urn:oid:1.2.36.146", "value": "12345", "period": {"start": "2001-05"}}],
        "active": true,
        "name": [{"use": "official", "family": "Doe", "given": ["Ann", null], "_given": [null, {"extension": [{"url": "urn:h", "valueString": "hidden"}]}]}],
        "telecom": [{"system": "phone", "value": "555", "rank": 1}],
        "gender": "female", "birthDate": "1980-05", "_birthDate": {"extension": [{"url": "urn:t", "valueDateTime": "1980-05-17T10:00:00Z"}]},
        "deceasedBoolean": false,
        "photo": [{"contentType": "image/png", "data": "AAAA"}],
        "contact": [{"name": {"text": "Bob"}}],
        "communication": [{"language": {"text": "German"}}],
        "managingOrganization": {"reference": "#o1"},
        "link": [{"other": {"reference": "Patient/2"}, "type": "seealso"}]
    })
}

fn observation() -> Value {
    json!({
        "resourceType": "Observation", "status": "final", "code": {"text": "Systolic", "coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
        "subject": {"reference": "https://host/fhir/Patient/1/_history/2"}, "effectiveDateTime": "2020",
        "valueQuantity": {"value": 120, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"},
        "referenceRange": [{"low": {"value": 90}, "high": {"value": 130}}],
        "component": [{"code": {"text": "part"}, "valueRange": {"low": {"value": 1}, "high": {"value": 2}}}]
    })
}

fn bundle() -> Value {
    json!({
        "resourceType": "Bundle", "type": "transaction",
        "entry": [
            {"fullUrl": "urn:uuid:c6f3dd50-0000-4000-8000-000000000001", "resource": {"resourceType": "Patient", "active": true}, "request": {"method": "POST", "url": "Patient"}},
            {"fullUrl": "urn:uuid:c6f3dd50-0000-4000-8000-000000000002", "resource": {"resourceType": "Observation", "status": "final", "code": {"text": "c"}, "subject": {"reference": "urn:uuid:c6f3dd50-0000-4000-8000-000000000001"}}, "request": {"method": "POST", "url": "Observation"}}
        ]
    })
}

#[test]
fn finds_nothing_wrong_with_what_is_right() {
    for resource in [
        patient(),
        observation(),
        bundle(),
        json!({"resourceType": "Parameters", "parameter": [{"name": "a", "valueString": "b"}, {"name": "r", "resource": {"resourceType": "Patient", "active": true}}]}),
        json!({"resourceType": "Basic", "code": {"text": "x"}, "_language": {"extension": [{"url": "urn:x", "valueCode": "y"}]}}),
    ] {
        assert_eq!(errors(&resource), Vec::<String>::new(), "{}", resource["resourceType"]);
    }
    let warnings: Vec<_> = validate(&observation()).into_iter().map(|issue| issue.detail).collect();
    assert_eq!(warnings, [Box::from("dom-6")]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, a case after the other")]
fn names_the_place_and_the_rule() {
    let mut wrong = Vec::new();
    let mut check = |base: &Value, pointer: &str, value: Value, expected: &str| {
        let said = format!("{pointer} {value}");
        let found = errors(&with(base, pointer, value)).join("; ");
        if found != expected {
            wrong.push(format!("{said}: {found}, expected {expected}"));
        }
    };
    let (p, o) = (&patient(), &observation());
    check(p, "/unheard", json!(1), "Patient.unheard unknown-element");
    check(p, "/Jane Miller", json!(1), "Patient.? unknown-element");
    check(p, "/name/0/unheard", json!(1), "Patient.name[0].unheard unknown-element");
    check(p, "/_name", json!({"id": "x"}), "Patient._name unknown-element");
    check(p, "/deceased", json!(true), "Patient.deceased unknown-element");
    check(p, "/deceasedDateTime", json!("2020"), "Patient.deceased choice");
    check(p, "/gender", json!("Female"), "Patient.gender code");
    check(p, "/gender", json!(1), "Patient.gender wrong-json-type");
    check(p, "/gender", json!(""), "Patient.gender empty");
    check(p, "/active", json!("true"), "Patient.active wrong-json-type");
    check(p, "/name", json!({"family": "Doe"}), "Patient.name wrong-json-type");
    check(p, "/name", json!([]), "Patient.name empty");
    check(p, "/name/1", json!({}), "Patient.name[1] empty");
    check(p, "/name/1", json!({"id": "x"}), "Patient.name[1] ele-1");
    check(p, "/name/1", json!(null), "Patient.name[1] wrong-json-type");
    check(p, "/birthDate", json!(["1980"]), "Patient.birthDate wrong-json-type");
    check(p, "/birthDate", json!(null), "Patient.birthDate null");
    check(p, "/active", json!(null), "Patient.active null");
    check(p, "/name/0/given", json!(["A"]), "Patient.name[0].given wrong-length");
    check(p, "/name/0/given", json!([null, null]), "Patient.name[0].given[0] null");
    check(
        p,
        "/name/0/_given",
        json!([null, "x"]),
        "Patient.name[0].given[1] wrong-json-type; Patient.name[0].given[1] null",
    );
    check(p, "/meta", json!("x"), "Patient.meta wrong-json-type");
    check(p, "/id", json!("a b"), "Patient.id format");
    check(
        p,
        "/communication/0",
        json!({"preferred": true}),
        "Patient.communication[1].language missing",
    );
    check(p, "/contact/0", json!({"gender": "male"}), "Patient.contact[1] pat-1");
    check(
        p,
        "/identifier/0/period",
        json!({"start": "2002", "end": "2001-12-31"}),
        "Patient.identifier[0].period per-1",
    );
    check(p, "/identifier/0/period", json!({"start": "2002", "end": "2002-12-31"}), "");
    check(
        p,
        "/telecom/0/system",
        json!(null),
        "Patient.telecom[0].system null; Patient.telecom[0] cpt-2",
    );
    check(p, "/extension/0", json!({"url": "urn:z"}), "Patient.extension[2] ext-1");
    check(p, "/extension/0", json!({"valueString": "x"}), "Patient.extension[2].url missing");
    check(
        p,
        "/extension/0",
        json!({"url": "u", "valueString": "x", "valueCode": "y"}),
        "Patient.extension[2].value choice",
    );
    check(
        p,
        "/managingOrganization",
        json!({"reference": "#o2"}),
        "Patient.contained[0] dom-3; Patient.managingOrganization.reference ref-1",
    );
    check(p, "/managingOrganization", json!({"display": "x"}), "Patient.contained[0] dom-3");
    check(
        p,
        "/link/0/other",
        json!({"reference": "Group/1"}),
        "Patient.link[0].other reference-target",
    );
    check(
        p,
        "/link/0/other",
        json!({"reference": "Patient/1", "type": "Group"}),
        "Patient.link[0].other reference-type",
    );
    check(
        p,
        "/link/0/other",
        json!({"reference": "#o1"}),
        "Patient.link[0].other reference-target",
    );
    check(
        p,
        "/link/0/other",
        json!({"identifier": {"value": "1"}, "type": "Group"}),
        "Patient.link[0].other reference-target",
    );
    check(
        p,
        "/contained/0",
        json!({"resourceType": "Patient", "id": "x", "contained": [{"resourceType": "Basic", "code": {"text": "x"}}]}),
        "Patient.contained[1] dom-3; Patient dom-2",
    );
    check(p, "/contained/0/meta", json!({"versionId": "1"}), "Patient dom-4");
    check(p, "/contained/0/meta", json!({"security": [{"code": "x"}]}), "Patient dom-5");
    check(p, "/contained/0/name", json!(1), "Patient.contained[0].name wrong-json-type");
    check(
        p,
        "/contained/0/resourceType",
        json!("Nothing"),
        "Patient.contained[0] unknown-type; Patient.managingOrganization reference-target",
    );
    check(p, "/photo/0", json!({"data": "AAAA"}), "Patient.photo[1] att-1");
    check(
        p,
        "/text/div",
        json!("<div><script>x</script></div>"),
        "Patient.text.div txt-1; Patient.text.div txt-2",
    );
    check(o, "/status", json!("done"), "Observation.status code");
    check(o, "/dataAbsentReason", json!({"text": "x"}), "Observation obs-6");
    check(
        o,
        "/referenceRange/0",
        json!({"appliesTo": [{"text": "x"}]}),
        "Observation.referenceRange[1] obs-3",
    );
    check(o, "/component/0/code", o["code"].clone(), "Observation obs-7");
    check(
        o,
        "/component/0/valueRange",
        json!({"low": {"value": 10}, "high": {"value": 9.5}}),
        "Observation.component[0].value.ofType(Range) rng-2",
    );
    check(
        o,
        "/referenceRange/0/low",
        json!({"value": 90, "comparator": "<"}),
        "Observation.referenceRange[0].low.comparator sqty-1",
    );
    check(
        o,
        "/valueQuantity",
        json!({"value": 1, "code": "x"}),
        "Observation.value.ofType(Quantity) qty-3",
    );
    check(
        o,
        "/valueQuantity/value",
        json!("1"),
        "Observation.value.ofType(Quantity).value wrong-json-type",
    );
    check(
        o,
        "/subject",
        json!({"reference": "Practitioner/1"}),
        "Observation.subject reference-target",
    );
    check(o, "/contained", json!([{"resourceType": "Patient", "active": true}]), "");
    let b = &bundle();
    check(b, "/entry/0/request", json!(null), "Bundle.entry[0].request null; Bundle bdl-3");
    check(b, "/total", json!(1), "Bundle bdl-1");
    check(
        b,
        "/entry/1/fullUrl",
        b["entry"][0]["fullUrl"].clone(),
        "Bundle.entry[1].resource.subject reference-target; Bundle bdl-7",
    );
    check(b, "/entry/0/fullUrl", json!("https://h/Patient/1/_history/2"), "Bundle.entry[0] bdl-8");
    check(b, "/entry/0/search", json!({"mode": "match"}), "Bundle bdl-2");
    check(b, "/entry/0/resource/gender", json!("x"), "Bundle.entry[0].resource.gender code");
    check(
        b,
        "/entry/1/resource/encounter",
        json!({"reference": "urn:uuid:c6f3dd50-0000-4000-8000-000000000001"}),
        "Bundle.entry[1].resource.encounter reference-target",
    );
    check(b, "/type", json!("message"), "Bundle bdl-3; Bundle bdl-12");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn refuses_what_is_no_resource() {
    for (value, expected) in [
        (json!([]), " wrong-json-type"),
        (json!({}), " no-type"),
        (json!({"resourceType": 1}), " no-type"),
        (json!({"resourceType": "Patiant"}), " unknown-type"),
        (json!({"resourceType": "DomainResource"}), " unknown-type"),
        (
            json!({"resourceType": "Observation"}),
            "Observation.status missing; Observation.code missing",
        ),
    ] {
        assert_eq!(errors(&value).join("; "), expected, "{value}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, a case after the other")]
fn knows_the_forms_of_primitives() {
    let check = |kind: &str, good: &[&str], bad: &[&str]| {
        for (texts, expected) in [(good, true), (bad, false)] {
            for text in texts {
                let value = read::read(text.as_bytes(), &read::Limits::default()).unwrap();
                let found = super::primitive::check(kind, &value).is_ok();
                assert_eq!(found, expected, "{kind} {text}");
            }
        }
    };
    check("boolean", &["true", "false"], &["\"true\"", "1", "null"]);
    check(
        "integer",
        &["0", "-1", "2147483647", "-2147483648"],
        &["2147483648", "1.0", "1e2", "\"1\"", "true"],
    );
    check("positiveInt", &["1"], &["0", "-1"]);
    check("unsignedInt", &["0"], &["-1", "99999999999999999999"]);
    check(
        "decimal",
        &["1.50", "1e-22", "-0.0", "123456789012345678901234567890"],
        &["\"1.5\"", "null"],
    );
    check("string", &["\"a\"", "\" a\\n\\tb \""], &["\"\"", "\"a\\u0000\"", "1", "\"\\u0007\""]);
    check("code", &["\"a\"", "\"a b\""], &["\" a\"", "\"a \"", "\"a  b\"", "\"\""]);
    check(
        "id",
        &["\"A-1.z\""],
        &["\"a_b\"", "\"a/b\"", "\"é\"", &format!("\"{}\"", "a".repeat(65))],
    );
    check("uri", &["\"urn:x\"", "\"a/b#c\""], &["\"a b\"", "\"a\\n\""]);
    check(
        "oid",
        &["\"urn:oid:1.2.3\"", "\"urn:oid:2.16.840\""],
        &["\"1.2.3\"", "\"urn:oid:3.1\"", "\"urn:oid:1.02\"", "\"urn:oid:1\"", "\"urn:oid:1.\""],
    );
    check(
        "uuid",
        &["\"urn:uuid:c6f3dd50-0000-4000-8000-000000000001\""],
        &[
            "\"c6f3dd50-0000-4000-8000-000000000001\"",
            "\"urn:uuid:C6F3DD50-0000-4000-8000-000000000001\"",
            "\"urn:uuid:c6f3dd500000400080000000000000010000\"",
        ],
    );
    check(
        "base64Binary",
        &["\"AAAA\"", "\"AA A=\\n\"", "\"AB==\""],
        &["\"AAA\"", "\"A===\"", "\"=AAA\"", "\"AA*A\"", "\" \""],
    );
    check(
        "date",
        &["\"2020\"", "\"2020-02\"", "\"2020-02-29\""],
        &[
            "\"2021-02-29\"",
            "\"2020-13\"",
            "\"2020-2\"",
            "\"20\"",
            "\"2020-02-29T\"",
            "\"2020-02-29-01\"",
            "\"0000\"",
            "\"2020-00-10\"",
        ],
    );
    check(
        "dateTime",
        &[
            "\"2020\"",
            "\"2020-02-29\"",
            "\"2020-02-29T23:59:60Z\"",
            "\"2020-02-29T10:00:00.1234567+14:00\"",
        ],
        &[
            "\"2020-02-29T10:00\"",
            "\"2020-02-29T10:00:00\"",
            "\"2020-02T10:00:00Z\"",
            "\"2020-02-29T24:00:00Z\"",
            "\"2020-02-29T10:00:00+14:01\"",
            "\"2020-02-29T10:00:00.Z\"",
            "\"2020-02-30T10:00:00Z\"",
        ],
    );
    check(
        "instant",
        &["\"2020-02-29T10:00:00-05:00\""],
        &["\"2020-02-29\"", "\"2020-02-29T10:00:00\"", "\"2020-02-29 10:00:00Z\""],
    );
    check(
        "time",
        &["\"10:00:00\"", "\"10:00:00.5\""],
        &["\"10:00\"", "\"24:00:00\"", "\"10:00:00Z\"", "\"1:00:00\""],
    );
}

#[test]
fn is_bounded() {
    let names: Vec<Value> = (0..500).map(|_| json!({})).collect();
    let found = validate(&json!({"resourceType": "Patient", "name": names}));
    assert_eq!(found.len(), 101);
    assert_eq!(&*found[100].detail, "more-issues");
    let small = Limits { issues_max: 10, work_max: 50 };
    let found = validate_within(&bundle(), small);
    assert_eq!(&*found.last().unwrap().detail, "not-all-checked");
    let entries: Vec<Value> = (0..20_000)
        .map(|at| json!({"fullUrl": format!("urn:x:{at}"), "resource": {"resourceType": "Patient", "active": true}}))
        .collect();
    let large = json!({"resourceType": "Bundle", "type": "collection", "entry": entries});
    let details: Vec<_> =
        validate_within(&large, Limits { issues_max: 30_000, ..Limits::default() })
            .into_iter()
            .map(|issue| issue.detail)
            .collect();
    assert!(details.iter().all(|detail| &**detail == "dom-6"), "{:?}", details.last());
}

proptest::proptest! {
    #[test]
    fn never_panics(value in resources()) {
        proptest::prop_assert!(validate(&value).len() <= 102);
    }
}

/// Any JSON with names that R4 has.
fn resources() -> impl Strategy<Value = Value> {
    let leaf = proptest::prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,20})?"
            .prop_map(|text| { read::read(text.as_bytes(), &read::Limits::default()).unwrap() }),
        "[#a-z0-9:/<>&é-]{0,12}".prop_map(Value::String),
        Just(json!("Patient/1")),
        Just(json!("2020-01-01")),
    ];
    let names = prop::sample::select(
        &[
            "resourceType",
            "id",
            "name",
            "_given",
            "given",
            "extension",
            "url",
            "valueString",
            "value",
            "valueQuantity",
            "contained",
            "reference",
            "subject",
            "code",
            "coding",
            "status",
            "entry",
            "resource",
            "fullUrl",
            "period",
            "start",
            "end",
            "text",
            "div",
            "component",
            "low",
            "high",
            "_birthDate",
            "birthDate",
            "type",
            "item",
        ][..],
    );
    let inner = leaf.prop_recursive(8, 96, 6, move |inner| {
        proptest::prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec((names.clone(), inner), 0..6).prop_map(|members| {
                Value::Object(
                    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
                )
            }),
        ]
    });
    let kinds =
        prop::sample::select(&["Patient", "Observation", "Bundle", "Questionnaire", "Basic"][..]);
    (
        kinds,
        prop::collection::vec(
            ("name|entry|contained|extension|subject|component|item|text|id", inner),
            0..5,
        ),
    )
        .prop_map(|(kind, members)| {
            let mut resource = json!({"resourceType": kind});
            for (name, value) in members {
                resource[name] = value;
            }
            resource
        })
}
