//! What a source is doing, live, for people and for readiness.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::message::time::Timestamp;

/// Counters a running source keeps; read with [`SourceStatus::view`].
#[derive(Debug, Default)]
pub struct SourceStatus {
    connections: AtomicU32,
    received: AtomicU64,
    refused: AtomicU64,
    last_message: AtomicI64,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    address: Option<SocketAddr>,
    last_refusal: Option<(Timestamp, String)>,
}

/// A source at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceView {
    /// Where it listens; `None` for files and for connections that we open.
    pub address: Option<SocketAddr>,
    /// Connections open now.
    pub connections: u32,
    /// Messages taken since the start, repeats included.
    pub received: u64,
    /// Messages, frames and connections refused since the start.
    pub refused: u64,
    /// When the last message was taken.
    pub last_message: Option<Timestamp>,
    /// The last refusal, in words without content.
    pub last_refusal: Option<(Timestamp, String)>,
}

impl SourceStatus {
    /// The source as it stands.
    #[must_use]
    pub fn view(&self) -> SourceView {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let last_message = self.last_message.load(Ordering::Relaxed);
        SourceView {
            address: told.address,
            connections: self.connections.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            last_message: (last_message != 0).then_some(Timestamp(last_message)),
            last_refusal: told.last_refusal.clone(),
        }
    }

    pub(crate) fn listens(&self, address: SocketAddr) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).address = Some(address);
    }

    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn disconnected(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn received(&self, at: Timestamp) {
        self.received.fetch_add(1, Ordering::Relaxed);
        self.last_message.store(at.0, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, at: Timestamp, why: &str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.last_refusal = Some((at, why.to_owned()));
    }
}
