//! Reads the configuration for a command and shows what was found.

use std::path::{Path, PathBuf};

use crate::cli::exit::Failure;
use crate::cli::terminal::Terminal;
use crate::config::engine::EngineConfig;
use crate::config::load::{LoadOptions, Loaded, load as load_directory};
use crate::config::secrets::MissingSecrets;
use crate::yaml::finding::{Finding, Severity};
use crate::yaml::report::{self, Colour};

/// Where the configuration is: `engine.yaml` itself or the folder it stands in, and what overrules it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    pub(crate) config: Option<PathBuf>,
    pub(crate) channels: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    /// Only these channel files.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) missing_secrets: MissingSecrets,
}

impl Place {
    /// What a command's paths mean: a folder with `engine.yaml`, a folder of channel files, or files.
    pub(crate) fn of_paths(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut place = Self::default();
        for path in paths {
            if !path.exists() {
                return Err(Failure::usage(&format!(
                    "{}: there is no such file or folder",
                    path.display()
                )));
            }
            if path.file_name().is_some_and(|name| name == "engine.yaml") {
                place.config = Some(path.clone());
            } else if path.join("engine.yaml").exists() {
                place.config = Some(path.join("engine.yaml"));
            } else if path.is_dir() {
                place.channels = Some(path.clone());
            } else {
                place.files.push(path.clone());
            }
        }
        Ok(place)
    }
}

/// Loads everything. What is wrong with the files is among the findings.
pub(crate) fn load(place: &Place) -> Result<Loaded, Failure> {
    let mut options = LoadOptions {
        missing_secrets: place.missing_secrets,
        environment: std::env::vars().collect(),
        channels: place.channels.clone(),
        data: place.data.clone(),
        files: place.files.clone(),
        ..LoadOptions::default()
    };
    let mut folder = PathBuf::from(".");
    if let Some(config) = &place.config {
        if config.is_dir() {
            folder.clone_from(config);
        } else if config.exists() {
            options.engine_file = Some(config.clone());
        } else {
            return Err(Failure::config(&format!("{}: there is no such file", config.display())));
        }
    }
    Ok(load_directory(&folder, &options))
}

/// The engine's settings alone, for commands that talk to a running engine.
pub(crate) fn engine(config: Option<&Path>, data: Option<&Path>) -> Result<EngineConfig, Failure> {
    let place = Place {
        config: config.map(Path::to_path_buf),
        data: data.map(Path::to_path_buf),
        missing_secrets: MissingSecrets::Warn,
        ..Place::default()
    };
    load(&place).map(|loaded| loaded.engine)
}

/// Shows findings on stderr.
pub(crate) fn show(findings: &[Finding], terminal: &Terminal) {
    if findings.is_empty() {
        return;
    }
    let colour = if terminal.watched() { Colour::Ansi } else { Colour::Plain };
    terminal.notice(report::text(findings, colour).trim_end());
}

/// Whether anything stands against starting.
pub(crate) fn has_errors(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}
