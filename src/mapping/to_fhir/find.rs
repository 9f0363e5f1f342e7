//! What rows read: fields, parts, segments and resources, seen from where a map is applied; and conditions
//! on them.

use crate::mapping::to_fhir::fill::{Filler, Frame, Known, Thing, with_arguments};
use crate::mapping::to_fhir::language::{Source, Test};

impl<'m> Filler<'m> {
    /// What the first source that says something says.
    pub(super) fn find(&self, sources: &[Source], frame: &Frame<'m>) -> Vec<Thing<'m>> {
        let found = sources.iter().map(|source| self.find_one(source, frame));
        found.into_iter().find(|things| !things.is_empty()).unwrap_or_default()
    }

    pub(super) fn find_one(&self, source: &Source, frame: &Frame<'m>) -> Vec<Thing<'m>> {
        match source {
            Source::Literal(text) => {
                let text = with_arguments(text, &frame.arguments);
                if text.is_empty() { Vec::new() } else { vec![Thing::Text(text)] }
            }
            Source::Event => vec![Thing::Text(self.event.to_owned())],
            Source::DevicePlace => {
                let place = self.device_place(frame).map(|place| place.name().to_owned());
                place.map(Thing::Text).into_iter().collect()
            }
            Source::Container => {
                let container = self.container(frame).map(Known::Segment);
                let device = container.and_then(|known| self.named.get(&(known, "device".into())));
                device.into_iter().flatten().copied().map(Thing::Resource).collect()
            }
            Source::Facets => self.facets(frame),
            Source::Devices => {
                let devices = self.is_of_devices().then(|| Thing::Text("yes".to_owned()));
                devices.into_iter().collect()
            }
            Source::Children => self.children(frame),
            Source::Part(parts) => {
                let piece = frame.piece.map(|piece| piece.at(parts));
                piece.filter(|piece| !piece.is_blank()).map(Thing::Piece).into_iter().collect()
            }
            Source::Field { segment, field, parts } => {
                let Some(index) = self.nearest_segment(*segment, frame) else { return Vec::new() };
                let all = self.fields.repetitions(index, *field).into_iter();
                all.map(|piece| piece.at(parts))
                    .filter(|piece| !piece.is_blank())
                    .map(Thing::Piece)
                    .collect()
            }
            Source::Segments(id) => {
                let group = self.groups.0.get(frame.group);
                let own = group.map(|group| group.segments.as_slice()).unwrap_or_default();
                self.segments_of(own, *id)
            }
            Source::AllSegments(id) => {
                self.segments_of(&self.groups.all_segments(frame.group), *id)
            }
            Source::Reference(name) => {
                let first = self.named_near(name, frame).into_iter().next();
                first.map(Thing::Resource).into_iter().collect()
            }
            Source::References(name) => self.named_below(name, frame),
        }
    }

    fn segments_of(&self, indexes: &[usize], id: [u8; 3]) -> Vec<Thing<'m>> {
        let named = indexes.iter().filter(|index| self.is_segment(**index, id));
        named.map(|index| Thing::Segment(*index)).collect()
    }

    /// The segment itself, else the first of that name in its group or a group around it.
    fn nearest_segment(&self, id: [u8; 3], frame: &Frame<'m>) -> Option<usize> {
        if let Some(own) = frame.segment.filter(|own| self.is_segment(*own, id)) {
            return Some(own);
        }
        let mut at = Some(frame.group);
        while let Some(group) = at.and_then(|at| self.groups.0.get(at)) {
            let found = group.segments.iter().find(|index| self.is_segment(**index, id));
            if let Some(found) = found {
                return Some(*found);
            }
            at = group.within;
        }
        None
    }

    fn named_near(&self, name: &str, frame: &Frame<'m>) -> Vec<usize> {
        let named = |known| self.named.get(&(known, name.into()));
        if let Some(own) = frame.segment.and_then(|segment| named(Known::Segment(segment))) {
            return own.clone();
        }
        let mut at = Some(frame.group);
        while let Some(number) = at {
            if let Some(found) = named(Known::Group(number)) {
                return found.clone();
            }
            at = self.groups.0.get(number).and_then(|group| group.within);
        }
        Vec::new()
    }

    fn named_below(&self, name: &str, frame: &Frame<'m>) -> Vec<Thing<'m>> {
        let groups = self.groups.all_groups(frame.group);
        let named =
            groups.iter().filter_map(|group| self.named.get(&(Known::Group(*group), name.into())));
        let mut found: Vec<usize> = named.flatten().copied().collect();
        if found.is_empty() {
            found = self.named_near(name, frame);
        }
        found.dedup();
        found.into_iter().map(Thing::Resource).collect()
    }

    /// The observations of the orders whose parent result is this OBX (OBR-26: code, sub-id; HL7 v2.5.1
    /// §4.5.3.26): the susceptibilities of an isolate.
    fn children(&self, frame: &Frame<'m>) -> Vec<Thing<'m>> {
        let text = |segment, field, parts: &[usize], frame: &Frame<'m>| {
            let source = Source::Field { segment, field, parts: parts.to_vec() };
            match self.find_one(&source, frame).first() {
                Some(Thing::Piece(piece)) => piece.text(),
                _ => None,
            }
        };
        let Some(code) = text(*b"OBX", 3, &[1], frame) else { return Vec::new() };
        // An OBX without a sub-id would be the parent of its own like.
        let Some(own) = text(*b"OBX", 4, &[], frame) else { return Vec::new() };
        let mut found = Vec::new();
        for segment in self.message.segments().filter(|segment| segment.id == b"OBR") {
            let Some(group) = self.group_of(segment.index) else { continue };
            let of = Frame { group, segment: Some(segment.index), ..Self::root() };
            let is_child = text(*b"OBR", 26, &[1, 1], &of).is_some_and(|parent| parent == code)
                && text(*b"OBR", 26, &[2], &of).is_some_and(|parent| parent == own);
            if is_child {
                found.extend(self.named_below("observation", &of));
            }
        }
        found
    }

    /// Whether all tests hold.
    pub(super) fn holds(&self, tests: &[Test], frame: &Frame<'m>) -> bool {
        tests.iter().all(|test| self.test(test, frame) != test.negated)
    }

    fn test(&self, test: &Test, frame: &Frame<'m>) -> bool {
        let things = self.find(&test.sources, frame);
        let nulls = |thing: &Thing<'m>| matches!(thing, Thing::Piece(piece) if piece.is_null());
        let Some(any) = &test.any else { return !things.iter().all(nulls) };
        things.iter().any(|thing| {
            let text = match thing {
                Thing::Piece(piece) => piece.text(),
                Thing::Text(text) => Some(text.clone()),
                Thing::Segment(_) | Thing::Resource(_) => None,
            };
            text.is_some_and(|text| any.iter().any(|word| matches_word(word, &text)))
        })
    }
}

/// A word of a condition: the whole text, or its beginning when the word ends with `*`.
fn matches_word(word: &str, text: &str) -> bool {
    match word.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => word == text,
    }
}
