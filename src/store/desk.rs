//! What the API keeps for its callers beside users and audit: answers that may be asked for again, and saved
//! views.

use async_trait::async_trait;

use crate::message::time::Timestamp;
use crate::store::StoreError;

/// An answer as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Hash of the request's body.
    pub request: [u8; 32],
    /// Status, media type and body; nothing while the first call is being answered.
    pub given: Option<GivenAnswer>,
}

/// An answer that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Its media type.
    pub content_type: Option<String>,
    /// Its body.
    pub body: Vec<u8>,
}

/// A saved view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedView {
    /// Its number; 0 for one that is new.
    pub number: i64,
    /// Whose it is, as on record: `user:NAME`.
    pub owner: String,
    /// What it is called.
    pub name: String,
    /// The page.
    pub page: String,
    /// What the page shows: the query of its address.
    pub query: String,
    /// Whether others see it.
    pub shared: bool,
    /// The owner's channel groups when it was saved; none: all channels.
    pub groups: Vec<String>,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

/// Answers and saved views. One method is one transaction, durable when it answers.
#[async_trait]
pub trait DeskStore: Send + Sync {
    /// Begins an answer; answers what is kept under the key already. What is older than `oldest` is forgotten.
    async fn begin_answer(
        &self,
        key: &[u8; 32],
        request: &[u8; 32],
        now: Timestamp,
        oldest: Timestamp,
    ) -> Result<Option<KeptAnswer>, StoreError>;

    /// Keeps an answer that was begun.
    async fn keep_answer(&self, key: &[u8; 32], given: &GivenAnswer) -> Result<(), StoreError>;

    /// Forgets an answer that was begun.
    async fn forget_answer(&self, key: &[u8; 32]) -> Result<(), StoreError>;

    /// All saved views, by name.
    async fn views(&self) -> Result<Vec<SavedView>, StoreError>;

    /// Saves a view; answers its number, or nothing when its owner has one of this name.
    async fn add_view(&self, view: &SavedView) -> Result<Option<i64>, StoreError>;

    /// Replaces a view; answers whether it is there and the name was free.
    async fn put_view(&self, view: &SavedView) -> Result<bool, StoreError>;

    /// Takes a view away; answers whether there was one.
    async fn remove_view(&self, number: i64) -> Result<bool, StoreError>;
}
