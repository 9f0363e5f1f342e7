//! Character sets of MSH-18 (HL7 table 0211): names, decoding, encoding that fails instead of writing `?`.

use std::borrow::Cow;
use std::fmt;

use encoding_rs::Encoding;
use thiserror::Error;

/// How the text between delimiters is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Charset {
    /// 7-bit ASCII, also ISO IR6.
    Ascii,
    /// `UNICODE UTF-8`, and what is assumed when nothing is declared.
    Utf8,
    /// `8859/n`: the ISO tables with C1 controls, not the windows code pages that browsers take for them.
    Latin(Latin),
    /// `GB 18030-2000`, also GBK and GB 2312.
    Gb18030,
    /// `BIG-5`.
    Big5,
    /// `ISO IR87`: ISO-2022-JP, ASCII and JIS X 0208 by escape sequences.
    Iso2022Jp,
    /// `ISO IR14`: JIS X 0201 (with half-width katakana), read as Shift JIS.
    ShiftJis,
    /// `KS X 1001`: EUC-KR.
    EucKr,
    /// `WINDOWS-1252`: in no HL7 table, common in fact.
    Windows1252,
}

/// The parts of ISO 8859 in table 0211.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the part of ISO 8859 it is named after")]
pub enum Latin {
    Iso1,
    Iso2,
    Iso3,
    Iso4,
    Iso5,
    Iso6,
    Iso7,
    Iso8,
    Iso9,
    Iso10,
    Iso11,
    Iso13,
    Iso14,
    Iso15,
}

/// Every charset and the name it has in MSH-18.
const NAMES: &[(Charset, &str)] = &[
    (Charset::Ascii, "ASCII"),
    (Charset::Utf8, "UNICODE UTF-8"),
    (Charset::Latin(Latin::Iso1), "8859/1"),
    (Charset::Latin(Latin::Iso2), "8859/2"),
    (Charset::Latin(Latin::Iso3), "8859/3"),
    (Charset::Latin(Latin::Iso4), "8859/4"),
    (Charset::Latin(Latin::Iso5), "8859/5"),
    (Charset::Latin(Latin::Iso6), "8859/6"),
    (Charset::Latin(Latin::Iso7), "8859/7"),
    (Charset::Latin(Latin::Iso8), "8859/8"),
    (Charset::Latin(Latin::Iso9), "8859/9"),
    (Charset::Latin(Latin::Iso10), "8859/10"),
    (Charset::Latin(Latin::Iso11), "8859/11"),
    (Charset::Latin(Latin::Iso13), "8859/13"),
    (Charset::Latin(Latin::Iso14), "8859/14"),
    (Charset::Latin(Latin::Iso15), "8859/15"),
    (Charset::Gb18030, "GB 18030-2000"),
    (Charset::Big5, "BIG-5"),
    (Charset::Iso2022Jp, "ISO IR87"),
    (Charset::ShiftJis, "ISO IR14"),
    (Charset::EucKr, "KS X 1001"),
    (Charset::Windows1252, "WINDOWS-1252"),
];

/// Other spellings, without spaces, hyphens, slashes and underscores, in capitals.
const ALIASES: &[(&str, Charset)] = &[
    ("", Charset::Ascii),
    ("USASCII", Charset::Ascii),
    ("ISOIR6", Charset::Ascii),
    ("UTF8", Charset::Utf8),
    ("UNICODE", Charset::Utf8),
    ("GB18030", Charset::Gb18030),
    ("GBK", Charset::Gb18030),
    ("GB2312", Charset::Gb18030),
    ("CP936", Charset::Gb18030),
    ("ISO2022JP", Charset::Iso2022Jp),
    ("SHIFTJIS", Charset::ShiftJis),
    ("EUCKR", Charset::EucKr),
    ("CP1252", Charset::Windows1252),
];

/// Where a charset may come from, in the order of precedence: `forced`, MSH-18, `otherwise`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CharsetRule {
    /// Taken whatever MSH-18 says.
    pub forced: Option<Charset>,
    /// Taken when MSH-18 is empty or unknown.
    pub otherwise: Charset,
}

impl Default for CharsetRule {
    fn default() -> Self {
        Self { forced: None, otherwise: Charset::Utf8 }
    }
}

impl CharsetRule {
    /// The charset of a message with this MSH-18 (the raw field with its repetitions).
    #[must_use]
    pub fn resolve(self, msh18: &[u8], repetition: Option<u8>) -> Charset {
        self.forced.or_else(|| Charset::from_msh18(msh18, repetition)).unwrap_or(self.otherwise)
    }
}

/// Why bytes are no text in the charset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the bytes are no {charset} text; check MSH-18 and the listener's charset")]
pub struct DecodeError {
    /// The charset they were read in.
    pub charset: Charset,
}

/// Why text cannot be written in the charset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the text has a character that {charset} cannot write; send the message as UNICODE UTF-8")]
pub struct EncodeError {
    /// The charset it was to be written in.
    pub charset: Charset,
}

impl Charset {
    /// The charset that MSH-18 declares. The first repetition is the default set; Japanese messages
    /// name ISO IR87 in a later one and mean ISO-2022-JP for the whole. `None` when it is empty or unknown.
    #[must_use]
    pub fn from_msh18(field: &[u8], repetition: Option<u8>) -> Option<Self> {
        let mut first = None;
        let pieces = field.split(|byte| Some(*byte) == repetition);
        for (index, piece) in pieces.enumerate() {
            let named = std::str::from_utf8(piece)
                .ok()
                .filter(|name| !name.trim().is_empty())
                .and_then(Self::from_name);
            if named == Some(Self::Iso2022Jp) {
                return named;
            }
            if index == 0 {
                first = named;
            }
        }
        first
    }

    /// The charset with this name: of table 0211, or a usual other spelling (`utf-8`, `GBK`, `ISO-8859-1`).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let folded = fold(name);
        let of_table = NAMES.iter().find(|(_, known)| fold(known) == folded).map(|(set, _)| *set);
        of_table
            .or_else(|| ALIASES.iter().find(|(known, _)| *known == folded).map(|(_, set)| *set))
            .or_else(|| folded.strip_prefix("ISO").and_then(Self::from_number))
    }

    fn from_number(folded: &str) -> Option<Self> {
        let latin = |known: &str| fold(known).starts_with("8859") && fold(known) == folded;
        NAMES.iter().find(|(_, known)| latin(known)).map(|(set, _)| *set)
    }

    /// Every charset.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(set, _)| *set)
    }

    /// The name in MSH-18.
    #[must_use]
    pub fn msh18(self) -> &'static str {
        NAMES.iter().find(|(set, _)| *set == self).map_or("", |(_, name)| *name)
    }

    /// The text of `bytes`, with U+FFFD for what is no text: for people and for search.
    #[must_use]
    pub fn decode_lossy(self, bytes: &[u8]) -> Cow<'_, str> {
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes),
            Self::Ascii => match ascii(bytes) {
                Some(text) => Cow::Borrowed(text),
                None => Cow::Owned(bytes.iter().map(|byte| ascii_char(*byte)).collect()),
            },
            Self::Latin(latin) => latin.decode(bytes),
            other => match other.encoding() {
                Some(encoding) => encoding.decode_without_bom_handling(bytes).0,
                None => String::from_utf8_lossy(bytes),
            },
        }
    }

    /// The text of `bytes`.
    ///
    /// # Errors
    /// When they are no text in this charset.
    pub fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, DecodeError> {
        let failed = DecodeError { charset: self };
        match self {
            Self::Utf8 => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| failed),
            Self::Ascii => ascii(bytes).map(Cow::Borrowed).ok_or(failed),
            Self::Latin(latin) => {
                let text = latin.decode(bytes);
                if text.contains(char::REPLACEMENT_CHARACTER) { Err(failed) } else { Ok(text) }
            }
            other => other
                .encoding()
                .and_then(|encoding| {
                    encoding.decode_without_bom_handling_and_without_replacement(bytes)
                })
                .ok_or(failed),
        }
    }

    /// The bytes of `text`.
    ///
    /// # Errors
    /// When a character has no place in this charset. Nothing is ever replaced by `?`.
    pub fn encode(self, text: &str) -> Result<Cow<'_, [u8]>, EncodeError> {
        let failed = EncodeError { charset: self };
        match self {
            Self::Utf8 => Ok(Cow::Borrowed(text.as_bytes())),
            _ if text.is_ascii() && self.keeps_ascii(text) => Ok(Cow::Borrowed(text.as_bytes())),
            Self::Ascii => Err(failed),
            Self::Latin(latin) => latin.encode(text).map(Cow::Owned).ok_or(failed),
            other => {
                let encoding = other.encoding().ok_or(failed)?;
                let (bytes, _, replaced) = encoding.encode(text);
                if replaced { Err(failed) } else { Ok(bytes) }
            }
        }
    }

    /// Whether delimiter bytes may stand inside a character, and how such characters are stepped over.
    #[must_use]
    pub const fn width(self) -> Width {
        match self {
            Self::Gb18030 | Self::Big5 => Width::Pairs,
            Self::ShiftJis => Width::ShiftJis,
            Self::Iso2022Jp => Width::Shifted,
            _ => Width::Single,
        }
    }

    /// ISO-2022-JP cannot write the bytes that shift it (ESC, SO, SI).
    fn keeps_ascii(self, text: &str) -> bool {
        self != Self::Iso2022Jp || !text.contains(['\u{1b}', '\u{e}', '\u{f}'])
    }

    const fn encoding(self) -> Option<&'static Encoding> {
        match self {
            Self::Ascii | Self::Utf8 | Self::Latin(_) => None,
            Self::Gb18030 => Some(encoding_rs::GB18030),
            Self::Big5 => Some(encoding_rs::BIG5),
            Self::Iso2022Jp => Some(encoding_rs::ISO_2022_JP),
            Self::ShiftJis => Some(encoding_rs::SHIFT_JIS),
            Self::EucKr => Some(encoding_rs::EUC_KR),
            Self::Windows1252 => Some(encoding_rs::WINDOWS_1252),
        }
    }
}

impl fmt::Display for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.msh18())
    }
}

/// How a scan for delimiters steps over characters of several bytes. UTF-8, EUC and the 8859 family never
/// hold a delimiter byte inside a character; these do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Width {
    /// Every delimiter byte is a delimiter.
    #[default]
    Single,
    /// A byte of 81 to FE takes the next one with it (GB 18030, BIG-5).
    Pairs,
    /// The same for 81 to 9F and E0 to FC (Shift JIS).
    ShiftJis,
    /// Between `ESC $` and `ESC (` no byte is a delimiter (ISO-2022-JP).
    Shifted,
}

impl Latin {
    /// 00 to 9F stand for themselves in every part; above, the tables of `encoding_rs` are right.
    fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        if let Some(text) = ascii(bytes) {
            return Cow::Borrowed(text);
        }
        let mut text = String::with_capacity(bytes.len().saturating_mul(2));
        for byte in bytes {
            text.push(self.char(*byte));
        }
        Cow::Owned(text)
    }

    fn char(self, byte: u8) -> char {
        match self.upper() {
            Some(encoding) if byte >= 0xA0 => {
                let one = [byte];
                let (text, _) = encoding.decode_without_bom_handling(&one);
                text.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => char::from(byte),
        }
    }

    fn encode(self, text: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(text.len());
        for character in text.chars() {
            let plain = u8::try_from(u32::from(character)).ok();
            match (plain, self.upper()) {
                (Some(byte), None) => bytes.push(byte),
                (Some(byte), Some(_)) if byte < 0xA0 => bytes.push(byte),
                (_, Some(encoding)) => {
                    let mut buffer = [0; 4];
                    let (one, _, replaced) = encoding.encode(character.encode_utf8(&mut buffer));
                    let byte = one.first().copied().filter(|byte| !replaced && *byte >= 0xA0)?;
                    bytes.push(byte);
                }
                (None, None) => return None,
            }
        }
        Some(bytes)
    }

    const fn upper(self) -> Option<&'static Encoding> {
        match self {
            Self::Iso1 => None,
            Self::Iso2 => Some(encoding_rs::ISO_8859_2),
            Self::Iso3 => Some(encoding_rs::ISO_8859_3),
            Self::Iso4 => Some(encoding_rs::ISO_8859_4),
            Self::Iso5 => Some(encoding_rs::ISO_8859_5),
            Self::Iso6 => Some(encoding_rs::ISO_8859_6),
            Self::Iso7 => Some(encoding_rs::ISO_8859_7),
            Self::Iso8 => Some(encoding_rs::ISO_8859_8),
            // Parts 9 and 11 equal windows-1254 and windows-874 from A0 up.
            Self::Iso9 => Some(encoding_rs::WINDOWS_1254),
            Self::Iso10 => Some(encoding_rs::ISO_8859_10),
            Self::Iso11 => Some(encoding_rs::WINDOWS_874),
            Self::Iso13 => Some(encoding_rs::ISO_8859_13),
            Self::Iso14 => Some(encoding_rs::ISO_8859_14),
            Self::Iso15 => Some(encoding_rs::ISO_8859_15),
        }
    }
}

fn fold(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

fn ascii(bytes: &[u8]) -> Option<&str> {
    if bytes.is_ascii() { std::str::from_utf8(bytes).ok() } else { None }
}

fn ascii_char(byte: u8) -> char {
    if byte.is_ascii() { char::from(byte) } else { char::REPLACEMENT_CHARACTER }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, bytes: &[u8], text: &str) {
        let charset = Charset::from_msh18(name.as_bytes(), Some(b'~')).unwrap();
        assert_eq!(charset.decode(bytes).unwrap(), text, "{name}");
        assert_eq!(charset.decode_lossy(bytes), text, "{name}");
        assert_eq!(charset.encode(text).unwrap().as_ref(), bytes, "{name}");
    }

    #[test]
    fn reads_and_writes_the_names_of_table_0211() {
        check("ASCII", b"Doe", "Doe");
        check("UNICODE UTF-8", "张伟".as_bytes(), "张伟");
        check("8859/1", b"M\xFCller", "Müller");
        check("8859/1", b"\x80\x9F", "\u{80}\u{9f}");
        check("8859/2", b"\xA3\xF3d\xBC", "Łódź");
        check("8859/5", b"\xB8\xD2\xD0\xDD", "Иван");
        check("8859/7", b"\xC1\xE8", "Αθ");
        check("8859/9", b"\xD0\xFD\x85", "Ğı\u{85}");
        check("8859/15", b"\xA4", "€");
        check("GB 18030-2000", b"\xD5\xC5\xCE\xB0", "张伟");
        check("BIG-5", b"\xA4\xA4", "中");
        check("KS X 1001", b"\xB1\xE8", "김");
        check("~ISO IR87", b"\x1b$B;3ED\x1b(B", "山田");
        check("ASCII~ISO IR87", b"Yamada", "Yamada");
        check("utf-8", b"x", "x");
        check("ISO-8859-1", b"\xFC", "ü");
    }

    #[test]
    fn unknown_names_are_none() {
        for name in ["", "KLINGON", "8859/12", "UNICODE UTF-16", "~GB 18030-2000"] {
            assert_eq!(Charset::from_msh18(name.as_bytes(), Some(b'~')), None, "{name}");
        }
    }

    #[test]
    fn never_writes_a_question_mark_for_what_it_cannot_write() {
        for charset in Charset::all() {
            match charset.encode("a\u{1F600}b") {
                Ok(bytes) => assert_eq!(charset.decode(&bytes).unwrap(), "a\u{1F600}b"),
                Err(error) => assert_eq!(error.charset, charset),
            }
        }
        assert!(Charset::Ascii.encode("ü").is_err());
        assert!(Charset::Latin(Latin::Iso1).encode("€").is_err());
        assert!(Charset::Iso2022Jp.encode("\u{1b}").is_err());
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error_or_marked() {
        for (charset, bytes) in [
            (Charset::Utf8, &b"a\xFF"[..]),
            (Charset::Ascii, b"a\xFC"),
            (Charset::Gb18030, b"a\xFF"),
            (Charset::Latin(Latin::Iso3), b"a\xA5"),
        ] {
            assert!(charset.decode(bytes).is_err(), "{charset}");
            assert_eq!(charset.decode_lossy(bytes), "a\u{fffd}", "{charset}");
        }
    }

    #[test]
    fn the_listener_may_force_a_charset_or_name_one_for_silent_senders() {
        let rule = CharsetRule { forced: None, otherwise: Charset::Gb18030 };
        assert_eq!(rule.resolve(b"", None), Charset::Gb18030);
        assert_eq!(rule.resolve(b"8859/1", None), Charset::Latin(Latin::Iso1));
        let forced = CharsetRule { forced: Some(Charset::Big5), ..rule };
        assert_eq!(forced.resolve(b"8859/1", None), Charset::Big5);
    }
}
