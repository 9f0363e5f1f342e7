//! The search index: a tail in memory, and sorted runs in the table `message_key`.
//!
//! Keys arrive in no order (record numbers, accessions), and a B-tree page a key would cost more than
//! the message itself. So they gather here, sorted, and every few thousand messages the committer
//! writes them in order, a piece with each commit. What is not yet in a run is rebuilt at start from
//! the messages themselves, which hold their keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, params};

use crate::message::id::{DestinationId, MessageId, Seq};
use crate::message::time::Timestamp;
use crate::message::{KeyValue, StoredMessage};
use crate::store::sqlite::codec::{self, cut, put_number};
use crate::store::sqlite::dictionary::{KEY_CONTROL, KEY_EVENT, KEY_ID, event_key};
use crate::store::sqlite::queries;

/// A run is closed when the tail holds this many messages.
const RUN_MESSAGES: usize = 4096;
/// Or this many keys.
const RUN_KEYS: usize = 1 << 16;
/// Keys written with a commit, at least, while a run is being written.
const KEYS_PER_COMMIT: usize = 1024;
/// Bytes of a value that are indexed.
pub(super) const VALUE_BYTES_MAX: usize = 256;
/// Bytes of a value that stand in an entry of the tail itself: a public id, and most of what hospitals count with.
const FIRST_BYTES: usize = 16;

/// Name, value, place, in this order: as in `message_key`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    name: u32,
    /// The value's first bytes, then zeros. They mostly decide which of two comes first, without a look
    /// elsewhere in memory.
    first: [u8; FIRST_BYTES],
    /// Bytes of the value, but no more than one beyond `first`: of two that begin alike the shorter is the
    /// beginning of the other.
    size: usize,
    /// The whole value, where it does not fit into `first`.
    long: Box<[u8]>,
    seq: i64,
}

impl Entry {
    fn new(name: u32, value: &[u8], seq: i64) -> Self {
        let mut first = [0; FIRST_BYTES];
        for (to, from) in first.iter_mut().zip(value) {
            *to = *from;
        }
        let size = value.len().min(FIRST_BYTES + 1);
        let long = if size > FIRST_BYTES { value.into() } else { Box::default() };
        Self { name, first, size, long, seq }
    }

    fn value(&self) -> &[u8] {
        self.first.get(..self.size).unwrap_or(&self.long)
    }
}

/// A sorted set of keys, with what it spans.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// Each sorted, and each more than twice as large as the next: few to search, and an entry is moved
    /// seldom.
    parts: Vec<Vec<Entry>>,
    messages: usize,
    places: Option<(Seq, Seq)>,
    received: Option<(Timestamp, Timestamp)>,
    channels: BTreeSet<u32>,
}

impl Sorted {
    /// Adds messages.
    fn put(&mut self, messages: Vec<Indexed>) {
        let mut fresh = Vec::with_capacity(messages.iter().map(|one| one.keys.len()).sum());
        for Indexed { seq, received_at, channel, keys } in messages {
            self.messages += 1;
            let (from, to) = self.places.unwrap_or((seq, seq));
            self.places = Some((from.min(seq), to.max(seq)));
            let (from, to) = self.received.unwrap_or((received_at, received_at));
            self.received = Some((from.min(received_at), to.max(received_at)));
            self.channels.insert(channel);
            fresh.extend(keys);
        }
        fresh.sort_unstable();
        // A message may have a key twice.
        fresh.dedup();
        if !fresh.is_empty() {
            self.parts.push(fresh);
            self.settle(2);
        }
    }

    /// Puts the last parts together as long as one is less than `times` as large as the next.
    fn settle(&mut self, times: usize) {
        while let Some(mut last) = self.parts.pop() {
            let room = last.len().saturating_mul(times);
            let Some(before) = self.parts.last_mut().filter(|before| before.len() <= room) else {
                self.parts.push(last);
                return;
            };
            before.append(&mut last);
            // Two runs one behind the other: the stable sort merges them.
            before.sort();
        }
    }

    /// All in one part.
    fn close(&mut self) {
        self.settle(usize::MAX);
    }

    fn len(&self) -> usize {
        self.parts.iter().map(Vec::len).sum()
    }

    /// The entries from a place on, when all are in one part.
    fn from(&self, place: usize) -> &[Entry] {
        self.parts.first().and_then(|all| all.get(place..)).unwrap_or_default()
    }

    fn find(&self, name: u32, value: &[u8], into: &mut Vec<Seq>) {
        into.extend(self.between(name, value, value).map(|entry| Seq(entry.seq)));
    }

    /// Those with a value between two, in no order.
    fn between(&self, name: u32, from: &[u8], to: &[u8]) -> impl Iterator<Item = &Entry> {
        let from = Entry::new(name, from, i64::MIN);
        let to = Entry::new(name, to, i64::MAX);
        self.parts.iter().flat_map(move |part| {
            let begin = part.partition_point(|entry| *entry < from);
            let end = part.partition_point(|entry| *entry <= to);
            part.get(begin..end).unwrap_or_default()
        })
    }
}

/// What the index needs of one message.
#[derive(Debug)]
pub(super) struct Indexed {
    seq: Seq,
    received_at: Timestamp,
    channel: u32,
    keys: Vec<Entry>,
}

impl Indexed {
    /// From a message just written; `names` are the numbers of its keys' names.
    pub(super) fn new(message: &StoredMessage, channel: u32, names: &[u32]) -> Self {
        let StoredMessage { seq, envelope, events, .. } = message;
        let seq = *seq;
        let keys = names.iter().copied().zip(&envelope.keys).map(|(name, key)| (name, &key.value));
        let mut indexed = Self::bare(seq, envelope.id, envelope.received_at, channel);
        indexed.push(KEY_CONTROL, &envelope.control_id);
        for (name, value) in keys {
            indexed.push(name, value);
        }
        indexed.push_events(events);
        indexed
    }

    fn push_events(&mut self, events: &[(DestinationId, u64)]) {
        for (subscription, number) in events {
            let value = event_key(*subscription, *number);
            self.keys.push(Entry::new(KEY_EVENT, &value, self.seq.0));
        }
    }

    fn bare(seq: Seq, id: MessageId, received_at: Timestamp, channel: u32) -> Self {
        let keys = vec![Entry::new(KEY_ID, &id.to_bytes(), seq.0)];
        Self { seq, received_at, channel, keys }
    }

    fn push(&mut self, name: u32, value: &KeyValue) {
        let value = indexed_part(value.expose());
        if !value.is_empty() {
            self.keys.push(Entry::new(name, value, self.seq.0));
        }
    }
}

/// The part of a value that is indexed and searched.
pub(super) fn indexed_part(value: &str) -> &[u8] {
    cut(value, VALUE_BYTES_MAX).as_bytes()
}

/// The part of the index that is not yet in the database. Committed messages only.
#[derive(Debug, Default)]
pub(super) struct Tail {
    open: Sorted,
    /// The run being written.
    closing: Option<Arc<Sorted>>,
    /// Everything up to here is in finished runs.
    indexed_to: Seq,
}

impl Tail {
    /// Places of messages with this key that are not in a finished run, newest first.
    pub(super) fn find(&self, name: u32, value: &[u8]) -> Vec<Seq> {
        let mut found = Vec::new();
        self.open.find(name, value, &mut found);
        if let Some(closing) = &self.closing {
            closing.find(name, value, &mut found);
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.dedup();
        found
    }

    /// Values of a key between two, and their places, that are not in a finished run.
    pub(super) fn find_between(&self, name: u32, from: &[u8], to: &[u8]) -> Vec<(Box<[u8]>, Seq)> {
        let parts = std::iter::once(&self.open).chain(self.closing.as_deref());
        let found = parts.flat_map(|part| part.between(name, from, to));
        found.map(|entry| (entry.value().into(), Seq(entry.seq))).collect()
    }

    /// Everything up to here is in finished runs.
    pub(super) const fn indexed_to(&self) -> Seq {
        self.indexed_to
    }

    /// Adds messages that were committed.
    pub(super) fn put(&mut self, messages: Vec<Indexed>) {
        self.open.put(messages);
    }

    /// Closes the open part when it is large enough and no run is being written.
    pub(super) fn close(&mut self) -> Option<Arc<Sorted>> {
        let small = self.open.messages < RUN_MESSAGES && self.open.len() < RUN_KEYS;
        if self.closing.is_some() || small {
            return None;
        }
        let mut closed = std::mem::take(&mut self.open);
        closed.close();
        let closed = Arc::new(closed);
        self.closing = Some(Arc::clone(&closed));
        Some(closed)
    }

    /// The run that was being written is durable.
    pub(super) fn finish(&mut self, seq_to: Seq) {
        self.closing = None;
        self.indexed_to = self.indexed_to.max(seq_to);
    }

    /// Rebuilds the tail from the log after a start, and throws away what a crash left of a run.
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<(Self, RunWriter)> {
        let last = conn.query_row(queries::LAST_RUN, [], |row| Ok((row.get(0)?, row.get(1)?)));
        let (run, indexed_to) = match last {
            Err(rusqlite::Error::QueryReturnedNoRows) => (0, 0),
            other => other?,
        };
        conn.execute(queries::DELETE_UNFINISHED_RUNS, [run])?;
        let mut tail = Self { indexed_to: Seq(indexed_to), ..Self::default() };
        let mut fresh = Vec::new();
        let mut statement = conn.prepare(queries::KEYS_AFTER)?;
        let mut rows = statement.query([indexed_to])?;
        while let Some(row) = rows.next()? {
            let id = MessageId::from_bytes(row.get(1)?);
            let mut indexed =
                Indexed::bare(Seq(row.get(0)?), id, Timestamp(row.get(2)?), row.get(3)?);
            indexed.push(KEY_CONTROL, &KeyValue::new(row.get_ref(4)?.as_str()?));
            for (name, value) in codec::keys(row.get_ref(5)?.as_blob()?).unwrap_or_default() {
                indexed.push(name, &KeyValue::new(value));
            }
            let events = row.get_ref(6)?.as_blob_or_null()?;
            indexed.push_events(&events.and_then(codec::events).unwrap_or_default());
            fresh.push(indexed);
        }
        tail.open.put(fresh);
        Ok((tail, RunWriter { last_run: run, current: None }))
    }
}

/// Writes the closed part of the tail, a piece with each commit.
#[derive(Debug)]
pub(super) struct RunWriter {
    last_run: i64,
    /// The run that is being written, and how many of its keys are.
    current: Option<(Arc<Sorted>, usize)>,
}

/// What a piece changed in memory, to be kept when its commit succeeds.
#[derive(Debug)]
pub(super) struct Piece {
    written: usize,
    finished: Option<Seq>,
}

impl RunWriter {
    /// Writes the next piece inside the open transaction: at least twice as many keys as the batch
    /// brings, so that the tail stays bounded.
    pub(super) fn write(
        &mut self,
        conn: &Connection,
        close: impl FnOnce() -> Option<Arc<Sorted>>,
        keys_new: usize,
    ) -> rusqlite::Result<Option<Piece>> {
        if self.current.is_none() {
            self.current = close().map(|closed| (closed, 0));
        }
        let Some((run, written)) = &self.current else { return Ok(None) };
        let number = self.last_run + 1;
        let most = KEYS_PER_COMMIT.max(keys_new.saturating_mul(2));
        let rest = run.from(*written);
        let entries = rest.get(..most).unwrap_or(rest);
        insert_keys(conn, number, entries)?;
        let written = written + entries.len();
        if entries.len() == most {
            return Ok(Some(Piece { written, finished: None }));
        }
        let finished = Self::insert_run(conn, number, run)?;
        Ok(Some(Piece { written, finished: Some(finished) }))
    }

    fn insert_run(conn: &Connection, number: i64, run: &Sorted) -> rusqlite::Result<Seq> {
        let (from, to) = run.places.unwrap_or_default();
        let (received_from, received_to) = run.received.unwrap_or_default();
        let mut channels = Vec::new();
        for channel in &run.channels {
            put_number(&mut channels, u64::from(*channel));
        }
        conn.prepare_cached(queries::INSERT_RUN)?.execute(params![
            number,
            from.0,
            to.0,
            received_from.0,
            received_to.0,
            channels
        ])?;
        Ok(to)
    }

    /// The piece is durable. Answers the end of the run when it was the last of it.
    pub(super) fn keep(&mut self, piece: Piece) -> Option<Seq> {
        if piece.finished.is_some() {
            self.last_run += 1;
            self.current = None;
        } else if let Some((_, written)) = &mut self.current {
            *written = piece.written;
        }
        piece.finished
    }
}

/// Eight rows a statement: half of what a row costs is its statement.
fn insert_keys(conn: &Connection, run: i64, entries: &[Entry]) -> rusqlite::Result<()> {
    let (eights, rest) = entries.as_chunks::<8>();
    let mut insert = conn.prepare_cached(queries::INSERT_KEYS_8)?;
    for eight in eights {
        insert.raw_bind_parameter(1, run)?;
        for (place, entry) in eight.iter().enumerate() {
            insert.raw_bind_parameter(place * 3 + 2, entry.name)?;
            insert.raw_bind_parameter(place * 3 + 3, entry.value())?;
            insert.raw_bind_parameter(place * 3 + 4, entry.seq)?;
        }
        insert.raw_execute()?;
    }
    let mut insert = conn.prepare_cached(queries::INSERT_KEY)?;
    for entry in rest {
        insert.execute(params![run, entry.name, entry.value(), entry.seq])?;
    }
    Ok(())
}

/// The channels of a run; `None` at damage.
pub(super) fn run_channels(bytes: &[u8]) -> Option<BTreeSet<u32>> {
    let mut cursor = codec::Cursor(bytes);
    let mut channels = BTreeSet::new();
    while !cursor.is_empty() {
        channels.insert(cursor.small()?);
    }
    Some(channels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indexed(seq: i64, values: &[&str]) -> Indexed {
        let keys = values.iter().map(|value| Entry::new(2, value.as_bytes(), seq)).collect();
        Indexed { seq: Seq(seq), received_at: Timestamp(seq), channel: 1, keys }
    }

    #[test]
    fn entries_stand_in_the_order_of_their_bytes() {
        let long = "0123456789abcdef";
        let values =
            ["", "a", "a\0", "a\0\0", "ab", long, &format!("{long}\0"), &format!("{long}x")];
        let mut entries: Vec<Entry> =
            values.iter().rev().map(|value| Entry::new(2, value.as_bytes(), 1)).collect();
        entries.sort();
        let mut sorted = values.map(str::as_bytes);
        sorted.sort_unstable();
        assert_eq!(entries.iter().map(Entry::value).collect::<Vec<_>>(), sorted);
    }

    #[test]
    fn what_came_in_parts_is_found_and_closed_as_one() {
        let mut sorted = Sorted::default();
        let mut expected = BTreeSet::new();
        sorted.put(Vec::new());
        for seq in 1..500 {
            let (patient, visit) = (format!("P{}", seq * 7919 % 97), format!("V{}", seq % 13));
            // The second stands twice in its message.
            sorted.put(vec![indexed(seq, &[&patient, &visit, &visit])]);
            expected.extend([(patient, seq), (visit, seq)]);
        }
        assert!(sorted.parts.len() <= 10, "{}", sorted.parts.len());
        assert_eq!(sorted.len(), expected.len());
        for n in 0..97 {
            let value = format!("P{n}");
            let mut found = Vec::new();
            sorted.find(2, value.as_bytes(), &mut found);
            found.sort_unstable();
            let own = expected.iter().filter(|(known, _)| *known == value);
            assert_eq!(found, own.map(|(_, seq)| Seq(*seq)).collect::<Vec<_>>());
        }
        sorted.close();
        let all: Vec<(String, i64)> = sorted
            .from(0)
            .iter()
            .map(|entry| (String::from_utf8_lossy(entry.value()).into_owned(), entry.seq))
            .collect();
        assert_eq!(all, expected.into_iter().collect::<Vec<_>>());
        assert!(sorted.from(all.len()).is_empty());
    }
}
