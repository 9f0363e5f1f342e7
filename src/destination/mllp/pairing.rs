//! Which message an answer belongs to. Pure: no socket, time as an argument.
//!
//! An answer is credited to the oldest message that still waits for one of its kind, and only when its
//! MSA-2 is that message's MSH-10. Anything else is foreign: the connection can no longer be trusted.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::Instant;

use crate::destination::mllp::answer::Ack;
use crate::destination::mllp::options::{CommitAck, ControlIdCheck};

/// The messages of one connection that wait for their answer, oldest first. `T` is whom to tell.
#[derive(Debug)]
pub(super) struct Pairing<T> {
    commit: CommitAck,
    check: ControlIdCheck,
    waiting: VecDeque<Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    control_id: Bytes,
    ticket: T,
    deadline: Instant,
    is_committed: bool,
}

/// What an answer turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Paired<T> {
    /// It ends the wait of this message.
    Done(T),
    /// The message is committed; its application acknowledgement is still to come.
    Committed,
    /// Messages wait, and it belongs to none of them.
    Foreign,
    /// No message waits: a second answer, or one that came after its message was given up.
    Late,
}

impl<T> Pairing<T> {
    pub(super) const fn new(commit: CommitAck, check: ControlIdCheck) -> Self {
        Self { commit, check, waiting: VecDeque::new() }
    }

    /// A message was written whole and waits from now on.
    pub(super) fn sent(&mut self, control_id: Bytes, ticket: T, deadline: Instant) {
        self.waiting.push_back(Waiting { control_id, ticket, deadline, is_committed: false });
    }

    /// An answer came. `later` is the deadline of the application acknowledgement after a commit one.
    pub(super) fn answered(&mut self, ack: &Ack, later: Instant) -> Paired<T> {
        if self.waiting.is_empty() {
            return Paired::Late;
        }
        let is_first_of_two = self.commit == CommitAck::Wait && ack.code.is_commit();
        let position = if is_first_of_two {
            self.waiting.iter().position(|waiting| !waiting.is_committed)
        } else {
            Some(0)
        };
        let Some(position) = position else { return Paired::Foreign };
        let Some(waiting) = self.waiting.get_mut(position) else { return Paired::Foreign };
        if self.check == ControlIdCheck::Required && waiting.control_id != ack.control_id {
            return Paired::Foreign;
        }
        if is_first_of_two && ack.is_commit_accept() {
            waiting.is_committed = true;
            waiting.deadline = later;
            return Paired::Committed;
        }
        self.waiting
            .remove(position)
            .map_or(Paired::Foreign, |waiting| Paired::Done(waiting.ticket))
    }

    /// The moment at which the first wait ends without an answer.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.deadline).min()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// All that wait, oldest first, each with its deadline: the connection is given up.
    pub(super) fn give_up(&mut self) -> impl Iterator<Item = (T, Instant)> {
        self.waiting.drain(..).map(|waiting| (waiting.ticket, waiting.deadline))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::mllp::answer::AckCode;
    use std::time::Duration;

    fn ack(code: AckCode, id: &'static str) -> Ack {
        Ack { code, control_id: Bytes::from_static(id.as_bytes()), text: String::new() }
    }

    fn pairing(commit: CommitAck, ids: &[&'static str]) -> (Pairing<&'static str>, Instant) {
        let now = Instant::now();
        let mut pairing = Pairing::new(commit, ControlIdCheck::Required);
        for id in ids {
            pairing.sent(Bytes::from_static(id.as_bytes()), *id, now + Duration::from_secs(30));
        }
        (pairing, now)
    }

    #[test]
    fn answers_are_credited_in_order_by_id() {
        let (mut pairing, now) = pairing(CommitAck::Final, &["1", "2", "3"]);
        assert_eq!(pairing.answered(&ack(AckCode::Aa, "1"), now), Paired::Done("1"));
        assert_eq!(pairing.answered(&ack(AckCode::Ca, "2"), now), Paired::Done("2"));
        assert_eq!(pairing.answered(&ack(AckCode::Ae, "3"), now), Paired::Done("3"));
        assert_eq!(pairing.answered(&ack(AckCode::Aa, "3"), now), Paired::Late);
    }

    #[test]
    fn an_answer_out_of_order_or_with_another_id_is_foreign() {
        let (mut pairing, now) = pairing(CommitAck::Final, &["1", "2"]);
        assert_eq!(pairing.answered(&ack(AckCode::Aa, "2"), now), Paired::Foreign);
        assert_eq!(pairing.answered(&ack(AckCode::Aa, ""), now), Paired::Foreign);
        assert_eq!(pairing.answered(&ack(AckCode::Aa, "01"), now), Paired::Foreign);
        let left: Vec<_> = pairing.give_up().map(|(id, _)| id).collect();
        assert_eq!(left, ["1", "2"]);
        assert!(pairing.is_empty());
    }

    #[test]
    fn the_id_may_be_ignored() {
        let now = Instant::now();
        let mut pairing = Pairing::new(CommitAck::Final, ControlIdCheck::Ignored);
        pairing.sent(Bytes::from_static(b"1"), 1, now);
        assert_eq!(pairing.answered(&ack(AckCode::Aa, "x"), now), Paired::Done(1));
    }

    #[test]
    fn after_the_commit_the_application_is_waited_for() {
        let (mut pairing, now) = pairing(CommitAck::Wait, &["1", "2"]);
        let later = now + Duration::from_secs(60);
        assert_eq!(pairing.answered(&ack(AckCode::Ca, "1"), later), Paired::Committed);
        assert_eq!(pairing.deadline(), Some(now + Duration::from_secs(30)));
        assert_eq!(pairing.answered(&ack(AckCode::Ca, "2"), later), Paired::Committed);
        assert_eq!(pairing.deadline(), Some(later));
        assert_eq!(pairing.answered(&ack(AckCode::Ca, "2"), later), Paired::Foreign);
        assert_eq!(pairing.answered(&ack(AckCode::Aa, "1"), later), Paired::Done("1"));
        assert_eq!(pairing.answered(&ack(AckCode::Ar, "2"), later), Paired::Done("2"));
    }

    #[test]
    fn a_commit_refusal_ends_the_wait() {
        let (mut pairing, now) = pairing(CommitAck::Wait, &["1", "2"]);
        assert_eq!(pairing.answered(&ack(AckCode::Ca, "1"), now), Paired::Committed);
        assert_eq!(pairing.answered(&ack(AckCode::Cr, "2"), now), Paired::Done("2"));
        assert_eq!(pairing.len(), 1);
    }
}
