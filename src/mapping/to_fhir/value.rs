//! What was observed: OBX-5 by the type that OBX-2 names, with the unit of OBX-6.

use serde_json::{Map, Value as Json, json};

use crate::hl7::time::Hl7Time;
use crate::mapping::to_fhir::convert::number;
use crate::mapping::to_fhir::fill::{Filler, Frame, Thing};
use crate::mapping::to_fhir::language::{self, Convert, Source};
use crate::mapping::to_fhir::piece::Piece;
use crate::mapping::to_fhir::{NoticeKind, time};

const UCUM: &str = "http://unitsofmeasure.org";

impl<'m> Filler<'m> {
    /// Puts `value[x]` in its place. Several values that are no text become components with the code of
    /// the whole.
    pub(super) fn put_value(
        &mut self,
        things: &[Thing<'m>],
        frame: &Frame<'m>,
        base: &mut Map<String, Json>,
    ) {
        let kind = self.field_text(*b"OBX", 2, frame).unwrap_or_default();
        let pieces: Vec<Piece<'m>> = things
            .iter()
            .filter_map(|thing| match thing {
                Thing::Piece(piece) => Some(*piece),
                _ => None,
            })
            .collect();
        let mut values = Vec::new();
        if is_text(&kind) {
            let lines: Vec<String> = pieces.iter().filter_map(|piece| piece.whole_text()).collect();
            if !lines.is_empty() {
                values.push(("valueString", Json::String(lines.join("\n"))));
            }
        } else {
            for piece in pieces {
                values.extend(self.value(&kind, piece, frame));
            }
        }
        match <[_; 1]>::try_from(values) {
            Ok([(name, value)]) => {
                base.insert(name.to_owned(), value);
            }
            Err(values) if base.contains_key("component") || !base.contains_key("resourceType") => {
                if let Some((name, value)) = values.into_iter().next() {
                    base.insert(name.to_owned(), value);
                }
            }
            Err(values) => {
                let code = base.get("code").cloned();
                let components = values.into_iter().filter_map(|(name, value)| {
                    Some(json!({ "code": code.clone()?, name: value }))
                });
                let components: Vec<Json> = components.collect();
                if !components.is_empty() {
                    base.insert("component".to_owned(), Json::Array(components));
                }
            }
        }
    }

    fn value(
        &mut self,
        kind: &str,
        piece: Piece<'m>,
        frame: &Frame<'m>,
    ) -> Option<(&'static str, Json)> {
        let text = || piece.whole_text().map(|text| ("valueString", Json::String(text)));
        let unit = self.unit_of("OBX-6", frame);
        let found = match kind {
            "NM" => self.numeric(piece, &unit).map(|value| ("valueQuantity", value)),
            "SN" => structured(piece, &unit),
            "NR" => range(piece.part(1), piece.part(2), &unit).map(|value| ("valueRange", value)),
            "CQ" => {
                let own = self.unit(piece.part(2)).unwrap_or(unit);
                self.numeric(piece.part(1), &own).map(|value| ("valueQuantity", value))
            }
            "NA" => self.samples(piece, &unit, frame).map(|value| ("valueSampledData", value)),
            "CE" | "CWE" | "CNE" | "CF" | "IS" | "ID" => {
                let whole = Convert { name: "CWE[CodeableConcept]".into(), arguments: Vec::new() };
                let value = self.convert(&whole, &Thing::Piece(piece), frame);
                value.map(|value| ("valueCodeableConcept", value))
            }
            "DT" | "TS" | "DTM" => {
                let time = Hl7Time::parse(&piece.text()?).ok().flatten();
                let site = self.options.zone.as_ref();
                time.map(|time| ("valueDateTime", time::date_time(time, self.zone, site).into()))
            }
            "TM" => time::time_of_day(&piece.text()?).map(|time| ("valueTime", time.into())),
            "DR" => {
                let whole = Convert { name: "DR[Period]".into(), arguments: Vec::new() };
                let value = self.convert(&whole, &Thing::Piece(piece), frame);
                value.map(|value| ("valuePeriod", value))
            }
            _ => None,
        };
        found.or_else(text)
    }

    /// A number with its unit; `<5` with a comparator, as laboratories write it.
    fn numeric(&self, piece: Piece<'m>, unit: &Map<String, Json>) -> Option<Json> {
        let text = piece.text()?;
        let comparators = ["<=", ">=", "<", ">"];
        let comparator = comparators.into_iter().find(|sign| text.starts_with(sign));
        let rest = comparator.and_then(|sign| text.strip_prefix(sign)).unwrap_or(&text);
        let value = number(rest)?;
        Some(quantity(value, comparator, unit))
    }

    /// A Quantity of a number, with the unit of the field that is named.
    pub(super) fn quantity(
        &mut self,
        piece: Piece<'m>,
        unit: &str,
        frame: &Frame<'m>,
    ) -> Option<Json> {
        let unit = self.unit_of(unit, frame);
        match self.numeric(piece, &unit) {
            Some(quantity) => Some(quantity),
            None => {
                let text = piece.text()?;
                self.cannot(NoticeKind::Unreadable, &Thing::Piece(piece), "is no number", &text)
            }
        }
    }

    fn unit_of(&self, source: &str, frame: &Frame<'m>) -> Map<String, Json> {
        let sources = language::sources(source).unwrap_or_default();
        match self.find(&sources, frame).first() {
            Some(Thing::Piece(piece)) => self.unit(*piece).unwrap_or_default(),
            _ => Map::new(),
        }
    }

    /// A unit (CWE): what people read, and its UCUM code where that is said or known.
    pub(super) fn unit(&self, piece: Piece<'m>) -> Option<Map<String, Json>> {
        let text = |number| piece.part(number).text();
        let readable = text(2).or_else(|| text(1)).or_else(|| text(5)).or_else(|| text(4))?;
        let is_ucum = |number| text(number).is_some_and(|name| name.to_uppercase() == "UCUM");
        let said = [(1, 3), (4, 6)].into_iter().find(|(_, system)| is_ucum(*system));
        let said = said.and_then(|(code, _)| text(code));
        let known = || {
            let spellings = [1, 2, 4, 5].into_iter().filter_map(text);
            let known = spellings.filter_map(|spelling| self.maps.unit(&spelling)).next();
            known.map(str::to_owned)
        };
        let mut unit = Map::new();
        let code = said.or_else(known).filter(|code| !code.contains(char::is_whitespace));
        let readable = match &code {
            Some(code) if readable.starts_with("MDC_") => code.clone(),
            _ => readable,
        };
        unit.insert("unit".to_owned(), readable.into());
        if let Some(code) = code {
            unit.insert("system".to_owned(), UCUM.into());
            unit.insert("code".to_owned(), code.into());
        }
        Some(unit)
    }

    /// Samples (NA). How often they were taken must be known: a facet of the metric says it.
    fn samples(
        &self,
        piece: Piece<'m>,
        unit: &Map<String, Json>,
        frame: &Frame<'m>,
    ) -> Option<Json> {
        let per_second = self.facet(frame, "MDC_ATTR_SAMP_RATE")?;
        let rate: f64 = per_second.parse().ok().filter(|rate| *rate > 0.0)?;
        let data: Option<Vec<String>> = piece
            .parts()
            .into_iter()
            .map(|part| match part {
                Some(text) => number(&text).map(|number| number.to_string()),
                None => Some("E".to_owned()),
            })
            .collect();
        let period = number(&format!("{}", 1000.0 / rate))?;
        let origin = quantity(json!(0), None, unit);
        Some(
            json!({ "origin": origin, "period": period, "dimensions": 1, "data": data?.join(" ") }),
        )
    }

    /// `3.5-5.1`, `<5`, `>= 60`: the ends beside the text.
    pub(super) fn reference_range(
        &mut self,
        piece: Piece<'m>,
        unit: &str,
        frame: &Frame<'m>,
    ) -> Option<Json> {
        let text = piece.whole_text()?;
        let unit = self.unit_of(unit, frame);
        let end = |text: &str| number(text.trim()).map(|value| quantity(value, None, &unit));
        let mut made = Map::new();
        let plain = text.trim();
        // The first hyphen may be a sign.
        let divided = plain.get(1..).and_then(|rest| rest.find('-')).and_then(|at| {
            let (low, high) = plain.split_at_checked(at.saturating_add(1))?;
            Some((end(low)?, end(high.strip_prefix('-')?)?))
        });
        let beyond = |signs: [&str; 2]| {
            let rest = signs.into_iter().find_map(|sign| plain.strip_prefix(sign));
            rest.and_then(end)
        };
        if let Some((low, high)) = divided {
            made.insert("low".to_owned(), low);
            made.insert("high".to_owned(), high);
        } else if let Some(high) = beyond(["<=", "<"]) {
            made.insert("high".to_owned(), high);
        } else if let Some(low) = beyond([">=", ">"]) {
            made.insert("low".to_owned(), low);
        }
        made.insert("text".to_owned(), text.into());
        Some(Json::Object(made))
    }

    /// The text of a field near the frame.
    pub(super) fn field_text(
        &self,
        segment: [u8; 3],
        field: usize,
        frame: &Frame<'m>,
    ) -> Option<String> {
        let source = Source::Field { segment, field, parts: Vec::new() };
        match self.find(&[source], frame).first() {
            Some(Thing::Piece(piece)) => piece.text(),
            _ => None,
        }
    }
}

/// Types whose values are text, and those that have no other form in FHIR.
fn is_text(kind: &str) -> bool {
    matches!(kind, "ST" | "TX" | "FT" | "VR" | "")
}

fn quantity(value: Json, comparator: Option<&str>, unit: &Map<String, Json>) -> Json {
    let mut made = Map::new();
    made.insert("value".to_owned(), value);
    if let Some(comparator) = comparator {
        made.insert("comparator".to_owned(), comparator.into());
    }
    made.extend(unit.clone());
    Json::Object(made)
}

/// SN: `>^100`, `1^-^5`, `1^:^128`.
fn structured(piece: Piece<'_>, unit: &Map<String, Json>) -> Option<(&'static str, Json)> {
    let text = |number| piece.part(number).text();
    let comparator = match text(1).as_deref() {
        None | Some("=") => None,
        Some(sign @ ("<" | "<=" | ">" | ">=")) => Some(sign.to_owned()),
        Some(_) => return words(piece, unit),
    };
    let (first, second) =
        (text(2).as_deref().and_then(number), text(4).as_deref().and_then(number));
    let made = match (text(3).as_deref(), first, second) {
        (None, Some(first), _) => ("valueQuantity", quantity(first, comparator.as_deref(), unit)),
        (Some("-"), Some(_), Some(_)) if comparator.is_none() => {
            ("valueRange", range(piece.part(2), piece.part(4), unit)?)
        }
        (Some(":" | "/"), Some(first), Some(second)) if comparator.is_none() => {
            let numerator = quantity(first, None, unit);
            let denominator = quantity(second, None, unit);
            ("valueRatio", json!({ "numerator": numerator, "denominator": denominator }))
        }
        _ => return words(piece, unit),
    };
    Some(made)
}

fn words(piece: Piece<'_>, unit: &Map<String, Json>) -> Option<(&'static str, Json)> {
    let unit = unit.get("unit").and_then(Json::as_str).map(str::to_owned);
    let parts: Vec<String> = piece.parts().into_iter().flatten().chain(unit).collect();
    (!parts.is_empty()).then(|| ("valueString", Json::String(parts.join(" "))))
}

fn range(low: Piece<'_>, high: Piece<'_>, unit: &Map<String, Json>) -> Option<Json> {
    let end = |piece: Piece<'_>| {
        let value = number(&piece.text()?)?;
        Some(quantity(value, None, unit))
    };
    let mut made = Map::new();
    for (name, piece) in [("low", low), ("high", high)] {
        if let Some(end) = end(piece) {
            made.insert(name.to_owned(), end);
        }
    }
    (!made.is_empty()).then_some(Json::Object(made))
}
