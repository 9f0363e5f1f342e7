//! Acknowledgement modes, what a sender hears when nothing can be taken, the feedback-loop guard.

use medway::source::mllp::options::{
    AckMode, AckOptions, CertifiedSender, MllpSourceOptions, NoHeader, OnUnavailable,
};

use super::{Mood, adt, framed, start, told, with};

async fn starting(ack: AckOptions) -> super::Running {
    start(MllpSourceOptions { ack, ..Default::default() }).await
}

#[tokio::test]
async fn what_msh_15_and_16_ask_for_is_sent_and_nothing_else() {
    let running = starting(AckOptions::default()).await;
    let conditions = ["", "AL", "NE", "ER", "SU"];
    for (at, accept) in conditions.iter().enumerate() {
        for (place, application) in conditions.iter().enumerate() {
            let id = format!("M{at}{place}");
            let mut peer = running.connect().await;
            let message = with(&id, &format!("|||{accept}|{application}"));
            // The answer to the second message tells that nothing more came for the first.
            peer.send(&framed(&message)).await;
            peer.send(&framed(&adt("LAST"))).await;
            let mut codes = Vec::new();
            loop {
                let answer = peer.told().await;
                if answer == "AA LAST" {
                    break;
                }
                codes.push(answer);
            }
            let due = |condition: &str| matches!(condition, "AL" | "SU");
            let mut expected = Vec::new();
            if due(accept) {
                expected.push(format!("CA {id}"));
            }
            if due(application) || (accept.is_empty() && application.is_empty()) {
                expected.push(format!("AA {id}"));
            }
            assert_eq!(codes, expected, "{accept}/{application}");
        }
    }
    assert_eq!(running.store.bodies().len(), 26);
    running.end().await;
}

#[tokio::test]
async fn a_refused_message_in_enhanced_mode_gets_a_commit_error_alone() {
    let running = starting(AckOptions::default()).await;
    let mut peer = running.connect().await;
    let refused = with("X1", "|||AL|AL").replace("77", "REFUSE");
    assert_eq!(told(&peer.ask(&refused).await), "CE X1");
    assert_eq!(told(&peer.ask(&adt("X2")).await), "AA X2");
    running.end().await;
}

#[tokio::test]
async fn a_full_store_is_told_as_chosen_and_the_source_recovers() {
    for (on_unavailable, expected) in [
        (OnUnavailable::Error, "AE F1"),
        (OnUnavailable::Reject, "AR F1"),
        (OnUnavailable::Close, "closed"),
    ] {
        let running = starting(AckOptions { on_unavailable, ..Default::default() }).await;
        running.store.set(Mood::Full);
        let mut peer = running.connect().await;
        peer.send(&framed(&adt("F1"))).await;
        assert_eq!(peer.told().await, expected);
        assert_eq!(running.last_refusal(), "the disk is full; send it again later");
        running.store.set(Mood::Well);
        assert_eq!(told(&running.connect().await.ask(&adt("F1")).await), "AA F1");
        assert_eq!(running.store.bodies().len(), 1);
        running.end().await;
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_not_waited_for_for_ever() {
    let mut options = MllpSourceOptions::default();
    options.timeouts.ack = std::time::Duration::from_millis(30);
    let running = start(options).await;
    running.store.set(Mood::Slow);
    let mut peer = running.connect().await;
    let answer = peer.ask(&adt("T1")).await;
    assert_eq!(told(&answer), "AE T1");
    assert!(answer.contains("in time"), "{answer}");
    running.end().await;
}

#[tokio::test]
async fn mode_none_answers_nothing_and_closes_when_nothing_can_be_taken() {
    let running = starting(AckOptions { mode: AckMode::None, ..Default::default() }).await;
    let mut peer = running.connect().await;
    peer.send(&framed(&adt("N1"))).await;
    running.until(|it| it.store.bodies().len() == 1).await;
    running.store.set(Mood::Full);
    peer.send(&framed(&adt("N2"))).await;
    assert_eq!(peer.told().await, "closed");
    running.end().await;
}

#[tokio::test]
async fn mode_byte_answers_each_frame_with_one_byte() {
    let running = starting(AckOptions { mode: AckMode::Byte, ..Default::default() }).await;
    let mut peer = running.connect().await;
    let (stored, not_stored) = ("\x06", "\x15");
    assert_eq!(peer.ask(&with("B1", "|||AL|AL")).await, stored);
    assert_eq!(peer.ask(&with("B1", "|||AL|AL")).await, stored, "a repeat is stored already");
    assert_eq!(peer.ask(&adt("B2").replace("||77", "||REFUSE")).await, not_stored);
    assert_eq!(peer.ask("no header").await, not_stored);
    let batch = |second: String| format!("BHS|^~\\&|HIS\r{}{second}BTS|2\r", adt("B3"));
    assert_eq!(peer.ask(&batch(adt("B4"))).await, stored);
    assert_eq!(peer.ask(&batch(adt("B5").replace("||77", "||REFUSE"))).await, not_stored);
    // A byte of its own is an answer, and answers are not answered.
    peer.send(&framed(stored)).await;
    running.store.set(Mood::Full);
    assert_eq!(peer.ask(&adt("B6")).await, not_stored);
    assert_eq!(running.store.control_ids(), ["B1", "B3", "B4"]);
    running.end().await;
}

#[tokio::test]
async fn an_empty_control_id_is_taken_and_echoed_empty() {
    let running = starting(AckOptions::default()).await;
    let mut peer = running.connect().await;
    assert_eq!(told(&peer.ask(&adt("")).await), "AA");
    assert_eq!(running.store.bodies(), [adt("").as_bytes()]);
    running.end().await;
}

#[tokio::test]
async fn an_acknowledgement_is_kept_as_evidence_and_starts_no_loop() {
    let running = starting(AckOptions::default()).await;
    let mut peer = running.connect().await;
    let ack = |id: &str, kind: &str, rest: &str| {
        format!("MSH|^~\\&|HIS|H|MED|M|2026||{kind}|{id}|P|2.5{rest}\rMSA|AA|OURS\r")
    };
    peer.send(&framed(&ack("K1", "ACK^A01^ACK", ""))).await;
    peer.send(&framed(&ack("K2", "ACK", "|||NE|AL"))).await;
    peer.send(&framed(&ack("K3", "RRG^O16^RRG_O16", ""))).await;
    peer.send(&framed(&ack("K4", "MCF", ""))).await;
    assert_eq!(told(&peer.ask(&ack("K5", "ACK", "|||AL|AL")).await), "CA K5");
    let query = ack("K6", "RSP^K22", "").replace("MSA|AA|OURS\r", "MSA|AA|OURS\rQAK|1|OK\r");
    assert_eq!(told(&peer.ask(&query).await), "AA K6");
    assert_eq!(running.store.control_ids(), ["K6"]);
    let reasons = running.store.reject_reasons();
    assert_eq!(reasons.len(), 5);
    assert!(reasons.iter().all(|reason| reason.starts_with("ack")), "{reasons:?}");
    running.end().await;
}

#[tokio::test]
async fn what_has_no_header_is_refused_or_met_with_silence() {
    let running = starting(AckOptions::default()).await;
    let answer = running.connect().await.ask("PID|1||77\r").await;
    assert_eq!(told(&answer), "AR");
    assert!(answer.contains("100^Segment sequence error"), "{answer}");
    assert_eq!(running.store.reject_reasons(), ["100 the message has no MSH segment"]);
    running.end().await;

    let silent = AckOptions { no_header: NoHeader::Silence, ..Default::default() };
    let running = starting(silent).await;
    let mut peer = running.connect().await;
    peer.send(&framed("PID|1||77\r")).await;
    assert_eq!(told(&peer.ask(&adt("H1")).await), "AA H1");
    assert_eq!(running.store.reject_reasons().len(), 1);
    running.end().await;
}

#[tokio::test]
async fn the_sender_s_own_delimiters_are_honoured_in_refusals() {
    let running = starting(AckOptions::default()).await;
    let message = "MSH#*!%$#HIS#H#MED#M#2026##ADT*A01#O1#P#2.5\rPID#1##REFUSE\r";
    let answer = running.connect().await.ask(message).await;
    assert!(answer.starts_with("MSH#*!%$#MED#M#HIS#H#"), "{answer}");
    assert!(answer.contains("MSA#AE#O1"), "{answer}");
    running.end().await;
}

#[tokio::test]
async fn without_tls_certificate_rules_do_not_apply() {
    let senders = vec![CertifiedSender {
        certificate: "his.example".into(),
        applications: vec!["HIS".into()],
        facilities: Vec::new(),
    }];
    let running = start(MllpSourceOptions { senders, ..Default::default() }).await;
    assert_eq!(told(&running.connect().await.ask(&adt("C1")).await), "AA C1");
    running.end().await;
}
