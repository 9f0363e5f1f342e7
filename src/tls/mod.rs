//! TLS: certificates, private keys, roots and client authentication, loaded from PEM files and
//! exchanged without dropping a connection.
//!
//! A profile is loaded once into a [`ServerTls`] or [`ClientTls`]; each new connection asks it for the
//! configuration of the moment. `reload` reads the files again: when they are wrong, the old
//! configuration stays and the error says which file and why.

pub mod certificate;
pub mod expiry;
pub mod load;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::tls::certificate::CertificateView;

/// One named set of TLS files and rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsProfile {
    /// PEM file with our certificate, then its intermediates. Required to listen; when sending it is
    /// our client certificate.
    pub certificate: Option<PathBuf>,
    /// PEM file with the private key of `certificate`: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub private_key: Option<PathBuf>,
    /// PEM file with the roots that sign the receivers' certificates. The system's roots without.
    pub ca: Option<PathBuf>,
    /// Whether senders must show a certificate. Default: none is asked for.
    pub client_auth: ClientAuth,
    /// PEM file with the roots that sign the senders' certificates. `ca` without.
    pub client_ca: Option<PathBuf>,
    /// PEM file with certificate revocation lists for the senders' (or receivers') certificates.
    pub revoked: Option<PathBuf>,
    /// The name the receiver's certificate must carry. The host of the endpoint without; a webhook's
    /// is always the host of its URL.
    pub server_name: Option<String>,
    /// Oldest version spoken. Default TLS 1.2.
    pub version_min: TlsVersion,
}

/// Whether a listener asks its senders for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// None is asked for.
    #[default]
    None,
    /// It is asked for; without one the sender is unnamed, with a wrong one it is refused.
    Optional,
    /// Without a valid one the sender is refused.
    Required,
}

impl ClientAuth {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::None, Self::Optional, Self::Required];

    /// The name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

/// Oldest TLS version spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    V1_2,
    /// TLS 1.3 alone.
    V1_3,
}

impl TlsVersion {
    /// The name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}

/// Why TLS cannot be set up, or a connection not be secured. Names files, never what is in them.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A setting that this use needs is missing, or two do not go together.
    #[error("TLS profile: {0}")]
    Profile(String),
    /// A file cannot be read.
    #[error("{path}: cannot be read: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and how to mend it.
        problem: String,
    },
    /// The system has no roots to trust.
    #[error("the system's root certificates cannot be read ({0}); name a file under `ca`")]
    SystemRoots(String),
    /// The peer and we could not agree; the text is rustls's own, without content.
    #[error("TLS handshake: {0}")]
    Handshake(std::io::Error),
    /// The peer did not finish the handshake in time.
    #[error("TLS handshake not finished within {0:?}")]
    Slow(Duration),
}

/// Makes ring the process's TLS provider. Called first thing at start; later calls change nothing.
pub fn install_provider() {
    // An error says that one is installed already: ours, from an earlier call.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// How a profile becomes a configuration.
type Load<C> = fn(&TlsProfile) -> Result<(Arc<C>, Vec<CertificateView>), TlsError>;

/// A configuration with the files it came from. Share it in an `Arc`; each new connection uses the
/// certificates of the moment, open ones stay as they are.
pub struct LiveTls<C> {
    profile: TlsProfile,
    load: Load<C>,
    seen: Mutex<Vec<(PathBuf, Option<SystemTime>)>>,
    views: ArcSwap<Vec<CertificateView>>,
    current: ArcSwap<C>,
}

/// TLS of a listener.
pub type ServerTls = LiveTls<ServerConfig>;

/// TLS of a sender.
pub type ClientTls = LiveTls<ClientConfig>;

impl<C> LiveTls<C> {
    fn with(profile: &TlsProfile, load: Load<C>) -> Result<Self, TlsError> {
        let (config, views) = load(profile)?;
        Ok(Self {
            profile: profile.clone(),
            load,
            seen: Mutex::new(load::modified(profile)),
            views: ArcSwap::from_pointee(views),
            current: ArcSwap::new(config),
        })
    }

    /// The configuration of the moment.
    #[must_use]
    pub fn config(&self) -> Arc<C> {
        self.current.load_full()
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// When a file is missing or wrong: the old configuration stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let (config, views) = (self.load)(&self.profile)?;
        self.current.store(config);
        self.views.store(Arc::new(views));
        Ok(())
    }

    /// Reloads when a file changed since the last look; tells whether it did.
    ///
    /// # Errors
    /// As [`LiveTls::reload`].
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let now = load::modified(&self.profile);
        let changed = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *seen, now.clone()) != now
        };
        if changed { self.reload().map(|()| true) } else { Ok(false) }
    }

    /// The certificates in use: names and expiry, for status pages and warnings.
    #[must_use]
    pub fn certificates(&self) -> Arc<Vec<CertificateView>> {
        self.views.load_full()
    }
}

impl ServerTls {
    /// Loads a profile.
    ///
    /// # Errors
    /// When a file is missing or wrong, or the key does not belong to the certificate.
    pub fn load(profile: &TlsProfile) -> Result<Self, TlsError> {
        Self::with(profile, load::server)
    }

    /// Secures an accepted connection. The names in a client certificate: [`client_names`].
    ///
    /// # Errors
    /// When the handshake fails or takes longer than `within`.
    pub async fn accept<S>(
        &self,
        stream: S,
        within: Duration,
    ) -> Result<server::TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match tokio::time::timeout(within, TlsAcceptor::from(self.config()).accept(stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(TlsError::Handshake(error)),
            Err(_) => Err(TlsError::Slow(within)),
        }
    }
}

impl ClientTls {
    /// Loads a profile.
    ///
    /// # Errors
    /// When a file is missing or wrong, or the key does not belong to the certificate.
    pub fn load(profile: &TlsProfile) -> Result<Self, TlsError> {
        Self::with(profile, load::client)
    }

    /// The name that the certificate of `host` must carry.
    #[must_use]
    pub fn expected_name<'a>(&'a self, host: &'a str) -> &'a str {
        self.profile.server_name.as_deref().unwrap_or(host)
    }

    /// Secures a connection to `host`. The caller sets the time limit.
    ///
    /// # Errors
    /// When `host` is no name, or the handshake fails.
    pub async fn connect<S>(&self, stream: S, host: &str) -> Result<client::TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(self.expected_name(host).to_owned()).map_err(|_| {
            TlsError::Profile("the receiver's host is no name a certificate can carry".to_owned())
        })?;
        TlsConnector::from(self.config()).connect(name, stream).await.map_err(TlsError::Handshake)
    }
}

/// The names in the certificate a sender showed and rustls verified: common name first, then DNS
/// names, addresses, mail addresses and URIs of the subject alternative name. Empty without certificate.
#[must_use]
pub fn client_names<S>(stream: &server::TlsStream<S>) -> Vec<String> {
    let (_, connection) = stream.get_ref();
    connection
        .peer_certificates()
        .and_then(<[_]>::first)
        .and_then(|certificate| certificate::read(certificate))
        .map(|certificate| certificate.names)
        .unwrap_or_default()
}
