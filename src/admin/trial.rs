//! Fix, test on all members, retry the group: what the version in force would make of the messages of a group of
//! dead letters or holds. Nothing is sent.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::door::Actor;
use crate::access::role::View;
use crate::admin::deliveries::state_of;
use crate::admin::messages::whole;
use crate::admin::problem::Problem;
use crate::admin::resend::{Finding, shown};
use crate::admin::scope;
use crate::engine::Engine;
use crate::engine::jobs::fingerprint;
use crate::message::id::{DestinationId, Seq};
use crate::store::ExceptionQuery;

/// Members rendered.
const TESTED_MAX: usize = 500;
/// Rows looked through for members.
const ROWS_MAX: usize = 50_000;
/// Rows read at once.
const PAGE: u32 = 500;
/// Messages rendered between two pauses for others.
const STEP: usize = 20;
/// Failures told of.
const FAILURES_MAX: usize = 20;

/// A group, as `/exceptions/groups` names it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrialOf {
    /// `channel/destination`.
    destination: String,
    /// `dead`, `held`, …
    state: String,
    /// Why, as a stable word.
    cause: String,
    /// The receiver's code; without it any.
    code: Option<String>,
    /// As groups name it; without it any text. Needs the full view.
    fingerprint: Option<String>,
}

/// What came of it.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Trial {
    /// Members rendered: the first 500.
    tested: u64,
    /// Of them, those that would be sent.
    ok: u64,
    /// Of them, those that would not.
    failed: u64,
    /// Of them, those whose bytes are gone (retention): they cannot be tried.
    gone: u64,
    /// Whether the group has more members than were rendered.
    cut: bool,
    /// The first that would not be sent.
    failures: Vec<FailedTrial>,
}

/// A message that would not be sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailedTrial {
    /// Its id.
    message: String,
    /// Why; texts are empty below the full view, since they may quote the message.
    findings: Vec<Finding>,
}

/// The places of a group's members, the first ones, and whether there are more.
async fn members(
    engine: &Engine,
    destination: DestinationId,
    asked: &TrialOf,
) -> Result<(Vec<Seq>, bool), Problem> {
    let state = Some(state_of(&asked.state)?);
    let (mut places, mut after, mut rows) = (Vec::new(), None, 0_usize);
    loop {
        let destination = Some(destination);
        let query = ExceptionQuery { destination, state, after, limit: PAGE, ..Default::default() };
        let page = engine.store().exceptions(query).await?;
        after = page.last().map(|row| (row.destination, row.seq));
        rows = rows.saturating_add(page.len());
        let own = page.iter().filter(|row| {
            let code = asked.code.as_deref().is_none_or(|code| code == &*row.answer.code);
            let print = asked.fingerprint.as_deref();
            let text = print.is_none_or(|print| print == fingerprint(&row.answer.text));
            *row.cause == *asked.cause && code && text
        });
        places.extend(own.map(|row| row.seq));
        let last = u32::try_from(page.len()).is_ok_and(|count| count < PAGE);
        if places.len() > TESTED_MAX {
            places.truncate(TESTED_MAX);
            return Ok((places, true));
        }
        if last || rows >= ROWS_MAX {
            return Ok((places, !last));
        }
    }
}

/// Renders each member of a group by the version in force.
pub(crate) async fn test(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Json(asked): Json<TrialOf>,
) -> Result<Json<Trial>, Problem> {
    if asked.fingerprint.is_some() {
        // Whoever could try fingerprints would learn what a text says.
        whole(&actor)?;
    }
    let destination = scope::destination(&engine, &actor, &asked.destination)?;
    let (places, cut) = members(&engine, destination, &asked).await?;
    let mut trial = Trial { cut, ..Trial::default() };
    for step in places.chunks(STEP) {
        for message in engine.store().messages(step).await? {
            trial.tested = trial.tested.saturating_add(1);
            if message.payload.is_empty() {
                trial.gone = trial.gone.saturating_add(1);
                continue;
            }
            let none = || Problem::conflict("not_in_force", "no channel in force has it");
            let previewed = engine.preview(destination, &message).ok_or_else(none)?;
            let mut findings = shown(&message, previewed).findings;
            findings.retain(Finding::is_error);
            if findings.is_empty() {
                trial.ok = trial.ok.saturating_add(1);
                continue;
            }
            trial.failed = trial.failed.saturating_add(1);
            if trial.failures.len() < FAILURES_MAX {
                if actor.view < View::Full {
                    findings.iter_mut().for_each(Finding::hide);
                }
                let message = message.envelope.id.to_string();
                trial.failures.push(FailedTrial { message, findings });
            }
        }
        tokio::task::yield_now().await;
    }
    Ok(Json(trial))
}
