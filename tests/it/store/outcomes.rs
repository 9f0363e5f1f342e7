//! What became of each delivery: settled, exception rows, cursors, and the sums of P4.

use std::sync::Arc;

use medway::message::id::{DestinationId, Seq, VersionId};
use medway::message::outcome::Answer;
use medway::message::plan::{Joins, Lane};
use medway::message::time::Timestamp;
use medway::store::{
    Attempt, Change, Conservation, Exception, ExceptionQuery, ExceptionState, Pause, Store,
};

use super::build::{Fixture, START, exception, message, settled};

async fn append(store: &Arc<dyn Store>, to: (DestinationId, VersionId), count: i64) {
    let messages = (0..count).map(|n| message(n).to(to.0, to.1).build()).collect();
    store.append(messages).await.unwrap();
}

fn cursor(destination: DestinationId, settled_to: i64, frontier: i64) -> Change {
    Change::Cursor { destination, settled_to: Seq(settled_to), frontier: Seq(frontier) }
}

async fn states(store: &Arc<dyn Store>, seqs: &[i64]) -> Vec<&'static str> {
    let mut states = Vec::new();
    for seq in seqs {
        states.extend(store.deliveries(Seq(*seq)).await.unwrap().iter().map(|view| view.state));
    }
    states
}

#[tokio::test]
async fn a_destination_stands_where_it_stood_before_a_restart() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let lab = fixture.destination(&store, "lab").await;
    append(&store, lab, 10).await;
    let id = lab.0;
    let mut merge = exception(id, Seq(6), ExceptionState::Retry);
    merge.joins = Joins::one(Lane::of("4712"));
    store
        .record(vec![
            Change::Settle(settled(id, Seq(1))),
            Change::Settle(settled(id, Seq(2))),
            Change::Except(exception(id, Seq(3), ExceptionState::Dead)),
            Change::Settle(settled(id, Seq(5))),
            Change::Except(merge),
            Change::Except(exception(id, Seq(7), ExceptionState::Behind)),
            cursor(id, 3, 6),
        ])
        .await
        .unwrap();
    let pause = Pause { by: "ana".into(), reason: "upgrade".into(), at: Timestamp(START) };
    store.set_paused(id, Some(pause.clone())).await.unwrap();
    store.close().await;
    let store = fixture.open().await;
    let state = store.destination_state(id).await.unwrap();
    assert_eq!(state.settled_to, Seq(3));
    assert_eq!(state.settled_above, [Seq(5)]);
    assert_eq!(state.excepted_above, [Seq(6), Seq(7)]);
    let mut blocked = vec![(Lane::of("4711"), 2), (Lane::of("4712"), 1)];
    blocked.sort_unstable();
    assert_eq!(state.blocked, blocked);
    assert_eq!(state.paused, Some(pause));
    store.set_paused(id, None).await.unwrap();
    assert_eq!(store.destination_state(id).await.unwrap().paused, None);
    assert_eq!(
        states(&store, &[1, 3, 4, 5, 6, 7, 10]).await,
        ["delivered", "dead", "pending", "delivered", "retry", "behind", "pending"]
    );
    let sums = store.conservation().await.unwrap();
    assert_eq!(
        sums,
        [Conservation {
            destination: id.0,
            planned: 10,
            delivered: 3,
            dead: 1,
            retry: 1,
            behind: 1,
            pending: 4,
            ..Conservation::default()
        }]
    );
}

#[tokio::test]
async fn a_delivery_shows_its_evidence() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let lab = fixture.destination(&store, "lab").await;
    append(&store, lab, 1).await;
    let attempt = |number: u32| Attempt {
        destination: lab.0,
        seq: Seq(1),
        number,
        at: Timestamp(START + i64::from(number)),
        duration: std::time::Duration::from_millis(3),
        outcome: "rejected".into(),
        answer: Answer::new("AE", "no such patient"),
        sent_hash: 11,
    };
    let retry = exception(lab.0, Seq(1), ExceptionState::Retry);
    store.record(vec![Change::Attempt(attempt(1)), Change::Except(retry.clone())]).await.unwrap();
    let view = store.deliveries(Seq(1)).await.unwrap().remove(0);
    assert_eq!((view.state, view.exception), ("retry", Some(retry)));
    assert_eq!(view.attempts, [attempt(1)]);
    let taken = settled(lab.0, Seq(1));
    store.record(vec![Change::Settle(taken.clone()), cursor(lab.0, 1, 1)]).await.unwrap();
    let view = store.deliveries(Seq(1)).await.unwrap().remove(0);
    assert_eq!((view.state, view.exception, view.settled), ("delivered", None, Some(taken)));
    assert_eq!(view.attempts.len(), 1);
    let many = (2..=500).map(|number| Change::Attempt(attempt(number))).collect();
    store.record(many).await.unwrap();
    let view = store.deliveries(Seq(1)).await.unwrap().remove(0);
    let numbers: Vec<u32> = view.attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers.len(), 100, "attempts are kept up to a limit");
    assert_eq!((numbers[0], numbers[9], numbers[10], numbers[99]), (1, 10, 411, 500));
}

#[tokio::test]
async fn exception_rows_are_found_by_every_condition() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let lab = fixture.destination(&store, "lab").await;
    let emr = fixture.destination(&store, "emr").await;
    let mut rows: Vec<Exception> = Vec::new();
    for seq in 1..=40 {
        let state = match seq % 4 {
            0 => ExceptionState::Retry,
            1 => ExceptionState::Held,
            2 => ExceptionState::Behind,
            _ => ExceptionState::Dead,
        };
        let mut row = exception(if seq % 3 == 0 { emr.0 } else { lab.0 }, Seq(seq), state);
        row.lane = Lane(10 + u64::try_from(seq % 5).unwrap());
        row.joins = match seq % 7 {
            0 => Joins::one(Lane(12)),
            // Found by each of its lanes.
            1 => [15, 16, 17].into_iter().map(Lane).collect(),
            _ => Joins::NONE,
        };
        rows.push(row);
    }
    store.record(rows.iter().cloned().map(Change::Except).collect()).await.unwrap();
    rows.sort_by_key(|row| (row.destination, row.seq));
    let due = Timestamp(START + 20);
    for destination in [None, Some(lab.0), Some(emr.0)] {
        for state in [None, Some(ExceptionState::Retry), Some(ExceptionState::Dead)] {
            for lane in [None, Some(Lane(12)), Some(Lane(15)), Some(Lane(17))] {
                for due in [None, Some(due)] {
                    for after in [None, Some((lab.0, Seq(11))), Some((emr.0, Seq(11)))] {
                        let query =
                            ExceptionQuery { destination, state, lane, due, after, limit: 6 };
                        check_query(&store, &rows, query).await;
                    }
                }
            }
        }
    }
}

async fn check_query(store: &Arc<dyn Store>, rows: &[Exception], query: ExceptionQuery) {
    let limit = usize::try_from(query.limit).unwrap();
    let expected: Vec<Exception> = rows
        .iter()
        .filter(|row| query.destination.is_none_or(|id| row.destination == id))
        .filter(|row| query.state.is_none_or(|state| row.state == state))
        .filter(|row| {
            query.lane.is_none_or(|lane| row.lane == lane || row.joins.lanes().contains(&lane))
        })
        .filter(|row| {
            query.due.is_none_or(|due| row.state == ExceptionState::Retry && row.due <= due)
        })
        .filter(|row| query.after.is_none_or(|after| (row.destination, row.seq) > after))
        .take(limit)
        .cloned()
        .collect();
    let found = store.exceptions(query.clone()).await.unwrap();
    assert_eq!(found, expected, "{query:?}");
}

#[tokio::test]
async fn a_cleared_delivery_is_pending_again() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let lab = fixture.destination(&store, "lab").await;
    append(&store, lab, 3).await;
    store
        .record(vec![
            Change::Except(exception(lab.0, Seq(1), ExceptionState::Held)),
            Change::Settle(settled(lab.0, Seq(2))),
            cursor(lab.0, 2, 2),
        ])
        .await
        .unwrap();
    store.record(vec![Change::Clear(lab.0, Seq(1))]).await.unwrap();
    assert_eq!(states(&store, &[1, 2, 3]).await, ["pending", "delivered", "pending"]);
    let state = store.destination_state(lab.0).await.unwrap();
    assert_eq!((state.settled_to, state.settled_above), (Seq(0), vec![Seq(2)]));
    let sums = store.conservation().await.unwrap();
    assert_eq!((sums[0].pending, sums[0].unaccounted.len()), (2, 0));
}

#[tokio::test]
async fn conservation_names_what_nobody_accounts_for() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let lab = fixture.destination(&store, "lab").await;
    append(&store, lab, 3).await;
    let lost = vec![Change::Settle(settled(lab.0, Seq(1))), cursor(lab.0, 2, 2)];
    store.record(lost).await.unwrap();
    assert_eq!(store.conservation().await.unwrap()[0].unaccounted, [Seq(2)]);
    assert_eq!(states(&store, &[2]).await, ["unaccounted"]);
    let twice = vec![Change::Settle(settled(lab.0, Seq(2)))];
    store.record(twice).await.unwrap();
    assert!(store.conservation().await.unwrap()[0].unaccounted.is_empty());
    let dead = vec![Change::Except(exception(lab.0, Seq(2), ExceptionState::Dead))];
    store.record(dead).await.unwrap();
    assert_eq!(store.conservation().await.unwrap()[0].unaccounted, [Seq(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sums_hold_at_every_moment_under_load() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let lab = fixture.destination(&store, "lab").await;
    let emr = fixture.destination(&store, "emr").await;
    let intake = async {
        for n in 0..400 {
            let both = message(n).to(lab.0, lab.1).to(emr.0, emr.1).build();
            store.append(vec![both]).await.unwrap();
        }
    };
    let audit = async {
        for _ in 0..40 {
            for sum in store.conservation().await.unwrap() {
                assert!(sum.unaccounted.is_empty(), "{sum:?}");
                let states = sum.delivered + sum.dead + sum.pending;
                assert_eq!(sum.planned, states, "{sum:?}");
            }
        }
    };
    tokio::join!(intake, run(&store, lab.0), run(&store, emr.0), audit);
    for sum in store.conservation().await.unwrap() {
        assert_eq!((sum.planned, sum.delivered, sum.dead), (400, 360, 40));
    }
}

/// A runner: every tenth delivery is dead, the rest are settled, the cursor follows.
async fn run(store: &Arc<dyn Store>, destination: DestinationId) {
    let mut done = Seq(0);
    while done < Seq(400) {
        let page = store.read_log(destination, done, 16, 1 << 20).await.unwrap();
        let mut changes: Vec<Change> = Vec::new();
        for message in &page.messages {
            changes.push(if message.seq.0 % 10 == 0 {
                Change::Except(exception(destination, message.seq, ExceptionState::Dead))
            } else {
                Change::Settle(settled(destination, message.seq))
            });
        }
        if page.read_to == done {
            tokio::task::yield_now().await;
            continue;
        }
        done = page.read_to;
        changes.push(cursor(destination, done.0, done.0));
        store.record(changes).await.unwrap();
    }
}
