//! `Subscription.channel.header`: `Name: value`, divided at the first colon alone, since values hold colons.

use crate::message::secret::Secret;

/// Headers that HTTP or the engine sets.
const OWN: [&str; 10] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "proxy-connection",
];

/// One header of each call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: Box<str>,
    /// Its value; may be a token.
    pub value: Secret,
}

/// Reads one entry.
///
/// # Errors
/// What is wrong with it, without its value.
pub fn read(text: &str) -> Result<Header, String> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| "a header is written `Name: value`; there is no colon".to_owned())?;
    let (name, value) = (name.trim(), value.trim());
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(token) {
        return Err("what stands before the colon is no name of a header".to_owned());
    }
    if is_own(name) {
        return Err(format!("header `{name}` is set by the engine itself"));
    }
    // RFC 9110 §5.5: visible characters, spaces and tabs; a line break would begin another header.
    if !value.chars().all(|c| c == '\t' || (' '..='~').contains(&c)) {
        return Err(format!("the value of header `{name}` holds characters HTTP does not allow"));
    }
    Ok(Header { name: name.into(), value: Secret::new(value) })
}

fn is_own(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    // Standard Webhooks §headers: these say who signed what; a subscriber may not forge them.
    OWN.contains(&lower.as_str()) || lower.starts_with("webhook-")
}

/// Whether a header's value is a secret, by its name.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let lower = name.trim().to_ascii_lowercase();
    ["auth", "token", "secret", "key", "cookie", "password", "signature"]
        .iter()
        .any(|part| lower.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_colons() {
        let header = read("X-Callback: https://emr.example:8443/a").unwrap();
        assert_eq!(&*header.name, "X-Callback");
        assert_eq!(header.value.expose(), "https://emr.example:8443/a");
        assert_eq!(read("Authorization:Basic YTpi").unwrap().value.expose(), "Basic YTpi");
    }

    #[test]
    fn what_may_not_be_set_is_refused() {
        for wrong in [
            "Host: a",
            "content-LENGTH: 3",
            "Transfer-Encoding: chunked",
            "Content-Type: text/plain",
            "webhook-id: 1",
            "Webhook-Signature: v1,x",
            "no colon",
            ": nothing",
            "a b: c",
            "X: a\r\nHost: b",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn secrets_are_known_by_name() {
        for name in ["Authorization", "X-Api-Key", "cookie", "X-Auth-Token"] {
            assert!(is_secret(name), "{name}");
        }
        assert!(!is_secret("X-Ward"));
    }
}
