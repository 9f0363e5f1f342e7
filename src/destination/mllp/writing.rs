//! Messages whose bytes are being handed to the socket: one, or several in one go. Pure: no socket.

use std::collections::VecDeque;
use std::io::IoSlice;

use tokio::time::Instant;

use crate::destination::mllp::connection::Request;
use crate::destination::mllp::frames::Edges;

/// When so many bytes are together, no further message joins them.
pub(super) const TOGETHER_BYTES_MAX: usize = 64 << 10;

/// Pieces that one call hands to the socket, at most: three of each message.
pub(super) const PIECES_MAX: usize = 128;

/// Messages on their way into the socket, in order. Their bytes stay where they are.
pub(super) struct Writing {
    edges: Edges,
    requests: VecDeque<Placed>,
    size: usize,
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
    pub(super) fn new(edges: Edges, requests: Vec<Request>, deadline: Instant) -> Self {
        let mut size = 0_usize;
        let placed = requests.into_iter().map(|request| {
            size = size.saturating_add(edges.frame_size(&request.body));
            Placed { request, end: size }
        });
        let requests = placed.collect();
        Self { edges, requests, size, written: 0, deadline }
    }

    /// What the socket does not have yet, or the beginning of it: how many of the pieces are filled.
    pub(super) fn left<'w>(&'w self, pieces: &mut [IoSlice<'w>]) -> usize {
        let mut free = pieces.iter_mut();
        let mut filled = 0_usize;
        for Placed { request, end } in &self.requests {
            let begin = end.saturating_sub(self.edges.frame_size(&request.body));
            let mut had = self.written.saturating_sub(begin);
            for part in self.edges.around(&request.body) {
                let rest = part.get(had.min(part.len())..).unwrap_or_default();
                had = had.saturating_sub(part.len());
                if rest.is_empty() {
                    continue;
                }
                let Some(piece) = free.next() else { return filled };
                *piece = IoSlice::new(rest);
                filled = filled.saturating_add(1);
            }
        }
        filled
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
        self.written >= self.size
    }

    /// The first message, if the socket has every byte of it.
    pub(super) fn take_whole(&mut self) -> Option<Request> {
        if self.is_first_whole() { self.take_first() } else { None }
    }

    /// The first message, however much of it was written.
    pub(super) fn take_first(&mut self) -> Option<Request> {
        self.requests.pop_front().map(|placed| placed.request)
    }

    /// All that are left, each with how much of its frame the socket has.
    pub(super) fn into_parts(self) -> impl Iterator<Item = (Request, Part)> {
        let Self { edges, requests, written, .. } = self;
        requests.into_iter().map(move |Placed { request, end }| {
            let size = edges.frame_size(&request.body);
            let had = written.saturating_sub(end.saturating_sub(size)).min(size);
            // The message and the first end byte could pass for the whole.
            let part = match had {
                0 => Part::Nothing,
                had if had.saturating_add(edges.end_size()) > size => Part::Whole,
                _ => Part::Beginning,
            };
            (request, part)
        })
    }
}

/// How much of a frame the socket has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Nothing,
    Beginning,
    /// So much that a receiver may take it for the whole.
    Whole,
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use tokio::sync::oneshot;

    fn writing(frames: &[&'static str]) -> Writing {
        let requests = frames.iter().map(|frame| Request {
            body: Bytes::from_static(frame.as_bytes()),
            control_id: Bytes::from_static(frame.as_bytes()),
            reply: oneshot::channel().0,
        });
        Writing::new(Edges::new(b"<", b">!"), requests.collect(), Instant::now())
    }

    fn left(writing: &Writing, most: usize) -> String {
        let mut pieces = [IoSlice::new(&[]); 9];
        let filled = writing.left(&mut pieces[..most]);
        let texts = pieces[..filled].iter().map(|piece| str::from_utf8(piece).unwrap());
        texts.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_message_is_whole_when_its_last_byte_was_taken() {
        let mut writing = writing(&["abc", "de", "f"]);
        assert_eq!(left(&writing, 9), "< abc >! < de >! < f >!");
        assert_eq!(left(&writing, 4), "< abc >! <");
        writing.wrote(2);
        assert_eq!(left(&writing, 9), "bc >! < de >! < f >!");
        assert!(!writing.is_first_whole() && writing.take_whole().is_none());
        writing.wrote(9);
        assert_eq!(left(&writing, 9), "< f >!");
        let whole = std::iter::from_fn(|| writing.take_whole());
        assert_eq!(whole.map(|request| request.control_id).collect::<Vec<_>>(), ["abc", "de"]);
        assert!(!writing.is_whole());
        writing.wrote(3);
        assert_eq!(left(&writing, 9), "!");
        writing.wrote(1);
        assert!(writing.is_whole() && writing.take_whole().is_some());
        assert_eq!(left(&writing, 9), "");
    }

    #[test]
    fn what_is_left_says_how_much_of_each_was_taken() {
        let check = |written, expected: &[Part]| {
            let mut writing = writing(&["abc", "de"]);
            writing.wrote(written);
            let parts: Vec<_> = writing.into_parts().map(|(_, part)| part).collect();
            assert_eq!(parts, expected, "{written}");
        };
        check(0, &[Part::Nothing, Part::Nothing]);
        check(4, &[Part::Beginning, Part::Nothing]);
        check(5, &[Part::Whole, Part::Nothing]);
        check(6, &[Part::Whole, Part::Nothing]);
        check(9, &[Part::Whole, Part::Beginning]);
        check(10, &[Part::Whole, Part::Whole]);
        let mut writing = writing(&["abc", "de", "f"]);
        writing.wrote(8);
        assert_eq!(writing.take_first().unwrap().control_id, "abc");
        let parts: Vec<_> =
            writing.into_parts().map(|(request, part)| (request.body, part)).collect();
        let de = (Bytes::from_static(b"de"), Part::Beginning);
        assert_eq!(parts, [de, (Bytes::from_static(b"f"), Part::Nothing)]);
    }
}
