//! Whether a call was signed by whom it says (Standard Webhooks 1.0.0, verifying).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{hmac, signature};

use crate::message::secret::Secret;
use crate::message::time::Timestamp;

/// How far the signed time may be from ours.
const TOLERANCE: Duration = Duration::from_mins(5);

/// What a call says of its signature.
#[derive(Debug, Clone, Default)]
pub(in crate::source::fhir) struct Signed {
    /// `webhook-id`.
    pub(in crate::source::fhir) id: String,
    /// `webhook-timestamp`.
    pub(in crate::source::fhir) timestamp: String,
    /// `webhook-signature`.
    pub(in crate::source::fhir) signatures: String,
}

/// Whether one of these secrets, or public keys (`whpk_…`), signed this body lately.
pub(super) fn holds(secrets: &[Secret], signed: &Signed, body: &[u8], now: Timestamp) -> bool {
    let Ok(seconds) = signed.timestamp.parse::<i64>() else { return false };
    let at = Timestamp(seconds.saturating_mul(1_000_000));
    let distance = now.since(at).max(at.since(now));
    if distance > TOLERANCE {
        return false;
    }
    let content = [format!("{}.{}.", signed.id, signed.timestamp).as_bytes(), body].concat();
    signed.signatures.split_ascii_whitespace().filter_map(|one| one.split_once(',')).any(
        |(version, encoded)| {
            let Ok(tag) = STANDARD.decode(encoded) else { return false };
            secrets.iter().any(|secret| one_holds(secret, version, &content, &tag))
        },
    )
}

/// Compared in constant time.
fn one_holds(secret: &Secret, version: &str, content: &[u8], tag: &[u8]) -> bool {
    let text = secret.expose();
    match (version, text.strip_prefix("whpk_")) {
        ("v1a", Some(public)) => STANDARD.decode(public).is_ok_and(|public| {
            let key = signature::UnparsedPublicKey::new(&signature::ED25519, public);
            key.verify(content, tag).is_ok()
        }),
        ("v1", None) => {
            let shared = match text.strip_prefix("whsec_") {
                Some(encoded) => STANDARD.decode(encoded).ok(),
                None => Some(text.as_bytes().to_vec()),
            };
            shared.is_some_and(|key| {
                hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), content, tag).is_ok()
            })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_holds_and_nothing_else() {
        // The example of the specification's own libraries.
        let secret = Secret::new("whsec_plJ3nmyCDGBKInavdOK15jsl");
        let body: &[u8] = br#"{"event_type":"ping","data":{"success":true}}"#;
        let signed = |signatures: &str| Signed {
            id: "msg_loFOjxBNrRLzqYUf".to_owned(),
            timestamp: "1731705121".to_owned(),
            signatures: signatures.to_owned(),
        };
        let good = "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=";
        let at = Timestamp(1_731_705_121_000_000);
        let holds = |secret: &Secret, signatures: &str, body: &[u8], at: Timestamp| {
            holds(std::slice::from_ref(secret), &signed(signatures), body, at)
        };
        assert!(holds(&secret, good, body, at));
        assert!(holds(&secret, &format!("v1a,AAAA v1,AAAA {good}"), body, at));
        assert!(holds(&secret, good, body, at.after(TOLERANCE)));
        assert!(!holds(&secret, good, body, at.after(TOLERANCE * 2)));
        assert!(!holds(&secret, good, b"{}", at));
        assert!(!holds(&secret, "", body, at));
        assert!(!holds(&secret, "v1,rAvf", body, at));
        assert!(!holds(&Secret::new("another-secret-of-24-bytes"), good, body, at));
    }
}
