//! What people do, rightly and wrongly, with a patient's name in hand.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;

use crate::canary::{CANARIES, Trial, found};
use crate::peers::until;

/// What a request answers, head and body.
pub(super) fn said(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    // An engine that refuses early may close with bytes of ours unread.
    let _read = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(super) fn post(path: &str, head: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n{head}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Everything that people do with a message, by the command line.
pub(super) fn act(trial: &Trial, id: &str, edited: &Path) {
    let payload = format!("payload={}", edited.display());
    let group =
        ["--set", "destination=trial/lis", "--set", "state=dead", "--set", "cause=rejected"];
    for command in [
        &["messages", "--key", "金丝雀小明"][..],
        &["messages", id],
        &["messages", id, "--raw"],
        &["messages", id, "--sent", "trial/lis"],
        &["call", "message.tree", id],
        &["call", "message.explain", id],
        &["call", "message.neighbours", id],
        &["call", "message.preview", id, "--set", "destination=trial/lis", "--bytes", &payload],
        &["call", "message.resend", id, "--set", "reason=corrected", "--bytes", &payload],
        &["replay", id, "--reason", "lost", "--to", "trial/web"],
        &["call", "exception.groups"],
        &[&["call", "exception.test"][..], &group].concat(),
        &["audit", "search", "--term", "KANARIE77"],
        &["destinations", "trial/his", "pause", "--reason", "maintenance"],
        &["call", "channel.switch", "trial", "stop", "--set", "reason=maintenance"],
    ] {
        let (done, told) = trial.engine.command(command);
        assert!(done, "{command:?}: {told}");
    }
    // Both are refused again: a job of what is refused once more has something to say.
    for act in ["retry", "replay"] {
        until("they are refused", || trial.dead("trial/lis") > 0);
        let which = ["--state", "dead", "--destination", "trial/lis", "--reason", "try", "--wait"];
        let (_, told) = trial.engine.command(&[&["jobs", "begin", act], &which[..]].concat());
        assert!(told.contains(act), "{told}");
    }
}

/// Commands that are refused: what the command line says of it may stand in a mail of cron.
pub(super) fn complain(trial: &Trial, id: &str, edited: &Path) {
    let nobody = format!("127.0.0.1:{}", crate::engine::free_port());
    let payload = format!("payload={}", edited.display());
    let limit = format!("limit=@{}", edited.display());
    for command in [
        &["messages", "KANARIE77"][..],
        &["messages", "--key", "mrn=KANARIE77", "--since", "yesterday"],
        &["messages", id, "--sent", "trial/none"],
        &["call", "message.tree", "KANARIE77"],
        &["call", "message.search", "--set", "limit=金丝雀小明"],
        &["call", "message.search", "--set", &limit],
        &["call", "message.search", "--set", "since=KANARIE77"],
        &["call", "message.resend", id, "--set", "reason=", "--bytes", &payload],
        &[
            "call",
            "message.preview",
            id,
            "--set",
            "destination=trial/KANARIE77",
            "--bytes",
            &payload,
        ],
        &["call", "delivery.act", "trial/lis", "KANARIE77", "retry", "--set", "reason=x"],
        &["jobs", "begin", "retry", "--state", "KANARIE77", "--reason", "x"],
        &["jobs", "abort", "none", "--reason", "x"],
        &["destinations", "trial/KANARIE77"],
        &["audit", "search", "--since", "KANARIE77"],
        &["user", "disable", "nobody"],
    ] {
        let (done, told) = trial.engine.command(command);
        assert!(!done, "{command:?} is refused: {told}");
        assert_eq!(found(told.as_bytes()), [""; 0], "{command:?}: {told}");
    }
    // A command without an engine: nobody listens.
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_medway"))
        .args(["send", &nobody])
        .arg(edited)
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert_eq!(found(&[output.stdout, output.stderr].concat()), [""; 0]);
}

/// Somebody guesses; what they type as a password is nobody's business.
pub(super) fn guess(trial: &Trial) {
    for user in ["li", "wang", "li", "li", "li", "li", "li"] {
        let body = format!("{{\"user\": \"{user}\", \"password\": \"KANARIE77 Zeisigkanarie\"}}");
        let request = post("/api/v1/session", "Content-Type: application/json\r\n", &body);
        let answer = said(trial.engine.admin, &request);
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        assert_eq!(found(answer.as_bytes()), [""; 0], "{answer}");
    }
    let forged = "GET /api/v1/status HTTP/1.1\r\nHost: m\r\nConnection: close\r\nAuthorization: Bearer KANARIE77\r\n\r\n";
    let answer = said(trial.engine.admin, forged);
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(found(answer.as_bytes()), [""; 0], "{answer}");
}

/// Pages and refusals of the API to somebody who asks with a patient's name in hand.
pub(super) fn pages(trial: &Trial, id: &str) {
    let token = std::fs::read_to_string(trial.folder.path().join("data/admin.token")).unwrap();
    let known = format!("Authorization: Bearer {}\r\n", token.trim());
    let get =
        |path: &str| format!("GET {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n{known}\r\n");
    let kind = format!("{known}Content-Type: application/json\r\n");
    let post = |path: &str, body: &str| post(&format!("/api/v1{path}"), &kind, body);
    let replay = format!("/messages/{id}/replay");
    let pages = [
        get("/metrics"),
        get("/readyz"),
        get("/KANARIE77"),
        get("/docs/KANARIE77"),
        get("/api/v1/KANARIE77"),
        get("/api/v1/messages/KANARIE77"),
        get("/api/v1/channels/KANARIE77"),
        get("/api/v1/metrics/history"),
        get("/api/v1/destinations"),
        get("/api/v1/channels/trial"),
        get("/api/v1/channels/orders"),
        get("/api/v1/jobs"),
        get("/api/v1/system"),
        get("/api/v1/conservation"),
        get("/api/v1/subscriptions"),
        get("/api/v1/audit/export?format=csv"),
        get("/api/v1/audit/export?format=fhir"),
        post("/audit/search", "{}"),
        post("/messages/search", "{\"value\": KANARIE77}"),
        post("/messages/search", "{\"limit\": \"Zeisigkanarie 金丝雀小明\"}"),
        post("/messages/search", "{\"since\": \"KANARIE77\"}"),
        post(&replay, "{\"reason\": \"x\", \"destinations\": [\"KANARIE77\"]}"),
        post(&replay, "{\"reason\": \"x\", \"payload\": \"KANARIE77!\"}"),
        post("/KANARIE77", "{}"),
    ];
    for page in pages {
        let answer = said(trial.engine.admin, &page);
        assert!(answer.starts_with("HTTP/1.1 "), "{page}: {answer}");
        let holds = CANARIES.iter().find(|canary| answer.contains(**canary));
        assert_eq!(holds, None, "{page}\n{answer}");
    }
}
