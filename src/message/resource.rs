//! FHIR resources as the store keeps them: versions, and values to search by.
//!
//! What a FHIR client writes becomes a message of the log *and* a version of a resource, in one
//! transaction. The message keeps the bytes as received; the version keeps the resource as it is read
//! back, with its `id` and `meta`.

use std::hash::{Hash, Hasher};

use crate::message::id::Seq;
use crate::message::payload::Payload;
use crate::message::time::Timestamp;

/// Which resource: `Patient/123`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceKey {
    /// The resource type, e.g. `Patient`.
    pub kind: Box<str>,
    /// Its logical id (FHIR R4 datatypes.html#id).
    pub id: Box<str>,
}

impl ResourceKey {
    /// A key of its parts.
    #[must_use]
    pub fn new(kind: &str, id: &str) -> Self {
        Self { kind: kind.into(), id: id.into() }
    }
}

impl std::fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}

/// What a client did to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Interaction {
    /// A first version under an id the engine chose.
    Create = 1,
    /// A whole new version (or a first one, under the client's id).
    Update = 2,
    /// A new version made by a patch.
    Patch = 3,
    /// The resource is gone; its history stays.
    Delete = 4,
}

impl Interaction {
    /// The word in events and in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }

    /// The number the store keeps.
    #[must_use]
    #[expect(clippy::as_conversions, reason = "the discriminants are the stored numbers")]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The interaction with this stored number; `Update` when it is unknown.
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        [Self::Create, Self::Update, Self::Patch, Self::Delete]
            .into_iter()
            .find(|one| one.number() == number)
            .unwrap_or(Self::Update)
    }
}

/// What a write expects to find. Checked in the transaction that writes: nothing is lost to a race.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// No version at all, not even a deleted one.
    Absent,
    /// This version is the current one (deleted or not).
    Version(u64),
}

/// One version to be written.
#[derive(Debug, Clone)]
pub struct ResourceWrite {
    /// Which resource.
    pub key: ResourceKey,
    /// What must be there; else nothing of the batch is written.
    pub expect: Expect,
    /// The number of the new version: 1, or one more than the expected one.
    pub version: u64,
    /// What was done.
    pub interaction: Interaction,
    /// `meta.lastUpdated`.
    pub at: Timestamp,
    /// The message of the batch that carries it, by its place in the batch; `None` when none does.
    pub message: Option<usize>,
    /// The resource as it is read back, `id` and `meta` included; empty for a delete.
    pub body: Payload,
    /// Values to search by; empty for a delete.
    pub index: Vec<IndexValue>,
}

/// What else must hold in the transaction that writes. Else nothing of the batch is written.
#[derive(Debug, Clone, PartialEq)]
pub enum Guard {
    /// No current resource of this type has this value (`If-None-Exist: identifier=…`).
    NoMatch {
        /// The resource type.
        kind: Box<str>,
        /// The search parameter and the value, exactly as an index value would say it.
        value: IndexValue,
    },
    /// No resource of this type was written after `seen` (the store's resource clock, see
    /// `ResourceStore::resource_clock`): for conditions that are not one exact value.
    Unchanged {
        /// The resource type.
        kind: Box<str>,
        /// What the clock said before the condition was looked up.
        seen: i64,
    },
}

/// A stored version.
#[derive(Debug, Clone)]
pub struct ResourceVersion {
    /// Which resource.
    pub key: ResourceKey,
    /// Its version number.
    pub version: u64,
    /// What was done.
    pub interaction: Interaction,
    /// `meta.lastUpdated`.
    pub at: Timestamp,
    /// The message that carried it.
    pub seq: Option<Seq>,
    /// The resource with `id` and `meta`; empty for a delete.
    pub body: Payload,
}

impl ResourceVersion {
    /// Whether this version says that the resource is gone.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.interaction == Interaction::Delete
    }
}

/// A value a resource can be found by.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct IndexValue {
    /// The search parameter's code, e.g. `identifier`.
    pub param: Box<str>,
    /// The value.
    pub value: Indexed,
}

/// Values by the types of FHIR R4 search.html#ptypes. Text is normalised by who makes the index:
/// lower case, without accents.
#[derive(Debug, Clone, PartialEq)]
pub enum Indexed {
    /// Code and system; either may be empty. `system` is `identifier`'s system, a coding's system, or empty.
    Token {
        /// The code system or identifier system; empty when there is none.
        system: Box<str>,
        /// The code or value.
        code: Box<str>,
    },
    /// A reference to `kind/id` (kind empty when only an absolute URL is known, which then is `id`).
    Reference {
        /// The type referred to.
        kind: Box<str>,
        /// The id, or the whole absolute URL.
        id: Box<str>,
    },
    /// A logical reference: `Reference.identifier`.
    ReferenceIdentifier {
        /// The identifier's system.
        system: Box<str>,
        /// The identifier's value.
        value: Box<str>,
    },
    /// A time span, both ends inclusive: a date of lower precision is the span it covers.
    Date {
        /// First moment.
        from: Timestamp,
        /// Last moment.
        to: Timestamp,
    },
    /// Text: `folded` for ordinary and `:contains` searches, `exact` as written.
    Text {
        /// Lower case, without accents.
        folded: Box<str>,
        /// As written.
        exact: Box<str>,
    },
    /// A number or quantity.
    Quantity {
        /// The value.
        value: f64,
        /// The unit's system; empty when there is none.
        system: Box<str>,
        /// The unit's code or text.
        code: Box<str>,
    },
    /// A URI, as written.
    Uri(Box<str>),
    /// Values that stand together in one element, as a composite asks for them.
    Tuple(Box<[Indexed]>),
    /// What a code is called, lower case, without accents: `:text` looks into it.
    Display(Box<str>),
}

impl Hash for Indexed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Token { system: one, code: two }
            | Self::Reference { kind: one, id: two }
            | Self::ReferenceIdentifier { system: one, value: two }
            | Self::Text { folded: one, exact: two } => (one, two).hash(state),
            Self::Date { from, to } => (from.0, to.0).hash(state),
            Self::Quantity { value, system, code } => (value.to_bits(), system, code).hash(state),
            Self::Uri(text) | Self::Display(text) => text.hash(state),
            Self::Tuple(parts) => parts.hash(state),
        }
    }
}

/// A search, understood: every criterion must hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResourceQuery {
    /// The resource type; empty for all types.
    pub kind: Box<str>,
    /// All must hold.
    pub criteria: Vec<Criterion>,
    /// By which parameters to sort, first first; `true` is descending. Always ended by the id.
    pub sort: Vec<(Box<str>, bool)>,
    /// At most this many.
    pub limit: u32,
    /// Where the page begins: the opaque text of [`ResourcePage::next`].
    pub page: Option<Box<str>>,
    /// Whether the number of all matches is wanted.
    pub total: bool,
}

/// One criterion: `name=a,b` holds when any of its tests holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Criterion {
    /// The search parameter's code; `_id` and `_lastUpdated` are parameters like any other.
    pub param: Box<str>,
    /// Any must hold.
    pub any: Vec<Test>,
    /// `:not`: none may hold.
    pub negate: bool,
}

/// A test of one value.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// `[system]|[code]`; `None` matches any, `Some("")` none.
    Token {
        /// The system.
        system: Option<Box<str>>,
        /// The code.
        code: Option<Box<str>>,
    },
    /// `Type/id` or an absolute URL; kind empty: any type.
    Reference {
        /// The type.
        kind: Box<str>,
        /// The id or URL.
        id: Box<str>,
    },
    /// `:identifier=system|value`.
    ReferenceIdentifier {
        /// The system.
        system: Option<Box<str>>,
        /// The value.
        value: Box<str>,
    },
    /// A time with its prefix: the value's span against the criterion's (FHIR R4 search.html#prefix).
    Date {
        /// The prefix.
        prefix: Prefix,
        /// First moment of the criterion.
        from: Timestamp,
        /// Last moment of the criterion.
        to: Timestamp,
    },
    /// Starts with (folded).
    Starts(Box<str>),
    /// Contains (folded).
    Contains(Box<str>),
    /// Is, as written.
    Exact(Box<str>),
    /// A number: the criterion's span by its precision.
    Quantity {
        /// The prefix.
        prefix: Prefix,
        /// Lower end of what was written.
        low: f64,
        /// Upper end of what was written.
        high: f64,
        /// The unit's system; `None` for any.
        system: Option<Box<str>>,
        /// The unit's code; `None` for any.
        code: Option<Box<str>>,
    },
    /// A URI, as written.
    Uri(Box<str>),
    /// `:missing=true|false`.
    Missing(bool),
    /// A chain of one level: the resource referred to is of `kind` and `criterion` holds of it.
    Chain {
        /// The type referred to.
        kind: Box<str>,
        /// What must hold there.
        criterion: Box<Criterion>,
    },
    /// Each holds of the value at its place in a tuple.
    Tuple(Vec<Test>),
    /// `_has`, of one level: a resource of `kind` refers to this one by `param`, and `criterion` holds of it.
    Has {
        /// The type that refers.
        kind: Box<str>,
        /// The search parameter that is the reference.
        param: Box<str>,
        /// What must hold there.
        criterion: Box<Criterion>,
    },
}

impl Test {
    /// Of a test that asks another resource: the type of that resource, and what must hold there.
    #[must_use]
    pub const fn elsewhere(&self) -> Option<(&str, &Criterion)> {
        match self {
            Self::Chain { kind, criterion } | Self::Has { kind, criterion, .. } => {
                Some((kind, criterion))
            }
            _ => None,
        }
    }
}

/// The parameter of a search over all types that names those that are wanted.
pub const TYPE: &str = "_type";

/// Prefixes of dates, numbers and quantities (FHIR R4 search.html#prefix).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prefix {
    /// Equal: the value lies within the criterion.
    Eq,
    /// Not equal.
    Ne,
    /// Greater.
    Gt,
    /// Less.
    Lt,
    /// Greater or equal.
    Ge,
    /// Less or equal.
    Le,
    /// Starts after.
    Sa,
    /// Ends before.
    Eb,
    /// Approximately.
    Ap,
}

/// A page of matches.
#[derive(Debug, Clone, Default)]
pub struct ResourcePage {
    /// The matches, in the order asked for.
    pub matches: Vec<ResourceVersion>,
    /// How to ask for the next page; `None` at the end.
    pub next: Option<Box<str>>,
    /// The number of all matches, when asked for.
    pub total: Option<u64>,
}

/// Which history is asked for; newest first.
#[derive(Debug, Clone, Default)]
pub struct HistoryQuery {
    /// One type; all when empty.
    pub kind: Box<str>,
    /// One resource; all of the type when empty.
    pub id: Box<str>,
    /// Only versions written at or after this moment.
    pub since: Option<Timestamp>,
    /// Where the page begins.
    pub page: Option<Box<str>>,
    /// At most this many.
    pub limit: u32,
}
