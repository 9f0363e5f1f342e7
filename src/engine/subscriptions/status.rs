//! The status of a Subscription, written by the engine as a version like any other: read by clients, kept in
//! the history, safe against a client's write at the same moment.

use std::sync::Arc;

use serde_json::Value;
use tracing::{info, warn};

use crate::engine::subscriptions::{Live, Subscriptions};
use crate::fhir::json::stamp::stamp;
use crate::fhir::search::index::index as values_of;
use crate::fhir::subscription::Status;
use crate::message::payload::Payload;
use crate::message::resource::{Expect, Interaction, ResourceKey, ResourceVersion, ResourceWrite};
use crate::store::StoreError;
use crate::store::resources::{ResourceBatch, Written};
use crate::telemetry::metrics::SUBSCRIPTION_CHANGES;

impl Subscriptions {
    /// Sets the status of a Subscription as it was read; when a client wrote it meanwhile, nothing happens:
    /// the new version is looked at anyway.
    pub(super) async fn set_status(
        self: &Arc<Self>,
        live: &Live,
        status: Status,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        let store = &self.ground.store;
        let key = ResourceKey::new("Subscription", &live.id);
        let Some(stored) = store.resource(&key).await? else { return Ok(()) };
        if stored.version != live.version || stored.is_deleted() {
            self.wake(&live.id);
            return Ok(());
        }
        let Ok(mut body) = serde_json::from_slice::<Value>(stored.body.expose()) else {
            return Ok(());
        };
        let at = self.ground.clock.now().max(stored.at);
        let version = stored.version + 1;
        if let Value::Object(members) = &mut body {
            members.insert("status".to_owned(), Value::from(status.name()));
            match error {
                Some(text) => {
                    members.insert("error".to_owned(), Value::from(text));
                }
                None => {
                    members.shift_remove("error");
                }
            }
        }
        stamp(&mut body, &live.id, version, at);
        let write = ResourceWrite {
            key: key.clone(),
            expect: Expect::Version(stored.version),
            version,
            interaction: Interaction::Update,
            at,
            message: None,
            index: values_of(&body, &self.reading(&live.settings.base)),
            body: Payload::new(body.to_string()),
        };
        if status == Status::Active {
            // Before anybody can read that it is active: what he writes then is an event.
            self.count(live);
        }
        let body = write.body.clone();
        let batch = ResourceBatch { writes: vec![write], ..ResourceBatch::default() };
        match store.write(batch).await? {
            Written::Done(_) => {
                let (id, was) = (&live.id, live.status().name());
                let labels = [("status", status.name())];
                metrics::counter!(SUBSCRIPTION_CHANGES, &labels).increment(1);
                match error {
                    Some(reason) => {
                        warn!(subscription = %id, was, status = status.name(), reason, "subscription changed");
                    }
                    None => {
                        info!(subscription = %id, was, status = status.name(), "subscription changed");
                    }
                }
                if matches!(status, Status::Error | Status::Off) {
                    self.put_on_record(live, status, error).await;
                }
                let stored = ResourceVersion {
                    key,
                    version,
                    interaction: Interaction::Update,
                    at,
                    seq: None,
                    body,
                };
                Box::pin(self.take(stored)).await
            }
            _ => {
                self.wake(&live.id);
                Ok(())
            }
        }
    }
}
