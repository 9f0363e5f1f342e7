//! Stores a received message with its plan, then says how to answer. Never a positive answer before
//! the commit (P1, P2).
//!
//! Order: a call of [`Intake::receive_batch`] hands its messages to the store when its future is first
//! polled, so a source that polls one call before it makes the next keeps the order of its frames.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, counter};
use tracing::{info, warn};

use crate::message::id::MessageId;
use crate::message::kind::ContentType;
use crate::message::payload::Payload;
use crate::message::plan::PlanEntry;
use crate::message::time::Timestamp;
use crate::message::verdict::{DuplicateRule, IfChanged, Problem};
use crate::source::budget::{Budget, Share};
use crate::source::resource::ResourceChange;
use crate::store::{Appended, NewMessage, Reject, Store, StoreError};
use crate::telemetry::metrics::{MESSAGES_RECEIVED, MESSAGES_REFUSED, MESSAGES_REPEATED};

/// The attribute that names the event of a message which does not name it itself: `Patient^update`.
pub const EVENT: &str = "event";

/// The attribute that names the version a resource becomes: `Patient/123/_history/4`.
pub const CONTROL_ID: &str = "control_id";

/// One message as it came in.
#[derive(Debug, Clone)]
pub struct Received {
    /// The channel whose source received it.
    pub channel: Arc<str>,
    /// The bytes, unframed, otherwise untouched.
    pub payload: Payload,
    /// When its last byte was read.
    pub at: Timestamp,
    /// The sender's address, or the file's name.
    pub peer: String,
    /// How the transport says the bytes are to be read; `None`: to be found from the bytes.
    pub content_type: Option<ContentType>,
    /// What the transport knows besides: `file.name`, `batch.id`, `batch.index`, `certificate`.
    pub attributes: Vec<(Box<str>, Box<str>)>,
    /// How the transport recognises a repeat (`Idempotency-Key`, file name and content). `Intake`
    /// applies it when the channel has no rule of its own.
    pub duplicate: Option<DuplicateRule>,
}

impl Received {
    /// Bytes as they came, with nothing known besides.
    #[must_use]
    pub fn new(channel: Arc<str>, payload: Payload, at: Timestamp, peer: String) -> Self {
        Self {
            channel,
            payload,
            at,
            peer,
            content_type: None,
            attributes: Vec::new(),
            duplicate: None,
        }
    }

    /// What the transport knows under `name`.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| &**key == name).map(|(_, value)| &**value)
    }
}

/// How to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Durable (now or already earlier): AA or CA, 2xx. A repeat carries the first one's id and time, so
    /// that the answer is the first answer again.
    Accepted {
        /// Public id.
        id: MessageId,
        /// When it was first received.
        received_at: Timestamp,
        /// Whether it had been stored before.
        repeat: bool,
    },
    /// Will never be taken as it is: AE/CE or AR/CR, 4xx.
    Refused(Problem),
    /// Cannot be taken now: by the channel's choice AE, AR or a closed connection; 503.
    Unavailable {
        /// Why, in words, without content.
        reason: String,
    },
}

/// Decides, without I/O, what becomes of a received message: implemented by the engine over its channels.
pub trait Admit: Send + Sync {
    /// The message to append, or the refusal.
    ///
    /// # Errors
    /// When no channel takes it, or its own channel refuses it.
    fn admit(&self, received: &Received) -> Result<NewMessage, Problem>;

    /// The message to append for input that carried other messages (a FHIR batch): it goes to the
    /// channels that ask for its type by name, and is stored when none does.
    ///
    /// # Errors
    /// When its own channel is gone, or asks for it and refuses it.
    fn keep(&self, received: &Received) -> Result<NewMessage, Problem> {
        self.admit(received)
    }

    /// The message to append for the response to `message`, which is delivered later: it goes to the
    /// channels that listen to it, behind what those have to send of the same patient.
    ///
    /// # Errors
    /// As for [`Admit::keep`].
    fn respond(&self, response: &Received, message: &NewMessage) -> Result<NewMessage, Problem> {
        let _ = message;
        self.keep(response)
    }

    /// Whether `channel` lets in messages of this type and event.
    fn lets_in(&self, channel: &str, event: &str) -> bool {
        let (_, _) = (channel, event);
        true
    }

    /// The events of a type that `channel` names among those it lets in.
    fn events_of(&self, channel: &str, code: &str) -> Vec<String> {
        let (_, _) = (channel, code);
        Vec::new()
    }

    /// The subscriptions of `channel` that a change of a resource is an event of, as entries of its
    /// message's plan.
    fn subscribed(&self, channel: &str, change: &ResourceChange<'_>) -> Vec<PlanEntry> {
        let (_, _) = (channel, change);
        Vec::new()
    }
}

/// How much all sources together may have in the intake at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntakeLimits {
    /// Messages that wait for the store. Beyond it senders are told to come again.
    pub messages_max: usize,
    /// Their bytes.
    pub bytes_max: usize,
    /// Bytes of refused input kept as evidence, each.
    pub evidence_bytes_max: usize,
    /// How long a refusal may wait for its evidence to be kept.
    pub evidence_wait: Duration,
    /// Bytes that all connections of all listeners may hold together, beyond what each has free; see
    /// [`crate::source::budget`].
    pub connection_bytes_max: usize,
}

impl Default for IntakeLimits {
    fn default() -> Self {
        Self {
            messages_max: 50_000,
            bytes_max: 256 << 20,
            evidence_bytes_max: 64 << 10,
            evidence_wait: Duration::from_secs(2),
            connection_bytes_max: 256 << 20,
        }
    }
}

/// Whether one refused message refuses those that came with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Each is taken or refused on its own.
    Messages,
    /// All or none.
    Whole,
}

/// Whom a message is shown to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To its own channel, which may refuse it.
    Admit,
    /// To its own channel only when that asks for its type by name.
    Keep,
}

/// The door every source uses. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    admit: Arc<dyn Admit>,
    limits: IntakeLimits,
    budget: Arc<Budget>,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    draining: AtomicBool,
    disk_low: AtomicBool,
    /// Whether the last append failed: the log says when that changes, not at each message.
    failing: AtomicBool,
    /// The counter of messages received of each channel, once it received one.
    received: RwLock<HashMap<Arc<str>, Counter>>,
}

impl Shared {
    fn received(&self, channel: &Arc<str>) -> Counter {
        let known = self.received.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = known.get(channel) {
            return counter.clone();
        }
        drop(known);
        let counter = counter!(MESSAGES_RECEIVED, "channel" => channel.to_string());
        let mut known = self.received.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(Arc::clone(channel)).or_insert(counter).clone()
    }
}

/// What a call has in the intake; gives its room back when dropped.
pub(super) struct Room<'a> {
    shared: &'a Shared,
    messages: usize,
    bytes: usize,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.shared.messages.fetch_sub(self.messages, Ordering::Relaxed);
        self.shared.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Intake {
    /// A door to `store`, guarded by `admit`, with the default limits.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, admit: Arc<dyn Admit>) -> Self {
        Self::with_limits(store, admit, IntakeLimits::default())
    }

    /// A door to `store`, guarded by `admit`.
    #[must_use]
    pub fn with_limits(store: Arc<dyn Store>, admit: Arc<dyn Admit>, limits: IntakeLimits) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                admit,
                limits,
                budget: Budget::new(limits.connection_bytes_max),
                messages: AtomicUsize::new(0),
                bytes: AtomicUsize::new(0),
                draining: AtomicBool::new(false),
                disk_low: AtomicBool::new(false),
                failing: AtomicBool::new(false),
                received: RwLock::default(),
            }),
        }
    }

    /// From now on nothing new is taken; what is in the intake already is answered as it ends.
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::Release);
    }

    /// Whether [`Intake::drain`] was called.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.shared.draining.load(Ordering::Acquire)
    }

    /// Whether the disk is so full that nothing new is taken; answers what was known before.
    pub fn set_disk_low(&self, is_low: bool) -> bool {
        self.shared.disk_low.swap(is_low, Ordering::AcqRel)
    }

    /// See [`Intake::set_disk_low`].
    #[must_use]
    pub fn disk_low(&self) -> bool {
        self.shared.disk_low.load(Ordering::Acquire)
    }

    /// Messages and bytes in the intake now, of all sources.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        let Shared { messages, bytes, .. } = &*self.shared;
        (messages.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed))
    }

    /// Bytes that all connections hold now, beyond what each has free.
    #[must_use]
    pub fn connection_bytes(&self) -> usize {
        self.shared.budget.held()
    }

    /// A connection's share of what all of them may hold.
    pub(super) fn share(&self) -> Share {
        self.shared.budget.share()
    }

    /// Whether a message like this one, which no channel has to take, would be delivered anywhere.
    #[must_use]
    pub fn is_awaited(&self, received: &Received) -> bool {
        let admitted = catch_unwind(AssertUnwindSafe(|| self.shared.admit.keep(received)));
        admitted.is_ok_and(|kept| kept.is_ok_and(|message| !message.plan.entries.is_empty()))
    }

    /// The rules of the channels in force.
    pub(super) fn rules(&self) -> &dyn Admit {
        &*self.shared.admit
    }

    /// Takes one message.
    pub async fn receive(&self, received: Received) -> Reply {
        let mut replies = self.receive_batch(vec![received]).await;
        replies.pop().unwrap_or_else(|| unavailable("the store did not answer"))
    }

    /// Takes several messages in one transaction: all that are taken are durable before the first reply.
    /// Each is taken or refused on its own; replies stand in the order of the messages.
    pub async fn receive_batch(&self, batch: Vec<Received>) -> Vec<Reply> {
        self.take(&batch, Unit::Messages, Way::Admit).await
    }

    /// The same, or all or none, with messages that stay where they are.
    pub(super) async fn receive_all(&self, batch: &[&Received], unit: Unit) -> Vec<Reply> {
        self.take(batch, unit, Way::Admit).await
    }

    /// Takes all or none: one refused message refuses the others. A known id with other content is
    /// held here even where the channel would refuse it, because the rest is stored by then.
    pub async fn receive_whole(&self, batch: Vec<Received>) -> Vec<Reply> {
        self.take(&batch, Unit::Whole, Way::Admit).await
    }

    /// Takes one message that goes to the channels that ask for its type by name, and is stored when
    /// none does.
    pub async fn receive_kept(&self, received: Received) -> Reply {
        let mut replies = self.take(&[received], Unit::Messages, Way::Keep).await;
        replies.pop().unwrap_or_else(|| unavailable("the store did not answer"))
    }

    async fn take<R: Borrow<Received> + Sync>(
        &self,
        batch: &[R],
        unit: Unit,
        way: Way,
    ) -> Vec<Reply> {
        let _room = match self.enter(batch) {
            Ok(room) => room,
            Err(reason) => {
                let replies: Vec<_> = batch.iter().map(|_| unavailable(reason)).collect();
                self.count(batch, &replies);
                return replies;
            }
        };
        let mut judged: Vec<_> =
            batch.iter().map(|received| self.judge(received.borrow(), way)).collect();
        if unit == Unit::Whole {
            refuse_whole(&mut judged);
        }
        let mut replies = Vec::with_capacity(batch.len());
        let mut taken = Vec::with_capacity(batch.len());
        for verdict in judged {
            match verdict {
                Ok(message) => {
                    let (id, received_at) = (message.envelope.id, message.envelope.received_at);
                    replies.push(Reply::Accepted { id, received_at, repeat: false });
                    taken.push(message);
                }
                Err(problem) => replies.push(Reply::Refused(problem)),
            }
        }
        if !taken.is_empty() {
            let appended = self.append(taken).await;
            settle(&mut replies, appended);
        }
        self.count(batch, &replies);
        // Rare: the future of each message is not to have room for it.
        if replies.iter().any(|reply| matches!(reply, Reply::Refused(_))) {
            Box::pin(self.keep_refused(batch, &replies)).await;
        }
        replies
    }

    pub(super) fn enter<R: Borrow<Received>>(&self, batch: &[R]) -> Result<Room<'_>, &'static str> {
        if self.draining() {
            return Err("the engine is stopping; send it again");
        }
        if self.disk_low() {
            return Err("the disk is nearly full; send it again later");
        }
        let shared = &*self.shared;
        let (messages, bytes) =
            (batch.len(), batch.iter().map(|one| one.borrow().payload.len()).sum());
        let room = Room { shared, messages, bytes };
        let before = (
            shared.messages.fetch_add(messages, Ordering::Relaxed),
            shared.bytes.fetch_add(bytes, Ordering::Relaxed),
        );
        // A batch larger than the whole limit still passes through an empty intake.
        let full = before.0 > 0 && before.0.saturating_add(messages) > shared.limits.messages_max
            || before.1 > 0 && before.1.saturating_add(bytes) > shared.limits.bytes_max;
        if full { Err("too many messages wait for the store; send it again") } else { Ok(room) }
    }

    fn judge(&self, received: &Received, way: Way) -> Result<NewMessage, Problem> {
        let mut message = self.guarded(|admit| match way {
            Way::Admit => admit.admit(received),
            Way::Keep => admit.keep(received),
        })?;
        if message.duplicate.is_none() {
            message.duplicate.clone_from(&received.duplicate);
        }
        Ok(message)
    }

    /// A panic in the middle refuses the one message that caused it (P10).
    pub(super) fn guarded<T>(
        &self,
        judge: impl FnOnce(&dyn Admit) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let admit = &*self.shared.admit;
        catch_unwind(AssertUnwindSafe(|| judge(admit)))
            .unwrap_or_else(|_| Err(problem(207, "the engine failed on this message", false)))
    }

    pub(super) async fn append(
        &self,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Appended>, StoreError> {
        let appended = self.shared.store.append(messages).await;
        self.note(appended.as_ref().err());
        appended
    }

    /// Counts replies; a batch comes from one source, so its channel is looked up once.
    pub(super) fn count<R: Borrow<Received>>(&self, batch: &[R], replies: &[Reply]) {
        let Some(first) = batch.first().map(Borrow::borrow) else { return };
        let (mut new, mut repeated, mut refused, mut unavailable) = (0, 0, 0, 0);
        for reply in replies {
            match reply {
                Reply::Accepted { repeat: false, .. } => new += 1,
                Reply::Accepted { repeat: true, .. } => repeated += 1,
                Reply::Refused(_) => refused += 1,
                Reply::Unavailable { .. } => unavailable += 1,
            }
        }
        let channel = || first.channel.to_string();
        if new > 0 {
            self.shared.received(&first.channel).increment(new);
        }
        if repeated > 0 {
            counter!(MESSAGES_REPEATED, "channel" => channel()).increment(repeated);
        }
        for (reason, number) in [("content", refused), ("unavailable", unavailable)] {
            if number > 0 {
                counter!(MESSAGES_REFUSED, "channel" => channel(), "reason" => reason)
                    .increment(number);
            }
        }
    }

    pub(super) fn note(&self, error: Option<&StoreError>) {
        let failed_before = self.shared.failing.swap(error.is_some(), Ordering::Relaxed);
        match error {
            Some(error) if !failed_before => warn!(%error, "intake refuses: nothing can be stored"),
            None if failed_before => info!("intake takes messages again"),
            _ => {}
        }
    }

    async fn keep_refused<R: Borrow<Received> + Sync>(&self, batch: &[R], replies: &[Reply]) {
        for (received, reply) in batch.iter().zip(replies) {
            if let Reply::Refused(problem) = reply {
                let reason = format!("{} {}", problem.code, problem.text);
                self.keep(received.borrow(), reason).await;
            }
        }
    }

    /// Keeps refused input as evidence, cut to the limit. Answers whether it is kept: best effort,
    /// within [`IntakeLimits::evidence_wait`].
    pub async fn keep(&self, received: &Received, reason: String) -> bool {
        let limits = &self.shared.limits;
        let bytes = received.payload.expose();
        let reject = Reject {
            at: received.at,
            channel: Arc::clone(&received.channel),
            peer: received.peer.clone(),
            reason,
            payload: Payload::new(bytes.slice(..bytes.len().min(limits.evidence_bytes_max))),
        };
        let kept =
            tokio::time::timeout(limits.evidence_wait, self.shared.store.reject(reject)).await;
        matches!(kept, Ok(Ok(())))
    }
}

/// Replaces the hoped-for replies of taken messages by what the store said.
pub(super) fn settle(replies: &mut [Reply], appended: Result<Vec<Appended>, StoreError>) {
    let mut appended = appended.map(Vec::into_iter);
    for reply in replies.iter_mut().filter(|reply| matches!(reply, Reply::Accepted { .. })) {
        let said = match &mut appended {
            Ok(said) => said.next(),
            Err(error) => {
                *reply = unavailable(in_words(error));
                continue;
            }
        };
        match said {
            Some(Appended::New(_) | Appended::Held(_)) => {}
            Some(Appended::Repeat { id, received_at, .. }) => {
                *reply = Reply::Accepted { id, received_at, repeat: true };
            }
            Some(Appended::Conflict(_)) => {
                let text = "this control id came before with other content";
                *reply = Reply::Refused(problem(205, text, false));
            }
            None => *reply = unavailable("the store did not answer"),
        }
    }
}

/// One refused message refuses the batch; the others say so.
fn refuse_whole(judged: &mut [Result<NewMessage, Problem>]) {
    if judged.iter().all(Result::is_ok) {
        for message in judged.iter_mut().flatten() {
            if let Some(rule) = &mut message.duplicate
                && rule.if_changed == IfChanged::Refuse
            {
                rule.if_changed = IfChanged::Hold;
            }
        }
        return;
    }
    for verdict in judged.iter_mut().filter(|verdict| verdict.is_ok()) {
        let text = "another message of the batch was refused; nothing of it was stored";
        *verdict = Err(problem(207, text, false));
    }
}

/// What a sender hears of a store that fails: no paths, no database texts.
pub(super) const fn in_words(error: &StoreError) -> &'static str {
    match error {
        StoreError::Full => "the disk is full; send it again later",
        StoreError::Overloaded { .. } => "the store is behind; send it again",
        StoreError::Closed => "the engine is stopping; send it again",
        StoreError::Disk(_)
        | StoreError::Crashed
        | StoreError::Unsafe(_)
        | StoreError::TooBroad { .. }
        | StoreError::Database(_)
        | StoreError::Missing => "the store failed; send it again later",
    }
}

fn unavailable(reason: &str) -> Reply {
    Reply::Unavailable { reason: reason.to_owned() }
}

/// A refusal without a place.
#[must_use]
pub fn problem(code: u16, text: &str, reject: bool) -> Problem {
    Problem { code, location: None, text: text.to_owned(), reject }
}
