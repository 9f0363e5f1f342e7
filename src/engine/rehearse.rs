//! A channel's own tests, run as the engine would run its messages: the destinations' policy and retry rules
//! decide what follows a scripted answer.

use std::time::Duration;

use crate::channel::cases::{After, CaseReport, run};
use crate::config::channel_file::ChannelConfig;
use crate::delivery::options::DeliveryOptions;
use crate::delivery::policy::Reaction;
use crate::delivery::retry::{Exhausted, Failure, Next};
use crate::message::outcome::{Answer, Outcome, Scope};
use crate::message::time::Timestamp;

/// Runs the tests of a channel whose name holds `wanted`, in their order.
pub fn rehearse<'c>(
    channel: &'c ChannelConfig,
    wanted: Option<&'c str>,
) -> impl Iterator<Item = CaseReport> + 'c {
    let cases = channel.tests.iter();
    let cases = cases.filter(move |case| wanted.is_none_or(|wanted| case.name.contains(wanted)));
    cases.map(|case| {
        let rule = |destination: &str, answer: &str, attempt, waited| {
            after(channel, destination, answer, attempt, waited)
        };
        run(&channel.channel, case, &rule)
    })
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
                Failure { attempts, age, retry_after: None, seed: u64::from(u32::MAX) << 31 };
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
    let answer = Answer::new(code.to_owned(), "");
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
