//! Secrets of subscriptions, encrypted (AES-256-GCM) under a key in the data directory that only the engine's
//! user may read.
//!
//! Header values that are secrets are sealed inside the Subscription itself, so that what a client reads and
//! writes back stays whole. Secrets that sign stand in files of their own: no version of the resource has
//! them.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};

use crate::message::secret::Secret;
use crate::message::time::Timestamp;

/// How a sealed value begins.
const SEALED: &str = "sealed:";
/// Secrets of one subscription at the same time.
const SECRETS_MAX: usize = 4;

/// Seals and opens.
pub(super) struct Vault {
    key: LessSafeKey,
    folder: PathBuf,
    random: SystemRandom,
}

/// A secret that signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signing {
    pub(super) secret: Secret,
    /// When it ends, after another was made.
    pub(super) until: Option<Timestamp>,
}

impl Vault {
    /// The vault of a data directory; its key is drawn when there is none yet.
    pub(super) fn open(data: &Path) -> io::Result<Self> {
        let random = SystemRandom::new();
        let file = data.join("subscriptions.key");
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut bytes = vec![0_u8; AES_256_GCM.key_len()];
                random.fill(&mut bytes).map_err(|_| io::Error::other("no randomness"))?;
                write_new(&file, &bytes)?;
                bytes
            }
            Err(error) => return Err(error),
        };
        let key = UnboundKey::new(&AES_256_GCM, &bytes)
            .map_err(|_| io::Error::other("subscriptions.key does not hold 32 bytes"))?;
        let folder = data.join("subscription-secrets");
        fs::create_dir_all(&folder)?;
        Ok(Self { key: LessSafeKey::new(key), folder, random })
    }

    /// A text that can be stored anywhere.
    pub(super) fn sealed(&self, text: &str) -> io::Result<String> {
        let mut nonce = [0_u8; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| io::Error::other("no randomness"))?;
        let mut bytes = text.as_bytes().to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut bytes)
            .map_err(|_| io::Error::other("a secret cannot be sealed"))?;
        let whole = [nonce.as_slice(), &bytes].concat();
        Ok(format!("{SEALED}{}", URL_SAFE_NO_PAD.encode(whole)))
    }

    /// Whether a text is sealed.
    pub(super) fn is_sealed(text: &str) -> bool {
        text.trim().starts_with(SEALED)
    }

    /// What was sealed; a text that never was is itself. `None` when the key is another.
    pub(super) fn opened(&self, text: &str) -> Option<Secret> {
        let Some(encoded) = text.trim().strip_prefix(SEALED) else {
            return Some(Secret::new(text));
        };
        let whole = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        let (nonce, rest) = whole.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = rest.to_vec();
        let opened = self.key.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?;
        std::str::from_utf8(opened).ok().map(Secret::new)
    }

    /// The secrets a subscription is signed with now, the newest first.
    pub(super) fn signing(&self, id: &str, now: Timestamp) -> Vec<Signing> {
        let Ok(text) = fs::read_to_string(self.file(id)) else { return Vec::new() };
        let Some(opened) = self.opened(&text) else {
            tracing::error!("secrets of a subscription cannot be opened: is it the old key file?");
            return Vec::new();
        };
        let list: Vec<Value> = serde_json::from_str(opened.expose()).unwrap_or_default();
        list.iter()
            .filter_map(|one| {
                let secret = Secret::new(one.get("secret")?.as_str()?);
                Some(Signing { secret, until: one.get("until")?.as_i64().map(Timestamp) })
            })
            .filter(|one| one.until.is_none_or(|until| until > now))
            .collect()
    }

    /// Another secret goes in front; those before it end after `overlap`.
    pub(super) fn rotate(
        &self,
        id: &str,
        secret: &Secret,
        overlap: Duration,
        now: Timestamp,
    ) -> io::Result<()> {
        let ends = now.after(overlap);
        let mut list = vec![json!({"secret": secret.expose(), "until": null})];
        for one in self.signing(id, now).into_iter().take(SECRETS_MAX - 1) {
            let until = one.until.unwrap_or(ends).min(ends);
            list.push(json!({"secret": one.secret.expose(), "until": until.0}));
        }
        let sealed = self.sealed(&Value::from(list).to_string())?;
        let file = self.file(id);
        let new = file.with_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        write_new(&new, sealed.as_bytes())?;
        fs::rename(&new, &file)?;
        fs::File::open(&self.folder)?.sync_all()
    }

    /// A new shared secret.
    pub(super) fn drawn(&self) -> io::Result<Secret> {
        let mut bytes = [0_u8; 32];
        self.random.fill(&mut bytes).map_err(|_| io::Error::other("no randomness"))?;
        Ok(Secret::new(&format!("whsec_{}", STANDARD.encode(bytes))))
    }

    /// FHIR ids are letters, digits, `-` and `.`: none leads elsewhere once it has a beginning of its own.
    fn file(&self, id: &str) -> PathBuf {
        let plain: String =
            id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')).collect();
        self.folder.join(format!("s-{plain}.sealed"))
    }
}

/// A file that only the engine's user may read, durable.
fn write_new(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut new = options.write(true).create_new(true).mode(0o600).open(file)?;
    new.write_all(bytes)?;
    new.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_sealed_opens_under_the_same_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        let sealed = vault.sealed("Bearer abc").unwrap();
        assert!(Vault::is_sealed(&sealed) && !sealed.contains("abc"));
        let again = Vault::open(folder.path()).unwrap();
        assert_eq!(again.opened(&sealed), Some(Secret::new("Bearer abc")));
        assert_eq!(vault.opened("plain"), Some(Secret::new("plain")));
        let other = tempfile::tempdir().unwrap();
        assert_eq!(Vault::open(other.path()).unwrap().opened(&sealed), None);
        let mode = fs::metadata(folder.path().join("subscriptions.key")).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }

    #[test]
    fn the_secret_before_signs_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        let (one, two) = (vault.drawn().unwrap(), vault.drawn().unwrap());
        let day = Duration::from_hours(24);
        vault.rotate("a", &one, day, Timestamp(0)).unwrap();
        vault.rotate("a", &two, day, Timestamp(1)).unwrap();
        let at = |moment: Timestamp| -> Vec<Secret> {
            vault.signing("a", moment).into_iter().map(|one| one.secret).collect()
        };
        assert_eq!(at(Timestamp(2)), [two.clone(), one]);
        assert_eq!(at(Timestamp(1).after(day)), [two]);
        assert_eq!(vault.signing("b", Timestamp(0)), []);
    }
}
