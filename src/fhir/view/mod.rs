//! Typed views of FHIR R4 resources: the same names and words as of HL7 v2 (`patient.mrn`,
//! `report.status`, `device.id`), so that a channel reads the same from both.
//!
//! A view is as good as its message: what cannot be read is left out, nothing is an error. References are
//! followed within the message alone (contained resources, entries of its Bundle).

mod device;
mod parts;
mod patient;
mod report;
mod resources;

pub use parts::{system_name, v2_code};
pub use patient::{links_of_merge, patient_event};
pub use resources::{Entry, Resources, items, kind, text};

use crate::message::view::names::Viewed;
use crate::message::view::{DeviceMessage, Patient, PatientMessage, Report, Visit};

impl Viewed for Resources<'_> {
    fn patient_message(&self) -> PatientMessage {
        patient::patient_message(self)
    }

    fn patient(&self) -> Option<Patient> {
        patient::patient(self)
    }

    fn visit(&self) -> Visit {
        patient::visit(self)
    }

    fn first_report(&self) -> Option<Report> {
        report::first_report(self)
    }

    fn device_message(&self) -> DeviceMessage {
        device::device_message(self)
    }

    fn patient_reference(&self) -> Option<String> {
        patient::patient_reference(self)
    }
}

#[cfg(test)]
mod tests;
