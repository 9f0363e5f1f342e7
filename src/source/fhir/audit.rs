//! Who did what: one line for each request and for each entry of a bundle, without content.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::json;
use tracing::error;

use crate::message::time::Timestamp;

/// One act.
#[derive(Debug, Clone, Copy)]
pub struct AuditEntry<'a> {
    /// When.
    pub at: Timestamp,
    /// The channel whose source was asked.
    pub channel: &'a str,
    /// `X-Request-Id`: the same for all entries of a bundle.
    pub request: &'a str,
    /// Who asked; empty when nobody was known.
    pub who: &'a str,
    /// How they showed it.
    pub means: &'a str,
    /// The remote address.
    pub from: &'a str,
    /// `read`, `search`, `create`, `transaction`, `$validate`, ….
    pub interaction: &'a str,
    /// The resource type; empty for the whole system.
    pub kind: &'a str,
    /// The id; empty when none is named. Ids of resources are ours or the client's, never a person's
    /// number by themselves.
    pub id: &'a str,
    /// The HTTP status.
    pub status: u16,
}

/// Keeps entries.
pub trait Audit: Send + Sync {
    /// Keeps one entry. Must not wait for anything but a local disk.
    fn record(&self, entry: &AuditEntry<'_>);
}

/// Nobody keeps anything: for tests of other things.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoAudit;

impl Audit for NoAudit {
    fn record(&self, _: &AuditEntry<'_>) {}
}

/// JSON lines in a file that only grows.
pub struct AuditFile {
    file: Mutex<File>,
    failing: AtomicBool,
}

impl AuditFile {
    /// Opens the file, or makes it (mode 0600).
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        Ok(Self { file: Mutex::new(file), failing: AtomicBool::new(false) })
    }
}

impl Audit for AuditFile {
    fn record(&self, entry: &AuditEntry<'_>) {
        let line = json!({
            "at": entry.at.to_string(),
            "channel": entry.channel,
            "request": entry.request,
            "who": entry.who,
            "means": entry.means,
            "from": entry.from,
            "interaction": entry.interaction,
            "type": entry.kind,
            "id": entry.id,
            "status": entry.status,
        });
        // One write a line: the file is opened for appending, so lines never mix.
        let written = {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.write_all(format!("{line}\n").as_bytes())
        };
        let failed_before = self.failing.swap(written.is_err(), Ordering::Relaxed);
        if let (Err(error), false) = (written, failed_before) {
            error!(%error, "the audit log cannot be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_act_is_a_line_that_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let entry = AuditEntry {
            at: Timestamp(0),
            channel: "fhir",
            request: "r1",
            who: "lab",
            means: "token",
            from: "10.0.0.1",
            interaction: "read",
            kind: "Patient",
            id: "1",
            status: 200,
        };
        AuditFile::open(&path).unwrap().record(&entry);
        AuditFile::open(&path).unwrap().record(&AuditEntry { status: 404, ..entry });
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["who"], "lab");
        assert_eq!(lines[1]["status"], 404);
    }
}
