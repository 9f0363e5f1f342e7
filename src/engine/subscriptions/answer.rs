//! What FHIR endpoints ask of subscriptions: a look at what is submitted, `$status`, `$events`, and what the
//! `CapabilityStatement` says of topics.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::engine::subscriptions::vault::Vault;
use crate::engine::subscriptions::{Live, Subscriptions, owner};
use crate::fhir::outcome;
use crate::fhir::search::request::{Limits, criteria};
use crate::fhir::subscription::event::{self, Event};
use crate::fhir::subscription::notification::{About, Kind, bundle, status_set};
use crate::fhir::subscription::read::coerced;
use crate::fhir::subscription::topic::Topic;
use crate::fhir::subscription::{BACKPORT, Content, Dialect, Issue, Status, Subscription, header};
use crate::message::id::MessageId;
use crate::message::resource::{ResourceKey, ResourceQuery, ResourceVersion};
use crate::message::secret::Secret;
use crate::resources::fault::Fault;
use crate::source::fhir::access::Principal;
use crate::source::fhir::access::scope::Permission;
use crate::source::fhir::answer::Answer;
use crate::source::fhir::extension::{Call, Extension, Offered};
use crate::store::StoreError;

/// Events in one answer of `$events`.
const EVENTS_MAX: u64 = 200;
/// Subscriptions that are off, read at once.
const OFF_PAGE: u32 = 500;
/// The backport's CapabilityStatement of a server of R4.
const SERVER: &str = "http://hl7.org/fhir/uv/subscriptions-backport/CapabilityStatement/backport-subscription-server-r4";
/// Where the backport's operations are defined.
const OPERATIONS: &str = "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/";

/// The subscriptions of a running engine, as endpoints know them.
#[derive(Clone)]
pub struct Door(pub Arc<Subscriptions>);

#[async_trait]
impl Extension for Door {
    fn offers(&self, _: &str) -> Vec<Offered> {
        let offered = |name: &str| Offered {
            kind: "Subscription".into(),
            name: name.into(),
            definition: format!("{OPERATIONS}backport-subscription-{name}").into(),
        };
        vec![offered("status"), offered("events")]
    }

    fn describe(&self, channel: &str, statement: &mut Value) {
        if let Some(members) = statement.as_object_mut() {
            members.insert("instantiates".to_owned(), json!([SERVER]));
            if let Some(since) = self.0.since(channel) {
                members.insert("date".to_owned(), Value::from(since.to_string()));
            }
        }
        let topics = self.0.topics(channel);
        let extensions: Vec<Value> = topics
            .iter()
            .map(|topic| {
                json!({
                    "url": format!("{BACKPORT}capabilitystatement-subscriptiontopic-canonical"),
                    "valueCanonical": topic.canonical,
                })
            })
            .collect();
        let entries = statement.pointer_mut("/rest/0/resource").and_then(Value::as_array_mut);
        for entry in entries.into_iter().flatten() {
            if entry.get("type").is_some_and(|kind| kind == "Subscription")
                && let Some(members) = entry.as_object_mut()
            {
                members.insert("extension".to_owned(), Value::from(extensions.clone()));
            }
        }
    }

    fn submit(
        &self,
        channel: &str,
        who: &Principal,
        previous: Option<&Value>,
        resource: &mut Value,
    ) -> Result<(), Fault> {
        if resource.get("resourceType").is_none_or(|kind| kind != "Subscription") {
            return Ok(());
        }
        let wanted = self.0.submitted(channel, (previous, who), resource).map_err(refused)?;
        // Whoever may not read what it tells of may not be told.
        wanted.iter().try_for_each(|kind| who.may(kind, Permission::Read))
    }

    fn secret(&self, key: &ResourceKey, secret: &Secret) -> Result<(), Fault> {
        if &*key.kind != "Subscription" {
            return Ok(());
        }
        self.0.first_secret(&key.id, secret)
    }

    fn written(&self, _: &str, key: &ResourceKey, _: u64, _: Option<&Value>) {
        if &*key.kind == "Subscription" {
            self.0.wake(&key.id);
        }
    }

    async fn call(&self, call: Call) -> Option<Result<Answer, Fault>> {
        if call.kind.as_deref() != Some("Subscription") {
            return None;
        }
        match &*call.name {
            "status" => Some(self.0.status_of(&call).await),
            "events" => Some(self.0.events_of(&call).await),
            _ => None,
        }
    }
}

/// FHIR R4 http.html#create: 422 for what breaks a rule of the server.
fn refused(issues: Vec<Issue>) -> Fault {
    let issues = issues.into_iter().map(|issue| outcome::Issue {
        expression: Some(issue.expression.to_string()),
        ..outcome::Issue::error(issue.code, "subscription", issue.text)
    });
    Fault { status: 422, issues: issues.collect() }
}

fn failed(error: &StoreError) -> Fault {
    Fault::new(503, "transient", "store", error.to_string())
}

/// A Subscription that is off.
struct Off {
    id: Box<str>,
    topic: Option<String>,
    events: u64,
    error: Option<String>,
}

impl Off {
    fn about<'a>(&'a self, base: &'a str) -> About<'a> {
        About {
            base,
            subscription: &self.id,
            topic: self.topic.as_deref(),
            status: Status::Off,
            kind: Kind::QueryStatus,
            events: self.events,
            error: self.error.as_deref(),
        }
    }
}

impl Subscriptions {
    /// A Subscription as it is stored: understood, its status coerced, its secrets sealed, its writer known.
    /// Answers the types that it tells of.
    fn submitted(
        &self,
        channel: &str,
        (previous, who): (Option<&Value>, &Principal),
        resource: &mut Value,
    ) -> Result<Vec<Box<str>>, Vec<Issue>> {
        let mut stored = coerced(resource, previous).map_err(|issue| vec![issue])?;
        owner::mark(&mut stored, previous, who, &self.vault).map_err(|error| {
            let text = format!("who wrote it cannot be kept: {error}");
            vec![Issue::new("exception", "Subscription.extension", text)]
        })?;
        let understood = self.understood(channel, &stored)?;
        let at = "Subscription.channel.endpoint";
        if understood.status != Status::Off {
            self.board
                .check(&understood.endpoint)
                .map_err(|text| vec![Issue::new("security", at, text)])?;
            if understood.end.is_some_and(|end| end <= self.ground.clock.now()) {
                let text = "`end` lies in the past: nothing would be sent";
                return Err(vec![Issue::new("value", "Subscription.end", text)]);
            }
        }
        // What was sealed for one endpoint is sent to no other, nor by another subscription.
        let sealed_before = previous
            .filter(|before| {
                let endpoint = "/channel/endpoint";
                before.pointer(endpoint) == stored.pointer(endpoint)
            })
            .and_then(|before| before.pointer("/channel/header")?.as_array());
        if let Some(Value::Array(headers)) = stored.pointer_mut("/channel/header") {
            for entry in headers {
                let Some((name, value)) = entry.as_str().and_then(|text| text.split_once(':'))
                else {
                    continue;
                };
                if Vault::is_sealed(value) {
                    if sealed_before.is_some_and(|before| before.contains(entry)) {
                        continue;
                    }
                    let text = "a sealed header is taken back only as it was, for the same \
                                endpoint: send the value itself";
                    return Err(vec![Issue::new("security", "Subscription.channel.header", text)]);
                }
                if !header::is_secret(name) {
                    continue;
                }
                let sealed = self.vault.sealed(value.trim()).map_err(|error| {
                    let text = format!("the header cannot be kept secret: {error}");
                    vec![Issue::new("exception", "Subscription.channel.header", text)]
                })?;
                *entry = Value::from(format!("{name}: {sealed}"));
            }
        }
        *resource = stored;
        match understood.status {
            Status::Off => Ok(Vec::new()),
            _ => Ok(self.types_of(channel, &understood)),
        }
    }

    /// The types that a subscription tells of.
    fn types_of(&self, channel: &str, subscription: &Subscription) -> Vec<Box<str>> {
        match &subscription.dialect {
            Dialect::Search { kind, .. } => vec![kind.clone()],
            Dialect::Topic { canonical, .. } => {
                let topics = self.topics(channel);
                let found = topics.iter().filter(|topic| topic.is(canonical));
                found.flat_map(Topic::types).collect()
            }
        }
    }

    /// `$status` (backport OperationDefinition-backport-subscription-status).
    async fn status_of(&self, call: &Call) -> Result<Answer, Fault> {
        let (ids, statuses) = (parameters(call, "id"), parameters(call, "status"));
        let wanted = |live: &Live| match &call.id {
            Some(id) => *live.id == **id,
            None => {
                (ids.is_empty() || ids.iter().any(|id| **id == *live.id))
                    && (statuses.is_empty()
                        || statuses.iter().any(|status| status == live.status().name()))
            }
        };
        let found: Vec<Arc<Live>> = self.all().into_iter().filter(|live| wanted(live)).collect();
        if found.is_empty()
            && let Some(id) = &call.id
        {
            let off = self.one_off(id).await?;
            return Ok(Answer::of(200, self.status_bundle(call, &[off.about(&call.base)])));
        }
        let mut abouts = Vec::new();
        for live in &found {
            let events = self.ground.store.event_count(live.destination).await;
            abouts.push(About {
                base: &call.base,
                subscription: &live.id,
                topic: live.subscription.topic(),
                status: live.status(),
                kind: Kind::QueryStatus,
                events: events.map_err(|error| failed(&error))?.last,
                error: live.error.as_deref(),
            });
        }
        let off = match &call.id {
            None => self.off(&ids, &statuses).await?,
            Some(_) => Vec::new(),
        };
        for one in &off {
            abouts.push(one.about(&call.base));
        }
        Ok(Answer::of(200, self.status_bundle(call, &abouts)))
    }

    /// A Subscription that is off has its counter too.
    async fn one_off(&self, id: &str) -> Result<Off, Fault> {
        let store = &self.ground.store;
        let stored = store.resource(&ResourceKey::new("Subscription", id)).await;
        let stored = stored.map_err(|error| failed(&error))?;
        let stored = stored.filter(|stored| !stored.is_deleted()).ok_or_else(|| {
            Fault::new(404, "not-found", "subscription", "there is no such Subscription")
        })?;
        self.off_as_stored(&stored).await
    }

    async fn off_as_stored(&self, stored: &ResourceVersion) -> Result<Off, Fault> {
        let id = &stored.key.id;
        let body: Value = serde_json::from_slice(stored.body.expose()).unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let events = match self.destination_of(id) {
            Some(destination) => {
                let count = self.ground.store.event_count(destination).await;
                count.map_err(|error| failed(&error))?.last
            }
            None => 0,
        };
        let topic = text("criteria").filter(|criteria| !criteria.contains('?'));
        Ok(Off { id: id.clone(), topic, events, error: text("error") })
    }

    /// All that are off, or those of these ids.
    async fn off(&self, ids: &[String], statuses: &[String]) -> Result<Vec<Off>, Fault> {
        if !statuses.is_empty() && !statuses.iter().any(|status| status == Status::Off.name()) {
            return Ok(Vec::new());
        }
        let reading = self.reading("");
        let criteria = criteria("Subscription", "status=off", &reading, &Limits::default());
        let mut query = ResourceQuery {
            kind: "Subscription".into(),
            criteria: criteria.unwrap_or_default(),
            limit: OFF_PAGE,
            ..ResourceQuery::default()
        };
        let mut found = Vec::new();
        loop {
            let page = self.ground.store.resource_search(&query).await;
            let page = page.map_err(|error| failed(&error))?;
            for stored in page.matches {
                if ids.is_empty() || ids.iter().any(|id| **id == *stored.key.id) {
                    found.push(self.off_as_stored(&stored).await?);
                }
            }
            query.page = page.next;
            if query.page.is_none() {
                return Ok(found);
            }
        }
    }

    fn status_bundle(&self, call: &Call, abouts: &[About<'_>]) -> Value {
        let url = match &call.id {
            Some(id) => format!("{}/Subscription/{id}/$status", call.base),
            None => format!("{}/Subscription/$status", call.base),
        };
        let id = Uuid::from_bytes(MessageId::new().to_bytes());
        status_set(&url, abouts, id, self.ground.clock.now())
    }

    /// `$events` (backport OperationDefinition-backport-subscription-events).
    async fn events_of(&self, call: &Call) -> Result<Answer, Fault> {
        let live = call.id.as_deref().and_then(|id| self.live(id)).ok_or_else(|| {
            Fault::new(404, "not-found", "subscription", "there is no such active Subscription")
        })?;
        // It says what was sent to another: its owner may ask, and who may read and change everything.
        if let Some(owner) = &live.owner
            && (&*owner.name, owner.means) != (&*call.who.name, call.who.means)
        {
            call.who.may("*", Permission::Read)?;
            call.who.may("*", Permission::Update)?;
        }
        let number = |name: &str, usual: u64| match parameters(call, name).first() {
            None => Ok(usual),
            Some(text) => text.parse::<u64>().map_err(|_| {
                Fault::new(400, "value", "number", format!("`{name}` is no whole number"))
            }),
        };
        let last = self.ground.store.event_count(live.destination).await;
        let last = last.map_err(|error| failed(&error))?.last;
        let from = number("eventsSinceNumber", 1)?.max(1);
        let until = number("eventsUntilNumber", last)?.min(last);
        let content = match parameters(call, "content").first() {
            None => live.subscription.content,
            Some(code) => Content::from_name(code).ok_or_else(|| {
                let text = "`content` is one of empty, id-only, full-resource";
                Fault::new(400, "value", "content", text)
            })?,
        };
        // More than was asked for at creation would get around what was allowed then.
        let content = match (content, live.subscription.content) {
            (_, Content::Empty) => Content::Empty,
            (Content::FullResource, Content::IdOnly) => Content::IdOnly,
            (content, _) => content,
        };
        let until = until.min(from.saturating_add(EVENTS_MAX - 1));
        let events = self.events(&live, from, until).await.map_err(|error| failed(&error))?;
        for event in &events {
            call.who.may(&event.focus.kind, Permission::Read)?;
        }
        let about = About {
            base: &call.base,
            subscription: &live.id,
            topic: live.subscription.topic(),
            status: live.status(),
            kind: Kind::QueryEvent,
            events: last,
            error: live.error.as_deref(),
        };
        let id = Uuid::from_bytes(MessageId::new().to_bytes());
        let now = self.ground.clock.now();
        Ok(Answer::of(200, bundle(&about, content, &events, id, now)))
    }

    /// Events by number, as far as the log still has them.
    pub(super) async fn events(
        &self,
        live: &Live,
        from: u64,
        until: u64,
    ) -> Result<Vec<Event>, StoreError> {
        if from > until {
            return Ok(Vec::new());
        }
        let limit = u32::try_from(EVENTS_MAX).unwrap_or(u32::MAX);
        let store = &self.ground.store;
        let places = store.events(live.destination, from, until, limit).await?;
        let seqs: Vec<_> = places.iter().map(|(_, seq)| *seq).collect();
        let messages = store.messages(&seqs).await?;
        let mut events = Vec::new();
        for (number, seq) in places {
            let Some(message) = messages.iter().find(|message| message.seq == seq) else {
                continue;
            };
            let envelope = &message.envelope;
            let control_id = envelope.control_id.expose();
            let payload = message.payload.expose();
            events.extend(event::read(
                &envelope.event,
                control_id,
                envelope.received_at,
                payload,
                number,
            ));
        }
        Ok(events)
    }
}

/// A parameter of the URL or of a Parameters body.
fn parameters(call: &Call, name: &str) -> Vec<String> {
    let query = call.query.iter().filter(|(key, _)| key == name);
    let mut found: Vec<String> =
        query.flat_map(|(_, value)| value.split(',')).map(str::to_owned).collect();
    let list = call.body.get("parameter").and_then(Value::as_array);
    for one in list.into_iter().flatten() {
        if one.get("name").is_some_and(|own| own == name)
            && let Some(members) = one.as_object()
            && let Some((_, value)) = members.iter().find(|(key, _)| key.starts_with("value"))
        {
            found.push(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
    }
    found
}
