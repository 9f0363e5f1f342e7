//! Text as searches compare it: lower case, without accents (FHIR R4 search.html#string).

use icu_normalizer::DecomposingNormalizerBorrowed;

/// Folds case and accents: `Müller` and `MULLER` become `muller`.
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize(text);
    let letters = decomposed.chars().filter(|c| !is_mark(*c)).flat_map(char::to_lowercase);
    // A sigma has two small forms, by its place in the word.
    letters.map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}

/// Marks that combine with the letter before them.
const fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn case_and_accents_do_not_count() {
        let check = |text: &str, folded: &str| assert_eq!(fold(text), folded, "{text}");
        check("Muller", "muller");
        check("MÜLLER", "muller");
        check("Mu\u{308}ller", "muller");
        check("Łukasz Žižek", "łukasz zizek");
        check("王芳", "王芳");
        check("Σίσυφος", "σισυφοσ");
        check("ΣΊΣΥΦΟΣ", "σισυφοσ");
        check("ﬁne", "fine");
    }
}
