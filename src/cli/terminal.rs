//! The one writer to the terminal: data to stdout, notices to stderr.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

/// Where a command writes.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    json: bool,
}

impl Terminal {
    /// A terminal; with `json`, data comes as one JSON value a line.
    #[must_use]
    pub const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether data is to be JSON.
    #[must_use]
    pub const fn json(self) -> bool {
        self.json
    }

    /// Whether a person watches stderr: then progress bars make sense.
    #[must_use]
    pub fn watched(self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// A line of data. A closed pipe ends nothing: the reader has had enough.
    pub fn line(self, text: &str) {
        drop(writeln!(io::stdout().lock(), "{text}"));
    }

    /// A JSON value as one line of data.
    pub fn value(self, value: &Value) {
        self.line(&value.to_string());
    }

    /// A line for people, on stderr.
    pub fn notice(self, text: &str) {
        drop(writeln!(io::stderr().lock(), "{text}"));
    }

    /// Bytes as they are, to stdout.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn bytes(self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }
}
