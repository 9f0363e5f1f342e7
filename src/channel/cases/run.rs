//! Runs one test: judges, renders, delivers to scripted receivers, compares.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use crate::channel::Channel;
use crate::channel::cases::expect::compare;
use crate::channel::cases::{AckClass, After, AfterAnswer, Case, CaseReport, Send};
use crate::channel::input::Input;
use crate::channel::render::Rendering;
use crate::message::id::MessageId;
use crate::message::kind::ContentType;
use crate::message::payload::Payload;
use crate::message::resource::Interaction;
use crate::message::time::Timestamp;
use crate::message::verdict::{Context, IfChanged, Problem, Rendered, Route, Verdict};

/// When tests begin: 2026-01-01T00:00:00Z.
const START: Timestamp = Timestamp(1_767_225_600_000_000);

/// Most attempts at one delivery.
const ATTEMPTS_MAX: u32 = 100;

/// What became of one message of the test.
pub(super) struct Sent {
    pub(super) input: Input,
    pub(super) context: Context,
    pub(super) ack: AckClass,
    pub(super) problem: Option<Problem>,
}

/// What one destination got of one message.
pub(super) struct Got {
    /// Which message of the test.
    pub(super) message: usize,
    pub(super) rendering: Rendering,
    /// Held by the duplicate rule, before anything was rendered.
    pub(super) held: bool,
    pub(super) attempts: u32,
    pub(super) outcome: &'static str,
}

/// All that happened.
pub(super) struct Happened {
    pub(super) sent: Vec<Sent>,
    pub(super) got: HashMap<Arc<str>, Vec<Got>>,
}

/// Runs a test.
#[must_use]
pub fn run(channel: &Channel, case: &Case, after: AfterAnswer<'_>) -> CaseReport {
    let happened = happen(channel, case, after);
    let (failures, fine) = compare(channel, case, &happened);
    CaseReport {
        channel: Arc::clone(&channel.name),
        name: case.name.clone(),
        source: Arc::clone(&case.source),
        span: case.span,
        failures,
        fine,
    }
}

fn happen(channel: &Channel, case: &Case, after: AfterAnswer<'_>) -> Happened {
    let mut happened = Happened { sent: Vec::new(), got: HashMap::new() };
    let mut known: HashMap<u64, (u64, Duration)> = HashMap::new();
    let mut script = Script::new(case);
    for (index, send) in case.sends.iter().enumerate() {
        let input = input(send, index, channel);
        let name = format!("{}/{}/{index}", channel.name, case.name);
        let context = Context {
            id: MessageId::from_bytes(xxh3_128(name.as_bytes()).to_be_bytes()),
            received_at: START.after(send.at),
            channel: Arc::clone(&channel.name),
        };
        let (ack, problem, taken) = match channel.judge(&input) {
            Verdict::Take(taken) => (AckClass::Accept, None, Some(taken)),
            Verdict::Refuse(problem) if problem.reject => (AckClass::Reject, Some(problem), None),
            Verdict::Refuse(problem) => (AckClass::Error, Some(problem), None),
            Verdict::Pass => (AckClass::Accept, None, None),
        };
        let repeat = taken.as_ref().and_then(|taken| taken.duplicate.as_ref()).and_then(|rule| {
            let earlier = known.get(&rule.identity).copied();
            known.entry(rule.identity).or_insert((rule.content, send.at));
            let (content, at) = earlier?;
            let inside = send.at.saturating_sub(at) <= rule.within;
            inside.then_some((content == rule.content, rule.if_changed))
        });
        let mut sent = Sent { input, context, ack, problem };
        let held = match repeat {
            Some((true, _)) => {
                happened.sent.push(sent);
                continue;
            }
            Some((false, IfChanged::Refuse)) => {
                sent.ack = AckClass::Error;
                sent.problem = Some(changed_content());
                happened.sent.push(sent);
                continue;
            }
            Some((false, IfChanged::Hold)) => true,
            Some((false, IfChanged::Accept)) | None => false,
        };
        let routes = taken.map(|taken| taken.routes).unwrap_or_default();
        for (destination, route) in channel.destinations().zip(routes) {
            if matches!(route, Route::Filtered) {
                continue;
            }
            let rendering = channel.rendering(destination, &sent.input, &sent.context);
            let got = deliver(destination, index, rendering, held, &mut script, after);
            happened.got.entry(Arc::clone(destination)).or_default().push(got);
        }
        happened.sent.push(sent);
    }
    happened
}

/// A message of the test as the engine would see it: a resource that was written is the version it became.
fn input(send: &Send, index: usize, channel: &Channel) -> Input {
    let payload = Payload::new(Bytes::clone(&send.bytes));
    let Some(interaction) = send.interaction else {
        return Input::guess(payload, channel.read_options);
    };
    let document = serde_json::from_slice::<serde_json::Value>(&send.bytes).unwrap_or_default();
    let text = |name: &str| document.get(name).and_then(serde_json::Value::as_str);
    let kind = text("resourceType").unwrap_or_default();
    let id = text("id").map_or_else(|| format!("test-{}", index + 1), str::to_owned);
    let version = if interaction == Interaction::Create { 1 } else { index + 2 };
    Input::new(payload, ContentType::FhirJson, channel.read_options).known(
        &format!("{kind}^{}", interaction.name()),
        &format!("{kind}/{id}/_history/{version}"),
        START.after(send.at),
    )
}

fn changed_content() -> Problem {
    let text = "This control id was used for another content".to_owned();
    Problem { code: 205, location: None, text, reject: false }
}

/// What the receivers answer, one word an attempt; when nothing is left they take everything.
struct Script<'c> {
    answers: HashMap<&'c str, std::collections::VecDeque<&'c str>>,
}

impl<'c> Script<'c> {
    fn new(case: &'c Case) -> Self {
        let answers = case.answers.iter().map(|(destination, words)| {
            (destination.as_str(), words.iter().map(String::as_str).collect())
        });
        Self { answers: answers.collect() }
    }

    fn next(&mut self, destination: &str) -> Option<&'c str> {
        self.answers.get_mut(destination)?.pop_front()
    }
}

fn deliver(
    destination: &str,
    message: usize,
    rendering: Rendering,
    held: bool,
    script: &mut Script<'_>,
    after: AfterAnswer<'_>,
) -> Got {
    let mut got = Got { message, rendering, held, attempts: 0, outcome: "held" };
    match got.rendering.rendered {
        _ if held => return got,
        Rendered::Hold(_) => return got,
        Rendered::Fail(_) => {
            got.outcome = "dead_letter";
            return got;
        }
        Rendered::Send(_) => {}
    }
    let mut waited = Duration::ZERO;
    while got.attempts < ATTEMPTS_MAX {
        got.attempts += 1;
        let Some(answer) = script.next(destination) else {
            got.outcome = "delivered";
            return got;
        };
        match after(destination, answer, got.attempts, waited) {
            After::Delivered => {
                got.outcome = "delivered";
                return got;
            }
            After::Held => {
                got.outcome = "held";
                return got;
            }
            After::DeadLetter => {
                got.outcome = "dead_letter";
                return got;
            }
            After::Retry(wait) => waited = waited.saturating_add(wait),
        }
    }
    got.outcome = "waiting";
    got
}
