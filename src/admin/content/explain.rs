//! Why a message goes where it goes: each destination's filter, and what its parts were for this message.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::door::Actor;
use crate::admin::content::{mask, shows_values};
use crate::admin::messages::stored;
use crate::admin::problem::Problem;
use crate::admin::scope;
use crate::engine::Engine;
use crate::message::plan::Disposition;

/// Why each destination of the message's plan was chosen or not.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Explanation {
    /// One for each destination of the plan, in its order.
    routes: Vec<Explained>,
}

/// Why one destination was chosen or not.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Explained {
    /// `channel/destination`.
    destination: String,
    /// Whether the message goes there.
    chosen: bool,
    /// Whether the channel took the message; one that did not sends it nowhere, whatever its filters say.
    accepted: bool,
    /// The destination's `when`, as its file says it; nothing when it has none.
    filter: Option<String>,
    /// Line of the filter in that version of the file, from 1.
    line: Option<usize>,
    /// Its column, from 1.
    column: Option<usize>,
    /// The parts of the filter.
    terms: Vec<Part>,
}

/// A part of a filter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Part {
    /// As a channel file says it.
    text: String,
    /// What the message has there.
    value: String,
    /// Whether it holds.
    result: bool,
}

/// Judges the message once more, under the versions it was judged by.
pub(crate) async fn explain(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
) -> Result<Json<Explanation>, Problem> {
    let masked = shows_values(&actor)?;
    let message = stored(&engine, &actor, &id).await?;
    let mut routes = Vec::new();
    for entry in &message.plan.entries {
        let name = engine.destination_name(entry.destination);
        let Some((channel, destination)) = name.split_once('/') else { continue };
        if !scope::sees_channel(&engine, &actor, channel) {
            continue;
        }
        let mut route = Explained {
            destination: name.clone(),
            chosen: entry.disposition != Disposition::Filtered,
            accepted: true,
            filter: None,
            line: None,
            column: None,
            terms: Vec::new(),
        };
        if let Some(place) = engine.versions().filter(entry.version, destination) {
            route.filter = Some(place.text);
            route.line = Some(place.line);
            route.column = Some(place.column);
        }
        if let Some(judged) = engine.versions().explained(entry.version, destination, &message) {
            route.accepted = judged.accepted;
            let parts = judged.terms.into_iter().map(|term| Part {
                value: if masked { mask::text(&term.value) } else { term.value },
                text: term.text,
                result: term.holds,
            });
            route.terms = parts.collect();
        }
        routes.push(route);
    }
    Ok(Json(Explanation { routes }))
}
