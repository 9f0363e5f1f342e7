//! Users, sessions, API tokens and the audit trail in the store.

use std::time::Duration;

use async_trait::async_trait;
use ring::digest::{Context, SHA256};

use crate::message::secret::Secret;
use crate::message::time::Timestamp;
use crate::store::StoreError;
use crate::store::desk::DeskStore;

/// A person who may sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// The store's number; 0 before it is stored.
    pub number: i64,
    /// What is typed to sign in. Unique.
    pub name: String,
    /// The name people know.
    pub display: String,
    /// The password's Argon2id hash (PHC string); `None` when only the provider signs the person in.
    pub password: Option<Secret>,
    /// Role names.
    pub roles: Vec<String>,
    /// Channel groups; empty for all.
    pub groups: Vec<String>,
    /// How much of messages is shown: `counts`, `metadata`, `masked`, `full`.
    pub view: String,
    /// The secret of the second factor.
    pub totp: Option<Vec<u8>>,
    /// The last time step of the second factor that was used: a code counts once.
    pub totp_step: i64,
    /// The provider's subject.
    pub subject: Option<String>,
    /// May not sign in.
    pub disabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// Wrong passwords since the last right one.
    pub failures: u32,
    /// No sign-in before this moment.
    pub locked_until: Timestamp,
}

/// Somebody is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// SHA-256 of the token in the cookie.
    pub hash: [u8; 32],
    /// Whose.
    pub user: i64,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was used last.
    pub seen_at: Timestamp,
    /// When it ends, however it is used.
    pub ends_at: Timestamp,
    /// Where it was begun from.
    pub address: String,
    /// Emergency access holds until then.
    pub broken_until: Timestamp,
}

/// A program's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// The store's number; 0 before it is stored.
    pub number: i64,
    /// What it is for. Unique.
    pub name: String,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// Role names.
    pub roles: Vec<String>,
    /// Channel groups; empty for all.
    pub groups: Vec<String>,
    /// As for users.
    pub view: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
    /// Taken back.
    pub revoked: bool,
}

/// What somebody did, before it is chained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who: `user:NAME`, `token:NAME`, `fhir:NAME` for a client of a FHIR source, `engine`, `nobody`.
    pub actor: String,
    /// From where.
    pub address: String,
    /// What, as a stable word: `message.view`, `delivery.skip`, `session.begin`, ….
    pub action: String,
    /// `granted`, `done`, `denied` or `failed`.
    pub outcome: String,
    /// On what: a message id, `channel/destination`, a user's name. No patient data.
    pub object: String,
    /// The reason given.
    pub reason: String,
}

/// A record of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// From 1, without gaps.
    pub number: i64,
    /// What was done.
    pub entry: AuditEntry,
    /// Hash of the record before; zeros for the first.
    pub previous: [u8; 32],
    /// Hash of this one.
    pub hash: [u8; 32],
}

/// Which records; newest first.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// One actor.
    pub actor: Option<String>,
    /// One action, or all that begin with it when it ends in `.`.
    pub action: Option<String>,
    /// One object.
    pub object: Option<String>,
    /// At or after.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Only records before this number (paging).
    pub before: Option<i64>,
    /// At most this many.
    pub limit: u32,
}

/// The hash of a record: over its number, its fields with their lengths, and the hash before it.
#[must_use]
pub fn audit_hash(number: i64, entry: &AuditEntry, previous: &[u8; 32]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(previous);
    context.update(&number.to_be_bytes());
    context.update(&entry.at.0.to_be_bytes());
    let AuditEntry { at: _, actor, address, action, outcome, object, reason } = entry;
    for field in [actor, address, action, outcome, object, reason] {
        // With its length, so that text cannot move from one field into the next.
        context.update(&u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(field.as_bytes());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Users, sessions, tokens, audit. One method is one transaction, durable when it answers.
#[async_trait]
pub trait AccessStore: DeskStore {
    /// Everybody, by name.
    async fn users(&self) -> Result<Vec<UserRecord>, StoreError>;

    /// One by name.
    async fn user(&self, name: &str) -> Result<Option<UserRecord>, StoreError>;

    /// Adds a user; answers whether the name (and subject) was free.
    async fn add_user(&self, user: &UserRecord) -> Result<bool, StoreError>;

    /// Adds the first user of all; answers false when there is one already.
    async fn add_first_user(&self, user: &UserRecord) -> Result<bool, StoreError>;

    /// Replaces everything of a user but its name, number and time of making.
    async fn put_user(&self, user: &UserRecord) -> Result<(), StoreError>;

    /// Counts a wrong password of somebody who is not locked; the `limit`th locks them for `lock`, each
    /// further one for twice as long. Nothing else of them changes.
    async fn user_failed(
        &self,
        name: &str,
        now: Timestamp,
        limit: u32,
        lock: Duration,
    ) -> Result<(), StoreError>;

    /// Forgets wrong passwords of somebody who gave the right one, and notes the step of the second factor
    /// that they used. Nothing else of them changes.
    async fn user_signed_in(&self, name: &str, totp_step: i64) -> Result<(), StoreError>;

    /// Begins a session.
    async fn add_session(&self, session: &SessionRecord) -> Result<(), StoreError>;

    /// The session with this hash, and its user.
    async fn session(
        &self,
        hash: &[u8; 32],
    ) -> Result<Option<(SessionRecord, UserRecord)>, StoreError>;

    /// Notes that a session was used, or that emergency access was taken.
    async fn touch_session(&self, session: &SessionRecord) -> Result<(), StoreError>;

    /// Ends a session.
    async fn end_session(&self, hash: &[u8; 32]) -> Result<(), StoreError>;

    /// Ends all sessions of a user but one.
    async fn end_sessions(&self, user: i64, but: Option<&[u8; 32]>) -> Result<(), StoreError>;

    /// Forgets sessions that ended before `now`.
    async fn forget_sessions(&self, now: Timestamp) -> Result<(), StoreError>;

    /// All tokens, by name.
    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError>;

    /// The token with this hash.
    async fn token(&self, hash: &[u8; 32]) -> Result<Option<TokenRecord>, StoreError>;

    /// Adds a token; answers whether the name was free.
    async fn add_token(&self, token: &TokenRecord) -> Result<bool, StoreError>;

    /// Takes a token back; answers whether there was one.
    async fn revoke_token(&self, name: &str) -> Result<bool, StoreError>;

    /// Adds to the trail; answers the record's number.
    async fn audit(&self, entry: &AuditEntry) -> Result<i64, StoreError>;

    /// Adds several to the trail, in their order, all or none.
    async fn audit_all(&self, entries: &[AuditEntry]) -> Result<(), StoreError>;

    /// Records of the trail.
    async fn audit_records(&self, query: &AuditQuery) -> Result<Vec<AuditRecord>, StoreError>;

    /// Records from `from` on, ascending, at most `limit`: to verify and to export.
    async fn audit_from(&self, from: i64, limit: u32) -> Result<Vec<AuditRecord>, StoreError>;

    /// The key that terms of searches are hashed with on record; drawn at the first call, the same ever after.
    async fn term_key(&self) -> Result<[u8; 32], StoreError>;

    /// Waits until everything is on disk, then closes.
    async fn close_access(&self);
}
