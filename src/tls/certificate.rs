//! What a certificate says of itself: names and validity. Reads DER only as far as that needs
//! (RFC 5280 §4.1); whether to trust it is rustls's decision.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// A certificate in use, for status pages and warnings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateView {
    /// The file it came from; empty for a peer's.
    pub path: PathBuf,
    /// Common name first, then the names of the subject alternative name, each once.
    pub names: Vec<String>,
    /// Not valid before this moment, in seconds since 1970, UTC.
    pub valid_from_s: i64,
    /// Not valid after this moment, in seconds since 1970, UTC.
    pub expires_s: i64,
}

impl CertificateView {
    /// Seconds until it expires, seen from `now_s` (seconds since 1970); negative when it has.
    #[must_use]
    pub const fn expires_in_s(&self, now_s: i64) -> i64 {
        self.expires_s.saturating_sub(now_s)
    }

    pub(super) fn of_file(self, path: &Path) -> Self {
        Self { path: path.to_owned(), ..self }
    }
}

/// Reads a certificate; `None` when it is not one.
#[must_use]
pub fn read(der: &[u8]) -> Option<CertificateView> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (to_be_signed, _) = expect(certificate, SEQUENCE)?;
    let mut rest = to_be_signed;
    if let Some((_, after)) = expect(rest, VERSION) {
        rest = after;
    }
    let (_serial, rest) = expect(rest, INTEGER)?;
    let (_algorithm, rest) = expect(rest, SEQUENCE)?;
    let (_issuer, rest) = expect(rest, SEQUENCE)?;
    let (validity, rest) = expect(rest, SEQUENCE)?;
    let (subject, rest) = expect(rest, SEQUENCE)?;
    let (_public_key, rest) = expect(rest, SEQUENCE)?;
    let (from_tag, from, after) = next(validity)?;
    let (to_tag, to, _) = next(after)?;
    let mut names: Vec<String> = common_names(subject);
    for name in alternative_names(rest) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Some(CertificateView {
        path: PathBuf::new(),
        names,
        valid_from_s: seconds(from_tag, from)?,
        expires_s: seconds(to_tag, to)?,
    })
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xA0;
const EXTENSIONS: u8 = 0xA3;
const UTF8: u8 = 0x0C;
const PRINTABLE: u8 = 0x13;
const TELETEX: u8 = 0x14;
const IA5: u8 = 0x16;
const BMP: u8 = 0x1E;

/// 2.5.4.3, common name.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.17, subject alternative name.
const ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1D, 0x11];

/// The next element: its tag, its content, what follows.
fn next(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7F);
        if count == 0 || count > 4 {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(count)?;
        (digits.iter().fold(0usize, |sum, digit| (sum << 8) | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// The next element's content and what follows, when it has this tag.
fn expect(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    next(der).filter(|(tag, _, _)| *tag == wanted).map(|(_, content, rest)| (content, rest))
}

/// The elements of a sequence, up to the first that cannot be read.
fn elements(der: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = der;
    std::iter::from_fn(move || {
        let (tag, content, after) = next(rest)?;
        rest = after;
        Some((tag, content))
    })
}

fn common_names(subject: &[u8]) -> Vec<String> {
    elements(subject)
        .filter(|(tag, _)| *tag == SET)
        .flat_map(|(_, attributes)| elements(attributes))
        .filter_map(|(_, attribute)| {
            let (name, rest) = expect(attribute, OBJECT)?;
            let (tag, value, _) = next(rest)?;
            (name == COMMON_NAME).then(|| text(tag, value)).flatten()
        })
        .collect()
}

fn alternative_names(after_public_key: &[u8]) -> Vec<String> {
    elements(after_public_key)
        .filter(|(tag, _)| *tag == EXTENSIONS)
        .filter_map(|(_, content)| expect(content, SEQUENCE))
        .flat_map(|(extensions, _)| elements(extensions))
        .filter_map(|(_, extension)| extension_value(extension, ALTERNATIVE_NAME))
        .filter_map(|value| expect(value, SEQUENCE))
        .flat_map(|(names, _)| elements(names))
        .filter_map(|(tag, value)| general_name(tag, value))
        .collect()
}

fn extension_value<'a>(extension: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let (name, mut rest) = expect(extension, OBJECT)?;
    if let Some((_critical, after)) = expect(rest, BOOLEAN) {
        rest = after;
    }
    let (value, _) = expect(rest, OCTETS)?;
    (name == wanted).then_some(value)
}

/// A name of the subject alternative name (RFC 5280 §4.2.1.6): mail, DNS, URI and address.
fn general_name(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        0x81 | 0x82 | 0x86 => text(IA5, value),
        0x87 => match value.len() {
            4 => <[u8; 4]>::try_from(value).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(value).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// A text without control characters; anything else could pass for another name in a log or a rule.
fn text(tag: u8, value: &[u8]) -> Option<String> {
    let found = match tag {
        UTF8 | PRINTABLE | IA5 => std::str::from_utf8(value).ok()?.to_owned(),
        TELETEX => value.iter().copied().map(char::from).collect(),
        BMP => {
            let (pairs, odd) = value.as_chunks::<2>();
            if !odd.is_empty() {
                return None;
            }
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            String::from_utf16(&units).ok()?
        }
        _ => return None,
    };
    (!found.is_empty() && !found.chars().any(char::is_control)).then_some(found)
}

/// Seconds since 1970 of a time as certificates write it, always UTC (RFC 5280 §4.1.2.5).
fn seconds(tag: u8, value: &[u8]) -> Option<i64> {
    let digits = std::str::from_utf8(value).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (short, rest) = digits.split_at_checked(2)?;
            let short: i16 = short.parse().ok()?;
            (if short < 50 { 2000 + short } else { 1900 + short }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    if rest.len() != 10 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let pair = |at: usize| rest.get(at..at + 2).and_then(|two| two.parse::<i8>().ok());
    jiff::civil::DateTime::new(year, pair(0)?, pair(2)?, pair(4)?, pair(6)?, pair(8)?, 0)
        .ok()?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()
        .map(|moment| moment.timestamp().as_second())
}
