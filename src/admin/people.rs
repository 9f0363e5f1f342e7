//! Users and API tokens, for those who administer people.

use std::sync::Arc;

use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::access::door::{Actor, Door};
use crate::access::role::{Permission, Role, View};
use crate::access::token;
use crate::admin::page::Page;
use crate::admin::precondition;
use crate::admin::problem::Problem;
use crate::admin::sessions::denied;
use crate::message::secret::Secret;
use crate::message::time::Timestamp;
use crate::store::access::{TokenRecord, UserRecord};
use crate::yaml::decode::is_name;

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
    if names.len() <= GROUPS_MAX && names.iter().all(|name| is_name(name)) {
        return Ok(names);
    }
    let told =
        "a group is the `group` of a channel file: small letters, digits, - and _, at most 64";
    Err(Problem::bad("bad_group", told))
}

/// Whether these groups are among the actor's. No groups stand for all channels.
fn among(actor: &Actor, groups: &[String]) -> bool {
    let own = &actor.groups;
    own.is_empty() || (!groups.is_empty() && groups.iter().all(|group| own.contains(group)))
}

/// Nobody who is limited to groups makes or changes somebody who sees others.
fn within(actor: &Actor, groups: &[String]) -> Result<(), Problem> {
    if among(actor, groups) {
        return Ok(());
    }
    let told =
        format!("you administer the groups {} alone: name some of them", actor.groups.join(", "));
    Err(Problem::with(StatusCode::FORBIDDEN, "beyond_own", told))
}

/// A token does no more than whoever makes it: who administers people would else draw a key to the messages
/// that they may not see.
fn no_more(actor: &Actor, roles: &[Role], view: View) -> Result<(), Problem> {
    let mut rights = roles.iter().flat_map(|role| role.permissions());
    let beyond = rights.find(|right| **right != Permission::BreakGlass && !actor.may(**right));
    let told = match beyond {
        Some(right) => {
            format!("a token may not do more than whoever makes it, who lacks `{}`", right.name())
        }
        None if view > actor.view => "a token may not see more than whoever makes it".to_owned(),
        None if actor.emergency_until.is_some() => {
            "no token is made during emergency access".to_owned()
        }
        None => return Ok(()),
    };
    let told =
        format!("{told}; the engine's own token, which stands in its data directory, may make any");
    Err(Problem::with(StatusCode::FORBIDDEN, "beyond_own", told))
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
pub(crate) async fn users(
    Extension(door): Extension<Arc<Door>>,
    Extension(actor): Extension<Actor>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    let now = door.now();
    let users = door.store().users().await?;
    let seen = users.iter().filter(|user| among(&actor, &user.groups));
    let (page, next) = page.of(seen, |user| &user.name);
    let list: Vec<Value> = page.into_iter().map(|user| shown(user, now)).collect();
    Ok(Json(json!({"users": list, "next": next, "roles": Role::ALL.map(Role::name)})))
}

/// One user, with the tag that a change may ask for.
pub(crate) async fn user(
    Extension(door): Extension<Arc<Door>>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let user = known(&door, &actor, &name).await?;
    Ok(tagged(&user, door.now()))
}

/// A user that the actor administers.
async fn known(door: &Door, actor: &Actor, name: &str) -> Result<UserRecord, Problem> {
    let user = door.store().user(name).await?.filter(|user| among(actor, &user.groups));
    user.ok_or_else(|| Problem::missing("user"))
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
    Extension(actor): Extension<Actor>,
    Json(new): Json<NewUser>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let groups = groups(new.groups)?;
    within(&actor, &groups)?;
    let roles = roles(&new.roles)?;
    let view = view(new.view.as_deref(), &roles)?;
    let display = new.display.as_deref().unwrap_or(&new.name);
    let password = new.password.as_deref().map(Secret::new);
    let mut user =
        door.new_user(&new.name, display, password, &roles, view).await.map_err(denied)?;
    user.groups = groups;
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

/// What an administrator may not change of themselves: another one does, or they show who they are.
fn own_change(change: &ChangeUser) -> Result<(), Problem> {
    if change.roles.is_some()
        || change.groups.is_some()
        || change.view.is_some()
        || change.disabled == Some(true)
    {
        let told =
            "nobody changes their own roles or disables themselves: ask another administrator";
        return Err(Problem::conflict("own_rights", told));
    }
    if change.password.is_some() || change.second_factor.is_some() {
        let told = "your own password and second factor are changed under your account, which asks \
                    for the password you have";
        return Err(Problem::conflict("own_rights", told));
    }
    Ok(())
}

/// Changes a user; their sessions end.
pub(crate) async fn change_user(
    Extension(door): Extension<Arc<Door>>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(change): Json<ChangeUser>,
) -> Result<Response, Problem> {
    let before = known(&door, &actor, &name).await?;
    if actor.name == format!("user:{name}") {
        own_change(&change)?;
    }
    // Hashed before anything is locked: a hash may wait behind a flood of sign-ins.
    let password = match &change.password {
        Some(password) => {
            Some(door.hash(&before.name, Secret::new(password)).await.map_err(denied)?)
        }
        None => None,
    };
    let _alone = door.alone().await;
    let mut user = known(&door, &actor, &name).await?;
    precondition::check(&headers, &user_tag(&user))?;
    if let Some(display) = change.display {
        user.display = display;
    }
    if password.is_some() {
        user.password = password;
    }
    if let Some(names) = change.groups {
        user.groups = groups(names)?;
        within(&actor, &user.groups)?;
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
pub(crate) async fn tokens(
    Extension(door): Extension<Arc<Door>>,
    Extension(actor): Extension<Actor>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    let tokens = door.store().tokens().await?;
    let seen = tokens.iter().filter(|token| among(&actor, &token.groups));
    let (page, next) = page.of(seen, |token| &token.name);
    let list: Vec<Value> = page
        .into_iter()
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
    Ok(Json(json!({"tokens": list, "next": next})))
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
    let groups = groups(new.groups)?;
    within(&actor, &groups)?;
    no_more(&actor, &roles, view)?;
    if !(1..=TOKEN_DAYS_MAX).contains(&new.days) {
        return Err(Problem::bad("bad_days", format!("a token lives 1 to {TOKEN_DAYS_MAX} days")));
    }
    if new.name.is_empty() || new.name.len() > 64 || new.name.contains(char::is_control) {
        return Err(Problem::bad("bad_name", "a token's name has 1 to 64 characters"));
    }
    // On record the engine's own token is `token:admin`.
    if new.name.eq_ignore_ascii_case("admin") {
        return Err(Problem::bad("bad_name", "`admin` is the engine's own token"));
    }
    let drawn = token::draw().map_err(|error| Problem::unavailable(error.to_string()))?;
    let now = door.now();
    let record = TokenRecord {
        number: 0,
        name: new.name,
        hash: token::hash(drawn.expose()),
        roles: roles.iter().map(|role| role.name().to_owned()).collect(),
        groups,
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
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let _alone = door.alone().await;
    let tokens = door.store().tokens().await?;
    let token = tokens.iter().find(|token| token.name == name && among(&actor, &token.groups));
    precondition::check(&headers, &token_tag(token.ok_or_else(|| Problem::missing("token"))?))?;
    if door.store().revoke_token(&name).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::missing("token"))
    }
}
