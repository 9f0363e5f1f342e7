//! Writes messages inside the committer's transaction: recognises repeats, numbers, inserts.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{OptionalExtension, Statement, ToSql, params};

use crate::message::id::{DestinationId, MessageId, Seq};
use crate::message::payload::Payload;
use crate::message::plan::{Disposition, Plan};
use crate::message::time::Timestamp;
use crate::message::verdict::{DuplicateRule, IfChanged};
use crate::message::{Envelope, StoredMessage};
use crate::store::sqlite::codec::{decompress, put_events, put_keys, size_signed};
use crate::store::sqlite::committer::{Batch, Committer};
use crate::store::sqlite::dictionary::{KEY_CONTROL, split};
use crate::store::sqlite::duplicates::Match;
use crate::store::sqlite::index::{Indexed, indexed_part};
use crate::store::sqlite::queries;
use crate::store::sqlite::queue::{Known, Prepared};
use crate::store::{Appended, NewMessage, StoreError};

/// Messages with the same control id that are looked at while the memory of repeats is not complete.
const CANDIDATES_MAX: i64 = 64;

/// Messages for which a plan is said to be in use ahead: a plan that went out of use is kept so much longer.
const PLAN_USE_AHEAD: i64 = 1 << 10;

/// Where a message's body stands.
struct BodyPlace {
    seq: Seq,
    size: i64,
    payload: Payload,
}

/// What stands in a message's row beside the message itself, and its body.
#[derive(Debug)]
pub(super) struct Row {
    channel: u32,
    keys: Vec<u8>,
    plan: u32,
    lanes: Vec<u8>,
    identity: Option<i64>,
    content: Option<i64>,
    body_seq: i64,
    body_size: i64,
    events: Option<Vec<u8>>,
    body: Option<(i64, Bytes)>,
}

/// An earlier message with the same identity.
pub(super) struct Earlier {
    /// Which, and whether it has the same content.
    pub(super) found: Match,
    /// Its id.
    pub(super) id: MessageId,
    /// When it came.
    pub(super) received_at: Timestamp,
}

impl Committer {
    /// Writes all of the messages, or none when one of them needs a body that is gone. `events` are those of
    /// each message, and may be short.
    pub(super) fn append(
        &mut self,
        messages: Vec<Prepared>,
        events: Vec<Vec<(DestinationId, u64)>>,
        batch: &mut Batch,
    ) -> rusqlite::Result<Result<Vec<Appended>, StoreError>> {
        let mut places = Vec::with_capacity(messages.len());
        for prepared in &messages {
            match (&prepared.message.payload, &prepared.message.envelope.origin) {
                (Some(_), _) => places.push(None),
                (None, Some(origin)) => {
                    self.flush(batch)?;
                    match self.shared_body(origin.parent)? {
                        Some(place) => places.push(Some(place)),
                        None => return Ok(Err(StoreError::Missing)),
                    }
                }
                (None, None) => return Ok(Err(StoreError::Missing)),
            }
        }
        let mut answers = Vec::with_capacity(messages.len());
        let mut events = events.into_iter();
        for (prepared, place) in messages.into_iter().zip(places) {
            let events = events.next().unwrap_or_default();
            answers.push(self.append_one(prepared, place, events, batch)?);
        }
        Ok(Ok(answers))
    }

    fn append_one(
        &mut self,
        prepared: Prepared,
        place: Option<BodyPlace>,
        events: Vec<(DestinationId, u64)>,
        batch: &mut Batch,
    ) -> rusqlite::Result<Appended> {
        let Prepared { message, body } = prepared;
        let NewMessage { envelope, mut plan, payload, duplicate } = message;
        let earlier = match &duplicate {
            Some(rule) => self.earlier(rule, &envelope, batch)?,
            None => None,
        };
        let mut held = false;
        if let (Some(Earlier { found, id, received_at }), Some(rule)) = (earlier, &duplicate) {
            match (found, rule.if_changed) {
                (Match::Same(seq), _) => return Ok(Appended::Repeat { seq, id, received_at }),
                (Match::Changed(seq), IfChanged::Refuse) => return Ok(Appended::Conflict(seq)),
                (Match::Changed(_), IfChanged::Hold) => held = true,
                (Match::Changed(_), IfChanged::Accept) => {}
            }
        }
        if held {
            hold(&mut plan);
        }
        let seq = Seq(self.positions.next_seq + size_signed(batch.messages.len()));
        let place = place.unwrap_or_else(|| {
            let payload = payload.unwrap_or_default();
            BodyPlace { seq, size: size_signed(payload.len()), payload }
        });
        if let Some(rule) = &duplicate {
            let DuplicateRule { identity, content, .. } = *rule;
            batch.known.push(Known { identity, content, seq });
            batch.identities.insert(identity);
        }
        let stored = StoredMessage { seq, envelope, plan, payload: place.payload.clone(), events };
        self.insert(stored, &place, duplicate.as_ref(), body, batch)?;
        Ok(if held { Appended::Held(seq) } else { Appended::New(seq) })
    }

    /// Puts a message into the batch; `flush` writes it.
    fn insert(
        &mut self,
        message: StoredMessage,
        place: &BodyPlace,
        duplicate: Option<&DuplicateRule>,
        body: Option<(i64, Bytes)>,
        batch: &mut Batch,
    ) -> rusqlite::Result<()> {
        let StoredMessage { envelope, plan, .. } = &message;
        let channel = self.channel(&envelope.channel, batch)?;
        let mut names = Vec::with_capacity(envelope.keys.len());
        for key in &envelope.keys {
            names.push(self.key_name(&key.name, batch)?);
        }
        let (plan, lanes) = self.plan(plan, message.seq, batch)?;
        let values = envelope.keys.iter().map(|key| &key.value);
        let row = Row {
            channel,
            keys: put_keys(names.iter().copied().zip(values)),
            plan,
            lanes,
            identity: duplicate.map(|rule| rule.identity.cast_signed()),
            content: duplicate.map(|rule| rule.content.cast_signed()),
            body_seq: place.seq.0,
            body_size: place.size,
            events: put_events(&message.events),
            body,
        };
        batch.keys += names.len() + message.events.len() + 2;
        batch.indexed.push(Indexed::new(&message, channel, &names));
        batch.messages.push(Arc::new(message));
        batch.rows.push(row);
        Ok(())
    }

    /// Writes the batch's messages that are not written yet, several in a statement: half of what a row costs
    /// is its statement. Whoever reads messages inside the transaction calls it first.
    pub(super) fn flush(&self, batch: &mut Batch) -> rusqlite::Result<()> {
        if batch.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut batch.rows);
        let written = batch.messages.len().saturating_sub(rows.len());
        let messages = batch.messages.get(written..).unwrap_or_default();
        let places: Vec<(&StoredMessage, &Row)> =
            messages.iter().map(|message| &**message).zip(&rows).collect();
        let (eights, rest) = places.as_chunks::<8>();
        let conn = &self.conn;
        if !eights.is_empty() {
            let mut insert = conn.prepare_cached(queries::INSERT_MESSAGES_8)?;
            for eight in eights {
                bind_messages(&mut insert, eight)?;
            }
        }
        if !rest.is_empty() {
            let mut insert = conn.prepare_cached(queries::INSERT_MESSAGE)?;
            for one in rest {
                bind_messages(&mut insert, std::slice::from_ref(one))?;
            }
        }
        let bodies: Vec<(i64, i64, &[u8])> = places
            .iter()
            .filter_map(|(message, row)| {
                row.body.as_ref().map(|(codec, bytes)| (message.seq.0, *codec, &**bytes))
            })
            .collect();
        let (eights, rest) = bodies.as_chunks::<8>();
        if !eights.is_empty() {
            let mut insert = conn.prepare_cached(queries::INSERT_BODIES_8)?;
            for eight in eights {
                bind_bodies(&mut insert, eight)?;
            }
        }
        if !rest.is_empty() {
            let mut insert = conn.prepare_cached(queries::INSERT_BODY)?;
            for one in rest {
                bind_bodies(&mut insert, std::slice::from_ref(one))?;
            }
        }
        Ok(())
    }

    /// The body a replay shares; `None` when retention took it.
    fn shared_body(&self, parent: Seq) -> rusqlite::Result<Option<BodyPlace>> {
        let mut query = self.conn.prepare_cached(queries::BODY_OF)?;
        let place = query.query_row([parent.0], |row| {
            let bytes = decompress(row.get(2)?, row.get_ref(3)?.as_blob()?.into());
            Ok(bytes.map(|bytes| (row.get(0), row.get(1), bytes)))
        });
        match place.optional()?.flatten() {
            None => Ok(None),
            Some((seq, size, bytes)) => {
                Ok(Some(BodyPlace { seq: Seq(seq?), size: size?, payload: Payload::new(bytes) }))
            }
        }
    }

    /// The earlier message that this one repeats or changes, if it came within the rule's time.
    pub(super) fn earlier(
        &self,
        rule: &DuplicateRule,
        envelope: &Envelope,
        batch: &Batch,
    ) -> rusqlite::Result<Option<Earlier>> {
        let here = batch.find(rule);
        let found = match here {
            Some(Match::Same(_)) => here,
            _ => match self.remembered(rule, envelope)? {
                same @ Some(Match::Same(_)) => same,
                other => here.or(other),
            },
        };
        let Some(found) = found else {
            self.duplicates.note_new(&envelope.channel, envelope.received_at, rule.within);
            return Ok(None);
        };
        let (Match::Same(seq) | Match::Changed(seq)) = found;
        let Some((id, received_at)) = self.receipt(seq, batch)? else { return Ok(None) };
        let known = envelope.received_at.since(received_at) <= rule.within;
        Ok(known.then_some(Earlier { found, id, received_at }))
    }

    fn remembered(
        &self,
        rule: &DuplicateRule,
        envelope: &Envelope,
    ) -> rusqlite::Result<Option<Match>> {
        let found = self.duplicates.find(rule.identity, rule.content);
        if found.is_some() || self.duplicates.is_complete() {
            return Ok(found);
        }
        self.look_up(rule, envelope)
    }

    /// After a start, until the memory of repeats is complete: asks the search index.
    fn look_up(
        &self,
        rule: &DuplicateRule,
        envelope: &Envelope,
    ) -> rusqlite::Result<Option<Match>> {
        let value = indexed_part(envelope.control_id.expose());
        let mut places = self.shared.tail().find(KEY_CONTROL, value);
        let mut query = self.conn.prepare_cached(queries::SEARCH_KEY)?;
        let (all, no_channel) = (i64::MAX, None::<u32>);
        let mut rows = query.query(params![
            KEY_CONTROL,
            value,
            all,
            no_channel,
            i64::MIN,
            all,
            CANDIDATES_MAX
        ])?;
        while let Some(row) = rows.next()? {
            places.push(Seq(row.get(0)?));
        }
        let mut changed = None;
        let mut identity = self.conn.prepare_cached(queries::IDENTITY)?;
        for seq in places {
            let pair: Option<(Option<i64>, Option<i64>)> =
                identity.query_row([seq.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            if pair.and_then(|(identity, _)| identity) != Some(rule.identity.cast_signed()) {
                continue;
            }
            if pair.and_then(|(_, content)| content) == Some(rule.content.cast_signed()) {
                return Ok(Some(Match::Same(seq)));
            }
            changed = changed.or(Some(Match::Changed(seq)));
        }
        Ok(changed)
    }

    /// Id and time of an earlier message; `None` when retention took it.
    fn receipt(&self, seq: Seq, batch: &Batch) -> rusqlite::Result<Option<(MessageId, Timestamp)>> {
        if let Ok(place) = batch.messages.binary_search_by_key(&seq, |message| message.seq) {
            let here = batch.messages.get(place).map(|message| &message.envelope);
            return Ok(here.map(|envelope| (envelope.id, envelope.received_at)));
        }
        let mut query = self.conn.prepare_cached(queries::FIRST_RECEIPT)?;
        let row = query.query_row([seq.0], |row| {
            Ok((MessageId::from_bytes(row.get(0)?), Timestamp(row.get(1)?)))
        });
        row.optional()
    }

    fn channel(&self, name: &Arc<str>, batch: &mut Batch) -> rusqlite::Result<u32> {
        if let Some(number) = self.shared.dictionary().channels.number(name) {
            return Ok(number);
        }
        let number = self.shared.dictionary().channels.next();
        self.conn.prepare_cached(queries::INSERT_CHANNEL)?.execute(params![number, name])?;
        self.shared.dictionary_mut().channels.put(number, Arc::clone(name));
        let [channels, ..] = &mut batch.words;
        channels.push(number);
        Ok(number)
    }

    fn key_name(&self, name: &Arc<str>, batch: &mut Batch) -> rusqlite::Result<u32> {
        if let Some(number) = self.shared.dictionary().key_names.number(name) {
            return Ok(number);
        }
        let number = self.shared.dictionary().key_names.next();
        self.conn.prepare_cached(queries::INSERT_KEY_NAME)?.execute(params![number, name])?;
        self.shared.dictionary_mut().key_names.put(number, Arc::clone(name));
        let [_, key_names, _] = &mut batch.words;
        key_names.push(number);
        Ok(number)
    }

    fn plan(
        &mut self,
        plan: &Plan,
        seq: Seq,
        batch: &mut Batch,
    ) -> rusqlite::Result<(u32, Vec<u8>)> {
        let (shapes, lanes) = split(plan);
        let known = self.shared.dictionary().plans.number(&shapes);
        let number = known.unwrap_or_else(|| self.shared.dictionary().plans.next());
        // Retention may have taken it earlier in this very transaction, when nobody used it.
        let gone = self.pruner.gone_plans.iter().position(|gone| *gone == number);
        if let Some(place) = gone {
            self.pruner.gone_plans.swap_remove(place);
        }
        let stands = known.is_some() && gone.is_none();
        let said = self.plan_uses.get(&number).filter(|_| stands);
        if said.is_none_or(|to| *to < seq.0) {
            // Said ahead, so that it is written seldom.
            let ahead = seq.0.saturating_add(PLAN_USE_AHEAD);
            self.plan_uses.insert(number, ahead);
            let sql = if stands { queries::USE_PLAN } else { queries::INSERT_PLAN };
            self.conn.prepare_cached(sql)?.execute(params![number, ahead])?;
        }
        if stands {
            return Ok((number, lanes));
        }
        let mut insert = self.conn.prepare_cached(queries::INSERT_PLAN_ENTRY)?;
        for (position, shape) in shapes.iter().enumerate() {
            insert.execute(params![
                number,
                size_signed(position),
                shape.destination.0,
                shape.version.0,
                shape.what.number()
            ])?;
        }
        if known.is_none() {
            self.shared.dictionary_mut().put_plan(number, shapes.into());
            let [.., plans] = &mut batch.words;
            plans.push(number);
        }
        Ok((number, lanes))
    }
}

impl Batch {
    /// A message of this batch with the identity: the same one, or the last other.
    fn find(&self, rule: &DuplicateRule) -> Option<Match> {
        if !self.identities.contains(&rule.identity) {
            return None;
        }
        let mut changed = None;
        for known in self.known.iter().rev().filter(|known| known.identity == rule.identity) {
            if known.content == rule.content {
                return Some(Match::Same(known.seq));
            }
            changed = changed.or(Some(Match::Changed(known.seq)));
        }
        changed
    }
}

/// Binds parameters one after the other.
struct Binder<'s, 'c> {
    statement: &'s mut Statement<'c>,
    next: usize,
}

impl Binder<'_, '_> {
    fn put(&mut self, value: impl ToSql) -> rusqlite::Result<()> {
        self.next += 1;
        self.statement.raw_bind_parameter(self.next, value)
    }
}

fn bind_messages(
    statement: &mut Statement<'_>,
    messages: &[(&StoredMessage, &Row)],
) -> rusqlite::Result<()> {
    let mut binder = Binder { statement, next: 0 };
    for (StoredMessage { seq, envelope, .. }, row) in messages {
        let origin = envelope.origin.as_ref();
        binder.put(seq.0)?;
        binder.put(envelope.id.to_bytes())?;
        binder.put(envelope.received_at.0)?;
        binder.put(row.channel)?;
        binder.put(envelope.content_type.number())?;
        binder.put(envelope.kind.number())?;
        binder.put(&*envelope.event)?;
        binder.put(envelope.control_id.expose())?;
        binder.put(&*row.keys)?;
        binder.put(row.plan)?;
        binder.put(&*row.lanes)?;
        binder.put(row.identity)?;
        binder.put(row.content)?;
        binder.put(origin.map(|origin| origin.parent.0))?;
        binder.put(origin.map(|origin| &origin.by))?;
        binder.put(origin.map(|origin| &origin.reason))?;
        binder.put(row.body_seq)?;
        binder.put(row.body_size)?;
        binder.put(row.events.as_deref())?;
    }
    statement.raw_execute().map(drop)
}

fn bind_bodies(
    statement: &mut Statement<'_>,
    bodies: &[(i64, i64, &[u8])],
) -> rusqlite::Result<()> {
    let mut binder = Binder { statement, next: 0 };
    for (seq, codec, bytes) in bodies {
        binder.put(seq)?;
        binder.put(codec)?;
        binder.put(bytes)?;
    }
    statement.raw_execute().map(drop)
}

/// Nothing is sent until a person releases it.
fn hold(plan: &mut Plan) {
    for entry in &mut plan.entries {
        if let Disposition::Deliver { lane, joins } = &mut entry.disposition {
            let (lane, joins) = (*lane, std::mem::take(joins));
            entry.disposition = Disposition::Hold { lane, joins };
        }
    }
}
