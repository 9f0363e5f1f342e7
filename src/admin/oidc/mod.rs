//! Sign-in by the hospital's own provider: OpenID Connect, authorization code with PKCE, state and nonce.
//!
//! The provider says who somebody is. Without a mapping, what they may do stays here: a person is let in whom
//! an administrator added, without a password, under the name that the provider gives. With one
//! (`access.oidc.mapping`) the groups they have at the provider give their roles, anew at each sign-in. The
//! first time notes the provider's subject with the user; from then on that is who they are.

mod provider;
mod refusal;

use std::sync::Arc;

use axum::extract::Query;
use axum::http::header::{CACHE_CONTROL, COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use tracing::error;
use utoipa::ToSchema;

use crate::access::door::{Denied, Door};
use crate::access::role::{Role, View};
use crate::admin::guard::Address;
use crate::admin::oidc::provider::{Identity, TICKET_FOR};
use crate::admin::oidc::refusal::Refusal;
use crate::admin::sessions::{self, Cookies};
use crate::store::StoreError;
use crate::store::access::{AuditEntry, UserRecord};

pub use crate::admin::oidc::provider::{Provider, ProviderError};

/// The provider, where there is one.
pub(crate) type Configured = Option<Arc<Provider>>;

/// The ways to sign in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SignInWays {
    /// By user name and password.
    password: bool,
    /// By the hospital's provider; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    provider: Option<ProviderWay>,
}

/// Sign-in by the provider.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProviderWay {
    /// What the button says.
    label: String,
    /// Where it leads: a browser goes there, it is not fetched.
    href: &'static str,
}

/// How people may sign in here: read before anybody is known.
pub(crate) async fn ways(Extension(provider): Extension<Configured>) -> Json<SignInWays> {
    let provider = provider.map(|provider| ProviderWay {
        label: provider.options.label.clone(),
        href: "/api/v1/session/oidc",
    });
    Json(SignInWays { password: true, provider })
}

/// What binds a sign-in under way to the browser that began it. `Lax`: it must come along when the provider
/// sends the browser back.
const fn cookie_name(cookies: Cookies) -> &'static str {
    match cookies {
        Cookies::Secure => "__Host-medway-oidc",
        Cookies::Plain => "medway-oidc",
    }
}

fn cookie(cookies: Cookies, value: &str, seconds: u64) -> Result<HeaderValue, Refusal> {
    let secure = if cookies == Cookies::Secure { "; Secure" } else { "" };
    let name = cookie_name(cookies);
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&text).map_err(|_| Refusal::Fault)
}

fn ticket_of(cookies: Cookies, headers: &HeaderMap) -> Option<&str> {
    let sent = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        sent.flat_map(|text| text.split(';')).filter_map(|one| one.trim().split_once('='));
    pairs.find(|(name, _)| *name == cookie_name(cookies)).map(|(_, value)| value)
}

fn elsewhere(place: &str) -> Result<Response, Refusal> {
    let location = HeaderValue::from_str(place).map_err(|_| Refusal::Away)?;
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Sends the browser to the provider.
pub(crate) async fn begin(
    Extension(door): Extension<Arc<Door>>,
    Extension(cookies): Extension<Cookies>,
    Extension(provider): Extension<Configured>,
) -> Response {
    begun(&door, cookies, provider).await.unwrap_or_else(Refusal::into_response)
}

async fn begun(door: &Door, cookies: Cookies, provider: Configured) -> Result<Response, Refusal> {
    let provider = provider.ok_or(Refusal::Unset)?;
    let now = door.now();
    let ticket = provider.ticket(now).map_err(|_| Refusal::Fault)?;
    let mut response = elsewhere(&provider.place(&ticket, now).await?)?;
    response.headers_mut().insert(SET_COOKIE, cookie(cookies, &ticket, TICKET_FOR.as_secs())?);
    Ok(response)
}

/// What the provider sends the browser back with (RFC 6749 §4.1.2).
#[derive(Deserialize)]
pub(crate) struct Back {
    code: Option<String>,
    #[serde(default)]
    state: String,
}

/// Takes the browser back from the provider, signed in or not.
pub(crate) async fn back(
    Extension(door): Extension<Arc<Door>>,
    Extension(cookies): Extension<Cookies>,
    Extension(address): Extension<Address>,
    Extension(provider): Extension<Configured>,
    headers: HeaderMap,
    Query(back): Query<Back>,
) -> Response {
    let ticket = ticket_of(cookies, &headers).unwrap_or_default();
    let came = came(&door, &address, provider, ticket, back).await;
    let answered = match came {
        Ok(user) => signed_in(&door, cookies, &user, &address).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = answered.unwrap_or_else(Refusal::into_response);
    if let Ok(gone) = cookie(cookies, "", 0) {
        response.headers_mut().append(SET_COOKIE, gone);
    }
    response
}

/// Always a new session: what the browser held before counts for nothing.
async fn signed_in(
    door: &Door,
    cookies: Cookies,
    user: &UserRecord,
    address: &Address,
) -> Result<Response, Refusal> {
    let session = door.begin(user, &address.0).await.map_err(|_| Refusal::Fault)?;
    let own = sessions::session_cookie(door, cookies, &session).map_err(|_| Refusal::Fault)?;
    // The session's cookie is `Strict`: the page at `/` needs none, and what it then asks for is its own.
    let mut response = elsewhere("/")?;
    response.headers_mut().append(SET_COOKIE, own);
    Ok(response)
}

/// Who came back and may come in. Whatever comes of it goes on record before it is answered.
async fn came(
    door: &Door,
    address: &Address,
    provider: Configured,
    ticket: &str,
    back: Back,
) -> Result<UserRecord, Refusal> {
    let provider = provider.ok_or(Refusal::Unset)?;
    let now = door.now();
    let identity = if provider.takes(&back.state, ticket, now) {
        match &back.code {
            Some(code) => provider.identified(code, ticket, now).await,
            None => Err(Refusal::Declined),
        }
    } else {
        Err(Refusal::Strange)
    };
    let identity = match identity {
        Ok(identity) => identity,
        Err(refusal) => {
            noted(door, "", address, Err(refusal)).await?;
            return Err(refusal);
        }
    };
    let admitted = admitted(door, &provider, &identity, address).await;
    let outcome = admitted.as_ref().map(|user| user.name.clone()).map_err(|refusal| *refusal);
    noted(door, &identity.name, address, outcome).await?;
    admitted
}

async fn noted(
    door: &Door,
    tried: &str,
    address: &Address,
    outcome: Result<String, Refusal>,
) -> Result<(), Refusal> {
    let (name, outcome, reason) = match outcome {
        Ok(name) => (name, "done", "provider"),
        Err(refusal) => (tried.to_owned(), "denied", refusal.code()),
    };
    record(door, &name, address, "session.begin", outcome, "", reason).await
}

async fn record(
    door: &Door,
    name: &str,
    address: &Address,
    action: &str,
    outcome: &str,
    object: &str,
    reason: &str,
) -> Result<(), Refusal> {
    let entry = AuditEntry {
        object: object.to_owned(),
        reason: reason.to_owned(),
        ..sessions::tried(door, name, address, action, outcome)
    };
    door.record(entry).await.map(drop).map_err(|fault| unusable(&fault))
}

fn unusable(fault: &StoreError) -> Refusal {
    error!(error = %fault, "nobody can sign in by the provider: the access store cannot be used");
    Refusal::Fault
}

/// What somebody may here by what the provider says of them.
struct Rights {
    roles: Vec<Role>,
    groups: Vec<String>,
}

/// The rights of these values; `None` where no value is mapped. Roles add up, and so do channel groups: who
/// has any limit has it for all roles, so that a role without one widens none of the others.
fn rights(provider: &Provider, values: &[String]) -> Option<Rights> {
    let mapping = provider.options.mapping.iter();
    let own: Vec<_> = mapping.filter(|one| values.contains(&one.value)).collect();
    let mut roles: Vec<Role> =
        own.iter().flat_map(|one| &one.roles).filter_map(|name| Role::from_name(name)).collect();
    roles.sort_unstable();
    roles.dedup();
    let mut groups: Vec<String> = own.iter().flat_map(|one| one.groups.clone()).collect();
    groups.sort_unstable();
    groups.dedup();
    (!roles.is_empty()).then_some(Rights { roles, groups })
}

impl Rights {
    fn give(self, user: &mut UserRecord) {
        let view = self.roles.iter().map(|role| role.view()).max().unwrap_or(View::Counts);
        user.roles = self.roles.iter().map(|role| role.name().to_owned()).collect();
        user.groups = self.groups;
        view.name().clone_into(&mut user.view);
    }
}

/// The user who came, with the rights of now, if they may come in.
async fn admitted(
    door: &Door,
    provider: &Provider,
    identity: &Identity,
    address: &Address,
) -> Result<UserRecord, Refusal> {
    let _alone = door.alone().await;
    let users = door.store().users().await.map_err(|fault| unusable(&fault))?;
    let known = users.iter().find(|user| user.subject.as_deref() == Some(&identity.subject));
    let named = users.iter().find(|user| user.name == identity.name);
    let mapped = !provider.options.mapping.is_empty();
    let rights = rights(provider, &identity.values);
    if mapped && rights.is_none() {
        // They had a role once, perhaps, and have none now.
        if let Some(user) = known {
            let ended = door.store().end_sessions(user.number, None).await;
            ended.map_err(|fault| unusable(&fault))?;
        }
        return Err(Refusal::Roleless);
    }
    let before = match (known, named) {
        (Some(user), _) => user,
        // A provider that knows somebody of an administrator's name is not that administrator.
        (None, Some(user)) if user.password.is_some() || user.subject.is_some() => {
            return Err(Refusal::Taken);
        }
        (None, Some(user)) => user,
        (None, None) => {
            let rights = rights.ok_or(Refusal::Unadded)?;
            // The one-time link makes the first user, unless this one can make the others.
            if users.is_empty() && !rights.roles.contains(&Role::SecurityAdmin) {
                return Err(Refusal::Unadded);
            }
            return added(door, identity, rights, address).await;
        }
    };
    if before.disabled || before.locked_until > door.now() {
        return Err(Refusal::Disabled);
    }
    let mut user = before.clone();
    user.subject = Some(identity.subject.clone());
    if let Some(rights) = rights {
        rights.give(&mut user);
    }
    if user != *before {
        let said = format!("by the provider: {}", user.roles.join(" "));
        record(door, &user.name, address, "user.change", "granted", &user.name, &said).await?;
        door.store().put_user(&user).await.map_err(|fault| unusable(&fault))?;
    }
    Ok(user)
}

/// Somebody new, with the roles the provider's groups give.
async fn added(
    door: &Door,
    identity: &Identity,
    rights: Rights,
    address: &Address,
) -> Result<UserRecord, Refusal> {
    let display = identity.display.as_deref().filter(|name| !name.trim().is_empty());
    let display: String = display.unwrap_or(&identity.name).chars().take(128).collect();
    let made = door.new_user(&identity.name, &display, None, &rights.roles, View::Counts).await;
    let mut user = made.map_err(|denied| match denied {
        Denied::Name(_) => Refusal::Unfit,
        _ => Refusal::Fault,
    })?;
    user.subject = Some(identity.subject.clone());
    rights.give(&mut user);
    let said = format!("by the provider: {}", user.roles.join(" "));
    record(door, &user.name, address, "user.add", "granted", &user.name, &said).await?;
    let added = door.store().add_user(&user).await.map_err(|fault| unusable(&fault))?;
    let stored = door.store().user(&user.name).await.map_err(|fault| unusable(&fault))?;
    stored.filter(|_| added).ok_or(Refusal::Taken)
}
