//! Whole messages out of the log, by connections that cannot write, on threads that may wait for a disk.
//!
//! Through rusqlite: a row costs a sixth of what it costs through sqlx, and a destination that lags reads
//! many. Each read is one snapshot.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, Row, params};
use tokio::sync::Semaphore;

use crate::message::id::{DestinationId, MessageId, Seq};
use crate::message::kind::{ContentType, Kind};
use crate::message::payload::Payload;
use crate::message::time::Timestamp;
use crate::message::{Envelope, Key, KeyValue, Origin, StoredMessage};
use crate::store::sqlite::codec::{decompress, events, keys};
use crate::store::sqlite::dictionary::{Dictionary, join};
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::shared::Shared;
use crate::store::sqlite::{open, queries};
use crate::store::{LogPage, StoreError};

/// Places of the log looked at for one page when little of it is for the destination.
const PLACES_MAX: i64 = 1 << 18;

type Result<T> = std::result::Result<T, StoreError>;

/// A few connections that read, opened when they are needed.
pub(super) struct Readers {
    path: PathBuf,
    places: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// At most `count` connections to the database at `path`.
    pub(super) fn new(path: PathBuf, count: u32) -> Self {
        let places = usize::try_from(count).unwrap_or(1).max(1);
        Self { path, places: Semaphore::new(places), idle: Mutex::default() }
    }

    /// Does some reading on a thread of its own, as soon as a connection is free.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let _place = self.places.acquire().await.map_err(|_| StoreError::Closed)?;
        let free = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let path = self.path.clone();
        let done = tokio::task::spawn_blocking(move || {
            let conn = free.map_or_else(|| open::reader(&path), Ok)?;
            work(&conn).map(|found| (conn, found))
        });
        let (conn, found) = done.await.unwrap_or(Err(StoreError::Closed))?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        Ok(found)
    }

    /// Lets go of the database; nothing is read any more.
    pub(super) fn close(&self) {
        self.places.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The log after a place, as one destination sees it.
pub(super) async fn page(
    shared: &Arc<Shared>,
    destination: DestinationId,
    after: Seq,
    limit: u32,
    bytes_max: usize,
) -> Result<LogPage> {
    let inside = Arc::clone(shared);
    let read =
        move |conn: &Connection| page_now(conn, &inside, destination, after, limit, bytes_max);
    shared.readers.read(read).await
}

fn page_now(
    conn: &Connection,
    shared: &Shared,
    destination: DestinationId,
    after: Seq,
    limit: u32,
    bytes_max: usize,
) -> Result<LogPage> {
    let snapshot = conn.unchecked_transaction()?;
    let head: i64 = snapshot.prepare_cached(queries::HEAD)?.query_row([], |row| row.get(0))?;
    let to = head.min(after.0.saturating_add(PLACES_MAX));
    // Looked at after the snapshot began, the dictionary holds every plan that is in it.
    let plans = shared.dictionary().plans_to(destination);
    let mut query = snapshot.prepare_cached(queries::LOG_PAGE)?;
    let mut rows = query.query(params![after.0, to, plans, limit.max(1)])?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut messages, mut bytes) = (Vec::new(), 0_usize);
    while let Some(row) = rows.next()? {
        let message = message(row, &shared.dictionary(), Body::Read)?;
        bytes = bytes.saturating_add(message.payload.len());
        let fits = messages.is_empty() || bytes <= bytes_max;
        if fits {
            messages.push(Arc::new(message));
        }
        if !fits || messages.len() >= limit {
            let read_to = messages.last().map_or(after, |last| last.seq);
            return Ok(LogPage { messages, read_to });
        }
    }
    Ok(LogPage { messages, read_to: Seq(to).max(after) })
}

fn list(numbers: impl Iterator<Item = impl ToString>) -> String {
    let numbers: Vec<String> = numbers.map(|number| number.to_string()).collect();
    format!("[{}]", numbers.join(","))
}

/// Messages with bodies, in the order asked.
pub(super) async fn messages(
    shared: &Arc<Shared>,
    seqs: &[Seq],
) -> Result<Vec<Arc<StoredMessage>>> {
    listed(shared, seqs, queries::MESSAGES, Body::Read).await
}

/// Messages without bodies, in the order asked.
pub(super) async fn envelopes(
    shared: &Arc<Shared>,
    seqs: &[Seq],
) -> Result<Vec<Arc<StoredMessage>>> {
    listed(shared, seqs, queries::ENVELOPES, Body::Leave).await
}

/// Whether a row holds the body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Read,
    Leave,
}

async fn listed(
    shared: &Arc<Shared>,
    seqs: &[Seq],
    sql: &'static str,
    body: Body,
) -> Result<Vec<Arc<StoredMessage>>> {
    if seqs.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = list(seqs.iter().map(|seq| seq.0));
    let inside = Arc::clone(shared);
    let read = move |conn: &Connection| {
        let mut query = conn.prepare_cached(sql)?;
        let mut rows = query.query([wanted])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(Arc::new(message(row, &inside.dictionary(), body)?));
        }
        Ok(found)
    };
    shared.readers.read(read).await
}

fn message(row: &Row<'_>, dictionary: &Dictionary, body: Body) -> Result<StoredMessage> {
    let seq: i64 = row.get(0)?;
    let damaged = || damaged("message", seq);
    let channel = dictionary.channels.get(row.get(3)?).ok_or_else(damaged)?;
    let mut named = Vec::new();
    for (name, value) in keys(blob(row, 8)?).ok_or_else(damaged)? {
        let name = dictionary.key_names.get(name).ok_or_else(damaged)?;
        named.push(Key { name: Arc::clone(name), value: KeyValue::new(value) });
    }
    let shapes = dictionary.plans.get(row.get(9)?).ok_or_else(damaged)?;
    let origin = match row.get::<_, Option<i64>>(11)? {
        Some(parent) => {
            Some(Origin { parent: Seq(parent), by: row.get(12)?, reason: row.get(13)? })
        }
        None => None,
    };
    let payload = match body {
        Body::Leave => Payload::default(),
        Body::Read => match row.get::<_, Option<i64>>(15)? {
            Some(codec) => {
                Payload::new(decompress(codec, blob(row, 16)?.into()).ok_or_else(damaged)?)
            }
            None => Payload::default(),
        },
    };
    Ok(StoredMessage {
        seq: Seq(seq),
        envelope: Envelope {
            id: MessageId::from_bytes(row.get(1)?),
            received_at: Timestamp(row.get(2)?),
            channel: Arc::clone(channel),
            content_type: ContentType::from_number(row.get(4)?),
            kind: Kind::from_number(row.get(5)?),
            event: text(row, 6)?.into(),
            control_id: KeyValue::new(text(row, 7)?),
            keys: named,
            origin,
        },
        plan: join(shapes, blob(row, 10)?).ok_or_else(damaged)?,
        payload,
        events: match row.get_ref(14)?.as_blob_or_null().map_err(rusqlite::Error::from)? {
            Some(bytes) => events(bytes).ok_or_else(damaged)?,
            None => Vec::new(),
        },
    })
}

fn blob<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8]> {
    Ok(row.get_ref(column)?.as_blob().map_err(rusqlite::Error::from)?)
}

fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str> {
    Ok(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?)
}
