//! Typed views of HL7 v2 messages, built when asked for, and their values by name: `patient.mrn`,
//! `report.status`, `device.id`. The names mean the same for other formats.
//!
//! A view is as good as its message: what cannot be read is left out, nothing is an error. It costs time
//! linear in the message, and of one field it holds at most a thousand repetitions.

pub(in crate::hl7) mod cell;
mod device;
mod patient;
mod report;

pub use crate::message::view::names::{FIELDS, get};
pub use device::device_message;
pub use patient::{patient, patient_message, visit};
pub use report::report_message;

use crate::hl7::raw::RawMessage;
use crate::message::view::names::Viewed;
use crate::message::view::{DeviceMessage, Patient, PatientMessage, Report, Visit};

impl Viewed for RawMessage {
    fn patient_message(&self) -> PatientMessage {
        patient_message(self)
    }

    fn patient(&self) -> Option<Patient> {
        patient(self)
    }

    fn visit(&self) -> Visit {
        visit(self)
    }

    fn first_report(&self) -> Option<Report> {
        report::reports(self, report::Take::FirstHead).into_iter().next()
    }

    fn device_message(&self) -> DeviceMessage {
        device_message(self)
    }

    fn patient_reference(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests;
