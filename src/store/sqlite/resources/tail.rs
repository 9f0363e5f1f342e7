//! The resource index that is not yet in its table, in memory, and how it gets there.
//!
//! Identifiers and references arrive in no order: written at once, each would dirty a page of its own. So
//! the changes of some thousand versions gather here, sorted, and go into `resource_entry` in pieces, one
//! with each commit. What is not there yet is rebuilt at start from the versions, which hold what they are
//! found by. Entries may be written twice, so a crash between two pieces does no harm.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use rusqlite::{Connection, params};

use crate::message::resource::Interaction;
use crate::store::sqlite::queries as shared_queries;
use crate::store::sqlite::resources::entries::{Entry, Place, entries};
use crate::store::sqlite::resources::queries;

/// Entries written with a commit, at least, while they are.
const ENTRIES_PER_COMMIT: usize = 512;
/// The mark that says up to which version the table goes.
const INDEXED_TO: &str = "resources_indexed_to";

/// A version whose entries are not all in the table.
#[derive(Debug)]
pub(in crate::store::sqlite) struct Recent {
    /// Its number.
    pub(super) vid: i64,
    /// The resource.
    pub(super) rid: i64,
    /// Its type's slot.
    pub(super) kind: u32,
    /// Its id.
    pub(super) id: Box<str>,
    /// Whether it says that the resource is gone.
    pub(super) gone: bool,
    /// What it is found by.
    pub(super) found_by: Arc<[u8]>,
    /// What the version before it was found by.
    pub(super) before: Option<Arc<[u8]>>,
}

/// Some versions in a row, and what they change in the index.
#[derive(Debug, Default)]
pub(in crate::store::sqlite) struct Recents {
    all: Vec<Arc<Recent>>,
    latest: HashMap<i64, Arc<Recent>>,
    /// Entries that come (`true`) and go.
    changes: BTreeMap<Entry, bool>,
}

impl Recents {
    /// Adds a version.
    pub(super) fn put(&mut self, recent: Arc<Recent>) {
        let old = recent.before.as_ref().map(|found_by| entries(found_by, recent.rid));
        let old = old.unwrap_or_default();
        let new = entries(&recent.found_by, recent.rid);
        self.changes.extend(old.difference(&new).map(|entry| (entry.clone(), false)));
        self.changes.extend(new.difference(&old).map(|entry| (entry.clone(), true)));
        self.latest.insert(recent.rid, Arc::clone(&recent));
        self.all.push(recent);
    }

    /// What comes later wins.
    fn append(&mut self, other: Self) {
        self.all.extend(other.all);
        self.latest.extend(other.latest);
        self.changes.extend(other.changes);
    }

    /// Takes out what came at or after `vid`: it was undone.
    pub(super) fn cut(&mut self, vid: i64) {
        let all = std::mem::take(self).all;
        all.into_iter().filter(|recent| recent.vid < vid).for_each(|recent| self.put(recent));
    }

    /// Its newest version of a resource.
    pub(super) fn latest(&self, rid: i64) -> Option<&Arc<Recent>> {
        self.latest.get(&rid)
    }

    /// Resources that came to this place.
    pub(super) fn at(&self, slot: u32, place: &Place) -> impl Iterator<Item = i64> {
        let of = |rid| Entry { slot, place: place.clone(), rid };
        let range = self.changes.range(of(i64::MIN)..=of(i64::MAX));
        range.filter(|(_, comes)| **comes).map(|(entry, _)| entry.rid)
    }

    /// The resource with an id, if a version of it is here.
    pub(super) fn rid(&self, kind: u32, id: &str, place: &Place) -> Option<i64> {
        self.at(kind, place).find(|rid| {
            self.latest.get(rid).is_some_and(|recent| recent.kind == kind && &*recent.id == id)
        })
    }

    /// The end of the log of versions here.
    fn last(&self) -> i64 {
        self.all.last().map_or(0, |recent| recent.vid)
    }

    /// How many versions are here.
    pub(in crate::store::sqlite) fn len(&self) -> usize {
        self.all.len()
    }
}

/// The part of the index in memory. Committed versions only.
#[derive(Debug, Default)]
pub(in crate::store::sqlite) struct ResourceTail {
    open: Recents,
    /// The part being written.
    closing: Option<Arc<Recents>>,
    /// Everything up to here is in the table.
    indexed_to: i64,
    /// Versions that gather before they are written.
    gathered: usize,
}

impl ResourceTail {
    fn parts(&self) -> impl Iterator<Item = &Recents> {
        std::iter::once(&self.open).chain(self.closing.as_deref())
    }

    /// The newest version of a resource here.
    pub(super) fn latest(&self, rid: i64) -> Option<&Arc<Recent>> {
        self.parts().find_map(|part| part.latest(rid))
    }

    /// Resources that came to this place.
    pub(super) fn at(&self, slot: u32, place: &Place) -> Vec<i64> {
        self.parts().flat_map(|part| part.at(slot, place)).collect()
    }

    /// The resource with an id, if a version of it is here.
    pub(super) fn rid(&self, kind: u32, id: &str, place: &Place) -> Option<i64> {
        self.parts().find_map(|part| part.rid(kind, id, place))
    }

    /// The newest versions here of a type, or of all.
    pub(super) fn of_kind(&self, kind: Option<u32>) -> Vec<Arc<Recent>> {
        let fits = |recent: &&Arc<Recent>| kind.is_none_or(|kind| recent.kind == kind);
        let mut found: Vec<_> = self.open.latest.values().filter(fits).cloned().collect();
        if let Some(closing) = &self.closing {
            let older = closing.latest.values().filter(fits);
            found.extend(older.filter(|one| !self.open.latest.contains_key(&one.rid)).cloned());
        }
        found
    }

    /// Up to which version the table goes.
    pub(in crate::store::sqlite) const fn indexed_to(&self) -> i64 {
        self.indexed_to
    }

    /// Adds versions that were committed.
    pub(in crate::store::sqlite) fn put(&mut self, recents: Recents) {
        if recents.len() > 0 {
            self.open.append(recents);
        }
    }

    /// Closes the open part when it is large enough and none is being written.
    pub(in crate::store::sqlite) fn close(&mut self) -> Option<Arc<Recents>> {
        if self.closing.is_some() || self.open.len() < self.gathered {
            return None;
        }
        let closed = Arc::new(std::mem::take(&mut self.open));
        self.closing = Some(Arc::clone(&closed));
        Some(closed)
    }

    /// The part that was being written is durable.
    pub(in crate::store::sqlite) fn finish(&mut self, indexed_to: i64) {
        self.closing = None;
        self.indexed_to = self.indexed_to.max(indexed_to);
    }

    /// Rebuilds it after a start.
    pub(in crate::store::sqlite) fn load(
        conn: &Connection,
        gathered: usize,
    ) -> rusqlite::Result<Self> {
        let indexed_to: i64 =
            conn.query_row(shared_queries::MARK, [INDEXED_TO], |row| row.get(0))?;
        let gathered = gathered.max(1);
        let mut tail = Self { indexed_to, gathered, ..Self::default() };
        let mut statement = conn.prepare(queries::VERSIONS_AFTER)?;
        let mut rows = statement.query([indexed_to])?;
        while let Some(row) = rows.next()? {
            let (rid, previous): (i64, i64) = (row.get(1)?, row.get(5)?);
            let before: Option<Arc<[u8]>> = match tail.open.latest(rid) {
                Some(recent) => Some(Arc::clone(&recent.found_by)),
                None if previous > 0 => Some(found_by(conn, previous)?),
                None => None,
            };
            let interaction = Interaction::from_number(row.get(4)?);
            let recent = Recent {
                vid: row.get(0)?,
                rid,
                kind: row.get(2)?,
                id: row.get(3)?,
                gone: interaction == Interaction::Delete,
                found_by: row.get_ref(6)?.as_blob()?.into(),
                before,
            };
            tail.open.put(Arc::new(recent));
        }
        Ok(tail)
    }
}

/// What a stored version is found by.
pub(super) fn found_by(conn: &Connection, vid: i64) -> rusqlite::Result<Arc<[u8]>> {
    let mut query = conn.prepare_cached(queries::FOUND_BY)?;
    query.query_row([vid], |row| Ok(row.get_ref(0)?.as_blob()?.into()))
}

/// Writes the closed part of the tail, a piece with each commit.
#[derive(Debug, Default)]
pub(in crate::store::sqlite) struct Merge {
    current: Option<(Arc<Recents>, Option<Entry>)>,
}

/// What a piece changed in memory, to be kept when its commit succeeds.
#[derive(Debug)]
pub(in crate::store::sqlite) struct Merged {
    written_to: Option<Entry>,
    finished: Option<i64>,
}

impl Merge {
    /// Writes the next piece inside the open transaction: more than the batch brings, so that the tail
    /// stays bounded.
    pub(in crate::store::sqlite) fn write(
        &mut self,
        conn: &Connection,
        close: impl FnOnce() -> Option<Arc<Recents>>,
        versions_new: usize,
    ) -> rusqlite::Result<Option<Merged>> {
        if self.current.is_none() {
            self.current = close().map(|closed| (closed, None));
        }
        let Some((part, written_to)) = &self.current else { return Ok(None) };
        let from = written_to.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        // Within half of the time the next part takes to gather.
        let share = part.changes.len() / (part.len() / 2).max(1) + 1;
        let most = ENTRIES_PER_COMMIT.max(versions_new.saturating_mul(share));
        let changes = part.changes.range::<Entry, _>((from, Bound::Unbounded));
        let changes: Vec<(&Entry, bool)> =
            changes.take(most).map(|(entry, comes)| (entry, *comes)).collect();
        write_entries(conn, &changes)?;
        if changes.len() == most {
            let written_to = changes.last().map(|(entry, _)| (*entry).clone());
            return Ok(Some(Merged { written_to, finished: None }));
        }
        let finished = part.last();
        let mut raise = conn.prepare_cached(shared_queries::RAISE_MARK)?;
        raise.execute(params![INDEXED_TO, finished])?;
        Ok(Some(Merged { written_to: None, finished: Some(finished) }))
    }

    /// The piece is durable. Answers the end of the part when it was the last of it.
    pub(in crate::store::sqlite) fn keep(&mut self, merged: Merged) -> Option<i64> {
        if merged.finished.is_some() {
            self.current = None;
        } else if let Some((_, written_to)) = &mut self.current {
            *written_to = merged.written_to;
        }
        merged.finished
    }
}

/// Eight rows a statement where they come, one by one where they go.
fn write_entries(conn: &Connection, changes: &[(&Entry, bool)]) -> rusqlite::Result<()> {
    let mut delete = conn.prepare_cached(queries::DELETE_ENTRY)?;
    for (entry, _) in changes.iter().filter(|(_, comes)| !comes) {
        delete.execute(params![entry.slot, entry.place, entry.rid])?;
    }
    let come: Vec<&Entry> =
        changes.iter().filter(|(_, comes)| *comes).map(|(entry, _)| *entry).collect();
    let (eights, rest) = come.as_chunks::<8>();
    let mut insert = conn.prepare_cached(queries::INSERT_ENTRIES_8)?;
    for eight in eights {
        for (number, entry) in eight.iter().enumerate() {
            insert.raw_bind_parameter(number * 3 + 1, entry.slot)?;
            insert.raw_bind_parameter(number * 3 + 2, &entry.place)?;
            insert.raw_bind_parameter(number * 3 + 3, entry.rid)?;
        }
        insert.raw_execute()?;
    }
    let mut insert = conn.prepare_cached(queries::INSERT_ENTRY)?;
    for entry in rest {
        insert.execute(params![entry.slot, entry.place, entry.rid])?;
    }
    Ok(())
}
