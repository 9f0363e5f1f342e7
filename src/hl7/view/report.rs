//! OBR and OBX as reports and observations (HL7 v2.5.1 chapter 7).

use crate::hl7::charset::Charset;
use crate::hl7::raw::{RawMessage, SegmentRef};
use crate::hl7::view::cell::Cell;
use crate::hl7::view::patient::{entity, patient, visit};
use crate::message::view::{
    Coded, Coding, Identifier, Observation, ObservationStatus, Private, Report, ReportMessage,
    ReportStatus,
};

/// What a report message (ORU, OUL) says.
#[must_use]
pub fn report_message(message: &RawMessage) -> ReportMessage {
    ReportMessage {
        patient: patient(message),
        visit: visit(message),
        reports: reports(message, Take::Everything),
    }
}

/// How much of the reports to read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// All of them with their observations.
    Everything,
    /// The first one, without observations.
    FirstHead,
}

/// The reports of a message, each with the observations behind it. An ORC belongs to the OBR behind it. A
/// specimen (SPM) stands behind its order in ORU and before its orders in OUL; what is observed of the
/// specimen itself (OBX behind SPM) is no result and is left out.
pub(super) fn reports(message: &RawMessage, take: Take) -> Vec<Report> {
    let charset = message.charset();
    let mut reports: Vec<Report> = Vec::new();
    let mut order: Option<SegmentRef<'_>> = None;
    let mut specimen = Specimen::default();
    for segment in message.segments() {
        match segment.id {
            b"ORC" => order = Some(segment),
            b"SPM" => specimen.begin(accession_of_specimen(&segment, charset), &mut reports),
            b"OBR" => {
                if take == Take::FirstHead && !reports.is_empty() {
                    break;
                }
                let mut report = report(&segment, order.take().as_ref(), charset);
                specimen.end(&mut report);
                reports.push(report);
            }
            b"OBX" if take == Take::Everything && !specimen.is_open => {
                if let Some(report) = reports.last_mut() {
                    let observed = observation(&segment, report.observed_at.as_deref(), charset);
                    report.observations.push(observed);
                }
            }
            _ => {}
        }
    }
    reports
}

/// The specimen that was read last.
#[derive(Default)]
struct Specimen {
    accession: Option<Private>,
    /// Whether specimens stand before their orders.
    leads: bool,
    /// Whether the segments that follow belong to it.
    is_open: bool,
}

impl Specimen {
    fn begin(&mut self, accession: Option<Private>, reports: &mut [Report]) {
        self.leads |= reports.is_empty();
        self.is_open = true;
        match reports.last_mut() {
            Some(report) if !self.leads => {
                report.accession = accession.or(report.accession.take());
            }
            _ => self.accession = accession,
        }
    }

    fn end(&mut self, report: &mut Report) {
        self.is_open = false;
        if let (true, Some(own)) = (self.leads, &self.accession) {
            report.accession = Some(own.clone());
        }
    }
}

fn report(obr: &SegmentRef<'_>, orc: Option<&SegmentRef<'_>>, charset: Charset) -> Report {
    let cell = |number| Cell::of_field(obr, number, charset);
    let of_order = |number| orc.map(|orc| Cell::of_field(orc, number, charset));
    let number = |number: usize| -> Option<Identifier> {
        entity(cell(number)).or_else(|| of_order(number).and_then(entity))
    };
    let filler_order = number(3);
    Report {
        placer_order: number(2),
        accession: filler_order.as_ref().map(|order| order.value.clone()),
        filler_order,
        service: coded(cell(4)),
        status: report_status(&cell(25).text_or_empty()),
        observed_at: cell(7).iso(),
        issued_at: cell(22).iso(),
        observations: Vec::new(),
    }
}

/// SPM-30, else nothing: SPM-2 names the specimen, not the accession.
fn accession_of_specimen(spm: &SegmentRef<'_>, charset: Charset) -> Option<Private> {
    Cell::of_field(spm, 30, charset).component(1).text().map(Private::new)
}

/// One OBX. `otherwise` is the time of its report.
pub(super) fn observation(
    obx: &SegmentRef<'_>,
    otherwise: Option<&str>,
    charset: Charset,
) -> Observation {
    let cell = |number| Cell::of_field(obx, number, charset);
    let value_type = cell(2).text_or_empty();
    let own_time = cell(14).iso();
    let unit = coded(cell(6));
    Observation {
        code: coded(cell(3)),
        sub_id: cell(4).text_or_empty(),
        values: values(cell(5), &value_type),
        coded_value: is_coded(&value_type).then(|| coded(cell(5))),
        unit: (!unit.codings.is_empty()).then_some(unit),
        reference_range: cell(7).text_or_empty(),
        flags: cell(8).repetitions().filter_map(Cell::text).collect(),
        status: observation_status(&cell(11).text_or_empty()),
        observed_at: own_time.or_else(|| otherwise.map(str::to_owned)),
        value_type,
    }
}

fn is_coded(value_type: &str) -> bool {
    matches!(value_type, "CE" | "CWE" | "CNE" | "CF")
}

fn values(cell: Cell<'_>, value_type: &str) -> Vec<Private> {
    let text = |value: Cell<'_>| match value_type {
        "ED" | "RP" => None,
        // `>^100`, `1^:^128`: a comparator, numbers and what stands between them.
        "SN" => value.joined(""),
        "NR" => value.joined("-"),
        "NA" | "MA" => value.joined(" "),
        // A code is often left out where only a text is known.
        _ if is_coded(value_type) => value.text().or_else(|| value.component(2).text()),
        _ => value.text(),
    };
    cell.repetitions().filter_map(text).map(Private::new).collect()
}

/// A CE or CWE with up to three triplets; from 2.7 the third stands in components 10 to 12.
pub(super) fn coded(cell: Cell<'_>) -> Coded {
    let triplet = |(code, text, system): (usize, usize, usize)| {
        let part = |number| cell.component(number).text_or_empty();
        let coding = Coding { code: part(code), text: part(text), system: part(system) };
        (!coding.code.is_empty() || !coding.text.is_empty()).then_some(coding)
    };
    Coded {
        codings: [(1, 2, 3), (4, 5, 6), (10, 11, 12)].into_iter().filter_map(triplet).collect(),
    }
}

/// HL7 table 0123 in the words of FHIR.
fn report_status(code: &str) -> ReportStatus {
    match code {
        "O" | "I" | "S" => ReportStatus::Registered,
        "A" | "R" => ReportStatus::Partial,
        "P" => ReportStatus::Preliminary,
        "F" => ReportStatus::Final,
        "C" => ReportStatus::Corrected,
        "X" => ReportStatus::Cancelled,
        _ => ReportStatus::Unknown,
    }
}

/// HL7 table 0085 in the words of FHIR.
fn observation_status(code: &str) -> ObservationStatus {
    match code {
        "I" | "O" => ObservationStatus::Registered,
        "P" | "R" | "S" | "B" => ObservationStatus::Preliminary,
        "F" | "U" | "V" => ObservationStatus::Final,
        "C" => ObservationStatus::Corrected,
        "X" | "N" => ObservationStatus::Cancelled,
        "D" | "W" => ObservationStatus::EnteredInError,
        _ => ObservationStatus::Unknown,
    }
}
