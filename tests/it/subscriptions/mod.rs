//! FHIR subscriptions through the whole engine: a client writes, scripted receivers are called.

mod events;
mod given_up;
mod hear;
mod hosts;
mod many;
mod owner;
mod record;
mod status;
mod together;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use medway::clock::Clock;
use medway::config::load::{LoadOptions, load};
use medway::engine::Engine;
use medway::store::sqlite::access::SqliteAccess;
use medway::store::sqlite::{SqliteOptions, SqliteStore};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(super) const BACKPORT: &str =
    "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/";
/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// One call as it came.
#[derive(Debug, Clone)]
pub(super) struct Called {
    pub(super) line: String,
    pub(super) head: String,
    pub(super) body: String,
}

impl Called {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.split("\r\n").skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// A parameter of a notification's status.
    pub(super) fn parameter(&self, name: &str) -> String {
        let bundle = self.json();
        let list = bundle["entry"][0]["resource"]["parameter"].as_array().cloned().unwrap();
        let found = list.iter().find(|one| one["name"] == name).unwrap_or(&Value::Null);
        ["valueString", "valueCode", "valueCanonical"]
            .iter()
            .find_map(|kind| found[kind].as_str())
            .unwrap_or_default()
            .to_owned()
    }

    /// `handshake`, `event-notification` …
    pub(super) fn kind(&self) -> String {
        self.parameter("type")
    }
}

/// What a receiver does with the next call.
#[derive(Debug, Clone)]
pub(super) enum Says {
    /// This status, with further header lines.
    Status(u16, &'static str),
    /// Nothing: it closes the connection.
    Dies,
    /// Nothing, for longer than anybody waits.
    Hangs,
    /// 200 and a body without an end.
    Endless,
}

/// A receiver with a script; beyond it, it answers 200.
pub(super) struct Hook {
    pub(super) port: u16,
    calls: Arc<watch::Sender<Vec<Called>>>,
    script: Arc<Mutex<VecDeque<Says>>>,
    refused: Arc<Mutex<Option<&'static str>>>,
    connections: Arc<AtomicUsize>,
}

impl Hook {
    pub(super) async fn new(script: &[Says]) -> Self {
        Self::at(0, script).await
    }

    /// The same at a port of its own.
    pub(super) async fn at(port: u16, script: &[Says]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let calls = Arc::new(watch::Sender::new(Vec::new()));
        let script = Arc::new(Mutex::new(script.iter().cloned().collect::<VecDeque<_>>()));
        let (kept, said) = (Arc::clone(&calls), Arc::clone(&script));
        let refused = Arc::new(Mutex::new(None));
        let refusing = Arc::clone(&refused);
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio_util::task::TaskTracker::new().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio_util::task::TaskTracker::new().spawn(serve(
                    stream,
                    Arc::clone(&kept),
                    Arc::clone(&said),
                    Arc::clone(&refusing),
                ));
            }
        });
        Self { port, calls, script, refused, connections }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// How many connections were opened.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn say(&self, script: &[Says]) {
        self.script.lock().unwrap().extend(script.iter().cloned());
    }

    /// Answers 422 from now on, whatever the script says, to each call whose body has this text.
    pub(super) fn refuse(&self, text: Option<&'static str>) {
        *self.refused.lock().unwrap() = text;
    }

    /// Waits until it was called so often; all calls so far.
    pub(super) async fn called(&self, times: usize) -> Vec<Called> {
        let mut seen = self.calls.subscribe();
        let called = seen.wait_for(|calls| calls.len() >= times);
        match tokio::time::timeout(PATIENCE, called).await {
            Ok(calls) => calls.unwrap().clone(),
            Err(_) => panic!("called {} times, never {times}", self.calls.borrow().len()),
        }
    }
}

async fn serve(
    mut stream: tokio::net::TcpStream,
    calls: Arc<watch::Sender<Vec<Called>>>,
    script: Arc<Mutex<VecDeque<Says>>>,
    refused: Arc<Mutex<Option<&'static str>>>,
) {
    let mut read = Vec::new();
    loop {
        let Some(called) = request(&mut stream, &mut read).await else { return };
        let refuses = refused.lock().unwrap().is_some_and(|text| called.body.contains(text));
        calls.send_modify(|calls| calls.push(called));
        let says = match refuses {
            true => Some(Says::Status(422, "")),
            false => script.lock().unwrap().pop_front(),
        };
        let answer = match says.unwrap_or(Says::Status(200, "")) {
            Says::Status(code, more) => {
                format!("HTTP/1.1 {code} X\r\ncontent-length: 0\r\n{more}\r\n")
            }
            Says::Dies => return,
            Says::Hangs => std::future::pending().await,
            Says::Endless => {
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 5368709120\r\n\r\n";
                if stream.write_all(head).await.is_err() {
                    return;
                }
                while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
                return;
            }
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn request(stream: &mut tokio::net::TcpStream, read: &mut Vec<u8>) -> Option<Called> {
    let end = loop {
        if let Some(at) = read.windows(4).position(|part| part == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(read.drain(..end + 4).collect()).unwrap();
    let line = head.split("\r\n").next().unwrap().to_owned();
    let mut called = Called { line, head, body: String::new() };
    let length: usize = called.header("content-length").map_or(0, |text| text.parse().unwrap());
    while read.len() < length {
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
    called.body = String::from_utf8(read.drain(..length).collect()).unwrap();
    Some(called)
}

/// An engine with one FHIR endpoint.
pub(super) struct Site {
    pub(super) engine: Arc<Engine>,
    pub(super) access: Arc<SqliteAccess>,
    base: String,
    client: reqwest::Client,
    /// The bearer token of requests.
    token: Option<&'static str>,
    folder: Option<tempfile::TempDir>,
}

impl Site {
    pub(super) async fn new(subscriptions: &str) -> Self {
        Self::guarded(subscriptions, "none").await
    }

    /// One whose endpoint asks who comes.
    pub(super) async fn guarded(subscriptions: &str, access: &str) -> Self {
        Self::listening(0, subscriptions, access).await
    }

    /// The same at a port of its own.
    pub(super) async fn listening(port: u16, subscriptions: &str, access: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = format!(
            "data: data\nchannels: channels\nsubscriptions: {{allow: [127.0.0.0/8], plain_http: true, {subscriptions}}}\n"
        );
        std::fs::write(folder.path().join("engine.yaml"), engine).unwrap();
        std::fs::create_dir(folder.path().join("channels")).unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::create_dir(folder.path().join("secrets")).unwrap();
        for name in ["emr", "lab", "boss"] {
            let file = folder.path().join(format!("secrets/{name}"));
            std::fs::write(&file, format!("token-of-{name}")).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&file, mode).unwrap();
        }
        let file = folder.path().join("secrets/hook");
        std::fs::write(&file, "made-up-secret-of-the-hearer-0001").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, mode).unwrap();
        lets_in(folder.path(), port, access);
        Self::start(folder).await
    }

    /// Stops the engine and starts it again with other access.
    pub(super) async fn again_with(self, access: &str) -> Self {
        lets_in(self.folder.as_ref().unwrap().path(), 0, access);
        self.again().await
    }

    /// The same site, asked with this token.
    pub(super) const fn with_token(mut self, token: &'static str) -> Self {
        self.token = Some(token);
        self
    }

    async fn start(folder: tempfile::TempDir) -> Self {
        medway::tls::install_provider();
        let loaded = load(folder.path(), &LoadOptions::default());
        assert!(loaded.starts(), "{:?}", loaded.findings);
        let data: &Path = &loaded.engine.data;
        let store = SqliteStore::open(SqliteOptions::new(data.join("medway.db"))).await.unwrap();
        let never = Box::new(|| Err("no reload here".to_owned()));
        let access = Arc::new(SqliteAccess::open(&data.join("access.db")).await.unwrap());
        let store = Arc::new(store);
        let engine = Engine::start(
            &loaded,
            never,
            store,
            Arc::<SqliteAccess>::clone(&access),
            Clock::System,
        )
        .await
        .unwrap();
        let sources = engine.sources("gateway");
        let base = format!("http://{}/fhir", sources[0]["listens"].as_str().unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { engine, access, base, client, token: None, folder: Some(folder) }
    }

    /// Stops the engine and starts it again on the same data.
    pub(super) async fn again(mut self) -> Self {
        self.engine.stop().await;
        let folder = self.folder.take().unwrap();
        drop(self);
        Self::start(folder).await
    }

    pub(super) async fn ask(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let mut request = self.client.request(method, format!("{}/{path}", self.base));
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        if !body.is_null() {
            request =
                request.header("content-type", "application/fhir+json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask(Method::PUT, path, body).await
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, &Value::Null).await.1
    }

    /// A patient's observation, version after version.
    pub(super) async fn observe(&self, patient: &str, id: &str, value: u32) {
        let body = json!({
            "resourceType": "Observation", "id": id, "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
            "subject": {"reference": format!("Patient/{patient}")},
            "valueInteger": value,
        });
        let (status, answer) = self.put(&format!("Observation/{id}"), &body).await;
        assert!(matches!(status, 200 | 201), "{status} {answer}");
    }

    /// Waits until a Subscription has this status.
    pub(super) async fn status(&self, id: &str, status: &str) -> Value {
        let mut changes = self.engine.subscriptions().changes();
        let waiting = async {
            loop {
                let found = self.get(&format!("Subscription/{id}")).await;
                if found["status"] == status {
                    return found;
                }
                changes.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(found) => found,
            Err(_) => panic!("never {status}: {}", self.get(&format!("Subscription/{id}")).await),
        }
    }
}

/// Writes the channel of a site.
fn lets_in(folder: &Path, port: u16, access: &str) {
    let channel = format!(
        "channel: gateway\norder_by: none\nfrom:\n  fhir: {{listen: \"127.0.0.1:{port}\", access: {access}}}\nto:\n  nowhere: {{when: $.resourceType is Basic, channel: {{topic: nothing}}}}\n"
    );
    std::fs::write(folder.join("channels/gateway.yaml"), channel).unwrap();
}

/// A topic subscription.
pub(super) fn topic(id: &str, endpoint: &str, content: &str) -> Value {
    json!({
        "resourceType": "Subscription", "id": id, "status": "requested", "reason": "a test",
        "meta": {"profile": [format!("{BACKPORT}backport-subscription")]},
        "criteria": "https://hospital.example/topics/results",
        "channel": {
            "type": "rest-hook", "endpoint": endpoint, "payload": "application/fhir+json",
            "_payload": {"extension": [
                {"url": format!("{BACKPORT}backport-payload-content"), "valueCode": content},
            ]},
        },
    })
}

/// The topic of these tests, as configured.
pub(super) const TOPICS: &str =
    "topics: [{url: https://hospital.example/topics/results, types: [Observation]}]";

/// A search subscription.
pub(super) fn search(id: &str, endpoint: &str, criteria: &str) -> Value {
    json!({
        "resourceType": "Subscription", "id": id, "status": "active", "reason": "a test",
        "criteria": criteria,
        "channel": {"type": "rest-hook", "endpoint": endpoint, "payload": "application/fhir+json"},
    })
}
