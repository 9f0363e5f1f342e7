//! Notifications as subscribers read them.

use super::*;
use crate::message::resource::ResourceKey;

const AT: Timestamp = Timestamp(1_768_379_400_000_000);

fn settings(topic: bool, style: Style, content: Content) -> Settings {
    Settings {
        base: "https://h.example/fhir".into(),
        topic: topic.then(|| "https://h.example/topics/admission".into()),
        style,
        payload: Some("application/fhir+json".into()),
        content,
    }
}

fn event(interaction: Interaction) -> Event {
    let resource = (interaction != Interaction::Delete)
        .then(|| json!({"resourceType": "Encounter", "id": "7", "status": "planned"}));
    let focus = ResourceKey::new("Encounter", "7");
    Event { number: 42, at: AT, focus, interaction, version: 3, resource }
}

fn body(call: &Call) -> Value {
    serde_json::from_slice(&call.body).unwrap()
}

fn id() -> Uuid {
    Uuid::from_u128(7)
}

#[test]
fn a_notification_has_the_shape_of_the_backport() {
    let check = |content| {
        let settings = settings(true, Style::Bundle, content);
        settings.call("admissions", &event(Interaction::Update), id())
    };
    let call = check(Content::FullResource);
    assert_eq!((call.method, &*call.path), ("POST", ""));
    let bundle = body(&call);
    assert_eq!(bundle["type"], "history");
    let status = &bundle["entry"][0];
    assert!(status["fullUrl"].as_str().unwrap().starts_with("urn:uuid:"));
    assert_eq!(status["request"]["url"], "https://h.example/fhir/Subscription/admissions/$status");
    let names: Vec<&str> = status["resource"]["parameter"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "subscription",
            "topic",
            "status",
            "type",
            "events-since-subscription-start",
            "notification-event"
        ]
    );
    let event = &status["resource"]["parameter"][5]["part"];
    assert_eq!(event[0]["valueString"], "42");
    assert_eq!(event[2]["valueReference"]["reference"], "https://h.example/fhir/Encounter/7");
    let focus = &bundle["entry"][1];
    assert_eq!(focus["resource"]["status"], "planned");
    assert_eq!(focus["request"], json!({"method": "PUT", "url": "Encounter/7"}));
    assert_eq!(focus["response"]["etag"], "W/\"3\"");

    let bundle = body(&check(Content::IdOnly));
    assert_eq!(bundle["entry"][1].get("resource"), None);
    let bundle = body(&check(Content::Empty));
    assert_eq!(bundle["entry"].as_array().unwrap().len(), 1);
    assert!(!bundle.to_string().contains("Encounter/7"));
}

#[test]
fn the_same_event_has_the_same_bytes() {
    let settings = settings(true, Style::Bundle, Content::FullResource);
    let one = settings.call("a", &event(Interaction::Create), id());
    assert_eq!(one, settings.call("a", &event(Interaction::Create), id()));
    let stored = Settings::from_json(&settings.to_json()).unwrap();
    assert_eq!(stored, settings);
}

#[test]
fn search_subscribers_are_called_in_their_style() {
    let check = |style, interaction| {
        settings(false, style, Content::FullResource).call("s", &event(interaction), id())
    };
    let call = check(Style::Post, Interaction::Update);
    assert_eq!((call.method, &*call.path), ("POST", ""));
    assert_eq!(body(&call)["resourceType"], "Encounter");
    let call = check(Style::PutResource, Interaction::Create);
    assert_eq!((call.method, &*call.path), ("PUT", "Encounter/7"));
    let call = check(Style::PutResource, Interaction::Delete);
    assert_eq!((call.method, &*call.path, call.body.len()), ("DELETE", "Encounter/7", 0));
    let call = check(Style::Post, Interaction::Delete);
    assert_eq!(body(&call)["entry"][1]["request"]["method"], "DELETE");
    let call = check(Style::Bundle, Interaction::Update);
    assert_eq!(body(&call)["entry"][1]["resource"]["resourceType"], "Encounter");
    let mut silent = settings(false, Style::Post, Content::FullResource);
    silent.payload = None;
    let call = silent.call("s", &event(Interaction::Update), id());
    assert_eq!((call.content_type, call.body.len()), (None, 0));
}

#[test]
fn a_sign_of_life_has_no_events() {
    let about = About {
        base: "https://h.example/fhir",
        subscription: "a",
        topic: None,
        status: Status::Requested,
        kind: Kind::Handshake,
        events: 3,
        error: Some("given up"),
    };
    let call = settings(true, Style::Bundle, Content::FullResource).sign(&about, id(), AT);
    let parameters = body(&call)["entry"][0]["resource"]["parameter"].clone();
    assert_eq!(parameters[2]["valueCode"], "handshake");
    assert_eq!(parameters[3]["valueString"], "3");
    assert_eq!(parameters[4]["valueCodeableConcept"]["text"], "given up");
}
