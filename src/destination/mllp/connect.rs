//! Opens a connection to a receiver: name, TCP, socket options, TLS.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::destination::mllp::answer::Fault;
use crate::destination::mllp::options::MllpDestinationOptions;
use crate::destination::pool::Address;
use crate::tls::{ClientTls, TlsError};

/// A connection, with or without TLS.
pub(super) trait Link: AsyncRead + AsyncWrite + Send + Unpin {
    /// The socket below.
    fn socket(&self) -> &TcpStream;
    /// Whether bytes may arrive on the socket that are not the receiver's words.
    fn is_secured(&self) -> bool;
}

impl Link for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }

    fn is_secured(&self) -> bool {
        false
    }
}

impl Link for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }

    fn is_secured(&self) -> bool {
        true
    }
}

impl Link for tokio_rustls::server::TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }

    fn is_secured(&self) -> bool {
        true
    }
}

/// Connects within the time limit of the options.
pub(super) async fn connect(
    address: &Address,
    options: &MllpDestinationOptions,
    tls: Option<&ClientTls>,
) -> Result<Box<dyn Link>, Fault> {
    let within = options.connect_within;
    match tokio::time::timeout(within, open(address, options, tls)).await {
        Ok(result) => result,
        Err(_) => Err(Fault::new(
            "unreachable",
            format!("{address}: no connection within {}", words(within)),
        )),
    }
}

async fn open(
    address: &Address,
    options: &MllpDestinationOptions,
    tls: Option<&ClientTls>,
) -> Result<Box<dyn Link>, Fault> {
    let stream = TcpStream::connect((address.host.as_str(), address.port))
        .await
        .map_err(|error| refused(address, &error))?;
    tune(&stream, options);
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    match tls.connect(stream, &address.host).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(Fault::new("tls", format!("{address}: {}", tls_words(&error)))),
    }
}

/// Socket options that shorten the life of half-open connections. A system that lacks one does without.
pub(super) fn tune(stream: &TcpStream, options: &MllpDestinationOptions) {
    let socket = SockRef::from(stream);
    let keepalive =
        TcpKeepalive::new().with_time(options.keepalive).with_interval(options.keepalive);
    let results = [
        stream.set_nodelay(true),
        socket.set_tcp_keepalive(&keepalive),
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(options.unconfirmed_max)),
    ];
    for error in results.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "a socket option could not be set");
    }
}

fn refused(address: &Address, error: &io::Error) -> Fault {
    let code = match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused",
        io::ErrorKind::ConnectionReset => "reset",
        _ => "unreachable",
    };
    Fault::new(code, format!("{address}: {error}"))
}

/// The handshake's error; `TlsError` itself says "handshake" once more.
fn tls_words(error: &TlsError) -> String {
    match error {
        TlsError::Handshake(error) => format!("TLS handshake: {error}"),
        other => other.to_string(),
    }
}

/// A time limit, for people.
pub(super) fn words(limit: Duration) -> String {
    if limit.subsec_millis() == 0 {
        format!("{} s", limit.as_secs())
    } else {
        format!("{} ms", limit.as_millis())
    }
}
