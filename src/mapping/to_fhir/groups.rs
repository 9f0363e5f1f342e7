//! The segments of a message in their groups (`{[PID …] {[ORC] OBR [NTE] {OBX [NTE]}}}`), read
//! leniently: a group begins with one of its first segments, and a segment that belongs to no open group
//! belongs to the message. No segment is lost.

use crate::hl7::raw::RawMessage;

/// A kind of group, as a map describes it.
#[derive(Debug, Clone)]
pub(super) struct GroupKind {
    pub(super) name: Box<str>,
    /// The kind it stands in; the message itself is number 0.
    pub(super) within: usize,
    /// The segments that begin it, in their order: an OBR behind its ORC begins no second group.
    pub(super) opens: Vec<[u8; 3]>,
    /// The other segments it takes; nothing: all that begin no group.
    pub(super) holds: Option<Vec<[u8; 3]>>,
}

impl GroupKind {
    /// The message itself.
    pub(super) fn message() -> Self {
        Self { name: "message".into(), within: 0, opens: Vec::new(), holds: None }
    }

    fn order_of(&self, id: &[u8]) -> Option<usize> {
        self.opens.iter().position(|own| own == id)
    }
}

/// A group of a message.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) kind: usize,
    /// The group it stands in; nothing: it is the message.
    pub(super) within: Option<usize>,
    /// The indexes of its own segments, those of inner groups left out.
    pub(super) segments: Vec<usize>,
    /// Its inner groups, in order.
    pub(super) inner: Vec<usize>,
    /// How many of the segments that begin it are past.
    begun: usize,
}

/// All groups of a message; the first is the message itself.
#[derive(Debug)]
pub(super) struct Groups(pub(super) Vec<Group>);

impl Groups {
    pub(super) fn read(kinds: &[GroupKind], message: &RawMessage) -> Self {
        let mut groups = Self(Vec::new());
        groups.begin(0, None, 0);
        let mut open = 0;
        for segment in message.segments() {
            open = groups.place(kinds, open, segment.id, segment.index);
        }
        groups
    }

    /// Puts a segment where it belongs, seen from the group that is open; answers the group that is open
    /// then.
    fn place(&mut self, kinds: &[GroupKind], open: usize, id: &[u8], index: usize) -> usize {
        let mut at = open;
        while let Some(group) = self.0.get_mut(at) {
            let kind = kinds.get(group.kind);
            if let Some(order) = kind.and_then(|kind| kind.order_of(id))
                && order >= group.begun
            {
                group.begun = order.saturating_add(1);
                group.segments.push(index);
                return at;
            }
            if let Some(inner) = inner_kind(kinds, group.kind, id) {
                let order = kinds.get(inner).and_then(|kind| kind.order_of(id)).unwrap_or(0);
                let number = self.begin(inner, Some(at), order.saturating_add(1));
                if let Some(group) = self.0.get_mut(number) {
                    group.segments.push(index);
                }
                return number;
            }
            match group.within {
                Some(within) if !holds(kinds, kind, id) => at = within,
                _ => {
                    group.segments.push(index);
                    return at;
                }
            }
        }
        open
    }

    fn begin(&mut self, kind: usize, within: Option<usize>, begun: usize) -> usize {
        let number = self.0.len();
        self.0.push(Group { kind, within, segments: Vec::new(), inner: Vec::new(), begun });
        if let Some(outer) = within.and_then(|within| self.0.get_mut(within)) {
            outer.inner.push(number);
        }
        number
    }

    /// The segments of a group and of those in it, in order.
    pub(super) fn all_segments(&self, at: usize) -> Vec<usize> {
        let Some(group) = self.0.get(at) else { return Vec::new() };
        let mut all = group.segments.clone();
        for inner in &group.inner {
            all.extend(self.all_segments(*inner));
        }
        all.sort_unstable();
        all
    }

    /// A group and those in it, in order.
    pub(super) fn all_groups(&self, at: usize) -> Vec<usize> {
        let inner = self.0.get(at).map(|group| group.inner.as_slice()).unwrap_or_default();
        let below = inner.iter().flat_map(|inner| self.all_groups(*inner));
        std::iter::once(at).chain(below).collect()
    }
}

fn holds(kinds: &[GroupKind], kind: Option<&GroupKind>, id: &[u8]) -> bool {
    match kind.and_then(|kind| kind.holds.as_ref()) {
        Some(holds) => holds.iter().any(|own| own == id),
        None => !kinds.iter().any(|kind| kind.order_of(id).is_some()),
    }
}

fn inner_kind(kinds: &[GroupKind], within: usize, id: &[u8]) -> Option<usize> {
    let inner = |(number, kind): &(usize, &GroupKind)| {
        *number > 0 && kind.within == within && kind.order_of(id).is_some()
    };
    kinds.iter().enumerate().find(inner).map(|(number, _)| number)
}
