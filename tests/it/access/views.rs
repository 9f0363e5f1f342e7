//! How much of messages a view level shows: every route, at every level.

use super::*;

/// What a route answers at least at.
fn least(action: &str) -> View {
    match action {
        "message.search" | "message.see" | "message.neighbours" => View::Metadata,
        "message.tree" | "message.content" | "message.explain" => View::Masked,
        "message.sent" | "message.preview" => View::Full,
        "message.resend" => View::Counts,
        new if new.starts_with("message.") => panic!("{new}: which view level does it need?"),
        _ => View::Counts,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_keeps_to_the_view_level() {
    let house = House::with(&[("adt", KEYED)]).await;
    let id = house.receive("adt", &crate::admin::message("c-1", "MRN77", "I")).await;
    house.dead(&id, "adt/lis", "no visit of Heron, MRN77").await;
    let group = json!({"destination": "adt/lis", "state": "dead", "cause": "rejected"});
    for view in View::ALL {
        // Every permission there is: the view level alone refuses.
        let caller = house.person_seeing(view.name(), &Role::ALL, &[], view).await;
        let routes = ROUTES.iter().filter(|route| route.needs != Needs::Nothing);
        for route in routes.filter(|route| route.action != "session.end") {
            let path = route.path.replace("{id}", &id).replace("{version}", "1");
            let path = path.replace("{channel}", "adt").replace("{destination}", "lis");
            let path = path.replace("{act}", "none").replace("{name}", "counts");
            let body = match route.action {
                "message.search" | "exception.list" | "exception.groups" => json!({}),
                "message.preview" => json!({"destination": "adt/lis"}),
                "message.resend" => json!({"reason": "the LIS lost it"}),
                "exception.test" => group.clone(),
                _ if route.method == "GET" => Value::Null,
                _ => json!({"reason": "x"}),
            };
            let answer = house.call(&caller, route.method, &path, &body).await;
            let least = least(route.action);
            let what = (view.name(), route.path, answer.status, &answer.body);
            if view < least {
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{what:?}");
                assert_eq!(answer.body["code"], "forbidden", "{what:?}");
            } else if route.action.starts_with("message.") {
                assert_eq!(answer.status, StatusCode::OK, "{what:?}");
            } else {
                assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{what:?}");
            }
            if view < View::Full {
                assert!(!answer.body.to_string().contains("MRN77"), "{what:?}");
                assert!(!answer.body.to_string().contains("Heron"), "{what:?}");
            }
        }
        let known =
            house.call(&caller, "POST", "/messages/search", &json!({"value": "MRN77"})).await;
        let confirmed = known.status == StatusCode::OK;
        assert_eq!(confirmed, view >= View::Masked, "{}: a hit confirms a patient", view.name());
        let guess = json!({"destination": "adt/lis", "state": "dead", "cause": "rejected", "fingerprint": "00"});
        let guess = house.call(&caller, "POST", "/exceptions/groups/test", &guess).await;
        assert_eq!(guess.status == StatusCode::OK, view == View::Full, "{}", view.name());
    }
    let trail = house.trail().await;
    let denied = format!("user:counts message.see denied {id}");
    assert!(trail.contains(&denied), "{denied:?} in {trail:?}");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_key_is_neither_shown_nor_found_below_the_full_view() {
    let channel =
        KEYED.replace("  mrn: PID-3.1\n", "  mrn: PID-3.1\n  name: {path: PID-5.1, mask: true}\n");
    let house = House::with(&[("adt", &channel)]).await;
    let id = house.receive("adt", &crate::admin::message("c-1", "MRN77", "I")).await;
    house.receive("adt", &crate::admin::message("c-2", "MRN78", "I")).await;
    let li = house.person("li", &[Role::Operator]).await;
    let ward = house.person("ward", &[Role::Viewer]).await;
    let search = async |caller: &Caller, body: Value| {
        let answer = house.call(caller, "POST", "/messages/search", &body).await;
        answer.body["messages"].as_array().unwrap().len()
    };
    for body in [json!({"value": "Heron"}), json!({"value": "Heron", "name": "name"})] {
        assert_eq!(search(&li, body.clone()).await, 2, "{body}");
        assert_eq!(search(&ward, body.clone()).await, 0, "{body}");
    }
    assert_eq!(search(&ward, json!({"value": "MRN77"})).await, 1);
    let names = async |caller: &Caller, path: &str| {
        let seen = house.call(caller, "GET", path, &Value::Null).await.body;
        let keys = seen["keys"].as_array().unwrap().clone();
        keys.iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let one = format!("/messages/{id}");
    assert_eq!(names(&li, &one).await, ["mrn", "name"]);
    assert_eq!(names(&ward, &one).await, ["mrn"]);
    let near = format!("/messages/{id}/neighbours");
    assert_eq!(names(&li, &near).await, ["mrn", "name"]);
    assert_eq!(names(&ward, &near).await, ["mrn"], "who has the same name is told by it");
    house.end().await;
}
