//! The search index: a tail in memory, and sorted runs in the table `message_key`.
//!
//! Keys arrive in no order (record numbers, accessions), and a B-tree page a key would cost more than
//! the message itself. So they gather here, sorted, and every few thousand messages the committer
//! writes them in order, a piece with each commit. What is not yet in a run is rebuilt at start from
//! the messages themselves, which hold their keys.

use std::collections::BTreeSet;
use std::ops::Bound;
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

/// Name, value, place: as in `message_key`. The value's first bytes stand before it: they mostly decide
/// which of two comes first, without a look elsewhere in memory.
type Entry = (u32, u128, Box<[u8]>, i64);

/// The first bytes of a value as a number, in the order of the values.
fn first_bytes(value: &[u8]) -> u128 {
    let mut first = [0; 16];
    for (to, from) in first.iter_mut().zip(value) {
        *to = *from;
    }
    u128::from_be_bytes(first)
}

fn entry(name: u32, value: Box<[u8]>, seq: i64) -> Entry {
    (name, first_bytes(&value), value, seq)
}

/// A sorted set of keys, with what it spans.
#[derive(Debug, Clone, Default)]
pub(super) struct Sorted {
    entries: BTreeSet<Entry>,
    messages: usize,
    places: Option<(Seq, Seq)>,
    received: Option<(Timestamp, Timestamp)>,
    channels: BTreeSet<u32>,
}

impl Sorted {
    fn put(&mut self, message: Indexed) {
        let (seq, at) = (message.seq, message.received_at);
        let entries = message.keys.into_iter().map(|(name, value)| entry(name, value, seq.0));
        self.entries.extend(entries);
        self.messages += 1;
        self.places =
            Some(self.places.map_or((seq, seq), |(from, to)| (from.min(seq), to.max(seq))));
        self.received =
            Some(self.received.map_or((at, at), |(from, to)| (from.min(at), to.max(at))));
        self.channels.insert(message.channel);
    }

    fn find(&self, name: u32, value: &[u8], into: &mut Vec<Seq>) {
        into.extend(self.between(name, value, value).map(|(.., seq)| Seq(*seq)));
    }

    fn between(&self, name: u32, from: &[u8], to: &[u8]) -> impl Iterator<Item = &Entry> {
        let (from, to) = (entry(name, from.into(), i64::MIN), entry(name, to.into(), i64::MAX));
        self.entries.range(from..=to)
    }
}

/// What the index needs of one message.
#[derive(Debug)]
pub(super) struct Indexed {
    seq: Seq,
    received_at: Timestamp,
    channel: u32,
    keys: Vec<(u32, Box<[u8]>)>,
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
        let key = |(subscription, number): &(DestinationId, u64)| {
            (KEY_EVENT, event_key(*subscription, *number).into())
        };
        self.keys.extend(events.iter().map(key));
    }

    fn bare(seq: Seq, id: MessageId, received_at: Timestamp, channel: u32) -> Self {
        Self { seq, received_at, channel, keys: vec![(KEY_ID, id.to_bytes().into())] }
    }

    fn push(&mut self, name: u32, value: &KeyValue) {
        let value = indexed_part(value.expose());
        if !value.is_empty() {
            self.keys.push((name, value.into()));
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
        found.map(|(.., value, seq)| (value.clone(), Seq(*seq))).collect()
    }

    /// Everything up to here is in finished runs.
    pub(super) const fn indexed_to(&self) -> Seq {
        self.indexed_to
    }

    /// Adds messages that were committed.
    pub(super) fn put(&mut self, messages: Vec<Indexed>) {
        for message in messages {
            self.open.put(message);
        }
    }

    /// Closes the open part when it is large enough and no run is being written.
    pub(super) fn close(&mut self) -> Option<Arc<Sorted>> {
        let small = self.open.messages < RUN_MESSAGES && self.open.entries.len() < RUN_KEYS;
        if self.closing.is_some() || small {
            return None;
        }
        let closed = Arc::new(std::mem::take(&mut self.open));
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
            tail.open.put(indexed);
        }
        Ok((tail, RunWriter { last_run: run, current: None }))
    }
}

/// Writes the closed part of the tail, a piece with each commit.
#[derive(Debug)]
pub(super) struct RunWriter {
    last_run: i64,
    current: Option<(Arc<Sorted>, Option<Entry>)>,
}

/// What a piece changed in memory, to be kept when its commit succeeds.
#[derive(Debug)]
pub(super) struct Piece {
    written_to: Option<Entry>,
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
            self.current = close().map(|closed| (closed, None));
        }
        let Some((run, written_to)) = &self.current else { return Ok(None) };
        let number = self.last_run + 1;
        let from = written_to.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let most = KEYS_PER_COMMIT.max(keys_new.saturating_mul(2));
        let entries = run.entries.range::<Entry, _>((from, Bound::Unbounded));
        let entries: Vec<&Entry> = entries.take(most).collect();
        insert_keys(conn, number, &entries)?;
        let written_to = entries.last().copied().cloned().or_else(|| written_to.clone());
        if entries.len() == most {
            return Ok(Some(Piece { written_to, finished: None }));
        }
        let finished = Self::insert_run(conn, number, run)?;
        Ok(Some(Piece { written_to, finished: Some(finished) }))
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
        } else if let Some((_, written_to)) = &mut self.current {
            *written_to = piece.written_to;
        }
        piece.finished
    }
}

/// Eight rows a statement: half of what a row costs is its statement.
fn insert_keys(conn: &Connection, run: i64, entries: &[&Entry]) -> rusqlite::Result<()> {
    let (eights, rest) = entries.as_chunks::<8>();
    let mut insert = conn.prepare_cached(queries::INSERT_KEYS_8)?;
    for eight in eights {
        insert.raw_bind_parameter(1, run)?;
        for (place, (name, _, value, seq)) in eight.iter().enumerate() {
            insert.raw_bind_parameter(place * 3 + 2, name)?;
            insert.raw_bind_parameter(place * 3 + 3, value)?;
            insert.raw_bind_parameter(place * 3 + 4, seq)?;
        }
        insert.raw_execute()?;
    }
    let mut insert = conn.prepare_cached(queries::INSERT_KEY)?;
    for (name, _, value, seq) in rest {
        insert.execute(params![run, name, value, seq])?;
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
