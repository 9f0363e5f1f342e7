//! Hands a message to the engine itself: what one channel produced, others may listen to.

/// Publishes each message under a topic of this engine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicOptions {
    /// The topic; a template arrives resolved in the attribute `topic` and goes before this one.
    pub topic: String,
}
