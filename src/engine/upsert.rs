//! What channels make of HL7 v2 becomes versions of resources: the write path of FHIR clients, with a merge
//! into what is stored before.
//!
//! HL7 v2 says of absent fields nothing and of `""` that the value is to go: so elements that are absent
//! stay as they are stored, and those marked as removed are taken out (`mapping::to_fhir`). A write that
//! changes nothing makes no version, so that a repeat after a crash is none.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use crate::clock::Clock;
use crate::destination::DestinationName;
use crate::destination::resources::{WriteResources, WrittenResources};
use crate::fhir::json::read::{Limits, read};
use crate::fhir::json::resource_type;
use crate::fhir::search::Reading;
use crate::mapping::to_fhir::bundle::REMOVED;
use crate::message::kind::ContentType;
use crate::message::outcome::Outbound;
use crate::message::resource::Guard;
use crate::resources::fault::Fault;
use crate::resources::plan::{Change, Planner, Step, Submit, Validation, WriteRules};
use crate::resources::transaction::{self, EntryAct};
use crate::source::intake::{CONTROL_ID, EVENT, Intake, Received};
use crate::source::resource::{PreparedWrite, ResourceMessage, ResourceReply};
use crate::store::resources::ResourceStore;

/// Tries of one write; every try but the first means that another write was faster.
const TRIES: u32 = 16;

/// Writes for one destination.
pub struct ResourceWriter {
    from: DestinationName,
    store: Arc<dyn ResourceStore>,
    intake: Intake,
    clock: Clock,
    rules: WriteRules,
}

/// What became of one try.
enum Tried {
    Done(usize),
    Again,
    Failed(WrittenResources),
}

impl ResourceWriter {
    /// The writer of the destination `from`. What the maps make is validated like a client's resources.
    #[must_use]
    pub fn new(
        from: DestinationName,
        store: Arc<dyn ResourceStore>,
        intake: Intake,
        clock: Clock,
    ) -> Self {
        let rules = WriteRules {
            types: Vec::new(),
            update_creates: true,
            validation: Validation::Strict,
            limits: Limits::default(),
        };
        Self { from, store, intake, clock, rules }
    }

    async fn once(&self, channel: &str, entries: Vec<EntryAct>) -> Tried {
        let now = self.clock.now();
        let reading = Reading { base: "".into(), zone: TimeZone::UTC, now };
        let planner = Planner {
            store: &*self.store,
            rules: &self.rules,
            now,
            reading: &reading,
            going: &[],
            submit: &Merge,
        };
        let mut guards: Vec<Guard> = Vec::new();
        let steps = match transaction::plan(&planner, entries, &mut guards).await {
            Ok(steps) => steps,
            Err(fault) => return Tried::Failed(refused(&fault)),
        };
        let messages: Vec<ResourceMessage> = steps
            .into_iter()
            .filter_map(|(_, step)| match step {
                Step::Write(change) => Some(self.message(channel, *change)),
                Step::Stands(_) | Step::Nothing => None,
            })
            .collect();
        let new = messages.len();
        if new == 0 {
            return Tried::Done(0);
        }
        match self.intake.receive_resources(&*self.store, messages, guards).await {
            ResourceReply::Done(_) => Tried::Done(new),
            ResourceReply::Conflict { .. } | ResourceReply::Stale { .. } => Tried::Again,
            ResourceReply::Refused { problem, .. } => {
                Tried::Failed(WrittenResources::Refused(problem.text))
            }
            ResourceReply::Unavailable { reason } => {
                Tried::Failed(WrittenResources::Unavailable(reason))
            }
        }
    }

    fn message(&self, channel: &str, change: Change) -> ResourceMessage {
        let peer = format!("{}/{}", self.from.channel, self.from.destination);
        let mut received =
            Received::new(channel.into(), change.payload.clone(), change.write.at, peer);
        received.content_type = Some(ContentType::FhirJson);
        received.attributes.push((EVENT.into(), change.event().into()));
        received.attributes.push((CONTROL_ID.into(), change.name().into()));
        let Change { write, previous, current, .. } = change;
        ResourceMessage { received, write: Some(PreparedWrite { write, previous, current }) }
    }
}

#[async_trait]
impl WriteResources for ResourceWriter {
    async fn write(&self, channel: &str, outbound: &Outbound) -> WrittenResources {
        let document = match read(&outbound.body, &Limits::default()) {
            Ok(document) => document,
            Err(error) => return WrittenResources::Refused(error.to_string()),
        };
        let entries = match entries(&document, &outbound.id) {
            Ok(entries) => entries,
            Err(fault) => return refused(&fault),
        };
        for attempt in 0..TRIES {
            if attempt > 0 {
                let most = 1_u64 << attempt.min(6);
                let wait = std::time::Duration::from_millis(fastrand::u64(1..=most));
                tokio::time::sleep(wait).await;
            }
            match self.once(channel, entries.clone()).await {
                Tried::Done(new) => return WrittenResources::Stored { new },
                Tried::Again => {}
                Tried::Failed(written) => return written,
            }
        }
        let why = "others write the same resources all the time";
        WrittenResources::Unavailable(why.to_owned())
    }
}

/// A fault of the client is final; one of the store passes. Texts name elements and rules, never content.
fn refused(fault: &Fault) -> WrittenResources {
    let issue = fault.issues.first();
    let place = issue.and_then(|issue| issue.expression.as_deref());
    let said = issue.map(|issue| &*issue.text).unwrap_or_default();
    let text = match place {
        Some(place) => format!("{place}: {said}"),
        None => said.to_owned(),
    };
    match fault.status {
        409 | 429 | 500.. => WrittenResources::Unavailable(text),
        _ => WrittenResources::Refused(text),
    }
}

/// The entries that write. Resources without a request of their own are put under their id, else under one
/// that the delivery always has.
fn entries(document: &Value, delivery: &str) -> Result<Vec<EntryAct>, Fault> {
    let is_bundle = resource_type(document) == Some("Bundle");
    let given = document.get("entry").and_then(Value::as_array).filter(|_| is_bundle);
    let all: Vec<Value> = match given {
        Some(entries) => {
            entries.iter().enumerate().map(|(at, one)| with_request(one, delivery, at)).collect()
        }
        None => vec![with_request(&json!({"resource": document}), delivery, 0)],
    };
    let mut acts = Vec::with_capacity(all.len());
    for (at, entry) in all.iter().enumerate() {
        acts.extend(transaction::entry_act(at, entry, "")?);
    }
    Ok(acts)
}

fn with_request(entry: &Value, delivery: &str, at: usize) -> Value {
    let mut entry = entry.clone();
    let resource = entry.get("resource").unwrap_or(&Value::Null);
    if entry.get("request").is_some() {
        return entry;
    }
    let kind = resource_type(resource).unwrap_or_default();
    let id = resource.get("id").and_then(Value::as_str);
    let id = id.map_or_else(
        || if at == 0 { delivery.to_owned() } else { format!("{delivery}-{at}") },
        str::to_owned,
    );
    let request = json!({"method": "PUT", "url": format!("{kind}/{id}")});
    if let Value::Object(members) = &mut entry {
        members.insert("request".to_owned(), request);
    }
    entry
}

/// Merges a resource into the stored one.
struct Merge;

impl Submit for Merge {
    fn submit(&self, previous: Option<&Value>, resource: &mut Value) -> Result<(), Fault> {
        let removed = take_removed(resource);
        if let (Some(Value::Object(before)), Value::Object(new)) = (previous, &mut *resource) {
            *new = merged(before, std::mem::take(new), &removed);
        }
        Ok(())
    }
}

/// Takes the marks of removed elements out of `meta`.
fn take_removed(resource: &mut Value) -> Vec<String> {
    let Some(Value::Object(meta)) = resource.get_mut("meta") else { return Vec::new() };
    let Some(Value::Array(extensions)) = meta.get_mut("extension") else { return Vec::new() };
    let mut removed = Vec::new();
    extensions.retain(|one| {
        let marks = one.get("url").and_then(Value::as_str) == Some(REMOVED);
        if marks {
            removed.extend(one.get("valueString").and_then(Value::as_str).map(str::to_owned));
        }
        !marks
    });
    if extensions.is_empty() {
        meta.shift_remove("extension");
    }
    let nothing_left = meta.is_empty();
    if let (true, Value::Object(members)) = (nothing_left, resource) {
        members.shift_remove("meta");
    }
    removed
}

/// The stored resource with the new one's elements; without those removed. When nothing but the message
/// that said it is new, the stored resource stays as it is.
fn merged(
    before: &Map<String, Value>,
    new: Map<String, Value>,
    removed: &[String],
) -> Map<String, Value> {
    let mut after = before.clone();
    let mut meta = None;
    for (name, value) in new {
        match name.as_str() {
            "id" | "resourceType" => {}
            "meta" => meta = Some(value),
            _ => {
                drop_other_types(&mut after, &name);
                after.insert(name, value);
            }
        }
    }
    for path in removed {
        let steps: Vec<&str> = path.split('.').collect();
        take_out(&mut after, &steps);
    }
    if after == *before {
        return after;
    }
    if let Some(Value::Object(said)) = meta {
        let kept = after.entry("meta").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(kept) = kept {
            kept.extend(said);
        }
    }
    after
}

/// `deceasedDateTime` goes when `deceasedBoolean` comes: a choice has one value (R4 formats.html#choice).
fn drop_other_types(after: &mut Map<String, Value>, name: &str) {
    const CHOICES: [&str; 6] =
        ["deceased", "multipleBirth", "value", "effective", "onset", "occurrence"];
    let choice = CHOICES.iter().find(|choice| {
        name.strip_prefix(**choice).is_some_and(|rest| rest.starts_with(char::is_uppercase))
    });
    if let Some(choice) = choice {
        after.retain(|other, _| {
            let same = other
                .strip_prefix(*choice)
                .is_some_and(|rest| rest.starts_with(char::is_uppercase));
            !same || other == name
        });
    }
}

fn take_out(members: &mut Map<String, Value>, steps: &[&str]) {
    let Some((first, rest)) = steps.split_first() else { return };
    if rest.is_empty() {
        members.shift_remove(*first);
        members.shift_remove(&format!("_{first}"));
        return;
    }
    let emptied = match members.get_mut(*first) {
        Some(Value::Object(inner)) => {
            take_out(inner, rest);
            inner.is_empty()
        }
        Some(Value::Array(items)) => {
            for item in items.iter_mut() {
                if let Value::Object(inner) = item {
                    take_out(inner, rest);
                }
            }
            items.retain(|item| !item.as_object().is_some_and(Map::is_empty));
            items.is_empty()
        }
        _ => false,
    };
    if emptied {
        members.shift_remove(*first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(before: &Value, new: Value) -> Value {
        let mut new = new;
        Merge.submit(Some(before), &mut new).unwrap();
        new
    }

    fn stored() -> Value {
        json!({"resourceType": "Patient", "id": "p", "meta": {"versionId": "2", "source": "urn:uuid:a"},
            "name": [{"family": "Doe"}], "birthDate": "1984-02-03", "deceasedBoolean": false,
            "hospitalization": {"dischargeDisposition": {"text": "home"}}})
    }

    #[test]
    fn what_is_absent_stays_and_what_is_removed_goes() {
        let after = merge(
            &stored(),
            json!({"resourceType": "Patient", "id": "p", "gender": "female", "deceasedDateTime": "2026-01-01",
                "meta": {"source": "urn:uuid:b", "extension": [
                    {"url": REMOVED, "valueString": "birthDate"},
                    {"url": REMOVED, "valueString": "hospitalization.dischargeDisposition"}]}}),
        );
        assert_eq!(
            after,
            json!({"resourceType": "Patient", "id": "p", "meta": {"versionId": "2", "source": "urn:uuid:b"},
                "name": [{"family": "Doe"}], "gender": "female", "deceasedDateTime": "2026-01-01"})
        );
    }

    #[test]
    fn a_message_that_says_nothing_new_changes_nothing() {
        let again = json!({"resourceType": "Patient", "id": "p", "name": [{"family": "Doe"}],
            "meta": {"source": "urn:uuid:c"}});
        assert_eq!(merge(&stored(), again), stored());
    }

    #[test]
    fn a_new_resource_has_no_marks() {
        let mut new = json!({"resourceType": "Patient", "meta": {"extension": [
            {"url": REMOVED, "valueString": "birthDate"}]}, "gender": "male"});
        Merge.submit(None, &mut new).unwrap();
        assert_eq!(new, json!({"resourceType": "Patient", "gender": "male"}));
    }

    #[test]
    fn a_resource_alone_is_put_under_an_id_that_stays() {
        let ids = |document: Value| -> Vec<String> {
            let found = entries(&document, "d-1").unwrap();
            found.iter().map(|entry| format!("{} {:?}", entry.kind, entry.act)).collect()
        };
        let alone = ids(json!({"resourceType": "Patient", "active": true}));
        assert_eq!(alone.len(), 1);
        assert!(
            alone[0].starts_with("Patient Update") && alone[0].contains("\"d-1\""),
            "{alone:?}"
        );
        let several = ids(json!({"resourceType": "Bundle", "type": "collection", "entry": [
            {"resource": {"resourceType": "Patient", "id": "a"}}, {"resource": {"resourceType": "Encounter"}}]}));
        assert!(several[0].contains("\"a\"") && several[1].contains("\"d-1-1\""), "{several:?}");
    }
}
