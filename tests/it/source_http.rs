//! The HTTP source: 2xx only after the commit, limits on everything, honest refusals.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use medway::clock::Clock;
use medway::message::kind::ContentType;
use medway::source::http::HttpSource;
use medway::source::http::options::{BearerToken, HttpSourceOptions};
use medway::source::intake::Intake;
use medway::source::status::SourceStatus;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::door::{MemoryStore, Mood, door};

struct Running {
    address: SocketAddr,
    store: Arc<MemoryStore>,
    intake: Intake,
    status: Arc<SourceStatus>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

const ADT: &str = "MSH|^~\\&|HIS|H|MED|M|20260101||ADT^A01|C1|P|2.5\rPID|1||77\r";

async fn start(options: HttpSourceOptions) -> Running {
    let store = MemoryStore::new();
    let intake = door(&store);
    let source = HttpSource::new("adt".into(), options, None, Clock::System).bind().await.unwrap();
    let (address, status) = (source.local_addr(), source.status());
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    tracker.spawn(source.run(intake.clone(), stop.clone(), tracker.clone()));
    Running { address, store, intake, status, stop, tracker }
}

fn options() -> HttpSourceOptions {
    HttpSourceOptions { path: "/adt".into(), ..HttpSourceOptions::default() }
}

fn post(headers: &str, body: &str) -> String {
    format!(
        "POST /adt HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

const HL7: &str = "Content-Type: x-application/hl7-v2+er7\r\n";

impl Running {
    async fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Sends one request and says its status line's code and what its head and body hold.
    async fn check(&self, request: &str, status: &str, holds: &[&str]) -> String {
        let answer = self.send(request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        for text in holds {
            assert!(answer.to_lowercase().contains(&text.to_lowercase()), "no {text} in {answer}");
        }
        answer
    }

    async fn end(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[tokio::test]
async fn a_stored_message_gets_201_and_a_repeat_the_same_body() {
    let running = start(options()).await;
    let first = running.check(&post(HL7, ADT), "201", &["\"id\"", "\"received_at\""]).await;
    let again = running.check(&post(HL7, ADT), "201", &[]).await;
    let body = |answer: &str| answer.split("\r\n\r\n").nth(1).unwrap().to_owned();
    assert_eq!(body(&first), body(&again));
    assert_eq!(running.store.bodies(), [ADT.as_bytes()]);
    assert_eq!(running.status.view().received, 2);
    running.end().await;
}

#[tokio::test]
async fn an_idempotency_key_names_what_has_no_id_of_its_own() {
    let running = start(options()).await;
    let request =
        |key: &str, body: &str| post(&format!("Content-Type: application/json\r\n{key}\r\n"), body);
    running.check(&request("Idempotency-Key: k1", "{\"a\":1}"), "201", &[]).await;
    running.check(&request("Idempotency-Key: k1", "{\"a\":1}"), "201", &[]).await;
    running.check(&request("webhook-id: k1", "{\"a\":1}"), "201", &[]).await;
    running.check(&request("Idempotency-Key: k1", "{\"a\":2}"), "409", &["\"code\":205"]).await;
    running.check(&request("Idempotency-Key: k2", "{\"a\":1}"), "201", &[]).await;
    let long = format!("Idempotency-Key: {}", "k".repeat(300));
    running.check(&request(&long, "{}"), "400", &[]).await;
    assert_eq!(running.store.bodies().len(), 2);
    running.end().await;
}

#[tokio::test]
async fn what_is_no_message_is_refused_in_words() {
    let limit = HttpSourceOptions { body_bytes_max: 100, ..options() };
    let running = start(limit).await;
    let big = "x".repeat(101);
    let chunked = format!(
        "POST /adt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{HL7}Transfer-Encoding: chunked\r\n\r\n65\r\n{big}\r\n0\r\n\r\n"
    );
    let get = "GET /adt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let elsewhere = post(HL7, ADT).replace("/adt", "/lab");
    let gzip = post(&format!("{HL7}Content-Encoding: gzip\r\n"), ADT);
    let cases: &[(&str, &str, &[&str])] = &[
        (get, "405", &["allow: post", "application/problem+json"]),
        (&elsewhere, "404", &[]),
        (&post("", ADT), "415", &["Content-Type is missing"]),
        (&post("Content-Type: image/png\r\n", ADT), "415", &[]),
        (&gzip, "415", &["compressed"]),
        (&post(HL7, ""), "400", &["empty"]),
        (&post(HL7, &big), "413", &["100 bytes"]),
        (&chunked, "413", &["100 bytes"]),
        (&post(HL7, "MSH|REFUSE"), "422", &["\"code\":101", "PID-3", "Required field missing"]),
        (&post(HL7, "MSH|PANIC"), "422", &["\"code\":207"]),
    ];
    for (request, status, holds) in cases {
        running.check(request, status, holds).await;
    }
    assert_eq!(running.store.bodies().len(), 0);
    assert_eq!(running.store.reject_reasons().len(), 2);
    assert_eq!(running.status.view().refused, 10);
    running.end().await;
}

#[tokio::test]
async fn without_a_content_type_the_option_decides() {
    let text = HttpSourceOptions { content_type: Some(ContentType::Text), ..options() };
    let running = start(text).await;
    running.check(&post("", "hello"), "201", &[]).await;
    running.end().await;
}

#[tokio::test]
async fn only_a_known_token_may_post() {
    let tokens = vec![BearerToken::new("old-secret"), BearerToken::new("new-secret")];
    let running = start(HttpSourceOptions { tokens, ..options() }).await;
    let with = |line: &str| post(&format!("{HL7}{line}"), ADT);
    running.check(&with(""), "401", &["www-authenticate: bearer"]).await;
    running.check(&with("Authorization: Bearer wrong\r\n"), "401", &[]).await;
    running.check(&with("Authorization: Basic bmV3LXNlY3JldA==\r\n"), "401", &[]).await;
    running.check(&with("Authorization: Bearer old-secret\r\n"), "201", &[]).await;
    running.check(&with("Authorization: bearer new-secret\r\n"), "201", &[]).await;
    running.end().await;
}

#[tokio::test]
async fn a_full_store_and_a_draining_engine_answer_503() {
    let running = start(options()).await;
    running.store.set(Mood::Full);
    running.check(&post(HL7, ADT), "503", &["retry-after: 5", "the disk is full"]).await;
    running.store.set(Mood::Well);
    running.check(&post(HL7, ADT), "201", &[]).await;
    running.intake.drain();
    running.check(&post(HL7, ADT), "503", &["stopping"]).await;
    assert_eq!(running.store.bodies().len(), 1);
    running.end().await;
}

#[tokio::test]
async fn a_store_that_does_not_answer_in_time_is_503_and_no_answer_comes_before_the_commit() {
    let mut slow = options();
    slow.timeouts.answer = Duration::from_millis(50);
    let running = start(slow).await;
    running.store.set(Mood::Slow);
    running.check(&post(HL7, ADT), "503", &["in time"]).await;
    running.end().await;
}

#[tokio::test]
async fn a_header_or_body_that_drips_is_cut_off() {
    let mut short = options();
    short.timeouts.header = Duration::from_millis(50);
    short.timeouts.body = Duration::from_millis(50);
    let running = start(short).await;
    let answer = running.send("POST /adt HT").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    let half = post(HL7, ADT).replace("Content-Length: ", "Content-Length: 9");
    running.check(&half, "408", &["slowly"]).await;
    let idle = running.send("").await;
    assert!(idle.is_empty(), "{idle}");
    running.end().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let running = start(HttpSourceOptions { connections_max: 1, ..options() }).await;
    let mut first = TcpStream::connect(running.address).await.unwrap();
    first.write_all(b"POST /adt").await.unwrap();
    while running.status.view().connections == 0 {
        tokio::task::yield_now().await;
    }
    let mut second = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(second.read(&mut [0; 8]).await.unwrap_or(0), 0);
    let refusal = running.status.view().last_refusal.unwrap().1;
    assert!(refusal.contains("connections"), "{refusal}");
    drop(first);
    running.end().await;
}

#[tokio::test]
async fn a_taken_port_is_said_at_start() {
    let running = start(options()).await;
    let again = HttpSourceOptions { listen: running.address, ..options() };
    let error = HttpSource::new("b".into(), again, None, Clock::System).bind().await.err().unwrap();
    assert!(error.to_string().contains(&running.address.to_string()), "{error}");
    running.end().await;
}

#[tokio::test]
async fn a_batch_is_answered_message_by_message() {
    let running = start(options()).await;
    let second = ADT.replace("C1", "C2");
    let good = format!("BHS|^~\\&|HIS\r{ADT}{second}BTS|2\r");
    let answer = running.check(&post(HL7, &good), "201", &["\"messages\""]).await;
    assert_eq!(answer.matches("received_at").count(), 2);
    let bad = format!("{ADT}{}", second.replace("||77", "||REFUSE"));
    let answer = running.check(&post(HL7, &bad), "422", &["\"code\":101"]).await;
    assert_eq!(answer.matches("received_at").count(), 1);
    let miscounted = good.replace("BTS|2", "BTS|3");
    running.check(&post(HL7, &miscounted), "422", &["declares 3"]).await;
    let broken = good.replace("MSH|^~", "MSH|^^");
    running.check(&post(HL7, &broken), "400", &[]).await;
    assert_eq!(running.store.control_ids(), ["C1", "C2"]);
    running.end().await;
}
