//! The words of FHIRPath.

use super::{PathError, PathFault};

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A name or keyword.
    Name(Box<str>),
    /// A name in backticks: never a keyword.
    Quoted(Box<str>),
    /// `'text'`, unescaped.
    Text(Box<str>),
    /// `1`, `1.5`.
    Number(Box<str>),
    /// `@2020-01-01T10:00`, without the `@`.
    Moment(Box<str>),
    /// `%resource`, without the `%`.
    Variable(Box<str>),
    /// `$this`, without the `$`.
    Special(Box<str>),
    /// An operator or bracket.
    Sign(&'static str),
}

/// A word and where it starts, in bytes.
pub(super) type Placed = (usize, Token);

const SIGNS: &[&str] = &[
    "!=", "!~", "<=", ">=", "(", ")", "[", "]", "{", "}", ".", ",", "=", "~", "<", ">", "|", "&",
    "+", "-", "*", "/",
];

pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, PathError> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(first) = rest.chars().next() else { break };
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        if let Some(length) = comment(rest) {
            at += length.ok_or_else(|| error(text, at, PathFault::Open))?;
            continue;
        }
        let (token, length) = token(rest, first).map_err(|fault| error(text, at, fault))?;
        found.push((at, token));
        at += length;
    }
    Ok(found)
}

/// The error with its place in characters.
pub(super) fn error(text: &str, at: usize, fault: PathFault) -> PathError {
    PathError { at: text.get(..at).unwrap_or(text).chars().count() + 1, fault }
}

/// The length of a comment; the inner `None` when it has no end.
fn comment(rest: &str) -> Option<Option<usize>> {
    if rest.starts_with("//") {
        return Some(Some(rest.find('\n').unwrap_or(rest.len())));
    }
    rest.starts_with("/*").then(|| rest.find("*/").map(|at| at + 2))
}

fn token(rest: &str, first: char) -> Result<(Token, usize), PathFault> {
    let after = rest.get(1..).unwrap_or_default();
    match first {
        '\'' => quoted(after, '\'').map(|(text, length)| (Token::Text(text), length + 1)),
        '`' => quoted(after, '`').map(|(text, length)| (Token::Quoted(text), length + 1)),
        '%' if after.starts_with(['\'', '`']) => {
            let mark = if after.starts_with('`') { '`' } else { '\'' };
            let (text, length) = quoted(after.get(1..).unwrap_or_default(), mark)?;
            Ok((Token::Variable(text), length + 2))
        }
        '%' | '$' => {
            let name = word(after);
            if name.is_empty() {
                return Err(PathFault::Character(first));
            }
            let token = if first == '%' {
                Token::Variable(name.into())
            } else {
                Token::Special(name.into())
            };
            Ok((token, name.len() + 1))
        }
        '@' => {
            let moment = prefix(after, |c| c.is_ascii_digit() || "-:.TZ+".contains(c));
            let moment = moment.trim_end_matches('.');
            Ok((Token::Moment(moment.into()), moment.len() + 1))
        }
        '0'..='9' => {
            let whole = prefix(rest, |c| c.is_ascii_digit());
            let fraction = rest
                .get(whole.len()..)
                .and_then(|more| more.strip_prefix('.'))
                .map_or("", |more| prefix(more, |c| c.is_ascii_digit()));
            let length =
                if fraction.is_empty() { whole.len() } else { whole.len() + 1 + fraction.len() };
            Ok((Token::Number(rest.get(..length).unwrap_or_default().into()), length))
        }
        _ => {
            let name = word(rest);
            if !name.is_empty() {
                return Ok((Token::Name(name.into()), name.len()));
            }
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or(PathFault::Character(first))?;
            Ok((Token::Sign(sign), sign.len()))
        }
    }
}

fn prefix(text: &str, mut fits: impl FnMut(char) -> bool) -> &str {
    let end = text.find(|c| !fits(c)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

fn word(text: &str) -> &str {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return "";
    }
    prefix(text, |c| c.is_ascii_alphanumeric() || c == '_')
}

/// The text up to the closing mark, unescaped, and how many bytes it took with the mark.
fn quoted(text: &str, mark: char) -> Result<(Box<str>, usize), PathFault> {
    let mut found = String::new();
    let mut chars = text.char_indices();
    while let Some((at, next)) = chars.next() {
        if next == mark {
            return Ok((found.into(), at + 1));
        }
        if next != '\\' {
            found.push(next);
            continue;
        }
        let (_, escaped) = chars.next().ok_or(PathFault::Open)?;
        match escaped {
            'n' => found.push('\n'),
            'r' => found.push('\r'),
            't' => found.push('\t'),
            'f' => found.push('\u{C}'),
            'u' => {
                let digits: String = chars.by_ref().take(4).map(|(_, digit)| digit).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                found.push(code.ok_or(PathFault::Character('\\'))?);
            }
            // `\'`, `\\`, `\/`, and what is no escape of FHIRPath: the character itself.
            other => found.push(other),
        }
    }
    Err(PathFault::Open)
}
