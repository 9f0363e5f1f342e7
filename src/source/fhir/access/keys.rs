//! The key set of an authorization server: from a file or a URL, kept for a while, asked for anew when a
//! token names a key that is not in it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

use crate::clock::Clock;
use crate::message::secret::Secret;
use crate::message::time::Timestamp;
use crate::source::fhir::access::options::KeySource;
use crate::tls::{ClientTls, TlsProfile};

/// Largest key set.
const KEYS_BYTES_MAX: usize = 1 << 20;
/// One try to fetch it.
const FETCH_WITHIN: Duration = Duration::from_secs(10);
/// Between two fetches, whatever tokens name: nobody can make us ask without end.
const FETCH_PAUSE: Duration = Duration::from_secs(10);

/// A key set and where it comes from.
pub(super) struct KeyCache {
    source: KeySource,
    keep: Duration,
    tls: Option<Arc<ClientTls>>,
    clock: Clock,
    known: Mutex<Known>,
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default, Clone)]
struct Known {
    keys: Option<Arc<JwkSet>>,
    at: Timestamp,
    tried: Option<Timestamp>,
}

impl KeyCache {
    pub(super) fn new(
        source: KeySource,
        keep: Duration,
        tls: Option<Arc<ClientTls>>,
        clock: Clock,
    ) -> Self {
        Self {
            source,
            keep,
            tls,
            clock,
            known: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// The keys; fetched when there are none, when they are old, or when `kid` is not among them. Old
    /// keys stay in use while new ones cannot be had.
    pub(super) async fn keys(&self, kid: Option<&str>) -> Option<Arc<JwkSet>> {
        if let Some(keys) = self.fresh(kid) {
            return Some(keys);
        }
        let _one = self.fetching.lock().await;
        if let Some(keys) = self.fresh(kid) {
            return Some(keys);
        }
        let now = self.clock.now();
        {
            let mut known = self.lock();
            if known.tried.is_some_and(|tried| now.since(tried) < FETCH_PAUSE) {
                return known.keys.clone();
            }
            known.tried = Some(now);
        }
        match self.fetch().await {
            Ok(keys) => {
                let keys = Arc::new(keys);
                let mut known = self.lock();
                known.keys = Some(Arc::clone(&keys));
                known.at = now;
                Some(keys)
            }
            Err(error) => {
                warn!(%error, "the keys of the authorization server cannot be had");
                self.lock().keys.clone()
            }
        }
    }

    /// What is known, when nothing better is to be had now.
    fn fresh(&self, kid: Option<&str>) -> Option<Arc<JwkSet>> {
        let now = self.clock.now();
        let known = self.lock().clone();
        let tried = known.tried.is_some_and(|tried| now.since(tried) < FETCH_PAUSE);
        let keys = known.keys?;
        let has = kid.is_none_or(|kid| keys.find(kid).is_some());
        (tried || has && now.since(known.at) < self.keep).then_some(keys)
    }

    async fn fetch(&self) -> Result<JwkSet, String> {
        let bytes = match &self.source {
            KeySource::File(path) => {
                tokio::fs::read(path).await.map_err(|error| error.to_string())?
            }
            KeySource::Url(url) => {
                let fetched = tokio::time::timeout(
                    FETCH_WITHIN,
                    get(url, self.tls.as_deref(), None, KEYS_BYTES_MAX),
                )
                .await;
                fetched.map_err(|_| "no answer in time".to_owned())??
            }
        };
        serde_json::from_slice(&bytes).map_err(|_| "it is no JSON Web Key Set".to_owned())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body at a URL, at most `bytes_max` of it; redirects are not followed.
pub(in crate::source::fhir) async fn get(
    url: &str,
    profile: Option<&ClientTls>,
    bearer: Option<&Secret>,
    bytes_max: usize,
) -> Result<Vec<u8>, String> {
    let tls = if let Some(profile) = profile {
        (*profile.config()).clone()
    } else if url.starts_with("https:") {
        let system = ClientTls::load(&TlsProfile::default()).map_err(|error| error.to_string())?;
        (*system.config()).clone()
    } else {
        without_roots().map_err(|error| error.to_string())?
    };
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| error.to_string())?;
    let failed = |error: reqwest::Error| error.without_url().to_string();
    let mut request = client.get(url);
    if let Some(bearer) = bearer {
        request = request.bearer_auth(bearer.expose());
    }
    let mut answer = request.send().await.map_err(failed)?;
    if !answer.status().is_success() {
        return Err(format!("the answer has status {}", answer.status().as_u16()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > bytes_max {
            return Err("the answer is larger than it may be".to_owned());
        }
    }
    Ok(bytes)
}

/// The HTTP client wants a configuration even where no connection is secured.
fn without_roots() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(versions?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}
