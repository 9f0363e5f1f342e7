//! What goes on record: every look at content, and who looked for whom.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_route_whose_answer_holds_content_is_on_record() {
    let house = House::with(&[("adt", KEYED)]).await;
    house.still("adt/lis").await;
    let id = house.receive("adt", &crate::admin::message("c-1", "MRN77", "I")).await;
    house.dead(&id, "adt/lis", "no visit of Heron").await;
    let li = house.person("li", &Role::ALL).await;
    let group = json!({"destination": "adt/lis", "state": "dead", "cause": "rejected"});
    let mut shown = Vec::new();
    for route in ROUTES.iter().filter(|route| route.needs != Needs::Nothing) {
        if route.action == "session.end" {
            continue;
        }
        let path = route.path.replace("{id}", &id).replace("{channel}", "adt");
        let path = path.replace("{destination}", "lis").replace("{version}", "1");
        let path = path.replace("{act}", "retry").replace("{name}", "li");
        let path = if route.action == "audit.export" { "/audit/export?format=csv" } else { &path };
        let body = match route.action {
            "message.search" | "exception.list" | "exception.groups" => json!({}),
            "message.preview" => json!({"destination": "adt/lis"}),
            "exception.test" => group.clone(),
            "job.begin" => json!({"act": "skip", "selection": group, "reason": "x"}),
            _ if route.method == "GET" => Value::Null,
            _ => json!({"reason": "x"}),
        };
        let before = house.trail().await.len();
        let mut text = house.call(&li, route.method, path, &body).await.body.to_string();
        if route.action == "message.preview" {
            // The bytes are in base64.
            text = text.replace("\"payload\":\"TVNI", "Heron");
        }
        if text.contains("Heron") || text.contains("MRN77") {
            let record = format!("user:li {} granted", route.action);
            let new = house.trail().await.split_off(before);
            assert!(new.iter().any(|line| line.starts_with(&record)), "{path}: {new:?}");
            shown.push(route.action);
        }
    }
    let expected = [
        "message.search",
        "message.see",
        "message.content",
        "message.tree",
        "message.sent",
        "message.preview",
        "exception.groups",
        "exception.list",
    ];
    assert_eq!(shown, expected, "the test's own eyes");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screen_that_refreshes_itself_is_on_record_for_what_is_new() {
    let house = House::with(&[("adt", KEYED)]).await;
    let li = house.person("li", &[Role::Analyst]).await;
    let ward = house.person("ward", &[Role::Viewer]).await;
    house.still("adt/lis").await;
    let ask = |caller: &Caller, by_itself: bool| {
        let mut request = Request::post("/api/v1/exceptions/groups")
            .header("cookie", format!("medway={}", caller.cookie.as_deref().unwrap()))
            .header("x-csrf-token", caller.csrf.as_deref().unwrap())
            .header("content-type", "application/json");
        if by_itself {
            request = request.header("x-medway-background", "1");
        }
        house.send(request.body(Body::from("{}")).unwrap())
    };
    let records = async || {
        let trail = house.trail().await;
        trail.iter().filter(|line| line.contains("exception.groups")).count()
    };
    ask(&li, false).await;
    assert_eq!(records().await, 0, "nothing is quoted");
    for n in 0..3 {
        let message = crate::admin::message(&n.to_string(), "MRN77", "I");
        let id = house.receive("adt", &message).await;
        house.dead(&id, "adt/lis", if n < 2 { "no visit of Heron" } else { "no bed" }).await;
        for _ in 0..3 {
            assert_eq!(ask(&li, true).await.status, StatusCode::OK);
        }
        ask(&ward, false).await;
        let expected = if n < 2 { 1 } else { 2 };
        assert_eq!(
            records().await,
            expected,
            "after {n}: a new text is a new look, a count is none"
        );
    }
    ask(&li, false).await;
    assert_eq!(records().await, 3, "somebody came and looked");
    assert!(!house.trail().await.iter().any(|line| line.starts_with("user:ward exception")));
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_a_number_finds_who_looked_for_it() {
    let house = House::with(&[("adt", KEYED)]).await;
    let li = house.person("li", &[Role::Operator]).await;
    let mut searches = vec![(li.clone(), "MRN77"), (li.clone(), "MRN78"), (li, "李小明")];
    let releaser = house.person("rel", &[Role::Releaser]).await;
    searches.push((releaser, "MRN77"));
    for (caller, term) in searches {
        house.call(&caller, "POST", "/messages/search", &json!({"value": term})).await;
    }
    let house = house.again(|_| ()).await;
    let auditor = house.person("auditor", &[Role::Auditor]).await;
    let found = async |term: &str| {
        let answer = house.call(&auditor, "POST", "/audit/search", &json!({"term": term})).await;
        let records = answer.body["records"].as_array().unwrap().clone();
        let searches = records.iter().filter(|one| one["action"] == "message.search");
        searches
            .map(|one| format!("{} {}", one["actor"], one["outcome"]).replace('"', ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(found(" MRN77 ").await, ["user:rel denied", "user:li granted"]);
    assert_eq!(found("李小明").await, ["user:li granted"]);
    assert!(found("MRN79").await.is_empty());
    let trail = house.trail().await;
    let asked =
        trail.iter().filter(|line| line.starts_with("user:auditor audit.read granted term:"));
    assert_eq!(asked.count(), 3, "what an auditor looks for is on record too");
    let text = trail.join("\n");
    assert!(!text.contains("MRN7") && !text.contains("小明"), "{text}");
    let other = House::new().await;
    assert_ne!(other.door.term("MRN77").await.unwrap(), house.door.term("MRN77").await.unwrap());
    other.end().await;
    house.end().await;
}
