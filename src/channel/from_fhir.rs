//! `produce: {hl7: {from_fhir: …}}`: FHIR as HL7 v2, by the maps of `mapping::to_v2` and what the channel
//! says of its site.

use std::sync::Arc;

use bytes::Bytes;

use crate::channel::build::Build;
use crate::channel::fields::{Fields, choice};
use crate::channel::iso;
use crate::channel::scope::{Message, Miss, Scope};
use crate::hl7::charset::Charset;
use crate::mapping::to_v2::{Authority, EVENTS, Header, Options, Wanted, convert};
use crate::message::verdict::RenderProblem;
use crate::yaml::finding::Finding;
use crate::yaml::nearest::nearest;
use crate::yaml::node::Node;

/// How a destination's HL7 is made of FHIR.
#[derive(Debug, Clone)]
pub struct FromFhir {
    options: Options,
}

/// The keys of `hl7:` with `from_fhir`.
const KEYS: [&str; 5] = ["from_fhir", "version", "charset", "identifiers", "events"];

/// What `from_fhir` may be.
const WANTED: [(&str, Wanted); 6] = [
    ("auto", Wanted::Auto),
    ("ADT", Wanted::Adt),
    ("ORU", Wanted::Oru),
    ("ORM", Wanted::Orm),
    ("OML", Wanted::Oml),
    ("SIU", Wanted::Siu),
];

/// Versions that messages can be made in.
const VERSIONS: [&str; 9] = ["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8"];

impl FromFhir {
    /// Compiles `hl7:` that has `from_fhir`.
    pub fn compile(node: &Node, build: &mut Build<'_>) -> Option<Self> {
        let fields = Fields::read(node, "hl7 with from_fhir", &KEYS, build)?;
        let mut options = Options::default();
        if let Some(node) = fields.get("from_fhir") {
            options.wanted = choice(node, "from_fhir", &WANTED, build)?;
        }
        if let Some(node) = fields.get("version") {
            let versions = VERSIONS.map(|version| (version, version));
            options.version = choice(node, "version", &versions, build)?.into();
        }
        if let Some(node) = fields.get("charset") {
            let name = node.text().unwrap_or_default();
            let Some(charset) = Charset::from_name(name) else {
                let names = Charset::all().map(Charset::msh18);
                let finding = Finding::error("E0332", node, format!("there is no charset {name}"));
                build.findings.push(match nearest(name, names) {
                    Some(near) => finding.hint(format!("did you mean {near}?")).fix(near),
                    None => finding.hint("e.g. UTF-8, GB18030, ISO-8859-1"),
                });
                return None;
            };
            options.charset = charset;
        }
        if let Some(node) = fields.get("identifiers") {
            let path = node.text().unwrap_or_default();
            let table = build.table(path, 0..path.len());
            let table = build.noted(node, table)?;
            let kind = table.column("type");
            for (name, uri) in table.rows() {
                let kind = kind.and_then(|column| table.get(name, column)).unwrap_or_default();
                let authority = Authority { name: name.into(), kind: kind.into() };
                options.authorities.insert(uri.into(), authority);
            }
        }
        for (key, value) in fields.get("events").map(Node::entries).unwrap_or_default() {
            let events = EVENTS.map(|event| (event, event));
            let event = choice(value, "an event", &events, build)?;
            options.events.push((key.text.as_str().into(), event.into()));
        }
        Some(Self { options })
    }

    /// Makes the message.
    ///
    /// # Errors
    /// When the message is no FHIR, or no HL7 message can be made of it: which element says too little.
    pub fn make(&self, scope: &Scope<'_>, control_id: &str) -> Result<Bytes, RenderProblem> {
        let problem = |cause, text| RenderProblem { cause, text, detail: String::new() };
        let Message::Json(document) = scope.message else {
            let said = "from_fhir makes HL7 of FHIR resources; this is none";
            return Err(problem("type", said.to_owned()));
        };
        let now = iso::hl7_of(scope.facts.received_at);
        let header = Header { control_id, now: &now };
        let made = convert(document, &scope.facts.event, &self.options, header)
            .map_err(|error| problem("no_map", error.to_string()))?;
        for notice in made.notices {
            scope.notes.unmapped(&scope.notes.unmapped, || Miss {
                written: format!("{} {}", notice.element, notice.what).into(),
                table: match notice.table.as_str() {
                    "" => Arc::from("the message"),
                    table => format!("HL7 table {table}").into(),
                },
                key: notice.value,
                nearest: None,
            });
        }
        Ok(made.bytes)
    }
}
