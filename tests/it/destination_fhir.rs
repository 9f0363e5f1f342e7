//! The FHIR destination against scripted servers: what is asked for, tokens, and outcomes.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm as Jwt, DecodingKey, Validation};
use medway::clock::Clock;
use medway::delivery::policy::{AckPolicy, Reaction};
use medway::destination::Destination;
use medway::destination::fhir::FhirDestination;
use medway::destination::fhir::options::{
    Access, Action, Algorithm, FhirOptions, Grant, SecretPlace,
};
use medway::destination::fhir::token::public_key;
use medway::destination::webhook::options::Authorization;
use medway::message::id::MessageId;
use medway::message::kind::ContentType;
use medway::message::outcome::{Outbound, Outcome, Scope};
use medway::message::secret::Secret;
use medway::message::time::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::receiver::{PATIENCE, Peer, Receiver};

/// 2026-01-14T08:30:00Z
const NOW_S: i64 = 1_768_379_400;

fn clock() -> Clock {
    Clock::manual(Timestamp(NOW_S * 1_000_000))
}

fn options(receiver: &Receiver) -> FhirOptions {
    FhirOptions {
        base: format!("http://127.0.0.1:{}/fhir/", receiver.port()),
        reply_within: Duration::from_secs(5),
        ..FhirOptions::default()
    }
}

fn outbound(body: &Value) -> Outbound {
    Outbound {
        message: MessageId::new(),
        body: Bytes::from(body.to_string()),
        content_type: ContentType::FhirJson,
        id: "1".into(),
        attributes: Vec::new(),
    }
}

async fn send(destination: &FhirDestination, body: &Value) -> Outcome {
    let (outbound, stop) = (outbound(body), CancellationToken::new());
    let sending = destination.send(&outbound, &stop);
    tokio::time::timeout(PATIENCE, sending).await.expect("an attempt ends")
}

/// A request as it came.
struct Request {
    line: String,
    head: String,
    body: String,
}

impl Request {
    async fn read(peer: &mut Peer<tokio::net::TcpStream>) -> Self {
        let head = String::from_utf8(peer.until(b"\r\n\r\n").await).unwrap();
        let line = head.split("\r\n").next().unwrap().to_owned();
        let mut request = Self { line, head, body: String::new() };
        if let Some(length) = request.header("content-length") {
            let length = length.parse().unwrap();
            request.body = String::from_utf8(peer.bytes(length).await).unwrap();
        }
        request
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.split("\r\n").skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

fn http(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .into_bytes()
}

/// Serves these answers, one connection each; what was asked.
async fn serve(receiver: &Receiver, answers: &[Vec<u8>]) -> Vec<Request> {
    let mut requests = Vec::new();
    for answer in answers {
        let mut peer = receiver.accept().await;
        requests.push(Request::read(&mut peer).await);
        peer.say(answer).await;
    }
    requests
}

#[tokio::test]
async fn each_action_is_its_request() {
    let patient = json!({"resourceType": "Patient", "id": "a/b", "active": true,
        "identifier": [{"system": "http://h.example/mrn", "value": "4711"}]});
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": []});
    let message = json!({"resourceType": "Bundle", "type": "message", "entry": []});
    for (action, body, line) in [
        (Action::Auto, &patient, "PUT /fhir/Patient/a%2Fb HTTP/1.1"),
        (Action::Create, &patient, "POST /fhir/Patient HTTP/1.1"),
        (
            Action::ConditionalUpdate,
            &patient,
            "PUT /fhir/Patient?identifier=http%3A%2F%2Fh.example%2Fmrn%7C4711 HTTP/1.1",
        ),
        (Action::Auto, &bundle, "POST /fhir HTTP/1.1"),
        (Action::Auto, &message, "POST /fhir/$process-message HTTP/1.1"),
    ] {
        let receiver = Receiver::bind().await;
        let options = FhirOptions { action, ..options(&receiver) };
        let destination = FhirDestination::new(options, None, clock()).unwrap();
        let answers = [http("202 Accepted", "")];
        let (outcome, requests) =
            tokio::join!(send(&destination, body), serve(&receiver, &answers));
        assert_eq!(outcome.name(), "accepted", "{line}");
        let request = &requests[0];
        assert_eq!(request.line, line);
        assert_eq!(request.header("content-type"), Some("application/fhir+json"));
        assert_eq!(request.body, body.to_string());
        let condition =
            (action == Action::Create).then_some("identifier=http%3A%2F%2Fh.example%2Fmrn%7C4711");
        assert_eq!(request.header("if-none-exist"), condition);
    }
}

#[tokio::test]
async fn what_the_server_says_is_kept_and_decides() {
    let receiver = Receiver::bind().await;
    let access = Access::Header(Authorization::Bearer(Secret::new("t0ken")));
    let options = FhirOptions { access, ..options(&receiver) };
    let destination = FhirDestination::new(options, None, clock()).unwrap();
    let said = json!({"resourceType": "OperationOutcome", "issue": [{
        "severity": "error", "code": "required", "diagnostics": "status is missing",
        "expression": ["Observation.status"]}]});
    let answers = [http("422 Unprocessable Entity", &said.to_string())];
    let body = json!({"resourceType": "Observation", "code": {}});
    let (outcome, requests) = tokio::join!(send(&destination, &body), serve(&receiver, &answers));
    assert_eq!((outcome.name(), &*outcome.answer().code), ("rejected", "422"));
    assert_eq!(&*outcome.answer().text, "required: status is missing (Observation.status)");
    assert_eq!(requests[0].header("authorization"), Some("Bearer t0ken"));
}

/// `on_ack` of a channel has the last word on each status, and on the codes of FHIR messages.
#[tokio::test]
async fn the_channel_says_what_each_answer_means() {
    let mut policy = AckPolicy::standard();
    for (code, reaction) in [
        ("404", Reaction::Accept),
        ("409", Reaction::HoldLane),
        ("4xx", Reaction::Pause),
        ("fatal-error", Reaction::HoldLane),
        ("unread", Reaction::DeadLetter),
    ] {
        policy.set(code, reaction).unwrap();
    }
    let answer = |code: &str| {
        json!({"resourceType": "Bundle", "type": "message", "entry": [{"resource":
            {"resourceType": "MessageHeader", "response": {"code": code}}}]})
        .to_string()
    };
    let patient = json!({"resourceType": "Patient", "id": "1", "active": true});
    let message = json!({"resourceType": "Bundle", "type": "message", "entry": []});
    for (body, status, said, expected) in [
        (&patient, "404 Not Found", String::new(), Reaction::Accept),
        (&patient, "409 Conflict", String::new(), Reaction::HoldLane),
        (&patient, "412 Precondition Failed", String::new(), Reaction::Pause),
        (&patient, "500 Internal Server Error", String::new(), Reaction::Retry),
        (&message, "200 OK", answer("fatal-error"), Reaction::HoldLane),
        (&message, "200 OK", answer("transient-error"), Reaction::Retry),
        (&message, "200 OK", "no Bundle".to_owned(), Reaction::DeadLetter),
    ] {
        let receiver = Receiver::bind().await;
        let destination = FhirDestination::new(options(&receiver), None, clock()).unwrap();
        let answers = [http(status, &said)];
        let (outcome, _) = tokio::join!(send(&destination, body), serve(&receiver, &answers));
        assert_eq!(policy.reaction(&outcome), expected, "{status} {said}");
    }
}

#[tokio::test]
async fn what_is_no_resource_is_set_aside_without_a_request() {
    let receiver = Receiver::bind().await;
    let destination = FhirDestination::new(options(&receiver), None, clock()).unwrap();
    let outcome = send(&destination, &json!({"resourceType": "Patient", "id": "1"})).await;
    assert_eq!((outcome.name(), &*outcome.answer().code), ("rejected", "unfit"));
    assert_eq!(send(&destination, &json!([1])).await.name(), "rejected");
}

#[tokio::test]
async fn a_token_is_kept_until_the_server_does_not_take_it() {
    let receiver = Receiver::bind().await;
    let login = Receiver::bind().await;
    let grant = Grant {
        token_url: format!("http://127.0.0.1:{}/token", login.port()),
        client_id: "medway".to_owned(),
        scope: Some("system/*.cruds".to_owned()),
    };
    let secret = Secret::new("s 3");
    let access = Access::ClientCredentials { grant, secret, place: SecretPlace::Basic };
    let options = FhirOptions { access, ..options(&receiver) };
    let destination = FhirDestination::new(options, None, clock()).unwrap();
    let body = json!({"resourceType": "Patient", "active": true});
    let ok = http("201 Created", "");
    let token =
        |text: &str| http("200 OK", &json!({"access_token": text, "expires_in": 300}).to_string());
    let sends = async {
        for _ in 0..3 {
            assert_eq!(send(&destination, &body).await.name(), "accepted");
        }
    };
    let answers = [ok.clone(), http("401 Unauthorized", ""), ok.clone(), ok];
    let logins = [token("one"), token("two")];
    let ((), asked, logged) =
        tokio::join!(sends, serve(&receiver, &answers), serve(&login, &logins));
    let bearers: Vec<_> = asked.iter().map(|one| one.header("authorization").unwrap()).collect();
    assert_eq!(bearers, ["Bearer one", "Bearer one", "Bearer two", "Bearer two"]);
    // RFC 6749 §2.3.1: `s 3` is encoded before it is joined.
    assert_eq!(logged[0].header("authorization"), Some("Basic bWVkd2F5OnMrMw=="));
    let form = logged[0].form();
    assert!(form.contains(&("grant_type".into(), "client_credentials".into())));
    assert!(form.contains(&("scope".into(), "system/*.cruds".into())));
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let (receiver, login) = (Receiver::bind().await, Receiver::bind().await);
    let grant = Grant {
        token_url: format!("http://127.0.0.1:{}/token", login.port()),
        client_id: "medway".to_owned(),
        scope: None,
    };
    let secret = Secret::new("s3");
    let access = Access::ClientCredentials { grant, secret, place: SecretPlace::Form };
    let clock = clock();
    let options = FhirOptions { access, ..options(&receiver) };
    let destination = FhirDestination::new(options, None, clock.clone()).unwrap();
    let body = json!({"resourceType": "Patient", "active": true});
    let Clock::Manual(now) = &clock else { panic!() };
    let sends = async {
        for _ in 0..2 {
            assert_eq!(send(&destination, &body).await.name(), "accepted");
            now.fetch_add(241_000_000, std::sync::atomic::Ordering::AcqRel);
        }
    };
    let ok = http("201 Created", "");
    let token = http("200 OK", r#"{"access_token": "a", "expires_in": "300"}"#);
    let answers = [ok.clone(), ok];
    let logins = [token.clone(), token];
    let ((), _, logged) = tokio::join!(sends, serve(&receiver, &answers), serve(&login, &logins));
    assert!(logged[1].form().contains(&("client_secret".into(), "s3".into())));
}

#[tokio::test]
async fn without_a_token_everything_waits() {
    let (receiver, login) = (Receiver::bind().await, Receiver::bind().await);
    let grant = Grant {
        token_url: format!("http://127.0.0.1:{}/token", login.port()),
        client_id: "medway".to_owned(),
        scope: None,
    };
    let secret = Secret::new("s3");
    let access = Access::ClientCredentials { grant, secret, place: SecretPlace::Form };
    let options = FhirOptions { access, ..options(&receiver) };
    let destination = FhirDestination::new(options, None, clock()).unwrap();
    let body = json!({"resourceType": "Patient", "active": true});
    let logins = [http("400 Bad Request", r#"{"error": "invalid_client"}"#)];
    let (outcome, _) = tokio::join!(send(&destination, &body), serve(&login, &logins));
    let Outcome::Failed { answer, scope, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!((&*answer.code, scope), ("token", Scope::Endpoint));
    assert_eq!(&*answer.text, "the token endpoint answered 400: invalid_client");
}

/// A key of each algorithm, drawn anew, as PEM.
fn key(algorithm: Algorithm) -> Secret {
    let pair = match algorithm {
        Algorithm::Es384 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(),
        // `rcgen` draws no RSA keys; this one is for tests alone.
        Algorithm::Rs384 => return Secret::new(include_str!("destination_fhir.pem")),
    };
    Secret::new(&pair.serialize_pem())
}

#[tokio::test]
async fn a_smart_client_proves_itself_with_the_key_it_publishes() {
    for (algorithm, jwt) in [(Algorithm::Es384, Jwt::ES384), (Algorithm::Rs384, Jwt::RS384)] {
        let (receiver, login) = (Receiver::bind().await, Receiver::bind().await);
        let grant = Grant {
            token_url: format!("http://127.0.0.1:{}/token", login.port()),
            client_id: "medway".to_owned(),
            scope: Some("system/Patient.u".to_owned()),
        };
        let key_id = "medway-1".to_owned();
        let access = Access::Smart { grant, key: key(algorithm), key_id, algorithm };
        let published: Jwk = serde_json::from_value(public_key(&access).unwrap().unwrap()).unwrap();
        assert_eq!(published.common.key_id.as_deref(), Some("medway-1"));
        let options = FhirOptions { access, ..options(&receiver) };
        let destination = FhirDestination::new(options, None, clock()).unwrap();
        let body = json!({"resourceType": "Patient", "active": true});
        let logins = [http("200 OK", r#"{"access_token": "a", "expires_in": 300}"#)];
        let answers = [http("201 Created", "")];
        let (outcome, logged, _) = tokio::join!(
            send(&destination, &body),
            serve(&login, &logins),
            serve(&receiver, &answers)
        );
        assert_eq!(outcome.name(), "accepted");
        let form = logged[0].form();
        let field = |name: &str| {
            form.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap()
        };
        assert_eq!(
            field("client_assertion_type"),
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        let assertion = field("client_assertion");
        let mut validation = Validation::new(jwt);
        validation.validate_exp = false;
        validation.set_audience(&[format!("http://127.0.0.1:{}/token", login.port())]);
        validation.set_issuer(&["medway"]);
        let decoded = jsonwebtoken::decode::<Value>(
            &assertion,
            &DecodingKey::from_jwk(&published).unwrap(),
            &validation,
        );
        let claims = decoded.unwrap().claims;
        assert_eq!(claims["sub"], "medway");
        assert_eq!(claims["exp"], NOW_S + 240);
        assert!(claims["jti"].as_str().is_some_and(|id| !id.is_empty()));
        let head = assertion.split('.').next().unwrap();
        let head: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap();
        assert_eq!((&head["kid"], &head["typ"]), (&json!("medway-1"), &json!("JWT")));
    }
}
