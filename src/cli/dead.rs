//! `medway dead` and `medway replay`: what was set aside, and sending again with a reason.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::cli::api::{Api, EngineArguments, list, text};
use crate::cli::exit::Failure;
use crate::cli::messages::in_words;
use crate::cli::send::progress;
use crate::cli::terminal::Terminal;

/// Options of `dead`.
#[derive(Debug, Args)]
pub struct DeadArguments {
    #[command(flatten)]
    engine: EngineArguments,
    /// What to do with the listed deliveries; without it they are only listed.
    #[arg(value_enum)]
    act: Option<Act>,
    /// Which deliveries.
    #[arg(long, value_enum, default_value = "dead")]
    state: State,
    /// Only those of CHANNEL/DESTINATION.
    #[arg(long, value_name = "CHANNEL/DESTINATION")]
    destination: Option<String>,
    /// Only those of these messages.
    #[arg(long = "message", value_name = "ID")]
    messages: Vec<String>,
    /// Why; required with an act.
    #[arg(long)]
    reason: Option<String>,
    /// At most this many.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
}

/// A state that a delivery can be stuck in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// Set aside.
    Dead,
    /// Waits for a person.
    Held,
    /// Waits for its next attempt.
    Retry,
    /// Waits behind one of the others in its lane.
    Behind,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Held => "held",
            Self::Retry => "retry",
            Self::Behind => "behind",
        }
    }
}

/// What a person may do with a stuck delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Act {
    /// Sends it again (dead or waiting for a retry).
    Retry,
    /// Lets a held one go.
    Release,
    /// Passes over the head of a lane, for good.
    Skip,
    /// Sets it aside.
    DeadLetter,
    /// Decides that it is not sent.
    Cancel,
}

impl Act {
    const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Release => "release",
            Self::Skip => "skip",
            Self::DeadLetter => "dead-letter",
            Self::Cancel => "cancel",
        }
    }
}

pub(crate) async fn run(arguments: DeadArguments, terminal: &Terminal) -> Result<(), Failure> {
    let api = Api::new(&arguments.engine)?;
    let stuck = stuck(&api, &arguments).await?;
    let Some(act) = arguments.act else {
        for delivery in &stuck {
            show(delivery, terminal);
        }
        terminal.notice(&format!("{} {}", stuck.len(), arguments.state.name()));
        return Ok(());
    };
    let Some(reason) = arguments.reason.as_deref().filter(|reason| !reason.trim().is_empty())
    else {
        return Err(Failure::usage("--reason is required: it goes on record"));
    };
    let bar = progress(terminal, stuck.len());
    let mut refused = 0_usize;
    for delivery in &stuck {
        let path = format!(
            "/deliveries/{}/{}/{}",
            text(delivery, "destination"),
            text(delivery, "message"),
            act.name()
        );
        if let Err(error) = api.post(&path, &json!({"reason": reason})).await {
            refused += 1;
            bar.suspend(|| terminal.notice(&format!("{}: {error}", text(delivery, "message"))));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    terminal.notice(&format!("{} done, {refused} refused", stuck.len() - refused));
    if refused == 0 { Ok(()) } else { Err(Failure::negative("not all could be done")) }
}

async fn stuck(api: &Api, arguments: &DeadArguments) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    let mut after = Value::Null;
    loop {
        let page = api
            .post(
                "/exceptions/search",
                &json!({
                    "state": arguments.state.name(),
                    "destination": arguments.destination,
                    "after": after,
                    "limit": 500,
                }),
            )
            .await?;
        for delivery in list(&page, "exceptions") {
            let wanted = arguments.messages.is_empty()
                || arguments.messages.iter().any(|id| id == text(delivery, "message"));
            if wanted {
                all.push(delivery.clone());
            }
            if all.len() >= arguments.limit {
                return Ok(all);
            }
        }
        after = page.get("next").cloned().unwrap_or(Value::Null);
        if after.is_null() {
            return Ok(all);
        }
    }
}

fn show(delivery: &Value, terminal: &Terminal) {
    if terminal.json() {
        terminal.value(delivery);
    } else {
        terminal.line(&format!(
            "{}  {:<32} since {}  {}",
            text(delivery, "message"),
            text(delivery, "destination"),
            text(delivery, "since"),
            in_words(delivery)
        ));
    }
}

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArguments {
    #[command(flatten)]
    engine: EngineArguments,
    /// The messages' ids.
    #[arg(required = true)]
    messages: Vec<String>,
    /// Only to these destinations of theirs; otherwise to all they were meant for.
    #[arg(long = "to", value_name = "CHANNEL/DESTINATION")]
    to: Vec<String>,
    /// Why; it goes on record with the new message.
    #[arg(long)]
    reason: String,
}

pub(crate) async fn replay(arguments: ReplayArguments, terminal: &Terminal) -> Result<(), Failure> {
    let api = Api::new(&arguments.engine)?;
    let bar = progress(terminal, arguments.messages.len());
    let mut refused = 0_usize;
    for id in &arguments.messages {
        let body = json!({"destinations": arguments.to, "reason": arguments.reason});
        match api.post(&format!("/messages/{id}/replay"), &body).await {
            Ok(made) if terminal.json() => terminal.value(&made),
            Ok(made) => {
                bar.suspend(|| terminal.line(&format!("{id} → {}", text(&made, "message"))))
            }
            Err(error) => {
                refused += 1;
                bar.suspend(|| terminal.notice(&format!("{id}: {error}")));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if refused == 0 { Ok(()) } else { Err(Failure::negative("not all could be replayed")) }
}
