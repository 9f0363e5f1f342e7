//! Links to further pages: what they carry is sealed, so that a search by POST puts no patient's data
//! into URLs, and nobody relies on what is inside. A restart of the engine makes them void.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use crate::resources::fault::{Fault, bad};

/// The parameter of a page.
pub(super) const PAGE: &str = "_page";

/// Seals what a link to a page carries.
pub(super) struct PageSeal {
    key: Option<LessSafeKey>,
    random: SystemRandom,
}

impl PageSeal {
    /// A new seal: nobody else's links are taken.
    pub(super) fn new() -> Self {
        let random = SystemRandom::new();
        let mut key = [0; 32];
        let drawn = random.fill(&mut key).is_ok();
        let key = UnboundKey::new(&AES_256_GCM, &key).ok().filter(|_| drawn).map(LessSafeKey::new);
        Self { key, random }
    }

    /// The text for the link; `None` when there is no randomness to be had.
    pub(super) fn seal(&self, text: &str) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut bytes = text.as_bytes().to_vec();
        let key = self.key.as_ref()?;
        let sealed = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(sealed, Aad::empty(), &mut bytes).ok()?;
        let whole: Vec<u8> = nonce.into_iter().chain(bytes).collect();
        Some(URL_SAFE_NO_PAD.encode(whole))
    }

    /// What was sealed.
    pub(super) fn open(&self, token: &str) -> Result<String, Fault> {
        self.opened(token)
            .ok_or_else(|| bad("page", "this link to a page is not valid any more; search again"))
    }

    fn opened(&self, token: &str) -> Option<String> {
        let mut whole = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (nonce, sealed) = whole.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let open = self.key.as_ref()?.open_in_place(nonce, Aad::empty(), sealed).ok()?;
        String::from_utf8(open.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_links_are_taken() {
        let seal = PageSeal::new();
        let link = seal.seal("family=Li\u{0}17").unwrap();
        assert!(!link.contains("Li"));
        assert_eq!(seal.open(&link).unwrap(), "family=Li\u{0}17");
        assert_eq!(PageSeal::new().open(&link).unwrap_err().status, 400);
        assert_eq!(seal.open("x").unwrap_err().status, 400);
    }
}
