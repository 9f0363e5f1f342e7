//! The store against a small model in memory, by random steps from a seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use medway::message::id::{DestinationId, Seq, VersionId};
use medway::message::plan::Lane;
use medway::store::{Change, Conservation, ExceptionQuery, ExceptionState, MessageQuery, Store};

use super::build::{Fixture, exception, message, settled};

const STEPS: usize = 400;

/// What a delivery's state is in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Filtered,
    Delivered,
    Excepted(ExceptionState),
}

struct Model {
    random: fastrand::Rng,
    destinations: Vec<(DestinationId, VersionId)>,
    deliveries: BTreeMap<(DestinationId, i64), State>,
    keys: BTreeMap<String, Vec<i64>>,
    head: i64,
}

#[tokio::test]
async fn the_store_agrees_with_a_small_model() {
    let seed = std::env::var("MEDWAY_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let run = std::panic::AssertUnwindSafe(play(seed));
    if let Err(panic) = futures_util::FutureExt::catch_unwind(run).await {
        let said = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        panic!("with MEDWAY_TEST_SEED={seed}: {said}");
    }
}

async fn play(seed: u64) {
    let fixture = Fixture::new();
    let mut store = fixture.open().await;
    let mut model = Model {
        random: fastrand::Rng::with_seed(seed),
        destinations: Vec::new(),
        deliveries: BTreeMap::new(),
        keys: BTreeMap::new(),
        head: 0,
    };
    for name in ["lab", "emr", "rad"] {
        model.destinations.push(fixture.destination(&store, name).await);
    }
    for step in 0..STEPS {
        match model.random.u8(0..10) {
            0..4 => model.append(&store).await,
            4..9 => model.record(&store).await,
            _ if step % 4 == 0 => {
                store.close().await;
                store = fixture.open().await;
            }
            _ => model.check(&store).await,
        }
    }
    model.check(&store).await;
}

impl Model {
    async fn append(&mut self, store: &Arc<dyn Store>) {
        let mut messages = Vec::new();
        for _ in 0..self.random.usize(1..6) {
            self.head += 1;
            let mrn = format!("M{}", self.random.u8(0..20));
            let mut new = message(self.head).key("mrn", &mrn);
            self.keys.entry(mrn).or_default().push(self.head);
            for (id, version) in self.destinations.clone() {
                let state = match self.random.u8(0..4) {
                    0 => continue,
                    1 => {
                        new = new.filtered(id, version);
                        State::Filtered
                    }
                    _ => {
                        new = new.in_lane(id, version, Lane::of("4711"));
                        State::Pending
                    }
                };
                self.deliveries.insert((id, self.head), state);
            }
            messages.push(new.build());
        }
        store.append(messages).await.unwrap();
    }

    /// Changes some deliveries of one destination and moves its cursor as far as it goes.
    async fn record(&mut self, store: &Arc<dyn Store>) {
        let (destination, _) = self.destinations[self.random.usize(0..self.destinations.len())];
        let open: Vec<i64> = self
            .of(destination)
            .filter(|(_, state)| !matches!(state, State::Filtered | State::Delivered))
            .map(|(seq, _)| seq)
            .collect();
        let mut changes = Vec::new();
        for _ in 0..self.random.usize(0..8).min(open.len()) {
            let seq = open[self.random.usize(0..open.len())];
            let state = &mut *self.deliveries.get_mut(&(destination, seq)).unwrap();
            if *state == State::Delivered {
                continue;
            }
            let row = |state| Change::Except(exception(destination, Seq(seq), state));
            let (next, change) = match self.random.u8(0..9) {
                0..4 => (State::Delivered, Change::Settle(settled(destination, Seq(seq)))),
                4 => (State::Pending, Change::Clear(destination, Seq(seq))),
                5 => (State::Excepted(ExceptionState::Dead), row(ExceptionState::Dead)),
                6 => (State::Excepted(ExceptionState::Held), row(ExceptionState::Held)),
                7 => (State::Excepted(ExceptionState::Retry), row(ExceptionState::Retry)),
                _ => (State::Excepted(ExceptionState::Cancelled), row(ExceptionState::Cancelled)),
            };
            *state = next;
            changes.push(change);
        }
        if self.random.bool() {
            let settled_to = Seq(self.settled_to(destination));
            changes.push(Change::Cursor { destination, settled_to, frontier: settled_to });
        }
        store.record(changes).await.unwrap();
    }

    fn of(&self, destination: DestinationId) -> impl Iterator<Item = (i64, State)> {
        let range = (destination, 0)..=(destination, i64::MAX);
        self.deliveries.range(range).map(|((_, seq), state)| (*seq, *state))
    }

    /// Before the first pending delivery.
    fn settled_to(&self, destination: DestinationId) -> i64 {
        let pending = self.of(destination).find(|(_, state)| *state == State::Pending);
        pending.map_or(self.head, |(seq, _)| seq - 1)
    }

    async fn check(&mut self, store: &Arc<dyn Store>) {
        assert_eq!(store.status().head, Seq(self.head));
        for (destination, _) in self.destinations.clone() {
            self.check_destination(store, destination).await;
        }
        let sums = store.conservation().await.unwrap();
        let planned = self.destinations.iter().map(|(id, _)| self.sums(*id));
        let planned: Vec<Conservation> = planned.filter(|sum| sum.planned > 0).collect();
        assert_eq!(sums, planned);
        for (mrn, places) in &self.keys {
            let key = Some((Some("mrn".into()), mrn.as_str().into()));
            let query = MessageQuery { key, limit: 1000, ..MessageQuery::default() };
            let found = store.search(query).await.unwrap();
            let found: Vec<i64> = found.iter().rev().map(|message| message.seq.0).collect();
            assert_eq!(&found, places);
        }
    }

    async fn check_destination(&self, store: &Arc<dyn Store>, destination: DestinationId) {
        let state = store.destination_state(destination).await.unwrap();
        let above = state.settled_to.0;
        let expected_above: Vec<Seq> = self
            .of(destination)
            .filter(|(seq, state)| *seq > above && *state == State::Delivered)
            .map(|(seq, _)| Seq(seq))
            .collect();
        assert_eq!(state.settled_above, expected_above);
        assert!(above <= self.settled_to(destination), "the cursor passed a pending delivery");
        let query = ExceptionQuery {
            destination: Some(destination),
            limit: 100_000,
            ..ExceptionQuery::default()
        };
        let rows = store.exceptions(query).await.unwrap();
        let rows: Vec<(i64, State)> =
            rows.iter().map(|row| (row.seq.0, State::Excepted(row.state))).collect();
        let expected: Vec<(i64, State)> =
            self.of(destination).filter(|(_, state)| matches!(state, State::Excepted(_))).collect();
        assert_eq!(rows, expected);
        let blocking = |state: &State| {
            use ExceptionState::{Behind, Held, Retry};
            matches!(state, State::Excepted(Retry | Held | Behind))
        };
        let blocked = expected.iter().filter(|(_, state)| blocking(state)).count();
        let counted: u64 = state.blocked.iter().map(|(_, count)| count).sum();
        assert_eq!(counted, u64::try_from(blocked).unwrap());
        let mut log = Vec::new();
        let mut read_to = Seq(0);
        loop {
            let page = store.read_log(destination, read_to, 7, 2000).await.unwrap();
            log.extend(page.messages.iter().map(|message| message.seq.0));
            if page.read_to == read_to {
                break;
            }
            read_to = page.read_to;
        }
        let sent: Vec<i64> = self
            .of(destination)
            .filter(|(_, state)| *state != State::Filtered)
            .map(|(seq, _)| seq)
            .collect();
        assert_eq!(log, sent);
    }

    fn sums(&self, destination: DestinationId) -> Conservation {
        let mut sum = Conservation { destination: destination.0, ..Conservation::default() };
        for (_, state) in self.of(destination) {
            sum.planned += 1;
            *match state {
                State::Pending => &mut sum.pending,
                State::Filtered => &mut sum.filtered,
                State::Delivered => &mut sum.delivered,
                State::Excepted(ExceptionState::Retry) => &mut sum.retry,
                State::Excepted(ExceptionState::Held) => &mut sum.held,
                State::Excepted(ExceptionState::Behind) => &mut sum.behind,
                State::Excepted(ExceptionState::Dead) => &mut sum.dead,
                State::Excepted(ExceptionState::Cancelled) => &mut sum.cancelled,
            } += 1;
        }
        sum
    }
}
