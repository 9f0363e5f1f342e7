//! Stores to test with, and messages of made-up people.

use std::sync::Arc;
use std::time::Duration;

use medway::message::id::{DestinationId, MessageId, Seq, VersionId};
use medway::message::kind::{ContentType, Kind};
use medway::message::outcome::Answer;
use medway::message::payload::Payload;
use medway::message::plan::{Disposition, Joins, Lane, Plan, PlanEntry};
use medway::message::time::Timestamp;
use medway::message::verdict::{DuplicateRule, IfChanged};
use medway::message::{Envelope, Key, KeyValue, Origin};
use medway::store::sqlite::{SqliteOptions, SqliteStore};
use medway::store::{
    Appended, Exception, ExceptionState, NewMessage, Settled, Store, VersionRecord,
};
use tempfile::TempDir;

/// The start of the tests' time.
pub(crate) const START: i64 = 1_700_000_000_000_000;

/// A folder for a store, which can be opened again and again.
pub(crate) struct Fixture(TempDir);

impl Fixture {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn options(&self) -> SqliteOptions {
        SqliteOptions::new(self.0.path().join("medway.db"))
    }

    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(self.options()).await.unwrap())
    }

    pub(crate) async fn destination(
        &self,
        store: &Arc<dyn Store>,
        name: &str,
    ) -> (DestinationId, VersionId) {
        let version = VersionRecord {
            channel: "adt".into(),
            hash: "cafe".into(),
            bundle: b"files".to_vec(),
            applied_at: Timestamp(START),
        };
        (store.destination("adt", name).await.unwrap(), store.version(version).await.unwrap())
    }
}

/// The place of a new message.
pub(crate) fn new_seq(appended: &Appended) -> Seq {
    match appended {
        Appended::New(seq) | Appended::Held(seq) => *seq,
        other => panic!("not stored: {other:?}"),
    }
}

/// A message to append, built up.
pub(crate) struct Builder(NewMessage);

/// Message number `n`, received `n` milliseconds after the start.
pub(crate) fn message(n: i64) -> Builder {
    Builder(NewMessage {
        envelope: Envelope {
            id: MessageId::new(),
            received_at: Timestamp(START + n * 1000),
            channel: "adt".into(),
            content_type: ContentType::Hl7v2,
            kind: Kind::Patient,
            event: "ADT^A01".into(),
            control_id: KeyValue::new(&format!("C{n}")),
            keys: Vec::new(),
            origin: None,
        },
        plan: Plan::default(),
        payload: Some(Payload::new(format!("MSH|^~\\&|A|B|||||ADT^A01|C{n}|P|2.5\r"))),
        duplicate: None,
    })
}

impl Builder {
    pub(crate) fn to(self, destination: DestinationId, version: VersionId) -> Self {
        self.in_lane(destination, version, Lane::of("4711"))
    }

    pub(crate) fn in_lane(
        self,
        destination: DestinationId,
        version: VersionId,
        lane: Lane,
    ) -> Self {
        self.planned(destination, version, Disposition::Deliver { lane, joins: Joins::NONE })
    }

    pub(crate) fn planned(
        mut self,
        destination: DestinationId,
        version: VersionId,
        disposition: Disposition,
    ) -> Self {
        self.0.plan.entries.push(PlanEntry { destination, version, disposition });
        self
    }

    pub(crate) fn filtered(self, destination: DestinationId, version: VersionId) -> Self {
        self.planned(destination, version, Disposition::Filtered)
    }

    pub(crate) fn key(mut self, name: &str, value: &str) -> Self {
        self.0.envelope.keys.push(Key { name: name.into(), value: KeyValue::new(value) });
        self
    }

    pub(crate) fn channel(mut self, name: &str) -> Self {
        self.0.envelope.channel = name.into();
        self
    }

    pub(crate) fn body(mut self, body: String) -> Self {
        self.0.payload = Some(Payload::new(body));
        self
    }

    pub(crate) fn origin(mut self, parent: Seq) -> Self {
        let (by, reason) = ("ana".to_owned(), "the EMR was restored".to_owned());
        self.0.envelope.origin = Some(Origin { parent, by, reason });
        self.0.payload = None;
        self
    }

    pub(crate) fn once(self, identity: u64, content: u64, if_changed: IfChanged) -> Self {
        self.once_within(identity, content, if_changed, Duration::from_secs(86_400))
    }

    pub(crate) fn once_within(
        mut self,
        identity: u64,
        content: u64,
        if_changed: IfChanged,
        within: Duration,
    ) -> Self {
        self.0.envelope.control_id = KeyValue::new(&format!("I{identity}"));
        self.0.duplicate = Some(DuplicateRule { identity, content, within, if_changed });
        self
    }

    pub(crate) fn build(self) -> NewMessage {
        self.0
    }
}

pub(crate) fn settled(destination: DestinationId, seq: Seq) -> Settled {
    Settled {
        destination,
        seq,
        at: Timestamp(START + seq.0),
        attempts: 1,
        duration: Duration::from_micros(900),
        answer: Answer::new("AA", ""),
        sent_hash: 7,
    }
}

pub(crate) fn exception(destination: DestinationId, seq: Seq, state: ExceptionState) -> Exception {
    Exception {
        destination,
        seq,
        lane: Lane::of("4711"),
        joins: Joins::NONE,
        state,
        attempts: 1,
        since: Timestamp(START),
        due: Timestamp(START + seq.0),
        cause: "rejected".into(),
        answer: Answer::new("AE", "no such patient"),
    }
}
