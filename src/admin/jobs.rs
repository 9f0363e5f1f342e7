//! Bulk work on deliveries, and what waits for people, grouped by cause.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::access::door::Actor;
use crate::access::role::{Permission, View};
use crate::admin::deliveries::state_of;
use crate::admin::problem::Problem;
use crate::admin::record::Quotes;
use crate::admin::scope;
use crate::delivery::queue::state_name;
use crate::engine::Engine;
use crate::engine::jobs::{self, Job, JobAct, JobError, JobRequest, RATE_USUAL, Selection};
use crate::message::id::{DestinationId, MessageId, Seq};
use crate::message::time::Timestamp;
use crate::store::{Exception, ExceptionQuery, ExceptionState};

/// Rows read at once.
const PAGE: u32 = 500;
/// Most rows grouped.
const ROWS_MAX: usize = 50_000;
/// Most groups answered.
const GROUPS_MAX: usize = 500;
/// Most messages named in one request.
const IDS_MAX: usize = 1000;

/// Which deliveries a job is about. At least one of them.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Selected {
    /// `retry`, `held`, `behind`, `dead` or `cancelled`; without it those that the act suits.
    state: Option<String>,
    /// `channel/destination`.
    destination: Option<String>,
    /// As the exception rows and groups name it.
    cause: Option<String>,
    /// The receiver's code, as groups name it.
    code: Option<String>,
    /// As groups name it: deliveries whose texts differ in numbers alone. Needs the full view.
    fingerprint: Option<String>,
    /// Ids of messages, at most a thousand.
    ids: Option<Vec<String>>,
}

/// A job to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewJob {
    act: JobAct,
    selection: Selected,
    /// Why; goes on record.
    reason: String,
    /// Acts a second, 1 to 1000; 50 when not said.
    rate_per_second: Option<u32>,
}

/// A job that has begun.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Begun {
    id: String,
}

/// The jobs, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobList {
    jobs: Vec<Job>,
}

/// Begins a job: 202 with its id.
pub(crate) async fn begin(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Json(new): Json<NewJob>,
) -> Result<(StatusCode, Json<Begun>), Problem> {
    if new.act == JobAct::Replay && !actor.may(Permission::Resend) {
        return Err(Problem::forbidden(Permission::Resend.name()));
    }
    let selection = selection(&engine, &actor, &new.selection)?;
    let request = JobRequest {
        act: new.act,
        selection,
        by: actor.name.clone(),
        reason: new.reason,
        rate_per_second: new.rate_per_second.unwrap_or(RATE_USUAL),
    };
    let id = engine.begin_job(request).await.map_err(|error| match error {
        JobError::NoReason => Problem::bad("no_reason", error.to_string()),
        JobError::TooMany => Problem::conflict("too_many_jobs", error.to_string()),
        JobError::Disk(_) => Problem::unavailable(error.to_string()),
    })?;
    Ok((StatusCode::ACCEPTED, Json(Begun { id })))
}

fn selection(engine: &Engine, actor: &Actor, asked: &Selected) -> Result<Selection, Problem> {
    let named = [asked.state.is_some(), asked.destination.is_some(), asked.cause.is_some()];
    if !named.contains(&true) && asked.ids.is_none() {
        let told = "a selection names a state, a destination, a cause or ids";
        return Err(Problem::bad("no_selection", told));
    }
    let ids = match &asked.ids {
        Some(ids) if ids.len() > IDS_MAX => {
            return Err(Problem::bad("too_many_ids", format!("at most {IDS_MAX} ids at once")));
        }
        Some(ids) => {
            let read: Option<Vec<MessageId>> = ids.iter().map(|id| MessageId::parse(id)).collect();
            Some(read.ok_or_else(|| Problem::bad("bad_id", "a message id is a UUID"))?)
        }
        None => None,
    };
    if asked.fingerprint.is_some() && actor.view != View::Full {
        // Whoever could try fingerprints would learn what a text says.
        return Err(Problem::hidden(actor.view, View::Full));
    }
    let destination = asked.destination.as_deref();
    let seen = || {
        let all = engine.destination_ids().into_iter();
        all.filter(|id| scope::sees_destination(engine, actor, *id)).collect()
    };
    Ok(Selection {
        state: asked.state.as_deref().map(state_of).transpose()?,
        destination: destination.map(|name| scope::destination(engine, actor, name)).transpose()?,
        cause: asked.cause.clone(),
        code: asked.code.clone(),
        fingerprint: asked.fingerprint.clone(),
        ids,
        among: (!actor.groups.is_empty()).then(seen),
    })
}

/// Who is limited to groups sees the jobs they began.
fn sees(actor: &Actor, job: &Job) -> bool {
    actor.groups.is_empty() || job.by == actor.name
}

/// The jobs.
pub(crate) async fn list(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
) -> Json<JobList> {
    let jobs = engine.jobs().list().into_iter();
    Json(JobList { jobs: jobs.filter(|job| sees(&actor, job)).collect() })
}

/// One job.
pub(crate) async fn one(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
) -> Result<Json<Job>, Problem> {
    let job = engine.jobs().get(&id).filter(|job| sees(&actor, job));
    job.map(Json).ok_or_else(|| Problem::missing("job"))
}

/// Stops a job after the act it is at.
pub(crate) async fn abort(
    State(engine): State<Arc<Engine>>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let known = engine.jobs().get(&id).filter(|job| sees(&actor, job));
    known.ok_or_else(|| Problem::missing("job"))?;
    if !engine.jobs().abort(&id) {
        return Err(Problem::conflict("not_running", "the job has ended"));
    }
    Ok(Json(json!({"done": "abort"})))
}

/// Which rows are grouped: `dead` and `held` when no state is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grouping {
    /// `retry`, `held`, `behind`, `dead` or `cancelled`.
    state: Option<String>,
    /// `channel/destination`.
    destination: Option<String>,
}

/// Deliveries that wait for a person for the same cause.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Group {
    /// `channel/destination`.
    destination: String,
    /// `dead`, `held`, …
    state: &'static str,
    /// Why, as a stable word.
    cause: String,
    /// The receiver's code.
    code: String,
    /// The receiver's text, of the oldest; empty below the full view.
    text: String,
    /// Names the text in a job's selection; nothing below the full view, where all texts are one group.
    fingerprint: Option<String>,
    /// How many.
    count: u64,
    /// When the oldest left the straight path.
    oldest: String,
    /// When the newest did.
    newest: String,
    /// Id of the oldest one's message.
    sample: Option<String>,
}

/// Groups, the largest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Groups {
    groups: Vec<Group>,
    /// Whether there was more than is grouped: counts are then too low.
    cut: bool,
}

/// A group while it is counted.
#[derive(Debug, Clone)]
struct Gathered {
    count: u64,
    oldest: Timestamp,
    newest: Timestamp,
    sample: Seq,
    text: String,
}

/// What makes two rows the same: numbers in a text tell rows apart and no causes.
type Fingerprint = (DestinationId, ExceptionState, Box<str>, Cow<'static, str>, String);

fn fingerprint(row: &Exception) -> Fingerprint {
    let print = jobs::fingerprint(&row.answer.text);
    (row.destination, row.state, row.cause.clone(), row.answer.code.clone(), print)
}

/// Rows as they were grouped for everybody who asked at the same time.
struct Read {
    begun: Instant,
    of: (Option<DestinationId>, Option<ExceptionState>),
    gathered: Arc<HashMap<Fingerprint, Gathered>>,
    cut: bool,
}

/// Reads rows for groups, one reading at a time: who asks while rows are read waits for the next reading and shares
/// it with all others who wait. So many open pages cost as much as one, and nobody is shown what was before they
/// asked.
#[derive(Default)]
pub(crate) struct Grouper(tokio::sync::Mutex<Option<Read>>);

impl Grouper {
    async fn read(
        &self,
        engine: &Engine,
        of: (Option<DestinationId>, Option<ExceptionState>),
    ) -> Result<(Arc<HashMap<Fingerprint, Gathered>>, bool), Problem> {
        let asked = Instant::now();
        let mut last = self.0.lock().await;
        if let Some(read) = last.as_ref().filter(|read| read.of == of && read.begun >= asked) {
            return Ok((Arc::clone(&read.gathered), read.cut));
        }
        let begun = Instant::now();
        let (gathered, cut) = gathered(engine, of).await?;
        let gathered = Arc::new(gathered);
        *last = Some(Read { begun, of, gathered: Arc::clone(&gathered), cut });
        Ok((gathered, cut))
    }
}

/// All rows of a destination or of all, by their causes and texts.
async fn gathered(
    engine: &Engine,
    (destination, state): (Option<DestinationId>, Option<ExceptionState>),
) -> Result<(HashMap<Fingerprint, Gathered>, bool), Problem> {
    let both = vec![ExceptionState::Dead, ExceptionState::Held];
    let states = state.map_or(both, |state| vec![state]);
    let mut gathered: HashMap<Fingerprint, Gathered> = HashMap::new();
    let (mut rows, mut cut) = (0_usize, false);
    for state in states {
        let mut after = None;
        loop {
            let state = Some(state);
            let query =
                ExceptionQuery { destination, state, after, limit: PAGE, ..Default::default() };
            let page = engine.store().exceptions(query).await?;
            after = page.last().map(|row| (row.destination, row.seq));
            rows = rows.saturating_add(page.len());
            for row in &page {
                gather(&mut gathered, fingerprint(row), &Gathered::of(row));
            }
            if u32::try_from(page.len()).is_ok_and(|count| count < PAGE) {
                break;
            }
            if rows >= ROWS_MAX {
                cut = true;
                break;
            }
        }
    }
    Ok((gathered, cut))
}

/// Dead letters and holds by their cause.
pub(crate) async fn groups(
    State(engine): State<Arc<Engine>>,
    Extension(grouper): Extension<Arc<Grouper>>,
    Extension(actor): Extension<Actor>,
    Json(asked): Json<Grouping>,
) -> Result<(Option<Extension<Quotes>>, Json<Groups>), Problem> {
    let destination = asked.destination.as_deref();
    let destination =
        destination.map(|name| scope::destination(&engine, &actor, name)).transpose()?;
    let state = asked.state.as_deref().map(state_of).transpose()?;
    let (all, cut) = grouper.read(&engine, (destination, state)).await?;
    let mut gathered = HashMap::new();
    for (print, group) in all.iter() {
        if scope::sees_destination(&engine, &actor, print.0) {
            if actor.view == View::Full {
                gathered.insert(print.clone(), group.clone());
                continue;
            }
            // Below the full view texts tell no groups apart.
            let (destination, state, cause, code, _) = print.clone();
            let hidden = Gathered { text: String::new(), ..group.clone() };
            gather(&mut gathered, (destination, state, cause, code, String::new()), &hidden);
        }
    }
    let groups = shown(&engine, gathered, cut).await?;
    let quotes = groups.groups.iter().map(|group| (group.destination.clone(), group.text.clone()));
    Ok((Quotes::of(quotes).map(Extension), Json(groups)))
}

impl Gathered {
    fn of(row: &Exception) -> Self {
        let (oldest, newest, sample) = (row.since, row.since, row.seq);
        Self { count: 1, oldest, newest, sample, text: row.answer.text.to_string() }
    }
}

fn gather(gathered: &mut HashMap<Fingerprint, Gathered>, print: Fingerprint, more: &Gathered) {
    let Some(group) = gathered.get_mut(&print) else {
        gathered.insert(print, more.clone());
        return;
    };
    group.count = group.count.saturating_add(more.count);
    group.newest = group.newest.max(more.newest);
    if more.oldest < group.oldest {
        (group.oldest, group.sample) = (more.oldest, more.sample);
        group.text.clone_from(&more.text);
    }
}

async fn shown(
    engine: &Engine,
    gathered: HashMap<Fingerprint, Gathered>,
    cut: bool,
) -> Result<Groups, Problem> {
    let mut all: Vec<(Fingerprint, Gathered)> = gathered.into_iter().collect();
    all.sort_by(|(a, one), (b, other)| {
        other
            .count
            .cmp(&one.count)
            .then_with(|| (a.0, &a.2, &a.3, &a.4).cmp(&(b.0, &b.2, &b.3, &b.4)))
    });
    let cut = cut || all.len() > GROUPS_MAX;
    all.truncate(GROUPS_MAX);
    let seqs: Vec<Seq> = all.iter().map(|(_, group)| group.sample).collect();
    let messages = engine.store().messages(&seqs).await?;
    let groups = all.into_iter().map(|((destination, state, cause, code, print), group)| {
        let sample = messages.iter().find(|message| message.seq == group.sample);
        Group {
            destination: engine.destination_name(destination),
            state: state_name(state),
            cause: cause.into(),
            code: code.into(),
            text: group.text,
            fingerprint: (!print.is_empty()).then_some(print),
            count: group.count,
            oldest: group.oldest.to_string(),
            newest: group.newest.to_string(),
            sample: sample.map(|message| message.envelope.id.to_string()),
        }
    });
    Ok(Groups { groups: groups.collect(), cut })
}
