//! Bulk work: one act on many deliveries or messages, done beside everything else, at a limited rate,
//! with progress and a way to stop it.
//!
//! A job is a file in the data directory, with what it selected in a second one. One that ran when the engine
//! stopped goes on after the next start and does nothing twice: see [`crate::engine::resume`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use utoipa::ToSchema;

use crate::delivery::CommandError;
use crate::delivery::queue::{Act, ActError};
use crate::engine::Engine;
use crate::engine::replay::{RenderAs, ReplayRequest};
use crate::engine::resume::{Row, replay_id};
use crate::message::id::{DestinationId, MessageId, Seq};
use crate::store::{Exception, ExceptionQuery, ExceptionState, StoreError};

/// Most deliveries one job may select.
const SELECTED_MAX: usize = 100_000;
/// Jobs kept to be looked at; the oldest go first.
const KEPT_MAX: usize = 200;
/// Jobs that run at once.
const RUNNING_MAX: usize = 8;
/// Rows read at once.
const PAGE: u32 = 500;
/// Acts between two notes of the progress on disk.
const NOTE_EVERY: u64 = 100;
/// Acts a second, when nobody says otherwise.
pub const RATE_USUAL: u32 = 50;
/// Most acts a second.
pub const RATE_MAX: u32 = 1000;

/// What a job does to each delivery it selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobAct {
    /// Tries dead letters again at their old place, and what waits for its time now.
    Retry,
    /// Skips what waits.
    Skip,
    /// Lets what is held go on.
    Release,
    /// Makes new messages from the stored ones, and takes the dead letters away.
    Replay,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It works.
    Running,
    /// All selected deliveries were tried.
    Done,
    /// Somebody stopped it.
    Aborted,
    /// It could not read what to do.
    Failed,
    /// The engine stopped while it worked, and what it selected is not known any more.
    Interrupted,
}

/// A job as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// What it does.
    pub act: JobAct,
    /// Where it stands.
    pub state: JobState,
    /// Deliveries selected; nothing while they are being looked up.
    pub total: Option<u64>,
    /// Acts that succeeded.
    pub done: u64,
    /// Acts that did not.
    pub failed: u64,
    /// Who asked.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When it was asked for.
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Why the last act that failed did.
    pub last_error: Option<String>,
}

/// Which deliveries.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// In this state; without it those that the act suits.
    pub state: Option<ExceptionState>,
    /// Of this destination.
    pub destination: Option<DestinationId>,
    /// For this cause.
    pub cause: Option<String>,
    /// With this code of the receiver.
    pub code: Option<String>,
    /// With a text of the receiver that has this fingerprint (see [`fingerprint`]).
    pub fingerprint: Option<String>,
    /// Of these messages.
    pub ids: Option<Vec<MessageId>>,
    /// Of these destinations alone: what the asker sees. `None`: all.
    pub among: Option<Vec<DestinationId>>,
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct JobRequest {
    /// What to do.
    pub act: JobAct,
    /// To what.
    pub selection: Selection,
    /// Who asks.
    pub by: String,
    /// Why; required.
    pub reason: String,
    /// Acts a second.
    pub rate_per_second: u32,
}

/// Why there is no job.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Nobody said why.
    #[error("a reason is required: it goes on record")]
    NoReason,
    /// Too many run already.
    #[error("{RUNNING_MAX} jobs run already; wait for one to end, or abort one")]
    TooMany,
    /// The data directory cannot be written.
    #[error("the job cannot be noted in the data directory: {0}; check the disk")]
    Disk(#[from] std::io::Error),
}

/// The jobs of an engine.
pub struct Jobs {
    folder: PathBuf,
    jobs: Mutex<BTreeMap<String, (Job, CancellationToken)>>,
    /// Held while a message is sent again: two jobs may want the same one.
    replaying: tokio::sync::Mutex<()>,
}

impl Jobs {
    /// The jobs noted below `data`. Those that ran are to be resumed, or interrupted where nothing says what
    /// they selected.
    ///
    /// # Errors
    /// When the folder can be neither made nor read.
    pub fn open(data: &Path) -> std::io::Result<Self> {
        let folder = data.join("jobs");
        std::fs::create_dir_all(&folder)?;
        let mut jobs = BTreeMap::new();
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|ending| ending != "json") {
                continue;
            }
            // A file that was cut off by a crash says nothing; it is left for people to look at.
            let Ok(mut job) = serde_json::from_slice::<Job>(&std::fs::read(&path)?) else {
                warn!(file = %path.display(), "a job's file cannot be read and is left alone");
                continue;
            };
            if job.state == JobState::Running && !path.with_extension("work").is_file() {
                job.state = JobState::Interrupted;
            }
            jobs.insert(job.id.clone(), (job, CancellationToken::new()));
        }
        Ok(Self { folder, jobs: Mutex::new(jobs), replaying: tokio::sync::Mutex::default() })
    }

    pub(super) fn all(
        &self,
    ) -> std::sync::MutexGuard<'_, BTreeMap<String, (Job, CancellationToken)>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All jobs, the newest first.
    #[must_use]
    pub fn list(&self) -> Vec<Job> {
        self.all().values().rev().map(|(job, _)| job.clone()).collect()
    }

    /// One job.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Job> {
        self.all().get(id).map(|(job, _)| job.clone())
    }

    /// Stops a job after the act it is at; answers whether it ran.
    #[must_use]
    pub fn abort(&self, id: &str) -> bool {
        let jobs = self.all();
        let Some((job, stop)) = jobs.get(id) else { return false };
        stop.cancel();
        job.state == JobState::Running
    }

    pub(super) fn change(&self, id: &str, change: impl FnOnce(&mut Job)) -> Option<Job> {
        let mut jobs = self.all();
        let (job, _) = jobs.get_mut(id)?;
        change(job);
        Some(job.clone())
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    /// The file of what a job selected.
    pub(super) fn work_path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.work"))
    }

    /// Writes a job whole, or leaves the old file.
    async fn note(&self, job: &Job) -> std::io::Result<()> {
        replace(&self.path(&job.id), &serde_json::to_vec(job)?).await
    }

    /// Forgets the oldest jobs that ended.
    async fn forget(&self) {
        let mut gone = Vec::new();
        {
            let mut jobs = self.all();
            while jobs.len() > KEPT_MAX {
                let ended = jobs.values().find(|(job, _)| job.state != JobState::Running);
                let Some(id) = ended.map(|(job, _)| job.id.clone()) else { break };
                jobs.remove(&id);
                gone.push(id);
            }
        }
        for id in gone {
            if let Err(error) = tokio::fs::remove_file(self.path(&id)).await {
                warn!(job = %id, %error, "an old job's file could not be removed");
            }
        }
    }
}

/// Writes a file whole and on the disk, or leaves the old one.
pub(super) async fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use tokio::io::AsyncWriteExt as _;
    let draft = path.with_extension("new");
    let mut file = tokio::fs::File::create(&draft).await?;
    file.write_all(bytes).await?;
    file.sync_all().await?;
    tokio::fs::rename(&draft, path).await
}

impl Engine {
    /// Begins a job; answers its id.
    ///
    /// # Errors
    /// See [`JobError`].
    pub async fn begin_job(self: &Arc<Self>, request: JobRequest) -> Result<String, JobError> {
        if request.reason.trim().is_empty() {
            return Err(JobError::NoReason);
        }
        let job = Job {
            id: MessageId::new().to_string(),
            act: request.act,
            state: JobState::Running,
            total: None,
            done: 0,
            failed: 0,
            by: request.by.clone(),
            reason: request.reason.clone(),
            started_at: self.clock.now().to_string(),
            ended_at: None,
            last_error: None,
        };
        let stop = self.stop_sources.child_token();
        {
            let mut jobs = self.jobs.all();
            let running = jobs.values().filter(|(job, _)| job.state == JobState::Running).count();
            if running >= RUNNING_MAX {
                return Err(JobError::TooMany);
            }
            jobs.insert(job.id.clone(), (job.clone(), stop.clone()));
        }
        // What is to be done is on the disk before the job is: a start finds both or none.
        let noted = match self.note_work(&job.id, &request, None).await {
            Ok(()) => self.jobs.note(&job).await,
            failed => failed,
        };
        if let Err(error) = noted {
            self.jobs.all().remove(&job.id);
            return Err(error.into());
        }
        self.jobs.forget().await;
        let (engine, id) = (Arc::clone(self), job.id.clone());
        self.tracker.spawn(async move { engine.work(&job.id, &request, None, &stop).await });
        Ok(id)
    }

    /// Works until the job has ended, or the engine stops; with the rows that were selected before a start.
    pub(super) async fn work(
        &self,
        id: &str,
        request: &JobRequest,
        rows: Option<Vec<Row>>,
        stop: &CancellationToken,
    ) {
        let again = rows.is_some();
        let rows = match rows {
            Some(rows) => Ok(rows),
            None => self.chosen(id, request).await,
        };
        let ended = match rows {
            Ok(rows) => self.act_on(id, request, &rows, again, stop).await,
            Err(told) => {
                let _job = self.jobs.change(id, |job| job.last_error = Some(told));
                JobState::Failed
            }
        };
        // What the engine's own stop ends goes on after its next start.
        if ended == JobState::Aborted && self.stop_sources.is_cancelled() {
            if let Some(job) = self.jobs.get(id) {
                self.note(&job).await;
            }
            return;
        }
        let now = self.clock.now().to_string();
        let job = self.jobs.change(id, |job| {
            job.state = ended;
            job.ended_at = Some(now);
        });
        if let Some(job) = job {
            info!(job = %id, done = job.done, failed = job.failed, "job ended");
            self.note(&job).await;
        }
        if let Err(error) = tokio::fs::remove_file(self.jobs.work_path(id)).await {
            warn!(job = %id, %error, "what a job had selected could not be removed");
        }
    }

    /// Looks up what a job is about, and notes it before anything is done.
    async fn chosen(&self, id: &str, request: &JobRequest) -> Result<Vec<Row>, String> {
        let selected = self.selected(request).await.map_err(|error| error.to_string())?;
        let rows: Vec<Row> = selected.iter().map(Row::of).collect();
        let noted = self.note_work(id, request, Some(&rows)).await;
        noted.map_err(|error| JobError::Disk(error).to_string())?;
        Ok(rows)
    }

    async fn note(&self, job: &Job) {
        if let Err(error) = self.jobs.note(job).await {
            warn!(job = %job.id, %error, "a job's progress could not be noted");
        }
    }

    async fn act_on(
        &self,
        id: &str,
        request: &JobRequest,
        rows: &[Row],
        again: bool,
        stop: &CancellationToken,
    ) -> JobState {
        let total = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let before = self.jobs.change(id, |job| job.total = Some(total));
        let tried = before.map_or(0, |job| job.done.saturating_add(job.failed));
        let tried = usize::try_from(tried).unwrap_or(usize::MAX);
        let rate = request.rate_per_second.clamp(1, RATE_MAX);
        let mut pace = tokio::time::interval(Duration::from_secs(1) / rate);
        for row in rows.iter().skip(tried) {
            tokio::select! {
                biased;
                () = stop.cancelled() => return JobState::Aborted,
                _ = pace.tick() => {}
            }
            let done = self.act_once(request, row, again).await;
            let job = self.jobs.change(id, |job| match done {
                Ok(()) => job.done = job.done.saturating_add(1),
                Err(told) => {
                    job.failed = job.failed.saturating_add(1);
                    job.last_error = Some(told);
                }
            });
            let Some(job) = job else { return JobState::Aborted };
            if job.done.saturating_add(job.failed).is_multiple_of(NOTE_EVERY) {
                self.note(&job).await;
            }
        }
        JobState::Done
    }

    async fn act_once(&self, request: &JobRequest, row: &Row, again: bool) -> Result<(), String> {
        // Since the last note of the progress more may have been done than it says.
        if again && self.was_done(request, row).await.map_err(|error| error.to_string())? {
            return Ok(());
        }
        let (id, seq) = (row.destination, row.seq);
        let (by, reason) = (request.by.as_str(), request.reason.as_str());
        let acted = match (request.act, row.state) {
            (JobAct::Retry, ExceptionState::Dead) => {
                self.deliveries.retry_dead(id, seq, by, reason).await
            }
            (JobAct::Retry, _) => self.deliveries.act(id, Act::RetryNow, seq, by, reason).await,
            (JobAct::Skip, _) => self.deliveries.act(id, Act::Skip, seq, by, reason).await,
            (JobAct::Release, _) => self.deliveries.act(id, Act::Release, seq, by, reason).await,
            (JobAct::Replay, _) => return self.replay_once(request, row).await,
        };
        acted.map_err(|error| error.to_string())
    }

    /// Sends a message again to the destination it did not reach, once whatever jobs ask for it, and takes the
    /// dead letter away: what is sent again waits for nobody any more.
    async fn replay_once(&self, request: &JobRequest, row: &Row) -> Result<(), String> {
        let _one_at_a_time = self.jobs.replaying.lock().await;
        let stored = self.store.messages(&[row.seq]).await.map_err(|error| error.to_string())?;
        let message = stored.first().ok_or_else(|| StoreError::Missing.to_string())?;
        let id = replay_id(message.envelope.id, row);
        let again = ReplayRequest {
            message: message.envelope.id,
            destinations: vec![row.destination],
            render: RenderAs::Anew,
            payload: None,
            by: request.by.clone(),
            reason: request.reason.clone(),
            id: Some(id),
        };
        match self.store.find(id).await {
            Ok(_) => {}
            Err(StoreError::Missing) => {
                self.replay(again).await.map_err(|error| error.to_string())?;
            }
            Err(error) => return Err(error.to_string()),
        }
        let (by, reason) = (request.by.as_str(), format!("sent again as {id}: {}", request.reason));
        let cancelled =
            self.deliveries.act(row.destination, Act::Cancel, row.seq, by, &reason).await;
        match cancelled {
            Ok(()) | Err(CommandError::Act(ActError::NotWaiting(_))) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The rows a request is about, in the order of their destinations and lanes.
    async fn selected(&self, request: &JobRequest) -> Result<Vec<Exception>, StoreError> {
        let selection = &request.selection;
        let mut rows = Vec::new();
        if let Some(ids) = &selection.ids {
            for id in ids.iter().take(SELECTED_MAX) {
                let seq = match self.store.find(*id).await {
                    Ok(seq) => seq,
                    Err(StoreError::Missing) => continue,
                    Err(error) => return Err(error),
                };
                let views = self.store.deliveries(seq).await?;
                let found = views.into_iter().filter_map(|view| view.exception);
                rows.extend(found.filter(|row| fits(row, request)));
            }
            rows.sort_unstable_by_key(|row| (row.destination, row.seq));
            return Ok(rows);
        }
        for state in states(request) {
            let mut after: Option<(DestinationId, Seq)> = None;
            loop {
                let destination = selection.destination;
                let state = Some(state);
                let query =
                    ExceptionQuery { destination, state, after, limit: PAGE, ..Default::default() };
                let page = self.store.exceptions(query).await?;
                after = page.last().map(|row| (row.destination, row.seq));
                let full = u32::try_from(page.len()).is_ok_and(|count| count >= PAGE);
                rows.extend(page.into_iter().filter(|row| fits(row, request)));
                if !full || rows.len() >= SELECTED_MAX {
                    break;
                }
            }
        }
        rows.truncate(SELECTED_MAX);
        Ok(rows)
    }
}

/// The states an act suits, when none is asked for.
fn states(request: &JobRequest) -> Vec<ExceptionState> {
    if let Some(state) = request.selection.state {
        return vec![state];
    }
    match request.act {
        JobAct::Retry | JobAct::Replay => vec![ExceptionState::Dead],
        JobAct::Release => vec![ExceptionState::Held],
        JobAct::Skip => vec![ExceptionState::Held, ExceptionState::Retry],
    }
}

/// What texts of one cause have in common: numbers tell deliveries apart and no causes. A hash, since the
/// text may quote a message.
#[must_use]
pub fn fingerprint(text: &str) -> String {
    let plain: String =
        text.chars().map(|sign| if sign.is_ascii_digit() { '#' } else { sign }).collect();
    let hash = ring::digest::digest(&ring::digest::SHA256, plain.as_bytes());
    hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn fits(row: &Exception, request: &JobRequest) -> bool {
    let selection = &request.selection;
    states(request).contains(&row.state)
        && selection.destination.is_none_or(|wanted| wanted == row.destination)
        && selection.cause.as_deref().is_none_or(|wanted| wanted == &*row.cause)
        && selection.code.as_deref().is_none_or(|wanted| wanted == &*row.answer.code)
        && selection
            .fingerprint
            .as_deref()
            .is_none_or(|wanted| wanted == fingerprint(&row.answer.text))
        && selection.among.as_ref().is_none_or(|seen| seen.contains(&row.destination))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_of_which_nothing_is_known_but_that_it_ran_is_interrupted() {
        let data = tempfile::tempdir().unwrap();
        drop(Jobs::open(data.path()).unwrap());
        let job = |id: &str, state| Job {
            id: id.to_owned(),
            act: JobAct::Retry,
            state,
            total: Some(9),
            done: 4,
            failed: 0,
            by: "user:li".to_owned(),
            reason: "the LIS is back".to_owned(),
            started_at: "2026-01-01T00:00:00Z".to_owned(),
            ended_at: None,
            last_error: None,
        };
        for (id, state) in [("1", JobState::Running), ("2", JobState::Done)] {
            let path = data.path().join(format!("jobs/{id}.json"));
            std::fs::write(path, serde_json::to_vec(&job(id, state)).unwrap()).unwrap();
        }
        std::fs::write(data.path().join("jobs/3.json"), "{\"id\": ").unwrap();
        let again = Jobs::open(data.path()).unwrap();
        assert_eq!(again.list(), [job("2", JobState::Done), job("1", JobState::Interrupted)]);
    }
}
