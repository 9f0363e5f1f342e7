//! The HTTP source over TLS, asked by Python's own TLS: only with a certificate of the right authority,
//! and renewed while it runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::engine::{Engine, free_port};
use crate::peers::{Manner, plain_receiver, until, update};

/// A certificate authority that writes into a folder.
struct Authority {
    folder: PathBuf,
    name: &'static str,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(folder: &Path, name: &'static str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages =
            vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        Self { folder: folder.to_path_buf(), name, issuer: Issuer::new(params, key) }
    }

    fn root(&self) -> PathBuf {
        self.folder.join(format!("{}.pem", self.name))
    }

    /// Writes a certificate and its key.
    fn issue(&self, file: &str, name: &str) -> [PathBuf; 2] {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let paths = ["pem", "key"].map(|ending| self.folder.join(format!("{file}.{ending}")));
        std::fs::write(&paths[0], certificate.pem()).unwrap();
        std::fs::write(&paths[1], key.serialize_pem()).unwrap();
        paths
    }
}

/// The status of a POST, or `refused`.
fn post(url: &str, file: &Path, ca: &Path, own: Option<&[PathBuf; 2]>) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/post.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(url).arg(file).arg(ca).stdin(Stdio::null());
    command.args(own.map(|own| own.as_slice()).unwrap_or_default());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(!said.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn messages_are_posted_over_mutual_tls_and_certificates_are_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let tls = folder.path().join("tls");
    let (ours, strange) = (Authority::new(&tls, "ca"), Authority::new(&tls, "stranger"));
    ours.issue("server", "localhost");
    let (known, unknown) =
        (ours.issue("his", "his.hospital.example"), strange.issue("other", "other.example"));
    let (port, kept) = plain_receiver(Manner::Good);
    let mut engine = Engine::new(
        folder.path(),
        &format!("  out:\n    mllp: {{host: 127.0.0.1, port: {port}}}\n"),
    );
    let https = free_port();
    engine.append(
        "engine.yaml",
        "tls:\n  mutual:\n    certificate: tls/server.pem\n    private_key: tls/server.key\n\
         \x20   client_ca: tls/ca.pem\n    client_auth: required\n",
    );
    let channel = std::fs::read_to_string(folder.path().join("channels/trial.yaml")).unwrap();
    let posted = channel.replace("channel: trial", "channel: posted").replace(
        &format!("mllp: {{listen: \"127.0.0.1:{}\"}}\n  ack: after_stored", engine.port),
        &format!("http: {{listen: \"127.0.0.1:{https}\", path: /adt, tls: mutual}}"),
    );
    std::fs::write(folder.path().join("channels/posted.yaml"), posted).unwrap();
    engine.start("");
    engine.ready().expect("the engine starts");

    let url = format!("https://localhost:{https}/adt");
    let message = |id: &str| {
        let file = folder.path().join(format!("{id}.hl7"));
        std::fs::write(&file, update(id, "P1")).unwrap();
        file
    };
    assert_eq!(post(&url, &message("H1"), &ours.root(), Some(&known)), "201");
    assert_eq!(post(&url, &message("H2"), &ours.root(), None), "refused", "no certificate");
    assert_eq!(post(&url, &message("H3"), &ours.root(), Some(&unknown)), "refused", "a stranger's");
    assert_eq!(
        post(&url, &message("H4"), &strange.root(), Some(&known)),
        "refused",
        "the sender does not trust us"
    );
    let plain = url.replace("https", "http");
    assert_eq!(post(&plain, &message("H5"), &ours.root(), None), "refused", "no TLS at all");

    // Another authority signs the server's new certificate; it holds from the next reload on.
    strange.issue("server", "localhost");
    engine.api("/reload", Some(&serde_json::json!({})));
    assert_eq!(post(&url, &message("H6"), &strange.root(), Some(&known)), "201");
    assert_eq!(post(&url, &message("H7"), &ours.root(), Some(&known)), "refused");
    until("both are delivered", || kept.lock().unwrap().len() == 2);
}
