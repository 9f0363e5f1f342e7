//! P7: a repeated message is stored once and answered as the first time; a changed one is never lost.

use std::sync::Arc;
use std::time::Duration;

use medway::message::id::Seq;
use medway::message::plan::{Disposition, Lane};
use medway::message::verdict::IfChanged::{self, Accept, Hold, Refuse};
use medway::store::{Appended, Store};

use super::build::{Fixture, message};

async fn append(store: &Arc<dyn Store>, n: i64, content: u64, rule: IfChanged) -> Appended {
    store.append(vec![message(n).once(9, content, rule).build()]).await.unwrap().remove(0)
}

fn repeated(appended: &Appended) -> Seq {
    match appended {
        Appended::Repeat { seq, .. } => *seq,
        other => panic!("no repeat: {other:?}"),
    }
}

#[tokio::test]
async fn a_repeat_is_answered_as_the_first_time() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let first = message(1).once(9, 1, Hold).build();
    let (id, received_at) = (first.envelope.id, first.envelope.received_at);
    assert_eq!(store.append(vec![first]).await.unwrap(), [Appended::New(Seq(1))]);
    let repeat = append(&store, 2, 1, Hold).await;
    assert_eq!(repeat, Appended::Repeat { seq: Seq(1), id, received_at });
    assert_eq!(store.status().head, Seq(1));
    let other = store.append(vec![message(3).once(10, 1, Hold).build()]).await.unwrap();
    assert_eq!(other, [Appended::New(Seq(2))]);
}

#[tokio::test]
async fn a_changed_repeat_is_treated_as_the_rule_says() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let (lab, version) = fixture.destination(&store, "lab").await;
    assert_eq!(append(&store, 1, 1, Hold).await, Appended::New(Seq(1)));
    assert_eq!(append(&store, 2, 2, Refuse).await, Appended::Conflict(Seq(1)));
    let joins = || [Lane::of("4712"), Lane::of("4713"), Lane::of("4714")].into_iter().collect();
    let merge = Disposition::Deliver { lane: Lane::of("4711"), joins: joins() };
    let held = message(3).planned(lab, version, merge).once(9, 2, Hold).build();
    assert_eq!(store.append(vec![held]).await.unwrap(), [Appended::Held(Seq(2))]);
    let stored = store.messages(&[Seq(2)]).await.unwrap();
    let expected = Disposition::Hold { lane: Lane::of("4711"), joins: joins() };
    assert_eq!(stored[0].plan.entry(lab).unwrap().disposition, expected);
    assert_eq!(append(&store, 4, 3, Accept).await, Appended::New(Seq(3)));
    // Each content that was stored is known from then on.
    for (content, seq) in [(1, 1), (2, 2), (3, 3)] {
        assert_eq!(repeated(&append(&store, 5, content, Hold).await), Seq(seq));
    }
}

#[tokio::test]
async fn repeats_are_recognised_within_one_commit() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let twice = vec![
        message(1).once(9, 1, Hold).build(),
        message(2).once(9, 1, Hold).build(),
        message(3).once(9, 2, Refuse).build(),
    ];
    let answers = store.append(twice).await.unwrap();
    assert_eq!(answers[0], Appended::New(Seq(1)));
    assert_eq!(repeated(&answers[1]), Seq(1));
    assert_eq!(answers[2], Appended::Conflict(Seq(1)));
    let appends = (0..50).map(|n| {
        let store = Arc::clone(&store);
        async move { append(&store, 10 + n, 7, Accept).await }
    });
    let answers = futures_util::future::join_all(appends).await;
    let stored = answers.iter().filter(|answer| matches!(answer, Appended::New(_))).count();
    assert_eq!(stored, 1);
}

#[tokio::test]
async fn repeats_are_recognised_after_a_restart() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    for n in 0..600 {
        let identity = u64::try_from(n).unwrap();
        store.append(vec![message(n).once(identity, 1, Hold).build()]).await.unwrap();
    }
    store.close().await;
    let store = fixture.open().await;
    // At once, while the memory may still be read back, and again when it surely was.
    for _ in 0..2 {
        for n in [0_u64, 300, 599] {
            let again = message(5000).once(n, 1, Hold).build();
            let answer = store.append(vec![again]).await.unwrap().remove(0);
            assert_eq!(repeated(&answer), Seq(i64::try_from(n).unwrap() + 1));
            let changed = message(5000).once(n, 2, Refuse).build();
            let answer = store.append(vec![changed]).await.unwrap().remove(0);
            assert_eq!(answer, Appended::Conflict(Seq(i64::try_from(n).unwrap() + 1)));
        }
        for n in 10_000..10_020 {
            store.append(vec![message(n).build()]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn beyond_the_rules_time_it_is_a_new_message() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let within = Duration::from_millis(10);
    let at = |n: i64| message(n).once_within(9, 1, Hold, within).build();
    assert_eq!(store.append(vec![at(0)]).await.unwrap(), [Appended::New(Seq(1))]);
    assert_eq!(repeated(&store.append(vec![at(10)]).await.unwrap()[0]), Seq(1));
    assert_eq!(store.append(vec![at(11)]).await.unwrap(), [Appended::New(Seq(2))]);
    assert_eq!(repeated(&store.append(vec![at(12)]).await.unwrap()[0]), Seq(2));
}
