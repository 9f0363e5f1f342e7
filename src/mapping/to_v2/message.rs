//! The segments of a message, in the order of its structure (HL7 v2.5.1 §3.3, §4.4, §7.3, §10.4).

use std::collections::HashSet;

use serde_json::Value as Json;

use crate::fhir::view::{Resources, items, kind, links_of_merge, text};
use crate::mapping::to_v2::event::{Chosen, is_merge, order_control, structure};
use crate::mapping::to_v2::language::{Row, Source};
use crate::mapping::to_v2::maps::maps;
use crate::mapping::to_v2::report::Group;
use crate::mapping::to_v2::types::{At, Maker};
use crate::mapping::to_v2::wire::{Piece, Segment};
use crate::mapping::to_v2::{Header, NoMessage, Notice, Options};

/// Builds the segments of one message.
pub(super) struct Builder<'m> {
    pub(super) maker: Maker<'m>,
    pub(super) message: &'m Resources<'m>,
}

/// Whom a message is about: a Patient, or the reference that names one.
#[derive(Clone, Copy)]
pub(super) enum Person<'m> {
    Known(&'m Json),
    Named { owner: &'m Json, reference: &'m Json },
}

/// Whether a structure has a place for NK1.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kin {
    Told,
    Untold,
}

impl<'m> Builder<'m> {
    pub(super) fn new(message: &'m Resources<'m>, options: &'m Options) -> Self {
        Self { maker: Maker { maps: maps(), message, options, notices: Vec::new() }, message }
    }

    /// What could not be mapped.
    pub(super) fn notices(self) -> Vec<Notice> {
        self.maker.notices
    }

    /// All segments of the message.
    pub(super) fn build(
        &mut self,
        chosen: &Chosen<'m>,
        header: Header<'_>,
    ) -> Result<Vec<Segment>, NoMessage> {
        let mut segments = vec![self.msh(chosen, header)];
        match chosen.code {
            "ADT" => self.adt(chosen, header, &mut segments)?,
            "ORU" => self.oru(chosen, &mut segments)?,
            "SIU" => self.siu(chosen, &mut segments)?,
            _ => self.orders(chosen, &mut segments)?,
        }
        Ok(segments)
    }

    fn msh(&self, chosen: &Chosen<'_>, header: Header<'_>) -> Segment {
        let options = self.maker.options;
        let mut msh = Segment::new(*b"MSH");
        msh.set(3, "MEDWAY");
        msh.set(7, header.now);
        let mut kind = Piece::default();
        kind.set(1, chosen.code);
        kind.set(2, &chosen.event);
        // MSH-9.3 is there from 2.3.1 on.
        if options.version() >= (2, 4) || &*options.version == "2.3.1" {
            kind.set(3, &structure(chosen.code, &chosen.event));
        }
        msh.add(9, kind);
        msh.set(10, header.control_id);
        msh.set(11, "P");
        msh.set(12, &options.version);
        msh.set(18, options.charset.msh18());
        msh
    }

    /// One segment made by its rows. `of` names what it is made of, for findings.
    pub(super) fn segment(
        &mut self,
        name: &str,
        value: &'m Json,
        owner: &'m Json,
    ) -> Result<Segment, NoMessage> {
        let (id, of) = name.split_once(" of ").unwrap_or((name, ""));
        let mut segment = Segment::new(id.as_bytes().try_into().unwrap_or(*b"ZZZ"));
        for row in maps().rows(name) {
            if row.component.is_some() || !segment.has(row.field) || row.all {
                self.row(row, of, value, owner, &mut segment);
            }
            if segment.has(row.field) {
                continue;
            }
            match &row.otherwise {
                Some(otherwise) => segment.set(row.field, otherwise),
                None if row.required => {
                    let element = format!("{of}.{}", row.element());
                    return Err(NoMessage::Missing { element, field: row.place() });
                }
                None => {}
            }
        }
        Ok(segment)
    }

    fn row(
        &mut self,
        row: &'static Row,
        of: &str,
        value: &'m Json,
        owner: &'m Json,
        segment: &mut Segment,
    ) {
        for source in &row.sources {
            let found: Vec<&'m Json> = match source {
                Source::Literal(text) => {
                    segment.set(row.field, text);
                    return;
                }
                Source::Path(path) => {
                    path.eval(value).iter().filter_map(|node| node.borrowed()).collect()
                }
            };
            // Another identifier than the first: that one has a field of its own.
            let skipped = usize::from(&*row.kind == "other-CX" && found.len() > 1);
            let before = self.maker.notices.len();
            let mut any = false;
            for value in found.into_iter().filter(|value| !value.is_null()).skip(skipped) {
                let at = At { value, owner, element: row.element() };
                let Some(piece) = self.maker.piece(&row.kind, &row.arguments, at) else { continue };
                any = true;
                match row.component {
                    Some(component) => segment.set_component(row.field, component, piece.text(1)),
                    None => segment.add(row.field, piece),
                }
                if !row.all {
                    break;
                }
            }
            for notice in self.maker.notices.iter_mut().skip(before) {
                notice.element = format!("{of}.{}", notice.element);
            }
            if any {
                return;
            }
        }
    }

    fn adt(
        &mut self,
        chosen: &Chosen<'m>,
        header: Header<'_>,
        segments: &mut Vec<Segment>,
    ) -> Result<(), NoMessage> {
        let Some(about) = chosen.about.first().copied() else { return Ok(()) };
        let encounter = (kind(about) == "Encounter").then_some(about);
        segments.push(evn(&chosen.event, encounter, header));
        if is_merge(&chosen.event) {
            return self.merge(&chosen.about, segments);
        }
        let person = match encounter {
            Some(encounter) => self.person(encounter, "subject")?,
            None => Person::Known(about),
        };
        self.pid(person, segments)?;
        self.kin(person, Kin::Told, segments)?;
        let encounter = encounter.or_else(|| self.message.first("Encounter"));
        self.visit(encounter, segments)?;
        self.observed(segments)?;
        for (name, kind) in [
            ("AL1 of AllergyIntolerance", "AllergyIntolerance"),
            ("DG1 of Condition", "Condition"),
            ("PR1 of Procedure", "Procedure"),
            ("IN1 of Coverage", "Coverage"),
        ] {
            let found: Vec<&'m Json> = self.message.all(kind).collect();
            for (nth, resource) in found.into_iter().enumerate() {
                let mut segment = self.segment(name, resource, resource)?;
                segment.set(1, &(nth + 1).to_string());
                if let Some(visit) = encounter {
                    self.fill_diagnosis(visit, resource, &mut segment);
                }
                segments.push(segment);
            }
        }
        Ok(())
    }

    /// PD1 and, where the structure has them, NK1 of a patient that is known.
    fn kin(
        &mut self,
        person: Person<'m>,
        kin: Kin,
        segments: &mut Vec<Segment>,
    ) -> Result<(), NoMessage> {
        let Person::Known(patient) = person else { return Ok(()) };
        let pd1 = self.segment("PD1 of Patient", patient, patient)?;
        if pd1.says_something() {
            segments.push(pd1);
        }
        for (nth, contact) in items(patient, "contact").enumerate().filter(|_| kin == Kin::Told) {
            let mut nk1 = self.segment("NK1 of Patient.contact", contact, patient)?;
            nk1.set(1, &(nth + 1).to_string());
            segments.push(nk1);
        }
        Ok(())
    }

    /// OBX of what was observed beside a visit. One that cannot be written is no reason to hold back the
    /// message: it is named.
    fn observed(&mut self, segments: &mut Vec<Segment>) -> Result<(), NoMessage> {
        let mut group = Group::default();
        let all: Vec<&'m Json> = self.message.all("Observation").collect();
        for observation in all {
            match self.observation(observation, &mut group, 0, segments) {
                Err(NoMessage::Missing { element, field }) => self.maker.notices.push(Notice {
                    element,
                    what: format!("says nothing, and {field} is required"),
                    table: String::new(),
                    value: String::new(),
                }),
                other => other?,
            }
        }
        Ok(())
    }

    /// DG1-6 (HL7 table 0052) and DG1-15 by what the visit says of its diagnosis.
    fn fill_diagnosis(&mut self, visit: &'m Json, condition: &'m Json, segment: &mut Segment) {
        let mut all = items(visit, "diagnosis");
        let own = all.find(|one| {
            let named = one.get("condition");
            let found = named.and_then(|named| self.message.resolve(visit, named));
            found.is_some_and(|found| std::ptr::eq(found, condition))
        });
        let Some(own) = own else { return };
        if let Some(value) = own.get("use") {
            let at = At { value, owner: visit, element: "diagnosis.use" };
            if let Some(used) = self.maker.piece("only", &["0052".into()], at) {
                segment.replace(6, used);
            }
        }
        if let Some(rank) = own.get("rank") {
            segment.set(15, &rank.to_string());
        }
    }

    /// Merges: PID is the record that stays, MRG the one that ends (HL7 v2.5.1 §3.3.40).
    fn merge(
        &mut self,
        patients: &[&'m Json],
        segments: &mut Vec<Segment>,
    ) -> Result<(), NoMessage> {
        // Both records may say it of each other: each end is told once.
        let mut ended: Vec<*const Json> = Vec::new();
        for own in patients.iter().copied() {
            for (kind, link) in links_of_merge(own) {
                let Some(reference) = link.get("other") else {
                    let element = "Patient.link.other".to_owned();
                    return Err(NoMessage::Missing { element, field: "MRG-1".to_owned() });
                };
                let other = match self.message.resolve(own, reference) {
                    Some(other) => Person::Known(other),
                    None => Person::Named { owner: own, reference },
                };
                let (stays, ends) = match kind {
                    "replaces" => (Person::Known(own), other),
                    _ => (other, Person::Known(own)),
                };
                let end = match ends {
                    Person::Known(patient) => std::ptr::from_ref(patient),
                    Person::Named { reference, .. } => std::ptr::from_ref(reference),
                };
                if ended.contains(&end) {
                    continue;
                }
                ended.push(end);
                self.merged(stays, ends, segments)?;
            }
        }
        if ended.is_empty() {
            return Err(NoMessage::Nothing {
                element: "Patient.link".to_owned(),
                why: "a merge is made of a link of type replaced-by or replaces".to_owned(),
            });
        }
        Ok(())
    }

    fn merged(
        &mut self,
        stays: Person<'m>,
        ends: Person<'m>,
        segments: &mut Vec<Segment>,
    ) -> Result<(), NoMessage> {
        self.pid(stays, segments)?;
        self.kin(stays, Kin::Untold, segments)?;
        let mrg = match ends {
            Person::Known(patient) => self.segment("MRG of Patient", patient, patient)?,
            Person::Named { owner, reference } => {
                let mut mrg = Segment::new(*b"MRG");
                mrg.add(1, self.named_cx(owner, reference, "Patient.link.other", "MRG-1")?);
                mrg
            }
        };
        segments.push(mrg);
        self.visit(None, segments)
    }

    /// The patient that a resource names.
    pub(super) fn person(&self, owner: &'m Json, name: &str) -> Result<Person<'m>, NoMessage> {
        match owner.get(name) {
            Some(reference) => Ok(match self.message.resolve(owner, reference) {
                Some(patient) => Person::Known(patient),
                None => Person::Named { owner, reference },
            }),
            None => self.message.first("Patient").map(Person::Known).ok_or_else(|| {
                let element = format!("{}.{name}", kind(owner));
                NoMessage::Missing { element, field: "PID-3".to_owned() }
            }),
        }
    }

    /// PID. A patient without a name has an unspecified one (HL7 table 0200: `U`).
    pub(super) fn pid(
        &mut self,
        person: Person<'m>,
        segments: &mut Vec<Segment>,
    ) -> Result<(), NoMessage> {
        let pid = match person {
            Person::Known(patient) => {
                let mut pid = self.segment("PID of Patient", patient, patient)?;
                if !pid.has(5) {
                    pid.set_component(5, 7, "U");
                }
                pid
            }
            Person::Named { owner, reference } => {
                let element = format!("{}.subject", kind(owner));
                let mut pid = Segment::new(*b"PID");
                pid.set(1, "1");
                pid.add(3, self.named_cx(owner, reference, &element, "PID-3")?);
                let shown = text(reference, "display");
                match Piece::of(shown) {
                    Some(name) => pid.add(5, name),
                    None => pid.set_component(5, 7, "U"),
                }
                pid
            }
        };
        segments.push(pid);
        Ok(())
    }

    /// The identifier of a patient who is not in the message: the reference's own, else the resource's id
    /// where the site's table has a row `Patient` that says whose ids these are.
    fn named_cx(
        &mut self,
        owner: &'m Json,
        reference: &'m Json,
        element: &str,
        field: &str,
    ) -> Result<Piece, NoMessage> {
        if let Some(identifier) = reference.get("identifier")
            && let Some(piece) =
                self.maker.piece("CX", &[], At { value: identifier, owner, element: "identifier" })
        {
            return Ok(piece);
        }
        let id = text(reference, "reference").rsplit_once("Patient/").map(|(_, id)| id);
        let id = id.and_then(|id| id.split('/').next());
        match (id.and_then(Piece::of), self.maker.options.authority("Patient")) {
            (Some(mut piece), Some(own)) => {
                piece.set(4, &own.name);
                piece.set(5, if own.kind.is_empty() { "PI" } else { &own.kind });
                Ok(piece)
            }
            _ => Err(NoMessage::Missing {
                element: format!("{element}.identifier (the patient is not in the message)"),
                field: field.to_owned(),
            }),
        }
    }

    /// PV1 and PV2; without an encounter PV1 says that there is none (HL7 table 0004: `N`).
    fn visit(
        &mut self,
        encounter: Option<&'m Json>,
        segments: &mut Vec<Segment>,
    ) -> Result<(), NoMessage> {
        let Some(encounter) = encounter else {
            let mut pv1 = Segment::new(*b"PV1");
            pv1.set(1, "1");
            pv1.set(2, "N");
            segments.push(pv1);
            return Ok(());
        };
        segments.push(self.segment("PV1 of Encounter", encounter, encounter)?);
        let pv2 = self.segment("PV2 of Encounter", encounter, encounter)?;
        if pv2.says_something() {
            segments.push(pv2);
        }
        Ok(())
    }

    /// PV1 where the structure has it and the resource names its encounter.
    pub(super) fn visit_of(
        &mut self,
        resource: &'m Json,
        segments: &mut Vec<Segment>,
    ) -> Result<(), NoMessage> {
        let found = self.message.follow(resource, "encounter").or_else(|| {
            // The only visit that the bundle speaks of.
            let mut all = self.message.all("Encounter");
            all.next().filter(|_| all.next().is_none() && resource.get("encounter").is_none())
        });
        match found.filter(|found| kind(found) == "Encounter") {
            Some(encounter) => self.visit(Some(encounter), segments),
            None => Ok(()),
        }
    }

    fn orders(
        &mut self,
        chosen: &Chosen<'m>,
        segments: &mut Vec<Segment>,
    ) -> Result<(), NoMessage> {
        let mut of = None;
        for order in chosen.about.iter().copied() {
            let control = order_control(order, &chosen.action)?;
            let kin = if chosen.code == "OML" { Kin::Told } else { Kin::Untold };
            self.begin_patient(order, kin, &mut of, segments)?;
            let mut orc = self.segment("ORC of ServiceRequest", order, order)?;
            orc.set(1, control);
            segments.push(orc);
            let mut obr = self.segment("OBR of ServiceRequest", order, order)?;
            obr.set(1, "1");
            segments.push(obr);
            notes(order, "note", segments);
            if chosen.code == "OML" {
                self.specimens(order, segments)?;
            }
        }
        Ok(())
    }

    /// PID and PV1 when the subject is another than before.
    pub(super) fn begin_patient(
        &mut self,
        resource: &'m Json,
        kin: Kin,
        before: &mut Option<&'m Json>,
        segments: &mut Vec<Segment>,
    ) -> Result<(), NoMessage> {
        let subject = resource.get("subject");
        if before.is_some() && *before == subject {
            return Ok(());
        }
        let person = self.person(resource, "subject")?;
        self.pid(person, segments)?;
        self.kin(person, kin, segments)?;
        *before = subject;
        self.visit_of(resource, segments)
    }

    /// SPM of the specimens that a report or an order names.
    pub(super) fn specimens(
        &mut self,
        resource: &'m Json,
        segments: &mut Vec<Segment>,
    ) -> Result<(), NoMessage> {
        let mut seen = HashSet::new();
        for reference in items(resource, "specimen") {
            let Some(specimen) = self.message.resolve(resource, reference) else { continue };
            if !seen.insert(std::ptr::from_ref(specimen)) {
                continue;
            }
            let mut spm = self.segment("SPM of Specimen", specimen, specimen)?;
            spm.set(1, &seen.len().to_string());
            segments.push(spm);
        }
        Ok(())
    }

    fn siu(&mut self, chosen: &Chosen<'m>, segments: &mut Vec<Segment>) -> Result<(), NoMessage> {
        let Some(appointment) = chosen.about.first().copied() else { return Ok(()) };
        let mut sch = self.segment("SCH of Appointment", appointment, appointment)?;
        if sch.has(9) {
            sch.set(10, "min");
        }
        segments.push(sch);
        notes(appointment, "comment", segments);
        let actors = || items(appointment, "participant").filter_map(|one| one.get("actor"));
        let role = |reference: &'m Json| match self.message.resolve(appointment, reference) {
            Some(found) => kind(found),
            None => {
                let path = text(reference, "reference");
                let named = path.rsplit('/').nth(1).unwrap_or_default();
                if named.is_empty() { text(reference, "type") } else { named }
            }
        };
        let all: Vec<(&str, &'m Json)> = actors().map(|actor| (role(actor), actor)).collect();
        if let Some((_, reference)) = all.iter().find(|(role, _)| *role == "Patient") {
            let person = match self.message.resolve(appointment, reference) {
                Some(patient) => Person::Known(patient),
                None => Person::Named { owner: appointment, reference },
            };
            self.pid(person, segments)?;
        }
        let mut rgs = Segment::new(*b"RGS");
        rgs.set(1, "1");
        segments.push(rgs);
        // AIS-3 is required where there is an AIS: without a service there is none.
        if appointment.get("serviceType").or_else(|| appointment.get("specialty")).is_some() {
            let mut ais = self.segment("AIS of Appointment", appointment, appointment)?;
            ais.set(1, "1");
            if ais.has(7) {
                ais.set(8, "min");
            }
            segments.push(ais);
        }
        for (wanted, id, as_type) in [
            ("Device", *b"AIG", "EI"),
            ("Location", *b"AIL", "PL"),
            ("Practitioner", *b"AIP", "XCN"),
        ] {
            let own = |role: &str| {
                role == wanted || (wanted == "Practitioner" && role == "PractitionerRole")
            };
            for (nth, (_, actor)) in all.iter().filter(|(role, _)| own(role)).enumerate() {
                let at = At { value: actor, owner: appointment, element: "participant.actor" };
                let Some(piece) = self.maker.piece(as_type, &[], at) else { continue };
                let mut segment = Segment::new(id);
                segment.set(1, &(nth + 1).to_string());
                segment.add(3, piece);
                segments.push(segment);
            }
        }
        Ok(())
    }
}

/// EVN: recorded when accepted; occurred when the visit began or ended.
fn evn(event: &str, encounter: Option<&Json>, header: Header<'_>) -> Segment {
    let mut evn = Segment::new(*b"EVN");
    evn.set(1, event);
    evn.set(2, header.now);
    let end = match event {
        "A01" | "A04" => "/period/start",
        "A03" => "/period/end",
        _ => return evn,
    };
    let moment = encounter.and_then(|one| one.pointer(end)).and_then(Json::as_str);
    let moment = moment.and_then(super::time::hl7);
    evn.set(6, moment.as_deref().unwrap_or_default());
    evn
}

/// NTE of the notes of a resource, a segment for each line.
pub(super) fn notes(resource: &Json, name: &str, segments: &mut Vec<Segment>) {
    let texts: Vec<&str> = match resource.get(name) {
        Some(Json::String(text)) => vec![text],
        Some(Json::Array(notes)) => notes.iter().map(|note| text(note, "text")).collect(),
        _ => Vec::new(),
    };
    let lines = texts.into_iter().flat_map(str::lines).filter(|line| !line.trim().is_empty());
    for (nth, line) in lines.enumerate() {
        let mut nte = Segment::new(*b"NTE");
        nte.set(1, &(nth + 1).to_string());
        nte.set(3, line);
        segments.push(nte);
    }
}
