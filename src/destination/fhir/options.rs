//! The options of a FHIR destination.

use std::time::Duration;

use crate::destination::webhook::options::Authorization;
use crate::message::secret::Secret;

/// Writes to a FHIR server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FhirOptions {
    /// The server's base URL.
    pub base: String,
    /// What is done with what is sent.
    pub action: Action,
    /// The system of the identifier that conditional actions look for; the resource's first identifier
    /// without.
    pub identifier_system: Option<String>,
    /// Whether a resource of nothing but type and id, which is how a delete is sent, is deleted there.
    pub deletes: Deletes,
    /// Name of the TLS profile (own roots, client certificate); the system's roots without.
    pub tls: Option<String>,
    /// How the engine names itself.
    pub access: Access,
    /// Hosts and networks it may reach; only those of `base` and the token URL when empty.
    pub allow: Vec<String>,
    /// Longest wait for name lookup, connection and TLS handshake.
    pub connect_within: Duration,
    /// Longest wait for the whole answer.
    pub reply_within: Duration,
    /// Most bytes read of an answer.
    pub answer_bytes_max: usize,
    /// Requests at the same time.
    pub in_flight: u32,
    /// An open connection that carried nothing for so long is closed.
    pub idle_max: Duration,
    /// A longer wish of the server (`Retry-After`) is cut to this.
    pub retry_after_max: Duration,
}

impl Default for FhirOptions {
    fn default() -> Self {
        Self {
            base: String::new(),
            action: Action::Auto,
            identifier_system: None,
            deletes: Deletes::Refuse,
            tls: None,
            access: Access::Header(Authorization::None),
            allow: Vec::new(),
            connect_within: Duration::from_secs(10),
            reply_within: Duration::from_secs(30),
            answer_bytes_max: 1 << 20,
            in_flight: 16,
            idle_max: Duration::from_secs(30),
            retry_after_max: Duration::from_hours(24),
        }
    }
}

/// What is done with what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// By what it is: transactions and batches are posted, messages processed, resources with an id
    /// updated, others created.
    Auto,
    /// POST [base]/Type; with an identifier as a conditional create, so that a repeat creates nothing.
    Create,
    /// PUT [base]/Type/id.
    Update,
    /// PUT [base]/Type?identifier=…
    ConditionalUpdate,
    /// POST [base].
    Transaction,
    /// POST [base]/$process-message.
    ProcessMessage,
}

impl Action {
    /// All of them, each with its word in channel files.
    pub const ALL: [(&'static str, Self); 6] = [
        ("auto", Self::Auto),
        ("create", Self::Create),
        ("update", Self::Update),
        ("conditional_update", Self::ConditionalUpdate),
        ("transaction", Self::Transaction),
        ("process_message", Self::ProcessMessage),
    ];
}

/// What becomes of a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deletes {
    /// It is set aside.
    Refuse,
    /// DELETE [base]/Type/id.
    Send,
}

/// How the engine names itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// With a header that is always the same (or none; a client certificate is part of TLS).
    Header(Authorization),
    /// OAuth 2.0 client credentials (RFC 6749 §4.4).
    ClientCredentials {
        /// Where tokens are.
        grant: Grant,
        /// The client's secret.
        secret: Secret,
        /// How it is sent.
        place: SecretPlace,
    },
    /// SMART Backend Services: client credentials with a signed assertion (`private_key_jwt`).
    Smart {
        /// Where tokens are.
        grant: Grant,
        /// The private key, as PEM.
        key: Secret,
        /// Its id in our key set.
        key_id: String,
        /// How it signs.
        algorithm: Algorithm,
    },
}

/// What every grant of client credentials has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The token endpoint.
    pub token_url: String,
    /// Our id there.
    pub client_id: String,
    /// What is asked for, e.g. `system/*.cruds`.
    pub scope: Option<String>,
}

/// Where the client's secret stands (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretPlace {
    /// `Authorization: Basic`.
    Basic,
    /// In the form.
    Form,
}

/// Algorithms that SMART asks clients for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSA with SHA-384.
    Rs384,
    /// ECDSA on P-384 with SHA-384.
    Es384,
}
