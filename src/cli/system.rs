//! `medway system`: the engine as a machine; backup, retention, certificates, what is logged, its end.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::api::{Api, EngineArguments, list, number, text};
use crate::cli::exit::Failure;
use crate::cli::terminal::Terminal;
use crate::telemetry::setup::Level;

/// Between two questions how far a backup is.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Options of `system`.
#[derive(Debug, Args)]
pub struct SystemArguments {
    #[command(flatten)]
    engine: EngineArguments,
    /// What to do; without it the machine is shown.
    #[command(subcommand)]
    act: Option<SystemAct>,
}

/// What to do with the machine.
#[derive(Debug, Subcommand)]
pub enum SystemAct {
    /// Copies store, users, trail and what belongs to them into a new folder under `backups` in the data directory.
    Backup {
        /// Why; goes on record.
        #[arg(long)]
        reason: String,
        /// Waits until it is done.
        #[arg(long)]
        wait: bool,
    },
    /// Takes away now what is older than it may be.
    Retention {
        /// Why; goes on record.
        #[arg(long)]
        reason: String,
    },
    /// Reads the files of all TLS profiles again.
    Certificates {
        /// Why; goes on record.
        #[arg(long)]
        reason: String,
    },
    /// Sets the level of the engine's own log lines for a while.
    LogLevel {
        /// The level; without it, it is as configured again.
        #[arg(value_enum)]
        level: Option<Level>,
        /// For how long; an hour when not said.
        #[arg(long)]
        minutes: Option<u32>,
        /// Why; goes on record.
        #[arg(long)]
        reason: String,
    },
    /// Ends the engine as SIGTERM does; a supervisor may start it again.
    Stop {
        /// Why; goes on record.
        #[arg(long)]
        reason: String,
    },
}

pub(crate) async fn run(arguments: SystemArguments, terminal: &Terminal) -> Result<(), Failure> {
    let api = Api::new(&arguments.engine)?;
    match arguments.act {
        None => {
            let system = api.get("/system").await?;
            show(&system, terminal);
            Ok(())
        }
        Some(SystemAct::Backup { reason, wait }) => {
            let mut backup = api.post("/system/backup", &json!({"reason": reason})).await?;
            while wait && text(&backup, "state") == "running" {
                tokio::time::sleep(ASK_EVERY).await;
                let system = api.get("/system").await?;
                backup = system.get("backup").cloned().unwrap_or(Value::Null);
            }
            show_backup(&backup, terminal);
            match text(&backup, "state") {
                "running" | "done" => Ok(()),
                _ => Err(Failure::negative("there is no backup")),
            }
        }
        Some(SystemAct::Retention { reason }) => {
            let pruned = api.post("/system/retention", &json!({"reason": reason})).await?;
            let rest = pruned.get("all").and_then(Value::as_bool) != Some(true);
            let rest = if rest { "; the rest goes on by itself" } else { "" };
            say(&pruned, &format!("{} taken away{rest}", number(&pruned, "touched")), terminal);
            Ok(())
        }
        Some(SystemAct::Certificates { reason }) => {
            let read = api.post("/system/certificates", &json!({"reason": reason})).await?;
            show_certificates(&read, terminal)
        }
        Some(SystemAct::LogLevel { level, minutes, reason }) => {
            let body = json!({"level": level, "minutes": minutes, "reason": reason});
            let set = api.post("/system/log-level", &body).await?;
            let until = match set.get("minutes").and_then(Value::as_u64) {
                Some(minutes) => format!(" for {minutes} minutes"),
                None => " as configured".to_owned(),
            };
            say(&set, &format!("{}{until}", text(&set, "log")), terminal);
            Ok(())
        }
        Some(SystemAct::Stop { reason }) => {
            let stopping = api.post("/system/stop", &json!({"reason": reason})).await?;
            say(&stopping, "it ends: what is being sent ends, the rest waits on disk", terminal);
            Ok(())
        }
    }
}

fn say(answer: &Value, line: &str, terminal: &Terminal) {
    if terminal.json() {
        terminal.value(answer);
    } else {
        terminal.line(line);
    }
}

fn show(system: &Value, terminal: &Terminal) {
    if terminal.json() {
        terminal.value(system);
        return;
    }
    let part = |name: &str| system.get(name).unwrap_or(&Value::Null);
    let (store, config) = (part("store"), part("config"));
    terminal.line(&format!(
        "medway {} ({}), up {} s, logs {}",
        text(system, "version"),
        text(system, "build"),
        number(system, "uptime_seconds"),
        text(system, "log"),
    ));
    terminal.line(&format!(
        "store   {}  {} bytes, write-ahead log {}, free {}",
        text(store, "path"),
        number(store, "size_bytes"),
        number(store, "wal_bytes"),
        number(store, "free_bytes"),
    ));
    terminal.line(&format!(
        "config  {}  {}  since {}",
        text(config, "path"),
        text(config, "hash"),
        text(config, "loaded_at"),
    ));
    for certificate in list(system, "certificates") {
        terminal.line(&format!(
            "tls     {}  {}  ends {}",
            text(certificate, "place"),
            text(certificate, "subject"),
            text(certificate, "not_after"),
        ));
    }
    if part("backup").is_object() {
        show_backup(part("backup"), terminal);
    }
}

fn show_backup(backup: &Value, terminal: &Terminal) {
    let size = number(backup, "size_bytes");
    let line = format!(
        "backup  {}  {}  {size} bytes  {}",
        text(backup, "state"),
        text(backup, "path"),
        text(backup, "error"),
    );
    say(backup, line.trim_end(), terminal);
}

fn show_certificates(read: &Value, terminal: &Terminal) -> Result<(), Failure> {
    let mut wrong = false;
    if terminal.json() {
        terminal.value(read);
    }
    for profile in list(read, "profiles") {
        let error = text(profile, "error");
        wrong |= !error.is_empty();
        let renewed = profile.get("renewed").and_then(Value::as_bool) == Some(true);
        let state = if renewed { "renewed" } else { "as before" };
        if !terminal.json() {
            let line = format!("{:<20} {state}  {error}", text(profile, "profile"));
            terminal.line(line.trim_end());
        }
    }
    if wrong {
        Err(Failure::negative("not all files can be used; the old ones stay"))
    } else {
        Ok(())
    }
}
