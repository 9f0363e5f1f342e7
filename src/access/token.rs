//! Random tokens of sessions, links and programs: 256 bits; only their hash is kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use crate::message::secret::Secret;

/// Draws a token.
///
/// # Errors
/// When the machine has no randomness.
pub fn draw() -> Result<Secret, NoRandomness> {
    let mut bytes = [0_u8; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(Secret::new(&URL_SAFE_NO_PAD.encode(bytes)))
}

/// The machine has no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the machine has no randomness to draw a token from")]
pub struct NoRandomness;

/// What is kept of a token.
#[must_use]
pub fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

/// The token a page sends beside its cookie: made from the session's token, which no other site can read.
#[must_use]
pub fn csrf(session: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, session.as_bytes());
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, b"csrf"))
}

/// Whether a page's token belongs to its session; in constant time.
#[must_use]
pub fn csrf_fits(session: &str, given: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, session.as_bytes());
    let Ok(tag) = URL_SAFE_NO_PAD.decode(given) else { return false };
    hmac::verify(&key, b"csrf", &tag).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgery_token_fits_its_own_session_alone() {
        let (mine, other) = (draw().unwrap(), draw().unwrap());
        assert_ne!(mine, other);
        let given = csrf(mine.expose());
        assert!(csrf_fits(mine.expose(), &given));
        assert!(!csrf_fits(other.expose(), &given));
        assert!(!csrf_fits(mine.expose(), ""));
        assert_ne!(hash(mine.expose()), hash(other.expose()));
    }
}
