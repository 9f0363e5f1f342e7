//! What a FHIR source may be told, with its defaults.

use std::net::SocketAddr;
use std::time::Duration;

use crate::fhir::json::read::Limits;
use crate::message::secret::Secret;
use crate::network::Network;
use crate::resources::plan::{Validation, WriteRules};
use crate::source::fhir::access::options::AccessOptions;
use crate::source::http::options::HttpTimeouts;

/// Notifications of another server's subscriptions, taken as messages of the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hearing {
    /// Base URL of the other server, without a slash at the end: `https://emr.hospital.example/fhir`.
    pub from: Box<str>,
    /// Secrets that sign notifications, or public keys (`whpk_…`); several while one is changed.
    pub secrets: Vec<Secret>,
    /// Bearer token for `$events`.
    pub token: Option<Secret>,
}

/// A FHIR R4 endpoint: what is written is a message of the channel and a version of a resource.
#[derive(Debug, Clone, PartialEq)]
pub struct FhirSourceOptions {
    /// Address and port to listen on; port 0 takes any free port.
    pub listen: SocketAddr,
    /// Path below which the endpoint lives, e.g. `/fhir`; empty for the root.
    pub base: Box<str>,
    /// What clients call it, e.g. `https://fhir.hospital.example/fhir`, when that differs from what
    /// they send as `Host`.
    pub public_url: Option<Box<str>>,
    /// Name of the TLS profile in `engine.yaml`; `None`: plain HTTP.
    pub tls: Option<Box<str>>,
    /// Networks that may connect. Empty: all.
    pub allow: Vec<Network>,
    /// Who may do what.
    pub access: AccessOptions,
    /// Resource types that are taken and served; empty: all of R4.
    pub types: Vec<Box<str>>,
    /// Whether a client may choose the id of a new resource.
    pub update_creates: bool,
    /// How much a resource must keep to R4.
    pub validation: Validation,
    /// Largest body, in bytes; a larger one gets 413.
    pub body_bytes_max: usize,
    /// Deepest nesting of a body.
    pub depth_max: usize,
    /// Entries in one bundle; a larger one gets 413.
    pub entries_max: usize,
    /// Matches on a page when `_count` says nothing.
    pub page_size: u32,
    /// Most matches on a page, whatever `_count` says.
    pub page_size_max: u32,
    /// Most included resources on a page.
    pub includes_max: u32,
    /// Whose notifications are taken; `None`: nobody's.
    pub hearing: Option<Hearing>,
    /// How far back a repeated `$process-message` or event of a subscription is answered as the first time.
    pub repeat_within: Duration,
    /// Connections open at once.
    pub connections_max: u32,
    /// Connections open at once from one remote address.
    pub connections_per_peer_max: u32,
    /// What 503 and 429 ask the client to wait (`Retry-After`).
    pub retry_after: Duration,
    /// How long each step may take.
    pub timeouts: HttpTimeouts,
}

impl FhirSourceOptions {
    /// What writes keep to.
    #[must_use]
    pub fn write_rules(&self) -> WriteRules {
        WriteRules {
            types: self.types.clone(),
            update_creates: self.update_creates,
            validation: self.validation,
            limits: self.limits(),
        }
    }

    /// How a body is read.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            size_bytes_max: self.body_bytes_max,
            depth_max: self.depth_max,
            ..Limits::default()
        }
    }
}

impl Default for FhirSourceOptions {
    /// Loopback, any free port, base `/fhir`, open to all; all limits at their defaults.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            base: "/fhir".into(),
            public_url: None,
            tls: None,
            allow: Vec::new(),
            access: AccessOptions::Open,
            types: Vec::new(),
            update_creates: true,
            validation: Validation::Strict,
            body_bytes_max: 10 << 20,
            depth_max: 100,
            entries_max: 1_000,
            page_size: 50,
            page_size_max: 1_000,
            includes_max: 1_000,
            hearing: None,
            repeat_within: Duration::from_hours(24 * 7),
            connections_max: 512,
            connections_per_peer_max: 64,
            retry_after: Duration::from_secs(5),
            timeouts: HttpTimeouts::default(),
        }
    }
}
