//! One HTTP/1.1 connection behind a [`Gate`]: its handshake, its deadlines, its end after the request in work.
//!
//! hyper's header timeout needs a timer that ready-made servers do not install: a client that sends its
//! header byte by byte would hold its connection for ever.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::source::gate::{Gate, Ticket};
use crate::tls::ServerTls;

/// The limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TalkRules {
    /// For the TLS handshake.
    pub(crate) handshake: Duration,
    /// For a whole request header.
    pub(crate) header: Duration,
    /// Largest request header.
    pub(crate) header_bytes_max: usize,
    /// For the request in work when the source stops.
    pub(crate) rest: Duration,
}

/// A connection that was let in.
pub(crate) struct Talk {
    pub(crate) gate: Arc<Gate>,
    pub(crate) peer: SocketAddr,
    pub(crate) ticket: Ticket,
    pub(crate) rules: TalkRules,
}

impl Talk {
    /// The handshake; nothing when it fails or the source stops.
    pub(crate) async fn shake(
        &self,
        tls: &ServerTls,
        stream: TcpStream,
    ) -> Option<TlsStream<TcpStream>> {
        let shaken = tokio::select! {
            () = self.ticket.stop.cancelled() => return None,
            shaken = tls.accept(stream, self.rules.handshake) => shaken,
        };
        if shaken.is_err() {
            self.gate.refused(self.peer, "tls");
        }
        shaken.ok()
    }

    /// Answers requests until the peer leaves, is too slow, or the source stops.
    pub(crate) async fn serve<S>(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        service: S,
    ) where
        S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible> + Send,
        S::Future: Send,
    {
        let mut connection = std::pin::pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.rules.header)
                .max_buf_size(self.rules.header_bytes_max)
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
        if timeout(self.rules.rest, connection).await.is_err() {
            self.gate.refused(self.peer, "timeout");
        }
    }
}
