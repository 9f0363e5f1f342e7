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
            said.insert((place.component, place.subcomponent, value.to_string()));
        }
    }
    let mut by_name: BTreeMap<String, Vec<Segment>> = BTreeMap::new();
    for (index, segment) in by_index {
        let name = message.segment(index).unwrap().name().to_owned();
        by_name.entry(name).or_default().push(segment);
    }
    by_name
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
fn there_and_back(name: &str, bytes: &Bytes, lost: &mut Vec<Lost>) -> Option<usize> {
    let message = RawMessage::parse(bytes.clone(), SegmentEnds::Lenient).expect("a message");
    let event = event_of(bytes);
    let (code, trigger) = event.split_once('^').unwrap_or((&event, ""));
    let wanted = match code {
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
    for (name, bytes) in all() {
        if let Some(total) = there_and_back(&name, &bytes, &mut lost) {
            values += total;
            count += 1;
        }
    }
    let unexplained = losses::unexplained(&lost, corpus("hl7v2").is_some());
    assert!(
        unexplained.is_empty(),
        "{} of {values} values of {count} messages:\n{}",
        unexplained.len(),
        unexplained.join("\n")
    );
    assert!(count > 20 && values > 600, "{values} values of {count} messages were compared");
}
