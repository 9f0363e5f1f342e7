//! Passwords: Argon2id with the parameters OWASP recommends (19 MiB, two passes, one lane).

use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::message::secret::Secret;

/// Shortest password taken, in characters (NIST SP 800-63B asks for 8 at least, 15 without a second factor).
pub const CHARS_MIN: usize = 12;
/// Longest, so that hashing has a bound.
pub const CHARS_MAX: usize = 256;

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("a password has {CHARS_MIN} to {CHARS_MAX} characters")]
    Length,
    /// It is the user's own name, or one sign again and again.
    #[error("the password is too easy to guess: use several words")]
    Weak,
    /// The hash could not be made.
    #[error("the password could not be hashed: memory is short")]
    Hash,
}

fn hasher() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(19_456, 2, 1, None).map_err(|_| PasswordError::Hash)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Whether a password may be chosen.
///
/// # Errors
/// When it is too short, too long or too plain.
pub fn check(name: &str, password: &Secret) -> Result<(), PasswordError> {
    let text = password.expose();
    let count = text.chars().count();
    if !(CHARS_MIN..=CHARS_MAX).contains(&count) {
        return Err(PasswordError::Length);
    }
    let mut signs: Vec<char> = text.to_lowercase().chars().collect();
    signs.sort_unstable();
    signs.dedup();
    let named = !name.is_empty() && text.to_lowercase().contains(&name.to_lowercase());
    if signs.len() < 5 || (named && count < name.chars().count() + 8) {
        return Err(PasswordError::Weak);
    }
    Ok(())
}

/// The hash to keep. Takes tens of milliseconds: call it where blocking is allowed.
///
/// # Errors
/// When memory is short.
pub fn hash(password: &Secret) -> Result<Secret, PasswordError> {
    let hashed = hasher()?.hash_password(password.expose().as_bytes());
    hashed.map(|hash| Secret::new(&hash.to_string())).map_err(|_| PasswordError::Hash)
}

/// Whether a password is the one that was hashed. Takes as long as hashing.
#[must_use]
pub fn verify(password: &Secret, hash: &Secret) -> bool {
    let (Ok(parsed), Ok(hasher)) = (PasswordHash::new(hash.expose()), hasher()) else {
        return false;
    };
    hasher.verify_password(password.expose().as_bytes(), &parsed).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_again_by_its_hash_alone() {
        let password = Secret::new("four plain words here");
        let kept = hash(&password).unwrap();
        assert!(kept.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(verify(&password, &kept));
        assert!(!verify(&Secret::new("four plain words herE"), &kept));
        assert!(!verify(&password, &Secret::new("no hash")));
    }

    #[test]
    fn plain_passwords_are_refused() {
        let check = |text: &str| check("zhang", &Secret::new(text));
        assert_eq!(check("short"), Err(PasswordError::Length));
        assert_eq!(check("aaaaaaaaaaaaaaaa"), Err(PasswordError::Weak));
        assert_eq!(check("zhang1234567"), Err(PasswordError::Weak));
        assert_eq!(check("three herons wade"), Ok(()));
        assert_eq!(check(&"长".repeat(300)), Err(PasswordError::Length));
    }
}
