//! What a message is about, and how its bytes are to be read.

use std::fmt;

/// What a message is about: decided from MSH-9, the profile, or the FHIR resource type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Admissions, updates, merges (ADT; Patient, Encounter).
    Patient = 1,
    /// Results (ORU; `DiagnosticReport`, Observation).
    Report = 2,
    /// Device data and alarms (PCD-01, PCD-04; Device, `DeviceMetric`).
    Device = 3,
    /// Orders (ORM, OML, OMG; `ServiceRequest`).
    Order = 4,
    /// Scheduling (SIU, SRM; Appointment).
    Schedule = 5,
    /// Documents (MDM; `DocumentReference`).
    Document = 6,
    /// Immunizations (VXU; Immunization).
    Immunization = 7,
    /// Pharmacy (RDE, RDS, RAS; `MedicationRequest`).
    Pharmacy = 8,
    /// Charges and accounts (DFT, BAR; `ChargeItem`).
    Finance = 9,
    /// Master files (MFN).
    Master = 10,
    /// Queries and their answers (QBP, RSP, QRY).
    Query = 11,
    /// Acknowledgements (ACK).
    Ack = 12,
    /// Anything else.
    Other = 13,
}

impl Kind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; 13] = [
        Self::Patient,
        Self::Report,
        Self::Device,
        Self::Order,
        Self::Schedule,
        Self::Document,
        Self::Immunization,
        Self::Pharmacy,
        Self::Finance,
        Self::Master,
        Self::Query,
        Self::Ack,
        Self::Other,
    ];

    /// The name in files, in the API and as a topic.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Report => "report",
            Self::Device => "device",
            Self::Order => "order",
            Self::Schedule => "schedule",
            Self::Document => "document",
            Self::Immunization => "immunization",
            Self::Pharmacy => "pharmacy",
            Self::Finance => "finance",
            Self::Master => "master",
            Self::Query => "query",
            Self::Ack => "ack",
            Self::Other => "other",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The number the store keeps.
    #[must_use]
    #[expect(clippy::as_conversions, reason = "the discriminants are the stored numbers")]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The kind with this stored number; `Other` when it is unknown.
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        Self::ALL.into_iter().find(|kind| kind.number() == number).unwrap_or(Self::Other)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the bytes of a message are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ContentType {
    /// HL7 v2 in its delimiter encoding (ER7): `x-application/hl7-v2+er7`.
    Hl7v2 = 1,
    /// JSON: `application/json`.
    Json = 2,
    /// FHIR JSON: `application/fhir+json`.
    FhirJson = 3,
    /// Text: `text/plain`.
    Text = 4,
    /// Anything else: `application/octet-stream`.
    Bytes = 5,
}

impl ContentType {
    /// Every content type.
    pub const ALL: [Self; 5] = [Self::Hl7v2, Self::Json, Self::FhirJson, Self::Text, Self::Bytes];

    /// The media type, as sent in HTTP headers.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Hl7v2 => "x-application/hl7-v2+er7",
            Self::Json => "application/json",
            Self::FhirJson => "application/fhir+json",
            Self::Text => "text/plain; charset=utf-8",
            Self::Bytes => "application/octet-stream",
        }
    }

    /// The number the store keeps.
    #[must_use]
    #[expect(clippy::as_conversions, reason = "the discriminants are the stored numbers")]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The type with this stored number; `Bytes` when it is unknown.
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        Self::ALL.into_iter().find(|kind| kind.number() == number).unwrap_or(Self::Bytes)
    }
}
