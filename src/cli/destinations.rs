//! `medway destinations`: what waits where and why; pause, resume, reload.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::cli::api::{Api, EngineArguments, list, number, text};
use crate::cli::exit::Failure;
use crate::cli::terminal::Terminal;

/// Options of `destinations`.
#[derive(Debug, Args)]
pub struct DestinationsArguments {
    #[command(flatten)]
    engine: EngineArguments,
    /// One destination: shows its blocked lanes and endpoints.
    #[arg(value_name = "CHANNEL/DESTINATION")]
    destination: Option<String>,
    /// What to do with it; without it, it is only shown.
    #[arg(value_enum, requires = "destination")]
    act: Option<Act>,
    /// Why; required with an act.
    #[arg(long)]
    reason: Option<String>,
}

/// What a person may do with a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Act {
    /// Sends nothing more until it is resumed; messages wait on disk.
    Pause,
    /// Goes on.
    Resume,
}

pub(crate) async fn run(
    arguments: DestinationsArguments,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let api = Api::new(&arguments.engine)?;
    let Some(destination) = &arguments.destination else {
        let all = api.get("/destinations").await?;
        for status in list(&all, "destinations") {
            if terminal.json() {
                terminal.value(status);
            } else {
                terminal.line(&summary(status));
            }
        }
        return Ok(());
    };
    if let Some(act) = arguments.act {
        let Some(reason) = arguments.reason.as_deref().filter(|reason| !reason.trim().is_empty())
        else {
            return Err(Failure::usage("--reason is required: it goes on record"));
        };
        let verb = if act == Act::Pause { "pause" } else { "resume" };
        api.post(&format!("/destinations/{destination}/{verb}"), &json!({"reason": reason}))
            .await?;
    }
    let status = api.get(&format!("/destinations/{destination}")).await?;
    if terminal.json() {
        terminal.value(&status);
        return Ok(());
    }
    terminal.line(&summary(&status));
    for endpoint in list(&status, "endpoints") {
        let healthy = endpoint.get("healthy").and_then(Value::as_bool).unwrap_or(false);
        terminal.line(&format!(
            "  {} {} {}",
            text(endpoint, "endpoint"),
            if healthy { "takes deliveries" } else { "is left alone" },
            text(endpoint, "last_error")
        ));
    }
    for lane in list(&status, "lanes") {
        terminal.line(&format!(
            "  lane: {} {} since {} ({}); {} wait behind it",
            text(lane, "message"),
            text(lane, "state"),
            text(lane, "since"),
            text(lane, "cause"),
            number(lane, "behind")
        ));
    }
    Ok(())
}

/// One line about a destination.
pub(crate) fn summary(status: &Value) -> String {
    let mut line = format!(
        "{:<34} {:<10} delivered {:>7}  waiting {:>6}  retry {:>4}  held {:>4}  behind {:>4}  dead {:>4}",
        text(status, "destination"),
        text(status, "state"),
        number(status, "delivered"),
        number(status, "pending"),
        number(status, "retry"),
        number(status, "held"),
        number(status, "behind"),
        number(status, "dead"),
    );
    let error = text(status, "last_error");
    if !error.is_empty() && text(status, "state") != "flowing" {
        line.push_str("  ");
        line.push_str(error);
    }
    line
}

/// Options of `reload`.
#[derive(Debug, Args)]
pub struct ReloadArguments {
    #[command(flatten)]
    engine: EngineArguments,
    /// Why; goes on record, and with each version that is put in force.
    #[arg(long, default_value = "medway reload")]
    reason: String,
}

/// Has a running engine read its channel files again.
pub(crate) async fn reload(arguments: ReloadArguments, terminal: &Terminal) -> Result<(), Failure> {
    let api = Api::new(&arguments.engine)?;
    let report = api.post("/reload", &json!({"reason": arguments.reason})).await?;
    if terminal.json() {
        terminal.value(&report);
    } else {
        for field in ["added", "changed", "removed", "unchanged"] {
            let names: Vec<&str> = list(&report, field).iter().filter_map(Value::as_str).collect();
            if !names.is_empty() {
                terminal.line(&format!("{field}: {}", names.join(", ")));
            }
        }
        for stranded in list(&report, "stranded") {
            let count = |name: &str| stranded.get(name).and_then(Value::as_u64).unwrap_or(0);
            terminal.line(&format!(
                "stranded: {}: {} wait and {} are dead letters, and no channel has it any more; skip or cancel them, or configure it again",
                text(stranded, "destination"),
                count("waiting"),
                count("dead"),
            ));
        }
        for refused in list(&report, "refused") {
            terminal.line(&format!(
                "refused: {}\n{}",
                text(refused, "channel"),
                text(refused, "findings")
            ));
        }
    }
    if list(&report, "refused").is_empty() {
        Ok(())
    } else {
        Err(Failure::negative("a refused file leaves its old version running"))
    }
}
