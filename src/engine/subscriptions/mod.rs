//! FHIR subscriptions in a running engine.
//!
//! - Each Subscription of the resource store is a destination of the store: `<channel>/Subscription/<id>`.
//!   Its events are numbered in the transaction of the write and delivered by a runner like any other.
//! - A runner exists only while there is something to deliver; idle subscriptions cost memory for their
//!   index entry alone.
//! - What a client wrote decides; the engine changes `status` and `error` alone, by a version of its own.
//! - Events of a subscription in `error` are counted and wait in the log; when its client asks for
//!   `requested` they are delivered in their order.
//!
//! ```text
//! write ─→ index (who hears of it) ─→ plan + event numbers ─commit─→ guard: starts the runner
//! Subscription written ─commit─→ guard: looks at it ─→ handshake ─→ status
//! calls end ─→ health ─→ guard: error, off
//! ```

pub mod answer;
mod backlog;
mod guard;
mod hand;
mod index;
mod notice;
mod options;
mod owner;
mod record;
mod status;
mod vault;
pub mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use jiff::tz::TimeZone;
use serde_json::Value;
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::subscriptions::{SubscriptionsConfig, TopicConfig};
use crate::delivery::Deliveries;
use crate::destination::subscriber::{Aliases, Subscriber, Switchboard, Target};
use crate::engine::subscriptions::hand::Hand;
use crate::engine::subscriptions::index::Index;
use crate::engine::subscriptions::notice::Ended;
use crate::engine::subscriptions::owner::{Accesses, Owner};
use crate::engine::subscriptions::record::Record;
use crate::engine::subscriptions::vault::Vault;
use crate::engine::versions::Versions;
use crate::fhir::search::Reading;
use crate::fhir::search::index::index as values_of;
use crate::fhir::search::request::{Limits, criteria};
use crate::fhir::subscription::read::{self, Rules};
use crate::fhir::subscription::render::{Call, Settings};
use crate::fhir::subscription::topic::{self, Allowed, Conditions, Topic};
use crate::fhir::subscription::{Issue, Ordering, Status, Subscription};
use crate::message::id::{DestinationId, MessageId, VersionId};
use crate::message::kind::ContentType;
use crate::message::outcome::Outbound;
use crate::message::plan::PlanEntry;
use crate::message::resource::{Criterion, IndexValue};
use crate::message::time::Timestamp;
use crate::source::fhir::access::Principal;
use crate::source::fhir::access::options::AccessOptions;
use crate::source::resource::ResourceChange;
use crate::store::access::AccessStore;
use crate::store::{Store, StoreError};
use crate::tls::ClientTls;

/// Before the id in the name of a subscription's destination.
pub const PREFIX: &str = "Subscription/";

/// Why subscriptions cannot be set up.
#[derive(Debug, Error)]
pub enum SubscriptionsError {
    /// `subscriptions:` cannot be used.
    #[error("subscriptions: {0}")]
    Config(String),
    /// The key file cannot be used.
    #[error("the key of subscriptions' secrets: {0}; check who may read the data directory")]
    Vault(std::io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One Subscription that is not off.
pub(super) struct Live {
    id: Box<str>,
    channel: Arc<str>,
    destination: DestinationId,
    pinned: VersionId,
    subscription: Subscription,
    settings: Settings,
    /// Version of the resource this was read from.
    version: u64,
    /// `meta.lastUpdated` of it.
    at: Timestamp,
    subscriber: Arc<Subscriber>,
    /// Who wrote it.
    owner: Option<Principal>,
    /// `Subscription.error`.
    error: Option<Box<str>>,
    /// Its runner.
    hand: Arc<Hand>,
}

impl Live {
    const fn status(&self) -> Status {
        self.subscription.status
    }

    /// Most events of one call.
    fn together(&self) -> usize {
        if self.settings.takes_several() { self.subscription.together.max(1) } else { 1 }
    }

    /// Which of its events wait for each other. Those that go out together are in one order, whatever they
    /// are about.
    fn ordering(&self, usual: Ordering) -> Ordering {
        match self.together() {
            0 | 1 => self.subscription.ordering.unwrap_or(usual),
            _ => Ordering::Strict,
        }
    }
}

/// What it stands on.
pub(super) struct Ground {
    pub(super) store: Arc<dyn Store>,
    pub(super) access: Arc<dyn AccessStore>,
    pub(super) versions: Arc<Versions>,
    pub(super) clock: Clock,
    pub(super) tracker: TaskTracker,
    pub(super) names: Arc<RwLock<BTreeMap<DestinationId, String>>>,
}

/// All subscriptions.
pub struct Subscriptions {
    ground: Ground,
    config: SubscriptionsConfig,
    board: Arc<Switchboard>,
    vault: Vault,
    deliveries: std::sync::OnceLock<Arc<Deliveries>>,
    index: RwLock<Index>,
    live: RwLock<BTreeMap<Box<str>, Arc<Live>>>,
    /// Those the engine turned off.
    ended: RwLock<BTreeMap<Box<str>, Ended>>,
    by_destination: RwLock<BTreeMap<DestinationId, Box<str>>>,
    /// Since when each channel's configuration is in force, over restarts.
    since: RwLock<BTreeMap<Box<str>, Timestamp>>,
    /// What clients call each FHIR channel.
    bases: RwLock<BTreeMap<Box<str>, Box<str>>>,
    topics: RwLock<BTreeMap<Box<str>, Arc<Vec<Topic>>>>,
    accesses: Arc<Accesses>,
    /// How calls went, as the store has it.
    records: RwLock<BTreeMap<DestinationId, Record>>,
    /// Ids to look at.
    to_look: Mutex<BTreeSet<Box<str>>>,
    look: Notify,
    /// Counts changes of what is known of subscriptions.
    known: watch::Sender<u64>,
    /// The runners of those this process has seen.
    hands: Mutex<BTreeMap<DestinationId, Arc<Hand>>>,
}

fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_of<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

impl Subscriptions {
    /// Subscriptions of this configuration; nothing runs yet. `allow` is what the engine may reach.
    ///
    /// # Errors
    /// When the configuration or the key file cannot be used.
    pub(super) fn new(
        ground: Ground,
        config: SubscriptionsConfig,
        allow: Option<&[String]>,
        tls: Option<Arc<ClientTls>>,
        data: &Path,
    ) -> Result<Self, SubscriptionsError> {
        let wrong = |error: String| SubscriptionsError::Config(error);
        let places = config.allow.clone().or_else(|| allow.map(<[String]>::to_vec));
        let manners = options::manners(&config);
        let clock = ground.clock.clone();
        let board = Switchboard::new(&places.unwrap_or_default(), tls, clock, manners)
            .map_err(|error| wrong(error.to_string()))?;
        let vault = Vault::open(data).map_err(SubscriptionsError::Vault)?;
        let made = Self {
            ground,
            config,
            board: Arc::new(board),
            vault,
            deliveries: std::sync::OnceLock::new(),
            index: RwLock::default(),
            live: RwLock::default(),
            ended: RwLock::default(),
            by_destination: RwLock::default(),
            since: RwLock::default(),
            bases: RwLock::default(),
            topics: RwLock::default(),
            accesses: Arc::default(),
            records: RwLock::default(),
            to_look: Mutex::default(),
            look: Notify::new(),
            known: watch::Sender::new(0),
            hands: Mutex::default(),
        };
        for topic in &made.config.topics {
            made.topic(topic, "").map_err(wrong)?;
        }
        Ok(made)
    }

    /// The runners; set once, before anything is looked at.
    pub(super) fn set_deliveries(&self, deliveries: Arc<Deliveries>) {
        // It is set once, when the engine is built.
        let _first = self.deliveries.set(deliveries);
    }

    /// What clients call a FHIR channel; without a slash at the end.
    pub(super) fn set_base(&self, channel: &str, base: &str) {
        let base = base.trim_end_matches('/');
        let built_in = topic::built_in(base);
        let own = self.config.topics.iter().filter_map(|topic| self.topic(topic, base).ok());
        let topics: Vec<Topic> = own.chain(built_in).collect();
        self.bases
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(channel.into(), base.into());
        self.topics
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(channel.into(), Arc::new(topics));
    }

    /// Who may use a FHIR channel from now on.
    pub(super) fn set_access(&self, channel: &str, access: AccessOptions) {
        self.accesses.set(channel, access);
    }

    /// Since when a channel's configuration is in force.
    pub(super) fn set_since(&self, channel: &str, at: Timestamp) {
        self.since.write().unwrap_or_else(PoisonError::into_inner).insert(channel.into(), at);
    }

    fn since(&self, channel: &str) -> Option<Timestamp> {
        read_of(&self.since).get(channel).copied()
    }

    fn base(&self, channel: &str) -> Box<str> {
        read_of(&self.bases).get(channel).cloned().unwrap_or_default()
    }

    fn topics(&self, channel: &str) -> Arc<Vec<Topic>> {
        read_of(&self.topics).get(channel).cloned().unwrap_or_default()
    }

    fn reading(&self, base: &str) -> Reading {
        Reading { base: base.into(), zone: TimeZone::UTC, now: self.ground.clock.now() }
    }

    /// A configured topic, compiled.
    fn topic(&self, topic: &TopicConfig, base: &str) -> Result<Topic, String> {
        let reading = self.reading(base);
        let compile = |kind: &str, query: Option<&String>| -> Result<Vec<Criterion>, String> {
            let Some(query) = query else { return Ok(Vec::new()) };
            let found = criteria(kind, query, &reading, &Limits::default());
            let found = found.map_err(|error| format!("topic {}: {kind}: {error}", topic.url))?;
            match found.iter().any(has_chain) {
                true => Err(format!("topic {}: chains are not supported", topic.url)),
                false => Ok(found),
            }
        };
        let mut kinds = Vec::new();
        for kind in &topic.types {
            let conditions = Conditions {
                previous: compile(kind, topic.previous.as_ref())?,
                current: compile(kind, topic.current.as_ref())?,
            };
            kinds.push((kind.as_str().into(), conditions));
        }
        Ok(Topic {
            canonical: topic.url.as_str().into(),
            title: topic.title.as_str().into(),
            kinds,
            triggers: topic.on.clone(),
            filters: match &topic.filters {
                None => Allowed::Any,
                Some(names) => {
                    Allowed::Only(names.iter().map(|name| name.as_str().into()).collect())
                }
            },
        })
    }

    /// Reads a Subscription of a channel.
    fn understood(&self, channel: &str, resource: &Value) -> Result<Subscription, Vec<Issue>> {
        let topics = self.topics(channel);
        let reading = self.reading(&self.base(channel));
        let compile = |kind: &str, name: &str, value: &str| -> Result<Criterion, String> {
            let query: String =
                form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
            let mut found = criteria(kind, &query, &reading, &Limits::default())
                .map_err(|error| error.to_string())?;
            match found.pop() {
                Some(criterion) if found.is_empty() && !has_chain(&criterion) => Ok(criterion),
                _ => Err(format!("`{name}` cannot be used in a subscription")),
            }
        };
        let plain_http = self.config.plain_http;
        read::read(resource, &Rules { topics: &topics, compile: &compile, plain_http })
    }

    /// Whom to call for a subscription of a channel, its secrets opened.
    fn target(
        &self,
        id: &str,
        subscription: &Subscription,
        (channel, owner): (&Arc<str>, Option<Principal>),
    ) -> Target {
        let now = self.ground.clock.now();
        let headers = subscription.headers.iter().filter_map(|header| {
            Some((header.name.clone(), self.vault.opened(header.value.expose())?))
        });
        Target {
            endpoint: subscription.endpoint.clone(),
            headers: headers.collect(),
            within: subscription.timeout.unwrap_or(self.config.reply_within),
            secrets: self.vault.signing(id, now).into_iter().map(|one| one.secret).collect(),
            aliases: match self.config.old_signatures {
                true => Aliases::With,
                false => Aliases::Without,
            },
            grant: Arc::new(Owner {
                channel: Arc::clone(channel),
                who: owner,
                accesses: Arc::clone(&self.accesses),
            }),
        }
    }

    fn live(&self, id: &str) -> Option<Arc<Live>> {
        read_of(&self.live).get(id).cloned()
    }

    /// The store's number of a subscription, off or not.
    fn destination_of(&self, id: &str) -> Option<DestinationId> {
        let known = read_of(&self.by_destination);
        known.iter().find(|(_, own)| ***own == *id).map(|(one, _)| *one)
    }

    fn all(&self) -> Vec<Arc<Live>> {
        read_of(&self.live).values().cloned().collect()
    }

    /// The plan entries of a change: the subscriptions that hear of it.
    #[must_use]
    pub fn matching(&self, channel: &str, change: &ResourceChange<'_>) -> Vec<PlanEntry> {
        let index = read_of(&self.index);
        let before = || -> Vec<IndexValue> {
            let reading = self.reading(&self.base(channel));
            change.previous.map(|resource| values_of(resource, &reading)).unwrap_or_default()
        };
        index.matching(change, &before)
    }

    /// Sees each change of a subscription, once it can be read.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.known.subscribe()
    }

    /// A Subscription was written: it is looked at soon.
    pub(super) fn wake(&self, id: &str) {
        locked(&self.to_look).insert(id.into());
        self.look.notify_one();
    }
}

/// Chains ask other resources, which a match in memory cannot.
fn has_chain(criterion: &Criterion) -> bool {
    criterion.any.iter().any(|test| test.elsewhere().is_some())
}

/// A call as what a destination sends.
pub(in crate::engine) fn outbound(message: MessageId, id: Box<str>, call: Call) -> Outbound {
    let media = call.content_type.unwrap_or_default();
    Outbound {
        message,
        body: Bytes::from(call.body),
        content_type: ContentType::FhirJson,
        id,
        attributes: vec![
            ("method".into(), call.method.into()),
            ("path".into(), call.path),
            ("media".into(), media),
        ],
    }
}

impl std::fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subscriptions({})", read_of(&self.live).len())
    }
}
