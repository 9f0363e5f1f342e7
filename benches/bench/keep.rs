//! What keeping costs: pruning beside the traffic, and a start after a kill.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use medway::clock::Clock;
use medway::store::sqlite::{SqliteOptions, SqliteStore};
use medway::store::{Retention, Store};

use crate::load::{Load, Manner, Shape, Sink, delivered, framed, open_loop, quantile};
use crate::report::{Report, figure, median, number};
use crate::sample::message;
use crate::trial::{Trial, Way, destination, destinations, folder};

/// Messages a second, and for how long.
const RATE: u32 = 2_000;
const SECONDS: usize = 3;
/// Pairs of rounds without and with pruning.
const ROUNDS: usize = 4;
/// Kills under traffic.
const KILLS: usize = 10;
/// Messages that wait when a start is timed.
const WAITING: usize = 200_000;

/// 2,000 messages a second, without and with pruning of everything that is delivered: what it adds to the
/// wait for an answer, and whether the file stays as large as it is.
pub(crate) fn prune_under_load(report: &mut Report) {
    let sinks = Sink::many(1);
    let trial = Trial::start(&destinations(&[sinks[0].port], Way::Window(64)));
    let mut shape = Shape {
        connections: 50,
        outstanding: 1,
        messages: usize::try_from(RATE).unwrap() * SECONDS,
        first: 0,
    };
    let mut round = |pruning: bool| -> Load {
        let ended = Arc::new(AtomicBool::new(false));
        let pruner = pruning.then(|| prune(&trial, Arc::clone(&ended)));
        let load = open_loop(trial.port, shape, f64::from(RATE));
        shape.first += shape.messages;
        delivered(&sinks, shape.first, load.began);
        ended.store(true, Ordering::Relaxed);
        if let Some(pruner) = pruner {
            pruner.join().unwrap();
        }
        load
    };
    let (mut alone, mut beside, mut ratio, mut sizes) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for turn in 0..=ROUNDS {
        let (without, with) = (round(false), round(true));
        sizes.push(trial.engine.store().status().size_bytes);
        // The first one warms up.
        if turn > 0 {
            alone.push(quantile(&without.waits, 990));
            beside.push(quantile(&with.waits, 990));
            ratio.push(quantile(&with.waits, 990) / quantile(&without.waits, 990));
        }
    }
    let mib = |size: u64| f64::from(u32::try_from(size >> 10).unwrap()) / 1024.0;
    report.row(
        "prune_under_load",
        Some(median(ratio)),
        &[
            ("ack_p99_us", median(beside)),
            ("without_p99_us", median(alone)),
            ("first_mib", mib(sizes[1])),
            ("last_mib", mib(sizes[ROUNDS])),
        ],
    );
    trial.stop();
    sinks.into_iter().for_each(Sink::stop);
}

fn prune(trial: &Trial, ended: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let now = Duration::ZERO;
    let retention = Retention {
        bodies: now,
        messages: now,
        rejects: now,
        versions: now,
        versions_max: u32::MAX,
        step: 500,
        channels: BTreeMap::new(),
    };
    let (store, runtime) = (Arc::clone(trial.engine.store()), trial.runtime.handle().clone());
    std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            runtime.block_on(store.prune(&retention, Clock::System.now())).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
    })
}

/// The program itself, on ports and in a folder of its own.
struct Program<'f> {
    folder: &'f Path,
    port: u16,
    admin: u16,
    child: Option<Child>,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl<'f> Program<'f> {
    fn new(folder: &'f Path, to: &str) -> Self {
        let (port, admin) = (free_port(), free_port());
        fs::create_dir_all(folder.join("channels")).unwrap();
        let engine =
            format!("data: data\nchannels: channels\nadmin: {{listen: \"127.0.0.1:{admin}\"}}\n");
        fs::write(folder.join("engine.yaml"), engine).unwrap();
        let channel = format!(
            "channel: bench\norder_by: PID-3.1\nfrom:\n  mllp: {{listen: \"127.0.0.1:{port}\"}}\n  \
             ack: after_stored\nto:\n{to}"
        );
        fs::write(folder.join("channels/bench.yaml"), channel).unwrap();
        Self { folder, port, admin, child: None }
    }

    /// Starts it; milliseconds until it says that it is ready.
    fn start(&mut self) -> f64 {
        let began = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_medway"));
        command.arg("serve").arg("--config").arg(self.folder.join("engine.yaml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        while !self.is_ready() {
            assert!(began.elapsed() < Duration::from_secs(60), "not ready in a minute");
            std::thread::sleep(Duration::from_millis(2));
        }
        began.elapsed().as_secs_f64() * 1e3
    }

    fn is_ready(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.admin)) else { return false };
        let asked = stream
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            .and_then(|()| {
                let mut answer = String::new();
                stream.read_to_string(&mut answer).map(|_| answer)
            });
        asked.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// Sends until the connection breaks; answers how many were acknowledged.
fn send_until_killed(port: u16, first: usize) -> usize {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut acknowledged = 0;
    let mut answer = [0; 4096];
    loop {
        let frame = framed(first + acknowledged);
        if stream.write_all(&frame).is_err() {
            return acknowledged;
        }
        let mut size = 0;
        while !answer[..size].ends_with(b"\x1c\r") {
            match stream.read(&mut answer[size..]) {
                Ok(read @ 1..) => size += read,
                _ => return acknowledged,
            }
        }
        acknowledged += 1;
    }
}

/// Kills under traffic: what was acknowledged and never delivered, what was delivered twice, and how soon the
/// next start is ready; then starts with many messages waiting for a receiver that is away.
pub(crate) fn crash_recovery(report: &mut Report) {
    let sink = [Sink::start(Manner::Noting)];
    let place = folder();
    let to = destination("d0", sink[0].port, Way::Window(64));
    let mut program = Program::new(place.path(), &to);
    let mut random = fastrand::Rng::with_seed(7);
    let (mut acknowledged, mut ready) = (Vec::new(), vec![program.start()]);
    for kill in 0..KILLS {
        let (port, first) = (program.port, kill * 1_000_000);
        let sender = std::thread::spawn(move || send_until_killed(port, first));
        std::thread::sleep(Duration::from_millis(random.u64(100..500)));
        program.kill();
        let count = sender.join().unwrap();
        acknowledged.extend(first..first + count);
        ready.push(program.start());
    }
    delivered(&sink, acknowledged.len(), Instant::now());
    // What is repeated comes soon after the start.
    std::thread::sleep(Duration::from_secs(2));
    let arrived: Vec<usize> = sink[0].arrivals().into_iter().map(|(n, _)| n).collect();
    let different: HashSet<usize> = arrived.iter().copied().collect();
    let lost = acknowledged.iter().filter(|n| !different.contains(n)).count();
    program.kill();
    report.row(
        "crash_recovery",
        None,
        &[
            ("kills", figure(KILLS)),
            ("acknowledged", figure(acknowledged.len())),
            ("lost", figure(lost)),
            ("repeated_per_kill", figure(arrived.len() - different.len()) / figure(KILLS)),
            ("ready_ms", median(ready)),
        ],
    );
    sink.into_iter().for_each(Sink::stop);
    waiting(report);
}

fn waiting(report: &mut Report) {
    let place = folder();
    let mut program = Program::new(place.path(), &destination("d0", free_port(), Way::Window(64)));
    program.start();
    program.kill();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let path = place.path().join("data/medway.db");
        let store = SqliteStore::open(SqliteOptions::new(path)).await.unwrap();
        let wanted = [store.destination("bench", "d0").await.unwrap()];
        for from in (0..WAITING).step_by(1000) {
            let batch = (from..from + 1000).map(|n| message(number(n), &wanted)).collect();
            store.append(batch).await.unwrap();
        }
        store.close().await;
    });
    let mut times = Vec::new();
    for _ in 0..5 {
        times.push(program.start());
        program.kill();
    }
    report.row(
        "crash_recovery_backlog",
        None,
        &[("waiting", figure(WAITING)), ("ready_ms", median(times))],
    );
}
