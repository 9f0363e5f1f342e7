//! The second factor: time-based codes (RFC 6238), six digits, thirty seconds, each used once.

use totp_rs::{Algorithm, Builder, Totp};

/// What an authenticator app calls us.
const ISSUER: &str = "Medway";

/// A second factor that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret of the second factor cannot be used: enrol the factor anew")]
pub struct Unusable;

fn factor(user: &str, secret: &[u8]) -> Result<Totp, Unusable> {
    // A colon would end the issuer's part of the link.
    let account = user.replace(':', "_");
    Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_skew(1)
        .with_step_duration(30)
        .with_secret(secret.to_vec())
        .with_account_name(account)
        .with_issuer(Some(ISSUER))
        .build()
        .map_err(|_| Unusable)
}

/// The step a code belongs to, when it is right now and later than the last one used.
///
/// # Errors
/// When the secret is none.
pub fn accept(
    user: &str,
    secret: &[u8],
    given: &str,
    now_seconds: u64,
    last_step: i64,
) -> Result<Option<i64>, Unusable> {
    let step = factor(user, secret)?.check(given, now_seconds);
    let step = step.and_then(|step| i64::try_from(step).ok());
    Ok(step.filter(|step| *step > last_step))
}

/// What an authenticator reads, as a link.
///
/// # Errors
/// When the secret is none.
pub fn link(user: &str, secret: &[u8]) -> Result<String, Unusable> {
    factor(user, secret)?.to_url().map_err(|_| Unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    /// RFC 6238 appendix B, the last six of its eight digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
        ] {
            let step = i64::try_from(seconds / 30).unwrap();
            assert_eq!(accept("li", SECRET, code, seconds, 0), Ok(Some(step)), "{seconds}");
        }
    }

    #[test]
    fn a_code_counts_once_and_for_a_short_time() {
        assert_eq!(accept("li", SECRET, "287082", 59, 1), Ok(None), "used");
        assert_eq!(accept("li", SECRET, "287082", 59 + 30, 0), Ok(Some(1)), "a slow clock");
        assert_eq!(accept("li", SECRET, "287082", 59 + 90, 0), Ok(None), "too old");
        for text in ["", "28708", "2870822", "28708a", " 287082"] {
            assert_eq!(accept("li", SECRET, text, 59, 0), Ok(None), "{text:?}");
        }
        assert_eq!(accept("li", b"short", "287082", 59, 0), Err(Unusable));
    }

    #[test]
    fn a_link_names_the_account() {
        let link = link("li:na", SECRET).unwrap();
        assert!(link.starts_with("otpauth://totp/Medway:li_na?secret=GEZDGNBVGY3TQOJQ"), "{link}");
    }
}
