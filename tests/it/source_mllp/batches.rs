//! Batches in one frame: stored in one transaction before the first answer, answered as chosen.

use medway::source::mllp::options::{
    AckMode, AckOptions, BatchReply, BatchUnit, MllpSourceOptions,
};

use super::{Mood, Running, adt, framed, start, told, with};

async fn starting(ack: AckOptions) -> Running {
    start(MllpSourceOptions { ack, ..Default::default() }).await
}

/// A batch of these messages, named B7.
fn batch(messages: &[String]) -> String {
    let head = "BHS|^~\\&|HIS|H|MED|M|20260101||||B7\r";
    format!("FHS|^~\\&|HIS|H\r{head}{}BTS|{}\rFTS|1\r", messages.concat(), messages.len())
}

/// MSA-1 and MSA-2 of each acknowledgement of a batch, and BTS-1.
fn parts(answer: &str) -> (Vec<String>, String) {
    let acks = answer.split("MSH|").skip(1).map(told).collect();
    let trailer = answer.split("BTS|").nth(1).unwrap().split('\r').next().unwrap().to_owned();
    (acks, trailer)
}

fn refused(id: &str) -> String {
    adt(id).replace("||77", "||REFUSE")
}

#[tokio::test]
async fn each_message_of_a_batch_gets_its_acknowledgement_after_one_commit() {
    let running = starting(AckOptions::default()).await;
    let mut peer = running.connect().await;
    let sent = batch(&[adt("1"), refused("2"), adt("3")]);
    let answer = peer.ask(&sent).await;
    assert!(answer.contains("\rBHS|^~\\&|MED|M|HIS|H|"), "{answer}");
    assert!(answer.contains("|B7\rMSH|"), "{answer}");
    assert_eq!(parts(&answer), (vec!["AA 1".into(), "AE 2".into(), "AA 3".into()], "3".into()));
    assert_eq!(running.store.appends(), 1);
    assert_eq!(running.store.bodies(), [adt("1").as_bytes(), adt("3").as_bytes()]);
    // What was taken is answered again as the first time.
    let good = batch(&[adt("1"), adt("3")]);
    let (first, again) = (peer.ask(&good).await, peer.ask(&good).await);
    assert_eq!(first, again);
    assert_eq!(running.store.bodies().len(), 2);
    running.end().await;
}

#[tokio::test]
async fn only_errors_or_a_single_acknowledgement_where_that_is_chosen() {
    let errors = AckOptions { batch_reply: BatchReply::ErrorsOnly, ..Default::default() };
    let running = starting(errors).await;
    let mut peer = running.connect().await;
    let answer = peer.ask(&batch(&[adt("1"), refused("2")])).await;
    assert_eq!(parts(&answer), (vec!["AE 2".into()], "1".into()));
    assert_eq!(told(&peer.ask(&batch(&[adt("3")])).await), "AA B7");
    running.end().await;

    let single = AckOptions { batch_reply: BatchReply::Single, ..Default::default() };
    let running = starting(single).await;
    let mut peer = running.connect().await;
    assert_eq!(told(&peer.ask(&batch(&[adt("1"), adt("2")])).await), "AA B7");
    let answer = peer.ask(&batch(&[adt("3"), refused("4")])).await;
    assert_eq!(told(&answer), "AE B7");
    assert!(answer.contains("PID^1^3"), "{answer}");
    assert_eq!(running.store.control_ids(), ["1", "2", "3"]);
    let enhanced = batch(&[with("5", "|||AL|NE")]);
    assert_eq!(told(&peer.ask(&enhanced).await), "CA B7");
    running.end().await;
}

#[tokio::test]
async fn a_whole_batch_is_taken_or_refused_together() {
    let whole = AckOptions { batch_unit: BatchUnit::Whole, ..Default::default() };
    let running = starting(whole).await;
    let mut peer = running.connect().await;
    let answer = peer.ask(&batch(&[adt("1"), refused("2")])).await;
    assert_eq!(parts(&answer).0, ["AE 1", "AE 2"]);
    let miscounted = batch(&[adt("1"), adt("2")]).replace("BTS|2", "BTS|3");
    let answer = peer.ask(&miscounted).await;
    assert_eq!(told(&answer), "AE B7");
    assert!(answer.contains("declares 3 where 2 came"), "{answer}");
    assert_eq!(running.store.bodies().len(), 0);
    let good = batch(&[adt("1"), adt("2")]);
    assert_eq!(parts(&peer.ask(&good).await).0, ["AA 1", "AA 2"]);
    running.end().await;
}

#[tokio::test]
async fn a_batch_keeps_its_place_between_frames_and_its_limits() {
    let running = starting(AckOptions { batch_messages_max: 2, ..Default::default() }).await;
    let mut peer = running.connect().await;
    let one = batch(&[adt("B1"), adt("B2")]);
    peer.send(&[framed(&adt("F1")), framed(&one), framed(&adt("F2"))].concat()).await;
    assert_eq!(peer.told().await, "AA F1");
    assert_eq!(parts(&peer.answer().await.unwrap()).0, ["AA B1", "AA B2"]);
    assert_eq!(peer.told().await, "AA F2");
    assert_eq!(running.store.control_ids(), ["F1", "B1", "B2", "F2"]);
    let large = batch(&[adt("1"), adt("2"), adt("3")]);
    assert_eq!(told(&peer.ask(&large).await), "AE B7");
    assert_eq!(told(&peer.ask(&batch(&[])).await), "AE B7");
    assert_eq!(running.store.bodies().len(), 4);
    running.end().await;
}

#[tokio::test]
async fn a_full_store_refuses_every_message_of_the_batch() {
    let running = starting(AckOptions::default()).await;
    running.store.set(Mood::Full);
    let mut peer = running.connect().await;
    let answer = peer.ask(&batch(&[adt("1"), adt("2")])).await;
    assert_eq!(parts(&answer).0, ["AE 1", "AE 2"]);
    running.end().await;

    let quiet = AckOptions { mode: AckMode::None, ..Default::default() };
    let running = starting(quiet).await;
    running.store.set(Mood::Full);
    let mut peer = running.connect().await;
    peer.send(&framed(&batch(&[adt("1")]))).await;
    assert_eq!(peer.told().await, "closed");
    running.end().await;
}
