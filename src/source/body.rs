//! Bodies of HTTP requests, read within their limit, their time and the budget of all connections.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};

use crate::source::budget::Share;

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// It is larger than allowed.
    TooLarge,
    /// It ended early.
    Incomplete,
    /// It came too slowly.
    TooSlow,
    /// Other connections hold all there is.
    NoRoom,
}

/// Reads a body. `share` holds it from now on.
pub(super) async fn read(
    mut body: Incoming,
    bytes_max: usize,
    within: Duration,
    share: &mut Share,
) -> Result<Bytes, BodyFault> {
    if body.size_hint().lower() > u64::try_from(bytes_max).unwrap_or(u64::MAX) {
        return Err(BodyFault::TooLarge);
    }
    let deadline = Instant::now() + within;
    let mut read = BytesMut::new();
    loop {
        let part = match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(part))) => part,
            Ok(Some(Err(_))) => return Err(BodyFault::Incomplete),
            Ok(None) => return Ok(read.freeze()),
            Err(_) => return Err(BodyFault::TooSlow),
        };
        // Trailers say nothing that is needed.
        let Ok(part) = part.into_data() else { continue };
        let size = read.len().saturating_add(part.len());
        if size > bytes_max {
            return Err(BodyFault::TooLarge);
        }
        // The buffer doubles when it grows.
        let room = share.room(size.saturating_mul(2));
        timeout_at(deadline, room).await.map_err(|_| BodyFault::NoRoom)?;
        read.extend_from_slice(&part);
    }
}
