//! Expressions: what they say of a message, and what is said of a wrong one.

use bytes::Bytes;

use super::eval::Unmapped;
use super::{parse, template};
use crate::channel::build::{Build, Files};
use crate::channel::scope::{Facts, Message, Notes, Scope};
use crate::hl7::raw::{RawMessage, SegmentEnds};
use crate::message::kind::Kind;
use crate::message::time::Timestamp;

const ORU: &str = "MSH|^~\\&|LIS|LAB|EMR|HOSP|20240102103000+0800||ORU^R01|7|P|2.5.1\r\
PID|1||100234^^^HIS&1.2.3&ISO^MR~8801^^^CIV^NI||Zhang^Wei^Li^^Dr^^L||19800102|F \r\
PV1|1|I|ICU-1^2^3\r\
OBR|1|O1|ACC1|GLU^Glucose^L|||20240102\r\
OBX|1|NM|K^Potassium^L||7.2|mmol/L|3.5-5.1|HH|||F\r\
NTE|1||repeat\r\
OBX|2|NM|NA^Sodium^L||140|mmol/L||N|||F\r\
OBR|2|O2|ACC2|HB^Haemoglobin^L\r\
OBX|1|NM|HB^Haemoglobin^L||98|g/L||L|||C\r\
ZPV|\"\"|x|a\\T\\b\r";

struct Tables;

impl Files for Tables {
    fn read(&self, relative: &str) -> Option<Bytes> {
        let text = match relative {
            "tables/sex.csv" => "code,fhir,zh\nF,female,女\nM,male,男\n",
            "tables/wards.csv" => "ward\nICU-1\n",
            _ => return None,
        };
        Some(Bytes::from_static(text.as_bytes()))
    }

    fn list(&self, _folder: &str) -> Vec<String> {
        vec!["tables/sex.csv".to_owned(), "tables/wards.csv".to_owned()]
    }
}

fn with_scope<T>(ask: impl FnOnce(&Scope<'_>) -> T) -> T {
    let message =
        RawMessage::parse(Bytes::from_static(ORU.as_bytes()), SegmentEnds::CrOnly).unwrap();
    let facts = Facts {
        kind: Kind::Report,
        event: "ORU^R01".into(),
        channel: "lab".into(),
        received_at: Timestamp(1_700_000_000_000_000),
    };
    let notes = Notes::new(Unmapped::Hold);
    ask(&Scope::new(Message::Hl7(&message), &facts, &notes))
}

fn holds(condition: &str) -> bool {
    let mut build = Build::new(&Tables);
    let condition = parse::parse(condition, &mut build).unwrap();
    with_scope(|scope| condition.holds(scope))
}

#[track_caller]
fn yes(condition: &str) {
    assert!(holds(condition), "{condition}");
}

#[track_caller]
fn no(condition: &str) {
    assert!(!holds(condition), "{condition}");
}

#[test]
fn compares_with_text() {
    yes("MSH-9.1 is ORU");
    yes("MSH-9.2 is A01 or R01");
    no("MSH-9.2 is A01 or A04");
    yes("MSH-9.2 is not A01 or A04");
    yes("PID-5.1 is 'Zhang'");
    yes("PID-5.1 starts with Zh");
    yes("PID-5.1 ends with ng or x");
    yes("PID-5.1 contains han");
    yes("PID-3[*].1 is 8801");
    yes("PID-3(NI).1 is 8801");
    yes("PID-5.1 is <PID-5.1>");
    no("PID-5.1 is <PID-5.2>");
    yes("ZPV-3 is a&b");
}

#[test]
fn tells_the_four_states_apart() {
    yes("PID-40 is empty");
    yes("PID-8 is not empty");
    yes("ZPV-1 is null");
    no("ZPV-1 is empty");
    no("PID-40 is null");
    yes("QRD-1 is empty");
}

#[test]
fn joins_conditions() {
    yes("MSH-9.2 is A01 or PID-40 is empty");
    yes("MSH-9.2 is A01 or R01 and PID-40 is empty");
    no("(MSH-9.2 is A01 or R01) and PID-40 is not empty");
    yes("not (MSH-9.2 is A01)");
    yes("not MSH-9.2 is A01 and PID-5.1 is Zhang");
    yes("MSH-9.2 is A01 or any OBX");
}

#[test]
fn asks_segments() {
    yes("any OBX has OBX-8 is LL or HH");
    no("every OBX has OBX-8 is HH");
    yes("every OBX has OBX-11 is F or C");
    yes("no OBX has OBX-8 is LL");
    yes("no NK1");
    yes("any OBX has OBX-3.1 is K and NTE-3 is repeat");
    no("any OBX has OBX-3.1 is NA and NTE-3 is repeat");
    yes("any OBX has OBX-3.1 is HB and OBR-3 is ACC2");
    no("any OBX has OBX-3.1 is K and OBR-3 is ACC2");
    yes("any OBR has OBR-3 is ACC2 and (no OBX has OBX-3.1 is K)");
    yes("every NK1 has NK1-2 is x");
}

#[test]
fn compares_by_size() {
    yes("OBX-5 > 7.0");
    yes("OBX-5 <= 7.20");
    no("OBX-5 < 7");
    yes("PID-7 < 19900101");
    yes("PID-7 < 1990-01-01");
    yes("PID-7 < now");
    yes("MSH-7 > 20240101");
    no("PID-40 > 1");
    no("PID-5.1 > 1");
}

#[test]
fn asks_patterns_tables_kinds_and_views() {
    yes("PID-3.1 matches /^[0-9]{6}$/");
    yes("PID-5.1 matches /zhang/i");
    no("PID-5.1 matches /zhang/");
    yes("PV1-3.1 in tables/wards.csv");
    no("PID-5.1 in tables/wards.csv");
    yes("PID-5.1 not in tables/wards.csv");
    yes("kind is report or device");
    yes("event is ORU^R01");
    yes("patient.mrn is 100234");
}

fn text(value: &str) -> String {
    let mut build = Build::new(&Tables);
    let value = template::parse_value(value, &mut build).unwrap();
    with_scope(|scope| match value.eval(scope).into_json() {
        Some(serde_json::Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => "-".to_owned(),
    })
}

#[track_caller]
fn gives(value: &str, expected: &str) {
    assert_eq!(text(value), expected, "{value}");
}

#[test]
fn reads_values() {
    gives("PID-5.1", "Zhang");
    gives("PID-3(MR)", "100234");
    gives("OBX[2]-5", "140");
    gives("PID-40", "-");
    gives("ZPV-1", "null");
    gives("LIS", "LIS");
    gives("'PID-5.1'", "PID-5.1");
    gives("text(PID-5.1)", "PID-5.1");
    gives("patient.name.family", "Zhang");
    gives("event", "ORU^R01");
    gives("now", "20231114221320.000+0000");
    gives("Potassium <OBX-5> <OBX-6.1>!", "Potassium 7.2 mmol/L!");
    gives("5 < 6 <<b>", "5 < 6 <b>");
}

#[test]
fn calls_functions() {
    gives("trim(PID-8)", "F");
    gives("upper(PID-5.1)", "ZHANG");
    gives("lower(PID-5.1)", "zhang");
    gives("lookup(trim(PID-8), tables/sex.csv)", "female");
    gives("lookup(trim(PID-8) tables/sex.csv)", "female");
    gives("lookup(trim(PID-8), tables/sex.csv, zh)", "女");
    gives("lookup(PID-40, tables/sex.csv)", "-");
    gives("date(PID-7)", "1980-01-02");
    gives("datetime(MSH-7)", "2024-01-02T10:30:00+08:00");
    gives("concat(PID-5.1, ', ', PID-5.2)", "Zhang, Wei");
    gives("first(PID-40, PID-5.2)", "Wei");
    gives("substring(PID-7, 1, 4)", "1980");
    gives("substring(PID-7, 5)", "0102");
    gives("replace(OBR-3, ACC, '')", "1");
    gives("pad(OBX-1, 3, 0)", "001");
    gives("split(PV1-3.1, -, 2)", "1");
    gives("join(PID-3[*].1, /)", "100234/8801");
    gives("number(OBX-5)", "7.2");
    gives("number(PID-5.1)", "-");
    gives("raw(PID-5)", "Zhang^Wei^Li^^Dr^^L");
}

#[test]
fn builds_fhir_types() {
    gives(
        "identifiers(PID-3)",
        r#"[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR"}]},"system":"urn:oid:1.2.3","value":"100234","assigner":{"display":"HIS"}},{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"NI"}]},"value":"8801","assigner":{"display":"CIV"}}]"#,
    );
    gives(
        "human_name(PID-5)",
        r#"[{"use":"official","family":"Zhang","given":["Wei","Li"],"prefix":["Dr"]}]"#,
    );
    gives(
        "codeable(OBX-3)",
        r#"{"coding":[{"system":"L","code":"K","display":"Potassium"}],"text":"Potassium"}"#,
    );
    gives("address(PID-11)", "-");
}

#[test]
fn a_lookup_without_a_row_is_noted() {
    let mut build = Build::new(&Tables);
    let value = template::parse_value("lookup(PID-8, tables/sex.csv)", &mut build).unwrap();
    with_scope(|scope| {
        assert_eq!(value.eval(scope).text(), "F ");
        let misses = scope.notes.misses.borrow();
        assert_eq!((misses.len(), misses[0].nearest.as_deref()), (1, Some("F")));
        assert_eq!(misses[0].key, "F ");
    });
}

#[track_caller]
fn wrong(condition: &str, marked: &str, message: &str, hint: &str) {
    let mut build = Build::new(&Tables);
    let fault = parse::parse(condition, &mut build).expect_err(condition);
    assert_eq!(condition.get(fault.at.clone()), Some(marked), "{}", fault.message);
    assert!(fault.message.contains(message), "{}", fault.message);
    let said = fault.hint.as_deref().unwrap_or_default();
    assert!(said.contains(hint), "{said}");
}

#[test]
fn says_what_is_wrong_and_where() {
    wrong("MSH-9.2 = A01", "=", "not used", "is");
    wrong("MSH-9.2 == A01", "==", "not used", "is");
    wrong("MSH-9.2 is A01 && PID-8 is F", "&&", "not used", "and");
    wrong("MSH-9.2 si A01", "si", "no operator", "is");
    wrong("MSH-9.2 equals A01", "equals", "no operator", "is");
    wrong("MSH-9.2", "", "operator is missing", "is A01");
    wrong("MSH-9.2 is", "", "value is missing", "");
    wrong("MHS-9.2 is A01", "MHS", "no segment", "MSH");
    wrong("PID-33(MR).1 is 1", "PID-33", "does not repeat", "PID-3");
    wrong("PID-3(1).1 is 1", "(1)", "round brackets", "Terser");
    wrong("PID-99 is 1", "PID-99", "PID-99", "");
    wrong("any OXB has OBX-8 is HH", "OXB", "no segment", "OBX");
    wrong("any OBX has OBX-8 is HH or", "", "value is missing", "");
    wrong("(MSH-9.2 is A01", "(", "never closed", ")");
    wrong("MSH-9.2 is A01)", ")", "closes nothing", "remove");
    wrong("PV1-3.1 is Intensive Care", "Care", "too many", "quotes");
    wrong("patient.mnr is 1", "patient.mnr", "no view", "patient.mrn");
    wrong("PID-4 is emty", "emty", "as a text", "empty");
    wrong("kind is reprot", "reprot", "no kind", "report");
    wrong("PID-3.1 is PID-18.1", "PID-18.1", "as a text", "<PID-18.1>");
    wrong("PID-3.1 matches /[/", "/[/", "pattern", "");
    wrong("PID-3.1 matches ^x", "", "slashes", "/");
    wrong("PV1-3.1 in tables/ward.csv", "tables/ward.csv", "no table", "tables/wards.csv");
    wrong("OBX-5 > high", "high", "numbers and dates", "");
    wrong("foo is 1", "foo", "neither", "");
    wrong("lokup(PID-8 tables/sex.csv) is x", "lokup", "no function", "lookup");
    wrong("trim(PID-8, 2) is x", "trim(PID-8, 2)", "one value", "trim(PID-8)");
    wrong("upper(PIX-8) is x", "PIX", "no segment", "PI");
    wrong("PID-5.1 is 'Li", "'Li", "quote", "");
}

#[test]
fn deep_nesting_is_refused_not_followed() {
    let mut build = Build::new(&Tables);
    let deep = format!("{}PID-8 is F{}", "(".repeat(5000), ")".repeat(5000));
    assert!(parse::parse(&deep, &mut build).is_err());
    let deep = format!("{}PID-8{} is F", "trim(".repeat(1000), ")".repeat(1000));
    assert!(parse::parse(&deep, &mut build).is_err());
    let deep = format!("{}PID-8 is F", "not ".repeat(2000));
    assert!(parse::parse(&deep, &mut build).is_err());
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused_at_a_place_in_it(text in "[A-Z0-9a-z<>()',./\" -]{0,60}|\\PC{0,30}") {
        let mut build = Build::new(&Tables);
        let condition = parse::parse(&text, &mut build).err();
        let value = template::parse_value(&text, &mut build).err();
        for fault in [condition, value].into_iter().flatten() {
            proptest::prop_assert!(text.get(fault.at.clone()).is_some(), "{:?}", fault.at);
        }
    }
}
