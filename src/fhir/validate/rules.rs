//! The invariants of the tables, compiled once and found by the path of what they are about.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::fhir::definitions::{self, Constraint};
use crate::fhir::path::Path;

/// An invariant, compiled.
pub(super) struct Rule {
    pub(super) key: &'static str,
    pub(super) is_error: bool,
    pub(super) human: &'static str,
    pub(super) path: Path,
}

/// Invariants that the walk checks itself: it sees them anyway, or they would cost too much as paths.
const WALKED: &[&str] = &["ele-1", "dom-3", "ref-1"];

/// The invariants of `Patient`, `Patient.contact`, `Organization.telecom`.
pub(super) fn of(path: &str) -> &'static [Rule] {
    static RULES: OnceLock<HashMap<&'static str, Vec<Rule>>> = OnceLock::new();
    RULES.get_or_init(compile).get(path).map_or(&[], Vec::as_slice)
}

fn compile() -> HashMap<&'static str, Vec<Rule>> {
    let mut rules: HashMap<&'static str, Vec<Rule>> = HashMap::new();
    for constraint in definitions::r4().constraints() {
        if let Some(rule) = rule(constraint) {
            rules.entry(constraint.path).or_default().push(rule);
        }
    }
    rules
}

/// None for what is checked elsewhere, and for what is written with functions the paths do not have.
fn rule(constraint: &Constraint) -> Option<Rule> {
    if WALKED.contains(&constraint.key) {
        return None;
    }
    Some(Rule {
        key: constraint.key,
        is_error: constraint.is_error,
        human: constraint.human,
        path: Path::parse(constraint.expression).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::{WALKED, rule};
    use crate::fhir::definitions;

    #[test]
    fn leaves_out_one_invariant_only() {
        let mut left_out: Vec<_> = definitions::r4()
            .constraints()
            .iter()
            .filter(|one| rule(one).is_none() && !WALKED.contains(&one.key))
            .map(|one| one.key)
            .collect();
        left_out.sort_unstable();
        left_out.dedup();
        assert_eq!(left_out, ["sdf-8a"]);
    }
}
