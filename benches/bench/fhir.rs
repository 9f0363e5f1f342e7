//! A FHIR endpoint through real HTTP: what a create costs beside an MLLP message, and what subscriptions cost
//! the write that they hear of or do not hear of.

use std::cell::Cell;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::load::{Shape, closed_loop, quantile, runtime};
use crate::report::{Report, figure, pairs};
use crate::trial::Trial;

/// Connections, and creates of a round. An endpoint works on 64 requests of one client at once.
const ROUNDS: [(usize, usize); 3] = [(1, 1_000), (10, 5_000), (50, 10_000)];
/// Subscriptions that hear of every write, and that hear of none.
const MATCHING: usize = 200;
const OTHERS: usize = 10_000;
/// How long subscriptions and deliveries are waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// One request and its answer on a connection that stays open.
async fn ask(stream: &mut TcpStream, buffer: &mut BytesMut, request: &[u8]) -> (u16, Vec<u8>) {
    stream.write_all(request).await.unwrap();
    let head = loop {
        if let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") {
            break buffer.split_to(end + 4);
        }
        assert!(stream.read_buf(buffer).await.unwrap() > 0, "the connection was closed");
    };
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.unwrap().trim().parse().unwrap();
    while buffer.len() < length {
        assert!(stream.read_buf(buffer).await.unwrap() > 0, "the connection was closed");
    }
    (status, buffer.split_to(length).to_vec())
}

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} /fhir/{path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/fhir+json\r\n\
         prefer: return=minimal\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// An observation of about the content of the HL7 v2 message of these benchmarks.
fn observation(n: usize) -> String {
    format!(
        r#"{{"resourceType":"Observation","identifier":[{{"system":"urn:oid:1.2.3","value":"B{n:012}"}}],"status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"{}-1","display":"Analyte"}}],"text":"Analyte"}},"subject":{{"reference":"Patient/p{}"}},"effectiveDateTime":"2026-03-01T10:11:12Z","issued":"2026-03-01T10:11:12.131Z","valueQuantity":{{"value":{}.5,"unit":"mmol/L","system":"http://unitsofmeasure.org","code":"mmol/L"}},"interpretation":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation","code":"N"}}]}}],"referenceRange":[{{"low":{{"value":1}},"high":{{"value":9}}}}]}}"#,
        n % 900,
        n % 5_000,
        n % 97
    )
}

/// Creates on so many connections, one outstanding on each: the rate, and the waits in order.
fn create(port: u16, connections: usize, count: usize, first: usize) -> (f64, Vec<Duration>) {
    let each = count / connections;
    let requests: Vec<Vec<Vec<u8>>> = (0..connections)
        .map(|turn| {
            let numbers = (0..each).map(|n| first + turn * each + n);
            numbers.map(|n| request("POST", "Observation", &observation(n))).collect()
        })
        .collect();
    let began = Instant::now();
    let waits = runtime().block_on(async move {
        let mut senders = JoinSet::new();
        for requests in requests {
            senders.spawn(async move {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut buffer = BytesMut::new();
                let mut waits = Vec::with_capacity(requests.len());
                for request in requests {
                    let began = Instant::now();
                    let (status, _) = ask(&mut stream, &mut buffer, &request).await;
                    assert_eq!(status, 201, "a create was refused");
                    waits.push(began.elapsed());
                }
                waits
            });
        }
        let mut waits: Vec<Duration> = senders.join_all().await.into_iter().flatten().collect();
        waits.sort_unstable();
        waits
    });
    (figure(each * connections) / began.elapsed().as_secs_f64(), waits)
}

/// A create with its audit record against a message of about the same content, both durable when answered,
/// in one engine. The ratio is that of the rates: a third is the aim.
pub(crate) fn post(report: &mut Report) {
    let trial = Trial::with_fhir("  nowhere: {when: MSH-9.1 is ZZZ, channel: {topic: nothing}}\n");
    let port = trial.fhir_port();
    let first = Cell::new(0);
    for (connections, count) in ROUNDS {
        let mut waits = Vec::new();
        let (messages, creates, ratio) = pairs(
            || {
                let shape =
                    Shape { connections, outstanding: 1, messages: count, first: first.get() };
                let load = closed_loop(trial.port, shape);
                figure(load.waits.len()) / load.elapsed.as_secs_f64()
            },
            || {
                let (rate, of_round) = create(port, connections, count, first.get());
                first.set(first.get() + count);
                waits = of_round;
                rate
            },
        );
        report.row(
            &format!("fhir_post_{connections}"),
            Some(ratio),
            &[
                ("creates_per_s", creates),
                ("messages_per_s", messages),
                ("cost", messages / creates),
                ("p50_us", quantile(&waits, 500)),
                ("p99_us", quantile(&waits, 990)),
            ],
        );
    }
    trial.stop();
}

/// A subscriber that answers 200 at once; counts its calls.
fn hook() -> (u16, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&calls);
    let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime().spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { continue };
            let counted = std::sync::Arc::clone(&counted);
            runtime().spawn(async move {
                let mut buffer = BytesMut::new();
                loop {
                    while let Some(end) = memchr::memmem::find(&buffer, b"\r\n\r\n") {
                        let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
                        let mut lines = head.lines();
                        let length = lines.find_map(|line| line.strip_prefix("content-length: "));
                        let length: usize = length.map_or(0, |text| text.trim().parse().unwrap());
                        let whole = end + 4 + length;
                        while buffer.len() < whole {
                            if stream.read_buf(&mut buffer).await.is_ok_and(|size| size == 0) {
                                return;
                            }
                        }
                        let _request = buffer.split_to(whole);
                        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                    if !stream.read_buf(&mut buffer).await.is_ok_and(|size| size > 0) {
                        return;
                    }
                }
            });
        }
    });
    (port, calls)
}

fn subscription(id: &str, endpoint: u16, criteria: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"resourceType":"Subscription","id":"{id}","status":"requested","reason":"bench","criteria":"{criteria}","channel":{{"type":"rest-hook","endpoint":"http://127.0.0.1:{endpoint}/","payload":"application/fhir+json"}}}}"#
    );
    request("PUT", &format!("Subscription/{id}"), &body)
}

/// Makes subscriptions and waits until all that there are, are active.
fn subscribe(port: u16, requests: Vec<Vec<u8>>, all: usize) -> Duration {
    let began = Instant::now();
    runtime().block_on(async move {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut buffer = BytesMut::new();
        for request in requests {
            let (status, body) = ask(&mut stream, &mut buffer, &request).await;
            assert!(matches!(status, 200 | 201), "{}", String::from_utf8_lossy(&body));
        }
        let counted = request("GET", "Subscription?status=active&_summary=count", "");
        loop {
            let (_, body) = ask(&mut stream, &mut buffer, &counted).await;
            let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
            if answer["total"].as_u64() == u64::try_from(all).ok() {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "subscriptions do not become active: {answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    began.elapsed()
}

/// Resident memory of this process, in kB.
fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What a write costs with no subscription, with many that it does not concern, and with many that it does.
/// One write at a time: what counts is how long its sender waits.
pub(crate) fn subscriptions(report: &mut Report) {
    const WRITES: usize = 400;
    let to = "  nowhere: {when: MSH-9.1 is ZZZ, channel: {topic: nothing}}\n";
    let (none, some) = (Trial::with_fhir(to), Trial::with_fhir(to));
    let (port, other) = (none.fhir_port(), some.fhir_port());
    let (endpoint, calls) = hook();
    let before = resident();
    let of_others = |n: usize| {
        subscription(&format!("o{n}"), endpoint, &format!("Observation?patient=Patient/none-{n}"))
    };
    let made = subscribe(other, (0..OTHERS).map(of_others).collect(), OTHERS);
    let memory = (resident() - before) / figure(OTHERS);
    let first = Cell::new(0);
    let measured = |report: &mut Report, name: &str, writes: usize, more: &[(&str, f64)]| {
        let mut waits = Vec::new();
        let (bare, rate, ratio) = pairs(
            || create(port, 1, writes, first.get()).0,
            || {
                let (rate, of_round) = create(other, 1, writes, first.get());
                first.set(first.get() + writes);
                waits = of_round;
                rate
            },
        );
        let own = [
            ("writes_per_s", rate),
            ("without_per_s", bare),
            ("us_per_write", 1e6 / rate),
            ("us_without", 1e6 / bare),
            ("p99_us", quantile(&waits, 990)),
        ];
        report.row(name, Some(ratio), &[&own, more].concat());
    };
    let idle = [("kb_each_idle", memory), ("active_after_s", made.as_secs_f64())];
    measured(report, "subscriptions_10000_others", WRITES, &idle);
    let of_all = |n: usize| subscription(&format!("m{n}"), endpoint, "Observation?status=final");
    subscribe(other, (0..MATCHING).map(of_all).collect(), OTHERS + MATCHING);
    let (called, began) = (calls.load(std::sync::atomic::Ordering::Relaxed), Instant::now());
    let writes = WRITES / 20;
    measured(report, "subscriptions_200_matching", writes, &[]);
    let due = called + writes * crate::report::PAIRS * MATCHING;
    while calls.load(std::sync::atomic::Ordering::Relaxed) < due {
        assert!(began.elapsed() < PATIENCE, "not all events are delivered");
        std::thread::sleep(Duration::from_millis(1));
    }
    let events = figure(writes * crate::report::PAIRS * MATCHING);
    let rate = events / began.elapsed().as_secs_f64();
    report.row("subscriptions_events", None, &[("events", events), ("events_per_s", rate)]);
    none.stop();
    some.stop();
}
