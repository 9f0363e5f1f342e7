//! Two subscribers that check every signature with libraries nobody here wrote, an engine that is killed again
//! and again, and a client that writes on: no event number is missing, the order per patient is kept.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::engine::{Engine, free_port};

const BACKPORT: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TOPIC: &str = "https://hospital.example/topics/results";

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers")
}

/// A subscriber in another language.
struct Subscriber {
    child: Child,
    port: u16,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Subscriber {
    fn start(mut command: Command, seed: u64) -> Self {
        let mut child = command
            .arg(SECRET)
            .arg(seed.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("peers are installed by scripts/setup.sh");
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = out.next().unwrap().unwrap();
        let port = first.strip_prefix("port ").unwrap().parse().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in out.map_while(Result::ok) {
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, port, lines }
    }

    fn python(seed: u64) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(peers().join("venv/bin/python"));
        command.arg(root.join("tests/peers/hook.py"));
        Self::start(command, seed)
    }

    fn node(seed: u64) -> Self {
        // Node looks for packages beside the script.
        let script = peers().join("hook.mjs");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/hook.mjs");
        fs::copy(source, &script).unwrap();
        let mut command = Command::new("node");
        command.arg(script);
        Self::start(command, seed)
    }

    fn events(&self) -> Vec<Value> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| line["kind"] == "event-notification").cloned().collect()
    }

    /// The numbers that were answered with success.
    fn taken(&self) -> Vec<u64> {
        let events = self.events();
        let ok = events.iter().filter(|line| matches!(line["mood"].as_str(), Some("ok" | "slow")));
        let mut numbers: Vec<u64> = ok.map(|line| line["number"].as_u64().unwrap()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// One FHIR request; `None` when the engine dies over it.
fn ask(port: u16, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let text = if body.is_null() { String::new() } else { body.to_string() };
    write!(
        stream,
        "{method} /fhir/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/fhir+json\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

/// The same until it is answered with success.
fn insist(port: u16, method: &str, path: &str, body: &Value) -> Value {
    let began = Instant::now();
    loop {
        match ask(port, method, path, body) {
            Some((200 | 201, answer)) => return answer,
            other => {
                assert!(began.elapsed() < Duration::from_secs(60), "{method} {path}: {other:?}")
            }
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn subscription(id: &str, endpoint: u16) -> Value {
    json!({
        "resourceType": "Subscription", "id": id, "status": "requested", "reason": "a trial",
        "criteria": TOPIC,
        "channel": {
            "type": "rest-hook", "endpoint": format!("http://127.0.0.1:{endpoint}/"),
            "payload": "application/fhir+json",
            "_payload": {"extension": [
                {"url": format!("{BACKPORT}backport-payload-content"), "valueCode": "full-resource"},
            ]},
        },
    })
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(120), "never: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one trial from its start to its end")]
fn a_killed_engine_owes_its_subscribers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    fs::create_dir_all(folder.path().join("channels")).unwrap();
    let mut engine = Engine::new(folder.path(), "  none:\n    channel: {topic: nobody}\n");
    let settings = fs::read_to_string(folder.path().join("engine.yaml")).unwrap();
    // So many short waits that nothing is given up during the trial.
    let schedule = vec!["50ms"; 500].join(", ");
    fs::write(
        folder.path().join("engine.yaml"),
        format!(
            "{settings}subscriptions:\n  allow: [127.0.0.0/8]\n  plain_http: true\n  schedule: [{schedule}]\n  topics: [{{url: \"{TOPIC}\", types: [Observation]}}]\n"
        ),
    )
    .unwrap();
    fs::write(
        folder.path().join("channels/gateway.yaml"),
        format!(
            "channel: gateway\norder_by: none\nfrom:\n  fhir: {{listen: \"127.0.0.1:{port}\", access: none}}\nto:\n  nowhere: {{when: $.resourceType is Basic, channel: {{topic: nothing}}}}\n"
        ),
    )
    .unwrap();
    let seed = fastrand::u32(..);
    println!("seed {seed}");
    let subscribers =
        [("python", Subscriber::python(seed.into())), ("node", Subscriber::node(seed.into()))];
    engine.start("");
    engine.ready().expect("the engine starts");
    for (id, subscriber) in &subscribers {
        insist(port, "PUT", &format!("Subscription/{id}"), &subscription(id, subscriber.port));
        wait_for("the subscription is active", || {
            insist(port, "GET", &format!("Subscription/{id}"), &Value::Null)["status"] == "active"
        });
        let secret = json!({"secret": SECRET, "reason": "the trial checks signatures"});
        engine.api(&format!("/subscriptions/{id}/secret"), Some(&secret));
    }
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|patient| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut value = 0_u32;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    value += 1;
                    let body = json!({
                        "resourceType": "Observation", "id": format!("o{patient}"),
                        "status": "final", "code": {"text": "pulse"},
                        "subject": {"reference": format!("Patient/{patient}")},
                        "valueInteger": value,
                    });
                    insist(port, "PUT", &format!("Observation/o{patient}"), &body);
                }
                value
            })
        })
        .collect();
    let kills = if std::env::var_os("MEDWAY_TEST_ALL").is_some() { 100 } else { 8 };
    for _ in 0..kills {
        std::thread::park_timeout(Duration::from_millis(fastrand::u64(150..600)));
        engine.kill();
        engine.start("");
        engine.ready().expect("the engine starts again");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let written: u32 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
    let mut counted = BTreeMap::new();
    for (id, _) in &subscribers {
        let status = insist(port, "GET", &format!("Subscription/{id}/$status"), &Value::Null);
        let parameters = &status["entry"][0]["resource"]["parameter"];
        let last: u64 = parameters[4]["valueString"].as_str().unwrap().parse().unwrap();
        assert!(last >= u64::from(written), "{last} events of {written} writes");
        counted.insert(*id, last);
    }
    for (id, subscriber) in &subscribers {
        let all: Vec<u64> = (1..=counted[id]).collect();
        wait_for("every event number arrives", || subscriber.taken() == all);
        let events = subscriber.events();
        println!("{id}: {written} writes, {} events, {} calls", all.len(), events.len());
        assert!(events.iter().all(|line| line["signed"] == true), "a signature does not hold");
        let mut ids: BTreeMap<u64, &str> = BTreeMap::new();
        let mut patients: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for line in &events {
            let (number, own) = (line["number"].as_u64().unwrap(), line["id"].as_str().unwrap());
            assert_eq!(*ids.entry(number).or_insert(own), own, "one id an event");
            let first = patients.entry(line["patient"].as_str().unwrap()).or_default();
            // A repeat after a kill is no disorder: what counts is when an event came first.
            if !first.contains(&number) {
                first.push(number);
            }
        }
        for (patient, first) in patients {
            assert!(first.is_sorted(), "{id}: the order of {patient} is broken: {first:?}");
        }
    }
}
