//! A whole engine in this process, from a configuration in files, as `serve` starts it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use medway::clock::Clock;
use medway::config::load::{LoadOptions, load};
use medway::engine::Engine;
use medway::engine::registry::LiveChannel;
use medway::store::Store;
use medway::store::sqlite::access::SqliteAccess;
use medway::store::sqlite::{SqliteOptions, SqliteStore};
use medway::telemetry::setup;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::load::threads;

/// A running engine with one channel, `bench`.
pub(crate) struct Trial {
    /// Where it listens.
    pub(crate) port: u16,
    /// The engine itself.
    pub(crate) engine: Arc<Engine>,
    /// Its threads.
    pub(crate) runtime: Runtime,
    folder: TempDir,
}

/// A folder on a disk.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// How a destination is sent to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    /// One after the other, whatever they are about.
    Strict,
    /// So many at the same time on one connection, in order for each patient.
    Window(usize),
}

/// One MLLP destination with a light change of its own, as YAML below `to:`. `prototype` makes the same.
pub(crate) fn destination(name: &str, port: u16, way: Way) -> String {
    let (how, in_flight) = match way {
        Way::Strict => ("order: strict".to_owned(), 1),
        Way::Window(count) => (format!("parallel: {count}"), count),
    };
    format!(
        "  {name}:\n    mllp: {{host: 127.0.0.1, port: {port}, in_flight: {in_flight}}}\n    {how}\n    \
         retry: {{first: 200ms, max: 1s}}\n    change:\n      - set: {{MSH-5: {name}, MSH-6: BENCH, PID-3.4: MEDWAY, ZMW-1: {name}}}\n"
    )
}

/// Several of them, named by their place.
pub(crate) fn destinations(ports: &[u16], way: Way) -> String {
    let each = ports.iter().enumerate();
    each.map(|(place, port)| destination(&format!("d{place}"), *port, way)).collect()
}

impl Trial {
    /// Starts one that sends `to` (YAML).
    pub(crate) fn start(to: &str) -> Self {
        Self::run(to, false)
    }

    /// One that has a FHIR endpoint, `gateway`, besides.
    pub(crate) fn with_fhir(to: &str) -> Self {
        medway::tls::install_provider();
        Self::run(to, true)
    }

    fn run(to: &str, has_fhir: bool) -> Self {
        setup::metrics().unwrap();
        let folder = folder();
        write_config(folder.path(), to);
        if has_fhir {
            write_fhir(folder.path());
        }
        let loaded = load(folder.path(), &LoadOptions::default());
        assert!(loaded.starts(), "{:?}", loaded.findings);
        let runtime = threads("engine");
        let engine = runtime.block_on(async {
            let options = SqliteOptions::new(folder.path().join("medway.db"));
            let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await.unwrap());
            let never = Box::new(|| Err("a benchmark does not reload".to_owned()));
            let access = SqliteAccess::open(&folder.path().join("access.db")).await.unwrap();
            let access = Arc::new(access);
            Engine::start(&loaded, never, store, access, Clock::System).await.unwrap()
        });
        let port = port_of(&engine, "bench");
        Self { port, engine, runtime, folder }
    }

    /// Where the FHIR endpoint listens.
    pub(crate) fn fhir_port(&self) -> u16 {
        port_of(&self.engine, "gateway")
    }

    /// The channel in force.
    pub(crate) fn channel(&self) -> LiveChannel {
        self.engine.registry().channels().get("bench").unwrap().clone()
    }

    /// Commits of its store so far.
    pub(crate) fn commits(&self) -> f64 {
        let commits = self.engine.store().status().commits;
        f64::from(u32::try_from(commits).unwrap())
    }

    /// Ends it.
    pub(crate) fn stop(self) {
        self.runtime.block_on(self.engine.stop());
        drop(self.folder);
    }
}

fn port_of(engine: &Engine, channel: &str) -> u16 {
    let sources = engine.sources(channel);
    let address = sources[0]["listens"].as_str().unwrap();
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

fn write_fhir(folder: &Path) {
    let engine = "data: data\nchannels: channels\n\
                  subscriptions: {allow: [127.0.0.0/8], plain_http: true}\n";
    fs::write(folder.join("engine.yaml"), engine).unwrap();
    fs::create_dir(folder.join("data")).unwrap();
    let channel = "channel: gateway\norder_by: none\nfrom:\n  \
                   fhir: {listen: \"127.0.0.1:0\", access: none, max_connections_per_peer: 512}\n\
                   to:\n  nowhere: {when: $.resourceType is Basic, channel: {topic: nothing}}\n";
    fs::write(folder.join("channels/gateway.yaml"), channel).unwrap();
}

fn write_config(folder: &Path, to: &str) {
    fs::create_dir(folder.join("channels")).unwrap();
    fs::write(folder.join("engine.yaml"), "data: data\nchannels: channels\n").unwrap();
    let channel = format!(
        "channel: bench\norder_by: PID-3.1\n\
         from:\n  mllp: {{listen: \"127.0.0.1:0\", max_connections_per_peer: 512}}\n  ack: after_stored\n\
         search_keys: {{mrn: PID-3.1, visit: PV1-19.1}}\nto:\n{to}"
    );
    fs::write(folder.join("channels/bench.yaml"), channel).unwrap();
}
