//! HTTP clients, one for each host and port, which connect only to addresses that were checked.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Response};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, timeout_at};

use crate::destination::webhook::answer::{Body, Ending};
use crate::destination::webhook::egress::{EgressRules, Origin};
use crate::tls::ClientTls;

/// Most clients kept: one for each host and port that a URL template led to.
const CLIENTS_MAX: usize = 64;

/// Looks up names.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// All addresses of a host.
    ///
    /// # Errors
    /// When the host is not known or nobody can be asked.
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's name service.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// The addresses the next connection of one client may go to; the client asks nobody else.
#[derive(Default)]
struct Pinned(Mutex<Vec<IpAddr>>);

struct PinnedResolver(Arc<Pinned>);

impl Resolve for PinnedResolver {
    fn resolve(&self, _name: Name) -> Resolving {
        let addresses = self.0.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(std::future::ready(Ok::<Addrs, Box<dyn Error + Send + Sync>>(Box::new(
            addresses.into_iter().map(|address| SocketAddr::new(address, 0)),
        ))))
    }
}

struct Known {
    origin: Origin,
    config: Arc<ClientConfig>,
    client: Client,
    pinned: Arc<Pinned>,
}

/// What a connection may take, and how many are kept.
#[derive(Debug, Clone, Copy)]
pub(in crate::destination) struct ClientLimits {
    /// Longest wait for name lookup, and again for connection and TLS handshake together.
    pub(in crate::destination) connect_within: Duration,
    /// An open connection that carried nothing for so long is closed.
    pub(in crate::destination) idle_max: Duration,
    /// Open connections kept for each origin.
    pub(in crate::destination) in_flight: usize,
}

/// The clients of one destination, or of several that may reach the same places.
pub(in crate::destination) struct Clients {
    rules: EgressRules,
    lookup: Arc<dyn Lookup>,
    tls: Option<Arc<ClientTls>>,
    without_tls: Arc<ClientConfig>,
    limits: ClientLimits,
    known: Mutex<Vec<Known>>,
}

impl Clients {
    /// Clients that secure connections with `tls`; without, `https` is refused by an empty list of
    /// roots.
    pub(in crate::destination) fn new(
        limits: ClientLimits,
        rules: EgressRules,
        tls: Option<Arc<ClientTls>>,
        lookup: Arc<dyn Lookup>,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let without_tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        Ok(Self {
            rules,
            lookup,
            tls,
            without_tls: Arc::new(without_tls),
            limits,
            known: Mutex::default(),
        })
    }

    /// A client for this origin, after every address of it was looked up anew and checked.
    pub(in crate::destination) async fn checked(&self, origin: &Origin) -> Result<Client, Ending> {
        let refused = |text: String| Ending::Unsendable { code: "egress", text };
        self.rules.check_host(origin).map_err(|error| refused(error.to_string()))?;
        let addresses = match origin.address {
            Some(_) => Vec::new(),
            None => self.addresses(origin).await?,
        };
        self.client(origin, addresses).map_err(|error| Ending::NotSent {
            code: "tls",
            text: format!("the HTTP client cannot be built: {error}"),
        })
    }

    async fn addresses(&self, origin: &Origin) -> Result<Vec<IpAddr>, Ending> {
        let host = &origin.host;
        let unreachable = |text: String| Ending::NotSent { code: "unreachable", text };
        let found =
            tokio::time::timeout(self.limits.connect_within, self.lookup.lookup(host)).await;
        let addresses = found
            .map_err(|_| unreachable(format!("{host}: the name service did not answer in time")))?
            .map_err(|error| unreachable(format!("{host}: {error}")))?;
        if addresses.is_empty() {
            return Err(unreachable(format!("{host}: the name has no address")));
        }
        for address in &addresses {
            self.rules
                .check_address(origin, *address)
                .map_err(|error| Ending::NotSent { code: "egress", text: error.to_string() })?;
        }
        Ok(addresses)
    }

    /// The client of this origin with these addresses pinned; a new one when there is none, or when the
    /// certificates changed since.
    fn client(&self, origin: &Origin, addresses: Vec<IpAddr>) -> reqwest::Result<Client> {
        let config = match &self.tls {
            Some(tls) => tls.config(),
            None => Arc::clone(&self.without_tls),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| known.origin != *origin || Arc::ptr_eq(&known.config, &config));
        if let Some(known) = known.iter().find(|known| known.origin == *origin) {
            *known.pinned.0.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
            return Ok(known.client.clone());
        }
        let pinned = Arc::new(Pinned(Mutex::new(addresses)));
        let client = self.build(&config, &pinned)?;
        if known.len() >= CLIENTS_MAX {
            known.remove(0);
        }
        let origin = origin.clone();
        known.push(Known { origin, config, client: client.clone(), pinned });
        Ok(client)
    }

    fn build(&self, config: &ClientConfig, pinned: &Arc<Pinned>) -> reqwest::Result<Client> {
        let mut config = config.clone();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Client::builder()
            .tls_backend_preconfigured(config)
            .dns_resolver(PinnedResolver(Arc::clone(pinned)))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(self.limits.connect_within)
            .pool_idle_timeout(self.limits.idle_max)
            .pool_max_idle_per_host(self.limits.in_flight)
            .tcp_nodelay(true)
            .http2_max_header_list_size(64 * 1024)
            .user_agent(concat!("medway/", env!("CARGO_PKG_VERSION")))
            .build()
    }
}

/// The beginning of an answer's body, at most `limit` bytes, and how reading it ended. A longer body is
/// left where it is: its connection is dropped.
pub(in crate::destination) async fn beginning(
    response: &mut Response,
    deadline: Instant,
    limit: usize,
) -> (Vec<u8>, Body) {
    let mut kept: Vec<u8> = Vec::new();
    loop {
        match timeout_at(deadline, response.chunk()).await {
            Err(_) => return (kept, Body::Slow),
            Ok(Err(_)) => return (kept, Body::Broken),
            Ok(Ok(None)) => return (kept, Body::Read),
            Ok(Ok(Some(chunk))) => {
                let room = limit.saturating_sub(kept.len());
                kept.extend(chunk.iter().take(room));
                if chunk.len() > room {
                    return (kept, Body::Read);
                }
            }
        }
    }
}

/// How a request ended that has no answer.
pub(in crate::destination) fn ending_of(error: &reqwest::Error) -> Ending {
    let text = words(error);
    if error.is_builder() {
        return Ending::Unsendable { code: "unsendable", text };
    }
    if !error.is_connect() {
        return Ending::Unanswered {
            code: if error.is_timeout() { "timeout" } else { "reset" },
            text,
        };
    }
    let code = if has_cause::<rustls::Error>(error) {
        "tls"
    } else if io_kinds(error).any(|kind| kind == io::ErrorKind::ConnectionRefused) {
        "refused"
    } else {
        "unreachable"
    };
    Ending::NotSent { code, text }
}

/// The innermost cause: reqwest's own text holds the URL, which may hold message content.
fn words(error: &reqwest::Error) -> String {
    let inner = causes(error).last().map(ToString::to_string);
    match inner {
        Some(text) => text,
        None if error.is_timeout() => "no answer in time".to_owned(),
        None if error.is_connect() => "no connection".to_owned(),
        None => "the request could not be made".to_owned(),
    }
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| cause_of(*cause))
}

fn cause_of<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    // An I/O error hides its own cause unless asked for it.
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn has_cause<E: Error + 'static>(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.is::<E>())
}

fn io_kinds(error: &reqwest::Error) -> impl Iterator<Item = io::ErrorKind> {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}
