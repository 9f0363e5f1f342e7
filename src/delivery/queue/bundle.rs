//! Several deliveries in one call, where the destination takes that (`together`).
//!
//! - Only those of the strict lane go together: the first that waits, and those right behind it.
//! - What goes together is durable before the call, so that each repeat, also after a crash, holds the same.
//! - They share the answer when it is good. Otherwise the first alone carries the failure and its row; the
//!   others stay behind it in the window and go out with it again.

use std::sync::Arc;

use crate::delivery::queue::Queue;
use crate::delivery::queue::item::Stage;
use crate::message::StoredMessage;
use crate::message::id::{Seq, VersionId};
use crate::message::plan::{Disposition, Lane};
use crate::store::Change;

/// Bytes of messages in one call. The first always has room.
const BYTES_MAX: usize = 1 << 20;

/// What goes out with a claim.
#[derive(Debug, Default)]
pub(super) struct Company {
    pub(super) more: Vec<Arc<StoredMessage>>,
    /// Not before everything up to this mark is recorded.
    pub(super) after: Option<u64>,
}

impl Queue {
    /// Whether the rest of the bundle that it leads is still to be read from the log.
    pub(super) fn awaits_company(&self, seq: Seq) -> bool {
        let read_to = self.cursor.read_to();
        self.begun(seq).is_some_and(|last| read_to < last) && self.wants_log()
    }

    /// The last of the bundle that it leads, when that was begun.
    fn begun(&self, seq: Seq) -> Option<Seq> {
        self.bundle
            .filter(|(first, _)| *first == seq && self.options.together > 1)
            .map(|(_, last)| last)
    }

    /// Takes along what goes out with it. It is being sent.
    pub(super) fn gather(&mut self, seq: Seq, version: VersionId) -> Company {
        let leads = self.items.get(&seq).is_some_and(|item| item.standing.is_strict());
        if self.options.together <= 1 || !leads {
            return Company::default();
        }
        let begun = self.begun(seq);
        let mut bytes = self.bytes_of(seq);
        let mut more = Vec::new();
        for follower in self.lanes.after(Lane::STRICT, seq).take(self.options.together - 1) {
            let Some(message) = self.companion(follower, version) else { break };
            bytes = bytes.saturating_add(message.payload.len());
            if begun.is_some_and(|last| follower > last) || begun.is_none() && bytes > BYTES_MAX {
                break;
            }
            more.push(message);
        }
        for message in &more {
            if let Some(item) = self.items.get_mut(&message.seq) {
                item.stage = Stage::Flying;
            }
        }
        self.aboard = more.iter().map(|message| message.seq).collect();
        if begun.is_some() {
            return Company { more, after: None };
        }
        let last = self.aboard.last().copied().unwrap_or(seq);
        self.bundle = Some((seq, last));
        self.outbox.push(Change::Bundle { destination: self.id, first: seq, last });
        Company { more, after: Some(self.mark()) }
    }

    /// A follower that may go along: on the straight path, under the same rules.
    fn companion(&self, seq: Seq, version: VersionId) -> Option<Arc<StoredMessage>> {
        let item = self.items.get(&seq)?;
        let body = item.body.as_ref()?;
        let entry = body.plan.entry(self.id)?;
        let fits = item.row.is_none()
            && item.stage == Stage::Idle
            && entry.version == version
            && matches!(entry.disposition, Disposition::Deliver { .. });
        fits.then(|| Arc::clone(body))
    }

    fn bytes_of(&self, seq: Seq) -> usize {
        let body = self.items.get(&seq).and_then(|item| item.body.as_ref());
        body.map_or(0, |body| body.payload.len())
    }

    /// The call of a bundle ended: those that went along, waiting again.
    pub(super) fn disembark(&mut self, seq: Seq) -> Vec<Seq> {
        if self.begun(seq).is_none() {
            return Vec::new();
        }
        let aboard = std::mem::take(&mut self.aboard);
        for follower in &aboard {
            if let Some(item) = self.items.get_mut(follower) {
                item.stage = Stage::Idle;
            }
        }
        aboard
    }
}
