//! `traceparent` of calls (W3C Trace Context §3.2): whoever asks about a call names it, and the message is found.

use xxhash_rust::xxh3::xxh3_64;

use crate::message::id::MessageId;
use crate::message::time::Timestamp;

/// The header's name.
pub const TRACEPARENT: &str = "traceparent";

/// The header of one attempt. The trace is the message's id without dashes, the same for each attempt and each
/// receiver of the message; the span is the attempt's own.
#[must_use]
pub fn traceparent(message: MessageId, id: &str, at: Timestamp) -> String {
    let trace = u128::from_be_bytes(message.to_bytes());
    let mut own = id.as_bytes().to_vec();
    own.extend_from_slice(&at.0.to_be_bytes());
    // §3.2.2.4: all zeros are no span.
    let span = xxh3_64(&own).max(1);
    format!("00-{trace:032x}-{span:016x}-01")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_is_the_message_and_the_span_the_attempt() {
        let message = MessageId::new();
        let first = traceparent(message, "a", Timestamp(1));
        let plain = message.to_string().replace('-', "");
        assert_eq!(first.split('-').nth(1), Some(plain.as_str()));
        assert_eq!(first.len(), 55);
        let parts: Vec<String> =
            [traceparent(message, "a", Timestamp(2)), traceparent(message, "b", Timestamp(1))]
                .iter()
                .map(|other| other.split('-').nth(1).unwrap_or_default().to_owned())
                .collect();
        assert!(parts.iter().all(|trace| *trace == plain));
        assert_ne!(first, traceparent(message, "a", Timestamp(2)));
    }
}
