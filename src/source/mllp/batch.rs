//! The answer to a batch: one batch of acknowledgements, only the errors, or a single one.

use bytes::Bytes;

use crate::hl7::header::Header;
use crate::message::id::MessageId;
use crate::message::time::Timestamp;
use crate::message::verdict::Problem;
use crate::source::batch::{Batch, field};
use crate::source::intake::{Received, Reply};
use crate::source::mllp::answer::{Due, control_id, due, moment};
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
    match options.batch_reply {
        BatchReply::Single => single(batch, told, options),
        BatchReply::Individual => several(batch, told, |_| true),
        BatchReply::ErrorsOnly => {
            several(batch, told, |reply| !matches!(reply, Reply::Accepted { .. }))
        }
    }
}

/// The refusal of the batch as a whole, whatever the reply mode: a single acknowledgement.
pub(super) fn refusal(
    batch: &Batch,
    whole: &Received,
    problem: Problem,
    options: &AckOptions,
) -> Due {
    let line = header_of(batch, batch.messages.first());
    due(Header::read(&line).ok().as_ref(), &Reply::Refused(problem), options, whole.at)
}

fn single(batch: &Batch, told: &[Told], options: &AckOptions) -> Due {
    // The worst of the replies speaks for all; the first of the accepted ones names the answer.
    let worst = |wanted: fn(&Reply) -> bool| told.iter().find(|(_, reply, _)| wanted(reply));
    let speaks = worst(|reply| matches!(reply, Reply::Unavailable { .. }))
        .or_else(|| worst(|reply| matches!(reply, Reply::Refused(_))))
        .or_else(|| told.first());
    let Some((received, reply, _)) = speaks else { return Due::default() };
    let line = header_of(batch, Some(received.payload.expose()));
    due(Header::read(&line).ok().as_ref(), reply, options, received.at)
}

/// A header for the answer to the batch itself: its names and its id, the rest as its message says.
fn header_of(batch: &Batch, message: Option<&Bytes>) -> Vec<u8> {
    let first = message.and_then(|bytes| Header::read_best_effort(bytes));
    let own = if batch.header.is_empty() { message } else { Some(&batch.header) };
    let own = own.map(|bytes| &bytes[..]).unwrap_or_default();
    let separator = own.get(3).copied().unwrap_or(b'|');
    let of_message = |number| first.map(|header| header.field(number)).unwrap_or_default();
    let fields = [
        b"MSH".as_slice(),
        field(own, 2),
        field(own, 3),
        field(own, 4),
        field(own, 5),
        field(own, 6),
        field(own, 7),
        b"",
        of_message(9),
        batch.control_id(),
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

/// `BHS`, the acknowledgements of the chosen messages, `BTS` with their number. Nothing when no
/// message of the batch wants an answer.
fn several(batch: &Batch, told: &[Told], chosen: impl Fn(&Reply) -> bool) -> Due {
    if told.iter().all(|(.., due)| due.acks.is_empty()) {
        return Due::default();
    }
    let acks: Vec<_> = told
        .iter()
        .filter(|(_, reply, _)| chosen(reply))
        .flat_map(|(.., due)| due.acks.iter())
        .collect();
    let (id, at) = named_after(told);
    let separator = batch.header.get(3).copied().unwrap_or(b'|');
    let own = |number| field(&batch.header, number);
    let encoding = if own(2).is_empty() { b"^~\\&" } else { own(2) };
    let (at, id) = (moment(at), control_id(id, "batch-ack"));
    let header = [
        b"BHS".as_slice(),
        encoding,
        own(5),
        own(6),
        own(3),
        own(4),
        at.as_bytes(),
        b"",
        b"",
        b"",
        id.as_bytes(),
        batch.control_id(),
    ];
    let mut answer = header.join(&separator);
    answer.push(b'\r');
    for ack in &acks {
        answer.extend_from_slice(ack);
    }
    answer.extend_from_slice(b"BTS");
    answer.push(separator);
    answer.extend_from_slice(acks.len().to_string().as_bytes());
    answer.push(b'\r');
    Due { acks: vec![answer.into()], close: false }
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
