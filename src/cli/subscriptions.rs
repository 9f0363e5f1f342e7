//! `medway subscriptions`: how FHIR subscriptions stand; pause, resume, skip, recover, test, resend, rotate.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::cli::api::{Api, EngineArguments, list, number, text};
use crate::cli::exit::Failure;
use crate::cli::terminal::Terminal;

/// Options of `subscriptions`.
#[derive(Debug, Args)]
pub struct SubscriptionsArguments {
    #[command(flatten)]
    engine: EngineArguments,
    /// One subscription, by its id.
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// What to do with it; without it, it is only shown.
    #[arg(value_enum, requires = "id")]
    act: Option<Act>,
    /// Why; required with an act.
    #[arg(long)]
    reason: Option<String>,
    /// The number of the event to send again.
    #[arg(long)]
    event: Option<u64>,
    /// With rotate: how long the secret before signs too, in seconds.
    #[arg(long, value_name = "SECONDS")]
    overlap: Option<u64>,
}

/// What a person may do with a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Act {
    /// Calls nobody until it is resumed; events are counted and wait.
    Pause,
    /// Goes on.
    Resume,
    /// Cancels what waits, on record.
    Skip,
    /// Tries everything now that waits or was given up.
    Recover,
    /// Calls the receiver with a heartbeat.
    Test,
    /// Sends one event again (--event).
    Resend,
    /// Draws another secret and shows it once.
    Rotate,
}

impl Act {
    const fn path(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Skip => "skip",
            Self::Recover => "recover",
            Self::Test => "test",
            Self::Resend => "resend",
            Self::Rotate => "secret",
        }
    }
}

pub(crate) async fn run(
    arguments: SubscriptionsArguments,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let api = Api::new(&arguments.engine)?;
    let Some(id) = &arguments.id else {
        let all = api.get("/subscriptions").await?;
        for one in list(&all, "subscriptions") {
            show(one, terminal);
        }
        return Ok(());
    };
    let Some(act) = arguments.act else {
        show(&api.get(&format!("/subscriptions/{id}")).await?, terminal);
        return Ok(());
    };
    let reason = arguments.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    let Some(reason) = reason else {
        return Err(Failure::usage("--reason is required: it goes on record"));
    };
    let body = match act {
        Act::Rotate => json!({"reason": reason, "overlap_seconds": arguments.overlap}),
        Act::Resend => json!({"reason": reason, "event": arguments.event}),
        _ => json!({"reason": reason}),
    };
    let done = api.post(&format!("/subscriptions/{id}/{}", act.path()), &body).await?;
    match act {
        Act::Pause | Act::Resume | Act::Recover => show(&done, terminal),
        _ => terminal.value(&done),
    }
    let accepted = done.get("accepted").and_then(Value::as_bool);
    match accepted {
        Some(false) => Err(Failure::negative(&format!("not accepted: {}", text(&done, "code")))),
        _ => Ok(()),
    }
}

fn show(one: &Value, terminal: &Terminal) {
    if terminal.json() {
        terminal.value(one);
        return;
    }
    let nothing = json!({});
    let delivery = one.get("delivery").unwrap_or(&nothing);
    let mut line = format!(
        "{:<24} {:<9} events {:>7}  waiting {:>6}  retry {:>4}  dead {:>4}  {}",
        text(one, "id"),
        text(one, "status"),
        number(one, "events"),
        number(delivery, "pending") + number(delivery, "behind"),
        number(delivery, "retry"),
        number(delivery, "dead"),
        text(one, "endpoint"),
    );
    if number(one, "failures") > 0 {
        line.push_str(&format!(
            "  {} failures since {} (last: {})",
            number(one, "failures"),
            text(one, "failing_since"),
            text(one, "last_failure")
        ));
    }
    terminal.line(&line);
}
