//! The provider and what is said to it (OpenID Connect Core 1.0 §3.1, RFC 7636).

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreIdToken, CoreJwsSigningAlgorithm,
    CoreProviderMetadata,
};
use openidconnect::{
    AsyncHttpClient, AuthType, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret,
    CsrfToken, HttpRequest, HttpResponse, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope, TokenResponse as _,
};
use ring::hmac;
use serde_json::{Map, Value};
use tracing::warn;

use crate::access::token;
use crate::admin::oidc::refusal::Refusal;
use crate::config::access::OidcOptions;
use crate::destination::webhook::ask::{Asker, Unanswered};
use crate::message::time::Timestamp;
use crate::tls::ClientTls;

/// How long a sign-in may take.
pub(super) const TICKET_FOR: Duration = Duration::from_mins(10);
/// How long what the provider publishes is used before it is asked again.
const KNOWN_FOR: Duration = Duration::from_mins(10);
/// Between two questions that went unanswered: nobody can make us ask without end.
const ASK_PAUSE: Duration = Duration::from_secs(5);
/// For each question to the provider.
const WAIT: Duration = Duration::from_secs(10);
/// Largest answer of the provider.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Answers remembered so that each counts once.
const USED_MAX: usize = 10_000;

/// A provider that people sign in by.
pub struct Provider {
    pub(super) options: OidcOptions,
    http: Asking,
    known: tokio::sync::Mutex<Known>,
    /// Keeps what belongs to a browser's ticket: a new one at each start.
    key: hmac::Key,
    used: Mutex<HashMap<[u8; 32], Timestamp>>,
}

/// What the provider published last.
#[derive(Default)]
struct Known {
    metadata: Option<(Timestamp, CoreProviderMetadata)>,
    failed: Option<Timestamp>,
}

/// Who came back.
#[derive(Debug)]
pub(super) struct Identity {
    /// The provider's own name of the person, which never changes: issuer and subject.
    pub(super) subject: String,
    /// The name an administrator knows them by.
    pub(super) name: String,
    /// The name shown.
    pub(super) display: Option<String>,
    /// Values of the claim that roles are mapped from.
    pub(super) values: Vec<String>,
}

/// Why no provider can be made of its options.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It could never be asked.
    #[error("{0}")]
    Asking(#[from] Unanswered),
    /// No randomness.
    #[error("{0}")]
    Randomness(#[from] token::NoRandomness),
}

impl Provider {
    /// The provider of these options. Nobody is asked before somebody signs in: an engine starts without
    /// its provider.
    ///
    /// # Errors
    /// When it could never be asked: a list of places that cannot be read, TLS that cannot be set up.
    pub fn new(options: OidcOptions, tls: Option<Arc<ClientTls>>) -> Result<Self, ProviderError> {
        let asker = Asker::new(&options.issuer, &options.allow, tls, WAIT, ANSWER_BYTES_MAX)?;
        let secret = token::draw()?;
        Ok(Self {
            options,
            http: Asking(asker),
            known: tokio::sync::Mutex::default(),
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()),
            used: Mutex::default(),
        })
    }

    /// What belongs to a ticket: made of it and of the engine's key, so that nothing is kept for sign-ins
    /// that only began.
    fn made(&self, what: &str, ticket: &str) -> String {
        let text = format!("{what} {ticket}");
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, text.as_bytes()))
    }

    /// A ticket for the browser that begins now.
    pub(super) fn ticket(&self, now: Timestamp) -> Result<String, token::NoRandomness> {
        Ok(format!("{}.{}", token::draw()?.expose(), now.0))
    }

    /// Whether the answer with this state is to this browser's ticket, in time, and the first one.
    pub(super) fn takes(&self, state: &str, ticket: &str, now: Timestamp) -> bool {
        let began = ticket.rsplit_once('.').and_then(|(_, at)| at.parse().ok()).map(Timestamp);
        let in_time = began.is_some_and(|at| at <= now && now.since(at) < TICKET_FOR);
        // Hashes are compared, so that the time tells nothing.
        if !in_time || token::hash(state) != token::hash(&self.made("state", ticket)) {
            return false;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, at| now.since(*at) < TICKET_FOR);
        used.len() < USED_MAX && used.insert(token::hash(state), now).is_none()
    }

    /// What the provider publishes: its endpoints and keys; asked anew when it is old or does not `suffice`.
    async fn metadata(
        &self,
        now: Timestamp,
        suffice: bool,
    ) -> Result<CoreProviderMetadata, Refusal> {
        let mut known = self.known.lock().await;
        if let Some((at, metadata)) = &known.metadata
            && suffice
            && now.since(*at) < KNOWN_FOR
        {
            return Ok(metadata.clone());
        }
        if known.failed.is_some_and(|at| now.since(at) < ASK_PAUSE) {
            return Err(Refusal::Away);
        }
        let issuer = IssuerUrl::new(self.options.issuer.clone()).map_err(|_| Refusal::Away)?;
        match CoreProviderMetadata::discover_async(issuer, &self.http).await {
            Ok(metadata) => {
                *known = Known { metadata: Some((now, metadata.clone())), failed: None };
                Ok(metadata)
            }
            Err(error) => {
                warn!(error = %chain(&error), "the sign-in provider cannot be asked");
                known.failed = Some(now);
                Err(Refusal::Away)
            }
        }
    }

    /// Where the browser with this ticket is sent.
    pub(super) async fn place(&self, ticket: &str, now: Timestamp) -> Result<String, Refusal> {
        let metadata = self.metadata(now, true).await?;
        let client = CoreClient::from_provider_metadata(metadata, self.id(), self.secret())
            .set_redirect_uri(self.redirect()?);
        let verifier = PkceCodeVerifier::new(self.made("verifier", ticket));
        let (state, nonce) = (self.made("state", ticket), self.made("nonce", ticket));
        let scopes = self.options.scopes.iter().filter(|scope| *scope != "openid");
        let (url, _, _) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                || CsrfToken::new(state),
                || Nonce::new(nonce),
            )
            .add_scopes(scopes.cloned().map(Scope::new))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .url();
        Ok(url.into())
    }

    /// Who came back with this code.
    pub(super) async fn identified(
        &self,
        code: &str,
        ticket: &str,
        now: Timestamp,
    ) -> Result<Identity, Refusal> {
        let metadata = self.metadata(now, true).await?;
        let token = self.exchanged(metadata.clone(), code, ticket).await?;
        let verified = match self.subject(&token, metadata, ticket) {
            // It may have taken new keys since it was asked last.
            Err(ClaimsVerificationError::SignatureVerification(_)) => {
                self.subject(&token, self.metadata(now, false).await?, ticket)
            }
            other => other,
        };
        let subject = verified.map_err(|error| unaccepted(&chain(&error)))?;
        let claims = payload(&token.to_string()).ok_or_else(|| unaccepted("no claims"))?;
        let name = claims.get(&self.options.name_claim).and_then(Value::as_str);
        let name = name.filter(|name| !name.is_empty()).ok_or(Refusal::Nameless)?.to_owned();
        Ok(Identity {
            subject: format!("{} {subject}", self.options.issuer),
            name,
            display: claims.get("name").and_then(Value::as_str).map(str::to_owned),
            values: values(claims.get(&self.options.claim)),
        })
    }

    /// The ID token for a code.
    async fn exchanged(
        &self,
        metadata: CoreProviderMetadata,
        code: &str,
        ticket: &str,
    ) -> Result<CoreIdToken, Refusal> {
        // RFC 6749 §2.3.1: Basic unless the provider takes the secret in the body alone.
        let ways = metadata.token_endpoint_auth_methods_supported().cloned().unwrap_or_default();
        let in_body = ways.contains(&CoreClientAuthMethod::ClientSecretPost)
            && !ways.contains(&CoreClientAuthMethod::ClientSecretBasic);
        let way = if in_body { AuthType::RequestBody } else { AuthType::BasicAuth };
        let client = CoreClient::from_provider_metadata(metadata, self.id(), self.secret())
            .set_auth_type(way)
            .set_redirect_uri(self.redirect()?);
        let verifier = PkceCodeVerifier::new(self.made("verifier", ticket));
        let asked = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|error| unaccepted(&chain(&error)))?
            .set_pkce_verifier(verifier)
            .request_async(&self.http)
            .await;
        let tokens = asked.map_err(|error| match error {
            openidconnect::RequestTokenError::Request(error) => {
                warn!(error = %chain(&error), "the sign-in provider cannot be asked for a token");
                Refusal::Away
            }
            // What it says may quote what it was sent.
            openidconnect::RequestTokenError::ServerResponse(said) => {
                unaccepted(&format!("the code was refused: {}", said.error()))
            }
            _ => unaccepted("its answer to the code is none"),
        })?;
        tokens.id_token().cloned().ok_or_else(|| unaccepted("there is no ID token"))
    }

    /// The subject of a token whose signature, issuer, audience, times and nonce are right.
    fn subject(
        &self,
        token: &CoreIdToken,
        metadata: CoreProviderMetadata,
        ticket: &str,
    ) -> Result<String, ClaimsVerificationError> {
        let client = CoreClient::from_provider_metadata(metadata, self.id(), self.secret());
        // Signatures by the provider's keys alone: one made with the shared secret proves less.
        let verifier = client.id_token_verifier().set_allowed_algs(SIGNATURES.clone());
        let claims = token.claims(&verifier, &Nonce::new(self.made("nonce", ticket)))?;
        Ok(claims.subject().as_str().to_owned())
    }

    fn id(&self) -> ClientId {
        ClientId::new(self.options.client_id.clone())
    }

    fn secret(&self) -> Option<ClientSecret> {
        let secret = self.options.client_secret.as_ref();
        secret.map(|secret| ClientSecret::new(secret.expose().to_owned()))
    }

    fn redirect(&self) -> Result<RedirectUrl, Refusal> {
        RedirectUrl::new(self.options.redirect_url.clone()).map_err(|_| Refusal::Away)
    }
}

/// Signatures that are accepted.
const SIGNATURES: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

fn unaccepted(why: &str) -> Refusal {
    warn!(error = why, "the sign-in provider's answer was not accepted");
    Refusal::Unaccepted
}

/// An error with its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The claims of a token that was verified.
fn payload(token: &str) -> Option<Map<String, Value>> {
    let part = token.split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The texts of a claim: one, or a list.
fn values(claim: Option<&Value>) -> Vec<String> {
    match claim {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) => {
            all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// How the provider is asked.
struct Asking(Asker);

impl Asking {
    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, Unanswered> {
        let request =
            request.try_into().map_err(|_: reqwest::Error| Unanswered::of("no request"))?;
        let answered = self.0.ask(request).await?;
        let mut response = HttpResponse::new(answered.body);
        *response.status_mut() = answered.status;
        *response.headers_mut() = answered.headers;
        Ok(response)
    }
}

impl<'c> AsyncHttpClient<'c> for Asking {
    type Error = Unanswered;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Unanswered>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.options.issuer).finish_non_exhaustive()
    }
}
