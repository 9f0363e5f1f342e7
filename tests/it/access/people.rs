//! Who administers people gives neither themselves nor others what they do not have.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_a_name_that_a_channel_file_can_have() {
    let house = House::new().await;
    let boss = house.person("boss", &[Role::SecurityAdmin]).await;
    let engine = house.engine_itself();
    for group in [" ", "ICU ward", "ICU", "", "icu,ward", "-icu"] {
        let mut new = json!({"name": "li", "password": PASSWORD, "roles": ["viewer"]});
        new["groups"] = json!([group]);
        let answer = house.call(&boss, "POST", "/users", &new).await;
        assert_eq!(answer.body["code"], "bad_group", "{group:?}");
        let change = json!({"groups": [group]});
        house.person("wang", &[Role::Viewer]).await;
        let answer = house.call(&boss, "PUT", "/users/wang", &change).await;
        assert_eq!(answer.body["code"], "bad_group", "{group:?}");
        let database = rusqlite::Connection::open(house.folder.path().join("data/access.db"));
        let database = database.unwrap();
        database.execute_batch("DELETE FROM session WHERE user = (SELECT no FROM user WHERE name = 'wang'); DELETE FROM user WHERE name = 'wang'").unwrap();
        let token = json!({"name": "t", "roles": ["viewer"], "days": 1, "groups": [group]});
        let answer = house.call(&engine, "POST", "/tokens", &token).await;
        assert_eq!(answer.body["code"], "bad_group", "{group:?}");
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_that_an_older_release_wrote_badly_open_nothing() {
    let house = House::with(&[("adt", crate::access::people::CHANNEL)]).await;
    let blank = house.person_of("blank", &[Role::Viewer], &[" "]).await;
    let all = house.person("all", &[Role::Viewer]).await;
    let seen = house.call(&blank, "GET", "/channels", &Value::Null).await.body;
    assert_eq!(seen["channels"], json!([]));
    let seen = house.call(&all, "GET", "/channels", &Value::Null).await.body;
    assert_eq!(seen["channels"].as_array().unwrap().len(), 1);
    house.end().await;
}

const CHANNEL: &str = "channel: adt
group: icu
from:
  http: {listen: 127.0.0.1:0}
to:
  lis:
    mllp: {host: 127.0.0.1, port: 1}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_no_more_than_whoever_makes_it() {
    let house = House::new().await;
    let boss = house.person("boss", &[Role::SecurityAdmin, Role::SystemAdmin]).await;
    let token = |name: &str, roles: &[&str]| json!({"name": name, "roles": roles, "days": 1});
    for roles in [&["operator"][..], &["viewer"], &["auditor"], &["system_admin", "operator"]] {
        let answer = house.call(&boss, "POST", "/tokens", &token("t", roles)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{roles:?}");
        assert_eq!(answer.body["code"], "beyond_own", "{roles:?}");
    }
    let answer = house.call(&boss, "POST", "/tokens", &token("t", &["system_admin"])).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let engine = house.engine_itself();
    let answer = house.call(&engine, "POST", "/tokens", &token("o", &["operator"])).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    for name in ["admin", "Admin"] {
        let answer = house.call(&engine, "POST", "/tokens", &token(name, &["viewer"])).await;
        assert_eq!(answer.body["code"], "bad_name", "the engine's own name on record");
    }
    let denied = house.trail().await;
    assert!(denied.iter().any(|line| line.starts_with("user:boss token.add denied")), "{denied:?}");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_of_groups_administers_these_alone() {
    let house = House::new().await;
    let icu = house.person_of("icu-boss", &[Role::SecurityAdmin], &["icu", "ward"]).await;
    house.person_of("lab", &[Role::Viewer], &["lab"]).await;
    house.person("everywhere", &[Role::Viewer]).await;
    let new = |groups: &[&str]| json!({"name": "new", "password": PASSWORD, "roles": ["viewer"], "groups": groups});
    for groups in [&[][..], &["lab"], &["icu", "lab"]] {
        let answer = house.call(&icu, "POST", "/users", &new(groups)).await;
        assert_eq!(answer.body["code"], "beyond_own", "{groups:?}");
    }
    assert_eq!(
        house.call(&icu, "POST", "/users", &new(&["icu"])).await.status,
        StatusCode::CREATED
    );
    let wider = house.call(&icu, "PUT", "/users/new", &json!({"groups": []})).await;
    assert_eq!(wider.body["code"], "beyond_own");
    for name in ["lab", "everywhere"] {
        let path = format!("/users/{name}");
        let answer = house.call(&icu, "GET", &path, &Value::Null).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{name}");
        let reset = json!({"password": "four egrets stand"});
        let answer = house.call(&icu, "PUT", &path, &reset).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{name}");
    }
    let listed = house.call(&icu, "GET", "/users", &Value::Null).await.body;
    let names: Vec<_> =
        listed["users"].as_array().unwrap().iter().map(|user| &user["name"]).collect();
    assert_eq!(names, ["icu-boss", "new"]);

    let engine = house.engine_itself();
    let token = json!({"name": "lab", "roles": ["security_admin"], "days": 1, "groups": ["lab"]});
    assert_eq!(house.call(&engine, "POST", "/tokens", &token).await.status, StatusCode::CREATED);
    let refused = house
        .call(
            &icu,
            "POST",
            "/tokens",
            &json!({"name": "t", "roles": ["security_admin"], "days": 1}),
        )
        .await;
    assert_eq!(refused.body["code"], "beyond_own");
    let foreign = house.call(&icu, "DELETE", "/tokens/lab", &json!({"reason": "x"})).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    let listed = house.call(&icu, "GET", "/tokens", &Value::Null).await.body;
    assert_eq!(listed["tokens"], json!([]));
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_session_of_an_administrator_changes_nothing_of_their_own_proofs() {
    let house = House::new().await;
    let boss = house.person("boss", &[Role::SecurityAdmin]).await;
    for change in [
        json!({"password": "four egrets stand"}),
        json!({"second_factor": false}),
        json!({"view": "full"}),
    ] {
        let answer = house.call(&boss, "PUT", "/users/boss", &change).await;
        assert_eq!(answer.body["code"], "own_rights", "{change}");
    }
    let named = house.call(&boss, "PUT", "/users/boss", &json!({"display": "Wang"})).await;
    assert_eq!(named.body["display"], "Wang");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_is_finished_when_its_caller_goes_away_and_says_whom_it_gave_what() {
    let house = House::new().await;
    let boss = house.person("boss", &[Role::SecurityAdmin]).await;
    let new = json!({"name": "li", "password": PASSWORD, "roles": ["viewer"], "groups": ["icu"]});
    let until = std::time::Instant::now() + Duration::from_secs(60);
    let begun = async {
        let granted = "user:boss user.add granted li".to_owned();
        while !house.trail().await.contains(&granted) {
            assert!(std::time::Instant::now() < until);
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        // Dropped as a connection is, once the act has begun.
        () = begun => {}
        _ = house.call(&boss, "POST", "/users", &new) => {}
    }
    while house.door.store().user("li").await.unwrap().is_none() {
        assert!(std::time::Instant::now() < until, "the act was dropped with its caller");
        tokio::task::yield_now().await;
    }
    let change = json!({"roles": ["operator"]});
    house.call(&boss, "PUT", "/users/li", &change).await;
    let records = house.door.store().audit_from(1, 100).await.unwrap();
    let of = |action: &str| records.iter().find(|one| one.entry.action == action).unwrap();
    assert_eq!(of("user.add").entry.reason, r#"roles=["viewer"] groups=["icu"]"#);
    assert_eq!(of("user.change").entry.reason, r#"roles=["operator"]"#);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_in_the_order_of_their_names() {
    let channels: Vec<(String, String)> = (0..5)
        .map(|n| (format!("c{n}"), CHANNEL.replace("channel: adt", &format!("channel: c{n}"))))
        .collect();
    let channels: Vec<(&str, &str)> = channels.iter().map(|(a, b)| (&**a, &**b)).collect();
    let house = House::with(&channels).await;
    let boss = house.person("c-boss", &Role::ALL).await;
    for n in 0..4 {
        let new = json!({"name": format!("c{n}"), "password": PASSWORD, "roles": ["viewer"]});
        house.call(&boss, "POST", "/users", &new).await;
        let new = json!({"name": format!("c{n}"), "roles": ["viewer"], "days": 1});
        house.call(&boss, "POST", "/tokens", &new).await;
    }
    for (path, list, name, expected) in [
        ("/channels", "channels", "channel", 5),
        ("/destinations", "destinations", "destination", 5),
        ("/users", "users", "name", 5),
        ("/tokens", "tokens", "name", 4),
    ] {
        let (mut names, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("{path}?limit=2&filter=C{after}");
            let page = house.call(&boss, "GET", &path, &Value::Null).await;
            assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.body);
            let items = page.body[list].as_array().unwrap();
            assert!(items.len() <= 2, "{path}");
            names.extend(items.iter().map(|one| one[name].as_str().unwrap().to_owned()));
            let Some(next) = page.body["next"].as_str() else { break };
            after = format!("&after={}", next.replace('/', "%2F"));
        }
        assert_eq!(names.len(), expected, "{path}: {names:?}");
        assert!(names.is_sorted_by(|one, next| one < next), "{path}: {names:?}");
        let wrong = house.call(&boss, "GET", &format!("{path}?afer=c1"), &Value::Null).await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{path}");
    }
    house.end().await;
}
