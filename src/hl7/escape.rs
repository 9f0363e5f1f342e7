//! Escape sequences (HL7 v2.5.1 §2.7).
//!
//! Decoded: the delimiters `\F\ \S\ \T\ \R\ \E\`, `\P\` where MSH-2 has a fifth character, and `\Xdd..\`
//! when its bytes are text in the charset. Everything else stays as it is written: formatting, highlighting,
//! charset switches, local ones, and what was never meant as an escape (`C:\temp`).
//! Written: only those that must be.

use std::borrow::Cow;

use thiserror::Error;

use crate::hl7::charset::{Charset, EncodeError};
use crate::hl7::separators::Separators;

/// Why text cannot be written into a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WriteError {
    /// A character has no place in the charset.
    #[error(transparent)]
    Charset(#[from] EncodeError),
    /// It holds a delimiter and MSH-2 names no escape character.
    #[error("the text holds a delimiter, and MSH-2 of this message has no escape character")]
    NoEscape,
}

/// Decodes the escapes of a leaf whose charset is already decoded.
#[must_use]
pub fn unescape<'t>(text: Cow<'t, str>, separators: &Separators, charset: Charset) -> Cow<'t, str> {
    let Some(escape) = separators.escape.map(char::from) else { return text };
    if !text.contains(escape) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some((plain, behind)) = rest.split_once(escape) {
        out.push_str(plain);
        rest = match behind.split_once(escape) {
            Some((body, after)) => match meaning(body, separators, charset) {
                Meaning::Text(decoded) => {
                    out.push_str(&decoded);
                    after
                }
                Meaning::Kept => {
                    out.extend([escape]);
                    out.push_str(body);
                    out.extend([escape]);
                    after
                }
                // The character was meant as itself; what closes it may open the next sequence.
                Meaning::None => {
                    out.push(escape);
                    behind
                }
            },
            None => {
                out.push(escape);
                behind
            }
        };
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Writes text as a leaf: escapes what would be read as a delimiter or would end the segment or the frame.
///
/// # Errors
/// When the charset cannot write it, or it needs an escape and the message has no escape character.
pub fn encode<'t>(
    text: &'t str,
    separators: &Separators,
    charset: Charset,
) -> Result<Cow<'t, [u8]>, WriteError> {
    if !text.chars().any(|character| needs_escape(character, separators)) {
        return Ok(charset.encode(text)?);
    }
    let escape = separators.escape.ok_or(WriteError::NoEscape)?;
    let escape = char::from(escape);
    let mut escaped = String::with_capacity(text.len().saturating_add(16));
    for character in text.chars() {
        if needs_escape(character, separators) {
            escaped.push(escape);
            match letter(character, separators) {
                Some(letter) => escaped.push(letter),
                None => escaped.push_str(&format!("X{:02X}", u32::from(character))),
            }
            escaped.push(escape);
        } else {
            escaped.push(character);
        }
    }
    Ok(Cow::Owned(charset.encode(&escaped)?.into_owned()))
}

enum Meaning {
    /// It stands for this.
    Text(String),
    /// It is a sequence of the standard for people's eyes or for others: left as written.
    Kept,
    /// It is no sequence.
    None,
}

fn meaning(body: &str, separators: &Separators, charset: Charset) -> Meaning {
    let delimiter = match body {
        "F" => Some(separators.field),
        "S" => separators.component,
        "T" => separators.subcomponent,
        "R" => separators.repetition,
        "E" => separators.escape,
        "P" => separators.truncation,
        _ => None,
    };
    if let Some(byte) = delimiter {
        return Meaning::Text(char::from(byte).into());
    }
    let Some((first, arguments)) = body.split_at_checked(1) else { return Meaning::None };
    let is_hex = !arguments.is_empty() && arguments.bytes().all(|byte| byte.is_ascii_hexdigit());
    match first {
        "X" => hex(arguments)
            .and_then(|bytes| charset.decode(&bytes).ok().map(Cow::into_owned))
            .map_or(Meaning::None, Meaning::Text),
        "H" | "N" if arguments.is_empty() => Meaning::Kept,
        "C" if is_hex && arguments.len() == 4 => Meaning::Kept,
        "M" if is_hex && matches!(arguments.len(), 4 | 6) => Meaning::Kept,
        "Z" if !arguments.is_empty() => Meaning::Kept,
        "." if is_format(arguments) => Meaning::Kept,
        _ => Meaning::None,
    }
}

/// A formatting command: two letters and maybe a number (HL7 v2.5.1 §2.7.6).
fn is_format(command: &str) -> bool {
    const NAMES: [&str; 8] = ["br", "sp", "fi", "nf", "in", "ti", "sk", "ce"];
    let Some((name, number)) = command.split_at_checked(2) else { return false };
    let digits = number.trim_start_matches([' ', '+', '-']);
    NAMES.contains(&name) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    if digits.is_empty() {
        return None;
    }
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let byte = |pair: &[u8; 2]| {
        let [high, low] = *pair;
        Some(value(high)?.checked_mul(16)?.saturating_add(value(low)?))
    };
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

fn letter(character: char, separators: &Separators) -> Option<char> {
    let byte = u8::try_from(character).ok()?;
    let letters = [
        (Some(separators.field), 'F'),
        (separators.component, 'S'),
        (separators.subcomponent, 'T'),
        (separators.repetition, 'R'),
        (separators.escape, 'E'),
        (separators.truncation, 'P'),
    ];
    letters.iter().find(|(delimiter, _)| *delimiter == Some(byte)).map(|(_, letter)| *letter)
}

/// CR and LF end a segment, VT and FS a frame (HL7 v2.5.1 §2.7.2, MLLP).
fn needs_escape(character: char, separators: &Separators) -> bool {
    matches!(character, '\r' | '\n' | '\u{b}' | '\u{1c}') || letter(character, separators).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V27: Separators = Separators { truncation: Some(b'#'), ..Separators::STANDARD };

    fn check(raw: &str, text: &str) {
        assert_eq!(unescape(raw.into(), &Separators::STANDARD, Charset::Utf8), text, "{raw}");
    }

    #[test]
    fn decodes_the_five_and_hex() {
        check(r"a\F\b\S\c\T\d\R\e\E\f", r"a|b^c&d~e\f");
        check(r"\X41\", "A");
        check(r"\X0D0A\", "\r\n");
        check(r"\XE5BCA0\", "张");
        check(r"é\F\日本\T\語", "é|日本&語");
        check(r"\E\F\E\", r"\F\");
    }

    #[test]
    fn keeps_what_is_not_for_it() {
        for raw in [
            r"C:\temp",
            r"\",
            r"\\",
            r"a\.br\b",
            r"\.sp+2\",
            r"\H\bold\N\",
            r"\Zabc\",
            r"\C2842\",
            r"\M2424 42\",
            r"\X4\",
            r"\XFF\",
            r"\XGG\",
            r"\X\",
            r"\P\",
            r"\é\",
            r"end\F",
        ] {
            check(raw, raw);
        }
        check(r"C:\temp\F\x", r"C:\temp|x");
        check(r"\H\F\N\", r"\H\F\N\");
    }

    #[test]
    fn knows_the_truncation_character_only_where_it_is_declared() {
        assert_eq!(unescape(r"\P\".into(), &V27, Charset::Utf8), "#");
        assert_eq!(encode("#1", &V27, Charset::Utf8).unwrap().as_ref(), br"\P\1");
        assert_eq!(encode("#1", &Separators::STANDARD, Charset::Utf8).unwrap().as_ref(), b"#1");
    }

    #[test]
    fn writes_only_what_must_be_escaped() {
        let write = |text| encode(text, &Separators::STANDARD, Charset::Utf8).unwrap().into_owned();
        assert_eq!(write(r"a|b^c&d~e\"), br"a\F\b\S\c\T\d\R\e\E\");
        assert_eq!(write("a\rb\nc\u{b}d\u{1c}"), br"a\X0D\b\X0A\c\X0B\d\X1C\");
        assert_eq!(write("plain #\t\u{7f}"), b"plain #\t\x7f");
    }

    #[test]
    fn without_an_escape_character_a_delimiter_cannot_be_written() {
        let bare = Separators { escape: None, subcomponent: None, ..Separators::STANDARD };
        assert_eq!(encode("a|b", &bare, Charset::Utf8), Err(WriteError::NoEscape));
        assert_eq!(encode(r"a\b&c", &bare, Charset::Utf8).unwrap().as_ref(), br"a\b&c");
        assert_eq!(unescape(r"a\F\".into(), &bare, Charset::Utf8), r"a\F\");
    }

    proptest::proptest! {
           #[test]
           fn what_is_written_is_read(text in "\\PC*|[|^~&\\\\#\r\n\u{b}\u{1c}XFSTREP0-9a-f]*") {
               for separators in [Separators::STANDARD, V27] {
                   let raw = encode(&text, &separators, Charset::Utf8).unwrap();
                   let raw = String::from_utf8(raw.into_owned()).unwrap();
                   let read = unescape(raw.as_str().into(), &separators, Charset::Utf8);
    proptest::prop_assert_eq!(read.as_ref(), text.as_str());
               }
           }
       }
}
