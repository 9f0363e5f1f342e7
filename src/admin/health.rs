//! `/livez`, `/readyz`, `/metrics`, public keys: for supervisors, Prometheus and FHIR servers, without a token and without patient data.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::telemetry::setup;

/// The process runs. Asks nothing else.
pub(crate) async fn livez() -> &'static str {
    "alive\n"
}

/// Messages are taken: the store commits and every listener is bound.
pub(crate) async fn readyz(State(engine): State<Arc<Engine>>) -> Response {
    let reasons = engine.not_ready();
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", reasons.join("; ")))
        .into_response()
}

/// The public keys FHIR servers check our SMART assertions with (RFC 7517).
pub(crate) async fn key_set(State(engine): State<Arc<Engine>>) -> Json<Value> {
    Json(json!({"keys": engine.public_keys()}))
}

/// Prometheus' text format.
pub(crate) async fn metrics(State(engine): State<Arc<Engine>>) -> Response {
    engine.measure();
    match setup::metrics() {
        Ok(handle) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render())
                .into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
