//! What people do to deliveries, and the record of it.

use medway::delivery::CommandError;
use medway::delivery::queue::{Act, ActError};
use medway::message::id::Seq;

use super::rig::{Does, Receiver, Rig, accepted, later, options, rejected};

#[tokio::test]
async fn a_dead_letter_goes_back_to_its_old_place() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let receiver = Receiver::new(|body, _| {
        Does::Answers(if body == "1" { rejected("AE") } else { accepted() })
    });
    let id = engine.start("emr", &receiver, options()).await;
    let seqs = engine.receive(id, &[("A", "1"), ("A", "2")]).await;
    receiver.has_accepted(1).await;
    engine.until(id, |status| status.dead == 1 && status.in_flight == 0).await;
    let deliveries = &engine.deliveries;
    let wrong = deliveries.act(id, Act::Release, seqs[0], "ana", "try").await;
    assert!(matches!(wrong, Err(CommandError::Act(ActError::NotWaiting(_)))));

    deliveries.pause(id, "ana", "repair").await.unwrap();
    engine.receive(id, &[("A", "3")]).await;
    engine.until(id, |status| status.pending == 1).await;
    receiver.becomes(|_, _| Does::Answers(accepted()));
    deliveries.retry_dead(id, seqs[0], "ana", "table corrected").await.unwrap();
    let twice = deliveries.retry_dead(id, seqs[0], "ana", "again").await;
    assert!(matches!(twice, Err(CommandError::Act(ActError::WrongState { .. }))));
    deliveries.resume(id, "ana", "repaired").await.unwrap();
    assert_eq!(receiver.has_accepted(3).await, ["2", "1", "3"]);
    let status = engine.until(id, |status| status.in_flight == 0 && status.pending == 0).await;
    assert_eq!((status.dead, status.retry, status.behind), (0, 0, 0));
    engine.shut_down().await;
    let engine = rig.open().await;
    assert_eq!(engine.sums(id).await.delivered, 3);
}

#[tokio::test]
async fn a_wait_can_be_cut_short() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let receiver =
        Receiver::new(|_, times| Does::Answers(if times == 1 { later("AR") } else { accepted() }));
    let id = engine.start("emr", &receiver, options()).await;
    let seqs = engine.receive(id, &[("A", "1")]).await;
    engine.until(id, |status| status.retry == 1 && status.in_flight == 0).await;
    engine.deliveries.act(id, Act::RetryNow, seqs[0], "ana", "it is up again").await.unwrap();
    receiver.has_accepted(1).await;
    engine.shut_down().await;
}

#[tokio::test]
async fn anything_not_sent_can_be_cancelled_even_in_the_log() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let receiver = Receiver::willing();
    let small = medway::delivery::options::DeliveryOptions { window: 2, ..options() };
    let id = engine.start("emr", &receiver, small.clone()).await;
    let deliveries = &engine.deliveries;
    deliveries.pause(id, "ana", "maintenance").await.unwrap();
    let bodies: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let messages: Vec<_> = bodies.iter().map(|body| ("A", body.as_str())).collect();
    let seqs = engine.receive(id, &messages[..200]).await;
    let more = engine.receive(id, &messages[200..]).await;
    engine.until(id, |status| status.pending == 300).await;
    deliveries.act(id, Act::Cancel, seqs[0], "ana", "wrong").await.unwrap();
    deliveries.act(id, Act::Cancel, more[99], "ana", "wrong").await.unwrap();
    let again = deliveries.act(id, Act::Cancel, more[99], "ana", "wrong").await;
    assert!(matches!(again, Err(CommandError::Act(_))), "{again:?}");
    let unknown = deliveries.act(id, Act::Cancel, Seq(9999), "ana", "wrong").await;
    assert!(matches!(unknown, Err(CommandError::Act(ActError::NotWaiting(_)))));
    engine.shut_down().await;

    let engine = rig.open().await;
    engine.start("emr", &receiver, small).await;
    engine.deliveries.resume(id, "ana", "done").await.unwrap();
    assert_eq!(receiver.has_accepted(298).await, bodies[1..299]);
    engine.shut_down().await;
    let engine = rig.open().await;
    let sums = engine.sums(id).await;
    assert_eq!((sums.delivered, sums.cancelled, sums.pending), (298, 2, 0));
}

#[tokio::test]
async fn an_act_needs_a_name_a_reason_and_a_running_destination() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let receiver = Receiver::willing();
    let id = engine.start("emr", &receiver, options()).await;
    let deliveries = &engine.deliveries;
    let nameless = deliveries.act(id, Act::Skip, Seq(1), "", "why").await;
    assert!(matches!(nameless, Err(CommandError::NoReason)));
    assert!(matches!(deliveries.pause(id, "ana", "").await, Err(CommandError::NoReason)));
    deliveries.stop(id).await.unwrap();
    let stopped = deliveries.pause(id, "ana", "x").await;
    assert!(matches!(stopped, Err(CommandError::NotRunning(_))));
    engine.start("emr", &receiver, options()).await;
    engine.receive(id, &[("A", "1")]).await;
    receiver.has_accepted(1).await;
    engine.shut_down().await;
}

#[tokio::test]
async fn a_replaced_transport_takes_over_without_losing_a_place() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let old = Receiver::new(|_, _| Does::Answers(super::rig::refused()));
    let new = Receiver::willing();
    let id = engine.start("emr", &old, options()).await;
    engine.receive(id, &[("A", "1"), ("A", "2"), ("B", "3"), ("C", "4")]).await;
    engine.until(id, |status| status.breaker.starts_with("open")).await;
    engine.deliveries.replace(id, new.clone(), options()).unwrap();
    let taken = new.has_accepted(4).await;
    let place = |body: &str| taken.iter().position(|other| other == body).unwrap();
    assert!(place("1") < place("2"));
    engine.shut_down().await;
}
