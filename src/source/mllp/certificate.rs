//! The names in a sender's certificate. Only read after rustls has verified it.

/// DER tags used here (X.690 §8; RFC 5280 §4.1).
const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const VERSION: u8 = 0xA0;
const EXTENSIONS: u8 = 0xA3;
/// Alternative names of the kinds e-mail, DNS and URI (RFC 5280 §4.2.1.6).
const NAMES: [u8; 3] = [0x81, 0x82, 0x86];
/// Object id 2.5.29.17: subject alternative name.
const ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1D, 0x11];
/// Object id 2.5.4.3: common name.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The alternative names (DNS, URI, e-mail) of a certificate, or its common name where it has none.
pub(super) fn names(certificate: &[u8]) -> Vec<String> {
    let found = alternative_names(certificate);
    if found.is_empty() { common_name(certificate).into_iter().collect() } else { found }
}

fn alternative_names(certificate: &[u8]) -> Vec<String> {
    let extensions = to_be_signed(certificate)
        .find(|(tag, _)| *tag == EXTENSIONS)
        .and_then(|(_, wrapped)| Parts(wrapped).next())
        .map(|(_, list)| list)
        .unwrap_or_default();
    Parts(extensions)
        .filter(|(_, extension)| Parts(extension).next() == Some((OBJECT_ID, ALTERNATIVE_NAME)))
        .filter_map(|(_, extension)| Parts(extension).find(|(tag, _)| *tag == OCTETS))
        .filter_map(|(_, octets)| Parts(octets).next())
        .flat_map(|(_, names)| Parts(names))
        .filter(|(tag, _)| NAMES.contains(tag))
        .filter_map(|(_, name)| std::str::from_utf8(name).ok())
        .map(str::to_owned)
        .collect()
}

fn common_name(certificate: &[u8]) -> Option<String> {
    // Serial number, signature, issuer, validity, subject: the fifth, not counting the version.
    let (_, subject) = to_be_signed(certificate).filter(|(tag, _)| *tag != VERSION).nth(4)?;
    Parts(subject)
        .flat_map(|(_, set)| Parts(set))
        .find(|(_, pair)| Parts(pair).next() == Some((OBJECT_ID, COMMON_NAME)))
        .and_then(|(_, pair)| Parts(pair).nth(1))
        .and_then(|(_, name)| std::str::from_utf8(name).ok())
        .map(str::to_owned)
}

fn to_be_signed(certificate: &[u8]) -> Parts<'_> {
    let within = |bytes| match Parts(bytes).next() {
        Some((SEQUENCE, content)) => content,
        _ => &[],
    };
    Parts(within(within(certificate)))
}

/// The elements of a DER value: tag and content. Ends at the first that is cut short.
struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            short @ 0..=0x7F => (usize::from(*short), rest),
            long => {
                let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7F))?;
                let fold = |all: usize, byte: &u8| {
                    all.checked_mul(256).and_then(|all| all.checked_add(usize::from(*byte)))
                };
                (bytes.iter().try_fold(0, fold)?, rest)
            }
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(alternative: &[&str], common: Option<&str>, expected: &[&str]) {
        let alternative: Vec<_> = alternative.iter().map(|&name| name.to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(alternative).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(common) = common {
            params.distinguished_name.push(rcgen::DnType::CommonName, common);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        assert_eq!(names(certificate.der()), expected);
    }

    #[test]
    fn alternative_names_come_before_the_common_name() {
        check(&["his.hospital.example"], Some("HIS"), &["his.hospital.example"]);
        check(&["a.example", "b.example"], None, &["a.example", "b.example"]);
        check(&[], Some("HIS 信息系统"), &["HIS 信息系统"]);
        check(&[], None, &[]);
    }

    #[test]
    fn garbage_has_no_names() {
        for bytes in [&b""[..], b"\x30", b"\x30\x84\xFF\xFF\xFF\xFF", b"\x30\x80\x00", &[0x30; 99]] {
            assert_eq!(names(bytes), Vec::<String>::new());
        }
    }
}
