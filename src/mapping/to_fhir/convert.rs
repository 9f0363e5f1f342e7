//! What rows of maps call by name besides maps: texts of HL7 as values of FHIR's primitive types, codes by
//! tables, systems by authorities.

use serde_json::{Map, Value as Json, json};

use crate::hl7::time::Hl7Time;
use crate::mapping::to_fhir::fill::{Filler, Frame, Thing};
use crate::mapping::to_fhir::language::Convert;
use crate::mapping::to_fhir::piece::Piece;
use crate::mapping::to_fhir::{NoticeKind, time};

/// The names, and what each makes.
pub(super) const BUILT_IN: &[(&str, &str)] = &[
    ("absent", "an element that is not there, and why (data-absent-reason)"),
    ("addressLines", "`line` of an Address, street name and house number marked as such"),
    ("any", "`value[x]` of an Observation, by OBX-2"),
    ("attachment", "Attachment of an ED or RP"),
    ("base64", "text as base64Binary"),
    ("boolean", "boolean of Y and N"),
    ("code", "code by a table; one without a row is a finding"),
    ("coding", "Coding by a table; one without a row stays as it is"),
    ("concept", "CodeableConcept by a table, the original coding beside it"),
    ("data-absent", "CodeableConcept of a data-absent-reason"),
    ("date", "date"),
    ("dateTime", "dateTime, with the zone rules"),
    ("documents", "`content` of a DocumentReference: texts as one, documents each by itself"),
    ("decimal", "decimal, its digits as sent"),
    ("ends", "`start` and `end` of an appointment, or `requestedPeriod` when only one is known"),
    ("instant", "instant; nothing without a time of day and a zone"),
    ("integer", "integer"),
    ("known-boolean", "boolean by a table"),
    ("known", "code by a table; one without a row is left out"),
    ("lines", "all texts, each on a line of its own"),
    ("noTime", "text that is no time"),
    ("placeName", "name of a location out of point of care, room and bed"),
    ("phone", "number of a telephone out of its parts"),
    ("positive", "positiveInt"),
    ("quantity", "Quantity of a number, with the unit of the field that is named"),
    ("referenceRange", "referenceRange, with low and high where the text is that plain"),
    ("system", "URI of an assigning authority (HD)"),
    ("systemOfEntity", "URI of the assigning authority of an EI"),
    ("systemOfCodes", "URI of a coding system (HL7 table 0396)"),
    ("terminology", "URI of a code system of terminology.hl7.org"),
    ("token", "code, blanks inside it single"),
    ("unit", "unit, system and code of a Quantity: UCUM where it is known"),
    ("words", "all its parts as one text"),
];

/// What is known of an authority.
pub(super) struct Authority {
    pub(super) system: Option<String>,
    pub(super) name: Option<String>,
}

impl<'m> Filler<'m> {
    /// Conversions that take all that was read at once. Inside nothing: the value was put in its place, or
    /// there is none.
    #[expect(clippy::option_option, reason = "not such a conversion, no value, a value")]
    pub(super) fn convert_all(
        &mut self,
        convert: &Convert,
        things: &[Thing<'m>],
        frame: &Frame<'m>,
        base: &mut Map<String, Json>,
    ) -> Option<Option<Json>> {
        match &*convert.name {
            "lines" => {
                let lines: Vec<String> = things.iter().filter_map(whole_text).collect();
                Some((!lines.is_empty()).then(|| Json::String(lines.join("\n"))))
            }
            "documents" => {
                self.put_documents(things, frame, base);
                Some(None)
            }
            "any" => {
                self.put_value(things, frame, base);
                Some(None)
            }
            _ => None,
        }
    }

    /// One of the conversions that take one thing.
    pub(super) fn built_in(
        &mut self,
        convert: &Convert,
        thing: &Thing<'m>,
        frame: &Frame<'m>,
    ) -> Option<Json> {
        let argument = convert.arguments.first().map(|text| &**text).unwrap_or_default();
        match (&*convert.name, thing) {
            ("attachment", Thing::Piece(piece)) => self.attachment(*piece, argument),
            ("addressLines", Thing::Piece(piece)) => address_lines(*piece),
            ("phone", Thing::Piece(piece)) => phone(*piece).map(Json::String),
            ("system", Thing::Piece(piece)) => {
                let found = self.authority(piece.part(1), piece.part(2), piece.part(3));
                found.system.map(Json::String)
            }
            ("systemOfEntity", Thing::Piece(piece)) => {
                let found = self.authority(piece.part(2), piece.part(3), piece.part(4));
                found.system.map(Json::String)
            }
            ("ends", Thing::Piece(piece)) => self.ends(*piece, frame),
            ("placeName", Thing::Piece(piece)) => place_name(*piece).map(Json::String),
            ("referenceRange", Thing::Piece(piece)) => {
                self.reference_range(*piece, argument, frame)
            }
            ("unit", Thing::Piece(piece)) => self.unit(*piece).map(Json::Object),
            ("quantity", Thing::Piece(piece)) => self.quantity(*piece, argument, frame),
            ("words", Thing::Piece(piece)) => {
                let parts: Vec<String> = piece.parts().into_iter().flatten().collect();
                (!parts.is_empty()).then(|| Json::String(parts.join(" ")))
            }
            ("concept", Thing::Piece(piece)) => self.concept(*piece, argument, frame),
            (name, _) => {
                let text = match thing {
                    Thing::Piece(piece) => piece.text()?,
                    Thing::Text(text) => text.clone(),
                    Thing::Segment(_) | Thing::Resource(_) => return None,
                };
                self.of_text(name, argument, &text, thing)
            }
        }
    }

    fn of_text(
        &mut self,
        name: &str,
        argument: &str,
        text: &str,
        thing: &Thing<'m>,
    ) -> Option<Json> {
        let of_site = |text: Option<String>| text.map(Json::String);
        match name {
            "boolean" => match text.to_ascii_uppercase().as_str() {
                "Y" | "YES" | "TRUE" | "T" | "1" => Some(Json::Bool(true)),
                "N" | "NO" | "FALSE" | "F" | "0" => Some(Json::Bool(false)),
                _ => self.cannot(NoticeKind::Unmapped, thing, "is neither Y nor N", text),
            },
            "code" | "known" => match self.row(argument, text) {
                Some((code, _)) => Some(Json::String(code)),
                None if name == "known" => None,
                None => {
                    let what = format!("has no row in the table {argument}");
                    self.cannot(NoticeKind::Unmapped, thing, &what, text)
                }
            },
            "known-boolean" => {
                self.row(argument, text).and_then(|(value, _)| value.parse().ok()).map(Json::Bool)
            }
            "coding" => Some(self.coding(argument, text)),
            "date" | "dateTime" | "instant" => self.of_time(name, text, thing),
            "time" => of_site(time::time_of_day(text)),
            "decimal" => match number(text) {
                Some(number) => Some(number),
                None => self.cannot(NoticeKind::Unreadable, thing, "is no number", text),
            },
            "integer" | "positive" => {
                let least = i32::from(name == "positive");
                let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
                match whole.parse::<i32>().ok().filter(|number| *number >= least) {
                    Some(number) => Some(json!(number)),
                    None => self.cannot(NoticeKind::Unreadable, thing, "is no such number", text),
                }
            }
            "noTime" => Hl7Time::parse(text).is_err().then(|| Json::String(text.to_owned())),
            "absent" => Some(json!({ "extension": [{
                "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
                "valueCode": text,
            }]})),
            "data-absent" => Some(json!({ "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/data-absent-reason",
                "code": text,
            }]})),
            "token" => Some(Json::String(text.split_whitespace().collect::<Vec<_>>().join(" "))),
            "base64" => Some(Json::String(super::attachment::base64(text.as_bytes()))),
            "terminology" => Some(Json::String(terminology(text))),
            "systemOfCodes" => of_site(self.system_of_codes(text)),
            _ => None,
        }
    }

    fn of_time(&mut self, name: &str, text: &str, thing: &Thing<'m>) -> Option<Json> {
        let Ok(parsed) = Hl7Time::parse(text) else {
            return self.cannot(NoticeKind::Unreadable, thing, "is no HL7 date or time", text);
        };
        let parsed = parsed?;
        let site = self.options.zone.as_ref();
        match name {
            "date" => Some(Json::String(time::date(&parsed))),
            "dateTime" => Some(Json::String(time::date_time(parsed, self.zone, site))),
            _ => time::instant(parsed, self.zone, site).map(Json::String),
        }
    }

    /// Notes that a value cannot be mapped; there is none.
    pub(super) fn cannot(
        &mut self,
        kind: NoticeKind,
        thing: &Thing<'m>,
        what: &str,
        value: &str,
    ) -> Option<Json> {
        if let Thing::Piece(piece) = thing {
            self.notice(kind, piece.place(), what, value);
        }
        None
    }

    /// The row of a table: the code as sent, else in capitals.
    fn row(&self, table: &str, code: &str) -> Option<(String, Option<String>)> {
        let codes = &self.maps.table(table)?.codes;
        let found = codes.get(code).or_else(|| codes.get(&*code.to_uppercase()))?;
        Some((found.0.to_string(), found.1.as_ref().map(ToString::to_string)))
    }

    fn coding(&self, table: &str, code: &str) -> Json {
        let mut coding = Map::new();
        let system = self.maps.table(table).and_then(|table| table.system.as_deref());
        match self.row(table, code) {
            Some((code, display)) => {
                if let Some(system) = system {
                    coding.insert("system".to_owned(), system.into());
                }
                coding.insert("code".to_owned(), code.into());
                if let Some(display) = display {
                    coding.insert("display".to_owned(), display.into());
                }
            }
            None => {
                coding.insert("code".to_owned(), code.into());
            }
        }
        Json::Object(coding)
    }

    /// The mapped coding first, the original one beside it: a map may lose detail.
    fn concept(&mut self, piece: Piece<'m>, table: &str, frame: &Frame<'m>) -> Option<Json> {
        let from = self.maps.table(table).and_then(|table| table.from.clone());
        let original =
            Convert { name: "CWE[CodeableConcept]".into(), arguments: from.into_iter().collect() };
        let mut concept = self.convert(&original, &Thing::Piece(piece), frame)?;
        let code = piece.part(1).text();
        if let Some(code) = code.filter(|code| self.row(table, code).is_some()) {
            let mapped = self.coding(table, &code);
            let codings = concept.as_object_mut()?.entry("coding").or_insert_with(|| json!([]));
            let codings = codings.as_array_mut()?;
            if !codings.contains(&mapped) {
                codings.insert(0, mapped);
            }
        }
        Some(concept)
    }

    /// The URI of an authority: by the site's table, else by what the message says of itself, else below
    /// the site's name space. Never one that nobody gave it.
    pub(super) fn authority(
        &self,
        name: Piece<'m>,
        universal: Piece<'m>,
        kind: Piece<'m>,
    ) -> Authority {
        let name = name.text();
        let universal = universal.text();
        let kind = kind.text().unwrap_or_default().to_uppercase();
        let of_site = [&name, &universal].into_iter().flatten();
        let of_site = of_site.filter_map(|text| self.options.systems.get(text.as_str())).next();
        let said = universal.as_deref().and_then(|universal| match kind.as_str() {
            "ISO" => is_oid(universal).then(|| format!("urn:oid:{universal}")),
            "UUID" | "GUID" => uuid::Uuid::try_parse(universal)
                .ok()
                .map(|uuid| format!("urn:uuid:{}", uuid.hyphenated())),
            "URI" | "URL" => universal.contains(':').then(|| universal.replace(' ', "%20")),
            _ => is_oid(universal).then(|| format!("urn:oid:{universal}")),
        });
        let oid =
            || name.as_deref().filter(|name| is_oid(name)).map(|oid| format!("urn:oid:{oid}"));
        let system = of_site.map(ToString::to_string).or(said).or_else(oid);
        let system = system.or_else(|| self.below_namespace(name.as_deref()?));
        Authority { system, name: name.or(universal) }
    }

    fn below_namespace(&self, name: &str) -> Option<String> {
        let namespace = self.options.namespace.as_deref()?;
        let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        let between = if namespace.ends_with(['/', ':', '#']) { "" } else { "/" };
        Some(format!("{namespace}{between}{name}"))
    }

    /// The URI of a coding system as CWE-3 names it.
    fn system_of_codes(&self, name: &str) -> Option<String> {
        if let Some(uri) = self.options.systems.get(name) {
            return Some(uri.to_string());
        }
        let upper = name.to_uppercase();
        if let Some(uri) = self.maps.system(name).or_else(|| self.maps.system(&upper)) {
            return Some(uri.to_owned());
        }
        // HL70001, HL7-0001, HL7001: an HL7 table; from 3 digits on (HL7 v2.5.1 §2.A.13).
        if let Some(digits) = upper.strip_prefix("HL7") {
            let digits = digits.trim_start_matches(['-', ' ']);
            if (3..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
                return Some(format!("http://terminology.hl7.org/CodeSystem/v2-{digits:0>4}"));
            }
        }
        if is_oid(name) {
            return Some(format!("urn:oid:{name}"));
        }
        if name.starts_with("http://") || name.starts_with("https://") || name.starts_with("urn:") {
            return (!name.contains(char::is_whitespace)).then(|| name.to_owned());
        }
        self.below_namespace(name)
    }
}

fn whole_text(thing: &Thing<'_>) -> Option<String> {
    match thing {
        Thing::Piece(piece) => piece.whole_text(),
        Thing::Text(text) => Some(text.clone()),
        Thing::Segment(_) | Thing::Resource(_) => None,
    }
}

fn terminology(text: &str) -> String {
    if text.contains(':') {
        text.to_owned()
    } else {
        format!("http://terminology.hl7.org/CodeSystem/{text}")
    }
}

/// An ISO object identifier (X.660): numbers and dots, the first from 0 to 2.
pub(super) fn is_oid(text: &str) -> bool {
    let number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part.len() == 1 || !part.starts_with('0'))
    };
    text.contains('.')
        && text.split('.').all(number)
        && matches!(text.split('.').next(), Some("0" | "1" | "2"))
}

/// A number with its digits as sent; what JSON does not allow (a sign, leading zeros, no digit before
/// the point) is left out.
pub(super) fn number(text: &str) -> Option<Json> {
    let text = text.trim();
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    if !rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let rest = rest.strip_suffix('.').unwrap_or(rest);
    if !rest.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let trimmed = rest.trim_start_matches('0');
    let zero = !trimmed.starts_with(|c: char| c.is_ascii_digit());
    let text = format!("{sign}{}{trimmed}", if zero { "0" } else { "" });
    serde_json::from_str::<serde_json::Number>(&text).ok().map(Json::Number)
}

/// The lines of an XAD: street, street name and house number (SAD), other designation, other geographic
/// designation. Which line is name or number is said by the extensions that HL7's guide names.
fn address_lines(piece: Piece<'_>) -> Option<Json> {
    let street = piece.part(1);
    let all = [
        (street.part(1), ""),
        (street.part(2), "streetName"),
        (street.part(3), "houseNumber"),
        (piece.part(2), ""),
        (piece.part(8), ""),
    ];
    let (mut lines, mut marks): (Vec<Json>, Vec<Json>) = (Vec::new(), Vec::new());
    for (part, name) in all {
        let text = part.text().filter(|_| !part.is_null()).map(Json::String);
        let Some(text) = text else { continue };
        if name.is_empty() && lines.contains(&text) {
            continue;
        }
        let url = format!("http://hl7.org/fhir/StructureDefinition/iso21090-ADXP-{name}");
        let mark = || json!({ "extension": [{ "url": url, "valueString": text.clone() }] });
        marks.push(if name.is_empty() { Json::Null } else { mark() });
        lines.push(text);
    }
    let mut made = Map::new();
    if marks.iter().any(|mark| !mark.is_null()) {
        made.insert("_line".to_owned(), Json::Array(marks));
    }
    if lines.is_empty() {
        return None;
    }
    made.shift_insert(0, "line".to_owned(), Json::Array(lines));
    Some(Json::Object(made))
}

/// PL: point of care, room, bed; else what it is part of.
fn place_name(piece: Piece<'_>) -> Option<String> {
    let inner: Vec<String> = [1, 2, 3].into_iter().filter_map(|n| piece.part(n).text()).collect();
    if inner.is_empty() {
        return [9, 8, 7, 4].into_iter().find_map(|number| piece.part(number).text());
    }
    Some(inner.join(" "))
}

/// XTN.5 to XTN.8: `+1 555 5550100 ext. 7`.
fn phone(piece: Piece<'_>) -> Option<String> {
    let part = |number| piece.part(number).text();
    let number = part(7)?;
    let country = part(5).map(|text| if text.starts_with('+') { text } else { format!("+{text}") });
    let extension = part(8).map(|text| format!("ext. {text}"));
    let parts = [country, part(6), Some(number), extension];
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        for (sent, expected) in [
            ("1.50", Some("1.50")),
            ("+7", Some("7")),
            ("-.5", Some("-0.5")),
            ("007.10", Some("7.10")),
            ("0", Some("0")),
            ("5.", Some("5")),
            ("1e3", Some("1e+3")),
            ("1,5", None),
            ("", None),
            ("-", None),
            (".", None),
            ("12 mg", None),
            ("NaN", None),
        ] {
            let found = number(sent).map(|number| number.to_string());
            assert_eq!(found.as_deref(), expected, "{sent}");
        }
    }

    #[test]
    fn knows_an_oid() {
        assert!(is_oid("2.16.840.1.113883.4.1") && is_oid("1.2"));
        assert!(
            !is_oid("1") && !is_oid("3.1") && !is_oid("1..2") && !is_oid("1.02") && !is_oid("MRN")
        );
    }
}
