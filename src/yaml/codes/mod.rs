//! What each code of a finding means, with a wrong and a right example: `medway explain E0101`.
//!
//! Codes are stable: a number that was given is never used for something else.

mod channel;
mod config;
mod shape;
mod syntax;

/// What `medway explain` tells of a code.
#[derive(Debug)]
pub struct Explanation {
    /// The code.
    pub code: &'static str,
    /// One line.
    pub title: &'static str,
    /// Why it is refused and what to do.
    pub text: &'static str,
    /// How it looks when it is wrong.
    pub wrong: &'static str,
    /// How it looks when it is right.
    pub right: &'static str,
}

/// All codes, by number.
pub fn all() -> impl Iterator<Item = &'static Explanation> {
    [syntax::CODES, shape::CODES, channel::CODES, config::CODES].into_iter().flatten()
}

/// The explanation of a code, in any spelling (`e101`, `E0101`).
#[must_use]
pub fn explain(code: &str) -> Option<&'static Explanation> {
    let number: u32 = code.trim().trim_start_matches(['E', 'e']).parse().ok()?;
    all().find(|known| known.code.get(1..).and_then(|n| n.parse().ok()) == Some(number))
}

/// `docs/errors.md`: every code with its explanation and examples.
#[must_use]
pub fn page() -> String {
    let mut page = "# Codes of findings\n\nMade from the sources by `make generate`; do not edit. \
        `medway explain E0101` prints one of them. A code never changes its meaning.\n"
        .to_owned();
    for known in all() {
        let Explanation { code, title, text, wrong, right } = known;
        page.push_str(&format!(
            "\n## {code}: {title}\n\n{text}\n\nWrong:\n\n```yaml\n{}\n```\n\nRight:\n\n```yaml\n{}\n```\n",
            wrong.trim_end(),
            right.trim_end()
        ));
    }
    page
}

impl Explanation {
    /// The whole explanation as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let indented =
            |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
        format!(
            "{}: {}\n\n{}\n\nWrong:\n{}\nRight:\n{}",
            self.code,
            self.title,
            self.text,
            indented(self.wrong),
            indented(self.right)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::yaml::node::Source;
    use crate::yaml::parse::parse;

    /// The codes written in the sources, in quotes, outside of tests and of this catalogue.
    fn used(folder: &Path, into: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("yaml/codes") {
                    used(&path, into);
                }
                continue;
            }
            if path.extension().is_none_or(|ending| ending != "rs") || path.ends_with("tests.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for part in code.split('"') {
                let digits = part.strip_prefix('E').unwrap_or_default();
                if digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    into.insert(part.to_owned());
                }
            }
        }
    }

    #[test]
    fn every_code_in_use_is_explained_and_every_explained_code_is_in_use() {
        let mut in_use = BTreeSet::new();
        used(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut in_use);
        let explained: BTreeSet<_> = all().map(|known| known.code.to_owned()).collect();
        assert_eq!(in_use, explained);
        assert_eq!(explained.len(), all().count(), "a code stands twice");
        assert!(all().map(|known| known.code).is_sorted(), "codes rise");
    }

    #[test]
    fn every_explanation_says_something() {
        for known in all() {
            for text in [known.title, known.text, known.wrong, known.right] {
                assert!(!text.trim().is_empty(), "{}", known.code);
            }
            assert_ne!(known.wrong, known.right, "{}", known.code);
            assert!(known.to_text().contains(known.right.lines().next().unwrap()));
        }
    }

    #[test]
    fn the_right_examples_are_yaml_and_the_wrong_ones_of_yaml_are_refused() {
        let read =
            |text: &str| parse(Arc::new(Source { name: "x".into(), text: text.to_owned() })).1;
        for known in all().filter(|known| !known.code.starts_with("E034")) {
            let findings = read(known.right);
            assert!(findings.is_empty(), "{}: {findings:?}", known.code);
        }
        for known in syntax::CODES.iter().filter(|known| known.code != "E0007") {
            assert_eq!(read(known.wrong).first().map(|f| f.code), Some(known.code));
        }
    }

    #[test]
    fn codes_are_found_in_any_spelling() {
        assert_eq!(explain("e101").map(|known| known.code), Some("E0101"));
        assert_eq!(explain("E0101").map(|known| known.code), Some("E0101"));
        assert!(explain("nonsense").is_none() && explain("E9999").is_none());
    }
}
