//! File name patterns: `*` any run of characters, `?` one.

/// Whether `name` matches `pattern` as a whole. Takes at most `name × pattern` steps.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut read) = (0, 0);
    // Where the last star stands, and how far it reached: on a mismatch it takes one more character.
    let mut star: Option<(usize, usize)> = None;
    while let Some(character) = name.get(read) {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == character => {
                at += 1;
                read += 1;
            }
            _ => match &mut star {
                Some((place, reached)) => {
                    *reached += 1;
                    at = *place + 1;
                    read = *reached;
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|left| *left == '*'))
}

/// Whether this can match a file's name at all.
pub(super) fn is_sensible(pattern: &str) -> bool {
    !pattern.is_empty() && !pattern.starts_with('.') && !pattern.contains(['/', '\\', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let check = |pattern: &str, name: &str, expected| {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        };
        check("*.hl7", "a.hl7", true);
        check("*.hl7", "a.hl7.tmp", false);
        check("*.hl7", ".hl7", true);
        check("adt-??.hl7", "adt-01.hl7", true);
        check("adt-??.hl7", "adt-1.hl7", false);
        check("*a*b*", "xxaxxbxx", true);
        check("*a*b*", "xxbxxaxx", false);
        check("*", "", true);
        check("a", "", false);
        check("检验*.hl7", "检验-1.hl7", true);
        check("?.hl7", "检.hl7", true);
    }
}
