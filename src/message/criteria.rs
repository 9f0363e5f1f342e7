//! Whether the values a resource is found by meet a criterion. The one meaning of a search: the store
//! narrows down by its index and asks here, and so do subscriptions (FHIR R4 search.html).

use crate::message::resource::{Criterion, IndexValue, Indexed, Prefix, Test};
use crate::message::time::Timestamp;

/// Answers a chain: whether the resource `kind/id` meets the criterion.
pub type Chains<'a> = dyn Fn(&str, &str, &Criterion) -> bool + 'a;

/// Nobody looks behind references: chains do not hold.
#[must_use]
pub fn no_chains(_: &str, _: &str, _: &Criterion) -> bool {
    false
}

/// Whether all criteria hold.
#[must_use]
pub fn all_hold(criteria: &[Criterion], values: &[IndexValue], chains: &Chains<'_>) -> bool {
    criteria.iter().all(|criterion| holds(criterion, values, chains))
}

/// Whether a criterion holds: any of its tests, or with `:not` none.
#[must_use]
pub fn holds(criterion: &Criterion, values: &[IndexValue], chains: &Chains<'_>) -> bool {
    let any = criterion.any.iter().any(|test| {
        let mut own =
            values.iter().filter(|value| value.param == criterion.param).map(|one| &one.value);
        match test {
            Test::Missing(missing) => own.next().is_none() == *missing,
            test => own.any(|value| meets(test, value, chains)),
        }
    });
    any != criterion.negate
}

fn meets(test: &Test, value: &Indexed, chains: &Chains<'_>) -> bool {
    match (test, value) {
        (Test::Token { system, code }, Indexed::Token { system: of, code: is }) => {
            fits(system.as_deref(), of) && fits(code.as_deref(), is)
        }
        (Test::Reference { kind, id }, Indexed::Reference { kind: of, id: is }) => {
            id == is && (kind.is_empty() || kind == of)
        }
        (
            Test::ReferenceIdentifier { system, value },
            Indexed::ReferenceIdentifier { system: of, value: is },
        ) => value == is && fits(system.as_deref(), of),
        (Test::Date { prefix, from, to }, Indexed::Date { from: first, to: last }) => {
            in_time(*prefix, (*from, *to), (*first, *last))
        }
        (Test::Starts(start), Indexed::Text { folded, .. }) => folded.starts_with(&**start),
        (Test::Contains(part), Indexed::Text { folded, .. }) => folded.contains(&**part),
        (Test::Contains(part), Indexed::Display(folded)) => folded.contains(&**part),
        (Test::Exact(text), Indexed::Text { exact, .. }) => text == exact,
        (
            Test::Quantity { prefix, low, high, system, code },
            Indexed::Quantity { value, system: of, code: is },
        ) => {
            in_range(*prefix, (*low, *high), *value)
                && fits(system.as_deref(), of)
                && fits(code.as_deref(), is)
        }
        (Test::Uri(uri), Indexed::Uri(is)) => uri == is,
        (Test::Tuple(tests), Indexed::Tuple(values)) => {
            let mut pairs = tests.iter().zip(values);
            tests.len() == values.len() && pairs.all(|(test, value)| meets(test, value, chains))
        }
        (Test::Chain { kind, criterion }, Indexed::Reference { kind: of, id }) => {
            (kind == of || of.is_empty()) && chains(kind, id, criterion)
        }
        _ => false,
    }
}

/// `None` is any, an empty text is none.
fn fits(asked: Option<&str>, is: &str) -> bool {
    asked.is_none_or(|asked| asked == is)
}

/// FHIR R4 search.html#prefix: the resource's span against the criterion's.
fn in_time(
    prefix: Prefix,
    (from, to): (Timestamp, Timestamp),
    (first, last): (Timestamp, Timestamp),
) -> bool {
    let within = from <= first && last <= to;
    match prefix {
        Prefix::Eq => within,
        Prefix::Ne => !within,
        Prefix::Gt => last > to,
        Prefix::Lt => first < from,
        Prefix::Ge => last > to || within,
        Prefix::Le => first < from || within,
        Prefix::Sa => first > to,
        Prefix::Eb => last < from,
        Prefix::Ap => first <= to && last >= from,
    }
}

/// The lower end counts, the upper does not (`100` means [99.5, 100.5)), unless both are the same.
fn in_range(prefix: Prefix, (low, high): (f64, f64), value: f64) -> bool {
    let within = value >= low && (value < high || (low >= high && value <= high));
    match prefix {
        Prefix::Eq => within,
        Prefix::Ne => !within,
        Prefix::Gt | Prefix::Sa => value > high,
        Prefix::Lt | Prefix::Eb => value < low,
        Prefix::Ge => value >= low,
        Prefix::Le => value <= high,
        Prefix::Ap => (low..=high).contains(&value),
    }
}

/// What results are sorted by. Resources without one come last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SortKey {
    /// A moment or a number, in an order of its own.
    Number(i64),
    /// Text, a code, an id.
    Text(Box<str>),
}

/// The key of a resource for one parameter: its smallest value, or its greatest when descending.
#[must_use]
pub fn sort_key(values: &[IndexValue], param: &str, descending: bool) -> Option<SortKey> {
    let own = values.iter().filter(|value| &*value.param == param);
    let keys = own.filter_map(|value| match &value.value {
        Indexed::Token { code, .. } => Some(SortKey::Text(code.clone())),
        Indexed::Reference { id, .. } => Some(SortKey::Text(id.clone())),
        Indexed::ReferenceIdentifier { value, .. } => Some(SortKey::Text(value.clone())),
        Indexed::Date { from, to } => Some(SortKey::Number(if descending { to.0 } else { from.0 })),
        Indexed::Text { folded, .. } | Indexed::Display(folded) => {
            Some(SortKey::Text(folded.clone()))
        }
        Indexed::Quantity { value, .. } => Some(SortKey::Number(ordered(*value))),
        Indexed::Uri(uri) => Some(SortKey::Text(uri.clone())),
        Indexed::Tuple(_) => None,
    });
    if descending { keys.max() } else { keys.min() }
}

/// A number that is ordered as the value is.
#[must_use]
pub fn ordered(value: f64) -> i64 {
    // Zero has two signs and one place.
    let bits = (value + 0.0).to_bits().cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_meet_prefixes_as_the_specification_says() {
        let check = |prefix, value: (i64, i64), holds: bool| {
            let value = (Timestamp(value.0), Timestamp(value.1));
            let criterion = (Timestamp(10), Timestamp(20));
            assert_eq!(in_time(prefix, criterion, value), holds, "{prefix:?} {value:?}");
        };
        check(Prefix::Eq, (10, 20), true);
        check(Prefix::Eq, (12, 13), true);
        check(Prefix::Eq, (9, 13), false);
        check(Prefix::Ne, (9, 13), true);
        check(Prefix::Ne, (12, 13), false);
        check(Prefix::Gt, (15, 21), true);
        check(Prefix::Gt, (15, 20), false);
        check(Prefix::Lt, (9, 15), true);
        check(Prefix::Lt, (10, 15), false);
        check(Prefix::Ge, (10, 20), true);
        check(Prefix::Ge, (5, 9), false);
        check(Prefix::Ge, (5, 25), true);
        check(Prefix::Le, (10, 20), true);
        check(Prefix::Le, (21, 22), false);
        check(Prefix::Sa, (21, 22), true);
        check(Prefix::Sa, (20, 22), false);
        check(Prefix::Eb, (8, 9), true);
        check(Prefix::Eb, (8, 10), false);
        check(Prefix::Ap, (20, 30), true);
        check(Prefix::Ap, (21, 30), false);
    }

    #[test]
    fn numbers_keep_their_order() {
        let values = [f64::MIN, -3.5, -0.001, 0.0, 1e-9, 2.0, 1e300];
        assert!(values.map(ordered).is_sorted());
        assert_eq!(ordered(-0.0), ordered(0.0));
    }

    #[test]
    fn what_was_written_says_how_precise_a_number_is() {
        assert!(in_range(Prefix::Eq, (99.5, 100.5), 99.5));
        assert!(!in_range(Prefix::Eq, (99.5, 100.5), 100.5));
        assert!(in_range(Prefix::Eq, (7.0, 7.0), 7.0));
        assert!(in_range(Prefix::Gt, (7.0, 7.0), 7.1));
        assert!(!in_range(Prefix::Gt, (7.0, 7.0), 7.0));
    }
}
