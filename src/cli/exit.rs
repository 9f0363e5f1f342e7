//! Why a command failed, and the exit code that says so.

use std::fmt;
use std::process::ExitCode;

/// A command's failure: a sentence for people, a code for scripts.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// It ran, and the answer is no: findings, refusals, failed tests. Exit code 1.
    #[must_use]
    pub fn negative(text: &str) -> Self {
        Self { code: 1, text: text.to_owned() }
    }

    /// It was called wrongly. Exit code 2.
    #[must_use]
    pub fn usage(text: &str) -> Self {
        Self { code: 2, text: text.to_owned() }
    }

    /// The other side cannot be reached. Exit code 69 (`EX_UNAVAILABLE`).
    #[must_use]
    pub fn unavailable(text: &str) -> Self {
        Self { code: 69, text: text.to_owned() }
    }

    /// Something broke. Exit code 70 (`EX_SOFTWARE`).
    #[must_use]
    pub fn fault(text: &str) -> Self {
        Self { code: 70, text: text.to_owned() }
    }

    /// The configuration cannot be read. Exit code 78 (`EX_CONFIG`).
    #[must_use]
    pub fn config(text: &str) -> Self {
        Self { code: 78, text: text.to_owned() }
    }

    /// The process's exit code.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::fault(&error.to_string())
    }
}
