//! What an expression may read: one message, seen from one of its segments, and what is known of it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use crate::channel::expr::eval::Unmapped;
use crate::channel::reference::Reference;
use crate::fhir::view::Resources;
use crate::hl7::path::{Path, Which};
use crate::hl7::raw::{RawMessage, SegmentRef};
use crate::hl7::value::Value as Hl7Value;
use crate::message::kind::Kind;
use crate::message::time::Timestamp;
use crate::message::verdict::RenderProblem;
use crate::message::view::names;

/// A message as it can be read.
#[derive(Debug, Clone, Copy)]
pub enum Message<'m> {
    /// HL7 v2.
    Hl7(&'m RawMessage),
    /// JSON.
    Json(&'m serde_json::Value),
    /// Text or bytes: nothing to read.
    Opaque,
}

/// What is known of a message besides its content.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What it is about.
    pub kind: Kind,
    /// Type and event.
    pub event: Arc<str>,
    /// The channel whose source received it.
    pub channel: Arc<str>,
    /// When it was received; not known while it is judged without need.
    pub received_at: Timestamp,
}

/// A lookup that found no row.
#[derive(Clone, PartialEq, Eq)]
pub struct Miss {
    /// The lookup as written.
    pub written: Arc<str>,
    /// The table.
    pub table: Arc<str>,
    /// What was looked up. Message content.
    pub key: String,
    /// The row that was probably meant. A table's content, no message's.
    pub nearest: Option<String>,
}

impl std::fmt::Debug for Miss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Miss({})", self.written)
    }
}

/// What an evaluation noticed.
#[derive(Debug)]
pub struct Notes {
    /// What to do with a lookup that finds no row.
    pub unmapped: Unmapped,
    /// Lookups that found no row, where that stops the delivery.
    pub misses: RefCell<Vec<Miss>>,
    /// Whatever else stops the delivery until a person has looked.
    pub problems: RefCell<Vec<RenderProblem>>,
}

impl Notes {
    /// Nothing noticed yet.
    #[must_use]
    pub const fn new(unmapped: Unmapped) -> Self {
        Self { unmapped, misses: RefCell::new(Vec::new()), problems: RefCell::new(Vec::new()) }
    }

    /// For conditions: a code without a row is compared as it is.
    #[must_use]
    pub const fn passing() -> Self {
        Self::new(Unmapped::Pass)
    }

    /// Whether nothing was noticed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.misses.borrow().is_empty() && self.problems.borrow().is_empty()
    }

    /// Whether a code without a row stops the delivery; `note` describes it then.
    pub fn unmapped(&self, policy: &Unmapped, note: impl FnOnce() -> Miss) {
        if matches!(policy, Unmapped::Hold | Unmapped::Reject) {
            self.misses.borrow_mut().push(note());
        }
    }
}

/// The segment that `each` or `any … has` looks at.
#[derive(Debug, Clone, Copy)]
struct Frame {
    id: [u8; 3],
    index: usize,
    end: usize,
}

/// What an expression may read.
#[derive(Clone)]
pub struct Scope<'m> {
    /// The message.
    pub message: Message<'m>,
    /// What is known of it.
    pub facts: &'m Facts,
    /// What the evaluation notices.
    pub notes: &'m Notes,
    frame: Option<Frame>,
}

/// What stands at a place.
#[derive(Debug, Clone, PartialEq)]
pub enum Val<'v> {
    /// Absent or empty.
    Empty,
    /// HL7's `""`.
    Null,
    /// Text.
    Text(Cow<'v, str>),
    /// Several.
    List(Vec<Self>),
    /// Something with a structure, for JSON.
    Json(serde_json::Value),
    /// A FHIR element with parts: for JSON all of it, for text its first leaf.
    Element(serde_json::Value),
}

/// Comments and participations belong to the segment before them and to no other.
const BOUND_TO_THEIR_SEGMENT: [&[u8]; 2] = [b"NTE", b"PRT"];

/// How deep a segment stands, for those that open groups; the group of one ends where the next of its
/// rank or above begins.
fn rank(id: &[u8]) -> Option<u8> {
    match id {
        b"MSH" => Some(0),
        b"PID" => Some(1),
        b"PV1" => Some(2),
        b"ORC" => Some(3),
        b"OBR" | b"RXA" | b"RXE" => Some(4),
        b"SPM" => Some(5),
        b"OBX" => Some(6),
        _ => None,
    }
}

impl<'m> Scope<'m> {
    /// The whole message.
    #[must_use]
    pub fn new(message: Message<'m>, facts: &'m Facts, notes: &'m Notes) -> Self {
        Self { message, facts, notes, frame: None }
    }

    /// The same place of another message: a working copy that steps have changed.
    #[must_use]
    pub fn of<'n>(&self, message: Message<'n>) -> Scope<'n>
    where
        'm: 'n,
    {
        Scope { message, facts: self.facts, notes: self.notes, frame: self.frame }
    }

    /// One scope for each segment of a name, within the group of the segment looked at.
    pub fn each(&self, id: [u8; 3]) -> Vec<Self> {
        let Message::Hl7(raw) = self.message else { return Vec::new() };
        let (from, to) = match self.frame {
            Some(frame) if frame.id != id => (frame.index + 1, frame.end),
            _ => (0, raw.segments().len()),
        };
        let within = raw.segments().skip(from).take(to.saturating_sub(from));
        within
            .filter(|segment| segment.id == id)
            .map(|segment| {
                let end = group_end(raw, id, segment.index);
                let frame = Frame { id, index: segment.index, end };
                Self { frame: Some(frame), ..self.clone() }
            })
            .collect()
    }

    /// Which of the segments of its name the one looked at is, from 0.
    #[must_use]
    pub fn occurrence(&self) -> Option<usize> {
        let (Message::Hl7(raw), Some(frame)) = (self.message, self.frame) else { return None };
        Some(raw.segments().take(frame.index).filter(|segment| segment.id == frame.id).count())
    }

    /// The scope of one segment, by its name and which of its kind it is, from 0. Unchanged when there
    /// is no such segment.
    #[must_use]
    pub fn enter(mut self, id: [u8; 3], nth: usize) -> Self {
        if let Message::Hl7(raw) = self.message
            && let Some(segment) = raw.segments().filter(|segment| segment.id == id).nth(nth)
        {
            let end = group_end(raw, id, segment.index);
            self.frame = Some(Frame { id, index: segment.index, end });
        }
        self
    }

    /// The segment a path means from the one looked at; nothing: the path says it by itself.
    #[must_use]
    pub fn segment_index(&self, path: &Path) -> Option<usize> {
        let Message::Hl7(raw) = self.message else { return None };
        match self.chosen(raw, path) {
            Chosen::Segment(segment) => Some(segment.index),
            Chosen::Nothing | Chosen::Everywhere => None,
        }
    }

    /// Every single place that a path names, each in its segment: `[*]` is as many as there are. The
    /// paths go down to the first leaf, so that writing there leaves what stands beside it.
    #[must_use]
    pub fn places(&self, path: &Path) -> Vec<(Option<usize>, Path)> {
        let (Message::Hl7(raw), Some(field)) = (self.message, path.field()) else {
            return Vec::new();
        };
        let segments: Vec<SegmentRef<'m>> = match (self.chosen(raw, path), path.occurrence()) {
            (Chosen::Segment(segment), _) => vec![segment],
            (Chosen::Nothing, _) => Vec::new(),
            (Chosen::Everywhere, Which::All) => {
                raw.segments().filter(|segment| segment.id == path.segment_bytes()).collect()
            }
            (Chosen::Everywhere, Which::Nth(nth)) => {
                let nth = usize::try_from(nth.get()).unwrap_or(usize::MAX).saturating_sub(1);
                let mut named = raw.segments().filter(|s| s.id == path.segment_bytes());
                named.nth(nth).into_iter().collect()
            }
            (Chosen::Everywhere, _) => {
                raw.segments().find(|s| s.id == path.segment_bytes()).into_iter().collect()
            }
        };
        let component = field.component.map_or(1, std::num::NonZeroU32::get);
        let below = field.subcomponent.map_or(1, std::num::NonZeroU32::get);
        let mut places = Vec::new();
        for segment in segments {
            let number = usize::try_from(field.number.get()).unwrap_or(usize::MAX);
            let count = segment.part_of_each(number, 1).len();
            let repetitions: Vec<String> = match &field.repetition {
                Which::All => (1..=count).map(|n| format!("[{n}]")).collect(),
                which => vec![which.to_string()],
            };
            for repetition in repetitions {
                let text = format!("{}-{number}{repetition}.{component}.{below}", path.segment());
                if let Ok(path) = Path::parse(&text) {
                    places.push((Some(segment.index), path));
                }
            }
        }
        places
    }

    /// What stands at a path in one segment.
    #[must_use]
    pub fn read_in(&self, index: Option<usize>, path: &Path) -> Val<'m> {
        let Message::Hl7(raw) = self.message else { return Val::Empty };
        match index {
            Some(index) => val(raw, &raw.get_in(index, path)),
            None => val(raw, &self.value(path)),
        }
    }

    /// What stands at a place.
    #[must_use]
    pub fn read(&self, reference: &Reference) -> Val<'m> {
        match (reference, self.message) {
            (Reference::Hl7(path), Message::Hl7(raw)) if path.is_plural() => {
                list(self.values(path).iter().map(|value| val(raw, value)).collect())
            }
            (Reference::Hl7(path), Message::Hl7(raw)) => val(raw, &self.value(path)),
            (Reference::View(name), Message::Hl7(raw)) => {
                names::get(raw, name).map_or(Val::Empty, |text| Val::Text(text.into()))
            }
            (Reference::View(name), Message::Json(document)) => {
                let found = names::get(&Resources::of(document, &self.facts.event), name);
                found.map_or(Val::Empty, |text| Val::Text(text.into()))
            }
            (Reference::Json(path), Message::Json(document)) => {
                let found: Vec<Val<'m>> = path.read(document).into_iter().map(from_json).collect();
                list(found)
            }
            (Reference::Fhir(path), Message::Json(document)) => {
                list(path.read(document).into_iter().map(from_fhir).collect())
            }
            _ => Val::Empty,
        }
    }

    /// What stands at an HL7 path; of several, the first.
    #[must_use]
    pub fn value(&self, path: &Path) -> Hl7Value<'m> {
        let Message::Hl7(raw) = self.message else { return Hl7Value::Absent };
        match self.chosen(raw, path) {
            Chosen::Segment(segment) => segment.get(path),
            Chosen::Nothing => Hl7Value::Absent,
            Chosen::Everywhere => raw.get(path),
        }
    }

    /// All that stands at an HL7 path.
    #[must_use]
    pub fn values(&self, path: &Path) -> Vec<Hl7Value<'m>> {
        let Message::Hl7(raw) = self.message else { return Vec::new() };
        match (self.chosen(raw, path), path.field()) {
            (Chosen::Segment(segment), Some(field)) => {
                segment.ranges(field).into_iter().map(|range| segment.value(field, range)).collect()
            }
            (Chosen::Segment(segment), None) => vec![segment.get(path)],
            (Chosen::Nothing, _) => Vec::new(),
            (Chosen::Everywhere, _) => raw.all(path),
        }
    }

    /// The segment a path means from here: the one looked at; one of its group; else the last before it.
    fn chosen(&self, raw: &'m RawMessage, path: &Path) -> Chosen<'m> {
        let Some(frame) = self.frame.filter(|_| *path.occurrence() == Which::Unsaid) else {
            return Chosen::Everywhere;
        };
        let id = path.segment_bytes();
        let found = if id == frame.id {
            raw.segment(frame.index)
        } else {
            let own = (frame.index + 1..frame.end).filter_map(|index| raw.segment(index));
            own.into_iter().find(|segment| segment.id == id).or_else(|| {
                let bound = BOUND_TO_THEIR_SEGMENT.contains(&id);
                let before = (0..frame.index).rev().filter(|_| !bound);
                before.filter_map(|index| raw.segment(index)).find(|segment| segment.id == id)
            })
        };
        match found {
            Some(segment) => Chosen::Segment(segment),
            None if BOUND_TO_THEIR_SEGMENT.contains(&id) => Chosen::Nothing,
            None => Chosen::Everywhere,
        }
    }
}

enum Chosen<'m> {
    Segment(SegmentRef<'m>),
    Nothing,
    Everywhere,
}

fn group_end(raw: &RawMessage, id: [u8; 3], index: usize) -> usize {
    let own = rank(&id);
    let mut after = raw.segments().skip(index + 1);
    let next = after.find(|segment| {
        segment.id == id
            || match (own, rank(segment.id)) {
                (Some(own), Some(other)) => other <= own,
                (None, Some(_)) => true,
                (_, None) => false,
            }
    });
    next.map_or(raw.segments().len(), |segment| segment.index)
}

fn val<'m>(raw: &RawMessage, value: &Hl7Value<'m>) -> Val<'m> {
    match value {
        Hl7Value::Absent | Hl7Value::Empty => Val::Empty,
        Hl7Value::Null => Val::Null,
        Hl7Value::Text(_) => text_or_empty(value.text(raw.charset())),
    }
}

fn text_or_empty(text: Cow<'_, str>) -> Val<'_> {
    if text.is_empty() { Val::Empty } else { Val::Text(text) }
}

fn from_json(value: &serde_json::Value) -> Val<'_> {
    match value {
        serde_json::Value::Null => Val::Null,
        serde_json::Value::String(text) => text_or_empty(Cow::Borrowed(text)),
        serde_json::Value::Array(items) => list(items.iter().map(from_json).collect()),
        other => Val::Json(other.clone()),
    }
}

fn from_fhir(value: Cow<'_, serde_json::Value>) -> Val<'_> {
    match value {
        Cow::Borrowed(serde_json::Value::String(text)) => text_or_empty(Cow::Borrowed(text)),
        Cow::Owned(serde_json::Value::String(text)) => text_or_empty(Cow::Owned(text)),
        value if value.is_object() || value.is_array() => Val::Element(value.into_owned()),
        value => Val::Json(value.into_owned()),
    }
}

/// The parts that stand for an element where one text is wanted, most telling first: of a Quantity its value,
/// of a `CodeableConcept` its first code, of a Reference what it refers to, of a Period its start.
const LEAVES: [&str; 14] = [
    "value",
    "code",
    "coding",
    "reference",
    "start",
    "family",
    "given",
    "line",
    "text",
    "display",
    "city",
    "url",
    "identifier",
    "name",
];

/// Deepest element whose first leaf is looked for.
const LEAF_DEPTH_MAX: usize = 4;

/// The text that stands for an element, as the first leaf stands for a field of HL7 v2.
fn leaf(element: &serde_json::Value, depth: usize) -> Cow<'_, str> {
    match element {
        serde_json::Value::String(text) => Cow::Borrowed(text),
        serde_json::Value::Number(_) | serde_json::Value::Bool(_) => {
            Cow::Owned(element.to_string())
        }
        serde_json::Value::Null => Cow::Borrowed(""),
        _ if depth >= LEAF_DEPTH_MAX => Cow::Borrowed(""),
        serde_json::Value::Array(items) => {
            items.first().map_or(Cow::Borrowed(""), |first| leaf(first, depth + 1))
        }
        serde_json::Value::Object(parts) => LEAVES
            .iter()
            .filter_map(|name| parts.get(*name))
            .map(|part| leaf(part, depth + 1))
            .find(|text| !text.is_empty())
            .unwrap_or(Cow::Borrowed("")),
    }
}

fn list(mut values: Vec<Val<'_>>) -> Val<'_> {
    match values.len() {
        0 => Val::Empty,
        1 => values.pop().unwrap_or(Val::Empty),
        _ => Val::List(values),
    }
}

impl<'v> Val<'v> {
    /// The text a reader of text sees: of several, the first that is not empty; null and empty are "".
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Empty | Self::Null => Cow::Borrowed(""),
            Self::Text(text) => Cow::Borrowed(text),
            Self::List(members) => members
                .iter()
                .map(Val::text)
                .find(|text| !text.is_empty())
                .unwrap_or(Cow::Borrowed("")),
            Self::Json(serde_json::Value::String(text)) => Cow::Borrowed(text),
            Self::Json(serde_json::Value::Null) => Cow::Borrowed(""),
            Self::Json(other) => Cow::Owned(other.to_string()),
            Self::Element(element) => leaf(element, 0),
        }
    }

    /// The members of a list; any other value as its only member; nothing when it is empty.
    #[must_use]
    pub fn members(&self) -> Vec<&Self> {
        match self {
            Self::Empty => Vec::new(),
            Self::List(members) => members.iter().flat_map(Val::members).collect(),
            other => vec![other],
        }
    }

    /// Whether it says nothing. Null says something.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Null => false,
            Self::Text(text) => text.is_empty(),
            Self::List(members) => members.iter().all(Val::is_empty),
            Self::Json(value) => value.as_str().is_some_and(str::is_empty),
            Self::Element(_) => false,
        }
    }

    /// A text, or empty.
    #[must_use]
    pub fn of(text: impl Into<Cow<'v, str>>) -> Self {
        text_or_empty(text.into())
    }

    /// As JSON: nothing when empty, `null` when null.
    #[must_use]
    pub fn into_json(self) -> Option<serde_json::Value> {
        match self {
            Self::Empty => None,
            Self::Null => Some(serde_json::Value::Null),
            Self::Text(text) => Some(serde_json::Value::String(text.into_owned())),
            Self::List(members) => {
                let members: Vec<_> = members.into_iter().filter_map(Val::into_json).collect();
                (!members.is_empty()).then_some(serde_json::Value::Array(members))
            }
            Self::Json(value) | Self::Element(value) => Some(value),
        }
    }
}
