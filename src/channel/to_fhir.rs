//! `produce: {fhir: …}`: HL7 v2 as FHIR, by the maps of `mapping::to_fhir` and what the channel says of its
//! site.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::channel::build::{Build, Fault};
use crate::channel::expr::eval::Unmapped;
use crate::channel::fields::{Fields, choice, one_or_many};
use crate::channel::scope::{Message, Scope};
use crate::mapping::to_fhir::maps::{self, Maps};
use crate::mapping::to_fhir::time::SiteZone;
use crate::mapping::to_fhir::{self, Facts, Form, NoMap, Notice, Options};
use crate::message::id::MessageId;
use crate::message::verdict::RenderProblem;
use crate::yaml::finding::Finding;
use crate::yaml::nearest::nearest;
use crate::yaml::node::{Node, Source};
use crate::yaml::parse;

/// How a destination's FHIR is made.
#[derive(Debug, Clone)]
pub struct ToFhir {
    maps: Arc<Maps>,
    options: Options,
}

/// The keys of the long form.
const KEYS: [&str; 7] = ["bundle", "identifiers", "zone", "namespace", "only", "provenance", "map"];

impl ToFhir {
    /// Compiles `fhir:`: `r4`, or a mapping of options.
    pub fn compile(node: &Node, build: &mut Build<'_>) -> Option<Self> {
        let mut options = Options { provenance: true, ..Options::default() };
        if node.text().is_some() {
            choice(node, "fhir", &[("r4", ())], build)?;
            return Some(Self { maps: Arc::clone(maps::own()), options });
        }
        let fields = Fields::read(node, "fhir", &KEYS, build)?;
        let forms = [
            ("transaction", Form::Transaction),
            ("upsert", Form::Upsert),
            ("resources", Form::Resources),
        ];
        if let Some(node) = fields.get("bundle") {
            options.form = choice(node, "bundle", &forms, build)?;
        }
        if let Some(node) = fields.get("identifiers") {
            options.systems = systems(node, build)?;
        }
        if let Some(node) = fields.get("zone") {
            options.zone = Some(zone(node, build)?);
        }
        if let Some(node) = fields.get("namespace") {
            options.namespace = Some(namespace(node, build)?);
        }
        if let Some(node) = fields.get("provenance") {
            options.provenance =
                choice(node, "provenance", &[("true", true), ("false", false)], build)?;
        }
        let maps = match fields.get("map") {
            Some(node) => site_maps(node, build)?,
            None => Arc::clone(maps::own()),
        };
        if let Some(node) = fields.get("only") {
            options.only = only(node, &maps, build);
        }
        Some(Self { maps, options })
    }

    /// Makes FHIR of the message.
    ///
    /// # Errors
    /// When it is no HL7 message, or none that a map is for.
    pub fn make(&self, scope: &Scope<'_>, id: MessageId) -> Result<Bytes, RenderProblem> {
        let problem = |cause, text| RenderProblem { cause, text, detail: String::new() };
        let Message::Hl7(message) = scope.message else {
            return Err(problem(
                "type",
                "FHIR is made of HL7 v2 messages; this is none".to_owned(),
            ));
        };
        let facts = Facts { id, received_at: scope.facts.received_at };
        let event = &scope.facts.event;
        let mapped = to_fhir::convert(&self.maps, message, event, &self.options, facts);
        let mapped = mapped.map_err(|error| match &error {
            NoMap::Event { .. } | NoMap::Nothing { .. } => problem(NO_MAP, error.to_string()),
        })?;
        if matches!(scope.notes.unmapped, Unmapped::Hold | Unmapped::Reject) {
            let problems = mapped.notices.iter().map(noticed);
            scope.notes.problems.borrow_mut().extend(problems);
        }
        Ok(mapped.body.to_string().into())
    }
}

/// The cause when there is no map for a message: a person can add one, so it is held.
pub(super) const NO_MAP: &str = "no_map";

fn noticed(notice: &Notice) -> RenderProblem {
    let place = &notice.place;
    RenderProblem {
        cause: match notice.kind {
            to_fhir::NoticeKind::Unmapped => "unmapped_code",
            to_fhir::NoticeKind::Unreadable => "unreadable_field",
        },
        text: format!("{place} {}", notice.what),
        detail: format!("{place} \"{}\" {}", notice.value, notice.what),
    }
}

/// A table of authorities and their URIs.
fn systems(node: &Node, build: &mut Build<'_>) -> Option<HashMap<Box<str>, Box<str>>> {
    let path = node.text().unwrap_or_default();
    let table = build.table(path, 0..path.len());
    let table = build.noted(node, table)?;
    let mut systems = HashMap::new();
    for (authority, uri) in table.rows() {
        if is_uri(uri) {
            systems.insert(authority.into(), uri.into());
        } else {
            let said = format!("the system of {authority} in {path} is no absolute URI");
            let fault = Fault::new("E0361", 0..path.len(), said);
            build.fault(node, fault.hint("e.g. https://hospital.example/mrn or urn:oid:1.2.3"));
        }
    }
    Some(systems)
}

fn zone(node: &Node, build: &mut Build<'_>) -> Option<SiteZone> {
    let text = node.text().unwrap_or_default();
    let zone = SiteZone::parse(text);
    if zone.is_none() {
        let hint = "write an offset such as +08:00, or a place such as Asia/Shanghai";
        build.error_hint("E0104", node, format!("`{text}` is no time zone"), hint);
    }
    zone
}

fn namespace(node: &Node, build: &mut Build<'_>) -> Option<Box<str>> {
    let text = node.text().unwrap_or_default();
    if is_uri(text) {
        return Some(text.into());
    }
    let hint = "write an absolute URI that is yours, e.g. https://hospital.example/ns";
    build.error_hint("E0361", node, format!("`{text}` is no absolute URI"), hint);
    None
}

fn only(node: &Node, maps: &Maps, build: &mut Build<'_>) -> Vec<Box<str>> {
    let known = maps.resources();
    let mut only = Vec::new();
    for node in one_or_many(node) {
        let name = node.text().unwrap_or_default();
        if known.contains(&name) {
            only.push(name.into());
            continue;
        }
        let finding = Finding::error("E0106", node, format!("no map makes a {name}"));
        build.findings.push(match nearest(name, known.iter().copied()) {
            Some(near) => finding.hint(format!("did you mean {near}?")).fix(near),
            None => finding.hint(format!("one of: {}", known.join(", "))),
        });
    }
    only
}

/// A site's own maps, laid over those of the engine.
fn site_maps(node: &Node, build: &mut Build<'_>) -> Option<Arc<Maps>> {
    let path = node.text().unwrap_or_default();
    let Some(bytes) = build.file(path) else {
        let fault = Fault::new("E0360", 0..path.len(), format!("there is no file {path}"));
        build.fault(node, fault.hint("maps stand beside the channel's file, e.g. lib/maps.yaml"));
        return None;
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (root, findings) = parse::parse(Arc::new(Source { name: path.to_owned(), text }));
    build.findings.extend(findings);
    let (maps, findings) = maps::own().with(&root?);
    build.findings.extend(findings);
    Some(Arc::new(maps))
}

/// RFC 3986 §4.3: a scheme and something behind it, without blanks.
fn is_uri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
            && !rest.is_empty()
            && !rest.contains(char::is_whitespace)
    })
}
