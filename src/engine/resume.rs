//! Bulk work that goes on after a start.
//!
//! Beside a job's own file lies what was asked and, once looked up, what it selected: each delivery as it stood
//! then. The progress is noted now and then, so that after a start some acts may be done that no note tells
//! of. Those are recognised: a delivery that does not stand any more as it was selected was acted on, and a
//! replay's message has an id made of what is sent again.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::engine::Engine;
use crate::engine::jobs::{JobAct, JobRequest, JobState, Selection, replace};
use crate::message::id::{DestinationId, MessageId, Seq};
use crate::store::{Exception, ExceptionState, StoreError};

/// A delivery as it was selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) destination: DestinationId,
    pub(super) seq: Seq,
    pub(super) state: ExceptionState,
    attempts: u32,
    due: i64,
}

impl Row {
    pub(super) fn of(row: &Exception) -> Self {
        let Exception { destination, seq, state, attempts, due, .. } = row;
        let due = due.0;
        Self { destination: *destination, seq: *seq, state: *state, attempts: *attempts, due }
    }
}

/// The states by their number on the disk.
const STATES: [ExceptionState; 5] = [
    ExceptionState::Retry,
    ExceptionState::Held,
    ExceptionState::Behind,
    ExceptionState::Dead,
    ExceptionState::Cancelled,
];

fn number(state: ExceptionState) -> usize {
    STATES.iter().position(|one| *one == state).unwrap_or_default()
}

/// What a job is about, on the disk.
#[derive(Debug, Serialize, Deserialize)]
struct Work {
    rate_per_second: u32,
    state: Option<usize>,
    destination: Option<u32>,
    cause: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    fingerprint: Option<String>,
    ids: Option<Vec<String>>,
    among: Option<Vec<u32>>,
    /// Destination, place, state, attempts, due; nothing until they are looked up.
    rows: Option<Vec<(u32, i64, usize, u32, i64)>>,
}

impl Work {
    fn of(request: &JobRequest, rows: Option<&[Row]>) -> Self {
        let Selection { state, destination, cause, code, fingerprint, ids, among } =
            &request.selection;
        let line =
            |row: &Row| (row.destination.0, row.seq.0, number(row.state), row.attempts, row.due);
        Self {
            rate_per_second: request.rate_per_second,
            state: state.map(number),
            destination: destination.map(|id| id.0),
            cause: cause.clone(),
            code: code.clone(),
            fingerprint: fingerprint.clone(),
            ids: ids.as_ref().map(|ids| ids.iter().map(ToString::to_string).collect()),
            among: among.as_ref().map(|all| all.iter().map(|id| id.0).collect()),
            rows: rows.map(|rows| rows.iter().map(line).collect()),
        }
    }

    fn selection(&self) -> Selection {
        let ids = self.ids.as_ref();
        Selection {
            state: self.state.and_then(|number| STATES.get(number).copied()),
            destination: self.destination.map(DestinationId),
            cause: self.cause.clone(),
            code: self.code.clone(),
            fingerprint: self.fingerprint.clone(),
            ids: ids.map(|ids| ids.iter().filter_map(|id| MessageId::parse(id)).collect()),
            among: self.among.as_ref().map(|all| all.iter().copied().map(DestinationId).collect()),
        }
    }

    fn rows(&self) -> Option<Vec<Row>> {
        let row = |(destination, seq, state, attempts, due): &(u32, i64, usize, u32, i64)| {
            let state = STATES.get(*state).copied()?;
            let (destination, seq) = (DestinationId(*destination), Seq(*seq));
            Some(Row { destination, seq, state, attempts: *attempts, due: *due })
        };
        self.rows.as_ref().map(|rows| rows.iter().filter_map(row).collect())
    }
}

/// The id of the message that jobs make of a message for a destination: the same for ever, so that no job sends
/// what a job has sent.
pub(super) fn replay_id(parent: MessageId, row: &Row) -> MessageId {
    parent.derive(&format!("replay/{}/{}", row.destination.0, row.seq.0))
}

fn read(path: &Path) -> std::io::Result<Work> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

impl Engine {
    /// Notes what a job is about.
    pub(super) async fn note_work(
        &self,
        id: &str,
        request: &JobRequest,
        rows: Option<&[Row]>,
    ) -> std::io::Result<()> {
        let bytes = serde_json::to_vec(&Work::of(request, rows))?;
        replace(&self.jobs.work_path(id), &bytes).await
    }

    /// Goes on with every job that ran when the engine stopped.
    pub(super) fn resume_jobs(self: &Arc<Self>) {
        let running = self.jobs.list().into_iter().filter(|job| job.state == JobState::Running);
        for job in running {
            let work = match read(&self.jobs.work_path(&job.id)) {
                Ok(work) => work,
                Err(error) => {
                    warn!(job = %job.id, %error, "what a job selected cannot be read: it is interrupted");
                    let _job = self.jobs.change(&job.id, |job| job.state = JobState::Interrupted);
                    continue;
                }
            };
            let request = JobRequest {
                act: job.act,
                selection: work.selection(),
                by: job.by.clone(),
                reason: job.reason.clone(),
                rate_per_second: work.rate_per_second,
            };
            let stop = self.stop_sources.child_token();
            if let Some((_, token)) = self.jobs.all().get_mut(&job.id) {
                *token = stop.clone();
            }
            info!(job = %job.id, done = job.done, failed = job.failed, "a job goes on");
            let engine = Arc::clone(self);
            self.tracker.spawn(async move {
                engine.work(&job.id, &request, work.rows(), &stop).await;
            });
        }
    }

    /// Whether a job had done this before the engine stopped.
    pub(super) async fn was_done(
        &self,
        request: &JobRequest,
        row: &Row,
    ) -> Result<bool, StoreError> {
        if request.act == JobAct::Replay {
            // It sees for itself what was sent.
            return Ok(false);
        }
        let views = self.store.deliveries(row.seq).await?;
        let rows = views.iter().filter_map(|view| view.exception.as_ref());
        let mut own = rows.filter(|now| now.destination == row.destination).map(Row::of);
        Ok(own.next() != Some(*row))
    }
}
