//! Asynchronous `$process-message` against a binary that dies at each commit on the way: a message and its
//! response are stored together or not at all, and what comes again changes nothing.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::engine::{Engine, free_port};
use crate::peers::until;

const CLIENT: &str = "http://his.example/fhir";

fn message(id: &str) -> Value {
    json!({
        "resourceType": "Bundle", "id": format!("b-{id}"), "type": "message",
        "timestamp": "2026-01-02T03:04:05Z",
        "entry": [
            {"fullUrl": format!("http://his.example/MessageHeader/{id}"), "resource": {
                "resourceType": "MessageHeader", "id": id,
                "eventCoding": {"system": "urn:events", "code": "admit"},
                "source": {"name": "HIS", "endpoint": CLIENT},
                "focus": [{"reference": "http://his.example/Patient/p1"}],
            }},
            {"fullUrl": "http://his.example/Patient/p1",
             "resource": {"resourceType": "Patient", "id": "p1", "name": [{"family": "Li"}]}},
        ],
    })
}

/// The status of the answer; `None` when the engine dies over it.
fn post(port: u16, body: &Value) -> Option<u16> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let text = body.to_string();
    write!(
        stream,
        "POST /fhir/$process-message?async=true HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/fhir+json\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

/// The responses that were delivered: the id each answers, and its bytes.
fn responses(folder: &Path) -> Vec<(String, String)> {
    let Ok(files) = fs::read_dir(folder.join("answers")) else { return Vec::new() };
    let paths = files.map(|file| file.unwrap().path());
    let done = paths.filter(|path| path.extension().is_some_and(|end| end == "json"));
    let mut told: Vec<_> = done
        .map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let bundle: Value = serde_json::from_str(&text).unwrap();
            let header = &bundle["entry"][0]["resource"];
            assert_eq!(header["response"]["code"], "ok");
            assert_eq!(header["destination"][0]["endpoint"], CLIENT);
            (header["response"]["identifier"].as_str().unwrap().to_owned(), text)
        })
        .collect();
    told.sort();
    told
}

/// How many messages of each kind the log has: those that were sent, and their responses.
fn stored(engine: &Engine) -> [usize; 2] {
    let found = engine.api("/messages/search", Some(&json!({"channel": "fhir", "limit": 100})));
    let events: Vec<_> =
        found["messages"].as_array().unwrap().iter().map(|one| one["event"].clone()).collect();
    ["message^admit", "message^response"]
        .map(|event| events.iter().filter(|own| **own == event).count())
}

#[test]
fn an_asynchronous_message_and_its_response_are_stored_together_whenever_the_engine_dies() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut engine = Engine::new(folder.path(), "  out:\n    file: {directory: out}\n");
    let channel = format!(
        "channel: fhir\nfrom:\n  fhir: {{listen: \"127.0.0.1:{port}\", access: none}}\nto:\n  out:\n    file: {{directory: out}}\n"
    );
    fs::write(folder.path().join("channels/fhir.yaml"), channel).unwrap();
    let delivered = folder.path().join("answers");
    fs::create_dir(&delivered).unwrap();
    let answers = format!(
        "channel: answers\nfrom: {{topic: \"message^response\"}}\nto:\n  out:\n    file: {{directory: {}, name: <$.id>.json}}\n",
        delivered.display()
    );
    fs::write(folder.path().join("channels/answers.yaml"), answers).unwrap();
    engine.start("");
    engine.ready().expect("the engine starts");
    let mut known = 0;
    let (mut before, mut after) = (0, 0);
    for point in ["store_before_commit", "store_after_commit"] {
        for count in 1..200 {
            let id = format!("{point}-{count}").replace('_', "-");
            engine.kill();
            engine.start(&format!("{point}:{count}"));
            if engine.ready().is_none() {
                continue;
            }
            let told = post(port, &message(&id));
            let died = told.is_none();
            if died {
                until("the engine has ended", || engine.ended());
            }
            // Nothing is sent again yet: what is in the log by now is all there is.
            engine.kill();
            engine.start("");
            engine.ready().expect("the engine starts");
            let [messages, answers] = stored(&engine);
            assert_eq!(messages, answers, "after {point}:{count}, answered {told:?}");
            assert!(told != Some(202) || messages == known + 1, "{point}:{count} lost a message");
            match messages - known {
                0 => before += 1,
                _ => after += usize::from(died),
            }
            until("every response is delivered", || responses(folder.path()).len() == answers);
            // The sender sends again what nobody confirmed, and once more.
            let first = responses(folder.path());
            for _ in 0..2 {
                assert_eq!(post(port, &message(&id)), Some(202));
            }
            known += 1;
            assert_eq!(stored(&engine), [known; 2], "{point}:{count}");
            until("the response is delivered", || responses(folder.path()).len() == known);
            let now = responses(folder.path());
            assert!(first.iter().all(|one| now.contains(one)), "responses stay as they were");
            let mut ids: Vec<_> = now.iter().map(|(id, _)| id).collect();
            ids.dedup();
            assert_eq!(ids.len(), known, "each message has one response");
            if !died {
                break;
            }
        }
    }
    assert!(before > 0 && after > 0, "it died {before} times before the commit, {after} after it");
}
