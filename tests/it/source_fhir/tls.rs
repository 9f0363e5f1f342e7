//! HTTPS: clients known by their certificates.

use std::sync::Arc;

use medway::source::fhir::access::options::{AccessOptions, CertificateHolder, Known};
use medway::source::fhir::access::scope::Scopes;
use medway::source::fhir::options::FhirSourceOptions;
use medway::tls::ClientAuth;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Server;
use crate::source_mllp::tls::Authority;

/// Status and body of a GET by a client with this certificate, or without one.
async fn get(server: &Server, authority: &Authority, name: Option<&str>, path: &str) -> String {
    let client = authority.client(name);
    let stream = TcpStream::connect(server.address).await.unwrap();
    let mut stream = client.connect(stream, "localhost").await.unwrap();
    let request =
        format!("GET /fhir/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // Whether the peer says goodbye to TLS is not what is looked at.
    stream.read_to_string(&mut answer).await.ok();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_known_by_its_certificate() {
    let authority = Authority::new();
    let holder =
        CertificateHolder { name: "emr.example".into(), scopes: Scopes::read("system/Patient.rs") };
    let known = Known { certificates: vec![holder], ..Known::default() };
    let options = FhirSourceOptions {
        access: AccessOptions::Known(Box::new(known)),
        ..FhirSourceOptions::default()
    };
    let tls = authority.server(ClientAuth::Optional);
    let server = Server::over(options, Some(Arc::clone(&tls))).await;
    for (name, path, status) in [
        (Some("emr.example"), "Patient", "200"),
        (Some("emr.example"), "Observation", "403"),
        (Some("ris.example"), "Patient", "401"),
        (None, "Patient", "401"),
        (None, "metadata", "200"),
    ] {
        let answer = get(&server, &authority, name, path).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{name:?} {path} {answer}");
    }
    let answer = get(&server, &authority, Some("emr.example"), "Patient").await;
    assert!(answer.contains("https://localhost/fhir/Patient"), "{answer}");
    server.end().await;
}
