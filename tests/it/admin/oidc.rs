//! Sign-in by a provider: one of the test's own, on loopback.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use medway::access::role::{Role, View};
use medway::admin::auth::Token;
use medway::admin::oidc::Provider;
use medway::admin::sessions::Cookies;
use medway::clock::Clock;
use medway::config::access::{MappedRole, OidcOptions};
use medway::message::secret::Secret;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{Answer, Caller, House};

/// What the provider does next.
#[derive(Default)]
struct Next {
    /// Claims that differ from the usual ones.
    claims: Map<String, Value>,
    nonce: String,
    challenge: String,
    /// Signs with a key that nobody published.
    strange_key: bool,
    asked: Vec<(HeaderMap, Vec<(String, String)>)>,
}

struct Issuer {
    url: String,
    key: rcgen::KeyPair,
    next: Mutex<Next>,
    stop: CancellationToken,
    serving: TaskTracker,
}

/// One question a connection, so that none is left open when the provider goes away.
async fn once(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

impl Issuer {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let key = rcgen::KeyPair::generate().unwrap();
        let stop = CancellationToken::new();
        let next = Mutex::default();
        let serving = TaskTracker::new();
        let issuer =
            Arc::new(Self { url, key, next, stop: stop.clone(), serving: serving.clone() });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(configuration))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .layer(axum::middleware::map_response(once))
            .with_state(Arc::clone(&issuer));
        serving.spawn(async move {
            tokio::select! {
                served = axum::serve(listener, router) => served.unwrap(),
                () = stop.cancelled() => {}
            }
        });
        issuer
    }

    /// It is away when this returns.
    async fn leaves(&self) {
        self.stop.cancel();
        self.serving.close();
        self.serving.wait().await;
    }

    fn says(&self, claim: &str, value: Value) {
        self.next.lock().unwrap().claims.insert(claim.to_owned(), value);
    }
}

async fn configuration(State(issuer): State<Arc<Issuer>>) -> Json<Value> {
    let url = &issuer.url;
    Json(json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }))
}

async fn keys(State(issuer): State<Arc<Issuer>>) -> Json<Value> {
    // An uncompressed point: 4, x, y.
    let point = issuer.key.public_key_raw();
    let part = |from: usize, to: usize| URL_SAFE_NO_PAD.encode(&point[from..to]);
    let key = json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "1",
                     "x": part(1, 33), "y": part(33, 65)});
    Json(json!({"keys": [key]}))
}

async fn token(
    State(issuer): State<Arc<Issuer>>,
    headers: HeaderMap,
    Form(asked): Form<Vec<(String, String)>>,
) -> Result<Json<Value>, (StatusCode, Json<Value>)> {
    let mut next = issuer.next.lock().unwrap();
    let verifier = asked.iter().find(|(name, _)| name == "code_verifier").unwrap().1.clone();
    next.asked.push((headers, asked));
    let digest = ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes());
    if URL_SAFE_NO_PAD.encode(digest) != next.challenge {
        return Err((StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"}))));
    }
    let now = Clock::System.now().0 / 1_000_000;
    let mut claims = json!({
        "iss": issuer.url, "aud": "medway", "sub": "s-1", "nonce": next.nonce,
        "preferred_username": "li", "name": "Li Na", "iat": now, "exp": now + 60,
    });
    claims.as_object_mut().unwrap().extend(next.claims.clone());
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some("1".to_owned());
    let strange = rcgen::KeyPair::generate().unwrap();
    let key = if next.strange_key { &strange } else { &issuer.key };
    let key = EncodingKey::from_ec_pem(key.serialize_pem().as_bytes()).unwrap();
    let signed = encode(&header, &claims, &key).unwrap();
    Ok(Json(json!({"access_token": "a", "token_type": "Bearer", "id_token": signed})))
}

/// A browser at an engine that knows the provider.
struct Visit {
    house: House,
    issuer: Arc<Issuer>,
}

fn mapped(value: &str, role: &str, groups: &[&str]) -> MappedRole {
    MappedRole {
        value: value.to_owned(),
        roles: vec![role.to_owned()],
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    }
}

impl Visit {
    async fn new(mapping: Vec<MappedRole>) -> Self {
        medway::tls::install_provider();
        let issuer = Issuer::start().await;
        let mut house = House::with(&[]).await;
        let options = OidcOptions {
            label: "Hospital account".to_owned(),
            issuer: issuer.url.clone(),
            client_id: "medway".to_owned(),
            client_secret: Some(Secret::new("between us")),
            redirect_url: "http://medway.example/api/v1/session/oidc/callback".to_owned(),
            scopes: vec!["profile".to_owned(), "groups".to_owned()],
            tls: None,
            allow: Vec::new(),
            name_claim: "preferred_username".to_owned(),
            claim: "groups".to_owned(),
            mapping,
        };
        let provider = Some(Arc::new(Provider::new(options, None).unwrap()));
        house.router = medway::admin::router_with(
            Arc::clone(&house.engine),
            Token::new("the-engine's-own"),
            Arc::clone(&house.door),
            Cookies::Plain,
            provider,
        );
        house.person("first", &[Role::SecurityAdmin]).await;
        Self { house, issuer }
    }

    async fn get(&self, path: &str, cookie: &str) -> Answer {
        let request = Request::get(format!("/api/v1{path}")).header("cookie", cookie);
        self.house.send(request.body(Body::empty()).unwrap()).await
    }

    /// Goes to the provider; answers the state it is to send back, and the browser's cookie.
    async fn leave(&self) -> (String, String) {
        let sent = self.get("/session/oidc", "").await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.body);
        let url = url::Url::parse(sent.headers["location"].to_str().unwrap()).unwrap();
        let asked: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(asked["scope"], "openid profile groups");
        let mut next = self.issuer.next.lock().unwrap();
        next.nonce = asked["nonce"].clone();
        next.challenge = asked["code_challenge"].clone();
        let cookie = sent.headers["set-cookie"].to_str().unwrap();
        assert!(cookie.contains("HttpOnly; SameSite=Lax"), "{cookie}");
        (asked["state"].clone(), cookie.split(';').next().unwrap().to_owned())
    }

    async fn come_back(&self, state: &str, cookie: &str) -> Answer {
        self.get(&format!("/session/oidc/callback?code=c&state={state}"), cookie).await
    }

    /// There and back.
    async fn sign_in(&self) -> Answer {
        let (state, cookie) = self.leave().await;
        self.come_back(&state, &cookie).await
    }

    /// Refused with this word, on the page and on record, and no session with it.
    async fn refused(&self, answer: &Answer, status: StatusCode, code: &str) {
        let page = answer.body.as_str().unwrap_or_default();
        assert_eq!(answer.status, status, "{page}");
        assert!(page.contains(&format!("<code>{code}</code>")), "{code}: {page}");
        assert_eq!(session_of(answer), None, "{code}");
        let records = self.house.door.store().audit_from(1, 1000).await.unwrap();
        let last = &records.last().unwrap().entry;
        let said = (last.action.as_str(), last.outcome.as_str(), last.reason.as_str());
        assert_eq!(said, ("session.begin", "denied", code));
    }

    /// Adds somebody who has no password.
    async fn known(&self, name: &str, role: Role) {
        let door = &self.house.door;
        let user = door.new_user(name, name, None, &[role], View::Masked).await.unwrap();
        assert!(door.store().add_user(&user).await.unwrap());
    }
}

/// The session that an answer begins, as a browser sends it.
fn session_of(answer: &Answer) -> Option<String> {
    let cookies = answer.headers.get_all("set-cookie").iter();
    let pairs = cookies.map(|value| value.to_str().unwrap().split(';').next().unwrap());
    pairs.into_iter().find(|pair| pair.starts_with("medway=")).map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_added_signs_in_by_the_provider_and_what_they_may_stays_here() {
    let visit = Visit::new(Vec::new()).await;
    let ways = visit.get("/session/ways", "").await.body;
    let way = json!({"label": "Hospital account", "href": "/api/v1/session/oidc"});
    assert_eq!(ways, json!({"password": true, "provider": way}));
    let unadded = visit.sign_in().await;
    visit.refused(&unadded, StatusCode::FORBIDDEN, "not_added").await;

    visit.known("li", Role::Viewer).await;
    let came = visit.sign_in().await;
    assert_eq!(came.status, StatusCode::SEE_OTHER, "{}", came.body);
    assert_eq!(came.headers["location"], "/");
    let session = session_of(&came).unwrap();
    let seen = visit.get("/session", &session).await;
    assert_eq!((&seen.body["user"], &seen.body["view"]), (&json!("li"), &json!("masked")));
    {
        let next = visit.issuer.next.lock().unwrap();
        let (headers, asked) = next.asked.last().unwrap();
        assert!(headers["authorization"].to_str().unwrap().starts_with("Basic "));
        assert!(asked.iter().all(|(_, value)| !value.contains("between us")), "{asked:?}");
    }
    let trail = visit.house.trail().await;
    assert!(trail.contains(&"user:li user.change granted li".to_owned()), "{trail:?}");
    assert_eq!(trail.last().unwrap(), "user:li session.begin done");

    // The provider may call the same person something else; a namesake is somebody else.
    visit.issuer.says("preferred_username", json!("li.na"));
    let again = visit.sign_in().await;
    let seen = visit.get("/session", &session_of(&again).unwrap()).await;
    assert_eq!(seen.body["user"], "li");
    visit.issuer.says("preferred_username", json!("li"));
    visit.issuer.says("sub", json!("s-2"));
    let namesake = visit.sign_in().await;
    visit.refused(&namesake, StatusCode::FORBIDDEN, "name_taken").await;
    visit.issuer.says("preferred_username", json!("first"));
    let administrator = visit.sign_in().await;
    visit.refused(&administrator, StatusCode::FORBIDDEN, "name_taken").await;
    visit.house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_at_the_provider_give_roles_and_a_disabled_user_stays_out() {
    let mapping = vec![
        mapped("ops", "operator", &["lab"]),
        mapped("readers", "auditor", &[]),
        mapped("everywhere", "viewer", &["lab", "ward"]),
    ];
    let visit = Visit::new(mapping).await;
    visit.issuer.says("groups", json!(["staff"]));
    let nobody = visit.sign_in().await;
    visit.refused(&nobody, StatusCode::FORBIDDEN, "no_role").await;
    visit.issuer.says("groups", json!(["staff", "ops", "readers"]));
    let came = visit.sign_in().await;
    let first = session_of(&came).unwrap();
    let user = visit.house.door.store().user("li").await.unwrap().unwrap();
    assert_eq!(user.display, "Li Na");
    assert_eq!(user.roles, ["operator", "auditor"]);
    assert_eq!(user.groups, ["lab"], "a role without a limit widens none");
    let trail = visit.house.trail().await;
    assert!(trail.contains(&"user:li user.add granted li".to_owned()), "{trail:?}");

    visit.issuer.says("groups", json!("everywhere"));
    let again = session_of(&visit.sign_in().await).unwrap();
    assert_ne!(first, again, "always a new session");
    let seen = visit.get("/session", &again).await.body;
    assert_eq!((&seen["view"], &seen["groups"]), (&json!("masked"), &json!(["lab", "ward"])));

    visit.issuer.says("groups", json!([]));
    let fallen = visit.sign_in().await;
    visit.refused(&fallen, StatusCode::FORBIDDEN, "no_role").await;
    let over = visit.get("/session", &again).await;
    assert_eq!(over.status, StatusCode::UNAUTHORIZED, "who has no role left is signed out");

    let mut user = visit.house.door.store().user("li").await.unwrap().unwrap();
    user.disabled = true;
    visit.house.door.store().put_user(&user).await.unwrap();
    visit.issuer.says("groups", json!(["ops"]));
    let disabled = visit.sign_in().await;
    visit.refused(&disabled, StatusCode::FORBIDDEN, "disabled").await;
    visit.issuer.says("sub", json!("s-3"));
    visit.issuer.says("preferred_username", json!("li\" onload=x"));
    let odd = visit.sign_in().await;
    visit.refused(&odd, StatusCode::FORBIDDEN, "bad_name").await;
    assert!(!odd.body.as_str().unwrap().contains("onload"), "{}", odd.body);
    visit.issuer.says("preferred_username", Value::Null);
    let nameless = visit.sign_in().await;
    visit.refused(&nameless, StatusCode::FORBIDDEN, "no_name").await;
    visit.house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_not_asked_for_lets_nobody_in() {
    let visit = Visit::new(Vec::new()).await;
    visit.known("li", Role::Viewer).await;
    let out = StatusCode::UNAUTHORIZED;
    let (state, cookie) = visit.leave().await;
    let (_, other) = visit.leave().await;
    for strange in ["", "medway-oidc=guess", "medway-oidc=a.1800000000000000", &other] {
        let refused = visit.come_back(&state, strange).await;
        visit.refused(&refused, out, "not_begun_here").await;
    }
    let unknown = visit.come_back("guess", &cookie).await;
    visit.refused(&unknown, out, "not_begun_here").await;
    // The provider was asked for this one last, so its challenge is the other's: no token either.
    let crossed = visit.come_back(&state, &cookie).await;
    visit.refused(&crossed, out, "not_accepted").await;
    let used = visit.come_back(&state, &cookie).await;
    visit.refused(&used, out, "not_begun_here").await;

    let (state, cookie) = visit.leave().await;
    let declined = format!("/session/oidc/callback?error=access_denied&state={state}");
    let declined = visit.get(&declined, &cookie).await;
    visit.refused(&declined, out, "declined").await;

    let (state, cookie) = visit.leave().await;
    visit.issuer.next.lock().unwrap().nonce = "another".to_owned();
    let replayed = visit.come_back(&state, &cookie).await;
    visit.refused(&replayed, out, "not_accepted").await;
    let past = Clock::System.now().0 / 1_000_000 - 600;
    for (claim, wrong) in [
        ("aud", json!("somebody else")),
        ("aud", json!(["medway", "somebody else"])),
        ("iss", json!("http://127.0.0.1:1")),
        ("exp", json!(past)),
    ] {
        visit.issuer.says(claim, wrong);
        let refused = visit.sign_in().await;
        visit.refused(&refused, out, "not_accepted").await;
        visit.issuer.next.lock().unwrap().claims.clear();
    }
    visit.issuer.next.lock().unwrap().strange_key = true;
    let forged = visit.sign_in().await;
    visit.refused(&forged, out, "not_accepted").await;
    visit.issuer.next.lock().unwrap().strange_key = false;

    let (state, cookie) = visit.leave().await;
    visit.house.pass(Duration::from_mins(10));
    let late = visit.come_back(&state, &cookie).await;
    visit.refused(&late, out, "not_begun_here").await;
    assert!(session_of(&visit.sign_in().await).is_some(), "the right answer still counts");
    visit.house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_is_said_and_passwords_go_on() {
    let visit = Visit::new(Vec::new()).await;
    visit.known("li", Role::Viewer).await;
    let (state, cookie) = visit.leave().await;
    visit.issuer.leaves().await;
    let refused = visit.come_back(&state, &cookie).await;
    visit.refused(&refused, StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable").await;
    visit.house.pass(Duration::from_mins(11));
    for _ in 0..2 {
        let away = visit.get("/session/oidc", "").await;
        assert_eq!(away.status, StatusCode::SERVICE_UNAVAILABLE);
        let page = away.body.as_str().unwrap();
        assert!(page.contains("provider_unavailable") && page.contains("统一登录"), "{page}");
        assert!(!page.contains(&visit.issuer.url), "the page names no address: {page}");
    }
    let nobody = Caller::default();
    let body = json!({"user": "first", "password": "three herons wade"});
    let came = visit.house.call(&nobody, "POST", "/session", &body).await;
    assert_eq!(came.status, StatusCode::OK);
    visit.house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_there_is_no_such_way() {
    let house = House::with(&[]).await;
    let nobody = Caller::default();
    let ways = house.call(&nobody, "GET", "/session/ways", &Value::Null).await;
    assert_eq!(ways.body, json!({"password": true}));
    for path in ["/session/oidc", "/session/oidc/callback?code=c&state=s"] {
        let refused = house.call(&nobody, "GET", path, &Value::Null).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{path}");
    }
    house.end().await;
}
