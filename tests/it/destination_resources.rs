//! HL7 v2 as resources of the engine: a FHIR client finds what messages said, once, and with its history.

use std::sync::Arc;

use medway::clock::Clock;
use medway::destination::DestinationName;
use medway::destination::resources::{WriteResources, WrittenResources};
use medway::engine::upsert::ResourceWriter;
use medway::hl7::raw::{RawMessage, SegmentEnds};
use medway::mapping::to_fhir::{self, Facts, Form, maps};
use medway::message::id::MessageId;
use medway::message::kind::ContentType;
use medway::message::outcome::Outbound;
use medway::message::time::Timestamp;
use serde_json::{Value, json};

use crate::source_fhir::Server;

fn writer(server: &Server, name: &str) -> ResourceWriter {
    let from = DestinationName { channel: "adt".into(), destination: name.into() };
    let store = Arc::clone(&server.store);
    ResourceWriter::new(from, store, server.intake.clone(), Clock::System)
}

fn outbound(body: &Value, id: &str) -> Outbound {
    Outbound {
        message: MessageId::new(),
        body: body.to_string().into(),
        content_type: ContentType::FhirJson,
        id: id.into(),
        attributes: Vec::new(),
    }
}

/// What a channel makes of a message; each message has an id of its own.
fn mapped(event: &str, pid: &str, form: Form) -> Outbound {
    let text = format!(
        "MSH|^~\\&|HIS|NORTH|||20260114080000+0800||ADT^{event}|C|P|2.5.1\rEVN|{event}|20260114080000+0800\r{pid}\r"
    );
    let message = RawMessage::parse(text.into(), SegmentEnds::CrOnly).unwrap();
    let options = to_fhir::Options {
        form,
        only: vec!["Patient".into()],
        systems: [("NORTH".into(), "https://north.hospital.example/mrn".into())].into(),
        ..to_fhir::Options::default()
    };
    let facts = Facts { id: MessageId::new(), received_at: Timestamp(1_768_348_800_000_000) };
    let made = to_fhir::convert(maps::own(), &message, &format!("ADT^{event}"), &options, facts);
    outbound(&made.unwrap().body, &facts.id.to_string())
}

const ADMITTED: &str = "PID|1||100234^^^NORTH^MR||Doe^Jane||19840203|F|||Main St 1^^Springfield";

async fn found(server: &Server) -> Value {
    let found = server.get("Patient?identifier=https://north.hospital.example/mrn%7C100234").await;
    assert_eq!(found.body["total"], 1, "{found:?}");
    found.body["entry"][0]["resource"].clone()
}

#[tokio::test]
async fn a_message_is_a_resource_and_the_next_one_its_next_version() {
    for form in [Form::Transaction, Form::Upsert] {
        let server = Server::start().await;
        let writer = writer(&server, "record");
        let first = mapped("A28", ADMITTED, form);
        assert_eq!(writer.write("fhir", &first).await, WrittenResources::Stored { new: 1 });
        let patient = found(&server).await;
        assert_eq!(patient["meta"]["versionId"], "1");
        assert_eq!(patient["birthDate"], "1984-02-03");

        // Sent again by a retry, or by its sender: nothing new.
        assert_eq!(writer.write("fhir", &first).await, WrittenResources::Stored { new: 0 });
        let again = mapped("A31", ADMITTED, form);
        assert_eq!(writer.write("fhir", &again).await, WrittenResources::Stored { new: 0 });

        // A new name; no address, which therefore stays; the date of birth is taken back.
        let changed = mapped("A31", "PID|1||100234^^^NORTH^MR||Roe^Jane||\"\"|F", form);
        assert_eq!(writer.write("fhir", &changed).await, WrittenResources::Stored { new: 1 });
        let patient = found(&server).await;
        assert_eq!(patient["meta"]["versionId"], "2");
        assert_eq!(patient["name"][0]["family"], "Roe");
        assert_eq!(patient["address"][0]["city"], "Springfield");
        assert_eq!(patient.get("birthDate"), None);
        assert!(!patient.to_string().contains("urn:medway:removed"));
        let log = server.log().await;
        assert_eq!(log.len(), 2, "{log:?}");
        assert!(
            log[1].ends_with("/_history/2") && log[1].starts_with("Patient^update "),
            "{log:?}"
        );
        server.end().await;
    }
}

#[tokio::test]
async fn what_is_no_resource_is_rejected_for_good() {
    let server = Server::start().await;
    let writer = writer(&server, "record");
    for body in [
        json!({"resourceType": "Patient", "id": "a", "gender": "somewhat"}),
        json!({"resourceType": "Patient", "id": "a", "shoeSize": 7}),
        json!({"resourceType": "Nothing", "id": "a"}),
        json!({"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": {"resourceType": "Patient"}, "request": {"method": "PUT"}}]}),
        json!({"resourceType": "Patient", "id": "a", "active": true, "name": [{"family": "REFUSE"}]}),
    ] {
        let written = writer.write("fhir", &outbound(&body, "d")).await;
        assert!(
            matches!(&written, WrittenResources::Refused(why) if !why.contains("somewhat")),
            "{body}: {written:?}"
        );
    }
    assert!(server.log().await.is_empty());
    server.end().await;
}

#[tokio::test]
async fn two_messages_about_one_new_patient_make_one() {
    let server = Server::start().await;
    let (left, right) = (writer(&server, "left"), writer(&server, "right"));
    let one = mapped("A28", ADMITTED, Form::Upsert);
    let other = mapped("A28", &ADMITTED.replace("Main St 1", "Side St 2"), Form::Upsert);
    let (first, second) = tokio::join!(left.write("fhir", &one), right.write("fhir", &other));
    assert_eq!(
        [first, second],
        [WrittenResources::Stored { new: 1 }, WrittenResources::Stored { new: 1 }]
    );
    assert_eq!(found(&server).await["meta"]["versionId"], "2");
    server.end().await;
}
