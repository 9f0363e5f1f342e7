//! Typed views: what a patient, report or device message says, whatever format it came in.
//!
//! Codes and words are those of FHIR R4 where it has some (`final`, `female`), so that a channel reads the
//! same from HL7 v2 and from FHIR. Moments and dates are ISO 8601 with the precision that was sent
//! (`2026-01-14`, `2026-01-14T08:15:30+01:00`), without a zone when none was sent.
//! Everything personal is [`Private`]: no `Debug` shows it.

pub mod names;

/// Text about a person. `Debug` shows its length alone; only `expose` yields it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Private(Box<str>);

impl Private {
    /// Wraps text.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Private {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Private({} bytes)", self.0.len())
    }
}

/// An identifier with who gave it and what it is for (CX, EI; FHIR Identifier).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identifier {
    /// The value.
    pub value: Private,
    /// Its type by HL7 table 0203: `MR`, `VN`, …; empty when not said.
    pub kind: String,
    /// Who assigns it: namespace, else universal id; empty when not said.
    pub authority: String,
}

/// A person's name (XPN; FHIR `HumanName`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PersonName {
    /// Family name.
    pub family: Private,
    /// Given name.
    pub given: Private,
    /// Further given names or initials.
    pub middle: Private,
    /// Name type by HL7 table 0200: `L` legal, `A` alias, …; empty when not said.
    pub kind: String,
    /// Name representation by HL7 table 0465: `I` ideographic, `P` phonetic, `A` alphabetic.
    pub representation: String,
}

/// The person a message is about. `Debug` shows how much is known, not what.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Patient {
    /// All identifiers, in the order sent.
    pub identifiers: Vec<Identifier>,
    /// All names, in the order sent.
    pub names: Vec<PersonName>,
    /// Date of birth.
    pub birth_date: Option<Private>,
    /// `male`, `female`, `other`, `unknown`; empty when not said.
    pub sex: String,
}

impl std::fmt::Debug for Patient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (identifiers, names) = (self.identifiers.len(), self.names.len());
        write!(f, "Patient({identifiers} identifiers, {names} names)")
    }
}

impl Patient {
    /// The medical record number: the identifier of type `MR`, else `PI`, else the first without a type,
    /// else none.
    #[must_use]
    pub fn mrn(&self) -> Option<&Identifier> {
        ["MR", "PI", ""].into_iter().find_map(|kind| {
            self.identifiers
                .iter()
                .find(|known| known.kind == kind && !known.value.expose().is_empty())
        })
    }
}

/// Where somebody is (PL).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Location {
    /// Ward, clinic or other point of care.
    pub point_of_care: String,
    /// Room.
    pub room: String,
    /// Bed.
    pub bed: String,
    /// Facility.
    pub facility: String,
}

/// A visit or encounter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Visit {
    /// Visit number.
    pub number: Option<Identifier>,
    /// Patient class by HL7 table 0004: `I` inpatient, `O` outpatient, `E` emergency, …
    pub class: String,
    /// Where the patient is.
    pub location: Option<Location>,
    /// Where the patient was before.
    pub prior_location: Option<Location>,
}

/// What happened to a patient (HL7 table 0003, ADT events).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PatientEvent {
    /// A01: admitted.
    Admit,
    /// A04: registered as an outpatient.
    Register,
    /// A05, A14: to be admitted.
    PreAdmit,
    /// A02, A15, A17: moved to another place.
    Transfer,
    /// A03, A16: discharged.
    Discharge,
    /// A06, A07: became in- or outpatient.
    ChangeClass,
    /// A08, A28, A31, A54, A60, A61: new facts.
    Update,
    /// A21: left for a while.
    Leave,
    /// A22: came back.
    Return,
    /// A09, A10, A20: tracking of patients and beds.
    Track,
    /// A18, A30, A34 to A36, A39 to A42: two records are one.
    Merge,
    /// A43 to A45: data belongs to another record.
    Move,
    /// A46 to A51: an identifier changed.
    ChangeIdentifier,
    /// A24: records are linked.
    Link,
    /// A37: records are not linked any more.
    Unlink,
    /// A23, A29: the record is deleted.
    Delete,
    /// A11, A27, A38: not admitted after all.
    CancelAdmit,
    /// A12, A26: not moved after all.
    CancelTransfer,
    /// A13, A25: not discharged after all.
    CancelDischarge,
    /// A32, A33, A52, A53, A55, A62: another event did not happen.
    CancelOther,
    /// Anything else.
    Other,
}

impl PatientEvent {
    /// The name in files and in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Register => "register",
            Self::PreAdmit => "pre_admit",
            Self::Transfer => "transfer",
            Self::Discharge => "discharge",
            Self::ChangeClass => "change_class",
            Self::Update => "update",
            Self::Leave => "leave",
            Self::Return => "return",
            Self::Track => "track",
            Self::Merge => "merge",
            Self::Move => "move",
            Self::ChangeIdentifier => "change_identifier",
            Self::Link => "link",
            Self::Unlink => "unlink",
            Self::Delete => "delete",
            Self::CancelAdmit => "cancel_admit",
            Self::CancelTransfer => "cancel_transfer",
            Self::CancelDischarge => "cancel_discharge",
            Self::CancelOther => "cancel_other",
            Self::Other => "other",
        }
    }
}

/// What a patient message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatientMessage {
    /// What happened.
    pub event: PatientEvent,
    /// When it happened, else when it was recorded.
    pub occurred_at: Option<String>,
    /// Whom it is about; `None` when the sender does not know.
    pub patient: Option<Patient>,
    /// The visit.
    pub visit: Visit,
    /// Identifiers that end with a merge, a move or a change: of patients, accounts (`AN`), visits (`VN`).
    pub merged_from: Vec<Identifier>,
}

/// One code of one code system. A code can be a diagnosis: `Debug` shows the system alone.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Coding {
    /// The code.
    pub code: String,
    /// What it means.
    pub text: String,
    /// The code system as sent: `LN`, `SCT`, `MDC`, `UCUM`, `L`, …
    pub system: String,
}

impl std::fmt::Debug for Coding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Coding({})", self.system)
    }
}

/// A thing with its codes in one or more systems (CE, CWE; FHIR `CodeableConcept`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coded {
    /// The codes, in the order sent.
    pub codings: Vec<Coding>,
}

impl Coded {
    /// The first code.
    #[must_use]
    pub fn first(&self) -> Option<&Coding> {
        self.codings.first()
    }

    /// The code in one system.
    #[must_use]
    pub fn in_system(&self, system: &str) -> Option<&Coding> {
        self.codings.iter().find(|coding| coding.system == system)
    }

    /// The reference id of the device nomenclature (ISO/IEEE 11073-10101), e.g. `MDC_ECG_HEART_RATE`.
    #[must_use]
    pub fn mdc(&self) -> Option<&str> {
        self.codings
            .iter()
            .flat_map(|coding| [coding.text.as_str(), coding.code.as_str()])
            .find(|word| word.starts_with("MDC_") || word.starts_with("MDCX_"))
    }
}

/// The status of a report (FHIR `DiagnosticReport.status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReportStatus {
    /// Ordered, nothing available yet.
    Registered,
    /// Some of it is available.
    Partial,
    /// Early results, not verified.
    Preliminary,
    /// Complete and verified.
    Final,
    /// Was final and has been corrected.
    Corrected,
    /// Will not come.
    Cancelled,
    /// Not said, or not known.
    Unknown,
}

impl ReportStatus {
    /// The word of FHIR.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Partial => "partial",
            Self::Preliminary => "preliminary",
            Self::Final => "final",
            Self::Corrected => "corrected",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }
}

/// The status of an observation (FHIR `Observation.status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObservationStatus {
    /// No value yet.
    Registered,
    /// Not verified.
    Preliminary,
    /// Verified.
    Final,
    /// Was final and has been corrected.
    Corrected,
    /// Could not be obtained, or stands for a container.
    Cancelled,
    /// Was wrong: belongs to somebody else, or was never true.
    EnteredInError,
    /// Not said, or not known.
    Unknown,
}

impl ObservationStatus {
    /// The word of FHIR.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Preliminary => "preliminary",
            Self::Final => "final",
            Self::Corrected => "corrected",
            Self::Cancelled => "cancelled",
            Self::EnteredInError => "entered-in-error",
            Self::Unknown => "unknown",
        }
    }
}

/// One observation of a report, or one metric of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What was observed.
    pub code: Coded,
    /// Distinguishes observations with one code (OBX-4).
    pub sub_id: String,
    /// Type of the value as in OBX-2: `NM`, `ST`, `CWE`, …
    pub value_type: String,
    /// The values as text: of a coded value its code, of a structured one its parts without blanks. Empty
    /// when there is none and for embedded documents (ED, RP), which are never copied.
    pub values: Vec<Private>,
    /// The codes of a coded value.
    pub coded_value: Option<Coded>,
    /// The unit.
    pub unit: Option<Coded>,
    /// The reference range, as sent.
    pub reference_range: String,
    /// Flags by HL7 table 0078 and its like, in the order sent: `H`, `LL`, `PM`, `INV`, …
    pub flags: Vec<String>,
    /// How far it can be relied upon.
    pub status: ObservationStatus,
    /// When it was observed; the report's own time when it has none.
    pub observed_at: Option<String>,
}

/// One report of a report message: an order and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The placer's number of the order.
    pub placer_order: Option<Identifier>,
    /// The filler's number of the order.
    pub filler_order: Option<Identifier>,
    /// The accession: the specimen's own, else the filler's number of the order.
    pub accession: Option<Private>,
    /// What was ordered.
    pub service: Coded,
    /// How far it is.
    pub status: ReportStatus,
    /// When the observation was made, or the specimen taken.
    pub observed_at: Option<String>,
    /// When the report was issued or changed.
    pub issued_at: Option<String>,
    /// What was found.
    pub observations: Vec<Observation>,
}

/// What a report message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportMessage {
    /// Whom it is about; `None` when the sender does not know.
    pub patient: Option<Patient>,
    /// The visit.
    pub visit: Visit,
    /// Its reports, at least one for each order.
    pub reports: Vec<Report>,
}

/// Which box of a device a container is (ISO/IEEE 11073-10201).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// The device itself (MDS).
    System,
    /// A virtual device in it, such as the blood pressure module (VMD).
    Virtual,
    /// A channel of a virtual device.
    Channel,
}

/// A device, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Which box it is.
    pub level: Level,
    /// Its place: numbers of system, virtual device and channel; zeros below its own level.
    pub place: [u32; 3],
    /// What it is; without codes when the sender only implied it.
    pub code: Coded,
    /// Its own identity.
    pub device: Option<DeviceId>,
    /// The container around it, as an index into the list.
    pub parent: Option<usize>,
}

/// The identity of a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceId {
    /// The name or serial number its sender uses; empty when not said.
    pub local: String,
    /// The EUI-64, 16 hexadecimal digits, when it has one.
    pub eui64: Option<String>,
}

impl DeviceId {
    /// The EUI-64, else the local name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.eui64.as_deref().unwrap_or(&self.local)
    }
}

/// One measured, set or computed value of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// What was measured and what came out.
    pub observation: Observation,
    /// The innermost container it belongs to, as an index into the list.
    pub container: Option<usize>,
    /// What is said against the value: `INV`, `NAV`, `OFF`, `QUES`, `DEMO`, …; `None` when it is valid.
    pub validity: Option<String>,
    /// What belongs to it: sample rate, range, limits (fifth number of OBX-4).
    pub facets: Vec<Observation>,
}

/// An alarm of a device (IHE PCD-04).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Alarm {
    /// The alarm's id over its whole life; what its messages are ordered by.
    pub id: String,
    /// What is wrong, e.g. `MDC_EVT_HI_GT_LIM`.
    pub event: Coded,
    /// What was measured when it was raised.
    pub source: Option<Coded>,
    /// The measured value.
    pub source_value: Option<Private>,
    /// `start`, `continue`, `update`, `end`, `escalate`, …
    pub phase: String,
    /// `active`, `inactive`, `latched`.
    pub state: String,
    /// `enabled`, `audio-paused`, `alarm-off`, …
    pub inactivation: String,
    /// `PH`, `PM`, `PL`, `PI`: high, medium, low, information.
    pub priority: String,
    /// `SP` physiological, `ST` technical, `SA` advisory.
    pub kind: String,
    /// The innermost container it belongs to, as an index into the list.
    pub container: Option<usize>,
    /// When it happened.
    pub occurred_at: Option<String>,
}

/// What a device message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceMessage {
    /// Whom the device is attached to; `None` when the sender does not know.
    pub patient: Option<Patient>,
    /// The visit; its location is the bed.
    pub visit: Visit,
    /// The system that sent the message.
    pub sender: Option<DeviceId>,
    /// Devices and their parts, each behind the one around it.
    pub containers: Vec<Container>,
    /// What they measured.
    pub metrics: Vec<Metric>,
    /// What they complain about.
    pub alarms: Vec<Alarm>,
}

impl DeviceMessage {
    /// The device a container belongs to: its own identity or that of the nearest one around it.
    #[must_use]
    pub fn device_of(&self, container: Option<usize>) -> Option<&DeviceId> {
        let mut at = container;
        for _ in 0..=self.containers.len() {
            let Some(container) = at.and_then(|index| self.containers.get(index)) else { break };
            if container.device.is_some() {
                return container.device.as_ref();
            }
            at = container.parent;
        }
        self.sender.as_ref()
    }

    /// The main device: the first with an identity, else the sender.
    #[must_use]
    pub fn device(&self) -> Option<&DeviceId> {
        self.containers.iter().find_map(|known| known.device.as_ref()).or(self.sender.as_ref())
    }
}
