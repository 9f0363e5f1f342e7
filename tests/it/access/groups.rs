//! Who is limited to a group of channels learns nothing of the others: no name, no count, no file.

use axum::http::StatusCode;
use medway::access::role::Role;
use medway::admin::route::ROUTES;
use serde_json::{Value, json};

use crate::access::{Caller, House};

/// A channel whose every name says where it belongs.
fn channel(place: &str) -> String {
    format!(
        "channel: {place}
group: {place}-wards
from:
  http: {{listen: 127.0.0.1:0}}
search_keys:
  mrn: PID-3.1
to:
  {place}-lis:
    mllp: {{host: 127.0.0.1, port: 1}}
"
    )
}

fn message(control: &str) -> String {
    format!("MSH|^~\\&|A|B|C|D|20260101||ADT^A01^ADT_A01|{control}|P|2.5.1\rPID|1||M1^^^H^MR\r")
}

/// Whatever of this stands in an answer belongs to the other group.
fn tells_of_south(answer: &Value, ids: &[String]) -> bool {
    let text = answer.to_string();
    text.contains("south") || ids.iter().any(|id| text.contains(id))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_keeps_the_groups_of_every_role() {
    let house = House::with(&[("north", &channel("north")), ("south", &channel("south"))]).await;
    house.receive("north", &message("N1")).await;
    let mut hidden = Vec::new();
    for n in 0..3 {
        let id = house.receive("south", &message(&format!("S{n}"))).await;
        house.dead(&id, "south/south-lis", "south says no").await;
        hidden.push(id);
    }
    let chief = house.person("chief", &[Role::Operator, Role::Releaser]).await;
    let broken = house.folder.path().join("channels");
    std::fs::write(broken.join("south.yaml"), "channel: south\nto: nonsense\n").unwrap();
    std::fs::write(broken.join("southwest.yaml"), "channel: southwest\n").unwrap();
    let reload = json!({"reason": "a slip"});
    let reloaded = house.call(&chief, "POST", "/reload", &reload).await;
    assert_eq!(reloaded.body["refused"].as_array().unwrap().len(), 2, "{}", reloaded.body);
    let job = json!({"act": "skip", "selection": {"destination": "south/south-lis", "state": "held"},
                     "reason": "south is over"});
    let job = house.call(&chief, "POST", "/jobs", &job).await;
    assert_eq!(job.status, StatusCode::ACCEPTED, "{}", job.body);
    hidden.push(job.body["id"].as_str().unwrap().to_owned());
    house.engine.note_history().await;
    house.receive("south", &message("S9")).await;
    house.engine.note_history().await;
    let sue = house.person_of("sue-south", &[Role::Operator], &["south-wards"]).await;
    let view = json!({"name": "south-view", "page": "/messages", "query": "", "shared": true});
    let saved = house.call(&sue, "POST", "/views", &view).await;
    assert_eq!(saved.status, StatusCode::CREATED, "{}", saved.body);
    let token =
        json!({"name": "south-token", "roles": ["viewer"], "days": 1, "groups": ["south-wards"]});
    let token = house.call(&house.engine_itself(), "POST", "/tokens", &token).await;
    assert_eq!(token.status, StatusCode::CREATED, "{}", token.body);
    let whole = house.call(&chief, "GET", "/channels", &Value::Null).await;
    assert!(tells_of_south(&whole.body, &hidden), "the test's own eyes: {}", whole.body);

    for role in Role::ALL {
        let limited = house.person_of(role.name(), &[role], &["north-wards"]).await;
        // What reads the trail knows no groups, and no messages. Of live streams see `admin::live`.
        let apart = ["/audit", "/session", "/setup", "/openapi.json", "/live"];
        for route in
            ROUTES.iter().filter(|route| apart.iter().all(|own| !route.path.starts_with(own)))
        {
            let view = saved.body["id"].to_string();
            let id = match route.path {
                jobs if jobs.starts_with("/jobs") => &hidden[3],
                views if views.starts_with("/views") => &view,
                _ => &hidden[0],
            };
            let path = route
                .path
                .replace("{channel}", "south")
                .replace("{destination}", "south-lis")
                .replace("{version}", "2")
                .replace(
                    "{name}",
                    if route.path.starts_with("/users") { "sue-south" } else { "south-token" },
                )
                .replace("{id}", id);
            for act in acts(route.path) {
                let path = path.replace("{act}", act);
                let answer = house.call(&limited, route.method, &path, &body(route.path)).await;
                let what = format!("{} {} {path}: {}", role.name(), route.method, answer.body);
                assert!(!tells_of_south(&answer.body, &hidden), "{what}");
                let names_south = path != route.path;
                assert!(!(names_south && answer.status.is_success()), "{what}");
            }
        }
    }
    let destination =
        house.engine.destination_status(house.engine.destination_id("south/south-lis").unwrap());
    assert_eq!(destination.unwrap()["paused"], Value::Null, "nothing was done to it");
    assert_counts(&house).await;
    house.end().await;
}

fn acts(path: &str) -> &'static [&'static str] {
    match path {
        "/destinations/{channel}/{destination}/{act}" => &["pause", "resume"],
        "/deliveries/{channel}/{destination}/{id}/{act}" => &["retry", "skip"],
        "/channels/{channel}/{act}" => &["stop", "start"],
        "/subscriptions/{id}/{act}" => &["pause", "test"],
        _ => &["none"],
    }
}

fn body(path: &str) -> Value {
    match path {
        "/jobs" => json!({"act": "retry", "selection": {"cause": "rejected"}, "reason": "x"}),
        "/messages/search" => json!({"value": "M1"}),
        "/exceptions/search" | "/exceptions/groups" => json!({"state": "dead"}),
        "/messages/{id}/preview" => json!({"destination": "south/south-lis"}),
        "/messages/{id}/replay" => json!({"reason": "x", "destinations": ["south/south-lis"]}),
        _ => json!({"reason": "x"}),
    }
}

/// Counts are of one's own channels.
async fn assert_counts(house: &House) {
    let limited = house.person_of("ward", &[Role::Viewer], &["north-wards"]).await;
    let all = house.person("all", &[Role::Viewer]).await;
    let get = |caller: Caller, path: &'static str| async move {
        house.call(&caller, "GET", path, &Value::Null).await.body
    };
    let status = get(limited.clone(), "/status").await;
    assert_eq!(status["store"], json!({"failing": null}));
    assert_eq!(status["ready"], true);
    let system = get(limited.clone(), "/system").await;
    assert_eq!(
        (&system["store"]["size_bytes"], &system["config"]["path"]),
        (&Value::Null, &json!(""))
    );
    let own = get(limited, "/metrics/history").await["points"].clone();
    let whole = get(all, "/metrics/history").await["points"].clone();
    let last = |points: &Value| points.as_array().unwrap().last().unwrap()["received"].clone();
    assert_eq!((last(&own), last(&whole)), (json!(0), json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_somebody_limited_to_groups_are_full_and_lead_to_the_end() {
    let house = House::with(&[("north", &channel("north")), ("south", &channel("south"))]).await;
    let mut own = Vec::new();
    for n in 0..30 {
        let place = if n % 10 == 0 { "north" } else { "south" };
        let id = house.receive(place, &message(&n.to_string())).await;
        house.dead(&id, &format!("{place}/{place}-lis"), "no").await;
        if place == "north" {
            own.insert(0, id);
        }
    }
    let limited = house.person_of("ward", &[Role::Operator], &["north-wards"]).await;
    let mut found = Vec::new();
    let mut before = Value::Null;
    for expected in [2, 1] {
        let page = json!({"limit": 2, "before": before});
        let page = house.call(&limited, "POST", "/messages/search", &page).await.body;
        let page_ids = page["messages"].as_array().unwrap().iter();
        let page_ids: Vec<_> = page_ids.map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(page_ids.len(), expected, "{page}");
        found.extend(page_ids);
        before = page["next"].clone();
    }
    assert_eq!(before, Value::Null, "that was all");
    assert_eq!(found, own);
    let first = house.call(&limited, "POST", "/exceptions/search", &json!({"limit": 2})).await.body;
    assert_eq!(first["exceptions"].as_array().unwrap().len(), 2, "{first}");
    let rest = json!({"limit": 2, "after": first["next"]});
    let rest = house.call(&limited, "POST", "/exceptions/search", &rest).await.body;
    assert_eq!(rest["exceptions"].as_array().unwrap().len(), 1, "{rest}");
    assert_eq!(rest["next"], Value::Null);
    house.end().await;
}
