//! What can be set of a webhook destination.

use std::time::Duration;

use crate::message::secret::Secret;

/// Sends each message as one HTTP POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookOptions {
    /// Where to: an `http` or `https` URL. A URL with places for values of the message arrives
    /// resolved in the attribute `url` of the message to send and goes before this one.
    pub url: String,
    /// Name of the TLS profile (own roots, client certificate); the system's roots without.
    pub tls: Option<String>,
    /// Secrets that sign each request after the Standard Webhooks specification: `whsec_` and base64,
    /// or the key itself. Several while a secret is being changed: each makes one signature.
    pub sign: Vec<Secret>,
    /// How the request names its sender.
    pub authorization: Authorization,
    /// Headers added to each request. Not allowed: those the transport sets (`Host`, `Content-Length`,
    /// `Transfer-Encoding`, `Connection`, …) and `webhook-*`.
    pub headers: Vec<(String, Secret)>,
    /// `Content-Type` of each request; that of the message without.
    pub content_type: Option<String>,
    /// Hosts and networks this destination may reach: `emr.hospital.example`, `*.hospital.example`,
    /// `emr.hospital.example:8443`, `10.20.0.0/16`, `10.20.0.0/16:443`, `[2001:db8::]/32`.
    /// Empty: only the host and port of `url`.
    pub allow: Vec<String>,
    /// Longest wait for name lookup, and again for TCP connection and TLS handshake together; at most
    /// half of `reply_within`. Default 10 s.
    pub connect_within: Duration,
    /// Longest wait for the whole answer, counted from the request. Default 30 s.
    pub reply_within: Duration,
    /// Most bytes read of an answer's body; a longer one is cut there and the connection dropped, the
    /// status alone decides. Default 64 KiB.
    pub answer_bytes_max: usize,
    /// Requests at the same time. Default 16.
    pub in_flight: u32,
    /// An open connection that carried nothing for so long is closed. Default 30 s: most servers close
    /// later, so that a request seldom meets a connection that is being closed.
    pub idle_max: Duration,
    /// A longer wish of the receiver (`Retry-After`) is cut to this. Default 24 h.
    pub retry_after_max: Duration,
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            tls: None,
            sign: Vec::new(),
            authorization: Authorization::default(),
            headers: Vec::new(),
            content_type: None,
            allow: Vec::new(),
            connect_within: Duration::from_secs(10),
            reply_within: Duration::from_secs(30),
            answer_bytes_max: 64 * 1024,
            in_flight: 16,
            idle_max: Duration::from_secs(30),
            retry_after_max: Duration::from_hours(24),
        }
    }
}

/// The `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Authorization {
    /// None.
    #[default]
    None,
    /// `Bearer` and a token.
    Bearer(Secret),
    /// `Basic`: user and password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
}
