//! The keys of an authorization server by its URL: its certificate, keys that change, and its absence.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use medway::clock::Clock;
use medway::message::time::Timestamp;
use medway::source::fhir::access::options::{AccessOptions, JwtOptions, KeySource, Known};
use medway::source::fhir::options::FhirSourceOptions;
use medway::tls::{ClientAuth, ClientTls};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::Server;
use crate::source_mllp::tls::Authority;

const NOW_S: i64 = 1_800_000_000;

/// An authorization server's key set behind HTTPS; without keys it answers 503.
struct Login {
    port: u16,
    keys: Arc<Mutex<Option<Value>>>,
    asked: Arc<AtomicUsize>,
}

impl Login {
    async fn new(authority: &Authority) -> Self {
        let tls = authority.server(ClientAuth::None);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (keys, asked) = (Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
        let (said, counted): (Arc<Mutex<Option<Value>>>, _) =
            (Arc::clone(&keys), Arc::clone(&asked));
        TaskTracker::new().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = tls.accept(stream, Duration::from_secs(5)).await else {
                    continue;
                };
                let mut read = Vec::new();
                while !read.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                counted.fetch_add(1, Ordering::Relaxed);
                let (status, body) = match said.lock().unwrap().as_ref() {
                    Some(keys) => (200, keys.to_string()),
                    None => (503, String::new()),
                };
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                // Whether the client waits for the end is not what is looked at.
                stream.write_all(answer.as_bytes()).await.ok();
                stream.shutdown().await.ok();
            }
        });
        Self { port, keys, asked }
    }

    fn say(&self, keys: &[&Signer]) {
        let keys: Vec<&Value> = keys.iter().map(|key| &key.public).collect();
        *self.keys.lock().unwrap() = Some(json!({"keys": keys}));
    }

    fn fails(&self) {
        *self.keys.lock().unwrap() = None;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

struct Signer {
    kid: &'static str,
    key: EncodingKey,
    public: Value,
}

impl Signer {
    fn new(kid: &'static str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(kid.to_owned());
        Self { kid, key, public: serde_json::to_value(jwk).unwrap() }
    }

    fn token(&self) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.kid.to_owned());
        let claims = json!({"iss": "https://login.example", "aud": "us", "client_id": "emr",
            "exp": NOW_S + 100_000, "scope": "system/Patient.rs"});
        encode(&header, &claims, &self.key).unwrap()
    }
}

async fn server(login: &Login, tls: Option<ClientTls>, clock: &Clock) -> Server {
    let jwt = JwtOptions {
        issuer: "https://login.example".into(),
        audience: "us".into(),
        keys: KeySource::Url(format!("https://localhost:{}/jwks.json", login.port).into()),
        keys_tls: None,
        keys_for: Duration::from_hours(1),
        token_endpoint: None,
        withdrawn: Vec::new(),
    };
    let known = Known { jwt: Some(jwt), ..Known::default() };
    let options = FhirSourceOptions {
        access: AccessOptions::Known(Box::new(known)),
        ..FhirSourceOptions::default()
    };
    Server::all(options, None, tls.map(Arc::new), clock.clone()).await
}

async fn status(server: &Server, signer: &Signer) -> u16 {
    let shown = format!("Bearer {}", signer.token());
    server.call("GET", "Patient", &[("Authorization", &shown)], "").await.status
}

fn pass(clock: &Clock, time: Duration) {
    let Clock::Manual(moment) = clock else { panic!("a clock that can be set") };
    moment.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::AcqRel);
}

fn clock() -> Clock {
    Clock::manual(Timestamp(NOW_S * 1_000_000))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_change_are_fetched_once_and_kept_while_their_server_is_away() {
    let (authority, clock) = (Authority::new(), clock());
    let login = Login::new(&authority).await;
    let server = server(&login, Some(authority.client(None)), &clock).await;
    let (first, second, stranger) = (Signer::new("k1"), Signer::new("k2"), Signer::new("k9"));

    // Nobody can be checked yet; asking again at once is no way to press the authorization server.
    for _ in 0..3 {
        assert_eq!(status(&server, &first).await, 503);
    }
    assert_eq!(login.asked(), 1);

    login.say(&[&first]);
    pass(&clock, Duration::from_secs(11));
    for _ in 0..3 {
        assert_eq!(status(&server, &first).await, 200);
    }
    assert_eq!(login.asked(), 2);

    // The second key is new: one fetch, however many tokens name it.
    login.say(&[&first, &second]);
    pass(&clock, Duration::from_secs(11));
    for _ in 0..3 {
        assert_eq!(status(&server, &second).await, 200);
    }
    assert_eq!(login.asked(), 3);

    // A key that nobody has is asked for once in a while, not with each token.
    pass(&clock, Duration::from_secs(11));
    for _ in 0..5 {
        assert_eq!(status(&server, &stranger).await, 401);
    }
    assert_eq!(login.asked(), 4);

    // The old keys are old, and their server is away: they go on to be used.
    login.fails();
    pass(&clock, Duration::from_hours(2));
    for _ in 0..3 {
        assert_eq!(status(&server, &first).await, 200);
    }
    assert_eq!(login.asked(), 5);

    // It is back without the first key: whoever had it is somebody no more.
    login.say(&[&second]);
    pass(&clock, Duration::from_secs(11));
    assert_eq!(status(&server, &second).await, 200);
    assert_eq!(status(&server, &first).await, 401);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_server_whose_certificate_nobody_vouches_for_is_not_believed() {
    let (authority, clock) = (Authority::new(), clock());
    let login = Login::new(&authority).await;
    let signer = Signer::new("k1");
    login.say(&[&signer]);
    for tls in [None, Some(Authority::new().client(None))] {
        let server = server(&login, tls, &clock).await;
        assert_eq!(status(&server, &signer).await, 503);
        server.end().await;
    }
    assert_eq!(login.asked(), 0);
}
