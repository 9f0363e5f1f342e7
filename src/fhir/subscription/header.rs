//! `Subscription.channel.header`: `Name: value`, divided at the first colon alone, since values hold colons.

use serde_json::{Value, json};

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

/// A batch or transaction without the secrets of Subscriptions in it, for the log: the engine keeps them sealed
/// in the Subscription alone. `None` when there is nothing to hide.
#[must_use]
pub fn masked(bundle: &Value) -> Option<Value> {
    let about = |entry: &Value| {
        let is = |pointer: &str, holds: &dyn Fn(&str) -> bool| {
            entry.pointer(pointer).and_then(Value::as_str).is_some_and(holds)
        };
        is("/resource/resourceType", &|kind| kind == "Subscription")
            || is("/request/url", &|url| url.contains("Subscription"))
    };
    let entries = bundle.get("entry")?.as_array()?;
    if !entries.iter().any(about) {
        return None;
    }
    let mut masked = bundle.clone();
    let entries = masked.get_mut("entry").and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten().filter(|entry| about(entry)) {
        let Some(resource) = entry.get_mut("resource") else { continue };
        let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default();
        if kind != "Subscription" {
            // A patch: what it sets is not looked for.
            *resource = json!({"resourceType": kind});
            continue;
        }
        let headers = resource.pointer_mut("/channel/header").and_then(Value::as_array_mut);
        for header in headers.into_iter().flatten() {
            let name = header.as_str().and_then(|text| text.split_once(':')).map(|(name, _)| name);
            *header = match name {
                Some(name) if !is_secret(name) => continue,
                Some(name) => Value::from(format!("{name}: (not kept)")),
                None => Value::Null,
            };
        }
    }
    Some(masked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_kept_without_secrets() {
        let bundle = json!({"resourceType": "Bundle", "entry": [
            {"resource": {"resourceType": "Patient", "id": "1"}, "request": {"url": "Patient"}},
            {"resource": {"resourceType": "Subscription", "channel": {
                "header": ["Authorization: Bearer abc", "X-Ward: 3", 7],
            }}, "request": {"url": "Subscription"}},
            {"resource": {"resourceType": "Binary", "data": "YWJj"},
             "request": {"url": "http://h/fhir/Subscription/1"}},
        ]});
        let kept = masked(&bundle).unwrap();
        assert_eq!(kept["entry"][0], bundle["entry"][0]);
        assert_eq!(
            kept["entry"][1]["resource"]["channel"]["header"],
            json!(["Authorization: (not kept)", "X-Ward: 3", null])
        );
        assert_eq!(kept["entry"][2]["resource"], json!({"resourceType": "Binary"}));
        let plain = json!({"entry": [{"resource": {"resourceType": "Patient"}}]});
        assert_eq!(masked(&plain), None);
    }

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
