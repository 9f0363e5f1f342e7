//! Saved views: a page with what it shows, under a name, for oneself or for all. A view holds what stands in a
//! page's address, so no patient data: what is searched for is sent in bodies and never stands there.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::door::{Actor, Door};
use crate::access::role::Permission;
use crate::admin::problem::Problem;
use crate::store::desk::SavedView;

/// Views of one owner.
const VIEWS_MAX: usize = 100;
/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 80;
/// Longest page.
const PAGE_BYTES_MAX: usize = 100;
/// Longest query.
const QUERY_BYTES_MAX: usize = 2000;

/// A view to be saved.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewView {
    /// What it is called; of one owner, each name once.
    name: String,
    /// The page: the path of its address, e.g. `/messages`.
    page: String,
    /// What it shows: the query of its address, without `?`.
    #[serde(default)]
    query: String,
    /// Whether others see it: those who see at least the owner's channels.
    #[serde(default)]
    shared: bool,
}

/// A saved view.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct View {
    id: i64,
    name: String,
    page: String,
    query: String,
    shared: bool,
    /// Whose it is: `user:NAME` or `token:NAME`.
    owner: String,
    /// Whether the caller may change it.
    mine: bool,
    changed_at: String,
}

/// Saved views.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Views {
    /// One's own and the shared ones, by name.
    views: Vec<View>,
}

fn shown(actor: &Actor, view: SavedView) -> View {
    View {
        id: view.number,
        mine: view.owner == actor.name,
        name: view.name,
        page: view.page,
        query: view.query,
        shared: view.shared,
        owner: view.owner,
        changed_at: view.changed_at.to_string(),
    }
}

/// A shared view may name channels: it is seen by those who see all that its owner saw.
fn sees(actor: &Actor, view: &SavedView) -> bool {
    let within = actor.groups.is_empty()
        || (!view.groups.is_empty() && view.groups.iter().all(|own| actor.groups.contains(own)));
    view.owner == actor.name || (view.shared && within)
}

fn checked(actor: &Actor, new: NewView) -> Result<SavedView, Problem> {
    let name = new.name.trim();
    let plain = |text: &str| !text.contains(|sign: char| sign.is_control());
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || !plain(name) {
        let told = format!("a view's name has 1 to {NAME_CHARS_MAX} characters");
        return Err(Problem::bad("bad_name", told));
    }
    let fits = |sign: char| sign.is_ascii_alphanumeric() || "/-_.".contains(sign);
    let page = &new.page;
    // One leading slash: a page of ours, and no other host.
    let own = page.starts_with('/') && !page.starts_with("//") && page.chars().all(fits);
    if !own || page.len() > PAGE_BYTES_MAX {
        return Err(Problem::bad("bad_page", "a page is the path of an address, e.g. /messages"));
    }
    if new.query.len() > QUERY_BYTES_MAX || !plain(&new.query) {
        let told = format!("a query has at most {QUERY_BYTES_MAX} bytes");
        return Err(Problem::bad("bad_query", told));
    }
    Ok(SavedView {
        number: 0,
        owner: actor.name.clone(),
        name: name.to_owned(),
        page: new.page,
        query: new.query,
        shared: new.shared,
        groups: actor.groups.clone(),
        changed_at: crate::message::time::Timestamp::default(),
    })
}

fn taken() -> Problem {
    Problem::conflict("name_taken", "you have a view of this name already")
}

/// One's own and the shared views.
pub(crate) async fn list(
    Extension(door): Extension<Arc<Door>>,
    Extension(actor): Extension<Actor>,
) -> Result<Json<Views>, Problem> {
    let all = door.store().views().await?.into_iter().filter(|view| sees(&actor, view));
    Ok(Json(Views { views: all.map(|view| shown(&actor, view)).collect() }))
}

/// Saves a view.
pub(crate) async fn add(
    Extension(door): Extension<Arc<Door>>,
    Extension(actor): Extension<Actor>,
    Json(new): Json<NewView>,
) -> Result<(StatusCode, Json<View>), Problem> {
    let mut view = checked(&actor, new)?;
    view.changed_at = door.now();
    let _alone = door.alone().await;
    let all = door.store().views().await?;
    if all.iter().filter(|one| one.owner == actor.name).count() >= VIEWS_MAX {
        let told = format!("one has at most {VIEWS_MAX} views; take one away first");
        return Err(Problem::conflict("too_many_views", told));
    }
    view.number = door.store().add_view(&view).await?.ok_or_else(taken)?;
    Ok((StatusCode::CREATED, Json(shown(&actor, view))))
}

async fn own(door: &Door, actor: &Actor, id: i64) -> Result<SavedView, Problem> {
    let all = door.store().views().await?;
    let found = all.into_iter().find(|view| view.number == id && sees(actor, view));
    let found = found.ok_or_else(|| Problem::missing("view"))?;
    // Who administers people takes away what somebody left behind.
    if found.owner != actor.name && !actor.may(Permission::ManageAccess) {
        let told = "a view is changed by who saved it";
        return Err(Problem::with(StatusCode::FORBIDDEN, "not_yours", told));
    }
    Ok(found)
}

/// Replaces a view of one's own.
pub(crate) async fn change(
    Extension(door): Extension<Arc<Door>>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<i64>,
    Json(new): Json<NewView>,
) -> Result<Json<View>, Problem> {
    let before = own(&door, &actor, id).await?;
    let mut view = checked(&actor, new)?;
    (view.number, view.owner, view.changed_at) = (id, before.owner, door.now());
    if view.owner != actor.name {
        view.groups = before.groups;
    }
    if door.store().put_view(&view).await? { Ok(Json(shown(&actor, view))) } else { Err(taken()) }
}

/// Takes a view away.
pub(crate) async fn remove(
    Extension(door): Extension<Arc<Door>>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<i64>,
) -> Result<StatusCode, Problem> {
    own(&door, &actor, id).await?;
    if door.store().remove_view(id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::missing("view"))
    }
}
