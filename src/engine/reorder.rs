//! A destination whose `order` or `order_by` was changed, also while the engine did not run. What was taken
//! before the change stands in other lanes than what comes after, so that a fence keeps the two in order: what
//! comes after waits until all before it is through.
//!
//! The order in force and the fence are kept with the destination, as a note in the store.

use serde_json::{Value, json};
use tracing::info;

use crate::config::channel_file::ChannelConfig;
use crate::delivery::Prepared;
use crate::engine::Engine;
use crate::message::id::{DestinationId, Seq};
use crate::store::{Change, StoreError};

/// Where a destination has its fence.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewFence {
    destination: DestinationId,
    at: Seq,
    /// The order is another than before: everything up to the end of the log is of the old one.
    changed: bool,
}

impl Engine {
    /// The fences of a channel's destinations, and notes of their orders where those changed.
    pub(super) async fn new_fences(
        &self,
        channel: &ChannelConfig,
        destinations: &[DestinationId],
    ) -> Result<Vec<NewFence>, StoreError> {
        let notes = self.store.notes().await?;
        let head = self.store.status().head;
        let (mut fences, mut changes) = (Vec::new(), Vec::new());
        for (config, id) in channel.destinations.iter().zip(destinations) {
            let order = channel.channel.order_of(&config.name);
            let note = notes.iter().find(|(noted, _)| noted == id);
            let kept = note.and_then(|(_, body)| read(body));
            let fence = match &kept {
                Some((before, fence)) if before == order => *fence,
                Some(_) => Some(head),
                None => None,
            };
            let is_kept = kept.as_ref().is_some_and(|(before, _)| before == order);
            if !is_kept {
                changes.push(Change::Note(*id, written(order, fence)));
            }
            if let Some(at) = fence {
                fences.push(NewFence { destination: *id, at, changed: !is_kept });
            }
        }
        if !changes.is_empty() {
            self.store.record(changes).await?;
        }
        Ok(fences)
    }

    /// Puts fences before runners that run, and those that are about to.
    pub(super) fn put_fences(&self, fences: &[NewFence], prepared: &[Prepared]) {
        for NewFence { destination, at, changed } in fences {
            // What was taken since is of the old order too.
            let at = if *changed { self.store.status().head.max(*at) } else { *at };
            if *changed {
                let name = self.destination_name(*destination);
                info!(
                    destination = name,
                    "its order was changed: what was taken before goes first"
                );
            }
            match prepared.iter().find(|prepared| prepared.id() == *destination) {
                Some(prepared) => prepared.fence(at),
                // One that stopped by itself meanwhile sends nothing.
                None => drop(self.deliveries.fence(*destination, at)),
            }
        }
    }
}

fn written(order: &str, fence: Option<Seq>) -> Box<[u8]> {
    let note = json!({"order": order, "fence": fence.map(|fence| fence.0)});
    note.to_string().into_bytes().into()
}

fn read(body: &[u8]) -> Option<(String, Option<Seq>)> {
    let note: Value = serde_json::from_slice(body).ok()?;
    let order = note.get("order")?.as_str()?.to_owned();
    Some((order, note.get("fence").and_then(Value::as_i64).map(Seq)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_back_and_one_of_a_subscription_is_none() {
        let check = |order: &str, fence| {
            let expected = (order.to_owned(), fence);
            assert_eq!(read(&written(order, fence)), Some(expected));
        };
        check("PID-3(MR).1", None);
        check("strict", Some(Seq(81)));
        assert_eq!(read(br#"{"failures": 3, "failing_since": 1, "last_success": 0}"#), None);
    }
}
