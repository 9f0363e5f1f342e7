//! TLS: encrypted, with or without a sender's certificate, and what such a certificate may send.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use medway::source::mllp::MllpTls;
use medway::source::mllp::options::{CertifiedSender, MllpSourceOptions};
use medway::tls::{ClientAuth, ClientTls, ServerTls, TlsProfile, install_provider};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Running, adt, framed, soon, start_with, told};

/// A small certificate authority in a directory.
pub(crate) struct Authority {
    directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        install_provider();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { directory, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A certificate and key for `name`.
    fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let paths = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        std::fs::write(&paths.0, certificate.pem()).unwrap();
        std::fs::write(&paths.1, key.serialize_pem()).unwrap();
        paths
    }

    pub(crate) fn server(&self, client_auth: ClientAuth) -> Arc<ServerTls> {
        let (certificate, key) = self.issue("localhost");
        let client_ca = (client_auth != ClientAuth::None).then(|| self.path("ca.pem"));
        let profile = TlsProfile {
            certificate: Some(certificate),
            private_key: Some(key),
            client_auth,
            client_ca,
            ..TlsProfile::default()
        };
        Arc::new(ServerTls::load(&profile).unwrap())
    }

    pub(crate) fn client(&self, name: Option<&str>) -> ClientTls {
        let issued = name.map(|name| self.issue(name));
        let (certificate, private_key) = issued.unzip();
        let ca = Some(self.path("ca.pem"));
        let profile = TlsProfile { certificate, private_key, ca, ..TlsProfile::default() };
        ClientTls::load(&profile).unwrap()
    }
}

/// Sends one message; MSA-1 and MSA-2 of the answer, `closed` without one.
async fn ask(running: &Running, client: &ClientTls, message: &str) -> String {
    let stream = TcpStream::connect(running.address).await.unwrap();
    let Ok(mut stream) = soon(client.connect(stream, "localhost")).await else {
        return "closed".to_owned();
    };
    if stream.write_all(&framed(message)).await.is_err() {
        return "closed".to_owned();
    }
    let mut read = Vec::new();
    while !read.ends_with(b"\x1c\r") {
        match soon(stream.read_buf(&mut read)).await {
            Ok(1..) => {}
            _ => return "closed".to_owned(),
        }
    }
    told(&String::from_utf8(read).unwrap())
}

async fn starting(
    authority: &Authority,
    client_auth: ClientAuth,
    senders: Vec<CertifiedSender>,
) -> Running {
    let options = MllpSourceOptions { senders, ..Default::default() };
    start_with(options, Some(MllpTls::Server(authority.server(client_auth)))).await
}

#[tokio::test]
async fn a_message_over_tls_is_taken_and_plain_bytes_are_refused() {
    let authority = Authority::new();
    let running = starting(&authority, ClientAuth::None, Vec::new()).await;
    assert_eq!(ask(&running, &authority.client(None), &adt("T1")).await, "AA T1");
    let mut plain = running.connect().await;
    plain.send(&framed(&adt("T2"))).await;
    // A TLS alert, then the end: no acknowledgement.
    let mut rest = Vec::new();
    drop(soon(plain.stream.read_to_end(&mut rest)).await);
    assert!(!rest.windows(3).any(|part| part == b"MSA"));
    running.until(|it| it.last_refusal().contains("tls")).await;
    assert_eq!(running.store.control_ids(), ["T1"]);
    running.end().await;
}

#[tokio::test]
async fn a_required_certificate_must_be_shown_and_be_of_the_right_authority() {
    let (authority, other) = (Authority::new(), Authority::new());
    let running = starting(&authority, ClientAuth::Required, Vec::new()).await;
    assert_eq!(ask(&running, &authority.client(None), &adt("M1")).await, "closed");
    let stranger = {
        let (certificate, key) = other.issue("his.example");
        let profile = TlsProfile {
            certificate: Some(certificate),
            private_key: Some(key),
            ca: Some(authority.path("ca.pem")),
            ..TlsProfile::default()
        };
        ClientTls::load(&profile).unwrap()
    };
    assert_eq!(ask(&running, &stranger, &adt("M2")).await, "closed");
    assert_eq!(ask(&running, &authority.client(Some("his.example")), &adt("M3")).await, "AA M3");
    running.end().await;
}

#[tokio::test]
async fn a_certificate_may_send_only_as_whom_it_is_listed() {
    let sender = |certificate: &str, application: &str| CertifiedSender {
        certificate: certificate.into(),
        applications: vec![application.into()],
        facilities: vec!["H".into()],
    };
    let authority = Authority::new();
    let senders = vec![sender("his.example", "HIS"), sender("lab.example", "LAB")];
    let running = starting(&authority, ClientAuth::Required, senders).await;
    let (his, lab) = (authority.client(Some("his.example")), authority.client(Some("lab.example")));
    assert_eq!(ask(&running, &his, &adt("S1")).await, "AA S1");
    assert_eq!(ask(&running, &lab, &adt("S2")).await, "AR S2");
    assert_eq!(ask(&running, &lab, &adt("S3").replace("|HIS|", "|LAB|")).await, "AA S3");
    let unknown = authority.client(Some("ris.example"));
    assert_eq!(ask(&running, &unknown, &adt("S4")).await, "closed");
    assert!(running.last_refusal().contains("certificate"), "{}", running.last_refusal());
    assert_eq!(running.store.control_ids(), ["S1", "S3"]);
    assert_eq!(running.store.reject_reasons().len(), 1);
    running.end().await;
}

#[tokio::test]
async fn a_new_certificate_holds_from_the_next_connection_and_open_ones_go_on() {
    fn is_in(path: &Path) -> Vec<u8> {
        std::fs::read(path).unwrap()
    }
    let authority = Authority::new();
    let tls = authority.server(ClientAuth::None);
    let running =
        start_with(MllpSourceOptions::default(), Some(MllpTls::Server(Arc::clone(&tls)))).await;
    let client = authority.client(None);
    let connect = || async {
        let stream = TcpStream::connect(running.address).await.unwrap();
        soon(client.connect(stream, "localhost")).await.unwrap()
    };
    let shown = |stream: &tokio_rustls::client::TlsStream<TcpStream>| {
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let mut open = connect().await;
    let old_file = is_in(&authority.path("localhost.pem"));
    authority.issue("localhost");
    assert_ne!(old_file, is_in(&authority.path("localhost.pem")));
    tls.reload().unwrap();
    let fresh = connect().await;
    assert_ne!(shown(&open), shown(&fresh));
    open.write_all(&framed(&adt("R1"))).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"\x1c\r") {
        assert_ne!(soon(open.read_buf(&mut read)).await.unwrap(), 0);
    }
    drop((open, fresh));
    running.end().await;
}
