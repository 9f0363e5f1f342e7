//! One destination in trouble: what it costs the others, and how fast it catches up.

use std::time::{Duration, Instant};

use medway::message::id::VersionId;
use medway::store::NewMessage;

use crate::load::{Load, Manner, Shape, Sink, closed_loop, delivered, quantile};
use crate::report::{PAIRS, Report, figure, median, number, resident_mib};
use crate::sample::message;
use crate::trial::{Trial, Way, destination, destinations};

/// Messages of one call when a backlog is made.
const CALL: usize = 500;

const WAY: Way = Way::Window(64);

/// A port where nobody listens now; a receiver may come to it later.
fn dead_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn ports(sinks: &[Sink]) -> Vec<u16> {
    sinks.iter().map(|sink| sink.port).collect()
}

/// One system that is measured: an engine with two receivers that are well.
struct Healthy {
    trial: Trial,
    sinks: Vec<Sink>,
    sent: usize,
}

impl Healthy {
    /// `others`: further destinations, as YAML.
    fn start(others: &str) -> Self {
        let sinks = Sink::many(2);
        let to = destinations(&ports(&sinks), WAY);
        Self { trial: Trial::start(&format!("{to}{others}")), sinks, sent: 0 }
    }

    /// Sends, and answers how many a second reached both receivers, with what the senders saw.
    fn round(&mut self, messages: usize) -> (f64, Load) {
        // Numbers beyond those of the backlog.
        let first = 2_000_000 + self.sent;
        let shape = Shape { connections: 100, outstanding: 1, messages, first };
        self.sent += messages;
        let load = closed_loop(self.trial.port, shape);
        let took = delivered(&self.sinks, self.sent, load.began);
        (figure(messages) / took.as_secs_f64(), load)
    }

    fn stop(self) {
        self.trial.stop();
        self.sinks.into_iter().for_each(Sink::stop);
    }
}

/// Rounds in turn; the median rates, the ratio of rates and that of the 99th percentiles of the waits.
fn in_turn(calm: &mut Healthy, troubled: &mut Healthy, messages: usize) -> [f64; 4] {
    let mut figures = [const { Vec::new() }; 4];
    for round in 0..=PAIRS {
        let (calm, troubled) = (calm.round(messages), troubled.round(messages));
        if round > 0 {
            let waits = quantile(&troubled.1.waits, 990) / quantile(&calm.1.waits, 990);
            for (list, value) in
                figures.iter_mut().zip([calm.0, troubled.0, troubled.0 / calm.0, waits])
            {
                list.push(value);
            }
        }
    }
    figures.map(median)
}

/// Two receivers that are well, alone and beside one that is silent and one that refuses connections.
pub(crate) fn slow_destination(report: &mut Report) {
    let silent = Sink::start(Manner::Silent);
    let troubled = destination("silent", silent.port, WAY) + &destination("gone", dead_port(), WAY);
    let mut calm = Healthy::start("");
    let mut troubled = Healthy::start(&troubled);
    let before = resident_mib();
    let [alone, beside, ratio, waits] = in_turn(&mut calm, &mut troubled, 10_000);
    report.row(
        "slow_destination",
        Some(ratio),
        &[
            ("delivered_per_s", beside),
            ("without_per_s", alone),
            ("ack_p99_ratio", waits),
            ("resident_mib", resident_mib()),
            ("resident_growth_mib", resident_mib() - before),
        ],
    );
    calm.stop();
    troubled.stop();
    silent.stop();
}

/// Puts messages for one destination into the log.
fn fill(trial: &Trial, place: usize, count: usize) {
    let live = trial.channel();
    let wanted = [live.destinations[place]];
    let store = trial.engine.store();
    let batch = |from: usize| -> Vec<NewMessage> {
        let numbers = from..from + CALL;
        numbers.map(|n| with_version(message(number(n), &wanted), live.version)).collect()
    };
    trial.runtime.block_on(async {
        for from in (0..count).step_by(CALL * 2) {
            let (one, two) =
                tokio::join!(store.append(batch(from)), store.append(batch(from + CALL)));
            one.unwrap();
            two.unwrap();
        }
    });
}

fn with_version(mut message: NewMessage, version: VersionId) -> NewMessage {
    for entry in &mut message.plan.entries {
        entry.version = version;
    }
    message
}

/// What waits for a dead destination: what it costs the others, and how fast it leaves when the
/// destination is back.
pub(crate) fn backlog_drain(report: &mut Report) {
    let mut rates = Vec::new();
    for (name, waiting) in [("10k", 10_000), ("1m", 1_000_000)] {
        let port = dead_port();
        let mut troubled = Healthy::start(&destination("dead", port, WAY));
        let before = resident_mib();
        let started = Instant::now();
        fill(&troubled.trial, 2, waiting);
        let filled = figure(waiting) / started.elapsed().as_secs_f64();
        let resident = resident_mib();
        if waiting == 1_000_000 {
            slowed(report, &mut troubled);
        }
        let (first_ms, rate) = drain(port, 10_000);
        report.row(
            &format!("backlog_drain_{name}"),
            None,
            &[
                ("drained_per_s", rate),
                ("first_ms", first_ms),
                ("filled_per_s", filled),
                ("resident_mib", resident),
                ("resident_growth_mib", resident - before),
            ],
        );
        rates.push(rate);
        troubled.stop();
    }
    report.row("backlog_drain", Some(rates[1] / rates[0]), &[]);
}

/// The others beside a million that wait, against the same engine with nothing waiting.
fn slowed(report: &mut Report, troubled: &mut Healthy) {
    let mut calm = Healthy::start(&destination("dead", dead_port(), WAY));
    let [alone, beside, ratio, waits] = in_turn(&mut calm, troubled, 10_000);
    report.row(
        "backlog_others",
        Some(ratio),
        &[("delivered_per_s", beside), ("without_per_s", alone), ("ack_p99_ratio", waits)],
    );
    calm.stop();
}

/// Brings the receiver back: time to its first message, and the rate of the `count` after it.
fn drain(port: u16, count: usize) -> (f64, f64) {
    let back = Instant::now();
    let sink = [Sink::start_on(port, Manner::Prompt)];
    let first = delivered(&sink, 1, back);
    let seen = sink[0].count();
    let began = Instant::now();
    let took = delivered(&sink, count, began).max(Duration::from_micros(1));
    let rate = figure(sink[0].count() - seen) / took.as_secs_f64();
    sink.into_iter().for_each(Sink::stop);
    (first.as_secs_f64() * 1e3, rate)
}
