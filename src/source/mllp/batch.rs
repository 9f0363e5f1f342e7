//! The answer to a batch: one batch of acknowledgements, only the errors, or a single one.

use bytes::Bytes;

use crate::hl7::ack::{Outcome, control_id, moment};
use crate::hl7::batch::{self, Batch};
use crate::hl7::header::Header;
use crate::message::id::MessageId;
use crate::message::time::Timestamp;
use crate::message::verdict::Problem;
use crate::source::batch::header;
use crate::source::intake::{Received, Reply};
use crate::source::mllp::answer::{Due, byte, due};
use crate::source::mllp::options::{AckMode, AckOptions, BatchReply};

/// What each message of the batch was told, and what its acknowledgements are.
pub(super) type Told = (Received, Reply, Due);

/// What leaves for the batch. Ends the connection when one of its messages would.
pub(super) fn reply(batch: &Batch, told: &[Told], options: &AckOptions) -> Due {
    if told.iter().any(|(.., due)| due.close) {
        return Due { acks: Vec::new(), close: true };
    }
    if options.mode == AckMode::None {
        return Due::default();
    }
    let has_error = told.iter().any(|(_, reply, _)| is_error(reply));
    if options.mode == AckMode::Byte {
        let outcome = if has_error { Outcome::Error } else { Outcome::Accept };
        return Due { acks: vec![byte(outcome)], close: false };
    }
    match options.batch_reply {
        BatchReply::Individual => several(batch, told, |_| true),
        BatchReply::ErrorsOnly if has_error => several(batch, told, is_error),
        // Silence would leave the sender waiting.
        BatchReply::ErrorsOnly | BatchReply::Single => single(batch, told, options),
    }
}

/// The refusal of the batch as a whole, whatever the reply mode: a single acknowledgement.
pub(super) fn refusal(
    batch: &Batch,
    whole: &Received,
    problem: Problem,
    options: &AckOptions,
) -> Due {
    let line = header_of(batch, batch.messages.first().map(|member| &member.bytes));
    due(Header::read(&line).ok().as_ref(), &Reply::Refused(problem), options, whole.at)
}

const fn is_error(reply: &Reply) -> bool {
    !matches!(reply, Reply::Accepted { .. })
}

/// The worst of the replies speaks for all; the first of the accepted ones names the answer.
fn single(batch: &Batch, told: &[Told], options: &AckOptions) -> Due {
    let first = |wanted: fn(&Reply) -> bool| told.iter().find(|(_, reply, _)| wanted(reply));
    let speaks = first(|reply| matches!(reply, Reply::Unavailable { .. }))
        .or_else(|| first(is_error))
        .or_else(|| told.first());
    let Some((received, reply, _)) = speaks else { return Due::default() };
    let line = header_of(batch, Some(received.payload.expose()));
    due(Header::read(&line).ok().as_ref(), reply, options, received.at)
}

/// A message header for the answer to the batch itself: the batch's names, delimiters and id (MSH-10
/// from BHS-11), the rest as its message says.
fn header_of(batch: &Batch, message: Option<&Bytes>) -> Vec<u8> {
    let first = message.and_then(|bytes| Header::read_best_effort(bytes));
    let of_message = |number| first.map(|header| header.field(number)).unwrap_or_default();
    let own = header(batch).map(|header| header.segment());
    let of_batch = |number| own.and_then(|own| own.field_bytes(number)).unwrap_or_default();
    let separator = own.map_or(b'|', |own| own.separators.field);
    let fields = [
        b"MSH".as_slice(),
        of_batch(2),
        of_batch(3),
        of_batch(4),
        of_batch(5),
        of_batch(6),
        of_batch(7),
        b"",
        of_message(9),
        of_batch(11),
        of_message(11),
        of_message(12),
        b"",
        b"",
        of_message(15),
        of_message(16),
        b"",
        of_message(18),
    ];
    fields.join(&separator)
}

/// A batch with the acknowledgements of the chosen messages. Nothing when none of them wants one.
fn several(batch: &Batch, told: &[Told], chosen: fn(&Reply) -> bool) -> Due {
    let answer = |(_, reply, due): &Told| {
        let wanted = chosen(reply) && !due.acks.is_empty();
        wanted.then(|| Bytes::from(due.acks.concat()))
    };
    let answers: Vec<_> = told.iter().map(answer).collect();
    let (id, at) = named_after(told);
    let answer = batch::reply(batch, &answers, &control_id(id, "batch-ack"), &moment(at));
    Due { acks: answer.into_iter().collect(), close: false }
}

/// The id and time of the first stored message, so that a repeated batch gets the same answer; a new
/// id when none was stored.
fn named_after(told: &[Told]) -> (MessageId, Timestamp) {
    let stored = told.iter().find_map(|(_, reply, _)| match reply {
        Reply::Accepted { id, received_at, .. } => Some((*id, *received_at)),
        Reply::Refused(_) | Reply::Unavailable { .. } => None,
    });
    let came = told.first().map(|(received, ..)| received.at).unwrap_or_default();
    stored.unwrap_or_else(|| (MessageId::new(), came))
}
