//! Who may use a FHIR source, as configured.

use std::path::PathBuf;
use std::time::Duration;

use crate::source::fhir::access::Principal;
use crate::source::fhir::access::scope::Scopes;

/// Who may do what.
#[derive(Debug, Clone, PartialEq)]
pub enum AccessOptions {
    /// Nobody is asked. Must be chosen in so many words.
    Open,
    /// Whoever shows one of these.
    Known(Box<Known>),
}

/// What somebody may do whom nobody asked.
static ALL: Scopes = Scopes::All;

impl AccessOptions {
    /// What somebody who was known before may do today.
    ///
    /// # Errors
    /// Why he is not known any more.
    pub fn scopes_of<'a>(&'a self, who: &'a Principal) -> Result<&'a Scopes, &'static str> {
        let Self::Known(known) = self else { return Ok(&ALL) };
        let holder = |list: &'a [SecretHolder]| {
            list.iter().find(|holder| holder.name == who.name).map(|holder| &holder.scopes)
        };
        let named = |holder: &&CertificateHolder| holder.name == who.name;
        let found = match who.means {
            "token" => holder(&known.tokens),
            "basic" => holder(&known.basic),
            "certificate" => known.certificates.iter().find(named).map(|holder| &holder.scopes),
            // What an authorization server says of a client stands in his tokens, each time anew.
            "jwt" => {
                known.jwt.as_ref().filter(|jwt| !jwt.is_withdrawn(&who.name)).map(|_| &who.scopes)
            }
            _ => None,
        };
        found.ok_or("whoever wrote it is not let in any more")
    }

    /// The TLS profile that fetches an authorization server's keys.
    #[must_use]
    pub fn keys_tls(&self) -> Option<&str> {
        match self {
            Self::Open => None,
            Self::Known(known) => known.jwt.as_ref()?.keys_tls.as_deref(),
        }
    }
}

/// The ways to be known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Known {
    /// Bearer tokens of an authorization server.
    pub jwt: Option<JwtOptions>,
    /// Bearer tokens of our own.
    pub tokens: Vec<SecretHolder>,
    /// Users with passwords.
    pub basic: Vec<SecretHolder>,
    /// Names in client certificates.
    pub certificates: Vec<CertificateHolder>,
}

/// Tokens of an authorization server (RFC 9068, SMART App Launch 2 §backend services).
#[derive(Debug, Clone, PartialEq)]
pub struct JwtOptions {
    /// The `iss` they must carry.
    pub issuer: Box<str>,
    /// The `aud` they must carry.
    pub audience: Box<str>,
    /// Where the issuer's keys are.
    pub keys: KeySource,
    /// The TLS profile for fetching them: its roots, its certificate. The system's roots without.
    pub keys_tls: Option<Box<str>>,
    /// How long fetched keys are used before they are fetched again.
    pub keys_for: Duration,
    /// What clients are told in `.well-known/smart-configuration`: where tokens are to be had.
    pub token_endpoint: Option<Box<str>>,
    /// Clients whose tokens are not taken any more.
    pub withdrawn: Vec<Box<str>>,
}

impl JwtOptions {
    /// Whether the tokens of a client are not taken any more.
    #[must_use]
    pub fn is_withdrawn(&self, client: &str) -> bool {
        self.withdrawn.iter().any(|withdrawn| &**withdrawn == client)
    }
}

/// Where a key set is.
#[derive(Debug, Clone, PartialEq)]
pub enum KeySource {
    /// A file, read again when it changes.
    File(PathBuf),
    /// `https://…`, or `http://` of this machine.
    Url(Box<str>),
}

/// A token or a password, and what its holder may do.
#[derive(Debug, Clone, PartialEq)]
pub struct SecretHolder {
    /// The name in the audit log; for basic the user's name.
    pub name: Box<str>,
    /// The secret.
    pub secret: HashedSecret,
    /// What it is good for.
    pub scopes: Scopes,
}

/// A name in a client certificate, and what its holder may do.
#[derive(Debug, Clone, PartialEq)]
pub struct CertificateHolder {
    /// Common name or one of the alternative names.
    pub name: Box<str>,
    /// What it is good for.
    pub scopes: Scopes,
}

/// The SHA-256 of a secret: the secret itself is not kept. Prints nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct HashedSecret([u8; 32]);

impl HashedSecret {
    /// Reads `sha256:HEX`, or hashes the secret's own text.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let given = text.strip_prefix("sha256:").and_then(from_hex);
        Self(given.unwrap_or_else(|| hash(text)))
    }

    /// Whether `given` is the secret; takes the same time wherever they differ.
    #[must_use]
    pub fn matches(&self, given: &str) -> bool {
        let differing = self.0.iter().zip(hash(given)).fold(0, |all, (a, b)| all | (a ^ b));
        differing == 0
    }
}

impl std::fmt::Debug for HashedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashedSecret(…)")
    }
}

fn hash(text: &str) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().try_into().unwrap_or_default()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let (pairs, odd) = text.trim().as_bytes().as_chunks::<2>();
    if pairs.len() != bytes.len() || !odd.is_empty() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_hash() {
        let plain = HashedSecret::read("tok_lab_1");
        let hashed = HashedSecret::read(
            "sha256:5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
        );
        assert!(plain.matches("tok_lab_1"));
        assert!(!plain.matches("tok_lab_2"));
        assert!(hashed.matches("password"));
        assert_eq!(format!("{plain:?}"), "HashedSecret(…)");
    }
}
