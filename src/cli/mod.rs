//! The commands. Data on stdout, notices on stderr; exit codes: 0 done, 1 findings or refusals, 2 usage,
//! 69 the engine cannot be reached, 70 a fault, 78 configuration that cannot be read.

mod client;
pub mod exit;
mod http_sink;
pub mod listen;
pub mod send;
pub mod simulate;
pub mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::cli::exit::Failure;
use crate::cli::terminal::Terminal;

/// An HL7/FHIR integration engine: durable lanes between a hospital's systems.
#[derive(Debug, Parser)]
#[command(name = "medway", version, about, propagate_version = true)]
struct Arguments {
    /// Machine-readable output on stdout.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sends HL7 v2 messages from files over MLLP and shows the acknowledgements.
    Send(send::SendArguments),
    /// Listens as a receiving system that can misbehave on request.
    Listen(listen::ListenArguments),
    /// Plays a made-up hospital: admissions, merges, lab results, bedside monitors.
    Simulate(simulate::SimulateArguments),
}

/// Runs the command named by the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let terminal = Terminal::new(arguments.json);
    match dispatch(arguments.command, &terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal.notice(&format!("medway: {failure}"));
            failure.code()
        }
    }
}

fn dispatch(command: Command, terminal: &Terminal) -> Result<(), Failure> {
    match command {
        Command::Send(arguments) => block_on(send::run(arguments, terminal)),
        Command::Listen(arguments) => block_on(listen::run(arguments, terminal)),
        Command::Simulate(arguments) => block_on(simulate::run(arguments, terminal)),
    }
}

/// Runs a command's future on a runtime of its own.
fn block_on(future: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::fault(&format!("the runtime cannot start: {error}")))?;
    runtime.block_on(future)
}
