//! What the cases are held to (docs/performance.md says where it comes from), and the table at the end.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// Which side of a bound is right.
#[derive(Debug, Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

use Bound::{AtLeast, AtMost};

/// A figure of a row and its bound. No time is among them: machines differ, and one machine from hour to hour.
#[derive(Debug, Clone, Copy)]
struct Aim {
    row: &'static str,
    figure: &'static str,
    bound: Bound,
}

const fn ratio(row: &'static str, bound: Bound) -> Aim {
    Aim { row, figure: "ratio", bound }
}

const fn count(row: &'static str, figure: &'static str, bound: Bound) -> Aim {
    Aim { row, figure, bound }
}

const AIMS: &[Aim] = &[
    ratio("store_append_1", AtLeast(0.6)),
    ratio("store_append_10", AtLeast(0.6)),
    ratio("store_append_100", AtLeast(0.6)),
    ratio("store_cycle_1", AtLeast(0.6)),
    ratio("store_cycle_10", AtLeast(0.6)),
    ratio("store_cycle_100", AtLeast(0.6)),
    ratio("store_cycle_1000", AtLeast(0.6)),
    count("store_cycle_1", "bytes_ratio", AtMost(1.3)),
    count("store_cycle_10", "bytes_ratio", AtMost(1.3)),
    count("store_cycle_100", "bytes_ratio", AtMost(1.3)),
    count("store_cycle_1000", "bytes_ratio", AtMost(1.3)),
    count("fhir_post_1", "cost", AtMost(3.0)),
    count("fhir_post_10", "cost", AtMost(3.0)),
    count("fhir_post_50", "cost", AtMost(3.0)),
    ratio("parse_oru_1500", AtMost(3.0)),
    ratio("parse_adt_600", AtMost(3.0)),
    ratio("parse_oru_1_mib", AtMost(3.0)),
    ratio("transform", AtMost(3.0)),
    ratio("transform_read_before", AtMost(3.0)),
    ratio("mllp_echo_1", AtLeast(0.6)),
    ratio("mllp_echo_10", AtLeast(0.6)),
    ratio("mllp_echo_100", AtLeast(0.6)),
    ratio("mllp_durable_ack_1", AtLeast(0.6)),
    ratio("mllp_durable_ack_10", AtLeast(0.6)),
    ratio("mllp_durable_ack_100", AtLeast(0.6)),
    ratio("mllp_durable_ack_p50_to_fdatasync", AtMost(4.0)),
    ratio("e2e_strict3", AtLeast(0.5)),
    ratio("e2e_pipe3", AtLeast(0.5)),
    count("e2e_pipe3", "bytes_per_message", AtMost(4500.0)),
    count("e2e_pipe3", "messages_per_commit", AtLeast(40.0)),
    ratio("fanout_3", AtMost(0.35)),
    ratio("fanout_10", AtMost(0.35)),
    ratio("fanout_50", AtMost(0.35)),
    ratio("slow_destination", AtLeast(0.9)),
    ratio("backlog_others", AtLeast(0.9)),
    ratio("backlog_drain", AtLeast(0.85)),
    ratio("prune_under_load", AtMost(2.0)),
    count("crash_recovery", "lost", AtMost(0.0)),
];

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            AtLeast(least) => value >= least,
            AtMost(most) => value <= most,
        }
    }

    fn is_better(self, one: f64, than: f64) -> bool {
        match self {
            AtLeast(_) => one > than,
            AtMost(_) => one < than,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AtLeast(least) => write!(f, "at least {least}"),
            AtMost(most) => write!(f, "at most {most}"),
        }
    }
}

impl Aim {
    fn value(&self, rows: &Map<String, Value>) -> Option<f64> {
        rows.get(self.row)?.get(self.figure)?.as_f64()
    }
}

/// What was measured for each aim, one value for each time its case was run.
#[derive(Default)]
pub(crate) struct Tries(BTreeMap<usize, Vec<f64>>);

impl Tries {
    /// Takes the rows of a run of a case over into `all`: of a row that is there already the better one stays.
    /// Answers whether an aim was missed each time so far.
    pub(crate) fn take(&mut self, rows: Map<String, Value>, all: &mut Map<String, Value>) -> bool {
        let mut kept = Vec::new();
        let mut missed = false;
        for (place, aim) in AIMS.iter().enumerate() {
            let Some(value) = aim.value(&rows) else { continue };
            let tries = self.0.entry(place).or_default();
            let is_best = tries.iter().all(|before| aim.bound.is_better(value, *before));
            if aim.figure == "ratio" && !is_best {
                kept.push(aim.row);
            }
            tries.push(value);
            missed |= !tries.iter().any(|value| aim.bound.holds(*value));
        }
        all.extend(rows.into_iter().filter(|(name, _)| !kept.contains(&name.as_str())));
        missed
    }

    /// The table: each aim, what was measured, and whether it is met.
    pub(crate) fn table(&self) -> Vec<String> {
        let line = |(place, values): (&usize, &Vec<f64>)| {
            let Aim { row, figure, bound } = AIMS[*place];
            let name = if figure == "ratio" { row.to_owned() } else { format!("{row} {figure}") };
            let met = values.iter().any(|value| bound.holds(*value));
            let values: Vec<String> = values.iter().map(|value| format!("{value:.3}")).collect();
            let verdict = if met { "met" } else { "MISSED" };
            format!("  {name:<40}{:<16}{:<26}{verdict}", bound.to_string(), values.join(" "))
        };
        self.0.iter().map(line).collect()
    }
}
