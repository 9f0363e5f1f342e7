//! HL7 v2 over MLLP: frames in, acknowledgements out, never a positive one before the commit.
//!
//! Reading order: this file (ports and handshakes), `connection` (bytes in and out, deadlines),
//! `desk` (what a frame is, and who answers it), `answer` (which codes are due), `batch`.

pub mod options;

mod answer;
mod batch;
mod connection;
mod desk;
mod pending;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::source::gate::{Gate, GateRules, Ticket};
use crate::source::intake::Intake;
use crate::source::listener::{SourceError, bind};
use crate::source::mllp::connection::Connection;
use crate::source::mllp::desk::{Desk, Sender};
use crate::source::mllp::options::{MllpSourceOptions, Side};
use crate::source::status::SourceStatus;
use crate::tls::{ClientTls, ServerTls, client_names};

/// The first wait between two tries to connect.
const RECONNECT_FIRST: Duration = Duration::from_millis(100);

/// The TLS profile of a source: it depends on who opens the connection.
#[derive(Clone)]
pub enum MllpTls {
    /// For [`Side::Listen`].
    Server(Arc<ServerTls>),
    /// For [`Side::Connect`].
    Client(Arc<ClientTls>),
}

/// An MLLP source that does not listen yet.
pub struct MllpSource {
    channel: Arc<str>,
    options: MllpSourceOptions,
    tls: Option<MllpTls>,
    clock: Clock,
}

/// An MLLP source that holds its port.
pub struct BoundMllpSource {
    entrance: Entrance,
    gate: Arc<Gate>,
    status: Arc<SourceStatus>,
    source: MllpSource,
}

enum Entrance {
    Port(TcpListener, SocketAddr),
    Peer { host: String, port: u16 },
}

impl MllpSource {
    /// A source of `channel`; `tls` is the profile that the options name.
    #[must_use]
    pub fn new(
        channel: Arc<str>,
        options: MllpSourceOptions,
        tls: Option<MllpTls>,
        clock: Clock,
    ) -> Self {
        Self { channel, options, tls, clock }
    }

    /// Takes the port, if it listens.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn bind(self) -> Result<BoundMllpSource, SourceError> {
        let options = &self.options;
        let status = Arc::new(SourceStatus::default());
        let entrance = match &options.side {
            Side::Listen(address) => {
                let (listener, address) = bind(*address).await?;
                status.listens(address);
                Entrance::Port(listener, address)
            }
            Side::Connect { host, port } => Entrance::Peer { host: host.clone(), port: *port },
        };
        let rules = GateRules {
            allow: options.allow.clone(),
            connections_max: options.connections_max,
            connections_per_peer_max: options.connections_per_peer_max,
            peer_full: options.peer_full,
            keepalive: options.timeouts.keepalive,
            user_timeout: options.timeouts.user,
        };
        let channel = Arc::clone(&self.channel);
        let gate = Gate::new(channel, rules, self.clock.clone(), Arc::clone(&status));
        Ok(BoundMllpSource { entrance, gate, status, source: self })
    }
}

impl BoundMllpSource {
    /// The address it listens on, with the port it really got; `None` when it connects.
    #[must_use]
    pub const fn local_addr(&self) -> Option<SocketAddr> {
        match self.entrance {
            Entrance::Port(_, address) => Some(address),
            Entrance::Peer { .. } => None,
        }
    }

    /// Its live counters.
    #[must_use]
    pub fn status(&self) -> Arc<SourceStatus> {
        Arc::clone(&self.status)
    }

    /// Receives until `stop`. Connections live on `tracker`; when `stop` is cancelled they read no
    /// more, answer what they have handed in, and end.
    pub async fn run(self, intake: Intake, stop: CancellationToken, tracker: TaskTracker) {
        let Self { entrance, gate, status, source } = self;
        let MllpSource { channel, options, tls, clock } = source;
        let desk = Desk::new(channel, options, clock, intake, status, Arc::clone(&gate));
        let door = Door { desk: Arc::new(desk), gate, tls };
        match entrance {
            Entrance::Port(listener, _) => door.listen(&listener, &stop, &tracker).await,
            Entrance::Peer { host, port } => door.call(&host, port, &stop).await,
        }
    }
}

#[derive(Clone)]
struct Door {
    desk: Arc<Desk>,
    gate: Arc<Gate>,
    tls: Option<MllpTls>,
}

impl Door {
    async fn listen(
        &self,
        listener: &TcpListener,
        stop: &CancellationToken,
        tracker: &TaskTracker,
    ) {
        while let Some((stream, peer, ticket)) = self.gate.accept(listener, stop).await {
            tracker.spawn(self.clone().serve(stream, peer, ticket, None));
        }
    }

    /// Keeps one connection to the sender open (reverse MLLP).
    async fn call(&self, host: &str, port: u16, stop: &CancellationToken) {
        let timeouts = self.desk.options.timeouts;
        let mut wait = RECONNECT_FIRST;
        while !stop.is_cancelled() {
            let connect = timeout(timeouts.connect, TcpStream::connect((host, port)));
            let connected = tokio::select! {
                () = stop.cancelled() => return,
                connected = connect => connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())),
            };
            match connected.and_then(|stream| stream.peer_addr().map(|peer| (stream, peer))) {
                Ok((stream, peer)) => {
                    wait = RECONNECT_FIRST;
                    info!(channel = %self.desk.channel, %peer, "connected to the sender");
                    self.gate.tune(&stream);
                    match self.gate.enter(peer.ip().to_canonical(), stop) {
                        Ok(ticket) => self.clone().serve(stream, peer, ticket, Some(host)).await,
                        Err(reason) => self.gate.refused(peer, reason),
                    }
                }
                Err(error) => {
                    warn!(channel = %self.desk.channel, %error, "cannot connect to the sender");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(timeouts.reconnect_max);
        }
    }

    /// One connection, from its handshake to its end.
    async fn serve(self, stream: TcpStream, peer: SocketAddr, ticket: Ticket, host: Option<&str>) {
        let within = self.desk.options.timeouts.handshake;
        let stop = ticket.stop.clone();
        match &self.tls {
            None => self.talk(stream, Sender::plain(peer), ticket).await,
            Some(MllpTls::Server(tls)) => {
                let shaken = tokio::select! {
                    () = stop.cancelled() => return,
                    shaken = tls.accept(stream, within) => shaken,
                };
                let Ok(stream) = shaken else { return self.gate.refused(peer, "tls") };
                let names = client_names(&stream);
                match Sender::certified(peer, &names, &self.desk.options.senders) {
                    Some(sender) => self.talk(stream, sender, ticket).await,
                    None => self.gate.refused(peer, "certificate"),
                }
            }
            Some(MllpTls::Client(tls)) => {
                let shake = timeout(within, tls.connect(stream, host.unwrap_or_default()));
                let shaken = tokio::select! {
                    () = stop.cancelled() => return,
                    shaken = shake => shaken,
                };
                let Ok(Ok(stream)) = shaken else { return self.gate.refused(peer, "tls") };
                self.talk(stream, Sender::plain(peer), ticket).await;
            }
        }
    }

    async fn talk<S>(&self, stream: S, sender: Sender, ticket: Ticket)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let connection = Connection::new(Arc::clone(&self.desk), stream, sender, ticket);
        Box::pin(connection.talk()).await;
    }
}
