//! `medway jobs`: bulk work on dead letters and holds, done by the engine while everything else goes on.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::cli::api::{Api, EngineArguments, list, number, text};
use crate::cli::exit::Failure;
use crate::cli::terminal::Terminal;

/// Between two questions how far a job is.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Options of `jobs`.
#[derive(Debug, Args)]
pub struct JobsArguments {
    #[command(flatten)]
    engine: EngineArguments,
    /// What to do; without it the jobs are listed.
    #[command(subcommand)]
    act: Option<JobsAct>,
}

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub enum JobsAct {
    /// Shows what is set aside or held, by cause.
    Causes,
    /// Begins a job.
    Begin(BeginArguments),
    /// Stops a job after the delivery it is at.
    Abort {
        /// Its id.
        id: String,
        /// Why; goes on record.
        #[arg(long)]
        reason: String,
    },
}

/// Options of `jobs begin`.
#[derive(Debug, Args)]
pub struct BeginArguments {
    /// What to do with each delivery.
    #[arg(value_enum)]
    act: BulkAct,
    /// Only deliveries in this state, e.g. `dead`.
    #[arg(long)]
    state: Option<String>,
    /// Only those of CHANNEL/DESTINATION.
    #[arg(long, value_name = "CHANNEL/DESTINATION")]
    destination: Option<String>,
    /// Only those set aside or held for this cause.
    #[arg(long)]
    cause: Option<String>,
    /// Why; goes on record.
    #[arg(long)]
    reason: String,
    /// Deliveries a second.
    #[arg(long)]
    rate: Option<u32>,
    /// Waits until the job has ended.
    #[arg(long)]
    wait: bool,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BulkAct {
    /// Tries dead letters again at their old place.
    Retry,
    /// Skips what waits.
    Skip,
    /// Lets what is held go on.
    Release,
    /// Makes new messages from the stored ones.
    Replay,
}

impl BulkAct {
    const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Skip => "skip",
            Self::Release => "release",
            Self::Replay => "replay",
        }
    }
}

pub(crate) async fn run(arguments: JobsArguments, terminal: &Terminal) -> Result<(), Failure> {
    let api = Api::new(&arguments.engine)?;
    match arguments.act {
        None => {
            let jobs = api.get("/jobs").await?;
            list(&jobs, "jobs").iter().for_each(|job| show(job, terminal));
            Ok(())
        }
        Some(JobsAct::Causes) => {
            let groups = api.post("/exceptions/groups", &json!({})).await?;
            list(&groups, "groups").iter().for_each(|group| show_group(group, terminal));
            Ok(())
        }
        Some(JobsAct::Abort { id, reason }) => {
            api.post(&format!("/jobs/{id}/abort"), &json!({"reason": reason})).await?;
            show(&api.get(&format!("/jobs/{id}")).await?, terminal);
            Ok(())
        }
        Some(JobsAct::Begin(begin)) => {
            let mut job = begun(&api, &begin).await?;
            while begin.wait && text(&job, "state") == "running" {
                tokio::time::sleep(ASK_EVERY).await;
                job = api.get(&format!("/jobs/{}", text(&job, "id"))).await?;
            }
            show(&job, terminal);
            let ended_well = matches!(text(&job, "state"), "running" | "done");
            if ended_well && number(&job, "failed") == 0 {
                return Ok(());
            }
            Err(Failure::negative("not all could be done"))
        }
    }
}

async fn begun(api: &Api, begin: &BeginArguments) -> Result<Value, Failure> {
    let mut selection = serde_json::Map::new();
    let asked =
        [("state", &begin.state), ("destination", &begin.destination), ("cause", &begin.cause)];
    for (name, value) in asked {
        if let Some(value) = value {
            selection.insert(name.to_owned(), json!(value));
        }
    }
    let body = json!({
        "act": begin.act.name(),
        "selection": selection,
        "reason": begin.reason,
        "rate_per_second": begin.rate,
    });
    let answer = api.post("/jobs", &body).await?;
    api.get(&format!("/jobs/{}", text(&answer, "id"))).await
}

fn show(job: &Value, terminal: &Terminal) {
    if terminal.json() {
        terminal.value(job);
        return;
    }
    terminal.line(&format!(
        "{}  {:<8} {:<11} {:>6} of {:<6} {:>5} failed  {}  by {}: {}  {}",
        text(job, "id"),
        text(job, "act"),
        text(job, "state"),
        number(job, "done") + number(job, "failed"),
        job.get("total").and_then(Value::as_u64).map_or_else(|| "?".to_owned(), |n| n.to_string()),
        number(job, "failed"),
        text(job, "started_at"),
        text(job, "by"),
        text(job, "reason"),
        text(job, "last_error"),
    ));
}

fn show_group(group: &Value, terminal: &Terminal) {
    if terminal.json() {
        terminal.value(group);
        return;
    }
    terminal.line(&format!(
        "{:>7}  {:<6} {:<32} {} {} {}  since {}  e.g. {}",
        number(group, "count"),
        text(group, "state"),
        text(group, "destination"),
        text(group, "cause"),
        text(group, "code"),
        text(group, "text"),
        text(group, "oldest"),
        text(group, "sample"),
    ));
}
