//! Notifications of another server's subscriptions, taken in as messages of the channel (the other side of the
//! engine's own subscriptions).
//!
//! - A notification is answered once its events are durable. Each is a message like a write to this endpoint:
//!   `Observation^update`, with the resource.
//! - An event counts once, however often it comes: it is known by its subscription and number.
//! - Events whose numbers were passed over are asked for (`$events`) and taken first. While they cannot be had
//!   the notification is not taken either: its sender comes again.

pub(super) mod verify;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;
use tracing::warn;
use xxhash_rust::xxh3::xxh3_64;

use crate::fhir::json::compact;
use crate::fhir::json::read::{Limits, read as read_json};
use crate::fhir::subscription::heard::{self, Heard, HeardEvent, Purpose};
use crate::message::payload::Payload;
use crate::message::verdict::{DuplicateRule, IfChanged};
use crate::resources::fault::{Fault, unavailable};
use crate::source::fhir::access::keys::get;
use crate::source::fhir::answer::Answer;
use crate::source::fhir::ask::{Ask, Sent};
use crate::source::fhir::desk::Desk;
use crate::source::fhir::options::Hearing;
use crate::source::intake::{CONTROL_ID, Reply};

/// Events looked back over for one that was missed while this process did not run.
const LOOKED_BACK: u64 = 200;
/// The answer of `$events`.
const FETCH_WITHIN: Duration = Duration::from_secs(10);
const FETCH_BYTES_MAX: usize = 64 << 20;

/// The number of the last event that was taken; none before the first notification.
type Last = Arc<tokio::sync::Mutex<Option<u64>>>;

/// What was heard of each subscription. Lost with the process: what is asked for twice counts once.
#[derive(Default)]
pub(super) struct Hearsay(Mutex<BTreeMap<Box<str>, Last>>);

impl Hearsay {
    fn last(&self, subscription: &str) -> Last {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(subscription.into()).or_default())
    }
}

impl Desk {
    /// A notification Bundle was posted.
    pub(super) async fn hear(
        &self,
        ask: &Ask,
        hearing: &Hearing,
        bundle: &Value,
    ) -> Result<Answer, Fault> {
        let heard = self.believed(ask, hearing, bundle)?;
        let place = self.hearsay.last(&heard.subscription);
        // One at a time of a subscription: an event that is on its way is not asked for.
        let mut last = place.lock().await;
        let first = heard.events.first().map_or(heard.last + 1, |event| event.number);
        let since = match *last {
            Some(last) => last + 1,
            None => first.saturating_sub(LOOKED_BACK).max(1),
        };
        if since < first {
            let caught_up = self.catch_up(ask, hearing, &heard, (since, first - 1)).await;
            match caught_up {
                Ok(()) => {}
                // Somebody is there, and that is all that was asked.
                Err(_) if heard.events.is_empty() => return Ok(Answer::empty(200)),
                Err(fault) => return Err(fault),
            }
        }
        let newest = heard.events.last().map_or(heard.last, |event| event.number);
        self.take_in(ask, &heard.subscription, heard.events).await?;
        *last = (*last).max(Some(newest));
        Ok(Answer::empty(200))
    }

    /// What is said, when it is signed and comes from where this endpoint listens to.
    fn believed(&self, ask: &Ask, hearing: &Hearing, bundle: &Value) -> Result<Heard, Fault> {
        let Sent::Bytes(bytes, _) = &ask.sent else {
            let text = "a notification is posted by itself";
            return Err(Fault::new(400, "invalid", "notification", text));
        };
        let now = self.parts.clock.now();
        if !verify::holds(&hearing.secrets, &ask.conditions.signed, bytes, now) {
            let text =
                "the notification is not signed with the secret of this endpoint, or not lately";
            return Err(Fault::new(401, "security", "signature", text));
        }
        let wrong = |text: &str| Fault::new(422, "invalid", "notification", text.to_owned());
        let heard = heard::read(bundle).map_err(wrong)?;
        let below = heard.subscription.strip_prefix(&*hearing.from);
        if below.is_none_or(|below| !below.starts_with("/Subscription/")) {
            return Err(wrong(
                "it is of another server's subscription than this endpoint listens to",
            ));
        }
        match heard.purpose {
            Purpose::Query => Err(wrong("an answer of $events is no notification")),
            _ => Ok(heard),
        }
    }

    /// Asks for events that did not come, and takes them.
    async fn catch_up(
        &self,
        ask: &Ask,
        hearing: &Hearing,
        heard: &Heard,
        (mut since, until): (u64, u64),
    ) -> Result<(), Fault> {
        while since <= until {
            let page = self.missed(hearing, &heard.subscription, (since, until)).await;
            let events = page.map_err(|reason| {
                warn!(channel = %self.channel, since, until, %reason, "missed events cannot be asked for");
                unavailable("events before this one cannot be had yet; send it again")
            })?;
            let Some(newest) = events.iter().map(|event| event.number).max() else {
                warn!(channel = %self.channel, since, until, "missed events are not there any more");
                return Ok(());
            };
            self.take_in(ask, &heard.subscription, events).await?;
            since = newest + 1;
        }
        Ok(())
    }

    /// One answer of `$events`.
    async fn missed(
        &self,
        hearing: &Hearing,
        subscription: &str,
        (since, until): (u64, u64),
    ) -> Result<Vec<HeardEvent>, String> {
        let url = format!(
            "{subscription}/$events?eventsSinceNumber={since}&eventsUntilNumber={until}&content=full-resource"
        );
        let tls = self.parts.keys_tls.as_deref();
        let got = timeout(FETCH_WITHIN, get(&url, tls, hearing.token.as_ref(), FETCH_BYTES_MAX));
        let bytes = got.await.map_err(|_| "no answer in time".to_owned())??;
        let limits = Limits { size_bytes_max: FETCH_BYTES_MAX, ..Limits::default() };
        let bundle = read_json(&bytes, &limits).map_err(|_| "the answer is no JSON".to_owned())?;
        let heard = heard::read(&bundle)?;
        let wanted = since..=until;
        Ok(heard.events.into_iter().filter(|event| wanted.contains(&event.number)).collect())
    }

    /// Events as messages of the channel, durable when this returns. What the channel does not want is on
    /// record as refused, and not sent again for that.
    async fn take_in(
        &self,
        ask: &Ask,
        subscription: &str,
        events: Vec<HeardEvent>,
    ) -> Result<(), Fault> {
        let messages = events.into_iter().map(|event| {
            let name = format!("{}^{}", event.kind, event.interaction.name());
            let payload = Payload::new(compact(&event.resource));
            let mut received = self.received(&ask.caller, payload, &name);
            let named = format!("{subscription}#{}", event.number);
            let identity = xxh3_64(format!("{}\0heard\0{named}", self.channel).as_bytes());
            received.attributes.push((CONTROL_ID.into(), named.into()));
            received.duplicate = Some(DuplicateRule {
                identity,
                content: identity,
                within: self.options.repeat_within,
                if_changed: IfChanged::Accept,
            });
            received
        });
        let replies = self.intake.receive_batch(messages.collect()).await;
        let now = self.parts.clock.now();
        for reply in replies {
            match reply {
                Reply::Accepted { .. } => self.status.received(now),
                Reply::Refused(problem) => self.status.refused(now, &problem.text),
                Reply::Unavailable { reason } => {
                    self.status.refused(now, &reason);
                    return Err(unavailable(&reason));
                }
            }
        }
        Ok(())
    }
}
