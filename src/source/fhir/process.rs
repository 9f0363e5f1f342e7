//! `$process-message` (FHIR R4 messageheader-operation-process-message.html, messaging.html): the FHIR
//! twin of an MLLP listener. The answer is made of the stored id and time, so a retransmission gets the
//! first answer again, byte for byte.

use serde_json::{Value, json};
use tokio::time::timeout;
use xxhash_rust::xxh3::xxh3_64;

use crate::fhir::json::{compact, resource_type};
use crate::fhir::outcome::{Issue, outcome};
use crate::message::id::MessageId;
use crate::message::payload::Payload;
use crate::message::time::Timestamp;
use crate::message::verdict::{DuplicateRule, IfChanged};
use crate::resources::fault::{Fault, bad, unavailable};
use crate::source::fhir::answer::Answer;
use crate::source::fhir::ask::Ask;
use crate::source::fhir::desk::Desk;
use crate::source::fhir::write::refused;
use crate::source::intake::{CONTROL_ID, Received, Reply};

/// What becomes of a message, in the words of each side: `MessageHeader.response.code` (response-code),
/// MSA-1 (HL7 table 0008) in original and enhanced mode, and the HTTP status.
struct Code {
    response: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "the table says how the two worlds map"))]
    ack: [&'static str; 2],
    status: u16,
}

const OK: Code = Code { response: "ok", ack: ["AA", "CA"], status: 200 };
const TRANSIENT: Code = Code { response: "transient-error", ack: ["AR", "CR"], status: 503 };
const FATAL: Code = Code { response: "fatal-error", ack: ["AE", "CE"], status: 422 };

/// The event of an answer that is sent as a message of its own.
const RESPONSE_EVENT: &str = "message^response";
/// A message that looks like such an answer as far as routing reads it.
const RESPONSE: &str = r#"{"resourceType":"Bundle","type":"message"}"#;

/// A message, as far as its header says.
struct Heading<'b> {
    header: &'b Value,
    /// The header's id, or what else names the message.
    identity: Option<String>,
    event: String,
    endpoint: Option<&'b str>,
}

impl Desk {
    pub(super) async fn process_message(&self, ask: &Ask) -> Result<Answer, Fault> {
        let body = ask.body(|bytes, name| self.resource(bytes, name))?;
        let heading = heading(&body.value)?;
        let later = self.answered_to(ask, &heading)?;
        let remarks = self.rules.check("Bundle", &body.value);
        if let Err(fault) = &remarks {
            let id = MessageId::new();
            return Ok(self.reply(ask, &heading, (id, ask.at), &FATAL, &fault.issues));
        }
        let bytes = body.bytes.clone().unwrap_or_else(|| Payload::new(compact(&body.value)));
        let mut received = self.received(&ask.caller, bytes, &format!("message^{}", heading.event));
        received.at = ask.at;
        if let Some(identity) = &heading.identity {
            received.attributes.push((CONTROL_ID.into(), identity.as_str().into()));
            received.duplicate = Some(self.rule(&heading, identity, &body.value));
        }
        let taken = async {
            let Some(to) = later else { return self.intake.receive(received).await };
            let respond = |id, at| self.response(ask, &heading, to, (id, at));
            self.intake.receive_answered(received, respond).await
        };
        let taken = timeout(self.options.timeouts.answer, taken).await;
        let reply = taken.unwrap_or_else(|_| Reply::Unavailable {
            reason: "the store did not answer in time; send it again".to_owned(),
        });
        let now = self.parts.clock.now();
        match reply {
            Reply::Accepted { id, received_at, .. } => {
                self.status.received(now);
                if later.is_some() {
                    return Ok(Answer::empty(202));
                }
                Ok(self.reply(ask, &heading, (id, received_at), &OK, &[]))
            }
            Reply::Refused(problem) => {
                self.status.refused(now, &problem.text);
                let fault = refused(&problem);
                Ok(self.reply(ask, &heading, (MessageId::new(), now), &FATAL, &fault.issues))
            }
            Reply::Unavailable { reason } => {
                self.status.refused(now, &reason);
                let fault = unavailable(&reason);
                Ok(self.reply(ask, &heading, (MessageId::new(), now), &TRANSIENT, &fault.issues))
            }
        }
    }

    /// Where the answer goes that is asked for later; `None` when it is asked for now. Settled before
    /// anything is stored: a message that was refused is not in the log.
    fn answered_to<'a>(
        &self,
        ask: &'a Ask,
        heading: &Heading<'a>,
    ) -> Result<Option<&'a str>, Fault> {
        if ask.parameter("async") != Some("true") {
            return Ok(None);
        }
        let to = ask.parameter("response-url").or(heading.endpoint).ok_or_else(|| {
            bad("response-url", "async needs response-url, or MessageHeader.source.endpoint")
        })?;
        let mut probe = self.received(&ask.caller, Payload::new(RESPONSE), RESPONSE_EVENT);
        probe.attributes.push(("response-url".into(), to.into()));
        if !self.intake.is_awaited(&probe) {
            let text = "answers cannot be sent later here: no channel listens to message^response";
            return Err(Fault::new(422, "not-supported", "async", text));
        }
        Ok(Some(to))
    }

    /// FHIR R4 messaging.html: the same header id in another bundle is a retransmission. What may differ
    /// between the two is left out of the comparison.
    fn rule(&self, heading: &Heading<'_>, identity: &str, bundle: &Value) -> DuplicateRule {
        let mut content = bundle.clone();
        if let Some(members) = content.as_object_mut() {
            for name in ["id", "identifier", "timestamp", "meta"] {
                members.shift_remove(name);
            }
        }
        let source = heading.endpoint.unwrap_or_default();
        let named = format!("{}\0fhir\0{source}\0{identity}", self.channel);
        DuplicateRule {
            identity: xxh3_64(named.as_bytes()),
            content: xxh3_64(&compact(&content)),
            within: self.options.repeat_within,
            if_changed: IfChanged::Refuse,
        }
    }

    /// The response as a message of its own, stored with what it answers: a channel that listens to
    /// `message^response` delivers it, with its own rules of whom it may connect to.
    fn response(
        &self,
        ask: &Ask,
        heading: &Heading<'_>,
        to: &str,
        (id, at): (MessageId, Timestamp),
    ) -> Received {
        let bundle = self.reply_bundle(ask, heading, (id, at), &OK, &[]);
        let payload = Payload::new(compact(&bundle));
        let mut received = self.received(&ask.caller, payload, RESPONSE_EVENT);
        received.at = at;
        received.attributes.push((CONTROL_ID.into(), id.derive("response").to_string().into()));
        received.attributes.push(("response-url".into(), to.into()));
        received
    }

    fn reply(
        &self,
        ask: &Ask,
        heading: &Heading<'_>,
        (id, at): (MessageId, Timestamp),
        code: &Code,
        issues: &[Issue],
    ) -> Answer {
        Answer::of(code.status, self.reply_bundle(ask, heading, (id, at), code, issues))
    }

    fn reply_bundle(
        &self,
        ask: &Ask,
        heading: &Heading<'_>,
        (id, at): (MessageId, Timestamp),
        code: &Code,
        issues: &[Issue],
    ) -> Value {
        let (header, details) = (id.derive("header"), id.derive("outcome"));
        let source = heading.header.get("source").cloned().unwrap_or_else(|| json!({}));
        let mut destination = json!({});
        for name in ["name", "endpoint"] {
            if let (Some(value), Some(members)) = (source.get(name), destination.as_object_mut()) {
                members.insert(name.to_owned(), value.clone());
            }
        }
        let to = ask.parameter("response-url");
        if let (Some(to), Some(members)) = (to, destination.as_object_mut()) {
            members.insert("endpoint".to_owned(), to.into());
        }
        let mut response = json!({"code": code.response});
        if let Some(members) = response.as_object_mut() {
            let of = heading.identity.clone().unwrap_or_else(|| id.to_string());
            members.insert("identifier".to_owned(), of.into());
            members
                .insert("details".to_owned(), json!({"reference": format!("urn:uuid:{details}")}));
        }
        let mut head = json!({"resourceType": "MessageHeader", "id": header.to_string()});
        if let Some(members) = head.as_object_mut() {
            for name in ["eventCoding", "eventUri"] {
                if let Some(event) = heading.header.get(name) {
                    members.insert(name.to_owned(), event.clone());
                }
            }
            members.insert("destination".to_owned(), json!([destination]));
            members.insert(
                "source".to_owned(),
                json!({
                    "name": &*self.channel,
                    "software": "Medway",
                    "endpoint": format!("{}/$process-message", ask.caller.base),
                }),
            );
            members.insert("response".to_owned(), response);
        }
        let mut told = outcome(issues);
        if let Some(members) = told.as_object_mut() {
            members.shift_insert(1, "id".to_owned(), details.to_string().into());
        }
        json!({
            "resourceType": "Bundle",
            "id": id.derive("response").to_string(),
            "type": "message",
            "timestamp": at.to_string(),
            "entry": [
                {"fullUrl": format!("urn:uuid:{header}"), "resource": head},
                {"fullUrl": format!("urn:uuid:{details}"), "resource": told},
            ],
        })
    }
}

fn heading(bundle: &Value) -> Result<Heading<'_>, Fault> {
    let text = |value: &Value, path: &str| {
        value
            .pointer(path)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    if resource_type(bundle) == Some("Parameters") {
        let text = "the body is the Bundle itself; parameters go into the URL";
        return Err(bad("message", text).at("resourceType"));
    }
    if resource_type(bundle) != Some("Bundle")
        || text(bundle, "/type").as_deref() != Some("message")
    {
        return Err(bad("message", "a Bundle of type message is posted here").at("Bundle.type"));
    }
    let header = bundle
        .pointer("/entry/0/resource")
        .filter(|first| resource_type(first) == Some("MessageHeader"));
    // FHIR R4 bundle.html, bdl-12.
    let header = header.ok_or_else(|| {
        bad("message", "the first entry must be a MessageHeader").at("Bundle.entry[0].resource")
    })?;
    let event = text(header, "/eventCoding/code").or_else(|| text(header, "/eventUri"));
    let event = event.ok_or_else(|| {
        bad("message", "the header names no event").at("Bundle.entry[0].resource.event")
    })?;
    if header.get("response").is_some() && event.is_empty() {
        return Err(bad("message", "the header names no event"));
    }
    let identity = text(header, "/id")
        .or_else(|| text(bundle, "/identifier/value"))
        .or_else(|| text(bundle, "/id"));
    let endpoint = header.pointer("/source/endpoint").and_then(Value::as_str);
    Ok(Heading { header, identity, event, endpoint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_worlds_are_one_table() {
        let known: Vec<_> =
            [OK, TRANSIENT, FATAL].into_iter().map(|code| (code.response, code.ack)).collect();
        assert_eq!(
            known,
            [
                ("ok", ["AA", "CA"]),
                ("transient-error", ["AR", "CR"]),
                ("fatal-error", ["AE", "CE"]),
            ]
        );
    }
}
