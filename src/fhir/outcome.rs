//! `OperationOutcome`: what a client is told (FHIR R4 operationoutcome.html).

use serde_json::{Value, json};

/// The code system of our own words in `issue.details`.
pub const DETAILS: &str = "urn:medway:fhir:issue";

/// One thing that is wrong, or worth knowing. Texts name places and rules, never values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// `fatal`, `error`, `warning` or `information`.
    pub severity: &'static str,
    /// A code of `issue-type`.
    pub code: &'static str,
    /// A stable word of our own, for programs; of an invariant its key.
    pub detail: Box<str>,
    /// One sentence.
    pub text: String,
    /// Where, as FHIRPath.
    pub expression: Option<String>,
}

impl Issue {
    /// An error without a place.
    #[must_use]
    pub fn error(code: &'static str, detail: &str, text: impl Into<String>) -> Self {
        Self { severity: "error", code, detail: detail.into(), text: text.into(), expression: None }
    }

    /// Something doubtful.
    #[must_use]
    pub fn warning(code: &'static str, detail: &str, text: impl Into<String>) -> Self {
        Self { severity: "warning", ..Self::error(code, detail, text) }
    }

    /// Something worth knowing.
    #[must_use]
    pub fn information(code: &'static str, detail: &str, text: impl Into<String>) -> Self {
        Self { severity: "information", ..Self::error(code, detail, text) }
    }

    /// The same at a place.
    #[must_use]
    pub fn at(mut self, expression: impl Into<String>) -> Self {
        self.expression = Some(expression.into());
        self
    }

    /// Whether what it is about is not valid.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self.severity, "fatal" | "error")
    }

    fn json(&self) -> Value {
        let mut issue = json!({
            "severity": self.severity,
            "code": self.code,
            "details": {"coding": [{"system": DETAILS, "code": self.detail}]},
            "diagnostics": self.text,
        });
        if let (Some(expression), Some(members)) = (&self.expression, issue.as_object_mut()) {
            members.insert("expression".to_owned(), json!([expression]));
        }
        issue
    }
}

/// Issues as an `OperationOutcome`; without any it says that all is well.
#[must_use]
pub fn outcome(issues: &[Issue]) -> Value {
    let issues: Vec<Value> = if issues.is_empty() {
        vec![Issue::information("informational", "ok", "all is well").json()]
    } else {
        issues.iter().map(Issue::json).collect()
    };
    json!({"resourceType": "OperationOutcome", "issue": issues})
}

#[cfg(test)]
mod tests {
    use super::{Issue, outcome};
    use crate::fhir::validate::validate;

    #[test]
    fn is_itself_valid() {
        let issues = [
            Issue::error("structure", "empty", "an object is empty").at("Patient.name[0]"),
            Issue::warning("invariant", "dom-6", "no narrative"),
        ];
        for outcome in [outcome(&issues), outcome(&[])] {
            assert!(!validate(&outcome).iter().any(Issue::is_error), "{outcome}");
        }
        let first = &outcome(&issues)["issue"][0];
        assert_eq!(first["expression"][0], "Patient.name[0]");
        assert_eq!(first["details"]["coding"][0]["code"], "empty");
    }
}
