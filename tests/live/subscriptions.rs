//! Subscribers that check every signature with libraries nobody here wrote, that die, hang, refuse, are away and
//! come back; an engine that is killed again and again; and clients that write on: no event number is missing,
//! the order per patient is kept.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::engine::{Engine, free_port};

const BACKPORT: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TOPIC: &str = "https://hospital.example/topics/results";

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers")
}

/// Subscribers in another language, each at a path of its own: see tests/peers/hook.py.
struct Peers {
    script: &'static str,
    seed: u64,
    child: Child,
    port: u16,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Peers {
    fn start(script: &'static str, seed: u64) -> Self {
        let lines = Arc::default();
        let (child, port) = run(script, seed, 0, &lines);
        Self { script, seed, child, port, lines }
    }

    /// Nobody is there any more.
    fn leave(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// They are there again, at the same port.
    fn come_back(&mut self) {
        let (child, port) = run(self.script, self.seed + 1, self.port, &self.lines);
        (self.child, self.port) = (child, port);
    }

    fn events(&self, path: &str) -> Vec<Value> {
        let lines = self.lines.lock().unwrap();
        let events = lines.iter().filter(|line| line["kind"] == "event-notification");
        events.filter(|line| line["path"] == path).cloned().collect()
    }

    /// What was answered with success: by number, patient and value.
    fn taken(&self, path: &str) -> BTreeMap<u64, (String, u64)> {
        let events = self.events(path);
        let good = ["ok", "slow", "endless"].map(Some);
        let taken = events.iter().filter(|line| good.contains(&line["mood"].as_str()));
        let told = taken.map(|line| {
            let patient = line["patient"].as_str().unwrap().to_owned();
            (line["number"].as_u64().unwrap(), (patient, line["value"].as_u64().unwrap()))
        });
        told.collect()
    }
}

/// The process, once it listens; its lines go to `lines`.
fn run(script: &str, seed: u64, port: u16, lines: &Arc<Mutex<Vec<Value>>>) -> (Child, u16) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(script);
    let mut command = if script.ends_with(".py") {
        let mut python = Command::new(peers().join("venv/bin/python"));
        python.arg(source);
        python
    } else {
        // Node looks for packages beside the script.
        let beside = peers().join(script);
        fs::copy(source, &beside).unwrap();
        let mut node = Command::new("node");
        node.arg(beside);
        node
    };
    let mut child = command
        .args([SECRET, &seed.to_string(), &port.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("peers are installed by scripts/setup.sh");
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = out.next().unwrap().unwrap();
    let kept = Arc::clone(lines);
    std::thread::spawn(move || {
        for line in out.map_while(Result::ok) {
            // The last line of one that is killed may be half a line.
            kept.lock().unwrap().extend(serde_json::from_str::<Value>(&line));
        }
    });
    (child, first.strip_prefix("port ").unwrap().parse().unwrap())
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.leave();
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

fn subscription(id: &str, port: u16, path: &str) -> Value {
    json!({
        "resourceType": "Subscription", "id": id, "status": "requested", "reason": "a trial",
        "criteria": TOPIC,
        "channel": {
            "type": "rest-hook", "endpoint": format!("http://127.0.0.1:{port}{path}"),
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
        assert!(began.elapsed() < Duration::from_secs(180), "never: {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// An engine with a FHIR endpoint, and a schedule that gives up after a second or two.
fn configured(folder: &Path) -> (Engine, u16) {
    let port = free_port();
    fs::create_dir_all(folder.join("channels")).unwrap();
    let engine = Engine::new(folder, "  none:\n    channel: {topic: nobody}\n");
    engine.append(
        "engine.yaml",
        &format!(
            "subscriptions:\n  allow: [127.0.0.0/8]\n  plain_http: true\n  reply_within: 1s\n  \
             schedule: [50ms, 100ms, 200ms, 200ms, 300ms, 300ms]\n  \
             topics: [{{url: \"{TOPIC}\", types: [Observation]}}]\n"
        ),
    );
    fs::write(
        folder.join("channels/gateway.yaml"),
        format!(
            "channel: gateway\norder_by: none\nfrom:\n  fhir: {{listen: \"127.0.0.1:{port}\", access: none}}\nto:\n  nowhere: {{when: $.resourceType is Basic, channel: {{topic: nothing}}}}\n"
        ),
    )
    .unwrap();
    (engine, port)
}

/// One who writes a patient's values until told to stop; answers how many.
fn writer(port: u16, patient: u32, stop: &Arc<AtomicBool>) -> JoinHandle<u64> {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut value = 0;
        while !stop.load(Ordering::Relaxed) {
            value += 1;
            let body = json!({
                "resourceType": "Observation", "id": format!("o{patient}"),
                "status": "final", "code": {"text": "pulse"},
                "subject": {"reference": format!("Patient/{patient}")},
                "valueInteger": value,
            });
            insist(port, "PUT", &format!("Observation/o{patient}"), &body);
            std::thread::park_timeout(Duration::from_millis(10));
        }
        value
    })
}

/// The number of the last event.
fn counted(port: u16, id: &str) -> u64 {
    let status = insist(port, "GET", &format!("Subscription/{id}/$status"), &Value::Null);
    let parameters = status["entry"][0]["resource"]["parameter"].as_array().cloned().unwrap();
    let count = parameters.iter().find(|one| one["name"] == "events-since-subscription-start");
    count.unwrap()["valueString"].as_str().unwrap().parse().unwrap()
}

/// Whether a subscriber got everything, in order, each event under one id and signed.
fn holds(peers: &Peers, path: &str, all: u64, written: &[u64]) {
    let taken = peers.taken(path);
    assert!(taken.keys().copied().eq(1..=all), "{path}: numbers are missing");
    let events = peers.events(path);
    println!("{} {path}: {all} events, {} calls", peers.script, events.len());
    assert!(events.iter().all(|line| line["signed"] == true), "a signature does not hold");
    let mut ids: BTreeMap<u64, &str> = BTreeMap::new();
    for line in &events {
        let (number, own) = (line["number"].as_u64().unwrap(), line["id"].as_str().unwrap());
        assert_eq!(*ids.entry(number).or_insert(own), own, "one id an event");
    }
    for (patient, values) in written.iter().enumerate() {
        let patient = format!("Patient/{patient}");
        // A repeat after a kill is no disorder: what counts is when an event came first.
        let mut first: Vec<u64> = Vec::new();
        for line in events.iter().filter(|line| line["patient"] == patient) {
            let value = line["value"].as_u64().unwrap();
            if !first.contains(&value) {
                first.push(value);
            }
        }
        assert!(first.iter().copied().eq(1..=*values), "{path}: {patient}: {first:?}");
        let told: Vec<u64> =
            taken.values().filter(|(own, _)| *own == patient).map(|(_, value)| *value).collect();
        assert!((1..=*values).all(|value| told.contains(&value)), "{path}: {patient} misses some");
    }
}

#[test]
fn a_killed_engine_owes_its_subscribers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, port) = configured(folder.path());
    let seed = fastrand::u32(..);
    println!("seed {seed}");
    let mut python = Peers::start("hook.py", seed.into());
    let mut node = Peers::start("hook.mjs", seed.into());
    engine.start("");
    engine.ready().expect("the engine starts");
    let all = [
        ("python", python.port, "/mixed"),
        ("node", node.port, "/mixed"),
        ("again", python.port, "/slow"),
        ("gone", node.port, "/gone"),
    ];
    let status = |id: &str| insist(port, "GET", &format!("Subscription/{id}"), &Value::Null);
    for (id, peer, path) in all {
        insist(port, "PUT", &format!("Subscription/{id}"), &subscription(id, peer, path));
        wait_for("the subscription is active", || status(id)["status"] == "active");
        let secret = json!({"secret": SECRET, "reason": "the trial checks signatures"});
        engine.api(&format!("/subscriptions/{id}/secret"), Some(&secret));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3).map(|patient| writer(port, patient, &stop)).collect();
    let kills = if std::env::var_os("MEDWAY_TEST_ALL").is_some() { 100 } else { 9 };
    for round in 0..kills {
        match round % 9 {
            3 => python.leave(),
            4 => node.leave(),
            6 => python.come_back(),
            7 => node.come_back(),
            _ => {}
        }
        std::thread::park_timeout(Duration::from_millis(fastrand::u64(150..600)));
        // Its greeting takes longer than the engine lives: it is asked for while events go on.
        let (id, peer, path) = all[2];
        ask(port, "PUT", &format!("Subscription/{id}"), &subscription(id, peer, path));
        std::thread::park_timeout(Duration::from_millis(fastrand::u64(0..150)));
        engine.kill();
        engine.start("");
        engine.ready().expect("the engine starts again");
    }
    if kills % 9 > 0 {
        // Whoever is away when the kills end comes back.
        for peers in [&mut python, &mut node] {
            peers.leave();
            peers.come_back();
        }
    }
    stop.store(true, Ordering::Relaxed);
    let written: Vec<u64> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    for (id, peer, path) in &all[..3] {
        let peers = if *peer == python.port { &python } else { &node };
        let last = counted(port, id);
        assert!(last >= written.iter().sum::<u64>(), "{id}: {last} events of {written:?} writes");
        let mut asked = 0;
        wait_for("every event number arrives", || {
            // Whoever was given up while he was away asks again when he is back.
            if status(id)["status"] == "error" {
                asked += 1;
                insist(port, "PUT", &format!("Subscription/{id}"), &subscription(id, *peer, path));
            }
            u64::try_from(peers.taken(path).len()).unwrap() >= last
        });
        println!("{id}: asked for again {asked} times after the kills");
        holds(peers, path, last, &written);
    }
    wait_for("whoever is gone for good is off", || status("gone")["status"] == "off");
    assert!(status("gone")["error"].as_str().unwrap().contains("410"));
    let calls = node.events("/gone").len();
    assert!(counted(port, "gone") >= 6 && calls >= 6, "{calls} calls");
    let sums = engine.api("/conservation", None);
    for one in sums["destinations"].as_array().unwrap() {
        assert_eq!(one["unaccounted"], 0, "{one}");
    }
}
