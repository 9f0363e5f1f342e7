//! What a message says, for people: its tree, its neighbours, and why its filters said what they said.
//!
//! Values are shown as far as the view level goes: `full` whole, `masked` by their shape, below that
//! not at all.

mod explain;
mod hl7;
pub(crate) mod mask;
mod neighbours;

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::access::door::Actor;
use crate::access::role::View;
use crate::admin::messages::{rendered, stored};
use crate::admin::problem::Problem;
use crate::admin::scope;
use crate::engine::Engine;
use crate::hl7::raw::{RawMessage, SegmentEnds};
use crate::message::kind::ContentType;

pub(crate) use explain::{Explanation, explain};
pub(crate) use hl7::Tree as Hl7Tree;
pub(crate) use neighbours::{Neighbours, neighbours};

/// Longest text shown in place of a tree, in characters.
const TEXT_CHARS_MAX: usize = 256 * 1024;

/// Which bytes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// `channel/destination`: what that one is sent; without it, what was received.
    destination: Option<String>,
}

/// A message that is no HL7 v2: FHIR or other JSON as its value, anything else as text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OtherTree {
    /// `fhir`, `json` or `text`.
    format: &'static str,
    /// Whether values are hidden.
    masked: bool,
    /// The resource, the JSON, or the text.
    value: Value,
}

/// Values are shown to those who may see them at least masked.
pub(crate) fn shows_values(actor: &Actor) -> Result<bool, Problem> {
    match actor.view {
        View::Full => Ok(false),
        View::Masked => Ok(true),
        View::Metadata | View::Counts => Err(Problem::hidden(actor.view, View::Masked)),
    }
}

/// A message, or what one destination is sent of it, as a tree.
pub(crate) async fn tree(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    let masked = shows_values(&actor)?;
    let message = stored(&engine, &actor, &id).await?;
    let (content_type, bytes) = match &which.destination {
        Some(destination) => {
            let _seen = scope::destination(&engine, &actor, destination)?;
            let outbound = rendered(&engine, &message, destination)?;
            (outbound.content_type, outbound.body)
        }
        None => (message.envelope.content_type, message.payload.expose().clone()),
    };
    if bytes.is_empty() {
        return Err(Problem::conflict("no_body", "the message's bytes are gone (retention)"));
    }
    if content_type == ContentType::Hl7v2
        && let Ok(read) = RawMessage::parse(bytes.clone(), SegmentEnds::Lenient)
    {
        return Ok(Json(hl7::tree(&read, masked)).into_response());
    }
    Ok(Json(other(content_type, &bytes, masked)).into_response())
}

fn other(content_type: ContentType, bytes: &Bytes, masked: bool) -> OtherTree {
    let is_json = matches!(content_type, ContentType::Json | ContentType::FhirJson);
    if is_json && let Ok(mut value) = serde_json::from_slice::<Value>(bytes) {
        let resource = value.get("resourceType").is_some();
        if masked {
            mask::json(&mut value);
        }
        return OtherTree { format: if resource { "fhir" } else { "json" }, masked, value };
    }
    let text: String = String::from_utf8_lossy(bytes).chars().take(TEXT_CHARS_MAX).collect();
    let text = if masked { mask::text(&text) } else { text };
    OtherTree { format: "text", masked, value: Value::String(text) }
}

/// Bytes as somebody with a masked view sees them: text with its letters and digits hidden.
pub(crate) fn masked_bytes(content_type: ContentType, bytes: &Bytes) -> String {
    if content_type == ContentType::Hl7v2
        && let Ok(read) = RawMessage::parse(bytes.clone(), SegmentEnds::Lenient)
    {
        return mask::hl7(&read, read.charset());
    }
    let shown = other(content_type, bytes, true);
    match shown.value {
        Value::String(text) => text,
        value => value.to_string(),
    }
}
