//! A new HL7 message made from another: `produce: {hl7: {type: ADT^A31, segments: [EVN, PID, PV1]}}`.
//!
//! Its header has the sender, receiver, processing id and charset of the one it was made from, the time
//! of acceptance as MSH-7, and a control id derived from message and destination, so that a repeat
//! carries the same one. Steps under `change:` then fill in what differs.

use bytes::Bytes;

use crate::channel::build::Build;
use crate::channel::fields::{Fields, one_or_many};
use crate::channel::iso;
use crate::channel::reference;
use crate::hl7::raw::RawMessage;
use crate::message::id::MessageId;
use crate::message::time::Timestamp;
use crate::message::verdict::RenderProblem;
use crate::yaml::node::Node;

/// How a new message is made.
#[derive(Debug, Clone)]
pub struct NewMessage {
    kind: Box<str>,
    version: Option<Box<str>>,
    segments: Vec<[u8; 3]>,
}

impl NewMessage {
    /// Compiles `hl7:` of `produce:`; the type alone is the short form.
    pub fn compile(node: &Node, build: &mut Build<'_>) -> Option<Self> {
        if let Some(kind) = node.text() {
            return Some(Self {
                kind: message_type(kind, node, build)?,
                version: None,
                segments: Vec::new(),
            });
        }
        let fields = Fields::read(node, "hl7", &["type", "version", "segments"], build)?;
        let kind = fields.required("type", "hl7", build)?;
        let kind = message_type(kind.text().unwrap_or_default(), kind, build)?;
        let version = fields.get("version").and_then(Node::text).map(Into::into);
        let mut segments = Vec::new();
        for node in fields.get("segments").map(one_or_many).unwrap_or_default() {
            let name = node.text().unwrap_or_default();
            let segment = reference::segment(name, 0..name.len());
            let segment = build.noted(node, segment)?;
            if &segment == b"MSH" {
                build.error_hint(
                    "E0331",
                    node,
                    "MSH is made anew",
                    "leave it out; change it with set",
                );
            }
            segments.push(segment);
        }
        Some(Self { kind, version, segments })
    }

    /// The bytes of the new message: the header, then the named segments (all others when none are
    /// named) as they stand in the old one.
    ///
    /// # Errors
    /// When the old message has no header to begin with.
    pub fn make(
        &self,
        from: &RawMessage,
        control_id: &str,
        now: Timestamp,
    ) -> Result<Bytes, RenderProblem> {
        let header = from.segments().find(|segment| segment.id == b"MSH").ok_or(RenderProblem {
            cause: "type",
            text: "the message has no MSH to make a new one from".to_owned(),
            detail: String::new(),
        })?;
        let field = |number: usize| header.field_bytes(number).unwrap_or_default();
        let separator = header.separators.field;
        let component = header.separators.component.map_or(b"^"[..].to_vec(), |byte| vec![byte]);
        let kind: Vec<u8> = self
            .kind
            .bytes()
            .flat_map(|byte| if byte == b'^' { component.clone() } else { vec![byte] })
            .collect();
        let version = self.version.as_ref().map_or(field(12), |version| version.as_bytes());
        let time = iso::hl7_of(now);
        let mut made = b"MSH".to_vec();
        let values: [&[u8]; 17] = [
            field(2),
            field(3),
            field(4),
            field(5),
            field(6),
            time.as_bytes(),
            b"",
            &kind,
            control_id.as_bytes(),
            field(11),
            version,
            b"",
            b"",
            b"",
            b"",
            field(17),
            field(18),
        ];
        let last = values.iter().rposition(|value| !value.is_empty()).unwrap_or(0);
        for value in values.iter().take(last + 1) {
            made.push(separator);
            made.extend_from_slice(value);
        }
        made.push(b'\r');
        let mut copy = |bytes: &[u8]| {
            made.extend_from_slice(bytes);
            made.push(b'\r');
        };
        if self.segments.is_empty() {
            let others = from.segments().filter(|segment| segment.id != b"MSH");
            others.for_each(|segment| copy(segment.bytes));
        }
        for name in &self.segments {
            let named = from.segments().filter(|segment| segment.id == name);
            named.for_each(|segment| copy(segment.bytes));
        }
        Ok(made.into())
    }
}

fn message_type(text: &str, node: &Node, build: &mut Build<'_>) -> Option<Box<str>> {
    let parts: Vec<&str> = text.split('^').collect();
    let plain = |part: &&str| {
        part.len() >= 3
            && part.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    if (2..=3).contains(&parts.len()) && parts.iter().all(plain) {
        return Some(text.into());
    }
    let said = format!("{text} is no message type with an event");
    build.error_hint("E0330", node, said, "e.g. ADT^A31 or ORU^R01^ORU_R01");
    None
}

/// A control id for what is made of a message for one destination: 20 characters, the longest that every
/// version allows; the same each time.
#[must_use]
pub fn control_id(message: MessageId, destination: &str) -> String {
    const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let number = u128::from_be_bytes(message.derive(destination).to_bytes());
    // 100 of the 128 bits; the fixed version bits fall among them and cost 6.
    (0..20)
        .map(|place| {
            let five = usize::try_from((number >> (place * 5)) & 31).unwrap_or(0);
            char::from(LETTERS.get(five).copied().unwrap_or(b'0'))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_id_is_short_stable_and_of_its_destination() {
        let message = MessageId::from_bytes([7; 16]);
        let id = control_id(message, "lis");
        assert_eq!(id.len(), 20);
        assert_eq!(id, control_id(message, "lis"));
        assert_ne!(id, control_id(message, "emr"));
        assert_ne!(id, control_id(MessageId::from_bytes([8; 16]), "lis"));
    }
}
