//! The webhook sender against receivers that misbehave, over raw sockets.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use medway::clock::Clock;
use medway::destination::Destination;
use medway::destination::webhook::client::Lookup;
use medway::destination::webhook::options::{Authorization, WebhookOptions};
use medway::destination::webhook::{WebhookDestination, WebhookError};
use medway::message::outcome::{Outbound, Outcome, Scope};
use medway::message::secret::Secret;
use medway::message::time::Timestamp;
use ring::hmac;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use crate::receiver::{PATIENCE, Peer, Receiver, message, outbound};

/// 2026-01-14T08:30:00Z
const NOW_S: i64 = 1_768_379_400;

fn clock() -> Clock {
    Clock::manual(Timestamp(NOW_S * 1_000_000))
}

fn options(receiver: &Receiver) -> WebhookOptions {
    WebhookOptions {
        url: format!("http://127.0.0.1:{}/hooks/adt", receiver.port()),
        reply_within: Duration::from_secs(5),
        ..WebhookOptions::default()
    }
}

fn webhook(options: WebhookOptions) -> WebhookDestination {
    WebhookDestination::new(options, None, clock()).unwrap()
}

async fn send(destination: &WebhookDestination, outbound: &Outbound) -> Outcome {
    let stop = CancellationToken::new();
    let sending = destination.send(outbound, &stop);
    tokio::time::timeout(PATIENCE, sending).await.expect("an attempt ends")
}

#[track_caller]
fn check(outcome: &Outcome, name: &str, code: &str) {
    let answer = outcome.answer();
    assert_eq!((outcome.name(), &*answer.code), (name, code), "{}", answer.text);
}

/// A request as it came: the lines of its head, and its body.
struct Request {
    lines: Vec<String>,
    body: Vec<u8>,
}

impl Request {
    async fn read(peer: &mut Peer<tokio::net::TcpStream>) -> Self {
        let head = String::from_utf8(peer.until(b"\r\n\r\n").await).unwrap();
        let lines: Vec<String> = head.split("\r\n").map(str::to_owned).collect();
        let mut request = Self { lines, body: Vec::new() };
        let length = request.header("content-length").unwrap().parse().unwrap();
        request.body = peer.bytes(length).await;
        request
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.lines.iter().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// One request, answered so; how it ended.
async fn answered(answer: &[u8]) -> Outcome {
    let receiver = Receiver::bind().await;
    let destination = webhook(options(&receiver));
    let receive = async {
        let mut peer = receiver.accept().await;
        Request::read(&mut peer).await;
        peer.say(answer).await;
        peer
    };
    let outbound = outbound("M1");
    let (outcome, _peer) = tokio::join!(send(&destination, &outbound), receive);
    outcome
}

#[tokio::test]
async fn a_request_carries_what_a_receiver_needs() {
    let receiver = Receiver::bind().await;
    let destination = webhook(WebhookOptions {
        authorization: Authorization::Basic { user: "hub".into(), password: Secret::new("pw:1") },
        headers: vec![("X-Feed".into(), Secret::new("adt"))],
        ..options(&receiver)
    });
    let receive = async {
        let mut peer = receiver.accept().await;
        let request = Request::read(&mut peer).await;
        peer.say(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok").await;
        request
    };
    let outbound = outbound("M1");
    let (outcome, request) = tokio::join!(send(&destination, &outbound), receive);
    check(&outcome, "accepted", "202");
    assert_eq!(&*outcome.answer().text, "ok");
    assert_eq!(request.lines[0], "POST /hooks/adt HTTP/1.1");
    assert_eq!(request.body, message("M1"));
    assert_eq!(request.header("content-type"), Some("x-application/hl7-v2+er7"));
    assert_eq!(request.header("webhook-id"), Some("M1"));
    assert_eq!(request.header("webhook-timestamp"), Some(NOW_S.to_string().as_str()));
    assert_eq!(request.header("webhook-signature"), None);
    assert_eq!(request.header("authorization"), Some("Basic aHViOnB3OjE="));
    assert_eq!(request.header("x-feed"), Some("adt"));
    assert_eq!(request.header("accept-encoding"), None);
    assert!(request.header("user-agent").unwrap().starts_with("medway/"));
}

#[tokio::test]
async fn each_secret_signs_and_a_repeat_keeps_its_id() {
    let receiver = Receiver::bind().await;
    let keys =
        [b"an old key of thirty-two bytes !".as_slice(), b"a new key of thirty-two bytes !!"];
    let secrets = keys.map(|key| Secret::new(&format!("whsec_{}", STANDARD.encode(key))));
    let destination = webhook(WebhookOptions { sign: secrets.to_vec(), ..options(&receiver) });
    let receive = async {
        let mut peer = receiver.accept().await;
        let mut requests = Vec::new();
        for _ in 0..2 {
            requests.push(Request::read(&mut peer).await);
            peer.say(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").await;
        }
        requests
    };
    // This id cannot stand in a signature: it holds the separator.
    let outbound = outbound("M.1");
    let twice = async {
        check(&send(&destination, &outbound).await, "failed", "503");
        check(&send(&destination, &outbound).await, "failed", "503");
    };
    let ((), requests) = tokio::join!(twice, receive);
    let id = requests[0].header("webhook-id").unwrap();
    assert!(!id.contains('.') && requests[1].header("webhook-id") == Some(id));
    for request in &requests {
        let timestamp = request.header("webhook-timestamp").unwrap();
        let signed = [format!("{id}.{timestamp}.").as_bytes(), request.body.as_slice()].concat();
        let signatures: Vec<_> = request.header("webhook-signature").unwrap().split(' ').collect();
        assert_eq!(signatures.len(), 2);
        for (signature, key) in signatures.iter().zip(keys) {
            let tag = STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            hmac::verify(&key, &signed, &tag).unwrap();
        }
    }
}

#[tokio::test]
async fn statuses_have_their_outcomes() {
    let cases = [
        ("204 No Content", "accepted", "204"),
        ("302 Found\r\nLocation: http://127.0.0.1:1/", "failed", "302"),
        ("308 Moved\r\nLocation: /elsewhere", "failed", "308"),
        ("410 Gone", "rejected", "410"),
        ("422 Unprocessable", "rejected", "422"),
        ("408 Timeout", "failed", "408"),
        ("500 Oops", "failed", "500"),
    ];
    for (status, name, code) in cases {
        let length = if code == "204" { "" } else { "Content-Length: 0\r\n" };
        let answer = format!("HTTP/1.1 {status}\r\n{length}\r\n");
        check(&answered(answer.as_bytes()).await, name, code);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (receiver, trap) = (Receiver::bind().await, Receiver::bind().await);
    let destination = webhook(options(&receiver));
    let receive = async {
        let mut peer = receiver.accept().await;
        Request::read(&mut peer).await;
        let port = trap.port();
        let location = format!("Location: http://127.0.0.1:{port}/\r\n");
        peer.say(format!("HTTP/1.1 307 Go\r\n{location}Content-Length: 0\r\n\r\n").as_bytes())
            .await;
    };
    let outbound = outbound("M1");
    let (outcome, ()) = tokio::select! {
        both = async { tokio::join!(send(&destination, &outbound), receive) } => both,
        _ = trap.accept_raw() => panic!("the redirect was followed"),
    };
    check(&outcome, "failed", "307");
}

#[tokio::test]
async fn the_receiver_says_when_to_come_again() {
    let wait = |answer: &'static [u8]| async move {
        match answered(answer).await {
            Outcome::Failed { retry_after, .. } => retry_after.map(|wait| wait.as_secs()),
            other => panic!("{other:?}"),
        }
    };
    let seconds = b"HTTP/1.1 429 Slow\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(wait(seconds).await, Some(17));
    let date = b"HTTP/1.1 503 No\r\nRetry-After: Wed, 14 Jan 2026 08:32:00 GMT\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(wait(date).await, Some(120));
    let none = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(wait(none).await, None);
}

#[tokio::test]
async fn an_endless_body_is_not_read_to_its_end() {
    let receiver = Receiver::bind().await;
    let destination = webhook(options(&receiver));
    let receive = async {
        let mut peer = receiver.accept().await;
        Request::read(&mut peer).await;
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n").await;
        let mut sent = 0usize;
        let chunk = vec![b'x'; 64 * 1024];
        // Ends when the sender has had enough and closes.
        while peer.stream.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
            assert!(sent < 500_000_000, "the sender reads on and on");
        }
    };
    let outbound = outbound("M1");
    let (outcome, ()) = tokio::join!(send(&destination, &outbound), receive);
    check(&outcome, "accepted", "200");
    assert!(outcome.answer().text.len() <= 1024);
}

#[tokio::test]
async fn a_compressed_body_stays_compressed() {
    // The beginning of a gzip stream: were it expanded, the text would not begin with its magic.
    let answer =
        b"HTTP/1.1 500 No\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n\x1F\x8B\x08\0\0\0\0\0\0\x03";
    let outcome = answered(answer).await;
    check(&outcome, "failed", "500");
    assert!(outcome.answer().text.starts_with('\u{1F}'));
}

#[tokio::test]
async fn who_answers_too_slowly_leaves_doubt() {
    for beginning in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome",
    ] {
        let receiver = Receiver::bind().await;
        let destination = webhook(WebhookOptions {
            reply_within: Duration::from_millis(150),
            ..options(&receiver)
        });
        let receive = async {
            let mut peer = receiver.accept().await;
            Request::read(&mut peer).await;
            peer.say(beginning).await;
            peer.closed().await;
        };
        let outbound = outbound("M1");
        let (outcome, ()) = tokio::join!(send(&destination, &outbound), receive);
        check(&outcome, "uncertain", "timeout");
    }
}

#[tokio::test]
async fn a_broken_answer_leaves_doubt_and_a_clear_refusal_does_not() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nsome";
    let receiver = Receiver::bind().await;
    let destination = webhook(options(&receiver));
    for (answer, name, code) in [
        (&cut[..], "uncertain", "reset"),
        (b"", "uncertain", "reset"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "uncertain", "reset"),
        (b"HTTP/1.1 422 No\r\nContent-Length: 100\r\n\r\nsome", "rejected", "422"),
    ] {
        let receive = async {
            let mut peer = receiver.accept().await;
            Request::read(&mut peer).await;
            peer.say(answer).await;
        };
        let outbound = outbound("M1");
        let (outcome, ()) = tokio::join!(send(&destination, &outbound), receive);
        check(&outcome, name, code);
    }
}

#[tokio::test]
async fn nobody_listens() {
    let gone = Receiver::bind().await;
    let options = options(&gone);
    drop(gone);
    let destination = webhook(options);
    let outcome = send(&destination, &outbound("M1")).await;
    check(&outcome, "failed", "refused");
    assert!(matches!(outcome, Outcome::Failed { scope: Scope::Endpoint, .. }));
    assert!(!outcome.answer().text.contains("hooks"), "no URL in the text");
    assert!(destination.endpoints()[0].last_error.is_some());
}

#[tokio::test]
async fn a_receiver_that_speaks_no_tls_is_no_doubt() {
    let receiver = Receiver::bind().await;
    let destination = webhook(options(&receiver));
    let mut secured = outbound("M1");
    let url = format!("https://127.0.0.1:{}/", receiver.port());
    secured.attributes = vec![("url".into(), url.into())];
    let receive = async {
        let mut peer = receiver.accept().await;
        peer.bytes(5).await;
        peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        peer.closed().await;
    };
    let (outcome, ()) = tokio::join!(send(&destination, &secured), receive);
    check(&outcome, "failed", "tls");
}

/// A name service that answers with one address after the other.
struct Answers {
    addresses: Vec<IpAddr>,
    asked: AtomicUsize,
}

#[async_trait]
impl Lookup for Answers {
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        assert_eq!(host, "emr.hospital.example");
        let turn = self.asked.fetch_add(1, Ordering::AcqRel);
        Ok(vec![self.addresses[turn % self.addresses.len()]])
    }
}

fn named(
    receiver: &Receiver,
    allow: &[&str],
    addresses: &[&str],
) -> (WebhookDestination, Arc<Answers>) {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let lookup = Arc::new(Answers { addresses, asked: AtomicUsize::new(0) });
    let options = WebhookOptions {
        url: format!("http://emr.hospital.example:{}/", receiver.port()),
        allow: allow.iter().map(|entry| (*entry).to_owned()).collect(),
        ..options(receiver)
    };
    let destination =
        WebhookDestination::with_lookup(options, None, clock(), lookup.clone()).unwrap();
    (destination, lookup)
}

#[tokio::test]
async fn a_name_that_changes_its_answer_leads_nowhere() {
    let receiver = Receiver::bind().await;
    let allow = ["emr.hospital.example", "127.0.0.1"];
    let (destination, lookup) = named(&receiver, &allow, &["127.0.0.1", "169.254.169.254"]);
    let receive = async {
        let mut peer = receiver.accept().await;
        Request::read(&mut peer).await;
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    };
    let outbound = outbound("M1");
    let (outcome, ()) = tokio::join!(send(&destination, &outbound), receive);
    check(&outcome, "accepted", "200");
    let outcome = send(&destination, &outbound).await;
    check(&outcome, "failed", "egress");
    assert!(outcome.answer().text.contains("169.254.169.254"));
    assert_eq!(lookup.asked.load(Ordering::Acquire), 2, "asked once for each attempt");
}

#[tokio::test]
async fn a_name_on_the_list_does_not_open_this_machine() {
    let receiver = Receiver::bind().await;
    for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0"] {
        let (destination, _) = named(&receiver, &["emr.hospital.example"], &[address]);
        check(&send(&destination, &outbound("M1")).await, "failed", "egress");
    }
}

#[tokio::test]
async fn a_message_cannot_choose_a_place_that_is_not_on_the_list() {
    let receiver = Receiver::bind().await;
    let (destination, lookup) =
        named(&receiver, &["emr.hospital.example", "*.ward.example:443"], &["10.1.2.3"]);
    for url in [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://[::ffff:127.0.0.1]/",
        "http://localhost/",
        "http://evil.example/",
        "http://x.ward.example/",
        "http://user:pw@emr.hospital.example/",
        "ftp://emr.hospital.example/",
        "file:///etc/passwd",
        "not a url",
    ] {
        let mut outbound = outbound("M1");
        outbound.attributes = vec![("url".into(), url.into())];
        let outcome = send(&destination, &outbound).await;
        check(&outcome, "rejected", "egress");
    }
    assert_eq!(lookup.asked.load(Ordering::Acquire), 0);
}

#[tokio::test]
async fn options_that_cannot_work_are_refused() {
    let make = |change: &dyn Fn(&mut WebhookOptions)| {
        let mut options =
            WebhookOptions { url: "http://emr.example/".into(), ..WebhookOptions::default() };
        change(&mut options);
        WebhookDestination::new(options, None, clock()).err()
    };
    assert!(make(&|_| {}).is_none());
    assert!(matches!(make(&|o| o.url = "emr".into()), Some(WebhookError::Url)));
    let anywhere = |o: &mut WebhookOptions| o.url = "http://<PV1-3.1>.example/".into();
    assert!(matches!(make(&anywhere), Some(WebhookError::Anywhere)));
    let allowed = |o: &mut WebhookOptions| {
        anywhere(o);
        o.allow = vec!["*.example".into()];
    };
    assert!(make(&allowed).is_none());
    assert!(matches!(make(&|o| o.allow = vec!["a b".into()]), Some(WebhookError::Egress(_))));
    let header = |name: &'static str, value: &'static str| {
        make(&move |o| o.headers = vec![(name.into(), Secret::new(value))])
    };
    assert!(matches!(header("Host", "x"), Some(WebhookError::Header(_))));
    assert!(matches!(header("webhook-id", "x"), Some(WebhookError::Header(_))));
    assert!(matches!(header("X-A", "a\r\nX-B: b"), Some(WebhookError::Header(_))));
    assert!(matches!(
        make(&|o| o.sign = vec![Secret::new("short")]),
        Some(WebhookError::Secret(_))
    ));
}

#[tokio::test]
async fn stopping_sends_nothing() {
    let receiver = Receiver::bind().await;
    let stop = CancellationToken::new();
    stop.cancel();
    let outcome = webhook(options(&receiver)).send(&outbound("M1"), &stop).await;
    check(&outcome, "failed", "stopped");
}
