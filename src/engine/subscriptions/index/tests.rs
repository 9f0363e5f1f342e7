//! Which subscriptions a change concerns.

use serde_json::json;

use super::*;
use crate::fhir::subscription::topic::{Allowed, Conditions};
use crate::fhir::subscription::{Content, Status};
use crate::message::plan::{Disposition, Joins, Lane};
use crate::message::resource::{Interaction, ResourceKey};
use crate::message::time::Timestamp;

/// Nobody hears of it.
const NOBODY: [u32; 0] = [];

fn token(param: &str, code: &str) -> Criterion {
    let any = vec![Test::Token { system: None, code: Some(code.into()) }];
    Criterion { param: param.into(), any, negate: false }
}

fn has(param: &str, code: &str) -> IndexValue {
    let value = Indexed::Token { system: "".into(), code: code.into() };
    IndexValue { param: param.into(), value }
}

fn subscription(dialect: Dialect) -> Subscription {
    Subscription {
        status: Status::Active,
        dialect,
        endpoint: "https://emr.example/hook".into(),
        payload: None,
        content: Content::IdOnly,
        headers: Vec::new(),
        end: None,
        heartbeat: None,
        timeout: None,
        style: None,
        ordering: None,
        together: 1,
    }
}

fn search(kind: &str, criteria: Vec<Criterion>) -> Subscription {
    subscription(Dialect::Search { kind: kind.into(), criteria })
}

fn insert(index: &mut Index, number: u32, subscription: &Subscription, topics: &[Topic]) {
    let ids = (DestinationId(number), VersionId(1));
    index.insert(Entry::new(ids, subscription, topics, Ordering::PerPatient, false));
}

/// Who hears of a change from one set of values to another.
fn heard(index: &Index, before: Option<&[IndexValue]>, after: Option<&[IndexValue]>) -> Vec<u32> {
    let key = ResourceKey::new("Encounter", "1");
    let resource = json!({"subject": {"reference": "Patient/7"}});
    let change = ResourceChange {
        key: &key,
        interaction: if after.is_some() { Interaction::Update } else { Interaction::Delete },
        version: 2,
        at: Timestamp(0),
        previous: before.map(|_| &resource),
        current: after.map(|_| &resource),
        index: after.unwrap_or_default(),
    };
    let entries = index.matching(&change, &|| before.unwrap_or_default().to_vec());
    for entry in &entries {
        let lane = Lane::of("Patient/7");
        assert_eq!(entry.disposition, Disposition::Deliver { lane, joins: Joins::NONE });
    }
    entries.iter().map(|entry| entry.destination.0).collect()
}

#[test]
fn those_whose_criteria_hold_hear_of_it_once() {
    let mut index = Index::default();
    insert(&mut index, 1, &search("Encounter", vec![token("status", "planned")]), &[]);
    insert(&mut index, 2, &search("Encounter", vec![]), &[]);
    insert(&mut index, 3, &search("Patient", vec![]), &[]);
    let both = vec![token("status", "planned"), token("class", "IMP")];
    insert(&mut index, 4, &search("Encounter", both), &[]);
    let not = Criterion { negate: true, ..token("status", "planned") };
    insert(&mut index, 5, &search("Encounter", vec![not]), &[]);
    let planned = [has("status", "planned"), has("status", "planned")];
    assert_eq!(heard(&index, None, Some(&planned)), [1, 2]);
    let inpatient = [has("status", "planned"), has("class", "IMP")];
    assert_eq!(heard(&index, None, Some(&inpatient)), [1, 2, 4]);
    assert_eq!(heard(&index, None, Some(&[has("status", "finished")])), [2, 5]);
    // A search subscription does not hear of deletes.
    assert_eq!(heard(&index, Some(&planned), None), NOBODY);
    index.remove(DestinationId(1));
    insert(&mut index, 2, &search("Patient", vec![]), &[]);
    assert_eq!(heard(&index, None, Some(&planned)), NOBODY);
}

#[test]
fn a_topic_looks_at_the_versions_before_and_after() {
    let conditions = Conditions {
        previous: vec![Criterion { negate: true, ..token("status", "in-progress") }],
        current: vec![token("status", "in-progress")],
    };
    let topic = Topic {
        canonical: "https://h.example/t".into(),
        title: "admitted".into(),
        kinds: vec![("Encounter".into(), conditions)],
        triggers: Trigger::ALL.to_vec(),
        filters: Allowed::Any,
    };
    let dialect = |filters| Dialect::Topic { canonical: "https://h.example/t".into(), filters };
    let topics = [topic];
    let mut index = Index::default();
    insert(&mut index, 1, &subscription(dialect(vec![])), &topics);
    let filter = vec![("Encounter".into(), token("class", "IMP"))];
    insert(&mut index, 2, &subscription(dialect(filter)), &topics);
    let planned = [has("status", "planned"), has("class", "IMP")];
    let running = [has("status", "in-progress"), has("class", "IMP")];
    let other = [has("status", "in-progress"), has("class", "AMB")];
    assert_eq!(heard(&index, Some(&planned), Some(&running)), [1, 2]);
    assert_eq!(heard(&index, Some(&planned), Some(&other)), [1]);
    assert_eq!(heard(&index, Some(&running), Some(&running)), NOBODY);
    assert_eq!(heard(&index, None, Some(&running)), [1, 2]);
    // A delete is tested by what was there.
    assert_eq!(heard(&index, Some(&planned), None), [1, 2]);
}

#[test]
fn others_values_cost_nothing() {
    let mut index = Index::default();
    for number in 0..10_000 {
        let criteria = vec![token("patient", &format!("p{number}"))];
        insert(&mut index, number, &search("Encounter", criteria), &[]);
    }
    let bucket = &index.by_kind["Encounter"];
    assert_eq!((bucket.others.len(), bucket.by_value.len()), (0, 10_000));
    assert_eq!(heard(&index, None, Some(&[has("patient", "p77")])), [77]);
}
