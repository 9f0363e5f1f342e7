//! Retention in small steps between commits (P13). Never touches a message that is pending, in retry,
//! held, behind or dead somewhere, nor a body that a replay still needs.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::message::id::DestinationId;
use crate::message::id::Seq;
use crate::message::time::Timestamp;
use crate::store::sqlite::blocks::{Position, page_of, places_of};
use crate::store::sqlite::dictionary::{Dictionary, What};
use crate::store::sqlite::queries;
use crate::store::sqlite::resources::ResourcePruner;
use crate::store::{Ages, Retention};
use crate::telemetry::crash;

/// Stretches looked at in one step when nothing in them may go.
const STRETCHES_MAX: u32 = 16;
/// The number of the state `Cancelled`: the only exception row that is over.
const CANCELLED: i64 = 5;

/// Where each pass over the store stands. Each starts over when it reaches what is too young.
#[derive(Debug, Default)]
pub(super) struct Pruner {
    bodies_to: i64,
    messages_to: i64,
    page: i64,
    run: i64,
    versions: ResourcePruner,
    /// Plans that went in this transaction.
    pub(super) gone_plans: Vec<u32>,
}

/// What a step stands on.
pub(super) struct Ground<'a> {
    /// The words of the store.
    pub(super) dictionary: &'a Dictionary,
    /// Where destinations stand.
    pub(super) cursors: &'a HashMap<DestinationId, Position>,
    /// Up to which version the resource index is in its table.
    pub(super) versions_to: i64,
}

/// What the passes look things up in.
struct Scene<'a> {
    conn: &'a Connection,
    dictionary: &'a Dictionary,
    cursors: &'a HashMap<DestinationId, Position>,
    now: Timestamp,
}

/// A message that may go, if it is over.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    seq: i64,
    received_at: Timestamp,
    plan: u32,
    channel: u32,
}

/// What was received before these moments is old enough.
struct Limits {
    usual: Timestamp,
    /// Of channels with a time of their own.
    own: HashMap<u32, Timestamp>,
    /// Where a pass ends: beyond it nothing is old enough, whatever its channel.
    last: Timestamp,
}

impl Limits {
    fn new(
        retention: &Retention,
        dictionary: &Dictionary,
        now: Timestamp,
        (usual, of): (Duration, fn(&Ages) -> Duration),
    ) -> Self {
        let usual = before(now, usual);
        let own: HashMap<u32, Timestamp> = retention
            .channels
            .iter()
            .filter_map(|(name, ages)| {
                Some((dictionary.channels.number(name)?, before(now, of(ages))))
            })
            .collect();
        let last = own.values().copied().fold(usual, Timestamp::max);
        Self { usual, own, last }
    }

    fn is_old(&self, message: &Candidate) -> bool {
        message.received_at < self.own.get(&message.channel).copied().unwrap_or(self.usual)
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX)))
}

/// What a stretch of the log yielded.
enum Stretch {
    /// So many were touched.
    Touched(u64),
    /// None may go; there is more beyond.
    Stuck,
    /// Beyond it all is too young.
    End,
}

impl Pruner {
    /// One step. Answers how many messages or rows it touched; 0 when there is nothing to do.
    pub(super) fn step(
        &mut self,
        conn: &Connection,
        ground: &Ground<'_>,
        retention: &Retention,
        now: Timestamp,
    ) -> rusqlite::Result<u64> {
        let step = retention.step.max(1);
        let Ground { dictionary, cursors, versions_to } = *ground;
        let scene = Scene { conn, dictionary, cursors, now };
        let limits =
            |age: (Duration, fn(&Ages) -> Duration)| Limits::new(retention, dictionary, now, age);
        let rejects = conn
            .prepare_cached(queries::PRUNE_REJECTS)?
            .execute(params![before(now, retention.rejects).0, step])?;
        if rejects > 0 {
            return Ok(count(rejects));
        }
        let bodies = self.bodies(&scene, &limits((retention.bodies, |own| own.bodies)), step)?;
        if bodies > 0 {
            return Ok(bodies);
        }
        let messages =
            self.messages(&scene, &limits((retention.messages, |own| own.messages)), step)?;
        if messages > 0 {
            return Ok(messages);
        }
        let pages = self.pages(conn)?;
        if pages > 0 {
            return Ok(pages);
        }
        let runs = self.runs(conn)?;
        if runs > 0 {
            return Ok(runs);
        }
        let plans = self.plans(conn, step)?;
        if plans > 0 {
            return Ok(plans);
        }
        self.versions.step(conn, versions_to, retention, now)
    }

    fn bodies(&mut self, scene: &Scene<'_>, limits: &Limits, step: u32) -> rusqlite::Result<u64> {
        for _ in 0..STRETCHES_MAX {
            match self.bodies_stretch(scene, limits, step)? {
                Stretch::Touched(touched) => return Ok(touched),
                Stretch::Stuck => {}
                Stretch::End => {
                    self.bodies_to = 0;
                    return Ok(0);
                }
            }
        }
        Ok(0)
    }

    fn bodies_stretch(
        &mut self,
        scene: &Scene<'_>,
        limits: &Limits,
        step: u32,
    ) -> rusqlite::Result<Stretch> {
        let mut query = scene.conn.prepare_cached(queries::BODIES_AFTER)?;
        let owners: Vec<(i64, Option<Candidate>)> = query
            .query_map(params![self.bodies_to, step], |row| {
                let seq = row.get(0)?;
                let owner = match row.get::<_, Option<i64>>(1)? {
                    Some(at) => Some(Candidate {
                        seq,
                        received_at: Timestamp(at),
                        plan: row.get(2)?,
                        channel: row.get(3)?,
                    }),
                    None => None,
                };
                Ok((seq, owner))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let (Some((first, _)), Some((last, _))) = (owners.first(), owners.last()) else {
            return Ok(Stretch::End);
        };
        let needed = scene.needed_by_replays(*first, *last, limits)?;
        let own: Vec<Candidate> = owners.iter().filter_map(|(_, owner)| *owner).collect();
        let over = scene.over(&own)?;
        let mut touched = 0;
        for (seq, owner) in &owners {
            if owner.is_some_and(|owner| scene.is_young(&owner, limits)) {
                return Ok(if touched > 0 { Stretch::Touched(touched) } else { Stretch::End });
            }
            self.bodies_to = *seq;
            let free = owner.is_none_or(|owner| over.contains(&owner.seq) && limits.is_old(&owner));
            if free && !needed.contains(seq) {
                scene.conn.prepare_cached(queries::DELETE_BODY)?.execute([seq])?;
                crash::point("store_mid_prune");
                touched += 1;
            }
        }
        Ok(if touched > 0 { Stretch::Touched(touched) } else { Stretch::Stuck })
    }

    fn messages(&mut self, scene: &Scene<'_>, limits: &Limits, step: u32) -> rusqlite::Result<u64> {
        for _ in 0..STRETCHES_MAX {
            match self.messages_stretch(scene, limits, step)? {
                Stretch::Touched(touched) => return Ok(touched),
                Stretch::Stuck => {}
                Stretch::End => {
                    self.messages_to = 0;
                    return Ok(0);
                }
            }
        }
        Ok(0)
    }

    fn messages_stretch(
        &mut self,
        scene: &Scene<'_>,
        limits: &Limits,
        step: u32,
    ) -> rusqlite::Result<Stretch> {
        let mut query = scene.conn.prepare_cached(queries::OLDEST)?;
        let oldest: Vec<Candidate> = query
            .query_map(params![self.messages_to, step], |row| {
                Ok(Candidate {
                    seq: row.get(0)?,
                    received_at: Timestamp(row.get(1)?),
                    plan: row.get(2)?,
                    channel: row.get(3)?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        if oldest.is_empty() {
            return Ok(Stretch::End);
        }
        let over = scene.over(&oldest)?;
        let mut touched = 0;
        for message in &oldest {
            if scene.is_young(message, limits) {
                return Ok(if touched > 0 { Stretch::Touched(touched) } else { Stretch::End });
            }
            self.messages_to = message.seq;
            if limits.is_old(message) && over.contains(&message.seq) {
                scene.delete(message)?;
                crash::point("store_mid_prune");
                touched += 1;
            }
        }
        Ok(if touched > 0 { Stretch::Touched(touched) } else { Stretch::Stuck })
    }

    /// Pages of settled blocks whose messages all went.
    fn pages(&mut self, conn: &Connection) -> rusqlite::Result<u64> {
        let reached: i64 = conn.query_row(queries::MARK, ["pruned_to"], |row| row.get(0))?;
        for _ in 0..STRETCHES_MAX {
            let mut query = conn.prepare_cached(queries::PAGE_AFTER)?;
            let page: Option<i64> = query.query_row([self.page - 1], |row| row.get(0))?;
            let Some(page) = page.filter(|page| *page < page_of(Seq(reached))) else {
                self.page = 0;
                return Ok(0);
            };
            self.page = page + 1;
            let (from, to) = places_of(page);
            if !any_between(conn, from, to)? {
                return Ok(count(conn.prepare_cached(queries::DELETE_PAGE)?.execute([page])?));
            }
        }
        Ok(0)
    }

    /// Runs of the search index whose messages all went: the keys of one name a step.
    fn runs(&mut self, conn: &Connection) -> rusqlite::Result<u64> {
        for _ in 0..STRETCHES_MAX {
            let next = conn
                .prepare_cached(queries::RUN_AFTER)?
                .query_row([self.run], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            let Some((run, from, to)) = next else {
                self.run = 0;
                return Ok(0);
            };
            if any_between(conn, from, to)? {
                self.run = run;
                continue;
            }
            let name: Option<u32> =
                conn.prepare_cached(queries::RUN_NAME)?.query_row([run], |row| row.get(0))?;
            let touched = match name {
                Some(name) => {
                    conn.prepare_cached(queries::DELETE_KEYS)?.execute(params![run, name])?
                }
                None => conn.prepare_cached(queries::DELETE_RUN)?.execute([run])?,
            };
            return Ok(count(touched));
        }
        Ok(0)
    }
}

impl Pruner {
    /// Plans that no message has any more: those said to be in use up to a place before the first message.
    fn plans(&mut self, conn: &Connection, step: u32) -> rusqlite::Result<u64> {
        let first: i64 = conn.prepare_cached(queries::FIRST)?.query_row([], |row| row.get(0))?;
        let gone: Vec<u32> = conn
            .prepare_cached(queries::UNUSED_PLANS)?
            .query_map(params![first, step], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for number in &gone {
            conn.prepare_cached(queries::DELETE_PLAN_ENTRIES)?.execute([number])?;
            conn.prepare_cached(queries::DELETE_PLAN)?.execute([number])?;
        }
        let touched = count(gone.len());
        self.gone_plans.extend(gone);
        Ok(touched)
    }
}

impl Scene<'_> {
    /// Whether it, and what came after it, is kept. A message from the future (the clock was wrong)
    /// is kept itself but stops nobody.
    fn is_young(&self, message: &Candidate, limits: &Limits) -> bool {
        message.received_at >= limits.last && message.received_at <= self.now
    }

    /// Those of the messages with nothing left to happen at any destination of their plan.
    fn over(&self, messages: &[Candidate]) -> rusqlite::Result<HashSet<i64>> {
        let (Some(first), Some(last)) = (
            messages.iter().map(|message| message.seq).min(),
            messages.iter().map(|message| message.seq).max(),
        ) else {
            return Ok(HashSet::new());
        };
        let mut open = HashSet::new();
        let mut query = self.conn.prepare_cached(queries::EXCEPTIONS_BETWEEN)?;
        let mut rows = query.query([first, last])?;
        while let Some(row) = rows.next()? {
            let state: i64 = row.get(2)?;
            if state != CANCELLED {
                open.insert((DestinationId(row.get(0)?), row.get::<_, i64>(1)?));
            }
        }
        let is_over = |message: &&Candidate| {
            self.dictionary.plans.get(message.plan).is_some_and(|shapes| {
                shapes.iter().filter(|shape| shape.what != What::Filtered).all(|shape| {
                    let passed = self.cursors.get(&shape.destination);
                    passed.is_some_and(|cursor| cursor.settled_to.0 >= message.seq)
                        && !open.contains(&(shape.destination, message.seq))
                })
            })
        };
        Ok(messages.iter().filter(is_over).map(|message| message.seq).collect())
    }

    /// Bodies between the two places that a replay needs: it is young, or not over.
    fn needed_by_replays(
        &self,
        first: i64,
        last: i64,
        limits: &Limits,
    ) -> rusqlite::Result<BTreeSet<i64>> {
        let mut query = self.conn.prepare_cached(queries::SHARERS)?;
        let replays: Vec<(i64, Candidate)> = query
            .query_map([first, last], |row| {
                let (seq, received_at) = (row.get(1)?, Timestamp(row.get(2)?));
                let (plan, channel) = (row.get(3)?, row.get(4)?);
                Ok((row.get(0)?, Candidate { seq, received_at, plan, channel }))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let candidates: Vec<Candidate> = replays.iter().map(|(_, replay)| *replay).collect();
        let over = self.over(&candidates)?;
        let needs =
            |(_, replay): &&(i64, Candidate)| !over.contains(&replay.seq) || !limits.is_old(replay);
        Ok(replays.iter().filter(needs).map(|(body, _)| *body).collect())
    }

    fn delete(&self, message: &Candidate) -> rusqlite::Result<()> {
        let Candidate { seq, plan, .. } = *message;
        self.conn.prepare_cached(queries::DELETE_MESSAGE)?.execute([seq])?;
        self.conn.prepare_cached(queries::DELETE_UNSHARED_BODY)?.execute([seq])?;
        self.conn.prepare_cached(queries::DELETE_ATTEMPTS)?.execute([seq])?;
        let mut exceptions = self.conn.prepare_cached(queries::DELETE_EXCEPTION)?;
        for shape in self.dictionary.plans.get(plan).into_iter().flat_map(|shapes| shapes.iter()) {
            exceptions.execute(params![shape.destination.0, seq])?;
        }
        self.conn.prepare_cached(queries::RAISE_MARK)?.execute(params!["pruned_to", seq])?;
        Ok(())
    }
}

fn any_between(conn: &Connection, from: i64, to: i64) -> rusqlite::Result<bool> {
    conn.prepare_cached(queries::ANY_BETWEEN)?.query_row([from, to], |row| row.get(0))
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
