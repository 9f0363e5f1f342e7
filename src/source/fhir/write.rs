//! Create, update, patch, delete (FHIR R4 http.html#create and following): planned against the store,
//! committed with their messages, planned anew when another write was faster.

use std::time::Duration;

use serde_json::Value;

use crate::fhir::outcome::{Issue, outcome};
use crate::message::kind::ContentType;
use crate::message::resource::{Guard, ResourceKey};
use crate::message::verdict::Problem;
use crate::resources::fault::{Fault, unavailable};
use crate::resources::plan::{Act, Change, Step};
use crate::source::fhir::answer::{Answer, Content};
use crate::source::fhir::ask::{Ask, Caller};
use crate::source::fhir::desk::Desk;
use crate::source::fhir::negotiate::Return;
use crate::source::intake::{CONTROL_ID, EVENT, Received};
use crate::source::resource::{PreparedWrite, ResourceMessage, ResourceReply};

/// Tries of one request; every try but the first means that another write was faster.
pub(super) const TRIES: u32 = 16;

/// What became of one try.
pub(super) enum Tried {
    /// Everything is durable.
    Done,
    /// Another write was faster: plan anew.
    Again,
}

impl Desk {
    pub(super) async fn write(&self, ask: &Ask, kind: &str, act: Act) -> Result<Answer, Fault> {
        for attempt in 0..TRIES {
            pause(attempt).await;
            let mut guards = Vec::new();
            let now = ask.at.max(self.parts.clock.now());
            let reading = ask.reading(now);
            let submission = self.submission(ask);
            let planner = self.planner(now, &reading, &submission);
            let step = planner.plan(kind, act.clone(), &mut guards).await?;
            let Step::Write(change) = step else { return Ok(answer(ask, &step)) };
            // Before anybody can read of the subscription, and so before it is greeted.
            if let (Some(secret), true) = (&ask.conditions.hub_secret, change.creates()) {
                self.parts.extension.secret(&change.write.key, secret)?;
            }
            let message = self.message(&ask.caller, &change);
            if let Tried::Done = self.commit(vec![message], guards).await? {
                self.told(&change);
                return Ok(answer(ask, &Step::Write(change)));
            }
        }
        Err(lost())
    }

    /// One try to make messages and versions durable.
    pub(super) async fn commit(
        &self,
        messages: Vec<ResourceMessage>,
        guards: Vec<Guard>,
    ) -> Result<Tried, Fault> {
        let at = self.parts.clock.now();
        let count = messages.len();
        match self.intake.receive_resources(&*self.parts.store, messages, guards).await {
            ResourceReply::Done(_) => {
                (0..count).for_each(|_| self.status.received(at));
                Ok(Tried::Done)
            }
            ResourceReply::Conflict { .. } | ResourceReply::Stale { .. } => Ok(Tried::Again),
            ResourceReply::Refused { problem, .. } => Err(refused(&problem)),
            ResourceReply::Unavailable { reason } => Err(unavailable(&reason)),
        }
    }

    /// The engine hears of a write that is durable.
    pub(super) fn told(&self, change: &Change) {
        let (write, current) = (&change.write, change.current.as_ref());
        self.parts.extension.written(&self.channel, &write.key, write.version, current);
    }

    /// The message that carries a change.
    pub(super) fn message(&self, caller: &Caller, change: &Change) -> ResourceMessage {
        let mut received = self.received(caller, change.payload.clone(), &change.event());
        received.at = change.write.at;
        received.attributes.push((CONTROL_ID.into(), change.name().into()));
        let write = PreparedWrite {
            write: change.write.clone(),
            previous: change.previous.clone(),
            current: change.current.clone(),
        };
        ResourceMessage { received, write: Some(write) }
    }

    /// A message of this endpoint.
    pub(super) fn received(
        &self,
        caller: &Caller,
        payload: crate::message::payload::Payload,
        event: &str,
    ) -> Received {
        let channel = std::sync::Arc::clone(&self.channel);
        let now = self.parts.clock.now();
        let mut received = Received::new(channel, payload, now, caller.peer.to_string());
        received.content_type = Some(ContentType::FhirJson);
        received.attributes.push((EVENT.into(), event.into()));
        received.attributes.push(("client".into(), caller.principal.name.clone()));
        received
    }
}

/// Waits longer, and by chance, the more often another write was faster.
pub(super) async fn pause(attempt: u32) {
    if attempt > 0 {
        let most = 1_u64 << attempt.min(6);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1..=most))).await;
    }
}

/// 409: every try met a faster one.
pub(super) fn lost() -> Fault {
    let text = "others write the same resources all the time; try again";
    Fault::new(409, "conflict", "race", text)
}

/// A channel that does not take the message (FHIR R4 http.html#create: 422 for business rules).
pub(super) fn refused(problem: &Problem) -> Fault {
    let code = if problem.code == 101 { "required" } else { "business-rule" };
    let detail = format!("channel-{}", problem.code);
    Fault::new(422, code, &detail, problem.text.clone())
}

/// The answer to a write (FHIR R4 http.html#create, #update, #delete, #ops).
pub(super) fn answer(ask: &Ask, step: &Step) -> Answer {
    let base = &*ask.caller.base;
    let returns = ask.prefer.returns.unwrap_or(Return::Representation);
    match step {
        Step::Nothing => Answer::empty(204),
        Step::Stands(version) => {
            let body = body_of(returns, Content::Stored(version.body.expose().clone()), &[]);
            let location = Some(location(base, &version.key, version.version));
            Answer { status: 200, body, location, ..Answer::default() }.versioned(version)
        }
        Step::Write(change) => written(base, change, returns),
    }
}

fn written(base: &str, change: &Change, returns: Return) -> Answer {
    let write = &change.write;
    let version = Some(write.version);
    let modified = Some(write.at);
    if change.current.is_none() {
        let (status, body) = match returns {
            Return::Outcome => (200, Content::Json(told(&change.remarks))),
            _ => (204, Content::Nothing),
        };
        return Answer { status, body, version, ..Answer::default() };
    }
    let stored = Content::Stored(write.body.expose().clone());
    Answer {
        status: if change.creates() { 201 } else { 200 },
        body: body_of(returns, stored, &change.remarks),
        version,
        modified,
        location: Some(location(base, &write.key, write.version)),
        allow: None,
    }
}

fn body_of(returns: Return, resource: Content, remarks: &[Issue]) -> Content {
    match returns {
        Return::Minimal => Content::Nothing,
        Return::Representation => resource,
        Return::Outcome => Content::Json(told(remarks)),
    }
}

fn told(remarks: &[Issue]) -> Value {
    outcome(remarks)
}

/// `Location` of a version.
pub(super) fn location(base: &str, key: &ResourceKey, version: u64) -> String {
    format!("{base}/{key}/_history/{version}")
}
