//! Named places where a test may let the process die as if its power had gone.
//!
//! A test aid: with `MEDWAY_CRASH_AT=name:count` in the environment when the process starts, the
//! `count`th passage of the place `name` aborts the process. Without it a passage costs one load.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable.
pub const VARIABLE: &str = "MEDWAY_CRASH_AT";

struct Plan {
    name: String,
    left: AtomicU64,
}

static PLAN: LazyLock<Option<Plan>> = LazyLock::new(|| parse(&std::env::var(VARIABLE).ok()?));

fn parse(text: &str) -> Option<Plan> {
    let (name, count) = text.rsplit_once(':').unwrap_or((text, "1"));
    let left = AtomicU64::new(count.parse().ok()?);
    Some(Plan { name: name.to_owned(), left })
}

/// Passes the place `name`; aborts the process when the environment asked for it.
pub fn point(name: &str) {
    if let Some(plan) = &*PLAN
        && plan.name == name
        && plan.left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_name_and_a_count() {
        let plan = parse("store_before_commit:3").unwrap();
        assert_eq!((plan.name.as_str(), plan.left.into_inner()), ("store_before_commit", 3));
        assert_eq!(parse("x").unwrap().left.into_inner(), 1);
        assert!(parse("x:y").is_none());
    }
}
