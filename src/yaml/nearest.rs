//! The known word a mistyped one was probably meant to be.

/// The candidate nearest to `word`; `None` when none is near enough to be offered, or when two are
/// equally near: a guess between them would be as often wrong as right.
#[must_use]
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let lower = word.to_lowercase();
    let mut best: Option<((usize, bool), &str)> = None;
    let mut tied = false;
    for candidate in candidates {
        let distance = distance(&lower, candidate);
        if distance > allowed(&lower, candidate) {
            continue;
        }
        // Letters in another order are a likelier slip than other letters.
        let rank = (distance, letters(&lower) != letters(&candidate.to_lowercase()));
        match best {
            Some((known, _)) if rank > known => {}
            Some((known, name)) if rank == known => tied |= name != candidate,
            _ => {
                best = Some((rank, candidate));
                tied = false;
            }
        }
    }
    best.filter(|_| !tied).map(|(_, candidate)| candidate)
}

fn letters(word: &str) -> Vec<char> {
    let mut letters: Vec<char> = word.chars().collect();
    letters.sort_unstable();
    letters
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

    #[test]
    fn does_not_guess_between_equals() {
        let codes = ["AA", "AE", "AR"];
        assert_eq!(nearest("A", codes), None);
        assert_eq!(nearest("EA", codes), Some("AE"));
        assert_eq!(nearest("AEE", codes), Some("AE"));
    }
}
