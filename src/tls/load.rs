//! Reads the PEM files of a profile into rustls configurations.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion, version,
};

use crate::tls::certificate::{self, CertificateView};
use crate::tls::{ClientAuth, TlsError, TlsProfile, TlsVersion};

/// Largest PEM file read, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

const V1_2: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
const V1_3: &[&SupportedProtocolVersion] = &[&version::TLS13];

/// When each file of a profile was last changed; `None` for one that cannot be read now.
pub(super) fn modified(profile: &TlsProfile) -> Vec<(PathBuf, Option<SystemTime>)> {
    [&profile.certificate, &profile.private_key, &profile.ca, &profile.client_ca, &profile.revoked]
        .into_iter()
        .flatten()
        .map(|path| {
            (path.clone(), fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
        })
        .collect()
}

/// The configuration of a listener, and what its certificates say.
pub(super) fn server(
    profile: &TlsProfile,
) -> Result<(Arc<ServerConfig>, Vec<CertificateView>), TlsError> {
    let provider = provider();
    let Some((chain, key, view)) = own_certificate(profile, &provider)? else {
        return Err(TlsError::Profile(
            "to listen, `certificate` and `private_key` are needed".to_owned(),
        ));
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(profile))
        .map_err(|error| TlsError::Profile(error.to_string()))?;
    let builder = match client_verifier(profile, provider)? {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let config = builder
        .with_single_cert(chain, key)
        .map_err(|error| TlsError::Profile(error.to_string()))?;
    Ok((Arc::new(config), vec![view]))
}

/// The configuration of a sender, and what its certificate says (none without a client certificate).
pub(super) fn client(
    profile: &TlsProfile,
) -> Result<(Arc<ClientConfig>, Vec<CertificateView>), TlsError> {
    let provider = provider();
    let own = own_certificate(profile, &provider)?;
    let roots = match &profile.ca {
        Some(path) => roots_of(path)?,
        None => system_roots()?,
    };
    let mut verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    if let Some(path) = &profile.revoked {
        verifier = verifier.with_crls(revocation_lists(path)?).allow_unknown_revocation_status();
    }
    let verifier = verifier.build().map_err(|error| TlsError::Profile(error.to_string()))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(profile))
        .map_err(|error| TlsError::Profile(error.to_string()))?
        .with_webpki_verifier(verifier);
    let Some((chain, key, view)) = own else {
        return Ok((Arc::new(builder.with_no_client_auth()), Vec::new()));
    };
    let config = builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| TlsError::Profile(error.to_string()))?;
    Ok((Arc::new(config), vec![view]))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

const fn versions(profile: &TlsProfile) -> &'static [&'static SupportedProtocolVersion] {
    match profile.version_min {
        TlsVersion::V1_2 => V1_2,
        TlsVersion::V1_3 => V1_3,
    }
}

/// How senders' certificates are judged; `None` when none is asked for.
fn client_verifier(
    profile: &TlsProfile,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    if profile.client_auth == ClientAuth::None {
        return Ok(None);
    }
    let Some(path) = profile.client_ca.as_ref().or(profile.ca.as_ref()) else {
        return Err(TlsError::Profile(
            "`client_auth` needs `client_ca`: the roots that sign the senders' certificates"
                .to_owned(),
        ));
    };
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots_of(path)?), provider);
    if let Some(path) = &profile.revoked {
        builder = builder.with_crls(revocation_lists(path)?).allow_unknown_revocation_status();
    }
    if profile.client_auth == ClientAuth::Optional {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map(Some).map_err(|error| TlsError::Profile(error.to_string()))
}

type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, CertificateView);

/// Our certificate with its key, checked against each other.
fn own_certificate(
    profile: &TlsProfile,
    provider: &CryptoProvider,
) -> Result<Option<Own>, TlsError> {
    let (certificate, private_key) = match (&profile.certificate, &profile.private_key) {
        (None, None) => return Ok(None),
        (Some(certificate), Some(private_key)) => (certificate, private_key),
        _ => {
            return Err(TlsError::Profile(
                "`certificate` and `private_key` go together; one is missing".to_owned(),
            ));
        }
    };
    let chain = certificates(certificate)?;
    let key = private_key_of(private_key)?;
    match CertifiedKey::from_der(chain.clone(), key.clone_key(), provider) {
        Ok(_) => {}
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            return Err(wrong(
                private_key,
                format!(
                    "this key does not belong to the first certificate of {}",
                    certificate.display()
                ),
            ));
        }
        Err(error) => return Err(wrong(private_key, format!("cannot be used: {error}"))),
    }
    let view = chain.first().and_then(|first| certificate::read(first)).ok_or_else(|| {
        wrong(certificate, "the first certificate cannot be read; make it anew".to_owned())
    })?;
    Ok(Some((chain, key, view.of_file(certificate))))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let found = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(path, unreadable(&error)))?;
    if found.is_empty() {
        return Err(wrong(
            path,
            "holds no certificate: a PEM block `BEGIN CERTIFICATE` is missing".to_owned(),
        ));
    }
    Ok(found)
}

fn private_key_of(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let encrypted = b"BEGIN ENCRYPTED PRIVATE KEY";
        let problem = if text.windows(encrypted.len()).any(|part| part == encrypted) {
            "the private key is encrypted; store it without a password, readable by medway alone"
                .to_owned()
        } else if matches!(error, pem::Error::NoItemsFound) {
            "holds no private key: a PEM block `BEGIN PRIVATE KEY` is missing".to_owned()
        } else {
            unreadable(&error)
        };
        wrong(path, problem)
    })
}

fn roots_of(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| wrong(path, format!("a root cannot be used: {error}")))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
        return Err(TlsError::SystemRoots(why));
    }
    Ok(roots)
}

fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let text = read(path)?;
    let found = CertificateRevocationListDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(path, unreadable(&error)))?;
    if found.is_empty() {
        return Err(wrong(
            path,
            "holds no revocation list: a PEM block `BEGIN X509 CRL` is missing".to_owned(),
        ));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Read { path: path.to_owned(), error };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        return Err(wrong(path, format!("{size} bytes are too many for a PEM file")));
    }
    fs::read(path).map_err(unreadable)
}

fn wrong(path: &Path, problem: String) -> TlsError {
    TlsError::File { path: path.to_owned(), problem }
}

/// What is wrong with a PEM file, without quoting it.
fn unreadable(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a PEM block has no end line".to_owned(),
        pem::Error::Base64Decode(_) => "a PEM block holds bytes that are no base64".to_owned(),
        _ => "is no PEM file".to_owned(),
    }
}
