//! How a test went, with reasons.

use std::sync::Arc;

use crate::yaml::node::{Source, Span};

/// How a test went.
#[derive(Debug, Clone)]
pub struct CaseReport {
    /// The channel.
    pub channel: Arc<str>,
    /// The test's name.
    pub name: String,
    /// In which file it stands.
    pub source: Arc<Source>,
    /// Where.
    pub span: Span,
    /// What was not as expected.
    pub failures: Vec<Failure>,
    /// What was: `ack`, destinations.
    pub fine: Vec<String>,
}

/// Something that was not as expected. It may quote the sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What: `ack`, or a destination with a place, e.g. `emr gender`.
    pub subject: String,
    /// What the test expects.
    pub expected: String,
    /// What there was.
    pub got: String,
    /// Why, as far as it can be told.
    pub because: Vec<String>,
    /// What would mend it.
    pub fix: Option<String>,
    /// Where the expectation stands.
    pub span: Span,
}

impl CaseReport {
    /// Whether all was as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// The report as text, for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let (line, _) = self.source.line_column(self.span.start);
        let title = format!("{} › {}", self.channel, self.name);
        if self.passed() {
            return format!("ok    {title}\n");
        }
        let mut text = format!("FAIL  {title}        ({}:{line})\n", self.source.name);
        for failure in &self.failures {
            text.push_str(&failure.to_text());
        }
        if !self.fine.is_empty() {
            text.push_str(&format!("  ok: {}\n", self.fine.join(", ")));
        }
        text
    }
}

impl Failure {
    fn to_text(&self) -> String {
        let Self { subject, expected, got, .. } = self;
        let mut text = format!("  {subject:<20} expected {expected:<16} got {got}\n");
        for reason in &self.because {
            text.push_str(&format!("       because {reason}\n"));
        }
        if let Some(fix) = &self.fix {
            text.push_str(&format!("       fix: {fix}\n"));
        }
        text
    }
}
