//! `medway audit verify`: whether the audit trail is whole, without the engine.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::access::verify::{Verified, verify};
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
    /// Where `engine.yaml` stands.
    #[arg(long, env = "MEDWAY_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// The data directory.
    #[arg(long, env = "MEDWAY_DATA", global = true)]
    data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Checks that no record is missing or changed, and prints the last record's hash.
    Verify,
}

pub(crate) async fn run(arguments: AuditArguments, terminal: &Terminal) -> Result<(), Failure> {
    let Act::Verify = arguments.act;
    let engine = config::engine(arguments.config.as_deref(), arguments.data.as_deref())?;
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
