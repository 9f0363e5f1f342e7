//! The FHIR endpoint through real HTTP, on a real store: each case is a request and what comes back.

mod access;
mod bounds;
mod bundles;
mod capabilities;
mod conditions;
mod history;
mod keys;
mod messages;
mod negotiation;
mod search;
mod tls;
mod wild;
mod writes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use medway::clock::Clock;
use medway::message::id::{DestinationId, MessageId, VersionId};
use medway::message::kind::{ContentType, Kind};
use medway::message::plan::{Disposition, Plan, PlanEntry};
use medway::message::verdict::Problem;
use medway::message::{Envelope, KeyValue};
use medway::source::fhir::audit::{Audit, AuditEntry};
use medway::source::fhir::extension::NoExtension;
use medway::source::fhir::options::FhirSourceOptions;
use medway::source::fhir::{FhirParts, FhirSource};
use medway::source::intake::{Admit, CONTROL_ID, EVENT, Intake, Received};
use medway::store::resources::ResourceStore;
use medway::store::sqlite::{SqliteOptions, SqliteStore};
use medway::store::{MessageQuery, NewMessage, Store, StoreError};
use medway::tls::{ClientTls, ServerTls};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where no channel sends answers.
pub(super) const NOBODY: &str = "http://nobody.example/in";

/// The type that the channel lets nobody write where it is served by name.
pub(super) const REFUSED_TYPE: &str = "Basic";
/// The events of messages that the channel names.
pub(super) const EVENTS: [&str; 2] = ["admit", "urn:events:discharge"];

/// Refuses what holds `REFUSE`, takes everything else.
struct Judge {
    lets_all_in: bool,
}

impl Admit for Judge {
    fn lets_in(&self, _: &str, event: &str) -> bool {
        self.lets_all_in || !event.starts_with(REFUSED_TYPE)
    }

    fn events_of(&self, _: &str, code: &str) -> Vec<String> {
        let known = (code == "message").then_some(EVENTS);
        known.into_iter().flatten().map(str::to_owned).collect()
    }

    fn admit(&self, received: &Received) -> Result<NewMessage, Problem> {
        let bytes = received.payload.expose();
        let event = received.attribute(EVENT).unwrap_or_default();
        let is_refused = !self.lets_in(&received.channel, event);
        if is_refused || bytes.windows(6).any(|window| window == b"REFUSE") {
            let text = "the channel does not take this message".to_owned();
            return Err(Problem { code: 199, location: None, text, reject: false });
        }
        let said = |name| received.attribute(name).unwrap_or_default();
        // One channel listens to answers that are sent later, but not to those for this place.
        let awaited = said(EVENT) == "message^response" && said("response-url") != NOBODY;
        let entries = awaited.then_some(PlanEntry {
            destination: DestinationId(1),
            version: VersionId(1),
            disposition: Disposition::Filtered,
        });
        let entries = entries.into_iter().collect();
        Ok(NewMessage {
            envelope: Envelope {
                id: MessageId::new(),
                received_at: received.at,
                channel: Arc::clone(&received.channel),
                content_type: received.content_type.unwrap_or(ContentType::FhirJson),
                kind: Kind::Other,
                event: said(EVENT).into(),
                control_id: KeyValue::new(said(CONTROL_ID)),
                keys: Vec::new(),
                origin: None,
            },
            plan: Plan { entries },
            payload: Some(received.payload.clone()),
            duplicate: None,
        })
    }
}

/// Keeps the audit trail in memory: interaction, what, status; or has no room for it.
#[derive(Default)]
pub(super) struct Kept(Mutex<Vec<String>>, pub(super) AtomicBool);

#[async_trait]
impl Audit for Kept {
    fn record(&self, entry: &AuditEntry<'_>) {
        let line = format!(
            "{} {} {} {} {}",
            entry.who, entry.interaction, entry.kind, entry.id, entry.status
        );
        self.0.lock().unwrap().push(line);
    }

    async fn settle(&self) -> Result<(), StoreError> {
        let full = self.1.load(Ordering::Relaxed);
        if full { Err(StoreError::Database("disk full".into())) } else { Ok(()) }
    }
}

/// An endpoint and what it stands on.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) store: Arc<SqliteStore>,
    pub(super) intake: Intake,
    pub(super) audit: Arc<Kept>,
    stop: CancellationToken,
    tracker: TaskTracker,
    _folder: tempfile::TempDir,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Value,
    pub(super) text: String,
}

impl Got {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The codes of the issues of an outcome.
    pub(super) fn codes(&self) -> Vec<&str> {
        let issues = self.body["issue"].as_array().map(Vec::as_slice).unwrap_or_default();
        issues.iter().filter_map(|issue| issue["code"].as_str()).collect()
    }

    /// `Type/id` of every entry of a bundle.
    pub(super) fn entries(&self) -> Vec<String> {
        let entries = self.body["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
        let resources = entries.iter().map(|entry| &entry["resource"]);
        let named = resources.map(|one| {
            format!(
                "{}/{}",
                one["resourceType"].as_str().unwrap_or("-"),
                one["id"].as_str().unwrap_or("-")
            )
        });
        named.collect()
    }

    /// A link of a bundle.
    pub(super) fn link(&self, relation: &str) -> Option<String> {
        let links = self.body["link"].as_array()?;
        let link = links.iter().find(|link| link["relation"] == relation)?;
        link["url"].as_str().map(str::to_owned)
    }
}

pub(super) const JSON: (&str, &str) = ("Content-Type", "application/fhir+json");

impl Server {
    pub(super) async fn start() -> Self {
        Self::with(FhirSourceOptions::default()).await
    }

    pub(super) async fn with(options: FhirSourceOptions) -> Self {
        Self::over(options, None).await
    }

    pub(super) async fn over(options: FhirSourceOptions, tls: Option<Arc<ServerTls>>) -> Self {
        Self::all(options, tls, None, Clock::System).await
    }

    pub(super) async fn all(
        options: FhirSourceOptions,
        tls: Option<Arc<ServerTls>>,
        keys_tls: Option<Arc<ClientTls>>,
        clock: Clock,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let opened = SqliteStore::open(SqliteOptions::new(folder.path().join("store.db"))).await;
        let store = Arc::new(opened.unwrap());
        let log: Arc<dyn Store> = store.clone();
        let resources: Arc<dyn ResourceStore> = store.clone();
        let lets_all_in = !options.types.iter().any(|own| **own == *REFUSED_TYPE);
        let intake = Intake::new(log, Arc::new(Judge { lets_all_in }));
        let audit = Arc::new(Kept::default());
        let parts = FhirParts {
            store: resources,
            audit: audit.clone(),
            extension: Arc::new(NoExtension),
            tls,
            keys_tls,
            clock,
        };
        let source = FhirSource::new("fhir".into(), options, parts).bind().await.unwrap();
        let address = source.local_addr();
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        tracker.spawn(source.run(intake.clone(), stop.clone(), tracker.clone()));
        Self { address, store, intake, audit, stop, tracker, _folder: folder }
    }

    /// A second endpoint over the same store.
    pub(super) async fn beside(&self, options: FhirSourceOptions) -> SocketAddr {
        let parts = FhirParts {
            store: self.store.clone(),
            audit: self.audit.clone(),
            extension: Arc::new(NoExtension),
            tls: None,
            keys_tls: None,
            clock: Clock::System,
        };
        let source = FhirSource::new("other".into(), options, parts).bind().await.unwrap();
        let address = source.local_addr();
        let (stop, tracker) = (self.stop.clone(), self.tracker.clone());
        self.tracker.spawn(source.run(self.intake.clone(), stop, tracker));
        address
    }

    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Got {
        self.call_at(self.address, method, path, headers, body).await
    }

    pub(super) async fn call_at(
        &self,
        address: SocketAddr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Got {
        let path = path.split_once(&address.to_string()).map_or(path, |(_, path)| path);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/fhir/{path}") };
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n");
        request.push_str(&format!("Connection: close\r\nContent-Length: {}\r\n", body.len()));
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        request.push_str(body);
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        Got {
            status,
            headers,
            body: serde_json::from_str(body).unwrap_or(Value::Null),
            text: body.to_owned(),
        }
    }

    pub(super) async fn get(&self, path: &str) -> Got {
        self.call("GET", path, &[], "").await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Got {
        self.call("POST", path, &[JSON], &body.to_string()).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Got {
        self.call("PUT", path, &[JSON], &body.to_string()).await
    }

    /// Puts a resource under its id.
    pub(super) async fn store(&self, resource: &Value) -> Got {
        let path = format!(
            "{}/{}",
            resource["resourceType"].as_str().unwrap(),
            resource["id"].as_str().unwrap()
        );
        let got = self.put(&path, resource).await;
        assert!(matches!(got.status, 200 | 201), "{got:?}");
        got
    }

    /// Events and control ids of the log, oldest first.
    pub(super) async fn log(&self) -> Vec<String> {
        let query = MessageQuery { limit: 1000, ..MessageQuery::default() };
        let mut found = self.store.search(query).await.unwrap();
        found.reverse();
        let told = found.iter().map(|message| {
            format!("{} {}", message.envelope.event, message.envelope.control_id.expose())
        });
        told.collect()
    }

    pub(super) fn audited(&self) -> Vec<String> {
        self.audit.0.lock().unwrap().clone()
    }

    pub(super) async fn end(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        self.store.close().await;
    }
}
