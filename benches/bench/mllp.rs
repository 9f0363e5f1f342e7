//! What it costs to receive: without a store, and up to a durable acknowledgement.

use std::sync::Arc;

use medway::clock::Clock;
use medway::source::intake::Intake;
use medway::source::mllp::MllpSource;
use medway::source::mllp::options::MllpSourceOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::load::{Load, Shape, ack, closed_loop, quantile, take_frame, threads};
use crate::nowhere::{Anything, Nowhere};
use crate::probe::RawLog;
use crate::prototype::{Prototype, Scope};
use crate::report::{Report, figure, median, pairs, timed};
use crate::trial::{Trial, destination, folder};

/// Connections, and messages of a round.
const ROUNDS: [(usize, usize); 3] = [(1, 4_000), (10, 20_000), (100, 40_000)];

fn rate(load: &Load) -> f64 {
    figure(load.waits.len()) / load.elapsed.as_secs_f64()
}

/// Our listener without a store against one that only finds frames and answers.
pub(crate) fn echo(report: &mut Report) {
    let bare = threads("probe");
    let bare_port = bare.block_on(bare_echo(&bare));
    let own = threads("engine");
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    let own_port = own.block_on(async {
        let mut options = MllpSourceOptions::listen("127.0.0.1:0".parse().unwrap());
        options.connections_per_peer_max = 512;
        let source = MllpSource::new("bench".into(), options, None, Clock::System);
        let source = source.bind().await.unwrap();
        let port = source.local_addr().unwrap().port();
        let intake = Intake::new(Arc::new(Nowhere), Arc::new(Anything));
        tracker.spawn(source.run(intake, stop.clone(), tracker.clone()));
        port
    });
    for (connections, messages) in ROUNDS {
        let shape = Shape { connections, outstanding: 1, messages, first: 0 };
        let (probe, case, ratio) =
            pairs(|| rate(&closed_loop(bare_port, shape)), || rate(&closed_loop(own_port, shape)));
        let name = format!("mllp_echo_{connections}");
        report.row(&name, Some(ratio), &[("messages_per_s", case), ("bare_per_s", probe)]);
    }
    stop.cancel();
    tracker.close();
    own.block_on(tracker.wait());
    bare.shutdown_background();
}

async fn bare_echo(runtime: &tokio::runtime::Runtime) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { continue };
            connections.spawn(async move {
                stream.set_nodelay(true).unwrap();
                let mut buffer = bytes::BytesMut::with_capacity(64 * 1024);
                let mut answers = Vec::new();
                while stream.read_buf(&mut buffer).await.is_ok_and(|size| size > 0) {
                    answers.clear();
                    while let Some(frame) = take_frame(&mut buffer) {
                        ack(&frame, &mut answers);
                    }
                    if stream.write_all(&answers).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// Stop and wait on 1, 10 and 100 connections, nothing delivered, against a raw group commit behind the
/// same kind of listener.
pub(crate) fn durable_ack(report: &mut Report) {
    let filtered = destination("nobody", 9, crate::trial::Way::Strict);
    let trial = Trial::start(&format!("{filtered}    when: MSH-3 is \"NOBODY\"\n"));
    let (folder, bare_folder) = (folder(), folder());
    let raw = Prototype::start(folder.path(), &[], 1, Scope::Whole);
    let barest = Prototype::start(bare_folder.path(), &[], 1, Scope::Barest);
    let sync = sync_p50_us();
    let mut first = 0;
    for (connections, messages) in [(1, 600), (10, 4_000), (100, 20_000)] {
        let mut shape = |port| {
            first += messages;
            closed_loop(port, Shape { connections, outstanding: 1, messages, first })
        };
        shape(trial.port);
        let (mut p50, mut p99, mut commits) = (Vec::new(), Vec::new(), Vec::new());
        let (mut probes, mut bare) = (Vec::new(), Vec::new());
        let mut rates = (Vec::new(), Vec::new());
        for _ in 0..crate::report::PAIRS {
            bare.push(rate(&shape(barest.port)));
            let probe = rate(&shape(raw.port));
            let before = trial.commits();
            let load = shape(trial.port);
            commits.push((trial.commits() - before) / figure(messages));
            p50.push(quantile(&load.waits, 500));
            p99.push(quantile(&load.waits, 990));
            rates.0.push(rate(&load));
            rates.1.push(rate(&load) / probe);
            probes.push(probe);
        }
        let p50 = median(p50);
        report.row(
            &format!("mllp_durable_ack_{connections}"),
            Some(median(rates.1)),
            &[
                ("messages_per_s", median(rates.0)),
                ("raw_per_s", median(probes)),
                ("preallocated_per_s", median(bare)),
                ("p50_us", p50),
                ("p99_us", median(p99)),
                ("messages_per_commit", 1.0 / median(commits)),
                ("fdatasync_p50_us", sync),
            ],
        );
        if connections == 1 {
            report.row("mllp_durable_ack_p50_to_fdatasync", Some(p50 / sync), &[]);
        }
    }
    raw.stop();
    barest.stop();
    trial.stop();
}

/// The median wait for the disk, of 4 KB appended.
pub(crate) fn sync_p50_us() -> f64 {
    let folder = folder();
    let mut log = RawLog::growing(folder.path());
    let block = [b'x'; 4096];
    median((0..200).map(|_| timed(|| log.commit(&block)).as_secs_f64() * 1e6).collect())
}
