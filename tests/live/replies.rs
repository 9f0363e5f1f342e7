//! Acknowledgements on a second connection, and receivers that connect to the engine, through the real
//! binary and over its restarts.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use crate::engine::{Engine, free_port};
use crate::peers::{Link, field, framed, read_frame, until, update};

/// A sender that wants to hear of its application acknowledgement elsewhere.
fn wants(id: &str, application: &str) -> String {
    update(id, "P1").replace("|P|2.5.1\r", &format!("|P|2.5.1|||AL|{application}\r"))
}

#[test]
fn application_acknowledgements_owed_are_sent_on_their_own_connection_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let replies = free_port();
    let destination = format!(
        "  replies:\n    when: MSH-16 is AL or SU\n    mllp: {{host: 127.0.0.1, port: {replies}}}\n\
         \x20   retry: {{first: 20ms, factor: 2, max: 200ms, for: 1h, then: hold}}\n\
         \x20   produce: {{ack: application}}\n"
    );
    let mut engine =
        Engine::with(folder.path(), "order_by: PID-3.1\n", "{application: none}", "", &destination);
    engine.start("");
    engine.ready().expect("the engine starts");
    let mut link = Link::open(engine.port);
    assert_eq!(link.send(&wants("R1", "AL")), ("CA".to_owned(), "R1".to_owned()));
    assert_eq!(link.send(&wants("R2", "NE")).0, "CA");
    assert_eq!(link.send(&wants("R3", "SU")).0, "CA");
    engine.kill();
    // Both that are owed are sent after the restart, in their order, and nobody else hears of anything.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, replies)).unwrap();
    engine.start("");
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut rest = Vec::new();
    let mut ids = Vec::new();
    for expected in ["R1", "R3"] {
        let reply = read_frame(&mut stream, &mut rest).expect("a reply comes");
        let reply = String::from_utf8(reply).unwrap();
        let msh = |number| field(&reply, "MSH", number);
        assert_eq!(
            (field(&reply, "MSA", 1), field(&reply, "MSA", 2)),
            ("AA".into(), expected.into())
        );
        assert_eq!([msh(2), msh(3), msh(4), msh(5)], ["MEDWAY", "HOSP", "HIS", "HOSP"]);
        assert_eq!([msh(8), msh(11), msh(14), msh(15)], ["ACK^A08^ACK", "2.5.1", "AL", "NE"]);
        assert_ne!(msh(9), expected, "it has an id of its own");
        // As MSH-15 of the reply asks, the sender says that it has it.
        let commit = format!(
            "MSH|^~\\&|HIS|HOSP|MEDWAY|HOSP|2026||ACK^A08^ACK|C|P|2.5.1\rMSA|CA|{}\r",
            msh(9)
        );
        stream.write_all(&framed(commit.as_bytes())).unwrap();
        ids.push(msh(9));
    }
    assert_ne!(ids[0], ids[1]);
    until("both are settled", || engine.destination("replies")["delivered"] == 2);
    let status = engine.destination("replies");
    assert_eq!(status["pending"], 0, "{status}");
}

#[test]
fn a_receiver_that_connects_to_us_gets_what_waited_over_restart_and_reload() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let channel = |application: &str| {
        format!(
            "  out:\n    mllp: {{listen: \"127.0.0.1:{port}\", connect_within: 1s}}\n\
             \x20   retry: {{first: 20ms, factor: 2, max: 200ms, for: 1h, then: hold}}\n\
             \x20   change:\n      - set: {{MSH-5: {application}}}\n"
        )
    };
    let mut engine = Engine::new(folder.path(), &channel("OLD"));
    engine.start("");
    engine.ready().expect("the engine starts");
    assert_eq!(Link::open(engine.port).send(&update("V1", "P1")).0, "AA");
    engine.kill();
    engine.start("");
    engine.ready().expect("the engine starts again");
    let mut receiver = Receiver::connect(port);
    assert_eq!(receiver.take(), ("V1".to_owned(), "OLD".to_owned()));
    // A reload changes what is sent and keeps the port; the receiver connects again.
    engine.rewrite(&channel("NEW"));
    let report = engine.api("/reload", Some(&serde_json::json!({})));
    assert_eq!(report["changed"], serde_json::json!(["trial"]), "{report}");
    let mut receiver = Receiver::connect(port);
    assert_eq!(Link::open(engine.port).send(&update("V2", "P1")).0, "AA");
    assert_eq!(receiver.take(), ("V2".to_owned(), "NEW".to_owned()));
    until("both are settled", || engine.destination("out")["pending"] == 0);
    let status = engine.terminate(Duration::from_secs(30));
    assert!(status.success(), "{status}:\n{}", engine.log());
}

/// A receiving system that opens the connection itself.
struct Receiver {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Receiver {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream, rest: Vec::new() }
    }

    /// MSH-10 and MSH-5 of the next message, which is answered AA.
    fn take(&mut self) -> (String, String) {
        let frame = read_frame(&mut self.stream, &mut self.rest).expect("a message comes");
        let text = String::from_utf8(frame).unwrap();
        let id = field(&text, "MSH", 9);
        let answer = format!("MSH|^~\\&|R|R|M|M|2026||ACK|A{id}|P|2.5.1\rMSA|AA|{id}\r");
        self.stream.write_all(&framed(answer.as_bytes())).unwrap();
        (id, field(&text, "MSH", 4))
    }
}
