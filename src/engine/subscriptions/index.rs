//! Which subscriptions a change of a resource is an event of: in memory, by type and by one value.
//!
//! A subscription that asks for one exact value (a patient, a code) is found by that value, so that ten
//! thousand subscriptions for other patients cost a write nothing. What is found is then tested whole.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::fhir::subscription::event::disposition;
use crate::fhir::subscription::topic::{Topic, Trigger};
use crate::fhir::subscription::{Dialect, Ordering, Subscription};
use crate::message::criteria::{all_hold, no_chains};
use crate::message::id::{DestinationId, VersionId};
use crate::message::plan::PlanEntry;
use crate::message::resource::{Criterion, IndexValue, Indexed, Test};
use crate::source::resource::ResourceChange;

/// What a subscription wants of one type.
#[derive(Debug, Clone)]
struct Interest {
    kind: Box<str>,
    triggers: Vec<Trigger>,
    /// Of the version before; holds where there is none.
    previous: Vec<Criterion>,
    /// Of the version after; holds where there is none.
    current: Vec<Criterion>,
    /// Of the resource, or of what it was when it is gone.
    filters: Vec<Criterion>,
}

/// A subscription whose events are counted.
#[derive(Debug)]
pub(super) struct Entry {
    destination: DestinationId,
    version: VersionId,
    ordering: Ordering,
    interests: Vec<Interest>,
}

impl Entry {
    /// The entry of a subscription in this order. `deletes`: whether a search subscription hears of deletes.
    pub(super) fn new(
        (destination, version): (DestinationId, VersionId),
        subscription: &Subscription,
        topics: &[Topic],
        ordering: Ordering,
        deletes: bool,
    ) -> Self {
        let interests = match &subscription.dialect {
            Dialect::Search { kind, criteria } => {
                let mut triggers = vec![Trigger::Create, Trigger::Update];
                triggers.extend(deletes.then_some(Trigger::Delete));
                let (kind, filters) = (kind.clone(), criteria.clone());
                vec![Interest { kind, triggers, previous: vec![], current: vec![], filters }]
            }
            Dialect::Topic { canonical, filters } => topics
                .iter()
                .filter(|topic| topic.is(canonical))
                .flat_map(|topic| topic.kinds.iter().map(move |kind| (topic, kind)))
                .map(|(topic, (kind, conditions))| {
                    let own = filters.iter().filter(|(of, _)| of == kind);
                    Interest {
                        kind: kind.clone(),
                        triggers: topic.triggers.clone(),
                        previous: conditions.previous.clone(),
                        current: conditions.current.clone(),
                        filters: own.map(|(_, criterion)| criterion.clone()).collect(),
                    }
                })
                .collect(),
        };
        Self { destination, version, ordering, interests }
    }
}

#[derive(Debug, Default)]
struct Bucket {
    by_value: HashMap<u64, Vec<Arc<Entry>>>,
    others: Vec<Arc<Entry>>,
}

/// All subscriptions whose events are counted.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_kind: HashMap<Box<str>, Bucket>,
    entries: HashMap<DestinationId, Arc<Entry>>,
}

impl Index {
    /// Adds a subscription, in place of what it was.
    pub(super) fn insert(&mut self, entry: Entry) {
        self.remove(entry.destination);
        let entry = Arc::new(entry);
        for interest in &entry.interests {
            let bucket = self.by_kind.entry(interest.kind.clone()).or_default();
            match anchors(&interest.filters) {
                Some(anchors) => {
                    for anchor in anchors {
                        bucket.by_value.entry(anchor).or_default().push(Arc::clone(&entry));
                    }
                }
                None => bucket.others.push(Arc::clone(&entry)),
            }
        }
        self.entries.insert(entry.destination, entry);
    }

    /// Whether its events are counted.
    pub(super) fn has(&self, destination: DestinationId) -> bool {
        self.entries.contains_key(&destination)
    }

    /// Forgets a subscription.
    pub(super) fn remove(&mut self, destination: DestinationId) {
        let Some(entry) = self.entries.remove(&destination) else { return };
        for interest in &entry.interests {
            let Some(bucket) = self.by_kind.get_mut(&interest.kind) else { continue };
            bucket.others.retain(|other| other.destination != destination);
            for anchor in anchors(&interest.filters).unwrap_or_default() {
                if let Some(list) = bucket.by_value.get_mut(&anchor) {
                    list.retain(|other| other.destination != destination);
                    if list.is_empty() {
                        bucket.by_value.remove(&anchor);
                    }
                }
            }
        }
    }

    /// The plan entries of a change. `before` makes the values of the version before, when they are needed.
    pub(super) fn matching(
        &self,
        change: &ResourceChange<'_>,
        before: &dyn Fn() -> Vec<IndexValue>,
    ) -> Vec<PlanEntry> {
        let Some(bucket) = self.by_kind.get(&change.key.kind) else { return Vec::new() };
        let trigger = Trigger::of(change.interaction, change.previous.is_some());
        let before = LazyCell::new(before);
        let values: &[IndexValue] = match change.current {
            Some(_) => change.index,
            None => &before,
        };
        let mut found: Vec<&Arc<Entry>> = bucket.others.iter().collect();
        if !bucket.by_value.is_empty() {
            for value in values {
                if let Some(list) = anchor_of(value).and_then(|anchor| bucket.by_value.get(&anchor))
                {
                    found.extend(list);
                }
            }
        }
        found.sort_unstable_by_key(|entry| entry.destination);
        found.dedup_by_key(|entry| entry.destination);
        let wanted = |interest: &Interest| {
            let holds = |criteria: &[Criterion], values: &[IndexValue]| {
                criteria.is_empty() || all_hold(criteria, values, &no_chains)
            };
            interest.kind == change.key.kind
                && interest.triggers.contains(&trigger)
                && holds(&interest.filters, values)
                && (change.current.is_none() || holds(&interest.current, change.index))
                && (change.previous.is_none()
                    || interest.previous.is_empty()
                    || holds(&interest.previous, &before))
        };
        found
            .into_iter()
            .filter(|entry| entry.interests.iter().any(wanted))
            .map(|entry| PlanEntry {
                destination: entry.destination,
                version: entry.version,
                disposition: disposition(
                    entry.ordering,
                    change.key,
                    change.previous,
                    change.current,
                ),
            })
            .collect()
    }
}

/// The values one of which a matching resource surely has; `None` when the criteria name none.
fn anchors(criteria: &[Criterion]) -> Option<Vec<u64>> {
    criteria.iter().filter(|criterion| !criterion.negate).find_map(|criterion| {
        let anchors = criterion.any.iter().map(|test| match test {
            Test::Token { code: Some(text), .. } | Test::Reference { id: text, .. } => {
                Some(anchor(&criterion.param, text))
            }
            _ => None,
        });
        anchors.collect::<Option<Vec<u64>>>().filter(|anchors| !anchors.is_empty())
    })
}

fn anchor_of(value: &IndexValue) -> Option<u64> {
    match &value.value {
        Indexed::Token { code: text, .. } | Indexed::Reference { id: text, .. } => {
            Some(anchor(&value.param, text))
        }
        _ => None,
    }
}

fn anchor(param: &str, text: &str) -> u64 {
    let mut key = Vec::with_capacity(param.len() + text.len() + 1);
    key.extend_from_slice(param.as_bytes());
    key.push(0);
    key.extend_from_slice(text.as_bytes());
    xxh3_64(&key)
}

#[cfg(test)]
mod tests;
