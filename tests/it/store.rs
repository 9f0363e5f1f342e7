//! What the store promises, for every backend: durable, in order, all or none, nothing lost track of.

pub(crate) mod build;
mod failures;
mod keys;
mod model;
mod outcomes;
mod repeats;
mod retention;

use std::sync::Arc;
use std::time::Duration;

use medway::message::id::{DestinationId, Seq};
use medway::store::sqlite::{SqliteOptions, SqliteStore};
use medway::store::{Appended, Change, Store, StoreError};

use build::{Fixture, message, new_seq, settled};

#[tokio::test]
async fn messages_come_back_as_they_were_appended() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let (id, version) = fixture.destination(&store, "lab").await;
    let first = message(1).to(id, version).key("mrn", "4711").build();
    let (envelope, payload) = (first.envelope.clone(), first.payload.clone());
    let plan = first.plan.clone();
    let large = message(2).body("OBX|1|NM|8867-4^Heart rate^LN||72|/min\r".repeat(400)).build();
    let large_payload = large.payload.clone();
    assert_eq!(
        store.append(vec![first, large]).await.unwrap(),
        [Appended::New(Seq(1)), Appended::New(Seq(2))]
    );
    let stored = store.messages(&[Seq(2), Seq(9), Seq(1)]).await.unwrap();
    assert_eq!(stored.len(), 2);
    assert_eq!(stored[0].payload, large_payload.unwrap());
    assert_eq!(stored[1].payload, payload.unwrap());
    let read = &stored[1].envelope;
    assert_eq!(stored[1].plan, plan);
    assert_eq!((read.id, read.received_at), (envelope.id, envelope.received_at));
    assert_eq!((&read.channel, &read.event), (&envelope.channel, &envelope.event));
    assert_eq!((read.kind, read.content_type), (envelope.kind, envelope.content_type));
    assert_eq!((&read.control_id, &read.keys), (&envelope.control_id, &envelope.keys));
    assert_eq!(store.find(envelope.id).await.unwrap(), Seq(1));
    store.close().await;
    assert!(matches!(store.append(vec![message(3).build()]).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn concurrent_appends_share_commits_and_each_batch_is_published_once() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let mut fresh = store.committed();
    let before = store.status().commits;
    let appends = (0..100).map(|n| {
        let store = Arc::clone(&store);
        async move { new_seq(&store.append(vec![message(n).build()]).await.unwrap()[0]) }
    });
    let mut places = futures_util::future::join_all(appends).await;
    places.sort_unstable();
    assert_eq!(places, (1..=100).map(Seq).collect::<Vec<_>>());
    let commits = store.status().commits - before;
    assert!(commits < 50, "{commits} commits for 100 concurrent appends");
    let mut published = Vec::new();
    while published.len() < 100 {
        let batch = fresh.recv().await.unwrap();
        published.extend(batch.iter().map(|message| message.seq));
    }
    assert_eq!(published, places);
    assert!(fresh.try_recv().is_err());
}

#[tokio::test]
async fn outcomes_ride_with_the_next_message_and_alone_after_their_wait() {
    let fixture = Fixture::new();
    let patient = SqliteOptions { linger: Duration::from_secs(60), ..fixture.options() };
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(patient).await.unwrap());
    let (lab, version) = fixture.destination(&store, "lab").await;
    let before = store.status().commits;
    for n in 1..=20 {
        let outcome = vec![Change::Settle(settled(lab, Seq(n - 1)))];
        let appended = store.append(vec![message(n).to(lab, version).build()]);
        let (recorded, appended) = tokio::join!(store.record(outcome), appended);
        recorded.unwrap();
        appended.unwrap();
    }
    assert_eq!(store.status().commits - before, 20);
    store.close().await;
    let store = fixture.open().await;
    store.record(vec![Change::Settle(settled(lab, Seq(20)))]).await.unwrap();
    assert_eq!(store.status().commits, 1);
}

#[tokio::test]
async fn an_append_is_all_or_none() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let orphan = message(2).origin(Seq(77)).build();
    let answer = store.append(vec![message(1).build(), orphan]).await;
    assert!(matches!(answer, Err(StoreError::Missing)));
    assert_eq!(store.status().head, Seq(0));
    assert_eq!(store.append(vec![message(3).build()]).await.unwrap(), [Appended::New(Seq(1))]);
}

#[tokio::test]
async fn the_log_is_read_as_one_destination_sees_it() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let (lab, version) = fixture.destination(&store, "lab").await;
    let (emr, _) = fixture.destination(&store, "emr").await;
    for n in 0..30 {
        let to = if n % 3 == 0 { lab } else { emr };
        store
            .append(vec![message(n).to(to, version).filtered(DestinationId(99), version).build()])
            .await
            .unwrap();
    }
    let page = store.read_log(lab, Seq(0), 4, 1 << 20).await.unwrap();
    let seqs = |page: &medway::store::LogPage| -> Vec<i64> {
        page.messages.iter().map(|message| message.seq.0).collect()
    };
    assert_eq!((seqs(&page), page.read_to), (vec![1, 4, 7, 10], Seq(10)));
    let rest = store.read_log(lab, page.read_to, 100, 1 << 20).await.unwrap();
    assert_eq!((seqs(&rest), rest.read_to), (vec![13, 16, 19, 22, 25, 28], Seq(30)));
    let end = store.read_log(lab, Seq(30), 100, 1 << 20).await.unwrap();
    assert_eq!((seqs(&end), end.read_to), (vec![], Seq(30)));
    let none = store.read_log(DestinationId(99), Seq(0), 100, 1 << 20).await.unwrap();
    assert_eq!((seqs(&none), none.read_to), (vec![], Seq(30)));
    let one = store.read_log(emr, Seq(0), 100, 1).await.unwrap();
    assert_eq!((seqs(&one), one.read_to), (vec![2], Seq(2)));
    assert_eq!(store.count_log(emr, Seq(20)).await.unwrap(), 7);
    assert_eq!(store.count_log(DestinationId(99), Seq(0)).await.unwrap(), 0);
}

#[tokio::test]
async fn names_and_versions_keep_their_numbers() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let (lab, version) = fixture.destination(&store, "lab").await;
    let (emr, same) = fixture.destination(&store, "emr").await;
    assert_ne!(lab, emr);
    assert_eq!(version, same);
    let record = store.version_record(version).await.unwrap();
    assert_eq!((&*record.channel, &record.bundle[..]), ("adt", &b"files"[..]));
    store.close().await;
    let store = fixture.open().await;
    assert_eq!(fixture.destination(&store, "emr").await, (emr, version));
    let known = store.destinations().await.unwrap();
    assert_eq!(known, [(lab, "adt".into(), "lab".into()), (emr, "adt".into(), "emr".into())]);
}

#[tokio::test]
async fn a_restart_goes_on_after_the_last_place() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    store.append(vec![message(1).build(), message(2).build()]).await.unwrap();
    store.close().await;
    let store = fixture.open().await;
    assert_eq!(store.status().head, Seq(2));
    assert_eq!(store.append(vec![message(3).build()]).await.unwrap(), [Appended::New(Seq(3))]);
    assert_eq!(store.status().first, Seq(1));
}
