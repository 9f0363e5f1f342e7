//! The tests inside a channel's file: what is sent, and what is expected of the whole path.
//!
//! They run on the same code as the engine, without network, under a virtual clock. How often a failed
//! delivery is tried again is the delivery's own rule, which the caller brings ([`AfterAnswer`]).

mod expect;
mod explain;
mod members;
mod parse;
mod report;
mod run;

pub use parse::{check, compile};
pub use report::{CaseReport, Failure};
pub use run::run;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::channel::fhir_path::FhirPath;
use crate::hl7::path::Path;
use crate::message::resource::Interaction;
use crate::yaml::node::{Source, Span};

/// One test.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// In which file.
    pub source: Arc<Source>,
    sends: Vec<Send>,
    expect: Expect,
    answers: Vec<(String, Vec<String>)>,
}

/// A message that a test sends.
#[derive(Debug, Clone)]
struct Send {
    bytes: Bytes,
    at: Duration,
    /// How a FHIR resource was written; nothing: it came some other way.
    interaction: Option<Interaction>,
}

/// What a test expects.
#[derive(Debug, Clone, Default)]
struct Expect {
    acks: Vec<(AckClass, Span)>,
    error_at: Option<(Path, Span)>,
    destinations: Vec<(String, Expected, Span)>,
}

/// How a sender is answered, whatever the mode and protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AckClass {
    /// AA, CA.
    Accept,
    /// AE, CE.
    Error,
    /// AR, CR.
    Reject,
}

/// What a destination gets.
#[derive(Debug, Clone)]
enum Expected {
    /// Nothing is sent and nothing is held.
    Nothing,
    /// Something is sent, whatever it is.
    Sent,
    /// The last one is held.
    Held,
    /// The last one cannot be rendered.
    Rejected,
    /// The last one has these values.
    Has(Vec<Place>),
    /// One for each.
    Each(Vec<(Self, Span)>),
}

/// A place of what is sent, and what should stand there.
#[derive(Debug, Clone)]
struct Place {
    name: String,
    kind: PlaceKind,
    want: Want,
    span: Span,
}

#[derive(Debug, Clone)]
enum PlaceKind {
    /// `url`, `name`, `folder`, `topic`, `routing_key`.
    Attribute,
    /// The whole body as text.
    Body,
    /// Whether the bytes are those that came in.
    Same,
    /// How many were sent in all.
    Count,
    /// How often it was tried.
    Attempts,
    /// What became of it: `delivered`, `dead_letter`, `held`, `waiting`.
    Outcome,
    /// A path of an HL7 message.
    Hl7(Path),
    /// A place of JSON.
    Json,
    /// A path of a FHIR resource.
    Fhir(FhirPath),
}

/// What should stand at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Want {
    /// Nothing.
    Empty,
    /// This text, number or truth.
    Text(String),
    /// These items, no more.
    List(Vec<Self>),
    /// These members, perhaps more.
    Members(Vec<(String, Self)>),
}

/// What happens after a receiver's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It has it.
    Delivered,
    /// It is tried again after this time.
    Retry(Duration),
    /// It is held, and its lane waits.
    Held,
    /// It is set aside.
    DeadLetter,
}

/// The delivery's own rule: destination, answer (`AA`, `AE`, `503`, `no_answer`), which attempt (from 1),
/// and how long ago the first was.
pub type AfterAnswer<'r> = &'r dyn Fn(&str, &str, u32, Duration) -> After;
