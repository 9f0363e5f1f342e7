//! A store, scripted receivers and a clock that stands still.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use medway::clock::Clock;
use medway::delivery::Deliveries;
use medway::delivery::marker::Marker;
use medway::delivery::meters::DestinationName;
use medway::delivery::options::DeliveryOptions;
use medway::delivery::queue::RunnerStatus;
use medway::delivery::render::Render;
use medway::delivery::retry::RetryPolicy;
use medway::destination::{Destination, EndpointView};
use medway::message::id::{DestinationId, MessageId, Seq, VersionId};
use medway::message::kind::{ContentType, Kind};
use medway::message::outcome::{Answer, Outbound, Outcome, Scope};
use medway::message::payload::Payload;
use medway::message::plan::{Disposition, Joins, Lane, Plan, PlanEntry};
use medway::message::time::Timestamp;
use medway::message::verdict::{RenderProblem, Rendered};
use medway::message::{Envelope, KeyValue, StoredMessage};
use medway::store::sqlite::{SqliteOptions, SqliteStore};
use medway::store::{Appended, Conservation, NewMessage, Store, StoreError, VersionRecord};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) const START: i64 = 1_700_000_000_000_000;
/// Nothing here takes this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a receiver does with a body.
pub(crate) enum Does {
    Answers(Outcome),
    /// Answers with AA once the gate is opened.
    WaitsForGate,
    Hangs,
}

type Script = dyn Fn(&str, usize) -> Does + Send + Sync;

/// A receiver that follows a script and writes down what came.
pub(crate) struct Receiver {
    script: Mutex<Arc<Script>>,
    seen: Mutex<HashMap<String, usize>>,
    journal: watch::Sender<Vec<(String, String)>>,
    accepted: watch::Sender<Vec<String>>,
    gate: CancellationToken,
}

impl Receiver {
    pub(crate) fn new(script: impl Fn(&str, usize) -> Does + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            script: Mutex::new(Arc::new(script)),
            seen: Mutex::default(),
            journal: watch::Sender::default(),
            accepted: watch::Sender::default(),
            gate: CancellationToken::new(),
        })
    }

    pub(crate) fn willing() -> Arc<Self> {
        Self::new(|_, _| Does::Answers(accepted()))
    }

    pub(crate) fn becomes(&self, script: impl Fn(&str, usize) -> Does + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    pub(crate) fn open_gate(&self) {
        self.gate.cancel();
    }

    /// Everything that came, in order: (body, id).
    pub(crate) fn journal(&self) -> Vec<(String, String)> {
        self.journal.borrow().clone()
    }

    /// The bodies it accepted, in order.
    pub(crate) fn accepted(&self) -> Vec<String> {
        self.accepted.borrow().clone()
    }

    pub(crate) async fn has_accepted(&self, count: usize) -> Vec<String> {
        let mut accepted = self.accepted.subscribe();
        let enough = accepted.wait_for(|bodies| bodies.len() >= count);
        match tokio::time::timeout(PATIENCE, enough).await {
            Ok(bodies) => bodies.unwrap().clone(),
            Err(_) => panic!("{} of {count} accepted", self.accepted().len()),
        }
    }

    pub(crate) async fn has_seen(&self, count: usize) -> Vec<(String, String)> {
        let mut journal = self.journal.subscribe();
        let enough = journal.wait_for(|came| came.len() >= count);
        match tokio::time::timeout(PATIENCE, enough).await {
            Ok(came) => came.unwrap().clone(),
            Err(_) => panic!("{} of {count} came", self.journal().len()),
        }
    }
}

#[async_trait]
impl Destination for Receiver {
    async fn send(&self, outbound: &Outbound, _stop: &CancellationToken) -> Outcome {
        let body = String::from_utf8(outbound.body.to_vec()).unwrap();
        let times = {
            let mut seen = self.seen.lock().unwrap();
            let times = seen.entry(body.clone()).or_default();
            *times += 1;
            *times
        };
        self.journal.send_modify(|journal| journal.push((body.clone(), outbound.id.to_string())));
        let script = Arc::clone(&self.script.lock().unwrap());
        let outcome = match script(&body, times) {
            Does::Answers(outcome) => outcome,
            Does::WaitsForGate => {
                self.gate.cancelled().await;
                accepted()
            }
            Does::Hangs => std::future::pending().await,
        };
        if matches!(outcome, Outcome::Accepted(_)) {
            self.accepted.send_modify(|accepted| accepted.push(body));
        }
        outcome
    }

    fn endpoints(&self) -> Vec<EndpointView> {
        Vec::new()
    }
}

pub(crate) fn accepted() -> Outcome {
    Outcome::Accepted(Answer::new("AA", ""))
}

pub(crate) fn rejected(code: &'static str) -> Outcome {
    Outcome::Rejected(Answer::new(code, "made-up reason"))
}

pub(crate) fn later(code: &'static str) -> Outcome {
    Outcome::Failed { answer: Answer::new(code, ""), scope: Scope::Message, retry_after: None }
}

pub(crate) fn refused() -> Outcome {
    let answer = Answer::new("refused", "");
    Outcome::Failed { answer, scope: Scope::Endpoint, retry_after: None }
}

pub(crate) fn no_answer() -> Outcome {
    Outcome::Uncertain(Answer::new("timeout", ""))
}

/// Bytes that panic when they are let go, the first time: a fault of the task that serves a destination,
/// outside of what it catches.
struct Bomb(String, bool);

impl AsRef<[u8]> for Bomb {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.1, "made to fail");
    }
}

/// Sends the stored bytes; bodies with certain words hold, fail or panic.
#[derive(Default)]
struct Plain {
    exploded: AtomicBool,
}

impl Render for Plain {
    fn render(&self, to: DestinationId, _: VersionId, message: &StoredMessage) -> Rendered {
        let body = message.payload.expose().clone();
        let text = String::from_utf8(body.to_vec()).unwrap();
        let problem = |cause| RenderProblem {
            cause,
            text: "it cannot be rendered".to_owned(),
            detail: String::new(),
        };
        if text.contains("unmapped") {
            return Rendered::Hold(problem("unmapped_code"));
        }
        if text.contains("unfit") {
            return Rendered::Fail(problem("type"));
        }
        assert!(!text.contains("poison"), "made to fail");
        let body = if text.contains("bomb") {
            let first = !self.exploded.swap(true, Ordering::AcqRel);
            Bytes::from_owner(Bomb(text, first))
        } else {
            body
        };
        Rendered::Send(Outbound {
            message: message.envelope.id,
            body,
            content_type: ContentType::Hl7v2,
            id: message.envelope.id.derive(&to.to_string()).to_string().into(),
            attributes: Vec::new(),
        })
    }

    fn render_together(
        &self,
        to: DestinationId,
        version: VersionId,
        messages: &[&StoredMessage],
    ) -> Rendered {
        let first = self.render(to, version, messages[0]);
        let Rendered::Send(mut outbound) = first else { return first };
        let bodies: Vec<&[u8]> = messages.iter().map(|one| &**one.payload.expose()).collect();
        outbound.body = bodies.join(&b'+').into();
        Rendered::Send(outbound)
    }
}

/// A folder with a store, opened as often as one likes.
pub(crate) struct Rig {
    folder: TempDir,
    clock: Clock,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, clock: Clock::manual(Timestamp(START)) }
    }

    /// Opens it as soon as a life that died has let go of it.
    pub(crate) async fn open(&self) -> Engine {
        let options = SqliteOptions::new(self.folder.path().join("medway.db"));
        let open = async {
            loop {
                match SqliteStore::open(options.clone()).await {
                    Ok(store) => return store,
                    Err(StoreError::Unsafe(_)) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let store = tokio::time::timeout(PATIENCE, open).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let version = VersionRecord {
            channel: "adt".into(),
            hash: "cafe".into(),
            bundle: Vec::new(),
            applied_at: Timestamp(START),
        };
        let version = store.version(version).await.unwrap();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let deliveries = Deliveries::new(
            Arc::clone(&store),
            Arc::new(Plain::default()),
            Arc::new(Marker::default()),
            self.clock.clone(),
            tracker.clone(),
            stop.clone(),
        );
        Engine { store, version, deliveries, tracker, stop, clock: self.clock.clone() }
    }
}

/// The part of the engine that delivers.
pub(crate) struct Engine {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) deliveries: Deliveries,
    version: VersionId,
    tracker: TaskTracker,
    stop: CancellationToken,
    clock: Clock,
}

impl Engine {
    pub(crate) async fn destination(&self, name: &str) -> DestinationId {
        self.store.destination("adt", name).await.unwrap()
    }

    pub(crate) async fn start(
        &self,
        name: &str,
        receiver: &Arc<Receiver>,
        options: DeliveryOptions,
    ) -> DestinationId {
        let id = self.destination(name).await;
        let receiver: Arc<dyn Destination> = Arc::<Receiver>::clone(receiver);
        let name = DestinationName { channel: "adt".to_owned(), destination: name.to_owned() };
        self.deliveries.start(id, name, receiver, options).await.unwrap();
        id
    }

    pub(crate) fn message(&self, body: &str, to: &[(DestinationId, Disposition)]) -> NewMessage {
        let entries = to.iter().map(|(destination, disposition)| PlanEntry {
            destination: *destination,
            version: self.version,
            disposition: disposition.clone(),
        });
        NewMessage {
            envelope: Envelope {
                id: MessageId::new(),
                received_at: self.clock.now(),
                channel: "adt".into(),
                content_type: ContentType::Hl7v2,
                kind: Kind::Patient,
                event: "ADT^A08".into(),
                control_id: KeyValue::new("1"),
                keys: Vec::new(),
                origin: None,
            },
            plan: Plan { entries: entries.collect() },
            payload: Some(Payload::new(body.to_owned())),
            duplicate: None,
        }
    }

    /// Appends `(lane key, body)`s for one destination.
    pub(crate) async fn receive(&self, to: DestinationId, messages: &[(&str, &str)]) -> Vec<Seq> {
        let messages = messages.iter().map(|(key, body)| self.message(body, &[(to, lane(key))]));
        self.append(messages.collect()).await
    }

    pub(crate) async fn append(&self, messages: Vec<NewMessage>) -> Vec<Seq> {
        let mut seqs = Vec::new();
        for part in messages.chunks(200) {
            for appended in self.store.append(part.to_vec()).await.unwrap() {
                match appended {
                    Appended::New(seq) => seqs.push(seq),
                    other => panic!("not stored: {other:?}"),
                }
            }
        }
        seqs
    }

    pub(crate) fn pass_time(&self, seconds: u64) {
        let Clock::Manual(moment) = &self.clock else { panic!("the clock runs") };
        let micros = i64::try_from(seconds).unwrap() * 1_000_000;
        moment.fetch_add(micros, std::sync::atomic::Ordering::AcqRel);
        self.deliveries.clock_moved();
    }

    /// Waits until the destination's status is as wanted.
    pub(crate) async fn until(
        &self,
        id: DestinationId,
        wanted: impl Fn(&RunnerStatus) -> bool,
    ) -> RunnerStatus {
        let look = async {
            loop {
                let status = self.deliveries.status(id).unwrap();
                if wanted(&status) {
                    return status;
                }
                tokio::task::yield_now().await;
            }
        };
        match tokio::time::timeout(PATIENCE, look).await {
            Ok(status) => status,
            Err(_) => panic!("it stays {:?}", self.deliveries.status(id).unwrap()),
        }
    }

    pub(crate) async fn shut_down(&self) {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(PATIENCE, self.tracker.wait()).await.unwrap();
        self.store.close().await;
    }

    pub(crate) async fn sums(&self, id: DestinationId) -> Conservation {
        let sums = self.store.conservation().await.unwrap();
        let sum = sums.into_iter().find(|sum| sum.destination == id.0).unwrap();
        assert_eq!(sum.unaccounted, [], "P4");
        sum
    }
}

/// In the lane of a key; `strict` and the empty key are what they are.
pub(crate) fn lane(key: &str) -> Disposition {
    let lane = if key == "strict" { Lane::STRICT } else { Lane::of(key) };
    Disposition::Deliver { lane, joins: Joins::NONE }
}

/// Waits that are easy to count: 2, 4, 8 … seconds, no jitter.
pub(crate) fn options() -> DeliveryOptions {
    DeliveryOptions {
        retry: RetryPolicy { jitter: 0.0, ..RetryPolicy::default() },
        ..DeliveryOptions::default()
    }
}
