//! `medway check`, `explain`, `schema`: the configuration without running it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::admin::problems;
use crate::cli::config::{self, Place};
use crate::cli::exit::Failure;
use crate::cli::terminal::Terminal;
use crate::config::load::Loaded;
use crate::config::schema as schemas;
use crate::config::secrets::MissingSecrets;
use crate::yaml::codes;
use crate::yaml::report;

/// Options of `check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Channel files, a folder of them, or a folder with `engine.yaml`.
    #[arg(default_value = "channels")]
    paths: Vec<PathBuf>,
    /// How findings are written.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    /// Mends what has one answer, in the files themselves.
    #[arg(long)]
    fix: bool,
    /// Secrets that cannot be found here are errors too, as they are when the engine starts.
    #[arg(long)]
    secrets: bool,
}

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people, on stderr.
    Human,
    /// One JSON document.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// Annotations of a continuous integration run.
    Github,
}

pub(crate) fn run(arguments: &CheckArguments, terminal: &Terminal) -> Result<(), Failure> {
    let mut place = Place::of_paths(&arguments.paths)?;
    place.missing_secrets =
        if arguments.secrets { MissingSecrets::Refuse } else { MissingSecrets::Warn };
    let mut loaded = config::load(&place)?;
    if arguments.fix {
        let mended = mend(&loaded)?;
        terminal.notice(&format!("{mended} mended"));
        loaded = config::load(&place)?;
    }
    match arguments.format {
        Format::Human if terminal.json() => terminal.value(&report::json(&loaded.findings)),
        Format::Human => config::show(&loaded.findings, terminal),
        Format::Json => terminal.value(&report::json(&loaded.findings)),
        Format::Sarif => terminal.value(&report::sarif(&loaded.findings)),
        Format::Github => terminal.line(report::github(&loaded.findings).trim_end()),
    }
    if config::has_errors(&loaded.findings) {
        return Err(Failure::negative("the files do not pass the check"));
    }
    if arguments.format == Format::Human && !terminal.json() {
        let said = match loaded.channels.len() {
            1 => "1 channel passes the check".to_owned(),
            count => format!("{count} channels pass the check"),
        };
        terminal.notice(&said);
    }
    Ok(())
}

/// Writes the files anew with every fix that has one answer; answers how many.
fn mend(loaded: &Loaded) -> Result<usize, Failure> {
    let mut names: Vec<&str> =
        loaded.findings.iter().map(|finding| finding.source.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut mended = 0;
    for name in names {
        let Ok(text) = std::fs::read_to_string(name) else { continue };
        let (fixed, count) = report::apply_fixes(name, &text, &loaded.findings);
        if count > 0 {
            std::fs::write(name, fixed)
                .map_err(|error| Failure::fault(&format!("{name} cannot be written: {error}")))?;
            mended += count;
        }
    }
    Ok(mended)
}

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The code, e.g. `E0102`, or `forbidden` of the API; without it, all are listed.
    code: Option<String>,
}

pub(crate) fn explain(arguments: &ExplainArguments, terminal: &Terminal) -> Result<(), Failure> {
    let Some(code) = &arguments.code else {
        for explanation in codes::all() {
            terminal.line(&format!("{}  {}", explanation.code, explanation.title));
        }
        for (code, means, _) in problems::PROBLEMS {
            terminal.line(&format!("{code}  {means}"));
        }
        return Ok(());
    };
    if let Some((means, todo)) = problems::explain(code) {
        if terminal.json() {
            terminal.value(&json!({"code": code, "text": format!("{means}: {todo}")}));
        } else {
            terminal.line(&format!("{code}: {means}\n\n{todo}"));
        }
        return Ok(());
    }
    let Some(explanation) = codes::explain(&code.to_uppercase()) else {
        return Err(Failure::usage(&format!(
            "there is no code {code}; `medway explain` lists all"
        )));
    };
    if terminal.json() {
        terminal.value(&json!({"code": explanation.code, "text": explanation.to_text()}));
    } else {
        terminal.line(explanation.to_text().trim_end());
    }
    Ok(())
}

/// Options of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArguments {
    /// Of which file.
    #[arg(value_enum, default_value = "channel")]
    of: Of,
}

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Of {
    /// A channel file.
    Channel,
    /// `engine.yaml`.
    Engine,
}

pub(crate) fn schema(arguments: &SchemaArguments, terminal: &Terminal) -> Result<(), Failure> {
    let schema = match arguments.of {
        Of::Channel => schemas::channel(),
        Of::Engine => schemas::engine(),
    };
    let text = serde_json::to_string_pretty(&schema)
        .map_err(|error| Failure::fault(&format!("the schema cannot be written: {error}")))?;
    terminal.line(&text);
    Ok(())
}
