//! The delimiters of one message, as its own header declares them (HL7 v2.5.1 §2.5.4).

use crate::hl7::charset::Width;
use crate::hl7::locate;
use crate::hl7::raw::ParseError;

/// The delimiters in force. A level without a delimiter cannot be divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Separators {
    /// MSH-1.
    pub field: u8,
    /// First of MSH-2.
    pub component: Option<u8>,
    /// Second of MSH-2.
    pub repetition: Option<u8>,
    /// Third of MSH-2.
    pub escape: Option<u8>,
    /// Fourth of MSH-2.
    pub subcomponent: Option<u8>,
    /// Fifth of MSH-2 (v2.7): marks a cut value. It divides nothing.
    pub truncation: Option<u8>,
    /// How characters of several bytes are stepped over.
    pub width: Width,
}

impl Separators {
    /// `|^~\&`.
    pub const STANDARD: Self = Self {
        field: b'|',
        component: Some(b'^'),
        repetition: Some(b'~'),
        escape: Some(b'\\'),
        subcomponent: Some(b'&'),
        truncation: None,
        width: Width::Single,
    };

    /// Reads them from a header segment (MSH, FHS or BHS), which stands at `at` of the message.
    ///
    /// MSH-2 may have one to four characters, a fifth that marks truncation, and more that mean nothing.
    /// `^~\\&`, the escape typed twice, is read as `^~\&`.
    ///
    /// # Errors
    /// When the header ends before the end of MSH-2, or its delimiters cannot divide anything.
    pub fn read(header: &[u8], at: usize) -> Result<Self, ParseError> {
        let truncated = ParseError::HeaderTruncated { at };
        let Some((field, rest)) = header.get(3..).and_then(<[u8]>::split_first) else {
            return Err(truncated);
        };
        if !field.is_ascii_punctuation() {
            return Err(ParseError::FieldSeparator { at });
        }
        let end = memchr::memchr(*field, rest).ok_or(truncated)?;
        let declared = rest.get(..end).unwrap_or_default();
        let unusable = ParseError::EncodingCharacters { at };
        if declared.is_empty() {
            return Err(ParseError::NoEncodingCharacters { at });
        }
        if !declared.iter().all(u8::is_ascii_punctuation) {
            return Err(unusable);
        }
        let doubled = declared.get(2).is_some() && declared.get(2) == declared.get(3);
        let fourth = if doubled { declared.get(4) } else { declared.get(3) };
        let fifth = if doubled { None } else { declared.get(4) };
        let separators = Self {
            field: *field,
            component: declared.first().copied(),
            repetition: declared.get(1).copied(),
            escape: declared.get(2).copied(),
            subcomponent: fourth.copied(),
            truncation: fifth.copied(),
            width: Width::Single,
        };
        if separators.are_distinct() { Ok(separators) } else { Err(unusable) }
    }

    /// The delimiters inside a field, most significant first.
    #[must_use]
    pub const fn inner(&self) -> [Option<u8>; 3] {
        [self.repetition, self.component, self.subcomponent]
    }

    /// Whether `byte` divides a field.
    #[must_use]
    pub fn divides(&self, byte: u8) -> bool {
        self.inner().contains(&Some(byte))
    }

    /// The pieces of a value, divided by one of these delimiters; one piece when the level has none.
    pub fn split<'v>(
        &self,
        value: &'v [u8],
        separator: Option<u8>,
    ) -> impl Iterator<Item = &'v [u8]> + use<'v> {
        locate::pieces(value, 0..value.len(), separator, self.width)
            .map(|piece| value.get(piece).unwrap_or_default())
    }

    fn are_distinct(&self) -> bool {
        let all =
            [Some(self.field), self.component, self.repetition, self.escape, self.subcomponent];
        let given = || all.iter().flatten();
        given().enumerate().all(|(n, byte)| given().skip(n.saturating_add(1)).all(|b| b != byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &[u8], shown: &str) {
        let text = match Separators::read(header, 0) {
            Err(error) => error.to_string(),
            Ok(read) => {
                let all = [read.component, read.repetition, read.escape, read.subcomponent];
                let mark = |byte: Option<u8>| byte.map_or('-', char::from);
                let mut text: String = all.into_iter().map(mark).collect();
                text.insert(0, char::from(read.field));
                text.extend(read.truncation.map(char::from));
                text
            }
        };
        assert!(text.starts_with(shown), "{text}");
    }

    #[test]
    fn reads_what_the_header_declares() {
        check(b"MSH|^~\\&|A", "|^~\\&");
        check(b"MSH#*!%$#A", "#*!%$");
        check(b"MSH|~^\\&|A", "|~^\\&");
        check(b"BHS|^~\\&|A", "|^~\\&");
        check(b"MSH|^~|A", "|^~--");
        check(b"MSH|^|A", "|^---");
        check(b"MSH|^~\\|A", "|^~\\-");
        check(b"MSH|^~\\&#|A", "|^~\\&#");
        check(b"MSH|^~\\&#!|A", "|^~\\&#");
        check(b"MSH#^~\\&#A", "#^~\\&");
        check(b"MSH|^~\\\\&|A", "|^~\\&");
    }

    #[test]
    fn refuses_what_divides_nothing() {
        check(b"MSH", "the header");
        check(b"MSH|", "the header");
        check(b"MSH|^~", "the header");
        check(b"MSHA^~\\&A", "MSH-1");
        check(b"MSH ^~\\& ", "MSH-1");
        check(b"MSH||APP|", "MSH-2");
        check(b"MSH|^^\\&|", "MSH-2");
        check(b"MSH|^~\xC2\xA7|", "MSH-2");
    }
}
