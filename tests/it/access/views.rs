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
    let li = house.person("li", &[Role::Analyst]).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_masked_and_whole_with_a_reason_for_an_hour() {
    let house = House::with(&[("adt", KEYED)]).await;
    let id = house.receive("adt", &crate::admin::message("c-1", "MRN77", "I")).await;
    house.dead(&id, "adt/lis", "no visit of Heron, MRN77").await;
    let li = house.person("li", &[Role::Operator]).await;
    let see = async |path: &str| {
        let answer = house.call(&li, "GET", &format!("/messages/{id}{path}"), &Value::Null).await;
        (answer.status, answer.body.to_string())
    };
    let masked = async || {
        for path in ["", "/body", "/tree"] {
            let (status, body) = see(path).await;
            assert_eq!(status, StatusCode::OK, "{path}: {body}");
            assert!(!body.contains("Heron") && !body.contains("MRN77"), "{path}: {body}");
        }
        assert_eq!(see("/sent/adt/lis").await.0, StatusCode::FORBIDDEN);
    };
    masked().await;
    // Nobody gives an operator more than the role has.
    let boss = house.person("boss", &[Role::SecurityAdmin]).await;
    let given = house.call(&boss, "PUT", "/users/li", &json!({"view": "full"})).await;
    assert_eq!((given.status, &given.body["view"]), (StatusCode::OK, &json!("masked")));
    let li = caller_of(&house.sign_in("li", PASSWORD, None).await);
    let see = async |path: &str| {
        let answer = house.call(&li, "GET", &format!("/messages/{id}{path}"), &Value::Null).await;
        (answer.status, answer.body.to_string())
    };
    let retry = json!({"reason": "the LIS is back"});
    let acts = format!("/deliveries/adt/lis/{id}/cancel");
    let taken = |reason: &str| json!({"password": PASSWORD, "reason": reason});
    let path = "/session/emergency";
    let refused = house.call(&li, "POST", path, &taken(" ")).await;
    assert_eq!(refused.body["code"], "no_reason");
    assert_eq!(see("/sent/adt/lis").await.0, StatusCode::FORBIDDEN);
    let taken = house.call(&li, "POST", path, &taken("which visit the LIS lacks")).await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.body);
    for path in ["/body", "/sent/adt/lis"] {
        let (status, body) = see(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        assert!(body.contains("Heron") && body.contains("MRN77"), "{path}: {body}");
    }
    let records = house.door.store().audit_from(1, 1000).await.unwrap();
    let why = records.iter().find(|one| {
        one.entry.action == "session.emergency"
            && one.entry.outcome == "granted"
            && one.entry.reason == "which visit the LIS lacks"
    });
    assert!(why.is_some_and(|one| one.entry.actor == "user:li"), "its reason is on record");
    // To act on what is stuck needs no look at it.
    let done = house.call(&li, "POST", &acts, &retry).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    for _ in 0..5 {
        house.pass(Duration::from_mins(14));
        let (status, _) = see("").await;
        assert_eq!(status, StatusCode::OK);
    }
    assert_eq!(see("/sent/adt/lis").await.0, StatusCode::FORBIDDEN, "it is over after an hour");
    let (_, body) = see("/body").await;
    assert!(!body.contains("Heron"), "{body}");
    house.end().await;
}
