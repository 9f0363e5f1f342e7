//! Asks places outside on the engine's own behalf, by the rules that hold for webhooks: an allow-list, each
//! address looked up and checked before it is connected to, no redirects, no proxies, limits everywhere.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Request;
use reqwest::header::HeaderMap;
use tokio::time::Instant;

use crate::destination::webhook::answer::{Body, Ending};
use crate::destination::webhook::client::{
    ClientLimits, Clients, SystemLookup, beginning, ending_of,
};
use crate::destination::webhook::egress::{EgressError, EgressRules, Origin};
use crate::tls::{ClientTls, TlsProfile};

/// What was answered.
#[derive(Debug)]
pub struct Answered {
    /// The HTTP status.
    pub status: reqwest::StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Why there is no answer, in words without path, query or content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unanswered(String);

impl Unanswered {
    /// For this reason.
    #[must_use]
    pub fn of(why: &str) -> Self {
        Self(why.to_owned())
    }
}

/// Whom may be asked, and for how long.
pub struct Asker {
    clients: Clients,
    within: Duration,
    bytes_max: usize,
}

impl Asker {
    /// May ask the places on `allow`; where that is empty, the host of `home` alone.
    ///
    /// # Errors
    /// When the list or `home` cannot be read, or TLS cannot be set up.
    pub fn new(
        home: &str,
        allow: &[String],
        tls: Option<Arc<ClientTls>>,
        within: Duration,
        bytes_max: usize,
    ) -> Result<Self, Unanswered> {
        let rules = if allow.is_empty() { only(home) } else { EgressRules::parse(allow) };
        let rules = rules.map_err(|error| Unanswered(error.to_string()))?;
        let tls = match tls {
            Some(tls) => Some(tls),
            // A machine without roots can still ask by http; https is refused there.
            None => ClientTls::load(&TlsProfile::default()).ok().map(Arc::new),
        };
        let limits = ClientLimits {
            connect_within: within,
            idle_max: Duration::from_secs(30),
            in_flight: 4,
        };
        let clients = Clients::new(limits, rules, tls, Arc::new(SystemLookup));
        let clients = clients.map_err(|error| Unanswered(error.to_string()))?;
        Ok(Self { clients, within, bytes_max })
    }

    /// Asks once.
    ///
    /// # Errors
    /// When the place may not be asked, does not answer in time, or answers too much.
    pub async fn ask(&self, request: Request) -> Result<Answered, Unanswered> {
        let deadline = Instant::now() + self.within;
        let asked = tokio::time::timeout_at(deadline, self.asked(request, deadline)).await;
        asked.map_err(|_| Unanswered("no answer in time".to_owned()))?
    }

    async fn asked(&self, request: Request, deadline: Instant) -> Result<Answered, Unanswered> {
        let origin = Origin::of(request.url()).map_err(|error| Unanswered(error.to_string()))?;
        let client = self.clients.checked(&origin).await.map_err(words)?;
        let mut response =
            client.execute(request).await.map_err(|error| words(ending_of(&error)))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let limit = self.bytes_max.saturating_add(1);
        let (body, ended) = beginning(&mut response, deadline, limit).await;
        if body.len() > self.bytes_max {
            return Err(Unanswered(format!("the answer is larger than {} bytes", self.bytes_max)));
        }
        match ended {
            Body::Read => Ok(Answered { status, headers, body }),
            Body::Slow => Err(Unanswered("the answer was not whole in time".to_owned())),
            Body::Broken => Err(Unanswered("the answer broke off".to_owned())),
        }
    }
}

impl std::fmt::Debug for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asker").field("within", &self.within).finish_non_exhaustive()
    }
}

fn only(home: &str) -> Result<EgressRules, EgressError> {
    let url = reqwest::Url::parse(home).map_err(|_| EgressError::Url("it is none"))?;
    Ok(EgressRules::only(&Origin::of(&url)?))
}

fn words(ending: Ending) -> Unanswered {
    match ending {
        Ending::NotSent { text, .. }
        | Ending::Unanswered { text, .. }
        | Ending::Unsendable { text, .. }
        | Ending::Answered { text, .. } => Unanswered(text),
    }
}
