//! HL7 v2 batches: `[FHS] { [BHS] { MSH … } [BTS] } [FTS]` (HL7 v2.5.1 §2.10.3) divided into messages.
//!
//! Messages are slices of what came, byte for byte; headers and trailers are context and are checked.

use std::ops::Range;

use bytes::Bytes;

use crate::message::payload::Payload;
use crate::source::intake::Received;

/// Whether several messages need a batch header to be a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Headers {
    /// Only what begins with FHS or BHS is a batch (a frame).
    Needed,
    /// Several MSH one after another are one too (a file).
    Optional,
}

/// A batch, divided.
#[derive(Debug, Clone, Default)]
pub(crate) struct Batch {
    /// Its messages, with their segment ends.
    pub(crate) messages: Vec<Bytes>,
    /// The first BHS, or the FHS when there is none; empty without either.
    pub(crate) header: Bytes,
    /// What is wrong with it as a whole, in words without content.
    pub(crate) fault: Option<String>,
}

#[derive(Default)]
struct Reading {
    /// Where the open message begins.
    open: Option<usize>,
    messages: Vec<Range<usize>>,
    file_header: Range<usize>,
    batch_header: Range<usize>,
    batches: usize,
    in_batch: usize,
    fault: Option<String>,
}

impl Batch {
    /// Divides `bytes`; `None` when they are no batch.
    pub(crate) fn read(bytes: &Bytes, headers: Headers) -> Option<Self> {
        let first = lines(bytes).find(|line| !line.is_empty()).and_then(|line| id(bytes, &line));
        match (first, headers) {
            (Some(b"FHS" | b"BHS"), _) => {}
            (Some(b"MSH"), Headers::Optional) => {
                let is_header = |line: &Range<usize>| id(bytes, line) == Some(b"MSH");
                lines(bytes).filter(is_header).nth(1)?;
            }
            _ => return None,
        }
        let mut reading = Reading::default();
        for line in lines(bytes) {
            reading.take(bytes, &line);
        }
        reading.close(bytes.len());
        let header = match &reading.batch_header {
            none if none.is_empty() => reading.file_header.clone(),
            header => header.clone(),
        };
        if reading.messages.is_empty() && reading.fault.is_none() {
            reading.fault = Some("the batch holds no message".to_owned());
        }
        let messages = reading.messages.into_iter().map(|range| bytes.slice(range)).collect();
        Some(Self { messages, header: bytes.slice(header), fault: reading.fault })
    }

    /// BHS-11 (or FHS-11): what the sender calls the batch.
    pub(crate) fn control_id(&self) -> &[u8] {
        field(&self.header, 11)
    }

    /// The messages as received: each like `whole`, with its place in the batch.
    pub(crate) fn received(&self, whole: &Received) -> Vec<Received> {
        let id: Box<str> = String::from_utf8_lossy(self.control_id()).into();
        let place = |index: usize| {
            let mut attributes = whole.attributes.clone();
            attributes.push(("batch.id".into(), id.clone()));
            attributes.push(("batch.index".into(), (index + 1).to_string().into()));
            attributes.push(("batch.count".into(), self.messages.len().to_string().into()));
            attributes
        };
        let message = |(index, bytes): (usize, &Bytes)| Received {
            payload: Payload::new(bytes.clone()),
            attributes: place(index),
            ..whole.clone()
        };
        self.messages.iter().enumerate().map(message).collect()
    }
}

impl Reading {
    fn take(&mut self, bytes: &Bytes, line: &Range<usize>) {
        let text = bytes.get(line.clone()).unwrap_or_default();
        match id(bytes, line) {
            Some(b"MSH") => {
                self.close(line.start);
                self.open = Some(line.start);
                self.in_batch += 1;
            }
            Some(b"FHS") => {
                self.close(line.start);
                self.file_header = line.clone();
            }
            Some(b"BHS") => {
                self.close(line.start);
                if self.batch_header.is_empty() {
                    self.batch_header = line.clone();
                }
                self.batches += 1;
                self.in_batch = 0;
            }
            Some(b"BTS") => {
                self.close(line.start);
                self.compare(field(text, 1), self.in_batch, "BTS-1", "messages");
                self.in_batch = 0;
            }
            Some(b"FTS") => {
                self.close(line.start);
                self.compare(field(text, 1), self.batches, "FTS-1", "batches");
            }
            _ if self.open.is_none() && !text.iter().all(u8::is_ascii_whitespace) => {
                self.fault.get_or_insert_with(|| {
                    format!("a segment at byte {} belongs to no message of the batch", line.start)
                });
            }
            _ => {}
        }
    }

    fn close(&mut self, end: usize) {
        if let Some(start) = self.open.take() {
            self.messages.push(start..end);
        }
    }

    /// A trailer's count must be that of what came; an empty one says nothing.
    fn compare(&mut self, said: &[u8], found: usize, place: &str, what: &str) {
        let said = String::from_utf8_lossy(said);
        let said = said.trim();
        if !said.is_empty() && said.parse() != Ok(found) {
            self.fault.get_or_insert_with(|| {
                format!("{place} does not say {found}, the number of {what} that came")
            });
        }
    }
}

/// The lines of `bytes`, without their ends.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let end = memchr::memchr2(b'\r', b'\n', rest).map_or(bytes.len(), |found| at + found);
        let line = at..end;
        at = end.saturating_add(1);
        Some(line)
    })
}

fn id<'b>(bytes: &'b [u8], line: &Range<usize>) -> Option<&'b [u8; 3]> {
    bytes.get(line.clone()).and_then(|line| line.first_chunk())
}

/// A field of a header or trailer, which is divided by the byte behind its name.
pub(crate) fn field(segment: &[u8], number: usize) -> &[u8] {
    let Some(separator) = segment.get(3) else { return &[] };
    // Of a header the separator itself is field 1.
    let is_header = matches!(segment.first_chunk(), Some(b"FHS" | b"BHS" | b"MSH"));
    let nth = if is_header { number.saturating_sub(1) } else { number };
    segment.split(|byte| byte == separator).nth(nth).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, headers: Headers, expected: Option<(&[&str], &str)>) {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let found = Batch::read(&bytes, headers).map(|batch| {
            let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
            let messages: Vec<_> = batch.messages.iter().map(text).collect();
            (messages, batch.fault.unwrap_or_default())
        });
        let expected = expected.map(|(messages, fault)| {
            (messages.iter().map(|&one| one.to_owned()).collect(), fault.to_owned())
        });
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn a_batch_is_divided_at_its_messages() {
        let both = "FHS|^~\\&\rBHS|^~\\&\rMSH|1\rPID|a\rMSH|2\rBTS|2\rFTS|1\r";
        check(both, Headers::Needed, Some((&["MSH|1\rPID|a\r", "MSH|2\r"], "")));
        check("BHS|^~\\&\nMSH|1\nBTS\n", Headers::Needed, Some((&["MSH|1\n"], "")));
        check("\r\nBHS|\r\nMSH|1\r\nBTS|1", Headers::Needed, Some((&["MSH|1\r\n"], "")));
        let two = "FHS|\rBHS|\rMSH|1\rBTS|1\rBHS|\rMSH|2\rMSH|3\rBTS|2\rFTS|2";
        check(two, Headers::Needed, Some((&["MSH|1\r", "MSH|2\r", "MSH|3\r"], "")));
        check("MSH|1\rPID|MSH\r", Headers::Optional, None);
        check("MSH|1\rMSH|2\r", Headers::Optional, Some((&["MSH|1\r", "MSH|2\r"], "")));
        check("MSH|1\rMSH|2\r", Headers::Needed, None);
        check("PID|1\rMSH|2\r", Headers::Optional, None);
        check("", Headers::Optional, None);
    }

    #[test]
    fn counts_and_strays_are_faults() {
        let fault = |text: &str, messages: &[&str], words: &str| {
            check(text, Headers::Needed, Some((messages, words)));
        };
        let wrong = "BTS-1 does not say 1, the number of messages that came";
        fault("BHS|\rMSH|1\rBTS|2\r", &["MSH|1\r"], wrong);
        let wrong = "FTS-1 does not say 1, the number of batches that came";
        fault("FHS|\rBHS|\rMSH|1\rBTS|1\rFTS|x\r", &["MSH|1\r"], wrong);
        fault("BHS|\rBTS|0\r", &[], "the batch holds no message");
        let stray = "a segment at byte 5 belongs to no message of the batch";
        fault("BHS|\rPID|1\rMSH|1\r", &["MSH|1\r"], stray);
    }

    #[test]
    fn a_batch_has_a_name_in_its_own_delimiters() {
        let bytes = Bytes::from_static(b"BHS#*!%$#A#B#C#D#2026####B77#\rMSH#1\r");
        let batch = Batch::read(&bytes, Headers::Needed).unwrap();
        assert_eq!(batch.control_id(), b"B77");
        assert_eq!(field(&batch.header, 3), b"A");
    }
}
