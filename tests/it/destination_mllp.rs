//! The MLLP sender: an answer is credited to the message it answers, or to none.

use std::time::Duration;

use bytes::Bytes;
use medway::destination::mllp::MllpDestination;
use medway::destination::mllp::options::{
    CommitAck, ControlIdCheck, KeepOpen, MllpDestinationOptions,
};
use medway::destination::pool::{Address, Balance, PoolOptions};
use medway::destination::{Destination, DestinationName};
use medway::message::outcome::{Outcome, Scope};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::receiver::{PATIENCE, Receiver, ack, message, outbound};

struct Sender {
    destination: MllpDestination,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Sender {
    fn new(options: MllpDestinationOptions) -> Self {
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let name = DestinationName::new("adt", "lis");
        let destination = MllpDestination::new(&name, options, None, tracker.clone(), stop.clone());
        Self { destination, tracker, stop }
    }

    async fn send(&self, id: &str) -> Outcome {
        let outbound = outbound(id);
        let sending = self.destination.send(&outbound, &self.stop);
        tokio::time::timeout(PATIENCE, sending).await.expect("an attempt ends")
    }

    fn last_error(&self) -> Option<String> {
        self.destination.endpoints()[0].last_error.clone()
    }
}

fn options(receiver: &Receiver) -> MllpDestinationOptions {
    MllpDestinationOptions {
        endpoints: vec![receiver.address()],
        reply_within: Duration::from_secs(5),
        ..MllpDestinationOptions::default()
    }
}

/// A sender that waits only shortly for an answer.
fn hasty(receiver: &Receiver) -> MllpDestinationOptions {
    MllpDestinationOptions { reply_within: Duration::from_millis(60), ..options(receiver) }
}

#[track_caller]
fn check(outcome: &Outcome, name: &str, code: &str) {
    assert_eq!((outcome.name(), &*outcome.answer().code), (name, code), "{outcome:?}");
}

#[tokio::test]
async fn each_code_has_its_outcome_on_one_connection() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(options(&receiver));
    let expected = [
        ("AA", "accepted", "AA"),
        ("AE", "rejected", "AE"),
        ("AR", "failed", "AR"),
        ("CA", "accepted", "CA"),
        ("CE", "failed", "CE"),
        ("CR", "rejected", "CR"),
        ("ZZ", "uncertain", "other"),
    ];
    let receive = async {
        let mut peer = receiver.accept().await;
        for (number, (code, ..)) in expected.iter().enumerate() {
            let id = format!("M{number}");
            assert_eq!(peer.frame().await, message(&id));
            peer.ack(code, &id).await;
        }
        peer
    };
    let send = async {
        for (number, (_, name, code)) in expected.iter().enumerate() {
            let outcome = sender.send(&format!("M{number}")).await;
            check(&outcome, name, code);
            if let Outcome::Failed { scope, .. } = outcome {
                assert_eq!(scope, Scope::Message);
            }
        }
    };
    tokio::join!(receive, send);
    assert_eq!(sender.last_error(), None);
}

#[tokio::test]
async fn an_answer_with_another_id_is_credited_to_none() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(options(&receiver));
    let receive = async {
        let mut peer = receiver.accept().await;
        peer.frame().await;
        peer.ack("AA", "M0").await;
        peer.closed().await;
    };
    let (outcome, ()) = tokio::join!(sender.send("M1"), receive);
    check(&outcome, "uncertain", "wrong_id");
    assert!(sender.last_error().is_some());
}

#[tokio::test]
async fn ids_are_compared_byte_for_byte() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(options(&receiver));
    let receive = async {
        let mut peer = receiver.accept().await;
        peer.frame().await;
        peer.ack("AA", "m1").await;
        peer.closed().await;
    };
    let (outcome, ()) = tokio::join!(sender.send("M1"), receive);
    check(&outcome, "uncertain", "wrong_id");
}

#[tokio::test]
async fn a_receiver_that_cannot_repeat_ids_may_be_trusted() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(MllpDestinationOptions {
        control_id: ControlIdCheck::Ignored,
        ..options(&receiver)
    });
    let receive = async {
        let mut peer = receiver.accept().await;
        peer.frame().await;
        peer.ack("AA", "").await;
    };
    let (outcome, ()) = tokio::join!(sender.send("M1"), receive);
    check(&outcome, "accepted", "AA");
}

#[tokio::test]
async fn a_second_answer_closes_the_connection_and_is_not_credited() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(options(&receiver));
    let receive = async {
        let mut peer = receiver.accept().await;
        peer.frame().await;
        peer.say(&[ack("AA", "M1"), ack("AA", "M2")].concat()).await;
        peer.closed().await;
        let mut peer = receiver.accept().await;
        assert_eq!(peer.frame().await, message("M2"));
        peer.ack("AE", "M2").await;
        peer
    };
    let send = async {
        check(&sender.send("M1").await, "accepted", "AA");
        check(&sender.send("M2").await, "rejected", "AE");
    };
    tokio::join!(receive, send);
}

#[tokio::test]
async fn a_late_answer_never_reaches_the_next_message() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(hasty(&receiver));
    let receive = async {
        let mut first = receiver.accept().await;
        first.frame().await;
        first.closed().await;
        let mut second = receiver.accept().await;
        assert_eq!(second.frame().await, message("M2"));
        // The answer to M1, late, on the new connection: a receiver that mixes up its connections.
        second.ack("AA", "M1").await;
        second.closed().await;
    };
    let send = async {
        check(&sender.send("M1").await, "uncertain", "timeout");
        check(&sender.send("M2").await, "uncertain", "wrong_id");
    };
    tokio::join!(receive, send);
}

#[tokio::test]
async fn an_unasked_answer_on_an_idle_connection_is_noted() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(options(&receiver));
    let receive = async {
        let mut peer = receiver.accept().await;
        peer.frame().await;
        peer.ack("AA", "M1").await;
        peer.ack("AA", "M1").await;
        peer.closed().await;
    };
    let (outcome, ()) = tokio::join!(sender.send("M1"), receive);
    check(&outcome, "accepted", "AA");
    assert!(sender.last_error().unwrap().contains("not credited"));
}

#[tokio::test]
async fn what_the_peer_does_instead_of_answering() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(options(&receiver));
    let receive = async {
        let mut closes = receiver.accept().await;
        closes.frame().await;
        drop(closes);
        let mut babbles = receiver.accept().await;
        babbles.frame().await;
        babbles.say(b"\x0BHTTP/1.1 400 Bad Request\x1C\r").await;
        babbles.closed().await;
        let mut no_msa = receiver.accept().await;
        no_msa.frame().await;
        no_msa.say(b"\x0BMSH|^~\\&|A\rPID|1\r\x1C\r").await;
        no_msa.closed().await;
        let mut resets = receiver.accept().await;
        resets.frame().await;
        socket2::SockRef::from(&resets.stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(resets);
    };
    let send = async {
        check(&sender.send("M1").await, "uncertain", "closed");
        check(&sender.send("M2").await, "uncertain", "garbage");
        check(&sender.send("M3").await, "uncertain", "garbage");
        check(&sender.send("M4").await, "uncertain", "reset");
    };
    tokio::join!(receive, send);
}

#[tokio::test]
async fn a_huge_answer_is_cut_off() {
    let receiver = Receiver::bind().await;
    let sender =
        Sender::new(MllpDestinationOptions { answer_bytes_max: 500, ..options(&receiver) });
    let receive = async {
        let mut in_a_frame = receiver.accept().await;
        in_a_frame.frame().await;
        in_a_frame.say(&[&b"\x0B"[..], &[b'x'; 2000]].concat()).await;
        in_a_frame.closed().await;
        let mut without = receiver.accept().await;
        without.frame().await;
        without.say(&[&[b'x'; 2000][..], b"\x0B"].concat()).await;
        without.closed().await;
    };
    let send = async {
        check(&sender.send("M1").await, "uncertain", "garbage");
        check(&sender.send("M2").await, "uncertain", "garbage");
    };
    tokio::join!(receive, send);
}

#[tokio::test]
async fn a_dribbled_answer_counts_when_it_is_in_time_only() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(options(&receiver));
    let receive = async {
        let mut peer = receiver.accept().await;
        peer.frame().await;
        for byte in ack("AA", "M1") {
            peer.say(&[byte]).await;
            tokio::task::yield_now().await;
        }
        peer
    };
    let (outcome, _peer) = tokio::join!(sender.send("M1"), receive);
    check(&outcome, "accepted", "AA");

    let hasty_sender = Sender::new(hasty(&receiver));
    let receive = async {
        let mut peer = receiver.accept().await;
        peer.frame().await;
        peer.say(&ack("AA", "M2")[..20]).await;
        peer.closed().await;
    };
    let (outcome, ()) = tokio::join!(hasty_sender.send("M2"), receive);
    check(&outcome, "uncertain", "timeout");
}

#[tokio::test]
async fn an_answer_whose_last_byte_is_missing_is_read() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(options(&receiver));
    let receive = async {
        let mut peer = receiver.accept().await;
        peer.frame().await;
        let whole = ack("AA", "M1");
        peer.say(&whole[..whole.len() - 1]).await;
        peer
    };
    let (outcome, _peer) = tokio::join!(sender.send("M1"), receive);
    check(&outcome, "accepted", "AA");
}

#[tokio::test]
async fn nobody_listens() {
    let gone = Receiver::bind().await;
    let options = options(&gone);
    drop(gone);
    let outcome = Sender::new(options).send("M1").await;
    check(&outcome, "failed", "refused");
    assert!(matches!(outcome, Outcome::Failed { scope: Scope::Endpoint, .. }));
}

#[tokio::test]
async fn a_host_without_address_is_unreachable() {
    let options = MllpDestinationOptions {
        endpoints: vec![Address::new("no-such-host.invalid", 2575)],
        ..MllpDestinationOptions::default()
    };
    check(&Sender::new(options).send("M1").await, "failed", "unreachable");
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced_without_doubt() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(options(&receiver));
    let receive = async {
        for id in ["M1", "M2", "M3"] {
            let mut peer = receiver.accept().await;
            assert_eq!(peer.frame().await, message(id));
            peer.ack("AA", id).await;
        }
    };
    let send = async {
        for id in ["M1", "M2", "M3"] {
            check(&sender.send(id).await, "accepted", "AA");
        }
    };
    tokio::join!(receive, send);
}

#[tokio::test]
async fn a_message_that_was_cut_was_surely_not_taken() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(options(&receiver));
    let mut large = outbound("M1");
    large.body = [message("M1"), vec![b'x'; 32 * 1024 * 1024]].concat().into();
    let receive = async {
        let mut peer = receiver.accept().await;
        peer.bytes(1000).await;
    };
    let (outcome, ()) = tokio::join!(sender.destination.send(&large, &sender.stop), receive);
    check(&outcome, "failed", "reset");
    assert!(matches!(outcome, Outcome::Failed { scope: Scope::Endpoint, .. }));
}

#[tokio::test]
async fn a_receiver_that_reads_nothing_does_not_hold_the_sender() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(MllpDestinationOptions {
        write_within: Duration::from_millis(60),
        ..options(&receiver)
    });
    let mut large = outbound("M1");
    large.body = [message("M1"), vec![b'x'; 32 * 1024 * 1024]].concat().into();
    let (outcome, _peer) =
        tokio::join!(sender.destination.send(&large, &sender.stop), receiver.accept());
    check(&outcome, "failed", "timeout");
}

#[tokio::test]
async fn a_refusal_counts_before_the_last_byte_was_written() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(options(&receiver));
    let mut large = outbound("M1");
    large.body = [message("M1"), vec![b'x'; 32 * 1024 * 1024]].concat().into();
    let receive = async {
        let mut peer = receiver.accept().await;
        peer.bytes(1000).await;
        peer.ack("AR", "M1").await;
        peer
    };
    let (outcome, _peer) = tokio::join!(sender.destination.send(&large, &sender.stop), receive);
    check(&outcome, "failed", "AR");
}

#[tokio::test]
async fn a_message_that_holds_the_end_of_a_frame_is_not_sent() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(options(&receiver));
    let mut broken = outbound("M1");
    broken.body = Bytes::from_static(b"MSH|^~\\&|A||||||ADT|M1\rZZZ|\x1C\x0D\r");
    let outcome = sender.destination.send(&broken, &sender.stop).await;
    check(&outcome, "rejected", "unframable");
}

#[tokio::test]
async fn one_connection_for_each_message_when_told_so() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(MllpDestinationOptions {
        connection: KeepOpen::CloseAfterEach,
        ..options(&receiver)
    });
    let receive = async {
        for id in ["M1", "M2"] {
            let mut peer = receiver.accept().await;
            peer.frame().await;
            peer.ack("AA", id).await;
            peer.closed().await;
        }
    };
    let send = async {
        check(&sender.send("M1").await, "accepted", "AA");
        check(&sender.send("M2").await, "accepted", "AA");
    };
    tokio::join!(receive, send);
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_the_end() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(MllpDestinationOptions {
        idle_max: Duration::from_millis(30),
        ..options(&receiver)
    });
    let receive = async {
        let mut peer = receiver.accept().await;
        peer.frame().await;
        peer.ack("AA", "M1").await;
        peer.closed().await;
    };
    let (outcome, ()) = tokio::join!(sender.send("M1"), receive);
    check(&outcome, "accepted", "AA");
}

#[tokio::test]
async fn after_the_commit_the_application_may_be_waited_for() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(MllpDestinationOptions {
        commit_ack: CommitAck::Wait,
        application_within: Duration::from_millis(60),
        ..options(&receiver)
    });
    let receive = async {
        let mut peer = receiver.accept().await;
        for (id, codes) in [("M1", &["CA", "AA"][..]), ("M2", &["CA", "AE"]), ("M3", &["CR"])] {
            peer.frame().await;
            for code in codes {
                peer.ack(code, id).await;
            }
        }
        peer.frame().await;
        peer.ack("CA", "M4").await;
        peer.closed().await;
    };
    let send = async {
        check(&sender.send("M1").await, "accepted", "AA");
        check(&sender.send("M2").await, "rejected", "AE");
        check(&sender.send("M3").await, "rejected", "CR");
        check(&sender.send("M4").await, "uncertain", "timeout");
    };
    tokio::join!(receive, send);
}

#[tokio::test]
async fn pipelined_messages_are_answered_in_order() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(MllpDestinationOptions { in_flight: 3, ..options(&receiver) });
    let receive = async {
        let mut peer = receiver.accept().await;
        for id in ["M1", "M2", "M3"] {
            assert_eq!(peer.frame().await, message(id));
        }
        peer.say(&[ack("AA", "M1"), ack("AE", "M2"), ack("AA", "M3")].concat()).await;
        peer
    };
    let (first, second, third, _peer) =
        tokio::join!(sender.send("M1"), sender.send("M2"), sender.send("M3"), receive);
    check(&first, "accepted", "AA");
    check(&second, "rejected", "AE");
    check(&third, "accepted", "AA");
}

#[tokio::test]
async fn pipelined_answers_out_of_order_are_credited_to_none() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(MllpDestinationOptions { in_flight: 2, ..options(&receiver) });
    let receive = async {
        let mut peer = receiver.accept().await;
        peer.frame().await;
        peer.frame().await;
        peer.say(&[ack("AA", "M2"), ack("AA", "M1")].concat()).await;
        peer.closed().await;
    };
    let (first, second, ()) = tokio::join!(sender.send("M1"), sender.send("M2"), receive);
    check(&first, "uncertain", "wrong_id");
    check(&second, "uncertain", "closed");
}

#[tokio::test]
async fn several_connections_carry_one_message_each() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(MllpDestinationOptions { connections: 2, ..options(&receiver) });
    let receive = async {
        let mut peers = [receiver.accept().await, receiver.accept().await];
        let mut ids = Vec::new();
        for peer in &mut peers {
            let frame = peer.frame().await;
            ids.push(if frame == message("M1") { "M1" } else { "M2" });
        }
        // Both are in flight; the one that came last is answered first.
        for (peer, id) in peers.iter_mut().zip(&ids).rev() {
            peer.ack("AA", id).await;
        }
        ids.sort_unstable();
        assert_eq!(ids, ["M1", "M2"]);
        peers
    };
    let (first, second, _peers) = tokio::join!(sender.send("M1"), sender.send("M2"), receive);
    check(&first, "accepted", "AA");
    check(&second, "accepted", "AA");
}

/// Sends `count` messages to receivers that accept all; how many each got.
async fn spread(balance: Balance, receivers: &[Receiver], count: usize) -> Vec<usize> {
    let sender = Sender::new(MllpDestinationOptions {
        endpoints: receivers.iter().map(Receiver::address).collect(),
        pool: PoolOptions { balance, ..PoolOptions::default() },
        ..MllpDestinationOptions::default()
    });
    let done = CancellationToken::new();
    let serve = |receiver| serve_until(receiver, &done);
    let send = async {
        for number in 0..count {
            check(&sender.send(&format!("M{number}")).await, "accepted", "AA");
        }
        done.cancel();
    };
    let (counts, ()) =
        tokio::join!(futures_util::future::join_all(receivers.iter().map(serve)), send);
    counts
}

/// Answers AA to whatever comes; counts it.
async fn serve_until(receiver: &Receiver, done: &CancellationToken) -> usize {
    let mut count = 0;
    let mut peer = tokio::select! {
        peer = receiver.accept() => peer,
        () = done.cancelled() => return 0,
    };
    loop {
        let frame = tokio::select! {
            frame = peer.frame() => frame,
            () = done.cancelled() => return count,
        };
        count += 1;
        let text = String::from_utf8(frame).unwrap();
        peer.ack("AA", text.split('|').nth(9).unwrap()).await;
    }
}

#[tokio::test]
async fn messages_are_spread_over_the_endpoints() {
    let receivers = [Receiver::bind().await, Receiver::bind().await, Receiver::bind().await];
    assert_eq!(spread(Balance::RoundRobin, &receivers, 9).await, [3, 3, 3]);
    let receivers = [Receiver::bind().await, Receiver::bind().await];
    let random = spread(Balance::Random, &receivers, 60).await;
    assert!(random.iter().all(|count| *count > 0) && random.iter().sum::<usize>() == 60);
}

#[tokio::test]
async fn the_busy_endpoint_is_left_alone() {
    let (busy, free) = (Receiver::bind().await, Receiver::bind().await);
    let sender = Sender::new(MllpDestinationOptions {
        endpoints: vec![busy.address(), free.address()],
        pool: PoolOptions { balance: Balance::LeastConnections, ..PoolOptions::default() },
        ..MllpDestinationOptions::default()
    });
    let script = async {
        let mut slow = busy.accept().await;
        slow.frame().await;
        let mut quick = free.accept().await;
        for id in ["M2", "M3", "M4"] {
            assert_eq!(quick.frame().await, message(id));
            quick.ack("AA", id).await;
        }
        (slow, quick)
    };
    let rest = async {
        let (mut slow, quick) = script.await;
        slow.ack("AA", "M1").await;
        (slow, quick)
    };
    let others = async {
        for id in ["M2", "M3", "M4"] {
            check(&sender.send(id).await, "accepted", "AA");
        }
    };
    let (first, (), _peers) = tokio::join!(sender.send("M1"), others, rest);
    check(&first, "accepted", "AA");
}

#[tokio::test]
async fn a_dead_endpoint_is_passed_over_but_never_after_a_byte() {
    let (gone, alive) = (Receiver::bind().await, Receiver::bind().await);
    let endpoints = vec![gone.address(), alive.address()];
    drop(gone);
    let sender = Sender::new(MllpDestinationOptions { endpoints, ..hasty(&alive) });
    let receive = async {
        let mut peer = alive.accept().await;
        for id in ["M1", "M2", "M3", "M4", "M5", "M6"] {
            assert_eq!(peer.frame().await, message(id));
            peer.ack("AA", id).await;
        }
        // Written and unanswered: it must not go to the other endpoint, nor twice to this one.
        assert_eq!(peer.frame().await, message("M7"));
        peer.closed().await;
    };
    let send = async {
        for id in ["M1", "M2", "M3", "M4", "M5", "M6"] {
            check(&sender.send(id).await, "accepted", "AA");
        }
        let views = sender.destination.endpoints();
        assert_eq!((views[0].healthy, views[1].healthy), (false, true));
        assert!(views[0].last_error.as_ref().unwrap().contains("refused"));
        check(&sender.send("M7").await, "uncertain", "timeout");
    };
    tokio::join!(receive, send);
}

#[tokio::test]
async fn stopping_ends_what_was_not_written_and_closes_what_is_idle() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(options(&receiver));
    let receive = async {
        let mut peer = receiver.accept().await;
        peer.frame().await;
        peer.ack("AA", "M1").await;
        peer
    };
    let (outcome, mut peer) = tokio::join!(sender.send("M1"), receive);
    check(&outcome, "accepted", "AA");
    sender.stop.cancel();
    let outcome = sender.send("M2").await;
    check(&outcome, "failed", "stopped");
    peer.closed().await;
    sender.tracker.close();
    tokio::time::timeout(PATIENCE, sender.tracker.wait()).await.expect("the task ends");
}

#[tokio::test]
async fn stopping_waits_for_the_answer_to_what_was_written() {
    let receiver = Receiver::bind().await;
    let sender = Sender::new(options(&receiver));
    let receive = async {
        let mut peer = receiver.accept().await;
        peer.frame().await;
        sender.stop.cancel();
        peer.ack("AA", "M1").await;
        peer.closed().await;
    };
    let (outcome, ()) = tokio::join!(sender.send("M1"), receive);
    check(&outcome, "accepted", "AA");
}

#[tokio::test]
async fn dropping_the_destination_ends_its_tasks() {
    let receiver = Receiver::bind().await;
    let Sender { destination, tracker, stop } = Sender::new(options(&receiver));
    let receive = async {
        let mut peer = receiver.accept().await;
        peer.frame().await;
        peer.ack("AA", "M1").await;
        peer
    };
    let body = outbound("M1");
    let (outcome, mut peer) = tokio::join!(destination.send(&body, &stop), receive);
    check(&outcome, "accepted", "AA");
    drop(destination);
    peer.closed().await;
    tracker.close();
    tokio::time::timeout(PATIENCE, tracker.wait()).await.expect("the task ends");
}
