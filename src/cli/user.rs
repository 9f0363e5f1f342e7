//! `medway user`: who may sign in.

use std::io::BufRead as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::api::{Api, EngineArguments, list, text};
use crate::cli::exit::Failure;
use crate::cli::terminal::Terminal;

/// Options of `user`.
#[derive(Debug, Args)]
pub struct UserArguments {
    #[command(flatten)]
    engine: EngineArguments,
    #[command(subcommand)]
    act: UserAct,
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum UserAct {
    /// Shows everybody.
    List,
    /// Adds a user; the password is read from stdin, one line, so that no list of processes shows it.
    Add {
        /// What is typed to sign in.
        name: String,
        /// viewer, operator, analyst, releaser, `security_admin`, auditor, `system_admin`; may be given
        /// several times.
        #[arg(long = "role", required = true)]
        roles: Vec<String>,
        /// A channel group the user is limited to; may be given several times. Without: all channels.
        #[arg(long = "group")]
        groups: Vec<String>,
        /// How much of messages is shown: counts, metadata, masked, full. Without: as the roles allow.
        #[arg(long)]
        view: Option<String>,
        /// The name people know.
        #[arg(long)]
        display: Option<String>,
    },
    /// Lets a user sign in no more; their sessions end.
    Disable {
        /// Whom.
        name: String,
    },
}

pub(crate) async fn run(arguments: UserArguments, terminal: &Terminal) -> Result<(), Failure> {
    let api = Api::new(&arguments.engine)?;
    match arguments.act {
        UserAct::List => {
            let users = api.get("/users").await?;
            list(&users, "users").iter().for_each(|user| show(user, terminal));
        }
        UserAct::Add { name, roles, groups, view, display } => {
            terminal.notice("password:");
            let mut password = String::new();
            std::io::stdin().lock().read_line(&mut password)?;
            let body = json!({
                "name": name,
                "display": display,
                "password": password.trim_end_matches(['\r', '\n']),
                "roles": roles,
                "groups": groups,
                "view": view,
            });
            show(&api.post("/users", &body).await?, terminal);
        }
        UserAct::Disable { name } => {
            let path = format!("/users/{}", crate::cli::api::segment(&name));
            show(&api.put(&path, &json!({"disabled": true})).await?, terminal);
        }
    }
    Ok(())
}

fn show(user: &Value, terminal: &Terminal) {
    if terminal.json() {
        terminal.value(user);
        return;
    }
    let words = |field: &str| {
        let words: Vec<&str> = list(user, field).iter().filter_map(Value::as_str).collect();
        words.join(",")
    };
    let is = |field: &str| user.get(field).and_then(Value::as_bool) == Some(true);
    terminal.line(&format!(
        "{:<20} {:<28} {:<9} {}{}{}{}",
        text(user, "name"),
        words("roles"),
        text(user, "view"),
        words("groups"),
        if is("second_factor") { "  second factor" } else { "" },
        if is("disabled") { "  disabled" } else { "" },
        if is("locked") { "  locked" } else { "" },
    ));
}
