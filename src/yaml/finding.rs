//! What is wrong with a file, where, and what to do about it.

use std::sync::Arc;

use crate::yaml::node::{Node, Source, Span};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It runs, and probably not as meant.
    Warning,
    /// It does not start.
    Error,
}

/// Something wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable code, e.g. `E0102`; `medway explain` tells more.
    pub code: &'static str,
    /// How bad.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// A short note under the marked place.
    pub label: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// A replacement of the marked text that would mend it, for `--fix`.
    pub fix: Option<String>,
    /// The file.
    pub source: Arc<Source>,
    /// The marked place.
    pub span: Span,
}

impl Finding {
    /// An error at a node.
    #[must_use]
    pub fn error(code: &'static str, node: &Node, message: impl Into<String>) -> Self {
        Self::at(code, &node.source, node.span, message)
    }

    /// An error at a place.
    #[must_use]
    pub fn at(
        code: &'static str,
        source: &Arc<Source>,
        span: Span,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            label: None,
            hint: None,
            fix: None,
            source: Arc::clone(source),
            span,
        }
    }

    /// The same, as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// With a note under the marked place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// With what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With a replacement of the marked text.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}
