//! From the sender to the last receiver's answer: rates, and waits at a given rate.

use std::collections::HashMap;
use std::time::Duration;

use crate::load::{
    Load, Manner, Shape, Sink, closed_loop, delivered, due, open_loop as at_rate, paced_loop,
    quantile,
};
use crate::mllp::sync_p50_us;
use crate::prototype::{Prototype, Scope};
use crate::report::{PAIRS, Report, bytes_written, cpu_us_of_all_but, figure, median};
use crate::trial::{Trial, Way, destinations, folder};

/// Threads that are no part of what is measured.
const OTHERS: [&str; 3] = ["load", "probe", "bench"];

/// Messages under way that not all receivers have, at most, where the receivers set the pace.
const UNDELIVERED: usize = 256;

/// Twenty senders, three destinations that each take one message after the other: at the receivers' pace,
/// and with senders that outrun them, so that most messages wait on disk.
pub(crate) fn strict3(report: &mut Report) {
    let shape = Shape { connections: 20, outstanding: 1, messages: 10_000, first: 0 };
    let paced = |port, shape, sinks: &[Sink]| paced_loop(port, shape, sinks, UNDELIVERED);
    against_prototype(report, "e2e_strict3", shape, (Way::Strict, 1), &paced);
    against_prototype(report, "e2e_strict3_outrun", shape, (Way::Strict, 1), &unpaced);
}

/// A hundred senders, three destinations with 64 messages in flight each.
pub(crate) fn pipe3(report: &mut Report) {
    let shape = Shape { connections: 100, outstanding: 1, messages: 20_000, first: 0 };
    against_prototype(report, "e2e_pipe3", shape, (Way::Window(64), 64), &unpaced);
}

fn unpaced(port: u16, shape: Shape, _: &[Sink]) -> Load {
    closed_loop(port, shape)
}

/// Figures of the rounds of one case.
#[derive(Default)]
struct Rounds {
    probe: Vec<f64>,
    barest: Vec<f64>,
    rate: Vec<f64>,
    ratio: Vec<f64>,
    ack_rate: Vec<f64>,
    bytes: Vec<f64>,
    commits: Vec<f64>,
    cpu: Vec<f64>,
    probe_cpu: Vec<f64>,
}

fn against_prototype(
    report: &mut Report,
    name: &str,
    mut shape: Shape,
    (way, window): (Way, usize),
    send: &dyn Fn(u16, Shape, &[Sink]) -> Load,
) {
    let (own, theirs, others) = (Sink::many(3), Sink::many(3), Sink::many(3));
    let ports = |sinks: &[Sink]| sinks.iter().map(|sink| sink.port).collect::<Vec<_>>();
    let trial = Trial::start(&destinations(&ports(&own), way));
    let (folder, bare_folder) = (folder(), folder());
    let raw = Prototype::start(folder.path(), &ports(&theirs), window, Scope::Whole);
    let barest = Prototype::start(bare_folder.path(), &ports(&others), window, Scope::Barest);
    let count = figure(shape.messages);
    let mut rounds = Rounds::default();
    for round in 0..=PAIRS {
        let load = send(barest.port, shape, &others);
        let bare =
            count / delivered(&others, shape.first + shape.messages, load.began).as_secs_f64();
        let cpu = cpu_us_of_all_but(&["load", "engine", "bench", "medway"]);
        let load = send(raw.port, shape, &theirs);
        let probe =
            count / delivered(&theirs, shape.first + shape.messages, load.began).as_secs_f64();
        let probe_cpu = (cpu_us_of_all_but(&["load", "engine", "bench", "medway"]) - cpu) / count;
        let before = (bytes_written(), trial.commits(), cpu_us_of_all_but(&OTHERS));
        let load = send(trial.port, shape, &own);
        let rate = count / delivered(&own, shape.first + shape.messages, load.began).as_secs_f64();
        shape.first += shape.messages;
        // The first round warms up.
        if round > 0 {
            rounds.probe.push(probe);
            rounds.barest.push(bare);
            rounds.probe_cpu.push(probe_cpu);
            rounds.rate.push(rate);
            rounds.ratio.push(rate / probe);
            rounds.ack_rate.push(count / load.elapsed.as_secs_f64());
            rounds.bytes.push((bytes_written() - before.0) / count);
            rounds.commits.push((trial.commits() - before.1) / count);
            rounds.cpu.push((cpu_us_of_all_but(&OTHERS) - before.2) / count);
        }
    }
    report.row(
        name,
        Some(median(rounds.ratio)),
        &[
            ("delivered_per_s", median(rounds.rate)),
            ("prototype_per_s", median(rounds.probe)),
            ("barest_per_s", median(rounds.barest)),
            ("acknowledged_per_s", median(rounds.ack_rate)),
            ("cpu_us_per_message", median(rounds.cpu)),
            ("prototype_cpu_us", median(rounds.probe_cpu)),
            ("bytes_per_message", median(rounds.bytes)),
            ("messages_per_commit", 1.0 / median(rounds.commits)),
        ],
    );
    raw.stop();
    barest.stop();
    trial.stop();
    own.into_iter().chain(theirs).chain(others).for_each(Sink::stop);
}

/// Messages at due times: waits to the answer and to the last of three strict receivers.
pub(crate) fn open_loop(report: &mut Report) {
    let sinks: Vec<Sink> = (0..3).map(|_| Sink::start(Manner::Noting)).collect();
    let ports: Vec<u16> = sinks.iter().map(|sink| sink.port).collect();
    let trial = Trial::start(&destinations(&ports, Way::Strict));
    let sync = sync_p50_us();
    let mut first = 0;
    for (rate, seconds) in [(500_u32, 6), (2_000, 4), (5_000, 4)] {
        let messages = usize::try_from(rate).unwrap() * seconds;
        let shape = Shape { connections: 50, outstanding: 1, messages, first };
        let load = at_rate(trial.port, shape, f64::from(rate));
        delivered(&sinks, first + messages, load.began);
        let mut last: HashMap<usize, Duration> = HashMap::new();
        for (n, at) in sinks.iter().flat_map(Sink::arrivals) {
            let wait = at.saturating_duration_since(due(load.began, n - first, f64::from(rate)));
            let so_far = last.entry(n).or_default();
            *so_far = wait.max(*so_far);
        }
        let mut through: Vec<Duration> = last.into_values().collect();
        through.sort_unstable();
        report.row(
            &format!("e2e_open_loop_{rate}"),
            Some(quantile(&load.waits, 500) / sync),
            &[
                ("ack_p50_us", quantile(&load.waits, 500)),
                ("ack_p99_us", quantile(&load.waits, 990)),
                ("ack_p999_us", quantile(&load.waits, 999)),
                ("out_p50_us", quantile(&through, 500)),
                ("out_p99_us", quantile(&through, 990)),
                ("out_p999_us", quantile(&through, 999)),
                ("fdatasync_p50_us", sync),
            ],
        );
        first += messages;
    }
    trial.stop();
    sinks.into_iter().for_each(Sink::stop);
}

/// What each further destination costs of what the first one does.
pub(crate) fn fanout(report: &mut Report) {
    let mut first_us = 0.0;
    for (count, messages) in [(1_usize, 16_000), (3, 12_000), (10, 6_000), (50, 2_000)] {
        let sink = [Sink::start(Manner::Prompt)];
        let to = destinations(&vec![sink[0].port; count], Way::Window(64));
        let trial = Trial::start(&to);
        let mut shape = Shape { connections: 100, outstanding: 1, messages, first: 0 };
        let mut costs = Vec::new();
        for _ in 0..4 {
            let load = closed_loop(trial.port, shape);
            shape.first += messages;
            let took = delivered(&sink, shape.first * count, load.began);
            costs.push(took.as_secs_f64() * 1e6 / figure(messages));
        }
        costs.remove(0);
        let cost = median(costs);
        if count == 1 {
            first_us = cost;
        }
        let further = (count > 1).then(|| (cost - first_us) / figure(count - 1));
        report.row(
            &format!("fanout_{count}"),
            further.map(|further| further / first_us),
            &[
                ("us_per_message", cost),
                ("deliveries_per_s", figure(count) * 1e6 / cost),
                ("us_per_further_destination", further.unwrap_or_default()),
            ],
        );
        trial.stop();
        sink.into_iter().for_each(Sink::stop);
    }
}
