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
                () = secured(stream, tls, router) => {}
                () = stop.cancelled() => {}
            }
            drop(permit);
        });
    }
}

async fn secured(stream: TcpStream, tls: Option<Arc<ServerTls>>, router: Router) {
    let Some(tls) = tls else { return connection(stream, router).await };
    match tls.accept(stream, HANDSHAKE_WAIT).await {
        Ok(stream) => connection(stream, router).await,
        Err(error) => tracing::debug!(%error, "an admin connection was not secured"),
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_MAX, connection).await {
        tracing::debug!(%error, "an admin connection ended");
    }
}
