//! Messages whose bytes are being handed to the socket: one, or several in one go. Pure: no socket.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::destination::mllp::connection::Request;

/// When so many bytes are together, no further message joins them.
pub(super) const TOGETHER_BYTES_MAX: usize = 64 << 10;

/// Messages on their way into the socket, in order.
pub(super) struct Writing {
    requests: VecDeque<Placed>,
    bytes: Bytes,
    written: usize,
    /// Until when all of them must have been handed over.
    pub(super) deadline: Instant,
}

/// A message, and where its frame ends among the bytes.
struct Placed {
    request: Request,
    end: usize,
}

impl Writing {
    pub(super) fn new(requests: Vec<Request>, deadline: Instant) -> Self {
        let bytes = match requests.as_slice() {
            [one] => one.frame.clone(),
            several => {
                let size = several.iter().map(|request| request.frame.len()).sum();
                let mut bytes = BytesMut::with_capacity(size);
                several.iter().for_each(|request| bytes.extend_from_slice(&request.frame));
                bytes.freeze()
            }
        };
        let mut end = 0_usize;
        let placed = requests.into_iter().map(|request| {
            end = end.saturating_add(request.frame.len());
            Placed { request, end }
        });
        Self { requests: placed.collect(), bytes, written: 0, deadline }
    }

    /// What the socket does not have yet.
    pub(super) fn left(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// The socket took so many bytes more.
    pub(super) fn wrote(&mut self, count: usize) {
        self.written = self.written.saturating_add(count);
    }

    /// Whether the socket has every byte of the first message.
    pub(super) fn is_first_whole(&self) -> bool {
        self.requests.front().is_some_and(|placed| placed.end <= self.written)
    }

    /// Whether the socket has every byte of every message.
    pub(super) fn is_whole(&self) -> bool {
        self.left().is_empty()
    }

    /// The first message, if the socket has every byte of it.
    pub(super) fn take_whole(&mut self) -> Option<Request> {
        if self.is_first_whole() { self.take_first() } else { None }
    }

    /// The first message, however much of it was written.
    pub(super) fn take_first(&mut self) -> Option<Request> {
        self.requests.pop_front().map(|placed| placed.request)
    }

    /// All that are left, each with how many of its bytes the socket has.
    pub(super) fn into_parts(self) -> impl Iterator<Item = (Request, usize)> {
        let written = self.written;
        self.requests.into_iter().map(move |Placed { request, end }| {
            let size = request.frame.len();
            let begin = end.saturating_sub(size);
            let part = written.saturating_sub(begin).min(size);
            (request, part)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn writing(frames: &[&'static str]) -> Writing {
        let requests = frames.iter().map(|frame| Request {
            frame: Bytes::from_static(frame.as_bytes()),
            control_id: Bytes::from_static(frame.as_bytes()),
            reply: oneshot::channel().0,
        });
        Writing::new(requests.collect(), Instant::now())
    }

    #[test]
    fn each_message_is_whole_when_its_last_byte_was_taken() {
        let mut writing = writing(&["abc", "de", "f"]);
        assert_eq!(writing.left(), b"abcdef");
        writing.wrote(2);
        assert!(!writing.is_first_whole() && writing.take_whole().is_none());
        writing.wrote(3);
        let whole = std::iter::from_fn(|| writing.take_whole());
        assert_eq!(whole.map(|request| request.control_id).collect::<Vec<_>>(), ["abc", "de"]);
        assert!(!writing.is_whole());
        writing.wrote(1);
        assert!(writing.is_whole() && writing.take_whole().is_some());
    }

    #[test]
    fn what_is_left_says_how_much_of_each_was_taken() {
        let mut writing = writing(&["abc", "de", "f"]);
        writing.wrote(4);
        assert_eq!(writing.take_first().unwrap().control_id, "abc");
        let parts: Vec<_> =
            writing.into_parts().map(|(request, part)| (request.frame, part)).collect();
        assert_eq!(parts, [(Bytes::from_static(b"de"), 1), (Bytes::from_static(b"f"), 0)]);
    }
}
