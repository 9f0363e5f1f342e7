//! TLS: who may talk to whom, certificates that change while connections stay, errors that name files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use medway::destination::mllp::{MllpDestination, MllpDestinationOptions};
use medway::destination::pool::Address;
use medway::destination::{Destination, DestinationName};
use medway::message::outcome::Outcome;
use medway::tls::{
    ClientAuth, ClientTls, ServerTls, TlsError, TlsProfile, TlsVersion, client_names,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::receiver::{PATIENCE, Peer, Receiver, outbound};

/// A certificate authority and the files it makes.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Hospital Test CA");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `file.pem` and `file.key` for these names; the first is the common name.
    fn issue(&self, file: &str, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.distinguished_name.push(DnType::CommonName, names[0].as_str());
        params.not_before = rcgen::date_time_ymd(2020, 1, 2);
        params.not_after = rcgen::date_time_ymd(2049, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.path(&format!("{file}.pem")), certificate.pem()).unwrap();
        fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).unwrap();
    }

    fn profile(&self, file: &str) -> TlsProfile {
        TlsProfile {
            certificate: Some(self.path(&format!("{file}.pem"))),
            private_key: Some(self.path(&format!("{file}.key"))),
            ca: Some(self.path("ca.pem")),
            ..TlsProfile::default()
        }
    }

    fn trust(&self) -> TlsProfile {
        TlsProfile { ca: Some(self.path("ca.pem")), ..TlsProfile::default() }
    }
}

fn sender(receiver: &Receiver, tls: Arc<ClientTls>) -> MllpDestination {
    let options = MllpDestinationOptions {
        endpoints: vec![Address::new("localhost", receiver.port())],
        reply_within: Duration::from_secs(5),
        ..MllpDestinationOptions::default()
    };
    let name = DestinationName::new("adt", "lis");
    MllpDestination::new(&name, options, Some(tls), TaskTracker::new(), CancellationToken::new())
}

async fn send(sender: &MllpDestination, id: &str) -> Outcome {
    let outbound = outbound(id);
    let stop = CancellationToken::new();
    tokio::time::timeout(PATIENCE, sender.send(&outbound, &stop)).await.expect("an attempt ends")
}

async fn accept(
    receiver: &Receiver,
    tls: &ServerTls,
) -> Result<Peer<TlsStream<TcpStream>>, TlsError> {
    tls.accept(receiver.accept_raw().await, PATIENCE).await.map(Peer::new)
}

#[track_caller]
fn check(outcome: &Outcome, name: &str, code: &str) {
    let answer = outcome.answer();
    assert_eq!((outcome.name(), &*answer.code), (name, code), "{}", answer.text);
}

#[tokio::test]
async fn messages_travel_over_tls_and_the_sender_is_named() {
    let authority = Authority::new();
    authority.issue("server", &["localhost"]);
    authority.issue("his", &["his.hospital.example", "10.20.0.7"]);
    let server = ServerTls::load(&TlsProfile {
        client_auth: ClientAuth::Required,
        version_min: TlsVersion::V1_3,
        ..authority.profile("server")
    })
    .unwrap();
    let receiver = Receiver::bind().await;
    let sender = sender(&receiver, Arc::new(ClientTls::load(&authority.profile("his")).unwrap()));
    let receive = async {
        let mut peer = accept(&receiver, &server).await.unwrap();
        for id in ["M1", "M2"] {
            peer.frame().await;
            peer.ack("AA", id).await;
        }
        client_names(&peer.stream)
    };
    let twice = async {
        check(&send(&sender, "M1").await, "accepted", "AA");
        check(&send(&sender, "M2").await, "accepted", "AA");
    };
    let ((), names) = tokio::join!(twice, receive);
    assert_eq!(names, ["his.hospital.example", "10.20.0.7"]);
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced_over_tls_too() {
    let authority = Authority::new();
    authority.issue("server", &["localhost"]);
    let server = ServerTls::load(&authority.profile("server")).unwrap();
    let receiver = Receiver::bind().await;
    let sender = sender(&receiver, Arc::new(ClientTls::load(&authority.trust()).unwrap()));
    let receive = async {
        for id in ["M1", "M2", "M3"] {
            let mut peer = accept(&receiver, &server).await.unwrap();
            peer.frame().await;
            peer.ack("AA", id).await;
            tokio::io::AsyncWriteExt::shutdown(&mut peer.stream).await.unwrap();
        }
    };
    let send = async {
        for id in ["M1", "M2", "M3"] {
            check(&send(&sender, id).await, "accepted", "AA");
        }
    };
    tokio::join!(receive, send);
}

#[tokio::test]
async fn strangers_are_refused_on_both_sides() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    ours.issue("server", &["localhost"]);
    ours.issue("other", &["other.hospital.example"]);
    let receiver = Receiver::bind().await;
    let cases = [
        // The sender does not know who signed the receiver's certificate.
        ("server", theirs.trust()),
        // The receiver's certificate is for another name.
        ("other", ours.trust()),
    ];
    for (file, profile) in cases {
        let server = ServerTls::load(&ours.profile(file)).unwrap();
        let sender = sender(&receiver, Arc::new(ClientTls::load(&profile).unwrap()));
        let (outcome, accepted) = tokio::join!(send(&sender, "M1"), accept(&receiver, &server));
        check(&outcome, "failed", "tls");
        assert!(accepted.is_err());
    }
    // With the name the certificate carries, it is the right one.
    let server = ServerTls::load(&ours.profile("other")).unwrap();
    let named = TlsProfile { server_name: Some("other.hospital.example".into()), ..ours.trust() };
    let sender = sender(&receiver, Arc::new(ClientTls::load(&named).unwrap()));
    let receive = async {
        let mut peer = accept(&receiver, &server).await.unwrap();
        peer.frame().await;
        peer.ack("AA", "M1").await;
        peer
    };
    let (outcome, _peer) = tokio::join!(send(&sender, "M1"), receive);
    check(&outcome, "accepted", "AA");
}

#[tokio::test]
async fn without_a_certificate_nothing_is_received_when_one_is_required() {
    let (authority, strangers) = (Authority::new(), Authority::new());
    authority.issue("server", &["localhost"]);
    strangers.issue("stranger", &["his.hospital.example"]);
    let receiver = Receiver::bind().await;
    let server = ServerTls::load(&TlsProfile {
        client_auth: ClientAuth::Required,
        ..authority.profile("server")
    })
    .unwrap();
    let stranger = TlsProfile { ca: authority.trust().ca, ..strangers.profile("stranger") };
    for profile in [authority.trust(), stranger] {
        let sender = sender(&receiver, Arc::new(ClientTls::load(&profile).unwrap()));
        let (outcome, accepted) = tokio::join!(send(&sender, "M1"), accept(&receiver, &server));
        assert!(accepted.is_err());
        // In TLS 1.3 the sender learns of it only after it may have written.
        assert_ne!(outcome.name(), "accepted", "{outcome:?}");
    }
    let optional = ServerTls::load(&TlsProfile {
        client_auth: ClientAuth::Optional,
        ..authority.profile("server")
    })
    .unwrap();
    let sender = sender(&receiver, Arc::new(ClientTls::load(&authority.trust()).unwrap()));
    let receive = async {
        let mut peer = accept(&receiver, &optional).await.unwrap();
        assert!(client_names(&peer.stream).is_empty());
        peer.frame().await;
        peer.ack("AA", "M1").await;
        peer
    };
    let (outcome, _peer) = tokio::join!(send(&sender, "M1"), receive);
    check(&outcome, "accepted", "AA");
}

#[tokio::test]
async fn certificates_change_while_connections_stay() {
    let authority = Authority::new();
    authority.issue("server", &["localhost", "old.hospital.example"]);
    let server = ServerTls::load(&authority.profile("server")).unwrap();
    let client = Arc::new(ClientTls::load(&authority.trust()).unwrap());
    let receiver = Receiver::bind().await;
    let (one, two) = (sender(&receiver, Arc::clone(&client)), sender(&receiver, client));
    let script = async {
        let mut before = accept(&receiver, &server).await.unwrap();
        before.frame().await;
        before.ack("AA", "M1").await;
        authority.issue("server", &["localhost", "new.hospital.example"]);
        server.reload().unwrap();
        let names = server.certificates()[0].names.clone();
        assert_eq!(names, ["localhost", "new.hospital.example"]);
        // The old connection goes on, a new one gets the new certificate.
        before.frame().await;
        before.ack("AA", "M2").await;
        let mut after = accept(&receiver, &server).await.unwrap();
        after.frame().await;
        after.ack("AA", "M3").await;
        (before, after)
    };
    let send = async {
        check(&send(&one, "M1").await, "accepted", "AA");
        check(&send(&one, "M2").await, "accepted", "AA");
        check(&send(&two, "M3").await, "accepted", "AA");
    };
    let (_peers, ()) = tokio::join!(script, send);
}

#[test]
fn a_wrong_file_leaves_the_old_certificate_in_use() {
    let authority = Authority::new();
    authority.issue("server", &["localhost"]);
    let server = ServerTls::load(&authority.profile("server")).unwrap();
    assert!(!server.reload_if_changed().unwrap());
    let before = server.config();
    fs::write(authority.path("server.pem"), "not PEM at all").unwrap();
    // A file system may count time in coarse steps; say plainly that the file is newer.
    let file = fs::File::options().write(true).open(authority.path("server.pem")).unwrap();
    let later = file.metadata().unwrap().modified().unwrap() + Duration::from_secs(5);
    file.set_modified(later).unwrap();
    let error = server.reload_if_changed().unwrap_err().to_string();
    assert!(error.contains("server.pem") && error.contains("no certificate"), "{error}");
    assert!(Arc::ptr_eq(&before, &server.config()));
}

#[test]
fn validity_is_read_from_the_certificate() {
    let authority = Authority::new();
    authority.issue("server", &["localhost", "*.hospital.example"]);
    let server = ServerTls::load(&authority.profile("server")).unwrap();
    let view = server.certificates()[0].clone();
    assert_eq!(view.path, authority.path("server.pem"));
    assert_eq!(view.names, ["localhost", "*.hospital.example"]);
    // 2020-01-02 and 2049-12-31, midnight UTC.
    assert_eq!((view.valid_from_s, view.expires_s), (1_577_923_200, 2_524_521_600));
    assert_eq!(view.expires_in_s(2_524_521_700), -100);
}

#[test]
fn errors_name_the_file_and_the_fault() {
    let authority = Authority::new();
    authority.issue("server", &["localhost"]);
    authority.issue("other", &["localhost"]);
    let file = |name: &str, content: &str| {
        fs::write(authority.path(name), content).unwrap();
        authority.path(name)
    };
    let check = |profile: TlsProfile, expected: &[&str]| {
        let error = ServerTls::load(&profile).err().expect("it cannot be loaded").to_string();
        for part in expected {
            assert!(error.contains(part), "`{error}` lacks `{part}`");
        }
    };
    let with = |change: &dyn Fn(&mut TlsProfile)| {
        let mut profile = authority.profile("server");
        change(&mut profile);
        profile
    };
    check(
        with(&|p| p.private_key = Some(authority.path("other.key"))),
        &["other.key", "does not belong", "server.pem"],
    );
    check(with(&|p| p.private_key = None), &["one is missing"]);
    check(authority.trust(), &["`certificate` and `private_key` are needed"]);
    check(
        with(&|p| p.certificate = Some(Path::new("/nowhere.pem").into())),
        &["/nowhere.pem", "cannot be read"],
    );
    check(
        with(&|p| p.private_key = Some(authority.path("server.pem"))),
        &["server.pem", "no private key"],
    );
    check(
        with(&|p| p.certificate = Some(authority.path("server.key"))),
        &["server.key", "no certificate"],
    );
    let encrypted = file(
        "locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    check(with(&|p| p.private_key = Some(encrypted.clone())), &["locked.key", "encrypted"]);
    let open = file("open.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    check(with(&|p| p.certificate = Some(open.clone())), &["open.pem", "no end line"]);
    let broken =
        file("broken.pem", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
    check(with(&|p| p.certificate = Some(broken.clone())), &["broken.pem"]);
    check(
        with(&|p| {
            p.ca = None;
            p.client_auth = ClientAuth::Required;
        }),
        &["`client_ca`"],
    );
    let list = file("empty.crl", "");
    check(
        with(&|p| {
            p.client_auth = ClientAuth::Required;
            p.revoked = Some(list.clone());
        }),
        &["empty.crl", "no revocation list"],
    );
}
