//! FHIR resources through the intake: the message of each write is admitted like any other, the
//! subscriptions that want it join its plan, and messages, versions and event numbers are one
//! transaction.

use crate::message::id::MessageId;
use crate::message::plan::PlanEntry;
use crate::message::resource::{Guard, IndexValue, Interaction, ResourceKey, ResourceWrite};
use crate::message::time::Timestamp;
use crate::message::verdict::Problem;
use crate::source::intake::{Intake, Received, Reply, in_words};
use crate::store::resources::{ResourceBatch, ResourceStore, Written};
use crate::store::{Appended, NewMessage};

/// One message of a request, and what it does to a resource.
#[derive(Debug, Clone)]
pub struct ResourceMessage {
    /// The message, with its attributes `event` and `control_id`.
    pub received: Received,
    /// What it writes; `None` for a message that is only kept (the bundle that carried the others).
    /// Such a message goes where channels ask for it, and is stored when none does.
    pub write: Option<PreparedWrite>,
}

/// A version ready to be written, with what it replaces.
#[derive(Debug, Clone)]
pub struct PreparedWrite {
    /// The version. Its `message` is set by the intake.
    pub write: ResourceWrite,
    /// The resource before; `None` when there was none or it was deleted.
    pub previous: Option<serde_json::Value>,
    /// The resource after, as it is read back; `None` for a delete.
    pub current: Option<serde_json::Value>,
}

/// What subscriptions are matched against.
#[derive(Debug, Clone, Copy)]
pub struct ResourceChange<'a> {
    /// Which resource.
    pub key: &'a ResourceKey,
    /// What was done.
    pub interaction: Interaction,
    /// Its new version.
    pub version: u64,
    /// `meta.lastUpdated`.
    pub at: Timestamp,
    /// The resource before; `None` when there was none or it was deleted.
    pub previous: Option<&'a serde_json::Value>,
    /// The resource after; `None` for a delete.
    pub current: Option<&'a serde_json::Value>,
    /// The values it can be found by; empty for a delete.
    pub index: &'a [IndexValue],
}

/// What became of a request to write resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceReply {
    /// Everything is durable: the public id of each message.
    Done(Vec<MessageId>),
    /// Nothing was written: this message is refused.
    Refused {
        /// Its place in the request.
        at: usize,
        /// Why.
        problem: Problem,
    },
    /// Nothing was written: the version that this message expects is not the current one any more.
    Conflict {
        /// Its place in the request.
        at: usize,
    },
    /// Nothing was written: this guard does not hold any more.
    Stale {
        /// Its place among the guards.
        guard: usize,
    },
    /// Cannot be taken now.
    Unavailable {
        /// Why, in words, without content.
        reason: String,
    },
}

impl PreparedWrite {
    fn change(&self) -> ResourceChange<'_> {
        ResourceChange {
            key: &self.write.key,
            interaction: self.write.interaction,
            version: self.write.version,
            at: self.write.at,
            previous: self.previous.as_ref(),
            current: self.current.as_ref(),
            index: &self.write.index,
        }
    }
}

impl Intake {
    /// Takes the messages and the versions of one request in one transaction: all or nothing. On
    /// `Conflict` and `Stale` the caller looks at the store again and tries anew.
    pub async fn receive_resources(
        &self,
        resources: &dyn ResourceStore,
        messages: Vec<ResourceMessage>,
        guards: Vec<Guard>,
    ) -> ResourceReply {
        let received: Vec<_> = messages.iter().map(|one| one.received.clone()).collect();
        let _room = match self.enter(&received) {
            Ok(room) => room,
            Err(reason) => {
                let reason = reason.to_owned();
                self.count(
                    &received,
                    &vec![Reply::Unavailable { reason: reason.clone() }; received.len()],
                );
                return ResourceReply::Unavailable { reason };
            }
        };
        let mut batch = ResourceBatch { guards, ..ResourceBatch::default() };
        let mut replies = Vec::with_capacity(messages.len());
        for (at, message) in messages.into_iter().enumerate() {
            match self.planned(at, message, &mut batch) {
                Ok(reply) => replies.push(reply),
                Err((refused, problem)) => {
                    self.count(&received, &vec![Reply::Refused(problem.clone()); received.len()]);
                    self.keep(&refused, format!("{} {}", problem.code, problem.text)).await;
                    return ResourceReply::Refused { at, problem };
                }
            }
        }
        let mut ids: Vec<_> = batch.messages.iter().map(|message| message.envelope.id).collect();
        let places: Vec<_> = batch.writes.iter().map(|write| write.message).collect();
        let written = resources.write(batch).await;
        self.note(written.as_ref().err());
        match written {
            Ok(Written::Done(_)) => {
                self.count(&received, &replies);
                ResourceReply::Done(ids)
            }
            Ok(Written::Conflict(write)) => {
                ResourceReply::Conflict { at: places.get(write).copied().flatten().unwrap_or(0) }
            }
            // The request came before, with this message: it is answered as if it had been stored now.
            Ok(Written::Known(at, Appended::Repeat { id, .. })) => {
                ids.get_mut(at).into_iter().for_each(|own| *own = id);
                ResourceReply::Done(ids)
            }
            Ok(Written::Known(at, _)) => ResourceReply::Conflict { at },
            Ok(Written::Stale(guard)) => ResourceReply::Stale { guard },
            Err(error) => {
                let reason = in_words(&error).to_owned();
                self.count(
                    &received,
                    &vec![Reply::Unavailable { reason: reason.clone() }; received.len()],
                );
                ResourceReply::Unavailable { reason }
            }
        }
    }

    /// Admits one message into the batch, its write and its subscriptions with it.
    fn planned(
        &self,
        at: usize,
        message: ResourceMessage,
        batch: &mut ResourceBatch,
    ) -> Result<Reply, (Box<Received>, Problem)> {
        let ResourceMessage { received, write } = message;
        let admitted = self.judge_resource(&received, write.as_ref());
        let (new, events) = admitted.map_err(|problem| (Box::new(received), problem))?;
        let (id, received_at) = (new.envelope.id, new.envelope.received_at);
        batch.events.extend(events.iter().map(|entry| (at, entry.destination)));
        batch.messages.push(new);
        if let Some(prepared) = write {
            batch.writes.push(ResourceWrite { message: Some(at), ..prepared.write });
        }
        Ok(Reply::Accepted { id, received_at, repeat: false })
    }

    fn judge_resource(
        &self,
        received: &Received,
        write: Option<&PreparedWrite>,
    ) -> Result<(NewMessage, Vec<PlanEntry>), Problem> {
        let Some(prepared) = write else {
            return Ok((self.guarded(|admit| admit.keep(received))?, Vec::new()));
        };
        let mut new = self.guarded(|admit| admit.admit(received))?;
        // What it expects to find recognises a repeat; the channel's rule is for what has no version.
        new.duplicate.clone_from(&received.duplicate);
        let channel = &received.channel;
        let events = self.guarded(|admit| Ok(admit.subscribed(channel, &prepared.change())))?;
        new.plan.entries.extend(events.iter().cloned());
        Ok((new, events))
    }
}
