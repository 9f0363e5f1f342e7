//! Paths find what the standard says, and every path of the definitions can be compiled.

use proptest::prop_assert;
use serde_json::{Value, json};

use super::{Path, PathFault};

#[test]
fn compiles_every_search_parameter() {
    let mut tried = 0;
    for row in include_str!("../search/parameters.tsv").lines().filter(|row| !row.starts_with('#'))
    {
        let cells: Vec<&str> = row.split('\t').collect();
        let components = cells[6].split(';').filter_map(|one| one.split_once('='));
        for text in components.map(|(_, text)| text).chain([cells[5]]) {
            if text.is_empty() {
                continue;
            }
            tried += 1;
            if let Err(error) = Path::parse(text) {
                panic!("{}: {error}: {text}", cells[0]);
            }
        }
    }
    assert!(tried > 1400, "{tried}");
}

fn patient() -> Value {
    json!({
        "resourceType": "Patient", "id": "p1", "active": true,
        "name": [
            {"use": "official", "family": "Doe", "given": ["Ann", null], "_given": [null, {"extension": [{"url": "urn:x", "valueString": "hidden"}]}]},
            {"use": "nickname", "given": ["Annie"]}
        ],
        "birthDate": "1980-05-17",
        "_birthDate": {"extension": [{"url": "urn:time", "valueDateTime": "1980-05-17T10:00:00+02:00"}]},
        "deceasedBoolean": false, "multipleBirthInteger": 2,
        "unheard": {"of": [1.50, 2]},
        "generalPractitioner": [{"reference": "Practitioner/d1"}, {"reference": "https://h/fhir/Organization/o1/_history/2"}, {"reference": "#c1"}, {"type": "PractitionerRole", "identifier": {"value": "7"}}, {"reference": "urn:uuid:c6f3dd50-0000-4000-8000-000000000000"}],
        "contained": [{"resourceType": "Organization", "id": "c1", "name": "Ward"}]
    })
}

fn observation() -> Value {
    json!({
        "resourceType": "Observation", "status": "final",
        "effectiveDateTime": "2020-02-03T04:05:06Z", "issued": "2020-02-03T05:05:06+01:00",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}, {"code": "local"}]},
        "valueQuantity": {"value": 120.0, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"},
        "component": [{"code": {"text": "a"}, "valueString": "x"}, {"code": {"text": "b"}, "valueCodeableConcept": {"text": "y"}}],
        "referenceRange": [{"low": {"value": 90}, "high": {"value": 1.30e2}}]
    })
}

fn values(text: &str, resource: &Value) -> Vec<Value> {
    let path = Path::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let found = path.try_eval(resource).unwrap_or_else(|error| panic!("{text}: {error}"));
    found.iter().map(|node| node.value().clone()).collect()
}

#[test]
fn finds_in_a_patient() {
    let patient = patient();
    let check = |text: &str, expected: Value| {
        assert_eq!(Value::Array(values(text, &patient)), expected, "{text}");
    };
    check("Patient.name.family", json!(["Doe"]));
    check("name.given", json!(["Ann", null, "Annie"]));
    check("Patient.name.where(use = 'nickname').given", json!(["Annie"]));
    check("name[1].given[0]", json!(["Annie"]));
    check("name.given.where($this.startsWith('Ann'))", json!(["Ann", "Annie"]));
    check("name.given.extension('urn:x').value", json!(["hidden"]));
    check("birthDate.extension('urn:time').value", json!(["1980-05-17T10:00:00+02:00"]));
    check("Observation.name", json!([]));
    check("Resource.id | DomainResource.id | Patient.id", json!(["p1"]));
    check("Patient.deceased", json!([false]));
    check("Patient.deceased.exists() and Patient.deceased != false", json!([false]));
    check("(Patient.deceased as boolean)", json!([false]));
    check("Patient.deceased.ofType(dateTime)", json!([]));
    check("Patient.deceasedBoolean", json!([false]));
    check("multipleBirth + 1", json!([3]));
    check("unheard.of", json!([1.50, 2]));
    check("unheard.of.first() = 1.5", json!([true]));
    check(
        "generalPractitioner.where(resolve() is Practitioner).reference",
        json!(["Practitioner/d1"]),
    );
    check(
        "generalPractitioner.where(resolve() is PractitionerRole).identifier.value",
        json!(["7"]),
    );
    check(
        "generalPractitioner.where(resolve() is Organization).reference",
        json!(["https://h/fhir/Organization/o1/_history/2", "#c1"]),
    );
    check("generalPractitioner.resolve().name", json!(["Ward"]));
    check("contained.ofType(Organization).name", json!(["Ward"]));
    check("descendants().where($this is Organization).id", json!(["c1"]));
    check("name.exists(use = 'official')", json!([true]));
    check("name.exists(use = 'old')", json!([false]));
    check("telecom.exists()", json!([false]));
    check("telecom.exists(system = 'phone')", json!([false]));
    check("name.all(given.exists())", json!([true]));
    check("name.select(use & '-' & family)", json!(["official-Doe", "nickname-"]));
    check("name.count() > 1 implies name.use.isDistinct()", json!([true]));
    check("iif(active, 'yes', 'no')", json!(["yes"]));
    check("active.not()", json!([false]));
    check("active = {}", json!([]));
    check("telecom.value = 'x' or active", json!([true]));
    check("telecom.value = 'x' and active", json!([]));
    check("'official' in name.use", json!([true]));
    check("name.use contains 'old'", json!([false]));
    check("birthDate > @1980", json!([]));
    check("birthDate > @1979-12", json!([true]));
    check("birthDate = @1980-05-17", json!([true]));
    check("birthDate.matches('^[0-9]{4}-')", json!([true]));
    check("birthDate.substring(0, 4)", json!(["1980"]));
    check("name.family.lower() ~ 'DOE'", json!([true]));
    check("id.hasValue() and id is id and id is string", json!([true]));
    check("-1 < 0", json!([true]));
    check("`name`.`use`.last() // the last one", json!(["nickname"]));
    check("%resource.id = $this.id", json!([true]));
}

#[test]
fn finds_in_an_observation() {
    let observation = observation();
    let check = |text: &str, expected: Value| {
        assert_eq!(Value::Array(values(text, &observation)), expected, "{text}");
    };
    check("(Observation.value as Quantity).value", json!([120.0]));
    check("Observation.value.ofType(string)", json!([]));
    check("Observation.component.value.ofType(CodeableConcept).text", json!(["y"]));
    check("Observation.component.where(value is string).code.text", json!(["a"]));
    check("effective = issued", json!([true]));
    check("effective.toString().length()", json!([20]));
    check("effective >= @2020-02-03T05:05:06+01:00", json!([true]));
    check("referenceRange.low <= referenceRange.high", json!([true]));
    check("value > 100 'mm[Hg]'", json!([true]));
    check("value > 100 'kPa'", json!([]));
    check("code.coding.where(system = %loinc).code", json!(["8480-6"]));
    check("code.coding.exists(code = 'local' and system.empty())", json!([true]));
    let found = Path::parse("Observation.value | Observation.effective").unwrap();
    let found = found.eval(&observation);
    let types: Vec<_> = found.iter().map(|node| node.type_name().unwrap()).collect();
    assert_eq!(types, ["Quantity", "dateTime"]);
    assert!(std::ptr::eq(found[0].borrowed().unwrap(), &observation["valueQuantity"]));
}

#[test]
fn is_a_condition() {
    let check = |text: &str, expected: bool| {
        assert_eq!(Path::parse(text).unwrap().holds(&patient()), expected, "{text}");
    };
    check("active", true);
    check("active = false", false);
    check("name.family", true);
    check("name.use", false);
    check("telecom", false);
    check("deceased", false);
}

#[test]
fn says_where_a_path_is_wrong() {
    let check = |text: &str, at: usize, said: &str| {
        let error = Path::parse(text).unwrap_err();
        assert_eq!((error.at, error.fault.to_string().as_str()), (at, said), "{text}");
    };
    check("", 1, "expected a value, a name or `(`, found the end");
    check("name.", 6, "expected a name, found the end");
    check("name.where(use = 'x'", 21, "expected `,` or `)`, found the end");
    check("name.given[0", 13, "expected `]`, found the end");
    check("name given", 6, "expected an operator or the end, found `given`");
    check("name.wherever(x)", 6, "there is no function `wherever` here");
    check("name.where()", 6, "`where` does not take this many arguments");
    check("now() > birthDate", 1, "there is no function `now` here");
    check("%patient.name", 1, "there is no `%patient` here");
    check("value as Quantitee", 10, "`Quantitee` is no type of FHIR R4");
    check("a * 2", 3, "`*` is not supported");
    check("name = 'x", 8, "the end of this is missing");
    check("é = 1", 1, "`é` starts nothing a path can have");
    check("name.family.matches('(')", 13, "this is no regular expression");
    check("a ; b", 3, "`;` starts nothing a path can have");
    let deep = "(".repeat(5000);
    assert_eq!(Path::parse(&deep).unwrap_err().fault, PathFault::TooDeep);
    let deep = "-".repeat(900);
    assert_eq!(Path::parse(&deep).unwrap_err().fault, PathFault::TooDeep);
}

#[test]
fn says_when_a_path_does_not_fit() {
    let check = |text: &str, said: &str| {
        let error = Path::parse(text).unwrap().try_eval(&patient()).unwrap_err();
        assert_eq!(error.to_string(), said, "{text}");
    };
    check("name.use.startsWith('o')", "the path finds several values where one is needed");
    check("name.first().startsWith('o')", "the path finds a value of the wrong type");
    let many: Vec<Value> = (0..1500).map(|at| json!({"family": at.to_string()})).collect();
    let large = json!({"resourceType": "Patient", "name": many});
    let path = Path::parse("name.where(%resource.name.family contains family)").unwrap();
    assert_eq!(path.try_eval(&large).unwrap_err(), super::EvalError::TooMuchWork);
    assert!(path.eval(&large).is_empty());
}

#[test]
fn orders_numbers_by_value() {
    use super::compare::numbers;
    use std::cmp::Ordering::{Equal, Greater, Less};
    let check = |left: &str, right: &str, expected| {
        assert_eq!(numbers(left, right), expected, "{left} {right}");
        assert_eq!(numbers(right, left), expected.reverse(), "{right} {left}");
    };
    check("1.50", "1.5", Equal);
    check("1e2", "100", Equal);
    check("-0.0", "0", Equal);
    check("0.1", "0.01", Greater);
    check("-2", "-10", Greater);
    check("-1", "1", Less);
    check("12345678901234567890.1", "12345678901234567890.2", Less);
    check("1e999999999999999999999", "1e5", Greater);
    check("1e-999999999999999999999", "1e-5", Less);
    check("9", "10", Less);
}

#[test]
fn allows_formatted_text_only() {
    let check = |text: &str, expected: bool| {
        assert_eq!(super::html::is_allowed(text), expected, "{text}");
    };
    check("<div xmlns=\"http://www.w3.org/1999/xhtml\">a</div>", true);
    check("<div><p id='x'>a &amp; b &#160;<br/><img src=\"#i\"/></p><!-- > --></div>", true);
    check("<div><a href=\"x>y\">a</a></div>", true);
    check("<div> </div>", false);
    check("<div/>", false);
    check("text", false);
    check("<div>a", false);
    check("<div><p>a</div></p>", false);
    check("<div>a</div><div>b</div>", false);
    check("<div>a<script>x</script></div>", false);
    check("<div><p onclick=\"x\">a</p></div>", false);
    check("<div><a href=\"javascript:x\">a</a></div>", false);
    check("<div><p class=x>a</p></div>", false);
    check("<div>a & b</div>", false);
    check("<div>a < b</div>", false);
}

proptest::proptest! {
    #[test]
    fn never_panics(text in r"[a-c.()\[\]|='@%$0-9<>&\-+ !~,{}`/*]{0,60}") {
        if let Ok(path) = Path::parse(&text) {
            prop_assert!(path.eval(&patient()).len() < 100_000);
        }
    }

    #[test]
    fn never_panics_on_what_looks_like_a_path(words in proptest::collection::vec(proptest::sample::select(
        &["name", ".", "given", "(", ")", "where(", "$this", " = ", "'x'", " or ", " is Patient", "[0]",
          "exists()", "descendants()", "count()", " | ", "resolve()", "first()", "-", "1", " & ", "value"][..]), 0..20)) {
        if let Ok(path) = Path::parse(&words.concat()) {
            prop_assert!(path.eval(&patient()).len() < 100_000);
        }
    }
}
