//! Who did what: a record of the audit trail for each request and for each entry of a bundle, without
//! content, on disk before the answer leaves.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tracing::error;

use crate::message::time::Timestamp;
use crate::store::StoreError;
use crate::store::access::{AccessStore, AuditEntry as Record};

/// One act.
#[derive(Debug, Clone, Copy)]
pub struct AuditEntry<'a> {
    /// When.
    pub at: Timestamp,
    /// The channel whose source was asked.
    pub channel: &'a str,
    /// `X-Request-Id`: the same for all entries of a bundle.
    pub request: &'a str,
    /// Who asked; empty when nobody was known.
    pub who: &'a str,
    /// How they showed it.
    pub means: &'a str,
    /// The remote address.
    pub from: &'a str,
    /// `read`, `search`, `create`, `transaction`, `$validate`, ….
    pub interaction: &'a str,
    /// The resource type; empty for the whole system.
    pub kind: &'a str,
    /// The id; empty when none is named. Ids of resources are ours or the client's, never a person's
    /// number by themselves.
    pub id: &'a str,
    /// The HTTP status.
    pub status: u16,
}

impl AuditEntry<'_> {
    /// The act as the trail keeps it.
    fn record(&self) -> Record {
        let outcome = match self.status {
            401 | 403 => "denied",
            400.. => "failed",
            _ => "done",
        };
        let about = [self.kind, self.id].into_iter().filter(|part| !part.is_empty());
        let object: Vec<&str> = std::iter::once(self.channel).chain(about).collect();
        // Names of FHIR clients are another register than those of users and tokens of the engine.
        let who = if self.who.is_empty() { "nobody".into() } else { format!("fhir:{}", self.who) };
        Record {
            at: self.at,
            actor: who,
            address: self.from.to_owned(),
            action: format!("fhir.{}", self.interaction.trim_start_matches('$')),
            outcome: outcome.to_owned(),
            object: object.join("/"),
            reason: format!("{} by {}, request {}", self.status, self.means, self.request),
        }
    }
}

/// Keeps entries.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Takes an entry in. Waits for nothing.
    fn record(&self, entry: &AuditEntry<'_>);

    /// Waits until what was taken in before is on disk.
    ///
    /// # Errors
    /// When it cannot be written.
    async fn settle(&self) -> Result<(), StoreError>;
}

/// Nobody keeps anything: for tests of other things.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoAudit;

#[async_trait]
impl Audit for NoAudit {
    fn record(&self, _: &AuditEntry<'_>) {}

    async fn settle(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The engine's audit trail. Whoever waits first writes for all that wait, in one transaction with one
/// sync: many requests at once cost little more than one.
pub struct AuditTrail {
    store: Arc<dyn AccessStore>,
    queue: Mutex<Queue>,
    writing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Record>,
    /// How many were ever taken in, and how many of these were dealt with.
    taken: u64,
    dealt: u64,
    /// The last ones that could not be written: after the first number, up to the second.
    failed: (u64, u64),
}

impl AuditTrail {
    /// The trail in this store.
    #[must_use]
    pub fn new(store: Arc<dyn AccessStore>) -> Self {
        Self { store, queue: Mutex::default(), writing: tokio::sync::Mutex::default() }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Audit for AuditTrail {
    fn record(&self, entry: &AuditEntry<'_>) {
        let mut queue = self.queue();
        queue.waiting.push(entry.record());
        queue.taken = queue.taken.saturating_add(1);
    }

    async fn settle(&self) -> Result<(), StoreError> {
        let own = self.queue().taken;
        let _turn = self.writing.lock().await;
        let (batch, before, after) = {
            let queue = self.queue();
            let (from, to) = queue.failed;
            if (from + 1..=to).contains(&own) {
                return Err(StoreError::Database("the audit trail could not be written".into()));
            }
            if queue.dealt >= own {
                return Ok(());
            }
            (queue.waiting.clone(), queue.dealt, queue.taken)
        };
        // They stay in the queue until they are written: this request may be dropped while it waits.
        let written = self.store.audit_all(&batch).await;
        let mut queue = self.queue();
        queue.waiting.drain(..batch.len());
        queue.dealt = after;
        if let Err(error) = &written {
            error!(%error, "the audit trail cannot be written");
            queue.failed = (before, after);
        }
        written
    }
}
