//! Sending a message again: what it would be, and doing it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::door::Actor;
use crate::access::role::Permission;
use crate::admin::messages::{stored, whole};
use crate::admin::problem::Problem;
use crate::admin::scope;
use crate::engine::Engine;
use crate::engine::replay::{Previewed, RenderAs, ReplayError, ReplayRequest, edited};
use crate::hl7::raw::{RawMessage, SegmentEnds};
use crate::hl7::strict;
use crate::message::StoredMessage;
use crate::message::id::DestinationId;
use crate::message::kind::ContentType;
use crate::message::payload::Payload;
use crate::message::plan::Disposition;
use crate::message::verdict::{Location, Problem as Fault, Rendered};

/// What is looked at before it is sent again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewOf {
    /// `channel/destination`.
    destination: String,
    /// The message as edited, in base64, by who may edit; without it as received.
    payload: Option<String>,
}

/// What would be sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Preview {
    /// In base64; empty when nothing would be sent.
    payload: String,
    /// How it is to be read.
    content_type: &'static str,
    /// What a person should look at first.
    pub(crate) findings: Vec<Finding>,
}

/// Something to look at before it is sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Finding {
    /// `error`: it would not be sent; `warning`: it would.
    severity: &'static str,
    /// A stable word, or a code of HL7 table 0357.
    code: String,
    /// Where, as channel files say it.
    path: Option<String>,
    /// What.
    text: String,
    /// What to do.
    hint: Option<String>,
}

impl Finding {
    /// Whether the message would not be sent.
    pub(crate) fn is_error(&self) -> bool {
        self.severity == "error"
    }

    /// Takes away what may quote the message.
    pub(crate) fn hide(&mut self) {
        self.text.clear();
        self.hint = None;
    }

    fn error(code: &str, text: String, hint: Option<String>) -> Self {
        Self { severity: "error", code: code.to_owned(), path: None, text, hint }
    }

    fn of(severity: &'static str, fault: &Fault) -> Self {
        Self {
            severity,
            code: fault.code.to_string(),
            path: fault.location.as_ref().map(path),
            text: fault.text.clone(),
            hint: None,
        }
    }
}

fn path(location: &Location) -> String {
    let mut path = location.segment.clone();
    if location.sequence > 1 {
        path.push_str(&format!("[{}]", location.sequence));
    }
    if let Some(field) = location.field {
        path.push_str(&format!("-{field}"));
    }
    if let Some(repetition) = location.repetition.filter(|number| *number > 1) {
        path.push_str(&format!("[{repetition}]"));
    }
    if let Some(component) = location.component {
        path.push_str(&format!(".{component}"));
    }
    path
}

/// Bytes that somebody edited, in base64.
fn payload_of(text: &str) -> Result<Payload, Problem> {
    let bytes = STANDARD.decode(text.trim());
    let bytes = bytes.map_err(|_| Problem::bad("bad_payload", "`payload` is no base64"))?;
    if bytes.is_empty() {
        return Err(Problem::bad("bad_payload", "`payload` holds nothing"));
    }
    Ok(Payload::new(bytes))
}

/// What was edited is sent by those alone who may see it whole and may edit.
fn edits(actor: &Actor) -> Result<(), Problem> {
    let needed = [Permission::EditMessage, Permission::SeeContent];
    if let Some(lacking) = needed.into_iter().find(|needed| !actor.may(*needed)) {
        return Err(Problem::forbidden(lacking.name()));
    }
    whole(actor)
}

/// Renders a message, or an edited one, for a destination under the version in force. Nothing is sent.
pub(crate) async fn preview(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    Json(asked): Json<PreviewOf>,
) -> Result<Json<Preview>, Problem> {
    whole(&actor)?;
    if asked.payload.is_some() {
        edits(&actor)?;
    }
    let message = stored(&engine, &actor, &id).await?;
    let destination = scope::destination(&engine, &actor, &asked.destination)?;
    let message = match &asked.payload {
        Some(text) => edited(&message, payload_of(text)?),
        None if message.payload.is_empty() => {
            return Err(Problem::conflict("no_body", "the message's bytes are gone (retention)"));
        }
        None => StoredMessage::clone(&message),
    };
    let none = || Problem::conflict("not_in_force", "no channel in force has this destination");
    let previewed = engine.preview(destination, &message).ok_or_else(none)?;
    Ok(Json(shown(&message, previewed)))
}

pub(crate) fn shown(message: &StoredMessage, previewed: Previewed) -> Preview {
    let mut findings = Vec::new();
    let content_type = message.envelope.content_type;
    if let Some(unreadable) = unreadable(content_type, message.payload.expose()) {
        findings.push(Finding::error("unreadable", unreadable, None));
    }
    if let Some(refusal) = &previewed.refused {
        findings.push(Finding::of("warning", refusal));
    }
    if previewed.filtered {
        let text = "the destination's filter would not choose this message".to_owned();
        let hint = "it is sent all the same when the destination is chosen by name".to_owned();
        findings.push(Finding {
            severity: "warning",
            code: "filtered".to_owned(),
            path: None,
            text,
            hint: Some(hint),
        });
    }
    let (bytes, content_type) = match previewed.rendered {
        Rendered::Send(outbound) => (outbound.body, outbound.content_type),
        Rendered::Hold(problem) | Rendered::Fail(problem) => {
            let hint = (!problem.detail.is_empty()).then_some(problem.detail);
            findings.push(Finding::error(problem.cause, problem.text, hint));
            (Bytes::new(), content_type)
        }
    };
    if content_type == ContentType::Hl7v2
        && let Ok(read) = RawMessage::parse(bytes.clone(), SegmentEnds::Lenient)
    {
        findings.extend(strict::problems(&read).iter().map(|fault| Finding::of("warning", fault)));
    }
    Preview { payload: STANDARD.encode(&bytes), content_type: content_type.media_type(), findings }
}

/// Why bytes are not what they should be. Places, never content.
fn unreadable(content_type: ContentType, bytes: &Bytes) -> Option<String> {
    match content_type {
        ContentType::Hl7v2 => RawMessage::parse(bytes.clone(), SegmentEnds::Lenient)
            .err()
            .map(|error| error.to_string()),
        ContentType::Json | ContentType::FhirJson => {
            let error = serde_json::from_slice::<serde_json::Value>(bytes).err()?;
            let (line, column) = (error.line(), error.column());
            Some(format!("the JSON cannot be read at line {line}, column {column}"))
        }
        ContentType::Text | ContentType::Bytes => None,
    }
}

/// What a replay is to do.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replay {
    /// `channel/destination`; none: all the message was meant for.
    #[serde(default)]
    destinations: Vec<String>,
    /// `anew` by the rules in force, or `as_sent` by those of then. `anew` when not said.
    #[serde(default)]
    render: RenderAs,
    /// The message as edited, in base64; needs the right to edit, and to see content whole. Rendered anew.
    payload: Option<String>,
    /// Why; goes on record, and with the new message.
    reason: String,
}

/// What came of a replay.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Resent {
    /// Id of the new message.
    message: String,
    /// Its place in the log.
    seq: i64,
    /// Where it goes.
    destinations: Vec<String>,
}

/// Makes new deliveries from a stored message, linked to it.
pub(crate) async fn replay(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    Json(replay): Json<Replay>,
) -> Result<Json<Resent>, Problem> {
    let message = stored(&engine, &actor, &id).await?;
    let payload = match &replay.payload {
        Some(_) if replay.render == RenderAs::AsSent => {
            edits(&actor)?;
            let told = "what is edited is rendered anew: leave `render` out";
            return Err(Problem::bad("bad_render", told));
        }
        Some(text) => {
            edits(&actor)?;
            let payload = payload_of(text)?;
            let content_type = message.envelope.content_type;
            if let Some(told) = unreadable(content_type, payload.expose()) {
                return Err(Problem::bad("bad_payload", told));
            }
            Some(payload)
        }
        None => None,
    };
    let request = ReplayRequest {
        message: message.envelope.id,
        destinations: chosen(&engine, &actor, &message, &replay.destinations)?,
        render: replay.render,
        payload,
        by: actor.name.clone(),
        reason: replay.reason,
        id: None,
    };
    let made = engine.replay(request).await.map_err(|error| match error {
        ReplayError::NoReason => Problem::bad("no_reason", error.to_string()),
        ReplayError::NoDestination => Problem::conflict("no_destination", error.to_string()),
        ReplayError::NoBody => Problem::conflict("no_body", error.to_string()),
        ReplayError::Store(error) => error.into(),
    })?;
    let destinations = made.destinations.iter().map(|id| engine.destination_name(*id)).collect();
    Ok(Json(Resent { message: made.message.to_string(), seq: made.seq.0, destinations }))
}

/// The destinations asked for. Who is limited to groups and names none sends to those of theirs.
fn chosen(
    engine: &Engine,
    actor: &Actor,
    message: &StoredMessage,
    names: &[String],
) -> Result<Vec<DestinationId>, Problem> {
    if !names.is_empty() || actor.groups.is_empty() {
        return names.iter().map(|name| scope::destination(engine, actor, name)).collect();
    }
    let meant = message.plan.entries.iter();
    let meant = meant.filter(|entry| entry.disposition != Disposition::Filtered);
    let seen: Vec<DestinationId> = meant
        .map(|entry| entry.destination)
        .filter(|id| scope::sees_destination(engine, actor, *id))
        .collect();
    if seen.is_empty() { Err(Problem::missing("destination")) } else { Ok(seen) }
}
