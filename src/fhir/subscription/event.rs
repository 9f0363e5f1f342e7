//! An event of a subscription, read out of a stored message of FHIR origin.
//!
//! Such a message has the event `Type^interaction`, the control id `Type/id/_history/version`, the
//! resource as received, and was received at `meta.lastUpdated`: together the resource as it is read back.

use serde_json::Value;

use crate::fhir::json::read::stored;
use crate::fhir::json::stamp::stamp;
use crate::fhir::subscription::Ordering;
use crate::message::plan::{Disposition, Joins, Lane};
use crate::message::resource::{Interaction, ResourceKey};
use crate::message::time::Timestamp;

/// Something that happened to a resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number in the subscription.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// To which resource.
    pub focus: ResourceKey,
    /// What.
    pub interaction: Interaction,
    /// The version that came of it.
    pub version: u64,
    /// The resource as it is read back; `None` when it is gone or its bytes are.
    pub resource: Option<Value>,
}

/// The event that a stored message is, as number `number` of a subscription; `None` when it is no write
/// of a resource. Without bytes (retention took them) the event has no resource.
#[must_use]
pub fn read(
    event: &str,
    control_id: &str,
    at: Timestamp,
    payload: &[u8],
    number: u64,
) -> Option<Event> {
    let (_, word) = event.split_once('^')?;
    let interaction =
        [Interaction::Create, Interaction::Update, Interaction::Patch, Interaction::Delete]
            .into_iter()
            .find(|interaction| interaction.name() == word)?;
    let (focus, version) = place(control_id)?;
    let resource = match interaction {
        Interaction::Delete => None,
        _ => stored(payload).and_then(|value| match value {
            Value::Object(_) => {
                let mut resource = value;
                stamp(&mut resource, &focus.id, version, at);
                Some(resource)
            }
            _ => None,
        }),
    };
    Some(Event { number, at, focus, interaction, version, resource })
}

/// `Type/id/_history/version`, taken apart.
#[must_use]
pub fn place(control_id: &str) -> Option<(ResourceKey, u64)> {
    let mut parts = control_id.split('/');
    let (kind, id) = (parts.next()?, parts.next()?);
    let version = (parts.next()? == "_history").then(|| parts.next()?.parse().ok()).flatten()?;
    parts.next().is_none().then(|| (ResourceKey::new(kind, id), version))
}

/// The patient a resource is about: itself, or who its usual elements refer to.
#[must_use]
pub fn patient(resource: &Value) -> Option<String> {
    if resource.get("resourceType").is_some_and(|kind| kind == "Patient") {
        return resource.get("id").and_then(Value::as_str).map(|id| format!("Patient/{id}"));
    }
    ["subject", "patient", "for", "individual", "beneficiary"]
        .iter()
        .filter_map(|name| resource.get(*name))
        .flat_map(one_or_many)
        .filter_map(|value| value.get("reference")?.as_str())
        .chain(participants(resource))
        .find_map(|reference| {
            // A reference may be relative, absolute, and with a version.
            let (_, id) = reference.rsplit_once("Patient/")?;
            let id = id.split('/').next()?;
            (!id.is_empty()).then(|| format!("Patient/{id}"))
        })
}

/// An element that may be repeated (`Account.subject`) is a list.
fn one_or_many(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}

/// Appointments name their patient among others.
fn participants(resource: &Value) -> impl Iterator<Item = &str> {
    let list = resource.get("participant").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|one| one.get("actor")?.get("reference")?.as_str())
}

/// In which lane an event waits. When a resource moved from one patient to another it waits for both.
#[must_use]
pub fn disposition(
    ordering: Ordering,
    key: &ResourceKey,
    previous: Option<&Value>,
    current: Option<&Value>,
) -> Disposition {
    let own = || Lane::of(&key.to_string());
    let (lane, other) = match ordering {
        Ordering::Strict => (Lane::STRICT, None),
        Ordering::Free => (Lane::NONE, None),
        Ordering::PerResource => (own(), None),
        Ordering::PerPatient => {
            let before = previous.and_then(patient).map(|patient| Lane::of(&patient));
            match current.and_then(patient).map(|patient| Lane::of(&patient)) {
                Some(now) => (now, before.filter(|before| *before != now)),
                // Without a patient before or after it stands for itself.
                None if previous.is_none() || before.is_none() => (own(), None),
                None if current.is_none() => (before.unwrap_or_else(own), None),
                None => (own(), before),
            }
        }
    };
    Disposition::Deliver { lane, joins: other.map_or(Joins::NONE, Joins::one) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_read_as_its_resource_is_read_back() {
        let payload =
            br#"{"resourceType":"Patient","meta":{"source":"his"},"id":"x","active":true}"#;
        let at = Timestamp(1_768_379_400_000_000);
        let event = read("Patient^update", "Patient/7/_history/3", at, payload, 12).unwrap();
        assert_eq!((event.number, event.version, &*event.focus.id), (12, 3, "7"));
        assert_eq!(
            event.resource.unwrap().to_string(),
            r#"{"resourceType":"Patient","meta":{"versionId":"3","lastUpdated":"2026-01-14T08:30:00.000000Z","source":"his"},"id":"7","active":true}"#
        );
        let numbers = br#"{"resourceType":"Observation","valueQuantity":{"value":1.0E-22}}"#;
        let event = read("Observation^create", "Observation/1/_history/1", at, numbers, 1).unwrap();
        assert!(event.resource.unwrap().to_string().contains("1.0E-22"));
        let deleted = read("Patient^delete", "Patient/7/_history/4", at, b"{}", 13).unwrap();
        assert_eq!((deleted.interaction, deleted.resource), (Interaction::Delete, None));
        for (event, control) in [
            ("ADT^A01", "Patient/7/_history/3"),
            ("Patient^update", "Patient/7"),
            ("Patient^update", "Patient/7/_history/x"),
            ("Bundle^transaction", "4711"),
        ] {
            assert_eq!(read(event, control, at, payload, 1), None, "{event} {control}");
        }
    }

    #[test]
    fn the_patient_is_found_where_resources_name_him() {
        let check = |resource: Value, expected: Option<&str>| {
            assert_eq!(patient(&resource).as_deref(), expected, "{resource}");
        };
        check(json!({"resourceType": "Patient", "id": "1"}), Some("Patient/1"));
        check(json!({"subject": {"reference": "Patient/1"}}), Some("Patient/1"));
        check(
            json!({"patient": {"reference": "https://h/fhir/Patient/1/_history/2"}}),
            Some("Patient/1"),
        );
        check(json!({"subject": {"reference": "Group/1"}}), None);
        check(
            json!({"resourceType": "Account", "subject": [
                {"reference": "Device/1"}, {"reference": "Patient/3"},
            ]}),
            Some("Patient/3"),
        );
        check(
            json!({"participant": [
                {"actor": {"reference": "Practitioner/1"}}, {"actor": {"reference": "Patient/2"}},
            ]}),
            Some("Patient/2"),
        );
    }

    #[test]
    fn events_wait_for_those_of_the_same_patient() {
        let key = ResourceKey::new("Observation", "9");
        let of = |id: &str| json!({"subject": {"reference": format!("Patient/{id}")}});
        let lane = |ordering, previous: Option<&Value>, current: Option<&Value>| {
            disposition(ordering, &key, previous, current)
        };
        let one = Lane::of("Patient/1");
        let two = Lane::of("Patient/2");
        let own = Lane::of("Observation/9");
        let deliver = |lane, other: Option<Lane>| Disposition::Deliver {
            lane,
            joins: other.map_or(Joins::NONE, Joins::one),
        };
        let order = Ordering::PerPatient;
        assert_eq!(lane(order, None, Some(&of("1"))), deliver(one, None));
        assert_eq!(lane(order, Some(&of("1")), Some(&of("2"))), deliver(two, Some(one)));
        assert_eq!(lane(order, Some(&of("1")), None), deliver(one, None));
        assert_eq!(lane(order, None, Some(&json!({}))), deliver(own, None));
        assert_eq!(lane(Ordering::PerResource, None, Some(&of("1"))), deliver(own, None));
        assert_eq!(lane(Ordering::Strict, None, Some(&of("1"))), deliver(Lane::STRICT, None));
        assert_eq!(lane(Ordering::Free, None, Some(&of("1"))), deliver(Lane::NONE, None));
    }
}
