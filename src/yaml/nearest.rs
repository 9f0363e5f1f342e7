//! The known word a mistyped one was probably meant to be.

/// The candidate nearest to `word`; `None` when none is near enough to be offered.
#[must_use]
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (distance(&lower, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= allowed(&lower, candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// One edit is always a typo; a longer word may have more.
fn allowed(word: &str, candidate: &str) -> usize {
    (word.chars().count().max(candidate.chars().count()) / 3).max(1)
}

fn distance(word: &str, candidate: &str) -> usize {
    let candidate = candidate.to_lowercase();
    let same_but_separators = word
        .chars()
        .filter(|c| c.is_alphanumeric())
        .eq(candidate.chars().filter(|c| c.is_alphanumeric()));
    if same_but_separators { 0 } else { strsim::damerau_levenshtein(word, &candidate) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["accept", "search_keys", "to", "tests", "order_by"];
        for (word, meant) in [
            ("acept", Some("accept")),
            ("accpet", Some("accept")),
            ("searchKeys", Some("search_keys")),
            ("search-keys", Some("search_keys")),
            ("ot", Some("to")),
            ("test", Some("tests")),
            ("Order_By", Some("order_by")),
            ("billing", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }
}
