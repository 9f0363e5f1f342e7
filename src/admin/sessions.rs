//! Signing in and out, the second factor, emergency access, and the first set-up.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::door::{Actor, Begun, Denied, Door};
use crate::access::token::{csrf, draw};
use crate::access::totp;
use crate::admin::guard::{Address, SessionToken, record, session_of};
use crate::admin::problem::Problem;
use crate::message::secret::Secret;
use crate::message::time::Timestamp;
use crate::store::access::AuditEntry;

/// Whether cookies are bound to TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookies {
    /// The admin surface speaks TLS.
    Secure,
    /// It does not.
    Plain,
}

impl Cookies {
    /// The name of a session's cookie. The prefix binds it to this host and to TLS (RFC 6265bis §4.1.3.2);
    /// without TLS browsers would not send it, so there it has a plain name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Secure => "__Host-medway",
            Self::Plain => "medway",
        }
    }
}

/// A secret in a request. `Debug` shows nothing.
fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Secret::new(&text))
}

fn maybe_secret<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Secret>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(|text| Secret::new(&text)))
}

/// Name and password.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignIn {
    user: String,
    #[serde(deserialize_with = "secret")]
    password: Secret,
    code: Option<String>,
}

/// The first user.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetUp {
    #[serde(deserialize_with = "secret")]
    token: Secret,
    user: String,
    #[serde(deserialize_with = "secret")]
    password: Secret,
}

/// When a session ends at the latest, and how long it goes on when nobody uses it.
type Ends = Option<(Timestamp, Duration)>;

fn shown(actor: &Actor, ends: Ends, csrf: &str) -> Value {
    json!({
        "user": actor.name.split_once(':').map_or(actor.name.as_str(), |(_, name)| name),
        "view": actor.view.name(),
        "groups": actor.groups,
        "permissions": actor.permissions.iter().map(|one| one.name()).collect::<Vec<_>>(),
        "csrf": csrf,
        "expires_at": ends.map(|(at, _)| at.to_string()),
        "ends_in_seconds": ends.map(|(_, left)| left.as_secs()),
        "emergency_until": actor.emergency_until.map(|at| at.to_string()),
    })
}

fn cookie(cookies: Cookies, value: &str, seconds: u64) -> Result<HeaderValue, Problem> {
    let name = cookies.name();
    let secure = if cookies == Cookies::Secure { "; Secure" } else { "" };
    let text =
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).map_err(|_| Problem::fault("the session's cookie cannot be made"))
}

/// The cookie of a session that has just begun.
pub(crate) fn session_cookie(
    door: &Door,
    cookies: Cookies,
    begun: &Begun,
) -> Result<HeaderValue, Problem> {
    cookie(cookies, begun.token.expose(), door.options().longest.as_secs())
}

fn begun(door: &Door, cookies: Cookies, begun: &Begun) -> Result<Response, Problem> {
    let cookie = session_cookie(door, cookies, begun)?;
    let ends = Some((begun.ends_at, door.options().idle.min(door.options().longest)));
    let body = Json(shown(&begun.actor, ends, &csrf(begun.token.expose())));
    let mut response = body.into_response();
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}

/// Sign-ins go on record whatever comes of them, with the name that was tried.
async fn noted(
    door: &Door,
    action: &str,
    name: &str,
    address: &Address,
    outcome: &str,
) -> Result<(), Problem> {
    record(door, tried(door, name, address, action, outcome)).await
}

/// What goes on record of somebody who is not signed in yet, under the name that was tried.
pub(crate) fn tried(
    door: &Door,
    name: &str,
    address: &Address,
    action: &str,
    outcome: &str,
) -> AuditEntry {
    let name: String = name.chars().filter(|sign| !sign.is_control()).take(64).collect();
    AuditEntry {
        at: door.now(),
        actor: format!("user:{name}"),
        address: address.0.clone(),
        action: action.to_owned(),
        outcome: outcome.to_owned(),
        object: String::new(),
        reason: String::new(),
    }
}

pub(crate) fn denied(error: Denied) -> Problem {
    match error {
        Denied::Unknown => Problem::not_admitted("unknown", &Denied::Unknown.to_string()),
        Denied::SecondFactor => {
            Problem::not_admitted("second_factor_needed", &Denied::SecondFactor.to_string())
        }
        Denied::SetUp => Problem::not_admitted("set_up", &Denied::SetUp.to_string()),
        Denied::Password(_) | Denied::Name(_) => Problem::bad("not_taken", error.to_string()),
        Denied::Store(error) => error.into(),
        Denied::Randomness(_) | Denied::Lost => Problem::unavailable(error.to_string()),
    }
}

/// Signs in. The session is always a new one; one that the browser still had ends, whoever began it.
pub(crate) async fn sign_in(
    Extension(door): Extension<Arc<Door>>,
    Extension(cookies): Extension<Cookies>,
    Extension(address): Extension<Address>,
    headers: HeaderMap,
    Json(given): Json<SignIn>,
) -> Result<Response, Problem> {
    let came = door.sign_in(&given.user, given.password, given.code.as_deref(), &address.0).await;
    let outcome = if came.is_ok() { "done" } else { "denied" };
    noted(&door, "session.begin", &given.user, &address, outcome).await?;
    let came = came.map_err(denied)?;
    if let Some(before) = session_of(cookies, &headers)
        && let Some((actor, _)) = door.by_session(before).await?
        && let Some(hash) = &actor.session
    {
        door.store().end_session(hash).await?;
    }
    begun(&door, cookies, &came)
}

/// Makes the first user by the one-time link.
pub(crate) async fn set_up(
    Extension(door): Extension<Arc<Door>>,
    Extension(cookies): Extension<Cookies>,
    Extension(address): Extension<Address>,
    Json(given): Json<SetUp>,
) -> Result<Response, Problem> {
    let came = door.set_up(given.token.expose(), &given.user, given.password, &address.0).await;
    let outcome = if came.is_ok() { "done" } else { "denied" };
    noted(&door, "access.set_up", &given.user, &address, outcome).await?;
    begun(&door, cookies, &came.map_err(denied)?)
}

/// Who is signed in.
pub(crate) async fn see(
    Extension(door): Extension<Arc<Door>>,
    Extension(actor): Extension<Actor>,
    session: Option<Extension<SessionToken>>,
) -> Result<Json<Value>, Problem> {
    let Some(Extension(SessionToken(token))) = session else {
        return Ok(Json(shown(&actor, None, "")));
    };
    let ends = door.session_left(token.expose()).await?;
    Ok(Json(shown(&actor, ends, &csrf(token.expose()))))
}

/// Signs out.
pub(crate) async fn sign_out(
    Extension(door): Extension<Arc<Door>>,
    Extension(cookies): Extension<Cookies>,
    Extension(actor): Extension<Actor>,
) -> Result<Response, Problem> {
    if let Some(hash) = &actor.session {
        door.store().end_session(hash).await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(SET_COOKIE, cookie(cookies, "", 0)?);
    Ok(response)
}

/// A new password.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    #[serde(deserialize_with = "secret")]
    old: Secret,
    #[serde(deserialize_with = "secret")]
    new: Secret,
}

async fn own(door: &Door, actor: &Actor) -> Result<crate::store::access::UserRecord, Problem> {
    let name = actor.name.strip_prefix("user:").filter(|_| actor.session.is_some());
    let name = name.ok_or_else(|| Problem::bad("no_user", "only a signed-in person has that"))?;
    door.store().user(name).await?.ok_or_else(|| Problem::missing("user"))
}

/// Changes one's own password; other sessions of the same person end.
pub(crate) async fn change_password(
    Extension(door): Extension<Arc<Door>>,
    Extension(actor): Extension<Actor>,
    Json(given): Json<NewPassword>,
) -> Result<StatusCode, Problem> {
    let _who = own(&door, &actor).await?;
    door.change_password(&actor, given.old, given.new).await.map_err(denied)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Enrols a second factor: without a code it draws a secret and shows it once; with the code of that
/// secret it is in force; in the place of an older one with the password of whoever asks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Factor {
    /// The secret as drawn, base64.
    #[serde(default)]
    drawn: Option<String>,
    #[serde(default)]
    code: Option<String>,
    /// Again, where a factor is in force: a session that was left open replaces nobody's factor.
    #[serde(default, deserialize_with = "maybe_secret")]
    password: Option<Secret>,
}

/// See [`Factor`].
pub(crate) async fn second_factor(
    Extension(door): Extension<Arc<Door>>,
    Extension(actor): Extension<Actor>,
    Json(given): Json<Factor>,
) -> Result<Json<Value>, Problem> {
    let user = own(&door, &actor).await?;
    let unusable = |error: totp::Unusable| Problem::bad("second_factor", error.to_string());
    let (Some(drawn), Some(code)) = (&given.drawn, &given.code) else {
        let drawn = draw().map_err(|error| Problem::unavailable(error.to_string()))?;
        let link = totp::link(&user.name, drawn.expose().as_bytes()).map_err(unusable)?;
        return Ok(Json(json!({"drawn": drawn.expose(), "link": link})));
    };
    if drawn.len() < 32 {
        return Err(Problem::bad("second_factor", "the secret is not one that was drawn here"));
    }
    let seconds = u64::try_from(door.now().0 / 1_000_000).unwrap_or(0);
    let step = totp::accept(&user.name, drawn.as_bytes(), code, seconds, 0).map_err(unusable)?;
    let Some(step) = step else {
        return Err(Problem::bad(
            "second_factor",
            "the code does not fit; check the device's clock",
        ));
    };
    if user.totp.is_some() && given.password.is_none() {
        let told = "another factor is in force: send your password with the new one's code";
        return Err(Problem::bad("no_password", told));
    }
    let secret = drawn.clone().into_bytes();
    door.put_factor(&actor, given.password, secret, step).await.map_err(denied)?;
    Ok(Json(json!({"enrolled": true})))
}

/// Why, and who again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Emergency {
    #[serde(deserialize_with = "secret")]
    password: Secret,
    reason: String,
}

/// Takes emergency access.
pub(crate) async fn emergency(
    Extension(door): Extension<Arc<Door>>,
    Extension(actor): Extension<Actor>,
    Json(given): Json<Emergency>,
) -> Result<Json<Value>, Problem> {
    if given.reason.trim().is_empty() {
        return Err(Problem::bad(
            "no_reason",
            "emergency access needs a reason: it goes on record",
        ));
    }
    let until = door.break_glass(&actor, given.password).await.map_err(denied)?;
    tracing::warn!(actor = %actor.name, until = %until, "emergency access was taken");
    Ok(Json(json!({"emergency_until": until.to_string()})))
}
