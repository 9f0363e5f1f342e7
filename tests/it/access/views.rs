//! How much of messages a view level shows: every route, at every level.

use super::*;

const CHANNEL: &str = "channel: adt
from:
  http: {listen: 127.0.0.1:0}
search_keys:
  mrn: PID-3.1
to:
  lis:
    mllp: {host: 127.0.0.1, port: 1}
";

#[tokio::test(flavor = "multi_thread")]
async fn every_route_keeps_to_the_view_level() {
    let house = House::with(&[("adt", CHANNEL)]).await;
    let id = house.receive("adt", &crate::admin::message("c-1", "MRN77", "I")).await;
    // Roles with every permission that a route of messages asks for.
    let roles = [Role::Operator, Role::Analyst];
    for view in View::ALL {
        let caller = house.person_seeing(view.name(), &roles, &[], view).await;
        for route in ROUTES.iter().filter(|route| route.action.starts_with("message.")) {
            let path = route.path.replace("{id}", &id);
            let path = path.replace("{channel}", "adt").replace("{destination}", "lis");
            let body = match route.action {
                "message.search" => json!({}),
                "message.preview" => json!({"destination": "adt/lis"}),
                "message.resend" => json!({"reason": "the LIS lost it"}),
                _ => Value::Null,
            };
            let answer = house.call(&caller, route.method, &path, &body).await;
            let least = match route.action {
                "message.search" | "message.see" | "message.neighbours" => View::Metadata,
                "message.tree" | "message.content" | "message.explain" => View::Masked,
                "message.sent" | "message.preview" => View::Full,
                "message.resend" => View::Counts,
                other => panic!("{other}: which view level does it need?"),
            };
            let what = (view.name(), route.path, answer.status, &answer.body);
            if view < least {
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{what:?}");
                assert_eq!(answer.body["code"], "forbidden", "{what:?}");
            } else {
                assert_eq!(answer.status, StatusCode::OK, "{what:?}");
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
    }
    let trail = house.trail().await;
    let denied = format!("user:counts message.see denied {id}");
    assert!(trail.contains(&denied), "{denied:?} in {trail:?}");
    house.end().await;
}
