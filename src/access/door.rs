//! The door: who asks, and may they. Every answer of the API passes through it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::access::password::{self, PasswordError};
use crate::access::role::{Permission, Role, View};
use crate::access::token::{self, NoRandomness};
use crate::clock::Clock;
use crate::message::secret::Secret;
use crate::message::time::Timestamp;
use crate::store::StoreError;
use crate::store::access::{AccessStore, AuditEntry, SessionRecord, TokenRecord, UserRecord};

/// Passwords hashed at once: each takes 19 MiB and a core.
const HASHES_MAX: usize = 2;
/// A session's last use is written down when it is this much later than what is written.
const TOUCH_EVERY: Duration = Duration::from_secs(60);

/// Limits of signing in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoorOptions {
    /// A session that is not used for this long ends. 15 minutes.
    pub idle: Duration,
    /// A session ends after this, however it is used. 12 hours.
    pub longest: Duration,
    /// Wrong passwords until the account is locked. 5.
    pub failures_max: u32,
    /// How long it is locked at first; twice as long each further time. 1 minute.
    pub lock: Duration,
    /// How long emergency access holds. 60 minutes.
    pub emergency: Duration,
}

impl Default for DoorOptions {
    fn default() -> Self {
        Self {
            idle: Duration::from_mins(15),
            longest: Duration::from_hours(12),
            failures_max: 5,
            lock: Duration::from_mins(1),
            emergency: Duration::from_mins(60),
        }
    }
}

/// Somebody who asked and is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `user:NAME` or `token:NAME`, as on record.
    pub name: String,
    /// What they may do.
    pub permissions: BTreeSet<Permission>,
    /// How much of messages they see.
    pub view: View,
    /// Channel groups they see; empty for all.
    pub groups: Vec<String>,
    /// The hash of their session, when they have one.
    pub session: Option<[u8; 32]>,
    /// Emergency access holds until then.
    pub emergency_until: Option<Timestamp>,
}

impl Actor {
    /// Whether they may do that.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    /// An actor with every right: the engine's own token, which lies in the data directory and is read by
    /// whoever may read that.
    #[must_use]
    pub fn engine() -> Self {
        Self {
            name: "token:admin".to_owned(),
            permissions: Permission::ALL.into_iter().collect(),
            view: View::Full,
            groups: Vec::new(),
            session: None,
            emergency_until: None,
        }
    }
}

/// Why somebody does not get in.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// Name or password is wrong, or the account is locked or disabled: one answer for all.
    #[error("user name or password is wrong, or the account is locked")]
    Unknown,
    /// Name and password are right; the code of the second factor is missing or wrong.
    #[error("the code of the second factor is needed")]
    SecondFactor,
    /// The engine was set up before, or the link is a wrong one.
    #[error(
        "the set-up link is not valid (any more): it works once, until the engine starts again"
    )]
    SetUp,
    /// The password cannot be chosen.
    #[error("{0}")]
    Password(#[from] PasswordError),
    /// The name is taken, or cannot be one.
    #[error("{0}")]
    Name(&'static str),
    /// The store could not be asked.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// No randomness.
    #[error("{0}")]
    Randomness(#[from] NoRandomness),
    /// The thread that hashes was lost.
    #[error("the password could not be checked; try again")]
    Lost,
}

/// A session that has just begun: the token goes into the cookie and is nowhere else.
#[derive(Debug)]
pub struct Begun {
    /// The cookie's value.
    pub token: Secret,
    /// Who.
    pub actor: Actor,
    /// When it ends at the latest.
    pub ends_at: Timestamp,
}

/// Who may use the engine.
pub struct Door {
    pub(super) store: Arc<dyn AccessStore>,
    pub(super) clock: Clock,
    pub(super) options: DoorOptions,
    pub(super) hashing: Arc<Semaphore>,
    /// What a wrong name is compared with, so that it takes as long as a wrong password.
    pub(super) decoy: Secret,
    set_up: std::sync::Mutex<Option<[u8; 32]>>,
    changing: tokio::sync::Mutex<()>,
    term_key: tokio::sync::OnceCell<ring::hmac::Key>,
}

impl Door {
    /// The door of a store.
    ///
    /// # Errors
    /// When memory is too short to hash a password.
    pub fn new(
        store: Arc<dyn AccessStore>,
        clock: Clock,
        options: DoorOptions,
    ) -> Result<Self, Denied> {
        let decoy = password::hash(&token::draw()?)?;
        let hashing = Arc::new(Semaphore::new(HASHES_MAX));
        let set_up = std::sync::Mutex::default();
        let changing = tokio::sync::Mutex::default();
        let term_key = tokio::sync::OnceCell::new();
        Ok(Self { store, clock, options, hashing, decoy, set_up, changing, term_key })
    }

    /// The store behind it.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn AccessStore> {
        &self.store
    }

    /// Held while somebody or something is looked at and then changed: nobody else changes it meanwhile.
    pub async fn alone(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// Its limits.
    #[must_use]
    pub const fn options(&self) -> DoorOptions {
        self.options
    }

    /// The one-time link's token, when nobody can sign in yet. A new one at each start.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn invite(&self) -> Result<Option<Secret>, Denied> {
        if !self.store.users().await?.is_empty() {
            return Ok(None);
        }
        let token = token::draw()?;
        let mut set_up = self.set_up.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *set_up = Some(token::hash(token.expose()));
        Ok(Some(token))
    }

    fn invited(&self, token: &str) -> bool {
        let set_up = self.set_up.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        set_up.is_some_and(|hash| hash == token::hash(token))
    }

    /// Makes the first user, who administers people and the system, and signs them in.
    ///
    /// # Errors
    /// When the link is not valid, or name or password cannot be taken.
    pub async fn set_up(
        &self,
        link: &str,
        name: &str,
        password: Secret,
        address: &str,
    ) -> Result<Begun, Denied> {
        if !self.invited(link) {
            return Err(Denied::SetUp);
        }
        let roles = [Role::SecurityAdmin, Role::SystemAdmin];
        let user = self.new_user(name, name, Some(password), &roles, View::Counts).await?;
        if !self.store.add_first_user(&user).await? {
            return Err(Denied::SetUp);
        }
        *self.set_up.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        let user = self.store.user(name).await?.ok_or(Denied::Unknown)?;
        self.begin(&user, address).await
    }

    /// A user as they are stored: name and password checked, password hashed.
    ///
    /// # Errors
    /// When name or password cannot be taken.
    pub async fn new_user(
        &self,
        name: &str,
        display: &str,
        password: Option<Secret>,
        roles: &[Role],
        view: View,
    ) -> Result<UserRecord, Denied> {
        let fits = |sign: char| sign.is_alphanumeric() || "._-@".contains(sign);
        if name.is_empty() || name.chars().count() > 64 || !name.chars().all(fits) {
            return Err(Denied::Name("a user name has 1 to 64 letters, digits or . _ - @"));
        }
        if display.is_empty() || display.chars().count() > 128 {
            return Err(Denied::Name("a displayed name has 1 to 128 characters"));
        }
        let password = match password {
            Some(password) => Some(self.hash(name, password).await?),
            None => None,
        };
        Ok(UserRecord {
            number: 0,
            name: name.to_owned(),
            display: display.to_owned(),
            password,
            roles: roles.iter().map(|role| role.name().to_owned()).collect(),
            groups: Vec::new(),
            view: view.name().to_owned(),
            totp: None,
            totp_step: 0,
            subject: None,
            disabled: false,
            created_at: self.clock.now(),
            failures: 0,
            locked_until: Timestamp::default(),
        })
    }

    /// Checks a new password and hashes it.
    ///
    /// # Errors
    /// When it is too plain.
    pub async fn hash(&self, name: &str, password: Secret) -> Result<Secret, Denied> {
        password::check(name, &password)?;
        let _permit = self.hashing.acquire().await.map_err(|_| Denied::Lost)?;
        let hashed = tokio::task::spawn_blocking(move || password::hash(&password)).await;
        Ok(hashed.map_err(|_| Denied::Lost)??)
    }

    /// Begins a session of a user who has shown who they are.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn begin(&self, user: &UserRecord, address: &str) -> Result<Begun, Denied> {
        let token = token::draw()?;
        let now = self.clock.now();
        self.store.forget_sessions(now).await?;
        let session = SessionRecord {
            hash: token::hash(token.expose()),
            user: user.number,
            created_at: now,
            seen_at: now,
            ends_at: now.after(self.options.longest),
            address: address.to_owned(),
            broken_until: Timestamp::default(),
        };
        self.store.add_session(&session).await?;
        let actor = actor_of(user, Some(&session), now);
        Ok(Begun { token, actor, ends_at: session.ends_at })
    }

    /// Who holds this session, which they use: it stays alive.
    ///
    /// # Errors
    /// When the store cannot be asked; an ended session is `None`.
    pub async fn by_session(&self, token: &str) -> Result<Option<(Actor, Timestamp)>, StoreError> {
        let Some((mut session, user)) = self.held(token).await? else { return Ok(None) };
        let now = self.clock.now();
        if now.since(session.seen_at) > TOUCH_EVERY {
            session.seen_at = now;
            self.store.touch_session(&session).await?;
        }
        Ok(Some((actor_of(&user, Some(&session), now), session.ends_at)))
    }

    /// Who holds this session, whose page asks by itself: nobody uses it, and it ends when it would have
    /// ended.
    ///
    /// # Errors
    /// When the store cannot be asked; an ended session is `None`.
    pub async fn by_session_unused(&self, token: &str) -> Result<Option<Actor>, StoreError> {
        let held = self.held(token).await?;
        let now = self.clock.now();
        Ok(held.map(|(session, user)| actor_of(&user, Some(&session), now)))
    }

    /// When a session ends at the latest, and how long it goes on when nobody uses it.
    ///
    /// # Errors
    /// When the store cannot be asked; an ended session is `None`.
    pub async fn session_left(
        &self,
        token: &str,
    ) -> Result<Option<(Timestamp, Duration)>, StoreError> {
        let held = self.held(token).await?;
        let now = self.clock.now();
        Ok(held.map(|(session, _)| {
            let unused = self.options.idle.saturating_sub(now.since(session.seen_at));
            (session.ends_at, unused.min(session.ends_at.since(now)))
        }))
    }

    /// A session in force and its user. One that is over is ended.
    async fn held(&self, token: &str) -> Result<Option<(SessionRecord, UserRecord)>, StoreError> {
        let Some((session, user)) = self.store.session(&token::hash(token)).await? else {
            return Ok(None);
        };
        let now = self.clock.now();
        let idle = now.since(session.seen_at) > self.options.idle;
        if idle || session.ends_at <= now || user.disabled {
            self.store.end_session(&session.hash).await?;
            return Ok(None);
        }
        Ok(Some((session, user)))
    }

    /// Who holds this API token.
    ///
    /// # Errors
    /// When the store cannot be asked; an ended token is `None`.
    pub async fn by_token(&self, token: &str) -> Result<Option<Actor>, StoreError> {
        let found = self.store.token(&token::hash(token)).await?;
        let now = self.clock.now();
        let valid = found.filter(|token| !token.revoked && token.ends_at > now);
        Ok(valid.map(|token| program(&token)))
    }

    /// Whether somebody who was admitted still is, with the same rights. To ask keeps no session alive.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn still_admits(&self, actor: &Actor) -> Result<bool, StoreError> {
        let now = self.clock.now();
        if let Some(hash) = &actor.session {
            let Some((session, user)) = self.store.session(hash).await? else { return Ok(false) };
            let idle = now.since(session.seen_at) > self.options.idle;
            let holds = !idle && session.ends_at > now && !user.disabled;
            return Ok(holds && actor_of(&user, Some(&session), now) == *actor);
        }
        if *actor == Actor::engine() {
            return Ok(true);
        }
        let tokens = self.store.tokens().await?;
        let name = actor.name.strip_prefix("token:").unwrap_or_default();
        let mut own = tokens.iter().filter(|token| token.name == name);
        Ok(own.any(|token| !token.revoked && token.ends_at > now))
    }

    /// Puts something on record.
    ///
    /// # Errors
    /// When it cannot be written: then what was asked for must be refused.
    pub async fn record(&self, entry: AuditEntry) -> Result<i64, StoreError> {
        self.store.audit(&entry).await
    }

    /// What somebody looks for, as it stands on record: a hash under a key that lies with the trail. Who knows
    /// a number finds who looked for it; who reads the trail learns no number.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub async fn term(&self, term: &str) -> Result<String, StoreError> {
        let drawn = || async {
            let key = self.store.term_key().await?;
            Ok::<_, StoreError>(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key))
        };
        let key = self.term_key.get_or_try_init(drawn).await?;
        let tag = ring::hmac::sign(key, term.trim().as_bytes());
        let hash: String = tag.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("term:{hash}"))
    }

    /// The moment, for records.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What roles add up to.
fn rights(roles: &[String]) -> (BTreeSet<Permission>, View) {
    let roles = || roles.iter().filter_map(|name| Role::from_name(name));
    let permissions = roles().flat_map(Role::permissions).copied().collect();
    (permissions, roles().map(Role::view).max().unwrap_or(View::Counts))
}

fn actor_of(user: &UserRecord, session: Option<&SessionRecord>, now: Timestamp) -> Actor {
    let (mut permissions, most) = rights(&user.roles);
    let mut view = View::from_name(&user.view).unwrap_or(View::Counts).min(most);
    let broken = session.map(|session| session.broken_until).filter(|until| *until > now);
    if broken.is_some() {
        permissions.insert(Permission::SeeMessages);
        permissions.insert(Permission::SeeContent);
        view = View::Full;
    }
    Actor {
        name: format!("user:{}", user.name),
        permissions,
        view,
        groups: user.groups.clone(),
        session: session.map(|session| session.hash),
        emergency_until: broken,
    }
}

fn program(token: &TokenRecord) -> Actor {
    let (mut permissions, most) = rights(&token.roles);
    permissions.remove(&Permission::BreakGlass);
    Actor {
        name: format!("token:{}", token.name),
        permissions,
        view: View::from_name(&token.view).unwrap_or(View::Counts).min(most),
        groups: token.groups.clone(),
        session: None,
        emergency_until: None,
    }
}
