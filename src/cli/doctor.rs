//! `medway doctor`: checks the machine, the configuration and the store, and says what to do.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use crate::cli::config::{self, Place};
use crate::cli::exit::Failure;
use crate::cli::serve::{open_store, store_options};
use crate::cli::terminal::Terminal;
use crate::config::engine::EngineConfig;
use crate::store::Conservation;
use crate::store::sqlite::doctor::integrity;

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Where `engine.yaml` stands.
    #[arg(long, env = "MEDWAY_CONFIG")]
    config: Option<PathBuf>,
    /// The folder of channel files.
    #[arg(long)]
    channels: Option<PathBuf>,
    /// The data directory.
    #[arg(long, env = "MEDWAY_DATA")]
    data: Option<PathBuf>,
}

/// A disk that takes longer than this to sync makes senders wait.
const SLOW_SYNC: Duration = Duration::from_millis(50);
/// Syncs measured.
const SYNCS: u32 = 20;

struct Report<'t> {
    terminal: &'t Terminal,
    bad: u32,
}

impl Report<'_> {
    fn good(&self, what: &str, said: &str) {
        self.line("ok", what, said);
    }

    fn bad(&mut self, what: &str, said: &str) {
        self.bad += 1;
        self.line("BAD", what, said);
    }

    fn note(&self, what: &str, said: &str) {
        self.line("note", what, said);
    }

    fn line(&self, mark: &str, what: &str, said: &str) {
        if self.terminal.json() {
            self.terminal.value(&json!({"result": mark, "what": what, "said": said}));
        } else {
            self.terminal.line(&format!("{mark:<5} {what:<14} {said}"));
        }
    }
}

pub(crate) async fn run(arguments: DoctorArguments, terminal: &Terminal) -> Result<(), Failure> {
    let mut report = Report { terminal, bad: 0 };
    let loaded = config::load(&Place {
        config: arguments.config.clone(),
        channels: arguments.channels.clone(),
        data: arguments.data.clone(),
        ..Place::default()
    })?;
    if config::has_errors(&loaded.findings) {
        report.bad("configuration", "has errors: `medway check` shows them");
    } else {
        let said = match loaded.channels.len() {
            1 => "1 channel passes the check".to_owned(),
            count => format!("{count} channels pass the check"),
        };
        report.good("configuration", &said);
    }
    let data = &loaded.engine.data;
    disk(data, &mut report);
    store(&loaded.engine, &mut report).await;
    if report.bad == 0 {
        Ok(())
    } else {
        Err(Failure::negative(&format!("{} things need attention", report.bad)))
    }
}

/// Whether the data directory can be written, and how long the disk takes to sync.
fn disk(data: &Path, report: &mut Report<'_>) {
    if !data.exists() {
        report.note(
            "disk",
            &format!("{} is not there yet; the first start makes it", data.display()),
        );
        return;
    }
    match sync_times(data) {
        Ok(median) if median > SLOW_SYNC => report.bad(
            "disk",
            &format!(
                "a sync takes {:.1} ms: every answer to a sender waits for one",
                milliseconds(median)
            ),
        ),
        Ok(median) => report.good("disk", &format!("a sync takes {:.2} ms", milliseconds(median))),
        Err(error) => report.bad("disk", &format!("{}: {error}", data.display())),
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn sync_times(data: &Path) -> std::io::Result<Duration> {
    let path = data.join(format!("doctor-{}.tmp", std::process::id()));
    let mut file = std::fs::File::create(&path)?;
    let block = [0_u8; 4096];
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        let began = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    std::fs::remove_file(&path)?;
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

/// Whether the database is whole and every delivery is accounted for.
async fn store(engine: &EngineConfig, report: &mut Report<'_>) {
    let file = engine.data.join("medway.db");
    if !file.exists() {
        report.note("store", "there is none yet");
        return;
    }
    match integrity(&file) {
        Ok(faults) if faults.is_empty() => report.good("store", "the database is whole"),
        Ok(faults) => report.bad(
            "store",
            &format!("damaged: {}; restore a backup beside it and compare", faults.join("; ")),
        ),
        Err(error) => report.bad("store", &error.to_string()),
    }
    let opened = match open_store(store_options(engine)).await {
        Ok(opened) => opened,
        Err(error) => {
            report.note("conservation", &format!("not checked: {error}"));
            return;
        }
    };
    match opened.conservation().await {
        Ok(sums) => conservation(&sums, report),
        Err(error) => report.bad("conservation", &error.to_string()),
    }
    opened.close().await;
}

fn conservation(sums: &[Conservation], report: &mut Report<'_>) {
    for sum in sums {
        let states = format!(
            "destination {}: planned {} = delivered {} + pending {} + filtered {} + retry {} + held {} + behind {} + dead {} + cancelled {}",
            sum.destination,
            sum.planned,
            sum.delivered,
            sum.pending,
            sum.filtered,
            sum.retry,
            sum.held,
            sum.behind,
            sum.dead,
            sum.cancelled
        );
        let total = sum.delivered
            + sum.pending
            + sum.filtered
            + sum.retry
            + sum.held
            + sum.behind
            + sum.dead
            + sum.cancelled;
        if sum.unaccounted.is_empty() && total == sum.planned {
            report.good("conservation", &states);
        } else {
            report.bad(
                "conservation",
                &format!(
                    "{states}: {} deliveries are in no state or in two",
                    sum.unaccounted.len()
                ),
            );
        }
    }
}
