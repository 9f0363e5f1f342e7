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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Channel;
    use crate::channel::bundle::Bundle;
    use crate::channel::cases::check;
    use crate::channel::input::Input;
    use crate::hl7::raw::ReadOptions;
    use crate::message::payload::Payload;
    use crate::message::time::Timestamp;
    use crate::message::verdict::{Context, Rendered};

    const ADT: &str = "MSH|^~\\&|HIS|HOSP|X|Y|20260105||ADT^A01|C1|P|2.5.1\r\
PID|1||P1^^^MAIN^MR||Zhang^Wei||19800102|M||2106-3\rPV1|1|I|ICU|||||||||||||||||V1^^^MAIN\r";

    fn read(fhir: &str) -> (Option<Channel>, Vec<String>) {
        let files = [
            ("t/systems.csv", "authority,system\nMAIN,https://h.example/mrn\n"),
            ("t/bad.csv", "authority,system\nMAIN,main hospital\n"),
            (
                "lib/maps.yaml",
                "maps:\n  PID[Patient]:\n    - PID-3 -> identifier[] as CX[Identifier]\n    \
                 - PID-10 -> extension[] as Race\n  Race:\n    - =https://h.example/race -> url\n    \
                 - . -> valueString\n",
            ),
            ("lib/bad.yaml", "maps:\n  PID[Patient]:\n    - PID-3 => identifier\n"),
        ];
        let files = files.map(|(name, text)| (name.to_owned(), Bytes::from(text)));
        let files = Bundle::new(Bytes::new(), files.into());
        let text = format!("channel: c\nto:\n  d: {{produce: {{fhir: {fhir}}}}}\n");
        let source = Source { name: "c.yaml".into(), text };
        let (node, findings) = parse::parse(Arc::new(source));
        assert!(findings.is_empty(), "{fhir}");
        let (channel, _, findings) = check(&node.unwrap(), &files);
        (
            channel,
            findings.iter().map(|found| format!("{} {}", found.code, found.message)).collect(),
        )
    }

    fn rendered(fhir: &str, message: &str) -> Rendered {
        let (channel, findings) = read(fhir);
        let channel = channel.unwrap_or_else(|| panic!("{findings:?}"));
        let input = Input::guess(Payload::new(message.to_owned()), ReadOptions::default());
        let context = Context {
            id: MessageId::from_bytes([7; 16]),
            received_at: Timestamp(1_767_225_600_000_000),
            channel: "c".into(),
        };
        channel.render("d", &input, &context)
    }

    fn sent(fhir: &str, pointer: &str) -> String {
        match rendered(fhir, ADT) {
            Rendered::Send(outbound) => {
                let body: serde_json::Value = serde_json::from_slice(&outbound.body).unwrap();
                let found = body.pointer(pointer).cloned().unwrap_or_default();
                found.as_str().map_or_else(|| found.to_string(), str::to_owned)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_say_what_is_sent() {
        let system = "/entry/0/resource/identifier/0/system";
        assert_eq!(sent("r4", system), "null");
        assert_eq!(sent("{identifiers: t/systems.csv}", system), "https://h.example/mrn");
        assert_eq!(sent("{namespace: \"urn:h:\"}", system), "urn:h:MAIN");
        assert_eq!(sent("{only: Patient, bundle: resources}", "/name/0/family"), "Zhang");
        let subject = "/subject/identifier/value";
        assert_eq!(sent("{only: [Encounter], bundle: resources}", subject), "P1");
        let url = "/entry/0/request/url";
        assert_eq!(sent("{bundle: upsert}", url), "Patient?identifier=%7CP1");
        let race = "{map: lib/maps.yaml, bundle: resources, only: Patient}";
        assert_eq!(sent(race, "/extension/0/valueString"), "2106-3");
        assert_eq!(sent(race, "/name"), "null");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (fhir, expected) in [
            ("r5", "E0106 fhir cannot be r5"),
            ("{bundle: upserts}", "E0106 bundle cannot be upserts"),
            ("{zone: Mars/Base}", "E0104 `Mars/Base` is no time zone"),
            ("{namespace: hospital}", "E0361 `hospital` is no absolute URI"),
            ("{identifiers: t/none.csv}", "E0340 there is no table t/none.csv"),
            (
                "{identifiers: t/bad.csv}",
                "E0361 the system of MAIN in t/bad.csv is no absolute URI",
            ),
            ("{only: [Patent]}", "E0106 no map makes a Patent"),
            ("{map: lib/none.yaml}", "E0360 there is no file lib/none.yaml"),
            ("{map: lib/bad.yaml}", "E0360 a row is written `source -> target`"),
            ("{zones: UTC}", "E0101 fhir has no key zones"),
        ] {
            let (channel, said) = read(fhir);
            assert!(said.iter().any(|said| said == expected), "{fhir}: {said:?}");
            assert!(channel.is_none(), "{fhir}");
        }
    }

    #[test]
    fn what_cannot_be_mapped_is_as_the_policy_says() {
        let odd = ADT.replace("|M||", "|W||");
        let Rendered::Hold(problem) = rendered("r4", &odd) else { panic!("it is held") };
        assert_eq!(problem.cause, "unmapped_code");
        assert_eq!(problem.text, "PID-8 has no row in the table sex");
        let unknown = ADT.replace("ADT^A01", "ADT^A60");
        let Rendered::Hold(problem) = rendered("r4", &unknown) else { panic!("it is held") };
        let said = (problem.cause, problem.text.as_str());
        assert_eq!(said, ("no_map", "there is no map to FHIR for ADT^A60"));
        let Rendered::Fail(problem) = rendered("r4", "{}") else { panic!("it is no HL7") };
        assert_eq!(problem.cause, "type");
    }
}
