//! The commands. Data on stdout, notices on stderr; exit codes: 0 done, 1 findings or refusals, 2 usage,
//! 69 the engine cannot be reached, 70 a fault, 78 configuration that cannot be read.

pub mod api;
pub mod audit;
pub mod call;
pub mod check;
mod client;
mod config;
pub mod dead;
pub mod demo;
pub mod destinations;
pub mod doctor;
pub mod exit;
mod http_sink;
pub mod jobs;
pub mod listen;
pub mod messages;
pub mod send;
pub mod serve;
pub mod simulate;
pub mod subscriptions;
pub mod system;
pub mod terminal;
pub mod test;
pub mod user;

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
    /// Runs the engine until it is told to stop.
    Serve(serve::ServeArguments),
    /// Checks channel files and `engine.yaml`: what passes, starts.
    Check(check::CheckArguments),
    /// Runs the tests inside channel files; no network.
    Test(test::TestArguments),
    /// Tells more about a finding's code.
    Explain(check::ExplainArguments),
    /// Prints the JSON Schema of channel files or `engine.yaml`.
    Schema(check::SchemaArguments),
    /// Finds messages by the hospital's keys; shows where one went and why not.
    Messages(messages::MessagesArguments),
    /// Lists what was set aside, held or waits; retries, releases, skips, cancels.
    Dead(dead::DeadArguments),
    /// Sends stored messages again, with a reason.
    Replay(dead::ReplayArguments),
    /// Bulk work on what is set aside or held: lists causes and jobs, begins one, aborts one.
    Jobs(jobs::JobsArguments),
    /// Lists, adds and disables users.
    User(user::UserArguments),
    /// Shows what waits where and why; pauses and resumes.
    Destinations(destinations::DestinationsArguments),
    /// Shows FHIR subscriptions; pauses, recovers, tests, changes secrets.
    Subscriptions(subscriptions::SubscriptionsArguments),
    /// Has a running engine read its channel files again.
    Reload(destinations::ReloadArguments),
    /// Shows the machine; backup, retention, certificates, log level, stop.
    System(system::SystemArguments),
    /// Verifies, searches and exports the audit trail.
    Audit(audit::AuditArguments),
    /// Any act of the engine's API by its name, e.g. `message.tree`, `token.add`; lists them all.
    Call(call::CallArguments),
    /// Checks machine, configuration and store.
    Doctor(doctor::DoctorArguments),
    /// Runs the engine with the example channels and a made-up hospital.
    Demo(demo::DemoArguments),
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
    crate::tls::install_provider();
    match command {
        Command::Serve(arguments) => block_on(serve::run(arguments, terminal)),
        Command::Check(arguments) => check::run(&arguments, terminal),
        Command::Test(arguments) => test::run(&arguments, terminal),
        Command::Explain(arguments) => check::explain(&arguments, terminal),
        Command::Schema(arguments) => check::schema(&arguments, terminal),
        Command::Messages(arguments) => block_on(messages::run(arguments, terminal)),
        Command::Dead(arguments) => block_on(dead::run(arguments, terminal)),
        Command::Replay(arguments) => block_on(dead::replay(arguments, terminal)),
        Command::Jobs(arguments) => block_on(jobs::run(arguments, terminal)),
        Command::User(arguments) => block_on(user::run(arguments, terminal)),
        Command::Destinations(arguments) => block_on(destinations::run(arguments, terminal)),
        Command::Subscriptions(arguments) => block_on(subscriptions::run(arguments, terminal)),
        Command::Reload(arguments) => block_on(destinations::reload(arguments, terminal)),
        Command::System(arguments) => block_on(system::run(arguments, terminal)),
        Command::Audit(arguments) => block_on(audit::run(arguments, terminal)),
        Command::Call(arguments) => block_on(call::run(arguments, terminal)),
        Command::Doctor(arguments) => block_on(doctor::run(arguments, terminal)),
        Command::Demo(arguments) => block_on(demo::run(arguments, terminal)),
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
