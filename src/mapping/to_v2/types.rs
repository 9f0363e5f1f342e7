//! Data types of FHIR as data types of HL7 v2 (HL7 v2.5.1 chapter 2.A).

use serde_json::Value as Json;

use crate::fhir::view::{Resources, items, kind, system_name, text, v2_code};
use crate::mapping::to_v2::maps::Maps;
use crate::mapping::to_v2::person::{ends, says, xad, xpn, xtn};
use crate::mapping::to_v2::value;
use crate::mapping::to_v2::wire::Piece;
use crate::mapping::to_v2::{Notice, Options, time};

/// What types are made with: the message around them, and a place for what could not be mapped.
pub(super) struct Maker<'m> {
    pub(super) maps: &'m Maps,
    pub(super) message: &'m Resources<'m>,
    pub(super) options: &'m Options,
    pub(super) notices: Vec<Notice>,
}

/// A value with where it stands.
#[derive(Clone, Copy)]
pub(super) struct At<'m> {
    pub(super) value: &'m Json,
    /// The resource that holds it, for references.
    pub(super) owner: &'m Json,
    /// Its name for findings: `Patient.gender`.
    pub(super) element: &'m str,
}

impl<'m> Maker<'m> {
    /// A value as a type; nothing when it says nothing.
    pub(super) fn piece(
        &mut self,
        kind: &str,
        arguments: &[Box<str>],
        at: At<'m>,
    ) -> Option<Piece> {
        let argument = |n: usize| arguments.get(n).map_or("", |text| &**text);
        match kind {
            "ST" => Piece::of(&plain(at.value)),
            "DTM" => self.moment(at),
            "yes" => Piece::of(if at.value.as_bool()? { "Y" } else { "N" }),
            "CX" | "other-CX" => self.cx(at.value),
            "EI" => self.ei(at),
            "EIP" => self.eip(at),
            "XPN" => xpn(at.value),
            "XAD" => xad(at.value),
            "XTN" => xtn(at.value),
            "CWE" => self.cwe(at.value, argument(0)),
            "CWE-organization" => self.organization_code(at),
            "CWE-identifier" => {
                let mut piece = Piece::of(text(at.value, "value"))?;
                piece.set(3, &self.system(text(at.value, "system")));
                Some(piece)
            }
            "words" => Piece::of(&words(at.value)),
            "ST-name" => Piece::of(&self.name_of(at)),
            "XCN" => self.xcn(at),
            "NDL" => Some(self.xcn_as_cnn(at)?.into_parts(1)),
            "XON" => self.xon(at),
            "PL" => self.pl(at),
            "range" => Piece::of(&range(at.value)),
            "CQ" => value::composite(at.value),
            "code" => self.code(at, argument(0), argument(1)),
            "code-of" => {
                self.only(at.value, argument(0)).or_else(|| self.code_of(at.value, argument(0)))
            }
            "coding" => self.coding(at, argument(0), argument(1)),
            "concept" => self.concept(at, argument(0), argument(1)),
            "only" => self.only(at.value, argument(0)),
            "only-code" => Piece::of(v2_code(at.value, argument(0))?),
            _ => None,
        }
    }

    fn notice(&mut self, at: At<'_>, table: &str, code: &str) {
        self.notices.push(Notice {
            element: at.element.to_owned(),
            what: format!("has no code in HL7 table {table}"),
            table: table.to_owned(),
            value: code.to_owned(),
        });
    }

    fn moment(&mut self, at: At<'_>) -> Option<Piece> {
        let written = at.value.as_str()?;
        let made = time::hl7(written);
        if made.is_none() {
            self.notices.push(Notice {
                element: at.element.to_owned(),
                what: "is no date or time of FHIR".to_owned(),
                table: String::new(),
                value: written.to_owned(),
            });
        }
        Piece::of(&made?)
    }

    /// CX from Identifier.
    fn cx(&self, value: &Json) -> Option<Piece> {
        let mut piece = Piece::of(text(value, "value"))?;
        let authority = self.authority(value);
        for (at, part) in authority.iter().enumerate() {
            piece.set_part(4, at + 1, part);
        }
        let typed = value.get("type").and_then(|kind| v2_code(kind, "0203"));
        let of_site = self.options.authority(text(value, "system")).map(|own| &*own.kind);
        piece.set(5, typed.or(of_site).unwrap_or_default());
        ends(value, &mut piece, 7);
        Some(piece)
    }

    /// The assigning authority of an Identifier: namespace, universal id, its type. The site's table goes
    /// first; a URI that is no OID or UUID is its own universal id (HL7 table 0301: `URI`).
    fn authority(&self, identifier: &Json) -> [String; 3] {
        let system = text(identifier, "system");
        let shown = identifier.pointer("/assigner/display").and_then(Json::as_str);
        let site = self.options.authority(system);
        let name = site.map(|own| &*own.name).or(shown).unwrap_or_default().to_owned();
        let (universal, kind) = if let Some(oid) = system.strip_prefix("urn:oid:") {
            (oid, "ISO")
        } else if let Some(uuid) = system.strip_prefix("urn:uuid:") {
            (uuid, "UUID")
        } else if name.is_empty() && !system.is_empty() {
            (system, "URI")
        } else {
            ("", "")
        };
        [name, universal.to_owned(), kind.to_owned()]
    }

    /// EI from Identifier, or from a reference by its identifier or what it leads to.
    fn ei(&self, at: At<'m>) -> Option<Piece> {
        let identifier = self.identifier_of(at)?;
        let mut piece = Piece::of(text(identifier, "value"))?;
        for (place, part) in self.authority(identifier).iter().enumerate() {
            piece.set(place + 2, part);
        }
        Some(piece)
    }

    /// EIP from the identifiers of the resource: the placer's, then the filler's (§2.A.28).
    fn eip(&self, at: At<'m>) -> Option<Piece> {
        let is_placer =
            |one: &&Json| one.get("type").and_then(|kind| v2_code(kind, "0203")) == Some("PLAC");
        let all = || items(at.owner, "identifier");
        let placer = all().find(is_placer);
        let filler = all().find(|one| !is_placer(one));
        let mut piece = Piece::default();
        for (component, identifier) in [(1, placer), (2, filler)] {
            let Some(identifier) = identifier else { continue };
            piece.set_part(component, 1, text(identifier, "value"));
            for (place, part) in self.authority(identifier).iter().enumerate() {
                piece.set_part(component, place + 2, part);
            }
        }
        piece.filled()
    }

    /// An Identifier itself; of a reference that of the resource it leads to, or its own.
    fn identifier_of(&self, at: At<'m>) -> Option<&'m Json> {
        if at.value.get("value").is_some() {
            return Some(at.value);
        }
        let resource = self.message.resolve(at.owner, at.value);
        let own = resource.and_then(|found| items(found, "identifier").next());
        own.or_else(|| at.value.get("identifier"))
    }

    fn name_of(&self, at: At<'m>) -> String {
        let found = self.message.resolve(at.owner, at.value);
        let name = found.map(|found| text(found, "name")).filter(|name| !name.is_empty());
        name.unwrap_or_else(|| text(at.value, "display")).to_owned()
    }

    /// CWE from `CodeableConcept` or Coding. A coding of the v2 table `table` goes first.
    fn cwe(&self, value: &Json, table: &str) -> Option<Piece> {
        let single = [value];
        let mut codings: Vec<&Json> = match value.get("coding") {
            Some(_) => items(value, "coding").collect(),
            None if value.get("code").is_some() => single.to_vec(),
            None => Vec::new(),
        };
        let own = |coding: &&Json| system_name(text(coding, "system")) != format!("HL7{table}");
        if !table.is_empty() {
            codings.sort_by_key(own);
        }
        self.coded(&codings, text(value, "text"))
    }

    /// CWE of codings, the first three of them with their versions, and of a text (§2.A.13).
    fn coded(&self, codings: &[&Json], said: &str) -> Option<Piece> {
        let mut piece = Piece::default();
        for (coding, (first, version)) in codings.iter().zip([(1, 7), (4, 8), (10, 13)]) {
            piece.set(first, text(coding, "code"));
            piece.set(first + 1, text(coding, "display"));
            piece.set(first + 2, &self.system(text(coding, "system")));
            piece.set(version, text(coding, "version"));
        }
        if codings.is_empty() {
            // Text without a code: the text stands where codes have theirs.
            piece.set(2, said);
        } else {
            // Readers take the first name there is for the text.
            let mut shown = codings.iter().map(|coding| text(coding, "display"));
            if shown.find(|shown| !shown.is_empty()) != Some(said) {
                piece.set(9, said);
            }
        }
        piece.filled()
    }

    fn system(&self, uri: &str) -> String {
        match self.options.authority(uri) {
            Some(site) => site.name.to_string(),
            None => system_name(uri),
        }
    }

    /// CWE of an organization named by a reference: OBX-15.
    fn organization_code(&self, at: At<'m>) -> Option<Piece> {
        let found = self.message.resolve(at.owner, at.value);
        if found.map_or(text(at.value, "type"), kind) != "Organization" {
            return None;
        }
        let identifier = found.and_then(|found| items(found, "identifier").next());
        let mut piece = Piece::default();
        if let Some(identifier) = identifier {
            piece.set(1, text(identifier, "value"));
            piece.set(3, &self.system(text(identifier, "system")));
        }
        piece.set(2, &self.name_of(at));
        piece.filled()
    }

    /// A code of a table from a FHIR code.
    fn code(&mut self, at: At<'_>, table: &str, hl7: &str) -> Option<Piece> {
        let code = at.value.as_str()?;
        match self.maps.code(table, code) {
            Some(found) => Piece::of(found),
            None => {
                self.notice(at, hl7, code);
                None
            }
        }
    }

    /// The code of a concept whose codes in FHIR are those of the v2 table: OBX-8. One of a system of the
    /// sender's own stays whole.
    fn code_of(&self, value: &Json, table: &str) -> Option<Piece> {
        let own = |coding: &&Json| !text(coding, "system").is_empty() && !is_of_fhir(coding);
        let own: Vec<&Json> = items(value, "coding").filter(own).collect();
        if !own.is_empty() {
            return self.coded(&own, text(value, "text"));
        }
        let first = value.pointer("/coding/0/code").and_then(Json::as_str);
        Piece::of(v2_code(value, table).or(first).unwrap_or_else(|| text(value, "text")))
    }

    /// A code of a table from a Coding.
    fn coding(&mut self, at: At<'_>, table: &str, hl7: &str) -> Option<Piece> {
        let absent = items(at.value, "extension").next();
        let concept = serde_json::json!({"coding": [at.value]});
        if let Some(code) = v2_code(&concept, hl7) {
            return Piece::of(code);
        }
        let code = match (text(at.value, "code"), absent) {
            ("", Some(_)) => "unknown",
            (code, _) => code,
        };
        match self.maps.code(table, code) {
            Some(found) => Piece::of(found),
            // Tables of users have codes of their own, which are of no system.
            None if text(at.value, "system").is_empty() && !code.is_empty() => Piece::of(code),
            None => {
                self.notice(at, hl7, code);
                None
            }
        }
    }

    /// A coded field from a concept: the coding of the v2 table kept beside, else by the table, else as it is.
    fn concept(&mut self, at: At<'_>, table: &str, hl7: &str) -> Option<Piece> {
        if v2_code(at.value, hl7).is_some() {
            return self.only(at.value, hl7);
        }
        let mut codes = items(at.value, "coding").map(|coding| text(coding, "code"));
        match codes.find_map(|code| self.maps.code(table, code)) {
            Some(code) => {
                let mut piece = Piece::of(code)?;
                piece.set(2, text(at.value, "text"));
                piece.set(3, &format!("HL7{hl7}"));
                Some(piece)
            }
            None => self.cwe(at.value, hl7),
        }
    }

    /// The coding of a v2 table first, without those that FHIR has for it.
    fn only(&self, value: &Json, table: &str) -> Option<Piece> {
        let name = format!("HL7{table}");
        let system = |coding: &&Json| text(coding, "system").to_owned();
        let own = items(value, "coding").find(|one| system_name(&system(one)) == name)?;
        let others = items(value, "coding").filter(|one| !std::ptr::eq(*one, own));
        let codings: Vec<&Json> =
            std::iter::once(own).chain(others.filter(|one| !is_of_fhir(one))).collect();
        let mut piece = self.coded(&codings, text(value, "text"))?;
        if text(own, "display").is_empty() && piece.text(9) == text(value, "text") {
            piece.set(2, text(value, "text"));
        }
        Some(piece)
    }

    /// XCN from a reference to a Practitioner, PractitionerRole or just a name.
    fn xcn(&self, at: At<'m>) -> Option<Piece> {
        let mut found = self.message.resolve(at.owner, at.value);
        if let Some(role) = found.filter(|found| kind(found) == "PractitionerRole") {
            found = self.message.follow(role, "practitioner").or(found);
        }
        let said = text(at.value, "type");
        let is_person = match found {
            Some(found) => matches!(kind(found), "Practitioner" | "PractitionerRole"),
            None => {
                let reference = text(at.value, "reference");
                matches!(said, "" | "Practitioner" | "PractitionerRole")
                    && !reference.contains("Organization/")
                    && !reference.contains("Device/")
            }
        };
        if !is_person {
            return None;
        }
        let mut piece = Piece::default();
        let identifier = found.and_then(|found| items(found, "identifier").next());
        let identifier = identifier.or_else(|| at.value.get("identifier"));
        if let Some(identifier) = identifier {
            piece.set(1, text(identifier, "value"));
            for (place, part) in self.authority(identifier).iter().enumerate() {
                piece.set_part(9, place + 1, part);
            }
            let typed = identifier.get("type").and_then(|kind| v2_code(kind, "0203"));
            piece.set(13, typed.unwrap_or_default());
        }
        let shown = text(at.value, "display");
        let names = || found.into_iter().flat_map(|found| items(found, "name"));
        // One number with two names: the reference says which of them is meant.
        let told = names().filter(|name| says(name, shown));
        let plainest = told.min_by_key(|name| name.as_object().map_or(0, serde_json::Map::len));
        let name = plainest.or_else(|| names().next());
        if let Some(name) = name.and_then(xpn) {
            for (from, to) in [(1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 10)] {
                piece.set(to, name.text(from));
            }
        } else {
            piece.set(2, text(at.value, "display"));
        }
        piece.filled()
    }

    /// The same as CNN, whose authority stands in components of its own.
    fn xcn_as_cnn(&self, at: At<'m>) -> Option<Piece> {
        let person = self.xcn(at)?;
        let mut piece = Piece::default();
        for component in 1..=7 {
            piece.set(component, person.text(component));
        }
        piece.set(9, person.text(9));
        piece.filled()
    }

    /// XON from a reference to an Organization.
    fn xon(&self, at: At<'m>) -> Option<Piece> {
        let found = self.message.resolve(at.owner, at.value);
        let is_one = match found {
            Some(found) => kind(found) == "Organization",
            None => {
                text(at.value, "type") == "Organization"
                    || text(at.value, "reference").contains("Organization/")
            }
        };
        if !is_one {
            return None;
        }
        let mut piece = Piece::of(&self.name_of(at)).unwrap_or_default();
        if let Some(identifier) = found.and_then(|found| items(found, "identifier").next()) {
            for (place, part) in self.authority(identifier).iter().enumerate() {
                piece.set_part(6, place + 1, part);
            }
            let typed = identifier.get("type").and_then(|kind| v2_code(kind, "0203"));
            piece.set(7, typed.unwrap_or_default());
            piece.set(10, text(identifier, "value"));
        }
        piece.filled()
    }

    /// PL from a reference to a Location: point of care, room and bed by the physical types on the way up.
    fn pl(&self, at: At<'m>) -> Option<Piece> {
        let mut piece = Piece::default();
        let mut place = self.message.resolve(at.owner, at.value);
        if place.is_none() {
            return Piece::of(text(at.value, "display"));
        }
        let mut chain: Vec<&Json> = Vec::new();
        while let Some(location) = place.filter(|_| chain.len() < PLACES_MAX) {
            chain.push(location);
            place = location.get("partOf").and_then(|reference| {
                let found = self.message.resolve(location, reference);
                found.or_else(|| self.message.resolve(at.owner, reference))
            });
        }
        for (depth, location) in chain.iter().enumerate() {
            level(location, chain.get(depth + 1..).unwrap_or_default(), &mut piece);
        }
        piece.filled()
    }
}

/// Whether a coding is what FHIR has for a code of HL7 v2.
fn is_of_fhir(coding: &Json) -> bool {
    let system = text(coding, "system");
    ["http://terminology.hl7.org/CodeSystem/v3-", "http://hl7.org/fhir/"]
        .into_iter()
        .chain(["http://terminology.hl7.org/CodeSystem/observation-"])
        .any(|start| system.starts_with(start))
}

/// Deepest chain of `Location.partOf` that is followed.
const PLACES_MAX: usize = 8;

/// One location into the component of its level, with what it is part of. A bed that carries the name of its
/// ward in front (`ICU R12 B3`) is taken apart.
fn level(location: &Json, above: &[&Json], piece: &mut Piece) {
    let code = |location: &Json| {
        let codings = location.pointer("/physicalType/coding").and_then(Json::as_array);
        codings
            .into_iter()
            .flatten()
            .map(|one| text(one, "code").to_owned())
            .next()
            .unwrap_or_default()
    };
    let name = text(location, "name");
    let within =
        above.iter().find_map(|outer| name.strip_prefix(text(outer, "name"))?.strip_prefix(' '));
    let own = within.unwrap_or(name);
    let put = |piece: &mut Piece, component: usize, name: &str| {
        if piece.text(component).is_empty() {
            piece.set(component, name);
        }
    };
    let alias = items(location, "alias").find_map(Json::as_str).filter(|alias| !alias.is_empty());
    // The name of a bed by itself, where its room stands before it.
    let after_room = alias.and_then(|bed| Some((own.strip_suffix(bed)?.trim_end(), bed)));
    match code(location).as_str() {
        "bd" if after_room.is_some() => {
            let (room, bed) = after_room.unwrap_or_default();
            put(piece, 3, bed);
            put(piece, 2, room);
        }
        "bd" => match own.rsplit_once(' ') {
            Some((room, bed))
                if within.is_some() && !above.iter().any(|outer| code(outer) == "ro") =>
            {
                put(piece, 3, bed);
                put(piece, 2, room);
            }
            _ => put(piece, 3, own),
        },
        "ro" => put(piece, 2, own),
        "si" => put(piece, 4, name),
        "bu" => put(piece, 7, name),
        "lvl" => put(piece, 8, name),
        _ => put(piece, 1, name),
    }
    let holder = location.pointer("/managingOrganization/display").and_then(Json::as_str);
    put(piece, 4, holder.unwrap_or_default());
    put(piece, 9, text(location, "description"));
}

/// A primitive as text.
fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        Json::Bool(yes) => yes.to_string(),
        _ => String::new(),
    }
}

/// What a concept says in words.
fn words(value: &Json) -> String {
    let shown = items(value, "coding").map(|coding| text(coding, "display"));
    let said = std::iter::once(text(value, "text")).chain(shown);
    said.into_iter().find(|text| !text.is_empty()).unwrap_or_default().to_owned()
}

/// OBX-7 from `Observation.referenceRange`: as written, else `3.5-5.1`, `>3.5`, `<5.1`.
fn range(value: &Json) -> String {
    let said = text(value, "text");
    if !said.is_empty() {
        return said.to_owned();
    }
    let end = |name: &str| value.pointer(&format!("/{name}/value")).map(plain);
    match (end("low"), end("high")) {
        (Some(low), Some(high)) => format!("{low}-{high}"),
        (Some(low), None) => format!(">={low}"),
        (None, Some(high)) => format!("<={high}"),
        (None, None) => String::new(),
    }
}
