//! What turns a stored message into what is sent. Implemented by the engine over its channels.

use crate::message::StoredMessage;
use crate::message::id::{DestinationId, VersionId};
use crate::message::verdict::Rendered;

/// Renders a message for one destination under one channel version. CPU only: no I/O, no waiting.
pub trait Render: Send + Sync {
    /// The same inputs always give the same result, the id of the outbound included. May panic: that is
    /// caught, and a delivery that panics twice is held.
    fn render(
        &self,
        destination: DestinationId,
        version: VersionId,
        message: &StoredMessage,
    ) -> Rendered;

    /// The same for several in one call, in the order of the log; called for destinations with `together`
    /// alone.
    fn render_together(
        &self,
        destination: DestinationId,
        version: VersionId,
        messages: &[&StoredMessage],
    ) -> Rendered;
}
