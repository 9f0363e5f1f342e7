//! Users and API tokens, for those who administer people.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::access::door::{Actor, Door};
use crate::access::role::{Role, View};
use crate::access::token;
use crate::admin::precondition;
use crate::admin::problem::Problem;
use crate::admin::sessions::denied;
use crate::message::secret::Secret;
use crate::message::time::Timestamp;
use crate::store::access::{TokenRecord, UserRecord};

/// Most groups of one user or token.
const GROUPS_MAX: usize = 100;
/// Longest life of an API token.
const TOKEN_DAYS_MAX: u32 = 366;

/// Changes with whatever an administrator can change of a user, the password included.
fn user_tag(user: &UserRecord) -> String {
    let UserRecord { name, display, roles, groups, view, disabled, .. } = user;
    let password = user.password.as_ref().map(Secret::expose).unwrap_or_default();
    let factor = user.totp.is_some();
    let all = json!([name, display, roles, groups, view, disabled, password, factor]);
    precondition::tag(all.to_string().as_bytes())
}

fn token_tag(token: &TokenRecord) -> String {
    let all = json!([token.name, token.created_at.0, token.revoked]);
    precondition::tag(all.to_string().as_bytes())
}

/// Names of channel groups, as a channel file may write them.
fn groups(names: Vec<String>) -> Result<Vec<String>, Problem> {
    let fits = |name: &String| {
        (1..=64).contains(&name.len()) && !name.contains(|sign: char| sign.is_control())
    };
    if names.len() <= GROUPS_MAX && names.iter().all(fits) {
        return Ok(names);
    }
    Err(Problem::bad("bad_group", "a group is the `group` of a channel file, 1 to 64 characters"))
}

fn shown(user: &UserRecord, now: Timestamp) -> Value {
    json!({
        "name": user.name,
        "etag": user_tag(user),
        "groups": user.groups,
        "display": user.display,
        "roles": user.roles,
        "view": user.view,
        "second_factor": user.totp.is_some(),
        "disabled": user.disabled,
        "locked": user.locked_until > now,
        "created_at": user.created_at.to_string(),
    })
}

fn roles(names: &[String]) -> Result<Vec<Role>, Problem> {
    let known = || Role::ALL.map(Role::name).join(", ");
    names
        .iter()
        .map(|name| {
            Role::from_name(name)
                .ok_or_else(|| Problem::bad("bad_role", format!("a role is one of {}", known())))
        })
        .collect()
}

fn view(name: Option<&str>, roles: &[Role]) -> Result<View, Problem> {
    let most = roles.iter().map(|role| role.view()).max().unwrap_or(View::Counts);
    let Some(name) = name else { return Ok(most) };
    let view = View::from_name(name).ok_or_else(|| {
        Problem::bad("bad_view", "a view is one of counts, metadata, masked, full")
    })?;
    Ok(view.min(most))
}

/// Everybody.
pub(crate) async fn users(Extension(door): Extension<Arc<Door>>) -> Result<Json<Value>, Problem> {
    let now = door.now();
    let users = door.store().users().await?;
    let list: Vec<Value> = users.iter().map(|user| shown(user, now)).collect();
    Ok(Json(json!({"users": list, "roles": Role::ALL.map(Role::name)})))
}

/// One user, with the tag that a change may ask for.
pub(crate) async fn user(
    Extension(door): Extension<Arc<Door>>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let user = door.store().user(&name).await?.ok_or_else(|| Problem::missing("user"))?;
    Ok(tagged(&user, door.now()))
}

fn tagged(user: &UserRecord, now: Timestamp) -> Response {
    (precondition::header(&user_tag(user)), Json(shown(user, now))).into_response()
}

/// A user to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    name: String,
    display: Option<String>,
    /// Without one only the provider (`access.oidc`) signs the user in.
    password: Option<String>,
    roles: Vec<String>,
    view: Option<String>,
    /// Channel groups; none: all channels.
    #[serde(default)]
    groups: Vec<String>,
}

/// Adds a user.
pub(crate) async fn add_user(
    Extension(door): Extension<Arc<Door>>,
    Json(new): Json<NewUser>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let roles = roles(&new.roles)?;
    let view = view(new.view.as_deref(), &roles)?;
    let display = new.display.as_deref().unwrap_or(&new.name);
    let password = new.password.as_deref().map(Secret::new);
    let mut user =
        door.new_user(&new.name, display, password, &roles, view).await.map_err(denied)?;
    user.groups = groups(new.groups)?;
    if !door.store().add_user(&user).await? {
        return Err(Problem::conflict("name_taken", "there is a user of this name already"));
    }
    Ok((StatusCode::CREATED, Json(shown(&user, door.now()))))
}

/// What is to change of a user; what is not named stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeUser {
    display: Option<String>,
    password: Option<String>,
    roles: Option<Vec<String>>,
    view: Option<String>,
    groups: Option<Vec<String>>,
    disabled: Option<bool>,
    /// `false` takes a lost second factor away.
    second_factor: Option<bool>,
    /// `false` unlocks.
    locked: Option<bool>,
}

/// Changes a user; their sessions end.
pub(crate) async fn change_user(
    Extension(door): Extension<Arc<Door>>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(change): Json<ChangeUser>,
) -> Result<Response, Problem> {
    let _alone = door.alone().await;
    let mut user = door.store().user(&name).await?.ok_or_else(|| Problem::missing("user"))?;
    precondition::check(&headers, &user_tag(&user))?;
    if actor.name == format!("user:{name}")
        && (change.roles.is_some() || change.groups.is_some() || change.disabled == Some(true))
    {
        let detail =
            "nobody changes their own roles or disables themselves: ask another administrator";
        return Err(Problem::conflict("own_rights", detail));
    }
    if let Some(display) = change.display {
        user.display = display;
    }
    if let Some(password) = change.password {
        user.password = Some(door.hash(&name, Secret::new(&password)).await.map_err(denied)?);
    }
    if let Some(names) = change.groups {
        user.groups = groups(names)?;
    }
    let roles = match &change.roles {
        Some(names) => roles(names)?,
        None => user.roles.iter().filter_map(|name| Role::from_name(name)).collect(),
    };
    user.view = view(change.view.as_deref().or(Some(&user.view)), &roles)?.name().to_owned();
    user.roles = roles.iter().map(|role| role.name().to_owned()).collect();
    user.disabled = change.disabled.unwrap_or(user.disabled);
    if change.second_factor == Some(false) {
        user.totp = None;
    }
    if change.locked == Some(false) {
        user.failures = 0;
        user.locked_until = Timestamp::default();
    }
    door.store().put_user(&user).await?;
    door.store().end_sessions(user.number, actor.session.as_ref()).await?;
    Ok(tagged(&user, door.now()))
}

/// All API tokens; never the tokens themselves.
pub(crate) async fn tokens(Extension(door): Extension<Arc<Door>>) -> Result<Json<Value>, Problem> {
    let tokens = door.store().tokens().await?;
    let list: Vec<Value> = tokens
        .iter()
        .map(|token| {
            json!({
                "name": token.name,
                "etag": token_tag(token),
                "groups": token.groups,
                "roles": token.roles,
                "view": token.view,
                "created_by": token.created_by,
                "created_at": token.created_at.to_string(),
                "ends_at": token.ends_at.to_string(),
                "revoked": token.revoked,
            })
        })
        .collect();
    Ok(Json(json!({"tokens": list})))
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    name: String,
    roles: Vec<String>,
    view: Option<String>,
    /// Days until it ends.
    days: u32,
    /// Channel groups; none: all channels.
    #[serde(default)]
    groups: Vec<String>,
}

/// Makes a token; it is shown this once.
pub(crate) async fn add_token(
    Extension(door): Extension<Arc<Door>>,
    Extension(actor): Extension<Actor>,
    Json(new): Json<NewToken>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let roles = roles(&new.roles)?;
    let view = view(new.view.as_deref(), &roles)?;
    if !(1..=TOKEN_DAYS_MAX).contains(&new.days) {
        return Err(Problem::bad("bad_days", format!("a token lives 1 to {TOKEN_DAYS_MAX} days")));
    }
    if new.name.is_empty() || new.name.len() > 64 || new.name.contains(char::is_control) {
        return Err(Problem::bad("bad_name", "a token's name has 1 to 64 characters"));
    }
    let drawn = token::draw().map_err(|error| Problem::unavailable(error.to_string()))?;
    let now = door.now();
    let record = TokenRecord {
        number: 0,
        name: new.name,
        hash: token::hash(drawn.expose()),
        roles: roles.iter().map(|role| role.name().to_owned()).collect(),
        groups: groups(new.groups)?,
        view: view.name().to_owned(),
        created_by: actor.name,
        created_at: now,
        ends_at: now.after(std::time::Duration::from_hours(24 * u64::from(new.days))),
        revoked: false,
    };
    if !door.store().add_token(&record).await? {
        return Err(Problem::conflict("name_taken", "there is a token of this name already"));
    }
    let body = json!({
        "name": record.name,
        "token": drawn.expose(),
        "ends_at": record.ends_at.to_string(),
    });
    Ok((StatusCode::CREATED, Json(body)))
}

/// Takes a token back.
pub(crate) async fn revoke_token(
    Extension(door): Extension<Arc<Door>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let _alone = door.alone().await;
    let tokens = door.store().tokens().await?;
    let token = tokens.iter().find(|token| token.name == name);
    precondition::check(&headers, &token_tag(token.ok_or_else(|| Problem::missing("token"))?))?;
    if door.store().revoke_token(&name).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::missing("token"))
    }
}
