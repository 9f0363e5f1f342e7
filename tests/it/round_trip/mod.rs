//! HL7 v2 → FHIR → HL7 v2: what the maps take out of an ADT or ORU message and can write again comes back,
//! at its place and with its meaning. Which fields these are is not written here: the maps say it while they
//! are applied. Meaning is what the maps make of a value, so that `202601140800` is `20260114080000+0800` and
//! a code is one of its synonyms.

mod losses;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use bytes::Bytes;
use medway::hl7::raw::{RawMessage, SegmentEnds};
use medway::mapping::to_fhir::time::SiteZone;
use medway::mapping::to_fhir::{self, Facts, NoMap, Used, maps};
use medway::mapping::to_v2::{self, Authority, Wanted};
use medway::message::id::MessageId;
use medway::message::time::Timestamp;
use serde_json::Value as Json;

use crate::hl7_corpus::corpus;
use crate::to_fhir::{event_of, messages};

/// Below this stand the authorities and coding systems that have no URI of their own.
const NAMESPACE: &str = "https://site.example/names/";

fn options() -> to_fhir::Options {
    to_fhir::Options {
        provenance: true,
        zone: SiteZone::parse("+08:00"),
        namespace: Some(NAMESPACE.into()),
        ..to_fhir::Options::default()
    }
}

fn facts() -> Facts {
    Facts { id: MessageId::from_bytes([7; 16]), received_at: Timestamp(1_770_000_000_000_000) }
}

fn traced(message: &RawMessage, event: &str) -> Result<(Json, Vec<Used>), NoMap> {
    let made = to_fhir::traced(maps::own(), message, event, &options(), facts());
    made.map(|(mapped, used)| (mapped.body, used))
}

/// The site's table, read backwards: what stands below the name space has the name it came with.
fn authorities(body: &Json, found: &mut HashMap<Box<str>, Authority>) {
    match body {
        Json::Array(items) => items.iter().for_each(|item| authorities(item, found)),
        Json::Object(members) => members.values().for_each(|value| authorities(value, found)),
        Json::String(uri) => {
            if let Some(name) = uri.strip_prefix(NAMESPACE) {
                let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
                let authority = Authority { name: (*name).into(), kind: "".into() };
                found.insert(uri.as_str().into(), authority);
            }
        }
        _ => {}
    }
}

/// What a repetition of a field says: its parts and what they mean.
type Said = BTreeSet<(usize, usize, String)>;
/// What a segment says: field and repetition, and what each says.
type Segment = BTreeMap<(usize, usize), Said>;

/// What came into resources, by segments, for the fields that can come back.
fn said(message: &RawMessage, used: &[Used]) -> BTreeMap<String, Vec<Segment>> {
    let fields = to_v2::fields();
    let mut by_index: BTreeMap<usize, Segment> = BTreeMap::new();
    for Used { place, value } in used {
        let id = <[u8; 3]>::try_from(message.segment(place.segment).unwrap().id).unwrap();
        if fields.contains(&(id, place.field)) {
            let segment = by_index.entry(place.segment).or_default();
            let said = segment.entry((place.field, place.repetition)).or_default();
            said.insert((place.component, place.subcomponent, meaning(value)));
        }
    }
    let mut by_name: BTreeMap<String, Vec<Segment>> = BTreeMap::new();
    for (index, segment) in by_index {
        let name = message.segment(index).unwrap().name().to_owned();
        by_name.entry(name).or_default().push(segment);
    }
    by_name
}

/// A value as it is compared: a line ends however it ends, and blanks before its end say nothing.
fn meaning(value: &Json) -> String {
    let mut text = value.to_string().replace("\\r\\n", "\\n");
    while text.contains(" \\n") {
        text = text.replace(" \\n", "\\n");
    }
    text
}

/// Fields that are one element of FHIR, and what decides which of them it comes back in.
const ONE_ELEMENT: &[(&str, usize, &str, usize, &str)] = &[
    ("PID", 13, "PID", 13, "a number and an address in one repetition are two contact points"),
    ("PID", 13, "PID", 14, "XTN.2 says what a number is for, as in PID-40, which replaces both"),
    ("PID", 14, "PID", 13, "XTN.2 says what a number is for, as in PID-40, which replaces both"),
    ("NK1", 5, "NK1", 5, "a number and an address in one repetition are two contact points"),
    ("NK1", 5, "NK1", 6, "XTN.2 says what a number is for, as in NK1-40, which replaces both"),
    ("NK1", 6, "NK1", 5, "XTN.2 says what a number is for, as in NK1-40, which replaces both"),
    ("DG1", 4, "DG1", 3, "words of a diagnosis without a code stand in both, DG1-3 is read first"),
    ("OBX", 15, "OBX", 23, "the laboratory stands in both, OBX-23 is read first"),
    ("ORC", 3, "OBR", 3, "the filler's number stands in both, OBR-3 is read first"),
    ("PV2", 12, "PV2", 3, "a reason in words stands in both, PV2-3 is read first"),
    ("PR1", 8, "PR1", 12, "R4 has one list of performers"),
    ("PR1", 11, "PR1", 12, "R4 has one list of performers"),
    ("IN1", 3, "IN1", 4, "the insurer stands in both, IN1-4 is read first"),
    ("OBR", 7, "OBX", 14, "an ADT message has no OBR: the time stands with what was observed"),
];

/// Whether a part came back in the other field of its element.
fn stands_elsewhere(
    (name, field): (&str, usize),
    value: &str,
    same: &Segment,
    all: &BTreeMap<String, Vec<Segment>>,
) -> bool {
    let holds = |segment: &Segment, wanted: usize| {
        let of_field = segment.iter().filter(|((field, _), _)| *field == wanted);
        of_field.flat_map(|(_, said)| said).any(|(_, _, own)| own == value)
    };
    ONE_ELEMENT.iter().filter(|row| row.0 == name && row.1 == field).any(|(_, _, other, to, _)| {
        let others = all.get(*other).map(Vec::as_slice).unwrap_or_default();
        if *other == name { holds(same, *to) } else { others.iter().any(|one| holds(one, *to)) }
    })
}

/// What of a repetition has no counterpart in the repetition of the field that is most like it.
fn missing<'s>(own: &'s Said, field: usize, other: &'s Segment) -> Vec<&'s (usize, usize, String)> {
    let same = other.iter().filter(|((number, _), _)| *number == field);
    // What stands at two places of a repetition may be written at one (CWE.2 and CWE.9).
    let has = |said: &Said, value: &String| said.iter().any(|(_, _, other)| other == value);
    let rests = same.map(|(_, said)| {
        own.difference(said).filter(|(_, _, value)| !has(said, value)).collect::<Vec<_>>()
    });
    rests.min_by_key(Vec::len).unwrap_or_else(|| own.iter().collect())
}

fn distance(own: &Segment, other: &Segment) -> usize {
    own.iter().map(|((field, _), said)| missing(said, *field, other).len()).sum()
}

/// A part that did not come back: `PID-3.4`, and what it meant.
#[derive(Debug, Clone)]
struct Lost {
    message: String,
    code: String,
    event: String,
    place: String,
    value: String,
}

/// One message there and back. Counts what could come back.
fn there_and_back(
    name: &str,
    bytes: &Bytes,
    lost: &mut Vec<Lost>,
    one_way: &mut BTreeSet<String>,
) -> Option<usize> {
    let message = RawMessage::parse(bytes.clone(), SegmentEnds::Lenient).expect("a message");
    let event = event_of(bytes);
    let (code, trigger) = event.split_once('^').unwrap_or((&event, ""));
    let wanted = match code {
        "ADT" if losses::EVENTS_ONE_WAY.contains(&trigger) => return None,
        "ADT" => Wanted::Adt,
        "ORU" => Wanted::Oru,
        _ => return None,
    };
    let (body, used) = traced(&message, &event).ok()?;
    // PCD-01: what hangs on what is in OBX-4, and only devices themselves can say it again.
    let is_of_devices = |entry: &Json| entry["resource"]["resourceType"] == "Device";
    if body["entry"].as_array().is_some_and(|entries| entries.iter().any(is_of_devices)) {
        return None;
    }
    let mut options = to_v2::Options { wanted, ..to_v2::Options::default() };
    authorities(&body, &mut options.authorities);
    let header = to_v2::Header { control_id: "C1", now: "20260114080000.000+0800" };
    for Used { place, .. } in &used {
        let segment = message.segment(place.segment).unwrap();
        let id = <[u8; 3]>::try_from(segment.id).unwrap();
        if !to_v2::fields().contains(&(id, place.field)) {
            one_way.insert(format!("{}-{}", segment.name(), place.field));
        }
    }
    let first = said(&message, &used);
    let total = first.values().flatten().flat_map(BTreeMap::values).map(BTreeSet::len).sum();
    let mut miss = |place: String, value: &str| {
        lost.push(Lost {
            message: name.to_owned(),
            code: code.to_owned(),
            event: trigger.to_owned(),
            place,
            value: value.to_owned(),
        });
    };
    let again = match to_v2::convert(&body, "", &options, header) {
        Ok(made) => RawMessage::parse(made.bytes, SegmentEnds::CrOnly).expect("a message"),
        Err(why) => {
            miss(format!("message: {why}"), "");
            return Some(total);
        }
    };
    let again_event = event_of(&Bytes::copy_from_slice(again.bytes()));
    let second = match traced(&again, &again_event) {
        Ok((_, used)) => said(&again, &used),
        Err(why) => {
            miss(format!("message: {why}"), "");
            return Some(total);
        }
    };
    for (name, segments) in &first {
        let mut others: Vec<&Segment> = second.get(name).into_iter().flatten().collect();
        for own in segments {
            let best = (0..others.len()).min_by_key(|at| distance(own, others[*at]));
            let nothing = Segment::new();
            let other = best.map_or(&nothing, |at| others.remove(at));
            for ((field, _), said) in own {
                for (component, part, value) in missing(said, *field, other) {
                    if stands_elsewhere((name, *field), value, other, &second) {
                        continue;
                    }
                    let mut place = format!("{name}-{field}");
                    for number in [component, part] {
                        if *number > 0 {
                            place.push_str(&format!(".{number}"));
                        }
                    }
                    miss(place, value);
                }
            }
        }
    }
    Some(total)
}

fn all() -> Vec<(String, Bytes)> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages");
    let folders = ["round_trip", "to_fhir", "views", "hl7"].map(|name| own.join(name));
    folders.into_iter().chain(corpus("hl7v2")).flat_map(|folder| messages(&folder)).collect()
}

#[test]
fn what_is_mapped_comes_back_from_fhir() {
    let (mut lost, mut values, mut count) = (Vec::new(), 0_usize, 0_usize);
    let mut one_way = BTreeSet::new();
    for (name, bytes) in all() {
        if let Some(total) = there_and_back(&name, &bytes, &mut lost, &mut one_way) {
            values += total;
            count += 1;
        }
    }
    let whole = corpus("hl7v2").is_some();
    let unexplained = losses::unexplained(&lost, whole);
    assert!(
        unexplained.is_empty(),
        "{} of {values} values of {count} messages:\n{}",
        unexplained.len(),
        unexplained.join("\n")
    );
    let listed: BTreeSet<_> =
        losses::ONE_WAY.iter().map(|(field, _)| (*field).to_owned()).collect();
    let unlisted: Vec<_> = one_way.difference(&listed).collect();
    assert!(unlisted.is_empty(), "these become FHIR and do not come back: {unlisted:?}");
    let stale: Vec<_> = listed.difference(&one_way).filter(|_| whole).collect();
    assert!(stale.is_empty(), "these come back or are in no message: {stale:?}");
    assert!(count > 20 && values > 600, "{values} values of {count} messages were compared");
}
