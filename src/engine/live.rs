//! A running source: its listener, its task, its status.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::config::from::SourceOptions;
use crate::source::status::SourceStatus;

/// A source that runs, or is tried again and again until it does.
pub struct LiveSource {
    /// `mllp`, `http` or `file`.
    pub kind: &'static str,
    /// Where it listens, when it does.
    pub address: Option<SocketAddr>,
    /// Why it does not listen, although it should; nothing while it does.
    pub down: Option<String>,
    /// What it sees.
    pub status: Arc<SourceStatus>,
    /// Ends it.
    pub stop: CancellationToken,
    /// Cancelled once it has ended and its port is free again.
    pub ended: CancellationToken,
    /// What it was built from: another one is started only when this changes.
    pub options: SourceOptions,
}

impl LiveSource {
    /// For the API.
    #[must_use]
    pub fn view(&self) -> Value {
        let view = self.status.view();
        json!({
            "kind": self.kind,
            "listens": self.address.or(view.address).map(|address| address.to_string()),
            "down": self.down,
            "connections": view.connections,
            "last_message_at": view.last_message.map(|at| at.to_string()),
            "received": view.received,
            "refused": view.refused,
            "last_refusal": view.last_refusal.map(|(at, why)| format!("{at}: {why}")),
        })
    }
}
