//! What the cases are held to (docs/performance.md says where it comes from), and the table at the end.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

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
    /// Whether it has to hold each time its case is run: a count owes nothing to whoever shares the machine.
    each_time: bool,
}

const fn ratio(row: &'static str, bound: Bound) -> Aim {
    Aim { row, figure: "ratio", bound, each_time: false }
}

/// What a create costs as a multiple of a message.
const fn cost(row: &'static str, bound: Bound) -> Aim {
    Aim { row, figure: "cost", bound, each_time: false }
}

const fn count(row: &'static str, figure: &'static str, bound: Bound) -> Aim {
    Aim { row, figure, bound, each_time: true }
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
    cost("fhir_post_1", AtMost(3.0)),
    cost("fhir_post_10", AtMost(3.0)),
    cost("fhir_post_50", AtMost(3.0)),
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
    fn holds(&self, values: &[f64]) -> bool {
        let holds = |value: &f64| self.bound.holds(*value);
        if self.each_time { values.iter().all(holds) } else { values.iter().any(holds) }
    }

    fn name(&self) -> String {
        match self.figure {
            "ratio" => self.row.to_owned(),
            figure => format!("{} {figure}", self.row),
        }
    }
}

/// What was measured for each aim, one value for each time its case was run.
#[derive(Default)]
pub(crate) struct Tries {
    values: BTreeMap<usize, Vec<f64>>,
    failed: Vec<String>,
}

impl Tries {
    /// Takes what a run of a case measured; a figure that is no number is taken as one that meets no bound.
    /// Answers how many aims this run missed, and whether another run could mend one.
    pub(crate) fn take(&mut self, rows: &Map<String, Value>) -> (usize, bool) {
        let (mut missed, mut may_mend) = (0, false);
        for (place, aim) in AIMS.iter().enumerate() {
            let Some(row) = rows.get(aim.row) else { continue };
            let value = row.get(aim.figure).and_then(Value::as_f64).unwrap_or(f64::NAN);
            missed += usize::from(!aim.bound.holds(value));
            let values = self.values.entry(place).or_default();
            values.push(value);
            may_mend |= !aim.each_time && !aim.holds(values);
        }
        (missed, may_mend)
    }

    /// Notes a case that did not come to its end.
    pub(crate) fn fail(&mut self, case: &str) {
        self.failed.push(case.to_owned());
    }

    /// Whether a case did not come to its end, or a count did not hold.
    pub(crate) fn is_wrong(&self) -> bool {
        let wrong = |(place, values): (&usize, &Vec<f64>)| {
            AIMS[*place].each_time && !AIMS[*place].holds(values)
        };
        !self.failed.is_empty() || self.values.iter().any(wrong)
    }

    /// The table: each aim, what was measured each time, and whether it is met. `all`: whether every case was to
    /// run, so that what has no figure was forgotten.
    pub(crate) fn table(&self, all: bool) -> Vec<String> {
        let line = |(place, aim): (usize, &Aim)| {
            let values = self.values.get(&place);
            if values.is_none() && !all {
                return None;
            }
            let verdict = match values {
                None => "NOT MEASURED",
                Some(values) if aim.holds(values) => "met",
                Some(_) => "MISSED",
            };
            let shown = values.into_iter().flatten().map(|value| format!("{value:.3}"));
            let shown = shown.collect::<Vec<_>>().join(" ");
            let (name, bound) = (aim.name(), aim.bound.to_string());
            Some(format!("  {name:<40}{bound:<16}{shown:<26}{verdict}"))
        };
        let failed = self.failed.iter().map(|case| format!("  {case:<82}FAILED"));
        AIMS.iter().enumerate().filter_map(line).chain(failed).collect()
    }

    /// Every value of every aim, for the file.
    pub(crate) fn values(&self) -> Value {
        let each = self.values.iter().map(|(place, values)| (AIMS[*place].name(), json!(values)));
        Value::Object(each.collect())
    }
}
