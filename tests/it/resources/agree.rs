//! Random resources and random searches from a seed: the store finds what `message::criteria` says, through
//! updates, deletes, starts, and an index that goes into its table all the time.

use std::collections::BTreeMap;
use std::sync::Arc;

use medway::message::criteria::all_hold;
use medway::message::resource::{
    Criterion, IndexValue, Indexed, Prefix, ResourceQuery, ResourceWrite, Test,
};
use medway::message::time::Timestamp;
use medway::store::Store;
use medway::store::resources::ResourceBatch;
use medway::store::sqlite::{SqliteOptions, SqliteStore};

use super::build::{
    create, date, delete, done, identifier_reference, quantity, reference, text, token, update, uri,
};
use crate::store::build::Fixture;

const STEPS: usize = 300;
const KINDS: [&str; 2] = ["Patient", "Observation"];
const NAMES: [&str; 5] = ["Müller", "Miller", "muller", "Mü", "Żak"];

struct Model {
    random: fastrand::Rng,
    /// Version and values of each resource; none when it is gone.
    held: BTreeMap<(&'static str, usize), (u64, Option<Vec<IndexValue>>)>,
}

#[tokio::test]
async fn the_store_finds_what_the_criteria_say() {
    let seed = std::env::var("MEDWAY_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let run = std::panic::AssertUnwindSafe(play(seed));
    if let Err(panic) = futures_util::FutureExt::catch_unwind(run).await {
        let said = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        panic!("with MEDWAY_TEST_SEED={seed}: {said}");
    }
}

async fn open(fixture: &Fixture) -> Arc<dyn Store> {
    let options = SqliteOptions { versions_gathered: 7, ..fixture.options() };
    Arc::new(SqliteStore::open(options).await.unwrap())
}

async fn play(seed: u64) {
    let fixture = Fixture::new();
    let mut store = open(&fixture).await;
    let mut model = Model { random: fastrand::Rng::with_seed(seed), held: BTreeMap::new() };
    for _ in 0..STEPS {
        match model.random.u8(0..12) {
            0..5 => model.write(&store).await,
            11 if model.random.u8(0..4) == 0 => {
                store.close().await;
                store = open(&fixture).await;
            }
            _ => model.search(&store).await,
        }
    }
}

impl Model {
    async fn write(&mut self, store: &Arc<dyn Store>) {
        let mut writes: Vec<ResourceWrite> = Vec::new();
        for _ in 0..self.random.usize(1..5) {
            let kind = KINDS[self.random.usize(0..2)];
            let number = self.random.usize(0..30);
            let id = format!("r{number}");
            let values = self.values();
            let before = self.held.get(&(kind, number)).map(|(version, _)| *version);
            let (write, held) = match before {
                None => (create(kind, &id, 1, values.clone()), Some(values)),
                Some(last) if self.random.u8(0..5) == 0 => (delete(kind, &id, last + 1), None),
                Some(last) => (update(kind, &id, last + 1, values.clone()), Some(values)),
            };
            self.held.insert((kind, number), (write.version, held));
            writes.push(write);
        }
        done(store.write(ResourceBatch { writes, ..ResourceBatch::default() }).await);
    }

    fn values(&mut self) -> Vec<IndexValue> {
        let random = &mut self.random;
        let mut values = Vec::new();
        for _ in 0..random.usize(0..7) {
            let (n, system) = (random.i64(0..6), ["", "urn:a"][random.usize(0..2)]);
            values.push(match random.u8(0..7) {
                0 => token("t", system, &n.to_string()),
                1 => reference("r", KINDS[random.usize(0..2)], &format!("r{}", random.u8(0..30))),
                2 => identifier_reference("r", system, &n.to_string()),
                3 => date("d", n * 10, n * 10 + random.i64(0..25)),
                4 => text("s", NAMES[random.usize(0..5)]),
                5 => quantity("q", [-1.5, 0.0, 0.5, 2.0][random.usize(0..4)], system, "mg"),
                _ => uri("u", &format!("http://{n}")),
            });
        }
        values
    }

    fn test(&mut self) -> (&'static str, Test) {
        let random = &mut self.random;
        let n = random.i64(0..6);
        let some = |random: &mut fastrand::Rng| {
            [None, Some("".into()), Some("urn:a".into())][random.usize(0..3)].clone()
        };
        let prefix = [
            Prefix::Eq,
            Prefix::Ne,
            Prefix::Gt,
            Prefix::Lt,
            Prefix::Ge,
            Prefix::Le,
            Prefix::Sa,
            Prefix::Eb,
            Prefix::Ap,
        ][random.usize(0..9)];
        match random.u8(0..11) {
            0 => ("t", Test::Token { system: some(random), code: Some(n.to_string().into()) }),
            1 => ("t", Test::Token { system: Some("urn:a".into()), code: None }),
            2 => {
                let kind = ["", "Patient", "Observation"][random.usize(0..3)].into();
                ("r", Test::Reference { kind, id: format!("r{}", random.u8(0..30)).into() })
            }
            3 => {
                let value = n.to_string().into();
                ("r", Test::ReferenceIdentifier { system: some(random), value })
            }
            4 => {
                let (from, to) = (Timestamp(n * 10), Timestamp(n * 10 + random.i64(0..15)));
                ("d", Test::Date { prefix, from, to })
            }
            5 => ("s", Test::Starts(["mu", "m", "z", "muller"][random.usize(0..4)].into())),
            6 => ("s", Test::Contains(["ll", "a", "x"][random.usize(0..3)].into())),
            7 => ("s", Test::Exact(NAMES[random.usize(0..5)].into())),
            8 => {
                let low = [-1.5, 0.0, 0.25, 1.0][random.usize(0..4)];
                let high = low + [0.0, 0.5][random.usize(0..2)];
                let code = [None, Some("mg".into()), Some("g".into())][random.usize(0..3)].clone();
                ("q", Test::Quantity { prefix, low, high, system: some(random), code })
            }
            9 => ("u", Test::Uri(format!("http://{n}").into())),
            _ => (["t", "r", "d", "x"][random.usize(0..4)], Test::Missing(random.bool())),
        }
    }

    fn criterion(&mut self) -> Criterion {
        let (param, first) = self.test();
        let mut any = vec![first];
        for _ in 0..self.random.usize(0..6) {
            let (of, test) = self.test();
            if of == param {
                any.push(test);
            }
        }
        let negate = self.random.u8(0..6) == 0;
        let plain = Criterion { param: param.into(), any, negate };
        if self.random.u8(0..5) == 0 {
            let kind = KINDS[self.random.usize(0..2)].into();
            let any = vec![Test::Chain { kind, criterion: Box::new(plain) }];
            return Criterion { param: "r".into(), any, negate: false };
        }
        plain
    }

    /// Whether the resource that a chain leads to meets its criterion.
    fn chained(&self, kind: &str, id: &str, criterion: &Criterion) -> bool {
        self.held.iter().any(|((of, number), (_, values))| {
            let is = *of == kind && format!("r{number}") == id;
            let none = |_: &str, _: &str, _: &Criterion| false;
            let criteria = std::slice::from_ref(criterion);
            is && values.as_ref().is_some_and(|values| all_hold(criteria, values, &none))
        })
    }

    async fn search(&mut self, store: &Arc<dyn Store>) {
        let criteria: Vec<Criterion> =
            (0..self.random.usize(0..4)).map(|_| self.criterion()).collect();
        let kind = ["Patient", "Observation", ""][self.random.usize(0..3)];
        let chains =
            |kind: &str, id: &str, criterion: &Criterion| self.chained(kind, id, criterion);
        let mut expected: Vec<String> = self
            .held
            .iter()
            .filter(|((of, _), _)| kind.is_empty() || *of == kind)
            .filter(|(_, (_, values))| {
                values.as_ref().is_some_and(|values| all_hold(&criteria, values, &chains))
            })
            .map(|((of, number), (version, _))| format!("{of}/r{number}/{version}"))
            .collect();
        expected.sort();
        let sort = match self.random.u8(0..4) {
            0 => vec![("d".into(), self.random.bool()), ("s".into(), self.random.bool())],
            1 => vec![("t".into(), self.random.bool())],
            _ => Vec::new(),
        };
        let mut query = ResourceQuery {
            kind: kind.into(),
            criteria,
            sort,
            limit: self.random.u32(1..20),
            page: None,
            total: true,
        };
        let mut found = Vec::new();
        loop {
            let page = store.resource_search(&query).await.unwrap();
            assert_eq!(page.total, Some(u64::try_from(expected.len()).unwrap()), "{query:?}");
            found.extend(page.matches.iter().map(|one| format!("{}/{}", one.key, one.version)));
            query.page = page.next;
            if query.page.is_none() {
                break;
            }
        }
        found.sort();
        assert_eq!(found, expected, "{query:?}");
    }
}

/// What the test itself stands on: that its values are of the kinds it believes.
#[test]
fn values_of_all_kinds_come_up() {
    let mut model = Model { random: fastrand::Rng::with_seed(1), held: BTreeMap::new() };
    let values: Vec<IndexValue> = (0..100).flat_map(|_| model.values()).collect();
    let has = |is: fn(&Indexed) -> bool| values.iter().any(|one| is(&one.value));
    assert!(has(|value| matches!(value, Indexed::Token { .. })));
    assert!(has(|value| matches!(value, Indexed::Reference { .. })));
    assert!(has(|value| matches!(value, Indexed::ReferenceIdentifier { .. })));
    assert!(has(|value| matches!(value, Indexed::Date { .. })));
    assert!(has(|value| matches!(value, Indexed::Text { .. })));
    assert!(has(|value| matches!(value, Indexed::Quantity { .. })));
    assert!(has(|value| matches!(value, Indexed::Uri(_))));
}
