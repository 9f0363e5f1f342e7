//! What the benchmarks say: a line a case, and `target/bench.json`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::aims::Tries;

/// Pairs of probe and case.
pub(crate) const PAIRS: usize = 5;

/// The rows of one case.
#[derive(Default)]
pub(crate) struct Report {
    rows: Map<String, Value>,
}

/// All rows, those of earlier runs of other cases too.
pub(crate) struct Total {
    rows: Map<String, Value>,
    tries: Tries,
}

/// Where a case is to leave its rows for the process that gathers them.
const ROWS: &str = "MEDWAY_BENCH_ROWS";

fn target() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target")
}

fn read(path: &Path) -> Option<Map<String, Value>> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// A line for people.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
}

impl Total {
    /// Reads the report of earlier runs and says what machine this is.
    pub(crate) fn begin() -> Self {
        let mut rows = read(&target().join("bench.json")).unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let version = fs::read_to_string("/proc/version").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        say(&format!("{cores} cores, load {}, {}", load.trim(), version.trim()));
        rows.insert("machine".into(), json!({ "cores": cores, "load": load.trim() }));
        Self { rows, tries: Tries::default() }
    }

    /// Runs a case, in a process that `command` begins, until no aim of it is left that another try could
    /// meet. The rows of the try that missed the fewest are kept.
    pub(crate) fn run(&mut self, name: &str, tries_max: usize, command: impl Fn() -> Command) {
        let path = target().join(format!("bench-case-{}.json", std::process::id()));
        let mut best: Option<(usize, Map<String, Value>)> = None;
        for _ in 0..tries_max {
            say(&format!("\n{name}"));
            let ended = command().env(ROWS, &path).status().unwrap();
            let Some(rows) = read(&path).filter(|_| ended.success()) else {
                say(&format!("  {name} did not come to its end: {ended}"));
                self.tries.fail(name);
                break;
            };
            fs::remove_file(&path).unwrap();
            let (missed, may_mend) = self.tries.take(&rows);
            if best.as_ref().is_none_or(|(before, _)| missed < *before) {
                best = Some((missed, rows));
            }
            if !may_mend {
                break;
            }
        }
        self.rows.extend(best.into_iter().flat_map(|(_, rows)| rows));
    }

    /// Says how each aim was met, and writes the file. `all`: whether every case was to run. Answers whether
    /// nothing went wrong: a ratio that is missed is no fault of the run.
    pub(crate) fn save(mut self, all: bool) -> bool {
        say("\naims, with every try: of a ratio the best counts, a count has to hold each time");
        self.tries.table(all).iter().for_each(|line| say(line));
        self.rows.insert("aims".into(), self.tries.values());
        let text = serde_json::to_vec_pretty(&self.rows).unwrap();
        fs::write(target().join("bench.json"), text).unwrap();
        !self.tries.is_wrong()
    }
}

impl Report {
    /// One row: a name, figures and, when there was a probe, the ratio to it.
    pub(crate) fn row(&mut self, name: &str, ratio: Option<f64>, figures: &[(&str, f64)]) {
        let mut values = BTreeMap::new();
        let mut line = format!("  {name:<28}");
        if let Some(ratio) = ratio {
            line.push_str(&format!("ratio {ratio:>6.3}"));
            values.insert("ratio", json!(ratio));
        }
        for (what, value) in figures {
            line.push_str(&format!("  {what} {value:.1}"));
            values.insert(*what, json!(value));
        }
        say(&line);
        self.rows.insert(name.into(), json!(values));
    }

    /// Leaves the rows for the process that gathers them, if there is one.
    pub(crate) fn hand_over(self) {
        if let Ok(path) = std::env::var(ROWS) {
            fs::write(path, serde_json::to_vec(&self.rows).unwrap()).unwrap();
        }
    }
}

/// The median.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs probe and case in turn; medians of the rates, and of the ratio case to probe.
pub(crate) fn pairs(
    mut probe: impl FnMut() -> f64,
    mut case: impl FnMut() -> f64,
) -> (f64, f64, f64) {
    let mut rates = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let (a, b) = (probe(), case());
        rates.0.push(a);
        rates.1.push(b);
        rates.2.push(b / a);
    }
    (median(rates.0), median(rates.1), median(rates.2))
}

/// Times a piece of work.
pub(crate) fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

/// A count as a figure.
pub(crate) fn figure(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

/// A count as a message number.
pub(crate) fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap()
}

/// Bytes this process has had written to disks so far.
pub(crate) fn bytes_written() -> f64 {
    let text = fs::read_to_string("/proc/self/io").unwrap();
    let line = text.lines().find(|line| line.starts_with("write_bytes:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// CPU time of this process so far, in microseconds (to 10 ms).
pub(crate) fn cpu_us() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = text.rsplit_once(')').unwrap().1;
    let ticks = |place: usize| -> f64 {
        after_name.split_whitespace().nth(place).unwrap().parse().unwrap()
    };
    (ticks(11) + ticks(12)) * 10_000.0
}

/// CPU time, in microseconds, of the threads that are there now and whose name does not begin with one of
/// `others`.
pub(crate) fn cpu_us_of_all_but(others: &[&str]) -> f64 {
    let mut nanoseconds = 0.0;
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let Ok(name) = fs::read_to_string(task.path().join("comm")) else { continue };
        let Ok(times) = fs::read_to_string(task.path().join("schedstat")) else { continue };
        if !others.iter().any(|other| name.starts_with(other)) {
            nanoseconds += times.split(' ').next().unwrap().parse::<f64>().unwrap();
        }
    }
    nanoseconds / 1000.0
}

/// Memory of this process that is resident now, in MiB.
pub(crate) fn resident_mib() -> f64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
