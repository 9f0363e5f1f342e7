//! Hands a message to the engine itself: what one channel produced, others may listen to.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::destination::pool::{Pool, PoolOptions};
use crate::destination::{Destination, EndpointView};
use crate::message::id::MessageId;
use crate::message::outcome::{Answer, Outbound, Outcome, Scope};

/// Publishes each message under a topic of this engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicOptions {
    /// The topic; a template arrives resolved in the attribute `topic` and goes before this one.
    pub topic: String,
    /// Longest wait for the message to be stored. Default 30 s.
    pub stored_within: Duration,
}

impl Default for TopicOptions {
    fn default() -> Self {
        Self { topic: String::new(), stored_within: Duration::from_secs(30) }
    }
}

/// What became of a published message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// It is durable, now or already earlier: publishing the same outbound message again stores
    /// nothing and names the first one.
    Stored(MessageId),
    /// Nobody can take it as it is, and no repeat changes that. Why, without content.
    Refused(String),
    /// It cannot be stored now. Why, without content.
    Unavailable(String),
}

/// The engine as a receiver. Implemented by the engine over its own intake.
#[async_trait]
pub trait Publish: Send + Sync {
    /// Stores `outbound` as a message of `topic` with the plan of whoever listens.
    async fn publish(&self, topic: &str, outbound: &Outbound) -> Published;
}

/// The outcome of a publication; `None` when it was not over in time.
#[must_use]
pub fn outcome_of(published: Option<&Published>) -> Outcome {
    match published {
        Some(Published::Stored(id)) => Outcome::Accepted(Answer::new("stored", &id.to_string())),
        Some(Published::Refused(why)) => Outcome::Rejected(Answer::new("declined", why)),
        Some(Published::Unavailable(why)) => Outcome::Failed {
            answer: Answer::new("unavailable", why),
            scope: Scope::Endpoint,
            retry_after: None,
        },
        None => Outcome::Uncertain(Answer::new("timeout", "not stored in time")),
    }
}

/// Publishes to this engine.
pub struct TopicDestination {
    options: TopicOptions,
    publish: Arc<dyn Publish>,
    pool: Pool,
}

impl TopicDestination {
    /// A destination that publishes through `publish`.
    #[must_use]
    pub fn new(options: TopicOptions, publish: Arc<dyn Publish>) -> Self {
        let pool = Pool::new([format!("topic {}", options.topic)], PoolOptions::default());
        Self { options, publish, pool }
    }
}

#[async_trait]
impl Destination for TopicDestination {
    async fn send(&self, outbound: &Outbound, stop: &CancellationToken) -> Outcome {
        if stop.is_cancelled() {
            return super::stopped();
        }
        let topic = outbound.attribute("topic").unwrap_or(&self.options.topic);
        let in_flight = self.pool.begin(0, Instant::now());
        let publishing = self.publish.publish(topic, outbound);
        let published = timeout(self.options.stored_within, publishing).await.ok();
        match &published {
            Some(Published::Unavailable(why)) => in_flight.failed(why, Instant::now()),
            None => in_flight.failed("not stored in time", Instant::now()),
            Some(_) => in_flight.succeeded(),
        }
        outcome_of(published.as_ref())
    }

    fn endpoints(&self) -> Vec<EndpointView> {
        self.pool.endpoints()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::kind::ContentType;
    use std::sync::Mutex;

    struct Engine {
        answer: Option<Published>,
        topics: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Publish for Engine {
        async fn publish(&self, topic: &str, _outbound: &Outbound) -> Published {
            self.topics.lock().unwrap().push(topic.to_owned());
            match &self.answer {
                Some(answer) => answer.clone(),
                None => std::future::pending().await,
            }
        }
    }

    async fn check(answer: Option<Published>, topic: Option<&str>, name: &str, code: &str) {
        let engine = Arc::new(Engine { answer, topics: Mutex::default() });
        let options =
            TopicOptions { topic: "report".to_owned(), stored_within: Duration::from_millis(20) };
        let publish: Arc<dyn Publish> = engine.clone();
        let destination = TopicDestination::new(options, publish);
        let outbound = Outbound {
            message: MessageId::new(),
            body: "{}".into(),
            content_type: ContentType::Json,
            id: "1".into(),
            attributes: topic.map(|topic| ("topic".into(), topic.into())).into_iter().collect(),
        };
        let outcome = destination.send(&outbound, &CancellationToken::new()).await;
        assert_eq!((outcome.name(), &*outcome.answer().code), (name, code));
        assert_eq!(*engine.topics.lock().unwrap(), [topic.unwrap_or("report")]);
    }

    #[tokio::test]
    async fn each_answer_of_the_engine_has_its_outcome() {
        let id = MessageId::new();
        check(Some(Published::Stored(id)), None, "accepted", "stored").await;
        check(Some(Published::Stored(id)), Some("ward/3"), "accepted", "stored").await;
        check(Some(Published::Refused("no".into())), None, "rejected", "declined").await;
        check(Some(Published::Unavailable("full".into())), None, "failed", "unavailable").await;
        check(None, None, "uncertain", "timeout").await;
    }
}
