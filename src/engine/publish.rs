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

/// How often a message may be published on, each time by a destination that takes its topic from the message.
/// Beyond that its channels lead in a circle.
const HOPS_MAX: usize = 16;
/// How the reason of what was published begins.
const PUBLISHED: &str = "published to ";

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

    /// Whether the message was published so often that its channels must lead in a circle. Topics that stand
    /// in files are checked before they run; those that messages decide can only be counted.
    async fn is_in_a_circle(&self, outbound: &Outbound) -> Result<bool, StoreError> {
        let mut seq = self.store.find(outbound.message).await?;
        for _ in 0..HOPS_MAX {
            let found = self.store.messages(&[seq]).await?;
            let origin = found.first().and_then(|message| message.envelope.origin.as_ref());
            match origin.filter(|origin| origin.reason.starts_with(PUBLISHED)) {
                Some(origin) => seq = origin.parent,
                None => return Ok(false),
            }
        }
        Ok(true)
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
            reason: format!("{PUBLISHED}{topic}"),
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
        if outbound.attribute("topic").is_some() {
            match self.is_in_a_circle(outbound).await {
                Ok(true) => {
                    let why = "published 16 times over already: its topics lead in a circle";
                    return Published::Refused(why.to_owned());
                }
                Ok(false) => {}
                Err(error) => return Published::Unavailable(error.to_string()),
            }
        }
        match self.append(topic, outbound).await {
            Ok(id) => Published::Stored(id),
            Err(error) => Published::Unavailable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::readings::Readings;
    use crate::message::kind::ContentType;
    use crate::store::sqlite::{SqliteOptions, SqliteStore};

    #[tokio::test]
    async fn a_circle_of_topics_that_messages_decide_ends() {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions::new(folder.path().join("medway.db"));
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await.unwrap());
        let registry = Arc::new(Registry::new(Arc::new(Readings::default())));
        let clock = Clock::System;
        let received = Received::new("lab".into(), Payload::new("{}"), clock.now(), String::new());
        let first = registry.admit_topic("ward", &received);
        let mut message = first.envelope.id;
        store.append(vec![first]).await.unwrap();
        let name = DestinationName::new("lab", "again");
        let publisher = TopicPublisher::new(name, Arc::clone(&store), registry, clock);
        let mut published = 0;
        loop {
            let outbound = Outbound {
                message,
                body: "{}".into(),
                content_type: ContentType::Json,
                id: "1".into(),
                attributes: vec![("topic".into(), "ward".into())],
            };
            match publisher.publish("ward", &outbound).await {
                Published::Stored(id) => message = id,
                Published::Refused(why) => break assert!(why.contains("circle"), "{why}"),
                Published::Unavailable(why) => panic!("{why}"),
            }
            published += 1;
            assert!(published <= HOPS_MAX, "it goes on for ever");
        }
        assert_eq!(published, HOPS_MAX);
        store.close().await;
    }
}
