//! The HTTP API under `/api/v1`, health and metrics, and the dashboard's files. The command line and the
//! dashboard use nothing else.
//!
//! Who asks is known before any body is read. Searches come by POST, so that no patient data stands in
//! a URL.

pub mod auth;
mod channels;
mod content;
pub mod deliveries;
mod docs;
pub mod guard;
pub mod health;
mod jobs;
mod live;
mod maintain;
pub mod messages;
pub mod oidc;
pub mod openapi;
mod page;
mod people;
mod precondition;
pub mod problem;
pub mod problems;
mod record;
mod repeat;
mod resend;
pub mod route;
mod scope;
pub mod serve;
pub mod sessions;
pub mod status;
pub mod subscriptions;
mod system;
mod trail;
mod trial;
mod views;
mod web;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, delete, get, post, put};
use axum::{Extension, Router};

use crate::access::door::Door;
use crate::admin::auth::Token;
use crate::admin::guard::Guard;
use crate::admin::oidc::Provider;
use crate::admin::problem::Problem;
use crate::admin::repeat::Answers;
use crate::admin::route::{ROUTES, Route};
use crate::admin::sessions::Cookies;
use crate::engine::Engine;

/// What answers a route of the table; `None` for one that nothing answers.
fn handler(route: &Route) -> Option<MethodRouter<Arc<Engine>>> {
    Some(match (route.method, route.path) {
        ("GET", "/session") => get(sessions::see),
        ("POST", "/session") => post(sessions::sign_in),
        ("DELETE", "/session") => delete(sessions::sign_out),
        ("GET", "/session/ways") => get(oidc::ways),
        ("GET", "/session/oidc") => get(oidc::begin),
        ("GET", "/session/oidc/callback") => get(oidc::back),
        ("POST", "/session/password") => post(sessions::change_password),
        ("POST", "/session/second-factor") => post(sessions::second_factor),
        ("POST", "/session/emergency") => post(sessions::emergency),
        ("POST", "/setup") => post(sessions::set_up),
        ("GET", "/users") => get(people::users),
        ("POST", "/users") => post(people::add_user),
        ("GET", "/users/{name}") => get(people::user),
        ("PUT", "/users/{name}") => put(people::change_user),
        ("GET", "/tokens") => get(people::tokens),
        ("POST", "/tokens") => post(people::add_token),
        ("DELETE", "/tokens/{name}") => delete(people::revoke_token),
        ("POST", "/audit/search") => post(trail::search),
        ("GET", "/audit/verify") => get(trail::verified),
        ("GET", "/audit/export") => get(trail::export),
        ("GET", "/openapi.json") => get(openapi::document),
        ("GET", "/status") => get(status::status),
        ("GET", "/channels") => get(status::channels),
        ("GET", "/destinations") => get(status::destinations),
        ("GET", "/destinations/{channel}/{destination}") => get(status::destination),
        ("POST", "/destinations/{channel}/{destination}/{act}") => {
            post(deliveries::destination_act)
        }
        ("POST", "/messages/search") => post(messages::search),
        ("GET", "/messages/{id}") => get(messages::one),
        ("GET", "/messages/{id}/body") => get(messages::body),
        ("GET", "/messages/{id}/tree") => get(content::tree),
        ("GET", "/messages/{id}/neighbours") => get(content::neighbours),
        ("GET", "/messages/{id}/explain") => get(content::explain),
        ("GET", "/messages/{id}/sent/{channel}/{destination}") => get(messages::sent),
        ("POST", "/messages/{id}/preview") => post(resend::preview),
        ("GET", "/system") => get(system::system),
        ("POST", "/system/backup") => post(maintain::backup),
        ("POST", "/system/retention") => post(maintain::retention),
        ("POST", "/system/certificates") => post(maintain::certificates),
        ("POST", "/system/log-level") => post(maintain::log_level),
        ("POST", "/system/stop") => post(maintain::stop),
        ("GET", "/metrics/history") => get(system::history),
        ("GET", "/live") => get(live::live),
        ("GET", "/live/counts") => get(live::counts),
        ("POST", "/messages/{id}/replay") => post(resend::replay),
        ("POST", "/exceptions/groups") => post(jobs::groups),
        ("GET", "/jobs") => get(jobs::list),
        ("POST", "/jobs") => post(jobs::begin),
        ("GET", "/jobs/{id}") => get(jobs::one),
        ("POST", "/jobs/{id}/abort") => post(jobs::abort),
        ("GET", "/channels/{channel}") => get(channels::one),
        ("GET", "/channels/{channel}/versions/{version}") => get(channels::version),
        ("POST", "/channels/{channel}/{act}") => post(channels::act),
        ("POST", "/exceptions/search") => post(deliveries::exceptions),
        ("POST", "/deliveries/{channel}/{destination}/{id}/{act}") => {
            post(deliveries::delivery_act)
        }
        ("GET", "/views") => get(views::list),
        ("POST", "/views") => post(views::add),
        ("PUT", "/views/{id}") => put(views::change),
        ("DELETE", "/views/{id}") => delete(views::remove),
        ("POST", "/exceptions/groups/test") => post(trial::test),
        ("GET", "/conservation") => get(status::conservation),
        ("GET", "/subscriptions") => get(subscriptions::list),
        ("GET", "/subscriptions/{id}") => get(subscriptions::one),
        ("POST", "/subscriptions/{id}/secret") => post(subscriptions::secret),
        ("POST", "/subscriptions/{id}/{act}") => post(subscriptions::act),
        ("POST", "/reload") => post(status::reload),
        _ => return None,
    })
}

/// The whole surface, where people sign in by password alone.
pub fn router(engine: Arc<Engine>, token: Token, door: Arc<Door>, cookies: Cookies) -> Router {
    router_with(engine, token, door, cookies, None)
}

/// The whole surface, with a provider that people may sign in by.
pub fn router_with(
    engine: Arc<Engine>,
    token: Token,
    door: Arc<Door>,
    cookies: Cookies,
    provider: Option<Arc<Provider>>,
) -> Router {
    let routes = ROUTES.iter().filter_map(|route| {
        let limit = DefaultBodyLimit::max(route.body_bytes_max());
        Some((route.path, handler(route)?.layer(limit)))
    });
    let api = routes.fold(Router::new(), |api, (path, handler)| api.route(path, handler));
    let answers = Answers::new(Arc::clone(door.store()));
    let tracker = engine.tracker().clone();
    let (refusals, looks) = (Arc::default(), Arc::default());
    let admitting = Arc::clone(&door);
    let guard = Guard { token, door: admitting, cookies, answers, tracker, refusals, looks };
    let api = api
        .layer(Extension(door))
        .layer(Extension(cookies))
        .layer(Extension(Arc::<jobs::Grouper>::default()))
        .layer(Extension(provider))
        .route_layer(from_fn_with_state(guard, guard::check))
        .fallback(|| async { Problem::missing("route") });
    Router::new()
        .nest("/api/v1", api)
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/docs", get(docs::first))
        .route("/docs/{*name}", get(docs::page))
        .route("/.well-known/jwks.json", get(health::key_set))
        .fallback(web::page)
        .layer(from_fn(web::headers))
        .with_state(engine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_of_the_table_is_answered() {
        for route in ROUTES {
            assert!(handler(route).is_some(), "{} {}", route.method, route.path);
        }
    }
}
