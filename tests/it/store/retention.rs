//! P13: what is over goes after its time, what is not over stays, whatever its age.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use medway::message::id::{DestinationId, Seq, VersionId};
use medway::message::payload::Payload;
use medway::message::time::Timestamp;
use medway::store::{Ages, Change, ExceptionState, MessageQuery, Reject, Retention, Store};

use super::build::{Fixture, START, exception, message, settled};

/// Long after everything was received.
const LATER: Timestamp = Timestamp(START + 3_600_000_000);

fn retention(bodies_s: u64, messages_s: u64) -> Retention {
    Retention {
        bodies: Duration::from_secs(bodies_s),
        messages: Duration::from_secs(messages_s),
        rejects: Duration::from_secs(messages_s),
        versions: Duration::from_secs(messages_s),
        versions_max: 100,
        step: 100,
        channels: BTreeMap::new(),
    }
}

async fn prune_all(store: &Arc<dyn Store>, retention: &Retention) -> u64 {
    let mut touched = 0;
    loop {
        match store.prune(retention, LATER).await.unwrap() {
            0 => return touched,
            step => touched += step,
        }
    }
}

/// Forty plans that were used once (versions 101 to 140), and one that is in use for long.
async fn old_plans(store: &Arc<dyn Store>, lab: DestinationId) {
    for n in 1..=40 {
        let version = VersionId(100 + u32::try_from(n).unwrap());
        store.append(vec![message(n).filtered(lab, version).build()]).await.unwrap();
    }
    let many = (41..=2100).map(|n| message(n).filtered(lab, VersionId(7)).build());
    store.append(many.collect()).await.unwrap();
}

#[tokio::test]
async fn plans_that_no_message_has_any_more_go_too() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let (lab, _) = fixture.destination(&store, "lab").await;
    old_plans(&store, lab).await;
    // One that is young.
    store.append(vec![message(100_000).filtered(lab, VersionId(8)).build()]).await.unwrap();
    prune_all(&store, &retention(3590, 3590)).await;
    assert_eq!(there(&store).await, [2101]);
    // One that went is a new one when it comes again.
    let again = message(100_001).filtered(lab, VersionId(101)).build();
    store.append(vec![again]).await.unwrap();
    let kept = store.messages(&[Seq(2102)]).await.unwrap();
    assert_eq!(kept[0].plan.entries[0].version, VersionId(101));
    store.close().await;
    let conn = rusqlite::Connection::open(fixture.options().path).unwrap();
    let plans: i64 = conn.query_row("SELECT count(*) FROM plan", [], |row| row.get(0)).unwrap();
    let entries = "SELECT count(*) FROM plan_entry";
    let entries: i64 = conn.query_row(entries, [], |row| row.get(0)).unwrap();
    assert_eq!((plans, entries), (3, 3));
    drop(conn);
    let store = fixture.open().await;
    let kept = store.messages(&[Seq(2101), Seq(2102)]).await.unwrap();
    let versions: Vec<VersionId> = kept.iter().map(|kept| kept.plan.entries[0].version).collect();
    assert_eq!(versions, [VersionId(8), VersionId(101)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_used_while_it_goes_stays() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let (lab, _) = fixture.destination(&store, "lab").await;
    old_plans(&store, lab).await;
    // Eight at once, each with five of the old plans, while these go: often in one transaction.
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..8_u32 {
        let store = Arc::clone(&store);
        senders.spawn(async move {
            for n in 0..50 {
                let version = 101 + sender * 5 + n % 5;
                let young = i64::from(100_000 + sender * 1000 + n);
                let young = message(young).filtered(lab, VersionId(version)).build();
                store.append(vec![young]).await.unwrap();
            }
        });
    }
    prune_all(&store, &retention(3590, 3590)).await;
    senders.join_all().await;
    store.close().await;
    let store = fixture.open().await;
    let places: Vec<Seq> = there(&store).await.into_iter().map(Seq).collect();
    let mut used = BTreeMap::new();
    for kept in store.messages(&places).await.unwrap() {
        *used.entry(kept.plan.entries[0].version.0).or_insert(0) += 1;
    }
    used.remove(&7);
    assert_eq!(used, (101..=140).map(|version| (version, 10)).collect());
}

async fn there(store: &Arc<dyn Store>) -> Vec<i64> {
    let query = MessageQuery { limit: 1000, ..MessageQuery::default() };
    let mut places: Vec<i64> =
        store.search(query).await.unwrap().iter().map(|message| message.seq.0).collect();
    places.reverse();
    places
}

/// Ten messages: 1–3 settled, then one of each state, 9 filtered, 10 beyond the cursor.
async fn scene(store: &Arc<dyn Store>, lab: (DestinationId, VersionId)) {
    let mut messages: Vec<_> = (1..=8).map(|n| message(n).to(lab.0, lab.1).build()).collect();
    messages.push(message(9).filtered(lab.0, lab.1).build());
    messages.push(message(10).to(lab.0, lab.1).build());
    store.append(messages).await.unwrap();
    let mut changes: Vec<Change> =
        (1..=3).map(|seq| Change::Settle(settled(lab.0, Seq(seq)))).collect();
    let states = [
        (4, ExceptionState::Dead),
        (5, ExceptionState::Held),
        (6, ExceptionState::Behind),
        (7, ExceptionState::Retry),
        (8, ExceptionState::Cancelled),
    ];
    for (seq, state) in states {
        changes.push(Change::Except(exception(lab.0, Seq(seq), state)));
    }
    let (destination, frontier) = (lab.0, Seq(9));
    changes.push(Change::Cursor { destination, settled_to: Seq(9), frontier });
    store.record(changes).await.unwrap();
}

#[tokio::test]
async fn only_what_is_over_goes() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let lab = fixture.destination(&store, "lab").await;
    scene(&store, lab).await;
    assert_eq!(prune_all(&store, &retention(7200, 7200)).await, 0, "nothing is old enough");
    assert_eq!(prune_all(&store, &retention(60, 7200)).await, 5, "five bodies");
    for message in store.messages(&(1..=10).map(Seq).collect::<Vec<_>>()).await.unwrap() {
        let over = [1, 2, 3, 8, 9].contains(&message.seq.0);
        assert_eq!(message.payload.is_empty(), over, "{}", message.seq);
    }
    assert_eq!(prune_all(&store, &retention(60, 120)).await, 5, "five messages");
    assert_eq!(there(&store).await, [4, 5, 6, 7, 10]);
    assert_eq!(store.status().first, Seq(4));
    let sums = store.conservation().await.unwrap().remove(0);
    assert_eq!((sums.planned, sums.pending, sums.cancelled), (5, 1, 0));
    assert!(sums.unaccounted.is_empty());
    let cleared = vec![
        Change::Except(exception(lab.0, Seq(4), ExceptionState::Cancelled)),
        Change::Settle(settled(lab.0, Seq(7))),
    ];
    store.record(cleared).await.unwrap();
    prune_all(&store, &retention(60, 120)).await;
    assert_eq!(there(&store).await, [5, 6, 10]);
}

#[tokio::test]
async fn a_replay_shares_its_parents_body_as_long_as_it_needs_it() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let lab = fixture.destination(&store, "lab").await;
    let mut fresh = store.committed();
    let body = "OBX|1|TX|||a long text\r".repeat(100);
    let parent = message(1).body(body.clone()).to(lab.0, lab.1).build();
    store.append(vec![parent]).await.unwrap();
    store.append(vec![message(2).origin(Seq(1)).to(lab.0, lab.1).build()]).await.unwrap();
    store.append(vec![message(3).origin(Seq(2)).to(lab.0, lab.1).build()]).await.unwrap();
    let payload = Payload::new(body);
    for _ in 0..3 {
        assert_eq!(fresh.recv().await.unwrap()[0].payload, payload);
    }
    let (destination, frontier) = (lab.0, Seq(2));
    let settle = vec![
        Change::Settle(settled(lab.0, Seq(1))),
        Change::Settle(settled(lab.0, Seq(2))),
        Change::Cursor { destination, settled_to: Seq(2), frontier },
    ];
    store.record(settle).await.unwrap();
    prune_all(&store, &retention(60, 120)).await;
    assert_eq!(there(&store).await, [3], "the replay of the replay is still pending");
    let replay = store.messages(&[Seq(3)]).await.unwrap().remove(0);
    assert_eq!(replay.payload, payload);
    assert_eq!(replay.envelope.origin.as_ref().unwrap().parent, Seq(2));
    let (destination, frontier) = (lab.0, Seq(3));
    let settle = vec![
        Change::Settle(settled(lab.0, Seq(3))),
        Change::Cursor { destination, settled_to: Seq(3), frontier },
    ];
    store.record(settle).await.unwrap();
    // Its message, then on the next round the body that nobody is left to share.
    assert_eq!(prune_all(&store, &retention(60, 120)).await, 2);
    assert!(there(&store).await.is_empty());
    let late = store.append(vec![message(4).origin(Seq(3)).build()]).await;
    assert!(matches!(late, Err(medway::store::StoreError::Missing)));
}

#[tokio::test]
async fn places_are_not_given_twice_after_everything_went() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let lab = fixture.destination(&store, "lab").await;
    for chunk in 0..50 {
        let messages = (1..=200)
            .map(|n| message(chunk * 200 + n).key("mrn", &format!("M{n}")).to(lab.0, lab.1).build())
            .collect();
        store.append(messages).await.unwrap();
        let seqs = (1..=200).map(|n| Seq(chunk * 200 + n));
        let mut changes: Vec<Change> =
            seqs.map(|seq| Change::Settle(settled(lab.0, seq))).collect();
        let end = Seq(chunk * 200 + 200);
        changes.push(Change::Cursor { destination: lab.0, settled_to: end, frontier: end });
        store.record(changes).await.unwrap();
    }
    let touched = prune_all(&store, &retention(60, 60)).await;
    assert!(touched > 20_000, "{touched}: messages, blocks and keys of 10,000 messages");
    assert!(there(&store).await.is_empty());
    let key = Some((Some("mrn".into()), "M7".into()));
    let query = MessageQuery { key, limit: 9, ..MessageQuery::default() };
    assert!(store.search(query).await.unwrap().is_empty());
    store.close().await;
    let store = fixture.open().await;
    assert_eq!(store.status().head, Seq(10_000));
    let again = store.append(vec![message(1).build()]).await.unwrap();
    assert_eq!(again, [medway::store::Appended::New(Seq(10_001))]);
}

#[tokio::test]
async fn a_message_from_the_future_stops_nobody() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let future = 100_000_000;
    store.append(vec![message(future).build(), message(2).build()]).await.unwrap();
    prune_all(&store, &retention(60, 60)).await;
    assert_eq!(there(&store).await, [1]);
}

#[tokio::test]
async fn refused_input_is_kept_for_its_time() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    for n in 0..3 {
        let reject = Reject {
            at: Timestamp(START + n * 1_800_000_000),
            channel: "adt".into(),
            peer: "10.0.0.1:4711".into(),
            reason: "no_header: the bytes do not begin with MSH".into(),
            payload: Payload::new(vec![b'x'; 100_000]),
        };
        store.reject(reject).await.unwrap();
    }
    let kept = store.rejects(None, 10).await.unwrap();
    assert_eq!(kept.len(), 3);
    assert_eq!((kept[0].0, kept[0].1.payload.len()), (3, 65_536));
    assert_eq!(store.rejects(Some(3), 1).await.unwrap()[0].0, 2);
    assert_eq!(prune_all(&store, &retention(60, 1900)).await, 1);
    assert_eq!(store.rejects(None, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_channel_may_keep_its_messages_for_another_time() {
    let fixture = Fixture::new();
    let store = &fixture.open().await;
    let lab = fixture.destination(store, "lab").await;
    let of = |n, channel: &str| message(n).to(lab.0, lab.1).channel(channel).build();
    store
        .append(vec![of(1, "usual"), of(2, "brief"), of(3, "long"), of(4, "brief"), of(5, "usual")])
        .await
        .unwrap();
    // The fourth is not delivered yet.
    let mut changes: Vec<Change> =
        [1, 2, 3, 5].map(|seq| Change::Settle(settled(lab.0, Seq(seq)))).into();
    changes.push(Change::Except(exception(lab.0, Seq(4), ExceptionState::Retry)));
    let (settled_to, frontier) = (Seq(5), Seq(5));
    changes.push(Change::Cursor { destination: lab.0, settled_to, frontier });
    store.record(changes).await.unwrap();
    let ages = |seconds| Ages {
        bodies: Duration::from_secs(seconds),
        messages: Duration::from_secs(seconds),
    };
    let mut kept = retention(7200, 7200);
    kept.channels = BTreeMap::from([("brief".into(), ages(60)), ("long".into(), ages(86_400))]);
    prune_all(store, &kept).await;
    assert_eq!(there(store).await, [1, 3, 4, 5], "of the brief channel only what is over went");
    let mut kept = retention(60, 60);
    kept.channels = BTreeMap::from([("long".into(), ages(86_400))]);
    prune_all(store, &kept).await;
    assert_eq!(there(store).await, [3, 4]);
    let bodies = store.messages(&[Seq(3), Seq(4)]).await.unwrap();
    assert!(bodies.iter().all(|message| !message.payload.is_empty()));
}
