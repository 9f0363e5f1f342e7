//! Conditions of writes: which resources a search names, and what must still hold when the write commits
//! (FHIR R4 http.html#cond-update, #ccreate).

use crate::fhir::search::Reading;
use crate::message::resource::{
    Criterion, Guard, IndexValue, Indexed, ResourceKey, ResourceQuery, ResourceVersion, Test,
};
use crate::resources::fault::{Fault, bad, precondition, unavailable};
use crate::resources::lens;
use crate::store::StoreError;
use crate::store::resources::ResourceStore;

/// What a condition found, and the guard under which that stays true.
#[derive(Debug)]
pub struct Found {
    /// The one resource; `None` when nothing matches.
    pub one: Option<ResourceVersion>,
    /// For a write that relies on there being none.
    pub guard: Guard,
}

/// Looks a condition up among all but the resources that are `going`. More than one match is 412.
///
/// # Errors
/// When it finds more than one, or the store cannot be read.
pub async fn look_up(
    store: &dyn ResourceStore,
    kind: &str,
    criteria: Vec<Criterion>,
    going: &[ResourceKey],
) -> Result<Found, Fault> {
    let gone = going.iter().filter(|key| *key.kind == *kind).count();
    let guard = match exact(&criteria) {
        // The guard is asked before the deletes are done, and would find what is going.
        Some(value) if gone == 0 => Guard::NoMatch { kind: kind.into(), value },
        _ => {
            // Read before the search: whatever is written after this moment makes the guard fail.
            let seen = store.resource_clock(kind).await.map_err(of_store)?;
            Guard::Unchanged { kind: kind.into(), seen }
        }
    };
    let limit = u32::try_from(gone.saturating_add(2)).unwrap_or(u32::MAX);
    let query = ResourceQuery { kind: kind.into(), criteria, limit, ..ResourceQuery::default() };
    let mut matches = store.resource_search(&query).await.map_err(of_store)?.matches;
    matches.retain(|found| !going.contains(&found.key));
    if matches.len() > 1 {
        let text = "the condition matches more than one resource";
        return Err(precondition("multiple-matches", "multiple-matches", text));
    }
    Ok(Found { one: matches.pop(), guard })
}

/// The criteria of a condition. What is not understood cannot be left out here: the condition would
/// match too much.
///
/// # Errors
/// When it says nothing, or something that is not understood.
pub fn criteria_of(kind: &str, query: &str, reading: &Reading) -> Result<Vec<Criterion>, Fault> {
    let read = lens::conditional(kind, query, reading)?;
    if read.is_empty() {
        return Err(bad("condition", "the condition names no search parameter"));
    }
    Ok(read)
}

/// A condition that is one exact value can be guarded by that value alone; anything else by the whole
/// type standing still.
fn exact(criteria: &[Criterion]) -> Option<IndexValue> {
    let [criterion] = criteria else { return None };
    let [Test::Token { system: Some(system), code: Some(code) }] = criterion.any.as_slice() else {
        return None;
    };
    let whole = !criterion.negate && !code.is_empty();
    let value = Indexed::Token { system: system.clone(), code: code.clone() };
    whole.then(|| IndexValue { param: criterion.param.clone(), value })
}

/// A store that cannot be read now.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
pub fn of_store(error: StoreError) -> Fault {
    if let StoreError::TooBroad { .. } = error {
        return Fault::new(400, "too-costly", "search", error.to_string());
    }
    // A place that a link to a page names, of another search or pruned since.
    if let StoreError::Missing = error {
        return bad("page", "this link to a page is not valid any more; search again");
    }
    tracing::warn!(%error, "resources cannot be read");
    unavailable("the store cannot be read now; send it again later")
}
