//! Messages by HTTP POST: 2xx only after the commit.

pub mod options;

mod answer;
mod request;

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::source::gate::{Gate, GateRules};
use crate::source::http::options::HttpSourceOptions;
use crate::source::http::request::Desk;
use crate::source::intake::Intake;
use crate::source::listener::{SourceError, bind};
use crate::source::status::SourceStatus;
use crate::source::talk::{Talk, TalkRules};
use crate::tls::ServerTls;

/// Largest request header, in bytes.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// An HTTP source that does not listen yet.
pub struct HttpSource {
    channel: Arc<str>,
    options: HttpSourceOptions,
    tls: Option<Arc<ServerTls>>,
    clock: Clock,
}

/// An HTTP source that holds its port.
pub struct BoundHttpSource {
    listener: TcpListener,
    address: SocketAddr,
    gate: Arc<Gate>,
    status: Arc<SourceStatus>,
    source: HttpSource,
}

impl HttpSource {
    /// A source of `channel`; `tls` is the profile that the options name.
    #[must_use]
    pub fn new(
        channel: Arc<str>,
        options: HttpSourceOptions,
        tls: Option<Arc<ServerTls>>,
        clock: Clock,
    ) -> Self {
        Self { channel, options, tls, clock }
    }

    /// Takes the port.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn bind(self) -> Result<BoundHttpSource, SourceError> {
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
        let gate = Gate::new(channel, rules, self.clock.clone(), Arc::clone(&status));
        Ok(BoundHttpSource { listener, address, gate, status, source: self })
    }
}

impl BoundHttpSource {
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
        let Self { listener, gate, status, source, .. } = self;
        let HttpSource { channel, options, tls, clock } = source;
        let desk = Arc::new(Desk { channel, options, clock, intake, status });
        while let Some((stream, peer, ticket)) = gate.accept(&listener, &stop).await {
            let timeouts = desk.options.timeouts;
            let rules = TalkRules {
                handshake: timeouts.handshake,
                header: timeouts.header,
                header_bytes_max: HEADER_BYTES_MAX,
                rest: timeouts.header + timeouts.body + timeouts.answer,
            };
            let talk = Talk { gate: Arc::clone(&gate), peer, ticket, rules };
            tracker.spawn(serve(talk, Arc::clone(&desk), tls.clone(), stream));
        }
    }
}

async fn serve(talk: Talk, desk: Arc<Desk>, tls: Option<Arc<ServerTls>>, stream: TcpStream) {
    let peer = talk.peer;
    let service = service_fn(move |request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, std::convert::Infallible>(desk.answer(request, peer).await) }
    });
    match tls {
        None => Box::pin(talk.serve(stream, service)).await,
        Some(tls) => {
            if let Some(stream) = talk.shake(&tls, stream).await {
                Box::pin(talk.serve(stream, service)).await;
            }
        }
    }
}
