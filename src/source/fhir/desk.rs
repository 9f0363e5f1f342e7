//! What is asked, done: one way for each interaction (FHIR R4 http.html).

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::fhir::json::read::read;
use crate::fhir::outcome::Issue;
use crate::fhir::search::Reading;
use crate::message::time::Timestamp;
use crate::resources::fault::{Fault, bad, not_found, unavailable};
use crate::resources::plan::{Act, Planner, Submit, Target, WriteRules};
use crate::source::fhir::FhirParts;
use crate::source::fhir::access::Principal;
use crate::source::fhir::access::scope::Permission;
use crate::source::fhir::answer::Answer;
use crate::source::fhir::ask::{Ask, Sent, Verb, is_about_form};
use crate::source::fhir::audit::AuditEntry;
use crate::source::fhir::extension::Call;
use crate::source::fhir::hear::Hearsay;
use crate::source::fhir::negotiate::{is_fhir_patch, is_patch, is_resource};
use crate::source::fhir::options::FhirSourceOptions;
use crate::source::fhir::page::PageSeal;
use crate::source::fhir::route::Route;
use crate::source::intake::Intake;
use crate::source::status::SourceStatus;

/// Answers what is asked of one endpoint.
pub(super) struct Desk {
    pub(super) channel: Arc<str>,
    pub(super) options: FhirSourceOptions,
    pub(super) rules: WriteRules,
    pub(super) seal: PageSeal,
    /// When the endpoint began to listen.
    pub(super) started: Timestamp,
    pub(super) parts: FhirParts,
    pub(super) intake: Intake,
    pub(super) status: Arc<SourceStatus>,
    /// What was heard of other servers' subscriptions.
    pub(super) hearsay: Hearsay,
}

/// An interaction by its name, with what it is about, for the audit trail.
#[derive(Debug, Clone)]
pub(super) struct Deed {
    pub(super) name: Box<str>,
    pub(super) kind: Box<str>,
    pub(super) id: Box<str>,
}

impl Desk {
    /// Does what is asked. `security` is what the CapabilityStatement says of access.
    pub(super) async fn perform(&self, ask: Ask, security: &Value) -> Answer {
        let deed = deed(&ask);
        let reads = ask.verb.reads() || matches!(ask.route, Route::Search(_));
        let allowed = ask.route.methods();
        let caller = ask.caller.clone();
        let answer = match Box::pin(self.dispatch(ask, security)).await {
            Ok(answer) => answer,
            Err(fault) => {
                let mut answer = Answer::fault(&fault);
                if fault.status == 405 {
                    answer.allow = Some(allowed);
                }
                answer
            }
        };
        let who = Some(&*caller.principal);
        let id = if deed.id.is_empty() { located(&answer) } else { deed.id.clone() };
        self.note(&caller.request, &caller.peer, who, &deed.name, &deed.kind, &id, answer.status);
        self.on_record(answer, reads).await
    }

    /// The answer, once it is on the trail. What nobody could account for later is not shown; a write is
    /// done by then, and its sender hears so.
    pub(super) async fn on_record(&self, answer: Answer, reads: bool) -> Answer {
        match self.parts.audit.settle().await {
            Err(_) if reads => Answer::fault(&unavailable("the audit trail cannot be written")),
            _ => answer,
        }
    }

    /// One record of the audit trail, by its columns.
    pub(super) fn note(
        &self,
        request: &str,
        from: &str,
        who: Option<&Principal>,
        interaction: &str,
        kind: &str,
        id: &str,
        status: u16,
    ) {
        self.parts.audit.record(&AuditEntry {
            at: self.parts.clock.now(),
            channel: &self.channel,
            request,
            who: who.map_or("", |who| &who.name),
            means: who.map_or("", |who| who.means),
            from,
            interaction,
            kind,
            id,
            status,
        });
    }

    async fn dispatch(&self, ask: Ask, security: &Value) -> Result<Answer, Fault> {
        let may = |kind: &str, permission| ask.caller.principal.may(kind, permission);
        match (ask.verb, ask.route.clone()) {
            (Verb::Get | Verb::Head, Route::Metadata) => self.capabilities(&ask, security),
            (Verb::Post, Route::System) => Box::pin(self.bundle(ask, security)).await,
            (Verb::Get, Route::SystemHistory) => {
                may("*", Permission::Search)?;
                self.history(&ask, "", "").await
            }
            (Verb::Get, Route::TypeHistory(kind)) => {
                may(&kind, Permission::Search)?;
                self.history(&ask, &kind, "").await
            }
            (Verb::Get, Route::History(kind, id)) => {
                may(&kind, Permission::Read)?;
                self.history(&ask, &kind, &id).await
            }
            (Verb::Get | Verb::Head, Route::Instance(kind, id)) => {
                may(&kind, Permission::Read)?;
                self.read(&ask, &kind, &id).await
            }
            (Verb::Get | Verb::Head, Route::Version(kind, id, version)) => {
                may(&kind, Permission::Read)?;
                self.vread(&ask, &kind, &id, &version).await
            }
            (Verb::Get, Route::Type(kind)) | (Verb::Post, Route::Search(kind)) => {
                may(&kind, Permission::Search)?;
                Box::pin(self.search(&ask, &kind)).await
            }
            (Verb::Post, Route::Type(kind)) => {
                may(&kind, Permission::Create)?;
                let body = ask.body(|bytes, name| self.resource(bytes, name))?;
                // Some clients put the condition of a create into the URL, as for an update.
                let unless = ask.conditions.if_none_exist.clone().or_else(|| condition(&ask));
                self.write(&ask, &kind, Act::Create { body, unless }).await
            }
            (Verb::Put | Verb::Patch | Verb::Delete, Route::Type(kind)) => {
                let query = condition(&ask).ok_or_else(|| {
                    bad("condition", "name the resource by its id or by a search")
                })?;
                self.change(&ask, &kind, Target::Where(query)).await
            }
            (Verb::Put | Verb::Patch | Verb::Delete, Route::Instance(kind, id)) => {
                self.change(&ask, &kind, Target::Id(id)).await
            }
            (_, Route::Operation { kind, id, name }) => {
                Box::pin(self.operation(ask, kind, id, name)).await
            }
            (_, Route::Unknown) => Err(not_found("nothing is at this path")),
            // What of all types may be searched is looked at where the types are known.
            (Verb::Get, Route::System) | (Verb::Post, Route::SystemSearch) => {
                Box::pin(self.search(&ask, "")).await
            }
            _ => {
                Err(Fault::new(405, "not-supported", "method", "this method is not for this path"))
            }
        }
    }

    async fn change(&self, ask: &Ask, kind: &str, target: Target) -> Result<Answer, Fault> {
        let may = |permission| ask.caller.principal.may(kind, permission);
        let if_match = ask.if_match()?;
        let act = match ask.verb {
            Verb::Put => {
                may(Permission::Update)?;
                let body = ask.body(|bytes, name| self.resource(bytes, name))?;
                Act::Update { target, body, if_match }
            }
            Verb::Patch => {
                may(Permission::Update)?;
                let patch = ask.body(|bytes, name| self.patch(bytes, name))?.value;
                Act::Patch { target, patch, if_match }
            }
            _ => {
                may(Permission::Delete)?;
                Act::Delete { target, if_match }
            }
        };
        self.write(ask, kind, act).await
    }

    async fn operation(
        &self,
        ask: Ask,
        kind: Option<Box<str>>,
        id: Option<Box<str>>,
        name: Box<str>,
    ) -> Result<Answer, Fault> {
        match (&*name, ask.verb) {
            ("validate", Verb::Post) => self.validate(&ask, kind.as_deref(), id.as_deref()).await,
            ("validate", Verb::Get) if id.is_some() => {
                self.validate(&ask, kind.as_deref(), id.as_deref()).await
            }
            ("process-message", Verb::Post) if kind.is_none() => {
                ask.caller.principal.may("Bundle", Permission::Create)?;
                self.process_message(&ask).await
            }
            ("validate" | "process-message", _) => {
                Err(Fault::new(405, "not-supported", "method", "this operation is posted"))
            }
            _ => self.extended(ask, kind, id, name).await,
        }
    }

    async fn extended(
        &self,
        ask: Ask,
        kind: Option<Box<str>>,
        id: Option<Box<str>>,
        name: Box<str>,
    ) -> Result<Answer, Fault> {
        ask.caller.principal.may(kind.as_deref().unwrap_or("*"), Permission::Read)?;
        let body = match &ask.sent {
            Sent::Bytes(bytes, name) if !bytes.is_empty() => {
                self.resource(bytes, name.as_deref())?
            }
            _ => Value::Null,
        };
        let call = Call {
            channel: (&*self.channel).into(),
            kind,
            id,
            name,
            query: ask.query.clone(),
            body,
            base: (&*ask.caller.base).into(),
            who: Arc::clone(&ask.caller.principal),
        };
        let unknown =
            || Fault::new(404, "not-supported", "operation", "there is no such operation");
        self.parts.extension.call(call).await.ok_or_else(unknown)?
    }

    /// Reads a resource: its media type, its JSON, its limits.
    pub(super) fn resource(&self, bytes: &Bytes, name: Option<&str>) -> Result<Value, Fault> {
        is_resource(name)?;
        self.json(bytes)
    }

    fn patch(&self, bytes: &Bytes, name: Option<&str>) -> Result<Value, Fault> {
        is_patch(name)?;
        let patch = self.json(bytes)?;
        let is_parameters = patch.get("resourceType").is_some_and(|kind| kind == "Parameters");
        if name.is_some_and(is_fhir_patch) && !is_parameters {
            return Err(bad("patch", "a patch of application/fhir+json is a Parameters resource"));
        }
        Ok(patch)
    }

    fn json(&self, bytes: &Bytes) -> Result<Value, Fault> {
        read(bytes, &self.rules.limits).map_err(|error| {
            let mut issue = Issue::error("structure", "json", error.to_string());
            issue.expression = Some(error.path).filter(|path| !path.is_empty());
            Fault { status: 400, issues: vec![issue] }
        })
    }

    /// A planner of somebody's writes at this moment.
    pub(super) fn planner<'a>(
        &'a self,
        now: Timestamp,
        reading: &'a Reading,
        submit: &'a Submission<'_>,
    ) -> Planner<'a> {
        Planner { store: &*self.parts.store, rules: &self.rules, now, reading, going: &[], submit }
    }

    /// How this caller's resources are looked at.
    pub(super) fn submission<'a>(&'a self, ask: &'a Ask) -> Submission<'a> {
        Submission { desk: self, who: &ask.caller.principal }
    }
}

/// Somebody's resources on their way in.
pub(super) struct Submission<'a> {
    desk: &'a Desk,
    who: &'a Principal,
}

impl Submit for Submission<'_> {
    fn submit(&self, previous: Option<&Value>, resource: &mut Value) -> Result<(), Fault> {
        let Desk { parts, channel, .. } = self.desk;
        parts.extension.submit(channel, self.who, previous, resource)
    }
}

/// The search of a conditional request: the query without what is about the answer's form.
fn condition(ask: &Ask) -> Option<Box<str>> {
    let meant = ask.query.iter().filter(|(name, _)| !is_about_form(name));
    let text = crate::source::fhir::ask::query_text(meant);
    (!text.is_empty()).then(|| text.into())
}

fn deed(ask: &Ask) -> Deed {
    let named = |name: &str, kind: &str, id: &str| Deed {
        name: name.into(),
        kind: kind.into(),
        id: id.into(),
    };
    let of_verb = match ask.verb {
        Verb::Get | Verb::Head => "read",
        Verb::Post => "create",
        Verb::Put => "update",
        Verb::Patch => "patch",
        Verb::Delete => "delete",
    };
    match &ask.route {
        Route::System if ask.verb.reads() => named("search", "", ""),
        Route::System => named("bundle", "", ""),
        Route::SystemSearch => named("search", "", ""),
        Route::Metadata | Route::Smart => named("capabilities", "", ""),
        Route::SystemHistory => named("history", "", ""),
        Route::Type(kind) if ask.verb.reads() => named("search", kind, ""),
        Route::Type(kind) => named(of_verb, kind, ""),
        Route::Search(kind) => named("search", kind, ""),
        Route::TypeHistory(kind) => named("history", kind, ""),
        Route::Instance(kind, id) => named(of_verb, kind, id),
        Route::History(kind, id) => named("history", kind, id),
        Route::Version(kind, id, _) => named("vread", kind, id),
        Route::Operation { kind, id, name } => named(
            &format!("${name}"),
            kind.as_deref().unwrap_or_default(),
            id.as_deref().unwrap_or_default(),
        ),
        Route::Unknown => named("unknown", "", ""),
    }
}

/// The id in `Location`: what a create made.
fn located(answer: &Answer) -> Box<str> {
    let location = answer.location.as_deref().unwrap_or_default();
    let before = location.split("/_history/").next().unwrap_or_default();
    before.rsplit('/').next().unwrap_or_default().into()
}
