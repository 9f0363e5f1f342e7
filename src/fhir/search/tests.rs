//! What is found by what, and what is asked.

use jiff::tz::TimeZone;
use proptest::prelude::prop;
use serde_json::{Value, json};

use super::Reading;
use super::index::index;
use super::parameters::{common, find, own};
use super::request::{Handling, Limits, SearchRequest, Summary, criteria, parse};
use crate::message::criteria::{all_hold, no_chains};
use crate::message::resource::{Criterion, Prefix, Test};
use crate::message::time::Timestamp;

fn reading() -> Reading {
    let now = Timestamp(1_767_225_600_000_000);
    Reading { base: "https://medway.test/fhir".into(), zone: TimeZone::UTC, now }
}

fn asked(kind: &str, query: &str, handling: Handling) -> Result<SearchRequest, String> {
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    parse(kind, pairs, &reading(), &Limits::default(), handling).map_err(|error| error.to_string())
}

/// Whether a search finds a resource.
fn finds(resource: &Value, query: &str) -> bool {
    let kind = resource["resourceType"].as_str().unwrap();
    let criteria = criteria(kind, query, &reading(), &Limits::default()).unwrap();
    all_hold(&criteria, &index(resource, &reading()), &no_chains)
}

fn check(resource: &Value, found_by: &[&str], not_by: &[&str]) {
    for query in found_by {
        assert!(finds(resource, query), "not found by {query}: {:?}", index(resource, &reading()));
    }
    for query in not_by {
        assert!(!finds(resource, query), "found by {query}");
    }
}

#[test]
fn the_types_we_route_have_their_parameters() {
    let check = |kind: &str, codes: &str| {
        for code in codes.split(' ') {
            assert!(find(kind, code).is_some(), "{kind} {code}");
        }
    };
    check(
        "Patient",
        "identifier family given name birthdate gender phone email address-postalcode",
    );
    check("Patient", "active link general-practitioner organization deceased death-date");
    check("Observation", "identifier subject patient encounter code category status date device");
    check("Observation", "performer based-on specimen value-quantity value-concept value-string");
    check("Observation", "has-member derived-from component-code combo-code");
    check("DiagnosticReport", "identifier subject patient encounter code category status date");
    check("DiagnosticReport", "issued result based-on performer specimen");
    check("Encounter", "identifier subject patient class status type date location participant");
    check("Encounter", "service-provider episode-of-care account");
    check("Device", "identifier type manufacturer model status patient udi-di udi-carrier");
    check("DeviceMetric", "identifier type category source parent");
    check(
        "ServiceRequest",
        "identifier requisition subject patient encounter code category status",
    );
    check("ServiceRequest", "intent priority authored requester performer based-on occurrence");
    check("Subscription", "status type url criteria payload contact");
    check("MessageHeader", "event source source-uri destination destination-uri response-id focus");
    check("Bundle", "identifier type timestamp message composition");
    check("Appointment", "identifier status date patient location practitioner");
    check("AuditEvent", "date entity agent type outcome");
    check("Provenance", "target");
    let all: Vec<&str> = common().iter().map(|parameter| parameter.code).collect();
    assert_eq!(all, ["_id", "_lastUpdated", "_profile", "_security", "_source", "_tag"]);
    assert!(own("Nothing").is_empty());
    assert!(find("Patient", "phonetic").is_none() && find("Patient", "_text").is_none());
}

#[test]
fn every_supported_expression_of_r4_is_compiled() {
    let lines = include_str!("parameters.tsv").lines().filter(|line| !line.starts_with('#'));
    let mut missing = Vec::new();
    for line in lines {
        let columns: Vec<&str> = line.split('\t').collect();
        if columns[2] == "special" || columns[1] == "phonetic" || columns[5].is_empty() {
            continue;
        }
        let bases = columns[3].split(' ').filter(|base| !base.is_empty());
        missing.extend(
            bases
                .filter(|base| find(base, columns[1]).is_none())
                .map(|base| format!("{base} {}: {}", columns[1], columns[5])),
        );
    }
    assert_eq!(missing, Vec::<String>::new());
}

fn patient() -> Value {
    json!({
        "resourceType": "Patient", "id": "p1", "active": true,
        "meta": {"lastUpdated": "2026-03-04T05:06:07.089Z", "source": "urn:his#1",
                 "profile": ["http://example.org/p"], "tag": [{"system": "urn:t", "code": "x"}]},
        "identifier": [{"system": "urn:mrn", "value": "A,1|2",
            "type": {"coding": [{"system": "urn:types", "code": "MR"}]}}],
        "name": [{"family": "Müller-Łoś", "given": ["Änne", "Zoë"]}, {"text": "Mrs. X"}],
        "telecom": [{"system": "phone", "value": "+49 1"}, {"system": "email", "value": "a@b.c"}],
        "gender": "female", "birthDate": "1980-02", "deceasedDateTime": "2026-01-01T10:00:00+01:00",
        "address": [{"city": "Köln", "postalCode": "50667", "line": ["Am Dom 1"]}],
        "generalPractitioner": [{"reference": "https://medway.test/fhir/Practitioner/7/_history/2"}],
        "managingOrganization": {"identifier": {"system": "urn:org", "value": "O1"}},
        "link": [{"other": {"reference": "Patient/p0"}, "type": "replaces"}]
    })
}

#[test]
fn a_patient_is_found_by_its_values() {
    let patient = patient();
    check(
        &patient,
        &[
            "_id=p1",
            "active=true",
            "identifier=A%5C,1%5C|2",
            "identifier=urn:mrn|A%5C,1%5C|2",
            "identifier=urn:mrn|",
            "identifier:of-type=urn:types|MR|A%5C,1%5C|2",
            "family=mull",
            "family=MÜLLER",
            "family:exact=Müller-Łoś",
            "family:contains=ller-",
            "given=zoe",
            "name=mrs",
            "name=anne",
            "phone=%2B49 1",
            "email=a@b.c",
            "telecom=a@b.c",
            "gender=female",
            "gender=male,female",
            "gender:not=male",
            "birthdate=1980",
            "birthdate=1980-02",
            "birthdate=lt1980-03",
            "death-date=2026-01-01T09:00Z",
            "deceased=true",
            "address=koln",
            "address-city=K%C3%B6ln",
            "address-postalcode=50667",
            "general-practitioner=Practitioner/7",
            "general-practitioner=7",
            "general-practitioner:Practitioner=7",
            "general-practitioner=https://medway.test/fhir/Practitioner/7",
            "organization:identifier=urn:org|O1",
            "organization:identifier=O1",
            "link=Patient/p0",
            "_lastUpdated=2026-03-04",
            "_lastUpdated=gt2026-03-04T05:06:07.088Z",
            "_tag=urn:t|x",
            "_source=urn:his%231",
            "_profile=http://example.org/p",
            "language:missing=true",
        ],
        &[
            "_id=p",
            "active=false",
            "identifier=A",
            "identifier=|A%5C,1%5C|2",
            "identifier=urn:mrn|1",
            "identifier:of-type=urn:types|VN|A%5C,1%5C|2",
            "family=uller",
            "family:exact=Muller-Łoś",
            "gender=male",
            "gender:not=female",
            "birthdate=1980-02-01",
            "birthdate=gt1980-02",
            "deceased=false",
            "general-practitioner=Organization/7",
            "organization=O1",
            "general-practitioner:Organization=7",
            "_lastUpdated=2026-03-05",
            "_lastUpdated=gt2026-03-04T05:06:07.089Z",
            "phone=a@b.c",
            "gender:missing=true",
        ],
    );
    let alive = json!({"resourceType": "Patient", "deceasedBoolean": false});
    check(&alive, &["deceased=false", "gender:missing=true"], &["deceased=true", "gender=male"]);
}

#[test]
fn other_types_are_found_by_their_values() {
    let observation = json!({
        "resourceType": "Observation", "status": "final", "subject": {"reference": "Patient/1"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}, {"code": "HR"}]},
        "effectivePeriod": {"start": "2026-01-02"},
        "valueQuantity": {"value": 72.50, "unit": "beats", "system": "urn:ucum", "code": "/min"},
        "component": [{"code": {"coding": [{"code": "C1"}]}, "valueQuantity": {"value": 1}}],
        "performer": [{"reference": "#c1"}, {"reference": "https://other.test/Practitioner/9"}],
        "device": {"reference": "urn:uuid:5a1"}
    });
    check(
        &observation,
        &[
            "patient=1",
            "patient=Patient/1",
            "subject=Patient/1",
            "subject:Patient=1",
            "code=8867-4",
            "code=http://loinc.org|8867-4",
            "code=|HR",
            "combo-code=C1",
            "component-code=C1",
            "date=ge2026-02",
            "date=gt2027",
            "date=lt2026-01-03",
            "value-quantity=72.5",
            "value-quantity=73",
            "value-quantity=72.5|urn:ucum|/min",
            "value-quantity=72.5||beats",
            "value-quantity=gt72",
            "value-quantity=ap70",
            "combo-value-quantity=1",
            "performer=https://other.test/Practitioner/9",
            "device=urn:uuid:5a1",
            "value-string:missing=true",
            "status=final&patient=1",
        ],
        &[
            "patient=2",
            "subject:Group=1",
            "code=loinc|8867-4",
            "code=http://loinc.org|HR",
            "date=2026",
            "date=eb2026-02",
            "value-quantity=72.50001",
            "value-quantity=gt72.5",
            "value-quantity=72.5||mg",
            "performer=Practitioner/9",
            "status=final&patient=2",
            "value-quantity:missing=true",
        ],
    );
    let bundle = json!({
        "resourceType": "Bundle", "type": "message", "timestamp": "2026-01-01T00:00:00Z",
        "entry": [{"resource": {"resourceType": "MessageHeader", "id": "m1"}}]
    });
    check(&bundle, &["message=MessageHeader/m1", "type=message"], &["composition=m1"]);
    let encounter = json!({
        "resourceType": "Encounter", "status": "in-progress", "statusHistory": [{"status": "planned"}],
        "class": {"system": "urn:act", "code": "IMP"}, "period": {"end": "2026-01-05"},
        "participant": [{"individual": {"reference": "Practitioner/3"}}]
    });
    check(
        &encounter,
        &["status=in-progress", "class=IMP", "date=lt2020", "practitioner=3", "participant=3"],
        &["status=planned", "date=ge2026-02"],
    );
    let without_status = json!({"resourceType": "Encounter", "statusHistory": [{"status": "x"}]});
    check(&without_status, &["status:missing=true"], &[]);
    let order = json!({
        "resourceType": "ServiceRequest",
        "occurrenceTiming": {"event": ["2026-01-01", "2026-01-03"]}
    });
    check(&order, &["occurrence=ge2026-01-01&occurrence=le2026-01-03"], &["occurrence=2026-01-02"]);
}

#[test]
fn a_request_says_what_and_how() {
    let query = "subject:Patient.name=x&code=a,b&_sort=-date,status&_count=5&_include=Observation:subject\
                 &_revinclude=Provenance:target:Observation&_summary=data&_total=accurate&_page=T\
                 &_elements=code,status&_format=json&_pretty=true&shoe=42&_lastUpdated=gt2026";
    let request = asked("Observation", query, Handling::Lenient).unwrap();
    let sort: [(Box<str>, bool); 2] = [("date".into(), true), ("status".into(), false)];
    assert_eq!(request.query.sort, sort);
    assert_eq!((request.query.limit, request.query.total), (5, true));
    assert_eq!(request.query.page.as_deref(), Some("T"));
    assert_eq!(request.query.criteria.len(), 3);
    assert_eq!((request.include.len(), request.revinclude.len()), (1, 1));
    assert_eq!(request.revinclude[0].target.as_deref(), Some("Observation"));
    assert_eq!((request.summary, request.pretty), (Summary::Data, Some(true)));
    assert_eq!(request.elements, ["code".into(), "status".into()]);
    assert_eq!(request.ignored[0].parameter, "shoe");
    let understood: Vec<&str> = request.understood.iter().map(|(name, _)| name.as_str()).collect();
    assert!(!understood.contains(&"shoe") && !understood.contains(&"_page"));
    assert_eq!(understood.len(), 12);
    let chain = &request.query.criteria[0];
    let name =
        Criterion { param: "name".into(), any: vec![Test::Starts("x".into())], negate: false };
    let expected = Test::Chain { kind: "Patient".into(), criterion: Box::new(name) };
    assert_eq!((&*chain.param, &chain.any), ("subject", &vec![expected]));
    let open = asked("Observation", "subject.identifier=1", Handling::Strict).unwrap();
    assert_eq!(open.query.criteria[0].any.len(), 4, "each type it may refer to");
    assert_eq!(asked("Patient", "_count=0", Handling::Strict).unwrap().summary, Summary::Count);
    assert_eq!(asked("Patient", "_count=9999", Handling::Strict).unwrap().query.limit, 1000);
    assert_eq!(asked("", "_id=1", Handling::Strict).unwrap().query.criteria.len(), 1);
}

#[test]
fn composites_hold_within_one_element_and_text_is_what_codes_are_called() {
    let part = |code: &str, value: f64| {
        json!({"code": {"coding": [{"system": "http://loinc.org", "code": code, "display": "Blood pressure"}]},
               "valueQuantity": {"value": value, "unit": "mmHg", "system": "urn:u", "code": "mm[Hg]"}})
    };
    let pressure = json!({
        "resourceType": "Observation", "id": "o", "status": "final",
        "code": {"text": "Vital signs, sitting", "coding": [{"code": "85354-9"}]},
        "component": [part("8480-6", 120.0), part("8462-4", 80.0)],
        "identifier": [{"value": "1", "type": {"text": "Filler number"}}],
        "valueString": "high"
    });
    check(
        &pressure,
        &[
            "component-code-value-quantity=8480-6$120",
            "component-code-value-quantity=http://loinc.org|8480-6$gt100|urn:u|mm[Hg]",
            "combo-code-value-quantity=8462-4$80",
            "component-code-value-quantity=8480-6$1,8462-4$le80",
            "code-value-string=85354-9$hi",
            "component-code-value-quantity:missing=false",
            "code:text=vital",
            "code:text=Sitting",
            "component-code:text=pressure",
            "identifier:text=filler",
        ],
        &[
            "component-code-value-quantity=8480-6$80",
            "combo-code-value-quantity=8462-4$120",
            "code-value-quantity=85354-9$120",
            "code-value-string=8480-6$hi",
            "code:text=pressure",
            "code=vital",
        ],
    );
    let sequence = json!({
        "resourceType": "MolecularSequence", "id": "m", "coordinateSystem": 0,
        "referenceSeq": {"referenceSeqId": {"coding": [{"code": "NC_1"}]}, "windowStart": 1},
        "variant": [{"start": 5, "end": 9}, {"start": 20, "end": 21}]
    });
    check(
        &sequence,
        &["referenceseqid-variant-coordinate=NC_1$5$9"],
        &["referenceseqid-variant-coordinate=NC_1$5$21"],
    );
}

#[test]
fn a_reference_from_elsewhere_is_a_criterion_of_its_own() {
    let query = "_has:Observation:patient:code=urn:c|1";
    let request = asked("Patient", query, Handling::Strict).unwrap();
    let [criterion] = request.query.criteria.as_slice() else { panic!() };
    let any = vec![Test::Token { system: Some("urn:c".into()), code: Some("1".into()) }];
    let further = Criterion { param: "code".into(), any, negate: false };
    let (kind, param) = ("Observation".into(), "patient".into());
    let has = Test::Has { kind, param, criterion: Box::new(further) };
    assert_eq!((&*criterion.param, &criterion.any), ("_id", &vec![has]));
    // FHIR R4 search.html#has: from a chain, too.
    let query = "patient._has:Group:member:_id=g";
    assert_eq!(asked("Encounter", query, Handling::Strict).unwrap().query.criteria.len(), 1);
}

#[test]
fn what_is_wrong_is_named() {
    let check = |query: &str, words: &str| {
        let error = asked("Observation", query, Handling::Strict).unwrap_err();
        assert!(error.contains(words), "{query}: {error}");
        let name = query.split('=').next().unwrap();
        assert!(error.contains(&format!("`{name}`")), "{query}: {error}");
    };
    check("shoe=1", "no such search parameter");
    check("subject:text=x", "modifier");
    check("code-value-quantity=8480-6", "2 values, divided by $");
    check("code-value-quantity=8480-6$much", "no number");
    check("code-value-quantity:not=8480-6$1", "modifier");
    check("_sort=code-value-quantity", "no search parameter");
    check("_has:Group:member=x", "_has:Type:reference:parameter");
    check("_has:Observation:patient:code=x", "reference to the type");
    check("_has:Provenance:target:_has:Group:member:code=x", "one level");
    check("_has:Provenance:target:agent.name=x", "one level");
    check("_has:Provenance:shoe:recorded=2026", "no such search parameter");
    check("code:in=http://x", "modifier");
    check("date:exact=2026", "modifier");
    check("subject:Device.patient.name=x", "one level");
    check("code.name=x", "begins with a reference");
    check("subject:Account.name=x", "does not refer");
    check("date=yesterday", "no date");
    check("date=2026-13", "no date");
    check("value-quantity=much", "no number");
    check("value-quantity=1|2", "[number]|[system]|[code]");
    check("code=a|b|c", "[system]|[code]");
    check("code=|", "missing");
    check("code=", "a value is missing");
    check("code:missing=yes", "true or false");
    check("_count=x", "no number");
    check("_sort=shoe", "no search parameter");
    check("_include=Observation", "Type:parameter");
    check("_include=Observation:code", "no reference");
    check("_include:iterate=Observation:subject", "modifier");
    check("_include=Observation:subject:Account", "does not refer");
    check("_summary=all", "one of");
    let long = format!("code={}", "x".repeat(20_000));
    check(&long, "bytes");
    let many = "code=x&".repeat(65);
    assert!(asked("Observation", &many, Handling::Strict).unwrap_err().contains("64 parameters"));
    let values = format!("code={}", "x,".repeat(300));
    check(&values, "200 values");
    let only = criteria("Observation", "code=x&_count=1", &reading(), &Limits::default());
    assert!(only.unwrap_err().to_string().contains("`_count`: only criteria"));
    let secret = asked("Patient", "birthdate=Miller", Handling::Strict).unwrap_err();
    assert!(!secret.contains("Miller"), "values are no part of errors");
}

#[test]
fn numbers_and_dates_carry_their_precision() {
    let test = |query: &str| {
        asked("Observation", query, Handling::Strict)
            .unwrap()
            .query
            .criteria
            .remove(0)
            .any
            .remove(0)
    };
    let check = |query: &str, prefix: Prefix, low: f64, high: f64| {
        let Test::Quantity { prefix: is, low: from, high: to, .. } = test(query) else { panic!() };
        assert_eq!(is, prefix);
        assert!((from - low).abs() < 1e-9 && (to - high).abs() < 1e-9, "{query}: {from} {to}");
    };
    check("value-quantity=100", Prefix::Eq, 99.5, 100.5);
    check("value-quantity=100.00", Prefix::Eq, 99.995, 100.005);
    check("value-quantity=1e2", Prefix::Eq, 50.0, 150.0);
    check("value-quantity=ne-5.4", Prefix::Ne, -5.45, -5.35);
    check("value-quantity=gt100", Prefix::Gt, 100.0, 100.0);
    check("value-quantity=ap-100", Prefix::Ap, -110.0, -90.0);
    let Test::Date { from, to, .. } = test("date=ap2025-12-22") else { panic!() };
    let day = 86_400_000_000_i64;
    assert_eq!(to.0 - from.0, 3 * day - 1, "a tenth of ten days before and after");
}

proptest::proptest! {
    /// Whatever a client writes: a search or a refusal, and never more criteria than it has parameters.
    #[test]
    fn whatever_is_asked_is_understood_or_refused(parts in prop::collection::vec((
        prop::sample::select(&[
            "code", "subject", "patient.name", "subject:Patient.identifier", "_has:Observation:patient:code",
            "_has:Group:member:_has:Group:member:code", "_has:", "_has:::", "patient._has:Group:member:_id", "date",
            "value-quantity", "code-value-quantity", "_sort", "_include", "_elements", "_count", "_type", "code:text",
            "code:not", ":", ".", "_lastUpdated", "component-code-value-concept", "identifier:of-type", "subject:identifier",
        ][..]),
        prop::collection::vec(prop::sample::select(&[
            "a", "|", ",", "$", "\\", "ge", "ap", "1e308", "-1e-400", "2026", "-13", "T25", "é", "\u{0}", "Patient/", ":", "*",
        ][..]), 0..8),
    ), 0..8)) {
        let pairs: Vec<(&str, String)> = parts.iter().map(|(name, value)| (*name, value.concat())).collect();
        let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
        for (kind, handling) in [("Patient", Handling::Strict), ("Observation", Handling::Lenient), ("", Handling::Lenient)] {
            if let Ok(request) = parse(kind, pairs.clone(), &reading(), &Limits::default(), handling) {
                proptest::prop_assert!(request.query.criteria.len() <= parts.len());
                proptest::prop_assert!(request.query.sort.len() <= 8);
            }
        }
    }
}
