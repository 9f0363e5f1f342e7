//! Limits: sizes, waits, connections, networks, and what is not MLLP at all.

use std::time::Duration;

use futures_util::future::join_all;
use medway::source::intake::IntakeLimits;
use medway::source::mllp::options::{FrameEnd, MllpSourceOptions, NestedStart, PeerFull};

use super::{Running, adt, framed, start, start_within, told};

const SHORT: Duration = Duration::from_millis(40);

async fn closes(running: &Running, bytes: &[u8], refusal: &str) {
    let mut peer = running.connect().await;
    peer.send(bytes).await;
    assert_eq!(peer.told().await, "closed");
    assert!(running.last_refusal().contains(refusal), "{}", running.last_refusal());
}

#[tokio::test]
async fn an_oversize_message_is_refused_while_it_is_read_and_the_connection_ends() {
    let running = start(MllpSourceOptions { message_bytes_max: 200, ..Default::default() }).await;
    let mut peer = running.connect().await;
    peer.send(&framed(&adt("O1"))).await;
    let huge = format!("{}OBX|{}", adt("O2"), "x".repeat(100_000));
    peer.send(&framed(&huge)).await;
    assert_eq!(peer.told().await, "AA O1");
    let answer = peer.answer().await.unwrap();
    assert_eq!(told(&answer), "AR O2");
    assert!(answer.contains("larger than 200 bytes"), "{answer}");
    assert_eq!(peer.told().await, "closed");
    assert_eq!(running.store.control_ids(), ["O1"]);
    let mut enhanced = running.connect().await;
    let huge = huge.replace("|P|2.5", "|P|2.5|||AL|NE");
    enhanced.send(&framed(&huge)).await;
    assert_eq!(enhanced.told().await, "CR O2");
    running.end().await;
}

#[tokio::test]
async fn a_start_byte_inside_a_frame_never_merges_two_messages() {
    let nested =
        [b"\x0bMSH|^~\\&|HIS|H|MED|M|2026||ADT^A01|N1".as_slice(), &framed(&adt("N2"))].concat();
    let running = start(MllpSourceOptions::default()).await;
    let mut peer = running.connect().await;
    peer.send(&nested).await;
    assert_eq!(peer.told().await, "AA N2");
    assert_eq!(running.store.bodies(), [adt("N2").as_bytes()]);
    running.end().await;

    let reject = MllpSourceOptions { nested_start: NestedStart::Reject, ..Default::default() };
    let running = start(reject).await;
    let mut peer = running.connect().await;
    peer.send(&nested).await;
    assert_eq!(peer.told().await, "AR N1");
    assert_eq!(peer.told().await, "closed");
    assert_eq!(running.store.bodies().len(), 0);
    running.end().await;
}

#[tokio::test]
async fn garbage_between_frames_is_skipped_and_too_much_of_it_closes() {
    let options = MllpSourceOptions { garbage_bytes_max: 1000, ..Default::default() };
    let running = start(options).await;
    let mut peer = running.connect().await;
    peer.send(b"noise").await;
    assert_eq!(told(&peer.ask(&adt("G1")).await), "AA G1");
    peer.send(b"\nmore").await;
    assert_eq!(told(&peer.ask(&adt("G2")).await), "AA G2");
    assert_eq!(running.last_refusal(), "bytes outside of frames");
    peer.send(&[b'x'; 2000]).await;
    assert_eq!(peer.told().await, "closed");
    assert!(running.last_refusal().contains("garbage"), "{}", running.last_refusal());
    running.end().await;
}

#[tokio::test]
async fn a_frame_without_its_last_carriage_return_is_taken_where_that_is_allowed() {
    let cut = &framed(&adt("L1"))[..framed(&adt("L1")).len() - 1];
    let running = start(MllpSourceOptions::default()).await;
    let mut peer = running.connect().await;
    peer.send(cut).await;
    assert_eq!(peer.told().await, "AA L1");
    assert_eq!(told(&peer.ask(&adt("L2")).await), "AA L2");
    running.end().await;

    let mut strict = MllpSourceOptions { frame_end: FrameEnd::Strict, ..Default::default() };
    strict.timeouts.in_frame = SHORT;
    let running = start(strict).await;
    closes(&running, cut, "timeout").await;
    assert_eq!(running.store.bodies().len(), 0);
    running.end().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_stops_inside_a_frame_is_closed() {
    let mut options = MllpSourceOptions::default();
    options.timeouts.first_byte = SHORT;
    let running = start(options).await;
    closes(&running, b"", "timeout").await;
    running.end().await;

    let mut options = MllpSourceOptions::default();
    options.timeouts.in_frame = SHORT;
    let running = start(options).await;
    closes(&running, b"\x0bMSH|^~\\&|", "timeout").await;
    running.end().await;

    let mut options = MllpSourceOptions::default();
    options.timeouts.idle = SHORT;
    let running = start(options).await;
    let mut peer = running.connect().await;
    assert_eq!(told(&peer.ask(&adt("I1")).await), "AA I1");
    assert_eq!(peer.told().await, "closed");
    assert_eq!(running.last_refusal(), "", "a quiet sender did nothing wrong");
    running.end().await;
}

#[tokio::test]
async fn a_frame_that_drips_steadily_is_cut_off_as_a_whole() {
    let mut options = MllpSourceOptions::default();
    options.timeouts.frame = Duration::from_millis(200);
    let running = start(options).await;
    let mut peer = running.connect().await;
    peer.send(b"\x0b").await;
    let mut drip = tokio::time::interval(Duration::from_millis(10));
    while running.last_refusal().is_empty() {
        drip.tick().await;
        peer.send(b"x").await;
    }
    assert!(running.last_refusal().contains("timeout"));
    assert_eq!(peer.told().await, "closed");
    running.end().await;
}

#[tokio::test]
async fn what_is_http_or_tls_on_a_plain_port_is_closed_unanswered() {
    let running = start(MllpSourceOptions::default()).await;
    closes(&running, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "protocol").await;
    closes(&running, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "protocol").await;
    let mut slowly = running.connect().await;
    for byte in b"POST /adt" {
        slowly.send(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(slowly.told().await, "closed");
    running.end().await;
}

#[tokio::test]
async fn connections_beyond_the_limits_are_refused_visibly_and_places_come_back() {
    let check = |options: MllpSourceOptions, reason: &'static str| async move {
        let running = start(options).await;
        let mut first = running.connect().await;
        assert_eq!(told(&first.ask(&adt("1")).await), "AA 1");
        let mut second = running.connect().await;
        assert_eq!(second.told().await, "closed");
        running.until(|it| it.last_refusal().contains(reason)).await;
        assert_eq!(told(&first.ask(&adt("2")).await), "AA 2");
        drop(first);
        running.until(|it| it.status.view().connections == 0).await;
        assert_eq!(told(&running.connect().await.ask(&adt("3")).await), "AA 3");
        running.end().await;
    };
    check(MllpSourceOptions { connections_max: 1, ..Default::default() }, "connections").await;
    let per_peer = MllpSourceOptions { connections_per_peer_max: 1, ..Default::default() };
    check(per_peer, "peer_connections").await;
}

#[tokio::test]
async fn the_newest_connection_of_a_sender_wins_where_that_is_chosen() {
    let options = MllpSourceOptions {
        connections_per_peer_max: 1,
        peer_full: PeerFull::CloseOldest,
        ..Default::default()
    };
    let running = start(options).await;
    let mut half_open = running.connect().await;
    assert_eq!(told(&half_open.ask(&adt("1")).await), "AA 1");
    let mut newest = running.connect().await;
    assert_eq!(told(&newest.ask(&adt("2")).await), "AA 2");
    assert_eq!(half_open.told().await, "closed");
    assert_eq!(told(&newest.ask(&adt("3")).await), "AA 3");
    running.end().await;
}

#[tokio::test]
async fn only_listed_networks_may_connect() {
    let allow = |network: &str| MllpSourceOptions {
        allow: vec![network.parse().unwrap()],
        ..Default::default()
    };
    let running = start(allow("10.20.0.0/16")).await;
    closes(&running, b"", "network").await;
    running.end().await;
    let running = start(allow("127.0.0.0/8")).await;
    assert_eq!(told(&running.connect().await.ask(&adt("1")).await), "AA 1");
    running.end().await;
}

#[tokio::test]
async fn a_sender_that_reads_no_answers_is_cut_off_with_bounded_memory() {
    let mut options = MllpSourceOptions { frames_in_flight_max: 16, ..Default::default() };
    options.timeouts.write = SHORT;
    let running = start(options).await;
    let mut peer = running.connect().await;
    let frame = framed(&adt("1"));
    let burst: Vec<u8> = std::iter::repeat_n(frame, 2000).flatten().collect();
    while running.last_refusal().is_empty() {
        let sent = tokio::time::timeout(
            SHORT,
            tokio::io::AsyncWriteExt::write_all(&mut peer.stream, &burst),
        );
        drop(sent.await);
    }
    assert!(running.last_refusal().contains("timeout"), "{}", running.last_refusal());
    running.end().await;
}

#[tokio::test]
async fn two_hundred_half_frames_stay_within_the_budget_and_all_messages_come_through() {
    const BUDGET: usize = 1 << 20;
    const FRAME: usize = 160 << 10;
    let limits = IntakeLimits { connection_bytes_max: BUDGET, ..IntakeLimits::default() };
    let options = MllpSourceOptions {
        connections_per_peer_max: 300,
        message_bytes_max: FRAME,
        ..MllpSourceOptions::default()
    };
    let running = start_within(options, None, limits).await;
    let (open, gate) = tokio::sync::watch::channel(false);
    let mut senders = Vec::new();
    for number in 0..200 {
        let (mut peer, mut gate) = (running.connect().await, gate.clone());
        senders.push(async move {
            let head = adt(&format!("B{number}"));
            let text = "x".repeat(FRAME - head.len() - 20);
            let frame = framed(&format!("{head}OBX|1|TX|||{text}\r"));
            let (half, rest) = frame.split_at(frame.len() / 2);
            peer.send(half).await;
            gate.wait_for(|open| *open).await.unwrap();
            peer.send(rest).await;
            peer.told().await
        });
    }
    let small = async {
        running.until(|running| running.intake.connection_bytes() > BUDGET - FRAME).await;
        // Everybody has begun, and there is no room for all: a small message needs none.
        let mut peer = running.connect().await;
        assert_eq!(told(&peer.ask(&adt("SMALL")).await), "AA SMALL");
        assert_eq!(running.store.control_ids(), ["SMALL"]);
        open.send(true).unwrap();
    };
    let most = std::cell::Cell::new(0);
    let answers = async {
        let watch = async {
            loop {
                most.set(most.get().max(running.intake.connection_bytes()));
                tokio::task::yield_now().await;
            }
        };
        let all = async { tokio::join!(join_all(senders), small) };
        tokio::select! {
            () = watch => Vec::new(),
            (answers, ()) = all => answers,
        }
    };
    // Some 30 MiB pass through one thread.
    let answers = tokio::time::timeout(Duration::from_secs(120), answers).await.unwrap();
    let expected: Vec<_> = (0..200).map(|number| format!("AA B{number}")).collect();
    assert_eq!(answers, expected);
    // One connection alone may exceed it, by what it holds of its own message.
    assert!(most.get() <= BUDGET + 4 * FRAME, "{} bytes were held", most.get());
    running.until(|running| running.intake.connection_bytes() == 0).await;
    assert_eq!(running.store.control_ids().len(), 201);
    running.end().await;
}
