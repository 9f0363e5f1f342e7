//! Signing in while others sign in, guess, and administer: nothing is undone, and every guess counts.

use futures_util::future::{join, join_all};

use super::*;

/// Ten sign-ins at once with these words.
async fn rush(house: &House, password: &str, code: Option<&str>) -> Vec<StatusCode> {
    let tries = (0..10).map(|_| house.sign_in("li", password, code));
    join_all(tries).await.iter().map(|answer| answer.status).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_sign_ins_undoes_nothing_that_an_administrator_does() {
    let house = House::new().await;
    let li = house.person("li", &[Role::Viewer, Role::Operator]).await;
    let boss = house.person("boss", &[Role::SecurityAdmin]).await;
    let change = json!({"roles": ["viewer"], "groups": ["icu"], "disabled": true});
    let (tried, changed) =
        join(rush(&house, "wrong", None), house.call(&boss, "PUT", "/users/li", &change)).await;
    assert!(tried.iter().all(|status| *status == StatusCode::UNAUTHORIZED));
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    let now = house.call(&boss, "GET", "/users/li", &Value::Null).await.body;
    let kept = [&now["roles"], &now["groups"], &now["disabled"]];
    assert_eq!(kept, [&json!(["viewer"]), &json!(["icu"]), &json!(true)]);

    let enable = json!({"disabled": false, "locked": false});
    assert_eq!(house.call(&boss, "PUT", "/users/li", &enable).await.status, StatusCode::OK);
    let reset = json!({"password": "four egrets stand"});
    let (came, changed) =
        join(rush(&house, PASSWORD, None), house.call(&boss, "PUT", "/users/li", &reset)).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    let old = house.sign_in("li", PASSWORD, None).await;
    assert_eq!(old.status, StatusCode::UNAUTHORIZED, "the old password is gone");
    assert!(came.contains(&StatusCode::OK) || came.contains(&StatusCode::UNAUTHORIZED));
    assert_eq!(house.sign_in("li", "four egrets stand", None).await.status, StatusCode::OK);
    drop(li);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_at_the_same_time_count_one_by_one() {
    let house = House::new().await;
    house.person("li", &[Role::Viewer]).await;
    rush(&house, "wrong", None).await;
    let right = house.sign_in("li", PASSWORD, None).await;
    assert_eq!(right.status, StatusCode::UNAUTHORIZED, "locked");
    // Only the guesses until the lock counted: it is a minute, not longer for each guess beyond.
    house.pass(Duration::from_secs(61));
    assert_eq!(house.sign_in("li", PASSWORD, None).await.status, StatusCode::OK);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_counts_once_also_when_it_comes_twice_at_once() {
    let house = House::new().await;
    let li = house.person("li", &[Role::Viewer]).await;
    let secret = enrolled(&house, &li).await;
    house.pass(Duration::from_secs(60));
    let code = code_of(&secret, house.clock.now());
    let came = rush(&house, PASSWORD, Some(&code)).await;
    let passed = came.iter().filter(|status| **status == StatusCode::OK).count();
    assert_eq!(passed, 1, "{came:?}");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_session_neither_guesses_the_password_nor_puts_a_factor_of_its_own() {
    let house = House::new().await;
    let li = house.person("li", &[Role::Viewer]).await;
    let first = enrolled(&house, &li).await;
    let drawn = house.call(&li, "POST", "/session/second-factor", &json!({})).await;
    let secret = drawn.body["drawn"].as_str().unwrap().to_owned();
    let code = code_of(&secret, house.clock.now());
    let mut factor = json!({"drawn": secret, "code": code});
    let silent = house.call(&li, "POST", "/session/second-factor", &factor).await;
    assert_eq!(silent.body["code"], "no_password");
    factor["password"] = json!("wrong");
    let wrong = house.call(&li, "POST", "/session/second-factor", &factor).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);

    let guess = json!({"old": "wrong", "new": "four egrets stand"});
    let guesses = (0..10).map(|_| house.call(&li, "POST", "/session/password", &guess));
    for answer in join_all(guesses).await {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    let right = json!({"old": PASSWORD, "new": "four egrets stand"});
    let locked = house.call(&li, "POST", "/session/password", &right).await;
    assert_eq!(locked.status, StatusCode::UNAUTHORIZED, "guessing locks as it does at the door");
    house.pass(Duration::from_secs(61));
    let changed = house.call(&li, "POST", "/session/password", &right).await;
    assert_eq!(changed.status, StatusCode::NO_CONTENT, "{}", changed.body);
    let code = code_of(&first, house.clock.now());
    let came = house.sign_in("li", "four egrets stand", Some(&code)).await;
    assert_eq!(came.status, StatusCode::OK, "the first factor holds: {}", came.body);
    house.end().await;
}

fn code_of(secret: &str, now: Timestamp) -> String {
    let totp = totp_rs::Builder::new()
        .with_algorithm(totp_rs::Algorithm::SHA1)
        .with_digits(6)
        .with_step_duration(30)
        .with_secret(secret.as_bytes().to_vec())
        .with_account_name("li")
        .with_issuer(Some("Medway"))
        .build()
        .unwrap();
    totp.generate(u64::try_from(now.0 / 1_000_000).unwrap()).to_string()
}

async fn enrolled(house: &House, li: &Caller) -> String {
    let drawn = house.call(li, "POST", "/session/second-factor", &json!({})).await;
    let secret = drawn.body["drawn"].as_str().unwrap().to_owned();
    let code = code_of(&secret, house.clock.now());
    let enrol = json!({"drawn": secret, "code": code, "password": PASSWORD});
    let answer = house.call(li, "POST", "/session/second-factor", &enrol).await;
    assert_eq!(answer.body, json!({"enrolled": true}));
    secret
}
