//! The task that watches over subscriptions: looks at those that were written, starts runners for events,
//! greets, keeps alive, and draws consequences from how calls ended.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use ring::digest::{SHA256, digest};
use serde_json::Value;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use uuid::Uuid;

use crate::delivery::queue::RunnerStatus;
use crate::destination::Destination;
use crate::destination::subscriber::{Subscriber, URGENT};
use crate::engine::subscriptions::backlog::STARTS_MAX;
use crate::engine::subscriptions::index::Entry;
use crate::engine::subscriptions::{Live, PREFIX, Subscriptions, locked, outbound, owner, read_of};
use crate::fhir::subscription::event::place;
use crate::fhir::subscription::notification::{About, Kind};
use crate::fhir::subscription::read;
use crate::fhir::subscription::render::Settings;
use crate::fhir::subscription::{Issue, Status};
use crate::message::StoredMessage;
use crate::message::id::{DestinationId, MessageId, VersionId};
use crate::message::outcome::Outcome;
use crate::message::resource::{ResourceKey, ResourceQuery, ResourceVersion};
use crate::message::time::Timestamp;
use crate::store::{StoreError, VersionRecord};

/// How often time is looked at: heartbeats, ends, idle runners.
const TICK: Duration = Duration::from_secs(1);
/// Resources read at once.
const PAGE: u32 = 500;
/// Versions looked back over for what a subscription was before it was asked for again.
const ASKED_MAX: u32 = 100;

type Batch = Arc<[Arc<StoredMessage>]>;

impl Subscriptions {
    /// Takes in every Subscription of the store. Before the first message is let in: what is committed
    /// later is matched.
    pub(in crate::engine) async fn load(self: &Arc<Self>) -> Result<(), StoreError> {
        self.read_records().await?;
        self.read_destinations();
        let mut query =
            ResourceQuery { kind: "Subscription".into(), limit: PAGE, ..ResourceQuery::default() };
        loop {
            let page = self.ground.store.resource_search(&query).await?;
            for stored in page.matches {
                self.take(stored).await?;
            }
            query.page = page.next;
            if query.page.is_none() {
                return Ok(());
            }
        }
    }

    /// Which destinations are subscriptions, those that are off too.
    fn read_destinations(&self) {
        let names = read_of(&self.ground.names);
        let before = format!("/{PREFIX}");
        let named = names.iter().filter_map(|(destination, name)| {
            let (_, id) = name.rsplit_once(&before)?;
            Some((*destination, id.into()))
        });
        let mut known =
            self.by_destination.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.extend(named);
    }

    /// Watches until stopped.
    pub(in crate::engine) async fn watch(
        self: Arc<Self>,
        mut committed: Receiver<Batch>,
        stop: CancellationToken,
    ) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                () = stop.cancelled() => return,
                batch = committed.recv() => match batch {
                    Ok(batch) => self.heard(&batch).await,
                    Err(RecvError::Lagged(_)) => self.look_again().await,
                    Err(RecvError::Closed) => return,
                },
                () = self.look.notified() => self.look_at_all().await,
                () = self.board.changed() => self.judge_all().await,
                _ = tick.tick() => self.tick().await,
            };
            match done {
                Ok(()) => {}
                Err(StoreError::Closed) => return,
                Err(error) => {
                    error!(%error, "subscriptions could not be looked after; tried again")
                }
            }
        }
    }

    /// Committed messages: events start runners, Subscriptions are looked at.
    async fn heard(self: &Arc<Self>, batch: &Batch) -> Result<(), StoreError> {
        let mut destinations = BTreeSet::new();
        for message in batch.iter() {
            destinations.extend(message.events.iter().map(|(destination, _)| *destination));
            if message.envelope.event.starts_with("Subscription^")
                && let Some((key, _)) = place(message.envelope.control_id.expose())
            {
                locked(&self.to_look).insert(key.id);
            }
        }
        let heard = destinations.into_iter().filter_map(|destination| {
            let id = read_of(&self.by_destination).get(&destination).cloned();
            id.and_then(|id| self.live(&id)).filter(|live| live.status() == Status::Active)
        });
        self.start_all(heard.collect()).await?;
        self.look_at_all().await
    }

    /// Commits were missed.
    async fn look_again(self: &Arc<Self>) -> Result<(), StoreError> {
        self.load().await?;
        let active = |live: &Arc<Live>| live.status() == Status::Active;
        let all: Vec<_> = self.all().into_iter().filter(active).collect();
        let starts =
            stream::iter(all).map(|live| async move { self.start_if_waiting(&live).await });
        starts.buffer_unordered(STARTS_MAX).try_collect().await
    }

    async fn look_at_all(self: &Arc<Self>) -> Result<(), StoreError> {
        let ids = std::mem::take(&mut *locked(&self.to_look));
        for id in ids {
            let key = ResourceKey::new("Subscription", &id);
            match self.ground.store.resource(&key).await {
                Ok(Some(stored)) => self.take(stored).await?,
                Ok(None) => {}
                Err(error) => {
                    locked(&self.to_look).insert(id);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Takes in a Subscription as it is stored.
    pub(super) async fn take(self: &Arc<Self>, stored: ResourceVersion) -> Result<(), StoreError> {
        let id = stored.key.id.clone();
        let old = self.live(&id);
        if old.as_ref().is_some_and(|old| old.version >= stored.version) {
            return Ok(());
        }
        let body: Option<Value> = match stored.is_deleted() {
            true => None,
            false => serde_json::from_slice(stored.body.expose()).ok(),
        };
        self.note_end(&stored, body.as_ref()).await;
        let is_over = |body: &Value| read::status(body).is_none_or(|one| one == Status::Off);
        let Some(body) = body.filter(|body| !is_over(body)) else {
            self.forget(&id, old).await;
            return Ok(());
        };
        match self.taken_in(&stored, &body, old.as_deref()).await? {
            Ok(live) => self.settle_at(&live, old.as_deref()).await,
            Err(reason) => {
                warn!(subscription = %id, %reason, "a stored subscription cannot be used; it stands still");
                self.forget(&id, old).await;
                Ok(())
            }
        }
    }

    /// A Subscription that is not off, understood; why not, when it cannot be used.
    async fn taken_in(
        &self,
        stored: &ResourceVersion,
        body: &Value,
        old: Option<&Live>,
    ) -> Result<Result<Arc<Live>, String>, StoreError> {
        let id = stored.key.id.clone();
        let channel = match old {
            Some(old) => Arc::clone(&old.channel),
            None => self.channel_of(stored).await?,
        };
        let subscription = match self.understood(&channel, body) {
            Ok(subscription) => subscription,
            Err(issues) => return Ok(Err(words(&issues))),
        };
        let base = self.base(&channel);
        let settings = Settings::of(&subscription, &base, self.config.style);
        let (destination, pinned) = self.numbered(&channel, &id, &settings).await?;
        let owner = owner::of(body, &self.vault);
        let target = self.target(&id, &subscription, (&channel, owner.clone()));
        let made = match old.map(|old| Arc::clone(&old.subscriber)) {
            Some(subscriber) => subscriber.replace(target).map(|()| subscriber),
            None => Subscriber::new(Arc::clone(&self.board), target).map(|made| {
                self.restore(destination, made.health());
                Arc::new(made)
            }),
        };
        let subscriber = match made {
            Ok(subscriber) => subscriber,
            Err(reason) => return Ok(Err(format!("its secret cannot sign: {reason}"))),
        };
        let hand = self.hand(destination, &id);
        if old.is_none() {
            hand.last_sign.store(stored.at.0, Ordering::Release);
        }
        Ok(Ok(Arc::new(Live {
            id,
            channel,
            destination,
            pinned,
            subscription,
            settings,
            version: stored.version,
            at: stored.at,
            subscriber,
            owner,
            error: body.get("error").and_then(Value::as_str).map(Into::into),
            hand,
        })))
    }

    /// Counts it, and brings its deliveries to where its status wants them.
    async fn settle_at(
        self: &Arc<Self>,
        live: &Arc<Live>,
        old: Option<&Live>,
    ) -> Result<(), StoreError> {
        let status = live.status();
        let counted = status != Status::Requested
            || read_of(&self.index).has(live.destination)
            || self.was_counted(live).await?;
        if !self.put(live, counted) {
            return Ok(());
        }
        match (status, old.map(Live::status)) {
            (Status::Active, Some(Status::Requested)) => {
                live.subscriber.health().clear();
                self.keep(live).await;
                self.settle_in_a_hurry(&live.hand);
            }
            // The process before may have ended when it was active again and not hurried yet.
            (Status::Active, None) => self.settle_after_a_start(&live.hand),
            (Status::Requested, _) => {
                self.settle(&live.hand);
                self.greet(live);
            }
            _ => self.settle(&live.hand),
        }
        Ok(())
    }

    /// Whether a subscription that is asked for again was counted before this process began: then it is
    /// counted on while it is greeted.
    async fn was_counted(&self, live: &Live) -> Result<bool, StoreError> {
        let store = &self.ground.store;
        if store.event_count(live.destination).await?.last > 0 {
            return Ok(true);
        }
        let key = ResourceKey::new("Subscription", &live.id);
        let mut version = live.version;
        for _ in 0..ASKED_MAX {
            version = version.saturating_sub(1);
            if version == 0 {
                return Ok(false);
            }
            let before = store.resource_version(&key, version).await?;
            let body = before.filter(|before| !before.is_deleted());
            let body = body.and_then(|before| serde_json::from_slice(before.body.expose()).ok());
            match body.as_ref().and_then(read::status) {
                Some(Status::Requested) => {}
                status => return Ok(matches!(status, Some(Status::Active | Status::Error))),
            }
        }
        Ok(true)
    }

    /// It is known from now on, and counted unless it was only asked for yet. Not when a newer version is
    /// known already.
    fn put(&self, live: &Arc<Live>, counted: bool) -> bool {
        use std::sync::PoisonError;
        let mut all = self.live.write().unwrap_or_else(PoisonError::into_inner);
        if all.get(&live.id).is_some_and(|known| known.version >= live.version) {
            return false;
        }
        if counted {
            self.count(live);
        }
        all.insert(live.id.clone(), Arc::clone(live));
        drop(all);
        self.by_destination
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(live.destination, live.id.clone());
        self.known.send_modify(|count| *count += 1);
        true
    }

    /// From now on its events are numbered.
    pub(super) fn count(&self, live: &Live) {
        let entry = Entry::new(
            (live.destination, live.pinned),
            &live.subscription,
            &self.topics(&live.channel),
            live.ordering(self.config.order),
            self.config.deletes,
        );
        self.index.write().unwrap_or_else(std::sync::PoisonError::into_inner).insert(entry);
    }

    /// It is off or gone: no event is counted any more, and what waits is cancelled, on record.
    async fn forget(self: &Arc<Self>, id: &str, old: Option<Arc<Live>>) {
        use std::sync::PoisonError;
        let Some(old) = old else { return self.end_again(id) };
        self.index.write().unwrap_or_else(PoisonError::into_inner).remove(old.destination);
        self.live.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        self.known.send_modify(|count| *count += 1);
        self.keep_nothing(&old).await;
        self.settle_for_good(&old.hand);
    }

    /// One that was off when the process began: what the process before did not come to cancel is cancelled.
    fn end_again(self: &Arc<Self>, id: &str) {
        if let Some(destination) = self.destination_of(id) {
            self.settle_for_good(&self.hand(destination, id));
        }
    }

    /// The channel a Subscription was written through.
    pub(super) async fn channel_of(
        &self,
        stored: &ResourceVersion,
    ) -> Result<Arc<str>, StoreError> {
        let name = format!("{PREFIX}{}", stored.key.id);
        let known = {
            let names = read_of(&self.ground.names);
            let found = names.values().find_map(|full| full.strip_suffix(&format!("/{name}")));
            found.map(Arc::from)
        };
        if let Some(channel) = known {
            return Ok(channel);
        }
        let mut version = Some(stored.clone());
        while let Some(current) = version {
            if let Some(seq) = current.seq {
                let found = self.ground.store.messages(&[seq]).await?;
                if let Some(message) = found.first() {
                    return Ok(Arc::clone(&message.envelope.channel));
                }
            }
            let before = current.version.saturating_sub(1);
            version = match before {
                0 => None,
                before => self.ground.store.resource_version(&current.key, before).await?,
            };
        }
        Ok(read_of(&self.bases).keys().next().map_or_else(|| Arc::from(""), |k| (&**k).into()))
    }

    /// The store's numbers of a subscription: its destination, and the settings its events are pinned to.
    async fn numbered(
        &self,
        channel: &Arc<str>,
        id: &str,
        settings: &Settings,
    ) -> Result<(DestinationId, VersionId), StoreError> {
        let store = &self.ground.store;
        let name = format!("{PREFIX}{id}");
        let destination = store.destination(channel, &name).await?;
        let bundle = settings.to_json().to_string().into_bytes();
        let hash: String =
            digest(&SHA256, &bundle).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let record = VersionRecord {
            channel: Arc::clone(channel),
            hash: hash.into(),
            bundle,
            applied_at: self.ground.clock.now(),
        };
        let version = store.version(record).await?;
        self.ground.versions.name(destination, &name);
        self.ground
            .names
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(destination, format!("{channel}/{name}"));
        Ok((destination, version))
    }

    /// The handshake (backport workflow.html): whoever answers it with success is active. A search
    /// subscription has none.
    fn greet(self: &Arc<Self>, live: &Arc<Live>) {
        let (all, live) = (Arc::clone(self), Arc::clone(live));
        self.ground.tracker.spawn(async move {
            let greeted = match live.subscription.is_topic() {
                true => all.signal(&live, Kind::Handshake).await,
                false => Ok(()),
            };
            let set = match greeted {
                Ok(()) => all.set_status(&live, Status::Active, None).await,
                Err(reason) => {
                    let text = format!("the handshake was not answered: {reason}");
                    all.set_status(&live, Status::Error, Some(&text)).await
                }
            };
            if let Err(error) = set {
                error!(subscription = %live.id, %error, "the handshake's end is not recorded, looked at again");
                all.wake(&live.id);
            }
        });
    }

    /// One call without events; an error is the code of what was answered.
    pub(super) async fn signal(&self, live: &Live, kind: Kind) -> Result<(), String> {
        let now = self.ground.clock.now();
        live.hand.last_sign.store(now.0, Ordering::Release);
        let count = self.ground.store.event_count(live.destination).await;
        let events = count.map_err(|error| error.to_string())?.last;
        let about = About {
            base: &live.settings.base,
            subscription: &live.id,
            topic: live.subscription.topic(),
            status: live.status(),
            kind,
            events,
            error: None,
        };
        let message = MessageId::new();
        let call = live.settings.sign(&about, Uuid::from_bytes(message.to_bytes()), now);
        let mut outbound = outbound(message, message.to_string().into(), call);
        outbound.attributes.push((URGENT.into(), "".into()));
        let stop = CancellationToken::new();
        match live.subscriber.send(&outbound, &stop).await {
            Outcome::Accepted(_) => Ok(()),
            other => match live.subscriber.health().withdrawn() {
                Some(reason) => Err(reason.into()),
                None => Err(other.answer().code.to_string()),
            },
        }
    }

    /// Draws consequences from how calls ended.
    async fn judge_all(self: &Arc<Self>) -> Result<(), StoreError> {
        for live in self.all() {
            let health = live.subscriber.health();
            let failed = health.failures.load(Ordering::Acquire) > 0;
            self.keep(&live).await;
            // What was given up is counted a little later: the tick sees it.
            if failed || health.gone.load(Ordering::Acquire) || health.withdrawn().is_some() {
                self.judge(&live, None).await?;
            }
        }
        Ok(())
    }

    /// Where its runner stands; none while it does not run.
    fn runner(&self, live: &Live) -> Option<RunnerStatus> {
        if !live.hand.runs() {
            return None;
        }
        self.deliveries.get()?.status(live.destination).ok()
    }

    async fn judge(
        self: &Arc<Self>,
        live: &Arc<Live>,
        runner: Option<&RunnerStatus>,
    ) -> Result<(), StoreError> {
        let health = live.subscriber.health();
        if health.gone.load(Ordering::Acquire) {
            let text = "the receiver answered 410: it is gone for good";
            return self.set_status(live, Status::Off, Some(text)).await;
        }
        if live.status() != Status::Active {
            return Ok(());
        }
        if let Some(reason) = health.withdrawn() {
            let text = format!(
                "nothing is sent any more: {reason}; events wait: set the status to requested when it may be"
            );
            return self.set_status(live, Status::Error, Some(&text)).await;
        }
        let code = health.last_code();
        let attempts = self.config.schedule.len() + 1;
        // Whatever became of others: an event that was given up is one that the receiver misses.
        let dead = live.hand.dead.load(Ordering::Acquire);
        if runner.is_some_and(|runner| runner.held > 0 || runner.dead > dead) {
            let text = format!(
                "an event was given up, by rule after {attempts} attempts (last: {code}); it and what follows it wait: set the status to requested when the receiver takes them"
            );
            return self.set_status(live, Status::Error, Some(&text)).await;
        }
        // Nobody gets through to the receiver: not sooner than one event would be given up.
        let failures = health.failures.load(Ordering::Acquire);
        let since = Timestamp(health.failing_since.load(Ordering::Acquire));
        let whole: Duration = self.config.schedule.iter().sum();
        let enough = usize::try_from(failures).is_ok_and(|failures| failures >= attempts);
        if enough && self.ground.clock.now().since(since) >= whole {
            let text = format!(
                "given up after {failures} calls in a row without success (last: {code}); events wait: set the status to requested when the receiver is back"
            );
            return self.set_status(live, Status::Error, Some(&text)).await;
        }
        Ok(())
    }

    /// Heartbeats, ends, what waited too long, idle runners.
    async fn tick(self: &Arc<Self>) -> Result<(), StoreError> {
        self.settle_again();
        let now = self.ground.clock.now();
        for live in self.all() {
            if live.subscription.end.is_some_and(|end| end <= now) {
                self.set_status(&live, Status::Off, Some("its end has come")).await?;
                continue;
            }
            let health = live.subscriber.health();
            let failing = match live.status() {
                Status::Error => live.at.0,
                _ => health.failing_since.load(Ordering::Acquire),
            };
            if failing > 0 && now.since(Timestamp(failing)) >= self.config.off_after {
                let days = self.config.off_after.as_secs() / 86_400;
                let text = format!("turned off: the receiver took nothing for {days} days");
                self.set_status(&live, Status::Off, Some(&text)).await?;
                continue;
            }
            if live.status() != Status::Active {
                continue;
            }
            let runner = self.runner(&live);
            self.judge(&live, runner.as_ref()).await?;
            let last = health.last_call.load(Ordering::Acquire);
            let last = Timestamp(last.max(live.hand.last_sign.load(Ordering::Acquire)));
            if live.subscription.heartbeat.is_some_and(|period| now.since(last) >= period) {
                live.hand.last_sign.store(now.0, Ordering::Release);
                let all = Arc::clone(self);
                self.ground.tracker.spawn(async move {
                    // How it ended is counted by the subscriber.
                    let _ended = all.signal(&live, Kind::Heartbeat).await;
                });
                continue;
            }
            if let Some(status) = &runner {
                self.stop_if_idle(&live, status);
            }
        }
        Ok(())
    }
}

fn words(issues: &[Issue]) -> String {
    let texts: Vec<String> =
        issues.iter().map(|issue| format!("{}: {}", issue.expression, issue.text)).collect();
    texts.join("; ")
}
