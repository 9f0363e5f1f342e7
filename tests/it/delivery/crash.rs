//! The process dies: everything accepted is delivered after the next start, in the order of its lane.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use medway::delivery::options::DeliveryOptions;
use medway::delivery::queue::RunnerStatus;
use medway::delivery::retry::RetryPolicy;
use tokio::runtime::Runtime;

use super::rig::{Does, Receiver, Rig, accepted, lane, later, no_answer, options};

/// Some fail for a while; which ones follows from the body.
fn moody() -> Arc<Receiver> {
    Receiver::new(|body, times| {
        let n: usize = body.split(' ').next_back().unwrap().parse().unwrap();
        Does::Answers(match (n % 17, times) {
            (3, 1) => no_answer(),
            (5, 1 | 2) => later("AR"),
            _ => accepted(),
        })
    })
}

/// Tries for ever: the test's clock runs fast.
fn patient() -> DeliveryOptions {
    let retry = RetryPolicy { age_max: None, ..options().retry };
    DeliveryOptions { retry, ..options() }
}

/// The first time each body was accepted, in order, by lane.
fn firsts(accepted: &[String]) -> BTreeMap<String, Vec<usize>> {
    let mut known = BTreeSet::new();
    let mut lanes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for body in accepted.iter().filter(|body| known.insert((*body).clone())) {
        let (lane, n) = body.split_once(' ').unwrap();
        lanes.entry(lane.to_owned()).or_default().push(n.parse().unwrap());
    }
    lanes
}

#[test]
fn a_crash_at_any_moment_loses_nothing_and_keeps_each_lanes_order() {
    const MESSAGES: usize = 900;
    let rig = Rig::new();
    let receiver = moody();
    let mut sent = 0;
    for crash in 0..6 {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let engine = rig.open().await;
            let id = engine.start("emr", &receiver, patient()).await;
            let before = receiver.accepted().len();
            let messages = (sent..sent + MESSAGES / 6).map(|n| {
                engine.message(&format!("L{} {n}", n % 40), &[(id, lane(&format!("L{}", n % 40)))])
            });
            engine.append(messages.collect()).await;
            engine.pass_time(5);
            receiver.has_accepted(before + 10 + crash * 13).await;
            // Everything of this life ends with its runtime, at whatever it was doing.
        });
        sent += MESSAGES / 6;
        runtime.shutdown_background();
    }
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let engine = rig.open().await;
        let id = engine.start("emr", &receiver, patient()).await;
        let done = |status: &RunnerStatus| {
            let waiting = status.pending + status.retry + status.behind + status.held;
            waiting + status.in_flight == 0 && !status.lagging
        };
        loop {
            engine.pass_time(60);
            tokio::task::yield_now().await;
            if done(&engine.deliveries.status(id).unwrap()) {
                break;
            }
        }
        engine.shut_down().await;
    });
    for (lane, order) in firsts(&receiver.accepted()) {
        assert!(order.is_sorted(), "{lane}: {order:?}");
    }
    let known: BTreeSet<String> = receiver.accepted().into_iter().collect();
    assert_eq!(known.len(), MESSAGES);
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (body, id) in receiver.journal() {
        ids.entry(body).or_default().insert(id);
    }
    assert!(ids.values().all(|ids| ids.len() == 1), "a repeat carries the same id");
    runtime.block_on(async {
        let engine = rig.open().await;
        let id = engine.destination("emr").await;
        let sums = engine.sums(id).await;
        assert_eq!((sums.delivered, sums.planned), (900, 900));
    });
}

#[tokio::test]
async fn a_stop_lets_end_what_is_being_sent_and_forgets_the_rest() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let receiver = Receiver::new(|_, _| Does::WaitsForGate);
    let options = DeliveryOptions { parallel: 2, ..options() };
    let id = engine.start("emr", &receiver, options.clone()).await;
    engine.receive(id, &[("A", "1"), ("B", "2"), ("C", "3"), ("A", "4")]).await;
    receiver.has_seen(2).await;
    let stopping = engine.shut_down();
    receiver.open_gate();
    stopping.await;
    let early = receiver.accepted();
    let engine = rig.open().await;
    let sums = engine.sums(id).await;
    assert_eq!(usize::try_from(sums.delivered).unwrap(), early.len());
    assert_eq!(sums.delivered + sums.pending, 4);
    engine.start("emr", &receiver, options).await;
    receiver.has_accepted(4).await;
    engine.shut_down().await;
    assert_eq!(receiver.journal().len(), 4, "nothing is repeated after a clean stop");
}

fn lane_of(body: &str) -> &str {
    body.split(' ').next().unwrap()
}

#[tokio::test]
async fn a_delivery_that_crashes_starts_again_and_nothing_is_lost() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let (shaken, calm) = (Receiver::willing(), Receiver::willing());
    let options = DeliveryOptions { parallel: 4, ..options() };
    let id = engine.start("shaken", &shaken, options.clone()).await;
    let other = engine.start("calm", &calm, options).await;
    let bodies =
        (0..60).map(|n| if n == 20 { "L0 bomb 20".into() } else { format!("L{} {n}", n % 4) });
    let bodies: Vec<String> = bodies.collect();
    let keyed: Vec<(&str, &str)> =
        bodies.iter().map(|body| (lane_of(body), body.as_str())).collect();
    engine.receive(id, &keyed).await;
    let status = engine
        .until(id, |status| status.stalled.as_deref().is_some_and(|why| why.contains("crashed")))
        .await;
    assert_eq!(status.held, 0, "no message is to blame: {status:?}");
    // What comes meanwhile waits here and flows there.
    engine.receive(id, &[("L1", "L1 60")]).await;
    engine.receive(other, &[("A", "A 1"), ("B", "B 2")]).await;
    calm.has_accepted(2).await;
    shaken.has_accepted(61).await;
    let through = |status: &RunnerStatus| {
        let waiting = status.pending + status.retry + status.behind + status.held;
        waiting + status.in_flight == 0 && !status.lagging && status.stalled.is_none()
    };
    engine.until(id, through).await;
    engine.shut_down().await;
    let accepted = shaken.accepted();
    let known: BTreeSet<&String> = accepted.iter().collect();
    assert_eq!(known.len(), 61, "everything arrived");
    let mut lanes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for body in accepted.iter().filter(|body| seen.insert((*body).clone())) {
        let number = body.split(' ').next_back().unwrap().parse().unwrap();
        lanes.entry(lane_of(body)).or_default().push(number);
    }
    assert!(lanes.values().all(|lane| lane.is_sorted()), "each lane in its order: {lanes:?}");
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (body, id) in shaken.journal() {
        ids.entry(body).or_default().insert(id);
    }
    assert!(ids.values().all(|ids| ids.len() == 1), "a repeat carries the same id");
    let engine = rig.open().await;
    let sums = engine.sums(id).await;
    assert_eq!((sums.planned, sums.delivered), (61, 61));
}
