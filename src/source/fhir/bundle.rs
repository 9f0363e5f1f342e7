//! Batch and transaction (FHIR R4 http.html#transaction). A batch is its entries, each on its own; a
//! transaction is one commit, together with everything it sets off.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::fhir::json::{compact, resource_type};
use crate::fhir::subscription::header::masked;
use crate::message::payload::Payload;
use crate::resources::fault::unavailable;
use crate::resources::fault::{Fault, bad};
use crate::resources::links::conditional_of;
use crate::resources::plan::{Act, Step};
use crate::resources::transaction::{EntryAct, entry_act, plan};
use crate::source::fhir::access::scope::Permission;
use crate::source::fhir::answer::Answer;
use crate::source::fhir::answer::from_http_date;
use crate::source::fhir::ask::{Ask, Conditions, Sent, Verb, query_of};
use crate::source::fhir::desk::Desk;
use crate::source::fhir::negotiate::Return;
use crate::source::fhir::route::{Route, route};
use crate::source::fhir::write::{TRIES, Tried, answer, lost, pause, refused};
use crate::source::intake::{CONTROL_ID, Reply};
use crate::source::resource::ResourceMessage;

impl Desk {
    pub(super) async fn bundle(&self, ask: Ask, security: &Value) -> Result<Answer, Fault> {
        let body = ask.body(|bytes, name| self.resource(bytes, name))?;
        let bundle = &body.value;
        if resource_type(bundle) != Some("Bundle") {
            let text = "a Bundle of type batch or transaction is posted here";
            return Err(bad("bundle", text).at("resourceType"));
        }
        if let Some(hearing) = &self.options.hearing
            && bundle.get("type").is_some_and(|kind| kind == "history")
        {
            return Box::pin(self.hear(&ask, hearing, bundle)).await;
        }
        let none = Vec::new();
        let entries = bundle.get("entry").and_then(Value::as_array).unwrap_or(&none);
        if entries.len() > self.options.entries_max {
            let text = format!("the bundle has more than {} entries", self.options.entries_max);
            return Err(Fault::new(413, "too-long", "entries", text));
        }
        let bytes = match masked(bundle) {
            Some(masked) => Payload::new(compact(&masked)),
            None => body.bytes.clone().unwrap_or_else(|| Payload::new(compact(bundle))),
        };
        match bundle.get("type").and_then(Value::as_str) {
            Some("batch") => self.batch(&ask, entries, bytes, security).await,
            Some("transaction") => self.transaction(&ask, entries, bytes, security).await,
            _ => {
                Err(bad("bundle", "the bundle's type must be batch or transaction")
                    .at("Bundle.type"))
            }
        }
    }

    /// Each entry is done like a request of its own, in the order of the bundle.
    async fn batch(
        &self,
        ask: &Ask,
        entries: &[Value],
        bytes: Payload,
        security: &Value,
    ) -> Result<Answer, Fault> {
        self.keep_carrier(ask, bytes, "Bundle^batch").await?;
        let mut answers = Vec::with_capacity(entries.len());
        // Well before the request's own limit: an answer that says which entries were done is worth more
        // than one that says nothing of any.
        let until = Instant::now() + self.options.timeouts.answer / 2;
        for (at, entry) in entries.iter().enumerate() {
            if Instant::now() >= until {
                let late = unavailable("the batch took too long; send this entry again");
                answers.push(Answer::fault(&late).into_entry());
                continue;
            }
            let answer = match self.entry_ask(ask, at, entry) {
                Ok(entry) => Box::pin(self.perform(entry, security)).await,
                Err(fault) => Answer::fault(&fault),
            };
            answers.push(answer.into_entry());
        }
        Ok(Answer::of(200, response("batch-response", answers)))
    }

    async fn transaction(
        &self,
        ask: &Ask,
        entries: &[Value],
        bytes: Payload,
        security: &Value,
    ) -> Result<Answer, Fault> {
        let mut acts = Vec::new();
        let mut reads = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            match entry_act(at, entry, &ask.caller.base)? {
                Some(act) => {
                    self.may(ask, &act).map_err(|fault| fault.within(at))?;
                    acts.push(act);
                }
                None => reads.push((at, self.entry_ask(ask, at, entry)?)),
            }
        }
        let steps = self.written_together(ask, acts, bytes).await?;
        let mut answers = vec![Value::Null; entries.len()];
        let shape = Ask { prefer: bundle_prefer(ask), ..ask.clone() };
        for (at, step) in &steps {
            self.note_entry(ask, step);
            if let Some(place) = answers.get_mut(*at) {
                *place = answer(&shape, step).into_entry();
            }
        }
        // FHIR R4 http.html#trules: reads come last and see what was written.
        for (at, read) in reads {
            let answer = Box::pin(self.perform(read, security)).await;
            if let Some(place) = answers.get_mut(at) {
                *place = answer.into_entry();
            }
        }
        Ok(Answer::of(200, response("transaction-response", answers)))
    }

    async fn written_together(
        &self,
        ask: &Ask,
        acts: Vec<EntryAct>,
        bytes: Payload,
    ) -> Result<Vec<(usize, Step)>, Fault> {
        for attempt in 0..TRIES {
            pause(attempt).await;
            let mut guards = Vec::new();
            let now = ask.at.max(self.parts.clock.now());
            let reading = ask.reading(now);
            let submission = self.submission(ask);
            let planner = self.planner(now, &reading, &submission);
            let steps = plan(&planner, acts.clone(), &mut guards).await?;
            let mut messages = vec![self.carrier(ask, bytes.clone(), "Bundle^transaction")];
            for (_, step) in &steps {
                if let Step::Write(change) = step {
                    messages.push(self.message(&ask.caller, change));
                }
            }
            if let Tried::Done = self.commit(messages, guards).await? {
                for (_, step) in &steps {
                    if let Step::Write(change) = step {
                        self.told(change);
                    }
                }
                return Ok(steps);
            }
        }
        Err(lost())
    }

    /// The bundle as it came (but for secrets of subscriptions), as a message of its own.
    fn carrier(&self, ask: &Ask, bytes: Payload, event: &str) -> ResourceMessage {
        let mut received = self.received(&ask.caller, bytes, event);
        received.attributes.push((CONTROL_ID.into(), (&*ask.caller.request).into()));
        ResourceMessage { received, write: None }
    }

    async fn keep_carrier(&self, ask: &Ask, bytes: Payload, event: &str) -> Result<(), Fault> {
        let message = self.carrier(ask, bytes, event);
        match self.intake.receive_kept(message.received).await {
            Reply::Accepted { .. } => Ok(()),
            Reply::Refused(problem) => Err(refused(&problem)),
            Reply::Unavailable { reason } => Err(unavailable(&reason)),
        }
    }

    /// An entry as a request of its own.
    fn entry_ask(&self, ask: &Ask, at: usize, entry: &Value) -> Result<Ask, Fault> {
        let text = |name: &str| {
            entry.pointer(&format!("/request/{name}")).and_then(Value::as_str).map(str::to_owned)
        };
        let place = || format!("Bundle.entry[{at}].request");
        let missing = |what: &str| bad("request", format!("the entry has no {what}")).at(place());
        let method = text("method").ok_or_else(|| missing("request.method"))?;
        let url = text("url").ok_or_else(|| missing("request.url"))?;
        let verb = Verb::of(&method)
            .ok_or_else(|| bad("request", "there is no such method").at(place()))?;
        let relative = url.strip_prefix(&*ask.caller.base).unwrap_or(&url);
        let (path, query) = relative.split_once('?').unwrap_or((relative, ""));
        let route = route(path);
        let nothing = match route {
            Route::System => !verb.reads(),
            Route::Smart | Route::Unknown => true,
            _ => false,
        };
        if nothing {
            return Err(bad("request", "nothing of an entry is at this url").at(place()));
        }
        let sent = match entry.get("resource") {
            Some(resource) => entry_body(verb, resource),
            None => Sent::Nothing,
        };
        Ok(Ask {
            caller: ask.caller.clone(),
            at: ask.at,
            verb,
            route,
            query: query_of(query),
            conditions: Conditions {
                if_match: text("ifMatch"),
                if_none_match: text("ifNoneMatch"),
                if_modified_since: text("ifModifiedSince").and_then(|text| {
                    from_http_date(&text)
                        .or_else(|| text.parse::<jiff::Timestamp>().ok().map(|at| at.as_second()))
                }),
                if_none_exist: text("ifNoneExist").map(Into::into),
                hub_secret: None,
                ..Conditions::default()
            },
            prefer: bundle_prefer(ask),
            sent,
        })
    }

    fn may(&self, ask: &Ask, entry: &EntryAct) -> Result<(), Fault> {
        let permission = match entry.act {
            Act::Create { .. } => Permission::Create,
            Act::Update { .. } | Act::Patch { .. } => Permission::Update,
            Act::Delete { .. } => Permission::Delete,
        };
        let may = |kind: &str, permission| ask.caller.principal.may(kind, permission);
        may(&entry.kind, permission)?;
        // A conditional reference is a search of another type.
        let mut references = BTreeSet::new();
        conditional_of(&entry.act, &mut references);
        let kinds = references.iter().filter_map(|text| text.split_once('?'));
        kinds.map(|(kind, _)| kind).try_for_each(|kind| may(kind, Permission::Search))
    }

    fn note_entry(&self, ask: &Ask, step: &Step) {
        let Step::Write(change) = step else { return };
        let (caller, write) = (&ask.caller, &change.write);
        let who = Some(&*caller.principal);
        let status = if change.creates() { 201 } else { 200 };
        let name = write.interaction.name();
        let key = &write.key;
        self.note(&caller.request, &caller.peer, who, name, &key.kind, &key.id, status);
    }
}

/// In a bundle the resources come back only when asked for.
fn bundle_prefer(ask: &Ask) -> crate::source::fhir::negotiate::Prefer {
    let mut prefer = ask.prefer;
    prefer.returns = Some(prefer.returns.unwrap_or(Return::Minimal));
    prefer
}

/// A patch inside a bundle travels in a Binary (FHIR R4 http.html#patch).
fn entry_body(verb: Verb, resource: &Value) -> Sent {
    if verb != Verb::Patch {
        return Sent::Value(resource.clone());
    }
    match crate::resources::transaction::patch_of(resource) {
        Ok(patch) => Sent::Value(patch),
        Err(_) => Sent::Value(Value::Null),
    }
}

fn response(kind: &str, entries: Vec<Value>) -> Value {
    let mut bundle = json!({"resourceType": "Bundle", "type": kind});
    if let (Some(members), false) = (bundle.as_object_mut(), entries.is_empty()) {
        members.insert("entry".to_owned(), entries.into());
    }
    bundle
}
