//! Typed views of HL7 v2 messages, built when asked for, and their values by name: `patient.mrn`,
//! `report.status`, `device.id`. The names mean the same for other formats.
//!
//! A view is as good as its message: what cannot be read is left out, nothing is an error. It costs time
//! linear in the message, and of one field it holds at most a thousand repetitions.

pub(in crate::hl7) mod cell;
mod device;
mod names;
mod patient;
mod report;

pub use device::device_message;
pub use names::{FIELDS, get};
pub use patient::{patient, patient_message, visit};
pub use report::report_message;

#[cfg(test)]
mod tests;
