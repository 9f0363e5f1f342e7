//! Serves the admin surface with deadlines: a slow client holds one connection, not the engine; and one address
//! holds not all of them. Beyond the limits probes are still answered, in a room of their own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::problem::Problem;
use crate::tls::ServerTls;

/// Connections at once.
const CONNECTIONS_MAX: usize = 256;
/// Of them, those of one address: a proxy before many people is one address too.
const OF_ONE_MAX: usize = 128;
/// Connections at once beyond these, for probes alone.
const PROBES_MAX: usize = 32;
/// Of them, those of one address.
const PROBES_OF_ONE_MAX: usize = 4;
/// For a probe, from its handshake to its answer.
const PROBE_WAIT: Duration = Duration::from_secs(3);
/// What supervisors and Prometheus ask for.
const PROBES: [&str; 3] = ["/livez", "/readyz", "/metrics"];
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
    let room = Room::new(CONNECTIONS_MAX, OF_ONE_MAX);
    let spare = Room::new(PROBES_MAX, PROBES_OF_ONE_MAX);
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
        let address = peer.ip().to_canonical();
        let (stop, tls) = (stop.clone(), tls.clone());
        let router = router.clone().layer(Extension(ConnectInfo(peer)));
        if let Some(place) = room.enter(address) {
            tracker.spawn(async move {
                tokio::select! {
                    () = secured(stream, tls, router, head_wait) => {}
                    () = stop.cancelled() => {}
                }
                drop(place);
            });
        } else if let Some(place) = spare.enter(address) {
            let router = router.layer(from_fn(probes_alone));
            tracker.spawn(async move {
                let served = secured(stream, tls, router, PROBE_WAIT);
                tokio::select! {
                    _ = tokio::time::timeout(PROBE_WAIT, served) => {}
                    () = stop.cancelled() => {}
                }
                drop(place);
            });
        }
        // Beyond both a connection is closed at once rather than kept waiting.
    }
}

/// Places for connections.
struct Room {
    held: Mutex<HashMap<IpAddr, usize>>,
    all_max: usize,
    of_one_max: usize,
}

impl Room {
    fn new(all_max: usize, of_one_max: usize) -> Arc<Self> {
        Arc::new(Self { held: Mutex::default(), all_max, of_one_max })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection of this address, if there is one.
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut held = self.held();
        let own = held.get(&address).copied().unwrap_or_default();
        let all: usize = held.values().sum();
        if own >= self.of_one_max || all >= self.all_max {
            return None;
        }
        held.insert(address, own.saturating_add(1));
        Some(Place { room: Arc::clone(self), address })
    }
}

/// A place that one connection holds until it is dropped.
struct Place {
    room: Arc<Room>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.room.held();
        let left = held.get(&self.address).copied().unwrap_or_default().saturating_sub(1);
        if left == 0 {
            held.remove(&self.address);
        } else {
            held.insert(self.address, left);
        }
    }
}

/// Answers probes, and asks everybody else to come again.
async fn probes_alone(request: Request, next: Next) -> Response {
    let mut response = if PROBES.contains(&request.uri().path()) {
        next.run(request).await
    } else {
        let told = "too many connections are open: close some, or come again";
        Problem::unavailable(told).into_response()
    };
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
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
        let router = router.route("/livez", get(|| async { "alive" }));
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

    /// Connections of one address that stay open.
    async fn hold(served: &Served, from: &str, count: usize) -> Vec<TcpStream> {
        let mut held = Vec::new();
        for _ in 0..count {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
            let mut stream = socket.connect(served.address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            let mut first = [0; 12];
            stream.read_exact(&mut first).await.unwrap();
            assert_eq!(&first, b"HTTP/1.1 200");
            held.push(stream);
        }
        held
    }

    #[tokio::test]
    async fn one_address_leaves_room_for_others_and_probes_are_always_answered() {
        let served = served(HEAD_WAIT).await;
        let get =
            |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let one = hold(&served, "127.0.0.1", OF_ONE_MAX).await;
        let refused = said(served.address, get("/").as_bytes()).await;
        assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
        let other = hold(&served, "127.0.0.2", CONNECTIONS_MAX - OF_ONE_MAX).await;
        let probe = said(served.address, get("/livez").as_bytes()).await;
        assert!(probe.ends_with("alive"), "{probe}");
        // Who holds the probes' room does not hold it for long, nor for others.
        let mut slow = Vec::new();
        for _ in 0..PROBES_OF_ONE_MAX {
            slow.push(TcpStream::connect(served.address).await.unwrap());
        }
        let full = said(served.address, get("/livez").as_bytes()).await;
        assert_eq!(full, "", "closed at once");
        drop((one, other, slow));
        served.stop.cancel();
    }
}
