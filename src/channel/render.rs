//! What is sent to one destination, made from the stored bytes: the same each time.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::channel::expr::Value;
use crate::channel::expr::eval::Unmapped;
use crate::channel::input::Input;
use crate::channel::new_message::control_id;
use crate::channel::produce::Produce;
use crate::channel::scope::{Message, Miss, Notes, Scope};
use crate::channel::step::json;
use crate::channel::step::run::run;
use crate::channel::to_fhir::NO_MAP;
use crate::channel::{Channel, Destination};
use crate::hl7::ack::{self, AckCode, Answer};
use crate::hl7::header::Header;
use crate::hl7::raw::{RawMessage, SegmentEnds};
use crate::message::id::MessageId;
use crate::message::kind::ContentType;
use crate::message::outcome::Outbound;
use crate::message::verdict::{Context, RenderProblem, Rendered};

/// A text of the transport with values in it.
#[derive(Debug, Clone)]
pub(super) struct Attribute {
    pub(super) name: Box<str>,
    pub(super) escape: Escape,
    pub(super) text: Value,
}

/// How values are made safe for the text they are put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    /// Percent-encoded.
    Url,
    /// Without separators and control characters.
    FileName,
    /// As they are.
    Plain,
}

/// What a destination would be sent, and what was noticed on the way.
#[derive(Debug)]
pub struct Rendering {
    /// What is sent.
    pub rendered: Rendered,
    /// Lookups that found no row, for explanations.
    pub misses: Vec<Miss>,
}

impl Channel {
    /// What is sent to a destination for this message.
    #[must_use]
    pub fn render(&self, destination: &str, input: &Input, context: &Context) -> Rendered {
        self.rendering(destination, input, context).rendered
    }

    /// The same, with what was noticed on the way.
    #[must_use]
    pub fn rendering(&self, destination: &str, input: &Input, context: &Context) -> Rendering {
        let found = self.destinations.iter().find(|known| *known.name == *destination);
        let Some(destination) = found else {
            let text = format!("this version of {} has no destination {destination}", self.name);
            return Rendering {
                rendered: Rendered::Fail(problem("destination", text)),
                misses: Vec::new(),
            };
        };
        let mut facts = self.facts(input, context.received_at);
        facts.channel = Arc::clone(&context.channel);
        let notes = Notes::new(destination.unmapped.clone());
        let result = match input.message() {
            Ok(message) => {
                destination.outbound(self, input, &Scope::new(message, &facts, &notes), context)
            }
            Err(error) => Err(problem("type", error.to_string())),
        };
        let misses = notes.misses.into_inner();
        let problem = misses.first().map(unmapped);
        let problem = problem.or_else(|| notes.problems.into_inner().into_iter().next());
        let rendered = match (result, problem) {
            (Err(problem), _) if problem.cause == NO_MAP => Rendered::Hold(problem),
            (Err(problem), _) => Rendered::Fail(problem),
            (Ok(_), Some(problem)) => match destination.unmapped {
                Unmapped::Reject => Rendered::Fail(problem),
                _ => Rendered::Hold(problem),
            },
            (Ok(outbound), None) => Rendered::Send(outbound),
        };
        Rendering { rendered, misses }
    }
}

impl Destination {
    fn outbound(
        &self,
        channel: &Channel,
        input: &Input,
        scope: &Scope<'_>,
        context: &Context,
    ) -> Result<Outbound, RenderProblem> {
        let made_of = || format!("{}/{}", channel.name, self.name);
        let changed = self.changed(input, scope, context, &made_of)?;
        let scope = match &changed {
            Changed::Hl7(message) => scope.of(Message::Hl7(message)),
            Changed::Json(document) => scope.of(Message::Json(document)),
            Changed::Nothing => scope.clone(),
        };
        let made = match &self.produce {
            Produce::Fhir(fhir) => Some(fhir.make(&scope, context.id)?),
            produce => produce.make(&scope),
        };
        let body = match (made, &changed) {
            (Some(made), _) => made,
            (None, Changed::Hl7(message)) => message.bytes().clone(),
            (None, Changed::Json(document)) => document.to_string().into(),
            (None, Changed::Nothing) => input.passed_on(),
        };
        let content_type = self.produce.content_type().unwrap_or(input.content_type());
        let id = match (content_type, scope.message) {
            (ContentType::Hl7v2, Message::Hl7(message)) => sent_control_id(message),
            _ => None,
        };
        Ok(Outbound {
            message: context.id,
            body,
            content_type,
            id: id.unwrap_or_else(|| stable_id(context.id, &made_of())),
            attributes: self.attributes.iter().map(|attribute| attribute.resolve(&scope)).collect(),
        })
    }

    /// The message as the steps leave it; when nothing changes it, its bytes go out as they came in.
    fn changed(
        &self,
        input: &Input,
        scope: &Scope<'_>,
        context: &Context,
        made_of: &dyn Fn() -> String,
    ) -> Result<Changed, RenderProblem> {
        if let Produce::FromFhir(from) = &self.produce {
            let bytes = from.make(scope, &control_id(context.id, &made_of()))?;
            let started = made_of_fhir(bytes)?;
            let started = Cow::Owned(started);
            return run(&self.steps, started, scope, &made_of_fhir).map(Changed::Hl7);
        }
        let is_new = matches!(self.produce, Produce::Hl7(_) | Produce::Acknowledgement);
        if !is_new && self.steps.is_empty() {
            return Ok(Changed::Nothing);
        }
        if let (Message::Json(document), false) = (scope.message, is_new) {
            return json::run(&self.steps, document.clone(), scope).map(Changed::Json);
        }
        let Message::Hl7(message) = scope.message else {
            return Err(problem("type", "steps change HL7 messages; this is none".to_owned()));
        };
        let started = match &self.produce {
            Produce::Hl7(new) => {
                let bytes =
                    new.make(message, &control_id(context.id, &made_of()), context.received_at)?;
                Cow::Owned(reread(bytes, input)?)
            }
            Produce::Acknowledgement => {
                Cow::Owned(reread(acknowledgement(message, context, input)?, input)?)
            }
            _ => Cow::Borrowed(message),
        };
        let shared = self.shares_steps && !is_new;
        let done = match shared.then(|| input.changed(&self.steps)).flatten() {
            Some(done) => done,
            None => {
                let done = run(&self.steps, started, scope, &|bytes| reread(bytes, input))?;
                if shared && scope.notes.is_empty() {
                    input.keep_changed(&self.steps, &done);
                }
                done
            }
        };
        let same = !is_new && done.bytes() == input.payload().expose();
        Ok(if same { Changed::Nothing } else { Changed::Hl7(done) })
    }
}

/// What the steps and a new message make of what came in.
enum Changed {
    Hl7(RawMessage),
    Json(serde_json::Value),
    Nothing,
}

/// That the message was taken, as the sender's application is told when it asked for it (MSH-16) and
/// listens for it on another connection. The same each time.
fn acknowledgement(
    message: &RawMessage,
    context: &Context,
    input: &Input,
) -> Result<Bytes, RenderProblem> {
    let header =
        Header::read(message.bytes()).map_err(|error| problem("type", error.to_string()))?;
    let answer = Answer {
        code: AckCode::AA,
        control_id: &ack::control_id(context.id, "ack"),
        at: &ack::moment(context.received_at),
        problems: &[],
        charset: input.read_options().charset,
    };
    Ok(ack::build_message(&header, &answer))
}

/// Read as it was made: strictly, in the charset that its MSH-18 names.
fn made_of_fhir(bytes: Bytes) -> Result<RawMessage, RenderProblem> {
    RawMessage::parse(bytes, SegmentEnds::CrOnly)
        .map_err(|error| problem("type", format!("the message made: {error}")))
}

/// Read as the message was when it came in, whichever channel sends it.
fn reread(bytes: Bytes, input: &Input) -> Result<RawMessage, RenderProblem> {
    RawMessage::parse_with(bytes, input.read_options())
        .map_err(|error| problem("type", format!("after the change: {error}")))
}

fn sent_control_id(message: &RawMessage) -> Option<Box<str>> {
    let header = message.segments().find(|segment| segment.id == b"MSH")?;
    let id = header.field_bytes(10).filter(|id| !id.is_empty())?;
    Some(message.charset().decode_lossy(id).into())
}

/// The identity of what is no HL7 message: made of message and destination, so that a repeat carries it too.
fn stable_id(message: MessageId, made_of: &str) -> Box<str> {
    message.derive(made_of).to_string().into()
}

fn problem(cause: &'static str, text: String) -> RenderProblem {
    RenderProblem { cause, text, detail: String::new() }
}

fn unmapped(miss: &Miss) -> RenderProblem {
    let nearest = miss.nearest.as_ref().map(|near| format!("; nearest row: \"{near}\""));
    RenderProblem {
        cause: "unmapped_code",
        text: format!("{} found no row", miss.written),
        detail: format!(
            "\"{}\" has no row in {}{}",
            miss.key,
            miss.table,
            nearest.unwrap_or_default()
        ),
    }
}

impl Attribute {
    fn resolve(&self, scope: &Scope<'_>) -> (Box<str>, Box<str>) {
        let text = match self.escape {
            Escape::Url => self.text.fill(scope, &percent_encoded),
            Escape::FileName => file_name(&self.text.fill(scope, &plain_name)),
            Escape::Plain => self.text.fill(scope, &|text| Cow::Borrowed(text)),
        };
        (self.name.clone(), text.into())
    }
}

/// RFC 3986 §2.3: all but unreserved characters, so that a value never ends a path segment or a query.
fn percent_encoded(text: &str) -> Cow<'_, str> {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    if text.bytes().all(plain) && text != "." && text != ".." {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if plain(byte) && byte != b'.' {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(encoded)
}

fn plain_name(text: &str) -> Cow<'_, str> {
    let unsafe_in_names = |c: char| {
        c.is_control() || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
    };
    if text.contains(unsafe_in_names) {
        Cow::Owned(text.replace(unsafe_in_names, "_"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Longest file name, in bytes; most file systems allow 255 and a temporary ending is added.
const FILE_NAME_BYTES_MAX: usize = 200;

/// Never hidden, never `.` or `..`, never too long: the end, which is the extension, is kept.
fn file_name(text: &str) -> String {
    let name = text.trim_start_matches('.').trim();
    if name.is_empty() {
        return "_".to_owned();
    }
    let mut start = name.len().saturating_sub(FILE_NAME_BYTES_MAX);
    while !name.is_char_boundary(start) {
        start += 1;
    }
    name.get(start..).unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_leave_its_place_in_a_url() {
        assert_eq!(percent_encoded("ICU-1"), "ICU-1");
        assert_eq!(percent_encoded("../a b?c#d"), "%2E%2E%2Fa%20b%3Fc%23d");
        assert_eq!(percent_encoded(".."), "%2E%2E");
        assert_eq!(percent_encoded("重症"), "%E9%87%8D%E7%97%87");
    }

    #[test]
    fn a_value_cannot_leave_its_directory() {
        assert_eq!(file_name(&plain_name("../../etc/passwd")), "_.._etc_passwd");
        assert_eq!(file_name(&plain_name("..")), "_");
        assert_eq!(file_name("a\u{301}.hl7"), "a\u{301}.hl7");
        assert_eq!(file_name(&"x".repeat(300)).len(), FILE_NAME_BYTES_MAX);
    }
}
