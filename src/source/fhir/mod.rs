//! A FHIR R4 endpoint (http.html): what is written is a message of the channel and a version of a
//! resource, both durable before 200 or 201 leaves.
//!
//! ```text
//! connection ─ request ─→ ask ─→ desk ─┬─ read, search, history ─→ resource store
//!     answer ←─────────────────────────┼─ write, transaction ─→ resources::plan ─→ intake (one commit)
//!                                      └─ $process-message ─→ intake
//! ```

pub mod access;
pub mod answer;
pub mod audit;
pub mod extension;
pub mod options;

mod ask;
mod bundle;
mod capability;
mod desk;
mod hear;
mod history;
mod negotiate;
mod page;
mod process;
mod read;
mod request;
mod route;
mod search;
mod validate;
mod write;

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::service::service_fn;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::source::fhir::access::Access;
use crate::source::fhir::audit::Audit;
use crate::source::fhir::desk::Desk;
use crate::source::fhir::extension::Extension;
use crate::source::fhir::hear::Hearsay;
use crate::source::fhir::options::FhirSourceOptions;
use crate::source::fhir::page::PageSeal;
use crate::source::fhir::request::Clerk;
use crate::source::gate::{Gate, GateRules};
use crate::source::intake::Intake;
use crate::source::listener::{SourceError, bind};
use crate::source::status::SourceStatus;
use crate::source::talk::{Talk, TalkRules};
use crate::store::resources::ResourceStore;
use crate::tls::{ClientTls, ServerTls, client_names};

/// Largest request header, in bytes: searches may be long.
const HEADER_BYTES_MAX: usize = 32 << 10;

/// What an endpoint stands on.
#[derive(Clone)]
pub struct FhirParts {
    /// Where resources are.
    pub store: Arc<dyn ResourceStore>,
    /// Who did what.
    pub audit: Arc<dyn Audit>,
    /// What the engine adds: subscriptions.
    pub extension: Arc<dyn Extension>,
    /// The TLS profile that the options name.
    pub tls: Option<Arc<ServerTls>>,
    /// The TLS profile that fetches the keys of the authorization server.
    pub keys_tls: Option<Arc<ClientTls>>,
    /// The time.
    pub clock: Clock,
}

/// A FHIR source that does not listen yet.
pub struct FhirSource {
    channel: Arc<str>,
    options: FhirSourceOptions,
    parts: FhirParts,
}

/// A FHIR source that holds its port.
pub struct BoundFhirSource {
    listener: TcpListener,
    address: SocketAddr,
    gate: Arc<Gate>,
    status: Arc<SourceStatus>,
    source: FhirSource,
}

impl FhirSource {
    /// A source of `channel`.
    #[must_use]
    pub const fn new(channel: Arc<str>, options: FhirSourceOptions, parts: FhirParts) -> Self {
        Self { channel, options, parts }
    }

    /// Takes the port.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn bind(self) -> Result<BoundFhirSource, SourceError> {
        let (listener, address) = bind(self.options.listen).await?;
        let status = Arc::new(SourceStatus::default());
        status.listens(address);
        let rules = GateRules::http(
            self.options.allow.clone(),
            self.options.connections_max,
            self.options.connections_per_peer_max,
            self.options.timeouts.answer,
        );
        let channel = Arc::clone(&self.channel);
        let gate = Gate::new(channel, rules, self.parts.clock.clone(), Arc::clone(&status));
        Ok(BoundFhirSource { listener, address, gate, status, source: self })
    }
}

impl BoundFhirSource {
    /// The address it listens on, with the port it really got.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Its live counters.
    #[must_use]
    pub fn status(&self) -> Arc<SourceStatus> {
        Arc::clone(&self.status)
    }

    /// Serves until `stop`; connections end on `tracker`, after the request they are in.
    pub async fn run(self, intake: Intake, stop: CancellationToken, tracker: TaskTracker) {
        let Self { listener, address, gate, status, source } = self;
        let FhirSource { channel, options, parts } = source;
        let tls = parts.tls.clone();
        let clerk = Arc::new(Clerk {
            access: Access::new(&options.access, parts.keys_tls.clone(), &parts.clock),
            scheme: if tls.is_some() { "https" } else { "http" },
            address,
            in_flight: std::sync::Mutex::default(),
            desk: Desk {
                channel,
                rules: options.write_rules(),
                options,
                seal: PageSeal::new(),
                hearsay: Hearsay::default(),
                started: parts.clock.now(),
                parts,
                intake,
                status,
            },
        });
        while let Some((stream, peer, ticket)) = gate.accept(&listener, &stop).await {
            let timeouts = clerk.desk.options.timeouts;
            let rules = TalkRules {
                handshake: timeouts.handshake,
                header: timeouts.header,
                header_bytes_max: HEADER_BYTES_MAX,
                rest: timeouts.header + timeouts.body + timeouts.answer,
            };
            let talk = Talk { gate: Arc::clone(&gate), peer, ticket, rules };
            tracker.spawn(serve(talk, Arc::clone(&clerk), tls.clone(), stream));
        }
    }
}

async fn serve(talk: Talk, clerk: Arc<Clerk>, tls: Option<Arc<ServerTls>>, stream: TcpStream) {
    let Some(tls) = tls else { return answer_all(talk, clerk, stream, Vec::new()).await };
    if let Some(stream) = talk.shake(&tls, stream).await {
        let names = client_names(&stream);
        answer_all(talk, clerk, stream, names).await;
    }
}

/// `names` are those in the client's certificate.
async fn answer_all(
    talk: Talk,
    clerk: Arc<Clerk>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    names: Vec<String>,
) {
    let (peer, names) = (talk.peer, Arc::new(names));
    let service = service_fn(move |request| {
        let (clerk, names) = (Arc::clone(&clerk), Arc::clone(&names));
        async move {
            let answer = Box::pin(clerk.answer(request, peer, &names)).await;
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    Box::pin(talk.serve(stream, service)).await;
}
