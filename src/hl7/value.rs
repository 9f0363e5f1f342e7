//! What stands at a path: four states, because HL7 says four different things (v2.5.1 §2.5.3).

use std::borrow::Cow;

use crate::hl7::charset::{Charset, DecodeError};
use crate::hl7::escape;
use crate::hl7::locate;
use crate::hl7::separators::Separators;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'m> {
    /// The position does not exist: no statement.
    Absent,
    /// The position exists and holds nothing but delimiters: no statement.
    Empty,
    /// `""`: the stored value is to be deleted.
    Null,
    /// Something.
    Text(Text<'m>),
}

/// Bytes of a value that is something. `Debug` shows their number alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<'m> {
    raw: &'m [u8],
    separators: Separators,
}

impl std::fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Text({} bytes)", self.raw.len())
    }
}

impl<'m> Value<'m> {
    /// The value of a position that exists.
    #[must_use]
    pub fn of(raw: &'m [u8], separators: Separators) -> Self {
        if raw == b"\"\"" {
            Self::Null
        } else if raw.iter().all(|byte| separators.divides(*byte)) {
            Self::Empty
        } else {
            Self::Text(Text { raw, separators })
        }
    }

    /// Whether it says nothing: absent or empty. Null is not empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(self, Self::Absent | Self::Empty)
    }

    /// Whether it asks to delete the stored value.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The decoded text of its first leaf; "" when there is none. Bytes that are no text show as U+FFFD.
    #[must_use]
    pub fn text(&self, charset: Charset) -> Cow<'m, str> {
        match self {
            Self::Text(text) => text.decode_lossy(charset),
            _ => Cow::Borrowed(""),
        }
    }

    /// The decoded text of its first leaf.
    ///
    /// # Errors
    /// When its bytes are no text in `charset`.
    pub fn try_text(&self, charset: Charset) -> Result<Cow<'m, str>, DecodeError> {
        match self {
            Self::Text(text) => text.decode(charset),
            _ => Ok(Cow::Borrowed("")),
        }
    }

    /// Its bytes with everything below it: delimiters, escapes, `""`.
    #[must_use]
    pub const fn raw(&self) -> &'m [u8] {
        match self {
            Self::Text(text) => text.raw,
            Self::Null => b"\"\"",
            Self::Absent | Self::Empty => b"",
        }
    }

    /// The delimiters its bytes were written with; `None` when it is no text.
    #[must_use]
    pub const fn separators(&self) -> Option<Separators> {
        match self {
            Self::Text(text) => Some(text.separators),
            _ => None,
        }
    }

    /// The bytes of its first leaf, not decoded.
    #[must_use]
    pub fn leaf(&self) -> &'m [u8] {
        match self {
            Self::Text(text) => text.leaf(),
            _ => b"",
        }
    }
}

impl<'m> Text<'m> {
    /// The first leaf: the first subcomponent of the first component of the first repetition.
    fn leaf(&self) -> &'m [u8] {
        let mut leaf = self.raw;
        for separator in self.separators.inner().into_iter().flatten() {
            let end = locate::next(leaf, 0, separator, self.separators.width);
            leaf = end.and_then(|end| leaf.get(..end)).unwrap_or(leaf);
        }
        if leaf == b"\"\"" { b"" } else { leaf }
    }

    fn decode_lossy(&self, charset: Charset) -> Cow<'m, str> {
        escape::unescape(charset.decode_lossy(self.leaf()), &self.separators, charset)
    }

    fn decode(&self, charset: Charset) -> Result<Cow<'m, str>, DecodeError> {
        Ok(escape::unescape(charset.decode(self.leaf())?, &self.separators, charset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &[u8], state: &str, text: &str) {
        let value = Value::of(raw, Separators::STANDARD);
        let found = match value {
            Value::Absent => "absent",
            Value::Empty => "empty",
            Value::Null => "null",
            Value::Text(_) => "text",
        };
        assert_eq!((found, value.text(Charset::Utf8).as_ref()), (state, text), "{raw:?}");
    }

    #[test]
    fn tells_nothing_from_delete_from_text() {
        check(b"", "empty", "");
        check(b"^^&~", "empty", "");
        check(b"\"\"", "null", "");
        check(b"\"\"^x", "text", "");
        check(b"\"", "text", "\"");
        check(b"say \"\" twice", "text", "say \"\" twice");
        check(b" ", "text", " ");
    }

    #[test]
    fn the_text_of_a_deep_value_is_its_first_leaf() {
        check(b"Doe&van^Jane~Roe", "text", "Doe");
        check(b"^Jane", "text", "");
        check(b"A\\T\\B^C", "text", "A&B");
        assert_eq!(Value::of(b"A&B^C", Separators::STANDARD).raw(), b"A&B^C");
    }

    #[test]
    fn a_value_does_not_show_its_content_in_debug() {
        let shown = format!("{:?}", Value::of(b"Doe", Separators::STANDARD));
        assert_eq!(shown, "Text(Text(3 bytes))");
    }
}
