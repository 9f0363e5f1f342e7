//! Results: reports with what was observed (HL7 v2.5.1 §7.3.1).

use std::collections::HashSet;

use serde_json::Value as Json;

use crate::fhir::view::{items, kind, text};
use crate::mapping::to_v2::event::Chosen;
use crate::mapping::to_v2::message::Kin;
use crate::mapping::to_v2::message::{Builder, notes};
use crate::mapping::to_v2::types::At;
use crate::mapping::to_v2::wire::{Piece, Segment};
use crate::mapping::to_v2::{NoMessage, Notice, value};

/// Deepest nesting of `hasMember` that is followed.
const DEPTH_MAX: usize = 8;

/// The notes of a report, which R4 has no element for.
const REPORT_NOTE: &str =
    "http://hl7.org/fhir/5.0/StructureDefinition/extension-DiagnosticReport.note";

impl<'m> Builder<'m> {
    /// Everything behind MSH: for each patient PID and PV1, for each report its order and observations.
    pub(super) fn oru(
        &mut self,
        chosen: &Chosen<'m>,
        segments: &mut Vec<Segment>,
    ) -> Result<(), NoMessage> {
        let mut of = None;
        for (nth, report) in chosen.about.iter().copied().enumerate() {
            self.begin_patient(report, Kin::Told, &mut of, segments)?;
            let is_report = kind(report) == "DiagnosticReport";
            if is_report {
                segments.push(self.segment("ORC of DiagnosticReport", report, report)?);
            }
            let name = if is_report { "OBR of DiagnosticReport" } else { "OBR of Observation" };
            let mut obr = self.segment(name, report, report)?;
            obr.set(1, &(nth + 1).to_string());
            segments.push(obr);
            if is_report {
                report_notes(report, segments);
                self.results(report, segments)?;
                self.specimens(report, segments)?;
            } else {
                let mut group = Group::default();
                self.observation(report, &mut group, 0, segments)?;
            }
        }
        Ok(())
    }

    fn results(&mut self, report: &'m Json, segments: &mut Vec<Segment>) -> Result<(), NoMessage> {
        let mut group = Group::default();
        for reference in items(report, "result") {
            match self.message.resolve(report, reference) {
                Some(observation) => self.observation(observation, &mut group, 0, segments)?,
                None => self.maker.notices.push(Notice {
                    element: "DiagnosticReport.result".to_owned(),
                    what: "refers to an observation that is not in the message".to_owned(),
                    table: String::new(),
                    value: text(reference, "reference").to_owned(),
                }),
            }
        }
        for document in items(report, "presentedForm") {
            let mut obx = group.next();
            value::fill_document(document, &mut obx);
            let mut code = Piece::default();
            code.set(2, text(document, "title"));
            if let Some(code) = code.filled() {
                obx.add(3, code);
            } else if let Some(code) = report.get("code") {
                let at = At { value: code, owner: report, element: "code" };
                if let Some(piece) = self.maker.piece("CWE", &[], at) {
                    obx.add(3, piece);
                }
            }
            let status = self.maker.maps.code("report-status", text(report, "status"));
            obx.set(11, status.unwrap_or_default());
            segments.push(obx);
        }
        Ok(())
    }

    /// OBX of an observation, of its components and of its members, each once.
    pub(super) fn observation(
        &mut self,
        observation: &'m Json,
        group: &mut Group,
        depth: usize,
        segments: &mut Vec<Segment>,
    ) -> Result<(), NoMessage> {
        if depth > DEPTH_MAX || !group.seen.insert(std::ptr::from_ref(observation)) {
            return Ok(());
        }
        let components: Vec<&'m Json> = items(observation, "component").collect();
        let code = observation.get("code");
        let repeated =
            !components.is_empty() && components.iter().all(|one| one.get("code") == code);
        let has_value = observation
            .as_object()
            .is_some_and(|members| members.keys().any(|name| name.starts_with("value")));
        let is_panel = observation.get("hasMember").is_some() || !components.is_empty();
        let base = self.segment("OBX of Observation", observation, observation)?;
        if has_value || repeated || !is_panel {
            let mut obx = numbered(base.clone(), group);
            value::fill(&mut self.maker, observation, observation, &mut obx);
            for component in components.iter().filter(|_| repeated) {
                value::fill(&mut self.maker, component, observation, &mut obx);
            }
            value::fill_unit_of_range(observation, &mut obx);
            absent(observation, &mut obx);
            segments.push(obx);
            notes(observation, "note", segments);
        }
        for (nth, component) in components.iter().filter(|_| !repeated).enumerate() {
            let mut obx = numbered(base.clone(), group);
            if let Some(code) = component.get("code") {
                let at = At { value: code, owner: observation, element: "component.code" };
                if let Some(piece) = self.maker.piece("CWE", &[], at) {
                    obx.replace(3, piece);
                }
            }
            if !obx.has(4) {
                obx.set(4, &(nth + 1).to_string());
            }
            value::fill(&mut self.maker, component, observation, &mut obx);
            absent(component, &mut obx);
            segments.push(obx);
        }
        for reference in items(observation, "hasMember") {
            if let Some(member) = self.message.resolve(observation, reference) {
                self.observation(member, group, depth + 1, segments)?;
            }
        }
        Ok(())
    }
}

/// The observations of one report: numbered, and each only once.
#[derive(Default)]
pub(super) struct Group {
    count: usize,
    seen: HashSet<*const Json>,
}

impl Group {
    fn next(&mut self) -> Segment {
        numbered(Segment::new(*b"OBX"), self)
    }
}

fn numbered(mut obx: Segment, group: &mut Group) -> Segment {
    group.count += 1;
    obx.set(1, &group.count.to_string());
    obx
}

/// Why there is no value: asked for and not done, or never asked for (HL7 table 0085: `X`, `N`).
fn absent(holder: &Json, obx: &mut Segment) {
    let codings = holder.pointer("/dataAbsentReason/coding").and_then(Json::as_array);
    let code = codings.into_iter().flatten().map(|one| text(one, "code")).next();
    match code {
        Some("not-asked") => obx.set(11, "N"),
        Some("not-performed") => obx.set(11, "X"),
        _ => {}
    }
}

/// What a report says in words: its conclusion and the notes kept beside it.
fn report_notes(report: &Json, segments: &mut Vec<Segment>) {
    notes(report, "conclusion", segments);
    let kept = items(report, "extension").filter(|one| text(one, "url") == REPORT_NOTE);
    for note in kept {
        if let Some(annotation) = note.get("valueAnnotation") {
            notes(annotation, "text", segments);
        }
    }
}
