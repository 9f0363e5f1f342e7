//! Writes messages inside the committer's transaction: recognises repeats, numbers, inserts.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{OptionalExtension, params};

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

/// Where a message's body stands.
struct BodyPlace {
    seq: Seq,
    size: i64,
    payload: Payload,
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
                (None, Some(origin)) => match self.shared_body(origin.parent)? {
                    Some(place) => places.push(Some(place)),
                    None => return Ok(Err(StoreError::Missing)),
                },
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
        }
        let stored = StoredMessage { seq, envelope, plan, payload: place.payload.clone(), events };
        self.insert(&stored, &place, duplicate.as_ref(), body.as_ref(), batch)?;
        batch.messages.push(Arc::new(stored));
        Ok(if held { Appended::Held(seq) } else { Appended::New(seq) })
    }

    fn insert(
        &mut self,
        message: &StoredMessage,
        place: &BodyPlace,
        duplicate: Option<&DuplicateRule>,
        body: Option<&(i64, Bytes)>,
        batch: &mut Batch,
    ) -> rusqlite::Result<()> {
        let StoredMessage { seq, envelope, plan, .. } = message;
        let channel = self.channel(&envelope.channel, batch)?;
        let mut names = Vec::with_capacity(envelope.keys.len());
        for key in &envelope.keys {
            names.push(self.key_name(&key.name, batch)?);
        }
        let (plan, lanes) = self.plan(plan, batch)?;
        let values = envelope.keys.iter().map(|key| &key.value);
        let origin = envelope.origin.as_ref();
        self.conn.prepare_cached(queries::INSERT_MESSAGE)?.execute(params![
            seq.0,
            envelope.id.to_bytes(),
            envelope.received_at.0,
            channel,
            envelope.content_type.number(),
            envelope.kind.number(),
            envelope.event,
            envelope.control_id.expose(),
            put_keys(names.iter().copied().zip(values)),
            plan,
            lanes,
            duplicate.map(|rule| rule.identity.cast_signed()),
            duplicate.map(|rule| rule.content.cast_signed()),
            origin.map(|origin| origin.parent.0),
            origin.map(|origin| &origin.by),
            origin.map(|origin| &origin.reason),
            place.seq.0,
            place.size,
            put_events(&message.events),
        ])?;
        if let Some((codec, bytes)) = body {
            let mut insert = self.conn.prepare_cached(queries::INSERT_BODY)?;
            insert.execute(params![seq.0, codec, &**bytes])?;
        }
        batch.keys += names.len() + message.events.len() + 2;
        batch.indexed.push(Indexed::new(message, channel, &names));
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
        let Some(found) = found else { return Ok(None) };
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

    fn plan(&self, plan: &Plan, batch: &mut Batch) -> rusqlite::Result<(u32, Vec<u8>)> {
        let (shapes, lanes) = split(plan);
        if let Some(number) = self.shared.dictionary().plans.number(&shapes) {
            return Ok((number, lanes));
        }
        let number = self.shared.dictionary().plans.next();
        self.conn.prepare_cached(queries::INSERT_PLAN)?.execute([number])?;
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
        self.shared.dictionary_mut().plans.put(number, shapes.into());
        let [.., plans] = &mut batch.words;
        plans.push(number);
        Ok((number, lanes))
    }
}

impl Batch {
    /// A message of this batch with the identity: the same one, or the last other.
    fn find(&self, rule: &DuplicateRule) -> Option<Match> {
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

/// Nothing is sent until a person releases it.
fn hold(plan: &mut Plan) {
    for entry in &mut plan.entries {
        if let Disposition::Deliver { lane, .. } = entry.disposition {
            entry.disposition = Disposition::Hold { lane };
        }
    }
}
