//! Topics: what can be subscribed to under a canonical URL. R4 has no resource for them; a server names
//! them in its `CapabilityStatement` (backport conformance.html).

use crate::message::resource::{Criterion, Interaction};

/// What can happen that a topic may be about. A patch is an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// A first version.
    Create,
    /// A later version.
    Update,
    /// The resource is gone.
    Delete,
}

impl Trigger {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Create, Self::Update, Self::Delete];

    /// The word in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// What an interaction is: a first version is a create, also under the client's id.
    #[must_use]
    pub const fn of(interaction: Interaction, has_previous: bool) -> Self {
        match (interaction, has_previous) {
            (Interaction::Delete, _) => Self::Delete,
            (Interaction::Create, _) | (_, false) => Self::Create,
            (Interaction::Update | Interaction::Patch, true) => Self::Update,
        }
    }
}

/// Which filters a subscription may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// Any search parameter of the resource's type.
    Any,
    /// These parameters.
    Only(Vec<Box<str>>),
}

impl Allowed {
    /// Whether this parameter is among them.
    #[must_use]
    pub fn has(&self, parameter: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(names) => names.iter().any(|name| **name == *parameter),
        }
    }
}

/// What must hold of the versions before and after.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conditions {
    /// Of the version before; where there is none, the condition holds.
    pub previous: Vec<Criterion>,
    /// Of the version after; where there is none, the condition holds.
    pub current: Vec<Criterion>,
}

/// A topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    /// Its canonical URL, without version.
    pub canonical: Box<str>,
    /// For people.
    pub title: Box<str>,
    /// The types of resources it is about, each with what must hold.
    pub kinds: Vec<(Box<str>, Conditions)>,
    /// What must happen.
    pub triggers: Vec<Trigger>,
    /// Filters subscriptions may use.
    pub filters: Allowed,
}

impl Topic {
    /// The types alone.
    #[must_use]
    pub fn types(&self) -> Vec<Box<str>> {
        self.kinds.iter().map(|(kind, _)| kind.clone()).collect()
    }

    /// Whether a canonical, with or without a version, names this topic.
    #[must_use]
    pub fn is(&self, canonical: &str) -> bool {
        *self.canonical == *canonical
            || canonical.split_once('|').is_some_and(|(url, _)| *self.canonical == *url)
    }
}

/// The built-in topics: one for each kind of message, over the resource types that carry it.
pub const BUILT_IN: &[(&str, &[&str])] = &[
    ("patient", &["Patient", "Encounter", "RelatedPerson", "Person"]),
    ("report", &["DiagnosticReport", "Observation"]),
    ("device", &["Device", "DeviceMetric"]),
    ("order", &["ServiceRequest", "Task"]),
    ("schedule", &["Appointment", "Slot", "Schedule"]),
    ("document", &["DocumentReference", "Composition"]),
    ("immunization", &["Immunization"]),
    ("pharmacy", &["MedicationRequest", "MedicationDispense", "MedicationAdministration"]),
    ("finance", &["ChargeItem", "Account", "Claim", "Coverage"]),
];

/// The built-in topics of a server at `base`: `[base]/SubscriptionTopic/patient` and so on.
#[must_use]
pub fn built_in(base: &str) -> Vec<Topic> {
    BUILT_IN
        .iter()
        .map(|(name, kinds)| Topic {
            canonical: format!("{base}/SubscriptionTopic/{name}").into(),
            title: (*name).into(),
            kinds: kinds.iter().map(|kind| ((*kind).into(), Conditions::default())).collect(),
            triggers: Trigger::ALL.to_vec(),
            filters: Allowed::Any,
        })
        .collect()
}
