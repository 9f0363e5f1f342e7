//! `medway audit`: whether the audit trail is whole, without the engine; who did what, asked of the engine.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use crate::access::verify::{Verified, verify};
use crate::cli::api::{Api, EngineArguments, list, number, segment, text};
use crate::cli::config;
use crate::cli::exit::Failure;
use crate::cli::terminal::Terminal;
use crate::store::access::AccessStore;
use crate::store::sqlite::access::SqliteAccess;

/// Options of `audit`.
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// What to do with the trail.
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Checks that no record is missing or changed, and prints the last record's hash.
    Verify {
        /// Where `engine.yaml` stands.
        #[arg(long, env = "MEDWAY_CONFIG")]
        config: Option<PathBuf>,
        /// The data directory.
        #[arg(long, env = "MEDWAY_DATA")]
        data: Option<PathBuf>,
    },
    /// Shows records of a running engine, the newest first.
    Search(SearchArguments),
    /// Writes records of a running engine to stdout, the oldest first, to the last one.
    Export {
        #[command(flatten)]
        engine: EngineArguments,
        #[command(flatten)]
        which: Which,
        /// Comma-separated values, or Bundles of FHIR AuditEvents, one a line.
        #[arg(long, value_enum, default_value = "csv")]
        format: Form,
    },
}

/// Which records.
#[derive(Debug, Args)]
struct Which {
    /// Only of this actor, e.g. `user:li`.
    #[arg(long)]
    actor: Option<String>,
    /// Only this action, or a family of them when it ends in a dot, e.g. `message.`.
    #[arg(long)]
    action: Option<String>,
    /// Only on this object, e.g. a message's id.
    #[arg(long)]
    object: Option<String>,
    /// Only at or after this moment (RFC 3339).
    #[arg(long)]
    since: Option<String>,
    /// Only before this moment (RFC 3339).
    #[arg(long)]
    until: Option<String>,
}

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Csv,
    Fhir,
}

/// Options of `audit search`.
#[derive(Debug, Args)]
struct SearchArguments {
    #[command(flatten)]
    engine: EngineArguments,
    #[command(flatten)]
    which: Which,
    /// Who searched for this, e.g. an MRN; `-` reads it from stdin, so that no list of processes shows it.
    #[arg(long, conflicts_with = "object")]
    term: Option<String>,
    /// At most this many.
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

pub(crate) async fn run(arguments: AuditArguments, terminal: &Terminal) -> Result<(), Failure> {
    match arguments.act {
        Act::Verify { config, data } => whole(config.as_deref(), data.as_deref(), terminal).await,
        Act::Search(search) => found(search, terminal).await,
        Act::Export { engine, which, format } => exported(&engine, &which, format, terminal).await,
    }
}

async fn found(search: SearchArguments, terminal: &Terminal) -> Result<(), Failure> {
    let api = Api::new(&search.engine)?;
    let term = match search.term.as_deref() {
        Some("-") => {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line)?;
            Some(line.trim().to_owned())
        }
        term => term.map(str::to_owned),
    };
    let Which { actor, action, object, since, until } = search.which;
    let mut left = search.limit;
    let mut before = Value::Null;
    loop {
        let body = json!({"actor": actor, "action": action, "object": object, "since": since, "until": until,
                          "term": term, "limit": left.min(500), "before": before});
        let page = api.post("/audit/search", &body).await?;
        for record in list(&page, "records") {
            show(record, terminal);
            left = left.saturating_sub(1);
        }
        before = page.get("next").cloned().unwrap_or(Value::Null);
        if before.is_null() || left == 0 {
            return Ok(());
        }
    }
}

fn show(record: &Value, terminal: &Terminal) {
    if terminal.json() {
        terminal.value(record);
        return;
    }
    terminal.line(&format!(
        "{:>8}  {}  {:<20} {:<18} {:<7} {}  {}  {}",
        number(record, "number"),
        text(record, "at"),
        text(record, "actor"),
        text(record, "action"),
        text(record, "outcome"),
        text(record, "object"),
        text(record, "reason"),
        text(record, "address"),
    ));
}

async fn exported(
    engine: &EngineArguments,
    which: &Which,
    format: Form,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let api = Api::new(engine)?;
    let Which { actor, action, object, since, until } = which;
    let asked = [
        ("actor", actor),
        ("action", action),
        ("object", object),
        ("since", since),
        ("until", until),
    ];
    let asked = asked.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    let filters: String =
        asked.map(|(name, value)| format!("&{name}={}", segment(value))).collect();
    let name = if format == Form::Csv { "csv" } else { "fhir" };
    let mut from = Some("0".to_owned());
    let mut first = true;
    while let Some(number) = from {
        let path = format!("/audit/export?format={name}&from={number}{filters}");
        let answer = api.answer(Method::GET, &path, None, None).await?;
        let next = answer.headers().get("medway-next").and_then(|next| next.to_str().ok());
        from = next.map(str::to_owned);
        let bytes = answer.bytes().await.map_err(|error| {
            Failure::unavailable(&format!("the answer broke off: {}", error.without_url()))
        })?;
        // The head of the file stands there once.
        let head =
            bytes.iter().position(|byte| *byte == b'\n').filter(|_| format == Form::Csv && !first);
        let body = head.and_then(|at| bytes.get(at..)?.get(1..)).unwrap_or(&bytes);
        terminal.bytes(body)?;
        if format == Form::Fhir {
            terminal.line("");
        }
        first = false;
    }
    Ok(())
}

async fn whole(
    config: Option<&Path>,
    data: Option<&Path>,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let engine = config::engine(config, data)?;
    let path = engine.data.join("access.db");
    if !path.exists() {
        return Err(Failure::config(&format!(
            "{}: there is no audit trail; name the engine's data directory with --data",
            path.display()
        )));
    }
    let unavailable = |error: crate::store::StoreError| {
        Failure::unavailable(&format!("{}: {error}", path.display()))
    };
    let store = SqliteAccess::open_to_read(&path).await.map_err(unavailable)?;
    let verified = verify(&store).await.map_err(unavailable);
    store.close_access().await;
    match verified? {
        Verified::Whole { records, head } => {
            let head: String = head.iter().map(|byte| format!("{byte:02x}")).collect();
            if terminal.json() {
                terminal.value(&json!({"whole": true, "records": records, "head": head}));
            } else {
                terminal.line(&format!("whole: {records} records, the last one's hash is {head}"));
            }
            Ok(())
        }
        Verified::Broken { number, why } => {
            if terminal.json() {
                terminal.value(&json!({"whole": false, "record": number, "why": why}));
            }
            Err(Failure::negative(&format!("the trail is broken at record {number}: {why}")))
        }
    }
}
