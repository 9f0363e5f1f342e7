//! The HTTP API under `/api/v1`, health and metrics. The command line and the dashboard use nothing else.
//!
//! The token is checked before any body is read. Searches come by POST, so that no patient data stands in
//! a URL.

pub mod auth;
pub mod deliveries;
pub mod health;
pub mod messages;
pub mod problem;
pub mod serve;
pub mod status;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};

use crate::admin::auth::{Token, require_token};
use crate::admin::problem::Problem;
use crate::engine::Engine;

/// Largest request body: searches and reasons are short.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The whole surface.
pub fn router(engine: Arc<Engine>, token: Token) -> Router {
    let api = Router::new()
        .route("/status", get(status::status))
        .route("/channels", get(status::channels))
        .route("/destinations", get(status::destinations))
        .route("/destinations/{channel}/{destination}", get(status::destination))
        .route("/destinations/{channel}/{destination}/{act}", post(deliveries::destination_act))
        .route("/messages/search", post(messages::search))
        .route("/messages/{id}", get(messages::one))
        .route("/messages/{id}/body", get(messages::body))
        .route("/messages/{id}/sent/{channel}/{destination}", get(messages::sent))
        .route("/messages/{id}/replay", post(messages::replay))
        .route("/exceptions/search", post(deliveries::exceptions))
        .route("/deliveries/{channel}/{destination}/{id}/{act}", post(deliveries::delivery_act))
        .route("/conservation", get(status::conservation))
        .route("/reload", post(status::reload))
        .fallback(|| async { Problem::missing("route") })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(token, require_token));
    Router::new()
        .nest("/api/v1", api)
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/.well-known/jwks.json", get(health::key_set))
        .fallback(|| async { Problem::missing("page") })
        .with_state(engine)
}
