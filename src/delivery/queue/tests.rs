//! The queue run from seeds against a plain model: scripted outcomes, acts of people, crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::*;
use crate::delivery::policy::{AckPolicy, Reaction};
use crate::delivery::retry::{Exhausted, RetryPolicy};
use crate::message::Envelope;
use crate::message::KeyValue;
use crate::message::id::{MessageId, VersionId};
use crate::message::kind::{ContentType, Kind};
use crate::message::outcome::{Outcome, Scope};
use crate::message::payload::Payload;
use crate::message::plan::{Joins, Lane, Plan, PlanEntry};
use crate::message::verdict::RenderProblem;
use crate::store::{Attempt, DestinationState};

const ID: DestinationId = DestinationId(1);

fn message(seq: i64, disposition: Disposition) -> Arc<StoredMessage> {
    let entry = PlanEntry { destination: ID, version: VersionId(1), disposition };
    Arc::new(StoredMessage {
        seq: Seq(seq),
        envelope: Envelope {
            id: MessageId::from_bytes([7; 16]),
            received_at: Timestamp(0),
            channel: "adt".into(),
            content_type: ContentType::Hl7v2,
            kind: Kind::Patient,
            event: "ADT^A08".into(),
            control_id: KeyValue::new("1"),
            keys: Vec::new(),
            origin: None,
        },
        plan: Plan { entries: vec![entry] },
        payload: Payload::new(vec![b'x'; 10]),
        events: Vec::new(),
    })
}

/// What a store keeps, as plain sets.
#[derive(Debug, Default, Clone)]
struct Kept {
    settled: BTreeSet<Seq>,
    rows: BTreeMap<Seq, Exception>,
    cursor: (Seq, Seq),
}

impl Kept {
    fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Settle(settled) => {
                    self.rows.remove(&settled.seq);
                    assert!(self.settled.insert(settled.seq), "{} settled twice", settled.seq);
                }
                Change::Except(row) => {
                    self.rows.insert(row.seq, row.clone());
                }
                Change::Cursor { settled_to, frontier, .. } => {
                    assert!(settled_to <= frontier);
                    self.cursor = (*settled_to, *frontier);
                }
                Change::Clear(..)
                | Change::Attempt(_)
                | Change::Bundle { .. }
                | Change::Note(..) => {}
            }
        }
    }

    fn restored(&self) -> Restored {
        let above = |seq: &&Seq| **seq > self.cursor.0;
        assert!(self.settled.iter().all(|seq| *seq <= self.cursor.1), "beyond the frontier");
        let open = |row: &&Exception| {
            !matches!(row.state, ExceptionState::Dead | ExceptionState::Cancelled)
        };
        Restored {
            state: DestinationState {
                settled_to: self.cursor.0,
                settled_above: self.settled.iter().filter(above).copied().collect(),
                excepted_above: self.rows.keys().filter(above).copied().collect(),
                ..DestinationState::default()
            },
            rows: self.rows.values().filter(open).cloned().collect(),
            dead: 0,
            head: Seq(0),
        }
    }

    fn is_final(&self, seq: Seq) -> bool {
        self.settled.contains(&seq)
            || self.rows.get(&seq).is_some_and(|row| {
                matches!(row.state, ExceptionState::Dead | ExceptionState::Cancelled)
            })
    }
}

/// A queue, its log and what is true: `now` in memory, `kept` after a crash.
struct World {
    rng: Rng,
    queue: Queue,
    options: DeliveryOptions,
    log: Vec<Arc<StoredMessage>>,
    truth: Kept,
    kept: Kept,
    handed: Option<Vec<Change>>,
    flying: Vec<Seq>,
    /// Bytes that the store could not give, and is asked for again.
    late: Vec<Seq>,
    time: i64,
    strict: bool,
    healed: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut policy = AckPolicy::standard();
        policy.set("AE", [Reaction::HoldLane, Reaction::DeadLetter][rng.usize(..2)]).unwrap();
        let options = DeliveryOptions {
            parallel: rng.u32(1..6),
            window: rng.usize(1..20),
            exceptions_max: [5, 30, 1000][rng.usize(..3)],
            behind_max: [5, 30, 1000][rng.usize(..3)],
            unrecorded_max: rng.usize(1..40),
            policy,
            retry: RetryPolicy {
                attempts_max: [None, Some(3)][rng.usize(..2)],
                then: [Exhausted::Hold, Exhausted::DeadLetter][rng.usize(..2)],
                ..RetryPolicy::default()
            },
            ..DeliveryOptions::default()
        };
        let queue = Queue::new(ID, options.clone(), Restored::default(), at(0));
        Self {
            rng,
            queue,
            options,
            log: Vec::new(),
            truth: Kept::default(),
            kept: Kept::default(),
            handed: None,
            flying: Vec::new(),
            late: Vec::new(),
            time: 0,
            strict: seed % 8 == 7,
            healed: false,
        }
    }

    fn now(&self) -> Now {
        at(self.time)
    }

    fn append(&mut self) {
        let seq = i64::try_from(self.log.len()).unwrap() + 1;
        let lane = match self.rng.u32(..12) {
            _ if self.strict => Lane::STRICT,
            0 => Lane::NONE,
            n => Lane(u64::from(n) + 1),
        };
        let disposition = match self.rng.u32(..20) {
            0 => Disposition::Filtered,
            1 => Disposition::Hold { lane, joins: self.joins() },
            2 | 3 if !self.strict => Disposition::Deliver { lane, joins: self.joins() },
            _ => Disposition::Deliver { lane, joins: Joins::NONE },
        };
        self.log.push(message(seq, disposition));
    }

    fn read(&mut self) {
        if self.queue.wants_log() {
            let from = usize::try_from(self.queue.read_to().0).unwrap();
            let to = (from + self.rng.usize(1..6)).min(self.log.len());
            let last = Seq(i64::try_from(to).unwrap());
            self.queue.ingest(&self.log[from..to], last, self.now());
        }
        let mut bodies = std::mem::take(&mut self.late);
        bodies.extend(self.queue.wants_bodies());
        if self.rng.u32(..10) == 0 {
            self.late = bodies;
            return;
        }
        let found: Vec<_> = bodies
            .iter()
            .map(|seq| Arc::clone(&self.log[usize::try_from(seq.0).unwrap() - 1]))
            .collect();
        self.queue.bodies(&bodies, &found, self.now());
    }

    fn standing(&self, seq: Seq) -> Option<Standing> {
        let message = &self.log[usize::try_from(seq.0).unwrap() - 1];
        Standing::of(&message.plan.entry(ID).unwrap().disposition)
    }

    /// What a merge joins; in a strict destination nothing.
    fn joins(&mut self) -> Joins {
        let others = if self.strict { 0 } else { self.rng.usize(0..4) };
        (0..others).map(|_| Lane(self.rng.u64(2..14))).collect()
    }

    fn claim(&mut self) {
        while let Some(claim) = self.queue.claim(self.now()) {
            let standing = self.standing(claim.seq).unwrap();
            let lanes: BTreeSet<Lane> = standing.lanes().collect();
            self.sync_truth();
            assert!(!self.truth.is_final(claim.seq), "{} sent after its end", claim.seq);
            for message in &self.log[..usize::try_from(claim.seq.0).unwrap() - 1] {
                let Some(other) = self.standing(message.seq) else { continue };
                assert!(
                    !other.lanes().any(|lane| lanes.contains(&lane))
                        || self.truth.is_final(message.seq),
                    "{} overtook {}",
                    claim.seq,
                    message.seq
                );
            }
            for other in &self.flying {
                let other = self.standing(*other).unwrap();
                assert!(!other.lanes().any(|lane| lanes.contains(&lane)), "two in one lane");
            }
            self.flying.push(claim.seq);
        }
    }

    /// What the queue decided, recorded or not.
    fn sync_truth(&mut self) {
        let mut truth = self.kept.clone();
        truth.apply(self.handed.as_deref().unwrap_or_default());
        truth.apply(&self.queue.outbox);
        self.truth = truth;
    }

    fn conclude(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let seq = self.flying.swap_remove(self.rng.usize(..self.flying.len()));
        let answer = |code: &'static str| Answer::new(code, "");
        let kind = if self.healed { 99 } else { self.rng.u32(..16) };
        let outcome = match kind {
            0 => Outcome::Rejected(answer("AE")),
            1 => Outcome::Uncertain(answer("timeout")),
            2 | 3 => Outcome::Failed {
                answer: answer("refused"),
                scope: Scope::Endpoint,
                retry_after: None,
            },
            4 => Outcome::Failed {
                answer: answer("AR"),
                scope: Scope::Message,
                retry_after: Some(Duration::from_secs(7)),
            },
            5 => Outcome::Rejected(answer("CR")),
            _ => Outcome::Accepted(answer("AA")),
        };
        let problem =
            RenderProblem { cause: "unmapped_code", text: String::new(), detail: String::new() };
        let conclusion = match kind {
            6 => Conclusion::RenderHeld(problem),
            7 => Conclusion::Panicked,
            _ => Conclusion::Sent {
                outcome,
                began: Timestamp(self.time),
                duration: Duration::from_millis(1),
                sent_hash: 1,
            },
        };
        self.queue.conclude(seq, conclusion, self.now());
    }

    fn record(&mut self) {
        if let Some(changes) = self.handed.take() {
            self.kept.apply(&changes);
            self.queue.recorded();
        }
        self.handed = self.queue.batch(self.now());
    }

    fn act(&mut self) {
        if self.log.is_empty() {
            return;
        }
        let seq = Seq(self.rng.i64(1..=i64::try_from(self.log.len()).unwrap()));
        let act = [Act::Release, Act::RetryNow, Act::Skip, Act::DeadLetter, Act::Cancel]
            [self.rng.usize(..5)];
        let now = self.now();
        self.sync_truth();
        let dead =
            self.truth.rows.get(&seq).filter(|row| row.state == ExceptionState::Dead).cloned();
        if self.queue.act(act, seq, "ana", "test", now).is_err()
            && let Some(row) = dead
            && self.rng.bool()
        {
            self.queue.retry_dead(row, "ana", "test", now).unwrap();
        } else if act == Act::Cancel && seq > self.queue.read_to() && !self.truth.is_final(seq) {
            let planned = self.log[usize::try_from(seq.0).unwrap() - 1].plan.entry(ID).unwrap();
            let _refused = self.queue.cancel_outside(
                seq,
                None,
                Standing::of(&planned.disposition),
                ("ana", "test"),
                now,
            );
        }
    }

    /// The process dies: only what is durable remains. Sometimes the batch on its way made it.
    fn crash(&mut self) {
        if let Some(changes) = self.handed.take()
            && self.rng.bool()
        {
            self.kept.apply(&changes);
        }
        self.flying.clear();
        self.queue = Queue::new(ID, self.options.clone(), self.kept.restored(), self.now());
        self.late.clear();
    }

    fn pass_time(&mut self, micros: i64) {
        self.time += micros;
        self.queue.tick(self.now());
    }

    fn check_sums(&mut self) {
        let unread: usize = self
            .log
            .iter()
            .filter(|message| message.seq > self.queue.read_to())
            .filter(|message| self.standing(message.seq).is_some())
            .filter(|message| !self.queue.skip.contains(&message.seq))
            .filter(|message| !self.queue.items.contains_key(&message.seq))
            .count();
        self.sync_truth();
        let planned = self.log.iter().filter(|message| self.standing(message.seq).is_some());
        let ended = planned.clone().filter(|message| self.truth.is_final(message.seq)).count();
        assert_eq!(planned.count(), ended + self.queue.items.len() + unread, "lost or doubled");
        let window = self.queue.items.values().filter(|item| item.row.is_none()).count();
        assert_eq!(self.queue.window, window);
        let rows = self.queue.rows;
        assert_eq!(rows.heads() + rows.behind, self.queue.items.len() - window);
        let loaded = self.queue.items.values();
        let loaded = loaded.filter(|item| item.row.is_some() && item.body.is_some()).count();
        assert_eq!(self.queue.loaded, loaded + self.late.len(), "bodies counted wrong");
        assert_eq!(usize::try_from(self.queue.flying).unwrap(), self.flying.len());
        assert!(self.queue.window <= self.options.window + 6);
    }

    fn step(&mut self) {
        match self.rng.u32(..100) {
            0..20 => self.append(),
            20..40 => self.read(),
            40..55 => self.claim(),
            55..75 => self.conclude(),
            75..85 => self.record(),
            85..93 => {
                let micros = self.rng.i64(1..5_000_000);
                self.pass_time(micros);
            }
            93..99 => self.act(),
            _ => self.crash(),
        }
        self.check_sums();
    }

    /// The receiver takes everything now and people release what is held: nothing may remain.
    fn heal(&mut self) {
        self.healed = true;
        for _ in 0..100_000 {
            self.read();
            let held: Vec<Seq> = self
                .queue
                .items
                .iter()
                .filter(|(_, item)| item.state() == Some(ExceptionState::Held))
                .map(|(seq, _)| *seq)
                .collect();
            for seq in held {
                self.queue.act(Act::Release, seq, "ana", "test", at(self.time)).unwrap();
            }
            self.claim();
            self.conclude();
            self.record();
            self.pass_time(400_000_000);
            if self.queue.items.is_empty()
                && self.queue.read_to().0 == i64::try_from(self.log.len()).unwrap()
                && self.handed.is_none()
                && self.queue.outbox.is_empty()
            {
                return;
            }
        }
        panic!("stuck: {} remain, {:?}", self.queue.items.len(), self.queue.view(0, self.now()));
    }
}

fn at(time: i64) -> Now {
    Now { wall: Timestamp(time), steady: Timestamp(time) }
}

#[test]
fn nothing_is_lost_and_no_lane_is_overtaken_whatever_happens() {
    for seed in 0..64 {
        let mut world = World::new(seed);
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..800 {
                world.step();
            }
            world.heal();
            assert!(world.log.iter().all(|message| {
                world.standing(message.seq).is_none() || world.kept.is_final(message.seq)
            }));
            assert_eq!(world.kept.cursor.0.0, i64::try_from(world.log.len()).unwrap());
        }));
        assert!(failed.is_ok(), "seed {seed}");
    }
}

fn lane(lane: u64) -> Disposition {
    Disposition::Deliver { lane: Lane(lane), joins: Joins::NONE }
}

fn accepted() -> Conclusion {
    let outcome = Outcome::Accepted(Answer::new("AA", ""));
    Conclusion::Sent { outcome, began: Timestamp(0), duration: Duration::ZERO, sent_hash: 0 }
}

#[test]
fn one_lane_that_stands_still_for_days_stops_no_other() {
    let options = DeliveryOptions { window: 100, ..DeliveryOptions::default() };
    let mut queue = Queue::new(ID, options, Restored::default(), at(0));
    let mut seq = 0;
    let mut feed = |queue: &mut Queue, in_lane: u64| {
        seq += 1;
        queue.ingest(&[message(seq, lane(in_lane))], Seq(seq), at(seq));
        Seq(seq)
    };
    let first = feed(&mut queue, 10);
    assert_eq!(queue.claim(at(0)).unwrap().seq, first);
    let problem = RenderProblem { cause: "type", text: "no".to_owned(), detail: String::new() };
    queue.conclude(first, Conclusion::RenderHeld(problem), at(0));
    for _ in 0..20_000 {
        feed(&mut queue, 10);
        assert!(queue.wants_log());
        while queue.batch(at(0)).is_some() {
            queue.recorded();
        }
    }
    let other = feed(&mut queue, 11);
    assert_eq!(queue.claim(at(0)).unwrap().seq, other);
    let view = queue.view(0, at(0));
    assert_eq!((view.held, view.behind, view.stalled), (1, 20_000, None));
}

#[test]
fn what_comes_after_a_fence_is_read_when_all_before_it_is_through() {
    let mut queue = Queue::new(ID, DeliveryOptions::default(), Restored::default(), at(0));
    let log: Vec<_> = (1_i64..6).map(|seq| message(seq, lane(10 + seq.unsigned_abs()))).collect();
    queue.ingest(&log[..2], Seq(2), at(0));
    queue.set_fence(Seq(3));
    assert!(queue.wants_log(), "the fence is not reached yet");
    assert_eq!(queue.ingest(&log[2..], Seq(5), at(0)), 1);
    assert_eq!((queue.read_to(), queue.wants_log()), (Seq(3), false));
    let claims: Vec<Seq> = std::iter::from_fn(|| queue.claim(at(0))).map(|c| c.seq).collect();
    assert_eq!(claims, [Seq(1), Seq(2), Seq(3)]);
    // One of them waits for a person: nothing passes it.
    let problem = RenderProblem { cause: "type", text: "no".to_owned(), detail: String::new() };
    queue.conclude(Seq(2), Conclusion::RenderHeld(problem), at(0));
    queue.conclude(Seq(1), accepted(), at(0));
    queue.conclude(Seq(3), accepted(), at(0));
    assert!(!queue.wants_log());
    assert!(queue.view(0, at(0)).stalled.unwrap().contains("1 deliveries from before"));
    queue.act(Act::Skip, Seq(2), "ana", "not needed", at(0)).unwrap();
    assert!(queue.wants_log());
    assert_eq!(queue.fence(), None);
    assert_eq!(queue.ingest(&log[3..], Seq(5), at(0)), 2);
    assert_eq!(queue.claim(at(0)).unwrap().seq, Seq(4));
}

#[test]
fn a_fence_behind_everything_is_none_and_one_before_rows_is_one() {
    let mut queue = Queue::new(ID, DeliveryOptions::default(), Restored::default(), at(0));
    queue.set_fence(Seq(0));
    assert_eq!(queue.fence(), None);
    queue.ingest(&[message(1, lane(10))], Seq(1), at(0));
    let first = queue.claim(at(0)).unwrap().seq;
    let problem = RenderProblem { cause: "type", text: "no".to_owned(), detail: String::new() };
    queue.conclude(first, Conclusion::RenderHeld(problem), at(0));
    queue.set_fence(Seq(1));
    assert_eq!((queue.fence(), queue.wants_log()), (Some(Seq(1)), false));
    // One that was lifted before a restart is none after it.
    let settled_to = Seq(3);
    let state = DestinationState { settled_to, ..DestinationState::default() };
    let restored = Restored { state, ..Restored::default() };
    let mut queue = Queue::new(ID, DeliveryOptions::default(), restored, at(0));
    queue.set_fence(Seq(2));
    assert_eq!(queue.fence(), None);
}

#[test]
fn a_removed_destination_begins_nothing_and_goes_on_when_it_is_back() {
    let mut queue = Queue::new(ID, DeliveryOptions::default(), Restored::default(), at(0));
    queue.ingest(&[message(1, lane(10))], Seq(1), at(0));
    queue.retire();
    assert!(queue.claim(at(0)).is_none());
    let view = queue.view(0, at(0));
    assert!(view.removed && view.waiting() == 1);
    queue.replace(DeliveryOptions::default(), at(0));
    assert_eq!(queue.claim(at(0)).unwrap().seq, Seq(1));
}

#[test]
fn a_claim_is_suspect_until_what_was_sent_before_it_is_on_record() {
    let options = DeliveryOptions { parallel: 1, ..DeliveryOptions::default() };
    let restored = Restored { head: Seq(3), ..Restored::default() };
    let mut queue = Queue::new(ID, options, restored, at(0));
    let log: Vec<_> = (1_i64..4).map(|seq| message(seq, lane(10 + seq.unsigned_abs()))).collect();
    queue.ingest(&log, Seq(3), at(0));
    let claim = queue.claim(at(0)).unwrap();
    assert!(claim.suspect);
    let go = queue.suspect(claim.seq, &[], None, at(0));
    assert!(matches!(go, Suspicion::SendAfter { attempt: 1, .. }), "{go:?}");
    assert!(queue.batch(at(0)).is_some());
    queue.recorded();
    queue.conclude(claim.seq, accepted(), at(0));
    // The process may die over the second before the first one's outcome is durable: the next start
    // sends both again.
    let second = queue.claim(at(0)).unwrap();
    assert!(second.suspect);
    assert!(queue.batch(at(0)).is_some());
    queue.recorded();
    let go = queue.suspect(second.seq, &[], None, at(0));
    assert!(matches!(go, Suspicion::SendAfter { attempt: 1, .. }), "{go:?}");
    queue.conclude(second.seq, accepted(), at(0));
    assert!(!queue.claim(at(0)).unwrap().suspect, "the first one's outcome is on record");
}

#[test]
fn a_mark_accuses_its_own_attempt_alone() {
    let check = |attempts: &[(u32, &str)], died_over: Option<u32>, held: bool| {
        let restored = Restored { head: Seq(1), ..Restored::default() };
        let mut queue = Queue::new(ID, DeliveryOptions::default(), restored, at(0));
        queue.ingest(&[message(1, lane(10))], Seq(1), at(0));
        let claim = queue.claim(at(0)).unwrap();
        let attempt = |(number, outcome): &(u32, &str)| Attempt {
            destination: ID,
            seq: claim.seq,
            number: *number,
            at: at(0).wall,
            duration: Duration::ZERO,
            outcome: (*outcome).into(),
            answer: Answer::default(),
            sent_hash: 0,
        };
        let attempts: Vec<_> = attempts.iter().map(attempt).collect();
        let suspicion = queue.suspect(claim.seq, &attempts, died_over, at(0));
        assert_eq!(suspicion == Suspicion::Held, held, "{attempts:?} {died_over:?}");
        // What the next process finds on record.
        let more = queue.batch(at(0)).unwrap_or_default();
        let more = more.into_iter().filter_map(|change| match change {
            Change::Attempt(attempt) => Some((attempt.number, attempt.outcome.to_string())),
            _ => None,
        });
        more.collect::<Vec<_>>()
    };
    let found = |number, outcome: &str| (number, outcome.to_owned());
    let s = "started";
    assert_eq!(check(&[(1, s)], Some(1), false), [found(2, s)]);
    assert_eq!(check(&[(1, s)], None, false), [found(1, "interrupted"), found(2, s)]);
    assert_eq!(check(&[(1, s), (2, s)], Some(2), true), []);
    // The process after the death put its own attempt on record, and was killed before its turn came.
    let known = [found(2, "interrupted"), found(3, s)];
    assert_eq!(check(&[(1, s), (2, s)], Some(1), false), known);
    assert_eq!(check(&[(1, s), (2, s)], None, false), known);
    // The death stays on record, whatever else ended meanwhile.
    let ended = [(1, s), (2, s), (2, "interrupted")];
    assert_eq!(check(&ended, None, false), [found(3, s)]);
    assert_eq!(check(&[&ended[..], &[(3, s)]].concat(), Some(3), true), []);
}

#[test]
fn a_store_that_cannot_be_read_is_no_flowing_destination() {
    let mut queue = Queue::new(ID, DeliveryOptions::default(), Restored::default(), at(0));
    queue.set_read_error(Some("the database is damaged"));
    assert!(queue.view(0, at(0)).stalled.unwrap().contains("cannot be read"));
    queue.set_read_error(None);
    assert_eq!(queue.view(0, at(0)).stalled, None);
}
