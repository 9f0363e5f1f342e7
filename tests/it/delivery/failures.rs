//! Failures: one destination's are its own; waits follow the rule; a repeat is the same message.

use medway::delivery::breaker::BreakerOptions;
use medway::delivery::options::DeliveryOptions;
use medway::delivery::policy::{AckPolicy, Reaction};
use medway::delivery::queue::Act;
use medway::delivery::retry::{Exhausted, RetryPolicy};
use medway::message::plan::{Disposition, Joins, Lane};

use super::rig::{Does, Receiver, Rig, accepted, lane, later, no_answer, options, refused};

#[tokio::test]
async fn a_hung_and_a_refusing_destination_delay_no_other() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let hung = Receiver::new(|_, _| Does::Hangs);
    let closed = Receiver::new(|_, _| Does::Answers(refused()));
    let well = Receiver::willing();
    let small =
        DeliveryOptions { window: 50, drain: std::time::Duration::from_millis(10), ..options() };
    let ids = [
        engine.start("hung", &hung, small.clone()).await,
        engine.start("closed", &closed, small.clone()).await,
        engine.start("well", &well, small).await,
    ];
    let messages = (0..2000).map(|n| {
        let to = ids.map(|id| (id, lane(&format!("P{}", n % 100))));
        engine.message(&n.to_string(), &to)
    });
    engine.append(messages.collect()).await;
    well.has_accepted(2000).await;
    let status = engine.until(ids[0], |status| status.in_flight == 16).await;
    assert_eq!((status.pending, status.retry), (1984, 0));
    let status = engine.until(ids[1], |status| status.breaker.starts_with("open")).await;
    assert_eq!((status.retry, status.behind, status.held), (0, 0, 0), "no rows for an outage");
    assert!(status.stalled.unwrap().contains("breaker"));
    assert!(closed.journal().len() <= 32);
    closed.becomes(|_, _| Does::Answers(accepted()));
    engine.pass_time(3);
    closed.has_accepted(2000).await;
    engine.shut_down().await;
}

#[tokio::test]
async fn an_open_breaker_sends_one_probe_at_a_time_each_of_another_lane() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let receiver = Receiver::new(|_, _| Does::Answers(refused()));
    let options =
        DeliveryOptions { parallel: 1, breaker: BreakerOptions { failures: 1 }, ..options() };
    let id = engine.start("emr", &receiver, options).await;
    engine.receive(id, &[("A", "a"), ("B", "b"), ("C", "c"), ("A", "a2")]).await;
    receiver.has_seen(1).await;
    for (probes, wait) in [(2, 2), (3, 4), (4, 8)] {
        engine.until(id, |status| status.breaker.starts_with("open")).await;
        engine.pass_time(wait - 1);
        tokio::task::yield_now().await;
        assert_eq!(receiver.journal().len(), probes - 1);
        engine.pass_time(1);
        receiver.has_seen(probes).await;
    }
    let order: Vec<String> = receiver.journal().into_iter().map(|(body, _)| body).collect();
    assert_eq!(order, ["a", "b", "c", "a"]);
    engine.until(id, |status| status.breaker.starts_with("open")).await;
    receiver.becomes(|_, _| Does::Answers(accepted()));
    engine.pass_time(16);
    receiver.has_accepted(4).await;
    engine.shut_down().await;
}

#[tokio::test]
async fn retries_follow_the_schedule_and_then_the_rule() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let receiver =
        Receiver::new(|body, _| Does::Answers(if body == "1" { later("AR") } else { accepted() }));
    let retry =
        RetryPolicy { attempts_max: Some(4), then: Exhausted::DeadLetter, ..options().retry };
    let id = engine.start("emr", &receiver, DeliveryOptions { retry, ..options() }).await;
    let seqs = engine.receive(id, &[("A", "1"), ("A", "2"), ("B", "3")]).await;
    receiver.has_accepted(1).await;
    for (attempts, wait) in [(1, 2), (2, 4), (3, 8)] {
        let status = engine.until(id, |status| status.retry == 1 && status.in_flight == 0).await;
        assert_eq!(status.behind, 1);
        let due = status.next_attempt.unwrap();
        engine.pass_time(wait - 1);
        assert_eq!(receiver.journal().iter().filter(|(body, _)| body == "1").count(), attempts);
        engine.pass_time(1);
        receiver.has_seen(attempts + 2).await;
        engine.until(id, |status| status.next_attempt != Some(due)).await;
    }
    assert_eq!(receiver.has_accepted(2).await, ["3", "2"]);
    let status = engine.until(id, |status| status.dead == 1 && status.in_flight == 0).await;
    assert_eq!((status.retry, status.behind), (0, 0));
    engine.shut_down().await;
    let engine = rig.open().await;
    let views = engine.store.deliveries(seqs[0]).await.unwrap();
    assert_eq!(views[0].state, "dead");
    assert_eq!(&*views[0].exception.as_ref().unwrap().cause, "exhausted");
    let numbers: Vec<u32> = views[0].attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[tokio::test]
async fn an_uncertain_delivery_is_repeated_with_the_same_id() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let receiver =
        Receiver::new(|_, times| Does::Answers(if times == 1 { no_answer() } else { accepted() }));
    let id = engine.start("emr", &receiver, options()).await;
    engine.receive(id, &[("A", "1"), ("A", "2")]).await;
    engine.until(id, |status| status.retry == 1).await;
    engine.pass_time(2);
    receiver.has_seen(3).await;
    engine.until(id, |status| status.retry == 1 && status.in_flight == 0).await;
    engine.pass_time(2);
    assert_eq!(receiver.has_accepted(2).await, ["1", "2"]);
    let journal = receiver.journal();
    assert_eq!(journal[0], journal[1]);
    assert_eq!(journal[2], journal[3]);
    assert_ne!(journal[0].1, journal[2].1);
    engine.shut_down().await;
}

#[tokio::test]
async fn poison_is_held_and_others_go_on() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let receiver = Receiver::willing();
    let id = engine.start("emr", &receiver, options()).await;
    let messages =
        [("A", "poison"), ("B", "1"), ("C", "unmapped"), ("D", "unfit"), ("D", "2"), ("A", "3")];
    let seqs = engine.receive(id, &messages).await;
    let mut taken = receiver.has_accepted(2).await;
    taken.sort_unstable();
    assert_eq!(taken, ["1", "2"]);
    engine.until(id, |status| status.retry == 1).await;
    engine.pass_time(2);
    let status = engine.until(id, |status| status.held == 2).await;
    assert_eq!((status.dead, status.behind, status.retry), (1, 1, 0));
    let mut causes: Vec<_> = engine.deliveries.blocked_lanes(id, 9).unwrap();
    causes.sort_by_key(|lane| lane.head);
    let causes: Vec<_> = causes.iter().map(|lane| (lane.head, &*lane.cause)).collect();
    assert_eq!(causes, [(seqs[0], "poison"), (seqs[2], "render")]);
    engine.shut_down().await;
}

#[tokio::test]
async fn a_changed_repeat_waits_for_a_person() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let receiver = Receiver::willing();
    let id = engine.start("emr", &receiver, options()).await;
    let hold = Disposition::Hold { lane: Lane::of("A"), joins: Joins::NONE };
    let messages = [("1", lane("A")), ("2", hold), ("3", lane("A"))];
    let messages = messages.iter().map(|(body, way)| engine.message(body, &[(id, way.clone())]));
    let seqs = engine.append(messages.collect()).await;
    engine.until(id, |status| status.held == 1 && status.behind == 1).await;
    assert_eq!(receiver.accepted(), ["1"]);
    engine.deliveries.act(id, Act::Release, seqs[1], "ana", "a real correction").await.unwrap();
    assert_eq!(receiver.has_accepted(3).await, ["1", "2", "3"]);
    engine.shut_down().await;
}

#[tokio::test]
async fn the_policy_may_stop_the_destination_and_a_restart_keeps_it_stopped() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let receiver = Receiver::new(|_, _| Does::Answers(later("AR")));
    let mut policy = AckPolicy::standard();
    policy.set("AR", Reaction::Pause).unwrap();
    let options = DeliveryOptions { policy, ..options() };
    let id = engine.start("emr", &receiver, options.clone()).await;
    engine.receive(id, &[("A", "1"), ("A", "2")]).await;
    let status = engine.until(id, |status| status.paused.is_some()).await;
    assert_eq!(status.paused.unwrap().reason, "the receiver answered AR");
    engine.shut_down().await;

    let engine = rig.open().await;
    receiver.becomes(|_, _| Does::Answers(accepted()));
    engine.start("emr", &receiver, options).await;
    let status = engine.until(id, |status| status.pending == 2).await;
    assert!(status.paused.is_some());
    engine.deliveries.resume(id, "ana", "they repaired it").await.unwrap();
    assert_eq!(receiver.has_accepted(2).await, ["1", "2"]);
    engine.shut_down().await;
}

#[tokio::test]
async fn too_many_exceptions_stop_the_reading_and_say_so() {
    let rig = Rig::new();
    let engine = rig.open().await;
    let receiver = Receiver::new(|_, _| Does::Answers(later("AR")));
    let options = DeliveryOptions { window: 8, exceptions_max: 20, parallel: 4, ..options() };
    let id = engine.start("emr", &receiver, options).await;
    let bodies: Vec<(String, String)> =
        (0..200).map(|n| (format!("P{}", n % 150), n.to_string())).collect();
    let messages: Vec<_> = bodies.iter().map(|(key, body)| (key.as_str(), body.as_str())).collect();
    engine.receive(id, &messages).await;
    let status = engine.until(id, |status| status.in_flight == 0 && status.retry >= 20).await;
    assert!(status.retry + status.behind <= 20 + 8 + 200, "{status:?}");
    assert!(status.stalled.as_deref().unwrap().contains("limit 20"), "{status:?}");
    assert_eq!(status.pending + status.retry + status.behind, 200);
    receiver.becomes(|_, _| Does::Answers(accepted()));
    engine.pass_time(600);
    receiver.has_accepted(200).await;
    engine.shut_down().await;
    let engine = rig.open().await;
    assert_eq!(engine.sums(id).await.delivered, 200);
}
