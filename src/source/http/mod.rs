//! Messages by HTTP POST: 2xx only after the commit.
//!
//! An accept loop of our own, because hyper's header timeout needs a timer that ready-made servers
//! do not install: a client that sends its header byte by byte would hold its connection for ever.

pub mod options;

mod answer;
mod request;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::source::gate::{Gate, GateRules, Ticket};
use crate::source::http::options::HttpSourceOptions;
use crate::source::http::request::Desk;
use crate::source::intake::Intake;
use crate::source::listener::{SourceError, bind};
use crate::source::mllp::options::PeerFull;
use crate::source::status::SourceStatus;
use crate::tls::ServerTls;

/// Largest request header, in bytes.
const HEADER_BYTES_MAX: usize = 16 << 10;
const KEEPALIVE: Duration = Duration::from_mins(1);

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
        let rules = GateRules {
            allow: self.options.allow.clone(),
            connections_max: self.options.connections_max,
            connections_per_peer_max: self.options.connections_per_peer_max,
            peer_full: PeerFull::RefuseNew,
            keepalive: KEEPALIVE,
            user_timeout: self.options.timeouts.answer,
        };
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
            let connection = Connection {
                desk: Arc::clone(&desk),
                gate: Arc::clone(&gate),
                tls: tls.clone(),
                peer,
                ticket,
            };
            tracker.spawn(connection.serve(stream));
        }
    }
}

struct Connection {
    desk: Arc<Desk>,
    gate: Arc<Gate>,
    tls: Option<Arc<ServerTls>>,
    peer: SocketAddr,
    ticket: Ticket,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        let Some(tls) = self.tls.clone() else { return self.talk(stream).await };
        let shake = tls.accept(stream, self.desk.options.timeouts.handshake);
        let stopped = self.ticket.stop.clone();
        let shaken = tokio::select! {
            () = stopped.cancelled() => return,
            shaken = shake => shaken,
        };
        match shaken {
            Ok(stream) => Box::pin(self.talk(stream)).await,
            Err(_) => self.gate.refused(self.peer, "tls"),
        }
    }

    async fn talk(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let timeouts = self.desk.options.timeouts;
        let (desk, peer) = (Arc::clone(&self.desk), self.peer);
        let service = service_fn(move |request| {
            let desk = Arc::clone(&desk);
            async move { Ok::<_, std::convert::Infallible>(desk.answer(request, peer).await) }
        });
        let mut connection = std::pin::pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(timeouts.header)
                .max_buf_size(HEADER_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), service)
        );
        tokio::select! {
            ended = connection.as_mut() => {
                if ended.is_err_and(|error| error.is_timeout()) {
                    self.gate.refused(self.peer, "timeout");
                }
                return;
            }
            () = self.ticket.stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        // The request in work may still end; each of its steps has its own limit.
        let rest = timeouts.header + timeouts.body + timeouts.answer;
        if timeout(rest, connection).await.is_err() {
            self.gate.refused(self.peer, "timeout");
        }
    }
}
