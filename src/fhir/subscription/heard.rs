//! A notification as its receiver reads it: what is said of the subscription, and its events with their resources.
//! R4 (Parameters) and R4B (SubscriptionStatus).

use serde_json::{Map, Value, json};

use crate::message::resource::Interaction;

/// Why a notification was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To find out whether somebody is there.
    Handshake,
    /// To show that the sender is.
    Heartbeat,
    /// Something happened.
    Events,
    /// The answer of `$events`.
    Query,
}

/// A notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// The Subscription's URL, as the sender refers to it.
    pub subscription: Box<str>,
    /// Why it was sent.
    pub purpose: Purpose,
    /// The number of the subscription's last event.
    pub last: u64,
    /// Its events, in the order of their numbers.
    pub events: Vec<HeardEvent>,
}

/// An event of a notification.
#[derive(Debug, Clone, PartialEq)]
pub struct HeardEvent {
    /// Its number in the subscription.
    pub number: u64,
    /// What happened: create, update or delete.
    pub interaction: Interaction,
    /// The type of the resource.
    pub kind: Box<str>,
    /// The resource; of one that is deleted its type and id.
    pub resource: Value,
}

/// Reads a notification Bundle.
///
/// # Errors
/// What is missing or wrong, without content.
// backport notifications.html; R4B subscriptionstatus.html
pub fn read(bundle: &Value) -> Result<Heard, &'static str> {
    let entries = bundle.get("entry").and_then(Value::as_array).ok_or("it has no entries")?;
    let (first, rest) = entries.split_first().ok_or("it has no entries")?;
    let status = Status::of(first.get("resource").ok_or("its first entry is no status")?)
        .ok_or("its first entry is no status of a subscription")?;
    let purpose = match status.text("type") {
        Some("handshake") => Purpose::Handshake,
        Some("heartbeat") => Purpose::Heartbeat,
        Some("event-notification") => Purpose::Events,
        Some("query-event") => Purpose::Query,
        _ => return Err("its type is none that a receiver is sent"),
    };
    let subscription = status.text("subscription").ok_or("it names no subscription")?.into();
    let last = status.text("events-since-subscription-start").and_then(|text| text.parse().ok());
    let last = last.ok_or("it does not say how many events there were")?;
    let told = status.events();
    if told.is_empty() && purpose == Purpose::Events {
        return Err("it says of no event which number it has; ask for content full-resource");
    }
    let mut events = Vec::new();
    for (at, (number, focus)) in told.iter().enumerate() {
        // One entry an event, in their order; or, where a resource stands for several, by its URL.
        let own = match rest.len() == told.len() {
            true => rest.get(at),
            false => {
                rest.iter().find(|entry| entry.get("fullUrl").and_then(Value::as_str) == *focus)
            }
        };
        events.push(event(*number, own.ok_or("an event has no entry")?)?);
    }
    events.sort_by_key(|event| event.number);
    Ok(Heard { subscription, purpose, last, events })
}

fn event(number: u64, entry: &Value) -> Result<HeardEvent, &'static str> {
    let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str);
    let interaction = match text("/request/method") {
        Some("POST") => Interaction::Create,
        Some("DELETE") => Interaction::Delete,
        _ => Interaction::Update,
    };
    let resource = match (entry.get("resource"), interaction) {
        (Some(resource), _) => resource.clone(),
        (None, Interaction::Delete) => {
            let place = text("/request/url").or_else(|| text("/fullUrl")).unwrap_or_default();
            let mut parts = place.rsplit('/');
            match (parts.next(), parts.next()) {
                (Some(id), Some(kind)) => json!({"resourceType": kind, "id": id}),
                _ => return Err("a delete does not say of what"),
            }
        }
        (None, _) => return Err("an event has no resource; ask for content full-resource"),
    };
    let kind = resource.get("resourceType").and_then(Value::as_str).map(Into::into);
    Ok(HeardEvent { number, interaction, kind: kind.ok_or("a resource has no type")?, resource })
}

/// The status in either shape.
enum Status<'b> {
    /// R4: parameters.
    Parameters(&'b [Value]),
    /// R4B.
    Resource(&'b Map<String, Value>),
}

impl<'b> Status<'b> {
    fn of(resource: &'b Value) -> Option<Self> {
        match resource.get("resourceType")?.as_str()? {
            "Parameters" => {
                resource.get("parameter")?.as_array().map(|list| Self::Parameters(list))
            }
            "SubscriptionStatus" => resource.as_object().map(Self::Resource),
            _ => None,
        }
    }

    fn text(&self, name: &str) -> Option<&'b str> {
        match self {
            Self::Parameters(list) => value(list.iter().find(|one| is(one, name))?),
            Self::Resource(members) => match name {
                "subscription" => members.get(name)?.get("reference")?.as_str(),
                "events-since-subscription-start" => {
                    members.get("eventsSinceSubscriptionStart")?.as_str()
                }
                _ => members.get(name)?.as_str(),
            },
        }
    }

    /// Number and focus of each event.
    fn events(&self) -> Vec<(u64, Option<&'b str>)> {
        let told = |number: Option<&str>, focus| Some((number?.parse().ok()?, focus));
        match self {
            Self::Parameters(list) => {
                let events = list.iter().filter(|one| is(one, "notification-event"));
                let read = events.filter_map(|one| {
                    let parts = one.get("part")?.as_array()?;
                    let part = |name| value(parts.iter().find(|one| is(one, name))?);
                    told(part("event-number"), part("focus"))
                });
                read.collect()
            }
            Self::Resource(members) => {
                let list = members.get("notificationEvent").and_then(Value::as_array);
                let read = list.into_iter().flatten().filter_map(|one| {
                    let focus = one.pointer("/focus/reference").and_then(Value::as_str);
                    told(one.get("eventNumber")?.as_str(), focus)
                });
                read.collect()
            }
        }
    }
}

fn is(parameter: &Value, name: &str) -> bool {
    parameter.get("name").is_some_and(|own| own == name)
}

/// The text of a parameter, whatever its type; of a reference what it refers to.
fn value(parameter: &Value) -> Option<&str> {
    let members = parameter.as_object()?;
    let (_, value) = members.iter().find(|(key, _)| key.starts_with("value"))?;
    value.as_str().or_else(|| value.get("reference")?.as_str())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::fhir::subscription::event::Event;
    use crate::fhir::subscription::notification::{About, Kind, bundle};
    use crate::fhir::subscription::{Content, Status};
    use crate::message::resource::ResourceKey;
    use crate::message::time::Timestamp;

    fn sent(kind: Kind, content: Content, interactions: &[Interaction]) -> Value {
        let about = About {
            base: "http://h/fhir",
            subscription: "s",
            topic: None,
            status: Status::Active,
            kind,
            events: 9,
            error: None,
        };
        let events = interactions.iter().zip(8..).map(|(interaction, number)| Event {
            number,
            at: Timestamp(0),
            focus: ResourceKey::new("Patient", "1"),
            interaction: *interaction,
            version: number,
            resource: (*interaction != Interaction::Delete)
                .then(|| json!({"resourceType": "Patient", "id": "1", "active": number == 8})),
        });
        let events: Vec<Event> = events.collect();
        bundle(&about, content, &events, Uuid::nil(), Timestamp(0))
    }

    #[test]
    fn what_the_engine_sends_is_heard_as_it_was_meant() {
        let both = [Interaction::Update, Interaction::Delete];
        let heard = read(&sent(Kind::Event, Content::FullResource, &both)).unwrap();
        assert_eq!((&*heard.subscription, heard.last), ("http://h/fhir/Subscription/s", 9));
        let told: Vec<_> = heard.events.iter().map(|one| (one.number, one.interaction)).collect();
        assert_eq!(told, [(8, Interaction::Update), (9, Interaction::Delete)]);
        assert_eq!(heard.events[0].resource["active"], true);
        assert_eq!(heard.events[1].resource, json!({"resourceType": "Patient", "id": "1"}));
        for (kind, purpose) in
            [(Kind::Handshake, Purpose::Handshake), (Kind::Heartbeat, Purpose::Heartbeat)]
        {
            assert_eq!(read(&sent(kind, Content::Empty, &[])).unwrap().purpose, purpose);
        }
        for wrong in [
            sent(Kind::QueryStatus, Content::Empty, &[]),
            sent(Kind::Event, Content::IdOnly, &[Interaction::Update]),
            sent(Kind::Event, Content::Empty, &[]),
            json!({"resourceType": "Bundle", "entry": []}),
            json!({"resourceType": "Bundle"}),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_status_of_r4b_is_heard_too() {
        let bundle = json!({"resourceType": "Bundle", "type": "history", "entry": [
            {"resource": {
                "resourceType": "SubscriptionStatus", "type": "event-notification",
                "subscription": {"reference": "http://h/fhir/Subscription/s"},
                "eventsSinceSubscriptionStart": "3",
                "notificationEvent": [{"eventNumber": "3", "focus": {"reference": "http://h/fhir/Patient/1"}}],
            }},
            {"fullUrl": "http://h/fhir/Organization/7", "resource": {"resourceType": "Organization"}},
            {"fullUrl": "http://h/fhir/Patient/1", "resource": {"resourceType": "Patient"}},
        ]});
        let heard = read(&bundle).unwrap();
        assert_eq!((heard.last, heard.events.len(), &*heard.events[0].kind), (3, 1, "Patient"));
    }
}
