//! `medway simulate`: a made-up hospital. Admissions, updates, merges, discharges, lab results and
//! bedside monitors at a chosen rate, with made-up people.

mod messages;
pub(crate) mod people;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::client::{ClientError, MllpClient};
use crate::cli::exit::Failure;
use crate::cli::listen::hl7_moment;
use crate::cli::send::Pace;
use crate::cli::simulate::messages::{Event, Stamp};
use crate::cli::simulate::people::{Names, Person, person};
use crate::cli::terminal::Terminal;
use crate::clock::Clock;
use crate::hl7::ack::{Ack, Outcome};

/// Options of `simulate`.
#[derive(Debug, Clone, Args)]
pub struct SimulateArguments {
    /// Where the admission desk sends (host:port); left out when empty.
    #[arg(long, default_value = "127.0.0.1:6661")]
    pub adt: String,
    /// Where the laboratory sends; left out when empty.
    #[arg(long, default_value = "127.0.0.1:6662")]
    pub lab: String,
    /// Where the bedside monitors send; left out when empty.
    #[arg(long, default_value = "127.0.0.1:6663")]
    pub monitors: String,
    /// Messages a second, all systems together; 0 is as fast as answers come.
    #[arg(long, default_value_t = 10.0)]
    pub rate: f64,
    /// Stops after this many messages; 0 goes on until Ctrl-C.
    #[arg(long, default_value_t = 0)]
    pub count: u64,
    /// Patients in the house.
    #[arg(long, default_value_t = 200)]
    pub patients: u32,
    /// Whose names.
    #[arg(long, value_enum, default_value = "mixed")]
    pub names: Names,
    /// How the bytes are encoded, and what MSH-18 says.
    #[arg(long, value_enum, default_value = "utf-8")]
    pub charset: Encoding,
    /// The same seed makes the same people and events; 0 draws one and says which.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Longest wait for an answer, in seconds.
    #[arg(long, default_value_t = 30)]
    pub wait: u64,
}

/// How messages are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Encoding {
    /// `UNICODE UTF-8`.
    #[value(name = "utf-8")]
    Utf8,
    /// `GB 18030-2000`.
    Gb18030,
}

impl Encoding {
    const fn msh18(self) -> &'static str {
        match self {
            Self::Utf8 => "UNICODE UTF-8",
            Self::Gb18030 => "GB 18030-2000",
        }
    }

    fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Gb18030 => encoding_rs::GB18030.encode(text).0.into_owned(),
        }
    }
}

/// What the hospital has sent so far.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) unanswered: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
enum System {
    Adt,
    Lab,
    Monitors,
}

pub(crate) async fn run(arguments: SimulateArguments, terminal: &Terminal) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    let tracker = TaskTracker::new();
    let interrupted = stop.clone();
    tracker.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let sent = Arc::new(Sent::default());
    hospital(arguments, Arc::clone(&sent), stop, *terminal).await?;
    let (accepted, refused, unanswered) = (
        sent.accepted.load(Ordering::Relaxed),
        sent.refused.load(Ordering::Relaxed),
        sent.unanswered.load(Ordering::Relaxed),
    );
    if terminal.json() {
        terminal
            .value(&json!({"accepted": accepted, "refused": refused, "unanswered": unanswered}));
    } else {
        terminal.line(&format!(
            "{accepted} accepted, {refused} refused, {unanswered} sent again for want of an answer"
        ));
    }
    if refused == 0 { Ok(()) } else { Err(Failure::negative("not every message was accepted")) }
}

/// Plays the hospital until `stop` or the count is reached. Each system is one connection that sends in
/// turn and repeats a message with the same control id until it is answered.
pub(crate) async fn hospital(
    arguments: SimulateArguments,
    sent: Arc<Sent>,
    stop: CancellationToken,
    terminal: Terminal,
) -> Result<(), Failure> {
    let seed = if arguments.seed == 0 { fastrand::u64(1..) } else { arguments.seed };
    terminal
        .notice(&format!("a made-up hospital with {} patients, seed {seed}", arguments.patients));
    let mut systems = Vec::new();
    for (system, target, share) in [
        (System::Adt, &arguments.adt, 0.4),
        (System::Lab, &arguments.lab, 0.3),
        (System::Monitors, &arguments.monitors, 0.3),
    ] {
        if !target.is_empty() {
            systems.push((system, target.clone(), share));
        }
    }
    let whole: f64 = systems.iter().map(|(_, _, share)| share).sum();
    let left =
        Arc::new(AtomicU64::new(if arguments.count == 0 { u64::MAX } else { arguments.count }));
    let tracker = TaskTracker::new();
    for (number, (system, target, share)) in systems.into_iter().enumerate() {
        let player = Player {
            system,
            target,
            rate: arguments.rate * share / whole,
            seed: seed.wrapping_add(u64::try_from(number).unwrap_or(0)),
            run: format!("{:x}", seed & 0x00ff_ffff),
            arguments: arguments.clone(),
            sent: Arc::clone(&sent),
            left: Arc::clone(&left),
            terminal,
        };
        tracker.spawn(player.play(stop.clone()));
    }
    tracker.close();
    tracker.wait().await;
    Ok(())
}

struct Player {
    system: System,
    target: String,
    rate: f64,
    seed: u64,
    run: String,
    arguments: SimulateArguments,
    sent: Arc<Sent>,
    left: Arc<AtomicU64>,
    terminal: Terminal,
}

impl Player {
    async fn play(self, stop: CancellationToken) {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let mut people: Vec<Person> = (0..self.arguments.patients.max(2))
            .map(|number| person(&mut rng, 100_000 + number, self.arguments.names))
            .collect();
        let mut pace = Pace::new(self.rate);
        let mut client = None;
        let mut number = 0_u64;
        while self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .is_ok()
        {
            tokio::select! {
                () = stop.cancelled() => return,
                () = pace.wait() => {}
            }
            number += 1;
            let text = self.compose(&mut rng, &mut people, number);
            let bytes = self.arguments.charset.encode(&text);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.deliver(&mut client, &bytes) => {}
            }
        }
    }

    fn compose(&self, rng: &mut fastrand::Rng, people: &mut [Person], number: u64) -> String {
        let prefix = match self.system {
            System::Adt => 'A',
            System::Lab => 'L',
            System::Monitors => 'M',
        };
        let stamp = Stamp {
            time: hl7_moment(Clock::System.now()),
            control_id: format!("{prefix}{}-{number}", self.run),
            charset: self.arguments.charset.msh18(),
        };
        let chosen = rng.usize(0..people.len());
        let Some(somebody) = people.get(chosen).cloned() else { return String::new() };
        match self.system {
            System::Lab => messages::lab_report(
                rng,
                &somebody,
                u32::try_from(number % 1_000_000).unwrap_or(0),
                &stamp,
            ),
            System::Monitors => messages::monitor(rng, &somebody, &stamp),
            System::Adt => match rng.u8(0..20) {
                0 => {
                    // The duplicate record is retired: a new person takes its place.
                    let gone = people.get((chosen + 1) % people.len()).map_or(0, |other| other.mrn);
                    let text = messages::merge(&somebody, gone, &stamp);
                    let next = 1_000_000 + u32::try_from(number % 1_000_000).unwrap_or(0);
                    let others = people.len();
                    if let Some(place) = people.get_mut((chosen + 1) % others) {
                        *place = person(rng, next, self.arguments.names);
                    }
                    text
                }
                1..=6 => messages::adt(&somebody, Event::Admit, &stamp),
                7..=9 => messages::adt(&somebody, Event::Register, &stamp),
                10..=12 => messages::adt(&somebody, Event::Discharge, &stamp),
                _ => messages::adt(&somebody, Event::Update, &stamp),
            },
        }
    }

    async fn deliver(&self, client: &mut Option<MllpClient>, bytes: &[u8]) {
        loop {
            match self.exchange(client, bytes).await {
                Ok(true) => {
                    self.sent.accepted.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Ok(false) => {
                    self.sent.refused.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Err(error) => {
                    // No answer: nobody knows whether it is stored, so it is sent again (P2).
                    *client = None;
                    self.sent.unanswered.fetch_add(1, Ordering::Relaxed);
                    self.terminal.notice(&format!("{error}; sending again in a second"));
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn exchange(
        &self,
        client: &mut Option<MllpClient>,
        bytes: &[u8],
    ) -> Result<bool, ClientError> {
        let connected = match client.take() {
            Some(connected) => connected,
            None => {
                MllpClient::connect(&self.target, Duration::from_secs(self.arguments.wait)).await?
            }
        };
        let connected = client.insert(connected);
        let answer = connected.exchange(bytes).await?;
        Ok(Ack::read(&answer).is_ok_and(|ack| ack.code.outcome() == Outcome::Accept))
    }
}
