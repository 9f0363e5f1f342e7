//! A received batch as the messages it holds, each with its place as context.

use bytes::Bytes;

use crate::hl7::batch::{self, Envelope, Form};
use crate::hl7::raw::SegmentEnds;
use crate::message::payload::Payload;
use crate::message::verdict::Problem;
use crate::source::intake::Received;

/// Whether several messages need a batch header to be a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Headers {
    /// Only what has FHS or BHS is a batch: in a frame, loose messages are a fault of framing.
    Needed,
    /// Several MSH one after another are one too: usual in files.
    Optional,
}

/// What bytes are.
#[derive(Debug)]
pub(crate) enum Read {
    /// One message, or nothing that could be divided.
    One,
    /// A batch.
    Batch(batch::Batch),
    /// A batch by its header that cannot be divided: the reason is the sender's answer.
    Broken(Problem),
}

/// Divides `bytes`.
pub(crate) fn read(bytes: &Bytes, headers: Headers) -> Read {
    let start = bytes.iter().position(|byte| byte.is_ascii_uppercase());
    let first = start.and_then(|start| bytes.get(start..)).and_then(<[u8]>::first_chunk::<3>);
    let has_header = matches!(first, Some(b"FHS" | b"BHS"));
    // A frame with one message, the usual case, is not scanned for others.
    if headers == Headers::Needed && !has_header {
        return Read::One;
    }
    match batch::Batch::split(bytes, SegmentEnds::Lenient) {
        Ok(batch) if batch.form != Form::Single => Read::Batch(batch),
        Err(error) if has_header => Read::Broken(error.problem()),
        Ok(_) | Err(_) => Read::One,
    }
}

/// What is wrong with the batch as a whole, in words without content.
pub(crate) fn fault(batch: &batch::Batch, messages_max: usize) -> Option<String> {
    if batch.messages.len() > messages_max {
        return Some(format!("the batch has more than {messages_max} messages"));
    }
    let empty = || batch.messages.is_empty().then(|| "the batch holds no message".to_owned());
    batch.faults.first().map(ToString::to_string).or_else(empty)
}

/// The header that names the batch: its first BHS, or FHS where there is none.
pub(crate) fn header(batch: &batch::Batch) -> Option<&Envelope> {
    batch.groups.iter().find_map(|group| group.header.as_ref()).or(batch.file.as_ref())
}

/// The messages, each like `whole`, with their places in the batch; none when there are more than
/// `messages_max`, since each costs many times the few bytes it may consist of.
pub(crate) fn received(
    batch: &batch::Batch,
    whole: &Received,
    messages_max: usize,
) -> Vec<Received> {
    if batch.messages.len() > messages_max {
        return Vec::new();
    }
    let id = |group: usize| {
        let own = batch.groups.get(group).and_then(|group| group.header.as_ref());
        own.or(batch.file.as_ref()).map(Envelope::control_id).unwrap_or_default()
    };
    let message = |(index, member): (usize, &batch::Member)| {
        let mut received = whole.clone();
        received.payload = Payload::new(member.bytes.clone());
        let mut say = |name: &str, value: &str| {
            received.attributes.push((name.into(), value.into()));
        };
        say("batch.id", &String::from_utf8_lossy(id(member.group)));
        say("batch.index", &(index + 1).to_string());
        say("batch.count", &batch.messages.len().to_string());
        received
    };
    batch.messages.iter().enumerate().map(message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::time::Timestamp;

    fn check(text: &str, headers: Headers, expected: Option<(&[&str], &str)>) {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let whole =
            Received::new("adt".into(), Payload::new(bytes.clone()), Timestamp(1), String::new());
        let found = match read(&bytes, headers) {
            Read::Batch(batch) => Some(batch),
            Read::One => None,
            Read::Broken(problem) => panic!("{}", problem.text),
        };
        let found = found.map(|batch| {
            let place = |one: &Received| {
                ["batch.id", "batch.index", "batch.count"]
                    .map(|name| one.attribute(name).unwrap_or_default().to_owned())
                    .join(" ")
            };
            let places: Vec<_> = received(&batch, &whole, 3).iter().map(place).collect();
            (places, fault(&batch, 3).unwrap_or_default())
        });
        let expected = expected.map(|(places, fault)| {
            (places.iter().map(|&one| one.to_owned()).collect(), fault.to_owned())
        });
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn messages_know_their_place_and_batches_their_faults() {
        let msh = "MSH|^~\\&|1\r";
        let bhs = "BHS|^~\\&|A|B|||2026||||B7\r";
        let two = format!("{bhs}{msh}{msh}BTS|2\r");
        check(&two, Headers::Needed, Some((&["B7 1 2", "B7 2 2"], "")));
        check(msh, Headers::Optional, None);
        let loose = [msh, msh].concat();
        check(&loose, Headers::Needed, None);
        check(&loose, Headers::Optional, Some((&[" 1 2", " 2 2"], "")));
        let cut = format!("{bhs}{msh}");
        let words = "the batch or file has no trailer; it may have been cut off";
        check(&cut, Headers::Needed, Some((&["B7 1 1"], words)));
        let empty = format!("{bhs}BTS|0\r");
        check(&empty, Headers::Needed, Some((&[], "the batch holds no message")));
        let four = format!("{bhs}{}BTS|4\r", msh.repeat(4));
        check(&four, Headers::Needed, Some((&[], "the batch has more than 3 messages")));
    }

    #[test]
    fn a_batch_whose_delimiters_cannot_be_used_is_no_single_message() {
        let bytes = Bytes::from_static(b"BHS|^~\\&|A\rMSH|^^\\&|1\rBTS|1\r");
        let Read::Broken(problem) = read(&bytes, Headers::Needed) else { panic!("it was read") };
        assert!(problem.reject, "{}", problem.text);
    }
}
