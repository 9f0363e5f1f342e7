//! Bearer tokens of an authorization server: signed by one of its keys, for us, and valid now.

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use crate::clock::Clock;
use crate::message::time::Timestamp;
use crate::source::fhir::access::Principal;
use crate::source::fhir::access::keys::KeyCache;
use crate::source::fhir::access::options::JwtOptions;
use crate::source::fhir::access::scope::Scopes;

/// Signatures that are taken. Shared secrets (HS256) and `none` are not among them.
const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];
/// How far clocks may differ.
const SKEW_S: i64 = 60;
/// Longest token.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Judges tokens.
pub(super) struct JwtJudge {
    pub(super) options: JwtOptions,
    pub(super) keys: KeyCache,
    pub(super) clock: Clock,
}

/// Why a token is not taken. The client hears no more than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JwtFault {
    /// It is none, or its signature is not of a key of the issuer.
    Invalid,
    /// It is not valid yet or any more.
    Expired,
    /// It is for somebody else.
    Audience,
    /// The keys cannot be had.
    NoKeys,
}

impl JwtFault {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Invalid => "the bearer token is not valid here",
            Self::Expired => "the bearer token is not valid at this time",
            Self::Audience => "the bearer token is for another audience or of another issuer",
            Self::NoKeys => "bearer tokens cannot be checked now; try again later",
        }
    }
}

impl JwtJudge {
    /// Who shows this token.
    pub(super) async fn judge(&self, token: &str) -> Result<Principal, JwtFault> {
        let header = Some(token).filter(|token| token.len() <= TOKEN_BYTES_MAX);
        let header = header.and_then(|token| decode_header(token).ok()).ok_or(JwtFault::Invalid)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(JwtFault::Invalid);
        }
        let keys = self.keys.keys(header.kid.as_deref()).await.ok_or(JwtFault::NoKeys)?;
        let mut validation = Validation::new(header.alg);
        // Claims are judged below, by the engine's clock.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let claims = keys
            .keys
            .iter()
            .filter(|key| fits(key, header.kid.as_deref(), header.alg))
            .filter_map(|key| DecodingKey::from_jwk(key).ok())
            .find_map(|key| decode::<Value>(token, &key, &validation).ok())
            .ok_or(JwtFault::Invalid)?
            .claims;
        self.claims(&claims)
    }

    fn claims(&self, claims: &Value) -> Result<Principal, JwtFault> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let number = |name: &str| {
            claims.get(name).and_then(|value| {
                // NumericDate may have a fraction (RFC 7519 §2).
                value.as_i64().or_else(|| value.as_f64().map(whole))
            })
        };
        if text("iss") != Some(&*self.options.issuer) || !self.is_for_us(claims.get("aud")) {
            return Err(JwtFault::Audience);
        }
        let Timestamp(now) = self.clock.now();
        let now = now / 1_000_000;
        let expires = number("exp").ok_or(JwtFault::Invalid)?;
        let early = number("nbf").is_some_and(|from| from > now.saturating_add(SKEW_S));
        if early || expires.saturating_add(SKEW_S) <= now {
            return Err(JwtFault::Expired);
        }
        let name = text("client_id").or_else(|| text("azp")).or_else(|| text("sub"));
        if name.is_some_and(|client| self.options.is_withdrawn(client)) {
            return Err(JwtFault::Invalid);
        }
        let scopes = match claims.get("scope").or_else(|| claims.get("scp")) {
            Some(Value::String(scopes)) => Scopes::read(scopes),
            Some(Value::Array(scopes)) => {
                let each: Vec<_> = scopes.iter().filter_map(Value::as_str).collect();
                Scopes::read(&each.join(" "))
            }
            _ => Scopes::Only(Vec::new()),
        };
        Ok(Principal { name: name.unwrap_or("unnamed").into(), means: "jwt", scopes })
    }

    fn is_for_us(&self, audience: Option<&Value>) -> bool {
        match audience {
            Some(Value::String(one)) => **one == *self.options.audience,
            Some(Value::Array(many)) => {
                many.iter().filter_map(Value::as_str).any(|one| one == &*self.options.audience)
            }
            _ => false,
        }
    }
}

#[expect(clippy::as_conversions, reason = "a float becomes the nearest whole number")]
#[expect(clippy::cast_possible_truncation, reason = "out of range it saturates")]
fn whole(number: f64) -> i64 {
    number as i64
}

/// A key of the right sort: a token cannot choose an algorithm that its key is not for.
fn fits(key: &Jwk, kid: Option<&str>, algorithm: Algorithm) -> bool {
    let sort = match (&key.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256 | Algorithm::RS384) => true,
        (AlgorithmParameters::EllipticCurve(curve), Algorithm::ES256) => {
            curve.curve == jsonwebtoken::jwk::EllipticCurve::P256
        }
        (AlgorithmParameters::EllipticCurve(curve), Algorithm::ES384) => {
            curve.curve == jsonwebtoken::jwk::EllipticCurve::P384
        }
        (AlgorithmParameters::OctetKeyPair(_), Algorithm::EdDSA) => true,
        _ => false,
    };
    sort && kid.is_none_or(|kid| key.common.key_id.as_deref() == Some(kid))
}
