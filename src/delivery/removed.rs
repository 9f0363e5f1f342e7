//! Stands where a destination was that no channel has any more: sends nothing. What waits there is still
//! counted, can be skipped or set aside by a person, and goes on when the destination is configured again.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::destination::{Destination, EndpointView};
use crate::message::outcome::{Answer, Outbound, Outcome, Scope};

/// Nobody to send to.
pub(super) struct Removed;

#[async_trait]
impl Destination for Removed {
    async fn send(&self, _outbound: &Outbound, _stop: &CancellationToken) -> Outcome {
        Outcome::Failed {
            answer: Answer::new("removed", "no channel has this destination any more"),
            scope: Scope::Endpoint,
            retry_after: None,
        }
    }

    fn endpoints(&self) -> Vec<EndpointView> {
        Vec::new()
    }
}
