//! `medway demo`: the engine with the example channels, a made-up hospital that sends and made-up systems
//! that receive, in one process. Shows where messages go. Nothing leaves the machine.

mod ports;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::config::{self, Place};
use crate::cli::demo::ports::Ports;
use crate::cli::destinations::summary;
use crate::cli::exit::Failure;
use crate::cli::listen::{self, Faults, ListenArguments, Protocol, Sink};
use crate::cli::serve::{self, ServeArguments};
use crate::cli::simulate::people::Names;
use crate::cli::simulate::{self, Encoding, Sent, SimulateArguments};
use crate::cli::terminal::Terminal;
use crate::config::load::Loaded;
use crate::config::to::TransportOptions;
use crate::message::id::Seq;
use crate::store::MessageQuery;
use crate::telemetry::setup::{self, LogFormat};

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// The folder of channel files.
    #[arg(long, default_value = "channels")]
    channels: PathBuf,
    /// The data directory; it is kept, so that a second run goes on where the first one ended.
    #[arg(long, default_value = "target/demo")]
    data: PathBuf,
    /// Messages a second.
    #[arg(long, default_value_t = 5.0)]
    rate: f64,
    /// Ends after this many seconds; 0 goes on until Ctrl-C.
    #[arg(long, default_value_t = 0)]
    seconds: u64,
    /// The admin address.
    #[arg(long, default_value = "127.0.0.1:8080")]
    admin: SocketAddr,
    /// Uses free ports instead of those in the channel files, which are copied into the data directory with
    /// the ports changed: so that it runs beside whatever holds them.
    #[arg(long)]
    free_ports: bool,
}

/// Between two pictures of the whole.
const PICTURE_EVERY: Duration = Duration::from_secs(5);
/// Between two looks for new messages.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Messages named one by one before only the pictures go on.
const NAMED_MAX: usize = 12;

pub(crate) async fn run(arguments: DemoArguments, terminal: &Terminal) -> Result<(), Failure> {
    setup::logs("warn", LogFormat::Auto).map_err(|error| Failure::usage(&error.to_string()))?;
    let loaded = config::load(&Place {
        channels: Some(arguments.channels.clone()),
        data: Some(arguments.data.clone()),
        ..Place::default()
    })?;
    let stop = CancellationToken::new();
    let tracker = TaskTracker::new();
    let (sinks, ports) =
        start_sinks(&loaded, arguments.free_ports, &tracker, &stop, terminal).await;
    let mut channels = arguments.channels.clone();
    // What does not start is told of by the engine itself.
    if arguments.free_ports && loaded.starts() {
        let copied = arguments.data.join("channels");
        ports::copy(&channels, &copied, &ports)
            .map_err(|error| Failure::config(&format!("{}: {error}", copied.display())))?;
        channels = copied;
    }
    let serve = ServeArguments {
        config: None,
        channels: Some(channels),
        data: Some(arguments.data.clone()),
        admin: Some(arguments.admin),
        log: None,
        log_json: false,
    };
    let running = serve::start(&serve, terminal).await?;
    terminal.line(&format!("the engine runs; its API is at http://{}/api/v1", running.admin));
    let sent = Arc::new(Sent::default());
    let closing_time = stop.child_token();
    let hospital = simulate::hospital(
        hospital_of(&running, arguments.rate),
        Arc::clone(&sent),
        closing_time.clone(),
        *terminal,
    );
    let limit = Duration::from_secs(if arguments.seconds == 0 {
        u64::MAX >> 32
    } else {
        arguments.seconds
    });
    tokio::select! {
        ended = hospital => ended?,
        () = picture(&running, &sent, &sinks, terminal) => {}
        _ = tokio::signal::ctrl_c() => terminal.notice("stopping"),
        () = tokio::time::sleep(limit) => {}
        () = running.engine.end_asked().cancelled() => terminal.notice("stopping"),
    }
    // Nobody sends any more when the listeners close.
    closing_time.cancel();
    show_all(&running, &sent, &sinks, terminal);
    let ended = running.stop().await;
    stop.cancel();
    tracker.close();
    tracker.wait().await;
    terminal.notice(&format!(
        "what was stored is in {}; `medway demo` goes on from there",
        arguments.data.display()
    ));
    ended
}

type Sinks = Vec<(String, Arc<Sink>)>;

/// A receiving system on every loopback port that a channel sends to, or, with `free`, on another port in
/// its place; the ports that take the place of those in the files.
async fn start_sinks(
    loaded: &Loaded,
    free: bool,
    tracker: &TaskTracker,
    stop: &CancellationToken,
    terminal: &Terminal,
) -> (Sinks, Ports) {
    let mut addresses = BTreeSet::new();
    for destination in loaded.channels.iter().flat_map(|channel| &channel.destinations) {
        match &destination.transport {
            TransportOptions::Mllp(options) => {
                for endpoint in &options.endpoints {
                    addresses.insert((endpoint.to_string(), Protocol::Mllp));
                }
            }
            TransportOptions::Webhook(options) => {
                let authority = options.url.split('/').nth(2).unwrap_or_default();
                addresses.insert((authority.to_owned(), Protocol::Http));
            }
            TransportOptions::Fhir(options) => {
                let authority = options.base.split('/').nth(2).unwrap_or_default();
                addresses.insert((authority.to_owned(), Protocol::Http));
            }
            TransportOptions::File(_)
            | TransportOptions::Topic(_)
            | TransportOptions::Resources(_) => {}
        }
    }
    let (mut sinks, mut ports) = (Vec::new(), ports::listeners(loaded));
    for (address, protocol) in addresses {
        let Some(mut listen) =
            address.parse::<SocketAddr>().ok().filter(|at| at.ip().is_loopback())
        else {
            terminal.notice(&format!(
                "{address} is not on this machine: nobody receives there in the demo"
            ));
            continue;
        };
        let wanted = listen.port();
        if free {
            listen.set_port(0);
        }
        let arguments = ListenArguments {
            listen,
            protocol,
            journal: None,
            print: false,
            faults: Faults::default(),
        };
        let sink = Sink::new(&arguments, true, *terminal);
        match (TcpListener::bind(listen).await, sink) {
            (Ok(listener), Ok(sink)) => {
                let sink = Arc::new(sink);
                let at = listener.local_addr().unwrap_or(listen);
                ports.insert(wanted, at.port());
                sinks.push((format!("{at} ({protocol})"), Arc::clone(&sink)));
                let (inner, stop) = (tracker.clone(), stop.clone());
                tracker.spawn(listen::serve(listener, protocol, sink, inner, stop));
            }
            (Err(error), _) => {
                terminal.notice(&format!("{address}: {error}: nobody receives there in the demo"))
            }
            (_, Err(error)) => terminal.notice(&format!("{address}: {error}")),
        }
    }
    (sinks, ports)
}

/// The hospital sends to the MLLP listeners of the example channels.
fn hospital_of(running: &serve::Running, rate: f64) -> SimulateArguments {
    let port_of = |name: &str| {
        let sources = running.engine.sources(name);
        let listens = sources.first().and_then(|source| source.get("listens")?.as_str());
        let address = listens.and_then(|listens| listens.parse::<SocketAddr>().ok());
        address.map_or_else(String::new, |address| format!("127.0.0.1:{}", address.port()))
    };
    SimulateArguments {
        adt: port_of("adt-patient-sync"),
        lab: port_of("lab-results"),
        monitors: port_of("bedside-monitors"),
        rate,
        count: 0,
        patients: 200,
        names: Names::Mixed,
        charset: Encoding::Utf8,
        seed: 0,
        wait: 30,
    }
}

/// Names the first messages one by one with where they went, then draws the whole every few seconds.
async fn picture(running: &serve::Running, sent: &Sent, sinks: &Sinks, terminal: &Terminal) {
    let mut named = 0;
    let mut last = running.engine.store().status().head;
    let mut since_picture = Duration::ZERO;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        since_picture += LOOK_EVERY;
        if named < NAMED_MAX {
            named += name_new(running, &mut last, terminal).await;
        }
        if since_picture >= PICTURE_EVERY {
            since_picture = Duration::ZERO;
            show_all(running, sent, sinks, terminal);
        }
    }
}

async fn name_new(running: &serve::Running, last: &mut Seq, terminal: &Terminal) -> usize {
    let query = MessageQuery { limit: 5, ..MessageQuery::default() };
    let Ok(mut found) = running.engine.store().search(query).await else { return 0 };
    found.retain(|message| message.seq > *last);
    found.reverse();
    for message in &found {
        *last = message.seq;
        let Ok(views) = running.engine.store().deliveries(message.seq).await else { continue };
        let places: Vec<String> = views
            .iter()
            .map(|view| {
                let name = running.engine.destination_name(view.destination);
                match &view.settled {
                    Some(settled) => format!("{name} {}", settled.answer.code),
                    None => format!("{name} {}", view.state),
                }
            })
            .collect();
        terminal.line(&format!(
            "  {} {:<8} from {} → {}",
            message.envelope.received_at,
            message.envelope.event,
            message.envelope.channel,
            if places.is_empty() { "nobody".to_owned() } else { places.join(", ") }
        ));
    }
    found.len()
}

fn show_all(running: &serve::Running, sent: &Sent, sinks: &Sinks, terminal: &Terminal) {
    terminal.line(&format!(
        "\nthe hospital sent {} messages ({} refused)",
        sent.accepted.load(Ordering::Relaxed),
        sent.refused.load(Ordering::Relaxed)
    ));
    for id in running.engine.destination_ids() {
        let status: Option<Value> = running.engine.destination_status(id);
        if let Some(status) = status {
            terminal.line(&format!("  {}", summary(&status)));
        }
    }
    for (address, sink) in sinks {
        terminal
            .line(&format!("  received at {address}: {}", sink.received.load(Ordering::Relaxed)));
    }
}
