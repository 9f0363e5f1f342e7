//! Text of an expression into tokens, each with its place.
//!
//! Nothing here needs quoting in YAML: words carry `-`, `.`, `^`, `[n]`, and a path keeps its
//! identifier type (`PID-3(MR).1`) as part of the word.

use std::ops::Range;

use crate::channel::fhir_path::{closing, opens_call};

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word: a path, a name, a number, a code.
    Word(String),
    /// Text in quotes, quotes removed.
    Quoted(String),
    /// `<PID-5.1>`: the inside.
    Insert(String),
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// `,`.
    Comma,
    /// `<`, `<=`, `>`, `>=`.
    Compare(Comparison),
    /// `=`, `==`, `!=`, `&&`, `||`: not of this language, but understood well enough to help.
    Foreign(String),
}

/// How two values are compared by size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
}

/// A token and where it stands in the expression, in bytes.
pub(super) type Placed = (Token, Range<usize>);

/// What the lexer could not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unclosed {
    /// Where it opened.
    pub(super) at: Range<usize>,
    /// What is missing: a quote, `)` or `/`.
    pub(super) wants: &'static str,
}

/// Reads tokens one by one.
#[derive(Debug, Clone)]
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    /// A lexer at the start of `text`.
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// The offset after the last token read.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// The next token; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Placed>, Unclosed> {
        self.skip_blanks();
        let start = self.at;
        let Some(first) = self.rest().chars().next() else { return Ok(None) };
        let token = match first {
            '(' => self.take(1, Token::Open),
            ')' => self.take(1, Token::Close),
            ',' => self.take(1, Token::Comma),
            '\'' | '"' => self.quoted(first)?,
            '<' | '>' | '=' | '!' | '&' | '|' => self.sign(first),
            _ => self.word(),
        };
        Ok(Some((token, start..self.at)))
    }

    fn take(&mut self, size: usize, token: Token) -> Token {
        self.at += size;
        token
    }

    fn quoted(&mut self, quote: char) -> Result<Token, Unclosed> {
        let start = self.at;
        let inside = self.rest().get(1..).unwrap_or_default();
        let Some(end) = inside.find(quote) else {
            return Err(Unclosed { at: start..self.text.len(), wants: "a closing quote" });
        };
        let text = inside.get(..end).unwrap_or_default().to_owned();
        Ok(self.take(end + 2, Token::Quoted(text)))
    }

    fn sign(&mut self, first: char) -> Token {
        if first == '<'
            && let Some(inside) = insert_at(self.rest())
        {
            let size = inside.len() + 2;
            return self.take(size, Token::Insert(inside.to_owned()));
        }
        let two = self.rest().get(..2).unwrap_or_default();
        match (first, two) {
            (_, "<=") => self.take(2, Token::Compare(Comparison::LessOrEqual)),
            (_, ">=") => self.take(2, Token::Compare(Comparison::GreaterOrEqual)),
            (_, "==" | "!=" | "<>" | "&&" | "||") => self.take(2, Token::Foreign(two.to_owned())),
            ('<', _) => self.take(1, Token::Compare(Comparison::Less)),
            ('>', _) => self.take(1, Token::Compare(Comparison::Greater)),
            _ => self.take(1, Token::Foreign(first.to_string())),
        }
    }

    fn word(&mut self) -> Token {
        let start = self.at;
        loop {
            let rest = self.rest();
            let size = rest.find(ends_word).unwrap_or(rest.len());
            self.at += size;
            let so_far = self.text.get(start..self.at).unwrap_or_default();
            // `PID-3(MR)` is one word; `lookup(` is a word and a bracket.
            let bracketed = self.rest().strip_prefix('(').and_then(|inside| inside.find(')'));
            match bracketed {
                Some(end) if reads_like_field(so_far) => self.at += end + 2,
                Some(_) if opens_call(so_far) => match closing(self.text, self.at) {
                    Some(end) => self.at = end + 1,
                    None => return Token::Word(so_far.to_owned()),
                },
                _ => return Token::Word(so_far.to_owned()),
            }
        }
    }

    /// The pattern between slashes that stands here, with its flags.
    pub(super) fn pattern(&mut self) -> Result<Option<(String, String, Range<usize>)>, Unclosed> {
        self.skip_blanks();
        let start = self.at;
        let Some(inside) = self.rest().strip_prefix('/') else { return Ok(None) };
        let mut escaped = false;
        for (index, character) in inside.char_indices() {
            match character {
                '/' if !escaped => {
                    let pattern = inside.get(..index).unwrap_or_default().replace("\\/", "/");
                    let after = inside.get(index + 1..).unwrap_or_default();
                    let size = after.find(ends_word).unwrap_or(after.len());
                    let flags = after.get(..size).unwrap_or_default().to_owned();
                    self.at = start + 1 + index + 1 + size;
                    return Ok(Some((pattern, flags, start..self.at)));
                }
                '\\' => escaped = !escaped,
                _ => escaped = false,
            }
        }
        Err(Unclosed { at: start..self.text.len(), wants: "a closing /" })
    }
}

fn ends_word(character: char) -> bool {
    character.is_whitespace() || matches!(character, '(' | ')' | ',' | '<' | '>' | '=' | '"')
}

/// The inside of `<…>` when `text` opens with one: a name directly after `<` and no blank up to `>`.
fn insert_at(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('<')?;
    let end = inside.find('>')?;
    let inside = inside.get(..end)?;
    let opens = inside.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$');
    (opens && !inside.contains(char::is_whitespace)).then_some(inside)
}

/// Whether a word reads like an HL7 path: three capitals or digits, perhaps `[n]`, then `-` or `.` and
/// a digit.
pub(in crate::channel) fn reads_like_path(word: &str) -> bool {
    after_segment(word).is_some_and(|rest| {
        rest.strip_prefix(['-', '.'])
            .is_some_and(|field| field.starts_with(|c: char| c.is_ascii_digit()))
    })
}

/// Whether a word reads like a path up to its field number, so that `(MR)` may follow.
fn reads_like_field(word: &str) -> bool {
    after_segment(word)
        .and_then(|rest| rest.strip_prefix(['-', '.']))
        .is_some_and(|field| !field.is_empty() && field.chars().all(|c| c.is_ascii_digit()))
}

fn after_segment(word: &str) -> Option<&str> {
    let name = word.get(..3)?;
    let capitals = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    let rest = word.get(3..).filter(|_| capitals)?;
    match rest.strip_prefix('[') {
        Some(inside) => inside.get(inside.find(']')? + 1..),
        None => Some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Token> {
        let mut lexer = Lexer::new(text);
        let mut tokens = Vec::new();
        while let Some((token, _)) = lexer.next().unwrap() {
            tokens.push(token);
        }
        tokens
    }

    fn word(text: &str) -> Token {
        Token::Word(text.to_owned())
    }

    #[test]
    fn keeps_a_path_whole() {
        assert_eq!(words("PID-3(MR).1"), [word("PID-3(MR).1")]);
        assert_eq!(words("OBX[2]-5 PID.3[2].4.2"), [word("OBX[2]-5"), word("PID.3[2].4.2")]);
        assert_eq!(words("ADT^A01"), [word("ADT^A01")]);
    }

    #[test]
    fn keeps_a_fhir_path_whole() {
        let path = "identifier.where(system = 'urn:x' and use = 'a(').value";
        assert_eq!(words(&format!("{path} is 7")), [word(path), word("is"), word("7")]);
        assert_eq!(words("name.first().family"), [word("name.first().family")]);
    }

    #[test]
    fn a_function_is_a_word_and_a_bracket() {
        assert_eq!(words("trim(PID-8)"), [word("trim"), Token::Open, word("PID-8"), Token::Close]);
    }

    #[test]
    fn tells_an_insert_from_a_comparison() {
        assert_eq!(words("a <PID-5>"), [word("a"), Token::Insert("PID-5".to_owned())]);
        assert_eq!(
            words("PID-7 < 5"),
            [word("PID-7"), Token::Compare(Comparison::Less), word("5")]
        );
        assert_eq!(
            words("PID-7<=5"),
            [word("PID-7"), Token::Compare(Comparison::LessOrEqual), word("5")]
        );
    }

    #[test]
    fn says_where_a_quote_was_opened() {
        let mut lexer = Lexer::new("PID-5 is 'Li");
        assert!(lexer.next().is_ok());
        assert!(lexer.next().is_ok());
        assert_eq!(lexer.next().unwrap_err().at, 9..12);
    }

    #[test]
    fn reads_a_pattern_with_slashes_inside() {
        let mut lexer = Lexer::new(r"/a\/b/i and");
        let (pattern, flags, at) = lexer.pattern().unwrap().unwrap();
        assert_eq!((pattern.as_str(), flags.as_str(), at), ("a/b", "i", 0..7));
    }

    #[test]
    fn knows_what_reads_like_a_path() {
        for path in ["PID-3", "PID.3.1", "OBX[2]-5", "ZPV-1", "ICU-1"] {
            assert!(reads_like_path(path), "{path}");
        }
        for text in ["A01", "PID", "patient.mrn", "x-1", "2.5.1", "PID-x"] {
            assert!(!reads_like_path(text), "{text}");
        }
    }
}
