//! Who may do what, and what the audit trail says of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use medway::access::verify::{Verified, verify};
use medway::clock::Clock;
use medway::message::time::Timestamp;
use medway::source::fhir::access::options::{
    AccessOptions, HashedSecret, JwtOptions, KeySource, Known, SecretHolder,
};
use medway::source::fhir::access::scope::Scopes;
use medway::source::fhir::audit::{Audit, AuditEntry, AuditTrail};
use medway::source::fhir::options::FhirSourceOptions;
use medway::store::access::AccessStore;
use medway::store::sqlite::access::SqliteAccess;
use serde_json::{Value, json};

use super::{JSON, Server};

fn options(known: Known) -> FhirSourceOptions {
    FhirSourceOptions {
        access: AccessOptions::Known(Box::new(known)),
        ..FhirSourceOptions::default()
    }
}

fn holder(name: &str, secret: &str, scopes: &str) -> SecretHolder {
    SecretHolder {
        name: name.into(),
        secret: HashedSecret::read(secret),
        scopes: Scopes::read(scopes),
    }
}

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_users_are_known_and_kept_to_their_scopes() {
    let server = Server::with(options(Known {
        tokens: vec![
            holder("emr", "token-emr", "system/*.cruds"),
            holder("lab", "token-lab", "system/Patient.rs system/Observation.c"),
        ],
        basic: vec![holder("ris", "secret", "system/Patient.read")],
        ..Known::default()
    }))
    .await;
    let emr = ("Authorization", "Bearer token-emr");
    let lab = ("Authorization", "Bearer token-lab");
    let ris = ("Authorization", "Basic cmlzOnNlY3JldA==");
    let wrong = ("Authorization", "Basic cmlzOndyb25n");
    let nobody = ("X-Nothing", "x");
    let strange = ("Authorization", "Bearer token-other");
    let cases: &[(&str, &str, (&str, &str), u16)] = &[
        ("GET", "metadata", nobody, 200),
        ("GET", "Patient", nobody, 401),
        ("GET", "Patient", strange, 401),
        ("GET", "Patient", wrong, 401),
        ("PUT", "Patient/p", emr, 201),
        ("GET", "Patient/p", lab, 200),
        ("GET", "Patient", lab, 200),
        ("GET", "Patient/p", ris, 200),
        ("PUT", "Patient/p", lab, 403),
        ("DELETE", "Patient/p", ris, 403),
        ("GET", "Observation", lab, 403),
        ("GET", "_history", lab, 403),
        ("GET", "_history", emr, 200),
        ("GET", "Patient/p/_history", lab, 200),
        ("GET", "Patient/_history", ris, 200),
    ];
    for (method, path, who, status) in cases {
        let body = if *method == "PUT" { PATIENT } else { "" };
        let got = server.call(method, path, &[JSON, *who], body).await;
        assert_eq!(got.status, *status, "{method} {path} {who:?} {got:?}");
        if *status == 401 {
            assert!(got.header("www-authenticate").starts_with("Bearer"), "{got:?}");
            assert_eq!(got.codes(), ["login"]);
        }
    }
    let entry = |method: &str, url: &str| json!({"request": {"method": method, "url": url}});
    let bundle = json!({"resourceType": "Bundle", "type": "batch",
        "entry": [entry("GET", "Patient/p"), entry("DELETE", "Patient/p")]});
    let got = server.call("POST", "", &[JSON, lab], &bundle.to_string()).await;
    assert_eq!(got.body["entry"][0]["response"]["status"], "200 OK");
    assert_eq!(got.body["entry"][1]["response"]["status"], "403 Forbidden");
    let mut whole = bundle.clone();
    whole["type"] = json!("transaction");
    assert_eq!(server.call("POST", "", &[JSON, lab], &whole.to_string()).await.status, 403);
    let log = server.audited();
    for line in [
        " request   401",
        "emr update Patient p 201",
        "lab update Patient p 403",
        "lab read Patient p 200",
        "lab delete Patient p 403",
        "lab bundle   200",
    ] {
        assert!(log.iter().any(|kept| kept == line), "no `{line}` in {log:?}");
    }
    server.end().await;
}

/// A key pair of Ed25519: the private key, and the public one as a key set says it.
fn ed25519() -> (EncodingKey, String) {
    let seed = [7; 32];
    // RFC 8410 §7: the frame of a private key around its 32 bytes.
    let mut der = vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
    der.extend([0x04, 0x22, 0x04, 0x20]);
    der.extend(seed);
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let public = ring::signature::KeyPair::public_key(&pair).as_ref();
    (EncodingKey::from_ed_der(&der), URL_SAFE_NO_PAD.encode(public))
}

/// An authorization server whose keys are in a file.
fn login(keys: PathBuf) -> Known {
    let jwt = JwtOptions {
        issuer: "https://login.example".into(),
        audience: "https://fhir.example/fhir".into(),
        keys: KeySource::File(keys),
        keys_tls: None,
        keys_for: Duration::from_secs(60),
        token_endpoint: Some("https://login.example/token".into()),
        withdrawn: Vec::new(),
    };
    Known { jwt: Some(jwt), ..Known::default() }
}

/// In seconds since 1970.
fn now() -> i64 {
    Clock::System.now().0 / 1_000_000
}

#[tokio::test(flavor = "multi_thread")]
async fn bearer_tokens_of_an_authorization_server_are_checked_in_every_part() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.json");
    let key =
        |name: &'static rcgen::SignatureAlgorithm| rcgen::KeyPair::generate_for(name).unwrap();
    let ec = |pair: &rcgen::KeyPair| EncodingKey::from_ec_der(&pair.serialize_der());
    let ec256 = ec(&key(&rcgen::PKCS_ECDSA_P256_SHA256));
    let ec384 = ec(&key(&rcgen::PKCS_ECDSA_P384_SHA384));
    let stranger = ec(&key(&rcgen::PKCS_ECDSA_P256_SHA256));
    // Made for this test alone; opens nothing.
    let rsa = EncodingKey::from_rsa_pem(include_bytes!("rs.pem")).unwrap();
    let (ed, ed_public) = ed25519();
    let mut set = vec![json!({"kty": "OKP", "crv": "Ed25519", "kid": "ked", "x": ed_public})];
    for (kid, key, algorithm) in [
        ("k256", &ec256, Algorithm::ES256),
        ("k384", &ec384, Algorithm::ES384),
        ("krs", &rsa, Algorithm::RS384),
    ] {
        let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
        jwk.common.key_id = Some(kid.to_owned());
        set.push(serde_json::to_value(jwk).unwrap());
    }
    std::fs::write(&keys, json!({"keys": set}).to_string()).unwrap();
    let server = Server::with(options(login(keys))).await;
    let good = json!({"iss": "https://login.example", "aud": "https://fhir.example/fhir",
        "exp": now() + 300, "client_id": "emr", "scope": "system/Patient.rs"});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let token = |key: &EncodingKey, algorithm, kid: &str, claims: &Value| {
        let mut header = Header::new(algorithm);
        header.kid = Some(kid.to_owned());
        encode(&header, claims, key).unwrap()
    };
    let es256 = |claims: &Value| token(&ec256, Algorithm::ES256, "k256", claims);
    let cases = [
        ("ES256", es256(&good), 200),
        ("ES384", token(&ec384, Algorithm::ES384, "k384", &good), 200),
        ("EdDSA", token(&ed, Algorithm::EdDSA, "ked", &good), 200),
        ("RS256", token(&rsa, Algorithm::RS256, "krs", &good), 200),
        ("RS384", token(&rsa, Algorithm::RS384, "krs", &good), 200),
        (
            "a shared secret",
            token(&EncodingKey::from_secret(b"x"), Algorithm::HS256, "krs", &good),
            401,
        ),
        ("several audiences", es256(&with("aud", json!(["x", "https://fhir.example/fhir"]))), 200),
        ("another key", token(&stranger, Algorithm::ES256, "k256", &good), 401),
        ("an unknown key", token(&stranger, Algorithm::ES256, "other", &good), 401),
        ("expired", es256(&with("exp", json!(now() - 300))), 401),
        ("not yet", es256(&with("nbf", json!(now() + 300))), 401),
        ("no end", es256(&with("exp", Value::Null)), 401),
        ("another issuer", es256(&with("iss", json!("https://else.example"))), 401),
        ("another audience", es256(&with("aud", json!("https://else.example"))), 401),
        ("no scope", es256(&with("scope", Value::Null)), 403),
        ("other scope", es256(&with("scope", json!("system/Patient.cud"))), 403),
        ("none", "eyJhbGciOiJub25lIn0.e30.".to_owned(), 401),
        ("nonsense", "x".to_owned(), 401),
    ];
    for (what, token, status) in cases {
        let header = format!("Bearer {token}");
        let got = server.call("GET", "Patient", &[("Authorization", &header)], "").await;
        assert_eq!(got.status, status, "{what}: {got:?}");
    }
    let smart = server.get(".well-known/smart-configuration").await;
    assert_eq!(smart.header("content-type"), "application/json");
    assert_eq!(smart.body["token_endpoint"], "https://login.example/token");
    let told = server.get("metadata").await.body;
    let security = &told["rest"][0]["security"];
    assert_eq!(security["service"][0]["coding"][0]["code"], "SMART-on-FHIR");
    assert!(server.audited().iter().any(|line| line == "emr search Patient  200"));
    server.end().await;
}

#[tokio::test]
async fn nothing_is_shown_that_is_not_on_the_trail() {
    let server = Server::start().await;
    server.store(&json!({"resourceType": "Patient", "id": "1", "active": true})).await;
    server.audit.1.store(true, std::sync::atomic::Ordering::Relaxed);
    for path in ["Patient/1", "Patient", "Patient/1/_history"] {
        let got = server.get(path).await;
        assert_eq!(got.status, 503, "{path}");
        assert!(!got.text.contains("active"), "{path}: {}", got.text);
    }
    // What was done was done: its sender hears the truth and does not send it again.
    let got = server.post("Patient", &json!({"resourceType": "Patient"})).await;
    assert_eq!(got.status, 201);
    server.end().await;
}

#[tokio::test]
async fn many_requests_at_once_are_records_of_one_whole_trail() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteAccess::open(&folder.path().join("access.db")).await.unwrap();
    let store: Arc<dyn AccessStore> = Arc::new(store);
    let trail = Arc::new(AuditTrail::new(Arc::clone(&store)));
    let act = |trail: Arc<AuditTrail>, number: i64| async move {
        trail.record(&AuditEntry {
            at: Timestamp(number),
            channel: "fhir",
            request: "r1",
            who: "emr",
            means: "token",
            from: "10.0.0.1",
            interaction: "read",
            kind: "Patient",
            id: "1",
            status: if number == 0 { 403 } else { 200 },
        });
        trail.settle().await.unwrap();
    };
    let tracker = tokio_util::task::TaskTracker::new();
    let acts: Vec<_> = (0..100).map(|n| tracker.spawn(act(Arc::clone(&trail), n))).collect();
    for act in acts {
        act.await.unwrap();
    }
    let records = store.audit_from(0, 1_000).await.unwrap();
    assert_eq!(records.len(), 100);
    let denied = records.iter().find(|record| record.entry.at.0 == 0).unwrap();
    assert_eq!(denied.entry.action, "fhir.read");
    assert_eq!(denied.entry.object, "fhir/Patient/1");
    assert_eq!((&*denied.entry.actor, &*denied.entry.outcome), ("fhir:emr", "denied"));
    assert!(matches!(verify(&*store).await.unwrap(), Verified::Whole { records: 100, .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conditional_reference_is_a_search_that_needs_its_own_scope() {
    let server = Server::with(options(Known {
        tokens: vec![
            holder("emr", "token-emr", "system/*.cruds"),
            holder("lab", "token-lab", "system/Observation.cruds"),
        ],
        ..Known::default()
    }))
    .await;
    let patient = json!({"resourceType": "Patient", "id": "p",
        "identifier": [{"system": "urn:mrn", "value": "1"}]});
    let put = |who: &'static str| ("Authorization", who);
    let emr = put("Bearer token-emr");
    server.call("PUT", "Patient/p", &[JSON, emr], &patient.to_string()).await;
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [{
        "resource": {"resourceType": "Observation", "status": "final", "code": {"text": "x"},
            "subject": {"reference": "Patient?identifier=urn:mrn|1"}},
        "request": {"method": "POST", "url": "Observation"},
    }]})
    .to_string();
    let lab = put("Bearer token-lab");
    assert_eq!(server.call("POST", "", &[JSON, lab], &bundle).await.status, 403);
    assert_eq!(server.call("POST", "", &[JSON, emr], &bundle).await.status, 200);
    server.end().await;
}
