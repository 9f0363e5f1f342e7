//! Subscriptions of FHIR R4 in both dialects, as pure functions.
//!
//! - *Search*: `criteria` is a search (FHIR R4 subscription.html).
//! - *Topic*: `criteria` is a topic's canonical URL (Subscriptions R5 Backport 1.1.0).
//!
//! ```text
//! requested ──handshake answered──▶ active ──given up──▶ error ──client: requested──▶ requested
//!     └──────not answered──────▶ error        └──410, `end`, client──▶ off
//! ```
//! Only a client moves `error` back to `requested`; events are counted in `active` and in `error`.
//!
//! What is not understood is refused when the subscription is written, never passed over: a criterion
//! that is ignored would send what nobody asked for.

pub mod event;
pub mod filter;
pub mod header;
pub mod heard;
pub mod notification;
pub mod read;
pub mod render;
pub mod topic;

use std::time::Duration;

use crate::fhir::subscription::header::Header;
use crate::message::resource::Criterion;
use crate::message::time::Timestamp;

/// Where the definitions of the backport stand.
pub const BACKPORT: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/";
/// Our extension on a Subscription: in which order events are delivered.
pub const ORDERING: &str = "urn:medway:fhir:subscription-ordering";
/// Our extension on a Subscription: the style of a search subscription's calls.
pub const STYLE: &str = "urn:medway:fhir:subscription-style";
/// Our extension on a Subscription: who wrote it, sealed.
pub const OWNER: &str = "urn:medway:fhir:subscription-owner";

/// Why a Subscription is refused. Texts name elements and what is supported, never values of people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Code of FHIR R4 valueset-issue-type: `required`, `value`, `not-supported`, `invalid`.
    pub code: &'static str,
    /// Where, as a `FHIRPath`.
    pub expression: Box<str>,
    /// What is wrong and what would be right.
    pub text: String,
}

impl Issue {
    /// An issue of its parts.
    #[must_use]
    pub fn new(code: &'static str, expression: &str, text: impl Into<String>) -> Self {
        Self { code, expression: expression.into(), text: text.into() }
    }
}

/// FHIR R4 valueset-subscription-status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// A client asks for it; the engine has not called yet.
    Requested,
    /// Events are delivered.
    Active,
    /// Deliveries were given up; events are counted and wait.
    Error,
    /// Nothing happens.
    Off,
}

impl Status {
    /// The code.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Active => "active",
            Self::Error => "error",
            Self::Off => "off",
        }
    }

    /// The status with this code.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Requested, Self::Active, Self::Error, Self::Off]
            .into_iter()
            .find(|status| status.name() == name)
    }
}

/// What a subscription is interested in.
#[derive(Debug, Clone, PartialEq)]
pub enum Dialect {
    /// Resources of a type that a search finds.
    Search {
        /// The type.
        kind: Box<str>,
        /// Every criterion must hold.
        criteria: Vec<Criterion>,
    },
    /// Events of a topic.
    Topic {
        /// Its canonical URL.
        canonical: Box<str>,
        /// Filters: for a resource of this type every criterion must hold.
        filters: Vec<(Box<str>, Criterion)>,
    },
}

/// How much of a resource a notification holds (backport: `backport-payload-content`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// Nothing: something happened.
    Empty,
    /// A reference to it.
    IdOnly,
    /// The resource.
    FullResource,
}

impl Content {
    /// The code.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::IdOnly => "id-only",
            Self::FullResource => "full-resource",
        }
    }

    /// The content level with this code.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Empty, Self::IdOnly, Self::FullResource].into_iter().find(|one| one.name() == name)
    }
}

/// How a search subscription's receiver is called. The specification leaves it open and servers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Style {
    /// POST of the resource to the endpoint.
    Post,
    /// PUT of the resource to endpoint/Type/id, as to a FHIR server.
    PutResource,
    /// POST of a notification Bundle, as for a topic.
    Bundle,
}

impl Style {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Post, Self::PutResource, Self::Bundle];

    /// The word in configuration and in our extension.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::PutResource => "put-resource",
            Self::Bundle => "bundle",
        }
    }

    /// The style with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|style| style.name() == name)
    }
}

/// Which events of a subscription wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ordering {
    /// All of them.
    Strict,
    /// Those of one patient; of one resource where no patient is named.
    PerPatient,
    /// Those of one resource.
    PerResource,
    /// None.
    Free,
}

impl Ordering {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Strict, Self::PerPatient, Self::PerResource, Self::Free];

    /// The word in configuration and in our extension.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::PerPatient => "per-patient",
            Self::PerResource => "per-resource",
            Self::Free => "none",
        }
    }

    /// The ordering with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ordering| ordering.name() == name)
    }
}

/// A Subscription, understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// Its status as stored or submitted.
    pub status: Status,
    /// What it is interested in.
    pub dialect: Dialect,
    /// Whom to call.
    pub endpoint: Box<str>,
    /// `channel.payload`: the media type of calls; without, calls have no body.
    pub payload: Option<Box<str>>,
    /// How much a notification holds.
    pub content: Content,
    /// Headers of each call.
    pub headers: Vec<Header>,
    /// When it ends.
    pub end: Option<Timestamp>,
    /// A sign of life is sent when nothing else was for so long.
    pub heartbeat: Option<Duration>,
    /// How long the receiver may take.
    pub timeout: Option<Duration>,
    /// Its own style; a search subscription's alone.
    pub style: Option<Style>,
    /// Its own order.
    pub ordering: Option<Ordering>,
    /// Most events in one notification (`backport-max-count`); 1 without a wish.
    pub together: usize,
}

impl Subscription {
    /// Whether it is of the topic dialect.
    #[must_use]
    pub const fn is_topic(&self) -> bool {
        matches!(self.dialect, Dialect::Topic { .. })
    }

    /// The topic's canonical URL.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        match &self.dialect {
            Dialect::Topic { canonical, .. } => Some(canonical),
            Dialect::Search { .. } => None,
        }
    }
}
