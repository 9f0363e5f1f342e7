//! Names, addresses and contact points of FHIR as those of HL7 v2 (HL7 v2.5.1 §2.A.88 to §2.A.89).

use serde_json::Value as Json;

use crate::fhir::view::{items, text, v2_code};
use crate::mapping::to_v2::time;
use crate::mapping::to_v2::wire::Piece;

/// A line of an address that is the name of the street (SAD.2) or the number of the house (SAD.3).
fn part_of_street(address: &Json, line: usize) -> Option<usize> {
    let beside = address.get("_line")?.get(line)?;
    items(beside, "extension").find_map(|one| {
        match text(one, "url").rsplit_once("/iso21090-ADXP-")? {
            (_, "streetName") => Some(2),
            (_, "houseNumber") => Some(3),
            _ => None,
        }
    })
}

/// The code of table 0202 that was kept beside `ContactPoint.system`, which has fewer.
fn equipment(contact: &Json) -> &str {
    let beside = contact.get("_system").into_iter().flat_map(|own| items(own, "extension"));
    let kept = beside.filter_map(|one| one.get("valueCodeableConcept"));
    kept.filter_map(|concept| v2_code(concept, "0202")).next().unwrap_or_default()
}

/// Whether what is shown of a person is this name.
pub(super) fn says(name: &Json, shown: &str) -> bool {
    let family = text(name, "family");
    !shown.is_empty()
        && shown.ends_with(family)
        && items(name, "given")
            .filter_map(Json::as_str)
            .next()
            .is_none_or(|own| shown.contains(own))
}

/// XPN from `HumanName`.
pub(super) fn xpn(value: &Json) -> Option<Piece> {
    let list = |name: &str| -> Vec<&str> { items(value, name).filter_map(Json::as_str).collect() };
    let mut piece = Piece::default();
    piece.set(1, text(value, "family"));
    let given = list("given");
    piece.set(2, given.first().copied().unwrap_or_default());
    piece.set(3, &given.get(1..).unwrap_or_default().join(" "));
    let suffix = list("suffix");
    piece.set(4, suffix.first().copied().unwrap_or_default());
    piece.set(6, &suffix.get(1..).unwrap_or_default().join(" "));
    piece.set(5, &list("prefix").join(" "));
    if piece.text(1).is_empty() && piece.text(2).is_empty() {
        piece.set(1, text(value, "text"));
    }
    let mut piece = piece.filled()?;
    let kind = match text(value, "use") {
        "official" => "L",
        "usual" => "D",
        "maiden" => "M",
        "nickname" => "N",
        "anonymous" => "S",
        "temp" => "TEMP",
        "old" => "BAD",
        _ => "",
    };
    piece.set(7, kind);
    let representation = items(value, "extension")
        .find(|one| text(one, "url").ends_with("/iso21090-EN-representation"))
        .map_or("", |one| text(one, "valueCode"));
    piece.set(
        8,
        match representation {
            "IDE" => "I",
            "SYL" => "P",
            "ABC" => "A",
            _ => "",
        },
    );
    ends(value, &mut piece, 12);
    Some(piece)
}

/// Beginning and end of `period` in a component and the next.
pub(super) fn ends(value: &Json, piece: &mut Piece, first: usize) {
    for (component, end) in [(first, "start"), (first + 1, "end")] {
        let date = value.pointer(&format!("/period/{end}")).and_then(Json::as_str);
        piece.set(component, date.and_then(time::hl7).as_deref().unwrap_or_default());
    }
}

/// XAD from Address.
pub(super) fn xad(value: &Json) -> Option<Piece> {
    let mut piece = Piece::default();
    let mut lines: Vec<&str> = Vec::new();
    for (at, line) in items(value, "line").enumerate() {
        let line = line.as_str().unwrap_or_default();
        match part_of_street(value, at) {
            Some(part) => piece.set_part(1, part, line),
            None => lines.push(line),
        }
    }
    piece.set(1, lines.first().copied().unwrap_or_default());
    piece.set(2, lines.get(1).copied().unwrap_or_default());
    piece.set(8, &lines.get(2..).unwrap_or_default().join(", "));
    for (component, name) in
        [(3, "city"), (4, "state"), (5, "postalCode"), (6, "country"), (9, "district")]
    {
        piece.set(component, text(value, name));
    }
    if lines.is_empty() && piece.text(3).is_empty() {
        piece.set(1, text(value, "text"));
    }
    let mut piece = piece.filled()?;
    piece.set(
        7,
        match (text(value, "use"), text(value, "type")) {
            ("home", _) => "H",
            ("work", _) => "B",
            ("temp", _) => "C",
            ("old", _) => "BA",
            ("billing", _) => "BI",
            (_, "postal") => "M",
            _ => "",
        },
    );
    ends(value, &mut piece, 13);
    Some(piece)
}

/// XTN from `ContactPoint`.
pub(super) fn xtn(value: &Json) -> Option<Piece> {
    let number = text(value, "value");
    let (system, used) = (text(value, "system"), text(value, "use"));
    let mut piece = Piece::default();
    if number.is_empty() {
        return None;
    }
    let equipment = equipment(value);
    if system == "email" && (equipment.is_empty() || number.contains('@')) {
        piece.set(2, "NET");
        piece.set(3, "Internet");
        piece.set(4, number);
        return Some(piece);
    }
    piece.set(1, number);
    piece.set(
        2,
        match used {
            "home" => "PRN",
            "work" => "WPN",
            "mobile" => "PRS",
            _ => "",
        },
    );
    piece.set(
        3,
        match (system, used) {
            _ if !equipment.is_empty() => equipment,
            (_, "mobile") => "CP",
            ("fax", _) => "FX",
            ("pager", _) => "BP",
            ("phone", _) => "PH",
            _ => "",
        },
    );
    Some(piece)
}
