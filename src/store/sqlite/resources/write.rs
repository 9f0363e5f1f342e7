//! Writes a FHIR request inside the committer's transaction: looks at what it expects, then its messages,
//! versions and events. What does not find what it expects writes nothing; what fails half way is undone
//! alone, and the rest of the commit goes on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use crate::message::id::{DestinationId, Seq};
use crate::message::resource::{
    Expect, Guard, IndexValue, Indexed, Interaction, ResourceKey, ResourceWrite,
};
use crate::message::verdict::IfChanged;
use crate::store::resources::Written;
use crate::store::sqlite::append::Earlier;
use crate::store::sqlite::committer::{Batch, Committer};
use crate::store::sqlite::duplicates::Match;
use crate::store::sqlite::error::of_writer;
use crate::store::sqlite::queue::Prepared;
use crate::store::sqlite::resources::entries::{of_code, place, put, values};
use crate::store::sqlite::resources::tail::{Merge, Recent, found_by};
use crate::store::sqlite::resources::{ID, LAST_UPDATED, queries, slot_name};
use crate::store::{Appended, StoreError};

/// A version ready to be written, with its body as it is kept.
#[derive(Debug)]
pub(in crate::store::sqlite) struct PreparedWrite {
    /// The version.
    pub(in crate::store::sqlite) write: ResourceWrite,
    /// Its body.
    pub(in crate::store::sqlite) body: (i64, Bytes),
}

/// A request ready to be written.
#[derive(Debug)]
pub(in crate::store::sqlite) struct PreparedBatch {
    /// Its messages.
    pub(in crate::store::sqlite) messages: Vec<Prepared>,
    /// Its versions.
    pub(in crate::store::sqlite) writes: Vec<PreparedWrite>,
    /// What must hold.
    pub(in crate::store::sqlite) guards: Vec<Guard>,
    /// Which message is an event of which subscription.
    pub(in crate::store::sqlite) events: Vec<(usize, DestinationId)>,
}

/// What the committer keeps in memory of resources. Read again after a rollback.
#[derive(Debug, Default)]
pub(in crate::store::sqlite) struct Numbers {
    next_rid: i64,
    next_vid: i64,
    /// Last event numbers of subscriptions that had one since.
    counts: HashMap<DestinationId, u64>,
    /// Those that changed in this transaction.
    counted: BTreeMap<DestinationId, u64>,
}

impl Numbers {
    /// Reads them from the database.
    pub(in crate::store::sqlite) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let (rid, vid): (i64, i64) =
            conn.query_row(queries::LAST_NUMBERS, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Self { next_rid: rid + 1, next_vid: vid + 1, ..Self::default() })
    }

    fn count(&mut self, conn: &Connection, subscription: DestinationId) -> rusqlite::Result<u64> {
        let last = match self.counts.get(&subscription) {
            Some(last) => *last,
            None => event_count(conn, subscription)?,
        };
        self.counts.insert(subscription, last + 1);
        self.counted.insert(subscription, last + 1);
        Ok(last + 1)
    }

    /// Writes the counts that changed, at the end of a transaction.
    pub(in crate::store::sqlite) fn write(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        if self.counted.is_empty() {
            return Ok(());
        }
        let mut upsert = conn.prepare_cached(queries::UPSERT_EVENT_COUNT)?;
        for (subscription, last) in std::mem::take(&mut self.counted) {
            upsert.execute(params![subscription.0, last.cast_signed()])?;
        }
        Ok(())
    }
}

fn event_count(conn: &Connection, subscription: DestinationId) -> rusqlite::Result<u64> {
    let mut query = conn.prepare_cached(queries::EVENT_COUNT)?;
    let last: Option<i64> = query.query_row([subscription.0], |row| row.get(0)).optional()?;
    Ok(last.unwrap_or_default().cast_unsigned())
}

/// The committer's possessions that are about resources.
#[derive(Debug, Default)]
pub(in crate::store::sqlite) struct Resources {
    /// Numbers to give.
    pub(in crate::store::sqlite) numbers: Numbers,
    /// Writes the index.
    pub(in crate::store::sqlite) merge: Merge,
}

/// A resource as it stands.
#[derive(Debug, Clone, Copy)]
struct Current {
    rid: i64,
    vid: i64,
    version: u64,
}

/// What a request found.
type Found = HashMap<ResourceKey, Current>;

impl Committer {
    /// Writes all of a request, or nothing.
    pub(in crate::store::sqlite) fn write_resources(
        &mut self,
        prepared: PreparedBatch,
        batch: &mut Batch,
    ) -> rusqlite::Result<Result<Written, StoreError>> {
        let found = match self.check(&prepared, batch)? {
            Ok(found) => found,
            Err(written) => return Ok(Ok(written)),
        };
        let before = self.mark(&prepared, batch)?;
        self.conn.prepare_cached(queries::SAVEPOINT)?.execute([])?;
        let written = self.write_checked(prepared, found, batch);
        match written {
            Ok(Ok(appended)) => {
                self.conn.prepare_cached(queries::RELEASE)?.execute([])?;
                Ok(Ok(Written::Done(appended)))
            }
            Ok(Err(error)) => {
                self.undo(before, batch)?;
                Ok(Err(error))
            }
            Err(error) => match of_writer(&error) {
                // The statement failed, not the disk: only this request is undone.
                meaning @ StoreError::Database(_) if !self.conn.is_autocommit() => {
                    self.undo(before, batch)?;
                    Ok(Err(meaning))
                }
                _ => Err(error),
            },
        }
    }

    /// Looks at everything the request expects; `Err` says what it did not find.
    fn check(
        &self,
        prepared: &PreparedBatch,
        batch: &Batch,
    ) -> rusqlite::Result<Result<Found, Written>> {
        for (number, Prepared { message, .. }) in prepared.messages.iter().enumerate() {
            let Some(rule) = &message.duplicate else { continue };
            match self.earlier(rule, &message.envelope, batch)? {
                Some(Earlier { found: Match::Same(seq), id, received_at }) => {
                    let repeat = Appended::Repeat { seq, id, received_at };
                    return Ok(Err(Written::Known(number, repeat)));
                }
                Some(Earlier { found: Match::Changed(seq), .. })
                    if rule.if_changed == IfChanged::Refuse =>
                {
                    return Ok(Err(Written::Known(number, Appended::Conflict(seq))));
                }
                _ => {}
            }
        }
        for (number, guard) in prepared.guards.iter().enumerate() {
            if !self.guard_holds(guard, batch)? {
                return Ok(Err(Written::Stale(number)));
            }
        }
        let mut found = Found::new();
        let mut planned: HashMap<&ResourceKey, u64> = HashMap::new();
        for (number, PreparedWrite { write, .. }) in prepared.writes.iter().enumerate() {
            let version = match planned.get(&write.key) {
                Some(version) => Some(*version),
                None => {
                    let current = self.current(&write.key, batch)?;
                    found.extend(current.map(|current| (write.key.clone(), current)));
                    current.map(|current| current.version)
                }
            };
            let as_expected = match (&write.expect, version) {
                (Expect::Absent, None) => write.version == 1,
                (Expect::Version(expected), Some(version)) => {
                    *expected == version && write.version == version + 1
                }
                _ => false,
            };
            if !as_expected {
                return Ok(Err(Written::Conflict(number)));
            }
            planned.insert(&write.key, write.version);
        }
        Ok(Ok(found))
    }

    fn guard_holds(&self, guard: &Guard, batch: &Batch) -> rusqlite::Result<bool> {
        match guard {
            Guard::NoMatch { kind, value } => Ok(!self.is_found_by(kind, value, batch)?),
            Guard::Unchanged { kind, seen } => {
                let clock: i64 = if kind.is_empty() {
                    self.conn.prepare_cached(queries::CLOCK)?.query_row([], |row| row.get(0))?
                } else {
                    let Some(slot) = self.known_slot(kind, ID) else { return Ok(true) };
                    let mut query = self.conn.prepare_cached(queries::CLOCK_OF_KIND)?;
                    query.query_row([slot], |row| row.get(0))?
                };
                Ok(clock <= *seen)
            }
        }
    }

    /// Whether a current resource of a type has exactly this value.
    fn is_found_by(&self, kind: &str, value: &IndexValue, batch: &Batch) -> rusqlite::Result<bool> {
        let Some(slot) = self.known_slot(kind, &value.param) else { return Ok(false) };
        let place = place(&value.value);
        let mut rids: Vec<i64> = batch.resources.at(slot, &place).collect();
        rids.extend(self.shared.resources().at(slot, &place));
        let mut query = self.conn.prepare_cached(queries::RIDS_AT)?;
        let mut rows = query.query(params![slot, place])?;
        while let Some(row) = rows.next()? {
            rids.push(row.get(0)?);
        }
        let mut query = self.conn.prepare_cached(queries::CURRENT_FOUND_BY)?;
        for rid in rids {
            let mut rows = query.query([rid])?;
            let Some(row) = rows.next()? else { continue };
            if row.get::<_, bool>(0)? {
                continue;
            }
            let found_by = row.get_ref(1)?.as_blob()?;
            let dictionary = self.shared.dictionary();
            let own = values(found_by, &dictionary.slots, |param| *param == *value.param);
            if own.unwrap_or_default().contains(value) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn current(&self, key: &ResourceKey, batch: &Batch) -> rusqlite::Result<Option<Current>> {
        let Some(kind) = self.known_slot(&key.kind, ID) else { return Ok(None) };
        let place = of_code(&key.id);
        let here = batch.resources.rid(kind, &key.id, &place);
        let rid = here.or_else(|| self.shared.resources().rid(kind, &key.id, &place));
        let current = |row: &rusqlite::Row<'_>| {
            let version: i64 = row.get(2)?;
            Ok(Current { rid: row.get(0)?, vid: row.get(1)?, version: version.cast_unsigned() })
        };
        match rid {
            Some(rid) => self
                .conn
                .prepare_cached(queries::RESOURCE_BY_RID)?
                .query_row([rid], current)
                .optional(),
            None => self
                .conn
                .prepare_cached(queries::RESOURCE_BY_ID)?
                .query_row(params![kind, place, key.id], current)
                .optional(),
        }
    }

    fn write_checked(
        &mut self,
        prepared: PreparedBatch,
        mut found: Found,
        batch: &mut Batch,
    ) -> rusqlite::Result<Result<Vec<Appended>, StoreError>> {
        let PreparedBatch { messages, writes, events, .. } = prepared;
        let mut numbered: Vec<Vec<(DestinationId, u64)>> = vec![Vec::new(); messages.len()];
        for (message, subscription) in events {
            if let Some(own) = numbered.get_mut(message) {
                own.push((subscription, self.resources.numbers.count(&self.conn, subscription)?));
            }
        }
        let appended = match self.append(messages, numbered, batch)? {
            Ok(appended) => appended,
            Err(error) => return Ok(Err(error)),
        };
        self.flush(batch)?;
        for write in writes {
            let seq = write.write.message.and_then(|message| appended.get(message)).map(seq_of);
            let before = found.get(&write.write.key).copied();
            let key = write.write.key.clone();
            let now = self.write_version(write, before, seq, batch)?;
            found.insert(key, now);
        }
        Ok(Ok(appended))
    }

    fn write_version(
        &mut self,
        prepared: PreparedWrite,
        before: Option<Current>,
        seq: Option<Seq>,
        batch: &mut Batch,
    ) -> rusqlite::Result<Current> {
        let PreparedWrite { write, body: (codec, body) } = prepared;
        let gone = write.interaction == Interaction::Delete;
        let kind = self.slot(&write.key.kind, ID, batch)?;
        let own_found_by: Arc<[u8]> = self.found_by(&write, gone, batch)?.into();
        let vid = self.resources.numbers.next_vid;
        self.resources.numbers.next_vid += 1;
        let version = write.version.cast_signed();
        let old = match before {
            None => None,
            Some(Current { rid, vid, .. }) => Some(self.found_by_of(rid, vid, batch)?),
        };
        let rid = match before {
            Some(Current { rid, .. }) => {
                let mut update = self.conn.prepare_cached(queries::UPDATE_RESOURCE)?;
                update.execute(params![rid, vid, version, gone])?;
                rid
            }
            None => {
                let rid = self.resources.numbers.next_rid;
                self.resources.numbers.next_rid += 1;
                let mut insert = self.conn.prepare_cached(queries::INSERT_RESOURCE)?;
                insert.execute(params![rid, kind, write.key.id, vid, version, gone])?;
                rid
            }
        };
        self.conn.prepare_cached(queries::INSERT_VERSION_OF_RESOURCE)?.execute(params![
            vid,
            rid,
            kind,
            version,
            write.interaction.number(),
            write.at.0,
            seq.map(|seq| seq.0),
            before.map_or(0, |before| before.vid),
            &*own_found_by,
            codec,
            &*body,
        ])?;
        let found_by = own_found_by;
        let recent = Recent { vid, rid, kind, id: write.key.id, gone, found_by, before: old };
        batch.resources.put(Arc::new(recent));
        Ok(Current { rid, vid, version: write.version })
    }

    /// What a version is found by, as it is kept: its values, its id, and its time unless it is gone.
    fn found_by(
        &self,
        write: &ResourceWrite,
        gone: bool,
        batch: &mut Batch,
    ) -> rusqlite::Result<Vec<u8>> {
        let kind = &*write.key.kind;
        let mut out = Vec::with_capacity(write.index.len() * 40 + 60);
        let id = Indexed::Token { system: "".into(), code: write.key.id.clone() };
        put(&mut out, self.slot(kind, ID, batch)?, &id);
        if gone {
            return Ok(out);
        }
        let at = Indexed::Date { from: write.at, to: write.at };
        put(&mut out, self.slot(kind, LAST_UPDATED, batch)?, &at);
        for IndexValue { param, value } in &write.index {
            if **param != *ID && **param != *LAST_UPDATED {
                put(&mut out, self.slot(kind, param, batch)?, value);
            }
        }
        Ok(out)
    }

    fn found_by_of(&self, rid: i64, vid: i64, batch: &Batch) -> rusqlite::Result<Arc<[u8]>> {
        if let Some(recent) = batch.resources.latest(rid) {
            return Ok(Arc::clone(&recent.found_by));
        }
        if let Some(recent) = self.shared.resources().latest(rid) {
            return Ok(Arc::clone(&recent.found_by));
        }
        found_by(&self.conn, vid)
    }

    fn known_slot(&self, kind: &str, param: &str) -> Option<u32> {
        self.shared.dictionary().slots.number(&slot_name(kind, param))
    }

    fn slot(&self, kind: &str, param: &str, batch: &mut Batch) -> rusqlite::Result<u32> {
        let name = slot_name(kind, param);
        if let Some(number) = self.shared.dictionary().slots.number(&name) {
            return Ok(number);
        }
        let number = self.shared.dictionary().slots.next();
        self.conn.prepare_cached(queries::INSERT_SLOT)?.execute(params![number, name])?;
        self.shared.dictionary_mut().slots.put(number, name.into());
        batch.slots.push(number);
        Ok(number)
    }

    /// Where the transaction stands before a request.
    fn mark(&self, prepared: &PreparedBatch, batch: &Batch) -> rusqlite::Result<Before> {
        let mut counts = BTreeMap::new();
        for (_, subscription) in &prepared.events {
            let last = match self.resources.numbers.counts.get(subscription) {
                Some(last) => *last,
                None => event_count(&self.conn, *subscription)?,
            };
            counts.insert(*subscription, last);
        }
        Ok(Before {
            messages: batch.messages.len(),
            known: batch.known.len(),
            indexed: batch.indexed.len(),
            keys: batch.keys,
            words: batch.words.each_ref().map(Vec::len),
            slots: batch.slots.len(),
            rid: self.resources.numbers.next_rid,
            vid: self.resources.numbers.next_vid,
            counts,
        })
    }

    fn undo(&mut self, before: Before, batch: &mut Batch) -> rusqlite::Result<()> {
        self.conn.prepare_cached(queries::UNDO)?.execute([])?;
        self.conn.prepare_cached(queries::RELEASE)?.execute([])?;
        batch.messages.truncate(before.messages);
        batch.rows.clear();
        batch.known.truncate(before.known);
        batch.indexed.truncate(before.indexed);
        batch.keys = before.keys;
        let mut dictionary = self.shared.dictionary_mut();
        let [channels, key_names, plans] = &mut batch.words;
        let [channels_before, key_names_before, plans_before] = before.words;
        for number in channels.split_off(channels_before) {
            dictionary.channels.take(number);
        }
        for number in key_names.split_off(key_names_before) {
            dictionary.key_names.take(number);
        }
        for number in plans.split_off(plans_before) {
            dictionary.take_plan(number);
        }
        for number in batch.slots.split_off(before.slots) {
            dictionary.slots.take(number);
        }
        drop(dictionary);
        batch.resources.cut(before.vid);
        let numbers = &mut self.resources.numbers;
        (numbers.next_rid, numbers.next_vid) = (before.rid, before.vid);
        for (subscription, last) in before.counts {
            numbers.counts.insert(subscription, last);
            numbers.counted.insert(subscription, last);
        }
        Ok(())
    }
}

/// Where a transaction stood.
struct Before {
    messages: usize,
    known: usize,
    indexed: usize,
    keys: usize,
    words: [usize; 3],
    slots: usize,
    rid: i64,
    vid: i64,
    counts: BTreeMap<DestinationId, u64>,
}

const fn seq_of(appended: &Appended) -> Seq {
    match appended {
        Appended::New(seq)
        | Appended::Held(seq)
        | Appended::Repeat { seq, .. }
        | Appended::Conflict(seq) => *seq,
    }
}

/// Messages and versions a request counts for in a commit.
pub(in crate::store::sqlite) fn weight(prepared: &PreparedBatch) -> usize {
    prepared.messages.len().max(prepared.writes.len())
}
