//! The answer to a batch: a batch of acknowledgements.

use bytes::Bytes;

use crate::hl7::batch::{Batch, Envelope, Form};
use crate::hl7::segment::SegmentRef;

/// The answer to `batch`, given the answer to each message in its order (`None` where none is owed, so
/// that senders who asked for errors only get only those). `control_id` and `at` become BHS-11 and BHS-7.
/// A single message's answer stands alone; loose messages' answers follow each other.
///
/// `None` when there were messages and none is owed an answer.
#[must_use]
pub fn reply(
    batch: &Batch,
    answers: &[Option<Bytes>],
    control_id: &str,
    at: &str,
) -> Option<Bytes> {
    let given = answers.iter().flatten().count();
    if given == 0 && !batch.messages.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(answers.iter().flatten().map(Bytes::len).sum::<usize>());
    if batch.form != Form::Enveloped {
        out.extend(answers.iter().flatten().flat_map(|answer| answer.iter().copied()));
        return Some(out.into());
    }
    if let Some(file) = &batch.file {
        header(&mut out, *b"FHS", file, control_id, at);
    }
    let mut groups = 0_usize;
    for (number, group) in batch.groups.iter().enumerate() {
        let members = batch.messages.iter().zip(answers).filter(|(m, _)| m.group == number);
        let own: Vec<&Bytes> = members.filter_map(|(_, answer)| answer.as_ref()).collect();
        if own.is_empty() && group.count > 0 {
            continue;
        }
        if let Some(envelope) = &group.header {
            header(&mut out, *b"BHS", envelope, control_id, at);
        }
        for answer in &own {
            out.extend_from_slice(answer);
        }
        if let Some(envelope) = &group.header {
            groups = groups.saturating_add(1);
            trailer(&mut out, *b"BTS", envelope, own.len());
        }
    }
    if let Some(file) = &batch.file {
        trailer(&mut out, *b"FTS", file, groups);
    }
    Some(out.into())
}

/// Delimiters as they came, 3 to 6 with their places changed, 12 naming what is answered.
fn header(out: &mut Vec<u8>, id: [u8; 3], incoming: &Envelope, control_id: &str, at: &str) {
    let segment: SegmentRef<'_> = incoming.segment();
    let field = |number| segment.field_bytes(number).unwrap_or_default();
    let answered = incoming.control_id();
    let fields: [&[u8]; 11] = [
        field(2),
        field(5),
        field(6),
        field(3),
        field(4),
        at.as_bytes(),
        b"",
        b"",
        b"",
        control_id.as_bytes(),
        answered,
    ];
    let kept = if answered.is_empty() { 10 } else { 11 };
    out.extend_from_slice(&id);
    for field in fields.iter().take(kept) {
        out.push(segment.separators.field);
        out.extend_from_slice(field);
    }
    out.push(b'\r');
}

fn trailer(out: &mut Vec<u8>, id: [u8; 3], incoming: &Envelope, count: usize) {
    out.extend_from_slice(&id);
    out.push(incoming.segment().separators.field);
    out.extend_from_slice(count.to_string().as_bytes());
    out.push(b'\r');
}
