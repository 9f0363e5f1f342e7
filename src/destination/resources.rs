//! Writes resources into the engine's own FHIR store: what was made of HL7 v2 is found, and heard of, as if
//! a FHIR client had written it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::destination::pool::{Pool, PoolOptions};
use crate::destination::{Destination, EndpointView};
use crate::message::outcome::{Answer, Outbound, Outcome, Scope};

/// Where resources are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourcesOptions {
    /// The channel whose FHIR endpoint serves them.
    pub channel: String,
    /// Longest wait for them to be stored. Default 30 s.
    pub stored_within: Duration,
}

impl Default for ResourcesOptions {
    fn default() -> Self {
        Self { channel: String::new(), stored_within: Duration::from_secs(30) }
    }
}

/// What became of resources that were to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WrittenResources {
    /// They are durable: so many versions are new, the others said nothing new.
    Stored {
        /// New versions.
        new: usize,
    },
    /// They will never be taken as they are. Why, without content.
    Refused(String),
    /// They cannot be stored now. Why, without content.
    Unavailable(String),
}

/// The engine's resource store as a receiver.
#[async_trait]
pub trait WriteResources: Send + Sync {
    /// Writes a resource, or all entries of a Bundle in one transaction. Writing the same again changes
    /// nothing.
    async fn write(&self, channel: &str, outbound: &Outbound) -> WrittenResources;
}

/// The outcome of a write; `None` when it was not over in time.
#[must_use]
pub fn outcome_of(written: Option<&WrittenResources>) -> Outcome {
    match written {
        Some(WrittenResources::Stored { new }) => {
            Outcome::Accepted(Answer::new("stored", &format!("{new} new versions")))
        }
        Some(WrittenResources::Refused(why)) => Outcome::Rejected(Answer::new("invalid", why)),
        Some(WrittenResources::Unavailable(why)) => Outcome::Failed {
            answer: Answer::new("unavailable", why),
            scope: Scope::Endpoint,
            retry_after: None,
        },
        None => Outcome::Uncertain(Answer::new("timeout", "not stored in time")),
    }
}

/// Writes to the engine's own resource store.
pub struct ResourcesDestination {
    options: ResourcesOptions,
    writer: Arc<dyn WriteResources>,
    pool: Pool,
}

impl ResourcesDestination {
    /// A destination that writes through `writer`.
    #[must_use]
    pub fn new(options: ResourcesOptions, writer: Arc<dyn WriteResources>) -> Self {
        let pool = Pool::new([format!("resources {}", options.channel)], PoolOptions::default());
        Self { options, writer, pool }
    }
}

#[async_trait]
impl Destination for ResourcesDestination {
    async fn send(&self, outbound: &Outbound, stop: &CancellationToken) -> Outcome {
        if stop.is_cancelled() {
            return super::stopped();
        }
        let in_flight = self.pool.begin(0, Instant::now());
        let writing = self.writer.write(&self.options.channel, outbound);
        let written = timeout(self.options.stored_within, writing).await.ok();
        match &written {
            Some(WrittenResources::Unavailable(why)) => in_flight.failed(why, Instant::now()),
            None => in_flight.failed("not stored in time", Instant::now()),
            Some(_) => in_flight.succeeded(),
        }
        outcome_of(written.as_ref())
    }

    fn endpoints(&self) -> Vec<EndpointView> {
        self.pool.endpoints()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::id::MessageId;
    use crate::message::kind::ContentType;

    struct Store(Option<WrittenResources>);

    #[async_trait]
    impl WriteResources for Store {
        async fn write(&self, channel: &str, _: &Outbound) -> WrittenResources {
            assert_eq!(channel, "ehr");
            match &self.0 {
                Some(written) => written.clone(),
                None => std::future::pending().await,
            }
        }
    }

    #[tokio::test]
    async fn each_answer_of_the_store_has_its_outcome() {
        for (written, name, code) in [
            (Some(WrittenResources::Stored { new: 2 }), "accepted", "stored"),
            (Some(WrittenResources::Refused("no".into())), "rejected", "invalid"),
            (Some(WrittenResources::Unavailable("busy".into())), "failed", "unavailable"),
            (None, "uncertain", "timeout"),
        ] {
            let options = ResourcesOptions {
                channel: "ehr".to_owned(),
                stored_within: Duration::from_millis(20),
            };
            let destination = ResourcesDestination::new(options, Arc::new(Store(written)));
            let outbound = Outbound {
                message: MessageId::new(),
                body: "{}".into(),
                content_type: ContentType::FhirJson,
                id: "1".into(),
                attributes: Vec::new(),
            };
            let outcome = destination.send(&outbound, &CancellationToken::new()).await;
            assert_eq!((outcome.name(), &*outcome.answer().code), (name, code));
        }
    }
}
