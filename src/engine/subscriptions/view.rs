//! Subscriptions for people: how they stand, and what may be done with them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use thiserror::Error;
use tracing::info;

use crate::delivery::CommandError;
use crate::destination::Destination;
use crate::destination::webhook::sign::public_half;
use crate::engine::subscriptions::{Live, PREFIX, Subscriptions};
use crate::fhir::subscription::Status;
use crate::fhir::subscription::notification::Kind;
use crate::message::outcome::Outcome;
use crate::message::secret::Secret;
use crate::message::time::Timestamp;
use crate::message::verdict::Rendered;
use crate::resources::fault::{Fault, unavailable};
use crate::store::StoreError;

/// How long the secret before signs too, unless told otherwise.
pub const OVERLAP: Duration = Duration::from_hours(24);

/// Why an act was not done.
#[derive(Debug, Error)]
pub enum ActFault {
    /// There is no such subscription, or it is off.
    #[error("there is no such subscription, or it is off")]
    Unknown,
    /// There is no such event.
    #[error("there is no event of this number, or its message is gone")]
    NoEvent,
    /// The secret cannot be used.
    #[error("{0}")]
    Secret(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The runner did not do it.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl Subscriptions {
    fn known(&self, id: &str) -> Result<Arc<Live>, ActFault> {
        self.live(id).ok_or(ActFault::Unknown)
    }

    /// All subscriptions that are not off, and those that the engine turned off in the last 30 days.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self) -> Result<Vec<Value>, StoreError> {
        let mut list = self.all_ended();
        for live in self.all() {
            list.push(self.shown(&live).await?);
        }
        Ok(list)
    }

    /// One subscription.
    ///
    /// # Errors
    /// When there is none, or the store cannot be read.
    pub async fn one(&self, id: &str) -> Result<Value, ActFault> {
        match (self.live(id), self.one_ended(id)) {
            (Some(live), _) => Ok(self.shown(&live).await?),
            (None, Some(ended)) => Ok(ended),
            (None, None) => Err(ActFault::Unknown),
        }
    }

    async fn shown(&self, live: &Live) -> Result<Value, StoreError> {
        let health = live.subscriber.health();
        let events = self.ground.store.event_count(live.destination).await?.last;
        let moment = |micros: i64| (micros > 0).then(|| Timestamp(micros).to_string());
        let status =
            self.deliveries.get().and_then(|deliveries| deliveries.status(live.destination).ok());
        let endpoint = live.subscription.endpoint.split(['?', '#']).next().unwrap_or_default();
        let code = health.last_code();
        Ok(json!({
            "id": live.id,
            "channel": &*live.channel,
            "destination": format!("{}/{PREFIX}{}", live.channel, live.id),
            "status": live.status().name(),
            "since": live.at.to_string(),
            "topic": live.subscription.topic(),
            "endpoint": endpoint,
            "content": live.subscription.content.name(),
            "error": live.error,
            "events": events,
            "failures": health.failures.load(Ordering::Acquire),
            "failing_since": moment(health.failing_since.load(Ordering::Acquire)),
            "last_success": moment(health.last_success.load(Ordering::Acquire)),
            "last_failure": (!code.is_empty()).then_some(code),
            "signed": !self.vault.signing(&live.id, self.ground.clock.now()).is_empty(),
            "delivery": status.map(|status| json!({
                "pending": status.pending,
                "in_flight": status.in_flight,
                "retry": status.retry,
                "behind": status.behind,
                "dead": status.dead,
                "paused": status.paused.map(|pause| pause.reason),
                "next_attempt": status.next_attempt.map(|at| at.to_string()),
            })),
        }))
    }

    /// Another secret signs from now on; the one before signs too for `overlap`. Without a secret one is
    /// drawn, and shown this once.
    ///
    /// # Errors
    /// When there is no such subscription, or the secret cannot sign or be kept.
    pub async fn rotate(
        &self,
        id: &str,
        secret: Option<Secret>,
        overlap: Duration,
    ) -> Result<Value, ActFault> {
        let live = self.known(id)?;
        let _turn = live.hand.turn().await;
        let wrong = |error: std::io::Error| ActFault::Secret(error.to_string());
        let drawn = secret.is_none();
        let secret = match secret {
            Some(secret) => secret,
            None => self.vault.drawn().map_err(wrong)?,
        };
        let public = public_half(&secret).map_err(ActFault::Secret)?;
        self.vault.rotate(id, &secret, overlap, self.ground.clock.now()).map_err(wrong)?;
        let owner = (&live.channel, live.owner.clone());
        let target = self.target(id, &live.subscription, owner);
        live.subscriber.replace(target).map_err(ActFault::Secret)?;
        info!(subscription = %id, "its secret was changed");
        Ok(json!({
            "id": id,
            "secret": drawn.then(|| secret.expose()),
            "public": public,
            "overlap_seconds": overlap.as_secs(),
        }))
    }

    /// The secret of a subscription that is about to be made. One that is left of another with its id is
    /// not signed with any more.
    pub(super) fn first_secret(&self, id: &str, secret: &Secret) -> Result<(), Fault> {
        public_half(secret).map_err(|reason| {
            let text = format!("X-Hub-Secret cannot sign: {reason}");
            Fault::new(422, "value", "secret", text)
        })?;
        let kept = self.vault.rotate(id, secret, Duration::ZERO, self.ground.clock.now());
        kept.map_err(|error| {
            tracing::error!(%error, "the secret of a subscription cannot be kept");
            unavailable("the secret cannot be kept; try again later")
        })
    }

    /// Calls the receiver with a heartbeat: whether it is there.
    ///
    /// # Errors
    /// When there is no such subscription.
    pub async fn test(&self, id: &str) -> Result<Value, ActFault> {
        let live = self.known(id)?;
        let answered = self.signal(&live, Kind::Heartbeat).await;
        Ok(json!({"id": id, "accepted": answered.is_ok(), "code": answered.err()}))
    }

    /// Sends one event again, now, whatever became of it: the same id and the same bytes.
    ///
    /// # Errors
    /// When there is no such event.
    pub async fn resend(&self, id: &str, number: u64) -> Result<Value, ActFault> {
        let live = self.known(id)?;
        let places = self.ground.store.events(live.destination, number, number, 1).await?;
        let (_, seq) = places.first().ok_or(ActFault::NoEvent)?;
        let messages = self.ground.store.messages(&[*seq]).await?;
        let message = messages.first().ok_or(ActFault::NoEvent)?;
        let entry = message.plan.entry(live.destination).ok_or(ActFault::NoEvent)?;
        let rendered = self.ground.versions.rendered(live.destination, entry.version, message);
        let Rendered::Send(outbound) = rendered else { return Err(ActFault::NoEvent) };
        let stop = tokio_util::sync::CancellationToken::new();
        let outcome = live.subscriber.send(&outbound, &stop).await;
        info!(subscription = %id, event = number, outcome = outcome.name(), "sent again");
        let accepted = matches!(outcome, Outcome::Accepted(_));
        let code = &*outcome.answer().code;
        Ok(json!({"id": id, "event": number, "accepted": accepted, "code": code}))
    }

    /// Tries everything now that waits or was given up; one in `error` becomes active without a handshake.
    ///
    /// # Errors
    /// When there is no such subscription.
    pub async fn recover(self: &Arc<Self>, id: &str, reason: &str) -> Result<Value, ActFault> {
        let live = self.known(id)?;
        live.subscriber.health().clear();
        if live.status() != Status::Active {
            self.set_status(&live, Status::Active, None).await?;
        }
        let live = self.known(id)?;
        let turn = live.hand.turn().await;
        self.hurry(&live).await?;
        drop(turn);
        info!(subscription = %id, reason, "everything that waits is tried now");
        Ok(self.shown(&live).await?)
    }

    /// Cancels everything that waits, on record.
    ///
    /// # Errors
    /// When there is no such subscription.
    pub async fn skip(&self, id: &str, reason: &str) -> Result<Value, ActFault> {
        let live = self.known(id)?;
        let turn = live.hand.turn().await;
        self.stop(&live.hand).await;
        let head = self.ground.store.status().head;
        let skipped = self.cancel_all(live.destination, "skipped", head).await?;
        self.start_if_waiting(&live).await?;
        drop(turn);
        info!(subscription = %id, skipped, reason, "what waited was skipped");
        Ok(json!({"id": id, "skipped": skipped}))
    }

    /// Stops calls until it is resumed; events are counted and wait.
    ///
    /// # Errors
    /// When there is no such subscription.
    pub async fn pause(&self, id: &str, by: &str, reason: &str) -> Result<Value, ActFault> {
        let live = self.known(id)?;
        let _turn = live.hand.turn().await;
        self.start(&live).await?;
        if let Some(deliveries) = self.deliveries.get() {
            deliveries.pause(live.destination, by, reason).await?;
        }
        Ok(self.shown(&live).await?)
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// When there is no such subscription.
    pub async fn resume(&self, id: &str, by: &str, reason: &str) -> Result<Value, ActFault> {
        let live = self.known(id)?;
        let _turn = live.hand.turn().await;
        self.start(&live).await?;
        if let Some(deliveries) = self.deliveries.get() {
            deliveries.resume(live.destination, by, reason).await?;
        }
        Ok(self.shown(&live).await?)
    }
}
