//! Who may use the API: whoever holds the token. Checked before any body is read.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use crate::admin::problem::Problem;
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
    fn admits(&self, presented: &str) -> bool {
        hmac::verify(&self.key, presented.as_bytes(), self.tag.as_ref()).is_ok()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// Lets requests with the token through.
pub(crate) async fn require_token(
    State(token): State<Token>,
    request: Request,
    next: Next,
) -> Response {
    let presented = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    match presented {
        Some(text) if token.admits(text) => next.run(request).await,
        _ => Problem::unauthorized().into_response(),
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
