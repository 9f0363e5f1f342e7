//! `medway test`: the tests inside channel files, on the engine's own code, without network.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use crate::channel::cases::{After, CaseReport, run as run_case};
use crate::cli::config::{self, Place};
use crate::cli::exit::Failure;
use crate::cli::terminal::Terminal;
use crate::config::channel_file::ChannelConfig;
use crate::config::secrets::MissingSecrets;
use crate::delivery::options::DeliveryOptions;
use crate::delivery::policy::Reaction;
use crate::delivery::retry::{Exhausted, Failure as Failed, Next};
use crate::message::outcome::{Answer, Outcome, Scope};
use crate::message::time::Timestamp;

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
        for case in &channel.tests {
            if arguments.name.as_ref().is_some_and(|name| !case.name.contains(name.as_str())) {
                continue;
            }
            let rule = |destination: &str, answer: &str, attempt, waited| {
                after(channel, destination, answer, attempt, waited)
            };
            let report = run_case(&channel.channel, case, &rule);
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

/// What the destination's own policy and retry rule make of a scripted answer.
fn after(
    channel: &ChannelConfig,
    destination: &str,
    answer: &str,
    attempts: u32,
    age: Duration,
) -> After {
    let config = channel.destinations.iter().find(|config| config.name == destination);
    let usual = DeliveryOptions::default();
    let options = config.map_or(&usual, |config| &config.delivery);
    match options.policy.reaction(&outcome_of(answer)) {
        Reaction::Accept => After::Delivered,
        Reaction::HoldLane => After::Held,
        Reaction::DeadLetter => After::DeadLetter,
        // A paused destination tries nothing more until a person resumes it: the test sees it waiting.
        Reaction::Pause => After::Retry(Duration::MAX),
        Reaction::Retry => {
            // Without jitter, so that a test's times do not depend on chance.
            let failed =
                Failed { attempts, age, retry_after: None, seed: u64::from(u32::MAX) << 31 };
            match options.retry.after(failed, Timestamp::default()) {
                Next::At(at) => After::Retry(at.since(Timestamp::default())),
                Next::GiveUp if options.retry.then == Exhausted::Hold => After::Held,
                Next::GiveUp => After::DeadLetter,
            }
        }
    }
}

/// A scripted answer as the outcome its protocol would make of it.
fn outcome_of(code: &str) -> Outcome {
    let answer = Answer::new(code, "");
    let failed = |scope| Outcome::Failed { answer: answer.clone(), scope, retry_after: None };
    match code {
        "AA" | "CA" => Outcome::Accepted(answer),
        "AR" | "CE" | "429" => failed(Scope::Message),
        "refused" | "unreachable" => failed(Scope::Endpoint),
        "no_answer" | "timeout" | "closed" | "wrong_id" | "garbage" => Outcome::Uncertain(answer),
        status if status.starts_with('2') => Outcome::Accepted(answer),
        status if status.starts_with('5') => failed(Scope::Endpoint),
        _ => Outcome::Rejected(answer),
    }
}
