//! How calls to a subscriber went, kept over restarts: what leads to `error` and `off` goes on counting where
//! it stood.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tracing::error;

use crate::destination::subscriber::Health;
use crate::engine::subscriptions::{Live, Subscriptions};
use crate::message::id::DestinationId;
use crate::store::{Change, StoreError};

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    failures: u32,
    failing_since: i64,
    last_success: i64,
}

impl Record {
    fn of(health: &Health) -> Self {
        let failures = health.failures.load(Ordering::Acquire);
        match failures {
            // A success is worth a write only when it ends failures.
            0 => Self::default(),
            failures => Self {
                failures,
                failing_since: health.failing_since.load(Ordering::Acquire),
                last_success: health.last_success.load(Ordering::Acquire),
            },
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "failures": self.failures,
            "failing_since": self.failing_since,
            "last_success": self.last_success,
        })
    }

    fn from_json(stored: &Value) -> Self {
        let number = |name: &str| stored.get(name).and_then(Value::as_i64).unwrap_or(0);
        Self {
            failures: u32::try_from(number("failures")).unwrap_or(0),
            failing_since: number("failing_since"),
            last_success: number("last_success"),
        }
    }

    fn restore(&self, health: &Health) {
        health.failures.store(self.failures, Ordering::Release);
        health.failing_since.store(self.failing_since, Ordering::Release);
        health.last_success.store(self.last_success, Ordering::Release);
    }
}

impl Subscriptions {
    /// Reads what the process before kept.
    pub(super) async fn read_records(&self) -> Result<(), StoreError> {
        let notes = self.ground.store.notes().await?;
        let read = notes.into_iter().filter_map(|(destination, body)| {
            Some((destination, Record::from_json(&serde_json::from_slice(&body).ok()?)))
        });
        *self.records.write().unwrap_or_else(PoisonError::into_inner) = read.collect();
        Ok(())
    }

    /// One that is new to this process goes on where the process before stood.
    pub(super) fn restore(&self, destination: DestinationId, health: &Health) {
        let records = super::read_of(&self.records);
        records.get(&destination).into_iter().for_each(|record| record.restore(health));
    }

    /// Keeps how calls went, when it is not what is kept. Nobody waits for it: what is lost of it with the
    /// process is one call.
    pub(super) async fn keep(&self, live: &Live) {
        let record = Record::of(live.subscriber.health());
        {
            let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
            let kept = records.entry(live.destination).or_default();
            if *kept == record {
                return;
            }
            kept.clone_from(&record);
        }
        let note = record.to_json().to_string().into_bytes().into();
        let change = Change::Note(live.destination, note);
        if let Err(error) = self.ground.store.record(vec![change]).await {
            error!(subscription = %live.id, %error, "how its calls went is not kept");
        }
        self.known.send_modify(|count| *count += 1);
    }

    /// An end: whoever comes next under this name begins anew.
    pub(super) async fn keep_nothing(&self, live: &Live) {
        live.subscriber.health().clear();
        self.keep(live).await;
    }
}
