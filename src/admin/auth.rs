//! The engine's own token: drawn once, kept in the data directory, for the command line on the same machine.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use crate::message::id::MessageId;

/// A token, kept as a keyed hash. `Debug` shows nothing.
#[derive(Clone)]
pub struct Token {
    key: Arc<hmac::Key>,
    tag: hmac::Tag,
}

impl Token {
    /// The token with this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        // The key separates runs, it guards nothing: presented and expected tag are what is compared.
        let key =
            Arc::new(hmac::Key::new(hmac::HMAC_SHA256, MessageId::new().to_bytes().as_slice()));
        let tag = hmac::sign(&key, text.trim().as_bytes());
        Self { key, tag }
    }

    /// The token in `file`; drawn and written there (mode 0600) when the file is not there yet.
    ///
    /// # Errors
    /// When the file can be neither read nor written.
    pub fn from_file(file: &Path) -> std::io::Result<Self> {
        match fs::read_to_string(file) {
            Ok(text) => Ok(Self::new(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut bytes = [0_u8; 32];
                SystemRandom::new()
                    .fill(&mut bytes)
                    .map_err(|_| std::io::Error::other("no randomness for the admin token"))?;
                let text = URL_SAFE_NO_PAD.encode(bytes);
                let mut options = fs::OpenOptions::new();
                let mut new = options.write(true).create_new(true).mode(0o600).open(file)?;
                writeln!(new, "{text}")?;
                new.sync_all()?;
                Ok(Self::new(&text))
            }
            Err(error) => Err(error),
        }
    }

    /// Compares in constant time.
    pub(crate) fn admits(&self, presented: &str) -> bool {
        hmac::verify(&self.key, presented.as_bytes(), self.tag.as_ref()).is_ok()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn a_token_is_drawn_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("admin.token");
        drop(Token::from_file(&file).unwrap());
        let text = std::fs::read_to_string(&file).unwrap();
        let again = Token::from_file(&file).unwrap();
        assert!(again.admits(text.trim()));
        assert!(!again.admits("something else"));
    }
}
