//! Why something is not done, as FHIR says it: an HTTP status and issues (FHIR R4 operationoutcome.html).

use serde_json::Value;

use crate::fhir::outcome::{Issue, outcome};

/// A request, or an entry of a bundle, that is not done.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The HTTP status.
    pub status: u16,
    /// What is wrong, most important first; never empty.
    pub issues: Vec<Issue>,
}

impl Fault {
    /// A fault of one issue.
    #[must_use]
    pub fn new(status: u16, code: &'static str, detail: &str, text: impl Into<String>) -> Self {
        Self { status, issues: vec![Issue::error(code, detail, text)] }
    }

    /// The same fault at a place.
    #[must_use]
    pub fn at(mut self, expression: impl Into<String>) -> Self {
        let expression = expression.into();
        for issue in &mut self.issues {
            issue.expression.get_or_insert_with(|| expression.clone());
        }
        self
    }

    /// The fault of an entry: its places begin at the entry.
    #[must_use]
    pub fn within(mut self, entry: usize) -> Self {
        for issue in &mut self.issues {
            let below = issue.expression.as_deref().and_then(|path| path.split_once('.'));
            issue.expression = Some(match below {
                Some((_, rest)) => format!("Bundle.entry[{entry}].resource.{rest}"),
                None => format!("Bundle.entry[{entry}]"),
            });
        }
        self
    }

    /// As an `OperationOutcome`.
    #[must_use]
    pub fn outcome(&self) -> Value {
        outcome(&self.issues)
    }
}

/// 404: there is no such resource.
#[must_use]
pub fn not_found(text: &str) -> Fault {
    Fault::new(404, "not-found", "not-found", text)
}

/// 410: it was deleted.
#[must_use]
pub fn gone() -> Fault {
    Fault::new(410, "deleted", "deleted", "this resource was deleted")
}

/// 412: a condition of the request does not hold.
#[must_use]
pub fn precondition(code: &'static str, detail: &str, text: &str) -> Fault {
    Fault::new(412, code, detail, text)
}

/// 400: the request cannot be understood.
#[must_use]
pub fn bad(detail: &str, text: impl Into<String>) -> Fault {
    Fault::new(400, "invalid", detail, text)
}

/// 503: try again later.
#[must_use]
pub fn unavailable(text: &str) -> Fault {
    Fault::new(503, "transient", "unavailable", text)
}
