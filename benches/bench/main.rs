//! Benchmarks: each case beside a probe of the same run, so that what is judged is a ratio.
//!
//! `cargo bench --bench bench -- NAME…` runs the cases whose name contains one of the words; all without.
//! Absolute figures depend on the machine and its neighbours. Probe and case run in turn, at least five
//! pairs; the report is the median of the pairs' ratios, and counts (bytes, commits), which do not vary.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark stops at the first thing that fails"
)]

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

use report::Report;

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

fn main() {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut report = Report::begin();
    for (name, case) in CASES {
        if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
            report.title(name);
            case(&mut report);
        }
    }
    report.save();
}
