//! Who asks, and what they may do: bearer tokens of an authorization server, tokens of our own, users
//! with passwords, client certificates. Checked before a body is read.

pub mod options;
pub mod scope;

mod jwt;
pub(super) mod keys;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::resources::fault::{Fault, unavailable};
use crate::source::fhir::access::jwt::{JwtFault, JwtJudge};
use crate::source::fhir::access::keys::KeyCache;
use crate::source::fhir::access::options::{AccessOptions, Known, SecretHolder};
use crate::source::fhir::access::scope::{Permission, Scopes};
use crate::tls::ClientTls;

/// Somebody who is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// The name in the audit log.
    pub name: Box<str>,
    /// How they showed who they are: `none`, `jwt`, `token`, `basic`, `certificate`.
    pub means: &'static str,
    /// What they may do.
    pub scopes: Scopes,
}

impl Principal {
    /// Whether this may be done to resources of a type.
    ///
    /// # Errors
    /// 403 when not.
    pub fn may(&self, kind: &str, permission: Permission) -> Result<(), Fault> {
        if self.scopes.allow(kind, permission) {
            return Ok(());
        }
        Err(Fault::new(403, "forbidden", "scope", "the scopes granted do not allow this"))
    }
}

/// Tells who asks.
pub struct Access {
    known: Option<Box<Known>>,
    jwt: Option<JwtJudge>,
}

impl Access {
    /// Access as configured; `keys_tls` is the profile that fetches keys.
    #[must_use]
    pub fn new(
        options: &AccessOptions,
        keys_tls: Option<Arc<ClientTls>>,
        clock: &Clock,
    ) -> Arc<Self> {
        let AccessOptions::Known(known) = options else {
            return Arc::new(Self { known: None, jwt: None });
        };
        let jwt = known.jwt.as_ref().map(|options| JwtJudge {
            options: options.clone(),
            keys: KeyCache::new(options.keys.clone(), options.keys_for, keys_tls, clock.clone()),
            clock: clock.clone(),
        });
        Arc::new(Self { known: Some(known.clone()), jwt })
    }

    /// Who asks: by the `Authorization` header, or by the names in the client's certificate.
    ///
    /// # Errors
    /// 401 when nobody is known by what is shown; 503 when it cannot be checked now.
    pub async fn who(
        &self,
        authorization: Option<&str>,
        certificate: &[String],
    ) -> Result<Principal, Fault> {
        let Some(known) = &self.known else {
            return Ok(Principal { name: "anybody".into(), means: "none", scopes: Scopes::All });
        };
        let Some(shown) = authorization else {
            let named = |name: &str| certificate.iter().any(|one| one.eq_ignore_ascii_case(name));
            let holder = known.certificates.iter().find(|holder| named(&holder.name));
            return holder
                .map(|holder| principal(&holder.name, "certificate", &holder.scopes))
                .ok_or_else(|| unknown("this endpoint wants to know who asks"));
        };
        match shown.split_once(' ').map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest.trim()))
        {
            Some((scheme, token)) if scheme == "bearer" => self.bearer(known, token).await,
            Some((scheme, given)) if scheme == "basic" => basic(known, given),
            _ => Err(unknown("this kind of Authorization is not known here")),
        }
    }

    async fn bearer(&self, known: &Known, token: &str) -> Result<Principal, Fault> {
        if let Some(holder) = holder(&known.tokens, |_| true, token) {
            return Ok(principal(&holder.name, "token", &holder.scopes));
        }
        let Some(jwt) = &self.jwt else { return Err(unknown(JwtFault::Invalid.text())) };
        jwt.judge(token).await.map_err(|fault| match fault {
            JwtFault::NoKeys => unavailable(fault.text()),
            other => unknown(other.text()),
        })
    }

    /// What 401 asks for (RFC 9110 §11.6.1).
    #[must_use]
    pub fn challenge(&self) -> &'static str {
        match &self.known {
            Some(known)
                if known.jwt.is_none() && known.tokens.is_empty() && !known.basic.is_empty() =>
            {
                "Basic realm=\"fhir\", charset=\"UTF-8\""
            }
            _ => "Bearer realm=\"fhir\"",
        }
    }

    /// `/.well-known/smart-configuration` (SMART App Launch 2, conformance); `None` when tokens of no
    /// authorization server are taken.
    #[must_use]
    pub fn smart_configuration(&self) -> Option<Value> {
        let jwt = self.known.as_ref()?.jwt.as_ref()?;
        let mut told = json!({
            "issuer": jwt.issuer,
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
            "scopes_supported": ["system/*.cruds", "system/*.rs"],
            "capabilities": [
                "client-confidential-asymmetric", "permission-v1", "permission-v2"
            ],
        });
        if let (Some(endpoint), Some(members)) = (&jwt.token_endpoint, told.as_object_mut()) {
            members.insert("token_endpoint".to_owned(), json!(endpoint));
        }
        Some(told)
    }

    /// `rest.security` of the CapabilityStatement.
    #[must_use]
    pub fn security(&self) -> Value {
        let Some(known) = &self.known else {
            return json!({"cors": false, "description": "Nobody is asked who they are."});
        };
        let service = |code: &str| {
            json!({"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                "code": code,
            }]})
        };
        let mut services = Vec::new();
        if known.jwt.is_some() {
            services.push(service("SMART-on-FHIR"));
        }
        if !known.tokens.is_empty() {
            services.push(service("OAuth"));
        }
        if !known.basic.is_empty() {
            services.push(service("Basic"));
        }
        if !known.certificates.is_empty() {
            services.push(service("Certificates"));
        }
        let mut security = json!({"cors": false, "service": services});
        let endpoint = known.jwt.as_ref().and_then(|jwt| jwt.token_endpoint.as_ref());
        if let (Some(endpoint), Some(members)) = (endpoint, security.as_object_mut()) {
            members.insert(
                "extension".to_owned(),
                json!([{
                    "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                    "extension": [{"url": "token", "valueUri": endpoint}],
                }]),
            );
        }
        security
    }
}

fn basic(known: &Known, given: &str) -> Result<Principal, Fault> {
    let decoded = STANDARD.decode(given).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (user, password) = decoded
        .as_deref()
        .and_then(|text| text.split_once(':'))
        .ok_or_else(|| unknown("Basic wants user and password"))?;
    let found = holder(&known.basic, |name| name == user, password);
    let holder = found.ok_or_else(|| unknown("user or password is wrong"))?;
    Ok(principal(&holder.name, "basic", &holder.scopes))
}

/// Every secret is compared, so that the time says nothing of which one it was.
fn holder<'a>(
    holders: &'a [SecretHolder],
    named: impl Fn(&str) -> bool,
    given: &str,
) -> Option<&'a SecretHolder> {
    holders.iter().fold(None, |found, holder| {
        let matches = holder.secret.matches(given) & named(&holder.name);
        if matches { Some(holder) } else { found }
    })
}

fn principal(name: &str, means: &'static str, scopes: &Scopes) -> Principal {
    Principal { name: name.into(), means, scopes: scopes.clone() }
}

fn unknown(text: &str) -> Fault {
    Fault::new(401, "login", "unknown", text)
}
