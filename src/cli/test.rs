//! `medway test`: the tests inside channel files, on the engine's own code, without network.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use crate::channel::cases::CaseReport;
use crate::cli::config::{self, Place};
use crate::cli::exit::Failure;
use crate::cli::terminal::Terminal;
use crate::config::secrets::MissingSecrets;
use crate::engine::rehearse::rehearse;

/// Options of `test`.
#[derive(Debug, Args)]
pub struct TestArguments {
    /// Channel files, a folder of them, or a folder with `engine.yaml`.
    #[arg(default_value = "channels")]
    paths: Vec<PathBuf>,
    /// Only tests whose name holds this text.
    #[arg(short = 'k', long)]
    name: Option<String>,
    /// Shows those that pass too.
    #[arg(long, short)]
    verbose: bool,
}

pub(crate) fn run(arguments: &TestArguments, terminal: &Terminal) -> Result<(), Failure> {
    let began = Instant::now();
    let mut place = Place::of_paths(&arguments.paths)?;
    place.missing_secrets = MissingSecrets::Warn;
    let loaded = config::load(&place)?;
    if config::has_errors(&loaded.findings) {
        config::show(&loaded.findings, terminal);
        return Err(Failure::config("the files do not pass the check, so nothing was tested"));
    }
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for channel in &loaded.channels {
        for report in rehearse(channel, arguments.name.as_deref()) {
            if report.passed() {
                passed += 1;
            } else {
                failed += 1;
            }
            show(&report, arguments.verbose, terminal);
        }
    }
    let took = began.elapsed().as_secs_f64();
    terminal.notice(&format!("{passed} passed, {failed} failed in {took:.2} s"));
    if failed > 0 {
        return Err(Failure::negative("not every test passed"));
    }
    if passed == 0 {
        return Err(Failure::negative("there is no test here; add `tests:` to the channel files"));
    }
    Ok(())
}

fn show(report: &CaseReport, verbose: bool, terminal: &Terminal) {
    if terminal.json() {
        let failures: Vec<_> = report
            .failures
            .iter()
            .map(|failure| {
                json!({
                    "subject": failure.subject,
                    "expected": failure.expected,
                    "got": failure.got,
                    "because": failure.because,
                    "fix": failure.fix,
                })
            })
            .collect();
        terminal.value(&json!({
            "channel": &*report.channel,
            "name": report.name,
            "passed": report.passed(),
            "failures": failures,
        }));
    } else if verbose || !report.passed() {
        terminal.line(report.to_text().trim_end());
    }
}
