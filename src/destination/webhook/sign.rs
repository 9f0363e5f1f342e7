//! Signatures after the Standard Webhooks specification 1.0.0: HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::message::secret::Secret;

/// Shortest key taken, in bytes.
const KEY_BYTES_MIN: usize = 16;

/// Signs requests with one or several keys.
pub(super) struct Signer(Vec<hmac::Key>);

impl Signer {
    /// A signer with these secrets; an error says what is wrong without showing any of it.
    pub(super) fn new(secrets: &[Secret]) -> Result<Self, String> {
        secrets.iter().map(key).collect::<Result<_, _>>().map(Self)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `webhook-signature`: one `v1,…` for each key.
    pub(super) fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let head = format!("{id}.{timestamp_s}.");
        let one = |key: &hmac::Key| {
            let mut context = hmac::Context::with_key(key);
            context.update(head.as_bytes());
            context.update(body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        };
        self.0.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

fn key(secret: &Secret) -> Result<hmac::Key, String> {
    let bytes = match secret.expose().strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded.trim()).map_err(|_| {
            "a secret that signs starts with `whsec_` and is no base64 after that".to_owned()
        })?,
        None => secret.expose().as_bytes().to_vec(),
    };
    if bytes.len() < KEY_BYTES_MIN {
        return Err(format!(
            "a secret that signs has {} bytes; at least {KEY_BYTES_MIN} are needed, 32 are usual",
            bytes.len()
        ));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = "whsec_plJ3nmyCDGBKInavdOK15jsl";
    const BODY: &[u8] = br#"{"event_type":"ping","data":{"success":true}}"#;

    fn signer(secrets: &[&str]) -> Result<Signer, String> {
        let secrets: Vec<_> = secrets.iter().map(|secret| Secret::new(secret)).collect();
        Signer::new(&secrets)
    }

    fn sign(secrets: &[&str]) -> Result<String, String> {
        signer(secrets).map(|signer| signer.sign("msg_loFOjxBNrRLzqYUf", 1_731_705_121, BODY))
    }

    #[test]
    fn signs_the_published_examples() {
        let expected = "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=";
        assert_eq!(sign(&[PUBLISHED]).as_deref(), Ok(expected));
        let signer = signer(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).unwrap();
        assert_eq!(
            signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn each_secret_makes_a_signature() {
        let both = sign(&[PUBLISHED, "a key of more than sixteen bytes"]).unwrap();
        let parts: Vec<_> = both.split(' ').collect();
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0], sign(&[PUBLISHED]).unwrap());
        assert!(parts[1].starts_with("v1,") && parts[1] != parts[0]);
    }

    #[test]
    fn secrets_that_are_none_are_refused_unseen() {
        for secret in ["whsec_not base64!", "whsec_c2hvcnQ=", "short"] {
            let error = sign(&[secret]).unwrap_err();
            assert!(!error.contains(secret.trim_start_matches("whsec_")), "{error}");
        }
    }
}
