//! One write: from what is asked to a version that is ready to be committed.

use serde_json::Value;
use uuid::Uuid;

use crate::fhir::json::read::{Limits, read, stored};
use crate::fhir::json::stamp::{stamp, unstamp};
use crate::fhir::json::{compact, resource_type};
use crate::fhir::outcome::Issue;
use crate::fhir::search::Reading;
use crate::fhir::validate::validate;
use crate::message::payload::Payload;
use crate::message::resource::{
    Criterion, Expect, Guard, Interaction, ResourceKey, ResourceVersion, ResourceWrite, Test,
};
use crate::message::time::Timestamp;
use crate::resources::condition::{Found, criteria_of, look_up, of_store};
use crate::resources::fault::{Fault, bad, gone, not_found, precondition};
use crate::resources::lens;
use crate::store::resources::ResourceStore;

/// Longest logical id (FHIR R4 datatypes.html#id).
const ID_CHARS_MAX: usize = 64;

/// How much a resource must keep to R4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Validation {
    /// An error refuses it: 422.
    #[default]
    Strict,
    /// It is taken; what is wrong is told.
    Warn,
    /// It is JSON and names its type; nothing else is asked.
    Off,
}

/// What writes keep to.
#[derive(Debug, Clone)]
pub struct WriteRules {
    /// Resource types that are taken; empty: all of R4.
    pub types: Vec<Box<str>>,
    /// Whether a client may choose the id of a new resource (`PUT Type/new-id`).
    pub update_creates: bool,
    /// How much a resource must keep to R4.
    pub validation: Validation,
    /// How large and how deep a resource may be: what came within them may outgrow them by a patch.
    pub limits: Limits,
}

impl WriteRules {
    /// Whether this type is taken here.
    ///
    /// # Errors
    /// 404 when it is not.
    pub fn check_kind(&self, kind: &str) -> Result<(), Fault> {
        if !lens::is_resource(kind) {
            return Err(not_found("FHIR R4 has no such resource type"));
        }
        if self.types.is_empty() || self.types.iter().any(|one| **one == *kind) {
            return Ok(());
        }
        Err(Fault::new(404, "not-supported", "type", "this resource type is not taken here"))
    }

    /// Criteria without their ways into types that are not served here.
    ///
    /// # Errors
    /// 404 when a criterion has no other way.
    pub fn served(&self, criteria: Vec<Criterion>) -> Result<Vec<Criterion>, Fault> {
        criteria
            .into_iter()
            .map(|mut criterion| {
                let mut fault = None;
                let mut served = Vec::with_capacity(criterion.any.len());
                for test in criterion.any {
                    match self.served_test(test) {
                        Ok(test) => served.push(test),
                        Err(found) => fault = Some(found),
                    }
                }
                criterion.any = served;
                match fault {
                    Some(fault) if criterion.any.is_empty() => Err(fault),
                    _ => Ok(criterion),
                }
            })
            .collect()
    }

    fn served_test(&self, test: Test) -> Result<Test, Fault> {
        let Some((kind, further)) = test.elsewhere() else { return Ok(test) };
        self.check_kind(kind)?;
        let further = self.served(vec![further.clone()])?.pop();
        let further = Box::new(further.ok_or_else(|| not_found("the chain leads nowhere"))?);
        Ok(match test {
            Test::Has { kind, param, .. } => Test::Has { kind, param, criterion: further },
            Test::Chain { kind, .. } => Test::Chain { kind, criterion: further },
            test => test,
        })
    }

    /// Refuses what a patch let grow beyond what would be taken as a whole.
    fn check_size(&self, kind: &str, resource: &Value) -> Result<(), Fault> {
        read(&compact(resource), &self.limits).map(drop).map_err(|error| {
            let text = format!("after the patch, {}", error.fault);
            Fault::new(422, "too-long", "patch", text).at(kind)
        })
    }

    /// Validates a resource; answers what is worth telling although it is taken.
    ///
    /// # Errors
    /// 400 when it is no resource of this type, 422 when validation refuses it.
    pub fn check(&self, kind: &str, resource: &Value) -> Result<Vec<Issue>, Fault> {
        if resource_type(resource) != Some(kind) {
            let text = format!("the body must be a resource of type {kind}");
            return Err(bad("type", text).at("resourceType"));
        }
        if self.validation == Validation::Off {
            return Ok(Vec::new());
        }
        let issues = validate(resource);
        let wrong = issues.iter().any(|issue| matches!(issue.severity, "error" | "fatal"));
        if wrong && self.validation == Validation::Strict {
            return Err(Fault { status: 422, issues });
        }
        Ok(issues)
    }
}

/// A resource as it came: its value, and its bytes when they came alone.
#[derive(Debug, Clone)]
pub struct Body {
    /// The resource.
    pub value: Value,
    /// The bytes as received; `None` for an entry of a bundle, whose text is made again.
    pub bytes: Option<Payload>,
}

/// Which resource is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// By its id.
    Id(Box<str>),
    /// By a search (`identifier=…`), which must name at most one.
    Where(Box<str>),
}

/// What is asked.
#[derive(Debug, Clone)]
pub enum Act {
    /// `POST Type`, perhaps with `If-None-Exist`.
    Create {
        /// The resource.
        body: Body,
        /// The search that must find nothing.
        unless: Option<Box<str>>,
    },
    /// `PUT`.
    Update {
        /// Which.
        target: Target,
        /// The resource.
        body: Body,
        /// `If-Match`.
        if_match: Option<u64>,
    },
    /// `PATCH` with a JSON Patch.
    Patch {
        /// Which.
        target: Target,
        /// The patch.
        patch: Value,
        /// `If-Match`.
        if_match: Option<u64>,
    },
    /// `DELETE`.
    Delete {
        /// Which.
        target: Target,
        /// `If-Match`.
        if_match: Option<u64>,
    },
}

/// A version ready to be written, and the message that carries it.
#[derive(Debug, Clone)]
pub struct Change {
    /// The version.
    pub write: ResourceWrite,
    /// The resource before; `None` when there was none or it was deleted.
    pub previous: Option<Value>,
    /// The resource after; `None` for a delete.
    pub current: Option<Value>,
    /// The message's bytes.
    pub payload: Payload,
    /// What a client should know although it was taken.
    pub remarks: Vec<Issue>,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Step {
    /// This version is written.
    Write(Box<Change>),
    /// Nothing: this version is there and stays.
    Stands(Box<ResourceVersion>),
    /// Nothing: there is nothing to delete.
    Nothing,
}

impl Change {
    /// `Patient^update`.
    #[must_use]
    pub fn event(&self) -> String {
        format!("{}^{}", self.write.key.kind, self.write.interaction.name())
    }

    /// `Patient/1/_history/2`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/_history/{}", self.write.key, self.write.version)
    }

    /// Whether a client sees a new resource: 201.
    #[must_use]
    pub const fn creates(&self) -> bool {
        self.previous.is_none() && self.current.is_some()
    }
}

/// Which resource an act is about, as the store has it.
#[derive(Debug, Clone)]
pub enum Resolved {
    /// A conditional create found this one: it stays.
    Stands(Box<ResourceVersion>),
    /// A resource that is there, or was (a deleted version).
    Current(Box<ResourceVersion>),
    /// A new resource under an id of the engine's.
    New(Box<str>),
    /// A new resource under the client's id.
    Chosen(Box<str>),
    /// None, and none is needed.
    Nothing,
}

impl Resolved {
    /// The id the resource has, or will have.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Stands(version) | Self::Current(version) => Some(&version.key.id),
            Self::New(id) | Self::Chosen(id) => Some(id),
            Self::Nothing => None,
        }
    }
}

/// Plans writes against what the store holds now.
#[derive(Clone, Copy)]
pub struct Planner<'a> {
    /// Where resources are.
    pub store: &'a dyn ResourceStore,
    /// What writes keep to.
    pub rules: &'a WriteRules,
    /// The moment of the request.
    pub now: Timestamp,
    /// How values to search by are read.
    pub reading: &'a Reading,
    /// Resources that the same transaction deletes: no condition finds them.
    pub going: &'a [ResourceKey],
    /// Looks at a resource before it is validated, with the resource before; may complete or refuse it.
    pub submit: &'a dyn Submit,
}

/// Looks at resources on their way in.
pub trait Submit: Send + Sync {
    /// Completes a resource, or refuses it. `previous` is the resource before, when there is one.
    ///
    /// # Errors
    /// When it cannot be taken.
    fn submit(&self, previous: Option<&Value>, resource: &mut Value) -> Result<(), Fault>;
}

/// Takes resources as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct AsTheyAre;

impl Submit for AsTheyAre {
    fn submit(&self, _: Option<&Value>, _: &mut Value) -> Result<(), Fault> {
        Ok(())
    }
}

impl Planner<'_> {
    /// Plans one act; what must hold besides the version goes to `guards`.
    ///
    /// # Errors
    /// When it cannot be done, as the client is to be told.
    pub async fn plan(&self, kind: &str, act: Act, guards: &mut Vec<Guard>) -> Result<Step, Fault> {
        let resolved = self.resolve(kind, &act, guards).await?;
        self.step(kind, act, resolved)
    }

    /// Finds out which resource is meant.
    ///
    /// # Errors
    /// When that cannot be said, or the act cannot be done to it.
    pub async fn resolve(
        &self,
        kind: &str,
        act: &Act,
        guards: &mut Vec<Guard>,
    ) -> Result<Resolved, Fault> {
        self.rules.check_kind(kind)?;
        let (target, if_match) = match act {
            Act::Create { unless, .. } => return self.resolve_create(kind, unless, guards).await,
            Act::Update { target, if_match, .. }
            | Act::Patch { target, if_match, .. }
            | Act::Delete { target, if_match } => (target, *if_match),
        };
        let (current, guard) = match target {
            Target::Id(id) => (self.current(kind, id).await?, None),
            Target::Where(query) => {
                let found = self.look_up(kind, query).await?;
                (found.one, Some(found.guard))
            }
        };
        match_version(if_match, current.as_ref().map(|current| current.version))?;
        let there = current.as_ref().is_some_and(|current| !current.is_deleted());
        match (act, current) {
            (Act::Update { body, .. }, current) => {
                self.resolve_update(kind, target, body, current, guard, guards).await
            }
            (Act::Delete { .. }, Some(current)) if there => {
                Ok(Resolved::Current(Box::new(current)))
            }
            (Act::Delete { .. }, _) => Ok(Resolved::Nothing),
            (_, Some(current)) if there => Ok(Resolved::Current(Box::new(current))),
            (_, Some(_)) => Err(gone()),
            (_, None) => Err(not_found("there is no such resource")),
        }
    }

    async fn resolve_create(
        &self,
        kind: &str,
        unless: &Option<Box<str>>,
        guards: &mut Vec<Guard>,
    ) -> Result<Resolved, Fault> {
        if let Some(query) = unless {
            let found = self.look_up(kind, query).await?;
            if let Some(one) = found.one {
                return Ok(Resolved::Stands(Box::new(one)));
            }
            guards.push(found.guard);
        }
        Ok(Resolved::New(new_id().into()))
    }

    /// FHIR R4 http.html#update, #upsert, #cond-update.
    async fn resolve_update(
        &self,
        kind: &str,
        target: &Target,
        body: &Body,
        current: Option<ResourceVersion>,
        guard: Option<Guard>,
        guards: &mut Vec<Guard>,
    ) -> Result<Resolved, Fault> {
        let own = body.value.get("id").and_then(Value::as_str);
        let wrong_id = |text: &str| Err(bad("id", text).at(format!("{kind}.id")));
        match (target, current) {
            (Target::Id(id), _) if own != Some(&**id) => {
                wrong_id("the resource must carry the id of the URL")
            }
            (Target::Where(_), Some(current)) if own.is_some_and(|own| *own != *current.key.id) => {
                wrong_id("the resource carries another id than the one that matches")
            }
            (_, Some(current)) => Ok(Resolved::Current(Box::new(current))),
            (Target::Id(_), None) if !self.rules.update_creates => {
                let text = "clients cannot choose ids here; create the resource by POST";
                Err(Fault::new(405, "not-supported", "update-creates", text))
            }
            (Target::Id(id), None) => Ok(Resolved::Chosen(id.clone())),
            (Target::Where(_), None) => {
                guards.extend(guard);
                let Some(own) = own else { return Ok(Resolved::New(new_id().into())) };
                if self.current(kind, own).await?.is_some() {
                    let text = "nothing matches, but a resource with this id is there";
                    return Err(Fault::new(409, "conflict", "id", text));
                }
                let chosen = self.rules.update_creates;
                Ok(if chosen {
                    Resolved::Chosen(own.into())
                } else {
                    Resolved::New(new_id().into())
                })
            }
        }
    }

    /// The step of an act whose resource is known.
    ///
    /// # Errors
    /// When the resource is refused.
    pub fn step(&self, kind: &str, act: Act, resolved: Resolved) -> Result<Step, Fault> {
        let (act, current) = match (act, resolved) {
            (_, Resolved::Stands(version)) => return Ok(Step::Stands(version)),
            (_, Resolved::Nothing) => return Ok(Step::Nothing),
            (Act::Create { body, .. }, Resolved::New(id) | Resolved::Chosen(id)) => {
                return self.first(ResourceKey::new(kind, &id), Interaction::Create, body);
            }
            (Act::Update { body, .. }, Resolved::New(id)) => {
                return self.first(ResourceKey::new(kind, &id), Interaction::Create, body);
            }
            (Act::Update { body, .. }, Resolved::Chosen(id)) => {
                return self.first(ResourceKey::new(kind, &id), Interaction::Update, body);
            }
            (act, Resolved::Current(current)) => (act, current),
            (_, Resolved::New(_) | Resolved::Chosen(_)) => {
                return Err(not_found("there is no such resource"));
            }
        };
        match act {
            Act::Update { body, .. } | Act::Create { body, .. } => self.next(&current, body),
            Act::Patch { patch, .. } => self.patched(&current, &patch),
            Act::Delete { .. } => Ok(deleted(&current, self.now)),
        }
    }

    fn first(
        &self,
        key: ResourceKey,
        interaction: Interaction,
        mut body: Body,
    ) -> Result<Step, Fault> {
        self.submit.submit(None, &mut body.value)?;
        keep_sealed(&key.kind, &mut body);
        let remarks = self.rules.check(&key.kind, &body.value)?;
        let place = Place { key, expect: Expect::Absent, version: 1, at: self.now, interaction };
        Ok(version(place, None, body, remarks, self.reading))
    }

    fn next(&self, current: &ResourceVersion, mut body: Body) -> Result<Step, Fault> {
        let before = live(current);
        self.submit.submit(before.as_ref(), &mut body.value)?;
        keep_sealed(&current.key.kind, &mut body);
        let remarks = self.rules.check(&current.key.kind, &body.value)?;
        if before.as_ref().is_some_and(|before| same_content(before, &body.value)) {
            return Ok(Step::Stands(Box::new(current.clone())));
        }
        let place = self.after(current, Interaction::Update);
        Ok(version(place, before, body, remarks, self.reading))
    }

    fn patched(&self, current: &ResourceVersion, patch: &Value) -> Result<Step, Fault> {
        let before = live(current).ok_or_else(gone)?;
        let mut after = lens::patched(&before, patch)?;
        self.rules.check_size(&current.key.kind, &after)?;
        let fixed = |value: &Value| (value.get("id").cloned(), value.get("resourceType").cloned());
        if fixed(&before) != fixed(&after) {
            let text = "a patch cannot change the id or the type of a resource";
            return Err(Fault::new(422, "business-rule", "patch", text));
        }
        self.submit.submit(Some(&before), &mut after)?;
        let remarks = self.rules.check(&current.key.kind, &after)?;
        if same_content(&before, &after) {
            return Ok(Step::Stands(Box::new(current.clone())));
        }
        unstamp(&mut after);
        let body = Body { value: after, bytes: None };
        let place = self.after(current, Interaction::Patch);
        Ok(version(place, Some(before), body, remarks, self.reading))
    }

    /// A version is never older than the one before it, whatever the machine's clock did.
    fn after(&self, current: &ResourceVersion, interaction: Interaction) -> Place {
        Place {
            key: current.key.clone(),
            expect: Expect::Version(current.version),
            version: current.version + 1,
            at: self.now.max(current.at),
            interaction,
        }
    }

    /// Looks a condition up, among what is served here and stays.
    ///
    /// # Errors
    /// When it cannot be understood or finds more than one.
    pub async fn look_up(&self, kind: &str, query: &str) -> Result<Found, Fault> {
        self.rules.check_kind(kind)?;
        let criteria = self.rules.served(criteria_of(kind, query, self.reading)?)?;
        look_up(self.store, kind, criteria, self.going).await
    }

    async fn current(&self, kind: &str, id: &str) -> Result<Option<ResourceVersion>, Fault> {
        check_id(id)?;
        self.store.resource(&ResourceKey::new(kind, id)).await.map_err(of_store)
    }
}

/// Where a new version stands.
struct Place {
    key: ResourceKey,
    expect: Expect,
    version: u64,
    at: Timestamp,
    interaction: Interaction,
}

/// What is secret in a Subscription was sealed on its way in: the log keeps what the store keeps, not the
/// bytes as they came.
fn keep_sealed(kind: &str, body: &mut Body) {
    if kind == "Subscription" {
        body.bytes = None;
    }
}

fn version(
    place: Place,
    previous: Option<Value>,
    body: Body,
    remarks: Vec<Issue>,
    reading: &Reading,
) -> Step {
    let Place { key, expect, version, at, interaction } = place;
    let mut current = body.value;
    stamp(&mut current, &key.id, version, at);
    let stored = Payload::new(compact(&current));
    let payload = body.bytes.unwrap_or_else(|| stored.clone());
    let index = lens::values(&current, reading);
    let body = stored;
    let write = ResourceWrite { key, expect, version, interaction, at, message: None, body, index };
    Step::Write(Box::new(Change { write, previous, current: Some(current), payload, remarks }))
}

fn deleted(current: &ResourceVersion, now: Timestamp) -> Step {
    let ResourceKey { kind, id } = &current.key;
    let named = serde_json::json!({"resourceType": kind, "id": id});
    let write = ResourceWrite {
        key: current.key.clone(),
        expect: Expect::Version(current.version),
        version: current.version + 1,
        interaction: Interaction::Delete,
        at: now.max(current.at),
        message: None,
        body: Payload::default(),
        index: Vec::new(),
    };
    let payload = Payload::new(compact(&named));
    let (previous, current) = (live(current), None);
    Step::Write(Box::new(Change { write, previous, current, payload, remarks: Vec::new() }))
}

/// The resource of a version; `None` when it is deleted.
#[must_use]
pub fn live(version: &ResourceVersion) -> Option<Value> {
    if version.is_deleted() {
        return None;
    }
    stored(version.body.expose())
}

/// Whether two resources differ in nothing but what the server decides.
fn same_content(one: &Value, other: &Value) -> bool {
    let (mut one, mut other) = (one.clone(), other.clone());
    unstamp(&mut one);
    unstamp(&mut other);
    one == other
}

/// FHIR R4 http.html#concurrency.
fn match_version(wanted: Option<u64>, current: Option<u64>) -> Result<(), Fault> {
    match wanted {
        Some(wanted) if current != Some(wanted) => {
            let text = "the version named by If-Match is not the current one";
            Err(precondition("conflict", "version", text))
        }
        _ => Ok(()),
    }
}

/// FHIR R4 datatypes.html#id.
///
/// # Errors
/// 400 when the text is no id.
pub fn check_id(id: &str) -> Result<(), Fault> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let is_id = !id.is_empty() && id.len() <= ID_CHARS_MAX && id.chars().all(fits);
    let none = || bad("id", "an id has 1 to 64 of the characters A-Z, a-z, 0-9, - and .");
    is_id.then_some(()).ok_or_else(none)
}

/// An id that no resource has.
#[must_use]
pub fn new_id() -> String {
    Uuid::now_v7().hyphenated().to_string()
}
