//! Signatures after the Standard Webhooks specification 1.0.0 over `id.timestamp.body`: HMAC-SHA256 (`v1`)
//! and ed25519 (`v1a`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::message::secret::Secret;

/// Shortest key taken, in bytes.
const KEY_BYTES_MIN: usize = 16;
/// An ed25519 seed; some tools write the public key after it.
const SEED_BYTES: usize = 32;

enum Key {
    Shared(hmac::Key),
    Private(Box<Ed25519KeyPair>),
}

/// Signs requests with one or several keys.
pub(in crate::destination) struct Signer(Vec<Key>);

impl Signer {
    /// A signer with these secrets; an error says what is wrong without showing any of it.
    pub(in crate::destination) fn new(secrets: &[Secret]) -> Result<Self, String> {
        secrets.iter().map(key).collect::<Result<_, _>>().map(Self)
    }

    pub(in crate::destination) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `webhook-signature`: one signature for each key.
    pub(in crate::destination) fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let head = format!("{id}.{timestamp_s}.");
        let one = |key: &Key| match key {
            Key::Shared(key) => {
                let mut context = hmac::Context::with_key(key);
                context.update(head.as_bytes());
                context.update(body);
                format!("v1,{}", STANDARD.encode(context.sign()))
            }
            Key::Private(key) => {
                let whole = [head.as_bytes(), body].concat();
                format!("v1a,{}", STANDARD.encode(key.sign(&whole)))
            }
        };
        self.0.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// Hexadecimal HMAC-SHA256 of the body alone under the first shared key, as older receivers check it
    /// (`X-Hub-Signature`, `X-Signature`).
    pub(in crate::destination) fn of_body(&self, body: &[u8]) -> Option<String> {
        let key = self.0.iter().find_map(|key| match key {
            Key::Shared(key) => Some(key),
            Key::Private(_) => None,
        })?;
        let tag = hmac::sign(key, body);
        Some(tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The public half of a `whsk_` secret, as `whpk_` and base64; `None` for a shared secret.
///
/// # Errors
/// When the secret cannot sign.
pub fn public_half(secret: &Secret) -> Result<Option<String>, String> {
    Ok(match key(secret)? {
        Key::Shared(_) => None,
        Key::Private(pair) => Some(format!("whpk_{}", STANDARD.encode(pair.public_key().as_ref()))),
    })
}

fn key(secret: &Secret) -> Result<Key, String> {
    let decoded = |encoded: &str, prefix: &str| {
        STANDARD.decode(encoded.trim()).map_err(|_| {
            format!("a secret that signs starts with `{prefix}` and is no base64 after that")
        })
    };
    if let Some(encoded) = secret.expose().strip_prefix("whsk_") {
        let bytes = decoded(encoded, "whsk_")?;
        let seed = bytes.get(..SEED_BYTES).filter(|_| matches!(bytes.len(), 32 | 64));
        let pair = seed.and_then(|seed| Ed25519KeyPair::from_seed_unchecked(seed).ok());
        return pair
            .map(|pair| Key::Private(Box::new(pair)))
            .ok_or_else(|| "a secret with `whsk_` holds an ed25519 seed of 32 bytes".to_owned());
    }
    let bytes = match secret.expose().strip_prefix("whsec_") {
        Some(encoded) => decoded(encoded, "whsec_")?,
        None => secret.expose().as_bytes().to_vec(),
    };
    if bytes.len() < KEY_BYTES_MIN {
        return Err(format!(
            "a secret that signs has {} bytes; at least {KEY_BYTES_MIN} are needed, 32 are usual",
            bytes.len()
        ));
    }
    Ok(Key::Shared(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
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
    fn a_private_key_signs_for_who_has_the_public_one() {
        let secret = Secret::new("whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        let signature = Signer::new(std::slice::from_ref(&secret)).unwrap().sign("m", 7, b"{}");
        let signature = STANDARD.decode(signature.strip_prefix("v1a,").unwrap()).unwrap();
        let public = public_half(&secret).unwrap().unwrap();
        let public = STANDARD.decode(public.strip_prefix("whpk_").unwrap()).unwrap();
        let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, public);
        assert!(key.verify(b"m.7.{}", &signature).is_ok());
        assert!(key.verify(b"m.8.{}", &signature).is_err());
        assert!(Signer::new(&[Secret::new("whsk_AAEC")]).is_err());
    }

    #[test]
    fn older_receivers_check_the_body_alone() {
        let signer = signer(&["a key of more than sixteen bytes"]).unwrap();
        let hex = signer.of_body(b"{}").unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"a key of more than sixteen bytes");
        let expected = hmac::sign(&key, b"{}");
        assert_eq!(hex.len(), 64);
        assert!(hex.starts_with(&format!("{:02x}", expected.as_ref()[0])));
    }

    #[test]
    fn secrets_that_are_none_are_refused_unseen() {
        for secret in ["whsec_not base64!", "whsec_c2hvcnQ=", "short"] {
            let error = sign(&[secret]).unwrap_err();
            assert!(!error.contains(secret.trim_start_matches("whsec_")), "{error}");
        }
    }
}
