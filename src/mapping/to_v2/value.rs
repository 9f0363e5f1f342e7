//! `Observation.value[x]` as OBX-2, OBX-5 and OBX-6.

use serde_json::Value as Json;

use crate::fhir::view::{system_name, text};
use crate::mapping::to_v2::time;
use crate::mapping::to_v2::types::{At, Maker};
use crate::mapping::to_v2::wire::{Piece, Segment};

/// Fills OBX-2, OBX-5 and OBX-6. What has no value leaves them empty.
pub(super) fn fill<'m>(
    maker: &mut Maker<'m>,
    holder: &'m Json,
    owner: &'m Json,
    obx: &mut Segment,
) {
    let own = |name: &str| holder.get(name);
    let (major, minor) = maker.options.version();
    let newer = (major, minor) >= (2, 5);
    if let Some(quantity) = own("valueQuantity") {
        return fill_quantity(quantity, obx);
    }
    if let Some(concept) = own("valueCodeableConcept") {
        let at = At { value: concept, owner, element: "Observation.valueCodeableConcept" };
        if let Some(piece) = maker.piece("CWE", &[], at) {
            obx.set(2, if newer { "CWE" } else { "CE" });
            obx.add(5, piece);
        }
        return;
    }
    if let Some(words) = own("valueString").and_then(Json::as_str) {
        let lines: Vec<&str> = words.split('\n').collect();
        obx.set(2, if lines.len() > 1 { "TX" } else { "ST" });
        for line in lines {
            obx.add(5, Piece::of(line.trim_end_matches('\r')).unwrap_or_default());
        }
        return;
    }
    let moment = |name: &str| own(name).and_then(Json::as_str).and_then(time::hl7);
    let plain = |value: &Json| match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (kind, text) = if let Some(yes) = own("valueBoolean").and_then(Json::as_bool) {
        ("ID", if yes { "Y" } else { "N" }.to_owned())
    } else if let Some(number) = own("valueInteger") {
        ("NM", plain(number))
    } else if let Some(moment) = moment("valueDateTime") {
        (if (major, minor) >= (2, 6) { "DTM" } else { "TS" }, moment)
    } else if let Some(clock) = own("valueTime").and_then(Json::as_str) {
        ("TM", clock.replace(':', ""))
    } else {
        return fill_structured(holder, obx);
    };
    obx.set(2, kind);
    obx.add(5, Piece::of(&text).unwrap_or_default());
}

/// A value that has no unit of its own is of the unit of its reference range.
pub(super) fn fill_unit_of_range(observation: &Json, obx: &mut Segment) {
    let range = observation.pointer("/referenceRange/0");
    let end = range.and_then(|range| range.get("low").or_else(|| range.get("high")));
    if let (false, Some(end)) = (obx.has(6), end) {
        fill_unit(end, obx);
    }
}

/// NM; with a comparator SN: `>^100` (HL7 v2.5.1 §2.A.71). The number keeps its digits.
fn fill_quantity(quantity: &Json, obx: &mut Segment) {
    if let Some(number) = quantity.get("value") {
        match text(quantity, "comparator") {
            "" => {
                obx.set(2, "NM");
                obx.add(5, Piece::of(&number.to_string()).unwrap_or_default());
            }
            sign => {
                obx.set(2, "SN");
                let mut piece = Piece::default();
                piece.set(1, sign);
                piece.set(2, &number.to_string());
                obx.add(5, piece);
            }
        }
    }
    fill_unit(quantity, obx);
}

/// The unit of a quantity as the first three parts of a CWE.
fn unit(quantity: &Json) -> [String; 3] {
    let (code, shown) = (text(quantity, "code"), text(quantity, "unit"));
    if code.is_empty() {
        return [shown.to_owned(), String::new(), String::new()];
    }
    let shown = if shown == code { "" } else { shown };
    [code.to_owned(), shown.to_owned(), system_name(text(quantity, "system"))]
}

/// CQ: a number and its unit (HL7 v2.5.1 §2.A.20). The number keeps its digits.
pub(super) fn composite(quantity: &Json) -> Option<Piece> {
    let mut piece = Piece::of(&quantity.get("value")?.to_string())?;
    for (part, text) in (1..).zip(unit(quantity)) {
        piece.set_part(2, part, &text);
    }
    Some(piece)
}

fn fill_unit(quantity: &Json, obx: &mut Segment) {
    let mut piece = Piece::default();
    for (component, text) in (1..).zip(unit(quantity)) {
        piece.set(component, &text);
    }
    if let (Some(piece), false) = (piece.filled(), obx.has(6)) {
        obx.add(6, piece);
    }
}

/// Ranges and ratios are SN, periods DR, sampled data NA.
fn fill_structured(holder: &Json, obx: &mut Segment) {
    let number = |path: &str| holder.pointer(path).map(Json::to_string).unwrap_or_default();
    let mut piece = Piece::default();
    let mut unit = None;
    let kind = if let Some(range) = holder.get("valueRange") {
        piece.set(2, &number("/valueRange/low/value"));
        piece.set(3, "-");
        piece.set(4, &number("/valueRange/high/value"));
        unit = range.get("low").or_else(|| range.get("high"));
        "SN"
    } else if let Some(ratio) = holder.get("valueRatio") {
        piece.set(2, &number("/valueRatio/numerator/value"));
        let whole = ratio.pointer("/denominator/unit").is_none();
        piece.set(3, if whole { ":" } else { "/" });
        piece.set(4, &number("/valueRatio/denominator/value"));
        unit = ratio.get("numerator");
        "SN"
    } else if let Some(period) = holder.get("valuePeriod") {
        for (component, end) in [(1, "start"), (2, "end")] {
            piece.set(component, &time::hl7(text(period, end)).unwrap_or_default());
        }
        "DR"
    } else if let Some(samples) = holder.get("valueSampledData") {
        for (at, sample) in text(samples, "data").split_whitespace().enumerate() {
            piece.set(at + 1, sample);
        }
        unit = samples.get("origin");
        "NA"
    } else {
        return;
    };
    obx.set(2, kind);
    obx.add(5, piece);
    if let Some(unit) = unit {
        fill_unit(unit, obx);
    }
}

/// A document as ED (HL7 v2.5.1 §2.A.24), or RP when only its address is known.
pub(super) fn fill_document(attachment: &Json, obx: &mut Segment) {
    let (data, url) = (text(attachment, "data"), text(attachment, "url"));
    let (major, minor) = text(attachment, "contentType").split_once('/').unwrap_or(("", ""));
    // HL7 table 0191.
    let general = match major {
        "application" => "AP",
        "image" => "IM",
        "audio" => "AU",
        "text" => "TX",
        "multipart" => "multipart",
        other => other,
    };
    let mut piece = Piece::default();
    if data.is_empty() && !url.is_empty() {
        obx.set(2, "RP");
        piece.set(1, url);
        piece.set(3, general);
        piece.set(4, &minor.to_uppercase());
    } else {
        obx.set(2, "ED");
        piece.set(2, general);
        piece.set(3, &minor.to_uppercase());
        piece.set(4, "Base64");
        piece.set(5, data);
    }
    obx.add(5, piece);
}
