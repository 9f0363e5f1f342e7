//! Benchmarks: each case beside a probe of the same run, so that what is judged is a ratio.
//!
//! `cargo bench --bench bench -- NAME…` runs the cases whose name contains one of the words; all without.
//! Absolute figures depend on the machine and its neighbours. Probe and case run in turn, at least five
//! pairs; the report is the median of the pairs' ratios, and counts (bytes, commits), which do not vary.
//!
//! Each case runs in a process of its own, so that none is measured with the memory, threads and statistics that
//! another left. A case that misses a ratio is run twice more, and the best counts: whoever shares the machine
//! changes its speed from one minute to the next. A count has to hold each time. The table at the end shows every
//! try of every aim; a case that does not come to its end, and a count that does not hold, fail the run.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark stops at the first thing that fails"
)]

mod aims;
mod ends;
mod fhir;
mod keep;
mod load;
mod mllp;
mod nowhere;
mod probe;
mod prototype;
mod pure;
mod report;
mod resources;
mod sample;
mod store;
mod trial;
mod trouble;

use std::process::{Command, ExitCode};

use report::{Report, Total};

// The allocator of the program itself.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Case = fn(&mut Report);

/// Every case: its name, and what it does.
const CASES: &[(&str, Case)] = &[
    ("limit_probe", probe::limits),
    ("store_append", store::append),
    ("store_cycle", store::cycle),
    ("fhir_store_write", resources::write),
    ("fhir_post", fhir::post),
    ("subscriptions", fhir::subscriptions),
    ("store_open", store::open),
    ("store_search", store::search),
    ("parse", pure::parse),
    ("transform", pure::transform),
    ("mllp_echo", mllp::echo),
    ("mllp_durable_ack", mllp::durable_ack),
    ("e2e_strict3", ends::strict3),
    ("e2e_pipe3", ends::pipe3),
    ("e2e_open_loop", ends::open_loop),
    ("fanout_n", ends::fanout),
    ("slow_destination", trouble::slow_destination),
    ("backlog_drain", trouble::backlog_drain),
    ("prune_under_load", keep::prune_under_load),
    ("crash_recovery", keep::crash_recovery),
];

/// Names the case that a process is to run.
const ONE: &str = "MEDWAY_BENCH_CASE";
/// How often a case is run that misses an aim.
const TRIES_MAX: usize = 3;

fn main() -> ExitCode {
    if let Ok(one) = std::env::var(ONE) {
        let (_, case) = CASES.iter().find(|(name, _)| *name == one).unwrap();
        let mut report = Report::default();
        case(&mut report);
        report.hand_over();
        return ExitCode::SUCCESS;
    }
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut total = Total::begin();
    for (name, _) in CASES {
        if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
            total.run(name, TRIES_MAX, || {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.env(ONE, name);
                command
            });
        }
    }
    if total.save(words.is_empty()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
