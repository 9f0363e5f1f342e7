//! Lanes: one patient's trouble is his alone; strict order; merges.

use std::sync::Arc;

use medway::delivery::options::DeliveryOptions;
use medway::delivery::policy::AckPolicy;
use medway::delivery::queue::Act;
use medway::message::plan::{Disposition, Joins, Lane};
use medway::store::ExceptionState;

use super::rig::{Does, Receiver, Rig, accepted, lane, options, rejected};

fn holding() -> DeliveryOptions {
    DeliveryOptions { policy: AckPolicy::strict_order(), ..options() }
}

/// Takes everything but bodies that contain `word`.
fn refusing(word: &'static str) -> Arc<Receiver> {
    Receiver::new(move |body, _| {
        Does::Answers(if body.contains(word) { rejected("AE") } else { accepted() })
    })
}

#[tokio::test]
async fn one_patient_rejected_for_ever_stops_nobody_else() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let receiver = refusing("bad");
    let id = engine.start("emr", &receiver, holding()).await;
    let mut messages = Vec::new();
    for round in 0..3 {
        for patient in 0..1000 {
            let bad = if (patient, round) == (417, 0) { " bad" } else { "" };
            let body = format!("{patient} {round}{bad}");
            messages.push(engine.message(&body, &[(id, lane(&format!("P{patient}")))]));
        }
    }
    let seqs = engine.append(messages).await;
    let taken = receiver.has_accepted(2997).await;
    assert!(!taken.iter().any(|body| body.starts_with("417 ")));
    for patient in [0, 416, 999] {
        let own: Vec<_> =
            taken.iter().filter(|body| body.starts_with(&format!("{patient} "))).collect();
        assert_eq!(
            own,
            [&format!("{patient} 0"), &format!("{patient} 1"), &format!("{patient} 2")]
        );
    }
    let status = engine.until(id, |status| status.pending + status.in_flight == 0).await;
    assert_eq!((status.held, status.behind, status.retry), (1, 2, 0));
    assert_eq!(status.last_error.as_deref(), Some("rejected (AE)"));
    let blocked = engine.deliveries.blocked_lanes(id, 10).unwrap();
    assert_eq!(blocked.len(), 1);
    assert_eq!((blocked[0].head, blocked[0].behind), (seqs[417], 2));
    assert_eq!((blocked[0].state, &*blocked[0].cause), (ExceptionState::Held, "rejected"));

    receiver.becomes(|_, _| Does::Answers(accepted()));
    engine
        .deliveries
        .act(id, Act::Release, seqs[417], "ana", "the EMR knows him now")
        .await
        .unwrap();
    let taken = receiver.has_accepted(3000).await;
    assert_eq!(taken[2997..], ["417 0 bad", "417 1", "417 2"]);
    engine.until(id, |status| status.held + status.behind + status.in_flight == 0).await;
    assert!(engine.deliveries.blocked_lanes(id, 10).unwrap().is_empty());
    engine.shut_down().await;
    let engine = rig.open().await;
    assert_eq!(engine.sums(id).await.delivered, 3000);
}

#[tokio::test]
async fn a_skipped_delivery_lets_its_lane_go_on() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let receiver = refusing("bad");
    let id = engine.start("emr", &receiver, holding()).await;
    let seqs = engine.receive(id, &[("A", "1 bad"), ("A", "2"), ("A", "3 bad"), ("A", "4")]).await;
    engine.until(id, |status| status.held == 1 && status.behind == 3).await;
    engine.deliveries.act(id, Act::Skip, seqs[0], "ana", "entered by hand").await.unwrap();
    receiver.has_accepted(1).await;
    engine.until(id, |status| status.held == 1 && status.behind == 1).await;
    engine.deliveries.act(id, Act::DeadLetter, seqs[2], "ana", "wrong patient").await.unwrap();
    assert_eq!(receiver.has_accepted(2).await, ["2", "4"]);
    let views = engine.store.deliveries(seqs[0]).await.unwrap();
    assert_eq!(views[0].state, "cancelled");
    let act = views[0].attempts.last().unwrap();
    assert_eq!((&*act.outcome, &*act.answer.text), ("skipped", "ana: entered by hand"));
    engine.shut_down().await;
    let engine = rig.open().await;
    let sums = engine.sums(id).await;
    assert_eq!((sums.delivered, sums.dead, sums.cancelled, sums.planned), (2, 1, 1, 4));
}

#[tokio::test]
async fn a_strict_destination_waits_as_a_whole_and_its_backlog_stays_in_the_log() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let receiver = refusing("bad");
    let id = engine.start("lab", &receiver, holding()).await;
    let bodies: Vec<String> =
        (0..50).map(|n| if n == 10 { "10 bad".to_owned() } else { n.to_string() }).collect();
    let messages: Vec<_> = bodies.iter().map(|body| ("strict", body.as_str())).collect();
    let seqs = engine.receive(id, &messages).await;
    let status = engine.until(id, |status| status.held == 1).await;
    assert_eq!((status.behind, status.pending), (0, 39));
    assert_eq!(receiver.accepted(), bodies[..10]);
    engine.deliveries.act(id, Act::Skip, seqs[10], "ana", "sent twice").await.unwrap();
    let taken = receiver.has_accepted(49).await;
    assert_eq!(taken[10..], bodies[11..]);
    engine.shut_down().await;
}

#[tokio::test]
async fn a_merge_waits_for_both_patients_and_both_wait_for_it() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let receiver = Receiver::new(|body, _| match body {
        "B1" => Does::WaitsForGate,
        _ => Does::Answers(accepted()),
    });
    let id = engine.start("emr", &receiver, options()).await;
    let merge = Disposition::Deliver { lane: Lane::of("A"), joins: Joins::one(Lane::of("B")) };
    let plan = [
        ("A1", lane("A")),
        ("B1", lane("B")),
        ("AB", merge),
        ("A2", lane("A")),
        ("B2", lane("B")),
        ("C1", lane("C")),
    ];
    let messages = plan.iter().map(|(body, way)| engine.message(body, &[(id, way.clone())]));
    engine.append(messages.collect()).await;
    let mut early = receiver.has_accepted(2).await;
    early.sort_unstable();
    assert_eq!(early, ["A1", "C1"]);
    assert_eq!(receiver.journal().len(), 3, "nothing passes the merge");
    receiver.open_gate();
    let all = receiver.has_accepted(6).await;
    assert_eq!(all[2..4], ["B1", "AB"]);
    engine.shut_down().await;
}

#[tokio::test]
async fn a_held_merge_keeps_the_order_of_all_its_patients_over_a_restart() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let receiver = Receiver::willing();
    let id = engine.start("emr", &receiver, options()).await;
    let joins = ["B", "C", "D"].map(Lane::of).into_iter().collect();
    let plan = [
        ("ABCD", Disposition::Hold { lane: Lane::of("A"), joins }),
        ("D2", lane("D")),
        ("C2", lane("C")),
        ("B2", lane("B")),
        ("E1", lane("E")),
    ];
    let messages = plan.iter().map(|(body, way)| engine.message(body, &[(id, way.clone())]));
    let seqs = engine.append(messages.collect()).await;
    engine.until(id, |status| status.held == 1 && status.behind == 3).await;
    assert_eq!(receiver.has_accepted(1).await, ["E1"]);
    engine.shut_down().await;

    let engine = rig.open().await;
    engine.start("emr", &receiver, options()).await;
    engine.until(id, |status| status.held == 1 && status.behind == 3).await;
    engine.receive(id, &[("C", "C3")]).await;
    engine.until(id, |status| status.behind == 4).await;
    engine.deliveries.act(id, Act::Release, seqs[0], "ana", "a real merge").await.unwrap();
    let all = receiver.has_accepted(6).await;
    assert_eq!(all[..2], ["E1", "ABCD"]);
    let of_c: Vec<&String> = all.iter().filter(|body| body.starts_with('C')).collect();
    assert_eq!(of_c, ["C2", "C3"]);
    engine.shut_down().await;
}

#[tokio::test]
async fn without_an_order_nothing_waits() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let receiver = refusing("bad");
    let id = engine.start("archive", &receiver, holding()).await;
    engine.receive(id, &[("", "1 bad"), ("", "2"), ("", "3")]).await;
    receiver.has_accepted(2).await;
    let status = engine.until(id, |status| status.held == 1).await;
    assert_eq!(status.behind, 0);
    engine.shut_down().await;
}
