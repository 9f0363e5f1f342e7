//! Binding at start, and why a source cannot start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;
use tokio::net::TcpListener;

/// Why a source cannot start.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The port is taken, privileged, or the address is not of this machine.
    #[error(
        "cannot listen on {address}: {error}; is the port taken, or the address of this machine?"
    )]
    Bind {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// A directory is not there, or not ours to read and write.
    #[error("cannot use the directory {}: {error}", directory.display())]
    Directory {
        /// Which.
        directory: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file pattern that matches nothing sensible.
    #[error("`{0}` is no file pattern; write e.g. `*.hl7`")]
    Pattern(String),
}

pub(crate) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), SourceError> {
    let failed = |error| SourceError::Bind { address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, local))
}
