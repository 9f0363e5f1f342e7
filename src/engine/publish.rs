//! What a channel publishes becomes a message of its own, linked to the one it was made from.

use std::sync::Arc;

use async_trait::async_trait;
use xxhash_rust::xxh3::xxh3_64;

use crate::clock::Clock;
use crate::destination::DestinationName;
use crate::destination::topic::{Publish, Published};
use crate::engine::registry::Registry;
use crate::message::Origin;
use crate::message::id::MessageId;
use crate::message::outcome::Outbound;
use crate::message::payload::Payload;
use crate::message::verdict::{DuplicateRule, IfChanged};
use crate::source::intake::Received;
use crate::store::{Appended, Store, StoreError};

/// How long a repeated forward is recognised: longer than any retry lasts.
const REPEAT_WITHIN: std::time::Duration = std::time::Duration::from_hours(30 * 24);

/// Appends what one destination publishes to the store.
pub struct TopicPublisher {
    from: DestinationName,
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    clock: Clock,
}

impl TopicPublisher {
    /// The publisher of the destination `from`.
    #[must_use]
    pub fn new(
        from: DestinationName,
        store: Arc<dyn Store>,
        registry: Arc<Registry>,
        clock: Clock,
    ) -> Self {
        Self { from, store, registry, clock }
    }

    async fn append(&self, topic: &str, outbound: &Outbound) -> Result<MessageId, StoreError> {
        let from = format!("{}/{}", self.from.channel, self.from.destination);
        let mut received = Received::new(
            Arc::clone(&self.from.channel),
            Payload::new(outbound.body.clone()),
            self.clock.now(),
            from.clone(),
        );
        received.content_type = Some(outbound.content_type);
        let mut message = self.registry.admit_topic(topic, &received);
        // The same message published again after a crash is recognised by who published which one.
        let identity = format!("{from}\u{0}{topic}\u{0}{}", outbound.message);
        message.duplicate = Some(DuplicateRule {
            identity: xxh3_64(identity.as_bytes()),
            content: xxh3_64(&outbound.body),
            within: REPEAT_WITHIN,
            if_changed: IfChanged::Accept,
        });
        message.envelope.origin = Some(Origin {
            parent: self.store.find(outbound.message).await?,
            by: from,
            reason: format!("published to {topic}"),
        });
        let id = message.envelope.id;
        match self.store.append(vec![message]).await?.pop() {
            Some(Appended::Repeat { id, .. }) => Ok(id),
            _ => Ok(id),
        }
    }
}

#[async_trait]
impl Publish for TopicPublisher {
    async fn publish(&self, topic: &str, outbound: &Outbound) -> Published {
        match self.append(topic, outbound).await {
            Ok(id) => Published::Stored(id),
            Err(error) => Published::Unavailable(error.to_string()),
        }
    }
}
