//! HL7 v2 data types as FHIR R4 data types (v2-to-FHIR concept maps: CX, XPN, XAD, XTN, CWE).
//!
//! What is absent is left out; what is null (`""`) is left out too, because no FHIR data type may hold it.

use serde_json::{Map, Value as Json, json};

use crate::channel::expr::function::Function;
use crate::channel::scope::{Message, Scope, Val};
use crate::hl7::charset::Charset;
use crate::hl7::path::Path;
use crate::hl7::separators::Separators;
use crate::hl7::value::Value;

/// One repetition of a field, cut into components.
struct Repetition {
    components: Vec<Vec<String>>,
}

impl Repetition {
    /// The n-th component's first subcomponent, from 1; "" when there is none.
    fn text(&self, n: usize) -> &str {
        self.part(n, 1)
    }

    fn part(&self, n: usize, sub: usize) -> &str {
        let component = n.checked_sub(1).and_then(|n| self.components.get(n));
        let part = component.and_then(|parts| sub.checked_sub(1).and_then(|sub| parts.get(sub)));
        part.map_or("", String::as_str)
    }
}

/// The FHIR form of a field: a list, but for a code, which is one.
pub(super) fn build<'m>(function: Function, path: &Path, scope: &Scope<'m>) -> Val<'m> {
    let Message::Hl7(message) = scope.message else { return Val::Empty };
    let field = scope.value(path);
    let made: Vec<Json> = repetitions(&field, message.charset())
        .iter()
        .filter_map(|repetition| match function {
            Function::Identifiers => identifier(repetition),
            Function::HumanName => human_name(repetition),
            Function::Address => address(repetition),
            Function::Telecom => telecom(repetition),
            _ => codeable(repetition),
        })
        .collect();
    if made.is_empty() {
        return Val::Empty;
    }
    match function {
        Function::Codeable => made.into_iter().next().map_or(Val::Empty, Val::Json),
        _ => Val::Json(Json::Array(made)),
    }
}

fn repetitions(field: &Value<'_>, charset: Charset) -> Vec<Repetition> {
    let Some(separators) = field.separators() else { return Vec::new() };
    let cut = |bytes: &[u8], separator: Option<u8>| -> Vec<Vec<u8>> {
        separators.split(bytes, separator).map(<[u8]>::to_vec).collect()
    };
    cut(field.raw(), separators.repetition)
        .iter()
        .map(|repetition| Repetition {
            components: cut(repetition, separators.component)
                .iter()
                .map(|component| {
                    cut(component, separators.subcomponent)
                        .iter()
                        .map(|part| leaf(part, separators, charset))
                        .collect()
                })
                .collect(),
        })
        .collect()
}

fn leaf(bytes: &[u8], separators: Separators, charset: Charset) -> String {
    Value::of(bytes, separators).text(charset).into_owned()
}

/// Collects members that are not empty.
struct Object(Map<String, Json>);

impl Object {
    fn new() -> Self {
        Self(Map::new())
    }

    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.0.insert(name.to_owned(), Json::String(text.to_owned()));
        }
    }

    fn texts(&mut self, name: &str, texts: &[&str]) {
        let texts: Vec<Json> =
            texts.iter().filter(|text| !text.is_empty()).map(|text| Json::from(*text)).collect();
        if !texts.is_empty() {
            self.0.insert(name.to_owned(), Json::Array(texts));
        }
    }

    fn json(&mut self, name: &str, value: Json) {
        self.0.insert(name.to_owned(), value);
    }

    fn done(self) -> Option<Json> {
        (!self.0.is_empty()).then_some(Json::Object(self.0))
    }
}

/// CX: id, check digit, scheme, assigning authority, type.
fn identifier(cx: &Repetition) -> Option<Json> {
    if cx.text(1).is_empty() {
        return None;
    }
    let mut made = Object::new();
    if !cx.text(5).is_empty() {
        let system = "http://terminology.hl7.org/CodeSystem/v2-0203";
        made.json("type", json!({"coding": [{"system": system, "code": cx.text(5)}]}));
    }
    let universal = cx.part(4, 2);
    if !universal.is_empty() {
        let system = match cx.part(4, 3) {
            "ISO" => format!("urn:oid:{universal}"),
            "UUID" | "GUID" => format!("urn:uuid:{}", universal.to_lowercase()),
            _ => universal.to_owned(),
        };
        made.text("system", &system);
    }
    made.text("value", cx.text(1));
    if !cx.part(4, 1).is_empty() {
        made.json("assigner", json!({"display": cx.part(4, 1)}));
    }
    made.done()
}

/// XPN: family, given, further given, suffix, prefix, degree, type.
fn human_name(xpn: &Repetition) -> Option<Json> {
    if (1..=6).all(|n| xpn.text(n).is_empty()) {
        return None;
    }
    let mut made = Object::new();
    made.text(
        "use",
        match xpn.text(7) {
            "L" => "official",
            "D" => "usual",
            "N" => "nickname",
            "M" => "maiden",
            "S" => "anonymous",
            "T" => "temp",
            _ => "",
        },
    );
    made.text("family", xpn.text(1));
    let mut given = vec![xpn.text(2)];
    given.extend(xpn.text(3).split(' '));
    made.texts("given", &given);
    made.texts("prefix", &[xpn.text(5)]);
    made.texts("suffix", &[xpn.text(4), xpn.text(6)]);
    made.done()
}

/// XAD: street, other designation, city, province, postal code, country, type, …, county.
fn address(xad: &Repetition) -> Option<Json> {
    let mut made = Object::new();
    made.texts("line", &[xad.text(1), xad.text(2)]);
    made.text("city", xad.text(3));
    made.text("district", xad.text(9));
    made.text("state", xad.text(4));
    made.text("postalCode", xad.text(5));
    made.text("country", xad.text(6));
    if made.0.is_empty() {
        return None;
    }
    made.text(
        "use",
        match xad.text(7) {
            "H" | "P" => "home",
            "B" | "O" => "work",
            "C" => "temp",
            "BA" => "old",
            "BI" => "billing",
            _ => "",
        },
    );
    made.done()
}

/// XTN: number as text, use, equipment, e-mail, country, area, local number, extension, …, unformatted.
fn telecom(xtn: &Repetition) -> Option<Json> {
    let is_email = !xtn.text(4).is_empty() || matches!(xtn.text(3), "Internet" | "X.400");
    let parts = [xtn.text(5), xtn.text(6), xtn.text(7)];
    let joined: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let joined = joined.join(" ");
    let value = if is_email {
        [xtn.text(4), xtn.text(1)].into_iter().find(|text| !text.is_empty())
    } else {
        [xtn.text(12), xtn.text(1), &joined].into_iter().find(|text| !text.is_empty())
    }?;
    let mut made = Object::new();
    made.text(
        "system",
        match xtn.text(3) {
            _ if is_email => "email",
            "FX" => "fax",
            "BP" => "pager",
            "" | "PH" | "CP" | "SAT" => "phone",
            _ => "other",
        },
    );
    made.text("value", value);
    made.text(
        "use",
        match (xtn.text(2), xtn.text(3)) {
            (_, "CP") => "mobile",
            ("PRN" | "ORN" | "VHN", _) => "home",
            ("WPN", _) => "work",
            ("TMP", _) => "temp",
            _ => "",
        },
    );
    made.done()
}

/// The system of a coding, by its name in table 0396.
fn system(name: &str) -> String {
    match name {
        "LN" => "http://loinc.org".to_owned(),
        "SCT" | "SNM" | "SNOMED" => "http://snomed.info/sct".to_owned(),
        "UCUM" => "http://unitsofmeasure.org".to_owned(),
        "MDC" => "urn:iso:std:iso:11073:10101".to_owned(),
        "I10" | "I10C" => "http://hl7.org/fhir/sid/icd-10".to_owned(),
        table if table.starts_with("HL7") => {
            format!("http://terminology.hl7.org/CodeSystem/v2-{}", table.trim_start_matches("HL7"))
        }
        other => other.to_owned(),
    }
}

/// CE, CNE, CWE: code, text, system; the alternative triplet; original text.
fn codeable(cwe: &Repetition) -> Option<Json> {
    let codings: Vec<Json> = [1, 4]
        .into_iter()
        .filter_map(|first| {
            if cwe.text(first).is_empty() {
                return None;
            }
            let mut coding = Object::new();
            coding.text("system", &system(cwe.text(first + 2)));
            coding.text("code", cwe.text(first));
            coding.text("display", cwe.text(first + 1));
            coding.done()
        })
        .collect();
    let mut made = Object::new();
    if !codings.is_empty() {
        made.json("coding", Json::Array(codings));
    }
    let text = [cwe.text(9), cwe.text(2), cwe.text(5)].into_iter().find(|text| !text.is_empty());
    made.text("text", text.unwrap_or_default());
    made.done()
}
