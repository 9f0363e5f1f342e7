//! Users, sessions, roles and the audit trail, through the API as a browser and a program use it.

mod groups;
mod hostile;
mod over;
mod people;
mod proof;
mod records;
mod views;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use medway::access::door::{Door, DoorOptions};
use medway::access::role::{Permission, Role, View};
use medway::access::verify::{Verified, verify};
use medway::admin::auth::Token;
use medway::admin::route::{Needs, ROUTES};
use medway::admin::sessions::Cookies;
use medway::clock::Clock;
use medway::config::load::{LoadOptions, load};
use medway::engine::Engine;
use medway::fhir::outcome::Issue;
use medway::fhir::validate::validate;
use medway::message::time::Timestamp;
use medway::store::Store;
use medway::store::access::AccessStore;
use medway::store::sqlite::access::SqliteAccess;
use medway::store::sqlite::{SqliteOptions, SqliteStore};
use serde_json::{Value, json};
use tower::ServiceExt;

/// A channel whose messages are found by their patient.
pub(crate) const KEYED: &str = "channel: adt
from:
  http: {listen: 127.0.0.1:0}
search_keys:
  mrn: PID-3.1
to:
  lis:
    mllp: {host: 127.0.0.1, port: 1}
";
pub(crate) const PASSWORD: &str = "three herons wade";

/// An engine, its API, and a clock that stands still.
pub(crate) struct House {
    pub(crate) router: Router,
    pub(crate) door: Arc<Door>,
    pub(crate) clock: Clock,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) engine: Arc<Engine>,
}

/// Somebody who uses the API.
#[derive(Default, Clone)]
pub(crate) struct Caller {
    pub(crate) cookie: Option<String>,
    pub(crate) csrf: Option<String>,
    pub(crate) bearer: Option<String>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl House {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these channels: name and file.
    pub(crate) async fn with(channels: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::create_dir(path.join("channels")).unwrap();
        for (name, text) in channels {
            std::fs::write(path.join(format!("channels/{name}.yaml")), text).unwrap();
        }
        std::fs::create_dir(path.join("data")).unwrap();
        std::fs::write(path.join("engine.yaml"), "data: data\nchannels: channels\n").unwrap();
        let clock = Clock::manual(Timestamp(1_800_000_000_000_000));
        Self::at(folder, clock).await
    }

    /// The engine of a folder, its store and its users as they lie there.
    async fn at(folder: tempfile::TempDir, clock: Clock) -> Self {
        let path = folder.path();
        let loaded = load(path, &LoadOptions::default());
        assert!(loaded.starts(), "{:?}", loaded.findings);
        let store = SqliteStore::open(SqliteOptions::new(path.join("data/medway.db"))).await;
        let store: Arc<dyn Store> = Arc::new(store.unwrap());
        let again = path.to_path_buf();
        let loader = Box::new(move || Ok(load(&again, &LoadOptions::default())));
        let access = SqliteAccess::open(&path.join("data/access.db")).await.unwrap();
        let access: Arc<dyn AccessStore> = Arc::new(access);
        let trail = Arc::clone(&access);
        let engine = Engine::start(&loaded, loader, store, trail, clock.clone()).await.unwrap();
        let door = Door::new(access, clock.clone(), DoorOptions::default()).unwrap();
        let door = Arc::new(door);
        let token = Token::new("the-engine's-own");
        let router =
            medway::admin::router(Arc::clone(&engine), token, Arc::clone(&door), Cookies::Plain);
        Self { router, door, clock, folder, engine }
    }

    pub(crate) fn pass(&self, time: Duration) {
        let Clock::Manual(moment) = &self.clock else { unreachable!("the clock is manual") };
        let micros = i64::try_from(time.as_micros()).unwrap();
        moment.fetch_add(micros, std::sync::atomic::Ordering::SeqCst);
    }

    pub(crate) async fn call(
        &self,
        caller: &Caller,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        if let Some(cookie) = &caller.cookie {
            request = request.header("cookie", format!("other=1; medway={cookie}"));
        }
        if let Some(csrf) = &caller.csrf {
            request = request.header("x-csrf-token", csrf);
        }
        if let Some(bearer) = &caller.bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let request = match body {
            Value::Null => request.body(Body::empty()),
            body => request
                .header("content-type", "application/json")
                .body(Body::from(body.to_string())),
        };
        self.send(request.unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        // A live stream has no end to wait for.
        let streams = headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let body = if streams { Body::empty() } else { response.into_body() };
        let bytes = to_bytes(body, 1 << 20).await.unwrap();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status, headers, body }
    }

    async fn sign_in(&self, user: &str, password: &str, code: Option<&str>) -> Answer {
        let body = json!({"user": user, "password": password, "code": code});
        self.call(&Caller::default(), "POST", "/session", &body).await
    }

    /// Adds a user of these roles, without the API.
    pub(crate) async fn person(&self, name: &str, roles: &[Role]) -> Caller {
        self.person_of(name, roles, &[]).await
    }

    /// The same, limited to these groups of channels.
    pub(crate) async fn person_of(&self, name: &str, roles: &[Role], groups: &[&str]) -> Caller {
        let view = roles.iter().map(|role| role.view()).max().unwrap();
        self.person_seeing(name, roles, groups, view).await
    }

    /// The same, with this view level.
    pub(crate) async fn person_seeing(
        &self,
        name: &str,
        roles: &[Role],
        groups: &[&str],
        view: View,
    ) -> Caller {
        let password = Some(medway::message::secret::Secret::new(PASSWORD));
        let mut user = self.door.new_user(name, name, password, roles, view).await.unwrap();
        user.groups = groups.iter().map(|group| (*group).to_owned()).collect();
        assert!(self.door.store().add_user(&user).await.unwrap());
        caller_of(&self.sign_in(name, PASSWORD, None).await)
    }

    /// Who holds the engine's own token.
    pub(crate) fn engine_itself(&self) -> Caller {
        Caller { bearer: Some("the-engine's-own".to_owned()), ..Caller::default() }
    }

    pub(crate) async fn trail(&self) -> Vec<String> {
        let records = self.door.store().audit_from(1, 1000).await.unwrap();
        let line = |one: &medway::store::access::AuditRecord| {
            let entry = &one.entry;
            format!("{} {} {} {}", entry.actor, entry.action, entry.outcome, entry.object)
        };
        records.iter().map(|one| line(one).trim_end().to_owned()).collect()
    }

    /// Stops, changes what lies on the disk, and starts again.
    pub(crate) async fn again(self, change: impl FnOnce(&std::path::Path)) -> Self {
        self.engine.stop().await;
        self.door.store().close_access().await;
        let Self { folder, clock, .. } = self;
        change(&folder.path().join("data"));
        Self::at(folder, clock).await
    }

    pub(crate) async fn end(self) {
        self.engine.stop().await;
        self.door.store().close_access().await;
        drop(self.folder);
    }
}

fn caller_of(answer: &Answer) -> Caller {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    let (pair, attributes) = cookie.split_once(';').unwrap();
    assert_eq!(attributes.trim(), "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict");
    Caller {
        cookie: Some(pair.strip_prefix("medway=").unwrap().to_owned()),
        csrf: Some(answer.body["csrf"].as_str().unwrap().to_owned()),
        bearer: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_administrator_comes_by_the_one_time_link_alone() {
    let house = House::new().await;
    let nobody = Caller::default();
    let refused = house.sign_in("admin", "admin", None).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "no default password");
    let link = house.door.invite().await.unwrap().unwrap();
    let set_up = |token: &str| json!({"token": token, "user": "wang", "password": PASSWORD});
    let wrong = house.call(&nobody, "POST", "/setup", &set_up("guess")).await;
    assert_eq!((wrong.status, &wrong.body["code"]), (StatusCode::UNAUTHORIZED, &json!("set_up")));
    let first = house.call(&nobody, "POST", "/setup", &set_up(link.expose())).await;
    let wang = caller_of(&first);
    let again = house.call(&nobody, "POST", "/setup", &set_up(link.expose())).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);
    assert!(house.door.invite().await.unwrap().is_none(), "no second link");

    let new = json!({"name": "li", "password": PASSWORD, "roles": ["operator"]});
    assert_eq!(house.call(&wang, "POST", "/users", &new).await.status, StatusCode::CREATED);
    assert_eq!(house.call(&wang, "POST", "/users", &new).await.status, StatusCode::CONFLICT);
    let seen = house.call(&wang, "POST", "/messages/search", &json!({})).await;
    assert_eq!(seen.status, StatusCode::FORBIDDEN, "who administers people sees no message");
    let own = json!({"roles": ["operator", "security_admin"]});
    let raised = house.call(&wang, "PUT", "/users/wang", &own).await;
    assert_eq!(raised.body["code"], "own_rights");
    let li = caller_of(&house.sign_in("li", PASSWORD, None).await);
    let found = house.call(&li, "POST", "/messages/search", &json!({})).await;
    assert_eq!(found.status, StatusCode::OK, "{}", found.body);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_open_to_the_roles_of_the_table_and_to_nobody_else() {
    let house = House::new().await;
    let mut people = Vec::new();
    for role in Role::ALL {
        people.push((role, house.person(role.name(), &[role]).await));
    }
    let expired = Caller { bearer: Some("no-such-token".to_owned()), ..Caller::default() };
    for route in ROUTES {
        let path = route
            .path
            .replace("{channel}", "none")
            .replace("{destination}", "none")
            .replace("{id}", "018f0000-0000-7000-8000-000000000000")
            .replace("{act}", "none")
            .replace("{version}", "1")
            .replace("{name}", "none");
        // Signing out would end the session that the next route needs.
        if (route.method, route.path) == ("DELETE", "/session") || route.needs == Needs::Nothing {
            continue;
        }
        let body = if route.method == "GET" { Value::Null } else { json!({}) };
        for stranger in [&Caller::default(), &expired] {
            let answer = house.call(stranger, route.method, &path, &body).await;
            let what = (route.method, route.path);
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what:?}");
            assert_eq!(answer.body["code"], "unauthorized", "{what:?}");
        }
        for (role, caller) in &people {
            let answer = house.call(caller, route.method, &path, &body).await;
            let may = match route.needs {
                Needs::May(permission) => role.permissions().contains(&permission),
                Needs::Anybody | Needs::Nothing => true,
            };
            let what = (role.name(), route.method, route.path, answer.status);
            let forbidden = answer.status == StatusCode::FORBIDDEN;
            // What a view level hides is forbidden too, to a role that has the permission.
            assert!(may != forbidden || route.action.starts_with("message."), "{what:?}");
            assert!(may || forbidden, "{what:?}");
            if route.method != "GET" {
                let forged = Caller { csrf: None, ..caller.clone() };
                let answer = house.call(&forged, route.method, &path, &body).await;
                assert_eq!(answer.body["code"], "forged", "{what:?}");
            }
        }
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_locks_the_account_and_says_nothing() {
    let house = House::new().await;
    house.person("li", &[Role::Viewer]).await;
    let unknown = house.sign_in("nobody", "wrong", None).await;
    for _ in 0..5 {
        let wrong = house.sign_in("li", "wrong", None).await;
        assert_eq!((wrong.status, &wrong.body), (unknown.status, &unknown.body));
    }
    let right = house.sign_in("li", PASSWORD, None).await;
    assert_eq!(right.body, unknown.body, "locked, and not told apart");
    house.pass(Duration::from_secs(61));
    assert_eq!(house.sign_in("li", PASSWORD, None).await.status, StatusCode::OK);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_idle_when_old_and_when_its_user_is_disabled() {
    let house = House::new().await;
    let li = house.person("li", &[Role::Viewer]).await;
    let see = |caller: Caller| {
        let house = &house;
        async move { house.call(&caller, "GET", "/session", &Value::Null).await.status }
    };
    house.pass(Duration::from_mins(14));
    assert_eq!(see(li.clone()).await, StatusCode::OK);
    house.pass(Duration::from_mins(14));
    assert_eq!(see(li.clone()).await, StatusCode::OK, "its use is noted");
    house.pass(Duration::from_mins(16));
    assert_eq!(see(li).await, StatusCode::UNAUTHORIZED, "idle");
    let li = caller_of(&house.sign_in("li", PASSWORD, None).await);
    for _ in 0..52 {
        house.pass(Duration::from_mins(14));
        see(li.clone()).await;
    }
    assert_eq!(see(li).await, StatusCode::UNAUTHORIZED, "old");
    let li = caller_of(&house.sign_in("li", PASSWORD, None).await);
    let boss = house.person("boss", &[Role::SecurityAdmin]).await;
    let off = house.call(&boss, "PUT", "/users/li", &json!({"disabled": true})).await;
    assert_eq!(off.status, StatusCode::OK, "{}", off.body);
    assert_eq!(see(li).await, StatusCode::UNAUTHORIZED, "disabled");
    assert_eq!(house.sign_in("li", PASSWORD, None).await.status, StatusCode::UNAUTHORIZED);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_page_asks_by_itself_keeps_no_session_alive() {
    let house = House::new().await;
    let li = house.person("li", &[Role::Viewer]).await;
    let ask = |path: &'static str, by_itself: bool| {
        let (house, cookie) = (&house, format!("medway={}", li.cookie.as_deref().unwrap()));
        let mut request = Request::builder().uri(format!("/api/v1{path}")).header("cookie", cookie);
        if by_itself {
            request = request.header("x-medway-background", "1");
        }
        async move { house.send(request.body(Body::empty()).unwrap()).await }
    };
    let left = |answer: &Answer| answer.body["ends_in_seconds"].as_u64().unwrap();
    house.pass(Duration::from_mins(10));
    assert_eq!(left(&ask("/session", true).await), 300);
    for path in ["/channels", "/status", "/live"] {
        assert_eq!(ask(path, true).await.status, StatusCode::OK, "{path}");
    }
    // A browser opens a stream again by itself, without a header of ours.
    assert_eq!(ask("/live", false).await.status, StatusCode::OK);
    assert_eq!(left(&ask("/session", true).await), 300, "nothing of that was a use");
    assert_eq!(left(&ask("/session", false).await), 900, "somebody used it");
    house.pass(Duration::from_mins(14));
    assert_eq!(left(&ask("/session", true).await), 60);
    house.pass(Duration::from_mins(2));
    assert_eq!(ask("/channels", true).await.status, StatusCode::UNAUTHORIZED);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_is_asked_for_and_counts_once() {
    let house = House::new().await;
    let li = house.person("li", &[Role::Viewer]).await;
    let drawn = house.call(&li, "POST", "/session/second-factor", &json!({})).await;
    let secret = drawn.body["drawn"].as_str().unwrap().to_owned();
    assert!(drawn.body["link"].as_str().unwrap().starts_with("otpauth://totp/Medway:li?"));
    let code = |seconds: i64| {
        let totp = totp_rs::Builder::new()
            .with_algorithm(totp_rs::Algorithm::SHA1)
            .with_digits(6)
            .with_step_duration(30)
            .with_secret(secret.clone().into_bytes())
            .with_account_name("li")
            .with_issuer(Some("Medway"))
            .build()
            .unwrap();
        totp.generate(u64::try_from(seconds).unwrap()).to_string()
    };
    let now = house.clock.now().0 / 1_000_000;
    let enrol = json!({"drawn": secret, "code": code(now), "password": PASSWORD});
    let enrolled = house.call(&li, "POST", "/session/second-factor", &enrol).await;
    assert_eq!(enrolled.body, json!({"enrolled": true}));
    let asked = house.sign_in("li", PASSWORD, None).await;
    assert_eq!(asked.body["code"], "second_factor_needed");
    let used = house.sign_in("li", PASSWORD, Some(&code(now))).await;
    assert_eq!(used.status, StatusCode::UNAUTHORIZED, "the enrolling code was used");
    house.pass(Duration::from_secs(60));
    let fresh = house.sign_in("li", PASSWORD, Some(&code(now + 60))).await;
    assert_eq!(fresh.status, StatusCode::OK, "{}", fresh.body);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_have_tokens_that_end_and_can_be_taken_back() {
    let house = House::new().await;
    let boss = house.person("boss", &[Role::SecurityAdmin]).await;
    let new = json!({"name": "monitor", "roles": ["viewer"], "days": 30});
    let engine = house.engine_itself();
    let made = house.call(&engine, "POST", "/tokens", &new).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let token = made.body["token"].as_str().unwrap().to_owned();
    let monitor = Caller { bearer: Some(token.clone()), ..Caller::default() };
    let status = |house: &House| {
        let (caller, router) = (monitor.clone(), house.router.clone());
        async move {
            let request = Request::get("/api/v1/status")
                .header("authorization", format!("Bearer {}", caller.bearer.unwrap()));
            router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
        }
    };
    assert_eq!(status(&house).await, StatusCode::OK);
    let listed = house.call(&boss, "GET", "/tokens", &Value::Null).await;
    assert!(!listed.body.to_string().contains(&token), "shown once");
    let gone = house.call(&boss, "DELETE", "/tokens/monitor", &json!({"reason": "left"})).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(status(&house).await, StatusCode::UNAUTHORIZED);
    let made = house
        .call(&engine, "POST", "/tokens", &json!({"name": "two", "roles": ["viewer"], "days": 1}))
        .await;
    let two = Caller {
        bearer: Some(made.body["token"].as_str().unwrap().to_owned()),
        ..Caller::default()
    };
    house.pass(Duration::from_hours(25));
    let ended = house.call(&two, "GET", "/status", &Value::Null).await;
    assert_eq!(ended.status, StatusCode::UNAUTHORIZED);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn emergency_access_shows_all_for_an_hour_and_is_on_record() {
    let house = House::new().await;
    let ward = house.person("ward", &[Role::Viewer]).await;
    let body = "/messages/018f0000-0000-7000-8000-000000000000/body";
    let before = house.call(&ward, "GET", body, &Value::Null).await;
    assert_eq!(before.status, StatusCode::FORBIDDEN);
    let ask = |password: &str, reason: &str| json!({"password": password, "reason": reason});
    let wrong =
        house.call(&ward, "POST", "/session/emergency", &ask("guess", "resuscitation")).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    let silent = house.call(&ward, "POST", "/session/emergency", &ask(PASSWORD, " ")).await;
    assert_eq!(silent.body["code"], "no_reason");
    let taken =
        house.call(&ward, "POST", "/session/emergency", &ask(PASSWORD, "resuscitation")).await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.body);
    let now = house.call(&ward, "GET", body, &Value::Null).await;
    assert_eq!(now.status, StatusCode::NOT_FOUND, "allowed; there is no such message");
    for _ in 0..5 {
        house.pass(Duration::from_mins(13));
        house.call(&ward, "GET", "/session", &Value::Null).await;
    }
    let after = house.call(&ward, "GET", body, &Value::Null).await;
    assert_eq!(after.status, StatusCode::FORBIDDEN, "the hour is over");
    let records = house.door.store().audit_from(1, 100).await.unwrap();
    let emergency = records
        .iter()
        .find(|one| one.entry.action == "session.emergency" && one.entry.reason == "resuscitation");
    assert_eq!(emergency.unwrap().entry.actor, "user:ward");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_holds_every_look_and_act_and_shows_tampering() {
    let house = House::new().await;
    let li = house.person("li", &[Role::Operator]).await;
    let auditor = house.person("auditor", &[Role::Auditor]).await;
    house.call(&li, "POST", "/messages/search", &json!({"value": "CANARY-MRN-77"})).await;
    let pause = json!({"reason": "maintenance of the laboratory"});
    house.call(&li, "POST", "/destinations/adt/lis/pause", &pause).await;
    house.call(&li, "POST", "/audit/search", &json!({})).await;
    let trail = house.trail().await;
    for line in [
        "user:li session.begin done",
        "user:li destination.switch granted adt/lis/pause",
        "user:li destination.switch failed adt/lis/pause",
        "user:li audit.read denied",
    ] {
        assert!(trail.iter().any(|one| one == line), "{line:?} in {trail:?}");
    }
    assert!(trail.iter().any(|line| line.starts_with("user:li message.search granted term:")));
    assert!(!trail.join("\n").contains("CANARY"), "what was searched for is no part of it");
    let read = house.call(&auditor, "POST", "/audit/search", &json!({"actor": "user:li"})).await;
    assert_eq!(read.body["records"].as_array().unwrap().len(), 5);
    let family = json!({"action": "destination."});
    let read = house.call(&auditor, "POST", "/audit/search", &family).await;
    assert_eq!(read.body["records"][0]["reason"], "maintenance of the laboratory");
    let whole = house.call(&auditor, "GET", "/audit/verify", &Value::Null).await;
    assert_eq!(whole.body["whole"], true, "{}", whole.body);
    let csv = house.call(&auditor, "GET", "/audit/export?format=csv", &Value::Null).await;
    assert!(csv.body.as_str().unwrap().contains(",user:li,"), "{}", csv.body);
    let fhir = house.call(&auditor, "GET", "/audit/export?format=fhir", &Value::Null).await;
    assert_eq!(fhir.body["entry"][0]["resource"]["resourceType"], "AuditEvent");

    for entry in fhir.body["entry"].as_array().unwrap() {
        let text = entry.to_string();
        assert!(!text.contains("\"\"") && !text.contains("[]") && !text.contains("null"), "{text}");
    }
    let found: Vec<_> = validate(&fhir.body).into_iter().filter(Issue::is_error).collect();
    assert!(found.is_empty(), "FHIR R4 AuditEvent: {found:?}");
    let one = "/audit/export?format=csv&action=destination.&actor=user:li";
    let one = house.call(&auditor, "GET", one, &Value::Null).await;
    let lines: Vec<&str> = one.body.as_str().unwrap().lines().collect();
    assert_eq!(lines.len(), 3, "its head and the two of li: {lines:?}");
    assert!(!one.headers.contains_key("medway-next"), "that was all");

    let path = house.folder.path().join("data/access.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    let refused = database.execute("UPDATE audit SET actor = 'user:x' WHERE no = 2", []);
    assert!(refused.unwrap_err().to_string().contains("only added to"));
    database.execute("DROP TRIGGER audit_no_update", []).unwrap();
    database.execute("UPDATE audit SET reason = 'other' WHERE no = 2", []).unwrap();
    drop(database);
    let said = verify(&**house.door.store()).await.unwrap();
    assert_eq!(said, Verified::Broken { number: 2, why: "it is not as it was written" });
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_go_on_record_is_refused() {
    let house = House::new().await;
    let li = house.person("li", &[Role::Operator]).await;
    let path = house.folder.path().join("data/access.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    database
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END",
        )
        .unwrap();
    drop(database);
    let answer = house.call(&li, "POST", "/messages/search", &json!({})).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    let answer = house.call(&li, "GET", "/status", &Value::Null).await;
    assert_eq!(answer.status, StatusCode::OK, "states are shown without a record");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_is_refused_and_every_answer_carries_the_policy() {
    let house = House::new().await;
    let li = house.person("li", &[Role::Viewer]).await;
    let request = Request::post("/api/v1/session")
        .header("origin", "https://evil.example")
        .header("host", "medway.example")
        .header("content-type", "application/json")
        .body(Body::from(json!({"user": "li", "password": PASSWORD}).to_string()));
    assert_eq!(house.send(request.unwrap()).await.body["code"], "forged");
    for path in ["/", "/channels", "/no-such.js", "/api/v1/none", "/livez"] {
        let answer = house.send(Request::get(path).body(Body::empty()).unwrap()).await;
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(answer.headers["x-frame-options"], "DENY", "{path}");
    }
    let kept = house.call(&li, "GET", "/status", &Value::Null).await;
    assert_eq!(kept.headers["cache-control"], "no-store");
    let big = json!({"value": "x".repeat(100_000)});
    let answer = house.call(&li, "POST", "/messages/search", &big).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(Role::Viewer.permissions().contains(&Permission::SeeMessages));
    house.end().await;
}
