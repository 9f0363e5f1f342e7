//! Until when a certificate holds, and whose it is: as much of X.509 (RFC 5280 §4.1) as that takes.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// What people ask of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// The subject's common name; empty when it has none.
    pub subject: String,
    /// The end, as RFC 3339 in UTC.
    pub not_after: String,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`: the version stands first, when it is told.
const VERSION: u8 = 0xA0;
/// 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Of the first certificate in a PEM text; `None` when there is none that can be read.
#[must_use]
pub fn validity(pem: &[u8]) -> Option<Validity> {
    let certificate = CertificateDer::from_pem_slice(pem).ok()?;
    let (_, certificate, _) = element(certificate.as_ref())?;
    let (_, signed, _) = element(certificate)?;
    let mut parts = elements(signed).skip_while(|(tag, _)| *tag == VERSION);
    // Serial number, signature algorithm, issuer; then validity and subject.
    let (tag, dates) = parts.nth(3)?;
    let (_, subject) = parts.next()?;
    let (kind, end) = (tag == SEQUENCE).then(|| elements(dates).nth(1))??;
    Some(Validity {
        subject: common_name(subject).unwrap_or_default(),
        not_after: time(kind, end)?,
    })
}

/// One element: its tag, its content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = if *length < 0x80 {
        (usize::from(*length), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(*length & 0x7F))?;
        let digits = digits
            .iter()
            .try_fold(0_usize, |sum, digit| sum.checked_mul(256)?.checked_add(usize::from(*digit)));
        (digits?, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, content, rest) = element(bytes)?;
        bytes = rest;
        Some((tag, content))
    })
}

fn common_name(subject: &[u8]) -> Option<String> {
    let sets = elements(subject).filter(|(tag, _)| *tag == SET);
    let pairs = sets.flat_map(|(_, set)| elements(set));
    let mut names = pairs.filter_map(|(_, pair)| {
        let mut parts = elements(pair);
        let named = parts.next() == Some((OBJECT_IDENTIFIER, COMMON_NAME));
        named.then(|| parts.next()).flatten()
    });
    names.next().map(|(_, text)| String::from_utf8_lossy(text).into_owned())
}

/// `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` from 2050 (RFC 5280 §4.1.2.5).
fn time(kind: u8, text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let text = match kind {
        UTC_TIME if text.len() == 12 && text.is_ascii() => {
            let century = if text < "50" { "20" } else { "19" };
            format!("{century}{text}")
        }
        GENERALIZED_TIME if text.len() == 14 && text.is_ascii() => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| text.get(from..to);
    Some(format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        part(12, 14)?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(year: i32, expected: &str) {
        let mut params =
            rcgen::CertificateParams::new(vec!["lis.hospital.example".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "LIS 检验");
        params.not_after = rcgen::date_time_ymd(year, 3, 9);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let found = validity(pem.as_bytes()).unwrap();
        assert_eq!(
            found,
            Validity { subject: "LIS 检验".to_owned(), not_after: expected.to_owned() }
        );
    }

    #[test]
    fn the_end_and_the_name_of_a_certificate_are_read() {
        check(2031, "2031-03-09T00:00:00Z");
        check(2061, "2061-03-09T00:00:00Z");
    }

    #[test]
    fn what_is_no_certificate_has_none() {
        assert_eq!(validity(b""), None);
        let cut = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        assert_eq!(validity(cut), None);
    }
}
