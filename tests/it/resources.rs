//! FHIR resources in the store, through its seam: versions, conditions, events, histories.

mod agree;
mod build;
mod crash;
mod search;

use std::sync::Arc;

use medway::message::id::Seq;
use medway::message::resource::{
    Expect, Guard, HistoryQuery, Interaction, ResourceQuery, ResourceWrite,
};
use medway::message::time::Timestamp;
use medway::message::verdict::IfChanged;
use medway::store::resources::{EventCount, ResourceBatch, Written};
use medway::store::{Appended, Retention, StoreError};

use crate::store::build::{Fixture, START, message};
use build::{create, delete, done, key, reference, token, update, write_one};

#[tokio::test]
async fn versions_come_back_as_they_were_written() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let first = create("Patient", "p1", 1, vec![token("identifier", "urn:mrn", "1")]);
    let body = first.body.clone();
    let batch = ResourceBatch {
        messages: vec![message(1).build()],
        writes: vec![ResourceWrite { message: Some(0), ..first }],
        ..ResourceBatch::default()
    };
    assert_eq!(done(store.write(batch).await), [Appended::New(Seq(1))]);
    write_one(&store, update("Patient", "p1", 2, vec![])).await;
    write_one(&store, delete("Patient", "p1", 3)).await;
    for _ in 0..2 {
        let read = |version| {
            let store = Arc::clone(&store);
            async move { store.resource_version(&key("Patient", "p1"), version).await.unwrap() }
        };
        let one = read(1).await.unwrap();
        assert_eq!((&one.key, one.version, one.seq), (&key("Patient", "p1"), 1, Some(Seq(1))));
        assert_eq!((one.interaction, &one.body), (Interaction::Create, &body));
        assert_eq!(one.at, Timestamp(START + 1000));
        assert_eq!(read(2).await.unwrap().interaction, Interaction::Update);
        assert!(read(3).await.unwrap().is_deleted());
        assert!(read(4).await.is_none());
        let current = store.resource(&key("Patient", "p1")).await.unwrap().unwrap();
        assert_eq!((current.version, current.is_deleted()), (3, true));
    }
    assert!(store.resource(&key("Patient", "p2")).await.unwrap().is_none());
    assert!(store.resource(&key("Device", "p1")).await.unwrap().is_none());
}

#[tokio::test]
async fn what_does_not_find_what_it_expects_writes_nothing() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    write_one(&store, create("Patient", "p1", 1, vec![])).await;
    write_one(&store, update("Patient", "p1", 2, vec![])).await;
    let check = async |write, answer: Written| {
        let fine = create("Patient", "other", 1, vec![]);
        let batch = ResourceBatch {
            messages: vec![message(1).build()],
            writes: vec![fine, write],
            ..ResourceBatch::default()
        };
        // A neighbour of the same commit is not touched.
        let neighbour = message(2).build();
        let (written, appended) = tokio::join!(store.write(batch), store.append(vec![neighbour]));
        assert_eq!(written.unwrap(), answer);
        assert!(matches!(appended.unwrap()[..], [Appended::New(_)]));
        assert!(store.resource(&key("Patient", "other")).await.unwrap().is_none());
    };
    check(update("Patient", "p1", 2, vec![]), Written::Conflict(1)).await;
    check(update("Patient", "p1", 4, vec![]), Written::Conflict(1)).await;
    check(create("Patient", "p1", 1, vec![]), Written::Conflict(1)).await;
    check(update("Patient", "p9", 2, vec![]), Written::Conflict(1)).await;
    check(create("Patient", "other", 1, vec![]), Written::Conflict(1)).await;
    write_one(&store, delete("Patient", "p1", 3)).await;
    check(create("Patient", "p1", 1, vec![]), Written::Conflict(1)).await;
    assert_eq!(store.status().head, Seq(6), "only the neighbours' messages are there");
}

#[tokio::test]
async fn a_failed_write_is_undone_alone() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let lab = store.destination("fhir", "Subscription/1").await.unwrap();
    let orphan = message(2).origin(Seq(77)).channel("new-channel").build();
    let batch = ResourceBatch {
        messages: vec![message(1).channel("another").key("new-key", "v").build(), orphan],
        writes: vec![create("Basic", "b1", 1, vec![token("code", "", "x")])],
        events: vec![(0, lab)],
        ..ResourceBatch::default()
    };
    let good = ResourceBatch {
        messages: vec![message(3).channel("third").key("third-key", "v").build()],
        writes: vec![create("Flag", "f1", 1, vec![token("code", "", "x")])],
        events: vec![(0, lab)],
        ..ResourceBatch::default()
    };
    let (bad, good) = tokio::join!(store.write(batch), store.write(good));
    assert!(matches!(bad, Err(StoreError::Missing)));
    assert_eq!(done(good), [Appended::New(Seq(1))]);
    assert!(store.resource(&key("Basic", "b1")).await.unwrap().is_none());
    assert!(store.resource(&key("Flag", "f1")).await.unwrap().is_some());
    assert_eq!(store.event_count(lab).await.unwrap(), EventCount { last: 1 });
    store.close().await;
    let store = fixture.open().await;
    assert_eq!(&*store.messages(&[Seq(1)]).await.unwrap()[0].envelope.channel, "third");
    write_one(&store, create("Basic", "b1", 1, vec![token("code", "", "x")])).await;
}

#[tokio::test]
async fn a_hundred_conditional_creates_at_once_give_one_resource() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let creates = (0..100).map(|n| {
        let store = Arc::clone(&store);
        async move {
            let value = token("identifier", "urn:mrn", "4711");
            let batch = ResourceBatch {
                messages: vec![message(n).build()],
                writes: vec![create("Patient", &format!("p{n}"), 1, vec![value.clone()])],
                guards: vec![Guard::NoMatch { kind: "Patient".into(), value }],
                events: Vec::new(),
            };
            store.write(batch).await.unwrap()
        }
    });
    let answers = futures_util::future::join_all(creates).await;
    let written = answers.iter().filter(|answer| matches!(answer, Written::Done(_))).count();
    let stale = answers.iter().filter(|answer| **answer == Written::Stale(0)).count();
    assert_eq!((written, stale), (1, 99));
    assert_eq!(store.status().head, Seq(1));
    let query =
        ResourceQuery { kind: "Patient".into(), limit: 9, total: true, ..Default::default() };
    assert_eq!(store.resource_search(&query).await.unwrap().total, Some(1));
}

#[tokio::test]
async fn a_guard_compares_the_whole_value_of_current_versions() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    write_one(&store, create("Patient", "p1", 1, vec![token("identifier", "urn:a", "1")])).await;
    let check = async |value, holds: bool| {
        let batch = ResourceBatch {
            guards: vec![Guard::NoMatch { kind: "Patient".into(), value }],
            ..ResourceBatch::default()
        };
        let answer = store.write(batch).await.unwrap();
        assert_eq!(answer == Written::Done(Vec::new()), holds, "{answer:?}");
    };
    check(token("identifier", "urn:a", "1"), false).await;
    check(token("identifier", "urn:b", "1"), true).await;
    check(token("identifier", "", "1"), true).await;
    check(token("code", "urn:a", "1"), true).await;
    let moved = vec![token("identifier", "urn:a", "2"), reference("link", "Patient", "p9")];
    write_one(&store, update("Patient", "p1", 2, moved)).await;
    check(token("identifier", "urn:a", "1"), true).await;
    check(reference("link", "Patient", "p9"), false).await;
    check(reference("link", "Group", "p9"), true).await;
    write_one(&store, delete("Patient", "p1", 3)).await;
    check(token("identifier", "urn:a", "2"), true).await;
}

#[tokio::test]
async fn a_condition_looked_up_before_another_write_of_its_type_is_stale() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    assert_eq!(store.resource_clock("Patient").await.unwrap(), 0);
    let check = async |kind: &str, seen, answer: Written| {
        let guard = Guard::Unchanged { kind: kind.into(), seen };
        let batch = ResourceBatch { guards: vec![guard], ..ResourceBatch::default() };
        assert_eq!(store.write(batch).await.unwrap(), answer, "{kind}");
    };
    check("Patient", 0, Written::Done(vec![])).await;
    write_one(&store, create("Patient", "p1", 1, vec![])).await;
    check("Patient", 0, Written::Stale(0)).await;
    let seen = store.resource_clock("Patient").await.unwrap();
    write_one(&store, create("Device", "d1", 1, vec![])).await;
    check("Patient", seen, Written::Done(vec![])).await;
    check("", seen, Written::Stale(0)).await;
    check("", store.resource_clock("").await.unwrap(), Written::Done(vec![])).await;
}

#[tokio::test]
async fn a_known_message_makes_the_whole_request_a_repeat() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let batch = |content, id: &str| ResourceBatch {
        messages: vec![message(1).build(), message(2).once(7, content, IfChanged::Refuse).build()],
        writes: vec![create("Patient", id, 1, vec![])],
        ..ResourceBatch::default()
    };
    done(store.write(batch(1, "p1")).await);
    match store.write(batch(1, "p2")).await.unwrap() {
        Written::Known(1, Appended::Repeat { seq, .. }) => assert_eq!(seq, Seq(2)),
        other => panic!("{other:?}"),
    }
    let changed = store.write(batch(2, "p3")).await.unwrap();
    assert_eq!(changed, Written::Known(1, Appended::Conflict(Seq(2))));
    assert_eq!(store.status().head, Seq(2));
    assert!(store.resource(&key("Patient", "p2")).await.unwrap().is_none());
}

#[tokio::test]
async fn events_are_numbered_without_gaps_in_the_order_of_the_log() {
    let fixture = Fixture::new();
    let mut store = fixture.open().await;
    let a = store.destination("fhir", "Subscription/a").await.unwrap();
    let b = store.destination("fhir", "Subscription/b").await.unwrap();
    let mut fresh = store.committed();
    for n in 1..=30 {
        let mut events = vec![(0, a)];
        events.extend((n % 3 == 0).then_some((0, b)));
        let batch =
            ResourceBatch { messages: vec![message(n).build()], events, ..Default::default() };
        done(store.write(batch).await);
    }
    let third = loop {
        let batch = fresh.recv().await.unwrap();
        if let Some(message) = batch.iter().find(|message| message.seq == Seq(3)) {
            break Arc::clone(message);
        }
    };
    assert_eq!(third.events, [(a, 3), (b, 1)]);
    for _ in 0..2 {
        assert_eq!(store.event_count(a).await.unwrap(), EventCount { last: 30 });
        assert_eq!(store.event_count(b).await.unwrap(), EventCount { last: 10 });
        let of_b = store.events(b, 4, 100, 3).await.unwrap();
        assert_eq!(of_b, [(4, Seq(12)), (5, Seq(15)), (6, Seq(18))]);
        assert_eq!(store.events(a, 30, 30, 10).await.unwrap(), [(30, Seq(30))]);
        assert_eq!(store.events(a, 31, 99, 10).await.unwrap(), []);
        assert_eq!(store.messages(&[Seq(3)]).await.unwrap()[0].events, [(a, 3), (b, 1)]);
        store.close().await;
        store = fixture.open().await;
    }
    let batch = ResourceBatch {
        messages: vec![message(31).build()],
        events: vec![(0, b)],
        ..ResourceBatch::default()
    };
    done(store.write(batch).await);
    assert_eq!(store.events(b, 11, 11, 1).await.unwrap(), [(11, Seq(31))]);
}

#[tokio::test]
async fn histories_go_back_page_by_page() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    write_one(&store, create("Patient", "p1", 1, vec![])).await;
    write_one(&store, create("Device", "d1", 1, vec![])).await;
    for version in 2..=5 {
        write_one(&store, update("Patient", "p1", version, vec![])).await;
    }
    write_one(&store, create("Patient", "p2", 1, vec![])).await;
    let check = async |kind: &str, id: &str, since: Option<i64>, expected: &[&str]| {
        let since = since.map(|ms| Timestamp(START + ms * 1000));
        let mut query =
            HistoryQuery { kind: kind.into(), id: id.into(), since, page: None, limit: 2 };
        let mut found = Vec::new();
        loop {
            let page = store.resource_history(&query).await.unwrap();
            assert!(page.matches.len() <= 2);
            found.extend(page.matches.iter().map(|one| format!("{}/{}", one.key, one.version)));
            query.page = page.next;
            if query.page.is_none() {
                break;
            }
        }
        assert_eq!(found, expected);
    };
    let p1 = ["Patient/p1/5", "Patient/p1/4", "Patient/p1/3", "Patient/p1/2", "Patient/p1/1"];
    check("Patient", "p1", None, &p1).await;
    check("Patient", "p1", Some(4), &p1[..2]).await;
    let mut all: Vec<&str> = std::iter::once("Patient/p2/1").chain(p1).collect();
    check("Patient", "", None, &all).await;
    check("Patient", "", Some(5), &["Patient/p1/5"]).await;
    all.insert(5, "Device/d1/1");
    check("", "", None, &all).await;
    check("Observation", "", None, &[]).await;
    check("Patient", "p9", None, &[]).await;
}

#[tokio::test]
async fn only_superseded_versions_are_pruned() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let many = (0..90).map(|n| create("Device", &format!("d{n}"), 1, vec![])).collect::<Vec<_>>();
    write_one(&store, create("Patient", "p1", 1, vec![])).await;
    for version in 2..=6 {
        write_one(&store, update("Patient", "p1", version, vec![])).await;
    }
    let day = std::time::Duration::from_secs(86_400);
    let retention = Retention {
        bodies: day * 365,
        messages: day * 365,
        rejects: day * 365,
        versions: day,
        versions_max: 3,
        step: 500,
        channels: std::collections::BTreeMap::new(),
    };
    let soon = Timestamp(START + 60_000_000);
    assert_eq!(store.prune(&retention, soon).await.unwrap(), 0, "the index still needs them");
    // So many versions that the index of the first ones goes to its table.
    for round in 0..95_u32 {
        let rename = |write: &ResourceWrite| {
            let mut write = write.clone();
            write.key.id = format!("{}-{round}", write.key.id).into();
            write
        };
        let writes = many.iter().map(rename).collect();
        done(store.write(ResourceBatch { writes, ..ResourceBatch::default() }).await);
    }
    let versions = async || {
        let query = HistoryQuery {
            kind: "Patient".into(),
            id: "p1".into(),
            limit: 100,
            ..HistoryQuery::default()
        };
        let found = store.resource_history(&query).await.unwrap().matches;
        found.iter().map(|one| one.version).collect::<Vec<_>>()
    };
    // Each commit writes a piece of it.
    for _ in 0..100 {
        store.prune(&retention, soon).await.unwrap();
    }
    assert_eq!(versions().await, [6, 5, 4]);
    for _ in 0..4 {
        store.prune(&retention, Timestamp(START + 90_000_000_000)).await.unwrap();
    }
    assert_eq!(versions().await, [6]);
    let expect = Expect::Version(6);
    let next = ResourceWrite { expect, ..update("Patient", "p1", 7, vec![]) };
    write_one(&store, next).await;
    assert_eq!(versions().await, [7, 6]);
}
