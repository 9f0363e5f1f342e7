//! `medway messages`: finds messages by the hospital's own keys; shows where one went and why not.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::api::{Api, EngineArguments, list, number, text};
use crate::cli::exit::Failure;
use crate::cli::terminal::Terminal;

/// Options of `messages`.
#[derive(Debug, Args)]
pub struct MessagesArguments {
    #[command(flatten)]
    engine: EngineArguments,
    /// A message's id: shows its deliveries.
    id: Option<String>,
    /// `name=value` or just a value: MRN, visit, accession, order, control id, or a channel's own key.
    #[arg(long)]
    key: Option<String>,
    /// Only messages received by this channel.
    #[arg(long)]
    channel: Option<String>,
    /// Only messages received at or after this moment (RFC 3339).
    #[arg(long)]
    since: Option<String>,
    /// Only messages received before this moment (RFC 3339).
    #[arg(long)]
    until: Option<String>,
    /// At most this many.
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// With an id: writes the received bytes to stdout.
    #[arg(long, requires = "id")]
    raw: bool,
    /// With an id: writes what CHANNEL/DESTINATION is sent to stdout.
    #[arg(long, requires = "id", value_name = "CHANNEL/DESTINATION")]
    sent: Option<String>,
}

pub(crate) async fn run(arguments: MessagesArguments, terminal: &Terminal) -> Result<(), Failure> {
    let api = Api::new(&arguments.engine)?;
    match &arguments.id {
        Some(id) => one(&api, id, &arguments, terminal).await,
        None => find(&api, &arguments, terminal).await,
    }
}

async fn one(
    api: &Api,
    id: &str,
    arguments: &MessagesArguments,
    terminal: &Terminal,
) -> Result<(), Failure> {
    if arguments.raw {
        let bytes = api.bytes(&format!("/messages/{id}/body")).await?;
        return Ok(terminal.bytes(&bytes)?);
    }
    if let Some(destination) = &arguments.sent {
        let bytes = api.bytes(&format!("/messages/{id}/sent/{destination}")).await?;
        return Ok(terminal.bytes(&bytes)?);
    }
    let message = api.get(&format!("/messages/{id}")).await?;
    if terminal.json() {
        terminal.value(&message);
        return Ok(());
    }
    terminal.line(&heading(&message));
    for key in list(&message, "keys") {
        terminal.line(&format!("  {}: {}", text(key, "name"), text(key, "value")));
    }
    if let Some(origin) = message.get("origin").filter(|origin| !origin.is_null()) {
        terminal.line(&format!(
            "  made from {} by {}: {}",
            text(origin, "parent"),
            text(origin, "by"),
            text(origin, "reason")
        ));
    }
    for delivery in list(&message, "deliveries") {
        terminal.line(&format!("  → {:<32} {}", text(delivery, "destination"), in_words(delivery)));
        for attempt in list(delivery, "attempts") {
            terminal.line(&format!(
                "      {} {} {} {}",
                text(attempt, "at"),
                text(attempt, "outcome"),
                text(attempt, "code"),
                text(attempt, "text")
            ));
        }
    }
    Ok(())
}

async fn find(
    api: &Api,
    arguments: &MessagesArguments,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let (name, value) = match arguments.key.as_deref().map(|key| key.split_once('=')) {
        None => (Value::Null, Value::Null),
        Some(Some((name, value))) => (json!(name), json!(value)),
        Some(None) => (Value::Null, json!(arguments.key)),
    };
    let query = json!({
        "name": name,
        "value": value,
        "channel": arguments.channel,
        "since": arguments.since,
        "until": arguments.until,
        "limit": arguments.limit,
    });
    let found = api.post("/messages/search", &query).await?;
    let messages = list(&found, "messages");
    for message in messages {
        if terminal.json() {
            terminal.value(message);
        } else {
            terminal.line(&heading(message));
        }
    }
    if messages.is_empty() {
        terminal.notice("no such message");
    } else if !terminal.json() {
        terminal.notice("`medway messages ID` shows where one went");
    }
    Ok(())
}

fn heading(message: &Value) -> String {
    format!(
        "{}  {}  {:<8} {:<8} {:<24} {}",
        text(message, "id"),
        text(message, "received_at"),
        text(message, "event"),
        text(message, "kind"),
        text(message, "channel"),
        text(message, "control_id"),
    )
}

/// What became of a delivery, in words.
pub(crate) fn in_words(delivery: &Value) -> String {
    let state = text(delivery, "state");
    let answer = [text(delivery, "code"), text(delivery, "text")].join(" ");
    let answer = answer.trim();
    match state {
        "delivered" => format!(
            "delivered at {} after {} attempt(s), {} ms: {answer}",
            text(delivery, "at"),
            number(delivery, "attempts_made"),
            number(delivery, "milliseconds"),
        ),
        "pending" => "waits for its turn".to_owned(),
        "filtered" => "not meant for it (`when` says no)".to_owned(),
        "retry" => format!(
            "tried {} time(s), again at {}: {answer}",
            number(delivery, "attempts_made"),
            text(delivery, "due")
        ),
        "behind" => "waits in its lane behind a message that is held or retried".to_owned(),
        other => format!("{other} ({}): {answer}", text(delivery, "cause")),
    }
}
