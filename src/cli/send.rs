//! `medway send`: messages from files over MLLP, with their acknowledgements.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::cli::client::{ClientError, MllpClient};
use crate::cli::exit::Failure;
use crate::cli::terminal::Terminal;
use crate::hl7::ack::{Ack, AckMode, Outcome, Owed, is_acknowledgement, owed};
use crate::hl7::header::Header;

/// How long a refusal is waited for of a message that asks for no answer when it is taken.
const REFUSAL: Duration = Duration::from_secs(2);

/// Options of `send`.
#[derive(Debug, Args)]
pub struct SendArguments {
    /// Where to: host:port of an MLLP listener.
    target: String,
    /// Files, or folders of `*.hl7`. A file's line ends LF or CRLF become CR.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Sends the whole list this many times.
    #[arg(long, default_value_t = 1)]
    times: u32,
    /// At most this many messages a second; 0 is as fast as answers come.
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Longest wait for an answer, in seconds.
    #[arg(long, default_value_t = 30)]
    wait: u64,
    /// Sends the bytes of each file as they are.
    #[arg(long)]
    raw: bool,
    /// Shows each acknowledgement whole.
    #[arg(long, short)]
    verbose: bool,
}

pub(crate) async fn run(arguments: SendArguments, terminal: &Terminal) -> Result<(), Failure> {
    let files = files_of(&arguments.files)?;
    let mut messages = Vec::with_capacity(files.len());
    for file in &files {
        let bytes = std::fs::read(file)
            .map_err(|error| Failure::usage(&format!("{}: {error}", file.display())))?;
        messages.push((file, if arguments.raw { bytes } else { with_cr_ends(&bytes) }));
    }
    let wait = Duration::from_secs(arguments.wait);
    let client = MllpClient::connect(&arguments.target, wait)
        .await
        .map_err(|error| Failure::unavailable(&error.to_string()))?;
    let mut client = Some(client);
    let total = messages.len().saturating_mul(usize::try_from(arguments.times).unwrap_or(1));
    let bar = progress(terminal, total);
    let (mut positive, mut negative, mut unasked) = (0_u64, 0_u64, 0_u64);
    let mut pace = Pace::new(arguments.rate);
    for _ in 0..arguments.times {
        for (file, message) in &messages {
            pace.wait().await;
            let began = Instant::now();
            let code =
                exchange(&mut client, &arguments.target, wait, message, &bar, terminal).await;
            match code.code.as_str() {
                "AA" | "CA" => positive += 1,
                "unasked" => unasked += 1,
                _ => negative += 1,
            }
            let took = began.elapsed();
            bar.inc(1);
            show(terminal, &bar, &arguments, file, &code, took);
        }
    }
    bar.finish_and_clear();
    terminal.notice(&format!("{positive} accepted, {negative} not accepted"));
    if unasked > 0 {
        terminal.notice(&format!("{unasked} ask for no answer (MSH-15, MSH-16), and got none"));
    }
    if negative == 0 { Ok(()) } else { Err(Failure::negative("not every message was accepted")) }
}

/// What came back for one message.
struct Said {
    code: String,
    /// What the receiver says about it; empty when it says nothing.
    why: String,
    answer: Bytes,
}

/// Sends one message. Without an answer the connection is given up, and the next message gets a new one.
async fn exchange(
    client: &mut Option<MllpClient>,
    target: &str,
    wait: Duration,
    message: &[u8],
    bar: &ProgressBar,
    terminal: &Terminal,
) -> Said {
    let nothing =
        |code: &str| Said { code: code.to_owned(), why: String::new(), answer: Bytes::new() };
    let header = Header::read_best_effort(message);
    if header.as_ref().is_some_and(is_acknowledgement) {
        bar.suspend(|| terminal.notice("an acknowledgement is not sent: nobody answers one"));
        return nothing("skipped");
    }
    let unasked = header.as_ref().is_some_and(asks_for_nothing);
    let connected = match client.take() {
        Some(connected) => Ok(connected),
        None => MllpClient::connect(target, wait).await,
    };
    let exchanged = match connected {
        Ok(mut connected) => {
            connected.wait_at_most(if unasked { wait.min(REFUSAL) } else { wait });
            connected.exchange(message).await.map(|answer| (connected, answer))
        }
        Err(error) => Err(error),
    };
    match exchanged {
        Ok((connected, answer)) => {
            *client = Some(connected);
            match Ack::read(&answer) {
                Ok(ack) => Said { code: ack.code.as_str().to_owned(), why: ack.text, answer },
                Err(error) => Said { code: "?".to_owned(), why: error.to_string(), answer },
            }
        }
        Err(ClientError::Timeout(..)) if unasked => nothing("unasked"),
        Err(error) => {
            bar.suspend(|| terminal.notice(&error.to_string()));
            nothing("none")
        }
    }
}

/// Whether a receiver that takes the message answers nothing, because MSH-15 and MSH-16 say so.
fn asks_for_nothing(header: &Header<'_>) -> bool {
    owed(header, AckMode::Asked, Outcome::Accept) == Owed::default()
}

fn show(
    terminal: &Terminal,
    bar: &ProgressBar,
    arguments: &SendArguments,
    file: &Path,
    said: &Said,
    took: Duration,
) {
    let Said { code, why, answer } = said;
    let milliseconds = took.as_secs_f64() * 1000.0;
    let name = file.display();
    bar.suspend(|| {
        if terminal.json() {
            terminal.value(
                &json!({"file": name.to_string(), "code": code, "why": why, "milliseconds": milliseconds}),
            );
        } else if arguments.verbose {
            let text = String::from_utf8_lossy(answer).replace('\r', "\n");
            terminal.line(&format!("{name}  {code}  {milliseconds:.1} ms\n{text}"));
        } else {
            let line = format!("{name}  {code}  {milliseconds:.1} ms  {why}");
            terminal.line(line.trim_end());
        }
    });
}

/// A progress bar when a person watches and the work is long.
pub(crate) fn progress(terminal: &Terminal, total: usize) -> ProgressBar {
    if !terminal.watched() || total < 20 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {per_sec} {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX)).with_style(style)
}

fn files_of(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for argument in arguments {
        if argument.is_dir() {
            let mut inside: Vec<PathBuf> = std::fs::read_dir(argument)?
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .filter(|path| path.extension().is_some_and(|ending| ending == "hl7"))
                .collect();
            inside.sort();
            files.append(&mut inside);
        } else {
            files.push(argument.clone());
        }
    }
    if files.is_empty() {
        return Err(Failure::usage("no *.hl7 file there"));
    }
    Ok(files)
}

/// Text editors end lines with LF; HL7 v2 ends segments with CR (§2.5.3).
pub(crate) fn with_cr_ends(bytes: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(bytes.len() + 1);
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'\r' => {
                message.push(b'\r');
                if rest.peek() == Some(&b'\n') {
                    rest.next();
                }
            }
            b'\n' => message.push(b'\r'),
            other => message.push(other),
        }
    }
    message
}

/// Spaces sends evenly, from due time to due time.
#[derive(Debug)]
pub(crate) struct Pace {
    every: Option<Duration>,
    next: tokio::time::Instant,
}

impl Pace {
    /// `rate` messages a second; 0 is no limit.
    pub(crate) fn new(rate: f64) -> Self {
        let every = (rate > 0.0).then(|| Duration::from_secs_f64(1.0 / rate));
        Self { every, next: tokio::time::Instant::now() }
    }

    /// Waits until the next message is due.
    pub(crate) async fn wait(&mut self) {
        if let Some(every) = self.every {
            tokio::time::sleep_until(self.next).await;
            self.next += every;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::with_cr_ends;

    #[test]
    fn every_line_end_becomes_cr() {
        assert_eq!(with_cr_ends(b"A\nB\r\nC\rD"), b"A\rB\rC\rD");
    }
}
