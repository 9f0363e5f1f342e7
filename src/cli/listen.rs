//! `medway listen`: a receiving system that can misbehave on request. MLLP or HTTP.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::exit::Failure;
use crate::cli::http_sink;
use crate::cli::terminal::Terminal;
use crate::clock::Clock;
use crate::hl7::ack::{AckCode, Answer, build};
use crate::hl7::charset::CharsetRule;
use crate::hl7::header::Header;
use crate::hl7::mllp::{Decoder, Event, Options, encode};
use crate::message::time::Timestamp;

/// Options of `listen`.
#[derive(Debug, Clone, Args)]
pub struct ListenArguments {
    /// Address and port; port 0 takes a free one and says which.
    #[arg(long, default_value = "127.0.0.1:7701")]
    pub listen: SocketAddr,
    /// What it speaks.
    #[arg(long, value_enum, default_value = "mllp")]
    pub protocol: Protocol,
    /// Appends what it received to this file: one JSON object a line with order, id and size.
    #[arg(long)]
    pub journal: Option<PathBuf>,
    /// Shows each message whole. For made-up messages only.
    #[arg(long)]
    pub print: bool,
    /// How it misbehaves.
    #[command(flatten)]
    pub faults: Faults,
}

/// What is spoken on the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Protocol {
    /// HL7 v2 over MLLP.
    Mllp,
    /// HTTP POST, for webhooks.
    Http,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mllp => "MLLP",
            Self::Http => "HTTP",
        })
    }
}

/// Misbehaviour, each counted over all connections: `every 3` is the 3rd, 6th, … message; 0 is never.
#[derive(Debug, Clone, Default, Args)]
pub struct Faults {
    /// Waits this many milliseconds before each answer.
    #[arg(long, default_value_t = 0)]
    pub delay_ms: u64,
    /// Answers `--code` (HTTP: `--status`) instead of AA (200).
    #[arg(long, default_value_t = 0)]
    pub nak_every: u64,
    /// The code of refusals: AE, AR, CE or CR.
    #[arg(long, default_value = "AE")]
    pub code: String,
    /// The status of refusals over HTTP.
    #[arg(long, default_value_t = 500)]
    pub status: u16,
    /// Answers with a control id that was never sent.
    #[arg(long, default_value_t = 0)]
    pub wrong_id_every: u64,
    /// Takes the message and says nothing.
    #[arg(long, default_value_t = 0)]
    pub silent_every: u64,
    /// Takes the message and closes the connection.
    #[arg(long, default_value_t = 0)]
    pub close_every: u64,
    /// Answers bytes that are no acknowledgement.
    #[arg(long, default_value_t = 0)]
    pub garbage_every: u64,
    /// Answers twice.
    #[arg(long, default_value_t = 0)]
    pub twice_every: u64,
}

/// What to do with one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Accept,
    Refuse,
    WrongId,
    Silent,
    Close,
    Garbage,
    Twice,
}

impl std::fmt::Display for Deed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Accept => "accepted",
            Self::Refuse => "refused",
            Self::WrongId => "answered with a wrong id",
            Self::Silent => "not answered",
            Self::Close => "connection closed",
            Self::Garbage => "answered with garbage",
            Self::Twice => "answered twice",
        })
    }
}

impl Faults {
    /// The deed for the message with this number, from 1.
    pub(crate) fn deed(&self, number: u64) -> Deed {
        let hits = |every: u64| every > 0 && number.is_multiple_of(every);
        if hits(self.close_every) {
            Deed::Close
        } else if hits(self.silent_every) {
            Deed::Silent
        } else if hits(self.garbage_every) {
            Deed::Garbage
        } else if hits(self.wrong_id_every) {
            Deed::WrongId
        } else if hits(self.nak_every) {
            Deed::Refuse
        } else if hits(self.twice_every) {
            Deed::Twice
        } else {
            Deed::Accept
        }
    }
}

/// What every connection of a sink shares.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) faults: Faults,
    pub(crate) received: AtomicU64,
    journal: Option<Mutex<std::fs::File>>,
    print: bool,
    quiet: bool,
    terminal: Terminal,
    clock: Clock,
}

impl Sink {
    /// A sink; `quiet` shows no line per message.
    pub(crate) fn new(
        arguments: &ListenArguments,
        quiet: bool,
        terminal: Terminal,
    ) -> Result<Self, Failure> {
        let journal = match &arguments.journal {
            None => None,
            Some(path) => Some(Mutex::new(
                std::fs::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path)
                    .map_err(|error| Failure::usage(&format!("{}: {error}", path.display())))?,
            )),
        };
        Ok(Self {
            faults: arguments.faults.clone(),
            received: AtomicU64::new(0),
            journal,
            print: arguments.print,
            quiet,
            terminal,
            clock: Clock::System,
        })
    }

    /// Counts a message, writes the journal and the line, and decides what to do with it. The journal
    /// line is written before any answer leaves.
    pub(crate) fn take(&self, id: &str, what: &str, body: &[u8]) -> (u64, Deed) {
        let number = self.received.fetch_add(1, Ordering::Relaxed) + 1;
        let deed = self.faults.deed(number);
        if let Some(journal) = &self.journal {
            let line =
                json!({"number": number, "id": id, "bytes": body.len(), "deed": deed.to_string()});
            let mut file = journal.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Err(error) = writeln!(file, "{line}") {
                self.terminal.notice(&format!("the journal cannot be written: {error}"));
            }
        }
        if self.print {
            self.terminal.line(&String::from_utf8_lossy(body).replace('\r', "\n"));
        } else if !self.quiet && self.terminal.json() {
            self.terminal
                .value(&json!({"number": number, "id": id, "what": what, "bytes": body.len()}));
        } else if !self.quiet {
            self.terminal
                .line(&format!("{number:>8}  {what:<12} {id:<24} {} bytes  {deed}", body.len()));
        }
        (number, deed)
    }
}

pub(crate) async fn run(arguments: ListenArguments, terminal: &Terminal) -> Result<(), Failure> {
    let listener = TcpListener::bind(arguments.listen).await.map_err(|error| {
        Failure::unavailable(&format!("cannot listen on {}: {error}", arguments.listen))
    })?;
    terminal.notice(&format!("listening on {} ({})", listener.local_addr()?, arguments.protocol));
    let sink = Arc::new(Sink::new(&arguments, false, *terminal)?);
    let stop = CancellationToken::new();
    let ended = stop.clone();
    let tracker = TaskTracker::new();
    tracker.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            ended.cancel();
        }
    });
    serve(listener, arguments.protocol, sink, tracker, stop).await;
    Ok(())
}

/// Serves connections until `stop`.
pub(crate) async fn serve(
    listener: TcpListener,
    protocol: Protocol,
    sink: Arc<Sink>,
    tracker: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (sink, stop) = (Arc::clone(&sink), stop.clone());
        tracker.spawn(async move {
            let work = async {
                match protocol {
                    Protocol::Mllp => mllp_connection(stream, &sink).await,
                    Protocol::Http => http_sink::connection(stream, &sink).await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                ended = work => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection of the sink ended");
                    }
                }
            }
        });
    }
}

async fn mllp_connection(mut stream: TcpStream, sink: &Sink) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut decoder = Decoder::new(Options::default());
    let mut buffer = vec![0_u8; 64 * 1024];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        decoder.push(buffer.get(..count).unwrap_or_default());
        let mut answers = Vec::new();
        while let Some(event) = decoder.next_event() {
            let Event::Frame(frame) = event else { continue };
            let Some(header) = Header::read_best_effort(&frame) else {
                sink.take("", "no header", &frame);
                return Ok(());
            };
            let id = String::from_utf8_lossy(header.control_id()).into_owned();
            let (_, deed) = sink.take(&id, &header.event_name(), &frame);
            if sink.faults.delay_ms > 0 {
                tokio::time::sleep(Duration::from_millis(sink.faults.delay_ms)).await;
            }
            if deed == Deed::Close {
                return Ok(());
            }
            answers.extend_from_slice(&answer(sink, &header, deed));
        }
        stream.write_all(&answers).await?;
    }
}

fn answer(sink: &Sink, header: &Header<'_>, deed: Deed) -> Vec<u8> {
    let positive = || framed(&reply(sink, header, AckCode::AA));
    match deed {
        Deed::Accept => positive(),
        Deed::Refuse => {
            let code = AckCode::from_bytes(sink.faults.code.as_bytes()).unwrap_or(AckCode::AE);
            framed(&reply(sink, header, code))
        }
        Deed::WrongId => framed(b"MSH|^~\\&|SINK|HOSP|||||ACK|W1|P|2.5\rMSA|AA|never-sent\r"),
        Deed::Silent | Deed::Close => Vec::new(),
        Deed::Garbage => framed(b"this is no acknowledgement"),
        Deed::Twice => [positive(), positive()].concat(),
    }
}

/// An answer of ours never holds framing bytes.
fn framed(answer: &[u8]) -> Vec<u8> {
    encode(answer).map(|frame| frame.to_vec()).unwrap_or_default()
}

fn reply(sink: &Sink, header: &Header<'_>, code: AckCode) -> Bytes {
    let number = sink.received.load(Ordering::Relaxed);
    let answer = Answer {
        code,
        control_id: &format!("SINK{number}"),
        at: &hl7_moment(sink.clock.now()),
        problems: &[],
        charset: CharsetRule::default(),
    };
    build(Some(header), &answer)
}

/// A moment as HL7 writes it, in UTC.
pub(crate) fn hl7_moment(moment: Timestamp) -> String {
    let moment = jiff::Timestamp::from_microsecond(moment.0).unwrap_or_default();
    moment.strftime("%Y%m%d%H%M%S+0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::{Deed, Faults};

    #[test]
    fn faults_come_every_nth_message() {
        let faults = Faults { nak_every: 3, close_every: 4, ..Faults::default() };
        let deeds: Vec<Deed> = (1..=6).map(|number| faults.deed(number)).collect();
        assert_eq!(
            deeds,
            [Deed::Accept, Deed::Accept, Deed::Refuse, Deed::Close, Deed::Accept, Deed::Refuse]
        );
    }
}
