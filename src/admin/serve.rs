//! Serves the admin surface with deadlines: a slow client holds one connection, not the engine.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::tls::ServerTls;

/// Connections at once.
const CONNECTIONS_MAX: usize = 256;
/// For the head of a request.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// For one connection, whatever it does.
const CONNECTION_MAX: Duration = Duration::from_secs(600);

/// For the TLS handshake.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);

/// Serves `router` on `listener` until `stop`, over TLS when there is a profile.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<ServerTls>>,
    tracker: TaskTracker,
    stop: CancellationToken,
) {
    serve_within(listener, router, tls, tracker, stop, HEAD_WAIT).await;
}

async fn serve_within(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<ServerTls>>,
    tracker: TaskTracker,
    stop: CancellationToken,
    head_wait: Duration,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Beyond the limit a connection is closed at once rather than kept waiting.
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
        let (stop, tls) = (stop.clone(), tls.clone());
        let router = router.clone().layer(Extension(ConnectInfo(peer)));
        tracker.spawn(async move {
            tokio::select! {
                () = secured(stream, tls, router, head_wait) => {}
                () = stop.cancelled() => {}
            }
            drop(permit);
        });
    }
}

async fn secured(
    stream: TcpStream,
    tls: Option<Arc<ServerTls>>,
    router: Router,
    head_wait: Duration,
) {
    let Some(tls) = tls else { return connection(stream, router, head_wait).await };
    match tls.accept(stream, HANDSHAKE_WAIT).await {
        Ok(stream) => connection(stream, router, head_wait).await,
        Err(error) => tracing::debug!(%error, "an admin connection was not secured"),
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    head_wait: Duration,
) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_wait)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_MAX, connection).await {
        tracing::debug!(%error, "an admin connection ended");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    struct Served {
        address: std::net::SocketAddr,
        stop: CancellationToken,
    }

    async fn served(head_wait: Duration) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let router = Router::new().route("/", get(|| async { "here" }));
        let tracker = TaskTracker::new();
        let ending = stop.clone();
        let serving = serve_within(listener, router, None, tracker.clone(), ending, head_wait);
        tracker.spawn(serving);
        Served { address, stop }
    }

    /// What comes back for these bytes until the connection ends.
    async fn said(address: std::net::SocketAddr, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The engine may have closed already.
        let _sent = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _read = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn a_request_whose_head_does_not_end_is_dropped() {
        let served = served(Duration::from_millis(20)).await;
        let answer = said(served.address, b"GET / HTTP/1.1\r\nhost: medway\r\nx-slow: ").await;
        assert!(!answer.contains("here"), "{answer}");
        served.stop.cancel();
    }

    #[tokio::test]
    async fn a_head_beyond_all_measure_is_refused() {
        let served = served(HEAD_WAIT).await;
        let long = format!("GET / HTTP/1.1\r\nx-long: {}\r\n\r\n", "x".repeat(2_000_000));
        assert!(!said(served.address, long.as_bytes()).await.contains("here"));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x-many: 1\r\n".repeat(5_000));
        assert!(!said(served.address, many.as_bytes()).await.contains("here"));
        let smuggled =
            b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\
            content-length: 7\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        let answer = said(served.address, smuggled).await;
        assert!(answer.matches("here").count() <= 1, "{answer}");
        let plain = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        assert!(said(served.address, plain).await.ends_with("here"));
        served.stop.cancel();
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_are_closed_at_once() {
        let served = served(HEAD_WAIT).await;
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            let mut stream = TcpStream::connect(served.address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            let mut first = [0; 1];
            stream.read_exact(&mut first).await.unwrap();
            held.push(stream);
        }
        let plain = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        assert_eq!(said(served.address, plain).await, "");
        served.stop.cancel();
    }
}
