//! Access tokens: asked for once, kept, renewed before they end.
//!
//! RFC 6749 §4.4; SMART App Launch 2.1 backend-services.html, client-confidential-asymmetric.html.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{EncodingKey, Header};
use reqwest::Url;
use reqwest::header::{ACCEPT, AUTHORIZATION};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::clock::Clock;
use crate::destination::fhir::options::{Access, Algorithm, Grant, SecretPlace};
use crate::destination::webhook::answer::{Body, Ending};
use crate::destination::webhook::client::{Clients, beginning, ending_of};
use crate::destination::webhook::egress::Origin;
use crate::destination::webhook::hidden;
use crate::message::secret::Secret;
use crate::message::time::Timestamp;

/// How long an assertion is good for; SMART allows five minutes.
const ASSERTION_SECONDS: i64 = 240;
/// A token without `expires_in` is used for so long.
const USUAL_LIFE: Duration = Duration::from_secs(300);
/// Most bytes read of the token endpoint's answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How the client proves who it is.
enum Proof {
    Secret { secret: Secret, place: SecretPlace },
    Assertion { key: EncodingKey, header: Box<Header> },
}

struct Token {
    value: Secret,
    /// When it is renewed: before it ends.
    renew_at: Timestamp,
}

/// The tokens of one destination.
pub(super) struct Tokens {
    grant: Grant,
    url: Url,
    proof: Proof,
    clock: Clock,
    held: Mutex<Option<Token>>,
}

impl Tokens {
    /// Tokens for this access; `None` when it needs none. An error says what is wrong without showing it.
    pub(super) fn new(access: &Access, clock: Clock) -> Result<Option<Self>, String> {
        let (grant, proof) = match access {
            Access::Header(_) => return Ok(None),
            Access::ClientCredentials { grant, secret, place } => {
                (grant, Proof::Secret { secret: secret.clone(), place: *place })
            }
            Access::Smart { grant, key, key_id, algorithm } => {
                let key = encoding_key(key, *algorithm)?;
                let mut header = Header::new(algorithm.jwt());
                header.kid = Some(key_id.clone());
                (grant, Proof::Assertion { key, header: Box::new(header) })
            }
        };
        let url = Url::parse(&grant.token_url)
            .map_err(|_| "the token URL is none; write https://login.example/token".to_owned())?;
        Ok(Some(Self { grant: grant.clone(), url, proof, clock, held: Mutex::default() }))
    }

    /// A token that is good for a while. One caller asks, the others wait for him.
    pub(super) async fn bearer(
        &self,
        clients: &Clients,
        deadline: Instant,
    ) -> Result<Secret, Ending> {
        let mut held = self.held.lock().await;
        if let Some(token) = held.as_ref()
            && self.clock.now() < token.renew_at
        {
            return Ok(token.value.clone());
        }
        let token = self.ask(clients, deadline).await?;
        let value = token.value.clone();
        *held = Some(token);
        Ok(value)
    }

    /// The server did not take it: the next request asks for another.
    pub(super) async fn forget(&self, value: &Secret) {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|token| token.value == *value) {
            *held = None;
        }
    }

    async fn ask(&self, clients: &Clients, deadline: Instant) -> Result<Token, Ending> {
        let refused = |text: String| Ending::NotSent { code: "token", text };
        let origin = Origin::of(&self.url).map_err(|error| refused(error.to_string()))?;
        let client = clients.checked(&origin).await?;
        let asked_at = self.clock.now();
        let (form, authorization) = self.form(asked_at).map_err(refused)?;
        let mut request =
            client.post(self.url.clone()).header(ACCEPT, "application/json").form(&form);
        if let Some(value) = authorization.as_deref().and_then(hidden) {
            request = request.header(AUTHORIZATION, value);
        }
        let mut response = match timeout_at(deadline, request.send()).await {
            Err(_) => return Err(refused("the token endpoint did not answer in time".to_owned())),
            // Whatever broke, nothing of the message was sent.
            Ok(Err(error)) => return Err(unsent(ending_of(&error))),
            Ok(Ok(response)) => response,
        };
        let status = response.status().as_u16();
        let (bytes, read) = beginning(&mut response, deadline, ANSWER_BYTES_MAX).await;
        let answer: Option<Value> =
            (read == Body::Read).then(|| serde_json::from_slice(&bytes).ok()).flatten();
        let text = |name: &str| answer.as_ref()?.get(name)?.as_str();
        if status != 200 {
            // RFC 6749 §5.2: the code is one of a few words; the description is not shown.
            let code = text("error").filter(|code| is_word(code)).unwrap_or("no reason given");
            return Err(refused(format!("the token endpoint answered {status}: {code}")));
        }
        let value = text("access_token")
            .filter(|token| hidden(token).is_some())
            .ok_or_else(|| refused("the token endpoint answered without a token".to_owned()))?;
        let life = answer.as_ref().and_then(|answer| match answer.get("expires_in")? {
            Value::String(text) => text.parse().ok(),
            number => number.as_u64(),
        });
        let life = life.map_or(USUAL_LIFE, Duration::from_secs);
        // A fifth of its life early, at most a minute: a request on its way must still find it valid.
        let early = (life / 5).min(Duration::from_secs(60));
        Ok(Token {
            value: Secret::new(value),
            renew_at: asked_at.after(life.saturating_sub(early)),
        })
    }

    fn form(
        &self,
        now: Timestamp,
    ) -> Result<(Vec<(&'static str, String)>, Option<String>), String> {
        let mut form = vec![("grant_type", "client_credentials".to_owned())];
        if let Some(scope) = &self.grant.scope {
            form.push(("scope", scope.clone()));
        }
        let id = &self.grant.client_id;
        let mut authorization = None;
        match &self.proof {
            Proof::Secret { secret, place: SecretPlace::Form } => {
                form.push(("client_id", id.clone()));
                form.push(("client_secret", secret.expose().to_owned()));
            }
            Proof::Secret { secret, place: SecretPlace::Basic } => {
                // RFC 6749 §2.3.1: both are form-encoded before they are joined.
                let encoded = |text: &str| -> String {
                    form_urlencoded::byte_serialize(text.as_bytes()).collect()
                };
                let both = format!("{}:{}", encoded(id), encoded(secret.expose()));
                authorization = Some(format!("Basic {}", STANDARD.encode(both)));
            }
            Proof::Assertion { key, header } => {
                let seconds = now.0.div_euclid(1_000_000);
                let claims = json!({
                    "iss": id,
                    "sub": id,
                    "aud": self.grant.token_url,
                    "iat": seconds,
                    "exp": seconds + ASSERTION_SECONDS,
                    "jti": Uuid::now_v7().to_string(),
                });
                let assertion = jsonwebtoken::encode(header, &claims, key)
                    .map_err(|error| format!("the assertion cannot be signed: {error}"))?;
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                form.push(("client_assertion_type", kind.to_owned()));
                form.push(("client_assertion", assertion));
            }
        }
        Ok((form, authorization))
    }
}

impl Algorithm {
    const fn jwt(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs384 => jsonwebtoken::Algorithm::RS384,
            Self::Es384 => jsonwebtoken::Algorithm::ES384,
        }
    }
}

/// The public half of a SMART client's key, as a JSON Web Key to publish; `None` for other access.
///
/// # Errors
/// When the key cannot be used.
pub fn public_key(access: &Access) -> Result<Option<Value>, String> {
    let Access::Smart { key, key_id, algorithm, .. } = access else { return Ok(None) };
    let wrong = |error: jsonwebtoken::errors::Error| format!("key {key_id}: {error}");
    let mut jwk =
        Jwk::from_encoding_key(&encoding_key(key, *algorithm)?, algorithm.jwt()).map_err(wrong)?;
    jwk.common.key_id = Some(key_id.clone());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    serde_json::to_value(&jwk).map(Some).map_err(|error| format!("key {key_id}: {error}"))
}

fn encoding_key(key: &Secret, algorithm: Algorithm) -> Result<EncodingKey, String> {
    let pem = key.expose().as_bytes();
    match algorithm {
        Algorithm::Rs384 => EncodingKey::from_rsa_pem(pem),
        Algorithm::Es384 => EncodingKey::from_ec_pem(pem),
    }
    .map_err(|error| format!("the private key is no PEM of its algorithm: {error}"))
}

/// Nothing of the message left, whatever became of the request for a token.
fn unsent(ending: Ending) -> Ending {
    match ending {
        Ending::Unanswered { text, .. } | Ending::Unsendable { text, .. } => {
            Ending::NotSent { code: "token", text: format!("the token endpoint: {text}") }
        }
        other => other,
    }
}

fn is_word(code: &str) -> bool {
    code.len() <= 40 && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}
