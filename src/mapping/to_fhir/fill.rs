//! Applies maps to one message: first which resources there are and what identifies them, then what
//! stands in them, so that any may refer to any.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::hl7::raw::RawMessage;
use crate::hl7::time::Zone;
use crate::mapping::to_fhir::groups::Groups;
use crate::mapping::to_fhir::identity;
use crate::mapping::to_fhir::insert::{Labels, ends_too_early, insert};
use crate::mapping::to_fhir::language::{Convert, Item, Row, Source};
use crate::mapping::to_fhir::maps::{Each, Maps, MessageMap, RowMap, Rule};
use crate::mapping::to_fhir::piece::{Fields, Piece, Place};
use crate::mapping::to_fhir::{Notice, NoticeKind, Options, Used};

/// Most maps within maps.
const DEPTH_MAX: usize = 24;

/// A resource that is being made.
pub(super) struct Made {
    pub(super) kind: Box<str>,
    pub(super) id: Uuid,
    pub(super) body: Map<String, Json>,
    /// Made in passing: the message is about something else.
    pub(super) context: bool,
    /// Elements that the message says are to be removed.
    pub(super) removed: Vec<String>,
}

/// What a row reads.
#[derive(Clone)]
pub(super) enum Thing<'m> {
    Piece(Piece<'m>),
    Segment(usize),
    Text(String),
    /// By its number among those made.
    Resource(usize),
}

/// From where a row reads.
#[derive(Clone)]
pub(super) struct Frame<'m> {
    pub(super) group: usize,
    pub(super) segment: Option<usize>,
    pub(super) piece: Option<Piece<'m>>,
    pub(super) arguments: Vec<Box<str>>,
    /// The resource whose own rows these are.
    pub(super) resource: Option<usize>,
    pub(super) depth: usize,
}

/// Where a name of a resource is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Known {
    Group(usize),
    Segment(usize),
}

/// What applies the maps.
pub(super) struct Filler<'m> {
    pub(super) maps: &'m Maps,
    pub(super) message: &'m RawMessage,
    pub(super) options: &'m Options,
    pub(super) event: &'m str,
    pub(super) made: Vec<Made>,
    pub(super) notices: Vec<Notice>,
    /// The zone that MSH-7 carries: that of every time without one (HL7 v2.5.1 §2.A.22).
    pub(super) zone: Zone,
    pub(super) groups: Groups,
    pub(super) fields: Fields<'m>,
    /// What of the message came into resources, when somebody wants to know.
    pub(super) used: Option<Vec<Used>>,
    by_id: HashMap<Uuid, usize>,
    pub(super) named: HashMap<(Known, Box<str>), Vec<usize>>,
}

impl<'m> Filler<'m> {
    pub(super) fn new(
        maps: &'m Maps,
        map: &MessageMap,
        message: &'m RawMessage,
        event: &'m str,
        options: &'m Options,
    ) -> Self {
        Self {
            maps,
            message,
            options,
            event,
            made: Vec::new(),
            notices: Vec::new(),
            zone: super::time::zone_of_header(message),
            groups: Groups::read(&map.groups, message),
            fields: Fields::read(message),
            used: None,
            by_id: HashMap::new(),
            named: HashMap::new(),
        }
    }

    /// The frame of the whole message.
    pub(super) const fn root() -> Frame<'m> {
        Frame {
            group: 0,
            segment: None,
            piece: None,
            arguments: Vec::new(),
            resource: None,
            depth: 0,
        }
    }

    /// Makes everything that the map of the message says.
    pub(super) fn run(&mut self, map: &'m MessageMap) {
        let mut planned = Vec::new();
        for rule in &map.resources {
            for frame in self.frames(&rule.each) {
                if self.holds(&rule.when, &frame)
                    && let Some(made) = self.plan(rule, &frame)
                {
                    planned.push((rule, made, frame));
                }
            }
        }
        for (rule, made, frame) in planned {
            self.fill_rule(rule, made, &frame);
        }
    }

    fn fill_rule(&mut self, rule: &Rule, number: usize, frame: &Frame<'m>) {
        let frame = Frame { resource: Some(number), ..frame.clone() };
        let mut body = self.take_body(number);
        let maps = self.maps;
        for name in &rule.maps {
            if let Some(map) = maps.map(name) {
                self.fill(&map.rows, &frame, &mut body);
            }
        }
        self.put_body(number, body);
    }

    fn take_body(&mut self, number: usize) -> Map<String, Json> {
        self.made.get_mut(number).map(|made| std::mem::take(&mut made.body)).unwrap_or_default()
    }

    fn put_body(&mut self, number: usize, body: Map<String, Json>) {
        if let Some(made) = self.made.get_mut(number) {
            made.body = body;
        }
    }

    fn frames(&self, each: &Each) -> Vec<Frame<'m>> {
        let of = |group, segment| Frame { group, segment, ..Self::root() };
        let groups = self.groups.0.iter().enumerate();
        match each {
            Each::Message => vec![Self::root()],
            Each::Group(kind) => groups
                .filter(|(_, group)| group.kind == *kind)
                .map(|(number, _)| of(number, None))
                .collect(),
            Each::Segment(id) => {
                let mut frames: Vec<Frame<'m>> = groups
                    .flat_map(|(number, group)| group.segments.iter().map(move |s| (number, *s)))
                    .filter(|(_, segment)| self.is_segment(*segment, *id))
                    .map(|(number, segment)| of(number, Some(segment)))
                    .collect();
                frames.sort_by_key(|frame| frame.segment);
                frames
            }
        }
    }

    /// Gives a resource its id and makes its name known where it stands.
    fn plan(&mut self, rule: &Rule, frame: &Frame<'m>) -> Option<usize> {
        let identity = match self.identity(&rule.identity, frame) {
            Some(identity) => identity,
            None if rule.of_message => {
                format!("{}\u{1f}{}", self.identity_of_message(), rule.name)
            }
            None => return None,
        };
        let mut id = identity::id(&rule.resource, &identity);
        let mut repeated = 1_usize;
        while !rule.shared && self.by_id.contains_key(&id) {
            repeated = repeated.saturating_add(1);
            id = identity::id(&rule.resource, &format!("{identity}\u{1f}#{repeated}"));
        }
        let number = self.allocate(&rule.resource, id);
        if let Some(made) = self.made.get_mut(number).filter(|_| !rule.context) {
            made.context = false;
        }
        let known = [Some(Known::Group(frame.group)), frame.segment.map(Known::Segment)];
        for known in known.into_iter().flatten() {
            self.named.entry((known, rule.name.clone())).or_default().push(number);
        }
        Some(number)
    }

    fn allocate(&mut self, kind: &str, id: Uuid) -> usize {
        if let Some(known) = self.by_id.get(&id) {
            return *known;
        }
        let number = self.made.len();
        let mut body = Map::new();
        body.insert("resourceType".to_owned(), kind.into());
        self.made.push(Made { kind: kind.into(), id, body, context: true, removed: Vec::new() });
        self.by_id.insert(id, number);
        number
    }

    /// What tells this message from every other of its sender.
    fn identity_of_message(&self) -> String {
        let fields = [3, 4, 7, 10].map(|number| self.header(number, 1));
        fields.map(Option::unwrap_or_default).join("\u{1f}")
    }

    /// A component of the header.
    pub(super) fn header(&self, field: usize, component: usize) -> Option<String> {
        let header = self.message.segments().find(|segment| segment.id == b"MSH")?;
        let first = self.fields.repetitions(header.index, field).into_iter().next()?;
        if field <= 2 { first.text() } else { first.part(component).text() }
    }

    /// The facility that sent, else the application.
    pub(super) fn sender(&self) -> String {
        self.header(4, 1).or_else(|| self.header(3, 1)).unwrap_or_default()
    }

    pub(super) fn is_segment(&self, index: usize, id: [u8; 3]) -> bool {
        self.fields.is_segment(index, id)
    }

    /// Applies rows. Answers whether anything of the message came in, not only texts of the map.
    pub(super) fn fill(
        &mut self,
        rows: &[Row],
        frame: &Frame<'m>,
        base: &mut Map<String, Json>,
    ) -> bool {
        let mut labels = Labels::new();
        let mut says = false;
        for row in rows {
            if self.holds(&row.when, frame) {
                says |= self.fill_row(row, frame, base, &mut labels);
            }
        }
        says
    }

    fn fill_row(
        &mut self,
        row: &Row,
        frame: &Frame<'m>,
        base: &mut Map<String, Json>,
        labels: &mut Labels,
    ) -> bool {
        let things = self.find(&row.sources, frame);
        let things = self.without_nulls(things, row, frame);
        if things.is_empty() {
            return false;
        }
        let of_message = !matches!(row.sources.as_slice(), [Source::Literal(_)]);
        if let Some(convert) = &row.convert
            && let Some(done) = self.convert_all(convert, &things, frame, base)
        {
            let Some(value) = done else {
                if self.used.is_some() {
                    let is_value = |name: &str| name.starts_with("value") || name == "component";
                    let made = base.iter().filter(|(name, _)| is_value(name));
                    let made = made.map(|(name, value)| (name.clone(), value.clone())).collect();
                    self.note_use(things.first(), &Json::Object(made));
                }
                return of_message;
            };
            let before = self.used.as_ref().map_or(0, Vec::len);
            self.note_use(things.first(), &value);
            let wrote = insert(base, &row.target, value, labels);
            if let (false, Some(used)) = (wrote, &mut self.used) {
                used.truncate(before);
            }
            return wrote && of_message;
        }
        let each = row.target.iter().any(|step| step.item == Item::New);
        let mut says = false;
        let is_leaf = row.convert.as_ref().is_none_or(|own| self.maps.map(&own.name).is_none());
        for thing in &things {
            let before = self.used.as_ref().map_or(0, Vec::len);
            let wrote = match &row.convert {
                Some(convert) if row.target.is_empty() => {
                    self.convert_into(convert, thing, frame, base)
                }
                convert => {
                    let value = match convert {
                        Some(convert) => self.convert(convert, thing, frame),
                        None => self.plain(thing),
                    };
                    if let (Some(value), true) = (&value, is_leaf) {
                        self.note_use(Some(thing), value);
                    }
                    value.is_some_and(|value| insert(base, &row.target, value, labels))
                }
            };
            let early = wrote && ends_too_early(base, &row.target);
            if early {
                let what = "is before the beginning of its period";
                self.cannot(NoticeKind::Unreadable, thing, what, "");
            }
            // What was made and then not put anywhere did not come into a resource.
            if let (true, Some(used)) = (early || !wrote, &mut self.used) {
                used.truncate(before);
            }
            says |= wrote && of_message;
            if wrote && !each {
                break;
            }
        }
        says
    }

    /// Remembers that a part of the message came into a resource, and as what.
    fn note_use(&mut self, thing: Option<&Thing<'m>>, value: &Json) {
        if let (Some(used), Some(Thing::Piece(piece))) = (&mut self.used, thing) {
            used.push(Used { place: piece.place(), value: value.clone() });
        }
    }

    /// `""` says that an element is to be removed; it is noted on the resource and has no value.
    fn without_nulls(
        &mut self,
        things: Vec<Thing<'m>>,
        row: &Row,
        frame: &Frame<'m>,
    ) -> Vec<Thing<'m>> {
        let is_null = |thing: &Thing<'m>| matches!(thing, Thing::Piece(piece) if piece.is_null());
        if !things.iter().any(is_null) {
            return things;
        }
        let made = frame.resource.and_then(|number| self.made.get_mut(number));
        if let (Some(made), Some(step)) = (made, row.target.first()) {
            let path: Vec<&str> = row.target.iter().map(|step| &*step.name).collect();
            let within_list = row.target.iter().any(|step| step.item != Item::Only);
            let path = if within_list { step.name.to_string() } else { path.join(".") };
            if !path.starts_with('_') && !made.removed.contains(&path) {
                made.removed.push(path);
            }
        }
        things.into_iter().filter(|thing| !is_null(thing)).collect()
    }

    /// A value by a map or by one of the built-in conversions.
    pub(super) fn convert(
        &mut self,
        convert: &Convert,
        thing: &Thing<'m>,
        frame: &Frame<'m>,
    ) -> Option<Json> {
        let maps = self.maps;
        let Some(map) = maps.map(&convert.name) else {
            return self.built_in(convert, thing, frame);
        };
        let frame = self.inner(convert, thing, frame)?;
        if !self.holds(&map.needs, &frame) {
            return None;
        }
        if let Some(resource) = &map.resource {
            return self.referred(resource, map, &frame);
        }
        let mut made = Map::new();
        self.fill(&map.rows, &frame, &mut made).then_some(Json::Object(made))
    }

    /// The same, into what there is.
    fn convert_into(
        &mut self,
        convert: &Convert,
        thing: &Thing<'m>,
        frame: &Frame<'m>,
        base: &mut Map<String, Json>,
    ) -> bool {
        let maps = self.maps;
        let Some(map) = maps.map(&convert.name) else {
            let made = self.built_in(convert, thing, frame);
            let Some(Json::Object(made)) = made else { return false };
            if self.used.is_some() {
                self.note_use(Some(thing), &Json::Object(made.clone()));
            }
            for (name, value) in made {
                base.entry(name).or_insert(value);
            }
            return true;
        };
        let Some(frame) = self.inner(convert, thing, frame) else { return false };
        self.holds(&map.needs, &frame) && self.fill(&map.rows, &frame, base)
    }

    /// The frame of a map that is applied to a thing.
    fn inner(&self, convert: &Convert, thing: &Thing<'m>, frame: &Frame<'m>) -> Option<Frame<'m>> {
        if frame.depth >= DEPTH_MAX {
            return None;
        }
        let argument = |text: &str| with_arguments(text, &frame.arguments).into();
        let arguments = convert.arguments.iter().map(|text| argument(text)).collect();
        let mut inner = Frame {
            arguments,
            resource: None,
            depth: frame.depth.saturating_add(1),
            ..frame.clone()
        };
        match thing {
            Thing::Piece(piece) => inner.piece = Some(*piece),
            Thing::Segment(index) => {
                inner.segment = Some(*index);
                inner.group = self.group_of(*index).unwrap_or(frame.group);
            }
            Thing::Text(_) | Thing::Resource(_) => {}
        }
        Some(inner)
    }

    pub(super) fn group_of(&self, segment: usize) -> Option<usize> {
        self.groups.0.iter().position(|group| group.segments.contains(&segment))
    }

    /// A resource of its own for what is said in passing (a practitioner in PV1-7), and the reference to
    /// it; without an identity only what people read.
    fn referred(&mut self, resource: &str, map: &RowMap, frame: &Frame<'m>) -> Option<Json> {
        let texts = map.display.iter().flat_map(|source| self.find_one(source, frame));
        let texts: Vec<String> = texts
            .filter_map(|thing| match thing {
                Thing::Piece(piece) => piece.text(),
                _ => None,
            })
            .collect();
        let Some(identity) = self.identity(&map.identity, frame) else {
            return (!texts.is_empty()).then(|| serde_json::json!({ "display": texts.join(" ") }));
        };
        let id = identity::id(resource, &identity);
        let number = self.allocate(resource, id);
        let mut body = self.take_body(number);
        self.fill(&map.rows, frame, &mut body);
        // One number with two names: the reference keeps the one that was meant here.
        let names = body.get("name").and_then(Json::as_array).map_or(0, Vec::len);
        self.put_body(number, body);
        let mut reference = self.reference(number)?;
        if let (true, Some(members)) = (names > 1 && !texts.is_empty(), reference.as_object_mut()) {
            members.insert("display".to_owned(), texts.join(" ").into());
        }
        Some(reference)
    }

    /// A reference to a resource of the same message.
    pub(super) fn reference(&self, number: usize) -> Option<Json> {
        let id = self.made.get(number)?.id;
        Some(serde_json::json!({ "reference": format!("urn:uuid:{id}") }))
    }

    /// A thing as it is.
    pub(super) fn plain(&self, thing: &Thing<'m>) -> Option<Json> {
        match thing {
            Thing::Piece(piece) => piece.text().map(Json::String),
            Thing::Text(text) => Some(Json::String(text.clone())),
            Thing::Resource(number) => self.reference(*number),
            Thing::Segment(_) => None,
        }
    }

    /// Notes something that could not be mapped.
    pub(super) fn notice(&mut self, kind: NoticeKind, at: Place, what: &str, value: &str) {
        let place = at.name(self.message);
        let notice = Notice { kind, place, what: what.to_owned(), value: value.to_owned() };
        if !self.notices.contains(&notice) {
            self.notices.push(notice);
        }
    }
}

/// `$1` … `$9` in a text of a map.
pub(super) fn with_arguments(text: &str, arguments: &[Box<str>]) -> String {
    if !text.contains('$') {
        return text.to_owned();
    }
    let mut out = text.to_owned();
    for number in 1..=9_usize {
        let argument = arguments.get(number.saturating_sub(1)).map(|text| &**text);
        out = out.replace(&format!("${number}"), argument.unwrap_or_default());
    }
    out
}
